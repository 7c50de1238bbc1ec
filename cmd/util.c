/* SPDX-License-Identifier: ISC */
/*
 * Words to a person, values of options, and opening a queue.
 */
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define WORD_MAX	32		/* what is longer is no misspelt word */

/* One write, so that the lines of several processes do not mix. */
static void
put_line(const char *text)
{
	char *line = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&line, &len);

	if (f == NULL)
		return;
	fprintf(f, "%s: ", getprogname());
	if (verb_name() != NULL)
		fprintf(f, "%s: ", verb_name());
	print_safe(f, text, strlen(text));
	putc('\n', f);
	if (fclose(f) == 0) {
		progress_clear();
		/* There is nobody to tell of a failure. */
		if (write(STDERR_FILENO, line, len) == -1)
			errno = 0;
	}
	free(line);
}

static void
vcomplain(const char *fmt, va_list ap)
{
	char *text;

	if (vasprintf(&text, fmt, ap) == -1) {
		put_line("out of memory");
		return;
	}
	put_line(text);
	free(text);
}

void
complain(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcomplain(fmt, ap);
	va_end(ap);
}

/*
 * What `idq run' exits with must not look like its command's status, and what
 * `idq check' and `idq doctor' exit with is what a monitoring plugin does.
 */
static int
usage_status(void)
{
	const char *verb = verb_name();

	if (verb != NULL && (strcmp(verb, "check") == 0 ||
	    strcmp(verb, "doctor") == 0))
		return EX_UNKNOWN;
	return verb != NULL && strcmp(verb, "run") == 0 ? EX_RUN : EX_USAGE;
}

_Noreturn void
usage_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vcomplain(fmt, ap);
	va_end(ap);
	exit(usage_status());
}

int
complain_memory(void)
{
	complain("%s", strerror(ENOMEM));
	return EX_TEMPFAIL;
}

int
complain_queue(struct idq *q, const char *subject)
{
	int code = idq_errcode(q);

	if (subject != NULL)
		complain("%s: %s", subject, idq_errmsg(q));
	else
		complain("%s", idq_errmsg(q));
	return code != 0 ? code : EX_IOERR;
}

/* Why some of our output was lost; 0: it was not. */
static int output_errno;

bool
flush_now(void)
{
	if (output_errno == 0 && !ferror(stdout) && fflush(stdout) == 0)
		return true;
	if (output_errno == 0)
		output_errno = errno;
	/* It would be tried again, and fail again, at the end. */
	fpurge(stdout);
	clearerr(stdout);
	return false;
}

int
flush_output(int status)
{
	errno = EIO;
	if (flush_now() && fclose(stdout) == -1)
		output_errno = errno;
	if (output_errno == 0)
		return status;
	complain("standard output: %s", strerror(output_errno));
	return status > EX_IOERR ? status : EX_IOERR;
}

static int
min3(int a, int b, int c)
{
	int least = a < b ? a : b;

	return least < c ? least : c;
}

static bool
same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/*
 * Insertions, deletions, substitutions and swaps of neighbours between the
 * words: the optimal string alignment distance.
 */
static int
distance(const char *a, const char *b)
{
	int d[WORD_MAX + 1][WORD_MAX + 1];
	size_t la = strlen(a), lb = strlen(b), i, j;

	if (la > WORD_MAX || lb > WORD_MAX)
		return WORD_MAX;
	for (i = 0; i <= la; i++)
		d[i][0] = (int)i;
	for (j = 0; j <= lb; j++)
		d[0][j] = (int)j;
	for (i = 1; i <= la; i++)
		for (j = 1; j <= lb; j++) {
			d[i][j] = min3(d[i - 1][j] + 1, d[i][j - 1] + 1,
			    d[i - 1][j - 1] + !same(a[i - 1], b[j - 1]));
			if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) &&
			    same(a[i - 2], b[j - 1]))
				d[i][j] = min3(d[i][j], d[i - 2][j - 2] + 1,
				    WORD_MAX);
		}
	return d[la][lb];
}

/* Its beginning counts as near, however much is missing. */
static const char *
closest(const char *word, const char *const *words)
{
	size_t len = strlen(word);
	int best = len < 3 ? 2 : 2 + (int)len / 3, n;
	const char *found = NULL;

	for (; *words != NULL; words++) {
		n = distance(word, *words);
		if (n > 1 && len > 1 && strncasecmp(word, *words, len) == 0)
			n = 1;
		if (n < best) {
			best = n;
			found = *words;
		}
	}
	return found;
}

const char *
suggestion(const char *word, const char *const *words, const char *before,
    char *buf, size_t len)
{
	const char *near = closest(word, words), *comma = "";

	buf[0] = '\0';
	if (near != NULL) {
		snprintf(buf, len, "; did you mean '%s%s'?", before, near);
		return buf;
	}
	for (; *words != NULL; words++, comma = ", ") {
		strlcat(buf, *comma == '\0' ? "; known are " : comma, len);
		strlcat(buf, before, len);
		strlcat(buf, *words, len);
	}
	return buf;
}

int64_t
number_value(const char *opt, const char *s, int64_t min, int64_t max)
{
	const char *why;
	int64_t n = strtonum(s, min, max, &why);

	if (why != NULL)
		usage_error("%s %s: is no number from %jd to %jd", opt, s,
		    (intmax_t)min, (intmax_t)max);
	return n;
}

/* 10min, or 2 hours: the first letter of each unit. */
static bool
short_units(const char *s, char *buf, size_t len)
{
	size_t n = 0;
	int64_t d;

	while (*s != '\0' && n + 1 < len) {
		if (isdigit((unsigned char)*s)) {
			buf[n++] = *s++;
			continue;
		}
		s += strspn(s, " ");
		if (*s != '\0')
			buf[n++] = (char)tolower((unsigned char)*s);
		while (isalpha((unsigned char)*s))
			s++;
		s += strspn(s, " ,");
		if (*s != '\0' && !isdigit((unsigned char)*s))
			return false;
	}
	buf[n] = '\0';
	return idq_duration_parse(buf, &d) == 0;
}

const char *
duration_hint(const char *s, const char *word, char *buf, size_t len)
{
	char better[WORD_MAX];
	int64_t d;

	snprintf(better, sizeof(better), "%sh", s);
	if (strlen(s) < WORD_MAX - 1 &&
	    strspn(s, "0123456789") == strlen(s) &&
	    idq_duration_parse(better, &d) == 0)
		snprintf(buf, len, "is no duration; did you mean '%ss', "
		    "'%sm' or '%sh'?", s, s, s);
	else if (short_units(s, better, sizeof(better)))
		snprintf(buf, len, "is no duration; did you mean '%s'?",
		    better);
	else
		snprintf(buf, len, "is no duration, which is like 90s, 10m, "
		    "1h30m, 7d or 2w%s%s", word != NULL ? ", nor " : "",
		    word != NULL ? word : "");
	return buf;
}

int64_t
duration_value(const char *opt, const char *s, const char *word)
{
	char hint[160];
	int64_t d;

	if (word != NULL && strcmp(s, word) == 0)
		return IDQ_FOREVER;
	if (idq_duration_parse(s, &d) == -1)
		usage_error("%s %s: %s", opt, s,
		    duration_hint(s, word, hint, sizeof(hint)));
	return d;
}

int64_t
time_value(const char *opt, const char *s, bool today)
{
	int64_t t;

	if (idq_time_parse(s, idq_now(), today, &t) == -1)
		usage_error("%s %s: is no time, which is like "
		    "2026-11-23T14:00, 2026-11-23T14:00+01:00, @1795438800 "
		    "or 14:00", opt, s);
	return t;
}

int
word_value(const char *opt, const char *s, const char *const *words)
{
	char buf[512];

	for (int i = 0; words[i] != NULL; i++)
		if (strcmp(s, words[i]) == 0)
			return i;
	usage_error("%s: unknown word '%s'%s", opt, s,
	    suggestion(s, words, "", buf, sizeof(buf)));
}

int64_t
rate_value(const char *opt, const char *s)
{
	int64_t rate;

	if (idq_rate_parse(s, &rate) == -1)
		usage_error("%s %s: is no rate, which is like 10/1m", opt, s);
	return rate;
}

const char *
group_value(const char *opt, const char *s)
{
	const char *why = idq_key_check(s, strlen(s));

	if (why != NULL)
		usage_error("%s %s: the group %s", opt, s, why);
	return s;
}

/* 0 means the queue's own in an add: the shortest stands in for it. */
int64_t
keep_value(const char *s)
{
	int64_t d = duration_value("--keep", s, "forever");

	return d > 0 ? d : IDQ_SECOND;
}

/* A claim without any lease would be lost at once. */
int64_t
lease_value(const char *s)
{
	int64_t d = duration_value("--lease", s, NULL);

	if (d == 0)
		usage_error("--lease %s: is too short", s);
	return d;
}

enum idq_on_crash
on_crash_value(const char *s)
{
	static const char *const words[] = { "retry", "hold", NULL };

	return word_value("--on-crash", s, words) == 0 ? IDQ_CRASH_RETRY :
	    IDQ_CRASH_HOLD;
}

static void
notice(void *arg, const char *line)
{
	(void)arg;
	complain("%s", line);
}

/* The command to copy ends in the verb at hand. */
int
complain_open(struct idq *q)
{
	static const char dots[] = " idq ...";
	const char *msg = idq_errmsg(q), *end = strstr(msg, dots);

	if (idq_errcode(q) != EX_NOPERM || end == NULL ||
	    end[sizeof(dots) - 1] != '\0')
		return complain_queue(q, NULL);
	complain("%.*s idq %s ...", (int)(end - msg), msg, verb_name());
	return EX_NOPERM;
}

static const char *
name_or(const char *usual)
{
	return queue_option() != NULL ? queue_option() : usual;
}

static char *
path_of(const char *name)
{
	const char *why;
	char *path = idq_queue_path(name, &why);

	if (path == NULL)
		complain("-q %s: %s", name, why);
	return path;
}

char *
queue_path(const char *usual)
{
	return path_of(name_or(usual));
}

int
open_named(struct idq **qp, const char *name, int flags)
{
	char *path = path_of(name);
	int r;

	*qp = NULL;
	if (path == NULL)
		return EX_USAGE;
	r = idq_open(qp, path, flags);
	free(path);
	if (*qp == NULL)
		return complain_memory();
	if (r == -1) {
		r = complain_open(*qp);
		idq_close(*qp);
		*qp = NULL;
		return r;
	}
	idq_set_notice(*qp, notice, NULL);
	if (idq_created(*qp))
		complain("made the queue %s", idq_queue_dir(*qp));
	return 0;
}

int
open_queue(struct idq **qp, const char *usual, int flags)
{
	const char *name = name_or(usual);

	if (strcmp(name, usual) != 0)
		flags &= ~IDQ_CREATE;
	return open_named(qp, name, flags);
}
