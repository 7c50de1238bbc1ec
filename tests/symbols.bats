#!/usr/bin/env bats
# SPDX-License-Identifier: ISC

load helpers/common

setup() {
	common_setup
	lib=$IDQ_BUILD/libidq.a
}

@test "symbols: every one that the library exports begins with idq_" {
	run -0 "${NM:-nm}" -g --defined-only "$lib"
	[[ $output == *" T idq_open"* ]]
	awk 'NF == 3 { print $3 }' <<<"$output" |
	    grep -vE '^(__odr_asan\.)?idq_[a-z0-9_]+$' | nothing
}

# What the loader makes read-only (.data.rel.ro) is no global.
@test "symbols: the library keeps no globals" {
	need size
	need_uncounted
	if "${NM:-nm}" "$lib" | grep -q __asan_init; then
		skip "AddressSanitizer adds globals of its own"
	fi
	run -0 size -A "$lib"
	[[ $output == *.text* ]]
	awk '/\(ex / { file = $1 }
	    $1 ~ /^\.t?(data|bss)/ && $1 !~ /^\.data\.rel\.ro/ && $2 > 0 {
		print file, $1, $2
	    }' <<<"$output" | nothing
}

# A child between fork and exec may _exit.
@test "symbols: the library neither prints nor exits" {
	run -0 "${NM:-nm}" -u "$lib"
	[[ $output == *" U openat"* ]]
	grep -wE 'exit|abort|v?errx?|v?warnx?|puts|putchar|(__)?v?printf(_chk)?|perror|stdout|stderr' \
	    <<<"$output" | nothing
}

@test "symbols: cmd/ sees the library through idq.h alone" {
	grep -nE '#[[:blank:]]*include.*(idq_impl|lib/)' "$top"/cmd/*.[ch] |
	    nothing
}
