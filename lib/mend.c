/* SPDX-License-Identifier: ISC */
/*
 * What is wrong with one job, and mending it.
 */
#include <stdio.h>
#include <string.h>

#include "idq_impl.h"

#define AHEAD	(60 * IDQ_SECOND)	/* by so much clocks may differ */

/* Who has the key of J: 1 itself, 0 nobody, 2 another job, -1. */
static int
key_owner(struct check *c, const struct job *j)
{
	char key[PATH_SIZE];
	int r = idq_job_owns_key(c->q, j);

	if (r != 0)
		return r;
	idq_key_path(j->pub.hash, key);
	return idq_at_exists(c->q, key) ? 2 : 0;
}

static int
link_key(struct check *c, struct job *j, const char *path)
{
	char key[PATH_SIZE];

	if (c->f->dry_run) {
		idq_report(c, false, path, "its key has no file");
		return 0;
	}
	idq_key_path(j->pub.hash, key);
	if (idq_at_link(c->q, path, key) == -1 &&
	    (errno != ENOENT || idq_mkdir_for(c->q, key) == -1 ||
	    idq_at_link(c->q, path, key) == -1))
		return idq_errno(c->q, "%s/%s", c->q->path, key);
	if (idq_sync_file(c->q, j->fd) == -1 ||
	    idq_sync_keys(c->q, j->pub.hash) == -1) {
		/* After a boot the next claim looks again. */
		c->q->sync_failed = !c->boot;
		return idq_errno(c->q, "%s/%s: sync", c->q->path, key);
	}
	idq_report(c, true, path, "its key had no file: linked again");
	return 1;
}

static int
check_running(struct check *c, struct job *j, const char *path)
{
	if (idq_is_leased(c->q, j))
		return 0;
	if (c->f->dry_run) {
		idq_report(c, false, path, "interrupted");
		return 0;
	}
	if (idq_interrupt(c->q, j, path) == -1)
		return -1;
	idq_report(c, true, path, "interrupted: now %s",
	    idq_state_name(j->pub.state));
	return 0;
}

static int
move_home(struct check *c, struct job *j, const char *path)
{
	char to[PATH_SIZE], other[PATH_SIZE];

	idq_place_of(j, idq_now(), to);
	if (strcmp(path, to) == 0)
		return 0;
	/* Due, and behind others of its group. */
	if (c->place == PL_PACED && j->pub.state == IDQ_PENDING &&
	    idq_parked_path(j, other) && strcmp(path, other) == 0)
		return 0;
	/* Due, but not yet promoted: that is for the next claim. */
	if (c->place == PL_WAIT && j->pub.state == IDQ_PENDING) {
		idq_place_path(PL_WAIT, j->pub.hash, j->pub.id, j->pub.due,
		    other);
		if (strcmp(path, other) == 0)
			return 0;
	}
	if (c->f->dry_run) {
		idq_report(c, false, path, "its trail says %s", to);
		return 0;
	}
	if (idq_settle(c->q, j, path) == -1)
		return -1;
	idq_report(c, true, path, "moved to where its trail says: %s", to);
	return 0;
}

/* An unfinished job whose key belongs to another one: never to be run. */
static int
set_aside(struct check *c, struct job *j, const char *path)
{
	struct line l;

	if (j->started && j->line.event == EV_HELD)
		return move_home(c, j, path);
	if (c->f->dry_run) {
		idq_report(c, false, path, "its key belongs to another job");
		return 0;
	}
	memset(&l, 0, sizeof(l));
	l.at = idq_now();
	l.event = EV_HELD;
	l.n = j->pub.claims;
	l.to = PL_HOLD;
	strlcpy(l.detail, "reason=not-owner", sizeof(l.detail));
	if (idq_step(c->q, j, path, &l, true) == -1)
		return -1;
	idq_report(c, true, path, "its key belongs to another job: held");
	return 0;
}

/* Whether it has ended and has its key no more, or should not have it. */
static bool
is_history(const struct job *j, int owner)
{
	return owner != 1 && idq_is_over(j) && (owner == 2 ||
	    j->pub.state == IDQ_EXPIRED || j->pub.release <= idq_now());
}

static int
check_history(struct check *c, struct job *j, const char *path)
{
	if (j->pub.state == IDQ_EXPIRED)
		return move_home(c, j, path);
	if (c->f->dry_run) {
		idq_report(c, false, path, "left over from a job that is gone");
		return 0;
	}
	if (idq_free_key(c->q, j, path, false) == -1)
		return -1;
	idq_report(c, true, path, "left over from a job that is gone: removed");
	return 0;
}

/*
 * A line with a time still to come was written by a clock that was ahead.  What
 * that decided stands, and only a person knows whether it should.
 */
static void
check_clock(struct check *c, const struct job *j, const char *path)
{
	const struct idq_job *p = &j->pub;
	int64_t at = j->started ? j->line.at : p->added, until = 0;
	char stamp[STAMP_SIZE], then[STAMP_SIZE];
	const char *what = NULL;

	if (p->state == IDQ_WAITING && p->added > at)
		at = p->added;
	if (c->boot || at <= idq_now() + AHEAD)
		return;
	if (p->state == IDQ_EXPIRED)
		what = "expired";
	else if (p->state == IDQ_WAITING)
		what = "not due", until = p->due;
	else if (p->state == IDQ_RUNNING && p->lease != 0)
		what = "leased", until = p->lease;
	else if (idq_is_over(j) && p->release != 0)
		what = "its key is held", until = p->release;
	if (what != NULL)
		idq_report(c, false, path,
		    "by a clock that was ahead, %s: %s%s%s",
		    idq_stamp(at, stamp), what, until == 0 ? "" : " until ",
		    until == 0 ? "" : idq_stamp(until, then));
}

int
idq_mend(struct check *c, struct job *j, const char *path)
{
	int owner, r;

	if (!j->whole) {
		idq_report(c, false, path, "is corrupt or not idq's");
		return 0;
	}
	if (strstr(path, j->pub.id) == NULL) {
		idq_report(c, false, path, "has the id of another job");
		return 1;
	}
	check_clock(c, j, path);
	if ((owner = key_owner(c, j)) == -1)
		return -1;
	if (owner == 2) {
		if ((r = idq_rejoin(c, j, path)) == -1 || r == 1)
			return r == -1 ? -1 : 0;
		if (r == 2 && (owner = key_owner(c, j)) == -1)
			return -1;
	}
	if (is_history(j, owner))
		return check_history(c, j, path);
	if (owner == 2)
		return set_aside(c, j, path);
	if (owner == 0 && link_key(c, j, path) == -1)
		return -1;
	if (c->place == PL_CUR && j->started && j->line.to == PL_CUR)
		return check_running(c, j, path);
	return move_home(c, j, path);
}

/* A key whose job stands in no state directory; J is locked. */
int
idq_mend_nameless(struct check *c, struct job *j, const char *path,
    const char *hash)
{
	char to[PATH_SIZE];
	bool quiet;
	int r;

	if (!j->whole) {
		/* An add that was cut off: the next one replaces it. */
		if (!j->begins || idq_is_named(c->q, hash) != 0)
			idq_report(c, false, path, "is corrupt or not idq's");
		else if (!c->boot && !c->f->dry_run) {
			if (idq_drop(c->q, j, path) == -1)
				return -1;
			idq_report(c, true, path, "never accepted: removed");
		} else if (!c->boot)
			idq_report(c, false, path, "never accepted");
		return 0;
	}
	if (idq_where(c->q, j) < PL_TMP)
		return 0;
	/* Its new place may have been walked before. */
	quiet = c->quiet;
	c->quiet = false;
	check_clock(c, j, path);
	c->quiet = quiet;
	if (c->f->dry_run) {
		idq_report(c, false, path, "its job is in no directory");
		return 0;
	}
	/* A purge that was cut off between its two names. */
	if (idq_is_over(j) && j->pub.release != 0 &&
	    j->pub.release <= idq_now()) {
		if (idq_free_key(c->q, j, NULL, false) == -1)
			return -1;
		idq_report(c, true, path, "past its release: removed");
		return 0;
	}
	if ((r = idq_complete(c->q, j)) == -1)
		return -1;
	idq_place_of(j, idq_now(), to);
	if (r == COMPLETE_BAD)
		idq_report(c, false, path, "its sync failed, or its payload is "
		    "not what was added; add it again");
	else
		idq_report(c, true, path, r == COMPLETE_OK ?
		    "its job was in no directory: now %s" :
		    "an unfinished run: taken back", to);
	return 0;
}
