/* SPDX-License-Identifier: ISC */
/*
 * The command of a job: how it starts, is told to end, and what its end means.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "idq_impl.h"

int64_t
idq_ticks(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * IDQ_SECOND + ts.tv_nsec / 1000;
}

/*
 * Standard input: a file that ends where the payload does, and that stays
 * whole if the worker is killed, as a pipe that it feeds would not.
 */

static int
copy_payload(struct idq *q, const struct idq_job *p, int from, int to)
{
	char buf[MEMORY_MAX];
	int64_t left = p->length;

	while (left > 0) {
		ssize_t n = read(from, buf, left < MEMORY_MAX ? (size_t)left :
		    sizeof(buf));

		if (n <= 0 || idq_write_all(to, buf, (size_t)n) == -1)
			return idq_errno(q, "payload");
		left -= n;
	}
	return lseek(to, 0, SEEK_SET) == -1 ? idq_errno(q, "payload") : 0;
}

int
idq_nameless(struct idq *q, int64_t length)
{
	char id[ID_SIZE], path[PATH_SIZE];
	int fd;

	if (length <= MEMORY_MAX)
		return memfd_create("payload", MFD_CLOEXEC);
	if (idq_new_id(id) == -1)
		return -1;
	idq_tmp_path(id, "", path);
	fd = idq_at_open(q, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC |
	    O_NOFOLLOW);
	if (fd != -1)
		idq_at_unlink(q, path, 0);
	return fd;
}

static int
open_input(struct idq *q, const struct idq_job *p)
{
	int from, to;

	if (p->length == 0) {
		if ((to = open("/dev/null", O_RDONLY | O_CLOEXEC)) == -1)
			return idq_errno(q, "/dev/null");
		return to;
	}
	if ((from = idq_payload(q, p)) == -1)
		return -1;
	if ((to = idq_nameless(q, p->length)) == -1)
		idq_errno(q, "payload");
	else if (copy_payload(q, p, from, to) == -1) {
		close(to);
		to = -1;
	}
	close(from);
	return to;
}

static char **
argv_new(const struct start *s, const struct idq_job *p)
{
	size_t n = 0, more = p != NULL ? p->nargs : 0;
	char **argv;

	while (s->argv != NULL && s->argv[n] != NULL)
		n++;
	if ((argv = calloc(n + more + 1, sizeof(*argv))) == NULL)
		return NULL;
	if (n > 0)
		memcpy(argv, s->argv, n * sizeof(*argv));
	if ((s->argv == NULL || s->with_job) && more > 0)
		memcpy(argv + n, p->args, more * sizeof(*argv));
	return argv;
}

/* One that nothing else which is passed on has. */
static int
lock_fd(void)
{
	struct rlimit lim;
	int fd = LOCK_FD, flags;

	if (getrlimit(RLIMIT_NOFILE, &lim) == -1)
		return fd;
	if (lim.rlim_cur <= LOCK_FD)
		return (int)lim.rlim_cur - 1;
	while ((rlim_t)fd < lim.rlim_cur - 1 &&
	    (flags = fcntl(fd, F_GETFD)) != -1 && !(flags & FD_CLOEXEC))
		fd++;
	return fd;
}

/*
 * In the child: FDS in place of the first three, or -1, the lock's descriptor,
 * signals, process group.
 */
static int
spawn(const struct child *c, const struct start *s, const int fds[3],
    char **argv, char **env, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t def;
	mode_t mask;
	int err;
	short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;

	sigemptyset(&def);
	sigaddset(&def, SIGPIPE);
	sigaddset(&def, SIGXFSZ);
	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	for (int fd = 0; fd < 3; fd++)
		if (fds[fd] != -1)
			posix_spawn_file_actions_adddup2(&fa, fds[fd], fd);
	if (s->nlocks == 0)
		posix_spawn_file_actions_adddup2(&fa, c->job.fd, lock_fd());
	/* Onto itself: it is passed on. */
	for (size_t i = 0; i < s->nlocks; i++)
		posix_spawn_file_actions_adddup2(&fa, s->locks[i]->job.fd,
		    s->locks[i]->job.fd);
	posix_spawnattr_setsigmask(&at, &s->mask);
	posix_spawnattr_setsigdefault(&at, &def);
	if (!s->foreground) {
		flags |= POSIX_SPAWN_SETPGROUP;
		posix_spawnattr_setpgroup(&at, 0);
	}
	posix_spawnattr_setflags(&at, flags);
	mask = umask(s->umask);
	err = posix_spawnp(pid, argv[0], &fa, &at, argv, env);
	umask(mask);
	posix_spawn_file_actions_destroy(&fa);
	posix_spawnattr_destroy(&at);
	return err;
}

static int
spawn_code(int err)
{
	switch (err) {
	case ENOENT:
		return 127;
	case E2BIG:			/* the job's arguments */
		return EX_DATAERR;
	case EAGAIN:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return EX_TEMPFAIL;
	default:
		return 126;
	}
}

int
idq_child_expire(struct idq *q, struct job *j)
{
	j->pub.attempts--;
	return idq_expire(q, j, j->pub.path) == -1 ? -1 : 0;
}

/* For the job P, or many of them with NULL. */
static int
begin(struct idq *q, struct child *c, const struct start *s,
    const struct idq_job *p, const int fds[3])
{
	char **argv = argv_new(s, p), **env = idq_env_new(q, p);
	int err, r = 0;

	if (argv == NULL || env == NULL)
		r = idq_errno(q, "%s", q->path);
	else if (argv[0] == NULL)
		r = idq_error(q, 127, "no command");
	else if ((err = spawn(c, s, fds, argv, env, &c->pids.command)) != 0)
		r = idq_error(q, spawn_code(err), "%s: %s", argv[0],
		    strerror(err));
	free(argv);
	idq_env_free(env, p);
	if (r == -1)
		return -1;
	c->pids.worker = getpid();
	c->pids.leader = !s->foreground;
	c->why = WHY_NONE;
	c->signals = 0;
	c->next = q->cfg[CFG_TIMEOUT] != 0 ?
	    idq_after(idq_ticks(), q->cfg[CFG_TIMEOUT]) : 0;
	return 0;
}

/* Its own standard input, and output if that is kept: 1, 0 too late, -1. */
static int
begin_own(struct idq *q, struct child *c, const struct start *s)
{
	int fds[3] = { -1, -1, -1 }, r;

	if (!s->foreground) {
		if ((fds[0] = open_input(q, &c->job.pub)) == -1)
			return -1;
		/* A long payload takes its time. */
		if (idq_is_expired(&c->job, idq_now())) {
			close(fds[0]);
			return 0;
		}
		if (q->cfg[CFG_OUTPUT] == OUTPUT_KEEP)
			idq_out_start(q, c, fds + 1);
	}
	r = begin(q, c, s, &c->job.pub, fds);
	for (int fd = 0; fd < 3; fd++)
		if (fds[fd] != -1)
			close(fds[fd]);
	if (r == -1 && c->keeper.fd != -1)
		idq_out_undo(q, c);
	return r == 0 ? 1 : -1;
}

int
idq_child_start_many(struct idq *q, struct child *c, const struct start *s,
    const int fds[3])
{
	return begin(q, c, s, NULL, fds);
}

int
idq_child_start(struct idq *q, struct child *c, const struct start *s)
{
	const struct idq_job *p = &c->job.pub;
	int r;

	c->keeper.fd = -1;
	c->said[0] = '\0';
	q->sync_failed = false;
	r = begin_own(q, c, s);
	if (r == 0)
		return idq_child_expire(q, &c->job);
	if (r == -1)
		return -1;
	strlcpy(c->hash, p->hash, sizeof(c->hash));
	strlcpy(c->id, p->id, sizeof(c->id));
	c->claims = p->claims;
	idq_pid_write(q, p->id, &c->pids);
	return 1;
}

/*
 * The signals that a worker waits for, or with RUN the command in the
 * foreground.  What we were told to ignore, as by nohup(1), stays ignored.
 */
void
idq_signals(sigset_t *mask, bool run)
{
	static const int sigs[] = { SIGTERM, SIGHUP, SIGINT, SIGQUIT };
	struct sigaction sa;

	/* Ignored, it would leave us no status to wait for. */
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(mask);
	sigaddset(mask, SIGCHLD);
	for (size_t i = 0; i < NITEMS(sigs); i++)
		if ((run || sigs[i] != SIGQUIT) &&
		    sigaction(sigs[i], NULL, &sa) == 0 &&
		    sa.sa_handler != SIG_IGN)
			sigaddset(mask, sigs[i]);
}

bool
idq_child_wait(const struct child *c, int *status)
{
	pid_t pid = waitpid(c->pids.command, status, WNOHANG);

	/* Somebody else has its status: how it ended is unknown. */
	if (pid == -1 && errno != EINTR)
		*status = SIGKILL;
	return pid > 0 || (pid == -1 && errno != EINTR);
}

void
idq_child_end(struct idq *q, struct child *c, enum why why)
{
	if (c->signals > 0)
		return;
	c->why = why;
	c->signals = 1;
	c->next = idq_after(idq_ticks(), q->cfg[CFG_GRACE]);
	idq_pid_signal(&c->pids, SIGTERM);
}

int64_t
idq_child_tick(struct idq *q, struct child *c)
{
	int64_t now = idq_ticks();

	if (c->next == 0)
		return -1;
	if (now < c->next)
		return c->next - now;
	if (c->signals == 0) {
		idq_child_end(q, c, WHY_TIMEOUT);
		return q->cfg[CFG_GRACE];
	}
	c->signals++;
	c->next = 0;
	idq_pid_signal(&c->pids, SIGKILL);
	return -1;
}

/* As idq_finish_begin(). */
static int
write_end(struct idq *q, struct child *c, int status)
{
	bool done = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	enum how how = HOW_EXIT;
	int value = 0;

	if (c->why == WHY_SILENT)
		how = HOW_NOANSWER;
	else if (!done && c->why == WHY_TIMEOUT)
		how = HOW_TIMEOUT;
	else if (!done && c->why == WHY_STOP)
		how = HOW_UNKNOWN;
	else if (WIFSIGNALED(status)) {
		how = HOW_SIGNAL;
		value = WTERMSIG(status);
	} else
		value = WEXITSTATUS(status);
	return idq_finish_begin(q, &c->job, how, value, c->said);
}

static void
leave(struct idq *q, struct child *c)
{
	if (c->pids.command != 0)
		idq_pid_remove(q, c->id);
	/* Explicitly: a daemon that the command left behind has a copy. */
	idq_job_unlock(&c->job);
}

/*
 * As the server has it.  Without its lock our own descriptor has what it had
 * before, or an error, and so has each other one that is cached, since a client
 * takes what changes for its own while it has the file open to write.
 */
static int
open_uncached(struct idq *q, const char *hash, struct job *j)
{
	char path[PATH_SIZE];
	int r;

	idq_key_path(hash, path);
	if ((r = idq_job_open(q, path, j)) != 1)
		return r;
	posix_fadvise(j->fd, 0, 0, POSIX_FADV_DONTNEED);
	if (idq_job_load(q, j, hash) == 0)
		return 1;
	idq_job_close(j);
	return -1;
}

bool
idq_child_is_lost(struct idq *q, const struct child *c)
{
	struct job j;
	bool lost;
	int r;

	if ((r = open_uncached(q, c->hash, &j)) != 1)
		return r == 0;
	lost = j.whole && (strcmp(j.pub.id, c->id) != 0 || !j.started ||
	    j.line.event != EV_CLAIMED || j.pub.claims != c->claims);
	idq_job_close(&j);
	return lost;
}

int
idq_child_ended(struct idq *q, struct child *c, int status)
{
	struct job *j = &c->job;
	bool lost = q->remote && idq_child_is_lost(q, c);
	int r;

	if (c->keeper.fd != -1)
		idq_out_end(q, c);
	q->sync_failed = false;
	if (!lost && idq_job_load(q, j, c->hash) == -1)
		return -1;
	/* An NFS server may have given our lock to somebody else. */
	if (lost || !j->whole || !j->started ||
	    j->line.event != EV_CLAIMED || j->pub.claims != c->claims) {
		if (j->whole)
			idq_log_write(q, &j->pub, idq_now(), "lost",
			    c->claims, "");
		idq_notice(q, "%s: the claim was lost", j->whole ?
		    j->pub.key : c->hash);
		idq_job_unlock(j);
		return 2;
	}
	if ((r = write_end(q, c, status)) != 0)
		return r;
	return idq_child_settle(q, c, 0);
}

int
idq_child_settle(struct idq *q, struct child *c, int err)
{
	struct job *j = &c->job;
	char cur[PATH_SIZE];

	q->sync_failed = err != 0;
	errno = err;
	if (err != 0)
		return idq_errno(q, "%s/%s: sync", q->path, j->pub.path);
	idq_place_path(PL_CUR, j->pub.hash, j->pub.id, 0, cur);
	if (idq_finish_end(q, j, cur) == -1)
		return -1;
	leave(q, c);
	return 0;
}
