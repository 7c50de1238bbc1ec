/* SPDX-License-Identifier: ISC */
/*
 * Time whole processes, from posix_spawn(3) to wait4(2), in turn:
 *
 *	timer [-p] [-j COPIES] [-f FIRST] [-s PLACE] ROUNDS
 *	    --against COMMAND... [--and COMMAND...] [--against ...]
 *
 * Each round runs each competitor once, in an order that changes, and before
 * each the file system of PLACE is synced.  What follows --and runs next and is
 * counted to the same competitor.  In the words of a command {} is FIRST and
 * the number of the round, {out} the first line that the command before it
 * printed.  A first word <FILE is its standard input, a first word ? says that
 * it may fail.
 *
 * Printed is a line of JSON: ns has the times of each competitor, rss the most
 * memory that one of its processes had, in KiB.  With -j so many copies do all
 * rounds at once, with other numbers and no sync, and ns has the time until the
 * last ended.
 * With -p the commands of a competitor are printed as competitors.
 */
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COMPETITORS	16
#define STEPS		64
#define WORD		4096

struct step {
	char	**words;		/* NULL at the end */
	char	**argv;			/* the same, filled in */
	char	 *input;
	bool	  may_fail;
	bool	  heard;		/* the next one wants its output */
	int64_t	 *ns;
	long	  rss;
};

struct competitor {
	struct step	*steps;
	size_t		 nsteps;
};

struct race {
	struct competitor	 all[COMPETITORS];
	size_t			 order[COMPETITORS];	/* in this round */
	size_t			 n;
	long			 rounds;
	long			 first;
	bool			 parts;
	char			 out[WORD];
	int			 memfd;
	int			 null;
	int			 place;		/* to be synced, or -1 */
};

static int64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static bool
is_border(const char *word)
{
	return strcmp(word, "--against") == 0 || strcmp(word, "--and") == 0;
}

static bool
has(char *const *words, const char *what)
{
	for (; *words != NULL; words++)
		if (strstr(*words, what) != NULL)
			return true;
	return false;
}

/* The command at WORDS, and where it ends. */
static char **
parse_step(struct step *s, char **words, long rounds)
{
	size_t n = 0;

	if (*words != NULL && strcmp(*words, "?") == 0) {
		s->may_fail = true;
		words++;
	}
	if (*words != NULL && **words == '<')
		s->input = *words++ + 1;
	while (words[n] != NULL && !is_border(words[n]))
		n++;
	if (n == 0)
		errx(64, "a command has no words");
	s->words = calloc(n + 1, sizeof(char *));
	s->argv = calloc(n + 1, sizeof(char *));
	s->ns = calloc((size_t)rounds, sizeof(*s->ns));
	if (s->words == NULL || s->argv == NULL || s->ns == NULL)
		err(1, NULL);
	for (size_t i = 0; i < n; i++) {
		s->words[i] = words[i];
		if ((s->argv[i] = malloc(WORD)) == NULL)
			err(1, NULL);
	}
	return words + n;
}

static void
parse(struct race *r, char **words)
{
	struct competitor *c = NULL;

	while (*words != NULL) {
		if (strcmp(*words, "--against") == 0) {
			if (r->n == COMPETITORS)
				errx(64, "too many competitors");
			r->order[r->n] = r->n;
			c = &r->all[r->n++];
			c->steps = calloc(STEPS, sizeof(*c->steps));
			if (c->steps == NULL)
				err(1, NULL);
		} else if (c == NULL || c->nsteps == STEPS) {
			errx(64, "%s: not here", *words);
		}
		words = parse_step(&c->steps[c->nsteps++], words + 1,
		    r->rounds);
		if (c->nsteps > 1 && has(c->steps[c->nsteps - 1].words,
		    "{out}"))
			c->steps[c->nsteps - 2].heard = true;
	}
}

static void
fill_in(char *to, const char *from, long number, const char *out)
{
	size_t len = 0;

	while (*from != '\0' && len < WORD - 1) {
		if (strncmp(from, "{}", 2) == 0) {
			len += (size_t)snprintf(to + len, WORD - len, "%ld",
			    number);
			from += 2;
		} else if (strncmp(from, "{out}", 5) == 0) {
			len += (size_t)snprintf(to + len, WORD - len, "%s",
			    out);
			from += 5;
		} else {
			to[len++] = *from++;
		}
	}
	if (len >= WORD)
		errx(1, "%s: too long a word", from);
	to[len] = '\0';
}

/* Keep the first line of what was printed. */
static void
listen_to(struct race *r)
{
	ssize_t n = pread(r->memfd, r->out, sizeof(r->out) - 1, 0);

	if (n == -1 || ftruncate(r->memfd, 0) == -1 ||
	    lseek(r->memfd, 0, SEEK_SET) == -1)
		err(1, "memfd");
	r->out[n] = '\0';
	r->out[strcspn(r->out, "\n")] = '\0';
}

static void
run_step(struct race *r, struct step *s, long round)
{
	long number = r->first + round;
	posix_spawn_file_actions_t fa;
	struct rusage ru;
	int status, input = r->null;
	int64_t start, end;
	pid_t pid;

	for (size_t i = 0; s->words[i] != NULL; i++)
		fill_in(s->argv[i], s->words[i], number, r->out);
	if (s->input != NULL) {
		char name[WORD];

		fill_in(name, s->input, number, r->out);
		if ((input = open(name, O_RDONLY | O_CLOEXEC)) == -1)
			err(1, "%s", name);
	}
	posix_spawn_file_actions_init(&fa);
	posix_spawn_file_actions_adddup2(&fa, input, 0);
	posix_spawn_file_actions_adddup2(&fa, s->heard ? r->memfd : r->null,
	    1);
	start = now();
	if ((status = posix_spawnp(&pid, s->argv[0], &fa, NULL, s->argv,
	    environ)) != 0)
		errc(1, status, "%s", s->argv[0]);
	if (wait4(pid, &status, 0, &ru) == -1)
		err(1, "wait4");
	end = now();
	posix_spawn_file_actions_destroy(&fa);
	if (input != r->null)
		close(input);
	if (status != 0 && !s->may_fail)
		errx(1, "%s %s: status %#x in round %ld", s->argv[0],
		    s->argv[1] != NULL ? s->argv[1] : "", (unsigned int)status,
		    number);
	s->ns[round] = end - start;
	if (ru.ru_maxrss > s->rss)
		s->rss = ru.ru_maxrss;
	if (s->heard)
		listen_to(r);
}

static void
run_round(struct race *r, struct competitor *c, long round)
{
	for (size_t i = 0; i < c->nsteps; i++)
		run_step(r, &c->steps[i], round);
}

static void
print_times(const struct step *steps, size_t n, long rounds)
{
	printf("[");
	for (long k = 0; k < rounds; k++) {
		int64_t ns = 0;

		for (size_t i = 0; i < n; i++)
			ns += steps[i].ns[k];
		printf("%s%" PRId64, k > 0 ? ", " : "", ns);
	}
	printf("]");
}

static long
most_memory(const struct step *steps, size_t n)
{
	long most = 0;

	for (size_t i = 0; i < n; i++)
		if (steps[i].rss > most)
			most = steps[i].rss;
	return most;
}

/* Of each competitor, or of each of its commands. */
static void
print(const struct race *r, long rounds)
{
	const char *comma = "";

	printf("{\"ns\": [");
	for (size_t i = 0; i < r->n; i++) {
		const struct competitor *c = &r->all[i];
		size_t step = r->parts ? 1 : c->nsteps;

		for (size_t k = 0; k < c->nsteps; k += step) {
			printf("%s", comma);
			print_times(c->steps + k, step, rounds);
			comma = ", ";
		}
	}
	printf("], \"rss\": [");
	comma = "";
	for (size_t i = 0; i < r->n; i++) {
		const struct competitor *c = &r->all[i];
		size_t step = r->parts ? 1 : c->nsteps;

		for (size_t k = 0; k < c->nsteps; k += step) {
			printf("%s%ld", comma,
			    most_memory(c->steps + k, step));
			comma = ", ";
		}
	}
	printf("]}\n");
	if (fflush(stdout) != 0)
		err(1, "stdout");
}

/* Another order for the next round, the same in each run of this program. */
static void
shuffle(struct race *r)
{
	for (size_t i = r->n; i > 1; i--) {
		size_t k = (size_t)random() % i, last = r->order[i - 1];

		r->order[i - 1] = r->order[k];
		r->order[k] = last;
	}
}

/*
 * Each once in a round, so that what disturbs one disturbs all, and what it did
 * not sync is not left to the next one's sync.
 */
static void
take_turns(struct race *r)
{
	srandom((unsigned int)r->first + 1);
	for (long k = 0; k < r->rounds; k++) {
		shuffle(r);
		for (size_t i = 0; i < r->n; i++) {
			if (r->place != -1 && syncfs(r->place) == -1)
				err(1, "syncfs");
			run_round(r, &r->all[r->order[i]], k);
		}
	}
	print(r, r->rounds);
}

static void
copy(struct race *r, struct competitor *c, long number)
{
	if ((r->memfd = memfd_create("out", MFD_CLOEXEC)) == -1)
		err(1, "memfd");
	r->first += number * r->rounds;
	for (long k = 0; k < r->rounds; k++)
		run_round(r, c, k);
	_exit(0);
}

static void
crowd(struct race *r, long copies)
{
	for (size_t i = 0; i < r->n; i++) {
		struct competitor *c = &r->all[i];
		int64_t start = now();
		int status;

		for (long n = 0; n < copies; n++) {
			pid_t pid = fork();

			if (pid == -1)
				err(1, "fork");
			if (pid == 0)
				copy(r, c, n);
		}
		while (wait(&status) != -1)
			if (status != 0)
				errx(1, "a copy failed");
		c->steps[0].ns[0] = now() - start;
	}
	print(r, 1);
}

static long
number(const char *s)
{
	char *end;
	long n = strtol(s, &end, 10);

	if (*s == '\0' || *end != '\0' || n < 0)
		errx(64, "%s: is no number", s);
	return n;
}

int
main(int argc, char *argv[])
{
	static struct race r;
	const char *place = NULL;
	long copies = 0;
	int ch;

	while ((ch = getopt(argc, argv, "+f:j:ps:")) != -1)
		if (ch == 'f')
			r.first = number(optarg);
		else if (ch == 'j')
			copies = number(optarg);
		else if (ch == 's')
			place = optarg;
		else if (ch == 'p')
			r.parts = true;
		else
			return 64;
	if (optind + 2 > argc)
		errx(64, "usage: timer [-p] [-j COPIES] [-f FIRST] [-s PLACE] "
		    "ROUNDS --against COMMAND...");
	r.rounds = number(argv[optind]);
	parse(&r, argv + optind + 1);
	r.memfd = memfd_create("out", MFD_CLOEXEC);
	r.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	r.place = place == NULL ? -1 : open(place, O_RDONLY | O_CLOEXEC);
	if (r.memfd == -1 || r.null == -1 || (place != NULL && r.place == -1))
		err(1, "cannot start");
	if (copies > 0)
		crowd(&r, copies);
	else
		take_turns(&r);
	return 0;
}
