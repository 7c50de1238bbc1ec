/* SPDX-License-Identifier: ISC */
/*
 * What the verbs share.  Each cmd_VERB() gets its own name as argv[0] and
 * returns an exit status; main() flushes standard output afterwards.
 */
#ifndef CMD_H
#define CMD_H

#include <sys/types.h>

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sysexits.h>

#include <jansson.h>

#include "idq.h"

#define NITEMS(a)	(sizeof(a) / sizeof((a)[0]))

#define EX_NO		1		/* the answer is no */
#define EX_CRITICAL	2		/* of `check' and `doctor' */
#define EX_UNKNOWN	3
#define EX_RUN		125		/* `idq run' itself failed */

/*
 * opt.c: options by table, so that --help and suggestions come from it too.
 */
struct opt {
	int		 id;		/* a letter, or an OPT_ of long ones */
	const char	*name;		/* long, or NULL */
	const char	*arg;		/* NULL: takes no value */
	const char	*about;
};

enum {
	OPT_PER = 256, OPT_FROM_PAYLOAD, OPT_AT, OPT_IN, OPT_TTL,
	OPT_NOT_AFTER, OPT_KEEP, OPT_ATTEMPTS, OPT_ON_CRASH, OPT_REUSE,
	OPT_PAYLOAD, OPT_BATCH, OPT_JSON, OPT_JSON_LINES, OPT_LEASE, OPT_EXIT,
	OPT_DRAIN, OPT_ONCE, OPT_TIMEOUT, OPT_SINGLE, OPT_FIELD, OPT_SINCE,
	OPT_KILL, OPT_OLDER, OPT_VERSION, OPT_ALL,
	OPT_RATE, OPT_CATCH_UP, OPT_STRICT,
	OPT_BY, OPT_PROMETHEUS, OPT_MAX_AGE, OPT_MAX_IDLE, OPT_MAX_PENDING,
	OPT_MAX_FAILED, OPT_MAX_RUNNING_AGE, OPT_OUTPUT, OPT_ATTEMPT,
	OPT_UNTIL, OPT_EVENT, OPT_GLOB, OPT_COUNT_BY, OPT_MIN,
	OPT_KEY_GLOB, OPT_YES, OPT_EMPTY, OPT_SHARED
};

#define OPT_KEY								\
	{ 'k', NULL, "PART", "the key; several are joined by /" },	\
	{ OPT_PER, "per", "PERIOD",					\
	    "append this hour, day, week, month or year" }
/* Jobs by what they are, and of the verbs that act on them. */
#define OPT_MATCH							\
	{ 's', NULL, "STATE,...",					\
	    "jobs in these states; or all, unfinished" },		\
	{ 'g', NULL, "GROUP", "jobs of this group" },			\
	{ OPT_OLDER, "older", "D", "jobs in their state for so long" },	\
	{ OPT_KEY_GLOB, "key-glob", "PATTERN",				\
	    "jobs with a key like this" }
#define OPT_FILTER							\
	OPT_MATCH,							\
	{ OPT_YES, "yes", NULL, "although these are several jobs" },	\
	{ 'n', "dry-run", NULL, "only print what would be done" }
#define OPT_HELP							\
	{ 'h', "help", NULL, "print this" },				\
	{ 0, NULL, NULL, NULL }
#define OPT_END								\
	{ 'q', NULL, "QUEUE", "the queue, a name or a path" },		\
	OPT_HELP
/* Of a verb that takes several queues, and of one that reads from any. */
#define QUEUES	"QUEUE..."
#define QUEUES_MAX	64
#define OPT_END_SEVERAL							\
	{ 'q', NULL, QUEUES, "a queue; may be given several times" },	\
	OPT_HELP
#define OPT_END_READS							\
	{ OPT_ALL, "all", NULL, "all queues of the spool" },		\
	OPT_END_SEVERAL

struct verb {
	const char	*name;
	int		(*run)(int, char **);
	const char	*usage;		/* what follows the name */
	const char	*about;
};

void	 set_verb(const struct verb *);
const char *verb_name(void);
/*
 * The id of the next option, its value in optarg; 0 at the end.  -q and -h
 * are done here, and what is wrong exits.
 */
int	 next_option(const struct opt *, int argc, char **argv);
/*
 * After the last option: let *argc and *argv be the operands, at least MIN
 * and, unless MAX is -1, at most MAX of them, called WHAT.
 */
void	 operands(int *argc, char ***argv, int min, int max, const char *what);
/* The queue that the last -q named, or NULL. */
const char *queue_option(void);
/* All of them, *N; --all counts as none.  The last -q of main is the first. */
const char *const *queue_options(size_t *n);
bool	 all_queues(void);		/* --all was given */

/* util.c: words to a person. */

/* `idq: VERB: ...' and a newline, in one write and fit for a terminal. */
void	 complain(const char *, ...)
	    __attribute__((__format__(printf, 1, 2)));
/* The same, then exit as for wrong usage. */
_Noreturn void usage_error(const char *, ...)
	    __attribute__((__format__(printf, 1, 2)));
/* Complain of the handle's failure, about SUBJECT or NULL: its code. */
int	 complain_queue(struct idq *, const char *subject);
int	 complain_memory(void);
/* Flush standard output; what fails is told at the end, as below. */
bool	 flush_now(void);
/* At the end: words that nobody got are a failed command: STATUS, or 74. */
int	 flush_output(int status);
/* `; did you mean 'WORD'?', or all the WORDS, into BUF. */
const char *suggestion(const char *word, const char *const *words,
	    const char *before, char *buf, size_t len);

/* util.c: values of options.  What is wrong with one exits. */
int64_t	 number_value(const char *opt, const char *s, int64_t min,
	    int64_t max);
/* WORD, if not NULL, stands for IDQ_FOREVER. */
int64_t	 duration_value(const char *opt, const char *s, const char *word);
int64_t	 time_value(const char *opt, const char *s, bool today);
/* The index of S in WORDS, which end with NULL. */
int	 word_value(const char *opt, const char *s, const char *const *words);
int64_t	 rate_value(const char *opt, const char *s);
const char *group_value(const char *opt, const char *s);
int64_t	 keep_value(const char *s);
int64_t	 lease_value(const char *s);
enum idq_on_crash on_crash_value(const char *s);
/* What to say of a bad duration, where WORD could stand too. */
const char *duration_hint(const char *s, const char *word, char *buf,
	    size_t len);

/* util.c: queues. */

/* The path of the queue of -q, to be freed; NULL after the words. */
char	*queue_path(const char *usual);
/* Complain of a failed open or init: its code. */
int	 complain_open(struct idq *);
/*
 * Open the queue of -q.  0 and the handle, or its exit status after the words
 * and NULL.  FLAGS as for idq_open(); IDQ_CREATE counts for the queue USUAL
 * alone, which is also the default.
 */
int	 open_queue(struct idq **, const char *usual, int flags);
/* The same for the queue NAME; FLAGS as they are. */
int	 open_named(struct idq **, const char *name, int flags);

/*
 * queues.c: call EACH with every queue that -q named, all of the spool with
 * --all, else the default one.  A queue that cannot be opened is told, and the
 * others follow.  Returns the highest status.
 */
int	 each_queue(int flags, int (*each)(void *, struct idq *), void *);
/* The same, but FAILED gets name, code and words, and says them; its status. */
typedef int queue_failed(void *, const char *, int, const char *);
int	 each_queue_or(int flags, int (*each)(void *, struct idq *),
	    queue_failed *, void *);
/*
 * All of them at once: 0 and N handles in QS, or a status after the words, and
 * none.
 */
int	 open_queues(struct idq *qs[QUEUES_MAX], size_t *n, int flags);
void	 close_queues(struct idq **qs, size_t n);
/* Whether there may be more than one: then what is printed names them. */
bool	 several_queues(void);
const char *queue_name(const struct idq *);	/* as -q takes it */
void	 json_queue(json_t *, const struct idq *);	/* then name it */

/* refs.c: keys by -k and --per, and lists of them. */
struct key_opts {
	char		*parts[IDQ_KEY_MAX];
	size_t		 n;
	const char	*per;
};

/* Whether C was one of OPT_KEY, which is then taken. */
bool	 key_option(struct key_opts *, int c);
/* The key of -k and --per; what is wrong exits. */
void	 key_of_options(const struct key_opts *, char key[IDQ_KEY_MAX + 1]);
/* Neither both, nor nothing; what is wrong exits. */
void	 check_refs(const struct key_opts *, int argc, char **argv);
/*
 * Call EACH for -k's key, or each operand, or each line of standard input if
 * that is what one says.  FLAGS of the call are those of idq_find().  Returns
 * the highest status.
 */
int	 each_ref(const struct key_opts *, int argc, char **argv,
	    int (*each)(void *, const char *ref, int flags), void *);
/*
 * The same for a verb that only looks: EACH gets every job that is found, in
 * one or several queues, and the ref.
 */
typedef int	 look_at(void *, struct idq *, const struct idq_job *,
	    const char *ref);
int	 each_job_found(const struct key_opts *, int argc, char **argv,
	    look_at *each, void *);
/* The job of a ref: 0 and the job, else a status, said, and NULL. */
int	 find_job(struct idq *, const char *ref, int flags,
	    struct idq_job **);

/* filter.c: jobs by what they are. */
#define UNFINISHED	(1u << IDQ_WAITING | 1u << IDQ_PENDING |	\
			    1u << IDQ_RUNNING | 1u << IDQ_HELD)

#define FINAL		(1u << IDQ_DONE | 1u << IDQ_FAILED |		\
			    1u << IDQ_CANCELLED | 1u << IDQ_EXPIRED)

struct filter {
	struct idq_filter f;
	bool		 given;		/* any criterion was */
	bool		 yes;
	bool		 dry_run;
};

/* Whether C was one of OPT_FILTER, which is then taken. */
bool	 filter_option(struct filter *, int c);
/* Not both keys and a filter, nor -n without one; what is wrong exits. */
void	 check_filter(const struct filter *, const struct key_opts *,
	    int argc, char **argv);
/* USUAL states if none were given, and of them those that are POSSIBLE. */
void	 filter_states(struct filter *, unsigned int usual,
	    unsigned int possible);
/*
 * Whether COUNT jobs may be acted on, because of their number, --yes, or what
 * a person answers: 0, or the exit status.
 */
int	 filter_confirm(struct idq *, const struct filter *, uint64_t count);
/*
 * Call EACH with a token of every job that matches at first, once that is
 * confirmed.  Memory: 84 bytes for each.  Returns the highest status.
 */
int	 each_match(struct idq *, const struct filter *,
	    int (*each)(void *, const char *token), void *);

/* paused.c: `paused since TIME by USER@HOST: REASON'. */
#define PAUSED_SIZE	(IDQ_KEY_MAX + 256)
const char *paused_text(const struct idq_paused *, bool local, char *buf,
	    size_t len);
/* On a terminal, and if it is paused: a line that says so. */
void	 tell_paused(struct idq *);

/* operate.c: what the verbs on jobs, and on tokens, have in common. */

/* The options of OPT_KEY, OPT_FILTER, -v and perhaps --kill. */
struct operation {
	const struct opt *opts;
	const char	*done;		/* what -v prints */
	int		(*call)(struct idq *, const char *ref, int flags,
			    bool kill);
	unsigned int	 usual;		/* states of a filter without -s */
	unsigned int	 possible;	/* and those that -s may name */
};
int	 operate(const struct operation *, int argc, char **argv);
int	 each_token(int argc, char **argv,
	    int (*call)(struct idq *, const char *token, int64_t), int64_t);

/* out.c: tables, JSON, times. */

/* Columns on a terminal, tabs elsewhere. */
struct table {
	const char *const *heads;	/* one per column */
	size_t		 ncols;
	size_t		 colour;	/* the column with a word of it */
	bool		 tty;
	bool		 headed;
	size_t		 width[10];
	char		**cells;	/* of whole rows, and one begun */
	size_t		 rows;
	size_t		 col;		/* of the next cell */
};
void	 table_init(struct table *, const char *const *heads, size_t ncols,
	    size_t colour);
void	 table_cell(struct table *, const char *);
void	 table_end(struct table *);

/* With what would act on a terminal in octal. */
void	 print_safe(FILE *f, const char *s, size_t len);
void	 print_text(const char *);	/* so on standard output */
/* A UTC stamp, or on a terminal local time. */
#define TIME_SIZE	(IDQ_STAMP_LEN + 1)
const char *time_text(int64_t, bool local, char buf[TIME_SIZE]);
/* A line with its stamps as local time, to be freed; NULL: no memory. */
char	*local_stamps(const char *line);
/* Such as 6h40m, of at most two units. */
const char *age_text(int64_t, char buf[32]);
bool	 on_terminal(void);		/* standard output is one */
bool	 stderr_on_terminal(void);

/* Print and free it; a NULL is out of memory. */
void	 print_json(json_t *);
json_t	*json_text(const char *);	/* what is not UTF-8 replaced */
json_t	*json_time(int64_t);		/* null if 0 */
/*
 * All that can be read from FD, safe on a terminal; 0, or its status after the
 * words about SUBJECT.  Closes it.
 */
int	 print_file(int fd, const char *subject);
/* The job's token, or "" if nobody claims it. */
const char *token_of(const struct idq_job *, char buf[IDQ_TOKEN_LEN + 1]);

/* A bar on standard error, if that is a terminal. */
void	 progress_start(int64_t total);	/* 0: not known */
void	 progress(uint64_t count, int64_t done);
void	 progress_clear(void);
void	 progress_end(void);
/* A tick for purge and fsck. */
int	 progress_tick(void *, uint64_t count);

/* fields.c: a job as named fields.  What fails is said. */
const char *const *field_names(void);
/* One field, each value ended by END. */
int	 print_field(struct idq *, const struct idq_job *, size_t field,
	    char end);
int	 print_fields(struct idq *, const struct idq_job *);
json_t	*job_json(struct idq *, const struct idq_job *);	/* or NULL */

/* cmd_stats.c and prometheus.c */
struct queue_stats {
	char		*queue;		/* its name */
	bool		 readable;	/* else only the name is known */
	bool		 is_paused;
	struct idq_paused paused;
	struct idq_counts jobs;
	struct idq_activity act;
	uint64_t	 dups;
};
/* To FILE, by rename, or, if that is NULL, to standard output: a status. */
int	 prometheus(const struct queue_stats *, size_t n, const char *file);

/* cmd_add.c and batch.c */
struct add_opts {
	struct idq_add	 add;
	int64_t		 in;		/* --in, else 0 */
	const char	*per;
	int		 dup_exit;
	bool		 strict;
	bool		 verbose;
	bool		 json;
	bool		 json_lines;
};
/* What -v and --json print. */
void	 added_print(const struct add_opts *, const char *key,
	    const struct idq_added *);
/* Of an add that failed before it had a result. */
void	 added_failed(const struct idq *, struct idq_added *);
/* What is to be said on standard error, of LINE or 0: the exit status. */
int	 added_say(struct idq *, bool strict, const char *key,
	    const struct idq_added *, uint64_t line);
int	 batch(struct idq *, const struct add_opts *);

/*
 * alarm.c: whether there is something that a producer's mail should say of
 * this add; it is said at most once an hour, or ALWAYS.  STRICT: be sure, at
 * any price.
 */
bool	 alarm_added(struct idq *, const char *key, const struct idq_added *,
	    bool strict, bool always);

/* input.c: lines of a descriptor, without ever waiting unasked. */
struct input {
	int		 fd;
	char		*buf;
	size_t		 cap, start, end;
	size_t		 seen;		/* of these, without a newline */
	bool		 eof;
	uint64_t	 number;	/* of the last line */
	int64_t		 taken;		/* bytes of all lines so far */
};
/* The next line: 1, 0 at the end, -1 with errno; EMSGSIZE: it was skipped. */
int	 input_line(struct input *, char **line, size_t *len);
/* Whether input_line() would answer at once, or in MS milliseconds. */
bool	 input_ready(struct input *, int ms);

/* jsonline.c: a line of --json-lines. */
struct batch_item {
	struct idq_add	 add;
	uint64_t	 line;
	char		*text;		/* the line, of TSV */
	json_t		*object;	/* the line, of JSON */
	char		*payload;	/* decoded */
	char		*key;
	char		**args;
	char		 why[512];	/* what is wrong with it, or "" */
};
void	 json_line(struct batch_item *, const char *line, size_t len);
/*
 * payload.c: the fingerprint of ADD, whose descriptor can then be read as
 * before, or is replaced.  -1 with errno.
 */
int	 fingerprint(struct idq_add *, char hex[IDQ_HASH_LEN + 1]);
/* The bytes, to be freed; NULL if they are not base64. */
char	*base64(const char *, size_t len, size_t *out_len);
char	*to_base64(const char *, size_t len);	/* NULL with errno */

/* jobline.c: as idq_work.put */
const char *put_job(void *, struct idq *, const struct idq_job *, FILE *);

/*
 * cmd_plan.c: what a worker would do if it started now, for a person, at RATE
 * or, if that is 0, as config says.  0, or the status of a failure, said.
 */
int	 plan_print(struct idq *, FILE *, int64_t rate);

/* The umask that we were started with, for commands. */
mode_t	 command_umask(void);

int	 cmd_ack(int, char **);
int	 cmd_add(int, char **);
int	 cmd_cancel(int, char **);
int	 cmd_cat(int, char **);
int	 cmd_check(int, char **);
int	 cmd_claim(int, char **);
int	 cmd_config(int, char **);
int	 cmd_doctor(int, char **);
int	 cmd_fail(int, char **);
int	 cmd_forget(int, char **);
int	 cmd_fsck(int, char **);
int	 cmd_hold(int, char **);
int	 cmd_init(int, char **);
int	 cmd_key(int, char **);
int	 cmd_log(int, char **);
int	 cmd_ls(int, char **);
int	 cmd_plan(int, char **);
int	 cmd_pause(int, char **);
int	 cmd_purge(int, char **);
int	 cmd_release(int, char **);
int	 cmd_renew(int, char **);
int	 cmd_resume(int, char **);
int	 cmd_retry(int, char **);
int	 cmd_run(int, char **);
int	 cmd_show(int, char **);
int	 cmd_stats(int, char **);
int	 cmd_unhold(int, char **);
int	 cmd_wait(int, char **);
int	 cmd_work(int, char **);

#endif /* CMD_H */
