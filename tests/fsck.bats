#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# fsck: the directories are made to agree with the trails, and what cannot be
# mended is named.  What ordinary verbs mend themselves is in recovery.bats.

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

# one_of_each: a job in each state, with that for a key.
one_of_each() {
	ended 'done' 0
	ended failed 100
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

# name_of KEY: its state name, in the queue.
name_of() {
	(cd "$queue" && find new wait paced cur hold failed 'done' cancelled \
	    expired -name "*$(hash_of "$1").*")
}

# key_name KEY: keys/HH/H of it.
key_name() {
	local h

	h=$(hash_of "$1")
	echo "keys/${h:0:2}/$h"
}

# names: the state names and inodes of all jobs.
names() {
	(cd "$queue" && find new wait paced cur hold failed 'done' cancelled \
	    expired -type f -printf '%p %i\n' | sort)
}

# snapshot: all that is on disk.
snapshot() {
	(cd "$queue" && find . -printf '%P %y %i %m %s %T@ %l\n' | sort)
}

# mends PATH...: fsck says `fixed' of these paths, in any order, and of nothing
# else; with -n it says `left' and changes nothing; twice is once.
mends() {
	local before path

	before=$(snapshot)
	run -1 --separate-stderr idq fsck -n
	is "$stderr" ''
	is "$(cut -f1 <<<"$output" | sort -u)" left
	# What is missing can have more than one trace.
	for path; do
		grep -q "^left	$path	" <<<"$output"
	done
	is "$(snapshot)" "$before"
	run -0 --separate-stderr idq fsck
	is "$stderr" ''
	is "$(cut -f1 <<<"$output" | sort -u)" fixed
	is "$(cut -f2 <<<"$output" | sort -u)" "$(printf '%s\n' "$@" | sort -u)"
	# Words, in a column of their own.
	is "$(awk -F '\t' 'NF != 3 || $3 == ""' <<<"$output")" ''
	clean
}

# leaves PATH...: the same, where nothing can be mended.
leaves() {
	local before

	before=$(snapshot)
	for option in -n --; do
		run -1 --separate-stderr idq fsck "$option"
		is "$stderr" ''
		is "$(cut -f1 <<<"$output" | sort -u)" left
		is "$(cut -f2 <<<"$output" | sort)" \
		    "$(printf '%s\n' "$@" | sort)"
		is "$(snapshot)" "$before"
	done
}

clean() {
	run -0 --separate-stderr idq fsck
	expect 0 ''
}

@test "fsck: a sound queue is silent, and nothing changes" {
	clean
	one_of_each
	idq add -k pending
	run -1 --separate-stderr idq run -q default -k run -- false
	before=$(snapshot)
	clean
	is "$(snapshot)" "$before"
	run -0 --separate-stderr idq fsck -n
	expect 0 ''
}

@test "fsck: a job that is due but not yet promoted is sound" {
	need faketime
	idq add -k a --in 1h
	run -0 --separate-stderr at +2h idq fsck
	expect 0 ''
	is "$(state_of a)" wait
}

@test "fsck: an expired job whose key was taken anew is sound" {
	need faketime
	idq add -k a --ttl 1h
	at +2h idq add -k a
	run -0 --separate-stderr at +2h idq fsck
	expect 0 ''
	is "$(state_of a)" $'new\nexpired'
}

@test "fsck: -v says how many jobs were looked at" {
	one_of_each
	run -0 --separate-stderr idq fsck -v
	expect 0 $'checked\t8'
}

@test "fsck: --json prints an object a line" {
	need jq
	idq add -k a
	rm "$queue/$(name_of a)"
	echo junk >"$queue/new/junk"
	run -1 --separate-stderr idq fsck --json
	is "$stderr" ''
	is "$(jq -r '[.result, .path] | join(" ")' <<<"$output" | sort)" \
	    "fixed $(key_name a)
left new/junk"
	is "$(jq -r 'select(.what == "" or .what == null)' <<<"$output")" ''
	run -1 --separate-stderr idq fsck --json -v
	is "$(jq -c 'select(has("checked"))' <<<"$output")" \
	    '{"checked":1,"fixed":0,"left":1}'
}

@test "fsck: there are no operands" {
	run -64 --separate-stderr idq fsck default
	expect 64 '' 'idq: fsck: default: unexpected operand'
}

@test "fsck: a lost state name is made again, in each state" {
	local key paths=()

	one_of_each
	names >before
	for key in 'done' failed cancelled expired held running pending waiting; do
		rm "$queue/$(name_of "$key")"
		paths+=("$(key_name "$key")")
	done
	mends "${paths[@]}"
	names | diff before -
	# The claim is as good as it was.
	idq ack "$(cat token)"
	is "$(idq ls -s all | cut -f1 | sort -u | wc -l)" 7
}

@test "fsck: a deleted state directory is made again, with its jobs" {
	one_of_each
	before=$(idq ls -s all | sort)
	rm -r "$queue/new" "$queue/failed" "$queue/done"
	run -0 --separate-stderr idq fsck
	is "$stderr" ''
	is "$(grep -vc '^fixed	' <<<"$output")" 0
	for path in new failed 'done' "$(key_name pending)" \
	    "$(key_name failed)" "$(key_name 'done')"; do
		grep -q "^fixed	$path	" <<<"$output"
	done
	is "$(idq ls -s all | sort)" "$before"
	clean
}

@test "fsck: all state directories can be made again from keys alone" {
	one_of_each
	idq add -k pending
	before=$(idq ls -s all | sort)
	rm -r "$queue"/{new,wait,cur,hold,failed,'done',cancelled,expired}
	idq fsck >out
	is "$(idq ls -s all | sort)" "$before"
	clean
}

@test "fsck: a missing folder of keys is made again" {
	rmdir "$queue/keys/7f"
	run -0 --separate-stderr idq fsck
	is "$output" "$(printf 'fixed\tkeys/7f\t%s' "${output##*$'\t'}")"
	[ -d "$queue/keys/7f" ]
	is "$(stat -c %a "$queue/keys/7f")" 700
	clean
}

@test "fsck: a job in the wrong directory goes where its trail says" {
	local key name to wrong paths

	one_of_each
	names >before
	for to in cur hold failed new; do
		paths=()
		for key in 'done' failed cancelled expired held pending \
		    waiting; do
			name=$(name_of "$key")
			wrong=$to/$(hash_of "$key").$(id_of "$key")
			[[ $name != "$to"/* ]] || continue
			[ "$to" != new ] ||
			    wrong=new/20260101T000000.000000Z.${wrong#new/}
			mv "$queue/$name" "$queue/$wrong"
			paths+=("$wrong")
		done
		mends "${paths[@]}"
		names | diff before -
	done
}

@test "fsck: a name with the wrong due time is put right" {
	idq add -k a
	name=$(name_of a)
	wrong=new/20260101T000000.000000Z.$(hash_of a).$(id_of a)
	mv "$queue/$name" "$queue/$wrong"
	mends "$wrong"
	is "$(name_of a)" "$name"
}

@test "fsck: a job in two directories loses the one that its trail denies" {
	local key wrong paths=()

	one_of_each
	names >before
	for key in 'done' failed held pending waiting; do
		wrong=cur/$(hash_of "$key").$(id_of "$key")
		ln "$queue/$(name_of "$key")" "$queue/$wrong"
		paths+=("$wrong")
	done
	mends "${paths[@]}"
	names | diff before -
}

@test "fsck: a lost file of keys is linked again" {
	local key paths=()

	one_of_each
	names >before
	for key in 'done' failed held pending waiting running; do
		rm "$(key_file "$key")"
		paths+=("$(name_of "$key")")
	done
	mends "${paths[@]}"
	names | diff before -
	for key in 'done' failed held pending waiting running; do
		[ "$(key_file "$key")" -ef "$queue/$(name_of "$key")" ]
	done
	run -0 --separate-stderr idq add -v -k 'done'
	[[ $output == duplicate$'\t'* ]]
}

@test "fsck: a job past its release whose key is gone is removed" {
	need faketime
	ended a 0
	rm "$(key_file a)"
	run -0 --separate-stderr at +8d idq fsck
	[[ $output == "fixed	done/"* ]]
	is "$(state_of a)" ''
	[ ! -e "$(key_file a)" ]
	clean
}

@test "fsck: an unfinished job whose key is another's is held, never run" {
	idq add -k a
	mv "$queue/$(name_of a)" keep
	rm "$(key_file a)"
	idq add -k a
	id=$(sed -n 's/^Id: //p;/^$/q' keep)
	stray=new/20260101T000000.000000Z.$(hash_of a).$id
	cp keep "$queue/$stray"
	chmod 600 "$queue/$stray"
	mends "$stray"
	[ -e "$queue/hold/$(hash_of a).$id" ]
	run -0 --separate-stderr idq work --drain -- sh -c 'echo "$IDQ_ID"'
	expect 0 "$(id_of a)"
}

@test "fsck: what is left of adders in tmp is finished or removed" {
	idq add -k unfinished
	mv "$queue/$(name_of unfinished)" "$queue/tmp/$(id_of unfinished)"
	mends "tmp/$(id_of unfinished)"
	is "$(state_of unfinished)" new
	idq add -k unlinked
	id=$(id_of unlinked)
	mv "$queue/$(name_of unlinked)" "$queue/tmp/$id"
	rm "$(key_file unlinked)"
	mends "tmp/$id"
	is "$(state_of unlinked)" ''
	[ ! -e "$queue/tmp/$id" ]
	printf 'idq job 1\nKey: ' >"$queue/tmp/0123456789abcdef"
	chmod 600 "$queue/tmp/0123456789abcdef"
	mends tmp/0123456789abcdef
	[ ! -e "$queue/tmp/0123456789abcdef" ]
}

@test "fsck: an adder that lives is left to it" {
	idq add -k a
	mv "$queue/$(name_of a)" "$queue/tmp/$(id_of a)"
	spawn flock "$(key_file a)" sh -c 'echo $$ >locked; exec sleep 60'
	wait_for '[ -s locked ]'
	clean
	[ -e "$queue/tmp/$(id_of a)" ]
	kill "$(cat locked)"
	wait_for 'flock -n "$(key_file a)" true'
	mends "tmp/$(id_of a)"
	is "$(state_of a)" new
}

@test "fsck: a file of keys that was never accepted is removed" {
	idq add -k a
	rm "$queue/$(name_of a)"
	: >"$(key_file a)"
	mends "$(key_name a)"
	[ ! -e "$(key_file a)" ]
}

@test "fsck: a job whose worker is dead is interrupted" {
	idq add -k a
	spawn idq work -- sh -c 'echo $$ >started
	    until [ -e gate ]; do sleep 0.02; done'
	wait_for '[ -s started ]'
	# While it lives it is sound.
	clean
	is "$(state_of a)" cur
	kill -KILL "$spawned_pid"
	clean
	is "$(state_of a)" cur
	kill -KILL -- "-$(cat started)"
	wait_for 'flock -n "$(key_file a)" true'
	mends "cur/$(hash_of a).$(id_of a)"
	is "$(state_of a)" new
	[[ $(idq show --field last a) == *' interrupted 1 '* ]]
}

@test "fsck: a dead worker's job in a wrong directory is mended at once" {
	local name

	idq add -k a
	idq claim --lease 1s >token
	name=$(name_of a)
	mv "$queue/$name" "$queue/hold/${name##*/}"
	run -0 --separate-stderr at +1h idq fsck
	[[ $output == *'interrupted: now pending'* ]]
	run -0 --separate-stderr at +1h idq fsck
	expect 0 ''
	is "$(state_of a)" new
}

@test "fsck: a lease that ran out is interrupted, another is not" {
	need faketime
	idq add -k a
	idq claim --lease 1h >token
	run -0 --separate-stderr at +30m idq fsck
	expect 0 ''
	run -0 --separate-stderr at +2h idq fsck
	[[ $output == "fixed	cur/$(hash_of a).$(id_of a)	"* ]]
	is "$(state_of a)" new
}

@test "fsck: foreign files are named and left alone" {
	local h

	idq add -k a
	h=$(hash_of x)
	echo junk >"$queue/new/junk"
	echo junk >"$queue/cur/$h.0123456789abcdef"
	ln -s /etc/passwd "$queue/failed/$h.0123456789abcdef"
	mkdir "$queue/hold/$h.0123456789abcdef"
	mkfifo "$queue/new/20260101T000000.000000Z.$h.0123456789abcdef"
	echo junk >"$queue/keys/${h:0:2}/$h"
	echo junk >"$queue/keys/00/junk"
	mkdir "$queue/done/yesterday"
	echo junk >"$queue/tmp/junk"
	# Of a job that has its names, too.
	ln "$(key_file a)" "$queue/keys/00/more"
	ln "$(key_file a)" "$queue/keys/${h:0:2}/${h/%?/x}"
	leaves new/junk "cur/$h.0123456789abcdef" \
	    "failed/$h.0123456789abcdef" "hold/$h.0123456789abcdef" \
	    "new/20260101T000000.000000Z.$h.0123456789abcdef" \
	    "keys/${h:0:2}/$h" keys/00/junk done/yesterday tmp/junk \
	    keys/00/more "keys/${h:0:2}/${h/%?/x}"
	is "$(state_of a)" new
}

@test "fsck: a foreign name cannot act on the terminal, nor make a line" {
	need script
	printf junk >"$queue/new/"$'\033[31mred\nfixed\t.\tx'
	run -1 --separate-stderr idq fsck
	is "$stderr" ''
	is "${#lines[@]}" 1
	[[ $output != *$'\033'* ]]
	[[ $output == *'\033[31mred\012'* ]]
}

@test "fsck: a damaged job is named and left alone, the others are mended" {
	ended 'done' 0
	idq add -k a
	idq add -k b
	# In place: both names are of that file.
	sed 's/^Due: .*/Due: whenever/' "$(key_file a)" >damaged
	cat damaged >"$(key_file a)"
	sed 's/^Key: .*/Key: other/' "$(key_file 'done')" >damaged
	cat damaged >"$(key_file 'done')"
	rm "$queue/$(name_of b)"
	run -1 --separate-stderr idq fsck
	is "$stderr" ''
	grep -q "^fixed	$(key_name b)	" <<<"$output"
	grep -q "^left	$(name_of a)	" <<<"$output"
	grep -q "^left	$(name_of 'done')	" <<<"$output"
	is "$(state_of b)" new
	grep -qx 'Due: whenever' "$(key_file a)"
	grep -qx 'Key: other' "$queue/$(name_of 'done')"
	[ "$(key_file a)" -ef "$queue/$(name_of a)" ]
	[ "$(key_file 'done')" -ef "$queue/$(name_of 'done')" ]
}

@test "fsck: a dry run may look at what may not be written" {
	need_root
	idq add -k a
	rm "$queue/$(name_of a)"
	cp -a "$IDQ_SPOOL" theirs
	chown -R 65534:65534 theirs
	chmod -R a-w theirs
	run -1 --separate-stderr env IDQ_SPOOL="$PWD/theirs" "$IDQ" fsck -n
	is "$(cut -f1,2 <<<"$output")" "left	$(key_name a)"
	is "$stderr" ''
	IDQ_SPOOL=$PWD/theirs run -1 --separate-stderr as_user 65534 \
	    idq fsck -n
	is "$(cut -f1,2 <<<"$output")" "left	$(key_name a)"
	is "$stderr" ''
}

@test "fsck: workers and producers go on meanwhile" {
	local worker

	spawn idq work -j 2 -- true
	worker=$spawned_pid
	seq 300 | sed 's/$/\t/' >list
	spawn sh -c 'exec idq add --batch <list'
	for _ in 1 2 3 4 5 6 7 8; do
		# An adder whose file it took before its lock starts again.
		run -0 --separate-stderr idq fsck
		is "$(grep -v '^fixed	tmp/' <<<"$output")" ''
		is "$stderr" ''
	done
	wait "$spawned_pid"
	wait_for '[ "$(find "$queue/done" -type f | wc -l)" -eq 300 ]' 30
	kill -TERM "$worker"
	wait "$worker"
	is "$(cat "$queue"/log/* | cut -f2 | sort | uniq -c | xargs)" \
	    '300 added 300 claimed 300 done'
	clean
}

@test "fsck: what a clock that was ahead has decided is listed" {
	need faketime
	at +10y idq add -k waiting
	idq add -k expired --ttl 1h
	at +10y idq add -k 'done'
	at +10y idq add -k leased
	at +10y idq claim --lease 1h >/dev/null
	at +10y idq add -k busy
	at +10y idq work --drain -- sh -c 'test "$IDQ_KEY" != busy' 2>>stderr
	idq add -k fine
	idq add -k here
	run -1 --separate-stderr idq fsck
	is "$stderr" ''
	is "$(cut -f1 <<<"$output" | sort -u)" left
	is "${#lines[@]}" 5
	for line in "cur/.*: leased until 20" "expired/.*: expired$" \
	    "done/.*: its key is held until 20" \
	    "wait/.*: not due until 20"; do
		grep -q "	by a clock that was ahead, 20.*${line#*: }" \
		    <<<"$output"
		grep -q "${line%%.*}" <<<"$output"
	done
	# Nothing is changed by it, and time heals it.
	run -1 --separate-stderr idq fsck -n
	is "${#lines[@]}" 5
	run --separate-stderr at +11y idq fsck -n
	[[ $output != *"clock that was ahead"* ]]
}

@test "fsck: clocks that differ by seconds are no finding" {
	need faketime
	at +30s idq add -k a
	at +30s idq work --drain -- true
	clean
}

@test "fsck: an ended job without a key in a wrong directory is mended at once" {
	local name

	idq add -k a
	idq fail --exit 100 "$(idq claim)"
	name=$(name_of a)
	mv "$queue/$name" "$queue/cur/${name##*/}"
	rm "$(key_file a)"
	run -0 --separate-stderr idq fsck
	[[ $output == *'linked again'*'moved to where its trail says'* ]]
	run -0 --separate-stderr idq fsck
	expect 0 ''
	is "$(state_of a)" failed
}

@test "fsck: a parked job that a mending lets out is mended, too" {
	need faketime
	idq add -g g -k a --on-crash hold
	idq claim --lease 1s >token
	idq add -g g -k b
	name=$(name_of a)
	mv "$queue/$name" "$queue/new/20260101T000000.000000Z.${name##*/}"
	rm "$(key_file b)"
	run -0 --separate-stderr at +1h idq fsck
	[[ $output == *'interrupted: now held'* ]]
	[[ $output == *$'\tits key had no file: linked again'* ]]
	run -0 --separate-stderr at +1h idq fsck
	expect 0 ''
	is "$(state_of a)" hold
	is "$(state_of b)" new
}

@test "fsck: a job that cannot be put where it belongs stays as it was" {
	local option

	idq add -k a
	rm -r "$queue/new"
	ln -s /nowhere "$queue/new"
	for option in -n -- --; do
		run -1 --separate-stderr idq fsck "$option"
		is "$stderr" ''
		is "$output" $'left\tnew\tis a symbolic link; put that right first'
		find "$queue/tmp" -type f | nothing
	done
	rm "$queue/new"
	run -0 --separate-stderr idq fsck
	is "$(state_of a)" new
	clean
}

@test "fsck: a file or a link in place of any directory is named, nothing else done" {
	local dir

	idq add -k a
	rm "$queue/$(name_of a)"
	is "$(cd "$queue" && printf '%s\n' */ | wc -l)" 19
	for dir in $(cd "$queue" && printf '%s\n' */) keys/7f; do
		dir=${dir%/}
		mv "$queue/$dir" saved
		ln -s "$PWD/saved" "$queue/$dir"
		find saved -printf '%p %i %T@\n' | sort >before
		leaves "$dir"
		find saved -printf '%p %i %T@\n' | sort | diff before -
		rm "$queue/$dir"
		: >"$queue/$dir"
		leaves "$dir"
		rm "$queue/$dir"
		mv saved "$queue/$dir"
	done
	mends "$(key_name a)"
}

@test "fsck: any directory that is missing is made again, and -n says so" {
	local dir within

	for dir in $(cd "$queue" && printf '%s\n' */) keys/7f; do
		dir=${dir%/}
		within=()
		[ "$dir" != keys ] ||
		    mapfile -t within < <(printf 'keys/%02x\n' {0..255})
		rm -r "${queue:?}/$dir"
		mends "$dir" "${within[@]}"
		is "$(stat -c %a "$queue/$dir")" 700
	done
}

@test "fsck: a job gets the key that an unfinished purge has left" {
	need faketime
	idq add -k a
	id=$(id_of a)
	mv "$queue/$(name_of a)" keep
	rm "$(key_file a)"
	ended a 0
	rm "$queue/$(name_of a)"
	stray=new/20260101T000000.000000Z.$(hash_of a).$id
	cp keep "$queue/$stray"
	chmod 600 "$queue/$stray"
	run -0 --separate-stderr at +8d idq fsck
	[[ $output == *"$(key_name a)"$'\tpast its release: removed'* ]]
	[[ $output == *"$stray"$'\tits key had no file: linked again'* ]]
	is "$(cut -f1 <<<"$output" | sort -u)" fixed
	run -0 --separate-stderr at +8d idq fsck
	expect 0 ''
	is "$(id_of a)" "$id"
	is "$(state_of a)" new
}

@test "fsck: a link in keys by the hash of another key is named" {
	local other

	idq add -k a
	other=$(key_name b)
	ln "$(key_file a)" "$queue/$other"
	leaves "$other"
}

@test "fsck: a job that stands there by another's id is not passed over" {
	local name

	idq add -k a
	name=$(name_of a)
	mv "$queue/$name" "$queue/${name%.*}.0123456789abcdef"
	run -1 --separate-stderr idq fsck
	[[ $output == "left	${name%.*}.0123456789abcdef"$'\t'* ]]
	[[ $output == *"fixed	$(key_name a)"$'\t'* ]]
	[ -e "$queue/$name" ]
	leaves "${name%.*}.0123456789abcdef"
	run -0 --separate-stderr idq work --drain -- true
	is "$(state_of a)" $'new\ndone'
}

@test "fsck: a clock that was ahead is named with a job in no directory, too" {
	need faketime
	at +10y idq add -k a
	at +10y idq work --drain -- true
	rm "$queue/$(name_of a)"
	run -1 --separate-stderr idq fsck
	[[ $output == *"left	$(key_name a)	by a clock that was ahead, "* ]]
	[[ $output == *"fixed	$(key_name a)"$'\t'* ]]
	is "$(state_of a)" 'done'
	leaves "$(name_of a)"
}

@test "fsck: what is in the way of a job is not overwritten" {
	local home

	one_of_each
	for key in 'done' failed held pending; do
		home=$(name_of "$key")
		mv "$queue/$home" "$queue/cur/$(hash_of "$key").$(id_of "$key")"
		echo junk >"$queue/$home"
		echo "$home" >>homes
	done
	run -1 --separate-stderr idq fsck
	is "$stderr" ''
	while read -r home; do
		[[ $output == *"left	cur/"*"	$home: is in the way; left alone"* ]]
		is "$(cat "$queue/$home")" junk
	done <homes
	run -1 --separate-stderr idq fsck
	is "$(cut -f1 <<<"$output" | sort -u)" left
	(cd "$queue" && xargs rm <"$OLDPWD/homes")
	run -0 --separate-stderr idq fsck
	for key in 'done' failed held pending; do
		name_of "$key"
	done | diff homes -
	clean
}

@test "fsck: a stray job is held although the one with its key cannot be mended" {
	local home stray wrong

	idq add -k a
	mv "$queue/$(name_of a)" keep
	rm "$(key_file a)"
	idq add -k a
	home=$(name_of a)
	wrong=cancelled/2020-01-01/$(hash_of a).$(id_of a)
	mkdir -m 700 "$queue/cancelled/2020-01-01"
	mv "$queue/$home" "$queue/$wrong"
	echo junk >"$queue/$home"
	stray=$(hash_of a).$(sed -n 's/^Id: //p;/^$/q' keep)
	cp keep "$queue/new/20250101T000000.000000Z.$stray"
	chmod 600 "$queue/new/20250101T000000.000000Z.$stray"
	run -1 --separate-stderr idq fsck
	[ -e "$queue/hold/$stray" ]
	run -1 --separate-stderr idq fsck
	is "$(cut -f1,2 <<<"$output" | sort)" \
	    "$(printf 'left\t%s\n' "$home" "$wrong" | sort)"
}

@test "fsck: an expired job in a wrong directory is moved, also without its key" {
	idq add -k a --not-after @1
	idq add -k a
	name=$(cd "$queue" && echo expired/*/*)
	mv "$queue/$name" "$queue/hold/${name##*/}"
	mends "hold/${name##*/}"
	[ -e "$queue/$name" ]
	rm "$(key_file a)" "$queue/new/"*
	mv "$queue/$name" "$queue/hold/${name##*/}"
	mends "hold/${name##*/}"
	[ -e "$queue/$name" ]
}

@test "fsck: a job in two directories that a wish ends has one name then" {
	idq add -k a
	idq release "$(idq claim)"
	ln "$queue/$(name_of a)" "$queue/cur/$(hash_of a).$(id_of a)"
	echo 'cancel 2026-01-01T00:00:00.000000Z somebody' \
	    >"$queue/asked/$(id_of a)"
	chmod 600 "$queue/asked/$(id_of a)"
	run -0 --separate-stderr idq fsck
	is "$(state_of a)" cancelled
	clean
}

@test "fsck: a wrong name in wait is moved to where it says" {
	idq add -k a
	name=$(name_of a)
	mkdir -m 700 "$queue/wait/20260101T0000"
	mv "$queue/$name" "$queue/wait/20260101T0000/20260101T000000.000000Z.$(
	    hash_of a).$(id_of a)"
	run -0 --separate-stderr idq fsck
	[[ $output == *": $name" ]]
	is "$(name_of a)" "$name"
}

@test "fsck: a job gets the key that an unfinished add has left" {
	local name

	idq add -k a --not-after @1
	name=$(name_of a)
	rm "$(key_file a)"
	: >"$(key_file a)"
	# It does not say any more that it has expired.
	sed -i '$d' "$queue/$name"
	chmod 600 "$queue/$name"
	run -0 --separate-stderr idq fsck
	[[ $output == *"$(key_name a)"$'\tnever accepted: removed'* ]]
	[[ $output == *"$name"$'\tits key had no file: linked again'* ]]
	is "$(state_of a)" new
	clean
}

@test "fsck: what could not be synced is not synced once more by another look" {
	need strace
	export ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0
	idq add -k a
	idq add -k b
	idq work --drain -- true
	for key in a b; do
		mv "$queue/$(name_of $key)" "$queue/new/20260101T000000.000000Z.$(
		    hash_of $key).$(id_of $key)"
	done
	# That b is mended is a reason to look again.
	run -1 --separate-stderr strace -qq -o calls -P "$queue/$(name_of a)" \
	    -e inject=fsync:error=EIO idq fsck
	[[ $output == *"$(hash_of a)"*'sync: Input/output error'* ]]
	is "$(state_of b)" 'done'
	is "$(grep -c 'fsync(' calls)" 1
}
