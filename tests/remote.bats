#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# remote: a file system that other machines change, too.  Its clock is another
# one, its events do not come, and a reply can be lost.  Here a local one passes
# for it; tests/nfs has a real one.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	idq init
	queue=$(queue_path)
}

# A library with C code from standard input, which is preloaded from now on.
preload() {
	need cc
	cc -shared -fPIC -D_GNU_SOURCE -x c -o "$1.so" -
	export LD_PRELOAD="$PWD/$1.so"
}

# A file system that says that it is NFS, and tells nothing.
nfs() {
	preload nfs <<-'END'
		#include <stdint.h>
		#include <sys/syscall.h>
		#include <sys/vfs.h>
		#include <unistd.h>
		int fstatfs(int fd, struct statfs *fs)
		{
			int r = (int)syscall(SYS_fstatfs, fd, fs);
			fs->f_type = 0x6969;
			return r;
		}
		int inotify_add_watch(int fd, const char *path, uint32_t mask)
		{
			(void)fd, (void)path, (void)mask;
			return 1;
		}
	END
}

# off OFFSET COMMAND...: with the clock of this machine shifted, but not that
# of the server, which says when a file was made.
off() {
	need faketime
	local offset=$1

	shift
	FAKETIME=$offset FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 \
	    LD_PRELOAD="${LD_PRELOAD-} $(echo \
	    /usr/lib/*/faketime/libfaketime.so.1)" "$@"
}

@test "remote: a lease is judged by the server's clock" {
	idq add -k a
	token=$(idq claim --lease 1h)
	nfs
	off +2h idq work --drain -- true
	is "$(state_of a)" cur
	run -0 --separate-stderr off -2h idq renew --lease 30m "$token"
	expect 0 ''
	# By the clock of the client it would have run out before it began.
	idq work --drain -- true
	is "$(state_of a)" cur
	run -0 --separate-stderr off +2h idq renew --lease 1s "$token"
	expect 0 ''
	sleep 1.1
	idq work --drain -- true
	is "$(state_of a)" 'done'
	find "$queue/run" -name 'clock.*' | nothing
}

@test "remote: on a local file system it is the clock of the machine" {
	idq add -k a
	idq claim --lease 1h
	off +2h idq work --drain -- true
	is "$(state_of a)" 'done'
}

@test "remote: a follower finds within seconds what no event told of" {
	nfs
	spawn idq work -- true
	wait_for '[ -e "$queue/run/single" ]'
	for key in a b; do
		idq add -k "$key"
		wait_for "[ \"\$(state_of $key)\" = 'done' ]" 20
	done
}

@test "remote: a worker whose claim was taken ends its command" {
	nfs
	idq config grace 1s
	idq add -k a
	spawn idq work -- sh -c 'echo "$IDQ_KEY" >>ran; exec sleep 100'
	wait_for '[ -s ran ]'
	at=$(date -u +%FT%T.%6NZ)
	printf '%s interrupted 1 to=new next=%s\n%s claimed 2 host=%s\n' \
	    "$at" "$at" "$at" 'other boot=8f2c41d0 pid=1' >>"$(key_file a)"
	wait_for 'grep -q "a: the claim was lost" spawn.err' 20
	is "$(idq log --event lost | wc -l)" 1
	is "$(tail -n 1 "$(key_file a)" | cut -d ' ' -f 2,3)" 'claimed 2'
	# And goes on.
	idq add -k b
	wait_for '[ "$(tail -n 1 ran)" = b ]' 20
}

@test "remote: what a command for many says of a claim that was taken counts for nothing" {
	need jq
	nfs
	idq add -k a
	idq add -k b
	spawn idq work --batch 2 -- sh -c 'cat >lines; touch started
		while [ ! -e go ]; do sleep 0.02; done
		jq -r "[.id, 0] | @tsv" lines'
	wait_for '[ -e started ]'
	at=$(date -u +%FT%T.%6NZ)
	printf '%s interrupted 1 to=new next=%s\n%s claimed 2 host=%s\n' \
	    "$at" "$at" "$at" 'other boot=8f2c41d0 pid=1' >>"$(key_file a)"
	cp "$(key_file a)" taken
	touch go
	wait_for '[ "$(state_of b)" = "done" ] &&
	    grep -q "a: the claim was lost" spawn.err'
	is "$(idq log --event lost | wc -l)" 1
	cmp taken "$(key_file a)"
	is "$(state_of a)" cur
}

@test "remote: what was done, and reported as failed, is done" {
	preload lost <<-'END'
		#include <errno.h>
		#include <sys/syscall.h>
		#include <unistd.h>
		int linkat(int a, const char *x, int b, const char *y, int f)
		{
			if (syscall(SYS_linkat, a, x, b, y, f) == 0)
				errno = EEXIST;
			return -1;
		}
		int renameat(int a, const char *x, int b, const char *y)
		{
			if (syscall(SYS_renameat2, a, x, b, y, 0) == 0)
				errno = ENOENT;
			return -1;
		}
	END
	run -0 --separate-stderr idq add -k a
	expect 0 ''
	is "$(state_of a)" new
	run -0 --separate-stderr idq claim
	is "$stderr" ''
	run -0 --separate-stderr idq ack "$output"
	expect 0 ''
	run -0 --separate-stderr idq add --reuse final -k a
	expect 0 ''
	is "$(state_of a)" new
	run -0 --separate-stderr idq hold a
	expect 0 ''
	run -0 --separate-stderr idq retry a
	expect 0 ''
	run -0 --separate-stderr idq work --drain -- true
	expect 0 ''
	is "$(state_of a)" 'done'
	run -0 --separate-stderr idq config keep 8d
	expect 0 ''
	is "$(idq config keep)" 8d
	run -0 --separate-stderr idq pause
	expect 0 ''
	[ -e "$queue/paused" ]
	find "$queue/tmp" -type f | nothing
	run -0 --separate-stderr idq fsck
	expect 0 ''
}

@test "remote: a rename that the client did not ask the server for is made" {
	preload stale <<-'END'
		#include <string.h>
		#include <sys/syscall.h>
		#include <sys/vfs.h>
		#include <unistd.h>
		int fstatfs(int fd, struct statfs *fs)
		{
			int r = (int)syscall(SYS_fstatfs, fd, fs);
			fs->f_type = 0x6969;
			return r;
		}
		/* It believes that this is one of two links of the file. */
		int renameat(int a, const char *x, int b, const char *y)
		{
			static int skipped;
			if (strncmp(y, "cur/", 4) == 0 && skipped++ == 0)
				return 0;
			return (int)syscall(SYS_renameat2, a, x, b, y, 0);
		}
	END
	idq add -k a
	run -0 --separate-stderr idq claim
	is "$stderr" ''
	is "$(state_of a)" cur
	find "$queue/new" -type f | nothing
	run -0 --separate-stderr idq ack "$output"
	expect 0 ''
	is "$(state_of a)" 'done'
}

@test "remote: fsck -n locks what it has open for reading, which NFS lets it share" {
	preload lock <<-'END'
		#include <sys/file.h>
		#include <sys/syscall.h>
		#include <errno.h>
		#include <fcntl.h>
		#include <unistd.h>
		int flock(int fd, int op)
		{
			int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
			if ((op & LOCK_EX) && mode == O_RDONLY) {
				errno = EBADF;
				return -1;
			}
			return (int)syscall(SYS_flock, fd, op);
		}
	END
	idq add -k a
	idq work --drain -- true
	run -0 --separate-stderr idq fsck -n
	expect 0 ''
}

@test "remote: a claim can be seen elsewhere before its command runs" {
	preload synced <<-'END'
		#include <sys/syscall.h>
		#include <sys/vfs.h>
		#include <fcntl.h>
		#include <unistd.h>
		int fstatfs(int fd, struct statfs *fs)
		{
			int r = (int)syscall(SYS_fstatfs, fd, fs);
			fs->f_type = 0x6969;
			return r;
		}
		int fsync(int fd)
		{
			close(open("synced", O_CREAT | O_WRONLY, 0600));
			return (int)syscall(SYS_fsync, fd);
		}
	END
	for how in full off; do
		idq config sync "$how"
		idq add -k "$how"
		rm -f synced
		idq work --drain -- test -e "$PWD/synced"
		is "$(state_of "$how")" 'done'
	done
}
