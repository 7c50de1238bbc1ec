#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# add: one job.  What becomes of keys is told in key.bats, of many jobs at
# once in batch.bats, of adders that die in recovery.bats.

# Each test is a subshell of its own, and some words are for eval later;
# $output and $stderr come from bats; names in a queue are plain.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

teardown() {
	if [ -n "${mounted-}" ]; then
		umount "$mounted"
	fi
	common_teardown
}

# broken NAME <C: a library to preload.
broken() {
	need cc
	cc -shared -fPIC -x c -o "$1.so" -
}

# header NAME KEY [QUEUE]: that field of the job's header.
header() {
	sed -n "/^\$/q;s/^$1: //p" "$(key_file "$2" "${3-}")"
}

# fields KEY: the names of its header, in order, on one line.
fields() {
	sed -n 's/^\([A-Z][a-z-]*\): .*/\1/p;/^$/q' "$(key_file "$1")" | xargs
}

# behind KEY: what stands behind the payload.
behind() {
	local file

	file=$(key_file "$1")
	tail -c "+$(($(sed '/^$/q' "$file" | wc -c) + \
	    $((10#$(header Length "$1"))) + 1))" "$file"
}

# last KEY: the last line of its trail.
last() {
	tail -n 1 "$(key_file "$1")"
}

# jobs: how many files there are in keys, tmp and the state folders.
jobs_on_disk() {
	(cd "$queue" && find keys tmp new wait paced cur hold failed 'done' \
	    cancelled expired -type f | wc -l)
}

# claim_and VERB [OPTION...]: claim the first job and say that of it.
claim_and() {
	local token

	token=$(idq claim)
	idq "$@" "$token"
}

#
# What is on disk.
#

@test "add: says nothing, and the job is in new and in keys" {
	run -0 --separate-stderr idq add -k call/42
	expect 0 ''
	[ "$(state_of call/42)" = new ]
	due=$(header Due call/42 | tr -d ':-')
	name=$due.$(hash_of call/42).$(header Id call/42)
	[ "$(ls "$queue/new")" = "$name" ]
	[ "$queue/new/$name" -ef "$(key_file call/42)" ]
	[ "$(jobs_on_disk)" -eq 2 ]
}

@test "add: the job file of a key alone" {
	idq add -k call/42
	stamp='[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z'
	mapfile -t lines <"$(key_file call/42)"
	[ "${#lines[@]}" -eq 10 ]
	[ "${lines[0]}" = 'idq job 1' ]
	[ "${lines[1]}" = 'Key: call/42' ]
	[[ ${lines[2]} =~ ^Id:\ [0-9a-f]{16}$ ]]
	[[ ${lines[3]} =~ ^Added:\ $stamp$ ]]
	[[ ${lines[4]} =~ ^By:\ uid=$(id -u)\ host=$(hostname)\ pid=[0-9]+$ ]]
	[ "${lines[5]}" = "Due${lines[3]#Added}" ]
	[ "${lines[6]}" = 'Length: 0' ]
	[ "${lines[7]}" = "Fingerprint: $(printf '0\n' | sha256sum | cut -c1-64)" ]
	[ "${lines[8]}" = '' ]
	# The empty payload's newline; no trail yet.
	[ "${lines[9]}" = '' ]
}

@test "add: the fields of a header stand in their order" {
	printf hello | idq add -k a -g +45 --ttl 1h --keep 2d --attempts 3 \
	    --on-crash hold --payload - -- one two
	[ "$(fields a)" = 'Key Id Added By Due Expires Group Keep Attempts On-crash Arg Arg Length Fingerprint' ]
	[ "$(header Group a)" = +45 ]
	[ "$(header Keep a)" = 172800 ]
	[ "$(header Attempts a)" = 3 ]
	[ "$(header On-crash a)" = hold ]
	[ "$(header Arg a)" = $'one\ntwo' ]
	[ "$(header Length a)" = 5 ]
	[ "$(between "$(header Due a)" "$(header Expires a)")" -eq 3600 ]
}

@test "add: the fingerprint is the SHA-256 of arguments and payload" {
	printf 'hel\nlo' | idq add -k a --payload - -- one '' 'two words'
	[ "$(header Fingerprint a)" = \
	    "$(printf '3\none\0\0two words\0hel\nlo' | sha256sum | cut -c1-64)" ]
}

@test "add: files and folders are the owner's alone, umask 000 or 077" {
	for mask in 000 077 777; do
		(umask "$mask" && idq add -k "$mask")
		(umask "$mask" && idq add -k "$mask")
		(umask "$mask" && idq add -k "later/$mask" --in 1h)
	done
	[ "$(find "$queue" -printf '%y %m\n' | sort -u)" = $'d 700\nf 600' ]
	[ "$(dups 777)" -eq 1 ]
}

@test "add: leaves a line in the log" {
	idq add -k a -g g
	token=$(hash_of a).$(header Id a).0
	[ "$(cat "$queue"/log/*)" = "$(header Added a)	added	$token		g	a" ]
	[ "$(ls "$queue/log")" = "$(header Added a | cut -c1-10).$(hostname)" ]
}

@test "add: two jobs never have one id" {
	for i in {1..20}; do
		idq add -k "$i"
	done
	[ "$(cat "$queue"/new/* | grep -a '^Id: ' | sort -u | wc -l)" -eq 20 ]
}

#
# Duplicates.
#

@test "add: a duplicate is 0 and silent, and leaves a stamp in dups" {
	idq add -k a -- x
	before=$(cksum <"$(key_file a)")
	for n in 1 2 3; do
		run -0 --separate-stderr idq add -k a -- x
		expect 0 ''
		[ "$(dups a)" -eq "$n" ]
	done
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(jobs_on_disk)" -eq 2 ]
	h=$(hash_of a)
	file=$queue/dups/${h:0:2}/$h.$(header Id a)
	[ "$(wc -l <"$file")" -eq 3 ]
	grep -vxE '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z' "$file" |
	    nothing
	# The log is not filled with them.
	[ "$(wc -l <"$(echo "$queue"/log/*)")" -eq 1 ]
}

@test "add: 144 times asked for is one job" {
	for _ in {1..144}; do
		echo 'call/42	hello'
	done | idq add --batch
	[ "$(jobs_on_disk)" -eq 2 ]
	[ "$(dups call/42)" -eq 143 ]
}

@test "add: a duplicate may have other options than the job that has the key" {
	idq add -k a
	run -0 --separate-stderr idq add -k a -g g --in 1h --keep 1d
	expect 0 ''
	[ "$(dups a)" -eq 1 ]
	[ "$(fields a)" = 'Key Id Added By Due Length Fingerprint' ]
}

@test "add: a key is held in every state that is not over" {
	need faketime
	idq add -k waiting --in 1h
	idq add -k held --on-crash hold --at @1700000000
	idq claim --lease 1s
	idq add -k running --at @1700000001
	at +1m idq claim --lease 1d
	idq add -k pending
	for state in waiting held running pending; do
		run -3 --separate-stderr idq add -v -E 3 -k "$state"
		[ "$(cut -f1,3,5,6 <<<"$output")" = "duplicate	$state	1	$state" ]
		[ "$state" = held ] || [ "$stderr" = '' ]
	done
	# However long it lasts: no time frees it.
	for state in waiting held running pending; do
		run -3 --separate-stderr at +4000d idq add -E 3 -k "$state"
		[ "$output" = '' ]
	done
}

@test "add: a running job's key is held without waiting for its lock" {
	idq add -k a
	mkfifo gate
	spawn idq work --once -- sh -c ': >running; read -r x <gate'
	wait_for '[ -e running ]'
	run -3 --separate-stderr timeout 4 "$IDQ" add -v -E 3 -k a
	[ "$(cut -f1,3 <<<"$output")" = $'duplicate\trunning' ]
	[ "$stderr" = '' ]
	echo go >gate
	wait "${spawned[0]}"
	[ "$(state_of a)" = 'done' ]
}

@test "add: a done job holds its key for keep, not longer" {
	need faketime
	idq add -k a
	idq add -k b --keep 1h
	idq add -k c --keep forever
	for _ in a b c; do
		claim_and ack
	done
	run -3 --separate-stderr at +167h idq add -E 3 -k a
	expect 3 ''
	run -0 --separate-stderr at +169h idq add -v -E 3 -k a
	[[ $output == added$'\t'* ]]
	[ "$(state_of a)" = new ]
	run -3 --separate-stderr at +59m idq add -E 3 -k b
	expect 3 ''
	run -0 --separate-stderr at +61m idq add -E 3 -k b
	expect 0 ''
	[ "$(state_of b)" = new ]
	run -3 --separate-stderr at +9999d idq add -E 3 -k c
	expect 3 ''
	# Of the old ones nothing is left.
	[ "$(jobs_on_disk)" -eq 6 ]
}

@test "add: a cancelled job holds its key for keep, not longer" {
	need faketime
	idq add -k a
	idq cancel a
	run -3 --separate-stderr at +167h idq add -v -E 3 -k a
	[ "$(cut -f1,3 <<<"$output")" = $'duplicate\tcancelled' ]
	run -0 --separate-stderr at +169h idq add -E 3 -k a
	expect 0 ''
	[ "$(state_of a)" = new ]
}

@test "add: a failed job holds its key for keep-failed, with a line each hour" {
	need faketime
	idq add -k a
	claim_and fail --exit 100
	run -0 --separate-stderr at +3h idq add -k a
	expect 0 '' 'idq: add: a: failed 3h ago and holds its key; idq retry or idq forget frees it'
	run -3 --separate-stderr at +29d idq add -E 3 -k a
	expect 3 '' 'idq: add: a: failed 29d ago and holds its key; idq retry or idq forget frees it'
	run -0 --separate-stderr at +31d idq add -E 3 -k a
	expect 0 ''
	[ "$(state_of a)" = new ]
}

@test "add: a forgotten job's key is new" {
	idq add -k a
	id=$(header Id a)
	claim_and ack
	idq forget a
	run -0 --separate-stderr idq add -E 3 -k a -- other
	expect 0 ''
	[ "$(header Id a)" != "$id" ]
	[ "$(dups a)" -eq 0 ]
}

@test "add: of many at once with one key one is added" {
	for _ in 1 2 3 4 5 6 7 8; do
		spawn idq add -v -k a
	done
	for pid in "${spawned[@]}"; do
		wait "$pid"
	done
	spawned=()
	nothing <spawn.err
	[ "$(cut -f1 spawn.out | sort | uniq -c | xargs)" = \
	    '1 added 7 duplicate' ]
	[ "$(cut -f2,6 spawn.out | sort -u)" = "$(hash_of a)	a" ]
	[ "$(dups a)" -eq 7 ]
	[ "$(jobs_on_disk)" -eq 2 ]
}

#
# Mismatches.
#

# refused KEY WHAT: the last run was a mismatch in WHAT.
refused() {
	[ "$output" = '' ]
	[[ $stderr == "idq: add: $1: differs from the job that holds the key ($2); "* ]]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
}

@test "add: another payload is 65 and changes nothing" {
	echo one | idq add -k a --payload -
	before=$(cksum <"$(key_file a)")
	for text in two on 'one more' ''; do
		run -65 --separate-stderr sh -c \
		    "echo '$text' | idq add -k a --payload -"
		refused a payload
	done
	run -65 --separate-stderr idq add -k a
	refused a payload
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(dups a)" -eq 0 ]
	[ "$(jobs_on_disk)" -eq 2 ]
	[ "$(grep -cP '\tmismatch\t' "$queue"/log/*)" -eq 5 ]
}

@test "add: other arguments are 65" {
	idq add -k a -- one two
	run -65 --separate-stderr idq add -k a -- one
	refused a args
	run -65 --separate-stderr idq add -k a -- one two three
	refused a args
	run -65 --separate-stderr idq add -k a -- two one
	refused a args
	run -65 --separate-stderr idq add -k a -- 'one two'
	refused a args
	run -65 --separate-stderr idq add -k a
	refused a args
	[ "$(dups a)" -eq 0 ]
}

@test "add: both other is 65 and says so" {
	echo one | idq add -k a --payload - -- x
	run -65 --separate-stderr sh -c 'echo two | idq add -k a --payload - -- y'
	refused a 'args and payload'
	# An argument is no payload.
	run -65 --separate-stderr idq add -k a -- x one
	refused a 'args and payload'
}

@test "add: a mismatch is 65 in whatever state the job is, and whatever -E says" {
	idq add -k a
	claim_and ack
	run -65 --separate-stderr idq add -E 3 -k a -- x
	refused a args
	idq add -k b
	claim_and fail --exit 100
	run -65 --separate-stderr idq add -E 3 -k b -- x
	refused b args
	idq add -k c --in 1h
	run -65 --separate-stderr idq add -E 3 -k c -- x
	refused c args
}

#
# -E, -v, --json, --reuse
#

@test "add: -E says what a duplicate exits with" {
	run -0 --separate-stderr idq add -k a -E 3
	expect 0 ''
	run -3 --separate-stderr idq add -k a -E 3
	expect 3 ''
	run -255 --separate-stderr idq add -k a -E 255
	expect 255 ''
	run -0 --separate-stderr idq add -k a -E 0
	expect 0 ''
	for n in 256 -1 x '' 1x; do
		run -64 --separate-stderr idq add -k a -E "$n"
		[ "$output" = '' ]
		[[ $stderr == "idq: add: -E $n: "* ]]
	done
	[ "$(dups a)" -eq 3 ]
}

@test "add: -v prints result, hash, state, age, duplicates and key" {
	need faketime
	run -0 --separate-stderr idq add -v -k call/42
	expect 0 "added	$(hash_of call/42)	pending	0	0	call/42"
	run -0 --separate-stderr at +20m idq add -v -k call/42
	[ "$stderr" = '' ]
	[ "$(cut -f1-3,5,6 <<<"$output")" = \
	    "duplicate	$(hash_of call/42)	pending	1	call/42" ]
	[[ $(cut -f4 <<<"$output") == 120[0-9] ]]
	run -0 --separate-stderr idq add -v -k call/42
	[ "$(cut -f1,5 <<<"$output")" = $'duplicate\t2' ]
	run -0 --separate-stderr idq add -v -k later --in 1h
	expect 0 "added	$(hash_of later)	waiting	0	0	later"
}

@test "add: -v prints a line of a mismatch too" {
	idq add -k a
	idq add -k a
	run -65 --separate-stderr idq add -v -k a -- x
	[ "$(cut -f1-3,6 <<<"$output")" = \
	    "mismatch	$(hash_of a)	pending	a" ]
	[[ $(cut -f4 <<<"$output") =~ ^[0-9]+$ ]]
	[[ $stderr == 'idq: add: a: differs '*' (args); '* ]]
	# So many duplicates there have been so far.
	[ "$(cut -f5 <<<"$output")" -eq 1 ]
}

@test "add: -v prints a line of an error too, with six fields" {
	echo foreign >"$(key_file a)"
	run -70 --separate-stderr idq add -v -k a
	[ "$(tr -cd '\t' <<<"$output" | wc -c)" -eq 5 ]
	[ "$(cut -f1,2,6 <<<"$output")" = "error	$(hash_of a)	a" ]
	[[ $stderr == "idq: add: a: "* ]]
}

@test "add: --json prints an object" {
	need jq
	run -0 --separate-stderr idq add --json -k call/42
	[ "$stderr" = '' ]
	[ "$(wc -l <<<"$output")" -eq 1 ]
	[ "$(jq -cS 'del(.id)' <<<"$output")" = "{\"age\":0,\"duplicates\":0,\"hash\":\"$(hash_of call/42)\",\"key\":\"call/42\",\"result\":\"added\",\"state\":\"pending\"}" ]
	[ "$(jq -r .id <<<"$output")" = "$(header Id call/42)" ]
	run -0 --separate-stderr idq add --json -k call/42
	[ "$stderr" = '' ]
	[ "$(jq -c '[.result, .duplicates, .state]' <<<"$output")" = \
	    '["duplicate",1,"pending"]' ]
	[ "$(jq -r .id <<<"$output")" = "$(header Id call/42)" ]
}

@test "add: --json has an error after a failure" {
	need jq
	idq add -k a
	run -65 --separate-stderr idq add --json -k a -- x
	[[ $stderr == 'idq: add: a: differs '* ]]
	[ "$(jq -r .result <<<"$output")" = mismatch ]
	[[ $(jq -r .error <<<"$output") == *args* ]]
	echo foreign >"$(key_file b)"
	run -70 --separate-stderr idq add --json -k b
	[ "$(jq -r .result <<<"$output")" = error ]
	[ "$(jq -r .key <<<"$output")" = b ]
	[[ $(jq -r .error <<<"$output") == *"$(key_file b)"* ]]
}

@test "add: --json escapes what a key may have" {
	need jq
	key='"quote" \ back/slash ø 日本'
	run -0 --separate-stderr idq add --json -k "$key"
	[ "$stderr" = '' ]
	[ "$(jq -r .key <<<"$output")" = "$key" ]
	[ "$(jq -r .hash <<<"$output")" = "$(hash_of "$key")" ]
}

@test "add: --reuse failed takes the key of a failed job alone" {
	for key in failed 'done' cancelled; do
		idq add -k "$key"
	done
	claim_and fail --exit 100
	claim_and ack
	idq cancel cancelled
	id=$(header Id failed)
	for key in 'done' cancelled; do
		run -3 --separate-stderr idq add -E 3 --reuse failed -k "$key"
		expect 3 ''
	done
	run -0 --separate-stderr idq add -v -E 3 --reuse failed -k failed -- new
	expect 0 "added	$(hash_of failed)	pending	0	0	failed"
	[ "$(header Id failed)" != "$id" ]
	[ "$(state_of failed)" = new ]
	[ -z "$(ls -A "$queue/failed")" ]
}

@test "add: --reuse final takes the key of any job that is over" {
	need faketime
	for key in failed 'done' cancelled; do
		idq add -k "$key"
	done
	claim_and fail --exit 100
	claim_and ack
	idq cancel cancelled
	for key in failed 'done' cancelled; do
		run -0 --separate-stderr idq add -E 3 --reuse final -k "$key"
		expect 0 ''
		[ "$(state_of "$key")" = new ]
	done
	[ "$(jobs_on_disk)" -eq 6 ]
}

@test "add: --reuse never takes the key of a job that is not over" {
	need faketime
	idq add -k waiting --in 1h
	idq add -k held --on-crash hold --at @1700000000
	idq claim --lease 1s
	idq add -k running --at @1700000001
	at +1m idq claim --lease 1d
	idq add -k pending
	for word in failed final; do
		for key in waiting held running pending; do
			run -3 --separate-stderr \
			    idq add -E 3 --reuse "$word" -k "$key"
			[ "$key" = held ] || expect 3 ''
			run -65 --separate-stderr \
			    idq add -E 3 --reuse "$word" -k "$key" -- x
			refused "$key" args
		done
	done
}

@test "add: an unknown word of --reuse or --on-crash is 64, with the closest" {
	run -64 --separate-stderr idq add -k a --reuse faild
	expect 64 '' "idq: add: --reuse: unknown word 'faild'; did you mean 'failed'?"
	run -64 --separate-stderr idq add -k a --on-crash holt
	expect 64 '' "idq: add: --on-crash: unknown word 'holt'; did you mean 'hold'?"
	[ "$(jobs_on_disk)" -eq 0 ]
}

#
# Words about some duplicates.
#

@test "add: a job pending for long makes its producer warn, once an hour" {
	need faketime
	idq add -k call/42
	run -0 --separate-stderr at +29m idq add -k call/42
	expect 0 ''
	run -0 --separate-stderr at +400m idq add -k call/42
	expect 0 '' "idq: add: $queue: stalled: 1 pending, oldest 6h40m, last worker seen never"
	run -0 --separate-stderr at +405m idq add -k call/42
	expect 0 ''
	run -0 --separate-stderr at +459m idq add -k call/42
	expect 0 ''
	run -0 --separate-stderr at +461m idq add -k call/42
	expect 0 '' "idq: add: $queue: stalled: 1 pending, oldest 7h41m, last worker seen never"
}

@test "add: the seventh ask in five minutes each warns first" {
	need faketime
	for n in 0 1 2 3 4 5; do
		run -0 --separate-stderr at "+$((n * 5))m" idq add -k a
		expect 0 ''
	done
	run -0 --separate-stderr at +1801 idq add -k a
	expect 0 '' "idq: add: $queue: stalled: 1 pending, oldest 30m, last worker seen never"
}

@test "add: the warning is one for the queue, whatever the key" {
	need faketime
	idq add -k a
	idq add -k b
	run -0 --separate-stderr at +1h idq add -k a
	[[ $stderr == *': stalled: 2 pending, oldest '* ]]
	run -0 --separate-stderr at +1h idq add -k b
	expect 0 ''
	idq init -q other
	idq add -q other -k a
	run -0 --separate-stderr at +1h idq add -q other -k a
	[[ $stderr == "idq: add: $IDQ_SPOOL/other: stalled: 1 pending, oldest "* ]]
}

@test "add: the warning says when a worker was last seen" {
	need faketime
	run -1 idq claim
	idq add -k a
	run -0 --separate-stderr at +45m idq add -k a
	[[ $stderr =~ ^idq:\ add:\ $queue:\ stalled:\ 1\ pending,\ oldest\ 4[45]m,\ last\ worker\ seen\ 45m\ ago$ ]]
}

@test "add: a job is pending from its due time, so a waiting one does not warn" {
	need faketime
	idq add -k a --in 2h
	run -0 --separate-stderr at +1h idq add -k a
	expect 0 ''
	run -0 --separate-stderr at +140m idq add -k a
	expect 0 ''
	run -0 --separate-stderr at +151m idq add -k a
	expect 0 '' "idq: add: $queue: stalled: 1 pending, oldest 31m, last worker seen never"
}

@test "add: warn-age says how old, or never" {
	need faketime
	idq config warn-age 2h
	idq add -k a
	run -0 --separate-stderr at +119m idq add -k a
	expect 0 ''
	run -0 --separate-stderr at +121m idq add -k a
	[[ $stderr == *': stalled: 1 pending, oldest 2h1m, '* ]]
	idq config warn-age none
	run -0 --separate-stderr at +9999d idq add -k a
	expect 0 ''
}

@test "add: a new key warns too, when nothing was started since the first" {
	need faketime
	idq add -k 1
	run -0 --separate-stderr at +20m idq add -k 2
	expect 0 ''
	run -0 --separate-stderr at +31m idq add -k 3
	expect 0 '' "idq: add: $queue: stalled: 3 pending, oldest 31m, last worker seen never"
	run -0 --separate-stderr at +40m idq add -k 4
	expect 0 ''
}

@test "add: a queue that was drained and idle does not warn of the next night" {
	need faketime
	idq add -k 1
	idq work --drain -- true
	run -0 --separate-stderr at +24h idq add -k 2
	expect 0 ''
	run -0 at +24h idq work --drain -- true
	run -0 --separate-stderr at +48h idq add -k 3
	expect 0 ''
	# Nor one whose only job was cancelled.
	idq cancel 3
	run -0 --separate-stderr at +72h idq add -k 4
	expect 0 ''
	# A worker that goes on is not stalled.
	at +96h idq add -k 5 2>>told
	run -0 at +96h idq work --once -- true
	run -0 --separate-stderr at +97h idq add -k 6
	expect 0 ''
}

@test "add: a paused queue's alarm says who paused it and why" {
	need faketime
	idq add -k 1
	idq pause -m 'wrong numbers'
	run -0 --separate-stderr at +31m idq add -k 1
	[[ $stderr =~ ^"idq: add: $queue: paused by "[^\ ]+@[^\ ]+" 31m ago (wrong numbers): 1 pending, oldest 31m, last worker seen never"$ ]]
}

@test "add: a duplicate of a held job says so, once an hour" {
	need faketime
	idq add -k 1 --on-crash hold
	idq claim --lease 1s
	run -1 at +1m idq claim
	is "$(state_of 1)" hold
	run -0 --separate-stderr at +2m idq add -k 1
	[[ $stderr == 'idq: add: 1: held 1m ago and waits for a person; '* ]]
	run -0 --separate-stderr at +59m idq add -k 1
	expect 0 ''
	run -0 --separate-stderr at +63m idq add -k 1
	[[ $stderr == 'idq: add: 1: held 1h2m ago '* ]]
}

@test "add: --strict makes each warning 75, and the job is added all the same" {
	need faketime
	run -0 --separate-stderr idq add --strict -k 1
	expect 0 ''
	for n in 31 32; do
		run -75 --separate-stderr at "+${n}m" idq add --strict -k 1
		run -75 --separate-stderr at "+${n}m" idq add --strict -k "$n"
		is "$(state_of "$n")" new
	done
	run -75 --separate-stderr idq add --strict -k old --not-after @1
	is "$(state_of old)" expired
	run -75 --separate-stderr idq add --strict -k older --not-after @0
	is "$(state_of older)" expired
	idq work --drain -- sh -c 'exit 100' 2>>told
	run -75 --separate-stderr idq add --strict -k 1
	run -75 --separate-stderr idq add --strict -E 9 -k 1
	printf 'x\n1\n' >list
	run -75 --separate-stderr sh -c 'idq add --strict --batch <list'
	is "$(state_of x)" new
}

@test "add: a job that only waits for its group is no stall while others start" {
	need faketime
	idq config group-gap 50m
	idq add -k 1 -g x
	idq add -k 2 -g x
	run -0 idq work --drain -- true
	is "$(state_of 2)" paced
	idq add -k 3 -g y
	run -0 at +20m idq work --drain -- true
	run -0 --separate-stderr at +40m idq add -k 2 -g x
	expect 0 ''
	# But it is when nothing is.
	run -0 --separate-stderr at +55m idq add -k 2 -g x
	[[ $stderr == *': stalled: 1 pending, oldest 55m, '* ]]
}

# The line that idq add -k $1 writes on a terminal.
on_terminal() {
	script -qec "idq add -k '$1'" /dev/null </dev/null | tr -d '\r'
}

@test "add: on a terminal every duplicate has one line with the way out" {
	need script
	run on_terminal pending
	[ "$status" -eq 0 ]
	[ "$output" = '' ]
	for key in 'done' failed; do
		idq add -k "$key"
	done
	[ "$(on_terminal pending | wc -l)" -eq 1 ]
	[[ $(on_terminal pending) == 'idq: add: pending: '*pending*0s*'idq cancel'* ]]
	idq cancel pending
	[[ $(on_terminal pending) == 'idq: add: pending: '*cancelled*'idq forget'* ]]
	claim_and ack
	[[ $(on_terminal 'done') == 'idq: add: done: '*'done'*'idq forget'* ]]
	claim_and fail --exit 100
	[ "$(on_terminal failed | wc -l)" -eq 1 ]
	[[ $(on_terminal failed) == 'idq: add: failed: failed '*'idq retry or idq forget'* ]]
}

#
# Keys.
#

@test "add: several -k are parts of one key" {
	run -0 --separate-stderr idq add -k call -k a/b -k 50%
	expect 0 ''
	[ "$(header Key call/a%2Fb/50%25)" = call/a%2Fb/50%25 ]
	run -3 --separate-stderr idq add -E 3 -k call/a%2Fb/50%25
	expect 3 ''
}

@test "add: a key that is none is 64, and no queue is made for it" {
	rm -r "$IDQ_SPOOL"
	long=$(printf '%0513d' 0)
	for words in "-k ''" "-k call -k ''" "-k $long" "-k x -k ${long#?}" \
	    '-k "$(printf "\377")"' '-k "$(printf "a\tb")"' \
	    '-k "$(printf "a\nb")"' '-k "$(printf "a\033b")"' \
	    '-k "$(printf "a\177")"' "-k ${long#??} --per day" \
	    "-k a -g ''" '-k a -g "$(printf "a\nb")"' "-k a -g $long"; do
		run -64 --separate-stderr sh -c "idq add $words"
		[ "$output" = '' ]
		[[ $stderr == 'idq: add: -'[kg]* ]]
		[ "$(printf %s "$stderr" | wc -l)" -eq 0 ]
		printf %s "$stderr" | grep -a $'[\001-\037\177]' | nothing
	done
	[ ! -e "$IDQ_SPOOL" ]
}

@test "add: a key of 512 bytes of UTF-8 is a job" {
	key=$(printf 'ø%.0s' {1..256})
	run -0 --separate-stderr idq add -k "$key"
	expect 0 ''
	[ "$(header Key "$key")" = "$key" ]
	[ "$(state_of "$key")" = new ]
}

@test "add: --per makes a key for each period" {
	need faketime
	for day in 22 22 23 24; do
		on "2026-11-${day}T12:00:00Z" idq add -k a --per day
	done
	cd "$queue"
	[ "$(grep -hm1 ^Key: new/*)" = \
	    $'Key: a@2026-11-22\nKey: a@2026-11-23\nKey: a@2026-11-24' ]
}

@test "add: --per hour runs twice in the hour that comes twice" {
	need faketime
	TZ=CET-1CEST,M3.5.0,M10.5.0/3
	for time in 00:30 00:45 01:30 01:45; do
		on "2026-10-25T$time:00Z" idq add -k a --per hour
	done
	cd "$queue"
	[ "$(grep -hm1 ^Key: new/*)" = \
	    $'Key: a@2026-10-25T02+0200\nKey: a@2026-10-25T02+0100' ]
}

@test "add: --key-from-payload makes the fingerprint the key" {
	key=$(printf '1\nx\0hello' | sha256sum | cut -c1-64)
	printf hello >file
	run -0 --separate-stderr idq add --key-from-payload --payload file -- x
	expect 0 ''
	[ "$(header Key "$key")" = "$key" ]
	[ "$(header Fingerprint "$key")" = "$key" ]
	# From a pipe, and from the middle of a file.
	run -3 --separate-stderr sh -c \
	    'printf hello | idq add -E 3 --key-from-payload --payload - -- x'
	expect 3 ''
	printf 'line\nhello' >file
	run -3 --separate-stderr bash -c \
	    '{ read -r l; idq add -E 3 --key-from-payload --payload - -- x; } <file'
	expect 3 ''
	# Other arguments, or another payload: another key.
	run -0 --separate-stderr idq add -E 3 --key-from-payload --payload file -- x
	expect 0 ''
	run -0 --separate-stderr idq add -E 3 --key-from-payload -- x
	expect 0 ''
	[ "$(ls "$queue/new" | wc -l)" -eq 3 ]
	[ "$(payload "$key")" = hello ]
}

@test "add: --key-from-payload of a large pipe keeps every byte" {
	head -c 300000 /dev/urandom >big
	run -0 --separate-stderr sh -c \
	    'cat big | idq add --key-from-payload --payload -'
	expect 0 ''
	key=$({ printf '0\n'; cat big; } | sha256sum | cut -c1-64)
	payload "$key" | cmp - big
}

#
# Times.
#

@test "add: --at takes a time in each of its forms" {
	need faketime
	TZ=CET-1
	n=0
	while IFS=' ' read -r given due; do
		n=$((n + 1))
		on 2026-11-23T13:00:00Z idq add -k "$n" --at "$given"
		[ "$(header Due "$n")" = "$due" ]
		compact=$(tr -d ':-' <<<"$due")
		[ -e "$queue/wait/${compact:0:13}/$compact.$(hash_of "$n").$(header Id "$n")" ]
	done <<-'END'
		2026-11-24T08:30 2026-11-24T07:30:00.000000Z
		2026-11-24T08:30:15 2026-11-24T07:30:15.000000Z
		2026-11-24T08:30:15.25 2026-11-24T07:30:15.250000Z
		2026-11-24T08:30Z 2026-11-24T08:30:00.000000Z
		2026-11-24T08:30:00.000001Z 2026-11-24T08:30:00.000001Z
		2026-11-24T08:30+01:00 2026-11-24T07:30:00.000000Z
		2026-11-24T08:30-0500 2026-11-24T13:30:00.000000Z
		2026-11-24T08:30+05:30 2026-11-24T03:00:00.000000Z
		2026-11-24 2026-11-23T23:00:00.000000Z
		2028-02-29T00:00Z 2028-02-29T00:00:00.000000Z
		@1800000000 2027-01-15T08:00:00.000000Z
		15:00 2026-11-23T14:00:00.000000Z
		14:05 2026-11-23T13:05:00.000000Z
		13:59 2026-11-24T12:59:00.000000Z
		00:00 2026-11-23T23:00:00.000000Z
	END
	[ "$n" -eq 15 ]
}

@test "add: --at in summer time and winter time" {
	need faketime
	TZ=CET-1CEST,M3.5.0,M10.5.0/3
	on 2026-10-24T12:00:00Z idq add -k a --at 2026-10-24T18:00
	[ "$(header Due a)" = 2026-10-24T16:00:00.000000Z ]
	# The next 08:00 is on the day of the change: 23 hours from 08:00.
	on 2026-10-24T12:00:00Z idq add -k b --at 08:00
	[ "$(header Due b)" = 2026-10-25T07:00:00.000000Z ]
	on 2026-03-28T12:00:00Z idq add -k c --at 08:00
	[ "$(header Due c)" = 2026-03-29T06:00:00.000000Z ]
}

@test "add: --at in the past is due at once, in its place" {
	idq add -k a
	run -0 --separate-stderr idq add -v -k b --at 2020-01-01T00:00Z
	expect 0 "added	$(hash_of b)	pending	0	0	b"
	[ "$(header Due b)" = 2020-01-01T00:00:00.000000Z ]
	[ "$(ls "$queue/new" | head -n 1)" = \
	    "20200101T000000.000000Z.$(hash_of b).$(header Id b)" ]
}

@test "add: --in counts from now" {
	while read -r given seconds; do
		run -0 --separate-stderr idq add -k "$given" --in "$given"
		expect 0 ''
		off=$(($(between "$(header Added "$given")" \
		    "$(header Due "$given")") - seconds))
		[ "$off" -ge -1 ]
		[ "$off" -le 1 ]
		[ "$(state_of "$given")" = wait ]
	done <<-'END'
		90s 90
		10m 600
		1h30m 5400
		7d 604800
		2w 1209600
		1w2d3h4m5s 788645
	END
}

@test "add: what is no time is 64 and adds nothing" {
	for t in tomorrow 25:00 12:60 14 1400 2026-02-29 2026-13-01 \
	    2026-11-31 2026-11-23T 2026-11-23T24:00 2026-11-23T14 \
	    2026-11-23T14:00:60 2026-11-23T14:00+25:00 2026-11-23T14:00X \
	    23.11.2026 @ @-1 @1x @1.5 1795438800 '' ' ' '14:00 ' -1; do
		for option in --at --not-after; do
			run -64 --separate-stderr idq add -k a "$option" "$t"
			[ "$output" = '' ]
			[[ $stderr == "idq: add: $option $t: is no time"* ]]
		done
	done
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: a number that no unit makes a duration is not given one" {
	run --separate-stderr idq add -k a --in 99999999999999999
	expect 64 '' "idq: add: --in 99999999999999999: is no duration, which is \
like 90s, 10m, 1h30m, 7d or 2w"
}

@test "add: what is no duration is 64, with what was meant" {
	for option in --in --ttl --keep; do
		run -64 --separate-stderr idq add -k a "$option" 5
		[ "$output" = '' ]
		[[ $stderr == "idq: add: $option 5: is no duration; did you mean '5s', '5m' or '5h'?"* ]]
		run -64 --separate-stderr idq add -k a "$option" 10min
		[[ $stderr == "idq: add: $option 10min: is no duration; did you mean '10m'?"* ]]
		for d in '' m 5x -5m 1.5h 5m1h 5m5m '5 m' soon \
		    99999999999999999999d; do
			run -64 --separate-stderr idq add -k a "$option" "$d"
			[ "$output" = '' ]
			[[ $stderr == "idq: add: $option $d: is no duration"* ]]
		done
	done
	run -64 --separate-stderr idq add -k a --ttl 0s
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: --ttl 0s: '* ]]
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: --ttl counts from the due time" {
	need faketime
	idq add -k a --ttl 20m
	[ "$(between "$(header Due a)" "$(header Expires a)")" -eq 1200 ]
	idq add -k b --in 1h --ttl 20m
	[ "$(between "$(header Due b)" "$(header Expires b)")" -eq 1200 ]
	on 2026-11-23T12:00:00Z idq add -k c --at 14:00 --ttl 1h
	[ "$(header Expires c)" = 2026-11-23T15:00:00.000000Z ]
}

@test "add: the queue's ttl goes for a job without a deadline of its own" {
	need faketime
	idq config ttl 1h
	on 2026-11-23T12:00:00Z idq add -k a --at 14:00
	[ "$(header Expires a)" = 2026-11-23T15:00:00.000000Z ]
	on 2026-11-23T12:00:00Z idq add -k b --at 14:00 --ttl 10m
	[ "$(header Expires b)" = 2026-11-23T14:10:00.000000Z ]
	on 2026-11-23T12:00:00Z idq add -k c --at 14:00 --not-after 18:00
	[ "$(header Expires c)" = 2026-11-23T18:00:00.000000Z ]
}

@test "add: --not-after HH:MM is today's, even when past" {
	need faketime
	TZ=CET-1
	on 2026-11-23T13:00:00Z idq add -k a --not-after 20:00
	[ "$(header Expires a)" = 2026-11-23T19:00:00.000000Z ]
	[ "$(state_of a)" = new ]
	run -0 --separate-stderr on 2026-11-23T21:00:00Z \
	    idq add -v -k b --not-after 20:00
	is "$stderr" "idq: add: $queue: b: its deadline has passed; set aside as expired, not to be run"
	[[ $output == "added	$(hash_of b)	expired	"* ]]
	[ "$(header Expires b)" = 2026-11-23T19:00:00.000000Z ]
	[ "$(state_of b)" = expired ]
}

@test "add: a job past its own deadline goes to expired at once" {
	run -0 --separate-stderr idq add -k a --not-after 2026-01-01T00:00Z
	expect 0 '' "idq: add: $queue: a: its deadline has passed; set aside as expired, not to be run"
	line=$(last a)
	[[ $line =~ ^[0-9T:.-]{26}Z\ expired\ 0\ release=[0-9T:.-]{26}Z$ ]]
	[ "$(between "${line%% *}" "$(value release "$line")")" -eq 604800 ]
	[ "$queue/expired/${line:0:10}/$(hash_of a).$(header Id a)" -ef \
	    "$(key_file a)" ]
	[ "$(cut -f2 "$queue"/log/*)" = $'added\nexpired' ]
	run -1 --separate-stderr idq claim
	expect 1 ''
}

@test "add: a deadline at the beginning of time is past, not absent" {
	run -0 --separate-stderr idq add -k a --not-after @0
	[ "$output" = '' ]
	[ "$(state_of a)" = expired ]
}

@test "add: a deadline before the due time is 64" {
	run -64 --separate-stderr idq add -k a --in 2h --not-after \
	    "@$(($(date +%s) + 3600))"
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: a: '*deadline*'due time'* ]]
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: two due times or two deadlines are 64" {
	run -64 --separate-stderr idq add -k a --at 14:00 --in 1h
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: --in: '*--at* ]]
	run -64 --separate-stderr idq add -k a --ttl 1h --not-after 14:00
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: --ttl: '*--not-after* ]]
	[ "$(jobs_on_disk)" -eq 0 ]
}

#
# Keys of expired jobs.
#

@test "add: an expired key is free for an add without a deadline" {
	need faketime
	idq add -k a --ttl 1h
	old=$(header Id a)
	run -0 --separate-stderr at +2h idq add -v -E 3 -k a
	expect 0 "added	$(hash_of a)	pending	0	0	a"
	[ "$(header Id a)" != "$old" ]
	# The old one is history.
	[ "$(find "$queue/expired" -type f -printf '%f\n')" = \
	    "$(hash_of a).$old" ]
	[ "$(ls "$queue/new" | cut -d. -f4)" = "$(header Id a)" ]
	[ "$(cut -f2 "$queue"/log/* | xargs)" = 'added expired added' ]
}

@test "add: an expired key is free for an add whose deadline lies ahead" {
	need faketime
	idq add -k a --ttl 1h
	run -1 --separate-stderr at +2h idq claim
	[ "$(state_of a)" = expired ]
	run -0 --separate-stderr at +3h idq add -v -E 3 -k a --ttl 1h
	[[ $output == added$'\t'* ]]
	# It may be another job, too: nothing was done.
	idq add -k b --ttl 1h
	run -0 --separate-stderr at +3h idq add -E 3 -k b --ttl 1h -- other
	expect 0 ''
}

@test "add: an expired key is held against an add past its own deadline" {
	need faketime
	on 2026-11-23T12:00:00Z idq add -k a --not-after 20:00
	id=$(header Id a)
	for time in 20:05 20:10 23:55; do
		run -3 --separate-stderr on "2026-11-23T$time:00Z" \
		    idq add -v -E 3 -k a --not-after 20:00
		[[ $output == "duplicate	$(hash_of a)	expired	"* ]]
		[ "$stderr" = '' ]
	done
	[ "$(header Id a)" = "$id" ]
	[ "$(state_of a)" = expired ]
	[ "$(dups a)" -eq 3 ]
	# The next day's deadline lies ahead.
	run -0 --separate-stderr on 2026-11-24T12:00:00Z \
	    idq add -v -E 3 -k a --not-after 20:00
	[[ $output == added$'\t'* ]]
}

@test "add: asked for all night, a job past its deadline stays one expired job" {
	need faketime
	for time in 12:00 19:55 20:00 20:05 21:00 22:00; do
		on "2026-11-23T$time:30Z" idq add -k a --not-after 20:00 \
		    2>>warnings
	done
	[ "$(jobs_on_disk)" -eq 2 ]
	run -1 --separate-stderr on 2026-11-23T22:30:00Z idq claim
	expect 1 ''
	[ "$(state_of a)" = expired ]
	[ "$(wc -l <warnings)" -eq 1 ]
}

@test "add: a waiting job's key is held until its deadline" {
	need faketime
	idq add -k a --in 2h --ttl 1h
	run -3 --separate-stderr at +1h idq add -E 3 -k a
	expect 3 ''
	run -3 --separate-stderr at +140m idq add -E 3 -k a
	expect 3 ''
	run -0 --separate-stderr at +181m idq add -E 3 -k a
	expect 0 ''
}

@test "add: a job that had started before it expired has failed" {
	need faketime
	idq add -k a --ttl 1h
	claim_and fail
	run -3 --separate-stderr at +2h idq add -v -E 3 -k a
	[[ $output == duplicate$'\t'* ]]
	run -1 --separate-stderr at +2h idq claim
	[ "$output" = '' ]
	[ "$(state_of a)" = failed ]
	[[ $(last a) == *' failed 1 reason=expired to=failed release='* ]]
	run -3 --separate-stderr at +2h idq add -v -E 3 -k a
	[[ $output == "duplicate	$(hash_of a)	failed	"* ]]
	[[ $stderr == 'idq: add: a: failed '*' ago and holds its key; '* ]]
}

@test "add: a claimed job's key is held past its deadline" {
	need faketime
	idq add -k a --ttl 1h
	idq claim --lease 1d
	run -3 --separate-stderr at +2h idq add -v -E 3 -k a
	[[ $output == "duplicate	$(hash_of a)	running	"* ]]
	[ "$stderr" = '' ]
}

#
# Other options.
#

@test "add: --keep is in seconds on disk, or forever" {
	idq add -k a --keep 1h30m
	[ "$(header Keep a)" = 5400 ]
	idq add -k b --keep forever
	[ "$(header Keep b)" = forever ]
	run -64 --separate-stderr idq add -k c --keep none
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: --keep none: '*forever* ]]
}

@test "add: --attempts is a number from 1" {
	idq add -k a --attempts 1
	[ "$(header Attempts a)" = 1 ]
	for n in 0 -1 x '' 1.5 99999999999999999999; do
		run -64 --separate-stderr idq add -k b --attempts "$n"
		[ "$output" = '' ]
		[[ $stderr == "idq: add: --attempts $n: "* ]]
	done
	[ "$(jobs_on_disk)" -eq 2 ]
}

@test "add: what is as the queue says is not in the job" {
	idq config keep 1d
	idq config attempts 2
	idq config on-crash hold
	idq add -k a
	[ "$(fields a)" = 'Key Id Added By Due Length Fingerprint' ]
}

#
# Arguments.
#

@test "add: arguments are lines, and come back byte for byte" {
	args=(plain '' 'two words' $'new\nline' $'tab\there' 'back\slash' \
	    $'esc\033[0m' $'del\177' 'ø日本🐟' $'raw\377byte' -x -- 'a=b' ' ')
	run -0 --separate-stderr idq add -k a -- "${args[@]}"
	expect 0 ''
	[ "$(header Arg a | wc -l)" -eq "${#args[@]}" ]
	grep -aqx 'Arg: new\\012line' "$(key_file a)"
	grep -aqx 'Arg: tab\\011here' "$(key_file a)"
	grep -aqx 'Arg: back\\134slash' "$(key_file a)"
	grep -aqx 'Arg: del\\177' "$(key_file a)"
	idq show -0 --field arg a | cmp - <(printf '%s\0' "${args[@]}")
	run -3 --separate-stderr idq add -E 3 -k a -- "${args[@]}"
	expect 3 ''
}

@test "add: an argument may look like an option after --, or like a field" {
	run -64 --separate-stderr idq add -k a one -v
	expect 64 '' 'idq: add: -v: options go before keys; use --'
	[ "$(jobs_on_disk)" -eq 0 ]
	idq add -k a -- -v --json
	[ "$(header Arg a)" = $'-v\n--json' ]
	idq add -k b one - two
	[ "$(header Arg b)" = $'one\n-\ntwo' ]
	idq add -k c 'Length: 99' $'\n\nKey: evil'
	[ "$(header Length c)" = 0 ]
	[ "$(idq show --field key c)" = c ]
}

@test "add: more arguments than a header can hold are 64" {
	args=()
	for _ in {1..9}; do
		args+=("$(printf '%0120000d' 0)")
	done
	run -64 --separate-stderr idq add -k a -- "${args[@]}"
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: a: '*'1 MiB' ]]
	[ "$(jobs_on_disk)" -eq 0 ]
	idq add -k b -- "${args[@]:0:8}"
	[ "$(header Arg b | wc -c)" -eq 960008 ]
	run -0 --separate-stderr idq claim
	[ "$stderr" = '' ]
	idq show --field arg "$output" | cmp - <(printf '%s\n' "${args[@]:0:8}")
}

#
# Payloads.
#

@test "add: the payload is followed by a newline and the trail" {
	printf hello | idq add -k a --payload -
	[ "$(payload a)" = hello ]
	behind a | cmp - <(echo)
	idq claim
	behind a >rest
	[ "$(head -n 1 rest)" = '' ]
	[[ $(tail -n +2 rest) == *' claimed 1 '* ]]
	[ "$(wc -l <rest)" -eq 2 ]
	[ "$(idq cat a)" = hello ]
}

@test "add: a payload from a file, a pipe and a fifo is the same" {
	printf 'one\ntwo\n' >file
	mkfifo fifo
	run -0 --separate-stderr idq add -k a --payload file
	expect 0 ''
	run -3 --separate-stderr sh -c 'idq add -E 3 -k a --payload - <file'
	expect 3 ''
	run -3 --separate-stderr sh -c 'cat file | idq add -E 3 -k a --payload -'
	expect 3 ''
	cat file >fifo 3>&- &
	run -3 --separate-stderr idq add -E 3 -k a --payload fifo
	expect 3 ''
	# A writer that is slow.
	run -3 --separate-stderr sh -c \
	    '{ printf "one\n"; sleep 0.2; printf "two\n"; } | idq add -E 3 -k a --payload -'
	expect 3 ''
	payload a | cmp - file
}

@test "add: the payload of a file begins where its reader stands" {
	printf 'first\nrest\n' >file
	run -0 --separate-stderr bash -c \
	    '{ read -r line; idq add -k a --payload -; } <file'
	expect 0 ''
	[ "$(payload a)" = rest ]
}

@test "add: an empty payload and none are the same" {
	: >empty
	idq add -k a
	run -3 --separate-stderr idq add -E 3 -k a --payload empty
	expect 3 ''
	run -3 --separate-stderr idq add -E 3 -k a --payload /dev/null
	expect 3 ''
	run -3 --separate-stderr sh -c ': | idq add -E 3 -k a --payload -'
	expect 3 ''
	[ "$(header Length a)" = 0 ]
	[ "$(idq cat a | wc -c)" -eq 0 ]
}

@test "add: payloads of any bytes come back as they were" {
	printf '\0' >nul
	printf 'a\0b\n\0' >nuls
	printf '\n\n\n' >newlines
	printf 'idq job 1\nKey: evil\n\n' >header
	printf '2026-11-23T20:35:11.411200Z done 1 exit=0 release=never\n' >trail
	head -c 5000 /dev/urandom >random
	for file in nul nuls newlines header trail random; do
		run -0 --separate-stderr idq add -k "$file" --payload "$file"
		expect 0 ''
		payload "$file" | cmp - "$file"
		idq cat "$file" | cmp - "$file"
		run -3 --separate-stderr sh -c \
		    "cat $file | idq add -v -E 3 -k $file --payload -"
		[ "$(cut -f1,3 <<<"$output")" = $'duplicate\tpending' ]
	done
}

@test "add: payloads around and above 64 KiB come back as they were" {
	for size in 65535 65536 65537 131072 1000001; do
		head -c "$size" /dev/urandom >"f$size"
		run -0 --separate-stderr idq add -k "f$size" --payload "f$size"
		expect 0 ''
		run -0 --separate-stderr sh -c \
		    "cat f$size | idq add -k p$size --payload -"
		expect 0 ''
		for key in "f$size" "p$size"; do
			[ "$((10#$(header Length "$key")))" -eq "$size" ]
			payload "$key" | cmp - "f$size"
			behind "$key" | cmp - <(echo)
			idq cat "$key" | cmp - "f$size"
		done
		[ "$(header Fingerprint "f$size")" = \
		    "$(header Fingerprint "p$size")" ]
		# Each is a duplicate of the other.
		run -3 --separate-stderr sh -c \
		    "cat f$size | idq add -E 3 -k f$size --payload -"
		expect 3 ''
		run -3 --separate-stderr \
		    idq add -E 3 -k "p$size" --payload "f$size"
		expect 3 ''
	done
	find "$queue/tmp" -type f | nothing
}

@test "add: a large payload that differs is 65 and leaves nothing" {
	head -c 200000 /dev/zero >zeros
	{ head -c 199999 /dev/zero; printf x; } >other
	idq add -k a --payload zeros
	run -65 --separate-stderr idq add -k a --payload other
	refused a payload
	run -65 --separate-stderr sh -c 'cat other | idq add -k a --payload -'
	refused a payload
	find "$queue/tmp" -type f | nothing
	[ "$(jobs_on_disk)" -eq 2 ]
}

@test "add: 100 MiB do not make memory grow" {
	limit='ulimit -v 65536'
	# A sanitizer reserves more than there is.
	if grep -q __asan_init "$IDQ"; then
		limit=:
	fi
	run -0 --separate-stderr sh -c \
	    "$limit; head -c 104857600 /dev/zero | idq add -k pipe --payload -"
	expect 0 ''
	[ "$((10#$(header Length pipe)))" -eq 104857600 ]
	truncate -s 100M file
	run -3 --separate-stderr sh -c \
	    "$limit; idq add -E 3 -k pipe --payload file"
	expect 3 ''
	run -0 --separate-stderr sh -c "$limit; idq cat pipe | cmp - file"
	expect 0 ''
}

@test "add: a payload that cannot be read takes no key" {
	run --separate-stderr idq add -k a --payload missing
	[ "$status" -eq 74 ]
	expect 74 '' 'idq: add: --payload missing: No such file or directory'
	run -74 --separate-stderr idq add -k a --payload .
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: '*': Is a directory' ]]
	run -74 --separate-stderr sh -c 'idq add -k a --payload - <&-'
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: '*payload* ]]
	run -74 --separate-stderr idq add -k a --payload ''
	[ "$output" = '' ]
	[ "$(jobs_on_disk)" -eq 0 ]
	find "$queue/tmp" -type f | nothing
}

@test "add: a file that one may not read is 77" {
	need_root
	mkdir -m 777 theirs
	echo secret >secret
	chmod 600 secret
	as_user 65534 idq init -q "$PWD/theirs/queue"
	run -77 --separate-stderr as_user 65534 idq add \
	    -q "$PWD/theirs/queue" -k a --payload "$PWD/secret"
	expect 77 '' "idq: add: --payload $PWD/secret: Permission denied"
	find theirs/queue/new theirs/queue/tmp -type f | nothing
}

@test "add: standard input is not read unasked" {
	printf '%s\n' one two three >list
	run -0 --separate-stderr sh -c \
	    'while read -r k; do idq add -k "$k" -- "$k"; done <list'
	expect 0 ''
	[ "$(ls "$queue/new" | wc -l)" -eq 3 ]
	[ "$(header Length one)" = 0 ]
	run -0 --separate-stderr sh -c '{ idq add -k a; cat; } <list'
	expect 0 $'one\ntwo\nthree'
}

@test "add: with no standard descriptor open the job is whole" {
	run -0 --separate-stderr sh -c 'idq add -k a -- x <&- >&- 2>&-'
	expect 0 ''
	[ "$(fields a)" = 'Key Id Added By Due Arg Length Fingerprint' ]
	run -0 --separate-stderr idq claim
	[ "$stderr" = '' ]
}

#
# Queues.
#

@test "add: a missing queue is 66, with its full path and the way to make it" {
	run -66 --separate-stderr idq add -q calls -k a
	expect 66 '' "idq: add: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	run -66 --separate-stderr idq -q calls add -k a
	expect 66 '' "idq: add: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	run -66 --separate-stderr idq add -q /nonexistent/calls -k a
	expect 66 '' "idq: add: /nonexistent/calls: no such queue; make it with: idq init -q /nonexistent/calls"
	# run is made by the verb run alone.
	run -66 --separate-stderr idq add -q run -k a
	[ "$output" = '' ]
	[[ $stderr == "idq: add: $IDQ_SPOOL/run: no such queue; "* ]]
	[ "$(ls "$IDQ_SPOOL")" = default ]
	# The way out that it names is one.
	idq init -q calls
	run -0 --separate-stderr idq add -q calls -k a
	expect 0 ''
}

@test "add: a producer with another spool is told the path it looked at" {
	need_root
	idq init -q calls
	run -66 --separate-stderr env -u IDQ_SPOOL HOME="$PWD" \
	    XDG_STATE_HOME="$PWD" idq add -q "no-such-queue-$$" -k a
	expect 66 '' "idq: add: /var/spool/idq/no-such-queue-$$: no such queue; make it with: idq init -q no-such-queue-$$"
	home=$(getent passwd 65534 | cut -d: -f6)
	run -66 --separate-stderr as_user 65534 env -u IDQ_SPOOL \
	    HOME="$PWD" XDG_STATE_HOME="$PWD" idq add -q calls -k a
	expect 66 '' "idq: add: ${home%/}/.local/state/idq/calls: no such queue; make it with: idq init -q calls"
}

@test "add: the default queue is made on first use, with one line" {
	rm -r "$IDQ_SPOOL"
	run -0 --separate-stderr idq add -k a
	expect 0 '' "idq: add: made the queue $IDQ_SPOOL/default"
	run -0 --separate-stderr idq add -k b
	expect 0 ''
	[ "$(find "$queue" -printf '%y %m\n' | sort -u)" = $'d 700\nf 600' ]
	[ "$(state_of a)" = new ]
}

@test "add: many first uses at once make one queue and lose no job" {
	rm -r "$IDQ_SPOOL"
	for i in 1 2 3 4 5 6; do
		spawn idq add -k "$i"
	done
	for pid in "${spawned[@]}"; do
		wait "$pid"
	done
	spawned=()
	[ "$(ls "$queue/new" | wc -l)" -eq 6 ]
	grep -vx "idq: add: made the queue $IDQ_SPOOL/default" spawn.err |
	    nothing
	nothing <spawn.out
}

@test "add: each queue has its own keys" {
	idq init -q calls
	idq add -k a
	run -0 --separate-stderr idq add -q calls -E 3 -k a -- other
	expect 0 ''
	run -3 --separate-stderr idq add -q "$IDQ_SPOOL/calls" -E 3 -k a -- other
	expect 3 ''
	run -3 --separate-stderr sh -c \
	    'cd "$IDQ_SPOOL" && idq add -q ./calls -E 3 -k a -- other'
	expect 3 ''
}

@test "add: a relative IDQ_SPOOL is wrong usage" {
	IDQ_SPOOL=elsewhere run -64 --separate-stderr idq add -k a
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: '*'IDQ_SPOOL is not an absolute path' ]]
	[ ! -e elsewhere ]
	# For a queue that is given by its path none is needed.
	IDQ_SPOOL=elsewhere run -0 --separate-stderr idq add -q "$queue" -k a
	expect 0 ''
}

@test "add: a newer format is 78 and takes no job" {
	echo 'idq spool 2' >"$queue/format"
	run -78 --separate-stderr idq add -k a
	expect 78 '' "idq: add: $queue: has the newer format 'idq spool 2'"
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: another user's queue is 77, root is told sudo -u" {
	need_root
	run -77 --separate-stderr as_user 65534 idq add -k a
	expect 77 '' "idq: add: $queue: belongs to root; use: sudo -u root idq add ..."
	mkdir -m 777 other
	as_user 65534 idq init -q "$PWD/other/queue"
	name=$(getent passwd 65534 | cut -d: -f1)
	run -77 --separate-stderr idq add -q "$PWD/other/queue" -k a
	expect 77 '' "idq: add: $PWD/other/queue: belongs to $name; use: sudo -u $name idq add ..."
	find other/queue -user root | nothing
	find other/queue/new other/queue/tmp -type f | nothing
	run -0 --separate-stderr as_user 65534 idq add \
	    -q "$PWD/other/queue" -k a
	expect 0 ''
}

@test "add: a queue that others may write to is 77" {
	chmod 770 "$queue"
	run -77 --separate-stderr idq add -k a
	expect 77 '' "idq: add: $queue: is writable by its group, but its config does not say shared yes"
	chmod 702 "$queue"
	run -77 --separate-stderr idq add -k a
	expect 77 '' "idq: add: $queue: is writable by everybody"
	chmod 700 "$queue"
	[ "$(jobs_on_disk)" -eq 0 ]
}

#
# Files that are not idq's.
#

@test "add: what is no job in its key's place is 70 and left alone" {
	path=$(key_file a)
	idq add -k other
	for kind in text job link dangling fifo folder; do
		case $kind in
		text) echo 'This is no job.' >"$path" ;;
		job) cp "$(key_file other)" "$path" ;;
		link) ln -s "$(key_file other)" "$path" ;;
		dangling) ln -s "$PWD/target" "$path" ;;
		fifo) mkfifo "$path" ;;
		folder) mkdir "$path" ;;
		esac
		ls -ln --time-style=full-iso "$path" >before
		run -70 --separate-stderr timeout 20 "$IDQ" add -k a
		[ "$output" = '' ]
		[[ $stderr == "idq: add: a: $path: "* ]]
		[ "$(wc -l <<<"$stderr")" -eq 1 ]
		ls -ln --time-style=full-iso "$path" | diff before -
		rm -r "$path"
	done
	[ ! -e target ]
	[ "$(cat "$(key_file other)")" != '' ]
	# The rest of the queue is not touched by it.
	run -0 --separate-stderr idq add -k a
	expect 0 ''
	find "$queue/tmp" -type f | nothing
}

@test "add: foreign files elsewhere in the queue do not matter" {
	for dir in new wait cur tmp 'done' keys keys/00 dups log; do
		echo text >"$queue/$dir/README"
		ln -s /etc/passwd "$queue/$dir/link"
		mkfifo "$queue/$dir/fifo"
	done
	run -0 --separate-stderr timeout 20 "$IDQ" add -k a
	expect 0 ''
	run -0 --separate-stderr timeout 20 "$IDQ" add -k a
	expect 0 ''
	for dir in new wait cur tmp 'done' keys keys/00 dups log; do
		[ "$(cat "$queue/$dir/README")" = text ]
		[ -L "$queue/$dir/link" ]
		[ -p "$queue/$dir/fifo" ]
	done
}

@test "add: a link or fifo in the place of dups is named, not followed" {
	idq add -k a
	h=$(hash_of a)
	mkdir -p "$queue/dups/${h:0:2}"
	path=$queue/dups/${h:0:2}/$h.$(header Id a)
	echo text >target
	ln -s "$PWD/target" "$path"
	run -0 --separate-stderr idq add -k a
	[ "$output" = '' ]
	[[ $stderr == "idq: add: $path: "* ]]
	rm "$path"
	mkfifo "$path"
	run -0 --separate-stderr timeout 20 "$IDQ" add -k a
	[ "$output" = '' ]
	[[ $stderr == "idq: add: $path: "* ]]
	[ -p "$path" ]
	[ "$(cat target)" = text ]
}

@test "add: a link or fifo in the place of the log is named, not followed" {
	need faketime
	path=$queue/log/2026-11-23.$(hostname)
	echo text >target
	ln -s "$PWD/target" "$path"
	run -0 --separate-stderr on 2026-11-23T12:00:00Z idq add -k a
	[ "$output" = '' ]
	[[ $stderr == "idq: add: $path: "* ]]
	rm "$path"
	mkfifo "$path"
	run -0 --separate-stderr on 2026-11-23T12:00:00Z \
	    timeout 20 "$IDQ" add -k b
	[ "$output" = '' ]
	[[ $stderr == "idq: add: $path: "* ]]
	[ "$(cat target)" = text ]
	[ "$(state_of a)$(state_of b)" = newnew ]
}

@test "add: folders that are missing are made again" {
	h=$(hash_of a)
	rm -r "$queue/keys/${h:0:2}" "$queue/tmp" "$queue/new" "$queue/wait" \
	    "$queue/log" "$queue/dups" "$queue/run"
	run -0 --separate-stderr idq add -k a
	expect 0 ''
	run -3 --separate-stderr idq add -E 3 -k a
	expect 3 ''
	run -0 --separate-stderr idq add -k b --in 1h
	expect 0 ''
	[ "$(state_of a) $(state_of b)" = 'new wait' ]
	[ "$(find "$queue" -printf '%y %m\n' | sort -u)" = $'d 700\nf 600' ]
}

#
# Disks.
#

@test "add: on a full disk is 75, nothing is half done, and again is enough" {
	mount_at "$PWD/full" size=2m
	queue=$PWD/full/queue
	idq init -q "$queue"
	dd if=/dev/zero of=full/filler bs=4k 2>/dev/null || :
	run -75 --separate-stderr idq add -q "$queue" -k a
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: a: '*': No space left on device' ]]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	[ "$(jobs_on_disk)" -eq 0 ]
	rm full/filler
	run -0 --separate-stderr idq add -q "$queue" -E 3 -k a
	expect 0 ''
	[ "$(jobs_on_disk)" -eq 2 ]
}

@test "add: a payload that does not fit is 75 and leaves nothing" {
	mount_at "$PWD/full" size=2m
	queue=$PWD/full/queue
	idq init -q "$queue"
	truncate -s 10M big
	for words in '--payload big' '--payload - <big'; do
		run -75 --separate-stderr sh -c \
		    "cat big | idq add -q $queue -k a $words"
		[ "$output" = '' ]
		[[ $stderr == 'idq: add: a: '*': No space left on device' ]]
		[ "$(jobs_on_disk)" -eq 0 ]
	done
	run -75 --separate-stderr sh -c \
	    "cat big | idq add -q $queue -k a --payload -"
	[ "$(jobs_on_disk)" -eq 0 ]
	# All the space is there again.
	run -0 --separate-stderr sh -c \
	    "head -c 1000000 big | idq add -q $queue -k a --payload -"
	expect 0 ''
}

@test "add: without a free inode is 75, a duplicate is still 0" {
	mount_at "$PWD/full" size=4m,nr_inodes=300
	queue=$PWD/full/queue
	idq init -q "$queue"
	idq add -q "$queue" -k a
	i=0
	while : 2>/dev/null >"full/f$i"; do
		i=$((i + 1))
	done
	run -75 --separate-stderr idq add -q "$queue" -k b
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: b: '*': No space left on device' ]]
	[ "$(jobs_on_disk)" -eq 2 ]
	# That its count is lost is said.
	run -3 --separate-stderr idq add -q "$queue" -E 3 -k a
	[ "$output" = '' ]
	[[ $stderr == "idq: add: $queue/dups"*': No space left on device' ]]
}

@test "add: on a read-only file system is 73 and adds nothing" {
	mount_at "$PWD/ro" size=2m
	queue=$PWD/ro/queue
	idq init -q "$queue"
	mount -o remount,ro "$PWD/ro"
	run -73 --separate-stderr idq add -q "$queue" -k a
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: a: '*': Read-only file system' ]]
	[ "$(jobs_on_disk)" -eq 0 ]
	mount -o remount,rw "$PWD/ro"
	run -0 --separate-stderr idq add -q "$queue" -E 3 -k a
	expect 0 ''
}

@test "add: a sync that fails is 75, and both names are taken back" {
	broken nosync <<-'END'
		#include <errno.h>
		int fsync(int);
		int fsync(int fd) { errno = EIO; return fd < 0 ? -2 : -1; }
	END
	broken nodirsync <<-'END'
		#include <sys/stat.h>
		#include <errno.h>
		int fsync(int);
		int fsync(int fd)
		{
			struct stat st;
			if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
				return 0;
			errno = EIO;
			return -1;
		}
	END
	for lib in nosync nodirsync; do
		run -75 --separate-stderr env LD_PRELOAD="$PWD/$lib.so" \
		    idq add -v -k a
		[[ $output == "error	$(hash_of a)	"* ]]
		[[ $stderr == 'idq: add: a: '*': Input/output error' ]]
		[ "$(jobs_on_disk)" -eq 0 ]
	done
	run -0 --separate-stderr idq add -E 3 -k a
	expect 0 ''
}

@test "add: a last rename that fails is said, and the job stands" {
	broken norename <<-'END'
		#include <errno.h>
		#include <string.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		int renameat(int, const char *, int, const char *);
		int renameat(int a, const char *x, int b, const char *y)
		{
			if (strncmp(y, "new/", 4) != 0)
				return (int)syscall(SYS_renameat2, a, x, b, y,
				    0);
			errno = ENOSPC;
			return -1;
		}
	END
	run -0 --separate-stderr env LD_PRELOAD="$PWD/norename.so" \
	    idq add -k a
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: '*': No space left on device' ]]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	[ "$(state_of a)" = '' ]
	run -0 --separate-stderr idq claim
	expect 0 "$(hash_of a).$(header Id a).1"
	find "$queue/tmp" -type f | nothing
}

@test "add: a link that was made, and reported as failed, is one" {
	broken lostreply <<-'END'
		#include <errno.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		int linkat(int, const char *, int, const char *, int);
		int linkat(int a, const char *x, int b, const char *y, int f)
		{
			syscall(SYS_linkat, a, x, b, y, f);
			errno = EIO;
			return -1;
		}
	END
	run -0 --separate-stderr env LD_PRELOAD="$PWD/lostreply.so" \
	    idq add -k a
	expect 0 ''
	[ "$(state_of a)" = new ]
	find "$queue/tmp" -type f | nothing
}

@test "add: an expired job that could not be moved is history all the same" {
	broken norename <<-'END'
		#include <errno.h>
		#include <string.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		int renameat(int, const char *, int, const char *);
		int renameat(int a, const char *x, int b, const char *y)
		{
			static int failed;
			if (strncmp(y, "expired/", 8) != 0 || failed++ > 0)
				return (int)syscall(SYS_renameat2, a, x, b, y,
				    0);
			errno = EIO;
			return -1;
		}
	END
	idq add -k a --ttl 1h
	LD_PRELOAD="$PWD/norename.so $(echo \
	    /usr/lib/*/faketime/libfaketime.so.1)" FAKETIME=+2h \
	    run -0 --separate-stderr idq add -k a
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: '*': Input/output error' ]]
	[ "$(find "$queue/new" -type f | wc -l)" -eq 1 ]
	[ "$(find "$queue/expired" -type f | wc -l)" -eq 1 ]
}

@test "add: a stamp in dups that was cut off does not shift the next" {
	idq add -k a
	idq add -k a
	h=$(hash_of a)
	file=$queue/dups/${h:0:2}/$h.$(header Id a)
	printf 2026-11-23T >>"$file"
	run -0 --separate-stderr idq add -k a
	expect 0 ''
	[ "$(dups a)" -eq 2 ]
	grep -vxE '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z' "$file" |
	    nothing
}

@test "add: output that cannot be written is 74, the job is there" {
	[ -c /dev/full ] || skip "there is no /dev/full"
	run -74 --separate-stderr sh -c 'idq add -v -k a >/dev/full'
	expect 74 '' 'idq: add: standard output: No space left on device'
	[ "$(state_of a)" = new ]
	# Where nothing is to be written nothing fails.
	run -0 --separate-stderr sh -c 'idq add -k b >/dev/full'
	expect 0 ''
}

#
# Usage.
#

@test "add: without a key is wrong usage" {
	run -64 --separate-stderr idq add
	expect 64 '' 'idq: add: no key given; use -k'
	# An operand is an argument, never a key.
	run -64 --separate-stderr idq add call/42
	expect 64 '' 'idq: add: no key given; use -k'
	run -64 --separate-stderr idq add --per day
	expect 64 '' 'idq: add: no key given; use -k'
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: options that do not go together are wrong usage" {
	run -64 --separate-stderr idq add -k a --key-from-payload
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: -k: '*--key-from-payload* ]]
	run -64 --separate-stderr idq add -k a --json-lines
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: --json-lines: '*--batch* ]]
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: a misspelt option is named with the closest one" {
	while read -r given meant; do
		run -64 --separate-stderr idq add -k a "$given" x
		expect 64 '' \
		    "idq: add: unknown option '$given'; did you mean '$meant'?"
	done <<-'END'
		--pre --per
		--paylod --payload
		--not-afer --not-after
		--attemps --attempts
		--on-crahs --on-crash
		--ruse --reuse
		--batsh --batch
		--key-from-paylaod --key-from-payload
	END
	run -64 --separate-stderr idq add -k a -Z
	[ "$output" = '' ]
	[[ $stderr == "idq: add: unknown option '-Z'"* ]]
	for option in -k -g -E -q --per --at --payload; do
		run -64 --separate-stderr idq add "$option"
		expect 64 '' "idq: add: option '$option' needs a value"
	done
	run -64 --separate-stderr idq add -k a --json=yes
	expect 64 '' "idq: add: option '--json' takes no value"
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: a misspelt verb is named with the closest one" {
	run -64 --separate-stderr idq ad -k a
	expect 64 '' "idq: unknown verb 'ad'; did you mean 'add'?"
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: an unknown period is 64, with the closest word" {
	run -64 --separate-stderr idq add -k a --per dayly
	expect 64 '' \
	    "idq: add: --per: unknown word 'dayly'; did you mean 'day'?"
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: --help is on standard output and names each option" {
	run -0 --separate-stderr idq add --help
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq add'* ]]
	for option in -k --per --key-from-payload --at --in --ttl --not-after \
	    --keep --attempts --on-crash -g --reuse --payload --batch \
	    --json-lines -E -v --json -q; do
		grep -qE -- "(^| )${option}[ ,]" <<<"$output"
	done
}

@test "add: an argument that no command can be given is wrong usage" {
	long=$(head -c 131072 /dev/zero | tr '\0' x)
	run -64 --separate-stderr idq add --batch --json-lines \
	    <<<"{\"key\":\"a\",\"args\":[\"$long\"]}"
	[[ $stderr == *'128 KiB or longer' ]]
	[ "$(jobs_on_disk)" -eq 0 ]
}

@test "add: past the limit of file sizes it says so, and adds nothing" {
	idq init
	run -74 bash -c 'ulimit -f 0; exec "$IDQ" add -k a'
	[[ $output == "idq: add: a: "*": File too large" ]]
	is "${#lines[@]}" 1
	is "$(find "$(queue_path)/tmp" -type f)" ''
	run -0 --separate-stderr idq add -k a
	expect 0 ''
	idq work --once -- grep SigIgn /proc/self/status >out
	# A command gets the signal as ever: it is the 25th.
	[ $((0x$(awk '{ print $2 }' out) & 1 << 24)) -eq 0 ]
}
