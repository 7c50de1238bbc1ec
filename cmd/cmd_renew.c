/* SPDX-License-Identifier: ISC */
#include "cmd.h"

int
cmd_renew(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_LEASE, "lease", "D",
		    "until so long from now; else as config lease" },
		OPT_END
	};
	int64_t lease = 0;

	while (next_option(opts, argc, argv) != 0)
		lease = lease_value(optarg);
	operands(&argc, &argv, 1, -1, "token");
	return each_token(argc, argv, idq_renew, lease);
}
