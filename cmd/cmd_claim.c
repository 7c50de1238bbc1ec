/* SPDX-License-Identifier: ISC */
#include "cmd.h"

static void
print(struct idq *q, const struct idq_job *j, const char *token, bool json)
{
	json_t *o;

	if (!json) {
		printf("%s\n", token);
		return;
	}
	/* The claim is made: its token matters most. */
	if ((o = job_json(q, j)) == NULL)
		o = json_object();
	json_object_set_new(o, "token", json_string(token));
	print_json(o);
}

/* A token that nobody got would block the job until the lease ends. */
static int
claim(struct idq *q, int64_t lease, bool json)
{
	char token[IDQ_TOKEN_LEN + 1];
	struct idq_job *j;

	switch (idq_claim(q, lease, &j, token)) {
	case -1:
		return complain_queue(q, NULL);
	case 0:
		return EX_NO;
	}
	print(q, j, token, json);
	if (!flush_now() && idq_release(q, token, 0) == -1)
		complain_queue(q, token);
	idq_job_free(j);
	return 0;
}

int
cmd_claim(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_LEASE, "lease", "D",
		    "for so long; else as config lease" },
		{ OPT_JSON, "json", NULL, "the token and the job" },
		OPT_END
	};
	int64_t lease = 0;
	bool json = false;
	struct idq *q;
	int c, status;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == OPT_LEASE)
			lease = lease_value(optarg);
		else
			json = true;
	}
	operands(&argc, &argv, 0, 0, "");
	if ((status = open_queue(&q, "default", IDQ_WRITE | IDQ_CREATE)) != 0)
		return status;
	status = claim(q, lease, json);
	idq_close(q);
	return status;
}
