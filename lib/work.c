/* SPDX-License-Identifier: ISC */
/*
 * The worker.  One loop, which sleeps until a signal, a change in the queue, a
 * due time, or the rescan each minute.
 */
#include <sys/signalfd.h>

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker.h"

#define BUSY_MAX	20		/* looks at locks, 50 ms apart */
#define UNSYNCED_MAX	16

int
idq_worker_fail(struct worker *w, struct idq *q)
{
	if (w->msg == NULL) {
		w->code = q->code;
		w->msg = strdup(q->msg);
	} else {
		idq_notice(q, "%s", q->msg);
		/* The end of a job that may not be on disk. */
		if (q->code == EX_IOERR)
			w->code = EX_IOERR;
	}
	w->stopping = true;
	return -1;
}

bool
idq_worker_follows(const struct worker *w)
{
	return w->opt->mode == IDQ_FOLLOW;
}

bool
idq_worker_outlives(const struct worker *w, struct served *s)
{
	/* A full disk, say. */
	if (s->q->code != EX_TEMPFAIL || !idq_worker_follows(w))
		return false;
	idq_notice(s->q, "%s", s->q->msg);
	idq_served_rest(s);
	return true;
}

void
idq_worker_report(struct worker *w, struct idq *q, const struct job *j)
{
	if (w->opt->done != NULL)
		w->opt->done(w->opt->arg, q, &j->pub);
}

/* The longest of the queues' grace times. */
static int64_t
grace(const struct worker *w)
{
	int64_t d = 0;

	for (size_t i = 0; i < w->nqueues; i++)
		if (w->queues[i].q->cfg[CFG_GRACE] > d)
			d = w->queues[i].q->cfg[CFG_GRACE];
	return d;
}

void
idq_worker_signals(struct worker *w)
{
	struct signalfd_siginfo si;

	while (read(w->sigfd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD) {
			w->ended = true;
			continue;
		}
		/* The second one does not wait. */
		w->stop_at = idq_ticks() + (w->signalled ? 0 : grace(w));
		w->signalled = w->stopping = true;
	}
}

/* Each job has a descriptor, until its end is synced. */
static unsigned int
batch_max(const struct idq_work *opt)
{
	size_t max = idq_group_max() / (2 * opt->jobs + 1);

	if (opt->batch == 0 || max == 0)
		return opt->batch > 0;
	return opt->batch < max ? opt->batch : (unsigned int)max;
}

static int
start_up(struct worker *w, struct idq *q)
{
	sigset_t mask;

	idq_signals(&mask, false);
	sigprocmask(SIG_BLOCK, &mask, &w->old_mask);
	w->sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w->sigfd == -1)
		return idq_errno(q, "signalfd");
	w->batch = batch_max(w->opt);
	w->nslots = w->opt->jobs + (w->opt->jobs < UNSYNCED_MAX ?
	    w->opt->jobs : UNSYNCED_MAX) + 2 * w->opt->jobs * w->batch;
	w->slots = calloc(w->nslots, sizeof(*w->slots));
	w->fds = calloc(w->nqueues + 2, sizeof(*w->fds));
	if (w->slots == NULL || w->fds == NULL)
		return idq_errno(q, "%s", q->path);
	w->fds[0] = (struct pollfd){ .fd = w->sigfd, .events = POLLIN };
	w->fds[1] = (struct pollfd){ .fd = -1, .events = POLLIN };
	for (size_t i = 0; i < w->nqueues; i++) {
		idq_served_watch(&w->queues[i], idq_worker_follows(w));
		w->fds[i + 2] = (struct pollfd){ .fd = w->queues[i].ino,
		    .events = POLLIN };
	}
	return 0;
}

static void
shut_down(struct worker *w)
{
	idq_syncer_stop(&w->syncer);
	if (w->sigfd != -1)
		close(w->sigfd);
	free(w->fds);
	free(w->slots);
	sigprocmask(SIG_SETMASK, &w->old_mask, NULL);
}

static void
rescan(struct worker *w)
{
	struct served *s;
	int r;

	for (size_t i = 0; i < w->nqueues; i++) {
		s = &w->queues[i];
		if ((r = idq_served_rescan(s)) == -1) {
			if (!idq_worker_outlives(w, s))
				idq_worker_fail(w, s->q);
		} else if (r == 1) {
			idq_worker_asked(w, s);
			idq_worker_lost(w, s);
		}
	}
}

static void
sooner(int64_t *wait, int64_t other)
{
	if (other < 0)
		other = 0;
	if (*wait == -1 || other < *wait)
		*wait = other;
}

static void
tick_queue(const struct worker *w, const struct served *s, int64_t now,
    int64_t *wait)
{
	if (idq_worker_follows(w) || w->running > 0 || s->limited) {
		sooner(wait, s->rescan_at - now);
		if (s->q->remote)
			sooner(wait, s->look_at - now);
		if (s->next_due != 0)
			sooner(wait, s->next_due - idq_now());
	}
	if (s->soon_at != 0)
		sooner(wait, s->soon_at - now);
}

/* How long to sleep: until something is due; -1 for ever. */
static int64_t
until_due(const struct worker *w)
{
	int64_t now = idq_ticks(), wait = -1;

	if (w->ended)
		return 0;
	for (unsigned int i = 0; i < w->nslots; i++)
		if (w->slots[i].state == RUNS && w->slots[i].child.next != 0)
			sooner(&wait, w->slots[i].child.next - now);
	if (w->stop_at != 0)
		sooner(&wait, w->stop_at - now);
	if (w->stuck)
		sooner(&wait, IDQ_SECOND);
	if (w->stopping)
		return wait;
	for (size_t i = 0; i < w->nqueues; i++)
		tick_queue(w, &w->queues[i], now, &wait);
	return wait;
}

/* End what has run for too long. */
static void
end_late(struct worker *w)
{
	if (w->stop_at != 0 && idq_ticks() >= w->stop_at) {
		idq_worker_stop(w);
		w->stop_at = 0;
	}
	for (unsigned int i = 0; i < w->nslots; i++)
		if (w->slots[i].state == RUNS)
			idq_child_tick(w->slots[i].from->q,
			    &w->slots[i].child);
}

static void
wait_for_something(struct worker *w)
{
	int64_t wait = until_due(w);

	poll(w->fds, w->nqueues + 2, idq_poll_ms(wait));
	idq_worker_signals(w);
	idq_worker_collect(w);
	/* What had ended by then has not run for too long. */
	end_late(w);
	for (size_t i = 0; i < w->nqueues; i++)
		if (idq_served_events(&w->queues[i]))
			idq_worker_asked(w, &w->queues[i]);
}

/* Whether this queue may have something to start, now or by its rate. */
static bool
is_waiting(const struct worker *w, const struct served *s)
{
	if (s->look || idq_ticks() < s->not_before)
		return true;
	return w->opt->mode == IDQ_DRAIN &&
	    (s->limited || (s->busy > 0 && s->busy <= BUSY_MAX));
}

static bool
looks(const struct worker *w)
{
	if (w->opt->mode == IDQ_ONCE && w->started_one)
		return false;
	for (size_t i = 0; i < w->nqueues; i++)
		if (w->queues[i].look &&
		    idq_ticks() >= w->queues[i].not_before)
			return true;
	return false;
}

static bool
is_over(const struct worker *w)
{
	if (w->running > 0 || w->unsynced > 0)
		return false;
	if (w->stopping)
		return true;
	if (w->opt->mode == IDQ_ONCE && w->started_one)
		return true;
	if (idq_worker_follows(w))
		return false;
	for (size_t i = 0; i < w->nqueues; i++)
		if (is_waiting(w, &w->queues[i]))
			return false;
	return true;
}

static void
loop(struct worker *w)
{
	rescan(w);
	for (;;) {
		idq_worker_fill(w);
		idq_worker_sync(w);
		if (is_over(w))
			break;
		if (!looks(w) || idq_worker_slot(w) == NULL || w->stopping ||
		    w->stuck)
			wait_for_something(w);
		if (!w->stopping)
			rescan(w);
	}
}

/* The queues opened and, with --single, locked: 1, 0 not ours alone, -1. */
static int
serve(struct worker *w, struct idq *const *qs, size_t n)
{
	int r = 1;

	w->queues = calloc(n > 0 ? n : 1, sizeof(*w->queues));
	if (w->queues == NULL) {
		idq_errno(qs[0], "%s", qs[0]->path);
		return idq_worker_fail(w, qs[0]);
	}
	for (; r == 1 && w->nqueues < n; w->nqueues++) {
		struct served *s = &w->queues[w->nqueues];

		if (idq_served_open(s, qs[w->nqueues]) == -1)
			return idq_worker_fail(w, qs[w->nqueues]);
		if (w->opt->single &&
		    (r = idq_served_lock(s, true)) == -1)
			idq_worker_fail(w, s->q);
	}
	return r;
}

static int
may_choose(struct idq *q, const struct idq_work *opt)
{
	if (opt->argv == NULL && q->cfg[CFG_SHARED] == 1 &&
	    q->cfg[CFG_EXEC] == 0)
		return idq_error(q, EX_NOPERM, "%s: is shared, so others could "
		    "choose the command: give one, or set exec yes", q->path);
	if (opt->argv == NULL && q->cfg[CFG_SHARED] == 1 &&
	    !idq_config_is_safe(q))
		return idq_error(q, EX_NOPERM, "%s: exec yes could be from "
		    "anybody of its group; as its owner: idq config -q %s "
		    "shared yes", q->path, q->path);
	return 0;
}

int
idq_work(struct idq *const *qs, size_t n, const struct idq_work *opt)
{
	struct worker w = { .opt = opt, .sigfd = -1 };

	idq_syncer_init(&w.syncer);
	for (size_t i = 0; i < n; i++)
		if (may_choose(qs[i], opt) == -1) {
			if (i > 0)
				idq_error(qs[0], qs[i]->code, "%s",
				    qs[i]->msg);
			return -1;
		}
	if (serve(&w, qs, n) == 1) {
		if (start_up(&w, qs[0]) == -1)
			idq_worker_fail(&w, qs[0]);
		else
			loop(&w);
		shut_down(&w);
	}
	for (size_t i = 0; i < w.nqueues; i++)
		idq_served_close(&w.queues[i]);
	free(w.queues);
	if (w.code != 0)
		idq_error(qs[0], w.code, "%s", w.msg != NULL ? w.msg :
		    "out of memory");
	free(w.msg);
	return w.code == 0 ? 0 : -1;
}
