#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The gate: a worker that finds an old backlog runs nothing and shows the plan.

load helpers/common

setup() {
	common_setup
	queue=$(queue_path)
	idq init
	idq config gate-age 2h
}

# backlog: two jobs, one of them 3 hours old.
backlog() {
	at -3h idq add -k old -g x
	idq add -k fresh -g y
}

@test "gate: a worker that starts and finds an old job runs nothing and exits 75" {
	need faketime
	backlog
	for mode in '' --drain --once '--drain --single'; do
		# shellcheck disable=SC2086 # a list
		run -75 --separate-stderr timeout 10 idq work $mode -- touch ran
		is "$output" ''
	done
	[ ! -e ran ]
	is "$(state_of old) $(state_of fresh)" 'new new'
	is "$(trail old)" ''
}

@test "gate: the plan is printed, without a terminal once an hour" {
	need faketime
	backlog
	run -75 --separate-stderr idq work --drain -- true
	[[ ${stderr_lines[0]} == "idq: work: $queue: the oldest job has been due for 3h"*'idq work --catch-up'* ]]
	grep -q '^pending   2 in 2 groups' <<<"$stderr"
	grep -q '  x$' <<<"$stderr"
	run -75 --separate-stderr at +59m idq work --drain -- true
	expect 75 ''
	run -75 --separate-stderr at +61m idq work --drain -- true
	[[ $stderr == *'the oldest job has been due for 4h'* ]]
}

@test "gate: on a terminal it says so each time" {
	need faketime script
	backlog
	for _ in 1 2; do
		run terminal 'idq work --drain -- true'
		[[ $output == *'the oldest job has been due for 3h'* ]]
		[[ $output == *GROUP* ]]
	done
}

@test "gate: --catch-up goes ahead" {
	need faketime
	backlog
	run -0 --separate-stderr idq work --drain --catch-up -- true
	expect 0 ''
	is "$(state_of old) $(state_of fresh)" 'done done'
}

@test "gate: without what is old it opens by itself" {
	need faketime
	backlog
	run -75 idq work --drain -- true
	idq cancel old
	run -0 --separate-stderr idq work --drain -- true
	expect 0 ''
	is "$(state_of fresh)" 'done'
}

@test "gate: a job that is not older, is not due, or is held does not close it" {
	need faketime
	at -119m idq add -k a
	at -5h idq add -k later --in 7h
	at -5h idq add -k held
	at -5h idq hold held
	run -0 --separate-stderr idq work --drain -- true
	expect 0 ''
	is "$(state_of a)" 'done'
}

@test "gate: a waiting job that has been due for long closes it" {
	need faketime
	at -5h idq add -k a --in 1h
	run -75 idq work --drain -- true
	is "$(idq show --field attempts a)" 0
}

@test "gate: off is the default, and 0 is no age" {
	need faketime
	idq config gate-age off
	is "$(idq config gate-age)" off
	at -9999h idq add -k a
	run -0 --separate-stderr idq work --drain -- true
	expect 0 ''
	run -64 --separate-stderr idq config gate-age 0s
	run -64 --separate-stderr idq config gate-age none
	is "$(idq config gate-age)" off
}

@test "gate: an idle worker that gets a fresh job after a long time runs it" {
	idq config gate-age 1s
	spawn idq work -- sh -c 'echo >>ran'
	wait_for '[ -e "$queue/run/single" ]'
	idq add -k a
	wait_for '[ -e ran ]'
	# Longer than gate-age without a job: that is no gap of the worker.
	wait_for '[ -n "$(find ran -newermt "-20 seconds" ! -newermt "-2 seconds")" ]'
	idq add -k b
	wait_for '[ "$(wc -l <ran)" -eq 2 ]'
}

@test "gate: a worker that was stopped, and continues, finds it closed" {
	idq config gate-age 1s
	spawn idq work -- sh -c 'echo >>ran'
	pid=$spawned_pid
	wait_for '[ -e "$queue/run/single" ]'
	idq add -k a
	wait_for '[ -e ran ]'
	wait_for '[ "$(state_of a)" = done ]'
	kill -STOP "$pid"
	idq add -k b
	touch added
	wait_for '[ -n "$(find added ! -newermt "-2 seconds")" ]'
	kill -CONT "$pid"
	wait_for 'gone "$pid"'
	status=0
	wait "$pid" || status=$?
	is "$status" 75
	is "$(wc -l <ran)" 1
	is "$(state_of b)" new
	grep -q 'the oldest job has been due for' spawn.err
}

@test "gate: a hung command that ends at last is followed by nothing" {
	idq config gate-age 1s
	# shellcheck disable=SC2016 # for the inner shell
	spawn idq work -- sh -c 'echo "$IDQ_KEY" >>ran; [ "$IDQ_KEY" != hung ] ||
	    while [ ! -e go ]; do sleep 0.05; done'
	pid=$spawned_pid
	wait_for '[ -e "$queue/run/single" ]'
	idq add -k hung
	wait_for '[ -e ran ]'
	idq add -k behind
	touch added
	wait_for '[ -n "$(find added ! -newermt "-2 seconds")" ]'
	touch go
	wait_for 'gone "$pid"'
	status=0
	wait "$pid" || status=$?
	is "$status" 75
	is "$(cat ran)" hung
	is "$(state_of hung) $(state_of behind)" 'done new'
}

@test "gate: what waits for its group under a busy worker does not close it" {
	need faketime
	idq config group-gap 90m
	at -3h idq add -k 1 -g x
	at -3h idq add -k 2 -g x
	run -0 idq work --drain --catch-up -- true
	is "$(state_of 2)" paced
	idq add -k 3 -g y
	run -0 --separate-stderr idq work --drain -- true
	expect 0 ''
	is "$(state_of 3)" 'done'
	# But it does once nothing has been started for so long after the gap.
	run -75 at +4h idq work --drain -- true
}

@test "gate: of several queues one closed gate stops all" {
	need faketime
	backlog
	idq init -q other
	idq add -q other -k a
	run -75 --separate-stderr idq work -q other -q default --drain -- true
	[[ $stderr == *"$queue: the oldest job has been due for 3h"* ]]
	is "$(state_of old)" new
}

@test "gate: claims have none, since a script sees what it gets" {
	need faketime
	backlog
	run -0 --separate-stderr idq claim
	is "$(idq show --field key "$output")" old
}

@test "gate: a long backlog of one group goes on at its pace" {
	need faketime
	idq config group-gap 90m
	for n in 1 2 3 4; do
		at -1h idq add -k "$n" -g x
	done
	for minutes in 0 91 182 273; do
		run -0 --separate-stderr at "+${minutes}m" \
		    idq work --drain -- true
		expect 0 ''
	done
	is "$(state_of 4)" 'done'
}
