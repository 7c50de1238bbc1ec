/* SPDX-License-Identifier: ISC */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static int
run(const struct idq_add *add, char **argv)
{
	struct idq *q;
	char *note = NULL;
	int status;

	if (open_queue(&q, "run", IDQ_WRITE | IDQ_CREATE) != 0)
		return EX_RUN;
	if (idq_run(q, add, argv, command_umask(), &status, &note) == -1) {
		complain_queue(q, NULL);
		status = EX_RUN;
	}
	if (note != NULL)
		complain("%s", note);
	free(note);
	idq_close(q);
	return status;
}

int
cmd_run(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		{ OPT_KEEP, "keep", "D", "remember the key for so long; or "
		    "forever" },
		{ OPT_ON_CRASH, "on-crash", "WORD", "retry or hold" },
		OPT_END
	};
	struct idq_add add = { .fd = -1, .payload = "" };
	struct key_opts k = { .n = 0 };
	char key[IDQ_KEY_MAX + 1];
	int c;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == OPT_KEEP)
			add.keep = keep_value(optarg);
		else if (c == OPT_ON_CRASH)
			add.on_crash = on_crash_value(optarg);
		else
			key_option(&k, c);
	}
	operands(&argc, &argv, 1, -1, "command");
	if (k.n == 0)
		usage_error("no key given; use -k");
	key_of_options(&k, key);
	add.key = key;
	add.keylen = strlen(key);
	/* That nobody reads what we say must not keep us from the end. */
	signal(SIGPIPE, SIG_IGN);
	return run(&add, argv);
}
