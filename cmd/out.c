/* SPDX-License-Identifier: ISC */
/*
 * Tables, JSON, times and the progress bar.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

#define ROWS_MAX	500		/* that wait for their widths */
#define BAR_WIDTH	30

bool
on_terminal(void)
{
	static int answer = -1;

	if (answer == -1)
		answer = isatty(STDOUT_FILENO);
	return answer == 1;
}

bool
stderr_on_terminal(void)
{
	static int answer = -1;

	if (answer == -1)
		answer = isatty(STDERR_FILENO);
	return answer == 1;
}

/* The length of the character at S as its first byte says, at most LEN. */
static size_t
char_length(const char *s, size_t len)
{
	unsigned char c = (unsigned char)*s;
	size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

	return n < len ? n : len;
}

/* Marks that make a terminal show text in another order than it has. */
static bool
is_reordering(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	if (n != 3 || u[0] != 0xe2)
		return false;
	return (u[1] == 0x80 && u[2] >= 0xaa && u[2] <= 0xae) ||
	    (u[1] == 0x81 && u[2] >= 0xa6 && u[2] <= 0xa9);
}

/* vis(3) would go by the locale, but keys are UTF-8 in each. */
void
print_safe(FILE *f, const char *s, size_t len)
{
	size_t n;

	for (; len > 0; s += n, len -= n) {
		n = char_length(s, len);
		if (idq_key_check(s, n) == NULL && !is_reordering(s, n)) {
			fwrite(s, 1, n, f);
			continue;
		}
		n = 1;
		fprintf(f, "\\%03o", (unsigned char)*s);
	}
}

/* A line of somebody else's, which may have tabs. */
static void
print_line(const char *s, size_t len)
{
	const char *end = s + len, *tab;

	while ((tab = memchr(s, '\t', (size_t)(end - s))) != NULL) {
		print_safe(stdout, s, (size_t)(tab - s));
		putchar('\t');
		s = tab + 1;
	}
	print_safe(stdout, s, (size_t)(end - s));
}

static void
print_lines(FILE *f)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, f)) > 0) {
		bool ended = line[n - 1] == '\n';

		print_line(line, (size_t)n - ended);
		if (ended)
			putchar('\n');
	}
	free(line);
}

static void
print_bytes(FILE *f)
{
	char buf[65536];
	size_t n;

	while ((n = fread(buf, 1, sizeof(buf), f)) > 0 && !ferror(stdout))
		fwrite(buf, 1, n, stdout);
}

int
print_file(int fd, const char *subject)
{
	FILE *f = fdopen(fd, "r");
	int status = 0;

	if (f == NULL) {
		close(fd);
		return complain_memory();
	}
	if (on_terminal())
		print_lines(f);
	else
		print_bytes(f);
	if (ferror(f)) {
		complain("%s: %s", subject, strerror(errno));
		status = EX_IOERR;
	}
	fclose(f);
	return status;
}

void
print_text(const char *s)
{
	if (on_terminal())
		print_safe(stdout, s, strlen(s));
	else
		fputs(s, stdout);
}

const char *
time_text(int64_t t, bool local, char buf[TIME_SIZE])
{
	time_t s = (time_t)(t / IDQ_SECOND);
	struct tm tm;

	if (!local || idq_localtime(s, &tm) == NULL)
		return idq_stamp(t, buf);
	strftime(buf, TIME_SIZE, "%Y-%m-%d %H:%M:%S", &tm);
	return buf;
}

char *
local_stamps(const char *line)
{
	char *text = NULL, when[TIME_SIZE];
	size_t len = 0, n = strlen(line);
	int64_t t;
	FILE *f = open_memstream(&text, &len);

	if (f == NULL)
		return NULL;
	while (n > 0) {
		if (n >= IDQ_STAMP_LEN &&
		    idq_stamp_parse(line, IDQ_STAMP_LEN, &t) == 0) {
			fputs(time_text(t, true, when), f);
			line += IDQ_STAMP_LEN;
			n -= IDQ_STAMP_LEN;
			continue;
		}
		putc(*line++, f);
		n--;
	}
	if (fclose(f) == 0)
		return text;
	free(text);
	return NULL;
}

const char *
age_text(int64_t d, char buf[32])
{
	int64_t unit = d < IDQ_MINUTE ? IDQ_SECOND : d < IDQ_DAY ?
	    IDQ_MINUTE : IDQ_HOUR;

	if (d < 0)
		d = 0;
	return idq_duration_format(d - d % unit, buf, 32);
}

/* A word of a state or an event, as SGR parameters; NULL: plain. */
static const char *
colour_of(const char *word)
{
	static const struct {
		const char *word, *colour;
	} colours[] = {
		{ "failed", "31" }, { "expired", "31" }, { "lost", "31" },
		{ "held", "33" }, { "interrupted", "33" },
		{ "mismatch", "33" }, { "running", "36" },
		{ "claimed", "36" }, { "done", "32" },
	};

	for (size_t i = 0; i < NITEMS(colours); i++)
		if (strcmp(word, colours[i].word) == 0)
			return colours[i].colour;
	return NULL;
}

static bool
wants_colour(void)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	return (no == NULL || *no == '\0') && term != NULL &&
	    strcmp(term, "dumb") != 0;
}

/* Characters, which is columns for most of what people write. */
static size_t
columns(const char *s)
{
	size_t n = 0;

	for (; *s != '\0'; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

void
table_init(struct table *t, const char *const *heads, size_t ncols,
    size_t colour)
{
	memset(t, 0, sizeof(*t));
	t->heads = heads;
	t->ncols = ncols;
	t->tty = on_terminal();
	t->colour = t->tty && wants_colour() ? colour : ncols;
	for (size_t i = 0; i < ncols; i++)
		t->width[i] = columns(heads[i]);
}

static void
print_cell(const struct table *t, size_t col, const char *s, bool head)
{
	const char *colour = col == t->colour && !head ? colour_of(s) : NULL;

	if (colour != NULL)
		printf("\033[%sm", colour);
	print_safe(stdout, s, strlen(s));
	if (colour != NULL)
		fputs("\033[0m", stdout);
	if (col + 1 == t->ncols)
		putchar('\n');
	else
		printf("%*s", (int)(t->width[col] - columns(s) + 2), "");
}

static void
print_row(struct table *t, const char *const *cells, bool head)
{
	for (size_t col = 0; col < t->ncols; col++)
		print_cell(t, col, cells[col], head);
}

static void
table_flush(struct table *t)
{
	char **row = t->cells;

	if (!t->headed && t->rows > 0)
		print_row(t, t->heads, true);
	t->headed = true;
	for (; t->rows > 0; t->rows--, row += t->ncols) {
		print_row(t, (const char *const *)row, false);
		for (size_t col = 0; col < t->ncols; col++)
			free(row[col]);
	}
}

static void
keep_cell(struct table *t, const char *s)
{
	size_t width = columns(s);
	char *copy = strdup(s);

	if (t->cells == NULL)
		t->cells = reallocarray(NULL, ROWS_MAX * t->ncols,
		    sizeof(*t->cells));
	if (t->cells == NULL || copy == NULL)
		exit(complain_memory());
	t->cells[t->rows * t->ncols + t->col] = copy;
	if (width > t->width[t->col])
		t->width[t->col] = width;
}

void
table_cell(struct table *t, const char *s)
{
	bool last = t->col + 1 == t->ncols;

	if (t->tty)
		keep_cell(t, s);
	else {
		fputs(s, stdout);
		putchar(last ? '\n' : '\t');
	}
	t->col = last ? 0 : t->col + 1;
	if (last && t->tty && ++t->rows == ROWS_MAX)
		table_flush(t);
}

void
table_end(struct table *t)
{
	if (t->tty)
		table_flush(t);
	free(t->cells);
	t->cells = NULL;
}

/* What JSON leaves as it is could still act on a terminal. */
void
print_json(json_t *o)
{
	size_t flags = JSON_COMPACT;

	if (on_terminal())
		flags |= JSON_ENSURE_ASCII;
	if (o == NULL)
		exit(complain_memory());
	json_dumpf(o, stdout, flags);
	putchar('\n');
	json_decref(o);
}

json_t *
json_text(const char *s)
{
	json_t *o = json_string(s);
	char *text = NULL;
	size_t len = 0, n;
	FILE *f;

	if (o != NULL || (f = open_memstream(&text, &len)) == NULL)
		return o;
	for (; *s != '\0'; s += n) {
		n = char_length(s, strlen(s));
		if ((o = json_stringn(s, n)) == NULL) {
			fputs("\xef\xbf\xbd", f);
			n = 1;
			continue;
		}
		json_decref(o);
		fwrite(s, 1, n, f);
	}
	o = fclose(f) == 0 ? json_string(text) : NULL;
	free(text);
	return o;
}

json_t *
json_time(int64_t t)
{
	char buf[TIME_SIZE];

	return t == 0 ? json_null() : json_string(idq_stamp(t, buf));
}

/* The bar. */
static struct {
	bool		 on;
	bool		 drawn;
	int64_t		 total;
	struct timespec	 last;
} bar;

void
progress_start(int64_t total)
{
	const char *term = getenv("TERM");

	bar.on = stderr_on_terminal() && term != NULL &&
	    strcmp(term, "dumb") != 0;
	bar.total = total;
	clock_gettime(CLOCK_MONOTONIC, &bar.last);
}

static bool
is_time_to_draw(void)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (int64_t)(now.tv_sec - bar.last.tv_sec) * 1000 +
	    (now.tv_nsec - bar.last.tv_nsec) / 1000000;
	if (ms < 100)
		return false;
	bar.last = now;
	return true;
}

void
progress(uint64_t count, int64_t done)
{
	char line[BAR_WIDTH + 1];
	int64_t full, percent;

	if (!bar.on || !is_time_to_draw())
		return;
	bar.drawn = true;
	if (bar.total <= 0) {
		fprintf(stderr, "\r%ju\033[K", (uintmax_t)count);
		return;
	}
	percent = done < bar.total ? done * 100 / bar.total : 100;
	full = percent * BAR_WIDTH / 100;
	memset(line, '-', BAR_WIDTH);
	memset(line, '#', (size_t)full);
	line[BAR_WIDTH] = '\0';
	fprintf(stderr, "\r[%s] %jd%%  %ju\033[K", line,
	    (intmax_t)percent, (uintmax_t)count);
}

void
progress_clear(void)
{
	if (bar.drawn)
		fputs("\r\033[K", stderr);
	bar.drawn = false;
}

void
progress_end(void)
{
	progress_clear();
	bar.on = false;
}

int
progress_tick(void *arg, uint64_t count)
{
	(void)arg;
	progress(count, 0);
	return 0;
}
