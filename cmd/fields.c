/* SPDX-License-Identifier: ISC */
/*
 * A job as named fields: for show as text and as JSON, and for claim and ls.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

enum field {
	F_KEY, F_HASH, F_ID, F_STATE, F_SINCE, F_ADDED, F_BY, F_DUE,
	F_EXPIRES, F_GROUP, F_ARG, F_LENGTH, F_FINGERPRINT, F_ATTEMPTS,
	F_CLAIMS, F_DUPS, F_LASTDUP, F_LEASE, F_TOKEN, F_PID, F_RELEASE,
	F_KEEP, F_ON_CRASH, F_RUN, F_PATH, F_LAST, F_N
};

static const char *const names[F_N + 1] = {
	[F_KEY] = "key",
	[F_HASH] = "hash",
	[F_ID] = "id",
	[F_STATE] = "state",
	[F_SINCE] = "since",
	[F_ADDED] = "added",
	[F_BY] = "by",
	[F_DUE] = "due",
	[F_EXPIRES] = "expires",
	[F_GROUP] = "group",
	[F_ARG] = "arg",
	[F_LENGTH] = "length",
	[F_FINGERPRINT] = "fingerprint",
	[F_ATTEMPTS] = "attempts",
	[F_CLAIMS] = "claims",
	[F_DUPS] = "dups",
	[F_LASTDUP] = "lastdup",
	[F_LEASE] = "lease",
	[F_TOKEN] = "token",
	[F_PID] = "pid",
	[F_RELEASE] = "release",
	[F_KEEP] = "keep",
	[F_ON_CRASH] = "on-crash",
	[F_RUN] = "run",
	[F_PATH] = "path",
	[F_LAST] = "last",
	[F_N] = NULL
};

/* What a field holds; NONE is a field that the job does not have. */
struct value {
	enum { NONE, TEXT, COUNT, TIME, SPAN, YES } kind;
	const char	*text;
	int64_t		 n;
};

/* What is read once per job and not part of its file. */
struct view {
	struct idq	*q;
	const struct idq_job *j;
	uint64_t	 dups;
	int64_t		 lastdup;
	pid_t		 pid;
	char		 token[IDQ_TOKEN_LEN + 1];
};

const char *const *
field_names(void)
{
	return names;
}

const char *
token_of(const struct idq_job *j, char buf[IDQ_TOKEN_LEN + 1])
{
	buf[0] = '\0';
	if (j->state == IDQ_RUNNING)
		snprintf(buf, IDQ_TOKEN_LEN + 1, "%s.%s.%" PRIu32, j->hash,
		    j->id, j->claims);
	return buf;
}

static int
look(struct view *v, struct idq *q, const struct idq_job *j)
{
	v->q = q;
	v->j = j;
	v->pid = j->state == IDQ_RUNNING ? idq_command_pid(q, j) : 0;
	token_of(j, v->token);
	if (idq_dups(q, j, &v->dups, &v->lastdup) == -1)
		return complain_queue(q, j->key);
	return 0;
}

static struct value
text(const char *s)
{
	struct value v = { s != NULL && *s != '\0' ? TEXT : NONE, s, 0 };

	return v;
}

static struct value
count(uint64_t n)
{
	struct value v = { COUNT, NULL, (int64_t)n };

	return v;
}

/* Times, spans and pids that are 0 are not there. */
static struct value
unless_0(int kind, int64_t n)
{
	struct value v = { NONE, NULL, n };

	if (n != 0)
		v.kind = kind;
	return v;
}

static const char *
on_crash_word(enum idq_on_crash c)
{
	return c == IDQ_CRASH_UNSET ? NULL : c == IDQ_CRASH_HOLD ? "hold" :
	    "retry";
}

/* Of every field but arg, which can be several. */
static struct value
get(const struct view *v, enum field f)
{
	const struct idq_job *j = v->j;

	switch (f) {
	case F_KEY:
		return text(j->key);
	case F_HASH:
		return text(j->hash);
	case F_ID:
		return text(j->id);
	case F_STATE:
		return text(idq_state_name(j->state));
	case F_SINCE:
		return unless_0(TIME, j->since);
	case F_ADDED:
		return unless_0(TIME, j->added);
	case F_BY:
		return text(j->by);
	case F_DUE:
		return unless_0(TIME, j->due);
	case F_EXPIRES:
		return unless_0(TIME, j->expires);
	case F_GROUP:
		return text(j->group);
	case F_LENGTH:
		return count((uint64_t)j->length);
	case F_FINGERPRINT:
		return text(j->fingerprint);
	case F_ATTEMPTS:
		return count(j->attempts);
	case F_CLAIMS:
		return count(j->claims);
	case F_DUPS:
		return count(v->dups);
	case F_LASTDUP:
		return unless_0(TIME, v->lastdup);
	case F_LEASE:
		return unless_0(TIME, j->lease);
	case F_TOKEN:
		return text(v->token);
	case F_PID:
		return unless_0(COUNT, v->pid);
	case F_RELEASE:
		return unless_0(TIME, j->release);
	case F_KEEP:
		return unless_0(SPAN, j->keep);
	case F_ON_CRASH:
		return text(on_crash_word(j->on_crash));
	case F_RUN:
		return unless_0(YES, j->run);
	case F_PATH:
		return text(j->path);
	case F_LAST:
		return text(j->last);
	case F_ARG:
	case F_N:
		break;
	}
	return text(NULL);
}

static void
print_line(const char *line)
{
	char *local = on_terminal() ? local_stamps(line) : NULL;

	print_text(local != NULL ? local : line);
	free(local);
}

static void
print_value(const struct value *v)
{
	char buf[TIME_SIZE];

	switch (v->kind) {
	case NONE:
		break;
	case TEXT:
		print_line(v->text);
		break;
	case COUNT:
		printf("%" PRId64, v->n);
		break;
	case TIME:
		fputs(v->n == IDQ_FOREVER ? "never" :
		    time_text(v->n, on_terminal(), buf), stdout);
		break;
	case SPAN:
		fputs(v->n == IDQ_FOREVER ? "forever" :
		    idq_duration_format(v->n, buf, sizeof(buf)), stdout);
		break;
	case YES:
		fputs("yes", stdout);
		break;
	}
}

int
print_field(struct idq *q, const struct idq_job *j, size_t field, char end)
{
	struct value value;
	struct view v;
	int status = look(&v, q, j);

	if (status != 0)
		return status;
	if (field == F_ARG) {
		for (size_t i = 0; i < j->nargs; i++) {
			print_text(j->args[i]);
			putchar(end);
		}
		return 0;
	}
	value = get(&v, (enum field)field);
	print_value(&value);
	putchar(end);
	return 0;
}

static void
print_name(enum field f)
{
	printf("%s:%*s", names[f], (int)(12 - strlen(names[f])), "");
}

static void
trail_line(void *arg, const char *line)
{
	(void)arg;
	print_line(line);
	putchar('\n');
}

int
print_fields(struct idq *q, const struct idq_job *j)
{
	struct value value;
	struct view v;
	int status = look(&v, q, j);

	if (status != 0)
		return status;
	for (enum field f = 0; f < F_N; f++) {
		for (size_t i = 0; f == F_ARG && i < j->nargs; i++) {
			print_name(f);
			print_text(j->args[i]);
			putchar('\n');
		}
		value = get(&v, f);
		/* The last line is about to come at the end of the trail. */
		if (value.kind == NONE || f == F_LAST)
			continue;
		print_name(f);
		print_value(&value);
		putchar('\n');
	}
	if (j->last != NULL)
		putchar('\n');
	if (idq_trail(q, j, trail_line, NULL) == -1)
		return complain_queue(q, j->key);
	return 0;
}

static json_t *
value_json(const struct value *v)
{
	char buf[TIME_SIZE];

	switch (v->kind) {
	case TEXT:
		return json_text(v->text);
	case COUNT:
		return json_integer(v->n);
	case TIME:
		return v->n == IDQ_FOREVER ? json_string("never") :
		    json_time(v->n);
	case SPAN:
		return json_string(v->n == IDQ_FOREVER ? "forever" :
		    idq_duration_format(v->n, buf, sizeof(buf)));
	case NONE:
	case YES:
		break;
	}
	return json_null();
}

static json_t *
args_json(const struct idq_job *j)
{
	json_t *args = json_array();

	for (size_t i = 0; i < j->nargs; i++)
		json_array_append_new(args, json_text(j->args[i]));
	return args;
}

static void
trail_json(void *arg, const char *line)
{
	json_array_append_new(arg, json_text(line));
}

json_t *
job_json(struct idq *q, const struct idq_job *j)
{
	json_t *o = json_object(), *trail = json_array();
	struct value value;
	struct view v;

	if (look(&v, q, j) != 0)
		goto failed;
	if (idq_trail(q, j, trail_json, trail) == -1) {
		complain_queue(q, j->key);
		goto failed;
	}
	for (enum field f = 0; f < F_N; f++) {
		value = get(&v, f);
		if (f == F_ARG)
			json_object_set_new(o, "args", args_json(j));
		else if (f == F_RUN)
			json_object_set_new(o, names[f], json_boolean(j->run));
		else
			json_object_set_new(o, f == F_ON_CRASH ? "on_crash" :
			    names[f], value_json(&value));
	}
	json_object_set_new(o, "trail", trail);
	return o;
failed:
	json_decref(o);
	json_decref(trail);
	return NULL;
}
