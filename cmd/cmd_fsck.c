/* SPDX-License-Identifier: ISC */
#include <inttypes.h>
#include <string.h>

#include "cmd.h"

struct fsck {
	struct idq_fsck	 f;
	bool		 json;
	bool		 verbose;
};

static void
report_object(const char *result, const char *path, const char *what)
{
	json_t *o = json_object();

	json_object_set_new(o, "result", json_string(result));
	json_object_set_new(o, "path", json_text(path));
	json_object_set_new(o, "what", json_text(what));
	print_json(o);
}

static void
report(void *arg, bool fixed, const char *path, const char *what)
{
	const struct fsck *s = arg;
	const char *result = fixed ? "fixed" : "left";

	progress_clear();
	if (s->json) {
		report_object(result, path, what);
		return;
	}
	/* A foreign file may be called anything. */
	printf("%s\t", result);
	print_safe(stdout, path, strlen(path));
	putchar('\t');
	print_safe(stdout, what, strlen(what));
	putchar('\n');
}

static void
print_counts(const struct fsck *s)
{
	json_t *o;

	if (!s->json) {
		printf("checked\t%" PRIu64 "\n", s->f.checked);
		return;
	}
	o = json_object();
	json_object_set_new(o, "checked",
	    json_integer((json_int_t)s->f.checked));
	json_object_set_new(o, "fixed", json_integer((json_int_t)s->f.fixed));
	json_object_set_new(o, "left", json_integer((json_int_t)s->f.left));
	print_json(o);
}

static int
check(struct idq *q, struct fsck *s)
{
	int r;

	progress_start(0);
	r = idq_fsck(q, &s->f);
	progress_end();
	if (s->verbose)
		print_counts(s);
	if (r == -1)
		return complain_queue(q, NULL);
	return s->f.left == 0 ? 0 : EX_NO;
}

int
cmd_fsck(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ 'n', "dry-run", NULL, "mend nothing" },
		{ 'v', NULL, NULL, "print the number of jobs checked too" },
		{ OPT_JSON, "json", NULL, "an object a line" },
		OPT_END
	};
	struct fsck s = { .f = { .report = report, .tick = progress_tick } };
	struct idq *q;
	int c, status;

	s.f.arg = &s;
	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == 'n')
			s.f.dry_run = true;
		else if (c == 'v')
			s.verbose = true;
		else
			s.json = true;
	}
	operands(&argc, &argv, 0, 0, "");
	status = open_queue(&q, "default",
	    s.f.dry_run ? IDQ_READ : IDQ_WRITE | IDQ_CREATE);
	if (status != 0)
		return status;
	status = check(q, &s);
	idq_close(q);
	return status;
}
