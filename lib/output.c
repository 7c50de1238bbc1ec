/* SPDX-License-Identifier: ISC */
/*
 * What the commands of a job printed: out/H.ID.N, one file for each claim.
 * None of it decides about a job, and what cannot be kept is no reason not to
 * run it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define CLAIMS_KEPT	10		/* of a job that is tried for ever */

static int
create(struct idq *q, const char *path)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
	int fd = idq_at_open(q, path, flags);
	struct stat st;

	/* Of a claim whose line was lost in a power cut. */
	if (fd == -1 && errno == EEXIST && idq_at_stat(q, path, &st) == 0 &&
	    S_ISREG(st.st_mode) && idq_at_unlink(q, path, 0) == 0)
		fd = idq_at_open(q, path, flags);
	if (fd == -1 && errno == ENOENT && idq_mkdir_for(q, path) == 0)
		fd = idq_at_open(q, path, flags);
	return fd;
}

static void
remove_claim(struct idq *q, const struct idq_job *p, uint32_t claim)
{
	char path[PATH_SIZE];

	idq_out_path(p->hash, p->id, claim, path);
	idq_at_unlink(q, path, 0);
}

void
idq_out_start(struct idq *q, struct child *c, int ends[2])
{
	const struct idq_job *p = &c->job.pub;
	char path[PATH_SIZE];
	int fd;

	if (p->claims > CLAIMS_KEPT)
		remove_claim(q, p, p->claims - CLAIMS_KEPT);
	idq_out_path(p->hash, p->id, p->claims, path);
	if ((fd = create(q, path)) != -1)
		idq_keeper_start(fd, ends, &c->keeper);
	if (c->keeper.fd == -1)
		idq_notice(q, "%s/%s: %s; the output is not kept", q->path,
		    path, strerror(errno));
	if (fd == -1)
		return;
	close(fd);
	if (c->keeper.fd == -1)
		remove_claim(q, p, p->claims);
}

void
idq_out_undo(struct idq *q, struct child *c)
{
	idq_keeper_end(&c->keeper);
	remove_claim(q, &c->job.pub, c->job.pub.claims);
}

void
idq_out_end(struct idq *q, struct child *c)
{
	struct said said = { .len = 0 };
	char path[PATH_SIZE];

	if (idq_keeper_ask(&c->keeper, &said) == -1 || said.err != 0) {
		idq_out_path(c->hash, c->id, c->claims, path);
		idq_notice(q, "%s/%s: %s; not all of the output is kept",
		    q->path, path, strerror(errno));
	}
	idq_said_format(said.text, said.len, c->said);
}

void
idq_out_remove(struct idq *q, const struct idq_job *p)
{
	/* All: a claim by hand has kept none, and removed none. */
	for (uint32_t n = 0; n < p->claims; n++)
		remove_claim(q, p, n + 1);
}

/* The length of the character at S, 0 if it has to be written in octal. */
static size_t
plain(const char *s, size_t len)
{
	unsigned char c = (unsigned char)*s;
	size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	if (n > len || c == ' ' || c == '\\' || idq_key_check(s, n) != NULL)
		return 0;
	return n;
}

void
idq_said_format(const char *s, size_t len, char said[SAID_SIZE])
{
	size_t used = 0, n;

	while (len > 0) {
		n = plain(s, len);
		if (used + (n > 0 ? n : 4) >= SAID_SIZE)
			break;
		if (n > 0) {
			memcpy(said + used, s, n);
			used += n;
		} else {
			n = 1;
			used += (size_t)snprintf(said + used, 5, "\\%03o",
			    (unsigned int)(unsigned char)*s);
		}
		s += n;
		len -= n;
	}
	said[used] = '\0';
}

void
idq_said_parse(const char *said, char text[SAID_SIZE])
{
	size_t used = 0;

	while (*said != '\0' && *said != ' ' && used < SAID_SIZE - 1) {
		unsigned char c = (unsigned char)*said++;

		if (c == '\\' && strspn(said, "01234567") >= 3) {
			c = (unsigned char)((said[0] - '0') * 64 +
			    (said[1] - '0') * 8 + (said[2] - '0'));
			said += 3;
		}
		text[used++] = (char)c;
	}
	text[used] = '\0';
}

/* 1 and its descriptor, 0 if it is not there, -1. */
static int
open_claim(struct idq *q, const struct idq_job *p, uint32_t claim, int *fd)
{
	char path[PATH_SIZE];
	struct stat st;

	idq_out_path(p->hash, p->id, claim, path);
	*fd = idq_at_open(q, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK);
	if (*fd == -1 && errno == ENOENT)
		return 0;
	if (*fd != -1 && fstat(*fd, &st) == 0 && S_ISREG(st.st_mode))
		return 1;
	if (*fd == -1 && errno != ELOOP && errno != ENXIO)
		return idq_errno(q, "%s/%s", q->path, path);
	if (*fd != -1)
		close(*fd);
	return idq_error(q, EX_SOFTWARE, "%s/%s: is no regular file", q->path,
	    path);
}

int
idq_output(struct idq *q, const struct idq_job *p, uint32_t n, int *fd)
{
	int r = 0;

	if (n != 0)
		return open_claim(q, p, n, fd);
	for (n = p->claims; r == 0 && n > 0; n--)
		r = open_claim(q, p, n, fd);
	return r;
}
