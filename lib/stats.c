/* SPDX-License-Identifier: ISC */
/*
 * How many jobs there are, and how old.  A million of them are counted from
 * their names, which have the due times too; only what runs, and a limited
 * number of what is held or failed, is opened for its time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "idq_impl.h"

#define AGED_MAX	1000		/* held or failed jobs opened */

struct counting {
	struct idq		*q;
	struct idq_counts	*c;
	enum idq_state		 state;	/* of what is walked */
};

static void
earlier(int64_t *t, int64_t at)
{
	if (*t == 0 || at < *t)
		*t = at;
}

static int
count_due(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct idq_counts *c = ((struct counting *)arg)->c;

	(void)folder;
	(void)e;
	if (n->due > c->now) {
		c->n[IDQ_WAITING]++;
		earlier(&c->next, n->due);
	} else {
		c->n[IDQ_PENDING]++;
		earlier(&c->oldest[IDQ_PENDING], n->due);
	}
	return 0;
}

static int
count_ended(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct counting *w = arg;

	(void)folder;
	(void)e;
	(void)n;
	w->c->n[w->state]++;
	return 0;
}

static int
count_aged(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	struct counting *w = arg;
	char path[PATH_SIZE];
	struct job j;
	int r;

	w->c->n[w->state]++;
	if (w->state != IDQ_RUNNING && w->c->n[w->state] > AGED_MAX)
		return 0;
	snprintf(path, sizeof(path), "%s/%.*s", folder, CUR_LEN, e->d_name);
	if ((r = idq_job_open(w->q, path, &j)) == 0)
		return 0;
	if (r == -1 || idq_job_load(w->q, &j, n->hash) == -1)
		idq_notice(w->q, "%s", w->q->msg);
	else if (!j.whole)
		idq_notice(w->q, "%s/%s: is not whole; left alone",
		    w->q->path, path);
	else if (j.pub.state == w->state)
		earlier(&w->c->oldest[w->state], j.pub.since);
	if (r == 1)
		idq_job_close(&j);
	return 0;
}

static int
count_place(struct counting *w, enum place place)
{
	static const enum idq_state states[PL_NSTATES] = {
		[PL_CUR] = IDQ_RUNNING, [PL_HOLD] = IDQ_HELD,
		[PL_FAILED] = IDQ_FAILED, [PL_DONE] = IDQ_DONE,
		[PL_CANCELLED] = IDQ_CANCELLED, [PL_EXPIRED] = IDQ_EXPIRED
	};
	int r;

	w->state = states[place];
	if (place < PL_CUR)
		return idq_walk(w->q, place, count_due, w);
	if (place >= PL_DONE)
		return idq_walk(w->q, place, count_ended, w);
	r = idq_walk(w->q, place, count_aged, w);
	/* The oldest may be one that was not opened. */
	if (w->state != IDQ_RUNNING && w->c->n[w->state] > AGED_MAX)
		w->c->oldest[w->state] = 0;
	return r;
}

int
idq_count(struct idq *q, bool ended, struct idq_counts *c)
{
	const enum place end = ended ? PL_NSTATES : PL_DONE;
	struct counting w = { .q = q, .c = c };

	memset(c, 0, sizeof(*c));
	c->now = idq_now();
	for (enum place p = PL_NEW; p < end; p++)
		if (count_place(&w, p) == -1)
			return -1;
	return 0;
}

/* Lines are of one length, so that sizes count them. */
static int
count_dups(struct idq *q, const char *folder, uint64_t *n)
{
	DIR *d = idq_opendir(q, folder);
	struct dirent *e;
	struct name name;
	struct stat st;
	int r = 0;

	if (d == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(q, "%s/%s", q->path, folder);
	while ((e = idq_readdir(d)) != NULL)
		if (idq_name_parse(PL_CUR, e->d_name, &name) == 0 &&
		    fstatat(dirfd(d), e->d_name, &st,
		    AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
			*n += (uint64_t)st.st_size / DUP_LEN;
	if (errno != 0)
		r = idq_errno(q, "%s/%s", q->path, folder);
	closedir(d);
	return r;
}

int
idq_dups_total(struct idq *q, uint64_t *n)
{
	char folder[PATH_SIZE];

	*n = 0;
	for (unsigned int hh = 0; hh < 256; hh++) {
		snprintf(folder, sizeof(folder), "dups/%02x", hh);
		if (count_dups(q, folder, n) == -1)
			return -1;
	}
	return 0;
}
