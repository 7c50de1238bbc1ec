/* SPDX-License-Identifier: ISC */
/*
 * Completing an unfinished add.  Whoever finds one must sync before the rename:
 * a name in a state directory is proof of a sync, and a duplicate is
 * acknowledged on that proof alone.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

/* Nobody was told of it: an `idq run' that had not begun. */
static int
take_back(struct idq *q, struct job *j)
{
	char path[PATH_SIZE];

	idq_key_path(j->pub.hash, path);
	if (idq_drop(q, j, path) == -1)
		return -1;
	idq_tmp_path(j->pub.id, "", path);
	return idq_drop(q, j, path) == -1 ? -1 : COMPLETE_GONE;
}

/*
 * The sync failed: mark it, so that nobody syncs this inode again.  A job with
 * a trail was on disk before, and a copy in its place would start anew.
 */
static int
set_bad(struct idq *q, struct job *j, const char *tmp)
{
	char bad[PATH_SIZE], key[PATH_SIZE];

	idq_errno(q, "%s/%s: sync", q->path, tmp);
	idq_tmp_path(j->pub.id, ".bad", bad);
	idq_key_path(j->pub.hash, key);
	if (!j->started && idq_at_rename(q, tmp, bad) == -1 &&
	    idq_at_link(q, key, bad) == -1)
		idq_notice(q, "%s/%s: %s", q->path, bad, strerror(errno));
	q->code = EX_TEMPFAIL;
	return -1;
}

int
idq_complete(struct idq *q, struct job *j)
{
	char tmp[PATH_SIZE], bad[PATH_SIZE], key[PATH_SIZE], to[PATH_SIZE];
	int r, had;

	if (j->pub.run && !j->started)
		return take_back(q, j);
	idq_tmp_path(j->pub.id, ".bad", bad);
	if ((r = idq_job_is(q, j, bad)) != 0)
		return r == -1 ? -1 : COMPLETE_BAD;
	if ((r = idq_job_verify(q, j)) != 1)
		return r == -1 ? -1 : COMPLETE_BAD;
	idq_tmp_path(j->pub.id, "", tmp);
	if (idq_sync_file(q, j->fd) == -1 ||
	    idq_sync_keys(q, j->pub.hash) == -1)
		return set_bad(q, j, tmp);
	/* A power cut can leave the key's name alone. */
	idq_key_path(j->pub.hash, key);
	if ((had = idq_job_is(q, j, tmp)) == -1)
		return -1;
	if (had == 0 && idq_at_link(q, key, tmp) == -1)
		return idq_errno(q, "%s/%s", q->path, tmp);
	idq_place_of(j, idq_now(), to);
	if (idq_pace_move(q, j, tmp, to) == -1) {
		/* As it was before. */
		if (had == 0)
			idq_at_unlink(q, tmp, 0);
		return -1;
	}
	idq_tmp_path(j->pub.id, ".k", tmp);
	if (idq_drop(q, j, tmp) == -1)
		return -1;
	if (!j->started)
		idq_log_write(q, &j->pub, idq_now(), "added", 0,
		    "completed=1");
	return COMPLETE_OK;
}
