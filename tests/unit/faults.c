/* SPDX-License-Identifier: ISC */
/*
 * Each system call of the library that can fail does so once, and then nothing
 * is lost.  That is each fifth call, or all with the argument `all'.
 */
#include "fail.h"
#include "check.h"
#include "spool.h"

static struct idq *q;
static char token[IDQ_TOKEN_LEN + 1];
static char queue_dir[sizeof(spool_dir) + 8];
static int long_payload;	/* a file, of 100,000 bytes */

static int
add_key(const char *key, const char *group, int64_t due)
{
	struct idq_add a = { .key = key, .keylen = strlen(key), .fd = -1,
	    .payload = "hello", .length = 5, .group = group, .due = due };
	struct idq_added r;

	return idq_add(q, &a, &r);
}

/*
 * Each of these makes the state that it begins with.
 */

static void
no_jobs(void)
{
}

static void
one_job(void)
{
	add_key("a", NULL, 0);
}

static void
parked_jobs(void)
{
	struct idq_job *j;

	add_key("a", "g", 0);
	add_key("b", "g", 0);
	add_key("c", "g", 0);
	add_key("later", "g", idq_now() + IDQ_HOUR);
	if (idq_claim(q, 0, &j, token) == 1)
		idq_job_free(j);
	if (idq_claim(q, 0, &j, token) == 1)
		idq_job_free(j);
}

static void
claimed_job(void)
{
	struct idq_job *j;

	add_key("a", NULL, 0);
	if (idq_claim(q, 0, &j, token) == 1)
		idq_job_free(j);
}

static void
dead_job(void)
{
	struct idq_job *j;

	add_key("a", NULL, 0);
	if (idq_claim(q, 1, &j, token) == 1)
		idq_job_free(j);
}

static void
failed_job(void)
{
	claimed_job();
	idq_fail(q, token, IDQ_EXIT_HARD);
}

static void
done_job(void)
{
	add_key("a", NULL, 0);
	add_key("a", NULL, 0);
	add_key("b", "g", 0);
	claimed_job();
	idq_ack(q, token);
}

/* One that prints something, and one with a payload to be read from a file. */
static void
own_jobs(void)
{
	static char sh[] = "sh", opt_c[] = "-c",
	    script[] = "echo '# out'; echo '# err' >&2; exit 3";
	static char *args[] = { sh, opt_c, script };
	struct idq_add a = { .key = "c", .keylen = 1, .fd = -1,
	    .args = args, .nargs = NITEMS(args) };
	struct idq_add b = { .key = "d", .keylen = 1, .fd = long_payload,
	    .args = args, .nargs = 1 };
	struct idq_added r;

	idq_add(q, &a, &r);
	lseek(long_payload, 0, SEEK_SET);
	idq_add(q, &b, &r);
	q->cfg[CFG_OUTPUT] = OUTPUT_KEEP;
	q->cfg[CFG_ATTEMPTS] = 2;
}

/* Due an hour ago, and the gate is closed for such. */
static void
old_job(void)
{
	add_key("a", "g", idq_now() - IDQ_HOUR);
	q->cfg[CFG_GATE_AGE] = IDQ_MINUTE;
}

/* Others can put things into the queue. */
static void
careful_job(void)
{
	claimed_job();
	add_key("b", "g", 0);
	q->careful = true;
}

static int run(const char *command);

static void
run_failed(void)
{
	run("false");
}

static void
held_job(void)
{
	add_key("a", NULL, 0);
	idq_hold(q, "a", 0);
}

/* Names that a crash can leave. */
static void
mixed_up(void)
{
	char path[PATH_SIZE], to[PATH_SIZE];
	struct idq_job *j;

	done_job();
	add_key("c", NULL, 0);
	if (idq_find(q, "c", 0, &j) == 1) {
		idq_place_path(PL_HOLD, j->hash, j->id, 0, to);
		strlcpy(path, j->path, sizeof(path));
		if (renameat(q->fd, path, q->fd, to) == -1)
			err(1, "%s", to);
		idq_job_free(j);
	}
	add_key("d", NULL, 0);
	if (idq_find(q, "d", 0, &j) == 1) {
		idq_tmp_path(j->id, "", to);
		if (renameat(q->fd, j->path, q->fd, to) == -1)
			err(1, "%s", to);
		idq_job_free(j);
	}
	add_key("e", NULL, 0);
	if (idq_find(q, "e", 0, &j) == 1) {
		idq_key_path(j->hash, path);
		if (unlinkat(q->fd, path, 0) == -1)
			err(1, "%s", path);
		idq_job_free(j);
	}
	spool_write(q, "asked/0123456789abcdef", "cancel\n", 7);
}

/*
 * What is done, with a call that fails.
 */

static int
look(void *arg, struct idq_job *j)
{
	(void)arg;
	(void)j;
	return 0;
}

static int
look_group(void *arg, const struct idq_group *g)
{
	(void)arg;
	(void)g;
	return 0;
}

static int
look_event(void *arg, const struct idq_event *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static int
op_open(void)
{
	struct idq *other;
	int r = idq_open(&other, queue_dir, IDQ_WRITE);

	idq_close(other);
	return r;
}

static int
op_init(void)
{
	struct idq *other;
	int r = idq_init(&other, queue_dir);

	idq_close(other);
	return r;
}

static int
op_add(void)
{
	return add_key("new", NULL, 0);
}

static int
op_add_again(void)
{
	struct idq_add a = { .key = "a", .keylen = 1, .fd = -1,
	    .payload = "hello", .length = 5, .reuse = IDQ_REUSE_FINAL };
	struct idq_added r;

	return idq_add(q, &a, &r);
}

static int
op_add_group(void)
{
	struct idq_add a[3] = {
		{ .key = "x", .keylen = 1, .fd = -1 },
		{ .key = "y", .keylen = 1, .fd = -1, .group = "g" },
		{ .key = "x", .keylen = 1, .fd = -1 },
	};
	struct idq_added r[3];

	return idq_add_group(q, a, 3, r);
}

static int
op_claim(void)
{
	struct idq_job *j;
	int r = idq_claim(q, 0, &j, token);

	idq_job_free(j);
	return r;
}

static int
op_ack(void)
{
	return idq_ack(q, token);
}

static int
op_fail(void)
{
	return idq_fail(q, token, 1);
}

static int
op_release(void)
{
	return idq_release(q, token, IDQ_SECOND);
}

static int
op_renew(void)
{
	return idq_renew(q, token, IDQ_HOUR);
}

/* Each of these gets a command, or NULL. */
static int
work(const char *command, int mode, bool single, int64_t rate)
{
	char *argv[] = { (char *)(uintptr_t)command, NULL };
	const struct idq_work w = { .argv = command != NULL ? argv : NULL,
	    .jobs = 2, .mode = mode, .single = single, .rate = rate };

	return idq_work(&q, 1, &w);
}

static int
op_work(void)
{
	return work("true", IDQ_DRAIN, false, 0);
}

static int
op_work_own(void)
{
	return work(NULL, IDQ_DRAIN, false, 0);
}

static int
op_work_gone(void)
{
	return work("/none/such", IDQ_DRAIN, false, 0);
}

static int
op_work_rate(void)
{
	int64_t rate;

	if (idq_rate_parse("100/1s", &rate) == -1)
		return -1;
	return work("true", IDQ_DRAIN, true, rate);
}

/* Until there is nothing to do. */
static int
op_follow(void)
{
	int r;

	end_when_idle = SIGTERM;
	r = work("true", IDQ_FOLLOW, false, 0);
	end_when_idle = 0;
	return r;
}

static int
run(const char *command)
{
	struct idq_add a = { .key = "a", .keylen = 1, .fd = -1 };
	char *argv[] = { (char *)(uintptr_t)command, NULL };
	int r, status;
	char *note;

	r = idq_run(q, &a, argv, 022, &status, &note);
	free(note);
	return r == 0 && status != 0 ? 1 : r;
}

static int
op_run(void)
{
	return run("true");
}

static int
op_run_gone(void)
{
	return run("/none/such");
}

static int
op_share(void)
{
	return idq_share(q, getegid());
}

static int
op_cancel(void)
{
	return idq_cancel(q, "a", 0, true);
}

static int
op_retry(void)
{
	return idq_retry(q, "a", 0);
}

static int
op_forget(void)
{
	return idq_forget(q, "a", 0);
}

static int
op_hold(void)
{
	return idq_hold(q, "a", 0);
}

static int
op_unhold(void)
{
	return idq_unhold(q, "a", 0);
}

static int
op_pause(void)
{
	int r = idq_pause(q, "why");
	struct idq_paused p;

	if (idq_paused(q, &p) == -1)
		r = -1;
	return idq_resume(q) == -1 ? -1 : r;
}

static int
op_purge(void)
{
	struct idq_purge p = { .older = 1 };

	return idq_purge(q, &p);
}

static int
op_fsck(void)
{
	struct idq_fsck f = { .dry_run = false };

	return idq_fsck(q, &f);
}

static int
op_config(void)
{
	return idq_config_set(q, "group-max", "2");
}

static int
op_spool(void)
{
	const char *why;
	char *path, **names;
	int r = 0;

	if ((path = idq_queue_path("queue", &why)) == NULL)
		r = -1;
	free(path);
	if ((names = idq_spool_queues(&why)) == NULL)
		r = -1;
	idq_names_free(names);
	return r;
}

static void
look_line(void *arg, const char *line)
{
	(void)arg;
	(void)line;
}

static void
look_time(void *arg, int64_t t)
{
	(void)arg;
	(void)t;
}

/* Everything that a job has. */
static int
op_show(void)
{
	struct idq_job *j;
	uint64_t n;
	int64_t last;
	int r = idq_find(q, "a", 0, &j), fd;

	if (r == 1) {
		r = idq_dups(q, j, &n, &last);
		r |= idq_dups_each(q, j, look_time, NULL);
		r |= idq_trail(q, j, look_line, NULL);
		if ((fd = idq_payload(q, j)) != -1)
			close(fd);
		if (idq_output(q, j, 0, &fd) == 1)
			close(fd);
		idq_command_pid(q, j);
	}
	idq_job_free(j);
	return r < 0 ? -1 : 0;
}

/* What waits for others. */
static int
op_watch(void)
{
	struct idq_watch *w = idq_watch_new(q);
	struct idq_follow *f;
	int r = idq_follow_open(q, 0, &f), ms;

	if (w != NULL)
		idq_watch_wait(w, IDQ_SECOND);
	idq_watch_free(w);
	for (int i = 0; r == 0 && i < 2; i++)
		r = idq_follow_read(f, look_event, NULL);
	if (r == 0)
		idq_follow_fd(f, &ms);
	idq_follow_close(f);
	return r;
}

static int
op_look(void)
{
	struct idq_activity act;
	struct idq_counts counts;
	struct idq_plan plan = { .rate = 0 };
	uint64_t n;
	int r = idq_list(q, ~0u, look, NULL);

	r |= idq_count(q, true, &counts);
	r |= idq_plan(q, &plan);
	idq_plan_free(&plan);
	r |= idq_groups(q, look_group, NULL, &n);
	r |= idq_log(q, 0, look_event, NULL);
	r |= idq_activity(q, idq_now(), &act);
	r |= idq_dups_total(q, &n);
	r |= idq_dups_jobs(q, look, NULL);
	r |= idq_is_drained(q) == -1 ? -1 : 0;
	return r;
}

/*
 * The queue is made once, and emptied of what it had.
 */

static void
empty_dir(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd != -1 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (d == NULL)
		err(1, "%s", path);
	while ((e = idq_readdir(d)) != NULL) {
		if (e->d_type == DT_DIR)
			empty_dir(fd, e->d_name);
		if (unlinkat(fd, e->d_name, e->d_type == DT_DIR ?
		    AT_REMOVEDIR : 0) == -1)
			err(1, "%s/%s", path, e->d_name);
	}
	closedir(d);
}

static void
empty(void)
{
	static const char *const dirs[] = { "tmp", "new", "wait", "paced",
	    "cur", "hold", "failed", "done", "cancelled", "expired", "dups",
	    "turn", "groups", "out", "log", "asked", "run" };
	static const char *const keys[] = { "a", "b", "c", "d", "e", "new",
	    "x", "y", "later" };
	char hash[HASH_SIZE], path[PATH_SIZE];

	skipped = 0;
	for (size_t i = 0; i < NITEMS(dirs); i++)
		empty_dir(q->fd, dirs[i]);
	for (size_t i = 0; i < NITEMS(keys); i++) {
		idq_key_hash(keys[i], strlen(keys[i]), hash);
		idq_key_path(hash, path);
		unlinkat(q->fd, path, 0);
	}
	unlinkat(q->fd, "config", 0);
	unlinkat(q->fd, "paused", 0);
	idq_config_load(q);
	q->careful = false;
	q->dmode = 0700;
	q->fmode = 0600;
	fchmod(q->fd, q->dmode);
	q->cfg[CFG_SYNC] = SYNC_FULL;
	q->cfg[CFG_BACKOFF] = 0;
}

/* Whole job files in keys/ or a state directory, by inode. */
static bool
is_there(const char *key)
{
	struct idq_job *j;
	int r = idq_find(q, key, 0, &j);

	idq_job_free(j);
	return r == 1;
}

/* -1: there is no such job. */
static int
state_of(const char *key)
{
	struct idq_job *j;
	int state = idq_find(q, key, 0, &j) == 1 ? (int)j->state : -1;

	idq_job_free(j);
	return state;
}

static bool noticed;		/* somebody was told of something */

static void
notice(void *arg, const char *text)
{
	(void)arg;
	(void)text;
	noticed = true;
}

/* What cannot be locked is left to somebody else, what is bad to a person. */
static bool
is_left(void)
{
	return noticed || strcmp(failed_in, "flock") == 0;
}

/*
 * After the failure: mended once, nothing more is found; what was acknowledged
 * is there, but for a job that was to be replaced; and there is a reason if
 * there was a failure.
 */
static bool
stands(const char *name, int r, bool had_a)
{
	struct idq_fsck f = { .dry_run = false };
	bool good;

	good = CHECK(r != -1 || *idq_errmsg(q) != '\0' ||
	    strcmp(name, "open") == 0 || strcmp(name, "init") == 0 ||
	    strcmp(name, "spool") == 0);
	q->sync_failed = q->careful = false;
	good &= CHECK_INT(idq_fsck(q, &f), 0);
	good &= CHECK_INT(idq_fsck(q, &f), 0);
	good &= CHECK_INT(f.fixed, 0);
	if (had_a && strcmp(name, "forget") != 0 &&
	    strcmp(name, "purge") != 0 && strcmp(name, "replace") != 0)
		good &= CHECK(is_there("a"));
	if (r == 0 && strcmp(name, "add") == 0)
		good &= CHECK(is_there("new"));
	if (r == 0 && !is_left() &&
	    (strcmp(name, "work") == 0 || strcmp(name, "run") == 0))
		good &= CHECK_INT(state_of("a"), IDQ_DONE);
	if (r == 0 && strcmp(name, "add group") == 0)
		good &= CHECK(is_there("x") && is_there("y"));
	good &= CHECK_INT(op_add_again(), 0);
	return good;
}

static int points, every = 5;

static void
each_call(const char *name, void (*before)(void), int (*op)(void))
{
	bool had_a;
	int r;

	for (int i = 1;; i += every) {
		empty();
		before();
		had_a = is_there("a");
		failed_in = NULL;
		noticed = false;
		calls = 0;
		fail_at = i;
		r = op();
		fail_at = 0;
		if (failed_in == NULL)
			break;
		points++;
		if (!stands(name, r, had_a)) {
			printf("# %s: call %d, %s\n", name, i, failed_in);
			break;
		}
	}
	CHECK(calls > 0);
}

static const struct {
	const char	*name;
	void		(*before)(void);
	int		(*op)(void);
} ops[] = {
	{ "open", no_jobs, op_open },
	{ "init", no_jobs, op_init },
	{ "add", no_jobs, op_add },
	{ "add", one_job, op_add },
	{ "add again", one_job, op_add_again },
	{ "replace", done_job, op_add_again },
	{ "replace", mixed_up, op_add_again },
	{ "add group", no_jobs, op_add_group },
	{ "claim", one_job, op_claim },
	{ "claim", parked_jobs, op_claim },
	{ "claim", dead_job, op_claim },
	{ "claim", mixed_up, op_claim },
	{ "ack", claimed_job, op_ack },
	{ "ack", parked_jobs, op_ack },
	{ "fail", claimed_job, op_fail },
	{ "fail", parked_jobs, op_fail },
	{ "release", claimed_job, op_release },
	{ "renew", claimed_job, op_renew },
	{ "cancel", one_job, op_cancel },
	{ "cancel", claimed_job, op_cancel },
	{ "retry", failed_job, op_retry },
	{ "forget", failed_job, op_forget },
	{ "hold", one_job, op_hold },
	{ "unhold", held_job, op_unhold },
	{ "pause", one_job, op_pause },
	{ "purge", done_job, op_purge },
	{ "fsck", mixed_up, op_fsck },
	{ "config", parked_jobs, op_config },
	{ "look", mixed_up, op_look },
	{ "look", parked_jobs, op_look },
	{ "claim", careful_job, op_claim },
	{ "ack", careful_job, op_ack },
	{ "add", careful_job, op_add },
	{ "work", one_job, op_work },
	{ "follow", parked_jobs, op_follow },
	{ "work own", own_jobs, op_work_own },
	{ "work none", one_job, op_work_own },
	{ "work gone", one_job, op_work_gone },
	{ "work old", old_job, op_work },
	{ "work", one_job, op_work_rate },
	{ "work dead", dead_job, op_work },
	{ "run", no_jobs, op_run },
	{ "run gone", no_jobs, op_run_gone },
	{ "run", run_failed, op_run },
	{ "run other", one_job, op_run },
	{ "share", done_job, op_share },
	{ "show", done_job, op_show },
	{ "watch", done_job, op_watch },
	{ "spool", no_jobs, op_spool },
};

static void
faults(void)
{
	for (size_t i = 0; i < NITEMS(ops); i++)
		each_call(ops[i].name, ops[i].before, ops[i].op);
	CHECK(points > 2000 / every);
	printf("# %d calls failed\n", points);
}

static void
make_payload(void)
{
	if ((long_payload = memfd_create("payload", MFD_CLOEXEC)) == -1 ||
	    ftruncate(long_payload, 100000) == -1)
		err(1, "payload");
}

/* Without memory a file is no damaged one, which some would remove. */
static void
short_memory(void)
{
	static char one[] = "1", two[] = "2";
	struct idq_add a = { .key = "a", .keylen = 1, .fd = -1, .group = "g",
	    .args = (char *[]){ one, two }, .nargs = 2 };
	struct idq_added r;
	struct job j;
	int i, opened;

	empty();
	if (!CHECK_INT(idq_add(q, &a, &r), 0))
		return;
	for (i = 1;; i++) {
		failed_in = NULL;
		calls = 0;
		fail_at = i;
		opened = idq_key_open(q, r.hash, &j);
		fail_at = 0;
		CHECK(opened == -1 || j.whole);
		if (opened == 1)
			idq_job_close(&j);
		if (failed_in == NULL)
			break;
	}
	CHECK(i > 3);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "all") == 0)
		every = 1;
	q = spool_make();
	strlcpy(queue_dir, q->path, sizeof(queue_dir));
	idq_set_notice(q, notice, NULL);
	setenv("IDQ_SPOOL", spool_dir, 1);
	make_payload();
	quick = true;
	check_run("faults: each call that fails loses nothing", faults);
	check_run("faults: a job is not damaged for want of memory",
	    short_memory);
	quick = false;
	spool_remove(q);
	return check_done();
}
