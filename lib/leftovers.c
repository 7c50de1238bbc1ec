/* SPDX-License-Identifier: ISC */
/*
 * What is left in tmp/, asked/ and out/ of jobs that are gone.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

static int
has_id(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	(void)folder;
	(void)e;
	return strcmp(n->id, arg) == 0;
}

/* Whether a job that has not ended has ID: 1, 0, -1. */
static int
is_unfinished(struct check *c, char *id)
{
	int r = 0;

	for (int p = 0; r == 0 && p < PL_DONE; p++)
		r = idq_walk(c->q, (enum place)p, has_id, id);
	return r;
}

/* What only idq makes, and only as a file. */
static bool
is_file(struct check *c, const char *path)
{
	struct stat st;

	if (idq_at_stat(c->q, path, &st) == 0 && S_ISREG(st.st_mode))
		return true;
	idq_report(c, false, path, "is no regular file");
	return false;
}

static void
check_wish(struct check *c, char *id, const char *path)
{
	if (!is_file(c, path))
		return;
	if (is_unfinished(c, id) != 0)
		return;
	if (!c->f->dry_run && idq_at_unlink(c->q, path, 0) == 0)
		idq_report(c, true, path, "for a job that has ended: removed");
	else
		idq_report(c, false, path, "for a job that has ended");
}

/* Wishes for jobs that are gone or have ended. */
int
idq_check_asked(struct check *c)
{
	char path[PATH_SIZE];
	struct dirent *e;
	DIR *d;

	if ((d = idq_opendir(c->q, "asked")) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(c->q, "%s/asked", c->q->path);
	while ((e = idq_readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "asked/%.64s", e->d_name);
		if (strlen(e->d_name) != IDQ_ID_LEN ||
		    !idq_is_hex(e->d_name, IDQ_ID_LEN))
			idq_report(c, false, path, "is no id");
		else
			check_wish(c, e->d_name, path);
	}
	closedir(d);
	return 0;
}

/* Whether a job with HASH has ID; where that cannot be told it has. */
static bool
is_known(struct check *c, const struct name *n)
{
	static const enum place places[] = { PL_CUR, PL_HOLD, PL_FAILED };
	char path[PATH_SIZE];
	struct job j;
	bool known;
	int r;

	if ((r = idq_key_open(c->q, n->hash, &j)) == -1)
		return true;
	if (r == 1) {
		known = !j.whole || strcmp(j.pub.id, n->id) == 0;
		idq_job_close(&j);
		if (known)
			return true;
	}
	/* One that was set aside does not have its key. */
	for (size_t i = 0; i < NITEMS(places); i++) {
		idq_place_path(places[i], n->hash, n->id, 0, path);
		if (idq_at_exists(c->q, path))
			return true;
	}
	return false;
}

static void
check_output(struct check *c, const char *name)
{
	char path[2 * PATH_SIZE];
	struct name n;
	uint32_t claim;

	snprintf(path, sizeof(path), "out/%.128s", name);
	if (idq_token_parse(name, &n, &claim) == -1 || claim == 0)
		idq_report(c, false, path, "is no name of an output");
	else if (!is_file(c, path) || is_known(c, &n))
		return;
	else if (!c->f->dry_run && idq_at_unlink(c->q, path, 0) == 0)
		idq_report(c, true, path, "of a job that is gone: removed");
	else
		idq_report(c, false, path, "of a job that is gone");
}

/* What the commands of jobs printed that are gone. */
int
idq_check_out(struct check *c)
{
	struct dirent *e;
	DIR *d;

	if ((d = idq_opendir(c->q, "out")) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(c->q, "%s/out", c->q->path);
	while ((e = idq_readdir(d)) != NULL)
		check_output(c, e->d_name);
	closedir(d);
	return 0;
}

static void
check_tmp_file(struct check *c, const char *name)
{
	char path[2 * PATH_SIZE];
	struct job j;

	snprintf(path, sizeof(path), "tmp/%.64s", name);
	if (!c->f->dry_run) {
		switch (idq_reap_file(c->q, name, c->bad)) {
		case 1:
			idq_report(c, true, path, "unfinished: completed, or "
			    "removed if it was never accepted");
			break;
		case -1:
			idq_complain(c, path);
			break;
		}
		return;
	}
	switch (idq_job_take(c->q, path, NULL, NULL, &j)) {
	case 1:
		idq_report(c, false, path, "unfinished");
		idq_job_close(&j);
		break;
	case -1:
		idq_complain(c, path);
		break;
	}
}

int
idq_check_tmp(struct check *c)
{
	struct dirent *e;
	DIR *d;

	if ((d = idq_opendir(c->q, "tmp")) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(c->q, "%s/tmp", c->q->path);
	while ((e = idq_readdir(d)) != NULL)
		check_tmp_file(c, e->d_name);
	closedir(d);
	return 0;
}
