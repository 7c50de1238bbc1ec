/* SPDX-License-Identifier: ISC */
/*
 * The grammar of names, both ways.  Nothing else in idq writes or reads one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

static const char *const dirs[] = {
	"new", "wait", "paced", "cur", "hold", "failed", "done", "cancelled",
	"expired",
	"tmp", "turn"
};

const char *
idq_place_dir(enum place p)
{
	return dirs[p];
}

bool
idq_is_hex(const char *s, size_t n)
{
	return strspn(s, "0123456789abcdef") >= n;
}

bool
idq_is_hash(const char *s)
{
	return strlen(s) == IDQ_HASH_LEN && idq_is_hex(s, IDQ_HASH_LEN);
}

/* H.ID, and nothing after it. */
static int
parse_pair(const char *s, struct name *n)
{
	if (strlen(s) != CUR_LEN || s[IDQ_HASH_LEN] != '.' ||
	    !idq_is_hex(s, IDQ_HASH_LEN) ||
	    !idq_is_hex(s + IDQ_HASH_LEN + 1, IDQ_ID_LEN))
		return -1;
	memcpy(n->hash, s, IDQ_HASH_LEN);
	n->hash[IDQ_HASH_LEN] = '\0';
	memcpy(n->id, s + IDQ_HASH_LEN + 1, ID_SIZE);
	return 0;
}

/* T.GH, the time and the hash of a group. */
static int
parse_turn(const char *s, struct name *n)
{
	if (strlen(s) != DUE_LEN + 1 + IDQ_HASH_LEN || s[DUE_LEN] != '.' ||
	    idq_due_parse(s, &n->due) == -1 ||
	    !idq_is_hash(s + DUE_LEN + 1))
		return -1;
	memcpy(n->hash, s + DUE_LEN + 1, HASH_SIZE);
	n->id[0] = '\0';
	return 0;
}

int
idq_name_parse(enum place p, const char *s, struct name *n)
{
	n->due = 0;
	if (p == PL_TURN)
		return parse_turn(s, n);
	if (p == PL_NEW || p == PL_WAIT || p == PL_PACED) {
		if (strlen(s) != NEW_LEN || s[DUE_LEN] != '.' ||
		    idq_due_parse(s, &n->due) == -1)
			return -1;
		s += DUE_LEN + 1;
	}
	return parse_pair(s, n);
}

bool
idq_is_minute(const char *s)
{
	char due[DUE_LEN + 1];
	int64_t t;

	if (strlen(s) != MINUTE_LEN)
		return false;
	snprintf(due, sizeof(due), "%s00.000000Z", s);
	return idq_due_parse(due, &t) == 0;
}

bool
idq_is_day(const char *s)
{
	char stamp[STAMP_SIZE];
	int64_t t;

	if (strlen(s) != DAY_LEN)
		return false;
	snprintf(stamp, sizeof(stamp), "%sT00:00:00.000000Z", s);
	return idq_stamp_parse(stamp, strlen(stamp), &t) == 0;
}

void
idq_key_path(const char *hash, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "keys/%.2s/%s", hash, hash);
}

void
idq_tmp_path(const char *id, const char *suffix, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "tmp/%s%s", id, suffix);
}

void
idq_paced_path(const char *group, const char *hash, const char *id,
    int64_t due, char path[PATH_SIZE])
{
	char buf[DUE_LEN + 1];

	idq_due_format(due, buf);
	snprintf(path, PATH_SIZE, "paced/%s/%s.%s.%s", group, buf, hash, id);
}

void
idq_turn_path(const char *group, int64_t at, char path[PATH_SIZE])
{
	char buf[DUE_LEN + 1];

	idq_due_format(at, buf);
	snprintf(path, PATH_SIZE, "turn/%.13s/%s.%s", buf, buf, group);
}

void
idq_group_path(const char *group, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "groups/%s", group);
}

void
idq_dups_path(const char *hash, const char *id, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "dups/%.2s/%s.%s", hash, hash, id);
}

void
idq_asked_path(const char *id, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "asked/%s", id);
}

void
idq_out_path(const char *hash, const char *id, uint32_t claim,
    char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "out/%s.%s.%" PRIu32, hash, id, claim);
}

void
idq_place_path(enum place p, const char *hash, const char *id, int64_t when,
    char path[PATH_SIZE])
{
	char due[DUE_LEN + 1], day[STAMP_SIZE];

	switch (p) {
	case PL_NEW:
		idq_due_format(when, due);
		snprintf(path, PATH_SIZE, "new/%s.%s.%s", due, hash, id);
		break;
	case PL_WAIT:
		idq_due_format(when, due);
		snprintf(path, PATH_SIZE, "wait/%.13s/%s.%s.%s", due, due,
		    hash, id);
		break;
	case PL_DONE:
	case PL_CANCELLED:
	case PL_EXPIRED:
		idq_stamp(when, day);
		snprintf(path, PATH_SIZE, "%s/%.10s/%s.%s", dirs[p], day, hash,
		    id);
		break;
	case PL_TMP:
		idq_tmp_path(id, "", path);
		break;
	default:
		snprintf(path, PATH_SIZE, "%s/%s.%s", dirs[p], hash, id);
	}
}

int
idq_token_parse(const char *s, struct name *n, uint32_t *claim)
{
	char pair[CUR_LEN + 1];
	const char *err;

	if (strlen(s) > IDQ_TOKEN_LEN || strlen(s) < CUR_LEN + 2 ||
	    s[CUR_LEN] != '.' || s[CUR_LEN + 1] < '0' ||
	    s[CUR_LEN + 1] > '9' ||
	    (s[CUR_LEN + 1] == '0' && s[CUR_LEN + 2] != '\0'))
		return -1;
	strlcpy(pair, s, sizeof(pair));
	n->due = 0;
	if (parse_pair(pair, n) == -1)
		return -1;
	*claim = (uint32_t)strtonum(s + CUR_LEN + 1, 0, UINT32_MAX, &err);
	return err == NULL ? 0 : -1;
}

bool
idq_is_token(const char *s)
{
	struct name n;
	uint32_t claim;

	return idq_token_parse(s, &n, &claim) == 0;
}
