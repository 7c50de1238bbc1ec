/* SPDX-License-Identifier: ISC */
/*
 * Comparing trails with directories.  The trail decides, and what cannot be
 * decided by it is named and left alone.  The start-up scan after a boot is
 * the same, less the jobs that have ended.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define TICK	256
#define AHEAD	(60 * IDQ_SECOND)	/* by so much clocks may differ */

/* The inodes that have a name in a state directory. */
struct inodes {
	ino_t	*v;
	size_t	 n;
	size_t	 cap;
};

struct work {
	struct idq	*q;
	struct idq_fsck	*f;
	bool		 boot;		/* the start-up scan */
	bool		 busy;		/* what no scan may miss was locked */
	enum place	 place;		/* being walked */
	struct inodes	 named;
	void		(*notice)(void *, const char *);	/* q's own */
	void		*notice_arg;
};

static void report(struct work *, bool, const char *, const char *, ...)
    __attribute__((__format__(printf, 4, 5)));

static void
report(struct work *w, bool fixed, const char *path, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	if (fixed)
		w->f->fixed++;
	else
		w->f->left++;
	if (w->f->report == NULL)
		return;
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	w->f->report(w->f->arg, fixed, path, what);
}

/* With a dry run nothing is mended, and so it is left. */
static bool
may_fix(const struct work *w)
{
	return !w->f->dry_run;
}

static int
tick(struct work *w)
{
	if (++w->f->checked % TICK == 0 && w->f->tick != NULL)
		return w->f->tick(w->f->arg, w->f->checked);
	return 0;
}

static int
inodes_add(struct work *w, ino_t ino)
{
	struct inodes *s = &w->named;
	void *more;

	if (s->n == s->cap) {
		s->cap = s->cap == 0 ? 1024 : 2 * s->cap;
		more = reallocarray(s->v, s->cap, sizeof(*s->v));
		if (more == NULL)
			return idq_errno(w->q, "%s", w->q->path);
		s->v = more;
	}
	s->v[s->n++] = ino;
	return 0;
}

static int
by_inode(const void *a, const void *b)
{
	const ino_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static bool
has_name(const struct work *w, ino_t ino)
{
	return w->named.n > 0 && bsearch(&ino, w->named.v, w->named.n,
	    sizeof(ino), by_inode) != NULL;
}

/* Who has the key of J: 1 itself, 0 nobody, 2 another job, -1. */
static int
key_owner(struct work *w, const struct job *j)
{
	char key[PATH_SIZE];
	int r = idq_job_owns_key(w->q, j);

	if (r != 0)
		return r;
	idq_key_path(j->pub.hash, key);
	return idq_at_exists(w->q, key) ? 2 :
	    0;
}

static int
link_key(struct work *w, struct job *j, const char *path)
{
	char key[PATH_SIZE];

	if (!may_fix(w)) {
		report(w, false, path, "its key has no file");
		return 0;
	}
	idq_key_path(j->pub.hash, key);
	if (idq_at_link(w->q, path, key) == -1 &&
	    (errno != ENOENT || idq_mkdir_for(w->q, key) == -1 ||
	    idq_at_link(w->q, path, key) == -1))
		return idq_errno(w->q, "%s/%s", w->q->path, key);
	if (idq_sync_file(w->q, j->fd) == -1 ||
	    idq_sync_keys(w->q, j->pub.hash) == -1)
		return idq_errno(w->q, "%s/%s: sync", w->q->path, key);
	report(w, true, path, "its key had no file: linked again");
	return 1;
}

/*
 * A queue that was copied without hard links has each job twice.  As far as
 * both copies go they are the same, and the longer one knows more.
 */

/* How A and B compare up to the end of the shorter: 1 alike, 0 not, -1. */
static int
begin_alike(struct work *w, const struct job *a, const struct job *b)
{
	char x[4096], y[4096];
	int64_t len = a->end < b->end ? a->end : b->end, at;
	size_t n;

	for (at = 0; at < len; at += (int64_t)n) {
		n = len - at < (int64_t)sizeof(x) ? (size_t)(len - at) :
		    sizeof(x);
		if (pread(a->fd, x, n, at) != (ssize_t)n ||
		    pread(b->fd, y, n, at) != (ssize_t)n)
			return idq_errno(w->q, "%s/%s", w->q->path,
			    a->pub.path);
		if (memcmp(x, y, n) != 0)
			return 0;
	}
	return 1;
}

/* J takes its key from a copy of it that knows less. */
static int
take_key(struct work *w, struct job *j, const char *path, const char *key)
{
	char tmp[PATH_SIZE];

	idq_tmp_path(j->pub.id, ".k", tmp);
	if (idq_sync_file(w->q, j->fd) == -1 ||
	    idq_at_link(w->q, path, tmp) == -1 ||
	    idq_at_rename(w->q, tmp, key) == -1 ||
	    idq_sync_keys(w->q, j->pub.hash) == -1)
		return idq_errno(w->q, "%s/%s", w->q->path, key);
	return 0;
}

/* The key of J, at PATH, belongs to OWN, which has its id: 1, or -1. */
static int
join(struct work *w, struct job *j, const char *path, const struct job *own)
{
	int r = begin_alike(w, j, own);

	if (r == -1)
		return -1;
	if (r == 0)
		report(w, false, path, "its key's file is of the same job, "
		    "with another history");
	else if (!may_fix(w))
		report(w, false, path, "is a copy of its key's file");
	else if (j->end > own->end) {
		if (take_key(w, j, path, own->pub.path) == -1)
			return -1;
		report(w, true, path, "its key's file was a copy: linked "
		    "again");
		return 2;
	} else {
		if (idq_drop(w->q, j, path) == -1)
			return -1;
		report(w, true, path, "was a copy of its key's file: removed");
	}
	return 1;
}

/*
 * Whether J, which does not have its key, is in truth the job that has: 1 and
 * it is seen to, 2 it has its key by now, 0 no, -1.
 */
static int
rejoin(struct work *w, struct job *j, const char *path)
{
	char key[PATH_SIZE];
	struct job own;
	bool busy = false;
	int r;

	idq_key_path(j->pub.hash, key);
	r = idq_job_take(w->q, key, j->pub.hash, &busy, &own);
	if (r != 1)
		return r == 0 && busy ? 1 : r;
	r = own.whole && strcmp(own.pub.id, j->pub.id) == 0;
	if (r == 1)
		r = join(w, j, path, &own);
	idq_job_unlock(&own);
	idq_job_close(&own);
	return r;
}

/* An unfinished job whose key belongs to another one: never to be run. */
static int
set_aside(struct work *w, struct job *j, const char *path)
{
	struct line l;

	if (j->started && j->line.event == EV_HELD)
		return 0;
	if (!may_fix(w)) {
		report(w, false, path, "its key belongs to another job");
		return 0;
	}
	memset(&l, 0, sizeof(l));
	l.at = idq_now();
	l.event = EV_HELD;
	l.n = j->pub.claims;
	l.to = PL_HOLD;
	strlcpy(l.detail, "reason=not-owner", sizeof(l.detail));
	if (idq_step(w->q, j, path, &l, true) == -1)
		return -1;
	report(w, true, path, "its key belongs to another job: held");
	return 0;
}

/* Whether it has ended and has its key no more, or should not have it. */
static bool
is_history(const struct job *j, int owner)
{
	return owner != 1 && idq_is_over(j) && (owner == 2 ||
	    j->pub.state == IDQ_EXPIRED || j->pub.release <= idq_now());
}

static int
check_history(struct work *w, struct job *j, const char *path)
{
	if (j->pub.state == IDQ_EXPIRED)
		return 0;
	if (!may_fix(w)) {
		report(w, false, path, "left over from a job that is gone");
		return 0;
	}
	if (idq_free_key(w->q, j, path, false) == -1)
		return -1;
	report(w, true, path, "left over from a job that is gone: removed");
	return 0;
}

static int
check_running(struct work *w, struct job *j, const char *path)
{
	if (j->pub.lease > idq_now())
		return 0;
	if (!may_fix(w)) {
		report(w, false, path, "interrupted");
		return 0;
	}
	if (idq_interrupt(w->q, j, path) == -1)
		return -1;
	report(w, true, path, "interrupted: now %s",
	    idq_state_name(j->pub.state));
	return 0;
}

static int
move_home(struct work *w, struct job *j, const char *path)
{
	char to[PATH_SIZE];

	idq_place_of(j, idq_now(), to);
	if (strcmp(path, to) == 0)
		return 0;
	/* Due, and behind others of its group. */
	if (w->place == PL_PACED && j->pub.state == IDQ_PENDING &&
	    idq_parked_path(j, to) && strcmp(path, to) == 0)
		return 0;
	/* Due, but not yet promoted: that is for the next claim. */
	if (w->place == PL_WAIT && j->pub.state == IDQ_PENDING) {
		idq_place_path(PL_WAIT, j->pub.hash, j->pub.id, j->pub.due,
		    to);
		if (strcmp(path, to) == 0)
			return 0;
	}
	if (!may_fix(w)) {
		report(w, false, path, "its trail says %s", to);
		return 0;
	}
	if (idq_settle(w->q, j, path) == -1)
		return -1;
	report(w, true, path, "moved to where its trail says: %s", to);
	/* Nobody works on it, since its lock was free. */
	return j->started && j->line.to == PL_CUR ? check_running(w, j, to) :
	    0;
}

/*
 * A line with a time still to come was written by a clock that was ahead.  What
 * that decided stands, and only a person knows whether it should.
 */
static void
check_clock(struct work *w, const struct job *j, const char *path)
{
	const struct idq_job *p = &j->pub;
	int64_t at = j->started ? j->line.at : p->added, until = 0;
	char stamp[STAMP_SIZE], then[STAMP_SIZE];
	const char *what = NULL;

	if (p->state == IDQ_WAITING && p->added > at)
		at = p->added;
	if (w->boot || at <= idq_now() + AHEAD)
		return;
	if (p->state == IDQ_EXPIRED)
		what = "expired";
	else if (p->state == IDQ_WAITING)
		what = "not due", until = p->due;
	else if (p->state == IDQ_RUNNING && p->lease != 0)
		what = "leased", until = p->lease;
	else if (idq_is_over(j) && p->release != 0)
		what = "its key is held", until = p->release;
	if (what != NULL)
		report(w, false, path, "by a clock that was ahead, %s: %s%s%s",
		    idq_stamp(at, stamp), what, until == 0 ? "" : " until ",
		    until == 0 ? "" : idq_stamp(until, then));
}

/* J stands at PATH and is locked. */
static int
check_job(struct work *w, struct job *j, const char *path)
{
	int owner, r;

	if (!j->whole) {
		report(w, false, path, "is corrupt or not idq's");
		return 0;
	}
	if (strstr(path, j->pub.id) == NULL) {
		report(w, false, path, "has the id of another job");
		return 0;
	}
	check_clock(w, j, path);
	if ((owner = key_owner(w, j)) == -1)
		return -1;
	if (owner == 2) {
		if ((r = rejoin(w, j, path)) == -1 || r == 1)
			return r == -1 ? -1 : 0;
		if (r == 2)
			owner = 1;
	}
	if (is_history(j, owner))
		return check_history(w, j, path);
	if (owner == 2)
		return set_aside(w, j, path);
	if (owner == 0 && link_key(w, j, path) == -1)
		return -1;
	if (w->place == PL_CUR && j->started && j->line.to == PL_CUR)
		return check_running(w, j, path);
	return move_home(w, j, path);
}

/* What cannot be opened as a job file is named, and no reason to stop. */
static int
complain(struct work *w, const char *path)
{
	const char *msg = w->q->msg;
	size_t top = strlen(w->q->path);

	if (strncmp(msg, w->q->path, top) == 0 && msg[top] == '/')
		msg += top + 1;
	if (strncmp(msg, path, strlen(path)) == 0)
		msg += strlen(path) + strspn(msg + strlen(path), ": ");
	report(w, false, path, "%s", msg);
	return 0;
}

static int
check_entry(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct work *w = arg;
	char path[PATH_SIZE];
	bool *busy = NULL;
	struct job j;
	int r = 0;

	if (inodes_add(w, e->d_ino) == -1)
		return -1;
	if (w->boot && w->place >= PL_DONE)
		return 0;
	/* Claims look at the others, and so at what its holder may leave. */
	if (w->place == PL_HOLD || w->place == PL_FAILED)
		busy = &w->busy;
	snprintf(path, sizeof(path), "%s/%.*s", folder, NEW_LEN, e->d_name);
	if ((r = idq_job_take(w->q, path, n->hash, busy, &j)) == 1) {
		r = check_job(w, &j, path);
		idq_job_unlock(&j);
		idq_job_close(&j);
	}
	if (r == -1)
		complain(w, path);
	return tick(w);
}

/* A key whose job stands in no state directory; J is locked. */
static int
check_nameless(struct work *w, struct job *j, const char *path,
    const char *hash)
{
	char to[PATH_SIZE];
	int r;

	if (!j->whole) {
		/* An add that was cut off: the next one replaces it. */
		if (!j->begins || idq_is_named(w->q, hash) != 0)
			report(w, false, path, "is corrupt or not idq's");
		else if (!w->boot && may_fix(w)) {
			if (idq_drop(w->q, j, path) == -1)
				return -1;
			report(w, true, path, "never accepted: removed");
		} else if (!w->boot)
			report(w, false, path, "never accepted");
		return 0;
	}
	if (idq_where(w->q, j) < PL_TMP)
		return 0;
	if (!may_fix(w)) {
		report(w, false, path, "its job is in no directory");
		return 0;
	}
	/* A purge that was cut off between its two names. */
	if (idq_is_over(j) && j->pub.release != 0 &&
	    j->pub.release <= idq_now()) {
		if (idq_free_key(w->q, j, NULL, false) == -1)
			return -1;
		report(w, true, path, "past its release: removed");
		return 0;
	}
	if ((r = idq_complete(w->q, j)) == -1)
		return -1;
	idq_place_of(j, idq_now(), to);
	if (r == COMPLETE_BAD)
		report(w, false, path, "its sync failed, or its payload is "
		    "not what was added; add it again");
	else
		report(w, true, path, r == COMPLETE_OK ?
		    "its job was in no directory: now %s" :
		    "an unfinished run: taken back", to);
	/* Nobody works on it, since its lock was free. */
	if (r == COMPLETE_OK && j->started && j->line.to == PL_CUR)
		return check_running(w, j, to);
	return 0;
}

static int
check_key(struct work *w, const char *folder, const struct dirent *e)
{
	char path[2 * PATH_SIZE];
	struct job j;
	int r;

	if (has_name(w, e->d_ino))
		return 0;
	if (!idq_is_hash(e->d_name) ||
	    strncmp(e->d_name, folder + strlen(folder) - 2, 2) != 0) {
		snprintf(path, sizeof(path), "%s/%.64s", folder, e->d_name);
		report(w, false, path, "is no name of a key");
		return 0;
	}
	idq_key_path(e->d_name, path);
	if ((r = idq_job_take(w->q, path, e->d_name, &w->busy, &j)) == 1) {
		r = check_nameless(w, &j, path, e->d_name);
		idq_job_unlock(&j);
		idq_job_close(&j);
	}
	if (r == -1)
		complain(w, path);
	return tick(w);
}

static int
check_keys(struct work *w)
{
	char folder[PATH_SIZE];
	struct dirent *e;
	DIR *d;
	int r = 0;

	for (int i = 0; r == 0 && i < 256; i++) {
		snprintf(folder, sizeof(folder), "keys/%02x", i);
		if ((d = idq_opendir(w->q, folder)) == NULL) {
			if (errno != ENOENT)
				return idq_errno(w->q, "%s/%s", w->q->path,
				    folder);
			if (may_fix(w) && idq_at_mkdir(w->q, folder) == 0)
				report(w, true, folder, "was missing: made");
			continue;
		}
		while (r == 0 && (e = idq_readdir(d)) != NULL)
			r = check_key(w, folder, e);
		closedir(d);
	}
	return r;
}

static int
has_id(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	(void)folder;
	(void)e;
	return strcmp(n->id, arg) == 0;
}

/* Whether a job that has not ended has ID: 1, 0, -1. */
static int
is_unfinished(struct work *w, char *id)
{
	int r = 0;

	for (int p = 0; r == 0 && p < PL_DONE; p++)
		r = idq_walk(w->q, (enum place)p, has_id, id);
	return r;
}

/* What only idq makes, and only as a file. */
static bool
is_file(struct work *w, const char *path)
{
	struct stat st;

	if (idq_at_stat(w->q, path, &st) == 0 && S_ISREG(st.st_mode))
		return true;
	report(w, false, path, "is no regular file");
	return false;
}

static void
check_wish(struct work *w, char *id, const char *path)
{
	if (!is_file(w, path))
		return;
	if (is_unfinished(w, id) != 0)
		return;
	if (may_fix(w) && idq_at_unlink(w->q, path, 0) == 0)
		report(w, true, path, "for a job that has ended: removed");
	else
		report(w, false, path, "for a job that has ended");
}

/* Wishes for jobs that are gone or have ended. */
static int
check_asked(struct work *w)
{
	char path[PATH_SIZE];
	struct dirent *e;
	DIR *d;

	if ((d = idq_opendir(w->q, "asked")) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(w->q, "%s/asked", w->q->path);
	while ((e = idq_readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "asked/%.64s", e->d_name);
		if (strlen(e->d_name) != IDQ_ID_LEN ||
		    !idq_is_hex(e->d_name, IDQ_ID_LEN))
			report(w, false, path, "is no id");
		else
			check_wish(w, e->d_name, path);
	}
	closedir(d);
	return 0;
}

/* Whether a job with HASH has ID; where that cannot be told it has. */
static bool
is_known(struct work *w, const struct name *n)
{
	static const enum place places[] = { PL_CUR, PL_HOLD, PL_FAILED };
	char path[PATH_SIZE];
	struct job j;
	bool known;
	int r;

	if ((r = idq_key_open(w->q, n->hash, &j)) == -1)
		return true;
	if (r == 1) {
		known = !j.whole || strcmp(j.pub.id, n->id) == 0;
		idq_job_close(&j);
		if (known)
			return true;
	}
	/* One that was set aside does not have its key. */
	for (size_t i = 0; i < NITEMS(places); i++) {
		idq_place_path(places[i], n->hash, n->id, 0, path);
		if (idq_at_exists(w->q, path))
			return true;
	}
	return false;
}

static void
check_output(struct work *w, const char *name)
{
	char path[2 * PATH_SIZE];
	struct name n;
	uint32_t claim;

	snprintf(path, sizeof(path), "out/%.128s", name);
	if (idq_token_parse(name, &n, &claim) == -1 || claim == 0)
		report(w, false, path, "is no name of an output");
	else if (!is_file(w, path) || is_known(w, &n))
		return;
	else if (may_fix(w) && idq_at_unlink(w->q, path, 0) == 0)
		report(w, true, path, "of a job that is gone: removed");
	else
		report(w, false, path, "of a job that is gone");
}

/* What the commands of jobs printed that are gone. */
static int
check_out(struct work *w)
{
	struct dirent *e;
	DIR *d;

	if ((d = idq_opendir(w->q, "out")) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(w->q, "%s/out", w->q->path);
	while ((e = idq_readdir(d)) != NULL)
		check_output(w, e->d_name);
	closedir(d);
	return 0;
}

static int
check_places(struct work *w)
{
	int r = 0;

	for (int p = 0; r == 0 && p < PL_NSTATES; p++) {
		w->place = (enum place)p;
		r = idq_walk(w->q, w->place, check_entry, w);
	}
	if (w->named.n > 1)
		qsort(w->named.v, w->named.n, sizeof(*w->named.v), by_inode);
	return r;
}

static void
check_tmp_file(struct work *w, const char *name)
{
	char path[2 * PATH_SIZE];
	struct job j;

	snprintf(path, sizeof(path), "tmp/%.64s", name);
	if (may_fix(w)) {
		switch (idq_reap_file(w->q, name, w->boot)) {
		case 1:
			report(w, true, path, "unfinished: completed, or "
			    "removed if it was never accepted");
			break;
		case -1:
			complain(w, path);
			break;
		}
		return;
	}
	switch (idq_job_take(w->q, path, NULL, NULL, &j)) {
	case 1:
		report(w, false, path, "unfinished");
		idq_job_close(&j);
		break;
	case -1:
		complain(w, path);
		break;
	}
}

static int
check_tmp(struct work *w)
{
	struct dirent *e;
	DIR *d;

	if ((d = idq_opendir(w->q, "tmp")) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(w->q, "%s/tmp", w->q->path);
	while ((e = idq_readdir(d)) != NULL)
		check_tmp_file(w, e->d_name);
	closedir(d);
	return 0;
}

static void
check_dirs(struct work *w)
{
	for (int p = 0; p <= PL_TURN; p++) {
		const char *dir = idq_place_dir((enum place)p), *fault;

		if (may_fix(w) && idq_at_mkdir(w->q, dir) == 0)
			report(w, true, dir, "was missing: made");
		else if ((fault = idq_dir_fault(w->q, dir)) != NULL)
			report(w, false, dir, "%s", fault);
	}
}

static int
check(struct work *w)
{
	int r;

	check_dirs(w);
	/* First, so that what was cut off in an add has a name. */
	if ((r = check_tmp(w)) == 0)
		r = check_places(w);
	if (r == 0)
		r = check_keys(w);
	if (r == 0 && may_fix(w))
		r = idq_pace_all(w->q);
	free(w->named.v);
	if (r == 0 && !w->boot && (r = check_asked(w)) == 0)
		r = check_out(w);
	return r == -1 ? -1 : 0;
}

/* What the walks notice is a finding like any other. */
static void
noticed(void *arg, const char *text)
{
	struct work *w = arg;
	size_t top = strlen(w->q->path);
	char path[PATH_SIZE];
	const char *what;

	if (strncmp(text, w->q->path, top) != 0 || text[top] != '/') {
		/* Of a job, such as one that is held by now. */
		if (w->notice != NULL)
			w->notice(w->notice_arg, text);
		return;
	}
	text += top + 1;
	what = strstr(text, ": ");
	snprintf(path, sizeof(path), "%.*s",
	    what != NULL ? (int)(what - text) : 0, text);
	report(w, false, path, "%s", what != NULL ? what + 2 : text);
}

int
idq_fsck(struct idq *q, struct idq_fsck *f)
{
	struct work w = { .q = q, .f = f, .notice = q->notice,
	    .notice_arg = q->notice_arg };
	int r;

	f->checked = f->fixed = f->left = 0;
	idq_set_notice(q, noticed, &w);
	r = check(&w);
	idq_set_notice(q, w.notice, w.notice_arg);
	return r;
}

int
idq_boot_scan(struct idq *q)
{
	struct idq_fsck f = { 0 };
	struct work w = { .q = q, .f = &f, .boot = true };

	return check(&w) == -1 ? -1 : w.busy;
}
