/* SPDX-License-Identifier: ISC */
/*
 * Jobs by state, group, age and key.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define ALL		((1u << IDQ_NSTATES) - 1)

static unsigned int
one_state(const char *word)
{
	const char *words[IDQ_NSTATES + 3];
	int i;

	for (i = 0; i < IDQ_NSTATES; i++)
		words[i] = idq_state_name((enum idq_state)i);
	words[i++] = "all";
	words[i++] = "unfinished";
	words[i] = NULL;
	i = word_value("-s", word, words);
	return i == IDQ_NSTATES ? ALL : i > IDQ_NSTATES ? UNFINISHED :
	    1u << i;
}

static unsigned int
parse_states(const char *list)
{
	unsigned int states = 0;
	char word[32];
	size_t n;

	do {
		n = strcspn(list, ",");
		snprintf(word, sizeof(word), "%.*s", (int)n, list);
		states |= one_state(word);
		list += n;
	} while (*list++ == ',');
	return states;
}

static const char *
glob_value(const char *s)
{
	if (*s == '\0')
		usage_error("--key-glob: the pattern is empty");
	return s;
}

bool
filter_option(struct filter *f, int c)
{
	switch (c) {
	case 's':
		f->f.states = parse_states(optarg);
		break;
	case 'g':
		f->f.group = group_value("-g", optarg);
		break;
	case OPT_OLDER:
		f->f.older = duration_value("--older", optarg, NULL);
		break;
	case OPT_KEY_GLOB:
		f->f.key_glob = glob_value(optarg);
		break;
	case OPT_YES:
		f->yes = true;
		return true;
	case 'n':
		f->dry_run = true;
		return true;
	default:
		return false;
	}
	f->given = true;
	return true;
}

/* `a, b and c' of the states. */
static const char *
state_words(unsigned int states, char *buf, size_t len)
{
	buf[0] = '\0';
	for (int i = 0; i < IDQ_NSTATES; i++) {
		if (!(states & 1u << i))
			continue;
		if (*buf != '\0')
			strlcat(buf, states >> i > 1 ? ", " : " and ", len);
		strlcat(buf, idq_state_name((enum idq_state)i), len);
	}
	return buf;
}

void
filter_states(struct filter *f, unsigned int usual, unsigned int possible)
{
	char buf[128];

	if (f->f.states == 0)
		f->f.states = usual;
	else if ((f->f.states & possible) == 0)
		usage_error("-s: idq %s acts on %s jobs", verb_name(),
		    state_words(possible, buf, sizeof(buf)));
	f->f.states &= possible;
}

/* The jobs that matched, as tokens for idq_find(). */
struct found {
	const struct filter *f;
	int64_t		 now;
	char		(*tokens)[IDQ_HASH_LEN + 1 + IDQ_ID_LEN + 3];
	size_t		 n;
	size_t		 cap;
};

static int
keep(void *arg, struct idq_job *j)
{
	struct found *d = arg;
	void *more;

	if (!idq_match(&d->f->f, j, d->now))
		return 0;
	if (d->n == d->cap) {
		d->cap = d->cap == 0 ? 256 : 2 * d->cap;
		more = reallocarray(d->tokens, d->cap, sizeof(*d->tokens));
		if (more == NULL)
			exit(complain_memory());
		d->tokens = more;
	}
	snprintf(d->tokens[d->n++], sizeof(*d->tokens), "%s.%s.0", j->hash,
	    j->id);
	return 0;
}

static bool
ask(struct idq *q, uint64_t count)
{
	char *line = NULL;
	size_t cap = 0;
	bool answered, yes;

	fprintf(stderr, "%s %" PRIu64 " jobs of %s? [y/N] ", verb_name(),
	    count, idq_queue_dir(q));
	answered = getline(&line, &cap, stdin) > 0;
	yes = answered && (*line == 'y' || *line == 'Y');
	if (!answered)
		putc('\n', stderr);
	free(line);
	return yes;
}

int
filter_confirm(struct idq *q, const struct filter *f, uint64_t count)
{
	if (count < 2 || f->yes)
		return 0;
	if (isatty(STDIN_FILENO) && stderr_on_terminal())
		return ask(q, count) ? 0 : EX_NO;
	complain("%" PRIu64 " jobs of %s match, and nothing was done; --yes "
	    "does it", count, idq_queue_dir(q));
	return EX_USAGE;
}

static int
each_found(struct found *d, int (*each)(void *, const char *), void *arg)
{
	int status, worst = 0;

	if (!d->f->dry_run)
		progress_start((int64_t)d->n);
	for (size_t i = 0; i < d->n; i++) {
		if ((status = each(arg, d->tokens[i])) > worst)
			worst = status;
		progress(i + 1, (int64_t)i + 1);
	}
	progress_end();
	return worst;
}

int
each_match(struct idq *q, const struct filter *f,
    int (*each)(void *, const char *token), void *arg)
{
	struct found d = { .f = f, .now = idq_now() };
	int status = 0;

	if (idq_list(q, f->f.states, keep, &d) == -1)
		status = complain_queue(q, NULL);
	else if (!f->dry_run)
		status = filter_confirm(q, f, d.n);
	if (status == 0)
		status = each_found(&d, each, arg);
	free(d.tokens);
	return status != 0 ? status : idq_passed(q);
}

void
check_filter(const struct filter *f, const struct key_opts *k, int argc,
    char **argv)
{
	if (!f->given && f->dry_run)
		usage_error("-n: goes with -s, -g, --older or --key-glob");
	if (!f->given)
		return;
	if (argc > 0)
		usage_error("%s: give keys or a filter, not both", argv[0]);
	if (k->n > 0 || k->per != NULL)
		usage_error("-k: give a key or a filter, not both");
}
