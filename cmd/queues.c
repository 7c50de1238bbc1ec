/* SPDX-License-Identifier: ISC */
/*
 * Verbs that read from several queues.
 */
#include <errno.h>
#include <stdlib.h>
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

void
json_queue(json_t *o, const struct idq *q)
{
	if (several_queues())
		json_object_set_new(o, "queue", json_text(queue_name(q)));
}

/* What each_queue() is to do. */
struct visit {
	int	 flags;
	int	(*each)(void *, struct idq *);
	queue_failed *failed;		/* NULL: it is complained of */
	void	*arg;
};

static void
notice(void *arg, const char *line)
{
	(void)arg;
	complain("%s", line);
}

/* NULL after the words, whose status is then *STATUS. */
static struct idq *
open_told(const struct visit *v, const char *name, int *status)
{
	const char *why;
	char *path = idq_queue_path(name, &why), text[512];
	struct idq *q = NULL;

	if (path == NULL) {
		snprintf(text, sizeof(text), "-q %s: %s", name, why);
		*status = v->failed(v->arg, name, EX_USAGE, text);
		return NULL;
	}
	if (idq_open(&q, path, v->flags) == 0)
		idq_set_notice(q, notice, NULL);
	else {
		*status = q == NULL ?
		    v->failed(v->arg, name, EX_TEMPFAIL, strerror(ENOMEM)) :
		    v->failed(v->arg, name, idq_errcode(q), idq_errmsg(q));
		idq_close(q);
		q = NULL;
	}
	free(path);
	return q;
}

static int
one(const struct visit *v, const char *name)
{
	struct idq *q = NULL;
	int status = 0;

	if (v->failed == NULL)
		status = open_named(&q, name, v->flags);
	else
		q = open_told(v, name, &status);
	if (q == NULL)
		return status;
	status = v->each(v->arg, q);
	idq_close(q);
	return status;
}

static int
worse(int a, int b)
{
	return a > b ? a : b;
}

static int
whole_spool(const struct visit *v)
{
	const char *why;
	char **names = idq_spool_queues(&why), text[512];
	int status = 0;

	if (names == NULL && v->failed == NULL) {
		complain("--all: %s", why);
		return EX_IOERR;
	}
	if (names == NULL) {
		snprintf(text, sizeof(text), "--all: %s", why);
		return v->failed(v->arg, "--all", EX_IOERR, text);
	}
	for (size_t i = 0; names[i] != NULL; i++)
		status = worse(status, one(v, names[i]));
	idq_names_free(names);
	return status;
}

static int
visit(const struct visit *v)
{
	const char *const *names;
	int status = 0;
	size_t n;

	if (all_queues())
		return whole_spool(v);
	names = queue_options(&n);
	if (n == 0)
		return one(v, "default");
	for (size_t i = 0; i < n; i++)
		status = worse(status, one(v, names[i]));
	return status;
}

int
each_queue(int flags, int (*each)(void *, struct idq *), void *arg)
{
	const struct visit v = { flags, each, NULL, arg };

	return visit(&v);
}

int
each_queue_or(int flags, int (*each)(void *, struct idq *),
    queue_failed *failed, void *arg)
{
	const struct visit v = { flags, each, failed, arg };

	return visit(&v);
}

void
close_queues(struct idq **qs, size_t n)
{
	while (n > 0)
		idq_close(qs[--n]);
}

static int
open_names(const char *const *names, struct idq **qs, size_t *n, int flags)
{
	int status = 0;

	for (*n = 0; status == 0 && names[*n] != NULL; *n += status == 0)
		status = *n == QUEUES_MAX ? EX_USAGE :
		    open_named(&qs[*n], names[*n], flags);
	if (status != 0)
		close_queues(qs, *n);
	return status;
}

int
open_queues(struct idq *qs[QUEUES_MAX], size_t *n, int flags)
{
	const char *const *given, *names[QUEUES_MAX + 1], *why;
	char **all;
	int status;

	given = queue_options(n);
	if (!all_queues()) {
		memcpy(names, given, *n * sizeof(*names));
		if (*n == 0)
			names[(*n)++] = "default";
		names[*n] = NULL;
		return open_names(names, qs, n, flags);
	}
	if ((all = idq_spool_queues(&why)) == NULL) {
		complain("--all: %s", why);
		return EX_IOERR;
	}
	status = open_names((const char *const *)all, qs, n, flags);
	idq_names_free(all);
	return status;
}
