#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# At most once, for calls and payments: with on-crash hold a start whose outcome
# is unknown is not repeated.  The command's own log, outside of the queue,
# counts the starts.

load helpers/common

setup() {
	common_setup
	LOG=$PWD/starts
	export LOG
	idq init
	idq config on-crash hold
	idq config grace 1s
	idq add -k a
	# It does not end by itself, nor when it is asked to.
	cat >ring <<-'END'
		#!/bin/sh
		trap '' TERM
		echo "$$" >>"$LOG"
		while :; do sleep 0.1; done
	END
	chmod +x ring
}

teardown() {
	common_teardown
	[ ! -e starts ] || xargs -r kill -KILL <starts 2>/dev/null || :
	[ -z "${mounted-}" ] || umount "$mounted" 2>/dev/null || umount -l "$mounted"
}

# held_once [QUEUE]: the job is held, and whoever comes later starts nothing.
held_once() {
	# What the command started last has the lock for a moment longer.
	wait_for "idq work ${1+-q '$1'} --drain -- ./ring &&
	    [ \"\$(idq show ${1+-q '$1'} --field state a)\" = held ]"
	run -0 --separate-stderr idq work ${1+-q "$1"} --drain -- ./ring
	is "$(idq show ${1+-q "$1"} --field state a)" held
	is "$(wc -l <starts)" 1
	run -0 --separate-stderr idq check ${1+-q "$1"} --max-failed 5
	[[ $output == 'IDQ OK'* ]]
	run -1 --separate-stderr idq check ${1+-q "$1"}
	[[ $output == 'IDQ WARNING'*held* ]]
}

@test "once: worker and command are killed" {
	spawn idq work -- ./ring
	wait_for '[ -s starts ]'
	kill -KILL "$spawned_pid"
	kill -KILL "$(cat starts)"
	wait_for 'gone "$(cat starts)"'
	held_once
}

@test "once: only the worker is killed" {
	spawn idq work -- ./ring
	wait_for '[ -s starts ]'
	kill -KILL "$spawned_pid"
	# While the command lives its job is locked.
	run -0 idq work --drain -- ./ring
	is "$(wc -l <starts)" 1
	kill -KILL "$(cat starts)"
	wait_for 'gone "$(cat starts)"'
	held_once
}

@test "once: the worker is told to end, and the grace time is over" {
	spawn idq work -- ./ring
	wait_for '[ -s starts ]'
	kill -TERM "$spawned_pid"
	wait_for 'gone "$spawned_pid"'
	gone "$(cat starts)"
	held_once
}

@test "once: the command takes longer than --timeout" {
	run -0 --separate-stderr timeout 20 idq work --once --timeout 1s -- ./ring
	is "$stderr" 'idq: work: default: a: held, its outcome is unknown (timeout)'
	held_once
}

@test "once: a lease runs out" {
	need faketime
	idq claim --lease 1s
	echo 1 >starts
	run -1 at +1m idq claim
	held_once
}

@test "once: the alarm at the producer names the held job" {
	run -0 timeout 20 idq work --once --timeout 1s -- ./ring
	run -0 --separate-stderr idq add -k a
	[[ $stderr == 'idq: add: a: held '*' ago and waits for a person; '* ]]
}

@test "once: the power fails right after the start" {
	need_root
	need mkfs.ext4 python3
	truncate -s 64M image
	mkfs.ext4 -q -F image
	mkdir disk
	mount -o loop,commit=300 image disk 2>/dev/null ||
	    skip "no image can be mounted here"
	mounted=$PWD/disk
	idq init -q "$PWD/disk/q"
	idq config -q "$PWD/disk/q" on-crash hold
	idq add -q "$PWD/disk/q" -k a
	spawn idq work -q "$PWD/disk/q" -- ./ring
	wait_for '[ -s starts ]'
	# EXT4_IOC_SHUTDOWN without a flush of the journal.
	python3 - "$mounted" <<-'END' || skip "this kernel has no such ioctl"
		import fcntl, os, struct, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		fcntl.ioctl(fd, 0x8004587D, struct.pack("I", 2))
	END
	kill -KILL "$spawned_pid" "$(cat starts)"
	wait_for 'gone "$spawned_pid" "$(cat starts)"'
	wait_for 'umount disk'
	mount -o loop image disk
	held_once "$PWD/disk/q"
}

@test "once: without hold the same start is repeated" {
	idq config on-crash retry
	idq config backoff 0s
	run -0 timeout 20 idq work --once --timeout 1s -- ./ring
	run -0 timeout 20 idq work --once --timeout 1s -- ./ring
	is "$(wc -l <starts)" 2
}
