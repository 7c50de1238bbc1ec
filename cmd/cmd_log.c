/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* A key whose lines are wanted. */
struct want {
	char		*ref;
	char		 hash[IDQ_HASH_LEN + 1];	/* or a prefix */
	bool		 seen;
};

struct log {
	struct idq	*q;
	struct log_filter filter;
	struct log_counts counts;
	struct log_dups	 dups;
	bool		 json;
	bool		 follow;
	struct table	 table;
	struct want	*wants;
	size_t		 nwants;
	int		 status;	/* of duplicates that were not read */
};

static void
print(void *arg, const struct idq_event *e)
{
	struct log *l = arg;

	if (l->counts.by != BY_NONE)
		log_count(&l->counts, e);
	else if (l->json)
		log_print_object(l->q, e);
	else
		log_print_row(&l->table, l->q, e);
}

static void
print_dups(struct log *l, int64_t before)
{
	struct idq_event e;

	while (log_dups_next(&l->dups, before, &e))
		print(l, &e);
}

/* Whether it is about one of the keys, if there are any. */
static bool
is_named(struct log *l, const char *hash)
{
	bool found = l->nwants == 0;

	for (size_t i = 0; i < l->nwants; i++)
		if (strncmp(l->wants[i].hash, hash,
		    strlen(l->wants[i].hash)) == 0)
			found = l->wants[i].seen = true;
	return found;
}

static bool
wants(void *arg, const struct idq_event *e)
{
	struct log *l = arg;

	return is_named(l, e->hash) && log_match(&l->filter, e);
}

static int
each_event(void *arg, const struct idq_event *e)
{
	struct log *l = arg;

	/* By days: within one, a line may be a little too early. */
	if (e->at / IDQ_DAY > l->filter.until / IDQ_DAY)
		return 1;
	if (!wants(l, e))
		return 0;
	print_dups(l, e->at);
	print(l, e);
	return ferror(stdout);
}

/* Counting needs no order, and then they are not kept. */
static int
add_dups(void *arg, struct idq_job *j)
{
	struct log *l = arg;

	if (log_dups_add(&l->dups, l->q, j) == -1)
		l->status = complain_queue(l->q, j->key);
	if (l->counts.by == BY_NONE)
		return 0;
	print_dups(l, INT64_MAX);
	log_dups_clear(&l->dups);
	return 0;
}

/* Without keys they are all read, which has to be asked for. */
static bool
wants_dups(const struct log *l, bool named)
{
	if (l->follow || (l->filter.events == 0 && !named))
		return false;
	return l->filter.events == 0 || log_names(&l->filter, LOG_DUPLICATE);
}

static struct want *
new_want(struct log *l, const char *ref)
{
	struct want *w = reallocarray(l->wants, l->nwants + 1, sizeof(*w));

	if (w == NULL)
		exit(complain_memory());
	l->wants = w;
	w = &l->wants[l->nwants++];
	memset(w, 0, sizeof(*w));
	if ((w->ref = strdup(ref)) == NULL)
		exit(complain_memory());
	return w;
}

/* The log may still know what the queue has forgotten. */
static void
hash_of(const char *ref, int flags, char hash[IDQ_HASH_LEN + 1])
{
	if (!(flags & IDQ_REF_KEY) && idq_is_token(ref))
		strlcpy(hash, ref, IDQ_HASH_LEN + 1);
	else if (!(flags & IDQ_REF_KEY) && *ref == ':')
		strlcpy(hash, ref + 1, IDQ_HASH_LEN + 1);
	else
		idq_key_hash(ref, strlen(ref), hash);
}

static int
want(void *arg, const char *ref, int flags)
{
	struct log *l = arg;
	struct idq_job *j;
	struct want *w;
	bool again;
	int r = idq_find(l->q, ref, flags, &j);

	if (r == -1)
		return complain_queue(l->q, ref);
	again = r == 1 && l->nwants > 0 && is_named(l, j->hash);
	w = new_want(l, ref);
	if (r == 0) {
		hash_of(ref, flags, w->hash);
		return 0;
	}
	w->seen = true;
	strlcpy(w->hash, j->hash, sizeof(w->hash));
	if (!again && wants_dups(l, true))
		add_dups(l, j);
	idq_job_free(j);
	return 0;
}

/* Of several queues, one may know it and another not. */
static int
unseen(const struct log *l)
{
	int status = 0;

	for (size_t i = 0; i < l->nwants && !several_queues(); i++)
		if (!l->wants[i].seen) {
			complain("%s: no such job in %s, nor in its log",
			    l->wants[i].ref, idq_queue_dir(l->q));
			status = EX_NO;
		}
	return status;
}

static int
print_log(struct log *l)
{
	int status = 0;

	if (l->nwants == 0 && wants_dups(l, false) &&
	    idq_dups_jobs(l->q, add_dups, l) == -1)
		status = complain_queue(l->q, NULL);
	log_dups_sort(&l->dups);
	if (idq_log(l->q, l->filter.since > 0 ? l->filter.since : 0,
	    each_event, l) == -1)
		status = complain_queue(l->q, NULL);
	print_dups(l, INT64_MAX);
	return status != 0 ? status : l->status != 0 ? l->status : unseen(l);
}

static void
flush_table(void *arg)
{
	struct log *l = arg;

	table_end(&l->table);
}

static int
tell(struct log *l)
{
	const struct log_follow to = { wants, print, flush_table, l };

	return l->follow ? log_follow(l->q, l->filter.since, &to) :
	    print_log(l);
}

static void
free_wants(struct log *l)
{
	for (size_t i = 0; i < l->nwants; i++)
		free(l->wants[i].ref);
	free(l->wants);
	log_dups_clear(&l->dups);
}

/* What was given for --since and --until, NULL if nothing was. */
struct range {
	const char	*since;
	const char	*until;
};

static void
check_range(const struct log_filter *f, const struct range *given)
{
	char since[TIME_SIZE], until[TIME_SIZE];
	const bool local = stderr_on_terminal();

	if (given->since == NULL || given->until == NULL ||
	    f->until >= f->since)
		return;
	usage_error("--until %s: is %s, before --since %s, which is %s",
	    given->until, time_text(f->until, local, until), given->since,
	    time_text(f->since, local, since));
}

static void
check_options(const struct log *l, const struct range *given)
{
	check_range(&l->filter, given);
	if (l->counts.by == BY_NONE && l->counts.min != 0)
		usage_error("--min: goes with --count-by");
	if (!l->follow)
		return;
	if (given->until != NULL)
		usage_error("-f: does not go with --until");
	if (l->counts.by != BY_NONE)
		usage_error("-f: does not go with --count-by");
	if (log_names(&l->filter, LOG_DUPLICATE))
		usage_error("-f: does not go with --event " LOG_DUPLICATE
		    ", which the log does not have");
}

static bool
log_option(struct log_filter *f, struct range *given, int c)
{
	switch (c) {
	case OPT_SINCE:
		given->since = optarg;
		f->since = log_when("--since", optarg);
		return true;
	case OPT_UNTIL:
		given->until = optarg;
		f->until = log_when("--until", optarg);
		return true;
	case OPT_EVENT:
		f->events = log_events(optarg);
		return true;
	case 'g':
		f->group = group_value("-g", optarg);
		return true;
	case OPT_GLOB:
		f->glob = optarg;
		return true;
	default:
		return false;
	}
}

static void
options(struct log *l, struct key_opts *key, int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		{ OPT_SINCE, "since", "WHEN",
		    "from a time on, or from a duration ago" },
		{ OPT_UNTIL, "until", "WHEN", "before that" },
		{ OPT_EVENT, "event", "EVENT,...", "only these events" },
		{ 'g', "group", "GROUP", "only this group" },
		{ OPT_GLOB, "key", "PATTERN",
		    "only keys that match, as in a shell" },
		{ 'f', NULL, NULL, "the last lines, then what comes" },
		{ OPT_COUNT_BY, "count-by", "WHAT",
		    "count by key, group, event or hour" },
		{ OPT_MIN, "min", "N", "only what is counted so often" },
		{ OPT_JSON, "json", NULL, "an object a line" },
		OPT_END_READS
	};
	struct range given = { NULL, NULL };
	int c;

	while ((c = next_option(opts, argc, argv)) != 0)
		if (c == 'f')
			l->follow = true;
		else if (c == OPT_COUNT_BY)
			l->counts.by = log_by_value(optarg);
		else if (c == OPT_MIN)
			l->counts.min = number_value("--min", optarg, 1,
			    INT64_MAX);
		else if (c == OPT_JSON)
			l->json = true;
		else if (!log_option(&l->filter, &given, c))
			key_option(key, c);
	check_options(l, &given);
}

/* What is to be told of each queue. */
struct told {
	struct log	*l;
	const struct key_opts *key;
	int		 argc;
	char		**argv;
};

static int
in_queue(void *arg, struct idq *q)
{
	const struct told *t = arg;
	struct log *l = t->l;
	int status, r;

	l->q = q;
	l->nwants = 0;
	l->wants = NULL;
	status = each_ref(t->key, t->argc, t->argv, want, l);
	/* A list that names nothing must not print all. */
	if (l->nwants > 0 || (t->argc == 0 && t->key->n == 0)) {
		r = tell(l);
		status = r > status ? r : status;
	}
	free_wants(l);
	l->dups = (struct log_dups){ .filter = &l->filter };
	return status;
}

static void
check_several(const struct log *l, int argc, char **argv)
{
	if (!several_queues())
		return;
	if (l->follow)
		usage_error("-f: follows one queue");
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "-") == 0)
			usage_error("-: goes with one queue");
}

int
cmd_log(int argc, char **argv)
{
	struct key_opts key = { .n = 0 };
	struct log l = { .filter = { .since = -1, .until = INT64_MAX },
	    .counts = { .by = BY_NONE } };
	struct told t = { &l, &key, 0, NULL };
	int status;

	l.dups.filter = &l.filter;
	options(&l, &key, argc, argv);
	operands(&argc, &argv, 0, -1, "key");
	if (argc > 0 || key.n > 0 || key.per != NULL)
		check_refs(&key, argc, argv);
	check_several(&l, argc, argv);
	t.argc = argc;
	t.argv = argv;
	log_table(&l.table);
	status = each_queue(IDQ_READ, in_queue, &t);
	if (l.counts.by != BY_NONE)
		log_counts_print(&l.counts, l.json);
	table_end(&l.table);
	return status;
}
