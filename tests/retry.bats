#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# retry: a failed, held or waiting job is due now.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

trail() {
	awk 'body && n++ > 0 { print } /^$/ { body = 1 }' "$(key_file "$1")"
}

events() {
	trail "$1" | cut -d' ' -f2,3
}

# is_due KEY: it stands in new/ with the due time of its last line, its stamp.
is_due() {
	local line

	line=$(trail "$1" | tail -n 1)
	[[ $line =~ \ next=([^ ]*) ]]
	is "${BASH_REMATCH[1]}" "${line%% *}"
	[ -e "$queue/new/$(tr -d ':-' <<<"${line%% *}").$(hash_of "$1").$(
	    sed -n 's/^Id: //p;/^$/q' "$(key_file "$1")")" ]
}

@test "retry: a failed job is pending, and its attempts begin anew" {
	idq config attempts 2
	ended a 100
	run -0 --separate-stderr idq retry a
	expect 0 ''
	is_due a
	line=$(trail a | tail -n 1)
	[[ $line == *' retried 1 '*'to=new '* ]]
	[[ " $line " == *" by=$(id -u) "* ]]
	is "$(idq show --field attempts a) $(idq show --field claims a)" '0 1'
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'echo "$IDQ_ATTEMPT ${IDQ_TOKEN##*.}"; exit 1'
	expect 0 '1 2'
	is "$(state_of a)" wait
	is "$(events a | tr '\n' ' ')" \
	    'claimed 1 failed 1 retried 1 claimed 2 failed 2 '
}

@test "retry: a job that waits, for its time or its next try, is pending" {
	idq add -k later --in 1h
	ended again 1
	is "$(state_of again)" wait
	run -0 --separate-stderr idq retry later again
	expect 0 ''
	is_due later
	is_due again
	is "$(find "$queue/wait" -mindepth 1)" ''
	idq work --drain -- true
	is "$(state_of later) $(state_of again)" 'done done'
}

@test "retry: a held job is pending" {
	idq add -k a --on-crash hold
	idq work --drain -- sh -c 'kill -KILL $$' 2>>stderr
	is "$(state_of a)" hold
	run -0 --separate-stderr idq retry a
	expect 0 ''
	is_due a
}

@test "retry: a pending job is as due as it can be" {
	idq add -k a
	before=$(cksum <"$(key_file a)")
	run -0 --separate-stderr idq retry a
	expect 0 ''
	is "$(state_of a)" new
	is "$(cksum <"$(key_file a)")" "$before"
}

@test "retry: a job that has ended otherwise is 69, and nothing changes" {
	ended 'done' 0
	idq add -k cancelled
	idq cancel cancelled
	idq add -k expired --not-after @1
	for key in 'done' cancelled expired; do
		before=$(cksum <"$(key_file "$key")")
		run -69 --separate-stderr idq retry "$key"
		expect 69 '' "idq: retry: $key: is $key; idq forget frees its key"
		is "$(cksum <"$(key_file "$key")")" "$before"
	done
}

@test "retry: a running job is 69" {
	idq add -k a
	token=$(idq claim)
	run -69 --separate-stderr idq retry a
	expect 69 '' 'idq: retry: a: is running'
	idq ack "$token"
}

@test "retry: a job past its deadline is 69" {
	need faketime
	idq add -k a --ttl 1h
	idq work --drain -- sh -c 'exit 100' 2>>stderr
	run -69 --separate-stderr at +2h idq retry a
	is "$output" ''
	[[ $stderr == 'idq: retry: a: '*deadline* ]]
	is "$(state_of a)" failed
	at +30m idq retry a
	is "$(state_of a)" new
}

@test "retry: an unknown key is 1, with one line, and the others are done" {
	ended a 100
	ended b 100
	ended 'done' 0
	run -1 --separate-stderr idq retry -v unknown a
	expect 1 "retried	$(hash_of a)	a" \
	    "idq: retry: unknown: no such job in $queue"
	run -69 --separate-stderr idq retry 'done' unknown b
	is "$(state_of a) $(state_of b)" 'new new'
}

@test "retry: by prefix, token, -k, --per and a list" {
	ended a 100
	idq retry ":$(hash_of a | cut -c1-8)"
	idq add -k b --at @1700000000
	token=$(idq claim)
	idq fail --exit 100 "$token"
	idq retry "$token"
	is "$(state_of a) $(state_of b)" 'new new'
	idq add -k c -k d --per year --in 1h
	idq retry -k c -k d --per year
	is "$(state_of "c/d@$(date +%Y)")" new
	idq add -k e --in 1h
	idq add -k f --in 1h
	printf 'e\n:%s\n' "$(hash_of f)" | idq retry -
	is "$(state_of e) $(state_of f)" 'new new'
}

@test "retry: a prefix of two jobs, or an option behind a key, is 64" {
	idq add -k job/42576 --in 1h
	idq add -k job/159952 --in 1h
	run -64 --separate-stderr idq retry :c327688c
	is "$output" ''
	[[ $stderr == 'idq: retry: :c327688c: '*several* ]]
	run -64 --separate-stderr idq retry job/42576 -v
	expect 64 '' 'idq: retry: -v: options go before keys; use --'
	is "$(state_of job/42576) $(state_of job/159952)" 'wait wait'
}

@test "retry: a job of run rests where it is, and the next run tries again" {
	run -1 --separate-stderr idq run -q default -k a -- false
	run -75 --separate-stderr idq run -q default -k a -- true
	run -0 --separate-stderr idq retry a
	expect 0 ''
	is "$(state_of a)" failed
	line=$(trail a | tail -n 1)
	[[ $line == *' retried 1 '*'to=failed '* ]]
	run -0 --separate-stderr idq run -q default -k a -- echo again
	expect 0 again
	is "$(state_of a)" 'done'
}

@test "retry: the log says it" {
	ended a 100
	idq retry a
	is "$(idq log a | cut -f2 | tail -n 1)" retried
}

@test "retry: a job whose last lease ran out is due again, not failed" {
	need faketime
	idq add -k a --attempts 1
	idq claim --lease 1m >/dev/null
	run -0 --separate-stderr at +1h idq retry a
	[ "$output" = '' ]
	[ "$(state_of a)" = new ]
}
