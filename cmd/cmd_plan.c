/* SPDX-License-Identifier: ISC */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define ROWS_SHOWN	20		/* to a person */
#define OTHERS		"(other groups)"

struct show {
	struct idq	*q;
	FILE		*out;
	bool		 local;		/* times */
	bool		 json;
	uint64_t	 rows;		/* at most */
	int64_t		 rate;
	bool		 begun;		/* a queue was printed */
	struct idq_plan	 plan;
	struct idq_plan_group others;	/* with the rows that are not shown */
};

static void
fold(struct idq_plan_group *sum, const struct idq_plan_group *g)
{
	sum->jobs += g->jobs;
	sum->expired += g->expired;
	if (sum->oldest == 0 || g->oldest < sum->oldest)
		sum->oldest = g->oldest;
	for (size_t i = 0; i < IDQ_PLAN_AGES; i++)
		sum->ages[i] += g->ages[i];
}

static size_t
rows_shown(const struct show *s)
{
	return s->plan.ngroups < s->rows ? s->plan.ngroups : (size_t)s->rows;
}

static const char *
group_name(const struct idq_plan_group *g)
{
	return g->name == NULL || *g->name == '\0' ? "-" : g->name;
}

static const char *
age_head(size_t i, char buf[32])
{
	if (i + 1 == IDQ_PLAN_AGES)
		return "older";
	return idq_duration_format(IDQ_PLAN_AGE << i, buf, 32);
}

/* The measured one has no N/D that somebody wrote. */
static double
per_minute(const struct idq_plan *p)
{
	return (double)IDQ_MINUTE / (double)p->interval;
}

static const char *
basis_name(enum idq_plan_basis b)
{
	static const char *const names[] = {
		[IDQ_PLAN_UNKNOWN] = "none", [IDQ_PLAN_GIVEN] = "option",
		[IDQ_PLAN_CONFIG] = "config", [IDQ_PLAN_MEASURED] = "measured"
	};

	return names[b];
}

/*
 * For a person.
 */

static const char *
when(const struct show *s, int64_t t, char buf[TIME_SIZE])
{
	return time_text(t, s->local, buf);
}

static void
say_paused(const struct show *s)
{
	struct idq_paused p;
	char buf[TIME_SIZE];

	if (idq_paused(s->q, &p) != 1)
		return;
	fputs("paused    ", s->out);
	fprintf(s->out, "since %s", p.at != 0 ? when(s, p.at, buf) :
	    "a time not known");
	if (*p.by != '\0')
		fputs(" by ", s->out);
	print_safe(s->out, p.by, strlen(p.by));
	if (*p.why != '\0')
		fputs(": ", s->out);
	print_safe(s->out, p.why, strlen(p.why));
	putc('\n', s->out);
}

static void
say_jobs(const struct show *s)
{
	const struct idq_plan *p = &s->plan;
	char age[32], buf[TIME_SIZE];

	fprintf(s->out, "pending   %" PRIu32, p->total.jobs);
	if (p->total.jobs > 0)
		fprintf(s->out, " in %s%" PRIu64 " group%s, the oldest due "
		    "%s ago", p->about ? "about " : "", p->distinct,
		    p->distinct == 1 ? "" : "s",
		    age_text(p->now - p->total.oldest, age));
	fprintf(s->out, "\nwaiting   %" PRIu64, p->waiting);
	if (p->waiting > 0)
		fprintf(s->out, ", the next due %s", when(s, p->next, buf));
	fprintf(s->out, "\nrunning   %" PRIu64 "\n", p->running);
}

static void
say_rate(const struct show *s)
{
	const struct idq_plan *p = &s->plan;
	char buf[64];

	fputs("rate      ", s->out);
	if (p->basis == IDQ_PLAN_UNKNOWN)
		fputs("not known\n", s->out);
	else if (p->basis == IDQ_PLAN_MEASURED)
		fprintf(s->out, "%.1f a minute, as the last %" PRIu64
		    " finished\n", per_minute(p), p->finishes);
	else
		fprintf(s->out, "%s, %s\n",
		    idq_rate_format(p->rate, buf, sizeof(buf)),
		    p->basis == IDQ_PLAN_GIVEN ? "as given" :
		    "as config says");
}

static void
say_finish(const struct show *s)
{
	const struct idq_plan *p = &s->plan;
	char age[32], buf[TIME_SIZE];

	fputs("finished  ", s->out);
	if (p->finish != 0)
		fprintf(s->out, "%s, in %s\n", when(s, p->finish, buf),
		    age_text(p->finish - p->now, age));
	else if (p->earliest != 0)
		fprintf(s->out, "not known, in %s at the earliest\n",
		    age_text(p->earliest - p->now, age));
	else
		fputs(p->run == 0 ? "nothing to run\n" : "not known\n",
		    s->out);
}

static void
say(const struct show *s)
{
	const struct idq_plan *p = &s->plan;
	const char *name = queue_name(s->q);

	fputs("queue     ", s->out);
	print_safe(s->out, name, strlen(name));
	putc('\n', s->out);
	say_paused(s);
	say_jobs(s);
	fprintf(s->out, "run       %" PRIu64, p->run);
	if (p->paced > 0)
		fprintf(s->out, ", %s%" PRIu64 " of them after another of "
		    "their group", p->about ? "about " : "", p->paced);
	fprintf(s->out, "\nexpire    %" PRIu64 "\n", p->expire);
	fprintf(s->out, "busiest   %" PRIu64 " in a minute\n", p->busiest);
	say_rate(s);
	say_finish(s);
}

/* Columns of ages that some job is in, but none behind them. */
static size_t
ages_shown(const struct show *s)
{
	size_t n = IDQ_PLAN_AGES;

	while (n > 1 && s->plan.total.ages[n - 1] == 0)
		n--;
	return n;
}

/* No number is longer than that of all, but a head can be. */
static int
width(const char *head, uint32_t most)
{
	int n = snprintf(NULL, 0, "%" PRIu32, most), h = (int)strlen(head);

	return n > h ? n : h;
}

static void
row(const struct show *s, const struct idq_plan_group *g, const char *name)
{
	const struct idq_plan_group *total = &s->plan.total;
	char head[32];

	fprintf(s->out, "%*" PRIu32 "  %*" PRIu32,
	    width("JOBS", total->jobs), g->jobs,
	    width("EXPIRED", total->expired), g->expired);
	for (size_t i = 0; i < ages_shown(s); i++)
		fprintf(s->out, "  %*" PRIu32,
		    width(age_head(i, head), total->ages[i]), g->ages[i]);
	fputs("  ", s->out);
	print_safe(s->out, name, strlen(name));
	putc('\n', s->out);
}

static void
heads(const struct show *s)
{
	const struct idq_plan_group *total = &s->plan.total;
	char head[32];

	fprintf(s->out, "\n%*s  %*s", width("JOBS", total->jobs), "JOBS",
	    width("EXPIRED", total->expired), "EXPIRED");
	for (size_t i = 0; i < ages_shown(s); i++) {
		age_head(i, head);
		fprintf(s->out, "  %*s", width(age_head(i, head),
		    total->ages[i]), age_head(i, head));
	}
	fputs("  GROUP\n", s->out);
}

static void
show_text(const struct show *s)
{
	const struct idq_plan *p = &s->plan;
	size_t n = rows_shown(s);

	if (s->begun)
		putc('\n', s->out);
	say(s);
	if (p->total.jobs == 0)
		return;
	heads(s);
	for (size_t i = 0; i < n; i++)
		row(s, idq_plan_row(p, i), group_name(idq_plan_row(p, i)));
	if (s->others.jobs > 0)
		row(s, &s->others, OTHERS);
	if (n > 1 || s->others.jobs > 0)
		row(s, &p->total, "(all)");
}

/*
 * For a program: lines of a name and a value, then the rows.
 */

static void
pair_number(const char *name, uint64_t n)
{
	printf("%s\t%" PRIu64 "\n", name, n);
}

static void
pair_time(const char *name, int64_t t)
{
	char buf[TIME_SIZE];

	printf("%s\t%s\n", name, t != 0 ? time_text(t, false, buf) : "-");
}

static void
pair_paused(struct idq *q)
{
	struct idq_paused p;
	char buf[TIME_SIZE];

	if (idq_paused(q, &p) != 1)
		printf("paused\t-\t\t\n");
	else
		printf("paused\t%s\t%s\t%s\n", p.at != 0 ?
		    time_text(p.at, false, buf) : "yes", p.by, p.why);
}

static void
pair_rate(const struct idq_plan *p)
{
	if (p->interval == 0)
		printf("rate\t-\n");
	else
		printf("rate\t%.3f\n", per_minute(p));
	printf("basis\t%s\n", basis_name(p->basis));
}

static void
tab_row(const char *word, const struct idq_plan_group *g, const char *name)
{
	char buf[TIME_SIZE];

	printf("%s\t%" PRIu32 "\t%" PRIu32 "\t%s", word, g->jobs, g->expired,
	    g->oldest != 0 ? time_text(g->oldest, false, buf) : "-");
	for (size_t i = 0; i < IDQ_PLAN_AGES; i++)
		printf("\t%" PRIu32, g->ages[i]);
	printf("\t%s\n", name);
}

static void
tab_pairs(const struct show *s)
{
	const struct idq_plan *p = &s->plan;

	printf("queue\t%s\n", queue_name(s->q));
	pair_paused(s->q);
	pair_number("pending", p->total.jobs);
	pair_number("groups", p->distinct);
	pair_time("oldest", p->total.oldest);
	pair_number("waiting", p->waiting);
	pair_time("next", p->next);
	pair_number("running", p->running);
	pair_number("run", p->run);
	pair_number("paced", p->paced);
	pair_number("expire", p->expire);
	pair_number("busiest", p->busiest);
	pair_rate(p);
	pair_time("earliest", p->earliest);
	pair_time("finish", p->finish);
}

static void
show_tabs(const struct show *s)
{
	const struct idq_plan *p = &s->plan;
	size_t n = rows_shown(s);

	tab_pairs(s);
	for (size_t i = 0; i < n; i++)
		tab_row("group", idq_plan_row(p, i),
		    group_name(idq_plan_row(p, i)));
	if (s->others.jobs > 0)
		tab_row("others", &s->others, OTHERS);
	tab_row("all", &p->total, "(all)");
}

/*
 * JSON, row by row: the whole object could be large.
 */

static void
dump(json_t *o)
{
	size_t flags = JSON_COMPACT | JSON_ENCODE_ANY;

	if (o == NULL)
		exit(complain_memory());
	if (on_terminal())
		flags |= JSON_ENSURE_ASCII;
	json_dumpf(o, stdout, flags);
	json_decref(o);
}

static void
member(const char *name, json_t *value)
{
	printf(",\"%s\":", name);
	dump(value);
}

static void
number(const char *name, uint64_t n)
{
	member(name, json_integer((json_int_t)n));
}

static json_t *
json_row(const struct idq_plan_group *g, bool group)
{
	json_t *o = json_object(), *ages = json_array();

	if (group)
		json_object_set_new(o, "group", *g->name != '\0' ?
		    json_text(g->name) : json_null());
	json_object_set_new(o, "jobs", json_integer(g->jobs));
	json_object_set_new(o, "expired", json_integer(g->expired));
	json_object_set_new(o, "oldest", json_time(g->oldest));
	for (size_t i = 0; i < IDQ_PLAN_AGES; i++)
		json_array_append_new(ages, json_integer(g->ages[i]));
	json_object_set_new(o, "ages", ages);
	return o;
}

static json_t *
json_paused(struct idq *q)
{
	struct idq_paused p;
	json_t *o;

	if (idq_paused(q, &p) != 1)
		return json_null();
	o = json_object();
	json_object_set_new(o, "at", json_time(p.at));
	json_object_set_new(o, "by", json_text(p.by));
	json_object_set_new(o, "why", json_text(p.why));
	return o;
}

static void
json_members(const struct show *s)
{
	const struct idq_plan *p = &s->plan;

	printf("{\"queue\":");
	dump(json_text(queue_name(s->q)));
	member("at", json_time(p->now));
	member("paused", json_paused(s->q));
	number("pending", p->total.jobs);
	number("groups", p->distinct);
	member("about", json_boolean(p->about));
	number("waiting", p->waiting);
	member("next", json_time(p->next));
	number("running", p->running);
	number("run", p->run);
	number("paced", p->paced);
	number("expire", p->expire);
	number("busiest", p->busiest);
	member("rate", p->interval != 0 ? json_real(per_minute(p)) :
	    json_null());
	member("basis", json_string(basis_name(p->basis)));
	number("finishes", p->finishes);
	member("earliest", json_time(p->earliest));
	member("finish", json_time(p->finish));
}

static json_t *
json_edges(void)
{
	json_t *o = json_array();

	for (size_t i = 0; i + 1 < IDQ_PLAN_AGES; i++)
		json_array_append_new(o,
		    json_integer((IDQ_PLAN_AGE << i) / IDQ_SECOND));
	return o;
}

static void
show_json(const struct show *s)
{
	size_t n = rows_shown(s);

	json_members(s);
	member("edges", json_edges());
	printf(",\"rows\":[");
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			putchar(',');
		dump(json_row(idq_plan_row(&s->plan, i), true));
	}
	putchar(']');
	member("others", json_row(&s->others, false));
	member("all", json_row(&s->plan.total, false));
	puts("}");
}

/* What SHOW prints of the queue. */
static int
plan(struct show *s, void (*show)(const struct show *))
{
	struct idq_plan *p = &s->plan;
	int status = 0;

	memset(p, 0, sizeof(*p));
	p->rate = s->rate;
	if (idq_plan(s->q, p) == -1)
		status = complain_queue(s->q, NULL);
	else {
		s->others = p->others;
		for (size_t i = rows_shown(s); i < p->ngroups; i++)
			fold(&s->others, idq_plan_row(p, i));
		show(s);
		s->begun = true;
	}
	idq_plan_free(p);
	return status;
}

int
plan_print(struct idq *q, FILE *out, int64_t rate)
{
	struct show s = {
		.q = q, .out = out, .local = isatty(fileno(out)) == 1,
		.rows = ROWS_SHOWN, .rate = rate
	};

	return plan(&s, show_text);
}

static int
each(void *arg, struct idq *q)
{
	struct show *s = arg;

	s->q = q;
	return plan(s, s->json ? show_json : s->local ? show_text :
	    show_tabs);
}

int
cmd_plan(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_RATE, "rate", "N/D", "as if started at this rate" },
		{ 'n', NULL, "N", "at most so many groups" },
		{ OPT_JSON, "json", NULL, "an object a line" },
		OPT_END_READS
	};
	struct show s = { .out = stdout, .rows = UINT64_MAX };
	int c;

	s.local = on_terminal();
	if (s.local)
		s.rows = ROWS_SHOWN;
	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == OPT_RATE)
			s.rate = rate_value("--rate", optarg);
		else if (c == 'n')
			s.rows = (uint64_t)number_value("-n", optarg, 1,
			    INT64_MAX);
		else
			s.json = true;
	}
	operands(&argc, &argv, 0, 0, "");
	return each_queue(IDQ_READ, each, &s);
}
