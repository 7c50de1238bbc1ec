/* SPDX-License-Identifier: ISC */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check.h"
#include "idq_impl.h"

#define US	INT64_C(1000000)

/* Zones as POSIX has them, which need no files. */
#define CENTRAL_EUROPE	"CET-1CEST,M3.5.0,M10.5.0/3"
#define DUBLIN		"IST-1GMT0,M10.5.0,M3.5.0/1"	/* DST in winter */
#define LORD_HOWE	"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0"
#define NEW_YORK	"EST5EDT,M3.2.0,M11.1.0"
#define KATHMANDU	"<+0545>-5:45"

/* Europe/Berlin, in other words where its file is missing. */
static const char *berlin = "Europe/Berlin";

/* Microseconds at a UTC date: days are counted, no libc is asked. */
static int64_t
utc(int y, int mon, int d, int h, int min)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243,
	    273, 304, 334 };
	int64_t days = 365 * (y - 1970) + before[mon - 1] + d - 1;

	for (int i = 1970; i < y || (i == y && mon > 2); i++)
		if ((i % 4 == 0 && i % 100 != 0) || i % 400 == 0)
			days++;
	return ((days * 24 + h) * 60 + min) * 60 * US;
}

static void
set_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

/* What is on disk of an instant; the seconds are those of date -u +%s. */
static const struct {
	int64_t	at;
	char	stamp[STAMP_SIZE];
	char	due[DUE_LEN + 1];
} instants[] = {
	{ 0, "1970-01-01T00:00:00.000000Z", "19700101T000000.000000Z" },
	{ 1, "1970-01-01T00:00:00.000001Z", "19700101T000000.000001Z" },
	{ 951782400 * US, "2000-02-29T00:00:00.000000Z",
	    "20000229T000000.000000Z" },
	{ 946684800 * US - 1, "1999-12-31T23:59:59.999999Z",
	    "19991231T235959.999999Z" },
	{ 2147483648 * US, "2038-01-19T03:14:08.000000Z",
	    "20380119T031408.000000Z" },
	{ 4107542400 * US, "2100-03-01T00:00:00.000000Z",
	    "21000301T000000.000000Z" },
	{ 1795466100 * US + 123456, "2026-11-23T20:35:00.123456Z",
	    "20261123T203500.123456Z" },
	{ 253402300799 * US + 999999, "9999-12-31T23:59:59.999999Z",
	    "99991231T235959.999999Z" },
};

/* The whole calendar, against that of libc. */
static void
every_day(void)
{
	char buf[STAMP_SIZE], want[STAMP_SIZE];
	struct tm tm;
	int64_t t = -1;

	for (time_t s = 0; s < 253402300800; s += 86399) {
		gmtime_r(&s, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000007Z", &tm);
		if (strcmp(idq_stamp(s * US + 7, buf), want) != 0 ||
		    idq_stamp_parse(want, strlen(want), &t) == -1 ||
		    t != s * US + 7) {
			CHECK_STR(buf, want);
			CHECK_INT(t, s * US + 7);
			break;
		}
	}
}

static void
stamps_both_ways(void)
{
	char buf[STAMP_SIZE];
	int64_t t;

	for (size_t i = 0; i < NITEMS(instants); i++) {
		const char *s = instants[i].stamp;

		CHECK_STR(idq_stamp(instants[i].at, buf), s);
		CHECK_INT(idq_stamp_parse(s, strlen(s), &t), 0);
		CHECK_INT(t, instants[i].at);
	}
}

static void
dues_both_ways(void)
{
	char buf[DUE_LEN + 1];
	int64_t t;

	for (size_t i = 0; i < NITEMS(instants); i++) {
		idq_due_format(instants[i].at, buf);
		CHECK_STR(buf, instants[i].due);
		CHECK_INT(idq_due_parse(instants[i].due, &t), 0);
		CHECK_INT(t, instants[i].at);
	}
}

static void
stamps_do_not_ask_the_zone(void)
{
	set_zone(KATHMANDU);
	stamps_both_ways();
	dues_both_ways();
	set_zone("UTC");
}

/* Past the last year a stamp keeps its length. */
static void
stamps_stay_in_range(void)
{
	char buf[STAMP_SIZE];

	CHECK_STR(idq_stamp(INT64_MAX, buf), "9999-12-31T23:59:59.999999Z");
	CHECK_STR(idq_stamp(-1, buf), "1970-01-01T00:00:00.000000Z");
}

static void
bad_stamps(void)
{
	static const char *const bad[] = {
		"",
		"2026-11-23T20:35:00Z",
		"2026-11-23T20:35:00.12345Z",
		"2026-11-23T20:35:00.123456",
		"2026-11-23T20:35:00.1234567",
		"2026-11-23T20:35:00.123456Z ",
		"2026-11-23T20:35:00.1234567Z",
		" 2026-11-23T20:35:00.12345Z",
		"2026-11-23 20:35:00.123456Z",
		"2026-11-23t20:35:00.123456Z",
		"2026-11-23T20:35:00,123456Z",
		"2026-11-23T20:35:00.123456z",
		"2026/11/23T20:35:00.123456Z",
		"+026-11-23T20:35:00.123456Z",
		"2026--1-23T20:35:00.123456Z",
		"2026-11-23T20:35:00.-23456Z",
		"2026-13-23T20:35:00.123456Z",
		"2026-00-23T20:35:00.123456Z",
		"2026-11-00T20:35:00.123456Z",
		"2026-11-31T20:35:00.123456Z",
		"2026-02-29T20:35:00.123456Z",
		"2100-02-29T20:35:00.123456Z",
		"2026-11-23T24:00:00.000000Z",
		"2026-11-23T20:60:00.123456Z",
		"2026-11-23T20:35:60.123456Z",
		"1969-12-31T23:59:59.999999Z",
		"0000-01-01T00:00:00.000000Z",
	};
	int64_t t;

	for (size_t i = 0; i < NITEMS(bad); i++)
		if (!CHECK_INT(idq_stamp_parse(bad[i], strlen(bad[i]), &t),
		    -1))
			printf("# \"%s\"\n", bad[i]);
}

static void
stamp_length_counts(void)
{
	const char *s = "2026-11-23T20:35:00.123456Z";
	int64_t t;

	for (size_t len = 0; len < strlen(s); len++)
		CHECK_INT(idq_stamp_parse(s, len, &t), -1);
}

static void
bad_dues(void)
{
	static const char *const bad[] = {
		"",
		"20261123T203500.12345Z",
		"20261123T203500.123456",
		"20261123 203500.123456Z",
		"2026-11-23T20:35:00.123456Z",
		"20261323T203500.123456Z",
		"20261131T203500.123456Z",
		"20261123T240000.000000Z",
		"20261123T203560.123456Z",
		"19691231T235959.999999Z",
		"2026112xT203500.123456Z",
	};
	int64_t t;

	for (size_t i = 0; i < NITEMS(bad); i++)
		if (!CHECK_INT(idq_due_parse(bad[i], &t), -1))
			printf("# \"%s\"\n", bad[i]);
}

/* That is what lets ls(1) show the order of claims. */
static void
dues_sort_as_times(void)
{
	char earlier[DUE_LEN + 1], later[DUE_LEN + 1];
	int64_t step = 1;

	for (int64_t t = 0; t < 250000000000 * US; t += step) {
		idq_due_format(t, earlier);
		idq_due_format(t + step, later);
		if (!CHECK(strcmp(earlier, later) < 0))
			printf("# %s %s\n", earlier, later);
		step = step * 3 / 2 + 1;
		if (step > 90000000 * US)
			step = 90000000 * US;
	}
}

static void
durations(void)
{
	static const struct {
		const char *s;
		int64_t seconds;
	} good[] = {
		{ "0s", 0 },
		{ "1s", 1 },
		{ "90s", 90 },
		{ "007s", 7 },
		{ "10m", 600 },
		{ "1h30m", 5400 },
		{ "36h", 129600 },
		{ "7d", 604800 },
		{ "2w", 1209600 },
		{ "1w1d", 691200 },
		{ "1w1d1h1m1s", 694861 },
		{ "1w61s", 604861 },
		{ "100d", 8640000 },
		{ "520w", 314496000 },
	};
	int64_t d;

	for (size_t i = 0; i < NITEMS(good); i++) {
		d = -1;
		CHECK_INT(idq_duration_parse(good[i].s, &d), 0);
		if (!CHECK_INT(d, good[i].seconds * US))
			printf("# \"%s\"\n", good[i].s);
	}
}

static void
check_no_duration(const char *s)
{
	int64_t d;

	errno = 0;
	if (!CHECK_INT(idq_duration_parse(s, &d), -1))
		printf("# \"%s\"\n", s);
	CHECK_INT(errno, EINVAL);
}

static void
bare_numbers(void)
{
	static const char *const bad[] = { "0", "1", "5", "05", "90", "1h30",
	    "1h0", "2w7", "0x10" };

	for (size_t i = 0; i < NITEMS(bad); i++)
		check_no_duration(bad[i]);
}

static void
largest_unit_first(void)
{
	static const char *const bad[] = { "30m1h", "1s1m", "1d1w", "1h1d",
	    "1h1h", "1s1s", "1w1h1d", "1w1d1w" };

	for (size_t i = 0; i < NITEMS(bad); i++)
		check_no_duration(bad[i]);
}

static void
no_durations(void)
{
	static const char *const bad[] = { "", " ", "s", "hm", "1x", "1y",
	    "1ms", "1H", "-1s", "+1s", " 1s", "1s ", "1 s", "1h 30m", "1.5h",
	    "1,5h", "1h-30m", "forever", "none", "never", "1h\n", "PT1H" };

	for (size_t i = 0; i < NITEMS(bad); i++)
		check_no_duration(bad[i]);
}

/* 2^63 microseconds are 15250284.45 weeks, 2^64 30500568.9. */
static void
durations_do_not_overflow(void)
{
	static const char *const bad[] = { "15250285w", "30500569w",
	    "30500570w", "106751992d", "9223372036854s776s",
	    "9223372036855s", "18446744073710s", "9223372036854775807s",
	    "9223372036854775808s", "18446744073709551616s",
	    "99999999999999999999999999w", "15250284w7d",
	    "15250284w106751991d2562047788h" };

	for (size_t i = 0; i < NITEMS(bad); i++)
		check_no_duration(bad[i]);
}

static void
check_format(int64_t seconds)
{
	char buf[64];
	int64_t d = -1;

	idq_duration_format(seconds * US, buf, sizeof(buf));
	if (!CHECK_INT(idq_duration_parse(buf, &d), 0) ||
	    !CHECK_INT(d, seconds * US))
		printf("# \"%s\"\n", buf);
}

static void
durations_round_trip(void)
{
	static const int64_t seconds[] = { 0, 1, 59, 60, 61, 3599, 3600, 3601,
	    86399, 86400, 90061, 604799, 604800, 604801, 691200, 1209600,
	    31536000, 2147483648, 100000000000 };
	uint32_t x = 1;

	for (size_t i = 0; i < NITEMS(seconds); i++)
		check_format(seconds[i]);
	for (int i = 0; i < 10000; i++) {
		x = x * 1664525 + 1013904223;
		check_format(x >> (x & 31));
	}
}

static void
duration_buffer(void)
{
	char buf[8];

	for (size_t len = 1; len < sizeof(buf); len++) {
		memset(buf, 'x', sizeof(buf));
		idq_duration_format((100 * 86400 + 3661) * US, buf, len);
		CHECK(memchr(buf, '\0', len) != NULL);
		CHECK_INT(buf[len], 'x');
	}
}

static void
after_ends_at_forever(void)
{
	CHECK_INT(idq_after(5, 7), 12);
	CHECK_INT(idq_after(5, 0), 5);
	CHECK_INT(idq_after(5, IDQ_FOREVER), IDQ_FOREVER);
	CHECK_INT(idq_after(0, IDQ_FOREVER - 1), IDQ_FOREVER - 1);
	CHECK_INT(idq_after(2, IDQ_FOREVER - 1), IDQ_FOREVER);
	CHECK_INT(idq_after(IDQ_FOREVER - 1, 5), IDQ_FOREVER);
}

static void
poll_waits_long(void)
{
	CHECK_INT(idq_poll_ms(-1), -1);
	CHECK_INT(idq_poll_ms(0), 0);
	CHECK_INT(idq_poll_ms(1), 1);
	CHECK_INT(idq_poll_ms(US), 1000);
	CHECK_INT(idq_poll_ms(INT_MAX * INT64_C(1000) - 1), INT_MAX);
	CHECK_INT(idq_poll_ms(INT_MAX * INT64_C(1000) + 1), INT_MAX);
	CHECK_INT(idq_poll_ms(30 * IDQ_DAY), INT_MAX);
	CHECK_INT(idq_poll_ms(IDQ_FOREVER), INT_MAX);
}

static void
check_time(const char *s, int64_t want)
{
	int64_t t = -1;

	if (!CHECK_INT(idq_time_parse(s, 0, false, &t), 0) ||
	    !CHECK_INT(t, want))
		printf("# \"%s\"\n", s);
}

static void
iso_in_utc(void)
{
	const int64_t t = utc(2026, 11, 23, 14, 0);

	set_zone(berlin);
	check_time("2026-11-23T14:00Z", t);
	check_time("2026-11-23T14:00:00Z", t);
	check_time("2026-11-23T14:00:07Z", t + 7 * US);
	check_time("2026-11-23 14:00Z", t);
	check_time("2026-11-23T20:35:00.123456Z", 1795466100 * US + 123456);
	check_time("2000-02-29T00:00Z", 951782400 * US);
	check_time("1970-01-01T00:00Z", 1);
	set_zone("UTC");
}

static void
iso_with_offset(void)
{
	const int64_t t = utc(2026, 11, 23, 14, 0);

	set_zone(berlin);
	check_time("2026-11-23T15:00+01:00", t);
	check_time("2026-11-23T15:00+0100", t);
	check_time("2026-11-23T15:00+01", t);
	check_time("2026-11-23T19:45+05:45", t);
	check_time("2026-11-23T19:45:00+0545", t);
	check_time("2026-11-23T10:30-03:30", t);
	check_time("2026-11-24T04:00+14:00", t);
	check_time("2026-11-23T02:00-12:00", t);
	check_time("2026-11-23T14:00+00:00", t);
	check_time("2026-11-23T14:00-00:00", t);
	check_time("2026-11-23T15:00:01.25+01:00", t + 1250000);
	set_zone("UTC");
}

static void
iso_is_local(void)
{
	set_zone(berlin);
	check_time("2026-11-23T14:00", utc(2026, 11, 23, 13, 0));
	check_time("2026-11-23 14:00:30", utc(2026, 11, 23, 13, 0) + 30 * US);
	check_time("2026-07-01T14:00", utc(2026, 7, 1, 12, 0));
	check_time("2026-11-23", utc(2026, 11, 22, 23, 0));
	check_time("2026-07-01", utc(2026, 6, 30, 22, 0));
	set_zone(NEW_YORK);
	check_time("2026-11-23T14:00", utc(2026, 11, 23, 19, 0));
	set_zone("UTC");
	check_time("2026-11-23T14:00", utc(2026, 11, 23, 14, 0));
}

static void
fractions(void)
{
	const int64_t t = utc(2026, 11, 23, 14, 0);

	check_time("2026-11-23T14:00:00.5Z", t + 500000);
	check_time("2026-11-23T14:00:00.5", t + 500000);
	check_time("2026-11-23T14:00:00.000001Z", t + 1);
	check_time("2026-11-23T14:00:00.05Z", t + 50000);
	check_time("2026-11-23T14:00:00.999999Z", t + 999999);
	check_time("2026-11-23T14:00:00.1234569Z", t + 123456);
	check_time("2026-11-23T14:00:00.123456789+00:00", t + 123456);
}

static void
since_epoch(void)
{
	check_time("@0", 1);
	check_time("@1795438800", utc(2026, 11, 23, 13, 0));
	check_time("@253402300799", 253402300799 * US);
}

static void
no_times(void)
{
	static const char *const bad[] = {
		"", " ", "now", "tomorrow", "monday", "14", "1400", "9:00",
		"14:0", "25:00", "24:00", "14:60", "-1:00", "+1:00", " 9:00",
		"9 :00", "14:00 ", "14;00", "ab:cd",
		"2026", "2026-11", "2026-11-2", "26-11-23", "2026-1-23",
		"2026/11/23", "23.11.2026", "2026-11-23T", "2026-11-23T14",
		"2026-11-23T14:0", "2026-11-23T14:00:", "2026-11-23T14:00:0",
		"2026-11-23T14:00:00.", "2026-11-23T14:00:00.Z",
		"2026-11-23T14:00:00,5", "2026-11-23T14:00x",
		"2026-11-23T14:00Z ", "2026-11-23T14:00ZZ",
		" 2026-11-23T14:00", "2026-11-23T14:00 ", "2026-11-23  14:00",
		"2026-11-23T14:00+", "2026-11-23T14:00+1",
		"2026-11-23T14:00+1:00", "2026-11-23T14:00+01:0",
		"2026-11-23T14:00+01:", "2026-11-23T14:00+010",
		"2026-11-23T14:00+01000", "2026-11-23T14:00+01:60",
		"2026-11-23T14:00+24:00", "2026-11-23T14:00-25:00",
		"2026-11-23T14:00 +01:00",
		"2026-11-23T14:00+-1:00", "2026-11-23T14:00Z+01:00",
		"@", "@ 1", "@-1", "@+1", "@1.5", "@1s", "@0x10", "@1 ", "@@1",
		"@9223372036854775808", "@99999999999999999999",
		"@9223372036855",
	};
	int64_t t;

	for (size_t i = 0; i < NITEMS(bad); i++) {
		errno = 0;
		if (!CHECK_INT(idq_time_parse(bad[i], 0, false, &t), -1))
			printf("# \"%s\"\n", bad[i]);
		CHECK_INT(errno, EINVAL);
	}
}

static void
no_dates(void)
{
	static const char *const bad[] = {
		"2026-00-10", "2026-13-01", "2026-01-00", "2026-01-32",
		"2026-04-31", "2026-06-31", "2026-09-31", "2026-11-31",
		"2026-02-29", "2100-02-29", "2000-02-30", "2024-02-30",
		"1969-12-31", "0000-01-01", "1970-01-01T00:59+01:00",
		"2026-11-23T24:00", "2026-11-23T14:60",
		"2026-11-23T14:00:60", "2026-11-23T99:99",
	};
	int64_t t;

	for (size_t i = 0; i < NITEMS(bad); i++)
		if (!CHECK_INT(idq_time_parse(bad[i], 0, false, &t), -1))
			printf("# \"%s\"\n", bad[i]);
	check_time("2024-02-29", utc(2024, 2, 29, 0, 0));
	check_time("2026-12-31T23:59:59", utc(2027, 1, 1, 0, 0) - US);
}

/* A stamp ends with the year 9999, so a time does. */
static void
times_end_with_year_9999(void)
{
	int64_t t;

	CHECK_INT(idq_time_parse("9999-12-31T23:59:59Z", 0, false, &t), 0);
	CHECK_INT(idq_time_parse("@253402300800", 0, false, &t), -1);
	CHECK_INT(idq_time_parse("9999-12-31T23:59:59-01:00", 0, false, &t),
	    -1);
}

static void
check_clock(const char *s, int64_t now, bool today, int64_t want)
{
	int64_t t = -1;

	if (!CHECK_INT(idq_time_parse(s, now, today, &t), 0) ||
	    !CHECK_INT(t, want))
		printf("# \"%s\" at %" PRId64 "%s\n", s, now,
		    today ? ", today" : "");
}

static void
next_of_the_clock(void)
{
	const int64_t now = utc(2026, 11, 23, 13, 0);	/* 14:00 */

	set_zone(berlin);
	check_clock("14:01", now, false, now + 60 * US);
	check_clock("23:59", now, false, utc(2026, 11, 23, 22, 59));
	check_clock("13:59", now, false, utc(2026, 11, 24, 12, 59));
	check_clock("00:00", now, false, utc(2026, 11, 23, 23, 0));
	check_clock("14:00", now, false, utc(2026, 11, 24, 13, 0));
	check_clock("14:00", now - 1, false, now);
	check_clock("14:00", now + 1, false, utc(2026, 11, 24, 13, 0));
	check_clock("08:00", utc(2026, 12, 31, 22, 0), false,
	    utc(2027, 1, 1, 7, 0));
	check_clock("08:00", utc(2028, 2, 28, 22, 0), false,
	    utc(2028, 2, 29, 7, 0));
	set_zone("UTC");
	check_clock("14:00", now, false, utc(2026, 11, 23, 14, 0));
}

static void
today_by_the_clock(void)
{
	const int64_t now = utc(2026, 11, 23, 13, 0);	/* 14:00 */

	set_zone(berlin);
	check_clock("14:01", now, true, now + 60 * US);
	check_clock("14:00", now, true, now);
	check_clock("13:59", now, true, now - 60 * US);
	check_clock("00:00", now, true, utc(2026, 11, 22, 23, 0));
	check_clock("23:59", now, true, utc(2026, 11, 23, 22, 59));
	/* 00:30 there is the evening before here. */
	check_clock("23:00", utc(2026, 11, 23, 23, 30), true,
	    utc(2026, 11, 24, 22, 0));
	set_zone("UTC");
}

/* From 02:00 to 03:00 on 2026-03-29, at 01:00 UTC. */
static void
clock_goes_forward(void)
{
	set_zone(berlin);
	check_time("2026-03-29T01:59:59", utc(2026, 3, 29, 1, 0) - US);
	check_time("2026-03-29T03:00", utc(2026, 3, 29, 1, 0));
	/* Noon to noon is 23 hours. */
	check_clock("12:00", utc(2026, 3, 28, 11, 0), false,
	    utc(2026, 3, 29, 10, 0));
	check_clock("01:30", utc(2026, 3, 29, 0, 45), false,
	    utc(2026, 3, 29, 23, 30));
	check_clock("03:00", utc(2026, 3, 29, 0, 45), false,
	    utc(2026, 3, 29, 1, 0));
	check_clock("12:00", utc(2026, 3, 29, 0, 30), true,
	    utc(2026, 3, 29, 10, 0));
	set_zone("UTC");
}

/* A time in the gap: there is none such, or it is where the gap is. */
static void
clock_skips(void)
{
	const int64_t gap = utc(2026, 3, 29, 1, 0), hour = 3600 * US;
	int64_t t = 0;

	set_zone(berlin);
	if (idq_time_parse("2026-03-29T02:30", 0, false, &t) == 0)
		CHECK(t >= gap - hour && t < gap + hour);
	if (idq_time_parse("02:30", gap - hour, true, &t) == 0)
		CHECK(t >= gap - hour && t < gap + hour);
	if (idq_time_parse("02:30", gap - hour, false, &t) == 0)
		CHECK(t > gap - hour && t <= utc(2026, 3, 30, 0, 30));
	/* The day after it is itself again. */
	check_clock("02:30", utc(2026, 3, 29, 12, 0), false,
	    utc(2026, 3, 30, 0, 30));
	check_clock("02:30", utc(2026, 3, 28, 0, 0), false,
	    utc(2026, 3, 28, 1, 30));
	set_zone("UTC");
}

/* From 03:00 back to 02:00 on 2026-10-25, at 01:00 UTC. */
static void
clock_goes_back(void)
{
	set_zone(berlin);
	check_time("2026-10-25T01:59", utc(2026, 10, 24, 23, 59));
	check_time("2026-10-25T03:00", utc(2026, 10, 25, 2, 0));
	check_time("2026-10-25T02:30+02:00", utc(2026, 10, 25, 0, 30));
	check_time("2026-10-25T02:30+01:00", utc(2026, 10, 25, 1, 30));
	/* Noon to noon is 25 hours. */
	check_clock("12:00", utc(2026, 10, 24, 10, 0), false,
	    utc(2026, 10, 25, 11, 0));
	set_zone("UTC");
}

/* Half past two in the morning, twice: the next one is meant. */
static void
clock_repeats(void)
{
	static const char *const before[] = { "2026-01-01", "2026-07-01" };
	const int64_t first = utc(2026, 10, 25, 0, 30);
	const int64_t second = utc(2026, 10, 25, 1, 30);
	const int64_t minute = 60 * US;
	int64_t t;

	set_zone(berlin);
	for (size_t i = 0; i < NITEMS(before); i++) {
		CHECK_INT(idq_time_parse(before[i], 0, false, &t), 0);
		check_clock("02:30", second, false, utc(2026, 10, 26, 1, 30));
		CHECK_INT(idq_time_parse(before[i], 0, false, &t), 0);
		check_clock("02:30", second - minute, false, second);
		CHECK_INT(idq_time_parse(before[i], 0, false, &t), 0);
		check_clock("02:30", first + minute, false, second);
		CHECK_INT(idq_time_parse(before[i], 0, false, &t), 0);
		if (CHECK_INT(idq_time_parse("02:30", first - minute, false,
		    &t), 0))
			CHECK(t == first || t == second);
	}
	set_zone("UTC");
}

/* What was read before must not matter: a batch has many times. */
static void
times_stand_alone(void)
{
	static const char *const unclear[] = { "2026-10-25T02:30",
	    "2026-03-29T02:30", "2026-10-25T02:00" };
	int64_t winter, summer, t;

	set_zone(berlin);
	for (size_t i = 0; i < NITEMS(unclear); i++) {
		winter = summer = -1;
		check_time("2026-01-01T12:00", utc(2026, 1, 1, 11, 0));
		if (idq_time_parse(unclear[i], 0, false, &t) == 0)
			winter = t;
		check_time("2026-07-01T12:00", utc(2026, 7, 1, 10, 0));
		if (idq_time_parse(unclear[i], 0, false, &t) == 0)
			summer = t;
		if (!CHECK_INT(winter, summer))
			printf("# \"%s\"\n", unclear[i]);
	}
	set_zone("UTC");
}

static const char *const zones[] = { CENTRAL_EUROPE, DUBLIN, LORD_HOWE,
	NEW_YORK, KATHMANDU, "UTC0" };

static void
local_form(int64_t t, const char *form, char *buf, size_t len)
{
	time_t s = (time_t)(t / US);
	struct tm tm;

	localtime_r(&s, &tm);
	strftime(buf, len, form, &tm);
}

/* Through a year: what is read has the local time that was written. */
static void
local_round_trip(void)
{
	const int64_t end = utc(2027, 1, 1, 0, 0);
	char before[32], after[32];
	int64_t back;

	for (size_t i = 0; i < NITEMS(zones); i++) {
		set_zone(zones[i]);
		for (int64_t t = utc(2026, 1, 1, 0, 0); t < end;
		    t += 2999 * US) {
			local_form(t, "%FT%T", before, sizeof(before));
			if (!CHECK_INT(idq_time_parse(before, 0, false,
			    &back), 0))
				continue;
			local_form(back, "%FT%T", after, sizeof(after));
			if (!CHECK_STR(after, before) ||
			    !CHECK(back - t <= 3600 * US &&
			    t - back <= 3600 * US))
				printf("# %s: %" PRId64 "\n", zones[i], t);
		}
	}
	set_zone("UTC");
}

/* Whether the clocks were changed in the hour before T. */
static bool
changed_before(int64_t t)
{
	char was[16], is[16];

	local_form(t - 3600 * US, "%z", was, sizeof(was));
	local_form(t, "%z", is, sizeof(is));
	return strcmp(was, is) != 0;
}

/* T is the first after NOW that the clock shows WANT, or where it skips it. */
static void
check_first(const char *want, int64_t now, int64_t t)
{
	char shown[16];

	local_form(t, "%H:%M", shown, sizeof(shown));
	if (!CHECK(t > now) ||
	    !CHECK(strcmp(shown, want) == 0 || changed_before(t)))
		printf("# %s: %s after %" PRId64 ", not %s\n", getenv("TZ"),
		    shown, now, want);
	for (t -= 1800 * US; t > now; t -= 1800 * US) {
		local_form(t, "%H:%M", shown, sizeof(shown));
		if (!CHECK(strcmp(shown, want) != 0))
			printf("# %s: %s at %" PRId64 ", after %" PRId64 "\n",
			    getenv("TZ"), want, t, now);
	}
}

/* From a day before T to a day after it, for each half hour of the clock. */
static void
next_around(int64_t t)
{
	char want[16];
	int64_t at;

	for (int64_t now = t - 26 * 3600 * US; now < t + 26 * 3600 * US;
	    now += 3557 * US)
		for (int half = 0; half < 48 && check_bad < 10; half++) {
			snprintf(want, sizeof(want), "%02d:%02d", half / 2,
			    half % 2 * 30);
			if (CHECK_INT(idq_time_parse(want, now, false, &at),
			    0))
				check_first(want, now, at);
		}
}

static void
next_around_changes(void)
{
	int64_t end = utc(2027, 1, 1, 0, 0);
	int changes = 0;

	for (size_t i = 0; i < NITEMS(zones); i++) {
		set_zone(zones[i]);
		for (int64_t t = utc(2026, 1, 1, 1, 0); t < end;
		    t += 3600 * US)
			if (changed_before(t)) {
				changes++;
				next_around(t);
			}
	}
	CHECK_INT(changes, 8);
	set_zone("UTC");
}

/* Both rules of leap years, against libc. */
static void
each_day(void)
{
	char buf[STAMP_SIZE], want[STAMP_SIZE] = "";
	struct tm tm;
	int64_t t;

	for (time_t at = 0; at < 4200000000; at += 86400) {
		gmtime_r(&at, &tm);
		strftime(want, sizeof(want), "%Y-%m-%dT%H:%M:%S.000000Z", &tm);
		idq_stamp(at * IDQ_SECOND, buf);
		if (strcmp(buf, want) != 0 ||
		    idq_stamp_parse(buf, strlen(buf), &t) == -1 ||
		    t != at * IDQ_SECOND)
			break;
	}
	CHECK_STR(buf, want);
	CHECK_STR(buf, "2103-02-04T00:00:00.000000Z");
}

int
main(void)
{
	set_zone(berlin);
	if (strcmp(tzname[0], "CET") != 0)
		berlin = CENTRAL_EUROPE;
	set_zone("UTC");
	check_run("time: a stamp of every day is that of libc", every_day);
	check_run("time: a stamp is written and read", stamps_both_ways);
	check_run("time: each day is read as it was written", each_day);
	check_run("time: a due time is written and read", dues_both_ways);
	check_run("time: what is on disk is UTC in any zone",
	    stamps_do_not_ask_the_zone);
	check_run("time: a stamp stays in range", stamps_stay_in_range);
	check_run("time: a bad stamp is refused", bad_stamps);
	check_run("time: a part of a stamp is none", stamp_length_counts);
	check_run("time: a bad due time is refused", bad_dues);
	check_run("time: due times sort as bytes", dues_sort_as_times);
	check_run("time: a duration is numbers and units", durations);
	check_run("time: a bare number is no duration", bare_numbers);
	check_run("time: the largest unit comes first", largest_unit_first);
	check_run("time: what is no duration is refused", no_durations);
	check_run("time: a duration does not overflow",
	    durations_do_not_overflow);
	check_run("time: a duration is written and read",
	    durations_round_trip);
	check_run("time: a duration stays in its buffer", duration_buffer);
	check_run("time: a sum ends at forever", after_ends_at_forever);
	check_run("time: poll(2) waits as long as it can", poll_waits_long);
	check_run("time: ISO 8601 with Z is UTC", iso_in_utc);
	check_run("time: ISO 8601 with an offset", iso_with_offset);
	check_run("time: ISO 8601 without a zone is local", iso_is_local);
	check_run("time: fractions of a second", fractions);
	check_run("time: @ and seconds since the epoch", since_epoch);
	check_run("time: what is no time is refused", no_times);
	check_run("time: a date that does not exist is refused", no_dates);
	check_run("time: a time ends with the year 9999",
	    times_end_with_year_9999);
	check_run("time: HH:MM is the next one", next_of_the_clock);
	check_run("time: HH:MM of today, even when past", today_by_the_clock);
	check_run("time: the clock goes forward", clock_goes_forward);
	check_run("time: HH:MM that the clock skips", clock_skips);
	check_run("time: the clock goes back", clock_goes_back);
	check_run("time: HH:MM that comes twice", clock_repeats);
	check_run("time: a time does not depend on the one before",
	    times_stand_alone);
	check_run("time: a local time is written and read, for a year",
	    local_round_trip);
	check_run("time: HH:MM is the next one, around each change",
	    next_around_changes);
	return check_done();
}
