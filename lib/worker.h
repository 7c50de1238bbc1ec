/* SPDX-License-Identifier: ISC */
/*
 * What a worker has, for work.c, starts.c and ends.c.  They are called by one
 * thread.
 */
#ifndef WORKER_H
#define WORKER_H

#include <poll.h>

#include "idq_impl.h"

struct slot {
	struct child	 child;
	struct served	*from;
	struct batch	 batch;		/* if it runs for many */
	enum {
		FREE,
		MEMBER,			/* its job is one of such a batch */
		RUNS,
		ENDED,			/* but that could not be written yet */
		WRITTEN,		/* and is to be synced by us */
		ASKED			/* or is by the syncer */
	} state;
};

struct worker {
	struct served	*queues;	/* the first comes first */
	size_t		 nqueues;
	const struct idq_work *opt;
	struct slot	*slots;		/* more than run: some are unsynced */
	unsigned int	 nslots;
	struct pollfd	*fds;		/* signals, syncer, then the queues */
	struct syncer	 syncer;
	unsigned int	 running;	/* or ended, and that is not written */
	unsigned int	 unsynced;
	unsigned int	 batch;		/* jobs for a command; 0: one alone */
	sigset_t	 old_mask;
	int		 sigfd;
	bool		 stopping;
	bool		 signalled;	/* which is one reason to */
	bool		 ended;		/* a command has, as SIGCHLD said */
	bool		 started_one;
	bool		 stuck;		/* the end of a job cannot be written */
	bool		 told;		/* and somebody knows */
	int64_t		 stop_at;	/* when to end the commands; 0: not */
	int		 code;		/* that it ends with */
	char		*msg;
};

/* work.c */
int	 idq_worker_fail(struct worker *, struct idq *);	/* -1 */
void	 idq_worker_report(struct worker *, struct idq *, const struct job *);
void	 idq_worker_signals(struct worker *);	/* what has come */
bool	 idq_worker_follows(const struct worker *);
/* Whether the queue's error passes, and the worker waits for that. */
bool	 idq_worker_outlives(const struct worker *, struct served *);

/* starts.c */
struct slot *idq_worker_slot(struct worker *);	/* a free one, or NULL */
void	 idq_worker_fill(struct worker *);	/* start what may start */

/* ends.c */
void	 idq_worker_collect(struct worker *);	/* what has ended */
void	 idq_worker_sync(struct worker *);	/* what no thread does */
void	 idq_worker_stop(struct worker *);	/* end every command */
void	 idq_worker_asked(struct worker *, const struct served *);
void	 idq_worker_lost(struct worker *, const struct served *);

#endif
