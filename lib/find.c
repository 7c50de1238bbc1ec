/* SPDX-License-Identifier: ISC */
/*
 * From a key, a hash prefix or a token to the job, in O(1) but for prefixes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "idq_impl.h"

static const char *const states[IDQ_NSTATES] = {
	[IDQ_WAITING] = "waiting",
	[IDQ_PENDING] = "pending",
	[IDQ_RUNNING] = "running",
	[IDQ_HELD] = "held",
	[IDQ_DONE] = "done",
	[IDQ_FAILED] = "failed",
	[IDQ_CANCELLED] = "cancelled",
	[IDQ_EXPIRED] = "expired",
};

const char *
idq_state_name(enum idq_state s)
{
	return states[s];
}

/* The one hash of keys/ that begins with PREFIX: 1, 0, -1 if several. */
static int
find_prefix(struct idq *q, const char *prefix, char hash[HASH_SIZE])
{
	size_t len = strlen(prefix);
	char folder[PATH_SIZE];
	struct dirent *e;
	int n = 0;
	DIR *d;

	snprintf(folder, sizeof(folder), "keys/%.2s", prefix);
	if ((d = idq_opendir(q, folder)) == NULL)
		return errno == ENOENT ? 0 :
		    idq_errno(q, "%s/%s", q->path, folder);
	while (n < 2 && (e = idq_readdir(d)) != NULL) {
		if (strncmp(e->d_name, prefix, len) != 0 ||
		    strlen(e->d_name) != IDQ_HASH_LEN)
			continue;
		strlcpy(hash, e->d_name, HASH_SIZE);
		n++;
	}
	closedir(d);
	if (n > 1)
		return idq_error(q, EX_USAGE, "is the prefix of several jobs");
	return n;
}

static bool
is_prefix(const char *ref)
{
	size_t len = strlen(ref + 1);

	return *ref == ':' && len >= IDQ_PREFIX_MIN && len <= IDQ_HASH_LEN &&
	    idq_is_hex(ref + 1, len);
}

int
idq_resolve(struct idq *q, const char *ref, int flags, struct name *n)
{
	const char *why;
	uint32_t claim;

	memset(n, 0, sizeof(*n));
	if (!(flags & IDQ_REF_KEY)) {
		if (idq_token_parse(ref, n, &claim) == 0)
			return 1;
		memset(n, 0, sizeof(*n));
		if (is_prefix(ref))
			return find_prefix(q, ref + 1, n->hash);
		if (*ref == ':')
			return idq_error(q, EX_USAGE, "is no hash prefix "
			    "(: and at least 8 digits); give a key that "
			    "begins with : by -k");
	}
	if ((why = idq_key_check(ref, strlen(ref))) != NULL)
		return idq_error(q, EX_USAGE, "the key %s", why);
	idq_key_hash(ref, strlen(ref), n->hash);
	return 1;
}

static int
has_hash(void *arg, const char *folder, const struct dirent *e,
    const struct name *n)
{
	(void)folder;
	(void)e;
	return strcmp(n->hash, arg) == 0;
}

int
idq_is_named(struct idq *q, const char *hash)
{
	int r = 0;

	for (int p = 0; r == 0 && p < PL_EXPIRED; p++)
		r = idq_walk(q, (enum place)p, has_hash, (void *)hash);
	return r;
}

int
idq_not_whole(struct idq *q, const struct job *j)
{
	return idq_error(q, EX_SOFTWARE, "%s/%s: is corrupt or not idq's; "
	    "left alone", q->path, j->pub.path);
}

int
idq_find(struct idq *q, const char *ref, int flags, struct idq_job **jp)
{
	struct name n;
	struct job *j;
	int r;

	*jp = NULL;
	if ((r = idq_resolve(q, ref, flags, &n)) != 1)
		return r;
	if ((j = calloc(1, sizeof(*j))) == NULL)
		return idq_errno(q, "%s", q->path);
	if ((r = idq_key_open(q, n.hash, j)) == 1) {
		if (!j->whole)
			r = idq_not_whole(q, j);
		else if (*n.id != '\0' && strcmp(n.id, j->pub.id) != 0)
			r = 0;
		else {
			idq_where(q, j);
			*jp = &j->pub;
			return 1;
		}
		idq_job_close(j);
	}
	free(j);
	return r;
}
