#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The night that idq is for, once per layer with the other four switched off:
# columns are rings, most per phone, most of one phone within 10 minutes, when
# somebody was told, jobs left, jobs expired.

load helpers/common

# layer NAME PEOPLE: its figures on one line.
layer() {
	need faketime
	run -0 --separate-stderr "$BATS_TEST_DIRNAME/demo/layers" "$@"
	figures=$(cut -f2- <<<"$output" | tr '\t' ' ')
}

@test "incident: with no layer each phone rings 144 times at once" {
	layer none 3
	is "$figures" '432 144 144 - 0 0'
}

@test "incident: the key alone makes it one ring" {
	layer key 20
	is "$figures" '20 1 1 - 0 0'
}

@test "incident: the alarm alone tells somebody at the 7th tick" {
	layer alarm 5
	is "$figures" '35 7 7 08:30 0 0'
}

@test "incident: the deadline alone lets nothing ring after it" {
	layer deadline 5
	is "$figures" '0 0 0 20:00 0 990'
}

@test "incident: the gate alone stops the worker and tells somebody" {
	layer gate 5
	is "$figures" '0 0 0 20:00 720 0'
}

@test "incident: pacing alone lets no phone ring twice within 10 minutes" {
	layer pacing 5
	is "$figures" '20 4 1 - 700 0'
}

@test "incident: the key and a deadline: at 00:30 nothing rings, 80 are expired" {
	need faketime
	idq init -q calls
	seq 80 | sed 's/.*/call\/&\t&/' >due
	start=$(date -d 2026-11-23T08:00:00Z +%s)
	tick=0
	while [ "$tick" -le 990 ]; do
		at "$(printf %+d $((start - EPOCHSECONDS + 60 * tick)))" \
		    idq add -q calls --batch --not-after 2026-11-23T20:00Z <due \
		    2>>mail
		tick=$((tick + 5))
	done
	run -0 --separate-stderr on 2026-11-24T00:30:00Z \
	    idq work -q calls --drain -- touch rang
	expect 0 ''
	[ ! -e rang ]
	is "$(idq ls -q calls -s expired | wc -l)" 80
	is "$(idq ls -q calls -s unfinished | wc -l)" 0
	# The first word came at the 7th tick.
	[[ $(head -n 1 mail) == *': stalled: 80 pending, oldest '*', last worker seen never' ]]
}
