/* SPDX-License-Identifier: ISC */
/*
 * Counting lines by a value of theirs.  Memory is that of the values.
 */
#include <inttypes.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "log.h"

#define HOUR_SIZE	32

struct count {
	struct count	*next;
	uint64_t	 n;
	char		 value[];
};

static const char *const names[] = { "key", "group", "event", "hour", NULL };

enum log_by
log_by_value(const char *s)
{
	return (enum log_by)word_value("--count-by", s, names);
}

/* As --since takes it: local on a terminal, else UTC. */
static const char *
hour(int64_t at, char buf[HOUR_SIZE])
{
	time_t s = (time_t)(at / IDQ_SECOND);
	struct tm tm;

	if (on_terminal() && idq_localtime(s, &tm) != NULL)
		strftime(buf, HOUR_SIZE, "%Y-%m-%dT%H:00%z", &tm);
	else if (gmtime_r(&s, &tm) != NULL)
		strftime(buf, HOUR_SIZE, "%Y-%m-%dT%H:00Z", &tm);
	return buf;
}

static const char *
value_of(enum log_by by, const struct idq_event *e, char buf[HOUR_SIZE])
{
	switch (by) {
	case BY_KEY:
		return e->key;
	case BY_GROUP:
		return e->group;
	case BY_EVENT:
		return e->name;
	default:
		return hour(e->at, buf);
	}
}

/* The tree holds the values, each within its count. */
static int
compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

static struct count *
count_of(const char *value)
{
	return (struct count *)(void *)((char *)(uintptr_t)value -
	    offsetof(struct count, value));
}

static struct count *
new_count(struct log_counts *c, const char *value)
{
	size_t len = strlen(value) + 1;
	struct count *k = malloc(sizeof(*k) + len);

	if (k == NULL)
		exit(complain_memory());
	memcpy(k->value, value, len);
	k->n = 0;
	if (tsearch(k->value, &c->tree, compare) == NULL)
		exit(complain_memory());
	k->next = c->first;
	c->first = k;
	c->n++;
	return k;
}

void
log_count(struct log_counts *c, const struct idq_event *e)
{
	char buf[HOUR_SIZE] = "";
	const char *value = value_of(c->by, e, buf);
	const char *const *found = tfind(value, &c->tree, compare);

	if (found != NULL)
		count_of(*found)->n++;
	else
		new_count(c, value)->n++;
}

static int
by_count(const void *a, const void *b)
{
	const struct count *x = *(struct count *const *)a;
	const struct count *y = *(struct count *const *)b;

	return x->n != y->n ? (x->n < y->n) - (x->n > y->n) :
	    strcmp(x->value, y->value);
}

static void
print_count(struct table *t, const struct count *k)
{
	char n[24];

	snprintf(n, sizeof(n), "%" PRIu64, k->n);
	table_cell(t, n);
	table_cell(t, *k->value != '\0' ? k->value : "-");
}

static void
print_object(const char *name, const struct count *k)
{
	json_t *o = json_object();

	json_object_set_new(o, "count", json_integer((json_int_t)k->n));
	json_object_set_new(o, name, *k->value != '\0' ?
	    json_text(k->value) : json_null());
	print_json(o);
}

static void
free_counts(struct log_counts *c)
{
	struct count *k;

	while ((k = c->first) != NULL) {
		c->first = k->next;
		tdelete(k->value, &c->tree, compare);
		free(k);
	}
	c->n = 0;
}

void
log_counts_print(struct log_counts *c, bool json)
{
	static const char *const heads[][2] = { { "COUNT", "KEY" },
	    { "COUNT", "GROUP" }, { "COUNT", "EVENT" }, { "COUNT", "HOUR" } };
	struct count **v = reallocarray(NULL, c->n + 1, sizeof(struct count *));
	struct table t;
	size_t n = 0;

	if (v == NULL)
		exit(complain_memory());
	for (struct count *k = c->first; k != NULL; k = k->next)
		if (k->n >= (uint64_t)c->min)
			v[n++] = k;
	qsort(v, n, sizeof(struct count *), by_count);
	table_init(&t, heads[c->by], 2, c->by == BY_EVENT ? 1 : 2);
	for (size_t i = 0; i < n && !ferror(stdout); i++)
		if (json)
			print_object(names[c->by], v[i]);
		else
			print_count(&t, v[i]);
	table_end(&t);
	free(v);
	free_counts(c);
}
