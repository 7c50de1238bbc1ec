/* SPDX-License-Identifier: ISC */
#include "cmd.h"

int
cmd_resume(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ 'v', NULL, NULL, "say whether it was paused" },
		OPT_END
	};
	bool verbose = false;
	struct idq *q;
	int r, status;

	while (next_option(opts, argc, argv) != 0)
		verbose = true;
	operands(&argc, &argv, 0, 0, "");
	if ((status = open_queue(&q, "default", IDQ_WRITE | IDQ_CREATE)) != 0)
		return status;
	if ((r = idq_resume(q)) == -1)
		status = complain_queue(q, NULL);
	else if (verbose) {
		print_text(idq_queue_dir(q));
		printf("\t%s\n", r == 1 ? "resumed" : "was not paused");
	}
	idq_close(q);
	return status;
}
