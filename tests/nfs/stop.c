/* SPDX-License-Identifier: ISC */
/*
 * Preloaded: the Nth call of the function that STOP_AT names, as `linkat:N',
 * waits.  STOP_FILE.at says that it has come so far, and STOP_FILE.go lets it
 * go on.  Before that all that it needs to know of its paths is asked for, so
 * that it is the next request to the server.
 */
#include <sys/stat.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int seen;

/* The folder of PATH, and the file there, with nothing left to be written. */
static void
warm(int dir, const char *path)
{
	char folder[512];
	struct stat st;
	char *slash;
	int fd;

	snprintf(folder, sizeof(folder), "%s", path);
	if ((slash = strrchr(folder, '/')) != NULL) {
		*slash = '\0';
		fd = openat(dir, folder, O_RDONLY | O_DIRECTORY);
		if (fd != -1 && fstat(fd, &st) == 0)
			faccessat(fd, ".", W_OK | X_OK, 0);
		close(fd);
	}
	if (fstatat(dir, path, &st, 0) == 0 && S_ISREG(st.st_mode) &&
	    (fd = openat(dir, path, O_RDWR)) != -1) {
		fsync(fd);
		close(fd);
	}
}

static void
stop(const char *name, int from_dir, const char *from, int to_dir,
    const char *to)
{
	const char *at = getenv("STOP_AT"), *file = getenv("STOP_FILE");
	const struct timespec pause = { 0, 20000000 };
	size_t len = strlen(name);
	char path[256];
	int fd;

	if (at == NULL || file == NULL || strncmp(at, name, len) != 0 ||
	    at[len] != ':' || ++seen != atoi(at + len + 1))
		return;
	warm(from_dir, from);
	if (to != NULL)
		warm(to_dir, to);
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

	stop("linkat", fromfd, from, tofd, to);
	return real(fromfd, from, tofd, to, flags);
}

int
renameat(int oldfd, const char *old, int newfd, const char *new)
{
	int (*real)(int, const char *, int, const char *) =
	    (int (*)(int, const char *, int, const char *))dlsym(RTLD_NEXT,
	    "renameat");

	stop("renameat", oldfd, old, newfd, new);
	return real(oldfd, old, newfd, new);
}

int
unlinkat(int fd, const char *name, int flag)
{
	int (*real)(int, const char *, int) =
	    (int (*)(int, const char *, int))dlsym(RTLD_NEXT, "unlinkat");

	stop("unlinkat", fd, name, -1, NULL);
	return real(fd, name, flag);
}
