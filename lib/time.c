/* SPDX-License-Identifier: ISC */
#include <ctype.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "idq_impl.h"

#define YEAR_MAX	9999
#define TIME_MAX	INT64_C(253402300799999999)	/* its end */

int64_t
idq_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * IDQ_SECOND + ts.tv_nsec / 1000;
}

int64_t
idq_after(int64_t now, int64_t d)
{
	return d >= IDQ_FOREVER - now ? IDQ_FOREVER : now + d;
}

int
idq_poll_ms(int64_t wait)
{
	/* A little late rather than a little early, and awake for nothing. */
	if (wait < INT_MAX * INT64_C(1000))
		return wait == -1 ? -1 : (int)((wait + 999) / 1000);
	return INT_MAX;
}

/*
 * UTC is reckoned here: the functions of libc read the file of the local zone
 * first, and took 40 % of counting a million names.  Years begin in March, so
 * that the leap day is the last of one, as in "chrono-Compatible Low-Level Date
 * Algorithms" by Howard Hinnant.
 */
#define ERA_DAYS	146097			/* 400 years */
#define ERA_BEGIN	719468			/* 0000-03-01 to 1970-01-01 */

static int64_t
days_of(int year, int month, int day)
{
	int y = month > 2 ? year : year - 1, m = (month + 9) % 12;

	return INT64_C(365) * y + y / 4 - y / 100 + y / 400 +
	    (153 * m + 2) / 5 + day - 1 - ERA_BEGIN;
}

/* The fields of TM have the numbers that people use. */
static int64_t
join(const struct tm *tm)
{
	return ((days_of(tm->tm_year, tm->tm_mon, tm->tm_mday) * 24 +
	    tm->tm_hour) * 60 + tm->tm_min) * 60 + tm->tm_sec;
}

static void
split_days(int days, struct tm *tm)
{
	int era = (days + ERA_BEGIN) / ERA_DAYS;
	int d = (days + ERA_BEGIN) % ERA_DAYS;
	int y = (d - d / 1460 + d / 36524 - d / (ERA_DAYS - 1)) / 365;
	int m;

	d -= 365 * y + y / 4 - y / 100;
	m = (5 * d + 2) / 153;
	tm->tm_mday = d - (153 * m + 2) / 5 + 1;
	tm->tm_mon = m < 10 ? m + 3 : m - 9;
	tm->tm_year = 400 * era + y + (m < 10 ? 0 : 1);
}

/* The same of T, as far as year 9999, and its microseconds. */
static int
split(int64_t t, struct tm *tm)
{
	int64_t s;

	if (t < 0)
		t = 0;
	if (t > TIME_MAX)
		t = TIME_MAX;
	s = t / IDQ_SECOND;
	split_days((int)(s / 86400), tm);
	tm->tm_hour = (int)(s / 3600 % 24);
	tm->tm_min = (int)(s / 60 % 60);
	tm->tm_sec = (int)(s % 60);
	return (int)(t % IDQ_SECOND);
}

static void
print(char *buf, size_t size, const char *form, int64_t t)
{
	struct tm tm;
	int us = split(t, &tm);

	snprintf(buf, size, form, tm.tm_year, tm.tm_mon, tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, us);
}

char *
idq_stamp(int64_t t, char buf[STAMP_SIZE])
{
	print(buf, STAMP_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", t);
	return buf;
}

void
idq_due_format(int64_t t, char buf[DUE_LEN + 1])
{
	print(buf, DUE_LEN + 1, "%04d%02d%02dT%02d%02d%02d.%06dZ", t);
}

static int
digits(const char **s, int n, int *value)
{
	*value = 0;
	while (n-- > 0) {
		if (!isdigit((unsigned char)**s))
			return -1;
		*value = *value * 10 + (*(*s)++ - '0');
	}
	return 0;
}

/*
 * Read S by FORM, in which Y, m, d, H, M, S stand for the fields of a date, u
 * for microseconds and anything else for itself.  Returns what follows.
 */
static const char *
scan(const char *s, const char *form, struct tm *tm, int *us)
{
	for (; *form != '\0'; form++) {
		int r = 0;

		switch (*form) {
		case 'Y':
			r = digits(&s, 4, &tm->tm_year);
			break;
		case 'm':
			r = digits(&s, 2, &tm->tm_mon);
			break;
		case 'd':
			r = digits(&s, 2, &tm->tm_mday);
			break;
		case 'H':
			r = digits(&s, 2, &tm->tm_hour);
			break;
		case 'M':
			r = digits(&s, 2, &tm->tm_min);
			break;
		case 'S':
			r = digits(&s, 2, &tm->tm_sec);
			break;
		case 'u':
			r = digits(&s, 6, us);
			break;
		default:
			r = *s++ == *form ? 0 : -1;
		}
		if (r == -1)
			return NULL;
	}
	return s;
}

static int
in_range(const struct tm *tm)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31,
	    30, 31 };
	int y = tm->tm_year, m = tm->tm_mon, last;

	if (y < 1970 || y > YEAR_MAX || m < 1 || m > 12)
		return 0;
	last = days[m - 1];
	if (m == 2 && y % 4 == 0 && (y % 100 != 0 || y % 400 == 0))
		last = 29;
	return tm->tm_mday >= 1 && tm->tm_mday <= last &&
	    tm->tm_hour <= 23 && tm->tm_min <= 59 && tm->tm_sec <= 59;
}

/* From the years and months that people count to those of struct tm. */
static void
to_tm(struct tm *tm)
{
	tm->tm_year -= 1900;
	tm->tm_mon -= 1;
	tm->tm_isdst = -1;
}

static int
utc_parse(const char *s, const char *form, size_t len, int64_t *t)
{
	struct tm tm = { 0 };
	int us = 0;
	const char *end = scan(s, form, &tm, &us);

	if (end == NULL || end != s + len || !in_range(&tm)) {
		errno = EINVAL;
		return -1;
	}
	*t = join(&tm) * IDQ_SECOND + us;
	return 0;
}

int
idq_stamp_parse(const char *s, size_t len, int64_t *t)
{
	if (len != IDQ_STAMP_LEN) {
		errno = EINVAL;
		return -1;
	}
	return utc_parse(s, "Y-m-dTH:M:S.uZ", len, t);
}

int
idq_due_parse(const char *s, int64_t *t)
{
	return utc_parse(s, "YmdTHMS.uZ", DUE_LEN, t);
}

static const struct unit {
	char	letter;
	int64_t	length;
} units[] = {
	{ 'w', 7 * IDQ_DAY },
	{ 'd', IDQ_DAY },
	{ 'h', IDQ_HOUR },
	{ 'm', IDQ_MINUTE },
	{ 's', IDQ_SECOND },
};

int
idq_duration_parse(const char *s, int64_t *d)
{
	const struct unit *u = units, *end = units + NITEMS(units);
	int64_t sum = 0;

	if (*s == '\0')
		goto bad;
	while (*s != '\0') {
		int64_t n;
		char *unit;

		if (!isdigit((unsigned char)*s))
			goto bad;
		errno = 0;
		n = strtoimax(s, &unit, 10);
		while (u < end && u->letter != *unit)
			u++;
		if (errno != 0 || u == end ||
		    n > (IDQ_FOREVER / 4 - sum) / u->length)
			goto bad;
		sum += n * u->length;
		u++;
		s = unit + 1;
	}
	*d = sum;
	return 0;
bad:
	errno = EINVAL;
	return -1;
}

char *
idq_duration_format(int64_t d, char *buf, size_t len)
{
	size_t n = 0;

	if (len > 0)
		buf[0] = '\0';
	for (size_t i = 0; i < NITEMS(units) && n < len; i++) {
		const struct unit *u = &units[i];
		bool none = n == 0 && u->letter == 's';

		/* 7d and 10d read better than 1w and 1w3d. */
		if (u->letter == 'w')
			continue;
		if (d / u->length == 0 && !none)
			continue;
		n += (size_t)snprintf(buf + n, len - n, "%" PRId64 "%c",
		    d / u->length, u->letter);
		d %= u->length;
	}
	return buf;
}

#define RATE_SHIFT	44		/* D below, N above */
#define RATE_D_MAX	(180 * IDQ_DAY)
#define RATE_N_MAX	100000

int
idq_rate_parse(const char *s, int64_t *rate)
{
	char *slash;
	intmax_t n;
	int64_t d;

	errno = 0;
	n = strtoimax(s, &slash, 10);
	if (!isdigit((unsigned char)*s) || errno != 0 || n < 1 ||
	    n > RATE_N_MAX || *slash != '/' ||
	    idq_duration_parse(slash + 1, &d) == -1 || d < IDQ_SECOND ||
	    d > RATE_D_MAX) {
		errno = EINVAL;
		return -1;
	}
	*rate = (int64_t)n << RATE_SHIFT | d;
	return 0;
}

static int64_t
rate_d(int64_t rate)
{
	return rate & ((INT64_C(1) << RATE_SHIFT) - 1);
}

char *
idq_rate_format(int64_t rate, char *buf, size_t len)
{
	int n = snprintf(buf, len, "%" PRId64 "/", rate >> RATE_SHIFT);

	if (n > 0 && (size_t)n < len)
		idq_duration_format(rate_d(rate), buf + n, len - (size_t)n);
	return buf;
}

int64_t
idq_rate_interval(int64_t rate)
{
	return rate == 0 ? 0 : rate_d(rate) / (rate >> RATE_SHIFT);
}

/*
 * The first instant after AFTER that is the local time WANT: 0, or -1 if there
 * is none.  When clocks go back a time comes twice; one that they skip is
 * taken as if they had not.  mktime(3) left to guess depends on its last guess.
 */
static int
local(const struct tm *want, int64_t after, int64_t *t)
{
	int64_t skipped = -1;

	*t = INT64_MAX;
	for (int dst = 0; dst <= 1; dst++) {
		struct tm tm = *want;
		int64_t at;

		tm.tm_isdst = dst;
		at = (int64_t)mktime(&tm) * IDQ_SECOND;
		if (tm.tm_hour == want->tm_hour && tm.tm_min == want->tm_min) {
			skipped = INT64_MIN;
			if (at > after && at < *t)
				*t = at;
		} else if (skipped != INT64_MIN && at > skipped)
			skipped = at;
	}
	if (skipped > after && skipped != INT64_MIN)
		*t = skipped;
	return *t == INT64_MAX ? -1 : 0;
}

/* The zone costs some calls, and few need it. */
struct tm *
idq_localtime(time_t t, struct tm *tm)
{
	tzset();
	return localtime_r(&t, tm);
}

static int
clock_parse(const char *s, int64_t now, bool today, int64_t *t)
{
	struct tm want = { 0 }, tm;
	time_t sec = (time_t)(now / IDQ_SECOND);
	const char *end = scan(s, "H:M", &want, NULL);

	if (end == NULL || *end != '\0' || want.tm_hour > 23 ||
	    want.tm_min > 59)
		return -1;
	idq_localtime(sec, &tm);
	tm.tm_hour = want.tm_hour;
	tm.tm_min = want.tm_min;
	tm.tm_sec = 0;
	if (local(&tm, today ? -1 : now, t) == 0)
		return 0;
	tm.tm_mday++;
	return local(&tm, now, t);
}

static int
epoch_parse(const char *s, int64_t *t)
{
	char *end;
	intmax_t n;

	if (!isdigit((unsigned char)*s))
		return -1;
	errno = 0;
	n = strtoimax(s, &end, 10);
	if (errno != 0 || *end != '\0' || n > TIME_MAX / IDQ_SECOND)
		return -1;
	*t = n * IDQ_SECOND;
	return 0;
}

/* Z, +01:00, +0100 or +01 as seconds east of UTC. */
static int
zone_parse(const char *s, int *offset)
{
	struct tm tm = { 0 };
	const char *end;
	int sign = *s == '-' ? -1 : 1;

	*offset = 0;
	if (strcmp(s, "Z") == 0)
		return 0;
	if (*s != '+' && *s != '-')
		return -1;
	s++;
	if (((end = scan(s, "H:M", &tm, NULL)) == NULL || *end != '\0') &&
	    ((end = scan(s, "HM", &tm, NULL)) == NULL || *end != '\0')) {
		tm.tm_min = 0;
		if ((end = scan(s, "H", &tm, NULL)) == NULL || *end != '\0')
			return -1;
	}
	if (tm.tm_hour > 14 || tm.tm_min > 59)
		return -1;
	*offset = sign * (tm.tm_hour * 3600 + tm.tm_min * 60);
	return 0;
}

/* A fraction of a second of up to six digits (more are passed over). */
static const char *
fraction(const char *s, int *us)
{
	int scale = 100000;

	*us = 0;
	if (!isdigit((unsigned char)*s))
		return NULL;
	for (; isdigit((unsigned char)*s); s++, scale /= 10)
		*us += (*s - '0') * scale;
	return s;
}

static int
iso_parse(const char *s, int64_t *t)
{
	struct tm tm = { 0 };
	int us = 0, offset;
	const char *p = scan(s, "Y-m-d", &tm, NULL);

	if (p == NULL)
		return -1;
	if (*p == 'T' || *p == ' ') {
		if ((p = scan(p + 1, "H:M", &tm, NULL)) == NULL)
			return -1;
		if (*p == ':' && (p = scan(p, ":S", &tm, NULL)) == NULL)
			return -1;
		if (*p == '.' && (p = fraction(p + 1, &us)) == NULL)
			return -1;
	}
	if (!in_range(&tm))
		return -1;
	to_tm(&tm);
	if (*p == '\0') {
		if (local(&tm, -1, t) == -1)
			return -1;
	} else {
		if (zone_parse(p, &offset) == -1)
			return -1;
		*t = ((int64_t)timegm(&tm) - offset) * IDQ_SECOND;
	}
	*t += us;
	return *t < 0 || *t > TIME_MAX ? -1 : 0;
}

int
idq_time_parse(const char *s, int64_t now, bool today, int64_t *t)
{
	int r;

	if (*s == '@')
		r = epoch_parse(s + 1, t);
	else if (strlen(s) == 5 && s[2] == ':')
		r = clock_parse(s, now, today, t);
	else
		r = iso_parse(s, t);
	if (r == -1)
		errno = EINVAL;
	else if (*t == 0)
		*t = 1;			/* 0 says that there is none */
	return r;
}
