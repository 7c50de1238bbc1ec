/* SPDX-License-Identifier: ISC */
/*
 * Moves.  The caller holds the lock of the job in all of these.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define TRIES	100	/* against one that removes empty folders */

/* Remove PATH if it is a name of this job. */
int
idq_drop(struct idq *q, const struct job *j, const char *path)
{
	int r = idq_job_is(q, j, path);

	if (r == 1 && idq_at_unlink(q, path, 0) == -1 && errno != ENOENT)
		return idq_errno(q, "%s/%s", q->path, path);
	return r == -1 ? -1 : 0;
}

/* Remove the folder of PATH within its place if it is empty by now. */
static void
drop_folder(struct idq *q, const char *path)
{
	char dir[PATH_SIZE];
	char *slash;

	strlcpy(dir, path, sizeof(dir));
	slash = strrchr(dir, '/');
	*slash = '\0';
	if (strchr(dir, '/') != NULL)
		idq_at_unlink(q, dir, AT_REMOVEDIR);
}

void
idq_remove(struct idq *q, const char *path)
{
	idq_at_unlink(q, path, 0);
	drop_folder(q, path);
}

/* Ids are random: what is there already is no job of an idq's making. */
static bool
is_taken(struct idq *q, const struct job *j, const char *to)
{
	return idq_at_exists(q, to) && idq_job_is(q, j, to) != 1;
}

static int
rename_to(struct idq *q, const struct job *j, const char *from,
    const char *to)
{
	if (q->mending && is_taken(q, j, to))
		return idq_error(q, EX_SOFTWARE, "%s/%s: is in the way; left "
		    "alone", q->path, to);
	for (int i = 0; i < TRIES; i++) {
		if (idq_at_rename(q, from, to) == 0)
			return 1;
		if (errno != ENOENT)
			break;
		/* The source was moved, or the folder is missing. */
		if (idq_job_is(q, j, from) != 1)
			return idq_job_is(q, j, to);
		if (idq_mkdir_for(q, to) == -1)
			break;
	}
	return idq_errno(q, "%s/%s", q->path, to);
}

/*
 * FROM is still there after a rename that succeeded.  rename(2) of two links of
 * one inode removes neither; but a client of NFS that believes that the job is
 * at TO, where it was before another client moved it, asks no server, and FROM
 * is the only one.  An unlink asks; nobody else moves the job meanwhile.
 */
static int
rename_again(struct idq *q, const struct job *j, const char *from,
    const char *to)
{
	for (int i = 0; i < TRIES; i++) {
		if (idq_at_unlink(q, to, 0) == -1 && errno != ENOENT)
			return idq_errno(q, "%s/%s", q->path, to);
		if (rename_to(q, j, from, to) == -1)
			return -1;
		if (idq_job_is(q, j, from) != 1)
			return 0;
	}
	return idq_error(q, EX_TEMPFAIL, "%s/%s: cannot be moved", q->path,
	    from);
}

/* It may come before those kept for claims, unless it is due only now. */
static void
has_come(struct idq *q, const char *from, const char *name)
{
	struct name n;

	if (strncmp(from, "tmp/", 4) == 0 &&
	    idq_name_parse(PL_NEW, name, &n) == 0 &&
	    n.due > idq_now() - IDQ_SECOND)
		return;
	idq_order_insert(q, name);
}

int
idq_move(struct idq *q, const struct job *j, const char *from, const char *to)
{
	int r = rename_to(q, j, from, to);

	if (r != 1)
		return r;
	if (q->remote && (r = idq_job_is(q, j, from)) != 0) {
		if (r == -1 || rename_again(q, j, from, to) == -1)
			return -1;
	}
	/* rename(2) of two links of one inode removes neither. */
	if (!q->remote && idq_drop(q, j, from) == -1)
		return -1;
	drop_folder(q, from);
	if (strncmp(to, "new/", 4) == 0)
		has_come(q, from, to + 4);
	return 1;
}

enum place
idq_place_of(const struct job *j, int64_t now, char path[PATH_SIZE])
{
	const struct idq_job *p = &j->pub;
	enum place to = j->started ? j->line.to : PL_NEW;
	int64_t when = j->line.at;

	if (to == PL_NEW || to == PL_WAIT) {
		to = p->run ? PL_FAILED : p->due > now ? PL_WAIT : PL_NEW;
		when = p->due;
	}
	idq_place_path(to, p->hash, p->id, when, path);
	return to;
}

bool
idq_parked_path(const struct job *j, char path[PATH_SIZE])
{
	const struct idq_job *p = &j->pub;
	char group[HASH_SIZE];

	if (p->group == NULL)
		return false;
	idq_key_hash(p->group, strlen(p->group), group);
	idq_paced_path(group, p->hash, p->id, p->due, path);
	return true;
}

enum place
idq_where(struct idq *q, struct job *j)
{
	static const enum place others[] = { PL_NEW, PL_WAIT, PL_CUR, PL_HOLD,
	    PL_FAILED, PL_TMP };
	struct idq_job *p = &j->pub;
	enum place to = idq_place_of(j, idq_now(), p->path);

	if (idq_job_is(q, j, p->path) == 1)
		return to;
	for (size_t i = 0; i < NITEMS(others); i++) {
		idq_place_path(others[i], p->hash, p->id, p->due, p->path);
		if (idq_job_is(q, j, p->path) == 1)
			return others[i];
	}
	if (idq_parked_path(j, p->path) && idq_job_is(q, j, p->path) == 1)
		return PL_PACED;
	idq_key_path(p->hash, p->path);
	return PL_NONE;
}

/* Whether somebody was told, or will be, that the job has come here. */
static bool
was_told(enum place to)
{
	return to == PL_HOLD || to == PL_FAILED || to == PL_DONE ||
	    to == PL_CANCELLED || to == PL_EXPIRED;
}

/*
 * The wish has come true or to nothing.  Not before that is on disk, and
 * before the rename, since nobody looks at the job after that.
 */
static void
drop_asked(struct idq *q, const struct job *j, enum place to)
{
	char path[PATH_SIZE];

	if (to != PL_DONE && to != PL_CANCELLED)
		return;
	idq_asked_path(j->pub.id, path);
	idq_at_unlink(q, path, 0);
}

static int
sync_line(struct idq *q, struct job *j)
{
	if (idq_sync_file(q, j->fd) == 0)
		return 0;
	return idq_not_synced(q, j->pub.path);
}

/*
 * The job of an `idq run' that did not come so far, or that somebody put where
 * workers look: the next run of its key takes it up.
 */
static int
rest(struct idq *q, struct job *j, const char *from)
{
	struct line l;

	memset(&l, 0, sizeof(l));
	l.at = l.next = idq_now();
	l.event = EV_FAILED;
	l.n = j->pub.claims;
	l.to = PL_FAILED;
	l.release = idq_after(l.at, q->cfg[CFG_KEEP_FAILED]);
	strlcpy(l.detail, "reason=run", sizeof(l.detail));
	return idq_step(q, j, from, &l, true) == -1 ? -1 : 1;
}

/*
 * Whoever asks to cancel a running job has an answer before its end is written.
 * A wish that came too late for the line is not too late for the job.
 */
static bool
is_late(struct idq *q, struct job *j, const char *from)
{
	return strncmp(from, "cur/", 4) == 0 && j->line.to != PL_CUR &&
	    j->line.to != PL_DONE && j->line.to != PL_CANCELLED &&
	    j->started && idq_asked(q, j->pub.id) > 0;
}

int
idq_settle(struct idq *q, struct job *j, const char *from)
{
	char to[PATH_SIZE];
	enum place place = idq_place_of(j, idq_now(), to);

	if (place == PL_FAILED && (!j->started || j->line.to != PL_FAILED))
		return rest(q, j, from);
	if (strcmp(from, to) == 0)
		return 0;
	if (was_told(place) && sync_line(q, j) == -1)
		return -1;
	if (is_late(q, j, from))
		return idq_cancel_now(q, j, from) == -1 ? -1 : 1;
	drop_asked(q, j, place);
	return idq_pace_move(q, j, from, to);
}

int
idq_step_begin(struct idq *q, struct job *j, const struct line *l, bool sync)
{
	if (idq_trail_append(q, j, l) == -1)
		return -1;
	return (sync || was_told(l->to)) && q->cfg[CFG_SYNC] != SYNC_OFF;
}

/*
 * Once its line stands (and is synced) the job is where that says, whether
 * the rename comes about or not: whoever finds it makes up for that.
 */
int
idq_step_end(struct idq *q, struct job *j, const char *from)
{
	char to[PATH_SIZE];

	if (is_late(q, j, from))
		return idq_cancel_now(q, j, from);
	if (j->asked)
		drop_asked(q, j, j->line.to);
	idq_place_of(j, j->line.at, to);
	if (strcmp(from, to) != 0 && idq_pace_move(q, j, from, to) == -1)
		idq_notice(q, "%s", q->msg);
	return 0;
}

int
idq_step(struct idq *q, struct job *j, const char *from, struct line *l,
    bool sync)
{
	int r = idq_step_begin(q, j, l, sync);

	if (r == -1 || (r == 1 && sync_line(q, j) == -1))
		return -1;
	idq_log_line(q, j);
	return idq_step_end(q, j, from);
}

/* Another that has emptied it may have removed it: then the one above. */
static int
sync_folder(struct idq *q, const char *path)
{
	char dir[PATH_SIZE];
	int r = 0;

	strlcpy(dir, path, sizeof(dir));
	do
		*strrchr(dir, '/') = '\0';
	while (q->cfg[CFG_SYNC] != SYNC_OFF &&
	    (r = idq_sync_dir(q, dir)) == -1 && errno == ENOENT &&
	    strchr(dir, '/') != NULL);
	return r == 0 ? 0 : idq_not_synced(q, dir);
}

int
idq_free_key(struct idq *q, struct job *j, const char *from, bool sync)
{
	const struct idq_job *p = &j->pub;
	char path[PATH_SIZE];
	int r;

	if (from != NULL) {
		if (idq_drop(q, j, from) == -1 ||
		    (sync && sync_folder(q, from) == -1))
			return -1;
		drop_folder(q, from);
	}
	idq_dups_path(p->hash, p->id, path);
	if (idq_at_unlink(q, path, 0) == -1 && errno != ENOENT)
		return idq_errno(q, "%s/%s", q->path, path);
	idq_asked_path(p->id, path);
	if (p->claims > 0) {
		idq_at_unlink(q, path, 0);
		idq_pid_drop(q, p->id);
	}
	idq_out_remove(q, p);
	if ((r = idq_job_owns_key(q, j)) != 1)
		return r;
	idq_key_path(p->hash, path);
	return idq_drop(q, j, path);
}
