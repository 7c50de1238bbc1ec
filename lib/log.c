/* SPDX-License-Identifier: ISC */
/*
 * The queue's log: one write(2) a line, not synced, never a reason to fail.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define LOG_LINE	2048
#define JUNK_MAX	(64 * 1024 * 1024)	/* without the end of a line */

/* Those of the trail, and these. */
static const char *const more_events[] = { "added", "mismatch", "forgotten",
    "lost", "paused", "resumed", "purged" };

const char *
idq_log_event(size_t i)
{
	if (i < EV_N)
		return idq_event_name((enum event)i);
	i -= EV_N;
	return i < NITEMS(more_events) ? more_events[i] : NULL;
}

/* A writer that was killed, or a full disk, can leave half a line. */
static bool
is_torn(int fd, off_t size)
{
	char last;

	return size > 0 && pread(fd, &last, 1, size - 1) == 1 && last != '\n';
}

/* LINE begins with a newline, for a torn one before it. */
static void
put(struct idq *q, int64_t at, const char *line, size_t len)
{
	char stamp[STAMP_SIZE], path[PATH_SIZE];
	struct stat st = { 0 };
	int fd;

	idq_stamp(at, stamp);
	snprintf(path, sizeof(path), "log/%.10s.%s", stamp, q->host);
	fd = idq_at_open_end(q, path, &st);
	if (fd == -1 && errno == ENOENT && idq_mkdir_for(q, path) == 0)
		fd = idq_at_open_end(q, path, &st);
	if (fd == -1) {
		idq_notice(q, "%s/%s: %s", q->path, path, strerror(errno));
		return;
	}
	if (!is_torn(fd, st.st_size)) {
		line++;
		len--;
	}
	if (write(fd, line, len) != (ssize_t)len)
		idq_notice(q, "%s/%s: a line was not written", q->path, path);
	close(fd);
}

void
idq_log_write(struct idq *q, const struct idq_job *p, int64_t at,
    const char *event, uint32_t n, const char *detail)
{
	char line[LOG_LINE], stamp[STAMP_SIZE];
	int len;

	if (p != NULL)
		len = snprintf(line, sizeof(line),
		    "\n%s\t%s\t%s.%s.%" PRIu32 "\t%s\t%s\t%s\n",
		    idq_stamp(at, stamp), event, p->hash, p->id, n, detail,
		    p->group != NULL ? p->group : "", p->key);
	else
		len = snprintf(line, sizeof(line), "\n%s\t%s\t-\t%s\t\t\n",
		    idq_stamp(at, stamp), event, detail);
	put(q, at, line, (size_t)len);
}

void
idq_log_line(struct idq *q, const struct job *j)
{
	const char *detail = j->pub.last;

	/* stamp, event, number: they have columns of their own. */
	for (int i = 0; i < 3 && detail != NULL; i++)
		if ((detail = strchr(detail, ' ')) != NULL)
			detail++;
	idq_log_write(q, &j->pub, j->line.at, idq_event_name(j->line.event),
	    j->line.n, detail != NULL ? detail : "");
}

/* Split LINE at its tabs into an event; -1 if it is none. */
static int
parse(char *line, struct idq_event *e)
{
	struct name n;
	char *at = strsep(&line, "\t"), *ref;
	const char *err;

	e->name = strsep(&line, "\t");
	ref = strsep(&line, "\t");
	e->detail = strsep(&line, "\t");
	e->group = strsep(&line, "\t");
	e->key = line;
	/* A torn line and the one behind it are one of too many columns. */
	if (e->key == NULL || strchr(e->key, '\t') != NULL ||
	    idq_stamp_parse(at, strlen(at), &e->at) == -1)
		return -1;
	e->n = 0;
	e->hash = e->id = "";
	if (strcmp(ref, "-") == 0)
		return 0;
	if (strlen(ref) <= CUR_LEN + 1 || ref[CUR_LEN] != '.')
		return -1;
	ref[CUR_LEN] = '\0';
	if (idq_name_parse(PL_CUR, ref, &n) == -1)
		return -1;
	if (ref[CUR_LEN + 1] < '0' || ref[CUR_LEN + 1] > '9')
		return -1;
	e->n = (uint32_t)strtonum(ref + CUR_LEN + 1, 0, UINT32_MAX, &err);
	if (err != NULL)
		return -1;
	ref[IDQ_HASH_LEN] = '\0';
	e->hash = ref;
	e->id = ref + IDQ_HASH_LEN + 1;
	return 0;
}

static int
by_name(const void *a, const void *b)
{
	const struct logfile *x = a, *y = b;

	return strcmp(x->name, y->name);
}

void
idq_logfiles_free(struct logfiles *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->v[i].name);
	free(f->v);
	memset(f, 0, sizeof(*f));
}

static int
keep_file(struct logfiles *f, const char *name)
{
	struct logfile *more = reallocarray(f->v, f->n + 1, sizeof(*more));

	if (more == NULL)
		return -1;
	f->v = more;
	memset(&f->v[f->n], 0, sizeof(*f->v));
	if ((f->v[f->n].name = strdup(name)) == NULL)
		return -1;
	f->n++;
	return 0;
}

int
idq_logfiles_find(struct idq *q, int64_t since, struct logfiles *f)
{
	char stamp[STAMP_SIZE], day[DAY_LEN + 1];
	struct dirent *e;
	DIR *d;

	memset(f, 0, sizeof(*f));
	idq_stamp(since, stamp);
	if ((d = idq_opendir(q, "log")) == NULL)
		return errno == ENOENT ? 0 : idq_errno(q, "%s/log", q->path);
	while ((e = idq_readdir(d)) != NULL) {
		strlcpy(day, e->d_name, sizeof(day));
		if (!idq_is_day(day) || e->d_name[DAY_LEN] != '.' ||
		    strncmp(day, stamp, DAY_LEN) < 0)
			continue;
		if (keep_file(f, e->d_name) == -1)
			break;
	}
	if (e != NULL || errno != 0) {
		idq_errno(q, "%s/log", q->path);
		idq_logfiles_free(f);
		closedir(d);
		return -1;
	}
	closedir(d);
	if (f->n > 1)
		qsort(f->v, f->n, sizeof(*f->v), by_name);
	return 0;
}

static FILE *
open_log(struct idq *q, struct logfile *file)
{
	char path[PATH_SIZE + 256];
	struct stat st;
	FILE *f;
	int fd;

	snprintf(path, sizeof(path), "log/%s", file->name);
	fd = idq_at_open(q, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK);
	if (fd == -1 || fstat(fd, &st) == -1 || !S_ISREG(st.st_mode) ||
	    lseek(fd, file->off, SEEK_SET) == -1 ||
	    (f = fdopen(fd, "r")) == NULL) {
		idq_notice(q, "%s/%s: cannot be read; left alone", q->path,
		    path);
		file->bad = true;
		if (fd != -1)
			close(fd);
		return NULL;
	}
	return f;
}

/* One line ahead of each host's file, so that a day is in order of time. */
struct reader {
	struct idq	*q;
	FILE		*f;
	struct logfile	*file;
	off_t		 off;		/* behind the line */
	struct idq_event e;
	size_t		 len;		/* of the line, kept or not */
	char		 line[2 * LOG_LINE];
};

/*
 * How much was read up to the end of the next line; 0 at the end, and in a
 * file that is none of ours.  Of a line too long only its length is kept.
 */
static size_t
next_line(struct reader *r)
{
	size_t n = 0;
	int c;

	r->len = 0;
	while ((c = getc_unlocked(r->f)) != EOF) {
		n++;
		if (r->len < sizeof(r->line))
			r->line[r->len] = (char)c;
		/* A power cut can leave NULs before the next line. */
		r->len = c == '\0' ? 0 : r->len + 1;
		if (c == '\n')
			return n;
		if (n == JUNK_MAX) {
			idq_notice(r->q, "%s/log/%s: is not idq's; left alone",
			    r->q->path, r->file->name);
			r->file->bad = true;
			break;
		}
	}
	return 0;
}

/* Whoever calls this has no more need of the line at hand. */
static bool
advance(struct reader *r, int64_t since)
{
	size_t n;

	while (r->f != NULL && (n = next_line(r)) > 0) {
		r->file->off = r->off;
		r->off += (off_t)n;
		if (r->len > sizeof(r->line))
			continue;
		r->line[r->len - 1] = '\0';
		if (parse(r->line, &r->e) == 0 && r->e.at >= since)
			return true;
	}
	if (r->f != NULL) {
		r->file->off = r->off;
		fclose(r->f);
	}
	r->f = NULL;
	return false;
}

static struct reader *
earliest(struct reader *rs, size_t n)
{
	struct reader *best = NULL;

	for (size_t i = 0; i < n; i++)
		if (rs[i].f != NULL &&
		    (best == NULL || rs[i].e.at < best->e.at))
			best = &rs[i];
	return best;
}

/* The files of one day, N of them, merged; 1 if EACH stopped it. */
static int
read_day(struct idq *q, struct logfile *files, size_t n, int64_t since,
    int (*each)(void *, const struct idq_event *), void *arg)
{
	struct reader *rs = calloc(n > 0 ? n : 1, sizeof(*rs)), *next;
	int r = 0;

	if (rs == NULL)
		return idq_errno(q, "%s/log", q->path);
	for (size_t i = 0; i < n; i++) {
		if (files[i].skip || files[i].bad)
			continue;
		rs[i].q = q;
		rs[i].file = &files[i];
		rs[i].off = files[i].off;
		rs[i].f = open_log(q, &files[i]);
		advance(&rs[i], since);
	}
	while (r == 0 && (next = earliest(rs, n)) != NULL) {
		r = each(arg, &next->e) != 0;
		advance(next, since);
	}
	for (size_t i = 0; i < n; i++)
		if (rs[i].f != NULL)
			fclose(rs[i].f);
	free(rs);
	return r;
}

int
idq_logfiles_read(struct idq *q, struct logfiles *f, int64_t since,
    int (*each)(void *, const struct idq_event *), void *arg)
{
	size_t i, n;
	int r = 0;

	for (i = 0; r == 0 && i < f->n; i += n) {
		for (n = 1; i + n < f->n; n++)
			if (strncmp(f->v[i].name, f->v[i + n].name,
			    DAY_LEN) != 0)
				break;
		r = read_day(q, f->v + i, n, since, each, arg);
	}
	return r;
}

int
idq_log(struct idq *q, int64_t since,
    int (*each)(void *, const struct idq_event *), void *arg)
{
	struct logfiles f;
	int r;

	if (idq_logfiles_find(q, since, &f) == -1)
		return -1;
	r = idq_logfiles_read(q, &f, since, each, arg);
	idq_logfiles_free(&f);
	return r == -1 ? -1 : 0;
}

static int
keep_newest(void *arg, const struct idq_event *e)
{
	int64_t *at = arg;

	if (e->at > *at)
		*at = e->at;
	return 0;
}

int
idq_log_newest(struct idq *q, int64_t *at)
{
	struct logfiles f;
	size_t first;
	int r = 0;

	*at = 0;
	if (idq_logfiles_find(q, 0, &f) == -1)
		return -1;
	for (first = f.n; first > 0; first--)
		if (strncmp(f.v[first - 1].name, f.v[f.n - 1].name,
		    DAY_LEN) != 0)
			break;
	if (f.n > 0)
		r = read_day(q, f.v + first, f.n - first, 0, keep_newest, at);
	idq_logfiles_free(&f);
	return r == -1 ? -1 : *at != 0;
}
