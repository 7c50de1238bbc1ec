/* SPDX-License-Identifier: ISC */
/*
 * Linked into the build of `make coverage' alone, with --wrap=_exit: what a
 * child has counted would be lost in its _exit(2), and what `idq log -f' has,
 * when it is told to end.
 */
#include <signal.h>
#include <unistd.h>

void	 __gcov_dump(void);
_Noreturn void __real__exit(int);
_Noreturn void __wrap__exit(int);

_Noreturn void
__wrap__exit(int status)
{
	__gcov_dump();
	__real__exit(status);
}

/* That it is not async-signal-safe costs at worst a count. */
/* NOLINTBEGIN(bugprone-signal-handler,cert-sig30-c) */
static void
end(int sig)
{
	__gcov_dump();
	signal(sig, SIG_DFL);
	raise(sig);
}
/* NOLINTEND(bugprone-signal-handler,cert-sig30-c) */

__attribute__((__constructor__)) static void
begin(void)
{
	if (signal(SIGTERM, SIG_IGN) == SIG_DFL)
		signal(SIGTERM, end);
}
