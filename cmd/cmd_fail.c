/* SPDX-License-Identifier: ISC */
#include "cmd.h"

static int
fail(struct idq *q, const char *token, int64_t status)
{
	return idq_fail(q, token, (int)status);
}

int
cmd_fail(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_EXIT, "exit", "N",
		    "judge as a worker judges exit N; 1 if not given" },
		OPT_END
	};
	int64_t status = 1;

	while (next_option(opts, argc, argv) != 0)
		status = number_value("--exit", optarg, 1, 255);
	operands(&argc, &argv, 1, -1, "token");
	return each_token(argc, argv, fail, status);
}
