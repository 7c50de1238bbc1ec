/* SPDX-License-Identifier: ISC */
/*
 * What the files of the verb log share.
 */
#ifndef LOG_H
#define LOG_H

#include "cmd.h"

/* logfilter.c: which lines are wanted. */

#define LOG_DUPLICATE	"duplicate"	/* the event that dups/ has instead */

struct log_filter {
	int64_t		 since;		/* -1: was not given */
	int64_t		 until;		/* before this */
	uint64_t	 events;	/* a bit for each; 0: all */
	const char	*group;		/* NULL: any */
	const char	*glob;		/* of keys; NULL: any */
};

/* Values of options.  What is wrong with one exits. */
int64_t	 log_when(const char *opt, const char *s);
uint64_t log_events(const char *list);

bool	 log_names(const struct log_filter *, const char *event);
bool	 log_match(const struct log_filter *, const struct idq_event *);

/* logline.c: a line, in one of its forms. */

void	 log_table(struct table *);	/* begin one of rows */
/* Q: whose it is. */
void	 log_print_row(struct table *, const struct idq *q,
	    const struct idq_event *);
void	 log_print_object(const struct idq *q, const struct idq_event *);

/* logcount.c: how many lines have each value. */

enum log_by { BY_NONE = -1, BY_KEY, BY_GROUP, BY_EVENT, BY_HOUR };

struct log_counts {
	enum log_by	 by;
	int64_t		 min;		/* print what has this many; 0: all */
	void		*tree;		/* of search.h */
	struct count	*first;
	size_t		 n;
};

enum log_by log_by_value(const char *s);	/* or it exits */
void	 log_count(struct log_counts *, const struct idq_event *);
/* Print them, the most frequent first, and free them. */
void	 log_counts_print(struct log_counts *, bool json);

/* logdups.c: duplicates, kept until their turn in the order of time. */

struct log_dups {
	const struct log_filter *filter;
	struct dup_job	*jobs;
	struct dup	*v;
	size_t		 n;
	size_t		 cap;
	size_t		 next;		/* to be given */
};

/* Keep those of the job that the filter wants; 0 or -1. */
int	 log_dups_add(struct log_dups *, struct idq *,
	    const struct idq_job *);
void	 log_dups_sort(struct log_dups *);
/* The next one before that time, if there is one. */
bool	 log_dups_next(struct log_dups *, int64_t before,
	    struct idq_event *);
void	 log_dups_clear(struct log_dups *);

/* logfollow.c: what is there, then what comes, until told to end. */

struct log_follow {
	bool	(*wants)(void *, const struct idq_event *);
	void	(*print)(void *, const struct idq_event *);
	void	(*flush)(void *);	/* to standard output, unflushed */
	void	*arg;
};

/* From SINCE on or, if that is -1, from the last lines: its exit status. */
int	 log_follow(struct idq *, int64_t since, const struct log_follow *);

#endif /* LOG_H */
