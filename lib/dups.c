/* SPDX-License-Identifier: ISC */
/*
 * Suppressed duplicates: lines of one length, so that the size counts them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

int
idq_dups_add(struct idq *q, const char *hash, const char *id, int64_t now,
    uint64_t *count)
{
	char path[PATH_SIZE], line[STAMP_SIZE];
	struct job j = { .fd = -1 };
	struct stat st;
	int fd, err, r = 0;
	ssize_t n;
	off_t at;

	*count = 0;
	idq_dups_path(hash, id, path);
	fd = idq_at_open_end(q, path, &st);
	if (fd == -1 && errno == ENOENT && idq_mkdir_for(q, path) == 0)
		fd = idq_at_open_end(q, path, &st);
	if (fd == -1)
		return idq_errno(q, "%s/%s", q->path, path);
	idq_stamp(now, line);
	line[IDQ_STAMP_LEN] = '\n';
	/* Two machines can append at one place. */
	if (q->remote) {
		j.fd = fd;
		strlcpy(j.pub.path, path, sizeof(j.pub.path));
		if (idq_job_lock(q, &j, LOCK_WAIT) != 1 ||
		    fstat(fd, &st) == -1) {
			close(fd);
			return idq_error(q, EX_TEMPFAIL, "%s/%s: is locked",
			    q->path, path);
		}
	}
	/* What a full disk has cut off would shift all that follow. */
	if (st.st_size % DUP_LEN != 0 &&
	    ftruncate(fd, st.st_size - st.st_size % DUP_LEN) == -1)
		r = -1;
	else if ((n = write(fd, line, DUP_LEN)) != DUP_LEN) {
		if (n != -1)
			errno = ENOSPC;
		r = -1;
	} else if ((at = lseek(fd, 0, SEEK_CUR)) != -1)
		/* Behind ours: others may have been quicker. */
		*count = (uint64_t)at / DUP_LEN;
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
	*fd = idq_at_open(q, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
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

struct jobs {
	struct idq	*q;
	int		(*each)(void *, struct idq_job *);
	void		*arg;
	bool		 others;	/* some belong to no key's job */
};

/* Show the job at PATH if it is the one of N: 1 to stop, -1. */
static int
show(struct jobs *w, const char *path, const struct name *n)
{
	struct job *j = calloc(1, sizeof(*j));
	int r;

	if (j == NULL)
		return idq_errno(w->q, "%s", w->q->path);
	if ((r = idq_job_open(w->q, path, j)) != 1) {
		free(j);
		if (r == -1)
			idq_notice(w->q, "%s", w->q->msg);
		w->others = true;
		return 0;
	}
	r = 0;
	if (idq_job_load(w->q, j, n->hash) == -1 || !j->whole)
		idq_notice(w->q, "%s/%s: is not whole; left alone",
		    w->q->path, path);
	else if (strcmp(j->pub.id, n->id) != 0)
		w->others = true;
	else
		r = w->each(w->arg, &j->pub) != 0;
	idq_job_free(&j->pub);
	return r;
}

/* The jobs of one folder of dups/ that have their keys. */
static int
show_folder(struct jobs *w, const char *folder)
{
	char path[PATH_SIZE];
	struct dirent *e;
	struct name n;
	int r = 0;
	DIR *d;

	if ((d = idq_opendir(w->q, folder)) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(w->q, "%s/%s", w->q->path, folder);
	while (r == 0 && (e = idq_readdir(d)) != NULL) {
		if (idq_name_parse(PL_CUR, e->d_name, &n) == -1)
			continue;
		idq_key_path(n.hash, path);
		r = show(w, path, &n);
	}
	closedir(d);
	return r;
}

/* An expired job whose key was taken anew keeps its duplicates. */
static int
show_expired(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct jobs *w = arg;
	char path[PATH_SIZE];
	struct job j = JOB_INIT;
	bool own = false;

	idq_dups_path(n->hash, n->id, path);
	if (!idq_at_exists(w->q, path))
		return 0;
	if (idq_key_open(w->q, n->hash, &j) == 1) {
		own = strcmp(j.pub.id, n->id) == 0;
		idq_job_close(&j);
	}
	if (own)
		return 0;
	snprintf(path, sizeof(path), "%s/%.*s", folder, CUR_LEN, e->d_name);
	return show(w, path, n);
}

int
idq_dups_jobs(struct idq *q, int (*each)(void *, struct idq_job *), void *arg)
{
	struct jobs w = { q, each, arg, false };
	char folder[PATH_SIZE];
	int r = 0;

	for (unsigned int i = 0; r == 0 && i < 256; i++) {
		snprintf(folder, sizeof(folder), "dups/%02x", i);
		r = show_folder(&w, folder);
	}
	if (r == 0 && w.others)
		r = idq_walk(q, PL_EXPIRED, show_expired, &w);
	return r == -1 ? -1 : 0;
}
