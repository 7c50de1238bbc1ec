#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# forget: a finished job goes, and its key is free.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# finished KEY EXIT: a job whose command exited so.
finished() {
	idq add -k "$1"
	idq work --drain -- sh -c "exit $2" 2>>stderr
}

# traces KEY: all files of the queue but the log that have its hash.
traces() {
	(cd "$queue" && find . -name "*$(hash_of "$1")*" | sort)
}

@test "forget: nothing of the job is left but the log" {
	finished a 0
	idq add -k a
	idq add -k a
	is "$(traces a | wc -l)" 3
	day=$(cd "$queue/done" && echo *)
	run -0 --separate-stderr idq forget a
	expect 0 ''
	is "$(traces a)" ''
	[ ! -e "$queue/done/$day" ]
	run -1 --separate-stderr idq show a
	is "$(idq log a | cut -f2 | tr '\n' ' ')" 'added claimed done forgotten '
}

@test "forget: the next add of the key makes a new job, which runs" {
	finished a 0
	id=$(idq show --field id a)
	idq forget a
	run -0 --separate-stderr idq add -v -k a
	[[ $output == added$'\t'*$'\t'0$'\t'a ]]
	[ "$(idq show --field id a)" != "$id" ]
	run -0 --separate-stderr idq work --drain -- sh -c 'echo "$IDQ_ATTEMPT"'
	expect 0 1
}

@test "forget: jobs that failed, were cancelled or have expired" {
	finished failed 100
	idq add -k cancelled
	idq cancel cancelled
	idq add -k expired --not-after @1
	for key in failed cancelled expired; do
		is "$(state_of "$key")" "$key"
		run -0 --separate-stderr idq forget "$key"
		expect 0 ''
		is "$(traces "$key")" ''
	done
}

@test "forget: an unfinished job is 69, and the line names cancel" {
	idq add -k running
	token=$(idq claim)
	idq add -k held --on-crash hold
	idq work --drain -- sh -c 'kill -KILL $$' 2>>stderr
	idq add -k pending
	idq add -k waiting --in 1h
	for key in pending waiting running held; do
		before=$(cksum <"$(key_file "$key")")
		run -69 --separate-stderr idq forget "$key"
		is "$output" ''
		[[ $stderr == "idq: forget: $key: is $key; "*cancel* ]]
		is "$(cksum <"$(key_file "$key")")" "$before"
	done
	idq ack "$token"
	idq forget running
}

@test "forget: a job that a worker runs is 69, too" {
	idq add -k a
	spawn idq work --once -- sh -c 'echo x >started
	    until [ -e gate ]; do sleep 0.02; done'
	wait_for '[ -s started ]'
	run -69 --separate-stderr timeout 4 idq forget a
	is "$output" ''
	[[ $stderr == 'idq: forget: a: is running'* ]]
	: >gate
	wait "$spawned_pid"
	is "$(state_of a)" 'done'
}

@test "forget: an unknown key is 1, with one line" {
	run -1 --separate-stderr idq forget a
	expect 1 '' "idq: forget: a: no such job in $queue"
	finished a 0
	idq forget a
	run -1 --separate-stderr idq forget a
	expect 1 '' "idq: forget: a: no such job in $queue"
}

@test "forget: the worst status counts, and the other operands are done" {
	finished a 0
	finished b 0
	idq add -k pending
	run -69 --separate-stderr idq forget -v unknown a pending b
	expect 69 "forgotten	$(hash_of a)	a
forgotten	$(hash_of b)	b" "idq: forget: unknown: no such job in $queue
idq: forget: pending: is pending; idq cancel ends it"
	is "$(traces a)$(traces b)" ''
}

@test "forget: by prefix, token, -k, --per and a list" {
	finished a 0
	idq forget ":$(hash_of a | cut -c1-10)"
	idq add -k b
	token=$(idq claim)
	idq ack "$token"
	idq forget "$token"
	idq add -k c -k d --per year
	idq work --drain -- true
	idq forget -k c -k d --per year
	finished e 0
	finished 'f g' 0
	printf 'e\nf g\n' | idq forget -
	is "$(find "$queue/keys" "$queue/done" -type f)" ''
}

@test "forget: the token of an earlier job of the key does not forget the next" {
	idq add -k a
	token=$(idq claim)
	idq ack "$token"
	idq forget a
	finished a 0
	run -1 --separate-stderr idq forget "$token"
	is "$(state_of a)" 'done'
}

@test "forget: a prefix of two jobs is 64 and touches neither" {
	finished job/42576 0
	finished job/159952 0
	run -64 --separate-stderr idq forget :c327688c
	is "$output" ''
	[[ $stderr == 'idq: forget: :c327688c: '*several* ]]
	is "$(state_of job/42576) $(state_of job/159952)" 'done done'
	run -64 --separate-stderr idq forget :c32768
	[[ $stderr == 'idq: forget: :c32768: '*8* ]]
}

@test "forget: an option behind a key is 64, and nothing is forgotten" {
	finished a 0
	run -64 --separate-stderr idq forget a -v
	expect 64 '' 'idq: forget: -v: options go before keys; use --'
	is "$(state_of a)" 'done'
}

@test "forget: a job of run runs again" {
	idq run -q default -k a -- true
	idq forget a
	run -0 --separate-stderr idq run -q default -k a -- echo again
	expect 0 again
}

@test "forget: an expired job whose key was taken anew is left alone" {
	need faketime
	idq add -k a --ttl 1h
	at +2h idq add -k a
	is "$(state_of a)" $'new\nexpired'
	at +2h idq work --drain -- true
	idq forget a
	is "$(traces a | cut -d/ -f2)" expired
}

@test "forget: a damaged file is 70, named, and left alone" {
	finished a 0
	path=$(key_file a)
	echo junk >"$path"
	run -70 --separate-stderr idq forget a
	is "$output" ''
	[[ $stderr == *"$path"* ]]
	is "$(cat "$path")" junk
}

# synced_last: keys/HH is synced after the key's name was removed.
synced_last() {
	sed -n "/unlinkat(.*keys.*$(hash_of a)\", 0) *= 0/,\$p" trace >after
	grep -q " fsync(.*/keys/$(hash_of a | cut -c1-2)>) *= 0" after
}

@test "forget: with sync file, too, it is on disk when it is reported" {
	need strace
	need faketime
	strace -o /dev/null -e trace=none true 2>>stderr ||
	    skip "strace may not trace here"
	for verb in 'forget a' 'forget --older 0s --yes' \
	    'purge --older 1h a' 'purge --older 1h'; do
		for sync in full file; do
			idq config sync "$sync"
			finished a 0
			# The leak checker is no friend of strace.
			# shellcheck disable=SC2086
			ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 \
			    at +2h strace -f -y -o trace \
			    -e trace=unlinkat,fsync idq $verb
			synced_last
			run -1 --separate-stderr idq show a
		done
	done
}
