#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# hold: a job is set aside until a person lets it go on.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

@test "hold: a pending and a waiting job are set aside" {
	idq add -k a
	idq add -k later --in 1h
	run -0 --separate-stderr idq hold a later
	expect 0 ''
	is "$(state_of a) $(state_of later)" 'hold hold'
	is "$(find "$queue/wait" -mindepth 1)" ''
	line=$(last a)
	[[ $line == *' held 0 '* && " $line " == *" by=$(id -u) "* ]]
	[[ " $line " == *' reason=operator '* && $line != *next=* ]]
	run -0 --separate-stderr idq work --drain -- touch ran
	expect 0 ''
	[ ! -e ran ]
	is "$(idq ls -s held | cut -f1,8 | sort)" $'held\ta\nheld\tlater'
}

@test "hold: a held job keeps its key, and is a duplicate" {
	idq add -k a
	idq hold a
	run -0 --separate-stderr idq add -v -k a
	[[ $output == duplicate$'\t'*$'\t'held$'\t'* ]]
	is "$(state_of a)" hold
}

@test "hold: a job between two tries is set aside" {
	ended a 1
	is "$(state_of a)" wait
	idq hold a
	is "$(state_of a)" hold
	is "$(events a)" 'claimed 1 failed 1 held 1 '
	is "$(idq show --field attempts a)" 1
}

@test "hold: a held job stays as it is" {
	idq add -k a
	idq hold a
	before=$(cksum <"$(key_file a)")
	run -0 --separate-stderr idq hold a
	expect 0 ''
	is "$(cksum <"$(key_file a)")" "$before"
}

@test "hold: a held job does not expire, nor does purge take it" {
	need faketime
	idq add -k a --ttl 1h
	idq hold a
	run -0 --separate-stderr at +2h idq work --drain -- touch ran
	run -0 --separate-stderr at +2h idq add -k a
	run -0 --separate-stderr at +2h idq purge --older 0s
	is "$(state_of a)" hold
	[ ! -e ran ]
}

@test "hold: a running job is 69, leased or under a worker" {
	idq add -k a
	token=$(idq claim)
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq hold a
	expect 69 '' 'idq: hold: a: is running; wait for its end or cancel it'
	is "$(cksum <"$(key_file a)")" "$before"
	idq ack "$token"
	idq add -k b
	spawn idq work --once -- sh -c 'echo >started
	    until [ -e gate ]; do sleep 0.02; done'
	wait_for '[ -s started ]'
	run -69 --separate-stderr idq hold b
	expect 69 '' 'idq: hold: b: is running; wait for its end or cancel it'
	touch gate
	wait "$spawned_pid"
	is "$(state_of b)" 'done'
}

@test "hold: a job whose lease ran out is interrupted and then held" {
	need faketime
	idq add -k a
	idq claim --lease 1m >token
	run -0 --separate-stderr at +2m idq hold a
	expect 0 ''
	is "$(state_of a)" hold
	is "$(events a)" 'claimed 1 interrupted 1 held 1 '
}

@test "hold: a job that has ended is 69, and nothing changes" {
	ended 'done' 0
	ended failed 100
	idq add -k cancelled
	idq cancel cancelled
	idq add -k expired --not-after @1
	for key in 'done' failed cancelled expired; do
		before=$(cksum <"$(key_file "$key")")
		run -69 --separate-stderr idq hold "$key"
		expect 69 '' "idq: hold: $key: is $key"
		is "$(cksum <"$(key_file "$key")")" "$before"
	done
}

@test "hold: a failed run is not tried again by the next" {
	run -3 idq run -q default -k a -- sh -c 'exit 3'
	idq config backoff 1s
	run -0 --separate-stderr idq hold a
	expect 0 ''
	is "$(state_of a)" hold
	need faketime
	run -75 --separate-stderr at +2h idq run -q default -k a -- touch ran
	[ ! -e ran ]
}

@test "hold: retry and cancel act on what is held" {
	idq add -k a
	idq add -k b
	idq hold a b
	idq retry a
	idq cancel b
	is "$(state_of a) $(state_of b)" 'new cancelled'
}

@test "hold: by prefix, token, -k, --per and a list; -v says it" {
	idq add -k a
	idq hold ":$(hash_of a | cut -c1-8)"
	is "$(state_of a)" hold
	idq add -k b -k x/y
	idq hold -k b -k x/y
	is "$(state_of b/x%2Fy)" hold
	idq add -k c --per year
	idq hold -k c --per year
	is "$(state_of "c@$(date +%Y)")" hold
	idq add -k d
	idq add -k 'e f'
	run -0 --separate-stderr idq hold -v - <<<$'d\ne f'
	expect 0 "held	$(hash_of d)	d
held	$(hash_of 'e f')	e f"
}

@test "hold: an unknown key is 1, and the others are held" {
	idq add -k a
	run -1 --separate-stderr idq hold unknown a
	expect 1 '' "idq: hold: unknown: no such job in $queue"
	is "$(state_of a)" hold
}

@test "hold: fsck finds nothing to mend" {
	idq add -k a
	idq hold a
	run -0 --separate-stderr idq fsck
	expect 0 ''
}

@test "hold: a line without its rename is made good by fsck" {
	idq add -k a
	name=$(cd "$queue" && ls new)
	idq hold a
	mv "$queue"/hold/* "$queue/new/$name"
	run -1 --separate-stderr idq claim
	expect 1 ''
	is "$(state_of a)" hold
}

@test "hold: the log says it" {
	idq add -k a -g group
	idq hold a
	run -0 --separate-stderr sh -c 'idq log a | cut -f2-6 | tail -n 1'
	expect 0 "held	$(hash_of a).$(id_of a).0	by=$(id -u) reason=operator	group	a"
}
