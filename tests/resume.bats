#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# resume: a paused queue goes on.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

@test "resume: jobs are claimed and run again" {
	idq add -k a
	idq pause
	run -0 --separate-stderr idq resume
	expect 0 ''
	[ ! -e "$queue/paused" ]
	idq work --drain -- true
	is "$(state_of a)" 'done'
	run -0 --separate-stderr idq run -q default -k b -- echo ran
	expect 0 ran
}

@test "resume: a following worker goes on at once" {
	idq add -k a
	idq pause
	spawn idq work -- true
	wait_for '[ -e "$queue/run/single" ]'
	# It sleeps until something happens.
	wait_for '[ "$(ps -o stat= -p "$spawned_pid" | cut -c1)" = S ]'
	is "$(state_of a)" new
	idq resume
	# Its rescan would be a minute later.
	wait_for '[ "$(state_of a)" = done ]' 10
}

@test "resume: a queue that is not paused stays as it is" {
	run -0 --separate-stderr idq resume
	expect 0 ''
	run -0 --separate-stderr idq resume -v
	expect 0 "$queue	was not paused"
	is "$(idq log)" ''
}

@test "resume: -v says it, and the log" {
	idq pause -m why
	run -0 --separate-stderr idq resume -v
	expect 0 "$queue	resumed"
	run -0 --separate-stderr sh -c 'idq log | cut -f2-4'
	who=$(id -un)@$(uname -n)
	expect 0 "paused	-	by=$who
resumed	-	by=$who"
}

@test "resume: what happened meanwhile is right" {
	need faketime
	idq add -k soon --in 1h
	idq add -k dead --ttl 1h
	idq pause
	at +2h idq resume
	run -0 --separate-stderr at +2h idq work --drain -- \
	    sh -c 'echo "$IDQ_KEY"'
	expect 0 soon
	is "$(state_of dead)" expired
}

@test "resume: an operand is 64, an unknown queue 66" {
	idq pause
	run -64 --separate-stderr idq resume default
	expect 64 '' 'idq: resume: default: unexpected operand'
	[ -e "$queue/paused" ]
	run -66 --separate-stderr idq resume -q nowhere
	is "$output" ''
}
