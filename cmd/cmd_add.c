/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

static const struct opt opts[] = {
	OPT_KEY,
	{ OPT_FROM_PAYLOAD, "key-from-payload", NULL,
	    "the key is the SHA-256 of arguments and payload" },
	{ OPT_AT, "at", "T", "do not start before" },
	{ OPT_IN, "in", "D", "do not start before so long from now" },
	{ OPT_TTL, "ttl", "D", "expire if not started within so long" },
	{ OPT_NOT_AFTER, "not-after", "T", "expire if not started by then" },
	{ OPT_KEEP, "keep", "D", "remember the key for so long; or forever" },
	{ OPT_ATTEMPTS, "attempts", "N", "try so often" },
	{ OPT_ON_CRASH, "on-crash", "WORD", "retry or hold" },
	{ 'g', NULL, "GROUP", "what the job hits" },
	{ OPT_REUSE, "reuse", "WORD",
	    "take the key of a failed, or any final, job" },
	{ OPT_PAYLOAD, "payload", "FILE", "the payload; - is standard input" },
	{ OPT_BATCH, "batch", NULL, "a job for each line of standard input" },
	{ OPT_JSON_LINES, "json-lines", NULL, "which are JSON objects" },
	{ 'E', NULL, "N", "exit N for a duplicate" },
	{ OPT_STRICT, "strict", NULL, "exit 75 where there is a warning" },
	{ 'v', NULL, NULL, "print what came of it" },
	{ OPT_JSON, "json", NULL, "as an object" },
	OPT_END
};

/* What the options said that is not for each job of a batch. */
struct once {
	struct key_opts	 key;
	bool		 from_payload;
	const char	*payload;
	bool		 batch;
	bool		 at;
};

static const char *
result_name(enum idq_outcome outcome)
{
	switch (outcome) {
	case IDQ_ADDED:
		return "added";
	case IDQ_DUPLICATE:
		return "duplicate";
	case IDQ_MISMATCH:
		return "mismatch";
	case IDQ_ERROR:
		break;
	}
	return "error";
}

static const char *
way_out(enum idq_state state)
{
	switch (state) {
	case IDQ_FAILED:
		return "idq retry or idq forget frees it";
	case IDQ_DONE:
	case IDQ_CANCELLED:
	case IDQ_EXPIRED:
		return "idq forget frees it";
	default:
		return "idq cancel ends it";
	}
}

static void
print_line(const char *key, const struct idq_added *r)
{
	const char *hash = *r->hash != '\0' ? r->hash : "-";

	if (r->outcome == IDQ_ERROR)
		printf("error\t%s\t-\t-\t-\t", hash);
	else
		printf("%s\t%s\t%s\t%" PRId64 "\t%" PRIu64 "\t",
		    result_name(r->outcome), hash, idq_state_name(r->state),
		    r->age / IDQ_SECOND, r->dups);
	/* A key that was refused may hold anything. */
	if (r->outcome == IDQ_ERROR)
		print_safe(stdout, key, strlen(key));
	else
		print_text(key);
	putchar('\n');
}

static void
print_object(const char *key, const struct idq_added *r)
{
	json_t *o = json_object();
	bool known = r->outcome != IDQ_ERROR;

	json_object_set_new(o, "result", json_string(result_name(r->outcome)));
	json_object_set_new(o, "hash", *r->hash != '\0' ?
	    json_string(r->hash) : json_null());
	json_object_set_new(o, "id", known ? json_string(r->id) : json_null());
	json_object_set_new(o, "state", known ?
	    json_string(idq_state_name(r->state)) : json_null());
	json_object_set_new(o, "age", known ?
	    json_integer(r->age / IDQ_SECOND) : json_null());
	json_object_set_new(o, "duplicates", known ?
	    json_integer((json_int_t)r->dups) : json_null());
	json_object_set_new(o, "key", json_text(key));
	if (r->code != 0)
		json_object_set_new(o, "error", json_text(r->message));
	print_json(o);
}

void
added_print(const struct add_opts *o, const char *key,
    const struct idq_added *r)
{
	if (o->json)
		print_object(key, r);
	else if (o->verbose)
		print_line(key, r);
}

/* On a terminal every duplicate has a line. */
static int
say_added(struct idq *q, bool strict, const char *key,
    const struct idq_added *r, bool in_batch)
{
	bool always = stderr_on_terminal() && !in_batch;
	char age[32];

	if (alarm_added(q, key, r, strict, always))
		return strict ? EX_TEMPFAIL : 0;
	if (r->outcome == IDQ_DUPLICATE && always)
		complain("%s: is already there: %s, added %s ago; %s", key,
		    idq_state_name(r->state), age_text(r->age, age),
		    way_out(r->state));
	return 0;
}

static void
say_mismatch(const char *subject, const struct idq_added *r)
{
	char age[32];

	complain("%s: differs from the job that holds the key (%s); "
	    "it is %s, added %s ago; %s", subject,
	    r->args_differ && r->payload_differs ? "args and payload" :
	    r->args_differ ? "args" : "payload", idq_state_name(r->state),
	    age_text(r->age, age), way_out(r->state));
}

void
added_failed(const struct idq *q, struct idq_added *r)
{
	/* Out of memory, say: nothing came of it at all. */
	if (r->outcome != IDQ_ERROR || r->code != 0)
		return;
	r->code = idq_errcode(q) != 0 ? idq_errcode(q) : EX_IOERR;
	strlcpy(r->message, idq_errmsg(q), sizeof(r->message));
}

int
added_say(struct idq *q, bool strict, const char *key,
    const struct idq_added *r, uint64_t line)
{
	char subject[IDQ_KEY_MAX + 64];

	if (line > 0)
		snprintf(subject, sizeof(subject), "line %" PRIu64 ": %s",
		    line, key);
	else
		strlcpy(subject, key, sizeof(subject));
	switch (r->outcome) {
	case IDQ_ADDED:
	case IDQ_DUPLICATE:
		return say_added(q, strict, key, r, line > 0);
	case IDQ_MISMATCH:
		say_mismatch(subject, r);
		return EX_DATAERR;
	case IDQ_ERROR:
		break;
	}
	complain("%s: %s", subject, r->message);
	return r->code;
}

static int
open_payload(const char *file, int *fd)
{
	int err;

	*fd = STDIN_FILENO;
	if (strcmp(file, "-") == 0)
		return 0;
	if ((*fd = open(file, O_RDONLY | O_CLOEXEC)) != -1)
		return 0;
	err = errno;
	complain("--payload %s: %s", file, strerror(err));
	return err == EACCES ? EX_NOPERM : EX_IOERR;
}

static int
make_key(const struct once *once, struct idq_add *add,
    char key[IDQ_KEY_MAX + 1])
{
	const char *why;

	if (!once->from_payload) {
		key_of_options(&once->key, key);
		return 0;
	}
	if (fingerprint(add, key) == -1) {
		complain("payload: %s", strerror(errno));
		return EX_IOERR;
	}
	if (once->key.per != NULL && (why = idq_key_per(key, IDQ_KEY_MAX + 1,
	    once->key.per, idq_now())) != NULL)
		usage_error("--per %s: the key %s", once->key.per, why);
	return 0;
}

/* Before the queue is touched: a payload that is missing makes no queue. */
static int
prepare(struct add_opts *o, const struct once *once,
    char key[IDQ_KEY_MAX + 1])
{
	struct idq_add *add = &o->add;
	int status = 0;

	if (once->payload != NULL)
		status = open_payload(once->payload, &add->fd);
	if (status == 0)
		status = make_key(once, add, key);
	add->key = key;
	add->keylen = strlen(key);
	if (o->in != 0)
		add->due = idq_now() + o->in;
	return status;
}

static int
add_one(struct idq *q, const struct add_opts *o)
{
	const struct idq_add *add = &o->add;
	struct idq_added result;
	int status;

	memset(&result, 0, sizeof(result));
	result.outcome = IDQ_ERROR;
	if (idq_add(q, add, &result) == -1)
		added_failed(q, &result);
	added_print(o, add->key, &result);
	status = added_say(q, o->strict, add->key, &result, 0);
	if (result.outcome == IDQ_DUPLICATE && status == 0 &&
	    o->dup_exit != -1)
		status = o->dup_exit;
	return status;
}

static void
times(int c, struct add_opts *o, struct once *once)
{
	switch (c) {
	case OPT_AT:
		o->add.due = time_value("--at", optarg, false);
		once->at = true;
		break;
	case OPT_IN:
		o->in = duration_value("--in", optarg, NULL);
		break;
	case OPT_TTL:
		o->add.ttl = duration_value("--ttl", optarg, "none");
		if (o->add.ttl == 0)
			usage_error("--ttl %s: is too short", optarg);
		break;
	case OPT_NOT_AFTER:
		o->add.not_after = time_value("--not-after", optarg, true);
		if (o->add.not_after == 0)	/* which would be: none */
			o->add.not_after = 1;
		break;
	case OPT_KEEP:
		o->add.keep = keep_value(optarg);
		break;
	}
}

static void
set(int c, struct add_opts *o, struct once *once)
{
	static const char *const reuse[] = { "failed", "final", NULL };

	switch (c) {
	case OPT_FROM_PAYLOAD:
		once->from_payload = true;
		break;
	case OPT_ATTEMPTS:
		o->add.attempts = (uint32_t)number_value("--attempts", optarg,
		    1, 1000000);
		break;
	case OPT_ON_CRASH:
		o->add.on_crash = on_crash_value(optarg);
		break;
	case 'g':
		o->add.group = group_value("-g", optarg);
		break;
	case OPT_REUSE:
		o->add.reuse = word_value("--reuse", optarg, reuse) == 0 ?
		    IDQ_REUSE_FAILED : IDQ_REUSE_FINAL;
		break;
	case OPT_PAYLOAD:
		once->payload = optarg;
		break;
	case OPT_BATCH:
		once->batch = true;
		break;
	case OPT_JSON_LINES:
		o->json_lines = true;
		break;
	case 'E':
		o->dup_exit = (int)number_value("-E", optarg, 0, 255);
		break;
	case OPT_STRICT:
		o->strict = true;
		break;
	case 'v':
		o->verbose = true;
		break;
	case OPT_JSON:
		o->json = true;
		break;
	default:
		if (!key_option(&once->key, c))
			times(c, o, once);
	}
}

static void
check_batch(const struct add_opts *o, const struct once *once)
{
	if (once->key.n > 0 || once->from_payload || once->payload != NULL ||
	    o->dup_exit != -1)
		usage_error("--batch: does not go with -k, "
		    "--key-from-payload, --payload or -E");
	if (o->add.nargs > 0)
		usage_error("%s: --batch takes no operands; a job's arguments "
		    "are args of --json-lines", o->add.args[0]);
}

static void
check(const struct add_opts *o, const struct once *once)
{
	if (once->at && o->in != 0)
		usage_error("--in: does not go with --at");
	if (o->add.ttl != 0 && o->add.not_after != 0)
		usage_error("--ttl: does not go with --not-after");
	if (once->batch) {
		check_batch(o, once);
		return;
	}
	if (o->json_lines)
		usage_error("--json-lines: goes with --batch");
	if (once->from_payload && once->key.n > 0)
		usage_error("-k: does not go with --key-from-payload");
	if (!once->from_payload && once->key.n == 0)
		usage_error("no key given; use -k");
}

int
cmd_add(int argc, char **argv)
{
	struct add_opts o = { .add = { .fd = -1, .payload = "" },
	    .dup_exit = -1 };
	struct once once = { .batch = false };
	char key[IDQ_KEY_MAX + 1];
	struct idq *q;
	int c, status;

	while ((c = next_option(opts, argc, argv)) != 0)
		set(c, &o, &once);
	operands(&argc, &argv, 0, -1, "");
	o.add.args = argv;
	o.add.nargs = (size_t)argc;
	o.per = once.key.per;
	check(&o, &once);
	*key = '\0';
	if (!once.batch && (status = prepare(&o, &once, key)) != 0)
		return status;
	status = open_queue(&q, "default", IDQ_WRITE | IDQ_CREATE);
	if (status != 0)
		return status;
	status = once.batch ? batch(q, &o) : add_one(q, &o);
	idq_close(q);
	return status;
}
