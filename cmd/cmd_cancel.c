/* SPDX-License-Identifier: ISC */
#include "cmd.h"

int
cmd_cancel(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		OPT_FILTER,
		{ OPT_KILL, "kill", NULL, "end a running command too" },
		{ 'v', NULL, NULL, "print what was cancelled" },
		OPT_END
	};
	static const struct operation op = { opts, "cancelled", idq_cancel,
	    UNFINISHED, UNFINISHED };

	return operate(&op, argc, argv);
}
