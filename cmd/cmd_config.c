/* SPDX-License-Identifier: ISC */
#include <string.h>

#include "cmd.h"

static void
list(const struct idq *q)
{
	const char *const *name;
	char buf[64];

	for (name = idq_config_names(); *name != NULL; name++)
		printf("%s\t%s\n", *name,
		    idq_config_get(q, *name, buf, sizeof(buf)));
}

static int
print(const struct idq *q, const char *name)
{
	char buf[64];

	printf("%s\n", idq_config_get(q, name, buf, sizeof(buf)));
	return 0;
}

static bool
is_duration(const char *s)
{
	int64_t d;

	return strcmp(s, "none") == 0 || strcmp(s, "forever") == 0 ||
	    strcmp(s, "off") == 0 ||
	    idq_duration_parse(s, &d) == 0;
}

/* What a duration of this name can be instead. */
static const char *
other_word(const char *name)
{
	static const char *const without[] = { "backoff", "grace", "lease",
	    "group-gap" };

	for (size_t i = 0; i < NITEMS(without); i++)
		if (strcmp(name, without[i]) == 0)
			return NULL;
	return strncmp(name, "keep", 4) == 0 ? "forever" :
	    strcmp(name, "gate-age") == 0 ? "off" : "none";
}

static int
set(struct idq *q, const char *name, const char *value)
{
	char hint[160];

	if (idq_config_duration(q, name) != -1 && !is_duration(value)) {
		complain("%s %s: %s", name, value,
		    duration_hint(value, other_word(name), hint,
		    sizeof(hint)));
		return EX_USAGE;
	}
	if (idq_config_set(q, name, value) == -1)
		return complain_queue(q, NULL);
	return 0;
}

static void
check_name(const char *name)
{
	const char *const *names = idq_config_names();
	char buf[256];

	for (size_t i = 0; names[i] != NULL; i++)
		if (strcmp(names[i], name) == 0)
			return;
	usage_error("unknown name '%s'%s", name,
	    suggestion(name, names, "", buf, sizeof(buf)));
}

int
cmd_config(int argc, char **argv)
{
	static const struct opt opts[] = { OPT_END };
	struct idq *q;
	int status;

	next_option(opts, argc, argv);
	operands(&argc, &argv, 0, 2, "");
	if (argc > 0)
		check_name(argv[0]);
	status = open_queue(&q, "default",
	    argc == 2 ? IDQ_WRITE | IDQ_CREATE : IDQ_READ);
	if (status != 0)
		return status;
	if (argc == 2)
		status = set(q, argv[0], argv[1]);
	else if (argc == 1)
		status = print(q, argv[0]);
	else
		list(q);
	idq_close(q);
	return status;
}
