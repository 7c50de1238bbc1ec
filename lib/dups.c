/* SPDX-License-Identifier: ISC */
/*
 * Suppressed duplicates: lines of one length, so that the size counts them.
 */
#include <fcntl.h>
#include <unistd.h>

#include "idq_impl.h"

int
idq_dups_add(struct idq *q, const char *hash, const char *id, int64_t now)
{
	char path[PATH_SIZE], line[STAMP_SIZE];
	const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
	    O_NOFOLLOW | O_NONBLOCK;
	int fd, err, r = 0;

	idq_dups_path(hash, id, path);
	fd = openat(q->fd, path, flags, q->fmode);
	if (fd == -1 && errno == ENOENT && idq_mkdir_for(q, path) == 0)
		fd = openat(q->fd, path, flags, q->fmode);
	if (fd == -1)
		return idq_errno(q, "%s/%s", q->path, path);
	idq_stamp(now, line);
	line[IDQ_STAMP_LEN] = '\n';
	if (write(fd, line, DUP_LEN) != DUP_LEN)
		r = -1;
	err = errno;
	close(fd);
	errno = err;
	return r == 0 ? 0 : idq_errno(q, "%s/%s", q->path, path);
}

/* Open for reading: 1, 0 if there is none, -1. */
static int
open_dups(struct idq *q, const char *hash, const char *id, int *fd,
    uint64_t *count)
{
	char path[PATH_SIZE];
	struct stat st;

	*count = 0;
	idq_dups_path(hash, id, path);
	*fd = openat(q->fd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK);
	if (*fd == -1)
		return errno == ENOENT ? 0 :
		    idq_errno(q, "%s/%s", q->path, path);
	if (fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
		*count = (uint64_t)st.st_size / DUP_LEN;
	return 1;
}

/* The stamp of line I, or 0. */
static int64_t
read_dup(int fd, uint64_t i)
{
	char line[IDQ_STAMP_LEN];
	int64_t at;

	if (pread(fd, line, sizeof(line), (off_t)(i * DUP_LEN)) !=
	    sizeof(line) || idq_stamp_parse(line, sizeof(line), &at) == -1)
		return 0;
	return at;
}

int
idq_dups_count(struct idq *q, const char *hash, const char *id,
    uint64_t *count, int64_t *last)
{
	int fd, r;

	*last = 0;
	if ((r = open_dups(q, hash, id, &fd, count)) != 1)
		return r;
	if (*count > 0)
		*last = read_dup(fd, *count - 1);
	close(fd);
	return 0;
}

int
idq_dups_each(struct idq *q, const struct idq_job *p,
    void (*each)(void *, int64_t), void *arg)
{
	uint64_t count;
	int64_t at;
	int fd, r;

	if ((r = open_dups(q, p->hash, p->id, &fd, &count)) != 1)
		return r;
	for (uint64_t i = 0; i < count; i++)
		if ((at = read_dup(fd, i)) != 0)
			each(arg, at);
	close(fd);
	return 0;
}

int
idq_dups(struct idq *q, const struct idq_job *p, uint64_t *count,
    int64_t *last)
{
	return idq_dups_count(q, p->hash, p->id, count, last);
}
