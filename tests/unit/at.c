/* SPDX-License-Identifier: ISC */
/*
 * Paths of a queue that others may write to, also on a kernel that has no
 * openat2(2).
 */
#include "fail.h"
#include "check.h"
#include "spool.h"

static struct idq *q;

/* 0, or why PATH cannot be opened. */
static int
opens(const char *path)
{
	int fd = idq_at_open(q, path, O_RDONLY);

	if (fd == -1)
		return errno;
	close(fd);
	return 0;
}

/* The same by openat2(2), and one part after the other where there is none. */
static void
careful(void)
{
	q = spool_make();
	q->careful = true;
	spool_write(q, "keys/00/file", "x", 1);
	if (symlinkat("00", q->fd, "keys/link") == -1 ||
	    symlinkat("keys", q->fd, "link") == -1 ||
	    symlinkat("file", q->fd, "keys/00/link") == -1)
		err(1, "symlink");
	for (int without = 0; without < 2; without++) {
		no_openat2 = without == 1;
		CHECK_INT(opens("keys/00/file"), 0);
		CHECK_INT(opens("keys/link/file"), ELOOP);
		CHECK_INT(opens("link/00/file"), ELOOP);
		CHECK(opens("keys/00/file/file") != 0);
		CHECK_INT(opens("keys/nothing/file"), ENOENT);
		CHECK_INT(opens("keys/00/nothing"), ENOENT);
	}
	no_openat2 = false;
	spool_remove(q);
}

/* In the root folder, where /proc is mounted. */
static void
mounted(void)
{
	struct idq root = { .careful = true };

	root.fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int without = 0; without < 2; without++) {
		no_openat2 = without == 1;
		CHECK_INT(idq_at_exists(&root, "proc/version"), false);
		CHECK_INT(errno, EXDEV);
		CHECK(idq_at_exists(&root, "usr/bin"));
	}
	no_openat2 = false;
	close(root.fd);
}

int
main(void)
{
	check_run("at: no symbolic link on the way is followed", careful);
	check_run("at: nor is a mount", mounted);
	return check_done();
}
