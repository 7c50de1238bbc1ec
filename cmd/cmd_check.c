/* SPDX-License-Identifier: ISC */
/*
 * One line and an exit status, as the monitoring-plugins guidelines have them.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

enum level { OK, WARNING, UNKNOWN, CRITICAL };	/* the worst last */

static const struct {
	const char	*word;
	int		 status;
} levels[] = {
	[OK] = { "OK", 0 },
	[WARNING] = { "WARNING", EX_NO },
	[UNKNOWN] = { "UNKNOWN", EX_UNKNOWN },
	[CRITICAL] = { "CRITICAL", EX_CRITICAL },
};

/* What may not be exceeded; -1: it may. */
struct limit {
	int64_t	warn;
	int64_t	crit;
};

enum { MAX_AGE, MAX_IDLE, MAX_PENDING, MAX_FAILED, MAX_RUNNING_AGE, NLIMITS };

static const char *const names[NLIMITS] = { "--max-age", "--max-idle",
    "--max-pending", "--max-failed", "--max-running-age" };

/* What is to be said of a queue. */
struct report {
	enum level	 level;
	char		*text;
	char		*perf;
};

struct check {
	bool		 given;		/* some limit was */
	struct limit	 limits[NLIMITS];
	struct report	*v;
	size_t		 n;
};

/* While a report is made. */
struct making {
	struct report	*r;
	FILE		*text;
	FILE		*perf;
	size_t		 len[2];	/* of both, for open_memstream(3) */
	const char	*queue;
};

static bool
is_duration(int i)
{
	return i != MAX_PENDING && i != MAX_FAILED;
}

static int64_t
one_value(int i, const char *s)
{
	return is_duration(i) ? duration_value(names[i], s, NULL) :
	    number_value(names[i], s, 0, INT64_MAX);
}

/* [WARN,]CRIT */
static void
take_limit(struct check *k, int i, const char *s)
{
	struct limit *l = &k->limits[i];
	const char *comma = strchr(s, ',');
	char warn[64];

	k->given = true;
	l->warn = -1;
	l->crit = one_value(i, comma != NULL ? comma + 1 : s);
	if (comma == NULL)
		return;
	snprintf(warn, sizeof(warn), "%.*s", (int)(comma - s), s);
	l->warn = one_value(i, warn);
	if (l->warn > l->crit)
		usage_error("%s %s: the warning comes first", names[i], s);
}

/* In what reads the line `|' begins the figures, and a newline other text. */
static void
put_text(FILE *f, const char *s)
{
	size_t n;

	for (;; s += n + 1) {
		n = strcspn(s, "|");
		print_safe(f, s, n);
		if (s[n] == '\0')
			return;
		putc('/', f);
	}
}

static void say(struct making *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static void
say(struct making *m, const char *fmt, ...)
{
	char *s;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) == -1)
		exit(complain_memory());
	va_end(ap);
	put_text(m->text, s);
	free(s);
}

static void
raise_level(struct making *m, enum level level)
{
	if (level > m->r->level)
		m->r->level = level;
}

/* In quotes where it has a blank; it cannot have a quote or `='. */
static void
put_label(struct making *m, const char *label)
{
	char *s, *p;
	const char *quote;

	if (asprintf(&s, "%s%s%s", several_queues() ? m->queue : "",
	    several_queues() ? "." : "", label) == -1)
		exit(complain_memory());
	for (p = s; *p != '\0'; p++)
		if (strchr("'=|", *p) != NULL || (unsigned char)*p < ' ')
			*p = '_';
	quote = strchr(s, ' ') != NULL ? "'" : "";
	fprintf(m->perf, "%s%s%s%s=", ftell(m->perf) > 0 ? " " : "", quote, s,
	    quote);
	free(s);
}

static void
put_limit(struct making *m, int64_t limit, int64_t unit)
{
	putc(';', m->perf);
	if (limit >= 0)
		fprintf(m->perf, "%" PRId64, limit / unit);
}

/*
 * A figure, in microseconds if UNIT is that of a duration, or -1 if it is not
 * known; and, in the text, the limit that it exceeds.
 */
static void
figure(struct making *m, const char *label, int64_t value, int64_t unit,
    const struct limit *l)
{
	enum level level = l->crit >= 0 && value > l->crit ? CRITICAL :
	    l->warn >= 0 && value > l->warn ? WARNING : OK;
	int64_t limit = level == CRITICAL ? l->crit : l->warn;
	char age[32];

	put_label(m, label);
	if (value < 0)
		putc('U', m->perf);
	else
		fprintf(m->perf, "%" PRId64 "%s", value / unit,
		    unit > 1 ? "s" : "");
	put_limit(m, l->warn, unit);
	put_limit(m, l->crit, unit);
	fputs(";0", m->perf);
	raise_level(m, level);
	if (level == OK)
		return;
	if (unit > 1)
		say(m, " (over %s)", age_text(limit, age));
	else
		say(m, " (over %" PRId64 ")", limit);
}

static const struct limit none = { -1, -1 };

static int64_t
since(int64_t t, int64_t now)
{
	return t != 0 && t < now ? now - t : 0;
}

static void
pending(struct making *m, const struct idq_counts *c, const struct limit *max,
    const struct limit *max_age)
{
	int64_t age = since(c->oldest[IDQ_PENDING], c->now);
	char buf[32];

	say(m, "%" PRIu64 " pending", c->n[IDQ_PENDING]);
	figure(m, "pending", (int64_t)c->n[IDQ_PENDING], 1, max);
	if (c->n[IDQ_PENDING] > 0)
		say(m, ", oldest %s", age_text(age, buf));
	figure(m, "oldest", age, IDQ_SECOND, max_age);
	figure(m, "waiting", (int64_t)c->n[IDQ_WAITING], 1, &none);
}

static void
running(struct making *m, const struct idq_counts *c, const struct limit *max)
{
	int64_t age = since(c->oldest[IDQ_RUNNING], c->now);
	char buf[32];

	figure(m, "running", (int64_t)c->n[IDQ_RUNNING], 1, &none);
	if (c->n[IDQ_RUNNING] > 0)
		say(m, ", %" PRIu64 " running, longest %s",
		    c->n[IDQ_RUNNING], age_text(age, buf));
	figure(m, "running_age", age, IDQ_SECOND, max);
}

static void
set_aside(struct making *m, const struct idq_counts *c, enum idq_state state,
    const struct limit *max)
{
	if (c->n[state] > 0)
		say(m, ", %" PRIu64 " %s", c->n[state],
		    idq_state_name(state));
	figure(m, idq_state_name(state), (int64_t)c->n[state], 1, max);
}

/*
 * Since somebody was here for work, or, if nobody ever was, since there is
 * some.  A worker comes each minute, busy or not.
 */
static void
idle(struct making *m, struct idq *q, const struct idq_counts *c,
    const struct limit *max)
{
	int64_t last = idq_last_worker(q), start = idq_last_start(q);
	int64_t t, value = -1;
	char buf[32];

	if (start > last)
		last = start;
	t = last != 0 ? last : c->oldest[IDQ_PENDING];
	if (t != 0)
		value = since(t, c->now);
	if (last != 0)
		say(m, ", worker seen %s ago",
		    age_text(since(last, c->now), buf));
	else
		say(m, ", no worker seen yet");
	figure(m, "idle", value, IDQ_SECOND, max);
}

static void
paused(struct making *m, struct idq *q, int64_t now)
{
	struct idq_paused p;
	char buf[32];

	if (idq_paused(q, &p) != 1)
		return;
	raise_level(m, WARNING);
	say(m, ", paused");
	if (p.at != 0)
		say(m, " for %s", age_text(since(p.at, now), buf));
	if (*p.by != '\0')
		say(m, " by %s", p.by);
	if (*p.why != '\0')
		say(m, ": %s", p.why);
}

static void
set_defaults(struct limit *l, struct idq *q)
{
	int64_t age = idq_config_duration(q, "warn-age");

	if (age > 0)
		l[MAX_AGE].warn = age;
	l[MAX_FAILED].warn = 0;
}

static void
examine(struct making *m, const struct check *k, struct idq *q)
{
	struct limit l[NLIMITS];
	struct idq_counts c;

	memcpy(l, k->limits, sizeof(l));
	if (!k->given)
		set_defaults(l, q);
	if (idq_count(q, false, &c) == -1) {
		raise_level(m, UNKNOWN);
		say(m, "%s", idq_errmsg(q));
		return;
	}
	say(m, "%s: ", m->queue);
	pending(m, &c, &l[MAX_PENDING], &l[MAX_AGE]);
	running(m, &c, &l[MAX_RUNNING_AGE]);
	set_aside(m, &c, IDQ_FAILED, &l[MAX_FAILED]);
	set_aside(m, &c, IDQ_HELD, &l[MAX_FAILED]);
	idle(m, q, &c, &l[MAX_IDLE]);
	paused(m, q, c.now);
}

static struct report *
begin(struct check *k, struct making *m, const char *queue)
{
	struct report *r = reallocarray(k->v, k->n + 1, sizeof(*r));

	if (r == NULL)
		exit(complain_memory());
	k->v = r;
	r = &k->v[k->n++];
	memset(r, 0, sizeof(*r));
	m->r = r;
	m->queue = queue;
	m->text = open_memstream(&r->text, &m->len[0]);
	m->perf = open_memstream(&r->perf, &m->len[1]);
	if (m->text == NULL || m->perf == NULL)
		exit(complain_memory());
	return r;
}

static void
end(struct making *m)
{
	if (fclose(m->text) == EOF || fclose(m->perf) == EOF)
		exit(complain_memory());
}

static int
check_queue(void *arg, struct idq *q)
{
	struct making m;

	begin(arg, &m, queue_name(q));
	examine(&m, arg, q);
	end(&m);
	return 0;
}

static int
no_queue(void *arg, const char *name, int code, const char *why)
{
	struct making m;

	(void)code;
	begin(arg, &m, name)->level = UNKNOWN;
	say(&m, "%s", why);
	end(&m);
	return 0;
}

/* The worst first. */
static int
by_level(const void *a, const void *b)
{
	const struct report *x = a, *y = b;

	return (x->level < y->level) - (x->level > y->level);
}

static int
print(struct check *k)
{
	const char *before = "";

	printf("IDQ %s - ", levels[k->v[0].level].word);
	for (size_t i = 0; i < k->n; i++)
		printf("%s%s", i > 0 ? "; " : "", k->v[i].text);
	for (size_t i = 0; i < k->n; i++) {
		if (*k->v[i].perf == '\0')
			continue;
		printf("%s%s", *before == '\0' ? " | " : before,
		    k->v[i].perf);
		before = " ";
	}
	putchar('\n');
	return levels[k->v[0].level].status;
}

int
cmd_check(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_MAX_AGE, "max-age", "[D,]D",
		    "of the oldest pending job, since it was due" },
		{ OPT_MAX_IDLE, "max-idle", "[D,]D",
		    "since a worker was here" },
		{ OPT_MAX_PENDING, "max-pending", "[N,]N", "pending jobs" },
		{ OPT_MAX_FAILED, "max-failed", "[N,]N",
		    "failed jobs, and held ones" },
		{ OPT_MAX_RUNNING_AGE, "max-running-age", "[D,]D",
		    "of the job that runs longest" },
		OPT_END_READS
	};
	struct check k = { .given = false };
	int c, status;

	for (int i = 0; i < NLIMITS; i++)
		k.limits[i] = none;
	while ((c = next_option(opts, argc, argv)) != 0)
		take_limit(&k, c == OPT_MAX_AGE ? MAX_AGE :
		    c == OPT_MAX_IDLE ? MAX_IDLE :
		    c == OPT_MAX_PENDING ? MAX_PENDING :
		    c == OPT_MAX_FAILED ? MAX_FAILED : MAX_RUNNING_AGE,
		    optarg);
	operands(&argc, &argv, 0, 0, "");
	each_queue_or(IDQ_READ, check_queue, no_queue, &k);
	/* A spool without a queue is most likely another one than was meant. */
	if (k.n == 0)
		no_queue(&k, "", 0, "there is no queue in the spool");
	/* mergesort(3) is stable: queues of one level stay in their order. */
	if (k.n > 1 && mergesort(k.v, k.n, sizeof(*k.v), by_level) == -1)
		exit(complain_memory());
	status = print(&k);
	for (size_t i = 0; i < k.n; i++) {
		free(k.v[i].text);
		free(k.v[i].perf);
	}
	free(k.v);
	return status;
}
