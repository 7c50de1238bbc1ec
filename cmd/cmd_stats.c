/* SPDX-License-Identifier: ISC */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static const char *const spans[IDQ_NSPANS] = { "1m", "1h", "1d" };
static const char *const happened[IDQ_NHAPPENED] = { "adds", "starts",
    "finishes", "failures" };

/* States in the order in which they are shown; the first five by group too. */
static const enum idq_state shown[IDQ_NSTATES] = { IDQ_PENDING, IDQ_WAITING,
    IDQ_RUNNING, IDQ_HELD, IDQ_FAILED, IDQ_DONE, IDQ_CANCELLED, IDQ_EXPIRED };
#define NUNFINISHED	5
#define AGE_SIZE	32
static const enum idq_state aged[] = { IDQ_PENDING, IDQ_RUNNING, IDQ_HELD,
    IDQ_FAILED };

struct stats {
	bool		 json;
	bool		 prometheus;
	const char	*file;
	struct queue_stats *v;
	size_t		 n;
	struct table	 table;
	const struct idq *q;		/* whose groups are shown */
	int64_t		 now;
};

static int64_t
seconds_since(int64_t t, int64_t now)
{
	return t < now ? (now - t) / IDQ_SECOND : 0;
}

/* For a person, or in seconds. */
static const char *
age(const struct table *t, int64_t since, int64_t now, char buf[AGE_SIZE])
{
	if (since == 0)
		return "-";
	if (t->tty)
		return age_text(since < now ? now - since : 0, buf);
	snprintf(buf, AGE_SIZE, "%" PRId64, seconds_since(since, now));
	return buf;
}

/*
 * One `name value' a line.
 */

static void
row(struct table *t, const struct queue_stats *s, const char *name,
    const char *value)
{
	if (several_queues())
		table_cell(t, s->queue);
	table_cell(t, name);
	table_cell(t, value);
}

static void
row_number(struct table *t, const struct queue_stats *s, const char *name,
    uint64_t n)
{
	char buf[32];

	snprintf(buf, sizeof(buf), "%" PRIu64, n);
	row(t, s, name, buf);
}

static void
row_time(struct table *t, const struct queue_stats *s, const char *name,
    int64_t at)
{
	char buf[TIME_SIZE];

	row(t, s, name, at != 0 ? time_text(at, t->tty, buf) : "-");
}

static void
row_paused(struct table *t, const struct queue_stats *s)
{
	const struct idq_paused *p = &s->paused;
	char buf[sizeof(*p) + TIME_SIZE], at[TIME_SIZE];

	if (!s->is_paused) {
		row(t, s, "paused", "-");
		return;
	}
	snprintf(buf, sizeof(buf), "%s %s %s",
	    p->at != 0 ? time_text(p->at, t->tty, at) : "?",
	    *p->by != '\0' ? p->by : "?", p->why);
	row(t, s, "paused", buf);
}

static void
rows(struct table *t, const struct queue_stats *s)
{
	char name[32], buf[AGE_SIZE];

	for (size_t i = 0; i < NITEMS(shown); i++)
		row_number(t, s, idq_state_name(shown[i]),
		    s->jobs.n[shown[i]]);
	for (size_t i = 0; i < NITEMS(aged); i++) {
		snprintf(name, sizeof(name), "oldest-%s",
		    idq_state_name(aged[i]));
		row(t, s, name, age(t, s->jobs.oldest[aged[i]], s->jobs.now,
		    buf));
	}
	row_time(t, s, "next-due", s->jobs.next);
	row_time(t, s, "last-start", s->act.start);
	row_time(t, s, "last-finish", s->act.finish);
	row_time(t, s, "last-worker", s->act.worker);
	for (size_t i = 0; i < IDQ_NHAPPENED; i++)
		for (size_t j = 0; j < IDQ_NSPANS; j++) {
			snprintf(name, sizeof(name), "%s-%s", happened[i],
			    spans[j]);
			row_number(t, s, name, s->act.n[j][i]);
		}
	row_number(t, s, "duplicates", s->dups);
	row_paused(t, s);
}

static void
print_rows(struct stats *st)
{
	static const char *const heads[] = { "QUEUE", "NAME", "VALUE" };
	size_t skip = several_queues() ? 0 : 1;

	table_init(&st->table, heads + skip, NITEMS(heads) - skip,
	    NITEMS(heads));
	for (size_t i = 0; i < st->n; i++)
		if (st->v[i].readable)
			rows(&st->table, &st->v[i]);
	table_end(&st->table);
}

/*
 * JSON.
 */

static json_t *
object(const char *queue)
{
	json_t *o = json_object();

	if (several_queues())
		json_object_set_new(o, "queue", json_text(queue));
	return o;
}

static json_t *
number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *
json_age(int64_t since, int64_t now)
{
	return since == 0 ? json_null() :
	    json_integer(seconds_since(since, now));
}

static json_t *
json_recent(const struct idq_activity *a)
{
	json_t *o = json_object(), *span;

	for (size_t j = 0; j < IDQ_NSPANS; j++) {
		span = json_object();
		for (size_t i = 0; i < IDQ_NHAPPENED; i++)
			json_object_set_new(span, happened[i],
			    number(a->n[j][i]));
		json_object_set_new(o, spans[j], span);
	}
	return o;
}

static json_t *
json_paused(const struct queue_stats *s)
{
	json_t *o;

	if (!s->is_paused)
		return json_null();
	o = json_object();
	json_object_set_new(o, "at", json_time(s->paused.at));
	json_object_set_new(o, "by", json_text(s->paused.by));
	json_object_set_new(o, "why", json_text(s->paused.why));
	return o;
}

static void
print_object(const struct queue_stats *s)
{
	json_t *o = object(s->queue), *jobs = json_object();
	json_t *oldest = json_object(), *last = json_object();

	for (size_t i = 0; i < NITEMS(shown); i++)
		json_object_set_new(jobs, idq_state_name(shown[i]),
		    number(s->jobs.n[shown[i]]));
	for (size_t i = 0; i < NITEMS(aged); i++)
		json_object_set_new(oldest, idq_state_name(aged[i]),
		    json_age(s->jobs.oldest[aged[i]], s->jobs.now));
	json_object_set_new(last, "start", json_time(s->act.start));
	json_object_set_new(last, "finish", json_time(s->act.finish));
	json_object_set_new(last, "worker", json_time(s->act.worker));
	json_object_set_new(o, "jobs", jobs);
	json_object_set_new(o, "oldest", oldest);
	json_object_set_new(o, "next", json_time(s->jobs.next));
	json_object_set_new(o, "last", last);
	json_object_set_new(o, "recent", json_recent(&s->act));
	json_object_set_new(o, "duplicates", number(s->dups));
	json_object_set_new(o, "paused", json_paused(s));
	print_json(o);
}

/*
 * A queue's figures, and those of its groups.
 */

static struct queue_stats *
new_queue(struct stats *st, const char *name)
{
	struct queue_stats *s = reallocarray(st->v, st->n + 1, sizeof(*s));

	if (s == NULL)
		exit(complain_memory());
	st->v = s;
	s = &st->v[st->n++];
	memset(s, 0, sizeof(*s));
	if ((s->queue = strdup(name)) == NULL)
		exit(complain_memory());
	return s;
}

static int
take(void *arg, struct idq *q)
{
	struct queue_stats *s = new_queue(arg, queue_name(q));

	if (idq_count(q, true, &s->jobs) == -1 ||
	    idq_activity(q, s->jobs.now, &s->act) == -1 ||
	    idq_dups_total(q, &s->dups) == -1)
		return complain_queue(q, NULL);
	s->is_paused = idq_paused(q, &s->paused) == 1;
	s->readable = true;
	return 0;
}

static int
no_queue(void *arg, const char *name, int code, const char *why)
{
	new_queue(arg, name);
	complain("%s", why);
	return code;
}

static int
group_row(void *arg, const struct idq_group *g)
{
	struct stats *st = arg;
	struct table *t = &st->table;
	char buf[AGE_SIZE];

	if (several_queues())
		table_cell(t, queue_name(st->q));
	for (size_t i = 0; i < NUNFINISHED; i++) {
		snprintf(buf, sizeof(buf), "%" PRIu64, g->n[shown[i]]);
		table_cell(t, buf);
	}
	table_cell(t, age(t, g->oldest, st->now, buf));
	table_cell(t, *g->group != '\0' ? g->group : "-");
	return ferror(stdout);
}

static int
group_object(void *arg, const struct idq_group *g)
{
	const struct stats *st = arg;
	json_t *o = object(queue_name(st->q));

	json_object_set_new(o, "group", *g->group != '\0' ?
	    json_text(g->group) : json_null());
	for (size_t i = 0; i < NUNFINISHED; i++)
		json_object_set_new(o, idq_state_name(shown[i]),
		    number(g->n[shown[i]]));
	json_object_set_new(o, "oldest", json_age(g->oldest, st->now));
	print_json(o);
	return ferror(stdout);
}

static int
by_group(void *arg, struct idq *q)
{
	struct stats *st = arg;
	uint64_t left;

	st->q = q;
	st->now = idq_now();
	if (idq_groups(q, st->json ? group_object : group_row, st, &left) ==
	    -1)
		return complain_queue(q, NULL);
	if (left > 0)
		complain("%s: %" PRIu64 " jobs of further groups are left out",
		    idq_queue_dir(q), left);
	return 0;
}

static int
print_groups(struct stats *st)
{
	static const char *const heads[] = { "QUEUE", "PENDING", "WAITING",
	    "RUNNING", "HELD", "FAILED", "OLDEST", "GROUP" };
	size_t skip = several_queues() ? 0 : 1;
	int status;

	table_init(&st->table, heads + skip, NITEMS(heads) - skip,
	    NITEMS(heads));
	status = each_queue(IDQ_READ, by_group, st);
	table_end(&st->table);
	return status;
}

static int
print_stats(struct stats *st)
{
	int status = each_queue_or(IDQ_READ, take, no_queue, st), r = 0;

	if (st->prometheus)
		r = prometheus(st->v, st->n, st->file);
	else if (!st->json)
		print_rows(st);
	for (size_t i = 0; i < st->n; i++) {
		if (st->json && st->v[i].readable)
			print_object(&st->v[i]);
		free(st->v[i].queue);
	}
	free(st->v);
	return r > status ? r : status;
}

int
cmd_stats(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_BY, "by", "group", "a line for each group" },
		{ OPT_JSON, "json", NULL, "an object a line" },
		{ OPT_PROMETHEUS, "prometheus", NULL,
		    "for node_exporter's textfile collector" },
		{ 'o', NULL, "FILE", "there, replaced as a whole" },
		OPT_END_READS
	};
	static const char *const ways[] = { "group", NULL };
	struct stats st = { .n = 0 };
	bool groups = false;
	int c;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == OPT_BY)
			groups = word_value("--by", optarg, ways) == 0;
		else if (c == OPT_JSON)
			st.json = true;
		else if (c == OPT_PROMETHEUS)
			st.prometheus = true;
		else
			st.file = optarg;
	}
	operands(&argc, &argv, 0, 0, "");
	if (st.prometheus && (groups || st.json))
		usage_error("--prometheus: does not go with %s",
		    groups ? "--by" : "--json");
	if (st.file != NULL && !st.prometheus)
		usage_error("-o %s: goes with --prometheus", st.file);
	return groups ? print_groups(&st) : print_stats(&st);
}
