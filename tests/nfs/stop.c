/* SPDX-License-Identifier: ISC */
/*
 * Preloaded: the Nth call of the function that STOP_AT names, as `linkat:N',
 * waits.  STOP_FILE.at says that it has come so far, and STOP_FILE.go lets it
 * go on.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int seen;

static void
stop(const char *name)
{
	const char *at = getenv("STOP_AT"), *file = getenv("STOP_FILE");
	const struct timespec pause = { 0, 20000000 };
	size_t len = strlen(name);
	char path[256];
	int fd;

	if (at == NULL || file == NULL || strncmp(at, name, len) != 0 ||
	    at[len] != ':' || ++seen != atoi(at + len + 1))
		return;
	snprintf(path, sizeof(path), "%s.at", file);
	if ((fd = open(path, O_WRONLY | O_CREAT, 0600)) != -1)
		close(fd);
	snprintf(path, sizeof(path), "%s.go", file);
	while (access(path, F_OK) == -1)
		nanosleep(&pause, NULL);
}

int
linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
	int (*real)(int, const char *, int, const char *, int) =
	    (int (*)(int, const char *, int, const char *, int))dlsym(
	    RTLD_NEXT, "linkat");

	stop("linkat");
	return real(fromfd, from, tofd, to, flags);
}

int
renameat(int oldfd, const char *old, int newfd, const char *new)
{
	int (*real)(int, const char *, int, const char *) =
	    (int (*)(int, const char *, int, const char *))dlsym(RTLD_NEXT,
	    "renameat");

	stop("renameat");
	return real(oldfd, old, newfd, new);
}

int
unlinkat(int fd, const char *name, int flag)
{
	int (*real)(int, const char *, int) =
	    (int (*)(int, const char *, int))dlsym(RTLD_NEXT, "unlinkat");

	stop("unlinkat");
	return real(fd, name, flag);
}
