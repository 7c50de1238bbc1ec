/* SPDX-License-Identifier: ISC */
/*
 * Jobs, groups and adds that somebody else has locked: what is in a hurry goes
 * on, the order stays, and a person is told.  Who waits does so in no time.
 */
#include "fail.h"
#include "check.h"
#include "spool.h"

static struct idq *q;
static char token[IDQ_TOKEN_LEN + 1];
static int locked = -1;		/* the lock of somebody else */
static int sleeps;

static int
add(const char *key, const char *group, int64_t due)
{
	struct idq_add a = { .key = key, .keylen = strlen(key), .fd = -1,
	    .group = group, .due = due };
	struct idq_added r;

	return idq_add(q, &a, &r);
}

/* PATH of the queue, which is locked until let_go(). */
static void
lock_path(const char *path)
{
	locked = openat(q->fd, path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (locked == -1 || flock(locked, LOCK_EX | LOCK_NB) == -1)
		err(1, "%s", path);
}

static void
lock_key(const char *key)
{
	char hash[HASH_SIZE], path[PATH_SIZE];

	idq_key_hash(key, strlen(key), hash);
	idq_key_path(hash, path);
	lock_path(path);
}

static void
let_go(void)
{
	if (locked != -1)
		close(locked);
	locked = -1;
	when_slept = NULL;
}

/* The lock is gone at the second look. */
static void
soon(void)
{
	if (++sleeps == 2)
		let_go();
}

/* The key of the next claim, or NULL; good until the next call. */
static const char *
claimed(void)
{
	static char key[IDQ_KEY_MAX + 1];
	struct idq_job *j;

	if (idq_claim(q, 0, &j, token) != 1)
		return NULL;
	strlcpy(key, j->key, sizeof(key));
	idq_job_free(j);
	return key;
}

static int
state_of(const char *key)
{
	struct idq_job *j;
	int state = idq_find(q, key, 0, &j) == 1 ? (int)j->state : -1;

	idq_job_free(j);
	return state;
}

static void
start(void)
{
	q = spool_make();
	skipped = 0;
	sleeps = 0;
}

static void
end(void)
{
	let_go();
	spool_remove(q);
}

static void
for_a_moment(void)
{
	start();
	add("a", "g", 0);
	lock_key("a");
	when_slept = soon;
	CHECK_STR(claimed(), "a");
	CHECK_INT(sleeps, 2);
	end();
}

static void
in_a_group(void)
{
	start();
	idq_config_set(q, "group-max", "2");
	q->cfg[CFG_SYNC] = SYNC_OFF;
	add("a", "g", 0);
	add("b", "g", 0);
	add("c", "h", 0);
	lock_key("a");
	CHECK_STR(claimed(), "c");
	CHECK_STR(claimed(), NULL);
	let_go();
	CHECK_STR(claimed(), "a");
	CHECK_STR(claimed(), "b");
	end();
}

/* So long that names are kept: 3 claimed, one of them later. */
static void
in_a_long_queue(void)
{
	char key[16];

	start();
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "%02d", i);
		add(key, NULL, 0);
	}
	CHECK_STR(claimed(), "00");
	CHECK(idq_at_exists(q, "run/next"));
	lock_key("01");
	CHECK_STR(claimed(), "02");
	let_go();
	CHECK_STR(claimed(), "01");
	CHECK_STR(claimed(), "03");
	end();
}

/* More of them than a claim can put back: all names are read again. */
static void
many_in_a_long_queue(void)
{
	int others[20];
	char key[16];

	start();
	for (int i = 0; i < 100; i++) {
		snprintf(key, sizeof(key), "%02d", i);
		add(key, NULL, 0);
	}
	CHECK_STR(claimed(), "00");
	for (size_t i = 0; i < NITEMS(others); i++) {
		snprintf(key, sizeof(key), "%02zu", i + 1);
		lock_key(key);
		others[i] = locked;
	}
	CHECK_STR(claimed(), "21");
	CHECK(!idq_at_exists(q, "run/next"));
	for (size_t i = 0; i < NITEMS(others); i++)
		close(others[i]);
	locked = -1;
	CHECK_STR(claimed(), "01");
	end();
}

static void
while_it_is_due(void)
{
	int64_t next;

	start();
	add("a", NULL, idq_now() + IDQ_SECOND);
	skipped = 2000000000;
	lock_key("a");
	CHECK_INT(idq_promote(q, &next), 0);
	/* To be looked at again soon, and not at the next due time. */
	CHECK(next > idq_now() && next < idq_now() + IDQ_SECOND);
	CHECK_STR(claimed(), NULL);
	CHECK_INT(state_of("a"), IDQ_PENDING);
	sleeps = 0;
	when_slept = soon;
	CHECK_STR(claimed(), "a");
	end();
}

static int
hold(void)
{
	return idq_hold(q, "a", 0);
}

static int
unhold(void)
{
	return idq_unhold(q, "a", 0);
}

static int
cancel(void)
{
	return idq_cancel(q, "a", 0, false);
}

static int
retry(void)
{
	return idq_retry(q, "a", 0);
}

static int
forget(void)
{
	return idq_forget(q, "a", 0);
}

static void
for_a_person(void)
{
	int (*const verbs[])(void) = { hold, unhold, cancel, retry, forget };

	start();
	add("a", NULL, 0);
	for (size_t i = 0; i < NITEMS(verbs); i++) {
		lock_key("a");
		CHECK_INT(verbs[i](), -1);
		CHECK_INT(idq_errcode(q), EX_TEMPFAIL);
		CHECK_STR(idq_errmsg(q), "is locked by another idq");
		CHECK_INT(state_of("a"), IDQ_PENDING);
		let_go();
	}
	lock_key("a");
	when_slept = soon;
	CHECK_INT(hold(), 1);
	CHECK_INT(state_of("a"), IDQ_HELD);
	end();
}

/* It runs: what has to wait for its end is refused, what would not, done. */
static void
while_it_runs(void)
{
	start();
	add("a", NULL, 0);
	CHECK_STR(claimed(), "a");
	lock_key("a");
	CHECK_INT(unhold(), 1);
	CHECK_INT(retry(), -1);
	CHECK_INT(idq_errcode(q), EX_UNAVAILABLE);
	CHECK_INT(cancel(), 1);
	CHECK_INT(state_of("a"), IDQ_RUNNING);
	let_go();
	CHECK_INT(idq_fail(q, token, 1), 0);
	CHECK_INT(state_of("a"), IDQ_CANCELLED);
	end();
}

static int
run_it(char **note)
{
	static char name[] = "true";
	struct idq_add a = { .key = "a", .keylen = 1, .fd = -1 };
	int status = -1;

	if (idq_run(q, &a, (char *[]){ name, NULL }, 022, &status, note) == -1)
		return -1;
	return status;
}

static void
an_add_of_a_run(void)
{
	struct idq_add a = { .key = "a", .keylen = 1, .fd = -1 };
	struct job j;
	char *note;

	start();
	CHECK_INT(idq_add_run(q, &a, &j), 1);
	/* It lives, and has not claimed it. */
	CHECK_INT(run_it(&note), EX_TEMPFAIL);
	CHECK_STR(note, "a: another add of it is under way");
	free(note);
	CHECK_INT(add("a", NULL, 0), -1);
	CHECK_INT(idq_errcode(q), EX_TEMPFAIL);
	/* It has died, and nobody was told of it. */
	idq_job_close(&j);
	CHECK_INT(run_it(&note), 0);
	CHECK_STR(note, NULL);
	CHECK_INT(state_of("a"), IDQ_DONE);
	end();
}

/* At the second look another run has claimed it. */
static void
quicker(void)
{
	char hash[HASH_SIZE];
	struct job j;

	if (++sleeps != 2)
		return;
	idq_key_hash("a", 1, hash);
	CHECK_INT(idq_key_open(q, hash, &j), 1);
	CHECK_INT(idq_where(q, &j), PL_FAILED);
	CHECK_INT(idq_claimed(q, &j, j.pub.path, 0), 1);
	idq_job_close(&j);
}

/* A try whose delay is over. */
static void
failed_run(void)
{
	static char name[] = "false";
	struct idq_add a = { .key = "a", .keylen = 1, .fd = -1 };
	char *note;
	int status;

	start();
	CHECK_INT(idq_run(q, &a, (char *[]){ name, NULL }, 022, &status,
	    &note), 0);
	CHECK_INT(status, 1);
	skipped = INT64_C(7200) * 1000000000;
	lock_key("a");
}

static void
a_failed_try(void)
{
	char *note;

	failed_run();
	CHECK_INT(run_it(&note), EX_TEMPFAIL);
	CHECK_STR(note, "a: is locked by another idq");
	free(note);
	CHECK_INT(state_of("a"), IDQ_FAILED);
	when_slept = soon;
	CHECK_INT(run_it(&note), 0);
	CHECK_STR(note, NULL);
	CHECK_INT(sleeps, 2);
	CHECK_INT(state_of("a"), IDQ_DONE);
	end();
}

/* Two of crontab's at once, when the delay is over. */
static void
a_quicker_run(void)
{
	char *note;

	failed_run();
	when_slept = quicker;
	CHECK_INT(run_it(&note), 0);
	CHECK_STR(note, NULL);
	CHECK_INT(state_of("a"), IDQ_RUNNING);
	end();
}

static void
its_group(void)
{
	char hash[HASH_SIZE], path[PATH_SIZE];

	start();
	add("a", "g", 0);
	add("b", NULL, 0);
	idq_key_hash("g", 1, hash);
	idq_group_path(hash, path);
	lock_path(path);
	CHECK_STR(claimed(), "b");
	CHECK_STR(claimed(), NULL);
	let_go();
	CHECK_STR(claimed(), "a");
	end();
}

static void
the_rate(void)
{
	start();
	idq_config_set(q, "rate", "100/1s");
	q->cfg[CFG_SYNC] = SYNC_OFF;
	add("a", NULL, 0);
	lock_path("groups/rate");
	CHECK_STR(claimed(), NULL);
	let_go();
	CHECK_STR(claimed(), "a");
	end();
}

int
main(void)
{
	check_run("busy: a job that is locked for a moment is started",
	    for_a_moment);
	check_run("busy: no younger one of its group overtakes it, others do",
	    in_a_group);
	check_run("busy: in a long queue it is still the next",
	    in_a_long_queue);
	check_run("busy: so are many of them", many_in_a_long_queue);
	check_run("busy: one that is due waits, and is not forgotten",
	    while_it_is_due);
	check_run("busy: a person is told, and waits no longer than needed",
	    for_a_person);
	check_run("busy: of a running job what does not wait for its end is "
	    "done", while_it_runs);
	check_run("busy: the add of a living run is waited for, not of a dead "
	    "one", an_add_of_a_run);
	check_run("busy: the lock of a failed try is waited for", a_failed_try);
	check_run("busy: of two runs of a failed try one is quicker",
	    a_quicker_run);
	check_run("busy: a locked group holds up its own jobs alone",
	    its_group);
	check_run("busy: while the rate is looked at nothing starts", the_rate);
	return check_done();
}
