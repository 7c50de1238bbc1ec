/* SPDX-License-Identifier: ISC */
/*
 * Small files and directories of a queue, always relative to its descriptor.
 */
#include <sys/file.h>
#include <sys/random.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

int
idq_new_id(char id[ID_SIZE])
{
	uint64_t bits;

	if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
		return -1;
	snprintf(id, ID_SIZE, "%016llx", (unsigned long long)bits);
	return 0;
}

/* Make the folders above PATH, which are one or two below the queue. */
int
idq_mkdir_for(struct idq *q, const char *path)
{
	char dir[PATH_SIZE];

	for (const char *s = strchr(path, '/'); s != NULL;
	    s = strchr(s + 1, '/')) {
		snprintf(dir, sizeof(dir), "%.*s", (int)(s - path), path);
		if (idq_at_mkdir(q, dir) == -1 && errno != EEXIST)
			return -1;
	}
	return 0;
}

ssize_t
idq_read_small(struct idq *q, const char *path, char *buf, size_t len)
{
	struct stat st;
	int fd, err;
	ssize_t n = -1;

	fd = idq_at_open(q, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK);
	if (fd == -1)
		return -1;
	if (fstat(fd, &st) == 0) {
		errno = EINVAL;
		if (S_ISREG(st.st_mode))
			n = read(fd, buf, len - 1);
	}
	err = errno;
	close(fd);
	errno = err;
	if (n >= 0)
		buf[n] = '\0';
	return n;
}

int
idq_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
write_tmp(struct idq *q, const char *tmp, const char *text, bool sync)
{
	struct stat st;
	int fd, err, r;

	for (;;) {
		fd = idq_at_open(q, tmp, O_WRONLY | O_CREAT | O_EXCL |
		    O_CLOEXEC | O_NOFOLLOW);
		if (fd == -1)
			return -1;
		/* Locked until it has its name; a reaper may be quicker. */
		r = -1;
		if (flock(fd, LOCK_EX) == -1 || fstat(fd, &st) == -1)
			break;
		r = 0;
		if (st.st_nlink > 0)
			break;
		close(fd);
	}
	if (r == 0)
		r = idq_write_all(fd, text, strlen(text));
	if (r == 0 && sync)
		r = fsync(fd);
	if (r == -1) {
		err = errno;
		idq_at_unlink(q, tmp, 0);
		close(fd);
		errno = err;
		return -1;
	}
	return fd;
}

bool
idq_is_at(struct idq *q, int fd, const char *path)
{
	struct stat st, at;
	int err = errno;
	bool is = fstat(fd, &st) == 0 && idq_at_stat(q, path, &at) == 0 &&
	    st.st_dev == at.st_dev && st.st_ino == at.st_ino;

	errno = err;
	return is;
}

int
idq_write_small(struct idq *q, const char *path, const char *text, bool sync)
{
	char id[ID_SIZE], tmp[PATH_SIZE], dir[PATH_SIZE];
	char *slash;
	int fd, err, r;

	if (idq_new_id(id) == -1)
		return -1;
	idq_tmp_path(id, "", tmp);
	if ((fd = write_tmp(q, tmp, text, sync)) == -1)
		return -1;
	r = idq_at_rename(q, tmp, path);
	if (r == -1 && errno == ENOENT && !idq_is_at(q, fd, path) &&
	    idq_mkdir_for(q, path) == 0)
		r = idq_at_rename(q, tmp, path);
	if (r == -1 && idq_is_at(q, fd, path))
		r = 0;
	if (r == -1) {
		err = errno;
		idq_at_unlink(q, tmp, 0);
		errno = err;
	} else if (sync) {
		strlcpy(dir, path, sizeof(dir));
		slash = strrchr(dir, '/');
		if (slash != NULL)
			*slash = '\0';
		r = idq_sync_dir(q, slash != NULL ? dir : ".");
	}
	err = errno;
	close(fd);
	errno = err;
	return r;
}

int
idq_sync_dir(struct idq *q, const char *path)
{
	int fd, err, r;

	fd = idq_at_open(q, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
	    O_NOFOLLOW);
	if (fd == -1)
		return -1;
	r = fsync(fd);
	err = errno;
	close(fd);
	errno = err;
	return r;
}

int
idq_sync_file(struct idq *q, int fd)
{
	/* On NFS it is what lets other machines see it. */
	return q->cfg[CFG_SYNC] == SYNC_OFF && !q->remote ? 0 : fsync(fd);
}

static int
sync_shard(struct idq *q, const char *hash)
{
	char dir[PATH_SIZE];

	snprintf(dir, sizeof(dir), "keys/%.2s", hash);
	return idq_sync_dir(q, dir);
}

int
idq_sync_keys(struct idq *q, const char *hash)
{
	return q->cfg[CFG_SYNC] == SYNC_FULL ? sync_shard(q, hash) : 0;
}

int
idq_sync_freed(struct idq *q, const char *hash)
{
	char dir[] = "keys/HH";

	if (q->cfg[CFG_SYNC] == SYNC_OFF || sync_shard(q, hash) == 0)
		return 0;
	memcpy(dir + strlen("keys/"), hash, 2);
	return idq_not_synced(q, dir);
}

DIR *
idq_opendir(struct idq *q, const char *path)
{
	DIR *d;
	int fd;

	fd = idq_at_open(q, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC |
	    O_NOFOLLOW);
	if (fd == -1)
		return NULL;
	if ((d = fdopendir(fd)) == NULL)
		close(fd);
	return d;
}

struct dirent *
idq_readdir(DIR *d)
{
	struct dirent *e;

	do {
		errno = 0;
		e = readdir(d);
	} while (e != NULL && e->d_name[0] == '.');
	return e;
}

struct walk {
	struct idq	*q;
	enum place	 place;
	int		(*each)(void *, const char *, const struct dirent *,
			    const struct name *);
	void		*arg;
	char		 until[DUE_LEN + 1];	/* "": all minutes */
	int		 code;		/* of the first folder that failed, */
	char		 msg[1024];	/* and its words */
};

/* It does not keep the others from being walked. */
static int
folder_failed(struct walk *w, const char *folder)
{
	idq_errno(w->q, "%s/%s", w->q->path, folder);
	if (w->code == 0) {
		w->code = w->q->code;
		strlcpy(w->msg, w->q->msg, sizeof(w->msg));
	}
	return 0;
}

static int
walk_folder(struct walk *w, const char *folder)
{
	struct dirent *e;
	struct name n;
	DIR *d;
	int r = 0;

	if ((d = idq_opendir(w->q, folder)) == NULL) {
		if (errno == ENOENT)
			return 0;
		if (errno == ENOTDIR || errno == ELOOP) {
			idq_notice(w->q, "%s/%s: is no folder; left alone",
			    w->q->path, folder);
			return 0;
		}
		return folder_failed(w, folder);
	}
	while (r == 0 && (e = idq_readdir(d)) != NULL) {
		if (idq_name_parse(w->place, e->d_name, &n) == 0)
			r = w->each(w->arg, folder, e, &n);
		else
			idq_notice(w->q, "%s/%s/%s: is no name of a job; "
			    "left alone", w->q->path, folder, e->d_name);
	}
	if (r == 0 && errno != 0)
		r = folder_failed(w, folder);
	closedir(d);
	return r;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* A day of waiting jobs has 1,440 of them. */
static bool
is_later(const struct walk *w, const char *name)
{
	return w->until[0] != '\0' && strlen(name) == MINUTE_LEN &&
	    strncmp(name, w->until, MINUTE_LEN) > 0;
}

struct folders {
	char	(*names)[HASH_SIZE];
	size_t	  n;
	size_t	  cap;
};

static int
folders_add(struct folders *f, const char *name)
{
	void *more;

	if (f->n == f->cap) {
		f->cap = f->cap == 0 ? 64 : 2 * f->cap;
		more = reallocarray(f->names, f->cap, sizeof(*f->names));
		if (more == NULL)
			return -1;
		f->names = more;
	}
	strlcpy(f->names[f->n++], name, sizeof(*f->names));
	return 0;
}

static int
walk_below(struct walk *w, const char *name)
{
	char folder[PATH_SIZE];

	snprintf(folder, sizeof(folder), "%s/%.*s", idq_place_dir(w->place),
	    IDQ_HASH_LEN, name);
	return walk_folder(w, folder);
}

/*
 * The MINUTE or DAY folders of a place, in order.  Those of groups have none,
 * and can be as many as there are jobs: they are walked at once.
 */
static int
folders_read(struct walk *w, struct folders *f)
{
	const char *top = idq_place_dir(w->place);
	struct dirent *e;
	DIR *d;
	int r = 0;

	if ((d = idq_opendir(w->q, top)) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(w->q, "%s/%s", w->q->path, top);
	while (r == 0 && (e = idq_readdir(d)) != NULL) {
		bool ok;

		if (is_later(w, e->d_name))
			continue;
		ok = w->place == PL_WAIT || w->place == PL_TURN ?
		    idq_is_minute(e->d_name) :
		    w->place == PL_PACED ? idq_is_hash(e->d_name) :
		    idq_is_day(e->d_name);
		if (!ok)
			idq_notice(w->q, "%s/%s/%s: is no folder of idq; "
			    "left alone", w->q->path, top, e->d_name);
		else if (w->place == PL_PACED)
			r = walk_below(w, e->d_name);
		else if ((r = folders_add(f, e->d_name)) == -1)
			idq_errno(w->q, "%s/%s", w->q->path, top);
	}
	if (r == 0 && errno != 0)
		r = idq_errno(w->q, "%s/%s", w->q->path, top);
	closedir(d);
	if (f->n > 1)
		qsort(f->names, f->n, sizeof(*f->names), by_name);
	return r;
}

int
idq_walk_until(struct idq *q, enum place place, int64_t until,
    int (*each)(void *, const char *, const struct dirent *,
    const struct name *), void *arg)
{
	struct walk w = { .q = q, .place = place, .each = each, .arg = arg };
	struct folders f = { NULL, 0, 0 };
	int r;

	if (until != IDQ_FOREVER)
		idq_due_format(until, w.until);
	if (place == PL_NEW || (place > PL_PACED && place < PL_DONE))
		r = walk_folder(&w, idq_place_dir(place));
	else
		r = folders_read(&w, &f);
	for (size_t i = 0; r == 0 && i < f.n; i++)
		r = walk_below(&w, f.names[i]);
	free(f.names);
	if (r != -1 && w.code != 0)
		return idq_error(q, w.code, "%s", w.msg);
	return r;
}

int
idq_walk(struct idq *q, enum place place, int (*each)(void *, const char *,
    const struct dirent *, const struct name *), void *arg)
{
	return idq_walk_until(q, place, IDQ_FOREVER, each, arg);
}
