/* SPDX-License-Identifier: ISC */
/*
 * Removing what is past its time.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define TICK	256			/* jobs between two calls of tick() */

struct work {
	struct idq	*q;
	struct idq_purge *p;
	int64_t		 now;		/* as the clock says */
	int64_t		 sane;		/* as far as it is believed */
	uint64_t	 seen;
	bool		 touched[256];	/* shards of keys/ to be synced */
};

/* When J may go; IDQ_FOREVER: never. */
static int64_t
time_of(const struct work *w, const struct job *j)
{
	if (!idq_is_over(j))
		return IDQ_FOREVER;
	if (w->p->older > 0)
		return idq_after(j->line.at, w->p->older);
	return j->pub.release != 0 ? j->pub.release : IDQ_FOREVER;
}

static bool
is_meant(const struct work *w, const struct job *j)
{
	struct idq_filter f;

	if (w->p->only == NULL)
		return true;
	f = *w->p->only;
	f.older = 0;
	return idq_match(&f, &j->pub, w->now);
}

static int
purge_job(struct work *w, struct job *j, const char *path)
{
	int64_t at = time_of(w, j);
	unsigned int shard;

	if (!j->whole)
		idq_notice(w->q, "%s/%s: is not whole; left alone",
		    w->q->path, path);
	if (!j->whole || at > w->now || !is_meant(w, j))
		return 0;
	if (at > w->sane) {
		w->p->held++;
		return 0;
	}
	if (!w->p->dry_run) {
		if (idq_free_key(w->q, j, path, w->p->older > 0) == -1)
			return -1;
		sscanf(j->pub.hash, "%2x", &shard);
		w->touched[shard] = true;
	}
	w->p->jobs++;
	return 0;
}

static int
purge_entry(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct work *w = arg;
	char path[PATH_SIZE];
	struct job j;
	int r;

	snprintf(path, sizeof(path), "%s/%.*s", folder, CUR_LEN, e->d_name);
	if ((r = idq_job_take(w->q, path, n->hash, NULL, &j)) == 1) {
		r = purge_job(w, &j, path);
		idq_job_unlock(&j);
		idq_job_close(&j);
	}
	if (r == -1 && !idq_pass_over(w->q))
		return -1;
	if (++w->seen % TICK == 0 && w->p->tick != NULL)
		return w->p->tick(w->p->arg, w->p->jobs);
	return 0;
}

static int
purge_logs(struct work *w)
{
	int64_t keep = w->q->cfg[CFG_KEEP_LOG];
	char oldest[STAMP_SIZE], path[PATH_SIZE + 256], day[DAY_LEN + 1];
	struct dirent *e;
	struct stat st;
	DIR *d;

	if (keep == IDQ_FOREVER)
		return 0;
	idq_stamp(w->sane > keep ? w->sane - keep : 0, oldest);
	if ((d = idq_opendir(w->q, "log")) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(w->q, "%s/log", w->q->path);
	while ((e = idq_readdir(d)) != NULL) {
		strlcpy(day, e->d_name, sizeof(day));
		if (!idq_is_day(day) || e->d_name[DAY_LEN] != '.' ||
		    strncmp(day, oldest, DAY_LEN) >= 0)
			continue;
		snprintf(path, sizeof(path), "log/%s", e->d_name);
		if (idq_at_stat(w->q, path, &st) == -1 ||
		    !S_ISREG(st.st_mode)) {
			idq_notice(w->q, "%s/%s: is no log; left alone",
			    w->q->path, path);
			continue;
		}
		w->p->logs++;
		if (!w->p->dry_run && idq_at_unlink(w->q, path, 0) == -1)
			idq_notice(w->q, "%s/%s: %s", w->q->path, path,
			    strerror(errno));
	}
	closedir(d);
	return 0;
}

static bool
starts(const char *name, const char *with)
{
	return strncmp(name, with, strlen(with)) == 0;
}

static bool
is_old(struct work *w, const char *path)
{
	struct stat st;

	return idq_at_stat(w->q, path, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_mtim.tv_sec * IDQ_SECOND < w->sane - IDQ_DAY;
}

/* What others may still use, a scan for a minute, stays. */
static bool
is_left(struct work *w, const char *name, const char *path)
{
	if (starts(name, "spare."))
		return idq_spare_is_left(w->q, path);
	return (starts(name, "clock.") || starts(name, "next.")) &&
	    is_old(w, path);
}

static void
purge_run(struct work *w)
{
	char path[PATH_SIZE + 256];
	struct dirent *e;
	DIR *d = idq_opendir(w->q, "run");

	while (d != NULL && (e = idq_readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "run/%s", e->d_name);
		if (is_left(w, e->d_name, path))
			idq_at_unlink(w->q, path, 0);
	}
	if (d != NULL)
		closedir(d);
}

static int
sync_shards(struct work *w)
{
	char hash[3];

	for (int i = 0; i < 256; i++) {
		if (!w->touched[i])
			continue;
		snprintf(hash, sizeof(hash), "%02x", i);
		if (idq_sync_freed(w->q, hash) == -1)
			return -1;
	}
	return 0;
}

/*
 * A clock that jumped ahead must not free every key at once: it is believed
 * up to a day past the newest line of the log.  This run writes one, so that
 * the next will go on; a queue that was idle is only late.
 */
static int
believe(struct work *w)
{
	int64_t newest;

	if (idq_log_newest(w->q, &newest) == -1)
		return -1;
	w->now = idq_now();
	w->sane = idq_after(newest, IDQ_DAY);
	if (w->sane > w->now)
		w->sane = w->now;
	return 0;
}

static void
log_purge(const struct work *w)
{
	char detail[96];

	snprintf(detail, sizeof(detail), "jobs=%" PRIu64 " logs=%" PRIu64
	    " held=%" PRIu64, w->p->jobs, w->p->logs, w->p->held);
	idq_log_write(w->q, NULL, w->now, "purged", 0, detail);
}

int
idq_purge(struct idq *q, struct idq_purge *p)
{
	static const enum place places[] = { PL_FAILED, PL_DONE, PL_CANCELLED,
	    PL_EXPIRED };
	struct work w = { .q = q, .p = p };
	int r = 0;

	p->jobs = p->logs = p->held = 0;
	if (believe(&w) == -1)
		return -1;
	for (size_t i = 0; r == 0 && i < NITEMS(places); i++) {
		r = idq_walk(q, places[i], purge_entry, &w);
		if (r == -1 && idq_pass_over(q))
			r = 0;
	}
	/* Stopped by the caller is no failure; what is gone is gone. */
	if (r != -1)
		r = 0;
	if (sync_shards(&w) == -1 ||
	    (r == 0 && p->only == NULL && purge_logs(&w) == -1))
		r = -1;
	if (p->dry_run || r == -1)
		return r;
	if (p->only == NULL && idq_pace_purge(q, w.sane) == -1)
		idq_notice(q, "%s", q->msg);
	if (p->only == NULL)
		purge_run(&w);
	log_purge(&w);
	return 0;
}

/* The job is locked: 1, or -1. */
static int
purge_ref(struct work *w, struct job *j)
{
	uint64_t before = w->p->jobs + w->p->held;
	int64_t at = time_of(w, j);
	char stamp[STAMP_SIZE];

	if (!idq_is_over(j))
		return idq_error(w->q, EX_UNAVAILABLE, "is %s; idq cancel "
		    "ends it", idq_state_name(j->pub.state));
	if (idq_may_sync(w->q) == -1 || purge_job(w, j, j->pub.path) == -1)
		return -1;
	if (w->p->jobs + w->p->held > before)
		return 1;
	return idq_error(w->q, EX_UNAVAILABLE, "stays %s%s; idq forget "
	    "removes it", at == IDQ_FOREVER ? "for ever" : "until ",
	    at == IDQ_FOREVER ? "" : idq_stamp(at, stamp));
}

int
idq_purge_job(struct idq *q, const char *ref, int flags, struct idq_purge *p)
{
	struct work w = { .q = q, .p = p };
	uint64_t before = p->jobs;
	struct job j;
	bool busy;
	int r;

	if (believe(&w) == -1)
		return -1;
	if ((r = idq_grab(q, ref, flags, &j, &busy)) != 1)
		return r;
	r = busy ? idq_is_locked(q, &j) : purge_ref(&w, &j);
	if (r == 1 && p->jobs > before && !p->dry_run)
		idq_log_write(q, &j.pub, w.now, "purged", j.pub.claims, "");
	idq_let_go(&j, busy);
	if (sync_shards(&w) == -1)
		r = -1;
	return r;
}
