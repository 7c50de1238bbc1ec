#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# release: giving a claim back.

# Each test is a subshell of its own, and some words are for eval later;
# $output and $stderr come from bats; names in a queue are plain.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

@test "release: the job is due as before, and says nothing" {
	idq add -k a
	name=$(ls "$queue/new")
	token=$(idq claim)
	run -0 --separate-stderr idq release "$token"
	expect 0 ''
	[ "$(state_of a)" = new ]
	[ "$(ls "$queue/new")" = "$name" ]
	[ "$queue/new/$name" -ef "$(key_file a)" ]
	[ -z "$(ls -A "$queue/cur")" ]
	[ "$(events a)" = 'claimed 1 released 1 ' ]
	[[ $(last a) =~ ^[0-9T:.-]{26}Z\ released\ 1\ to=new\ next=[0-9T:.-]{26}Z$ ]]
	[ "$(value next "$(last a)")" = "$(header Due a)" ]
}

@test "release: it is the first in line again" {
	idq add -k a
	idq add -k b
	token=$(idq claim)
	idq release "$token"
	run -0 --separate-stderr idq claim
	expect 0 "${token%.1}.2"
}

@test "release: uses no attempt, and never gives an N again" {
	idq add -k a --attempts 1
	for n in 1 2 3 4; do
		run -0 --separate-stderr idq claim
		expect 0 "$(hash_of a).$(header Id a).$n"
		idq release "$output"
		[ "$(idq show --field attempts a)" = 0 ]
		[ "$(idq show --field claims a)" = "$n" ]
	done
	[ "$(state_of a)" = new ]
	# The one attempt is still there.
	idq fail "$(idq claim)"
	[ "$(state_of a)" = failed ]
}

@test "release: --in says when it is due" {
	need faketime
	idq add -k a
	token=$(idq claim)
	run -0 --separate-stderr idq release --in 1h30m "$token"
	expect 0 ''
	[ "$(state_of a)" = wait ]
	line=$(last a)
	[[ $line == *' released 1 to=wait next='* ]]
	[ "$(between "${line%% *}" "$(value next "$line")")" -eq 5400 ]
	next=$(compact "$(value next "$line")")
	[ "$queue/wait/${next:0:13}/$next.${token%.1}" -ef "$(key_file a)" ]
	run -1 --separate-stderr at +89m idq claim
	expect 1 ''
	run -0 --separate-stderr at +91m idq claim
	expect 0 "${token%.1}.2"
}

@test "release: leaves a line in the log" {
	idq add -k a -g g
	token=$(idq claim)
	idq release "$token"
	log=$(grep -hP '\treleased\t' "$queue"/log/*)
	[ "$(cut -f3,5,6 <<<"$log")" = "$token	g	a" ]
	[ "$(cut -f1,2,4 <<<"$log")" = \
	    "$(last a | sed 's/ released 1 /\treleased\t/')" ]
}

@test "release: the deadline stays" {
	need faketime
	idq add -k a --ttl 1h
	idq release --in 2h "$(idq claim)"
	run -1 --separate-stderr at +3h idq claim
	expect 1 ''
	[ "$(state_of a)" = expired ]
}

@test "release: of a lapsed lease that nobody took is 0" {
	need faketime
	idq add -k a --attempts 1
	token=$(idq claim --lease 1m)
	run -0 --separate-stderr at +1h idq release "$token"
	expect 0 ''
	[ "$(events a)" = 'claimed 1 released 1 ' ]
}

@test "release: twice is 69" {
	idq add -k a
	token=$(idq claim)
	idq release "$token"
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq release "$token"
	expect 69 '' "idq: release: $token: claim lost: the job is pending"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
}

@test "release: after ack the token is 69" {
	idq add -k a
	token=$(idq claim)
	idq ack "$token"
	run -69 --separate-stderr idq release "$token"
	expect 69 '' "idq: release: $token: claim lost: the job is done"
	[ "$(state_of a)" = 'done' ]
}

@test "release: a released job's key stays held" {
	idq add -k a
	idq release "$(idq claim)"
	run -3 --separate-stderr idq add -k a -E 3
	expect 3 ''
}

@test "release: --in is a duration" {
	idq add -k a
	token=$(idq claim)
	run -64 --separate-stderr idq release --in 5 "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: release: --in 5: "*"'5s'"*"'5m'"*"'5h'"* ]]
	run -64 --separate-stderr idq release --in 2hours "$token"
	expect 64 '' "idq: release: --in 2hours: is no duration; did you mean '2h'?"
	run -64 --separate-stderr idq release --in -1h "$token"
	[ "$output" = '' ]
	[[ $stderr == 'idq: release: --in -1h: is no duration'* ]]
	run -64 --separate-stderr idq release --ni 1h "$token"
	expect 64 '' \
	    "idq: release: unknown option '--ni'; did you mean '--in'?"
	run -64 --separate-stderr idq release --in
	expect 64 '' "idq: release: option '--in' needs a value"
	run -64 --separate-stderr idq relaese
	expect 64 '' \
	    "idq: unknown verb 'relaese'; did you mean 'release'?"
	[ "$(events a)" = 'claimed 1 ' ]
}

@test "release: several tokens are each acted on, the highest status counts" {
	idq add -k a
	idq add -k b
	a=$(idq claim)
	b=$(idq claim)
	gone=$(hash_of c).0123456789abcdef.1
	run -69 --separate-stderr idq release "$a" "$gone" "$b"
	expect 69 '' "idq: release: $gone: claim lost: the job is gone"
	[[ $(last a) == *' released 1 '* ]]
	[[ $(last b) == *' released 1 '* ]]
}

@test "release: the token of an earlier claim is 69 and changes nothing" {
	need faketime
	idq add -k a
	old=$(idq claim --lease 1m)
	new=$(at +1h idq claim)
	[ "$new" = "${old%.1}.2" ]
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr at +1h idq release "$old"
	expect 69 '' "idq: release: $old: claim lost: the job is running"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(state_of a)" = cur ]
	run -0 --separate-stderr at +1h idq release "$new"
	expect 0 ''
}

@test "release: a token that was never given is 69" {
	idq add -k a
	none=$(hash_of a).$(header Id a).1
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq release "$none"
	expect 69 '' "idq: release: $none: claim lost: the job is pending"
	token=$(idq claim)
	for other in "${token%.1}.2" "${token%.1}.4294967295" \
	    "$(hash_of a).0123456789abcdef.1"; do
		before=$(cksum <"$(key_file a)")
		run -69 --separate-stderr idq release "$other"
		[ "$output" = '' ]
		[[ $stderr == "idq: release: $other: claim lost: "* ]]
		[ "$(cksum <"$(key_file a)")" = "$before" ]
	done
	run -0 --separate-stderr idq release "$token"
	expect 0 ''
}

@test "release: a cancelled job's token is 69" {
	idq add -k a
	token=$(idq claim)
	idq cancel a
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq release "$token"
	expect 69 '' "idq: release: $token: claim lost: the job is cancelled"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(state_of a)" = cancelled ]
}

@test "release: the token of a forgotten job is 69" {
	idq add -k a
	token=$(idq claim)
	idq cancel a
	idq forget a
	run -69 --separate-stderr idq release "$token"
	expect 69 '' "idq: release: $token: claim lost: the job is gone"
	idq add -k a
	run -69 --separate-stderr idq release "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: release: $token: claim lost: "* ]]
	[ "$(state_of a)" = new ]
}

@test "release: a damaged job is 70, named and left alone" {
	idq add -k a
	token=$(idq claim)
	path=$queue/cur/$(hash_of a).$(header Id a)
	truncate -s 50 "$path"
	run -70 --separate-stderr idq release "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: release: $token: $path: "* ]]
	[ "$(stat -c %s "$path")" -eq 50 ]
	[ "$(state_of a)" = cur ]
}

@test "release: a link or a fifo in the job's place is 70, not followed" {
	idq add -k a
	token=$(idq claim)
	path=$queue/cur/$(hash_of a).$(header Id a)
	mv "$path" elsewhere
	size=$(stat -c %s elsewhere)
	ln -s "$PWD/elsewhere" "$path"
	run -70 --separate-stderr idq release "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: release: $token: $path: "* ]]
	rm "$path"
	mkfifo "$path"
	run -70 --separate-stderr timeout 20 "$IDQ" release "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: release: $token: $path: "* ]]
	[ -p "$path" ]
	[ "$(stat -c %s elsewhere)" -eq "$size" ]
}

@test "release: a torn last line does not count and is cut off" {
	idq add -k a
	token=$(idq claim)
	printf '2026-11-23T20:35:11.411200Z done 1 exi' >>"$(key_file a)"
	run -0 --separate-stderr idq release "$token"
	expect 0 ''
	[ "$(events a)" = 'claimed 1 released 1 ' ]
	[ "$(grep -c exi "$(key_file a)")" -eq "$(trail a | grep -c exit=)" ]
}

@test "release: standard input is not read" {
	idq add -k a
	token=$(idq claim)
	echo left >input
	run -0 --separate-stderr sh -c "{ idq release $token; cat; } <input"
	expect 0 left
}

@test "release: the mode of the file stays, umask 000 or 077" {
	for mask in 000 077; do
		idq add -k "$mask"
		token=$(idq claim)
		(umask "$mask" && idq release "$token")
	done
	[ "$(find "$queue" -printf '%y %m\n' | sort -u)" = $'d 700\nf 600' ]
}

@test "release: a missing queue is 66, with its full path" {
	run -66 --separate-stderr idq release -q calls \
	    "$(hash_of a).0123456789abcdef.1"
	expect 66 '' "idq: release: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	[ ! -e "$IDQ_SPOOL/calls" ]
}

@test "release: a newer format is 78" {
	echo 'idq spool 2' >"$queue/format"
	run -78 --separate-stderr idq release "$(hash_of a).0123456789abcdef.1"
	expect 78 '' "idq: release: $queue: has the newer format 'idq spool 2'"
}

@test "release: another user's queue is 77, root is told sudo -u" {
	need_root
	mkdir -m 777 other
	as_user 65534 idq init -q "$PWD/other/queue"
	as_user 65534 idq add -q "$PWD/other/queue" -k a
	token=$(as_user 65534 idq claim -q "$PWD/other/queue")
	name=$(getent passwd 65534 | cut -d: -f1)
	run -77 --separate-stderr idq release -q "$PWD/other/queue" "$token"
	expect 77 '' "idq: release: $PWD/other/queue: belongs to $name; use: sudo -u $name idq release ..."
	find other/queue -user root | nothing
	[ "$(ls other/queue/cur | wc -l)" -eq 1 ]
	run -0 --separate-stderr as_user 65534 \
	    idq release -q "$PWD/other/queue" "$token"
	expect 0 ''
}

@test "release: what is no token is wrong usage, and nothing is done" {
	idq add -k a
	token=$(idq claim)
	for word in a "${token%.1}" "$token." "${token%1}x" "${token%1}-1" \
	    "${token%1}+1" "${token%1}01x" "x${token#?}" "$token " \
	    "${token^^}" "${token%1}99999999999" ":${token:0:12}" ''; do
		run -64 --separate-stderr idq release "$token" "$word"
		[ "$output" = '' ]
		[[ $stderr == "idq: release: $word: "*'H.ID.N'* ]]
	done
	[ "$(events a)" = 'claimed 1 ' ]
}

@test "release: no token is wrong usage" {
	run -64 --separate-stderr idq release
	expect 64 '' 'idq: release: no token given'
	token=$(hash_of a).0123456789abcdef.1
	run -64 --separate-stderr idq release "$token" -q default
	expect 64 '' 'idq: release: -q: options go before keys; use --'
	IDQ_SPOOL=elsewhere run -64 --separate-stderr idq release "$token"
	[ "$output" = '' ]
	[[ $stderr == 'idq: release: '*'IDQ_SPOOL is not an absolute path' ]]
}

@test "release: --help is on standard output" {
	run -0 --separate-stderr idq release --help
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq release'* ]]
}
