/* SPDX-License-Identifier: ISC */
#include <fnmatch.h>
#include <string.h>

#include "log.h"

#define EVENTS_MAX	64		/* bits of a mask */

/* All that can be asked for, a NULL behind them. */
static void
names(const char *words[EVENTS_MAX + 1])
{
	size_t n = 0;

	while (n < EVENTS_MAX - 1 && (words[n] = idq_log_event(n)) != NULL)
		n++;
	words[n++] = LOG_DUPLICATE;
	words[n] = NULL;
}

int64_t
log_when(const char *opt, const char *s)
{
	int64_t now = idq_now(), t;

	if (idq_duration_parse(s, &t) == 0)
		return t < now ? now - t : 0;
	t = time_value(opt, s, true);
	/* A time of the day is the last one. */
	if (strlen(s) == 5 && s[2] == ':' && t > now)
		t -= IDQ_DAY;
	return t;
}

uint64_t
log_events(const char *list)
{
	const char *words[EVENTS_MAX + 1];
	char word[32];
	uint64_t events = 0;
	size_t n;

	names(words);
	do {
		n = strcspn(list, ",");
		snprintf(word, sizeof(word), "%.*s", (int)n, list);
		events |= UINT64_C(1) << word_value("--event", word, words);
		list += n;
	} while (*list++ == ',');
	return events;
}

bool
log_names(const struct log_filter *f, const char *event)
{
	const char *words[EVENTS_MAX + 1];

	names(words);
	for (size_t i = 0; words[i] != NULL; i++)
		if (strcmp(words[i], event) == 0)
			return (f->events >> i & 1) != 0;
	return false;
}

bool
log_match(const struct log_filter *f, const struct idq_event *e)
{
	if (e->at < f->since || e->at >= f->until)
		return false;
	if (f->events != 0 && !log_names(f, e->name))
		return false;
	if (f->group != NULL && strcmp(f->group, e->group) != 0)
		return false;
	/* What is about no job has no key. */
	return f->glob == NULL ||
	    (*e->key != '\0' && fnmatch(f->glob, e->key, 0) == 0);
}
