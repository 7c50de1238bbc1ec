/* SPDX-License-Identifier: ISC */
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

#define ANSWER_MS	30000

struct doctor {
	bool			 json;
	enum idq_finding	 worst;
};

static void
print(void *arg, enum idq_finding level, const char *about, const char *text)
{
	static const char *const words[] = { "ok", "warning", "error" };
	struct doctor *d = arg;
	json_t *o;

	if (level > d->worst)
		d->worst = level;
	if (d->json) {
		o = json_object();
		json_object_set_new(o, "result", json_string(words[level]));
		json_object_set_new(o, "about", json_string(about));
		json_object_set_new(o, "text", json_text(text));
		print_json(o);
	} else {
		printf("%s\t%s\t", words[level], about);
		print_safe(stdout, text, strlen(text));
		putchar('\n');
	}
	/* The next look may be the one that has no answer. */
	flush_now();
}

static int
examine(struct doctor *d, const char *path)
{
	static const int statuses[] = { 0, EX_NO, EX_CRITICAL };
	int r = idq_doctor(path, print, d);

	if (r == -1)
		complain_memory();
	return r == 1 ? statuses[d->worst] : EX_UNKNOWN;
}

/* A call to a file server that is gone has no end: a child makes it. */
static int
examine_in_time(struct doctor *d, const char *path)
{
	struct pollfd p = { .events = POLLIN };
	int fds[2], status;
	pid_t pid;

	signal(SIGCHLD, SIG_DFL);
	if (pipe2(fds, O_CLOEXEC) == -1 || (pid = fork()) == -1) {
		complain("%s", strerror(errno));
		return EX_UNKNOWN;
	}
	if (pid == 0)
		exit(flush_output(examine(d, path)));
	close(fds[1]);
	p.fd = fds[0];
	if (poll(&p, 1, ANSWER_MS) == 1)
		return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ?
		    WEXITSTATUS(status) : EX_UNKNOWN;
	kill(pid, SIGKILL);
	print(d, IDQ_FOUND_ERROR, "answer", "none in 30 seconds; see whether "
	    "the disk or the file server is well");
	return EX_CRITICAL;
}

int
cmd_doctor(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ OPT_JSON, "json", NULL, "an object a line" },
		OPT_END
	};
	struct doctor d = { .json = false };
	char *path;
	int status;

	while (next_option(opts, argc, argv) != 0)
		d.json = true;
	operands(&argc, &argv, 0, 0, "");
	if ((path = queue_path("default")) == NULL)
		return EX_UNKNOWN;
	status = examine_in_time(&d, path);
	free(path);
	return status;
}
