/* SPDX-License-Identifier: ISC */
/*
 * The beginning of many job files: group and deadline.
 *
 * What is not in memory is asked of the disk, and read once many others have
 * been asked for: 300,000 files that no cache has then take 10 s instead of 23.
 * Sorting them by inode gains nothing more.
 */
#include <sys/uio.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define PEEK_SIZE	2048		/* holds every Group */
#define ASKED_MAX	64		/* each has a descriptor */

struct peeker {
	struct idq	*q;
	int		(*each)(void *, const struct peek *);
	void		*arg;
	struct {
		int	fd;
		int64_t	due;
		char	path[PATH_SIZE];
	}		 asked[ASKED_MAX];
	size_t		 n;
};

struct peeker *
idq_peeker_new(struct idq *q, int (*each)(void *, const struct peek *),
    void *arg)
{
	struct peeker *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->q = q;
	p->each = each;
	p->arg = arg;
	return p;
}

void
idq_peeker_free(struct peeker *p)
{
	if (p == NULL)
		return;
	while (p->n > 0)
		close(p->asked[--p->n].fd);
	free(p);
}

static void
take_line(struct peek *k, const char *line, size_t len)
{
	if (len > 9 && memcmp(line, "Expires: ", 9) == 0)
		idq_stamp_parse(line + 9, len - 9, &k->expires);
	else if (len > 7 && memcmp(line, "Group: ", 7) == 0 &&
	    len - 7 <= IDQ_KEY_MAX) {
		memcpy(k->group, line + 7, len - 7);
		k->group[len - 7] = '\0';
	}
}

/* Up to the empty line, or what was read of the header. */
static void
take_lines(struct peek *k, const char *line, size_t len)
{
	const char *end;

	while ((end = memchr(line, '\n', len)) != NULL && end != line) {
		take_line(k, line, (size_t)(end - line));
		len -= (size_t)(end + 1 - line);
		line = end + 1;
	}
}

/* The N bytes of BUF, or -1 with errno. */
static int
take(struct peeker *p, const char *path, int64_t due, const char *buf,
    ssize_t n)
{
	struct peek k = { due, 0, "" };
	size_t magic = strlen(MAGIC);

	if (n == -1)
		idq_notice(p->q, "%s/%s: %s", p->q->path, path,
		    strerror(errno));
	else if ((size_t)n < magic || memcmp(buf, MAGIC, magic) != 0)
		idq_notice(p->q, "%s/%s: is no job; left alone", p->q->path,
		    path);
	else {
		take_lines(&k, buf + magic, (size_t)n - magic);
		return p->each(p->arg, &k);
	}
	return 0;
}

int
idq_peek_rest(struct peeker *p)
{
	char buf[PEEK_SIZE];
	int r = 0;

	for (size_t i = 0; i < p->n; i++) {
		int fd = p->asked[i].fd;

		if (r == 0)
			r = take(p, p->asked[i].path, p->asked[i].due, buf,
			    pread(fd, buf, sizeof(buf), 0));
		close(fd);
	}
	p->n = 0;
	return r;
}

/* Its access time stays, where that is for us to say. */
static int
open_to_read(struct idq *q, const char *path)
{
	const int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK |
	    O_NOCTTY;
	int fd = idq_at_open(q, path, flags | O_NOATIME);

	if (fd == -1 && errno == EPERM)
		fd = idq_at_open(q, path, flags);
	return fd;
}

static int
ask(struct peeker *p, const char *path, int64_t due, int fd)
{
	posix_fadvise(fd, 0, PEEK_SIZE, POSIX_FADV_WILLNEED);
	p->asked[p->n].fd = fd;
	p->asked[p->n].due = due;
	strlcpy(p->asked[p->n].path, path, sizeof(p->asked[p->n].path));
	return ++p->n < ASKED_MAX ? 0 : idq_peek_rest(p);
}

int
idq_peek(struct peeker *p, const char *path, int64_t due)
{
	char buf[PEEK_SIZE];
	struct iovec v = { buf, sizeof(buf) };
	int fd = open_to_read(p->q, path), r;
	ssize_t n;

	if (fd == -1 && errno == EMFILE && p->n > 0) {
		if ((r = idq_peek_rest(p)) != 0)
			return r;
		fd = open_to_read(p->q, path);
	}
	if (fd == -1)
		return errno == ENOENT ? 0 : take(p, path, due, buf, -1);
	n = preadv2(fd, &v, 1, 0, RWF_NOWAIT);
	if (n == -1 || (n > 0 && (size_t)n < strlen(MAGIC)))
		return ask(p, path, due, fd);
	r = take(p, path, due, buf, n);
	close(fd);
	return r;
}
