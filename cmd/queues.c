/* SPDX-License-Identifier: ISC */
/*
 * Verbs that read from several queues.
 */
#include <string.h>

#include "cmd.h"

bool
several_queues(void)
{
	size_t n;

	queue_options(&n);
	return n > 1 || all_queues();
}

const char *
queue_name(const struct idq *q)
{
	const char *const *names;
	const char *slash = strrchr(idq_queue_dir(q), '/');
	size_t n;

	/* A queue of the spool by its name, any other by its path. */
	names = queue_options(&n);
	for (size_t i = 0; i < n; i++)
		if (strchr(names[i], '/') == NULL &&
		    strcmp(names[i], slash + 1) == 0)
			return slash + 1;
	return all_queues() || n == 0 ? slash + 1 : idq_queue_dir(q);
}

static int
one(const char *name, int flags, int (*each)(void *, struct idq *),
    void *arg)
{
	struct idq *q;
	int status = open_named(&q, name, flags);

	if (status != 0)
		return status;
	status = each(arg, q);
	idq_close(q);
	return status;
}

static int
worse(int a, int b)
{
	return a > b ? a : b;
}

static int
whole_spool(int flags, int (*each)(void *, struct idq *), void *arg)
{
	const char *why;
	char **names = idq_spool_queues(&why);
	int status = 0;

	if (names == NULL) {
		complain("--all: %s", why);
		return EX_IOERR;
	}
	for (size_t i = 0; names[i] != NULL; i++)
		status = worse(status, one(names[i], flags, each, arg));
	idq_names_free(names);
	return status;
}

int
each_queue(int flags, int (*each)(void *, struct idq *), void *arg)
{
	const char *const *names;
	int status = 0;
	size_t n;

	if (all_queues())
		return whole_spool(flags, each, arg);
	names = queue_options(&n);
	if (n == 0)
		return one("default", flags, each, arg);
	for (size_t i = 0; i < n; i++)
		status = worse(status, one(names[i], flags, each, arg));
	return status;
}
