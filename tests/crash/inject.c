/* SPDX-License-Identifier: ISC */
/*
 * Preloaded into idq by the rigs `errors' and `pairs': count its calls of libc
 * that a system may refuse, and let one of them go wrong.  Calls that stdio
 * makes within libc are not seen, but for fflush(3) of standard output.
 *
 *	INJECT_AT=K		the call; they are counted from 1
 *	INJECT_FAULT=F		what happens there:
 *	  fail:ERRNO		it is not made, and fails
 *	  done:ERRNO		it is made, and fails
 *	  short			half of the bytes are written
 *	  full			half, and the next write fails with ENOSPC
 *	  stop			the process is stopped before it
 *	INJECT_LOG=FILE		each call, as it ended, is appended there
 *
 * A line of the log has nine fields, separated by tabs: pid, K, name, what was
 * done there or `-', result, errno or 0, the file's identity or `-', `creat'
 * or `-', path.  A file is told from a later one of the same inode by its time
 * of birth.
 *
 * Only the process that was started counts, and what it executes knows nothing
 * of all this.  The log is written by system calls of its own.
 */
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_MAX_2	(2 * PATH_MAX + 8)

enum fault { NONE, FAIL, DONE, SHORT, FULL, STOP };
static const char *const words[] = { "-", "fail", "done", "short", "full",
    "stop" };

static pid_t owner;
static long at, count;
static enum fault wanted;
static int wanted_errno;
static bool is_full;			/* the next write fails */
static char log_path[PATH_MAX];

/* A call under way. */
struct call {
	const char	*name;
	enum fault	 fault;
	bool		 counts;
	bool		 creat;
	int		 fd;		/* -1: see path */
	int		 dir;		/* that path is relative to */
	const char	*from;		/* or NULL */
	const char	*path;
};

#define CALL(NAME)	{ .name = (NAME), .fd = -1, .dir = AT_FDCWD }

static void
parse_fault(const char *s)
{
	size_t len = strcspn(s, ":");

	for (int i = FAIL; i <= STOP; i++)
		if (strlen(words[i]) == len && strncmp(words[i], s, len) == 0)
			wanted = (enum fault)i;
	if (s[len] == ':')
		wanted_errno = atoi(s + len + 1);
}

__attribute__((constructor)) static void
set_up(void)
{
	const char *s;

	owner = getpid();
	if ((s = getenv("INJECT_AT")) != NULL)
		at = atol(s);
	if ((s = getenv("INJECT_FAULT")) != NULL)
		parse_fault(s);
	if ((s = getenv("INJECT_LOG")) != NULL)
		snprintf(log_path, sizeof(log_path), "%s", s);
	unsetenv("INJECT_AT");
	unsetenv("INJECT_FAULT");
	unsetenv("INJECT_LOG");
	/* We come first. */
	s = getenv("LD_PRELOAD");
	if (s != NULL && (s = strchr(s, ' ')) != NULL)
		setenv("LD_PRELOAD", s + 1, 1);
	else
		unsetenv("LD_PRELOAD");
}

static void *
next(const char *name)
{
	void *f = dlsym(RTLD_NEXT, name);

	if (f == NULL)
		abort();
	return f;
}

/* The real function, found once. */
#define REAL(NAME)							\
	static __typeof__(&(NAME)) real;				\
	if (real == NULL)						\
		*(void **)&real = next(#NAME)

/* Whether the call is not to be made. */
static bool
enter(struct call *c)
{
	c->counts = getpid() == owner;
	if (!c->counts)
		return false;
	if (++count != at)
		return false;
	c->fault = wanted;
	if (wanted == STOP)
		syscall(SYS_kill, owner, SIGSTOP);
	return wanted == FAIL;
}

static void
identify(const struct call *c, char *buf, size_t len)
{
	struct statx st;
	long r;

	if (c->fd != -1)
		r = syscall(SYS_statx, c->fd, "", AT_EMPTY_PATH,
		    STATX_INO | STATX_BTIME, &st);
	else if (c->path != NULL)
		r = syscall(SYS_statx, c->dir, c->path, AT_SYMLINK_NOFOLLOW,
		    STATX_INO | STATX_BTIME, &st);
	else
		r = -1;
	if (r == -1)
		snprintf(buf, len, "-");
	else
		snprintf(buf, len, "%llu.%lld.%u",
		    (unsigned long long)st.stx_ino,
		    (long long)st.stx_btime.tv_sec,
		    (unsigned int)st.stx_btime.tv_nsec);
}

static void
path_of(const struct call *c, char *buf, size_t len)
{
	char link[64];
	long n;

	if (c->path != NULL) {
		snprintf(buf, len, "%s%s%s", c->from != NULL ? c->from : "",
		    c->from != NULL ? " " : "", c->path);
		return;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", c->fd);
	n = c->fd == -1 ? -1 : syscall(SYS_readlinkat, AT_FDCWD, link, buf,
	    len - 1);
	buf[n > 0 ? n : 0] = '\0';
}

/* ID was taken before the call, if that closes or removes the file. */
static void
write_log(const struct call *c, long result, int err, const char *id)
{
	char line[PATH_MAX_2 + 256], path[PATH_MAX_2], now[64];
	long fd;
	int n;

	if (*log_path == '\0' || !c->counts)
		return;
	if (id == NULL) {
		identify(c, now, sizeof(now));
		id = now;
	}
	path_of(c, path, sizeof(path));
	n = snprintf(line, sizeof(line), "%d\t%ld\t%s\t%s\t%ld\t%d\t%s\t%s\t"
	    "%s\n", (int)owner, count, c->name, words[c->fault], result,
	    result == -1 ? err : 0, id, c->creat ? "creat" : "-", path);
	fd = syscall(SYS_openat, AT_FDCWD, log_path, O_WRONLY | O_APPEND |
	    O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1)
		return;
	syscall(SYS_write, (int)fd, line, (size_t)n);
	syscall(SYS_close, (int)fd);
}

static long
leave_as(struct call *c, long result, const char *id)
{
	int err = errno;

	if (c->fault == FAIL || (c->fault == DONE && result != -1)) {
		result = -1;
		err = wanted_errno;
	}
	write_log(c, result, err, id);
	errno = err;
	return result;
}

static long
leave(struct call *c, long result)
{
	return leave_as(c, result, NULL);
}

/* The wrappers have names of their own for what they are given. */
/* NOLINTBEGIN(readability-inconsistent-*,bugprone-macro-*) */

/* Calls with a descriptor and no bytes. */
#define ON_FD(NAME, ARGS, PASS)						\
	int								\
	NAME ARGS							\
	{								\
		struct call c = CALL(#NAME);				\
		REAL(NAME);						\
									\
		c.fd = fd;						\
		return (int)leave(&c, enter(&c) ? -1 : real PASS);	\
	}

/* Calls with one path. */
#define ON_PATH(NAME, DIR, ARGS, PASS)					\
	int								\
	NAME ARGS							\
	{								\
		struct call c = CALL(#NAME);				\
		REAL(NAME);						\
									\
		c.dir = DIR;						\
		c.path = path;						\
		return (int)leave(&c, enter(&c) ? -1 : real PASS);	\
	}

/* Calls that have neither. */
#define ON_NOTHING(TYPE, NAME, ARGS, PASS)				\
	TYPE								\
	NAME ARGS							\
	{								\
		struct call c = CALL(#NAME);				\
		REAL(NAME);						\
									\
		return (TYPE)leave(&c, enter(&c) ? -1 : (long)real PASS);\
	}

ON_FD(fsync, (int fd), (fd))
ON_FD(fdatasync, (int fd), (fd))
ON_FD(ftruncate, (int fd, off_t len), (fd, len))
ON_FD(flock, (int fd, int how), (fd, how))
ON_FD(fstat, (int fd, struct stat *st), (fd, st))
ON_FD(sync_file_range, (int fd, off64_t from, off64_t n, unsigned int how),
    (fd, from, n, how))
ON_FD(fchmod, (int fd, mode_t mode), (fd, mode))

ON_PATH(fstatat, dir, (int dir, const char *restrict path,
    struct stat *restrict st, int flags), (dir, path, st, flags))
ON_PATH(stat, AT_FDCWD, (const char *restrict path, struct stat *restrict st),
    (path, st))
ON_PATH(faccessat, dir, (int dir, const char *path, int mode, int flags),
    (dir, path, mode, flags))
ON_PATH(mkdirat, dir, (int dir, const char *path, mode_t mode),
    (dir, path, mode))
ON_PATH(mkdir, AT_FDCWD, (const char *path, mode_t mode), (path, mode))

ON_NOTHING(int, pipe2, (int fds[2], int flags), (fds, flags))
ON_NOTHING(int, socketpair, (int d, int t, int p, int fds[2]), (d, t, p, fds))
ON_NOTHING(int, memfd_create, (const char *name, unsigned int flags),
    (name, flags))
ON_NOTHING(int, inotify_init1, (int flags), (flags))
ON_NOTHING(int, signalfd, (int fd, const sigset_t *mask, int flags),
    (fd, mask, flags))
ON_NOTHING(int, inotify_add_watch, (int fd, const char *path, uint32_t mask),
    (fd, path, mask))
ON_NOTHING(ssize_t, getrandom, (void *buf, size_t len, unsigned int flags),
    (buf, len, flags))
ON_NOTHING(pid_t, fork, (void), ())
ON_NOTHING(pid_t, waitpid, (pid_t pid, int *status, int flags),
    (pid, status, flags))

int
poll(struct pollfd *fds, nfds_t n, int ms)
{
	struct call c = CALL("poll");
	REAL(poll);

	return (int)leave(&c, enter(&c) ? -1 : real(fds, n, ms));
}

off_t
lseek(int fd, off_t to, int whence)
{
	struct call c = CALL("lseek");
	REAL(lseek);

	c.fd = fd;
	return (off_t)leave(&c, enter(&c) ? -1 : (long)real(fd, to, whence));
}

int
fcntl(int fd, int cmd, ...)
{
	struct call c = CALL("fcntl");
	va_list ap;
	void *arg;
	REAL(fcntl);

	va_start(ap, cmd);
	arg = va_arg(ap, void *);
	va_end(ap);
	c.fd = fd;
	return (int)leave(&c, enter(&c) ? -1 : real(fd, cmd, arg));
}

/*
 * Opening and closing.
 */

static int
do_open(const char *name, int dir, const char *path, int flags, mode_t mode)
{
	struct call c = CALL(name);
	int fd;
	REAL(openat);

	c.dir = dir;
	c.path = path;
	c.creat = (flags & O_CREAT) != 0;
	fd = enter(&c) ? -1 : real(dir, path, flags, mode);
	if (c.fault == DONE && fd != -1)
		syscall(SYS_close, fd);
	return (int)leave(&c, fd);
}

static mode_t
mode_of(int flags, va_list ap)
{
	return flags & O_CREAT ? va_arg(ap, mode_t) : 0;
}

int
openat(int dir, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return do_open("openat", dir, path, flags, mode);
}

int
open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = mode_of(flags, ap);
	va_end(ap);
	return do_open("openat", AT_FDCWD, path, flags, mode);
}

/* What _FORTIFY_SOURCE makes of them. */
int	__openat_2(int, const char *, int);
int	__open_2(const char *, int);
ssize_t	__read_chk(int, void *, size_t, size_t);

int
__openat_2(int dir, const char *path, int flags)
{
	return do_open("openat", dir, path, flags, 0);
}

int
__open_2(const char *path, int flags)
{
	return do_open("openat", AT_FDCWD, path, flags, 0);
}

int
close(int fd)
{
	struct call c = CALL("close");
	char id[64];
	int r;
	REAL(close);

	c.fd = fd;
	identify(&c, id, sizeof(id));
	/* Linux closes it whatever it says. */
	enter(&c);
	r = real(fd);
	c.fd = -1;
	return (int)leave_as(&c, r, id);
}

DIR *
fdopendir(int fd)
{
	struct call c = CALL("fdopendir");
	DIR *d;
	REAL(fdopendir);

	c.fd = fd;
	d = enter(&c) ? NULL : real(fd);
	return leave(&c, d == NULL ? -1 : 0) == -1 ? NULL : d;
}

struct dirent *
readdir(DIR *d)
{
	struct call c = CALL("readdir");
	struct dirent *e;
	bool none;
	int err;
	REAL(readdir);

	c.fd = dirfd(d);
	e = enter(&c) ? NULL : real(d);
	err = errno;
	/* The end is no failure. */
	none = e == NULL && c.fault != FAIL;
	if (leave(&c, e == NULL && !none ? -1 : 0) == -1)
		return NULL;
	errno = err;
	return e;
}

/*
 * Names.
 */

int
linkat(int a, const char *from, int b, const char *to, int flags)
{
	struct call c = CALL("linkat");
	REAL(linkat);

	c.dir = b;
	c.from = from;
	c.path = to;
	return (int)leave(&c, enter(&c) ? -1 : real(a, from, b, to, flags));
}

int
renameat(int a, const char *from, int b, const char *to)
{
	struct call c = CALL("renameat");
	REAL(renameat);

	c.dir = b;
	c.from = from;
	c.path = to;
	return (int)leave(&c, enter(&c) ? -1 : real(a, from, b, to));
}

int
unlinkat(int dir, const char *path, int flags)
{
	struct call c = CALL("unlinkat");
	char id[64];
	REAL(unlinkat);

	c.dir = dir;
	c.path = path;
	identify(&c, id, sizeof(id));
	return (int)leave_as(&c, enter(&c) ? -1 : real(dir, path, flags), id);
}

/*
 * Bytes.
 */

static ssize_t
do_write(struct call *c, ssize_t (*real)(int, const void *, size_t),
    int fd, const void *buf, size_t len)
{
	bool stays = enter(c);

	c->fd = fd;
	if (is_full && c->counts) {
		is_full = false;
		errno = ENOSPC;
		return leave(c, -1);
	}
	if ((c->fault == SHORT || c->fault == FULL) && len > 1)
		len /= 2;
	is_full = c->fault == FULL;
	return leave(c, stays ? -1 : real(fd, buf, len));
}

ssize_t
write(int fd, const void *buf, size_t len)
{
	struct call c = CALL("write");
	REAL(write);

	return do_write(&c, real, fd, buf, len);
}

ssize_t
pwrite(int fd, const void *buf, size_t len, off_t off)
{
	struct call c = CALL("pwrite");
	bool stays = enter(&c);
	REAL(pwrite);

	c.fd = fd;
	if ((c.fault == SHORT || c.fault == FULL) && len > 1)
		len /= 2;
	return leave(&c, stays ? -1 : real(fd, buf, len, off));
}

ssize_t
read(int fd, void *buf, size_t len)
{
	struct call c = CALL("read");
	REAL(read);

	c.fd = fd;
	return leave(&c, enter(&c) ? -1 : real(fd, buf, len));
}

ssize_t
__read_chk(int fd, void *buf, size_t len, size_t room)
{
	if (len > room)
		abort();
	return read(fd, buf, len);
}

ssize_t
pread(int fd, void *buf, size_t len, off_t off)
{
	struct call c = CALL("pread");
	REAL(pread);

	c.fd = fd;
	return leave(&c, enter(&c) ? -1 : real(fd, buf, len, off));
}

/* What is printed does not go through write() above. */
int
fflush(FILE *f)
{
	struct call c = CALL("fflush");
	REAL(fflush);

	/* With nothing to write it cannot fail. */
	if (f != stdout || __fpending(f) == 0)
		return real(f);
	c.fd = STDOUT_FILENO;
	if (enter(&c)) {
		__fpurge(f);
		return (int)leave(&c, -1);
	}
	return (int)leave(&c, real(f));
}

/* Returns the error itself. */
int
posix_spawnp(pid_t *pid, const char *file,
    const posix_spawn_file_actions_t *fa, const posix_spawnattr_t *attr,
    char *const argv[], char *const env[])
{
	struct call c = CALL("posix_spawnp");
	int r;
	REAL(posix_spawnp);

	r = enter(&c) ? wanted_errno : real(pid, file, fa, attr, argv, env);
	leave(&c, r == 0 ? 0 : -1);
	return r;
}
/* NOLINTEND(readability-inconsistent-*,bugprone-macro-*) */
