/* SPDX-License-Identifier: ISC */
/*
 * Comparing trails with directories.  The trail decides, and what cannot be
 * decided by it is named and left alone.  What was mended can be a reason to
 * mend what was looked at before: it is looked at again until all is as it
 * should be.  The start-up scan after a boot is one look, and does without the
 * jobs that have ended.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

#define TICK		256
#define LOOKS_MAX	8

static struct known
known_as(ino_t ino, const char *hash)
{
	struct known k = { .ino = ino };

	memcpy(&k.start, hash, sizeof(k.start));
	return k;
}

static int
inodes_add(struct inodes *s, struct known k)
{
	void *more;

	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 1024 : 2 * s->cap;
		more = reallocarray(s->v, s->cap, sizeof(*s->v));
		if (more == NULL)
			return -1;
		s->v = more;
	}
	s->v[s->n++] = k;
	return 0;
}

static int
by_inode(const void *a, const void *b)
{
	const struct known *x = a, *y = b;

	if (x->ino != y->ino)
		return x->ino > y->ino ? 1 : -1;
	return (x->start > y->start) - (x->start < y->start);
}

static void
inodes_sort(struct inodes *s)
{
	if (s->n > 1)
		qsort(s->v, s->n, sizeof(*s->v), by_inode);
}

static bool
inodes_have(const struct inodes *s, size_t n, struct known k)
{
	return n > 0 && bsearch(&k, s->v, n, sizeof(k), by_inode) != NULL;
}

/* FNV-1a. */
static uint64_t
digest(uint64_t h, const char *s)
{
	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(1099511628211);
	return h;
}

/* What is left is said by the first look that finds it. */
static bool
is_said(struct check *c, const char *path, const char *what)
{
	struct known k = { .start = UINT64_C(14695981039346656037) };

	k.start = digest(digest(k.start, path), what);
	if (inodes_have(&c->said, c->sorted, k))
		return true;
	inodes_add(&c->said, k);	/* or it is said twice */
	return false;
}

void
idq_report(struct check *c, bool fixed, const char *path, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	if (fixed)
		c->f->fixed++;
	else if (c->quiet)
		return;
	else
		c->f->left++;
	if (c->f->report == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (fixed || !is_said(c, path, what))
		c->f->report(c->f->arg, fixed, path, what);
}

static int
tick(struct check *c)
{
	if (++c->f->checked % TICK == 0 && c->f->tick != NULL)
		return c->f->tick(c->f->arg, c->f->checked);
	return 0;
}

/*
 * What cannot be opened as a job file is named, and no reason to stop.  After a
 * boot nobody else will look there: if a disk is full, say, scan again.
 */
int
idq_complain(struct check *c, const char *path)
{
	const char *msg = c->q->msg;
	size_t top = strlen(c->q->path);

	if (c->boot && (c->q->code == EX_TEMPFAIL || c->q->code == EX_IOERR)) {
		/* Never sync that again, as the claim that follows would. */
		if (c->q->sync_failed)
			return -1;
		c->busy = true;
		idq_notice(c->q, "%s", msg);
	}
	if (strncmp(msg, c->q->path, top) == 0 && msg[top] == '/')
		msg += top + 1;
	if (strncmp(msg, path, strlen(path)) == 0)
		msg += strlen(path) + strspn(msg + strlen(path), ": ");
	idq_report(c, false, path, "%s", msg);
	return 0;
}

/* That inode stands in a directory as a job of HASH. */
static int
name(struct check *c, ino_t ino, const char *hash)
{
	if (inodes_add(&c->named, known_as(ino, hash)) == -1)
		return idq_errno(c->q, "%s", c->q->path);
	return 0;
}

static int
check_entry(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct check *c = arg;
	char path[PATH_SIZE];
	bool *busy = NULL;
	struct job j;
	int r = 0;

	if (c->boot && c->place >= PL_DONE)
		return name(c, e->d_ino, n->hash);
	/* Claims look at the others, and so at what its holder may leave. */
	if (c->place == PL_HOLD || c->place == PL_FAILED)
		busy = &c->busy;
	snprintf(path, sizeof(path), "%s/%.*s", folder, NEW_LEN, e->d_name);
	if ((r = idq_job_take(c->q, path, n->hash, busy, &j)) == 1) {
		r = idq_mend(c, &j, path);
		idq_job_unlock(&j);
		idq_job_close(&j);
	}
	if (r == -1 && idq_complain(c, path) == -1)
		return -1;
	if (r != 1 && name(c, e->d_ino, n->hash) == -1)
		return -1;
	return tick(c);
}

static int
check_key(struct check *c, const char *folder, const struct dirent *e)
{
	char path[2 * PATH_SIZE];
	struct job j;
	int r;

	if (!idq_is_hash(e->d_name) ||
	    strncmp(e->d_name, folder + strlen(folder) - 2, 2) != 0) {
		snprintf(path, sizeof(path), "%s/%.64s", folder, e->d_name);
		idq_report(c, false, path, "is no name of a key");
		return 0;
	}
	if (inodes_have(&c->named, c->named.n,
	    known_as(e->d_ino, e->d_name)))
		return 0;
	idq_key_path(e->d_name, path);
	if ((r = idq_job_take(c->q, path, e->d_name, &c->busy, &j)) == 1) {
		r = idq_mend_nameless(c, &j, path, e->d_name);
		idq_job_unlock(&j);
		idq_job_close(&j);
	}
	if (r == -1 && idq_complain(c, path) == -1)
		return -1;
	return tick(c);
}

static int
check_keys(struct check *c)
{
	char folder[PATH_SIZE];
	struct dirent *e;
	DIR *d;
	int r = 0;

	for (int i = 0; r == 0 && i < 256; i++) {
		snprintf(folder, sizeof(folder), "keys/%02x", i);
		if ((d = idq_opendir(c->q, folder)) == NULL) {
			if (errno == ENOENT)
				continue;
			return idq_errno(c->q, "%s/%s", c->q->path, folder);
		}
		while (r == 0 && (e = idq_readdir(d)) != NULL)
			r = check_key(c, folder, e);
		closedir(d);
	}
	return r;
}

/*
 * Those that run come last: in a copy a job can stand in several places, and
 * one that has ended in another must not be said to be interrupted.
 */
static int
check_places(struct check *c)
{
	static const enum place order[] = { PL_NEW, PL_WAIT, PL_PACED, PL_HOLD,
	    PL_FAILED, PL_DONE, PL_CANCELLED, PL_EXPIRED, PL_CUR };
	_Static_assert(NITEMS(order) == PL_NSTATES, "each of them");
	int r = 0;

	c->named.n = 0;
	for (size_t i = 0; r == 0 && i < NITEMS(order); i++) {
		c->place = order[i];
		r = idq_walk(c->q, c->place, check_entry, c);
	}
	inodes_sort(&c->named);
	return r;
}

/* Whether DIR is one, or there is nothing in its place. */
static bool
check_dir(struct check *c, const char *dir)
{
	const char *fault = idq_dir_fault(c->q, dir);

	if (fault != NULL) {
		idq_report(c, false, dir, "%s; put that right first", fault);
		return false;
	}
	if (errno != ENOENT)
		return true;
	if (c->f->dry_run)
		idq_report(c, false, dir, "is missing");
	else if (idq_at_mkdir(c->q, dir) == 0)
		idq_report(c, true, dir, "was missing: made");
	else if (errno != EEXIST)
		idq_report(c, false, dir, "is missing: %s", strerror(errno));
	return true;
}

/*
 * Else no job could be put where it belongs, or that would be elsewhere.  Of
 * the folders of keys/ the first that is wrong is enough.
 */
static bool
check_dirs(struct check *c)
{
	char folder[PATH_SIZE];
	bool ok = true;

	for (size_t i = 0; idq_dirs[i] != NULL; i++)
		ok = check_dir(c, idq_dirs[i]) && ok;
	for (int i = 0; ok && i < 256; i++) {
		snprintf(folder, sizeof(folder), "keys/%02x", i);
		ok = check_dir(c, folder);
	}
	return ok || c->boot;
}

/* One look at all of it. */
static int
look(struct check *c)
{
	int r;

	if (!check_dirs(c))
		return 0;
	/* First, so that what was cut off in an add has a name. */
	r = idq_check_tmp(c);
	if (r == 0 && !c->f->dry_run)
		r = idq_pace_all(c->q);
	if (r == 0 && (r = check_places(c)) == 0)
		r = check_keys(c);
	if (r == 0 && !c->boot && (r = idq_check_asked(c)) == 0)
		r = idq_check_out(c);
	return r == -1 ? -1 : 0;
}

/* What the walks notice is a finding like any other. */
static void
noticed(void *arg, const char *text)
{
	struct check *c = arg;
	size_t top = strlen(c->q->path);
	char path[PATH_SIZE];
	bool quiet = c->quiet;
	const char *what;

	if (strncmp(text, c->q->path, top) != 0 || text[top] != '/') {
		/* Of a job, such as one that is held by now. */
		if (c->notice != NULL)
			c->notice(c->notice_arg, text);
		return;
	}
	text += top + 1;
	what = strstr(text, ": ");
	snprintf(path, sizeof(path), "%.*s",
	    what != NULL ? (int)(what - text) : 0, text);
	c->quiet = false;
	idq_report(c, false, path, "%s", what != NULL ? what + 2 : text);
	c->quiet = quiet;
}

int
idq_fsck(struct idq *q, struct idq_fsck *f)
{
	struct check w = { .q = q, .f = f, .notice = q->notice,
	    .notice_arg = q->notice_arg };
	uint64_t fixed;
	int looks = 0, r = 0;

	f->fixed = 0;
	idq_set_notice(q, noticed, &w);
	q->mending = true;
	q->sync_failed = false;
	do {
		fixed = f->fixed;
		f->checked = f->left = 0;
		r = look(&w);
		inodes_sort(&w.said);
		w.sorted = w.said.n;
		/* Another look would sync the same again, and believe it. */
	} while (r == 0 && !q->sync_failed && f->fixed > fixed &&
	    ++looks < LOOKS_MAX);
	q->mending = false;
	idq_set_notice(q, w.notice, w.notice_arg);
	free(w.named.v);
	free(w.said.v);
	if (looks == LOOKS_MAX)
		return idq_error(q, EX_TEMPFAIL, "%s: look %d still mended "
		    "something; run it again", q->path, looks);
	return r;
}

int
idq_boot_scan(struct idq *q, bool bad)
{
	struct idq_fsck f = { 0 };
	struct check w = { .q = q, .f = &f, .boot = true, .bad = bad };
	int r;

	q->sync_failed = false;
	r = look(&w);
	free(w.named.v);
	return r == -1 ? -1 : w.busy;
}
