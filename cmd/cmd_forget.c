/* SPDX-License-Identifier: ISC */
#include "cmd.h"

static int
forget(struct idq *q, const char *ref, int flags, bool unused)
{
	(void)unused;
	return idq_forget(q, ref, flags);
}

int
cmd_forget(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		OPT_FILTER,
		{ 'v', NULL, NULL, "print what was forgotten" },
		OPT_END
	};
	static const struct operation op = { opts, "forgotten", forget,
	    FINAL, FINAL };

	return operate(&op, argc, argv);
}
