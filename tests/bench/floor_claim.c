/* SPDX-License-Identifier: ISC */
/*
 * floor_claim QUEUE: claim a job, whichever comes first, durably, and print its
 * name.  floor_claim QUEUE NAME: it is done.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

#include "floor.h"

static int
claim(int dir)
{
	int fd, new = openat(dir, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = new == -1 ? NULL : fdopendir(new);
	struct dirent *e;
	char cur[128];

	if (d == NULL)
		err(1, "new");
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			break;
	if (e == NULL)
		return 1;
	if ((fd = floor_claim(dir, e->d_name, cur, sizeof(cur))) == -1 ||
	    fsync(fd) == -1)
		err(1, "%s", e->d_name);
	puts(cur);
	return 0;
}

static int
ack(int dir, const char *cur)
{
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "cur/%s", cur);
	fd = openat(dir, path, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd == -1 || flock(fd, LOCK_EX | LOCK_NB) == -1)
		err(1, "%s", path);
	floor_finish(dir, fd, cur);
	return 0;
}

int
main(int argc, char *argv[])
{
	if (argc == 2)
		return claim(floor_open(argv[1]));
	if (argc == 3)
		return ack(floor_open(argv[1]), argv[2]);
	errx(64, "usage: floor_claim QUEUE [NAME]");
}
