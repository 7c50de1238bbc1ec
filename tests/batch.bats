#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# add --batch: many jobs from standard input, as TSV and as JSON lines.

# Each test is a subshell of its own, and some words are for eval later;
# $output and $stderr come from bats; names in a queue are plain.
# shellcheck disable=SC2012,SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

teardown() {
	exec 7>&-
	if [ -n "${mounted-}" ]; then
		umount "$mounted"
	fi
	common_teardown
}

# in_new: how many jobs there are.
in_new() {
	find "$queue/new" -type f | wc -l
}

# results: fields 1, 3, 5 and 6 of the -v lines of the last run.
results() {
	cut -f1,3,5,6 <<<"$output"
}

#
# Lines of key, tab and payload.
#

@test "batch: each line is a job, in silence" {
	printf 'a\tone\nb\ttwo words\nc\t\n' >list
	run -0 --separate-stderr sh -c 'idq add --batch <list'
	expect 0 ''
	[ "$(payload a)" = one ]
	[ "$(payload b)" = 'two words' ]
	[ "$(header Length c)" = 0 ]
	[ "$(in_new)" -eq 3 ]
	find "$queue/tmp" -type f | nothing
	[ "$(cut -f2 "$queue"/log/* | xargs)" = 'added added added' ]
	# The newline is not of the payload.
	[ "$(header Length a)" = 3 ]
	[ "$(header Fingerprint a)" = \
	    "$(printf '0\none' | sha256sum | cut -c1-64)" ]
}

@test "batch: a job is what a single add makes of it" {
	printf 'a\thello\n' | idq add --batch
	run -3 --separate-stderr sh -c \
	    'printf hello | idq add -E 3 -k a --payload -'
	expect 3 ''
	printf world | idq add -k b --payload -
	run -0 --separate-stderr sh -c "printf 'b\tworld\n' | idq add --batch -v"
	[ "$(results)" = 'duplicate	pending	1	b' ]
}

@test "batch: a line without a tab has no payload" {
	run -0 --separate-stderr sh -c 'echo a | idq add --batch -v'
	expect 0 "added	$(hash_of a)	pending	0	0	a"
	[ "$(header Length a)" = 0 ]
}

@test "batch: the payload is all behind the first tab" {
	printf 'a\tx\ty\t\nb\t\t\n' | idq add --batch
	[ "$(payload a)" = $'x\ty\t' ]
	[ "$(payload b)" = $'\t' ]
}

@test "batch: the last line needs no newline" {
	printf 'a\tone\nb\ttwo' | idq add --batch
	[ "$(payload b)" = two ]
	[ "$(in_new)" -eq 2 ]
	printf c | idq add --batch
	[ "$(state_of c)" = new ]
}

@test "batch: no input is nothing to do" {
	run -0 --separate-stderr sh -c ': | idq add --batch -v'
	expect 0 ''
	run -0 --separate-stderr sh -c 'idq add --batch --json </dev/null'
	expect 0 ''
	[ "$(in_new)" -eq 0 ]
}

@test "batch: payloads may have any bytes but a newline" {
	printf 'nul\ta\0b\0\nraw\t\377\200\nescape\t\033[0m\\n\n' >list
	run -0 --separate-stderr sh -c 'idq add --batch <list'
	expect 0 ''
	payload nul | cmp - <(printf 'a\0b\0')
	payload raw | cmp - <(printf '\377\200')
	payload escape | cmp - <(printf '\033[0m\\n')
	idq cat nul | cmp - <(printf 'a\0b\0')
}

@test "batch: the return of a CRLF is part of the payload, and of no key" {
	printf 'a\tone\r\nb\r\n' >list
	run -64 --separate-stderr sh -c 'idq add --batch -v <list'
	[ "$(cut -f1 <<<"$output")" = $'added\nerror' ]
	[[ $stderr == 'idq: add: line 2: '*'control character' ]]
	payload a | cmp - <(printf 'one\r')
	[ "$(in_new)" -eq 1 ]
}

@test "batch: a payload of several megabytes" {
	{
		printf 'a\t'
		head -c 5000000 /dev/urandom | tr -d '\n' | tee big
		printf '\nb\tsmall\n'
	} >list
	run -0 --separate-stderr sh -c 'idq add --batch <list'
	expect 0 ''
	payload a | cmp - big
	[ "$(payload b)" = small ]
}

@test "batch: files are the owner's alone, umask 000 or 077" {
	for mask in 000 077; do
		(umask "$mask" && printf '%s\n' "$mask" "$mask" |
		    idq add --batch)
	done
	[ "$(find "$queue" -printf '%y %m\n' | sort -u)" = $'d 700\nf 600' ]
}

#
# Result lines.
#

@test "batch: -v gives a line for each, in order" {
	idq add -k old
	idq add -k older
	idq cancel older
	printf '%s\n' c old a older b a >list
	run -0 --separate-stderr sh -c 'idq add --batch -v <list'
	[ "$stderr" = '' ]
	[ "$(results)" = 'added	pending	0	c
duplicate	pending	1	old
added	pending	0	a
duplicate	cancelled	1	older
added	pending	0	b
duplicate	pending	1	a' ]
	[ "$(cut -f2 <<<"$output" | head -n 1)" = "$(hash_of c)" ]
	[ "$(cut -f4 <<<"$output" | sort -u | wc -l)" -ge 1 ]
	[ "$(cut -f4 <<<"$output" | grep -cE '^[0-9]+$')" -eq 6 ]
}

@test "batch: a key that comes again is a duplicate, counted" {
	printf 'a\tx\na\tx\nb\ty\na\tx\n' >list
	run -0 --separate-stderr sh -c 'idq add --batch -v <list'
	[ "$stderr" = '' ]
	[ "$(results)" = 'added	pending	0	a
duplicate	pending	1	a
added	pending	0	b
duplicate	pending	2	a' ]
	[ "$(dups a)" -eq 2 ]
	[ "$(in_new)" -eq 2 ]
}

@test "batch: a key that comes again with another payload is a mismatch" {
	printf 'a\tx\na\ty\nb\tz\n' >list
	run -65 --separate-stderr sh -c 'idq add --batch -v <list'
	[ "$(cut -f1,3,6 <<<"$output")" = 'added	pending	a
mismatch	pending	a
added	pending	b' ]
	[[ $stderr == 'idq: add: line 2: a: differs from the job that holds the key (payload); '* ]]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
	[ "$(payload a)" = x ]
	[ "$(in_new)" -eq 2 ]
}

@test "batch: --json gives an object for each, in order" {
	need jq
	idq add -k old -- arg
	printf 'a\nold\n\na\n' >list
	run -65 --separate-stderr sh -c 'idq add --batch --json <list'
	[ "$(jq -r .result <<<"$output" | xargs)" = \
	    'added mismatch error duplicate' ]
	[ "$(jq -r '.key // "-"' <<<"$output" | sed -n '1p;2p;4p' | xargs)" = \
	    'a old a' ]
	[ "$(jq -r 'has("error")' <<<"$output" | xargs)" = \
	    'false true true false' ]
	[ "$(wc -l <<<"$output")" -eq 4 ]
	[[ $stderr == *'line 2: old: differs '*'line 3: '* ]]
}

@test "batch: what was printed is on disk while the input goes on" {
	mkfifo input
	idq add --batch -v <input >out 2>err 3>&- 7>&- &
	pid=$!
	spawned+=("$pid")
	exec 7>input
	printf '%s\n' a b c >&7
	wait_for '[ $(wc -l <out) -eq 3 ]'
	for key in a b c; do
		[ "$(state_of "$key")" = new ]
	done
	[ "$(cut -f1,6 out)" = $'added\ta\nadded\tb\nadded\tc' ]
	run -0 --separate-stderr idq claim
	expect 0 "$(hash_of a).$(header Id a).1"
	# Half a line is none yet.
	printf 'd\tpay' >&7
	printf 'load\ne\n' >&7
	wait_for '[ $(wc -l <out) -eq 5 ]'
	[ "$(payload d)" = payload ]
	kill -KILL "$pid"
	wait "$pid" || [ $? -eq 137 ]
	[ "$(in_new)" -eq 4 ]
	find "$queue/tmp" -type f | nothing
	nothing <err
}

@test "batch: what was printed before a kill in the midst of it is there" {
	seq 20000 | sed 's/^/k/' >list
	# Few descriptors: small groups.
	bash -c 'ulimit -n 100; exec idq add --batch -v <list' \
	    >out 2>err 3>&- &
	pid=$!
	spawned+=("$pid")
	wait_for '[ $(wc -l <out) -ge 100 ]' 60
	kill -KILL "$pid"
	wait "$pid" || [ $? -eq 137 ]
	# A line may be cut off, but then it has no newline.
	head -n "$(wc -l <out)" out | cut -f1,2 >printed
	[ "$(wc -l <printed)" -ge 100 ]
	cut -f1 printed | grep -vx added | nothing
	ls "$queue/new" | cut -d. -f3 | LC_ALL=C sort >present
	cut -f2 printed | LC_ALL=C sort | LC_ALL=C comm -23 - present | nothing
}

@test "batch: without -v results are not printed" {
	printf 'a\na\n\n' >list
	run -64 --separate-stderr sh -c 'idq add --batch <list'
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: line 3: '* ]]
}

#
# Bad lines.
#

@test "batch: a bad line is named by its number, the rest is added" {
	printf 'a\n\nb\tx\n\tpayload\nc\n' >list
	run -64 --separate-stderr sh -c 'idq add --batch -v <list'
	[ "$(cut -f1 <<<"$output" | xargs)" = 'added error added error added' ]
	[ "$(tr -cd '\t\n' <<<"$output" | sort -u)" = $'\t\t\t\t\t' ]
	[ "$(cut -c1-17 <<<"$stderr")" = $'idq: add: line 2:\nidq: add: line 4:' ]
	[ "$(grep -c empty <<<"$stderr")" -eq 2 ]
	[ "$(in_new)" -eq 3 ]
}

@test "batch: what can be no key is a bad line" {
	{
		printf 'ok1\tx\n'
		printf '%0513d\tx\n' 0
		printf 'a\001b\tx\n'
		printf 'a\033[31mb\tx\n'
		printf 'a\377\tx\n'
		printf 'a\0b\tx\n'
		printf 'ok2\tx\n'
	} >list
	run -64 --separate-stderr sh -c 'idq add --batch <list'
	[ "$output" = '' ]
	[ "$(cut -d: -f1-3 <<<"$stderr")" = 'idq: add: line 2
idq: add: line 3
idq: add: line 4
idq: add: line 5
idq: add: line 6' ]
	[[ $stderr == *'longer than 512 bytes'*'control character'*'control character'*'not UTF-8'*NUL* ]]
	printf %s "$stderr" | grep -a $'[\001-\011\013-\037\177]' | nothing
	[ "$(state_of ok1) $(state_of ok2)" = 'new new' ]
	[ "$(in_new)" -eq 2 ]
}

@test "batch: -v prints nothing of a bad key that a terminal would obey" {
	printf 'a\033[31mb\tx\n' >list
	run -64 --separate-stderr sh -c 'idq add --batch -v <list'
	[[ $output == error$'\t'* ]]
	[ "$(tr -cd '\t' <<<"$output" | wc -c)" -eq 5 ]
	printf %s "$output" | grep -a $'\033' | nothing
}

@test "batch: exits with the highest status that a line had" {
	idq add -k held -- arg
	printf '\n' >bad
	printf 'held\n' >mismatch
	printf 'ok\n' >good
	printf 'foreign\n' >foreign
	echo 'no job' >"$(key_file foreign)"
	while read -r code files; do
		# shellcheck disable=SC2086
		cat $files >list
		run "-$code" --separate-stderr sh -c 'idq add --batch <list'
		[ "$output" = '' ]
		[ "$(wc -l <<<"$stderr")" -ge 1 ]
	done <<-'END'
		0 good good
		64 good bad good
		65 good mismatch good
		65 mismatch bad
		65 bad mismatch good
		70 bad foreign mismatch good
		70 foreign
	END
	[ "$(cat "$(key_file foreign)")" = 'no job' ]
}

@test "batch: a foreign file of a key is named with its path, the rest is added" {
	ln -s "$PWD/target" "$(key_file b)"
	mkfifo "$(key_file c)"
	printf 'a\nb\nc\nd\n' >list
	run -70 --separate-stderr timeout 30 sh -c 'idq add --batch -v <list'
	[ "$(cut -f1,6 <<<"$output")" = $'added\ta\nerror\tb\nerror\tc\nadded\td' ]
	[[ $stderr == "idq: add: line 2: b: $(key_file b): "*"idq: add: line 3: c: $(key_file c): "* ]]
	[ "$(in_new)" -eq 2 ]
	[ ! -e target ]
}

@test "batch: a key whose adder lives is put off until last" {
	idq add -k b
	# As an add that has not yet made its last rename.
	mv "$(echo "$queue"/new/*)" "$queue/tmp/$(header Id b)"
	spawn flock "$(key_file b)" sh -c 'echo "$$" >locked; exec sleep 60'
	wait_for '[ -s locked ]'
	printf 'a\nb\nc\n' >list
	idq add --batch -v <list >out 2>err 3>&- &
	pid=$!
	spawned+=("$pid")
	# The others do not wait for it.
	wait_for '[ "$(state_of a)$(state_of c)" = newnew ]'
	[ "$(state_of b)" = '' ]
	kill -KILL "$(cat locked)"
	wait "$pid"
	nothing <err
	[ "$(cut -f1,6 out)" = $'added\ta\nduplicate\tb\nadded\tc' ]
	[ "$(state_of b)" = new ]
}

@test "batch: a failed job's duplicate is named" {
	idq add -k b
	idq fail --exit 100 "$(idq claim)"
	printf 'a\nb\n' >list
	run -0 --separate-stderr sh -c 'idq add --batch <list'
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: '*'b: failed '*' ago and holds its key; idq retry or idq forget frees it' ]]
	[ "$(wc -l <<<"$stderr")" -eq 1 ]
}

@test "batch: a stalled queue is one warning, however many jobs are pending" {
	need faketime
	printf '%s\n' a b c >list
	idq add --batch <list
	run -0 --separate-stderr at +6h idq add --batch <list
	[ "$output" = '' ]
	[[ $stderr =~ ^idq:\ add:\ $queue:\ stalled:\ 3\ pending,\ oldest\ 6h,\ last\ worker\ seen\ never$ ]]
}

#
# Options.
#

@test "batch: the options go for each job" {
	printf 'a\tx\nb\ty\n' | idq add --batch -g g --keep 1h --attempts 2 \
	    --on-crash hold --at 2020-01-01T00:00Z --ttl 10000d
	for key in a b; do
		[ "$(header Group "$key")" = g ]
		[ "$(header Keep "$key")" = 3600 ]
		[ "$(header Attempts "$key")" = 2 ]
		[ "$(header On-crash "$key")" = hold ]
		[ "$(header Due "$key")" = 2020-01-01T00:00:00.000000Z ]
		[ "$(between "$(header Due "$key")" \
		    "$(header Expires "$key")")" -eq 864000000 ]
	done
}

@test "batch: --in goes for each job" {
	need faketime
	printf '%s\n' a b | idq add --batch --in 1h
	[ "$(state_of a) $(state_of b)" = 'wait wait' ]
	run -0 --separate-stderr at +61m idq claim
	expect 0 "$(hash_of a).$(header Id a).1"
	off=$(between "$(header Added b)" "$(header Due b)")
	[ "$off" -ge 3599 ]
	[ "$off" -le 3601 ]
}

@test "batch: --not-after goes for each job" {
	need faketime
	printf '%s\n' a b >list
	on 2026-11-23T12:00:00Z idq add --batch --not-after 20:00 <list
	[ "$(header Expires b)" = 2026-11-23T20:00:00.000000Z ]
	run -0 --separate-stderr on 2026-11-23T21:00:00Z \
	    idq add --batch -v --not-after 20:00 <list
	[ "$(cut -f1,3,6 <<<"$output")" = \
	    $'duplicate\texpired\ta\nduplicate\texpired\tb' ]
	printf 'c\n' >list
	run -0 --separate-stderr on 2026-11-23T21:00:00Z \
	    idq add --batch -v --not-after 20:00 <list
	expect 0 "added	$(hash_of c)	expired	0	0	c" \
	    "idq: add: $queue: c: its deadline has passed; set aside as expired, not to be run"
}

@test "batch: --per goes for each key" {
	need faketime
	printf '%s\n' a b >list
	run -0 --separate-stderr on 2026-11-23T12:00:00Z \
	    idq add --batch -v --per day <list
	[ "$stderr" = '' ]
	[ "$(cut -f6 <<<"$output")" = $'a@2026-11-23\nb@2026-11-23' ]
	[ "$(state_of a@2026-11-23)" = new ]
	printf '%0505d\n' 0 >list
	run -64 --separate-stderr sh -c 'idq add --batch --per day <list'
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: line 1: '*'longer than 512 bytes' ]]
}

@test "batch: --reuse goes for each key" {
	printf '%s\n' a b >list
	idq add --batch <list
	idq fail --exit 100 "$(idq claim)"
	idq ack "$(idq claim)"
	run -0 --separate-stderr sh -c 'idq add --batch -v --reuse failed <list'
	[ "$(cut -f1,6 <<<"$output")" = $'added\ta\nduplicate\tb' ]
	[ "$stderr" = '' ]
	idq cancel a
	run -0 --separate-stderr sh -c 'idq add --batch -v --reuse final <list'
	[ "$(cut -f1,6 <<<"$output")" = $'added\ta\nadded\tb' ]
	# One that came in the same batch is not over.
	printf '%s\n' c c >list
	run -0 --separate-stderr sh -c 'idq add --batch -v --reuse final <list'
	[ "$(cut -f1,6 <<<"$output")" = $'added\tc\nduplicate\tc' ]
}

@test "batch: options for one job alone are wrong usage" {
	for words in '-k a' --key-from-payload '--payload -' '-E 3'; do
		run -64 --separate-stderr sh -c \
		    "echo x | idq add --batch $words"
		[ "$output" = '' ]
		[[ $stderr == 'idq: add: --batch: '*"${words%% *}"* ]]
	done
	run -64 --separate-stderr sh -c 'echo x | idq add --batch -- arg'
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: arg: '*--batch* ]]
	run -64 --separate-stderr sh -c 'echo x | idq add --json-lines'
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: --json-lines: '*--batch* ]]
	run -64 --separate-stderr sh -c 'echo x | idq add --batch --at 14:00 --in 1h'
	[ "$output" = '' ]
	[ "$(in_new)" -eq 0 ]
}

#
# JSON lines.
#

@test "batch: a JSON line may have key, payload, args, at, ttl and group" {
	cat >list <<-'END'
		{"key":"a"}
		{"key":"b","payload":"two\nlines","args":["x","y z",""],"group":"g"}
		{"group":"h","at":"2020-01-01T00:00Z","ttl":"1w2d","key":"c"}
		 { "key" : "d" , "args" : [ ] , "payload" : "" }
	END
	run -0 --separate-stderr sh -c \
	    'idq add --batch --json-lines -v --not-after 2099-01-01 <list'
	[[ $stderr == "idq: add: $queue: c: its deadline has passed; "* ]]
	[ "$(cut -f1,6 <<<"$output")" = $'added\ta\nadded\tb\nadded\tc\nadded\td' ]
	payload b | cmp - <(printf 'two\nlines')
	[ "$(header Arg b)" = $'x\ny z' ]
	idq show -0 --field arg b | cmp - <(printf 'x\0y z\0\0')
	[ "$(header Group b)" = g ]
	[ "$(header Group c)" = h ]
	[ "$(header Due c)" = 2020-01-01T00:00:00.000000Z ]
	[ "$(header Length d)" = 0 ]
	[ "$(header Arg d)" = '' ]
}

@test "batch: a JSON line is the job that a single add makes" {
	echo '{"key":"a","payload":"hello","args":["x","y"]}' |
	    idq add --batch --json-lines
	run -3 --separate-stderr sh -c \
	    'printf hello | idq add -E 3 -k a --payload - -- x y'
	expect 3 ''
}

@test "batch: what a JSON line says goes before the options" {
	cat >list <<-'END'
		{"key":"a"}
		{"key":"b","group":"own","at":"2021-01-01T00:00Z","ttl":"9999d"}
	END
	idq add --batch --json-lines -g common --at 2020-01-01T00:00Z \
	    --ttl 8888d <list
	[ "$(header Group a) $(header Group b)" = 'common own' ]
	[ "$(header Due a)" = 2020-01-01T00:00:00.000000Z ]
	[ "$(header Due b)" = 2021-01-01T00:00:00.000000Z ]
	[ "$(between "$(header Due a)" "$(header Expires a)")" -eq 767923200 ]
	[ "$(between "$(header Due b)" "$(header Expires b)")" -eq 863913600 ]
}

@test "batch: at in a JSON line is local, an epoch, or the next HH:MM" {
	need faketime
	TZ=CET-1
	cat >list <<-'END'
		{"key":"a","at":"2026-11-24T08:30"}
		{"key":"b","at":"@1800000000"}
		{"key":"c","at":"13:59"}
		{"key":"d","at":"14:30"}
	END
	on 2026-11-23T13:00:00Z idq add --batch --json-lines <list
	[ "$(header Due a)" = 2026-11-24T07:30:00.000000Z ]
	[ "$(header Due b)" = 2027-01-15T08:00:00.000000Z ]
	[ "$(header Due c)" = 2026-11-24T12:59:00.000000Z ]
	[ "$(header Due d)" = 2026-11-23T13:30:00.000000Z ]
}

@test "batch: payload_base64 is any bytes" {
	head -c 100000 /dev/urandom >random
	{
		printf '{"key":"nuls","payload_base64":"AAEKAP8="}\n'
		printf '{"key":"one","payload_base64":"/w=="}\n'
		printf '{"key":"none","payload_base64":""}\n'
		printf '{"key":"random","payload_base64":"%s"}\n' \
		    "$(base64 -w0 random)"
	} >list
	run -0 --separate-stderr sh -c 'idq add --batch --json-lines <list'
	expect 0 ''
	payload nuls | cmp - <(printf '\0\1\n\0\377')
	payload one | cmp - <(printf '\377')
	[ "$(header Length none)" = 0 ]
	payload random | cmp - random
}

@test "batch: JSON escapes are what they stand for" {
	cat >list <<-'END'
		{"key":"\u00f8\/\ud83d\udc1f","payload":"\u0000a\t\u00e6\"\\"}
		{"key":"æ日","args":["\n\u00e6"]}
	END
	run -0 --separate-stderr sh -c 'idq add --batch --json-lines <list'
	expect 0 ''
	payload 'ø/🐟' | cmp - <(printf '\0a\t\xc3\xa6"\134')
	idq show -0 --field arg æ日 | cmp - <(printf '\n\xc3\xa6\0')
}

@test "batch: a bad JSON line is named by its number, the rest is added" {
	cat >list <<-'END'
		{"key":"first"}

		nonsense
		{"key":"a"
		{"key":"a"} {"key":"b"}
		["key","a"]
		"a"
		null
		{}
		{"payload":"x"}
		{"key":""}
		{"key":7}
		{"key":null}
		{"key":"a\u0000b"}
		{"key":"a\nb"}
		{"key":"a","key":"b"}
		{"key":"a","payload":7}
		{"key":"a","payload":"x","payload_base64":"eA=="}
		{"key":"a","payload_base64":"x"}
		{"key":"a","payload_base64":"eA="}
		{"key":"a","payload_base64":"eB=="}
		{"key":"a","payload_base64":"e A="}
		{"key":"a","payload_base64":"eA==eA=="}
		{"key":"a","payload_base64":7}
		{"key":"a","args":"x"}
		{"key":"a","args":[1]}
		{"key":"a","args":[["x"]]}
		{"key":"a","args":["a\u0000b"]}
		{"key":"a","at":"soon"}
		{"key":"a","at":1800000000}
		{"key":"a","ttl":"5"}
		{"key":"a","ttl":5}
		{"key":"a","ttl":"0s"}
		{"key":"a","group":""}
		{"key":"a","group":"x\ny"}
		{"key":"a","group":7}
		{"key":"a","paylod":"x"}
		{"key":"a","id":"x"}
		{"key":"last"}
	END
	# A byte that is not UTF-8.
	printf '{"key":"a\377"}\n' >>list
	run -64 --separate-stderr sh -c \
	    'idq add --batch --json-lines -v <list'
	[ "$(wc -l <<<"$output")" -eq 40 ]
	[ "$(cut -f1 <<<"$output" | uniq -c | xargs)" = \
	    '1 added 37 error 1 added 1 error' ]
	[ "$(grep -cE '^idq: add: line [0-9]+: ' <<<"$stderr")" -eq 38 ]
	[ "$(wc -l <<<"$stderr")" -eq 38 ]
	[ "$(cut -d: -f3 <<<"$stderr" | tr -d 'line ' | xargs)" = \
	    "$(seq -s ' ' 2 38) 40" ]
	[ "$(in_new)" -eq 2 ]
	[ "$(state_of first) $(state_of last)" = 'new new' ]
	printf %s "$stderr" | grep -aP '[\x00-\x09\x0b-\x1f\x7f\xff]' | nothing
}

@test "batch: a misspelt name in a JSON line is named with the closest one" {
	run -64 --separate-stderr sh -c \
	    "echo '{\"key\":\"a\",\"paylod\":\"x\"}' | idq add --batch --json-lines"
	expect 64 '' "idq: add: line 1: unknown name 'paylod'; did you mean 'payload'?"
	run -64 --separate-stderr sh -c \
	    "echo '{\"key\":\"a\",\"ttl\":\"10min\"}' | idq add --batch --json-lines"
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: line 1: '*10min*"'10m'"* ]]
}

@test "batch: a file of lines that are no JSON is told so line by line" {
	printf 'a\tx\nb\ty\n' >list
	run -64 --separate-stderr sh -c 'idq add --batch --json-lines <list'
	[ "$output" = '' ]
	[ "$(grep -cE '^idq: add: line [12]: .*JSON' <<<"$stderr")" -eq 2 ]
	[ "$(in_new)" -eq 0 ]
}

#
# Many.
#

@test "batch: 10,000 lines are 10,000 jobs, and then as many duplicates" {
	seq 10000 | sed 's/.*/call\/&\tpayload &/' >list
	run -0 --separate-stderr sh -c 'idq add --batch -v <list >out'
	expect 0 ''
	[ "$(cut -f1 out | uniq -c | xargs)" = '10000 added' ]
	cut -f6 out | cmp - <(cut -f1 list)
	[ "$(in_new)" -eq 10000 ]
	[ "$(find "$queue/keys" -type f | wc -l)" -eq 10000 ]
	find "$queue/tmp" -type f | nothing
	[ "$(payload call/7777)" = 'payload 7777' ]
	# They are in new in the order of the lines.
	ls "$queue/new" | cut -d. -f3 | cmp - <(cut -f2 out)
	run -0 --separate-stderr sh -c 'idq add --batch -v <list >out'
	expect 0 ''
	[ "$(cut -f1,3,5 out | uniq -c | xargs)" = '10000 duplicate pending 1' ]
	[ "$(in_new)" -eq 10000 ]
}

@test "batch: few descriptors are enough" {
	seq 500 >list
	run -0 --separate-stderr bash -c \
	    'ulimit -n 40; idq add --batch -v <list >out'
	expect 0 ''
	[ "$(cut -f1 out | uniq -c | xargs)" = '500 added' ]
	[ "$(in_new)" -eq 500 ]
}

@test "batch: four with the same keys in opposite orders do not wait for each other" {
	seq 4000 | sed 's/.*/k&\tp&/' >list1
	tac list1 >list2
	shuf list1 >list3
	shuf list1 >list4
	for i in 1 2 3 4; do
		spawn timeout 100 sh -c "idq add --batch -v <list$i >out$i"
	done
	for pid in "${spawned[@]}"; do
		wait "$pid"
	done
	spawned=()
	cat spawn.out spawn.err | nothing
	for i in 1 2 3 4; do
		cut -f6 "out$i" | cmp - <(cut -f1 "list$i")
	done
	cat out? >out
	[ "$(cut -f1 out | sort | uniq -c | xargs)" = \
	    '4000 added 12000 duplicate' ]
	[ "$(awk -F'\t' '$1 == "added" { print $6 }' out |
	    sort -u | wc -l)" -eq 4000 ]
	[ "$(in_new)" -eq 4000 ]
	[ "$(find "$queue/keys" -type f | wc -l)" -eq 4000 ]
	find "$queue/tmp" -type f | nothing
}

@test "batch: two with the same keys and other payloads: one of each wins" {
	seq 500 | sed 's/.*/k&\tone/' >list1
	seq 500 | tac | sed 's/.*/k&\ttwo/' >list2
	for i in 1 2; do
		spawn timeout 100 sh -c \
		    "idq add --batch -v <list$i >out$i 2>err$i"
	done
	for pid in "${spawned[@]}"; do
		wait "$pid" || [ $? -eq 65 ]
	done
	spawned=()
	[ "$(cut -f1 out1 out2 | sort | uniq -c | xargs)" = \
	    '500 added 500 mismatch' ]
	[ "$(cat err1 err2 | wc -l)" -eq 500 ]
	[ "$(cat err1 err2 | grep -c 'differs from the job')" -eq 500 ]
	[ "$(in_new)" -eq 500 ]
}

#
# What fails as a whole.
#

@test "batch: input that cannot be read is 74" {
	run -74 --separate-stderr sh -c 'idq add --batch <&-'
	[ "$output" = '' ]
	[[ $stderr == 'idq: add: standard input: '* ]]
	run -74 --separate-stderr sh -c 'idq add --batch <.'
	expect 74 '' 'idq: add: standard input: Is a directory'
}

@test "batch: output that cannot be written is 74" {
	[ -c /dev/full ] || skip "there is no /dev/full"
	seq 100 >list
	run -74 --separate-stderr sh -c 'idq add --batch -v <list >/dev/full'
	expect 74 '' 'idq: add: standard output: No space left on device'
	# What is there is whole, and the same command makes the rest.
	run -0 --separate-stderr sh -c 'idq add --batch <list'
	expect 0 ''
	[ "$(in_new)" -eq 100 ]
}

@test "batch: on a full disk lines are 75, and again is enough" {
	mount_at "$PWD/full" size=2m
	queue=$PWD/full/queue
	idq init -q "$queue"
	for i in {1..400}; do
		printf 'k%d\t%05000d\n' "$i" 0
	done >list
	run -75 --separate-stderr sh -c \
	    "idq add -q $queue --batch -v <list >out"
	[ "$output" = '' ]
	[ "$(wc -l <out)" -eq 400 ]
	added=$(grep -c ^added out)
	[ "$added" -ge 1 ]
	[ "$added" -lt 400 ]
	[ "$(in_new)" -eq "$added" ]
	[ "$(find "$queue/keys" "$queue/tmp" -type f | wc -l)" -eq "$added" ]
	[ "$(grep -c 'No space left on device$' <<<"$stderr")" -ge $((400 - added)) ]
	mount -o remount,size=20m "$PWD/full"
	run -0 --separate-stderr sh -c \
	    "idq add -q $queue --batch -v <list >out"
	[ "$output" = '' ]
	[ "$(grep -c ^duplicate out)" -eq "$added" ]
	[ "$(grep -c ^added out)" -eq $((400 - added)) ]
	[ "$(in_new)" -eq 400 ]
}

@test "batch: a sync that fails takes all of the group back" {
	need cc
	printf '%s\n' '#include <errno.h>' 'int fsync(int);' \
	    'int fsync(int fd) { errno = EIO; return fd < 0 ? -2 : -1; }' |
	    cc -shared -fPIC -x c -o nosync.so -
	printf 'a\nb\na\nc\n' >list
	run -75 --separate-stderr sh -c \
	    "LD_PRELOAD=$PWD/nosync.so idq add --batch -v <list"
	[ "$(cut -f1 <<<"$output" | uniq -c | xargs)" = '4 error' ]
	[ "$(grep -c 'Input/output error$' <<<"$stderr")" -ge 3 ]
	find "$queue/keys" "$queue/tmp" "$queue/new" -type f | nothing
	run -0 --separate-stderr sh -c 'idq add --batch -v <list'
	[ "$(cut -f1 <<<"$output" | xargs)" = 'added added duplicate added' ]
}

@test "batch: the default queue is made on first use, another is 66" {
	rm -r "$IDQ_SPOOL"
	run -66 --separate-stderr sh -c 'echo a | idq add -q calls --batch'
	expect 66 '' "idq: add: $IDQ_SPOOL/calls: no such queue; make it with: idq init -q calls"
	run -0 --separate-stderr sh -c 'echo a | idq add --batch'
	expect 0 '' "idq: add: made the queue $IDQ_SPOOL/default"
	[ "$(state_of a)" = new ]
}

@test "batch: a newer format is 78, and the input is left alone" {
	echo 'idq spool 2' >"$queue/format"
	echo left >list
	run -78 --separate-stderr sh -c '{ idq add --batch; e=$?; cat; exit $e; } <list'
	expect 78 left "idq: add: $queue: has the newer format 'idq spool 2'"
}

@test "batch: there is a progress bar on a terminal alone" {
	need script faketime
	seq 300 >list
	# Few descriptors: small groups.  A fast clock: each is time to draw.
	cat >bar <<-'END'
		ulimit -n 60
		# What a killed process of this pid may have left.
		rm -f /dev/shm/sem.faketime_sem_$$ /dev/shm/faketime_shm_$$
		exec faketime -f '+0 x1000' idq add --batch "$@" <list
	END
	export TERM=vt100
	run -0 --separate-stderr bash bar
	expect 0 ''
	idq init -q two
	script -qec 'bash bar -q two' /dev/null </dev/null >screen
	[ "$(ls "$IDQ_SPOOL/two/new" | wc -l)" -eq 300 ]
	grep -q '\[[#-]*\] *[0-9]*%' screen
	# It is gone at the end: nothing follows the last clearing.
	[ "$(tail -c 3 screen)" = $'\033[K' ]
	[ "$(wc -l <screen)" -eq 0 ]
	# A terminal that cannot clear a line has none.
	TERM=dumb script -qec 'bash bar -q two' /dev/null </dev/null |
	    nothing
}
