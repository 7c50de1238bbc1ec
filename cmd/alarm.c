/* SPDX-License-Identifier: ISC */
/*
 * The alarm at the producer: what an add sees that somebody should know, on
 * standard error, which cron mails.  Each kind comes once per queue and hour.
 */
#include <inttypes.h>
#include <string.h>

#include "cmd.h"

#define TICK_SLACK	(30 * IDQ_SECOND)

/*
 * Whether something due since THEN waits for too long.  The 7th tick of a
 * crontab comes 30 minutes after the first, or nearly so.
 */
static bool
is_late(struct idq *q, int64_t then)
{
	int64_t warn = idq_config_duration(q, "warn-age");

	return warn > 0 && idq_now() - then >= warn - TICK_SLACK;
}

/* How much is to be said. */
struct alarm {
	struct idq	*q;
	const char	*key;
	bool		 strict;	/* be sure, at any price */
	bool		 always;	/* there is somebody at the terminal */
};

static bool
is_due(const struct alarm *a, const char *name)
{
	return a->always || idq_alarm(a->q, name, IDQ_HOUR) == 1;
}

/* paused by jo@web1 6h ago (reason), or stalled */
static void
why_text(struct idq *q, int64_t now, char *buf, size_t len)
{
	struct idq_paused p;
	char age[32];

	strlcpy(buf, "stalled", len);
	if (idq_paused(q, &p) != 1)
		return;
	snprintf(buf, len, "paused%s%s", *p.by != '\0' ? " by " : "", p.by);
	if (p.at != 0) {
		strlcat(buf, " ", len);
		strlcat(buf, age_text(now - p.at, age), len);
		strlcat(buf, " ago", len);
	}
	if (*p.why != '\0') {
		strlcat(buf, " (", len);
		strlcat(buf, p.why, len);
		strlcat(buf, ")", len);
	}
}

static void
say_stalled(struct idq *q, const struct idq_counts *c)
{
	char why[IDQ_KEY_MAX + 256], oldest[32], seen[32];
	int64_t last = idq_last_worker(q);

	why_text(q, c->now, why, sizeof(why));
	complain("%s: %s: %" PRIu64 " pending, oldest %s, last worker seen "
	    "%s%s", idq_queue_dir(q), why, c->n[IDQ_PENDING],
	    age_text(c->now - c->oldest[IDQ_PENDING], oldest),
	    last > 0 ? age_text(c->now - last, seen) : "never",
	    last > 0 ? " ago" : "");
}

/* A job has been pending since THEN, and perhaps longer than it should. */
static bool
stalled(const struct alarm *a, int64_t then)
{
	struct idq_counts c;
	struct idq *q = a->q;

	if (!is_late(q, then))
		return false;
	/* Its names are counted for those who shall be told. */
	if (!a->strict && !a->always &&
	    idq_alarm(q, "counted", IDQ_MINUTE) != 1)
		return false;
	if (idq_count(q, false, &c) == -1 || c.n[IDQ_PENDING] == 0 ||
	    !is_late(q, c.oldest[IDQ_PENDING]))
		return false;
	if (is_due(a, "stalled"))
		say_stalled(q, &c);
	return true;
}

/* Behind others of its group it is late by design, while any are started. */
static bool
is_paced(struct idq *q, const struct idq_added *r)
{
	return r->paced && !is_late(q, idq_last_start(q));
}

static void
say_job(const struct alarm *a, const char *kind, int64_t since,
    const char *words)
{
	char age[32];

	if (is_due(a, kind))
		complain("%s: %s %s ago %s", a->key, kind,
		    age_text(idq_now() - since, age), words);
}

static bool
of_duplicate(const struct alarm *a, const struct idq_added *r)
{
	switch (r->state) {
	case IDQ_FAILED:
		say_job(a, "failed", r->since, "and holds its key; "
		    "idq retry or idq forget frees it");
		return true;
	case IDQ_HELD:
		say_job(a, "held", r->since, "and waits for a person; "
		    "idq unhold, idq retry or idq cancel decides");
		return true;
	case IDQ_PENDING:
		return !is_paced(a->q, r) &&
		    stalled(a, r->due > r->since ? r->due : r->since);
	default:
		return false;
	}
}

bool
alarm_added(struct idq *q, const char *key, const struct idq_added *r,
    bool strict, bool always)
{
	const struct alarm a = { q, key, strict, always };

	if (r->outcome == IDQ_DUPLICATE)
		return of_duplicate(&a, r);
	if (r->outcome != IDQ_ADDED)
		return false;
	if (r->state == IDQ_EXPIRED) {
		if (is_due(&a, "expired"))
			complain("%s: %s: its deadline has passed; set aside "
			    "as expired, not to be run", idq_queue_dir(q),
			    key);
		return true;
	}
	return r->unstarted != 0 && stalled(&a, r->unstarted);
}
