#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# show: all about a job, or one field of it.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

fields='key hash id state since added by due expires group arg length
    fingerprint attempts claims dups lastdup lease token pid path keep
    on-crash release run last'

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

teardown() {
	: >gate
	common_teardown
}

# is_field FIELD VALUE [KEY]
is_field() {
	run -0 --separate-stderr idq show --field "$1" "${3-a}"
	expect 0 "$2"
}

# header NAME [KEY]: the value in the job's file.
header() {
	sed -n "s/^$1: //p;/^\$/q" "$(key_file "${2-a}")"
}

# value NAME LINE: of NAME=VALUE in it.
value() {
	sed -n "s/.* $1=\([^ ]*\).*/\1/p" <<<"$2 "
}

@test "show: each field of a pending job" {
	idq add -k a --at 2026-01-02T03:04:05Z --ttl 9000d -g +45 --keep 3d \
	    --attempts 7 --on-crash hold --payload - -- one 'two words' <<<hello
	for _ in 1 2; do
		idq add -k a --payload - -- one 'two words' <<<hello 2>>stderr
	done
	is_field key a
	is_field hash "$(hash_of a)"
	is_field id "$(header Id)"
	[[ $output =~ ^[0-9a-f]{16}$ ]]
	is_field state pending
	is_field since "$(header Added)"
	is_field added "$(header Added)"
	is_field by "$(header By)"
	[[ $output == "uid=$(id -u) host=$(hostname) pid="* ]]
	is_field due 2026-01-02T03:04:05.000000Z
	is_field expires 2050-08-24T03:04:05.000000Z
	is_field group +45
	is_field arg $'one\ntwo words'
	is_field length 6
	is_field fingerprint \
	    "$(printf '2\none\0two words\0hello\n' | sha256sum | cut -c1-64)"
	is_field attempts 0
	is_field claims 0
	is_field dups 2
	is_field lastdup "$(tail -n 1 "$queue"/dups/*/*)"
	is_field lease ''
	is_field token ''
	is_field pid ''
	is_field keep 3d
	is_field on-crash hold
	is_field release ''
	is_field run ''
	is_field path "new/20260102T030405.000000Z.$(hash_of a).$(header Id)"
	is_field last ''
}

@test "show: a field that the job does not have is empty" {
	idq add -k a
	for field in expires group lastdup keep on-crash; do
		is_field "$field" ''
	done
	run -0 --separate-stderr idq show --field arg a
	expect 0 ''
	is "$(idq show --field group a | wc -c)" 1
	is "$(idq show --field arg a | wc -c)" 0
	is_field length 0
	is_field dups 0
}

@test "show: lease and token of a claimed job" {
	idq add -k a
	token=$(idq claim --lease 1h)
	line=$(tail -n 1 "$(key_file a)")
	is_field state running
	is_field token "$token"
	is_field lease "$(value lease "$line")"
	is_field last "$line"
	is_field since "${line%% *}"
	is_field attempts 1
	is_field claims 1
	is_field path "cur/$(hash_of a).$(header Id)"
	is_field pid ''
	is_field state running "$token"
	# The lease that counts is the last one.
	idq renew --lease 2h "$token"
	is_field lease "$(value lease "$(tail -n 1 "$(key_file a)")")"
}

@test "show: the pid of a running command" {
	idq add -k a
	spawn idq work -- sh -c 'echo $$ >started
	    until [ -e gate ]; do sleep 0.02; done'
	wait_for '[ -s started ]'
	wait_for '[ -n "$(idq show --field pid a)" ]'
	is_field pid "$(cat started)"
	is_field lease ''
	: >gate
	wait_for '[ "$(state_of a)" = "done" ]'
	is_field pid ''
}

@test "show: attempts and claims part ways" {
	idq add -k a
	idq release "$(idq claim)"
	idq fail "$(idq claim)"
	is_field attempts 1
	is_field claims 2
	idq retry a
	is_field attempts 0
	is_field claims 2
	line=$(tail -n 1 "$(key_file a)")
	is_field due "$(value next "$line")"
}

@test "show: the release of a finished job, and of one that has none" {
	idq add -k a
	idq work --drain -- true
	line=$(tail -n 1 "$(key_file a)")
	is_field release "$(value release "$line")"
	is_field path "done/${line:0:10}/$(hash_of a).$(header Id)"
	idq add -k b --keep forever
	idq work --drain -- true
	is_field release never b
	is_field keep forever b
}

@test "show: a job of run says so" {
	idq run -q default -k a -- true
	is_field run yes
}

@test "show: name: value lines, then the history" {
	idq add -k a -g +45 -- one 'two words'
	idq fail "$(idq claim)"
	idq retry a
	run -0 --separate-stderr idq show a
	is "$stderr" ''
	# Each field that it has, with the value that --field prints.
	for field in $fields; do
		[ "$field" != arg ] || continue
		value=$(idq show --field "$field" a)
		if [ -z "$value" ] || [ "$field" = last ]; then
			is "$(grep -c "^$field:" <<<"$output")" 0
		else
			is "$(sed -n "s/^$field: *//p" <<<"$output")" "$value"
		fi
	done
	is "$(sed -n 's/^arg: *//p' <<<"$output")" $'one\ntwo words'
	is "$(sed '1,/^$/d' <<<"$output")" \
	    "$(awk 'body && n++ > 0 { print } /^$/ { body = 1 }' \
	    "$(key_file a)")"
	is "$(sed '1,/^$/d' <<<"$output" | wc -l)" 3
}

@test "show: -0 ends each value with a NUL byte" {
	idq add -k a -- $'new\nline' '' last
	idq show --field arg -0 a >got
	printf 'new\nline\0\0last\0' | cmp - got
	idq show --field key -0 a >got
	printf 'a\0' | cmp - got
	# Read by a script, they are the arguments again.
	mapfile -d '' args < <(idq show --field arg -0 a)
	is "${#args[@]}" 3
	is "${args[0]}" $'new\nline'
	run -64 --separate-stderr idq show -0 a
	expect 64 '' 'idq: show: -0: goes with --field'
}

@test "show: --json is an object with the same fields" {
	need jq
	key='æ "a" \ b'
	idq add -k "$key" -g +45 -- one $'new\nline' $'bytes \377'
	idq add -k b --keep forever --on-crash hold
	token=$(idq claim)
	run -0 --separate-stderr idq show --json "$key" b
	is "$stderr" ''
	is "${#lines[@]}" 2
	is "$(jq -r .key <<<"$output")" "$key"$'\nb'
	is "$(jq -r .state <<<"$output")" $'running\npending'
	is "$(jq -r '.token // "-"' <<<"$output")" "$token"$'\n-'
	is "$(jq -r '.keep // "-"' <<<"$output")" $'-\nforever'
	is "$(jq -r '.on_crash // "-"' <<<"$output")" $'-\nhold'
	is "$(jq -c '.args[0:2]' <<<"${lines[0]}")" '["one","new\nline"]'
	is "$(jq -r '.args[2] | length' <<<"${lines[0]}")" 7
	is "$(jq -c '[.length, .attempts, .claims, .dups, .run]' <<<"$output")" \
	    $'[0,1,1,0,false]\n[0,0,0,0,false]'
	is "$(jq -r '.trail[]' <<<"${lines[0]}")" \
	    "$(tail -n 1 "$(key_file "$key")")"
	for field in hash id since added due path last; do
		is "$(jq -r ".$field // \"\"" <<<"${lines[0]}")" \
		    "$(idq show --field "$field" "$key")"
	done
	run -64 --separate-stderr idq show --json --field key b
}

@test "show: an unknown field is 64, and the closest one is named" {
	idq add -k a
	run -64 --separate-stderr idq show --field stat a
	expect 64 '' \
	    "idq: show: --field: unknown word 'stat'; did you mean 'state'?"
}

@test "show: an unknown key is 1, and the others are shown" {
	idq add -k a
	run -1 --separate-stderr idq show --field state unknown a
	expect 1 pending "idq: show: unknown: no such job in $queue"
	run -1 --separate-stderr idq show ':0123456789abcdef'
	expect 1 '' "idq: show: :0123456789abcdef: no such job in $queue"
	run -1 --separate-stderr idq show "$(hash_of b).0123456789abcdef.1"
	is "$output" ''
}

@test "show: by prefix, token, -k, --per and a list" {
	idq add -k a
	is_field key a ":$(hash_of a | cut -c1-8)"
	is_field key a ":$(hash_of a)"
	token=$(idq claim)
	is_field key a "$token"
	idq add -k x -k y/z --per year
	run -0 --separate-stderr idq show --field key -k x -k y/z --per year
	expect 0 "x/y%2Fz@$(date +%Y)"
	run -0 --separate-stderr idq show --field key - \
	    <<<"a"$'\n'":$(hash_of a)"
	expect 0 $'a\na'
	idq add -k :colon
	run -64 --separate-stderr idq show :colon
	is "$output" ''
	[[ $stderr == 'idq: show: :colon: '* ]]
	run -0 --separate-stderr idq show --field key -k :colon
	expect 0 :colon
	# What looks like a hash without its colon is a key.
	idq add -k 20261123
	is_field key 20261123 20261123
}

@test "show: the token of a claim that is over still names its job" {
	idq add -k a
	token=$(idq claim)
	idq ack "$token"
	is_field state 'done' "$token"
	idq forget a
	idq add -k a
	run -1 --separate-stderr idq show "$token"
	is "$output" ''
}

@test "show: an ambiguous prefix is 64, and one that is too short" {
	idq add -k job/42576
	idq add -k job/159952
	run -64 --separate-stderr idq show :c327688c
	is "$output" ''
	[[ $stderr == 'idq: show: :c327688c: '*several* ]]
	is_field key job/159952 :c327688c2
	run -64 --separate-stderr idq show :c327688
	[[ $stderr == 'idq: show: :c327688: '*8* ]]
}

@test "show: an option behind a key is 64" {
	idq add -k a
	run -64 --separate-stderr idq show a --json
	expect 64 '' 'idq: show: --json: options go before keys; use --'
	run -64 --separate-stderr idq show
	expect 64 '' 'idq: show: no key given'
	run -64 --separate-stderr idq show -k a a
	is "$output" ''
	run -64 --separate-stderr idq show --per day a
	is "$output" ''
	run -64 --separate-stderr idq show ''
	is "$output" ''
}

@test "show: duplicates are counted, and the last is dated" {
	need faketime
	idq add -k a
	is_field dups 0
	at +10m idq add -k a
	at +20m idq add -k a
	is_field dups 2
	last=$(idq show --field lastdup a)
	seconds=$(($(date -d "$last" +%s) - $(date -d "$(header Added)" +%s)))
	[ "$seconds" -ge 1199 ]
	[ "$seconds" -le 1210 ]
	run -0 --separate-stderr at +20m idq add -v -k a
	is "$(cut -f1,5 <<<"$output")" $'duplicate\t3'
}

@test "show: a terminal gets no escapes of others" {
	need script
	idq add -k a -- $'\033[31mred' $'\033]0;title\007' $'tab\there'
	run terminal 'idq show a'
	[ "$status" -eq 0 ]
	[[ $output != *$'\033'* ]]
	[[ $output != *$'\007'* ]]
	[[ $output == *'\033[31mred'* ]]
	run terminal 'idq show --field arg a'
	[[ $output != *$'\033'* ]]
	run terminal 'idq show --json a'
	[[ $output != *$'\033'* ]]
	# Elsewhere they are as they are.
	is "$(idq show --field arg a | head -n 1)" $'\033[31mred'
}

@test "show: on a terminal times are local" {
	need script
	idq add -k a --at 2026-01-02T03:04:05Z
	export TZ=XXX-2
	run terminal 'idq show a'
	grep -qE '^due: +2026-01-02 05:04:05$' <<<"$output"
	run -0 --separate-stderr idq show --field due a
	expect 0 2026-01-02T03:04:05.000000Z
}

@test "show: a job whose rename is still to come is found" {
	idq add -k a
	mv "$queue/$(idq show --field path a)" "$queue/cur/$(hash_of a).$(header Id)"
	is_field state pending
	is_field path "cur/$(hash_of a).$(header Id)"
}

@test "show: a torn last line does not count" {
	idq add -k a
	idq fail "$(idq claim)"
	last=$(tail -n 1 "$(key_file a)")
	printf '2026-11-23T20:35:11.411200Z done 2 exi' >>"$(key_file a)"
	is_field state waiting
	is_field last "$last"
}

@test "show: a damaged file is 70, named, and left alone" {
	idq add -k a
	idq add -k b
	echo junk >"$(key_file a)"
	run -70 --separate-stderr idq show --field key a b
	is "$output" b
	[[ $stderr == *"$(key_file a)"* ]]
	is "$(cat "$(key_file a)")" junk
	rm "$(key_file a)"
	ln -s "$(key_file b)" "$(key_file a)"
	run -70 --separate-stderr idq show a
	[[ $stderr == *"$(key_file a)"* ]]
}

@test "show: a queue that cannot be written, and root at another's" {
	need_root
	idq add -k a
	idq add -k a
	expected=$(idq show a)
	cp -a "$IDQ_SPOOL" copy
	chown -R 65534:65534 copy
	chmod -R a-w copy
	IDQ_SPOOL=$PWD/copy run -0 --separate-stderr as_user 65534 idq show a
	expect 0 "$expected"
	IDQ_SPOOL=$PWD/copy run -0 --separate-stderr idq show a
	expect 0 "$expected"
}
