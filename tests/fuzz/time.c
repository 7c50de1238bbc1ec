/* SPDX-License-Identifier: ISC */
/*
 * Durations, rates and times.  The first byte says where one is, the next eight
 * what time it is there, and the rest is the text.  What is taken and written
 * again must be the same.
 */
#include <time.h>

#include "../../cmd/cmd.h"

#include "fuzz.h"

#define TIME_MAX	INT64_C(253402300799999999)

static void
check_duration(const char *s)
{
	char text[64], hint[160];
	int64_t d, again, rate;

	if (idq_duration_parse(s, &d) == 0) {
		REQUIRE(d >= 0 && d % IDQ_SECOND == 0);
		idq_duration_format(d, text, sizeof(text));
		REQUIRE(idq_duration_parse(text, &again) == 0 && again == d);
	} else
		REQUIRE(duration_hint(s, NULL, hint, sizeof(hint)) == hint);
	if (idq_rate_parse(s, &rate) == 0) {
		REQUIRE(rate > 0);
		REQUIRE(idq_rate_interval(rate) >= 10);
		idq_rate_format(rate, text, sizeof(text));
		REQUIRE(idq_rate_parse(text, &again) == 0 && again == rate);
	}
}

/* What is said to be meant instead is taken. */
static void
check_hint(const char *s)
{
	char hint[160], word[64];
	const char *meant;
	int64_t d;

	if (idq_duration_parse(s, &d) == 0 || strlen(s) > 16)
		return;
	duration_hint(s, NULL, hint, sizeof(hint));
	if ((meant = strstr(hint, "did you mean '")) == NULL)
		return;
	strlcpy(word, strchr(meant, '\'') + 1, sizeof(word));
	word[strcspn(word, "'")] = '\0';
	REQUIRE(idq_duration_parse(word, &d) == 0);
}

static void
check_stamp(const char *s, size_t size)
{
	char text[IDQ_STAMP_LEN + 1];
	int64_t t, same;

	if (idq_stamp_parse(s, size, &t) == -1)
		return;
	REQUIRE(t >= 0 && t <= TIME_MAX);
	REQUIRE(strcmp(idq_stamp(t, text), s) == 0);
	REQUIRE(idq_time_parse(s, 0, false, &same) == 0 &&
	    same == (t > 0 ? t : 1));
}

/* HH:MM is the next one, or one that was skipped when clocks went ahead. */
static void
check_clock(const char *s, int64_t now, int64_t t)
{
	time_t sec = (time_t)(t / IDQ_SECOND);
	struct tm tm;
	char text[6];

	REQUIRE(t > now && t - now <= 49 * IDQ_HOUR);
	localtime_r(&sec, &tm);
	strftime(text, sizeof(text), "%H:%M", &tm);
	if (strcmp(text, s) == 0)
		REQUIRE(t - now <= 26 * IDQ_HOUR);
}

static void
check_time(const char *s, int64_t now)
{
	char text[IDQ_STAMP_LEN + 1];
	int64_t t, again, today;

	if (idq_time_parse(s, now, false, &t) == -1) {
		REQUIRE(idq_time_parse(s, now, true, &today) == -1);
		return;
	}
	REQUIRE(t > 0 && t <= TIME_MAX + 2 * IDQ_DAY);
	REQUIRE(idq_time_parse(s, now, true, &today) == 0);
	if (strlen(s) == 5 && s[2] == ':' && *s != '@')
		check_clock(s, now, t);
	else
		REQUIRE(today == t);
	if (t > TIME_MAX)
		return;
	idq_stamp(t, text);
	REQUIRE(idq_stamp_parse(text, strlen(text), &again) == 0 &&
	    again == t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const zones[] = { "UTC", "Europe/Copenhagen",
	    "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu",
	    "Africa/Casablanca", "CET-1CEST,M3.5.0,M10.5.0/3" };
	static const char *zone;
	const char *there;
	uint64_t bits;
	char *s;

	if (size < 9)
		return 0;
	there = zones[*data % NITEMS(zones)];
	if (there != zone) {
		setenv("TZ", zone = there, 1);
		tzset();
	}
	memcpy(&bits, data + 1, sizeof(bits));
	s = fuzz_string(data + 9, size - 9);
	check_duration(s);
	check_hint(s);
	check_stamp(s, strlen(s));
	check_time(s, (int64_t)(bits % (uint64_t)TIME_MAX));
	free(s);
	return 0;
}
