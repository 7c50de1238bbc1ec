/* SPDX-License-Identifier: ISC */
/*
 * What a worker has started and ends: by itself, or because it is told to.  The
 * end of a command is written at once, synced beside others, and then settled.
 */
#include <errno.h>

#include "worker.h"

static void
look_everywhere(struct worker *w)
{
	for (size_t i = 0; i < w->nqueues; i++)
		w->queues[i].look = true;
}

/* The job is not ours any more. */
static void
leave(struct worker *w, struct slot *s)
{
	idq_job_close(&s->child.job);
	s->state = FREE;
	look_everywhere(w);
}

/* Its file was synced, which ended with ERR: 0 or errno. */
static void
settle(struct worker *w, struct slot *s, int err)
{
	struct idq *q = s->from->q;

	w->unsynced--;
	if (idq_child_settle(q, &s->child, err) == 0)
		idq_worker_report(w, q, &s->child.job);
	else if (q->sync_failed) {
		/* Never sync that again: what is on disk is unknown. */
		q->code = EX_IOERR;
		idq_worker_fail(w, q);
	} else
		idq_notice(q, "%s", q->msg);
	leave(w, s);
}

/*
 * With one command at a time there is nothing to share, and this thread syncs
 * while the next one runs.
 */
static bool
ask_syncer(struct worker *w, const struct slot *s)
{
	if ((w->opt->jobs == 1 && w->batch == 0) || (w->syncer.n == 0 &&
	    idq_syncer_start(&w->syncer, w->nslots) == -1))
		return false;
	w->fds[1].fd = w->syncer.told[0];
	return idq_syncer_ask(&w->syncer, (unsigned int)(s - w->slots),
	    s->child.job.fd) == 0;
}

/* Write the end of a command; the job stays ours until that has worked. */
static void
write_end(struct worker *w, struct slot *s)
{
	struct idq *q = s->from->q;
	int r = idq_child_ended(q, &s->child, s->child.status);

	if (r == -1) {
		if (!w->told)
			idq_notice(q, "%s: the end of a job cannot be "
			    "written, trying again: %s", q->path, q->msg);
		w->told = w->stuck = true;
		return;
	}
	w->running--;
	if (r != 1) {
		if (r == 0)
			idq_worker_report(w, q, &s->child.job);
		leave(w, s);
		return;
	}
	s->state = ask_syncer(w, s) ? ASKED : WRITTEN;
	w->unsynced++;
}

/* The command in S has ended: so has each of its jobs. */
static void
batch_ended(struct worker *w, struct slot *s)
{
	struct batch *b = &s->batch;

	idq_batch_ended(s->from->q, &s->child, b);
	w->running--;
	for (size_t i = 0; i < b->n; i++) {
		/* A slot begins with its child. */
		((struct slot *)(void *)b->of[i])->state = ENDED;
		w->running++;
	}
	idq_batch_free(b);
	s->state = FREE;
}

void
idq_worker_collect(struct worker *w)
{
	unsigned int i;
	int err;

	w->told = w->stuck;
	w->stuck = w->ended = false;
	for (i = 0; i < w->nslots; i++) {
		struct slot *s = &w->slots[i];

		if (s->state != RUNS ||
		    !idq_child_wait(&s->child, &s->child.status))
			continue;
		if (s->batch.n > 0)
			batch_ended(w, s);
		else
			s->state = ENDED;
	}
	for (i = 0; i < w->nslots; i++)
		if (w->slots[i].state == ENDED)
			write_end(w, &w->slots[i]);
	while (idq_syncer_told(&w->syncer, &i, &err))
		settle(w, &w->slots[i], err);
}

void
idq_worker_sync(struct worker *w)
{
	for (unsigned int i = 0; i < w->nslots; i++) {
		struct slot *s = &w->slots[i];

		if (s->state == WRITTEN)
			settle(w, s, idq_sync_file(s->from->q,
			    s->child.job.fd) == 0 ? 0 : errno);
	}
}

void
idq_worker_stop(struct worker *w)
{
	for (unsigned int i = 0; i < w->nslots; i++)
		if (w->slots[i].state == RUNS)
			idq_child_end(w->slots[i].from->q,
			    &w->slots[i].child, WHY_STOP);
}

/* What cancel --kill wants. */
void
idq_worker_asked(struct worker *w, const struct served *from)
{
	for (unsigned int i = 0; i < w->nslots; i++) {
		struct slot *s = &w->slots[i];

		if (s->state == RUNS && s->batch.n == 0 && s->from == from &&
		    idq_asked(from->q, s->child.job.pub.id) == 2)
			idq_child_end(from->q, &s->child, WHY_ASKED);
	}
}

/* What another machine has taken for dead, and runs itself. */
void
idq_worker_lost(struct worker *w, const struct served *from)
{
	for (unsigned int i = 0; from->q->remote && i < w->nslots; i++) {
		struct slot *s = &w->slots[i];

		if (s->state == RUNS && s->batch.n == 0 && s->from == from &&
		    idq_child_is_lost(from->q, &s->child))
			idq_child_end(from->q, &s->child, WHY_STOP);
	}
}
