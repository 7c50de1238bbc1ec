/* SPDX-License-Identifier: ISC */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "spool.h"

#define KEY_PATH	"keys/ac/" EXAMPLE_HASH
#define START		(EXAMPLE_HEAD EXAMPLE_BODY)
#define AT		"2026-11-23T20:35:06.901870Z"
#define AT_US		INT64_C(1795466106901870)
#define NEXT		"2026-11-23T20:36:06.901870Z"
#define NEXT_US		(AT_US + INT64_C(60000000))
#define PAST		"2001-01-01T00:00:00.000000Z"
#define FUTURE		"2999-01-01T00:00:00.000000Z"
#define CLAIMED(n)	AT " claimed " n " host=web1 boot=8f2c41d0 pid=4242"

static struct idq *q;

static int
parse(const char *s, struct line *l)
{
	return idq_line_parse(s, strlen(s), l);
}

/* The example of idq(5) with these bytes as its trail. */
static void
put(const char *trail, size_t len)
{
	char *data = malloc(strlen(START) + len);

	if (data == NULL)
		err(1, NULL);
	memcpy(data, START, strlen(START));
	if (len > 0)
		memcpy(data + strlen(START), trail, len);
	spool_write(q, KEY_PATH, data, strlen(START) + len);
	free(data);
}

/* Open it; the caller closes. */
static bool
load(const char *trail, size_t len, struct job *j)
{
	put(trail, len);
	if (!CHECK_INT(idq_key_open(q, EXAMPLE_HASH, j), 1))
		return false;
	if (CHECK(j->whole))
		return true;
	idq_job_close(j);
	return false;
}

static bool
load_text(const char *trail, struct job *j)
{
	return load(trail, strlen(trail), j);
}

/* The trail that the file has by now is WANT. */
static void
check_trail(const char *want, size_t len)
{
	size_t got, start = strlen(START);
	char *data = spool_read(q, KEY_PATH, &got);

	CHECK(got >= start && memcmp(data, START, start) == 0);
	if (!CHECK_INT(got - start, len) ||
	    !CHECK(memcmp(data + start, want, len) == 0))
		printf("# %s\n", data + start);
	free(data);
}

/* Each event as idq(5) has it; the detail is what only a person reads. */
static const struct {
	const char	*text;
	struct line	 line;
} lines[] = {
	{ AT " claimed 1 host=web1 boot=8f2c41d0 pid=4242",
	    { AT_US, EV_CLAIMED, 1, PL_CUR, 0, 0, 0,
	    "host=web1 boot=8f2c41d0 pid=4242" } },
	{ AT " claimed 2 host=web1 boot=8f2c41d0 pid=4242 lease=" NEXT,
	    { AT_US, EV_CLAIMED, 2, PL_CUR, 0, 0, NEXT_US,
	    "host=web1 boot=8f2c41d0 pid=4242" } },
	{ AT " renewed 1 lease=" NEXT,
	    { AT_US, EV_RENEWED, 1, PL_CUR, 0, 0, NEXT_US, "" } },
	{ AT " done 3 exit=0 release=" NEXT,
	    { AT_US, EV_DONE, 3, PL_DONE, 0, NEXT_US, 0, "exit=0" } },
	{ AT " done 4294967295 exit=0 release=never",
	    { AT_US, EV_DONE, 4294967295, PL_DONE, 0, IDQ_FOREVER, 0,
	    "exit=0" } },
	{ AT " failed 1 exit=1 to=wait next=" NEXT,
	    { AT_US, EV_FAILED, 1, PL_WAIT, NEXT_US, 0, 0, "exit=1" } },
	{ AT " failed 5 exit=100 to=failed release=" NEXT,
	    { AT_US, EV_FAILED, 5, PL_FAILED, 0, NEXT_US, 0, "exit=100" } },
	{ AT " failed 1 signal=9 to=hold",
	    { AT_US, EV_FAILED, 1, PL_HOLD, 0, 0, 0, "signal=9" } },
	{ AT " failed 1 reason=timeout to=failed next=" NEXT
	    " release=never",
	    { AT_US, EV_FAILED, 1, PL_FAILED, NEXT_US, IDQ_FOREVER, 0,
	    "reason=timeout" } },
	{ AT " later 1 exit=75 to=wait next=" NEXT,
	    { AT_US, EV_LATER, 1, PL_WAIT, NEXT_US, 0, 0, "exit=75" } },
	{ AT " released 1 to=new next=" NEXT,
	    { AT_US, EV_RELEASED, 1, PL_NEW, NEXT_US, 0, 0, "" } },
	{ AT " interrupted 1 to=new next=" NEXT,
	    { AT_US, EV_INTERRUPTED, 1, PL_NEW, NEXT_US, 0, 0, "" } },
	{ AT " interrupted 5 to=failed release=" NEXT,
	    { AT_US, EV_INTERRUPTED, 5, PL_FAILED, 0, NEXT_US, 0, "" } },
	{ AT " interrupted 1 to=hold",
	    { AT_US, EV_INTERRUPTED, 1, PL_HOLD, 0, 0, 0, "" } },
	{ AT " held 1 reason=crash",
	    { AT_US, EV_HELD, 1, PL_HOLD, 0, 0, 0, "reason=crash" } },
	{ AT " held 0 by=1000 reason=operator",
	    { AT_US, EV_HELD, 0, PL_HOLD, 0, 0, 0,
	    "by=1000 reason=operator" } },
	{ AT " unheld 0 by=1000 to=wait next=" NEXT,
	    { AT_US, EV_UNHELD, 0, PL_WAIT, NEXT_US, 0, 0, "by=1000" } },
	{ AT " retried 2 by=1000 to=new next=" NEXT,
	    { AT_US, EV_RETRIED, 2, PL_NEW, NEXT_US, 0, 0, "by=1000" } },
	{ AT " cancelled 0 by=1000 release=" NEXT,
	    { AT_US, EV_CANCELLED, 0, PL_CANCELLED, 0, NEXT_US, 0,
	    "by=1000" } },
	{ AT " expired 0 release=" NEXT,
	    { AT_US, EV_EXPIRED, 0, PL_EXPIRED, 0, NEXT_US, 0, "" } },
};

static void
check_same(const struct line *got, const struct line *want)
{
	CHECK_INT(got->at, want->at);
	CHECK_INT(got->event, want->event);
	CHECK_INT(got->n, want->n);
	CHECK_INT(got->to, want->to);
	CHECK_INT(got->next, want->next);
	CHECK_INT(got->release, want->release);
	CHECK_INT(got->lease, want->lease);
	CHECK_STR(got->detail, want->detail);
}

static void
lines_are_read(void)
{
	bool seen[EV_N] = { false };
	struct line l;

	for (size_t i = 0; i < NITEMS(lines); i++) {
		memset(&l, '#', sizeof(l));
		if (!CHECK_INT(parse(lines[i].text, &l), 0))
			printf("# %s\n", lines[i].text);
		else
			check_same(&l, &lines[i].line);
		seen[lines[i].line.event] = true;
	}
	for (int e = 0; e < EV_N; e++)
		CHECK(seen[e]);
}

static void
lines_round_trip(void)
{
	char buf[LINE_SIZE];
	struct line l;
	size_t len;

	for (size_t i = 0; i < NITEMS(lines); i++) {
		len = idq_line_format(&lines[i].line, buf, sizeof(buf));
		CHECK_INT(len, strlen(buf));
		CHECK_INT(len, strcspn(buf, "\n") + 1);
		memset(&l, '#', sizeof(l));
		if (CHECK_INT(idq_line_parse(buf, len - 1, &l), 0))
			check_same(&l, &lines[i].line);
		else
			printf("# %s", buf);
	}
}

/* The trail of idq(5), byte for byte. */
static void
example_lines(void)
{
	static const char *const text[] = {
		"2026-11-23T20:35:01.000113Z claimed 1 host=web1 "
		"boot=8f2c41d0 pid=4242\n",
		"2026-11-23T20:35:06.901870Z failed 1 exit=1 to=wait "
		"next=2026-11-23T20:36:06.901870Z\n",
		"2026-11-23T20:36:07.000541Z claimed 2 host=web1 "
		"boot=8f2c41d0 pid=4242\n",
		"2026-11-23T20:36:11.411200Z done 2 exit=0 "
		"release=2026-11-30T20:36:11.411200Z\n",
	};
	char buf[LINE_SIZE];
	struct line l;

	for (size_t i = 0; i < NITEMS(text); i++) {
		CHECK_INT(idq_line_parse(text[i], strlen(text[i]) - 1, &l),
		    0);
		CHECK_INT(idq_line_format(&l, buf, sizeof(buf)),
		    strlen(text[i]));
		CHECK_STR(buf, text[i]);
	}
}

static void
longest_line(void)
{
	struct line l = { AT_US, EV_INTERRUPTED, UINT32_MAX, PL_FAILED,
	    NEXT_US, NEXT_US, NEXT_US, "" }, back;
	char buf[LINE_SIZE];
	size_t len;

	memset(l.detail, 'x', sizeof(l.detail) - 1);
	l.detail[1] = '=';
	len = idq_line_format(&l, buf, sizeof(buf));
	CHECK_INT(len, strlen(buf));
	if (CHECK_INT(idq_line_parse(buf, len - 1, &back), 0))
		check_same(&back, &l);
}

static void
unknown_names(void)
{
	struct line l;

	CHECK_INT(parse(CLAIMED("1") " colour=red lease=" NEXT, &l), 0);
	CHECK_INT(l.lease, NEXT_US);
	CHECK_INT(parse(AT " failed 1 exit=1 weight=3 to=wait next=" NEXT
	    " x=y", &l), 0);
	CHECK_INT(l.to, PL_WAIT);
	CHECK_INT(l.next, NEXT_US);
	CHECK_INT(parse(AT " renewed 1 leases=2 lease=" NEXT, &l), 0);
	CHECK_INT(l.lease, NEXT_US);
	CHECK_INT(parse(AT " held 1 reason=a=b", &l), 0);
	CHECK_INT(l.to, PL_HOLD);
}

/* Values of stderr=, and back. */
static void
said(void)
{
	static const struct {
		const char *text;
		const char *value;
	} all[] = {
		{ "", "" },
		{ "plain", "plain" },
		{ "two words", "two\\040words" },
		{ "a=b to=new", "a=b\\040to=new" },
		{ "back\\slash \\040", "back\\134slash\\040\\134040" },
		{ "\t\033[1m\177", "\\011\\033[1m\\177" },
		{ "\303\274 \342\202\254 \360\237\230\200",
		    "\303\274\\040\342\202\254\\040\360\237\230\200" },
		{ "\302\233 \303 \377", "\\302\\233\\040\\303\\040\\377" },
		{ "\342\202", "\\342\\202" },
	};
	char value[SAID_SIZE], text[SAID_SIZE];

	for (size_t i = 0; i < NITEMS(all); i++) {
		idq_said_format(all[i].text, strlen(all[i].text), value);
		CHECK_STR(value, all[i].value);
		idq_said_parse(value, text);
		CHECK_STR(text, all[i].text);
	}
	idq_said_format("a\0b", 3, value);
	CHECK_STR(value, "a\\000b");
	idq_said_parse("a\\04 \\9 next=x", text);
	CHECK_STR(text, "a\\04");
}

/* No character and no \ooo is cut, and none is added where all fits. */
static void
said_is_cut(void)
{
	char text[SAID_RAW], value[SAID_SIZE];
	struct line l;

	for (size_t n = 0; n < 4; n++) {
		memset(text, 'x', sizeof(text));
		for (size_t i = n; i + 1 < sizeof(text); i += 2)
			memcpy(text + i, "\303\274", 2);
		idq_said_format(text, sizeof(text), value);
		CHECK_INT(strlen(value), SAID_SIZE - 1 - n % 2);
		memset(text + n, ' ', sizeof(text) - n);
		idq_said_format(text, sizeof(text), value);
		CHECK_INT(strlen(value), n == 0 ? 160 : 156 + n);
	}
	memset(&l, 0, sizeof(l));
	snprintf(l.detail, sizeof(l.detail), "signal=64 stderr=%0160d", 0);
	CHECK_INT(strlen(l.detail), 17 + 160);
}

/* However many of them: they are passed over, not kept. */
static void
many_unknown_names(void)
{
	char text[LINE_SIZE] = CLAIMED("7");
	struct line l;

	while (strlen(text) < sizeof(text) - 60)
		strlcat(text, " name=value", sizeof(text));
	strlcat(text, " lease=" NEXT, sizeof(text));
	CHECK_INT(parse(text, &l), 0);
	CHECK_INT(l.n, 7);
	CHECK_INT(l.lease, NEXT_US);
	CHECK(memchr(l.detail, '\0', sizeof(l.detail)) != NULL);
}

static void
refuse_all(const char *const *bad, size_t n)
{
	struct line l;

	for (size_t i = 0; i < n; i++)
		if (!CHECK_INT(parse(bad[i], &l), -1))
			printf("# \"%s\"\n", bad[i]);
}

static void
missing_fields(void)
{
	static const char *const bad[] = {
		"",
		AT,
		AT " claimed",
		AT " 1 host=a boot=b pid=1",
		"claimed 1 host=a boot=b pid=1",
		AT " claimed host=a boot=b pid=1",
		AT " failed 1 exit=1",
		AT " failed 1 exit=1 next=" NEXT,
		AT " failed 1 exit=1 to=wait",
		AT " failed 1 exit=1 to=new release=" NEXT,
		AT " later 1 exit=75 next=" NEXT,
		AT " later 1 exit=75 to=wait",
		AT " released 1 next=" NEXT,
		AT " released 1 to=new",
		AT " interrupted 1",
		AT " interrupted 1 to=new",
		AT " retried 1 by=0",
		AT " retried 1 by=0 to=new",
	};

	refuse_all(bad, NITEMS(bad));
}

static void
bad_numbers(void)
{
	static const char *const bad[] = {
		AT " renewed x lease=" NEXT,
		AT " renewed -1 lease=" NEXT,
		AT " renewed +1 lease=" NEXT,
		AT " renewed 1x lease=" NEXT,
		AT " renewed 0x1 lease=" NEXT,
		AT " renewed 1.0 lease=" NEXT,
		AT " renewed 4294967296 lease=" NEXT,
		AT " renewed 99999999999999999999 lease=" NEXT,
		AT " renewed \t1 lease=" NEXT,
	};

	refuse_all(bad, NITEMS(bad));
}

static void
bad_values(void)
{
	static const char *const bad[] = {
		"2026-11-23T20:35:06Z renewed 1 lease=" NEXT,
		"2026-13-23T20:35:06.901870Z renewed 1 lease=" NEXT,
		AT " renewed 1 lease=",
		AT " renewed 1 lease=soon",
		AT " renewed 1 lease=2026-11-23T20:36:06Z",
		AT " renewed 1 lease=" NEXT "x",
		AT " failed 1 exit=1 to=wait next=never",
		AT " failed 1 exit=1 to=wait next=",
		AT " failed 1 exit=1 to= next=" NEXT,
		AT " failed 1 exit=1 to=cur next=" NEXT,
		AT " failed 1 exit=1 to=done next=" NEXT,
		AT " failed 1 exit=1 to=tmp next=" NEXT,
		AT " failed 1 exit=1 to=cancelled next=" NEXT,
		AT " failed 1 exit=1 to=Wait next=" NEXT,
		AT " failed 1 exit=1 to=waiting next=" NEXT,
		AT " done 1 exit=0 release=",
		AT " done 1 exit=0 release=later",
		AT " done 1 exit=0 release=Never",
		AT " finished 1 exit=0",
		AT " Done 1 exit=0 release=never",
		AT " donee 1 exit=0 release=never",
		AT " don 1 exit=0 release=never",
	};

	refuse_all(bad, NITEMS(bad));
}

/* Single spaces, and fields of the form name=value. */
static void
bad_form(void)
{
	static const char *const bad[] = {
		" " AT " renewed 1 lease=" NEXT,
		AT "  renewed 1 lease=" NEXT,
		AT " renewed  1 lease=" NEXT,
		AT " renewed 1  lease=" NEXT,
		AT " renewed 1 lease=" NEXT " ",
		AT " renewed 1 ",
		AT "\trenewed\t1\tlease=" NEXT,
		AT " renewed 1 lease",
		AT " renewed 1 =x",
		AT " held 1 reason=two words",
		AT " renewed 1 lease=" NEXT " " CLAIMED("2"),
	};

	refuse_all(bad, NITEMS(bad));
}

static void
nul_bytes(void)
{
	const char good[] = CLAIMED("1");
	char buf[sizeof(good) + 1];
	struct line l;

	CHECK_INT(idq_line_parse(good, strlen(good), &l), 0);
	for (size_t i = 0; i <= strlen(good); i++) {
		memcpy(buf, good, i);
		buf[i] = '\0';
		memcpy(buf + i + 1, good + i, strlen(good) - i);
		if (!CHECK_INT(idq_line_parse(buf, strlen(good) + 1, &l), -1))
			printf("# at %zu\n", i);
		memcpy(buf, good, strlen(good));
		if (i == strlen(good))
			break;
		buf[i] = '\0';
		if (!CHECK_INT(idq_line_parse(buf, strlen(good), &l), -1))
			printf("# in place of %zu\n", i);
	}
}

static void
length_counts(void)
{
	const char *s = CLAIMED("1") " to=nowhere";
	struct line l;

	CHECK_INT(idq_line_parse(s, strlen(s), &l), -1);
	CHECK_INT(idq_line_parse(s, strlen(CLAIMED("1")), &l), 0);
	CHECK_STR(l.detail, "host=web1 boot=8f2c41d0 pid=4242");
}

static void
overlong(void)
{
	char *buf = malloc(100000);
	struct line l;

	if (!CHECK(buf != NULL))
		return;
	memset(buf, 'x', 100000);
	memcpy(buf, CLAIMED("1") " x=", strlen(CLAIMED("1") " x="));
	CHECK_INT(idq_line_parse(buf, 4096, &l), -1);
	CHECK_INT(idq_line_parse(buf, 100000, &l), -1);
	free(buf);
}

/* Where an event always leads, no field leads elsewhere. */
static void
to_is_only_for_some(void)
{
	static const struct {
		const char *text;
		enum place to;
	} all[] = {
		{ AT " done 1 exit=0 release=never to=new next=" NEXT,
		    PL_DONE },
		{ AT " cancelled 1 release=never by=0 to=failed",
		    PL_CANCELLED },
		{ AT " expired 0 release=never to=wait next=" NEXT,
		    PL_EXPIRED },
		{ CLAIMED("1") " to=hold", PL_CUR },
		{ AT " held 1 reason=x to=failed", PL_HOLD },
	};
	struct line l;

	for (size_t i = 0; i < NITEMS(all); i++)
		if (parse(all[i].text, &l) == 0 &&
		    !CHECK_INT(l.to, all[i].to))
			printf("# %s\n", all[i].text);
}

/*
 * A trail by letters, each a line: Claimed, Renewed, Failed, Later, reLeased
 * as B, Interrupted, Held, reTried, Done, X cancelled, Expired.
 */
static void
write_line(FILE *f, char event, int claims)
{
	static const struct {
		char event;
		const char *text;
	} all[] = {
		{ 'C', "claimed %d host=web1 boot=8f2c41d0 pid=4242" },
		{ 'R', "renewed %d lease=" FUTURE },
		{ 'F', "failed %d exit=1 to=wait next=" FUTURE },
		{ 'G', "failed %d exit=1 to=failed release=" FUTURE },
		{ 'L', "later %d exit=75 to=wait next=" FUTURE },
		{ 'B', "released %d to=new next=" PAST },
		{ 'I', "interrupted %d to=new next=" PAST },
		{ 'J', "interrupted %d to=hold" },
		{ 'H', "held %d reason=x" },
		{ 'T', "retried %d to=new next=" PAST " by=0" },
		{ 'D', "done %d exit=0 release=" FUTURE },
		{ 'X', "cancelled %d release=never by=0" },
		{ 'E', "expired %d release=" FUTURE },
	};

	for (size_t i = 0; i < NITEMS(all); i++)
		if (all[i].event == event) {
			fputs(AT " ", f);
			fprintf(f, all[i].text, claims);
			fputc('\n', f);
			return;
		}
	errx(1, "%c is no event", event);
}

static char *
spell(const char *letters)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int claims = 0;

	if (f == NULL)
		err(1, NULL);
	for (; *letters != '\0'; letters++)
		write_line(f, *letters, *letters == 'C' ? ++claims : claims);
	if (fclose(f) == EOF)
		err(1, NULL);
	return text;
}

static bool
load_letters(const char *letters, struct job *j)
{
	char *text = spell(letters);
	bool ok = load_text(text, j);

	free(text);
	return ok;
}

/*
 * Claims are never given back; attempts are the claims since the last retry,
 * less those that ended as later or released.
 */
static void
arithmetic(void)
{
	static const struct {
		const char *letters;
		uint32_t claims;
		uint32_t attempts;
		enum idq_state state;
	} all[] = {
		{ "", 0, 0, IDQ_PENDING },
		{ "C", 1, 1, IDQ_RUNNING },
		{ "CR", 1, 1, IDQ_RUNNING },
		{ "CRRRR", 1, 1, IDQ_RUNNING },
		{ "CF", 1, 1, IDQ_WAITING },
		{ "CFC", 2, 2, IDQ_RUNNING },
		{ "CFCFCG", 3, 3, IDQ_FAILED },
		{ "CD", 1, 1, IDQ_DONE },
		{ "CL", 1, 0, IDQ_WAITING },
		{ "CLC", 2, 1, IDQ_RUNNING },
		{ "CLCLCL", 3, 0, IDQ_WAITING },
		{ "CLCLCLC", 4, 1, IDQ_RUNNING },
		{ "CB", 1, 0, IDQ_PENDING },
		{ "CBCBC", 3, 1, IDQ_RUNNING },
		{ "CFCL", 2, 1, IDQ_WAITING },
		{ "CLCF", 2, 1, IDQ_WAITING },
		{ "CFCBCF", 3, 2, IDQ_WAITING },
		{ "CRB", 1, 0, IDQ_PENDING },
		{ "CI", 1, 1, IDQ_PENDING },
		{ "CIC", 2, 2, IDQ_RUNNING },
		{ "CICL", 2, 1, IDQ_WAITING },
		{ "CJ", 1, 1, IDQ_HELD },
		{ "CH", 1, 1, IDQ_HELD },
		{ "CJT", 1, 0, IDQ_PENDING },
		{ "CJTC", 2, 1, IDQ_RUNNING },
		{ "CFCFT", 2, 0, IDQ_PENDING },
		{ "CFCFTCFC", 4, 2, IDQ_RUNNING },
		{ "CFTCL", 2, 0, IDQ_WAITING },
		{ "CFTCFTC", 3, 1, IDQ_RUNNING },
		{ "TTT", 0, 0, IDQ_PENDING },
		{ "TC", 1, 1, IDQ_RUNNING },
		{ "CFTLC", 2, 1, IDQ_RUNNING },
		{ "CX", 1, 1, IDQ_CANCELLED },
		{ "X", 0, 0, IDQ_CANCELLED },
		{ "E", 0, 0, IDQ_EXPIRED },
		{ "CLE", 1, 0, IDQ_EXPIRED },
		{ "CGT", 1, 0, IDQ_PENDING },
		/* The last line decides, whatever stands before it. */
		{ "CDC", 2, 2, IDQ_RUNNING },
	};
	struct job j;

	for (size_t i = 0; i < NITEMS(all); i++) {
		if (!load_letters(all[i].letters, &j))
			continue;
		if (!CHECK_INT(j.pub.claims, all[i].claims) ||
		    !CHECK_INT(j.pub.attempts, all[i].attempts) ||
		    !CHECK_INT(j.pub.state, all[i].state) ||
		    !CHECK_INT(j.started, *all[i].letters != '\0'))
			printf("# %s\n", all[i].letters);
		idq_job_close(&j);
	}
}

static void
what_is_over(void)
{
	static const struct {
		const char *letters;
		bool over;
	} all[] = {
		{ "", false }, { "C", false }, { "CR", false },
		{ "CF", false }, { "CG", true }, { "CL", false },
		{ "CB", false }, { "CI", false }, { "CJ", false },
		{ "CH", false }, { "CGT", false }, { "CD", true },
		{ "X", true }, { "E", true },
	};
	struct job j;

	for (size_t i = 0; i < NITEMS(all); i++)
		if (load_letters(all[i].letters, &j)) {
			if (!CHECK_INT(idq_is_over(&j), all[i].over))
				printf("# %s\n", all[i].letters);
			idq_job_close(&j);
		}
}

/* A trail says when it is due, not the folder: the clock decides. */
static void
clock_decides(void)
{
	struct job j;

	if (load_text(AT " failed 1 exit=1 to=wait next=" PAST "\n", &j)) {
		CHECK_INT(j.pub.state, IDQ_PENDING);
		idq_job_state(&j, 0);
		CHECK_INT(j.pub.state, IDQ_WAITING);
		idq_job_state(&j, j.pub.due);
		CHECK_INT(j.pub.state, IDQ_PENDING);
		idq_job_close(&j);
	}
	if (load_text(AT " released 1 to=new next=" FUTURE "\n", &j)) {
		CHECK_INT(j.pub.state, IDQ_WAITING);
		idq_job_close(&j);
	}
}

static void
stamps_do_not_decide(void)
{
	struct job j;

	if (!load_text(CLAIMED("1") "\n" PAST " done 1 exit=0 release=never\n",
	    &j))
		return;
	CHECK_INT(j.pub.state, IDQ_DONE);
	CHECK_INT(j.pub.since, INT64_C(978307200000000));
	idq_job_close(&j);
}

static void
fields_of_the_job(void)
{
	struct job j;

	if (load_text(CLAIMED("1") " lease=" NEXT "\n", &j)) {
		CHECK_INT(j.pub.lease, NEXT_US);
		CHECK_INT(j.pub.release, 0);
		CHECK_STR(j.pub.last, CLAIMED("1") " lease=" NEXT);
		CHECK_INT(j.pub.since, AT_US);
		idq_job_close(&j);
	}
	if (load_text(CLAIMED("1") " lease=" NEXT "\n" AT
	    " failed 1 exit=1 to=wait next=" NEXT "\n", &j)) {
		CHECK_INT(j.pub.lease, 0);
		CHECK_INT(j.pub.due, NEXT_US);
		CHECK_INT(j.line.to, PL_WAIT);
		idq_job_close(&j);
	}
	if (load_text(CLAIMED("1") "\n" AT " done 1 exit=0 release=never\n",
	    &j)) {
		CHECK_INT(j.pub.release, IDQ_FOREVER);
		idq_job_close(&j);
	}
	if (load_text("", &j)) {
		CHECK_STR(j.pub.last, NULL);
		CHECK_INT(j.pub.since, j.pub.added);
		CHECK_INT(j.pub.due, INT64_C(1795466100123456));
		idq_job_close(&j);
	}
}

/* Append a line and compare the whole trail with WANT and the line. */
static void
check_append(struct job *j, const char *want)
{
	static const char added[] = AT " renewed 1 lease=" NEXT "\n";
	const struct line l = { AT_US, EV_RENEWED, 1, PL_CUR, 0, 0, NEXT_US,
	    "" };
	char *all;

	if (asprintf(&all, "%s%s", want, added) == -1)
		err(1, NULL);
	CHECK_INT(idq_trail_append(q, j, &l), 0);
	CHECK_INT(j->size, j->end);
	CHECK_INT(j->end, strlen(START) + strlen(all));
	check_trail(all, strlen(all));
	free(all);
}

static void
check_torn(const char *good, const char *torn, size_t len)
{
	char *all = malloc(strlen(good) + len);
	struct job j;

	if (all == NULL)
		err(1, NULL);
	memcpy(all, good, strlen(good));
	memcpy(all + strlen(good), torn, len);
	if (load(all, strlen(good) + len, &j)) {
		CHECK_INT(j.end, strlen(START) + strlen(good));
		CHECK_INT(j.started, *good != '\0');
		CHECK_INT(j.pub.state, *good != '\0' ? IDQ_RUNNING :
		    IDQ_PENDING);
		check_append(&j, good);
		idq_job_close(&j);
	}
	free(all);
}

/* A last line without its newline does not count, complete or not. */
static void
torn_line(void)
{
	const char *good = CLAIMED("1") "\n";
	const char *last = AT " done 1 exit=0 release=never";

	for (size_t len = 1; len <= strlen(last); len++) {
		check_torn(good, last, len);
		check_torn("", last, len);
	}
}

static void
torn_ends(void)
{
	static const struct {
		const char *s;
		size_t len;
	} torn[] = {
#define END(s)	{ s, sizeof(s) - 1 }
		END("\0"), END("\n"), END("\0\n"), END("\0\0\0\0\0\0\0\0"),
		END("x\n"), END("\n\n\n"), END("two\nlines\n"),
		END("two\nlines\nand a half"),
		END(AT " done 1 exit=0\0release=never\n"),
		END(AT " done 1 exit=0 release=nev\0r\n"),
		END("\0" AT " done 1 exit=0 release=never\n"),
		END(AT " done 1 exit=0 release=never\0\n"),
		END(AT " done 1 exit=0 release=2026-11-30T20:36:11\n"),
		END("\377\377\377\377\n"),
#undef END
	};

	for (size_t i = 0; i < NITEMS(torn); i++) {
		check_torn(CLAIMED("1") "\n", torn[i].s, torn[i].len);
		check_torn("", torn[i].s, torn[i].len);
	}
}

/* Of zeros, as after a power cut, and of any length. */
static void
long_torn_ends(void)
{
	static const size_t lengths[] = { 511, 512, 513, 4095, 4096, 4097,
	    8192, 20000, 100000 };
	char *junk = malloc(100001);

	if (junk == NULL)
		err(1, NULL);
	for (int c = 0; c < 2; c++)
		for (size_t i = 0; i < NITEMS(lengths); i++) {
			memset(junk, c == 0 ? '\0' : 'x', 100001);
			check_torn(CLAIMED("1") "\n", junk, lengths[i]);
			check_torn("", junk, lengths[i]);
			junk[lengths[i]] = '\n';
			check_torn(CLAIMED("1") "\n", junk, lengths[i] + 1);
		}
	free(junk);
}

/* LEN bytes of junk without a newline, then END: what counts of it. */
static void
junk_then(int c, size_t len, const char *end, struct job *j, bool *ok)
{
	char *all = malloc(len + strlen(end));

	if (all == NULL)
		err(1, NULL);
	memset(all, c, len);
	memcpy(all + len, end, strlen(end));
	*ok = load(all, len + strlen(end), j);
	free(all);
}

static const size_t junk_lengths[] = { 1, 100, 510, 511, 512, 513, 1024, 3900,
	4094, 4095, 4096, 4097, 4098, 8190, 8191, 8192, 8193, 12288, 50000 };

/* Junk is a line of its own: what follows counts. */
static void
junk_line(void)
{
	struct job j;
	bool ok;

	for (int c = 0; c < 2; c++)
		for (size_t i = 0; i < NITEMS(junk_lengths); i++) {
			junk_then(c == 0 ? '\0' : 'x', junk_lengths[i],
			    "\n" CLAIMED("1") "\n", &j, &ok);
			if (!ok)
				continue;
			if (!CHECK_INT(j.pub.claims, 1) ||
			    !CHECK_INT(j.end, j.size))
				printf("# %zu\n", junk_lengths[i]);
			idq_job_close(&j);
		}
}

/* Without a newline between them they are one line, which does not parse. */
static void
junk_before_a_line(void)
{
	struct job j;
	bool ok;

	for (int c = 0; c < 2; c++)
		for (size_t i = 0; i < NITEMS(junk_lengths); i++) {
			junk_then(c == 0 ? '\0' : 'x', junk_lengths[i],
			    CLAIMED("1") "\n", &j, &ok);
			if (!ok)
				continue;
			if (!CHECK_INT(j.pub.claims, 0) ||
			    !CHECK_INT(j.end, strlen(START)))
				printf("# %zu\n", junk_lengths[i]);
			idq_job_close(&j);
		}
}

static void
junk_in_the_middle(void)
{
	static const char *const junk[] = { "x\n", "\n", "\n\n", AT " done\n",
	    AT " done 1 exit=0 release=tomorrow\n",
	    "idq job 1\nKey: x\n\n" };
	char all[1024];
	struct job j;

	for (size_t i = 0; i < NITEMS(junk); i++) {
		snprintf(all, sizeof(all), "%s\n%s%s\n%s%s\n", CLAIMED("1"),
		    junk[i], AT " failed 1 exit=1 to=wait next=" NEXT,
		    junk[i], CLAIMED("2"));
		if (!load_text(all, &j))
			continue;
		CHECK_INT(j.pub.claims, 2);
		CHECK_INT(j.pub.attempts, 2);
		CHECK_INT(j.pub.state, IDQ_RUNNING);
		CHECK_INT(j.end, j.size);
		/* What is between lines that count stays. */
		check_append(&j, all);
		idq_job_close(&j);
	}
}

struct shown {
	char	 text[1024];
	int	 n;
};

static void
show(void *arg, const char *line)
{
	struct shown *s = arg;

	s->n++;
	strlcat(s->text, line, sizeof(s->text));
	strlcat(s->text, "\n", sizeof(s->text));
}

static void
check_shown(const char *trail, size_t len, const char *want)
{
	struct shown s = { "", 0 };
	struct job j;

	if (!load(trail, len, &j))
		return;
	CHECK_INT(idq_trail(q, &j.pub, show, &s), 0);
	CHECK_STR(s.text, want);
	idq_job_close(&j);
}

static void
trail_is_shown(void)
{
	static const char two[] = CLAIMED("1") "\n" AT
	    " done 1 exit=0 release=never\n";
	static const char junk[] = CLAIMED("1") "\njunk\n\n" AT
	    " done 1 exit=0 release=never\nhalf a line";

	check_shown("", 0, "");
	check_shown(two, strlen(two), two);
	check_shown(junk, strlen(junk), two);
}

/* A line with a NUL byte is passed over, and no more than that. */
static void
trail_is_shown_past_nuls(void)
{
	static const char two[] = CLAIMED("1") "\n" AT
	    " done 1 exit=0 release=never\n";
	static const char zeros[] = CLAIMED("1") "\n\0\0\0\0\n" AT
	    " done 1 exit=0 release=never\n";
	static const char line[] = CLAIMED("1") "\n" CLAIMED("2") "\0x\n" AT
	    " done 1 exit=0 release=never\n";

	check_shown(zeros, sizeof(zeros) - 1, two);
	check_shown(line, sizeof(line) - 1, two);
}

static void
long_trail(void)
{
	char letters[2001];
	struct job j;

	for (size_t i = 0; i < sizeof(letters) - 1; i += 2)
		memcpy(letters + i, i % 10 == 0 ? "CL" : "CF", 2);
	letters[sizeof(letters) - 1] = '\0';
	if (!load_letters(letters, &j))
		return;
	CHECK_INT(j.pub.claims, 1000);
	CHECK_INT(j.pub.attempts, 800);
	CHECK_INT(j.end, j.size);
	idq_job_close(&j);
}

/* What an append makes of the job is what a reader finds. */
static void
append_as_read(void)
{
	struct job j, again;

	if (!load_text("", &j))
		return;
	for (size_t i = 0; i < NITEMS(lines); i++) {
		CHECK_INT(idq_trail_append(q, &j, &lines[i].line), 0);
		if (!CHECK_INT(idq_key_open(q, EXAMPLE_HASH, &again), 1))
			break;
		idq_job_state(&j, idq_now());
		CHECK(again.whole && again.started);
		CHECK_INT(j.started, 1);
		CHECK_INT(j.end, again.end);
		CHECK_INT(j.size, again.size);
		CHECK_INT(j.pub.claims, again.pub.claims);
		CHECK_INT(j.pub.attempts, again.pub.attempts);
		CHECK_INT(j.pub.state, again.pub.state);
		CHECK_INT(j.pub.since, again.pub.since);
		CHECK_INT(j.pub.due, again.pub.due);
		CHECK_INT(j.pub.lease, again.pub.lease);
		CHECK_INT(j.pub.release, again.pub.release);
		CHECK_STR(j.pub.last, again.pub.last);
		check_same(&j.line, &again.line);
		idq_job_close(&again);
	}
	idq_job_close(&j);
}

static void
event_names(void)
{
	static const char *const names[] = { "claimed", "renewed", "done",
	    "failed", "later", "released", "interrupted", "held", "unheld",
	    "retried", "cancelled", "expired" };
	int found = 0;

	CHECK_INT(NITEMS(names), EV_N);
	for (int e = 0; e < EV_N; e++)
		for (size_t i = 0; i < NITEMS(names); i++)
			found += strcmp(idq_event_name((enum event)e),
			    names[i]) == 0;
	CHECK_INT(found, EV_N);
}

int
main(void)
{
	q = spool_make();
	check_run("trail: the events of idq(5)", event_names);
	check_run("trail: a line of each event is read", lines_are_read);
	check_run("trail: a line of each event is written and read",
	    lines_round_trip);
	check_run("trail: the lines of idq(5) are written as they stand",
	    example_lines);
	check_run("trail: the longest line is written and read",
	    longest_line);
	check_run("trail: unknown names are passed over", unknown_names);
	check_run("trail: what a command said, and back", said);
	check_run("trail: what a command said is cut", said_is_cut);
	check_run("trail: many unknown names are passed over",
	    many_unknown_names);
	check_run("trail: a missing field is refused", missing_fields);
	check_run("trail: a bad number is refused", bad_numbers);
	check_run("trail: a bad value is refused", bad_values);
	check_run("trail: a line of another form is refused", bad_form);
	check_run("trail: a NUL byte is refused", nul_bytes);
	check_run("trail: a line ends at its length", length_counts);
	check_run("trail: an over-long line is refused", overlong);
	check_run("trail: to= does not send an end elsewhere",
	    to_is_only_for_some);
	check_run("trail: claims and attempts", arithmetic);
	check_run("trail: what nothing starts by itself", what_is_over);
	check_run("trail: the clock tells waiting from pending",
	    clock_decides);
	check_run("trail: the last line decides, not its stamp",
	    stamps_do_not_decide);
	check_run("trail: what the last line says of the job",
	    fields_of_the_job);
	check_run("trail: a torn line is cut off before the append",
	    torn_line);
	check_run("trail: any torn end is cut off before the append",
	    torn_ends);
	check_run("trail: a long torn end is cut off before the append",
	    long_torn_ends);
	check_run("trail: a line after junk counts", junk_line);
	check_run("trail: junk and a line without a newline are one",
	    junk_before_a_line);
	check_run("trail: junk in the middle is passed over and stays",
	    junk_in_the_middle);
	check_run("trail: lines that count are shown", trail_is_shown);
	check_run("trail: lines behind a NUL byte are shown",
	    trail_is_shown_past_nuls);
	check_run("trail: a thousand claims", long_trail);
	check_run("trail: an append leaves the job as a reader finds it",
	    append_as_read);
	spool_remove(q);
	return check_done();
}
