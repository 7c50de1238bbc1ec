/* SPDX-License-Identifier: ISC */
#include "cmd.h"

static int
unhold(struct idq *q, const char *ref, int flags, bool unused)
{
	(void)unused;
	return idq_unhold(q, ref, flags);
}

int
cmd_unhold(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		OPT_FILTER,
		{ 'v', NULL, NULL, "print what is held no longer" },
		OPT_END
	};
	static const struct operation op = { opts, "unheld", unhold,
	    1u << IDQ_HELD, 1u << IDQ_HELD };

	return operate(&op, argc, argv);
}
