/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "spool.h"

#define PATH		"tmp/" EXAMPLE_ID
#define OTHER_HASH	"1792555eaf809e29076e9f94d1102348" \
			"e847ceef62d570007785c7925642a6a0"
#define ADDED		INT64_C(1795466100123456)
#define MIB		((size_t)1024 * 1024)

static struct idq *q;

/* Load these bytes as the job of HASH; whole or not, the caller closes. */
static bool
load(const char *data, size_t len, const char *hash, struct job *j)
{
	spool_write(q, PATH, data, len);
	if (idq_job_open(q, PATH, j) != 1 || idq_job_load(q, j, hash) == -1)
		errx(1, "%s", idq_errmsg(q));
	return j->whole;
}

static bool
is_whole(const char *data, size_t len)
{
	struct job j;
	bool whole = load(data, len, EXAMPLE_HASH, &j);

	idq_job_close(&j);
	return whole;
}

static bool
begins(const char *data, size_t len)
{
	struct job j;
	bool whole = load(data, len, EXAMPLE_HASH, &j), r = j.begins;

	idq_job_close(&j);
	return !whole && r;
}

static void
example_is_read(void)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY;
	struct job j;

	if (!CHECK(load(text, strlen(text), EXAMPLE_HASH, &j)))
		goto done;
	CHECK_STR(j.pub.hash, EXAMPLE_HASH);
	CHECK_STR(j.pub.id, EXAMPLE_ID);
	CHECK_STR(j.pub.key, EXAMPLE_KEY);
	CHECK_STR(j.pub.group, "+4512345678");
	CHECK_STR(j.pub.by, "uid=1000 host=web1 pid=4211");
	CHECK_INT(j.pub.added, ADDED);
	CHECK_INT(j.pub.due, ADDED);
	CHECK_INT(j.pub.expires, INT64_C(1795471200000000));
	CHECK_INT(j.pub.keep, 0);
	CHECK_INT(j.pub.attempts_max, 0);
	CHECK_INT(j.pub.on_crash, IDQ_CRASH_UNSET);
	CHECK_INT(j.pub.run, 0);
	CHECK_INT(j.pub.length, 5);
	CHECK_INT(j.pub.body, strlen(EXAMPLE_HEAD));
	CHECK_STR(j.pub.fingerprint, EXAMPLE_PRINT);
	if (CHECK_INT(j.pub.nargs, 2)) {
		CHECK_STR(j.pub.args[0], "+4512345678");
		CHECK_STR(j.pub.args[1], "Dentist at 14:00");
		CHECK(j.pub.args[2] == NULL);
	}
	CHECK_INT(idq_job_verify(q, &j), 1);
done:
	idq_job_close(&j);
}

/* A job without options; args are borrowed. */
static void
plain(struct idq_job *p, char **args, size_t nargs)
{
	static char key[] = EXAMPLE_KEY, by[] = "uid=0 host=a pid=1";

	memset(p, 0, sizeof(*p));
	p->key = key;
	p->by = by;
	strlcpy(p->id, EXAMPLE_ID, sizeof(p->id));
	strlcpy(p->fingerprint, EXAMPLE_PRINT, sizeof(p->fingerprint));
	p->added = p->due = ADDED;
	p->args = args;
	p->nargs = nargs;
}

static void
header_is_written(void)
{
	static const char want[] =
	    "idq job 1\n"
	    "Key: " EXAMPLE_KEY "\n"
	    "Id: " EXAMPLE_ID "\n"
	    "Added: 2026-11-23T20:35:00.123456Z\n"
	    "By: uid=0 host=a pid=1\n"
	    "Due: 2026-11-23T21:00:00.000000Z\n"
	    "Expires: 2026-11-23T22:00:00.000000Z\n"
	    "Group: a group\n"
	    "Run: 1\n"
	    "Keep: 604800\n"
	    "Attempts: 3\n"
	    "On-crash: hold\n"
	    "Arg: one\n"
	    "Arg: two\n"
	    "Length: 0000000000042\n"
	    "Fingerprint: " EXAMPLE_PRINT "\n"
	    "\n";
	static char group[] = "a group", one[] = "one", two[] = "two";
	char *args[] = { one, two, NULL }, *head;
	struct idq_job p;
	size_t len;

	plain(&p, args, 2);
	p.due = INT64_C(1795467600000000);
	p.expires = INT64_C(1795471200000000);
	p.group = group;
	p.run = true;
	p.keep = 7 * INT64_C(86400000000);
	p.attempts_max = 3;
	p.on_crash = IDQ_CRASH_HOLD;
	if (!CHECK((head = idq_header_format(&p, 42, 13, &len)) != NULL))
		return;
	CHECK_INT(len, strlen(want));
	CHECK_STR(head, want);
	free(head);
}

static void
absent_fields(void)
{
	static const char want[] =
	    "idq job 1\n"
	    "Key: " EXAMPLE_KEY "\n"
	    "Id: " EXAMPLE_ID "\n"
	    "Added: 2026-11-23T20:35:00.123456Z\n"
	    "By: uid=0 host=a pid=1\n"
	    "Due: 2026-11-23T20:35:00.123456Z\n"
	    "Length: 0\n"
	    "Fingerprint: " EXAMPLE_PRINT "\n"
	    "\n";
	struct idq_job p;
	size_t len;
	char *head;

	plain(&p, NULL, 0);
	if (!CHECK((head = idq_header_format(&p, 0, 0, &len)) != NULL))
		return;
	CHECK_STR(head, want);
	free(head);
}

/*
 * The header of P with a newline as the rest of the file, written and loaded;
 * *len is the header's.
 */
static bool
load_header(const struct idq_job *p, struct job *j, size_t *len)
{
	char *head = idq_header_format(p, 0, 0, len);
	bool whole;

	if (head == NULL)
		err(1, NULL);
	/* In memory there is a NUL behind it. */
	head[*len] = '\n';
	whole = load(head, *len + 1, EXAMPLE_HASH, j);
	free(head);
	return whole;
}

static void
check_args(char **args, size_t nargs)
{
	struct idq_job p;
	struct job j;
	size_t len;

	plain(&p, args, nargs);
	if (CHECK(load_header(&p, &j, &len)) &&
	    CHECK_INT(j.pub.nargs, nargs)) {
		CHECK_INT(j.pub.body, len);
		for (size_t i = 0; i < nargs; i++)
			CHECK_STR(j.pub.args[i], args[i]);
		CHECK(nargs == 0 || j.pub.args[nargs] == NULL);
	}
	idq_job_close(&j);
}

static char awkward[][32] = {
	"", "a", "\n", "\\", "\\\\", "\\n", "\\012", "\\0", "\\999",
	"two\nlines\n", "\n\n", "\t\r\v\f\a\b\033", "\001\037\177",
	"Gr\303\274\303\237e \342\202\254 \360\237\230\200",
	"\200\377\376", " ", "  lead and trail  ", "a: b", ": ",
	"Arg: x", "Key: x\n", "Length: 5\n\nhello", "'\"`$(x)", "%s%n%d",
	"-", "--", "\177\\\177",
};

static void
args_alone(void)
{
	for (size_t i = 0; i < NITEMS(awkward); i++) {
		char *args[] = { awkward[i], NULL };

		check_args(args, 1);
	}
}

static void
args_together(void)
{
	char *args[NITEMS(awkward) + 1] = { NULL };

	for (size_t n = 0; n <= NITEMS(awkward); n++) {
		check_args(args, n);
		if (n < NITEMS(awkward))
			args[n] = awkward[n];
	}
}

static void
every_byte(void)
{
	char arg[256], *args[] = { arg, NULL };

	for (int c = 1; c < 256; c++)
		arg[c - 1] = (char)c;
	arg[255] = '\0';
	check_args(args, 1);
	for (int c = 1; c < 256; c++) {
		arg[0] = (char)c;
		arg[1] = '\0';
		check_args(args, 1);
	}
}

/* Those below 0x20, 0x7f and the backslash, and no others. */
static void
escapes(void)
{
	static const struct {
		char arg[8];
		const char *line;
	} all[] = {
		{ "\n", "\nArg: \\012\n" },
		{ "\\", "\nArg: \\134\n" },
		{ "\001", "\nArg: \\001\n" },
		{ "\037", "\nArg: \\037\n" },
		{ "\177", "\nArg: \\177\n" },
		{ " ~", "\nArg:  ~\n" },
		{ "\200\377", "\nArg: \200\377\n" },
		{ "a\tb", "\nArg: a\\011b\n" },
		{ "", "\nArg: \n" },
	};
	char arg[8], *args[] = { arg, NULL }, *head;
	struct idq_job p;
	size_t len;

	for (size_t i = 0; i < NITEMS(all); i++) {
		strlcpy(arg, all[i].arg, sizeof(arg));
		plain(&p, args, 1);
		head = idq_header_format(&p, 0, 0, &len);
		if (!CHECK(head != NULL && strstr(head, all[i].line) != NULL))
			printf("# %s", all[i].line + 1);
		free(head);
	}
}

static void
many_args(void)
{
	const size_t n = 20000;
	struct text {
		char s[8];
	} *text = calloc(n, sizeof(*text));
	char **args = calloc(n + 1, sizeof(*args));

	if (text == NULL || args == NULL)
		err(1, NULL);
	for (size_t i = 0; i < n; i++) {
		snprintf(text[i].s, sizeof(text[i].s), "%zu", i);
		args[i] = text[i].s;
	}
	for (size_t i = 1; i < 70; i++)
		check_args(args, i);
	check_args(args, n);
	free(args);
	free(text);
}

/* A header of exactly LEN bytes, by one long argument: whether it is read. */
static bool
load_length(size_t len)
{
	char *arg = malloc(len), *args[] = { arg, NULL };
	struct idq_job p;
	struct job j;
	size_t got;
	bool whole;

	if (arg == NULL)
		err(1, NULL);
	arg[0] = '\0';
	plain(&p, args, 1);
	load_header(&p, &j, &got);
	idq_job_close(&j);
	memset(arg, 'x', len);
	arg[len - got] = '\0';
	whole = load_header(&p, &j, &got);
	CHECK_INT(got, len);
	if (whole && CHECK_INT(j.pub.nargs, 1))
		CHECK_STR(j.pub.args[0], arg);
	idq_job_close(&j);
	free(arg);
	return whole;
}

static void
long_headers(void)
{
	static const size_t around[] = { 1024, 4096, 8192, 16384, 32768,
	    65536, 131072, 262144, 524288 };

	for (size_t i = 0; i < NITEMS(around); i++)
		for (size_t len = around[i] - 3; len <= around[i] + 3; len++)
			if (!CHECK(load_length(len)))
				printf("# %zu\n", len);
}

static void
longest_header(void)
{
	CHECK(load_length(MIB - 2));
	CHECK(load_length(MIB - 1));
	CHECK(load_length(MIB));
	CHECK(!load_length(MIB + 1));
	CHECK(!load_length(MIB + 2));
	CHECK(!load_length(4 * MIB));
}

/* Every length up to the newline behind the payload. */
static void
truncated(void)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY;
	size_t len;

	for (len = 0; len < strlen(text); len++)
		if (!CHECK(!is_whole(text, len)))
			printf("# %zu\n", len);
	CHECK(is_whole(text, len));
	/* What idq began to write is its own, however little. */
	for (len = 0; len < strlen(text); len++)
		if (!CHECK(begins(text, len)))
			printf("# %zu\n", len);
}

/* The same, zero-filled to its full length. */
static void
zero_filled(void)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY;
	const size_t head = strlen(EXAMPLE_HEAD), all = strlen(text);
	char buf[sizeof(text)];
	struct job j;

	for (size_t len = 0; len < head; len++) {
		memset(buf, '\0', sizeof(buf));
		memcpy(buf, text, len);
		if (!CHECK(!is_whole(buf, all)))
			printf("# %zu\n", len);
	}
	for (size_t len = head; len < all - 1; len++) {
		memset(buf, '\0', sizeof(buf));
		memcpy(buf, text, len);
		CHECK(load(buf, all, EXAMPLE_HASH, &j));
		if (!CHECK_INT(idq_job_verify(q, &j), 0))
			printf("# %zu\n", len);
		idq_job_close(&j);
	}
}

static void
all_zeros(void)
{
	static const size_t lengths[] = { 0, 1, 9, 10, 11, 27, 4095, 4096,
	    4097, 20000 };
	char *zeros = calloc(1, 20000);

	if (zeros == NULL)
		err(1, NULL);
	for (size_t i = 0; i < NITEMS(lengths); i++)
		if (!CHECK(begins(zeros, lengths[i])))
			printf("# %zu\n", lengths[i]);
	/* One byte among them makes it somebody's. */
	zeros[100] = 'x';
	CHECK(!begins(zeros, 20000));
	CHECK(begins(zeros, 100));
	free(zeros);
}

static void
nul_in_header(void)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY;
	char buf[sizeof(text) + 1];

	for (size_t i = 0; i < strlen(EXAMPLE_HEAD); i++) {
		memcpy(buf, text, sizeof(text));
		buf[i] = '\0';
		if (!CHECK(!is_whole(buf, strlen(text))))
			printf("# in place of %zu\n", i);
		memcpy(buf + i + 1, text + i, sizeof(text) - i);
		if (!CHECK(!is_whole(buf, strlen(text) + 1)))
			printf("# before %zu\n", i);
	}
}

static void
nul_in_payload(void)
{
	static const char text[] = EXAMPLE_HEAD "\0\n\0\n\0\n";
	struct job j;

	CHECK(load(text, sizeof(text) - 1, EXAMPLE_HASH, &j));
	CHECK_INT(j.pub.length, 5);
	idq_job_close(&j);
}

/* Neither idq's nor empty: it is not to be replaced. */
static void
foreign(void)
{
	static const char *const all[] = { "x", "idq job 2\n", "idq job 1",
	    "idq job 11\n", "IDQ job 1\n", "idq spool 1\n", "#!/bin/sh\n",
	    " idq job 1\n", "\nidq job 1\n", "\n\n", "\n" };
	static const bool ours[] = { false, false, true };

	for (size_t i = 0; i < NITEMS(all); i++) {
		bool want = i < NITEMS(ours) && ours[i];

		CHECK(!is_whole(all[i], strlen(all[i])));
		if (!CHECK_INT(begins(all[i], strlen(all[i])), want))
			printf("# \"%s\"\n", all[i]);
	}
}

static void
key_of_another_name(void)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY;
	struct job j;

	CHECK(!load(text, strlen(text), OTHER_HASH, &j));
	CHECK(!j.begins);
	idq_job_close(&j);
}

/* The example's lines; the others are put in where they belong. */
enum { N_LINES = 15 };
static const char *const good[N_LINES] = {
	"Key: " EXAMPLE_KEY,
	"Id: " EXAMPLE_ID,
	"Added: 2026-11-23T20:35:00.123456Z",
	"By: uid=1000 host=web1 pid=4211",
	"Due: 2026-11-23T20:35:00.123456Z",
	"Expires: 2026-11-23T22:00:00.000000Z",
	"Group: +4512345678",
	"Run: 1",
	"Keep: 3600",
	"Attempts: 3",
	"On-crash: hold",
	"Arg: one",
	"Arg: two",
	"Length: 5",
	"Fingerprint: " EXAMPLE_PRINT,
};

static bool
is_whole_lines(const char *const *line, size_t n)
{
	char text[4096] = "idq job 1\n";

	for (size_t i = 0; i < n; i++) {
		if (line[i] == NULL)
			continue;
		strlcat(text, line[i], sizeof(text));
		strlcat(text, "\n", sizeof(text));
	}
	strlcat(text, "\n" EXAMPLE_BODY, sizeof(text));
	return is_whole(text, strlen(text));
}

static bool
is_arg(size_t i)
{
	return strncmp(good[i], "Arg: ", 5) == 0;
}

static void
wrong_order(void)
{
	const char *line[N_LINES];

	CHECK(is_whole_lines(good, N_LINES));
	for (size_t i = 0; i < N_LINES; i++)
		for (size_t k = i + 1; k < N_LINES; k++) {
			memcpy(line, good, sizeof(line));
			line[i] = good[k];
			line[k] = good[i];
			if (!CHECK_INT(is_whole_lines(line, N_LINES),
			    is_arg(i) && is_arg(k)))
				printf("# %s before %s\n", line[i], line[k]);
		}
}

/* At once or later. */
static void
duplicate_fields(void)
{
	const char *line[N_LINES + 1];

	for (size_t i = 0; i < N_LINES; i++)
		for (size_t k = i + 1; k <= N_LINES; k++) {
			memcpy(line, good, k * sizeof(*line));
			line[k] = good[i];
			memcpy(line + k + 1, good + k,
			    (N_LINES - k) * sizeof(*line));
			if (!CHECK_INT(is_whole_lines(line, N_LINES + 1),
			    is_arg(i) && is_arg(k - 1)))
				printf("# %s again after %s\n", good[i],
				    good[k - 1]);
		}
}

static bool
is_required(const char *line)
{
	static const char *const names[] = { "Key: ", "Id: ", "Added: ",
	    "By: ", "Due: ", "Length: ", "Fingerprint: " };

	for (size_t i = 0; i < NITEMS(names); i++)
		if (strncmp(line, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

static void
missing_fields(void)
{
	const char *line[N_LINES];

	for (size_t i = 0; i < N_LINES; i++) {
		memcpy(line, good, sizeof(line));
		line[i] = NULL;
		if (!CHECK_INT(is_whole_lines(line, N_LINES),
		    !is_required(good[i])))
			printf("# without %s\n", good[i]);
	}
	memset(line, 0, sizeof(line));
	CHECK(!is_whole_lines(line, N_LINES));
}

/* Put LINE in the place of the example's of that name. */
static bool
with_line(const char *text)
{
	size_t len = strcspn(text, ":") + 1;
	const char *line[N_LINES];

	memcpy(line, good, sizeof(line));
	for (size_t i = 0; i < N_LINES; i++)
		if (strncmp(good[i], text, len) == 0) {
			line[i] = text;
			return is_whole_lines(line, N_LINES);
		}
	errx(1, "%s: no such field", text);
}

static void
good_values(void)
{
	static const char *const all[] = {
		"Keep: forever", "Keep: 1", "Attempts: 1",
		"On-crash: retry", "Length: 0", "Length: 05",
		"Length: 0000000000005", "Length: 4", "Arg: ",
		"Arg: \\012\\134\\377", "Group: a: b", "Arg: a: b",
		"Expires: 1970-01-01T00:00:00.000001Z",
	};

	for (size_t i = 0; i < NITEMS(all); i++)
		if (!CHECK(with_line(all[i])))
			printf("# %s\n", all[i]);
}

static void
bad_values(void)
{
	static const char *const all[] = {
		"Key: ", "Key: call/42", "Key:" EXAMPLE_KEY,
		"Key: " EXAMPLE_KEY " ", "Key:  " EXAMPLE_KEY,
		"Id: ", "Id: 9C1F03B2A4D5E677", "Id: 9c1f03b2a4d5e67",
		"Id: 9c1f03b2a4d5e6770", "Id: 9c1f03b2a4d5e67g",
		"Added: ", "Added: now", "Added: 2026-11-23T20:35:00Z",
		"Due: ", "Due: 1795466100", "Due: 2026-11-23T20:35:00.12345",
		"Expires: ", "Expires: never", "Expires: forever",
		"By: ", "Group: ", "Group: a\tb", "Group: \377",
		"Run: ", "Run: 0", "Run: 2", "Run: yes", "Run: 11",
		"Keep: ", "Keep: -1", "Keep: +1", "Keep: 1h", "Keep: 1.5",
		"Keep: Forever", "Keep: never", "Keep:  1",
		"Keep: 9223372036855", "Keep: 9223372036854775807",
		"Keep: 99999999999999999999",
		"Attempts: ", "Attempts: 0", "Attempts: -1", "Attempts: 1x",
		"Attempts: 4294967296", "Attempts: 4294967297",
		"On-crash: ", "On-crash: maybe", "On-crash: Hold",
		"On-crash: held",
		"Arg: \\", "Arg: \\1", "Arg: \\12", "Arg: \\n", "Arg: \\08x",
		"Arg: \\400", "Arg: \\401", "Arg: \\777",
		"Arg: \\000", "Arg: \\x0a", "Arg: a\\", "Arg:x",
		"Length: ", "Length: -5", "Length: +5", "Length: 0x5",
		"Length: 5 ", "Length:  5", "Length: 5k", "Length: 6",
		"Length: 9223372036854775807", "Length: 9223372036854775808",
		"Length: 18446744073709551621", "Length: 4294967301",
		"Fingerprint: ",
		"Fingerprint: " EXAMPLE_PRINT "0",
		"Fingerprint: CFC3F07939CD27A14B1FBB21FD551169"
		    "FF3D2ADD703FD6E526AA08076DBF37B9",
		"Fingerprint: cfc3",
	};

	for (size_t i = 0; i < NITEMS(all); i++)
		if (!CHECK(!with_line(all[i])))
			printf("# %s\n", all[i]);
}

static void
unknown_fields(void)
{
	static const char *const all[] = { "Colour: red", "key: x", "Ke: x",
	    "Keys: x", ": x", "x", " ", "Args: x", "arg: x", "#" };
	const char *line[N_LINES + 1];

	for (size_t i = 0; i < NITEMS(all); i++)
		for (size_t k = 0; k <= N_LINES; k++) {
			memcpy(line, good, k * sizeof(*line));
			line[k] = all[i];
			memcpy(line + k + 1, good + k,
			    (N_LINES - k) * sizeof(*line));
			if (!CHECK(!is_whole_lines(line, N_LINES + 1)))
				printf("# \"%s\" as line %zu\n", all[i], k);
		}
}

/* An empty line ends the header, wherever it stands. */
static void
empty_line(void)
{
	const char *line[N_LINES + 1];

	for (size_t k = 0; k < N_LINES; k++) {
		memcpy(line, good, k * sizeof(*line));
		line[k] = "";
		memcpy(line + k + 1, good + k,
		    (N_LINES - k) * sizeof(*line));
		if (!CHECK(!is_whole_lines(line, N_LINES + 1)))
			printf("# as line %zu\n", k);
	}
}

/* A payload of LEN bytes, spoiled at its end if BAD: what verify says. */
static int
verify(size_t len, bool bad)
{
	char *data = malloc(len + 4096), *args[] = { NULL }, *head;
	struct idq_print *print = idq_print_new(args, 0);
	struct idq_job p;
	struct job j;
	size_t n;
	int r;

	if (data == NULL || print == NULL)
		err(1, NULL);
	plain(&p, args, 0);
	for (size_t i = 0; i < len; i++)
		data[i] = (char)(i * 7 + i / 251);
	idq_print_add(print, data, len);
	idq_print_end(print, p.fingerprint);
	if ((head = idq_header_format(&p, (int64_t)len, 0, &n)) == NULL)
		err(1, NULL);
	memmove(data + n, data, len);
	memcpy(data, head, n);
	data[n + len] = '\n';
	if (bad)
		data[n + len - 1] ^= 1;
	CHECK(load(data, n + len + 1, EXAMPLE_HASH, &j));
	r = idq_job_verify(q, &j);
	idq_job_close(&j);
	free(head);
	free(data);
	return r;
}

static void
fingerprint_of_payload(void)
{
	static const size_t lengths[] = { 1, 2, 4095, 4096, 65535, 65536,
	    65537, 131072, 1000000 };

	CHECK_INT(verify(0, false), 1);
	for (size_t i = 0; i < NITEMS(lengths); i++) {
		CHECK_INT(verify(lengths[i], false), 1);
		CHECK_INT(verify(lengths[i], true), 0);
	}
}

static void
fingerprint_of_args(void)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY;
	char buf[sizeof(text)], *arg;
	struct job j;

	memcpy(buf, text, sizeof(text));
	if (!CHECK((arg = strstr(buf, "Dentist")) != NULL))
		return;
	*arg = 'd';
	CHECK(load(buf, strlen(buf), EXAMPLE_HASH, &j));
	CHECK_INT(idq_job_verify(q, &j), 0);
	idq_job_close(&j);
}

static void
check_payload(const struct job *j)
{
	char buf[8] = "";
	int fd = idq_payload(q, &j->pub);

	CHECK_INT(read(fd, buf, 5), 5);
	CHECK_STR(buf, "hello");
	close(fd);
}

static void
payload_is_read(void)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY
	    "2026-11-23T20:35:01.000113Z claimed 1 host=a boot=b pid=1\n";
	struct job j;

	CHECK(load(text, strlen(text), EXAMPLE_HASH, &j));
	check_payload(&j);
	/* From its start each time. */
	check_payload(&j);
	CHECK_INT(idq_job_load(q, &j, EXAMPLE_HASH), 0);
	CHECK_INT(j.pub.claims, 1);
	idq_job_close(&j);
}

static void
no_regular_file(void)
{
	struct job j;

	if (mkdirat(q->fd, "run/dir", 0700) == -1 ||
	    symlinkat("../" PATH, q->fd, "run/link") == -1 ||
	    mkfifoat(q->fd, "run/fifo", 0600) == -1)
		err(1, NULL);
	spool_write(q, PATH, "", 0);
	CHECK_INT(idq_job_open(q, "run/nothing", &j), 0);
	CHECK_INT(idq_job_open(q, "run/dir", &j), -1);
	CHECK_INT(idq_errcode(q), 70);
	CHECK_INT(idq_job_open(q, "run/link", &j), -1);
	CHECK_INT(idq_errcode(q), 70);
	CHECK_INT(idq_job_open(q, "run/fifo", &j), -1);
	CHECK_INT(idq_errcode(q), 70);
}

/* A second load frees what the first one read, whatever that was. */
static void
load_again(void)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY;
	struct job j;

	CHECK(load(text, strlen(text), EXAMPLE_HASH, &j));
	CHECK_INT(idq_job_load(q, &j, EXAMPLE_HASH), 0);
	CHECK(j.whole);
	CHECK_INT(j.pub.nargs, 2);
	spool_write(q, PATH, text, 100);
	CHECK_INT(idq_job_load(q, &j, EXAMPLE_HASH), 0);
	CHECK(!j.whole);
	CHECK_INT(j.pub.nargs, 0);
	spool_write(q, PATH, text, strlen(text));
	CHECK_INT(idq_job_load(q, &j, EXAMPLE_HASH), 0);
	CHECK(j.whole);
	CHECK_STR(j.pub.path, PATH);
	idq_job_close(&j);
}

static void
locks(void)
{
	static const char text[] = EXAMPLE_HEAD EXAMPLE_BODY;
	struct job a, b;

	CHECK(load(text, strlen(text), EXAMPLE_HASH, &a));
	CHECK_INT(idq_job_open(q, PATH, &b), 1);
	CHECK_INT(idq_job_lock(q, &a, 0), 1);
	CHECK_INT(idq_job_lock(q, &b, 0), 0);
	CHECK_INT(idq_job_lock(q, &b, 5000), 0);
	idq_job_unlock(&a);
	CHECK_INT(idq_job_lock(q, &b, 0), 1);
	CHECK_INT(idq_job_lock(q, &a, 0), 0);
	idq_job_close(&b);
	CHECK_INT(idq_job_lock(q, &a, 0), 1);
	CHECK_INT(idq_job_is(q, &a, PATH), 1);
	spool_write(q, "run/other", text, strlen(text));
	CHECK_INT(idq_job_is(q, &a, "run/other"), 0);
	CHECK_INT(idq_job_is(q, &a, "run/none"), 0);
	idq_job_close(&a);
}

int
main(void)
{
	q = spool_make();
	check_run("jobfile: the example of idq(5) is read", example_is_read);
	check_run("jobfile: a header is written in order",
	    header_is_written);
	check_run("jobfile: absent fields are left out", absent_fields);
	check_run("jobfile: an argument is written and read", args_alone);
	check_run("jobfile: arguments are written and read", args_together);
	check_run("jobfile: an argument of every byte", every_byte);
	check_run("jobfile: what is escaped in an argument", escapes);
	check_run("jobfile: many arguments", many_args);
	check_run("jobfile: a long header", long_headers);
	check_run("jobfile: a header is at most 1 MiB", longest_header);
	check_run("jobfile: one cut off anywhere is not whole", truncated);
	check_run("jobfile: one filled up with zeros is not whole",
	    zero_filled);
	check_run("jobfile: nothing but zeros is not whole", all_zeros);
	check_run("jobfile: a NUL byte in the header is refused",
	    nul_in_header);
	check_run("jobfile: NUL bytes in the payload are none of it",
	    nul_in_payload);
	check_run("jobfile: a foreign file is told from a torn one", foreign);
	check_run("jobfile: the key of another name is not whole",
	    key_of_another_name);
	check_run("jobfile: fields in another order are refused",
	    wrong_order);
	check_run("jobfile: a field twice is refused", duplicate_fields);
	check_run("jobfile: a missing field is refused", missing_fields);
	check_run("jobfile: good values", good_values);
	check_run("jobfile: bad values are refused", bad_values);
	check_run("jobfile: an unknown field is refused", unknown_fields);
	check_run("jobfile: an empty line ends the header", empty_line);
	check_run("jobfile: the fingerprint tells a spoiled payload",
	    fingerprint_of_payload);
	check_run("jobfile: the fingerprint tells a spoiled argument",
	    fingerprint_of_args);
	check_run("jobfile: the payload is read", payload_is_read);
	check_run("jobfile: what is no regular file is left alone",
	    no_regular_file);
	check_run("jobfile: it is read anew", load_again);
	check_run("jobfile: its lock", locks);
	spool_remove(q);
	return check_done();
}
