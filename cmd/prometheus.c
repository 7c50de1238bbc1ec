/* SPDX-License-Identifier: ISC */
/*
 * Figures for Prometheus, in its text format.  All samples of a metric stand
 * together, below one HELP and one TYPE line.  Times are times, not ages, so
 * that they are right however old the file is.
 */
#include <sys/stat.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

struct page {
	FILE			*f;
	const struct queue_stats *v;
	size_t			 n;
};

/* All are gauges: none of the figures can only grow. */
static void
head(struct page *p, const char *name, const char *help)
{
	fprintf(p->f, "# HELP %s %s\n# TYPE %s gauge\n", name, help, name);
}

static void
label_value(FILE *f, const char *s)
{
	json_t *text = json_text(s);		/* as UTF-8 */

	if (text == NULL)
		exit(complain_memory());
	for (s = json_string_value(text); *s != '\0'; s++)
		if (*s == '\n')
			fputs("\\n", f);
		else if (*s == '\\' || *s == '"')
			fprintf(f, "\\%c", *s);
		else
			putc(*s, f);
	json_decref(text);
}

/* The name and the queue, open for more labels. */
static void
begin(struct page *p, const char *name, const struct queue_stats *s)
{
	fprintf(p->f, "%s{queue=\"", name);
	label_value(p->f, s->queue);
	putc('"', p->f);
}

static void
jobs(struct page *p)
{
	head(p, "idq_jobs",
	    "Jobs by state, finished ones until they are purged.");
	for (size_t i = 0; i < p->n; i++)
		for (int state = 0; p->v[i].readable && state < IDQ_NSTATES;
		    state++) {
			begin(p, "idq_jobs", &p->v[i]);
			fprintf(p->f, ",state=\"%s\"} %" PRIu64 "\n",
			    idq_state_name((enum idq_state)state),
			    p->v[i].jobs.n[state]);
		}
}

static void
events(struct page *p)
{
	static const char *const spans[IDQ_NSPANS] = { "1m", "1h", "1d" };
	static const char *const names[IDQ_NHAPPENED] = { "added", "started",
	    "finished", "attempt_failed" };
	static const char name[] = "idq_recent_events";

	head(p, name, "What happened in the window before, from the log.");
	for (size_t i = 0; i < p->n; i++)
		for (size_t j = 0; p->v[i].readable &&
		    j < IDQ_NSPANS * IDQ_NHAPPENED; j++) {
			begin(p, name, &p->v[i]);
			fprintf(p->f, ",event=\"%s\",window=\"%s\"} %" PRIu64
			    "\n", names[j / IDQ_NSPANS], spans[j % IDQ_NSPANS],
			    p->v[i].act.n[j % IDQ_NSPANS][j / IDQ_NSPANS]);
		}
}

/* A time that is not known has no sample. */
static void
times(struct page *p, const char *name, const char *help,
    int64_t (*get)(const struct queue_stats *))
{
	bool headed = false;
	int64_t t;

	for (size_t i = 0; i < p->n; i++) {
		if (!p->v[i].readable || (t = get(&p->v[i])) == 0)
			continue;
		if (!headed)
			head(p, name, help);
		headed = true;
		begin(p, name, &p->v[i]);
		fprintf(p->f, "} %" PRId64 ".%06" PRId64 "\n",
		    t / IDQ_SECOND, t % IDQ_SECOND);
	}
}

static int64_t
oldest_pending(const struct queue_stats *s)
{
	return s->jobs.oldest[IDQ_PENDING];
}

static int64_t
oldest_running(const struct queue_stats *s)
{
	return s->jobs.oldest[IDQ_RUNNING];
}

static int64_t
next_due(const struct queue_stats *s)
{
	return s->jobs.next;
}

static int64_t
last_start(const struct queue_stats *s)
{
	return s->act.start;
}

static int64_t
last_finish(const struct queue_stats *s)
{
	return s->act.finish;
}

static int64_t
last_worker(const struct queue_stats *s)
{
	return s->act.worker;
}

static void
all_times(struct page *p)
{
	times(p, "idq_oldest_pending_timestamp_seconds",
	    "Due time of the job that is pending longest.", oldest_pending);
	times(p, "idq_oldest_running_timestamp_seconds",
	    "Start of the job that runs longest.", oldest_running);
	times(p, "idq_next_due_timestamp_seconds",
	    "When the next waiting job is due.", next_due);
	times(p, "idq_last_start_timestamp_seconds",
	    "When a job was last started.", last_start);
	times(p, "idq_last_finish_timestamp_seconds",
	    "When a job was last done or failed for good.", last_finish);
	times(p, "idq_last_worker_timestamp_seconds",
	    "When a worker or a claim was last here.", last_worker);
}

static void
number(struct page *p, const char *name, const char *help, bool always,
    uint64_t (*get)(const struct queue_stats *))
{
	head(p, name, help);
	for (size_t i = 0; i < p->n; i++) {
		if (!always && !p->v[i].readable)
			continue;
		begin(p, name, &p->v[i]);
		fprintf(p->f, "} %" PRIu64 "\n", get(&p->v[i]));
	}
}

static uint64_t
duplicates(const struct queue_stats *s)
{
	return s->dups;
}

static uint64_t
paused(const struct queue_stats *s)
{
	return s->is_paused;
}

static uint64_t
readable(const struct queue_stats *s)
{
	return s->readable;
}

static void
write_page(struct page *p)
{
	number(p, "idq_readable", "Whether the queue could be read.", true,
	    readable);
	jobs(p);
	all_times(p);
	events(p);
	number(p, "idq_duplicates",
	    "Suppressed duplicates of the jobs that are still known.", false,
	    duplicates);
	number(p, "idq_paused", "Whether the queue is paused.", false, paused);
}

/* -1 with errno. */
static int
write_file(struct page *p, int fd)
{
	bool failed;

	/* Our umask is 0; whoever collects it may be another user. */
	if (fchmod(fd, 0644) == -1 || (p->f = fdopen(fd, "w")) == NULL) {
		close(fd);
		return -1;
	}
	write_page(p);
	failed = fflush(p->f) == EOF || ferror(p->f);
	return fclose(p->f) == EOF || failed ? -1 : 0;
}

/* Under another name first: a collector must not see half of it. */
static int
replace_file(struct page *p, const char *file)
{
	char *tmp;
	int fd, err;

	if (asprintf(&tmp, "%s.XXXXXX", file) == -1)
		return complain_memory();
	if ((fd = mkstemp(tmp)) == -1) {
		complain("-o %s: %s", file, strerror(errno));
		free(tmp);
		return EX_CANTCREAT;
	}
	if (write_file(p, fd) == 0 && rename(tmp, file) == 0) {
		free(tmp);
		return 0;
	}
	err = errno;
	unlink(tmp);
	free(tmp);
	complain("-o %s: %s", file, strerror(err));
	return EX_IOERR;
}

int
prometheus(const struct queue_stats *v, size_t n, const char *file)
{
	struct page p = { .f = stdout, .v = v, .n = n };

	if (file != NULL)
		return replace_file(&p, file);
	write_page(&p);
	return 0;
}
