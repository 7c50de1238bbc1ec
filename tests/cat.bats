#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# cat: the payload, byte for byte.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

@test "cat: any bytes, and not one more" {
	printf 'a\0b\377\r\n\n2026-11-23T20:35:00.123456Z done 1 exit=0 release=never' \
	    >bytes
	head -c 65535 /dev/urandom >short
	head -c 65537 /dev/urandom >long
	: >empty
	for p in bytes short long empty; do
		idq add -k "$p" --payload "$p"
		idq cat "$p" >got 2>stderr
		cmp "$p" got
		is "$(wc -c <stderr)" 0
	done
}

@test "cat: a large payload, added from a file and from a pipe" {
	head -c 20000000 /dev/urandom >large
	idq add -k file --payload large
	idq cat file | cmp large -
	# A pipe cannot be read twice.
	# shellcheck disable=SC2002
	cat large | idq add -k pipe --payload -
	idq cat pipe | cmp large -
	is "$(find "$queue/tmp" -type f)" ''
	[ "$(sed -n 's/^Length: 0*//p;/^$/q' "$(key_file pipe)")" -eq 20000000 ]
}

@test "cat: the memory it takes does not grow with the payload" {
	# A sanitizer's own memory is far above the limit.
	! grep -q __asan_init "$IDQ" || skip "built with a sanitizer"
	head -c 100000000 /dev/zero >large
	idq add -k a --payload large
	run -0 --separate-stderr bash -c \
	    'ulimit -d 16384; idq cat a | wc -c'
	expect 0 100000000
}

@test "cat: no payload is nothing, and no error" {
	idq add -k a -- args
	run -0 --separate-stderr idq cat a
	expect 0 ''
}

@test "cat: the history of the job does not get into it" {
	printf hello | idq add -k a --payload -
	idq fail "$(idq claim)"
	idq retry a
	idq work --drain -- true
	run -0 --separate-stderr idq cat a
	expect 0 hello
}

@test "cat: several keys, one behind the other" {
	printf one | idq add -k 1 --payload -
	printf two | idq add -k 2 --payload -
	run -1 --separate-stderr idq cat 1 unknown 2
	expect 1 onetwo "idq: cat: unknown: no such job in $queue"
}

@test "cat: by prefix, token, -k, --per and a list" {
	printf a | idq add -k a --payload -
	run -0 --separate-stderr idq cat ":$(hash_of a | cut -c1-8)"
	expect 0 a
	token=$(idq claim)
	run -0 --separate-stderr idq cat "$token"
	expect 0 a
	printf b | idq add -k b -k c --per year --payload -
	run -0 --separate-stderr idq cat -k b -k c --per year
	expect 0 b
	run -0 --separate-stderr idq cat - <<<"$token"$'\n'"b/c@$(date +%Y)"
	expect 0 ab
}

@test "cat: an unknown key is 1" {
	run -1 --separate-stderr idq cat a
	expect 1 '' "idq: cat: a: no such job in $queue"
}

@test "cat: an ambiguous prefix, and an option behind a key, is 64" {
	idq add -k job/42576
	idq add -k job/159952
	run -64 --separate-stderr idq cat :c327688c
	is "$output" ''
	[[ $stderr == 'idq: cat: :c327688c: '*several* ]]
	run -64 --separate-stderr idq cat job/42576 -v
	expect 64 '' 'idq: cat: -v: options go before keys; use --'
	run -64 --separate-stderr idq cat
	expect 64 '' 'idq: cat: no key given'
}

@test "cat: a payload that was cut off is 70, named, and left alone" {
	head -c 100000 /dev/urandom >large
	idq add -k a --payload large
	truncate -s 50000 "$(key_file a)"
	run -70 --separate-stderr idq cat a
	is "$output" ''
	[[ $stderr == *"$(key_file a)"* ]]
	is "$(wc -c <"$(key_file a)")" 50000
}

@test "cat: what cannot be written is 74" {
	[ -e /dev/full ] || skip 'there is no /dev/full'
	head -c 100000 /dev/urandom >large
	idq add -k a --payload large
	run -74 --separate-stderr sh -c 'idq cat a >/dev/full'
	[[ $stderr == 'idq: cat: standard output: '* ]]
}

@test "cat: from a queue that cannot be written, and root from another's" {
	need_root
	printf hello | idq add -k a --payload -
	cp -a "$IDQ_SPOOL" copy
	chown -R 65534:65534 copy
	chmod -R a-w copy
	IDQ_SPOOL=$PWD/copy run -0 --separate-stderr as_user 65534 idq cat a
	expect 0 hello
	IDQ_SPOOL=$PWD/copy run -0 --separate-stderr idq cat a
	expect 0 hello
}
