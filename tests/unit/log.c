/* SPDX-License-Identifier: ISC */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "spool.h"

#define REF	EXAMPLE_HASH "." EXAMPLE_ID
#define AT	INT64_C(1795466100123456)	/* 20:35:00.123456 */
#define DAY	INT64_C(86400000000)
#define LINE(at, event, n) \
	at "\t" event "\t" REF "." n "\texit=0\tg\t" EXAMPLE_KEY "\n"

static struct idq *q;

/* What idq_log() gave, one `stamp event hash.id.n detail|group|key' each. */
static char seen[8192];
static int nseen, stop_after;

static int
see(void *arg, const struct idq_event *e)
{
	char stamp[STAMP_SIZE], line[2048];

	(void)arg;
	snprintf(line, sizeof(line), "%s %s %s.%s.%" PRIu32 " %s|%s|%s\n",
	    idq_stamp(e->at, stamp), e->name, e->hash, e->id, e->n,
	    e->detail, e->group, e->key);
	strlcat(seen, line, sizeof(seen));
	return ++nseen == stop_after;
}

static int
read_log(int64_t since)
{
	seen[0] = '\0';
	nseen = 0;
	return idq_log(q, since, see, NULL);
}

/* An empty log/. */
static void
start(void)
{
	DIR *d = idq_opendir(q, "log");
	struct dirent *e;

	stop_after = 0;
	if (d == NULL)
		err(1, "log");
	while ((e = idq_readdir(d)) != NULL)
		if (unlinkat(dirfd(d), e->d_name, 0) == -1 &&
		    unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR) == -1)
			err(1, "%s", e->d_name);
	closedir(d);
}

static void
put(const char *path, const char *text)
{
	spool_write(q, path, text, strlen(text));
}

/* The example's job, as far as a log line tells of it; to be freed. */
static void
example(struct job *j, const char *group, const char *key)
{
	memset(j, 0, sizeof(*j));
	j->fd = -1;
	strlcpy(j->pub.hash, EXAMPLE_HASH, sizeof(j->pub.hash));
	strlcpy(j->pub.id, EXAMPLE_ID, sizeof(j->pub.id));
	j->pub.key = strdup(key);
	j->pub.group = group != NULL ? strdup(group) : NULL;
}

static void
written_as_specified(void)
{
	struct job j;
	char *text;

	start();
	strlcpy(q->host, "web1", sizeof(q->host));
	example(&j, "+4512345678", EXAMPLE_KEY);
	idq_log_write(q, &j.pub, AT, "added", 0, "");
	idq_log_write(q, &j.pub, AT + 1, "done", 2, "exit=0 release=never");
	idq_log_write(q, NULL, AT + 2, "purged", 0, "jobs=3");
	text = spool_read(q, "log/2026-11-23.web1", NULL);
	CHECK_STR(text,
	    "2026-11-23T20:35:00.123456Z\tadded\t" REF ".0\t\t+4512345678\t"
	    EXAMPLE_KEY "\n"
	    "2026-11-23T20:35:00.123457Z\tdone\t" REF
	    ".2\texit=0 release=never\t+4512345678\t" EXAMPLE_KEY "\n"
	    "2026-11-23T20:35:00.123458Z\tpurged\t-\tjobs=3\t\t\n");
	free(text);
	CHECK_INT(read_log(0), 0);
	CHECK_STR(seen,
	    "2026-11-23T20:35:00.123456Z added " REF ".0 |+4512345678|"
	    EXAMPLE_KEY "\n"
	    "2026-11-23T20:35:00.123457Z done " REF
	    ".2 exit=0 release=never|+4512345678|" EXAMPLE_KEY "\n"
	    "2026-11-23T20:35:00.123458Z purged ..0 jobs=3||\n");
	idq_job_close(&j);
}

/* Key and group of full length, of what keys may have. */
static void
longest_line(void)
{
	char key[IDQ_KEY_MAX + 1];
	struct job j;

	start();
	for (size_t i = 0; i < IDQ_KEY_MAX; i += 2)
		memcpy(key + i, "\303\274", 2);
	key[IDQ_KEY_MAX] = '\0';
	example(&j, key, key);
	idq_log_write(q, &j.pub, AT, "interrupted", UINT32_MAX,
	    "exit=255 to=failed next=2026-11-23T20:35:00.123456Z "
	    "release=2026-11-23T20:35:00.123456Z");
	CHECK_INT(read_log(0), 0);
	CHECK_INT(nseen, 1);
	CHECK(strstr(seen, key) != NULL);
	CHECK(strstr(seen, REF ".4294967295 exit=255 to=failed ") != NULL);
	if (CHECK(strlen(seen) > IDQ_KEY_MAX + 2))
		CHECK_INT(seen[strlen(seen) - IDQ_KEY_MAX - 2], '|');
	idq_job_close(&j);
}

/* The last line of the trail, its first three words as columns. */
static void
line_of_a_trail(void)
{
	struct job j;

	start();
	example(&j, NULL, "k");
	j.pub.last = strdup("2026-11-23T20:35:00.123456Z failed 3 exit=1 "
	    "to=failed release=never");
	j.line = (struct line){ .at = AT, .event = EV_FAILED, .n = 3,
	    .to = PL_FAILED };
	idq_log_line(q, &j);
	free(j.pub.last);
	j.pub.last = strdup("2026-11-23T20:35:00.123457Z expired 0");
	j.line = (struct line){ .at = AT + 1, .event = EV_EXPIRED };
	idq_log_line(q, &j);
	CHECK_INT(read_log(0), 0);
	CHECK_STR(seen,
	    "2026-11-23T20:35:00.123456Z failed " REF
	    ".3 exit=1 to=failed release=never||k\n"
	    "2026-11-23T20:35:00.123457Z expired " REF ".0 ||k\n");
	idq_job_close(&j);
}

static void
a_file_a_day(void)
{
	struct job j;

	start();
	example(&j, NULL, "k");
	idq_log_write(q, &j.pub, AT, "added", 0, "");
	idq_log_write(q, &j.pub, AT + DAY, "added", 0, "");
	strlcpy(q->host, "web2", sizeof(q->host));
	idq_log_write(q, &j.pub, AT, "added", 0, "");
	strlcpy(q->host, "web1", sizeof(q->host));
	CHECK_INT(spool_entries(q, "log"), 3);
	CHECK_INT(faccessat(q->fd, "log/2026-11-23.web1", F_OK, 0), 0);
	CHECK_INT(faccessat(q->fd, "log/2026-11-24.web1", F_OK, 0), 0);
	CHECK_INT(faccessat(q->fd, "log/2026-11-23.web2", F_OK, 0), 0);
	idq_job_close(&j);
}

/* The events seen, by their names. */
static void
check_names(int64_t since, const char *want)
{
	char names[256] = "", *rest = seen, *line, *name;

	CHECK_INT(read_log(since), 0);
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		strsep(&line, " ");
		name = strsep(&line, " ");
		strlcat(names, name, sizeof(names));
		strlcat(names, " ", sizeof(names));
	}
	if (!CHECK_STR(names, want))
		printf("# since %" PRId64 "\n", since);
}

static void
two_hosts(void)
{
	put("log/2026-11-23.web1",
	    LINE("2026-11-23T08:00:00.000000Z", "a", "1")
	    LINE("2026-11-23T08:00:02.000000Z", "c", "1")
	    LINE("2026-11-23T08:00:02.000002Z", "e", "1")
	    LINE("2026-11-23T23:59:59.999999Z", "h", "1"));
	put("log/2026-11-23.web2",
	    LINE("2026-11-23T08:00:01.000000Z", "b", "1")
	    LINE("2026-11-23T08:00:02.000001Z", "d", "1")
	    LINE("2026-11-23T09:00:00.000000Z", "f", "1")
	    LINE("2026-11-23T09:00:00.000001Z", "g", "1"));
	put("log/2026-11-24.web2",
	    LINE("2026-11-24T00:00:00.000000Z", "i", "1"));
	put("log/2026-11-25.web1",
	    LINE("2026-11-25T01:00:00.000000Z", "j", "1"));
}

static void
merged_by_time(void)
{
	start();
	two_hosts();
	check_names(0, "a b c d e f g h i j ");
	/* Not by the name of the host. */
	put("log/2026-11-25.aaa",
	    LINE("2026-11-25T02:00:00.000000Z", "k", "1"));
	check_names(0, "a b c d e f g h i j k ");
}

static void
since_a_time(void)
{
	const int64_t c = INT64_C(1795420802000000);	/* 08:00:02 */

	start();
	two_hosts();
	check_names(c - 1000000, "b c d e f g h i j ");
	check_names(c, "c d e f g h i j ");
	check_names(c + 1, "d e f g h i j ");
	check_names(c + 2, "e f g h i j ");
	check_names(AT, "h i j ");
	check_names(AT + DAY, "j ");
	check_names(AT + 2 * DAY, "");
	check_names(INT64_MAX, "");
}

static void
stopped(void)
{
	start();
	two_hosts();
	for (int n = 1; n <= 10; n++) {
		stop_after = n;
		CHECK_INT(read_log(0), 0);
		CHECK_INT(nseen, n);
	}
	stop_after = 0;
}

static void
torn_last_line(void)
{
	const char *last = LINE("2026-11-23T08:00:01.000000Z", "b", "1");
	const char *first = LINE("2026-11-23T08:00:00.000000Z", "a", "1");
	char text[1024];

	start();
	for (size_t len = 0; len < strlen(last); len++) {
		snprintf(text, sizeof(text), "%s%.*s", first, (int)len, last);
		put("log/2026-11-23.web1", text);
		check_names(0, "a ");
		put("log/2026-11-23.web2",
		    LINE("2026-11-23T08:00:02.000000Z", "c", "1"));
		check_names(0, "a c ");
		start();
	}
}

/* A torn line that another one was written behind: neither is to be had. */
static void
torn_and_continued(void)
{
	const char *torn = LINE("2026-11-23T08:00:01.000000Z", "b", "1");
	char text[1024];

	start();
	for (size_t len = 1; len < strlen(torn); len++) {
		snprintf(text, sizeof(text), "%.*s%s", (int)len, torn,
		    LINE("2026-11-23T08:00:02.000000Z", "c", "1"));
		put("log/2026-11-23.web1", text);
		CHECK_INT(read_log(0), 0);
		if (!CHECK_INT(nseen, 0)) {
			printf("# after %zu bytes: %s", len, seen);
			break;
		}
	}
}

static void
bad_lines(void)
{
	static const char *const bad[] = {
		"\n", "\t\t\t\t\t\n", "junk\n",
		"2026-11-23T08:00:01.000000Z\n",
		"2026-11-23T08:00:01.000000Z\tb\n",
		"2026-11-23T08:00:01.000000Z\tb\t-\n",
		"2026-11-23T08:00:01.000000Z\tb\t-\tx\n",
		"2026-11-23T08:00:01.000000Z\tb\t-\tx\t\n",
		"2026-11-23T08:00:01Z\tb\t-\tx\t\t\n",
		"2026-13-23T08:00:01.000000Z\tb\t-\tx\t\t\n",
		"2026-11-23T08:00:01.000000Z b - x  \n",
		"2026-11-23T08:00:01.000000Z\tb\t\tx\t\tk\n",
		"2026-11-23T08:00:01.000000Z\tb\t--\tx\t\tk\n",
		"2026-11-23T08:00:01.000000Z\tb\t" REF "\tx\t\tk\n",
		"2026-11-23T08:00:01.000000Z\tb\t" REF ".\tx\t\tk\n",
		"2026-11-23T08:00:01.000000Z\tb\t" REF "-1\tx\t\tk\n",
		"2026-11-23T08:00:01.000000Z\tb\t" EXAMPLE_HASH ".1\tx\t\tk\n",
		"2026-11-23T08:00:01.000000Z\tb\tx" REF ".1\tx\t\tk\n",
	};
	char text[2048];

	start();
	for (size_t i = 0; i < NITEMS(bad); i++) {
		snprintf(text, sizeof(text), "%s%s%s%s", bad[i],
		    LINE("2026-11-23T08:00:00.000000Z", "a", "1"), bad[i],
		    LINE("2026-11-23T08:00:02.000000Z", "c", "1"));
		put("log/2026-11-23.web1", text);
		CHECK_INT(read_log(0), 0);
		if (!CHECK_INT(nseen, 2))
			printf("# %s", bad[i]);
	}
}

static void
bad_claim_numbers(void)
{
	static const char *const bad[] = { "x", "-1", "1x", " 1", "1.1",
	    "4294967296" };
	char text[1024];

	start();
	for (size_t i = 0; i < NITEMS(bad); i++) {
		snprintf(text, sizeof(text), "2026-11-23T08:00:01.000000Z\tb\t"
		    REF ".%s\tx\t\tk\n", bad[i]);
		put("log/2026-11-23.web1", text);
		CHECK_INT(read_log(0), 0);
		if (!CHECK_INT(nseen, 0))
			printf("# \"%s\": %s", bad[i], seen);
	}
}

/* Zeros, as after a power cut, spoil their own line and no more. */
static void
zeros(void)
{
	static const char text[] =
	    LINE("2026-11-23T08:00:00.000000Z", "a", "1")
	    "\0\0\0\0\0\0\0\0"
	    LINE("2026-11-23T08:00:01.000000Z", "b", "1")
	    LINE("2026-11-23T08:00:02.000000Z", "c", "1");
	static const char key[] =
	    "2026-11-23T08:00:00.000000Z\ta\t" REF ".1\t\t\tcall/\0\0\0\n"
	    LINE("2026-11-23T08:00:02.000000Z", "c", "1");

	start();
	spool_write(q, "log/2026-11-23.web1", text, sizeof(text) - 1);
	check_names(0, "a b c ");
	spool_write(q, "log/2026-11-23.web1", key, sizeof(key) - 1);
	check_names(0, "c ");
}

static void
long_junk(void)
{
	const char *end = "\n" LINE("2026-11-23T08:00:02.000000Z", "c", "1");
	const size_t len = 200000;
	char *text = malloc(len + strlen(end) + 1);

	if (text == NULL)
		err(1, NULL);
	memset(text, 'x', len);
	strlcpy(text + len, end, strlen(end) + 1);
	start();
	put("log/2026-11-23.web1", text);
	check_names(0, "c ");
	free(text);
}

static void
foreign_files(void)
{
	const char *line = LINE("2026-11-23T08:00:01.000000Z", "b", "1");

	start();
	put("log/2026-11-23.web1",
	    LINE("2026-11-23T08:00:00.000000Z", "a", "1"));
	put("log/README", line);
	put("log/2026-11-23", line);
	put("log/2026-13-01.web1", line);
	put("log/20261123.web1", line);
	put("log/.2026-11-23.web1", line);
	put("log/2026-11-23-web1", line);
	if (mkdirat(q->fd, "log/2026-11-24.dir", 0700) == -1 ||
	    symlinkat("README", q->fd, "log/2026-11-24.link") == -1 ||
	    mkfifoat(q->fd, "log/2026-11-24.fifo", 0600) == -1)
		err(1, NULL);
	check_names(0, "a ");
	CHECK_INT(faccessat(q->fd, "log/README", F_OK, 0), 0);
	CHECK_INT(unlinkat(q->fd, "log/.2026-11-23.web1", 0), 0);
}

static void
no_log(void)
{
	start();
	CHECK_INT(read_log(0), 0);
	CHECK_INT(nseen, 0);
	CHECK_INT(unlinkat(q->fd, "log", AT_REMOVEDIR), 0);
	CHECK_INT(read_log(0), 0);
	CHECK_INT(nseen, 0);
	/* Writing makes it again. */
	idq_log_write(q, NULL, AT, "purged", 0, "");
	CHECK_INT(read_log(0), 0);
	CHECK_INT(nseen, 1);
}

static void
newest(void)
{
	int64_t at = -1;

	start();
	CHECK_INT(idq_log_newest(q, &at), 0);
	two_hosts();
	CHECK_INT(idq_log_newest(q, &at), 1);
	CHECK_INT(at, INT64_C(1795568400000000));
	/* Of the newest day, whichever host has it. */
	put("log/2026-11-25.aaa",
	    LINE("2026-11-25T02:00:00.000000Z", "k", "1")
	    LINE("2026-11-25T01:30:00.000000Z", "l", "1"));
	CHECK_INT(idq_log_newest(q, &at), 1);
	CHECK_INT(at, INT64_C(1795572000000000));
}

static struct idq_follow *following;

/* What a read of the follower gives, by the names of the events. */
static void
check_read(const char *want)
{
	char names[256] = "", *rest = seen, *line, *name;

	seen[0] = '\0';
	nseen = 0;
	CHECK_INT(idq_follow_read(following, see, NULL), 0);
	while ((line = strsep(&rest, "\n")) != NULL && *line != '\0') {
		strsep(&line, " ");
		name = strsep(&line, " ");
		strlcat(names, name, sizeof(names));
		strlcat(names, " ", sizeof(names));
	}
	CHECK_STR(names, want);
}

static void
append(const char *path, const char *text)
{
	int fd = openat(q->fd, path, O_WRONLY | O_CREAT | O_APPEND, 0600);

	if (fd == -1 || idq_write_all(fd, text, strlen(text)) == -1)
		err(1, "%s", path);
	close(fd);
}

static void
follow(int64_t since)
{
	start();
	two_hosts();
	CHECK_INT(idq_follow_open(q, since, &following), 0);
}

/* Whether the descriptor says that something was written. */
static int
is_woken(void)
{
	struct pollfd p = { .events = POLLIN };
	int ms;

	p.fd = idq_follow_fd(following, &ms);
	return poll(&p, 1, 0);
}

static void
followed(void)
{
	follow(AT);
	check_read("h i j ");
	check_read("");
	CHECK_INT(is_woken(), 0);
	append("log/2026-11-25.web1",
	    LINE("2026-11-25T02:00:00.000000Z", "k", "1"));
	CHECK_INT(is_woken(), 1);
	check_read("k ");
	CHECK_INT(is_woken(), 0);
	/* Several at once in order, one of them on the day before. */
	append("log/2026-11-25.web1",
	    LINE("2026-11-25T02:00:02.000000Z", "n", "1"));
	append("log/2026-11-25.web3",
	    LINE("2026-11-25T02:00:01.000000Z", "m", "1"));
	append("log/2026-11-22.web2",
	    LINE("2026-11-22T02:00:00.000000Z", "l", "1"));
	check_read("l m n ");
	/* And a new day. */
	append("log/2026-11-26.web1",
	    LINE("2026-11-26T02:00:00.000000Z", "o", "1"));
	CHECK_INT(is_woken(), 1);
	check_read("o ");
	idq_follow_from(following, AT + DAY);
	check_read("j k m n o ");
	check_read("");
	idq_follow_close(following);
}

static void
followed_torn(void)
{
	const char *line = LINE("2026-11-25T02:00:00.000000Z", "k", "1");
	char half[64];

	follow(AT + DAY);
	check_read("j ");
	strlcpy(half, line, sizeof(half));
	append("log/2026-11-25.web1", half);
	check_read("");
	check_read("");
	append("log/2026-11-25.web1", line + strlen(half));
	check_read("k ");
	/* Torn for good: the line behind it is lost, no other. */
	append("log/2026-11-25.web1", half);
	append("log/2026-11-25.web1", line);
	append("log/2026-11-25.web1",
	    LINE("2026-11-25T03:00:00.000000Z", "l", "1"));
	check_read("l ");
	idq_follow_close(following);
}

static void
followed_stopped(void)
{
	follow(0);
	for (stop_after = 1; stop_after < 4; stop_after++)
		check_read(stop_after == 1 ? "a " : stop_after == 2 ? "b c " :
		    "d e f ");
	stop_after = 0;
	check_read("g h i j ");
	idq_follow_close(following);
}

static void
followed_changes(void)
{
	follow(AT + DAY);
	check_read("j ");
	/* Cut. */
	put("log/2026-11-25.web1", "");
	check_read("");
	append("log/2026-11-25.web1",
	    LINE("2026-11-25T04:00:00.000000Z", "k", "1"));
	check_read("k ");
	/* Another file of that name, a longer one. */
	put("log/x", LINE("2026-11-25T05:00:00.000000Z", "l", "1")
	    LINE("2026-11-25T05:00:01.000000Z", "m", "1"));
	CHECK_INT(renameat(q->fd, "log/x", q->fd, "log/2026-11-25.web1"), 0);
	check_read("l m ");
	/* Gone, as after a purge. */
	CHECK_INT(unlinkat(q->fd, "log/2026-11-25.web1", 0), 0);
	check_read("");
	put("log/2026-11-25.web1",
	    LINE("2026-11-25T06:00:00.000000Z", "n", "1"));
	check_read("n ");
	/* All of it gone: it is looked for again. */
	start();
	CHECK_INT(unlinkat(q->fd, "log", AT_REMOVEDIR), 0);
	check_read("");
	idq_log_write(q, NULL, AT, "purged", 0, "");
	check_read("purged ");
	CHECK_INT(is_woken(), 0);
	idq_log_write(q, NULL, AT, "lost", 0, "");
	CHECK_INT(is_woken(), 1);
	check_read("lost ");
	idq_follow_close(following);
}

/* How long to wait at most depends on what can wake us. */
static void
followed_pace(void)
{
	int ms;

	start();
	CHECK_INT(idq_follow_open(q, 0, &following), 0);
	check_read("");
	idq_follow_fd(following, &ms);
	CHECK_INT(ms, 60000);
	put("log/2026-11-25.elsewhere", "");
	check_read("");
	idq_follow_fd(following, &ms);
	CHECK_INT(ms, 1000);
	start();
	CHECK_INT(unlinkat(q->fd, "log", AT_REMOVEDIR), 0);
	check_read("");
	idq_follow_fd(following, &ms);
	CHECK_INT(ms, 1000);
	idq_log_write(q, NULL, AT, "lost", 0, "");
	idq_follow_close(following);
}

static void
count_notice(void *arg, const char *line)
{
	(void)line;
	++*(int *)arg;
}

static void
followed_foreign(void)
{
	int notices = 0;

	start();
	if (mkdirat(q->fd, "log/2026-11-24.dir", 0700) == -1)
		err(1, NULL);
	idq_set_notice(q, count_notice, &notices);
	CHECK_INT(idq_follow_open(q, 0, &following), 0);
	for (int i = 0; i < 3; i++)
		check_read("");
	CHECK_INT(notices, 1);
	idq_set_notice(q, NULL, NULL);
	idq_follow_close(following);
}

static void
event_names(void)
{
	size_t n = 0;

	while (idq_log_event(n) != NULL)
		n++;
	CHECK_STR(idq_log_event(0), "claimed");
	CHECK_STR(idq_log_event(n - 1), "purged");
	CHECK(idq_log_event(n + 1) == NULL);
}

int
main(void)
{
	q = spool_make();
	check_run("log: lines are written as specified and read",
	    written_as_specified);
	check_run("log: the longest line is written and read", longest_line);
	check_run("log: a line of the trail", line_of_a_trail);
	check_run("log: a file for each day and host", a_file_a_day);
	check_run("log: the files of two hosts are merged by time",
	    merged_by_time);
	check_run("log: since a time", since_a_time);
	check_run("log: the reader may stop", stopped);
	check_run("log: a torn last line is passed over", torn_last_line);
	check_run("log: a torn line with another behind it is passed over",
	    torn_and_continued);
	check_run("log: bad lines are passed over", bad_lines);
	check_run("log: a bad number of a claim is passed over",
	    bad_claim_numbers);
	check_run("log: zeros spoil what they stand in alone", zeros);
	check_run("log: long junk is passed over", long_junk);
	check_run("log: foreign files are left alone", foreign_files);
	check_run("log: none at all", no_log);
	check_run("log: the newest line", newest);
	check_run("log: a follower gives what is new, in order", followed);
	check_run("log: a follower waits until a line is whole",
	    followed_torn);
	check_run("log: a follower that was stopped goes on behind that line",
	    followed_stopped);
	check_run("log: a follower outlives what becomes of the files",
	    followed_changes);
	check_run("log: a follower looks each second where nothing wakes it",
	    followed_pace);
	check_run("log: a follower names what is no log once",
	    followed_foreign);
	check_run("log: the names of events end", event_names);
	spool_remove(q);
	return check_done();
}
