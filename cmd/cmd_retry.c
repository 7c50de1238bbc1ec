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
		{ 'v', NULL, NULL, "print what is tried again" },
		OPT_END
	};
	static const struct operation op = { opts, "retried", retry };

	return operate(&op, argc, argv);
}
