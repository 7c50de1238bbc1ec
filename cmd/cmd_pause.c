/* SPDX-License-Identifier: ISC */
#include "cmd.h"

static int
pause_queue(struct idq *q, const char *why, bool verbose)
{
	char buf[PAUSED_SIZE];
	struct idq_paused p;

	if (idq_pause(q, why) == -1)
		return complain_queue(q, NULL);
	if (verbose && idq_paused(q, &p) == 1) {
		print_text(idq_queue_dir(q));
		putchar('\t');
		print_text(paused_text(&p, on_terminal(), buf, sizeof(buf)));
		putchar('\n');
	}
	return 0;
}

int
cmd_pause(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ 'm', NULL, "REASON", "why, for whoever wonders" },
		{ 'v', NULL, NULL, "say since when, by whom and why" },
		OPT_END
	};
	const char *why = NULL;
	bool verbose = false;
	struct idq *q;
	int c, status;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == 'm')
			why = optarg;
		else
			verbose = true;
	}
	operands(&argc, &argv, 0, 0, "");
	if ((status = open_queue(&q, "default", IDQ_WRITE | IDQ_CREATE)) != 0)
		return status;
	status = pause_queue(q, why, verbose);
	idq_close(q);
	return status;
}
