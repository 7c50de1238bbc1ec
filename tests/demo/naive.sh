# shellcheck shell=sh disable=SC2154 # $stamp is set by the caller
# SPDX-License-Identifier: ISC
# A queue in a directory, as it is often written: every add is a new file in
# $NAIVE/new, named by $stamp so that the oldest comes first.

# enqueue NUMBER NAME TIME
enqueue()
{
	printf '%s\t%s\t%s\n' "$@" >"$NAIVE/new/$stamp.$1"
}

# Run "$@" NUMBER NAME TIME for every entry; an emptied file is one that is done.
work()
{
	for entry in "$NAIVE"/new/*; do
		[ -s "$entry" ] || continue
		IFS='	' read -r number name time <"$entry"
		"$@" "$number" "$name" "$time" && : >"$entry"
	done
	find "$NAIVE/new" -type f -empty -delete
}
