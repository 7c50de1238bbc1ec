/* SPDX-License-Identifier: ISC */
/*
 * The oldest job of paced/GH/, whatever is in there.  What a scan of a large
 * folder has learned is kept in run/next.GH: its first names, the oldest last,
 * so that one is taken off by ftruncate(2).  The caller has the group locked.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define SMALL		64		/* names that are sooner read again */
#define LARGE		1024		/* names kept */
#define RECORD		(NEW_LEN + 1)

static void
cache_path(const char *group, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "run/next.%s", group);
}

/* Its descriptor and size in records; -1: none. */
static int
cache_open(struct idq *q, const char *group, off_t *n)
{
	char path[PATH_SIZE];
	struct stat st;
	int fd;

	cache_path(group, path);
	fd = openat(q->fd, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode)) {
		close(fd);
		return -1;
	}
	*n = st.st_size / (off_t)RECORD;
	return fd;
}

static void
cache_drop(struct idq *q, const char *group)
{
	char path[PATH_SIZE];

	cache_path(group, path);
	unlinkat(q->fd, path, 0);
}

/* Record I, if it is a name. */
static bool
cache_read(int fd, off_t i, char name[NEW_LEN + 1])
{
	struct name n;

	if (pread(fd, name, RECORD, i * (off_t)RECORD) != (ssize_t)RECORD ||
	    name[NEW_LEN] != '\n')
		return false;
	name[NEW_LEN] = '\0';
	return idq_name_parse(PL_PACED, name, &n) == 0;
}

/* The oldest that the cache knows and that is still there: 1, 0. */
static int
cache_first(struct idq *q, const char *group, char name[NEW_LEN + 1])
{
	char path[PATH_SIZE];
	bool found = false;
	off_t n;
	int fd = cache_open(q, group, &n);

	if (fd == -1)
		return 0;
	while (!found && n > 0 && cache_read(fd, n - 1, name)) {
		snprintf(path, sizeof(path), "paced/%s/%s", group, name);
		found = faccessat(q->fd, path, F_OK,
		    AT_SYMLINK_NOFOLLOW) == 0;
		if (!found && ftruncate(fd, --n * (off_t)RECORD) == -1)
			break;
	}
	close(fd);
	if (!found)
		cache_drop(q, group);
	return found;
}

/* Best effort: without it the folder is read again. */
static void
cache_write(struct idq *q, const char *group, const struct first *f)
{
	char path[PATH_SIZE], *text = malloc(f->n * RECORD), *s = text;
	int fd;

	if (text == NULL)
		return;
	for (size_t i = f->n; i > 0; i--, s += RECORD) {
		memcpy(s, f->names[i - 1], NEW_LEN);
		s[NEW_LEN] = '\n';
	}
	cache_path(group, path);
	fd = openat(q->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC |
	    O_NOFOLLOW | O_NONBLOCK, q->fmode);
	if (fd != -1) {
		if (idq_write_all(fd, text, f->n * RECORD) == -1)
			cache_drop(q, group);
		close(fd);
	}
	free(text);
}

/* The first names of the folder; none if there is no folder. */
static int
scan(struct idq *q, const char *group, struct first *f)
{
	char path[PATH_SIZE];
	struct dirent *e;
	struct name n;
	DIR *d;
	int err;

	snprintf(path, sizeof(path), "paced/%s", group);
	if ((d = idq_opendir(q, path)) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(q, "%s/%s", q->path, path);
	while ((e = idq_readdir(d)) != NULL)
		if (idq_name_parse(PL_PACED, e->d_name, &n) == 0)
			idq_first_add(f, e->d_name);
	err = errno;
	closedir(d);
	idq_first_end(f);
	errno = err;
	return err == 0 ? 0 : idq_errno(q, "%s/%s", q->path, path);
}

static bool
any(struct idq *q, const char *group)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "paced/%s", group);
	return faccessat(q->fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

int
idq_parked_first(struct idq *q, const char *group, char name[NEW_LEN + 1])
{
	struct first f;
	int r;

	if (!any(q, group))
		return 0;
	if (cache_first(q, group, name))
		return 1;
	if (idq_first_init(&f, LARGE) == -1)
		return idq_errno(q, "%s", q->path);
	r = scan(q, group, &f);
	if (r == 0 && f.n > 0) {
		strlcpy(name, f.names[0], NEW_LEN + 1);
		if (f.n > SMALL)
			cache_write(q, group, &f);
		r = 1;
	}
	idq_first_free(&f);
	return r;
}

void
idq_parked_drop(struct idq *q, const char *group, const char *name)
{
	char last[NEW_LEN + 1];
	off_t n;
	int fd = cache_open(q, group, &n);

	if (fd == -1)
		return;
	if (n > 0 && cache_read(fd, n - 1, last) && strcmp(last, name) == 0 &&
	    ftruncate(fd, (n - 1) * (off_t)RECORD) == -1)
		cache_drop(q, group);
	close(fd);
}

void
idq_parked_added(struct idq *q, const char *group, const char *name)
{
	char newest[NEW_LEN + 1];
	off_t n;
	int fd = cache_open(q, group, &n);

	if (fd == -1)
		return;
	/* Behind all that are known: the next scan will find it. */
	if (n == 0 || !cache_read(fd, 0, newest) || strcmp(name, newest) < 0)
		cache_drop(q, group);
	close(fd);
}
