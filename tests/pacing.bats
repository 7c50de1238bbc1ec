#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Groups and rates: how many at once, how far apart, in which order.

load helpers/common

setup() {
	common_setup
	queue=$(queue_path)
	idq init
}

# parked: how many jobs are.
parked() {
	find "$queue/paced" -type f | wc -l
}

# turns: how many groups are looked at later.
turns() {
	find "$queue/turn" -type f | wc -l
}

# starts FILE: the gaps between its lines, which are times in milliseconds.
gaps() {
	awk 'NR > 1 { print $1 - last } { last = $1 }' "$1"
}

@test "pacing: one job of a group at once, other groups at the same time" {
	for i in 1 2 3; do
		idq add -k "x$i" -g x
		idq add -k "y$i" -g y
	done
	idq add -k z
	for key in x1 y1 z; do
		is "$(idq show --field key "$(idq claim)")" "$key"
	done
	run -1 --separate-stderr idq claim
	expect 1 ''
	is "$(parked)" 4
	is "$(turns)" 2
	is "$(idq ls -s pending | cut -f7,8 | tr '\t\n' '= ')" 'x=x2 y=y2 x=x3 y=y3 '
}

@test "pacing: the end of a job lets out the next of its group, in order" {
	for i in 1 2 3 4; do
		idq add -k "$i" -g x
	done
	for i in 1 2 3 4; do
		token=$(idq claim)
		is "$(idq show --field key "$token")" "$i"
		run -1 idq claim
		idq ack "$token"
	done
	is "$(parked)" 0
	run -1 idq claim
}

@test "pacing: failed, released, cancelled and interrupted ends let out the next" {
	for i in 1 2 3 4 5; do
		idq add -k "$i" -g x
	done
	idq fail --exit 100 "$(idq claim)"
	token=$(idq claim)
	is "$(idq show --field key "$token")" 2
	idq release --in 1h "$token"
	token=$(idq claim)
	is "$(idq show --field key "$token")" 3
	idq cancel 3
	token=$(idq claim --lease 1s)
	is "$(idq show --field key "$token")" 4
	# Its lease ends: it comes first again.
	run -1 idq claim
	is "$(idq show --field key "$(at +2s idq claim)")" 4
}

@test "pacing: a job that is given back stays the first of its group" {
	idq add -k 1 -g x
	idq add -k 2 -g x
	token=$(idq claim)
	run -1 idq claim
	idq release "$token"
	is "$(idq show --field key "$(idq claim)")" 1
}

@test "pacing: a paced job uses no attempt and gets no line" {
	idq add -k 1 -g x
	idq add -k 2 -g x
	token=$(idq claim)
	run -1 idq claim
	is "$(state_of 2)" paced
	is "$(trail 2)" ''
	idq ack "$token"
	idq claim
	is "$(idq show --field attempts 2)" 1
}

@test "pacing: group-max lets so many run at once" {
	idq config group-max 3
	for i in 1 2 3 4 5; do
		idq add -k "$i" -g x
	done
	for i in 1 2 3; do
		is "$(idq show --field key "$(idq claim)")" "$i"
	done
	run -1 idq claim
	idq config group-max 5
	for i in 4 5; do
		is "$(idq show --field key "$(idq claim)")" "$i"
	done
}

@test "pacing: group-gap keeps starts apart, across processes and failures" {
	need faketime
	idq config group-gap 10m
	for i in 1 2 3; do
		idq add -k "$i" -g x
	done
	idq add -k other -g y
	idq ack "$(idq claim)"
	token=$(idq claim)
	is "$(idq show --field key "$token")" other
	idq ack "$token"
	run -1 at +9m idq claim
	token=$(at +11m idq claim)
	is "$(idq show --field key "$token")" 2
	at +11m idq fail --exit 100 "$token"
	run -1 at +20m idq claim
	is "$(idq show --field key "$(at +22m idq claim)")" 3
}

@test "pacing: a gap holds although run/ is emptied, and the worker killed" {
	need faketime
	idq config group-gap 10m
	idq add -k 1 -g x
	idq add -k 2 -g x
	spawn idq work -- sh -c 'echo >>started; exec sleep 60'
	wait_for '[ -e started ] && [ -n "$(idq show --field pid 1)" ]'
	pid=$(idq show --field pid 1)
	kill -KILL "$spawned_pid"
	kill -KILL "$pid"
	wait_for 'gone "$pid" && idq fsck'
	rm -rf "$queue"/run/*
	run -0 at +5m idq work --drain -- sh -c 'echo >>started'
	is "$(wc -l <started)" 1
	run -0 at +11m idq work --drain -- sh -c 'echo >>started'
	is "$(wc -l <started)" 2
}

@test "pacing: a clock that was years ahead holds a group back for one gap" {
	need faketime
	idq config group-gap 10m
	idq add -k 1 -g x
	idq add -k 2 -g x
	idq ack "$(at +3650d idq claim)"
	run -1 idq claim
	run -0 at +11m idq claim
}

@test "pacing: a following worker starts the next when the gap is over" {
	idq config group-gap 1s
	for i in 1 2 3; do
		idq add -k "$i" -g x
	done
	# shellcheck disable=SC2016 # for the inner shell
	spawn idq work -j 4 -- sh -c 'date +%s%3N >>starts'
	wait_for '[ "$(wc -l <starts)" -eq 3 ]'
	gaps starts >between
	is "$(wc -l <between)" 2
	while read -r ms; do
		[ "$ms" -ge 990 ] && [ "$ms" -le 3000 ]
	done <between
}

@test "pacing: --drain does not wait for a gap, and runs what can be run" {
	idq config group-gap 1h
	idq add -k 1 -g x
	idq add -k 2 -g x
	idq add -k 3 -g y
	run -0 --separate-stderr timeout 10 idq work --drain -v -- true
	is "$(cut -f4 <<<"$output" | tr '\n' ' ')" '1 3 '
	is "$(state_of 2)" paced
}

@test "pacing: several workers and claims together keep to one at once" {
	for i in $(seq 40); do
		echo "{\"key\":\"$i\",\"group\":\"g$((i % 4))\"}"
	done | idq add --batch --json-lines
	cat >ring <<-'END'
		#!/bin/sh
		mkdir "lock.$IDQ_GROUP" || echo "$IDQ_KEY" >>overlap
		echo "$IDQ_KEY" >>"order.$IDQ_GROUP"
		sleep 0.01
		rmdir "lock.$IDQ_GROUP"
	END
	chmod +x ring
	for i in 1 2 3; do
		spawn idq work -j 2 -- ./ring
	done
	wait_for '[ "$(idq ls -s done | wc -l)" -eq 40 ]' 30
	[ ! -e overlap ]
	for group in g0 g1 g2 g3; do
		sort -n "order.$group" | cmp - "order.$group"
	done
}

@test "pacing: an expired one among the parked is set aside, and the next runs" {
	need faketime
	idq add -k 1 -g x
	idq add -k 2 -g x --ttl 1m
	idq add -k 3 -g x
	token=$(idq claim --lease 1h)
	run -1 idq claim
	at +2m idq ack "$token"
	is "$(state_of 2)" expired
	is "$(idq show --field key "$(at +2m idq claim)")" 3
}

@test "pacing: parked jobs are listed, shown, cancelled and retried like others" {
	idq add -k 1 -g x
	idq add -k 2 -g x
	idq add -k 3 -g x
	idq claim
	run -1 idq claim
	run -0 --separate-stderr idq show --field path 2
	[[ $output == paced/*/*."$(hash_of 2)".* ]]
	is "$(idq show --field state 2)" pending
	idq cancel 2
	is "$(state_of 2)" cancelled
	run -0 --separate-stderr idq retry 3
	is "$(state_of 3)" paced
	run -0 --separate-stderr idq add -v -k 3 -g x
	[[ $output == duplicate$'\t'* ]]
}

@test "pacing: a group is looked at again within a minute whatever was lost" {
	need faketime
	idq add -k 1 -g x
	idq add -k 2 -g x
	token=$(idq claim)
	run -1 idq claim
	# As if killed right before it let out the next.
	mv "$queue"/groups/* saved
	idq ack "$token"
	mv saved "$queue/groups/$(hash_of x)"
	mkdir -p "$queue/paced/$(hash_of x)"
	find "$queue/new" -type f -exec mv {} "$queue/paced/$(hash_of x)/" \;
	run -1 idq claim
	is "$(idq show --field key "$(at +61s idq claim)")" 2
}

@test "pacing: fsck leaves parked jobs where they are, and gives lost turns back" {
	idq add -k 1 -g x
	idq add -k 2 -g x
	idq ack "$(idq claim)"
	idq add -k 3 -g x
	token=$(idq claim)
	run -1 idq claim
	rm -r "$queue"/turn/*
	run -0 --separate-stderr idq fsck
	expect 0 ''
	is "$(state_of 3)" paced
	is "$(turns)" 1
	rm -r "$queue"/groups/* "$queue"/turn/*
	idq fsck
	idq ack "$token"
	is "$(idq show --field key "$(idq claim)")" 3
}

@test "pacing: a file of a group that is garbage does no harm" {
	idq add -k 1 -g x
	idq add -k 2 -g x
	head -c 300 /dev/urandom >"$queue/groups/$(hash_of x)"
	token=$(idq claim)
	is "$(idq show --field key "$token")" 1
	run -1 idq claim
	idq ack "$token"
	is "$(idq show --field key "$(idq claim)")" 2
}

@test "pacing: something else in the place of a group's file stops that group alone" {
	mkdir "$queue/groups/$(hash_of x)"
	idq add -k 1 -g x
	idq add -k 2 -g y
	run -0 --separate-stderr idq claim
	is "$(idq show --field key "$output")" 2
	[[ $stderr == "idq: claim: $queue/groups/$(hash_of x): "* ]]
	is "$(state_of 1)" new
}

@test "pacing: whoever holds a group's lock makes nobody else wait" {
	idq add -k 1 -g x
	idq add -k 2 -g y
	: >"$queue/groups/$(hash_of x)"
	chmod 600 "$queue/groups/$(hash_of x)"
	spawn flock "$queue/groups/$(hash_of x)" sh -c 'touch held; sleep 20'
	wait_for '[ -e held ]'
	is "$(idq show --field key "$(timeout 5 idq claim)")" 2
}

@test "pacing: purge removes what is known of idle groups, and nothing else" {
	need faketime
	idq add -k 1 -g x
	idq add -k 2 -g y
	idq ack "$(idq claim)"
	idq claim --lease 30d
	at +3d idq purge
	at +3d idq purge
	is "$(ls "$queue/groups")" "$(hash_of y)"
}

@test "pacing: --rate spreads the starts of the whole queue, and --drain waits for it" {
	for i in 1 2 3; do
		idq add -k "$i" -g "$i"
	done
	begin=$(date +%s%3N)
	# shellcheck disable=SC2016 # for the inner shell
	run -0 --separate-stderr timeout 20 idq work --drain -j 4 --rate 2/1s -- \
	    sh -c 'date +%s%3N >>starts'
	expect 0 ''
	# From the beginning: a shell may be late, and the next one not.
	is "$(sort -n starts | awk -v t="$begin" \
	    '$1 - t >= 500 * (NR - 1) { n++ } END { print n, NR }')" '3 3'
}

@test "pacing: config rate counts for claims and workers together" {
	need faketime
	idq config rate 6/1h
	is "$(idq config rate)" 6/1h
	idq add -k 1
	idq add -k 2
	idq add -k 3
	idq ack "$(idq claim)"
	run -1 --separate-stderr idq claim
	expect 1 ''
	run -0 at +11m idq work --once -- true
	is "$(state_of 2)" 'done'
	run -1 at +12m idq claim
	run -0 at +22m idq claim
}

@test "pacing: what is no rate is 64" {
	for rate in 10 10/ /1m 0/1m -1/1m 10/0s 10/1 x/1m 10/1m/2; do
		run -64 --separate-stderr idq work --drain --rate "$rate" -- true
		expect 64 '' "idq: work: --rate $rate: is no rate, which is like 10/1m"
		run -64 --separate-stderr idq config rate "$rate"
	done
	is "$(idq config rate)" none
}

@test "pacing: a thousand jobs of one group in front do not hold up another" {
	seq 1000 | sed 's/.*/{"key":"&","group":"x"}/' |
	    idq add --batch --json-lines
	idq add -k other -g y
	idq claim
	is "$(idq show --field key "$(idq claim)")" other
	is "$(parked)" 999
	# And no scan meets them again.
	idq add -k more -g z
	need strace
	# The leak checker is no friend of strace.
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 \
	    strace -o trace -e trace=openat idq claim >token
	is "$(idq show --field key "$(cat token)")" more
	# Nor are the files of `make coverage' the queue's.
	[ "$(grep -v '\.gcda"' trace | grep -c openat)" -lt 60 ]
	# The next of the large group is known without reading them again.
	idq ack "$(idq show --field token 1)"
	idq ack "$(idq claim)"
	[ -s "$queue/run/next.$(hash_of x)" ]
	is "$(idq show --field key "$(idq claim)")" 3
}

@test "pacing: a turn that cannot be taken does not make the worker spin" {
	idq add -k 1 -g x
	idq add -k 2 -g x
	idq config group-gap 1s
	idq ack "$(idq claim)"
	run -1 idq claim
	rm "$queue/groups/$(hash_of x)"
	mkdir "$queue/groups/$(hash_of x)"
	mkdir -p "$queue/turn/20200101T0000"
	: >"$queue/turn/20200101T0000/20200101T000000.000000Z.$(hash_of x)"
	chmod -R go= "$queue/turn"
	run -0 --separate-stderr timeout -k 1 10 idq work --drain -- true
	[ "$(wc -l <<<"$stderr")" -lt 10 ]
}

@test "pacing: a group whose file cannot be read starts nothing" {
	need cc
	cc -D_GNU_SOURCE -shared -fPIC -x c -o nogroup.so - <<-'END'
		#include <sys/stat.h>
		#include <sys/syscall.h>
		#include <errno.h>
		#include <fcntl.h>
		#include <stdio.h>
		#include <string.h>
		#include <unistd.h>
		int fstat(int, struct stat *);
		int fstat(int fd, struct stat *st)
		{
			static int seen;
			char link[64], path[512] = "";
			snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
			if (readlink(link, path, sizeof(path) - 1) > 0 &&
			    strstr(path, "/groups/") != NULL && seen++ > 0) {
				errno = EIO;
				return -1;
			}
			return fstatat(fd, "", st, AT_EMPTY_PATH);
		}
	END
	idq config group-max 2
	idq add -k 1 -g x
	idq claim
	idq add -k 2 -g x
	idq config group-max 1
	LD_PRELOAD=$PWD/nogroup.so run -1 --separate-stderr idq claim
	[ "$output" = '' ]
	[[ $stderr == 'idq: claim: '*/groups/*': Input/output error' ]]
	is "$(state_of 2)" new
}

@test "pacing: a damaged parked job does not hold up its group" {
	need faketime
	for i in 1 2 3; do
		idq add -k "$i" -g x
	done
	token=$(idq claim)
	run -1 idq claim
	truncate -s 20 "$(key_file 2)"
	idq ack "$token" 2>>told
	run -0 timeout -k 1 10 idq work --drain -- true
	is "$(state_of 3)" 'done'
}

@test "pacing: a damaged job that is the next does not hold up its group for ever" {
	need faketime
	local damage n=0

	# shellcheck disable=SC2016 # for eval
	for damage in 'truncate -s 20 "$(key_file "$n.1")"' \
	    'rm "$(key_file "$n.1")"' \
	    'rm "$name"; mkdir "$name"'; do
		n=$((n + 1))
		idq add -k "$n.1" -g "$n"
		idq add -k "$n.2" -g "$n"
		name=$(echo "$queue"/new/*."$(hash_of "$n.1")".*)
		eval "$damage"
		run -1 idq claim
		token=$(at +61s idq claim 2>>told)
		is "$(idq show --field key "$token")" "$n.2"
		[ -e "$name" ]
	done
}

@test "pacing: a turn passes over no next one that can still start" {
	need faketime
	idq add -k 1 -g x
	idq add -k 2 -g x
	idq pause
	run -1 at +61s idq claim
	idq resume
	is "$(idq show --field key "$(at +62s idq claim)")" 1
}

@test "pacing: a turn that only the group's file knows is none" {
	need faketime
	idq add -k 1 -g x
	idq add -k 2 -g x
	token=$(idq claim)
	sed -i "s/^Group: x/&\nTurn: 2099-01-01T00:00:00.000000Z/" \
	    "$queue/groups/$(hash_of x)"
	chmod 600 "$queue/groups/$(hash_of x)"
	run -1 idq claim
	is "$(turns)" 1
}

@test "pacing: jobs of a group are parked as they come, but for the next" {
	idq add -k 1 -g x
	seq 2 5 | sed 's/.*/{"key":"&","group":"x"}/' |
	    idq add --batch --json-lines
	is "$(find "$queue/new" -type f | wc -l) $(parked)" "1 4"
	is "$(idq work --drain -- printenv IDQ_KEY | tr '\n' ' ')" '1 2 3 4 5 '
	is "$(parked)" 0
}

@test "pacing: what is no job among the parked is told and passed over" {
	local folder

	for i in 1 2 3; do
		idq add -k "$i" -g x
	done
	folder=$queue/paced/$(hash_of x)
	mkdir "$folder/20200101T000000.000000Z.$(hash_of y).0123456789abcdef"
	run -0 --separate-stderr idq work --drain -- printenv IDQ_KEY
	is "$output" $'1\n2\n3'
	[[ $stderr == *'is no regular file; left alone'* ]]
}

@test "pacing: a folder by the name that a job would be parked by is no other job" {
	idq add -k a -g x
	rm "$queue/groups/"*
	mkdir -p "$queue/paced/$(hash_of x)/$(basename "$queue/new/"*)"
	run -0 --separate-stderr timeout -k 1 10 idq claim
	is "$stderr" ''
	is "$(state_of a)" $'paced\ncur'
}

@test "pacing: a job that cannot be parked does not make a claim spin" {
	local folder

	idq add -k a -g x
	folder=$queue/paced/$(hash_of x)
	mkdir -p "$folder/$(basename "$queue/new/"*)" \
	    "$folder/20200101T000000.000000Z.$(hash_of y).0123456789abcdef"
	rm "$queue/groups/"*
	run -1 --separate-stderr timeout -k 1 10 idq claim
	[[ $stderr == *': Is a directory'* ]]
	run -0 --separate-stderr timeout -k 1 10 idq work --drain -- true
	[ "$(wc -l <<<"$stderr")" -lt 10 ]
	is "$(find "$queue/new" -type f | wc -l)" 1
	rm -r "$folder"
	run -0 --separate-stderr timeout -k 1 10 idq claim
	is "$(state_of a)" cur
}

@test "pacing: a job by the name of a group's file, or the rate's, is not written to" {
	idq add -k a -g x
	idq add -k b
	rm -f "$queue/groups/"*
	ln "$(key_file b)" "$queue/groups/$(hash_of x)"
	ln "$(key_file b)" "$queue/groups/rate"
	cp "$(key_file b)" before
	run -0 --separate-stderr idq work --drain -- true
	[[ $stderr == *'groups/'*': is a job; left alone'* ]]
	is "$(state_of a) $(state_of b)" "new done"
	cmp -n "$(stat -c %s before)" before "$(key_file b)"
	cp "$(key_file b)" before
	idq add -k c
	idq config rate 10/1m
	run -1 --separate-stderr idq claim
	[[ $stderr == *'groups/rate: is a job; left alone'* ]]
	cmp before "$(key_file b)"
}
