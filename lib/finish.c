/* SPDX-License-Identifier: ISC */
/*
 * How a claim ends, and what that means for the job.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define BACKOFF_MAX	IDQ_HOUR

bool
idq_is_expired(const struct job *j, int64_t now)
{
	return j->pub.expires != 0 && now >= j->pub.expires;
}

bool
idq_holds_on_crash(const struct idq *q, const struct job *j)
{
	if (j->pub.on_crash != IDQ_CRASH_UNSET)
		return j->pub.on_crash == IDQ_CRASH_HOLD;
	return q->cfg[CFG_ON_CRASH] == 1;
}

static uint32_t
attempts_max(const struct idq *q, const struct job *j)
{
	return j->pub.attempts_max != 0 ? j->pub.attempts_max :
	    (uint32_t)q->cfg[CFG_ATTEMPTS];
}

/* Doubled up to an hour, give or take 20 %. */
int64_t
idq_backoff(const struct idq *q, uint32_t attempt)
{
	int64_t d = q->cfg[CFG_BACKOFF];
	uint32_t permille = 800 + arc4random_uniform(401);

	while (attempt-- > 1 && d < BACKOFF_MAX)
		d *= 2;
	if (d > BACKOFF_MAX && d > q->cfg[CFG_BACKOFF])
		d = BACKOFF_MAX;
	return d / 1000 * permille;
}

static int64_t
keep_of(const struct idq *q, const struct job *j)
{
	return j->pub.keep != 0 ? j->pub.keep : q->cfg[CFG_KEEP];
}

static void
line_start(struct line *l, const struct job *j, enum event e, enum place to)
{
	memset(l, 0, sizeof(*l));
	l->at = idq_now();
	l->event = e;
	l->n = j->pub.claims;
	l->to = to;
}

/* To failed/, for good: no next. */
static void
for_good(const struct idq *q, struct line *l)
{
	l->to = PL_FAILED;
	l->next = 0;
	l->release = idq_after(l->at, q->cfg[CFG_KEEP_FAILED]);
}

/* To be tried again at NEXT; the job of an `idq run' rests in failed/. */
static void
again(const struct idq *q, const struct job *j, struct line *l, int64_t next)
{
	if (j->pub.run)
		for_good(q, l);
	else
		l->to = next > l->at ? PL_WAIT : PL_NEW;
	l->next = next;
}

/* `exit 1', `signal 9', `no command': the first word of the detail. */
static const char *
reason(const struct job *j, char *buf, size_t len)
{
	const char *s = j->line.detail;

	if (strncmp(s, "reason=", 7) == 0)
		s += 7;
	strlcpy(buf, *s != '\0' ? s : idq_event_name(j->line.event), len);
	buf[strcspn(buf, " ")] = '\0';
	for (char *c = buf; *c != '\0'; c++)
		if (*c == '=' || *c == '-')
			*c = ' ';
	return buf;
}

/* `: ' and the last line of its standard error, or nothing. */
static const char *
last_words(const struct job *j, char buf[2 + SAID_SIZE])
{
	const char *s = strstr(j->line.detail, " stderr=");

	buf[0] = '\0';
	if (s != NULL) {
		strlcpy(buf, ": ", 3);
		idq_said_parse(s + 8, buf + 2);
	}
	return buf;
}

/*
 * Nobody is told of each retry, but of the last; a script that says itself how
 * its claim ended knows.
 */
static void
tell(struct idq *q, const struct job *j)
{
	const struct idq_job *p = &j->pub;
	const char *queue = strrchr(q->path, '/') + 1;
	char why[64], said[2 + SAID_SIZE];

	if (p->state == IDQ_FAILED && !p->run)
		idq_notice(q, "%s: %s: failed after %" PRIu32
		    " attempt%s (%s)%s", queue, p->key, p->attempts,
		    p->attempts == 1 ? "" : "s",
		    reason(j, why, sizeof(why)), last_words(j, said));
	else if (p->state == IDQ_HELD)
		idq_notice(q, "%s: %s: held, its outcome is unknown (%s)%s",
		    queue, p->key, reason(j, why, sizeof(why)),
		    last_words(j, said));
}

int
idq_asked(struct idq *q, const char *id)
{
	char path[PATH_SIZE], buf[64];

	idq_asked_path(id, path);
	if (idq_read_small(q, path, buf, sizeof(buf)) == -1) {
		if (errno == ENOENT)
			return 0;
		idq_errno(q, "%s/%s", q->path, path);
		if (errno != ELOOP && errno != EINVAL && errno != ENXIO)
			return -1;
		idq_notice(q, "%s", q->msg);
		return 0;
	}
	return strncmp(buf, "kill ", 5) == 0 ? 2 : 1;
}

static void
cancelled(const struct idq *q, const struct job *j, struct line *l)
{
	line_start(l, j, EV_CANCELLED, PL_CANCELLED);
	l->release = idq_after(l->at, keep_of(q, j));
	snprintf(l->detail, sizeof(l->detail), "by=%u",
	    (unsigned int)geteuid());
}

int
idq_cancel_now(struct idq *q, struct job *j, const char *from)
{
	struct line l;

	j->asked = true;
	cancelled(q, j, &l);
	return idq_step(q, j, from, &l, true);
}

static void
interrupted(const struct idq *q, const struct job *j, struct line *l)
{
	line_start(l, j, EV_INTERRUPTED, PL_NEW);
	if (idq_holds_on_crash(q, j))
		l->to = PL_HOLD;
	else if (j->pub.run)
		again(q, j, l, l->at + idq_backoff(q, j->pub.attempts));
	else if (j->pub.attempts >= attempts_max(q, j))
		for_good(q, l);
	else
		again(q, j, l, j->pub.due);
}

/* The line of a command that ended as HOW and VALUE say. */
static void
judge(const struct idq *q, const struct job *j, enum how how, int value,
    const char *said, struct line *l)
{
	const struct idq_job *p = &j->pub;
	bool unknown = how == HOW_SIGNAL || how == HOW_TIMEOUT;

	line_start(l, j, EV_FAILED, PL_FAILED);
	snprintf(l->detail, sizeof(l->detail),
	    how == HOW_SIGNAL ? "signal=%d" :
	    how == HOW_TIMEOUT ? "reason=timeout" :
	    how == HOW_NOCOMMAND ? "reason=no-command" :
	    how == HOW_NOANSWER ? "reason=no-answer" : "exit=%d", value);
	if (how == HOW_EXIT && value == IDQ_EXIT_DONE) {
		l->event = EV_DONE;
		l->to = PL_DONE;
		l->release = idq_after(l->at, keep_of(q, j));
	} else if (how == HOW_EXIT &&
	    (value == IDQ_EXIT_LATER || value == IDQ_EXIT_SOFT)) {
		l->event = EV_LATER;
		again(q, j, l, l->at + idq_backoff(q, 1));
	} else if (unknown && idq_holds_on_crash(q, j)) {
		l->to = PL_HOLD;
	} else if (how == HOW_NOCOMMAND ||
	    (how == HOW_EXIT && value == IDQ_EXIT_HARD) ||
	    (!p->run && p->attempts >= attempts_max(q, j))) {
		for_good(q, l);
	} else {
		again(q, j, l, l->at + idq_backoff(q, p->attempts));
	}
	if (l->event != EV_DONE && *said != '\0') {
		strlcat(l->detail, " stderr=", sizeof(l->detail));
		strlcat(l->detail, said, sizeof(l->detail));
	}
}

/* The line that ends a claim, unless somebody has asked to cancel it. */
static int
last_line(struct idq *q, struct job *j, enum how how, int value,
    const char *said, struct line *l)
{
	bool done = how == HOW_EXIT && value == IDQ_EXIT_DONE;
	int asked = idq_asked(q, j->pub.id);

	if (asked == -1)
		return -1;
	j->asked = asked != 0;
	if (asked != 0 && !done)
		cancelled(q, j, l);
	else if (how == HOW_UNKNOWN)
		interrupted(q, j, l);
	else
		judge(q, j, how, value, said, l);
	return 0;
}

int
idq_finish(struct idq *q, struct job *j, enum how how, int value,
    const char *said, bool sync)
{
	char from[PATH_SIZE];
	struct line l;

	idq_place_path(PL_CUR, j->pub.hash, j->pub.id, 0, from);
	if (last_line(q, j, how, value, said, &l) == -1 ||
	    idq_step(q, j, from, &l, sync) == -1)
		return -1;
	if (!sync)
		tell(q, j);
	return 0;
}

int
idq_finish_begin(struct idq *q, struct job *j, enum how how, int value,
    const char *said)
{
	struct line l;
	int r;

	if (last_line(q, j, how, value, said, &l) == -1 ||
	    (r = idq_step_begin(q, j, &l, false)) == -1)
		return -1;
	/* Not after the sync: the log is in order of time. */
	idq_log_line(q, j);
	return r;
}

int
idq_finish_end(struct idq *q, struct job *j, const char *from)
{
	if (idq_step_end(q, j, from) == -1)
		return -1;
	tell(q, j);
	return 0;
}

int
idq_interrupt(struct idq *q, struct job *j, const char *from)
{
	struct line l;

	if (last_line(q, j, HOW_UNKNOWN, 0, "", &l) == -1 ||
	    idq_step(q, j, from, &l, false) == -1)
		return -1;
	tell(q, j);
	return 0;
}

int
idq_expire(struct idq *q, struct job *j, const char *from)
{
	struct line l;

	if (j->pub.attempts > 0) {
		line_start(&l, j, EV_FAILED, PL_FAILED);
		strlcpy(l.detail, "reason=expired", sizeof(l.detail));
		for_good(q, &l);
	} else {
		line_start(&l, j, EV_EXPIRED, PL_EXPIRED);
		l.release = idq_after(l.at, keep_of(q, j));
	}
	if (idq_step(q, j, from, &l, true) == -1)
		return -1;
	tell(q, j);
	return 0;
}

int
idq_give_back(struct idq *q, struct job *j, int64_t delay, bool sync)
{
	char from[PATH_SIZE];
	struct line l;

	idq_place_path(PL_CUR, j->pub.hash, j->pub.id, 0, from);
	if (idq_asked(q, j->pub.id) > 0)
		return idq_cancel_now(q, j, from);
	line_start(&l, j, EV_RELEASED, PL_NEW);
	again(q, j, &l, delay > 0 ? l.at + delay : j->pub.due);
	return idq_step(q, j, from, &l, sync);
}
