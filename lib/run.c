/* SPDX-License-Identifier: ISC */
/*
 * idq run: a command in the foreground, once per key.
 */
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define LOOK	(IDQ_SECOND / 10)	/* for a lock, between two looks */

struct run {
	struct idq	*q;
	const struct idq_add *add;
	struct child	 child;
	int64_t		 until;		/* ticks: wait for a lock; 0: not yet */
	int		 status;
	char		*note;
};

/* Nothing to do: exit with STATUS. */
static int
say(struct run *r, int status, const char *why)
{
	r->status = status;
	if (why != NULL && asprintf(&r->note, "%.*s: %s", (int)r->add->keylen,
	    r->add->key, why) == -1)
		r->note = NULL;
	return 0;
}

/*
 * J, unlocked, may be run: take its lock, as held().  Who has it may be another
 * run, which then has claimed the job, or somebody who only looks at it.
 */
static int
take(struct run *r, struct job *j)
{
	struct idq *q = r->q;
	char hash[HASH_SIZE];
	enum place at;
	int ok;

	strlcpy(hash, j->pub.hash, sizeof(hash));
	if ((ok = idq_job_lock(q, j, LOOK)) == -1)
		return -1;
	if (ok == 0 && r->until == 0)
		r->until = idq_ticks() + LOCK_WAIT;
	if (ok == 0 && idq_ticks() >= r->until)
		return say(r, EX_TEMPFAIL, "is locked by another idq");
	if (ok == 0)
		return 2;
	if (idq_job_load(q, j, hash) == -1)
		return -1;
	if (!j->whole || j->pub.state != IDQ_FAILED || !j->pub.run ||
	    idq_job_owns_key(q, j) != 1 || (at = idq_where(q, j)) >= PL_TMP)
		return 2;
	/* Who had it was killed before its first line, or before a rename. */
	if (!j->started || at != PL_FAILED)
		return idq_settle(q, j, j->pub.path) == -1 ? -1 : 2;
	return j->line.next == 0 || j->line.next > idq_now() ? 2 : 1;
}

/*
 * J has failed, and may be tried again after its delay; or another run is about
 * to claim it for the first time.  As held().
 */
static int
try_again(struct run *r, struct job *j)
{
	if (!j->pub.run)
		return say(r, EX_TEMPFAIL, "failed as a job of idq add");
	if (j->started && j->line.next == 0)
		return say(r, EX_TEMPFAIL, "failed for good; idq retry makes "
		    "it try again");
	if (j->line.next > idq_now())
		return say(r, EX_TEMPFAIL, NULL);
	return take(r, j);
}

/* The key is held: 0 answered, 1 *j is to be run, 2 look again, -1. */
static int
held(struct run *r, struct job *j)
{
	struct idq *q = r->q;
	char hash[HASH_SIZE];
	int ok;

	idq_key_hash(r->add->key, r->add->keylen, hash);
	if ((ok = idq_key_open(q, hash, j)) != 1)
		return ok == 0 ? 2 : -1;
	if (!j->whole)
		return idq_not_whole(q, j);
	switch (j->pub.state) {
	case IDQ_RUNNING:
	case IDQ_DONE:
	case IDQ_CANCELLED:
		return say(r, 0, NULL);
	case IDQ_FAILED:
		return try_again(r, j);
	case IDQ_HELD:
		return say(r, EX_TEMPFAIL, "is held; idq retry makes it try "
		    "again");
	default:
		return say(r, EX_TEMPFAIL, "is a job of idq add");
	}
}

/* J is locked and to be run: 1 claimed, 0 answered, -1. */
static int
claim_locked(struct run *r, struct job *j)
{
	struct idq *q = r->q;

	/* Somebody may have paused the queue meanwhile. */
	if (idq_is_paused(q)) {
		/* This takes back what was added. */
		if (!j->started && idq_complete(q, j) == -1)
			return -1;
		return say(r, EX_TEMPFAIL, NULL);
	}
	if (!j->started)
		idq_log_write(q, &j->pub, j->pub.added, "added", 0, "");
	return idq_claimed(q, j, j->pub.path, 0) == 1 ? 1 : -1;
}

/* 1 and the job claimed, 0 answered, -1. */
static int
claim(struct run *r)
{
	struct job *j = &r->child.job;
	struct idq *q = r->q;
	uint64_t dups;
	int ok;

	if (idq_is_paused(r->q))
		return say(r, EX_TEMPFAIL, NULL);
	for (;;) {
		if ((ok = idq_add_run(q, r->add, j)) == 2)
			return say(r, EX_TEMPFAIL, "another add of it is "
			    "under way");
		if (ok == 0 && (ok = held(r, j)) == 0)
			idq_dups_add(q, j->pub.hash, j->pub.id, idq_now(),
			    &dups);
		if (ok == 1)
			ok = claim_locked(r, j);
		if (ok == 1)
			return 1;
		idq_job_close(j);
		if (ok != 2)
			return ok;
	}
}

static int
open_signals(struct idq *q, sigset_t *old)
{
	sigset_t mask;
	int fd;

	idq_signals(&mask, true);
	sigprocmask(SIG_BLOCK, &mask, old);
	if ((fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK)) == -1)
		return idq_errno(q, "signalfd");
	return fd;
}

/* An inotify, or -1. */
static int
watch_asked(struct idq *q)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), wd = -1;
	char *path;

	if (fd != -1 && asprintf(&path, "%s/asked", q->path) != -1) {
		wd = inotify_add_watch(fd, path, IN_MOVED_TO);
		free(path);
	}
	if (fd != -1 && wd == -1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* Pass on what only we were sent; the terminal sends to both of us. */
static void
pass_on(struct run *r, int sigfd)
{
	struct signalfd_siginfo si;

	while (read(sigfd, &si, sizeof(si)) == sizeof(si))
		if (si.ssi_signo != SIGCHLD && si.ssi_code <= 0)
			idq_pid_signal(&r->child.pids, (int)si.ssi_signo);
}

static void
look_asked(struct run *r, int ino)
{
	char buf[4096];
	bool any = false;

	/* Without inotify at every turn, which then comes each second. */
	while (ino != -1 && read(ino, buf, sizeof(buf)) > 0)
		any = true;
	if ((any || ino == -1) && idq_asked(r->q, r->child.job.pub.id) == 2)
		idq_child_end(r->q, &r->child, WHY_ASKED);
}

static int
wait_child(struct run *r, int sigfd)
{
	int ino = watch_asked(r->q), status = 0;
	struct pollfd fds[2] = { { .fd = sigfd, .events = POLLIN },
	    { .fd = ino, .events = POLLIN } };
	int64_t wait;

	/* A wish that came before the watch. */
	look_asked(r, -1);
	while (!idq_child_wait(&r->child, &status)) {
		wait = idq_child_tick(r->q, &r->child);
		if (ino == -1 && (wait == -1 || wait > IDQ_SECOND))
			wait = IDQ_SECOND;
		poll(fds, 2, idq_poll_ms(wait));
		pass_on(r, sigfd);
		look_asked(r, ino);
	}
	if (ino != -1)
		close(ino);
	return status;
}

/* Letting go without the line would run it again: try until it is written. */
static int
write_end(struct run *r, int status)
{
	struct idq *q = r->q;
	bool told = false;
	int ok;

	while ((ok = idq_child_ended(q, &r->child, status)) == -1) {
		if (q->sync_failed)
			return -1;
		if (!told)
			idq_notice(q, "%s: the end of a job cannot be "
			    "written, trying again: %s", q->path, q->msg);
		told = true;
		sleep(1);
	}
	if (ok == 0)
		return 0;
	return idq_child_settle(q, &r->child,
	    idq_sync_file(q, r->child.job.fd) == 0 ? 0 : errno);
}

static int
run_claimed(struct run *r, char *const *argv, mode_t mask,
    const sigset_t *old, int sigfd)
{
	const struct start how = { .argv = argv, .foreground = true,
	    .mask = *old, .umask = mask };
	struct idq *q = r->q;
	int status;

	/* It has no deadline. */
	if (idq_child_start(q, &r->child, &how) == -1) {
		int code = q->code;

		if (code != 126 && code != 127) {
			idq_give_back(q, &r->child.job, 0, false);
			return -1;
		}
		r->status = code;
		r->note = strdup(q->msg);
		return idq_give_back(q, &r->child.job, 0, false);
	}
	status = wait_child(r, sigfd);
	r->status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) :
	    WEXITSTATUS(status);
	return write_end(r, status);
}

int
idq_run(struct idq *q, const struct idq_add *add, char *const *argv,
    mode_t mask, int *status, char **note)
{
	struct run r = { .q = q, .add = add, .child.job.fd = -1 };
	sigset_t old;
	int ok, sigfd;

	*note = NULL;
	if (idq_prepare(q) == -1)
		return -1;
	if ((sigfd = open_signals(q, &old)) == -1)
		ok = -1;
	else if ((ok = claim(&r)) == 1) {
		ok = run_claimed(&r, argv, mask, &old, sigfd);
		idq_job_unlock(&r.child.job);
		idq_job_close(&r.child.job);
	}
	if (sigfd != -1)
		close(sigfd);
	sigprocmask(SIG_SETMASK, &old, NULL);
	*status = r.status;
	*note = r.note;
	return ok;
}
