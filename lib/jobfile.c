/* SPDX-License-Identifier: ISC */
/*
 * The job file: its lock, its header, and whether it is whole.
 */
#include <sys/file.h>

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "idq_impl.h"

#define HEAD_SIZE	4096		/* holds most jobs whole */

static void
clear(struct job *j)
{
	struct idq_job *p = &j->pub;

	free(p->key);
	free(p->group);
	for (size_t i = 0; i < p->nargs; i++)
		free(p->args[i]);
	free(p->args);
	free(p->by);
	free(p->last);
	memset(p, 0, sizeof(*p));
}

int
idq_job_open(struct idq *q, const char *path, struct job *j)
{
	const int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	struct stat st;

	memset(j, 0, sizeof(*j));
	j->fd = idq_at_open(q, path, flags |
	    (q->writable ? O_RDWR | O_APPEND : O_RDONLY));
	/* A duplicate is one on a read-only file system, too. */
	if (j->fd == -1 && errno == EROFS)
		j->fd = idq_at_open(q, path, flags | O_RDONLY);
	if (j->fd == -1) {
		if (errno == ENOENT)
			return 0;
		if (errno == ELOOP || errno == EISDIR || errno == ENXIO)
			return idq_error(q, EX_SOFTWARE, "%s/%s: is no regular "
			    "file; left alone", q->path, path);
		return idq_errno(q, "%s/%s", q->path, path);
	}
	if (fstat(j->fd, &st) == -1) {
		idq_errno(q, "%s/%s", q->path, path);
		idq_job_close(j);
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		idq_job_close(j);
		return idq_error(q, EX_SOFTWARE, "%s/%s: is no regular file; "
		    "left alone", q->path, path);
	}
	j->dev = st.st_dev;
	j->ino = st.st_ino;
	j->size = st.st_size;
	j->sized = true;
	strlcpy(j->pub.path, path, sizeof(j->pub.path));
	return 1;
}

void
idq_job_unlock(struct job *j)
{
	if (j->fd != -1)
		flock(j->fd, LOCK_UN);
}

void
idq_job_close(struct job *j)
{
	if (j->fd != -1)
		close(j->fd);
	j->fd = -1;
	clear(j);
}

void
idq_job_free(struct idq_job *p)
{
	if (p == NULL)
		return;
	idq_job_close((struct job *)p);
	free(p);
}

int
idq_job_lock(struct idq *q, struct job *j, int64_t wait)
{
	struct timespec pause = { 0, 1000000 };
	int64_t slept = 0;

	for (;;) {
		/* What was seen of it before is old by now. */
		j->sized = false;
		if (flock(j->fd, LOCK_EX | LOCK_NB) == 0)
			return 1;
		/* For NFS that needs a descriptor to write with. */
		if (errno == EBADF && !q->writable &&
		    flock(j->fd, LOCK_SH | LOCK_NB) == 0)
			return 1;
		if (errno == EINTR)
			continue;
		if (errno != EWOULDBLOCK)
			return idq_errno(q, "%s/%s: lock", q->path,
			    j->pub.path);
		if (slept >= wait)
			return 0;
		/* Time slept, not a clock that somebody may set. */
		nanosleep(&pause, NULL);
		slept += pause.tv_nsec / 1000;
		if (pause.tv_nsec < 50000000)
			pause.tv_nsec *= 2;
	}
}

static int
compare(struct idq *q, const struct job *j, const char *path, struct stat *st)
{
	if (idq_at_stat(q, path, st) == -1) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return idq_errno(q, "%s/%s", q->path, path);
	}
	return st->st_dev == j->dev && st->st_ino == j->ino;
}

int
idq_job_is(struct idq *q, const struct job *j, const char *path)
{
	struct stat st;

	return compare(q, j, path, &st);
}

/* The same of one that is locked, so that its size is known, too. */
int
idq_job_still_is(struct idq *q, struct job *j, const char *path)
{
	struct stat st;
	int r = compare(q, j, path, &st);

	if (r == 1) {
		j->size = st.st_size;
		j->sized = true;
	}
	return r;
}

int
idq_job_owns_key(struct idq *q, const struct job *j)
{
	char path[PATH_SIZE];

	idq_key_path(j->pub.hash, path);
	return idq_job_is(q, j, path);
}

/*
 * Fields, in the order in which they stand.
 */

static int
octal(const char *s, char *c)
{
	if (s[0] < '0' || s[0] > '3' || s[1] < '0' || s[1] > '7' ||
	    s[2] < '0' || s[2] > '7')
		return -1;
	*c = (char)((s[0] - '0') << 6 | (s[1] - '0') << 3 | (s[2] - '0'));
	return *c == '\0' ? -1 : 0;
}

static char *
unescape(const char *s)
{
	char *out = malloc(strlen(s) + 1), *p = out;

	if (out == NULL)
		return NULL;
	for (; *s != '\0'; s++, p++) {
		*p = *s;
		if (*s != '\\')
			continue;
		if (strlen(s) < 4 || octal(s + 1, p) == -1) {
			free(out);
			return NULL;
		}
		s += 3;
	}
	*p = '\0';
	return out;
}

static int
add_arg(struct idq_job *p, const char *value)
{
	char **more, *arg;

	/* Room by powers of two, and always for the NULL. */
	if (p->args == NULL || ((p->nargs + 1) & p->nargs) == 0) {
		more = reallocarray(p->args, 2 * (p->nargs + 1),
		    sizeof(*p->args));
		if (more == NULL)
			return -1;
		p->args = more;
	}
	if ((arg = unescape(value)) == NULL) {
		p->args[p->nargs] = NULL;
		return -1;
	}
	p->args[p->nargs++] = arg;
	p->args[p->nargs] = NULL;
	return 0;
}

static int
take_text(char **field, const char *value)
{
	if (idq_key_check(value, strlen(value)) != NULL)
		return -1;
	return (*field = strdup(value)) == NULL ? -1 : 0;
}

static int
take_hex(char *field, size_t len, const char *value)
{
	if (strlen(value) != len || !idq_is_hex(value, len))
		return -1;
	strlcpy(field, value, len + 1);
	return 0;
}

static int
take_number(int64_t *field, const char *value, int64_t max)
{
	const char *err;

	if (*value < '0' || *value > '9')
		return -1;
	*field = strtonum(value, 0, max, &err);
	return err == NULL ? 0 : -1;
}

static int
take_keep(int64_t *field, const char *value)
{
	if (strcmp(value, "forever") == 0) {
		*field = IDQ_FOREVER;
		return 0;
	}
	if (take_number(field, value, IDQ_FOREVER / IDQ_SECOND - 1) == -1)
		return -1;
	*field *= IDQ_SECOND;
	return 0;
}

static int
take_attempts(uint32_t *field, const char *value)
{
	int64_t n;

	if (take_number(&n, value, 1000000) == -1 || n == 0)
		return -1;
	*field = (uint32_t)n;
	return 0;
}

static int
take_on_crash(enum idq_on_crash *field, const char *value)
{
	if (strcmp(value, "retry") == 0)
		*field = IDQ_CRASH_RETRY;
	else if (strcmp(value, "hold") == 0)
		*field = IDQ_CRASH_HOLD;
	else
		return -1;
	return 0;
}

enum field {
	F_KEY, F_ID, F_ADDED, F_BY, F_DUE, F_EXPIRES, F_GROUP, F_RUN, F_KEEP,
	F_ATTEMPTS, F_ON_CRASH, F_ARG, F_LENGTH, F_FINGERPRINT, F_N
};

static const char *const fields[F_N] = {
	"Key", "Id", "Added", "By", "Due", "Expires", "Group", "Run", "Keep",
	"Attempts", "On-crash", "Arg", "Length", "Fingerprint"
};

#define REQUIRED	(1u << F_KEY | 1u << F_ID | 1u << F_ADDED | \
			    1u << F_BY | 1u << F_DUE | 1u << F_LENGTH | \
			    1u << F_FINGERPRINT)

static int
take_field(struct idq_job *p, enum field f, const char *value)
{
	size_t len = strlen(value);

	switch (f) {
	case F_KEY:
		return take_text(&p->key, value);
	case F_ID:
		return take_hex(p->id, IDQ_ID_LEN, value);
	case F_ADDED:
		return idq_stamp_parse(value, len, &p->added);
	case F_BY:
		return take_text(&p->by, value);
	case F_DUE:
		return idq_stamp_parse(value, len, &p->due);
	case F_EXPIRES:
		return idq_stamp_parse(value, len, &p->expires);
	case F_GROUP:
		return take_text(&p->group, value);
	case F_RUN:
		p->run = true;
		return strcmp(value, "1") == 0 ? 0 : -1;
	case F_KEEP:
		return take_keep(&p->keep, value);
	case F_ATTEMPTS:
		return take_attempts(&p->attempts_max, value);
	case F_ON_CRASH:
		return take_on_crash(&p->on_crash, value);
	case F_ARG:
		return add_arg(p, value);
	case F_LENGTH:
		return take_number(&p->length, value, IDQ_PAYLOAD_MAX);
	case F_FINGERPRINT:
		return take_hex(p->fingerprint, IDQ_HASH_LEN, value);
	case F_N:
		break;
	}
	return -1;
}

/* Fields stand in their order, each once; only Arg comes again. */
static int
parse_line(struct idq_job *p, char *line, int *last, unsigned int *seen)
{
	char *value = strstr(line, ": ");
	int f;

	if (value == NULL)
		return -1;
	*value = '\0';
	value += 2;
	for (f = *last; f < F_N; f++)
		if (strcmp(line, fields[f]) == 0)
			break;
	if (f == F_N || (f == *last && *seen & 1u << f && f != F_ARG))
		return -1;
	*last = f;
	*seen |= 1u << f;
	return take_field(p, (enum field)f, value);
}

/* HEAD is the header without its empty line, as a string. */
static int
parse_header(struct idq_job *p, char *head)
{
	unsigned int seen = 0;
	char *line;
	int last = 0;

	head += strlen(MAGIC);
	while ((line = strsep(&head, "\n")) != NULL) {
		if (head == NULL && *line == '\0')
			break;
		if (parse_line(p, line, &last, &seen) == -1)
			return -1;
	}
	return (seen & REQUIRED) == REQUIRED ? 0 : -1;
}

static int
is_zeros(const char *s, size_t n)
{
	return n == 0 || (s[0] == '\0' && memcmp(s, s + 1, n - 1) == 0);
}

/*
 * Read the head of the file until its empty line: the bytes read, the offset
 * of the payload in *body (0: there is no empty line), to be freed.
 */
static char *
read_head(struct idq *q, struct job *j, size_t *len, size_t *body)
{
	size_t cap = HEAD_SIZE;
	char *buf = NULL, *more, *end;
	ssize_t n;

	*len = *body = 0;
	for (;;) {
		if ((more = realloc(buf, cap + 1)) == NULL)
			break;
		buf = more;
		n = pread(j->fd, buf + *len, cap - *len, (off_t)*len);
		if (n == -1)
			break;
		*len += (size_t)n;
		buf[*len] = '\0';
		if ((end = memmem(buf, *len, "\n\n", 2)) != NULL) {
			*body = (size_t)(end - buf) + 2;
			return buf;
		}
		if (*len < cap || cap >= HEADER_MAX ||
		    memcmp(buf, MAGIC, strlen(MAGIC)) != 0)
			return buf;
		cap *= 4;
	}
	free(buf);
	idq_errno(q, "%s/%s", q->path, j->pub.path);
	return NULL;
}

static bool
load_head(struct job *j, char *buf, size_t len, size_t body, const char *hash)
{
	struct idq_job *p = &j->pub;
	char h[HASH_SIZE];

	j->begins = is_zeros(buf, len) || memcmp(buf, MAGIC,
	    len < strlen(MAGIC) ? len : strlen(MAGIC)) == 0;
	if (body == 0 || !j->begins || strlen(buf) < body)
		return false;
	buf[body - 1] = '\0';
	if (parse_header(p, buf) == -1)
		return false;
	idq_key_hash(p->key, strlen(p->key), h);
	if (hash != NULL && strcmp(h, hash) != 0) {
		j->begins = false;		/* another's key: foreign */
		return false;
	}
	strlcpy(p->hash, h, sizeof(p->hash));
	p->body = (int64_t)body;
	return j->size >= p->body + p->length + 1;
}

int
idq_job_load(struct idq *q, struct job *j, const char *hash)
{
	char path[PATH_SIZE];
	size_t len, body;
	struct stat st;
	char *buf;

	strlcpy(path, j->pub.path, sizeof(path));
	clear(j);
	strlcpy(j->pub.path, path, sizeof(path));
	if (!j->sized && fstat(j->fd, &st) == -1)
		return idq_errno(q, "%s/%s", q->path, path);
	if (!j->sized)
		j->size = st.st_size;
	j->sized = false;
	if ((buf = read_head(q, j, &len, &body)) == NULL)
		return -1;
	errno = 0;
	j->whole = load_head(j, buf, len, body, hash);
	/* What could not be kept in memory is not for that damaged. */
	if (!j->whole && errno == ENOMEM) {
		free(buf);
		errno = ENOMEM;
		return idq_errno(q, "%s/%s", q->path, path);
	}
	free(buf);
	return j->whole ? idq_trail_load(q, j) : 0;
}

int
idq_key_open(struct idq *q, const char *hash, struct job *j)
{
	char path[PATH_SIZE];
	int r;

	idq_key_path(hash, path);
	if ((r = idq_job_open(q, path, j)) != 1)
		return r;
	if (idq_job_load(q, j, hash) == -1) {
		idq_job_close(j);
		return -1;
	}
	return 1;
}

int
idq_job_take(struct idq *q, const char *path, const char *hash, bool *busy,
    struct job *j)
{
	int r;

	if ((r = idq_job_open(q, path, j)) != 1)
		return r;
	r = idq_job_lock(q, j, 0);
	if (r == 0 && busy != NULL)
		*busy = true;
	if (r == 1)
		r = idq_job_still_is(q, j, path);
	if (r == 1 && idq_job_load(q, j, hash) == -1)
		r = -1;
	if (r != 1)
		idq_job_close(j);
	return r;
}

int
idq_job_verify(struct idq *q, const struct job *j)
{
	const struct idq_job *p = &j->pub;
	struct idq_print *print = idq_print_new(p->args, p->nargs);
	char *buf = malloc(MEMORY_MAX), hex[HASH_SIZE];
	int64_t at = 0;

	if (print == NULL || buf == NULL) {
		free(print);
		free(buf);
		return idq_errno(q, "%s/%s", q->path, p->path);
	}
	while (at < p->length) {
		size_t want = p->length - at < MEMORY_MAX ?
		    (size_t)(p->length - at) : MEMORY_MAX;
		ssize_t n = pread(j->fd, buf, want, p->body + at);

		if (n <= 0)
			break;
		idq_print_add(print, buf, (size_t)n);
		at += n;
	}
	free(buf);
	idq_print_end(print, hex);
	if (at < p->length)
		return idq_errno(q, "%s/%s", q->path, p->path);
	return strcmp(hex, p->fingerprint) == 0;
}

int
idq_payload(struct idq *q, const struct idq_job *p)
{
	const struct job *j = (const struct job *)p;
	int fd = fcntl(j->fd, F_DUPFD_CLOEXEC, 0);

	/* It shares its offset with j->fd, which is read by pread(2) alone. */
	if (fd == -1 || lseek(fd, p->body, SEEK_SET) == -1) {
		idq_errno(q, "%s/%s", q->path, p->path);
		if (fd != -1)
			close(fd);
		return -1;
	}
	return fd;
}

static void
print_arg(FILE *f, const char *s)
{
	fputs("Arg: ", f);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f || c == '\\')
			fprintf(f, "\\%03o", c);
		else
			fputc(c, f);
	}
	fputc('\n', f);
}

static void
print_options(FILE *f, const struct idq_job *p)
{
	char stamp[STAMP_SIZE];

	if (p->expires != 0)
		fprintf(f, "Expires: %s\n", idq_stamp(p->expires, stamp));
	if (p->group != NULL)
		fprintf(f, "Group: %s\n", p->group);
	if (p->run)
		fputs("Run: 1\n", f);
	if (p->keep == IDQ_FOREVER)
		fputs("Keep: forever\n", f);
	else if (p->keep != 0)
		fprintf(f, "Keep: %" PRId64 "\n", p->keep / IDQ_SECOND);
	if (p->attempts_max != 0)
		fprintf(f, "Attempts: %" PRIu32 "\n", p->attempts_max);
	if (p->on_crash != IDQ_CRASH_UNSET)
		fprintf(f, "On-crash: %s\n",
		    p->on_crash == IDQ_CRASH_HOLD ? "hold" : "retry");
}

char *
idq_header_format(const struct idq_job *p, int64_t length, int width,
    size_t *len)
{
	char added[STAMP_SIZE], due[STAMP_SIZE], *buf = NULL;
	FILE *f = open_memstream(&buf, len);

	if (f == NULL)
		return NULL;
	fprintf(f, MAGIC "Key: %s\nId: %s\nAdded: %s\nBy: %s\nDue: %s\n",
	    p->key, p->id, idq_stamp(p->added, added), p->by,
	    idq_stamp(p->due, due));
	print_options(f, p);
	for (size_t i = 0; i < p->nargs; i++)
		print_arg(f, p->args[i]);
	fprintf(f, "Length: %0*" PRId64 "\nFingerprint: %s\n\n", width, length,
	    p->fingerprint);
	if (fclose(f) == EOF) {
		free(buf);
		return NULL;
	}
	return buf;
}
