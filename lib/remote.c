/* SPDX-License-Identifier: ISC */
/*
 * A queue on a file system that other machines change, too.  What they do is
 * told by no inotify(7), and their clocks are not ours: of time there is only
 * one that all of them see, that of the server.
 */
#include <sys/vfs.h>

#include <linux/magic.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "idq_impl.h"

#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC	0xFF534D42
#endif
#ifndef SMB2_SUPER_MAGIC
#define SMB2_SUPER_MAGIC	0xFE534D42
#endif
#ifndef CEPH_SUPER_MAGIC
#define CEPH_SUPER_MAGIC	0x00C36400
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC	0x65735546
#endif

#define CLOCK_KEPT	(10 * IDQ_SECOND)	/* before it is asked again */

bool
idq_is_remote(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) == -1)
		return false;
	switch ((uint32_t)fs.f_type) {
	case NFS_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CEPH_SUPER_MAGIC:
	case FUSE_SUPER_MAGIC:
	case V9FS_MAGIC:
		return true;
	default:
		return false;
	}
}

/*
 * The time at which the server makes a file.  Not the mtime, which a client
 * may set.
 */
static int
server_time(struct idq *q, int64_t *now)
{
	char id[ID_SIZE], path[PATH_SIZE];
	struct stat st;
	int fd, r;

	if (idq_new_id(id) == -1)
		return -1;
	snprintf(path, sizeof(path), "run/clock.%s", id);
	fd = idq_at_open(q, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT && idq_mkdir_for(q, path) == 0)
		fd = idq_at_open(q, path, O_WRONLY | O_CREAT | O_EXCL |
		    O_CLOEXEC);
	if (fd == -1)
		return -1;
	if ((r = fstat(fd, &st)) == 0)
		*now = (int64_t)st.st_ctim.tv_sec * IDQ_SECOND +
		    st.st_ctim.tv_nsec / 1000;
	close(fd);
	idq_at_unlink(q, path, 0);
	return r;
}

int64_t
idq_lease_now(struct idq *q)
{
	int64_t ticks = idq_ticks(), now = 0;

	if (!q->remote || !q->writable)
		return idq_now();
	if (q->clock_at == 0 || ticks - q->clock_at > CLOCK_KEPT) {
		if (server_time(q, &now) == -1)
			return idq_now();
		q->clock_at = ticks;
		q->clock_off = now - idq_now();
	}
	return idq_now() + q->clock_off;
}

bool
idq_is_leased(struct idq *q, const struct job *j)
{
	return j->pub.lease != 0 && j->pub.lease > idq_lease_now(q);
}
