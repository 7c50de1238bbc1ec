/* SPDX-License-Identifier: ISC */
/*
 * stormer DIR IDQ COMMANDS SLOTS SEED: start so many commands of IDQ on the
 * queue `q', SLOTS at once, most of them killed after some microseconds.  What
 * they printed, and what was asked of them, goes to DIR/told, a line each:
 * a word, the number of the command, what it printed or was given.
 *
 * stormer --job: the command of the workers.  It appends a line to $RUNS at its
 * start and one at its end, as invariants.py reads them, and one to $SIDE.
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STUCK	30			/* seconds that no command needs */
#define KEYS_A	150			/* never cancelled nor forgotten */
#define KEYS_B	60
#define KEYS_R	30			/* of run */
#define ARGS	24
#define TOKENS	4

static const char *idq;
static char self[4096];			/* this program */
static int told;			/* DIR/told */
static uint64_t seed;

static uint32_t
rnd(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 11) % n;
}

static void
append(int fd, const char *fmt, ...)
{
	char line[2048];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(line) ||
	    write(fd, line, (size_t)n) != n)
		err(2, "append");
}

static int
open_log(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd == -1)
		err(2, "%s", path);
	return fd;
}

/* The job. */
static const char *
env(const char *name)
{
	const char *s = getenv(name);

	return s != NULL ? s : "-";
}

static void
record(int fd, const char *what)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	append(fd, "%s %s %s %s %d %lld.%06ld\n", what, env("IDQ_KEY"),
	    env("IDQ_ID"), env("IDQ_ATTEMPT"), (int)getpid(),
	    (long long)ts.tv_sec, ts.tv_nsec / 1000);
}

static int
job(void)
{
	struct timespec nap = { 0, 0 };
	sigset_t all;
	int runs, side;

	/* An end that nobody wrote down would look like two at once. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	runs = open_log(env("RUNS"));
	side = open_log(env("SIDE"));
	seed = ((uint64_t)getpid() << 32 | (uint64_t)time(NULL)) *
	    0x9e3779b97f4a7c15u | 1;
	rnd(1);
	append(side, "%s %s %s %s\n", env("NR"), env("IDQ_KEY"),
	    env("IDQ_TOKEN"), env("IDQ_ATTEMPT"));
	record(runs, "start");
	if (getenv("PRINT") != NULL)
		printf("%s\n", env("IDQ_KEY"));
	fflush(stdout);
	nap.tv_nsec = (long)rnd(4) * rnd(4000) * 1000;
	nanosleep(&nap, NULL);
	if (getenv("CALM") == NULL && rnd(30) == 0) {
		record(runs, "killed");
		kill(getpid(), SIGKILL);
		sigemptyset(&all);
		sigsuspend(&all);
	}
	record(runs, "end");
	if (getenv("CALM") != NULL)
		return 0;
	switch (rnd(30)) {
	case 0:
		return 75;
	case 1:
		return 100;
	case 2:
	case 3:
		return 1;
	default:
		return 0;
	}
}

/* A command that is to be started. */
struct cmd {
	const char	*word;		/* what it is called in DIR/told */
	const char	*argv[ARGS + 1];
	int		 argc;
	char		 keys[20][40];	/* where argv may point */
	int		 nkeys;
	const char	*input;
	const char	*codes;		/* it may end with, beside 0 */
	bool		 prints;	/* its output counts */
	bool		 follows;	/* it ends when it is told to */
	uint32_t	 most;		/* microseconds until it is killed */
};

static void
arg(struct cmd *c, const char *s)
{
	if (c->argc == ARGS)
		errx(2, "too many arguments");
	c->argv[c->argc++] = s;
}

static void
verb(struct cmd *c, const char *word, const char *name, const char *codes)
{
	memset(c, 0, sizeof(*c));
	c->word = word;
	c->codes = codes;
	c->most = 6000;
	arg(c, idq);
	arg(c, name);
	arg(c, "-q");
	arg(c, "q");
}

static const char *
key(struct cmd *c, char family)
{
	char *k = c->keys[c->nkeys++ % 20];
	uint32_t of = family == 'a' ? KEYS_A : family == 'b' ? KEYS_B : KEYS_R;

	snprintf(k, sizeof(c->keys[0]), "%c%u", family, rnd(of));
	return k;
}

static const char *
any_key(struct cmd *c)
{
	return key(c, rnd(3) == 0 ? 'b' : 'a');
}

static void
command(struct cmd *c)
{
	arg(c, "--");
	arg(c, self);
	arg(c, "--job");
}

/*
 * The group goes by the key, so that each add of a key says the same.
 */
static void
an_add(struct cmd *c)
{
	const char *k;

	verb(c, "add", "add", "75");
	k = any_key(c);
	arg(c, "--json");
	arg(c, "-k");
	arg(c, k);
	if (k[strlen(k) - 1] < '3') {
		arg(c, "-g");
		arg(c, k[strlen(k) - 1] == '0' ? "g0" : "g1");
	}
	if (rnd(12) == 0) {
		arg(c, "--in");
		arg(c, "1s");
	}
	if (*k == 'b' && rnd(8) == 0) {
		arg(c, "--ttl");
		arg(c, "1s");
	}
	c->prints = true;
}

static void
a_batch(struct cmd *c, char *text, size_t len)
{
	size_t used = 0;

	verb(c, "add", "add", "75");
	arg(c, "--batch");
	arg(c, "--json");
	for (uint32_t n = 1 + rnd(12); n > 0; n--) {
		const char *k = any_key(c);

		if (k[strlen(k) - 1] >= '3')
			used += (size_t)snprintf(text + used, len - used,
			    "%s\t\n", k);
	}
	c->input = text;
	c->prints = true;
}

static void
a_worker(struct cmd *c)
{
	static const char *const modes[] = { "--drain", "--drain", "--once",
	    "-v" };
	uint32_t mode = rnd(4);

	verb(c, "work", "work", "75");
	arg(c, "-v");
	arg(c, modes[mode]);
	arg(c, rnd(2) ? "-j1" : "-j3");
	command(c);
	c->prints = true;
	c->follows = mode == 3;
	c->most = 40000;
}

static void
a_run(struct cmd *c)
{
	verb(c, "run", "run", "75 1 100 111 137 138");
	arg(c, "-k");
	arg(c, key(c, 'r'));
	arg(c, "--keep");
	arg(c, "1s");
	command(c);
	c->most = 12000;
}

/* One verb on one key, one of family B where it may remove the job. */
static void
an_operation(struct cmd *c)
{
	static const struct {
		const char *name;
		bool any;
	} ops[] = { { "retry", true }, { "hold", true }, { "unhold", true },
	    { "unhold", true }, { "cancel", false }, { "forget", false },
	    { "cancel --kill", false }, { "purge", true } };
	uint32_t n = rnd(sizeof(ops) / sizeof(*ops));
	const char *k;

	verb(c, ops[n].name, ops[n].name, "1 69 75");
	k = ops[n].any ? any_key(c) : key(c, 'b');
	if (strncmp(ops[n].name, "cancel", 6) == 0) {
		c->word = "cancel";
		c->argv[1] = "cancel";
		if (ops[n].name[6] != '\0')
			arg(c, "--kill");
	}
	arg(c, k);
}

static void
something(struct cmd *c)
{
	static const char *const verbs[][4] = { { "fsck" }, { "purge" },
	    { "purge" }, { "pause" }, { "resume" }, { "resume" },
	    { "unhold", "-s", "held", "--yes" },
	    { "retry", "-s", "failed", "--yes" },
	    { "hold", "-g", "g1", "--yes" },
	    { "ls", "-s", "all" }, { "stats" }, { "plan" },
	    { "resume" }, { "fsck", "-n" } };
	uint32_t n = rnd(sizeof(verbs) / sizeof(*verbs));

	verb(c, verbs[n][0], verbs[n][0], "1 69 75");
	for (int i = 1; i < 4 && verbs[n][i] != NULL; i++)
		arg(c, verbs[n][i]);
	c->most = 15000;
}

/* Running it. */
struct result {
	bool	killed;
	int	status;
	int	out;
	int	err;
};

static int
memory(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	if (fd == -1)
		err(2, "memfd_create");
	return fd;
}

static int
input_of(const char *text)
{
	int fd;

	if (text == NULL)
		return open("/dev/null", O_RDONLY | O_CLOEXEC);
	fd = memory("in");
	if (write(fd, text, strlen(text)) != (ssize_t)strlen(text) ||
	    lseek(fd, 0, SEEK_SET) != 0)
		err(2, "input");
	return fd;
}

static pid_t
start(const struct cmd *c, int in, struct result *r, uint64_t nr)
{
	char number[24];
	pid_t pid = fork();

	if (pid == -1)
		err(2, "fork");
	if (pid != 0)
		return pid;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)nr);
	setenv("NR", number, 1);
	if (strcmp(c->word, "work") == 0)
		setenv("PRINT", "1", 1);
	if (dup2(in, 0) == -1 || dup2(r->out, 1) == -1 ||
	    dup2(r->err, 2) == -1)
		_exit(126);
	execv(c->argv[0], (char *const *)(uintptr_t)c->argv);
	_exit(127);
}

/* Whether it ends within so many microseconds; 0: it has all the time. */
static bool
ends(pid_t pid, uint32_t us)
{
	struct timespec t = { us == 0 ? STUCK : us / 1000000,
		(long)(us % 1000000) * 1000 };
	struct pollfd p = { .events = POLLIN };
	int r;

	p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p.fd == -1)
		err(2, "pidfd_open");
	while ((r = ppoll(&p, 1, &t, NULL)) == -1 && errno == EINTR)
		continue;
	close(p.fd);
	return r == 1;
}

/* The earlier the likelier, so that each step is met as often. */
static uint32_t
delay(uint32_t most)
{
	double low = log(30), high = log(most);

	return (uint32_t)exp(low + (high - low) * rnd(1 << 20) / (1 << 20));
}

static void
describe(const struct cmd *c, char *text, size_t len)
{
	size_t used = 0;

	*text = '\0';
	for (int i = 1; i < c->argc && used < len; i++)
		used += (size_t)snprintf(text + used, len - used, " %s",
		    c->argv[i]);
}

static void
run(const struct cmd *c, uint64_t nr, struct result *r)
{
	char text[512];
	uint32_t us = c->follows || rnd(5) != 0 ? delay(c->most) : 0;
	int in = input_of(c->input), how = SIGKILL;
	pid_t pid;

	r->out = memory("out");
	r->err = memory("err");
	pid = start(c, in, r, nr);
	close(in);
	r->killed = false;
	if (!ends(pid, us)) {
		if (us != 0 && rnd(12) == 0)
			how = SIGTERM;
		kill(pid, how);
		r->killed = true;
		if (us == 0 || !ends(pid, 0)) {
			describe(c, text, sizeof(text));
			append(told, "stuck %llu%s\n", (unsigned long long)nr,
			    text);
			kill(pid, SIGKILL);
		}
	}
	if (waitpid(pid, &r->status, 0) != pid)
		err(2, "waitpid");
}

/* Each whole line of what it printed. */
static void
tell(const struct cmd *c, uint64_t nr, const struct result *r)
{
	char buf[65536];
	ssize_t n = pread(r->out, buf, sizeof(buf) - 1, 0);
	char *line = buf, *end;

	if (n <= 0 || !c->prints)
		return;
	buf[n] = '\0';
	for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = '\0';
		append(told, "%s %llu %.1500s\n", c->word,
		    (unsigned long long)nr, line);
	}
}

static void
judge(const struct cmd *c, uint64_t nr, const struct result *r)
{
	char text[512], msg[512], code[8], codes[64];
	ssize_t n;

	if (r->killed && WIFSIGNALED(r->status))
		return;
	snprintf(codes, sizeof(codes), " %s ", c->codes);
	snprintf(code, sizeof(code), " %d ", WIFEXITED(r->status) ?
	    WEXITSTATUS(r->status) : 128 + WTERMSIG(r->status));
	if (strcmp(code, " 0 ") == 0 || strstr(codes, code) != NULL)
		return;
	/* What SIGTERM does to those that have nothing to put in order. */
	if (r->killed && (WIFSIGNALED(r->status) ||
	    strcmp(code, " 143 ") == 0))
		return;
	n = pread(r->err, msg, sizeof(msg) - 1, 0);
	msg[n > 0 ? n : 0] = '\0';
	msg[strcspn(msg, "\n")] = '\0';
	describe(c, text, sizeof(text));
	append(told, "exit %llu%s:%s%.400s\n", (unsigned long long)nr, text,
	    code, msg);
}

static bool
succeeded(const struct result *r)
{
	return !r->killed && WIFEXITED(r->status) &&
	    WEXITSTATUS(r->status) == 0;
}

static void
finish(const struct result *r)
{
	close(r->out);
	close(r->err);
}

/* Claims of this slot that it has not ended. */
struct tokens {
	char	 v[TOKENS][128];
	int	 n;
};

static void
a_claim(struct tokens *t, uint64_t nr, bool *killed)
{
	struct result r;
	struct cmd c;
	ssize_t n;

	verb(&c, "claim", "claim", "1 75");
	arg(&c, "--lease");
	arg(&c, rnd(3) == 0 ? "1s" : "2s");
	c.prints = true;
	run(&c, nr, &r);
	tell(&c, nr, &r);
	judge(&c, nr, &r);
	n = pread(r.out, t->v[t->n], sizeof(t->v[0]) - 1, 0);
	if (n > 1 && t->v[t->n][n - 1] == '\n') {
		t->v[t->n][n - 1] = '\0';
		t->n++;
	}
	*killed = r.killed;
	finish(&r);
}

/* Ack, mostly; a killed one is repeated now and then, as a script would. */
static void
an_answer(struct tokens *t, uint64_t nr, bool *killed)
{
	static const char *const answers[] = { "ack", "ack", "ack", "ack",
	    "ack", "fail", "release", "renew" };
	const char *answer = answers[rnd(8)];
	char *token = t->v[rnd((uint32_t)t->n)];
	struct result r;
	struct cmd c;

	verb(&c, answer, answer, "69 75");
	arg(&c, token);
	if (strcmp(answer, "ack") == 0)
		append(told, "try %llu %s\n", (unsigned long long)nr, token);
	run(&c, nr, &r);
	judge(&c, nr, &r);
	if (strcmp(answer, "ack") == 0 && succeeded(&r))
		append(told, "acked %llu %s\n", (unsigned long long)nr, token);
	*killed = r.killed;
	if (strcmp(answer, "renew") != 0 && (!r.killed || rnd(2) == 0) &&
	    token != t->v[--t->n])
		memcpy(token, t->v[t->n], sizeof(t->v[0]));
	finish(&r);
}

static void
cycle(uint64_t nr, struct tokens *t, bool *killed)
{
	char text[512] = "";
	struct result r;
	struct cmd c;
	uint32_t n = rnd(100);

	if (t->n > 0 && (t->n == TOKENS || n < 25)) {
		an_answer(t, nr, killed);
		return;
	}
	if (n < 40) {
		a_claim(t, nr, killed);
		return;
	}
	if (n < 62)
		an_add(&c);
	else if (n < 70)
		a_batch(&c, text, sizeof(text));
	else if (n < 82)
		a_worker(&c);
	else if (n < 86)
		a_run(&c);
	else if (n < 94)
		an_operation(&c);
	else
		something(&c);
	if (strcmp(c.word, "cancel") == 0 || strcmp(c.word, "forget") == 0)
		append(told, "ended %llu %s\n", (unsigned long long)nr,
		    c.keys[0]);
	run(&c, nr, &r);
	tell(&c, nr, &r);
	judge(&c, nr, &r);
	if (strcmp(c.word, "run") == 0 && succeeded(&r))
		append(told, "ran %llu %s\n", (unsigned long long)nr,
		    c.keys[0]);
	*killed = r.killed;
	finish(&r);
}

static int
slot(uint64_t first, uint64_t n, uint32_t step)
{
	struct tokens t = { .n = 0 };
	unsigned long long kills = 0;

	for (uint64_t i = 0; i < n; i++) {
		bool killed;

		cycle(first + i * step, &t, &killed);
		kills += killed;
	}
	append(told, "slot %llu %llu\n", (unsigned long long)n, kills);
	return 0;
}

/* What killed workers leave is ours to wait for. */
static int
reap(uint32_t slots)
{
	time_t end = 0;
	int status, bad = 0;
	pid_t pid;

	for (;;) {
		pid = waitpid(-1, &status, end == 0 ? 0 : WNOHANG);
		if (pid == -1 && errno == ECHILD)
			return bad;
		if (end == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 42)
			slots--;
		else if (end == 0 && WIFEXITED(status) &&
		    WEXITSTATUS(status) == 2)
			bad = 2;
		if (slots == 0 || bad != 0)
			end = end == 0 ? time(NULL) : end;
		if (pid == 0)
			usleep(5000);
		if (end != 0 && time(NULL) > end + STUCK) {
			append(told, "stuck 0 a command of a killed worker\n");
			return bad;
		}
	}
}

int
main(int argc, char **argv)
{
	uint64_t base = (uint64_t)time(NULL) * 1000000;
	uint32_t cycles, slots;

	if (argc == 2 && strcmp(argv[1], "--job") == 0)
		return job();
	if (argc != 6)
		errx(64, "usage: stormer DIR IDQ COMMANDS SLOTS SEED");
	idq = argv[2];
	cycles = (uint32_t)strtoul(argv[3], NULL, 10);
	slots = (uint32_t)strtoul(argv[4], NULL, 10);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) == -1)
		err(2, "/proc/self/exe");
	if (chdir(argv[1]) == -1)
		err(2, "%s", argv[1]);
	told = open_log("told");
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == -1)
		err(2, "prctl");
	for (uint32_t i = 0; i < slots; i++) {
		pid_t pid = fork();

		if (pid == -1)
			err(2, "fork");
		if (pid == 0) {
			seed = (strtoull(argv[5], NULL, 10) * 1000 + i + 1) *
			    0x9e3779b97f4a7c15u | 1;
			rnd(1);
			_exit(slot(base + i, cycles / slots, slots) == 0 ? 42 :
			    2);
		}
	}
	return reap(slots);
}
