#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# fail: the end of a claim whose attempt failed.

# Each test is a subshell of its own, and some words are for eval later;
# $output and $stderr come from bats; names in a queue are plain.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# delay KEY: seconds from the last line to its next=.
delay() {
	local line

	line=$(last "$1")
	between "${line%% *}" "$(value next "$line")"
}

@test "fail: the job waits for its next try, and says nothing" {
	idq add -k a
	token=$(idq claim)
	run -0 --separate-stderr idq fail "$token"
	expect 0 ''
	[ "$(state_of a)" = wait ]
	[ "$(events a)" = 'claimed 1 failed 1 ' ]
	line=$(last a)
	[[ $line =~ ^[0-9T:.-]{26}Z\ failed\ 1\ exit=1\ to=wait\ next=[0-9T:.-]{26}Z$ ]]
	next=$(compact "$(value next "$line")")
	[ "$queue/wait/${next:0:13}/$next.${token%.1}" -ef "$(key_file a)" ]
	[ -z "$(ls -A "$queue/cur")" ]
}

@test "fail: the delay is the queue's backoff, give or take 20 per cent" {
	for i in {1..12}; do
		idq add -k "$i"
		idq fail "$(idq claim)"
		[ "$(delay "$i")" -ge 48 ]
		[ "$(delay "$i")" -le 72 ]
		delay "$i" >>delays
	done
	# They do not all return together.
	[ "$(sort -u delays | wc -l)" -gt 1 ]
	idq config backoff 10m
	idq add -k b
	idq fail "$(idq claim)"
	[ "$(delay b)" -ge 480 ]
	[ "$(delay b)" -le 720 ]
}

@test "fail: the delay doubles with each try, up to an hour" {
	need faketime
	idq add -k a --attempts 20
	expected=60
	for n in {1..10}; do
		at "+$((2 * n))h" idq fail "$(at "+$((2 * n))h" idq claim)"
		[ "$(delay a)" -ge $((expected * 8 / 10 - 1)) ]
		[ "$(delay a)" -le $((expected * 12 / 10 + 1)) ]
		expected=$((expected * 2))
		[ "$expected" -le 3600 ] || expected=3600
	done
}

@test "fail: it is not due before the delay is over, and is then" {
	need faketime
	idq add -k a
	token=$(idq claim)
	idq fail "$token"
	run -1 --separate-stderr at +40s idq claim
	expect 1 ''
	run -0 --separate-stderr at +80s idq claim
	expect 0 "${token%.1}.2"
	[ "$(idq show --field attempts a)" = 2 ]
}

@test "fail: when the attempts are used up the job has failed" {
	need faketime
	idq add -k a
	for n in 1 2 3 4 5; do
		token=$(at "+$((2 * n))h" idq claim)
		run -0 --separate-stderr at "+$((2 * n))h" idq fail "$token"
		[ "$output" = '' ]
	done
	[ "$(state_of a)" = failed ]
	line=$(last a)
	[[ $line =~ ^[0-9T:.-]{26}Z\ failed\ 5\ exit=1\ to=failed\ release=[0-9T:.-]{26}Z$ ]]
	[ "$(between "${line%% *}" "$(value release "$line")")" -eq 2592000 ]
	[ "$queue/failed/${token%.5}" -ef "$(key_file a)" ]
	run -1 --separate-stderr at +99h idq claim
	expect 1 ''
}

@test "fail: the job's own attempts, else the queue's" {
	idq config attempts 1
	idq add -k a
	idq add -k b --attempts 2
	idq fail "$(idq claim)"
	idq fail "$(idq claim)"
	[ "$(state_of a)" = failed ]
	[ "$(state_of b)" = wait ]
}

@test "fail: keep-failed says how long a failed job holds its key" {
	idq config keep-failed forever
	idq add -k a
	idq add -k b
	idq fail --exit 100 "$(idq claim)"
	[ "$(value release "$(last a)")" = never ]
	idq config keep-failed 1d
	idq fail --exit 100 "$(idq claim)"
	line=$(last b)
	[ "$(between "${line%% *}" "$(value release "$line")")" -eq 86400 ]
}

@test "fail: --exit 100 is for good at the first attempt" {
	idq add -k a
	token=$(idq claim)
	run -0 --separate-stderr idq fail --exit 100 "$token"
	[ "$output" = '' ]
	[ "$(state_of a)" = failed ]
	[[ $(last a) =~ \ failed\ 1\ exit=100\ to=failed\ release=[^\ ]+$ ]]
	run -1 --separate-stderr idq claim
	expect 1 ''
}

@test "fail: --exit 75 and 111 use no attempt" {
	for code in 75 111; do
		idq add -k "$code" --attempts 1
		token=$(idq claim)
		run -0 --separate-stderr idq fail --exit "$code" "$token"
		expect 0 ''
		[ "$(state_of "$code")" = wait ]
		[[ $(last "$code") =~ ^[0-9T:.-]{26}Z\ later\ 1\ exit=$code\ to=wait\ next=[0-9T:.-]{26}Z$ ]]
		[ "$(delay "$code")" -ge 48 ]
		[ "$(delay "$code")" -le 72 ]
		[ "$(idq show --field attempts "$code")" = 0 ]
		[ "$(idq show --field claims "$code")" = 1 ]
	done
}

@test "fail: later as often as one likes, never with an N again" {
	need faketime
	idq add -k a --attempts 1
	for n in 1 2 3 4; do
		run -0 --separate-stderr at "+${n}h" idq claim
		expect 0 "$(hash_of a).$(header Id a).$n"
		at "+${n}h" idq fail --exit 75 "$output"
	done
	[ "$(state_of a)" = wait ]
}

@test "fail: any other --exit is a failed attempt" {
	for code in 1 2 74 76 99 101 110 112 126 127 255; do
		idq add -k "$code"
		idq fail --exit "$code" "$(idq claim)"
		[ "$(state_of "$code")" = wait ]
		[[ $(last "$code") == *" failed 1 exit=$code to=wait next="* ]]
		[ "$(idq show --field attempts "$code")" = 1 ]
	done
}

@test "fail: leaves a line in the log" {
	idq add -k a -g g
	token=$(idq claim)
	idq fail --exit 7 "$token"
	log=$(grep -hP '\tfailed\t' "$queue"/log/*)
	[ "$(cut -f3,5,6 <<<"$log")" = "$token	g	a" ]
	[ "$(cut -f1,2,4 <<<"$log")" = \
	    "$(last a | sed 's/ failed 1 /\tfailed\t/')" ]
}

@test "fail: a failed job keeps its key, and retry counts anew" {
	idq add -k a --attempts 1
	token=$(idq claim)
	idq fail "$token"
	run -3 --separate-stderr idq add -k a --attempts 1 -E 3
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: a: failed '*' ago and holds its key; idq retry or idq forget frees it' ]]
	idq retry a
	run -0 --separate-stderr idq claim
	expect 0 "${token%.1}.2"
	[ "$(idq show --field attempts a)" = 1 ]
}

@test "fail: a lapsed lease that nobody took can still fail" {
	need faketime
	idq add -k a
	token=$(idq claim --lease 1m)
	run -0 --separate-stderr at +1h idq fail "$token"
	expect 0 ''
	[ "$(events a)" = 'claimed 1 failed 1 ' ]
}

@test "fail: twice is 69" {
	idq add -k a
	token=$(idq claim)
	idq fail "$token"
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq fail "$token"
	expect 69 '' "idq: fail: $token: claim lost: the job is waiting"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
}

@test "fail: after ack the token is 69" {
	idq add -k a
	token=$(idq claim)
	idq ack "$token"
	run -69 --separate-stderr idq fail "$token"
	expect 69 '' "idq: fail: $token: claim lost: the job is done"
	[ "$(state_of a)" = 'done' ]
}

@test "fail: with on-crash hold an exit status is no crash" {
	idq add -k a --on-crash hold
	idq fail --exit 3 "$(idq claim)"
	[ "$(state_of a)" = wait ]
}

@test "fail: --exit is a number from 1 to 255" {
	idq add -k a
	token=$(idq claim)
	for code in 0 -1 256 1x '' x 1.5 99999999999999999999; do
		run -64 --separate-stderr idq fail --exit "$code" "$token"
		[ "$output" = '' ]
		[[ $stderr == "idq: fail: --exit $code: "*'1 to 255' ]]
	done
	run -64 --separate-stderr idq fail --exti 1 "$token"
	expect 64 '' \
	    "idq: fail: unknown option '--exti'; did you mean '--exit'?"
	run -64 --separate-stderr idq fail --exit
	expect 64 '' "idq: fail: option '--exit' needs a value"
	[ "$(events a)" = 'claimed 1 ' ]
}

@test "fail: several tokens are each acted on, the highest status counts" {
	idq add -k a
	idq add -k b
	a=$(idq claim)
	b=$(idq claim)
	gone=$(hash_of c).0123456789abcdef.1
	run -69 --separate-stderr idq fail "$a" "$gone" "$b"
	expect 69 '' "idq: fail: $gone: claim lost: the job is gone"
	[[ $(last a) == *' failed 1 '* ]]
	[[ $(last b) == *' failed 1 '* ]]
}

@test "fail: the token of an earlier claim is 69 and changes nothing" {
	need faketime
	idq add -k a
	old=$(idq claim --lease 1m)
	new=$(at +1h idq claim)
	[ "$new" = "${old%.1}.2" ]
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr at +1h idq fail "$old"
	expect 69 '' "idq: fail: $old: claim lost: the job is running"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(state_of a)" = cur ]
	run -0 --separate-stderr at +1h idq fail "$new"
	expect 0 ''
}

@test "fail: a token that was never given is 69" {
	idq add -k a
	none=$(hash_of a).$(header Id a).1
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq fail "$none"
	expect 69 '' "idq: fail: $none: claim lost: the job is pending"
	token=$(idq claim)
	for other in "${token%.1}.2" "${token%.1}.4294967295" \
	    "$(hash_of a).0123456789abcdef.1"; do
		before=$(cksum <"$(key_file a)")
		run -69 --separate-stderr idq fail "$other"
		[ "$output" = '' ]
		[[ $stderr == "idq: fail: $other: claim lost: "* ]]
		[ "$(cksum <"$(key_file a)")" = "$before" ]
	done
	run -0 --separate-stderr idq fail "$token"
	expect 0 ''
}

@test "fail: a cancelled job's token is 69" {
	idq add -k a
	token=$(idq claim)
	idq cancel a
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq fail "$token"
	expect 69 '' "idq: fail: $token: claim lost: the job is cancelled"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(state_of a)" = cancelled ]
}

@test "fail: the token of a forgotten job is 69" {
	idq add -k a
	token=$(idq claim)
	idq cancel a
	idq forget a
	run -69 --separate-stderr idq fail "$token"
	expect 69 '' "idq: fail: $token: claim lost: the job is gone"
	idq add -k a
	run -69 --separate-stderr idq fail "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: fail: $token: claim lost: "* ]]
	[ "$(state_of a)" = new ]
}

@test "fail: a damaged job is 70, named and left alone" {
	idq add -k a
	token=$(idq claim)
	path=$queue/cur/$(hash_of a).$(header Id a)
	truncate -s 50 "$path"
	run -70 --separate-stderr idq fail "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: fail: $token: $path: "* ]]
	[ "$(stat -c %s "$path")" -eq 50 ]
	[ "$(state_of a)" = cur ]
}

@test "fail: a link or a fifo in the job's place is 70, not followed" {
	idq add -k a
	token=$(idq claim)
	path=$queue/cur/$(hash_of a).$(header Id a)
	mv "$path" elsewhere
	size=$(stat -c %s elsewhere)
	ln -s "$PWD/elsewhere" "$path"
	run -70 --separate-stderr idq fail "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: fail: $token: $path: "* ]]
	rm "$path"
	mkfifo "$path"
	run -70 --separate-stderr timeout 20 "$IDQ" fail "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: fail: $token: $path: "* ]]
	[ -p "$path" ]
	[ "$(stat -c %s elsewhere)" -eq "$size" ]
}

@test "fail: a torn last line does not count and is cut off" {
	idq add -k a
	token=$(idq claim)
	printf '2026-11-23T20:35:11.411200Z done 1 exi' >>"$(key_file a)"
	run -0 --separate-stderr idq fail "$token"
	expect 0 ''
	[ "$(events a)" = 'claimed 1 failed 1 ' ]
	[ "$(grep -c exi "$(key_file a)")" -eq "$(trail a | grep -c exit=)" ]
}

@test "fail: standard input is not read" {
	idq add -k a
	token=$(idq claim)
	echo left >input
	run -0 --separate-stderr sh -c "{ idq fail $token; cat; } <input"
	expect 0 left
}

@test "fail: the mode of the file stays, umask 000 or 077" {
	for mask in 000 077; do
		idq add -k "$mask"
		token=$(idq claim)
		(umask "$mask" && idq fail "$token")
	done
	[ "$(find "$queue" -printf '%y %m\n' | sort -u)" = $'d 700\nf 600' ]
}

@test "fail: a missing queue is 66, with its full path" {
	run -66 --separate-stderr idq fail -q calls \
	    "$(hash_of a).0123456789abcdef.1"
	expect 66 '' "idq: fail: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	[ ! -e "$IDQ_SPOOL/calls" ]
}

@test "fail: a newer format is 78" {
	echo 'idq spool 2' >"$queue/format"
	run -78 --separate-stderr idq fail "$(hash_of a).0123456789abcdef.1"
	expect 78 '' "idq: fail: $queue: has the newer format 'idq spool 2'"
}

@test "fail: another user's queue is 77, root is told sudo -u" {
	need_root
	mkdir -m 777 other
	as_user 65534 idq init -q "$PWD/other/queue"
	as_user 65534 idq add -q "$PWD/other/queue" -k a
	token=$(as_user 65534 idq claim -q "$PWD/other/queue")
	name=$(getent passwd 65534 | cut -d: -f1)
	run -77 --separate-stderr idq fail -q "$PWD/other/queue" "$token"
	expect 77 '' "idq: fail: $PWD/other/queue: belongs to $name; use: sudo -u $name idq fail ..."
	find other/queue -user root | nothing
	[ "$(ls other/queue/cur | wc -l)" -eq 1 ]
	run -0 --separate-stderr as_user 65534 \
	    idq fail -q "$PWD/other/queue" "$token"
	expect 0 ''
}

@test "fail: what is no token is wrong usage, and nothing is done" {
	idq add -k a
	token=$(idq claim)
	for word in a "${token%.1}" "$token." "${token%1}x" "${token%1}-1" \
	    "${token%1}+1" "${token%1}01x" "x${token#?}" "$token " \
	    "${token^^}" "${token%1}99999999999" ":${token:0:12}" ''; do
		run -64 --separate-stderr idq fail "$token" "$word"
		[ "$output" = '' ]
		[[ $stderr == "idq: fail: $word: "*'H.ID.N'* ]]
	done
	[ "$(events a)" = 'claimed 1 ' ]
}

@test "fail: no token is wrong usage" {
	run -64 --separate-stderr idq fail
	expect 64 '' 'idq: fail: no token given'
	token=$(hash_of a).0123456789abcdef.1
	run -64 --separate-stderr idq fail "$token" -q default
	expect 64 '' 'idq: fail: -q: options go before keys; use --'
	IDQ_SPOOL=elsewhere run -64 --separate-stderr idq fail "$token"
	[ "$output" = '' ]
	[[ $stderr == 'idq: fail: '*'IDQ_SPOOL is not an absolute path' ]]
}

@test "fail: --help is on standard output" {
	run -0 --separate-stderr idq fail --help
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq fail'* ]]
}
