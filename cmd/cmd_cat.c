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
cat(void *unused, struct idq *q, const struct idq_job *j, const char *ref)
{
	int fd = idq_payload(q, j), status;

	(void)unused;
	if (fd == -1)
		return complain_queue(q, ref);
	status = copy(fd, j->length, ref);
	close(fd);
	return status;
}

int
cmd_cat(int argc, char **argv)
{
	static const struct opt opts[] = { OPT_KEY, OPT_END_READS };
	struct key_opts key = { .n = 0 };
	int c;

	while ((c = next_option(opts, argc, argv)) != 0)
		key_option(&key, c);
	operands(&argc, &argv, 0, -1, "key");
	check_refs(&key, argc, argv);
	return each_job_found(&key, argc, argv, cat, NULL);
}
