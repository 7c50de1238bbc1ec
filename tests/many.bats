#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Many jobs for one command: idq work --batch.

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# answer STATUS: a command that keeps its lines and says that for each job.
answer() {
	printf 'cat >lines; jq -r "[.id, %s] | @tsv" lines' "$1"
}

# add_n N: jobs 1 to N, with their numbers as payload.
add_n() {
	seq "$1" | sed 's/.*/&\t&/' | idq add --batch
}

@test "many: a command gets a line for each job, the oldest first" {
	need jq
	printf 'a "\\\n\303\270' | idq add -k one -g 'x y' --payload - -- 1 ''
	idq add -k one -g 'x y' --payload - -- 1 '' <<<"other" || :
	printf 'a "\\\n\303\270' | idq add -k one -g 'x y' --payload - -- 1 ''
	printf '\0\377x' | idq add -k two --payload -
	idq add -k three
	printf 'a\0b' | idq add -k four --payload -
	run -0 --separate-stderr idq work --drain --batch 9 -- sh -c "$(answer 0)"
	expect 0 ''
	is "$(jq -r .key lines | tr '\n' ' ')" 'one two three four '
	is "$(sed -n 4p lines | jq -c '[.payload, .payload_base64]')" \
	    '[null,"YQBi"]'
	jq -es --arg id "$(id_of one)" --arg hash "$(hash_of one)" \
	    --arg added "$(header Added one)" '.[0] == {id: $id, key: "one",
	    hash: $hash, attempt: 1, added: $added, dups: 1, group: "x y",
	    args: ["1", ""], payload: "a \"\\\nø"}' lines
	is "$(sed -n 2p lines | jq -r .payload_base64)" AP94
	is "$(sed -n 2p lines | jq .payload)" null
	jq -es '.[2].payload == "" and .[2].group == null and
	    .[2].args == []' lines
	for key in one two three; do
		is "$(state_of $key)" 'done'
	done
}

@test "many: base64 has all lengths, with padding" {
	need jq
	for n in 1 2 3 4 5 6; do
		printf '\377%.0s' $(seq "$n") | idq add -k "$n" --payload -
	done
	idq work --drain --batch 9 -- sh -c "$(answer 0)"
	for n in 1 2 3 4 5 6; do
		is "$(jq -r "select(.key == \"$n\").payload_base64" lines)" \
		    "$(printf '\377%.0s' $(seq "$n") | base64)"
	done
}

@test "many: each gets at most so many, and as many as there are" {
	need jq
	add_n 7
	idq work --drain --batch 3 -- sh -c 'wc -l <"$0" >>sizes
	    '"$(answer 0)" /dev/stdin
	is "$(tr '\n' ' ' <sizes)" '3 3 1 '
	add_n 9
	idq work --once --batch 1 -- sh -c "$(answer 0)"
	is "$(state_of 8)" 'done'
	is "$(state_of 9)" new
}

@test "many: an answer means what the exit status of a command means" {
	need jq
	local key

	for key in 0 75 111 100 1; do
		idq add -k "$key"
	done
	run -0 --separate-stderr idq work --drain --batch 9 -v -- \
	    sh -c "$(answer '(.key | tonumber)')"
	is "$(cut -f1,3,4 <<<"$output" | sort)" \
	    "$(printf '%s\n' done:1:0 failed:1:100 waiting:0:111 waiting:0:75 \
	    waiting:1:1 | tr : '\t')"
	is "$stderr" 'idq: work: default: 100: failed after 1 attempt (exit 100)'
	is "$(field exit "$(last 100)")" 100
	[[ $(last 75) == *' later '* ]]
}

@test "many: without an answer it is a failed attempt, though the command exits 0" {
	need jq
	add_n 3
	run -0 --separate-stderr idq work --drain --batch 9 -- \
	    sh -c 'jq -r "select(.key == \"2\") | [.id, 0] | @tsv"'
	is "$(state_of 2)" 'done'
	for key in 1 3; do
		is "$(state_of $key)" wait
		is "$(field reason "$(last $key)")" no-answer
		is "$(idq show --field attempts $key)" 1
	done
}

@test "many: without an answer it ends as the command does" {
	local key

	for key in 75 100 9; do
		idq add -k "$key"
		idq work --drain --batch 9 -- sh -c "cat >lines; exit $key" \
		    2>>told
	done
	[[ $(last 75) == *' later '* ]]
	is "$(state_of 100)" failed
	is "$(field exit "$(last 9)")" 9
	idq add -k crash --on-crash hold
	idq work --drain --batch 9 -- sh -c 'kill -KILL $$' 2>>told
	is "$(state_of crash)" hold
	is "$(field signal "$(last crash)")" 9
}

@test "many: what a command has said before it crashed is so" {
	need jq
	add_n 4
	idq work --once --batch 9 -- sh -c '
		head -n 2 | jq -r "[.id, 0] | @tsv"
		kill -KILL $$'
	is "$(state_of 1) $(state_of 2)" 'done done'
	is "$(field signal "$(last 3)") $(field signal "$(last 4)")" '9 9'
}

@test "many: lines that are no answers are named and count for nothing" {
	need jq
	add_n 2
	run -0 --separate-stderr idq work --once --batch 9 -- sh -c '
		id=$(jq -r .id | head -n 1)
		printf "%s\t0\n%s\t100\n" "$id" "$id"
		printf "0123456789abcdef\t0\nhello\n\n%s 0\n%s\t256\n" "$id" "$id"
		printf "%s\t0x\n%s\t-1\n%s\t\n" "$id" "$id" "$id"
		printf "%0100d\n%s\t1" 0 "$id"'
	is "$stderr" "idq: work: $queue: 11 lines of a command's output are no answers"
	is "$(state_of 1)" 'done'
	is "$(field reason "$(last 2)")" no-answer
}

@test "many: a line with a NUL is no answer, and hides none behind it" {
	need jq
	add_n 4
	run -0 --separate-stderr idq work --once --batch 9 -- sh -c '
		set -- $(jq -r .id)
		printf "x\0y\n%s\t0\n\0\n%s\t0\n" "$1" "$2"
		printf "%s\t0\0\n%s\t0\n\0" "$3" "$4"'
	is "$stderr" "idq: work: $queue: 4 lines of a command's output are no answers"
	is "$(state_of 1) $(state_of 2) $(state_of 4)" 'done done done'
	is "$(field reason "$(last 3)")" no-answer
}

@test "many: an answer without its newline is none" {
	need jq
	add_n 1
	idq work --once --batch 9 -- sh -c \
	    'printf "%s\t0" "$(jq -r .id)"' 2>>told
	is "$(field reason "$(last 1)")" no-answer
}

@test "many: the command gets the queue, and no job's variables or arguments" {
	idq add -k a -- arg
	IDQ_KEY=mine idq work --once --batch 2 -- sh -c '
		echo "$# $1" >>got; env | grep ^IDQ_ | grep -v BUILD | sort >>got' sh own 2>>told
	is "$(cat got)" "1 own
IDQ_QUEUE=$queue
IDQ_SPOOL=${queue%/*}"
}

@test "many: while the command lives no job is run again, though the worker was killed" {
	add_n 3
	spawn idq work --batch 9 -- sh -c 'cat >lines; echo $$ >started
		while [ ! -e go ]; do sleep 0.02; done'
	wait_for '[ -s started ]'
	is "$(wc -l <lines)" 3
	kill -KILL "$spawned_pid"
	wait_for 'gone "$spawned_pid"'
	run -0 --separate-stderr idq work --drain -- touch ran
	expect 0 ''
	[ ! -e ran ]
	is "$(state_of 2)" cur
	touch go
	wait_for 'flock -n "$(key_file 3)" true'
	idq work --drain -- sh -c 'echo "$IDQ_KEY" >>ran'
	is "$(tr '\n' ' ' <ran)" '1 2 3 '
	is "$(field N "x $(last 1)")" ''
	[[ $(events 1) == 'claimed 1 interrupted 1 claimed 2 done 2 ' ]]
}

@test "many: it inherits 0, 1, 2 and a lock for each job, from 64 on" {
	need jq
	add_n 3
	idq work --once --batch 9 -- sh -c '
		ls -v /proc/self/fd >fds
		'"$(answer 0)"
	# 3 is what ls reads.
	is "$(head -n 4 fds | tr '\n' ' ')" '0 1 2 3 '
	is "$(wc -l <fds)" 7
	[ "$(sed -n 5p fds)" -ge 64 ]
}

@test "many: told to stop, it lets the command end, and what that says is so" {
	need jq
	add_n 2
	spawn idq work --batch 9 -- sh -c 'cat >lines; echo >started
		while [ ! -e go ]; do sleep 0.02; done
		jq -r "[.id, 0] | @tsv" lines'
	wait_for '[ -e started ]'
	kill -TERM "$spawned_pid"
	add_n 3
	touch go
	wait "$spawned_pid"
	is "$(state_of 1) $(state_of 2) $(state_of 3)" 'done done new'
}

@test "many: a command that is stopped has its other jobs interrupted" {
	need jq
	add_n 2
	idq config grace 1s
	spawn idq work --batch 9 -- sh -c 'trap "exit 0" TERM
		head -n 1 | jq -r "[.id, 0] | @tsv"; echo >started
		while :; do sleep 0.02; done'
	wait_for '[ -e started ]'
	kill -TERM "$spawned_pid"
	kill -TERM "$spawned_pid"
	wait "$spawned_pid"
	is "$(state_of 1)" 'done'
	is "$(events 2)" 'claimed 1 interrupted 1 '
}

@test "many: one that takes too long fails those it has not answered" {
	need jq
	add_n 2
	idq work --once --batch 9 --timeout 1s -- sh -c '
		head -n 1 | jq -r "[.id, 0] | @tsv"; sleep 60'
	is "$(state_of 1)" 'done'
	is "$(field reason "$(last 2)")" timeout
}

@test "many: a job that is cancelled meanwhile is cancelled in the end" {
	need jq
	add_n 3
	spawn idq work --batch 9 -- sh -c 'cat >lines; echo >started
		while [ ! -e go ]; do sleep 0.02; done
		jq -r "[.id, if .key == \"3\" then 0 else 1 end] | @tsv" lines'
	wait_for '[ -e started ]'
	run -0 --separate-stderr idq cancel 2 3
	touch go
	wait_for '[ "$(state_of 3)" = "done" ]'
	is "$(state_of 2)" cancelled
	is "$(state_of 1)" wait
	nothing < <(ls "$queue/asked")
}

@test "many: a payload of more than 1 MiB fails its own attempt alone" {
	need jq
	head -c 1048577 /dev/zero | tr '\0' x | idq add -k long --payload -
	head -c 1048576 /dev/zero | tr '\0' x | idq add -k fits --payload -
	run -0 --separate-stderr idq work --drain --batch 9 -- sh -c "$(answer 0)"
	expect 0 '' 'idq: work: long: its payload is longer than 1 MiB'
	is "$(state_of fits)" 'done'
	is "$(field exit "$(last long)")" 126
}

# late CALL [fsync]: a library by which an hour passes when that is called, for
# the second time if it is renameat; and fsync fails from then on.
late() {
	need cc
	cc -D_GNU_SOURCE "${@/#/-DON_}" -shared -fPIC -x c -o late.so - <<-'END'
		#include <sys/syscall.h>
		#include <errno.h>
		#include <stdio.h>
		#include <string.h>
		#include <time.h>
		#include <unistd.h>
		static int calls;
		int clock_gettime(clockid_t id, struct timespec *ts)
		{
			int r = (int)syscall(SYS_clock_gettime, id, ts);
			if (id == CLOCK_REALTIME && calls > 1)
				ts->tv_sec += 3600;
			return r;
		}
		#ifdef ON_renameat
		int renameat(int a, const char *x, int b, const char *y)
		{
			calls += strncmp(y, "cur/", 4) == 0;
			return (int)syscall(SYS_renameat2, a, x, b, y, 0);
		}
		#else
		int memfd_create(const char *name, unsigned int flags)
		{
			calls = 2;
			return (int)syscall(SYS_memfd_create, name, flags);
		}
		#endif
		#ifdef ON_fsync
		int fsync(int fd)
		{
			if (calls < 2)
				return (int)syscall(SYS_fsync, fd);
			errno = EIO;
			return -1;
		}
		#endif
	END
}

@test "many: a deadline that passes before the command is executed is in time" {
	need jq
	for call in renameat memfd_create; do
		late "$call"
		idq add -k "$call.1" --ttl 1m
		idq add -k "$call.2"
		LD_PRELOAD=$PWD/late.so run -0 --separate-stderr \
		    idq work --once --batch 2 -v -- sh -c "$(answer 0)"
		expect 0 "expired	$(hash_of "$call.1")	0	$call.1
done	$(hash_of "$call.2")	1	$call.2"
		is "$(jq -r .key lines)" "$call.2"
		is "$(state_of "$call.1")" expired
		is "$(events "$call.1")" 'claimed 1 expired 1 '
	done
}

@test "many: for jobs that are all too late no command is executed" {
	need jq
	late renameat
	idq add -k 1 --ttl 1m
	idq add -k 2 --ttl 1m
	idq add -k 3
	LD_PRELOAD=$PWD/late.so run -0 --separate-stderr \
	    timeout -k 1 10 idq work --drain --batch 2 -- \
	    sh -c "echo >>ran; $(answer 0)"
	expect 0 ''
	is "$(state_of 1) $(state_of 2) $(state_of 3)" 'expired expired done'
	is "$(wc -l <ran)" 1
	is "$(jq -r .key lines)" 3
}

@test "many: if it cannot be synced that one is too late nothing follows it" {
	late renameat fsync
	idq add -k 1 --ttl 1m
	idq add -k 2
	LD_PRELOAD=$PWD/late.so run -74 --separate-stderr \
	    timeout -k 1 10 idq work --drain --batch 2 -- touch ran
	[[ $stderr == "idq: work: $queue/cur/$(hash_of 1)".*': sync: '* ]]
	[ ! -e ran ]
	is "$(state_of 1) $(state_of 2)" 'cur new'
	is "$(events 1)" 'claimed 1 expired 1 '
	# The others are given back.
	is "$(idq show --field attempts 2)" 0
}

@test "many: a command that cannot be executed uses no attempt" {
	add_n 2
	run -127 --separate-stderr idq work --drain --batch 9 -- ./missing
	for key in 1 2; do
		is "$(state_of $key)" new
		is "$(idq show --field attempts $key)" 0
	done
	touch plain
	run -126 --separate-stderr idq work --drain --batch 9 -- ./plain
	is "$(state_of 1)" new
}

@test "many: jobs of a group come one at a time, if they have to" {
	need jq
	idq config group-max 1
	for key in 1 2 3; do
		idq add -k "$key" -g g
	done
	idq add -k 4
	idq work --drain --batch 9 -- sh -c 'wc -l <"$0" >>sizes
		'"$(answer 0)" /dev/stdin
	is "$(tr '\n' ' ' <sizes)" '2 1 1 '
}

@test "many: with few descriptors there are fewer at a time, and all are done" {
	need jq
	add_n 100
	(
		ulimit -n 160
		idq work --drain --batch 100 -- sh -c 'wc -l <"$0" >>sizes
			'"$(answer 0)" /dev/stdin
	)
	[ "$(wc -l <sizes)" -gt 1 ]
	is "$(find "$queue/done" -type f | wc -l)" 100
}

@test "many: with -j several commands run at once" {
	need jq
	add_n 4
	idq work --drain -j 2 --batch 2 -- sh -c 'cat >lines.$$
		echo >>started
		while [ "$(wc -l <started)" -lt 2 ]; do sleep 0.02; done
		jq -r "[.id, 0] | @tsv" lines.$$'
	is "$(find "$queue/done" -type f | wc -l)" 4
	is "$(wc -l <started)" 2
}

@test "many: wrong usage" {
	run -64 --separate-stderr idq work --batch 2
	[[ $stderr == 'idq: work: --batch: needs a command'* ]]
	for n in 0 1001 x; do
		run -64 --separate-stderr idq work --batch "$n" -- true
	done
}
