/* SPDX-License-Identifier: ISC */
/*
 * A job as a line for a command that gets many.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define PAYLOAD_MAX	(1024 * 1024)

/* The payload, to be freed; NULL with errno. */
static char *
read_payload(struct idq *q, const struct idq_job *j, size_t len)
{
	int fd = idq_payload(q, j), err;
	char *s = malloc(len + 1);
	size_t have = 0;
	ssize_t n = 1;

	while (fd != -1 && s != NULL && have < len && n > 0)
		if ((n = read(fd, s + have, len - have)) > 0)
			have += (size_t)n;
	err = n == -1 || fd == -1 || s == NULL ? errno : EIO;
	if (fd != -1)
		close(fd);
	if (fd != -1 && s != NULL && have == len)
		return s;
	free(s);
	errno = err;
	return NULL;
}

static int
set_payload(json_t *o, const char *s, size_t len)
{
	/* With a NUL it is JSON, but no text to most who read that. */
	json_t *plain = memchr(s, '\0', len) == NULL ?
	    json_stringn(s, len) : NULL;
	char *coded;
	int r;

	if (plain != NULL)
		return json_object_set_new(o, "payload", plain);
	if ((coded = to_base64(s, len)) == NULL)
		return -1;
	r = json_object_set_new(o, "payload_base64", json_string(coded));
	free(coded);
	return r;
}

static json_t *
object(struct idq *q, const struct idq_job *j)
{
	json_t *o = json_object(), *args = json_array();
	uint64_t dups = 0;
	int64_t last;

	idq_dups(q, j, &dups, &last);
	for (size_t i = 0; i < j->nargs; i++)
		json_array_append_new(args, json_text(j->args[i]));
	json_object_set_new(o, "id", json_string(j->id));
	json_object_set_new(o, "key", json_text(j->key));
	json_object_set_new(o, "hash", json_string(j->hash));
	json_object_set_new(o, "attempt", json_integer(j->attempts));
	json_object_set_new(o, "added", json_time(j->added));
	json_object_set_new(o, "dups", json_integer((json_int_t)dups));
	json_object_set_new(o, "group", j->group != NULL ?
	    json_text(j->group) : json_null());
	json_object_set_new(o, "args", args);
	return o;
}

const char *
put_job(void *arg, struct idq *q, const struct idq_job *j, FILE *f)
{
	const char *why = NULL;
	char *payload;
	json_t *o;

	(void)arg;
	if (j->length > PAYLOAD_MAX)
		return "its payload is longer than 1 MiB";
	if ((payload = read_payload(q, j, (size_t)j->length)) == NULL)
		return strerror(errno);
	o = object(q, j);
	if (set_payload(o, payload, (size_t)j->length) == -1 ||
	    (json_dumpf(o, f, JSON_COMPACT) == -1 && !ferror(f)))
		why = "out of memory";
	else
		putc('\n', f);
	json_decref(o);
	free(payload);
	return why;
}
