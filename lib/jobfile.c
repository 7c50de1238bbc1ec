/* SPDX-License-Identifier: ISC */
/*
 * The job file: its lock, what it is read into, and whether it is whole.
 */
#include <sys/file.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "idq_impl.h"

#define HEAD_SIZE	4096		/* holds most jobs whole */

static void
clear(struct job *j)
{
	struct idq_job *p = &j->pub;

	free(p->key);
	free(p->group);
	for (size_t i = 0; i < p->nargs; i++)
		free(p->args[i]);
	free(p->args);
	free(p->by);
	free(p->last);
	memset(p, 0, sizeof(*p));
}

int
idq_job_open(struct idq *q, const char *path, struct job *j)
{
	const int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	struct stat st;

	memset(j, 0, sizeof(*j));
	j->fd = idq_at_open(q, path, flags |
	    (q->writable ? O_RDWR | O_APPEND : O_RDONLY));
	/* A duplicate is one on a read-only file system, too. */
	if (j->fd == -1 && errno == EROFS)
		j->fd = idq_at_open(q, path, flags | O_RDONLY);
	if (j->fd == -1) {
		if (errno == ENOENT)
			return 0;
		if (errno == ELOOP || errno == EISDIR || errno == ENXIO)
			return idq_error(q, EX_SOFTWARE, "%s/%s: is no regular "
			    "file; left alone", q->path, path);
		return idq_errno(q, "%s/%s", q->path, path);
	}
	if (fstat(j->fd, &st) == -1) {
		idq_errno(q, "%s/%s", q->path, path);
		idq_job_close(j);
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		idq_job_close(j);
		return idq_error(q, EX_SOFTWARE, "%s/%s: is no regular file; "
		    "left alone", q->path, path);
	}
	j->dev = st.st_dev;
	j->ino = st.st_ino;
	j->size = st.st_size;
	j->sized = true;
	strlcpy(j->pub.path, path, sizeof(j->pub.path));
	return 1;
}

void
idq_job_unlock(struct job *j)
{
	if (j->fd != -1)
		flock(j->fd, LOCK_UN);
}

void
idq_job_close(struct job *j)
{
	if (j->fd != -1)
		close(j->fd);
	j->fd = -1;
	clear(j);
}

void
idq_job_free(struct idq_job *p)
{
	if (p == NULL)
		return;
	idq_job_close((struct job *)p);
	free(p);
}

int
idq_job_lock(struct idq *q, struct job *j, int64_t wait)
{
	struct timespec pause = { 0, 1000000 };
	int64_t slept = 0;

	for (;;) {
		/* What was seen of it before is old by now. */
		j->sized = false;
		if (flock(j->fd, LOCK_EX | LOCK_NB) == 0)
			return 1;
		/* For NFS that needs a descriptor to write with. */
		if (errno == EBADF && !q->writable &&
		    flock(j->fd, LOCK_SH | LOCK_NB) == 0)
			return 1;
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return idq_errno(q, "%s/%s: lock", q->path,
			    j->pub.path);
		if (slept >= wait)
			return 0;
		/* Time slept, not a clock that somebody may set. */
		nanosleep(&pause, NULL);
		slept += pause.tv_nsec / 1000;
		if (pause.tv_nsec < 50000000)
			pause.tv_nsec *= 2;
	}
}

static int
compare(struct idq *q, const struct job *j, const char *path, struct stat *st)
{
	if (idq_at_stat(q, path, st) == -1) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return idq_errno(q, "%s/%s", q->path, path);
	}
	return st->st_dev == j->dev && st->st_ino == j->ino;
}

int
idq_job_is(struct idq *q, const struct job *j, const char *path)
{
	struct stat st;

	return compare(q, j, path, &st);
}

/* The same of one that is locked, so that its size is known, too. */
int
idq_job_still_is(struct idq *q, struct job *j, const char *path)
{
	struct stat st;
	int r = compare(q, j, path, &st);

	if (r == 1) {
		j->size = st.st_size;
		j->sized = true;
	}
	return r;
}

int
idq_job_owns_key(struct idq *q, const struct job *j)
{
	char path[PATH_SIZE];

	idq_key_path(j->pub.hash, path);
	return idq_job_is(q, j, path);
}

int
idq_job_is_owner(struct idq *q, const struct job *j, const char *path)
{
	int r = idq_job_owns_key(q, j);

	if (r == 0)
		idq_notice(q, "%s/%s: does not own its key; run idq fsck",
		    q->path, path);
	return r;
}

static bool
is_zeros(const char *s, size_t n)
{
	return n == 0 || (s[0] == '\0' && memcmp(s, s + 1, n - 1) == 0);
}

/*
 * Read the head of the file until its empty line: the bytes read, the offset
 * of the payload in *body (0: there is no empty line), to be freed.
 */
static char *
read_head(struct idq *q, struct job *j, size_t *len, size_t *body)
{
	size_t cap = HEAD_SIZE;
	char *buf = NULL, *more, *end;
	ssize_t n;

	*len = *body = 0;
	for (;;) {
		if ((more = realloc(buf, cap + 1)) == NULL)
			break;
		buf = more;
		n = pread(j->fd, buf + *len, cap - *len, (off_t)*len);
		if (n == -1)
			break;
		*len += (size_t)n;
		buf[*len] = '\0';
		if ((end = memmem(buf, *len, "\n\n", 2)) != NULL) {
			*body = (size_t)(end - buf) + 2;
			return buf;
		}
		if (*len < cap || cap >= HEADER_MAX ||
		    memcmp(buf, MAGIC, strlen(MAGIC)) != 0)
			return buf;
		cap *= 4;
	}
	free(buf);
	idq_errno(q, "%s/%s", q->path, j->pub.path);
	return NULL;
}

static bool
load_head(struct job *j, char *buf, size_t len, size_t body, const char *hash)
{
	struct idq_job *p = &j->pub;
	char h[HASH_SIZE];

	j->begins = is_zeros(buf, len) || memcmp(buf, MAGIC,
	    len < strlen(MAGIC) ? len : strlen(MAGIC)) == 0;
	if (body == 0 || !j->begins || strlen(buf) < body)
		return false;
	buf[body - 1] = '\0';
	if (idq_header_parse(p, buf) == -1)
		return false;
	idq_key_hash(p->key, strlen(p->key), h);
	if (hash != NULL && strcmp(h, hash) != 0) {
		j->begins = false;		/* another's key: foreign */
		return false;
	}
	strlcpy(p->hash, h, sizeof(p->hash));
	p->body = (int64_t)body;
	return j->size >= p->body + p->length + 1;
}

int
idq_job_load(struct idq *q, struct job *j, const char *hash)
{
	char path[PATH_SIZE];
	size_t len, body;
	struct stat st;
	char *buf;

	strlcpy(path, j->pub.path, sizeof(path));
	clear(j);
	strlcpy(j->pub.path, path, sizeof(path));
	if (!j->sized && fstat(j->fd, &st) == -1)
		return idq_errno(q, "%s/%s", q->path, path);
	if (!j->sized)
		j->size = st.st_size;
	j->sized = false;
	if ((buf = read_head(q, j, &len, &body)) == NULL)
		return -1;
	errno = 0;
	j->whole = load_head(j, buf, len, body, hash);
	/* What could not be kept in memory is not for that damaged. */
	if (!j->whole && errno == ENOMEM) {
		free(buf);
		errno = ENOMEM;
		return idq_errno(q, "%s/%s", q->path, path);
	}
	free(buf);
	return j->whole ? idq_trail_load(q, j) : 0;
}

int
idq_key_open(struct idq *q, const char *hash, struct job *j)
{
	char path[PATH_SIZE];
	int r;

	idq_key_path(hash, path);
	if ((r = idq_job_open(q, path, j)) != 1)
		return r;
	if (idq_job_load(q, j, hash) == -1) {
		idq_job_close(j);
		return -1;
	}
	return 1;
}

int
idq_job_take(struct idq *q, const char *path, const char *hash, bool *busy,
    struct job *j)
{
	int r;

	if ((r = idq_job_open(q, path, j)) != 1)
		return r;
	r = idq_job_lock(q, j, 0);
	if (r == 0 && busy != NULL)
		*busy = true;
	if (r == 1)
		r = idq_job_still_is(q, j, path);
	if (r == 1 && idq_job_load(q, j, hash) == -1)
		r = -1;
	if (r != 1)
		idq_job_close(j);
	return r;
}

int
idq_job_verify(struct idq *q, const struct job *j)
{
	const struct idq_job *p = &j->pub;
	struct idq_print *print = idq_print_new(p->args, p->nargs);
	char *buf = malloc(MEMORY_MAX), hex[HASH_SIZE];
	int64_t at = 0;

	if (print == NULL || buf == NULL) {
		free(print);
		free(buf);
		return idq_errno(q, "%s/%s", q->path, p->path);
	}
	while (at < p->length) {
		size_t want = p->length - at < MEMORY_MAX ?
		    (size_t)(p->length - at) : MEMORY_MAX;
		ssize_t n = pread(j->fd, buf, want, p->body + at);

		if (n <= 0)
			break;
		idq_print_add(print, buf, (size_t)n);
		at += n;
	}
	free(buf);
	idq_print_end(print, hex);
	if (at < p->length)
		return idq_errno(q, "%s/%s", q->path, p->path);
	return strcmp(hex, p->fingerprint) == 0;
}

int
idq_payload(struct idq *q, const struct idq_job *p)
{
	const struct job *j = (const struct job *)p;
	int fd = fcntl(j->fd, F_DUPFD_CLOEXEC, 0);

	/* It shares its offset with j->fd, which is read by pread(2) alone. */
	if (fd == -1 || lseek(fd, p->body, SEEK_SET) == -1) {
		idq_errno(q, "%s/%s", q->path, p->path);
		if (fd != -1)
			close(fd);
		return -1;
	}
	return fd;
}
