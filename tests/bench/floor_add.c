/* SPDX-License-Identifier: ISC */
/*
 * floor_add QUEUE KEY ARG: one durable add.  File, link, sync, sync of the
 * folder, rename.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "floor.h"

int
main(int argc, char *argv[])
{
	static struct floor_job j;
	char folder[16];
	int dir, fd;

	if (argc != 4)
		errx(64, "usage: floor_add QUEUE KEY ARG");
	dir = floor_open(argv[1]);
	floor_make(&j, argv[2], argv[3]);
	fd = floor_create(dir, &j);
	if (fsync(fd) == -1)
		err(1, "fsync");
	snprintf(folder, sizeof(folder), "keys/%.2s", j.hash);
	floor_sync_dir(dir, folder);
	if (renameat(dir, j.tmp, dir, j.state) == -1)
		err(1, "%s", j.state);
	return 0;
}
