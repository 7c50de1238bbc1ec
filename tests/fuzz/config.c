/* SPDX-License-Identifier: ISC */
/*
 * The bytes are the config of a queue, which is made once.  What was read and
 * is written again must be read as the same; and of a name that comes twice the
 * last line counts.
 */
#include "fuzz.h"
#include "../unit/spool.h"

static struct idq *q;

static void
leave(void)
{
	spool_remove(q);
}

static void
load_text(const char *text, size_t len)
{
	spool_write(q, "config", text, len);
	REQUIRE(idq_config_load(q) == 0);
}

/* All that is set, as `idq config' would write it. */
static void
check_again(void)
{
	char text[CFG_N * 48] = "", value[64];
	const char *const *names = idq_config_names();
	int64_t was[CFG_N];
	bool set[CFG_N];

	memcpy(was, q->cfg, sizeof(was));
	memcpy(set, q->cfg_set, sizeof(set));
	for (int i = 0; i < CFG_N; i++) {
		if (!set[i])
			continue;
		strlcat(text, names[i], sizeof(text));
		strlcat(text, " ", sizeof(text));
		idq_config_get(q, names[i], value, sizeof(value));
		REQUIRE(strlen(value) < 32);
		strlcat(text, value, sizeof(text));
		strlcat(text, "\n", sizeof(text));
	}
	load_text(text, strlen(text));
	REQUIRE(memcmp(was, q->cfg, sizeof(was)) == 0);
	REQUIRE(memcmp(set, q->cfg_set, sizeof(set)) == 0);
}

/* Whether LINE sets NAME: the words are apart by blanks. */
static int
sets(const char *line, const char *name)
{
	size_t len = strlen(name);

	line += strspn(line, " \t");
	return strncmp(line, name, len) == 0 &&
	    strchr(" \t", line[len]) != NULL;
}

/* For each name: the last of its lines alone says as much as all of them. */
static void
check_last(char *text)
{
	const char *const *names = idq_config_names();
	const char *last[CFG_N] = { NULL };
	int64_t was[CFG_N];
	bool set[CFG_N];
	char *line;

	memcpy(was, q->cfg, sizeof(was));
	memcpy(set, q->cfg_set, sizeof(set));
	while ((line = strsep(&text, "\n")) != NULL)
		for (int i = 0; i < CFG_N; i++)
			if (sets(line, names[i]))
				last[i] = line;
	for (int i = 0; i < CFG_N; i++) {
		REQUIRE(set[i] == (last[i] != NULL));
		if (!set[i])
			continue;
		load_text(last[i], strlen(last[i]));
		REQUIRE(q->cfg_set[i] && q->cfg[i] == was[i]);
	}
	memcpy(q->cfg, was, sizeof(was));
	memcpy(q->cfg_set, set, sizeof(set));
}

/* Setting one to what it is changes nothing. */
static void
check_set(unsigned int which)
{
	const char *name = idq_config_names()[which % CFG_N];
	int64_t was[CFG_N];
	char value[64];

	memcpy(was, q->cfg, sizeof(was));
	idq_config_get(q, name, value, sizeof(value));
	REQUIRE(idq_config_set(q, name, value) == 0);
	REQUIRE(q->cfg_set[which % CFG_N]);
	REQUIRE(memcmp(was, q->cfg, sizeof(was)) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (q == NULL) {
		q = spool_make();
		atexit(leave);
	}
	spool_write(q, "config", (const char *)data, size);
	if (idq_config_load(q) == -1) {
		REQUIRE(idq_errcode(q) == EX_CONFIG && *idq_errmsg(q) != '\0');
		return 0;
	}
	REQUIRE(memchr(data, '\0', size) == NULL);
	text = fuzz_string(data, size);
	check_last(text);
	check_again();
	if (size > 0 && data[size - 1] % 8 == 0)
		check_set(*data);
	free(text);
	return 0;
}
