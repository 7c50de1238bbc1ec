/* SPDX-License-Identifier: ISC */
/*
 * Claim order: the names of new/ as bytes.  The few names of a short queue are
 * held by whoever read them, for a second.  Of a long one the first are kept
 * in run/next, of which every claim takes one, so that what a claim costs does
 * not depend on how many there are.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "idq_impl.h"

#define NEXT		"run/next"
#define HELD_MAX	16
#define PAUSE_MAX	16		/* ms: for a job that is locked */

struct order {
	struct first	  first;	/* in hand */
	size_t		  next;		/* of its names */
	int64_t		  scanned;	/* 0: not, or not to be relied on */
	bool		  more;		/* than the last scan gave us */
	char		  after[NEW_LEN + 1];	/* only names behind this one */
	/* Taken from run/next, but to be started by the next claim. */
	char		  held[HELD_MAX][NEW_LEN + 1];
	size_t		  nheld;	/* more than fit: read all again */
};

struct order *
idq_order_new(void)
{
	return calloc(1, sizeof(struct order));
}

void
idq_order_free(struct order *o)
{
	if (o != NULL)
		idq_first_free(&o->first);
	free(o);
}

static bool
pop(struct idq *q, char name[NEW_LEN + 1])
{
	struct kept k;
	bool any;

	if (idq_kept_open(q, NEXT, false, &k) != 1)
		return false;
	if ((any = idq_kept_last(&k, name)))
		idq_kept_pop(&k);
	idq_kept_close(&k);
	return any;
}

void
idq_order_insert(struct idq *q, const char *name)
{
	struct kept k;
	int r = idq_kept_open(q, NEXT, false, &k);

	if (r == 1) {
		idq_kept_insert(&k, name);
		idq_kept_close(&k);
	} else if (r == -1)
		idq_remove(q, NEXT);
}

struct gathering {
	struct order	*o;
	size_t		 n;
	size_t		 max;		/* to stop after; 0: never */
};

static int
gather(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct gathering *g = arg;

	(void)folder;
	(void)n;
	if (strcmp(e->d_name, g->o->after) <= 0)
		return 0;
	idq_first_add(&g->o->first, e->d_name);
	return ++g->n == g->max;
}

/* The first names behind AFTER: 0, 1 there are more than MAX, -1. */
static int
read_names(struct idq *q, struct order *o, size_t max)
{
	struct gathering g = { .o = o, .max = max };
	int r;

	idq_first_begin(&o->first);
	r = idq_walk(q, PL_NEW, gather, &g);
	idq_first_end(&o->first);
	return r;
}

/* In hand is what is too little to be kept, or could not be. */
static int
read_long(struct idq *q, struct order *o)
{
	struct kept k;
	bool locked = idq_kept_open(q, NEXT, true, &k) == 1;
	int r = 0;

	o->more = true;
	o->first.n = 0;
	/* Somebody may have been quicker. */
	if (!locked || k.n == 0) {
		r = read_names(q, o, 0);
		o->more = o->first.more;
		if (r == 0 && o->first.n > 0)
			strlcpy(o->after, o->first.names[o->first.n - 1],
			    sizeof(o->after));
		if (r == 0 && locked && o->first.n > KEPT_SHORT) {
			idq_kept_write(&k, &o->first);
			if (k.n > 0)
				idq_first_free(&o->first);
		}
	}
	if (locked)
		idq_kept_close(&k);
	return r;
}

static int
scan(struct idq *q, struct order *o)
{
	int r;

	if (o->first.names == NULL &&
	    idq_first_init(&o->first, KEPT_LONG) == -1)
		return idq_errno(q, "%s", q->path);
	o->next = 0;
	o->more = false;
	o->scanned = idq_now();
	r = read_names(q, o, KEPT_SHORT + 1);
	return r == 1 ? read_long(q, o) : r;
}

static void
hold(struct order *o, const char *name)
{
	if (o->nheld < HELD_MAX)
		strlcpy(o->held[o->nheld], name, sizeof(o->held[0]));
	o->nheld++;
}

/* NAME, which is not in hand: 1, 0 not that one, -1. */
static int
take(struct idq *q, struct order *o, const char *name, struct taking *t,
    struct job *j)
{
	bool busy = t->busy;
	int r;

	t->busy = false;
	r = idq_take(q, name, t, j);
	if (r != 1 && (t->busy || t->until != 0 || r == -1))
		hold(o, name);
	t->busy |= busy;
	return r;
}

/* From the names in hand, then from those kept: 1, 0 none of them, -1. */
static int
take_next(struct idq *q, struct order *o, struct taking *t, struct job *j)
{
	char name[NEW_LEN + 1];
	int r = 0;

	while (r == 0 && t->until == 0 && o->next < o->first.n)
		r = idq_take(q, o->first.names[o->next++], t, j);
	/* The one that the rate holds back is still the next. */
	if (r == 0 && t->until != 0 && o->next > 0)
		o->next--;
	while (r == 0 && t->until == 0 && pop(q, name))
		r = take(q, o, name, t, j);
	return r;
}

/* Everything from the first name on. */
static int
take_any(struct idq *q, struct order *o, struct taking *t, struct job *j)
{
	int r;

	o->after[0] = '\0';
	do {
		if (scan(q, o) == -1)
			return -1;
		r = take_next(q, o, t, j);
	} while (r == 0 && t->until == 0 && o->more);
	return r;
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
leave(struct idq *q, struct order *o, const struct taking *t, int r)
{
	if (t->busy)
		o->scanned = 0;
	if (o->nheld > HELD_MAX)
		idq_remove(q, NEXT);
	for (size_t i = 0; i < o->nheld && i < HELD_MAX; i++)
		idq_order_insert(q, o->held[i]);
	o->nheld = 0;
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
	if (age < 0 || age >= IDQ_SECOND)
		o->first.n = 0;
	if ((r = take_next(q, o, t, j)) != 0 || t->until != 0)
		return leave(q, o, t, r);
	begin(t);
	/* An adder's lock outlives its rename by an instant. */
	for (int ms = 1; (r = take_any(q, o, t, j)) == 0 && t->busy &&
	    t->until == 0 && ms <= PAUSE_MAX; ms *= 2) {
		pause.tv_nsec = ms * 1000000L;
		nanosleep(&pause, NULL);
		begin(t);
	}
	return leave(q, o, t, r);
}
