/* SPDX-License-Identifier: ISC */
/*
 * Keys: the bytes are parts with a NUL between them.  Other parts are another
 * key.  As one part they are also what a command printed last.
 */
#include "fuzz.h"
#include "idq_impl.h"

#define PARTS		16

/* RFC 3629, its table of well-formed sequences; 0: there is none. */
static size_t
sequence(const unsigned char *s, size_t len)
{
	static const struct {
		unsigned char first, last, low, high;
		size_t n;
	} rows[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};

	for (size_t i = 0; i < NITEMS(rows); i++) {
		if (s[0] < rows[i].first || s[0] > rows[i].last)
			continue;
		if (len < rows[i].n || s[1] < rows[i].low ||
		    s[1] > rows[i].high)
			return 0;
		for (size_t k = 2; k < rows[i].n; k++)
			if (s[k] < 0x80 || s[k] > 0xbf)
				return 0;
		return rows[i].n;
	}
	return s[0] < 0x80 ? 1 : 0;
}

static int
is_key(const char *key, size_t len)
{
	const unsigned char *s = (const unsigned char *)key;

	if (len == 0 || len > IDQ_KEY_MAX)
		return 0;
	for (size_t n; len > 0; s += n, len -= n) {
		if ((n = sequence(s, len)) == 0 || s[0] < 0x20 ||
		    s[0] == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0))
			return 0;
	}
	return 1;
}

/* Take the next part of *S, which is behind a slash or the first. */
static void
check_part(const char **s, const char *part)
{
	for (; *part != '\0'; part++) {
		if (strncmp(*s, "%2F", 3) == 0 || strncmp(*s, "%25", 3) == 0) {
			REQUIRE(*part == ((*s)[2] == 'F' ? '/' : '%'));
			*s += 3;
			continue;
		}
		REQUIRE(**s == *part && *part != '/' && *part != '%');
		++*s;
	}
}

static void
check_join(char *const *parts, size_t n)
{
	char key[IDQ_KEY_MAX + 1], per[IDQ_KEY_MAX + 1];
	const char *s = key;

	if (idq_key_join(parts, n, key, sizeof(key)) != NULL)
		return;
	REQUIRE(is_key(key, strlen(key)));
	strlcpy(per, key, sizeof(per));
	if (idq_key_per(per, sizeof(per), "week", 0) == NULL) {
		REQUIRE(is_key(per, strlen(per)));
		REQUIRE(strcmp(per + strlen(key), "@1970-W01") == 0);
	}
	if (n == 1) {
		REQUIRE(strcmp(key, parts[0]) == 0);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			REQUIRE(*s++ == '/');
		REQUIRE(*parts[i] != '\0');
		check_part(&s, parts[i]);
	}
	REQUIRE(*s == '\0');
}

/* One word of a trail; read again it is where the bytes began. */
static void
check_said(const char *bytes, size_t len)
{
	char said[SAID_SIZE], text[SAID_SIZE];
	size_t n;

	idq_said_format(bytes, len, said);
	n = strlen(said);
	REQUIRE(n < SAID_SIZE && strchr(said, ' ') == NULL);
	REQUIRE(n == 0 || is_key(said, n));
	REQUIRE(n + 4 >= SAID_SIZE || n >= len);
	if (memchr(bytes, '\0', len) != NULL)
		return;
	idq_said_parse(said, text);
	REQUIRE(memcmp(text, bytes, strlen(text)) == 0);
	REQUIRE(n + 4 >= SAID_SIZE || strlen(text) == len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = fuzz_string(data, size), *parts[PARTS], *at = s;
	char text[SAID_SIZE];
	size_t n = 0;

	REQUIRE((idq_key_check(s, size) == NULL) == is_key(s, size));
	check_said(s, size);
	idq_said_parse(s, text);
	while (n < PARTS && at <= s + size) {
		parts[n++] = at;
		at += strlen(at) + 1;
	}
	check_join(parts, n);
	free(s);
	return 0;
}
