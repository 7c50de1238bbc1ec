#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# stats: every figure, as lines, JSON, by group, and for Prometheus.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	mounted=
	idq init
	queue=$(queue_path)
}

teardown() {
	common_teardown
	if [ -n "${mounted-}" ]; then
		umount "$mounted"
	fi
}

# one_of_each: a job in each state.
one_of_each() {
	idq add -k 'done'
	idq work --drain -- true
	idq add -k failed
	idq work --drain -- sh -c 'exit 100' 2>>stderr
	idq add -k cancelled
	idq cancel cancelled
	idq add -k expired --not-after @1
	idq add -k held --on-crash hold
	idq work --drain -- sh -c 'kill -KILL $$' 2>>stderr
	idq add -k running
	idq claim >token
	idq add -k pending
	idq add -k waiting --in 1h
}

# figure NAME [COMMAND...]: its value, by default of `idq stats'.
figure() {
	local name=$1

	shift
	[ $# -gt 0 ] || set -- idq stats
	"$@" | awk -F '\t' -v name="$name" '$1 == name { print $2 }'
}

# around N VALUE: it is N or, since time goes on, up to 20 more.
around() {
	if [ "$2" -lt "$1" ] || [ "$2" -gt $(($1 + 20)) ]; then
		echo "is: $2, expected about $1"
		return 1
	fi
}

@test "stats: an empty queue is all zeros" {
	run -0 --separate-stderr idq stats
	expect 0 "$(printf '%s\n' 'pending 0' 'waiting 0' 'running 0' \
	    'held 0' 'failed 0' 'done 0' 'cancelled 0' 'expired 0' \
	    'oldest-pending -' 'oldest-running -' 'oldest-held -' \
	    'oldest-failed -' 'next-due -' 'last-start -' 'last-finish -' \
	    'last-worker -' 'adds-1m 0' 'adds-1h 0' 'adds-1d 0' \
	    'starts-1m 0' 'starts-1h 0' 'starts-1d 0' 'finishes-1m 0' \
	    'finishes-1h 0' 'finishes-1d 0' 'failures-1m 0' \
	    'failures-1h 0' 'failures-1d 0' 'duplicates 0' 'paused -' |
	    tr ' ' '\t')"
}

@test "stats: counts the jobs in each state" {
	one_of_each
	idq stats >figures
	for state in pending waiting running held failed 'done' cancelled \
	    expired; do
		is "$state $(figure "$state" cat figures)" "$state 1"
	done
	idq add -k more
	idq add -k later --in 1h
	is "$(figure pending)" 2
	is "$(figure waiting)" 2
}

@test "stats: a million jobs could be counted, since none is opened" {
	local due=20200101T000000.000000Z id=0123456789abcdef

	echo junk >"$queue/new/$due.$(hash_of a).$id"
	mkdir "$queue/wait/21200101T0000"
	echo junk >"$queue/wait/21200101T0000/2120${due#2020}.$(hash_of b).$id"
	run -0 --separate-stderr idq stats
	is "$stderr" ''
	is "$(figure pending)" 1
	is "$(figure waiting)" 1
	is "$(figure next-due)" 2120-01-01T00:00:00.000000Z
	# By group each is opened.
	run -0 --separate-stderr idq stats --by group
	is "$output" ''
	is "$(grep -c 'is not whole; left alone' <<<"$stderr")" 2
}

@test "stats: a job parked behind its group is pending" {
	idq add -k a -g +45
	idq add -k b -g +45
	is "$(state_of b)" paced
	is "$(figure pending)" 2
	run -0 --separate-stderr idq stats --by group
	is "$(cut -f1,7 <<<"$output")" '2	+45'
}

@test "stats: ages grow, from the due time, the start, or the end" {
	need faketime
	one_of_each
	run -0 --separate-stderr at +3h idq stats
	is "$stderr" ''
	# The waiting one has been due for two hours.
	is "$(figure pending cat <<<"$output")" 2
	is "$(figure waiting cat <<<"$output")" 0
	for state in pending running held failed; do
		around 10800 "$(figure oldest-$state cat <<<"$output")"
	done
	idq add -k old --at "@$(($(date +%s) - 86400))"
	around 86400 "$(figure oldest-pending)"
}

@test "stats: the next due time is that of the first waiting job" {
	idq add -k b --at 2126-01-02T03:04:05Z
	idq add -k a --at 2126-01-02T03:04:04Z
	idq add -k c --at 2127-01-01T00:00:00Z
	is "$(figure next-due)" 2126-01-02T03:04:04.000000Z
}

@test "stats: the last start, finish and worker" {
	idq add -k a
	token=$(idq claim)
	start=$(idq show --field last a | cut -d' ' -f1)
	is "$(figure last-start)" "$start"
	is "$(figure last-finish)" -
	is "$(figure last-worker)" "$(cat "$queue/run/worker")"
	idq ack "$token"
	is "$(figure last-finish)" "$(idq show --field last a | cut -d' ' -f1)"
	is "$(figure last-start)" "$start"
	# The stamps may go at any time; the log has it still.
	rm -r "$queue/run"
	is "$(figure last-start)" "$start"
	is "$(figure last-worker)" -
}

@test "stats: the last finish may be days ago, but not weeks" {
	need faketime
	idq add -k a
	idq work --drain -- true
	finish=$(idq show --field last a | cut -d' ' -f1)
	is "$(figure last-finish at +5d idq stats)" "$finish"
	is "$(figure last-finish at +9d idq stats)" -
}

@test "stats: what happened in the last minute, hour and day" {
	need faketime
	idq add -k a
	idq add -k b
	idq work --drain -- true
	idq add -k c
	idq work --drain -- false
	idq add -k d
	idq work --drain -- sh -c 'exit 100' 2>stderr
	idq add -k e
	idq claim >token
	for span in 1m 1h 1d; do
		is "$(figure adds-$span) $(figure starts-$span)" '5 5'
		is "$(figure finishes-$span) $(figure failures-$span)" '3 2'
	done
	at +30m idq stats >figures
	is "$(figure adds-1m cat figures) $(figure adds-1h cat figures)" '0 5'
	at +20h idq stats >figures
	is "$(figure starts-1h cat figures) $(figure starts-1d cat figures)" '0 5'
	at +25h idq stats >figures
	is "$(figure finishes-1d cat figures) $(figure failures-1d cat figures)" \
	    '0 0'
	# What the future holds did not happen.
	at -2h idq stats >figures
	is "$(figure adds-1d cat figures)" 0
}

@test "stats: an interrupted attempt is a failure, and may be the last" {
	idq add -k a --attempts 1
	spawn idq work --drain -- sh -c 'echo $PPID $$ >pid; exec sleep 60'
	wait_for '[ -s pid ]'
	read -ra pids <pid
	kill -KILL "${pids[@]}"
	wait_for 'idq work --drain -- true; [ "$(state_of a)" = failed ]'
	is "$(figure failures-1m) $(figure finishes-1m)" '1 1'
}

@test "stats: a group or key that looks like a detail is none" {
	idq add -k 'to=failed' -g 'to=failed'
	idq work --drain -- false
	is "$(figure failures-1m) $(figure finishes-1m)" '1 0'
}

@test "stats: torn, overlong and foreign lines of the log do not count" {
	idq add -k a
	log=$(echo "$queue"/log/*)
	line=$(cat "$log")
	{
		head -c 300000 /dev/zero | tr '\0' x
		printf '\n%s\n%s\n%s\n' "$line" "${line:0:27}" 'added'
		printf '%s' "$line"
	} >>"$log"
	is "$(figure adds-1d)" 2
	printf '%s\n' "$line" >"$queue/log/notes"
	printf '%s\n' "$line" >"$queue/log/${line:0:10}.other"
	is "$(figure adds-1d)" 3
}

@test "stats: duplicates are counted, of jobs still known" {
	idq add -k a
	idq add -k b
	for _ in 1 2 3; do
		idq add -k a
	done
	idq add -k b
	is "$(figure duplicates)" 4
	idq cancel a
	idq forget a
	is "$(figure duplicates)" 1
}

@test "stats: a paused queue says since when, by whom and why" {
	echo '2026-11-23T20:00:00.000000Z jo@web1 the phone rings' \
	    >"$queue/paused"
	is "$(figure paused)" \
	    '2026-11-23T20:00:00.000000Z jo@web1 the phone rings'
	need jq
	is "$(idq stats --json | jq -c .paused)" '{"at":"2026-11-23T20:00:00.000000Z","by":"jo@web1","why":"the phone rings"}'
}

@test "stats: --json has the same figures" {
	need jq
	one_of_each
	idq add -k pending
	idq stats --json >json
	is "$(wc -l <json)" 1
	for state in pending waiting running held failed 'done' cancelled \
	    expired; do
		is "$(jq .jobs.$state json)" "$(figure $state)"
	done
	is "$(jq -r .next json)" "$(figure next-due)"
	for last in start finish worker; do
		is "$(jq -r .last.$last json)" "$(figure last-$last)"
	done
	for what in adds starts finishes failures; do
		is "$(jq ".recent[\"1d\"].$what" json)" "$(figure $what-1d)"
	done
	is "$(jq .duplicates json)" 1
	is "$(jq -c '.oldest | map_values(type)' json)" '{"pending":"number","running":"number","held":"number","failed":"number"}'
	is "$(jq -c 'keys_unsorted' json)" \
	    '["jobs","oldest","next","last","recent","duplicates","paused"]'
	idq init -q empty
	is "$(idq stats -q empty --json | jq -c '[.next, .last.start, .oldest.pending, .paused]')" \
	    '[null,null,null,null]'
}

@test "stats: --by group is a line for each group" {
	need faketime jq
	idq add -k a -g +45
	idq add -k b -g +45 --in 1h
	idq add -k c -g +46
	idq add -k d
	idq work --once -- sh -c 'exit 100' 2>stderr
	idq add -k e --at @1700000000 -g +47 --on-crash hold
	idq work --once -- sh -c 'kill -KILL $$' 2>>stderr
	idq claim >token
	run -0 --separate-stderr idq stats --by group
	expect 0 "$(printf '%s\n' '1 0 0 0 0 0 -' '0 1 0 0 1 - +45' \
	    '0 0 1 0 0 - +46' '0 0 0 1 0 - +47' | tr ' ' '\t')"
	run -0 --separate-stderr at +3h idq stats --by group
	is "$(cut -f1,2,7 <<<"$output" | sed -n 2p)" '1	0	+45'
	around 7200 "$(cut -f6 <<<"$output" | sed -n 2p)"
	# At the same moment, however long the first takes.
	now=$(date '+@%Y-%m-%d %H:%M:%S')
	run -0 --separate-stderr at "$now" idq stats --by group --json
	is "$(jq -r '[.pending, .waiting, .running, .held, .failed,
	    .oldest // "-", .group // "-"] | @tsv' <<<"$output")" \
	    "$(at "$now" idq stats --by group)"
	# What is over is not shown, and nothing is nothing.
	idq init -q empty
	run -0 --separate-stderr idq stats -q empty --by group
	expect 0 ''
}

@test "stats: --by group leaves out what it has no room for, and says so" {
	local name

	printf -v name '%0500d' 0
	seq 15000 | sed "s/.*/{\"key\":\"&\",\"group\":\"$name&\"}/" |
	    idq add --batch --json-lines
	run -0 --separate-stderr idq stats --by group
	rows=${#lines[@]}
	[ "$rows" -gt 10000 ]
	[ "$rows" -lt 15000 ]
	expect 0 "$output" "idq: stats: $queue: $((15000 - rows)) jobs of further groups are left out"
}

@test "stats: of more than 1000 failed jobs the oldest is not known" {
	seq 1001 | sed 's/$/\t/' | idq add --batch
	python3 - "$queue" <<-'END'
		import os, sys
		os.chdir(sys.argv[1])
		for name in os.listdir("new"):
		    os.rename("new/" + name, "failed/" + name.split("Z.")[1])
	END
	run -0 --separate-stderr idq stats
	is "$(figure failed cat <<<"$output")" 1001
	is "$(figure oldest-failed cat <<<"$output")" -
}

@test "stats: several queues, and all of the spool" {
	need jq
	idq init -q calls
	idq add -q calls -k a
	run -0 --separate-stderr idq stats -q default -q calls
	is "$(grep pending <<<"$output" | grep -v oldest)" \
	    $'default\tpending\t0\ncalls\tpending\t1'
	is "${#lines[@]}" 60
	run -0 --separate-stderr idq stats --all --json
	is "$(jq -r '[.queue, .jobs.pending] | @tsv' <<<"$output")" \
	    $'calls\t1\ndefault\t0'
	run -0 --separate-stderr idq stats --all --by group
	is "$(cut -f1,2,8 <<<"$output")" $'calls\t1\t-'
	run -0 --separate-stderr idq stats --all --by group --json
	is "$(jq -r .queue <<<"$output")" calls
}

@test "stats: a queue that is not there is 66, and the others are shown" {
	run -66 --separate-stderr idq stats -q nosuch -q default
	is "$(cut -f1 <<<"$output" | sort -u)" default
	is "$stderr" "idq: stats: $IDQ_SPOOL/nosuch: no such queue; make it with: idq init -q nosuch"
	run -64 --separate-stderr idq stats -q .x
	is "$output" ''
	[[ $stderr == 'idq: stats: -q .x: '* ]]
	IDQ_SPOOL=relative run -64 --separate-stderr idq stats
	is "$output" ''
}

@test "stats: wrong usage is 64" {
	run -64 --separate-stderr idq stats --by day
	expect 64 '' "idq: stats: --by: unknown word 'day'; known are group"
	run -64 --separate-stderr idq stats -o x
	expect 64 '' 'idq: stats: -o x: goes with --prometheus'
	run -64 --separate-stderr idq stats --json -o x
	expect 64 '' 'idq: stats: -o x: goes with --prometheus'
	run -64 --separate-stderr idq stats --prometheus --json
	expect 64 '' 'idq: stats: --prometheus: does not go with --json'
	run -64 --separate-stderr idq stats --prometheus --by group
	expect 64 '' 'idq: stats: --prometheus: does not go with --by'
	run -64 --separate-stderr idq stats x
	expect 64 '' 'idq: stats: x: unexpected operand'
	run -64 --separate-stderr idq stats --all -q x
	expect 64 '' 'idq: stats: --all: does not go with -q'
	[ ! -e x ]
}

@test "stats: on a terminal there are columns, durations and local time" {
	need script faketime
	idq add -k a
	idq add -k b --at 2126-01-02T03:04:05Z
	export TZ=XXX-2 LD_PRELOAD
	LD_PRELOAD=$(echo /usr/lib/*/faketime/libfaketime.so.1) \
	    FAKETIME=+400m FAKETIME_DONT_FAKE_MONOTONIC=1 \
	    run terminal 'idq stats'
	[ "$status" -eq 0 ]
	is "$(tr -s ' ' <<<"${lines[0]}")" 'NAME VALUE'
	is "$(grep oldest-pending <<<"$output" | tr -s ' ')" \
	    'oldest-pending 6h40m'
	is "$(grep next-due <<<"$output" | tr -s ' ')" \
	    'next-due 2126-01-02 05:04:05'
}

@test "stats: what is no job is named, and the rest is counted" {
	idq add -k a
	echo junk >"$queue/new/junk"
	ln -s /etc/passwd "$queue/cur/$(hash_of y).0123456789abcdef"
	mkdir "$queue/failed/$(hash_of z).0123456789abcdef"
	run -0 --separate-stderr idq stats
	is "$(figure pending cat <<<"$output")" 1
	is "$(figure oldest-running cat <<<"$output")" -
	for path in new/junk "cur/$(hash_of y).0123456789abcdef" \
	    "failed/$(hash_of z).0123456789abcdef"; do
		is "$(grep -c "^idq: stats: $queue/$path: " <<<"$stderr")" 1
	done
}

@test "stats: looking changes nothing" {
	one_of_each
	before=$(cd "$queue" && find . -printf '%P %i %m %s %T@\n' | sort)
	idq stats >figures
	idq stats --by group >figures
	idq stats --prometheus -o figures
	is "$(cd "$queue" && find . -printf '%P %i %m %s %T@\n' | sort)" \
	    "$before"
}

@test "stats: --prometheus has each metric described once" {
	one_of_each
	idq init -q b
	idq add -q b -k a
	run -0 --separate-stderr idq stats --all --prometheus
	is "$stderr" ''
	grep -Fx 'idq_jobs{queue="default",state="held"} 1' <<<"$output"
	grep -Fx 'idq_jobs{queue="b",state="pending"} 1' <<<"$output"
	grep -Fx 'idq_recent_events{queue="default",event="finished",window="1d"} 2' <<<"$output"
	grep -Fx 'idq_recent_events{queue="default",event="started",window="1h"} 4' <<<"$output"
	grep -Fx 'idq_paused{queue="b"} 0' <<<"$output"
	grep -Fx 'idq_duplicates{queue="b"} 0' <<<"$output"
	is "$(grep '^# TYPE' <<<"$output" | sort | uniq -d)" ''
	is "$(grep -c '^# TYPE' <<<"$output")" "$(grep -v '^#' <<<"$output" |
	    sed 's/{.*//' | sort -u | wc -l)"
	is "$(grep -c '^# HELP' <<<"$output")" \
	    "$(grep -c '^# TYPE' <<<"$output")"
	# The samples of a metric stand together.
	is "$(grep -v '^#' <<<"$output" | sed 's/{.*//' | uniq | sort |
	    uniq -d)" ''
}

@test "stats: --prometheus gives times, those that are known" {
	idq add -k a --at @1700000000
	run -0 --separate-stderr idq stats --prometheus
	grep -Fx 'idq_oldest_pending_timestamp_seconds{queue="default"} 1700000000.000000' <<<"$output"
	grep idq_last_start <<<"$output" | nothing
	idq claim >token
	run -0 --separate-stderr idq stats --prometheus
	grep idq_oldest_pending <<<"$output" | nothing
	time=$(sed -n 's/^idq_last_start_timestamp_seconds{queue="default"} //p' \
	    <<<"$output")
	is "${time%.*}" "$(date -d "$(figure last-start)" +%s)"
}

@test "stats: --prometheus tells of a queue that cannot be read" {
	idq init -q bad
	echo nonsense >"$IDQ_SPOOL/bad/config"
	run -78 --separate-stderr idq stats --all --prometheus -o x.prom
	is "$output" ''
	is "$(wc -l <<<"$stderr")" 1
	is "$(grep '^idq_readable' x.prom)" $'idq_readable{queue="bad"} 0\nidq_readable{queue="default"} 1'
	is "$(grep -c 'queue="bad"' x.prom)" 1
}

@test "stats: promtool has nothing to say about the metrics" {
	need promtool
	one_of_each
	idq init -q calls
	idq add -q calls -k a
	idq add -q calls -k a
	# Names that have to be escaped, and one that is no UTF-8.
	for odd in $'a"b\\c\nd' $'\377'; do
		mkdir "$odd"
		idq init -q "./$odd"
	done
	idq stats --prometheus -q default -q calls -q './a"b\c
d' -q $'./\377' >lines
	is "$(grep -c '^idq_readable' lines)" 4
	run -0 promtool check metrics <lines
	is "$output" ''
	# It would have.
	run ! promtool check metrics < <(sed 's/^# TYPE.*/&x/' lines)
	run ! promtool check metrics < <(grep -v '^# HELP' lines)
}

@test "stats: labels are escaped" {
	mkdir 'a"b\c
d'
	idq init -q "$PWD"/a*
	run -0 --separate-stderr idq stats --prometheus -q "$PWD"/a*
	grep -F 'idq_paused{queue="'"$PWD"'/a\"b\\c\nd"} 0' <<<"$output"
}

@test "stats: -o replaces the file as a whole, for everyone to read" {
	idq add -k a
	umask 077
	for file in x.prom "$PWD/x.prom"; do
		echo old >x.prom
		chmod 600 x.prom
		ln -f x.prom before
		run -0 --separate-stderr idq stats --prometheus -o "$file"
		expect 0 ''
		is "$(stat -c %a x.prom)" 644
		is "$(cat before)" old
		grep -Fx 'idq_jobs{queue="default",state="pending"} 1' x.prom
		idq stats --prometheus | diff - x.prom
		is "$(echo x.prom*)" x.prom
	done
}

@test "stats: where -o cannot be written there is one line, and no trace" {
	run -73 --separate-stderr idq stats --prometheus -o none/x.prom
	expect 73 '' 'idq: stats: -o none/x.prom: No such file or directory'
	mkdir x.prom
	run -74 --separate-stderr idq stats --prometheus -o x.prom
	expect 74 '' 'idq: stats: -o x.prom: Is a directory'
	is "$(echo x.prom*)" x.prom
}

@test "stats: on a full disk the file of -o stays as it was" {
	mount_at full size=16k
	echo old >full/x.prom
	cat /dev/zero >full/rest 2>/dev/null || :
	run -74 --separate-stderr idq stats --prometheus -o full/x.prom
	expect 74 '' 'idq: stats: -o full/x.prom: No space left on device'
	is "$(cat full/x.prom)" old
	is "$(ls full)" $'rest\nx.prom'
}

@test "stats: root may look at the queue of another user" {
	need_root
	mkdir theirs
	chown 65534:65534 theirs
	export IDQ_SPOOL=$PWD/theirs
	as_user 65534 idq init -q calls
	as_user 65534 idq add -q calls -k a
	run -0 --separate-stderr idq stats -q calls
	is "$(figure pending cat <<<"$output")" 1
	is "$stderr" ''
	is "$(find theirs -uid 0)" ''
}

@test "stats: output that nobody gets is an error" {
	[ -e /dev/full ] || skip 'there is no /dev/full'
	for option in '' --json --prometheus; do
		# No option is no word.
		# shellcheck disable=SC2086
		run -74 --separate-stderr sh -c "idq stats $option >/dev/full"
		[[ $stderr == 'idq: stats: standard output: '* ]]
	done
}
