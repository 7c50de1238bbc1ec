/* SPDX-License-Identifier: ISC */
/*
 * The file of a new job, from what was asked until it may be linked to its key.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define ARG_SIZE	(128 * 1024)
#define WIDTH		13		/* of a Length not known beforehand */

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
		j->fd = idq_at_open(q, j->pub.path, O_RDWR | O_CREAT | O_EXCL |
		    O_CLOEXEC | O_NOFOLLOW);
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
	if (r == -1)
		return -1;
	if (fstat(j->fd, &st) == -1)
		return idq_errno(q, "%s/%s", q->path, j->pub.path);
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
void
idq_new_discard(struct idq *q, struct adding *a)
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

int
idq_new_write(struct idq *q, struct adding *a)
{
	if (a->file.fd != -1)
		return 0;
	if (a->spooled)
		return idq_error(q, EX_TEMPFAIL, "%s/%s: is gone", q->path,
		    a->file.pub.path);
	return create(q, a) == -1 || write_file(q, a) == -1 ? -1 : 0;
}

int
idq_new_prepare(struct idq *q, struct adding *a)
{
	a->now = idq_now();
	if (set_names(q, a) == -1 || set_times(q, a) == -1)
		return -1;
	return take_payload(q, a);
}

void
idq_new_free(struct adding *a)
{
	free(a->file.pub.key);
	free(a->by);
	free(a->memory);
}
