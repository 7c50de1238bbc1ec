/* SPDX-License-Identifier: ISC */
/*
 * Adds whose system calls fail: linkat(2) and fsync(2) of this program stand
 * in front of libc's.  Nothing is really synced: no test cuts the power.
 */
#include <sys/syscall.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "spool.h"

#define ENOUGH	1000

static struct idq *q;

/* Called before a link to keys/: an errno, or 0 to go on with it. */
static int (*link_hook)(const char *from, const char *to);
static int link_calls;
static int link_errno;
static bool link_all_the_same;		/* done, but reported as failed */

/* The which-th fsync(2) from now on fails. */
static int sync_fails;

static struct {
	struct idq_add	 adds[5];
	struct idq_added results[5];
} group;

int
linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
	int e = 0;

	if (link_hook != NULL && strncmp(to, "keys/", 5) == 0) {
		link_calls++;
		e = link_hook(from, to);
	}
	if ((e == 0 || link_all_the_same) &&
	    syscall(SYS_linkat, fromfd, from, tofd, to, flags) == -1)
		return -1;
	if (e == 0)
		return 0;
	errno = e;
	return -1;
}

int
fsync(int fd)
{
	(void)fd;
	if (sync_fails > 0 && --sync_fails == 0) {
		errno = EIO;
		return -1;
	}
	return 0;
}

/* Remove a file of a job, or what tells of one. */
static int
clear(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	return type == FTW_F && ftw->level > 1 ? unlink(path) : 0;
}

/* An empty queue, and nothing that fails. */
static void
start(void)
{
	if (q == NULL)
		q = spool_make();
	else if (nftw(q->path, clear, 16, FTW_PHYS) != 0)
		err(1, "%s", q->path);
	q->cfg[CFG_SYNC] = SYNC_FULL;
	link_hook = NULL;
	link_calls = 0;
	link_all_the_same = false;
	sync_fails = 0;
}

static void
fill(struct idq_add *a, const char *key, const char *payload)
{
	memset(a, 0, sizeof(*a));
	a->key = key;
	a->keylen = strlen(key);
	a->payload = payload;
	a->length = strlen(payload);
	a->fd = -1;
}

static int
add(const char *key, struct idq_added *r)
{
	struct idq_add a;

	fill(&a, key, "hello");
	return idq_add(q, &a, r);
}

static int
count_keys(void)
{
	char path[16];
	int n = 0;

	for (int i = 0; i < 256; i++) {
		snprintf(path, sizeof(path), "keys/%02x", (unsigned int)i);
		if (faccessat(q->fd, path, F_OK, 0) == 0)
			n += spool_entries(q, path);
	}
	return n;
}

/* N jobs are pending, each with its key, and nothing else is there. */
static void
check_jobs(int n)
{
	CHECK_INT(spool_entries(q, "tmp"), 0);
	CHECK_INT(spool_entries(q, "new"), n);
	CHECK_INT(count_keys(), n);
}

/* The key is free as if nothing had been. */
static void
check_free(const char *key)
{
	struct idq_added r;

	link_hook = NULL;
	CHECK_INT(add(key, &r), 0);
	CHECK_INT(r.outcome, IDQ_ADDED);
}

static int
fail_link(const char *from, const char *to)
{
	(void)from;
	(void)to;
	return link_errno;
}

/* 75: the same again later; what cannot get better is not. */
static void
failed_link(void)
{
	static const struct {
		int error;
		int code;
	} all[] = {
		{ ENOSPC, 75 }, { EDQUOT, 75 }, { EIO, 74 }, { EPERM, 77 },
	};
	struct idq_added r;

	for (size_t i = 0; i < NITEMS(all); i++) {
		start();
		link_hook = fail_link;
		link_errno = all[i].error;
		CHECK_INT(add("k", &r), -1);
		CHECK_INT(r.outcome, IDQ_ERROR);
		CHECK_INT(r.code, all[i].code);
		CHECK_INT(idq_errcode(q), all[i].code);
		CHECK(strstr(r.message, strerror(all[i].error)) != NULL);
		CHECK_INT(link_calls, 1);
		check_jobs(0);
		check_free("k");
		check_jobs(1);
	}
}

/* NFS: it was done, and the answer to the first call was lost. */
static void
lost_reply(void)
{
	struct idq_added r;

	start();
	link_hook = fail_link;
	link_errno = EEXIST;
	link_all_the_same = true;
	CHECK_INT(add("k", &r), 0);
	CHECK_INT(r.outcome, IDQ_ADDED);
	check_jobs(1);
}

static int
reap_first(const char *from, const char *to)
{
	(void)to;
	if (link_calls == 1 && unlinkat(q->fd, from, 0) == -1)
		err(1, "%s", from);
	return 0;
}

static void
reaped(void)
{
	struct idq_added r;

	start();
	link_hook = reap_first;
	CHECK_INT(add("k", &r), 0);
	CHECK_INT(r.outcome, IDQ_ADDED);
	CHECK_INT(link_calls, 2);
	check_jobs(1);
}

static int
remove_folder(const char *from, const char *to)
{
	char dir[PATH_SIZE];

	(void)from;
	strlcpy(dir, to, sizeof(dir));
	*strrchr(dir, '/') = '\0';
	if (link_calls == 1 && unlinkat(q->fd, dir, AT_REMOVEDIR) == -1)
		err(1, "%s", dir);
	return 0;
}

static void
folder_gone(void)
{
	struct idq_added r;

	start();
	link_hook = remove_folder;
	CHECK_INT(add("k", &r), 0);
	CHECK_INT(r.outcome, IDQ_ADDED);
	CHECK_INT(link_calls, 2);
	check_jobs(1);
}

/* ENOENT for ever, as where keys/HH is a symbolic link to nowhere. */
static int
never_there(const char *from, const char *to)
{
	(void)from;
	(void)to;
	return link_calls < ENOUGH ? ENOENT : EIO;
}

static void
no_end(void)
{
	struct idq_added r;

	start();
	link_hook = never_there;
	CHECK_INT(add("k", &r), -1);
	CHECK_INT(r.outcome, IDQ_ERROR);
	CHECK(link_calls < ENOUGH);
	check_jobs(0);
}

static struct idq_added rival;

static int
rival_first(const char *from, const char *to)
{
	struct idq *mine = q;

	(void)from;
	(void)to;
	link_hook = NULL;
	if (idq_open(&q, mine->path, IDQ_WRITE) == -1 ||
	    add("k", &rival) == -1)
		errx(1, "%s", idq_errmsg(q));
	idq_close(q);
	q = mine;
	return 0;
}

static void
race_lost(void)
{
	struct idq_added r;

	start();
	link_hook = rival_first;
	CHECK_INT(add("k", &r), 0);
	CHECK_INT(rival.outcome, IDQ_ADDED);
	CHECK_INT(r.outcome, IDQ_DUPLICATE);
	CHECK_STR(r.id, rival.id);
	CHECK_STR(r.hash, rival.hash);
	CHECK_INT(r.state, IDQ_PENDING);
	CHECK_INT(r.dups, 1);
	check_jobs(1);
}

static void
race_lost_by_another(void)
{
	struct idq_added r;
	struct idq_add a;

	start();
	link_hook = rival_first;
	fill(&a, "k", "another payload");
	CHECK_INT(idq_add(q, &a, &r), -1);
	CHECK_INT(r.outcome, IDQ_MISMATCH);
	CHECK_INT(r.code, 65);
	CHECK(r.payload_differs && !r.args_differ);
	check_jobs(1);
}

/* The file is synced first, its name second. */
static void
failed_sync(void)
{
	struct idq_added r;

	for (int which = 1; which <= 2; which++) {
		start();
		sync_fails = which;
		CHECK_INT(add("k", &r), -1);
		CHECK_INT(sync_fails, 0);
		CHECK_INT(r.outcome, IDQ_ERROR);
		CHECK_INT(r.code, 75);
		check_jobs(0);
		check_free("k");
		check_jobs(1);
	}
}

/* Sync off voids the promise, sync file the second half of it. */
static void
syncs_as_configured(void)
{
	static const struct {
		int64_t sync;
		int calls;
	} all[] = {
		{ SYNC_FULL, 2 }, { SYNC_FILE, 1 }, { SYNC_OFF, 0 },
	};
	struct idq_added r;

	for (size_t i = 0; i < NITEMS(all); i++) {
		start();
		q->cfg[CFG_SYNC] = all[i].sync;
		sync_fails = ENOUGH;
		CHECK_INT(add("k", &r), 0);
		CHECK_INT(ENOUGH - sync_fails, all[i].calls);
		/* A duplicate has nothing to wait for. */
		sync_fails = ENOUGH;
		CHECK_INT(add("k", &r), 0);
		CHECK_INT(r.outcome, IDQ_DUPLICATE);
		CHECK_INT(ENOUGH - sync_fails, 0);
	}
}

static void
duplicates_inside(void)
{
	struct idq_add *a = group.adds;
	struct idq_added *r = group.results;

	start();
	fill(&a[0], "a", "hello");
	fill(&a[1], "b", "hello");
	fill(&a[2], "a", "hello");
	fill(&a[3], "a", "hello");
	fill(&a[4], "b", "hello");
	CHECK_INT(idq_add_group(q, a, 5, r), 0);
	CHECK_INT(r[0].outcome, IDQ_ADDED);
	CHECK_INT(r[1].outcome, IDQ_ADDED);
	for (int i = 2; i < 5; i++) {
		CHECK_INT(r[i].outcome, IDQ_DUPLICATE);
		CHECK_INT(r[i].state, IDQ_PENDING);
	}
	CHECK_STR(r[2].id, r[0].id);
	CHECK_STR(r[3].id, r[0].id);
	CHECK_STR(r[4].id, r[1].id);
	CHECK(strcmp(r[0].id, r[1].id) != 0);
	CHECK_INT(r[2].dups, 1);
	CHECK_INT(r[3].dups, 2);
	CHECK_INT(r[4].dups, 1);
	check_jobs(2);
	/* All of them once more. */
	CHECK_INT(idq_add_group(q, a, 5, r), 0);
	for (int i = 0; i < 5; i++)
		CHECK_INT(r[i].outcome, IDQ_DUPLICATE);
	CHECK_INT(r[3].dups, 5);
	CHECK_INT(r[4].dups, 3);
	check_jobs(2);
}

static void
mismatch_inside(void)
{
	static char arg[] = "x", *args[] = { arg, NULL };
	struct idq_add *a = group.adds;
	struct idq_added *r = group.results;

	start();
	fill(&a[0], "a", "hello");
	fill(&a[1], "a", "world");
	fill(&a[2], "a", "hello");
	fill(&a[3], "a", "hello");
	a[3].args = args;
	a[3].nargs = 1;
	CHECK_INT(idq_add_group(q, a, 4, r), -1);
	CHECK_INT(idq_errcode(q), 65);
	CHECK_INT(r[0].outcome, IDQ_ADDED);
	CHECK_INT(r[1].outcome, IDQ_MISMATCH);
	CHECK_INT(r[1].code, 65);
	CHECK(r[1].payload_differs && !r[1].args_differ);
	CHECK_INT(r[2].outcome, IDQ_DUPLICATE);
	CHECK_INT(r[2].dups, 1);
	CHECK_INT(r[3].outcome, IDQ_MISMATCH);
	CHECK(r[3].args_differ && !r[3].payload_differs);
	check_jobs(1);
}

/* Three, of which one has a key that is none. */
static void
check_invalid(size_t which, const char *key, size_t keylen)
{
	static const char *const names[] = { "a", "b", "c" };
	struct idq_add *a = group.adds;
	struct idq_added *r = group.results;

	start();
	for (size_t i = 0; i < 3; i++)
		fill(&a[i], names[i], "hello");
	a[which].key = key;
	a[which].keylen = keylen;
	CHECK_INT(idq_add_group(q, a, 3, r), -1);
	CHECK_INT(idq_errcode(q), 64);
	for (size_t i = 0; i < 3; i++) {
		CHECK_INT(r[i].outcome, i == which ? IDQ_ERROR : IDQ_ADDED);
		CHECK_INT(r[i].code, i == which ? 64 : 0);
		CHECK_INT(*r[i].message != '\0', i == which);
	}
	CHECK_STR(idq_errmsg(q), r[which].message);
	check_jobs(2);
}

static void
one_invalid(void)
{
	for (size_t which = 0; which < 3; which++) {
		check_invalid(which, "", 0);
		check_invalid(which, "a\0b", 3);
		check_invalid(which, "\303", 1);
	}
}

static void
other_invalid(void)
{
	struct idq_add *a = group.adds;
	struct idq_added *r = group.results;

	start();
	fill(&a[0], "a", "hello");
	a[0].group = "two\nlines";
	fill(&a[1], "b", "hello");
	a[1].due = INT64_C(4000000000000000);
	a[1].not_after = INT64_C(3000000000000000);
	fill(&a[2], "c", "hello");
	CHECK_INT(idq_add_group(q, a, 3, r), -1);
	CHECK_INT(r[0].code, 64);
	CHECK_INT(r[1].code, 64);
	CHECK_INT(r[2].outcome, IDQ_ADDED);
	check_jobs(1);
}

static int
fail_second(const char *from, const char *to)
{
	(void)from;
	(void)to;
	return link_calls == 2 ? ENOSPC : 0;
}

/* The highest code is the group's; the others stand. */
static void
one_link_failed(void)
{
	struct idq_add *a = group.adds;
	struct idq_added *r = group.results;

	start();
	fill(&a[0], "a", "hello");
	fill(&a[1], "b", "hello");
	fill(&a[2], "c", "hello");
	fill(&a[3], "", "hello");
	link_hook = fail_second;
	CHECK_INT(idq_add_group(q, a, 4, r), -1);
	CHECK_INT(idq_errcode(q), 75);
	CHECK_INT(r[0].outcome, IDQ_ADDED);
	CHECK_INT(r[1].code, 75);
	CHECK_INT(r[2].outcome, IDQ_ADDED);
	CHECK_INT(r[3].code, 64);
	check_jobs(2);
	check_free("b");
}

/* Nobody is told of a duplicate of what was withdrawn. */
static void
one_sync_failed(void)
{
	struct idq_add *a = group.adds;
	struct idq_added *r = group.results;

	start();
	fill(&a[0], "a", "hello");
	fill(&a[1], "b", "hello");
	fill(&a[2], "a", "hello");
	fill(&a[3], "b", "hello");
	sync_fails = 1;
	CHECK_INT(idq_add_group(q, a, 4, r), -1);
	CHECK_INT(r[0].outcome, IDQ_ERROR);
	CHECK_INT(r[0].code, 75);
	CHECK_INT(r[1].outcome, IDQ_ADDED);
	CHECK_INT(r[2].outcome, IDQ_ERROR);
	CHECK_INT(r[2].code, 75);
	CHECK_INT(r[3].outcome, IDQ_DUPLICATE);
	check_jobs(1);
	check_free("a");
}

static void
large_group(void)
{
	enum { N = 600, KEYS = 200 };
	struct idq_add *a = calloc(N, sizeof(*a));
	struct idq_added *r = calloc(N, sizeof(*r));
	struct key {
		char s[8];
	} *keys = calloc(N, sizeof(*keys));

	if (a == NULL || r == NULL || keys == NULL)
		err(1, NULL);
	start();
	q->cfg[CFG_SYNC] = SYNC_OFF;
	CHECK(idq_group_max() >= N);
	for (int i = 0; i < N; i++) {
		snprintf(keys[i].s, sizeof(keys[i].s), "%d", i % KEYS);
		fill(&a[i], keys[i].s, "hello");
	}
	CHECK_INT(idq_add_group(q, a, N, r), 0);
	for (int i = 0; i < N; i++) {
		CHECK_INT(r[i].outcome,
		    i < KEYS ? IDQ_ADDED : IDQ_DUPLICATE);
		CHECK_STR(r[i].id, r[i % KEYS].id);
		CHECK_INT(r[i].dups, i / KEYS);
	}
	check_jobs(KEYS);
	free(a);
	free(r);
	free(keys);
}

/* An unfinished add: keys/HH/H and tmp/ID, as a killed adder leaves it. */
static void
put_unfinished(const char *text, size_t len, struct job *j)
{
	spool_write(q, "tmp/" EXAMPLE_ID, text, len);
	if (syscall(SYS_linkat, q->fd, "tmp/" EXAMPLE_ID, q->fd,
	    "keys/ac/" EXAMPLE_HASH, 0) == -1)
		err(1, NULL);
	if (idq_job_open(q, "tmp/" EXAMPLE_ID, j) != 1)
		errx(1, "%s", idq_errmsg(q));
}

static int
ask(int64_t wait, struct job *j)
{
	const struct asking a = { EXAMPLE_HASH, 0, 0, wait };

	return idq_holder(q, &a, j);
}

/* Its Expires line is left out: what is past that would expire. */
static size_t
without_expires(char *buf, size_t len)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY;
	const char *line = strstr(text, "Expires: ");

	snprintf(buf, len, "%.*s%s", (int)(line - text), text,
	    strstr(line, "Group: "));
	return strlen(buf);
}

static void
living_adder(void)
{
	char text[1024];
	size_t len = without_expires(text, sizeof(text));
	struct job adder, j;

	start();
	CHECK_INT(ask(0, &j), HOLDER_NONE);
	put_unfinished(text, len, &adder);
	CHECK_INT(idq_job_lock(q, &adder, 0), 1);
	CHECK_INT(ask(0, &j), HOLDER_BUSY);
	CHECK_INT(ask(20000, &j), HOLDER_BUSY);
	CHECK_INT(spool_entries(q, "new"), 0);
	idq_job_unlock(&adder);
	if (CHECK_INT(ask(0, &j), HOLDER_KEEPS)) {
		CHECK_STR(j.pub.key, EXAMPLE_KEY);
		idq_job_close(&j);
	}
	check_jobs(1);
	idq_job_close(&adder);
}

/* Nobody is told of a job before both syncs: here one of them fails. */
static void
completer_cannot_sync(void)
{
	char text[1024];
	size_t len = without_expires(text, sizeof(text));
	struct job adder, j;

	for (int which = 1; which <= 2; which++) {
		start();
		put_unfinished(text, len, &adder);
		sync_fails = which;
		CHECK_INT(ask(0, &j), -1);
		CHECK_INT(idq_errcode(q), 75);
		CHECK_INT(faccessat(q->fd, "tmp/" EXAMPLE_ID ".bad", F_OK, 0),
		    0);
		CHECK_INT(spool_entries(q, "new"), 0);
		/* It is not synced again, but replaced. */
		sync_fails = ENOUGH;
		if (CHECK_INT(ask(0, &j), HOLDER_GIVES))
			idq_job_close(&j);
		CHECK_INT(sync_fails, ENOUGH);
		idq_job_close(&adder);
	}
}

/* Replaced by the same add under its lock, whatever it was cut off at. */
static void
torn_adder(void)
{
	static char one[] = "+4512345678", two[] = "Dentist at 14:00";
	char *args[] = { one, two, NULL }, text[1024];
	size_t len = without_expires(text, sizeof(text));
	struct idq_added r;
	struct idq_add a;
	struct job adder;

	fill(&a, EXAMPLE_KEY, "hello");
	a.args = args;
	a.nargs = 2;
	for (size_t cut = 0; cut <= len; cut += cut + 40 < len ? 40 : 1) {
		start();
		q->cfg[CFG_SYNC] = SYNC_OFF;
		put_unfinished(text, cut, &adder);
		CHECK_INT(idq_add(q, &a, &r), 0);
		CHECK_INT(r.outcome, cut < len ? IDQ_ADDED : IDQ_DUPLICATE);
		CHECK_INT(spool_entries(q, "new"), 1);
		CHECK_INT(count_keys(), 1);
		idq_job_close(&adder);
	}
}

int
main(void)
{
	check_run("add: a failed link leaves nothing", failed_link);
	check_run("add: a link whose reply was lost", lost_reply);
	check_run("add: a file that was reaped is written anew", reaped);
	check_run("add: a key's folder that is gone is made again",
	    folder_gone);
	check_run("add: a link that never succeeds is given up", no_end);
	check_run("add: the loser of a race is a duplicate", race_lost);
	check_run("add: the loser of a race is a mismatch",
	    race_lost_by_another);
	check_run("add: a failed sync takes both names back", failed_sync);
	check_run("add: it syncs as configured", syncs_as_configured);
	check_run("add: a group with duplicates inside", duplicates_inside);
	check_run("add: a group with a mismatch inside", mismatch_inside);
	check_run("add: a group of three with an invalid key", one_invalid);
	check_run("add: a group with other invalid adds", other_invalid);
	check_run("add: a group of which one link fails", one_link_failed);
	check_run("add: a group of which one sync fails", one_sync_failed);
	check_run("add: a large group", large_group);
	check_run("holder: a living adder is waited for", living_adder);
	check_run("holder: a completer whose sync fails",
	    completer_cannot_sync);
	check_run("holder: a torn add is replaced", torn_adder);
	spool_remove(q);
	return check_done();
}
