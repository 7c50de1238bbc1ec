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

struct order {
	char	(*names)[NEW_LEN + 1];	/* room for 2 * cap */
	size_t	  cap;
	size_t	  n;
	size_t	  next;
	bool	  more;			/* the scan saw more than cap */
	bool	  busy;
	int64_t	  scanned;
	char	  after[NEW_LEN + 1];	/* only names behind this one */
};

struct order *
idq_order_new(size_t cap)
{
	struct order *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return NULL;
	o->cap = cap;
	o->names = reallocarray(NULL, 2 * cap, sizeof(*o->names));
	if (o->names == NULL) {
		free(o);
		return NULL;
	}
	return o;
}

void
idq_order_free(struct order *o)
{
	if (o != NULL)
		free(o->names);
	free(o);
}

bool
idq_order_busy(const struct order *o)
{
	return o->busy;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Keep the first cap of what has been gathered. */
static void
trim(struct order *o)
{
	if (o->n > 1)
		qsort(o->names, o->n, sizeof(*o->names), by_name);
	if (o->n > o->cap) {
		o->n = o->cap;
		o->more = true;
	}
}

static int
gather(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct order *o = arg;

	(void)folder;
	(void)n;
	if (strcmp(e->d_name, o->after) <= 0)
		return 0;
	strlcpy(o->names[o->n++], e->d_name, sizeof(*o->names));
	if (o->n == 2 * o->cap)
		trim(o);
	return 0;
}

static int
scan(struct idq *q, struct order *o)
{
	int r;

	o->n = o->next = 0;
	o->more = false;
	o->scanned = idq_now();
	r = idq_walk(q, PL_NEW, gather, o);
	trim(o);
	return r;
}

/* From the names in hand: 1, 0 none of them, -1. */
static int
take_next(struct idq *q, struct order *o, int64_t lease, struct job *j)
{
	int r = 0;

	while (r == 0 && o->next < o->n)
		r = idq_take(q, o->names[o->next++], lease, &o->busy, j);
	return r;
}

/* Everything from the first name on. */
static int
take_any(struct idq *q, struct order *o, int64_t lease, struct job *j)
{
	int r;

	o->after[0] = '\0';
	do {
		if (scan(q, o) == -1)
			return -1;
		if ((r = take_next(q, o, lease, j)) != 0)
			return r;
		if (o->n > 0)
			strlcpy(o->after, o->names[o->n - 1],
			    sizeof(o->after));
	} while (o->more);
	return 0;
}

int
idq_order_take(struct idq *q, struct order *o, int64_t lease, struct job *j)
{
	struct timespec pause = { 0, 0 };
	int64_t age = idq_now() - o->scanned;
	int r;

	o->busy = false;
	if (idq_is_paused(q))
		return 0;
	if (age >= 0 && age < IDQ_SECOND &&
	    (r = take_next(q, o, lease, j)) != 0)
		return r;
	o->busy = false;
	/* An adder's lock outlives its rename by an instant. */
	for (int ms = 1; (r = take_any(q, o, lease, j)) == 0 && o->busy &&
	    ms <= PAUSE_MAX; ms *= 2) {
		pause.tv_nsec = ms * 1000000L;
		nanosleep(&pause, NULL);
		o->busy = false;
	}
	return r;
}
