/* SPDX-License-Identifier: ISC */
/*
 * A paused queue: the file `paused' is there, and says who, when and why.
 */
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define PAUSED	"paused"

bool
idq_is_paused(struct idq *q)
{
	return idq_at_exists(q, PAUSED);
}

static void
set_by(struct idq *q, char *by, size_t len)
{
	struct passwd *pw = getpwuid(geteuid());

	if (pw != NULL)
		snprintf(by, len, "%s@%s", pw->pw_name, q->host);
	else
		snprintf(by, len, "%u@%s", (unsigned int)geteuid(), q->host);
}

int
idq_pause(struct idq *q, const char *why)
{
	char text[IDQ_KEY_MAX + 256], by[128], detail[160], stamp[STAMP_SIZE];
	const char *bad = why != NULL ? idq_key_check(why, strlen(why)) : NULL;

	if (bad != NULL)
		return idq_error(q, EX_USAGE, "the reason %s", bad);
	if (idq_is_paused(q))
		return 0;
	set_by(q, by, sizeof(by));
	snprintf(text, sizeof(text), "%s %s%s%s\n",
	    idq_stamp(idq_now(), stamp), by, why != NULL ? " " : "",
	    why != NULL ? why : "");
	if (idq_write_small(q, PAUSED, text, true) == -1)
		return idq_errno(q, "%s/" PAUSED, q->path);
	snprintf(detail, sizeof(detail), "by=%s", by);
	idq_log_write(q, NULL, idq_now(), "paused", 0, detail);
	return 1;
}

int
idq_resume(struct idq *q)
{
	char by[128], detail[160];

	if (idq_at_unlink(q, PAUSED, 0) == -1) {
		if (errno == ENOENT)
			return 0;
		return idq_errno(q, "%s/" PAUSED, q->path);
	}
	if (idq_sync_dir(q, ".") == -1)
		return idq_errno(q, "%s: sync", q->path);
	set_by(q, by, sizeof(by));
	snprintf(detail, sizeof(detail), "by=%s", by);
	idq_log_write(q, NULL, idq_now(), "resumed", 0, detail);
	return 1;
}

/* STAMP BY [REASON]; what somebody wrote by hand is the reason. */
int
idq_paused(struct idq *q, struct idq_paused *p)
{
	char text[IDQ_KEY_MAX + 256], *why = text, *by;
	ssize_t n = idq_read_small(q, PAUSED, text, sizeof(text));

	memset(p, 0, sizeof(*p));
	if (n == -1 && errno == ENOENT)
		return 0;
	/* Whatever it is, its being there counts. */
	if (n == -1)
		return 1;
	text[strcspn(text, "\n")] = '\0';
	if (strlen(text) > IDQ_STAMP_LEN && text[IDQ_STAMP_LEN] == ' ' &&
	    idq_stamp_parse(text, IDQ_STAMP_LEN, &p->at) == 0) {
		why = text + IDQ_STAMP_LEN + 1;
		by = strsep(&why, " ");
		strlcpy(p->by, by, sizeof(p->by));
	}
	if (why != NULL)
		strlcpy(p->why, why, sizeof(p->why));
	return 1;
}
