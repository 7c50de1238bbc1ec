/* SPDX-License-Identifier: ISC */
#include "cmd.h"

static int
ack(struct idq *q, const char *token, int64_t unused)
{
	(void)unused;
	return idq_ack(q, token);
}

int
cmd_ack(int argc, char **argv)
{
	static const struct opt opts[] = { OPT_END };

	next_option(opts, argc, argv);
	operands(&argc, &argv, 1, -1, "token");
	return each_token(argc, argv, ack, 0);
}
