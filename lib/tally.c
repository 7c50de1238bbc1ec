/* SPDX-License-Identifier: ISC */
/*
 * Jobs by group, for any number of groups in bounded memory.
 *
 * While counting, each job also counts in two cells that the hash of its group
 * chooses: none of a group's cells has less than the group.  If the groups were
 * more than there are rows, the jobs are counted once more, and only groups
 * whose cells are full enough get a row: the largest ones, exactly, and a few
 * that share both cells with others.  After G. Cormode, S. Muthukrishnan, An
 * improved data stream summary: the count-min sketch, 2005.
 */
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

#define ROWS_MAX	8192
#define INDEX_SIZE	(2 * ROWS_MAX)
#define CELLS		(1u << 20)	/* of each kind */
#define CELL_MAX	UINT16_MAX

int
idq_tally_init(struct tally *t)
{
	memset(t, 0, sizeof(*t));
	t->groups = calloc(ROWS_MAX, sizeof(*t->groups));
	t->index = calloc(INDEX_SIZE, sizeof(*t->index));
	t->cells = calloc(2 * CELLS, sizeof(*t->cells));
	if (t->groups != NULL && t->index != NULL && t->cells != NULL)
		return 0;
	idq_tally_free(t);
	return -1;
}

static void
free_names(struct tally *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->groups[i].pub.name);
}

void
idq_tally_free(struct tally *t)
{
	free_names(t);
	free(t->groups);
	free(t->index);
	free(t->cells);
	memset(t, 0, sizeof(*t));
}

/* FNV-1a, and the last mix of MurmurHash3: all bits choose a cell or a slot. */
static uint64_t
hash(const char *s)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	for (; *s != '\0'; s++)
		h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
	h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
	h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 33;
}

/* The slot of the group, or the empty one where it would be. */
static uint32_t *
slot(struct tally *t, const char *group, uint64_t h)
{
	size_t i = h % INDEX_SIZE;

	while (t->index[i] != 0 &&
	    strcmp(t->groups[t->index[i] - 1].pub.name, group) != 0)
		i = (i + 1) % INDEX_SIZE;
	return &t->index[i];
}

/* How much both of its cells have. */
static unsigned int
fill(const struct tally *t, uint64_t h)
{
	unsigned int a = t->cells[h >> 44], b = t->cells[CELLS + (h >> 24) %
	    CELLS];

	return a < b ? a : b;
}

static void
add_to_cells(struct tally *t, uint64_t h)
{
	uint16_t *a = &t->cells[h >> 44], *b = &t->cells[CELLS + (h >> 24) %
	    CELLS];

	if (*a < CELL_MAX)
		(*a)++;
	if (*b < CELL_MAX)
		(*b)++;
}

static bool
gets_row(struct tally *t, const char *group, uint64_t h)
{
	unsigned int n;

	/* Jobs without a group are one row, which is kept for them. */
	if (*group == '\0')
		return true;
	if (t->n >= ROWS_MAX - 1) {
		t->overflow = true;
		return false;
	}
	if ((n = fill(t, h)) + 1 != t->least || t->spare == 0)
		return n >= t->least;
	t->spare--;
	return true;
}

struct tally_group *
idq_tally_row(struct tally *t, const char *group)
{
	uint64_t h = hash(group);
	uint32_t *s = slot(t, group, h);
	struct tally_group *g;

	if (t->least == 0 && *group != '\0')
		add_to_cells(t, h);
	if (*s != 0)
		return &t->groups[*s - 1];
	if (!gets_row(t, group, h))
		return &t->others;
	g = &t->groups[t->n];
	if ((g->pub.name = strdup(group)) == NULL)
		return NULL;
	*s = (uint32_t)++t->n;
	return g;
}

/*
 * Let LEAST be so high that no more cells have as much than there are rows.
 * Cells can be shared: half of the rows that remain are for the next groups.
 */
static int
set_least(struct tally *t)
{
	uint32_t *with = calloc(CELL_MAX + 1, sizeof(*with));
	size_t n;

	if (with == NULL)
		return -1;
	for (size_t i = 0; i < CELLS; i++)
		with[t->cells[i]]++;
	t->least = CELL_MAX;
	for (n = with[CELL_MAX]; t->least > 1; t->least--) {
		if (n + with[t->least - 1] >= ROWS_MAX)
			break;
		n += with[t->least - 1];
	}
	t->spare = n < ROWS_MAX ? (ROWS_MAX - n) / 2 : 0;
	free(with);
	return 0;
}

int
idq_tally_again(struct tally *t)
{
	if (set_least(t) == -1)
		return -1;
	free_names(t);
	memset(t->groups, 0, t->n * sizeof(*t->groups));
	memset(t->index, 0, INDEX_SIZE * sizeof(*t->index));
	memset(&t->others, 0, sizeof(t->others));
	t->n = 0;
	return 0;
}

/* -ln(1 - x), for x below 1. */
static double
minus_log(double x)
{
	double power = x, sum = 0;

	for (int k = 1; k < 100000 && power / k > 1e-9; k++) {
		sum += power / k;
		power *= x;
	}
	return sum;
}

/*
 * By the share of cells in use: K.-Y. Whang, B. T. Vander-Zanden, H. M.
 * Taylor, A linear-time probabilistic counting algorithm for database
 * applications, 1990.
 */
static uint64_t
estimate(const struct tally *t)
{
	size_t used = 0;

	for (size_t i = 0; i < CELLS; i++)
		used += t->cells[i] != 0;
	if (used == CELLS)
		used--;
	return (uint64_t)(CELLS * minus_log((double)used / CELLS) + 0.5);
}

uint64_t
idq_tally_distinct(const struct tally *t, bool *about)
{
	uint64_t n = 0;

	if ((*about = t->overflow))
		return estimate(t);
	for (size_t i = 0; i < t->n; i++)
		n += t->groups[i].pub.name[0] != '\0';
	return n;
}
