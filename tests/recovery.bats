#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# What becomes of a job when a worker or an adder dies, and of a queue whose
# names do not agree with its trails.  Each test ends with a comparison of the
# queue with idq(5), where python3 is there to make it.

# Each test is a subshell of its own, and some words are for eval later; $top,
# $spawned_pid, $output and $stderr come from the helpers and bats.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	command=$top/tests/crash/command
	RUNS=$PWD/runs GATE=
	export RUNS GATE
	: >runs
	idq init
	queue=$(queue_path)
	# The start-up scan of this boot is over: what is mended below is not
	# mended by it.
	[ -z "$(idq claim)" ]
}

teardown() {
	local pid

	for pid in $(living); do
		kill -KILL -- "-$pid" 2>/dev/null ||
		    kill -KILL "$pid" 2>/dev/null || :
	done
	common_teardown
}

# scanned: the start-up scan of this boot is complete.
scanned() {
	is "$(cat "$queue/boot/$(hostname)")" \
	    "$(cat /proc/sys/kernel/random/boot_id)"
}

# The pids of the commands that were started.
pids() {
	awk '$1 == "start" { print $(NF - 1) }' runs
}

# The pids of those that have not ended.
living() {
	awk '$1 == "start" { open[$(NF - 1)] = 1; next }
	    { delete open[$(NF - 1)] }
	    END { for (pid in open) print pid }' runs
}

# mark_killed: the commands that have not ended were killed.
mark_killed() {
	local pid

	for pid in $(living); do
		awk -v pid="$pid" '$1 == "start" && $(NF - 1) == pid {
		    $1 = "killed"; print }' runs >killed
		cat killed >>runs
	done
}

# ran KEY: how often its command was started.
ran() {
	awk -v key="$1" '$1 == "start" && $2 == key { n++ }
	    END { print n + 0 }' runs
}

# worker OPTION...: start one whose command waits for open_gate.
worker() {
	local before

	before=$(pids | wc -l)
	GATE=$PWD/gate spawn idq work "$@" -- "$command"
	worker_pid=$spawned_pid
	wait_for "[ \$(pids | wc -l) -gt $before ]"
	command_pid=$(pids | tail -n 1)
}

open_gate() {
	: >gate
}

kill_worker() {
	kill -KILL "$worker_pid"
	wait "$worker_pid" 2>/dev/null || :
}

# kill_command KEY: the last command and all that it started.
kill_command() {
	kill -KILL -- "-$command_pid" 2>/dev/null ||
	    kill -KILL "$command_pid"
	wait_for "unlocked $1"
	mark_killed
}

# unlocked KEY: nobody holds the job's lock.
unlocked() {
	flock -n "$(key_file "$1")" true
}

drain() {
	idq work --drain -- "$command"
}

# trail KEY: its lines, stamps left out.
trail() {
	awk 'body { if (n++ > 0) { $1 = ""; print substr($0, 2) } }
	    /^$/ { body = 1 }' "$(key_file "$1")"
}

# state_name KEY: the path of its name in a state directory.
state_name() {
	(cd "$queue" && find new wait paced cur hold failed 'done' cancelled expired \
	    -name "*$(hash_of "$1").*" | sed "s|^|$queue/|")
}

# move KEY PATH: its state name, by hand.
move() {
	mv "$(state_name "$1")" "$queue/$2"
}

# unfinished KEY: an add that was killed before its rename.
unfinished() {
	idq add -k "$1"
	move "$1" "tmp/$(id_of "$1")"
}

in_tmp() {
	find "$queue/tmp" -type f | wc -l
}

# sound: nothing is left undone, and nothing ran that should not have.
sound() {
	command -v python3 >/dev/null || return 0
	python3 -B "$top/tests/crash/invariants.py" --settled --runs runs \
	    "$queue"
}

#
# A worker dies.
#

@test "recovery: worker and command killed, the next worker runs the job at once" {
	idq add -k a
	worker
	kill_worker
	kill_command a
	drain
	is "$(state_of a)" 'done'
	is "$(ran a)" 2
	is "$(trail a | cut -d' ' -f1,2)" \
	    $'claimed 1\ninterrupted 1\nclaimed 2\ndone 2'
	sound
}

@test "recovery: worker and command killed, the next claim takes the job at once" {
	idq add -k a
	worker
	kill_worker
	kill_command a
	token=$(idq claim)
	is "$token" "$(hash_of a).$(id_of a).2"
	idq ack "$token"
	is "$(state_of a)" 'done'
	sound
}

@test "recovery: while a killed worker's command lives, nobody takes its job" {
	idq add -k a
	worker
	kill_worker
	drain
	run -1 --separate-stderr idq claim
	is "$output" ''
	is "$(state_of a)" cur
	is "$(ran a)" 1
	# It ends: its end was written by no one, and it runs again.
	open_gate
	wait_for 'grep ^end runs'
	wait_for 'unlocked a'
	drain
	is "$(state_of a)" 'done'
	is "$(ran a)" 2
	sound
}

@test "recovery: an add of a killed worker's job is a duplicate" {
	idq add -k a
	worker
	kill_worker
	run -0 --separate-stderr idq add -v -k a
	[[ $output == duplicate$'\t'*$'\t'running$'\t'* ]]
	kill_command a
	drain
	is "$(ran a)" 2
	sound
}

@test "recovery: all jobs of a killed worker with -j 2 run again" {
	idq add -k a
	idq add -k b
	worker -j 2
	wait_for '[ $(pids | wc -l) -eq 2 ]'
	kill_worker
	drain
	is "$(ran a)$(ran b)" 11
	open_gate
	wait_for 'unlocked a && unlocked b'
	drain
	is "$(state_of a) $(state_of b)" 'done done'
	is "$(ran a)$(ran b)" 22
	sound
}

@test "recovery: a command's daemon does not hold the job's lock" {
	idq add -k a
	# The daemon writes its pid and holds every descriptor it got.
	# shellcheck disable=SC2016
	idq work --drain -- sh -c \
	    'sleep 60 >/dev/null 2>&1 & echo "$!" >daemon' 3>&-
	is "$(state_of a)" 'done'
	kill -0 "$(cat daemon)"
	idq forget a
	is "$(state_of a)" ''
	kill -KILL "$(cat daemon)"
	sound
}

@test "recovery: with on-crash hold a killed job waits for a person" {
	idq add -k a --on-crash hold
	worker
	kill_worker
	kill_command a
	drain
	drain
	is "$(state_of a)" hold
	is "$(ran a)" 1
	run -1 --separate-stderr idq claim
	idq retry a
	drain
	is "$(state_of a)" 'done'
	is "$(ran a)" 2
	sound
}

@test "recovery: the queue's on-crash hold counts where the job says nothing" {
	idq config on-crash hold
	idq add -k a
	worker
	kill_worker
	kill_command a
	run -1 --separate-stderr idq claim
	is "$(state_of a)" hold
	sound
}

@test "recovery: killed as often as it has attempts, a job has failed" {
	idq add -k a --attempts 2
	for _ in 1 2; do
		worker --once
		kill_worker
		kill_command a
	done
	drain 2>stderr
	is "$(state_of a)" failed
	is "$(ran a)" 2
	is "$(idq show --field attempts a)" 2
	sound
}

@test "recovery: a claim cut off before its line counts no attempt" {
	idq add -k a
	move a "cur/$(hash_of a).$(id_of a)"
	drain
	is "$(trail a | cut -d' ' -f1,2)" $'claimed 1\ndone 1'
	is "$(ran a)" 1
	sound
}

@test "recovery: a line torn by a crash is cut off and does not count" {
	idq add -k a
	printf '2026-11-23T20:35:11.411200Z done 1 exi' >>"$(key_file a)"
	drain
	is "$(trail a | cut -d' ' -f1,2)" $'claimed 1\ndone 1'
	is "$(ran a)" 1
	sound
}

@test "recovery: run killed with its command is no longer running" {
	GATE=$PWD/gate spawn idq run -q default -k r -- "$command"
	worker_pid=$spawned_pid
	wait_for '[ $(pids | wc -l) -eq 1 ]'
	command_pid=$(pids)
	kill_worker
	# The command lives: elsewhere, as far as others can see.
	run -0 --separate-stderr idq run -q default -k r -- "$command"
	expect 0 ''
	is "$(ran r)" 1
	kill_command r
	# A worker does not take it.
	drain
	is "$(ran r)" 1
	is "$(state_of r)" failed
	idq retry r
	idq run -q default -k r -- "$command"
	is "$(state_of r)" 'done'
	is "$(ran r)" 2
	sound
}

#
# A worker is told to stop.
#

@test "recovery: SIGTERM lets a command end within the grace time" {
	idq add -k a
	worker
	kill -TERM "$worker_pid"
	open_gate
	wait "$worker_pid"
	is "$(state_of a)" 'done'
	is "$(ran a)" 1
	sound
}

@test "recovery: after the grace time a job counts as interrupted" {
	idq config grace 1s
	idq add -k a
	worker
	kill -TERM "$worker_pid"
	wait "$worker_pid"
	is "$(state_of a)" new
	is "$(trail a | cut -d' ' -f1,2)" $'claimed 1\ninterrupted 1'
	wait_for "! kill -0 -- -$command_pid"
	mark_killed
	drain
	is "$(state_of a)" 'done'
	is "$(ran a)" 2
	sound
}

@test "recovery: after the grace time on-crash hold is obeyed" {
	idq config grace 1s
	idq add -k a --on-crash hold
	worker
	kill -TERM "$worker_pid"
	wait "$worker_pid"
	is "$(state_of a)" hold
	mark_killed
	sound
}

@test "recovery: SIGINT stops a worker as SIGTERM does" {
	idq add -k a
	# A shell starts what is in the background with SIGINT ignored.
	GATE=$PWD/gate spawn env --default-signal=INT \
	    "$IDQ" work -- "$command"
	worker_pid=$spawned_pid
	wait_for 'grep ^start runs'
	kill -INT "$worker_pid"
	open_gate
	wait "$worker_pid"
	is "$(state_of a)" 'done'
	sound
}

@test "recovery: a job not yet started when the worker is stopped uses no attempt" {
	idq add -k a
	idq add -k b
	worker -j 1
	kill -TERM "$worker_pid"
	open_gate
	wait "$worker_pid"
	is "$(state_of a) $(state_of b)" 'done new'
	is "$(idq show --field attempts b)" 0
	is "$(ran b)" 0
	sound
}

@test "recovery: a command that cannot be executed uses no attempt" {
	idq add -k a
	run -127 --separate-stderr idq work --drain -- "$PWD/missing"
	is "$(state_of a)" new
	is "$(idq show --field attempts a)" 0
	drain
	is "$(ran a)" 1
	sound
}

#
# Leases.
#

@test "recovery: a lease that lapsed is reaped by the next claim, not before" {
	need faketime
	idq add -k a
	token=$(idq claim --lease 10m)
	run -1 --separate-stderr idq claim
	run -1 --separate-stderr at +9m idq claim
	run -0 --separate-stderr at +11m idq claim
	is "$output" "${token%.1}.2"
	is "$(trail a | cut -d' ' -f1,2)" \
	    $'claimed 1\ninterrupted 1\nclaimed 2'
}

@test "recovery: a renewed lease is not reaped" {
	need faketime
	idq add -k a
	token=$(idq claim --lease 10m)
	at +8m idq renew --lease 10m "$token"
	run -1 --separate-stderr at +15m idq claim
	run -0 --separate-stderr at +19m idq claim
	is "$output" "${token%.1}.2"
}

@test "recovery: a lapsed lease that nobody reaped is acked" {
	need faketime
	idq add -k a
	token=$(idq claim --lease 10m)
	at +1h idq ack "$token"
	is "$(state_of a)" 'done'
	at +1h idq ack "$token"
	is "$(trail a | cut -d' ' -f1,2)" $'claimed 1\ndone 1'
}

@test "recovery: the token of a claim that was lost is refused" {
	need faketime
	idq add -k a
	old=$(idq claim --lease 10m)
	new=$(at +1h idq claim --lease 10m)
	before=$(cksum <"$(key_file a)")
	for verb in ack fail release renew; do
		run -69 --separate-stderr at +1h idq "$verb" "$old"
		is "$output" ''
		[[ $stderr == "idq: $verb: $old: claim lost: "* ]]
	done
	is "$(cksum <"$(key_file a)")" "$before"
	at +1h idq ack "$new"
	is "$(state_of a)" 'done'
}

@test "recovery: a token of a job that was forgotten is refused by the next" {
	idq add -k a
	old=$(idq claim)
	idq ack "$old"
	idq forget a
	idq add -k a
	new=$(idq claim)
	[ "$old" != "$new" ]
	run -69 --separate-stderr idq ack "$old"
	is "$(state_of a)" cur
	idq ack "$new"
	sound
}

@test "recovery: a worker takes a lapsed lease and leaves a live one" {
	need faketime
	idq add -k a
	idq claim --lease 10m
	drain
	is "$(ran a)" 0
	at +1h idq work --drain -- "$command"
	is "$(ran a)" 1
	is "$(state_of a)" 'done'
}

#
# An adder dies.  What it leaves is made by hand.
#

@test "recovery: keys and tmp: a worker completes the add" {
	unfinished a
	drain
	is "$(state_of a)" 'done'
	is "$(ran a)" 1
	is "$(in_tmp)" 0
	sound
}

@test "recovery: keys and tmp: a claim completes the add" {
	unfinished a
	token=$(idq claim)
	is "$token" "$(hash_of a).$(id_of a).1"
	idq ack "$token"
	sound
}

@test "recovery: keys and tmp: a duplicate completes the add" {
	unfinished a
	id=$(id_of a)
	idq add -k a
	is "$(state_of a)" new
	is "$(id_of a)" "$id"
	is "$(in_tmp)" 0
	sound
}

@test "recovery: keys and tmp: a living adder is waited for" {
	unfinished a
	# Another process has the lock; the duplicate may not complete it.
	spawn flock "$(key_file a)" sh -c 'echo "$$" >locked; exec sleep 60'
	wait_for '[ -s locked ]'
	run -75 --separate-stderr idq add -k a
	is "$(state_of a)" ''
	run -1 --separate-stderr idq claim
	is "$(state_of a)" ''
	kill -KILL "$(cat locked)"
	wait_for 'unlocked a'
	idq add -k a
	is "$(state_of a)" new
	sound
}

@test "recovery: keys alone: a duplicate completes the add" {
	idq add -k a
	rm "$(state_name a)"
	id=$(id_of a)
	idq add -k a
	is "$(state_of a)" new
	is "$(id_of a)" "$id"
	drain
	is "$(ran a)" 1
	sound
}

@test "recovery: keys alone: fsck completes the add" {
	idq add -k a
	rm "$(state_name a)"
	idq fsck
	is "$(state_of a)" new
	sound
}

@test "recovery: keys alone: the first worker after a boot completes the add" {
	idq add -k a
	rm "$(state_name a)" "$queue"/boot/*
	drain
	is "$(ran a)" 1
	is "$(state_of a)" 'done'
	scanned
	sound
}

@test "recovery: keys alone: a scan that met a lock is not the last one" {
	idq add -k a
	rm "$(state_name a)" "$queue"/boot/*
	# Somebody completes it, and is killed.
	spawn flock "$(key_file a)" sh -c 'echo "$$" >locked; exec sleep 60'
	wait_for '[ -s locked ]'
	run -1 --separate-stderr idq claim
	expect 1 ''
	grep -q ' again$' "$queue"/boot/*
	kill -KILL "$(cat locked)"
	wait_for 'unlocked a'
	drain
	is "$(ran a)" 1
	scanned
	sound
}

@test "recovery: keys alone: a sync that fails makes no done job start again" {
	need cc
	cc -shared -fPIC -x c -o nosync.so - <<-'END'
		#include <errno.h>
		int fsync(int);
		int fsync(int fd) { errno = EIO; return fd < 0 ? -2 : -1; }
	END
	idq add -k a
	drain
	id=$(id_of a)
	rm "$(state_name a)"
	run -75 --separate-stderr env LD_PRELOAD="$PWD/nosync.so" idq add -k a
	[[ $stderr == 'idq: add: a: '*': Input/output error' ]]
	run -3 --separate-stderr idq add -E 3 -k a
	is "$(id_of a) $(state_of a)" "$id done"
	drain
	is "$(ran a)" 1
	sound
}

@test "recovery: keys alone with another fingerprint is a mismatch" {
	idq add -k a
	rm "$(state_name a)"
	run -65 --separate-stderr idq add -k a -- other
	drain
	idq fsck
	drain
	is "$(ran a)" 1
	sound
}

@test "recovery: a torn file of a key is replaced by the next add" {
	local torn

	idq add -k a
	cp "$(key_file a)" whole
	rm "$(state_name a)"
	: >empty
	head -c 40 whole >header
	head -c "$(sed -n '1,/^$/p' whole | wc -c)" whole >short
	head -c "$(wc -c <whole)" /dev/zero >zeros
	for torn in empty header short zeros; do
		echo "$torn"
		cp "$torn" "$(key_file a)"
		idq add -k a
		is "$(state_of a)" new
		run -0 --separate-stderr idq show --field key a
		is "$output" a
		sound
		rm "$(state_name a)"
	done
	idq fsck
	drain
	is "$(ran a)" 1
	sound
}

@test "recovery: a torn payload of an unfinished add is replaced" {
	printf 'hello, world\n' >payload
	idq add -k a --payload payload
	# The right size, and zeros in it, as a power cut leaves it.
	sed 's/^hello, world$/hello, wor\x00\x00/' "$(key_file a)" >torn
	is "$(wc -c <torn)" "$(wc -c <"$(key_file a)")"
	rm "$(state_name a)"
	cat torn >"$(key_file a)"
	idq add -k a --payload payload
	is "$(idq cat a)" 'hello, world'
	drain
	is "$(ran a)" 1
	sound
}

@test "recovery: a foreign file of a key is left alone" {
	local path

	path=$(key_file a)
	echo 'This is no job.' >"$path"
	chmod 600 "$path"
	run -70 --separate-stderr idq add -k a
	[[ $stderr == *"$path"* ]]
	is "$(cat "$path")" 'This is no job.'
	idq add -k b
	drain
	is "$(ran b)" 1
	is "$(cat "$path")" 'This is no job.'
}

@test "recovery: tmp alone is removed and never runs" {
	idq add -k a
	move a "tmp/$(id_of a)"
	rm "$(key_file a)"
	run -1 --separate-stderr idq claim
	is "$(in_tmp)" 0
	drain
	is "$(ran a)" 0
	idq add -k a
	drain
	is "$(ran a)" 1
	sound
}

@test "recovery: half a file in tmp is removed" {
	printf 'idq job 1\nKey: ' >"$queue/tmp/0123456789abcdef"
	chmod 600 "$queue/tmp/0123456789abcdef"
	run -1 --separate-stderr idq claim
	is "$(in_tmp)" 0
	sound
}

@test "recovery: a second name in tmp is removed" {
	idq add -k a
	ln "$(key_file a)" "$queue/tmp/$(id_of a)"
	token=$(idq claim)
	is "$(in_tmp)" 0
	is "$(state_of a)" cur
	idq ack "$token"
	sound
}

@test "recovery: an unfinished replacement leaves the old job" {
	local id other

	idq add -k a
	drain
	idq init -q other
	idq add -q other -k a
	other=$(key_file a other)
	id=$(sed -n 's/^Id: //p' "$other")
	mv "$other" "$queue/tmp/$id"
	ln "$queue/tmp/$id" "$queue/tmp/$id.k"
	run -1 --separate-stderr idq claim
	is "$(in_tmp)" 0
	is "$(state_of a)" 'done'
	run -0 --separate-stderr idq add -v -k a
	[[ $output == duplicate$'\t'* ]]
	sound
}

@test "recovery: a replacement cut off behind its rename is completed" {
	local id

	idq add -k a
	drain
	idq init -q other
	idq add -q other -k a
	id=$(sed -n 's/^Id: //p' "$(key_file a other)")
	mv "$(key_file a other)" "$queue/tmp/$id"
	ln "$queue/tmp/$id" "$queue/tmp/$id.k"
	mv -f "$queue/tmp/$id.k" "$(key_file a)"
	drain
	is "$(ran a)" 2
	is "$(in_tmp)" 0
	sound
}

@test "recovery: an unfinished add of run is taken back" {
	local id

	idq run -q default -k r -- "$command"
	id=$(id_of r)
	{ sed '/^$/q' "$(key_file r)"; echo; } >begun
	idq forget r
	cp begun "$(key_file r)"
	chmod 600 "$(key_file r)"
	ln "$(key_file r)" "$queue/tmp/$id"
	run -1 --separate-stderr idq claim
	is "$(in_tmp)" 0
	[ ! -e "$(key_file r)" ]
	idq run -q default -k r -- "$command"
	is "$(ran r)" 2
	sound
}

#
# Names and trails that disagree.
#

@test "recovery: a done job that stands in new goes to done and does not run" {
	idq add -k a
	drain
	move a "new/20260101T000000.000000Z.$(hash_of a).$(id_of a)"
	drain
	is "$(state_of a)" 'done'
	is "$(ran a)" 1
	sound
}

@test "recovery: a done job that stands in cur goes to done and does not run" {
	idq add -k a
	drain
	move a "cur/$(hash_of a).$(id_of a)"
	run -1 --separate-stderr idq claim
	is "$(state_of a)" 'done'
	drain
	is "$(ran a)" 1
	sound
}

@test "recovery: a job that waits for its next try does not run from new" {
	idq add -k a
	idq fail "$(idq claim)"
	is "$(state_of a)" wait
	move a "new/20260101T000000.000000Z.$(hash_of a).$(id_of a)"
	run -1 --separate-stderr idq claim
	drain
	is "$(ran a)" 0
	is "$(state_of a)" wait
	sound
}

@test "recovery: a held job does not run from new" {
	idq add -k a --on-crash hold
	worker
	kill_worker
	kill_command a
	run -1 --separate-stderr idq claim
	is "$(state_of a)" hold
	move a "new/20260101T000000.000000Z.$(hash_of a).$(id_of a)"
	drain
	is "$(ran a)" 1
	is "$(state_of a)" hold
	sound
}

@test "recovery: a job in two directories runs once" {
	idq add -k a
	ln "$(key_file a)" "$queue/cur/$(hash_of a).$(id_of a)"
	drain
	is "$(state_of a)" 'done'
	is "$(ran a)" 1
	sound
}

@test "recovery: a done job in two directories does not run" {
	idq add -k a
	drain
	ln "$(key_file a)" \
	    "$queue/new/20260101T000000.000000Z.$(hash_of a).$(id_of a)"
	drain
	is "$(state_of a)" 'done'
	is "$(ran a)" 1
	sound
}

@test "recovery: fsck puts a job in two directories right" {
	idq add -k a
	ln "$(key_file a)" "$queue/failed/$(hash_of a).$(id_of a)"
	run -1 idq fsck -n
	is "$(state_of a | wc -l)" 2
	idq fsck
	is "$(state_of a)" new
	run -0 --separate-stderr idq fsck
	is "$output" ''
	sound
}

@test "recovery: without a boot id no start-up scan is taken for done" {
	need cc
	cc -D_GNU_SOURCE -shared -fPIC -x c -o noboot.so - <<-'END'
		#include <errno.h>
		#include <fcntl.h>
		#include <string.h>
		int open(const char *path, int flags, ...)
		{
			if (strstr(path, "boot_id") != NULL) {
				errno = EIO;
				return -1;
			}
			return openat(AT_FDCWD, path, flags, 0600);
		}
	END
	rm "$queue"/boot/*
	idq add -k a
	LD_PRELOAD=$PWD/noboot.so run -0 idq claim
	find "$queue/boot" -type f | nothing
	idq add -k b
	run -0 idq claim
	scanned
}

@test "recovery: a scan that met a full disk is made again" {
	need cc
	cc -D_GNU_SOURCE -shared -fPIC -x c -o full.so - <<-'END'
		#include <errno.h>
		#include <fcntl.h>
		#include <string.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		int renameat(int from, const char *a, int to, const char *b)
		{
			if (strstr(b, "new/") != NULL) {
				errno = ENOSPC;
				return -1;
			}
			return (int)syscall(SYS_renameat, from, a, to, b);
		}
	END
	rm "$queue"/boot/*
	idq add -k a
	rm "$queue"/new/*
	LD_PRELOAD=$PWD/full.so run -1 --separate-stderr idq claim
	[[ $stderr == "idq: claim: $queue/new/"*": No space left on device" ]]
	grep -q ' again$' "$queue"/boot/*
	run -0 --separate-stderr idq claim
	is "${output%%.*}" "$(hash_of a)"
	scanned
	# What a foreign file in the way says is no reason.
	mkdir "$queue/keys/00/$(printf '%064d' 0)"
	rm "$queue"/boot/*
	run -1 --separate-stderr idq claim
	scanned
}

@test "recovery: a scan whose sync failed ends, and nobody syncs that again" {
	need cc
	cc -D_GNU_SOURCE -shared -fPIC -x c -o nosync.so - <<-'END'
		#include <errno.h>
		#include <unistd.h>
		int fsync(int fd)
		{
			(void)fd;
			if (write(9, "s", 1) == -1)
				_exit(9);
			errno = EIO;
			return -1;
		}
	END
	idq add -k a
	idq work --drain -- true
	mv "$queue"/done/*/* "$queue/new/20260101T000000.000000Z.$(basename \
	    "$queue"/done/*/*)"
	rm "$queue"/boot/*
	LD_PRELOAD=$PWD/nosync.so run -74 --separate-stderr idq claim 9>syncs
	[[ $output = '' && $stderr == 'idq: claim: '*': sync: '* ]]
	is "$(cat syncs)" s
	run -1 --separate-stderr idq claim
	expect 1 ''
	is "$(state_of a)" 'done'
}

@test "recovery: a scan that is made again leaves alone whose sync failed" {
	need cc
	cc -D_GNU_SOURCE -shared -fPIC -x c -o nosync.so - <<-'END'
		#include <errno.h>
		int fsync(int fd)
		{
			(void)fd;
			errno = EIO;
			return -1;
		}
	END
	idq add -k a
	mv "$queue"/new/* "$queue/tmp/$(id_of a).bad"
	rm "$queue"/boot/*
	# After a boot the disk has what it has: it is looked at again, once.
	LD_PRELOAD=$PWD/nosync.so run -1 --separate-stderr idq claim
	[[ $stderr == 'idq: claim: '*': sync: '* ]]
	[ -e "$queue/tmp/$(id_of a).bad" ]
	grep -q ' again$' "$queue"/boot/*
	for _ in 1 2; do
		run -1 --separate-stderr idq claim
		expect 1 ''
		[ -e "$queue/tmp/$(id_of a).bad" ]
		scanned
	done
	rm "$queue"/boot/*
	run -0 --separate-stderr idq claim
	is "${output%%.*}" "$(hash_of a)"
}

@test "recovery: a lost retry is found after a boot" {
	idq add -k a
	idq fail --exit 100 "$(idq claim)"
	name=$(state_name a)
	idq retry a
	is "$(state_of a)" new
	# A power cut undoes the rename, not the synced line.
	mv "$(state_name a)" "$name"
	rm "$queue"/boot/*
	drain
	is "$(ran a)" 1
	is "$(state_of a)" 'done'
	sound
}

@test "recovery: a lost retry is found by fsck" {
	idq add -k a
	idq fail --exit 100 "$(idq claim)"
	name=$(state_name a)
	idq retry a
	mv "$(state_name a)" "$name"
	idq fsck
	is "$(state_of a)" new
	sound
}

@test "recovery: a retry killed before its line leaves a failed job" {
	idq add -k a
	idq fail --exit 100 "$(idq claim)"
	move a "new/20260101T000000.000000Z.$(hash_of a).$(id_of a)"
	drain
	is "$(ran a)" 0
	is "$(state_of a)" failed
	sound
}

@test "recovery: an unfinished job that does not own its key never runs" {
	idq add -k a
	rm "$(key_file a)"
	run -1 --separate-stderr idq claim
	idq add -k a
	drain
	is "$(ran a)" 1
	is "$(awk '$1 == "start" { print $3 }' runs)" "$(id_of a)"
	[ "$(key_file a)" -ef "$(state_name a | grep /done/)" ]
}

@test "recovery: the index is made again from keys alone" {
	local keys=(pending waiting leased held 'done' failed cancelled expired)

	idq add -k held --on-crash hold
	worker --once
	kill_worker
	kill_command held
	run -1 --separate-stderr idq claim
	idq add -k 'done'
	idq ack "$(idq claim)"
	idq add -k failed
	idq fail --exit 100 "$(idq claim)"
	idq add -k cancelled
	idq cancel cancelled
	idq add -k leased
	token=$(idq claim)
	idq add -k expired --not-after @1000000000
	idq add -k waiting --in 1h
	idq add -k pending
	for key in "${keys[@]}"; do
		printf '%s %s\n' "$key" "$(state_of "$key")"
	done >before
	is "$(cat before)" "$(printf '%s\n' 'pending new' 'waiting wait' \
	    'leased cur' 'held hold' 'done done' 'failed failed' \
	    'cancelled cancelled' 'expired expired')"
	for dir in new wait paced cur hold failed 'done' cancelled expired tmp; do
		rm -r "${queue:?}/$dir"
	done
	idq fsck
	for key in "${keys[@]}"; do
		printf '%s %s\n' "$key" "$(state_of "$key")"
	done >after
	diff before after
	for dir in new wait paced cur hold failed 'done' cancelled expired tmp; do
		is "$dir $(stat -c %a "$queue/$dir")" "$dir 700"
	done
	idq ack "$token"
	sound
}

@test "recovery: a job moves on where its directory was deleted" {
	idq add -k a
	rmdir "$queue/done" "$queue/cur"
	drain
	is "$(state_of a)" 'done'
	is "$(ran a)" 1
	sound
}
