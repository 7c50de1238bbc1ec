#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# purge: what is past its time goes, and nothing else.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	need faketime
	idq init
	queue=$(queue_path)
}

# one_of_each: four finished jobs with a duplicate each, and four unfinished.
one_of_each() {
	ended 'done' 0
	ended failed 100
	idq add -k cancelled
	idq cancel cancelled
	idq add -k expired --not-after @1
	idq add -k held --on-crash hold
	idq work --drain -- sh -c 'kill -KILL $$' 2>>stderr
	idq add -k running
	idq claim --lease 1000d >token
	idq add -k pending
	idq add -k waiting --in 900d
	for key in 'done' failed cancelled; do
		idq add -k "$key" 2>>stderr
	done
	idq add -k expired --not-after @1
}

# keys: those that ls knows, one a line.
keys() {
	idq ls -s all | cut -f8 | sort | tr '\n' ' '
}

# look_alive OFFSET: a line in the log of then, as a queue in use has it.
look_alive() {
	run -65 --separate-stderr at "$1" idq add -k pending -- other
}

# snapshot: all that is on disk.
snapshot() {
	(cd "$queue" && find . -printf '%P %y %i %m %s %T@\n' | sort)
}

@test "purge: nothing goes before its time" {
	one_of_each
	before=$(snapshot | grep -vE '^(log|run)(/| )')
	run -0 --separate-stderr idq purge
	expect 0 ''
	run -0 --separate-stderr at +23h idq purge -v
	expect 0 $'jobs\t0\nlogs\t0'
	is "$(snapshot | grep -vE '^(log|run)(/| )')" "$before"
}

@test "purge: a job goes at its release, with its duplicates and its day" {
	ended a 0
	idq add -k a
	idq add -k pending
	look_alive +6d
	run -0 --separate-stderr at +167h idq purge -v
	expect 0 $'jobs\t0\nlogs\t0'
	is "$(state_of a)" 'done'
	run -0 --separate-stderr at +169h idq purge -v
	expect 0 $'jobs\t1\nlogs\t0'
	is "$(cd "$queue" && find . -name "*$(hash_of a)*")" ''
	is "$(find "$queue/done" "$queue/dups" -type f)" ''
	is "$(find "$queue/done" -mindepth 1)" ''
	is "$(keys)" 'pending '
}

@test "purge: each state has its time, and the unfinished have none" {
	one_of_each
	look_alive +8d
	run -0 --separate-stderr at +8d idq purge -v
	expect 0 $'jobs\t3\nlogs\t0'
	is "$(keys)" 'failed held pending running waiting '
	look_alive +31d
	run -0 --separate-stderr at +31d idq purge -v
	expect 0 $'jobs\t1\nlogs\t0'
	is "$(keys)" 'held pending running waiting '
	look_alive +800d
	run -0 --separate-stderr at +800d idq purge
	expect 0 ''
	is "$(keys)" 'held pending running waiting '
	# And of the others nothing is left.
	is "$(find "$queue/keys" -type f | wc -l)" 4
	is "$(find "$queue/failed" "$queue"/{'done',cancelled,expired} -type f)" ''
}

@test "purge: a job's own keep counts, and forever is forever" {
	idq add -k pending --in 6000d
	idq add -k short --keep 1h
	idq add -k forever --keep forever
	idq work --drain -- true
	run -0 --separate-stderr at +2h idq purge -v
	expect 0 $'jobs\t1\nlogs\t0'
	look_alive +5000d
	run -0 --separate-stderr at +5000d idq purge -v --older 1d
	is "$(state_of forever)" ''
	idq add -k forever --keep forever
	idq work --drain -- true
	look_alive +5000d
	at +5000d idq purge
	is "$(state_of forever)" 'done'
}

@test "purge: what was decided at the end of a job stands, whatever config says" {
	ended a 0
	idq config keep 1h
	run -0 --separate-stderr at +20h idq purge -v
	expect 0 $'jobs\t0\nlogs\t0'
	is "$(state_of a)" 'done'
}

@test "purge: a key is free at its time, purged or not" {
	ended a 0
	run -0 --separate-stderr at +8d idq add -v -k a
	[[ $output == added$'\t'* ]]
	run -0 --separate-stderr at +8d idq purge -v
	expect 0 $'jobs\t0\nlogs\t0'
	is "$(state_of a)" new
}

@test "purge: a clock that is far ahead frees nothing on the first run" {
	ended a 0
	ended b 0
	before=$(snapshot | grep -vE '^(log|run)(/| )')
	run -0 --separate-stderr at +10y idq purge -v
	is "$output" $'jobs\t0\nlogs\t0'
	[[ $stderr == "idq: purge: $queue: 2 jobs "* ]]
	[[ $stderr != *$'\n'* ]]
	is "$(snapshot | grep -vE '^(log|run)(/| )')" "$before"
	# It was believed up to a day past the newest line.
	idq config keep 12h
	ended c 0
	run -0 --separate-stderr at +23h idq purge -v
	expect 0 $'jobs\t1\nlogs\t0'
}

@test "purge: after a run at that time the clock is believed" {
	ended a 0
	run -0 --separate-stderr at +10d idq purge
	[[ $stderr == "idq: purge: $queue: 1 job"* ]]
	is "$(state_of a)" 'done'
	run -0 --separate-stderr at +10d idq purge
	expect 0 ''
	is "$(state_of a)" ''
}

@test "purge: --older counts from the end of the job" {
	one_of_each
	run -0 --separate-stderr at +1h idq purge -v --older 2h
	expect 0 $'jobs\t0\nlogs\t0'
	run -0 --separate-stderr at +3h idq purge -v --older 2h
	expect 0 $'jobs\t4\nlogs\t0'
	is "$(keys)" 'held pending running waiting '
	run -0 --separate-stderr at +3h idq add -v -k 'done'
	[[ $output == added$'\t'* ]]
}

@test "purge: --older is a duration" {
	run -64 --separate-stderr idq purge --older 7
	is "$output" ''
	[[ $stderr == 'idq: purge: --older 7: '*"'7d'"* ||
	    $stderr == 'idq: purge: --older 7: '*"'7s'"* ]]
}

@test "purge: -n removes nothing, and says with -v what it would" {
	one_of_each
	echo x >"$queue/log/2020-01-01.host"
	before=$(snapshot)
	run -0 --separate-stderr at +3h idq purge -n --older 2h
	expect 0 ''
	run -0 --separate-stderr at +3h idq purge --dry-run -v --older 2h
	expect 0 $'jobs\t4\nlogs\t1'
	is "$(snapshot)" "$before"
}

@test "purge: logs go after keep-log" {
	local today

	today=$(date -u +%F)
	for day in 100 91 89 1; do
		echo x >"$queue/log/$(date -u -d "$day days ago" +%F).host"
	done
	idq add -k a
	run -0 --separate-stderr idq purge -v
	expect 0 $'jobs\t0\nlogs\t2'
	is "$(cd "$queue/log" && echo *)" "$(
	    date -u -d '89 days ago' +%F).host $(
	    date -u -d '1 day ago' +%F).host $today.$(hostname)"
	idq config keep-log 10d
	run -0 --separate-stderr idq purge -v
	expect 0 $'jobs\t0\nlogs\t1'
	idq config keep-log forever
	echo x >"$queue/log/2001-01-01.host"
	run -0 --separate-stderr idq purge -v
	expect 0 $'jobs\t0\nlogs\t0'
	[ -e "$queue/log/2001-01-01.host" ]
}

@test "purge: foreign files are left alone" {
	local day

	ended a 0
	day=$(cd "$queue/done" && echo *)
	echo mine >"$queue/log/notes"
	echo mine >"$queue/done/$day/notes"
	mkdir "$queue/done/old"
	echo mine >"$queue/failed/$(hash_of x).0123456789abcdef"
	ln -s /etc/passwd "$queue/failed/$(hash_of y).0123456789abcdef"
	run -0 --separate-stderr at +2h idq purge --older 1h
	is "$output" ''
	for path in "done/$day/notes" "failed/$(hash_of x).0123456789abcdef" \
	    "failed/$(hash_of y).0123456789abcdef" done/old; do
		[[ $stderr == *"idq: purge: $queue/$path: "* ]]
	done
	is "$(state_of a)" ''
	is "$(cat "$queue/log/notes" "$queue/done/$day/notes" \
	    "$queue/failed/$(hash_of x).0123456789abcdef")" $'mine\nmine\nmine'
	[ -L "$queue/failed/$(hash_of y).0123456789abcdef" ]
	[ -d "$queue/done/old" ]
}

@test "purge: what may not be read is named, and the rest goes" {
	local old

	need_root
	ended a 100
	ended b 100
	ended c 0
	ended d 0
	old=done/2026-01-01
	mkdir -m 700 "$queue/$old"
	mv "$queue"/done/*/"$(hash_of c).$(id_of c)" "$queue/$old"
	echo x >"$queue/log/2001-01-01.host"
	chown -R 65534:65534 "$IDQ_SPOOL"
	file=$(cd "$queue" && echo failed/"$(hash_of a)".*)
	chmod 000 "$queue/$file" "$queue/$old"
	run -77 --separate-stderr as_user 65534 idq purge -v --older 0s
	expect 77 $'jobs\t2\nlogs\t1' \
	    "idq: purge: $queue/$file: Permission denied
idq: purge: $queue/$old: Permission denied"
	is "$(state_of a) $(state_of b) $(state_of d)" 'failed  '
	chmod 700 "$queue/$old"
	is "$(state_of c)" 'done'
	# By a filter, which counts first, as well; and it is in the log.
	run -77 --separate-stderr as_user 65534 idq purge --older 0s -s all
	is "$output" ''
	is "$(state_of a) $(state_of c)" 'failed '
	run -0 --separate-stderr as_user 65534 idq log --event purged
	is "$(cut -f4 <<<"$output")" 'jobs=2 logs=1 held=0
jobs=1 logs=0 held=0'
	chmod 600 "$queue/$file"
	run -0 --separate-stderr as_user 65534 idq purge -v --older 0s
	expect 0 $'jobs\t1\nlogs\t0'
}

@test "purge: an I/O error of one file does not keep the others" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	ended a 100
	ended b 0
	file=$(cd "$queue" && echo failed/*)
	run -74 --separate-stderr strace -f -qq -o calls -P "$queue/$file" \
	    -e inject=pread64:error=EIO idq purge -v --older 0s
	expect 74 $'jobs\t1\nlogs\t0' \
	    "idq: purge: $queue/$file: Input/output error"
	is "$(state_of a) $(state_of b)" 'failed '
}

@test "purge: a folder whose sync failed is not synced again, and frees no key" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	ended a 0
	ended b 0
	day=$(cd "$queue" && echo done/*)
	run -74 --separate-stderr strace -f -qq -o calls -P "$queue/$day" \
	    -e inject=fsync:error=EIO:when=1 idq purge -v --older 0s
	expect 74 $'jobs\t0\nlogs\t0' \
	    "idq: purge: $queue/$day: sync: Input/output error"
	is "$(grep -c 'fsync(' calls)" 1
	is "$(find "$queue/keys" -type f | wc -l)" 2
	is "$(find "$queue/done" -type f | wc -l)" 1
}

@test "purge: another that removes the emptied folder does not stop it" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	ended a 0
	day=$(cd "$queue" && echo done/*)
	strace -f -qq -o calls -P "$day" -P "$queue/done" \
	    -e trace=openat,fsync -e inject=openat:error=ENOENT:when=2 \
	    idq purge --older 0s
	grep -q "\"$day\".*ENOENT.*(INJECTED)" calls
	is "$(tail -n 1 calls | sed 's/.*fsync([0-9]*) *= //')" 0
	run -1 idq show a
}

@test "purge: after a failed sync nothing more is removed" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	for verb in forget 'purge --older 0s'; do
		idq init -q "${verb%% *}"
		idq add -q "${verb%% *}" -k a
		idq add -q "${verb%% *}" -k b
		idq work -q "${verb%% *}" --drain -- true
		day=$(echo "$IDQ_SPOOL/${verb%% *}"/done/*)
		# shellcheck disable=SC2086
		run -74 --separate-stderr strace -f -qq -o calls -P "$day" \
		    -e inject=fsync:error=EIO:when=1 \
		    idq $verb -q "${verb%% *}" a b
		is "$stderr" "idq: ${verb%% *}: a: $day: sync: Input/output error
idq: ${verb%% *}: b: left alone: a sync failed before"
		is "$(grep -c 'fsync(' calls)" 1
		run -0 idq show -q "${verb%% *}" b
	done
}

@test "purge: what a killed worker has kept in run goes, a living one's stays" {
	local dead living

	idq add -k a
	spawn idq work -- true
	dead=$spawned_pid
	wait_for '[ -e "$queue/run/spare.$dead.0" ]'
	kill -KILL "$dead"
	wait "$dead" || :
	idq add -k b
	spawn idq work -- true
	living=$spawned_pid
	wait_for '[ -e "$queue/run/spare.$living.0" ]'
	sed "s/ [^ ]* [^ ]* *\$/ elsewhere &/" "$queue/run/spare.$dead.0" \
	    >"$queue/run/spare.$dead.1"
	echo junk >"$queue/run/spare.$dead.2"
	: >"$queue/run/clock.0123456789abcdef"
	: >"$queue/run/clock.fedcba9876543210"
	: >"$queue/run/next.$(hash_of b)"
	: >"$queue/run/next.$(hash_of a).tmp"
	: >"$queue/run/next.tmp"
	touch -d '25 hours ago' "$queue/run/clock.0123456789abcdef" \
	    "$queue/run/next.tmp" "$queue/run/next.$(hash_of a).tmp"
	(cd "$queue/run" && echo *) >before
	idq purge -n
	idq purge --older 1h -s 'done'
	(cd "$queue/run" && echo *) | diff before -
	run -0 --separate-stderr idq purge
	expect 0 ''
	is "$(cd "$queue/run" && echo spare.* clock.* next.*)" \
	    "spare.$dead.1 spare.$dead.2 spare.$living.0 \
clock.fedcba9876543210 next.$(hash_of b)"
	# Of another boot.
	sed -i "s/ [^ ]* *\$/ 8f2c41d0/" "$queue/run/spare.$living.0"
	idq purge
	[ ! -e "$queue/run/spare.$living.0" ]
}

@test "purge: a job goes with what its killed worker has noted of it" {
	local verb

	for verb in 'purge --older 0s' 'forget a' 'add -k a --reuse=failed'; do
		idq add -k a
		: >started
		spawn idq work -- sh -c 'echo $$ >started; exec sleep 60'
		wait_for '[ -s started ]'
		wait_for '[ -e "$queue/run/pid.$(id_of a)" ]'
		kill -KILL "$spawned_pid" "$(cat started)"
		wait_for 'flock -n "$(key_file a)" true'
		idq fail --exit 100 "$(idq claim)"
		is "$(state_of a)" failed
		[ -e "$queue/run/pid.$(id_of a)" ]
		# Words of the verb.
		# shellcheck disable=SC2086
		idq $verb
		find "$queue/run" -name 'pid.*' | nothing
	done
}

@test "purge: an expired job goes without the key that was taken anew" {
	idq add -k a --ttl 1h
	at +2h idq add -k a
	is "$(state_of a)" $'new\nexpired'
	run -0 --separate-stderr at +5h idq purge -v --older 1h
	expect 0 $'jobs\t1\nlogs\t0'
	is "$(state_of a)" new
	[ -e "$(key_file a)" ]
	run -0 --separate-stderr at +5h idq work --drain -- echo ran
	expect 0 ran
}

@test "purge: a job that somebody has locked is left for the next time" {
	ended a 0
	ended b 0
	spawn flock "$(key_file a)" sh -c 'echo $$ >locked; exec sleep 60'
	wait_for '[ -s locked ]'
	run -0 --separate-stderr at +2h idq purge -v --older 1h
	expect 0 $'jobs\t1\nlogs\t0'
	is "$(state_of a) $(state_of b)" 'done '
	kill "$(cat locked)"
	wait_for 'flock -n "$(key_file a)" true'
	at +2h idq purge --older 1h
	is "$(state_of a)" ''
}

@test "purge: a failed try of run goes after keep-failed" {
	idq add -k pending
	run -1 --separate-stderr idq run -q default -k a -- false
	look_alive +29d
	at +29d idq purge
	is "$(state_of a)" failed
	look_alive +31d
	at +31d idq purge
	is "$(state_of a)" ''
	[ ! -e "$(key_file a)" ]
}

@test "purge: the log says it" {
	ended a 0
	at +2h idq purge --older 1h
	run -0 --separate-stderr idq log
	[[ ${lines[-1]} == *Z$'\tpurged\t-\t'*jobs=1* ]]
}

@test "purge: interrupted, what is gone is gone and the rest is whole" {
	local left n=3000

	idq config sync off
	seq "$n" | sed 's/$/\t/' | idq add --batch
	seq "$n" | idq cancel -
	day=$(cd "$queue/cancelled" && echo *)
	# In small steps, so that it is stopped in the middle.
	spawn env --default-signal=INT FAKETIME=+2h \
	    FAKETIME_DONT_FAKE_MONOTONIC=1 \
	    LD_PRELOAD="$(echo /usr/lib/*/faketime/libfaketime.so.1)" \
	    "$IDQ" purge --older 1h
	left=$n
	while [ "$left" -eq "$n" ] && kill -0 "$spawned_pid"; do
		kill -STOP "$spawned_pid"
		left=$(find "$queue/cancelled/$day" -type f | wc -l)
		kill -CONT "$spawned_pid"
	done
	kill -INT "$spawned_pid"
	wait "$spawned_pid" || :
	left=$(find "$queue/cancelled" -type f | wc -l)
	[ "$left" -gt 0 ]
	[ "$left" -lt "$n" ]
	# At most one job has lost its state name and not yet its key.
	[ "$(find "$queue/keys" -type f | wc -l)" -le $((left + 1)) ]
	run idq fsck
	[ "$(wc -l <<<"$output")" -le 1 ]
	run -0 --separate-stderr at +2h idq purge --older 1h
	expect 0 ''
	is "$(find "$queue/keys" "$queue/cancelled" -type f)" ''
}
