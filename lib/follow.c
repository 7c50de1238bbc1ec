/* SPDX-License-Identifier: ISC */
/*
 * Following the log.  Names are all that is kept of its files between two
 * reads, and inotify(7) only says when to look: what is new is found by size.
 */
#include <sys/inotify.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define LOOK_MS		1000		/* where nothing wakes us */
#define RESCAN_MS	60000

struct idq_follow {
	struct idq	*q;
	int64_t		 since;		/* of the first read */
	struct logfiles	 files;
	bool		 begun;
	bool		 foreign;	/* another host writes here too */
	int		 ino;		/* inotify, or -1 */
	int		 wd;		/* of log/, or -1 */
};

static void
watch(struct idq_follow *f)
{
	char *path;

	if (f->ino == -1 || f->wd != -1 ||
	    asprintf(&path, "%s/log", f->q->path) == -1)
		return;
	f->wd = inotify_add_watch(f->ino, path, IN_ONLYDIR | IN_MODIFY |
	    IN_CREATE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF);
	free(path);
}

/* Forget what woke us; log/ itself may have gone. */
static void
drain(struct idq_follow *f)
{
	_Alignas(struct inotify_event) char buf[4096];
	const struct inotify_event *e;
	ssize_t n;

	while (f->ino != -1 && (n = read(f->ino, buf, sizeof(buf))) > 0)
		for (char *s = buf; s < buf + n; s += sizeof(*e) + e->len) {
			e = (const struct inotify_event *)(const void *)s;
			if (e->wd != f->wd)
				continue;
			if (e->mask & IN_MOVE_SELF)
				inotify_rm_watch(f->ino, f->wd);
			if (e->mask & (IN_MOVE_SELF | IN_IGNORED))
				f->wd = -1;
		}
}

int
idq_follow_open(struct idq *q, int64_t since, struct idq_follow **fp)
{
	struct idq_follow *f = *fp = calloc(1, sizeof(*f));

	if (f == NULL)
		return idq_errno(q, "%s/log", q->path);
	f->q = q;
	f->since = since;
	f->wd = -1;
	f->ino = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (f->ino == -1)
		idq_notice(q, "no inotify (%s): looking each second",
		    strerror(errno));
	return 0;
}

void
idq_follow_close(struct idq_follow *f)
{
	if (f == NULL)
		return;
	if (f->ino != -1)
		close(f->ino);
	idq_logfiles_free(&f->files);
	free(f);
}

/* What is known of the name, both lists being in order. */
static const struct logfile *
known(const struct idq_follow *f, size_t *i, const char *name)
{
	int order = -1;

	while (*i < f->files.n &&
	    (order = strcmp(f->files.v[*i].name, name)) < 0)
		++*i;
	return *i < f->files.n && order == 0 ? &f->files.v[*i] : NULL;
}

/* Where to go on in FILE, of which OLD, if not NULL, is what was known. */
static void
place(struct idq_follow *f, struct logfile *file, const struct logfile *old)
{
	char path[PATH_SIZE + 256], stamp[STAMP_SIZE];
	struct stat st;

	snprintf(path, sizeof(path), "log/%s", file->name);
	if (idq_at_stat(f->q, path, &st) == -1) {
		file->skip = true;
		return;
	}
	file->dev = st.st_dev;
	file->ino = st.st_ino;
	if (old != NULL &&
	    (old->dev != st.st_dev || old->ino != st.st_ino))
		old = NULL;
	/* What cannot be read is said once. */
	file->bad = old != NULL && old->bad;
	if (!f->begun) {
		idq_stamp(f->since, stamp);
		if (strncmp(file->name, stamp, DAY_LEN) < 0)
			file->off = st.st_size;
	} else if (old != NULL && old->off <= st.st_size)
		file->off = old->off;
	file->skip = file->off == st.st_size;
	if (strcmp(file->name + DAY_LEN + 1, f->q->host) != 0)
		f->foreign = true;
}

static int
look(struct idq_follow *f)
{
	struct logfiles now;
	size_t at = 0;

	if (idq_logfiles_find(f->q, 0, &now) == -1)
		return -1;
	f->foreign = false;
	for (size_t i = 0; i < now.n; i++)
		place(f, &now.v[i], known(f, &at, now.v[i].name));
	idq_logfiles_free(&f->files);
	f->files = now;
	return 0;
}

void
idq_follow_from(struct idq_follow *f, int64_t since)
{
	f->since = since;
	f->begun = false;
}

int
idq_follow_read(struct idq_follow *f,
    int (*each)(void *, const struct idq_event *), void *arg)
{
	int64_t since = f->begun ? 0 : f->since;

	drain(f);
	watch(f);
	if (look(f) == -1)
		return -1;
	f->begun = true;
	return idq_logfiles_read(f->q, &f->files, since, each, arg) == -1 ?
	    -1 : 0;
}

int
idq_follow_fd(const struct idq_follow *f, int *ms)
{
	/* The writes of another host to a shared file system are not seen. */
	*ms = f->wd == -1 || f->foreign ? LOOK_MS : RESCAN_MS;
	return f->ino;
}
