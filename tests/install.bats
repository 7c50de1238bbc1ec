#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The Makefile as a user has it: built from nothing in a folder of its own,
# unoptimised since that is quicker.  IDQ_MAKE is the make to try.

load helpers/common

in_top() {
	"${IDQ_MAKE:-make}" -C "$top" B="$BATS_FILE_TMPDIR/build" HARDEN= \
	    OPTIM=-O0 "$@"
}

# The tests of this file share one build.
setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	in_top all unit
}

# What is in $1, with modes, but for the folders.
installed() {
	(cd "$1" && find . ! -type d -printf '%m %p\n' | sort -k2)
}

@test "install: what is installed runs, and uninstall leaves nothing" {
	local to="$BATS_TEST_TMPDIR/a root" prefix='/opt/odd place'

	run -0 in_top install DESTDIR="$to" PREFIX="$prefix"
	run -0 --separate-stderr "$to$prefix/bin/idq" --version
	expect 0 "idq $(sed -nE \
	    's/^#define IDQ_VERSION[[:blank:]]+"(.*)"/\1/p' "$top/lib/idq.h")"
	run installed "$to$prefix"
	expect 0 '755 ./bin/idq
644 ./share/bash-completion/completions/idq
644 ./share/doc/idq/examples/calls.crontab
644 ./share/doc/idq/examples/idq-ask@.service
644 ./share/doc/idq/examples/idq-ask@.timer
644 ./share/doc/idq/examples/idq-drain@.service
644 ./share/doc/idq/examples/idq-drain@.timer
755 ./share/doc/idq/examples/idq-to-http
755 ./share/doc/idq/examples/idq-to-nats
755 ./share/doc/idq/examples/idq-to-postgres
755 ./share/doc/idq/examples/idq-to-postgres-batch
644 ./share/doc/idq/examples/idq-worker@.service
644 ./share/fish/vendor_completions.d/idq.fish
644 ./share/man/man1/idq.1
644 ./share/man/man5/idq.5
644 ./share/man/man7/idq-handover.7
644 ./share/zsh/site-functions/_idq'
	[ "$(installed "$to")" = "$(installed "$to" | grep -F "./${prefix#/}/")" ]

	run -0 in_top uninstall DESTDIR="$to" PREFIX="$prefix"
	run installed "$to"
	expect 0 ''
}

@test "install: it compiles nothing, and says so before there is a build" {
	run ! "${IDQ_MAKE:-make}" -C "$top" B="$PWD/none" DESTDIR="$PWD/to" install
	[[ $output == *"nothing to install: run make"* ]]
	[ ! -e to ]
	[ ! -e none ]
}

@test "install: each place can be chosen" {
	run -0 in_top install DESTDIR="$PWD/to" BINDIR=/b MANDIR=/m \
	    BASHDIR=/bash ZSHDIR=/zsh FISHDIR=/fish EXAMPLEDIR=/e
	run installed to
	expect 0 '755 ./b/idq
644 ./bash/idq
644 ./e/calls.crontab
644 ./e/idq-ask@.service
644 ./e/idq-ask@.timer
644 ./e/idq-drain@.service
644 ./e/idq-drain@.timer
755 ./e/idq-to-http
755 ./e/idq-to-nats
755 ./e/idq-to-postgres
755 ./e/idq-to-postgres-batch
644 ./e/idq-worker@.service
644 ./fish/idq.fish
644 ./m/man1/idq.1
644 ./m/man5/idq.5
644 ./m/man7/idq-handover.7
644 ./zsh/_idq'
	run -0 in_top uninstall DESTDIR="$PWD/to" BINDIR=/b MANDIR=/m \
	    BASHDIR=/bash ZSHDIR=/zsh FISHDIR=/fish EXAMPLEDIR=/e
	run installed to
	expect 0 ''
}

@test "install: a build that is up to date compiles nothing" {
	run -0 in_top all
	[[ $output != *" -c "* ]]
	[[ $output != *" -o "* ]]
}

# The stamp is compared in whole seconds by some makes: age what was built.
@test "install: other flags compile everything again, the user's last" {
	local objects

	objects=$(find "$BATS_FILE_TMPDIR/build" -name '*.o')
	xargs -d '\n' touch -d -10sec <<<"$objects"
	run -0 in_top all unit CFLAGS=-DOTHER
	[ "$(grep -c ' -c ' <<<"$output")" -eq "$(wc -l <<<"$objects")" ]
	run -0 in_top -n all CFLAGS=-O3
	[[ $output == *" -O0 "*" -O3 "* ]]
	run -0 in_top all CFLAGS=-DOTHER
	[[ $output != *" -c "* ]]
	find "$BATS_FILE_TMPDIR/build" -name '*.o' -exec touch -d -10sec {} +
	run -0 in_top all unit
}

@test "install: an object older than its source is compiled again, alone" {
	run -0 in_top all
	touch -d 2001-01-01 "$BATS_FILE_TMPDIR/build/lib/queue.o"
	run -0 in_top all
	[ "$(grep -c ' -c ' <<<"$output")" -eq 1 ]
	[[ $output == *" -c lib/queue.c"* ]]
	grep -q ' lib/idq_impl\.h' "$BATS_FILE_TMPDIR/build/lib/queue.d"
}

@test "install: a build asks for no packages" {
	run -0 in_top -n all unit install DESTDIR="$PWD"
	[[ $output == *"$PWD"* ]]
	[[ $output != *deps* ]]
	[[ $output != *apt* ]]
}
