/* SPDX-License-Identifier: ISC */
/*
 * Stamps in run/: who was here last, and which warning was given when.  They
 * are hints, overwritten in place, and gone when somebody empties run/.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define WORKER		"run/worker"
#define TIMES		"run/times"	/* lines: first add, last start */
#define TIMES_SIZE	(2 * STAMP_SIZE)
#define FIRST_ADD	0		/* offsets in it */
#define LAST_START	STAMP_SIZE

static int
open_stamp(struct idq *q, const char *path)
{
	const int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK;
	int fd = idq_at_open(q, path, flags);

	if (fd == -1 && errno == ENOENT && idq_mkdir_for(q, path) == 0)
		fd = idq_at_open(q, path, flags);
	return fd;
}

/* Always of one length. */
static void
put_stamp(int fd, int64_t at, off_t where)
{
	char line[STAMP_SIZE];

	idq_stamp(at, line);
	line[IDQ_STAMP_LEN] = '\n';
	/* What is not written is not known. */
	if (pwrite(fd, line, sizeof(line), where) == -1)
		errno = 0;
}

static void
write_stamp(struct idq *q, const char *path, int64_t at, off_t where)
{
	int fd = open_stamp(q, path);

	if (fd == -1)
		return;
	put_stamp(fd, at, where);
	close(fd);
}

/* 0: none, or none that can be read. */
static int64_t
get_stamp(const char *s)
{
	int64_t at;

	return idq_stamp_parse(s, IDQ_STAMP_LEN, &at) == -1 ? 0 : at;
}

static int64_t
read_stamp(struct idq *q, const char *path)
{
	char buf[64];

	if (idq_read_small(q, path, buf, sizeof(buf)) < IDQ_STAMP_LEN)
		return 0;
	return get_stamp(buf);
}

void
idq_stamp_worker(struct idq *q)
{
	write_stamp(q, WORKER, idq_now(), 0);
}

int64_t
idq_last_worker(struct idq *q)
{
	return read_stamp(q, WORKER);
}

int
idq_alarm(struct idq *q, const char *name, int64_t every)
{
	char path[PATH_SIZE];
	int64_t now = idq_now(), last;

	snprintf(path, sizeof(path), "run/alarm-%s", name);
	last = read_stamp(q, path);
	if (last != 0 && last <= now && now - last < every)
		return 0;
	/* Where it cannot be noted, rather once too often than never. */
	write_stamp(q, path, now, 0);
	return 1;
}

void
idq_stamp_start(struct idq *q, int64_t now)
{
	write_stamp(q, TIMES, now, LAST_START);
}

/*
 * The first of the adds of which none has started yet; this one, at NOW, if
 * the last start came after all the others.
 */
int64_t
idq_stamp_add(struct idq *q, int64_t now)
{
	char buf[TIMES_SIZE] = "";
	int64_t first, start;
	int fd = open_stamp(q, TIMES);

	if (fd == -1)
		return now;
	if (pread(fd, buf, sizeof(buf), 0) == -1)
		buf[0] = '\0';
	first = get_stamp(buf + FIRST_ADD);
	start = get_stamp(buf + LAST_START);
	if (first == 0 || first <= start || first > now) {
		first = now;
		put_stamp(fd, now, FIRST_ADD);
	}
	close(fd);
	return first;
}

int64_t
idq_last_start(struct idq *q)
{
	char buf[TIMES_SIZE + 1] = "";

	if (idq_read_small(q, TIMES, buf, sizeof(buf)) < TIMES_SIZE)
		return 0;
	return get_stamp(buf + LAST_START);
}
