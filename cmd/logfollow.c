/* SPDX-License-Identifier: ISC */
/*
 * log -f: ends well when it is told to, or when nobody reads it any more.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define LAST		10		/* lines at first, as of tail(1) */
#define WIDER		8		/* times as far back for them */

struct kept {
	struct idq_event e;
	char		*text;		/* that the event points into */
};

struct follow {
	const struct log_follow *to;
	struct idq_follow *f;
	struct kept	 last[LAST];	/* a ring */
	size_t		 n;		/* that were ever in it */
};

static volatile sig_atomic_t told;	/* to end */

static void
tell(int sig)
{
	told = sig;
}

static void
set_signals(sigset_t *ends)
{
	/* Without SA_RESTART, so that a reader who stalls does not keep us. */
	struct sigaction sa = { .sa_handler = tell };

	sigemptyset(ends);
	sigaddset(ends, SIGINT);
	sigaddset(ends, SIGTERM);
	sigaction(SIGINT, &sa, NULL);
	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
}

static bool
is_unread(int revents)
{
	return (revents & (POLLERR | POLLHUP)) != 0;
}

/* Flush; false: it is time to end. */
static bool
flush(struct follow *w)
{
	struct pollfd out = { .fd = STDOUT_FILENO };

	w->to->flush(w->to->arg);
	if (!ferror(stdout) && fflush(stdout) == 0)
		return !told;
	/* An error that is to be told, unless it is how this ends. */
	if (!told && (poll(&out, 1, 0) != 1 || !is_unread(out.revents))) {
		flush_now();
		return false;
	}
	fpurge(stdout);
	clearerr(stdout);
	return false;
}

/* Until there may be lines; false: it is time to end. */
static bool
wait_for_lines(const struct follow *w, const sigset_t *ends)
{
	struct pollfd fds[2] = { { .events = POLLIN },
	    { .fd = STDOUT_FILENO } };
	struct timespec ts;
	sigset_t before;
	int ms;

	fds[0].fd = idq_follow_fd(w->f, &ms);
	ts.tv_sec = ms / 1000;
	ts.tv_nsec = ms % 1000 * 1000000L;
	sigprocmask(SIG_BLOCK, ends, &before);
	if (!told)
		ppoll(fds, 2, &ts, &before);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return !told && !is_unread(fds[1].revents);
}

static int
print(void *arg, const struct idq_event *e)
{
	struct follow *w = arg;

	if (w->to->wants(w->to->arg, e))
		w->to->print(w->to->arg, e);
	return told || ferror(stdout);
}

static const char *
copy(char **to, const char *s)
{
	const char *begin = *to;

	*to = stpcpy(*to, s) + 1;
	return begin;
}

static void
keep_event(struct kept *k, const struct idq_event *e)
{
	char *s = malloc(strlen(e->name) + strlen(e->hash) + strlen(e->id) +
	    strlen(e->detail) + strlen(e->group) + strlen(e->key) + 6);

	if (s == NULL)
		exit(complain_memory());
	free(k->text);
	k->text = s;
	k->e = *e;
	k->e.name = copy(&s, e->name);
	k->e.hash = copy(&s, e->hash);
	k->e.id = copy(&s, e->id);
	k->e.detail = copy(&s, e->detail);
	k->e.group = copy(&s, e->group);
	k->e.key = copy(&s, e->key);
}

static int
keep(void *arg, const struct idq_event *e)
{
	struct follow *w = arg;

	if (w->to->wants(w->to->arg, e))
		keep_event(&w->last[w->n++ % LAST], e);
	return told;
}

/* The last lines that are wanted, most likely of the last day. */
static int
read_last(struct follow *w)
{
	int64_t now = idq_now(), back = IDQ_DAY, since;

	for (;; back *= WIDER) {
		since = back < now ? now - back : 0;
		w->n = 0;
		idq_follow_from(w->f, since);
		if (idq_follow_read(w->f, keep, w) == -1)
			return -1;
		if (w->n >= LAST || since == 0 || told)
			break;
	}
	for (size_t i = w->n > LAST ? w->n - LAST : 0; i < w->n; i++)
		w->to->print(w->to->arg, &w->last[i % LAST].e);
	return 0;
}

static int
loop(struct follow *w, int64_t since)
{
	sigset_t ends;
	int r;

	set_signals(&ends);
	r = since == -1 ? read_last(w) : idq_follow_read(w->f, print, w);
	while (flush(w) && r == 0 && wait_for_lines(w, &ends))
		r = idq_follow_read(w->f, print, w);
	return r;
}

int
log_follow(struct idq *q, int64_t since, const struct log_follow *to)
{
	struct follow w = { .to = to };
	int status = 0;

	if (idq_follow_open(q, since == -1 ? 0 : since, &w.f) == -1 ||
	    loop(&w, since) == -1)
		status = complain_queue(q, NULL);
	idq_follow_close(w.f);
	for (size_t i = 0; i < LAST; i++)
		free(w.last[i].text);
	return status;
}
