/* SPDX-License-Identifier: ISC */
/*
 * Many jobs for one command: a line of its standard input for each, and lines
 * of its standard output with what the exit status for each would be.  Both are
 * files, so that no pipe has to be fed while it runs.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define NO_ANSWER	(-1)
#define STATUS(n)	((n) << 8)	/* as wait(2) has it */
#define ANSWER_SIZE	32		/* holds any answer */

void
idq_batch_free(struct batch *b)
{
	if (b->answers != -1)
		close(b->answers);
	free(b->of);
	*b = (struct batch)BATCH_INIT;
}

int
idq_batch_add(struct batch *b, struct child *c)
{
	struct child **more = reallocarray(b->of, b->n + 1, sizeof(void *));
	int fd;

	if (more == NULL)
		return -1;
	b->of = more;
	if ((fd = fcntl(c->job.fd, F_DUPFD_CLOEXEC, LOCK_FD)) == -1)
		return -1;
	close(c->job.fd);
	c->job.fd = fd;
	c->keeper.fd = -1;
	c->pids.command = 0;
	c->said[0] = '\0';
	strlcpy(c->hash, c->job.pub.hash, sizeof(c->hash));
	strlcpy(c->id, c->job.pub.id, sizeof(c->id));
	c->claims = c->job.pub.claims;
	c->status = NO_ANSWER;
	b->of[b->n++] = c;
	return 0;
}

static size_t
find_late(const struct batch *b)
{
	int64_t now = idq_now();
	size_t i = 0;

	while (i < b->n && !idq_is_expired(&b->of[i]->job, now))
		i++;
	return i;
}

struct child *
idq_batch_late(struct batch *b)
{
	size_t i = find_late(b);
	struct child *c;

	if (i == b->n)
		return NULL;
	c = b->of[i];
	b->n--;
	for (; i < b->n; i++)
		b->of[i] = b->of[i + 1];
	return c;
}

/* A job that cannot be put fails as if its command could not be executed. */
static int
put_all(struct idq *q, struct batch *b, const struct idq_work *opt, int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *f = copy != -1 ? fdopen(copy, "w") : NULL;
	int bad;

	if (f == NULL) {
		if (copy != -1)
			close(copy);
		return -1;
	}
	for (size_t i = 0; i < b->n; i++) {
		struct child *c = b->of[i];
		const char *why;

		/* What could not be put before is not tried again. */
		if (c->status != NO_ANSWER ||
		    (why = opt->put(opt->arg, q, &c->job.pub, f)) == NULL)
			continue;
		idq_notice(q, "%s: %s", c->job.pub.key, why);
		c->status = STATUS(126);
	}
	bad = ferror(f);
	if (fclose(f) != 0 || bad)
		return -1;
	return lseek(fd, 0, SEEK_SET) == -1 ? -1 : 0;
}

int
idq_batch_start(struct idq *q, struct child *c, struct batch *b,
    const struct idq_work *opt, const struct start *s)
{
	struct start all = *s;
	int64_t length = 0;
	int fds[3] = { -1, -1, -1 }, r = -1;

	all.locks = b->of;
	all.nlocks = b->n;
	for (size_t i = 0; i < b->n; i++)
		length += b->of[i]->job.pub.length;
	/* What a command may print is not for memory. */
	if ((fds[0] = idq_nameless(q, length)) == -1 ||
	    put_all(q, b, opt, fds[0]) == -1 ||
	    (fds[1] = idq_nameless(q, INT64_MAX)) == -1 ||
	    fcntl(fds[1], F_SETFL, O_APPEND) == -1) {
		idq_errno(q, "%s/tmp", q->path);
		q->code = EX_TEMPFAIL;
	} else if (find_late(b) < b->n)
		r = 0;			/* many payloads take their time */
	else if (idq_child_start_many(q, c, &all, fds) == 0)
		r = 1;
	if (fds[0] != -1)
		close(fds[0]);
	if (r == 1)
		b->answers = fds[1];
	else if (fds[1] != -1)
		close(fds[1]);
	return r;
}

/* Whether LINE is the first answer for a job; they most often are in order. */
static bool
take(struct batch *b, const char *line, size_t *at)
{
	char *end;
	long n;

	if (strspn(line, "0123456789abcdef") != IDQ_ID_LEN ||
	    line[IDQ_ID_LEN] != '\t')
		return false;
	n = strtol(line + IDQ_ID_LEN + 1, &end, 10);
	if (line[IDQ_ID_LEN + 1] < '0' || line[IDQ_ID_LEN + 1] > '9' ||
	    *end != '\n' || n > 255)
		return false;
	for (size_t i = 0; i < b->n; i++) {
		struct child *c = b->of[(*at + i) % b->n];

		if (strncmp(c->id, line, IDQ_ID_LEN) != 0)
			continue;
		*at += i + 1;
		if (c->status != NO_ANSWER)
			return false;
		c->status = STATUS((int)n);
		return true;
	}
	return false;
}

/* The next line of F, or how a longer one begins.  A NUL ends no line. */
static bool
next_line(FILE *f, char line[ANSWER_SIZE])
{
	size_t n = 0;
	int ch = 0;

	while (ch != '\n' && (ch = getc(f)) != EOF)
		if (n < ANSWER_SIZE - 1)
			line[n++] = (char)ch;
	line[n] = '\0';
	return n > 0;
}

/* How many lines of F are no answers. */
static unsigned int
read_answers(struct batch *b, FILE *f)
{
	unsigned int odd = 0;
	char line[ANSWER_SIZE] = "";
	size_t at = 0;

	while (next_line(f, line))
		if (!take(b, line, &at))
			odd++;
	return odd;
}

void
idq_batch_ended(struct idq *q, const struct child *of, struct batch *b)
{
	FILE *f = lseek(b->answers, 0, SEEK_SET) == 0 ?
	    fdopen(b->answers, "r") : NULL;
	bool silent = of->status == STATUS(IDQ_EXIT_DONE);
	unsigned int odd;

	if (f != NULL) {
		b->answers = -1;
		if ((odd = read_answers(b, f)) > 0)
			idq_notice(q, "%s: %u lines of a command's output are "
			    "no answers", q->path, odd);
		fclose(f);
	}
	for (size_t i = 0; i < b->n; i++) {
		struct child *c = b->of[i];

		c->why = WHY_NONE;
		if (c->status != NO_ANSWER)
			continue;
		/* That it succeeded is no answer. */
		c->status = silent ? STATUS(1) : of->status;
		c->why = silent && of->why == WHY_NONE ? WHY_SILENT : of->why;
	}
}
