/* SPDX-License-Identifier: ISC */
/*
 * Adding a job, or a group of them.  The link(2) of a new file to its key's
 * name is the only place where it is decided whether a key is new.
 */
#include <sys/file.h>
#include <sys/resource.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define GROUP_MAX	4096
#define ARG_SIZE	(128 * 1024)
#define WIDTH		13		/* of a Length not known beforehand */

enum step {
	STEP_FAILED,
	STEP_ANSWERED,			/* a duplicate or a mismatch */
	STEP_LINKED,			/* has its key, not yet synced */
	STEP_OWN,			/* duplicate of one of this group */
	STEP_PUT_OFF			/* a living adder holds the key */
};

/* One add on its way. */
struct adding {
	const struct idq_add *req;
	struct idq_added *res;
	enum step	 step;
	int64_t		 now;
	struct job	 file;		/* its pub borrows from req */
	char		*by;
	char		*memory;	/* payload read from req->fd */
	const void	*payload;
	bool		 spooled;	/* payload and header are in tmp/ID */
	bool		 too_late;	/* past its own deadline */
	size_t		 own;		/* STEP_OWN: which */
};

static int
set_times(struct idq *q, struct adding *a)
{
	const struct idq_add *req = a->req;
	struct idq_job *p = &a->file.pub;
	int64_t ttl = req->ttl != 0 ? req->ttl :
	    req->not_after != 0 ? IDQ_FOREVER : q->cfg[CFG_TTL];

	p->added = a->now;
	p->due = req->due != 0 ? req->due : a->now;
	if (req->not_after != 0 && req->due != 0 && req->not_after < req->due)
		return idq_error(q, EX_USAGE,
		    "its deadline is before its due time");
	p->expires = req->not_after;
	if (ttl != 0 && ttl != IDQ_FOREVER &&
	    (p->expires == 0 || idq_after(p->due, ttl) < p->expires))
		p->expires = idq_after(p->due, ttl);
	a->too_late = p->expires != 0 && p->expires <= a->now;
	return 0;
}

static int
set_names(struct idq *q, struct adding *a)
{
	const struct idq_add *req = a->req;
	struct idq_job *p = &a->file.pub;
	const char *why;

	if ((why = idq_key_check(req->key, req->keylen)) != NULL)
		return idq_error(q, EX_USAGE, "its key %s", why);
	if (req->group != NULL &&
	    (why = idq_key_check(req->group, strlen(req->group))) != NULL)
		return idq_error(q, EX_USAGE, "its group %s", why);
	if ((p->key = strndup(req->key, req->keylen)) == NULL ||
	    asprintf(&a->by, "uid=%u host=%s pid=%d",
	    (unsigned int)geteuid(), q->host, (int)getpid()) == -1)
		return idq_errno(q, "%s", q->path);
	idq_key_hash(req->key, req->keylen, p->hash);
	strlcpy(a->res->hash, p->hash, sizeof(a->res->hash));
	/* What execve(2) takes: MAX_ARG_STRLEN, with the NUL. */
	for (size_t i = 0; i < req->nargs; i++)
		if (strlen(req->args[i]) >= ARG_SIZE)
			return idq_error(q, EX_USAGE,
			    "an argument is 128 KiB or longer");
	p->by = a->by;
	p->group = (char *)req->group;
	p->args = (char **)req->args;
	p->nargs = req->nargs;
	p->keep = req->keep;
	p->attempts_max = req->attempts;
	p->on_crash = req->on_crash;
	return 0;
}

/* Create and lock tmp/ID: 1, 0 a reaper was quicker, -1. */
static int
try_create(struct idq *q, struct adding *a)
{
	struct job *j = &a->file;
	struct stat st;
	int r;

	for (;;) {
		if (idq_new_id(j->pub.id) == -1)
			return idq_errno(q, "%s/tmp", q->path);
		idq_tmp_path(j->pub.id, "", j->pub.path);
		j->fd = openat(q->fd, j->pub.path, O_RDWR | O_CREAT | O_EXCL |
		    O_CLOEXEC | O_NOFOLLOW, q->fmode);
		if (j->fd != -1)
			break;
		if (errno == ENOENT && idq_mkdir_for(q, j->pub.path) == 0)
			continue;
		if (errno != EEXIST)
			return idq_errno(q, "%s/%s", q->path, j->pub.path);
	}
	if ((r = idq_job_lock(q, j, LOCK_WAIT)) == 0)
		return idq_error(q, EX_TEMPFAIL, "%s/%s: is locked", q->path,
		    j->pub.path);
	if (r == 1 && fstat(j->fd, &st) == -1)
		r = idq_errno(q, "%s/%s", q->path, j->pub.path);
	if (r == -1)
		return -1;
	j->dev = st.st_dev;
	j->ino = st.st_ino;
	return st.st_nlink > 0;
}

static int
create(struct idq *q, struct adding *a)
{
	int r;

	while ((r = try_create(q, a)) == 0)
		close(a->file.fd);
	return r == -1 ? -1 : 0;
}

/* Close tmp/ID and remove what is left of it there. */
static void
discard(struct idq *q, struct adding *a)
{
	char tmp[PATH_SIZE];

	if (a->file.fd == -1)
		return;
	idq_tmp_path(a->file.pub.id, "", tmp);
	idq_drop(q, &a->file, tmp);
	idq_tmp_path(a->file.pub.id, ".k", tmp);
	idq_drop(q, &a->file, tmp);
	close(a->file.fd);
	a->file.fd = -1;
}

/* What stands behind the payload. */
static size_t
format_tail(struct idq *q, struct adding *a, char *buf, size_t len)
{
	struct line *l = &a->file.line;

	strlcpy(buf, "\n", len);
	if (!a->too_late)
		return 1;
	memset(l, 0, sizeof(*l));
	l->at = a->now;
	l->event = EV_EXPIRED;
	l->to = PL_EXPIRED;
	l->release = idq_after(a->now, a->file.pub.keep != 0 ?
	    a->file.pub.keep : q->cfg[CFG_KEEP]);
	a->file.started = true;
	a->file.pub.release = l->release;
	return 1 + idq_line_format(l, buf + 1, len - 1);
}

static char *
format_header(struct idq *q, struct adding *a, int width, size_t *len)
{
	char *head = idq_header_format(&a->file.pub, a->file.pub.length,
	    width, len);

	if (head == NULL)
		idq_errno(q, "%s", q->path);
	else if (*len > HEADER_MAX) {
		free(head);
		head = NULL;
		idq_error(q, EX_USAGE, "its arguments are longer than 1 MiB");
	}
	return head;
}

/* Header, payload and tail in one write. */
static int
write_file(struct idq *q, struct adding *a)
{
	size_t length = (size_t)a->file.pub.length, head_len, tail_len;
	char *head, *whole, tail[LINE_SIZE];
	int r;

	if ((head = format_header(q, a, 0, &head_len)) == NULL)
		return -1;
	tail_len = format_tail(q, a, tail, sizeof(tail));
	whole = realloc(head, head_len + length + tail_len);
	if (whole == NULL) {
		free(head);
		return idq_errno(q, "%s", q->path);
	}
	if (length > 0)
		memcpy(whole + head_len, a->payload, length);
	memcpy(whole + head_len + length, tail, tail_len);
	r = idq_write_all(a->file.fd, whole, head_len + length + tail_len);
	free(whole);
	return r == 0 ? 0 : idq_errno(q, "%s/%s", q->path, a->file.pub.path);
}

/* The rest of req->fd behind the LEN bytes in BUF, into tmp/ID. */
static int
copy_rest(struct idq *q, struct adding *a, char *buf, size_t len,
    struct idq_print *print)
{
	int64_t *length = &a->file.pub.length;
	ssize_t n = (ssize_t)len;

	do {
		idq_print_add(print, buf, (size_t)n);
		if (idq_write_all(a->file.fd, buf, (size_t)n) == -1)
			return idq_errno(q, "%s/%s", q->path,
			    a->file.pub.path);
		*length += n;
		do
			n = read(a->req->fd, buf, MEMORY_MAX);
		while (n == -1 && errno == EINTR);
	} while (n > 0);
	return n == 0 ? 0 : idq_errno(q, "payload");
}

/*
 * A payload of unknown end, of which BUF has the first LEN bytes: written
 * behind the room for a header of known length, the header last.
 */
static int
spool(struct idq *q, struct adding *a, char *buf, size_t len,
    struct idq_print *print)
{
	char *head, tail[LINE_SIZE];
	size_t head_len, tail_len;
	int r;

	memset(a->file.pub.fingerprint, '0', IDQ_HASH_LEN);
	if (create(q, a) == -1 ||
	    (head = format_header(q, a, WIDTH, &head_len)) == NULL)
		return -1;
	free(head);
	if (lseek(a->file.fd, (off_t)head_len, SEEK_SET) == -1)
		return idq_errno(q, "%s/%s", q->path, a->file.pub.path);
	if (copy_rest(q, a, buf, len, print) == -1)
		return -1;
	idq_print_end(print, a->file.pub.fingerprint);
	a->spooled = true;
	tail_len = format_tail(q, a, tail, sizeof(tail));
	if ((head = format_header(q, a, WIDTH, &head_len)) == NULL)
		return -1;
	r = idq_write_all(a->file.fd, tail, tail_len);
	if (r == 0 && lseek(a->file.fd, 0, SEEK_SET) == -1)
		r = -1;
	if (r == 0)
		r = idq_write_all(a->file.fd, head, head_len);
	free(head);
	return r == 0 ? 0 : idq_errno(q, "%s/%s", q->path, a->file.pub.path);
}

/* Fill MEMORY_MAX bytes, fewer at the end of the input. */
static ssize_t
read_start(int fd, char *buf)
{
	size_t len = 0;
	ssize_t n;

	while (len < MEMORY_MAX) {
		n = read(fd, buf + len, MEMORY_MAX - len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (ssize_t)len;
}

/* The payload and its fingerprint. */
static int
take_payload(struct idq *q, struct adding *a)
{
	const struct idq_add *req = a->req;
	struct idq_job *p = &a->file.pub;
	struct idq_print *print = idq_print_new(req->args, req->nargs);
	ssize_t n;

	if (print == NULL)
		return idq_errno(q, "%s", q->path);
	if (req->fd == -1) {
		a->payload = req->payload;
		p->length = (int64_t)req->length;
		idq_print_add(print, req->payload, req->length);
		idq_print_end(print, p->fingerprint);
		return 0;
	}
	if ((a->memory = malloc(MEMORY_MAX)) == NULL ||
	    (n = read_start(req->fd, a->memory)) == -1) {
		free(print);
		return idq_errno(q, "payload");
	}
	if (n == MEMORY_MAX) {
		if (spool(q, a, a->memory, (size_t)n, print) == 0)
			return 0;
		if (!a->spooled)
			free(print);
		return -1;
	}
	a->payload = a->memory;
	p->length = n;
	idq_print_add(print, a->memory, (size_t)n);
	idq_print_end(print, p->fingerprint);
	return 0;
}

/* 1 the key is ours, 0 it is somebody's, 2 our file is gone, -1. */
static int
link_key(struct idq *q, struct adding *a)
{
	char key[PATH_SIZE];
	int r;

	idq_key_path(a->file.pub.hash, key);
	r = linkat(q->fd, a->file.pub.path, q->fd, key, 0);
	if (r == -1 && errno == ENOENT) {
		/* Our file, or the folder of the key. */
		if ((r = idq_job_is(q, &a->file, a->file.pub.path)) != 1)
			return r == 0 ? 2 : -1;
		r = idq_mkdir_for(q, key);
		if (r == 0)
			r = linkat(q->fd, a->file.pub.path, q->fd, key, 0);
	}
	if (r == 0)
		return 1;
	/* On NFS it may have been done and the reply been lost. */
	if (errno == EEXIST)
		return idq_job_is(q, &a->file, key);
	return idq_errno(q, "%s/%s", q->path, key);
}

static int
write_new(struct idq *q, struct adding *a)
{
	if (a->file.fd != -1)
		return 0;
	if (a->spooled)
		return idq_error(q, EX_TEMPFAIL, "%s/%s: is gone", q->path,
		    a->file.pub.path);
	return create(q, a) == -1 || write_file(q, a) == -1 ? -1 : 0;
}

/* Put the new file in the place of OLD, which is locked. */
static int
replace(struct idq *q, struct adding *a, struct job *old)
{
	char k[PATH_SIZE], key[PATH_SIZE], tmp[PATH_SIZE];
	struct job *j = &a->file;

	if (write_new(q, a) == -1)
		return -1;
	if (idq_sync_file(q, j->fd) == -1)
		return idq_errno(q, "%s/%s: sync", q->path, j->pub.path);
	idq_tmp_path(j->pub.id, ".k", k);
	idq_key_path(j->pub.hash, key);
	if (linkat(q->fd, j->pub.path, q->fd, k, 0) == -1 ||
	    renameat(q->fd, k, q->fd, key) == -1)
		return idq_errno(q, "%s/%s", q->path, key);
	if (!old->whole)
		return 0;
	/* From here on OLD owns no key; an expired one stays as history. */
	if (idq_where(q, old) < PL_TMP && old->pub.state != IDQ_EXPIRED &&
	    idq_free_key(q, old, old->pub.path, false) == -1)
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
	if (idq_dups_add(q, j->pub.hash, j->pub.id, a->now) == -1 ||
	    idq_dups_count(q, j->pub.hash, j->pub.id, &r->dups, &last) == -1)
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
		if (write_new(q, a) == -1 || (r = link_key(q, a)) == -1)
			return -1;
		if (r == 1) {
			a->step = STEP_LINKED;
			return 0;
		}
		if (r == 2)
			discard(q, a);
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
	discard(q, a);
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
	if (idq_move(q, j, tmp, to) != 1)
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

static int
prepare(struct idq *q, struct adding *a)
{
	a->now = idq_now();
	if (set_names(q, a) == -1 || set_times(q, a) == -1)
		return -1;
	return take_payload(q, a);
}

static void
release(struct adding *a)
{
	free(a->file.pub.key);
	free(a->by);
	free(a->memory);
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
		discard(q, a);
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
		if (prepare(q, &as[i]) == -1)
			failed(q, &as[i]);
		else
			begin_one(q, as, i, t);
	sync_all(q, as, n);
	for (size_t i = 0; i < n; i++)
		if (as[i].step == STEP_LINKED)
			commit(q, &as[i]);
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
		discard(q, &as[i]);
		release(&as[i]);
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
	return idq_job_load(q, j, a->file.pub.hash);
}

int
idq_add_run(struct idq *q, const struct idq_add *add, struct job *j)
{
	struct idq_added res = { 0 };
	struct adding a = { .req = add, .res = &res, .file = JOB_INIT };
	int r = 0;

	a.file.pub.run = true;
	if (prepare(q, &a) == -1 || begin(q, &a, LOCK_WAIT) == -1) {
		r = -1;
	} else if (a.step == STEP_PUT_OFF) {
		r = idq_error(q, EX_TEMPFAIL, "another add of it is under way");
	} else if (a.step == STEP_LINKED) {
		sync_all(q, &a, 1);
		r = a.step == STEP_LINKED ? hand_over(q, &a, j) : -1;
		if (r == 0) {
			idq_log_write(q, &j->pub, a.now, "added", 0, "");
			r = 1;
		}
	}
	discard(q, &a);
	release(&a);
	return r;
}
