/* SPDX-License-Identifier: ISC */
/*
 * The first of more names than are kept in memory.
 */
#include "check.h"
#include "spool.h"

/* In no order, each number below N once if N is no multiple of 37. */
static void
name_of(int i, int n, char name[NEW_LEN + 1])
{
	snprintf(name, NEW_LEN + 1, "%08d", i * 37 % n);
}

static void
first(void)
{
	char name[NEW_LEN + 1], want[NEW_LEN + 1];
	struct first f;

	if (!CHECK_INT(idq_first_init(&f, 5), 0))
		return;
	for (int n = 1; n < 37; n++) {
		idq_first_begin(&f);
		for (int i = 0; i < n; i++) {
			name_of(i, n, name);
			idq_first_add(&f, name);
		}
		idq_first_end(&f);
		CHECK_INT(f.n, n < 5 ? n : 5);
		CHECK_INT(f.more, n > 5);
		for (size_t i = 0; i < f.n; i++) {
			snprintf(want, sizeof(want), "%08zu", i);
			CHECK_STR(f.names[i], want);
		}
	}
	idq_first_free(&f);
}

int
main(void)
{
	check_run("first: of any number of names, in order", first);
	return check_done();
}
