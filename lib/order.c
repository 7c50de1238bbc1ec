/* SPDX-License-Identifier: ISC */
/*
 * Claim order: the names of new/ as bytes.  A scan keeps the first few in
 * order, so that memory does not grow with the queue; they serve until they
 * are used up or a second old, so that an earlier due time is honoured then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "idq_impl.h"

#define PAUSE_MAX	16	/* ms: for a job that is locked */
#define MORE		4	/* times as many names after a run in vain */
#define CAP_MAX		16384

struct order {
	struct first	  first;
	size_t		  next;		/* of its names */
	int64_t		  scanned;	/* 0: not, or not to be relied on */
	char		  after[NEW_LEN + 1];	/* only names behind this one */
};

struct order *
idq_order_new(size_t cap)
{
	struct order *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	if (idq_first_init(&o->first, cap) == -1) {
		free(o);
		return NULL;
	}
	return o;
}

void
idq_order_free(struct order *o)
{
	if (o != NULL)
		idq_first_free(&o->first);
	free(o);
}

static int
gather(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct order *o = arg;

	(void)folder;
	(void)n;
	if (strcmp(e->d_name, o->after) > 0)
		idq_first_add(&o->first, e->d_name);
	return 0;
}

static int
scan(struct idq *q, struct order *o)
{
	int r;

	idq_first_begin(&o->first);
	o->next = 0;
	o->scanned = idq_now();
	r = idq_walk(q, PL_NEW, gather, o);
	idq_first_end(&o->first);
	return r;
}

/* From the names in hand: 1, 0 none of them, -1. */
static int
take_next(struct idq *q, struct order *o, struct taking *t, struct job *j)
{
	int r = 0;

	while (r == 0 && o->next < o->first.n && t->until == 0)
		r = idq_take(q, o->first.names[o->next++], t, j);
	/* The one that the rate holds back is still the next. */
	if (r == 0 && t->until != 0)
		o->next--;
	return r;
}

/* A run of which no job could be had is followed by a longer one. */
static void
longer(struct order *o)
{
	struct first f;

	if (o->first.cap >= CAP_MAX ||
	    idq_first_init(&f, MORE * o->first.cap) == -1)
		return;
	idq_first_free(&o->first);
	o->first = f;
}

/* Everything from the first name on. */
static int
take_any(struct idq *q, struct order *o, struct taking *t, struct job *j)
{
	bool more;
	int r;

	o->after[0] = '\0';
	do {
		if (scan(q, o) == -1)
			return -1;
		if ((r = take_next(q, o, t, j)) != 0 || t->until != 0)
			return r;
		if (o->first.n > 0)
			strlcpy(o->after, o->first.names[o->first.n - 1],
			    sizeof(o->after));
		if ((more = o->first.more))
			longer(o);
	} while (more);
	return 0;
}

static void
begin(struct taking *t)
{
	t->busy = false;
	t->until = 0;
	t->nbehind = 0;
}

/* One that was passed over because of a lock is not to be overtaken. */
static int
leave(struct order *o, const struct taking *t, int r)
{
	if (t->busy)
		o->scanned = 0;
	return r;
}

int
idq_order_take(struct idq *q, struct order *o, struct taking *t,
    struct job *j)
{
	struct timespec pause = { 0, 0 };
	int64_t age = idq_now() - o->scanned;
	int r;

	begin(t);
	if (idq_is_paused(q))
		return 0;
	if (age >= 0 && age < IDQ_SECOND &&
	    ((r = take_next(q, o, t, j)) != 0 || t->until != 0))
		return leave(o, t, r);
	begin(t);
	/* An adder's lock outlives its rename by an instant. */
	for (int ms = 1; (r = take_any(q, o, t, j)) == 0 && t->busy &&
	    t->until == 0 && ms <= PAUSE_MAX; ms *= 2) {
		pause.tv_nsec = ms * 1000000L;
		nanosleep(&pause, NULL);
		begin(t);
	}
	return leave(o, t, r);
}
