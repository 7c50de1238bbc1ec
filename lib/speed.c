/* SPDX-License-Identifier: ISC */
/*
 * How fast jobs have finished of late, by the log.
 */
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

#define FINISHES_MIN	10
#define SLOTS		1024		/* claims that are open at once */

/*
 * Only the time in which a job ran counts: a finish adds what has passed since
 * its claim, or since the finish before it, whichever is less.  Idle hours and
 * a worker that was down then do not make a queue slow.
 */
struct speed {
	struct {
		char	id[ID_SIZE];
		int64_t	at;
	}		 claims[SLOTS];
	int64_t		 last;		/* finish */
	int64_t		 busy;
	uint64_t	 n;
};

static size_t
slot(const char *id)
{
	return strtoul(id + IDQ_ID_LEN - 4, NULL, 16) % SLOTS;
}

static void
add_finish(struct speed *s, const struct idq_event *e, int64_t claimed)
{
	int64_t from = claimed > s->last ? claimed : s->last;

	if (e->at > from)
		s->busy += e->at - from;
	if (e->at > s->last)
		s->last = e->at;
	s->n++;
}

static int
each(void *arg, const struct idq_event *e)
{
	struct speed *s = arg;
	bool finish = strcmp(e->name, "done") == 0 ||
	    strcmp(e->name, "failed") == 0;
	size_t i;

	if (*e->id == '\0' || (!finish && strcmp(e->name, "claimed") != 0))
		return 0;
	i = slot(e->id);
	if (!finish) {
		strlcpy(s->claims[i].id, e->id, sizeof(s->claims[i].id));
		s->claims[i].at = e->at;
	} else if (strcmp(s->claims[i].id, e->id) == 0) {
		add_finish(s, e, s->claims[i].at);
		s->claims[i].id[0] = '\0';
	}
	return 0;
}

int64_t
idq_speed(struct idq *q, int64_t now, uint64_t *n)
{
	static const int64_t spans[] = { IDQ_DAY, 7 * IDQ_DAY };
	struct speed *s;
	int64_t mean = 0;

	*n = 0;
	for (size_t i = 0; mean == 0 && i < NITEMS(spans); i++) {
		if ((s = calloc(1, sizeof(*s))) == NULL)
			return 0;
		/* Without a log it is not known; that is no failure. */
		if (idq_log(q, now - spans[i], each, s) == 0 &&
		    s->n >= FINISHES_MIN) {
			*n = s->n;
			mean = s->busy / (int64_t)s->n;
			if (mean == 0)
				mean = 1;
		}
		free(s);
	}
	return mean;
}
