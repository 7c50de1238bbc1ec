/* SPDX-License-Identifier: ISC */
/*
 * A small client of beanstalkd on 127.0.0.1:
 *
 *	bean PORT put N			put N jobs
 *	bean PORT drain COPIES COMMAND	reserve, run the command, delete, until
 *					nothing is ready; so many at once
 *	bean PORT count			print how many jobs are ready
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *
dial(const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_port = htons((uint16_t)atoi(port)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	FILE *f;

	if (fd == -1 ||
	    connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    (f = fdopen(fd, "r+")) == NULL)
		err(1, "127.0.0.1:%s", port);
	return f;
}

/* Send, and read a line of the answer. */
static char *
ask(FILE *f, char *buf, size_t size, const char *request)
{
	fputs(request, f);
	if (fflush(f) != 0)
		err(1, "send");
	/* ISO C wants this between writing and reading. */
	fseek(f, 0, SEEK_CUR);
	if (fgets(buf, (int)size, f) == NULL)
		errx(1, "no answer");
	return buf;
}

static void
put(FILE *f, long n)
{
	char buf[256];

	for (long i = 0; i < n; i++)
		if (strncmp(ask(f, buf, sizeof(buf),
		    "put 1 0 600 1\r\nx\r\n"), "INSERTED", 8) != 0)
			errx(1, "put: %s", buf);
}

static void
run(char *command)
{
	char *argv[] = { command, NULL };
	int status;
	pid_t pid;

	if ((status = posix_spawn(&pid, command, NULL, NULL, argv, environ)))
		errc(1, status, "%s", command);
	if (waitpid(pid, &status, 0) == -1 || status != 0)
		errx(1, "%s: failed", command);
}

static void
drain(FILE *f, char *command)
{
	char buf[256], request[64];
	uint64_t id;

	while (sscanf(ask(f, buf, sizeof(buf),
	    "reserve-with-timeout 0\r\n"), "RESERVED %" SCNu64, &id) == 1) {
		if (fgets(buf, sizeof(buf), f) == NULL)
			errx(1, "no body");
		run(command);
		snprintf(request, sizeof(request), "delete %" PRIu64 "\r\n",
		    id);
		if (strncmp(ask(f, buf, sizeof(buf), request), "DELETED",
		    7) != 0)
			errx(1, "delete: %s", buf);
	}
	if (strncmp(buf, "TIMED_OUT", 9) != 0)
		errx(1, "reserve: %s", buf);
}

static int
drain_all(const char *port, int copies, char *command)
{
	int status;

	for (int i = 0; i < copies; i++) {
		pid_t pid = fork();

		if (pid == -1)
			err(1, "fork");
		if (pid == 0) {
			drain(dial(port), command);
			_exit(0);
		}
	}
	while (wait(&status) != -1 || errno == EINTR)
		if (status != 0)
			return 1;
	return 0;
}

static void
count(FILE *f)
{
	char buf[256];
	long n = -1;

	ask(f, buf, sizeof(buf), "stats\r\n");
	while (n == -1 && fgets(buf, sizeof(buf), f) != NULL)
		if (sscanf(buf, "current-jobs-ready: %ld", &n) != 1)
			n = -1;
	printf("%ld\n", n);
}

int
main(int argc, char *argv[])
{
	if (argc == 4 && strcmp(argv[2], "put") == 0)
		put(dial(argv[1]), atol(argv[3]));
	else if (argc == 5 && strcmp(argv[2], "drain") == 0)
		return drain_all(argv[1], atoi(argv[3]), argv[4]);
	else if (argc == 3 && strcmp(argv[2], "count") == 0)
		count(dial(argv[1]));
	else
		errx(64, "usage: bean PORT put N | drain COPIES COMMAND | "
		    "count");
	return 0;
}
