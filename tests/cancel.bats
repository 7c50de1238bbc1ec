#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# cancel: a job that is not finished, whoever has it.

# Each test is a subshell of its own, and some words are for eval or another
# shell later; $spawned_pid, $output and $stderr come from the helpers and bats.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

# A command that says that it runs, waits for the file `gate' and exits with
# the number in it.
blocker='sleep 60 & child=$!
trap "kill $child; exit 9" TERM
echo "$$ $child" >>started
n=0
until [ -s gate ] || [ $((n += 1)) -gt 1500 ]; do sleep 0.02; done
kill $child
exit "$(cat gate)"'

setup() {
	common_setup
	idq init
	queue=$(queue_path)
	: >started
}

teardown() {
	echo 0 >gate
	common_teardown
}

trail() {
	awk 'body && n++ > 0 { print } /^$/ { body = 1 }' "$(key_file "$1")"
}

events() {
	trail "$1" | cut -d' ' -f2,3
}

# worker [OPTION...]: start one that runs the blocker.
worker() {
	local n

	n=$(wc -l <started)
	spawn idq work "$@" -- sh -c "$blocker"
	worker=$spawned_pid
	wait_for "[ \"\$(wc -l <started)\" -gt $n ]"
	command=$(tail -n 1 started | cut -d' ' -f1)
}

kill_worker() {
	kill -KILL "$worker"
	wait "$worker" 2>/dev/null || :
}

@test "cancel: a pending job is never run, in silence" {
	idq add -k a
	run -0 --separate-stderr idq cancel a
	expect 0 ''
	is "$(state_of a)" cancelled
	is "$(events a)" 'cancelled 0'
	idq work --drain -- touch ran
	[ ! -e ran ]
}

@test "cancel: the line says by whom, and when the key is free" {
	idq config keep 3d
	idq add -k a
	idq cancel a
	line=$(trail a)
	[[ $line =~ ^([^ ]*)\ cancelled\ 0\ (.*\ )?release=([^ ]*)(\ .*)?$ ]]
	is "$(($(date -d "${BASH_REMATCH[3]}" +%s%6N) -
	    $(date -d "${BASH_REMATCH[1]}" +%s%6N)))" $((3 * 86400 * 1000000))
	[[ " $line " == *" by=$(id -u) "* ]]
	is "$(cd "$queue" && find cancelled -type f)" \
	    "cancelled/${line:0:10}/$(hash_of a).$(id_of a)"
}

@test "cancel: the key stays held, and is free after keep" {
	need faketime
	idq add -k a
	idq cancel a
	run -0 --separate-stderr idq add -v -k a
	[[ $output == duplicate$'\t'*$'\t'cancelled$'\t'* ]]
	run -0 --separate-stderr at +6d idq add -v -k a
	[[ $output == duplicate$'\t'* ]]
	run -0 --separate-stderr at +8d idq add -v -k a
	[[ $output == added$'\t'* ]]
}

@test "cancel: a waiting and a held job" {
	idq add -k waiting --in 1h
	idq add -k failed
	idq work --drain -- false
	idq add -k held --on-crash hold
	idq work --drain -- sh -c 'kill -KILL $$' 2>stderr
	is "$(state_of failed) $(state_of held)" 'wait hold'
	run -0 --separate-stderr idq cancel waiting failed held
	expect 0 ''
	for key in waiting failed held; do
		is "$(state_of "$key")" cancelled
	done
	is "$(find "$queue/wait" -mindepth 1)" ''
	run -1 --separate-stderr idq claim
}

@test "cancel: twice is once" {
	idq add -k a
	idq cancel a
	before=$(cksum <"$(key_file a)")
	run -0 --separate-stderr idq cancel a
	expect 0 ''
	is "$(cksum <"$(key_file a)")" "$before"
}

@test "cancel: a finished job is 69, and nothing changes" {
	idq add -k 'done'
	idq work --drain -- true
	idq add -k failed
	idq work --drain -- sh -c 'exit 100' 2>stderr
	idq add -k expired --not-after @1
	for key in 'done' failed expired; do
		before=$(cksum <"$(key_file "$key")")
		run -69 --separate-stderr idq cancel "$key"
		expect 69 '' "idq: cancel: $key: is $key"
		is "$(cksum <"$(key_file "$key")")" "$before"
	done
	is "$(find "$queue/cancelled" "$queue/asked" -mindepth 1)" ''
}

@test "cancel: an unknown key is 1, with one line" {
	run -1 --separate-stderr idq cancel a
	expect 1 '' "idq: cancel: a: no such job in $queue"
}

@test "cancel: the worst status counts, and the other operands are done" {
	idq add -k 'done'
	idq work --drain -- true
	idq add -k a
	idq add -k b
	run -69 --separate-stderr idq cancel unknown a 'done' b
	expect 69 '' "idq: cancel: unknown: no such job in $queue
idq: cancel: done: is done"
	is "$(state_of a) $(state_of b)" 'cancelled cancelled'
	run -1 --separate-stderr idq cancel unknown a
	expect 1 '' "idq: cancel: unknown: no such job in $queue"
}

@test "cancel: -v says what was done" {
	idq add -k 'a key'
	idq add -k b
	run -1 --separate-stderr idq cancel -v 'a key' unknown b
	expect 1 "cancelled	$(hash_of 'a key')	a key
cancelled	$(hash_of b)	b" \
	    "idq: cancel: unknown: no such job in $queue"
}

@test "cancel: by prefix, token, -k and --per" {
	idq add -k a
	idq cancel ":$(hash_of a | cut -c1-8)"
	is "$(state_of a)" cancelled
	idq add -k b
	token=$(idq claim)
	idq cancel "$token"
	is "$(state_of b)" cancelled
	idq add -k c -k x/y
	idq cancel -k c -k x/y
	is "$(state_of c/x%2Fy)" cancelled
	idq add -k d --per year
	idq cancel -k d --per year
	is "$(state_of "d@$(date +%Y)")" cancelled
	idq add -k :colon
	run -64 --separate-stderr idq cancel :colon
	[[ $stderr == 'idq: cancel: :colon: '*-k* ]]
	idq cancel -k :colon
	is "$(state_of :colon)" cancelled
}

@test "cancel: a list on standard input" {
	idq add -k a
	idq add -k 'b c'
	idq add -k c
	run -64 --separate-stderr idq cancel - \
	    <<<"a"$'\n\n'"b c"$'\n'":$(hash_of c)"$'\nunknown'
	expect 64 '' "idq: cancel: line 2: is empty
idq: cancel: unknown: no such job in $queue"
	is "$(state_of a) $(state_of 'b c') $(state_of c)" \
	    'cancelled cancelled cancelled'
}

@test "cancel: a prefix of two jobs is 64 and touches neither" {
	# Their hashes begin alike.
	idq add -k job/42576
	idq add -k job/159952
	run -64 --separate-stderr idq cancel :c327688c
	is "$output" ''
	[[ $stderr == 'idq: cancel: :c327688c: '*several* ]]
	is "$(state_of job/42576) $(state_of job/159952)" 'new new'
	idq cancel :c327688c2
	is "$(state_of job/42576) $(state_of job/159952)" 'new cancelled'
}

@test "cancel: an option behind a key is 64, and nothing is cancelled" {
	idq add -k a
	run -64 --separate-stderr idq cancel a --kill
	expect 64 '' 'idq: cancel: --kill: options go before keys; use --'
	is "$(state_of a)" new
	idq add -k --kill
	idq cancel -- --kill
	is "$(state_of --kill)" cancelled
	run -64 --separate-stderr idq cancel
	expect 64 '' 'idq: cancel: no key given'
	run -64 --separate-stderr idq cancel -k a b
	is "$(state_of a)" new
}

@test "cancel: a leased job at once, and its token has lost" {
	idq add -k a
	token=$(idq claim)
	run -0 --separate-stderr idq cancel a
	expect 0 ''
	is "$(state_of a)" cancelled
	for verb in ack fail release renew; do
		run -69 --separate-stderr idq "$verb" "$token"
		is "$output" ''
		[[ $stderr == "idq: $verb: $token: claim lost: "* ]]
	done
	is "$(state_of a)" cancelled
}

@test "cancel: a running job is asked for, and says who asked" {
	idq add -k a
	worker
	run -0 --separate-stderr idq cancel a
	expect 0 ''
	is "$(state_of a)" cur
	[[ $(cat "$queue/asked/$(id_of a)") == "cancel "*"uid=$(id -u)"* ]]
	run -0 kill -0 "$command"
}

@test "cancel: a running job that ends well is done" {
	idq add -k a
	worker --once
	idq cancel a
	echo 0 >gate
	wait "$worker"
	is "$(state_of a)" 'done'
	is "$(events a)" $'claimed 1\ndone 1'
	is "$(find "$queue/asked" -type f)" ''
}

@test "cancel: a running job that ends badly is not retried" {
	idq add -k a
	idq add -k later
	for code in 1 75 100; do
		rm -f gate
		idq add -k "$code" --at @1700000000
		worker --once
		idq cancel "$code"
		echo "$code" >gate
		wait "$worker"
		is "$(state_of "$code")" cancelled
		is "$(events "$code")" $'claimed 1\ncancelled 1'
	done
	is "$(find "$queue/asked" -type f)" ''
	is "$(cat spawn.err)" ''
	is "$(state_of a)" new
}

@test "cancel: a running job whose worker and command were killed" {
	idq add -k a
	worker
	idq cancel a
	kill_worker
	kill -KILL -- "-$command"
	wait_for 'flock -n "$(key_file a)" true'
	run -1 --separate-stderr idq claim
	is "$(state_of a)" cancelled
	is "$(find "$queue/asked" -type f)" ''
	# The same, but asked for when both are dead already.
	idq add -k b
	worker
	kill_worker
	kill -KILL -- "-$command"
	wait_for 'flock -n "$(key_file b)" true'
	idq cancel b
	is "$(state_of b)" cancelled
	idq work --drain -- touch ran
	[ ! -e ran ]
}

@test "cancel: --kill ends the process group of a running job" {
	idq add -k a
	idq add -k b
	worker
	run -0 --separate-stderr idq cancel --kill a
	expect 0 ''
	wait_for '[ "$(state_of a)" = cancelled ]'
	# The words are for gone.
	wait_for "gone $(head -n 1 started)"
	is "$(events a)" $'claimed 1\ncancelled 1'
	# Its worker goes on.
	wait_for '[ "$(state_of b)" = cur ]'
	kill -0 "$worker"
	is "$(find "$queue/asked" -type f)" ''
}

@test "cancel: --kill after cancel still ends the command" {
	idq add -k a
	worker
	idq cancel a
	kill -0 "$command"
	idq cancel --kill a
	wait_for '[ "$(state_of a)" = cancelled ]' 5
}

@test "cancel: --kill is heeded at once by --drain and --once, too" {
	for how in --drain --once; do
		idq add -k "$how"
		worker "$how"
		idq cancel --kill -- "$how"
		wait_for "gone $(tail -n 1 started)" 5
		wait "$worker"
		is "$(state_of "$how")" cancelled
	done
}

@test "cancel: --kill kills what ignores SIGTERM, after the grace" {
	idq config grace 1s
	idq add -k a
	spawn idq work -- sh -c 'trap "echo term >>told" TERM
	    echo $$ >>started; while :; do sleep 0.05; done'
	wait_for '[ -s started ]'
	idq cancel --kill a
	wait_for '[ -s told ]' 5
	wait_for '[ "$(state_of a)" = cancelled ]' 5
	gone "$(cat started)"
	is "$(cat told)" term
}

@test "cancel: --kill ends the command of a worker that is dead" {
	idq add -k a
	worker
	kill_worker
	kill -0 "$command"
	run -0 --separate-stderr idq cancel --kill a
	expect 0 ''
	wait_for "gone $(cat started)"
	is "$(state_of a)" cancelled
	idq work --drain -- touch ran
	[ ! -e ran ]
}

@test "cancel: --kill knows the command of a worker that has ended others before" {
	for key in x y z; do
		idq add -k "$key"
	done
	echo 0 >gate
	spawn idq work -j 2 -- sh -c "$blocker"
	worker=$spawned_pid
	for key in x y z; do
		wait_for "[ \"\$(state_of $key)\" = done ]"
	done
	rm gate
	idq add -k a
	wait_for '[ "$(wc -l <started)" -eq 4 ]'
	command=$(tail -n 1 started | cut -d' ' -f1)
	wait_for 'grep -q " $command " "$queue"/run/pid.*'
	# Of those that have ended nothing is left.
	is "$(echo "$queue"/run/pid.*)" "$queue/run/pid.$(id_of a)"
	kill_worker
	run -0 --separate-stderr idq cancel --kill a
	expect 0 ''
	wait_for 'gone "$command"'
	is "$(state_of a)" cancelled
	# A worker that ends leaves none, either.
	rm -f "$queue"/run/spare.*
	echo 0 >gate
	idq add -k b
	idq work --drain -- true
	is "$(find "$queue/run" -name 'pid.*' -o -name 'spare.*')" ''
}

@test "cancel: --kill is 75 where nobody can tell whose process it is" {
	idq add -k a
	worker
	kill_worker
	rm "$queue"/run/pid.*
	run -75 --separate-stderr idq cancel --kill a
	is "$output" ''
	[[ $stderr == 'idq: cancel: a: '* ]]
	[[ $stderr != *$'\n'* ]]
	kill -0 "$command"
	# It is noted: once the command has ended the job is not run again.
	echo 0 >gate
	wait_for 'flock -n "$(key_file a)" true'
	idq work --drain -- touch ran
	[ ! -e ran ]
	is "$(state_of a)" cancelled
}

@test "cancel: --kill does not trust a pid of another process" {
	idq config grace 1s
	idq add -k a
	worker
	kill_worker
	spawn sleep 60
	other=$spawned_pid
	# The same pid file, but for the pid: the start time does not fit.
	sed -i "s/ $command / $other /" "$queue"/run/pid.*
	run -75 --separate-stderr timeout 30 idq cancel --kill a
	kill -0 "$other"
	kill -0 "$command"
}

@test "cancel: --kill of a job that does not run is a cancel" {
	idq add -k a
	idq add -k b --in 1h
	run -0 --separate-stderr idq cancel --kill a b
	expect 0 ''
	is "$(state_of a) $(state_of b)" 'cancelled cancelled'
}

@test "cancel: --kill ends the command of a run" {
	spawn idq run -q default -k a -- sh -c "$blocker"
	wait_for '[ -s started ]'
	run -0 --separate-stderr idq cancel --kill a
	expect 0 ''
	status=0
	wait "$spawned_pid" || status=$?
	is "$status" 9
	is "$(state_of a)" cancelled
	run -0 --separate-stderr idq run -q default -k a -- touch again
	expect 0 ''
	[ ! -e again ]
}

@test "cancel: --kill ends the command of a run alone" {
	spawn idq run -q default -k a -- \
	    sh -c 'sleep 60 & echo $! >child; echo >started; wait'
	wait_for '[ -s started ]'
	# Whose process it is may be written later than the command begins.
	wait_for 'compgen -G "$queue/run/pid.*" >/dev/null'
	idq cancel --kill a
	status=0
	wait "$spawned_pid" || status=$?
	[[ $(ps -o stat= -p "$(cat child)") == S* ]]
	kill "$(cat child)"
	is "$status" 143
	is "$(state_of a)" cancelled
}

@test "cancel: --kill ends the command of a run that can watch nothing" {
	need cc
	cc -shared -fPIC -x c -o nowatch.so - <<-'END'
		#include <errno.h>
		#include <stdint.h>
		int inotify_add_watch(int fd, const char *path, uint32_t mask)
		{
			(void)fd, (void)path, (void)mask;
			errno = ENOSPC;
			return -1;
		}
	END
	spawn env LD_PRELOAD="$PWD/nowatch.so" \
	    idq run -q default -k a -- sh -c "$blocker"
	wait_for '[ -s started ]'
	run -0 --separate-stderr idq cancel --kill a
	expect 0 ''
	wait_for '[ "$(state_of a)" = cancelled ]'
	status=0
	wait "$spawned_pid" || status=$?
	is "$status" 9
}

@test "cancel: a run that ends badly is cancelled, one that ends well is done" {
	for code in 0 1; do
		: >started
		rm -f gate
		spawn idq run -q default -k "$code" -- sh -c "$blocker"
		wait_for '[ -s started ]'
		idq cancel "$code"
		echo "$code" >gate
		status=0
		wait "$spawned_pid" || status=$?
		is "$status" "$code"
	done
	is "$(state_of 0) $(state_of 1)" 'done cancelled'
}

@test "cancel: a wish that comes while a failure is written is not lost" {
	need cc
	cc -shared -fPIC -x c -o slow.so - <<-'END'
		#define _GNU_SOURCE
		#include <fcntl.h>
		#include <string.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		ssize_t write(int fd, const void *s, size_t n)
		{
			if (memmem(s, n, "Z failed ", 9) != NULL) {
				close(open("writing", O_CREAT | O_WRONLY, 0600));
				while (access("go", F_OK) == -1)
					usleep(1000);
			}
			return syscall(SYS_write, fd, s, n);
		}
	END
	idq add -k a
	token=$(idq claim)
	spawn env LD_PRELOAD="$PWD/slow.so" idq fail --exit 100 "$token"
	wait_for '[ -e writing ]'
	run -0 --separate-stderr idq cancel a
	expect 0 ''
	: >go
	wait "$spawned_pid"
	is "$(state_of a)" cancelled
	[ -z "$(ls "$(queue_path)/asked")" ]
}

@test "cancel: a wish is not lost with who wrote the failure" {
	queue=$(queue_path)
	idq add -k a
	idq fail --exit 100 "$(idq claim)"
	is "$(state_of a)" failed
	mv "$queue/failed/$(hash_of a).$(id_of a)" "$queue/cur"
	echo cancel >"$queue/asked/$(id_of a)"
	run -1 --separate-stderr idq claim
	is "$(state_of a)" cancelled
	[ -z "$(ls "$queue/asked")" ]
}

@test "cancel: the log says it" {
	idq add -k a -g group
	idq cancel a
	run -0 --separate-stderr sh -c 'idq log a | cut -f2,3,5,6'
	expect 0 "added	$(hash_of a).$(id_of a).0	group	a
cancelled	$(hash_of a).$(id_of a).0	group	a"
}
