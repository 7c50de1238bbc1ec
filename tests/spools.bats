#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The commonest mistake: producer and worker have different spools or users.
# However it comes about, it is said, with the full path.

# Each test is a subshell of its own; $output and $stderr come from bats, and
# some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

# Nothing of this name is in a default spool.
name=idq-test-$$

# no_queue PATH NAME: each verb refuses the queue called NAME, and says that it
# looked for PATH, and what to do.
no_queue() {
	local verb status

	for verb in 'add -k a' 'add --batch' 'work --drain -- touch ran' \
	    'run -k a -- touch ran' claim ls 'ls --json' 'show a' 'cat a' log \
	    'cancel a' 'retry a' 'forget a' purge fsck config \
	    'config keep 1d'; do
		status=66
		[ "${verb%% *}" != run ] || status=125
		# The words are words.
		# shellcheck disable=SC2086
		run "-$status" --separate-stderr idq -q "$2" $verb </dev/null
		expect "$status" '' "idq: ${verb%% *}: $1: no such queue; make it with: idq init -q $2"
	done
	[ ! -e ran ]
	[ ! -e "$1" ]
}

# in_private SCRIPT: as root with a /var/spool of its own, which is the folder
# `private'.
in_private() {
	mkdir -p private
	unshare -m sh -c 'mount --bind "$0" /var/spool && eval "$1"' \
	    "$PWD/private" "$1"
}

@test "spools: the queue's name is mistyped" {
	idq init -q calls
	no_queue "$IDQ_SPOOL/cals" cals
	# What it was made with helps.
	idq init -q cals
	idq add -q cals -k a
	is "$(state_of a cals)" new
}

@test "spools: the queue's name differs in case, or in a blank" {
	idq init -q calls
	no_queue "$IDQ_SPOOL/Calls" Calls
	run -64 --separate-stderr idq work -q 'calls ' --drain -- true
	is "$output" ''
	[[ $stderr == "idq: work: -q calls : a queue's name is "* ]]
	run -64 --separate-stderr idq add -q '' -k a
	[[ $stderr == "idq: add: -q : a queue's name is "* ]]
}

@test "spools: the worker forgets -q" {
	idq init -q calls
	idq add -q calls -k a
	run -0 --separate-stderr idq work --drain -- touch ran
	expect 0 '' "idq: work: made the queue $IDQ_SPOOL/default"
	# And again, now that it is there.
	run -0 --separate-stderr idq work --drain -- touch ran
	is "$output" ''
	[[ $stderr == "idq: work: $IDQ_SPOOL/default: no job was ever added"* ]]
	[ ! -e ran ]
}

@test "spools: the worker of a queue without jobs says so once an hour" {
	need faketime
	idq init -q calls
	# A crontab's worker may come a moment before its first add.
	run -0 --separate-stderr idq work -q calls --drain -- true
	expect 0 ''
	for at in +0 +2h; do
		run -0 --separate-stderr at "$at" idq work -q calls --drain -- true
		is "$output" ''
		[[ $stderr == "idq: work: $IDQ_SPOOL/calls: "* ]]
		[[ $stderr != *$'\n'* ]]
		run -0 --separate-stderr at "$at" idq work -q calls --drain -- true
		expect 0 ''
	done
	idq add -q calls -k a
	run -0 --separate-stderr at +4h idq work -q calls --drain -- true
	expect 0 ''
	run -0 --separate-stderr at +8h idq work -q calls --drain -- true
	expect 0 ''
}

@test "spools: a worker that follows a queue without jobs says so at once" {
	idq init -q calls
	spawn idq work -q calls -- true
	wait_for '[ -s spawn.err ]'
	is "$(cat spawn.err)" "idq: work: $IDQ_SPOOL/calls: no job was ever added to this queue"
}

@test "spools: IDQ_SPOOL differs, and the queue has a name" {
	idq init -q calls
	idq add -q calls -k a
	export IDQ_SPOOL=$PWD/other
	no_queue "$PWD/other/calls" calls
}

@test "spools: IDQ_SPOOL differs, and the queue is the default" {
	idq add -k a 2>stderr
	is "$(cat stderr)" "idq: add: made the queue $IDQ_SPOOL/default"
	export IDQ_SPOOL=$PWD/other
	run -66 --separate-stderr idq ls
	expect 66 '' "idq: ls: $PWD/other/default: no such queue; make it with: idq init -q default"
	run -0 --separate-stderr idq work --drain -- touch ran
	expect 0 '' "idq: work: made the queue $PWD/other/default"
	[ ! -e ran ]
	run -0 --separate-stderr idq work --drain -- touch ran
	[[ $stderr == "idq: work: $PWD/other/default: "* ]]
}

@test "spools: IDQ_SPOOL differs for run" {
	idq run -k a -- true 2>stderr
	is "$(cat stderr)" "idq: run: made the queue $IDQ_SPOOL/run"
	export IDQ_SPOOL=$PWD/other
	run -0 --separate-stderr idq run -k a -- echo ran
	expect 0 ran "idq: run: made the queue $PWD/other/run"
}

@test "spools: IDQ_SPOOL with a slash at its end is the same spool" {
	idq init -q calls
	idq add -q calls -k a
	IDQ_SPOOL=$IDQ_SPOOL/ run -0 --separate-stderr idq work -q calls \
	    --drain -- echo ran
	expect 0 ran
}

@test "spools: IDQ_SPOOL is not absolute" {
	for spool in spool ./spool ../spool; do
		for verb in 'add -k a' 'work --drain -- true' ls claim; do
			# shellcheck disable=SC2086
			IDQ_SPOOL=$spool run -64 --separate-stderr idq $verb
			expect 64 '' "idq: ${verb%% *}: -q default: IDQ_SPOOL is not an absolute path"
		done
		IDQ_SPOOL=$spool run -125 --separate-stderr idq run -k a -- true
		is "$output" ''
		[[ $stderr == *'IDQ_SPOOL is not an absolute path' ]]
	done
	is "$(find . -name default -o -name run)" ''
}

@test "spools: producer and worker have no IDQ_SPOOL, and are different users" {
	need_root
	unset IDQ_SPOOL
	run -66 --separate-stderr idq add -q "$name" -k a
	expect 66 '' "idq: add: /var/spool/idq/$name: no such queue; make it with: idq init -q $name"
	run -66 --separate-stderr as_user 1 idq work -q "$name" --drain -- true
	home=$(getent passwd 1 | cut -d: -f6)
	expect 66 '' "idq: work: $home/.local/state/idq/$name: no such queue; make it with: idq init -q $name"
	run -66 --separate-stderr as_user 65534 idq ls -q "$name"
	home=$(getent passwd 65534 | cut -d: -f6)
	is "$output" ''
	[[ $stderr == "idq: ls: $home/.local/state/idq/$name: no such queue; "* ]]
}

@test "spools: a user without a home is told to set IDQ_SPOOL" {
	need_root
	unset IDQ_SPOOL
	run -64 --separate-stderr as_user 54321 idq add -k a
	is "$output" ''
	[[ $stderr == 'idq: add: '*'set IDQ_SPOOL'* ]]
}

@test "spools: the default queue of another user is not made where it cannot be, with a line" {
	need_root
	unset IDQ_SPOOL
	# This one's home does not exist and cannot be made.
	[ "$(getent passwd 65534 | cut -d: -f6)" = /nonexistent ] ||
	    skip 'nobody has a home here'
	for verb in 'add -k a' 'work --drain'; do
		# shellcheck disable=SC2086
		run -77 --separate-stderr as_user 65534 idq $verb
		is "$output" ''
		[[ $stderr == "idq: ${verb%% *}: /nonexistent"* ]]
	done
}

@test "spools: root's spool is /var/spool/idq, in crontabs and shells alike" {
	need_root
	unset IDQ_SPOOL
	# Asked for here, since a skip is none in run.
	unshare -m true || skip 'no mount namespaces here'
	run -0 --separate-stderr in_private 'idq add -k a; idq init -q calls
	    env -i PATH="$PATH" HOME=/nowhere idq work --drain -- echo ran
	    env HOME="$PWD" XDG_STATE_HOME="$PWD/state" idq ls -s done | cut -f8'
	expect 0 $'ran\na' 'idq: add: made the queue /var/spool/idq/default'
	[ -e private/idq/default/format ]
	[ -e private/idq/calls/format ]
	[ ! -e state ]
}

@test "spools: HOME and XDG_STATE_HOME change nothing" {
	need_root
	unset IDQ_SPOOL
	mkdir home
	for env in HOME=/nowhere HOME= "HOME=$PWD/home" "XDG_STATE_HOME=$PWD/home" \
	    LOGNAME=root USER=root; do
		run -66 --separate-stderr env "$env" "$IDQ" add -q "$name" -k a
		expect 66 '' "idq: add: /var/spool/idq/$name: no such queue; make it with: idq init -q $name"
		run -66 --separate-stderr as_user 1 env "$env" idq add \
		    -q "$name" -k a
		home=$(getent passwd 1 | cut -d: -f6)
		expect 66 '' "idq: add: $home/.local/state/idq/$name: no such queue; make it with: idq init -q $name"
	done
	is "$(find home -mindepth 1)" ''
	# With IDQ_SPOOL it is the same.
	export IDQ_SPOOL=$PWD/spool
	HOME=$PWD/home idq add -k a 2>stderr
	run -0 --separate-stderr env -u HOME XDG_STATE_HOME="$PWD/home" \
	    "$IDQ" work --drain -- echo ran
	expect 0 ran
}

@test "spools: the queue belongs to another user" {
	local verb status

	need_root
	mkdir theirs
	chown 65534:65534 theirs
	export IDQ_SPOOL=$PWD/theirs
	as_user 65534 idq init -q calls
	as_user 65534 idq add -q calls -k a
	before=$(find theirs -printf '%P %i %s %U\n' | sort)
	for verb in 'add -k b' 'work --drain -- touch ran' claim 'cancel a' \
	    'run -k b -- touch ran' 'forget a' 'retry a' purge fsck \
	    'config keep 1d' init "ack $(hash_of a).0123456789abcdef.1"; do
		status=77
		[ "${verb%% *}" != run ] || status=125
		# Root, and one who is neither.
		for uid in 0 1; do
			# shellcheck disable=SC2086
			run "-$status" --separate-stderr as_user $uid \
			    idq -q calls $verb
			expect "$status" '' "idq: ${verb%% *}: $PWD/theirs/calls: belongs to nobody; use: sudo -u nobody idq ${verb%% *} ..."
		done
	done
	[ ! -e ran ]
	is "$(find theirs -printf '%P %i %s %U\n' | sort)" "$before"
	# Its owner is not disturbed.
	run -0 --separate-stderr as_user 65534 idq work -q calls --drain -- echo ran
	expect 0 ran
}

@test "spools: the queue belongs to root" {
	local verb status

	need_root
	idq init -q calls
	idq add -q calls -k a
	for verb in 'add -k b' 'work --drain -- true' claim ls 'show a' log; do
		# shellcheck disable=SC2086
		run -77 --separate-stderr as_user 65534 idq -q calls $verb
		expect 77 '' "idq: ${verb%% *}: $IDQ_SPOOL/calls: belongs to root; use: sudo -u root idq ${verb%% *} ..."
	done
	run -125 --separate-stderr as_user 65534 idq run -q calls -k b -- true
	[[ $stderr == "idq: run: $IDQ_SPOOL/calls: "* ]]
	is "$(state_of a calls)" new
}

@test "spools: the spool itself belongs to another user" {
	need_root
	mkdir theirs
	chmod 755 theirs
	run -77 --separate-stderr as_user 65534 env IDQ_SPOOL="$PWD/theirs" \
	    idq add -k a
	is "$output" ''
	[[ $stderr == "idq: add: $PWD/theirs/default: "* ]]
	is "$(find theirs -mindepth 1)" ''
}

@test "spools: root may look, and is told whose it is when it would write" {
	need_root
	mkdir theirs
	chown 65534:65534 theirs
	export IDQ_SPOOL=$PWD/theirs
	as_user 65534 idq init
	as_user 65534 idq add -k a
	for verb in ls log 'show a' 'cat a' config 'config keep' 'fsck -n' \
	    'purge -n'; do
		# shellcheck disable=SC2086
		run -0 --separate-stderr idq $verb
		is "$stderr" ''
	done
	# The default queue is not made anew for root beside it.
	run -77 --separate-stderr idq add -k b
	[[ $stderr == *'sudo -u nobody idq add'* ]]
	is "$(find theirs ! -uid 65534)" ''
}

@test "spools: a queue of another user is refused for run before anything runs" {
	need_root
	mkdir theirs
	chown 65534:65534 theirs
	export IDQ_SPOOL=$PWD/theirs
	as_user 65534 idq run -k a -- true 2>stderr
	run -125 --separate-stderr idq run -k a -- touch ran
	expect 125 '' "idq: run: $PWD/theirs/run: belongs to nobody; use: sudo -u nobody idq run ..."
	[ ! -e ran ]
}

@test "spools: a queue that others may write to is refused" {
	idq init -q calls
	chmod o+w "$(queue_path calls)"
	for verb in 'add -k a' 'work --drain -- true' ls; do
		# shellcheck disable=SC2086
		run -77 --separate-stderr idq -q calls $verb
		expect 77 '' "idq: ${verb%% *}: $IDQ_SPOOL/calls: is writable by everybody"
	done
	chmod o-w,g+w "$(queue_path calls)"
	run -77 --separate-stderr idq add -q calls -k a
	is "$output" ''
	[[ $stderr == "idq: add: $IDQ_SPOOL/calls: is writable by its group, "* ]]
}

@test "spools: a relative path, and another directory" {
	mkdir producer worker
	idq init -q "$PWD/producer/calls"
	(cd producer && idq add -q ./calls -k a)
	cd worker
	for path in ./calls calls/ ../calls; do
		full=$PWD/$path
		run -66 --separate-stderr idq work -q "$path" --drain -- touch ran
		is "$output" ''
		[[ $stderr == "idq: work: ${full%/}: no such queue; make it with: idq init -q ${full%/}" ]]
		[ ! -e ran ]
	done
	# The command in the message can be copied.
	run -0 --separate-stderr idq work -q ../producer/calls --drain -- echo ran
	expect 0 ran
}

@test "spools: a name is no path, whatever the directory" {
	# A folder called like the queue lies here; the spool counts.
	idq init -q ./calls
	run -66 --separate-stderr idq add -q calls -k a
	expect 66 '' "idq: add: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
}

@test "spools: a command of a job finds the queue that it came from" {
	idq init -q calls
	idq add -q calls -k a
	mkdir elsewhere
	cd elsewhere
	run -0 --separate-stderr idq work -q calls --drain -- sh -c '
		cd / && unset IDQ_SPOOL
		[ "$IDQ_KEY" = b ] || idq add -q "$IDQ_QUEUE" -k b
		echo "$IDQ_KEY"'
	expect 0 $'a\nb'
	is "$(state_of b calls)" 'done'
}

@test "spools: the spool is a file, or not to be looked into" {
	echo file >spool
	run -73 --separate-stderr idq add -k a
	is "$output" ''
	[[ $stderr == "idq: add: $IDQ_SPOOL"* ]]
	is "$(cat spool)" file
	need_root
	mkdir -m 700 closed
	run -77 --separate-stderr as_user 65534 \
	    env IDQ_SPOOL="$PWD/closed" idq ls -q calls
	is "$output" ''
	[[ $stderr == "idq: ls: $PWD/closed/calls: "* ]]
}

@test "spools: a directory that is no queue is not one" {
	mkdir -p "$IDQ_SPOOL/calls"
	run -66 --separate-stderr idq add -q calls -k a
	expect 66 '' "idq: add: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	is "$(find "$IDQ_SPOOL/calls" -mindepth 1)" ''
}

@test "spools: nobody works, and the producer says so with the full path" {
	need faketime
	idq init -q calls
	idq add -q calls -k a
	# The worker has another spool.
	IDQ_SPOOL=$PWD/other idq work --drain -- true 2>stderr
	run -0 --separate-stderr at +20m idq add -q calls -k a
	expect 0 ''
	run -0 --separate-stderr at +40m idq add -q calls -k a
	expect 0 '' "idq: add: $IDQ_SPOOL/calls: stalled: 1 pending, oldest 40m, last worker seen never"
	run -0 --separate-stderr at +45m idq add -q calls -k a
	expect 0 ''
}
