/* SPDX-License-Identifier: ISC */
#include <fcntl.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include "cmd.h"

#define LARGE	(128 * 1024)		/* from here on a mapping of its own */

struct worker {
	struct idq_work	 w;
	bool		 verbose;
	bool		 gated;
	struct idq	*queues[QUEUES_MAX];
	size_t		 n;
};

static void
done(void *arg, struct idq *q, const struct idq_job *j)
{
	struct worker *w = arg;

	if (!w->verbose)
		return;
	if (several_queues())
		printf("%s\t", queue_name(q));
	printf("%s\t%s\t%" PRIu32 "\t", idq_state_name(j->state), j->hash,
	    j->attempts);
	print_text(j->key);
	putchar('\n');
	w->verbose = flush_now();
}

/* A crontab would mail it each minute. */
static void
gate(void *arg, struct idq *q)
{
	struct worker *w = arg;

	w->gated = true;
	if (!stderr_on_terminal() && idq_alarm(q, "gate", IDQ_HOUR) != 1)
		return;
	complain("%s; this is what would run, and idq work --catch-up runs "
	    "it:", idq_errmsg(q));
	if (plan_print(q, stderr, w->w.rate) == -1)
		complain_queue(q, NULL);
}

/*
 * The likely reason is that the producer has another spool in mind.  But a
 * crontab's worker may come a moment before its first add.
 */
static void
warn_never_used(struct idq *q, bool follow)
{
	if (!idq_created(q) && idq_never_used(q) == 1 &&
	    (follow || idq_last_worker(q) != 0) &&
	    idq_alarm(q, "never-used", IDQ_HOUR) == 1)
		complain("%s: no job was ever added to this queue",
		    idq_queue_dir(q));
}

/*
 * What we were started with beyond the first three, such as the lock of a
 * flock(1), is not for the commands: a daemon of theirs would keep it.
 */
static void
keep_descriptors(void)
{
	if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
		return;
	/* An older kernel. */
	for (int fd = 3; fd < 1024; fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static int
open_all(struct worker *w)
{
	const char *const *names;
	int status = 0;
	size_t n;

	names = queue_options(&n);
	if (n <= 1) {
		status = open_queue(w->queues, "default",
		    IDQ_WRITE | IDQ_CREATE);
		w->n = status == 0;
		return status;
	}
	for (; status == 0 && w->n < n; w->n += status == 0)
		status = open_named(&w->queues[w->n], names[w->n], IDQ_WRITE);
	return status;
}

static int
work(struct worker *w)
{
	int status = open_all(w);

	for (size_t i = 0; status == 0 && i < w->n; i++) {
		tell_paused(w->queues[i]);
		warn_never_used(w->queues[i], w->w.mode == IDQ_FOLLOW);
	}
	if (status == 0 && idq_work(w->queues, w->n, &w->w) == -1)
		status = w->gated ? idq_errcode(w->queues[0]) :
		    complain_queue(w->queues[0], NULL);
	for (size_t i = 0; i < w->n; i++)
		idq_close(w->queues[i]);
	return status;
}

int
cmd_work(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ 'j', NULL, "N", "run up to N commands at once; else 1" },
		{ OPT_BATCH, "batch", "N",
		    "give up to N jobs to a command, as JSON lines" },
		{ OPT_DRAIN, "drain", NULL, "end when nothing due is left" },
		{ OPT_ONCE, "once", NULL, "run at most one job" },
		{ OPT_TIMEOUT, "timeout", "D",
		    "end a command that takes longer" },
		{ OPT_SINGLE, "single", NULL,
		    "if another worker is here, do nothing" },
		{ OPT_RATE, "rate", "N/D", "start N in D at the most" },
		{ OPT_CATCH_UP, "catch-up", NULL,
		    "run jobs older than gate-age too" },
		{ 'v', NULL, NULL, "print a line for each finished job" },
		OPT_END_SEVERAL
	};
	struct worker w = { .w = { .jobs = 1, .done = done,
	    .gate = gate, .put = put_job } };
	bool drain = false, once = false;
	int c;

	while ((c = next_option(opts, argc, argv)) != 0)
		switch (c) {
		case 'j':
			w.w.jobs = (unsigned int)number_value("-j", optarg, 1,
			    1000);
			break;
		case OPT_BATCH:
			w.w.batch = (unsigned int)number_value("--batch",
			    optarg, 1, 1000);
			break;
		case OPT_DRAIN:
			drain = true;
			break;
		case OPT_ONCE:
			once = true;
			break;
		case OPT_TIMEOUT:
			w.w.timeout = duration_value("--timeout", optarg,
			    NULL);
			if (w.w.timeout == 0)
				usage_error("--timeout %s: is too short",
				    optarg);
			break;
		case OPT_SINGLE:
			w.w.single = true;
			break;
		case OPT_RATE:
			w.w.rate = rate_value("--rate", optarg);
			break;
		case OPT_CATCH_UP:
			w.w.catch_up = true;
			break;
		case 'v':
			w.verbose = true;
			break;
		}
	/* Else malloc(3) keeps the megabytes of each scan for the next one. */
	mallopt(M_MMAP_THRESHOLD, LARGE);
	operands(&argc, &argv, 0, -1, "command");
	if (drain && once)
		usage_error("--once: does not go with --drain");
	if (w.w.batch > 0 && argc == 0)
		usage_error("--batch: needs a command");
	w.w.mode = drain ? IDQ_DRAIN : once ? IDQ_ONCE : IDQ_FOLLOW;
	w.w.argv = argc > 0 ? argv : NULL;
	w.w.umask = command_umask();
	w.w.arg = &w;
	keep_descriptors();
	/* Whoever read what we say went away; commands do not inherit this. */
	signal(SIGPIPE, SIG_IGN);
	return work(&w);
}
