/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "spool.h"

static struct idq *q;

/* As idq(1) has them; a duration is compared by its length. */
static const struct {
	const char	*name;
	const char	*value;		/* the default */
	bool		 duration;
	const char	*other;		/* another valid value */
} all[] = {
	{ "keep", "7d", true, "forever" },
	{ "keep-failed", "30d", true, "90d" },
	{ "keep-log", "90d", true, "forever" },
	{ "attempts", "5", false, "1" },
	{ "backoff", "1m", true, "1h30m" },
	{ "timeout", "none", true, "5m" },
	{ "grace", "10s", true, "0s" },
	{ "lease", "10m", true, "1h" },
	{ "ttl", "none", true, "20m" },
	{ "warn-age", "30m", true, "none" },
	{ "gate-age", "off", true, "2h" },
	{ "group-max", "1", false, "2" },
	{ "group-gap", "0s", true, "10m" },
	{ "rate", "none", false, "10/1m" },
	{ "on-crash", "retry", false, "hold" },
	{ "output", "inherit", false, "keep" },
	{ "sync", "full", false, "file" },
	{ "shared", "no", false, "yes" },
	{ "exec", "no", false, "yes" },
};

static int64_t
length_of(const char *value)
{
	int64_t d;

	if (strcmp(value, "none") == 0 || strcmp(value, "off") == 0)
		return 0;
	if (strcmp(value, "forever") == 0)
		return IDQ_FOREVER;
	return idq_duration_parse(value, &d) == 0 ? d : -2;
}

/* NAME has VALUE in the handle and as text. */
static void
check_value(const struct idq *h, size_t i, const char *value)
{
	const char *name = all[i].name;
	char buf[64];

	CHECK_STR(idq_config_get(h, name, buf, sizeof(buf)), value);
	CHECK_INT(idq_config_duration(h, name),
	    all[i].duration ? length_of(value) : -1);
}

/* Another handle of the queue, which read the file. */
static struct idq *
reopen(void)
{
	struct idq *h;

	if (idq_open(&h, q->path, IDQ_READ) == -1)
		errx(1, "%s", idq_errmsg(h));
	return h;
}

static void
start(void)
{
	unlinkat(q->fd, "config", 0);
	if (idq_config_load(q) == -1)
		errx(1, "%s", idq_errmsg(q));
}

static void
names(void)
{
	const char *const *name = idq_config_names();
	size_t n = 0;

	for (; name[n] != NULL; n++) {
		bool found = false;

		for (size_t i = 0; i < NITEMS(all); i++)
			found |= strcmp(name[n], all[i].name) == 0;
		CHECK(found);
		for (size_t i = 0; i < n; i++)
			CHECK(strcmp(name[n], name[i]) != 0);
	}
	CHECK_INT(n, NITEMS(all));
}

static void
defaults(void)
{
	start();
	for (size_t i = 0; i < NITEMS(all); i++) {
		check_value(q, i, all[i].value);
		CHECK(!q->cfg_set[i]);
	}
}

static void
set_and_get(void)
{
	struct idq *h;

	start();
	for (size_t i = 0; i < NITEMS(all); i++) {
		if (strcmp(all[i].name, "shared") == 0)
			continue;
		CHECK_INT(idq_config_set(q, all[i].name, all[i].other), 0);
		CHECK(q->cfg_set[i]);
		check_value(q, i, all[i].other);
		h = reopen();
		CHECK(h->cfg_set[i]);
		check_value(h, i, all[i].other);
		idq_close(h);
	}
	/* None of them was lost by a later one. */
	h = reopen();
	for (size_t i = 0; i < NITEMS(all); i++)
		if (strcmp(all[i].name, "shared") != 0)
			check_value(h, i, all[i].other);
	idq_close(h);
	/* Set to its default it is still set. */
	CHECK_INT(idq_config_set(q, "keep", "7d"), 0);
	CHECK(q->cfg_set[CFG_KEEP]);
	check_value(q, 0, "7d");
}

static void
set_is_a_line(void)
{
	char *text;

	start();
	CHECK_INT(idq_config_set(q, "on-crash", "hold"), 0);
	text = spool_read(q, "config", NULL);
	CHECK_STR(text, "on-crash hold\n");
	free(text);
	CHECK_INT(idq_config_set(q, "on-crash", "retry"), 0);
	text = spool_read(q, "config", NULL);
	CHECK_STR(text, "on-crash retry\n");
	free(text);
}

static void
two_handles(void)
{
	struct idq *a, *b, *h;

	start();
	if (idq_open(&a, q->path, IDQ_WRITE) == -1 ||
	    idq_open(&b, q->path, IDQ_WRITE) == -1)
		errx(1, "%s", q->path);
	CHECK_INT(idq_config_set(a, "attempts", "3"), 0);
	CHECK_INT(idq_config_set(b, "on-crash", "hold"), 0);
	h = reopen();
	check_value(h, 3, "3");
	check_value(h, 14, "hold");
	idq_close(h);
	idq_close(a);
	idq_close(b);
}

/* A value, and the words that say what is valid instead. */
static const struct {
	const char *name;
	const char *value;
	const char *words[3];
} bad[] = {
	{ "keep", "7", { "7d", "forever" } },
	{ "keep", "", { "7d", "forever" } },
	{ "keep", "none", { "7d", "forever" } },
	{ "keep", "Forever", { "forever" } },
	{ "keep", "15250285w", { "7d", "forever" } },
	{ "keep-failed", "-1d", { "forever" } },
	{ "keep-log", "30", { "forever" } },
	{ "attempts", "0", { "number", "1" } },
	{ "attempts", "-1", { "number", "1" } },
	{ "attempts", "", { "number", "1" } },
	{ "attempts", "3x", { "number", "1" } },
	{ "attempts", "forever", { "number", "1" } },
	{ "attempts", "99999999999999999999", { "number", "1" } },
	{ "backoff", "60", { "10m" } },
	{ "backoff", "none", { "10m" } },
	{ "backoff", "forever", { "10m" } },
	{ "timeout", "5", { "10m", "none" } },
	{ "timeout", "0s", { "10m", "none" } },
	{ "timeout", "forever", { "10m", "none" } },
	{ "grace", "none", { "10m" } },
	{ "lease", "forever", { "10m" } },
	{ "lease", "0s", { "10m" } },
	{ "ttl", "0", { "10m", "none" } },
	{ "warn-age", "30 m", { "10m", "none" } },
	{ "warn-age", "0s", { "10m", "none" } },
	{ "on-crash", "ignore", { "retry", "hold" } },
	{ "on-crash", "", { "retry", "hold" } },
	{ "on-crash", "Hold", { "retry", "hold" } },
	{ "on-crash", "0", { "retry", "hold" } },
	{ "output", "", { "inherit", "keep" } },
	{ "output", "Keep", { "inherit", "keep" } },
	{ "sync", "yes", { "full", "file", "off" } },
	{ "shared", "true", { "no", "yes" } },
	{ "exec", "1", { "no", "yes" } },
};

static void
bad_values(void)
{
	start();
	for (size_t i = 0; i < NITEMS(bad); i++) {
		const char *msg;

		CHECK_INT(idq_config_set(q, bad[i].name, bad[i].value), -1);
		CHECK_INT(idq_errcode(q), 64);
		msg = idq_errmsg(q);
		CHECK(strstr(msg, bad[i].name) != NULL);
		CHECK(strstr(msg, bad[i].value) != NULL);
		for (size_t k = 0; k < 3 && bad[i].words[k] != NULL; k++)
			if (!CHECK(strstr(msg, bad[i].words[k]) != NULL))
				printf("# %s %s: %s\n", bad[i].name,
				    bad[i].value, msg);
	}
	CHECK_INT(faccessat(q->fd, "config", F_OK, 0), -1);
}

/* All or nothing: a refused value changes neither handle nor file. */
static void
bad_values_change_nothing(void)
{
	char before[64], after[64], *text;
	bool set[CFG_N];

	start();
	CHECK_INT(idq_config_set(q, "attempts", "3"), 0);
	for (size_t i = 0; i < NITEMS(bad); i++) {
		memcpy(set, q->cfg_set, sizeof(set));
		idq_config_get(q, bad[i].name, before, sizeof(before));
		CHECK_INT(idq_config_set(q, bad[i].name, bad[i].value), -1);
		CHECK(memcmp(set, q->cfg_set, sizeof(set)) == 0);
		idq_config_get(q, bad[i].name, after, sizeof(after));
		if (!CHECK_STR(after, before))
			printf("# %s %s\n", bad[i].name, bad[i].value);
	}
	text = spool_read(q, "config", NULL);
	CHECK_STR(text, "attempts 3\n");
	free(text);
}

static void
unknown_names(void)
{
	static const char *const unknown[] = { "", "kepe", "Keep", "keep ",
	    "keep-", "kee", "keepfailed", "on_crash" };
	char buf[64];

	start();
	for (size_t i = 0; i < NITEMS(unknown); i++) {
		CHECK_INT(idq_config_set(q, unknown[i], "7d"), -1);
		CHECK_INT(idq_errcode(q), 64);
		CHECK(strstr(idq_errmsg(q), unknown[i]) != NULL);
		CHECK(idq_config_get(q, unknown[i], buf, sizeof(buf)) ==
		    NULL);
		CHECK_INT(idq_config_duration(q, unknown[i]), -1);
	}
	CHECK_INT(faccessat(q->fd, "config", F_OK, 0), -1);
}

/* What opening the queue answers with this config: a code, 0 for none. */
static int
open_with(const char *text, const char *named)
{
	struct idq *h;
	int code = 0;

	spool_write(q, "config", text, strlen(text));
	if (idq_open(&h, q->path, IDQ_READ) == -1) {
		code = idq_errcode(h);
		CHECK(strstr(idq_errmsg(h), named) != NULL);
		CHECK(strstr(idq_errmsg(h), q->path) != NULL);
	}
	idq_close(h);
	return code;
}

static void
bad_files(void)
{
	char *big = malloc(1000001);

	CHECK_INT(open_with("colour red\n", "colour"), 78);
	CHECK_INT(open_with("keep 7d\ncolour red\n", "colour"), 78);
	CHECK_INT(open_with("keep 7\n", "keep"), 78);
	CHECK_INT(open_with("keep\n", "keep"), 78);
	CHECK_INT(open_with("attempts 0\n", "attempts"), 78);
	CHECK_INT(open_with("on-crash maybe", "on-crash"), 78);
	CHECK_INT(open_with("sync=off\n", "sync=off"), 78);
	if (big == NULL)
		err(1, NULL);
	memset(big, '#', 1000000);
	big[1000000] = '\0';
	CHECK_INT(open_with(big, "config"), 78);
	free(big);
	start();
}

static void
good_files(void)
{
	struct idq *h;

	CHECK_INT(open_with("", ""), 0);
	CHECK_INT(open_with("\n\n", ""), 0);
	CHECK_INT(open_with("# of nothing\n", ""), 0);
	CHECK_INT(open_with("# c\n\n  attempts   2  \nkeep\t1d\non-crash hold",
	    ""), 0);
	h = reopen();
	check_value(h, 0, "1d");
	check_value(h, 3, "2");
	check_value(h, 14, "hold");
	CHECK(!h->cfg_set[CFG_SYNC]);
	idq_close(h);
	start();
}

int
main(void)
{
	q = spool_make();
	check_run("config: the names of idq(1)", names);
	check_run("config: the defaults of idq(1)", defaults);
	check_run("config: a value is set and read", set_and_get);
	check_run("config: what is set is a line", set_is_a_line);
	check_run("config: a setting keeps what others have set",
	    two_handles);
	check_run("config: a bad value is told what is valid", bad_values);
	check_run("config: a bad value changes nothing",
	    bad_values_change_nothing);
	check_run("config: an unknown name is refused", unknown_names);
	check_run("config: a bad file is refused", bad_files);
	check_run("config: comments, blanks and missing newlines",
	    good_files);
	spool_remove(q);
	return check_done();
}
