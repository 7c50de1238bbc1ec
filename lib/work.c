/* SPDX-License-Identifier: ISC */
/*
 * The worker.  One loop, which sleeps until a signal, a change in the queue, a
 * due time, or the rescan each minute.
 */
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define BUSY_MAX	20		/* looks at locks, 50 ms apart */
#define UNSYNCED_MAX	16

struct slot {
	struct child	 child;
	struct served	*from;
	struct batch	 batch;		/* if it runs for many */
	enum {
		FREE,
		MEMBER,			/* its job is one of such a batch */
		RUNS,
		ENDED,			/* but that could not be written yet */
		WRITTEN,		/* and is to be synced by us */
		ASKED			/* or is by the syncer */
	} state;
};

struct worker {
	struct served	*queues;	/* the first comes first */
	size_t		 nqueues;
	const struct idq_work *opt;
	struct slot	*slots;		/* more than run: some are unsynced */
	unsigned int	 nslots;
	struct pollfd	*fds;		/* signals, syncer, then the queues */
	struct syncer	 syncer;
	unsigned int	 running;	/* or ended, and that is not written */
	unsigned int	 unsynced;
	unsigned int	 batch;		/* jobs for a command; 0: one alone */
	sigset_t	 old_mask;
	int		 sigfd;
	bool		 stopping;
	bool		 started_one;
	bool		 stuck;		/* the end of a job cannot be written */
	bool		 told;		/* and somebody knows */
	int64_t		 stop_at;	/* when to end the commands; 0: not */
	int		 code;		/* that it ends with */
	char		*msg;
};

static int
keep_error(struct worker *w, struct idq *q)
{
	if (w->msg == NULL) {
		w->code = q->code;
		w->msg = strdup(q->msg);
	}
	w->stopping = true;
	return -1;
}

static bool
follows(const struct worker *w)
{
	return w->opt->mode == IDQ_FOLLOW;
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
		idq_served_watch(&w->queues[i], follows(w));
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
report(struct worker *w, struct idq *q, const struct job *j)
{
	if (w->opt->done != NULL)
		w->opt->done(w->opt->arg, q, &j->pub);
}

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
		report(w, q, &s->child.job);
	else if (q->sync_failed) {
		/* Never sync that again: what is on disk is unknown. */
		q->code = EX_IOERR;
		keep_error(w, q);
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
	if (r == 0) {
		report(w, q, &s->child.job);
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

static void
collect(struct worker *w)
{
	unsigned int i;
	int err;

	w->told = w->stuck;
	w->stuck = false;
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

static void
sync_written(struct worker *w)
{
	for (unsigned int i = 0; i < w->nslots; i++) {
		struct slot *s = &w->slots[i];

		if (s->state == WRITTEN)
			settle(w, s, idq_sync_file(s->from->q,
			    s->child.job.fd) == 0 ? 0 : errno);
	}
}

static void
end_all(struct worker *w)
{
	for (unsigned int i = 0; i < w->nslots; i++)
		if (w->slots[i].state == RUNS)
			idq_child_end(w->slots[i].from->q,
			    &w->slots[i].child, WHY_STOP);
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

static void
read_signals(struct worker *w)
{
	struct signalfd_siginfo si;

	while (read(w->sigfd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			continue;
		/* The second one does not wait. */
		w->stop_at = idq_ticks() + (w->stopping ? 0 : grace(w));
		w->stopping = true;
	}
}

/* What cancel --kill wants. */
static void
look_asked(struct worker *w, const struct served *from)
{
	for (unsigned int i = 0; i < w->nslots; i++) {
		struct slot *s = &w->slots[i];

		if (s->state == RUNS && s->batch.n == 0 && s->from == from &&
		    idq_asked(from->q, s->child.job.pub.id) == 2)
			idq_child_end(from->q, &s->child, WHY_ASKED);
	}
}

/* What another machine has taken for dead, and runs itself. */
static void
look_lost(struct worker *w, const struct served *from)
{
	for (unsigned int i = 0; from->q->remote && i < w->nslots; i++) {
		struct slot *s = &w->slots[i];

		if (s->state == RUNS && s->batch.n == 0 && s->from == from &&
		    idq_child_is_lost(from->q, &s->child))
			idq_child_end(from->q, &s->child, WHY_STOP);
	}
}

static struct slot *
free_slot(struct worker *w)
{
	for (unsigned int i = 0; i < w->nslots &&
	    w->running < w->opt->jobs; i++)
		if (w->slots[i].state == FREE)
			return &w->slots[i];
	return NULL;
}

/* The command could not be started. */
static void
not_started(struct worker *w, struct slot *s)
{
	struct child *c = &s->child;
	struct idq *q = s->from->q;
	int code = q->code;

	if (code == EX_TEMPFAIL) {
		idq_notice(q, "%s: %s", c->job.pub.key, q->msg);
		idq_served_rest(s->from);
	} else if (w->opt->argv == NULL || (code != 126 && code != 127)) {
		/* The job's own command, or its arguments: its attempt. */
		if (code != 126 && code != 127)
			idq_notice(q, "%s: %s", c->job.pub.key, q->msg);
		if (idq_finish(q, &c->job, HOW_EXIT,
		    code == 127 ? 127 : 126, "", false) == 0) {
			report(w, q, &c->job);
			return;
		}
		keep_error(w, q);
		return;
	} else {
		/* A bad deploy must not use up a queue's attempts. */
		keep_error(w, q);
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
	read_signals(w);
	if (w->stopping) {
		if (idq_give_back(q, j, 0, false) == -1)
			idq_notice(q, "%s", q->msg);
	} else if (!has_command(w, j)) {
		if (idq_finish(q, j, HOW_NOCOMMAND, 0, "", false) == -1)
			keep_error(w, q);
		else
			report(w, q, j);
	} else if ((r = idq_child_start(q, &s->child, &how)) == 1) {
		if (w->opt->timeout != 0)
			s->child.next = idq_after(idq_ticks(),
			    w->opt->timeout);
		s->state = RUNS;
		w->running++;
		return;
	} else if (r == 0)
		report(w, q, j);	/* too late: it has expired */
	else
		not_started(w, s);
	idq_job_unlock(j);
	idq_job_close(j);
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

/* Runs go on; nothing new is started. */
static void
close_gate(struct worker *w, struct served *s)
{
	bool first = w->msg == NULL;

	keep_error(w, s->q);
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
			keep_error(w, q);
		return -1;
	}
	r = idq_served_take(s, w->opt->rate, &slot->child.job);
	if (r == -1 && q->code == EX_TEMPFAIL && follows(w)) {
		/* A full disk, say: a follower outlives it. */
		idq_notice(q, "%s", q->msg);
		idq_served_rest(s);
		return 0;
	}
	if (r == -1)
		keep_error(w, q);
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
		read_signals(w);
	} while (!w->stopping && b->n < w->batch &&
	    (s = free_slot(w)) != NULL && take(w, first->from, s) == 1);
	return 0;
}

/* Start a command for the job in FIRST and others, in a slot of its own. */
static void
start_batch(struct worker *w, struct slot *first)
{
	const struct start how = { .argv = w->opt->argv, .mask = w->old_mask,
	    .umask = w->opt->umask };
	struct served *from = first->from;
	struct idq *q = from->q;
	struct batch b = BATCH_INIT;
	struct slot *s;
	int r;

	/* There are more slots than jobs that could be in a batch. */
	first->state = MEMBER;
	if ((s = free_slot(w)) == NULL) {
		give_back(first);
		return;
	}
	s->state = MEMBER;
	if ((r = gather(w, first, &b)) == -1) {
		idq_errno(q, "%s", q->path);
		q->code = EX_TEMPFAIL;
	} else if (!w->stopping &&
	    (r = idq_batch_start(q, &s->child, &b, w->opt, &how)) == 0) {
		if (w->opt->timeout != 0)
			s->child.next = idq_after(idq_ticks(),
			    w->opt->timeout);
		s->from = from;
		s->batch = b;
		s->state = RUNS;
		w->running++;
		return;
	}
	if (r == -1 && q->code == EX_TEMPFAIL) {
		idq_notice(q, "%s: %s", q->path, q->msg);
		idq_served_rest(from);
	} else if (r == -1)
		/* A bad deploy must not use up a queue's attempts. */
		keep_error(w, q);
	for (size_t i = 0; i < b.n; i++)
		give_back((struct slot *)(void *)b.of[i]);
	idq_batch_free(&b);
	s->state = FREE;
}

static void
fill_slots(struct worker *w)
{
	struct slot *s;

	while (!w->stopping && !w->stuck &&
	    !(w->opt->mode == IDQ_ONCE && w->started_one) &&
	    (s = free_slot(w)) != NULL && take_first(w, s) == 1) {
		w->started_one = true;
		if (w->batch > 0)
			start_batch(w, s);
		else
			start(w, s);
	}
}

static void
rescan(struct worker *w)
{
	struct served *s;
	int r;

	for (size_t i = 0; i < w->nqueues; i++) {
		s = &w->queues[i];
		if ((r = idq_served_rescan(s)) == -1)
			keep_error(w, s->q);
		else if (r == 1) {
			look_asked(w, s);
			look_lost(w, s);
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
	if (follows(w) || w->running > 0 || s->limited) {
		sooner(wait, s->rescan_at - now);
		if (s->q->remote)
			sooner(wait, s->look_at - now);
		if (s->next_due != 0)
			sooner(wait, s->next_due - idq_now());
	}
	if (s->soon_at != 0)
		sooner(wait, s->soon_at - now);
}

/* How long to sleep; what is due is done first. */
static int64_t
tick(struct worker *w)
{
	int64_t now = idq_ticks(), wait = -1, t;

	if (w->stop_at != 0 && now >= w->stop_at) {
		end_all(w);
		w->stop_at = 0;
	}
	for (unsigned int i = 0; i < w->nslots; i++)
		if (w->slots[i].state == RUNS &&
		    (t = idq_child_tick(w->slots[i].from->q,
		    &w->slots[i].child)) != -1)
			sooner(&wait, t);
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

static void
wait_for_something(struct worker *w, int64_t wait)
{
	/* A little late rather than a little early, and awake for nothing. */
	int ms = wait == -1 ? -1 : (int)((wait + 999) / 1000);

	poll(w->fds, w->nqueues + 2, ms);
	read_signals(w);
	collect(w);
	for (size_t i = 0; i < w->nqueues; i++)
		if (idq_served_events(&w->queues[i]))
			look_asked(w, &w->queues[i]);
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
	if (follows(w))
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
		fill_slots(w);
		sync_written(w);
		if (is_over(w))
			break;
		if (!looks(w) || free_slot(w) == NULL || w->stopping ||
		    w->stuck)
			wait_for_something(w, tick(w));
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
		return keep_error(w, qs[0]);
	}
	for (; r == 1 && w->nqueues < n; w->nqueues++) {
		struct served *s = &w->queues[w->nqueues];

		if (idq_served_open(s, qs[w->nqueues]) == -1)
			return keep_error(w, qs[w->nqueues]);
		if (w->opt->single &&
		    (r = idq_served_lock(s, true)) == -1)
			keep_error(w, s->q);
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
			keep_error(&w, qs[0]);
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
