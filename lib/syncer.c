/* SPDX-License-Identifier: ISC */
/*
 * Threads that sync the files of a worker, so that those of jobs which end
 * about the same time share one flush of the disk, and commands are started
 * meanwhile.  They get a descriptor through a pipe and answer through another;
 * nothing else is shared.
 */
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define STACK_SIZE	(256 * 1024)

struct message {
	unsigned int	of;		/* whose file it is */
	int		fd;		/* or, in an answer, errno or 0 */
};

static void *
thread(void *arg)
{
	const struct syncer *s = arg;
	struct message m;
	ssize_t n;

	while ((n = read(s->ask[0], &m, sizeof(m))) != 0) {
		if (n != (ssize_t)sizeof(m))
			continue;
		m.fd = fsync(m.fd) == 0 ? 0 : errno;
		/* What is lost here would be waited for for ever. */
		while (write(s->told[1], &m, sizeof(m)) != (ssize_t)sizeof(m))
			sched_yield();
	}
	return NULL;
}

static void
close_both(int fds[2])
{
	for (int i = 0; i < 2; i++)
		if (fds[i] != -1)
			close(fds[i]);
	fds[0] = fds[1] = -1;
}

void
idq_syncer_init(struct syncer *s)
{
	memset(s, 0, sizeof(*s));
	s->ask[0] = s->ask[1] = s->told[0] = s->told[1] = -1;
}

/* As many as there can be: every signal is for the one thread of the worker. */
static void
start_threads(struct syncer *s, unsigned int n)
{
	pthread_attr_t attr;
	sigset_t all, old;

	if (pthread_attr_init(&attr) != 0)
		return;
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (s->n < n && s->n < SYNCERS_MAX &&
	    pthread_create(&s->threads[s->n], &attr, thread, s) == 0)
		s->n++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
}

int
idq_syncer_start(struct syncer *s, unsigned int n)
{
	if (pipe2(s->ask, O_CLOEXEC) == 0 && pipe2(s->told, O_CLOEXEC) == 0 &&
	    fcntl(s->told[0], F_SETFL, O_NONBLOCK) == 0)
		start_threads(s, n);
	if (s->n > 0)
		return 0;
	idq_syncer_stop(s);
	return -1;
}

void
idq_syncer_stop(struct syncer *s)
{
	if (s->ask[1] != -1)
		close(s->ask[1]);
	s->ask[1] = -1;
	for (; s->n > 0; s->n--)
		pthread_join(s->threads[s->n - 1], NULL);
	close_both(s->ask);
	close_both(s->told);
}

int
idq_syncer_ask(const struct syncer *s, unsigned int of, int fd)
{
	struct message m = { of, fd };

	return write(s->ask[1], &m, sizeof(m)) == (ssize_t)sizeof(m) ? 0 : -1;
}

bool
idq_syncer_told(const struct syncer *s, unsigned int *of, int *err)
{
	struct message m;

	if (s->n == 0 ||
	    read(s->told[0], &m, sizeof(m)) != (ssize_t)sizeof(m))
		return false;
	*of = m.of;
	*err = m.fd;
	return true;
}
