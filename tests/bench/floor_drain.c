/* SPDX-License-Identifier: ISC */
/*
 * floor_drain QUEUE N COMMAND: run the command for every job there is, N at
 * once, each in a process that claims, spawns, waits and finishes durably.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "floor.h"

static char **names;
static size_t count;

static void
read_names(int dir)
{
	int new = openat(dir, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = new == -1 ? NULL : fdopendir(new);
	struct dirent *e;

	if (d == NULL)
		err(1, "new");
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		names = reallocarray(names, count + 1, sizeof(*names));
		if (names == NULL || (names[count++] = strdup(e->d_name)) ==
		    NULL)
			err(1, NULL);
	}
	closedir(d);
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
run(int dir, const char *name, char *command)
{
	char cur[128], *argv[] = { command, NULL };
	int status, fd = floor_claim(dir, name, cur, sizeof(cur));
	pid_t pid;

	if (fd == -1)
		errx(1, "%s: is gone", name);
	if ((status = posix_spawn(&pid, command, NULL, NULL, argv, environ)))
		errc(1, status, "%s", command);
	if (waitpid(pid, &status, 0) == -1 || status != 0)
		errx(1, "%s: failed", command);
	floor_finish(dir, fd, cur);
}

int
main(int argc, char *argv[])
{
	size_t first, n = argc == 4 ? (size_t)atoi(argv[2]) : 0;
	int dir, status;

	if (n == 0)
		errx(64, "usage: floor_drain QUEUE N COMMAND");
	dir = floor_open(argv[1]);
	read_names(dir);
	qsort(names, count, sizeof(*names), by_name);
	for (first = 0; first < n; first++) {
		pid_t pid = fork();

		if (pid == -1)
			err(1, "fork");
		if (pid > 0)
			continue;
		for (size_t i = first; i < count; i += n)
			run(dir, names[i], argv[3]);
		_exit(0);
	}
	while (wait(&status) != -1 || errno == EINTR)
		if (status != 0)
			return 1;
	return 0;
}
