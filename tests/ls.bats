#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# ls: which jobs it lists, in which order, and each column of them.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# one_of_each: a job in each state, with that for a key.
one_of_each() {
	idq add -k 'done'
	idq work --drain -- true
	idq add -k failed
	idq work --drain -- sh -c 'exit 100' 2>>stderr
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

# terminal COMMAND: what it prints on a terminal of 80 columns.
terminal() {
	script -qec "stty cols 80; $1" /dev/null </dev/null | tr -d '\r'
}

# listed OPTION...: the keys, in the order of the list.
listed() {
	idq ls "$@" | cut -f8 | tr '\n' ' '
}

@test "ls: nothing to list is nothing, and no error" {
	run -0 --separate-stderr idq ls
	expect 0 ''
	run -0 --separate-stderr idq ls --json -s all
	expect 0 ''
	idq add -k 'done'
	idq work --drain -- true
	run -0 --separate-stderr idq ls
	expect 0 ''
}

@test "ls: lists what is unfinished, and failed" {
	one_of_each
	is "$(listed | tr ' ' '\n' | sort | xargs)" \
	    'failed held pending running waiting'
	# Each in the state that its key says.
	is "$(idq ls -s all | awk -F '\t' '$1 != $8')" ''
}

@test "ls: -s picks states, several, or all of them" {
	one_of_each
	for state in waiting pending running held 'done' failed cancelled \
	    expired; do
		is "$(listed -s "$state")" "$state "
	done
	is "$(listed -s 'done,cancelled')" 'done cancelled '
	is "$(listed -s unfinished | tr ' ' '\n' | sort | xargs)" \
	    'held pending running waiting'
	is "$(listed -s all | wc -w)" 8
	is "$(listed -s unfinished,failed)" "$(listed)"
}

@test "ls: an unknown state is 64, and the closest one is named" {
	run -64 --separate-stderr idq ls -s faild
	expect 64 '' "idq: ls: -s: unknown word 'faild'; did you mean 'failed'?"
	run -64 --separate-stderr idq ls -s 'done,'
	is "$output" ''
	[[ $stderr == "idq: ls: -s: unknown word ''"* ]]
	run -64 --separate-stderr idq ls failed
	expect 64 '' 'idq: ls: failed: unexpected operand'
}

@test "ls: the columns are those of the manual, separated by tabs" {
	idq add -k 'call 42' -g +45 --at 2126-01-02T03:04:05Z
	idq add -k 'call 42' -g +45
	idq add -k 'call 42' -g +45
	last=$(tail -n 1 "$queue"/dups/*/*)
	idq add -k plain
	due=$(sed -n 's/^Due: //p;/^$/q' "$(key_file plain)")
	run -0 --separate-stderr idq ls
	expect 0 "pending	$(hash_of plain)	$due	0	0	-	-	plain
waiting	$(hash_of 'call 42')	2126-01-02T03:04:05.000000Z	0	2	$last	+45	call 42"
}

@test "ls: when is since when, for jobs that are not to start" {
	idq add -k a
	idq work --drain -- sh -c 'exit 100' 2>stderr
	since=$(idq show --field last a | cut -d' ' -f1)
	run -0 --separate-stderr idq ls
	expect 0 "failed	$(hash_of a)	$since	1	0	-	-	a"
	idq retry a
	token=$(idq claim)
	since=$(idq show --field last a | cut -d' ' -f1)
	run -0 --separate-stderr idq ls
	expect 0 "running	$(hash_of a)	$since	1	0	-	-	a"
	idq renew "$token"
	is "$(idq ls | cut -f3)" "$since"
}

@test "ls: the next try of a failed job is when" {
	idq add -k a
	idq work --drain -- false
	next=$(idq show --field last a | sed 's/.*next=//')
	run -0 --separate-stderr idq ls
	expect 0 "waiting	$(hash_of a)	$next	1	0	-	-	a"
}

@test "ls: a waiting job that is due is pending" {
	need faketime
	idq add -k a --in 1h
	is "$(idq ls | cut -f1)" waiting
	run -0 --separate-stderr at +2h idq ls -s pending
	[[ $output == pending$'\t'* ]]
	run -0 --separate-stderr at +2h idq ls -s waiting
	expect 0 ''
	is "$(state_of a)" wait
}

@test "ls: running first, then in the order of the due times" {
	idq add -k third
	idq add -k fifth --in 2h
	idq add -k fourth --in 1h
	idq add -k second --at @1700000000
	idq add -k first --at @1600000000
	idq claim >token
	is "$(listed)" 'first second third fourth fifth '
}

@test "ls: -n is at most so many, the first ones" {
	for key in c b a; do
		idq add -k "$key"
	done
	is "$(listed -n 2)" 'c b '
	is "$(listed -n 9)" 'c b a '
	for n in 0 -1 x; do
		run -64 --separate-stderr idq ls -n "$n"
		is "$output" ''
		[[ $stderr == "idq: ls: -n $n: "* ]]
	done
}

@test "ls: -n counts what is shown, not what is looked at" {
	idq add -k a
	idq add -k b -g group
	idq add -k c -g group
	is "$(listed -g group -n 1)" 'b '
}

@test "ls: -g is the group and nothing else" {
	idq add -k a -g +45
	idq add -k b -g +4
	idq add -k c
	idq add -k d -g +45 --in 1h
	is "$(listed -g +45)" 'a d '
	is "$(listed -g '*')" ''
	is "$(listed -g -)" ''
	run -64 --separate-stderr idq ls -g ''
	is "$output" ''
}

@test "ls: --json is an object a line, with the same jobs" {
	need jq
	one_of_each
	idq add -k pending
	idq add -k pending
	idq add -k 'æ "quoted" \ key' -g group
	for options in '' '-s all' '-n 2' '-g group'; do
		# The options are words.
		# shellcheck disable=SC2086
		idq ls $options --json | jq -r '[.state, .hash, .when,
		    (.attempts | tostring), (.dups | tostring),
		    .lastdup // "-", .group // "-", .key] | join("\t")' >json
		# shellcheck disable=SC2086
		idq ls $options | diff - json
		[ -s json ]
	done
	is "$(idq ls --json | jq -r 'select(.key == "pending") | .dups')" 2
	is "$(idq ls --json | jq -r 'select(.key == "pending") | .id')" \
	    "$(idq show --field id pending)"
}

@test "ls: on a terminal there are columns, a header and local time" {
	need script
	idq add -k 'call 42' -g +45 --at 2126-01-02T03:04:05Z
	idq add -k 'call 42' -g +45
	idq add -k b
	export TZ=XXX-2
	run terminal 'idq ls'
	[ "$status" -eq 0 ]
	is "${#lines[@]}" 3
	is "$(tr -s ' ' <<<"${lines[0]}")" \
	    'STATE JOB WHEN TRIES DUPS LAST DUP GROUP KEY'
	is "$(tr -s ' ' <<<"${lines[2]}" | cut -d' ' -f1,2)" \
	    "waiting :$(hash_of 'call 42' | cut -c1-12)"
	[[ ${lines[2]} == *' 2126-01-02 05:04:05 '*' +45 '*' call 42' ]]
	# Each column begins where its header does.
	header=${lines[0]}
	for word in JOB WHEN TRIES KEY; do
		before=${header%%"$word"*}
		for line in "${lines[@]:1}"; do
			[[ ${line:${#before}-1:1} == ' ' ]]
			[[ ${line:${#before}:1} != ' ' ]]
		done
	done
	run terminal 'idq ls -s failed'
	[ "$status" -eq 0 ]
	is "$(grep -v STATE <<<"$output")" ''
}

@test "ls: on a terminal a hash can be given to other verbs" {
	need script
	idq add -k 'call 42'
	job=$(terminal 'idq ls' | awk 'NR == 2 { print $2 }')
	is "$(idq show --field key "$job")" 'call 42'
}

@test "ls: NO_COLOR leaves a terminal without escapes, a pipe never has any" {
	need script
	one_of_each
	run terminal 'idq ls'
	[[ $output == *$'\033['* ]]
	run terminal 'NO_COLOR=1 idq ls'
	[[ $output == *failed* ]]
	[[ $output != *$'\033'* ]]
	run terminal 'TERM=dumb idq ls'
	[[ $output != *$'\033'* ]]
	run -0 --separate-stderr idq ls -s all
	[[ $output != *$'\033'* ]]
}

@test "ls: what would turn text round does not reach a terminal" {
	need script
	# A mark that makes a terminal write from right to left.
	idq add -k $'a\342\200\256b'
	run terminal 'idq ls --json'
	[[ $output != *$'\342\200\256'* ]]
	run terminal 'idq ls'
	[[ $output != *$'\342\200\256'* ]]
	[[ $output == *'a\342\200\256b'* ]]
	run -0 --separate-stderr idq ls
	[[ $output == *$'\ta\342\200\256b' ]]
}

@test "ls: a file that is no job is named, and the rest is listed" {
	local due=20200101T000000.000000Z

	idq add -k a
	echo junk >"$queue/new/junk"
	echo junk >"$queue/new/$due.$(hash_of x).0123456789abcdef"
	ln -s /etc/passwd "$queue/failed/$(hash_of y).0123456789abcdef"
	mkdir "$queue/cur/$(hash_of z).0123456789abcdef"
	run -0 --separate-stderr idq ls
	is "$(cut -f8 <<<"$output")" a
	for path in new/junk "new/$due.$(hash_of x).0123456789abcdef" \
	    "failed/$(hash_of y).0123456789abcdef" \
	    "cur/$(hash_of z).0123456789abcdef"; do
		is "$(grep -c "^idq: ls: $queue/$path: " <<<"$stderr")" 1
	done
}

@test "ls: looking changes nothing" {
	one_of_each
	before=$(cd "$queue" && find . -printf '%P %i %m %s %T@\n' | sort)
	idq ls >list
	idq ls -s all --json >list
	is "$(cd "$queue" && find . -printf '%P %i %m %s %T@\n' | sort)" \
	    "$before"
}

@test "ls: a queue on a medium that cannot be written is listed" {
	need_root
	one_of_each
	expected=$(idq ls -s all)
	cp -a "$IDQ_SPOOL" copy
	chown -R 65534:65534 copy
	chmod -R a-w copy
	IDQ_SPOOL=$PWD/copy run -0 --separate-stderr as_user 65534 idq ls -s all
	expect 0 "$expected"
}

@test "ls: root may look at the queue of another user" {
	need_root
	mkdir theirs
	chown 65534:65534 theirs
	export IDQ_SPOOL=$PWD/theirs
	as_user 65534 idq init -q calls
	as_user 65534 idq add -q calls -k a
	run -0 --separate-stderr idq ls -q calls
	is "$(cut -f1,8 <<<"$output")" 'pending	a'
	is "$stderr" ''
	# Nothing in it is root's now.
	is "$(find theirs -uid 0)" ''
}

@test "ls: a reader that has seen enough is no error" {
	seq 2000 | sed 's/$/\t/' | idq add --batch
	run -0 --separate-stderr bash -c 'idq ls | head -n 1 | wc -l'
	expect 0 1
	[ -e /dev/full ] || skip 'there is no /dev/full'
	run -74 --separate-stderr sh -c 'idq ls >/dev/full'
	[[ $stderr == 'idq: ls: standard output: '* ]]
}

@test "ls: what cannot be read is named, and the rest is shown" {
	need_root
	for key in a b; do
		idq add -k "$key"
		idq work --drain -- sh -c 'exit 100' 2>>stderr
	done
	idq add -k c
	idq add -k later --in 1h
	chown -R 65534:65534 "$IDQ_SPOOL"
	file=$(cd "$queue" && echo failed/"$(hash_of a)".*)
	folder=$(cd "$queue" && echo wait/*)
	chmod 000 "$queue/$file" "$queue/$folder"
	run -77 --separate-stderr as_user 65534 idq ls
	is "$(cut -f8 <<<"$output" | sort | xargs)" 'b c'
	is "$stderr" "idq: ls: $queue/$folder: Permission denied
idq: ls: $queue/$file: Permission denied"
	run -0 --separate-stderr as_user 65534 idq ls -s running
	expect 0 ''
}
