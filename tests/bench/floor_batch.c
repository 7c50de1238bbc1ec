/* SPDX-License-Identifier: ISC */
/*
 * floor_batch QUEUE ARG: a durable add for each key on standard input, in
 * groups: all files, then their syncs, then each folder once, then the renames.
 */
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "floor.h"

#define GROUP	4096

struct member {
	char	tmp[32];
	char	state[160];
	int	fd;
};

static struct member group[GROUP];
static bool touched[256];

static void
begin(int dir, struct member *m, const char *key, const char *arg)
{
	static struct floor_job j;
	unsigned int shard;

	floor_make(&j, key, arg);
	m->fd = floor_create(dir, &j);
	sync_file_range(m->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	memcpy(m->tmp, j.tmp, sizeof(m->tmp));
	memcpy(m->state, j.state, sizeof(m->state));
	if (sscanf(j.hash, "%2x", &shard) == 1)
		touched[shard] = true;
}

static void
commit(int dir, size_t n)
{
	char folder[16];

	for (size_t i = 0; i < n; i++)
		if (fsync(group[i].fd) == -1)
			err(1, "fsync");
	for (unsigned int i = 0; i < 256; i++) {
		if (!touched[i])
			continue;
		touched[i] = false;
		snprintf(folder, sizeof(folder), "keys/%02x", i);
		floor_sync_dir(dir, folder);
	}
	for (size_t i = 0; i < n; i++) {
		if (renameat(dir, group[i].tmp, dir, group[i].state) == -1)
			err(1, "%s", group[i].state);
		close(group[i].fd);
	}
}

int
main(int argc, char *argv[])
{
	char line[1024];
	size_t n = 0;
	int dir;

	if (argc != 3)
		errx(64, "usage: floor_batch QUEUE ARG");
	dir = floor_open(argv[1]);
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		begin(dir, &group[n++], line, argv[2]);
		if (n == GROUP) {
			commit(dir, n);
			n = 0;
		}
	}
	commit(dir, n);
	return 0;
}
