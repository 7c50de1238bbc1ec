/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "idq_impl.h"

/* Zones as POSIX has them, which need no files. */
#define CENTRAL_EUROPE	"CET-1CEST,M3.5.0,M10.5.0/3"
#define NEW_YORK	"EST5EDT,M3.2.0,M11.1.0"
#define KATHMANDU	"<+0545>-5:45"

/* A string literal with its length, NULs inside it included. */
#define BYTES(s)	{ s, sizeof(s) - 1 }

struct bytes {
	const char	*s;
	size_t		 len;
};

static void
print_bytes(const struct bytes *b)
{
	printf("#");
	for (size_t i = 0; i < b->len && i < 16; i++)
		printf(" %02x", (unsigned char)b->s[i]);
	printf("\n");
}

static void
accept_all(const struct bytes *b, size_t n)
{
	for (; n-- > 0; b++)
		if (!CHECK_STR(idq_key_check(b->s, b->len), NULL))
			print_bytes(b);
}

static void
refuse_all(const struct bytes *b, size_t n)
{
	for (; n-- > 0; b++)
		if (!CHECK(idq_key_check(b->s, b->len) != NULL))
			print_bytes(b);
}

static void
good_keys(void)
{
	static const struct bytes good[] = {
		BYTES("a"), BYTES(" "), BYTES("~"), BYTES("/"), BYTES("%"),
		BYTES("call/+4512345678/2026-11-23"), BYTES(" a b "),
		BYTES("Gr\xc3\xbc\xc3\x9f" "e"),
		/* the first and the last of each length */
		BYTES("\xc2\xa0"), BYTES("\xdf\xbf"),
		BYTES("\xe0\xa0\x80"), BYTES("\xef\xbf\xbf"),
		BYTES("\xf0\x90\x80\x80"), BYTES("\xf4\x8f\xbf\xbf"),
		/* around the surrogates */
		BYTES("\xed\x9f\xbf"), BYTES("\xee\x80\x80"),
		BYTES("\xe2\x82\xac"), BYTES("\xf0\x9f\x98\x80"),
	};

	accept_all(good, NITEMS(good));
}

static void
overlong(void)
{
	static const struct bytes bad[] = {
		BYTES("\xc0\x80"), BYTES("\xc0\xaf"), BYTES("\xc1\x81"),
		BYTES("\xc1\xbf"), BYTES("\xe0\x80\x80"),
		BYTES("\xe0\x80\xaf"), BYTES("\xe0\x9f\xbf"),
		BYTES("\xf0\x80\x80\x80"), BYTES("\xf0\x82\x82\xac"),
		BYTES("\xf0\x8f\xbf\xbf"), BYTES("\xf8\x88\x80\x80\x80"),
		BYTES("\xfc\x84\x80\x80\x80\x80"),
	};

	refuse_all(bad, NITEMS(bad));
}

static void
surrogates(void)
{
	static const struct bytes bad[] = {
		BYTES("\xed\xa0\x80"), BYTES("\xed\xaf\xbf"),
		BYTES("\xed\xb0\x80"), BYTES("\xed\xbf\xbf"),
		BYTES("\xed\xa0\xbd\xed\xb8\x80"),
	};

	refuse_all(bad, NITEMS(bad));
}

static void
past_the_last(void)
{
	static const struct bytes bad[] = {
		BYTES("\xf4\x90\x80\x80"), BYTES("\xf5\x80\x80\x80"),
		BYTES("\xf7\xbf\xbf\xbf"), BYTES("\xfe"), BYTES("\xff"),
	};

	refuse_all(bad, NITEMS(bad));
}

static void
truncated(void)
{
	static const struct bytes bad[] = {
		BYTES("\xc3"), BYTES("\xe2\x82"), BYTES("\xe2"),
		BYTES("\xf0\x9f\x98"), BYTES("\xf0\x9f"), BYTES("\xf0"),
		BYTES("a\xc3"), BYTES("\xc3/"), BYTES("\xe2\x82/"),
		BYTES("\xf0\x9f\x98/"), BYTES("\xc3\xc3\xbc"),
		BYTES("\x80"), BYTES("\xbf"), BYTES("a\x80"),
		BYTES("\xc3\xbc\xbc"),
	};

	refuse_all(bad, NITEMS(bad));
}

/* The bytes behind LEN are none of the key's. */
static void
length_counts(void)
{
	const char *s = "a\xe2\x82\xac" "b";

	CHECK_STR(idq_key_check(s, 1), NULL);
	CHECK(idq_key_check(s, 2) != NULL);
	CHECK(idq_key_check(s, 3) != NULL);
	CHECK_STR(idq_key_check(s, 4), NULL);
	CHECK_STR(idq_key_check(s, 5), NULL);
}

static void
control_characters(void)
{
	char key[] = "a?b", c1[] = "a\xc2?b";

	for (int c = 0; c < 0x20; c++) {
		key[1] = (char)c;
		if (!CHECK(idq_key_check(key, 3) != NULL))
			printf("# %#x\n", (unsigned int)c);
	}
	key[1] = 0x7f;
	CHECK(idq_key_check(key, 3) != NULL);
	for (int c = 0x80; c < 0xa0; c++) {
		c1[2] = (char)c;
		if (!CHECK(idq_key_check(c1, 4) != NULL))
			printf("# U+%04X\n", (unsigned int)c);
	}
	c1[2] = (char)0xa0;
	CHECK_STR(idq_key_check(c1, 4), NULL);
}

static void
key_lengths(void)
{
	char key[514];

	memset(key, 'k', sizeof(key));
	CHECK(idq_key_check(key, 0) != NULL);
	CHECK_STR(idq_key_check(key, 1), NULL);
	CHECK_STR(idq_key_check(key, 512), NULL);
	CHECK(idq_key_check(key, 513) != NULL);
	/* It is bytes that count. */
	memcpy(key + 510, "\xc3\xbc", 2);
	CHECK_STR(idq_key_check(key, 512), NULL);
	memcpy(key + 511, "\xc3\xbc", 2);
	CHECK(idq_key_check(key, 513) != NULL);
}

/* Join up to four parts; NULL if they are refused. */
static const char *
join(const char *a, const char *b, const char *c, const char *d)
{
	static char buf[IDQ_KEY_MAX + 1], part[4][1024];
	const char *from[] = { a, b, c, d };
	char *parts[4];
	size_t n;

	for (n = 0; n < 4 && from[n] != NULL; n++) {
		strlcpy(part[n], from[n], sizeof(part[n]));
		parts[n] = part[n];
	}
	return idq_key_join(parts, n, buf, sizeof(buf)) == NULL ? buf : NULL;
}

static void
joined(void)
{
	CHECK_STR(join("a", "b", NULL, NULL), "a/b");
	CHECK_STR(join("call", "42", "2026-11-23", NULL),
	    "call/42/2026-11-23");
	CHECK_STR(join("a", "b", "c", "d"), "a/b/c/d");
	CHECK_STR(join(" ", " ", NULL, NULL), " / ");
}

static void
encoded(void)
{
	CHECK_STR(join("a/b", "c", NULL, NULL), "a%2Fb/c");
	CHECK_STR(join("a", "b/c", NULL, NULL), "a/b%2Fc");
	CHECK_STR(join("100%", "x", NULL, NULL), "100%25/x");
	CHECK_STR(join("a%2Fb", "c", NULL, NULL), "a%252Fb/c");
	CHECK_STR(join("/", "%", NULL, NULL), "%2F/%25");
	CHECK_STR(join("//", "/%/", NULL, NULL), "%2F%2F/%2F%25%2F");
	CHECK_STR(join("Gr\xc3\xbc\xc3\x9f" "e", "a b", NULL, NULL),
	    "Gr\xc3\xbc\xc3\x9f" "e/a b");
}

static void
single_part(void)
{
	CHECK_STR(join("a/b", NULL, NULL, NULL), "a/b");
	CHECK_STR(join("100%", NULL, NULL, NULL), "100%");
	CHECK_STR(join("a%2Fb", NULL, NULL, NULL), "a%2Fb");
	CHECK_STR(join("", NULL, NULL, NULL), NULL);
	CHECK_STR(join("a\nb", NULL, NULL, NULL), NULL);
}

static void
empty_part(void)
{
	CHECK_STR(join("", "a", NULL, NULL), NULL);
	CHECK_STR(join("a", "", NULL, NULL), NULL);
	CHECK_STR(join("a", "", "b", NULL), NULL);
	CHECK_STR(join("", "", NULL, NULL), NULL);
}

static void
bad_part(void)
{
	CHECK_STR(join("a", "b\tc", NULL, NULL), NULL);
	CHECK_STR(join("a\xff", "b", NULL, NULL), NULL);
	CHECK_STR(join("a", "\xc3", NULL, NULL), NULL);
	CHECK_STR(join("\xc3", "\xbc", NULL, NULL), NULL);
}

static void
join_lengths(void)
{
	char part[600];
	const char *key;

	memset(part, 'k', sizeof(part));
	part[510] = '\0';
	key = join("a", part, NULL, NULL);
	CHECK(key != NULL && strlen(key) == 512);
	key = join(part, "a", NULL, NULL);
	CHECK(key != NULL && strlen(key) == 512);
	CHECK_STR(join(part, "ab", NULL, NULL), NULL);
	CHECK_STR(join(part, "/", NULL, NULL), NULL);
	CHECK_STR(join(part, "a", "a", NULL), NULL);
	part[510] = 'k';
	part[511] = '\0';
	CHECK_STR(join("a", part, NULL, NULL), NULL);
	part[511] = 'k';
	part[512] = '\0';
	key = join(part, NULL, NULL, NULL);
	CHECK(key != NULL && strlen(key) == 512);
	CHECK_STR(join(part, "a", NULL, NULL), NULL);
	part[512] = 'k';
	part[513] = '\0';
	CHECK_STR(join(part, NULL, NULL, NULL), NULL);
	/* 170 slashes are 510 bytes, 171 are 513. */
	memset(part, '/', sizeof(part));
	part[170] = '\0';
	key = join(part, "a", NULL, NULL);
	CHECK(key != NULL && strlen(key) == 512);
	part[170] = '/';
	part[171] = '\0';
	CHECK_STR(join(part, "a", NULL, NULL), NULL);
}

static void
small_buffer(void)
{
	char a[] = "aaaa", b[] = "////", *parts[] = { a, b }, buf[16];

	for (size_t len = 1; len < sizeof(buf); len++) {
		memset(buf, '#', sizeof(buf));
		CHECK(idq_key_join(parts, 2, buf, len) != NULL);
		CHECK_INT(buf[len], '#');
	}
}

/* No two lists of parts give one key. */
static void
joins_differ(void)
{
	static const char *const parts[] = { "a", "/", "%", "%2F", "%25",
	    "a/", "/a", "2F", "a/a" };
	const size_t n = NITEMS(parts), lists = n * n + n * n * n;
	struct key {
		char s[IDQ_KEY_MAX + 1];
	} *keys = calloc(lists, sizeof(*keys));
	size_t k = 0;

	if (!CHECK(keys != NULL))
		return;
	for (size_t i = 0; i < n * n; i++)
		strlcpy(keys[k++].s, join(parts[i / n], parts[i % n], NULL,
		    NULL), sizeof(*keys));
	for (size_t i = 0; i < n * n * n; i++)
		strlcpy(keys[k++].s, join(parts[i / n / n], parts[i / n % n],
		    parts[i % n], NULL), sizeof(*keys));
	for (size_t i = 0; i < lists; i++)
		for (k = 0; k < i; k++)
			if (!CHECK(strcmp(keys[i].s, keys[k].s) != 0))
				printf("# %s\n", keys[i].s);
	free(keys);
}

static void
check_per(const char *zone, int64_t seconds, const char *per,
    const char *want)
{
	char key[IDQ_KEY_MAX + 1] = "report";

	setenv("TZ", zone, 1);
	tzset();
	CHECK_STR(idq_key_per(key, sizeof(key), per, seconds * 1000000),
	    NULL);
	CHECK_STR(key, want);
	setenv("TZ", "UTC", 1);
	tzset();
}

/* 1795438800 is 2026-11-23T13:00:00Z, as in idq(1). */
static void
periods(void)
{
	static const struct {
		const char *per;
		const char *want;
	} all[] = {
		{ "hour", "report@2026-11-23T14+0100" },
		{ "day", "report@2026-11-23" },
		{ "week", "report@2026-W48" },
		{ "month", "report@2026-11" },
		{ "year", "report@2026" },
	};

	for (size_t i = 0; i < NITEMS(all); i++)
		check_per(CENTRAL_EUROPE, 1795438800, all[i].per,
		    all[i].want);
}

/* 1798759800 is 2026-12-31T23:30:00Z. */
static void
periods_are_local(void)
{
	check_per("UTC", 1798759800, "year", "report@2026");
	check_per(CENTRAL_EUROPE, 1798759800, "year", "report@2027");
	check_per(CENTRAL_EUROPE, 1798759800, "month", "report@2027-01");
	check_per(CENTRAL_EUROPE, 1798759800, "day", "report@2027-01-01");
	check_per(NEW_YORK, 1798759800, "day",
	    "report@2026-12-31");
	check_per(NEW_YORK, 1798759800, "hour",
	    "report@2026-12-31T18-0500");
	check_per(KATHMANDU, 1798759800, "hour",
	    "report@2027-01-01T05+0545");
	check_per("UTC", 1798759800, "hour", "report@2026-12-31T23+0000");
}

/* The week of 2027-01-01 (1798761600) belongs to 2026. */
static void
week_year(void)
{
	check_per("UTC", 1798761600, "week", "report@2026-W53");
	check_per("UTC", 1798761600 + 3 * 86400, "week", "report@2027-W01");
	/* 2024-12-31 is in the first week of 2025. */
	check_per("UTC", 1735603200, "week", "report@2025-W01");
}

/* 1792888200 is 2026-10-25T00:30:00Z, half past two for the first time. */
static void
hour_twice_a_year(void)
{
	check_per(CENTRAL_EUROPE, 1792888200, "hour",
	    "report@2026-10-25T02+0200");
	check_per(CENTRAL_EUROPE, 1792888200 + 3600, "hour",
	    "report@2026-10-25T02+0100");
}

static void
period_unknown(void)
{
	static const char *const bad[] = { "", "minute", "days", "Day",
	    "da", "quarter", "hour " };
	char key[IDQ_KEY_MAX + 1];

	for (size_t i = 0; i < NITEMS(bad); i++) {
		strlcpy(key, "report", sizeof(key));
		CHECK(idq_key_per(key, sizeof(key), bad[i], 0) != NULL);
		CHECK_STR(key, "report");
	}
}

static void
period_lengths(void)
{
	char key[IDQ_KEY_MAX + 64];

	memset(key, 'k', sizeof(key));
	key[512 - 11] = '\0';
	CHECK_STR(idq_key_per(key, IDQ_KEY_MAX + 1, "day", 0), NULL);
	CHECK_INT(strlen(key), 512);
	CHECK_STR(key + 512 - 11, "@1970-01-01");
	key[512 - 10] = '\0';
	CHECK(idq_key_per(key, IDQ_KEY_MAX + 1, "day", 0) != NULL);
	memset(key, 'k', 512 - 10);
	key[512 - 10] = '\0';
	CHECK(idq_key_per(key, sizeof(key), "day", 0) != NULL);
}

/* FIPS 180-4's examples, and what sha256sum says of others. */
static void
hashes(void)
{
	static const struct {
		struct bytes key;
		const char *hash;
	} all[] = {
		{ BYTES("abc"),
		    "ba7816bf8f01cfea414140de5dae2223"
		    "b00361a396177a9cb410ff61f20015ad" },
		{ BYTES("abcdbcdecdefdefgefghfghighijhijk"
		    "ijkljklmklmnlmnomnopnopq"),
		    "248d6a61d20638b8e5c026930c3e6039"
		    "a33ce45964ff2167f6ecedd419db06c1" },
		{ BYTES(""),
		    "e3b0c44298fc1c149afbf4c8996fb924"
		    "27ae41e4649b934ca495991b7852b855" },
		{ BYTES("call/42/2026-11-23"),
		    "1792555eaf809e29076e9f94d1102348"
		    "e847ceef62d570007785c7925642a6a0" },
		{ BYTES("Gr\xc3\xbc\xc3\x9f" "e/\xe2\x82\xac/"
		    "\xf0\x9f\x98\x80"),
		    "2f5f9fbba43eab98648091e0820f3ec4"
		    "c5c4bf95d03ed179b0ba57eb4df48391" },
	};
	char hash[HASH_SIZE];

	for (size_t i = 0; i < NITEMS(all); i++) {
		idq_key_hash(all[i].key.s, all[i].key.len, hash);
		CHECK_STR(hash, all[i].hash);
	}
	/* Of its first three bytes only. */
	idq_key_hash("abcdef", 3, hash);
	CHECK_STR(hash, all[0].hash);
}

/* The fingerprint of up to two arguments and a payload in two pieces. */
static const char *
fingerprint(const char *a, const char *b, const char *first,
    const char *rest)
{
	static char hex[HASH_SIZE];
	const char *from[] = { a, b };
	char arg[2][64], *args[2];
	struct idq_print *p;
	size_t n;

	for (n = 0; n < 2 && from[n] != NULL; n++) {
		strlcpy(arg[n], from[n], sizeof(arg[n]));
		args[n] = arg[n];
	}
	p = idq_print_new(args, n);
	idq_print_add(p, first, strlen(first));
	idq_print_add(p, rest, strlen(rest));
	idq_print_end(p, hex);
	return hex;
}

/* printf '2\n+4512345678\0Dentist at 14:00\0hello' | sha256sum, and so on */
static void
fingerprints(void)
{
	CHECK_STR(fingerprint("+4512345678", "Dentist at 14:00", "hello", ""),
	    "cfc3f07939cd27a14b1fbb21fd551169"
	    "ff3d2add703fd6e526aa08076dbf37b9");
	CHECK_STR(fingerprint("+4512345678", "Dentist at 14:00", "he", "llo"),
	    "cfc3f07939cd27a14b1fbb21fd551169"
	    "ff3d2add703fd6e526aa08076dbf37b9");
	CHECK_STR(fingerprint(NULL, NULL, "", ""),
	    "9a271f2a916b0b6ee6cecb2426f0b320"
	    "6ef074578be55d9bc94f6f3fe3ab86aa");
	CHECK_STR(fingerprint("", NULL, "", ""),
	    "ff87ddfd1c96c4b18e90cd418c694cfc"
	    "4ecdf84a4fbda79b429d3558989d9fa0");
	CHECK_STR(fingerprint(NULL, NULL, "hello", ""),
	    "f6c5c364cd6e83403a3447664c47b7a5"
	    "6daa0a31b6b5e061276622d67152fd50");
	CHECK_STR(fingerprint("hello", NULL, "", ""),
	    "4f7e7ce2925c1e083bdea323958b7a70"
	    "34989fdb78551647137b9373bcef331e");
}

static void
fingerprints_differ(void)
{
	char whole[HASH_SIZE];

	strlcpy(whole, fingerprint("a", "b", "c", ""), sizeof(whole));
	CHECK(strcmp(whole, fingerprint("ab", "", "c", "")) != 0);
	CHECK(strcmp(whole, fingerprint("", "ab", "c", "")) != 0);
	CHECK(strcmp(whole, fingerprint("b", "a", "c", "")) != 0);
	CHECK(strcmp(whole, fingerprint("a", "bc", "", "")) != 0);
	CHECK(strcmp(whole, fingerprint("a", NULL, "bc", "")) != 0);
	CHECK(strcmp(whole, fingerprint("a", "b", "c", "\n")) != 0);
}

int
main(void)
{
	check_run("key: UTF-8 without control characters", good_keys);
	check_run("key: overlong UTF-8 is refused", overlong);
	check_run("key: surrogates are refused", surrogates);
	check_run("key: past U+10FFFF is refused", past_the_last);
	check_run("key: truncated UTF-8 is refused", truncated);
	check_run("key: it ends at its length", length_counts);
	check_run("key: C0, DEL and C1 are refused", control_characters);
	check_run("key: 1 to 512 bytes", key_lengths);
	check_run("key: parts are joined by a slash", joined);
	check_run("key: slash and percent in a part are encoded", encoded);
	check_run("key: a single part stands as it is", single_part);
	check_run("key: an empty part is refused", empty_part);
	check_run("key: a bad part is refused", bad_part);
	check_run("key: joined parts are 512 bytes at most", join_lengths);
	check_run("key: a join stays in its buffer", small_buffer);
	check_run("key: no two lists of parts give one key", joins_differ);
	check_run("key: the period is appended", periods);
	check_run("key: the period is local", periods_are_local);
	check_run("key: the year of a week", week_year);
	check_run("key: an hour comes twice a year", hour_twice_a_year);
	check_run("key: an unknown period is refused", period_unknown);
	check_run("key: with its period it is 512 bytes at most",
	    period_lengths);
	check_run("key: its hash is the SHA-256 of its bytes", hashes);
	check_run("key: the fingerprint of idq(5)", fingerprints);
	check_run("key: other arguments, another fingerprint",
	    fingerprints_differ);
	return check_done();
}
