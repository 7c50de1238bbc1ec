/* SPDX-License-Identifier: ISC */
/*
 * The bytes are a job file.  What the library reads of it is compared with a
 * second reading of header and trail, written from idq(5) alone; and what it
 * writes of what it read must be read as the same.
 */
#include <sys/mman.h>

#include <fcntl.h>
#include <unistd.h>

#include "fuzz.h"
#include "idq_impl.h"

#define NAMES		14
#define ARG		11		/* the only one that comes again */

static const char *const names[NAMES] = {
	"Key", "Id", "Added", "By", "Due", "Expires", "Group", "Run", "Keep",
	"Attempts", "On-crash", "Arg", "Length", "Fingerprint"
};

static struct idq queue = { .path = (char[]){ "/q" }, .fd = -1,
    .cfg = { [CFG_SYNC] = SYNC_OFF } };
static int file = -1;

static void
put(const void *data, size_t size)
{
	if (file == -1) {
		file = memfd_create("job", MFD_CLOEXEC);
		if (file == -1 || fcntl(file, F_SETFL, O_APPEND) == -1)
			err(1, NULL);
	}
	if (ftruncate(file, 0) == -1 || idq_write_all(file, data, size) == -1)
		err(1, NULL);
}

static void
load(struct job *j)
{
	memset(j, 0, sizeof(*j));
	j->fd = file;
	strlcpy(j->pub.path, "cur/x", sizeof(j->pub.path));
	REQUIRE(idq_job_load(&queue, j, NULL) == 0);
}

/* The descriptor is used again. */
static void
drop(struct job *j)
{
	j->fd = -1;
	idq_job_close(j);
}

static int
same(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/*
 * The header of a job that is whole: each name in its place and once, but Arg,
 * and the values of some as they stand.
 */
static void
check_header(const struct idq_job *p, const char *text)
{
	const char *end = text + p->body, *s = text, *nl, *colon;
	int last = -1, name;
	unsigned int seen = 0;
	size_t nargs = 0, len;

	REQUIRE(strncmp(text, "idq job 1\n", 10) == 0);
	REQUIRE(end[-1] == '\n' && end[-2] == '\n');
	for (s += 10; s < end - 1; s = nl + 1) {
		nl = memchr(s, '\n', (size_t)(end - s));
		colon = memmem(s, (size_t)(nl - s), ": ", 2);
		REQUIRE(colon != NULL);
		for (name = 0; name < NAMES; name++)
			if (strlen(names[name]) == (size_t)(colon - s) &&
			    strncmp(names[name], s, strlen(names[name])) == 0)
				break;
		REQUIRE(name < NAMES);
		REQUIRE(name > last || (name == ARG && last == ARG));
		seen |= 1u << name;
		last = name;
		nargs += name == ARG;
		len = (size_t)(nl - colon) - 2;
		if (name == 0)
			REQUIRE(strlen(p->key) == len &&
			    memcmp(p->key, colon + 2, len) == 0);
		if (name == 1)
			REQUIRE(len == IDQ_ID_LEN &&
			    memcmp(p->id, colon + 2, len) == 0);
		if (name == 6)
			REQUIRE(strlen(p->group) == len &&
			    memcmp(p->group, colon + 2, len) == 0);
	}
	REQUIRE((seen & 0x301f) == 0x301f);
	REQUIRE(nargs == p->nargs);
	REQUIRE((p->group != NULL) == (seen >> 6 & 1));
	REQUIRE(p->run == (seen >> 7 & 1));
}

static void
check_line(const struct line *l)
{
	char text[LINE_SIZE];
	struct line again;
	size_t len = idq_line_format(l, text, sizeof(text));

	/* A detail that did not fit was cut. */
	if (strlen(l->detail) == sizeof(l->detail) - 1)
		return;
	REQUIRE(len < sizeof(text) && text[len - 1] == '\n');
	REQUIRE(idq_line_parse(text, len - 1, &again) == 0);
	REQUIRE(again.at == l->at && again.event == l->event &&
	    again.n == l->n && again.to == l->to && again.next == l->next &&
	    again.lease == l->lease && again.release == l->release &&
	    strcmp(again.detail, l->detail) == 0);
}

/* The lines of the trail, read from its beginning in one go. */
static void
check_trail(const struct job *j, const char *text, size_t size)
{
	size_t at = (size_t)(j->pub.body + j->pub.length + 1), end = at;
	const char *nl, *last = NULL;
	uint32_t claims = 0;
	struct line l;
	size_t len = 0;

	for (; at < size; at += (size_t)(nl - text) - at + 1) {
		if ((nl = memchr(text + at, '\n', size - at)) == NULL)
			break;
		if (idq_line_parse(text + at, (size_t)(nl - text) - at,
		    &l) == -1)
			continue;
		check_line(&l);
		claims += l.event == EV_CLAIMED;
		last = text + at;
		len = (size_t)(nl - last);
		end = (size_t)(nl - text) + 1;
	}
	REQUIRE(j->started == (last != NULL));
	REQUIRE((size_t)j->end == end);
	REQUIRE(j->pub.claims == claims && j->pub.attempts <= claims);
	if (last == NULL) {
		REQUIRE(j->pub.last == NULL);
		return;
	}
	REQUIRE(strlen(j->pub.last) == len &&
	    memcmp(j->pub.last, last, len) == 0);
	REQUIRE(idq_line_parse(last, len, &l) == 0 && l.to == j->line.to);
}

static void
require_same(const struct idq_job *a, const struct idq_job *b)
{
	REQUIRE(same(a->key, b->key) && same(a->group, b->group) &&
	    same(a->by, b->by) && strcmp(a->id, b->id) == 0 &&
	    strcmp(a->hash, b->hash) == 0 &&
	    strcmp(a->fingerprint, b->fingerprint) == 0);
	REQUIRE(a->added == b->added && a->expires == b->expires &&
	    a->keep == b->keep && a->attempts_max == b->attempts_max &&
	    a->on_crash == b->on_crash && a->run == b->run &&
	    a->length == b->length && a->nargs == b->nargs);
	for (size_t i = 0; i < a->nargs; i++)
		REQUIRE(strcmp(a->args[i], b->args[i]) == 0);
}

/* An append cuts off what is torn, and is the last line then. */
static void
check_append(struct job *j)
{
	const struct line l = { .at = 1, .event = EV_HELD, .n = j->pub.claims,
	    .to = PL_HOLD, .detail = "reason=fuzz" };
	int64_t before = j->end;
	struct job again;

	if (lseek(file, 0, SEEK_END) == -1)
		err(1, NULL);
	REQUIRE(idq_trail_append(&queue, j, &l) == 0);
	load(&again);
	REQUIRE(again.whole && again.started && again.line.to == PL_HOLD);
	REQUIRE(again.size == again.end && again.end == j->end &&
	    j->end > before);
	REQUIRE(same(again.pub.last, j->pub.last));
	require_same(&again.pub, &j->pub);
	drop(&again);
}

/* The header that would be written for the same job. */
static void
check_format(const struct job *j)
{
	size_t len;
	char *text = idq_header_format(&j->pub, j->pub.length, 1, &len);
	struct job again;

	if (text == NULL)
		err(1, NULL);
	put(text, len);
	free(text);
	if (ftruncate(file, (off_t)len + j->pub.length + 1) == -1)
		err(1, NULL);
	load(&again);
	REQUIRE(again.whole && !again.started);
	require_same(&again.pub, &j->pub);
	drop(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct job j;

	put(data, size);
	load(&j);
	if (j.whole) {
		REQUIRE((size_t)j.pub.body < size &&
		    j.pub.body + j.pub.length < (int64_t)size);
		check_header(&j.pub, (const char *)data);
		check_trail(&j, (const char *)data, size);
		REQUIRE(idq_job_verify(&queue, &j) != -1);
		check_append(&j);
		check_format(&j);
	}
	drop(&j);
	return 0;
}
