#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The files that are installed as examples, and the runbook of idq(1).

load helpers/common

setup() {
	common_setup
	examples=$BATS_TEST_DIRNAME/../man/examples
}

# stubs COMMAND: that command rings its first argument; due-calls knows one.
stubs() {
	mkdir bin
	cat >"bin/$1" <<-'END'
		#!/bin/sh
		echo "$1" >>rings
	END
	cat >bin/due-calls <<-'END'
		#!/bin/sh
		echo '{"key":"call/42","group":"42","args":["42"]}'
	END
	chmod +x bin/*
	PATH=$PWD/bin:$PATH
}

@test "examples: systemd accepts the units" {
	need systemd-analyze
	local unit

	for unit in "$examples"/*@.*; do
		unit=${unit##*/}
		cp "$examples/$unit" "${unit/@./@calls.}"
	done
	run -0 systemd-analyze verify --man=no ./*@calls.*
	is "$output" ''
}

@test "examples: each command of a unit is one that idq takes" {
	local line

	idq init -q calls
	stubs run-calls
	line=$(sed -n 's/^ExecStart=//p' "$examples/idq-ask@.service")
	# After 20:00 the add would say that it is too late.
	line=${line/--not-after 20:00/--not-after 2099-01-01}
	run -0 --separate-stderr sh -c "${line//%i/calls}"
	expect 0 ''
	line=$(sed -n 's/^ExecStart=//p' "$examples/idq-drain@.service")
	for _ in 1 2; do
		run -0 --separate-stderr sh -c "${line//%i/calls}"
		expect 0 ''
	done
	is "$(cat rings)" 42
	# A paused queue is a success, too.
	idq pause -q calls
	run -0 --separate-stderr sh -c "${line//%i/calls}"
	expect 0 ''
	idq resume -q calls
	line=$(sed -n 's/^ExecStart=//p' "$examples/idq-worker@.service")
	spawn sh -c "exec ${line//%i/calls}"
	wait_for '[ -e "$IDQ_SPOOL/calls/run/single" ]'
	idq add -q calls -k b -- 2
	wait_for '[ "$(tail -n 1 rings)" = 2 ]'
}

@test "examples: the worker's unit stays down at a closed gate" {
	is "$(sed -n 's/^RestartPreventExitStatus=//p' \
	    "$examples/idq-worker@.service")" 75
}

@test "examples: the lines of the crontab work, and ring each phone once" {
	local line lines

	sed -n 's/^#\t\(idq [^#]*\).*/\1/p' "$examples/calls.crontab" >init
	[ "$(wc -l <init)" -eq 4 ]
	run -0 --separate-stderr sh -e init
	expect 0 ''
	stubs call-up
	grep '^[*@]' "$examples/calls.crontab" | sed 's/--not-after 20:00/--not-after 2099-01-01/' >lines
	is "$(wc -l <lines)" 3
	for _ in 1 2 3; do
		while read -r line; do
			case $line in
			@*) line=${line#* } ;;
			*) line=$(cut -d' ' -f6- <<<"$line") ;;
			esac
			run -0 --separate-stderr sh -c "$line" </dev/null
			expect 0 ''
		done <lines
	done
	is "$(cat rings)" 42
}
