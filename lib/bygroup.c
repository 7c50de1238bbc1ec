/* SPDX-License-Identifier: ISC */
/*
 * Figures of each group.  The group is in the job's file alone, so that each
 * has to be opened; what is kept of it is a few numbers a group, in a limited
 * amount of memory.
 */
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

#define MEMORY		(8 * 1024 * 1024)
#define OVERHEAD	64		/* of two allocations and a node */

struct grouping {
	struct idq	*q;
	void		*tree;		/* of struct idq_group */
	size_t		 memory;	/* that it takes */
	uint64_t	 left;		/* jobs whose groups found no room */
	int		(*each)(void *, const struct idq_group *);
	void		*arg;
	int		 stop;
};

static int
by_name(const void *a, const void *b)
{
	const struct idq_group *x = a, *y = b;

	return strcmp(x->group, y->group);
}

/* NULL with errno 0: there is no room. */
static struct idq_group *
new_group(struct grouping *w, const char *name)
{
	size_t len = strlen(name) + 1;
	struct idq_group *g;
	char *copy;

	errno = 0;
	w->memory += sizeof(*g) + len + OVERHEAD;
	if (w->memory > MEMORY || (g = calloc(1, sizeof(*g) + len)) == NULL)
		return NULL;
	copy = (char *)(g + 1);
	memcpy(copy, name, len);
	g->group = copy;
	if (tsearch(g, &w->tree, by_name) == NULL) {
		free(g);
		errno = ENOMEM;
		return NULL;
	}
	return g;
}

static struct idq_group *
group_of(struct grouping *w, const struct idq_job *j)
{
	struct idq_group key = { .group = j->group != NULL ? j->group : "" };
	void *found = tfind(&key, &w->tree, by_name);

	errno = 0;
	if (found != NULL)
		return *(struct idq_group **)found;
	return w->memory > MEMORY ? NULL : new_group(w, key.group);
}

static int
count_job(struct grouping *w, const struct idq_job *j)
{
	struct idq_group *g = group_of(w, j);

	if (g == NULL && errno != 0)
		return idq_errno(w->q, "%s", w->q->path);
	if (g == NULL) {
		w->left++;
		return 0;
	}
	g->n[j->state]++;
	if (j->state == IDQ_PENDING &&
	    (g->oldest == 0 || j->due < g->oldest))
		g->oldest = j->due;
	return 0;
}

static int
count_entry(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct grouping *w = arg;
	char path[PATH_SIZE];
	struct job j;
	int r;

	snprintf(path, sizeof(path), "%s/%.*s", folder, NEW_LEN, e->d_name);
	if ((r = idq_job_open(w->q, path, &j)) != 1) {
		if (r == -1)
			idq_notice(w->q, "%s", w->q->msg);
		return 0;
	}
	if (idq_job_load(w->q, &j, n->hash) == -1 || !j.whole)
		idq_notice(w->q, "%s/%s: is not whole; left alone",
		    w->q->path, path);
	else
		r = count_job(w, &j.pub);
	idq_job_close(&j);
	return r == -1 ? -1 : 0;
}

static void
tell(const void *node, VISIT visit, void *arg)
{
	struct grouping *w = arg;

	if ((visit == postorder || visit == leaf) && w->stop == 0)
		w->stop = w->each(w->arg, *(struct idq_group *const *)node);
}

int
idq_groups(struct idq *q, int (*each)(void *, const struct idq_group *),
    void *arg, uint64_t *left)
{
	struct grouping w = { .q = q, .each = each, .arg = arg };
	int r = 0;

	for (enum place p = PL_NEW; r == 0 && p < PL_DONE; p++)
		r = idq_walk(q, p, count_entry, &w);
	if (r == 0)
		twalk_r(w.tree, tell, &w);
	tdestroy(w.tree, free);
	*left = w.left;
	return r;
}
