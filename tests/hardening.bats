#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# What the compiler and the linker do for the program as it is built by default:
# in a folder of its own, since other builds have other flags.

# $output comes from bats.
# shellcheck disable=SC2154

load helpers/common

setup_file() {
	export BATS_NO_PARALLELIZE_WITHIN_FILE=true
	"${IDQ_MAKE:-make}" -C "$top" B="$BATS_FILE_TMPDIR/build" all
}

setup() {
	need readelf
	common_setup
	program=$BATS_FILE_TMPDIR/build/idq
}

@test "hardening: the program is position independent" {
	run -0 readelf -hW "$program"
	[[ $output =~ Type:[[:blank:]]+DYN ]]
	run -0 readelf -dW "$program"
	[[ $output =~ FLAGS_1.*PIE ]]
	[[ $output != *TEXTREL* ]]
}

@test "hardening: what is relocated is read-only, all of it before main" {
	run -0 readelf -lW "$program"
	[[ $output == *GNU_RELRO* ]]
	run -0 readelf -dW "$program"
	[[ $output =~ \(FLAGS\).*BIND_NOW ]]
	[[ $output =~ FLAGS_1.*NOW ]]
}

@test "hardening: no memory is both written and executed, nor the stack" {
	run -0 readelf -lW "$program"
	[[ $output =~ GNU_STACK[^$'\n']*\ RW\  ]]
	[[ ! $output =~ (LOAD|GNU_STACK)[^$'\n']*\ RWE\  ]]
}

@test "hardening: buffers are guarded on the stack, and in calls of libc" {
	# Of the program's own objects: the static libraries have their own.
	run -0 bash -c '"${NM:-nm}" -u "$1"/build/lib/*.o "$1"/build/cmd/*.o |
	    grep -o "__[a-z]*_chk\|__stack_chk_fail" | sort -u' - \
	    "$BATS_FILE_TMPDIR"
	[[ $output == *__stack_chk_fail* ]]
	[[ $output == *__snprintf_chk* ]]
	[[ $output == *__read_chk* || $output == *__memcpy_chk* ||
	    $output == *__vsnprintf_chk* ]]
}

# What these tests look for is not there by itself.
@test "hardening: a build without the flags is told apart" {
	echo 'int main(int c, char **v) { char b[9]; return v[0][c] == *b; }' \
	    >plain.c
	"${CC:-cc}" -no-pie -fno-pie -z norelro -z lazy -z execstack \
	    -fno-stack-protector -o plain plain.c
	run -0 readelf -hW plain
	[[ ! $output =~ Type:[[:blank:]]+DYN ]]
	run -0 readelf -lW plain
	[[ $output != *GNU_RELRO* ]]
	[[ $output =~ GNU_STACK[^$'\n']*\ RWE\  ]]
	run -0 readelf -dW plain
	[[ $output != *BIND_NOW* ]]
}
