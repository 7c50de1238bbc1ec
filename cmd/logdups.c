/* SPDX-License-Identifier: ISC */
/*
 * Duplicates are not in the log: they come from their jobs, one job after the
 * other, and are kept until all can be put in the order of time.
 */
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* What a line tells of the job. */
struct dup_job {
	struct dup_job	*next;
	char		 hash[IDQ_HASH_LEN + 1];
	char		 id[IDQ_ID_LEN + 1];
	char		*group;
	char		*key;
};

struct dup {
	int64_t		 at;
	const struct dup_job *job;
};

struct adding {
	struct log_dups	*dups;
	const struct idq_job *job;
	const struct dup_job *kept;	/* its copy, once one was wanted */
};

static struct idq_event
event(int64_t at, const char *hash, const char *id, const char *group,
    const char *key)
{
	struct idq_event e = { .at = at, .name = LOG_DUPLICATE, .hash = hash,
	    .id = id, .detail = "", .group = group != NULL ? group : "",
	    .key = key };

	return e;
}

static const struct dup_job *
keep_job(struct log_dups *d, const struct idq_job *j)
{
	struct dup_job *k = calloc(1, sizeof(*k));

	if (k == NULL)
		exit(complain_memory());
	k->next = d->jobs;
	d->jobs = k;
	strlcpy(k->hash, j->hash, sizeof(k->hash));
	strlcpy(k->id, j->id, sizeof(k->id));
	k->group = strdup(j->group != NULL ? j->group : "");
	k->key = strdup(j->key);
	if (k->group == NULL || k->key == NULL)
		exit(complain_memory());
	return k;
}

static void
keep(void *arg, int64_t at)
{
	struct adding *a = arg;
	struct log_dups *d = a->dups;
	const struct idq_job *j = a->job;
	struct idq_event e = event(at, j->hash, j->id, j->group, j->key);

	if (!log_match(d->filter, &e))
		return;
	if (a->kept == NULL)
		a->kept = keep_job(d, j);
	if (d->n == d->cap) {
		d->cap = d->cap != 0 ? 2 * d->cap : 64;
		d->v = reallocarray(d->v, d->cap, sizeof(*d->v));
		if (d->v == NULL)
			exit(complain_memory());
	}
	d->v[d->n].at = at;
	d->v[d->n++].job = a->kept;
}

int
log_dups_add(struct log_dups *d, struct idq *q, const struct idq_job *j)
{
	struct adding a = { d, j, NULL };

	return idq_dups_each(q, j, keep, &a);
}

static int
by_time(const void *a, const void *b)
{
	const struct dup *x = a, *y = b;

	return x->at != y->at ? (x->at > y->at) - (x->at < y->at) :
	    strcmp(x->job->key, y->job->key);
}

void
log_dups_sort(struct log_dups *d)
{
	if (d->n > 1)
		qsort(d->v, d->n, sizeof(*d->v), by_time);
}

bool
log_dups_next(struct log_dups *d, int64_t before, struct idq_event *e)
{
	const struct dup *k = &d->v[d->next];

	if (d->next == d->n || k->at >= before)
		return false;
	*e = event(k->at, k->job->hash, k->job->id, k->job->group,
	    k->job->key);
	d->next++;
	return true;
}

void
log_dups_clear(struct log_dups *d)
{
	struct dup_job *k;

	while ((k = d->jobs) != NULL) {
		d->jobs = k->next;
		free(k->group);
		free(k->key);
		free(k);
	}
	free(d->v);
	d->v = NULL;
	d->n = d->cap = d->next = 0;
}
