/* SPDX-License-Identifier: ISC */
/*
 * What a kill, a power cut or a person has left behind: what the next idq makes
 * of it.
 */
#include "fail.h"
#include "check.h"
#include "spool.h"

static struct idq *q;
static char token[IDQ_TOKEN_LEN + 1];
static struct idq_job *job;	/* as find() has found it */

static void
start(void)
{
	q = spool_make();
	skipped = 0;
}

static void
end(void)
{
	idq_job_free(job);
	job = NULL;
	spool_remove(q);
}

static void
add(const char *key)
{
	struct idq_add a = { .key = key, .keylen = strlen(key), .fd = -1,
	    .payload = "hello", .length = 5 };
	struct idq_added r;

	if (idq_add(q, &a, &r) == -1)
		errx(1, "%s", r.message);
}

/* Whether there is a job of that key. */
static bool
find(const char *key)
{
	idq_job_free(job);
	return idq_find(q, key, 0, &job) == 1;
}

static int
state_of(const char *key)
{
	return find(key) ? (int)job->state : -1;
}

static void
move(const char *from, const char *to)
{
	if (renameat(q->fd, from, q->fd, to) == -1)
		err(1, "%s to %s", from, to);
}

/* Done, and its state name with all that belongs to it is gone. */
static void
half_purged(const char *key)
{
	struct idq_job *j;

	add(key);
	if (idq_claim(q, 0, &j, token) != 1 || idq_ack(q, token) == -1 ||
	    !find(key) || unlinkat(q->fd, job->path, 0) == -1)
		errx(1, "%s", idq_errmsg(q));
	idq_job_free(j);
}

static char reported[4096];

static void
report(void *arg, bool fixed, const char *path, const char *what)
{
	(void)arg;
	(void)path;
	strlcat(reported, fixed ? "+ " : "- ", sizeof(reported));
	strlcat(reported, what, sizeof(reported));
	strlcat(reported, "\n", sizeof(reported));
}

/* What it says, a line each. */
static const char *
fsck(bool dry_run)
{
	struct idq_fsck f = { .dry_run = dry_run, .report = report };

	reported[0] = '\0';
	CHECK_INT(idq_fsck(q, &f), 0);
	return reported;
}

/* A file whose sync failed is what the disk has, once it was booted anew. */
static void
bad_sync(void)
{
	char bad[PATH_SIZE], boot[PATH_SIZE];
	struct idq_job *j;

	start();
	add("a");
	CHECK(find("a"));
	idq_tmp_path(job->id, ".bad", bad);
	move(job->path, bad);
	CHECK_INT(idq_claim(q, 0, &j, token), 0);
	CHECK(idq_at_exists(q, bad));
	snprintf(boot, sizeof(boot), "boot/%s", q->host);
	spool_write(q, boot, "another", 7);
	CHECK_INT(idq_claim(q, 0, &j, token), 1);
	CHECK_STR(j->key, "a");
	idq_job_free(j);
	CHECK(!idq_at_exists(q, bad));
	end();
}

/* Of a run that has not begun, put where workers look. */
static void
run_in_new(void)
{
	static char name[] = "true";
	struct idq_add a = { .key = "a", .keylen = 1, .fd = -1 };
	char new[PATH_SIZE], *note;
	struct idq_job *j;
	struct job add;
	int status = -1;

	start();
	CHECK_INT(idq_add_run(q, &a, &add), 1);
	idq_place_path(PL_NEW, add.pub.hash, add.pub.id, add.pub.due, new);
	move(add.pub.path, new);
	idq_job_close(&add);
	CHECK_INT(idq_claim(q, 0, &j, token), 0);
	CHECK_INT(state_of("a"), IDQ_FAILED);
	CHECK(strncmp(job->path, "failed/", 7) == 0);
	CHECK_INT(idq_run(q, &a, (char *[]){ name, NULL }, 022, &status,
	    &note), 0);
	CHECK_INT(status, 0);
	CHECK_INT(state_of("a"), IDQ_DONE);
	end();
}

/* A purge that was killed between the two names of a job. */
static void
purge_cut_off(void)
{
	static const char back[] = "+ its job was in no directory: now done/";

	start();
	half_purged("a");
	CHECK(strncmp(fsck(false), back, strlen(back)) == 0);
	CHECK_INT(state_of("a"), IDQ_DONE);
	CHECK(strncmp(job->path, "done/", 5) == 0);
	end();
}

static void
past_release(void)
{
	start();
	half_purged("a");
	skipped = 8 * 24 * INT64_C(3600) * 1000000000;
	CHECK_STR(fsck(true), "- its job is in no directory\n");
	CHECK(find("a"));
	CHECK_STR(fsck(false), "+ past its release: removed\n");
	CHECK(!find("a"));
	CHECK_STR(fsck(false), "");
	end();
}

static void
old_name(void)
{
	char kept[PATH_SIZE];
	struct idq_job *j;

	start();
	add("a");
	CHECK_INT(idq_claim(q, 0, &j, token), 1);
	idq_job_free(j);
	CHECK_INT(idq_ack(q, token), 0);
	CHECK(find("a"));
	strlcpy(kept, job->path, sizeof(kept));
	idq_at_link(q, kept, "run/kept");
	CHECK_INT(idq_forget(q, "a", 0), 1);
	idq_mkdir_for(q, kept);
	move("run/kept", kept);
	add("a");
	CHECK_STR(fsck(true), "- left over from a job that is gone\n");
	CHECK(idq_at_exists(q, kept));
	CHECK_STR(fsck(false), "+ left over from a job that is gone: "
	    "removed\n");
	CHECK(!idq_at_exists(q, kept));
	CHECK_INT(state_of("a"), IDQ_PENDING);
	end();
}

static void
wrong_id(void)
{
	char right[PATH_SIZE], other[PATH_SIZE], want[2 * PATH_SIZE], *last;
	struct idq_job *j;

	start();
	add("a");
	CHECK(find("a"));
	strlcpy(right, job->path, sizeof(right));
	strlcpy(other, right, sizeof(other));
	last = other + strlen(other) - 1;
	*last = *last == '0' ? '1' : '0';
	move(right, other);
	CHECK_INT(idq_claim(q, 0, &j, token), 0);
	snprintf(want, sizeof(want), "- has the id of another job\n"
	    "+ its job was in no directory: now %s\n", right);
	CHECK_STR(fsck(false), want);
	CHECK(idq_at_exists(q, other));
	CHECK_INT(idq_claim(q, 0, &j, token), 1);
	idq_job_free(j);
	end();
}

/* Killed in the middle of its payload: nobody was told of it. */
static void
add_cut_off(void)
{
	char tmp[PATH_SIZE], path[PATH_SIZE];
	int fd;

	start();
	add("a");
	CHECK(find("a"));
	idq_tmp_path(job->id, "", tmp);
	strlcpy(path, job->path, sizeof(path));
	move(path, tmp);
	fd = openat(q->fd, tmp, O_RDWR);
	CHECK_INT(pwrite(fd, "J", 1, job->body), 1);
	CHECK_INT(idq_hold(q, "a", 0), -1);
	CHECK_INT(idq_errcode(q), EX_TEMPFAIL);
	CHECK_STR(idq_errmsg(q), "its add was cut off; add it again");
	/* All of it is there: it is held, and not lost. */
	CHECK_INT(pwrite(fd, "h", 1, job->body), 1);
	close(fd);
	CHECK_INT(idq_hold(q, "a", 0), 1);
	CHECK_INT(state_of("a"), IDQ_HELD);
	end();
}

static void
run_cut_off(void)
{
	struct idq_add a = { .key = "a", .keylen = 1, .fd = -1 };
	struct job j;

	start();
	CHECK_INT(idq_add_run(q, &a, &j), 1);
	idq_job_close(&j);
	CHECK_INT(idq_hold(q, "a", 0), 0);
	CHECK(!find("a"));
	CHECK_INT(spool_entries(q, "tmp"), 0);
	end();
}

/* What is not idq's stays, and is said. */
static char notices[1024];

static void
notice(void *arg, const char *line)
{
	(void)arg;
	strlcat(notices, strrchr(line, '/') + 1, sizeof(notices));
	strlcat(notices, "\n", sizeof(notices));
}

static void
foreign_log(void)
{
	struct idq_purge p = { .older = 1 };

	start();
	/* The log tells that the clock can be believed. */
	add("a");
	mkdirat(q->fd, "log/2001-01-01.here", 0700);
	spool_write(q, "log/2001-01-01.old", "", 0);
	idq_set_notice(q, notice, NULL);
	CHECK_INT(idq_purge(q, &p), 0);
	CHECK(strstr(notices, "2001-01-01.here: is no log; left alone\n") !=
	    NULL);
	CHECK(idq_at_exists(q, "log/2001-01-01.here"));
	CHECK(!idq_at_exists(q, "log/2001-01-01.old"));
	end();
}

static int undone;		/* how often, */
static int undo_max;		/* and how often it shall be */

static void
undo(void *arg, bool fixed, const char *path, const char *what)
{
	(void)arg;
	(void)what;
	CHECK(fixed);
	CHECK_STR(path, "asked");
	if (undone < undo_max && unlinkat(q->fd, path, AT_REMOVEDIR) == 0)
		undone++;
}

/* What it mends is broken again meanwhile, TIMES times. */
static int
fsck_undone(int times, uint64_t *fixed)
{
	struct idq_fsck f = { .report = undo };
	int r;

	start();
	undone = 0;
	undo_max = times;
	CHECK_INT(unlinkat(q->fd, "asked", AT_REMOVEDIR), 0);
	r = idq_fsck(q, &f);
	CHECK_INT(undone, times);
	*fixed = f.fixed;
	return r;
}

/* An end is one that was seen. */
static void
no_end(void)
{
	uint64_t fixed;

	CHECK_INT(fsck_undone(6, &fixed), 0);
	CHECK_INT(fixed, 7);
	end();
	CHECK_INT(fsck_undone(7, &fixed), -1);
	CHECK_INT(fixed, 8);
	CHECK_INT(idq_errcode(q), EX_TEMPFAIL);
	CHECK(strstr(idq_errmsg(q), "run it again") != NULL);
	CHECK_STR(fsck(false), "");
	end();
}

int
main(void)
{
	check_run("left: a file whose sync failed counts after a boot",
	    bad_sync);
	check_run("left: a run in new is not for workers, and not lost",
	    run_in_new);
	check_run("left: a purge that was cut off goes on, but not too early",
	    purge_cut_off);
	check_run("left: past its release a key without a job is free",
	    past_release);
	check_run("left: a name of a job that is gone is no job", old_name);
	check_run("left: a name with another id is no job", wrong_id);
	check_run("left: an add that was cut off is completed if it is whole",
	    add_cut_off);
	check_run("left: a run that was cut off has not been", run_cut_off);
	check_run("left: what is no log stays", foreign_log);
	check_run("left: fsck says that the last look still mended something",
	    no_end);
	return check_done();
}
