#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# check: its line, its figures and its status.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	need faketime
	idq init
	queue=$(queue_path)
}

# says STATUS BEGINNING COMMAND...: its line begins so, has figures as the
# guidelines of monitoring plugins want them, and standard error is empty.
says() {
	local expected=$1 beginning=$2 figure number='[0-9]+(\.[0-9]+)?'
	local range="@?((~|-?$number)?:)?(-?$number)?"
	local label="([^ '=|]+|'[^'=|]+')"

	shift 2
	run --separate-stderr "$@"
	if [ "$status" -ne "$expected" ] || [[ $output != "$beginning"* ]] ||
	    [ "${#lines[@]}" -ne 1 ] || [ -n "$stderr" ]; then
		expect "$expected" "$beginning..." ''
		return 1
	fi
	# Units are s, and a number without one.
	figure="$label=(U|-?$number)s?(;$range(;$range(;$number)?)?)?"
	[[ $output =~ ^IDQ\ (OK|WARNING|CRITICAL|UNKNOWN)\ -\ [^|]+(\ \|\ $figure(\ $figure)*)?$ ]] || {
		echo "not as the guidelines want it: $output"
		return 1
	}
}

# figure LABEL: what follows it in the last output.
figure() {
	tr ' ' '\n' <<<"${output##* | }" | sed -n "s/^$1=//p"
}

@test "check: an empty queue is OK" {
	says 0 'IDQ OK - default: 0 pending, no worker seen yet | ' idq check
	is "${output##* | }" 'pending=0;;;0 oldest=0s;1800;;0 waiting=0;;;0 running=0;;;0 running_age=0s;;;0 failed=0;0;;0 held=0;0;;0 idle=U;;;0'
}

@test "check: without options the queue's warn-age decides" {
	idq add -k a
	says 0 'IDQ OK - default: 1 pending, oldest 20m, ' at +20m idq check
	says 1 'IDQ WARNING - default: 1 pending, oldest 31m (over 30m), ' \
	    at +31m idq check
	is "$(figure oldest | cut -d';' -f2-)" '1800;;0'
	idq config warn-age 2h
	says 0 'IDQ OK - ' at +31m idq check
	idq config warn-age none
	says 0 'IDQ OK - ' at +31h idq check
	is "$(figure oldest | cut -d';' -f2-)" ';;0'
}

@test "check: a job that waits for its time is not late before" {
	idq add -k a --in 1h
	says 0 'IDQ OK - default: 0 pending, ' idq check
	is "$(figure waiting)" '1;;;0'
	says 0 'IDQ OK - default: 1 pending, oldest 20m, ' at +80m idq check
	says 1 'IDQ WARNING - default: 1 pending, oldest 31m ' at +91m idq check
}

@test "check: --max-age is critical above it, a warning above the first" {
	idq add -k a
	says 0 'IDQ OK - ' at +59m idq check --max-age 1h
	says 2 'IDQ CRITICAL - default: 1 pending, oldest 6h40m (over 1h), no worker seen yet | ' \
	    at +400m idq check --max-age 1h
	is "$(figure oldest | cut -d';' -f2-)" ';3600;0'
	says 0 'IDQ OK - ' at +29m idq check --max-age 30m,2h
	says 1 'IDQ WARNING - default: 1 pending, oldest 31m (over 30m), ' \
	    at +31m idq check --max-age 30m,2h
	says 2 'IDQ CRITICAL - default: 1 pending, oldest 2h1m (over 2h), ' \
	    at +121m idq check --max-age 30m,2h
	is "$(figure oldest | cut -d';' -f2-)" '1800;7200;0'
	[[ $(figure oldest) =~ ^72[67][0-9]s\; ]]
}

@test "check: --max-pending" {
	for key in a b c; do
		idq add -k "$key"
	done
	idq add -k later --in 1h
	says 0 'IDQ OK - default: 3 pending, ' idq check --max-pending 3
	says 2 'IDQ CRITICAL - default: 3 pending (over 2), oldest ' \
	    idq check --max-pending 2
	is "$(figure pending)" '3;;2;0'
	says 1 'IDQ WARNING - default: 3 pending (over 0), oldest ' \
	    idq check --max-pending 0,3
	is "$(figure pending)" '3;0;3;0'
}

@test "check: failed and held jobs are a warning, or what --max-failed says" {
	idq add -k a
	idq work --drain -- sh -c 'exit 100' 2>stderr
	says 1 'IDQ WARNING - default: 0 pending, 1 failed (over 0), worker' \
	    idq check
	says 2 'IDQ CRITICAL - ' idq check --max-failed 0
	says 0 'IDQ OK - default: 0 pending, 1 failed, ' \
	    idq check --max-failed 1
	is "$(figure failed)" '1;;1;0'
	idq forget a
	says 0 'IDQ OK - ' idq check
	idq add -k b --on-crash hold
	idq work --drain -- sh -c 'kill -KILL $$' 2>stderr
	says 1 'IDQ WARNING - default: 0 pending, 1 held (over 0), worker' \
	    idq check
	says 1 'IDQ WARNING - ' idq check --max-failed 0,5
	is "$(figure held)" '1;0;5;0'
}

@test "check: --max-running-age" {
	idq add -k a
	idq claim --lease 1d >token
	says 0 'IDQ OK - default: 0 pending, 1 running, longest ' \
	    idq check --max-running-age 1h
	is "$(figure running)" '1;;;0'
	says 2 'IDQ CRITICAL - default: 0 pending, 1 running, longest 1h1m (over 1h), ' \
	    at +61m idq check --max-running-age 1h
	# A longer lease is no new start.
	at +50m idq renew --lease 1d "$(cat token)"
	says 2 'IDQ CRITICAL - ' at +61m idq check --max-running-age 1h
}

@test "check: only what is named is judged" {
	idq add -k a
	idq work --drain -- sh -c 'exit 100' 2>stderr
	idq add -k b
	says 0 'IDQ OK - ' at +2d idq check --max-pending 5
	says 1 'IDQ WARNING - ' at +2d idq check
}

@test "check: --max-idle is no alarm while a worker comes" {
	# Nobody ever came, but there was nothing to do.
	says 0 'IDQ OK - ' at +2d idq check --max-idle 10m
	is "$(figure idle)" 'U;;600;0'
	# A drain each minute, of nothing.
	idq work --drain -- true
	says 0 'IDQ OK - default: 0 pending, worker seen 9m ago | ' \
	    at +9m idq check --max-idle 10m
	at +30m idq work --drain -- true
	says 0 'IDQ OK - ' at +31m idq check --max-idle 10m
}

@test "check: --max-idle is one when it does not come any more" {
	idq work --drain -- true
	says 2 'IDQ CRITICAL - default: 0 pending, worker seen 11m ago (over 10m) | ' \
	    at +11m idq check --max-idle 10m
	# The job of a dead worker does not hide that.
	idq add -k a
	idq claim >token
	says 1 'IDQ WARNING - default: 0 pending, 1 running, longest 11m, worker seen 11m ago (over 10m) | ' \
	    at +11m idq check --max-idle 10m,1h
}

@test "check: --max-idle without any worker counts from the first due job" {
	idq add -k a
	says 0 'IDQ OK - default: 1 pending, oldest 9m, no worker seen yet | ' \
	    at +9m idq check --max-idle 10m
	says 2 'IDQ CRITICAL - default: 1 pending, oldest 11m, no worker seen yet (over 10m) | ' \
	    at +11m idq check --max-idle 10m
}

@test "check: a job of idq run is a start, too" {
	idq init -q run
	says 0 'IDQ OK - ' idq check -q run --max-idle 10m
	idq run -k a -- true
	says 0 'IDQ OK - run: 0 pending, worker seen ' \
	    idq check -q run --max-idle 10m
	[[ $(figure idle) =~ ^[0-9]s\; ]]
	says 2 'IDQ CRITICAL - ' at +11m idq check -q run --max-idle 10m
}

@test "check: a following worker comes although it is busy" {
	idq add -k a
	spawn idq work -- sh -c 'echo >started; exec sleep 60'
	wait_for '[ -e started ]'
	says 0 'IDQ OK - default: 0 pending, 1 running, ' \
	    idq check --max-idle 1m
}

@test "check: a paused queue is a warning that says who and why" {
	echo "$(date -u -d '2 hours ago' +%FT%T.000000Z) jo@web1 a|b rings" \
	    >"$queue/paused"
	says 1 'IDQ WARNING - default: 0 pending, no worker seen yet, paused for 2h by jo@web1: a/b rings | ' \
	    idq check
	says 1 'IDQ WARNING - ' idq check --max-pending 5
	: >"$queue/paused"
	says 1 'IDQ WARNING - default: 0 pending, no worker seen yet, paused | ' \
	    idq check
}

@test "check: what is not known is 3, with the reason on standard output" {
	says 3 "IDQ UNKNOWN - $IDQ_SPOOL/nosuch: no such queue; make it with: idq init -q nosuch" \
	    idq check -q nosuch
	says 3 'IDQ UNKNOWN - -q .a/b: ' idq check -q '.a|b'
	echo nonsense >"$queue/config"
	says 3 "IDQ UNKNOWN - $queue/config: " idq check
	IDQ_SPOOL=relative says 3 'IDQ UNKNOWN - ' idq check
	says 3 'IDQ UNKNOWN - ' env IDQ_SPOOL="$PWD/nowhere" idq check --all
}

@test "check: a queue of another user is not known" {
	need_root
	chmod 700 "$queue"
	says 3 'IDQ UNKNOWN - ' as_user 65534 idq check
}

@test "check: the worst of several queues comes first" {
	for q in a b c; do
		idq init -q "$q"
		idq add -q "$q" -k 1
	done
	idq add -q b -k 2
	says 1 'IDQ WARNING - b: 2 pending (over 1), ' \
	    idq check --all --max-pending 1,5
	[[ $output == *'; a: 1 pending, '*'; c: 1 pending, '*'; default: 0 '* ]]
	is "$(figure a.pending)" '1;1;5;0'
	is "$(figure b.pending)" '2;1;5;0'
	is "$(figure default.held)" '0;;;0'
	# Critical, then unknown, then a warning.
	says 3 "IDQ UNKNOWN - $IDQ_SPOOL/x: " \
	    idq check -q b -q x --max-pending 1,5
	says 2 'IDQ CRITICAL - b: ' idq check -q a -q x -q b --max-pending 1
	[[ $output == *"; $IDQ_SPOOL/x: no such queue"*'; a: 1 pending'* ]]
}

@test "check: a label with a blank is quoted" {
	mkdir "a b=c'd"
	idq init -q "$PWD/a b=c'd"
	says 0 "IDQ OK - " idq check -q "$PWD/a b=c'd" -q default
	[[ $output == *" | '$PWD/a b_c_d.pending'=0;;;0 "* ]]
}

@test "check: wrong usage is 3" {
	for args in '--max-age 1' '--max-age' '--max-pending x' '--max-pending -1' \
	    '--max-failed 1,2,3' '--max-age ,1h' '--max-age 1h,' '--max-agee 1h' \
	    'operand' '--all -q x' '--max-idle none'; do
		# They are words.
		# shellcheck disable=SC2086
		run -3 --separate-stderr idq check $args
		is "$output" ''
		is "$(grep -c '^idq: check: ' <<<"$stderr")" 1
	done
	run -3 --separate-stderr idq check --max-age 2h,1h
	expect 3 '' 'idq: check: --max-age 2h,1h: the warning comes first'
}

@test "check: looking changes nothing, and opens no pending job" {
	local due=20200101T000000.000000Z

	idq add -k a
	idq claim >token
	echo junk >"$queue/new/$due.$(hash_of x).0123456789abcdef"
	before=$(cd "$queue" && find . -printf '%P %i %m %s %T@\n' | sort)
	says 2 'IDQ CRITICAL - default: 1 pending, ' idq check --max-age 1h
	is "$(cd "$queue" && find . -printf '%P %i %m %s %T@\n' | sort)" \
	    "$before"
}
