/* SPDX-License-Identifier: ISC */
/*
 * floor_purge QUEUE: the raw unlinks of all done jobs, and a sync of each
 * folder of keys.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "floor.h"

static DIR *
open_dir(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd == -1 ? NULL : fdopendir(fd);

	if (d == NULL)
		err(1, "%s", name);
	return d;
}

static void
purge_day(int dir, const char *day)
{
	char path[512];
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "done/%s", day);
	d = open_dir(dir, path);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == -1)
			err(1, "%s", e->d_name);
		snprintf(path, sizeof(path), "keys/%.2s/%.64s", e->d_name,
		    e->d_name);
		if (unlinkat(dir, path, 0) == -1)
			err(1, "%s", path);
	}
	closedir(d);
}

int
main(int argc, char *argv[])
{
	char folder[16];
	struct dirent *e;
	int dir;
	DIR *d;

	if (argc != 2)
		errx(64, "usage: floor_purge QUEUE");
	dir = floor_open(argv[1]);
	d = open_dir(dir, "done");
	while ((e = readdir(d)) != NULL)
		if (e->d_name[0] != '.')
			purge_day(dir, e->d_name);
	closedir(d);
	for (int i = 0; i < 256; i++) {
		snprintf(folder, sizeof(folder), "keys/%02x", i);
		floor_sync_dir(dir, folder);
	}
	return 0;
}
