/* SPDX-License-Identifier: ISC */
/*
 * Waiting for others to finish.  Looks only: it takes no lock and leaves no
 * trace, so that it works where one may not write.
 */
#include <sys/inotify.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "idq_impl.h"

#define LOOK_AGAIN	IDQ_SECOND	/* for what is not watched */

struct idq_watch {
	struct idq	*q;
	int		 fd;		/* inotify, or -1 */
};

static void
add_watch(struct idq_watch *w, const char *path)
{
	char *full;

	if (w->fd == -1 || asprintf(&full, "%s/%s", w->q->path, path) == -1)
		return;
	inotify_add_watch(w->fd, full, IN_MOVED_TO | IN_CREATE | IN_ONLYDIR);
	free(full);
}

/* Where jobs go that end today, or just after midnight. */
static void
watch_days(struct idq_watch *w)
{
	static const enum place places[] = { PL_DONE, PL_CANCELLED,
	    PL_EXPIRED };
	char path[PATH_SIZE], day[STAMP_SIZE];

	for (int i = 0; i < 2; i++) {
		idq_stamp(idq_now() + i * IDQ_DAY, day);
		for (size_t k = 0; k < NITEMS(places); k++) {
			snprintf(path, sizeof(path), "%s/%.*s",
			    idq_place_dir(places[k]), DAY_LEN, day);
			add_watch(w, path);
		}
	}
}

struct idq_watch *
idq_watch_new(struct idq *q)
{
	struct idq_watch *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->q = q;
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	for (int p = PL_HOLD; p < PL_NSTATES; p++)
		add_watch(w, idq_place_dir((enum place)p));
	watch_days(w);
	return w;
}

void
idq_watch_free(struct idq_watch *w)
{
	if (w != NULL && w->fd != -1)
		close(w->fd);
	free(w);
}

void
idq_watch_wait(struct idq_watch *w, int64_t max)
{
	struct pollfd fd = { .fd = w->fd, .events = POLLIN };
	char buf[4096];

	if (max > LOOK_AGAIN)
		max = LOOK_AGAIN;
	poll(&fd, 1, (int)((max + 999) / 1000));
	while (w->fd != -1 && read(w->fd, buf, sizeof(buf)) > 0)
		continue;
	watch_days(w);
}

bool
idq_is_final(const struct idq_job *p, int64_t now)
{
	const struct job *j = (const struct job *)p;

	switch (p->state) {
	case IDQ_WAITING:
	case IDQ_PENDING:
		/* Whoever finds it next will say so. */
		return idq_is_expired(j, now);
	case IDQ_RUNNING:
	case IDQ_HELD:
		return false;
	default:
		/* An `idq run' that is about to begin has no line yet. */
		return j->started && !idq_is_resting(j);
	}
}

static int
is_due(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	(void)folder;
	(void)e;
	/* Those that come later in this minute may still be earlier. */
	return n->due <= *(const int64_t *)arg;
}

int
idq_is_drained(struct idq *q)
{
	static const enum place places[] = { PL_CUR, PL_NEW, PL_PACED,
	    PL_WAIT };
	int64_t now = idq_now(), any = INT64_MAX;
	int r = 0;

	for (size_t i = 0; r == 0 && i < NITEMS(places); i++)
		r = idq_walk(q, places[i], is_due,
		    places[i] == PL_WAIT ? &now : &any);
	return r == -1 ? -1 : r == 0;
}
