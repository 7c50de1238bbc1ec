/* SPDX-License-Identifier: ISC */
/*
 * The frame of cancel, forget, hold, retry and unhold, and that of ack, fail,
 * release and renew.
 */
#include <string.h>

#include "cmd.h"

struct operating {
	struct idq	*q;
	const struct operation *op;
	struct filter	 filter;
	bool		 verbose;
	bool		 kill;
};

static void
say(const char *what, const struct idq_job *j)
{
	progress_clear();
	printf("%s\t%s\t", what, j->hash);
	print_text(j->key);
	putchar('\n');
}

/* The job is looked up first since afterwards it may be gone. */
static int
act(void *arg, const char *ref, int flags)
{
	const struct operating *o = arg;
	struct idq_job *j = NULL;
	int status = 0;

	if (o->verbose && (status = find_job(o->q, ref, flags, &j)) != 0)
		return status;
	switch (o->op->call(o->q, ref, flags, o->kill)) {
	case 1:
		if (o->verbose)
			say(o->op->done, j);
		break;
	case 0:
		complain("%s: no such job in %s", ref, idq_queue_dir(o->q));
		status = EX_NO;
		break;
	default:
		status = complain_queue(o->q, ref);
	}
	idq_job_free(j);
	return status;
}

/* The job of TOKEN if it still is what the filter asks for: 1, 0, -1. */
static int
still(const struct operating *o, const char *token, struct idq_job **jp)
{
	int r = idq_find(o->q, token, 0, jp);

	if (r == 1 && !idq_match(&o->filter.f, *jp, idq_now())) {
		idq_job_free(*jp);
		*jp = NULL;
		r = 0;
	}
	return r;
}

/* It did not work; but somebody else may have been quicker. */
static int
failed(const struct operating *o, const char *token, const char *key)
{
	int code = idq_errcode(o->q), r = 1;
	struct idq_job *j;
	char words[512];

	strlcpy(words, idq_errmsg(o->q), sizeof(words));
	if (code == EX_UNAVAILABLE && (r = still(o, token, &j)) == 0)
		return 0;
	if (r == 1 && code == EX_UNAVAILABLE)
		idq_job_free(j);
	complain("%s: %s", key, words);
	return code != 0 ? code : EX_IOERR;
}

/* What is no longer there, or in another state, is passed over. */
static int
act_match(void *arg, const char *token)
{
	const struct operating *o = arg;
	struct idq_job *j;
	int r = still(o, token, &j), status = 0;

	if (r != 1)
		return r == 0 ? 0 : complain_queue(o->q, token);
	if (o->filter.dry_run)
		say(verb_name(), j);
	else if ((r = o->op->call(o->q, token, 0, o->kill)) == -1)
		status = failed(o, token, j->key);
	else if (r == 1 && o->verbose)
		say(o->op->done, j);
	idq_job_free(j);
	return status;
}

static int
run(struct operating *o, const struct key_opts *key, int argc, char **argv)
{
	int status = open_queue(&o->q, "default",
	    o->filter.dry_run ? IDQ_READ : IDQ_WRITE | IDQ_CREATE);

	if (status != 0)
		return status;
	if (o->filter.given)
		status = each_match(o->q, &o->filter, act_match, o);
	else
		status = each_ref(key, argc, argv, act, o);
	idq_close(o->q);
	return status;
}

int
operate(const struct operation *op, int argc, char **argv)
{
	struct operating o = { .op = op };
	struct key_opts key = { .n = 0 };
	int c;

	while ((c = next_option(op->opts, argc, argv)) != 0) {
		if (c == 'v')
			o.verbose = true;
		else if (c == OPT_KILL)
			o.kill = true;
		else if (!filter_option(&o.filter, c))
			key_option(&key, c);
	}
	operands(&argc, &argv, 0, -1, "key");
	check_filter(&o.filter, &key, argc, argv);
	if (o.filter.given)
		filter_states(&o.filter, op->usual, op->possible);
	else
		check_refs(&key, argc, argv);
	return run(&o, &key, argc, argv);
}

int
each_token(int argc, char **argv,
    int (*call)(struct idq *, const char *, int64_t), int64_t value)
{
	struct idq *q;
	int status, worst = 0;

	for (int i = 0; i < argc; i++)
		if (!idq_is_token(argv[i]))
			usage_error("%s: is no token, which is H.ID.N as idq "
			    "claim prints it", argv[i]);
	if ((status = open_queue(&q, "default", IDQ_WRITE | IDQ_CREATE)) != 0)
		return status;
	for (int i = 0; i < argc; i++) {
		if (call(q, argv[i], value) == 0)
			continue;
		if ((status = complain_queue(q, argv[i])) > worst)
			worst = status;
	}
	idq_close(q);
	return worst;
}
