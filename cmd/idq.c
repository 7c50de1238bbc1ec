/* SPDX-License-Identifier: ISC */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd.h"

/* In the order of the manual, which --help keeps. */
static const struct verb verbs[] = {
	{ "init", cmd_init, "[--shared GROUP] [-v]",
	    "make a queue; if it is there, do nothing" },
	{ "add", cmd_add, "-k PART... [options] [--] [ARG...]\n"
	    "--key-from-payload [options] [--] [ARG...]\n"
	    "--batch [--json-lines] [options]",
	    "add a job, once per key" },
	{ "work", cmd_work, "[options] [-- COMMAND [ARG...]]",
	    "run a command for each due job" },
	{ "claim", cmd_claim, "[--lease D] [--json]",
	    "claim the oldest due job and print its token" },
	{ "ack", cmd_ack, "TOKEN...",
	    "the claimed job is done" },
	{ "fail", cmd_fail, "[--exit N] TOKEN...",
	    "the attempt failed; try again later" },
	{ "release", cmd_release, "[--in D] TOKEN...",
	    "give the claimed job back" },
	{ "renew", cmd_renew, "[--lease D] TOKEN...",
	    "prolong the claim" },
	{ "run", cmd_run, "-k PART... [options] -- COMMAND [ARG...]",
	    "run a command in the foreground, once per key" },
	{ "ls", cmd_ls, "[options]",
	    "list jobs" },
	{ "show", cmd_show, "[--field FIELD] [-0] [--json] KEY...\n"
	    "--output [--attempt N] KEY...",
	    "all about a job" },
	{ "cat", cmd_cat, "KEY...",
	    "the payload of a job" },
	{ "log", cmd_log, "[options] [KEY...]",
	    "what happened in the queue" },
	{ "stats", cmd_stats, "[--by group] [--json]\n"
	    "--prometheus [-o FILE]",
	    "how many jobs there are, how old, and what happened lately" },
	{ "check", cmd_check, "[options]",
	    "say in one line whether all is well, for monitoring" },
	{ "plan", cmd_plan, "[--rate N/D] [-n N] [--json]",
	    "what a worker would do if it started now" },
	{ "wait", cmd_wait, "[--timeout D] [-v] KEY...\n"
	    "--empty [--timeout D]",
	    "wait until jobs have ended, or all due ones" },
	{ "key", cmd_key, "-k PART... [--per PERIOD]\nKEY...",
	    "hash and key, without a queue" },
	{ "pause", cmd_pause, "[-m REASON] [-v]",
	    "start no job until resume" },
	{ "resume", cmd_resume, "[-v]",
	    "start jobs again" },
	{ "hold", cmd_hold, "[-v] KEY...\nFILTER [--yes] [-n] [-v]",
	    "set a job aside until unhold" },
	{ "unhold", cmd_unhold, "[-v] KEY...\nFILTER [--yes] [-n] [-v]",
	    "make a held job due again when it was" },
	{ "cancel", cmd_cancel, "[--kill] [-v] KEY...\n"
	    "FILTER [--kill] [--yes] [-n] [-v]",
	    "cancel a job that is not finished; its key stays held" },
	{ "forget", cmd_forget, "[-v] KEY...\nFILTER [--yes] [-n] [-v]",
	    "remove a finished job and free its key" },
	{ "retry", cmd_retry, "[-v] KEY...\nFILTER [--yes] [-n] [-v]",
	    "make a failed, held or waiting job due now" },
	{ "purge", cmd_purge, "[--older D] [-n] [-v] [KEY...]\n"
	    "FILTER [--yes] [-n] [-v]",
	    "remove what is past its time" },
	{ "fsck", cmd_fsck, "[-n] [-v] [--json]",
	    "check the queue and mend it" },
	{ "doctor", cmd_doctor, "[--json]",
	    "say what the queue stands on, and what is wrong with it" },
	{ "config", cmd_config, "[NAME [VALUE]]",
	    "list, print or set the queue's settings" },
};

static mode_t umask_before;

mode_t
command_umask(void)
{
	return umask_before;
}

/*
 * A missing standard descriptor must not become a file of the queue.  What
 * takes its place fails as a closed one does, so that lost output is noticed.
 */
static void
fill_standard_fds(void)
{
	int fd;

	for (fd = 0; fd <= 2; fd++) {
		if (fcntl(fd, F_GETFD) != -1 || errno != EBADF)
			continue;
		if (open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) != fd)
			_exit(EX_OSERR);
	}
}

static void
help(void)
{
	printf("usage: idq VERB [-q QUEUE] [options] [operands]\n\n");
	for (size_t i = 0; i < NITEMS(verbs); i++)
		printf("  %-8s %s\n", verbs[i].name, verbs[i].about);
	printf("\n`idq VERB --help' tells about one; the manual is "
	    "idq(1).\n");
}

static _Noreturn void
unknown_verb(const char *name)
{
	const char *names[NITEMS(verbs) + 1];
	char buf[256];
	size_t i;

	for (i = 0; i < NITEMS(verbs); i++)
		names[i] = verbs[i].name;
	names[i] = NULL;
	usage_error("unknown verb '%s'%s", name,
	    suggestion(name, names, "", buf, sizeof(buf)));
}

static const struct verb *
find_verb(const char *name)
{
	for (size_t i = 0; i < NITEMS(verbs); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	unknown_verb(name);
}

/* The global options; true if one of them was all. */
static bool
globals(int argc, char **argv)
{
	static const struct opt opts[] = {
		{ 'q', NULL, "QUEUE", NULL },
		{ 'h', "help", NULL, NULL },
		{ OPT_VERSION, "version", NULL, NULL },
		{ 0, NULL, NULL, NULL }
	};
	int c;

	while ((c = next_option(opts, argc, argv)) != 0) {
		if (c == 'h')
			help();
		else
			printf("idq %s\n", IDQ_VERSION);
		return true;
	}
	return false;
}

int
main(int argc, char **argv)
{
	const struct verb *verb;

	umask_before = umask(0);
	/* Past the limit of ulimit -f: a failed write is said and undone. */
	signal(SIGXFSZ, SIG_IGN);
	fill_standard_fds();
	if (globals(argc, argv))
		return flush_output(0);
	argc -= optind;
	argv += optind;
	if (argc == 0)
		usage_error("no verb given; idq --help lists them");
	verb = find_verb(argv[0]);
	set_verb(verb);
	return flush_output(verb->run(argc, argv));
}
