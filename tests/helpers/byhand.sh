#!/bin/sh
# SPDX-License-Identifier: ISC
# byhand.sh QUEUE: print `state TAB key TAB attempts' for every job of the queue
# in the directory QUEUE.  A reader of idq(5) without idq: it looks at keys/
# alone, since the trail at the end of a job's file decides what its state is.
set -eu
LC_ALL=C
export LC_ALL

queue=$1
now=$(date -u +%Y-%m-%dT%H:%M:%S.%6NZ)
status=0

complain()
{
	echo "byhand: $1: $2" >&2
	status=1
}

# The header: print the offset of the trail, Due and Key; fail if it does not
# parse.  Nothing behind the empty line is looked at.
header()
{
	awk '
	NR == 1 && $0 != "idq job 1" { exit }
	{ bytes += length($0) + 1 }
	$0 == "" { whole = 1; exit }
	{ value = substr($0, index($0, ": ") + 2) }
	/^Key: / { key = value }
	/^Due: / { due = value }
	/^Length: [0-9]+$/ { payload = value; sized = 1 }
	END {
		if (!whole || key == "" || due == "" || !sized)
			exit 1
		printf "%.0f\t%s\t%s\n", bytes + payload + 1, due, key
	}' "$1"
}

# The trail on standard input: print the state and the attempts used, by the
# last line that counts.  $1 is the Due of the header.
trail()
{
	# A line that the file ends in the middle of gets the \001 and so does
	# not parse; nor does a line with a NUL byte.
	{ cat; printf '\001\n'; } | tr '\000' '\001' |
	awk -v next_due="$1" -v now="$now" '
	BEGIN {
		d = "[0-9]"
		stamp = d d d d "-" d d "-" d d "T" d d ":" d d ":" d d \
		    "[.]" d d d d d d "Z"
		event = "(claimed|renewed|done|failed|later|released|" \
		    "interrupted|held|unheld|retried|cancelled|expired)"
		line = "^" stamp " " event " " d d "*" \
		    "( [a-z-][a-z-]*=[^ \001-\037]*)*$"
		to = "new"
	}
	$0 !~ line { next }
	{
		to = ""
		for (i = 4; i <= NF; i++) {
			value = substr($i, index($i, "=") + 1)
			if ($i ~ /^to=/)
				to = value
			if ($i ~ /^next=/)
				next_due = value
		}
	}
	$2 == "claimed" { used[$3] = 1 }
	$2 == "later" || $2 == "released" { delete used[$3] }
	$2 == "retried" { for (n in used) delete used[n] }
	$2 == "claimed" || $2 == "renewed" { to = "running" }
	$2 == "done" || $2 == "cancelled" || $2 == "expired" { to = $2 }
	$2 == "held" { to = "hold" }
	END {
		if (to == "new" || to == "wait")
			to = next_due > now ? "waiting" : "pending"
		if (to == "hold")
			to = "held"
		for (n in used)
			attempts++
		printf "%s\t%d\n", to, attempts
	}'
}

if [ "$(cat "$queue/format")" != 'idq spool 1' ]; then
	complain "$queue" 'not a spool that this program can read'
	exit 78
fi

for file in "$queue"/keys/??/*; do
	[ -e "$file" ] || [ -L "$file" ] || continue
	if [ -L "$file" ] || ! [ -f "$file" ]; then
		complain "$file" 'not a file'
		continue
	fi
	if ! fields=$(header "$file"); then
		complain "$file" 'not a job'
		continue
	fi
	body=${fields%%	*} rest=${fields#*	}
	due=${rest%%	*} key=${rest#*	}
	hash=$(printf %s "$key" | sha256sum | cut -c 1-64)
	if [ "${file##*/}" != "$hash" ] ||
	    [ "$(wc -c <"$file")" -lt "$body" ]; then
		complain "$file" 'not whole'
		continue
	fi
	found=$(tail -c "+$((body + 1))" "$file" | trail "$due")
	printf '%s\t%s\t%s\n' "${found%	*}" "$key" "${found#*	}"
done
exit "$status"
