/* SPDX-License-Identifier: ISC */
#include <sys/file.h>

#include <fcntl.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define CONFIG_MAX	(16 * 1024)
#define NEW_CONFIG	".config"

enum type {
	DURATION,
	DURATION_NOT_0,
	DURATION_OR_NONE,
	DURATION_OR_OFF,
	DURATION_OR_FOREVER,
	COUNT,
	RATE,
	WORD
};

static const char *const crash_words[] = { "retry", "hold", NULL };
static const char *const output_words[] = { "inherit", "keep", NULL };
static const char *const sync_words[] = { "full", "file", "off", NULL };
static const char *const yes_words[] = { "no", "yes", NULL };

static const struct option {
	enum type	 type;
	int64_t		 value;			/* the default */
	const char *const *words;
} options[CFG_N] = {
	[CFG_KEEP] = { DURATION_OR_FOREVER, 7 * IDQ_DAY, NULL },
	[CFG_KEEP_FAILED] = { DURATION_OR_FOREVER, 30 * IDQ_DAY, NULL },
	[CFG_KEEP_LOG] = { DURATION_OR_FOREVER, 90 * IDQ_DAY, NULL },
	[CFG_ATTEMPTS] = { COUNT, 5, NULL },
	[CFG_BACKOFF] = { DURATION, IDQ_MINUTE, NULL },
	[CFG_TIMEOUT] = { DURATION_OR_NONE, 0, NULL },
	[CFG_GRACE] = { DURATION, 10 * IDQ_SECOND, NULL },
	[CFG_LEASE] = { DURATION_NOT_0, 10 * IDQ_MINUTE, NULL },
	[CFG_TTL] = { DURATION_OR_NONE, 0, NULL },
	[CFG_WARN_AGE] = { DURATION_OR_NONE, 30 * IDQ_MINUTE, NULL },
	[CFG_GATE_AGE] = { DURATION_OR_OFF, 0, NULL },
	[CFG_GROUP_MAX] = { COUNT, 1, NULL },
	[CFG_GROUP_GAP] = { DURATION, 0, NULL },
	[CFG_RATE] = { RATE, 0, NULL },
	[CFG_ON_CRASH] = { WORD, 0, crash_words },
	[CFG_OUTPUT] = { WORD, OUTPUT_INHERIT, output_words },
	[CFG_SYNC] = { WORD, SYNC_FULL, sync_words },
	[CFG_SHARED] = { WORD, 0, yes_words },
	[CFG_EXEC] = { WORD, 0, yes_words },
};

static const char *const names[CFG_N + 1] = {
	[CFG_KEEP] = "keep",
	[CFG_KEEP_FAILED] = "keep-failed",
	[CFG_KEEP_LOG] = "keep-log",
	[CFG_ATTEMPTS] = "attempts",
	[CFG_BACKOFF] = "backoff",
	[CFG_TIMEOUT] = "timeout",
	[CFG_GRACE] = "grace",
	[CFG_LEASE] = "lease",
	[CFG_TTL] = "ttl",
	[CFG_WARN_AGE] = "warn-age",
	[CFG_GATE_AGE] = "gate-age",
	[CFG_GROUP_MAX] = "group-max",
	[CFG_GROUP_GAP] = "group-gap",
	[CFG_RATE] = "rate",
	[CFG_ON_CRASH] = "on-crash",
	[CFG_OUTPUT] = "output",
	[CFG_SYNC] = "sync",
	[CFG_SHARED] = "shared",
	[CFG_EXEC] = "exec",
	[CFG_N] = NULL
};

const char *const *
idq_config_names(void)
{
	return names;
}

static int
find(const char *name)
{
	for (int i = 0; i < CFG_N; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

static int
parse_word(const char *const *words, const char *s, int64_t *value)
{
	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], s) == 0) {
			*value = i;
			return 0;
		}
	return -1;
}

static const char *
word_for_0(const struct option *o)
{
	return o->type == DURATION_OR_OFF ? "off" : "none";
}

static int
parse(const struct option *o, const char *s, int64_t *value)
{
	const char *err;

	switch (o->type) {
	case COUNT:
		*value = strtonum(s, 1, 1000000, &err);
		return err == NULL ? 0 : -1;
	case WORD:
		return parse_word(o->words, s, value);
	case RATE:
		if (strcmp(s, "none") != 0)
			return idq_rate_parse(s, value);
		*value = 0;
		return 0;
	case DURATION_OR_NONE:
	case DURATION_OR_OFF:
		if (strcmp(s, word_for_0(o)) == 0) {
			*value = 0;
			return 0;
		}
		break;
	case DURATION_OR_FOREVER:
		if (strcmp(s, "forever") == 0) {
			*value = IDQ_FOREVER;
			return 0;
		}
		break;
	case DURATION:
	case DURATION_NOT_0:
		break;
	}
	if (idq_duration_parse(s, value) == -1)
		return -1;
	if (*value == 0 && o->type != DURATION && o->type !=
	    DURATION_OR_FOREVER)
		return -1;
	return 0;
}

static const char *
what_is_valid(const struct option *o, char *buf, size_t len)
{
	if (o->type == WORD) {
		buf[0] = '\0';
		for (int i = 0; o->words[i] != NULL; i++) {
			if (i > 0)
				strlcat(buf, " or ", len);
			strlcat(buf, o->words[i], len);
		}
		return buf;
	}
	return o->type == COUNT ? "a number from 1 to 1000000" :
	    o->type == RATE ? "a rate such as 10/1m, or none" :
	    o->type == DURATION_OR_NONE ? "a duration such as 10m, or none" :
	    o->type == DURATION_OR_OFF ? "a duration such as 2h, or off" :
	    o->type == DURATION_OR_FOREVER ?
	    "a duration such as 7d, or forever" : "a duration such as 10m";
}

static int
set_value(struct idq *q, int i, const char *value, int code)
{
	char valid[64];
	int64_t n;

	if (parse(&options[i], value, &n) == -1)
		return idq_error(q, code, "%s: bad value '%s': %s is %s",
		    q->path, value, names[i],
		    what_is_valid(&options[i], valid, sizeof(valid)));
	q->cfg[i] = n;
	q->cfg_set[i] = true;
	return 0;
}

/* A line `name value'; empty lines and those beginning with # say nothing. */
static int
load_line(struct idq *q, char *line)
{
	char *name, *value;
	int i;

	name = line + strspn(line, " \t");
	if (*name == '\0' || *name == '#')
		return 0;
	value = name + strcspn(name, " \t");
	if (*value != '\0')
		*value++ = '\0';
	value += strspn(value, " \t");
	value[strcspn(value, " \t")] = '\0';
	if ((i = find(name)) == -1)
		return idq_error(q, EX_CONFIG, "%s/config: unknown name '%s'",
		    q->path, name);
	return set_value(q, i, value, EX_CONFIG);
}

int
idq_config_load(struct idq *q)
{
	char *buf, *line, *rest;
	ssize_t n;
	int r = 0;

	for (int i = 0; i < CFG_N; i++) {
		q->cfg[i] = options[i].value;
		q->cfg_set[i] = false;
	}
	if ((buf = malloc(CONFIG_MAX)) == NULL)
		return idq_errno(q, "%s", q->path);
	n = idq_read_small(q, "config", buf, CONFIG_MAX);
	if (n == -1 && (errno == ELOOP || errno == EINVAL || errno == ENXIO))
		r = idq_error(q, EX_CONFIG, "%s/config: is no regular file",
		    q->path);
	else if (n == -1 && errno != ENOENT)
		r = idq_errno(q, "%s/config", q->path);
	else if (n > 0 && strlen(buf) != (size_t)n)
		r = idq_error(q, EX_CONFIG, "%s/config: has a NUL byte",
		    q->path);
	else if (n == CONFIG_MAX - 1)
		r = idq_error(q, EX_CONFIG, "%s/config: too long", q->path);
	rest = n > 0 ? buf : NULL;
	while (r == 0 && (line = strsep(&rest, "\n")) != NULL)
		r = load_line(q, line);
	free(buf);
	return r;
}

static const char *
format(int i, int64_t value, char *buf, size_t len)
{
	const struct option *o = &options[i];

	if (o->type == WORD)
		strlcpy(buf, o->words[value], len);
	else if (o->type == COUNT)
		snprintf(buf, len, "%" PRId64, value);
	else if (value == IDQ_FOREVER)
		strlcpy(buf, "forever", len);
	else if (value == 0 && o->type != DURATION &&
	    o->type != DURATION_OR_FOREVER)
		strlcpy(buf, word_for_0(o), len);
	else if (o->type == RATE)
		idq_rate_format(value, buf, len);
	else
		idq_duration_format(value, buf, len);
	return buf;
}

const char *
idq_config_get(const struct idq *q, const char *name, char *buf, size_t len)
{
	int i = find(name);

	return i == -1 ? NULL : format(i, q->cfg[i], buf, len);
}

int64_t
idq_config_duration(const struct idq *q, const char *name)
{
	int i = find(name);

	if (i == -1 || options[i].type >= COUNT)
		return -1;
	return q->cfg[i];
}

/* As idq_write_small(), in the top directory; a member cannot write to it. */
static int
replace(struct idq *q, const char *text)
{
	int fd, err, r;

	if (idq_at_unlink(q, NEW_CONFIG, 0) == -1 && errno != ENOENT)
		return -1;
	fd = idq_at_open(q, NEW_CONFIG, O_WRONLY | O_CREAT | O_EXCL);
	if (fd == -1)
		return -1;
	r = fchmod(fd, q->fmode & ~(mode_t)S_IWGRP);
	if (r == 0)
		r = idq_write_all(fd, text, strlen(text));
	if (r == 0)
		r = fsync(fd);
	if (r == 0 && idq_at_rename(q, NEW_CONFIG, "config") == -1 &&
	    !idq_is_at(q, fd, "config"))
		r = -1;
	if (r == 0)
		r = idq_sync_dir(q, ".");
	err = errno;
	close(fd);
	errno = err;
	return r;
}

static int
store(struct idq *q)
{
	char text[CFG_N * 48] = "", value[32];
	size_t n = 0;

	for (int i = 0; i < CFG_N; i++)
		if (q->cfg_set[i])
			n += (size_t)snprintf(text + n, sizeof(text) - n,
			    "%s %s\n", names[i],
			    format(i, q->cfg[i], value, sizeof(value)));
	/* In tmp/ a member of the group could exchange it. */
	if ((q->careful ? replace(q, text) :
	    idq_write_small(q, "config", text, true)) == -1)
		return idq_errno(q, "%s/config", q->path);
	return 0;
}

/* Whoever may set exec and shared decides what runs as somebody else. */
static int
may_set(struct idq *q)
{
	struct passwd *pw;
	struct stat st;

	if (fstat(q->fd, &st) == -1)
		return idq_errno(q, "%s", q->path);
	if (st.st_uid == geteuid() || geteuid() == 0)
		return 0;
	pw = getpwuid(st.st_uid);
	return idq_error(q, EX_NOPERM, "%s: belongs to %s, who alone sets its "
	    "config", q->path, pw != NULL ? pw->pw_name : "another");
}

bool
idq_config_is_safe(struct idq *q)
{
	struct stat top, st;

	return fstat(q->fd, &top) == 0 &&
	    idq_at_stat(q, "config", &st) == 0 &&
	    (!(top.st_mode & S_IWGRP) || top.st_mode & S_ISVTX) &&
	    (st.st_uid == top.st_uid || st.st_uid == 0) &&
	    !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Modes follow `shared': closed before that is said, opened after it. */
static int
set(struct idq *q, int i, const char *value)
{
	bool shared = i == CFG_SHARED;

	if (set_value(q, i, value, EX_USAGE) == -1)
		return -1;
	if (shared && q->cfg[i] == 0 && idq_set_modes(q, false) == -1)
		return -1;
	if (store(q) == -1)
		return -1;
	if (shared && q->cfg[i] == 1)
		return idq_set_modes(q, true);
	return 0;
}

int
idq_config_set(struct idq *q, const char *name, const char *value)
{
	int i = find(name), r, fd;

	if (i == -1)
		return idq_error(q, EX_USAGE, "no config name '%s'", name);
	if (may_set(q) == -1)
		return -1;
	/* Two settings at once: the lock makes the second read the first. */
	fd = idq_at_open(q, "format", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd == -1 || flock(fd, LOCK_EX) == -1) {
		r = idq_errno(q, "%s/format", q->path);
	} else {
		r = idq_config_load(q);
		if (r == 0)
			r = set(q, i, value);
		/* What is parked may perhaps start sooner now. */
		if (r == 0 && (i == CFG_GROUP_MAX || i == CFG_GROUP_GAP))
			r = idq_pace_all(q);
	}
	if (fd != -1)
		close(fd);
	return r;
}
