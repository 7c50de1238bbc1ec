/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "idq_impl.h"

#define H	"1792555eaf809e29076e9f94d1102348" \
		"e847ceef62d570007785c7925642a6a0"
#define ID	"9c1f03b2a4d5e677"
#define WHEN	INT64_C(1795466100123456)	/* the DUE below */
#define DUE	"20261123T203500.123456Z"
#define SWEEP	512				/* longer than any name */

static const struct {
	enum place	 place;
	const char	*path;
	const char	*name;			/* its last part */
} places[] = {
	{ PL_NEW, "new/" DUE "." H "." ID, DUE "." H "." ID },
	{ PL_WAIT, "wait/20261123T2035/" DUE "." H "." ID,
	    DUE "." H "." ID },
	{ PL_CUR, "cur/" H "." ID, H "." ID },
	{ PL_HOLD, "hold/" H "." ID, H "." ID },
	{ PL_FAILED, "failed/" H "." ID, H "." ID },
	{ PL_DONE, "done/2026-11-23/" H "." ID, H "." ID },
	{ PL_CANCELLED, "cancelled/2026-11-23/" H "." ID, H "." ID },
	{ PL_EXPIRED, "expired/2026-11-23/" H "." ID, H "." ID },
};

static void
state_names(void)
{
	char path[PATH_SIZE];

	for (size_t i = 0; i < NITEMS(places); i++) {
		idq_place_path(places[i].place, H, ID, WHEN, path);
		CHECK_STR(path, places[i].path);
	}
}

static void
other_names(void)
{
	char path[PATH_SIZE];

	idq_key_path(H, path);
	CHECK_STR(path, "keys/17/" H);
	idq_tmp_path(ID, "", path);
	CHECK_STR(path, "tmp/" ID);
	idq_tmp_path(ID, ".k", path);
	CHECK_STR(path, "tmp/" ID ".k");
	idq_tmp_path(ID, ".bad", path);
	CHECK_STR(path, "tmp/" ID ".bad");
	idq_place_path(PL_TMP, H, ID, WHEN, path);
	CHECK_STR(path, "tmp/" ID);
	idq_dups_path(H, ID, path);
	CHECK_STR(path, "dups/17/" H "." ID);
	idq_asked_path(ID, path);
	CHECK_STR(path, "asked/" ID);
	idq_out_path(H, ID, 1, path);
	CHECK_STR(path, "out/" H "." ID ".1");
	idq_out_path(H, ID, UINT32_MAX, path);
	CHECK_STR(path, "out/" H "." ID ".4294967295");
}

static bool
has_due(enum place p)
{
	return p == PL_NEW || p == PL_WAIT;
}

static void
names_are_read(void)
{
	struct name n;

	for (size_t i = 0; i < NITEMS(places); i++) {
		memset(&n, '#', sizeof(n));
		CHECK_INT(idq_name_parse(places[i].place, places[i].name,
		    &n), 0);
		CHECK_STR(n.hash, H);
		CHECK_STR(n.id, ID);
		CHECK_INT(n.due, has_due(places[i].place) ? WHEN : 0);
	}
}

/* A name of one place is none of the other kind. */
static void
kinds_differ(void)
{
	struct name n;

	CHECK_INT(idq_name_parse(PL_NEW, H "." ID, &n), -1);
	CHECK_INT(idq_name_parse(PL_WAIT, H "." ID, &n), -1);
	CHECK_INT(idq_name_parse(PL_CUR, DUE "." H "." ID, &n), -1);
	CHECK_INT(idq_name_parse(PL_DONE, DUE "." H "." ID, &n), -1);
}

/* Whether S is refused, or is just what its parts are written as. */
static bool
refused_or_valid(enum place p, const char *s)
{
	char path[PATH_SIZE];
	struct name n;

	if (idq_name_parse(p, s, &n) == -1)
		return true;
	idq_place_path(p, n.hash, n.id, has_due(p) ? n.due : WHEN, path);
	return strcmp(strrchr(path, '/') + 1, s) == 0;
}

/* Call FITS with each string that is S but for one byte. */
static void
change_each(const char *s, bool (*fits)(enum place, const char *),
    enum place p)
{
	char buf[SWEEP];

	for (size_t i = 0; s[i] != '\0'; i++)
		for (int c = 1; c < 256; c++) {
			strlcpy(buf, s, sizeof(buf));
			buf[i] = (char)c;
			if (!CHECK(fits(p, buf)))
				printf("# %s\n", buf);
		}
}

/* ... with a byte left out, and with one too many. */
static void
shift_each(const char *s, bool (*fits)(enum place, const char *),
    enum place p)
{
	static const char extra[] = "0aZ. \n/";
	char buf[SWEEP];

	for (int i = 0; i <= (int)strlen(s); i++) {
		if (s[i] != '\0') {
			snprintf(buf, sizeof(buf), "%.*s%s", i, s, s + i + 1);
			if (!CHECK(fits(p, buf)))
				printf("# %s\n", buf);
		}
		for (size_t k = 0; extra[k] != '\0'; k++) {
			snprintf(buf, sizeof(buf), "%.*s%c%s", i, s,
			    extra[k], s + i);
			if (!CHECK(fits(p, buf)))
				printf("# %s\n", buf);
		}
	}
}

static void
changed_names(void)
{
	change_each(DUE "." H "." ID, refused_or_valid, PL_NEW);
	change_each(H "." ID, refused_or_valid, PL_CUR);
	change_each(H "." ID, refused_or_valid, PL_DONE);
}

static void
shifted_names(void)
{
	shift_each(DUE "." H "." ID, refused_or_valid, PL_WAIT);
	shift_each(H "." ID, refused_or_valid, PL_HOLD);
}

static void
bad_names(void)
{
	static const struct {
		enum place place;
		const char *name;
	} bad[] = {
		{ PL_CUR, "" },
		{ PL_CUR, "." },
		{ PL_CUR, H },
		{ PL_CUR, H "." },
		{ PL_CUR, "." ID },
		{ PL_CUR, ID "." H },
		{ PL_CUR, H "-" ID },
		{ PL_CUR, H "." ID ".1" },
		{ PL_CUR, H "." ID "0" },
		{ PL_CUR, "1792555EAF809E29076E9F94D1102348"
		    "E847CEEF62D570007785C7925642A6A0." ID },
		{ PL_CUR, H ".9C1F03B2A4D5E677" },
		{ PL_NEW, DUE },
		{ PL_NEW, DUE "." },
		{ PL_NEW, "." H "." ID },
		{ PL_NEW, "20261123T2035." H "." ID },
		{ PL_NEW, "20261323T203500.123456Z." H "." ID },
		{ PL_NEW, "20261123T203500.123456z." H "." ID },
		{ PL_NEW, "20261123T203500,123456Z." H "." ID },
	};
	struct name n;

	for (size_t i = 0; i < NITEMS(bad); i++)
		if (!CHECK_INT(idq_name_parse(bad[i].place, bad[i].name, &n),
		    -1))
			printf("# %s\n", bad[i].name);
}

/* Names of jobs due one after the other stand so in new/. */
static void
names_sort(void)
{
	static const int64_t due[] = { 1, 999999, 1000000, 59999999,
	    WHEN, WHEN + 1, WHEN + 1000000, 4102444800000000 };
	char path[2][PATH_SIZE];

	for (size_t i = 0; i + 1 < NITEMS(due); i++) {
		/* The hash does not count before the time. */
		idq_place_path(PL_NEW, H, ID, due[i], path[0]);
		idq_place_path(PL_NEW, "0" H, ID, due[i + 1], path[1]);
		CHECK(strcmp(path[0], path[1]) < 0);
	}
}

static void
minutes(void)
{
	static const char *const good[] = { "20261123T2035", "20240229T0000",
	    "19700101T0000", "99991231T2359" };
	static const char *const bad[] = { "", "20261123T203", "20261123T203x",
	    "20261123T20350", "20261123 2035", "2026-11-23", "20261323T2035",
	    "20260229T0000", "20261123T2435", "20261123T2060",
	    "19691231T2359", "20261123t2035", " 0261123T2035",
	    "20261123T2035.", "2026112 T2035" };

	for (size_t i = 0; i < NITEMS(good); i++)
		CHECK(idq_is_minute(good[i]));
	for (size_t i = 0; i < NITEMS(bad); i++)
		if (!CHECK(!idq_is_minute(bad[i])))
			printf("# %s\n", bad[i]);
}

static void
days(void)
{
	static const char *const good[] = { "2026-11-23", "2024-02-29",
	    "1970-01-01", "9999-12-31" };
	static const char *const bad[] = { "", "2026-11-2", "2026-11-233",
	    "2026-11-23 ", "20261123", "2026_11_23", "2026-13-01",
	    "2026-00-01", "2026-01-00", "2026-02-29", "2026-04-31",
	    "1969-12-31", "2026-1-023", "2026-11-2x", "+026-11-23" };

	for (size_t i = 0; i < NITEMS(good); i++)
		CHECK(idq_is_day(good[i]));
	for (size_t i = 0; i < NITEMS(bad); i++)
		if (!CHECK(!idq_is_day(bad[i])))
			printf("# %s\n", bad[i]);
}

static bool
digits_at(const char *s, const char *form)
{
	for (; *form != '\0'; s++, form++)
		if (*form == '0' ? *s < '0' || *s > '9' : *s != *form)
			return false;
	return *s == '\0';
}

static bool
minute_has_form(enum place p, const char *s)
{
	(void)p;
	return !idq_is_minute(s) || digits_at(s, "00000000T0000");
}

static bool
day_has_form(enum place p, const char *s)
{
	(void)p;
	return !idq_is_day(s) || digits_at(s, "0000-00-00");
}

static void
changed_folders(void)
{
	change_each("20261123T2035", minute_has_form, PL_WAIT);
	shift_each("20261123T2035", minute_has_form, PL_WAIT);
	change_each("2026-11-23", day_has_form, PL_DONE);
	shift_each("2026-11-23", day_has_form, PL_DONE);
}

static void
tokens(void)
{
	static const struct {
		const char *s;
		uint32_t n;
	} good[] = {
		{ H "." ID ".0", 0 },
		{ H "." ID ".1", 1 },
		{ H "." ID ".9", 9 },
		{ H "." ID ".10", 10 },
		{ H "." ID ".4294967295", 4294967295 },
	};
	struct name n;
	uint32_t claim;

	for (size_t i = 0; i < NITEMS(good); i++) {
		CHECK_INT(idq_token_parse(good[i].s, &n, &claim), 0);
		CHECK(idq_is_token(good[i].s));
		CHECK_STR(n.hash, H);
		CHECK_STR(n.id, ID);
		CHECK_INT(claim, good[i].n);
	}
}

static void
bad_tokens(void)
{
	static const char *const bad[] = {
		"", ".", "call/42", H, H ".", H "." ID, H "." ID ".",
		H "." ID ".00", H "." ID ".01", H "." ID ".-1",
		H "." ID ".+1", H "." ID ". 1", H "." ID ".1 ",
		H "." ID ".1x", H "." ID ".x", H "." ID ".0x1",
		H "." ID ".1.1", H "." ID "..1", H "." ID ".1\n",
		H "." ID ".4294967296", H "." ID ".9999999999",
		H "." ID ".18446744073709551617", H "." ID "-1",
		H ".." ID ".1", H "-" ID ".1", ID "." H ".1", ":" H,
		" " H "." ID ".1", H ".9C1F03B2A4D5E677.1",
		DUE "." H "." ID ".1", "cur/" H "." ID ".1",
	};

	for (size_t i = 0; i < NITEMS(bad); i++)
		if (!CHECK(!idq_is_token(bad[i])))
			printf("# %s\n", bad[i]);
}

static bool
token_refused_or_valid(enum place p, const char *s)
{
	char buf[SWEEP];
	struct name n;
	uint32_t claim;

	(void)p;
	if (idq_token_parse(s, &n, &claim) == -1)
		return true;
	snprintf(buf, sizeof(buf), "%s.%s.%" PRIu32, n.hash, n.id, claim);
	return strcmp(buf, s) == 0;
}

static void
changed_tokens(void)
{
	change_each(H "." ID ".0", token_refused_or_valid, PL_CUR);
	change_each(H "." ID ".12", token_refused_or_valid, PL_CUR);
	shift_each(H "." ID ".12", token_refused_or_valid, PL_CUR);
}

static void
hex(void)
{
	CHECK(idq_is_hex("0123456789abcdef", 16));
	CHECK(idq_is_hex("abcx", 3));
	CHECK(!idq_is_hex("abcx", 4));
	CHECK(!idq_is_hex("abc", 4));
	CHECK(!idq_is_hex("ABC", 3));
	CHECK(!idq_is_hex("", 1));
	CHECK(!idq_is_hex("g", 1));
}

static void
states(void)
{
	static const char *const names[] = { "waiting", "pending", "running",
	    "held", "done", "failed", "cancelled", "expired" };

	CHECK_INT(NITEMS(names), IDQ_NSTATES);
	for (size_t i = 0; i < NITEMS(names); i++)
		CHECK_STR(idq_state_name((enum idq_state)i), names[i]);
}

int
main(void)
{
	check_run("name: of each state directory", state_names);
	check_run("name: of keys, tmp, dups, asked and out", other_names);
	check_run("name: of each state directory is read", names_are_read);
	check_run("name: with and without a due time differ", kinds_differ);
	check_run("name: one byte changed is refused or valid",
	    changed_names);
	check_run("name: one byte less or more is refused or valid",
	    shifted_names);
	check_run("name: what does not parse is refused", bad_names);
	check_run("name: names sort by due time", names_sort);
	check_run("name: minutes", minutes);
	check_run("name: days", days);
	check_run("name: a changed folder is refused or valid",
	    changed_folders);
	check_run("name: tokens", tokens);
	check_run("name: what is no token is refused", bad_tokens);
	check_run("name: a changed token is refused or valid",
	    changed_tokens);
	check_run("name: hexadecimal digits are lower-case", hex);
	check_run("name: states", states);
	return check_done();
}
