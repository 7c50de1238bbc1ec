#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# What commands print: kept with `output keep', bounded, shown, and removed
# with the job.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

max=1048576

setup() {
	common_setup
	idq init
	idq config output keep
	idq config backoff 0s
	queue=$(queue_path)
}

teardown() {
	if [ -n "${mounted-}" ]; then
		umount "$mounted"
	fi
	common_teardown
}

# out KEY [N]: the file of its claim N, else 1.
out() {
	printf '%s\n' "$queue/out/$(hash_of "$1").$(id_of "$1").${2-1}"
}

# kept: how many there are.
kept() {
	find "$queue/out" -type f | wc -l
}

# work COMMAND: a shell's, once, for what is due; nothing must be said.
work() {
	run -0 --separate-stderr idq work --once -- sh -c "$1" sh
	expect 0 ''
}

# said KEY: what the last line of its trail has as stderr=.
said() {
	value stderr "$(last "$1") "
}

@test "output: by default it is the worker's, and nothing is kept" {
	idq config output inherit
	idq add -k a
	run -0 --separate-stderr idq work --once -- \
	    sh -c 'echo out; echo err >&2; exit 75'
	expect 0 out err
	is "$(kept)" 0
	is "$(said a)" ''
	run -1 --separate-stderr idq show --output a
	expect 1 '' 'idq: show: a: no output is kept'
}

@test "output: both streams are kept in one file, and the worker is silent" {
	idq add -k a -- 1 '2 3'
	work 'printf "%s\n" "$@"; echo warning >&2; exit 1'
	run -0 --separate-stderr idq show --output a
	expect 0 $'1\n2 3\nwarning'
	is "$(stat -c '%a %s' "$(out a)")" '600 14'
	is "$(kept)" 1
}

@test "output: byte for byte, also of a job that is done" {
	head -c 200000 /dev/urandom >bytes
	idq add -k a --payload bytes
	work cat
	is "$(state_of a)" 'done'
	idq show --output a | cmp bytes -
	is "$(said a)" ''
}

@test "output: what prints nothing has an empty file" {
	idq add -k a
	work true
	run -0 --separate-stderr idq show --output a
	expect 0 ''
	is "$(stat -c %s "$(out a)")" 0
}

@test "output: the command has no further descriptors" {
	idq config output inherit
	idq add -k a
	inherited=$(idq work --drain -- sh -c 'cd /proc/$$/fd && echo *')
	idq config output keep
	idq add -k b
	work 'cd /proc/$$/fd && echo *'
	is "$(idq show --output b)" "$inherited"
	[[ " $inherited " == *' 64 '* ]]
}

@test "output: of 20 MB the beginning, the end and a mark are kept" {
	seq 10000000 | head -c 20000000 >long
	idq add -k a --payload long
	work 'cat; echo the end >&2; exit 1'
	echo 'the end' >>long
	idq show --output a >got
	[ "$(stat -c %s got)" -le "$max" ]
	cmp -n 262144 long got
	mark=$(tail -c +262145 got | head -c 53)
	[[ $mark == $'\n[idq: '*' bytes are left out here]' ]]
	tail -c +262198 got >rest
	[ "$(stat -c %s rest)" -ge 393216 ]
	tail -c "$(stat -c %s rest)" long | cmp rest -
	left=$(sed -n 's/^\[idq: 0*\([0-9]*\) bytes .*/\1/p' <<<"$mark")
	is "$((left + 262144 + $(stat -c %s rest)))" 20000008
	is "$(said a)" 'the\040end'
}

@test "output: up to 1 MiB nothing is left out" {
	seq 10000000 | head -c "$max" >full
	(cat full; printf x) >longer
	idq add -k a --payload full
	idq add -k b --payload longer
	work cat
	work cat
	idq show --output a | cmp full -
	is "$(idq show --output b | grep -c '^\[idq: 0*393216 bytes ')" 1
}

@test "output: a command that prints for ever stays within 1 MiB" {
	idq add -k a --attempts 1
	spawn idq work --drain --timeout 2s -- sh -c 'yes; yes'
	wait_for '[ "$(stat -c %s "$(out a)")" -gt 600000 ]'
	while kill -0 "$spawned_pid" 2>/dev/null &&
	    [ "$(state_of a)" = cur ]; do
		[ "$(stat -c %s "$(out a)")" -le "$max" ]
	done
	wait "$spawned_pid"
	is "$(value reason "$(last a)")" timeout
	[ "$(stat -c %s "$(out a)")" -le "$max" ]
	[ "$(idq show --output a | sed -n 's/^\[idq: 0*\([0-9]*\) bytes .*/\1/p')" \
	    -gt 10000000 ]
}

@test "output: the command outlives its worker, prints on, and is bounded" {
	mkfifo go
	idq add -k a
	spawn idq work -- sh -c 'echo before; read -r line <go
	    seq 1000000 || exit; echo after >&2; echo "$?" >ended'
	wait_for 'grep -q before "$(out a)"'
	kill -KILL "$spawned_pid"
	wait "$spawned_pid" || :
	echo >go
	wait_for '[ -s ended ]'
	is "$(cat ended)" 0
	wait_for 'idq show --output a | grep -qx after'
	idq show --output a >got
	is "$(head -n 2 got | tr '\n' ' ')" 'before 1 '
	is "$(tail -n 2 got | tr '\n' ' ')" '1000000 after '
	[ "$(stat -c %s got)" -le "$max" ]
	run -0 --separate-stderr idq work --drain -- true
	is "$(events a)" 'claimed 1 interrupted 1 claimed 2 done 2 '
}

@test "output: signals to the worker's group do not reach it" {
	idq add -k a
	spawn setsid idq work -- sh -c 'echo a; until [ -e go ]; do sleep .05
	    done; echo b && touch ended'
	wait_for 'grep -q a "$(out a)"'
	pgid=$(ps -o pgid= -p "$(idq show --field pid a)")
	[ "$pgid" -ne "$spawned_pid" ]
	kill -KILL -- "-$spawned_pid"
	touch go
	wait_for '[ -e ended ] && grep -q b "$(out a)"'
}

@test "output: the last line on stderr of a failed attempt is in its trail" {
	idq add -k a --attempts 100
	work 'echo one >&2; echo two >&2; echo three; exit 1'
	[[ $(last a) == *" failed 1 exit=1 stderr=two to=new next="* ]]
	work 'echo "no connection" >&2; exit 75'
	[[ $(last a) == *' later 2 exit=75 stderr=no\040connection to='* ]]
	work 'echo killed >&2; kill -KILL $$'
	[[ $(last a) == *' failed 3 signal=9 stderr=killed to='* ]]
	work 'echo only stdout; exit 1'
	[[ $(last a) == *' failed 4 exit=1 to='* ]]
	work 'echo "a warning" >&2'
	[[ $(last a) == *' done 5 exit=0 release='* ]]
}

@test "output: which line is the last, and how it is written" {
	idq add -k a --attempts 100
	while IFS='|' read -r text value; do
		printf '%b' "$text" >text
		work 'cat text >&2; exit 1'
		is "$(said a)" "$value"
		is "$(idq show --field state a)" pending
	done <<-'EOF'
		no newline|no\040newline
		blank lines\n\n \t\n|blank\040lines
		  both ends \t\r\n|both\040ends
		10 %\r20 %\rbroken\n|broken
		10 %\r20 %\r|20\040%
		a=b to=done next=never\n|a=b\040to=done\040next=never
		\033[31mred\033[0m\007\n|\033[31mred\033[0m\007
		back\\slash\n|back\134slash
		a\0000b\n|a\000b
		\0303\0274ber \0342\0202\0254\n|über\040€
		c1 \0302\0233 \0200\0377\n|c1\040\302\233\040\200\377
		cut off \0342\0202\n|cut\040off\040\342\202
		\n\n|
	EOF
}

@test "output: a long line is cut behind a whole character" {
	idq add -k a --attempts 100
	work 'head -c 100000 /dev/zero | tr "\0" x >&2; exit 1'
	is "$(said a)" "$(printf 'x%.0s' {1..160})"
	work 'printf "x%080d" 0 | sed s/0/ü/g >&2; exit 1'
	is "$(said a)" "x$(printf 'ü%.0s' {1..79})"
	work 'printf "%0157d " 0 >&2; printf "1\n" | tr 1 "\\001" >&2; exit 1'
	is "$(said a)" "$(printf '%0157d' 0)"
	is "$(events a | wc -w)" 12
}

@test "output: it says why a job gave up or is held" {
	idq add -k a --attempts 1
	idq add -k b --on-crash hold
	run -0 --separate-stderr idq work --drain -- sh -c \
	    'printf "it \033[31m%s = \303\274\\\\\n" "$IDQ_KEY" >&2
	    [ "$IDQ_KEY" = a ] && exit 3; kill -9 $$'
	expect 0 '' "idq: work: default: a: failed after 1 attempt (exit 3): it \\033[31ma = ü\\
idq: work: default: b: held, its outcome is unknown (signal 9): it \\033[31mb = ü\\"
	is "$(idq log | cut -f2,4 | grep -c '^failed.*stderr=')" 2
}

@test "output: show prints that of the last attempt, or of one" {
	idq add -k a --attempts 3
	for n in 1 2 3; do
		run idq work --once -- sh -c 'echo "try $IDQ_ATTEMPT"; exit 1'
	done
	run -0 --separate-stderr idq show --output a
	expect 0 'try 3'
	for n in 1 2 3; do
		run -0 --separate-stderr idq show --output --attempt "$n" a
		expect 0 "try $n"
	done
	run -1 --separate-stderr idq show --output --attempt 4 a
	expect 1 '' 'idq: show: a: no output of attempt 4 is kept'
	idq retry a
	work 'echo again'
	run -0 --separate-stderr idq show --output a
	expect 0 again
	run -0 --separate-stderr idq show --output --attempt 1 a
	expect 0 'try 1'
}

@test "output: a later attempt of which nothing is kept hides none" {
	idq add -k a
	work 'echo first; exit 1'
	idq fail "$(idq claim)"
	idq config output inherit
	run idq work --once -- sh -c 'exit 1'
	run -0 --separate-stderr idq show --output a
	expect 0 first
	run -1 --separate-stderr idq show --output --attempt 2 a
	expect 1 '' 'idq: show: a: no output of attempt 2 is kept'
}

@test "output: show takes several keys, tokens and prefixes" {
	for key in a b c; do
		idq add -k "$key"
	done
	idq cancel c
	run -0 idq work --drain -- sh -c 'echo "$IDQ_KEY"'
	run -1 --separate-stderr idq show --output a c b d
	expect 1 $'a\nb' "idq: show: c: no output is kept
idq: show: d: no such job in $queue"
	run -0 --separate-stderr idq show --output ":$(hash_of a | cut -c1-12)"
	expect 0 a
	run -0 --separate-stderr idq show --output -k b
	expect 0 b
}

@test "output: show while the command runs" {
	mkfifo go
	idq add -k a
	spawn idq work --drain -- sh -c 'echo begun; read -r line <go'
	wait_for '[ "$(idq show --output a)" = begun ]'
	echo >go
	wait "$spawned_pid"
}

@test "output: on a terminal show prints nothing that acts on it" {
	idq add -k a
	work 'printf "a\tb\033[31m \303\274\r\n\0x\200y"'
	is "$(terminal 'idq show --output a')" \
	    $'a\tb\\033[31m ü\\015\n\\000x\\200y'
}

@test "output: wrong usage of show is 64" {
	run -64 --separate-stderr idq show --attempt 1 a
	expect 64 '' 'idq: show: --attempt: goes with --output'
	run -64 --separate-stderr idq show --output --json a
	expect 64 '' 'idq: show: --output: goes with neither --field nor --json'
	run -64 --separate-stderr idq show --output --field key a
	expect 64 '' 'idq: show: --output: goes with neither --field nor --json'
	for n in 0 -1 x 4294967296; do
		run -64 --separate-stderr idq show --output --attempt "$n" a
		is "$output" ''
		[[ $stderr == "idq: show: --attempt "* ]]
	done
}

@test "output: what is no file there is 70, and named" {
	idq add -k a
	work 'echo a'
	rm "$(out a)"
	ln -s /etc/passwd "$(out a)"
	run -70 --separate-stderr idq show --output a
	expect 70 '' "idq: show: a: $(out a): is no regular file"
}

@test "output: forget, purge and a new job of the key remove it" {
	for key in a b c d; do
		idq add -k "$key" --keep 1h
		work 'exit 1'
		work 'echo "$IDQ_KEY"'
	done
	is "$(kept)" 8
	idq forget a
	is "$(kept)" 6
	at +2h idq add -k b
	is "$(kept)" 4
	at +2h idq purge
	is "$(kept)" 0
	is "$(idq ls -s all | cut -f8)" b
}

@test "output: of a job without end only the last ten are kept" {
	idq add -k a --attempts 100
	for n in {1..13}; do
		work "echo $n; exit 75"
	done
	is "$(kept)" 10
	run -1 --separate-stderr idq show --output --attempt 3 a
	run -0 --separate-stderr idq show --output --attempt 4 a
	expect 0 4
	idq cancel a
	idq forget a
	is "$(kept)" 0
}

@test "output: it goes with its job, however often that was claimed since" {
	idq add -k a --attempts 100
	work 'echo 1; exit 75'
	# A claim by hand keeps none, and removes none.
	for _ in {1..11}; do
		idq release "$(idq claim)"
	done
	is "$(kept)" 1
	idq cancel a
	idq forget a
	is "$(kept)" 0
}

@test "output: fsck removes that of jobs that are gone, and no other" {
	idq add -k a
	idq add -k b
	idq add -k c
	work 'echo a'
	work 'echo b'
	work 'echo c; exit 1'
	cp "$(out b)" copy
	gone=out/${copy-$(hash_of b)}.$(id_of b).1
	idq forget b
	cp copy "$queue/$gone"
	cp copy "$queue/out/foreign"
	cp copy "$(out a | sed 's/1$/0/')"
	idq add -k b
	run -1 --separate-stderr idq fsck -n
	is "$(LC_ALL=C sort <<<"$output")" "$(LC_ALL=C sort <<-EOF
		left	$gone	of a job that is gone
		left	out/foreign	is no name of an output
		left	out/$(basename "$(out a 0)")	is no name of an output
	EOF
	)"
	run -1 --separate-stderr idq fsck
	is "$(grep "^fixed" <<<"$output")" \
	    "fixed	$gone	of a job that is gone: removed"
	is "$(wc -l <<<"$output")" 3
	rm "$queue/out/foreign" "$(out a 0)"
	is "$(kept)" 2
	run -0 --separate-stderr idq fsck
	expect 0 ''
}

@test "output: fsck takes it along with a job that is left over" {
	idq add -k a --keep 1h
	work 'echo a'
	h=$(hash_of a)
	rm "$queue/keys/${h:0:2}/$h"
	run -0 --separate-stderr at +2h idq fsck
	[[ $output == *'left over from a job that is gone: removed' ]]
	is "$(kept)" 0
}

@test "output: where it cannot be kept the job runs, and it is the worker's" {
	rmdir "$queue/out"
	: >"$queue/out"
	idq add -k a
	path=$(out a)
	run -0 --separate-stderr idq work --drain -- sh -c 'echo printed'
	expect 0 printed "idq: work: $path: Not a directory; the output is not kept"
	is "$(state_of a)" 'done'
	idq forget a
}

@test "output: on a full disk the command goes on" {
	mount_at "$queue/out" size=64k,mode=700
	idq add -k a
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'head -c 1000000 /dev/zero && echo said >&2 && exit 7'
	is "$output" ''
	[[ $stderr == *"$(out a): No space left on device; not all of the output is kept"* ]]
	is "$(value exit "$(last a)")" 7
	is "$(said a)" said
	is "$(stat -c %s "$(out a)")" 65536
}

@test "output: a queue without the folder gets it" {
	rmdir "$queue/out"
	idq add -k a
	work 'echo a'
	run -0 --separate-stderr idq show --output a
	expect 0 a
	is "$(stat -c %a "$queue/out")" 700
}

@test "output: what a lost claim left in its place is replaced" {
	idq add -k a
	echo old >"$(out a)"
	work 'echo new'
	run -0 --separate-stderr idq show --output a
	expect 0 new
}

@test "output: a command that cannot be started leaves none" {
	idq add -k a
	run -127 --separate-stderr idq work --drain -- ./missing
	is "$(kept)" 0
	is "$(state_of a)" new
	idq add -k b --attempts 1 -- ./missing
	idq cancel a
	run -0 --separate-stderr idq work --drain
	is "$(kept)" 0
	is "$(state_of b)" failed
}

@test "output: a daemon left behind holds up nobody and prints on" {
	mkfifo go
	idq add -k a
	work '(read -r line <go; echo daemon; seq 300000; echo over) &
	    echo command'
	is "$(state_of a)" 'done'
	is "$(idq show --output a)" command
	echo >go
	wait_for 'idq show --output a | grep -qx over'
	is "$(idq show --output a | head -n 2 | tr '\n' ' ')" 'command daemon '
	[ "$(stat -c %s "$(out a)")" -le "$max" ]
}

@test "output: a command that closes it is no failure" {
	idq add -k a
	work 'echo a; exec >&- 2>&-; exit 0'
	is "$(state_of a)" 'done'
	is "$(idq show --output a)" a
}

@test "output: a killed keeper is noticed, and the end still counts" {
	need pgrep
	idq add -k a
	run -0 --separate-stderr idq work --drain -- \
	    sh -c 'kill -KILL $(pgrep -P $PPID -x idq-output)'
	is "$output" ''
	is "$stderr" "idq: work: $(out a): Broken pipe; not all of the output is kept"
	is "$(state_of a)" 'done'
}

@test "output: no process is left, not even as a zombie of the worker" {
	need pgrep
	for key in {1..5}; do
		idq add -k "$key"
	done
	spawn idq work -- true
	wait_for '[ "$(idq ls -s done | wc -l)" -eq 5 ]'
	wait_for '! pgrep -P "$spawned_pid"'
}

@test "output: several commands at once do not mix theirs" {
	for key in {1..40}; do
		idq add -k "$key"
	done
	run -0 --separate-stderr idq work --drain -j 8 -- \
	    sh -c 'echo "$IDQ_KEY"; echo "$IDQ_KEY" >&2'
	expect 0 ''
	for key in {1..40}; do
		is "$(idq show --output "$key" | tr '\n' ' ')" "$key $key "
	done
}

@test "output: what work -v prints is the worker's" {
	idq add -k a
	run -0 --separate-stderr idq work --drain -v -- echo command
	expect 0 "done	$(hash_of a)	1	a"
}

@test "output: that of run is its own" {
	idq init -q run
	idq config -q run output keep
	run -3 --separate-stderr idq run -k a -- \
	    sh -c 'echo out; echo err >&2; exit 3'
	expect 3 out err
	find "$(queue_path run)/out" -type f | nothing
}
