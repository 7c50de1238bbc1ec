/* SPDX-License-Identifier: ISC */
/*
 * libidq: an idempotent work queue in a directory.
 *
 * What is on disk and how a job moves is specified in idq(5); this header is
 * the contract of the calls.
 *
 * Times are microseconds since the epoch, UTC; durations are microseconds.
 * Calls return 0, or -1 on failure; a call that answers a question returns
 * 1 for yes, 0 for no and -1 on failure.  After a failure idq_errcode() is the
 * sysexits(3) code and idq_errmsg() the words.  Each call is atomic: after a
 * failure, or a crash at any point, the spool holds either all of it or none.
 *
 * The library never prints, never exits and keeps no globals.  A handle is
 * for one thread.  Files are created with the modes of the queue's directory;
 * the caller sets umask(0) first, so that nothing is taken from them.
 */
#ifndef IDQ_H
#define IDQ_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#define IDQ_VERSION	"0.1"

#define IDQ_KEY_MAX	512		/* bytes in a key or a group */
#define IDQ_HASH_LEN	64		/* hex digits of a key's SHA-256 */
#define IDQ_ID_LEN	16		/* hex digits of a job's id */
#define IDQ_STAMP_LEN	27		/* 2026-11-23T20:35:00.123456Z */
#define IDQ_TOKEN_LEN	(IDQ_HASH_LEN + 1 + IDQ_ID_LEN + 1 + 10)
#define IDQ_PREFIX_MIN	8		/* digits of the shortest hash prefix */
#define IDQ_PAYLOAD_MAX	((int64_t)1 << 40)

#define IDQ_SECOND	INT64_C(1000000)
#define IDQ_MINUTE	(60 * IDQ_SECOND)
#define IDQ_HOUR	(60 * IDQ_MINUTE)
#define IDQ_DAY		(24 * IDQ_HOUR)
#define IDQ_FOREVER	INT64_MAX	/* a duration without end */

struct idq;

/* What a command's exit status means to a worker, after qmail-command(8). */
enum {
	IDQ_EXIT_DONE = 0,
	IDQ_EXIT_LATER = 75,		/* try later, no attempt used */
	IDQ_EXIT_HARD = 100,		/* failed for good */
	IDQ_EXIT_SOFT = 111		/* as 75 */
};

enum idq_state {
	IDQ_WAITING,			/* its due time is still to come */
	IDQ_PENDING,			/* due */
	IDQ_RUNNING,			/* claimed */
	IDQ_HELD,			/* set aside until a person acts */
	IDQ_DONE,
	IDQ_FAILED,
	IDQ_CANCELLED,
	IDQ_EXPIRED,			/* did not start by its deadline */
	IDQ_NSTATES
};

enum idq_on_crash {
	IDQ_CRASH_UNSET,		/* as the queue's config says */
	IDQ_CRASH_RETRY,
	IDQ_CRASH_HOLD
};

/* A job as its file says it is; free with idq_job_free(). */
struct idq_job {
	char		  hash[IDQ_HASH_LEN + 1];
	char		  id[IDQ_ID_LEN + 1];
	char		 *key;
	char		 *group;	/* NULL: none */
	char		**args;		/* NULL-terminated */
	size_t		  nargs;
	char		 *by;		/* uid=1000 host=web1 pid=4211 */
	int64_t		  added;
	int64_t		  due;		/* of the next start, if any */
	int64_t		  expires;	/* must start before; 0: whenever */
	int64_t		  keep;		/* its own; 0: the queue's */
	uint32_t	  attempts_max;	/* its own; 0: the queue's */
	enum idq_on_crash on_crash;	/* its own, or unset */
	bool		  run;		/* belongs to `idq run' */
	int64_t		  length;	/* bytes of payload */
	int64_t		  body;		/* file offset of the payload */
	char		  fingerprint[IDQ_HASH_LEN + 1];

	enum idq_state	  state;
	int64_t		  since;	/* last change of state */
	uint32_t	  claims;	/* N of the last claim, 0: never */
	uint32_t	  attempts;	/* used since the last retry */
	int64_t		  lease;	/* end of it while leased; else 0 */
	int64_t		  release;	/* when the key is free; 0: open */
	char		 *last;		/* last line of its trail, or NULL */
	char		  path[192];	/* of its file, in the queue */
};

/*
 * Queues.
 */

enum {
	IDQ_READ = 0,			/* look only: root may, anywhere */
	IDQ_WRITE = 1,
	IDQ_CREATE = 2			/* make the queue if it is missing */
};

/*
 * The absolute path of the queue called NAME, to be freed: NAME itself if it
 * has a slash, else NAME in the spool ($IDQ_SPOOL, /var/spool/idq for root,
 * .local/state/idq in the home of the password database).  NULL and a reason
 * in *why if NAME is no queue name or IDQ_SPOOL is relative.
 */
char	*idq_queue_path(const char *name, const char **why);

/* The spool's path alone, to be freed; NULL as above. */
char	*idq_spool_path(const char **why);

/*
 * The names of the queues in the spool, sorted, with a NULL at the end; to be
 * freed with idq_names_free().  NULL and a reason in *why on failure; a spool
 * that is not there has none.
 */
char	**idq_spool_queues(const char **why);
void	 idq_names_free(char **);

/*
 * Open the queue at PATH.  *qp is set even when this fails, so that its error
 * can be read (NULL: no memory), and is freed with idq_close() in either case.
 * EX_NOINPUT (66): there is none.  EX_CONFIG (78): its format is newer, or its
 * config is bad.  EX_NOPERM (77): owned by or writable for others.
 */
int	 idq_open(struct idq **qp, const char *path, int flags);
void	 idq_close(struct idq *);

/* Make the queue at PATH, or complete a half-made one; then as idq_open(). */
int	 idq_init(struct idq **qp, const char *path);

/*
 * Lines for a person that are no failure of the call: a foreign file that was
 * left alone, a job that failed for good.
 */
void	 idq_set_notice(struct idq *, void (*)(void *, const char *), void *);
const char *idq_errmsg(const struct idq *);
int	 idq_errcode(const struct idq *);	/* sysexits; 0: no failure */
/*
 * The code of the first file or folder that could not be read and was passed
 * over, by idq_list() or idq_purge(), since the queue was opened; 0: there was
 * none.  Each was noticed.
 */
int	 idq_passed(const struct idq *);
const char *idq_queue_dir(const struct idq *);	/* absolute path */
bool	 idq_created(const struct idq *);	/* this open made it */
/*
 * Share it with this group: modes, group and config.  1, or 0 if it is so
 * already.
 */
int	 idq_share(struct idq *, gid_t group);
/* 1 if no job was ever added here, as far as the log reaches back. */
int	 idq_never_used(struct idq *);

/*
 * Config: a line `name value' each.  The list of names ends with NULL.
 */
const char *const *idq_config_names(void);
/* The value as text, the default if it was never set; NULL: no such name. */
const char *idq_config_get(const struct idq *, const char *name,
	    char *buf, size_t len);
/* Of a duration: 0 for none, IDQ_FOREVER; -1: not the name of one. */
int64_t	 idq_config_duration(const struct idq *, const char *name);
/* EX_USAGE (64): no such name or a bad value.  Durable on return. */
int	 idq_config_set(struct idq *, const char *name, const char *value);

/*
 * Keys.
 */

/* NULL if the LEN bytes are a valid key (or group), else what is wrong. */
const char *idq_key_check(const char *key, size_t len);
/*
 * Join N parts by `/', with `/' and `%' in a part percent-encoded, into BUF.
 * A single part is the key as it stands.  NULL, or what is wrong.
 */
const char *idq_key_join(char *const *parts, size_t n, char *buf, size_t len);
/*
 * Append `@' and the local hour, day, week, month or year of NOW.  NULL, or
 * what is wrong (EINVAL: the period's name).
 */
const char *idq_key_per(char *key, size_t size, const char *per, int64_t now);
void	 idq_key_hash(const char *key, size_t len, char hash[IDQ_HASH_LEN + 1]);
/* Whether S has the form of a token, H.ID.N. */
bool	 idq_is_token(const char *s);

/*
 * Times.
 */
int64_t	 idq_now(void);
/* 1h30m, 90s, 7d, 2w; a bare number, zero-less or not, is no duration. */
int	 idq_duration_parse(const char *s, int64_t *d);
char	*idq_duration_format(int64_t d, char *buf, size_t len);
/*
 * A rate N/D, such as 10/1m, at most 100000 in at most 180 days, as one number
 * that is never 0.  The interval is D / N: the least time between two starts,
 * so that they are spread evenly and no D has more than N.
 */
int	 idq_rate_parse(const char *s, int64_t *rate);
char	*idq_rate_format(int64_t rate, char *buf, size_t len);
int64_t	 idq_rate_interval(int64_t rate);
/*
 * ISO 8601 (local unless it has Z or an offset), @epoch, or HH:MM: the next
 * one after NOW, or, with TODAY, that of NOW's day even when past.  Never 0.
 */
int	 idq_time_parse(const char *s, int64_t now, bool today, int64_t *t);
char	*idq_stamp(int64_t t, char buf[IDQ_STAMP_LEN + 1]);
/* localtime_r(3), which reads the zone's file at the first call. */
struct tm *idq_localtime(time_t, struct tm *);
int	 idq_stamp_parse(const char *s, size_t len, int64_t *t);

const char *idq_state_name(enum idq_state);

/*
 * Adding.
 */

enum {
	IDQ_REUSE_FAILED = 1,		/* a failed job gives up its key */
	IDQ_REUSE_FINAL = 2		/* any finished one does */
};

struct idq_add {
	const char	 *key;
	size_t		  keylen;
	const char	 *group;	/* NULL: none */
	char *const	 *args;
	size_t		  nargs;
	const void	 *payload;
	size_t		  length;
	int		  fd;		/* payload to its end, or -1: above */
	int64_t		  due;		/* 0: now */
	int64_t		  not_after;	/* absolute; 0: none */
	int64_t		  ttl;		/* from due; IDQ_FOREVER: none; 0: as
					   config if there is no not_after */
	int64_t		  keep;		/* 0: as config */
	uint32_t	  attempts;	/* 0: as config */
	enum idq_on_crash on_crash;
	int		  reuse;
};

enum idq_outcome {
	IDQ_ADDED,
	IDQ_DUPLICATE,
	IDQ_MISMATCH,			/* same key, other args or payload */
	IDQ_ERROR
};

struct idq_added {
	enum idq_outcome outcome;
	char		hash[IDQ_HASH_LEN + 1];
	char		id[IDQ_ID_LEN + 1];	/* of the key's job */
	enum idq_state	state;			/* of that job */
	int64_t		age;			/* since it was added */
	int64_t		since;			/* last change of its state */
	int64_t		due;
	int64_t		release;
	uint64_t	dups;			/* suppressed so far */
	int64_t		unstarted;		/* of a new job that is due: the
						   first add since the last
						   start of any; else 0 */
	bool		paced;			/* behind others of its group */
	bool		args_differ;		/* in a mismatch */
	bool		payload_differs;
	int		code;			/* sysexits, of an error */
	char		message[1024];
};

/*
 * Add a job.  0 for added and duplicate: both are on disk.  -1 with outcome
 * IDQ_MISMATCH (EX_DATAERR, 65) or IDQ_ERROR: EX_USAGE (64) for what is not
 * allowed, EX_SOFTWARE (70) if the key's file is foreign or corrupt,
 * EX_TEMPFAIL (75) if the same call may be made again later.
 */
int	 idq_add(struct idq *, const struct idq_add *, struct idq_added *);

/*
 * Add N jobs as one durable group: with one wait for the disk instead of N.
 * results[i] is the outcome of adds[i].  0 if each was added or a duplicate,
 * else -1, and the highest code is idq_errcode().  At most idq_group_max()
 * at a time: each holds a descriptor.
 */
int	 idq_add_group(struct idq *, const struct idq_add *adds, size_t n,
	    struct idq_added *results);
size_t	 idq_group_max(void);

/*
 * Looking.
 */

/*
 * The job that REF names: a token, `:' and at least 8 digits of the hash, or
 * else a key.  1, 0 if unknown; EX_USAGE (64) if a prefix is ambiguous or REF
 * is no key.  With IDQ_REF_KEY it is a key whatever it looks like.
 */
enum { IDQ_REF_KEY = 1 };
int	 idq_find(struct idq *, const char *ref, int flags,
	    struct idq_job **jp);
void	 idq_job_free(struct idq_job *);

/* How often the job's key was suppressed, and when last (0: never). */
int	 idq_dups(struct idq *, const struct idq_job *, uint64_t *count,
	    int64_t *last);
/* When each of them was, oldest first. */
int	 idq_dups_each(struct idq *, const struct idq_job *,
	    void (*each)(void *, int64_t), void *);

/*
 * Call EACH for every job that has duplicates, once, in no order.  The job is
 * freed after the call.  EACH returns non-zero to stop.
 */
int	 idq_dups_jobs(struct idq *, int (*each)(void *, struct idq_job *),
	    void *);

/* A descriptor at the start of the payload; read job->length bytes. */
int	 idq_payload(struct idq *, const struct idq_job *);

/*
 * What the command of claim N printed, in the order in which it came, or with
 * N 0 that of the last claim of which something is kept: 1 and a descriptor at
 * its start in *fd; 0 if nothing is kept; -1.
 */
int	 idq_output(struct idq *, const struct idq_job *, uint32_t n, int *fd);

/* Each line of the job's trail, without newline, oldest first. */
int	 idq_trail(struct idq *, const struct idq_job *,
	    void (*line)(void *, const char *), void *);

/* The running command: its pid, or 0 if this host cannot tell. */
pid_t	 idq_command_pid(struct idq *, const struct idq_job *);

/*
 * Call EACH for every job in a state of the mask (1 << IDQ_PENDING | ...):
 * running ones, then pending and waiting by due time, held, failed, and the
 * finished by day.  A file that is no job is noticed.  The job is freed after
 * the call.  EACH returns non-zero to stop.
 */
int	 idq_list(struct idq *, unsigned int states,
	    int (*each)(void *, struct idq_job *), void *);

/*
 * What would happen if a worker started now.  Ages are from the due time: the
 * first column is below IDQ_PLAN_AGE, each further one below twice the one
 * before, and the last has the rest.
 */
#define IDQ_PLAN_AGES	10
#define IDQ_PLAN_AGE	(5 * IDQ_MINUTE)
struct idq_plan_group {
	char		*name;		/* "": jobs without a group */
	uint32_t	 jobs;		/* due */
	uint32_t	 expired;	/* of them, past their deadline */
	int64_t		 oldest;	/* due time */
	uint32_t	 ages[IDQ_PLAN_AGES];
};
enum idq_plan_basis {
	IDQ_PLAN_UNKNOWN,		/* none of the following */
	IDQ_PLAN_GIVEN,			/* rate, see below */
	IDQ_PLAN_CONFIG,		/* the queue's rate */
	IDQ_PLAN_MEASURED		/* the last finishes */
};
struct idq_plan {
	int64_t		 rate;		/* in: idq_rate_parse(); 0: none */
	int64_t		 now;		/* out, as all that follows */
	size_t		 ngroups;	/* rows, see idq_plan_row() */
	struct idq_plan_group others;	/* sum of those that did not fit */
	struct idq_plan_group total;
	uint64_t	 distinct;	/* groups */
	bool		 about;		/* distinct and paced are estimates */
	uint64_t	 running;
	uint64_t	 waiting;
	int64_t		 next;		/* due time of the first; 0: none */
	uint64_t	 run;		/* would start */
	uint64_t	 paced;		/* of these: after another of theirs */
	uint64_t	 expire;	/* would not */
	uint64_t	 busiest;	/* starts in a minute, at most */
	enum idq_plan_basis basis;
	int64_t		 interval;	/* from job to job; 0: not known */
	uint64_t	 finishes;	/* of which it was measured */
	int64_t		 earliest;	/* end of a group's gaps; 0: none */
	int64_t		 finish;	/* 0: not known, or nothing to run */
	struct idq_planner *planner;
};
/*
 * Reads names and heads of jobs, without a lock; what vanishes meanwhile is
 * passed over.  Memory does not grow with the queue.  idq(1) says what is
 * estimated.  To be freed with idq_plan_free(), also after a failure.
 */
int	 idq_plan(struct idq *, struct idq_plan *);
/* The group with the Ith most jobs; of equal ones that with the older first. */
const struct idq_plan_group *idq_plan_row(const struct idq_plan *, size_t i);
void	 idq_plan_free(struct idq_plan *);

/* 1 if a warning called NAME is due: the last was EVERY ago or longer. */
int	 idq_alarm(struct idq *, const char *name, int64_t every);
/* When a claim or worker was here last; 0: never. */
int64_t	 idq_last_worker(struct idq *);
/* When the last job was started; 0: not known. */
int64_t	 idq_last_start(struct idq *);

/*
 * Figures.  0 in a time: there is none, or it is not known.
 */
struct idq_counts {
	int64_t		now;		/* when they were taken */
	uint64_t	n[IDQ_NSTATES];
	/*
	 * The due time of the pending job that is due longest; the start of
	 * the one that runs longest; since when the first is held, or failed,
	 * not known if there are more than 1000.  0 of other states.
	 */
	int64_t		oldest[IDQ_NSTATES];
	int64_t		next;		/* when the next waiting job is due */
};
/*
 * Count from the names: no pending or waiting job is opened, and memory does
 * not grow with their number.  Finished jobs but failed ones only if ENDED.
 */
int	 idq_count(struct idq *, bool ended, struct idq_counts *);

/* How many duplicates of the jobs still known were suppressed. */
int	 idq_dups_total(struct idq *, uint64_t *);

enum idq_span { IDQ_LAST_MINUTE, IDQ_LAST_HOUR, IDQ_LAST_DAY, IDQ_NSPANS };
enum idq_happened {
	IDQ_ADDS,			/* jobs added */
	IDQ_STARTS,			/* claims and runs */
	IDQ_FINISHES,			/* jobs done, or failed for good */
	IDQ_FAILURES,			/* attempts failed or interrupted */
	IDQ_NHAPPENED
};
struct idq_activity {
	uint64_t	n[IDQ_NSPANS][IDQ_NHAPPENED];
	int64_t		start;		/* when the last was */
	int64_t		finish;		/* the same, of the last 7 days */
	int64_t		worker;		/* as idq_last_worker() */
};
/* What the log has of the time up to NOW. */
int	 idq_activity(struct idq *, int64_t now, struct idq_activity *);

struct idq_group {
	const char	*group;		/* "": the jobs without one */
	uint64_t	 n[IDQ_NSTATES];
	int64_t		 oldest;	/* due time of its oldest pending job */
};
/*
 * The unfinished and the failed jobs by group, in the order of names.  Opens
 * each of them.  Takes at most 8 MiB: the jobs of groups for which there was
 * no room any more, after some 50000 with short names, are counted in *left
 * alone.  EACH returns non-zero to stop.
 */
int	 idq_groups(struct idq *, int (*each)(void *,
	    const struct idq_group *), void *, uint64_t *left);

/* One line of the log, its fields as in idq(5). */
struct idq_event {
	int64_t		 at;
	const char	*name;
	const char	*hash;
	const char	*id;
	uint32_t	 n;		/* of the claim; 0: none */
	const char	*detail;	/* name=value ..., or "" */
	const char	*group;		/* or "" */
	const char	*key;
};
/* The log from SINCE, of all hosts, by day; EACH returns non-zero to stop. */
int	 idq_log(struct idq *, int64_t since,
	    int (*each)(void *, const struct idq_event *), void *);
/* The name of each event that the log can have, from 0 on; NULL at the end. */
const char *idq_log_event(size_t);

/*
 * Follow the log.  The first read gives the lines that are there from SINCE
 * on, as idq_log() does; each further one those that were written since,
 * whatever their stamps, the files of a day merged.  A line is given once it
 * is whole.  When EACH returns non-zero the read ends, and the next one goes
 * on behind that line.  A file that was cut or replaced is read from its
 * beginning; days and hosts may come and go.  The handle of the queue must
 * stay open.
 */
struct idq_follow;
/* *fp is to be closed with idq_follow_close(), also if it is NULL. */
int	 idq_follow_open(struct idq *, int64_t since, struct idq_follow **fp);
/* Let the next read be a first one, from SINCE. */
void	 idq_follow_from(struct idq_follow *, int64_t since);
int	 idq_follow_read(struct idq_follow *,
	    int (*each)(void *, const struct idq_event *), void *arg);
/*
 * What to poll(2) for reading between two reads, and for how many milliseconds
 * at most.  -1: inotify(7) is not to be had, and there is only the time.
 */
int	 idq_follow_fd(const struct idq_follow *, int *ms);
void	 idq_follow_close(struct idq_follow *);

/*
 * Claiming, by token.  EX_UNAVAILABLE (69): the token is not the job's current
 * claim.
 */

/*
 * Claim the oldest due job for LEASE (0: as config says).  1 and the job in
 * *jp, its token in TOKEN; 0 and NULL if nothing is due.
 */
int	 idq_claim(struct idq *, int64_t lease, struct idq_job **jp,
	    char token[IDQ_TOKEN_LEN + 1]);
int	 idq_ack(struct idq *, const char *token);
/* End it as a command's exit STATUS would: 100 for good, 75 and 111 later. */
int	 idq_fail(struct idq *, const char *token, int status);
/* Give it back, no attempt used, due as before or, with DELAY, after that. */
int	 idq_release(struct idq *, const char *token, int64_t delay);
int	 idq_renew(struct idq *, const char *token, int64_t lease);

/*
 * Operating.  They return 1 if the job was changed, 0 if REF is unknown, and
 * fail with EX_UNAVAILABLE (69) if its state does not allow it, EX_TEMPFAIL
 * (75) if it is locked for too long.  FLAGS as for idq_find().
 */
/* KILL: end a running command too. */
int	 idq_cancel(struct idq *, const char *ref, int flags, bool kill);
int	 idq_retry(struct idq *, const char *ref, int flags);
int	 idq_forget(struct idq *, const char *ref, int flags);
/*
 * Set aside until unhold, retry or cancel; a held job does not expire.  Unhold
 * makes it due again when it was; 69 if its deadline has passed.  What is held
 * already, or is not held and has not ended, counts as changed.
 */
int	 idq_hold(struct idq *, const char *ref, int flags);
int	 idq_unhold(struct idq *, const char *ref, int flags);

/*
 * Jobs by what they are.  OLDER is the time since the last change of state, or
 * since it was due if it is pending.
 */
struct idq_filter {
	unsigned int	 states;	/* bits: 1 << IDQ_... */
	const char	*group;		/* NULL: any */
	int64_t		 older;		/* at least; 0: any */
	const char	*key_glob;	/* as fnmatch(3); NULL: any */
};
bool	 idq_match(const struct idq_filter *, const struct idq_job *,
	    int64_t now);

/*
 * Waiting.  A watch made before one looks at jobs wakes up when one of them
 * ends, or is held, after that look; it needs no more than to read.
 */
struct idq_watch;
struct idq_watch *idq_watch_new(struct idq *);	/* NULL: no memory */
void	 idq_watch_free(struct idq_watch *);
/* Sleep until something has ended, for a second and MAX at most. */
void	 idq_watch_wait(struct idq_watch *, int64_t max);
/*
 * Whether it will not be started again unless a person acts: it has ended, and
 * not as the try of an `idq run' that will be repeated; or it is past its
 * deadline, and nobody has noticed.
 */
bool	 idq_is_final(const struct idq_job *, int64_t now);
/* 1 if nothing is pending or running, 0, -1. */
int	 idq_is_drained(struct idq *);

/*
 * Pausing: while it lasts nothing is claimed and `idq run' starts nothing;
 * jobs that run go on, and adds are as ever.  1 if that changed something, 0
 * if it was so already.  WHY is like a key, or NULL.  Durable on return.
 */
int	 idq_pause(struct idq *, const char *why);
int	 idq_resume(struct idq *);

/* Since when, by whom (USER@HOST) and why; 0 and "" where that is not known. */
struct idq_paused {
	int64_t		 at;
	char		 by[128];
	char		 why[IDQ_KEY_MAX + 1];
};
int	 idq_paused(struct idq *, struct idq_paused *);	/* 1 it is, 0 */

/*
 * Remove what is past its time: finished jobs past their release, failed ones
 * too, logs older than keep-log.  OLDER > 0 counts a job's age from its end
 * instead.  TICK, if not NULL, is called with the count so far, and may stop
 * it by returning non-zero.  *held is what an implausible clock held back.
 * ONLY, if not NULL, names the jobs, whose `older' counts for nothing; then
 * logs are left alone.
 */
struct idq_purge {
	int64_t		 older;		/* 0: by release */
	const struct idq_filter *only;
	bool		 dry_run;
	int		(*tick)(void *, uint64_t);
	void		*arg;
	uint64_t	 jobs;		/* out: removed */
	uint64_t	 logs;		/* out */
	uint64_t	 held;		/* out */
};
int	 idq_purge(struct idq *, struct idq_purge *);
/*
 * The same for the job of REF alone, adding to the counts: 1, 0 unknown; 69 if
 * it has not ended, or its time is still to come.  FLAGS as for idq_find().
 */
int	 idq_purge_job(struct idq *, const char *ref, int flags,
	    struct idq_purge *);

/*
 * Compare every job's trail with the directories; mend what can be mended
 * unless DRY_RUN.  Each finding goes to REPORT: `fixed', or `left' for what
 * needs a person, with the path and words.  EX_TEMPFAIL (75): each look mended
 * something, also the last that it takes.
 */
struct idq_fsck {
	bool		 dry_run;
	void		(*report)(void *, bool fixed, const char *path,
			    const char *what);
	int		(*tick)(void *, uint64_t);
	void		*arg;
	uint64_t	 checked;	/* out: jobs */
	uint64_t	 fixed;
	uint64_t	 left;
};
int	 idq_fsck(struct idq *, struct idq_fsck *);

/*
 * What the queue at PATH stands on, and what a crash has left in it; idq(1) has
 * the list.  EACH gets every finding: how bad it is, what it is about, words.
 * Nothing is changed but a file in tmp/, which is removed again.  1; 0 if there
 * is no queue or it cannot be looked into, which is a finding too; -1: no
 * memory.  A file server that is gone can make it wait for ever.
 */
enum idq_finding { IDQ_FOUND_OK, IDQ_FOUND_WARNING, IDQ_FOUND_ERROR };
int	 idq_doctor(const char *path, void (*each)(void *, enum idq_finding,
	    const char *about, const char *text), void *);

/*
 * Working.
 */
struct idq_work {
	char *const	 *argv;		/* NULL: the job's args */
	unsigned int	  jobs;		/* commands at once, at least 1 */
	int64_t		  timeout;	/* 0: as config says */
	enum { IDQ_FOLLOW, IDQ_DRAIN, IDQ_ONCE } mode;
	bool		  single;
	bool		  catch_up;	/* pass the gate */
	int64_t		  rate;		/* idq_rate_parse(); 0: as config */
	mode_t		  umask;	/* for the commands */
	/* So many jobs, at most, for ARGV at once, see idq(1); 0: one alone. */
	unsigned int	  batch;
	/*
	 * With BATCH: put a line on its standard input; NULL, or why none was
	 * put, and the job's attempt fails.  What FILE says is seen to.
	 */
	const char	*(*put)(void *, struct idq *, const struct idq_job *,
			    FILE *);
	/* A job of ours has ended, its state says how. */
	void		(*done)(void *, struct idq *, const struct idq_job *);
	/* The gate of this queue is closed, idq_errmsg() says why. */
	void		(*gate)(void *, struct idq *);
	void		 *arg;
};
/*
 * Run commands for the jobs of N queues, those of the first as long as it has
 * any, until told to stop (SIGTERM, SIGINT, SIGHUP) or, when draining, until
 * nothing that is due can be started.  0, also if there is another worker and
 * SINGLE.  -1, and the error in the first handle: code 127 or 126 if ARGV
 * cannot be executed, EX_TEMPFAIL (75) if the gate was closed.  The first three
 * descriptors are open, and nobody else waits for our children.
 */
int	 idq_work(struct idq *const *, size_t n, const struct idq_work *);

/*
 * Run ARGV in the foreground, once per key.  Returns 0 with *status: what
 * `idq run' exits with, and in *note NULL or a line for a person, to be freed.
 */
int	 idq_run(struct idq *, const struct idq_add *, char *const *argv,
	    mode_t umask, int *status, char **note);

#endif /* IDQ_H */
