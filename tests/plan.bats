#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# plan: what it counts of each group, what it estimates, and that it changes
# nothing.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# line NAME OPTION...: that line's value.
line() {
	idq plan "${@:2}" | sed -n "s/^$1	//p"
}

# rows OPTION...: the table without the times of the oldest.
rows() {
	idq plan "$@" | grep -E '^(group|others|all)	' | cut -f1-3,5-
}

# aged MINUTES KEY OPTION...: a job that has been due for so long.
aged() {
	at "-$1m" idq add -k "$2" "${@:3}"
}

# seconds NAME OPTION...: from now to that time, to the nearest ten.
seconds() {
	local s

	s=$(($(date -d "$(line "$@")" +%s) - $(date +%s)))
	echo $(((s + 5) / 10 * 10))
}

@test "plan: an empty queue has nothing to run" {
	run -0 --separate-stderr idq plan
	expect 0 'queue	default
paused	-'$'\t\t\n''pending	0
groups	0
oldest	-
waiting	0
next	-
running	0
run	0
paced	0
expire	0
busiest	0
rate	-
basis	none
earliest	-
finish	-
all	0	0	-	0	0	0	0	0	0	0	0	0	0	(all)'
	run -0 terminal 'idq plan'
	[[ $output == *'finished  nothing to run'* ]]
}

@test "plan: the group with most jobs comes first, then the one with the oldest" {
	aged 29 a -g one
	aged 9 b -g young
	aged 9 c -g young
	aged 19 d -g old
	aged 2 e -g old
	aged 3 f
	run -0 --separate-stderr rows
	expect 0 'group	2	0	1	0	1	0	0	0	0	0	0	0	old
group	2	0	0	2	0	0	0	0	0	0	0	0	young
group	1	0	0	0	0	1	0	0	0	0	0	0	one
group	1	0	1	0	0	0	0	0	0	0	0	0	-
all	6	0	2	2	1	1	0	0	0	0	0	0	(all)'
	is "$(line pending) $(line groups) $(line run)" '6 3 6'
	is "$(line oldest)" "$(header Due a)"
	is "$(idq plan | sed -n 's/^group	2	0	\([^	]*\).*old$/\1/p')" \
	    "$(header Due d)"
}

@test "plan: the columns of ages double, and the last has the rest" {
	local m

	for m in 4 6 19 39 79 159 319 639 1279 1281 9999; do
		aged "$m" "$m"
	done
	is "$(rows | head -n 1)" 'group	11	0	1	1	1	1	1	1	1	1	1	2	-'
}

@test "plan: a job past its deadline expires, and one that was tried fails" {
	aged 60 tried -g a --ttl 50m
	token=$(at -55m idq claim)
	at -55m idq fail "$token"
	aged 50 late -g a --ttl 30m
	idq add -k soon -g a --ttl 1h
	idq add -k whenever -g a
	is "$(rows | head -n 1)" 'group	4	2	2	0	0	0	2	0	0	0	0	0	a'
	is "$(line run) $(line expire)" '2 2'
	# As the plan says.
	idq work --drain -- true 2>stderr
	is "$(idq ls -s 'done' | wc -l)" 2
	is "$(idq ls -s expired,failed | cut -f1,8 | sort | xargs)" \
	    'expired late failed tried'
}

@test "plan: what waits is not pending, and is when it is due" {
	idq add -k a --in 1h
	idq add -k b --in 2h
	idq add -k c
	is "$(line pending) $(line waiting)" '1 2'
	is "$(line next)" "$(header Due a)"
	is "$(state_of a)" wait
	is "$(at +61m idq plan | grep -E '^(pending|waiting|oldest)	')" \
	    "pending	2
oldest	$(header Due c)
waiting	1"
}

@test "plan: what runs is counted, and is not pending" {
	idq add -k a
	idq add -k b
	idq claim >token
	is "$(line running) $(line pending)" '1 1'
}

@test "plan: what stands in paced is pending" {
	idq add -k a -g x
	idq add -k b -g x
	is "$(state_of b)" paced
	is "$(rows | head -n 1)" 'group	2	0	2	0	0	0	0	0	0	0	0	0	x'
}

@test "plan: jobs of a group wait for each other" {
	local i

	for i in 1 2 3 4 5; do
		idq add -k "$i" -g a
		idq add -k "b$i"
	done
	idq add -k c -g c
	is "$(line run) $(line paced)" '11 4'
	idq config group-max 3
	is "$(line run) $(line paced)" '11 2'
	idq config group-gap 10m
	is "$(line run) $(line paced)" '11 4'
}

@test "plan: a gap keeps a group apart, and lets deadlines pass" {
	local i

	for i in 1 2 3 4 5 6; do
		idq add -k "$i" -g a --ttl 25m
		idq add -k "b$i" -g b
		idq add -k "c$i"
	done
	is "$(line expire) $(line busiest)" '0 18'
	idq config group-gap 10m
	# At 0, 10 and 20 minutes.
	is "$(line run) $(line expire)" '15 3'
	# One of each group, and those without one.
	is "$(line busiest)" 8
	is "$(line finish)" -
	is "$(seconds earliest)" 3000
	run -0 terminal 'idq plan'
	[[ $output == *'finished  not known, in '??*' at the earliest'* ]]
	# A gap without end does not overflow.
	idq config group-gap 5000w
	is "$(line run)" 13
}

@test "plan: at a rate, it is finished when, and what is too late expires" {
	local i

	for i in $(seq 20); do
		idq add -k "$i" --ttl 59s
	done
	is "$(line finish) $(line expire) $(line basis)" '- 0 none'
	is "$(line run --rate 10/1m) $(line expire --rate 10/1m)" '10 10'
	is "$(line busiest --rate 10/1m) $(line basis --rate 10/1m)" \
	    '10 option'
	is "$(line rate --rate 10/1m)" 10.000
	is "$(seconds finish --rate 10/1m)" 60
	idq config rate 60/1m
	is "$(line run) $(line expire) $(line busiest)" '20 0 20'
	is "$(line rate) $(line basis)" '60.000 config'
	is "$(seconds finish)" 20
	# What is given goes first.
	is "$(line basis --rate 10/1m)" option
}

@test "plan: jobs without a deadline take their turns too" {
	local i

	for i in $(seq 20); do
		idq add -k "$i" --ttl 59s
		idq add -k "b$i"
	done
	# Every other one, 3 s apart.
	is "$(line run --rate 20/1m) $(line expire --rate 20/1m)" '30 10'
}

@test "plan: the largest group's gaps can last longer than the rate" {
	idq config group-gap 1h
	for i in 1 2 3; do
		idq add -k "$i" -g a
	done
	is "$(seconds finish --rate 10/1m)" 7200
}

@test "plan: the rate of the last finishes is that of the time in which jobs ran" {
	local i token

	for i in $(seq 12); do
		aged 600 "$i"
	done
	idq add -k x
	# A minute each, and nine of nothing.
	for i in $(seq 9); do
		token=$(at "-$((300 - 10 * i))m" idq claim)
		at "-$((299 - 10 * i))m" idq ack "$token"
	done
	is "$(line basis)" none
	token=$(at "-200m" idq claim)
	at "-199m" idq fail --exit 100 "$token"
	is "$(line basis)" measured
	is "$(printf %.1f "$(line rate)")" 1.0
	is "$(line run)" 3
	is "$(seconds finish)" 180
	# They are some days old.
	is "$(at +3d idq plan | grep ^basis)" 'basis	measured'
	is "$(at +9d idq plan | grep ^basis)" 'basis	none'
	run -0 terminal 'idq plan'
	[[ $output == *'rate      1.0 a minute, as the last 10 finished'* ]]
}

@test "plan: -n sums the groups that it does not show" {
	local i

	for i in 1 2 3; do
		idq add -k "a$i" -g a
	done
	aged 9 b1 -g b
	idq add -k b2 -g b
	aged 19 c -g c --ttl 5m
	is "$(rows -n 1)" 'group	3	0	3	0	0	0	0	0	0	0	0	0	a
others	3	1	1	1	1	0	0	0	0	0	0	0	(other groups)
all	6	1	4	1	1	0	0	0	0	0	0	0	(all)'
	is "$(idq plan -n 1 | grep ^others | cut -f4)" "$(header Due c)"
	is "$(rows -n 3)" "$(rows)"
	for i in 0 -1 x; do
		run -64 --separate-stderr idq plan -n "$i"
		is "$output" ''
	done
}

@test "plan: --json has all of it, an object a queue" {
	aged 30 a -g north --ttl 20m
	idq add -k b -g north
	idq add -k c
	idq add -k d --in 1h
	idq config group-gap 1m
	idq plan --json >json
	is "$(wc -l <json)" 1
	is "$(jq -c '[.queue, .paused, .pending, .groups, .about, .waiting,
	    .running, .run, .paced, .expire, .busiest, .rate, .basis,
	    .finishes, .earliest, .finish]' json)" \
	    '["default",null,3,1,false,1,0,2,0,1,2,null,"none",0,null,null]'
	is "$(jq -c .edges json)" \
	    '[300,600,1200,2400,4800,9600,19200,38400,76800]'
	is "$(jq -c '.rows[] | [.group, .jobs, .expired, .ages[0], .ages[3]]' \
	    json | xargs)" '[north,2,1,1,1] [null,1,0,1,0]'
	is "$(jq -r .next json)" "$(header Due d)"
	is "$(jq -r '.all.oldest, .rows[0].oldest' json | uniq)" \
	    "$(header Due a)"
	is "$(idq plan --json -n 1 | jq -c '[.rows[].group, .others.jobs]')" \
	    '["north",1]'
	is "$(idq plan --json --rate 30/1m | jq -c '[.rate, .basis]' |
	    sed 's/\.0//')" '[30,"option"]'
}

@test "plan: a bad rate is 64" {
	local rate

	for rate in 10 0/1m 10/ 10/0s x/1m; do
		run -64 --separate-stderr idq plan --rate "$rate"
		expect 64 '' "idq: plan: --rate $rate: is no rate, which is like 10/1m"
	done
	run -64 --separate-stderr idq plan key
	is "$output" ''
}

@test "plan: several queues, or all of them" {
	idq init -q calls
	idq init -q mails
	idq add -q calls -k a
	idq add -q mails -k a
	idq add -q mails -k b
	pairs() {
		idq plan "$@" | grep -E '^(queue|pending)	' | cut -f2 | xargs
	}
	is "$(pairs -q mails -q calls)" 'mails 2 calls 1'
	is "$(pairs --all)" 'calls 1 default 0 mails 2'
	is "$(idq plan --all --json | jq -r .queue | xargs)" \
	    'calls default mails'
	run -66 --separate-stderr idq plan -q calls -q none -q mails
	is "$(grep ^queue <<<"$output" | cut -f2 | xargs)" 'calls mails'
	[[ $stderr == 'idq: plan: '*none* ]]
	run -66 --separate-stderr idq plan -q none
	is "$output" ''
}

@test "plan: a paused queue says since when, by whom and why" {
	idq add -k a
	echo '2026-11-23T20:35:00.123456Z jo@web1 too many calls' \
	    >"$queue/paused"
	is "$(line paused)" \
	    '2026-11-23T20:35:00.123456Z	jo@web1	too many calls'
	is "$(idq plan --json | jq -r '.paused | .at, .by, .why' | xargs)" \
	    '2026-11-23T20:35:00.123456Z jo@web1 too many calls'
	run -0 terminal 'idq plan'
	is "$(grep ^paused <<<"$output")" \
	    'paused    since 2026-11-23 20:35:00 by jo@web1: too many calls'
}

@test "plan: columns and local times on a terminal" {
	export TZ=XXX-2
	aged 400 a -g +4512
	aged 400 b -g +4512
	idq add -k c -g $'\342\200\256+4513'
	idq add -k d --in 1h
	run -0 terminal 'idq plan --rate 1/1h'
	is "$(sed 's/ago/&/; /^waiting/d; /^finished/d' <<<"$output")" \
	    'queue     default
pending   3 in 2 groups, the oldest due 6h40m ago
running   0
run       3, 1 of them after another of their group
expire    0
busiest   1 in a minute
rate      1/1h, as given

JOBS  EXPIRED  5m  10m  20m  40m  1h20m  2h40m  5h20m  10h40m  GROUP
   2        0   0    0    0    0      0      0      0       2  +4512
   1        0   1    0    0    0      0      0      0       0  \342\200\256+4513
   3        0   1    0    0    0      0      0      0       2  (all)'
	is "$(grep ^waiting <<<"$output" | sed 's/:..$//')" \
	    "waiting   1, the next due $(date -d +1hour '+%F %H:%M')"
	is "$(grep ^finished <<<"$output" | sed 's/:.., in/ in/')" \
	    "finished  $(date -d +3hours '+%F %H:%M') in 3h"
	for i in $(seq 25); do
		idq add -k "$i" -g "$i"
	done
	# Twenty of them, the others and all.
	run -0 terminal 'idq plan'
	is "$(sed '1,/^JOBS/d' <<<"$output" | wc -l)" 22
	is "$(tail -n 2 <<<"$output" | awk '{ print $1 }' | xargs)" '7 28'
	run -0 terminal 'idq plan -n 100'
	is "$(sed '1,/^JOBS/d' <<<"$output" | wc -l)" 28
}

@test "plan: more groups than there are rows: the largest are among them" {
	idq config sync off
	{
		seq -f 'k%.0f' 9000
		printf '%s\n' x1 x2 x3
	} | sed 's/.*/{"key":"&","group":"&"}/; s/"group":"x.*/"group":"x"}/' |
	    idq add --batch --json-lines
	idq plan >out
	is "$(grep -m 1 '^group	' out | cut -f2,15)" '3	x'
	is "$(awk '/^(group|others)\t/ { n += $2 } END { print n }' out)" 9003
	is "$(grep ^all out | cut -f2)" 9003
	[ "$(grep -c '^group	' out)" -ge 4000 ]
	is "$(idq plan --json -n 1 | jq .about)" true
	groups=$(sed -n 's/^groups	//p' out)
	[ "$groups" -gt 8900 ]
	[ "$groups" -lt 9100 ]
	# Memory has its end, too; a sanitizer's has not.
	! grep -q __asan_init "$IDQ" || return 0
	(ulimit -v 40960 && idq plan -n 1 >out)
	is "$(grep -m 1 '^group	' out | cut -f2,15)" '3	x'
}

@test "plan: a long header, and the longest group" {
	local group

	group=$(printf 'g%.0s' {1..512})
	idq add -k "$(printf 'k%.0s' {1..512})" -g "$group" --ttl 1h \
	    -- "$(printf 'a%.0s' {1..9000})"
	is "$(rows | head -n 1)" \
	    "group	1	0	1	0	0	0	0	0	0	0	0	0	$group"
}

@test "plan: what is no job is named once, and the rest counts" {
	local due=20261123T203500.000000Z

	idq add -k a
	: >"$queue/new/junk"
	echo junk >"$queue/new/$due.$(hash_of x).0123456789abcdef"
	ln -s nowhere "$queue/new/$due.$(hash_of y).0123456789abcdef"
	run -0 --separate-stderr idq plan
	is "$(grep ^pending <<<"$output")" 'pending	1'
	is "$(wc -l <<<"$stderr")" 3
	for path in junk "$due.$(hash_of x).0123456789abcdef" \
	    "$due.$(hash_of y).0123456789abcdef"; do
		is "$(grep -c "^idq: plan: $queue/new/$path: " \
		    <<<"$stderr")" 1
	done
}

@test "plan: few descriptors are enough" {
	seq 200 | sed 's/$/\t/' | idq add --batch
	(ulimit -n 12 && idq plan >out)
	is "$(grep ^pending out)" 'pending	200'
}

@test "plan: looking changes nothing" {
	idq config group-gap 1m
	aged 30 a -g a --ttl 10m
	idq add -k b -g a
	idq add -k c --in 1h
	idq claim >token || :
	before=$(find "$queue" -printf '%P %i %m %s %T@ %C@\n' | sort)
	idq plan >out
	at +2h idq plan --json --rate 1/1m >json
	is "$(find "$queue" -printf '%P %i %m %s %T@ %C@\n' | sort)" \
	    "$before"
}

@test "plan: a queue on a medium that cannot be written" {
	need_root
	idq add -k a -g x
	expected=$(idq plan)
	cp -a "$IDQ_SPOOL" copy
	chown -R 65534:65534 copy
	chmod -R a-w copy
	IDQ_SPOOL=$PWD/copy run -0 --separate-stderr as_user 65534 idq plan
	expect 0 "$expected"
}

@test "plan: root may look at the queue of another user" {
	need_root
	mkdir theirs
	chown 65534:65534 theirs
	export IDQ_SPOOL=$PWD/theirs
	as_user 65534 idq init -q calls
	as_user 65534 idq add -q calls -k a
	run -0 --separate-stderr idq plan -q calls
	is "$(grep ^pending <<<"$output")" 'pending	1'
	is "$stderr" ''
	is "$(find theirs -uid 0)" ''
}

@test "plan: what cannot be printed is 74" {
	[ -e /dev/full ] || skip 'there is no /dev/full'
	for options in '' --json; do
		run -74 --separate-stderr sh -c "idq plan $options >/dev/full"
		[[ $stderr == 'idq: plan: standard output: '* ]]
	done
}
