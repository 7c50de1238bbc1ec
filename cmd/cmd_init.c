/* SPDX-License-Identifier: ISC */
#include <stdlib.h>

#include "cmd.h"

static int
init(const char *path, bool verbose)
{
	struct idq *q;
	int status = 0;

	if (idq_init(&q, path) == -1)
		status = q != NULL ? complain_open(q) :
		    complain_memory();
	else if (verbose) {
		printf("%s\t", idq_created(q) ? "made" : "exists");
		print_text(idq_queue_dir(q));
		putchar('\n');
	}
	idq_close(q);
	return status;
}

int
cmd_init(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ 'v', NULL, NULL, "say whether it was made or exists" },
		OPT_END
	};
	bool verbose = false;
	char *path;
	int status;

	while (next_option(opts, argc, argv) != 0)
		verbose = true;
	operands(&argc, &argv, 0, -1, "");
	/* The queue's name as an operand is the likely slip. */
	if (argc > 0)
		usage_error("%s: unexpected operand; use: idq init -q %s",
		    argv[0], argv[0]);
	if ((path = queue_path("default")) == NULL)
		return EX_USAGE;
	status = init(path, verbose);
	free(path);
	return status;
}
