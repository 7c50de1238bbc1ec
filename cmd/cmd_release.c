/* SPDX-License-Identifier: ISC */
#include "cmd.h"

int
cmd_release(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_IN, "in", "D", "not due before so long from now" },
		OPT_END
	};
	int64_t delay = 0;

	while (next_option(opts, argc, argv) != 0)
		delay = duration_value("--in", optarg, NULL);
	operands(&argc, &argv, 1, -1, "token");
	return each_token(argc, argv, idq_release, delay);
}
