# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# What the tests of the hand-over share: a producer, and relays that are killed.

# scripts: find them, and the system's python3 before others, which may be slow.
scripts() {
	# $IDQ and $top are set by common.bash.
	# shellcheck disable=SC2154
	PATH=${IDQ%/*}:$top/man/examples:/usr/bin:$PATH
}

# outbox: a queue whose relay is tried again at once, and often.
outbox() {
	idq init
	idq config backoff 1s
	idq config attempts 100
}

# produce FIRST LAST: add these jobs, each twice.
produce() {
	seq "$1" "$2" | sed 's/.*/job\/&\tpayload &/' >lines
	cat lines lines | idq add --batch
}

# fragile: `./fragile COMMAND...' is COMMAND, but now and then the relay is
# killed: before the hand-over, which goes on; behind it, when the engine has
# the job and idq does not know; or together with the command, wherever that is.
# Each start is a line in `sent', each hand-over that ended well one in `taken'.
fragile() {
	cat >fragile <<-'END'
		#!/bin/bash
		echo "$IDQ_KEY" >>sent
		n=$(wc -l <sent)
		[ $((n % 9)) -ne 2 ] || kill -KILL "$PPID"
		if [ $((n % 9)) -eq 8 ]; then
			"$@" <&0 &
			sleep "0.0$((n % 7))"
			kill -KILL "$PPID"
			kill -KILL 0
		fi
		"$@" || exit
		echo "$IDQ_KEY" >>taken
		[ $((n % 9)) -ne 5 ] || kill -KILL "$PPID"
	END
	chmod +x fragile
}

# fragile_batch: the same for a command that gets many jobs.
fragile_batch() {
	cat >fragile_batch <<-'END'
		#!/bin/bash
		lines=$(mktemp "$PWD/lines.XXXXXX")
		tee "$lines" | jq -r .key >>sent
		echo >>starts
		n=$(wc -l <starts)
		[ $((n % 7)) -ne 2 ] || kill -KILL "$PPID"
		if [ $((n % 7)) -eq 6 ]; then
			"$@" <"$lines" &
			sleep "0.0$((n % 9))"
			kill -KILL "$PPID"
			kill -KILL 0
		fi
		answers=$("$@" <"$lines") || exit
		jq -r .key "$lines" >>taken
		[ $((n % 7)) -ne 4 ] || kill -KILL "$PPID"
		printf '%s\n' "$answers"
	END
	chmod +x fragile_batch
}

# relay [--batch N] COMMAND...: one relay after the other, until all is handed
# over.  How many of them were killed is the number of lines in `killed'.
relay() {
	local end=$((SECONDS + 60)) status batch=()

	if [ "$1" = --batch ]; then
		batch=("$1" "$2")
		shift 2
	fi
	: >>killed
	while [ ! -e stop ] && [ -n "$(idq ls -s unfinished)" ]; do
		if [ "$SECONDS" -ge "$end" ]; then
			idq ls -s unfinished >&2
			return 1
		fi
		status=0
		idq work --drain "${batch[@]}" -- "$@" 2>>relay.err 3>&- 4>&- || status=$?
		case $status in
		0) sleep 0.05 ;;
		137) echo "$status" >>killed ;;
		*) return "$status" ;;
		esac
	done
}

# relays COMMAND...: the same in the background; its pid is $relays.
relays() {
	relay "$@" &
	relays=$!
}

# end_relays: those that a failed test left behind.
end_relays() {
	[ -n "${relays-}" ] || return 0
	touch stop
	wait "$relays" || :
}

# down COMMAND...: the engine does not answer: each job is to be tried again,
# and none of its attempts is used.
down() {
	idq work --drain -- "$@" 2>>relay.err
	idq log --event later | grep -q .
	is "$(idq ls -s all | cut -f1,4 | grep -vP '^(waiting|pending)\t0$')" ''
}

# was_hard: relays were killed, and some jobs were handed over more than once,
# so that an engine without a unique key would have them twice.
was_hard() {
	echo "killed $(wc -l <killed), sent $(wc -l <sent), taken $(wc -l <taken)"
	[ "$(wc -l <killed)" -ge 4 ]
	sort taken | uniq -d | grep -q .
}

# page_example NAME: a literal block of idq-handover(7) as a reader sees it.
page_example() {
	# $top is set by common.bash.
	# shellcheck disable=SC2154
	awk -v name="$1" '
		$1 == ".\\\"" && $2 == "example:" { on = $3 == name }
		on && $1 == ".Ed" { exit }
		on && text { print }
		on && $1 == ".Bd" { text = 1 }' "$top/man/idq-handover.7" |
	    grep .
}
