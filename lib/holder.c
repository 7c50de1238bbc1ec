/* SPDX-License-Identifier: ISC */
/*
 * The job that has a key which somebody asks for again.  Most often it stands
 * in a state directory, which proves that it is on disk, and nothing has to be
 * locked.
 */
#include <string.h>
#include <time.h>

#include "idq_impl.h"

#define PAUSE		(5 * IDQ_SECOND / 1000)
#define AGAIN		(HOLDER_BUSY + 1)	/* changed: look again */

static bool
is_free(const struct asking *ask, const struct job *j, int64_t now)
{
	const struct idq_job *p = &j->pub;

	if (!idq_is_over(j))
		return false;
	if (p->release != 0 && p->release <= now)
		return true;
	if (p->state == IDQ_EXPIRED &&
	    (ask->deadline == 0 || ask->deadline > now))
		return true;
	return ask->reuse & IDQ_REUSE_FINAL ||
	    (ask->reuse & IDQ_REUSE_FAILED && p->state == IDQ_FAILED);
}

/* It never started and cannot any more. */
static bool
has_expired(const struct job *j, int64_t now)
{
	return (j->pub.state == IDQ_PENDING || j->pub.state == IDQ_WAITING) &&
	    j->pub.attempts == 0 && idq_is_expired(j, now);
}

/*
 * Not whole.  Without a name in a state directory nobody was told of it, and
 * it is replaced, if idq can have written it.
 */
static int
torn(struct idq *q, const struct asking *ask, struct job *j)
{
	int r = idq_is_named(q, ask->hash);

	if (r == -1)
		return -1;
	if (r == 0 && j->begins)
		return HOLDER_GIVES;
	return idq_error(q, EX_SOFTWARE, "%s/%s: is corrupt or not idq's; "
	    "left alone", q->path, j->pub.path);
}

static int
unfinished(struct idq *q, struct job *j)
{
	switch (idq_complete(q, j)) {
	case COMPLETE_BAD:
		return HOLDER_GIVES;
	case -1:
		return -1;
	default:
		return AGAIN;
	}
}

/* J is locked: do what has to be done to it. */
static int
locked(struct idq *q, const struct asking *ask, struct job *j)
{
	int64_t now = idq_now();
	char key[PATH_SIZE];
	enum place place;
	int r;

	idq_key_path(ask->hash, key);
	if ((r = idq_job_is(q, j, key)) != 1)
		return r == 0 ? AGAIN : -1;
	strlcpy(j->pub.path, key, sizeof(j->pub.path));
	if (idq_job_load(q, j, ask->hash) == -1)
		return -1;
	if (!j->whole)
		return torn(q, ask, j);
	place = idq_where(q, j);
	if (is_free(ask, j, now))
		return HOLDER_GIVES;
	if (place >= PL_TMP)
		return unfinished(q, j);
	if (has_expired(j, now))
		return idq_expire(q, j, j->pub.path) == -1 ? -1 : AGAIN;
	return AGAIN;
}

static int
look(struct idq *q, const struct asking *ask, struct job *j)
{
	int64_t now = idq_now();
	int r;

	if ((r = idq_key_open(q, ask->hash, j)) != 1)
		return r == 0 ? HOLDER_NONE : -1;
	if (j->whole && !is_free(ask, j, now) && !has_expired(j, now) &&
	    idq_where(q, j) < PL_TMP)
		return HOLDER_KEEPS;
	r = idq_job_lock(q, j, 0);
	if (r == 1)
		r = locked(q, ask, j);
	else if (r == 0)
		r = HOLDER_BUSY;
	if (r != HOLDER_GIVES)
		idq_job_close(j);
	return r;
}

int
idq_holder(struct idq *q, const struct asking *ask, struct job *j)
{
	const struct timespec pause = { 0, PAUSE * 1000 };
	int64_t slept = 0;
	int r;

	while ((r = look(q, ask, j)) == AGAIN ||
	    (r == HOLDER_BUSY && slept < ask->wait)) {
		if (r == AGAIN)
			continue;
		nanosleep(&pause, NULL);
		slept += PAUSE;
	}
	return r;
}
