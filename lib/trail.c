/* SPDX-License-Identifier: ISC */
/*
 * The trail: the lines at the end of a job file that say what happened to it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

static const char *const events[EV_N] = {
	[EV_CLAIMED] = "claimed",
	[EV_RENEWED] = "renewed",
	[EV_DONE] = "done",
	[EV_FAILED] = "failed",
	[EV_LATER] = "later",
	[EV_RELEASED] = "released",
	[EV_INTERRUPTED] = "interrupted",
	[EV_HELD] = "held",
	[EV_UNHELD] = "unheld",
	[EV_RETRIED] = "retried",
	[EV_CANCELLED] = "cancelled",
	[EV_EXPIRED] = "expired",
};

/* Where an event leads; PL_NONE: its to= says. */
static const enum place leads[EV_N] = {
	[EV_CLAIMED] = PL_CUR,
	[EV_RENEWED] = PL_CUR,
	[EV_DONE] = PL_DONE,
	[EV_FAILED] = PL_NONE,
	[EV_LATER] = PL_NONE,
	[EV_RELEASED] = PL_NONE,
	[EV_INTERRUPTED] = PL_NONE,
	[EV_HELD] = PL_HOLD,
	[EV_UNHELD] = PL_NONE,
	[EV_RETRIED] = PL_NONE,
	[EV_CANCELLED] = PL_CANCELLED,
	[EV_EXPIRED] = PL_EXPIRED,
};

const char *
idq_event_name(enum event e)
{
	return events[e];
}

static int
parse_to(const char *s, enum place *to)
{
	static const enum place allowed[] = { PL_NEW, PL_WAIT, PL_HOLD,
	    PL_FAILED };

	for (size_t i = 0; i < NITEMS(allowed); i++)
		if (strcmp(s, idq_place_dir(allowed[i])) == 0) {
			*to = allowed[i];
			return 0;
		}
	return -1;
}

static int
parse_release(const char *s, int64_t *t)
{
	if (strcmp(s, "never") == 0) {
		*t = IDQ_FOREVER;
		return 0;
	}
	return idq_stamp_parse(s, strlen(s), t);
}

static int
parse_field(char *field, struct line *l)
{
	char *value = strchr(field, '=');
	enum place elsewhere;

	if (value == NULL || value == field)
		return -1;
	*value++ = '\0';
	if (strcmp(field, "to") == 0)
		return parse_to(value, leads[l->event] == PL_NONE ? &l->to :
		    &elsewhere);
	if (strcmp(field, "next") == 0)
		return idq_stamp_parse(value, strlen(value), &l->next);
	if (strcmp(field, "lease") == 0)
		return idq_stamp_parse(value, strlen(value), &l->lease);
	if (strcmp(field, "release") == 0)
		return parse_release(value, &l->release);
	if (*l->detail != '\0')
		strlcat(l->detail, " ", sizeof(l->detail));
	strlcat(l->detail, field, sizeof(l->detail));
	strlcat(l->detail, "=", sizeof(l->detail));
	strlcat(l->detail, value, sizeof(l->detail));
	return 0;
}

static int
parse_event(const char *s, struct line *l)
{
	if (s == NULL)
		return -1;
	for (int e = 0; e < EV_N; e++)
		if (strcmp(s, events[e]) == 0) {
			l->event = (enum event)e;
			l->to = leads[e];
			return 0;
		}
	return -1;
}

static int
parse_n(const char *s, struct line *l)
{
	const char *err;

	if (s == NULL || *s < '0' || *s > '9')
		return -1;
	l->n = (uint32_t)strtonum(s, 0, UINT32_MAX, &err);
	return err == NULL ? 0 : -1;
}

/* S has LEN bytes and no newline.  -1: it does not count. */
int
idq_line_parse(const char *s, size_t len, struct line *l)
{
	char buf[LINE_SIZE], *rest = buf, *word;

	if (len >= sizeof(buf) || memchr(s, '\0', len) != NULL)
		return -1;
	memcpy(buf, s, len);
	buf[len] = '\0';
	memset(l, 0, sizeof(*l));
	word = strsep(&rest, " ");
	if (idq_stamp_parse(word, strlen(word), &l->at) == -1 ||
	    parse_event(strsep(&rest, " "), l) == -1 ||
	    parse_n(strsep(&rest, " "), l) == -1)
		return -1;
	while ((word = strsep(&rest, " ")) != NULL)
		if (parse_field(word, l) == -1)
			return -1;
	if (l->to == PL_NONE)
		return -1;
	if ((l->to == PL_NEW || l->to == PL_WAIT) && l->next == 0)
		return -1;
	return 0;
}

static size_t
put_time(char *buf, size_t len, const char *name, int64_t t)
{
	char stamp[STAMP_SIZE];

	if (t == 0)
		return 0;
	return (size_t)snprintf(buf, len, " %s=%s", name,
	    t == IDQ_FOREVER ? "never" : idq_stamp(t, stamp));
}

/* Everything after the number. */
static void
format_fields(const struct line *l, char *buf, size_t len)
{
	size_t n = 0;

	buf[0] = '\0';
	if (*l->detail != '\0')
		n += (size_t)snprintf(buf, len, " %s", l->detail);
	if (leads[l->event] == PL_NONE)
		n += (size_t)snprintf(buf + n, len - n, " to=%s",
		    idq_place_dir(l->to));
	n += put_time(buf + n, len - n, "lease", l->lease);
	n += put_time(buf + n, len - n, "next", l->next);
	put_time(buf + n, len - n, "release", l->release);
}

size_t
idq_line_format(const struct line *l, char *buf, size_t len)
{
	char stamp[STAMP_SIZE], rest[LINE_SIZE - 64];

	format_fields(l, rest, sizeof(rest));
	return (size_t)snprintf(buf, len, "%s %s %" PRIu32 "%s\n",
	    idq_stamp(l->at, stamp), events[l->event], l->n, rest);
}

/* Take a line that counts into what the job knows of itself. */
static int
apply(struct job *j, const struct line *l, const char *text, size_t len)
{
	struct idq_job *p = &j->pub;
	char *last = strndup(text, len);

	if (last == NULL)
		return -1;
	free(p->last);
	p->last = last;
	j->line = *l;
	j->started = true;
	if (l->event != EV_RENEWED)
		p->since = l->at;
	p->release = l->release;
	if (l->next != 0)
		p->due = l->next;
	if (l->event == EV_CLAIMED) {
		p->claims++;
		p->attempts++;
	} else if ((l->event == EV_LATER || l->event == EV_RELEASED) &&
	    p->attempts > 0)
		p->attempts--;
	else if (l->event == EV_RETRIED)
		p->attempts = 0;
	p->lease = l->lease;
	return 0;
}

static int
line_seen(struct job *j, const char *s, size_t len, int64_t end)
{
	struct line l;

	if (idq_line_parse(s, len, &l) == -1)
		return 0;
	j->end = end;
	return apply(j, &l, s, len);
}

/* The lines in BUF; the bytes of them, -1 for no memory. */
static ssize_t
scan(struct job *j, const char *buf, size_t len, int64_t at)
{
	const char *s = buf, *nl;

	while ((nl = memchr(s, '\n', len - (size_t)(s - buf))) != NULL) {
		if (line_seen(j, s, (size_t)(nl - s), at + (nl + 1 - buf)) ==
		    -1)
			return -1;
		s = nl + 1;
	}
	return s - buf;
}

/* The rest of a line that was too long to be one. */
static ssize_t
skip(const char *buf, size_t len)
{
	const char *nl = memchr(buf, '\n', len);

	return nl != NULL ? nl + 1 - buf : 0;
}

int
idq_trail_load(struct idq *q, struct job *j)
{
	struct idq_job *p = &j->pub;
	int64_t at = p->body + p->length + 1;
	char buf[8 * LINE_SIZE];
	bool junk = false;		/* a line longer than the buffer */
	ssize_t n = 0, used = 0;

	j->end = at;
	j->started = false;
	p->since = p->added;
	while (at < j->size &&
	    (n = pread(j->fd, buf, sizeof(buf), at)) > 0) {
		used = junk ? skip(buf, (size_t)n) :
		    scan(j, buf, (size_t)n, at);
		if (used == -1)
			break;
		/* Without a newline: a torn end, or junk to be passed over. */
		if (used == 0 && n < (ssize_t)sizeof(buf))
			break;
		junk = used == 0;
		at += junk ? n : used;
	}
	if (n == -1 || (n > 0 && used == -1))
		return idq_errno(q, "%s/%s", q->path, p->path);
	idq_job_state(j, idq_now());
	return 0;
}

void
idq_job_state(struct job *j, int64_t now)
{
	static const enum idq_state states[PL_NSTATES] = {
		[PL_NEW] = IDQ_PENDING, [PL_WAIT] = IDQ_WAITING,
		[PL_PACED] = IDQ_PENDING,
		[PL_CUR] = IDQ_RUNNING, [PL_HOLD] = IDQ_HELD,
		[PL_FAILED] = IDQ_FAILED, [PL_DONE] = IDQ_DONE,
		[PL_CANCELLED] = IDQ_CANCELLED, [PL_EXPIRED] = IDQ_EXPIRED
	};
	enum place to = j->started ? j->line.to : PL_NEW;

	if (to == PL_NEW || to == PL_WAIT)
		to = j->pub.run ? PL_FAILED :
		    j->pub.due > now ? PL_WAIT : PL_NEW;
	j->pub.state = states[to];
}

bool
idq_is_over(const struct job *j)
{
	return j->started && (j->line.to == PL_FAILED ||
	    j->line.to == PL_DONE || j->line.to == PL_CANCELLED ||
	    j->line.to == PL_EXPIRED);
}

/*
 * A torn end is cut off first: appended to, it would make one line of two.
 */
int
idq_trail_append(struct idq *q, struct job *j, const struct line *l)
{
	char buf[LINE_SIZE];
	size_t len = idq_line_format(l, buf, sizeof(buf));

	if (j->size != j->end && ftruncate(j->fd, j->end) == -1)
		return idq_errno(q, "%s/%s", q->path, j->pub.path);
	j->size = j->end;
	if (idq_write_all(j->fd, buf, len) == -1) {
		idq_errno(q, "%s/%s", q->path, j->pub.path);
		/* What was written of it is torn and does not count. */
		if (ftruncate(j->fd, j->end) == -1)
			j->size = -1;
		return -1;
	}
	j->end += (int64_t)len;
	j->size = j->end;
	if (apply(j, l, buf, len - 1) == -1)
		return idq_errno(q, "%s/%s", q->path, j->pub.path);
	idq_job_state(j, l->at);
	return 0;
}

int
idq_trail(struct idq *q, const struct idq_job *p,
    void (*line)(void *, const char *), void *arg)
{
	const struct job *j = (const struct job *)p;
	int64_t at = p->body + p->length + 1;
	size_t len = j->end > at ? (size_t)(j->end - at) : 0;
	char *buf = malloc(len + 1), *s = buf, *nl;
	struct line l;
	ssize_t n;

	if (buf == NULL || (n = pread(j->fd, buf, len, at)) == -1) {
		free(buf);
		return idq_errno(q, "%s/%s", q->path, p->path);
	}
	for (; (nl = memchr(s, '\n', (size_t)(buf + n - s))) != NULL;
	    s = nl + 1) {
		*nl = '\0';
		if (idq_line_parse(s, (size_t)(nl - s), &l) == 0)
			line(arg, s);
	}
	free(buf);
	return 0;
}
