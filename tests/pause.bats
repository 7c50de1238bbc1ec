#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# pause: nothing is started, and whoever wonders is told why.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
	who=$(id -un)@$(uname -n)
}

@test "pause: nothing is claimed, worked on or run, in silence" {
	idq add -k a
	idq add -k later --at @1700000000
	run -0 --separate-stderr idq pause
	expect 0 ''
	run -1 --separate-stderr idq claim
	expect 1 ''
	for how in --drain --once '--drain --single' '--once --single'; do
		# Two words.
		# shellcheck disable=SC2086
		run -0 --separate-stderr idq work $how -- touch ran
		expect 0 ''
	done
	run -75 --separate-stderr idq run -q default -k b -- touch ran
	expect 75 ''
	[ ! -e ran ]
	is "$(state_of a) $(state_of later) $(state_of b)" 'new new '
}

@test "pause: adds, duplicates and what a person does are as ever" {
	idq pause
	run -0 --separate-stderr idq add -v -k a
	[[ $output == added$'\t'* ]]
	run -0 --separate-stderr idq add -v -k a
	[[ $output == duplicate$'\t'* ]]
	idq hold a
	idq unhold a
	idq cancel a
	is "$(state_of a)" cancelled
}

@test "pause: the file says when, by whom and why" {
	run -0 --separate-stderr idq pause -m 'deploy of the dialler' -v
	[[ $output =~ ^"$queue	paused since "([^ ]+)" by $who: deploy of the dialler"$ ]]
	is "$(cat "$queue/paused")" "${BASH_REMATCH[1]} $who deploy of the dialler"
}

@test "pause: a second one changes nothing, not even the reason" {
	idq pause -m first
	before=$(cat "$queue/paused")
	run -0 --separate-stderr idq pause -m second
	expect 0 ''
	is "$(cat "$queue/paused")" "$before"
	run -0 --separate-stderr idq pause -v
	[[ $output == *': first' ]]
}

@test "pause: many at once leave one whole file" {
	for i in 1 2 3 4 5 6 7 8 9; do
		spawn idq pause -m "reason $i"
	done
	wait "${spawned[@]}"
	is "$(cat spawn.err)" ''
	[[ $(cat "$queue/paused") =~ ^[^\ ]+Z\ "$who"\ reason\ [1-9]$ ]]
	is "$(find "$queue/tmp" -type f)" ''
}

@test "pause: a running job ends, and the next is not started" {
	idq add -k a --at @1700000000
	idq add -k b
	spawn idq work --drain -- sh -c 'echo >>started
	    until [ -e gate ]; do sleep 0.02; done'
	wait_for '[ -s started ]'
	idq pause
	touch gate
	wait "$spawned_pid"
	is "$(state_of a) $(state_of b)" 'done new'
	is "$(cat spawn.err)" ''
}

@test "pause: a claim that was made before can be ended" {
	idq add -k a
	token=$(idq claim)
	idq pause
	idq renew "$token"
	idq ack "$token"
	is "$(state_of a)" 'done'
}

# switches PID: how often it went to sleep.
switches() {
	awk '$1 == "voluntary_ctxt_switches:" { print $2 }' "/proc/$1/status"
}

@test "pause: a following worker starts nothing, and sleeps" {
	idq pause
	spawn idq work -- touch ran
	idq add -k a
	idq add -k soon --in 1s
	wait_for '[ "$(state_of soon)" = new ]'
	before=$(switches "$spawned_pid")
	# A second in which it has nothing to do.
	run -75 --separate-stderr idq wait --empty --timeout 1s
	after=$(switches "$spawned_pid")
	[ $((after - before)) -lt 20 ]
	[ ! -e ran ]
	kill -0 "$spawned_pid"
	is "$(state_of a) $(state_of soon)" 'new new'
	is "$(cat spawn.out spawn.err)" ''
}

@test "pause: under cron a paused or empty queue is exit 0 and no mail" {
	idq add -k a
	idq ack "$(idq claim)"
	cron() {
		run -0 --separate-stderr env -i PATH=/usr/bin:/bin sh -c \
		    "$IDQ work -q $queue $1 -- true" </dev/null
		expect 0 ''
	}
	cron '--drain --single'
	cron --once
	idq add -k b
	idq pause -m why
	cron '--drain --single'
	cron --once
	is "$(state_of b)" new
	# And while a worker is there.
	spawn idq work -- true
	# Looking by flock(1) would keep the worker from its lock.
	wait_for 'grep -q ":$(stat -c %i "$queue/run/single") " /proc/locks'
	cron '--drain --single'
	cron --single
}

@test "pause: on a terminal ls, work and wait say so" {
	need script
	idq add -k a
	idq pause -m why
	for words in 'ls' 'work --drain -- true' 'wait --timeout 0s a'; do
		run terminal "idq $words"
		[[ ${lines[0]} == "idq: ${words%% *}: $queue: paused since "*" by $who: why" ]]
	done
	idq resume
	run terminal 'idq ls'
	[[ $output != *paused* ]]
}

@test "pause: what somebody wrote by hand pauses too" {
	idq add -k a
	echo 'back at noon' >"$queue/paused"
	run -1 --separate-stderr idq claim
	expect 1 ''
	run -0 --separate-stderr idq pause -v
	expect 0 "$queue	paused: back at noon"
	: >"$queue/paused"
	run -1 --separate-stderr idq claim
	expect 1 ''
}

@test "pause: a bad reason is 64, an unknown queue 66" {
	run -64 --separate-stderr idq pause -m $'two\nlines'
	is "$output" ''
	[[ $stderr == 'idq: pause: the reason '* ]]
	[ ! -e "$queue/paused" ]
	run -64 --separate-stderr idq pause operand
	expect 64 '' 'idq: pause: operand: unexpected operand'
	run -66 --separate-stderr idq pause -q nowhere
	is "$output" ''
}

@test "pause: it is in the log, once" {
	idq pause
	idq pause
	run -0 --separate-stderr sh -c 'idq log | cut -f2-4'
	expect 0 "paused	-	by=$who"
}
