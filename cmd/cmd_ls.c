/* SPDX-License-Identifier: ISC */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define HASH_SHOWN	12

static const char *const heads[] = { "QUEUE", "STATE", "JOB", "WHEN", "TRIES",
    "DUPS", "LAST DUP", "GROUP", "KEY" };

struct ls {
	struct idq	*q;
	struct filter	 filter;
	int64_t		 now;
	int64_t		 left;		/* of -n */
	bool		 json;
	struct table	 table;
};

/* When it may start, or since when it is what it is. */
static int64_t
when(const struct idq_job *j)
{
	return j->state == IDQ_WAITING || j->state == IDQ_PENDING ? j->due :
	    j->since;
}

static void
print_row(struct ls *ls, const struct idq_job *j, uint64_t dups, int64_t last)
{
	struct table *t = &ls->table;
	char buf[TIME_SIZE], job[IDQ_HASH_LEN + 2];

	if (several_queues())
		table_cell(t, queue_name(ls->q));
	table_cell(t, idq_state_name(j->state));
	snprintf(job, sizeof(job), t->tty ? ":%.*s" : "%.*s",
	    t->tty ? HASH_SHOWN : IDQ_HASH_LEN, j->hash);
	table_cell(t, job);
	table_cell(t, time_text(when(j), t->tty, buf));
	snprintf(buf, sizeof(buf), "%" PRIu32, j->attempts);
	table_cell(t, buf);
	snprintf(buf, sizeof(buf), "%" PRIu64, dups);
	table_cell(t, buf);
	table_cell(t, last != 0 ? time_text(last, t->tty, buf) : "-");
	table_cell(t, j->group != NULL ? j->group : "-");
	table_cell(t, j->key);
}

static void
print_object(const struct ls *ls, const struct idq_job *j, uint64_t dups,
    int64_t last)
{
	json_t *o = json_object();

	json_queue(o, ls->q);
	json_object_set_new(o, "state",
	    json_string(idq_state_name(j->state)));
	json_object_set_new(o, "hash", json_string(j->hash));
	json_object_set_new(o, "id", json_string(j->id));
	json_object_set_new(o, "when", json_time(when(j)));
	json_object_set_new(o, "attempts", json_integer(j->attempts));
	json_object_set_new(o, "dups", json_integer((json_int_t)dups));
	json_object_set_new(o, "lastdup", json_time(last));
	json_object_set_new(o, "group", j->group != NULL ?
	    json_text(j->group) : json_null());
	json_object_set_new(o, "key", json_text(j->key));
	print_json(o);
}

static int
each(void *arg, struct idq_job *j)
{
	struct ls *ls = arg;
	uint64_t dups = 0;
	int64_t last = 0;

	if (!idq_match(&ls->filter.f, j, ls->now))
		return 0;
	if (idq_dups(ls->q, j, &dups, &last) == -1)
		complain_queue(ls->q, j->key);
	if (ls->json)
		print_object(ls, j, dups, last);
	else
		print_row(ls, j, dups, last);
	/* Whoever reads us may have had enough. */
	return --ls->left == 0 || ferror(stdout);
}

static int
list(void *arg, struct idq *q)
{
	struct ls *ls = arg;

	ls->q = q;
	tell_paused(q);
	if (ls->left == 0 ||
	    idq_list(q, ls->filter.f.states, each, ls) != -1)
		return idq_passed(q);
	return complain_queue(q, NULL);
}

int
cmd_ls(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_MATCH,
		{ 'n', NULL, "N", "at most so many" },
		{ OPT_JSON, "json", NULL, "an object a line" },
		OPT_END_READS
	};
	struct ls ls = { .filter.f.states = UNFINISHED | 1u << IDQ_FAILED,
	    .now = idq_now(), .left = -1 };
	int c, status;
	size_t skip;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == 'n')
			ls.left = number_value("-n", optarg, 1, INT64_MAX);
		else if (c == OPT_JSON)
			ls.json = true;
		else
			filter_option(&ls.filter, c);
	}
	operands(&argc, &argv, 0, 0, "");
	skip = !several_queues();
	table_init(&ls.table, heads + skip, NITEMS(heads) - skip, !skip);
	status = each_queue(IDQ_READ, list, &ls);
	table_end(&ls.table);
	return status;
}
