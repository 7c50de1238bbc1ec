#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# security: who may do what, line by line as in SECURITY of idq(5).  Members
# of a group are users of the test's own, which need no name.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

alice=42101 bob=42102 eve=42103 group=42100

setup() {
	common_setup
	queue=$(queue_path)
}

teardown() {
	: >gate
	[ ! -d mnt ] || umount mnt 2>/dev/null || :
	[ -z "${loop-}" ] || losetup -d "$loop" || :
	common_teardown
}

# as UID GROUP COMMAND...: as that user, whose only other group that is.
as() {
	local uid=$1 other=$2

	shift 2
	# It opens the folders of the test.
	as_user 65534 true
	PATH=$BATS_TEST_TMPDIR/bin:$PATH setpriv --reuid="$uid" \
	    --regid="$uid" --groups="$other" -- "$@"
}

alice() {
	as "$alice" "$group" "$@"
}

bob() {
	as "$bob" "$group" "$@"
}

eve() {
	as "$eve" "$eve" "$@"
}

# shared: a queue of alice's which the group may use, as the default queue.
shared() {
	need_root
	mkdir -p "$IDQ_SPOOL"
	chown "$alice" "$IDQ_SPOOL"
	alice idq init --shared "$group"
}

# usable: each file and folder of the queue is for all members, and no others.
usable() {
	(cd "$queue" && find . \( ! -group "$group" -o -perm /007 -o \
	    -type d ! -perm -2770 -o -type f ! -name config ! -name format \
	    ! -name 'pid.*' ! -perm -660 -o ! -perm -440 \) \
	    -printf '%p %u %g %m\n') | nothing
}

@test "security: of a private queue nobody else reads, adds, or sees a key" {
	need_root
	umask 000
	mkdir -p "$IDQ_SPOOL"
	chown "$alice" "$IDQ_SPOOL"
	alice idq init
	alice idq config output keep
	alice idq add -k secret -g hidden -- arg
	alice idq add -k secret -g hidden -- arg
	alice idq add -k later --in 1h
	alice idq work --drain -- echo printed
	alice idq pause -m why
	alice idq run -k r -- true 2>>stderr
	find "$IDQ_SPOOL"/* \( -perm /077 -o ! -user "$alice" \) | nothing
	for verb in ls 'show secret' 'cat secret' log stats check plan \
	    'add -k x' claim 'work --drain -- true' fsck purge pause resume \
	    config 'config keep 1d' 'cancel secret' init \
	    "init --shared $group" 'wait secret'; do
		# Words of the verb.
		# shellcheck disable=SC2086
		run --separate-stderr bob idq $verb
		[ "$status" -eq 77 ] || [ "${verb%% *}.$status" = check.3 ]
		[[ $output$stderr != *secret* ]] || [[ $verb == *secret* ]]
		[[ $stderr$output == *"belongs to "* ]]
	done
	run -0 --separate-stderr alice idq ls -s all
	is "$(wc -l <<<"$output")" 2
}

@test "security: root looks, and does not write" {
	need_root
	mkdir -p "$IDQ_SPOOL"
	chown "$alice" "$IDQ_SPOOL"
	alice idq init
	alice idq add -k a
	run -0 --separate-stderr idq ls
	run -77 --separate-stderr idq add -k b
	run -77 --separate-stderr idq work --drain -- true
	find "$queue" -user root | nothing
}

@test "security: init --shared sets group and modes, once" {
	shared
	is "$(stat -c '%a %g %u' "$queue")" "3770 $group $alice"
	is "$(stat -c '%a %g' "$queue/config" "$queue/format" "$queue/new" \
	    "$queue/keys/00")" "640 $group
640 $group
2770 $group
2770 $group"
	is "$(cat "$queue/config")" 'shared yes'
	usable
	find "$queue" -printf '%p %i %m %C@\n' | sort >before
	run -0 --separate-stderr alice idq init --shared "$group"
	expect 0 ''
	find "$queue" -printf '%p %i %m %C@\n' | sort | diff before -
}

@test "security: init --shared takes a group's name, and refuses others" {
	need_root
	idq init --shared "$(getent group 65534 | cut -d: -f1)" -q named
	is "$(stat -c %g "$IDQ_SPOOL/named")" 65534
	run -64 --separate-stderr idq init --shared nosuchgroup -q other
	expect 64 '' 'idq: init: --shared nosuchgroup: no such group'
	[ ! -e "$IDQ_SPOOL/other" ]
	chown "$alice" "$IDQ_SPOOL"
	# Of which she is no member.
	run -77 --separate-stderr alice idq init --shared "$eve" -q other
	[ "$(stat -c %a "$IDQ_SPOOL/other")" = 700 ]
}

@test "security: config shared yes opens a queue with jobs, no closes it" {
	need_root
	mkdir -p "$IDQ_SPOOL"
	chown "$alice" "$IDQ_SPOOL"
	alice idq init
	chgrp "$group" "$queue"
	alice idq config output keep
	for key in a b; do
		alice idq add -k "$key" -g g
		alice idq add -k "$key" -g g
		alice idq add -k "$key.later" --in 1h
		alice idq work --drain -- echo x
	done
	alice idq add -k c
	run -77 --separate-stderr bob idq ls
	alice idq config shared yes
	usable
	run -0 --separate-stderr bob idq work --drain -v -- echo y
	is "$(cut -f1,4 <<<"$output")" $'done\tc'
	alice idq config shared no
	# What is bob's by now he keeps, behind a door that is closed.
	find "$queue" -user "$alice" -perm /077 | nothing
	is "$(stat -c %a "$queue")" 700
	run -77 --separate-stderr bob idq ls
}

@test "security: members add and work, whatever their umask; others nothing" {
	local user

	shared
	alice idq config output keep
	alice idq config group-gap 1s
	for user in alice bob; do
		for mask in 077 000; do
			(umask "$mask"
			"$user" idq add -k "$user" -g g -- a
			"$user" idq add -k "$user.$mask" -g g -- a
			"$user" idq add -k "$user.$mask" -g g -- a
			"$user" idq add -k "later.$mask" --in 1h
			"$user" idq add -k "soon.$mask" --in 0s
			"$user" idq add -k "old.$mask" --not-after @1 \
			    2>>stderr
			printf '%s\t1\n' "b1.$mask" "b2.$mask" |
			    "$user" idq add --batch
			"$user" idq work --once -- echo x
			"$user" idq work --drain -- echo x
			"$user" idq work --once -- sh -c 'exit 1'
			"$user" idq pause
			"$user" idq resume
			"$user" idq hold "later.$mask"
			"$user" idq unhold "later.$mask"
			"$user" idq run -q default -k "run.$user$mask" -- true
			"$user" idq fsck)
			usable
			(cd "$queue" && find . -type f) | cut -d/ -f2 >>seen
		done
	done
	is "$(find "$queue" -type f -printf '%u\n' | sort -u | xargs)" \
	    "$alice $bob"
	for dir in wait paced expired dups out groups turn log run 'done'; do
		grep -qx "$dir" seen
	done
	run -0 --separate-stderr bob idq purge --older 0s
	usable
	for verb in ls 'add -k x' 'work --drain -- true' log fsck stats; do
		# shellcheck disable=SC2086
		run -77 --separate-stderr eve idq $verb
		is "$output" ''
	done
}

@test "security: a member goes on where another stopped" {
	shared
	alice idq add -k a -g g
	token=$(umask 077; alice idq claim)
	run -0 --separate-stderr bob idq ack "$token"
	bob idq add -k b
	alice idq cancel b
	alice idq forget b
	bob idq add -k c --in 1h
	alice idq retry c
	(umask 077; bob idq work --drain -- sh -c 'exit 100') 2>>stderr
	alice idq retry c
	run -0 --separate-stderr alice idq work --drain -v -- true
	is "$(cut -f1,4 <<<"$output")" $'done\tc'
	# A worker of bob's that was killed.
	alice idq add -k d
	bob sh -c 'umask 077; idq work --once -- sh -c "kill -9 \$PPID" || :' \
	    >>spawn.out 2>&1
	run -0 --separate-stderr alice idq work --drain -v -- true
	is "$(cut -f1,4 <<<"$output")" $'done\td'
}

@test "security: what a member paused only he, the owner and root resume" {
	shared
	bob idq pause
	run -77 --separate-stderr as 42104 "$group" idq resume
	[ -e "$queue/paused" ]
	alice idq resume
	bob idq pause
	bob idq resume
	bob idq pause
	idq resume
}

@test "security: members cannot choose what runs, unless exec yes" {
	shared
	bob idq add -k a -- touch "$PWD/ran"
	run -77 --separate-stderr alice idq work --drain
	expect 77 '' "idq: work: $queue: is shared, so others could choose the command: give one, or set exec yes"
	chmod 777 .
	alice idq init -q "$PWD/own"
	run -77 --separate-stderr alice idq work -q "$PWD/own" -q "$queue" --drain
	[[ $stderr == "idq: work: $queue: is shared, "* ]]
	[ ! -e ran ]
	alice idq config exec yes
	run -0 --separate-stderr alice idq work --drain
	is "$(stat -c %u ran)" "$alice"
}

@test "security: members cannot change the config" {
	shared
	run -77 --separate-stderr bob idq config exec yes
	expect 77 '' "idq: config: $queue: belongs to another, who alone sets its config"
	for attack in "echo exec yes >>config" "mv config old" "rm config" \
	    "ln -f format config" "mv -T new old" "rmdir hold" \
	    "echo x >format" "mv format old" "rm format" "chmod 777 ." \
	    "echo shared yes >mine; mv -f mine config"; do
		run --separate-stderr bob sh -c "cd $queue && $attack"
		[ "$status" -ne 0 ]
	done
	is "$(cat "$queue/config")" 'shared yes'
	run -0 --separate-stderr alice idq config exec
	expect 0 no
}

@test "security: exec yes that a member could have set does not count" {
	shared
	alice idq config exec yes
	bob idq add -k a -- touch "$PWD/ran"
	chmod 2770 "$queue"
	run -77 --separate-stderr alice idq work --drain
	expect 77 '' "idq: work: $queue: exec yes could be from anybody of its group; as its owner: idq config -q $queue shared yes"
	chmod 3770 "$queue"
	chmod 660 "$queue/config"
	run -77 --separate-stderr alice idq work --drain
	chmod 640 "$queue/config"
	chown "$bob" "$queue/config"
	run -77 --separate-stderr alice idq work --drain
	chown "$alice" "$queue/config"
	alice idq config shared yes
	chmod 777 .
	run -0 --separate-stderr alice idq work --drain
	[ -e ran ]
}

@test "security: a member cannot have another's process ended" {
	local id pid start

	shared
	spawn alice sleep 60
	wait_for 'pgrep -u "$alice" sleep'
	pid=$(pgrep -u "$alice" sleep)
	alice idq add -k a
	# As a worker of hers that was killed would leave it.
	id=$(id_of a)
	spawn alice flock "$(key_file a)" sleep 50
	wait_for '! flock -n "$(key_file a)" true'
	mv "$queue"/new/* "$queue/cur/$(hash_of a).$id"
	echo "2026-01-01T00:00:00.000000Z claimed 1 host=$(uname -n) boot=x pid=1" \
	    >>"$(key_file a)"
	start=$(sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20)
	bob sh -c "echo 4194304 1 $pid $start 0 $(uname -n) $(
	    cat /proc/sys/kernel/random/boot_id) >$queue/run/pid.$id"
	run -75 --separate-stderr alice idq cancel --kill a
	[[ $stderr == *"nobody can tell whose process it is" ]]
	kill -0 "$pid"
	# The same from herself is believed.
	rm "$queue/run/pid.$id"
	alice sh -c "umask 027; echo 4194304 1 $pid $start 0 $(uname -n) $(
	    cat /proc/sys/kernel/random/boot_id) >$queue/run/pid.$id"
	idq config grace 0s
	run --separate-stderr alice idq cancel --kill a
	wait_for 'gone "$pid"'
}

# sound: what is outside the queue is as it was.
sound() {
	"$top/tests/helpers/plant.py" --check "$queue" outside planted
}

# verbs: each verb, once; none hangs, dies by a signal, or sends an escape to
# the terminal.
verbs() {
	local verb

	while read -r verb; do
		# Words of the verb.
		# shellcheck disable=SC2086
		run --separate-stderr timeout -k 1 20 idq $verb </dev/null
		echo "$verb: $status"
		[ "$status" -lt 124 ]
		[[ $output$stderr != *$'\033'* ]]
		[ -z "$stderr" ] || grep -v '^idq: ' <<<"$stderr" | nothing
	done <<-EOF
		ls -s all
		show done
		log
		log --count-by key
		stats
		stats --prometheus
		stats --by group
		check
		plan
		wait --empty --timeout 0s
		add -k one -- arg
		add -k two -g group
		add -k two -g group
		claim
		work --drain -- true
		work --drain -- false
		run -q default -k run -- true
		hold -s pending --yes
		unhold -s held --yes
		cancel -s all --yes
		retry -s failed --yes
		forget -s done --yes
		init
		config
		pause
		resume
		purge
		purge --older 0s
		fsck -n
		fsck
		fsck
		ls -s all
	EOF
}

@test "security: planted things in each directory are left alone" {
	idq init
	idq config output keep
	idq config group-gap 1h
	ended 'done' 0
	idq add -k parked1 -g group
	idq add -k parked2 -g group
	idq work --drain -- true
	idq add -k waiting --in 1h
	"$top/tests/helpers/plant.py" "$queue" outside planted
	[ "$(tr -cd '{[' <planted | wc -c)" -gt 300 ]
	verbs
	sound
	run -1 --separate-stderr idq fsck
	cut -f1 <<<"$output" | grep -v '^left$' | nothing
	is "$(grep -c "$(printf 'left\tnew/')" <<<"$output")" 22
	# The check itself, which finds what is gone or written to.
	rm "$queue"/new/-rf*text*
	run -1 "$top/tests/helpers/plant.py" --check "$queue" outside planted
	[[ $output == *'is now None'* ]]
}

# list_outside: what is there; a job that is the file of its key too may grow.
list_outside() {
	find outside \( -type f -links +1 -printf '%p %i\n' \) -o \
	    -printf '%p %i %s %T@\n' | sort
}

@test "security: in a shared queue no directory is reached by a link" {
	local dir before every

	every='while read -r verb; do
		timeout -k 1 20 idq $verb </dev/null
		echo "status $?"
	done <<-EOF
		add -k c -g g
		add -k w --in 1h
		claim
		work --drain -- echo x
		cancel a
		hold b
		retry b
		pause
		resume
		purge --older 0s
		fsck
		run -q default -k r -- true
		ls -s all
		log
		show --output a
		stats
	EOF'
	shared
	alice idq config output keep
	mkdir -m 777 outside
	for dir in tmp keys new wait paced cur hold failed 'done' cancelled \
	    expired dups turn groups out log asked boot run; do
		rm -rf outside/*
		cp -a "$queue" saved
		alice idq add -k a -g g
		alice idq add -k b -g g
		alice idq add -k w --in 1h
		alice idq add -k w --in 1h
		mv "$queue/$dir" outside
		ln -s "$PWD/outside/$dir" "$queue/$dir"
		before=$(list_outside)
		alice sh -c "$every" >out 2>&1
		is "$(grep -c '^status' out)" 16
		grep -E '^status (124|12[6-9]|1[3-9].)' out | nothing
		is "$(list_outside)" "$before"
		rm -rf "$queue"
		mv saved "$queue"
	done
}

@test "security: the same for the folders that a member makes" {
	local before

	shared
	alice idq add -k a
	alice idq add -k a
	alice idq add -k w --in 1h
	alice idq add -k w --in 1h
	mkdir -m 777 outside
	for dir in "$queue"/keys/?? "$queue"/dups/?? "$queue"/wait/*; do
		[ "$(ls "$dir")" ] || continue
		mkdir -p "outside/${dir#"$queue/"}"
		cp -al "$dir/." "outside/${dir#"$queue/"}"
		rm -r "$dir"
		ln -s "$PWD/outside/${dir#"$queue/"}" "$dir"
	done
	chmod -R a+rwX outside
	before=$(find outside -printf '%p %i %s %n\n' | sort)
	for verb in 'add -k a' 'add -k w --in 1h' 'cancel w' 'hold w' \
	    'work --drain -- true' 'cancel a' 'forget a' 'purge --older 0s' \
	    fsck; do
		# shellcheck disable=SC2086
		run --separate-stderr alice timeout -k 1 20 idq $verb
		is "$(find outside -printf '%p %i %s %n\n' | sort)" "$before"
	done
}

@test "security: a directory that is swapped meanwhile does not lead out" {
	local before

	shared
	mkdir -m 777 outside
	cp -a "$queue/." outside/queue
	for key in $(seq 20); do
		alice idq add -q "$PWD/outside/queue" -k "$key"
		alice idq add -k "$key"
		alice idq add -k "$key"
	done
	before=$(find outside -printf '%p %i %s %T@\n' | sort)
	# As quick as can be, two of them: where is now what?
	cat >swap.py <<-'EOF'
		import ctypes, os, sys
		libc = ctypes.CDLL(None, use_errno=True)
		queue, outside = sys.argv[1], os.path.abspath(sys.argv[2])
		def swap(n):
		    a, b = f"{queue}/{n}".encode(), f"{queue}/{n}.link".encode()
		    if libc.renameat2(-100, a, -100, b, 2) != 0:
		        sys.exit(os.strerror(ctypes.get_errno()))
		names = ["new", "cur", "done", "log", "dups", "run", "tmp"]
		for n in names:
		    os.symlink(f"{outside}/{n}", f"{queue}/{n}.link")
		open("started", "w").close()
		while not os.path.exists("gate"):
		    for n in 2 * names:
		        swap(n)
		open("ended", "w").close()
	EOF
	spawn python3 swap.py "$queue" outside/queue
	wait_for '[ -e started ]'
	alice sh -c 'for i in $(seq 15); do
		for verb in "add -k $i" "add -k x$i" "work --once -- true" \
		    "purge --older 0s" fsck; do
			timeout -k 1 20 idq $verb
			[ $? -lt 124 ] || echo "hung: $verb"
		done
	done' >out 2>&1
	grep hung out | nothing
	: >gate
	wait_for '[ -e ended ]'
	is "$(find outside -printf '%p %i %s %T@\n' | sort)" "$before"
	# Nothing of it is lost.
	alice idq fsck >>spawn.out
	run -0 --separate-stderr alice idq fsck
}

@test "security: a directory on another file system, or a link, is refused" {
	local dir

	need_root
	idq init
	for dir in new keys keys/7f 'done' run; do
		mv "$queue/$dir" saved
		ln -s "$PWD/saved" "$queue/$dir"
		run -73 --separate-stderr idq init
		expect 73 '' "idq: init: $queue/$dir: is a symbolic link; a queue's directories are on one file system, since its jobs move by link and rename"
		rm "$queue/$dir"
		: >"$queue/$dir"
		run -73 --separate-stderr idq init
		[[ $stderr == *'is no directory; '* ]]
		rm "$queue/$dir"
		mv saved "$queue/$dir"
	done
	ln -s "$PWD" "$IDQ_SPOOL/half"
	mkdir half
	mkdir mnt
	mount -t tmpfs none mnt 2>/dev/null || skip "cannot mount a tmpfs"
	mkdir mnt/new half/new
	mount --bind mnt/new half/new
	run -73 --separate-stderr idq init -q "$PWD/half"
	umount half/new
	[[ $stderr == "idq: init: $PWD/half/new: is on another file system; "* ]]
	[ ! -e half/format ]
	run -0 --separate-stderr idq init -q "$PWD/half"
}

@test "security: a file system without hard links is refused" {
	need_root
	linkless
	run -73 --separate-stderr idq init -q "$PWD/mnt/queue"
	[[ $stderr == "idq: init: $PWD/mnt/queue: this file system has no hard links, which a queue needs: "* ]]
	[ ! -e mnt/queue/format ]
	run -73 --separate-stderr idq init --shared 0 -q "$PWD/mnt/queue"
	[ ! -e mnt/queue/format ]
	run -66 --separate-stderr idq add -q "$PWD/mnt/queue" -k a
}

# What a command sees of its descriptors and umask; dash changes its signals.
look='for fd in /proc/$$/fd/*; do
	[ ! -e "$fd" ] || printf "%s " "${fd##*/}"; done; umask'

# started [ARG...]: idq with two descriptors more, SIGPIPE, SIGXFSZ and
# SIGUSR1 ignored, SIGUSR2 blocked and umask 027.
started() {
	python3 - "$@" <<-'EOF'
		import os, signal, sys
		# What this test was itself started with.
		for sig in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP}:
		    signal.signal(sig, signal.SIG_DFL)
		signal.signal(signal.SIGPIPE, signal.SIG_IGN)
		signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
		signal.signal(signal.SIGUSR1, signal.SIG_IGN)
		signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGUSR2})
		os.umask(0o027)
		for fd in range(3, 256):
		    try:
		        os.close(fd)
		    except OSError:
		        pass
		null = os.open("/dev/null", os.O_RDWR)
		os.dup2(null, 5)
		os.dup2(null, 64)
		os.close(null)
		os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
		os.execvp("idq", ["idq"] + sys.argv[1:])
	EOF
}

# signals: those that a line of /proc/PID/status names, of the first 31.
signals() {
	local mask

	mask=$((16#$(sed -n "s/^$1:\t*[0-9a-f]*\([0-9a-f]\{8\}\)\$/\1/p" \
	    <<<"$output") & 0x3fffffff))
	printf '%x\n' "$mask"
}

@test "security: a command of work has a clean table, signals and umask" {
	for kept in inherit keep; do
		idq config output "$kept" 2>>stderr
		idq add -k "$kept"
		run -0 --separate-stderr started work --drain -- sh -c "$look"
		[ "$kept" = inherit ] || output=$(idq show --output keep)
		is "$output" '0 1 2 64 0027'
		idq add -k "status/$kept"
		run -0 --separate-stderr started work --drain -- \
		    cat /proc/self/status
		[ "$kept" = inherit ] || output=$(idq show --output status/keep)
		is "$(signals SigBlk)" 800
		is "$(signals SigIgn)" 200
	done
	# The payload is a file like any other.
	idq config output inherit
	echo payload | idq add -k p --payload -
	run -0 --separate-stderr started work --drain -- sh -c "$look"
	is "$output" '0 1 2 64 0027'
	head -c 200000 /dev/zero | idq add -k large --payload -
	run -0 --separate-stderr started work --drain -- sh -c "$look"
	is "$output" '0 1 2 64 0027'
}

@test "security: a command of run has what idq was started with, and the lock" {
	run -0 --separate-stderr started run -k r -- sh -c "$look"
	is "$output" '0 1 2 5 64 65 0027'
	run -0 --separate-stderr started run -k s -- cat /proc/self/status
	is "$(signals SigBlk)" 800
	is "$(signals SigIgn)" 200
}

@test "security: a reader that is gone ends a command, although a service ignores SIGPIPE" {
	idq add -k a 2>>stderr
	run -0 --separate-stderr started work --drain -- \
	    sh -c '(yes; echo "$?" >status) | head -n 1'
	is "$output" y
	is "$(cat status)" 141
}

@test "security: a key is no path, and no option" {
	idq init
	for key in ../x /etc/passwd . .. 'a/../../b' 'keys/00' '*' '-rf' \
	    --help '$(touch no)' '`touch no`' ';touch no' '%s%n' '~'; do
		idq add -k "$key" -g "$key" -- "$key"
		is "$(idq show --field key -k "$key")" "$key"
		idq add -k "$key" -g "$key" -- "$key"
		is "$(dups "$key")" 1
		idq hold -- "$key"
		idq unhold -k "$key"
	done
	idq config group-max 100
	# Nothing of that is where it was not.
	find "$IDQ_SPOOL" -type f -printf '%P\n' |
	    grep -vE "^default/(config|format|((keys|dups|new|groups|log|boot|run|paced|turn)/[0-9a-zA-Z._/-]*))\$" |
	    nothing
	find . ! -path './sep*' ! -path './spool*' ! -name . | nothing
	run -0 --separate-stderr idq work --drain -- printf '%s\n'
	is "$(wc -l <<<"$output")" 14
	grep -qx -- --help <<<"$output"
	run -64 --separate-stderr idq add -k
	run -0 --separate-stderr idq show --field key -k --help
	expect 0 --help
	run -64 --separate-stderr idq show --help=x
	run -64 --separate-stderr idq forget -rf
	find . ! -path './sep*' ! -path './spool*' ! -name . | nothing
}

@test "security: nothing that others wrote acts on the terminal" {
	local esc=$'\033]0;title\a\033[31m\r\b\x9b31m' verb

	need script
	idq init
	idq config output keep
	run -64 --separate-stderr idq add -k "$esc"
	[[ $stderr != *$'\033'* ]]
	run -64 --separate-stderr idq add -k ok -g "$esc"
	[[ $stderr != *$'\033'* ]]
	run -64 --separate-stderr idq pause -m "$esc"
	[[ $stderr != *$'\033'* ]]
	run -64 --separate-stderr idq config keep "$esc"
	[[ $stderr != *$'\033'* ]]
	printf '%s' "$esc" | idq add -k args --payload - -- "$esc"
	printf '%s' "$esc" | idq add -k args --payload - -- "$esc"
	idq work --drain -- sh -c 'printf "%s\n" "$1" "$1" >&2; exit 1' x \
	    >>spawn.out 2>&1
	# By hand, or by a program that is no friend.
	printf '2026-01-01T00:00:00.000000Z jo@x %s\n' "$esc" >"$queue/paused"
	printf '2026-01-01T00:00:00.000000Z\tadded\t%s.%s.0\t%s\t%s\t%s\n' \
	    "$(hash_of x)" 0123456789abcdef "$esc" "$esc" "$esc" \
	    >"$queue/log/2026-01-01.$esc"
	cp "$queue/log/2026-01-01.$esc" "$queue/log/$(date -u +%F).other"
	printf 'kill %s\n' "$esc" >"$queue/asked/0123456789abcdef"
	: >"$queue/new/$esc"
	while read -r verb; do
		script -qec "timeout 20 idq $verb" /dev/null </dev/null >out ||
		    :
		# Colours and the progress of idq itself are no title.
		! grep -qaE $'\033\\]|\a|\x9b|\033\\[31m.*\b' out ||
		    { echo "$verb"; cat -v out; false; }
	done <<-EOF
		ls -s all
		show args
		show --output args
		log
		log --since @1
		log --count-by key
		log --count-by group
		stats
		stats --by group
		check
		plan
		config
		pause
		add -k args
		work --once -- true
		fsck
		fsck --json
	EOF
	printf 'keep %s\n' "$esc" >"$queue/config"
	for verb in ls config check stats fsck; do
		script -qec "idq $verb" /dev/null </dev/null >out || :
		! grep -qaE $'\033\\]|\a|\x9b' out
		grep -q 'bad value' out
	done
}
