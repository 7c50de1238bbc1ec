#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# renew: a longer lease.

# Each test is a subshell of its own, and some words are for eval later;
# $output and $stderr come from bats; names in a queue are plain.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# lease_left KEY: seconds from the last line to the end of its lease.
lease_left() {
	local line

	line=$(last "$1")
	between "${line%% *}" "$(value lease "$line")"
}

@test "renew: the lease runs from now, and says nothing" {
	need faketime
	idq add -k a
	token=$(idq claim)
	run -0 --separate-stderr at +5m idq renew "$token"
	expect 0 ''
	[ "$(state_of a)" = cur ]
	[ "$(events a)" = 'claimed 1 renewed 1 ' ]
	[[ $(last a) =~ ^[0-9T:.-]{26}Z\ renewed\ 1\ lease=[0-9T:.-]{26}Z$ ]]
	[ "$(lease_left a)" -eq 600 ]
	first=$(trail a | head -n 1)
	left=$(between "$(value lease "$first")" "$(value lease "$(last a)")")
	[ "$left" -ge 295 ]
	[ "$left" -le 330 ]
}

@test "renew: --lease says for how long, else the queue's lease" {
	idq add -k a
	token=$(idq claim)
	idq renew --lease 1h30m "$token"
	[ "$(lease_left a)" -eq 5400 ]
	idq config lease 20s
	idq renew "$token"
	[ "$(lease_left a)" -eq 20 ]
}

@test "renew: a shorter lease is taken too" {
	need faketime
	idq add -k a
	token=$(idq claim --lease 1d)
	idq renew --lease 1m "$token"
	run -1 --separate-stderr at +50s idq claim
	expect 1 ''
	run -0 --separate-stderr at +2m idq claim
	expect 0 "${token%.1}.2"
}

@test "renew: as long as it is renewed nobody else gets the job" {
	need faketime
	idq add -k a
	token=$(idq claim --lease 1h)
	for hours in 1 2 3 4; do
		at "+$((hours * 50))m" idq renew --lease 1h "$token"
		run -1 --separate-stderr at "+$((hours * 50 + 40))m" idq claim
		expect 1 ''
	done
	run -0 --separate-stderr at +239m idq ack "$token"
	expect 0 ''
	[ "$(events a)" = \
	    'claimed 1 renewed 1 renewed 1 renewed 1 renewed 1 done 1 ' ]
}

@test "renew: uses no attempt and no number" {
	need faketime
	idq add -k a
	token=$(idq claim --lease 1h)
	idq renew --lease 1h "$token"
	idq renew --lease 1h "$token"
	[ "$(idq show --field attempts a)" = 1 ]
	[ "$(idq show --field claims a)" = 1 ]
	run -0 --separate-stderr at +2h idq claim
	expect 0 "${token%.1}.2"
	[ "$(events a)" = \
	    'claimed 1 renewed 1 renewed 1 interrupted 1 claimed 2 ' ]
	run -69 --separate-stderr at +2h idq renew "$token"
	[ "$(events a)" = \
	    'claimed 1 renewed 1 renewed 1 interrupted 1 claimed 2 ' ]
}

@test "renew: of a lapsed lease that nobody took is 0" {
	need faketime
	idq add -k a
	token=$(idq claim --lease 1m)
	run -0 --separate-stderr at +1h idq renew "$token"
	expect 0 ''
	run -1 --separate-stderr at +1h idq claim
	expect 1 ''
}

@test "renew: after fail, release or ack the token is 69" {
	for verb in 'fail --exit 100' release ack; do
		idq add -k "$verb"
		token=$(idq claim)
		# shellcheck disable=SC2086
		idq $verb "$token"
		before=$(cksum <"$(key_file "$verb")")
		run -69 --separate-stderr idq renew "$token"
		[ "$output" = '' ]
		[[ $stderr == "idq: renew: $token: claim lost: the job is "* ]]
		[ "$(cksum <"$(key_file "$verb")")" = "$before" ]
		if [ "$verb" = release ]; then
			idq cancel "$verb"
		fi
	done
}

@test "renew: --lease is a duration" {
	idq add -k a
	token=$(idq claim)
	run -64 --separate-stderr idq renew --lease 5 "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: renew: --lease 5: "*"'5s'"*"'5m'"*"'5h'"* ]]
	run -64 --separate-stderr idq renew --lease 0s "$token"
	[ "$output" = '' ]
	[[ $stderr == 'idq: renew: --lease 0s: '* ]]
	run -64 --separate-stderr idq renew --lesae 1h "$token"
	expect 64 '' \
	    "idq: renew: unknown option '--lesae'; did you mean '--lease'?"
	run -64 --separate-stderr idq renew --lease
	expect 64 '' "idq: renew: option '--lease' needs a value"
	run -64 --separate-stderr idq renwe
	expect 64 '' "idq: unknown verb 'renwe'; did you mean 'renew'?"
	[ "$(events a)" = 'claimed 1 ' ]
}

@test "renew: several tokens are each acted on, the highest status counts" {
	idq add -k a
	idq add -k b
	a=$(idq claim)
	b=$(idq claim)
	gone=$(hash_of c).0123456789abcdef.1
	run -69 --separate-stderr idq renew "$a" "$gone" "$b"
	expect 69 '' "idq: renew: $gone: claim lost: the job is gone"
	[[ $(last a) == *' renewed 1 '* ]]
	[[ $(last b) == *' renewed 1 '* ]]
}

@test "renew: the token of an earlier claim is 69 and changes nothing" {
	need faketime
	idq add -k a
	old=$(idq claim --lease 1m)
	new=$(at +1h idq claim)
	[ "$new" = "${old%.1}.2" ]
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr at +1h idq renew "$old"
	expect 69 '' "idq: renew: $old: claim lost: the job is running"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(state_of a)" = cur ]
	run -0 --separate-stderr at +1h idq renew "$new"
	expect 0 ''
}

@test "renew: a token that was never given is 69" {
	idq add -k a
	none=$(hash_of a).$(header Id a).1
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq renew "$none"
	expect 69 '' "idq: renew: $none: claim lost: the job is pending"
	token=$(idq claim)
	for other in "${token%.1}.2" "${token%.1}.4294967295" \
	    "$(hash_of a).0123456789abcdef.1"; do
		before=$(cksum <"$(key_file a)")
		run -69 --separate-stderr idq renew "$other"
		[ "$output" = '' ]
		[[ $stderr == "idq: renew: $other: claim lost: "* ]]
		[ "$(cksum <"$(key_file a)")" = "$before" ]
	done
	run -0 --separate-stderr idq renew "$token"
	expect 0 ''
}

@test "renew: a cancelled job's token is 69" {
	idq add -k a
	token=$(idq claim)
	idq cancel a
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq renew "$token"
	expect 69 '' "idq: renew: $token: claim lost: the job is cancelled"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(state_of a)" = cancelled ]
}

@test "renew: the token of a forgotten job is 69" {
	idq add -k a
	token=$(idq claim)
	idq cancel a
	idq forget a
	run -69 --separate-stderr idq renew "$token"
	expect 69 '' "idq: renew: $token: claim lost: the job is gone"
	idq add -k a
	run -69 --separate-stderr idq renew "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: renew: $token: claim lost: "* ]]
	[ "$(state_of a)" = new ]
}

@test "renew: a damaged job is 70, named and left alone" {
	idq add -k a
	token=$(idq claim)
	path=$queue/cur/$(hash_of a).$(header Id a)
	truncate -s 50 "$path"
	run -70 --separate-stderr idq renew "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: renew: $token: $path: "* ]]
	[ "$(stat -c %s "$path")" -eq 50 ]
	[ "$(state_of a)" = cur ]
}

@test "renew: a link or a fifo in the job's place is 70, not followed" {
	idq add -k a
	token=$(idq claim)
	path=$queue/cur/$(hash_of a).$(header Id a)
	mv "$path" elsewhere
	size=$(stat -c %s elsewhere)
	ln -s "$PWD/elsewhere" "$path"
	run -70 --separate-stderr idq renew "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: renew: $token: $path: "* ]]
	rm "$path"
	mkfifo "$path"
	run -70 --separate-stderr timeout 20 "$IDQ" renew "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: renew: $token: $path: "* ]]
	[ -p "$path" ]
	[ "$(stat -c %s elsewhere)" -eq "$size" ]
}

@test "renew: a torn last line does not count and is cut off" {
	idq add -k a
	token=$(idq claim)
	printf '2026-11-23T20:35:11.411200Z done 1 exi' >>"$(key_file a)"
	run -0 --separate-stderr idq renew "$token"
	expect 0 ''
	[ "$(events a)" = 'claimed 1 renewed 1 ' ]
	[ "$(grep -c exi "$(key_file a)")" -eq "$(trail a | grep -c exit=)" ]
}

@test "renew: standard input is not read" {
	idq add -k a
	token=$(idq claim)
	echo left >input
	run -0 --separate-stderr sh -c "{ idq renew $token; cat; } <input"
	expect 0 left
}

@test "renew: the mode of the file stays, umask 000 or 077" {
	for mask in 000 077; do
		idq add -k "$mask"
		token=$(idq claim)
		(umask "$mask" && idq renew "$token")
	done
	[ "$(find "$queue" -printf '%y %m\n' | sort -u)" = $'d 700\nf 600' ]
}

@test "renew: a missing queue is 66, with its full path" {
	run -66 --separate-stderr idq renew -q calls \
	    "$(hash_of a).0123456789abcdef.1"
	expect 66 '' "idq: renew: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	[ ! -e "$IDQ_SPOOL/calls" ]
}

@test "renew: a newer format is 78" {
	echo 'idq spool 2' >"$queue/format"
	run -78 --separate-stderr idq renew "$(hash_of a).0123456789abcdef.1"
	expect 78 '' "idq: renew: $queue: has the newer format 'idq spool 2'"
}

@test "renew: another user's queue is 77, root is told sudo -u" {
	need_root
	mkdir -m 777 other
	as_user 65534 idq init -q "$PWD/other/queue"
	as_user 65534 idq add -q "$PWD/other/queue" -k a
	token=$(as_user 65534 idq claim -q "$PWD/other/queue")
	name=$(getent passwd 65534 | cut -d: -f1)
	run -77 --separate-stderr idq renew -q "$PWD/other/queue" "$token"
	expect 77 '' "idq: renew: $PWD/other/queue: belongs to $name; use: sudo -u $name idq renew ..."
	find other/queue -user root | nothing
	[ "$(ls other/queue/cur | wc -l)" -eq 1 ]
	run -0 --separate-stderr as_user 65534 \
	    idq renew -q "$PWD/other/queue" "$token"
	expect 0 ''
}

@test "renew: what is no token is wrong usage, and nothing is done" {
	idq add -k a
	token=$(idq claim)
	for word in a "${token%.1}" "$token." "${token%1}x" "${token%1}-1" \
	    "${token%1}+1" "${token%1}01x" "x${token#?}" "$token " \
	    "${token^^}" "${token%1}99999999999" ":${token:0:12}" ''; do
		run -64 --separate-stderr idq renew "$token" "$word"
		[ "$output" = '' ]
		[[ $stderr == "idq: renew: $word: "*'H.ID.N'* ]]
	done
	[ "$(events a)" = 'claimed 1 ' ]
}

@test "renew: no token is wrong usage" {
	run -64 --separate-stderr idq renew
	expect 64 '' 'idq: renew: no token given'
	token=$(hash_of a).0123456789abcdef.1
	run -64 --separate-stderr idq renew "$token" -q default
	expect 64 '' 'idq: renew: -q: options go before keys; use --'
	IDQ_SPOOL=elsewhere run -64 --separate-stderr idq renew "$token"
	[ "$output" = '' ]
	[[ $stderr == 'idq: renew: '*'IDQ_SPOOL is not an absolute path' ]]
}

@test "renew: --help is on standard output" {
	run -0 --separate-stderr idq renew --help
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq renew'* ]]
}
