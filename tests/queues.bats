#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Several queues at once: what looks, and a worker that serves them in order.

load helpers/common

setup() {
	common_setup
	for q in calls letters; do
		idq init -q "$q"
	done
	echo hello | idq add -q calls -k a --payload -
	idq add -q letters -k b -g x
	echo other | idq add -q letters -k a --payload -
}

@test "queues: ls has them in its first column, in the order given" {
	run -0 --separate-stderr idq ls -q letters -q calls
	is "$(cut -f1,9 <<<"$output" | tr '\t\n' '/ ')" 'letters/b letters/a calls/a '
	run -0 --separate-stderr idq ls --all
	is "$(cut -f1,9 <<<"$output" | tr '\t\n' '/ ')" 'calls/a letters/b letters/a '
	run -0 --separate-stderr idq ls -q calls
	is "$(cut -f8 <<<"$output")" a
	run -0 --separate-stderr idq ls --all --json -n 2
	is "$(jq -r '.queue + "/" + .key' <<<"$output" | tr '\n' ' ')" 'calls/a letters/b '
}

@test "queues: show and cat find a key in each of them" {
	run -0 --separate-stderr idq cat --all a
	expect 0 $'hello\nother'
	run -0 --separate-stderr idq show -q calls -q letters --field group b
	expect 0 x
	run -0 --separate-stderr idq show --all --json a
	is "$(jq -r .queue <<<"$output" | tr '\n' ' ')" 'calls letters '
	run -0 --separate-stderr idq show --all b
	[[ $output == *'queue:       letters'* ]]
	run -1 --separate-stderr idq show --all none
	expect 1 '' 'idq: show: none: no such job in any of these queues'
}

@test "queues: log tells of each, and counts them together" {
	run -0 --separate-stderr idq log --all --event added
	is "$(cut -f1,7 <<<"$output" | tr '\t\n' '/ ')" 'calls/a letters/b letters/a '
	run -0 --separate-stderr idq log --all --count-by key
	expect 0 $'2\ta\n1\tb'
	run -0 --separate-stderr idq log --all --json b
	is "$(jq -r .queue <<<"$output")" letters
	run -64 --separate-stderr idq log --all -f
	expect 64 '' 'idq: log: -f: follows one queue'
}

@test "queues: plan, stats and check look at each" {
	run -0 --separate-stderr idq stats --all --json
	is "$(jq -r .queue <<<"$output" | tr '\n' ' ')" 'calls letters '
	run -0 --separate-stderr idq plan --all --json
	is "$(jq -r .queue <<<"$output" | tr '\n' ' ')" 'calls letters '
	run -0 --separate-stderr idq check --all
	[[ $output == 'IDQ OK'*calls*letters* ]]
}

@test "queues: wait until all are empty, or a key of any has ended" {
	run -75 --separate-stderr idq wait --all --empty --timeout 0s
	expect 75 ''
	idq work -q calls --drain -- true
	run -75 --separate-stderr idq wait --all --empty --timeout 0s
	run -75 --separate-stderr idq wait --all --timeout 0s a
	spawn idq wait -q calls -q letters --empty
	waiting=$spawned_pid
	idq work -q letters --drain -- true
	wait "$waiting"
	run -0 --separate-stderr idq wait --all a b
	expect 0 ''
	run -1 --separate-stderr idq wait --all a none
	expect 1 '' 'idq: wait: none: no such job in any of these queues'
}

@test "queues: a queue that is not there is told, and the others are shown" {
	run -66 --separate-stderr idq ls -q calls -q nowhere -q letters
	is "$(cut -f1 <<<"$output" | uniq | tr '\n' ' ')" 'calls letters '
	[[ $stderr == "idq: ls: $IDQ_SPOOL/nowhere: no such queue; "* ]]
}

@test "queues: a verb that acts takes one, and --all does not go with -q" {
	run -64 --separate-stderr idq add -q calls -q letters -k c
	expect 64 '' 'idq: add: -q letters: takes one queue'
	run -64 --separate-stderr idq cancel -q calls -q letters a
	run -64 --separate-stderr idq ls --all -q calls
	expect 64 '' 'idq: ls: --all: does not go with -q'
	run -64 --separate-stderr idq work --all -- true
}

@test "queues: work serves the first as long as it has any" {
	idq add -q letters -k c
	idq add -q calls -k d
	run -0 --separate-stderr idq work -q calls -q letters --drain -v -- true
	is "$(cut -f1,5 <<<"$output" | tr '\t\n' '/ ')" \
	    'calls/a calls/d letters/b letters/a letters/c '
}

@test "queues: work looks at the first again after every job" {
	# shellcheck disable=SC2016 # for the inner shell
	run -0 --separate-stderr idq work -q calls -q letters --drain -- sh -c '
	    echo "${IDQ_QUEUE##*/}/$IDQ_KEY" >>ran
	    [ "$IDQ_KEY" != b ] || idq add -q calls -k urgent'
	is "$(tr '\n' ' ' <ran)" 'calls/a letters/b calls/urgent letters/a '
}

@test "queues: a following worker hears of a job in any of them" {
	# shellcheck disable=SC2016 # for the inner shell
	spawn idq work -q calls -q letters -- sh -c 'echo "$IDQ_KEY" >>ran'
	wait_for '[ "$(wc -l <ran)" -eq 3 ]'
	idq add -q letters -k late
	wait_for '[ "$(tail -n 1 ran)" = late ]'
	idq add -q calls -k later
	wait_for '[ "$(tail -n 1 ran)" = later ]'
	kill "$spawned_pid"
	wait_for 'gone "$spawned_pid"'
}

@test "queues: --single gives way if there is a worker on any of them" {
	spawn idq work -q letters -- true
	wait_for '[ -e "$IDQ_SPOOL/letters/run/single" ]'
	wait_for '[ "$(idq ls -q letters -s done | wc -l)" -eq 2 ]'
	run -0 --separate-stderr idq work -q calls -q letters --drain --single -- true
	expect 0 ''
	is "$(state_of a calls)" new
}
