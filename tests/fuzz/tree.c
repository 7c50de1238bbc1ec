/* SPDX-License-Identifier: ISC */
/*
 * The bytes are a queue's directory: each few of them put a job file, a second
 * name of one, junk, a link to what is outside, a folder or a fifo in one of
 * its places, by a right name or an odd one.  Then it is mended, listed, and
 * claimed from.  Nothing outside is touched, a second mending finds nothing to
 * do, and no accepted job is lost.
 */
#include <sys/stat.h>

#include <time.h>

#include "fuzz.h"
#include "../unit/spool.h"

#define OPS		24

static const char *const keys[] = { "a", "call/+45", "k\303\270" };
static const char *const ids[] = { "00000000000000aa", "9c1f03b2a4d5e677",
    "ffffffffffffffff" };
static const char *const groups[] = { NULL, "g", "+4512345678" };
static const char *const times[] = { "2001-02-03T04:05:06.000007Z",
    "2024-02-29T23:59:59.999999Z", "2090-01-01T00:00:00.000000Z",
    "1970-01-01T00:00:00.000001Z" };

/* Beyond the places of names: what else is in a queue. */
enum {
	W_KEYS = PL_TMP + 1, W_TURN, W_DUPS, W_ASKED, W_OUT, W_GROUPS, W_LOG,
	W_TOP, W_N
};

DIR	*__real_idq_opendir(struct idq *, const char *);
DIR	*__wrap_idq_opendir(struct idq *, const char *);
int	 __real_idq_at_stat(struct idq *, const char *, struct stat *);
int	 __wrap_idq_at_stat(struct idq *, const char *, struct stat *);
int	 __real_mkdirat(int, const char *, mode_t);
int	 __wrap_mkdirat(int, const char *, mode_t);
int	 __real_idq_first_init(struct first *, size_t);
int	 __wrap_idq_first_init(struct first *, size_t);
int	 __wrap_nanosleep(const struct timespec *, struct timespec *);

static struct idq *q;
static struct stat outside, file, folder;
static bool taken[NITEMS(keys)][NITEMS(ids)];	/* by a job of this tree */
static char made[OPS][PATH_SIZE];
static size_t nmade;

static void	 empty(const char *);

static int64_t
time_of(unsigned int b)
{
	int64_t t = 0;

	REQUIRE(idq_stamp_parse(times[b % NITEMS(times)], IDQ_STAMP_LEN,
	    &t) == 0);
	return t;
}

static void
hash_of(const char *s, char hash[HASH_SIZE])
{
	idq_key_hash(s, strlen(s), hash);
}

/* Any of the queue's, more often one of those with jobs. */
static const char *
top_name(unsigned int what)
{
	size_t n = 0;

	if (what < PL_TURN + 1)
		return idq_place_dir(what);
	if (what < 64)
		return what & 1 ? "paused" : "keys/zz";
	while (idq_dirs[n] != NULL)
		n++;
	return n > 0 ? idq_dirs[what % n] : "new";
}

/* A name of the place, of which the bits of WHAT choose the parts. */
static void
right_path(unsigned int where, unsigned int what, char path[PATH_SIZE])
{
	static const char *const suffixes[] = { "", ".k", ".bad", ".x" };
	const char *id = ids[what / 4 % NITEMS(ids)];
	int64_t t = time_of(what / 16);
	char hash[HASH_SIZE], gh[HASH_SIZE];

	hash_of(keys[what % NITEMS(keys)], hash);
	hash_of(what & 64 ? "g" : "+4512345678", gh);
	switch (where) {
	case PL_PACED:
		idq_paced_path(gh, hash, id, t, path);
		break;
	case PL_TMP:
		idq_tmp_path(id, suffixes[what / 16 % 4], path);
		break;
	case W_KEYS:
		idq_key_path(hash, path);
		break;
	case W_TURN:
		idq_turn_path(gh, t, path);
		break;
	case W_DUPS:
		idq_dups_path(hash, id, path);
		break;
	case W_ASKED:
		idq_asked_path(id, path);
		break;
	case W_OUT:
		idq_out_path(hash, id, what / 16 % 4, path);
		break;
	case W_GROUPS:
		idq_group_path(gh, path);
		break;
	case W_LOG:
		snprintf(path, PATH_SIZE, "log/%.10s.%s", times[what % 4],
		    what & 4 ? "host" : "");
		break;
	case W_TOP:
		strlcpy(path, top_name(what), PATH_SIZE);
		break;
	default:
		idq_place_path(where, hash, id, t, path);
	}
}

static void
spoil(char *path, unsigned int how)
{
	static const char *const odd[] = { "x", "a\nb", "\377\376", ".x",
	    "2024-02-30", "20240230T0000", "-", "%s" };
	char *name = strrchr(path, '/');

	if (name == NULL)
		return;
	switch (how % 16) {
	case 9:
		name[strlen(name) - 1] = '\0';
		break;
	case 10:
		strlcat(path, "x", PATH_SIZE);
		break;
	case 11:
		for (; *name != '\0'; name++)
			if (*name >= 'a' && *name <= 'f')
				*name -= 'a' - 'A';
		break;
	case 12:
		strlcpy(name + 1, odd[how / 16 % NITEMS(odd)],
		    PATH_SIZE - (size_t)(name + 1 - path));
		break;
	case 13:
		memset(name + 1, 'y', 100);
		name[101] = '\0';
		break;
	case 14:			/* the folder itself */
		*name = '\0';
		break;
	}
}

/* A line of a trail, most often one that an idq could have written. */
static size_t
trail_line(struct bytes *b, unsigned int n, char line[LINE_SIZE])
{
	static const enum place to[] = { PL_NEW, PL_WAIT, PL_HOLD, PL_FAILED };
	unsigned int what = take_byte(b), when = take_byte(b);
	struct line l = { .at = time_of(when), .event = what % EV_N, .n = n };

	l.to = to[what / 16 % 4];
	if (when & 4)
		l.next = time_of(when / 16);
	if (when & 8)
		l.release = when & 16 ? IDQ_FOREVER : time_of(when / 32);
	if (l.event == EV_CLAIMED && when & 32)
		l.lease = time_of(when / 64);
	return idq_line_format(&l, line, LINE_SIZE);
}

/* The header, its payload and the newline; 0: there is such a job already. */
static size_t
put_head(int fd, struct bytes *b, unsigned int what)
{
	unsigned int more = take_byte(b), opts = take_byte(b);
	size_t key = (what + more / 64) % NITEMS(keys);
	size_t id = (what / 4 + opts / 128) % NITEMS(ids);
	struct idq_job p = { .by = (char[]){ "uid=0" }, .length = 2 };
	struct idq_print *print;
	char *args[] = { (char[]){ "arg\n" }, NULL }, *head;
	size_t len;

	/* No two have the same random id. */
	if (taken[key][id])
		return 0;
	taken[key][id] = true;
	p.key = (char *)(uintptr_t)keys[key];
	p.group = (char *)(uintptr_t)groups[more % NITEMS(groups)];
	strlcpy(p.id, ids[id], sizeof(p.id));
	p.added = time_of(1);
	p.due = time_of(opts & 64 ? opts : what / 16);
	p.args = args;
	p.nargs = more >> 2 & 1;
	p.expires = opts & 1 ? time_of(opts / 2) : 0;
	p.run = (opts & 24) == 24;
	p.keep = more & 8 ? IDQ_SECOND : 0;
	p.on_crash = more & 16 ? IDQ_CRASH_HOLD : IDQ_CRASH_UNSET;
	p.attempts_max = more & 32 ? 1 : 0;
	if ((print = idq_print_new(args, p.nargs)) == NULL)
		err(1, NULL);
	idq_print_add(print, opts & 32 ? "no" : "hi", 2);
	idq_print_end(print, p.fingerprint);
	if ((head = idq_header_format(&p, p.length, 1, &len)) == NULL ||
	    idq_write_all(fd, head, len) == -1 ||
	    idq_write_all(fd, "hi\n", 3) == -1)
		err(1, NULL);
	free(head);
	return len + 3;
}

static void
put_job(int fd, struct bytes *b, unsigned int what)
{
	size_t len = put_head(fd, b, what), n;
	unsigned int shape = take_byte(b), claims = 0;
	char line[LINE_SIZE];

	if (len == 0)
		return;
	for (unsigned int i = 0; i < shape % 4; i++) {
		if (b->n > 0 && *b->p % EV_N == EV_CLAIMED)
			claims++;
		n = trail_line(b, claims, line);
		len += n;
		if (idq_write_all(fd, line, n) == -1)
			err(1, NULL);
	}
	switch (shape / 4 % 16) {
	case 1:				/* torn anywhere */
		if (ftruncate(fd, (off_t)(len * (shape / 64) / 4)) == -1)
			err(1, NULL);
		break;
	case 2:				/* torn at its end, or zeros there */
		if (ftruncate(fd, (off_t)len + (shape & 64 ? -7 : 7)) == -1)
			err(1, NULL);
		break;
	}
}

static void
put_raw(int fd, struct bytes *b)
{
	size_t n = take_byte(b);

	if (n > b->n)
		n = b->n;
	if (idq_write_all(fd, b->p, n) == -1)
		err(1, NULL);
	b->p += n;
	b->n -= n;
}

/* Other inputs may have put a folder there: what cannot be made is not. */
static void
put_file(struct bytes *b, const char *path, unsigned int what, int job)
{
	int fd = openat(q->fd, path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
	    O_APPEND, 0600);

	if (fd == -1)
		return;
	if (job)
		put_job(fd, b, what);
	else
		put_raw(fd, b);
	close(fd);
	strlcpy(made[nmade++], path, sizeof(made[0]));
}

/* With stamps and the mark of a start-up scan, which the next tree may keep. */
static bool
is_kept(const char *path)
{
	return strcmp(path, "boot") == 0 || strcmp(path, "run") == 0;
}

/* What is in the way of PATH goes, if it is an empty folder. */
static void
put(struct bytes *b)
{
	unsigned int where = take_byte(b), what = take_byte(b);
	unsigned int kind = take_byte(b), spoiled = take_byte(b);
	bool is_folder = where % W_N == W_TOP || spoiled % 16 == 14;
	char path[PATH_SIZE];

	right_path(where % W_N, what, path);
	spoil(path, spoiled);
	idq_mkdir_for(q, path);
	if (is_kept(path))
		empty(path);
	if (is_folder)
		unlinkat(q->fd, path, AT_REMOVEDIR);
	switch (kind % 16) {
	case 8:
		put_file(b, path, what, 0);
		break;
	case 9:
		if (symlinkat("../outside/file", q->fd, path) == -1)
			errno = 0;
		break;
	case 10:
		/* Whoever gives a queue such a folder has it used. */
		if (symlinkat(is_folder ? "../outside/file" :
		    "../outside/folder", q->fd, path) == -1)
			errno = 0;
		break;
	case 11:
		if (mkdirat(q->fd, path, 0700) == -1)
			errno = 0;
		break;
	case 12:
		if (mkfifoat(q->fd, path, 0600) == -1)
			errno = 0;
		break;
	case 13:
	case 14:
	case 15:
		if (nmade > 0 && linkat(q->fd, made[kind / 16 % nmade], q->fd,
		    path, 0) == -1)
			errno = 0;
		break;
	default:
		put_file(b, path, what, 1);
	}
}

/*
 * Of the 256 folders of keys/ only those of the keys above are really there:
 * looking into the others took 30 times as long as all the rest.
 */
static bool
is_used(const char *path)
{
	static bool known, used[256];
	char hash[HASH_SIZE], *end;
	unsigned long n;

	if (path[0] != 'k' || path[4] != '/')
		return true;
	n = strtoul(path + 5, &end, 16);
	if (end != path + 7 || *end != '\0' || n > 255)
		return true;
	for (size_t i = 0; !known && i < NITEMS(keys); i++) {
		hash_of(keys[i], hash);
		hash[2] = '\0';
		used[strtoul(hash, NULL, 16)] = true;
	}
	known = true;
	return used[n];
}

DIR *
__wrap_idq_opendir(struct idq *queue, const char *path)
{
	if (is_used(path))
		return __real_idq_opendir(queue, path);
	errno = ENOENT;
	return NULL;
}

int
__wrap_idq_at_stat(struct idq *queue, const char *path, struct stat *st)
{
	if (is_used(path))
		return __real_idq_at_stat(queue, path, st);
	return fstat(queue->fd, st);
}

int
__wrap_mkdirat(int fd, const char *path, mode_t mode)
{
	if (is_used(path))
		return __real_mkdirat(fd, path, mode);
	errno = EEXIST;
	return -1;
}

/* Room for 16,384 names is poisoned and cleared each time: for all it holds. */
int
__wrap_idq_first_init(struct first *f, size_t cap)
{
	return __real_idq_first_init(f, cap < 2 * OPS ? cap : 2 * OPS);
}

/* Whoever has a lock here is the same process: waiting for it is no use. */
int
__wrap_nanosleep(const struct timespec *t, struct timespec *rest)
{
	(void)t;
	(void)rest;
	return 0;
}

/*
 * Cleaning up.
 */

static void	 wipe(int, const char *);

static void
wipe_in(int dir)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;

	if (d == NULL)
		err(1, NULL);
	while ((e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0)
			wipe(dirfd(d), e->d_name);
	closedir(d);
}

static void
wipe(int at, const char *name)
{
	int dir;

	if (unlinkat(at, name, 0) == 0)
		return;
	dir = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
	if (dir == -1)
		err(1, "%s", name);
	wipe_in(dir);
	if (unlinkat(at, name, AT_REMOVEDIR) == -1)
		err(1, "%s", name);
}

/* An empty folder, or what will be one. */
static void
empty(const char *name)
{
	int dir = openat(q->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

	if (dir != -1) {
		wipe_in(dir);
		return;
	}
	if (errno != ENOENT && unlinkat(q->fd, name, 0) == -1)
		err(1, "%s", name);
	if (mkdirat(q->fd, name, 0700) == -1)
		err(1, "%s", name);
}

static void
empty_keys(void)
{
	char name[PATH_SIZE];

	for (size_t i = 0; i < NITEMS(keys); i++) {
		hash_of(keys[i], name + 5);
		memcpy(name, "keys/", 5);
		name[7] = '\0';
		empty(name);
	}
	if (faccessat(q->fd, "keys/zz", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
		empty("keys/zz");
		unlinkat(q->fd, "keys/zz", AT_REMOVEDIR);
	}
}

static void
clean(void)
{
	static const char *const kept[] = { "boot", "run" };
	static const char *const dirs[] = { "tmp", "new", "wait", "paced",
	    "cur", "hold", "failed", "done", "cancelled", "expired", "dups",
	    "turn", "groups", "out", "log", "asked" };

	for (size_t i = 0; i < NITEMS(dirs); i++)
		empty(dirs[i]);
	for (size_t i = 0; i < NITEMS(kept); i++)
		if (unlinkat(q->fd, kept[i], 0) == 0)
			empty(kept[i]);
	empty_keys();
	if (faccessat(q->fd, "paused", F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		wipe(q->fd, "paused");
	memset(taken, 0, sizeof(taken));
	nmade = 0;
}

static void
leave(void)
{
	spool_remove(q);
}

static void
look_outside(struct stat *top, struct stat *f, struct stat *dir)
{
	if (fstatat(q->fd, "../outside", top, 0) == -1 ||
	    fstatat(q->fd, "../outside/file", f, 0) == -1 ||
	    fstatat(q->fd, "../outside/folder", dir, 0) == -1)
		err(1, "outside");
}

static void
start(void)
{
	char path[sizeof(spool_dir) + 32];
	int fd;

	q = spool_make();
	atexit(leave);
	snprintf(path, sizeof(path), "%s/outside", spool_dir);
	if (mkdir(path, 0700) == -1)
		err(1, "%s", path);
	strlcat(path, "/folder", sizeof(path));
	if (mkdir(path, 0700) == -1)
		err(1, "%s", path);
	fd = openat(q->fd, "../outside/file", O_WRONLY | O_CREAT, 0600);
	if (fd == -1 || write(fd, "whose?\n", 7) != 7)
		err(1, "outside");
	close(fd);
	look_outside(&outside, &file, &folder);
}

static int
unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size &&
	    a->st_nlink == b->st_nlink && a->st_mode == b->st_mode &&
	    a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	    a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	    a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void
check_outside(void)
{
	struct stat top, f, dir;

	look_outside(&top, &f, &dir);
	REQUIRE(unchanged(&top, &outside) && unchanged(&f, &file) &&
	    unchanged(&dir, &folder));
}

/*
 * What is done to the tree.
 */

static void
finding(void *arg, bool fixed, const char *path, const char *what)
{
	REQUIRE(*what != '\0' && strlen(path) < 2 * PATH_SIZE);
	if (getenv("FUZZ_VERBOSE") != NULL)
		fprintf(stderr, "%s: %s %s: %s\n", (const char *)arg,
		    fixed ? "fixed" : "left", path, what);
}

static int
mend(struct idq_fsck *f, bool dry_run, const char *when)
{
	memset(f, 0, sizeof(*f));
	f->dry_run = dry_run;
	f->report = finding;
	f->arg = (void *)(uintptr_t)when;
	return idq_fsck(q, f);
}

/*
 * The inode of each key's file that is an accepted job and not over, or any: a
 * mending ends those that were asked to end.
 */
static void
accepted(ino_t inodes[NITEMS(keys)], bool ended_too)
{
	char hash[HASH_SIZE];
	struct job j;

	for (size_t i = 0; i < NITEMS(keys); i++) {
		inodes[i] = 0;
		hash_of(keys[i], hash);
		if (idq_key_open(q, hash, &j) != 1)
			continue;
		if (j.whole && !j.pub.run && (ended_too || !idq_is_over(&j)) &&
		    idq_job_verify(q, &j) == 1)
			inodes[i] = j.ino;
		idq_job_close(&j);
	}
}

static void
check_dry(void)
{
	ino_t before[NITEMS(keys)], after[NITEMS(keys)];
	struct idq_fsck dry;

	accepted(before, false);
	if (mend(&dry, true, "dry") == -1)
		return;
	REQUIRE(dry.fixed == 0);
	accepted(after, false);
	REQUIRE(memcmp(before, after, sizeof(before)) == 0);
}

static void
check_mended(void)
{
	ino_t before[NITEMS(keys)], after[NITEMS(keys)];
	struct idq_fsck first, second;

	accepted(before, false);
	if (mend(&first, false, "first") == -1) {
		REQUIRE(*idq_errmsg(q) != '\0');
		REQUIRE(strstr(idq_errmsg(q), "still mended") == NULL);
		return;
	}
	accepted(after, true);
	for (size_t i = 0; i < NITEMS(keys); i++)
		REQUIRE(before[i] == 0 || before[i] == after[i]);
	REQUIRE(mend(&second, false, "second") == 0);
	REQUIRE(second.fixed == 0);
	REQUIRE(second.left <= first.left);
}

static int
look(void *arg, struct idq_job *p)
{
	unsigned int *n = arg;

	REQUIRE(p->state < IDQ_NSTATES && p->key != NULL);
	++*n;
	return 0;
}

/* Whether anything was claimed. */
static bool
use(void)
{
	char token[IDQ_TOKEN_LEN + 1];
	struct idq_counts counts;
	struct idq_job *job;
	unsigned int n = 0;
	bool any = false;

	idq_list(q, ~0u, look, &n);
	idq_count(q, true, &counts);
	while (n-- > 0 && idq_claim(q, 0, &job, token) == 1) {
		REQUIRE(idq_is_token(token));
		REQUIRE(job->state == IDQ_RUNNING && job->attempts > 0);
		if (n % 2 == 0)
			REQUIRE(idq_ack(q, token) == 0);
		idq_job_free(job);
		any = true;
	}
	return any;
}

static void
quiet(void *arg, const char *text)
{
	(void)arg;
	REQUIRE(*text != '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bytes b = { data, size };

	if (q == NULL) {
		start();
		idq_set_notice(q, quiet, NULL);
	}
	clean();
	for (int i = 0; i < OPS && b.n > 0; i++)
		put(&b);
	/* It costs a fourth of all the rest. */
	if (size % 4 == 0)
		check_dry();
	check_mended();
	if (use())
		check_mended();
	check_outside();
	return 0;
}
