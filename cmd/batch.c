/* SPDX-License-Identifier: ISC */
/*
 * add --batch: lines of standard input, added group by group.
 */
#include <sys/stat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define GROUP_BYTES	(8 * 1024 * 1024)
#define PAUSE		2		/* ms without input end a group */

struct batch {
	struct idq	*q;
	const struct add_opts *o;
	struct input	 in;
	size_t		 max;
	struct batch_item *items;
	size_t		 n;
	struct idq_add	*adds;		/* of the items that are good */
	struct idq_added *results;
	size_t		 nadds;
	size_t		 bytes;
	int64_t		 due;		/* of the last line, with --in */
	int		 status;
};

static void
worse(struct batch *b, int status)
{
	if (status > b->status)
		b->status = status;
}

static void
item_free(struct batch_item *it)
{
	for (size_t i = 0; it->args != NULL && it->args[i] != NULL; i++)
		free(it->args[i]);
	free(it->args);
	free(it->text);
	free(it->payload);
	free(it->key);
	json_decref(it->object);
}

static void
say_bad(struct batch *b, const struct batch_item *it)
{
	struct idq_added r;

	complain("line %ju: %s", (uintmax_t)it->line, it->why);
	worse(b, EX_USAGE);
	memset(&r, 0, sizeof(r));
	r.outcome = IDQ_ERROR;
	r.code = EX_USAGE;
	strlcpy(r.message, it->why, sizeof(r.message));
	added_print(b->o, it->key != NULL ? it->key : "", &r);
}

/* What cannot be written to has no use for further results. */
static bool
flush_group(struct batch *b)
{
	size_t k = 0;

	for (size_t i = 0; i < b->nadds; i++)
		b->results[i].outcome = IDQ_ERROR;
	if (b->nadds > 0 &&
	    idq_add_group(b->q, b->adds, b->nadds, b->results) == -1)
		for (size_t i = 0; i < b->nadds; i++)
			added_failed(b->q, &b->results[i]);
	for (size_t i = 0; i < b->n; i++) {
		struct batch_item *it = &b->items[i];

		if (*it->why != '\0')
			say_bad(b, it);
		else {
			added_print(b->o, it->key, &b->results[k]);
			/* Once is enough. */
			worse(b, added_say(b->q, b->o->strict &&
			    b->status < EX_TEMPFAIL, it->key,
			    &b->results[k++], it->line));
		}
		item_free(it);
	}
	b->n = b->nadds = b->bytes = 0;
	return flush_now();
}

/* KEY TAB PAYLOAD; without a tab there is no payload. */
static void
tsv_line(struct batch_item *it, const char *line, size_t len)
{
	char *tab;

	if ((it->text = malloc(len + 1)) == NULL) {
		strlcpy(it->why, "out of memory", sizeof(it->why));
		return;
	}
	memcpy(it->text, line, len);
	it->text[len] = '\0';
	if ((tab = memchr(it->text, '\t', len)) != NULL) {
		*tab++ = '\0';
		it->add.payload = tab;
		it->add.length = len - (size_t)(tab - it->text);
		len = (size_t)(tab - it->text) - 1;
	}
	if (strlen(it->text) != len)
		strlcpy(it->why, "the key has a NUL byte", sizeof(it->why));
	else if ((it->key = strdup(it->text)) == NULL)
		strlcpy(it->why, "out of memory", sizeof(it->why));
}

static void
finish_key(struct batch *b, struct batch_item *it)
{
	char key[IDQ_KEY_MAX + 1];
	const char *why = idq_key_check(it->key, strlen(it->key));

	if (why == NULL && b->o->per != NULL) {
		strlcpy(key, it->key, sizeof(key));
		why = idq_key_per(key, sizeof(key), b->o->per, idq_now());
		free(it->key);
		if ((it->key = strdup(key)) == NULL)
			why = "is too much for the memory";
	}
	if (why != NULL)
		snprintf(it->why, sizeof(it->why), "the key %s", why);
	else {
		it->add.key = it->key;
		it->add.keylen = strlen(it->key);
	}
}

/* Two lines in one microsecond stay in order. */
static int64_t
next_due(struct batch *b)
{
	int64_t due = idq_now() + b->o->in;

	b->due = due > b->due ? due : b->due + 1;
	return b->due;
}

static void
take_line(struct batch *b, const char *line, size_t len)
{
	struct batch_item *it = &b->items[b->n++];

	memset(it, 0, sizeof(*it));
	it->line = b->in.number;
	it->add = b->o->add;
	if (b->o->in != 0)
		it->add.due = next_due(b);
	if (line == NULL)
		strlcpy(it->why, "is too long", sizeof(it->why));
	else if (b->o->json_lines)
		json_line(it, line, len);
	else
		tsv_line(it, line, len);
	if (*it->why == '\0')
		finish_key(b, it);
	if (*it->why == '\0')
		b->adds[b->nadds++] = it->add;
	b->bytes += len;
}

static bool
is_full(struct batch *b)
{
	return b->n == b->max || b->bytes >= GROUP_BYTES ||
	    !input_ready(&b->in, PAUSE);
}

static void
read_all(struct batch *b)
{
	uint64_t added = 0;
	bool good = true;
	size_t len;
	char *line;
	int r;

	while (good && (r = input_line(&b->in, &line, &len)) != 0) {
		if (r == -1 && errno != EMSGSIZE) {
			complain("standard input: %s", strerror(errno));
			worse(b, EX_IOERR);
			break;
		}
		take_line(b, r == 1 ? line : NULL, r == 1 ? len : 0);
		if (is_full(b))
			good = flush_group(b);
		progress(++added, b->in.taken);
	}
	if (good)
		flush_group(b);
}

static void
start_progress(void)
{
	off_t at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	struct stat st;

	if (fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) && at != -1)
		progress_start(st.st_size - at);
	else
		progress_start(0);
}

int
batch(struct idq *q, const struct add_opts *o)
{
	struct batch b = { .q = q, .o = o, .in = { .fd = STDIN_FILENO } };

	b.max = idq_group_max();
	b.items = calloc(b.max, sizeof(*b.items));
	b.adds = calloc(b.max, sizeof(*b.adds));
	b.results = calloc(b.max, sizeof(*b.results));
	if (b.items != NULL && b.adds != NULL && b.results != NULL) {
		start_progress();
		read_all(&b);
		progress_end();
	} else
		b.status = complain_memory();
	free(b.items);
	free(b.adds);
	free(b.results);
	free(b.in.buf);
	return b.status;
}
