#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# unhold: a held job goes on as if it had not been held.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

@test "unhold: a job is due again when it was" {
	idq add -k a
	idq add -k later --in 1h
	new=$(cd "$queue" && ls new)
	wait=$(cd "$queue" && ls wait/*)
	idq hold a later
	run -0 --separate-stderr idq unhold a later
	expect 0 ''
	is "$(cd "$queue" && ls new)" "$new"
	is "$(cd "$queue" && ls wait/*)" "$wait"
	is "$(events a)" 'held 0 unheld 0 '
	line=$(last a)
	[[ " $line " == *" by=$(id -u) "* && $line == *' to=new '* ]]
	is "$(compact "$(value next "$line")")" "${new%%.*}.${new:16:7}"
	[[ $(last later) == *' to=wait '* ]]
	idq work --drain -- true
	is "$(state_of a) $(state_of later)" 'done wait'
}

@test "unhold: the order of claims is the old one" {
	idq add -k first --at @1700000000
	idq add -k second --at @1700000001
	idq hold first
	idq unhold first
	run -0 --separate-stderr idq work --drain -- sh -c 'echo "$IDQ_KEY"'
	expect 0 $'first\nsecond'
}

@test "unhold: the attempts that were used stay used" {
	idq config attempts 2
	ended a 1
	idq hold a
	idq unhold a
	is "$(state_of a)" wait
	is "$(idq show --field attempts a)" 1
	need faketime
	at +2h idq work --drain -- sh -c 'exit 1' 2>>stderr
	is "$(state_of a)" failed
}

@test "unhold: a job held since its outcome is unknown is started again" {
	idq add -k a --on-crash hold
	idq work --drain -- sh -c 'kill -KILL $$' 2>>stderr
	is "$(state_of a)" hold
	run -0 --separate-stderr idq unhold a
	expect 0 ''
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'echo "$IDQ_ATTEMPT ${IDQ_TOKEN##*.}"'
	expect 0 '2 2'
}

@test "unhold: what is not held and has not ended stays as it is" {
	idq add -k a
	idq add -k later --in 1h
	idq add -k running --at @1700000000
	idq claim >token
	for key in a later running; do
		before=$(cksum <"$(key_file "$key")")
		run -0 --separate-stderr idq unhold "$key"
		expect 0 ''
		is "$(cksum <"$(key_file "$key")")" "$before"
	done
	is "$(state_of a) $(state_of later) $(state_of running)" 'new wait cur'
}

@test "unhold: a job that has ended is 69" {
	ended 'done' 0
	ended failed 100
	for key in 'done' failed; do
		run -69 --separate-stderr idq unhold "$key"
		expect 69 '' "idq: unhold: $key: is $key"
	done
}

@test "unhold: past its deadline a job stays held, with 69" {
	need faketime
	idq add -k a --ttl 1h
	idq hold a
	run -69 --separate-stderr at +2h idq unhold a
	expect 69 '' "idq: unhold: a: its deadline has passed; idq cancel ends it"
	is "$(state_of a)" hold
	at +30m idq unhold a
	is "$(state_of a)" new
}

@test "unhold: a job of run goes to failed, for the next run" {
	need faketime
	run -137 idq run -q default -k a --on-crash hold -- \
	    sh -c 'kill -KILL $$'
	is "$(state_of a)" hold
	run -0 --separate-stderr idq unhold a
	expect 0 ''
	is "$(state_of a)" failed
	line=$(last a)
	[[ $line == *' to=failed '*next=*release=* ]]
	# No worker takes it.
	idq work --drain -- touch ran
	[ ! -e ran ]
	run -0 --separate-stderr idq run -q default -k a -- echo again
	expect 0 again
	is "$(state_of a)" 'done'
}

@test "unhold: a failed run keeps its delay" {
	run -3 idq run -q default -k a -- sh -c 'exit 3'
	next=$(field next "$(last a)")
	idq hold a
	idq unhold a
	is "$(state_of a)" failed
	is "$(field next "$(last a)")" "$next"
	run -75 --separate-stderr idq run -q default -k a -- touch ran
	expect 75 ''
	[ ! -e ran ]
}

@test "unhold: an unknown key is 1, and -v says what was done" {
	idq add -k a
	idq hold a
	run -1 --separate-stderr idq unhold -v unknown a
	expect 1 "unheld	$(hash_of a)	a" \
	    "idq: unhold: unknown: no such job in $queue"
}

@test "unhold: a rename without its line is undone by the next claim" {
	idq add -k a
	name=$(cd "$queue" && ls new)
	idq hold a
	mv "$queue"/hold/* "$queue/new/$name"
	run -1 --separate-stderr idq claim
	expect 1 ''
	is "$(state_of a)" hold
	idq unhold a
	idq work --drain -- true
	is "$(state_of a)" 'done'
}

@test "unhold: fsck finds nothing to mend, and the log says it" {
	idq add -k a -g group
	idq hold a
	idq unhold a
	run -0 --separate-stderr idq fsck
	expect 0 ''
	run -0 --separate-stderr sh -c 'idq log a | cut -f2,3,5,6 | tail -n 1'
	expect 0 "unheld	$(hash_of a).$(id_of a).0	group	a"
}
