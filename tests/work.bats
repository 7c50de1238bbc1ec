#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# work: which jobs it takes and when, what their command gets, what its end
# means, and how a worker itself is ended.  What becomes of a job when a worker
# is killed is in recovery.bats.

# Each test is a subshell of its own, and some words are for eval or another
# shell later; $spawned_pid, $output and $stderr come from the helpers and bats.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

# A command that says that it runs, and waits for the file `gate'.
blocker='echo "$$ $IDQ_KEY" >>started
n=0
until [ -e gate ] || [ $((n += 1)) -gt 1500 ]; do sleep 0.02; done
echo "$IDQ_KEY" >>ended'

setup() {
	common_setup
	idq init
	queue=$(queue_path)
	: >started
	: >ended
}

teardown() {
	: >gate
	common_teardown
}

# files DIR...: what is in these of the queue.
files() {
	(cd "$queue" && find "$@" -type f)
}

# trail KEY: its lines; for jobs without a payload.
trail() {
	awk 'body && n++ > 0 { print } /^$/ { body = 1 }' "$(key_file "$1")"
}

# events KEY: the trail's events and numbers, one a line.
events() {
	trail "$1" | cut -d' ' -f2,3
}

# microseconds STAMP
microseconds() {
	date -u -d "$1" +%s%6N
}

# between LOW HIGH FROM TO: TO is LOW to HIGH milliseconds after FROM.
between() {
	local ms=$((($(microseconds "$4") - $(microseconds "$3")) / 1000))

	if [ "$ms" -lt "$1" ] || [ "$ms" -gt "$2" ]; then
		echo "$4 is $ms ms after $3, expected $1 to $2"
		return 1
	fi
}

# claimed KEY: the stamp of its last claim.
claimed() {
	trail "$1" | awk '$2 == "claimed" { at = $1 } END { print at }'
}

# follower: a worker that writes the key of each job into `ran',
# and is known to be there.
follower() {
	spawn idq work -- sh -c 'echo "$IDQ_KEY" >>ran'
	worker=$spawned_pid
	idq add -k follower
	wait_for '[ "$(state_of follower)" = "done" ]'
}

# arrived PID: it has taken the signals that were sent to it.
arrived() {
	grep -q '^ShdPnd:.0*$' "/proc/$1/status"
}

# reap PID STATUS: the worker ends with it.
reap() {
	local status=0

	wait "$1" || status=$?
	is "$status" "$2"
}

#
# Which jobs, and in which order.
#

@test "work: --drain runs what is due, the oldest due first, and says nothing" {
	idq add -k third
	idq add -k second --at @1700000000
	idq add -k first --at @1600000000
	idq add -k later --in 1h
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'echo "$IDQ_KEY" >>ran'
	expect 0 ''
	is "$(cat ran)" $'first\nsecond\nthird'
	for key in first second third; do
		is "$(state_of "$key")" 'done'
	done
	is "$(state_of later)" wait
	is "$(files new cur tmp asked run | sort)" $'run/single\nrun/times\nrun/worker'
}

@test "work: --drain with nothing due ends at once" {
	idq add -k later --in 1h
	run -0 --separate-stderr idq work --drain -- touch ran
	expect 0 ''
	[ ! -e ran ]
}

@test "work: --drain runs what its commands add, and waits for no delay" {
	local n

	cat >step <<-'END'
		#!/bin/sh
		echo "$IDQ_KEY" >>ran
		[ "$IDQ_KEY" != 3 ] || exit 1
		exec idq add -q "$IDQ_QUEUE" -k "$((IDQ_KEY + 1))"
	END
	chmod +x step
	idq add -k 1
	run -0 --separate-stderr idq work --drain -- ./step
	expect 0 ''
	is "$(cat ran)" $'1\n2\n3'
	is "$(state_of 1) $(state_of 2) $(state_of 3)" 'done done wait'
	n=$(events 3 | wc -l)
	run -0 --separate-stderr idq work --drain -- ./step
	is "$(events 3 | wc -l)" "$n"
}

@test "work: --drain does not wait for the job of another worker" {
	idq add -k a
	spawn idq work --once -- sh -c "$blocker"
	worker=$spawned_pid
	wait_for '[ -s started ]'
	run -0 --separate-stderr timeout 5 idq work --drain -- touch ran
	expect 0 ''
	[ ! -e ran ]
	is "$(state_of a)" cur
	: >gate
	reap "$worker" 0
	is "$(state_of a)" 'done'
}

@test "work: --once runs one job, the oldest due" {
	idq add -k b
	idq add -k a --at @1600000000
	run -0 --separate-stderr idq work --once -- \
	    sh -c 'echo "$IDQ_KEY" >>ran'
	expect 0 ''
	is "$(cat ran)" a
	is "$(state_of a) $(state_of b)" 'done new'
	idq work --once -- true
	run -0 --separate-stderr idq work --once -- touch third
	expect 0 ''
	[ ! -e third ]
}

@test "work: --once does not try a failed job again" {
	idq add -k a
	run -0 --separate-stderr idq work --once -- \
	    sh -c 'echo x >>ran; exit 1'
	expect 0 ''
	is "$(cat ran)" x
	is "$(state_of a)" wait
}

@test "work: --once and --drain together are wrong usage" {
	run -64 --separate-stderr idq work --once --drain -- true
	is "$output" ''
	[[ $stderr == 'idq: work: --'*': does not go with --'* ]]
}

@test "work: without -j one command runs at a time" {
	for key in a b c; do
		idq add -k "$key"
	done
	idq work --drain -- sh -c 'echo + >>log; sleep 0.02; echo - >>log'
	is "$(tr -d '\n' <log)" '+-+-+-'
}

@test "work: -j N runs up to N commands at once" {
	for key in a b c d; do
		idq add -k "$key"
	done
	spawn idq work -j 3 --drain -- sh -c "$blocker"
	worker=$spawned_pid
	wait_for '[ "$(wc -l <started)" -eq 3 ]'
	is "$(files cur | wc -l) $(state_of d)" '3 new'
	: >gate
	reap "$worker" 0
	is "$(cut -d' ' -f2 started | sort | tr -d '\n')" abcd
	is "$(state_of d)" 'done'
	is "$(files new cur)" ''
	is "$(cat spawn.out spawn.err)" ''
}

@test "work: a slot that is free is filled while other commands run" {
	for key in a b c; do
		idq add -k "$key"
	done
	spawn idq work -j 2 --drain -- sh -c \
	    'if [ "$IDQ_KEY" = a ]; then eval "$0"; fi' "$blocker"
	wait_for '[ "$(state_of c)" = "done" ]'
	is "$(state_of a) $(state_of b)" 'cur done'
}

@test "work: -j is a number from 1 on" {
	for n in 0 -1 x 1.5 '' 99999999999; do
		run -64 --separate-stderr idq work -j "$n" --drain -- true
		is "$output" ''
		[[ $stderr == "idq: work: -j $n: "* ]]
	done
}

@test "work: a command that ended while another job was claimed frees its slot" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	idq add -k a
	idq add -k b
	idq add -k c
	spawn strace -f -qq -o calls -e trace=renameat \
	    -e inject=renameat:delay_enter=500000:when=2 \
	    idq work --drain -j 2 -- sh -c '[ "$IDQ_KEY" != b ] || eval "$0"' \
	    "$blocker"
	wait_for '[ "$(state_of a) $(state_of c)" = "done done" ]'
	is "$(state_of b)" cur
	: >gate
	reap "$spawned_pid" 0
}

@test "work: an option behind the command is not its own" {
	idq add -k a
	run -64 --separate-stderr idq work --drain sh -c 'touch ran'
	expect 64 '' 'idq: work: -c: options go before keys; use --'
	[ ! -e ran ]
	is "$(state_of a)" new
}

@test "work: a file that is no job is named, and the rest is run" {
	local due=20200101T000000.000000Z

	idq add -k a
	echo junk >"$queue/new/$due.$(hash_of x).0123456789abcdef"
	ln -s "$(key_file a)" "$queue/new/$due.$(hash_of y).0123456789abcdef"
	echo foreign >"$queue/new/foreign"
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'echo "$IDQ_KEY" >>ran'
	is "$output" ''
	is "$(cat ran)" a
	[[ $stderr == *"$queue/new/$due.$(hash_of x).0123456789abcdef: "* ]]
	[[ $stderr == *"$queue/new/$due.$(hash_of y).0123456789abcdef: "* ]]
	is "$(cat "$queue/new/foreign")" foreign
	is "$(cat "$queue/new/$due.$(hash_of x).0123456789abcdef")" junk
	[ -L "$queue/new/$due.$(hash_of y).0123456789abcdef" ]
}

@test "work: a job past its deadline is not run" {
	need faketime
	idq add -k a --ttl 1h
	idq add -k b --ttl 3h
	run -0 --separate-stderr at +2h idq work --drain -- \
	    sh -c 'echo "$IDQ_KEY" >>ran'
	expect 0 ''
	is "$(cat ran)" b
	is "$(state_of a)" expired
	is "$(events a)" 'expired 0'
}

@test "work: a job that expires after an attempt has failed, in one line" {
	need faketime
	idq add -k a --ttl 1h
	idq work --drain -- false
	run -0 --separate-stderr at +2h idq work --drain -- touch ran
	[ ! -e ran ]
	is "$(state_of a)" failed
	is "$(field reason "$(trail a | tail -n 1)")" expired
	is "$output" ''
	[[ $stderr == 'idq: work: default: a: failed after 1 attempt ('*')' ]]
}

#
# What the command gets.
#

@test "work: the payload is on standard input, byte for byte" {
	printf 'a\0b\377\n\n2026-11-23T20:35:00.123456Z done 1 exit=0 release=never' \
	    >small
	head -c 300001 /dev/urandom >large
	head -c 65536 /dev/zero >zeros
	: >empty
	for p in small large zeros empty; do
		idq add -k "$p" --payload "$p"
	done
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'cat >"out.$IDQ_KEY"; cat >"again.$IDQ_KEY"'
	expect 0 ''
	for p in small large zeros empty; do
		cmp "$p" "out.$p"
		# At the end there is the end, however often it is asked for.
		is "$(wc -c <"again.$p")" 0
	done
}

@test "work: without a payload standard input is at its end" {
	idq add -k a
	echo 'the worker'\''s' | idq work --drain -- sh -c 'cat >out'
	is "$(wc -c <out)" 0
}

@test "work: a command that reads nothing is done all the same" {
	head -c 300000 /dev/urandom >large
	idq add -k a --payload large
	run -0 --separate-stderr idq work --drain -- true
	expect 0 ''
	is "$(state_of a)" 'done'
}

@test "work: standard input is a file of its own, which nobody can spoil" {
	head -c 100000 /dev/urandom >large
	idq add -k small --payload - <<<hello
	idq add -k large --payload large
	idq work --drain -- sh -c 'echo spoilt >&0; echo spoilt >&64; exit 1' \
	    2>/dev/null || :
	idq retry small large
	idq work --drain -- sh -c 'cat >"out.$IDQ_KEY"'
	is "$(cat out.small)" hello
	cmp large out.large
	idq cat large | cmp large -
	is "$(state_of small) $(state_of large)" 'done done'
}

@test "work: the job's args come behind the command's, without a shell" {
	idq add -k a -- 'two words' '' '*' '$(touch ran)' '; touch ran' \
	    $'new\nline' 'back\slash' --drain $'\033[31m'
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'printf "<%s>\n" "$0" "$@"' 'own $HOME'
	expect 0 '<own $HOME>
<two words>
<>
<*>
<$(touch ran)>
<; touch ran>
<new
line>
<back\slash>
<--drain>
<'$'\033''[31m>'
	[ ! -e ran ]
}

@test "work: standard output and error are the worker's" {
	idq add -k a
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'echo out; echo err >&2'
	expect 0 out err
}

@test "work: without a command the job's args are it" {
	idq add -k a -- sh -c 'echo "$IDQ_KEY $1"; cat' sh 'an arg'
	idq add -k b --payload - -- cat <<<payload
	run -0 --separate-stderr idq work --drain
	expect 0 $'a an arg\npayload'
	is "$(state_of a) $(state_of b)" 'done done'
}

@test "work: without a command a job without args fails for good" {
	idq add -k a
	idq add -k b -- touch ran
	run -0 --separate-stderr idq work --drain
	expect 0 '' \
	    'idq: work: default: a: failed after 1 attempt (no command)'
	is "$(state_of a) $(state_of b)" 'failed done'
	is "$(field reason "$(trail a | tail -n 1)")" no-command
	is "$(field next "$(trail a | tail -n 1)")" ''
	[ -e ran ]
}

@test "work: a job's own command that is not there is a failed attempt" {
	: >plain
	idq add -k a --attempts 2 -- "$PWD/missing"
	idq add -k b --attempts 1 -- "$PWD/plain"
	run -0 --separate-stderr idq work --drain
	is "$output" ''
	is "$(state_of a) $(state_of b)" 'wait failed'
	is "$(field exit "$(trail a | tail -n 1)")" 127
	is "$(field exit "$(trail b | tail -n 1)")" 126
	is "$stderr" \
	    'idq: work: default: b: failed after 1 attempt (exit 126)'
}

@test "work: without a command a shared queue is refused, but for exec yes" {
	idq config shared yes
	chmod -R g+w "$queue"
	idq add -k a -- touch ran
	run -77 --separate-stderr idq work --drain
	is "$output" ''
	[[ $stderr == "idq: work: $queue: "*'exec yes'* ]]
	[ ! -e ran ]
	is "$(state_of a)" new
	idq work --once -- true
	is "$(state_of a)" 'done'
	idq add -k b -- touch ran
	idq config exec yes
	run -0 --separate-stderr idq work --drain
	expect 0 ''
	[ -e ran ]
}

@test "work: the IDQ_ variables name the job" {
	idq add -k call/42 -g +4512345678 -- x
	idq add -k call/42 -- x
	idq add -k call/42 -- x
	id=$(idq show --field id call/42)
	added=$(idq show --field added call/42)
	# What the worker itself was started with does not count.
	run -0 --separate-stderr env IDQ_KEY=old IDQ_TOKEN=old OTHER=kept \
	    "$IDQ" work --drain -- sh -c 'env | grep -E "^(IDQ_|OTHER=)" |
	    grep -v ^IDQ_BUILD= | sort'
	is "$stderr" ''
	h=$(hash_of call/42)
	is "$(grep -v ^IDQ_AGE= <<<"$output")" "IDQ_ADDED_AT=$added
IDQ_ATTEMPT=1
IDQ_DUPS=2
IDQ_GROUP=+4512345678
IDQ_HASH=$h
IDQ_ID=$id
IDQ_KEY=call/42
IDQ_QUEUE=$queue
IDQ_SPOOL=$IDQ_SPOOL
IDQ_TOKEN=$h.$id.1
OTHER=kept"
	grep -qxE 'IDQ_AGE=[0-2]' <<<"$output"
}

@test "work: IDQ_AGE, IDQ_ATTEMPT and IDQ_TOKEN go with the time" {
	need faketime
	idq add -k a
	idq work --drain -- false
	id=$(idq show --field id a)
	run -0 --separate-stderr at +1h idq work --drain -- \
	    sh -c 'echo "$IDQ_ATTEMPT $IDQ_TOKEN $((IDQ_AGE / 10)) ${IDQ_GROUP-unset}"'
	expect 0 "2 $(hash_of a).$id.2 360 "
}

@test "work: IDQ_QUEUE and IDQ_SPOOL are absolute where -q is not" {
	idq init -q ./here
	idq add -q ./here -k a
	run -0 --separate-stderr idq work -q ./here --drain -- \
	    sh -c 'cd / && echo "$IDQ_SPOOL" && idq show -q "$IDQ_QUEUE" --field state a'
	is "$stderr" ''
	[[ ${lines[0]} == "$PWD"* ]]
	is "${lines[1]}" running
}

@test "work: working directory, umask and environment are the worker's" {
	mkdir producer worker
	(cd producer && umask 077 && FROM=producer idq add -k a)
	cd worker
	(
		umask 027
		FROM=worker idq work --drain -- sh -c \
		    'pwd -P; umask; echo "$FROM"; : >made' >../out
	)
	is "$(cat ../out)" "$(pwd -P)"$'\n0027\nworker'
	is "$(stat -c %a made)" 640
	# And those of the queue are still the queue's.
	is "$(find "$queue" -printf '%y %m\n' | sort -u)" $'d 700\nf 600'
}

@test "work: signals are blocked and ignored for the command as for the worker" {
	# The first 28: the C library keeps two of the last ones for itself.  No
	# shell, which would unblock them.
	local look='s/^Sig(Blk|Ign):.*(.{7})$/\1 \2/p'

	idq add -k a
	idq add -k b
	env --ignore-signal=HUP sed -nE "$look" /proc/self/status >expected
	env --ignore-signal=HUP "$IDQ" work --once -- \
	    sed -nE "$look" /proc/self/status >got
	diff expected got
	env --block-signal=USR1 sed -nE "$look" /proc/self/status >expected
	env --block-signal=USR1 "$IDQ" work --once -- \
	    sed -nE "$look" /proc/self/status >got
	diff expected got
}

@test "work: the command's descriptors are 0, 1, 2 and the lock" {
	idq add -k a --payload - <<<payload
	idq add -k b
	cat >clean <<-'END'
		for fd in /proc/self/fd/*; do
			fd=${fd##*/}
			[ "$fd" -le 2 ] || eval "exec $fd>&-"
		done
		exec "$@"
	END
	for key in a b; do
		run -0 --separate-stderr bash clean idq work --once -- \
		    sh -c 'ls /proc/$$/fd; readlink /proc/$$/fd/[6-9]*; :'
		is "$stderr" ''
		is "${#lines[@]}" 5
		is "${lines[0]} ${lines[1]} ${lines[2]}" '0 1 2'
		[ "${lines[3]}" -ge 64 ]
		is "${lines[4]}" \
		    "$queue/cur/$(hash_of "$key").$(idq show --field id "$key")"
	done
}

@test "work: with few descriptors allowed the lock is the last of them" {
	idq add -k a
	run -0 --separate-stderr bash -c 'ulimit -n 40
	    exec idq work --once -- readlink /proc/self/fd/39'
	expect 0 "$queue/cur/$(hash_of a).$(idq show --field id a)"
}

@test "work: the command leads a process group of its own" {
	idq add -k a
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'ps -o pgid= -p $$ | tr -d " "; echo $$'
	is "${lines[0]}" "${lines[1]}"
}

#
# What its end means.
#

@test "work: exit 0 is done" {
	idq add -k a
	idq work --drain -- true
	is "$(events a)" $'claimed 1\ndone 1'
	line=$(trail a | tail -n 1)
	is "$(field exit "$line")" 0
	between 604800000 604800000 "${line%% *}" "$(field release "$line")"
	[ -e "$queue/done/${line:0:10}/$(hash_of a).$(idq show --field id a)" ]
}

@test "work: exit 100 is failed for good, with one line" {
	idq init -q calls
	idq add -q calls -k call/42
	run -0 --separate-stderr idq work -q calls --drain -- sh -c 'exit 100'
	expect 0 '' \
	    'idq: work: calls: call/42: failed after 1 attempt (exit 100)'
	is "$(state_of call/42 calls)" failed
	line=$(idq show -q calls --field last call/42)
	[[ $line == *' failed 1 exit=100 to=failed release='* ]]
	is "$(field next "$line")" ''
	between 2592000000 2592000000 "${line%% *}" "$(field release "$line")"
}

@test "work: exits 75 and 111 are tried later and use no attempt" {
	need faketime
	for code in 75 111; do
		idq add -k "$code" --attempts 1
	done
	for at in +0 +1h +2h; do
		run -0 --separate-stderr at "$at" idq work --drain -- \
		    sh -c 'echo "$IDQ_ATTEMPT" >>attempts; exit "$IDQ_KEY"'
		expect 0 ''
	done
	is "$(tr -d '\n' <attempts)" 111111
	for code in 75 111; do
		is "$(state_of "$code")" wait
		is "$(idq show --field attempts "$code")" 0
		is "$(events "$code" | tr '\n' ' ')" \
		    'claimed 1 later 1 claimed 2 later 2 claimed 3 later 3 '
		line=$(trail "$code" | sed -n 2p)
		is "$(field exit "$line")" "$code"
		between 48000 72000 "${line%% *}" "$(field next "$line")"
	done
}

@test "work: any other exit, and a signal, is a failed attempt" {
	idq add -k exit -- sh -c 'exit 255'
	idq add -k signal -- sh -c 'kill -USR1 $$'
	run -0 --separate-stderr idq work --drain
	expect 0 ''
	is "$(field exit "$(trail exit | tail -n 1)")" 255
	is "$(field signal "$(trail signal | tail -n 1)")" 10
	for key in exit signal; do
		is "$(state_of "$key")" wait
		is "$(idq show --field attempts "$key")" 1
	done
}

@test "work: the delay doubles up to an hour, give or take 20 per cent" {
	local i expected=60000

	need faketime
	idq add -k a --attempts 20
	for i in 1 2 3 4 5 6 7 8; do
		at "+${i}d" idq work --drain -- false
	done
	is "$(events a | grep -c '^failed')" 8
	trail a | grep ' failed ' >failed
	while read -r line; do
		between $((expected * 8 / 10)) $((expected * 12 / 10)) \
		    "${line%% *}" "$(field next "$line")"
		expected=$((expected * 2))
		[ "$expected" -le 3600000 ] || expected=3600000
	done <failed
}

@test "work: jobs that failed together do not return together" {
	printf 'k%s\t\n' {1..20} | idq add --batch
	idq work --drain -- false
	tail -qn 1 "$queue"/keys/*/* |
	    sed 's/^\([^ ]*\).* next=\([^ ]*\).*/\1\n\2/' |
	    date -u -f - +%s%6N | paste - - |
	    awk '{ print $2 - $1 }' | sort -un >delays
	[ "$(head -n 1 delays)" -ge 48000000 ]
	[ "$(tail -n 1 delays)" -le 72000000 ]
	[ "$(wc -l <delays)" -gt 15 ]
	# Not by chance of the clock alone: seconds apart.
	[ $(($(tail -n 1 delays) - $(head -n 1 delays))) -gt 2000000 ]
}

@test "work: the queue's backoff is the first delay" {
	idq config backoff 10m
	idq add -k a
	idq work --drain -- false
	line=$(trail a | tail -n 1)
	between 480000 720000 "${line%% *}" "$(field next "$line")"
}

@test "work: a job waits in the folder of its next try's minute" {
	local due

	idq add -k a
	idq work --drain -- false
	due=$(field next "$(trail a | tail -n 1)" | tr -d ':-')
	[ -e "$queue/wait/${due:0:13}/$due.$(hash_of a).$(idq show --field id a)" ]
}

@test "work: when the attempts are used up the job fails, with one line" {
	need faketime
	idq init -q calls
	idq config -q calls attempts 3
	idq add -q calls -k call/42
	for at in +0 +1d; do
		run -0 --separate-stderr at "$at" idq work -q calls --drain \
		    -- sh -c 'exit 7'
		expect 0 ''
		is "$(state_of call/42 calls)" wait
	done
	run -0 --separate-stderr at +2d idq work -q calls --drain -- \
	    sh -c 'exit 7'
	expect 0 '' \
	    'idq: work: calls: call/42: failed after 3 attempts (exit 7)'
	is "$(state_of call/42 calls)" failed
	run -0 --separate-stderr at +9d idq work -q calls --drain -- touch ran
	expect 0 ''
	[ ! -e ran ]
}

@test "work: a job whose worker was killed at its last attempt fails, with one line" {
	idq add -k a --attempts 1
	spawn idq work -- sh -c "$blocker"
	wait_for '[ -s started ]'
	kill -KILL "$spawned_pid"
	kill -KILL -- "-$(cut -d' ' -f1 started)"
	wait_for 'flock -n "$(key_file a)" true'
	run -0 --separate-stderr idq work --drain -- touch ran
	[ ! -e ran ]
	is "$(state_of a)" failed
	is "$output" ''
	[[ $stderr == 'idq: work: default: a: failed after 1 attempt ('*')' ]]
}

# too_late STATUS [OPTION...]: a worker exits so, the deadline of its job a
# having passed while the payload was copied; the options are for strace.
too_late() {
	need strace
	printf hello | idq add -k a --payload - \
	    --not-after "@$(($(date +%s) + 2))"
	# The leak checker is no friend of strace.
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 \
	    run "-$1" --separate-stderr strace -f -qq -o calls \
	    -e inject=memfd_create:delay_enter=3000000 "${@:2}" \
	    idq work --drain -v -- touch ran
	[ ! -e ran ]
	is "$(trail a | cut -d' ' -f2 | paste -sd' ')" 'claimed expired'
}

@test "work: a deadline that passes while the payload is copied is in time" {
	too_late 0
	[[ $output == expired$'\t'* ]]
	is "$(state_of a)" expired
	# Its key is free again.
	run -0 --separate-stderr idq add -v -k a
	[[ $output == added$'\t'* ]]
}

@test "work: if the end of a job that is too late cannot be synced nothing follows it" {
	too_late 74 -e inject=fsync:error=EIO
	[[ $stderr == *': sync: Input/output error' ]]
	is "$(state_of a)" cur
	is "$(grep -c 'fsync(' calls)" 1
}

@test "work: with on-crash hold a signal holds the job, in one line" {
	idq add -k a --on-crash hold
	run -0 --separate-stderr idq work --drain -- sh -c 'kill -KILL $$'
	is "$output" ''
	[[ $stderr == 'idq: work: default: a: held, '* ]]
	[[ $stderr != *$'\n'* ]]
	is "$(state_of a)" hold
	# An exit is an answer.
	idq add -k b --on-crash hold
	idq work --drain -- false
	is "$(state_of b)" wait
}

@test "work: a command that is not found stops the worker with 127" {
	idq add -k a
	idq add -k b
	run -127 --separate-stderr idq work --drain -j 2 -- \
	    "$PWD/missing" --option
	is "$output" ''
	[[ $stderr == *"$PWD/missing: No such file or directory" ]]
	[[ $stderr != *$'\n'* ]]
	is "$(state_of a) $(state_of b)" 'new new'
	is "$(idq show --field attempts a)" 0
	is "$(events a)" $'claimed 1\nreleased 1'
	run -127 --separate-stderr idq work --once -- no-such-command-in-path
	[[ $stderr == *'no-such-command-in-path: No such file or directory' ]]
	# Following, it stops too.
	run -127 --separate-stderr timeout 10 idq work -- "$PWD/missing"
	# The first real attempt is the first.
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'echo "$IDQ_KEY $IDQ_ATTEMPT"'
	expect 0 $'a 1\nb 1'
}

@test "work: a command that is not executable stops the worker with 126" {
	: >plain
	idq add -k a
	run -126 --separate-stderr idq work --drain -- ./plain
	is "$output" ''
	[[ $stderr == *'./plain: Permission denied' ]]
	is "$(state_of a)" new
	is "$(idq show --field attempts a)" 0
	run -126 --separate-stderr idq work --drain -- "$PWD"
	is "$(state_of a)" new
}

@test "work: a command's daemon does not keep its job from being tried again" {
	idq add -k a
	idq work --drain -- sh -c \
	    'sleep 60 >/dev/null 2>&1 & echo "$!" >daemon; exit 1' 3>&- 4>&-
	kill -0 "$(cat daemon)"
	idq retry a
	run -0 --separate-stderr timeout 10 idq work --drain -- true
	expect 0 ''
	is "$(state_of a)" 'done'
	kill -0 "$(cat daemon)"
	kill -KILL "$(cat daemon)"
}

@test "work: -v prints a line for each finished job" {
	idq add -k 'a key'
	idq add -k bad --attempts 1
	idq add -k good --attempts 1
	run -0 --separate-stderr idq work -v --drain -- \
	    sh -c '[ "$IDQ_KEY" != bad ]'
	expect 0 "done	$(hash_of 'a key')	1	a key
failed	$(hash_of bad)	1	bad
done	$(hash_of good)	1	good" \
	    'idq: work: default: bad: failed after 1 attempt (exit 1)'
}

@test "work: what -v cannot print is a failure, once the jobs have ended" {
	[ -e /dev/full ] || skip 'there is no /dev/full'
	idq add -k a
	idq add -k b
	run -74 --separate-stderr sh -c 'idq work -v --drain -- true >/dev/full'
	[[ $stderr == 'idq: work: standard output: '* ]]
	is "$(state_of a) $(state_of b)" 'done done'
}

@test "work: words that nobody reads any more do not end it" {
	idq add -k bad --attempts 1
	idq add -k good
	{
		rc=0
		idq work --drain -- sh -c 'until [ -e gone ]; do sleep 0.02; done
		    [ "$IDQ_KEY" = good ]' || rc=$?
		echo "$rc" >status
	} 2>&1 >/dev/null | {
		exec 0<&-
		: >gone
	}
	is "$(cat status)" 0
	is "$(state_of bad) $(state_of good)" 'failed done'
}

@test "work: -v says nothing of a job whose file was spoilt meanwhile" {
	idq add -k a
	spawn idq work -v --drain -- sh -c "$blocker"
	worker=$spawned_pid
	wait_for '[ -s started ]'
	echo 'no job' >"$(key_file a)"
	: >gate
	reap "$worker" 0
	is "$(cat spawn.out)" ''
	[[ $(cat spawn.err) == *': the claim was lost' ]]
}

#
# Time limits.
#

@test "work: --timeout ends the command's process group" {
	idq add -k a
	run -0 --separate-stderr idq work --drain --timeout 1s -- \
	    sh -c 'sleep 60 & echo "$$ $!" >pids; wait'
	expect 0 ''
	is "$(state_of a)" wait
	is "$(idq show --field attempts a)" 1
	line=$(trail a | tail -n 1)
	[[ $line == *' failed 1 reason=timeout to=wait next='* ]]
	between 900 4000 "$(claimed a)" "${line%% *}"
	# The words are for gone.
	# shellcheck disable=SC2046
	wait_for "gone $(cat pids)"
}

@test "work: the queue's timeout counts where there is no --timeout" {
	idq config timeout 1s
	idq add -k a --on-crash hold
	run -0 --separate-stderr idq work --drain -- sleep 60
	is "$output" ''
	[[ $stderr == 'idq: work: default: a: held, '*'timeout)' ]]
	is "$(state_of a)" hold
	idq add -k b
	run -0 --separate-stderr idq work --drain --timeout 1m -- sleep 1.2
	expect 0 ''
	is "$(state_of b)" 'done'
}

@test "work: after timeout and grace a stubborn command is killed" {
	idq config grace 1s
	idq add -k a --attempts 1
	run -0 --separate-stderr idq work --drain --timeout 1s -- \
	    sh -c 'exec 2>/dev/null
	    trap "echo term >>told" TERM; while :; do sleep 0.05; done'
	is "$output" ''
	[[ $stderr == 'idq: work: default: a: failed after 1 attempt ('*timeout')' ]]
	is "$(cat told)" term
	between 1900 6000 "$(claimed a)" "$(trail a | tail -n 1 | cut -d' ' -f1)"
}

@test "work: a command that ends well in time after its timeout is done" {
	idq add -k a
	run -0 --separate-stderr idq work --drain --timeout 1s -- \
	    sh -c 'exec 2>/dev/null
	    trap "exit 0" TERM; while :; do sleep 0.05; done'
	expect 0 ''
	is "$(state_of a)" 'done'
}

@test "work: a command that ended while another job was claimed is not late" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	idq add -k a
	idq add -k b
	strace -f -qq -o calls -e trace=renameat \
	    -e inject=renameat:delay_enter=1500000:when=2 \
	    idq work --drain -j 2 --timeout 1s -- \
	    sh -c '[ "$IDQ_KEY" = b ] || exit 75'
	is "$(events a)" $'claimed 1\nlater 1'
	is "$(events b)" $'claimed 1\ndone 1'
}

@test "work: --timeout is a duration" {
	run -64 --separate-stderr idq work --drain --timeout 10 -- true
	is "$output" ''
	[[ $stderr == "idq: work: --timeout 10: "*"'10s'"* ]]
}

#
# The end of a worker.
#

@test "work: a follower with nothing to do ends on SIGTERM, SIGHUP and SIGINT" {
	idq add -k first
	follower
	kill -TERM "$worker"
	reap "$worker" 0
	spawn env --default-signal=HUP "$IDQ" work -- true
	worker=$spawned_pid
	idq add -k between
	wait_for '[ "$(state_of between)" = "done" ]'
	kill -HUP "$worker"
	reap "$worker" 0
	spawn env --default-signal=INT "$IDQ" work -- \
	    sh -c 'echo "$IDQ_KEY" >>ran'
	worker=$spawned_pid
	idq add -k again
	wait_for '[ "$(state_of again)" = "done" ]'
	kill -INT "$worker"
	reap "$worker" 0
	is "$(cat spawn.out spawn.err)" ''
	is "$(cat ran)" $'first\nfollower\nagain'
}

@test "work: on SIGTERM the command is not told before the grace is over" {
	idq add -k a
	idq add -k b
	spawn idq work -j 3 -- sh -c 'trap "echo term >>told" TERM; eval "$0"' \
	    "$blocker"
	worker=$spawned_pid
	wait_for '[ "$(wc -l <started)" -eq 2 ]'
	kill -TERM "$worker"
	wait_for "arrived $worker"
	# What comes now is for another.
	idq add -k c
	idq work --drain -- true
	is "$(state_of a) $(state_of b) $(state_of c)" 'cur cur done'
	: >gate
	reap "$worker" 0
	[ ! -e told ]
	is "$(state_of a) $(state_of b)" 'done done'
	is "$(cut -d' ' -f2 started | sort | tr -d '\n')" ab
	is "$(cat spawn.out spawn.err)" ''
}

@test "work: after the grace the command's process group is ended" {
	idq config grace 1s
	idq add -k a
	spawn idq work -- sh -c 'trap "echo term >>told; exit 1" TERM
	    sleep 60 & echo "$$ $!" >pids; wait'
	worker=$spawned_pid
	wait_for '[ -s pids ]'
	kill -TERM "$worker"
	reap "$worker" 0
	is "$(cat told)" term
	wait_for "gone $(cat pids)"
	is "$(state_of a)" new
	is "$(events a)" $'claimed 1\ninterrupted 1'
	is "$(idq show --field attempts a)" 1
	is "$(cat spawn.out spawn.err)" ''
}

@test "work: a second SIGTERM does not wait for the grace" {
	idq config grace 1m
	idq add -k a
	idq add -k b
	spawn idq work -j 2 -- sh -c "$blocker"
	worker=$spawned_pid
	wait_for '[ "$(wc -l <started)" -eq 2 ]'
	kill -TERM "$worker"
	wait_for "arrived $worker"
	kill -TERM "$worker"
	wait_for "gone $worker" 5
	reap "$worker" 0
	is "$(state_of a) $(state_of b)" 'new new'
	is "$(events a)" $'claimed 1\ninterrupted 1'
	[ ! -s ended ]
}

# deployed [STRACE-OPTION...]: a follower, $worker, that runs the job a and has met
# a command that is gone.
deployed() {
	printf '#!/bin/sh\ntrap "echo term >>told" TERM\n%s\n' "$blocker" >cmd
	chmod +x cmd
	idq add -k a
	if [ $# -gt 0 ]; then
		spawn strace -f -qq -o calls "$@" idq work -j 2 -- ./cmd
	else
		spawn idq work -j 2 -- ./cmd
	fi
	worker=$spawned_pid
	wait_for '[ -s started ]'
	rm cmd
	idq add -k b
	wait_for '[ "$(events b)" = "$(printf "claimed 1\nreleased 1")" ]'
}

@test "work: the first SIGTERM waits for the grace, also of one that ends anyway" {
	idq config grace 1m
	deployed
	kill -TERM "$worker"
	wait_for "arrived $worker"
	: >gate
	reap "$worker" 127
	[ ! -e told ]
	is "$(events a)" $'claimed 1\ndone 1'
}

@test "work: a failed sync is 74 and said, also by one that ends anyway" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	name=$(idq add -k a -v | cut -f2).$(idq show --field id a)
	deployed -P "$queue/cur/$name" -e inject=fsync:error=EIO
	: >gate
	reap "$worker" 74
	grep -q 'cmd: No such file or directory$' spawn.err
	grep -q "cur/$name: sync: Input/output error\$" spawn.err
}

@test "work: a failed sync is 74 also where another queue's gate is closed" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	idq init -q gated
	idq config -q gated gate-age 1h
	idq add -q gated -k old --at @1000000000
	name=$(idq add -k a -v | cut -f2).$(idq show --field id a)
	spawn strace -f -qq -o calls -P "$queue/cur/$name" \
	    -e inject=fsync:error=EIO \
	    idq work -q default -q gated -j 2 -- sh -c "$blocker"
	worker=$spawned_pid
	wait_for '[ -s started ] && grep -q gate-age spawn.err'
	: >gate
	reap "$worker" 74
	grep -q "cur/$name: sync: Input/output error\$" spawn.err
	is "$(state_of old gated)" new
}

@test "work: a command that ignores SIGTERM is killed in the end" {
	idq config grace 1s
	idq add -k a
	spawn idq work -- sh -c 'trap "" TERM; eval "$0"' "$blocker"
	worker=$spawned_pid
	wait_for '[ -s started ]'
	kill -TERM "$worker"
	reap "$worker" 0
	wait_for "gone $(cut -d' ' -f1 started)"
	is "$(state_of a)" new
	is "$(events a)" $'claimed 1\ninterrupted 1'
}

#
# Following.
#

@test "work: a follower wakes at once for an add" {
	follower
	for key in a b c d; do
		idq add -k "$key"
		wait_for "[ \"\$(state_of $key)\" = 'done' ]"
		between 0 1000 "$(idq show --field added "$key")" \
		    "$(claimed "$key")"
	done
}

@test "work: a follower wakes for a waiting job when it is due" {
	follower
	# The one that was the earliest does not decide.
	idq add -k hour --in 1h
	idq add -k two --in 2s
	idq add -k one --in 1s
	wait_for '[ "$(state_of two)" = "done" ]'
	for key in one two; do
		between 0 1000 "$(sed -n 's/^Due: //p' "$(key_file "$key")")" \
		    "$(claimed "$key")"
	done
	is "$(tail -n 2 ran)" $'one\ntwo'
	is "$(state_of hour)" wait
}

@test "work: a follower wakes for the next try of a failed job" {
	idq config backoff 1s
	spawn idq work -- sh -c 'echo x >>ran; [ "$IDQ_ATTEMPT" -eq 2 ]'
	idq add -k a
	wait_for '[ "$(state_of a)" = "done" ]'
	is "$(events a)" $'claimed 1\nfailed 1\nclaimed 2\ndone 2'
	line=$(trail a | sed -n 2p)
	between 800 1200 "${line%% *}" "$(field next "$line")"
	between 0 1000 "$(field next "$line")" "$(claimed a)"
}

@test "work: a follower wakes at once for a retry" {
	idq add -k failed
	idq work --drain -- sh -c 'exit 100' 2>stderr
	idq add -k waiting --in 1h
	follower
	idq retry failed waiting
	wait_for '[ "$(state_of failed) $(state_of waiting)" = "done done" ]'
	for key in failed waiting; do
		between 0 1000 \
		    "$(trail "$key" | awk '$2 == "retried" { print $1 }')" \
		    "$(claimed "$key")"
	done
}

@test "work: a follower outlives what keeps it from looking at the queue" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	idq add -k a
	spawn strace -f -qq -o calls -P wait -e trace=openat \
	    -e inject=openat:error=ENFILE:when=1 idq work -- true
	wait_for '[ "$(state_of a)" = "done" ]' 20
	grep -q 'Too many open files in system$' spawn.err
}

@test "work: a follower wakes at once for a release" {
	idq add -k a
	token=$(idq claim)
	follower
	idq release "$token"
	wait_for '[ "$(state_of a)" = "done" ]'
	between 0 1000 "$(trail a | awk '$2 == "released" { print $1 }')" \
	    "$(claimed a)"
}

@test "work: with --single a second worker does nothing, in silence" {
	idq add -k a
	spawn idq work --single -- sh -c "$blocker"
	worker=$spawned_pid
	wait_for '[ -s started ]'
	idq add -k b
	run -0 --separate-stderr timeout 5 idq work --single --drain -- touch ran
	expect 0 ''
	run -0 --separate-stderr timeout 5 idq work --single -- touch ran
	expect 0 ''
	[ ! -e ran ]
	is "$(state_of b)" new
	# Another queue is another matter.
	idq init -q other
	idq add -q other -k c
	idq work -q other --single --drain -- true
	is "$(state_of c other)" 'done'
	: >gate
	kill -TERM "$worker"
	reap "$worker" 0
	idq work --single --drain -- touch ran
	[ -e ran ]
}

@test "work: --single heeds a worker that was started without it" {
	follower
	run -0 --separate-stderr timeout 5 idq work --single -- touch second
	expect 0 ''
	[ ! -e second ]
}

@test "work: --single is not kept by the command of a killed worker" {
	idq add -k a
	spawn idq work --single -- sh -c "$blocker"
	wait_for '[ -s started ]'
	kill -KILL "$spawned_pid"
	wait "$spawned_pid" || :
	idq add -k b
	run -0 --separate-stderr idq work --single --drain -- touch ran
	expect 0 ''
	[ -e ran ]
	is "$(state_of a) $(state_of b)" 'cur done'
}

@test "work: a lock that cannot be looked at is not looked at for ever" {
	need cc
	cc -D_GNU_SOURCE -shared -fPIC -x c -o blind.so - <<-'END'
		#include <sys/stat.h>
		#include <sys/syscall.h>
		#include <errno.h>
		#include <string.h>
		#include <unistd.h>
		int fstatat(int dir, const char *path, struct stat *st, int flags)
		{
			if (strcmp(path, "run/single") != 0)
				return (int)syscall(SYS_newfstatat, dir, path,
				    st, flags);
			errno = EMFILE;
			return -1;
		}
	END
	export LD_PRELOAD=$PWD/blind.so
	idq add -k a
	run -75 --separate-stderr timeout -k 1 10 idq work --single -- touch ran
	expect 75 '' "idq: work: $queue/run/single: Too many open files"
	[ ! -e ran ]
	run -0 --separate-stderr timeout -k 1 10 idq work --drain -- touch ran
	expect 0 ''
	[ -e ran ]
}

@test "work: two workers with -j 4 never run one job at once" {
	local first

	cat >./command <<-'END'
		#!/bin/sh
		echo "start $IDQ_KEY" >>log
		echo "end $IDQ_KEY" >>log
	END
	chmod +x command
	idq add -k first
	idq work --drain -- true
	spawn idq work -j 4 -- ./command
	first=$spawned_pid
	spawn idq work -j 4 -- ./command
	seq 200 | sed 's/$/\t/' | idq add --batch
	wait_for '[ "$(grep -c ^end log)" -eq 200 ]' 30
	kill -TERM "$first" "$spawned_pid"
	reap "$first" 0
	reap "$spawned_pid" 0
	awk '$1 == "start" { if (++starts[$2] > 1) bad = 1; open[$2]++ }
	    open[$2] > 1 { bad = 1 }
	    $1 == "end" { open[$2]-- }
	    END { for (k in starts) n++; exit bad || n != 200 }' log
	is "$(find "$queue/done" -type f | wc -l)" 201
	# Both had their part in it.
	is "$(cat "$queue"/log/* | grep -o 'pid=[0-9]*' | sort -u | wc -l)" 3
	is "$(cat spawn.out spawn.err)" ''
}

@test "work: --once with -j ends with its one job" {
	idq add -k a
	idq add -k b
	run -0 --separate-stderr timeout 10 idq work --once -j 4 -- true
	expect 0 ''
	is "$(find "$queue/done" -type f | wc -l)" 1
}

@test "work: a file that is no job does not keep a follower awake" {
	idq add -k a
	printf junk >"$queue/new/20260101T000000.000000Z.$(hash_of x).0123456789abcdef"
	spawn idq work -- true
	wait_for '[ "$(state_of a)" = done ]'
	idq add -k b
	wait_for '[ "$(state_of b)" = done ]'
	# It is named when a claim finds it, which is some times and not thousands.
	[ "$(wc -l <spawn.err)" -lt 50 ]
}

@test "work: an ignored SIGCHLD loses no end, and an ignored SIGHUP does not stop it" {
	idq add -k a
	run -0 --separate-stderr timeout 10 sh -c \
	    'trap "" CHLD; exec idq work --drain -- true'
	expect 0 ''
	is "$(state_of a)" 'done'
	spawn sh -c 'trap "" HUP; exec idq work -- true'
	idq add -k b
	wait_for '[ "$(state_of b)" = done ]'
	kill -HUP "$spawned_pid"
	idq add -k c
	wait_for '[ "$(state_of c)" = done ]'
}

@test "work: arguments that are too long for a command fail the job, not the worker" {
	long=$(head -c 100000 /dev/zero | tr '\0' x)
	printf '{"key":"long","args":["%s"%s]}\n' "$long" \
	    "$(for _ in 1 2 3 4 5 6 7 8; do printf ',"%s"' "$long"; done)" >line
	idq add --batch --json-lines <line
	idq add -k short
	# So small a stack leaves no room for them.
	run -0 --separate-stderr bash -c \
	    'ulimit -s 1024; exec idq work --drain -- touch ran'
	is "$(state_of short)" 'done'
	is "$(state_of long)" wait
	is "$(field exit "$(trail long | tail -n 1)")" 126
}

# What strace saw of syncs and renames: each job that went to done/ before its
# file was synced, and how many went there by how many syncing threads.
judge_order() {
	awk '
	/fsync\(/ && match($0, /cur\/[0-9a-f]+\.[0-9a-f]+/) {
		id = substr($0, RSTART, RLENGTH)
		by[$1] = 1
		if (/unfinished/)
			at[$1] = id
		else if (/= 0( |$)/)
			synced[id] = 1
	}
	/fsync resumed.*= 0( |$)/ { synced[at[$1]] = 1 }
	/renameat\(.*"done\// && match($0, /cur\/[0-9a-f]+\.[0-9a-f]+/) {
		id = substr($0, RSTART, RLENGTH)
		moved[id] = 1
		if (!(id in synced))
			print "not synced:", id
	}
	END {
		for (i in by)
			threads++
		for (i in moved)
			n++
		print n, (threads > 1 ? "several" : "one")
	}' "$1"
}

@test "work: every end is synced before its rename, by several threads with -j" {
	need strace
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		idq add -k "$i"
	done
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	strace -f -qq -y -s 256 -o calls -e trace=fsync,renameat \
	    -e inject=fsync:delay_enter=100000 idq work --drain -j 4 -- true
	is "$(judge_order calls)" '12 several'
	idq add -k a
	idq add -k b
	strace -f -qq -y -s 256 -o calls -e trace=fsync,renameat \
	    idq work --drain -- true
	is "$(judge_order calls)" '2 one'
}

@test "work: the next command starts while the ends of others are synced" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	for n in 1 2; do
		for i in 1 2 3 4 5; do
			idq add -k "$n.$i"
		done
		strace -f -qq -o calls -e inject=fsync:delay_enter=2000000 \
		    idq work --drain -j "$n" -- \
		    sh -c 'ls "$IDQ_QUEUE/cur" | wc -l >>"$0"' "seen.$n"
		is "$(wc -l <"seen.$n")" 5
		# More than N are claimed, of which N run.
		[ "$(sort -n "seen.$n" | tail -n 1)" -gt "$n" ]
		is "$(ls "$queue/cur")" ''
	done
}

@test "work: a failed sync of an end is 74, and the ends of others are written" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	for n in 1 2; do
		: >ran
		idq add -k "bad.$n"
		idq add -k "good.$n"
		name=$(echo "$queue/new/"*".$(hash_of "bad.$n")."*)
		name=${name##*Z.}
		run -74 --separate-stderr strace -f -qq -o calls \
		    -P "$queue/cur/$name" -e inject=fsync:error=EIO \
		    idq work --drain -j "$n" -- sh -c 'echo "$IDQ_KEY" >>ran'
		[[ $stderr == *"cur/$name: sync: Input/output error" ]]
		is "$(state_of "bad.$n")" cur
		is "$(trail "bad.$n" | cut -d' ' -f2 | paste -sd' ')" \
		    'claimed done'
		# It was never synced again by that worker.
		is "$(grep -c 'fsync(' calls)" 1
		# The next worker moves it, and the command has run once.
		idq work --drain -- sh -c 'echo "$IDQ_KEY" >>ran'
		is "$(state_of "bad.$n")" 'done'
		is "$(sort ran | paste -sd' ')" "bad.$n good.$n"
	done
}

# private PID: its memory that it shares with nobody, in KiB.
private() {
	awk '/^Private/ { n += $2 } END { print n }' "/proc/$1/smaps_rollup"
}

@test "work: the names that a scan has read do not stay in memory" {
	local scans=0

	! nm "$IDQ" 2>>stderr | grep -q __asan_init ||
	    skip "a sanitizer keeps what is freed"
	idq init
	idq config sync off
	seq 20000 | idq add --batch
	spawn idq work -- true
	while [ "$scans" -lt 3 ]; do
		wait_for '[ -s "$queue/run/next" ]'
		rm -f "$queue/run/next"
		scans=$((scans + 1))
	done
	wait_for '[ -s "$queue/run/next" ]'
	# The scan may be about to end.
	wait_for '[ "$(private "$spawned_pid")" -le 2048 ]' 5
	kill "$spawned_pid"
	wait "$spawned_pid" || :
}
