/* SPDX-License-Identifier: ISC */
/*
 * Linked into the build of `make coverage' alone, with --wrap=_exit: what a
 * child has counted would be lost in its _exit(2).
 */
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
