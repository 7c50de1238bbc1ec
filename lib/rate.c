/* SPDX-License-Identifier: ISC */
/*
 * The rate of the whole queue: how far apart its jobs start, whatever their
 * group.
 */
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define RATE		"groups/rate"		/* the last start */

static int
write_rate(struct idq *q, const struct job *f, int64_t at)
{
	char line[STAMP_SIZE];

	idq_stamp(at, line);
	line[IDQ_STAMP_LEN] = '\n';
	if (pwrite(f->fd, line, sizeof(line), 0) == sizeof(line))
		return 0;
	return idq_errno(q, "%s/" RATE, q->path);
}

int
idq_rate_take(struct idq *q, struct taking *t)
{
	char line[STAMP_SIZE] = "";
	int64_t now = idq_now(), last = 0;
	struct job f;
	int r;

	if (t->rate == 0)
		return 1;
	if ((r = idq_state_open(q, RATE, GROUP_WAIT, &f)) != 1) {
		t->busy |= r == 0;
		return r;
	}
	if (pread(f.fd, line, sizeof(line), 0) == sizeof(line))
		idq_stamp_parse(line, IDQ_STAMP_LEN, &last);
	if (memcmp(line, MAGIC, strlen(MAGIC)) == 0) {
		idq_job_close(&f);
		return idq_error(q, EX_SOFTWARE, "%s/" RATE ": is a job; left "
		    "alone", q->path);
	}
	t->until = last == 0 ? now : idq_after(last < now ? last : now,
	    idq_rate_interval(t->rate));
	if (t->until <= now)
		t->until = 0;
	/* One in the future was noted by a wrong clock. */
	if (t->until == 0 || last > now)
		r = write_rate(q, &f, now);
	idq_job_close(&f);
	return r == -1 ? -1 : t->until == 0;
}
