/* SPDX-License-Identifier: ISC */
/*
 * How long after an add has returned does the command of a waiting worker
 * start?
 *
 *	latency ROUNDS WORKER FIFO CUR COMMAND...
 *
 * runs the command, which adds one job, and prints the nanoseconds until the
 * job's own command has started, a line a round.  {} in a word is the round's
 * number.  WORKER is the pid of the worker, CUR its folder of running jobs: a
 * round begins when that is empty and the worker sleeps.  The worker runs
 *
 *	latency FIFO
 *
 * which writes down the time.
 */
#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE	10000		/* ms, and so many looks */

static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static int
tell(const char *fifo)
{
	int64_t t = now();
	int fd = open(fifo, O_WRONLY);

	if (fd == -1 || write(fd, &t, sizeof(t)) != (ssize_t)sizeof(t))
		err(1, "%s", fifo);
	return 0;
}

static bool
is_empty(const char *path)
{
	DIR *d = opendir(path);
	struct dirent *e;

	if (d == NULL)
		err(1, "%s", path);
	while ((e = readdir(d)) != NULL && e->d_name[0] == '.')
		;
	closedir(d);
	return e == NULL;
}

static bool
sleeps(const char *pid)
{
	char path[64], buf[512];
	const char *state;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/stat", pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    (n = read(fd, buf, sizeof(buf) - 1)) == -1)
		err(1, "%s", path);
	close(fd);
	buf[n] = '\0';
	if ((state = strrchr(buf, ')')) == NULL)
		errx(1, "%s: no state", path);
	return state[2] == 'S';
}

static void
wait_idle(const char *pid, const char *cur)
{
	for (int i = 0; i < PATIENCE; i++) {
		if (is_empty(cur) && sleeps(pid))
			return;
		usleep(1000);
	}
	errx(1, "the worker does not come to rest");
}

static void
add(char *const *words, int n)
{
	char text[64], *argv[64];
	int status;
	pid_t pid;

	snprintf(text, sizeof(text), "%d", n);
	for (n = 0; words[n] != NULL && n < 63; n++)
		argv[n] = strcmp(words[n], "{}") == 0 ? text : words[n];
	argv[n] = NULL;
	if (argv[0] == NULL)
		errx(64, "no command");
	if ((status = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ)))
		errc(1, status, "%s", argv[0]);
	if (waitpid(pid, &status, 0) == -1 || status != 0)
		errx(1, "%s: failed", argv[0]);
}

int
main(int argc, char *argv[])
{
	struct pollfd p = { .events = POLLIN };
	int64_t returned, started;

	if (argc == 2)
		return tell(argv[1]);
	if (argc < 6)
		errx(64, "usage: latency ROUNDS WORKER FIFO CUR COMMAND...");
	if ((p.fd = open(argv[3], O_RDWR | O_CLOEXEC)) == -1)
		err(1, "%s", argv[3]);
	for (int i = 0; i < atoi(argv[1]); i++) {
		wait_idle(argv[2], argv[4]);
		add(argv + 5, i);
		returned = now();
		if (poll(&p, 1, PATIENCE) != 1 || read(p.fd, &started,
		    sizeof(started)) != (ssize_t)sizeof(started))
			errx(1, "job %d was not started", i);
		printf("%" PRId64 "\n", started - returned);
	}
	return 0;
}
