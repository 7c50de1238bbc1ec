/* SPDX-License-Identifier: ISC */
#include <inttypes.h>

#include "cmd.h"

struct purge {
	struct idq	*q;
	struct idq_purge p;
	struct filter	 filter;
	struct key_opts	 key;
	bool		 narrow;	/* not all jobs */
	bool		 verbose;
};

static int
purge_key(void *arg, const char *ref, int flags)
{
	struct purge *s = arg;

	switch (idq_purge_job(s->q, ref, flags, &s->p)) {
	case 1:
		return 0;
	case 0:
		complain("%s: no such job in %s", ref, idq_queue_dir(s->q));
		return EX_NO;
	default:
		return complain_queue(s->q, ref);
	}
}

static int
purge_all(struct purge *s)
{
	int r;

	progress_start(0);
	r = idq_purge(s->q, &s->p);
	progress_end();
	return r == 0 ? 0 : complain_queue(s->q, NULL);
}

/* Several jobs, picked by a filter: count them first. */
static int
purge_narrow(struct purge *s)
{
	bool dry_run = s->p.dry_run;
	int status;

	s->p.only = &s->filter.f;
	if (!dry_run && !s->filter.yes) {
		s->p.dry_run = true;
		if ((status = purge_all(s)) == 0)
			status = filter_confirm(s->q, &s->filter, s->p.jobs);
		if (status != 0) {
			s->p.jobs = s->p.held = 0;
			return status;
		}
		s->p.dry_run = false;
	}
	return purge_all(s);
}

static void
report(const struct purge *s)
{
	if (s->verbose)
		printf("jobs\t%" PRIu64 "\nlogs\t%" PRIu64 "\n", s->p.jobs,
		    s->p.logs);
	if (s->p.held > 0)
		complain("%s: %" PRIu64 " jobs held back: the clock is more "
		    "than a day past the newest line of the log; run it again",
		    idq_queue_dir(s->q), s->p.held);
}

static int
purge(struct purge *s, int argc, char **argv)
{
	int status = open_queue(&s->q, "default",
	    s->p.dry_run ? IDQ_READ : IDQ_WRITE | IDQ_CREATE);

	if (status != 0)
		return status;
	if (s->narrow)
		status = purge_narrow(s);
	else if (argc > 0 || s->key.n > 0)
		status = each_ref(&s->key, argc, argv, purge_key, s);
	else
		status = purge_all(s);
	report(s);
	if (status == 0)
		status = idq_passed(s->q);
	idq_close(s->q);
	return status;
}

/* Of -s, -g and --key-glob; --older alone is no filter here. */
static void
check(struct purge *s, int argc, char **argv)
{
	s->filter.given = s->narrow;
	check_filter(&s->filter, &s->key, argc, argv);
	if (s->narrow)
		filter_states(&s->filter, FINAL, FINAL);
	else if (argc > 0 || s->key.n > 0 || s->key.per != NULL)
		check_refs(&s->key, argc, argv);
}

int
cmd_purge(int argc, char **argv)
{
	static const struct opt opts[] = {
		OPT_KEY,
		OPT_FILTER,
		{ 'v', NULL, NULL, "print counts" },
		OPT_END
	};
	struct purge s = { .p.tick = progress_tick };
	int c;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == OPT_OLDER) {
			/* 0 means by release there. */
			s.p.older = duration_value("--older", optarg, NULL);
			s.p.older += s.p.older == 0;
		} else if (c == 'n')
			s.p.dry_run = true;
		else if (c == 'v')
			s.verbose = true;
		else if (filter_option(&s.filter, c))
			s.narrow = s.filter.given;
		else
			key_option(&s.key, c);
	}
	operands(&argc, &argv, 0, -1, "key");
	check(&s, argc, argv);
	return purge(&s, argc, argv);
}
