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
