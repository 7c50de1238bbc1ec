/* SPDX-License-Identifier: ISC */
/*
 * Each system call of the library that can fail does so once, and then nothing
 * is lost: this program's own openat() and so on come before those of libc.
 * That is each fifth call, or all with the argument `all'.
 */
#include <sys/file.h>
#include <sys/random.h>

#include <dlfcn.h>
#include <stdarg.h>

#include "check.h"
#include "spool.h"

/* The call that fails, counted from 1; 0: none. */
static int fail_at, calls;
static const char *failed_in;
static bool quick;		/* the queue has been made */

/* One of the 256 folders of keys/ without a key of ours: they take the time. */
static bool
is_unused(const char *path)
{
	static const char *const used[] = { "ca", "3e", "2e", "18", "3f",
	    "11", "2d", "a1", "1d" };

	if (strncmp(path, "keys/", 5) != 0 || strlen(path) != 7)
		return false;
	for (size_t i = 0; i < NITEMS(used); i++)
		if (strcmp(path + 5, used[i]) == 0)
			return false;
	return true;
}

/* Not static: for some compilers read(2) and pread(2) are inline. */
bool	 fails(const char *);

bool
fails(const char *name)
{
	static const int errors[] = { EIO, ENOSPC, EMFILE, EACCES };

	if (fail_at == 0 || ++calls != fail_at)
		return false;
	failed_in = name;
	errno = errors[(size_t)calls % NITEMS(errors)];
	return true;
}

/* Names of libc, with parameters of our own. */
/* NOLINTBEGIN */

/* TYPE NAME(PARAMETERS), which hands ARGS on unless it fails with BAD. */
/* It takes types for products. */
/* clang-format off */
#define CALL(type, name, bad, parameters, args)				\
	type	 name parameters;					\
	type								\
	name parameters							\
	{								\
		static type (*real) parameters;				\
									\
		if (real == NULL)					\
			*(void **)&real = dlsym(RTLD_NEXT, #name);	\
		return fails(#name) ? (bad) : real args;		\
	}

CALL(int, linkat, -1, (int a, const char *b, int c, const char *d, int e),
    (a, b, c, d, e))
CALL(int, renameat, -1, (int a, const char *b, int c, const char *d),
    (a, b, c, d))
CALL(int, unlinkat, -1, (int a, const char *b, int c), (a, b, c))
CALL(int, fsync, -1, (int a), (a))
CALL(int, ftruncate, -1, (int a, off_t b), (a, b))
CALL(int, fstat, -1, (int a, struct stat *b), (a, b))
CALL(int, fstatat, -1, (int a, const char *b, struct stat *c, int d),
    (a, b, c, d))
CALL(int, flock, -1, (int a, int b), (a, b))
CALL(ssize_t, pread, -1, (int a, void *b, size_t c, off_t d), (a, b, c, d))
CALL(ssize_t, read, -1, (int a, void *b, size_t c), (a, b, c))
CALL(ssize_t, write, -1, (int a, const void *b, size_t c), (a, b, c))
CALL(ssize_t, getrandom, -1, (void *a, size_t b, unsigned int c), (a, b, c))
CALL(DIR *, fdopendir, NULL, (int a), (a))
CALL(struct dirent *, readdir, NULL, (DIR *a), (a))
CALL(int, faccessat, -1, (int a, const char *b, int c, int d), (a, b, c, d))
/* clang-format on */

int
mkdirat(int dir, const char *path, mode_t mode)
{
	static int (*real)(int, const char *, mode_t);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "mkdirat");
	if (quick && is_unused(path)) {
		errno = EEXIST;
		return -1;
	}
	return fails("mkdirat") ? -1 : real(dir, path, mode);
}

int	 openat(int, const char *, int, ...);

int
openat(int dir, const char *path, int flags, ...)
{
	static int (*real)(int, const char *, int, ...);
	va_list ap;
	mode_t mode = 0;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "openat");
	if (quick && is_unused(path)) {
		errno = ENOENT;
		return -1;
	}
	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return fails("openat") ? -1 : real(dir, path, flags, mode);
}

/*
 * Memory: of the library alone, since a C library that has none may abort.
 * The sanitizers have their own.
 */
#ifndef __SANITIZE_ADDRESS__
/* clang-format off */
CALL(void *, reallocarray, NULL, (void *a, size_t b, size_t c), (a, b, c))
CALL(char *, strdup, NULL, (const char *a), (a))
CALL(char *, strndup, NULL, (const char *a, size_t b), (a, b))
/* clang-format on */
#endif
/* NOLINTEND */

static struct idq *q;
static char token[IDQ_TOKEN_LEN + 1];
static char queue_dir[sizeof(spool_dir) + 8];

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

static int
remove_job(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	return type != FTW_DP ? unlink(path) : 0;
}

static void
empty(void)
{
	static const char *const dirs[] = { "tmp", "new", "wait", "paced",
	    "cur", "hold", "failed", "done", "cancelled", "expired", "dups",
	    "turn", "groups", "out", "log", "asked", "run" };
	static const char *const keys[] = { "a", "b", "c", "d", "e", "new",
	    "x", "y", "later" };
	char hash[HASH_SIZE], path[sizeof(queue_dir) + PATH_SIZE];

	for (size_t i = 0; i < NITEMS(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", queue_dir, dirs[i]);
		if (nftw(path, remove_job, 16, FTW_DEPTH | FTW_PHYS) != 0)
			err(1, "%s", path);
	}
	for (size_t i = 0; i < NITEMS(keys); i++) {
		idq_key_hash(keys[i], strlen(keys[i]), hash);
		idq_key_path(hash, path);
		unlinkat(q->fd, path, 0);
	}
	unlinkat(q->fd, "config", 0);
	unlinkat(q->fd, "paused", 0);
	idq_config_load(q);
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
	    strcmp(name, "open") == 0 || strcmp(name, "init") == 0);
	q->sync_failed = false;
	good &= CHECK_INT(idq_fsck(q, &f), 0);
	good &= CHECK_INT(idq_fsck(q, &f), 0);
	good &= CHECK_INT(f.fixed, 0);
	if (had_a && strcmp(name, "forget") != 0 &&
	    strcmp(name, "purge") != 0 && strcmp(name, "replace") != 0)
		good &= CHECK(is_there("a"));
	if (r == 0 && strcmp(name, "add") == 0)
		good &= CHECK(is_there("new"));
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
};

static void
faults(void)
{
	for (size_t i = 0; i < NITEMS(ops); i++)
		each_call(ops[i].name, ops[i].before, ops[i].op);
	CHECK(points > 2000 / every);
	printf("# %d calls failed\n", points);
}

int
main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "all") == 0)
		every = 1;
	q = spool_make();
	strlcpy(queue_dir, q->path, sizeof(queue_dir));
	quick = true;
	check_run("faults: each call that fails loses nothing", faults);
	quick = false;
	spool_remove(q);
	return check_done();
}
