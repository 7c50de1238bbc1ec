#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# A queue read without idq, by the rules of idq(5): idq fills it and moves jobs,
# and only for comparison says what it thinks.
#
# $top comes from common.bash.
# shellcheck disable=SC2154

load helpers/common

# Fill a queue, and go into its directory.
setup() {
	common_setup
	idq init -q calls
	cd "$IDQ_SPOOL/calls" || return
}

# hand WORDS: run them in a shell that has the tools for reading by hand, and
# nothing else: no idq, no awk.
hand() {
	local tool tools=$BATS_TEST_TMPDIR/hand

	if [ ! -d "$tools" ]; then
		mkdir "$tools"
		for tool in ls cat grep sha256sum find wc head tail cut date; do
			ln -s "$(command -v "$tool")" "$tools/$tool"
		done
	fi
	env -i PATH="$tools" LC_ALL=C /bin/sh -euc "$1"
}

# by_hand N: the Nth example in BY HAND of idq.5, as it stands there.
by_hand() {
	awk -v n="$1" '
	/^\.Sh/ { here = $2 == "BY" }
	/^\.Ed/ { inside = 0 }
	inside && block == n
	here && /^\.Bd/ { block++; inside = 1 }' "$top/man/idq.5"
}

# add KEY [OPTION...]: with a payload that says what is in it.
add() {
	printf 'payload of %s' "$1" |
	idq add -q calls -k "$1" --payload - "${@:2}"
}

# finish STATUS: what is due is run, and its command exits with STATUS.
finish() {
	idq work -q calls --drain -- sh -c "exit $1"
}

@test "byhand: the first example names the waiting entries in claim order" {
	add second --at 2026-01-01T00:00:02Z
	add third --at 2026-01-01T00:00:03Z
	add first --at 2026-01-01T00:00:01Z
	[ "$(by_hand 1)" = 'grep -hm1 ^Key: new/*' ]
	run -0 --separate-stderr hand "$(by_hand 1)"
	expect 0 'Key: first
Key: second
Key: third'
	for key in first second third; do
		token=$(idq claim -q calls)
		[ "$(idq show -q calls --field key "$token")" = "$key" ]
	done
	run -0 --separate-stderr hand 'ls new'
	expect 0 ''
}

@test "byhand: grep -a names an entry whose payload is binary" {
	printf 'a\0b' | idq add -q calls -k binary --payload -
	add text
	run -0 --separate-stderr hand 'grep -ahm1 ^Key: new/*'
	expect 0 'Key: binary
Key: text'
}

@test "byhand: the job of a key is found by its SHA-256" {
	add other
	add call/42/2026-11-23 -g +4512345678 -- +4512345678 'Dentist at 14:00'
	run -0 --separate-stderr hand "$(by_hand 2)"
	[ "${lines[0]}" = 'idq job 1' ]
	[ "${lines[1]}" = 'Key: call/42/2026-11-23' ]
	[ "$(grep -c '^Key: ' <<<"$output")" -eq 1 ]
	grep -qx 'Group: +4512345678' <<<"$output"
	grep -qx 'Arg: Dentist at 14:00' <<<"$output"
	grep -qx 'payload of call/42/2026-11-23' <<<"$output"
}

@test "byhand: a job's state is the folder of its other name" {
	find_it="$(by_hand 2); $(by_hand 3)"
	where() {
		hand "$find_it" | tail -n 1 | cut -d / -f 2
	}
	key=call/42/2026-11-23
	add "$key"
	[ "$(where)" = new ]
	token=$(idq claim -q calls)
	[ "$(where)" = cur ]
	idq fail -q calls "$token"
	[ "$(where)" = wait ]
	idq retry -q calls "$key"
	finish 100
	[ "$(where)" = failed ]
	idq retry -q calls "$key"
	finish 0
	[ "$(where)" = "done" ]
	# One name, and one file with that of the key.
	[ "$(hand "$(by_hand 2) >/dev/null; $(by_hand 3)" | wc -l)" -eq 1 ]
	h=$(hash_of "$key")
	[ "keys/${h:0:2}/$h" -ef "$(find "done" -name "$h.*")" ]
}

@test "byhand: held, cancelled and expired jobs have folders too" {
	add held --on-crash hold
	# The command dies of a signal: nobody knows what it did.
	idq work -q calls --drain -- sh -c 'kill -KILL $$'
	add cancelled
	idq cancel -q calls cancelled
	add expired --not-after @1
	# The shell that reads by hand expands this.
	# shellcheck disable=SC2016
	run -0 --separate-stderr hand '
		for key in held cancelled expired; do
			h=$(printf %s $key | sha256sum | cut -c1-64)
			find . -name "*$h.*" ! -path "./dups/*" |
				cut -d / -f 2
		done'
	expect 0 'hold
cancelled
expired'
}

@test "byhand: the history of a job stands below its payload" {
	add job
	token=$(idq claim -q calls)
	idq fail -q calls --exit 3 "$token"
	idq retry -q calls job
	finish 0
	# The offset: header, the empty line, Length, one newline.
	# shellcheck disable=SC2016
	run -0 --separate-stderr hand '
		h=$(printf %s job | sha256sum | cut -c1-64)
		f=keys/$(printf %.2s $h)/$h
		lines=$(grep -anm1 "^$" $f | cut -d: -f1)
		header=$(head -n $lines $f | wc -c)
		payload=$(head -n $lines $f | grep -a "^Length: " | cut -c9-)
		tail -c +$((header + 1)) $f | head -c $payload
		echo
		tail -c +$((header + payload + 2)) $f | cut -d" " -f2,3
		tail -n 1 $f | grep -o "release=....-..-..T"'
	release=$(date -u -d '7 days' +%FT)
	expect 0 "payload of job
claimed 1
failed 1
retried 1
claimed 2
done 2
release=$release"
	idq log -q calls job >"$BATS_TEST_TMPDIR/log"
	cut -f 2 "$BATS_TEST_TMPDIR/log" | grep -qx 'done'
}

@test "byhand: duplicates are counted and dated" {
	add call/42/2026-11-23
	for _ in 1 2 3; do
		add call/42/2026-11-23
	done
	run -0 --separate-stderr hand "$(by_hand 2) >/dev/null; $(by_hand 4)"
	[ "${#lines[@]}" -eq 2 ]
	[ "${lines[0]}" -eq 3 ]
	[[ ${lines[1]} == "$(date -u +%F)T"??:??:??.??????Z ]]
	[ "$(cat dups/??/* | wc -c)" -eq $((3 * 28)) ]
	last=$(idq show -q calls --field lastdup call/42/2026-11-23)
	[ "$last" = "${lines[1]}" ]
}

@test "byhand: what is scheduled, and who was served today" {
	add served
	finish 0
	add later --at 2101-02-03T04:05:06Z
	add sooner --at 2101-02-03T04:04:59Z
	run -0 --separate-stderr hand "$(by_hand 5)"
	expect 0 '21010203T0404
21010203T0405
Key: served'
	# shellcheck disable=SC2016
	run -0 --separate-stderr hand 'grep -hm1 ^Key: wait/*/*; ls wait/*0405'
	[ "${lines[0]}" = 'Key: sooner' ]
	[ "${lines[1]}" = 'Key: later' ]
	[[ ${lines[2]} == "21010203T040506.000000Z.$(hash_of later)."* ]]
}

@test "byhand: every example of the manual was tried" {
	[ -n "$(by_hand 5)" ]
	[ -z "$(by_hand 6)" ]
}

# agree: the reader says of every job what idq says: state, key, attempts.
agree() {
	"$top/tests/helpers/byhand.sh" . | sort >"$BATS_TEST_TMPDIR/read"
	idq ls -q calls -s all | awk -F '\t' -v OFS='\t' '{ print $1, $8, $4 }' |
	sort >"$BATS_TEST_TMPDIR/listed"
	diff "$BATS_TEST_TMPDIR/read" "$BATS_TEST_TMPDIR/listed"
}

@test "byhand: a reader of keys/ alone agrees with ls in every state" {
	"$top/tests/helpers/byhand.sh" .
	agree

	# Each is made while nothing else is due, the pending ones last.
	add done/worker
	finish 0
	add done/ack
	idq ack -q calls "$(idq claim -q calls)"
	add failed/exit100
	finish 100
	add failed/used-up --attempts 1
	finish 1
	add held --on-crash hold
	idq work -q calls --drain -- sh -c 'kill -KILL $$'
	add waiting/fresh --in 7d
	add waiting/failed
	finish 1
	add waiting/later
	finish 75
	add waiting/released
	idq release -q calls --in 7d "$(idq claim -q calls)"
	add cancelled/waiting --in 7d
	idq cancel -q calls cancelled/waiting
	add cancelled/pending
	idq cancel -q calls cancelled/pending
	add expired --not-after @1
	run -0 idq run -q calls -k run/done -- true
	run -3 idq run -q calls -k run/failed -- sh -c 'exit 3'
	add running
	idq claim -q calls
	add running/renewed
	idq renew -q calls "$(idq claim -q calls)"
	# A lease that ended an hour ago: the next claim takes the job back.
	at -2h idq add -q calls -k running/again
	at -2h idq claim -q calls --lease 1h
	idq claim -q calls
	add pending/retried
	finish 100
	idq retry -q calls pending/retried
	add held/by-hand
	idq hold -q calls held/by-hand
	add pending/unheld
	add waiting/unheld --in 7d
	idq hold -q calls pending/unheld waiting/unheld
	idq unhold -q calls pending/unheld waiting/unheld
	add pending
	add 'pending/a key with blanks, / and % and æøå'

	agree
	cut -f 1 "$BATS_TEST_TMPDIR/read" | sort -u >"$BATS_TEST_TMPDIR/states"
	[ "$(paste -sd ' ' "$BATS_TEST_TMPDIR/states")" = \
	    'cancelled done expired failed held pending running waiting' ]
}

@test "byhand: payloads that look like a job or a trail mislead no reader" {
	printf '\n2026-11-23T20:35:00.123456Z done 1 exit=0 release=never\n' |
	idq add -q calls -k trail --payload -
	printf 'idq job 1\nKey: other\nLength: 1\n\nx\n' |
	idq add -q calls -k header --payload -
	printf 'a\0b\n\0' | idq add -q calls -k nul --payload -
	head -c 100000 /dev/urandom | idq add -q calls -k random --payload -
	idq add -q calls -k empty
	idq add -q calls -k newlines -- $'two\nlines' $'Key: other\n\n'
	agree
	[ "$(cut -f 1 "$BATS_TEST_TMPDIR/read" | sort | uniq -c | xargs)" = \
	    '6 pending' ]
	while [ "$(idq ls -q calls -s pending | wc -l)" -gt 0 ]; do
		idq ack -q calls "$(idq claim -q calls)"
	done
	agree
	[ "$(cut -f 1 "$BATS_TEST_TMPDIR/read" | sort | uniq -c | xargs)" = \
	    '6 done' ]
}

@test "byhand: a torn last line of a trail does not count" {
	for key in cut nul words; do
		add "$key"
	done
	printf '2026-11-23T20:35:01.000113Z done 1 exit=0 release=2026-11-30T20' \
	    >>"$(key_file cut calls)"
	printf '2026-11-23T20:35:01.000113Z do\0\0\0\0\0exit=0 release=never\n' \
	    >>"$(key_file nul calls)"
	printf '2026-11-23T20:35:01.000113Z dined 1 exit=0 release=never\n' \
	    >>"$(key_file words calls)"
	agree
	[ "$(cut -f 1 "$BATS_TEST_TMPDIR/read" | sort | uniq -c | xargs)" = \
	    '3 pending' ]
}

@test "byhand: a reader names what is not a job, and goes on" {
	add good
	foreign=keys/00/00$(printf '%062d' 7)
	echo 'no job' >"$foreign"
	ln -s "$(key_file good calls)" keys/01/01"$(printf '%062d' 7)"
	moved=keys/02/02$(printf '%062d' 7)
	cp "$(key_file good calls)" "$moved"
	run -1 --separate-stderr "$top/tests/helpers/byhand.sh" .
	expect 1 'pending	good	0' "byhand: ./$foreign: not a job
byhand: ./keys/01/01$(printf '%062d' 7): not a file
byhand: ./$moved: not whole"
	echo 'idq spool 2' >format
	run -78 --separate-stderr "$top/tests/helpers/byhand.sh" .
	expect 78 '' 'byhand: .: not a spool that this program can read'
}
