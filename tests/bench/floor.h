/* SPDX-License-Identifier: ISC */
/*
 * The floors: what keeps the promise of idq with the fewest system calls, in
 * the same places of the same queue, and nothing else: no lock against others,
 * no log, no alarm, no look at what is there.
 */
#ifndef FLOOR_H
#define FLOOR_H

#include <stddef.h>

struct floor_job {
	char	id[17];
	char	hash[65];
	char	tmp[32];
	char	key[80];
	char	state[160];
	char	text[8192];
	size_t	len;
};

/* Seconds and microseconds of now; SIZE 28 as 2026-11-23T20:35:00.123456Z. */
void	floor_stamp(char *, size_t);
/* A job of KEY with one argument, as it stands in a file. */
void	floor_make(struct floor_job *, const char *, const char *);
/* Create, write and link; the descriptor. */
int	floor_create(int, const struct floor_job *);
void	floor_sync_dir(int, const char *);
int	floor_open(const char *);
/* Lock and claim NAME of new/, which is put into CUR: the descriptor, or -1. */
int	floor_claim(int, const char *, char *, size_t);
/* The last line, sync, done/DAY. */
void	floor_finish(int, int, const char *);

#endif
