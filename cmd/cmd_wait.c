/* SPDX-License-Identifier: ISC */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"

/* A job that is waited for.  Its token: the key may become another job's. */
struct awaited {
	struct idq	*q;
	char		*token;
	char		*key;
};

struct wait {
	struct idq	*queues[QUEUES_MAX];
	size_t		 nqueues;
	struct idq_watch *watch;	/* on the first of them */
	bool		 verbose;
	struct awaited	*v;
	size_t		 n;
	size_t		 cap;
	int		 status;	/* so far */
};

static int64_t
ticks(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * IDQ_SECOND + t.tv_nsec / 1000;
}

static void
note(struct wait *w, int status)
{
	if (status > w->status)
		w->status = status;
}

static void
add(struct wait *w, struct idq *q, const struct idq_job *j)
{
	struct awaited *a;

	if (w->n == w->cap) {
		w->cap = w->cap == 0 ? 64 : 2 * w->cap;
		w->v = reallocarray(w->v, w->cap, sizeof(*w->v));
		if (w->v == NULL)
			exit(complain_memory());
	}
	a = &w->v[w->n++];
	a->q = q;
	a->key = strdup(j->key);
	if (a->key == NULL ||
	    asprintf(&a->token, "%s.%s.0", j->hash, j->id) == -1)
		exit(complain_memory());
}

/* In whichever queue has it. */
static int
take(void *arg, const char *ref, int flags)
{
	struct wait *w = arg;
	struct idq_job *j;
	size_t before = w->n;

	for (size_t i = 0; i < w->nqueues; i++) {
		switch (idq_find(w->queues[i], ref, flags, &j)) {
		case 1:
			add(w, w->queues[i], j);
			idq_job_free(j);
			break;
		case -1:
			return complain_queue(w->queues[i], ref);
		}
	}
	if (w->n > before)
		return 0;
	complain("%s: no such job in %s", ref, w->nqueues > 1 ?
	    "any of these queues" : idq_queue_dir(w->queues[0]));
	return EX_NO;
}

static void
ended(struct wait *w, const struct idq_job *j)
{
	if (j->state != IDQ_DONE)
		note(w, EX_NO);
	if (!w->verbose)
		return;
	/* Past its deadline, though nobody has written that down. */
	printf("%s\t%s\t", idq_state_name(j->state == IDQ_PENDING ||
	    j->state == IDQ_WAITING ? IDQ_EXPIRED : j->state), j->hash);
	print_text(j->key);
	putchar('\n');
	flush_now();
}

/* Whether there is nothing left to wait for in A. */
static bool
is_over(struct wait *w, const struct awaited *a)
{
	struct idq_job *j;
	bool over = true;

	switch (idq_find(a->q, a->token, 0, &j)) {
	case 1:
		if ((over = idq_is_final(j, idq_now())))
			ended(w, j);
		idq_job_free(j);
		break;
	case 0:
		complain("%s: was removed", a->key);
		note(w, EX_NO);
		break;
	default:
		note(w, complain_queue(a->q, a->key));
	}
	return over;
}

static bool
all_over(struct wait *w)
{
	size_t left = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct awaited *a = &w->v[i];

		if (a->token == NULL)
			continue;	/* told already */
		if (!is_over(w, a)) {
			left++;
			continue;
		}
		free(a->token);
		free(a->key);
		a->token = a->key = NULL;
	}
	return left == 0;
}

static bool
is_drained(struct wait *w)
{
	int r = 1;

	for (size_t i = 0; r == 1 && i < w->nqueues; i++)
		if ((r = idq_is_drained(w->queues[i])) == -1)
			note(w, complain_queue(w->queues[i], NULL));
	return r != 0;
}

/* Until OVER says so, or TIMEOUT is over (-1: none). */
static int
wait_until(struct wait *w, bool (*over)(struct wait *), int64_t timeout)
{
	int64_t start = ticks(), left = IDQ_HOUR;

	while (!over(w)) {
		if (timeout != -1 &&
		    (left = timeout - (ticks() - start)) <= 0)
			return EX_TEMPFAIL;
		idq_watch_wait(w->watch, left);
	}
	return w->status;
}

static int
wait_for(struct wait *w, const struct key_opts *key, int argc, char **argv,
    bool empty, int64_t timeout)
{
	int status;

	if ((w->watch = idq_watch_new(w->queues[0])) == NULL)
		return complain_memory();
	if (!empty)
		note(w, each_ref(key, argc, argv, take, w));
	for (size_t i = 0; i < w->nqueues; i++) {
		tell_paused(w->queues[i]);
		/* What is foreign need not be said each second. */
		idq_set_notice(w->queues[i], NULL, NULL);
	}
	status = wait_until(w, empty ? is_drained : all_over, timeout);
	for (size_t i = 0; i < w->n; i++) {
		free(w->v[i].token);
		free(w->v[i].key);
	}
	free(w->v);
	idq_watch_free(w->watch);
	return status;
}

int
cmd_wait(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		{ OPT_EMPTY, "empty", NULL,
		    "until nothing is pending or running" },
		{ OPT_TIMEOUT, "timeout", "D", "for so long at most" },
		{ 'v', NULL, NULL, "print each outcome" },
		OPT_END_READS
	};
	struct wait w = { .status = 0 };
	struct key_opts key = { .n = 0 };
	int64_t timeout = -1;
	bool empty = false;
	int c, status;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == OPT_EMPTY)
			empty = true;
		else if (c == OPT_TIMEOUT)
			timeout = duration_value("--timeout", optarg, NULL);
		else if (c == 'v')
			w.verbose = true;
		else
			key_option(&key, c);
	}
	operands(&argc, &argv, 0, -1, "key");
	if (empty && (argc > 0 || key.n > 0 || key.per != NULL))
		usage_error("--empty: does not go with keys");
	if (!empty)
		check_refs(&key, argc, argv);
	status = open_queues(w.queues, &w.nqueues, IDQ_READ);
	if (status != 0 || w.nqueues == 0)
		return status;
	status = wait_for(&w, &key, argc, argv, empty, timeout);
	close_queues(w.queues, w.nqueues);
	return status;
}
