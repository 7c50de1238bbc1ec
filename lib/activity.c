/* SPDX-License-Identifier: ISC */
/*
 * What happened lately, from the log.  Its lines are looked at where they lie:
 * a day's log may have millions.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define CHUNK		(64 * 1024)
#define JUNK_MAX	1024	/* chunks without the end of a line */
#define LOOK_BACK	(7 * IDQ_DAY)	/* for a last start or finish */

struct activity {
	struct idq		*q;
	struct idq_activity	*a;
	char			 now[STAMP_SIZE];
	char			 since[IDQ_NSPANS][STAMP_SIZE];
	char			 start[STAMP_SIZE];	/* the last of them */
	char			 finish[STAMP_SIZE];
};

/* Stamps are ordered as text. */
static void
later(char *last, const char *stamp)
{
	if (memcmp(stamp, last, IDQ_STAMP_LEN) > 0)
		memcpy(last, stamp, IDQ_STAMP_LEN);
}

static bool
is_event(const char *s, const char *end, const char *name)
{
	size_t len = strlen(name);

	return (size_t)(end - s) > len && memcmp(s, name, len) == 0 &&
	    s[len] == '\t';
}

/* Of the details, which are the fourth column; S is at the second. */
static bool
is_final(const char *s, const char *end)
{
	const char *tab = s, *to;

	for (int i = 0; i < 2 && tab != NULL; i++)
		if ((tab = memchr(tab, '\t', (size_t)(end - tab))) != NULL)
			tab++;
	if (tab == NULL)
		return false;
	to = memchr(tab, '\t', (size_t)(end - tab));
	return memmem(tab, (size_t)((to != NULL ? to : end) - tab),
	    "to=failed", 9) != NULL;
}

static void
add_one(struct activity *w, const char *stamp, size_t what)
{
	for (size_t i = 0; i < IDQ_NSPANS; i++)
		if (memcmp(stamp, w->since[i], IDQ_STAMP_LEN) >= 0)
			w->a->n[i][what]++;
}

/* The line from S up to END. */
static void
see_line(struct activity *w, const char *s, const char *end)
{
	const char *event = s + IDQ_STAMP_LEN + 1;

	if (end <= event || event[-1] != '\t' || s[IDQ_STAMP_LEN - 1] != 'Z' ||
	    memcmp(s, w->now, IDQ_STAMP_LEN) > 0)
		return;
	if (is_event(event, end, "added"))
		add_one(w, s, IDQ_ADDS);
	else if (is_event(event, end, "claimed")) {
		add_one(w, s, IDQ_STARTS);
		later(w->start, s);
	} else if (is_event(event, end, "done")) {
		add_one(w, s, IDQ_FINISHES);
		later(w->finish, s);
	} else if (is_event(event, end, "failed") ||
	    is_event(event, end, "interrupted")) {
		add_one(w, s, IDQ_FAILURES);
		if (!is_final(event, end))
			return;
		add_one(w, s, IDQ_FINISHES);
		later(w->finish, s);
	}
}

static int
see_file(struct activity *w, int dir, const char *name, char *buf)
{
	const char *s, *nl;
	struct stat st;
	size_t len = 0, junk = 0;
	ssize_t n = -1;
	int fd;

	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		idq_notice(w->q, "%s/log/%s: cannot be read; left alone",
		    w->q->path, name);
		if (fd != -1)
			close(fd);
		return 0;
	}
	while ((n = read(fd, buf + len, CHUNK - len)) > 0) {
		len += (size_t)n;
		for (s = buf; (nl = memchr(s, '\n', len - (size_t)(s - buf))) !=
		    NULL; s = nl + 1)
			see_line(w, s, nl);
		junk = s != buf ? 0 : junk;
		len -= (size_t)(s - buf);
		/* What is longer than that is no line of ours. */
		if (len == CHUNK) {
			len = 0;
			junk++;
		}
		if (junk == JUNK_MAX) {
			idq_notice(w->q, "%s/log/%s: is not idq's; left "
			    "alone", w->q->path, name);
			n = 0;
			break;
		}
		memmove(buf, s, len);
	}
	if (n == -1)
		idq_errno(w->q, "%s/log/%s", w->q->path, name);
	close(fd);
	return n == -1 ? -1 : 0;
}

/* The files of the days from FIRST up to, not including, the day of END. */
static int
see_days(struct activity *w, const char *first, const char *end)
{
	DIR *d = idq_opendir(w->q, "log");
	char *buf = malloc(CHUNK), day[DAY_LEN + 1];
	struct dirent *e;
	int r = 0;

	if (d == NULL || buf == NULL) {
		r = d == NULL && errno == ENOENT ? 0 :
		    idq_errno(w->q, "%s/log", w->q->path);
		goto done;
	}
	while (r == 0 && (e = idq_readdir(d)) != NULL) {
		strlcpy(day, e->d_name, sizeof(day));
		if (idq_is_day(day) && e->d_name[DAY_LEN] == '.' &&
		    memcmp(day, first, DAY_LEN) >= 0 &&
		    memcmp(day, end, DAY_LEN) < 0)
			r = see_file(w, dirfd(d), e->d_name, buf);
	}
	if (r == 0 && errno != 0)
		r = idq_errno(w->q, "%s/log", w->q->path);
done:
	if (d != NULL)
		closedir(d);
	free(buf);
	return r;
}

static int64_t
latest(const char *stamp, int64_t known)
{
	int64_t at;

	if (idq_stamp_parse(stamp, strlen(stamp), &at) == -1)
		return known;
	return at > known ? at : known;
}

int
idq_activity(struct idq *q, int64_t now, struct idq_activity *a)
{
	static const int64_t spans[IDQ_NSPANS] = { IDQ_MINUTE, IDQ_HOUR,
	    IDQ_DAY };
	struct activity w = { .q = q, .a = a };
	char first[STAMP_SIZE];

	memset(a, 0, sizeof(*a));
	idq_stamp(now, w.now);
	for (size_t i = 0; i < IDQ_NSPANS; i++)
		idq_stamp(now > spans[i] ? now - spans[i] : 0, w.since[i]);
	if (see_days(&w, w.since[IDQ_LAST_DAY], "9999-99-99") == -1)
		return -1;
	a->start = idq_last_start(q);
	a->worker = idq_last_worker(q);
	if (*w.finish == '\0' || (*w.start == '\0' && a->start == 0)) {
		idq_stamp(now > LOOK_BACK ? now - LOOK_BACK : 0, first);
		if (see_days(&w, first, w.since[IDQ_LAST_DAY]) == -1)
			return -1;
	}
	a->start = latest(w.start, a->start);
	a->finish = latest(w.finish, 0);
	return 0;
}
