#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# run: a command in the foreground, once per key.

# Each test is a subshell of its own, and some words are for eval or another
# shell later; $spawned_pid, $output and $stderr come from the helpers and bats.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

# A command that says that it runs, and waits for the file `gate'.
blocker='echo "$$" >>started
n=0
until [ -e gate ] || [ $((n += 1)) -gt 1500 ]; do sleep 0.02; done'

setup() {
	common_setup
	idq init -q run
	queue=$(queue_path run)
	: >started
}

teardown() {
	: >gate
	common_teardown
}

# trail KEY: its lines.
trail() {
	awk 'body && n++ > 0 { print } /^$/ { body = 1 }' "$(key_file "$1" run)"
}

events() {
	trail "$1" | cut -d' ' -f2,3
}

# due KEY: a try that has failed, and whose delay is over.
due() {
	idq run -k "$1" -- false || :
	idq retry -q run "$1"
}

# lock KEY: somebody who does not run it has its lock, until `unlock' is there.
lock() {
	spawn flock "$(key_file "$1" run)" sh -c ': >locked
	    until [ -e unlock ] || [ -e gate ]; do sleep 0.02; done'
	wait_for '[ -e locked ]'
}

# slow WHERE COMMAND...: in the background, and waits for `go' before it writes
# that it has claimed a job (claim), or before a sync (sync).
slow() {
	need cc
	cc -shared -fPIC -x c -o slow.so - <<-'END'
		#define _GNU_SOURCE
		#include <fcntl.h>
		#include <stdlib.h>
		#include <string.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		static void stop(const char *where)
		{
			const char *s = getenv("SLOW");
			if (s == NULL || strcmp(s, where) != 0)
				return;
			close(open("slow", O_CREAT | O_WRONLY, 0600));
			while (access("go", F_OK) == -1 &&
			    access("gate", F_OK) == -1)
				usleep(1000);
		}
		ssize_t write(int fd, const void *s, size_t n)
		{
			if (memmem(s, n, "Z claimed ", 10) != NULL)
				stop("claim");
			return syscall(SYS_write, fd, s, n);
		}
		int fsync(int fd)
		{
			stop("sync");
			return syscall(SYS_fsync, fd);
		}
	END
	spawn env SLOW="$1" LD_PRELOAD="$PWD/slow.so" "${@:2}"
	wait_for '[ -e slow ]'
}

# waits PID KEY: it has the job open, and so has looked at it.
waits() {
	find -L "/proc/$1/fd" -samefile "$(key_file "$2" run)" | grep -q .
}

@test "run: the first one runs the command, the second one nothing" {
	run -0 --separate-stderr idq run -k report -- \
	    sh -c 'echo ran; echo words >&2'
	expect 0 ran words
	is "$(state_of report run)" 'done'
	run -0 --separate-stderr idq run -k report -- touch again
	expect 0 ''
	[ ! -e again ]
	is "$(events report)" $'claimed 1\ndone 1'
}

@test "run: its job is marked, and never was where workers look" {
	idq run -k a -- sh -c \
	    'find "$0/new" "$0/wait" -type f; ls "$0/cur"' "$queue" >seen
	id=$(sed -n 's/^Id: //p;/^$/q' "$(key_file a run)")
	is "$(cat seen)" "$(hash_of a).$id"
	grep -qax 'Run: 1' "$(key_file a run)"
	is "$(find "$queue/done" -type f -printf '%f\n')" "$(hash_of a).$id"
	is "$(idq show -q run --field run a)" yes
	is "$(idq show -q run --field length a)" 0
}

@test "run: its queue is made when it is first needed, with one line" {
	rm -r "$queue"
	run -0 --separate-stderr idq run -k a -- echo ran
	expect 0 ran "idq: run: made the queue $queue"
	run -0 --separate-stderr idq run -k b -- echo ran
	expect 0 ran
	[ ! -e "$(queue_path)" ]
}

@test "run: another queue is not made" {
	run -125 --separate-stderr idq run -q calls -k a -- touch ran
	expect 125 '' \
	    "idq: run: $(queue_path calls): no such queue; make it with: idq init -q calls"
	[ ! -e ran ]
	[ ! -e "$(queue_path calls)" ]
	idq init -q calls
	idq run -q calls -k a -- touch ran
	[ -e ran ]
	is "$(state_of a calls)" 'done'
}

@test "run: standard input is the command's" {
	head -c 200000 /dev/urandom >input
	idq run -k a -- cat <input >output
	cmp input output
	# One that runs nothing takes nothing of it.
	is "$(printf 'one\ntwo\n' | { idq run -k a -- cat; cat; })" $'one\ntwo'
}

@test "run: directory, umask, process group and args are untouched" {
	mkdir here
	cd here
	umask 027
	run -0 --separate-stderr idq run -k a -- sh -c '
		pwd -P; umask; printf "<%s>" "$@"
		[ "$(ps -o pgid= -p $$)" = "$(ps -o pgid= -p $PPID)" ]' \
	    sh 'two words' '' '$(touch no)' '*'
	expect 0 "$(pwd -P)
0027
<two words><><\$(touch no)><*>"
}

@test "run: IDQ_KEY and IDQ_ATTEMPT tell the command" {
	need faketime
	run -1 --separate-stderr idq run -k a -k b -- \
	    sh -c 'echo "$IDQ_KEY $IDQ_ATTEMPT $IDQ_QUEUE"; exit 1'
	expect 1 "a/b 1 $queue"
	run -0 --separate-stderr at +5m idq run -k a -k b -- \
	    sh -c 'echo "$IDQ_KEY $IDQ_ATTEMPT"'
	expect 0 'a/b 2'
}

@test "run: the exit status is the command's" {
	for code in 0 1 2 75 100 111 254; do
		run "-$code" --separate-stderr idq run -k "key $code" -- \
		    sh -c "exit $code"
		is "$output" ''
	done
}

@test "run: of a signal it is 128 and the number" {
	for signal in 9 10 15; do
		run "-$((128 + signal))" --separate-stderr \
		    idq run -k "$signal" -- sh -c "kill -$signal \$\$"
		expect $((128 + signal)) ''
		is "$(field signal "$(trail "$signal" | tail -n 1)")" "$signal"
	done
}

@test "run: a key that is running elsewhere is left alone, in silence" {
	spawn idq run -k a -- sh -c "$blocker"
	first=$spawned_pid
	wait_for '[ -s started ]'
	run -0 --separate-stderr timeout 5 idq run -k a -- touch again
	expect 0 ''
	[ ! -e again ]
	: >gate
	wait "$first"
	is "$(events a)" $'claimed 1\ndone 1'
}

@test "run: of many at once, one runs" {
	local pids=() i

	for i in 1 2 3 4 5 6 7 8; do
		spawn idq run -k a -- sh -c 'echo ran >>ran; sleep 0.1'
		pids+=("$spawned_pid")
	done
	for i in "${pids[@]}"; do
		wait "$i"
	done
	is "$(cat ran)" ran
	is "$(cat spawn.out spawn.err)" ''
}

@test "run: a failed try is tried again after its delay, in silence before" {
	need faketime
	run -3 --separate-stderr idq run -k a -- sh -c 'exit 3'
	expect 3 ''
	is "$(state_of a run)" failed
	line=$(trail a | tail -n 1)
	is "$(field exit "$line")" 3
	next=$(date -u -d "$(field next "$line")" +%s)
	ended=$(date -u -d "${line%% *}" +%s)
	[ $((next - ended)) -ge 47 ]
	[ $((next - ended)) -le 73 ]
	run -75 --separate-stderr idq run -k a -- touch early
	expect 75 ''
	run -75 --separate-stderr at +40s idq run -k a -- touch early
	expect 75 ''
	[ ! -e early ]
	# What is run then is the command of then.
	run -0 --separate-stderr at +80s idq run -k a -- echo edited
	expect 0 edited
	is "$(state_of a run)" 'done'
	is "$(events a)" $'claimed 1\nfailed 1\nclaimed 2\ndone 2'
	run -0 --separate-stderr at +80s idq run -k a -- touch again
	expect 0 ''
	[ ! -e again ]
}

@test "run: a delay of one second is over after it" {
	idq config -q run backoff 1s
	run -1 --separate-stderr idq run -k a -- false
	run -75 --separate-stderr idq run -k a -- true
	expect 75 ''
	wait_for 'idq run -k a -- touch again' 3
	[ -e again ]
}

@test "run: tries are not counted against attempts, and delays grow" {
	local day line

	need faketime
	idq config -q run attempts 2
	for day in 0 1 2 3; do
		run -1 --separate-stderr at "+${day}d" idq run -k a -- false
		expect 1 ''
	done
	line=$(trail a | tail -n 1)
	[[ $line == *' failed 4 '* ]]
	next=$(date -u -d "$(field next "$line")" +%s)
	ended=$(date -u -d "${line%% *}" +%s)
	[ $((next - ended)) -ge $((480 * 8 / 10 - 1)) ]
	[ $((next - ended)) -le $((480 * 12 / 10 + 1)) ]
	run -0 --separate-stderr at +4d idq run -k a -- true
	is "$(state_of a run)" 'done'
}

@test "run: a try is no duplicate, one that was suppressed is" {
	need faketime
	run -1 --separate-stderr idq run -k a -- false
	at +1d idq run -k a -- true
	is "$(idq show -q run --field dups a)" 0
	idq run -k a -- true
	idq run -k a -- true
	is "$(idq show -q run --field dups a)" 2
}

@test "run: exits 75 and 111 mean later, too" {
	need faketime
	run -75 --separate-stderr idq run -k a -- sh -c 'exit 75'
	expect 75 ''
	is "$(events a)" $'claimed 1\nlater 1'
	is "$(state_of a run)" failed
	is "$(idq show -q run --field attempts a)" 0
	run -0 --separate-stderr at +5m idq run -k a -- echo ran
	expect 0 ran
}

@test "run: exit 100 fails for good, with one line from then on" {
	need faketime
	run -100 --separate-stderr idq run -k a -- sh -c 'exit 100'
	is "$output" ''
	for at in +0 +1d; do
		run -75 --separate-stderr at "$at" idq run -k a -- touch again
		is "$output" ''
		[[ $stderr == 'idq: run: a: '*'idq retry'* ]]
		[[ $stderr != *$'\n'* ]]
	done
	[ ! -e again ]
	idq retry -q run a
	run -0 --separate-stderr idq run -k a -- echo again
	expect 0 again
}

@test "run: a held key is 75, with one line" {
	run -137 --separate-stderr idq run -k a --on-crash hold -- \
	    sh -c 'kill -KILL $$'
	is "$(state_of a run)" hold
	run -75 --separate-stderr idq run -k a -- touch again
	is "$output" ''
	[[ $stderr == 'idq: run: a: is held; '* ]]
	[[ $stderr != *$'\n'* ]]
	[ ! -e again ]
	idq retry -q run a
	is "$(state_of a run)" failed
	run -0 --separate-stderr idq run -k a -- echo again
	expect 0 again
	is "$(state_of a run)" 'done'
}

@test "run: a cancelled key is 0, in silence" {
	run -1 --separate-stderr idq run -k a -- false
	idq cancel -q run a
	is "$(state_of a run)" cancelled
	run -0 --separate-stderr idq run -k a -- touch again
	expect 0 ''
	[ ! -e again ]
}

@test "run: the key of an added job is refused, with one line" {
	idq add -q run -k a
	run -75 --separate-stderr idq run -k a -- touch ran
	is "$output" ''
	[[ $stderr == 'idq: run: a: '* ]]
	[ ! -e ran ]
	is "$(state_of a run)" new
}

@test "run: a command that is not found is 127, and tried again at once" {
	run -127 --separate-stderr idq run -k a -- no-such-command
	expect 127 '' 'idq: run: no-such-command: No such file or directory'
	is "$(idq show -q run --field attempts a)" 0
	run -127 --separate-stderr idq run -k a -- no-such-command
	run -0 --separate-stderr idq run -k a -- echo ran
	expect 0 ran
}

@test "run: a command that is not executable is 126" {
	: >plain
	run -126 --separate-stderr idq run -k a -- ./plain
	expect 126 '' 'idq: run: ./plain: Permission denied'
	chmod +x plain
	echo '#!/bin/sh
	echo ran' >plain
	run -0 --separate-stderr idq run -k a -- ./plain
	expect 0 ran
}

@test "run: what is wrong with its own usage is 125" {
	run -125 --separate-stderr idq run -- true
	expect 125 '' 'idq: run: no key given; use -k'
	run -125 --separate-stderr idq run -k a
	expect 125 '' 'idq: run: no command given'
	run -125 --separate-stderr idq run -k a --per fortnight -- true
	is "$output" ''
	[[ $stderr == "idq: run: --per: unknown word 'fortnight'"* ]]
	run -125 --separate-stderr idq run -k a -k '' -- true
	[[ $stderr == 'idq: run: '*'empty'* ]]
	run -125 --separate-stderr idq run --attempts 3 -k a -- true
	[[ $stderr == "idq: run: unknown option '--attempts'"* ]]
	run -125 --separate-stderr idq run -k a --keep 7 -- true
	[[ $stderr == *"'7s'"* ]]
	run -125 --separate-stderr idq run -k a touch --reference=x
	[[ $stderr == *'options go before keys; use --' ]]
	is "$(find "$queue/keys" -type f)" ''
}

@test "run: what is wrong with its queue is 125" {
	echo 'idq spool 2' >"$queue/format"
	run -125 --separate-stderr idq run -k a -- touch ran
	is "$output" ''
	[[ $stderr == "idq: run: $queue: "*newer* ]]
	[ ! -e ran ]
}

@test "run: a damaged file of the key is 125 and is left alone" {
	local path

	path=$(key_file a run)
	echo 'not a job' >"$path"
	run -125 --separate-stderr idq run -k a -- touch ran
	is "$output" ''
	[[ $stderr == "idq: run: "*"$path"* ]]
	[ ! -e ran ]
	is "$(cat "$path")" 'not a job'
}

@test "run: --per day runs once a day of local time" {
	need faketime
	day() {
		TZ=Europe/Berlin at "$1" \
		    "$IDQ" run -k report --per day -- sh -c 'echo "$IDQ_KEY"'
	}
	run -0 --separate-stderr day '@2026-11-23 00:30:00'
	expect 0 report@2026-11-23
	run -0 --separate-stderr day '@2026-11-23 23:50:00'
	expect 0 ''
	run -0 --separate-stderr day '@2026-11-24 00:10:00'
	expect 0 report@2026-11-24
}

@test "run: --per hour runs in both of the hours that have one name" {
	need faketime
	hour() {
		TZ=Europe/Berlin at \
		    "$(printf %+ds $(($1 - $(date +%s))))" \
		    "$IDQ" run -k report --per hour -- sh -c 'echo "$IDQ_KEY"'
	}
	# 2026-10-25T00:30Z is 02:30 in summer, an hour later it is 02:30 again.
	run -0 --separate-stderr hour 1792888200
	expect 0 report@2026-10-25T02+0200
	run -0 --separate-stderr hour 1792888500
	expect 0 ''
	run -0 --separate-stderr hour 1792891800
	expect 0 report@2026-10-25T02+0100
}

@test "run: --keep says how long the key is remembered" {
	need faketime
	idq run -k a --keep 1h -- true
	run -0 --separate-stderr at +50m idq run -k a -- echo early
	expect 0 ''
	run -0 --separate-stderr at +70m idq run -k a -- echo again
	expect 0 again
	idq run -k b --keep forever -- true
	is "$(field release "$(trail b | tail -n 1)")" never
}

@test "run: the command gets the signal that was sent to run" {
	for signal in TERM INT HUP; do
		: >started
		spawn env --default-signal=INT "$IDQ" run -k "$signal" -- sh -c \
		    'trap "echo $0 >>told; exit 9" $0; eval "$1"' \
		    "$signal" "$blocker"
		wait_for '[ -s started ]'
		kill "-$signal" "$spawned_pid"
		status=0
		wait "$spawned_pid" || status=$?
		is "$status" 9
		is "$(field exit "$(trail "$signal" | tail -n 1)")" 9
	done
	is "$(cat told)" $'TERM\nINT\nHUP'
}

@test "run: a command that dies of that signal makes it 143" {
	spawn idq run -k a -- sh -c "$blocker"
	wait_for '[ -s started ]'
	kill -TERM "$spawned_pid"
	status=0
	wait "$spawned_pid" || status=$?
	is "$status" 143
	is "$(state_of a run)" failed
	is "$(field signal "$(trail a | tail -n 1)")" 15
}

@test "run: a timeout ends the command alone" {
	idq config -q run timeout 1s
	run -143 --separate-stderr timeout 20 idq run -k a -- \
	    sh -c 'sleep 60 >&- 2>&- 3>&- & echo $! >child; wait'
	expect 143 ''
	[[ $(ps -o stat= -p "$(cat child)") == S* ]]
	kill "$(cat child)"
	[[ $(trail a | tail -n 1) == *' failed 1 reason=timeout to=failed '* ]]
	is "$(state_of a run)" failed
}

@test "run: a timeout of a month is one" {
	need strace
	idq config -q run timeout 30d
	# The leak checker is no friend of strace.
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 \
	    strace -qq -o calls -e trace=poll,ppoll idq run -k a -- \
	    sh -c 'until [ -s calls ]; do sleep 0.02; done'
	# As much of it as poll(2) takes, which without an end is less than 0.
	grep -E ', (2147483647|\{tv_sec=2147483, )' calls
}

@test "run: no worker and no claim takes its job" {
	need faketime
	run -1 --separate-stderr idq run -k a -- false
	before=$(events a)
	run -0 --separate-stderr at +1h idq work -q run --drain -- touch ran
	expect 0 ''
	run -1 --separate-stderr at +1h idq claim -q run
	expect 1 ''
	[ ! -e ran ]
	is "$(events a)" "$before"
	# Nor a retried one.
	idq retry -q run a
	is "$(state_of a run)" failed
	run -0 --separate-stderr idq work -q run --drain -- touch ran
	run -1 --separate-stderr idq claim -q run
	[ ! -e ran ]
	# Nor while it runs.
	spawn idq run -k a -- sh -c "$blocker"
	wait_for '[ -s started ]'
	run -1 --separate-stderr idq claim -q run
	idq work -q run --drain -- touch ran
	[ ! -e ran ]
	: >gate
	wait "$spawned_pid"
	is "$(state_of a run)" 'done'
}

@test "run: a follower on its queue leaves it alone" {
	idq config -q run backoff 1s
	spawn idq work -q run -- sh -c 'echo "$IDQ_KEY" >>ran'
	run -1 --separate-stderr idq run -k a -- false
	# For eval.
	# shellcheck disable=SC2034
	due=$(date -u -d "$(field next "$(trail a | tail -n 1)")" +%s%6N)
	wait_for '[ "$(date +%s%6N)" -gt "$due" ]'
	# The worker is awake, and has passed it over.
	idq add -q run -k b
	wait_for '[ "$(state_of b run)" = "done" ]'
	is "$(cat ran)" b
	is "$(events a)" $'claimed 1\nfailed 1'
}

@test "run: a job of an add that has failed is not tried again" {
	idq add -q run --attempts 1 -k a -- x
	idq fail -q run "$(idq claim -q run)"
	run -75 --separate-stderr idq run -k a -- touch ran
	expect 75 '' 'idq: run: a: failed as a job of idq add'
	[ ! -e ran ]
}

@test "run: who has the lock of a failed job for a moment is waited for" {
	due a
	lock a
	spawn idq run -k a -- sh -c 'echo ran >>ran'
	second=$spawned_pid
	wait_for 'waits "$second" a'
	: >unlock
	wait "$second"
	is "$(cat ran)" ran
	is "$(state_of a run)" 'done'
	is "$(cat spawn.out spawn.err)" ''
}

@test "run: who has the lock may be killed before the job is in its place" {
	due a
	mv "$queue/failed/$(hash_of a)".* "$queue/cur"
	lock a
	spawn idq run -k a -- sh -c 'ls "$IDQ_QUEUE/cur"'
	second=$spawned_pid
	wait_for 'waits "$second" a'
	: >unlock
	wait "$second"
	[[ $(cat spawn.out) == "$(hash_of a)."* ]]
	is "$(state_of a run)" 'done'
	is "$(cat spawn.err)" ''
}

@test "run: a key that another run is about to claim is left alone, in silence" {
	slow claim idq run -k a -- sh -c "$blocker"
	first=$spawned_pid
	is "$(state_of a run) $(trail a)" 'cur '
	spawn idq run -k a -- touch again
	second=$spawned_pid
	wait_for 'waits "$second" a'
	: >go
	wait "$second"
	: >gate
	wait "$first"
	[ ! -e again ]
	is "$(events a)" $'claimed 1\ndone 1'
	is "$(cat spawn.out spawn.err)" ''
}

@test "run: a key whose run is killed before it has claimed it is run" {
	slow claim idq run -k a -- touch ran
	first=$spawned_pid
	spawn idq run -k a -- echo second
	second=$spawned_pid
	wait_for 'waits "$second" a'
	kill -KILL "$first"
	wait "$second"
	[ ! -e ran ]
	is "$(events a)" $'failed 0\nclaimed 1\ndone 1'
	is "$(state_of a run)" 'done'
	is "$(cat spawn.out)" second
	is "$(cat spawn.err)" ''
}

@test "run: a pause counts that comes while the job is added" {
	slow sync idq run -k a -- touch ran
	[ -e "$(key_file a run)" ]
	idq pause -q run
	: >go
	status=0
	wait "$spawned_pid" || status=$?
	is "$status" 75
	[ ! -e ran ]
	is "$(cat spawn.out spawn.err)" ''
	# As if it had not been.
	is "$(find "$queue/keys" "$queue/tmp" "$queue/cur" -type f)" ''
	is "$(idq log -q run | cut -f2)" paused
	idq resume -q run
	run -0 --separate-stderr idq run -k a -- echo ran
	expect 0 ran
}

@test "run: a pause counts that comes while a failed job is locked" {
	due a
	before=$(events a)
	lock a
	spawn idq run -k a -- touch ran
	second=$spawned_pid
	wait_for 'waits "$second" a'
	idq pause -q run
	: >unlock
	status=0
	wait "$second" || status=$?
	is "$status" 75
	[ ! -e ran ]
	is "$(events a)" "$before"
	is "$(cat spawn.out spawn.err)" ''
}

@test "run: two queues have each their own keys" {
	idq init -q other
	idq run -k a -- true
	run -0 --separate-stderr idq run -q other -k a -- echo ran
	expect 0 ran
}
