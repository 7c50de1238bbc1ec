/* SPDX-License-Identifier: ISC */
/*
 * What a person does to a job.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "idq_impl.h"

#define PID_TRIES	50		/* of 10 ms */

/* An unfinished add is completed first: 1, 0 it is gone, -1. */
static int
finish_add(struct idq *q, struct job *j)
{
	switch (idq_complete(q, j)) {
	case COMPLETE_OK:
		idq_where(q, j);
		return 1;
	case COMPLETE_GONE:
		return 0;
	case COMPLETE_BAD:
		return idq_error(q, EX_TEMPFAIL, "its add was cut off; add "
		    "it again");
	default:
		return -1;
	}
}

static int
try_grab(struct idq *q, const char *ref, int flags, int64_t wait,
    struct job *j, bool *busy)
{
	struct name n;
	int r;

	*busy = false;
	if ((r = idq_resolve(q, ref, flags, &n)) != 1)
		return r;
again:
	if ((r = idq_key_open(q, n.hash, j)) != 1)
		return r;
	if ((r = idq_job_lock(q, j, wait)) == 0)
		*busy = true;
	else if (r == 1 && (r = idq_job_owns_key(q, j)) == 0 && j->whole) {
		idq_job_close(j);
		goto again;
	}
	if (r != -1)
		r = idq_job_load(q, j, n.hash);
	if (r == 0 && !j->whole)
		r = idq_not_whole(q, j);
	if (r == 0 && (*n.id == '\0' || strcmp(n.id, j->pub.id) == 0)) {
		r = 1;
		if (idq_where(q, j) >= PL_TMP && !*busy)
			r = finish_add(q, j);
	}
	if (r != 1)
		idq_job_close(j);
	return r;
}

/* A running job may be locked for hours, any other only for a short step. */
int
idq_grab(struct idq *q, const char *ref, int flags, struct job *j, bool *busy)
{
	int r = try_grab(q, ref, flags, 0, j, busy);

	if (r != 1 || !*busy || j->pub.state == IDQ_RUNNING)
		return r;
	idq_job_close(j);
	return try_grab(q, ref, flags, LOCK_WAIT, j, busy);
}

void
idq_let_go(struct job *j, bool busy)
{
	if (!busy)
		idq_job_unlock(j);
	idq_job_close(j);
}

int
idq_is_locked(struct idq *q, const struct job *j)
{
	if (j->pub.state == IDQ_RUNNING)
		return idq_error(q, EX_UNAVAILABLE, "is running");
	return idq_error(q, EX_TEMPFAIL, "is locked by another idq");
}

bool
idq_is_resting(const struct job *j)
{
	return j->pub.state == IDQ_FAILED && j->line.next != 0;
}

/*
 * The worker is dead and its command may live: end it ourselves, if it is
 * proven to be the one.
 */
static int
kill_orphan(struct idq *q, struct job *j)
{
	const struct timespec pause = { 0, 10000000 };
	struct pids pids;
	int r;

	/* A worker notes the pid only once the command runs. */
	for (int i = 0; (r = idq_pid_read(q, j->pub.id, &pids)) == -1 &&
	    i < PID_TRIES; i++)
		nanosleep(&pause, NULL);
	if (r == -1)
		return idq_error(q, EX_TEMPFAIL, "is noted as cancelled, but "
		    "from here nobody can tell whose process it is");
	if (pids.worker != 0)
		return 0;		/* which watches asked/ */
	if (pids.command != 0)
		idq_pid_signal(&pids, SIGTERM);
	r = idq_job_lock(q, j, pids.command != 0 ? q->cfg[CFG_GRACE] : 0);
	if (r == 0 && idq_pid_read(q, j->pub.id, &pids) == 0 &&
	    pids.command != 0) {
		idq_pid_signal(&pids, SIGKILL);
		r = idq_job_lock(q, j, LOCK_WAIT);
	}
	if (r != 1)
		return r == -1 ? -1 : idq_error(q, EX_TEMPFAIL,
		    "is noted as cancelled, but its lock is still held");
	idq_pid_remove(q, j->pub.id);
	return 1;
}

static int
write_asked(struct idq *q, const struct job *j, bool kill)
{
	char path[PATH_SIZE], text[256], stamp[STAMP_SIZE];

	snprintf(text, sizeof(text), "%s %s uid=%u host=%s pid=%d\n",
	    kill ? "kill" : "cancel", idq_stamp(idq_now(), stamp),
	    (unsigned int)geteuid(), q->host, (int)getpid());
	idq_asked_path(j->pub.id, path);
	if (idq_write_small(q, path, text, true) == -1)
		return idq_errno(q, "%s/%s", q->path, path);
	return 0;
}

static int
cancel_locked(struct idq *q, struct job *j)
{
	const struct idq_job *p = &j->pub;

	if (p->state == IDQ_CANCELLED)
		return 1;
	if (idq_is_over(j) && !idq_is_resting(j))
		return idq_error(q, EX_UNAVAILABLE, "is %s",
		    idq_state_name(p->state));
	return idq_cancel_now(q, j, p->path) == -1 ? -1 : 1;
}

/* J runs under somebody's lock.  *busy turns false if it could be had. */
static int
ask(struct idq *q, struct job *j, bool kill, bool *busy)
{
	char hash[HASH_SIZE];
	int r;

	strlcpy(hash, j->pub.hash, sizeof(hash));
	if (write_asked(q, j, kill) == -1)
		return -1;
	/* It may have ended just before: then nobody looks at the wish. */
	r = idq_job_lock(q, j, 0);
	if (r == 0 && idq_job_load(q, j, hash) == -1)
		return -1;
	if (r == 0 && j->whole && j->pub.state != IDQ_RUNNING)
		r = idq_job_lock(q, j, LOCK_WAIT);
	else if (r == 0 && kill)
		r = kill_orphan(q, j);
	if (r != 1)
		return r == 0 ? 1 : -1;
	*busy = false;
	if (idq_job_load(q, j, hash) == -1)
		return -1;
	idq_where(q, j);
	r = cancel_locked(q, j);
	if (r == -1) {
		char path[PATH_SIZE];

		idq_asked_path(j->pub.id, path);
		idq_at_unlink(q, path, 0);
	}
	return r;
}

int
idq_cancel(struct idq *q, const char *ref, int flags, bool kill)
{
	struct job j;
	bool busy;
	int r;

	if ((r = idq_grab(q, ref, flags, &j, &busy)) != 1)
		return r;
	if (!busy)
		r = cancel_locked(q, &j);
	else if (j.pub.state == IDQ_RUNNING)
		r = ask(q, &j, kill, &busy);
	else
		r = idq_is_locked(q, &j);
	idq_let_go(&j, busy);
	return r;
}

static void
by_person(struct line *l, const struct job *j, enum event e, enum place to)
{
	memset(l, 0, sizeof(*l));
	l->at = idq_now();
	l->event = e;
	l->n = j->pub.claims;
	l->to = to;
	snprintf(l->detail, sizeof(l->detail), "by=%u",
	    (unsigned int)geteuid());
}

/* To be started again at DUE, or now if that is 0. */
static void
again(const struct idq *q, struct line *l, const struct job *j, enum event e,
    int64_t due)
{
	by_person(l, j, e, PL_NEW);
	l->next = due != 0 ? due : l->at;
	if (l->next > l->at)
		l->to = PL_WAIT;
	if (j->pub.run) {
		l->to = PL_FAILED;
		l->release = j->pub.release != 0 ? j->pub.release :
		    idq_after(l->at, q->cfg[CFG_KEEP_FAILED]);
	}
}

/*
 * Rename first: killed before the line, the next claim finds the old one and
 * moves the job back.  The other way round it would be stranded.
 */
static int
send_back(struct idq *q, struct job *j, enum event e, int64_t due)
{
	struct idq_job *p = &j->pub;
	char to[PATH_SIZE];
	struct line l;

	again(q, &l, j, e, due);
	idq_place_path(l.to, p->hash, p->id, l.next, to);
	if (strcmp(p->path, to) != 0 && idq_pace_move(q, j, p->path, to) != 1)
		return -1;
	if (idq_trail_append(q, j, &l) == -1) {
		idq_move(q, j, to, p->path);
		return -1;
	}
	if (idq_sync_file(q, j->fd) == -1)
		return idq_errno(q, "%s/%s: sync", q->path, to);
	idq_log_line(q, j);
	return 1;
}

/* If nobody works on it any more: first what a claim would have done. */
static int
reap_first(struct idq *q, struct job *j)
{
	struct idq_job *p = &j->pub;

	if (p->state != IDQ_RUNNING)
		return 0;
	if (idq_is_leased(q, j))
		return idq_is_locked(q, j);
	if (idq_interrupt(q, j, p->path) == -1)
		return -1;
	idq_where(q, j);
	return 0;
}

static int
retry_locked(struct idq *q, struct job *j)
{
	struct idq_job *p = &j->pub;
	char asked[PATH_SIZE];

	if (reap_first(q, j) == -1)
		return -1;
	if (p->state == IDQ_PENDING)
		return 1;
	if (p->state != IDQ_WAITING && p->state != IDQ_HELD &&
	    p->state != IDQ_FAILED)
		return idq_error(q, EX_UNAVAILABLE, "is %s; idq forget frees "
		    "its key", idq_state_name(p->state));
	if (idq_is_expired(j, idq_now()))
		return idq_error(q, EX_UNAVAILABLE,
		    "its deadline has passed");
	/* A wish that came too late for the last claim. */
	idq_asked_path(p->id, asked);
	if (p->claims > 0)
		idq_at_unlink(q, asked, 0);
	return send_back(q, j, EV_RETRIED, 0);
}

int
idq_retry(struct idq *q, const char *ref, int flags)
{
	struct job j;
	bool busy;
	int r;

	if ((r = idq_grab(q, ref, flags, &j, &busy)) != 1)
		return r;
	r = busy ? idq_is_locked(q, &j) : retry_locked(q, &j);
	idq_let_go(&j, busy);
	return r;
}

static int
is_running(struct idq *q)
{
	return idq_error(q, EX_UNAVAILABLE, "is running; wait for its end or "
	    "cancel it");
}

/* The deadline does not matter: a held job does not expire. */
static int
hold_locked(struct idq *q, struct job *j)
{
	struct idq_job *p = &j->pub;
	struct line l;

	if (p->state == IDQ_RUNNING && idq_is_leased(q, j))
		return is_running(q);
	if (reap_first(q, j) == -1)
		return -1;
	if (p->state == IDQ_HELD)
		return 1;
	if (idq_is_over(j) && !idq_is_resting(j))
		return idq_error(q, EX_UNAVAILABLE, "is %s",
		    idq_state_name(p->state));
	by_person(&l, j, EV_HELD, PL_HOLD);
	strlcat(l.detail, " reason=operator", sizeof(l.detail));
	return idq_step(q, j, p->path, &l, true) == -1 ? -1 : 1;
}

int
idq_hold(struct idq *q, const char *ref, int flags)
{
	struct job j;
	bool busy;
	int r;

	if ((r = idq_grab(q, ref, flags, &j, &busy)) != 1)
		return r;
	if (busy && j.pub.state == IDQ_RUNNING)
		r = is_running(q);
	else
		r = busy ? idq_is_locked(q, &j) : hold_locked(q, &j);
	idq_let_go(&j, busy);
	return r;
}

static int
unhold_locked(struct idq *q, struct job *j)
{
	struct idq_job *p = &j->pub;

	if (idq_is_over(j) && !idq_is_resting(j))
		return idq_error(q, EX_UNAVAILABLE, "is %s",
		    idq_state_name(p->state));
	if (p->state != IDQ_HELD)
		return 1;
	if (idq_is_expired(j, idq_now()))
		return idq_error(q, EX_UNAVAILABLE, "its deadline has passed; "
		    "idq cancel ends it");
	return send_back(q, j, EV_UNHELD, p->due);
}

int
idq_unhold(struct idq *q, const char *ref, int flags)
{
	struct job j;
	bool busy;
	int r;

	if ((r = idq_grab(q, ref, flags, &j, &busy)) != 1)
		return r;
	if (busy)
		r = j.pub.state == IDQ_RUNNING ? 1 : idq_is_locked(q, &j);
	else
		r = unhold_locked(q, &j);
	idq_let_go(&j, busy);
	return r;
}

static int
forget_locked(struct idq *q, struct job *j)
{
	if (!idq_is_over(j))
		return idq_error(q, EX_UNAVAILABLE, "is %s; idq cancel ends it",
		    idq_state_name(j->pub.state));
	if (idq_may_sync(q) == -1 ||
	    idq_free_key(q, j, j->pub.path, true) == -1 ||
	    idq_sync_freed(q, j->pub.hash) == -1)
		return -1;
	idq_log_write(q, &j->pub, idq_now(), "forgotten", j->pub.claims, "");
	return 1;
}

int
idq_forget(struct idq *q, const char *ref, int flags)
{
	struct job j;
	bool busy;
	int r;

	if ((r = idq_grab(q, ref, flags, &j, &busy)) != 1)
		return r;
	r = busy ? idq_is_locked(q, &j) : forget_locked(q, &j);
	idq_let_go(&j, busy);
	return r;
}
