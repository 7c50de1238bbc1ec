/* SPDX-License-Identifier: ISC */
/*
 * What the files of lib/ know of each other.  idq(5) is the specification;
 * names below are its words.
 */
#ifndef IDQ_IMPL_H
#define IDQ_IMPL_H

#include <sys/types.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sysexits.h>

#include "idq.h"

#define ID_SIZE		(IDQ_ID_LEN + 1)
#define HASH_SIZE	(IDQ_HASH_LEN + 1)
#define STAMP_SIZE	(IDQ_STAMP_LEN + 1)
#define DUE_LEN		23			/* 20261123T203500.123456Z */
#define MINUTE_LEN	13
#define DAY_LEN		10
#define CUR_LEN		(IDQ_HASH_LEN + 1 + IDQ_ID_LEN)	/* H.ID */
#define NEW_LEN		(DUE_LEN + 1 + CUR_LEN)		/* DUE.H.ID */
#define PATH_SIZE	sizeof(((struct idq_job *)NULL)->path)
#define MAGIC		"idq job 1\n"		/* a job file begins so */
#define LINE_SIZE	512			/* a line of a trail */
#define HEADER_MAX	(1024 * 1024)
#define MEMORY_MAX	(64 * 1024)		/* of a payload to be read */
#define LOCK_WAIT	(5 * IDQ_SECOND)	/* for somebody else's step */
#define DUP_LEN		(IDQ_STAMP_LEN + 1)	/* a line of dups/ */
#define SAID_SIZE	161			/* of stderr=, with a NUL */
#define NITEMS(a)	(sizeof(a) / sizeof((a)[0]))

enum place {
	PL_NEW,
	PL_WAIT,
	PL_PACED,			/* pending, behind its group */
	PL_CUR,
	PL_HOLD,
	PL_FAILED,
	PL_DONE,
	PL_CANCELLED,
	PL_EXPIRED,
	PL_NSTATES,
	PL_TMP = PL_NSTATES,
	PL_TURN,			/* the calendar of groups */
	PL_NONE
};

enum cfg {
	CFG_KEEP,
	CFG_KEEP_FAILED,
	CFG_KEEP_LOG,
	CFG_ATTEMPTS,
	CFG_BACKOFF,
	CFG_TIMEOUT,
	CFG_GRACE,
	CFG_LEASE,
	CFG_TTL,
	CFG_WARN_AGE,
	CFG_GATE_AGE,
	CFG_GROUP_MAX,
	CFG_GROUP_GAP,
	CFG_RATE,
	CFG_ON_CRASH,
	CFG_OUTPUT,
	CFG_SYNC,
	CFG_SHARED,
	CFG_EXEC,
	CFG_N
};

enum { SYNC_FULL, SYNC_FILE, SYNC_OFF };
enum { OUTPUT_INHERIT, OUTPUT_KEEP };

struct idq {
	char	*path;			/* absolute */
	int	 fd;			/* of the directory */
	bool	 created;
	bool	 writable;
	bool	 careful;		/* others can put things into it */
	bool	 remote;		/* other machines can change it */
	int64_t	 clock_at;		/* ticks when clock_off was measured */
	int64_t	 clock_off;		/* of the server's clock from ours */
	mode_t	 dmode;			/* of what we make in it */
	mode_t	 fmode;
	int64_t	 cfg[CFG_N];
	bool	 cfg_set[CFG_N];
	char	 host[65];		/* fit for a file name */
	char	 boot[37];		/* boot_id, "" until asked for */
	void	(*notice)(void *, const char *);
	void	*notice_arg;
	bool	 sync_failed;		/* never to be repeated */
	int	 passed;		/* see idq_pass_over() */
	bool	 mending;		/* what has a name already keeps it */
	uint64_t started;		/* our process, see pid.c; 0: unknown */
	unsigned int spares;		/* files of ours to be used again */
	unsigned int spares_max;
	int	 code;			/* of the last failure */
	char	 msg[1024];
};

enum event {
	EV_CLAIMED,
	EV_RENEWED,
	EV_DONE,
	EV_FAILED,
	EV_LATER,
	EV_RELEASED,
	EV_INTERRUPTED,
	EV_HELD,
	EV_UNHELD,
	EV_RETRIED,
	EV_CANCELLED,
	EV_EXPIRED,
	EV_N
};

/* A line of a trail; 0 in a time: the line has no such field. */
struct line {
	int64_t		at;
	enum event	event;
	uint32_t	n;
	enum place	to;
	int64_t		next;
	int64_t		release;	/* IDQ_FOREVER: never */
	int64_t		lease;
	char		detail[192];	/* further fields, as text */
};

/* An open job file; pub comes first, so that idq_job_free() finds the rest. */
struct job {
	struct idq_job	pub;
	int		fd;		/* -1: none */
	dev_t		dev;
	ino_t		ino;
	int64_t		size;
	bool		sized;		/* that is its size now */
	bool		whole;
	bool		begins;		/* as a job file, or could have */
	int64_t		end;		/* of the last line that counts */
	bool		asked;		/* asked/ID is to go with its end */
	bool		started;	/* a trail with a line */
	struct line	line;		/* the last that counts, if started */
};

#define JOB_INIT	{ .fd = -1 }

/* error.c: each sets code and message and returns -1. */
int	 idq_error(struct idq *, int, const char *, ...)
	    __attribute__((__format__(printf, 3, 4)));
/* The code follows from errno; ": strerror" is appended. */
int	 idq_errno(struct idq *, const char *, ...)
	    __attribute__((__format__(printf, 2, 3)));
/*
 * Whether the error is about one file or folder, and no reason to stop.  It is
 * then noticed, and for idq_passed() if it could have been idq's.
 */
bool	 idq_pass_over(struct idq *);
/* The sync of PATH failed, with errno; it is never to be repeated: -1. */
int	 idq_not_synced(struct idq *, const char *path);
/* Fails if a sync has: the next of the same folder would only seem to work. */
int	 idq_may_sync(struct idq *);
/* A line for a person about what was left alone; not a failure. */
void	 idq_notice(struct idq *, const char *, ...)
	    __attribute__((__format__(printf, 2, 3)));

/* queue.c */
extern const char *const idq_dirs[];	/* of a queue; NULL at the end */
/*
 * What is wrong with a directory of the queue; NULL: nothing, or errno tells,
 * which is ENOENT where there is none.
 */
const char *idq_dir_fault(struct idq *, const char *name);
const char *idq_boot(struct idq *);	/* boot_id of this host, or "?" */

/*
 * at.c: openat(2) and others for a path in the queue; each is -1 with errno.
 * What is made has the queue's modes.
 */
int	 idq_at_open(struct idq *, const char *path, int flags);
/* A file to append to, made if it is missing, and what it is. */
int	 idq_at_open_end(struct idq *, const char *path, struct stat *);
int	 idq_at_stat(struct idq *, const char *path, struct stat *);
bool	 idq_at_exists(struct idq *, const char *path);
int	 idq_at_mkdir(struct idq *, const char *path);
int	 idq_at_unlink(struct idq *, const char *path, int flags);
int	 idq_at_rename(struct idq *, const char *from, const char *to);
int	 idq_at_link(struct idq *, const char *from, const char *to);

/* config.c */
int	 idq_config_load(struct idq *);
/* Whether nobody but the owner, or root, can have set it. */
bool	 idq_config_is_safe(struct idq *);

/* remote.c: a file system that other machines change, too. */
bool	 idq_is_remote(int fd);
/* The time by which all who share the queue judge leases. */
int64_t	 idq_lease_now(struct idq *);
bool	 idq_is_leased(struct idq *, const struct job *);

/* share.c: open all of the queue to its group, or close it to the owner. */
int	 idq_set_modes(struct idq *, bool open);

/* file.c: small files and directories of the queue. */
int	 idq_mkdir_for(struct idq *, const char *path);
/*
 * Contents up to len - 1 bytes, with a NUL; the length, -1 with errno.  ELOOP
 * and EINVAL: no regular file.
 */
ssize_t	 idq_read_small(struct idq *, const char *path, char *, size_t);
/*
 * Whether FD is the file at PATH, which says if a link or a rename that failed
 * was done: on NFS the reply may have been lost.  errno stays.
 */
bool	 idq_is_at(struct idq *, int fd, const char *path);
/* Replace PATH by TEXT, by rename; synced with its directory if SYNC. */
int	 idq_write_small(struct idq *, const char *path, const char *text,
	    bool sync);
int	 idq_write_all(int fd, const void *, size_t);	/* -1 with errno */
int	 idq_sync_dir(struct idq *, const char *path);
int	 idq_sync_file(struct idq *, int fd);		/* as config says */
int	 idq_sync_keys(struct idq *, const char *hash);	/* as config says */
/* The same after a name was removed: no sync of a file makes that durable. */
int	 idq_sync_freed(struct idq *, const char *hash);
DIR	*idq_opendir(struct idq *, const char *path);
/* The next name that does not begin with a dot; NULL with errno or 0. */
struct dirent *idq_readdir(DIR *);
int	 idq_new_id(char id[ID_SIZE]);			/* -1 with errno */

/*
 * Call EACH with the folder and every entry of the place: of the place's
 * directory, or of its MINUTE or DAY folders.  What is no name of that place
 * is noticed and passed over.  EACH returns non-zero to stop.  A folder that
 * cannot be read makes it fail once the others have been walked.
 */
struct name;
int	 idq_walk(struct idq *, enum place,
	    int (*each)(void *, const char *folder, const struct dirent *,
	    const struct name *), void *);
/* The same, but not of minutes that begin after UNTIL. */
int	 idq_walk_until(struct idq *, enum place, int64_t until,
	    int (*each)(void *, const char *folder, const struct dirent *,
	    const struct name *), void *);

/* name.c */
struct name {
	char	hash[HASH_SIZE];	/* in turn/: of the group */
	char	id[ID_SIZE];
	int64_t	due;			/* of new/, wait/, paced/ and turn/ */
};
const char *idq_place_dir(enum place);
bool	 idq_is_hex(const char *, size_t);
bool	 idq_is_hash(const char *);
int	 idq_name_parse(enum place, const char *, struct name *);
bool	 idq_is_minute(const char *);
bool	 idq_is_day(const char *);
void	 idq_key_path(const char *hash, char path[PATH_SIZE]);
void	 idq_tmp_path(const char *id, const char *suffix,
	    char path[PATH_SIZE]);
/* A parked job; GROUP is the hash of its group. */
void	 idq_paced_path(const char *group, const char *hash, const char *id,
	    int64_t due, char path[PATH_SIZE]);
void	 idq_turn_path(const char *group, int64_t at, char path[PATH_SIZE]);
void	 idq_group_path(const char *group, char path[PATH_SIZE]);
void	 idq_dups_path(const char *hash, const char *id,
	    char path[PATH_SIZE]);
void	 idq_asked_path(const char *id, char path[PATH_SIZE]);
void	 idq_out_path(const char *hash, const char *id, uint32_t claim,
	    char path[PATH_SIZE]);
/* WHEN: the due time in new/ and wait/, the end in DAY folders. */
void	 idq_place_path(enum place, const char *hash, const char *id,
	    int64_t when, char path[PATH_SIZE]);
int	 idq_token_parse(const char *s, struct name *n, uint32_t *claim);

/* time.c */
void	 idq_due_format(int64_t, char buf[DUE_LEN + 1]);
int	 idq_due_parse(const char *, int64_t *);
/* So long for poll(2), or as long as that can: it is then asked again. */
int	 idq_poll_ms(int64_t);

/* jobfile.c */
/* Open PATH as a job file: 1, 0 if there is none, -1. */
int	 idq_job_open(struct idq *, const char *path, struct job *);
void	 idq_job_close(struct job *);	/* unlocks too; frees */
/* Read head and trail anew; hash is what its name says. */
int	 idq_job_load(struct idq *, struct job *, const char *hash);
/* Lock it, waiting up to WAIT: 1, 0 if busy, -1. */
int	 idq_job_lock(struct idq *, struct job *, int64_t wait);
void	 idq_job_unlock(struct job *);
/* Whether PATH is a name of this inode: 1, 0, -1. */
int	 idq_job_is(struct idq *, const struct job *, const char *path);
int	 idq_job_still_is(struct idq *, struct job *, const char *path);
/* Whether it has its key: 1, 0 no or somebody else, -1. */
int	 idq_job_owns_key(struct idq *, const struct job *);
/* The same; 0 is said of PATH: one that does not is never to be run. */
int	 idq_job_is_owner(struct idq *, const struct job *, const char *path);
/* Open keys/HH/H and load it: 1, 0 if the key is free, -1. */
int	 idq_key_open(struct idq *, const char *hash, struct job *);
/* Open, lock without waiting, compare and load PATH: 1, 0 gone or busy, -1. */
int	 idq_job_take(struct idq *, const char *path, const char *hash,
	    bool *busy, struct job *);
/* Whether the payload has its fingerprint: 1, 0, -1. */
int	 idq_job_verify(struct idq *, const struct job *);

/* header.c */
/* HEAD is the header without its empty line, and is spent: 0, -1. */
int	 idq_header_parse(struct idq_job *, char *head);
/* The header of an add, to be freed. */
char	*idq_header_format(const struct idq_job *, int64_t length, int width,
	    size_t *len);

/* fingerprint of args, then of payload piece by piece. */
struct idq_print;
struct idq_print *idq_print_new(char *const *args, size_t n);
void	 idq_print_add(struct idq_print *, const void *, size_t);
void	 idq_print_end(struct idq_print *, char hex[HASH_SIZE]); /* frees */

/* trail.c */
const char *idq_event_name(enum event);
int	 idq_line_parse(const char *, size_t, struct line *);
size_t	 idq_line_format(const struct line *, char *, size_t);
int	 idq_trail_load(struct idq *, struct job *);
/* Append, cutting off a torn end; NO sync. */
int	 idq_trail_append(struct idq *, struct job *, const struct line *);

bool	 idq_is_over(const struct job *);	/* no worker will start it */
void	 idq_job_state(struct job *, int64_t now);

/* move.c */
/* Rename, and make sure that FROM is gone: 1, 0 if FROM was not ours, -1. */
int	 idq_move(struct idq *, const struct job *, const char *from,
	    const char *to);
int	 idq_drop(struct idq *, const struct job *, const char *path);
void	 idq_remove(struct idq *, const char *path);	/* no job */
/* Where its trail says it should be. */
enum place idq_place_of(const struct job *, int64_t now,
	    char path[PATH_SIZE]);
/* The path of J in paced/; false if it has no group. */
bool	 idq_parked_path(const struct job *, char path[PATH_SIZE]);
/* Where it is: sets pub.path; PL_TMP: unfinished add; PL_NONE: nowhere. */
enum place idq_where(struct idq *, struct job *);
/* Move it from FROM to where its trail says, synced if that is an end. */
int	 idq_settle(struct idq *, struct job *, const char *from);
/* Append a line, synced if SYNC, log it, go where it says. */
int	 idq_step(struct idq *, struct job *, const char *from,
	    struct line *, bool sync);
/* Its halves: 1 the line is to be synced between them, 0 it need not be, -1. */
int	 idq_step_begin(struct idq *, struct job *, const struct line *,
	    bool sync);
int	 idq_step_end(struct idq *, struct job *, const char *from);
/*
 * Remove state name, dups, output and key of a job that has ended.  SYNC the
 * first before the last: else a cut could bring back the name of a job whose
 * key was still to be held.
 */
int	 idq_free_key(struct idq *, struct job *, const char *from, bool sync);

/* find.c */
/* Hash (and of a token the id) that REF means: 1, 0 unknown, -1. */
int	 idq_resolve(struct idq *, const char *ref, int flags, struct name *);
/*
 * Whether a state directory has a name with HASH: 1, 0, -1.  Not expired/,
 * whose jobs may have lost their keys.  Slow: for what is torn only.
 */
int	 idq_is_named(struct idq *, const char *hash);
int	 idq_not_whole(struct idq *, const struct job *);	/* fails */

/* operate.c */
/*
 * The job of REF, loaded, with its lock unless *busy, when it is running or
 * stayed locked: 1, 0 unknown, -1.  To be given back in either case.
 */
int	 idq_grab(struct idq *, const char *ref, int flags, struct job *,
	    bool *busy);
void	 idq_let_go(struct job *, bool busy);
int	 idq_is_locked(struct idq *, const struct job *);	/* fails */
/* Whether it has failed, but the next `idq run' of its key tries again. */
bool	 idq_is_resting(const struct job *);

/* complete.c */
enum { COMPLETE_OK = 1, COMPLETE_GONE = 0, COMPLETE_BAD = 2 };
/* Finish an unfinished add, which is locked: COMPLETE_*, or -1. */
int	 idq_complete(struct idq *, struct job *);

/* holder.c: who has the key that an add asks for. */
struct asking {
	const char	*hash;
	int64_t		 deadline;	/* the add's own; 0: none */
	int		 reuse;
	int64_t		 wait;		/* for a living adder */
};
enum {
	HOLDER_NONE = 0,		/* the key is free */
	HOLDER_KEEPS,			/* a duplicate; the job is loaded */
	HOLDER_GIVES,			/* to be replaced; the job is locked */
	HOLDER_BUSY			/* somebody is at it */
};
int	 idq_holder(struct idq *, const struct asking *, struct job *);

/* new.c: one add on its way, and its file. */
enum step {
	STEP_FAILED,
	STEP_ANSWERED,			/* a duplicate or a mismatch */
	STEP_LINKED,			/* has its key, not yet synced */
	STEP_OWN,			/* duplicate of one of this group */
	STEP_PUT_OFF			/* a living adder holds the key */
};

/* One add on its way. */
struct adding {
	const struct idq_add *req;
	struct idq_added *res;
	enum step	 step;
	int64_t		 now;
	struct job	 file;		/* its pub borrows from req */
	char		*by;
	char		*memory;	/* payload read from req->fd */
	const void	*payload;
	bool		 spooled;	/* payload and header are in tmp/ID */
	bool		 too_late;	/* past its own deadline */
	size_t		 own;		/* STEP_OWN: which */
};

/* Take what was asked; a long payload of unknown end is then in tmp/ID. */
int	 idq_new_prepare(struct idq *, struct adding *);
/* Write tmp/ID, locked, unless it is there already. */
int	 idq_new_write(struct idq *, struct adding *);
/* Close tmp/ID and remove what is left of it there. */
void	 idq_new_discard(struct idq *, struct adding *);
void	 idq_new_free(struct adding *);

/* add.c */
/*
 * Add the job of an `idq run': 1 and the job in *j, locked, synced and still
 * in tmp/, and not in the log; 0 if somebody has the key, and 2 if that one is
 * still adding it; -1.
 */
int	 idq_add_run(struct idq *, const struct idq_add *, struct job *);

/* log.c: best effort, the trail is the truth. */
void	 idq_log_write(struct idq *, const struct idq_job *, int64_t at,
	    const char *event, uint32_t n, const char *detail);
void	 idq_log_line(struct idq *, const struct job *);	/* its last */
int	 idq_log_newest(struct idq *, int64_t *at);	/* 1, 0 none, -1 */

/* peek.c: of a million job files what a plan needs; without a lock. */
struct peek {
	int64_t	due;			/* of its name */
	int64_t	expires;		/* 0: none */
	char	group[IDQ_KEY_MAX + 1];	/* "": none */
};
struct peeker;
/* EACH gets the jobs in no order, and returns non-zero to stop. */
struct peeker *idq_peeker_new(struct idq *,
	    int (*each)(void *, const struct peek *), void *);
/* What EACH returned, if it was called.  A job that is gone is passed over. */
int	 idq_peek(struct peeker *, const char *path, int64_t due);
int	 idq_peek_rest(struct peeker *);	/* of those still to come */
void	 idq_peeker_free(struct peeker *);

/* plan.c and what it is made of */

/* Deadlines by how far ahead they are, two bins to each doubling. */
#define BINS		36
struct deadlines {
	uint32_t n[BINS];
	double	 sum[BINS];		/* of the time left */
};

/* tally.c: jobs by group, of any number of them, in bounded memory. */
struct tally_group {
	struct idq_plan_group pub;
	struct deadlines left;		/* of those not yet expired */
};
struct tally {
	struct tally_group *groups;
	struct tally_group others;
	size_t		 n;
	uint32_t	*index;		/* of groups, from 1, by hash */
	uint16_t	*cells;		/* jobs by hash of the group */
	unsigned int	 least;		/* in both cells to get a row */
	size_t		 spare;		/* rows for groups with one less */
	bool		 overflow;	/* there were more groups */
};
int	 idq_tally_init(struct tally *);	/* -1 with errno */
void	 idq_tally_free(struct tally *);
/* The row of the group, which is made; or others.  NULL with errno. */
struct tally_group *idq_tally_row(struct tally *, const char *group);
/*
 * After an overflow: begin anew, and give the rows to the largest groups.  All
 * jobs are then to be counted again.
 */
int	 idq_tally_again(struct tally *);	/* -1 with errno */
/* How many groups there are; *about if that is an estimate. */
uint64_t idq_tally_distinct(const struct tally *, bool *about);

/* speed.c */
/*
 * The mean time from one finish to the next, while something ran, of the
 * last day or else week before NOW.  *n: of how many; 0: too few.
 */
int64_t	 idq_speed(struct idq *, int64_t now, uint64_t *n);

/* pause.c */
bool	 idq_is_paused(struct idq *);

/* stamp.c: hints in run/. */
void	 idq_stamp_worker(struct idq *);
void	 idq_stamp_start(struct idq *, int64_t now);	/* a job was started */
/* A due job was added: when the first was that no start has followed. */
int64_t	 idq_stamp_add(struct idq *, int64_t now);
/* A file of log/, and how far it was read. */
struct logfile {
	char	*name;
	dev_t	 dev;			/* of a follower */
	ino_t	 ino;
	off_t	 off;
	bool	 bad;			/* cannot be read */
	bool	 skip;			/* has nothing new */
};
struct logfiles {
	struct logfile	*v;		/* by name, which is by day */
	size_t		 n;
};
/* Those from the day of SINCE on; dev and ino are not set. */
int	 idq_logfiles_find(struct idq *, int64_t since, struct logfiles *);
void	 idq_logfiles_free(struct logfiles *);
/* Their whole lines behind OFF, which moves on: 0, 1 stopped by EACH, -1. */
int	 idq_logfiles_read(struct idq *, struct logfiles *, int64_t since,
	    int (*each)(void *, const struct idq_event *), void *arg);

/* dups.c */
/* One more; *count is how many there are. */
int	 idq_dups_add(struct idq *, const char *hash, const char *id,
	    int64_t now, uint64_t *count);
int	 idq_dups_count(struct idq *, const char *hash, const char *id,
	    uint64_t *, int64_t *last);

/* finish.c */
enum how {
	HOW_EXIT,			/* value: exit status */
	HOW_SIGNAL,			/* value: signal */
	HOW_TIMEOUT,			/* no value, nor have those below */
	HOW_NOCOMMAND,
	HOW_NOANSWER,			/* of a command for many */
	HOW_UNKNOWN			/* interrupted */
};
/*
 * End claim N of a job in cur/ as its command ended; asked/ is honoured.  SAID
 * is the value of stderr=, or "".  SYNC: somebody who knows how is waiting,
 * else who gave up is noticed.
 */
int	 idq_finish(struct idq *, struct job *, enum how, int value,
	    const char *said, bool sync);
/* Its halves, as those of idq_step(), for who gives up is noticed. */
int	 idq_finish_begin(struct idq *, struct job *, enum how, int value,
	    const char *said);
int	 idq_finish_end(struct idq *, struct job *, const char *from);
/* The claim ended without a known end. */
int	 idq_interrupt(struct idq *, struct job *, const char *from);
int	 idq_expire(struct idq *, struct job *, const char *from);
bool	 idq_is_expired(const struct job *, int64_t now);
int	 idq_give_back(struct idq *, struct job *, int64_t delay, bool sync);
int	 idq_cancel_now(struct idq *, struct job *, const char *from);
int	 idq_asked(struct idq *, const char *id);	/* 1, 0, -1; 2: kill */
bool	 idq_holds_on_crash(const struct idq *, const struct job *);
int64_t	 idq_backoff(const struct idq *, uint32_t attempt);
int64_t	 idq_after(int64_t now, int64_t d);	/* never past the end */

/* claim.c */
#define BEHIND_MAX	8
struct taking {
	int64_t	lease;			/* 0: none */
	int64_t	rate;			/* as idq_rate_parse(); 0: none */
	bool	busy;			/* out: somebody held one locked */
	int64_t	until;			/* out: the rate allows none before */
	/* Groups of which an older job was locked: these come first. */
	char	behind[BEHIND_MAX][HASH_SIZE];
	size_t	nbehind;		/* if more than that, all groups */
};
/* Take a job of new/: 1 claimed and locked, 0 not this one, -1. */
int	 idq_take(struct idq *, const char *name, struct taking *,
	    struct job *);
int	 idq_claimed(struct idq *, struct job *, const char *from,
	    int64_t lease);

/* first.c: the first CAP of any number of names, in order. */
struct first {
	char	(*names)[NEW_LEN + 1];	/* room for 2 * cap */
	size_t	  cap;
	size_t	  n;
	bool	  more;			/* there were more than cap */
};
int	 idq_first_init(struct first *, size_t cap);	/* -1 with errno */
void	 idq_first_free(struct first *);
void	 idq_first_begin(struct first *);
void	 idq_first_add(struct first *, const char *name);
void	 idq_first_end(struct first *);

/*
 * kept.c: names of new/ or paced/GH/ in run/, locked.  A hint: what is not
 * there any more is passed over, and what came later is not known.
 */
#define KEPT_SHORT	64		/* names, sooner read again than kept */
#define KEPT_LONG	16384		/* names kept */
struct kept {
	struct idq	*q;
	const char	*path;
	struct job	 file;
	off_t		 n;		/* of names; 0: no use */
};
/* 1, 0 there is none or it stays locked, -1.  CREATE: to write it. */
int	 idq_kept_open(struct idq *, const char *path, bool create,
	    struct kept *);
void	 idq_kept_close(struct kept *);
bool	 idq_kept_last(struct kept *, char name[NEW_LEN + 1]);	/* oldest */
void	 idq_kept_pop(struct kept *);
/* One that has come in, unless it is younger than all of them. */
void	 idq_kept_insert(struct kept *, const char *name);
void	 idq_kept_write(struct kept *, const struct first *);

/* order.c: the names of new/ in claim order. */
struct order;
struct order *idq_order_new(void);	/* NULL with errno */
void	 idq_order_free(struct order *);
/* NAME has come to new/, and may be older than those kept for claims. */
void	 idq_order_insert(struct idq *, const char *name);
/* The oldest due job: 1, 0 nothing that can be had now, -1. */
int	 idq_order_take(struct idq *, struct order *, struct taking *,
	    struct job *);

/* parked.c: paced/GH/, under the lock of the group. */
/* The oldest behind AFTER, which may be "": 1, 0 none, -1. */
int	 idq_parked_first(struct idq *, const char *group, const char *after,
	    char name[NEW_LEN + 1]);
void	 idq_parked_drop(struct idq *, const char *group, const char *name);
void	 idq_parked_added(struct idq *, const char *group,
	    const char *name);
void	 idq_parked_forget(struct idq *, const char *group);

/*
 * The same, and before that is said what turns have let out: one that has
 * expired may have made room for another of its group.  NEXT as idq_promote().
 */
int	 idq_take_any(struct idq *, struct order *, struct taking *,
	    int64_t *next, struct job *);

/* group.c: the file of a group. */
#define GROUP_WAIT	(IDQ_SECOND / 5)	/* for somebody else's step */
struct group {
	struct job	 file;		/* of groups/GH, locked */
	char		 hash[HASH_SIZE];	/* GH */
	char		*name;		/* or NULL: not known */
	int64_t		 last;		/* start */
	int64_t		 turn;		/* its name in turn/ */
	char		 next[NEW_LEN + 1];	/* let out to new/, or "" */
	bool		 let_out;	/* one, since it was opened */
	char		(*runs)[CUR_LEN + 1];	/* in cur/ */
	size_t		 nruns;
};
/*
 * Open and lock PATH, made if it is missing: 1, 0 somebody holds it for longer
 * than WAIT, -1.  A purge may have removed it meanwhile.
 */
int	 idq_state_open(struct idq *, const char *path, int64_t wait,
	    struct job *);
/* Open, lock and read groups/GH; NAME may be NULL: as above. */
int	 idq_group_open(struct idq *, const char *hash, const char *name,
	    struct group *);
int	 idq_group_save(struct idq *, struct group *);
void	 idq_group_close(struct group *);
/* -1 with errno */
int	 idq_group_run(struct group *, const char *pair);

/* pace.c: which job of a group may start, and when. */
/*
 * Whether J of a group, locked and due at new/NAME, may start: 1 and G is
 * locked, noted as started, and to be ended by idq_pace_started(); 0 it
 * was parked, or somebody holds the group locked; -1.
 */
int	 idq_pace_enter(struct idq *, struct job *, const char *name,
	    struct taking *, struct group *);
/* A job of this group is locked: no younger one may overtake it. */
void	 idq_pace_behind(struct taking *, const char *group);
/* J was started, or with FAILED was not after all: let out the next. */
void	 idq_pace_started(struct idq *, struct group *, bool failed);
/*
 * idq_move(), and its group learns of it: a job that comes to new/ is parked
 * unless it is the next to start, one that leaves cur/ makes room for another.
 */
int	 idq_pace_move(struct idq *, const struct job *, const char *from,
	    const char *to);
/* Another one of J's group may have to be let out of paced/. */
void	 idq_pace_look(struct idq *, const struct job *);
/*
 * The turns that have come: 1 they have let a job out, 0 none, -1; *next is
 * that of the next, or 0.
 */
int	 idq_pace_turns(struct idq *, int64_t *next);
/* Whether NAME was let out of paced/, and is still to be started. */
bool	 idq_pace_is_next(struct idq *, const char *group, const char *name);
/* Every group with parked jobs is looked at now. */
int	 idq_pace_all(struct idq *);
/* Remove the state of groups that do not need it any more. */
int	 idq_pace_purge(struct idq *, int64_t now);

/* rate.c */
/* Whether the rate allows a start now, which is then noted: 1, 0, -1. */
int	 idq_rate_take(struct idq *, struct taking *);

/* reap.c */
/* Before a claim: start-up scan, cur/ and tmp/, due minutes. */
int	 idq_prepare(struct idq *);
int	 idq_reap_cur(struct idq *);
int	 idq_reap_tmp(struct idq *, bool bad);
/*
 * Due jobs from wait/, and of groups whose turn has come, to new/: 1 if one of
 * a group, 0, -1.  *next is when there is something to do again, 0 unknown;
 * who does not ask, NULL, need not look at later minutes.
 */
int	 idq_promote(struct idq *, int64_t *next);
/*
 * The same for a file of tmp/: 1 it is gone, 0 somebody is at it or it was left
 * alone.  BAD: also those whose sync failed.
 */
int	 idq_reap_file(struct idq *, const char *name, bool bad);

/* fsck.c */
/*
 * BAD: look at files whose sync failed, too.  0, 1 a job was locked, or could
 * not be put right, so that it is to be made again, -1.
 */
int	 idq_boot_scan(struct idq *, bool bad);
/*
 * Of a name in a state directory, for which key it stands, about; of a finding,
 * its digest as START.
 */
struct known {
	ino_t	 ino;
	uint64_t start;			/* of the hash, as bytes */
};
struct inodes {
	struct known	*v;
	size_t		 n;
	size_t		 cap;
};
struct check {
	struct idq	*q;
	struct idq_fsck	*f;
	bool		 boot;		/* the start-up scan */
	bool		 bad;		/* its first in this boot */
	bool		 busy;		/* what no scan may miss was missed */
	bool		 quiet;		/* what is left is said elsewhere */
	enum place	 place;		/* being walked */
	struct inodes	 named;
	struct inodes	 said;		/* what is left, by its digest */
	size_t		 sorted;	/* of these: by the looks before */
	void		(*notice)(void *, const char *);	/* q's own */
	void		*notice_arg;
};
/* A finding: FIXED, or left as it is. */
void	 idq_report(struct check *, bool fixed, const char *path,
	    const char *, ...) __attribute__((__format__(printf, 4, 5)));
/* The queue's error is a finding: 0, -1 if it is a reason to stop. */
int	 idq_complain(struct check *, const char *path);

/* mend.c: 0, or -1.  The job is locked. */
/* 1: PATH is no name of the job. */
int	 idq_mend(struct check *, struct job *, const char *path);
/* PATH is its key; it has no name in a state directory. */
int	 idq_mend_nameless(struct check *, struct job *, const char *path,
	    const char *hash);

/* copies.c */
/*
 * Whether a job that does not have its key is in truth the job that has: 1 and
 * it is seen to, 2 it has its key by now, 0 no, -1.
 */
int	 idq_rejoin(struct check *, struct job *, const char *path);

/* leftovers.c: each is 0, or -1. */
int	 idq_check_tmp(struct check *);		/* unfinished adds */
int	 idq_check_asked(struct check *);	/* wishes */
int	 idq_check_out(struct check *);		/* kept output */

/* pid.c: whose process runs a job, in run/pid.ID. */
struct pids {
	pid_t	worker;
	pid_t	command;		/* 0: shares one with others */
	bool	leader;			/* of its process group */
};
void	 idq_pid_write(struct idq *, const char *id, const struct pids *);
void	 idq_pid_remove(struct idq *, const char *id);
/* Of a job that will not run again, and is locked. */
void	 idq_pid_drop(struct idq *, const char *id);
/* Keep what is removed, to be used again, until it is cleared. */
void	 idq_pid_keep(struct idq *);
void	 idq_pid_clear(struct idq *);
/* Whether the process of this host that has kept PATH so is gone. */
bool	 idq_spare_is_left(struct idq *, const char *path);
/*
 * Those that are proven to be still the same processes, 0 for the others; -1
 * if nothing can be proven from here.
 */
int	 idq_pid_read(struct idq *, const char *id, struct pids *);
void	 idq_pid_signal(const struct pids *, int sig);

int64_t	 idq_ticks(void);		/* monotonic, in microseconds */

/* served.c: one of the queues of a worker. */
struct served {
	struct idq	*q;
	struct order	*order;
	int		 ino;		/* inotify, or -1 */
	int		 wd_asked;
	int		 wd_new;
	int		 wd_top;	/* of the queue itself */
	int		 single;	/* lock of every worker, or -1 */
	bool		 look;		/* there may be a job to start */
	bool		 scan;		/* and due times to be looked at */
	bool		 limited;	/* the rate allows none now */
	unsigned int	 busy;		/* looks in vain, for a lock */
	int64_t		 rescan_at;	/* ticks, as the next three */
	int64_t		 look_at;	/* for what no event tells of */
	int64_t		 soon_at;	/* to look again; 0: not */
	int64_t		 not_before;	/* to start nothing */
	int64_t		 next_due;	/* wall clock; 0: none */
	int64_t		 took_at;	/* wall clock: last took, or found
					   nothing to take; 0: never */
};
int	 idq_served_open(struct served *, struct idq *);
void	 idq_served_close(struct served *);
int	 idq_served_lock(struct served *, bool alone);	/* 1, 0 taken, -1 */
void	 idq_served_watch(struct served *, bool follow);
bool	 idq_served_events(struct served *);	/* whether asked/ has news */
/* What is due for it: 1 a full rescan, 0, -1. */
int	 idq_served_rescan(struct served *);
void	 idq_served_rest(struct served *);	/* start nothing for a while */
int	 idq_served_gate(struct served *);	/* 1 closed, and why; 0; -1 */
/* The oldest due job that may start: 1, 0, -1. */
int	 idq_served_take(struct served *, int64_t rate, struct job *);

/* keeper.c, see below */
struct keeper {
	int	fd;			/* to ask it, or -1: there is none */
	pid_t	pid;
};

/* child.c: the command of a job. */
#define LOCK_FD		64	/* above what scripts use for themselves */
struct child {
	struct job	job;		/* locked while it runs */
	char		hash[HASH_SIZE];	/* of it, */
	char		id[ID_SIZE];
	uint32_t	claims;		/* and the claim that is ours */
	struct keeper	keeper;		/* of its output */
	char		said[SAID_SIZE];	/* in the end, on stderr */
	struct pids	pids;
	int		status;		/* as wait(2) has it, if it has ended */
	int64_t		next;		/* when to send the next signal, or 0 */
	int		signals;	/* sent so far */
	enum why {
		WHY_NONE,		/* not signalled by us */
		WHY_TIMEOUT,
		WHY_STOP,		/* our own end */
		WHY_ASKED,		/* cancel --kill */
		WHY_SILENT		/* nor was there an answer */
	} why;
};
struct start {
	char *const	*argv;		/* NULL: the job's args */
	sigset_t	 mask;		/* that we were started with */
	bool		 foreground;	/* our group, our standard input */
	bool		 with_job;	/* append the job's args */
	struct child	**locks;	/* of many jobs, passed on as they */
	size_t		 nlocks;	/* are; 0: that of the child alone */
	mode_t		 umask;
};
/* environ.c */
/* Without a job, P is NULL, and the variables are those of the queue. */
char	**idq_env_new(struct idq *, const struct idq_job *p);
void	 idq_env_free(char **, const struct idq_job *p);

/* child.c */
void	 idq_signals(sigset_t *, bool run);
/* Whether it has ended; its wait status. */
bool	 idq_child_wait(const struct child *, int *status);
/*
 * Start it: 1; 0 if its deadline has come meanwhile, and it has expired; or -1
 * with code 127 or 126 if ARGV cannot be executed, 75 if nothing can be now,
 * else it is the job's fault.
 */
int	 idq_child_start(struct idq *, struct child *, const struct start *);
/* The same for many jobs, by name in S, with their FDS: 0, or -1 as above. */
int	 idq_child_start_many(struct idq *, struct child *,
	    const struct start *, const int fds[3]);
/* It was claimed, and is too late to start: that used no attempt. */
int	 idq_child_expire(struct idq *, struct job *);
/* A file without a name: in memory if LENGTH is small; -1 with errno. */
int	 idq_nameless(struct idq *, int64_t length);
/* End it: SIGTERM now, SIGKILL after the grace time. */
void	 idq_child_end(struct idq *, struct child *, enum why);
/* Send what is due; the time until the next, or -1. */
int64_t	 idq_child_tick(struct idq *, struct child *);
/* Somebody else has it, since a server took us for dead. */
bool	 idq_child_is_lost(struct idq *, const struct child *);
/*
 * It ended with the wait status: write that.  0 that is all, and the job is
 * left; 1 its file is to be synced, and then settled; 2 it was not ours any
 * more; -1.
 */
int	 idq_child_ended(struct idq *, struct child *, int status);
/* Leave the job, after a sync that ended with ERR, which is 0 or errno. */
int	 idq_child_settle(struct idq *, struct child *, int err);

/* batch.c: many jobs for one command. */
struct batch {
	struct child	**of;		/* each with its claimed job */
	size_t		 n;		/* 0: none */
	int		 answers;	/* what the command prints, or -1 */
};
#define BATCH_INIT	{ .answers = -1 }
void	 idq_batch_free(struct batch *);
int	 idq_batch_add(struct batch *, struct child *);	/* -1 with errno */
/* A job whose deadline has come, out of the batch, or NULL. */
struct child *idq_batch_late(struct batch *);
/* Start the command as C: 1; 0 a job is late; or -1 as idq_child_start(). */
int	 idq_batch_start(struct idq *, struct child *, struct batch *,
	    const struct idq_work *, const struct start *);
/* OF has ended: sets status and why of each job's. */
void	 idq_batch_ended(struct idq *, const struct child *of,
	    struct batch *);

/* syncer.c: threads that sync files. */
#define SYNCERS_MAX	16
struct syncer {
	pthread_t	threads[SYNCERS_MAX];
	unsigned int	n;		/* of them; 0: not started */
	int		ask[2];
	int		told[2];	/* the first is for poll(2) */
};
void	 idq_syncer_init(struct syncer *);
int	 idq_syncer_start(struct syncer *, unsigned int n);	/* 0, -1 */
void	 idq_syncer_stop(struct syncer *);	/* when all are told */
/* To sync the file FD of number OF: 0, -1. */
int	 idq_syncer_ask(const struct syncer *, unsigned int of, int fd);
/* Whether one was synced, which and its errno, or 0. */
bool	 idq_syncer_told(const struct syncer *, unsigned int *of, int *err);

/* output.c: what the commands of a job printed, in out/. */
/*
 * Keep the output of the claim of C: sets c->keeper and, for the command, ENDS.
 * If that cannot be done it is noticed, and both stay as they are.  The first
 * three descriptors must be open.
 */
void	 idq_out_start(struct idq *, struct child *, int ends[2]);
/* The command was not started: as if that had not been. */
void	 idq_out_undo(struct idq *, struct child *);
/* It has ended: sets c->said. */
void	 idq_out_end(struct idq *, struct child *);
/* Remove all of a job that nobody will ask for again. */
void	 idq_out_remove(struct idq *, const struct idq_job *);
/* LEN bytes as a value of a trail, cut behind a whole character; and back. */
void	 idq_said_format(const char *, size_t len, char said[SAID_SIZE]);
void	 idq_said_parse(const char *said, char text[SAID_SIZE]);

/* keeper.c: the process that writes such a file. */
#define SAID_RAW	256			/* bytes of a line, at least */
struct said {
	int	err;			/* why not all was kept, or 0 */
	bool	stays;			/* not to be waited for */
	size_t	len;
	char	text[SAID_RAW];		/* the last line of stderr */
};
/*
 * Start one that writes to FILE, which stays the caller's.  ENDS are then for
 * standard output and standard error of the command.  0, or -1 with errno.
 */
int	 idq_keeper_start(int file, int ends[2], struct keeper *);
/*
 * All that was printed so far is in the file, and the last of it in SAID; -1
 * with errno.  There is no keeper any more then.
 */
int	 idq_keeper_ask(struct keeper *, struct said *);
/* The same unasked, when the command's ends are closed. */
void	 idq_keeper_end(struct keeper *);

#endif /* IDQ_IMPL_H */
