# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# What the tests share.  A test file says at its top:
#
#	load helpers/common
#
# and finds `idq' in its PATH, an empty spool in $IDQ_SPOOL (made by the first
# idq that needs it), LC_ALL=C, TZ=UTC, and the test's own folder as $PWD.  A
# file with a setup() or teardown() of its own calls common_setup and
# common_teardown in it.

bats_require_minimum_version 1.5.0

top=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)

common_setup() {
	IDQ_BUILD=${IDQ_BUILD:-$top/build}
	IDQ=${IDQ:-$IDQ_BUILD/idq}
	PATH=${IDQ%/*}:$PATH
	IDQ_SPOOL=$BATS_TEST_TMPDIR/spool
	LC_ALL=C TZ=UTC
	export PATH IDQ IDQ_BUILD IDQ_SPOOL LC_ALL TZ
	unset MAKEFLAGS MAKELEVEL NO_COLOR IDQ_KEY IDQ_HASH IDQ_ID IDQ_QUEUE \
	    IDQ_UNITS IDQ_LDFLAGS
	export -n IDQ_COUNTED
	spawned=()
	cd "$BATS_TEST_TMPDIR" || return
}

common_teardown() {
	local pid

	for pid in "${spawned[@]}"; do
		# For `make coverage': what is killed takes its counts along.
		if [ -n "${IDQ_COUNTED-}" ] && kill "$pid" 2>/dev/null; then
			wait_for "! kill -0 $pid" 1 || :
		fi
		kill -KILL "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
}

setup() {
	common_setup
}

teardown() {
	common_teardown
}

# queue_path [QUEUE]: its directory.
queue_path() {
	printf '%s\n' "$IDQ_SPOOL/${1:-default}"
}

# hash_of KEY: the H of its names, found without idq.
hash_of() {
	printf %s "$1" | sha256sum | cut -c1-64
}

# key_file KEY [QUEUE]: keys/HH/H of that key.
key_file() {
	local h

	h=$(hash_of "$1")
	printf '%s\n' "$(queue_path "${2-}")/keys/${h:0:2}/$h"
}

# state_of KEY [QUEUE]: the first folder of the key's state name; nothing if
# it has none.  Two names are two lines, which no test expects.
state_of() {
	local h q

	h=$(hash_of "$1")
	q=$(queue_path "${2-}")
	(cd "$q" && find new wait paced cur hold failed 'done' cancelled expired \
	    -name "*$h.*" 2>/dev/null | cut -d/ -f1)
}

# wait_for CONDITION [SECONDS]: evaluate the shell words until they succeed;
# fail, and say which, at the deadline (10 s).
wait_for() {
	local end=$((SECONDS + ${2:-10} + 1))

	until eval "$1" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "after ${2:-10} s still not: $1" >&2
			return 1
		fi
		sleep 0.02
	done
}

# spawn COMMAND...: start it in the background; its pid is $spawned_pid, its
# output goes to the end of spawn.out and spawn.err, and if it is still alive
# at the end of the test it is killed.
spawn() {
	"$@" >>spawn.out 2>>spawn.err 3>&- 4>&- &
	spawned_pid=$!
	spawned+=("$spawned_pid")
}

# expect STATUS STDOUT [STDERR]: compare with those of the last `run
# --separate-stderr', and show all three when one differs.
expect() {
	# $status, $output and $stderr are set by run.
	# shellcheck disable=SC2154
	if [ "$status" -eq "$1" ] && [ "$output" = "$2" ] &&
	    [ "${stderr-}" = "${3-}" ]; then
		return 0
	fi
	printf 'status %s, expected %s\n' "$status" "$1"
	printf -- '--- stdout\n%s\n--- expected\n%s\n' "$output" "$2"
	printf -- '--- stderr\n%s\n--- expected\n%s\n' "${stderr-}" "${3-}"
	return 1
}

# Fail, and show it, if there is anything on standard input.
nothing() {
	! grep .
}

# at OFFSET COMMAND...: run it with its clock shifted, e.g. `at +3h idq ls'.
# Delays still take as long as they do: the monotonic clock is left alone.
at() {
	local offset=$1

	shift
	# Not by the program faketime: killed, it leaves a semaphore behind, and
	# one with the same pid fails.
	FAKETIME=$offset FAKETIME_DONT_FAKE_MONOTONIC=1 \
	    LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketime.so.1) "$@"
}

# need COMMAND...: skip the test, and say why, where one is missing.
need() {
	local c

	for c in "$@"; do
		command -v "$c" >/dev/null || skip "$c is not installed"
	done
}

# need_uncounted: skip in the build of `make coverage', which makes calls and has
# globals of its own.
need_uncounted() {
	! nm "$IDQ" 2>/dev/null | grep -q __gcov_ ||
	    skip "the build of make coverage is another"
}

# need_root: skip where the suite is not run as root.
need_root() {
	[ "$(id -u)" -eq 0 ] || skip "only root can become another user"
}

# as_user UID COMMAND...: run it as that user (65534 is nobody).  The folders
# of the test are opened for passing through, and idq comes from a copy, since
# the build may lie where only root may look.
as_user() {
	local uid=$1 dir=$BATS_TEST_TMPDIR

	shift
	if [ ! -e "$BATS_TEST_TMPDIR/bin/idq" ]; then
		mkdir "$BATS_TEST_TMPDIR/bin"
		cp "$IDQ" "$BATS_TEST_TMPDIR/bin/idq"
		while [ "$dir" != "${BATS_RUN_TMPDIR%/*}" ] && [ "$dir" != / ]; do
			chmod a+x "$dir"
			dir=${dir%/*}
		done
	fi
	PATH=$BATS_TEST_TMPDIR/bin:$PATH \
	    setpriv --reuid="$uid" --regid="$uid" --clear-groups -- "$@"
}

# between STAMP STAMP: seconds from one to the other.
between() {
	echo $(($(date -d "$2" +%s) - $(date -d "$1" +%s)))
}

# compact STAMP: without punctuation, as in names.
compact() {
	tr -d ':-' <<<"$1"
}

# dups KEY: how many, from the file's length.
dups() {
	local h file

	h=$(hash_of "$1")
	# $queue is the test's.
	# shellcheck disable=SC2154
	file=$queue/dups/${h:0:2}/$h.$(header Id "$1")
	if [ -e "$file" ]; then
		echo $(($(stat -c %s "$file") / 28))
	else
		echo 0
	fi
}

# ended KEY EXIT: a job whose command exited so.
ended() {
	idq add -k "$1"
	idq work --drain -- sh -c "exit $2" 2>>stderr
}

# events KEY: event and number of each line, on one line.
events() {
	trail "$1" | cut -d' ' -f2,3 | tr '\n' ' '
}

# field NAME LINE: the value of NAME=VALUE in it.
field() {
	sed -n "s/.* $1=\([^ ]*\).*/\1/p" <<<"$2 "
}

# gone PID...: no such process any more, but perhaps a zombie.
gone() {
	local pid

	for pid in "$@"; do
		case $(ps -o stat= -p "$pid") in
		'' | Z*) ;;
		*) return 1 ;;
		esac
	done
}

# header NAME KEY: that field of the job's header.
header() {
	sed -n "/^\$/q;s/^$1: //p" "$(key_file "$2")"
}

# id_of KEY: the job's id.
id_of() {
	sed -n 's/^Id: //p;/^$/q' "$(key_file "$1")"
}

# is GOT EXPECTED: the same text, else both are shown.
is() {
	[ "$1" = "$2" ] || {
		printf 'is:       %s\nexpected: %s\n' "$1" "$2"
		return 1
	}
}

# last KEY: the last line of its trail.
last() {
	trail "$1" | tail -n 1
}

# linkless: mount a file system without hard links on mnt, from image; with
# $loop, if that is set, to be detached.
linkless() {
	truncate -s 16M image
	mkdir mnt
	if command -v mkfs.vfat && mkfs.vfat image &&
	    mount -o loop,umask=077 image mnt; then
		return 0
	fi >>spawn.out 2>&1
	if command -v mount.exfat-fuse && mkfs.exfat image &&
	    loop=$(losetup -f --show image) &&
	    mount.exfat-fuse -o umask=077 "$loop" mnt; then
		return 0
	fi >>spawn.out 2>&1
	skip "neither vfat nor exfat-fuse can be mounted here"
}

# mount_at DIR OPTIONS: a file system in memory; skip where there can be none.
mount_at() {
	need_root
	mkdir -p "$1"
	mount -t tmpfs -o "$2" idqtest "$1" 2>/dev/null ||
	    skip "no file system can be mounted here"
	# For the teardown of the test.
	# shellcheck disable=SC2034
	mounted=$1
}

# on UTC-TIME COMMAND...: run it then, whatever TZ is.
on() {
	local offset=$(($(date -d "$1" +%s) - $(date +%s)))

	shift
	at "$(printf %+d "$offset")" "$@"
}

# payload KEY: what stands between header and trail, found without idq.
payload() {
	local file

	file=$(key_file "$1")
	tail -c "+$(($(sed '/^$/q' "$file" | wc -c) + 1))" "$file" |
	    head -c "$((10#$(header Length "$1")))"
}

# terminal COMMAND: what it prints on a terminal.
terminal() {
	script -qec "$1" /dev/null </dev/null | tr -d '\r'
}

# trail KEY: its lines.  The payloads here have none of their own.
trail() {
	sed '1,/^$/d' "$(key_file "$1")" | sed 1d
}

# value NAME LINE: of its field NAME=.
value() {
	sed -n "s/.* $1=\([^ ]*\).*/\1/p" <<<"$2"
}
