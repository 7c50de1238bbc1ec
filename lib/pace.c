/* SPDX-License-Identifier: ISC */
/*
 * Pacing: how many jobs of a group may run at once, and how far apart they
 * start.
 *
 * A job that has to wait is parked in paced/GH/, once, so that no scan meets it
 * again.  Each start, each end and each turn of the group, under the lock of
 * groups/GH, lets the oldest of them back to new/ when it may start.  A group
 * with parked jobs always has a turn ahead, at the latest in a minute: that is
 * what heals whatever a crash has left.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define FALLBACK	IDQ_MINUTE		/* of a turn */
#define BUSY		IDQ_SECOND		/* one was locked: its turn */
#define FAILED		(10 * IDQ_SECOND)	/* a turn that failed */

/* The first start that the gap allows. */
static int64_t
allowed_at(int64_t last, int64_t gap, int64_t now)
{
	return gap == 0 || last == 0 ? now : idq_after(last, gap);
}

/* Whether the job that was let out is still to be started. */
static bool
next_is_out(struct idq *q, struct group *g)
{
	char path[PATH_SIZE];

	if (*g->next == '\0')
		return false;
	snprintf(path, sizeof(path), "new/%s", g->next);
	if (idq_at_exists(q, path))
		return true;
	g->next[0] = '\0';
	return false;
}

/*
 * A claim leaves what is damaged, or has lost its key, in new/.  Such a job is
 * not to hold up those behind it for ever.
 */
static void
check_next(struct idq *q, struct group *g)
{
	char path[PATH_SIZE];
	bool can = false;
	struct name n;
	struct job j;
	int r;

	if (idq_name_parse(PL_NEW, g->next, &n) == -1)
		return;
	snprintf(path, sizeof(path), "new/%s", g->next);
	if ((r = idq_job_open(q, path, &j)) == 1) {
		r = idq_job_load(q, &j, n.hash);
		can = r == 0 && j.whole && strcmp(j.pub.id, n.id) == 0 &&
		    (r = idq_job_owns_key(q, &j)) == 1;
		idq_job_close(&j);
	}
	if (!can && (r != -1 || q->code != EX_TEMPFAIL))
		g->next[0] = '\0';
}

/* The group's next look at T, unless one comes before. */
static int
set_turn(struct idq *q, struct group *g, int64_t t, int64_t now)
{
	char path[PATH_SIZE];
	int64_t old = g->turn;
	int fd;

	/* One that a crash has left in the state alone is none. */
	idq_turn_path(g->hash, old, path);
	if (old > now && old <= t &&
	    idq_at_exists(q, path))
		return 0;
	idq_turn_path(g->hash, t, path);
	fd = idq_at_open(q, path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW |
	    O_NONBLOCK);
	if (fd == -1 && errno == ENOENT && idq_mkdir_for(q, path) == 0)
		fd = idq_at_open(q, path, O_WRONLY | O_CREAT | O_CLOEXEC |
		    O_NOFOLLOW | O_NONBLOCK);
	if (fd == -1)
		return idq_errno(q, "%s/%s", q->path, path);
	close(fd);
	g->turn = t;
	if (old != 0 && old != t) {
		idq_turn_path(g->hash, old, path);
		idq_remove(q, path);
	}
	return 0;
}

/* Let the parked job NAME out: 1, 0 it is gone or has expired, 2 busy, -1. */
static int
let_out(struct idq *q, struct group *g, const char *name)
{
	char from[PATH_SIZE], to[PATH_SIZE];
	bool busy = false;
	struct name n;
	struct job j;
	int r;

	if (idq_name_parse(PL_NEW, name, &n) == -1)
		return 0;
	idq_paced_path(g->hash, n.hash, n.id, n.due, from);
	if ((r = idq_job_take(q, from, n.hash, &busy, &j)) != 1)
		return busy ? 2 : r;
	if (g->name == NULL && j.pub.group != NULL)
		g->name = strdup(j.pub.group);
	if (j.whole && j.pub.state == IDQ_PENDING && j.pub.due == n.due &&
	    idq_is_expired(&j, idq_now())) {
		r = idq_expire(q, &j, from) == -1 ? -1 : 0;
	} else {
		/* What its trail says is for the claim to see. */
		idq_place_path(PL_NEW, n.hash, n.id, n.due, to);
		/*
		 * One that cannot run must not hold up the others.  Saved
		 * before the rename, so that no younger one overtakes it.
		 */
		if (j.whole && j.pub.state == IDQ_PENDING &&
		    idq_job_owns_key(q, &j) == 1) {
			memcpy(g->next, name, sizeof(g->next));
			if (idq_group_save(q, g) == -1)
				idq_notice(q, "%s", q->msg);
		}
		r = idq_move(q, &j, from, to);
		g->let_out |= r == 1;
	}
	idq_job_unlock(&j);
	idq_job_close(&j);
	return r;
}

/* Let out what may start; else say when to look again. */
static int
advance(struct idq *q, struct group *g)
{
	const size_t max = (size_t)q->cfg[CFG_GROUP_MAX];
	int64_t now = idq_now(), at;
	char name[NEW_LEN + 1], after[NEW_LEN + 1] = "";
	int r;

	for (;;) {
		if ((r = idq_parked_first(q, g->hash, after, name)) != 1)
			return r;
		if (g->nruns >= max || next_is_out(q, g))
			return set_turn(q, g, idq_after(now, FALLBACK), now);
		at = allowed_at(g->last, q->cfg[CFG_GROUP_GAP], now);
		if (at > now)
			return set_turn(q, g, at, now);
		if ((r = let_out(q, g, name)) == 2)
			return set_turn(q, g, idq_after(now, BUSY), now);
		if (r == -1 && q->code != EX_SOFTWARE)
			return -1;
		/* What is no job must not hold up those behind it. */
		if (r == -1) {
			idq_notice(q, "%s", q->msg);
			strlcpy(after, name, sizeof(after));
		}
		idq_parked_drop(q, g->hash, name);
	}
}

/* When the group is to be looked at, as far as is known without a look. */
static int64_t
look_at(struct idq *q, struct group *g, int64_t now)
{
	if (g->nruns >= (size_t)q->cfg[CFG_GROUP_MAX] || next_is_out(q, g))
		return idq_after(now, FALLBACK);
	return allowed_at(g->last, q->cfg[CFG_GROUP_GAP], now);
}

/* Park J, which is at PATH with the due time of NAME. */
static int
park(struct idq *q, struct group *g, const struct job *j, const char *path,
    const char *name)
{
	char to[PATH_SIZE];
	int64_t now = idq_now();
	int r;

	/* First, so that a parked job always has a turn ahead. */
	if (set_turn(q, g, look_at(q, g, now), now) == -1)
		return -1;
	snprintf(to, sizeof(to), "paced/%s/%s", g->hash, name);
	if ((r = idq_move(q, j, path, to)) == 1)
		idq_parked_added(q, g->hash, name);
	return r == -1 || idq_group_save(q, g) == -1 ? -1 : r;
}

/* Whether NAME is the one of its group that may start now. */
static int
may_start(struct idq *q, struct group *g, const char *name)
{
	char first[NEW_LEN + 1];
	int64_t now = idq_now();
	bool out = next_is_out(q, g);
	int r;

	if (out && strcmp(g->next, name) != 0)
		return 0;
	if (g->nruns >= (size_t)q->cfg[CFG_GROUP_MAX] ||
	    allowed_at(g->last, q->cfg[CFG_GROUP_GAP], now) > now)
		return 0;
	if (out)
		return 1;
	if ((r = idq_parked_first(q, g->hash, "", first)) != 1)
		return r == 0 ? 1 : -1;
	/* What has its own name there is not older. */
	return strcmp(name, first) <= 0;
}

/* Note the start before it happens: a crash between costs a gap, no call. */
static int
note_start(struct idq *q, struct group *g, const struct job *j)
{
	char pair[CUR_LEN + 1];

	snprintf(pair, sizeof(pair), "%s.%s", j->pub.hash, j->pub.id);
	if (idq_group_run(g, pair) == -1)
		return idq_errno(q, "%s", q->path);
	g->last = idq_now();
	g->next[0] = '\0';
	if (idq_group_save(q, g) == -1)
		return -1;
	if (q->cfg[CFG_GROUP_GAP] != 0 && idq_sync_file(q, g->file.fd) == -1)
		return idq_errno(q, "%s/%s: sync", q->path,
		    g->file.pub.path);
	return 1;
}

void
idq_pace_behind(struct taking *t, const char *group)
{
	if (t->nbehind < BEHIND_MAX)
		idq_key_hash(group, strlen(group), t->behind[t->nbehind]);
	t->nbehind++;
}

static bool
is_behind(const struct taking *t, const char *hash)
{
	for (size_t i = 0; i < t->nbehind && i < BEHIND_MAX; i++)
		if (strcmp(t->behind[i], hash) == 0)
			return true;
	return t->nbehind > BEHIND_MAX;
}

int
idq_pace_enter(struct idq *q, struct job *j, const char *name,
    struct taking *t, struct group *g)
{
	char hash[HASH_SIZE], path[PATH_SIZE];
	int r;

	idq_key_hash(j->pub.group, strlen(j->pub.group), hash);
	if (is_behind(t, hash)) {
		t->busy = true;
		return 0;
	}
	if ((r = idq_group_open(q, hash, j->pub.group, g)) != 1) {
		t->busy |= r == 0;
		if (r == 0)
			idq_pace_behind(t, j->pub.group);
		return r;
	}
	snprintf(path, sizeof(path), "new/%s", name);
	if ((r = may_start(q, g, name)) == 0)
		r = park(q, g, j, path, name) == -1 ? -1 : 0;
	else if (r == 1 && (r = idq_rate_take(q, t)) == 1)
		r = note_start(q, g, j);
	if (r != 1)
		idq_group_close(g);
	return r;
}

/* What went wrong here is put right at the group's turn. */
static void
leave(struct idq *q, struct group *g)
{
	if (advance(q, g) == -1 || idq_group_save(q, g) == -1)
		idq_notice(q, "%s", q->msg);
	idq_group_close(g);
}

void
idq_pace_started(struct idq *q, struct group *g, bool failed)
{
	if (failed)
		g->nruns--;
	leave(q, g);
}

static void
drop_run(struct group *g, const struct job *j)
{
	char pair[CUR_LEN + 1];

	snprintf(pair, sizeof(pair), "%s.%s", j->pub.hash, j->pub.id);
	for (size_t i = 0; i < g->nruns; i++)
		if (strcmp(g->runs[i], pair) == 0)
			memmove(g->runs[i--], g->runs[--g->nruns],
			    sizeof(*g->runs));
}

/* To new/, as the next of its group, or to those that wait for it. */
static int
arrive(struct idq *q, struct group *g, const struct job *j, const char *from,
    const char *to)
{
	const char *name = strchr(to, '/') + 1;
	int r = may_start(q, g, name);

	if (r == 0)
		return park(q, g, j, from, name);
	strlcpy(g->next, name, sizeof(g->next));
	if (r == -1 || idq_group_save(q, g) == -1)
		idq_notice(q, "%s", q->msg);
	return idq_move(q, j, from, to);
}

int
idq_pace_move(struct idq *q, const struct job *j, const char *from,
    const char *to)
{
	bool ends = strncmp(from, "cur/", 4) == 0;
	bool comes = strncmp(to, "new/", 4) == 0;
	char hash[HASH_SIZE];
	struct group g;
	int r = 0;

	if (j->pub.group == NULL)
		return idq_move(q, j, from, to);
	idq_key_hash(j->pub.group, strlen(j->pub.group), hash);
	if ((ends || comes) &&
	    (r = idq_group_open(q, hash, j->pub.group, &g)) == 1) {
		if (ends)
			drop_run(&g, j);
		if (comes) {
			r = arrive(q, &g, j, from, to);
			idq_group_close(&g);
			return r;
		}
		/* Before it has left cur/: nobody there forgets it then. */
		leave(q, &g);
		return idq_move(q, j, from, to);
	}
	if (r == -1)
		idq_notice(q, "%s", q->msg);
	/* The group is busy, or may have lost the one that was let out. */
	r = idq_move(q, j, from, to);
	if (r == 1 && (ends || strncmp(from, "new/", 4) == 0))
		idq_pace_look(q, j);
	return r;
}

void
idq_pace_look(struct idq *q, const struct job *j)
{
	struct group g = { .turn = 0 };
	char path[PATH_SIZE];
	int64_t now = idq_now();

	if (!idq_parked_path(j, path))
		return;
	*strrchr(path, '/') = '\0';
	if (!idq_at_exists(q, path))
		return;
	strlcpy(g.hash, strchr(path, '/') + 1, sizeof(g.hash));
	set_turn(q, &g, now, now);
}

struct turns {
	struct idq	*q;
	int64_t		 now;
	int64_t		 next;
	bool		 any;		/* one was let out */
};

/* 1 it was taken and is gone, 0 the group is locked, or it stays; -1. */
static int
take_turn(struct turns *t, const char *hash, const char *path, int64_t due)
{
	struct idq *q = t->q;
	struct group g;
	int r = idq_group_open(q, hash, NULL, &g);

	if (r != 1)
		return r;
	if (g.turn <= due)
		g.turn = 0;
	check_next(q, &g);
	r = advance(q, &g);
	if (r == 0)
		r = idq_group_save(q, &g);
	t->any |= g.let_out;
	idq_group_close(&g);
	/* Unless it is the next one too. */
	if (r == -1 || g.turn == due)
		return r;
	idq_remove(q, path);
	return !idq_at_exists(q, path);
}

static void
again_at(struct turns *t, int64_t at)
{
	if (t->next == 0 || at < t->next)
		t->next = at;
}

static int
turn_entry(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct turns *t = arg;
	char path[PATH_SIZE];

	if (n->due > t->now) {
		if (t->next != 0 && n->due / IDQ_MINUTE > t->next / IDQ_MINUTE)
			return 1;		/* later minutes are later */
		if (t->next == 0 || n->due < t->next)
			t->next = n->due;
		return 0;
	}
	snprintf(path, sizeof(path), "%s/%.*s", folder, NEW_LEN, e->d_name);
	switch (take_turn(t, n->hash, path, n->due)) {
	case 1:
		break;
	case 0:
		again_at(t, t->now + BUSY);
		break;
	default:
		idq_notice(t->q, "%s", t->q->msg);
		again_at(t, t->now + FAILED);
	}
	return 0;
}

int
idq_pace_turns(struct idq *q, int64_t *next)
{
	struct turns t = { .q = q, .now = idq_now() };
	int r = idq_walk_until(q, PL_TURN, next == NULL ? t.now : IDQ_FOREVER,
	    turn_entry, &t);

	if (next != NULL)
		*next = t.next;
	return r == -1 ? -1 : t.any;
}

bool
idq_pace_is_next(struct idq *q, const char *group, const char *name)
{
	char hash[HASH_SIZE];
	struct group g;
	bool is;

	idq_key_hash(group, strlen(group), hash);
	if (idq_group_open(q, hash, group, &g) != 1)
		return false;
	is = strcmp(g.next, name) == 0;
	idq_group_close(&g);
	return is;
}

int
idq_pace_all(struct idq *q)
{
	struct group g = { .turn = 0 };
	int64_t now = idq_now();
	struct dirent *e;
	DIR *d = idq_opendir(q, "paced");

	if (d == NULL)
		return errno == ENOENT ? 0 : idq_errno(q, "%s/paced", q->path);
	while ((e = idq_readdir(d)) != NULL) {
		if (!idq_is_hash(e->d_name))
			continue;
		strlcpy(g.hash, e->d_name, sizeof(g.hash));
		g.turn = 0;
		if (set_turn(q, &g, now, now) == -1)
			idq_notice(q, "%s", q->msg);
	}
	closedir(d);
	return 0;
}

/* Nothing runs, nothing waits, and no gap is measured from its last start. */
static bool
is_idle(struct idq *q, const struct group *g, int64_t now)
{
	char first[NEW_LEN + 1];

	return g->nruns == 0 && idq_parked_first(q, g->hash, "", first) == 0 &&
	    allowed_at(g->last, q->cfg[CFG_GROUP_GAP], now) <= now &&
	    idq_after(g->last, IDQ_DAY) <= now;
}

int
idq_pace_purge(struct idq *q, int64_t now)
{
	struct group g;
	struct dirent *e;
	DIR *d = idq_opendir(q, "groups");

	if (d == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(q, "%s/groups", q->path);
	while ((e = idq_readdir(d)) != NULL) {
		if (!idq_is_hash(e->d_name) ||
		    idq_group_open(q, e->d_name, NULL, &g) != 1)
			continue;
		if (is_idle(q, &g, now)) {
			idq_parked_forget(q, g.hash);
			idq_drop(q, &g.file, g.file.pub.path);
		}
		idq_group_close(&g);
	}
	closedir(d);
	return 0;
}
