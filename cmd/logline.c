/* SPDX-License-Identifier: ISC */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define HASH_SHOWN	12

static const char *const heads[] = { "QUEUE", "WHEN", "EVENT", "JOB", "DETAILS",
    "GROUP", "KEY" };

void
log_table(struct table *t)
{
	size_t skip = !several_queues();

	table_init(t, heads + skip, NITEMS(heads) - skip, 2 - skip);
}

void
log_print_row(struct table *t, const struct idq *q, const struct idq_event *e)
{
	char when[TIME_SIZE], job[IDQ_TOKEN_LEN + 1] = "-";
	char *detail = t->tty ? local_stamps(e->detail) : NULL;

	if (*e->hash != '\0' && t->tty)
		snprintf(job, sizeof(job), ":%.*s", HASH_SHOWN, e->hash);
	else if (*e->hash != '\0')
		snprintf(job, sizeof(job), "%s.%s.%" PRIu32, e->hash, e->id,
		    e->n);
	if (several_queues())
		table_cell(t, queue_name(q));
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

void
log_print_object(const struct idq *q, const struct idq_event *e)
{
	json_t *o = json_object();

	json_queue(o, q);
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
