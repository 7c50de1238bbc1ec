/* SPDX-License-Identifier: ISC */
/*
 * Unit tests: a program calls check_run() for each of its tests and returns
 * check_done().  Within a test a CHECK that fails says where and is counted,
 * and the test goes on.  Results are lines of TAP, which tests/run adds up.
 */
#ifndef CHECK_H
#define CHECK_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int check_bad;		/* failed checks of the running test */
static int check_failed;	/* failed tests */
static int check_count;		/* tests so far */

/* Each returns whether the check held. */
#define CHECK(cond) \
	check_true(__FILE__, __LINE__, #cond, (cond))

#define CHECK_INT(got, want) \
	check_int(__FILE__, __LINE__, #got, (intmax_t)(got), (intmax_t)(want))

/* Either may be NULL. */
#define CHECK_STR(got, want) \
	check_str(__FILE__, __LINE__, #got, (got), (want))

static inline int
check_true(const char *file, int line, const char *what, int held)
{
	if (held)
		return 1;
	check_bad++;
	printf("# %s:%d: %s\n", file, line, what);
	return 0;
}

static inline int
check_int(const char *file, int line, const char *what, intmax_t got,
    intmax_t want)
{
	if (got == want)
		return 1;
	check_bad++;
	printf("# %s:%d: %s: %" PRIdMAX ", not %" PRIdMAX "\n", file, line,
	    what, got, want);
	return 0;
}

static inline int
check_str(const char *file, int line, const char *what, const char *got,
    const char *want)
{
	if (got == want || (got != NULL && want != NULL &&
	    strcmp(got, want) == 0))
		return 1;
	check_bad++;
	printf("# %s:%d: %s: \"%s\", not \"%s\"\n", file, line, what,
	    got == NULL ? "(null)" : got, want == NULL ? "(null)" : want);
	return 0;
}

/* Run one test; its name has the form `area: behaviour'. */
static inline void
check_run(const char *name, void (*test)(void))
{
	check_bad = 0;
	test();
	if (check_bad != 0)
		check_failed++;
	printf("%s %d %s\n", check_bad == 0 ? "ok" : "not ok", ++check_count,
	    name);
	fflush(stdout);
}

/* What main() returns.  The plan comes last: a crash leaves none. */
static inline int
check_done(void)
{
	printf("1..%d\n", check_count);
	return fflush(stdout) != 0 || check_failed != 0;
}

#endif /* CHECK_H */
