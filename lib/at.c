/* SPDX-License-Identifier: ISC */
/*
 * The calls that take a path in the queue.  Where others could put something
 * into it, no symbolic link and no mount on the way is followed; in a queue of
 * one's own that would only cost time.  The last part of a path is never
 * followed.
 *
 * A client of NFS knows what is in a directory, and what is not, for up to a
 * minute after another one has changed it.  To open the directory makes it ask.
 */
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define DIR_FLAGS	(O_DIRECTORY | O_CLOEXEC)

/* A name and the folder that it is in. */
struct at {
	int		 dir;
	const char	*name;
};

/* For a kernel, or a container, without openat2(2): one part at a time. */
static int
walk_dir(int top, char *dir, int flags)
{
	int fd = top, next, err;
	struct stat st, first;
	char *part;

	while ((part = strsep(&dir, "/")) != NULL) {
		next = openat(fd, part, flags | O_NOFOLLOW);
		err = errno == ENOTDIR ? ELOOP : errno;
		if (fd != top)
			close(fd);
		if (next == -1) {
			errno = err;
			return -1;
		}
		fd = next;
	}
	if (fstat(top, &first) == 0 && fstat(fd, &st) == 0 &&
	    first.st_dev == st.st_dev)
		return fd;
	close(fd);
	errno = EXDEV;
	return -1;
}

static int
open_dir(int top, char *dir, int flags)
{
	struct open_how how = { .flags = (uint64_t)flags, .resolve =
	    RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };
	long fd = syscall(SYS_openat2, top, dir, &how, sizeof(how));

	if (fd == -1 && (errno == ENOSYS || errno == EPERM))
		return walk_dir(top, dir, flags);
	return (int)fd;
}

static int
begin(struct idq *q, const char *path, struct at *a)
{
	const int flags = DIR_FLAGS | (q->remote ? O_RDONLY : O_PATH);
	const char *slash = strrchr(path, '/');
	char dir[PATH_SIZE + 256] = ".";

	a->dir = q->fd;
	a->name = path;
	if (!q->remote && (!q->careful || slash == NULL))
		return 0;
	if (slash != NULL) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
		a->name = slash + 1;
	}
	a->dir = q->careful ? open_dir(q->fd, dir, flags) :
	    openat(q->fd, dir, flags);
	return a->dir == -1 ? -1 : 0;
}

static int
end(struct idq *q, struct at *a, int r)
{
	int err = errno;

	if (a->dir != q->fd)
		close(a->dir);
	errno = err;
	return r;
}

/* What we might have made must be a file: a pipe or a device takes no lines. */
static int
check_file(int fd, struct stat *st)
{
	int err = EINVAL;

	if (fstat(fd, st) == -1)
		err = errno;
	else if (S_ISREG(st->st_mode))
		return fd;
	close(fd);
	errno = err;
	return -1;
}

int
idq_at_open_end(struct idq *q, const char *path, struct stat *st)
{
	struct at a;
	int fd;

	if (begin(q, path, &a) == -1)
		return -1;
	fd = openat(a.dir, a.name, O_RDWR | O_APPEND | O_CREAT | O_NONBLOCK |
	    O_NOFOLLOW | O_CLOEXEC, q->fmode);
	if (fd != -1)
		fd = check_file(fd, st);
	return end(q, &a, fd);
}

int
idq_at_open(struct idq *q, const char *path, int flags)
{
	struct stat st;
	struct at a;
	int fd;

	if (begin(q, path, &a) == -1)
		return -1;
	fd = openat(a.dir, a.name, flags | O_NOFOLLOW | O_CLOEXEC, q->fmode);
	if (fd != -1 && (flags & (O_CREAT | O_EXCL)) == O_CREAT)
		fd = check_file(fd, &st);
	return end(q, &a, fd);
}

int
idq_at_stat(struct idq *q, const char *path, struct stat *st)
{
	struct at a;

	if (begin(q, path, &a) == -1)
		return -1;
	return end(q, &a, fstatat(a.dir, a.name, st, AT_SYMLINK_NOFOLLOW));
}

bool
idq_at_exists(struct idq *q, const char *path)
{
	struct at a;

	if (begin(q, path, &a) == -1)
		return false;
	return end(q, &a, faccessat(a.dir, a.name, F_OK,
	    AT_SYMLINK_NOFOLLOW)) == 0;
}

int
idq_at_mkdir(struct idq *q, const char *path)
{
	struct at a;

	if (begin(q, path, &a) == -1)
		return -1;
	return end(q, &a, mkdirat(a.dir, a.name, q->dmode));
}

int
idq_at_unlink(struct idq *q, const char *path, int flags)
{
	struct at a;

	if (begin(q, path, &a) == -1)
		return -1;
	return end(q, &a, unlinkat(a.dir, a.name, flags));
}

static int
both(struct idq *q, const char *from, const char *to,
    int (*call)(const struct at *, const struct at *))
{
	struct at a, b;

	if (begin(q, from, &a) == -1)
		return -1;
	if (begin(q, to, &b) == -1)
		return end(q, &a, -1);
	return end(q, &a, end(q, &b, call(&a, &b)));
}

static int
call_rename(const struct at *from, const struct at *to)
{
	return renameat(from->dir, from->name, to->dir, to->name);
}

static int
call_link(const struct at *from, const struct at *to)
{
	return linkat(from->dir, from->name, to->dir, to->name, 0);
}

int
idq_at_rename(struct idq *q, const char *from, const char *to)
{
	return both(q, from, to, call_rename);
}

int
idq_at_link(struct idq *q, const char *from, const char *to)
{
	return both(q, from, to, call_link);
}
