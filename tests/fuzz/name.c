/* SPDX-License-Identifier: ISC */
/*
 * Names of files.  The first byte says what the rest is the name of.  Every
 * name that is taken must be the one that would be written, byte for byte, and
 * be of one form alone.
 */
#include <inttypes.h>

#include "fuzz.h"
#include "idq_impl.h"

static const char *
last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static void
name_of(enum place place, const struct name *n, char path[PATH_SIZE])
{
	if (place == PL_TURN)
		idq_turn_path(n->hash, n->due, path);
	else if (place == PL_PACED)
		idq_paced_path(n->hash, n->hash, n->id, n->due, path);
	else if (place == PL_TMP)
		idq_place_path(PL_CUR, n->hash, n->id, 0, path);
	else
		idq_place_path(place, n->hash, n->id, n->due, path);
}

static void
check_place(enum place place, const char *s)
{
	char path[PATH_SIZE];
	struct name n;

	memset(&n, 'x', sizeof(n));
	if (idq_name_parse(place, s, &n) == -1)
		return;
	name_of(place, &n, path);
	REQUIRE(strcmp(last_part(path), s) == 0);
	REQUIRE(idq_is_hash(n.hash));
	REQUIRE(place == PL_TURN ? n.id[0] == '\0' :
	    strlen(n.id) == IDQ_ID_LEN && idq_is_hex(n.id, IDQ_ID_LEN));
}

static void
check_one_form(const char *s)
{
	struct name n;
	uint32_t claim;
	int forms = idq_is_hash(s) + idq_is_minute(s) + idq_is_day(s) +
	    (idq_name_parse(PL_NEW, s, &n) == 0) +
	    (idq_name_parse(PL_CUR, s, &n) == 0) +
	    (idq_name_parse(PL_TURN, s, &n) == 0) +
	    (idq_token_parse(s, &n, &claim) == 0);

	REQUIRE(forms <= 1);
	for (int p = 0; p <= PL_TURN; p++) {
		enum place like = p <= PL_PACED ? PL_NEW :
		    p == PL_TURN ? PL_TURN : PL_CUR;

		REQUIRE(idq_name_parse((enum place)p, s, &n) ==
		    idq_name_parse(like, s, &n));
	}
}

static void
check_token(const char *s)
{
	char token[IDQ_TOKEN_LEN + 2];
	struct name n;
	uint32_t claim;

	if (idq_token_parse(s, &n, &claim) == -1) {
		REQUIRE(!idq_is_token(s));
		return;
	}
	REQUIRE(idq_is_token(s));
	snprintf(token, sizeof(token), "%s.%s.%" PRIu32, n.hash, n.id, claim);
	REQUIRE(strcmp(token, s) == 0);
}

/* MINUTE and DAY folders: of a time, as it would be written. */
static void
check_folder(const char *s)
{
	char path[PATH_SIZE], text[64];
	int64_t t;

	if (idq_is_minute(s)) {
		snprintf(text, sizeof(text), "%s00.000000Z", s);
		REQUIRE(idq_due_parse(text, &t) == 0);
		idq_place_path(PL_WAIT, "h", "i", t, path);
		REQUIRE(strncmp(path + strlen("wait/"), s, MINUTE_LEN) == 0);
	}
	if (idq_is_day(s)) {
		snprintf(text, sizeof(text), "%sT00:00:00.000000Z", s);
		REQUIRE(idq_stamp_parse(text, strlen(text), &t) == 0);
		idq_place_path(PL_DONE, "h", "i", t, path);
		REQUIRE(strncmp(path + strlen("done/"), s, DAY_LEN) == 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s;

	if (size == 0)
		return 0;
	s = fuzz_string(data + 1, size - 1);
	check_place((enum place)(*data % (PL_TURN + 1)), s);
	check_one_form(s);
	check_token(s);
	check_folder(s);
	free(s);
	return 0;
}
