#!/usr/bin/env bats
# SPDX-License-Identifier: ISC

load helpers/common

# Each of these may be a command with options.
# shellcheck disable=SC2086
compile() {
	run -0 ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror \
	    -fsyntax-only -I"$top/lib" "$1"
}

# shellcheck disable=SC2086
compile_cxx() {
	run -0 ${CXX:-c++} -std=c++11 -Wall -Wextra -Wpedantic -Werror \
	    -fsyntax-only -I"$top/lib" "$1"
}

@test "headers: idq.h compiles alone as C11" {
	echo '#include "idq.h"' >alone.c
	compile alone.c
}

@test "headers: idq.h compiles alone as C++" {
	need "${CXX:-c++}"
	echo '#include "idq.h"' >alone.cc
	compile_cxx alone.cc
}

@test "headers: idq.h can be included twice, with a program's own names" {
	cat >twice.c <<-'EOC'
		#include "idq.h"
		#include "idq.h"
		int open_queue(void);
		int open_queue(void) { return IDQ_READ; }
	EOC
	compile twice.c
}

@test "headers: the public header names nothing of the private one" {
	grep -n idq_impl "$top/lib/idq.h" | nothing
}
