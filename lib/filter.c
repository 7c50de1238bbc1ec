/* SPDX-License-Identifier: ISC */
/*
 * Which jobs a person means who names none.
 */
#include <fnmatch.h>
#include <string.h>

#include "idq_impl.h"

bool
idq_match(const struct idq_filter *f, const struct idq_job *p, int64_t now)
{
	int64_t since = p->state == IDQ_PENDING && p->due > p->since ?
	    p->due : p->since;

	if (!(f->states & 1u << p->state))
		return false;
	if (f->group != NULL &&
	    (p->group == NULL || strcmp(f->group, p->group) != 0))
		return false;
	if (f->older > 0 && now - since < f->older)
		return false;
	/* A key is no path: `*' means a `/' too. */
	return f->key_glob == NULL || fnmatch(f->key_glob, p->key, 0) == 0;
}
