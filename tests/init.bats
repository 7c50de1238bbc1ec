#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# init: what a queue is made of, whose it is, and what stands in its way.

# Each test is a subshell of its own, and $output and $stderr come from bats.
# shellcheck disable=SC2030,SC2031,SC2154

load helpers/common

teardown() {
	if [ -n "${mounted-}" ]; then
		umount "$mounted"
	fi
	common_teardown
}

# modes DIR: each mode that is below it, and the type that has it.
modes() {
	find "$1" -printf '%y %m\n' | LC_ALL=C sort -u
}

# names DIR: all that is below it.
names() {
	find "$1" -printf '%P %i %m %s\n' | LC_ALL=C sort
}

@test "init: makes the default queue and says nothing" {
	run -0 --separate-stderr idq init
	expect 0 ''
	[ "$(cat "$IDQ_SPOOL/default/format")" = 'idq spool 1' ]
	[ "$(wc -c <"$IDQ_SPOOL/default/format")" -eq 12 ]
}

@test "init: a new queue has every folder, and no file but format and boot" {
	idq init
	cd "$IDQ_SPOOL/default"
	for dir in tmp keys new wait paced cur hold failed 'done' cancelled \
	    expired dups turn groups out log asked boot run; do
		[ -d "$dir" ]
	done
	printf 'keys/%02x\n' {0..255} | LC_ALL=C sort >../expected
	find keys -mindepth 1 -type d | LC_ALL=C sort | cmp - ../expected
	[ "$(find . -type f | LC_ALL=C sort | tr '\n' ' ')" = \
	    "./boot/$(hostname) ./format " ]
	[ "$(find . ! -type f ! -type d | wc -l)" -eq 0 ]
}

@test "init: a new queue is usable at once" {
	idq init -q calls
	run -0 --separate-stderr idq add -q calls -k a
	expect 0 ''
	[ "$(state_of a calls)" = new ]
}

@test "init: umask 000 opens nothing to others" {
	(umask 000 && idq init)
	[ "$(modes "$IDQ_SPOOL/default")" = $'d 700\nf 600' ]
}

@test "init: umask 077 and 777 take nothing from the owner" {
	(umask 077 && idq init -q a)
	[ "$(modes "$IDQ_SPOOL/a")" = $'d 700\nf 600' ]
	(umask 777 && idq init -q b)
	[ "$(modes "$IDQ_SPOOL/b")" = $'d 700\nf 600' ]
	# Nor from the folders above.
	(umask 777 && IDQ_SPOOL=$PWD/x/y/z idq init)
	[ "$(modes x/y/z/default)" = $'d 700\nf 600' ]
	[ "$(cat x/y/z/default/format)" = 'idq spool 1' ]
}

@test "init: again changes nothing and says nothing" {
	idq init
	idq add -k a
	names "$IDQ_SPOOL/default" >before
	run -0 --separate-stderr idq init
	expect 0 ''
	names "$IDQ_SPOOL/default" | diff before -
}

@test "init: completes a queue whose making was cut off" {
	idq init
	queue=$(queue_path)
	rm -r "${queue:?}/format" "${queue:?}/boot" "${queue:?}/new"
	rmdir "$queue/keys/7f" "$queue/keys/ff"
	# Without its format it is not yet a queue.
	run -66 --separate-stderr idq config
	run -0 --separate-stderr idq init
	expect 0 ''
	[ "$(cat "$queue/format")" = 'idq spool 1' ]
	[ "$(find "$queue/keys" -mindepth 1 -type d | wc -l)" -eq 256 ]
	idq add -k a
	[ "$(state_of a)" = new ]
}

@test "init: makes again the folders that a queue has lost" {
	idq init
	idq add -k a
	queue=$(queue_path)
	rm -r "$queue/run" "$queue/asked"
	rmdir "$queue/wait" "$queue/done"
	idq init
	[ -d "$queue/run" ]
	[ -d "$queue/asked" ]
	[ -d "$queue/wait" ]
	[ -d "$queue/done" ]
	[ "$(state_of a)" = new ]
}

@test "init: an empty folder that is there becomes the queue" {
	mkdir "$IDQ_SPOOL"
	mkdir -m 700 "$IDQ_SPOOL/calls"
	run -0 --separate-stderr idq init -q calls
	expect 0 ''
	[ "$(cat "$IDQ_SPOOL/calls/format")" = 'idq spool 1' ]
}

@test "init: -v says whether it was made" {
	run -0 --separate-stderr idq init -v -q calls
	expect 0 "made	$IDQ_SPOOL/calls"
	run -0 --separate-stderr idq init -v -q calls
	expect 0 "exists	$IDQ_SPOOL/calls"
}

@test "init: -q names a queue, before or after the verb" {
	idq -q one init
	idq init -q two
	[ -e "$IDQ_SPOOL/one/format" ]
	[ -e "$IDQ_SPOOL/two/format" ]
	[ "$(ls "$IDQ_SPOOL")" = $'one\ntwo' ]
}

@test "init: -q with a slash is a path, and the spool is not needed" {
	export IDQ_SPOOL=$PWD/none
	run -0 --separate-stderr idq init -v -q "$PWD/deep/down/jobs"
	expect 0 "made	$PWD/deep/down/jobs"
	run -0 --separate-stderr idq init -v -q ./here
	expect 0 "made	$PWD/./here"
	[ -e deep/down/jobs/format ]
	[ -e here/format ]
	[ ! -e "$IDQ_SPOOL" ]
}

@test "init: a queue's name is 1 to 64 of a few characters" {
	long=$(printf '%064d' 0)
	for name in a A.b_c-9 9 _ "$long"; do
		run -0 --separate-stderr idq init -q "$name"
		expect 0 ''
		[ -e "$IDQ_SPOOL/$name/format" ]
	done
	for name in '' . .. .hidden -x 'a b' a:b å "${long}0" $'a\nb'; do
		run -64 --separate-stderr idq init -q "$name"
		[ "$output" = '' ]
		[[ $stderr == 'idq: init: '*"A-Z a-z 0-9 . _ -"* ]]
		[ "$(printf %s "$stderr" | wc -l)" -eq 0 ]
	done
	[ "$(find "$IDQ_SPOOL" -mindepth 1 -maxdepth 1 | wc -l)" -eq 5 ]
	[ ! -e "$IDQ_SPOOL/format" ]
}

@test "init: a relative IDQ_SPOOL is wrong usage" {
	IDQ_SPOOL=elsewhere run -64 --separate-stderr idq init
	[ "$output" = '' ]
	[[ $stderr == 'idq: init: '*'IDQ_SPOOL is not an absolute path' ]]
	[ ! -e elsewhere ]
}

@test "init: HOME and XDG_STATE_HOME do not say where the spool is" {
	need_root
	mkdir home
	chmod 777 home
	run -0 as_user 65534 true
	# nobody has no home that could be written to.
	run --separate-stderr as_user 65534 env -u IDQ_SPOOL HOME="$PWD/home" \
	    XDG_STATE_HOME="$PWD/home" idq init
	home=$(getent passwd 65534 | cut -d: -f6)
	[ "$status" -ne 0 ]
	[ "$output" = '' ]
	[[ $stderr == "idq: init: ${home%%/}"* ]]
	[ -z "$(ls -A home)" ]
}

@test "init: a newer format is 78 and is left as it is" {
	idq init
	echo 'idq spool 2' >"$(queue_path)/format"
	run -78 --separate-stderr idq init
	expect 78 '' \
	    "idq: init: $(queue_path): has the newer format 'idq spool 2'"
	[ "$(cat "$(queue_path)/format")" = 'idq spool 2' ]
}

@test "init: a format that is not idq's is 78 and is left as it is" {
	idq init
	echo 'maildir' >"$(queue_path)/format"
	run -78 --separate-stderr idq init
	expect 78 '' "idq: init: $(queue_path)/format: is not idq's"
	[ "$(cat "$(queue_path)/format")" = 'maildir' ]
}

@test "init: a bad config is 78 and names the word" {
	idq init
	echo 'keeep 7d' >"$(queue_path)/config"
	run -78 --separate-stderr idq init
	expect 78 '' \
	    "idq: init: $(queue_path)/config: unknown name 'keeep'"
}

@test "init: below a file there can be no queue" {
	: >file
	run -73 --separate-stderr idq init -q "$PWD/file/queue"
	[ "$output" = '' ]
	[[ $stderr == "idq: init: $PWD/file"*': Not a directory' ]]
	run -73 --separate-stderr idq init -q "$PWD/file"
	[ "$output" = '' ]
	[[ $stderr == "idq: init: $PWD/file: Not a directory" ]]
	[ ! -s file ]
}

@test "init: on a file system without hard links there is no queue" {
	need cc
	printf '%s\n' '#include <errno.h>' 'int linkat(void);' \
	    'int linkat(void) { errno = EPERM; return -1; }' |
	    cc -shared -fPIC -x c -o nolink.so -
	run -73 --separate-stderr env LD_PRELOAD="$PWD/nolink.so" idq init
	[ "$output" = '' ]
	[[ $stderr == "idq: init: $(queue_path): "*'hard links'*': Operation not permitted' ]]
	[ ! -e "$(queue_path)/format" ]
	find "$(queue_path)/tmp" -type f | nothing
}

@test "init: another user's queue is refused, root is told sudo -u" {
	need_root
	idq init
	queue=$(queue_path)
	run -77 --separate-stderr as_user 65534 idq init
	expect 77 '' "idq: init: $queue: belongs to root; use: sudo -u root idq init ..."
	mkdir -m 777 other
	as_user 65534 idq init -q "$PWD/other/queue"
	name=$(getent passwd 65534 | cut -d: -f1)
	run -77 --separate-stderr idq init -q "$PWD/other/queue"
	expect 77 '' "idq: init: $PWD/other/queue: belongs to $name; use: sudo -u $name idq init ..."
	[ "$(find other -user root ! -path other | wc -l)" -eq 0 ]
}

@test "init: where one may not write is 77" {
	need_root
	mkdir -m 755 closed
	run -77 --separate-stderr as_user 65534 idq init -q "$PWD/closed/queue"
	expect 77 '' "idq: init: $PWD/closed/queue: Permission denied"
	[ -z "$(ls -A closed)" ]
}

@test "init: a queue that everybody may write to is 77, shared or not" {
	idq init
	queue=$(queue_path)
	chmod 777 "$queue"
	run -77 --separate-stderr idq init
	expect 77 '' "idq: init: $queue: is writable by everybody"
	echo 'shared yes' >"$queue/config"
	run -77 --separate-stderr idq init
	expect 77 '' "idq: init: $queue: is writable by everybody"
}

@test "init: on a read-only file system is 73" {
	mount_at ro size=1m
	mount -o remount,ro "$PWD/ro"
	run -73 --separate-stderr idq init -q "$PWD/ro/queue"
	expect 73 '' "idq: init: $PWD/ro/queue: Read-only file system"
}

@test "init: on a full disk is 75, and the same command completes it" {
	mount_at full size=1m,nr_inodes=100
	run -75 --separate-stderr idq init -q "$PWD/full/queue"
	[ "$output" = '' ]
	[[ $stderr == "idq: init: $PWD/full/queue"*': No space left on device' ]]
	[ ! -e full/queue/format ]
	mount -o remount,nr_inodes=1000 "$PWD/full"
	run -0 --separate-stderr idq init -q "$PWD/full/queue"
	expect 0 ''
	[ "$(cat full/queue/format)" = 'idq spool 1' ]
	idq add -q "$PWD/full/queue" -k a
}

@test "init: many at once make one queue" {
	for _ in 1 2 3 4 5 6; do
		spawn idq init
	done
	for pid in "${spawned[@]}"; do
		wait "$pid"
	done
	cat spawn.out spawn.err | nothing
	spawned=()
	[ "$(find "$(queue_path)/keys" -mindepth 1 | wc -l)" -eq 256 ]
	find "$(queue_path)/tmp" -type f | nothing
	idq add -k a
	[ "$(state_of a)" = new ]
}

@test "init: an operand is wrong usage" {
	run -64 --separate-stderr idq init calls
	expect 64 '' \
	    'idq: init: calls: unexpected operand; use: idq init -q calls'
	[ ! -e "$IDQ_SPOOL" ]
}

@test "init: a wrong option is named" {
	run -64 --separate-stderr idq init -x
	[ "$output" = '' ]
	[[ $stderr == "idq: init: unknown option '-x'"* ]]
	run -64 --separate-stderr idq init --hlep
	expect 64 '' \
	    "idq: init: unknown option '--hlep'; did you mean '--help'?"
	run -64 --separate-stderr idq init -q
	expect 64 '' "idq: init: option '-q' needs a value"
	[ ! -e "$IDQ_SPOOL" ]
}

@test "init: a misspelt verb is named with the closest one" {
	run -64 --separate-stderr idq inti
	expect 64 '' "idq: unknown verb 'inti'; did you mean 'init'?"
	run -64 --separate-stderr idq
	[ "$output" = '' ]
	[[ $stderr == 'idq: '* ]]
}

@test "init: --help is on standard output" {
	run -0 --separate-stderr idq init --help
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq init'* ]]
	run -0 --separate-stderr idq init -h
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq init'* ]]
	[ ! -e "$IDQ_SPOOL" ]
}

@test "init: output that cannot be written is 74" {
	[ -c /dev/full ] || skip "there is no /dev/full"
	run -74 --separate-stderr sh -c 'idq init -v >/dev/full'
	expect 74 '' 'idq: init: standard output: No space left on device'
	# The queue is there nevertheless.
	[ "$(cat "$(queue_path)/format")" = 'idq spool 1' ]
}
