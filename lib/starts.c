/* SPDX-License-Identifier: ISC */
/*
 * What a worker starts: a claimed job's command, or one command for many jobs.
 */
#include <string.h>

#include "worker.h"

struct slot *
idq_worker_slot(struct worker *w)
{
	for (unsigned int i = 0; i < w->nslots &&
	    w->running < w->opt->jobs; i++)
		if (w->slots[i].state == FREE)
			return &w->slots[i];
	return NULL;
}

/* It was not started. */
static void
give_back(struct slot *s)
{
	struct idq *q = s->from->q;

	if (idq_give_back(q, &s->child.job, 0, false) == -1)
		idq_notice(q, "%s", q->msg);
	idq_job_unlock(&s->child.job);
	idq_job_close(&s->child.job);
	s->state = FREE;
}

/* The command in S has been started. */
static void
set_running(struct worker *w, struct slot *s)
{
	if (w->opt->timeout != 0)
		s->child.next = idq_after(idq_ticks(), w->opt->timeout);
	s->state = RUNS;
	w->running++;
}

/* The command could not be started. */
static void
not_started(struct worker *w, struct slot *s)
{
	struct child *c = &s->child;
	struct idq *q = s->from->q;
	int code = q->code;

	if (q->sync_failed) {
		/* That it has expired, perhaps on disk: nothing may follow. */
		idq_worker_fail(w, q);
		return;
	}
	if (code == EX_TEMPFAIL) {
		idq_notice(q, "%s: %s", c->job.pub.key, q->msg);
		idq_served_rest(s->from);
	} else if (w->opt->argv == NULL || (code != 126 && code != 127)) {
		/* The job's own command, or its arguments: its attempt. */
		if (code != 126 && code != 127)
			idq_notice(q, "%s: %s", c->job.pub.key, q->msg);
		if (idq_finish(q, &c->job, HOW_EXIT,
		    code == 127 ? 127 : 126, "", false) == 0) {
			idq_worker_report(w, q, &c->job);
			return;
		}
		idq_worker_fail(w, q);
		return;
	} else {
		/* A bad deploy must not use up a queue's attempts. */
		idq_worker_fail(w, q);
	}
	if (idq_give_back(q, &c->job, 0, false) == -1)
		idq_notice(q, "%s", q->msg);
}

static bool
has_command(const struct worker *w, const struct job *j)
{
	return w->opt->argv != NULL || j->pub.nargs > 0;
}

/* The job in S is claimed.  What is not started is let go of. */
static void
start(struct worker *w, struct slot *s)
{
	const struct start how = { .argv = w->opt->argv, .with_job = true,
	    .mask = w->old_mask, .umask = w->opt->umask };
	struct job *j = &s->child.job;
	struct idq *q = s->from->q;
	int r;

	/* Told to stop while claiming: the job was not started. */
	idq_worker_signals(w);
	if (w->stopping) {
		give_back(s);
		return;
	}
	if (!has_command(w, j)) {
		if (idq_finish(q, j, HOW_NOCOMMAND, 0, "", false) == -1)
			idq_worker_fail(w, q);
		else
			idq_worker_report(w, q, j);
	} else if ((r = idq_child_start(q, &s->child, &how)) == 1) {
		set_running(w, s);
		return;
	} else if (r == 0)
		idq_worker_report(w, q, j);	/* too late: it has expired */
	else
		not_started(w, s);
	idq_job_unlock(j);
	idq_job_close(j);
}

/* Runs go on; nothing new is started. */
static void
close_gate(struct worker *w, struct served *s)
{
	bool first = w->msg == NULL;

	idq_worker_fail(w, s->q);
	if (first && w->opt->gate != NULL)
		w->opt->gate(w->opt->arg, s->q);
}

/* A job of S into the slot: 1, 0 none, -1 it is over. */
static int
take(struct worker *w, struct served *s, struct slot *slot)
{
	struct idq *q = s->q;
	int r;

	if (!s->look || idq_ticks() < s->not_before)
		return 0;
	if (!w->opt->catch_up && (r = idq_served_gate(s)) != 0) {
		if (r == 1)
			close_gate(w, s);
		else
			idq_worker_fail(w, q);
		return -1;
	}
	r = idq_served_take(s, w->opt->rate, &slot->child.job);
	if (r == -1 && idq_worker_outlives(w, s))
		return 0;
	if (r == -1)
		idq_worker_fail(w, q);
	slot->from = s;
	return r;
}

/* The first queue that has something: 1, 0 none has, -1. */
static int
take_first(struct worker *w, struct slot *slot)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < w->nqueues; i++)
		r = take(w, &w->queues[i], slot);
	return r;
}

/* The job of FIRST, and others of its queue, into B: 0, or -1 with errno. */
static int
gather(struct worker *w, struct slot *first, struct batch *b)
{
	struct slot *s = first;

	do {
		if (idq_batch_add(b, &s->child) == -1) {
			give_back(s);
			return -1;
		}
		s->state = MEMBER;
		idq_worker_signals(w);
	} while (!w->stopping && b->n < w->batch &&
	    (s = idq_worker_slot(w)) != NULL && take(w, first->from, s) == 1);
	return 0;
}

/* What has expired since it was claimed is not run: 0, -1. */
static int
drop_late(struct worker *w, struct batch *b)
{
	struct child *c;
	struct slot *s;
	struct idq *q;
	int r = 0;

	while (r == 0 && (c = idq_batch_late(b)) != NULL) {
		s = (struct slot *)(void *)c;
		q = s->from->q;
		q->sync_failed = false;
		if ((r = idq_child_expire(q, &c->job)) == 0)
			idq_worker_report(w, q, &c->job);
		else if (!q->sync_failed) {
			/* To be given back with the others. */
			b->of[b->n++] = c;
			break;
		}
		/* If that could not be synced nothing may follow it. */
		idq_job_unlock(&c->job);
		idq_job_close(&c->job);
		s->state = FREE;
	}
	return r;
}

/* The command in S for those of B that are in time: 1, 0 none is, -1. */
static int
start_many(struct worker *w, struct slot *s, struct batch *b, struct idq *q)
{
	const struct start how = { .argv = w->opt->argv, .mask = w->old_mask,
	    .umask = w->opt->umask };
	int r;

	do
		r = drop_late(w, b);
	while (r == 0 && b->n > 0 &&
	    (r = idq_batch_start(q, &s->child, b, w->opt, &how)) == 0);
	return r;
}

/* Start a command for the job in FIRST and others, in a slot of its own. */
static void
start_batch(struct worker *w, struct slot *first)
{
	struct served *from = first->from;
	struct idq *q = from->q;
	struct batch b = BATCH_INIT;
	struct slot *s;
	int r;

	/* There are more slots than jobs that could be in a batch. */
	first->state = MEMBER;
	if ((s = idq_worker_slot(w)) == NULL) {
		give_back(first);
		return;
	}
	s->state = MEMBER;
	if ((r = gather(w, first, &b)) == -1) {
		idq_errno(q, "%s", q->path);
		q->code = EX_TEMPFAIL;
	} else if (!w->stopping &&
	    (r = start_many(w, s, &b, q)) == 1) {
		s->from = from;
		s->batch = b;
		set_running(w, s);
		return;
	}
	if (r == -1 && q->code == EX_TEMPFAIL) {
		idq_notice(q, "%s: %s", q->path, q->msg);
		idq_served_rest(from);
	} else if (r == -1)
		/* A bad deploy must not use up a queue's attempts. */
		idq_worker_fail(w, q);
	for (size_t i = 0; i < b.n; i++)
		give_back((struct slot *)(void *)b.of[i]);
	idq_batch_free(&b);
	s->state = FREE;
}

void
idq_worker_fill(struct worker *w)
{
	struct slot *s;

	while (!w->stopping && !w->stuck &&
	    !(w->opt->mode == IDQ_ONCE && w->started_one) &&
	    (s = idq_worker_slot(w)) != NULL && take_first(w, s) == 1) {
		w->started_one = true;
		if (w->batch > 0)
			start_batch(w, s);
		else
			start(w, s);
	}
}
