/* SPDX-License-Identifier: ISC */
/*
 * A queue that a worker serves: what wakes it up, what is due in it, and
 * whether that is too old to be run without a person.
 */
#include <sys/file.h>
#include <sys/inotify.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define RESCAN		IDQ_MINUTE
#define LOOK		(5 * IDQ_SECOND)	/* for what others did */
#define SOON		(50 * IDQ_SECOND / 1000)	/* a busy job again */
#define REST		(10 * IDQ_SECOND)	/* when nothing can start */
#define SINGLE		"run/single"

/*
 * Every worker has run/single locked, shared or, by --single, alone.
 */
int
idq_served_lock(struct served *s, bool alone)
{
	const int op = (alone ? LOCK_EX : LOCK_SH) | LOCK_NB;
	struct idq *q = s->q;
	struct job j = { .fd = -1 };
	struct stat st;
	int r;

	for (;;) {
		if (idq_mkdir_for(q, SINGLE) == -1 ||
		    (j.fd = idq_at_open(q, SINGLE, O_RDWR | O_CREAT |
		    O_CLOEXEC | O_NOFOLLOW)) == -1)
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
		if ((r = idq_job_is(q, &j, SINGLE)) == 1) {
			s->single = j.fd;
			return 1;
		}
		close(j.fd);
		if (r == -1)
			return -1;
	}
}

static int
watch(struct served *s, const char *path, uint32_t mask)
{
	char *full;
	int wd;

	if (asprintf(&full, "%s/%s", s->q->path, path) == -1)
		return -1;
	wd = inotify_add_watch(s->ino, full, mask | IN_ONLYDIR);
	free(full);
	return wd;
}

/*
 * All that arrives is renamed; our own opens must not wake us.  Each queue has
 * its own descriptor, so that an event needs no search.
 */
void
idq_served_watch(struct served *s, bool follow)
{
	s->ino = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (s->ino != -1) {
		s->wd_asked = watch(s, "asked", IN_MOVED_TO);
		if (s->wd_asked != -1 && !follow)
			return;
		s->wd_new = watch(s, "new", IN_MOVED_TO);
		watch(s, "wait", IN_CREATE | IN_MOVED_TO);
		watch(s, "turn", IN_CREATE);
		s->wd_top = watch(s, ".", IN_DELETE);
		if (s->wd_asked != -1 && s->wd_new != -1)
			return;
	}
	idq_notice(s->q, "no inotify (%s): looking each second",
	    strerror(errno));
	if (s->ino != -1)
		close(s->ino);
	s->ino = -1;
}

/* The folders of this minute and the next; later ones come with a rescan. */
static void
watch_minutes(struct served *s)
{
	char due[DUE_LEN + 1], path[PATH_SIZE];
	int64_t now = idq_now();

	if (s->ino == -1 || s->wd_new == -1)
		return;
	for (int i = 0; i < 2; i++) {
		idq_due_format(now + i * IDQ_MINUTE, due);
		snprintf(path, sizeof(path), "wait/%.*s", MINUTE_LEN, due);
		watch(s, path, IN_MOVED_TO);
		snprintf(path, sizeof(path), "turn/%.*s", MINUTE_LEN, due);
		watch(s, path, IN_CREATE);
	}
}

static void
read_event(struct served *s, const struct inotify_event *e, bool *asked)
{
	if (e->mask & IN_IGNORED)
		return;
	if (e->wd == s->wd_asked)
		*asked = true;
	else if (e->wd == s->wd_new || e->wd == s->wd_top)
		s->look = true;
	else
		s->scan = true;
	if (e->mask & IN_Q_OVERFLOW)
		s->look = s->scan = *asked = true;
}

bool
idq_served_events(struct served *s)
{
	_Alignas(struct inotify_event) char buf[4096];
	const struct inotify_event *e;
	bool asked = false;
	ssize_t n;

	while (s->ino != -1 && (n = read(s->ino, buf, sizeof(buf))) > 0)
		for (char *at = buf; at < buf + n; at += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(const void *)at;
			read_event(s, e, &asked);
		}
	if (s->soon_at != 0 && idq_ticks() >= s->soon_at) {
		s->soon_at = 0;
		s->look = true;
	}
	return asked;
}

int
idq_served_open(struct served *s, struct idq *q)
{
	memset(s, 0, sizeof(*s));
	s->q = q;
	s->ino = s->single = s->wd_asked = s->wd_new = s->wd_top = -1;
	s->order = idq_order_new();
	idq_pid_keep(q);
	return s->order != NULL ? 0 : idq_errno(q, "%s", q->path);
}

void
idq_served_close(struct served *s)
{
	if (s->ino != -1)
		close(s->ino);
	if (s->single != -1)
		close(s->single);
	idq_order_free(s->order);
	idq_pid_clear(s->q);
}

/* Whatever wakes us, our own renames too, start nothing for a while. */
void
idq_served_rest(struct served *s)
{
	s->not_before = s->soon_at = idq_ticks() + REST;
	s->look = false;
}

/* The rescan each minute, and due times that have come. */
static int
rescan(struct served *s, bool full)
{
	watch_minutes(s);
	s->look_at = idq_ticks() + LOOK;
	s->scan = false;
	s->look = true;
	if ((full && idq_prepare(s->q) == -1) ||
	    idq_promote(s->q, &s->next_due) == -1) {
		s->next_due = 0;
		s->rescan_at = idq_ticks() + REST;
		return -1;
	}
	if (full) {
		if (s->single == -1)
			idq_served_lock(s, false);
		s->rescan_at = idq_ticks() +
		    (s->ino == -1 ? IDQ_SECOND : RESCAN);
	}
	return full || s->q->remote;
}

int
idq_served_rescan(struct served *s)
{
	if (idq_ticks() >= s->rescan_at)
		return rescan(s, true);
	/* No event tells of what another machine did. */
	if (s->scan || (s->q->remote && idq_ticks() >= s->look_at) ||
	    (s->next_due != 0 && idq_now() >= s->next_due))
		return rescan(s, false);
	return 0;
}

struct oldest {
	struct idq *q;
	int64_t	now;
	int64_t	age;
	int64_t	due;			/* 0: none is */
	bool	busy;			/* something was started of late */
};

/* A job that was parked and is let out is as old as those still parked. */
static bool
was_parked(struct oldest *o, const char *path, const char *name)
{
	struct job j;
	bool is = false;

	if (idq_job_open(o->q, path, &j) != 1)
		return false;
	if (idq_job_load(o->q, &j, NULL) == 0 && j.whole &&
	    j.pub.group != NULL)
		is = idq_pace_is_next(o->q, j.pub.group, name);
	idq_job_close(&j);
	return is;
}

static int
see(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct oldest *o = arg;
	char path[PATH_SIZE];

	if (n->due > o->now || (o->due != 0 && n->due >= o->due))
		return 0;
	snprintf(path, sizeof(path), "%s/%.*s", folder, NEW_LEN, e->d_name);
	if (!o->busy || o->now - n->due <= o->age ||
	    !was_parked(o, path, e->d_name))
		o->due = n->due;
	return 0;
}

/*
 * Since when the oldest job is due; 0: none is.  Those that wait for their
 * group count only where nothing has been started for AGE and a gap.
 */
static int
oldest_due(struct idq *q, int64_t age, int64_t *due)
{
	struct oldest o = { .q = q, .now = idq_now(), .age = age };
	int r;

	o.busy = o.now - idq_last_start(q) < idq_after(age,
	    q->cfg[CFG_GROUP_GAP]);
	r = idq_walk(q, PL_NEW, see, &o);

	if (r == 0)
		r = idq_walk(q, PL_WAIT, see, &o);
	if (r == 0 && !o.busy)
		r = idq_walk(q, PL_PACED, see, &o);
	*due = o.due;
	return r;
}

/*
 * The gate: at the start, and after nothing was claimed for gate-age, a due
 * job older than that is for a person to see first.  1 closed, 0, -1.
 */
int
idq_served_gate(struct served *s)
{
	int64_t age = s->q->cfg[CFG_GATE_AGE], now = idq_now(), due;
	char text[32];

	if (age == 0 || (s->took_at != 0 && now - s->took_at < age) ||
	    idq_is_paused(s->q))
		return 0;
	if (oldest_due(s->q, age, &due) == -1)
		return -1;
	if (due == 0 || now - due <= age)
		return 0;
	idq_duration_format((now - due) / IDQ_SECOND * IDQ_SECOND, text,
	    sizeof(text));
	idq_error(s->q, EX_TEMPFAIL, "%s: the oldest job has been due for %s, "
	    "longer than gate-age; nothing is run", s->q->path, text);
	return 1;
}

int
idq_served_take(struct served *s, int64_t rate, struct job *j)
{
	struct taking t = { .rate = rate != 0 ? rate : s->q->cfg[CFG_RATE] };
	int r;

	if ((r = idq_take_any(s->q, s->order, &t, &s->next_due, j)) == -1)
		return -1;
	/* A paused queue, and what could not be had, do not count as tries. */
	if (r == 1 || !idq_is_paused(s->q))
		s->took_at = idq_now();
	s->limited = t.until != 0;
	s->busy = r == 0 && t.busy ? s->busy + 1 : 0;
	if (r == 0) {
		s->look = false;
		if (t.busy)
			s->soon_at = idq_ticks() + SOON;
		if (s->limited)
			s->soon_at = idq_ticks() + (t.until - idq_now());
	}
	return r;
}
