/* SPDX-License-Identifier: ISC */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

#define HASH_SHOWN	12

static const char *const heads[] = { "WHEN", "EVENT", "JOB", "DETAILS",
    "GROUP", "KEY" };

/* A key whose lines are wanted. */
struct want {
	char		*ref;
	char		 hash[IDQ_HASH_LEN + 1];	/* or a prefix */
	bool		 seen;
	struct idq_job	*job;		/* NULL: not in the queue any more */
};

/* A suppressed duplicate, which the log itself does not have. */
struct dup {
	int64_t		 at;
	size_t		 want;
};

struct log {
	struct idq	*q;
	int64_t		 since;
	bool		 json;
	struct table	 table;
	struct want	*wants;
	size_t		 nwants;
	struct dup	*dups;
	size_t		 ndups;
	size_t		 next;		/* duplicate to print */
};

static int64_t
since_value(const char *s)
{
	int64_t now = idq_now(), t;

	if (idq_duration_parse(s, &t) == 0)
		return t < now ? now - t : 0;
	t = time_value("--since", s, true);
	/* A time of the day is the last one. */
	if (strlen(s) == 5 && s[2] == ':' && t > now)
		t -= IDQ_DAY;
	return t;
}

static void
print_row(struct log *l, const struct idq_event *e)
{
	struct table *t = &l->table;
	char when[TIME_SIZE], job[IDQ_TOKEN_LEN + 1] = "-";
	char *detail = t->tty ? local_stamps(e->detail) : NULL;

	if (*e->hash != '\0' && t->tty)
		snprintf(job, sizeof(job), ":%.*s", HASH_SHOWN, e->hash);
	else if (*e->hash != '\0')
		snprintf(job, sizeof(job), "%s.%s.%" PRIu32, e->hash, e->id,
		    e->n);
	table_cell(t, time_text(e->at, t->tty, when));
	table_cell(t, e->name);
	table_cell(t, job);
	table_cell(t, detail != NULL ? detail : e->detail);
	table_cell(t, e->group);
	table_cell(t, e->key);
	free(detail);
}

static json_t *
text_or_null(const char *s)
{
	return *s != '\0' ? json_text(s) : json_null();
}

static void
print_object(const struct idq_event *e)
{
	json_t *o = json_object();

	json_object_set_new(o, "at", json_time(e->at));
	json_object_set_new(o, "event", json_text(e->name));
	json_object_set_new(o, "hash", text_or_null(e->hash));
	json_object_set_new(o, "id", text_or_null(e->id));
	json_object_set_new(o, "n", json_integer(e->n));
	json_object_set_new(o, "details", json_text(e->detail));
	json_object_set_new(o, "group", text_or_null(e->group));
	json_object_set_new(o, "key", text_or_null(e->key));
	print_json(o);
}

static void
print(struct log *l, const struct idq_event *e)
{
	if (l->json)
		print_object(e);
	else
		print_row(l, e);
}

static void
print_dups(struct log *l, int64_t before)
{
	for (; l->next < l->ndups && l->dups[l->next].at < before; l->next++) {
		const struct dup *d = &l->dups[l->next];
		const struct idq_job *j = l->wants[d->want].job;
		struct idq_event e = {
			.at = d->at, .name = "duplicate", .hash = j->hash,
			.id = j->id, .detail = "",
			.group = j->group != NULL ? j->group : "",
			.key = j->key
		};

		print(l, &e);
	}
}

static bool
is_wanted(struct log *l, const char *hash)
{
	bool found = l->nwants == 0;

	for (size_t i = 0; i < l->nwants; i++)
		if (strncmp(l->wants[i].hash, hash,
		    strlen(l->wants[i].hash)) == 0)
			found = l->wants[i].seen = true;
	return found;
}

static int
each_event(void *arg, const struct idq_event *e)
{
	struct log *l = arg;

	if (!is_wanted(l, e->hash))
		return 0;
	print_dups(l, e->at);
	print(l, e);
	return ferror(stdout);
}

static void
keep_dup(void *arg, int64_t at)
{
	struct log *l = arg;
	struct dup *more;

	if (at < l->since)
		return;
	/* In steps of powers of two. */
	if ((l->ndups & (l->ndups - 1)) == 0) {
		more = reallocarray(l->dups, l->ndups != 0 ? 2 * l->ndups : 1,
		    sizeof(*more));
		if (more == NULL)
			exit(complain_memory());
		l->dups = more;
	}
	l->dups[l->ndups].at = at;
	l->dups[l->ndups++].want = l->nwants - 1;
}

static int
by_time(const void *a, const void *b)
{
	const struct dup *x = a, *y = b;

	return (x->at > y->at) - (x->at < y->at);
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
static int
want(void *arg, const char *ref, int flags)
{
	struct log *l = arg;
	struct idq_job *j;
	struct want *w;
	int r = idq_find(l->q, ref, flags, &j);

	if (r == -1)
		return complain_queue(l->q, ref);
	w = new_want(l, ref);
	if (r == 1) {
		w->job = j;
		w->seen = true;
		strlcpy(w->hash, j->hash, sizeof(w->hash));
		if (idq_dups_each(l->q, j, keep_dup, l) == -1)
			return complain_queue(l->q, ref);
	} else if (!(flags & IDQ_REF_KEY) && idq_is_token(ref))
		strlcpy(w->hash, ref, sizeof(w->hash));
	else if (!(flags & IDQ_REF_KEY) && *ref == ':')
		strlcpy(w->hash, ref + 1, sizeof(w->hash));
	else
		idq_key_hash(ref, strlen(ref), w->hash);
	return 0;
}

static int
unseen(const struct log *l)
{
	int status = 0;

	for (size_t i = 0; i < l->nwants; i++)
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

	if (l->ndups > 0)
		qsort(l->dups, l->ndups, sizeof(*l->dups), by_time);
	table_init(&l->table, heads, NITEMS(heads), 1);
	if (idq_log(l->q, l->since, each_event, l) == -1)
		status = complain_queue(l->q, NULL);
	print_dups(l, INT64_MAX);
	table_end(&l->table);
	return status != 0 ? status : unseen(l);
}

static void
free_wants(struct log *l)
{
	for (size_t i = 0; i < l->nwants; i++) {
		free(l->wants[i].ref);
		idq_job_free(l->wants[i].job);
	}
	free(l->wants);
	free(l->dups);
}

int
cmd_log(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		{ OPT_SINCE, "since", "WHEN",
		    "from a time on, or from a duration ago" },
		{ OPT_JSON, "json", NULL, "an object a line" },
		OPT_END
	};
	struct key_opts key = { .n = 0 };
	struct log l = { .since = 0 };
	int c, status, r;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == OPT_SINCE)
			l.since = since_value(optarg);
		else if (c == OPT_JSON)
			l.json = true;
		else
			key_option(&key, c);
	}
	operands(&argc, &argv, 0, -1, "key");
	if (argc > 0 || key.n > 0 || key.per != NULL)
		check_refs(&key, argc, argv);
	if ((status = open_queue(&l.q, "default", IDQ_READ)) != 0)
		return status;
	status = each_ref(&key, argc, argv, want, &l);
	/* A list that names nothing must not print all. */
	if (l.nwants > 0 || (argc == 0 && key.n == 0)) {
		r = print_log(&l);
		status = r > status ? r : status;
	}
	free_wants(&l);
	idq_close(l.q);
	return status;
}
