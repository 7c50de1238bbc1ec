/* SPDX-License-Identifier: ISC */
/*
 * Joining copies.  A queue that was copied without hard links has each job
 * twice.  As far as both copies go they are the same, and the longer one knows
 * more.
 */
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

/* How A and B compare up to the end of the shorter: 1 alike, 0 not, -1. */
static int
begin_alike(struct check *c, const struct job *a, const struct job *b)
{
	char x[4096], y[4096];
	int64_t len = a->end < b->end ? a->end : b->end, at;
	size_t n;

	for (at = 0; at < len; at += (int64_t)n) {
		n = len - at < (int64_t)sizeof(x) ? (size_t)(len - at) :
		    sizeof(x);
		if (pread(a->fd, x, n, at) != (ssize_t)n ||
		    pread(b->fd, y, n, at) != (ssize_t)n)
			return idq_errno(c->q, "%s/%s", c->q->path,
			    a->pub.path);
		if (memcmp(x, y, n) != 0)
			return 0;
	}
	return 1;
}

/* J takes its key from a copy of it that knows less. */
static int
take_key(struct check *c, struct job *j, const char *path, const char *key)
{
	char tmp[PATH_SIZE];

	idq_tmp_path(j->pub.id, ".k", tmp);
	if (idq_sync_file(c->q, j->fd) == -1 ||
	    idq_at_link(c->q, path, tmp) == -1 ||
	    idq_at_rename(c->q, tmp, key) == -1 ||
	    idq_sync_keys(c->q, j->pub.hash) == -1)
		return idq_errno(c->q, "%s/%s", c->q->path, key);
	return 0;
}

/* The key of J, at PATH, belongs to OWN, which has its id: 1, or -1. */
static int
join(struct check *c, struct job *j, const char *path, const struct job *own)
{
	int r = begin_alike(c, j, own);

	if (r == -1)
		return -1;
	if (r == 0)
		idq_report(c, false, path, "its key's file is of the same job, "
		    "with another history");
	else if (c->f->dry_run)
		idq_report(c, false, path, "is a copy of its key's file");
	else if (j->end > own->end) {
		if (take_key(c, j, path, own->pub.path) == -1)
			return -1;
		idq_report(c, true, path, "its key's file was a copy: linked "
		    "again");
		return 2;
	} else {
		if (idq_drop(c->q, j, path) == -1)
			return -1;
		idq_report(c, true, path,
		    "was a copy of its key's file: removed");
	}
	return 1;
}

/*
 * OWN, at PATH, has the key of a job that is not OWN: what stands in no
 * directory may have to go, or to be completed, before that job is judged.
 */
static int
check_owner(struct check *c, struct job *own, const char *path,
    const char *hash)
{
	int r;

	if (c->f->dry_run)
		return 0;
	if (!own->whole && (!own->begins || idq_is_named(c->q, hash) != 0))
		return 0;
	/* What is wrong with it is said when its own turn comes. */
	c->quiet = true;
	r = idq_mend_nameless(c, own, path, hash);
	c->quiet = false;
	return r == -1 ? 0 : 2;
}

/*
 * Whether J, which does not have its key, is in truth the job that has: 1 and
 * it is seen to, 2 its key may have another owner by now, 0 no, -1.
 */
int
idq_rejoin(struct check *c, struct job *j, const char *path)
{
	char key[PATH_SIZE];
	struct job own;
	bool busy = false;
	int r;

	idq_key_path(j->pub.hash, key);
	r = idq_job_take(c->q, key, j->pub.hash, &busy, &own);
	if (r != 1)
		return r == 0 && busy ? 1 : r;
	if (own.whole && strcmp(own.pub.id, j->pub.id) == 0)
		r = join(c, j, path, &own);
	else
		r = check_owner(c, &own, key, j->pub.hash);
	idq_job_unlock(&own);
	idq_job_close(&own);
	return r;
}
