/* SPDX-License-Identifier: ISC */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"

static const char *const names[] = { "key", "payload", "payload_base64",
    "args", "at", "ttl", "group", NULL };

static bool wrong(struct batch_item *, const char *, ...)
    __attribute__((__format__(printf, 2, 3)));

static bool
wrong(struct batch_item *it, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(it->why, sizeof(it->why), fmt, ap);
	va_end(ap);
	return false;
}

static bool
check_names(struct batch_item *it)
{
	const char *name;
	char buf[256];
	json_t *value;

	json_object_foreach(it->object, name, value) {
		size_t i = 0;

		while (names[i] != NULL && strcmp(names[i], name) != 0)
			i++;
		if (names[i] == NULL)
			return wrong(it, "unknown name '%s'%s", name,
			    suggestion(name, names, "", buf, sizeof(buf)));
	}
	return true;
}

/* A text without NUL; *s stays as it is where the object has no such name. */
static bool
text(struct batch_item *it, const char *name, const char **s)
{
	json_t *value = json_object_get(it->object, name);

	if (value == NULL || json_is_null(value))
		return true;
	if (!json_is_string(value))
		return wrong(it, "%s: is no string", name);
	*s = json_string_value(value);
	if (strlen(*s) != json_string_length(value))
		return wrong(it, "%s: has a NUL character", name);
	return true;
}

static bool
get_key(struct batch_item *it)
{
	const char *key = NULL;

	if (!text(it, "key", &key))
		return false;
	if (key == NULL)
		return wrong(it, "has no key");
	if ((it->key = strdup(key)) == NULL)
		return wrong(it, "out of memory");
	return true;
}

static bool
get_payload(struct batch_item *it)
{
	json_t *plain = json_object_get(it->object, "payload");
	json_t *coded = json_object_get(it->object, "payload_base64");
	json_t *value = plain != NULL ? plain : coded;

	if (plain != NULL && coded != NULL)
		return wrong(it, "payload: does not go with payload_base64");
	if (value == NULL)
		return true;
	if (!json_is_string(value))
		return wrong(it, "%s: is no string",
		    plain != NULL ? "payload" : "payload_base64");
	it->add.payload = json_string_value(value);
	it->add.length = json_string_length(value);
	if (coded == NULL)
		return true;
	it->payload = base64(it->add.payload, it->add.length,
	    &it->add.length);
	it->add.payload = it->payload;
	return it->payload != NULL || wrong(it,
	    "payload_base64: is no base64");
}

static bool
get_args(struct batch_item *it)
{
	json_t *list = json_object_get(it->object, "args"), *value;
	size_t n = json_array_size(list), i;

	if (list == NULL || json_is_null(list))
		return true;
	if (!json_is_array(list))
		return wrong(it, "args: is no array");
	if ((it->args = calloc(n + 1, sizeof(*it->args))) == NULL)
		return wrong(it, "out of memory");
	json_array_foreach(list, i, value) {
		if (!json_is_string(value) ||
		    strlen(json_string_value(value)) !=
		    json_string_length(value))
			return wrong(it, "args: %s", json_is_string(value) ?
			    "has a NUL character" : "holds what is no string");
		if ((it->args[i] = strdup(json_string_value(value))) == NULL)
			return wrong(it, "out of memory");
	}
	it->add.args = it->args;
	it->add.nargs = n;
	return true;
}

static bool
get_times(struct batch_item *it)
{
	const char *at = NULL, *ttl = NULL;
	char hint[160];

	if (!text(it, "at", &at) || !text(it, "ttl", &ttl))
		return false;
	if (at != NULL &&
	    idq_time_parse(at, idq_now(), false, &it->add.due) == -1)
		return wrong(it, "at: '%.64s' is no time", at);
	if (ttl == NULL)
		return true;
	if (idq_duration_parse(ttl, &it->add.ttl) == -1)
		return wrong(it, "ttl: '%.64s' %s", ttl,
		    duration_hint(ttl, NULL, hint, sizeof(hint)));
	return it->add.ttl != 0 || wrong(it, "ttl: is too short");
}

static bool
get_group(struct batch_item *it)
{
	const char *why;

	if (!text(it, "group", &it->add.group))
		return false;
	if (it->add.group == NULL)
		return true;
	why = idq_key_check(it->add.group, strlen(it->add.group));
	return why == NULL || wrong(it, "group: %s", why);
}

void
json_line(struct batch_item *it, const char *line, size_t len)
{
	json_error_t e;

	it->object = json_loadb(line, len,
	    JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
	if (it->object == NULL)
		wrong(it, "is no JSON: %s at column %d", e.text, e.column);
	else if (!json_is_object(it->object))
		wrong(it, "is no JSON object");
	else if (check_names(it) && get_key(it) && get_payload(it) &&
	    get_args(it) && get_times(it))
		get_group(it);
}
