/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define FIRST_CAP	(256 * 1024)
#define LINE_MAX_LEN	(64 * 1024 * 1024)

static int
make_room(struct input *in)
{
	size_t cap = in->cap == 0 ? FIRST_CAP : 2 * in->cap;
	char *more;

	if (in->start > 0) {
		memmove(in->buf, in->buf + in->start, in->end - in->start);
		in->end -= in->start;
		in->start = 0;
	}
	if (in->end < in->cap)
		return 0;
	if ((more = realloc(in->buf, cap)) == NULL)
		return -1;
	in->buf = more;
	in->cap = cap;
	return 0;
}

static int
fill(struct input *in)
{
	ssize_t n;

	if (in->end == in->cap && make_room(in) == -1)
		return -1;
	do
		n = read(in->fd, in->buf + in->end, in->cap - in->end);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return -1;
	in->eof = n == 0;
	in->end += (size_t)n;
	return 0;
}

/* The newline of the next line, looked for in what is new alone. */
static char *
newline(struct input *in)
{
	size_t at = in->start + in->seen, n = in->end - at;
	char *nl;

	if (n == 0 || (nl = memchr(in->buf + at, '\n', n)) == NULL) {
		in->seen += n;
		return NULL;
	}
	return nl;
}

static void
take(struct input *in, char **line, size_t *len, size_t n)
{
	*line = in->buf + in->start;
	*len = n;
	in->start += n;
	in->taken += (int64_t)n;
	if (in->start < in->end) {
		in->start++;
		in->taken++;
	}
	in->seen = 0;
	in->number++;
}

int
input_line(struct input *in, char **line, size_t *len)
{
	bool skipped = false;
	char *nl;

	while ((nl = newline(in)) == NULL && !in->eof) {
		if (in->seen > LINE_MAX_LEN) {
			in->taken += (int64_t)in->seen;
			in->start = in->end = in->seen = 0;
			skipped = true;
		}
		if (fill(in) == -1)
			return -1;
	}
	if (nl == NULL && in->start == in->end && !skipped)
		return 0;
	take(in, line, len, nl != NULL ?
	    (size_t)(nl - in->buf) - in->start : in->end - in->start);
	if (!skipped)
		return 1;
	errno = EMSGSIZE;
	return -1;
}

bool
input_ready(struct input *in, int ms)
{
	struct pollfd p = { .fd = in->fd, .events = POLLIN };

	while (newline(in) == NULL && !in->eof) {
		if (in->seen > LINE_MAX_LEN || poll(&p, 1, ms) != 1)
			return false;
		/* What is wrong is found again by the one who waits. */
		if (fill(in) == -1)
			return false;
	}
	return true;
}
