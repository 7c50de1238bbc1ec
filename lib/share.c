/* SPDX-License-Identifier: ISC */
/*
 * Opening a queue to a group, and closing it again: modes and group of all
 * that is in it.  In its top directory, which is sticky, a member can neither
 * replace the config nor the directories.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define DEPTH_MAX	3		/* keys/HH/H */

struct sharing {
	struct idq	*q;
	bool		 open;
	gid_t		 group;		/* if OPEN */
	bool		 others;	/* something is not ours to change */
};

static int
set_modes(const struct sharing *w, int fd, mode_t mode)
{
	/* First, since this takes the setgid bit away. */
	if (w->open && fchown(fd, (uid_t)-1, w->group) == -1)
		return -1;
	return fchmod(fd, mode);
}

static int share_dir(struct sharing *, int fd, int depth);

/* Who may not read format finds no queue; only the owner writes these two. */
static mode_t
file_mode(const struct sharing *w, const char *name, int depth)
{
	if (!w->open)
		return 0600;
	return depth == 0 && (strcmp(name, "format") == 0 ||
	    strcmp(name, "config") == 0) ? 0640 : 0660;
}

/* What is neither a file nor a directory is not ours; neither is a mount. */
static int
share_entry(struct sharing *w, int dir, const char *name, int depth)
{
	struct stat top, st;
	int fd, r = 0, err;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == -1)
		return errno == ENOENT ? 0 : -1;
	if ((!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) ||
	    fstat(dir, &top) == -1 || st.st_dev != top.st_dev)
		return 0;
	if (st.st_uid != geteuid() && geteuid() != 0) {
		w->others = true;
		return 0;
	}
	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK | O_NOCTTY);
	if (fd == -1)
		return errno == ENOENT ? 0 : -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		r = set_modes(w, fd, file_mode(w, name, depth));
	else if (S_ISDIR(st.st_mode)) {
		r = set_modes(w, fd, w->open ? 02770 : 0700);
		if (r == 0 && depth < DEPTH_MAX)
			return share_dir(w, fd, depth + 1);
	}
	err = errno;
	close(fd);
	errno = err;
	return r;
}

/* FD is closed. */
static int
share_dir(struct sharing *w, int fd, int depth)
{
	struct dirent *e;
	DIR *d = fdopendir(fd);
	int r = 0, err;

	if (d == NULL) {
		close(fd);
		return -1;
	}
	while (r == 0 && (errno = 0, e = readdir(d)) != NULL)
		if (strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0)
			r = share_entry(w, dirfd(d), e->d_name, depth);
	err = errno;
	closedir(d);
	errno = err;
	return r != 0 || err != 0 ? -1 : 0;
}

static int
share_all(struct sharing *w)
{
	int fd = openat(w->q->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1 || share_dir(w, fd, 0) == -1)
		return idq_errno(w->q, "%s", w->q->path);
	if (w->others)
		idq_notice(w->q, "%s: some files belong to others, and keep "
		    "their modes", w->q->path);
	return 0;
}

static int
set_top(struct sharing *w)
{
	struct idq *q = w->q;

	if (set_modes(w, q->fd, w->open ? 03770 : 0700) == -1 ||
	    idq_sync_dir(q, ".") == -1)
		return idq_errno(q, "%s", q->path);
	q->dmode = w->open ? 02770 : 0700;
	q->fmode = w->open ? 0660 : 0600;
	q->careful = w->open;
	return 0;
}

/*
 * Nobody gets in before the rest is done, or while it is undone.  Made twice
 * it is the same, and so a crash in between is mended by the next call.
 */
int
idq_set_modes(struct idq *q, bool open)
{
	struct sharing w = { .q = q, .open = open };
	struct stat st;

	if (fstat(q->fd, &st) == -1)
		return idq_errno(q, "%s", q->path);
	w.group = st.st_gid;
	if (open)
		return share_all(&w) == -1 ? -1 : set_top(&w);
	return set_top(&w) == -1 ? -1 : share_all(&w);
}

int
idq_share(struct idq *q, gid_t group)
{
	struct stat st;

	if (fstat(q->fd, &st) == -1)
		return idq_errno(q, "%s", q->path);
	if (st.st_gid == group && q->cfg[CFG_SHARED] == 1 &&
	    (st.st_mode & 07777) == 03770)
		return 0;
	if (fchown(q->fd, (uid_t)-1, group) == -1)
		return idq_errno(q, "%s: group %u", q->path,
		    (unsigned int)group);
	return idq_config_set(q, "shared", "yes") == -1 ? -1 : 1;
}
