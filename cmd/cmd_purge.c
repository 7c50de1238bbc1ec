/* SPDX-License-Identifier: ISC */
#include <inttypes.h>

#include "cmd.h"

static int
purge(struct idq *q, struct idq_purge *p, bool verbose)
{
	int r;

	progress_start(0);
	r = idq_purge(q, p);
	progress_end();
	if (verbose)
		printf("jobs\t%" PRIu64 "\nlogs\t%" PRIu64 "\n", p->jobs,
		    p->logs);
	if (p->held > 0)
		complain("%s: %" PRIu64 " jobs held back: the clock is more "
		    "than a day past the newest line of the log; run it again",
		    idq_queue_dir(q), p->held);
	return r == 0 ? 0 : complain_queue(q, NULL);
}

int
cmd_purge(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_OLDER, "older", "D",
		    "what ended so long ago; else what is past its keep" },
		{ 'n', "dry-run", NULL, "remove nothing" },
		{ 'v', NULL, NULL, "print counts" },
		OPT_END
	};
	struct idq_purge p = { .tick = progress_tick };
	bool verbose = false;
	struct idq *q;
	int c, status;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == OPT_OLDER) {
			/* 0 means by release there. */
			p.older = duration_value("--older", optarg, NULL);
			p.older += p.older == 0;
		} else if (c == 'n')
			p.dry_run = true;
		else
			verbose = true;
	}
	operands(&argc, &argv, 0, 0, "");
	status = open_queue(&q, "default",
	    p.dry_run ? IDQ_READ : IDQ_WRITE | IDQ_CREATE);
	if (status != 0)
		return status;
	status = purge(q, &p, verbose);
	idq_close(q);
	return status;
}
