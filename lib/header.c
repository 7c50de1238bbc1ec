/* SPDX-License-Identifier: ISC */
/*
 * The header of a job file: fields, in the order in which they stand.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

static int
octal(const char *s, char *c)
{
	if (s[0] < '0' || s[0] > '3' || s[1] < '0' || s[1] > '7' ||
	    s[2] < '0' || s[2] > '7')
		return -1;
	*c = (char)((s[0] - '0') << 6 | (s[1] - '0') << 3 | (s[2] - '0'));
	return *c == '\0' ? -1 : 0;
}

static char *
unescape(const char *s)
{
	char *out = malloc(strlen(s) + 1), *p = out;

	if (out == NULL)
		return NULL;
	for (; *s != '\0'; s++, p++) {
		*p = *s;
		if (*s != '\\')
			continue;
		if (strlen(s) < 4 || octal(s + 1, p) == -1) {
			free(out);
			return NULL;
		}
		s += 3;
	}
	*p = '\0';
	return out;
}

static int
add_arg(struct idq_job *p, const char *value)
{
	char **more, *arg;

	/* Room by powers of two, and always for the NULL. */
	if (p->args == NULL || ((p->nargs + 1) & p->nargs) == 0) {
		more = reallocarray(p->args, 2 * (p->nargs + 1),
		    sizeof(*p->args));
		if (more == NULL)
			return -1;
		p->args = more;
	}
	if ((arg = unescape(value)) == NULL) {
		p->args[p->nargs] = NULL;
		return -1;
	}
	p->args[p->nargs++] = arg;
	p->args[p->nargs] = NULL;
	return 0;
}

static int
take_text(char **field, const char *value)
{
	if (idq_key_check(value, strlen(value)) != NULL)
		return -1;
	return (*field = strdup(value)) == NULL ? -1 : 0;
}

static int
take_hex(char *field, size_t len, const char *value)
{
	if (strlen(value) != len || !idq_is_hex(value, len))
		return -1;
	strlcpy(field, value, len + 1);
	return 0;
}

static int
take_number(int64_t *field, const char *value, int64_t max)
{
	const char *err;

	if (*value < '0' || *value > '9')
		return -1;
	*field = strtonum(value, 0, max, &err);
	return err == NULL ? 0 : -1;
}

static int
take_keep(int64_t *field, const char *value)
{
	if (strcmp(value, "forever") == 0) {
		*field = IDQ_FOREVER;
		return 0;
	}
	if (take_number(field, value, IDQ_FOREVER / IDQ_SECOND - 1) == -1)
		return -1;
	*field *= IDQ_SECOND;
	return 0;
}

static int
take_attempts(uint32_t *field, const char *value)
{
	int64_t n;

	if (take_number(&n, value, 1000000) == -1 || n == 0)
		return -1;
	*field = (uint32_t)n;
	return 0;
}

static int
take_on_crash(enum idq_on_crash *field, const char *value)
{
	if (strcmp(value, "retry") == 0)
		*field = IDQ_CRASH_RETRY;
	else if (strcmp(value, "hold") == 0)
		*field = IDQ_CRASH_HOLD;
	else
		return -1;
	return 0;
}

enum field {
	F_KEY, F_ID, F_ADDED, F_BY, F_DUE, F_EXPIRES, F_GROUP, F_RUN, F_KEEP,
	F_ATTEMPTS, F_ON_CRASH, F_ARG, F_LENGTH, F_FINGERPRINT, F_N
};

static const char *const fields[F_N] = {
	"Key", "Id", "Added", "By", "Due", "Expires", "Group", "Run", "Keep",
	"Attempts", "On-crash", "Arg", "Length", "Fingerprint"
};

#define REQUIRED	(1u << F_KEY | 1u << F_ID | 1u << F_ADDED | \
			    1u << F_BY | 1u << F_DUE | 1u << F_LENGTH | \
			    1u << F_FINGERPRINT)

static int
take_field(struct idq_job *p, enum field f, const char *value)
{
	size_t len = strlen(value);

	switch (f) {
	case F_KEY:
		return take_text(&p->key, value);
	case F_ID:
		return take_hex(p->id, IDQ_ID_LEN, value);
	case F_ADDED:
		return idq_stamp_parse(value, len, &p->added);
	case F_BY:
		return take_text(&p->by, value);
	case F_DUE:
		return idq_stamp_parse(value, len, &p->due);
	case F_EXPIRES:
		return idq_stamp_parse(value, len, &p->expires);
	case F_GROUP:
		return take_text(&p->group, value);
	case F_RUN:
		p->run = true;
		return strcmp(value, "1") == 0 ? 0 : -1;
	case F_KEEP:
		return take_keep(&p->keep, value);
	case F_ATTEMPTS:
		return take_attempts(&p->attempts_max, value);
	case F_ON_CRASH:
		return take_on_crash(&p->on_crash, value);
	case F_ARG:
		return add_arg(p, value);
	case F_LENGTH:
		return take_number(&p->length, value, IDQ_PAYLOAD_MAX);
	case F_FINGERPRINT:
		return take_hex(p->fingerprint, IDQ_HASH_LEN, value);
	case F_N:
		break;
	}
	return -1;
}

/* Fields stand in their order, each once; only Arg comes again. */
static int
parse_line(struct idq_job *p, char *line, int *last, unsigned int *seen)
{
	char *value = strstr(line, ": ");
	int f;

	if (value == NULL)
		return -1;
	*value = '\0';
	value += 2;
	for (f = *last; f < F_N; f++)
		if (strcmp(line, fields[f]) == 0)
			break;
	if (f == F_N || (f == *last && *seen & 1u << f && f != F_ARG))
		return -1;
	*last = f;
	*seen |= 1u << f;
	return take_field(p, (enum field)f, value);
}

int
idq_header_parse(struct idq_job *p, char *head)
{
	unsigned int seen = 0;
	char *line;
	int last = 0;

	head += strlen(MAGIC);
	while ((line = strsep(&head, "\n")) != NULL) {
		if (head == NULL && *line == '\0')
			break;
		if (parse_line(p, line, &last, &seen) == -1)
			return -1;
	}
	return (seen & REQUIRED) == REQUIRED ? 0 : -1;
}

static void
print_arg(FILE *f, const char *s)
{
	fputs("Arg: ", f);
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f || c == '\\')
			fprintf(f, "\\%03o", c);
		else
			fputc(c, f);
	}
	fputc('\n', f);
}

static void
print_options(FILE *f, const struct idq_job *p)
{
	char stamp[STAMP_SIZE];

	if (p->expires != 0)
		fprintf(f, "Expires: %s\n", idq_stamp(p->expires, stamp));
	if (p->group != NULL)
		fprintf(f, "Group: %s\n", p->group);
	if (p->run)
		fputs("Run: 1\n", f);
	if (p->keep == IDQ_FOREVER)
		fputs("Keep: forever\n", f);
	else if (p->keep != 0)
		fprintf(f, "Keep: %" PRId64 "\n", p->keep / IDQ_SECOND);
	if (p->attempts_max != 0)
		fprintf(f, "Attempts: %" PRIu32 "\n", p->attempts_max);
	if (p->on_crash != IDQ_CRASH_UNSET)
		fprintf(f, "On-crash: %s\n",
		    p->on_crash == IDQ_CRASH_HOLD ? "hold" : "retry");
}

char *
idq_header_format(const struct idq_job *p, int64_t length, int width,
    size_t *len)
{
	char added[STAMP_SIZE], due[STAMP_SIZE], *buf = NULL;
	FILE *f = open_memstream(&buf, len);

	if (f == NULL)
		return NULL;
	fprintf(f, MAGIC "Key: %s\nId: %s\nAdded: %s\nBy: %s\nDue: %s\n",
	    p->key, p->id, idq_stamp(p->added, added), p->by,
	    idq_stamp(p->due, due));
	print_options(f, p);
	for (size_t i = 0; i < p->nargs; i++)
		print_arg(f, p->args[i]);
	fprintf(f, "Length: %0*" PRId64 "\nFingerprint: %s\n\n", width, length,
	    p->fingerprint);
	if (fclose(f) == EOF) {
		free(buf);
		return NULL;
	}
	return buf;
}
