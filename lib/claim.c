/* SPDX-License-Identifier: ISC */
/*
 * Claiming, and what the holder of a claim may say by its token.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

/* Nobody gets the claim: it would be in the way until its lease ends. */
static int
not_synced(struct idq *q, struct job *j)
{
	char words[sizeof(q->msg)];

	idq_errno(q, "%s/%s: sync", q->path, j->pub.path);
	strlcpy(words, q->msg, sizeof(words));
	if (idq_give_back(q, j, 0, false) == -1)
		idq_notice(q, "%s", q->msg);
	q->sync_failed = true;
	return idq_error(q, EX_IOERR, "%s", words);
}

/*
 * Rename to cur/ and say so in the trail.  Without the line the job goes back
 * to where it was, so that nothing has happened.
 */
int
idq_claimed(struct idq *q, struct job *j, const char *from, int64_t lease)
{
	struct idq_job *p = &j->pub;
	char cur[PATH_SIZE];
	struct line l;
	int r;

	idq_place_path(PL_CUR, p->hash, p->id, 0, cur);
	if ((r = idq_move(q, j, from, cur)) != 1)
		return r;
	memset(&l, 0, sizeof(l));
	l.at = idq_now();
	l.event = EV_CLAIMED;
	l.to = PL_CUR;
	l.n = p->claims + 1;
	l.lease = lease != 0 ? idq_after(idq_lease_now(q), lease) : 0;
	snprintf(l.detail, sizeof(l.detail), "host=%s boot=%.8s pid=%d",
	    q->host, idq_boot(q), (int)getpid());
	if (idq_trail_append(q, j, &l) == -1) {
		idq_move(q, j, cur, from);
		return -1;
	}
	/*
	 * A token is not printed, nor a call made, that a cut could forget.
	 * NFS keeps back what was written until it is synced or unlocked: if
	 * we are cut off, who comes next would give the same number.
	 */
	strlcpy(p->path, cur, sizeof(p->path));
	if ((lease != 0 || q->remote || idq_holds_on_crash(q, j)) &&
	    idq_sync_file(q, j->fd) == -1)
		return not_synced(q, j);
	idq_stamp_start(q, l.at);
	idq_log_line(q, j);
	return 1;
}

/* Nothing else stands against it: 1 claimed, 0 not now, -1. */
static int
claim_paced(struct idq *q, struct job *j, const char *path, struct taking *t)
{
	struct group g;
	int r;

	/* Somebody may have paused the queue since the scan. */
	if (idq_is_paused(q))
		return 0;
	if (j->pub.group == NULL) {
		r = idq_rate_take(q, t);
		return r == 1 ? idq_claimed(q, j, path, t->lease) : r;
	}
	if ((r = idq_pace_enter(q, j, strchr(path, '/') + 1, t, &g)) != 1)
		return r;
	r = idq_claimed(q, j, path, t->lease);
	idq_pace_started(q, &g, r != 1);
	return r;
}

/* J is locked and at PATH: 1 claimed, 0 it was no job to claim, -1. */
static int
claim_locked(struct idq *q, struct job *j, const char *path, struct taking *t)
{
	char to[PATH_SIZE];
	int64_t now = idq_now();
	int r;

	if (!j->whole || strstr(path, j->pub.id) == NULL) {
		idq_notice(q, "%s/%s: is not whole; left alone", q->path,
		    path);
		return 0;
	}
	idq_place_of(j, now, to);
	if (strcmp(path, to) != 0)
		return idq_settle(q, j, path) == -1 ? -1 : 0;
	if ((r = idq_job_is_owner(q, j, path)) != 1)
		return r;
	if ((r = idq_asked(q, j->pub.id)) != 0)
		return r == -1 ? -1 : idq_cancel_now(q, j, path);
	if (idq_is_expired(j, now))
		return idq_expire(q, j, path);
	return claim_paced(q, j, path, t);
}

/* Somebody claims it, or adds it: those of its group behind it have to wait. */
static void
note_busy(struct idq *q, const char *path, const char *hash, struct taking *t)
{
	struct job j;

	if (idq_job_open(q, path, &j) != 1)
		return;
	if (idq_job_load(q, &j, hash) == 0 && j.whole && j.pub.group != NULL)
		idq_pace_behind(t, j.pub.group);
	idq_job_close(&j);
}

int
idq_take(struct idq *q, const char *name, struct taking *t, struct job *j)
{
	char path[PATH_SIZE];
	bool busy = false;
	struct name n;
	int r;

	snprintf(path, sizeof(path), "new/%s", name);
	if (idq_name_parse(PL_NEW, name, &n) == -1)
		return 0;
	r = idq_job_take(q, path, n.hash, &busy, j);
	if (busy) {
		t->busy = true;
		note_busy(q, path, n.hash, t);
	}
	if (r == 1) {
		r = claim_locked(q, j, path, t);
		if (r != 1) {
			idq_job_unlock(j);
			idq_job_close(j);
		}
	}
	/* One bad file is not fatal to the rest of the queue. */
	return r == -1 && idq_pass_over(q) ? 0 : r;
}

int
idq_take_any(struct idq *q, struct order *o, struct taking *t, int64_t *next,
    struct job *j)
{
	int r;

	while ((r = idq_order_take(q, o, t, j)) == 0 && t->until == 0 &&
	    (r = idq_promote(q, next)) == 1)
		continue;
	return r;
}

static struct idq_job *
publish(struct job *j)
{
	struct job *copy = malloc(sizeof(*copy));

	if (copy == NULL) {
		idq_job_close(j);
		return NULL;
	}
	*copy = *j;
	return &copy->pub;
}

int
idq_claim(struct idq *q, int64_t lease, struct idq_job **jp,
    char token[IDQ_TOKEN_LEN + 1])
{
	struct taking t = { .lease = lease != 0 ? lease : q->cfg[CFG_LEASE],
	    .rate = q->cfg[CFG_RATE] };
	struct order *o;
	struct job j;
	int r;

	*jp = NULL;
	if (idq_prepare(q) == -1 || idq_promote(q, NULL) == -1)
		return -1;
	if ((o = idq_order_new()) == NULL)
		return idq_errno(q, "%s", q->path);
	r = idq_take_any(q, o, &t, NULL, &j);
	idq_order_free(o);
	if (r != 1)
		return r;
	snprintf(token, IDQ_TOKEN_LEN + 1, "%s.%s.%" PRIu32, j.pub.hash,
	    j.pub.id, j.pub.claims);
	idq_job_unlock(&j);
	if ((*jp = publish(&j)) == NULL)
		return idq_errno(q, "%s", q->path);
	return 1;
}

static int
lost(struct idq *q, const struct idq_job *p)
{
	return idq_error(q, EX_UNAVAILABLE, "claim lost: the job is %s",
	    p != NULL ? idq_state_name(p->state) : "gone");
}

/*
 * It is not in cur/ any more: 0 if N is the claim that finished it, so that an
 * ack whose reply was lost may be repeated.
 */
static int
ended(struct idq *q, const struct name *n, uint32_t claim, bool ack)
{
	struct job j;
	int r;

	if ((r = idq_key_open(q, n->hash, &j)) == -1)
		return -1;
	if (r == 0)
		return lost(q, NULL);
	if (!j.whole || strcmp(j.pub.id, n->id) != 0)
		r = lost(q, NULL);
	else if (ack && j.started && j.line.event == EV_DONE &&
	    j.line.n == claim)
		r = 0;
	else
		r = lost(q, &j.pub);
	idq_job_close(&j);
	return r;
}

/*
 * Somebody has the lock: for a short step, or it is a worker, whose own claims
 * have no lease, while the job runs.
 */
static int
lock_busy(struct idq *q, struct job *j, const char *hash)
{
	int r;

	if (idq_job_load(q, j, hash) == -1)
		return -1;
	if (j->whole && j->pub.state == IDQ_RUNNING && j->pub.lease == 0)
		return idq_error(q, EX_UNAVAILABLE,
		    "claim lost: the job runs under a worker");
	if ((r = idq_job_lock(q, j, LOCK_WAIT)) == 0)
		return idq_error(q, EX_TEMPFAIL, "the job is locked");
	return r;
}

/* Open and lock the job of the current claim TOKEN: 1, 0 see ended(), -1. */
static int
token_open(struct idq *q, const struct name *n, uint32_t claim, struct job *j)
{
	char path[PATH_SIZE];
	int r;

	idq_place_path(PL_CUR, n->hash, n->id, 0, path);
	if ((r = idq_job_open(q, path, j)) != 1)
		return r;
	if ((r = idq_job_lock(q, j, 0)) == 0)
		r = lock_busy(q, j, n->hash);
	if (r == 1 && (r = idq_job_still_is(q, j, path)) == 1 &&
	    idq_job_load(q, j, n->hash) == -1)
		r = -1;
	if (r == 1 && !j->whole)
		r = idq_error(q, EX_SOFTWARE, "%s/%s: is corrupt", q->path,
		    path);
	/* A line that ends the claim, but its rename was lost: forward. */
	if (r == 1 && j->started && j->line.to != PL_CUR)
		r = idq_settle(q, j, path) == -1 ? -1 : 0;
	else if (r == 1 && (!j->started || j->pub.claims != claim))
		r = lost(q, &j->pub);
	if (r != 1) {
		idq_job_unlock(j);
		idq_job_close(j);
	}
	return r;
}

enum verb { ACK, FAIL, RELEASE, RENEW };

static int
renew(struct idq *q, struct job *j, int64_t lease)
{
	struct line l;

	memset(&l, 0, sizeof(l));
	l.at = idq_now();
	l.event = EV_RENEWED;
	l.n = j->pub.claims;
	l.to = PL_CUR;
	l.lease = idq_after(idq_lease_now(q), lease != 0 ? lease :
	    q->cfg[CFG_LEASE]);
	if (idq_trail_append(q, j, &l) == -1)
		return -1;
	if (idq_sync_file(q, j->fd) == -1)
		return idq_errno(q, "%s/%s: sync", q->path, j->pub.path);
	idq_log_line(q, j);
	return 0;
}

static int
by_token(struct idq *q, const char *token, enum verb verb, int64_t value)
{
	struct name n;
	struct job j;
	uint32_t claim;
	int r;

	/* The log has tokens with 0, before the first claim. */
	if (idq_token_parse(token, &n, &claim) == -1 || claim == 0)
		return idq_error(q, EX_USAGE, "is no token (H.ID.N)");
	if ((r = token_open(q, &n, claim, &j)) != 1)
		return r == -1 ? -1 : ended(q, &n, claim, verb == ACK);
	switch (verb) {
	case ACK:
	case FAIL:
		r = idq_finish(q, &j, HOW_EXIT, (int)value, "", true);
		break;
	case RELEASE:
		r = idq_give_back(q, &j, value, true);
		break;
	case RENEW:
		r = renew(q, &j, value);
		break;
	default:
		r = -1;
	}
	idq_job_unlock(&j);
	idq_job_close(&j);
	return r;
}

int
idq_ack(struct idq *q, const char *token)
{
	return by_token(q, token, ACK, IDQ_EXIT_DONE);
}

int
idq_fail(struct idq *q, const char *token, int status)
{
	return by_token(q, token, FAIL, status);
}

int
idq_release(struct idq *q, const char *token, int64_t delay)
{
	return by_token(q, token, RELEASE, delay);
}

int
idq_renew(struct idq *q, const char *token, int64_t lease)
{
	return by_token(q, token, RENEW, lease);
}
