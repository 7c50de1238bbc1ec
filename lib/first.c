/* SPDX-License-Identifier: ISC */
/*
 * The first few names of a folder that may be too large to sort: of all that
 * are offered the least CAP are kept, in memory for twice as many.
 */
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

int
idq_first_init(struct first *f, size_t cap)
{
	memset(f, 0, sizeof(*f));
	f->cap = cap;
	f->names = reallocarray(NULL, 2 * cap, sizeof(*f->names));
	return f->names != NULL ? 0 : -1;
}

void
idq_first_free(struct first *f)
{
	free(f->names);
	f->names = NULL;
	f->n = 0;
}

void
idq_first_begin(struct first *f)
{
	f->n = 0;
	f->more = false;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(a, b);
}

void
idq_first_end(struct first *f)
{
	if (f->n > 1)
		qsort(f->names, f->n, sizeof(*f->names), by_name);
	if (f->n > f->cap) {
		f->n = f->cap;
		f->more = true;
	}
}

void
idq_first_add(struct first *f, const char *name)
{
	/* The last of those that a full run has kept. */
	if (f->more && strcmp(name, f->names[f->cap - 1]) > 0)
		return;
	strlcpy(f->names[f->n++], name, sizeof(*f->names));
	if (f->n == 2 * f->cap)
		idq_first_end(f);
}
