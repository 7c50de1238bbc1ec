#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Filters: many jobs by what they are, counted and confirmed.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# fill: jobs of two groups in several states.
fill() {
	ended finished 0
	idq add -k call/1/x -g north
	idq add -k call/2/x -g north
	idq add -k call/3/x -g south
	idq add -k mail/1 --in 1h
	idq add -k held -g north
	idq hold held
}

# keys STATES: of the jobs in them.
keys() {
	idq ls -s "$1" | cut -f8 | sort | paste -sd ' '
}

# snapshot: all that is on disk, but stamps and the log.
snapshot() {
	(cd "$queue" && find . -path ./run -prune -o -path ./log -prune -o -type f \
	    -printf '%P %i %s %T@\n' | sort)
}

@test "filters: one job needs no --yes" {
	idq add -k a -g north
	idq add -k b -g south
	run -0 --separate-stderr idq cancel -g north
	expect 0 ''
	is "$(keys cancelled)" a
	is "$(keys pending)" b
}

@test "filters: more than one is 64 without --yes, and nothing is done" {
	idq add -k a -g north
	idq add -k b -g north
	before=$(snapshot)
	for verb in cancel hold; do
		run -64 --separate-stderr idq "$verb" -g north </dev/null
		expect 64 '' "idq: $verb: 2 jobs of $queue match, and nothing was done; --yes does it"
	done
	is "$(snapshot)" "$before"
	run -0 --separate-stderr idq cancel -g north --yes
	expect 0 ''
	is "$(keys cancelled)" 'a b'
}

@test "filters: on a terminal a y is asked for, with the count" {
	need script
	idq add -k a
	idq add -k b
	printf 'n\n' | script -qec 'idq cancel -s pending' /dev/null >asked || :
	grep -qF "cancel 2 jobs of $queue? [y/N] " asked
	is "$(keys pending)" 'a b'
	run script -qec 'idq cancel -s pending; echo "status $?"' /dev/null \
	    <<<''
	[[ $output == *'status 1'* ]]
	is "$(keys pending)" 'a b'
	printf 'y\n' | script -qec 'idq cancel -s pending' /dev/null >asked
	is "$(keys cancelled)" 'a b'
}

@test "filters: with one of the two no terminal nobody is asked" {
	need script
	idq add -k a
	idq add -k b
	for how in '</dev/null' '2>stderr'; do
		run script -qec "idq cancel -s pending $how; echo \"status \$?\"" \
		    /dev/null <<<y
		[[ $output == *'status 64'* ]]
		is "$(keys pending)" 'a b'
	done
}

@test "filters: no such job is no error" {
	fill
	before=$(snapshot)
	for verb in cancel forget hold purge retry unhold; do
		run -0 --separate-stderr idq "$verb" -g nobody
		expect 0 ''
	done
	is "$(snapshot)" "$before"
}

@test "filters: each verb acts on its own states" {
	idq config backoff 1h
	ended failed 100
	ended again 1
	fill
	idq claim >token
	is "$(keys running)" call/1/x
	run -0 --separate-stderr idq hold --key-glob '*' --yes
	expect 0 ''
	is "$(keys held)" 'again call/2/x call/3/x held mail/1'
	is "$(keys running)" call/1/x
	run -0 --separate-stderr idq unhold --key-glob '*' --yes
	is "$(keys held)" ''
	is "$(keys waiting)" 'again mail/1'
	# What is scheduled, or not known to have failed, is not due unasked.
	run -0 --separate-stderr idq retry --key-glob '*' --yes -v
	expect 0 "retried	$(hash_of failed)	failed"
	run -0 --separate-stderr idq retry -s waiting --key-glob again
	is "$(keys waiting)" mail/1
	run -0 --separate-stderr idq cancel -s all --yes
	is "$(keys unfinished)" ''
	is "$(keys all)" "$(keys 'done,cancelled')"
	run -0 --separate-stderr idq forget --key-glob '*' --yes
	is "$(keys all)" ''
	is "$(find "$queue/keys" -type f)" ''
}

@test "filters: -s with nothing that the verb can act on is 64" {
	fill
	run -64 --separate-stderr idq hold -s 'done',held --yes
	expect 64 '' 'idq: hold: -s: idq hold acts on waiting and pending jobs'
	run -64 --separate-stderr idq forget -s unfinished --yes
	is "$output" ''
	# Others are passed over.
	run -0 --separate-stderr idq unhold -s all --yes -v
	expect 0 "unheld	$(hash_of held)	held"
}

@test "filters: all criteria together" {
	fill
	run -0 --separate-stderr idq cancel -g north --key-glob 'call/*' \
	    -s pending -n
	is "$(sort <<<"$output")" "$(sort <<<"cancel	$(hash_of call/1/x)	call/1/x
cancel	$(hash_of call/2/x)	call/2/x")"
	run -0 --separate-stderr idq cancel -g north --key-glob '*/2/*' -v
	expect 0 "cancelled	$(hash_of call/2/x)	call/2/x"
}

@test "filters: --key-glob is for the whole key, and passes a /" {
	fill
	is "$(idq ls --key-glob 'call*x' | wc -l)" 3
	is "$(idq ls --key-glob 'call/[12]/x' | wc -l)" 2
	is "$(idq ls --key-glob 'call/?/x' | wc -l)" 3
	is "$(idq ls --key-glob 'call' | wc -l)" 0
	is "$(idq ls --key-glob 'call/\*/x' | wc -l)" 0
	run -64 --separate-stderr idq ls --key-glob ''
	expect 64 '' 'idq: ls: --key-glob: the pattern is empty'
}

@test "filters: --older counts from the due time of what is pending" {
	need faketime
	idq add -k old
	idq add -k later --in 3h
	at +2h idq add -k new
	is "$(at +2h idq ls --older 1h | cut -f8 | paste -sd ' ')" 'old later'
	run -0 --separate-stderr at +2h idq cancel --older 1h -s pending -v
	expect 0 "cancelled	$(hash_of old)	old"
	# Due since an hour, though added four hours ago.
	is "$(at +4h idq ls -s pending --older 90m | cut -f8)" new
	is "$(at +4h idq ls -s pending --older 59m | cut -f8 | sort |
	    paste -sd ' ')" 'later new'
}

@test "filters: --older counts from the last change of other states" {
	need faketime
	idq add -k a
	at +2h idq hold a
	is "$(at +150m idq ls -s held --older 1h)" ''
	is "$(at +190m idq ls -s held --older 1h | cut -f8)" a
	idq add -k b
	idq work --drain -- true
	is "$(at +2h idq forget --older 3h -s 'done' -n | cut -f3)" ''
	is "$(at +2h idq forget --older 1h -s 'done' -n | cut -f3)" b
	# Nothing bounds it.
	is "$(idq ls -s 'done' --older 0s | cut -f8)" b
}

@test "filters: -n prints what would be done, and does nothing" {
	fill
	before=$(snapshot)
	run -0 --separate-stderr idq hold -g north -n
	is "$(sort <<<"$output")" "$(sort <<<"hold	$(hash_of call/1/x)	call/1/x
hold	$(hash_of call/2/x)	call/2/x")"
	is "$stderr" ''
	run -0 --separate-stderr idq unhold -s held -n --yes
	expect 0 "unhold	$(hash_of held)	held"
	is "$(snapshot)" "$before"
}

@test "filters: keys and a filter do not go together" {
	fill
	before=$(snapshot)
	for verb in cancel forget hold purge retry unhold; do
		run -64 --separate-stderr idq "$verb" -g north held
		expect 64 '' "idq: $verb: held: give keys or a filter, not both"
		run -64 --separate-stderr idq "$verb" -g north -k held
		expect 64 '' "idq: $verb: -k: give a key or a filter, not both"
	done
	run -64 --separate-stderr idq cancel -n held
	expect 64 '' 'idq: cancel: -n: goes with -s, -g, --older or --key-glob'
	run -64 --separate-stderr idq cancel --yes
	expect 64 '' 'idq: cancel: no key given'
	run -0 --separate-stderr idq cancel --yes -n -g nobody
	is "$(snapshot)" "$before"
}

@test "filters: bad values are 64" {
	idq add -k a
	for words in '-s pendng' '--older 5' '--older -1h'; do
		# Two words.
		# shellcheck disable=SC2086
		run -64 --separate-stderr idq cancel $words
		is "$output" ''
		[[ $stderr == 'idq: cancel: '* && $stderr != *$'\n'* ]]
	done
	is "$(keys pending)" a
}

@test "filters: what cannot be done is said, and the rest is done" {
	need faketime
	idq add -k a --ttl 1h
	idq add -k b
	idq hold a b
	run -69 --separate-stderr at +2h idq unhold -s held --yes -v
	expect 69 "unheld	$(hash_of b)	b" \
	    'idq: unhold: a: its deadline has passed; idq cancel ends it'
}

@test "filters: a running command is cancelled with --kill" {
	idq add -k a -g north
	spawn idq work --once -- sh -c 'echo >started; sleep 60'
	wait_for '[ -s started ]'
	run -0 --separate-stderr idq cancel -g north --kill
	expect 0 ''
	wait "$spawned_pid"
	is "$(state_of a)" cancelled
}

@test "filters: a history of an expired job is passed over" {
	idq add -k a --not-after @1
	idq add -k a
	is "$(keys expired)" a
	run -0 --separate-stderr idq forget -s expired
	expect 0 ''
	is "$(keys pending)" a
}

@test "filters: many jobs at once" {
	seq 1000 | sed 's/^/call\//' | idq add --batch -g north
	run -0 --separate-stderr idq hold -g north --yes
	expect 0 ''
	is "$(idq ls -s held | wc -l)" 1000
	run -0 --separate-stderr idq unhold -g north --yes
	is "$(idq ls -s pending | wc -l)" 1000
	run -0 --separate-stderr idq cancel --key-glob 'call/?' --yes
	is "$(idq ls -s cancelled | wc -l)" 9
}

@test "filters: jobs that came after the count are left alone" {
	need script
	idq add -k a
	idq add -k b
	mkfifo answer
	exec 9<>answer
	script -qec 'idq cancel -s pending' /dev/null <answer >asked 3>&- &
	spawned_pid=$!
	spawned+=("$spawned_pid")
	wait_for 'grep -q "cancel 2 jobs" asked'
	idq add -k new
	idq hold b
	echo y >&9
	wait "$spawned_pid"
	exec 9>&-
	is "$(keys cancelled)" a
	is "$(keys pending) $(keys held)" 'new b'
	run ! grep b: asked
}

@test "filters: purge removes of them what is past its time" {
	need faketime
	idq config keep 2h
	ended a 0
	ended b 0
	idq add -k c -g north
	idq work --drain -- true
	run -0 --separate-stderr idq purge --key-glob '*' --yes -v
	expect 0 $'jobs\t0\nlogs\t0'
	run -64 --separate-stderr at +3h idq purge -s 'done'
	expect 64 '' "idq: purge: 3 jobs of $queue match, and nothing was done; --yes does it"
	run -0 --separate-stderr at +3h idq purge -s 'done' -n -v
	expect 0 $'jobs\t3\nlogs\t0'
	run -0 --separate-stderr at +3h idq purge -g north -v
	expect 0 $'jobs\t1\nlogs\t0'
	is "$(keys all)" 'a b'
	run -0 --separate-stderr at +1h idq purge --older 30m --key-glob a -v
	expect 0 $'jobs\t1\nlogs\t0'
	is "$(keys all)" b
	run -64 --separate-stderr idq purge -s pending
	expect 64 '' 'idq: purge: -s: idq purge acts on done, failed, cancelled and expired jobs'
}

@test "filters: purge of a key removes it if it is past its time" {
	need faketime
	idq config keep 2h
	ended a 0
	ended b 0
	idq add -k pending
	run -69 --separate-stderr idq purge a
	is "$output" ''
	[[ $stderr == 'idq: purge: a: stays until '*'Z; idq forget removes it' ]]
	run -69 --separate-stderr at +3h idq purge pending unknown a
	is "$stderr" "idq: purge: pending: is pending; idq cancel ends it
idq: purge: unknown: no such job in $queue"
	is "$(keys all)" 'b pending'
	is "$(cd "$queue" && find . -name "*$(hash_of a)*")" ''
	run -0 --separate-stderr idq purge --older 0s -n -v b
	expect 0 $'jobs\t1\nlogs\t0'
	is "$(keys 'done')" b
	run -0 --separate-stderr idq purge --older 0s -v - <<<b
	expect 0 $'jobs\t1\nlogs\t0'
	is "$(keys all)" pending
	run -0 --separate-stderr sh -c 'idq log b | tail -n 1 | cut -f2,6'
	expect 0 'purged	b'
}

@test "filters: what cannot be read is named, and the rest is acted on" {
	need_root
	idq add -k a
	idq add -k b
	idq add -k c
	chown -R 65534:65534 "$IDQ_SPOOL"
	chmod 000 "$(key_file a)"
	file=$(cd "$queue" && echo new/*."$(hash_of a)".*)
	run -77 --separate-stderr as_user 65534 idq hold \
	    --key-glob '*' --yes
	expect 77 '' "idq: hold: $queue/$file: Permission denied"
	is "$(state_of a) $(state_of b) $(state_of c)" 'new hold hold'
}
