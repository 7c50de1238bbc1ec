#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# ack: the end of a claim whose job is done.

# Each test is a subshell of its own, and some words are for eval later;
# $output and $stderr come from bats; names in a queue are plain.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

@test "ack: moves the job to done of the day, and says nothing" {
	idq add -k a
	token=$(idq claim)
	run -0 --separate-stderr idq ack "$token"
	expect 0 ''
	[ "$(state_of a)" = 'done' ]
	line=$(last a)
	[ "$queue/done/${line:0:10}/${token%.1}" -ef "$(key_file a)" ]
	[ "$(stat -c %h "$(key_file a)")" -eq 2 ]
	[ -z "$(ls -A "$queue/cur")" ]
}

@test "ack: leaves a line with exit and release in the trail" {
	idq add -k a
	idq ack "$(idq claim)"
	[ "$(events a)" = 'claimed 1 done 1 ' ]
	line=$(last a)
	[[ $line =~ ^[0-9T:.-]{26}Z\ done\ 1\ exit=0\ release=[0-9T:.-]{26}Z$ ]]
	[ "$(between "${line%% *}" "$(value release "$line")")" -eq 604800 ]
}

@test "ack: leaves a line in the log" {
	idq add -k a -g g
	token=$(idq claim)
	idq ack "$token"
	log=$(grep -hP '\tdone\t' "$queue"/log/*)
	[ "$(cut -f3,5,6 <<<"$log")" = "$token	g	a" ]
	[ "$(cut -f1,2,4 <<<"$log")" = \
	    "$(last a | sed 's/ done 1 /\tdone\t/')" ]
}

@test "ack: the key stays held for keep: the job's, else the queue's" {
	idq config keep 2d
	idq add -k a
	idq add -k b --keep 3h
	idq add -k c --keep forever
	for _ in a b c; do
		idq ack "$(idq claim)"
	done
	line=$(last a)
	[ "$(between "${line%% *}" "$(value release "$line")")" -eq 172800 ]
	line=$(last b)
	[ "$(between "${line%% *}" "$(value release "$line")")" -eq 10800 ]
	[ "$(value release "$(last c)")" = never ]
}

@test "ack: a later change of keep changes nothing of what is done" {
	idq add -k a
	idq ack "$(idq claim)"
	before=$(cksum <"$(key_file a)")
	idq config keep 1s
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	run -3 --separate-stderr idq add -k a -E 3
	expect 3 ''
}

@test "ack: twice is 0 and leaves one line" {
	idq add -k a
	token=$(idq claim)
	idq ack "$token"
	before=$(cksum <"$(key_file a)")
	run -0 --separate-stderr idq ack "$token"
	expect 0 ''
	run -0 --separate-stderr idq ack "$token" "$token"
	expect 0 ''
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(grep -cP '\tdone\t' "$queue"/log/*)" -eq 1 ]
}

@test "ack: of a lapsed lease that nobody took is 0" {
	need faketime
	idq add -k a
	token=$(idq claim --lease 1m)
	run -0 --separate-stderr at +1h idq ack "$token"
	expect 0 ''
	[ "$(events a)" = 'claimed 1 done 1 ' ]
	[ "$(state_of a)" = 'done' ]
}

@test "ack: after fail or release the token is 69" {
	idq add -k a
	token=$(idq claim)
	idq release "$token"
	run -69 --separate-stderr idq ack "$token"
	expect 69 '' "idq: ack: $token: claim lost: the job is pending"
	token=$(idq claim)
	idq fail --exit 100 "$token"
	run -69 --separate-stderr idq ack "$token"
	expect 69 '' "idq: ack: $token: claim lost: the job is failed"
	[ "$(state_of a)" = failed ]
}

@test "ack: of a first claim after the second was acked is 69" {
	need faketime
	idq add -k a
	old=$(idq claim --lease 1m)
	new=$(at +1h idq claim)
	at +1h idq ack "$new"
	run -69 --separate-stderr at +1h idq ack "$old"
	expect 69 '' "idq: ack: $old: claim lost: the job is done"
	[ "$(events a)" = 'claimed 1 interrupted 1 claimed 2 done 2 ' ]
}

@test "ack: a move that was cut off is made good" {
	idq add -k a
	token=$(idq claim)
	idq ack "$token"
	# The line is written, the rename is lost.
	mv "$(echo "$queue"/done/*/"${token%.1}")" "$queue/cur/${token%.1}"
	run -0 --separate-stderr idq ack "$token"
	expect 0 ''
	[ "$(state_of a)" = 'done' ]
	[ "$(events a)" = 'claimed 1 done 1 ' ]
}

@test "ack: when the sync fails it is not reported as done" {
	need cc
	printf '%s\n' '#include <errno.h>' 'int fsync(int);' \
	    'int fsync(int fd) { errno = EIO; return fd < 0 ? -2 : -1; }' |
	    cc -shared -fPIC -x c -o nosync.so -
	idq add -k a
	token=$(idq claim)
	run -74 --separate-stderr env LD_PRELOAD="$PWD/nosync.so" \
	    idq ack "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: ack: $token: "*': Input/output error' ]]
	[ "$(state_of a)" = cur ]
}

@test "ack: a job locked by another process for long is 75" {
	idq add -k a
	token=$(idq claim)
	spawn flock "$(key_file a)" sh -c 'echo "$$" >locked; exec sleep 60'
	wait_for '[ -s locked ]'
	run -75 --separate-stderr idq ack "$token"
	expect 75 '' "idq: ack: $token: the job is locked"
	[ "$(state_of a)" = cur ]
	kill -KILL "$(cat locked)"
	wait_for 'flock -n "$(key_file a)" true'
	run -0 --separate-stderr idq ack "$token"
	expect 0 ''
}

@test "ack: a wrong option is named" {
	run -64 --separate-stderr idq ack --exit 1
	[ "$output" = '' ]
	[[ $stderr == "idq: ack: unknown option '--exit'"* ]]
	run -64 --separate-stderr idq akc
	expect 64 '' "idq: unknown verb 'akc'; did you mean 'ack'?"
	run -64 --separate-stderr idq 'done'
	[ "$output" = '' ]
	[[ $stderr == "idq: unknown verb 'done'"* ]]
}

@test "ack: several tokens are each acted on, the highest status counts" {
	idq add -k a
	idq add -k b
	a=$(idq claim)
	b=$(idq claim)
	gone=$(hash_of c).0123456789abcdef.1
	run -69 --separate-stderr idq ack "$a" "$gone" "$b"
	expect 69 '' "idq: ack: $gone: claim lost: the job is gone"
	[[ $(last a) == *' done 1 '* ]]
	[[ $(last b) == *' done 1 '* ]]
}

@test "ack: the token of an earlier claim is 69 and changes nothing" {
	need faketime
	idq add -k a
	old=$(idq claim --lease 1m)
	new=$(at +1h idq claim)
	[ "$new" = "${old%.1}.2" ]
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr at +1h idq ack "$old"
	expect 69 '' "idq: ack: $old: claim lost: the job is running"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(state_of a)" = cur ]
	run -0 --separate-stderr at +1h idq ack "$new"
	expect 0 ''
}

@test "ack: a token that was never given is 69" {
	idq add -k a
	none=$(hash_of a).$(header Id a).1
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq ack "$none"
	expect 69 '' "idq: ack: $none: claim lost: the job is pending"
	token=$(idq claim)
	for other in "${token%.1}.2" "${token%.1}.4294967295" \
	    "$(hash_of a).0123456789abcdef.1"; do
		before=$(cksum <"$(key_file a)")
		run -69 --separate-stderr idq ack "$other"
		[ "$output" = '' ]
		[[ $stderr == "idq: ack: $other: claim lost: "* ]]
		[ "$(cksum <"$(key_file a)")" = "$before" ]
	done
	run -0 --separate-stderr idq ack "$token"
	expect 0 ''
}

@test "ack: a cancelled job's token is 69" {
	idq add -k a
	token=$(idq claim)
	idq cancel a
	before=$(cksum <"$(key_file a)")
	run -69 --separate-stderr idq ack "$token"
	expect 69 '' "idq: ack: $token: claim lost: the job is cancelled"
	[ "$(cksum <"$(key_file a)")" = "$before" ]
	[ "$(state_of a)" = cancelled ]
}

@test "ack: the token of a forgotten job is 69" {
	idq add -k a
	token=$(idq claim)
	idq cancel a
	idq forget a
	run -69 --separate-stderr idq ack "$token"
	expect 69 '' "idq: ack: $token: claim lost: the job is gone"
	idq add -k a
	run -69 --separate-stderr idq ack "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: ack: $token: claim lost: "* ]]
	[ "$(state_of a)" = new ]
}

@test "ack: the token of a job that a worker runs is 69" {
	idq add -k a
	mkfifo gate
	spawn idq work --once -- sh -c 'echo "$IDQ_TOKEN" >running; read -r x <gate'
	wait_for '[ -s running ]'
	token=$(hash_of a).$(header Id a).1
	run -69 --separate-stderr idq ack "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: ack: $token: claim lost: "* ]]
	echo go >gate
	wait "${spawned[0]}"
	[ "$(state_of a)" = 'done' ]
	[ "$(events a)" = 'claimed 1 done 1 ' ]
}

@test "ack: a damaged job is 70, named and left alone" {
	idq add -k a
	token=$(idq claim)
	path=$queue/cur/$(hash_of a).$(header Id a)
	truncate -s 50 "$path"
	run -70 --separate-stderr idq ack "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: ack: $token: $path: "* ]]
	[ "$(stat -c %s "$path")" -eq 50 ]
	[ "$(state_of a)" = cur ]
}

@test "ack: a link or a fifo in the job's place is 70, not followed" {
	idq add -k a
	token=$(idq claim)
	path=$queue/cur/$(hash_of a).$(header Id a)
	mv "$path" elsewhere
	size=$(stat -c %s elsewhere)
	ln -s "$PWD/elsewhere" "$path"
	run -70 --separate-stderr idq ack "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: ack: $token: $path: "* ]]
	rm "$path"
	mkfifo "$path"
	run -70 --separate-stderr timeout 20 "$IDQ" ack "$token"
	[ "$output" = '' ]
	[[ $stderr == "idq: ack: $token: $path: "* ]]
	[ -p "$path" ]
	[ "$(stat -c %s elsewhere)" -eq "$size" ]
}

@test "ack: a torn last line does not count and is cut off" {
	idq add -k a
	token=$(idq claim)
	printf '2026-11-23T20:35:11.411200Z done 1 exi' >>"$(key_file a)"
	run -0 --separate-stderr idq ack "$token"
	expect 0 ''
	[ "$(events a)" = 'claimed 1 done 1 ' ]
	[ "$(grep -c exi "$(key_file a)")" -eq "$(trail a | grep -c exit=)" ]
}

@test "ack: standard input is not read" {
	idq add -k a
	token=$(idq claim)
	echo left >input
	run -0 --separate-stderr sh -c "{ idq ack $token; cat; } <input"
	expect 0 left
}

@test "ack: the mode of the file stays, umask 000 or 077" {
	for mask in 000 077; do
		idq add -k "$mask"
		token=$(idq claim)
		(umask "$mask" && idq ack "$token")
	done
	[ "$(find "$queue" -printf '%y %m\n' | sort -u)" = $'d 700\nf 600' ]
}

@test "ack: a missing queue is 66, with its full path" {
	run -66 --separate-stderr idq ack -q calls \
	    "$(hash_of a).0123456789abcdef.1"
	expect 66 '' "idq: ack: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	[ ! -e "$IDQ_SPOOL/calls" ]
}

@test "ack: a newer format is 78" {
	echo 'idq spool 2' >"$queue/format"
	run -78 --separate-stderr idq ack "$(hash_of a).0123456789abcdef.1"
	expect 78 '' "idq: ack: $queue: has the newer format 'idq spool 2'"
}

@test "ack: another user's queue is 77, root is told sudo -u" {
	need_root
	mkdir -m 777 other
	as_user 65534 idq init -q "$PWD/other/queue"
	as_user 65534 idq add -q "$PWD/other/queue" -k a
	token=$(as_user 65534 idq claim -q "$PWD/other/queue")
	name=$(getent passwd 65534 | cut -d: -f1)
	run -77 --separate-stderr idq ack -q "$PWD/other/queue" "$token"
	expect 77 '' "idq: ack: $PWD/other/queue: belongs to $name; use: sudo -u $name idq ack ..."
	find other/queue -user root | nothing
	[ "$(ls other/queue/cur | wc -l)" -eq 1 ]
	run -0 --separate-stderr as_user 65534 \
	    idq ack -q "$PWD/other/queue" "$token"
	expect 0 ''
}

@test "ack: what is no token is wrong usage, and nothing is done" {
	idq add -k a
	token=$(idq claim)
	for word in a "${token%.1}" "$token." "${token%1}x" "${token%1}-1" \
	    "${token%1}+1" "${token%1}01x" "x${token#?}" "$token " \
	    "${token^^}" "${token%1}99999999999" ":${token:0:12}" ''; do
		run -64 --separate-stderr idq ack "$token" "$word"
		[ "$output" = '' ]
		[[ $stderr == "idq: ack: $word: "*'H.ID.N'* ]]
	done
	[ "$(events a)" = 'claimed 1 ' ]
}

@test "ack: no token is wrong usage" {
	run -64 --separate-stderr idq ack
	expect 64 '' 'idq: ack: no token given'
	token=$(hash_of a).0123456789abcdef.1
	run -64 --separate-stderr idq ack "$token" -q default
	expect 64 '' 'idq: ack: -q: options go before keys; use --'
	IDQ_SPOOL=elsewhere run -64 --separate-stderr idq ack "$token"
	[ "$output" = '' ]
	[[ $stderr == 'idq: ack: '*'IDQ_SPOOL is not an absolute path' ]]
}

@test "ack: --help is on standard output" {
	run -0 --separate-stderr idq ack --help
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq ack'* ]]
}
