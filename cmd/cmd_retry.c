/* SPDX-License-Identifier: ISC */
#include "cmd.h"

static int
retry(struct idq *q, const char *ref, int flags, bool unused)
{
	(void)unused;
	return idq_retry(q, ref, flags);
}

int
cmd_retry(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		OPT_FILTER,
		{ 'v', NULL, NULL, "print what is tried again" },
		OPT_END
	};
	static const struct operation op = { opts, "retried", retry,
	    /* Not, unasked, what is scheduled, or may have been done. */
	    1u << IDQ_FAILED,
	    1u << IDQ_FAILED | 1u << IDQ_HELD | 1u << IDQ_WAITING };

	return operate(&op, argc, argv);
}
