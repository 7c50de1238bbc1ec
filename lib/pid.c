/* SPDX-License-Identifier: ISC */
/*
 * Whose process runs a job.  A pid alone proves nothing; with the start time
 * of the process, the host and the boot it does.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define PID_LEN		240		/* of the file */
#define SPARES_MAX	16

static void
pid_path(const char *id, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "run/pid.%s", id);
}

/* Field 22 of /proc/PID/stat, in clock ticks since the boot; 0: no process. */
static uint64_t
start_time(pid_t pid)
{
	char path[32], buf[1024], *s;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return 0;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	buf[n] = '\0';
	/* The command's name, in parentheses, may hold anything. */
	if ((s = strrchr(buf, ')')) == NULL || s[1] == '\0' || s[2] == 'Z')
		return 0;
	for (int i = 2; i < 22 && s != NULL; i++)
		if ((s = strchr(s, ' ')) != NULL)
			s++;
	return s != NULL ? strtoull(s, NULL, 10) : 0;
}

/*
 * A worker uses the files of jobs that have ended again, since to make one and
 * to remove it for each job costs more than all else about a start.
 */
static void
spare_path(unsigned int i, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "run/spare.%d.%u", (int)getpid(), i);
}

/* Our own start does not change. */
static uint64_t
worker_start(struct idq *q, pid_t pid)
{
	if (pid != getpid())
		return start_time(pid);
	if (q->started == 0)
		q->started = start_time(pid);
	return q->started;
}

/* Always of one length, so that one may be written over another. */
static void
format(struct idq *q, const struct pids *p, char text[PID_LEN + 1])
{
	int n = snprintf(text, PID_LEN, "%d %" PRIu64 " %d %" PRIu64
	    " %d %s %s", (int)p->worker, worker_start(q, p->worker),
	    (int)p->command, start_time(p->command), p->leader, q->host,
	    idq_boot(q));

	for (; n < PID_LEN - 1; n++)
		text[n] = ' ';
	text[PID_LEN - 1] = '\n';
	text[PID_LEN] = '\0';
}

/* Written first, so that nobody finds it with what was in it. */
static bool
use_spare(struct idq *q, const char *path, const char *text)
{
	char spare[PATH_SIZE];
	int fd, r;

	if (q->spares == 0)
		return false;
	spare_path(--q->spares, spare);
	fd = idq_at_open(q, spare, O_WRONLY | O_NONBLOCK);
	if (fd == -1)
		return false;
	r = idq_write_all(fd, text, PID_LEN);
	close(fd);
	if (r == 0 && idq_at_rename(q, spare, path) == 0)
		return true;
	idq_at_unlink(q, spare, 0);
	return false;
}

void
idq_pid_write(struct idq *q, const char *id, const struct pids *p)
{
	char path[PATH_SIZE], text[PID_LEN + 1];
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC |
	    O_NOFOLLOW | O_NONBLOCK;
	int fd;

	format(q, p, text);
	pid_path(id, path);
	if (use_spare(q, path, text))
		return;
	/* Ours alone to write, see is_from(). */
	idq_at_unlink(q, path, 0);
	fd = idq_at_open(q, path, flags);
	if (fd == -1 && errno == ENOENT && idq_mkdir_for(q, path) == 0)
		fd = idq_at_open(q, path, flags);
	if (fd == -1)
		return;
	if (fchmod(fd, q->fmode & ~(mode_t)S_IWGRP) == -1 ||
	    idq_write_all(fd, text, PID_LEN) == -1)
		idq_at_unlink(q, path, 0);
	close(fd);
}

void
idq_pid_drop(struct idq *q, const char *id)
{
	char path[PATH_SIZE];

	pid_path(id, path);
	idq_at_unlink(q, path, 0);
}

void
idq_pid_remove(struct idq *q, const char *id)
{
	char path[PATH_SIZE], spare[PATH_SIZE];

	pid_path(id, path);
	spare_path(q->spares, spare);
	if (q->spares < q->spares_max &&
	    idq_at_rename(q, path, spare) == 0)
		q->spares++;
	else
		idq_at_unlink(q, path, 0);
}

/* In a shared queue others could put files of theirs in place of them. */
void
idq_pid_keep(struct idq *q)
{
	q->spares_max = q->careful ? 0 : SPARES_MAX;
}

void
idq_pid_clear(struct idq *q)
{
	char spare[PATH_SIZE];

	while (q->spares > 0) {
		spare_path(--q->spares, spare);
		idq_at_unlink(q, spare, 0);
	}
}

/*
 * Whether the file at PATH is from the user whose process PID is, and from
 * nobody else.  In a shared queue somebody could have the processes of others
 * ended.
 */
static bool
is_from(struct idq *q, const char *path, pid_t pid)
{
	struct stat st, process;
	char proc[32];

	snprintf(proc, sizeof(proc), "/proc/%d", (int)pid);
	return idq_at_stat(q, path, &st) == 0 && stat(proc, &process) == 0 &&
	    st.st_uid == process.st_uid && !(st.st_mode & S_IWGRP);
}

/* What one of these files says. */
struct noted {
	int		worker;
	uint64_t	wstart;
	int		command;
	uint64_t	cstart;
	int		leader;
	char		host[65];
	char		boot[64];
};

static int
read_noted(struct idq *q, const char *path, struct noted *n)
{
	char buf[256];

	if (idq_read_small(q, path, buf, sizeof(buf)) == -1 ||
	    sscanf(buf, "%d %" SCNu64 " %d %" SCNu64 " %d %64s %63s",
	    &n->worker, &n->wstart, &n->command, &n->cstart, &n->leader,
	    n->host, n->boot) != 7 || n->worker <= 1 || n->command <= 1)
		return -1;
	return strcmp(n->host, q->host) == 0 ? 0 : -1;
}

int
idq_pid_read(struct idq *q, const char *id, struct pids *p)
{
	char path[PATH_SIZE];
	struct noted n;

	pid_path(id, path);
	if (read_noted(q, path, &n) == -1 || strcmp(n.boot, idq_boot(q)) != 0)
		return -1;
	p->leader = n.leader != 0;
	p->worker = n.wstart != 0 && start_time(n.worker) == n.wstart ?
	    n.worker : 0;
	p->command = n.cstart != 0 && start_time(n.command) == n.cstart ?
	    n.command : 0;
	if (q->careful && p->command != 0 && !is_from(q, path, p->command))
		return -1;
	return 0;
}

bool
idq_spare_is_left(struct idq *q, const char *path)
{
	struct noted n;

	return read_noted(q, path, &n) == 0 &&
	    (strcmp(n.boot, idq_boot(q)) != 0 ||
	    start_time(n.worker) != n.wstart);
}

void
idq_pid_signal(const struct pids *p, int sig)
{
	kill(p->leader ? -p->command : p->command, sig);
}

pid_t
idq_command_pid(struct idq *q, const struct idq_job *job)
{
	struct pids p;

	if (job->state != IDQ_RUNNING || idq_pid_read(q, job->id, &p) == -1)
		return 0;
	return p.command;
}
