/* SPDX-License-Identifier: ISC */
/*
 * What every claim and worker does first: the start-up scan after a boot, jobs
 * that nobody works on any more, unfinished adds, and due times that have come.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "idq_impl.h"

#define BUSY_MS		16

/* Put right a locked job of cur/ that nobody works on. */
static int
reap_one(struct idq *q, struct job *j, const char *path)
{
	int r;

	if (!j->whole) {
		idq_notice(q, "%s/%s: is not whole; left alone", q->path,
		    path);
		return 0;
	}
	if (!j->started || j->line.to != PL_CUR)
		return idq_settle(q, j, path);
	if (idq_is_leased(q, j))
		return 0;
	if ((r = idq_job_is_owner(q, j, path)) != 1)
		return r;
	return idq_interrupt(q, j, path);
}

static int
reap_entry(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct idq *q = arg;
	char path[PATH_SIZE];
	struct job j;
	int r;

	snprintf(path, sizeof(path), "%s/%.*s", folder, CUR_LEN, e->d_name);
	if ((r = idq_job_take(q, path, n->hash, NULL, &j)) == 1) {
		r = reap_one(q, &j, path);
		idq_job_unlock(&j);
		idq_job_close(&j);
	}
	/* What is wrong with one job does not stop the others. */
	if (r == -1)
		idq_notice(q, "%s", q->msg);
	return 0;
}

int
idq_reap_cur(struct idq *q)
{
	return idq_walk(q, PL_CUR, reap_entry, q);
}

/* ID, ID.k or ID.bad: what follows the id, or NULL. */
static const char *
tmp_suffix(const char *name)
{
	const char *s = name + IDQ_ID_LEN;

	if (!idq_is_hex(name, IDQ_ID_LEN))
		return NULL;
	if (*s == '\0' || strcmp(s, ".k") == 0 || strcmp(s, ".bad") == 0)
		return s;
	return NULL;
}

/* J, at tmp/ID..., is locked and has no adder. */
static int
reap_locked(struct idq *q, struct job *j, const char *path, bool plain)
{
	int r;

	if (!j->whole || !plain || strcmp(j->pub.id, path + 4) != 0)
		return idq_drop(q, j, path);
	if ((r = idq_job_owns_key(q, j)) == -1)
		return -1;
	if (r == 0 || idq_where(q, j) < PL_TMP)
		return idq_drop(q, j, path);
	r = idq_complete(q, j);
	/* What fails its fingerprint was never accepted. */
	return r == COMPLETE_BAD ? idq_drop(q, j, path) : r == -1 ? -1 : 0;
}

int
idq_reap_file(struct idq *q, const char *name, bool bad)
{
	const char *suffix = tmp_suffix(name);
	char path[PATH_SIZE], good[PATH_SIZE];
	struct job j;
	int r;

	if (suffix == NULL) {
		idq_notice(q, "%s/tmp/%s: is not idq's; left alone", q->path,
		    name);
		return 0;
	}
	if (strcmp(suffix, ".bad") == 0 && !bad)
		return 0;
	snprintf(path, sizeof(path), "tmp/%s", name);
	if ((r = idq_job_take(q, path, NULL, NULL, &j)) != 1)
		return r;
	if (strcmp(suffix, ".bad") == 0) {
		/* After a boot the file is what the disk has: look again. */
		snprintf(good, sizeof(good), "tmp/%.*s", IDQ_ID_LEN, name);
		r = idq_move(q, &j, path, good);
		if (r == 1)
			r = reap_locked(q, &j, good, true);
	} else
		r = reap_locked(q, &j, path, *suffix == '\0');
	idq_job_unlock(&j);
	idq_job_close(&j);
	return r == -1 ? -1 : 1;
}

int
idq_reap_tmp(struct idq *q, bool bad)
{
	struct dirent *e;
	DIR *d = idq_opendir(q, "tmp");

	if (d == NULL)
		return errno == ENOENT ? 0 : idq_errno(q, "%s/tmp", q->path);
	while ((e = idq_readdir(d)) != NULL)
		if (idq_reap_file(q, e->d_name, bad) == -1)
			idq_notice(q, "%s", q->msg);
	closedir(d);
	return 0;
}

struct promotion {
	struct idq	*q;
	int64_t		 now;
	int64_t		 next;		/* the earliest still to come */
	bool		 busy;		/* one that is due was locked */
	char		 folder[PATH_SIZE];	/* of it */
};

static int
promote_entry(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct promotion *w = arg;
	char path[PATH_SIZE];
	struct job j;
	int r;

	if (n->due > w->now) {
		if (w->next != 0 && strcmp(w->folder, folder) != 0)
			return 1;		/* later minutes are later */
		if (w->next == 0 || n->due < w->next)
			w->next = n->due;
		strlcpy(w->folder, folder, sizeof(w->folder));
		return 0;
	}
	snprintf(path, sizeof(path), "%s/%.*s", folder, NEW_LEN, e->d_name);
	if ((r = idq_job_take(w->q, path, n->hash, &w->busy, &j)) == 1) {
		r = j.whole ? idq_settle(w->q, &j, path) : 0;
		idq_job_unlock(&j);
		idq_job_close(&j);
	}
	if (r == -1)
		idq_notice(w->q, "%s", w->q->msg);
	return 0;
}

int
idq_promote(struct idq *q, int64_t *next)
{
	struct promotion w = { .q = q, .now = idq_now() };
	struct timespec pause = { 0, 0 };
	int64_t turn = 0;
	int r;

	/* An adder's lock outlives its rename by an instant. */
	for (int ms = 1; (r = idq_walk_until(q, PL_WAIT, next == NULL ? w.now :
	    IDQ_FOREVER, promote_entry, &w)) != -1 &&
	    w.busy && ms <= BUSY_MS; ms *= 2) {
		pause.tv_nsec = ms * 1000000L;
		nanosleep(&pause, NULL);
		w = (struct promotion){ .q = q, .now = idq_now() };
	}
	if (r == -1 ||
	    (r = idq_pace_turns(q, next == NULL ? NULL : &turn)) == -1)
		return -1;
	if (next == NULL)
		return r;
	if (w.busy)
		w.next = idq_now() + BUSY_MS * 4000;
	*next = turn != 0 && (w.next == 0 || turn < w.next) ? turn : w.next;
	return r;
}

/*
 * The start-up scan, if there was none since the boot.  On a full disk, or if
 * somebody had a job locked, who may die of it, it is made again by the next
 * one; but files whose sync failed are looked at once in a boot.
 */
static int
scan_after_boot(struct idq *q)
{
	char path[PATH_SIZE], mark[64], again[64];
	bool known, seen, bad;
	ssize_t n;
	int r;

	snprintf(path, sizeof(path), "boot/%s", q->host);
	n = idq_read_small(q, path, mark, sizeof(mark));
	if (n == -1 && errno != ENOENT)
		return idq_errno(q, "%s/%s", q->path, path);
	known = *idq_boot(q) != '?';
	if (n != -1 && known && strcmp(mark, idq_boot(q)) == 0)
		return 0;
	snprintf(again, sizeof(again), "%s again", idq_boot(q));
	seen = n != -1 && known && strcmp(mark, again) == 0;
	bad = known && !seen && idq_write_small(q, path, again, false) == 0;
	if ((r = idq_boot_scan(q, bad)) == -1)
		return -1;
	if (r == 0 && (bad || seen) &&
	    idq_write_small(q, path, idq_boot(q), false) == -1)
		idq_notice(q, "%s/%s: %s", q->path, path, strerror(errno));
	return 0;
}

int
idq_prepare(struct idq *q)
{
	struct stat st;

	if (fstat(q->fd, &st) == 0 && st.st_nlink == 0)
		return idq_error(q, EX_NOINPUT, "%s: was removed", q->path);
	idq_stamp_worker(q);
	if (scan_after_boot(q) == -1 || idq_reap_cur(q) == -1)
		return -1;
	return idq_reap_tmp(q, false);
}
