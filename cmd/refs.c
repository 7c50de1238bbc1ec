/* SPDX-License-Identifier: ISC */
/*
 * How verbs are told which jobs: -k and --per, operands, a list.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

bool
key_option(struct key_opts *k, int c)
{
	static const char *const periods[] = { "hour", "day", "week",
	    "month", "year", NULL };

	switch (c) {
	case 'k':
		/* More parts than bytes in a key cannot be one. */
		if (k->n == NITEMS(k->parts))
			usage_error("-k: the key is longer than %d bytes",
			    IDQ_KEY_MAX);
		k->parts[k->n++] = optarg;
		return true;
	case OPT_PER:
		word_value("--per", optarg, periods);
		k->per = optarg;
		return true;
	default:
		return false;
	}
}

void
key_of_options(const struct key_opts *k, char key[IDQ_KEY_MAX + 1])
{
	const char *why;

	for (size_t i = 0; i < k->n; i++)
		if (*k->parts[i] == '\0')
			usage_error("-k: part %zu of %zu of the key is empty",
			    i + 1, k->n);
	why = idq_key_join(k->parts, k->n, key, IDQ_KEY_MAX + 1);
	if (why != NULL)
		usage_error("-k %s%s: the key %s", k->parts[0],
		    k->n > 1 ? " ..." : "", why);
	if (k->per == NULL)
		return;
	why = idq_key_per(key, IDQ_KEY_MAX + 1, k->per, idq_now());
	if (why != NULL)
		usage_error("-k %s --per %s: the key %s", k->parts[0], k->per,
		    why);
}

struct refs {
	int	(*each)(void *, const char *, int);
	void	*arg;
	int	 status;
};

static void
one(struct refs *r, const char *ref, int flags)
{
	int status = r->each(r->arg, ref, flags);

	if (status > r->status)
		r->status = status;
}

static void
bad_line(struct refs *r, uintmax_t number, const char *why)
{
	complain("line %ju: %s", number, why);
	if (r->status < EX_USAGE)
		r->status = EX_USAGE;
}

static void
list(struct refs *r)
{
	char *line = NULL;
	size_t cap = 0;
	uintmax_t number = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) > 0) {
		number++;
		if (line[n - 1] == '\n')
			line[--n] = '\0';
		if (n == 0)
			bad_line(r, number, "is empty");
		else if (strlen(line) != (size_t)n)
			bad_line(r, number, "has a NUL byte");
		else
			one(r, line, 0);
	}
	if (ferror(stdin)) {
		complain("standard input: %s", strerror(errno));
		if (r->status < EX_IOERR)
			r->status = EX_IOERR;
	}
	free(line);
}

void
check_refs(const struct key_opts *k, int argc, char **argv)
{
	char key[IDQ_KEY_MAX + 1];

	if (k->n > 0 && argc > 0)
		usage_error("%s: give keys as operands or one by -k, not both",
		    argv[0]);
	if (k->n == 0 && k->per != NULL)
		usage_error("--per %s: goes with -k", k->per);
	if (k->n == 0 && argc == 0)
		usage_error("no key given");
	if (k->n > 0)
		key_of_options(k, key);
}

int
each_ref(const struct key_opts *k, int argc, char **argv,
    int (*each)(void *, const char *, int), void *arg)
{
	struct refs r = { each, arg, 0 };
	char key[IDQ_KEY_MAX + 1];

	if (k->n > 0) {
		key_of_options(k, key);
		one(&r, key, IDQ_REF_KEY);
	}
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "-") == 0)
			list(&r);
		else
			one(&r, argv[i], 0);
	return r.status;
}

int
find_job(struct idq *q, const char *ref, int flags, struct idq_job **jp)
{
	switch (idq_find(q, ref, flags, jp)) {
	case 1:
		return 0;
	case 0:
		complain("%s: no such job in %s", ref, idq_queue_dir(q));
		return EX_NO;
	default:
		return complain_queue(q, ref);
	}
}

struct looking {
	look_at		*each;
	void		*arg;
	struct idq	*q;		/* the only one, or that of now */
	const char	*ref;
	int		 flags;
	int		 found;
};

static int
look(void *arg, struct idq *q)
{
	struct looking *l = arg;
	struct idq_job *j;
	int status;

	switch (idq_find(q, l->ref, l->flags, &j)) {
	case 1:
		l->found++;
		status = l->each(l->arg, q, j, l->ref);
		idq_job_free(j);
		return status;
	case 0:
		return 0;
	default:
		l->found++;
		return complain_queue(q, l->ref);
	}
}

static int
look_for(void *arg, const char *ref, int flags)
{
	struct looking *l = arg;
	int status;

	l->ref = ref;
	l->flags = flags;
	l->found = 0;
	status = l->q != NULL ? look(l, l->q) : each_queue(IDQ_READ, look, l);
	l->ref = NULL;
	if (l->found > 0 || status != 0)
		return status;
	complain("%s: no such job in %s", ref, l->q != NULL ?
	    idq_queue_dir(l->q) : "any of these queues");
	return EX_NO;
}

int
each_job_found(const struct key_opts *k, int argc, char **argv, look_at *each,
    void *arg)
{
	struct looking l = { .each = each, .arg = arg };
	int status;

	if (several_queues())
		return each_ref(k, argc, argv, look_for, &l);
	if ((status = open_queue(&l.q, "default", IDQ_READ)) != 0)
		return status;
	status = each_ref(k, argc, argv, look_for, &l);
	idq_close(l.q);
	return status;
}
