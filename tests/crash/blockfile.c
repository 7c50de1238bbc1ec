/* SPDX-License-Identifier: ISC */
/*
 * blockfile BASE LOG DIR: a file system on the empty folder DIR with two files.
 * `disk' has the bytes of the file BASE, held in memory.  LOG gets a record for
 * each write to it, each sync of it, and each line written to `mark':
 *
 *	W OFFSET LENGTH\n and so many bytes
 *	F\n
 *	M LENGTH\n and so many bytes
 *
 * One thread does it all, so the log is in the order in which it was answered.
 */
#define FUSE_USE_VERSION 31

#include <sys/mman.h>
#include <sys/stat.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char	*disk;
static size_t	 size;
static FILE	*logfile;

static int
is_disk(const char *path)
{
	return strcmp(path, "/disk") == 0;
}

static int
bf_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
	(void)fi;
	memset(st, 0, sizeof(*st));
	if (strcmp(path, "/") == 0) {
		st->st_mode = S_IFDIR | 0700;
		st->st_nlink = 2;
	} else if (is_disk(path) || strcmp(path, "/mark") == 0) {
		st->st_mode = S_IFREG | 0600;
		st->st_nlink = 1;
		st->st_size = is_disk(path) ? (off_t)size : 0;
	} else {
		return -ENOENT;
	}
	return 0;
}

/* Each write(2) to `mark' is to come as it is. */
static int
bf_open(const char *path, struct fuse_file_info *fi)
{
	fi->direct_io = !is_disk(path);
	return 0;
}

static int
bf_truncate(const char *path, off_t len, struct fuse_file_info *fi)
{
	(void)len;
	(void)fi;
	return is_disk(path) ? -EPERM : 0;
}

static int
bf_read(const char *path, char *buf, size_t len, off_t off,
    struct fuse_file_info *fi)
{
	(void)fi;
	if (!is_disk(path) || off < 0 || (size_t)off >= size)
		return 0;
	if (len > size - (size_t)off)
		len = size - (size_t)off;
	memcpy(buf, disk + off, len);
	return (int)len;
}

/* What the log cannot take has not been done. */
static int
record(const char *head, const char *buf, size_t len)
{
	if (fputs(head, logfile) == EOF ||
	    fwrite(buf, 1, len, logfile) != len || fflush(logfile) == EOF)
		return -EIO;
	return (int)len;
}

static int
bf_write(const char *path, const char *buf, size_t len, off_t off,
    struct fuse_file_info *fi)
{
	char head[64];

	(void)fi;
	if (!is_disk(path)) {
		snprintf(head, sizeof(head), "M %zu\n", len);
		return record(head, buf, len);
	}
	if (off < 0 || (size_t)off > size || len > size - (size_t)off)
		return -ENOSPC;
	memcpy(disk + off, buf, len);
	snprintf(head, sizeof(head), "W %lld %zu\n", (long long)off, len);
	return record(head, buf, len);
}

static int
bf_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	(void)datasync;
	(void)fi;
	return is_disk(path) ? record("F\n", "", 0) : 0;
}

static const struct fuse_operations operations = {
	.getattr = bf_getattr,
	.open = bf_open,
	.truncate = bf_truncate,
	.read = bf_read,
	.write = bf_write,
	.fsync = bf_fsync,
};

/* Pages of BASE that nobody writes are not copied. */
static void
load(const char *base)
{
	struct stat st;
	int fd = open(base, O_RDONLY | O_CLOEXEC);

	if (fd == -1 || fstat(fd, &st) == -1)
		err(1, "%s", base);
	size = (size_t)st.st_size;
	disk = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (disk == MAP_FAILED)
		err(1, "%s", base);
	close(fd);
}

int
main(int argc, char *argv[])
{
	char fg[] = "-f", single[] = "-s";
	char *args[] = { argv[0], fg, single, argc == 4 ? argv[3] : NULL,
		NULL };

	if (argc != 4)
		errx(64, "usage: blockfile BASE LOG DIR");
	load(argv[1]);
	if ((logfile = fopen(argv[2], "a")) == NULL)
		err(1, "%s", argv[2]);
	return fuse_main(4, args, &operations, NULL);
}
