#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# log: what happened in a queue, or to some of its jobs.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# events [KEY...]: of the log, on one line.
events() {
	idq log "$@" | cut -f2 | tr '\n' ' '
}

# life: two jobs with all that can happen to them.
life() {
	idq add -k a -g group -- x
	idq add -k a -- x
	run -65 --separate-stderr idq add -k a -- y
	idq fail "$(idq claim)"
	idq retry a
	token=$(idq claim)
	idq renew "$token"
	idq release "$token"
	idq add -k b
	idq work --drain -- true
	idq add -k c
	idq cancel c
	idq forget c
	idq add -k d --not-after @1
}

@test "log: is what is on disk, in order" {
	life
	run -0 --separate-stderr idq log
	expect 0 "$(cat "$queue"/log/*)"
	is "$(cut -f1 <<<"$output")" "$(cut -f1 <<<"$output" | sort)"
	is "$(awk -F '\t' 'NF != 6' <<<"$output")" ''
}

@test "log: each event has its line, with the fields of idq(5)" {
	life
	is "$(events)" "added mismatch claimed failed retried claimed renewed \
released added claimed done claimed done added cancelled forgotten added \
expired "
	h=$(hash_of a).$(id_of a)
	# A trail line and its log line say the same.
	line=$(tail -n 1 "$(key_file a)")
	is "$(idq log a | tail -n 1)" \
	    "${line%% *}	done	$h.3	$(cut -d' ' -f4- <<<"$line")	group	a"
	is "$(idq log a | cut -f2,3,5,6 | head -n 1)" "added	$h.0	group	a"
	is "$(idq log b | cut -f5,6 | sort -u)" "	b"
}

@test "log: a run says that it was added, too" {
	idq run -q default -k a -- true
	is "$(events)" 'added claimed done '
}

@test "log: with keys only their lines, and their duplicates" {
	life
	is "$(events a)" 'added duplicate mismatch claimed failed retried claimed renewed released claimed done '
	is "$(events b)" 'added claimed done '
	is "$(idq log a b | cut -f6 | sort | uniq -c | xargs)" '11 a 3 b'
	run -0 --separate-stderr idq log a b
	is "$(cut -f1 <<<"$output")" "$(cut -f1 <<<"$output" | sort)"
	line=$(grep '	duplicate	' <<<"$output")
	is "$line" \
	    "$(cat "$queue"/dups/*/*)	duplicate	$(hash_of a).$(id_of a).0		group	a"
}

@test "log: duplicates come in where they belong, the late ones last" {
	need faketime
	idq add -k a
	for at in +1h +2h +4h; do
		at "$at" idq add -k a 2>>stderr
	done
	at +3h idq work --drain -- true
	is "$(events a)" 'added duplicate duplicate claimed done duplicate '
}

@test "log: what was forgotten is still told" {
	idq add -k a
	h=$(hash_of a)
	token=$(idq claim)
	idq cancel a
	idq forget a
	for ref in a ":${h:0:8}" "$token"; do
		is "$(events "$ref")" 'added claimed cancelled forgotten '
	done
	# And what it told goes on with the next job of the key.
	idq add -k a
	is "$(events a)" 'added claimed cancelled forgotten added '
}

@test "log: an unknown key is 1, and the others are told" {
	idq add -k a
	run -1 --separate-stderr idq log a unknown
	is "$(cut -f2,6 <<<"$output")" 'added	a'
	is "$stderr" \
	    "idq: log: unknown: no such job in $queue, nor in its log"
}

@test "log: by prefix, token, -k, --per and a list" {
	idq add -k a
	is "$(events ":$(hash_of a | cut -c1-8)")" 'added '
	token=$(idq claim)
	is "$(events "$token")" 'added claimed '
	idq add -k b -k c --per year
	is "$(events -k b -k c --per year)" 'added '
	run -0 --separate-stderr idq log - <<<"a"$'\n'"b/c@$(date +%Y)"
	is "${#lines[@]}" 3
	# A list that names nothing is not all.
	run -0 --separate-stderr idq log - </dev/null
	expect 0 ''
}

@test "log: an ambiguous prefix, and an option behind a key, is 64" {
	idq add -k job/42576
	idq add -k job/159952
	run -64 --separate-stderr idq log :c327688c
	is "$output" ''
	[[ $stderr == 'idq: log: :c327688c: '*several* ]]
	run -64 --separate-stderr idq log job/42576 --json
	expect 64 '' 'idq: log: --json: options go before keys; use --'
}

@test "log: --since a time, or so long ago" {
	need faketime
	at -3h idq add -k a
	at -2h idq add -k b
	at -2h idq add -k a 2>>stderr
	idq add -k c
	since() {
		idq log --since "$1" "${@:2}" | cut -f6 | tr '\n' ' '
	}
	is "$(since 4h)" 'a b c '
	is "$(since 150m)" 'b c '
	is "$(since 1h)" 'c '
	is "$(since "@$(($(date +%s) - 9000))")" 'b c '
	is "$(since "$(date -u -d '150 minutes ago' +%FT%TZ)")" 'b c '
	is "$(since 2001-01-01)" 'a b c '
	# Duplicates count as of their own time.
	is "$(idq log --since 150m a | cut -f2)" duplicate
	run -64 --separate-stderr idq log --since yesterday
	is "$output" ''
	[[ $stderr == 'idq: log: --since yesterday: '* ]]
	run -64 --separate-stderr idq log --since 90
	is "$output" ''
}

@test "log: days and hosts are told in one order" {
	need faketime
	at -2d idq add -k a
	at -1d idq add -k b
	idq add -k d
	file=$(echo "$queue/log/$(date -u -d '1 day ago' +%F)".*)
	# Another host, an hour earlier on the middle day.
	at -25h idq add -k c
	grep '	c$' "$queue"/log/* -h >line
	sed -i '/	c$/d' "$queue"/log/*
	cat line >"$queue/log/$(cut -c1-10 line).another"
	is "$(idq log | cut -f6 | tr '\n' ' ')" 'a c b d '
	[ -s "$file" ]
}

@test "log: --json is an object a line" {
	need jq
	life
	idq purge
	run -0 --separate-stderr idq log --json
	is "$stderr" ''
	is "$(jq -r '[.at, .event, if .hash then .hash + "." + .id + "." +
	    (.n | tostring) else "-" end, .details, .group // "",
	    .key // ""] | join("\t")' <<<"$output")" "$(idq log)"
	is "$(idq log --json a | jq -r 'select(.event == "duplicate") | .key')" a
}

@test "log: on a terminal there are columns, a header and local time" {
	need script
	at -1h idq add -k 'a key' -g group
	idq add -k b
	idq cancel b
	export TZ=XXX-2
	run terminal 'NO_COLOR=1 idq log'
	[ "$status" -eq 0 ]
	is "${#lines[@]}" 4
	is "$(tr -s ' ' <<<"${lines[0]}")" \
	    'WHEN EVENT JOB DETAILS GROUP KEY'
	is "$(tr -s ' ' <<<"${lines[1]}" | cut -d' ' -f3-)" \
	    "added :$(hash_of 'a key' | cut -c1-12) group a key"
	is "${lines[1]:0:13}" "$(TZ=XXX-2 date -d '1 hour ago' '+%F %H')"
	# Stamps within the details are local, too.
	[[ ${lines[3]} == *" release=$(TZ=XXX-2 date -d '7 days' +%F) "* ]]
}

@test "log: a line that a crash has cut off is passed over" {
	idq add -k a
	printf '2026-11-23T20:35:00.123456Z\tadd' >>"$(echo "$queue"/log/*)"
	is "$(events)" 'added '
	printf 'ed\n\nnonsense\n' >>"$(echo "$queue"/log/*)"
	idq add -k b
	is "$(idq log | cut -f6 | tr '\n' ' ')" 'a b '
}

@test "log: what a writer that was killed left takes no other line with it" {
	idq add -k a
	printf '2026-11-23T20:35:00.123456Z\tadd' >>"$(echo "$queue"/log/*)"
	idq add -k b
	idq add -k c
	is "$(idq log | cut -f2,6 | tr '\n' ' ')" 'added	a added	b added	c '
	is "$(grep -c . "$queue"/log/*)" 4
	is "$(grep -c '^$' "$queue"/log/*)" 0
}

@test "log: foreign files are no log" {
	idq add -k a
	echo junk >"$queue/log/notes"
	ln -s /etc/passwd "$queue/log/2026-01-01.link"
	mkdir "$queue/log/2026-01-02.dir"
	run -0 --separate-stderr timeout 10 idq log
	is "$(cut -f2,6 <<<"$output")" 'added	a'
	[[ $stderr == *"$queue/log/2026-01-01.link: "* ]]
	[[ $stderr == *"$queue/log/2026-01-02.dir: "* ]]
}

@test "log: an empty one is nothing, and no error" {
	run -0 --separate-stderr idq log
	expect 0 ''
	rm -r "$queue/log"
	run -0 --separate-stderr idq log
	expect 0 ''
	# The next event makes it again.
	idq add -k a
	is "$(events)" 'added '
}

@test "log: of a queue that cannot be written, and root of another's" {
	need_root
	life
	expected=$(idq log a)
	cp -a "$IDQ_SPOOL" copy
	chown -R 65534:65534 copy
	chmod -R a-w copy
	IDQ_SPOOL=$PWD/copy run -0 --separate-stderr as_user 65534 idq log a
	expect 0 "$expected"
	IDQ_SPOOL=$PWD/copy run -0 --separate-stderr idq log a
	expect 0 "$expected"
}

@test "log: --until a time, or so long ago" {
	need faketime
	at -3h idq add -k a
	at -2h idq add -k b
	at -2h idq add -k a 2>>stderr
	idq add -k c
	until_() {
		idq log --until "$@" | cut -f6 | tr '\n' ' '
	}
	is "$(until_ 4h)" ''
	is "$(until_ 150m)" 'a '
	is "$(until_ 1h)" 'a b '
	is "$(until_ 1h --since 150m)" 'b '
	is "$(until_ 2100-01-01)" 'a b c '
	is "$(until_ "@$(($(date +%s) - 9000))")" 'a '
	# A time of the day is the last one.
	is "$(until_ "$(date -d '1 minute' +%H:%M)")" ''
	# Before it, not at it.
	stamp=$(idq log b | cut -f1)
	is "$(until_ "$stamp")" 'a '
	is "$(until_ "$stamp" --since "$stamp")" ''
	# Duplicates count as of their own time.
	is "$(idq log --until 150m a | cut -f2)" added
}

@test "log: --until before --since, or no time, is 64" {
	run -64 --separate-stderr idq log --since 1h --until 2h
	is "$output" ''
	[[ $stderr == 'idq: log: --until 2h: is 2'*', before --since 1h, which is 2'* ]]
	run -64 --separate-stderr idq log --until yesterday
	is "$output" ''
	[[ $stderr == 'idq: log: --until yesterday: '* ]]
}

@test "log: --event one or several" {
	life
	event() {
		idq log --event "$@" | cut -f2 | tr '\n' ' '
	}
	is "$(event cancelled)" 'cancelled '
	is "$(event 'done,mismatch')" 'mismatch done done '
	is "$(event released,claimed b)" 'claimed '
	is "$(event lost)" ''
	run -64 --separate-stderr idq log --event claims
	expect 64 '' \
	    "idq: log: --event: unknown word 'claims'; did you mean 'claimed'?"
	run -64 --separate-stderr idq log --event claimed,
	is "$output" ''
}

@test "log: --event knows all that is ever written" {
	# Those of the trail, and what the library says by name.
	written=$(sed -n '/^static const char .*events\[EV_N\]/,/^}/s/.*"\(.*\)".*/\1/p' \
	    "$top/lib/trail.c"
	    cat "$top"/lib/*.c | tr -d '\n\t' |
	    grep -oE 'idq_log_write\([^;"]*"[a-z]+"' | cut -d'"' -f2)
	[ "$(sort -u <<<"$written" | wc -l)" -ge 16 ]
	for event in $written; do
		run -0 --separate-stderr idq log --event "$event"
		expect 0 ''
	done
}

@test "log: --event duplicate tells those of all jobs in order" {
	need faketime
	at -1h idq add -k b --not-after @1 2>>stderr
	idq add -k a -g one
	at +1h idq add -k b --not-after @1 2>>stderr
	# Its key is taken anew, but what was is told.
	at +90m idq add -k b
	{
		at +2h idq add -k a
		at +3h idq add -k b
		at +4h idq add -k a
	} 2>>stderr
	run -0 --separate-stderr idq log --event duplicate
	is "$(cut -f2 <<<"$output" | sort -u)" duplicate
	is "$(cut -f6 <<<"$output" | tr '\n' ' ')" 'b a b a '
	is "$(cut -f1 <<<"$output")" "$(cut -f1 <<<"$output" | sort)"
	is "$(cut -f3 <<<"$output" | sed -n 4p)" "$(hash_of a).$(id_of a).0"
	is "$(cut -f5 <<<"$output" | tr '\n' ' ')" ' one  one '
	is "$(idq log --event duplicate --since 2100-01-01)" ''
	is "$(idq log --event duplicate --until "$(date -u -d 'now 150 minutes' \
	    +%FT%TZ)" -g one | cut -f6)" a
	# In the midst of what the log has.
	is "$(idq log --event duplicate,added,expired | cut -f2,6 |
	    tr '\t\n' '= ')" 'added=b expired=b added=a duplicate=b added=b duplicate=a duplicate=b duplicate=a '
	# Without being asked for they are not there.
	is "$(events)" 'added expired added added '
}

@test "log: what a key has is told once, however often it is named" {
	life
	is "$(events a a)" "$(events a)"
	is "$(events a ":$(hash_of a | cut -c1-8)")" "$(events a)"
}

@test "log: -g and --group, of lines and duplicates" {
	life
	is "$(idq log -g group | cut -f6 | sort -u)" a
	is "$(idq log --group group | cut -f2 | head -n 1)" added
	is "$(idq log -g group)" "$(idq log | grep '	group	')"
	is "$(idq log -g groups)" ''
	is "$(idq log -g group --event duplicate | cut -f2,6)" 'duplicate	a'
	is "$(idq log -g group b)" ''
	run -64 --separate-stderr idq log -g ''
	is "$output" ''
}

@test "log: --key is a pattern over the whole key" {
	for key in call/1/x call/2/x 'call/*' mail/1 ü; do
		idq add -k "$key"
	done
	idq purge
	keys() {
		idq log --key "$@" | cut -f6 | tr '\n' ' '
	}
	is "$(keys 'call/*')" 'call/1/x call/2/x call/* '
	is "$(keys '*1')" 'mail/1 '
	is "$(keys '*/[13]*')" 'call/1/x mail/1 '
	is "$(keys 'call/?/x')" 'call/1/x call/2/x '
	is "$(keys 'call/\*')" 'call/* '
	is "$(keys call)" ''
	is "$(keys 'ü*')" 'ü '
	# A purge has no key.
	is "$(keys '*')" 'call/1/x call/2/x call/* mail/1 ü '
	is "$(keys '*x' call/2/x mail/1)" 'call/2/x '
}

@test "log: --count-by key, group, event" {
	life
	run -0 --separate-stderr idq log --count-by key
	expect 0 "$(idq log | cut -f6 | sort | uniq -c | sort -k1,1nr -k2 |
	    sed 's/^ *//; s/ /\t/')"
	run -0 --separate-stderr idq log --count-by event
	is "$(head -n 2 <<<"$output")" $'4\tadded\n4\tclaimed'
	run -0 --separate-stderr idq log --count-by group
	expect 0 "$(printf '%s\t-\n%s\tgroup' \
	    "$(idq log | grep -vc '	group	')" \
	    "$(idq log | grep -c '	group	')" | sort -nr)"
	# With filters and keys, which bring their duplicates along.
	run -0 --separate-stderr idq log --count-by event a
	is "$(grep duplicate <<<"$output")" '1	duplicate'
	run -0 --separate-stderr idq log --count-by key --event claimed --min 3
	expect 0 '3	a'
	run -0 --separate-stderr idq log --count-by key --event claimed --min 4
	expect 0 ''
	run -0 --separate-stderr idq log --count-by key --event duplicate
	expect 0 '1	a'
	run -64 --separate-stderr idq log --count-by keys
	expect 64 '' \
	    "idq: log: --count-by: unknown word 'keys'; did you mean 'key'?"
	run -64 --separate-stderr idq log --min 2
	expect 64 '' 'idq: log: --min: goes with --count-by'
	run -64 --separate-stderr idq log --count-by key --min 0
	is "$output" ''
}

@test "log: --count-by hour, which --since takes" {
	need faketime
	on 2026-11-23T20:10:00Z idq add -k a
	on 2026-11-23T20:59:20Z idq add -k b
	on 2026-11-23T21:00:00Z idq add -k c
	run -0 --separate-stderr env TZ=XXX-2 idq log --count-by hour
	expect 0 $'2\t2026-11-23T20:00Z\n1\t2026-11-23T21:00Z'
	is "$(idq log --since "$(cut -f2 <<<"${lines[1]}")" | cut -f6)" c
	need script
	TZ=XXX-2 run terminal 'NO_COLOR=1 idq log --count-by hour'
	is "$output" 'COUNT  HOUR
2      2026-11-23T22:00+0200
1      2026-11-23T23:00+0200'
}

@test "log: --count-by with --json" {
	idq add -k a -g g
	idq add -k b
	idq add -k c
	run -0 --separate-stderr idq log --count-by group --json
	expect 0 '{"count":2,"group":null}
{"count":1,"group":"g"}'
	run -0 --separate-stderr idq log --count-by key --json a
	expect 0 '{"count":1,"key":"a"}'
}

@test "log: -f tells the last lines, then what comes" {
	for i in {01..12}; do
		idq add -k "$i"
	done
	spawn idq log -f
	wait_for '[ "$(wc -l <spawn.out)" -ge 10 ]'
	is "$(cut -f6 spawn.out)" "$(seq -w 3 12)"
	idq add -k 13
	wait_for 'grep "	13$" spawn.out'
	idq cancel 01
	wait_for 'grep "	cancelled	.*	01$" spawn.out'
	is "$(cat spawn.out)" "$(idq log | tail -n 12)"
	is "$(cat spawn.err)" ''
}

@test "log: -f finds the last lines however old they are" {
	need faketime
	at -400d idq add -k a
	at -30d idq add -k b
	at -2h idq add -k c
	at +2d idq add -k d
	spawn idq log -f
	wait_for '[ "$(wc -l <spawn.out)" -ge 4 ]'
	idq add -k e
	wait_for 'grep "	e$" spawn.out'
	is "$(cut -f6 spawn.out | tr '\n' ' ')" 'a b c d e '
}

@test "log: -f with filters, keys, --since and --json" {
	need faketime
	for i in {01..12}; do
		at -1h idq add -k "a/$i"
	done
	at -2h idq add -k a/00
	spawn idq log -f --since 90m --key 'a/*' --event added
	wait_for '[ "$(wc -l <spawn.out)" -ge 12 ]'
	idq cancel a/01
	idq add -k b
	idq add -k a/13
	wait_for 'grep "	a/13$" spawn.out'
	is "$(cut -f6 spawn.out)" "$(seq -f 'a/%02.0f' 13)"
	# A key may still be to come.
	idq log -f --json new >new.out 3>&- 4>&- &
	spawned+=("$!")
	idq add -k new
	wait_for 'grep new new.out'
	idq add -k new 2>>stderr
	idq cancel new
	wait_for 'grep cancelled new.out'
	is "$(jq -r .event new.out | tr '\n' ' ')" 'added cancelled '
}

@test "log: -f waits until a line is whole" {
	idq add -k a
	line=$(idq log)
	spawn idq log -f
	wait_for '[ -s spawn.out ]'
	printf %s "${line:0:40}" >>"$(echo "$queue"/log/*)"
	# Another file is read meanwhile.
	echo "${line%a}b" >"$queue/log/${line:0:10}.elsewhere"
	wait_for 'grep "	b$" spawn.out'
	is "$(wc -l <spawn.out)" 2
	printf '%s\n' "${line:40:-1}c" >>"$queue/log/${line:0:10}.$(uname -n)"
	wait_for 'grep "	c$" spawn.out'
	is "$(cut -f6 spawn.out | tr '\n' ' ')" 'a b c '
}

@test "log: -f goes on with the next day, and with a log that is removed" {
	need faketime
	idq add -k a
	spawn idq log -f
	wait_for 'grep "	a$" spawn.out'
	at +1d idq add -k b
	wait_for 'grep "	b$" spawn.out'
	rm "$queue"/log/*
	idq add -k c
	wait_for 'grep "	c$" spawn.out'
	rm -r "$queue/log"
	idq add -k d
	wait_for 'grep "	d$" spawn.out'
	idq add -k e
	wait_for 'grep "	e$" spawn.out'
	is "$(cut -f6 spawn.out | tr '\n' ' ')" 'a b c d e '
}

@test "log: -f ends with 0 when told to" {
	for signal in INT TERM; do
		spawn idq log -f
		# Its handlers are there once it has told what there is.
		idq add -k "$signal"
		wait_for "grep $signal spawn.out"
		kill -s "$signal" "$spawned_pid"
		wait "$spawned_pid"
	done
	is "$(cat spawn.err)" ''
}

@test "log: -f ends with 0 when nobody reads it any more" {
	idq add -k a
	run -0 --separate-stderr timeout 10 bash -c \
	    'idq log -f | head -n 1; exit "${PIPESTATUS[0]}"'
	is "$(cut -f6 <<<"$output")" a
	is "$stderr" ''
	# While it has much to say, too.
	line=$(idq log)
	for _ in {1..2000}; do
		echo "$line"
	done >>"$(echo "$queue"/log/*)"
	run -0 --separate-stderr timeout 10 bash -c \
	    'idq log -f --since 1d | head -n 1; exit "${PIPESTATUS[0]}"'
	is "$(cut -f6 <<<"$output")" a
	is "$stderr" ''
}

@test "log: -f says when its output is lost" {
	[ -e /dev/full ] || skip "there is no /dev/full"
	idq add -k a
	run -74 --separate-stderr timeout 10 sh -c 'idq log -f >/dev/full'
	is "$stderr" 'idq: log: standard output: No space left on device'
}

@test "log: -f looks each second where there is no inotify" {
	need strace
	strace -o /dev/null -e trace=none true 2>>stderr ||
	    skip "strace may not trace here"
	idq add -k a
	# The leak checker is no friend of strace.
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 \
	    spawn strace -o strace.out -e trace=inotify_init1 \
	    -e inject=inotify_init1:error=EMFILE idq log -f
	wait_for 'grep "	a$" spawn.out'
	# It outlives a killed tracer.
	traced=$(ps -o pid= --ppid "$spawned_pid" | tr -d ' ')
	spawned+=("$traced")
	idq add -k b
	wait_for 'grep "	b$" spawn.out'
	is "$(cat spawn.err)" \
	    'idq: log: no inotify (Too many open files): looking each second'
	kill "$traced"
	wait "$spawned_pid"
}

@test "log: -f on a terminal has columns, each line at once" {
	need script
	idq add -k a
	mkfifo hold
	exec 9<>hold
	NO_COLOR=1 spawn script -qefc 'idq log -f' typed <hold 9>&-
	wait_for 'grep -q "added .* a" typed'
	idq add -k b
	wait_for 'grep -q "added .* b" typed'
	exec 9>&-
	is "$(grep -c '^WHEN ' typed)" 1
}

@test "log: -f does not go with what has an end" {
	run -64 --separate-stderr idq log -f --until 1h
	expect 64 '' 'idq: log: -f: does not go with --until'
	run -64 --separate-stderr idq log -f --count-by key
	expect 64 '' 'idq: log: -f: does not go with --count-by'
	run -64 --separate-stderr idq log -f --event duplicate
	expect 64 '' 'idq: log: -f: does not go with --event duplicate, which the log does not have'
}

@test "log: what follows the NULs of a power cut is shown" {
	idq add -k a
	head -c 500 /dev/zero >>"$queue/log/$(date +%F).$(uname -n)"
	idq add -k b
	idq add -k c
	is "$(idq log | cut -f2,6 | tr '\t\n' '  ')" 'added a added b added c '
}
