#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# wait: until jobs have ended, and how.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# waiting ARG...: idq wait in the background, asleep by now.
waiting() {
	spawn idq wait "$@"
	waiter=$spawned_pid
	wait_for 'grep -q poll "/proc/$waiter/wchan" ||
	    [ "$(ps -o stat= -p "$waiter" | cut -c1)" = S ]'
}

# outcome STATUS: that of the idq wait in the background.
outcome() {
	local code=0

	wait "$waiter" || code=$?
	is "$code" "$1"
}

@test "wait: done is 0, and all else that has ended is 1, at once" {
	ended 'done' 0
	ended failed 100
	idq add -k cancelled
	idq cancel cancelled
	idq add -k expired --not-after @1
	run -0 --separate-stderr idq wait 'done'
	expect 0 ''
	for key in failed cancelled expired; do
		run -1 --separate-stderr idq wait "$key"
		expect 1 ''
		run -1 --separate-stderr idq wait 'done' "$key"
		expect 1 ''
	done
}

@test "wait: an unknown key is 1, with a line, and the others are waited for" {
	idq add -k a
	waiting unknown a
	kill -0 "$waiter"
	idq work --drain -- true
	outcome 1
	is "$(cat spawn.err)" "idq: wait: unknown: no such job in $queue"
}

@test "wait: it ends with the job" {
	idq add -k a
	waiting a
	idq work --drain -- true
	outcome 0
	idq add -k b
	waiting b
	idq work --drain -- sh -c 'exit 100' 2>>stderr
	outcome 1
	idq add -k c
	waiting c
	idq cancel c
	outcome 1
	is "$(cat spawn.out spawn.err)" ''
}

@test "wait: it ends with the last of several jobs, and -v says how" {
	idq add -k a --at @1700000000
	idq add -k 'b c'
	waiting -v a 'b c'
	idq work --once -- true
	wait_for '[ -s spawn.out ]'
	kill -0 "$waiter"
	idq work --once -- sh -c 'exit 100' 2>>stderr
	outcome 1
	is "$(cat spawn.out)" "done	$(hash_of a)	a
failed	$(hash_of 'b c')	b c"
}

@test "wait: a retry and a held job have not ended" {
	ended a 1
	idq add -k b
	idq hold b
	for key in a b; do
		run -75 --separate-stderr idq wait --timeout 0s "$key"
		expect 75 ''
	done
	idq retry a b
	waiting a b
	idq work --drain -- true
	outcome 0
}

@test "wait: a failed run has not ended while it will be tried again" {
	run -3 idq run -q default -k a -- sh -c 'exit 3'
	run -75 --separate-stderr idq wait --timeout 0s a
	expect 75 ''
	idq retry a
	idq run -q default -k a -- true
	run -0 idq wait a
	run -100 idq run -q default -k b -- sh -c 'exit 100'
	run -1 idq wait b
}

@test "wait: a run that is about to begin has not ended" {
	run -3 idq run -q default -k a -- sh -c 'exit 3'
	file=$(key_file a)
	name=$(hash_of a).$(id_of a)
	# Before its first line, and before its rename.
	truncate -s $(($(sed '/^$/q' "$file" | wc -c) + 1)) "$file"
	mv "$queue/failed/$name" "$queue/cur/$name"
	run -75 --separate-stderr idq wait --timeout 0s a
	expect 75 ''
	mv "$queue/cur/$name" "$queue/tmp/${name#*.}"
	run -75 --separate-stderr idq wait --timeout 0s a
	expect 75 ''
	# Killed there it is taken back.
	waiting a
	run -1 idq claim
	outcome 1
	is "$(cat spawn.err)" 'idq: wait: a: was removed'
}

@test "wait: past its deadline a job has expired, worker or not" {
	need faketime
	idq add -k a --ttl 1h
	run -75 --separate-stderr idq wait --timeout 0s a
	run -1 --separate-stderr at +2h idq wait -v a
	expect 1 "expired	$(hash_of a)	a"
	is "$(state_of a)" new
}

@test "wait: it is the job that is waited for, not the key" {
	idq add -k a
	token=$(idq claim)
	waiting a
	idq cancel a
	outcome 1
	idq add -k b
	# Removed between two looks.
	waiting b
	kill -STOP "$waiter"
	idq cancel b
	idq forget b
	idq add -k b
	kill -CONT "$waiter"
	outcome 1
	is "$(cat spawn.err)" 'idq: wait: b: was removed'
	run -69 --separate-stderr idq ack "$token"
}

@test "wait: --timeout is 75 when over, in silence" {
	idq add -k a
	before=$(date +%s)
	run -75 --separate-stderr idq wait --timeout 1s a
	expect 75 ''
	[ $(($(date +%s) - before)) -ge 1 ]
	run -0 --separate-stderr idq work --drain -- true
	run -0 --separate-stderr idq wait --timeout 0s a
	expect 0 ''
}

@test "wait: --empty waits for what is pending or runs" {
	run -0 --separate-stderr idq wait --empty
	expect 0 ''
	idq add -k a --at @1700000000
	idq add -k b
	idq add -k later --in 1h
	idq add -k held
	idq hold held
	run -75 --separate-stderr idq wait --empty --timeout 0s
	expect 75 ''
	waiting --empty
	idq claim >token
	idq cancel b
	run -75 --separate-stderr idq wait --empty --timeout 0s
	expect 75 ''
	kill -0 "$waiter"
	idq ack "$(cat token)"
	outcome 0
	is "$(state_of later) $(state_of held)" 'wait hold'
}

@test "wait: --empty is 0 whatever became of the jobs" {
	ended a 100
	ended b 1
	run -0 --separate-stderr idq wait --empty
	expect 0 ''
}

@test "wait: --empty counts a job whose time has come, promoted or not" {
	need faketime
	idq add -k later --in 1h
	run -0 idq wait --empty --timeout 0s
	run -75 at +2h idq wait --empty --timeout 0s
	is "$(state_of later)" wait
}

@test "wait: it only looks" {
	idq add -k a
	ended b 100
	before=$(cd "$queue" && find . -printf '%P %i %s %T@ %C@\n' | sort)
	idq wait --timeout 0s a b || :
	idq wait --empty --timeout 0s || :
	is "$(cd "$queue" && find . -printf '%P %i %s %T@ %C@\n' | sort)" \
	    "$before"
}

@test "wait: root may wait for another user's queue" {
	need_root
	mkdir -m 777 theirs
	as_user 65534 idq init -q "$PWD/theirs/queue"
	as_user 65534 idq add -q "$PWD/theirs/queue" -k a
	run -75 --separate-stderr idq wait -q "$PWD/theirs/queue" \
	    --timeout 0s a
	expect 75 ''
	run -75 --separate-stderr idq wait -q "$PWD/theirs/queue" \
	    --timeout 0s --empty
	expect 75 ''
	is "$(find theirs -user root -path '*queue*')" ''
}

@test "wait: by token, prefix, -k and a list" {
	ended a 0
	ended b 0
	run -0 idq wait ":$(hash_of a | cut -c1-8)"
	run -0 idq wait -k b
	run -0 idq wait - <<<$'a\nb'
	run -1 --separate-stderr idq wait - <<<$'a\nc'
	expect 1 '' "idq: wait: c: no such job in $queue"
}

@test "wait: wrong usage is 64" {
	run -64 --separate-stderr idq wait
	expect 64 '' 'idq: wait: no key given'
	run -64 --separate-stderr idq wait --empty a
	expect 64 '' 'idq: wait: --empty: does not go with keys'
	run -64 --separate-stderr idq wait --timeout 5 a
	is "$output" ''
	run -66 --separate-stderr idq wait -q nowhere --empty
	is "$output" ''
}

@test "wait: it hears of the end, and does not look each moment" {
	need strace
	idq add -k a
	# The leak checker is no friend of strace.
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 \
	    strace -qq -o calls -e trace=poll,ppoll idq wait a 3>&- &
	traced=$!
	spawned+=("$traced")
	wait_for '[ -s calls ]'
	idq work --drain -- true
	wait "$traced"
	# An event of the kernel, not the second that it looks again after.
	grep -q 'revents=POLLIN' calls
}
