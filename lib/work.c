/* SPDX-License-Identifier: ISC */
/*
 * The worker.  One loop, which sleeps until a signal, a change in the queue, a
 * due time, or the rescan each minute.
 */
#include <sys/file.h>
#include <sys/inotify.h>
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

#define RUN		1024			/* names kept */
#define RESCAN		IDQ_MINUTE
#define SOON		(50 * IDQ_SECOND / 1000)	/* a busy job again */
#define PAUSE		(10 * IDQ_SECOND)	/* when nothing can start */
#define SINGLE		"run/single"

struct slot {
	struct child	 child;
	bool		 used;
	bool		 ended;		/* but its end is not written yet */
	int		 status;
};

struct worker {
	struct idq	*q;
	const struct idq_work *opt;
	struct order	*order;
	struct slot	*slots;
	unsigned int	 running;
	sigset_t	 old_mask;
	int		 sigfd;
	int		 ino;		/* inotify, or -1 */
	int		 wd_asked;
	int		 wd_new;
	int		 single;	/* its lock, or -1 */
	bool		 look;		/* there may be a job to start */
	bool		 scan;		/* and due times to be looked at */
	bool		 stopping;
	bool		 started_one;
	bool		 stuck;		/* the end of a job cannot be written */
	bool		 told;		/* and somebody knows */
	int64_t		 stop_at;	/* when to end the commands; 0: not */
	int64_t		 rescan_at;
	int64_t		 soon_at;	/* 0: not */
	int64_t		 not_before;	/* to start nothing */
	int64_t		 next_due;	/* wall clock; 0: none */
	int		 code;		/* that it ends with */
	char		*msg;
};

static int
keep_error(struct worker *w)
{
	if (w->code == 0) {
		w->code = w->q->code;
		w->msg = strdup(w->q->msg);
	}
	w->stopping = true;
	return -1;
}

/*
 * Every worker has run/single locked, shared or, by --single, alone.  1 locked,
 * 0 there is another, -1.
 */
static int
lock_single(struct worker *w)
{
	const int op = (w->opt->single ? LOCK_EX : LOCK_SH) | LOCK_NB;
	struct idq *q = w->q;
	struct job j = { .fd = -1 };
	struct stat st;
	int r;

	for (;;) {
		if (idq_mkdir_for(q, SINGLE) == -1 ||
		    (j.fd = openat(q->fd, SINGLE, O_RDWR | O_CREAT |
		    O_CLOEXEC | O_NOFOLLOW, q->fmode)) == -1)
			return idq_errno(q, "%s/" SINGLE, q->path);
		if (fstat(j.fd, &st) == -1 || flock(j.fd, op) == -1) {
			r = errno == EWOULDBLOCK ? 0 :
			    idq_errno(q, "%s/" SINGLE, q->path);
			close(j.fd);
			return r;
		}
		/* run/ may be emptied at any time. */
		j.dev = st.st_dev;
		j.ino = st.st_ino;
		if (idq_job_is(q, &j, SINGLE) == 1) {
			w->single = j.fd;
			return 1;
		}
		close(j.fd);
	}
}

static int
watch(struct worker *w, const char *path, uint32_t mask)
{
	char *full;
	int wd;

	if (asprintf(&full, "%s/%s", w->q->path, path) == -1)
		return -1;
	wd = inotify_add_watch(w->ino, full, mask | IN_ONLYDIR);
	free(full);
	return wd;
}

static void
no_inotify(struct worker *w)
{
	idq_notice(w->q, "no inotify (%s): looking each second",
	    strerror(errno));
}

static void
watch_queue(struct worker *w)
{
	w->ino = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->ino == -1) {
		no_inotify(w);
		return;
	}
	/* All that arrives is renamed; our own opens must not wake us. */
	w->wd_asked = watch(w, "asked", IN_MOVED_TO);
	if (w->opt->mode == IDQ_FOLLOW) {
		w->wd_new = watch(w, "new", IN_MOVED_TO);
		watch(w, "wait", IN_CREATE | IN_MOVED_TO);
		watch(w, ".", IN_DELETE);	/* of paused */
	}
	if (w->wd_asked == -1 ||
	    (w->opt->mode == IDQ_FOLLOW && w->wd_new == -1)) {
		no_inotify(w);
		close(w->ino);
		w->ino = -1;
	}
}

/* The folders of this minute and the next; later ones come with a rescan. */
static void
watch_minutes(struct worker *w)
{
	char due[DUE_LEN + 1], path[PATH_SIZE];
	int64_t now = idq_now();

	if (w->ino == -1 || w->opt->mode != IDQ_FOLLOW)
		return;
	for (int i = 0; i < 2; i++) {
		idq_due_format(now + i * IDQ_MINUTE, due);
		snprintf(path, sizeof(path), "wait/%.*s", MINUTE_LEN, due);
		watch(w, path, IN_MOVED_TO);
	}
}

static int
start_up(struct worker *w)
{
	sigset_t mask;

	idq_signals(&mask, false);
	sigprocmask(SIG_BLOCK, &mask, &w->old_mask);
	w->sigfd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (w->sigfd == -1)
		return idq_errno(w->q, "signalfd");
	if ((w->order = idq_order_new(RUN)) == NULL ||
	    (w->slots = calloc(w->opt->jobs, sizeof(*w->slots))) == NULL)
		return idq_errno(w->q, "%s", w->q->path);
	watch_queue(w);
	return 0;
}

static void
shut_down(struct worker *w)
{
	if (w->sigfd != -1)
		close(w->sigfd);
	if (w->ino != -1)
		close(w->ino);
	if (w->single != -1)
		close(w->single);
	idq_order_free(w->order);
	free(w->slots);
	sigprocmask(SIG_SETMASK, &w->old_mask, NULL);
}

static void
report(struct worker *w, const struct job *j)
{
	if (w->opt->done != NULL)
		w->opt->done(w->opt->arg, &j->pub);
}

/* Write the end of a command; the job stays ours until that has worked. */
static void
write_end(struct worker *w, struct slot *s)
{
	if (idq_child_ended(w->q, &s->child, s->status) == -1) {
		if (!w->told)
			idq_notice(w->q, "%s: the end of a job cannot be "
			    "written, trying again: %s", w->q->path,
			    w->q->msg);
		w->told = true;
		if (!w->q->sync_failed)
			return;
		/* Never sync that again: what is on disk is unknown. */
		w->q->code = EX_IOERR;
		keep_error(w);
	} else
		report(w, &s->child.job);
	idq_job_close(&s->child.job);
	s->used = s->ended = false;
	w->running--;
	w->look = true;
}

static void
collect(struct worker *w)
{
	w->told = w->stuck;
	w->stuck = false;
	for (unsigned int i = 0; i < w->opt->jobs; i++) {
		struct slot *s = &w->slots[i];

		if (s->used && !s->ended)
			s->ended = idq_child_wait(&s->child, &s->status);
		if (s->used && s->ended)
			write_end(w, s);
		if (s->used && s->ended)
			w->stuck = true;
	}
}

static void
end_all(struct worker *w)
{
	for (unsigned int i = 0; i < w->opt->jobs; i++)
		if (w->slots[i].used && !w->slots[i].ended)
			idq_child_end(w->q, &w->slots[i].child, WHY_STOP);
}

static void
read_signals(struct worker *w)
{
	struct signalfd_siginfo si;

	while (read(w->sigfd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			continue;
		/* The second one does not wait. */
		w->stop_at = idq_ticks() +
		    (w->stopping ? 0 : w->q->cfg[CFG_GRACE]);
		w->stopping = true;
	}
}

/* What cancel --kill wants. */
static void
look_asked(struct worker *w)
{
	for (unsigned int i = 0; i < w->opt->jobs; i++) {
		struct slot *s = &w->slots[i];

		if (s->used && !s->ended &&
		    idq_asked(w->q, s->child.job.pub.id) == 2)
			idq_child_end(w->q, &s->child, WHY_ASKED);
	}
}

static void
read_events(struct worker *w)
{
	_Alignas(struct inotify_event) char buf[4096];
	const struct inotify_event *e;
	bool asked = false;
	ssize_t n;

	while ((n = read(w->ino, buf, sizeof(buf))) > 0)
		for (char *s = buf; s < buf + n; s += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(const void *)s;
			if (e->mask & IN_IGNORED)
				continue;
			if (e->wd == w->wd_asked)
				asked = true;
			else if (e->wd == w->wd_new)
				w->look = true;
			else
				w->scan = true;
			if (e->mask & IN_Q_OVERFLOW)
				w->look = w->scan = asked = true;
		}
	if (asked)
		look_asked(w);
}

static struct slot *
free_slot(struct worker *w)
{
	for (unsigned int i = 0; i < w->opt->jobs; i++)
		if (!w->slots[i].used)
			return &w->slots[i];
	return NULL;
}

/* Whatever wakes us, our own renames too, start nothing for a while. */
static void
rest(struct worker *w)
{
	w->not_before = w->soon_at = idq_ticks() + PAUSE;
	w->look = false;
}

/* The command could not be started. */
static void
not_started(struct worker *w, struct child *c)
{
	struct idq *q = w->q;
	int code = q->code;

	if (code == EX_TEMPFAIL) {
		idq_notice(q, "%s: %s", c->job.pub.key, q->msg);
		rest(w);
	} else if (w->opt->argv == NULL || (code != 126 && code != 127)) {
		/* The job's own command, or its arguments: its attempt. */
		if (code != 126 && code != 127)
			idq_notice(q, "%s: %s", c->job.pub.key, q->msg);
		if (idq_finish(q, &c->job, HOW_EXIT,
		    code == 127 ? 127 : 126, false) == 0) {
			report(w, &c->job);
			return;
		}
		keep_error(w);
		return;
	} else {
		/* A bad deploy must not use up a queue's attempts. */
		keep_error(w);
	}
	if (idq_give_back(q, &c->job, 0, false) == -1)
		idq_notice(q, "%s", q->msg);
}

static bool
has_command(const struct worker *w, const struct job *j)
{
	return w->opt->argv != NULL || j->pub.nargs > 0;
}

static void
start(struct worker *w, struct slot *s)
{
	const struct start how = { .argv = w->opt->argv, .with_job = true,
	    .mask = w->old_mask, .umask = w->opt->umask };
	struct job *j = &s->child.job;

	/* Told to stop while claiming: the job was not started. */
	read_signals(w);
	if (w->stopping) {
		if (idq_give_back(w->q, j, 0, false) == -1)
			idq_notice(w->q, "%s", w->q->msg);
	} else if (!has_command(w, j)) {
		if (idq_finish(w->q, j, HOW_NOCOMMAND, 0, false) == -1)
			keep_error(w);
		else
			report(w, j);
	} else if (idq_child_start(w->q, &s->child, &how) == 0) {
		if (w->opt->timeout != 0)
			s->child.next = idq_after(idq_ticks(),
			    w->opt->timeout);
		s->used = true;
		s->ended = false;
		w->running++;
		return;
	} else
		not_started(w, &s->child);
	idq_job_unlock(j);
	idq_job_close(j);
}

static void
fill_slots(struct worker *w)
{
	struct slot *s;
	int r;

	if (idq_ticks() < w->not_before)
		w->look = false;
	while (w->look && !w->stopping && !w->stuck &&
	    !(w->opt->mode == IDQ_ONCE && w->started_one) &&
	    (s = free_slot(w)) != NULL) {
		r = idq_order_take(w->q, w->order, 0, &s->child.job);
		if (r == -1 && w->q->code == EX_TEMPFAIL &&
		    w->opt->mode == IDQ_FOLLOW) {
			/* A full disk, say: a follower outlives it. */
			idq_notice(w->q, "%s", w->q->msg);
			rest(w);
			return;
		}
		if (r == -1) {
			keep_error(w);
			return;
		}
		if (r == 0) {
			w->look = false;
			if (idq_order_busy(w->order))
				w->soon_at = idq_ticks() + SOON;
			return;
		}
		w->started_one = true;
		start(w, s);
		if (w->opt->mode == IDQ_ONCE)
			w->look = false;
	}
}

/* The rescan each minute, and due times that have come. */
static void
rescan(struct worker *w, bool full)
{
	watch_minutes(w);
	if ((full && idq_prepare(w->q) == -1) ||
	    idq_promote(w->q, &w->next_due) == -1) {
		keep_error(w);
		return;
	}
	if (full) {
		if (w->single == -1)
			lock_single(w);
		look_asked(w);
		w->rescan_at = idq_ticks() +
		    (w->ino == -1 ? IDQ_SECOND : RESCAN);
	}
	w->scan = false;
	w->look = true;
}

static void
sooner(int64_t *wait, int64_t other)
{
	if (other < 0)
		other = 0;
	if (*wait == -1 || other < *wait)
		*wait = other;
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
	for (unsigned int i = 0; i < w->opt->jobs; i++)
		if (w->slots[i].used && !w->slots[i].ended &&
		    (t = idq_child_tick(w->q, &w->slots[i].child)) != -1)
			sooner(&wait, t);
	if (w->stop_at != 0)
		sooner(&wait, w->stop_at - now);
	if (w->stuck)
		sooner(&wait, IDQ_SECOND);
	if (w->stopping)
		return wait;
	if (w->opt->mode == IDQ_FOLLOW || w->running > 0) {
		sooner(&wait, w->rescan_at - now);
		if (w->next_due != 0)
			sooner(&wait, w->next_due - idq_now());
	}
	if (w->soon_at != 0)
		sooner(&wait, w->soon_at - now);
	return wait;
}

static void
wait_for_something(struct worker *w, int64_t wait)
{
	struct pollfd fds[2] = { { .fd = w->sigfd, .events = POLLIN },
	    { .fd = w->ino, .events = POLLIN } };
	/* A little late rather than a little early, and awake for nothing. */
	int ms = wait == -1 ? -1 : (int)((wait + 999) / 1000);

	poll(fds, 2, ms);
	read_signals(w);
	collect(w);
	if (w->ino != -1)
		read_events(w);
	if (w->soon_at != 0 && idq_ticks() >= w->soon_at) {
		w->soon_at = 0;
		w->look = true;
	}
}

static bool
is_over(const struct worker *w)
{
	if (w->running > 0)
		return false;
	if (w->stopping)
		return true;
	if (w->opt->mode == IDQ_ONCE && w->started_one)
		return true;
	return w->opt->mode != IDQ_FOLLOW && !w->look &&
	    idq_ticks() >= w->not_before;
}

static void
loop(struct worker *w)
{
	rescan(w, true);
	for (;;) {
		fill_slots(w);
		if (is_over(w))
			break;
		if (!w->look || w->running == w->opt->jobs || w->stopping ||
		    w->stuck)
			wait_for_something(w, tick(w));
		if (w->stopping)
			continue;
		if (idq_ticks() >= w->rescan_at)
			rescan(w, true);
		else if (w->scan ||
		    (w->next_due != 0 && idq_now() >= w->next_due))
			rescan(w, false);
	}
}

int
idq_work(struct idq *q, const struct idq_work *opt)
{
	struct worker w = { .q = q, .opt = opt, .sigfd = -1, .ino = -1,
	    .single = -1, .wd_asked = -1, .wd_new = -1 };
	int r;

	if (opt->argv == NULL && q->cfg[CFG_SHARED] == 1 &&
	    q->cfg[CFG_EXEC] == 0)
		return idq_error(q, EX_NOPERM, "%s: is shared, so others could "
		    "choose the command: give one, or set exec yes", q->path);
	if (opt->single && (r = lock_single(&w)) != 1)
		return r;
	if (start_up(&w) == -1)
		keep_error(&w);
	else
		loop(&w);
	shut_down(&w);
	if (w.code == 0)
		return 0;
	idq_error(q, w.code, "%s", w.msg != NULL ? w.msg : "out of memory");
	free(w.msg);
	return -1;
}
