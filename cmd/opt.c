/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define OPTS_MAX	32

static const struct verb *current;
static const char *queues[QUEUES_MAX];
static size_t nqueues;
static bool all;			/* --all */

/* What getopt_long(3) wants to have, made from the table. */
static char shorts[2 + 2 * OPTS_MAX + 1];
static struct option longs[OPTS_MAX + 1];
static bool begun;
static bool dashes;			/* the options ended with -- */

void
set_verb(const struct verb *verb)
{
	current = verb;
	begun = false;
}

const char *
verb_name(void)
{
	return current != NULL ? current->name : NULL;
}

const char *
queue_option(void)
{
	return nqueues > 0 ? queues[nqueues - 1] : NULL;
}

const char *const *
queue_options(size_t *n)
{
	*n = nqueues;
	return queues;
}

bool
all_queues(void)
{
	return all;
}

static void
take_queue(const char *name)
{
	if (nqueues == QUEUES_MAX)
		usage_error("-q %s: more than %d queues", name, QUEUES_MAX);
	queues[nqueues++] = name;
}

/* Two where one is meant would be one too few in silence. */
static void
check_queues(const struct opt *opts)
{
	const struct opt *o = opts;

	while (o->id != 'q')
		o++;
	if (current != NULL && nqueues > 1 && strcmp(o->arg, QUEUES) != 0)
		usage_error("-q %s: takes one queue", queues[1]);
	if (nqueues > 0 && all)
		usage_error("--all: does not go with -q");
}

/*
 * + stops at the first operand.  The C library has getopt_long(3), libbsd only
 * getopt(3): optreset has no effect here, an optind of 0 starts afresh.
 */
static void
begin(const struct opt *opts)
{
	size_t s = 0, n = 0;

	shorts[s++] = '+';
	shorts[s++] = ':';
	for (const struct opt *o = opts; o->id != 0; o++) {
		if (o->id < 256) {
			shorts[s++] = (char)o->id;
			if (o->arg != NULL)
				shorts[s++] = ':';
		}
		if (o->name != NULL) {
			longs[n].name = o->name;
			longs[n].has_arg = o->arg != NULL;
			longs[n++].val = o->id;
		}
	}
	shorts[s] = '\0';
	memset(&longs[n], 0, sizeof(longs[n]));
	opterr = 0;
	optind = 0;
	begun = true;
	dashes = false;
}

static const char *
option_text(const struct opt *opts, int id, char *buf, size_t len)
{
	for (const struct opt *o = opts; o->id != 0; o++)
		if (o->id == id && id >= 256) {
			snprintf(buf, len, "--%s", o->name);
			return buf;
		}
	snprintf(buf, len, "-%c", id);
	return buf;
}

/* The long option that WORD could have been. */
static _Noreturn void
unknown_option(const struct opt *opts, const char *word)
{
	const char *names[OPTS_MAX + 1], *bare = word + strspn(word, "-");
	char name[64], buf[512];
	size_t n = 0;

	for (const struct opt *o = opts; o->id != 0; o++)
		if (o->name != NULL)
			names[n++] = o->name;
	names[n] = NULL;
	strlcpy(name, bare, sizeof(name));
	name[strcspn(name, "=")] = '\0';
	usage_error("unknown option '%.*s'%s", (int)strcspn(word, "="), word,
	    suggestion(name, names, "--", buf, sizeof(buf)));
}

static _Noreturn void
bad_option(const struct opt *opts, const char *word, int id)
{
	char buf[64];

	/* Of a long option optopt is its id; of a letter, the letter. */
	for (const struct opt *o = opts; id != 0 && o->id != 0; o++)
		if (o->id == id && strncmp(word, "--", 2) == 0)
			usage_error("option '%s' takes no value",
			    option_text(opts, id, buf, sizeof(buf)));
	if (id == 0 || word[2] != '\0')
		unknown_option(opts, word);
	usage_error("unknown option '%s'%s%s%s", word,
	    current != NULL ? "; idq " : "",
	    current != NULL ? current->name : "",
	    current != NULL ? " --help lists them" : "");
}

static void
print_usage(void)
{
	const char *line = current->usage, *end, *intro = "usage:";

	for (; *line != '\0'; line = *end != '\0' ? end + 1 : end) {
		end = line + strcspn(line, "\n");
		printf("%s idq %s [-q QUEUE] %.*s\n", intro, current->name,
		    (int)(end - line), line);
		intro = "      ";
	}
}

static void
print_option(const struct opt *o)
{
	char left[64] = "";

	if (o->id < 256)
		snprintf(left, sizeof(left), "-%c%s", o->id,
		    o->name != NULL ? ", " : "");
	if (o->name != NULL) {
		strlcat(left, "--", sizeof(left));
		strlcat(left, o->name, sizeof(left));
	}
	if (o->arg != NULL) {
		strlcat(left, " ", sizeof(left));
		strlcat(left, o->arg, sizeof(left));
	}
	printf("  %-22s %s\n", left, o->about);
}

/* Of one verb; main's own table has no words. */
static void
help(const struct opt *opts)
{
	print_usage();
	printf("\n%s\n\n", current->about);
	for (const struct opt *o = opts; o->id != 0; o++)
		print_option(o);
}

int
next_option(const struct opt *opts, int argc, char **argv)
{
	char buf[64];
	int before, c;

	if (!begun)
		begin(opts);
	for (;;) {
		before = optind > 0 ? optind : 1;
		c = getopt_long(argc, argv, shorts, longs, NULL);
		if (c == -1) {
			dashes = optind > before;
			check_queues(opts);
			return 0;
		}
		if (c == ':')
			usage_error("option '%s' needs a value",
			    option_text(opts, optopt, buf, sizeof(buf)));
		if (c == '?')
			bad_option(opts, argv[before], optopt);
		if (c == 'q') {
			take_queue(optarg);
			continue;
		}
		if (c == OPT_ALL) {
			all = true;
			continue;
		}
		if (c == 'h' && current != NULL) {
			help(opts);
			exit(flush_output(0));
		}
		return c;
	}
}

/* An option after an operand would otherwise become a key in silence. */
static void
refuse_options(int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (argv[i][0] == '-' && argv[i][1] != '\0')
			usage_error("%s: options go before keys; use --",
			    argv[i]);
}

void
operands(int *argc, char ***argv, int min, int max, const char *what)
{
	*argc -= optind;
	*argv += optind;
	if (!dashes)
		refuse_options(*argc, *argv);
	if (*argc < min)
		usage_error("no %s given", what);
	if (max != -1 && *argc > max)
		usage_error("%s: unexpected operand", (*argv)[max]);
}
