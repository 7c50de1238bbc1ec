/* SPDX-License-Identifier: ISC */
#include <sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "idq_impl.h"

/*
 * The length of the UTF-8 sequence at S, and its code point in *c; 0 if it is
 * malformed, overlong, a surrogate or past U+10FFFF (RFC 3629).
 */
static size_t
utf8(const unsigned char *s, size_t len, uint32_t *c)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n;

	if (s[0] < 0x80) {
		*c = s[0];
		return 1;
	}
	if ((s[0] & 0xe0) == 0xc0)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if ((s[0] & 0xf8) == 0xf0)
		n = 4;
	else
		return 0;
	if (n > len)
		return 0;
	*c = s[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (s[i] & 0x3f);
	}
	if (*c < least[n] || *c > 0x10ffff || (*c >= 0xd800 && *c <= 0xdfff))
		return 0;
	return n;
}

const char *
idq_key_check(const char *key, size_t len)
{
	const unsigned char *s = (const unsigned char *)key;
	uint32_t c;

	if (len == 0)
		return "is empty";
	if (len > IDQ_KEY_MAX)
		return "is longer than 512 bytes";
	for (size_t n; len > 0; s += n, len -= n) {
		if ((n = utf8(s, len, &c)) == 0)
			return "is not UTF-8";
		if (c < 0x20 || (c >= 0x7f && c < 0xa0))
			return "has a control character";
	}
	return NULL;
}

static const char *
join_part(const char *part, char **at, const char *end)
{
	for (; *part != '\0'; part++) {
		const char *code = *part == '/' ? "%2F" :
		    *part == '%' ? "%25" : NULL;
		size_t n = code != NULL ? 3 : 1;

		if ((size_t)(end - *at) < n)
			return "is longer than 512 bytes";
		memcpy(*at, code != NULL ? code : part, n);
		*at += n;
	}
	return NULL;
}

const char *
idq_key_join(char *const *parts, size_t n, char *buf, size_t len)
{
	char *at = buf, *end = buf + len - 1;
	const char *why;

	if (n == 1) {
		if (strlcpy(buf, parts[0], len) >= len)
			return "is longer than 512 bytes";
		return idq_key_check(buf, strlen(buf));
	}
	for (size_t i = 0; i < n; i++) {
		if (*parts[i] == '\0')
			return "has an empty part";
		if (i > 0 && at < end)
			*at++ = '/';
		if ((why = join_part(parts[i], &at, end)) != NULL)
			return why;
	}
	*at = '\0';
	return idq_key_check(buf, (size_t)(at - buf));
}

const char *
idq_key_per(char *key, size_t size, const char *per, int64_t now)
{
	static const struct {
		const char *name;
		const char *form;
	} periods[] = {
		{ "hour", "@%Y-%m-%dT%H%z" },	/* an hour comes twice a year */
		{ "day", "@%Y-%m-%d" },
		{ "week", "@%G-W%V" },
		{ "month", "@%Y-%m" },
		{ "year", "@%Y" },
	};
	time_t sec = (time_t)(now / IDQ_SECOND);
	struct tm tm;
	char suffix[64];

	idq_localtime(sec, &tm);
	for (size_t i = 0; i < NITEMS(periods); i++) {
		if (strcmp(per, periods[i].name) != 0)
			continue;
		strftime(suffix, sizeof(suffix), periods[i].form, &tm);
		if (strlcat(key, suffix, size) >= size ||
		    strlen(key) > IDQ_KEY_MAX)
			return "is longer than 512 bytes";
		return NULL;
	}
	return "is hour, day, week, month or year";
}

void
idq_key_hash(const char *key, size_t len, char hash[HASH_SIZE])
{
	SHA256Data((const uint8_t *)key, len, hash);
}

struct idq_print {
	SHA2_CTX ctx;
};

struct idq_print *
idq_print_new(char *const *args, size_t n)
{
	struct idq_print *p = malloc(sizeof(*p));
	char count[24];

	if (p == NULL)
		return NULL;
	SHA256Init(&p->ctx);
	snprintf(count, sizeof(count), "%zu\n", n);
	idq_print_add(p, count, strlen(count));
	for (size_t i = 0; i < n; i++)
		idq_print_add(p, args[i], strlen(args[i]) + 1);
	return p;
}

void
idq_print_add(struct idq_print *p, const void *data, size_t len)
{
	SHA256Update(&p->ctx, data, len);
}

void
idq_print_end(struct idq_print *p, char hex[HASH_SIZE])
{
	SHA256End(&p->ctx, hex);
	free(p);
}
