/* SPDX-License-Identifier: ISC */
#include <inttypes.h>
#include <string.h>

#include "cmd.h"

struct show {
	struct idq	*q;
	int		 field;		/* -1: all */
	char		 end;
	bool		 json;
	bool		 begun;
	bool		 output;
	uint32_t	 attempt;	/* 0: the last that has some */
};

static int
print(struct show *s, const struct idq_job *j)
{
	json_t *o;

	if (s->field != -1)
		return print_field(s->q, j, (size_t)s->field, s->end);
	if (s->json) {
		if ((o = job_json(s->q, j)) == NULL)
			return idq_errcode(s->q);
		json_queue(o, s->q);
		print_json(o);
		return 0;
	}
	if (s->begun)
		putchar('\n');
	s->begun = true;
	if (several_queues())
		printf("queue:       %s\n", queue_name(s->q));
	return print_fields(s->q, j);
}

static int
print_output(struct show *s, const struct idq_job *j, const char *ref)
{
	int fd;

	switch (idq_output(s->q, j, s->attempt, &fd)) {
	case 1:
		return print_file(fd, ref);
	case 0:
		if (s->attempt != 0)
			complain("%s: no output of attempt %" PRIu32
			    " is kept", ref, s->attempt);
		else
			complain("%s: no output is kept", ref);
		return EX_NO;
	default:
		return complain_queue(s->q, ref);
	}
}

static int
show(void *arg, struct idq *q, const struct idq_job *j, const char *ref)
{
	struct show *s = arg;

	s->q = q;
	return s->output ? print_output(s, j, ref) : print(s, j);
}

int
cmd_show(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		{ OPT_FIELD, "field", "FIELD", "only the value of this" },
		{ '0', NULL, NULL, "end each value with a NUL byte" },
		{ OPT_JSON, "json", NULL, "an object a line" },
		{ OPT_OUTPUT, "output", NULL, "what its command printed" },
		{ OPT_ATTEMPT, "attempt", "N", "in this attempt" },
		OPT_END_READS
	};
	struct show s = { .field = -1, .end = '\n' };
	struct key_opts key = { .n = 0 };
	int c;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == OPT_FIELD)
			s.field = word_value("--field", optarg, field_names());
		else if (c == '0')
			s.end = '\0';
		else if (c == OPT_JSON)
			s.json = true;
		else if (c == OPT_OUTPUT)
			s.output = true;
		else if (c == OPT_ATTEMPT)
			s.attempt = (uint32_t)number_value("--attempt",
			    optarg, 1, UINT32_MAX);
		else
			key_option(&key, c);
	}
	operands(&argc, &argv, 0, -1, "key");
	check_refs(&key, argc, argv);
	if (s.end == '\0' && s.field == -1)
		usage_error("-0: goes with --field");
	if (s.json && s.field != -1)
		usage_error("--json: does not go with --field");
	if (s.output && (s.json || s.field != -1))
		usage_error("--output: goes with neither --field nor --json");
	if (s.attempt != 0 && !s.output)
		usage_error("--attempt: goes with --output");
	return each_job_found(&key, argc, argv, show, &s);
}
