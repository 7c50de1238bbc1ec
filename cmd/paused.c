/* SPDX-License-Identifier: ISC */
/*
 * A paused queue, in words.
 */
#include <string.h>

#include "cmd.h"

const char *
paused_text(const struct idq_paused *p, bool local, char *buf, size_t len)
{
	char when[TIME_SIZE];

	strlcpy(buf, "paused", len);
	if (p->at != 0) {
		strlcat(buf, " since ", len);
		strlcat(buf, time_text(p->at, local, when), len);
	}
	if (*p->by != '\0') {
		strlcat(buf, " by ", len);
		strlcat(buf, p->by, len);
	}
	if (*p->why != '\0') {
		strlcat(buf, ": ", len);
		strlcat(buf, p->why, len);
	}
	return buf;
}

/* Who looks at a terminal may wonder why nothing happens; cron does not. */
void
tell_paused(struct idq *q)
{
	char buf[PAUSED_SIZE];
	struct idq_paused p;

	if (stderr_on_terminal() && idq_paused(q, &p) == 1)
		complain("%s: %s", idq_queue_dir(q),
		    paused_text(&p, true, buf, sizeof(buf)));
}
