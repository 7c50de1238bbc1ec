/* SPDX-License-Identifier: ISC */
/*
 * What a worker would do if it started now: reads only, and takes no lock.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

struct idq_planner {
	struct idq	*q;
	struct idq_plan	*plan;
	struct tally	 tally;
	struct peeker	*peeker;
	int64_t		 longest;	/* of the groups, by their gaps */
};

/* Two to each doubling of the time, from a minute on. */
static size_t
bin_of(int64_t left)
{
	int64_t edge = IDQ_MINUTE;
	size_t bin = 0;

	for (; bin + 2 < BINS && left >= edge; bin += 2)
		edge *= 2;
	if (bin > 0 && left < edge / 4 * 3)
		bin--;
	return bin;
}

static size_t
age_of(int64_t age)
{
	int64_t edge = IDQ_PLAN_AGE;
	size_t i;

	for (i = 0; i + 1 < IDQ_PLAN_AGES && age >= edge; i++)
		edge *= 2;
	return i;
}

static void
add_deadline(struct deadlines *d, int64_t left)
{
	size_t bin = bin_of(left);

	d->n[bin]++;
	d->sum[bin] += (double)left;
}

static int
each_job(void *arg, const struct peek *j)
{
	struct idq_planner *p = arg;
	struct tally_group *g = idq_tally_row(&p->tally, j->group);
	int64_t now = p->plan->now;

	if (g == NULL)
		return idq_errno(p->q, "%s", p->q->path);
	g->pub.jobs++;
	g->pub.ages[age_of(now - j->due)]++;
	if (g->pub.oldest == 0 || j->due < g->pub.oldest)
		g->pub.oldest = j->due;
	if (j->expires > now)
		add_deadline(&g->left, j->expires - now);
	else if (j->expires != 0)
		g->pub.expired++;
	return 0;
}

static int
each_name(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct idq_planner *p = arg;
	struct idq_plan *plan = p->plan;
	char path[PATH_SIZE];

	if (n->due > plan->now) {
		plan->waiting++;
		if (plan->next == 0 || n->due < plan->next)
			plan->next = n->due;
		return 0;
	}
	snprintf(path, sizeof(path), "%s/%.*s", folder, NEW_LEN, e->d_name);
	return idq_peek(p->peeker, path, n->due);
}

static int
walk(struct idq_planner *p)
{
	enum place place;
	int r = 0;

	p->plan->waiting = 0;
	p->plan->next = 0;
	for (place = PL_NEW; r == 0 && place <= PL_PACED; place++)
		r = idq_walk(p->q, place, each_name, p);
	return r == 0 ? idq_peek_rest(p->peeker) : r;
}

/* What is odd was said the first time. */
static int
walk_again(struct idq_planner *p)
{
	void (*notice)(void *, const char *) = p->q->notice;
	int r;

	if (idq_tally_again(&p->tally) == -1)
		return idq_errno(p->q, "%s", p->q->path);
	p->q->notice = NULL;
	r = walk(p);
	p->q->notice = notice;
	return r;
}

static int
each_running(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct idq_planner *p = arg;

	(void)folder;
	(void)e;
	(void)n;
	p->plan->running++;
	return 0;
}

static int
by_size(const void *a, const void *b)
{
	const struct idq_plan_group *x = &((const struct tally_group *)a)->pub;
	const struct idq_plan_group *y = &((const struct tally_group *)b)->pub;

	if (x->jobs != y->jobs)
		return x->jobs < y->jobs ? 1 : -1;
	if (x->oldest != y->oldest)
		return x->oldest < y->oldest ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void
add_up(struct idq_plan_group *sum, const struct idq_plan_group *g)
{
	sum->jobs += g->jobs;
	sum->expired += g->expired;
	if (sum->oldest == 0 || (g->oldest != 0 && g->oldest < sum->oldest))
		sum->oldest = g->oldest;
	for (size_t i = 0; i < IDQ_PLAN_AGES; i++)
		sum->ages[i] += g->ages[i];
}

static void
list_groups(struct idq_planner *p)
{
	struct idq_plan *plan = p->plan;
	struct tally *t = &p->tally;

	for (size_t i = 0; i < t->n; i++)
		add_up(&plan->total, &t->groups[i].pub);
	plan->ngroups = t->n;
	plan->others = t->others.pub;
	add_up(&plan->total, &plan->others);
	plan->distinct = idq_tally_distinct(t, &plan->about);
	/* From now on its index is wrong. */
	if (t->n > 1)
		qsort(t->groups, t->n, sizeof(*t->groups), by_size);
}

const struct idq_plan_group *
idq_plan_row(const struct idq_plan *plan, size_t i)
{
	return &plan->planner->tally.groups[i].pub;
}

/*
 * Of N jobs that start INTERVAL apart, how many would be too late?  Those with
 * a deadline are taken to start in the order of it, with the others spread
 * evenly between them.  D becomes those that are not.
 */
static uint64_t
too_late(struct deadlines *d, uint64_t n, int64_t interval)
{
	uint64_t with = 0, starts = 0, late = 0, room, go;
	double step, left;

	for (size_t i = 0; i < BINS; i++)
		with += d->n[i];
	if (with == 0 || interval == 0)
		return 0;
	step = (double)interval * (double)n / (double)with;
	for (size_t i = 0; i < BINS; i++) {
		if (d->n[i] == 0)
			continue;
		left = d->sum[i] / d->n[i];
		/* The deadline itself is too late. */
		room = (uint64_t)((left - 1) / step) + 1;
		go = room > starts ? room - starts : 0;
		if (go > d->n[i])
			go = d->n[i];
		late += d->n[i] - go;
		starts += go;
		d->n[i] = (uint32_t)go;
		d->sum[i] = left * (double)go;
	}
	return late;
}

static void
add_deadlines(struct deadlines *sum, const struct deadlines *d)
{
	for (size_t i = 0; i < BINS; i++) {
		sum->n[i] += d->n[i];
		sum->sum[i] += d->sum[i];
	}
}

static uint64_t
in_a_minute(int64_t interval)
{
	return interval == 0 ? UINT64_MAX :
	    (uint64_t)((IDQ_MINUTE - 1) / interval) + 1;
}

static uint64_t
least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t
above(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static int64_t
times(uint64_t n, int64_t d)
{
	return d != 0 && n > (uint64_t)(IDQ_FOREVER / d) ? IDQ_FOREVER :
	    (int64_t)n * d;
}

/* One of a group starts at once, or as many as may run. */
static uint64_t
at_once(const struct idq *q)
{
	return q->cfg[CFG_GROUP_GAP] != 0 ? 1 :
	    (uint64_t)q->cfg[CFG_GROUP_MAX];
}

/* A row of a group: its own pace. */
static void
pace(struct idq_planner *p, struct tally_group *g, struct deadlines *all)
{
	struct idq_plan *plan = p->plan;
	int64_t gap = p->q->cfg[CFG_GROUP_GAP], takes;
	uint64_t n = g->pub.jobs - g->pub.expired;

	if (g->pub.name[0] == '\0')
		gap = 0;
	n -= too_late(&g->left, n, gap);
	if (g->pub.name[0] != '\0')
		plan->paced += above(n, at_once(p->q));
	plan->run += n;
	plan->busiest += least(n, in_a_minute(gap));
	takes = times(above(n, 1), gap);
	if (takes > p->longest)
		p->longest = takes;
	add_deadlines(all, &g->left);
}

/* The rest: how many groups they are is known, but not how large each is. */
static void
pace_others(struct idq_planner *p, struct deadlines *all)
{
	struct tally_group *g = &p->tally.others;
	struct idq_plan *plan = p->plan;
	uint64_t n = g->pub.jobs - g->pub.expired;
	uint64_t groups = plan->distinct;

	for (size_t i = 0; i < p->tally.n; i++)
		if (p->tally.groups[i].pub.name[0] != '\0')
			groups = above(groups, 1);
	plan->paced += above(n, groups * at_once(p->q));
	plan->run += n;
	plan->busiest += p->q->cfg[CFG_GROUP_GAP] == 0 ? n :
	    least(n, groups * in_a_minute(p->q->cfg[CFG_GROUP_GAP]));
	add_deadlines(all, &g->left);
}

static void
choose_rate(struct idq *q, struct idq_plan *plan)
{
	plan->basis = IDQ_PLAN_GIVEN;
	if (plan->rate == 0) {
		plan->basis = IDQ_PLAN_CONFIG;
		plan->rate = q->cfg[CFG_RATE];
	}
	if (plan->rate != 0) {
		plan->interval = idq_rate_interval(plan->rate);
		return;
	}
	plan->interval = idq_speed(q, plan->now, &plan->finishes);
	plan->basis = plan->interval != 0 ? IDQ_PLAN_MEASURED :
	    IDQ_PLAN_UNKNOWN;
}

static void
estimate(struct idq_planner *p)
{
	struct idq_plan *plan = p->plan;
	struct deadlines all;
	int64_t takes;

	memset(&all, 0, sizeof(all));
	for (size_t i = 0; i < p->tally.n; i++)
		pace(p, &p->tally.groups[i], &all);
	pace_others(p, &all);
	plan->run -= too_late(&all, plan->run, plan->interval);
	plan->expire = plan->total.jobs - plan->run;
	plan->paced = least(plan->paced, above(plan->run, 1));
	plan->busiest = least(plan->busiest, plan->run);
	if (plan->basis != IDQ_PLAN_MEASURED)
		plan->busiest = least(plan->busiest,
		    in_a_minute(plan->interval));
	if (p->longest != 0)
		plan->earliest = idq_after(plan->now, p->longest);
	if (plan->run == 0 || plan->interval == 0)
		return;
	takes = times(plan->run, plan->interval);
	plan->finish = idq_after(plan->now,
	    takes > p->longest ? takes : p->longest);
}

int
idq_plan(struct idq *q, struct idq_plan *plan)
{
	struct idq_planner *p = calloc(1, sizeof(*p));
	int64_t rate = plan->rate;

	memset(plan, 0, sizeof(*plan));
	plan->rate = rate;
	plan->now = idq_now();
	if (p == NULL)
		return idq_errno(q, "%s", q->path);
	plan->planner = p;
	p->q = q;
	p->plan = plan;
	p->peeker = idq_peeker_new(q, each_job, p);
	if (p->peeker == NULL || idq_tally_init(&p->tally) == -1)
		return idq_errno(q, "%s", q->path);
	if (walk(p) == -1 || (p->tally.overflow && walk_again(p) == -1) ||
	    idq_walk(q, PL_CUR, each_running, p) == -1)
		return -1;
	list_groups(p);
	choose_rate(q, plan);
	estimate(p);
	return 0;
}

void
idq_plan_free(struct idq_plan *plan)
{
	struct idq_planner *p = plan->planner;

	if (p != NULL) {
		idq_tally_free(&p->tally);
		idq_peeker_free(p->peeker);
	}
	free(p);
	plan->planner = NULL;
}
