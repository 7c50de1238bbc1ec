/* SPDX-License-Identifier: ISC */
#include "check.h"
int
main(void)
{
	return check_done();
}
