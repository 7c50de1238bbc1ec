#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The examples of idq(1) do what the page says, and both pages are clean.
# An example is the literal block below a line `.\" example: NAME'.

load helpers/common

setup() {
	common_setup
	page=$BATS_TEST_DIRNAME/../man/idq.1
	bin=$BATS_TEST_TMPDIR/stubs
	TMPDIR=$BATS_TEST_TMPDIR/tmp
	mkdir "$bin" "$TMPDIR"
	PATH=$bin:$PATH
	export TMPDIR
	local_hour 12
}

# section NAME: its lines.
section() {
	awk -v name="$1" '$1 == ".Sh" { on = substr($0, 5) == name; next } on' \
	    "$page"
}

# example NAME: its text as a reader sees it.
example() {
	section EXAMPLES |
	awk -v name="$1" '
		$1 == ".\\\"" && $2 == "example:" { on = $3 == name }
		on && $1 == ".Ed" { exit }
		on && text { print }
		on && $1 == ".Bd" { text = 1 }' |
	sed "s/\\\\(aq/'/g; s/\\\\(ha/^/g; s/\\\\&//g; s/\\\\e/\\\\/g" |
	grep .
}

# local_hour H: choose the time zone in which it is H o'clock now.
local_hour() {
	TZ=$(printf 'HERE%+d' "$(($(date -u +%-H) - $1))")
	export TZ
}

# stub NAME: a command with the text on standard input; $here is this folder.
stub() {
	{
		printf '#!/bin/sh\nhere="%s"\n' "$BATS_TEST_TMPDIR"
		cat
	} >"$bin/$1"
	chmod +x "$bin/$1"
}

# cron LINE: run a line of a crontab as cron does: a bare environment, no
# terminal, no input.
cron() {
	local command

	case $1 in
	*%*)
		echo "cron would cut this at the %: $1"
		return 1
		;;
	@*) command=${1#* } ;;
	*) command=$(cut -d' ' -f6- <<<"$1") ;;
	esac
	env -i HOME="$BATS_TEST_TMPDIR" LOGNAME=somebody SHELL=/bin/sh TZ="$TZ" \
	    PATH="$bin:${IDQ%/*}:/usr/bin:/bin" IDQ_SPOOL="$IDQ_SPOOL" \
	    /bin/sh -c "$command" </dev/null
}

# seconds_between FIELD FIELD KEY: from the one time of the job to the other.
seconds_between() {
	echo $(($(date -d "$(idq show --field "$2" "$3")" +%s) - \
	    $(date -d "$(idq show --field "$1" "$3")" +%s)))
}

# reminders: the stubs of the crontab of calls.
reminders() {
	stub due-calls <<-'END'
		printf 'call/41/2026-11-23\t41\ncall/42/2026-11-23\t42\n'
	END
	stub call-up <<-'END'
		number=$(cat)
		echo "$number" >>"$here/rings"
	END
	run -0 --separate-stderr sh -c "$(example calls.sh)"
	expect 0 ""
	[ "$(idq config -q calls on-crash)" = hold ]
	mapfile -t crontab < <(example calls.crontab)
	[ "${#crontab[@]}" -eq 3 ]
}

@test "manual: the pages lint clean" {
	need mandoc
	run -0 mandoc -Tlint -W warning "$page" "${page%1}5" \
	    "${page%.1}-handover.7"
	[ "$output" = "" ]
}

@test "manual: each example has a name and a test" {
	local name names

	names=$(section EXAMPLES | sed -n 's/^\.\\" example: //p')
	[ "$(wc -l <<<"$names")" -eq "$(section EXAMPLES | grep -c '^\.Bd')" ]
	for name in $names; do
		[ -n "$(example "$name")" ]
		grep -q "example ${name}\([ )]\|\$\)" "$BATS_TEST_FILENAME" || {
			echo "no test runs $name"
			return 1
		}
	done
}

@test "manual: CONFIG has the names and defaults that idq has" {
	idq init
	run -0 --separate-stderr idq config
	expect 0 "$(section CONFIG |
	    sed -n 's/^\.It Cm \([a-z-]*\) No \(.*\)$/\1\t\2/p')"
}

@test "manual: the hash of a key is what KEYS says" {
	run -0 --separate-stderr idq key -k call -k a/b%c
	expect 0 "$(hash_of call/a%2Fb%25c)"$'\t'call/a%2Fb%25c
}

@test "manual: the crontab of calls rings each phone once" {
	local crontab tick

	reminders
	for tick in 0 0 0 1 0 1 2; do
		run -0 --separate-stderr cron "${crontab[tick]}"
		expect 0 ""
	done
	run -0 sort rings
	[ "$output" = "$(printf '41\n42')" ]
	[ "$(state_of call/41/2026-11-23 calls)" = 'done' ]
}

@test "manual: the crontab of calls rings nobody after eight" {
	local crontab

	reminders
	local_hour 21
	run -0 --separate-stderr cron "${crontab[0]}"
	[[ $stderr == *': call/41/2026-11-23: its deadline has passed; '* ]]
	run -0 --separate-stderr cron "${crontab[1]}"
	expect 0 ""
	[ ! -e rings ]
	[ "$(state_of call/41/2026-11-23 calls)" = expired ]
}

@test "manual: the crontab of the report tries until it succeeded" {
	local line

	stub make-report <<-'END'
		echo try
		[ -e "$here/data" ]
	END
	line=$(example report.crontab)
	idq init -q run
	run -1 --separate-stderr cron "$line"
	expect 1 try
	# The delay is not over.
	run -75 --separate-stderr cron "$line"
	expect 75 ""
	touch data
	idq retry -q run -k report --per day
	run -0 --separate-stderr cron "$line"
	expect 0 try
	run -0 --separate-stderr cron "$line"
	expect 0 ""
}

@test "manual: an invoice added twice is one job and exit 3" {
	idq init
	run -0 --separate-stderr sh -c "$(example twice.sh)"
	expect 0 $'duplicate: exit 3\n1'
	[ "$(idq show --field arg invoice/1044)" = $'1044\njo@example.org' ]
}

@test "manual: the script of letters delivers, and retries what it could not" {
	stub deliver <<-'END'
		[ "$1" != nobody ] || exit 3
		echo "$1: $(cat)" >>"$here/delivered"
	END
	example letters.sh >script
	idq init -q letters
	echo "Dear Jo" | idq add -q letters -k 1 -g jo --payload -
	echo "Hello?" | idq add -q letters -k 2 -g nobody --payload -
	echo "Dear Al" | idq add -q letters -k 3 -g al --payload -
	run -0 --separate-stderr sh script
	expect 0 ""
	[ "$(cat delivered)" = $'jo: Dear Jo\nal: Dear Al' ]
	[ "$(state_of 1 letters)" = 'done' ]
	[ "$(state_of 2 letters)" = 'wait' ]
	[ "$(state_of 3 letters)" = 'done' ]
	[ "$(idq show -q letters --field attempts 2)" = 1 ]
	[ -z "$(ls "$TMPDIR")" ]
}

@test "manual: the script of letters finishes the letter at hand when told to end" {
	stub deliver <<-'END'
		kill -TERM "$PPID"
		echo "$1" >>"$here/delivered"
	END
	example letters.sh >script
	idq init -q letters
	idq add -q letters -k 1 -g jo
	idq add -q letters -k 2 -g al
	run -0 --separate-stderr sh script
	expect 0 ""
	[ "$(cat delivered)" = jo ]
	[ "$(state_of 1 letters)" = 'done' ]
	[ "$(state_of 2 letters)" = new ]
	[ -z "$(ls "$TMPDIR")" ]
}

@test "manual: a claim by hand goes back when the script ends early" {
	stub check-letter <<-'END'
		grep -q Dear
	END
	example release.sh >script
	idq init
	echo "Hello?" | idq add -k 1 --payload -
	run -1 --separate-stderr sh script
	expect 1 ""
	[ "$(state_of 1)" = new ]
	[ "$(idq show --field attempts 1)" = 0 ]
	idq cancel 1
	echo "Dear Jo" | idq add -k 2 --payload -
	run -0 --separate-stderr sh script
	expect 0 ""
	[ "$(state_of 2)" = 'done' ]
	# Nothing is left to claim.
	run -0 --separate-stderr sh script
	expect 0 ""
}

@test "manual: a job adds the next step to its own queue" {
	stub fetch <<-'END'
		echo "text of $1"
	END
	example step.sh >script
	idq init -q pages
	idq add -q pages -k fetch -k a -- a
	run -0 --separate-stderr idq work -q pages --once -- sh script
	expect 0 ""
	[ "$(state_of fetch/a pages)" = 'done' ]
	[ "$(idq show -q pages --field arg convert/a)" = $'convert\na' ]
	[ "$(cat a.data)" = "text of a" ]
}

@test "manual: the reminder waits an hour and can start for 20 minutes" {
	idq init
	run -0 --separate-stderr sh -c "$(example later.sh)"
	expect 0 "$output"
	[ "$(wc -l <<<"$output")" -eq 1 ]
	[ "$(cut -f1,8 <<<"$output")" = $'waiting\tremind/42' ]
	[ "$(seconds_between added due remind/42)" -eq 3600 ]
	[ "$(seconds_between due expires remind/42)" -eq 1200 ]
	[ "$(idq cat remind/42)" = "Dentist at 14:00" ]
}

@test "manual: what failed is listed with its reason and tried again" {
	local key

	idq init
	for key in a ' odd\key'; do
		idq add -k "$key"
	done
	run -0 idq work --drain -- sh -c 'exit 100'
	run -0 --separate-stderr sh -c "$(example failed.sh)"
	expect 0 "$output"
	[ "$(wc -l <<<"$output")" -eq 2 ]
	for key in a ' odd\key'; do
		grep -F "$key: 20" <<<"$output" |
		grep ' failed 1 .*exit=100 .*to=failed'
		[ "$(state_of "$key")" = new ]
	done
}

@test "manual: who was rung more than once last night" {
	need faketime
	local_hour 9
	idq init -q calls
	rings() {
		at "$1" idq add -q calls -k "$3" -g "$2"
		at "$1" idq work -q calls --drain -- true
	}
	# At seven in the evening it was not night yet.
	rings -14h 41 call/41
	rings -11h 41 call/41/again
	rings -10h 42 call/42
	rings -9h 42 remind/42
	rings -8h 43 call/43
	rings -7h 42 call/42/again
	rings -6h 44 call/44
	at -6h idq forget -q calls call/44
	rings -5h 44 call/44
	# Asked for again is not rung again.
	at -4h idq add -q calls -k call/43 -g 43
	run -0 --separate-stderr sh -c "$(example rung.sh)"
	expect 0 $'3\t42\n2\t44'
}

@test "manual: who was asked for most often" {
	local key

	idq init
	for key in a b b b c c d; do
		idq add -k "$key"
	done
	run -0 --separate-stderr sh -c "$(example most.sh)"
	[ "$(head -n 2 <<<"$output")" = $'2\tb\n1\tc' ]
	[ "$(wc -l <<<"$output")" -eq 3 ]
	expect 0 "$output"
}

@test "manual: the check warns of what is late and of a worker that is gone" {
	need faketime
	idq init -q calls
	idq work -q calls --drain -- true
	idq add -q calls -k a
	run -0 --separate-stderr sh -c "$(example check.sh)"
	[[ $output == 'IDQ OK - calls: '* ]]
	run -2 --separate-stderr at +31m sh -c "$(example check.sh)"
	[[ $output == 'IDQ CRITICAL - '*' oldest 31m (over 30m), '*'(over 10m)'* ]]
}

@test "manual: the doctor names what is not as it should be" {
	idq init -q calls
	rmdir "$(queue_path calls)/wait"
	run -0 --separate-stderr sh -c "$(example doctor.sh)"
	grep -q $'^error\tdirs\twait: No such file' <<<"$output"
	grep -v $'^\(warning\|error\)\t' <<<"$output" | nothing
	is "$stderr" ''
}

@test "manual: the crontab for Prometheus writes what the alarms ask for" {
	local line name

	line=$(example prometheus.crontab)
	[[ $line == *' /var/lib/prometheus/node-exporter/idq.prom' ]]
	idq init -q calls
	idq add -q calls -k a
	idq work -q calls --once -- true
	idq add -q calls -k b
	run -0 --separate-stderr cron \
	    "${line/\/var\/lib\/prometheus\/node-exporter/$BATS_TEST_TMPDIR}"
	expect 0 ""
	[ "$(stat -c %a idq.prom)" = 644 ]
	for name in $(example alerts.promql | grep -oE 'idq_[a-z_]+'); do
		grep "^$name{" idq.prom
	done
}

# night NAME: run that block of the runbook.
night() {
	run --separate-stderr sh -c "$(example "night-$1.sh")"
}

# In the order of the page: example night-look.sh
# example night-pause.sh
# example night-thin.sh
# example night-catch-up.sh
# example night-after.sh
@test "manual: the night, from top to bottom" {
	need faketime
	stub call-up <<-'END'
		echo "$1" >>"$here/rings"
	END
	idq init -q calls
	idq config -q calls gate-age 2h
	for n in 1 2 3 4; do
		at -5h idq add -q calls -k "call/$n" -- "$n"
	done
	at -1h idq add -q calls -k call/5 -- 5 2>mail
	at -59m idq add -q calls -k call/6 -- 6
	grep -q ': stalled: 5 pending, oldest 4h' mail
	run -75 idq work -q calls --drain -- call-up

	night look
	[[ $output == 'IDQ WARNING'*'6 pending'* ]]
	grep -q $'^pending\t6$' <<<"$output"
	grep -q $'^pending\t.*\tcall/6$' <<<"$output"

	night pause
	[ "$status" -eq 0 ]
	run -0 --separate-stderr idq work -q calls --drain -- call-up
	expect 0 ''

	night thin
	[ "$status" -eq 0 ]
	is "$(idq ls -q calls -s pending | cut -f8 | tr '\n' ' ')" 'call/5 call/6 '

	night catch-up
	[ "$status" -eq 0 ]
	is "$(tr '\n' ' ' <rings)" '5 6 '

	night after
	[ "$status" -eq 0 ]
	is "$(head -n 2 <<<"$output")" $'1\tcall/5\n1\tcall/6'
	is "$(tail -n +3 <<<"$output" | sort | tr '\n' ' ')" \
	    'call/1 call/2 call/3 call/4 '
}

@test "manual: a backlog of 144 calls to each phone becomes one each" {
	for _ in {1..144}; do
		printf '%s\tring them\n' 41 42 43
	done >backlog
	run -0 --separate-stderr sh -c "$(example import.sh)"
	grep -qx $'pending\t3' <<<"$output"
	run -0 --separate-stderr idq ls -q calls
	is "$(cut -f5,8 <<<"$output")" $'143\tcall/41\n143\tcall/42\n143\tcall/43'
	is "$(idq cat -q calls call/41)" 'ring them'
	idq work -q calls --drain -- sh -c 'echo "$IDQ_KEY" >>rings'
	is "$(sort rings)" $'call/41\ncall/42\ncall/43'
	# Another message to the same phone is for a person to decide.
	echo $'41\tor not' >>backlog
	run -0 --separate-stderr sh -c "$(example import.sh)"
	[[ $stderr == *'call/41: differs '*'(payload)'* ]]
}

@test "manual: what waits goes out as lines that make the same jobs again" {
	need jq
	local name

	idq init -q calls
	idq init -q again
	printf 'a\0b\n\377' | idq add -q calls -k odd/ -g 'x y' --payload - -- 1 ''
	idq add -q calls -k later --at 2099-01-01T00:00Z
	idq add -q calls -k held
	idq hold -q calls held
	run -0 --separate-stderr sh -c "$(example export.sh)"
	is "$(wc -l <<<"$output")" 2
	idq add -q again --batch --json-lines <<<"$output"
	for name in odd/ later; do
		for field in due group args fingerprint; do
			is "$(idq show -q again --field $field "$name")" \
			    "$(idq show -q calls --field $field "$name")"
		done
	done
	is "$(idq cat -q again odd/ | od -c)" "$(printf 'a\0b\n\377' | od -c)"
}
