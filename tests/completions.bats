#!/usr/bin/env bats
# SPDX-License-Identifier: ISC

load helpers/common
load helpers/complete

setup() {
	common_setup
	export HOME=$BATS_TEST_TMPDIR
}

# Two queues and three jobs; one is done.
fill() {
	idq init -q calls
	idq init -q mails
	idq add -q calls -k call/42@2026-11-23
	idq add -q calls -k 'two words' -g north
	idq add -q mails -k other
	idq claim -q calls | xargs idq ack -q calls
}

@test "completions: bash offers the verbs, and those that fit" {
	run bash_complete 'idq re'
	expect 0 $'release\nrenew\nresume\nretry'
	run bash_complete 'idq '
	[ "${#lines[@]}" -eq 29 ]
	run bash_complete 'idq -q calls ca'
	expect 0 $'cancel\ncat'
}

@test "completions: bash offers options up to the first operand" {
	run bash_complete 'idq fsck --'
	expect 0 $'--dry-run\n--help\n--json'
	run bash_complete 'idq purge -n --o'
	expect 0 --older
	run bash_complete 'idq ack token --'
	expect 0 ''
	run bash_complete 'idq --v'
	expect 0 --version
}

@test "completions: bash offers the values of options" {
	run bash_complete 'idq add --per '
	expect 0 $'day\nhour\nmonth\nweek\nyear'
	run bash_complete 'idq add --per=w'
	expect 0 week
	run bash_complete 'idq run --on-crash '
	expect 0 $'hold\nretry'
	run bash_complete 'idq add --reuse f'
	expect 0 $'failed\nfinal'
	run bash_complete 'idq ls -s waiting,pe'
	expect 0 waiting,pending
	run bash_complete 'idq log --event added,ca'
	expect 0 added,cancelled
	run bash_complete 'idq log --count-by '
	expect 0 $'event\ngroup\nhour\nkey'
	run bash_complete 'idq show --field le'
	expect 0 $'lease\nlength'
	run bash_complete 'idq config sync '
	expect 0 $'file\nfull\noff'
	run bash_complete 'idq config output '
	expect 0 $'inherit\nkeep'
	run bash_complete 'idq config on-crash r'
	expect 0 retry
}

@test "completions: bash offers the names of config that idq lists" {
	idq init
	run bash_complete 'idq config '
	expect 0 "$(idq config | cut -f1 | sort)"
}

@test "completions: bash offers queues and files" {
	fill
	run bash_complete 'idq ls -q '
	expect 0 $'calls\nmails'
	touch payload.txt
	run bash_complete 'idq add --payload pay'
	expect 0 payload.txt
	mkdir -p a/queue
	run bash_complete 'idq ls -q a/'
	expect 0 a/queue
}

@test "completions: bash offers the keys on which the verb can act" {
	fill
	run bash_complete 'idq show -q calls '
	expect 0 $'call/42@2026-11-23\ntwo\\ words'
	run bash_complete 'idq cancel -q calls '
	expect 0 'two\ words'
	run bash_complete 'idq hold -q calls '
	expect 0 'two\ words'
	run bash_complete 'idq unhold -q calls '
	expect 0 ''
	run bash_complete 'idq -q calls forget '
	expect 0 call/42@2026-11-23
	run bash_complete 'idq retry -q calls '
	expect 0 ''
	run bash_complete 'idq cat -q mails -k '
	expect 0 other
	run bash_complete 'idq ls -q calls -g '
	expect 0 north
	run bash_complete 'idq log -q calls --group '
	expect 0 north
}

@test "completions: bash takes a word break in a key for what it is" {
	fill
	run bash_complete 'idq show -q calls call/42@20'
	expect 0 @2026-11-23
	run bash_complete 'idq show -q calls two\ w'
	expect 0 'two\ words'
}

@test "completions: bash completes the command of work" {
	run bash_complete 'idq work -- mkfif'
	expect 0 mkfifo
	touch file.txt
	run bash_complete 'idq run -k a -- cat fil'
	expect 0 file.txt
}

@test "completions: a key completed on a terminal is the key, in bash" {
	need script
	fill
	type_at 'bash --norc -i' "source '$completions/idq.bash'" \
	    'idq show -q calls --field key call/42@<TAB>>key.out' \
	    'idq show -q calls --field key tw<TAB>>>key.out' \
	    'idq show -q calls --field key "tw<TAB> >>key.out' exit
	[ "$(cat key.out)" = $'call/42@2026-11-23\ntwo words\ntwo words' ]
}

@test "completions: zsh reads its file" {
	need zsh
	run -0 zsh -n "$completions/idq.zsh"
	run -0 zsh_specs show
	[[ $output == *'*:key:_idq_keys'* ]]
}

@test "completions: a key completed on a terminal is the key, in zsh" {
	need zsh script
	fill
	mkdir functions
	cp "$completions/idq.zsh" functions/_idq
	type_at 'zsh -f -i' "fpath=('$PWD/functions' \$fpath)" \
	    'autoload -U compinit; compinit -u -D' \
	    'idq show -q calls --field key call/42<TAB>>key.out' \
	    'idq show -q calls --field key tw<TAB>>>key.out' \
	    'idq con<TAB> -q calls syn<TAB> >>key.out' exit
	[ "$(cat key.out)" = $'call/42@2026-11-23\ntwo words\nfull' ]
}

@test "completions: fish offers verbs, options and values" {
	need fish
	run -0 fish -n "$completions/idq.fish"
	run fish_complete 'idq re'
	expect 0 $'release\nrenew\nresume\nretry'
	run fish_complete 'idq fsck --'
	expect 0 $'--dry-run\n--help\n--json'
	run fish_complete 'idq add --per=w'
	expect 0 --per=week
	run fish_complete 'idq ls -s waiting,pe'
	expect 0 waiting,pending
	run fish_complete 'idq log --event added,ca'
	expect 0 added,cancelled
	run fish_complete 'idq log --count-by=h'
	expect 0 --count-by=hour
	run fish_complete 'idq config sync '
	expect 0 $'file\nfull\noff'
	run fish_complete 'idq work -- mkfif'
	expect 0 mkfifo
}

@test "completions: fish offers queues and keys" {
	need fish
	fill
	run fish_complete 'idq ls -q cal'
	expect 0 calls
	run fish_complete 'idq show -q calls '
	expect 0 $'call/42@2026-11-23\ntwo words'
	run fish_complete 'idq cancel -q calls '
	expect 0 'two words'
	run fish_complete 'idq -q calls forget call/'
	expect 0 call/42@2026-11-23
}
