#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# What README.md shows is what happens.

load helpers/common

setup() {
	common_setup
	readme=$BATS_TEST_DIRNAME/../README.md
	# Around noon in local time, so that no day ends during a test.
	TZ=$(printf 'NOON%+d' "$(($(date -u +%-H) - 12))")
	TMPDIR=$BATS_TEST_TMPDIR
	export TZ TMPDIR
}

# tour: the lines of the one block of shell.
tour() {
	# The backquotes are markdown.
	# shellcheck disable=SC2016
	sed -n '/^```sh$/,/^```$/{/^```/!p;}' "$readme"
}

# same EXPECTED REAL: `...' stands for anything, and a blank for a tab.
same() {
	local pattern

	pattern=$(printf '%s\n' "$1" | sed 's/[^[:alnum:]. ]/\\&/g')
	pattern=${pattern//.../*}
	# It is a pattern.
	# shellcheck disable=SC2053
	[[ ${2//$'\t'/ } == $pattern ]]
}

# check COMMAND EXPECTED: run it in this shell and compare what it prints.
check() {
	local out=$BATS_TEST_TMPDIR/out

	if ! eval "$1" >"$out" 2>&1; then
		echo "failed: $1"
		cat "$out"
		return 1
	fi
	if ! same "$2" "$(cat "$out")"; then
		printf -- '%s\n--- prints\n%s\n--- README says\n%s\n' \
		    "$1" "$(cat "$out")" "$2"
		return 1
	fi
}

# The right column of the table, a command a line, without its crontab times.
replacements() {
	# The backquotes are markdown.
	# shellcheck disable=SC2016
	sed -n '/^## I came from/,/^## /s/^| .* | \(`.*`\) |$/\1/p' "$readme" |
	sed 's/\\|/|/g; s/` and `/\n/; s/`//g' | cut -d' ' -f6-
}

@test "readme: the tour prints what it says, line by line" {
	local line command='' expected='' commands=0

	while IFS= read -r line; do
		case $line in
		'#> '*)
			expected+=${expected:+$'\n'}${line#'#> '}
			continue
			;;
		esac
		[ -z "$command" ] || check "$command" "$expected"
		command=$line expected=
		commands=$((commands + 1))
	done < <(tour)
	[ -n "$command" ]
	check "$command" "$expected"
	[ "$commands" -ge 15 ]
	# The last line has removed what the tour made.
	[ ! -e "$IDQ_SPOOL" ]
}

@test "readme: a tour that prints something else is noticed" {
	run -1 check 'echo more' ''
	run -1 check 'echo a; echo b' 'a'
	run -1 check 'printf "a.c\n"' 'abc'
	run -1 check 'printf "abc\n"' 'a.c'
	run -1 check 'echo b; false' 'b'
	run -1 check 'echo a; echo b' $'a\nc'
	run -0 check 'echo a; echo "(b)*"' $'a\n(b)*'
	run -0 check ':' ''
	run -0 check 'printf "a\tsome b\n"' 'a ... b'
}

@test "readme: each line that replaces another does its work" {
	local name line bin=$BATS_TEST_TMPDIR/stubs

	mkdir "$bin"
	for name in sync-all backup-home make-report send-digest send-reminder
	do
		printf '#!/bin/sh\necho %s >>"%s/ran"\n' "$name" \
		    "$BATS_TEST_TMPDIR" >"$bin/$name"
		chmod +x "$bin/$name"
	done
	printf '#!/bin/sh\nprintf "remind/7\\t7\\n"\n' >"$bin/due-reminders"
	chmod +x "$bin/due-reminders"
	PATH=$bin:$PATH
	idq init -q reminders
	idq init -q run

	[ "$(replacements | wc -l)" -eq 6 ]
	while IFS= read -r line; do
		run -0 --separate-stderr sh -c "$line" </dev/null
		expect 0 ""
	done < <(replacements)
	run -0 sort ran
	[ "$output" = "$(printf '%s\n' backup-home make-report send-digest \
	    send-reminder sync-all)" ]

	# Asked again, what has a period or a key of its own stays done.
	while IFS= read -r line; do
		run -0 --separate-stderr sh -c "$line" </dev/null
		expect 0 ""
	done < <(replacements | grep -v sync-all)
	[ "$(wc -l <ran)" -eq 5 ]
}
