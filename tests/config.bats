#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# config: list, print and set.  What each setting does is tested with the verb
# that it is for.

# Each test is a subshell of its own, and $output and $stderr come from bats.
# shellcheck disable=SC2030,SC2031,SC2154

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

defaults='keep	7d
keep-failed	30d
keep-log	90d
attempts	5
backoff	1m
timeout	none
grace	10s
lease	10m
ttl	none
warn-age	30m
gate-age	off
group-max	1
group-gap	0s
rate	none
on-crash	retry
output	inherit
sync	full
shared	no
exec	no'

@test "config: lists each name and its default" {
	run -0 --separate-stderr idq config
	expect 0 "$defaults"
	[ ! -e "$queue/config" ]
}

@test "config: lists what was set among the defaults" {
	idq config attempts 2
	idq config ttl 1h30m
	run -0 --separate-stderr idq config
	expected=${defaults/attempts	5/attempts	2}
	expect 0 "${expected/ttl	none/ttl	1h30m}"
}

@test "config: prints one value" {
	while IFS=$'\t' read -r name value; do
		run -0 --separate-stderr idq config "$name"
		expect 0 "$value"
	done <<<"$defaults"
}

@test "config: sets one value, in silence, as a line of the file" {
	run -0 --separate-stderr idq config keep 14d
	expect 0 ''
	[ "$(cat "$queue/config")" = 'keep 14d' ]
	run -0 --separate-stderr idq config keep
	expect 0 14d
	find "$queue/tmp" -type f | nothing
}

@test "config: setting one value keeps the others" {
	idq config keep 14d
	idq config attempts 9
	idq config keep 1d
	[ "$(LC_ALL=C sort "$queue/config")" = $'attempts 9\nkeep 1d' ]
	[ "$(idq config attempts)" = 9 ]
	[ "$(idq config keep)" = 1d ]
}

@test "config: each name takes its kind of value" {
	while read -r name value; do
		run -0 --separate-stderr idq config "$name" "$value"
		expect 0 ''
		run -0 --separate-stderr idq config "$name"
		expect 0 "$value"
		grep -qxF "$name $value" "$queue/config"
	done <<-'END'
		keep forever
		keep 12h
		keep-failed forever
		keep-failed 60d
		keep-log forever
		keep-log 20d
		attempts 1
		attempts 1000
		backoff 10s
		timeout 30m
		timeout none
		grace 1s
		lease 1h
		ttl 20m
		ttl none
		warn-age 1h30m
		warn-age none
		on-crash hold
		on-crash retry
		output keep
		output inherit
		sync file
		sync off
		sync full
		shared yes
		shared no
		exec yes
		exec no
	END
}

@test "config: a duration may be given in any of its forms" {
	while read -r given shown; do
		idq config keep "$given"
		run -0 --separate-stderr idq config keep
		expect 0 "$shown"
	done <<-'END'
		90s 1m30s
		60m 1h
		1h30m 1h30m
		36h 1d12h
		7d 7d
		1w1d 8d
	END
}

@test "config: what is no value of a name is 64 and sets nothing" {
	while read -r name value; do
		run -64 --separate-stderr idq config "$name" -- "$value"
		[ "$output" = '' ]
		run -64 --separate-stderr idq config -- "$name" "$value"
		[ "$output" = '' ]
		[[ $stderr == 'idq: config: '*"$name"* ]]
		[[ $stderr == *"$value"* ]]
		[ "$(printf %s "$stderr" | wc -l)" -eq 0 ]
		[ ! -e "$queue/config" ]
	done <<-'END'
		keep 7
		keep none
		keep -1d
		keep 1x
		keep 30m1h
		keep-failed none
		keep-log soon
		attempts 0
		attempts -1
		attempts 2d
		attempts none
		attempts 99999999999999999999
		backoff none
		backoff forever
		timeout forever
		timeout 0s
		grace none
		lease none
		ttl forever
		ttl 10
		warn-age 5
		on-crash holt
		output kept
		sync on
		shared maybe
		exec true
		keep 99999999999999999999d
	END
}

@test "config: a bare number is named with what was meant" {
	run -64 --separate-stderr idq config keep 7
	[ "$output" = '' ]
	[[ $stderr == "idq: config: keep 7: "*"'7s'"*"'7m'"*"'7h'"* ]]
}

@test "config: a unit that is spelt out is named with what was meant" {
	run -64 --separate-stderr idq config lease 10min
	[ "$output" = '' ]
	[[ $stderr == "idq: config: lease 10min: "*"did you mean '10m'?" ]]
}

@test "config: a misspelt word is named with the valid ones" {
	run -64 --separate-stderr idq config on-crash holt
	[ "$output" = '' ]
	[[ $stderr == 'idq: config: '*holt*hold* ]]
}

@test "config: an empty value is 64" {
	for name in keep attempts on-crash ttl; do
		run -64 --separate-stderr idq config "$name" ''
		[ "$output" = '' ]
		[[ $stderr == 'idq: config: '*"$name"* ]]
		[ ! -e "$queue/config" ]
	done
}

@test "config: an unknown name is 64, with the closest one" {
	run -64 --separate-stderr idq config attemps
	expect 64 '' \
	    "idq: config: unknown name 'attemps'; did you mean 'attempts'?"
	run -64 --separate-stderr idq config keep_failed 3d
	expect 64 '' "idq: config: unknown name 'keep_failed'; did you mean 'keep-failed'?"
	run -64 --separate-stderr idq config on-carsh hold
	expect 64 '' \
	    "idq: config: unknown name 'on-carsh'; did you mean 'on-crash'?"
	[ ! -e "$queue/config" ]
}

@test "config: a name that is like none lists all" {
	run -64 --separate-stderr idq config zzzzzzzz
	[ "$output" = '' ]
	[[ $stderr == "idq: config: unknown name 'zzzzzzzz'"*keep*exec* ]]
}

@test "config: each queue has its own" {
	idq init -q calls
	idq config -q calls attempts 2
	[ "$(idq config attempts)" = 5 ]
	[ "$(idq -q calls config attempts)" = 2 ]
	[ "$(cat "$IDQ_SPOOL/calls/config")" = 'attempts 2' ]
}

@test "config: umask 000 and 077 do not change the file's mode" {
	(umask 000 && idq config keep 1d)
	[ "$(stat -c %a "$queue/config")" = 600 ]
	(umask 077 && idq config keep 2d)
	[ "$(stat -c %a "$queue/config")" = 600 ]
	(umask 777 && idq config keep 3d)
	[ "$(stat -c %a "$queue/config")" = 600 ]
	[ "$(idq config keep)" = 3d ]
}

@test "config: settings made at once are all kept" {
	pairs='keep 1d keep-failed 2d keep-log 3d attempts 4 backoff 5s
	    timeout 6s grace 7s lease 8s ttl 9s warn-age 10s on-crash hold
	    output keep sync file exec yes'
	# shellcheck disable=SC2086
	set -- $pairs
	while [ $# -gt 0 ]; do
		spawn idq config "$1" "$2"
		shift 2
	done
	for pid in "${spawned[@]}"; do
		wait "$pid"
	done
	spawned=()
	cat spawn.out spawn.err | nothing
	[ "$(LC_ALL=C sort "$queue/config" | tr '\n' ' ')" = 'attempts 4 backoff 5s exec yes grace 7s keep 1d keep-failed 2d keep-log 3d lease 8s on-crash hold output keep sync file timeout 6s ttl 9s warn-age 10s ' ]
}

@test "config: a file written by hand is read" {
	printf 'attempts 3\n\nlease   1m' >"$queue/config"
	[ "$(idq config attempts)" = 3 ]
	[ "$(idq config lease)" = 1m ]
}

@test "config: a NUL byte in the file is 78" {
	idq init
	printf 'keep 1d\0attempts 3\n' >"$queue/config"
	run -78 --separate-stderr idq ls
	expect 78 '' "idq: ls: $queue/config: has a NUL byte"
}

@test "config: a bad file is 78 for every verb that opens the queue" {
	token=$(hash_of a).0123456789abcdef.1
	for line in 'keeep 7d' 'keep 7' 'attempts many' 'on-crash' 'shared 1'
	do
		printf '%s\n' 'lease 5m' "$line" >"$queue/config"
		for words in config 'config keep' 'config keep 7d' claim \
		    'add -k a' ls "ack $token" "fail $token" \
		    "release $token" "renew $token"; do
			# shellcheck disable=SC2086
			run -78 --separate-stderr idq $words
			[ "$output" = '' ]
			[[ $stderr == "idq: ${words%% *}: $queue"*"'${line#* }'"* ||
			    $stderr == "idq: ${words%% *}: $queue"*"${line%% *}"* ]]
			[ "$(printf %s "$stderr" | wc -l)" -eq 0 ]
		done
		[ "$(cat "$queue/config")" = $'lease 5m\n'"$line" ]
	done
	find "$queue/new" "$queue/tmp" -type f | nothing
}

@test "config: an oversized file is 78" {
	head -c 100000 /dev/zero | tr '\0' '\n' >"$queue/config"
	run -78 --separate-stderr idq config
	expect 78 '' "idq: config: $queue/config: too long"
}

@test "config: a symlinked file is named and not followed" {
	echo 'attempts 2' >elsewhere
	ln -s "$PWD/elsewhere" "$queue/config"
	for words in 'config attempts' 'config attempts 3' 'add -k a'; do
		# shellcheck disable=SC2086
		run -78 --separate-stderr idq $words
		[ "$output" = '' ]
		[[ $stderr == "idq: ${words%% *}: $queue/config: "* ]]
	done
	[ "$(cat elsewhere)" = 'attempts 2' ]
	[ -L "$queue/config" ]
}

@test "config: a fifo or a folder in the file's place is named, not waited for" {
	mkfifo "$queue/config"
	run -78 --separate-stderr timeout 10 "$IDQ" config attempts
	[ "$output" = '' ]
	[[ $stderr == "idq: config: $queue/config: "* ]]
	rm "$queue/config"
	mkdir "$queue/config"
	run -78 --separate-stderr idq config attempts
	[ "$output" = '' ]
	[[ $stderr == "idq: config: $queue/config: "* ]]
}

@test "config: shared yes lets the group in, no one else" {
	need_root
	find "$queue" -type d -exec chmod 2770 {} +
	chown -R :65534 "$queue"
	chmod 660 "$queue/format"
	run -77 --separate-stderr idq add -k a
	expect 77 '' "idq: add: $queue: is writable by its group, but its config does not say shared yes"
	echo 'shared yes' >"$queue/config"
	chmod 660 "$queue/config"
	run -0 --separate-stderr idq add -k a
	expect 0 ''
	[ "$(stat -c %a "$(key_file a)")" = 660 ]
	run -0 --separate-stderr as_user 65534 idq config attempts
	expect 0 5
	run -0 --separate-stderr as_user 65534 idq add -k b
	expect 0 ''
	[ "$(stat -c '%a %u' "$(key_file b)")" = '660 65534' ]
	run -77 --separate-stderr as_user 65533 idq config
	[ "$output" = '' ]
	[[ $stderr == "idq: config: $queue: "* ]]
}

@test "config: another user's queue may be read by root, not set" {
	need_root
	mkdir -m 777 other
	as_user 65534 idq init -q "$PWD/other/queue"
	name=$(getent passwd 65534 | cut -d: -f1)
	run -0 --separate-stderr idq config -q "$PWD/other/queue"
	expect 0 "$defaults"
	run -77 --separate-stderr idq config -q "$PWD/other/queue" keep 1d
	expect 77 '' "idq: config: $PWD/other/queue: belongs to $name; use: sudo -u $name idq config ..."
	[ ! -e other/queue/config ]
	# The other way round nothing may be seen.
	run -77 --separate-stderr as_user 65534 idq config
	expect 77 '' "idq: config: $queue: belongs to root; use: sudo -u root idq config ..."
}

@test "config: a missing queue is 66, with its full path" {
	for words in config 'config keep' 'config keep 1d'; do
		# shellcheck disable=SC2086
		run -66 --separate-stderr idq -q calls $words
		expect 66 '' "idq: config: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	done
	[ ! -e "$IDQ_SPOOL/calls" ]
}

@test "config: setting makes the default queue, looking does not" {
	rm -r "$IDQ_SPOOL"
	run -66 --separate-stderr idq config keep
	expect 66 '' "idq: config: $IDQ_SPOOL/default: no such queue; make it with: idq init -q default"
	[ ! -e "$IDQ_SPOOL" ]
	run -0 --separate-stderr idq config keep 1d
	expect 0 '' "idq: config: made the queue $IDQ_SPOOL/default"
	run -0 --separate-stderr idq config keep 2d
	expect 0 ''
	[ "$(cat "$queue/config")" = 'keep 2d' ]
}

@test "config: a newer format is 78" {
	echo 'idq spool 2' >"$queue/format"
	run -78 --separate-stderr idq config keep 1d
	expect 78 '' \
	    "idq: config: $queue: has the newer format 'idq spool 2'"
	[ ! -e "$queue/config" ]
}

@test "config: wrong usage is 64" {
	run -64 --separate-stderr idq config keep 1d 2d
	expect 64 '' 'idq: config: 2d: unexpected operand'
	run -64 --separate-stderr idq config keep -1d
	expect 64 '' \
	    'idq: config: -1d: options go before keys; use --'
	run -64 --separate-stderr idq config --jsn
	[ "$output" = '' ]
	[[ $stderr == "idq: config: unknown option '--jsn'"* ]]
	IDQ_SPOOL=elsewhere run -64 --separate-stderr idq config
	[ "$output" = '' ]
	[[ $stderr == 'idq: config: '*'IDQ_SPOOL is not an absolute path' ]]
	[ ! -e "$queue/config" ]
}

@test "config: --help is on standard output" {
	run -0 --separate-stderr idq config --help
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq config'* ]]
}

@test "config: output that cannot be written is 74" {
	[ -c /dev/full ] || skip "there is no /dev/full"
	for words in config 'config keep'; do
		run -74 --separate-stderr sh -c "idq $words >/dev/full"
		expect 74 '' \
		    'idq: config: standard output: No space left on device'
	done
	run -74 --separate-stderr sh -c 'idq config keep >&-'
	[[ $stderr == 'idq: config: standard output: '* ]]
}

@test "config: on a read-only file system is 73, and may be read" {
	mount_at "$PWD/ro" size=2m
	idq init -q "$PWD/ro/queue"
	mount -o remount,ro "$PWD/ro"
	run -73 --separate-stderr idq config -q "$PWD/ro/queue" attempts 2
	[ "$output" = '' ]
	[[ $stderr == "idq: config: $PWD/ro/queue"*': Read-only file system' ]]
	run -0 --separate-stderr idq config -q "$PWD/ro/queue" attempts
	expect 0 5
}

@test "config: on a full disk is 75 and the old value stays" {
	mount_at "$PWD/full" size=2m
	idq init -q "$PWD/full/queue"
	idq config -q "$PWD/full/queue" keep 1d
	dd if=/dev/zero of=full/filler bs=4k 2>/dev/null || :
	run -75 --separate-stderr idq config -q "$PWD/full/queue" keep 2d
	[ "$output" = '' ]
	[[ $stderr == "idq: config: $PWD/full/queue"*': No space left on device' ]]
	[ "$(idq config -q "$PWD/full/queue" keep)" = 1d ]
	find full/queue/tmp -type f | nothing
	rm full/filler
	run -0 --separate-stderr idq config -q "$PWD/full/queue" keep 2d
	expect 0 ''
}
