#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Verb X is cmd/cmd_X.c, tests/X.bats, a section of idq.1 and a line in each
# completion, and every option is in all of them.

load helpers/common
load helpers/complete

# Test files that are about a subject and not a verb.
subjects='backup batch byhand completions examples filters fuzz gate
    hardening headers http incident install manual many nats once
    output pacing postgres queues readme recovery remote security
    spools symbols symmetry syscalls'

verbs() {
	idq --help |
	sed -nE 's/^[[:blank:]]+(idq )?([a-z]+)([[:blank:]].*)?$/\2/p' |
	grep -vx idq | sort -u
}

# same WHAT LIST WHAT LIST: the same lines in any order, or the difference.
same() {
	diff -U0 --label "$1" --label "$3" \
	    <(sort -u <<<"$2") <(sort -u <<<"$4")
}

# own_options: without those that every verb has.
own_options() {
	grep -vxE -- '-q|-h|--help' || :
}

# files FOLDER PREFIX SUFFIX: the middles of the names that have both.
files() {
	local f

	for f in "$top/$1/$2"*"$3"; do
		[ -e "$f" ] || continue
		f=${f##*/"$2"}
		echo "${f%"$3"}"
	done
}

@test "symmetry: the help lists verbs" {
	run -0 verbs
	[ "${#lines[@]}" -ge 20 ]
}

@test "symmetry: each verb has a source file, and each file a verb" {
	same 'idq --help' "$(verbs)" cmd/ "$(files cmd cmd_ .c)"
}

@test "symmetry: each verb has a test file, and each file a verb or subject" {
	local tested

	tested=$(files tests '' .bats |
	    grep -vxF "$(tr -s '[:space:]' '\n' <<<"$subjects")" || :)
	same 'idq --help' "$(verbs)" tests/ "$tested"
}

@test "symmetry: the tests of a verb begin with its name" {
	local verb bad=0

	for verb in $(verbs); do
		[ -e "$top/tests/$verb.bats" ] || continue
		if grep -nE '^@test ' "$top/tests/$verb.bats" |
		    grep -vE "^[0-9]+:@test [\"']$verb: "; then
			echo "^ in tests/$verb.bats"
			bad=1
		fi
	done
	[ "$bad" -eq 0 ]
}

@test "symmetry: each verb has its help, on stdout and silent else" {
	local verb

	for verb in $(verbs); do
		run -0 --separate-stderr idq "$verb" --help
		[[ $output == *"idq $verb"* ]]
		[ -z "$stderr" ]
		run -0 --separate-stderr idq "$verb" -h
		[[ $output == *"idq $verb"* ]]
	done
}

@test "symmetry: each verb has its place in the synopsis and the text" {
	local verb missing=

	for verb in $(verbs); do
		grep -qE "^\.Nm idq $verb\$" "$top/man/idq.1" ||
		    missing+=" $verb (SYNOPSIS)"
		grep -qE "^\.(It|Ss) Ic $verb( |\$)" "$top/man/idq.1" ||
		    missing+=" $verb"
	done
	echo "missing in idq.1:$missing"
	[ -z "$missing" ]
}

@test "symmetry: the manual describes no verb that there is not" {
	local described

	described=$(sed -n 's/^\.Nm idq \([a-z]*\)$/\1/p' "$top/man/idq.1")
	same idq.1 "$described" 'idq --help' "$(verbs)"
}

@test "symmetry: each option in a verb's help is in the manual" {
	local verb option missing=

	for verb in $(verbs); do
		for option in $(help_options "$verb"); do
			grep -qE -- "Fl ${option#-}( |\$)" "$top/man/idq.1" ||
			    missing+=" $verb $option,"
		done
	done
	echo "missing in idq.1:$missing"
	[ -z "$missing" ]
}

@test "symmetry: each completion has all verbs" {
	same 'idq --help' "$(verbs)" idq.bash "$(bash_complete 'idq ')"
	same 'idq --help' "$(verbs)" idq.zsh "$(sed -nE \
	    "s/^\t+'([a-z]+):.*/\1/p" "$completions/idq.zsh")"
	need fish
	same 'idq --help' "$(verbs)" idq.fish "$(fish_complete 'idq ')"
}

# options_match SHELL: its completion has each verb's options and no others.
options_match() {
	local verb bad=0

	for verb in $(verbs); do
		same "idq $verb --help" \
		    "$(help_options "$verb" | own_options)" \
		    "the $1 completion of $verb" \
		    "$("$1_options" "$verb" | own_options)" || bad=1
	done
	[ "$bad" -eq 0 ]
}

@test "symmetry: bash completes the options of each verb, and no others" {
	options_match bash
}

@test "symmetry: zsh completes the options of each verb, and no others" {
	need zsh
	options_match zsh
}

@test "symmetry: fish completes the options of each verb, and no others" {
	need fish
	options_match fish
}

@test "symmetry: the names of config are in the manual and the completions" {
	local name missing=

	idq init
	for name in $(idq config | cut -f1); do
		grep -qE "^\.It Cm $name No " "$top/man/idq.1" ||
		    missing+=" $name (idq.1)"
		grep -qw -- "$name" "$completions/idq.zsh" ||
		    missing+=" $name (idq.zsh)"
		grep -qw -- "$name" "$completions/idq.fish" ||
		    missing+=" $name (idq.fish)"
	done
	echo "missing:$missing"
	[ -z "$missing" ]
}

@test "symmetry: the Makefile lists every source file, and no others" {
	same Makefile \
	    "$(grep -oE '(lib|cmd|tests/unit)/[A-Za-z0-9_]+\.c' "$top/Makefile")" \
	    'the tree' "$(cd "$top" && find lib cmd tests/unit -name '*.c')"
}

@test "symmetry: every gate of .ci/run is a target of the Makefile" {
	local gate missing=

	for gate in $(sed -n "/^gates=/,/'\$/p" "$top/.ci/run" |
	    tr -d "'" | sed 's/^gates=//'); do
		grep -qE "^([a-z-]+ )*$gate( [a-z-]+)*:" "$top/Makefile" ||
		    missing+=" $gate"
	done
	echo "missing in Makefile:$missing"
	[ -z "$missing" ]
}
