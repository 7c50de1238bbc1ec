/* SPDX-License-Identifier: ISC */
/*
 * The oldest job of paced/GH/, whatever is in there.  The first names of a long
 * folder are kept in run/next.GH.  The caller has the group locked.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

static void
kept_path(const char *group, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "run/next.%s", group);
}

/* Of the names kept behind AFTER the oldest that is still there: 1, 0. */
static int
kept_first(struct idq *q, const char *group, const char *after,
    char name[NEW_LEN + 1])
{
	char path[PATH_SIZE], kept[PATH_SIZE];
	bool found = false;
	struct kept k;

	kept_path(group, kept);
	if (idq_kept_open(q, kept, false, &k) != 1)
		return 0;
	while (!found && idq_kept_last(&k, name)) {
		snprintf(path, sizeof(path), "paced/%s/%s", group, name);
		found = strcmp(name, after) > 0 && idq_at_exists(q, path);
		if (!found)
			idq_kept_pop(&k);
	}
	idq_kept_close(&k);
	return found;
}

static void
keep(struct idq *q, const char *group, const struct first *f)
{
	char path[PATH_SIZE];
	struct kept k;

	kept_path(group, path);
	if (idq_kept_open(q, path, true, &k) != 1)
		return;
	idq_kept_write(&k, f);
	idq_kept_close(&k);
}

/* The first names behind AFTER; none if there is no folder. */
static int
scan(struct idq *q, const char *group, const char *after, struct first *f)
{
	char path[PATH_SIZE];
	struct dirent *e;
	struct name n;
	DIR *d;
	int err;

	snprintf(path, sizeof(path), "paced/%s", group);
	if ((d = idq_opendir(q, path)) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(q, "%s/%s", q->path, path);
	while ((e = idq_readdir(d)) != NULL)
		if (idq_name_parse(PL_PACED, e->d_name, &n) == 0 &&
		    strcmp(e->d_name, after) > 0)
			idq_first_add(f, e->d_name);
	err = errno;
	closedir(d);
	idq_first_end(f);
	errno = err;
	return err == 0 ? 0 : idq_errno(q, "%s/%s", q->path, path);
}

static bool
any(struct idq *q, const char *group)
{
	char path[PATH_SIZE];

	snprintf(path, sizeof(path), "paced/%s", group);
	return idq_at_exists(q, path);
}

int
idq_parked_first(struct idq *q, const char *group, const char *after,
    char name[NEW_LEN + 1])
{
	struct first f;
	int r;

	if (!any(q, group))
		return 0;
	if (kept_first(q, group, after, name))
		return 1;
	if (idq_first_init(&f, KEPT_LONG) == -1)
		return idq_errno(q, "%s", q->path);
	r = scan(q, group, after, &f);
	if (r == 0 && f.n > 0) {
		strlcpy(name, f.names[0], NEW_LEN + 1);
		if (f.n > KEPT_SHORT)
			keep(q, group, &f);
		r = 1;
	}
	idq_first_free(&f);
	return r;
}

void
idq_parked_drop(struct idq *q, const char *group, const char *name)
{
	char path[PATH_SIZE], last[NEW_LEN + 1];
	struct kept k;

	kept_path(group, path);
	if (idq_kept_open(q, path, false, &k) != 1)
		return;
	if (idq_kept_last(&k, last) && strcmp(last, name) == 0)
		idq_kept_pop(&k);
	idq_kept_close(&k);
}

void
idq_parked_added(struct idq *q, const char *group, const char *name)
{
	char path[PATH_SIZE];
	struct kept k;

	kept_path(group, path);
	if (idq_kept_open(q, path, false, &k) != 1)
		return;
	idq_kept_insert(&k, name);
	idq_kept_close(&k);
}

void
idq_parked_forget(struct idq *q, const char *group)
{
	char path[PATH_SIZE];

	kept_path(group, path);
	idq_remove(q, path);
}
