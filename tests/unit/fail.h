/* SPDX-License-Identifier: ISC */
/*
 * Calls of libc that fail when a test says so: this program's own openat() and
 * so on come before those of libc.  And time that flies: who waits for nothing
 * is told that it has passed.
 */
#ifndef FAIL_H
#define FAIL_H

/* To come first: the hardened ones are inline functions of the same names. */
#undef _FORTIFY_SOURCE

#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdarg.h>
#include <time.h>

#include "check.h"
#include "spool.h"

/* The call that fails, counted from 1; 0: none. */
static int fail_at, calls;
static const char *failed_in;
static bool quick;		/* the queue has been made */
static bool no_openat2;		/* the kernel has none */

/* One of the folders of keys/ and dups/ without a key of ours: all the time. */
static bool
is_unused(const char *path)
{
	static const char *const used[] = { "ca", "3e", "2e", "18", "3f",
	    "11", "2d", "a1", "1d" };

	if (strncmp(path, "keys/", 5) == 0 || strncmp(path, "dups/", 5) == 0)
		path += 5;
	if (strlen(path) != 2 || !idq_is_hex(path, 2))
		return false;
	for (size_t i = 0; i < NITEMS(used); i++)
		if (strcmp(path, used[i]) == 0)
			return false;
	return true;
}

/* What is wrong with that call; each second lock is somebody else's. */
static int
error_of(const char *name)
{
	static const int errors[] = { EIO, ENOSPC, EMFILE, EACCES, EINTR };

	if (strcmp(name, "memory") == 0)
		return ENOMEM;
	if (strcmp(name, "openat2") == 0)
		return ENOSYS;
	if (strcmp(name, "flock") == 0 && calls % 2 == 0)
		return EWOULDBLOCK;
	return errors[(size_t)calls % NITEMS(errors)];
}

/* Not static: for some compilers read(2) and pread(2) are inline. */
bool	 fails(const char *);

bool
fails(const char *name)
{
	if (fail_at == 0 || ++calls != fail_at)
		return false;
	failed_in = name;
	errno = error_of(name);
	return true;
}

/* Names of libc, with parameters of our own. */
/* NOLINTBEGIN */

/* TYPE NAME(PARAMETERS), which hands ARGS on unless it fails with BAD. */
/* It takes types for products. */
/* clang-format off */
#define CALL(type, name, bad, parameters, args)				\
	type	 name parameters;					\
	type								\
	name parameters							\
	{								\
		static type (*real) parameters;				\
									\
		if (real == NULL)					\
			*(void **)&real = dlsym(RTLD_NEXT, #name);	\
		return fails(#name) ? (bad) : real args;		\
	}

CALL(int, linkat, -1, (int a, const char *b, int c, const char *d, int e),
    (a, b, c, d, e))
CALL(int, renameat, -1, (int a, const char *b, int c, const char *d),
    (a, b, c, d))
CALL(int, unlinkat, -1, (int a, const char *b, int c), (a, b, c))
CALL(int, mkdir, -1, (const char *a, mode_t b), (a, b))
CALL(int, fchown, -1, (int a, uid_t b, gid_t c), (a, b, c))
CALL(int, fchmod, -1, (int a, mode_t b), (a, b))
CALL(int, fsync, -1, (int a), (a))
CALL(int, ftruncate, -1, (int a, off_t b), (a, b))
CALL(int, fstat, -1, (int a, struct stat *b), (a, b))
CALL(int, flock, -1, (int a, int b), (a, b))
CALL(off_t, lseek, -1, (int a, off_t b, int c), (a, b, c))
CALL(ssize_t, pread, -1, (int a, void *b, size_t c, off_t d), (a, b, c, d))
CALL(ssize_t, read, -1, (int a, void *b, size_t c), (a, b, c))
CALL(ssize_t, write, -1, (int a, const void *b, size_t c), (a, b, c))
CALL(ssize_t, pwrite, -1, (int a, const void *b, size_t c, off_t d),
    (a, b, c, d))
CALL(ssize_t, getrandom, -1, (void *a, size_t b, unsigned int c), (a, b, c))
CALL(DIR *, fdopendir, NULL, (int a), (a))
CALL(struct dirent *, readdir, NULL, (DIR *a), (a))
CALL(int, faccessat, -1, (int a, const char *b, int c, int d), (a, b, c, d))
CALL(FILE *, open_memstream, NULL, (char **a, size_t *b), (a, b))
CALL(int, signalfd, -1, (int a, const sigset_t *b, int c), (a, b, c))
CALL(int, inotify_init1, -1, (int a), (a))
CALL(int, inotify_add_watch, -1, (int a, const char *b, uint32_t c),
    (a, b, c))
CALL(int, memfd_create, -1, (const char *a, unsigned int b), (a, b))
CALL(int, pipe2, -1, (int a[2], int b), (a, b))
CALL(int, socketpair, -1, (int a, int b, int c, int d[2]), (a, b, c, d))
CALL(int, posix_spawnp, errno, (pid_t *a, const char *b,
    const posix_spawn_file_actions_t *c, const posix_spawnattr_t *d,
    char *const *e, char *const *f), (a, b, c, d, e, f))
/* clang-format on */

int
mkdirat(int dir, const char *path, mode_t mode)
{
	static int (*real)(int, const char *, mode_t);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "mkdirat");
	if (quick && is_unused(path)) {
		errno = EEXIST;
		return -1;
	}
	return fails("mkdirat") ? -1 : real(dir, path, mode);
}

int
fstatat(int dir, const char *path, struct stat *st, int flags)
{
	static int (*real)(int, const char *, struct stat *, int);

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "fstatat");
	if (quick && is_unused(path)) {
		errno = ENOENT;
		return -1;
	}
	return fails("fstatat") ? -1 : real(dir, path, st, flags);
}

int	 openat(int, const char *, int, ...);

int
openat(int dir, const char *path, int flags, ...)
{
	static int (*real)(int, const char *, int, ...);
	va_list ap;
	mode_t mode = 0;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "openat");
	if (quick && is_unused(path)) {
		errno = ENOENT;
		return -1;
	}
	if (flags & O_CREAT) {
		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	return fails("openat") ? -1 : real(dir, path, flags, mode);
}

/* Of the library there is openat2(2). */
long	 syscall(long, ...);

long
syscall(long number, ...)
{
	static long (*real)(long, ...);
	long a[6];
	va_list ap;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "syscall");
	va_start(ap, number);
	for (size_t i = 0; i < NITEMS(a); i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_openat2 && no_openat2)
		errno = ENOSYS;
	if (number == SYS_openat2 && (no_openat2 || fails("openat2")))
		return -1;
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* A child is not the one whose calls are counted. */
pid_t
fork(void)
{
	static pid_t (*real)(void);
	pid_t pid;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "fork");
	if (fails("fork"))
		return -1;
	if ((pid = real()) == 0)
		fail_at = 0;
	return pid;
}

/*
 * Time: poll(2) waits for a hundredth of it.
 */

#define FASTER		100

static int64_t skipped;		/* of time, in nanoseconds */
static int end_when_idle;	/* a signal to be sent once nothing happens */
static void (*when_slept)(void);	/* called by nanosleep(2) */

int
clock_gettime(clockid_t id, struct timespec *ts)
{
	static int (*real)(clockid_t, struct timespec *);
	int64_t ns;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
	if (real(id, ts) == -1)
		return -1;
	ns = ts->tv_nsec + skipped;
	ts->tv_sec += ns / 1000000000;
	ts->tv_nsec = ns % 1000000000;
	return 0;
}

int
nanosleep(const struct timespec *ts, struct timespec *left)
{
	(void)left;
	skipped += (int64_t)ts->tv_sec * 1000000000 + ts->tv_nsec;
	if (when_slept != NULL)
		when_slept();
	return 0;
}

unsigned int
sleep(unsigned int s)
{
	skipped += (int64_t)s * 1000000000;
	return 0;
}

int
poll(struct pollfd *fds, nfds_t n, int ms)
{
	static int (*real)(struct pollfd *, nfds_t, int);
	int r;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "poll");
	if (fails("poll"))
		return -1;
	r = real(fds, n, ms > 0 ? ms / FASTER + 1 : ms);
	if (r == 0 && ms > 0) {
		skipped += (int64_t)ms * 1000000;
		if (end_when_idle != 0)
			kill(getpid(), end_when_idle);
	}
	return r;
}

/*
 * Memory: of the library alone, since a C library that has none may abort.
 * The sanitizers have their own.
 */
#ifndef __SANITIZE_ADDRESS__
extern char __executable_start[], etext[];
void	*__libc_malloc(size_t);
void	*__libc_calloc(size_t, size_t);
void	*__libc_realloc(void *, size_t);

static bool
fails_for(const char *caller)
{
	return caller >= __executable_start && caller < etext &&
	    fails("memory");
}

#define CALLER		((const char *)__builtin_return_address(0))

void *
malloc(size_t n)
{
	return fails_for(CALLER) ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	return fails_for(CALLER) ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	return fails_for(CALLER) ? NULL : __libc_realloc(p, n);
}

void *
reallocarray(void *p, size_t n, size_t size)
{
	size_t all;

	if (fails_for(CALLER) || __builtin_mul_overflow(n, size, &all))
		return NULL;
	return __libc_realloc(p, all);
}

static char *
copy_of(const char *s, size_t n)
{
	char *copy = __libc_malloc(n + 1);

	if (copy != NULL) {
		memcpy(copy, s, n);
		copy[n] = '\0';
	}
	return copy;
}

#undef strdup
char *
strdup(const char *s)
{
	return fails_for(CALLER) ? NULL : copy_of(s, strlen(s));
}

#undef strndup
char *
strndup(const char *s, size_t n)
{
	return fails_for(CALLER) ? NULL : copy_of(s, strnlen(s, n));
}

int
asprintf(char **s, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (fails_for(CALLER))
		return -1;
	va_start(ap, fmt);
	n = vasprintf(s, fmt, ap);
	va_end(ap);
	return n;
}

/* The same, hardened. */
int	 __asprintf_chk(char **, int, const char *, ...);

int
__asprintf_chk(char **s, int flag, const char *fmt, ...)
{
	va_list ap;
	int n;

	(void)flag;
	if (fails_for(CALLER))
		return -1;
	va_start(ap, fmt);
	n = vasprintf(s, fmt, ap);
	va_end(ap);
	return n;
}
#endif
/* NOLINTEND */

#endif /* FAIL_H */
