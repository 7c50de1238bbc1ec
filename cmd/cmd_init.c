/* SPDX-License-Identifier: ISC */
#include <grp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

static gid_t
find_group(const char *name)
{
	struct group *g = getgrnam(name);
	const char *err;
	gid_t gid;

	if (g != NULL)
		return g->gr_gid;
	gid = (gid_t)strtonum(name, 0, UINT32_MAX - 1, &err);
	if (err != NULL)
		usage_error("--shared %s: no such group", name);
	return gid;
}

static int
init(const char *path, const char *group, bool verbose)
{
	gid_t gid = group != NULL ? find_group(group) : 0;
	struct idq *q;
	int status = 0;

	if (idq_init(&q, path) == -1)
		status = q != NULL ? complain_open(q) :
		    complain_memory();
	else if (group != NULL && idq_share(q, gid) == -1)
		status = complain_queue(q, NULL);
	else if (verbose) {
		printf("%s\t", idq_created(q) ? "made" : "exists");
		print_text(idq_queue_dir(q));
		putchar('\n');
	}
	idq_close(q);
	return status;
}

int
cmd_init(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_SHARED, "shared", "GROUP",
		    "make it one that this group may use" },
		{ 'v', NULL, NULL, "say whether it was made or exists" },
		OPT_END
	};
	const char *group = NULL;
	bool verbose = false;
	char *path;
	int status, c;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == 'v')
			verbose = true;
		else
			group = optarg;
	}
	operands(&argc, &argv, 0, -1, "");
	/* The queue's name as an operand is the likely slip. */
	if (argc > 0)
		usage_error("%s: unexpected operand; use: idq init -q %s",
		    argv[0], argv[0]);
	if ((path = queue_path("default")) == NULL)
		return EX_USAGE;
	status = init(path, group, verbose);
	free(path);
	return status;
}
