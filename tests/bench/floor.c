/* SPDX-License-Identifier: ISC */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "floor.h"

void
floor_stamp(char *buf, size_t size)
{
	struct timespec ts;
	struct tm tm;
	size_t n;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, size - n, ".%06ldZ", ts.tv_nsec / 1000);
}

/* 2026-11-23T20:35:00.123456Z without punctuation, but for the point. */
static void
due(const char *stamp, char *buf)
{
	for (; *stamp != '\0'; stamp++)
		if (*stamp != '-' && *stamp != ':')
			*buf++ = *stamp;
	*buf = '\0';
}

static void
draw_id(char *id, size_t size)
{
	uint64_t n;

	if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
		err(1, "getrandom");
	snprintf(id, size, "%016" PRIx64, n);
}

void
floor_make(struct floor_job *j, const char *key, const char *arg)
{
	char stamp[32], name[32], print[65], args[4096];
	int n;

	floor_stamp(stamp, sizeof(stamp));
	due(stamp, name);
	draw_id(j->id, sizeof(j->id));
	SHA256Data((const uint8_t *)key, strlen(key), j->hash);
	n = snprintf(args, sizeof(args), "1\n%s", arg);
	SHA256Data((const uint8_t *)args, (size_t)n + 1, print);
	snprintf(j->tmp, sizeof(j->tmp), "tmp/%s", j->id);
	snprintf(j->key, sizeof(j->key), "keys/%.2s/%s", j->hash, j->hash);
	snprintf(j->state, sizeof(j->state), "new/%s.%s.%s", name, j->hash,
	    j->id);
	n = snprintf(j->text, sizeof(j->text), "idq job 1\nKey: %s\nId: %s\n"
	    "Added: %s\nBy: uid=0 host=floor pid=1\nDue: %s\nArg: %s\n"
	    "Length: 0\nFingerprint: %s\n\n\n", key, j->id, stamp, stamp, arg,
	    print);
	if (n < 0 || (size_t)n >= sizeof(j->text))
		errx(1, "too long an argument");
	j->len = (size_t)n;
}

int
floor_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		err(1, "%s", path);
	return fd;
}

int
floor_create(int dir, const struct floor_job *j)
{
	int fd = openat(dir, j->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
	    0600);

	if (fd == -1 || write(fd, j->text, j->len) != (ssize_t)j->len ||
	    linkat(dir, j->tmp, dir, j->key, 0) == -1)
		err(1, "%s", j->key);
	return fd;
}

void
floor_sync_dir(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1 || fsync(fd) == -1)
		err(1, "%s", name);
	close(fd);
}

int
floor_claim(int dir, const char *name, char *cur, size_t size)
{
	char old[512], stamp[32], line[128];
	int fd, n;

	snprintf(old, sizeof(old), "new/%s", name);
	snprintf(cur, size, "%s", name + strcspn(name, "Z") + 2);
	fd = openat(dir, old, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd == -1 && errno == ENOENT)
		return -1;
	if (fd == -1 || flock(fd, LOCK_EX | LOCK_NB) == -1)
		err(1, "%s", old);
	snprintf(line, sizeof(line), "cur/%s", cur);
	if (renameat(dir, old, dir, line) == -1)
		err(1, "%s", old);
	floor_stamp(stamp, sizeof(stamp));
	n = snprintf(line, sizeof(line),
	    "%s claimed 1 host=floor boot=00000000 pid=1\n", stamp);
	if (write(fd, line, (size_t)n) != n)
		err(1, "%s", old);
	return fd;
}

void
floor_finish(int dir, int fd, const char *cur)
{
	char old[128], name[160], stamp[32], line[128];
	int n;

	floor_stamp(stamp, sizeof(stamp));
	n = snprintf(line, sizeof(line), "%s done 1 exit=0 release=%s\n",
	    stamp, stamp);
	if (write(fd, line, (size_t)n) != n || fsync(fd) == -1)
		err(1, "%s", cur);
	snprintf(old, sizeof(old), "cur/%s", cur);
	snprintf(name, sizeof(name), "done/%.10s/%s", stamp, cur);
	if (renameat(dir, old, dir, name) == -1) {
		snprintf(line, sizeof(line), "done/%.10s", stamp);
		if (errno != ENOENT || (mkdirat(dir, line, 0700) == -1 &&
		    errno != EEXIST) || renameat(dir, old, dir, name) == -1)
			err(1, "%s", name);
	}
	close(fd);
}
