/* SPDX-License-Identifier: ISC */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

static ssize_t
read_some(int fd, char *buf, size_t len)
{
	ssize_t n;

	do
		n = read(fd, buf, len);
	while (n == -1 && errno == EINTR);
	return n;
}

/* LEFT bytes of FD to standard output; main() sees its errors. */
static int
copy(int fd, int64_t left, const char *key)
{
	char buf[65536];
	ssize_t n;

	while (left > 0 && !ferror(stdout)) {
		n = read_some(fd, buf, left < (int64_t)sizeof(buf) ?
		    (size_t)left : sizeof(buf));
		if (n <= 0) {
			complain("%s: payload: %s", key, n == 0 ?
			    "is cut off" : strerror(errno));
			return n == 0 ? EX_SOFTWARE : EX_IOERR;
		}
		fwrite(buf, 1, (size_t)n, stdout);
		left -= n;
	}
	return 0;
}

static int
cat(void *arg, const char *ref, int flags)
{
	struct idq *q = arg;
	struct idq_job *j;
	int status = find_job(q, ref, flags, &j), fd;

	if (status != 0)
		return status;
	if ((fd = idq_payload(q, j)) == -1)
		status = complain_queue(q, ref);
	else {
		status = copy(fd, j->length, ref);
		close(fd);
	}
	idq_job_free(j);
	return status;
}

int
cmd_cat(int argc, char **argv)
{
	static const struct opt opts[] = { OPT_KEY, OPT_END };
	struct key_opts key = { .n = 0 };
	struct idq *q;
	int c, status;

	while ((c = next_option(opts, argc, argv)) != 0)
		key_option(&key, c);
	operands(&argc, &argv, 0, -1, "key");
	check_refs(&key, argc, argv);
	if ((status = open_queue(&q, "default", IDQ_READ)) != 0)
		return status;
	status = each_ref(&key, argc, argv, cat, q);
	idq_close(q);
	return status;
}
