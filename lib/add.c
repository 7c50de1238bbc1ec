/* SPDX-License-Identifier: ISC */
/*
 * Adding a job, or a group of them.  The link(2) of a new file to its key's
 * name is the only place where it is decided whether a key is new.
 */
#include <sys/resource.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define GROUP_MAX	4096

/* 1 the key is ours, 0 it is somebody's, 2 our file is gone, -1. */
static int
link_key(struct idq *q, struct adding *a)
{
	char key[PATH_SIZE];
	int r, err;

	idq_key_path(a->file.pub.hash, key);
	r = idq_at_link(q, a->file.pub.path, key);
	if (r == -1 && errno == ENOENT) {
		/* Our file, or the folder of the key. */
		if ((r = idq_job_is(q, &a->file, a->file.pub.path)) != 1)
			return r == 0 ? 2 : -1;
		r = idq_mkdir_for(q, key);
		if (r == 0)
			r = idq_at_link(q, a->file.pub.path, key);
	}
	if (r == 0)
		return 1;
	/* On NFS it may have been done and the reply been lost. */
	err = errno;
	if ((r = idq_job_is(q, &a->file, key)) != 0 || err == EEXIST)
		return r;
	errno = err;
	return idq_errno(q, "%s/%s", q->path, key);
}

/* Put the new file in the place of OLD, which is locked. */
static int
replace(struct idq *q, struct adding *a, struct job *old)
{
	char k[PATH_SIZE], key[PATH_SIZE], tmp[PATH_SIZE];
	struct job *j = &a->file;
	enum place place;
	int r = 0;

	if (idq_new_write(q, a) == -1)
		return -1;
	if (idq_sync_file(q, j->fd) == -1)
		return idq_errno(q, "%s/%s: sync", q->path, j->pub.path);
	idq_tmp_path(j->pub.id, ".k", k);
	idq_key_path(j->pub.hash, key);
	if ((idq_at_link(q, j->pub.path, k) == -1 &&
	    !idq_is_at(q, j->fd, k)) ||
	    (idq_at_rename(q, k, key) == -1 && !idq_is_at(q, j->fd, key)))
		return idq_errno(q, "%s/%s", q->path, key);
	if (!old->whole)
		return 0;
	/* From here on OLD owns no key; an expired one stays as history. */
	if ((place = idq_where(q, old)) < PL_TMP &&
	    old->pub.state != IDQ_EXPIRED)
		r = idq_free_key(q, old, old->pub.path, false);
	else if (place < PL_TMP && place != PL_EXPIRED) {
		idq_place_of(old, a->now, tmp);
		r = idq_move(q, old, old->pub.path, tmp);
	}
	if (r == -1)
		idq_notice(q, "%s", q->msg);
	idq_tmp_path(old->pub.id, "", tmp);
	idq_drop(q, old, tmp);
	idq_tmp_path(old->pub.id, ".bad", tmp);
	idq_drop(q, old, tmp);
	return 0;
}

static void
fill_result(struct idq_added *r, const struct job *j, int64_t now)
{
	const struct idq_job *p = &j->pub;

	strlcpy(r->id, p->id, sizeof(r->id));
	r->state = p->state;
	r->age = now - p->added;
	r->since = p->since;
	r->due = p->due;
	r->release = p->release;
	r->paced = strncmp(p->path, "paced/", 6) == 0;
}

/* What of the two requests differs. */
static void
compare(struct idq *q, struct adding *a, const struct job *old)
{
	struct job mixed = *old;
	const struct idq_job *p = &a->file.pub;
	bool differ = p->nargs != old->pub.nargs;

	for (size_t i = 0; !differ && i < p->nargs; i++)
		differ = strcmp(p->args[i], old->pub.args[i]) != 0;
	a->res->args_differ = differ;
	/* The old payload under the new arguments: the new fingerprint? */
	mixed.pub.args = p->args;
	mixed.pub.nargs = p->nargs;
	strlcpy(mixed.pub.fingerprint, p->fingerprint,
	    sizeof(mixed.pub.fingerprint));
	a->res->payload_differs = p->length != old->pub.length ||
	    idq_job_verify(q, &mixed) == 0;
}

static int
mismatch(struct idq *q, struct adding *a)
{
	struct idq_added *r = a->res;
	const char *what = r->args_differ && r->payload_differs ?
	    "args and payload" : r->args_differ ? "args" : "payload";

	r->outcome = IDQ_MISMATCH;
	return idq_error(q, EX_DATAERR,
	    "differs from the job that has the key: %s", what);
}

/* The key is held by J, which stays as it is. */
static int
answer(struct idq *q, struct adding *a, const struct job *j)
{
	struct idq_added *r = a->res;
	int64_t last;

	fill_result(r, j, a->now);
	r->outcome = IDQ_DUPLICATE;
	/* A run may still turn out to be a further try. */
	if (a->file.pub.run)
		return 0;
	if (strcmp(j->pub.fingerprint, a->file.pub.fingerprint) != 0) {
		compare(q, a, j);
		idq_dups_count(q, j->pub.hash, j->pub.id, &r->dups, &last);
		idq_log_write(q, &j->pub, a->now, "mismatch", 0, "");
		return mismatch(q, a);
	}
	/* The job is there; that one count is lost is no failure of the add. */
	if (idq_dups_add(q, j->pub.hash, j->pub.id, a->now, &r->dups) == -1)
		idq_notice(q, "%s", q->msg);
	return 0;
}

/* Until it has its key or an answer. */
static int
begin(struct idq *q, struct adding *a, int64_t wait)
{
	struct asking ask = { a->file.pub.hash, a->file.pub.expires,
	    a->req->reuse, wait };
	struct job old;
	int r;

	for (;;) {
		switch (idq_holder(q, &ask, &old)) {
		case -1:
			return -1;
		case HOLDER_BUSY:
			a->step = STEP_PUT_OFF;
			return 0;
		case HOLDER_KEEPS:
			a->step = STEP_ANSWERED;
			r = answer(q, a, &old);
			idq_job_close(&old);
			return r;
		case HOLDER_GIVES:
			a->step = STEP_LINKED;
			r = replace(q, a, &old);
			idq_job_unlock(&old);
			idq_job_close(&old);
			return r;
		}
		if (idq_new_write(q, a) == -1 || (r = link_key(q, a)) == -1)
			return -1;
		if (r == 1) {
			a->step = STEP_LINKED;
			return 0;
		}
		if (r == 2)
			idq_new_discard(q, a);
	}
}

static void
failed(struct idq *q, struct adding *a)
{
	if (a->res->outcome != IDQ_MISMATCH)
		a->res->outcome = IDQ_ERROR;
	a->res->code = q->code;
	strlcpy(a->res->message, q->msg, sizeof(a->res->message));
	a->step = STEP_FAILED;
	idq_new_discard(q, a);
}

/*
 * Nobody can have been told of it, since every duplicate waits for the lock.
 */
static void
withdraw(struct idq *q, struct adding *a)
{
	char key[PATH_SIZE];

	idq_key_path(a->file.pub.hash, key);
	idq_drop(q, &a->file, key);
	q->code = EX_TEMPFAIL;
	failed(q, a);
}

/* Key and payload are on disk. */
static void
commit(struct idq *q, struct adding *a)
{
	struct job *j = &a->file;
	char to[PATH_SIZE], tmp[PATH_SIZE];

	idq_job_state(j, a->now);
	idq_place_of(j, a->now, to);
	idq_tmp_path(j->pub.id, "", tmp);
	/* The job stands even so: the next worker completes it. */
	if (idq_pace_move(q, j, tmp, to) != 1)
		idq_notice(q, "%s", q->msg);
	idq_log_write(q, &j->pub, a->now, "added", 0, "");
	if (a->too_late)
		idq_log_write(q, &j->pub, a->now, "expired", 0, "");
	a->res->outcome = IDQ_ADDED;
	j->pub.since = a->now;
	fill_result(a->res, j, a->now);
	idq_job_unlock(j);
	close(j->fd);
	j->fd = -1;
}

/* For the alarm: since when has nothing been started?  Once for them all. */
static void
note_adds(struct idq *q, struct adding *as, size_t n)
{
	int64_t first = 0;

	for (size_t i = 0; i < n; i++) {
		struct idq_added *r = as[i].res;

		if (r->outcome != IDQ_ADDED || r->state != IDQ_PENDING)
			continue;
		if (first == 0)
			first = idq_stamp_add(q, as[i].now);
		r->unstarted = first;
	}
}

size_t
idq_group_max(void)
{
	struct rlimit lim;
	size_t spare = 32;

	if (getrlimit(RLIMIT_NOFILE, &lim) == -1 || lim.rlim_cur <= spare)
		return 1;
	return lim.rlim_cur - spare < GROUP_MAX ?
	    (size_t)lim.rlim_cur - spare : GROUP_MAX;
}

/* The jobs of a group by hash: it must not wait for its own locks. */
struct table {
	size_t	*slots;			/* index + 1; 0: empty */
	size_t	 size;
};

static size_t *
table_slot(const struct table *t, const struct adding *as, const char *hash)
{
	char digits[16] = "";
	size_t i;

	memcpy(digits, hash, 15);
	for (i = strtoull(digits, NULL, 16) % t->size; t->slots[i] != 0;
	    i = (i + 1) % t->size)
		if (strcmp(as[t->slots[i] - 1].file.pub.hash, hash) == 0)
			break;
	return &t->slots[i];
}

static void
begin_one(struct idq *q, struct adding *as, size_t i, struct table *t)
{
	struct adding *a = &as[i];
	size_t *slot = t->size > 0 ?
	    table_slot(t, as, a->file.pub.hash) : NULL;

	if (slot != NULL && *slot != 0) {
		a->own = *slot - 1;
		a->step = STEP_OWN;
		idq_new_discard(q, a);
		return;
	}
	if (begin(q, a, 0) == -1) {
		failed(q, a);
		return;
	}
	if (a->step == STEP_LINKED && slot != NULL) {
		*slot = i + 1;
		/* Start writing all of them before waiting for the first. */
		sync_file_range(a->file.fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	}
}

static void
sync_all(struct idq *q, struct adding *as, size_t n)
{
	bool touched[256] = { false };
	unsigned int shard;

	for (size_t i = 0; i < n; i++) {
		if (as[i].step != STEP_LINKED)
			continue;
		if (idq_sync_file(q, as[i].file.fd) == -1) {
			idq_errno(q, "%s/%s: sync", q->path,
			    as[i].file.pub.path);
			withdraw(q, &as[i]);
			continue;
		}
		sscanf(as[i].file.pub.hash, "%2x", &shard);
		touched[shard] = true;
	}
	for (size_t i = 0; i < n; i++) {
		if (as[i].step != STEP_LINKED)
			continue;
		sscanf(as[i].file.pub.hash, "%2x", &shard);
		if (!touched[shard])
			continue;
		touched[shard] = false;
		if (idq_sync_keys(q, as[i].file.pub.hash) == 0)
			continue;
		idq_errno(q, "%s/keys/%02x: sync", q->path, shard);
		for (size_t k = 0; k < n; k++)
			if (as[k].step == STEP_LINKED && strncmp(
			    as[k].file.pub.hash, as[i].file.pub.hash, 2) == 0)
				withdraw(q, &as[k]);
	}
}

/* What could not be had while the group held its locks. */
static void
begin_late(struct idq *q, struct adding *a)
{
	a->step = STEP_ANSWERED;
	if (begin(q, a, LOCK_WAIT) == -1)
		failed(q, a);
	else if (a->step == STEP_PUT_OFF) {
		idq_error(q, EX_TEMPFAIL, "another add of it is under way");
		failed(q, a);
	}
}

/* A duplicate of one in the same group, which has been committed or failed. */
static void
answer_own(struct idq *q, struct adding *as, struct adding *a)
{
	struct adding *first = &as[a->own];

	if (first->step != STEP_FAILED) {
		begin_late(q, a);
		return;
	}
	q->code = first->res->code;
	strlcpy(q->msg, first->res->message, sizeof(q->msg));
	failed(q, a);
}

static void
run_group(struct idq *q, struct adding *as, size_t n, struct table *t)
{
	for (size_t i = 0; i < n; i++)
		if (idq_new_prepare(q, &as[i]) == -1)
			failed(q, &as[i]);
		else
			begin_one(q, as, i, t);
	sync_all(q, as, n);
	for (size_t i = 0; i < n; i++)
		if (as[i].step == STEP_LINKED)
			commit(q, &as[i]);
	note_adds(q, as, n);
	for (size_t i = 0; i < n; i++) {
		if (as[i].step == STEP_OWN)
			answer_own(q, as, &as[i]);
		else if (as[i].step == STEP_PUT_OFF)
			begin_late(q, &as[i]);
		else
			continue;
		if (as[i].step == STEP_LINKED) {
			sync_all(q, &as[i], 1);
			if (as[i].step == STEP_LINKED)
				commit(q, &as[i]);
		}
	}
}

int
idq_add_group(struct idq *q, const struct idq_add *adds, size_t n,
    struct idq_added *results)
{
	struct adding *as = calloc(n, sizeof(*as));
	struct table t = { NULL, 0 };
	int code = 0;

	if (n > 1) {
		t.size = 2 * n + 1;
		t.slots = calloc(t.size, sizeof(*t.slots));
	}
	if (as == NULL || (n > 1 && t.slots == NULL)) {
		free(as);
		free(t.slots);
		return idq_errno(q, "%s", q->path);
	}
	memset(results, 0, n * sizeof(*results));
	for (size_t i = 0; i < n; i++) {
		as[i].req = &adds[i];
		as[i].res = &results[i];
		results[i].outcome = IDQ_ERROR;
		as[i].file.fd = -1;
	}
	run_group(q, as, n, &t);
	for (size_t i = 0; i < n; i++) {
		idq_new_discard(q, &as[i]);
		idq_new_free(&as[i]);
		if (results[i].code > code) {
			code = results[i].code;
			strlcpy(q->msg, results[i].message, sizeof(q->msg));
		}
	}
	free(as);
	free(t.slots);
	q->code = code;
	return code == 0 ? 0 : -1;
}

int
idq_add(struct idq *q, const struct idq_add *add, struct idq_added *result)
{
	return idq_add_group(q, add, 1, result);
}

/* Give the new file, still locked and in tmp/, to J. */
static int
hand_over(struct idq *q, struct adding *a, struct job *j)
{
	memset(j, 0, sizeof(*j));
	*j = (struct job){ .fd = a->file.fd, .dev = a->file.dev,
	    .ino = a->file.ino };
	strlcpy(j->pub.path, a->file.pub.path, sizeof(j->pub.path));
	a->file.fd = -1;
	/* A command that writes to its copy must not reach the header. */
	if (fcntl(j->fd, F_SETFL, O_APPEND) == -1)
		return idq_errno(q, "%s/%s", q->path, j->pub.path);
	if (idq_job_load(q, j, a->file.pub.hash) == -1)
		return -1;
	/* A line would cut off what was read back as damaged. */
	return j->whole ? 0 : idq_not_whole(q, j);
}

int
idq_add_run(struct idq *q, const struct idq_add *add, struct job *j)
{
	struct idq_added res = { 0 };
	struct adding a = { .req = add, .res = &res, .file = JOB_INIT };
	int r = 0;

	a.file.pub.run = true;
	if (idq_new_prepare(q, &a) == -1 || begin(q, &a, LOCK_WAIT) == -1) {
		r = -1;
	} else if (a.step == STEP_PUT_OFF) {
		r = 2;
	} else if (a.step == STEP_LINKED) {
		sync_all(q, &a, 1);
		r = a.step == STEP_LINKED && hand_over(q, &a, j) == 0 ? 1 : -1;
	}
	idq_new_discard(q, &a);
	idq_new_free(&a);
	return r;
}
