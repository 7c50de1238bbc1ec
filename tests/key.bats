#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# key: what -k, --per and operands make a key of, and its hash.  It needs no
# spool, so what is said here of keys goes for add too.

# Each test is a subshell of its own, and some words are for another shell;
# $output and $stderr come from bats.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	# Nothing of it may be used.
	export IDQ_SPOOL=relative/and/missing
}

# line KEY: what is printed for it.
line() {
	printf '%s\t%s\n' "$(hash_of "$1")" "$1"
}

# repeat N STRING
repeat() {
	local i

	for ((i = 0; i < $1; i++)); do
		printf %s "$2"
	done
}

@test "key: prints the SHA-256 of the key, a tab and the key" {
	run -0 --separate-stderr idq key call/42/2026-11-23
	expect 0 "$(line call/42/2026-11-23)"
	run -0 --separate-stderr idq key -k call/42/2026-11-23
	expect 0 "$(line call/42/2026-11-23)"
	[ "${output%%$'\t'*}" = \
	    "$(printf %s call/42/2026-11-23 | sha256sum | cut -c1-64)" ]
}

@test "key: needs no spool and makes none" {
	run -0 --separate-stderr env -u IDQ_SPOOL idq key a
	expect 0 "$(line a)"
	run -0 --separate-stderr env IDQ_SPOOL="$PWD/spool" idq key -q calls a
	expect 0 "$(line a)"
	find . -mindepth 1 -type d | nothing
}

@test "key: several operands are several keys, in order" {
	run -0 --separate-stderr idq key c a b
	expect 0 "$(line c; line a; line b)"
}

@test "key: - reads a list" {
	printf 'one\ntwo words\nthree/%%2F' >list
	run -0 --separate-stderr idq key - <list
	expect 0 "$(line one; line 'two words'; line three/%2F)"
	# With a newline at the end, and among other operands.
	run -0 --separate-stderr sh -c 'echo b | idq key a - c'
	expect 0 "$(line a; line b; line c)"
	run -0 --separate-stderr idq key - </dev/null
	expect 0 ''
}

@test "key: a bad line of a list is named and the others are printed" {
	printf 'a\n\nb\nx\001y\nc\0d\ne\n' >list
	run -64 --separate-stderr idq key - <list
	[ "$output" = "$(line a; line b; line e)" ]
	[ "$(wc -l <<<"$stderr")" -eq 3 ]
	[[ $stderr == *'idq: key: line 2: '*empty*'idq: key: '*'control character'*'idq: key: line 5: '*NUL* ]]
}

@test "key: standard input is not read unasked" {
	printf 'a\nb\n' >list
	run -0 --separate-stderr sh -c \
	    'while read -r k; do idq key "x$k"; done <list'
	expect 0 "$(line xa; line xb)"
}

@test "key: one -k is the key as it stands" {
	for key in a/b '100%' '%2F' ' blank ' '%zz' '/' '@' ':12345678' -x --; do
		run -0 --separate-stderr idq key -k "$key"
		expect 0 "$(line "$key")"
	done
}

@test "key: several -k are joined by a slash" {
	run -0 --separate-stderr idq key -k call -k 42 -k 2026-11-23
	expect 0 "$(line call/42/2026-11-23)"
}

@test "key: in several parts slash and percent are encoded" {
	run -0 --separate-stderr idq key -k a/b -k '50%' -k '%2F'
	expect 0 "$(line 'a%2Fb/50%25/%252F')"
}

@test "key: no two lists of parts give one key" {
	{
		idq key -k a -k b -k c
		idq key -k a/b -k c
		idq key -k a -k b/c
		idq key -k a%2Fb -k c
		idq key -k a -k b%2Fc
		idq key -k a%252Fb -k c
		idq key -k a -k b -k / -k c
		idq key -k 'a%' -k '2Fb'
		idq key -k 'a%2' -k 'Fb'
	} >keys
	[ "$(wc -l <keys)" -eq 9 ]
	[ "$(cut -f1 keys | sort -u | wc -l)" -eq 9 ]
	[ "$(cut -f2 keys | sort -u | wc -l)" -eq 9 ]
}

@test "key: an empty part is wrong usage" {
	for words in "-k ''" "-k call -k ''" "-k '' -k call" \
	    "-k a -k '' -k b" "-k call -k '' --per day" "-k '' --per day"; do
		run -64 --separate-stderr sh -c "idq key $words"
		[ "$output" = '' ]
		[[ $stderr == 'idq: key: -k: part '*' of the key is empty' ]]
	done
	unset PHONE
	run -64 --separate-stderr sh -c 'idq key -k call -k "$PHONE"'
	expect 64 '' 'idq: key: -k: part 2 of 2 of the key is empty'
}

@test "key: an empty operand is wrong usage" {
	run -64 --separate-stderr idq key ''
	[ "$output" = '' ]
	[[ $stderr == 'idq: key: '*'is empty' ]]
}

@test "key: 512 bytes are allowed, 513 are not" {
	key=$(repeat 512 x)
	run -0 --separate-stderr idq key "$key"
	expect 0 "$(line "$key")"
	run -0 --separate-stderr idq key -k "$key"
	expect 0 "$(line "$key")"
	for words in "${key}x" "-k ${key}x" "-k $key -k x" "-k x -k $key"; do
		# shellcheck disable=SC2086
		run -64 --separate-stderr idq key $words
		[ "$output" = '' ]
		[[ $stderr == 'idq: key: '*'is longer than 512 bytes' ]]
	done
}

@test "key: bytes count, not characters, and encoded ones as three" {
	key=$(repeat 256 ø)
	run -0 --separate-stderr idq key "$key"
	expect 0 "$(line "$key")"
	run -64 --separate-stderr idq key "${key}x"
	[ "$output" = '' ]
	[[ $stderr == *'is longer than 512 bytes' ]]
	# 170 * 3 + 2 = 512
	run -0 --separate-stderr idq key -k "$(repeat 170 /)" -k x
	expect 0 "$(line "$(repeat 170 %2F)/x")"
	run -64 --separate-stderr idq key -k "$(repeat 170 /)" -k xx
	[ "$output" = '' ]
	[[ $stderr == *'is longer than 512 bytes' ]]
}

@test "key: the period counts towards the 512 bytes" {
	key=$(repeat 501 x)
	run -0 --separate-stderr idq key -k "$key" --per day
	[ "$stderr" = '' ]
	[ "$(cut -f2 <<<"$output" | tr -d '\n' | wc -c)" -eq 512 ]
	run -64 --separate-stderr idq key -k "x$key" --per day
	[ "$output" = '' ]
	[[ $stderr == 'idq: key: '*'is longer than 512 bytes' ]]
}

@test "key: more parts than a key can have are wrong usage" {
	# shellcheck disable=SC2046
	run -64 --separate-stderr idq key $(repeat 1000 '-k x ')
	[ "$output" = '' ]
	[[ $stderr == 'idq: key: '*'longer than 512 bytes' ]]
}

@test "key: what is not UTF-8 is wrong usage" {
	# A lone byte, a cut sequence, overlong ones, a surrogate, too large.
	for bytes in '\xff' '\x80' 'a\xc3' '\xe2\x82' '\xc0\xaf' \
	    '\xe0\x80\xaf' '\xf0\x80\x80\xaf' '\xed\xa0\x80' \
	    '\xf4\x90\x80\x80' '\xf8\x88\x80\x80\x80' 'sm\xf8rrebr\xf8d'; do
		key=$(printf %b "$bytes")
		run -64 --separate-stderr idq key "$key"
		[ "$output" = '' ]
		[[ $stderr == 'idq: key: '*'is not UTF-8' ]]
		run -64 --separate-stderr idq key -k a -k "$key"
		[ "$output" = '' ]
		[[ $stderr == 'idq: key: '*'is not UTF-8' ]]
	done
}

@test "key: what is UTF-8 is taken byte for byte" {
	for key in ø 日本 🐟 $'\U10ffff' $'\ue000' ' ' $'\u00a0'; do
		run -0 --separate-stderr idq key "$key"
		expect 0 "$(line "$key")"
	done
	# é in one code point and in two: two keys.
	run -0 --separate-stderr idq key $'\u00e9' $'e\u0301'
	[ "$(cut -f1 <<<"$output" | sort -u | wc -l)" -eq 2 ]
}

@test "key: control characters are wrong usage, and none reach the terminal" {
	for bytes in '\x01' '\t' 'a\nb' '\r' '\x1b[31m' '\x7f' '\xc2\x80' \
	    '\xc2\x9b'; do
		key=$(printf %b "x${bytes}x")
		run -64 --separate-stderr idq key "$key"
		[ "$output" = '' ]
		[[ $stderr == 'idq: key: '*'has a control character' ]]
		[ "$(printf %s "$stderr" | wc -l)" -eq 0 ]
		printf %s "$stderr" | grep -a $'[\001-\037\177\x9b]' | nothing
	done
}

@test "key: --per appends the hour, day, week, month or year" {
	need faketime
	while read -r per suffix; do
		run -0 --separate-stderr on 2026-11-23T14:30:00Z \
		    idq key -k call/42 --per "$per"
		expect 0 "$(line "call/42$suffix")"
	done <<-'END'
		hour @2026-11-23T14+0000
		day @2026-11-23
		week @2026-W48
		month @2026-11
		year @2026
	END
}

@test "key: --per is not encoded and goes behind several parts" {
	need faketime
	run -0 --separate-stderr on 2026-11-23T14:30:00Z \
	    idq key --per day -k a/b -k c
	expect 0 "$(line a%2Fb/c@2026-11-23)"
}

@test "key: --per is in local time" {
	need faketime
	while read -r zone per suffix; do
		run -0 --separate-stderr on 2026-12-31T23:30:00Z \
		    env TZ="$zone" idq key -k a --per "$per"
		expect 0 "$(line "a$suffix")"
	done <<-'END'
		UTC hour @2026-12-31T23+0000
		UTC day @2026-12-31
		UTC month @2026-12
		UTC year @2026
		CET-1 hour @2027-01-01T00+0100
		CET-1 day @2027-01-01
		CET-1 month @2027-01
		CET-1 year @2027
		EST5 hour @2026-12-31T18-0500
		EST5 day @2026-12-31
		IST-5:30 hour @2027-01-01T05+0530
		IST-5:30 day @2027-01-01
	END
}

@test "key: --per week is the ISO week, and its year" {
	need faketime
	while read -r day suffix; do
		run -0 --separate-stderr on "${day}T12:00:00Z" \
		    idq key -k a --per week
		expect 0 "$(line "a$suffix")"
	done <<-'END'
		2026-01-01 @2026-W01
		2026-11-22 @2026-W47
		2026-11-23 @2026-W48
		2026-12-31 @2026-W53
		2027-01-03 @2026-W53
		2027-01-04 @2027-W01
		2029-12-31 @2030-W01
	END
}

@test "key: --per hour tells apart the hour that a year has twice" {
	need faketime
	TZ=CET-1CEST,M3.5.0,M10.5.0/3
	while read -r time suffix; do
		run -0 --separate-stderr on "$time" idq key -k a --per hour
		expect 0 "$(line "a$suffix")"
	done <<-'END'
		2026-10-24T23:30:00Z @2026-10-25T01+0200
		2026-10-25T00:30:00Z @2026-10-25T02+0200
		2026-10-25T01:30:00Z @2026-10-25T02+0100
		2026-10-25T02:30:00Z @2026-10-25T03+0100
		2026-03-29T00:30:00Z @2026-03-29T01+0100
		2026-03-29T01:30:00Z @2026-03-29T03+0200
	END
}

@test "key: an unknown period is wrong usage, with the closest word" {
	run -64 --separate-stderr idq key -k a --per dya
	expect 64 '' \
	    "idq: key: --per: unknown word 'dya'; did you mean 'day'?"
	run -64 --separate-stderr idq key -k a --per minute
	[ "$output" = '' ]
	[[ $stderr == "idq: key: --per: unknown word 'minute'"* ]]
	run -64 --separate-stderr idq key -k a --per ''
	[ "$output" = '' ]
	[[ $stderr == "idq: key: --per: unknown word ''"* ]]
}

@test "key: no key, both kinds, or --per alone is wrong usage" {
	run -64 --separate-stderr idq key
	expect 64 '' 'idq: key: no key given'
	run -64 --separate-stderr idq key -k a b
	[ "$output" = '' ]
	[[ $stderr == 'idq: key: b: '*-k* ]]
	run -64 --separate-stderr idq key --per day
	[ "$output" = '' ]
	[[ $stderr == 'idq: key: --per day: '*-k* ]]
	run -64 --separate-stderr idq key --per day a
	[ "$output" = '' ]
	[[ $stderr == 'idq: key: --per day: '*-k* ]]
}

@test "key: an operand that begins with - is wrong usage, unless after --" {
	for words in 'a -k b' 'a --per day' 'a -x'; do
		option=${words#* }
		# shellcheck disable=SC2086
		run -64 --separate-stderr idq key $words
		expect 64 '' "idq: key: ${option%% *}: options go before keys; use --"
	done
	run -0 --separate-stderr idq key -- -x a --per
	expect 0 "$(line -x; line a; line --per)"
}

@test "key: a wrong option is named with the closest one" {
	run -64 --separate-stderr idq key -k a --pre day
	expect 64 '' \
	    "idq: key: unknown option '--pre'; did you mean '--per'?"
	run -64 --separate-stderr idq key -k
	expect 64 '' "idq: key: option '-k' needs a value"
	run -64 --separate-stderr idq key -k a --per
	expect 64 '' "idq: key: option '--per' needs a value"
	run -64 --separate-stderr idq kye a
	expect 64 '' "idq: unknown verb 'kye'; did you mean 'key'?"
}

@test "key: --help is on standard output" {
	run -0 --separate-stderr idq key --help
	[ "$stderr" = '' ]
	[[ $output == 'usage: idq key'* ]]
}

@test "key: output that cannot be written is 74" {
	[ -c /dev/full ] || skip "there is no /dev/full"
	run -74 --separate-stderr sh -c 'idq key a >/dev/full'
	expect 74 '' 'idq: key: standard output: No space left on device'
}

@test "key: input that cannot be read is 74" {
	run -74 --separate-stderr idq key - <.
	[ "$output" = '' ]
	[[ $stderr == 'idq: key: standard input: '* ]]
	run -74 --separate-stderr sh -c 'idq key - <&-'
	[ "$output" = '' ]
	[[ $stderr == 'idq: key: standard input: '* ]]
}
