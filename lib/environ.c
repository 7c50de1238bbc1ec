/* SPDX-License-Identifier: ISC */
/*
 * The environment of a command: ours, with the IDQ_ variables of the job in
 * front.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

static const char *const env_names[] = {
	"IDQ_QUEUE", "IDQ_SPOOL", "IDQ_KEY", "IDQ_HASH", "IDQ_ID",
	"IDQ_ATTEMPT", "IDQ_ADDED_AT", "IDQ_AGE", "IDQ_DUPS", "IDQ_GROUP",
	"IDQ_TOKEN"
};

#define ENV_N	NITEMS(env_names)
#define ENV_QUEUE 2			/* of them for any job */

static char *
env_value(struct idq *q, const struct idq_job *p, size_t i)
{
	char stamp[STAMP_SIZE], *s = NULL;
	const char *slash = strrchr(q->path, '/');
	uint64_t dups;
	int64_t last;
	int n = -1;

	switch (i) {
	case 0:
		n = asprintf(&s, "IDQ_QUEUE=%s", q->path);
		break;
	case 1:
		n = asprintf(&s, "IDQ_SPOOL=%.*s",
		    slash > q->path ? (int)(slash - q->path) : 1, q->path);
		break;
	case 2:
		n = asprintf(&s, "IDQ_KEY=%s", p->key);
		break;
	case 3:
		n = asprintf(&s, "IDQ_HASH=%s", p->hash);
		break;
	case 4:
		n = asprintf(&s, "IDQ_ID=%s", p->id);
		break;
	case 5:
		n = asprintf(&s, "IDQ_ATTEMPT=%" PRIu32, p->attempts);
		break;
	case 6:
		n = asprintf(&s, "IDQ_ADDED_AT=%s",
		    idq_stamp(p->added, stamp));
		break;
	case 7:
		n = asprintf(&s, "IDQ_AGE=%" PRId64,
		    (idq_now() - p->added) / IDQ_SECOND);
		break;
	case 8:
		idq_dups(q, p, &dups, &last);
		n = asprintf(&s, "IDQ_DUPS=%" PRIu64, dups);
		break;
	case 9:
		n = asprintf(&s, "IDQ_GROUP=%s",
		    p->group != NULL ? p->group : "");
		break;
	case 10:
		n = asprintf(&s, "IDQ_TOKEN=%s.%s.%" PRIu32, p->hash, p->id,
		    p->claims);
		break;
	}
	return n == -1 ? NULL : s;
}

static bool
is_ours(const char *entry)
{
	for (size_t i = 0; i < ENV_N; i++) {
		size_t len = strlen(env_names[i]);

		if (strncmp(entry, env_names[i], len) == 0 &&
		    entry[len] == '=')
			return true;
	}
	return false;
}

static size_t
count_ours(const struct idq_job *p)
{
	return p != NULL ? ENV_N : ENV_QUEUE;
}

void
idq_env_free(char **env, const struct idq_job *p)
{
	for (size_t i = 0; env != NULL && i < count_ours(p); i++)
		free(env[i]);
	free(env);
}

char **
idq_env_new(struct idq *q, const struct idq_job *p)
{
	size_t ours = count_ours(p), n = 0, used = ours;
	char **env;

	while (environ != NULL && environ[n] != NULL)
		n++;
	if ((env = calloc(ours + n + 1, sizeof(*env))) == NULL)
		return NULL;
	for (size_t i = 0; i < ours; i++)
		if ((env[i] = env_value(q, p, i)) == NULL) {
			idq_env_free(env, p);
			return NULL;
		}
	for (size_t i = 0; i < n; i++)
		if (!is_ours(environ[i]))
			env[used++] = environ[i];
	return env;
}
