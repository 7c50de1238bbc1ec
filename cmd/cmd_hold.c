/* SPDX-License-Identifier: ISC */
#include "cmd.h"

static int
hold(struct idq *q, const char *ref, int flags, bool unused)
{
	(void)unused;
	return idq_hold(q, ref, flags);
}

int
cmd_hold(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		OPT_FILTER,
		{ 'v', NULL, NULL, "print what is held" },
		OPT_END
	};
	static const struct operation op = { opts, "held", hold,
	    1u << IDQ_WAITING | 1u << IDQ_PENDING,
	    1u << IDQ_WAITING | 1u << IDQ_PENDING };

	return operate(&op, argc, argv);
}
