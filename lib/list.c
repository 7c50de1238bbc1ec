/* SPDX-License-Identifier: ISC */
/*
 * Listing: reads only, and takes no lock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

#define FIRST_RUN	1024	/* names sorted at first, for a short list */
#define MORE		16	/* times as many in each further run */

struct list {
	struct idq	*q;
	unsigned int	 states;
	int		(*each)(void *, struct idq_job *);
	void		*arg;
	bool		 stopped;
};

static int
walk(struct list *l, enum place place, int (*each)(void *, const char *,
    const struct dirent *, const struct name *), void *arg)
{
	int r = idq_walk(l->q, place, each, arg);

	return r == -1 && idq_pass_over(l->q) ? 0 : r;
}

/* Show the job at PATH if it is still there and in a state that is wanted. */
static int
show(struct list *l, const char *path, const char *hash, bool parked)
{
	struct job *j = calloc(1, sizeof(*j));
	int r;

	if (j == NULL)
		return idq_errno(l->q, "%s", l->q->path);
	if ((r = idq_job_open(l->q, path, j)) == 1)
		r = idq_job_load(l->q, j, hash) == -1 ? -1 : 1;
	if (r != 1) {
		idq_job_free(&j->pub);
		return r == -1 && !idq_pass_over(l->q) ? -1 : 0;
	}
	if (!j->whole)
		idq_notice(l->q, "%s/%s: is not whole; left alone",
		    l->q->path, path);
	else if (parked && idq_where(l->q, j) != PL_PACED)
		l->stopped = false;	/* it has moved on meanwhile */
	else if (l->states & 1u << j->pub.state)
		l->stopped = l->each(l->arg, &j->pub) != 0;
	idq_job_free(&j->pub);
	return l->stopped;
}

static int
list_entry(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "%s/%.*s", folder, CUR_LEN, e->d_name);
	return show(arg, path, n->hash, false);
}

/*
 * A name of new/, of wait/ with its minute implied, or of paced/: there the
 * job is opened by its key's name, since the group is not in its own.
 */
struct entry {
	char		name[NEW_LEN + 1];
	enum place	place;
};

struct due {
	struct list	*list;
	struct entry	*v;		/* the first CAP behind AFTER */
	size_t		 n;
	size_t		 cap;
	bool		 more;
	enum place	 place;		/* being walked */
	char		 after[NEW_LEN + 1];
};

static int
by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void
trim(struct due *d)
{
	if (d->n > 1)
		qsort(d->v, d->n, sizeof(*d->v), by_name);
	if (d->n > d->cap) {
		d->n = d->cap;
		d->more = true;
	}
}

static int
gather(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct due *d = arg;

	(void)folder;
	(void)n;
	/* The last of those that are kept so far is at the end of the run. */
	if (strcmp(e->d_name, d->after) <= 0 ||
	    (d->more && strcmp(e->d_name, d->v[d->cap - 1].name) > 0))
		return 0;
	strlcpy(d->v[d->n].name, e->d_name, sizeof(d->v[d->n].name));
	d->v[d->n++].place = d->place;
	if (d->n == 2 * d->cap)
		trim(d);
	return 0;
}

static int
show_due(struct due *d)
{
	struct name n;
	char path[PATH_SIZE];
	bool parked;
	int r = 0;

	for (size_t i = 0; r == 0 && i < d->n; i++) {
		if (idq_name_parse(PL_NEW, d->v[i].name, &n) == -1)
			continue;
		parked = d->v[i].place == PL_PACED;
		if (parked)
			idq_key_path(n.hash, path);
		else
			idq_place_path(d->v[i].place, n.hash, n.id, n.due,
			    path);
		r = show(d->list, path, n.hash, parked);
	}
	if (d->n > 0)
		strlcpy(d->after, d->v[d->n - 1].name, sizeof(d->after));
	return r;
}

/* One run of names in order: 1 that was all, 0 there is more, -1. */
static int
list_run(struct due *d)
{
	int r = 0;

	d->n = 0;
	d->more = false;
	if ((d->v = reallocarray(NULL, 2 * d->cap, sizeof(*d->v))) == NULL)
		return idq_errno(d->list->q, "%s", d->list->q->path);
	for (d->place = PL_NEW; r == 0 && d->place <= PL_PACED; d->place++)
		r = walk(d->list, d->place, gather, d);
	trim(d);
	if (r == 0)
		r = show_due(d);
	free(d->v);
	return r != 0 ? r : !d->more;
}

static int
list_due(struct list *l)
{
	struct due d = { .list = l, .cap = FIRST_RUN };
	int r;

	while ((r = list_run(&d)) == 0)
		d.cap *= MORE;
	return r == -1 ? -1 : l->stopped;
}

int
idq_list(struct idq *q, unsigned int states,
    int (*each)(void *, struct idq_job *), void *arg)
{
	static const struct {
		enum place	place;
		enum idq_state	state;
	} rest[] = {
		{ PL_HOLD, IDQ_HELD }, { PL_FAILED, IDQ_FAILED },
		{ PL_DONE, IDQ_DONE }, { PL_CANCELLED, IDQ_CANCELLED },
		{ PL_EXPIRED, IDQ_EXPIRED }
	};
	const unsigned int due = 1u << IDQ_PENDING | 1u << IDQ_WAITING;
	struct list l = { q, states, each, arg, false };
	int r = 0;

	if (states & 1u << IDQ_RUNNING)
		r = walk(&l, PL_CUR, list_entry, &l);
	if (r == 0 && states & due)
		r = list_due(&l);
	for (size_t i = 0; r == 0 && i < NITEMS(rest); i++)
		if (states & 1u << rest[i].state)
			r = walk(&l, rest[i].place, list_entry, &l);
	return r == -1 ? -1 : 0;
}
