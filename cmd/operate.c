/* SPDX-License-Identifier: ISC */
/*
 * The frame of cancel, forget and retry, and that of ack, fail, release and
 * renew.
 */
#include "cmd.h"

struct operating {
	struct idq	*q;
	const struct operation *op;
	bool		 verbose;
	bool		 kill;
};

static void
say(const struct operating *o, const struct idq_job *j)
{
	printf("%s\t%s\t", o->op->done, j->hash);
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
			say(o, j);
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

int
operate(const struct operation *op, int argc, char **argv)
{
	struct operating o = { .op = op };
	struct key_opts key = { .n = 0 };
	int c, status;

	while ((c = next_option(op->opts, argc, argv)) != 0) {
		if (c == 'v')
			o.verbose = true;
		else if (c == OPT_KILL)
			o.kill = true;
		else
			key_option(&key, c);
	}
	operands(&argc, &argv, 0, -1, "key");
	check_refs(&key, argc, argv);
	if ((status = open_queue(&o.q, "default", IDQ_WRITE | IDQ_CREATE)) != 0)
		return status;
	status = each_ref(&key, argc, argv, act, &o);
	idq_close(o.q);
	return status;
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
