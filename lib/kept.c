/* SPDX-License-Identifier: ISC */
/*
 * Names that a scan of a large folder has learned, kept in run/ for the next
 * claims: a line with the time of the scan, then one of equal length per name,
 * the oldest last, so that one is taken off by ftruncate(2).  The file is only
 * ever changed under its own lock, and may be removed at any time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define RECORD		(NEW_LEN + 1)
#define MAX_AGE		IDQ_MINUTE	/* what was moved by hand shows then */
#define WAIT		IDQ_SECOND	/* for a scan of somebody else */

static off_t
at(off_t i)
{
	return (i + 1) * (off_t)RECORD;
}

/* A line without its newline. */
static bool
read_record(int fd, off_t off, char name[NEW_LEN + 1])
{
	if (pread(fd, name, RECORD, off) != (ssize_t)RECORD ||
	    name[NEW_LEN] != '\n')
		return false;
	name[NEW_LEN] = '\0';
	return true;
}

/* How many names it has; 0 if it is too old, or not a file of ours. */
static off_t
count(const struct kept *k)
{
	char line[NEW_LEN + 1];
	int64_t then, now = idq_now();
	struct stat st;

	if (fstat(k->file.fd, &st) == -1 || st.st_size <= (off_t)RECORD ||
	    st.st_size % (off_t)RECORD != 0 ||
	    !read_record(k->file.fd, 0, line))
		return 0;
	line[DUE_LEN] = '\0';
	if (idq_due_parse(line, &then) == -1 || then > now ||
	    now - then > MAX_AGE)
		return 0;
	return st.st_size / (off_t)RECORD - 1;
}

int
idq_kept_open(struct idq *q, const char *path, bool create, struct kept *k)
{
	int r;

	if (!create && !idq_at_exists(q, path))
		return 0;
	k->q = q;
	k->path = path;
	if ((r = idq_state_open(q, path, WAIT, &k->file)) == 1)
		k->n = count(k);
	return r;
}

void
idq_kept_close(struct kept *k)
{
	/* What is used up, or is none of ours, is better not there. */
	if (k->n == 0)
		idq_drop(k->q, &k->file, k->path);
	idq_job_close(&k->file);
}

bool
idq_kept_last(struct kept *k, char name[NEW_LEN + 1])
{
	struct name n;

	if (k->n > 0 && (!read_record(k->file.fd, at(k->n - 1), name) ||
	    idq_name_parse(PL_NEW, name, &n) == -1))
		k->n = 0;
	return k->n > 0;
}

void
idq_kept_pop(struct kept *k)
{
	if (--k->n > 0 && ftruncate(k->file.fd, at(k->n)) == -1)
		k->n = 0;
}

/* Where NAME belongs among the names, which get older; -1: unreadable. */
static off_t
position(const struct kept *k, const char *name)
{
	off_t low = 0, high = k->n;
	char other[NEW_LEN + 1];

	while (low < high) {
		off_t mid = low + (high - low) / 2;

		if (!read_record(k->file.fd, at(mid), other))
			return -1;
		if (strcmp(other, name) > 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

void
idq_kept_insert(struct kept *k, const char *name)
{
	off_t i = position(k, name);
	size_t len = i < 0 ? 0 : (size_t)(k->n - i) * RECORD;
	char *text;

	/* Behind all that are known: the next scan will find it. */
	if (k->n == 0 || i == 0)
		return;
	if (i == -1 || (text = malloc(RECORD + len)) == NULL) {
		k->n = 0;
		return;
	}
	memcpy(text, name, NEW_LEN);
	text[NEW_LEN] = '\n';
	if (pread(k->file.fd, text + RECORD, len, at(i)) == (ssize_t)len &&
	    pwrite(k->file.fd, text, RECORD + len, at(i)) ==
	    (ssize_t)(RECORD + len))
		k->n++;
	else
		k->n = 0;
	free(text);
}

/* To be freed. */
static char *
kept_text(const struct first *f, size_t *len)
{
	char *text = malloc((f->n + 1) * RECORD), *s = text;

	if (text == NULL)
		return NULL;
	memset(text, '-', NEW_LEN);
	idq_due_format(idq_now(), text);
	text[DUE_LEN] = ' ';
	text[NEW_LEN] = '\n';
	for (size_t i = f->n; i > 0; i--) {
		s += RECORD;
		memcpy(s, f->names[i - 1], NEW_LEN);
		s[NEW_LEN] = '\n';
	}
	*len = (f->n + 1) * RECORD;
	return text;
}

void
idq_kept_write(struct kept *k, const struct first *f)
{
	struct idq *q = k->q;
	char path[PATH_SIZE], *text;
	size_t len;
	int fd;

	k->n = 0;
	snprintf(path, sizeof(path), "%s.tmp", k->path);
	if ((text = kept_text(f, &len)) == NULL)
		return;
	/* Renamed, so that a kill leaves all of them or none. */
	idq_at_unlink(q, path, 0);
	fd = idq_at_open(q, path, O_WRONLY | O_CREAT | O_EXCL);
	if (fd != -1) {
		if (idq_write_all(fd, text, len) == 0 &&
		    idq_at_rename(q, path, k->path) == 0)
			k->n = (off_t)f->n;
		else
			idq_at_unlink(q, path, 0);
		close(fd);
	}
	free(text);
}
