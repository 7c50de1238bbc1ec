/* SPDX-License-Identifier: ISC */
/*
 * The bytes are the standard input of `idq add --batch', with --json-lines if
 * the first of them is odd.  The linker lets the adds, and what is said of each
 * line, come here (--wrap): they are compared with a second reading of the
 * lines.
 */
#include <sys/mman.h>

#include <unistd.h>

#include "../../cmd/cmd.h"

#include "fuzz.h"

int	 __wrap_idq_add_group(struct idq *, const struct idq_add *, size_t,
	    struct idq_added *);
void	 __wrap_added_print(const struct add_opts *, const char *,
	    const struct idq_added *);
int	 __wrap_added_say(struct idq *, bool, const char *,
	    const struct idq_added *, uint64_t);
void	 __wrap_complain(const char *, ...);
size_t	 __wrap_idq_group_max(void);

#define GROUP		16

static bool json;
static const char *rest;		/* lines of which nothing was said */
static size_t left;

/* The line that is next, or NULL. */
static const char *
next_line(size_t *len)
{
	const char *line = rest, *nl;

	if (left == 0)
		return NULL;
	nl = memchr(rest, '\n', left);
	*len = nl != NULL ? (size_t)(nl - rest) : left;
	left -= *len + (nl != NULL);
	rest += *len + (nl != NULL);
	return line;
}

static void
check_tsv(const char *line, size_t len, const struct idq_add *add)
{
	const char *tab = memchr(line, '\t', len);
	size_t n = tab != NULL ? (size_t)(tab - line) : len;

	if (add == NULL) {
		REQUIRE(idq_key_check(line, n) != NULL);
		return;
	}
	REQUIRE(idq_key_check(line, n) == NULL);
	REQUIRE(add->keylen == n && memcmp(add->key, line, n) == 0);
	len = tab != NULL ? len - n - 1 : 0;
	REQUIRE(add->length == len);
	REQUIRE(len == 0 || memcmp(add->payload, tab + 1, len) == 0);
	REQUIRE(add->nargs == 0 && add->group == NULL && add->due == 0 &&
	    add->ttl == 0);
}

/* RFC 4648: the only text of these bytes. */
static void
check_base64(const unsigned char *p, size_t n, const char *text, size_t len)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789+/";

	REQUIRE(len == (n + 2) / 3 * 4);
	for (size_t i = 0; i < len; i += 4) {
		unsigned int bits = (unsigned int)p[0] << 16 |
		    (n > 1 ? p[1] : 0u) << 8 | (n > 2 ? p[2] : 0u);

		REQUIRE(text[i] == digits[bits >> 18]);
		REQUIRE(text[i + 1] == digits[bits >> 12 & 63]);
		REQUIRE(text[i + 2] == (n > 1 ? digits[bits >> 6 & 63] : '='));
		REQUIRE(text[i + 3] == (n > 2 ? digits[bits & 63] : '='));
		p += 3;
		n = n > 3 ? n - 3 : 0;
	}
}

static void
check_payload(json_t *o, const struct idq_add *add)
{
	json_t *plain = json_object_get(o, "payload");
	json_t *coded = json_object_get(o, "payload_base64");

	REQUIRE(plain == NULL || coded == NULL);
	if (plain != NULL)
		REQUIRE(json_string_length(plain) == add->length &&
		    memcmp(json_string_value(plain), add->payload,
		    add->length) == 0);
	else if (coded != NULL)
		check_base64(add->payload, add->length,
		    json_string_value(coded), json_string_length(coded));
	else
		REQUIRE(add->length == 0);
}

static void
check_args(json_t *o, const struct idq_add *add)
{
	json_t *args = json_object_get(o, "args"), *s;
	size_t i;

	REQUIRE(json_array_size(args) == add->nargs);
	json_array_foreach(args, i, s)
		REQUIRE(strlen(add->args[i]) == json_string_length(s) &&
		    strcmp(add->args[i], json_string_value(s)) == 0);
}

static void
check_times(json_t *o, const struct idq_add *add)
{
	const char *ttl = json_string_value(json_object_get(o, "ttl"));
	const char *at = json_string_value(json_object_get(o, "at"));
	int64_t d, t;

	if (ttl == NULL)
		REQUIRE(add->ttl == 0);
	else
		REQUIRE(idq_duration_parse(ttl, &d) == 0 && d == add->ttl &&
		    d > 0);
	if (at == NULL)
		REQUIRE(add->due == 0);
	else if (strlen(at) != 5)	/* else it depends on the clock */
		REQUIRE(idq_time_parse(at, 0, false, &t) == 0 &&
		    t == add->due);
}

static void
check_json(const char *line, size_t len, const struct idq_add *add)
{
	json_t *o, *group;
	json_error_t e;

	if (add == NULL)
		return;
	o = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);
	REQUIRE(json_is_object(o));
	REQUIRE(idq_key_check(add->key, add->keylen) == NULL);
	REQUIRE(strcmp(json_string_value(json_object_get(o, "key")),
	    add->key) == 0);
	check_payload(o, add);
	check_args(o, add);
	check_times(o, add);
	group = json_object_get(o, "group");
	if (json_is_string(group))
		REQUIRE(strcmp(json_string_value(group), add->group) == 0 &&
		    idq_key_check(add->group, strlen(add->group)) == NULL);
	else
		REQUIRE(add->group == NULL);
	json_decref(o);
}

static void
check_line(const struct idq_add *add)
{
	const char *line;
	size_t len;

	line = next_line(&len);
	REQUIRE(line != NULL);
	if (json)
		check_json(line, len, add);
	else
		check_tsv(line, len, add);
}

/* The adds of a group are those whose lines are told next. */
static const struct idq_add *group;
static size_t ngroup, told;

int
__wrap_idq_add_group(struct idq *q, const struct idq_add *adds, size_t n,
    struct idq_added *results)
{
	(void)q;
	REQUIRE(told == ngroup && n > 0 && n <= GROUP);
	group = adds;
	ngroup = n;
	told = 0;
	for (size_t i = 0; i < n; i++) {
		memset(&results[i], 0, sizeof(results[i]));
		results[i].outcome = IDQ_ADDED;
	}
	return 0;
}

size_t
__wrap_idq_group_max(void)
{
	return GROUP;
}

void
__wrap_added_print(const struct add_opts *o, const char *key,
    const struct idq_added *r)
{
	(void)o;
	if (r->outcome == IDQ_ERROR) {
		check_line(NULL);
		return;
	}
	REQUIRE(told < ngroup && strcmp(group[told].key, key) == 0);
	check_line(&group[told++]);
}

int
__wrap_added_say(struct idq *q, bool strict, const char *key,
    const struct idq_added *r, uint64_t line)
{
	(void)q;
	(void)strict;
	(void)key;
	(void)r;
	REQUIRE(line > 0);
	return 0;
}

void
__wrap_complain(const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	REQUIRE(strncmp(text, "line ", 5) == 0);
}

static void
put_on_stdin(const uint8_t *data, size_t size)
{
	static int fd = -1;

	if (fd == -1) {
		fd = memfd_create("lines", MFD_CLOEXEC);
		if (fd == -1 || dup2(fd, STDIN_FILENO) == -1)
			err(1, NULL);
	}
	if (ftruncate(fd, 0) == -1 ||
	    pwrite(fd, data, size, 0) != (ssize_t)size ||
	    lseek(fd, 0, SEEK_SET) == -1)
		err(1, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct add_opts o = { .add = { .fd = -1, .payload = "" },
	    .dup_exit = -1 };
	int status;

	if (size == 0)
		return 0;
	json = o.json_lines = *data % 2 == 1;
	rest = (const char *)data + 1;
	left = size - 1;
	ngroup = told = 0;
	put_on_stdin(data + 1, size - 1);
	status = batch(NULL, &o);
	REQUIRE(left == 0 && told == ngroup);
	REQUIRE(status == 0 || status == EX_USAGE);
	return 0;
}
