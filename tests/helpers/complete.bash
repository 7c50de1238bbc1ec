# SPDX-License-Identifier: ISC
# shellcheck shell=bash
#
# What each shell offers for a line, one a line and sorted, in the tests of
# completions.  The cursor is at the end of the line.

completions=$(cd "${BASH_SOURCE[0]%/*}/../../completions" && pwd)

# The line is split as bash does, at blanks and word breaks.
bash_complete() {
	# shellcheck disable=SC2016
	bash --norc -c '
		source "$1/idq.bash"
		COMP_LINE=$2 COMP_POINT=${#2}
		mapfile -t COMP_WORDS < <(grep -oE \
		    "[:=@]+|(\\\\.|[^[:space:]:=@])+" <<<"$2")
		[[ $2 != *[[:space:]] ]] || COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
		_idq
		[ "${#COMPREPLY[@]}" -eq 0 ] || printf "%s\n" "${COMPREPLY[@]}"
	' bash "$completions" "$1" | sort -u
}

# Without the descriptions.
fish_complete() {
	# shellcheck disable=SC2016
	fish --no-config -c '
		source $argv[1]/idq.fish
		complete -C $argv[2]
	' "$completions" "$1" | cut -f1 | sort -u
}

# The specifications that zsh has of a verb's options and operands.
zsh_specs() {
	# shellcheck disable=SC2016
	zsh -f -c '
		compdef() { :; }
		source $1/idq.zsh
		_arguments() { print -rl -- "${@[3,-1]}" }
		_idq_verb $2
	' zsh "$completions" "$1"
}

# The options of a verb, as each shell has them.
bash_options() {
	bash_complete "idq $1 -"
}

fish_options() {
	fish_complete "idq $1 -"
}

zsh_options() {
	zsh_specs "$1" | sed -nE 's/^(\([^)]*\))?\*?(--?[A-Za-z0-9-]+).*/\2/p' |
	    sort -u
}

# The options of a verb, as the tool and the manual have them.
help_options() {
	idq "$1" --help | grep -oE '(^|[^[:alnum:]-])--?[[:alnum:]][[:alnum:]-]*' |
	    sed 's/^[^-]*//' | sort -u
}

# type_at SHELL LINE...: type the lines, where <TAB> is that key, at the shell,
# interactive and on a terminal.  One of them has to make it exit.
type_at() {
	local shell=$1

	shift
	printf '%s\n' "${@//<TAB>/$'\t'}" |
	TERM=dumb script -qec "$shell" /dev/null >typed.out 2>&1
}
