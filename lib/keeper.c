/* SPDX-License-Identifier: ISC */
/*
 * The keeper: a process of its own between a command and the file with its
 * output.  The worker in its place could be killed, which would kill the
 * command by SIGPIPE; a command that writes to the file itself could fill the
 * disk, and would fail when that is full.  It ends when nobody is left who
 * could print.
 *
 * Who calls the library may have threads, and so the keeper calls only what is
 * safe after a fork.
 */
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "idq_impl.h"

#define OUT_MAX		(1024 * 1024)	/* of the file */
#define HEAD		(256 * 1024)	/* that is kept of the beginning */
#define TAIL		(384 * 1024)	/* and, at least, of the end */
#define MARK	"\n[idq: 00000000000000000000 bytes are left out here]\n"
#define MARK_LEN	(sizeof(MARK) - 1)
#define MARK_DIGITS	20
#define MARK_NUMBER	7		/* where they begin */
#define PATIENCE	(5 * IDQ_SECOND)	/* for an answer */

/* Its descriptors. */
enum { FROM_OUT, FROM_ERR, TO_FILE, ASKED, NFDS };

struct keeping {
	struct pollfd	fds[NFDS];
	int64_t		end;		/* of the file */
	uint64_t	left_out;
	size_t		len;		/* of the line being read */
	char		line[SAID_RAW];
	struct said	said;
};

static bool
is_open(const struct keeping *k)
{
	return k->fds[FROM_OUT].fd != -1 || k->fds[FROM_ERR].fd != -1;
}

static ssize_t
read_some(int fd, char *buf, size_t len)
{
	ssize_t n;

	do
		n = read(fd, buf, len);
	while (n == -1 && errno == EINTR);
	return n;
}

static int
put(const char *buf, size_t len, int64_t at)
{
	while (len > 0) {
		ssize_t n = pwrite(TO_FILE, buf, len, at);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		buf += n;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

static int
put_mark(uint64_t n)
{
	char mark[] = MARK;

	for (int i = MARK_DIGITS; i-- > 0; n /= 10)
		mark[MARK_NUMBER + i] = (char)('0' + n % 10);
	return put(mark, MARK_LEN, HEAD);
}

/* The file is full: leave out of its middle all but the last TAIL bytes. */
static int
make_room(struct keeping *k)
{
	int64_t from = OUT_MAX - TAIL, to = HEAD + MARK_LEN;
	uint64_t left_out = k->left_out + (uint64_t)(from - to);
	char buf[16384];
	ssize_t n;

	/* The first time there is no mark yet, but output in its place. */
	if (k->left_out == 0)
		left_out += MARK_LEN;
	while (from < OUT_MAX) {
		n = pread(TO_FILE, buf, sizeof(buf), from);
		if (n <= 0 || put(buf, (size_t)n, to) == -1)
			return -1;
		from += n;
		to += n;
	}
	if (put_mark(left_out) == -1 || ftruncate(TO_FILE, to) == -1)
		return -1;
	k->left_out = left_out;
	k->end = to;
	return 0;
}

static int
keep(struct keeping *k, const char *buf, size_t len)
{
	while (len > 0) {
		size_t n = (size_t)(OUT_MAX - k->end);

		if (n == 0) {
			if (make_room(k) == -1)
				return -1;
			continue;
		}
		if (n > len)
			n = len;
		if (put(buf, n, k->end) == -1)
			return -1;
		k->end += (int64_t)n;
		buf += n;
		len -= n;
	}
	return 0;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The line being read is over; a blank one says nothing. */
static void
end_line(struct keeping *k)
{
	while (k->len > 0 && is_blank(k->line[k->len - 1]))
		k->len--;
	if (k->len > 0) {
		memcpy(k->said.text, k->line, k->len);
		k->said.len = k->len;
	}
	k->len = 0;
}

static void
listen_to(struct keeping *k, const char *buf, size_t len)
{
	for (; len > 0; buf++, len--) {
		if (*buf == '\n' || *buf == '\r')
			end_line(k);
		else if ((k->len > 0 || !is_blank(*buf)) &&
		    k->len < sizeof(k->line))
			k->line[k->len++] = *buf;
	}
}

/* Up to LEN bytes of a pipe; what was read, less than 1 at its end. */
static ssize_t
take(struct keeping *k, int from, size_t len)
{
	char buf[65536];
	ssize_t n = read_some(from, buf, len < sizeof(buf) ? len :
	    sizeof(buf));

	if (n <= 0) {
		k->fds[from].fd = -1;
		close(from);
		return n;
	}
	if (from == FROM_ERR)
		listen_to(k, buf, (size_t)n);
	/* What cannot be kept is still read: the command must go on. */
	if (k->said.err == 0 && keep(k, buf, (size_t)n) == -1)
		k->said.err = errno;
	return n;
}

/* What is there by now, and no more: a daemon may go on printing. */
static void
take_all(struct keeping *k, int from)
{
	struct pollfd *fd = &k->fds[from];
	ssize_t n;
	int left;

	if (fd->fd == -1 || ioctl(from, FIONREAD, &left) == -1)
		return;
	for (; left > 0 && (n = take(k, from, (size_t)left)) > 0;
	    left -= (int)n)
		continue;
	/* Unless that was the last writer. */
	while (fd->fd != -1 && poll(fd, 1, 0) == 1 &&
	    (fd->revents & POLLHUP))
		take(k, from, SIZE_MAX);
}

/*
 * The worker, whose child we are, waits for us as soon as it has its answer.
 * Where somebody can still print, it is our own child that goes on.
 */
static void
answer(struct keeping *k)
{
	pid_t pid = -1;

	take_all(k, FROM_OUT);
	take_all(k, FROM_ERR);
	end_line(k);
	if (is_open(k) && (pid = fork()) == -1)
		k->said.stays = true;
	if (pid != 0)
		send(ASKED, &k->said, sizeof(k->said), MSG_NOSIGNAL |
		    MSG_DONTWAIT);
	if (pid > 0)
		_exit(0);
	k->fds[ASKED].fd = -1;
	close(ASKED);
}

static void
work(void)
{
	struct keeping k;

	memset(&k, 0, sizeof(k));
	for (int i = 0; i < NFDS; i++)
		k.fds[i] = (struct pollfd){ .fd = i, .events = POLLIN };
	k.fds[TO_FILE].fd = -1;
	while (is_open(&k)) {
		if (poll(k.fds, NFDS, -1) == -1)
			continue;
		for (int i = FROM_OUT; i <= FROM_ERR; i++)
			if (k.fds[i].fd != -1 && k.fds[i].revents != 0)
				take(&k, i, SIZE_MAX);
		if (k.fds[ASKED].fd != -1 && k.fds[ASKED].revents != 0)
			answer(&k);
	}
	if (k.fds[ASKED].fd != -1)
		answer(&k);
}

/*
 * Nothing of the worker's may stay open here: not the lock of the job, nor
 * what cron waits for.  No signal is for us, and those for the worker's group
 * do not come at all.
 */
static _Noreturn void
become(const int from[NFDS])
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	setpgid(0, 0);
	prctl(PR_SET_NAME, "idq-output");
	for (int i = 0; i < NFDS; i++)
		dup2(from[i], i);
	closefrom(NFDS);
	work();
	_exit(0);
}

int
idq_keeper_start(int file, int ends[2], struct keeper *k)
{
	/* Both ends of each, ours second. */
	int out[2] = { -1, -1 }, err[2] = { -1, -1 }, ask[2] = { -1, -1 };
	int e;

	k->pid = -1;
	if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0 &&
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ask) == 0 &&
	    (k->pid = fork()) == 0)
		become((int[NFDS]){ out[0], err[0], file, ask[0] });
	e = errno;
	close(out[0]);
	close(err[0]);
	close(ask[0]);
	if (k->pid != -1) {
		/* It does that too; whoever is first. */
		setpgid(k->pid, k->pid);
		ends[0] = out[1];
		ends[1] = err[1];
		k->fd = ask[1];
		return 0;
	}
	close(out[1]);
	close(err[1]);
	close(ask[1]);
	errno = e;
	return -1;
}

void
idq_keeper_end(struct keeper *k)
{
	close(k->fd);
	k->fd = -1;
	while (waitpid(k->pid, NULL, 0) == -1 && errno == EINTR)
		continue;
}

static ssize_t
receive(int fd, struct said *said)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int64_t end = idq_ticks() + PATIENCE, left;

	do {
		left = (end - idq_ticks()) / 1000;
		errno = ETIMEDOUT;
	} while (left > 0 && poll(&p, 1, (int)left) == -1 && errno == EINTR);
	return p.revents != 0 ? recv(fd, said, sizeof(*said), MSG_DONTWAIT) :
	    -1;
}

int
idq_keeper_ask(struct keeper *k, struct said *said)
{
	ssize_t n;
	int err;

	said->stays = false;
	/* A message could reach it too late, and take its answer away. */
	shutdown(k->fd, SHUT_WR);
	n = receive(k->fd, said);
	err = n == sizeof(*said) ? said->err : n == 0 ? EPIPE : errno;
	if (err == ETIMEDOUT || said->stays) {
		close(k->fd);
		k->fd = -1;
	} else
		idq_keeper_end(k);
	errno = err;
	return n == sizeof(*said) ? 0 : -1;
}
