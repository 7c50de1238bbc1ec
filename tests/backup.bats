#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# backup: a queue that was copied, with hard links or without, at rest or
# while a worker ran, is sound after fsck, and what was finished when the copy
# began does not run again.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

teardown() {
	: >gate
	common_teardown
}

# one_of_each: a job in each state, with that for a key, and two in a group.
one_of_each() {
	idq config output keep
	idq config group-gap 1h
	idq add -k 'done' -- payload
	idq add -k 'done' -- payload
	idq work --drain -- true
	ended failed 100
	idq add -k cancelled
	idq cancel cancelled
	idq add -k expired --not-after @1 2>>stderr
	idq add -k held
	idq hold held
	idq add -k running
	idq claim >token
	idq add -k first -g group
	idq add -k parked -g group
	idq work --drain -- true
	idq add -k waiting --in 1h
	idq add -k pending
	[ -n "$(find "$queue/paced" -type f)" ]
}

# what_is: all that a user can see of each job.
what_is() {
	idq ls -s all --json | sort
	idq show --output 'done'
}

# names: the state name of each job, but for those parked and pending, which
# are the same.
names() {
	(cd "$IDQ_SPOOL/default" && find new wait paced cur hold failed 'done' \
	    cancelled expired -type f | sed 's,^paced/[^/]*/,new/,' | sort)
}

# joined: each job has two names of one file.
joined() {
	(cd "$IDQ_SPOOL/default" && find keys new wait paced cur hold failed \
	    'done' cancelled expired -type f ! -links 2) | nothing
}

# mended: fsck puts all of the copy in spool2 right, and then finds nothing.
mended() {
	IDQ_SPOOL=$BATS_TEST_TMPDIR/spool2
	idq fsck >found
	grep -v '^fixed	' found | nothing
	run -0 --separate-stderr idq fsck
	expect 0 ''
	joined
}

# restored: the copy in spool2 is as the queue was when `before' and `places'
# were written, after fsck, and nothing that had ended runs.
restored() {
	mended
	queue=$IDQ_SPOOL/default
	what_is | diff before -
	names | diff places -
	idq work --drain -- sh -c 'echo "$IDQ_KEY"' >>ran
	idq show --output pending | diff - <(echo pending)
	[ ! -s ran ]
	run -0 --separate-stderr idq add -v -k 'done' -- payload
	[[ $output == duplicate$'\t'* ]]
	# The claim is as good as it was.
	idq ack "$(cat token)"
}

@test "backup: cp -a and tar of a queue at rest are the queue" {
	one_of_each
	what_is >before
	names >places
	cp -a spool spool2
	restored
	is "$(cat found)" ''
	rm -r spool2
	mkdir spool2
	tar -C spool -cf - . | tar -C spool2 -xf -
	restored
	is "$(cat found)" ''
}

@test "backup: rsync -aH of a queue at rest is the queue" {
	need rsync
	one_of_each
	what_is >before
	names >places
	rsync -aH spool/ spool2
	restored
	is "$(cat found)" ''
}

@test "backup: a copy without hard links runs nothing, and says so" {
	one_of_each
	cp -r spool spool2
	export IDQ_SPOOL=$BATS_TEST_TMPDIR/spool2
	run -0 --separate-stderr idq work --drain -- echo ran
	is "$output" ''
	[[ $stderr == *"does not own its key; run idq fsck"* ]]
}

@test "backup: fsck mends a copy without hard links" {
	one_of_each
	what_is >before
	names >places
	cp -r spool spool2
	IDQ_SPOOL=$PWD/spool2 run -1 --separate-stderr idq fsck -n
	is "$(cut -f1 <<<"$output" | sort -u)" left
	restored
	[ -s found ]
}

@test "backup: of two copies of a job that differ in length the longer counts" {
	local key

	idq add -k early
	idq add -k late
	cp -r spool spool2
	idq work --drain -- true
	# Of one job the name in keys is from before its run, of one the other.
	key=$(key_file early)
	cp "$key" "${key/spool/spool2}"
	mkdir -p spool2/default/'done'
	cp -r "$queue/done/." spool2/default/'done'
	rm spool2/default/'done'/*/"$(hash_of early)".*
	rm spool2/default/new/*"$(hash_of late)".*
	mended
	run -0 --separate-stderr idq work --drain -- echo ran
	expect 0 ''
	is "$(state_of early) $(state_of late)" 'done done'
}

# moving: the queue as `cp -r' copies it to spool2 while a job goes on from its
# key to its end, so that each place has it as it was when the copy came by.
moving() {
	local stage key before name

	idq add -k moving
	key=$(key_file moving)
	before=$(cd "$queue" && echo new/*)
	cp "$key" pending
	spawn idq work --drain -- sh -c ': >started
	    until [ -e gate ]; do sleep 0.02; done'
	wait_for '[ -e started ]'
	name=$(cd "$queue" && echo cur/*)
	cp "$key" running
	: >gate
	wait "$spawned_pid"
	cp -r spool spool2
	stage=$BATS_TEST_TMPDIR/spool2/default
	cp pending "$stage/${key#"$queue"/}"
	cp pending "$stage/$before"
	cp running "$stage/$name"
}

@test "backup: a job that went on while it was copied is where it went last" {
	moving
	mended
	is "$(state_of moving)" 'done'
}

@test "backup: a worker changes nothing of a copy without hard links" {
	local name

	moving
	# It could say of this one that it has expired.
	idq add -k late --ttl 1h
	name=$(cd "$queue" && echo new/*)
	cp "$queue/$name" spool2/default/new/
	cp "$(key_file late)" "$(key_file late | sed 's,/spool/,/spool2/,')"
	IDQ_SPOOL=$BATS_TEST_TMPDIR/spool2
	(cd spool2/default && find keys new cur 'done' -type f \
	    -exec sha256sum {} +) | sort >before
	run -0 --separate-stderr at +2h idq work --drain -- echo ran
	is "$output" ''
	[[ $stderr == *"cur/"*": does not own its key; run idq fsck"* ]]
	[[ $stderr == *"new/"*": does not own its key; run idq fsck"* ]]
	(cd spool2/default && find keys new cur 'done' -type f \
	    -exec sha256sum {} +) | sort | diff before -
	mended
	is "$(state_of moving) $(state_of late)" 'done new'
}

@test "backup: after a boot a copy without hard links is joined, and runs once" {
	idq add -k a
	cp -r spool spool2
	rm spool2/default/boot/*
	IDQ_SPOOL=$BATS_TEST_TMPDIR/spool2
	run -0 --separate-stderr idq work --drain -- echo ran
	expect 0 ran
	mended
	is "$(cat found)" ''
	run -0 --separate-stderr idq work --drain -- echo ran
	expect 0 ''
}

@test "backup: two copies of a job with different histories are left alone" {
	local name

	idq add -k a
	name=$(cd "$queue" && echo new/*)
	cp "$queue/$name" other
	rm "$queue/$name"
	mv other "$queue/$name"
	printf '%s claimed 1 host=x boot=x pid=1\n' \
	    2026-01-01T00:00:00.000000Z >>"$queue/$name"
	printf '%s cancelled 0 release=never by=x\n' \
	    2026-01-01T00:00:00.000000Z >>"$(key_file a)"
	before=$(cat "$queue/$name" "$(key_file a)")
	run -1 --separate-stderr idq fsck
	grep -q "^left	$name	.*another history" <<<"$output"
	is "$(cat "$queue/$name" "$(key_file a)")" "$before"
	run -0 --separate-stderr idq work --drain -- echo ran
	is "$output" ''
}

@test "backup: a job that ran when it was copied is tried again, or held" {
	idq add -k again
	idq add -k never --on-crash hold
	spawn idq work -j 2 -- sh -c 'echo >"started.$IDQ_KEY"
	    until [ -e gate ]; do sleep 0.02; done'
	wait_for '[ -e started.again ] && [ -e started.never ]'
	cp -a spool spool2
	export IDQ_SPOOL=$BATS_TEST_TMPDIR/spool2
	run -0 --separate-stderr idq fsck
	[[ $stderr == 'idq: fsck: default: never: held, '* ]]
	is "$(cut -f1 <<<"$output" | uniq)" fixed
	run -0 --separate-stderr idq work --drain -- sh -c 'echo "$IDQ_KEY"'
	is "$output" again
	is "$(state_of never)" hold
}

# busy COPY...: copy the queue to spool2 by that command while 150 jobs are
# added and run, after as many; what was done before the copy
# began is done in it, and no job is there twice.
busy() {
	local worker jobs=150

	export IDQ_SPOOL=$BATS_TEST_TMPDIR/spool
	seq "$jobs" | sed 's/$/\t/' >list
	# Those of another kind are finished when the copy begins.
	sed 's/^/old/' list | idq add --batch
	idq work --drain -- true
	spawn idq work -j 2 -- true
	worker=$spawned_pid
	spawn sh -c 'exec idq add --batch <list'
	wait_for '[ "$(find spool/default/done -type f | wc -l)" -gt 155 ]' 30
	find spool/default/done -type f -printf '%f\n' | sort >finished
	"$@" 2>>copy.err || :
	kill -TERM "$worker"
	wait "$spawned_pid" "$worker" || :
	[ "$(find spool2/default/keys -type f | wc -l)" -ge "$jobs" ]
	IDQ_SPOOL=$BATS_TEST_TMPDIR/spool2
	idq fsck >found || :
	run -0 --separate-stderr idq fsck
	expect 0 ''
	joined
	idq work --drain -- sh -c 'echo "$IDQ_HASH.$IDQ_ID"' >ran
	sort ran | comm -12 - finished | nothing
	sort ran | uniq -d | nothing
	(cd spool2/default && find 'done' -type f -printf '%f\n') | sort |
	    comm -13 - finished | nothing
	rm -rf spool spool2
	idq init -q "$BATS_TEST_TMPDIR/spool/default"
}

@test "backup: copies taken while a worker runs repeat nothing that was done" {
	busy cp -a spool spool2
	busy sh -c 'mkdir spool2; tar -C spool -cf - . | tar -C spool2 -xf -'
	busy cp -r spool spool2
}

@test "backup: rsync while a worker runs repeats nothing that was done" {
	need rsync
	# With incremental recursion rsync 3.5.0 can wait for itself.
	busy timeout 60 rsync -aH --no-inc-recursive spool/ spool2
}

@test "backup: without boot and run a queue is whole" {
	one_of_each
	what_is >before
	names >places
	cp -a spool spool2
	rm -r spool2/default/boot/* spool2/default/run/*
	restored
}

@test "backup: of every directory but keys, fsck makes the same again" {
	local dir

	one_of_each
	# A parked job is pending, wherever it stands.
	idq ls -s all --json | sort >before
	names >places
	for dir in new wait cur hold failed 'done' cancelled expired paced turn
	do
		cp -a spool spool2
		rm -r "spool2/default/$dir"
		IDQ_SPOOL=$PWD/spool2 idq fsck >found
		IDQ_SPOOL=$PWD/spool2 idq ls -s all --json | sort |
		    diff before -
		rm -r spool2
	done
	cp -a spool spool2
	rm -r spool2/default/{new,wait,cur,hold,failed,'done',cancelled} \
	    spool2/default/{expired,paced,turn,groups,asked,boot,run,log,tmp}
	mended
	idq ls -s all --json | sort | diff before -
	names | diff places -
	idq ack "$(cat token)"
	run -0 --separate-stderr idq work --drain -v -- true
	is "$(cut -f1,4 <<<"$output" | sort)" $'done\tparked\ndone\tpending'
}
