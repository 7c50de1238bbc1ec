/* SPDX-License-Identifier: ISC */
/*
 * Payloads: the fingerprint as a key, and base64.
 */
#include <errno.h>
#include <sha2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

static ssize_t
read_some(int fd, void *buf, size_t len)
{
	ssize_t n;

	do
		n = read(fd, buf, len);
	while (n == -1 && errno == EINTR);
	return n;
}

/* FD from here to its end into CTX, and into COPY unless that is NULL. */
static int
digest(int fd, SHA2_CTX *ctx, FILE *copy)
{
	uint8_t buf[65536];
	ssize_t n;

	while ((n = read_some(fd, buf, sizeof(buf))) > 0) {
		SHA256Update(ctx, buf, (size_t)n);
		if (copy != NULL &&
		    fwrite(buf, 1, (size_t)n, copy) != (size_t)n)
			return -1;
	}
	return n == 0 ? 0 : -1;
}

/* A pipe can be read once: what it had is then read from a file. */
static int
digest_pipe(int *fd, SHA2_CTX *ctx)
{
	FILE *copy = tmpfile();
	int kept = -1;

	if (copy == NULL)
		return -1;
	if (digest(*fd, ctx, copy) == 0 && fflush(copy) == 0 &&
	    fseeko(copy, 0, SEEK_SET) == 0)
		kept = dup(fileno(copy));
	fclose(copy);
	if (kept == -1)
		return -1;
	*fd = kept;
	return 0;
}

int
fingerprint(struct idq_add *add, char hex[IDQ_HASH_LEN + 1])
{
	char count[32];
	off_t start = 0;
	SHA2_CTX ctx;
	int r = 0;

	SHA256Init(&ctx);
	snprintf(count, sizeof(count), "%zu\n", add->nargs);
	SHA256Update(&ctx, (uint8_t *)count, strlen(count));
	for (size_t i = 0; i < add->nargs; i++)
		SHA256Update(&ctx, (uint8_t *)add->args[i],
		    strlen(add->args[i]) + 1);
	if (add->fd != -1 && (start = lseek(add->fd, 0, SEEK_CUR)) == -1)
		r = digest_pipe(&add->fd, &ctx);
	else if (add->fd != -1 && (r = digest(add->fd, &ctx, NULL)) == 0)
		r = lseek(add->fd, start, SEEK_SET) == -1 ? -1 : 0;
	SHA256End(&ctx, hex);
	return r;
}

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "abcdefghijklmnopqrstuvwxyz0123456789+/";

static int
sextet(char c)
{
	const char *at = c != '\0' ? strchr(alphabet, c) : NULL;

	return at != NULL ? (int)(at - alphabet) : -1;
}

/* RFC 4648, section 4: with its padding, and nothing else within. */
char *
base64(const char *s, size_t len, size_t *out_len)
{
	size_t pad = len > 0 && s[len - 1] == '=' ? 1 : 0, n = 0;
	unsigned int bits = 0;
	char *out;
	int v = 0;

	pad += pad == 1 && len > 1 && s[len - 2] == '=';
	if (len % 4 != 0 || (out = malloc(len / 4 * 3 + 1)) == NULL)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (i >= len - pad)
			v = 0;
		else if ((v = sextet(s[i])) == -1)
			break;
		bits = bits << 6 | (unsigned int)v;
		if (i % 4 == 3) {
			out[n++] = (char)(bits >> 16 & 0xff);
			out[n++] = (char)(bits >> 8 & 0xff);
			out[n++] = (char)(bits & 0xff);
		}
	}
	/* Bits that the padding cuts off must be 0. */
	if (v == -1 || (pad > 0 && (bits & (pad == 1 ? 0xffu : 0xffffu)))) {
		free(out);
		return NULL;
	}
	*out_len = n - pad;
	return out;
}

/* The other way, to be freed. */
char *
to_base64(const char *s, size_t len)
{
	char *out = malloc((len + 2) / 3 * 4 + 1), *to = out;

	for (size_t i = 0; out != NULL && i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		unsigned int bits = 0;

		for (size_t k = 0; k < 3; k++)
			bits = bits << 8 |
			    (k < n ? (unsigned char)s[i + k] : 0);
		for (size_t k = 0; k < 4; k++)
			*to++ = k <= n ? alphabet[bits >> (18 - 6 * k) & 63] :
			    '=';
	}
	if (out != NULL)
		*to = '\0';
	return out;
}
