/* SPDX-License-Identifier: ISC */
/*
 * floor_duplicate QUEUE KEY ARG: one add of a key that is held.  Read its job,
 * compare the fingerprints, note the duplicate.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "floor.h"

#define PRINT	"\nFingerprint: "
#define ID	"\nId: "

/* What follows the name of the field, which has to be there. */
static const char *
field(const char *text, const char *name)
{
	const char *s = strstr(text, name);

	if (s == NULL)
		errx(1, "no%s", name);
	return s + strlen(name);
}

static void
read_job(int dir, const char *name, char *buf, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd == -1 || (n = read(fd, buf, size - 1)) == -1)
		err(1, "%s", name);
	buf[n] = '\0';
	close(fd);
}

int
main(int argc, char *argv[])
{
	static struct floor_job j;
	static char there[8192];
	char name[128], stamp[32];
	int dir, fd, n;

	if (argc != 4)
		errx(64, "usage: floor_duplicate QUEUE KEY ARG");
	dir = floor_open(argv[1]);
	floor_make(&j, argv[2], argv[3]);
	read_job(dir, j.key, there, sizeof(there));
	if (strncmp(field(there, PRINT), field(j.text, PRINT), 64) != 0)
		errx(65, "%s: another job", argv[2]);
	snprintf(name, sizeof(name), "dups/%.2s/%s.%.16s", j.hash, j.hash,
	    field(there, ID));
	floor_stamp(stamp, sizeof(stamp) - 1);
	n = (int)strlen(stamp);
	stamp[n++] = '\n';
	fd = openat(dir, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1 || write(fd, stamp, (size_t)n) != n)
		err(1, "%s", name);
	return 0;
}
