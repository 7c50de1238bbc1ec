/* SPDX-License-Identifier: ISC */
/*
 * A queue of the test's own in a directory below $TMPDIR, and files in it.
 * What fails here ends the program, which then has no plan.
 */
#ifndef SPOOL_H
#define SPOOL_H

#include <sys/stat.h>

#include <err.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

/* The job file of idq(5); hash and fingerprint are sha256sum's. */
#define EXAMPLE_KEY	"call/+4512345678/2026-11-23"
#define EXAMPLE_HASH	"acc872c1d9c2b03d56540ea451511a68" \
			"bc416824c82afaa13198d62714f75603"
#define EXAMPLE_ID	"9c1f03b2a4d5e677"
#define EXAMPLE_PRINT	"cfc3f07939cd27a14b1fbb21fd551169" \
			"ff3d2add703fd6e526aa08076dbf37b9"
#define EXAMPLE_HEAD \
	"idq job 1\n" \
	"Key: " EXAMPLE_KEY "\n" \
	"Id: " EXAMPLE_ID "\n" \
	"Added: 2026-11-23T20:35:00.123456Z\n" \
	"By: uid=1000 host=web1 pid=4211\n" \
	"Due: 2026-11-23T20:35:00.123456Z\n" \
	"Expires: 2026-11-23T22:00:00.000000Z\n" \
	"Group: +4512345678\n" \
	"Arg: +4512345678\n" \
	"Arg: Dentist at 14:00\n" \
	"Length: 5\n" \
	"Fingerprint: " EXAMPLE_PRINT "\n" \
	"\n"
#define EXAMPLE_BODY	"hello\n"

static char spool_dir[512];

/* Not synced: no test cuts the power. */
static inline struct idq *
spool_make(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[sizeof(spool_dir) + 8];
	struct idq *q;

	umask(0);
	snprintf(spool_dir, sizeof(spool_dir), "%s/idq-unit.XX" "XX" "XX",
	    tmp != NULL ? tmp : "/tmp");
	if (mkdtemp(spool_dir) == NULL)
		err(1, "%s", spool_dir);
	snprintf(path, sizeof(path), "%s/queue", spool_dir);
	if (idq_init(&q, path) == -1)
		errx(1, "%s", q != NULL ? idq_errmsg(q) : path);
	q->cfg[CFG_SYNC] = SYNC_OFF;
	return q;
}

static inline int
spool_unlink(const char *path, const struct stat *st, int type,
    struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void
spool_remove(struct idq *q)
{
	idq_close(q);
	if (nftw(spool_dir, spool_unlink, 16, FTW_DEPTH | FTW_PHYS) != 0)
		err(1, "%s", spool_dir);
}

/* PATH, in the queue, holds these bytes and no others. */
static inline void
spool_write(struct idq *q, const char *path, const char *data, size_t len)
{
	int fd = openat(q->fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd == -1 || idq_write_all(fd, data, len) == -1)
		err(1, "%s", path);
	close(fd);
}

/* What PATH holds, with a NUL behind it, to be freed. */
static inline char *
spool_read(struct idq *q, const char *path, size_t *len)
{
	int fd = openat(q->fd, path, O_RDONLY);
	struct stat st;
	char *data;

	if (fd == -1 || fstat(fd, &st) == -1)
		err(1, "%s", path);
	data = calloc(1, (size_t)st.st_size + 1);
	if (data == NULL || read(fd, data, (size_t)st.st_size) != st.st_size)
		err(1, "%s", path);
	close(fd);
	if (len != NULL)
		*len = (size_t)st.st_size;
	return data;
}

/* The entries of a directory of the queue. */
static inline int
spool_entries(struct idq *q, const char *path)
{
	DIR *d = idq_opendir(q, path);
	int n = 0;

	if (d == NULL)
		err(1, "%s", path);
	while (idq_readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

#endif /* SPOOL_H */
