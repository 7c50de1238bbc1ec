#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The inputs that the fuzzers of tests/fuzz have kept, given to the same targets
# without a fuzzer: for any compiler that has the sanitizers.

# $output comes from bats.
# shellcheck disable=SC2154

load helpers/common

@test "fuzz: the kept inputs are read without a finding" {
	local kept

	echo 'int main(void) { return 0; }' >probe.c
	"${CC:-cc}" -fsanitize=address,undefined -o probe probe.c \
	    2>/dev/null && ./probe || skip "there are no sanitizers here"
	kept=$(find "$top/tests/fuzz/corpus" -type f | wc -l)
	[ "$kept" -gt 100 ]
	# Of a build with sanitizers these are other options.
	unset ASAN_OPTIONS UBSAN_OPTIONS
	run -0 --separate-stderr "$top/tests/fuzz/run" --replay
	expect 0 $'kept inputs\t'"$kept files, 0 findings"$'\t0 findings\tok' \
	    "$stderr"
}

@test "fuzz: a kept input is small" {
	find "$top/tests/fuzz/corpus" -type f -size +4096c | nothing
}
