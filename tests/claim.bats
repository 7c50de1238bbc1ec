#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# claim: which job, in which order, and what a claim leaves on disk.

# Each test is a subshell of its own, and some words are for eval later;
# $output and $stderr come from bats; names in a queue are plain.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

teardown() {
	if [ -n "${mounted-}" ]; then
		umount "$mounted"
	fi
	common_teardown
}

# token_of KEY N: the token of its Nth claim.
token_of() {
	printf '%s.%s.%d\n' "$(hash_of "$1")" "$(header Id "$1")" "$2"
}

# new_name KEY: the path of its name in new/.
new_name() {
	printf '%s\n' "$queue"/new/*."$(hash_of "$1")".*
}

# claim_all: claim until nothing is due, and print the keys.
claim_all() {
	local token

	while token=$(idq claim); do
		idq show --field key "$token"
	done
}

@test "claim: prints the token H.ID.N and nothing else" {
	idq add -k a
	run -0 --separate-stderr idq claim
	expect 0 "$(token_of a 1)"
	[[ $output =~ ^[0-9a-f]{64}\.[0-9a-f]{16}\.1$ ]]
}

@test "claim: with nothing due exits 1 in silence" {
	run -1 --separate-stderr idq claim
	expect 1 ''
	idq add -k a
	idq claim
	run -1 --separate-stderr idq claim
	expect 1 ''
}

@test "claim: moves the job to cur, which is the file of its key" {
	idq add -k a
	idq claim
	[ "$(state_of a)" = cur ]
	name=$queue/cur/$(hash_of a).$(header Id a)
	[ "$name" -ef "$(key_file a)" ]
	find "$queue/new" "$queue/wait" "$queue/tmp" -type f | nothing
	[ "$(stat -c %h "$name")" -eq 2 ]
}

@test "claim: leaves a line in the trail, with host, boot, pid and lease" {
	idq add -k a
	idq claim
	[ "$(trail a | wc -l)" -eq 1 ]
	line=$(trail a)
	[[ $line =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{6}Z\ claimed\ 1\ host=[^\ ]+\ boot=[0-9a-f]{8}\ pid=[0-9]+\ lease=[^\ ]+$ ]]
	[ "$(value host "$line")" = "$(hostname)" ]
	boot=$(cat /proc/sys/kernel/random/boot_id)
	[ "$(value boot "$line")" = "${boot:0:8}" ]
	[ "$(between "${line%% *}" "$(value lease "$line")")" -eq 600 ]
}

@test "claim: leaves a line in the log" {
	idq add -k a -g g
	token=$(idq claim)
	log=$(grep -hP '\tclaimed\t' "$queue"/log/*)
	[ "$(cut -f3,5,6 <<<"$log")" = "$token	g	a" ]
	[ "$(cut -f1,2,4 <<<"$log")" = \
	    "$(trail a | sed 's/ claimed 1 /\tclaimed\t/')" ]
}

@test "claim: changes neither header nor payload" {
	printf 'x\n\ny' | idq add -k a --payload - -- arg
	size=$(stat -c %s "$(key_file a)")
	cp "$(key_file a)" before
	idq claim
	head -c "$size" "$(key_file a)" | cmp - before
}

@test "claim: files and folders are the owner's alone, umask 000 or 077" {
	for mask in 000 077; do
		idq add -k "$mask"
		(umask "$mask" && idq claim)
		[ "$(find "$queue" -printf '%y %m\n' | sort -u)" = \
		    $'d 700\nf 600' ]
	done
}

@test "claim: takes the job that is due first, whatever order they came in" {
	for t in 300 100 500 200 400; do
		idq add -k "t$t" --at "@1700000$t"
	done
	idq add -k now
	[ "$(ls "$queue/new" | wc -l)" -eq 6 ]
	claim_all >order
	printf 't%s\n' 100 200 300 400 500 >expected
	echo now >>expected
	diff expected order
}

@test "claim: the order is that of ls new" {
	for k in 9 3 7 1 5; do
		idq add -k "$k"
	done
	ls "$queue/new" | cut -d. -f3 >expected
	claim_all >keys
	[ "$(cat keys)" = $'9\n3\n7\n1\n5' ]
	while read -r k; do
		hash_of "$k"
	done <keys | diff expected -
}

@test "claim: more jobs than one look takes come in order too" {
	for i in {1..150}; do
		printf 'k%d\n' "$i"
	done >keys
	# Two batches, the one that is due first added last.
	tail -n 75 keys | idq add --batch --at @1700000100
	head -n 75 keys | idq add --batch --at @1700000000
	claim_all >order
	[ "$(wc -l <order)" -eq 150 ]
	head -n 75 order | LC_ALL=C sort | diff - <(head -n 75 keys | LC_ALL=C sort)
	tail -n 75 order | LC_ALL=C sort | diff - <(tail -n 75 keys | LC_ALL=C sort)
}

@test "claim: leaves a job whose time is still to come" {
	need faketime
	idq add -k a --in 2h
	run -1 --separate-stderr idq claim
	expect 1 ''
	run -1 --separate-stderr at +119m idq claim
	expect 1 ''
	[ "$(state_of a)" = wait ]
	run -0 --separate-stderr at +121m idq claim
	expect 0 "$(token_of a 1)"
	[ "$(state_of a)" = cur ]
	# Its minute has gone.
	[ -z "$(ls -A "$queue/wait")" ]
}

@test "claim: takes what has waited in the order in which it was due" {
	need faketime
	idq add -k c --in 3h
	idq add -k a --in 1h
	idq add -k b --in 2h
	for key in a b c; do
		run -0 --separate-stderr at +4h idq claim
		expect 0 "$(token_of "$key" 1)"
	done
}

@test "claim: a job past its deadline expires and is not claimed" {
	need faketime
	idq add -k a --ttl 1h
	idq add -k b
	run -0 --separate-stderr at +2h idq claim
	expect 0 "$(token_of b 1)"
	[ "$(state_of a)" = expired ]
	[ "$(events a)" = 'expired 0 ' ]
	line=$(trail a)
	[ "$queue/expired/${line:0:10}/$(hash_of a).$(header Id a)" -ef \
	    "$(key_file a)" ]
	[ "$(between "${line%% *}" "$(value release "$line")")" -eq 604800 ]
	run -1 --separate-stderr at +2h idq claim
	expect 1 ''
}

@test "claim: a job that is late but before its deadline is claimed" {
	need faketime
	idq add -k a --ttl 3h
	run -0 --separate-stderr at +2h idq claim
	expect 0 "$(token_of a 1)"
}

@test "claim: a job that another process has locked is skipped" {
	idq add -k a --at @1700000000
	idq add -k b
	spawn flock "$(new_name a)" sh -c 'echo "$$" >locked; exec sleep 60'
	wait_for '[ -s locked ]'
	run -0 --separate-stderr idq claim
	expect 0 "$(token_of b 1)"
	run -1 --separate-stderr idq claim
	expect 1 ''
	[ "$(state_of a)" = new ]
	kill -KILL "$(cat locked)"
	wait_for 'flock -n "$(key_file a)" true'
	run -0 --separate-stderr idq claim
	expect 0 "$(token_of a 1)"
}

@test "claim: many at once get one job each, and each job once" {
	seq 40 | sed 's/^/job/' | idq add --batch
	# shellcheck disable=SC2329
	claimer() {
		while idq claim; do
			:
		done
	}
	for _ in 1 2 3 4; do
		spawn claimer
	done
	for pid in "${spawned[@]}"; do
		wait "$pid" || [ $? -eq 1 ]
	done
	spawned=()
	nothing <spawn.err
	[ "$(wc -l <spawn.out)" -eq 40 ]
	[ "$(cut -d. -f1 spawn.out | sort -u | wc -l)" -eq 40 ]
	cut -d. -f3 spawn.out | grep -vx 1 | nothing
	[ "$(ls "$queue/cur" | wc -l)" -eq 40 ]
}

@test "claim: --lease says for how long, else the queue's lease" {
	idq add -k a
	idq add -k b
	idq claim --lease 1h30m
	line=$(trail a)
	[ "$(between "${line%% *}" "$(value lease "$line")")" -eq 5400 ]
	idq config lease 20s
	idq claim
	line=$(trail b)
	[ "$(between "${line%% *}" "$(value lease "$line")")" -eq 20 ]
}

@test "claim: once the lease is over the job is claimed anew, never with an N again" {
	need faketime
	idq add -k a
	for n in 1 2 3; do
		run -0 --separate-stderr at "+${n}h" idq claim --lease 10m
		expect 0 "$(token_of a "$n")"
	done
	[ "$(events a)" = \
	    'claimed 1 interrupted 1 claimed 2 interrupted 2 claimed 3 ' ]
	[[ $(trail a) == *' interrupted 1 to=new next='* ]]
	# Due as it was before.
	[ "$(value next "$(trail a | sed -n 2p)")" = "$(header Due a)" ]
}

@test "claim: a lease that runs out uses up attempts" {
	need faketime
	idq add -k a --attempts 2
	at +1h idq claim
	at +2h idq claim
	run --separate-stderr at +3h idq claim
	[ "$status" -eq 1 ]
	[ "$output" = '' ]
	[ "$(state_of a)" = failed ]
	[ "$(events a)" = \
	    'claimed 1 interrupted 1 claimed 2 interrupted 2 ' ]
	line=$(trail a | tail -n 1)
	[ "$(value to "$line")" = failed ]
	[ "$(between "${line%% *}" "$(value release "$line")")" -eq 2592000 ]
}

@test "claim: with on-crash hold a lease that runs out is held" {
	need faketime
	idq add -k a --on-crash hold
	idq claim
	run -1 --separate-stderr at +1h idq claim
	[ "$output" = '' ]
	[ "$(state_of a)" = hold ]
	[ "$queue/hold/$(hash_of a).$(header Id a)" -ef "$(key_file a)" ]
	[[ $(trail a | tail -n 1) == *' interrupted 1 to=hold'* ]]
}

@test "claim: --json prints an object with token and job" {
	need jq
	idq add -k call/42 -g +45 --payload - -- x 'y z' <<<hi
	run -0 --separate-stderr idq claim --json
	[ "$stderr" = '' ]
	[ "$(wc -l <<<"$output")" -eq 1 ]
	[ "$(jq -r .token <<<"$output")" = "$(token_of call/42 1)" ]
	[ "$(jq -r .key <<<"$output")" = call/42 ]
	[ "$(jq -r .state <<<"$output")" = running ]
	[ "$(jq -r .group <<<"$output")" = +45 ]
	[ "$(jq -r .hash <<<"$output")" = "$(hash_of call/42)" ]
	run -1 --separate-stderr idq claim --json
	expect 1 ''
}

@test "claim: the token opens the job: cat and show" {
	idq add -k a -g g --payload - -- one 'two words' <<<hello
	token=$(idq claim)
	run -0 --separate-stderr idq cat "$token"
	expect 0 hello
	run -0 --separate-stderr idq show --field key "$token"
	expect 0 a
	run -0 --separate-stderr idq show --field group "$token"
	expect 0 g
	run -0 --separate-stderr idq show --field arg "$token"
	expect 0 $'one\ntwo words'
	idq show -0 --field arg "$token" | cmp - <(printf 'one\0two words\0')
}

@test "claim: what is no job is named and left alone, the rest is claimed" {
	# Each with a name that sorts before all others.
	due=20200101T000000.000000Z
	h=$(printf '%064d' 1)
	echo text >"$queue/new/README"
	echo text >"$queue/new/$due.$h.0000000000000001"
	ln -s "$PWD/target" "$queue/new/$due.$h.0000000000000002"
	mkfifo "$queue/new/$due.$h.0000000000000003"
	mkdir "$queue/new/$due.$h.0000000000000004"
	: >"$queue/new/$due.$h.0000000000000005"
	head -c 3000000 /dev/zero >"$queue/new/$due.$h.0000000000000006"
	echo text >target
	idq add -k torn --at @1500000000
	truncate -s 100 "$(new_name torn)"
	idq add -k b
	(cd "$queue/new" && ls -ln --time-style=full-iso) >before
	grep -v "$(hash_of b)" before | tail -n +2 >expected
	run -0 --separate-stderr timeout 20 "$IDQ" claim
	[ "$output" = "$(token_of b 1)" ]
	[[ $stderr == *"idq: claim: $queue/new/README: "* ]]
	for n in 1 2 3 4 5 6; do
		[[ $stderr == *"idq: claim: $queue/new/$due.$h.000000000000000$n: "* ]]
	done
	[[ $stderr == *"idq: claim: $(new_name torn): "* ]]
	[ "$(wc -l <expected)" -eq 8 ]
	(cd "$queue/new" && ls -ln --time-style=full-iso) | tail -n +2 |
	    diff expected -
	[ "$(cat target)" = text ]
	run -1 --separate-stderr timeout 20 "$IDQ" claim
	[ "$output" = '' ]
}

@test "claim: foreign files in cur, tmp and wait are named and left alone" {
	idq add -k b
	for dir in cur tmp wait; do
		echo text >"$queue/$dir/README"
		mkdir "$queue/$dir/folder"
		ln -s "$PWD/target" "$queue/$dir/link"
		mkfifo "$queue/$dir/fifo"
	done
	echo text >target
	run -0 --separate-stderr timeout 20 "$IDQ" claim
	[ "$output" = "$(token_of b 1)" ]
	for dir in cur tmp wait; do
		for name in README folder link fifo; do
			[[ $stderr == *"idq: claim: $queue/$dir/$name: "* ]]
			[ -e "$queue/$dir/$name" ]
		done
		[ -L "$queue/$dir/link" ]
		[ -p "$queue/$dir/fifo" ]
		[ "$(cat "$queue/$dir/README")" = text ]
	done
}

@test "claim: a job that does not own its key is never claimed" {
	idq add -k a
	idq init -q other
	cp "$(new_name a)" "$IDQ_SPOOL/copy"
	name=$(basename "$(new_name a)")
	rm "$(new_name a)"
	cp "$IDQ_SPOOL/copy" "$queue/new/$name"
	run -1 --separate-stderr idq claim
	[ "$output" = '' ]
	[[ $stderr == "idq: claim: $queue/new/$name: "* ]]
	cmp "$queue/new/$name" "$IDQ_SPOOL/copy"
	find "$queue/cur" -type f | nothing
}

@test "claim: a run's job in new is not claimed" {
	run -1 --separate-stderr idq run -q default -k r -- false
	name=$(find "$queue/failed" -type f)
	mv "$name" "$queue/new/20200101T000000.000000Z.$(basename "$name")"
	run -1 --separate-stderr idq claim
	[ "$output" = '' ]
	[ "$(state_of r)" = failed ]
}

@test "claim: leaves a stamp of when a worker was last here" {
	idq add -k a
	idq claim
	[ -n "$(ls "$queue/run")" ]
	# run/ may be emptied at any time.
	rm -r "$queue/run"
	idq add -k b
	run -0 --separate-stderr idq claim
	expect 0 "$(token_of b 1)"
}

@test "claim: standard input is not read" {
	idq add -k a
	echo left >input
	run -0 --separate-stderr sh -c '{ idq claim >/dev/null; cat; } <input'
	expect 0 left
}

@test "claim: a token that cannot be written gives the job back" {
	[ -c /dev/full ] || skip "there is no /dev/full"
	idq add -k a --attempts 1
	for words in claim 'claim --json'; do
		run -74 --separate-stderr sh -c "idq $words >/dev/full"
		[ "$output" = '' ]
		[[ $stderr == 'idq: claim: standard output: No space left on device' ]]
		[ "$(state_of a)" = new ]
	done
	run -74 --separate-stderr sh -c 'idq claim >&-'
	[ "$(state_of a)" = new ]
	run -0 --separate-stderr idq claim
	expect 0 "$(token_of a 4)"
	[ "$(idq show --field attempts a)" = 1 ]
}

@test "claim: a missing queue is 66, with its full path" {
	run -66 --separate-stderr idq claim -q calls
	expect 66 '' "idq: claim: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	run -66 --separate-stderr idq claim -q ./calls
	expect 66 '' "idq: claim: $PWD/./calls: no such queue; make it with: idq init -q $PWD/./calls"
	[ ! -e "$IDQ_SPOOL/calls" ]
	[ ! -e calls ]
}

@test "claim: the default queue is made, with one line" {
	rm -r "$IDQ_SPOOL"
	run -1 --separate-stderr idq claim
	expect 1 '' "idq: claim: made the queue $IDQ_SPOOL/default"
	run -1 --separate-stderr idq claim
	expect 1 ''
}

@test "claim: a newer format is 78" {
	echo 'idq spool 2' >"$queue/format"
	run -78 --separate-stderr idq claim
	expect 78 '' "idq: claim: $queue: has the newer format 'idq spool 2'"
}

@test "claim: another user's queue is 77, root is told sudo -u" {
	need_root
	idq add -k a
	run -77 --separate-stderr as_user 65534 idq claim
	expect 77 '' "idq: claim: $queue: belongs to root; use: sudo -u root idq claim ..."
	mkdir -m 777 other
	as_user 65534 idq init -q "$PWD/other/queue"
	as_user 65534 idq add -q "$PWD/other/queue" -k a
	name=$(getent passwd 65534 | cut -d: -f1)
	run -77 --separate-stderr idq claim -q "$PWD/other/queue"
	expect 77 '' "idq: claim: $PWD/other/queue: belongs to $name; use: sudo -u $name idq claim ..."
	[ "$(ls other/queue/new | wc -l)" -eq 1 ]
	find other/queue -user root | nothing
}

@test "claim: on a read-only file system is 73 and claims nothing" {
	mount_at "$PWD/ro" size=2m
	idq init -q "$PWD/ro/queue"
	idq add -q "$PWD/ro/queue" -k a
	mount -o remount,ro "$PWD/ro"
	run -73 --separate-stderr idq claim -q "$PWD/ro/queue"
	[ "$output" = '' ]
	[[ $stderr == *'idq: claim: '*': Read-only file system' ]]
	[ "$(ls ro/queue/new | wc -l)" -eq 1 ]
}

@test "claim: a relative IDQ_SPOOL is wrong usage" {
	IDQ_SPOOL=elsewhere run -64 --separate-stderr idq claim
	[ "$output" = '' ]
	[[ $stderr == 'idq: claim: '*'IDQ_SPOOL is not an absolute path' ]]
}

@test "claim: wrong usage is 64 and claims nothing" {
	idq add -k a
	run -64 --separate-stderr idq claim a
	expect 64 '' 'idq: claim: a: unexpected operand'
	run -64 --separate-stderr idq claim --leese 5m
	expect 64 '' \
	    "idq: claim: unknown option '--leese'; did you mean '--lease'?"
	run -64 --separate-stderr idq claim --lease 5
	[ "$output" = '' ]
	[[ $stderr == "idq: claim: --lease 5: "*"'5s'"*"'5m'"*"'5h'"* ]]
	run -64 --separate-stderr idq claim --lease 5min
	expect 64 '' "idq: claim: --lease 5min: is no duration; did you mean '5m'?"
	run -64 --separate-stderr idq claim --lease 0s
	[ "$output" = '' ]
	[[ $stderr == 'idq: claim: --lease 0s: '* ]]
	run -64 --separate-stderr idq claim --lease
	expect 64 '' "idq: claim: option '--lease' needs a value"
	run -64 --separate-stderr idq cliam
	expect 64 '' "idq: unknown verb 'cliam'; did you mean 'claim'?"
	[ "$(state_of a)" = new ]
	[ -z "$(trail a)" ]
}

@test "claim: --help is on standard output" {
	run -0 --separate-stderr idq claim --help
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq claim'*--lease* ]]
}

# The names that a scan of a long queue keeps for the next claims.

# many N: jobs 001 to N, in that order.
many() {
	seq -w 001 "$1" | idq add --batch
}

# claimed N: the keys that N claims get.
claimed() {
	local i

	for i in $(seq "$1"); do
		idq show --field key "$(idq claim)"
	done
}

@test "claim: a short queue keeps no names, a long one does" {
	many 64
	idq claim
	[ ! -e "$queue/run/next" ]
	many 067
	idq claim
	# The time of the scan, and a line for each name but the one taken.
	is "$(wc -l <"$queue/run/next")" 66
	[[ $(head -n 1 "$queue/run/next") =~ ^[0-9]{8}T[0-9]{6}\.[0-9]{6}Z\ -+$ ]]
	# The next is in the last line.
	is "$(tail -n 1 "$queue/run/next")" "$(ls "$queue/new" | head -n 1)"
	run -0 --separate-stderr idq fsck
	expect 0 ''
}

@test "claim: names that are kept are not read again" {
	need strace
	many 200
	is "$(claimed 2)" $'001\n002'
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 \
	    strace -o trace -e trace=openat idq claim
	run -1 grep -F "\"new\"" trace
}

@test "claim: many at once take each name once" {
	many 300
	for i in 1 2 3 4; do
		(
			while idq claim >>"tokens$i"; do
				:
			done
		) &
	done
	wait
	is "$(cat tokens? | wc -l)" 300
	is "$(cat tokens? | sort -u | wc -l)" 300
	idq log --event claimed | cut -f3,6 >keys
	for i in 1 2 3 4; do
		awk 'NR == FNR { key[$1] = $2; next } { print key[$1] }' keys \
		    "tokens$i" >"keys$i"
		sort -c "keys$i"
		is "$(grep -c . "keys$i")" "$(wc -l <"tokens$i")"
	done
}

@test "claim: an older job that comes back is next, at the end or between" {
	many 100
	token=$(idq claim)
	is "$(claimed 2)" $'002\n003'
	idq release "$token"
	is "$(claimed 2)" $'001\n004'
	# 050 gets a due time between others and back its place.
	idq hold -k 050
	is "$(claimed 1)" 005
	idq unhold -k 050
	is "$(claimed 46 | tail -n 2)" $'050\n051'
}

@test "claim: a waiting job that is retried does not wait for those kept" {
	need faketime
	many 100
	at -1h idq add -k waiting --in 1d
	idq claim
	[ -s "$queue/run/next" ]
	idq retry -k waiting
	# It is due now, after all of them.
	is "$(claimed 99 | tail -n 1)" 100
	is "$(claimed 1)" waiting
}

@test "claim: names that are kept may be lost, torn, stale or foreign" {
	local next=$queue/run/next

	many 200
	is "$(claimed 1)" 001
	rm "$next"
	is "$(claimed 1)" 002
	truncate -s -3 "$next"
	is "$(claimed 1)" 003
	truncate -s 0 "$next"
	is "$(claimed 1)" 004
	truncate -s 4k "$next"
	is "$(claimed 1)" 005
	# Of a version to come.
	sed -i '1s/.*/idq next 2/' "$next"
	is "$(claimed 1)" 006
	sed -i '$s/^./x/' "$next"
	is "$(claimed 1)" 007
	sed -i '$s/^.*$/..\/..\/etc\/passwd/' "$next"
	is "$(claimed 1)" 008
	# Old, with a job missing; and from the future.
	sed -i -e '1s/^..../2020/' -e '$d' "$next"
	is "$(claimed 1)" 009
	sed -i -e '1s/^..../2099/' -e '$d' "$next"
	is "$(claimed 1)" 010
	# Names of jobs that are gone.
	sed -i '$s/[^.]*$/0123456789abcdef/' "$next"
	rm -f "$next.tmp"
	mkdir "$next.tmp"
	is "$(claimed 1)" 012
	rmdir "$next.tmp"
	rm "$next"
	is "$(claimed 1)" 011
	# No file at all.
	echo precious >foreign
	ln -fs "$PWD/foreign" "$next"
	is "$(claimed 1)" 013
	rm "$next"
	mkdir "$next"
	is "$(claimed 1)" 014
	rmdir "$next"
	mkfifo "$next"
	is "$(claimed 1)" 015
	is "$(cat foreign)" precious
	rm "$next"
	is "$(idq work --drain -- printenv IDQ_KEY | head -n 1)" 016
	is "$(idq ls -s pending | wc -l)" 0
}

@test "claim: somebody who stops with the names locked stops no other" {
	many 100
	idq claim
	exec 9<"$queue/run/next"
	flock 9
	is "$(claimed 2)" $'002\n003'
	exec 9<&-
	is "$(claimed 1)" 004
}

@test "claim: one that cannot be synced is given back, and nobody waits for it" {
	echo 'int fsync(int fd) { (void)fd; return -1; }' >nosync.c
	"${CC:-cc}" -shared -fPIC -o nosync.so nosync.c
	idq add -k a
	LD_PRELOAD=$PWD/nosync.so run -74 --separate-stderr idq claim
	[[ $output = '' && $stderr == 'idq: claim: '*': sync: '* ]]
	is "$(state_of a)" new
	is "$(idq show --field attempts a)" 0
	is "$(idq show --field key "$(idq claim)")" a
}
