# SPDX-License-Identifier: ISC
#
# The system calls of what runs most often, in order: from the first that the
# tool makes itself, without those for memory.  Each line says what for.  One
# that is added has to earn its line here.

load helpers/common

# What strace saw, a line a call: its name, and the names in the queue, with
# H, ID, DUE and DAY for what differs from run to run.
calls() {
	sed -nE '/^umask\(/,$p' "$1" |
	grep -vE '^(brk|mmap|munmap|mprotect|madvise|\+\+\+)|GRND_NONBLOCK' |
	sed -E 's/^newfstatat\([0-9]+, "",.*/fstat/
	    s/^newfstatat/fstatat/; s/^faccessat2/faccessat/
	    s/^p?(read|write)(64)?\(.*/\1/
	    s/[0-9a-f]{64}/H/g; s/[0-9a-f]{16}/ID/g
	    s/[0-9]{8}T[0-9]{6}\.[0-9]{6}Z/DUE/g
	    s/[0-9]{4}-[0-9]{2}-[0-9]{2}/DAY/g
	    s/(keys|dups)\/[0-9a-f]{2}/\1\/HH/g
	    s/(log\/DAY|boot)[./][^"]*/\1/' |
	sed -E '/^[a-z0-9]+at\(/!s/\(.*//
	    s/\((AT_FDCWD|[0-9]+), ?/ /
	    s/"[^"]*\/spool\/default"/"QUEUE"/
	    s/, (0x|O_|F_OK|AT_|\{|[0-9]+\)|0[0-7]{3}).*//
	    s/\) = .*//; s/, [0-9]+, / /g; s/"//g'
}

# pin COMMAND...: trace it; its calls are those on standard input, where all
# behind a # is what for.  Fewer are as wrong: the list would not be true.
pin() {
	sed -E 's/[[:space:]]*#.*//; s/^[[:space:]]+//; /^$/d' >expected
	strace -o trace "$@" >out
	calls trace >seen
	diff -u expected seen
}

# A queue where nothing is done for the first time: its log, stamps and day are
# there, and there is nothing else to find.
setup() {
	common_setup
	need strace
	strace -o /dev/null -e trace=none true 2>>stderr ||
	    skip "strace may not trace here"
	need_uncounted
	! nm "$IDQ" 2>>stderr | grep -q __asan_init ||
	    skip "a sanitizer makes calls of its own"
	[ "$(uname -sm)" = 'Linux x86_64' ] ||
	    skip "the list is that of Linux on x86-64"
	idq init
	idq add -k first -- x
	idq ack "$(idq claim)"
	idq add -k there -- x
	idq add -k there -- x
}

@test "syscalls: add" {
	pin idq add -k new -- x <<-'END'
	umask                           # modes come from the queue
	rt_sigaction                    # past a limit on files: an error
	fcntl                           # are 0, 1 and 2 open?
	fcntl
	fcntl
	uname                           # the host, for the log
	openat QUEUE
	fstat                           # its mode, for new files
	fstatfs                         # do other machines share it?
	geteuid                         # may others write to it?
	openat format                   # is it a queue of this version?
	fstat
	read
	close
	openat config                   # there is none here
	geteuid                         # By:, and whose queue it is
	geteuid                         # is it somebody else's?
	getpid
	geteuid
	openat keys/HH/H                # is the key there?
	getrandom                       # the id
	openat tmp/ID
	flock                           # before anyone else finds it
	fstat                           # its inode, and that no reaper took it
	write
	linkat tmp/ID keys/HH/H         # decides whether the key is new
	fsync
	openat keys/HH                  # sync of the name
	fsync
	close
	renameat tmp/ID new/DUE.H.ID
	fstatat tmp/ID                  # is the old name gone?
	openat log/DAY                  # the line of the log
	fstat                           # a regular file? its size
	read                            # does it end with a whole line?
	write
	close
	flock                           # also of copies
	close
	openat run/times                # the last start, for the alarm
	fstat                           # a regular file?
	read
	close
	ioctl                           # is standard error a terminal?
	close                           # the queue
	close                           # standard output: all written?
	exit_group
	END
}

@test "syscalls: a duplicate add" {
	pin idq add -k there -- x <<-'END'
	umask                           # modes come from the queue
	rt_sigaction                    # past a limit on files: an error
	fcntl                           # are 0, 1 and 2 open?
	fcntl
	fcntl
	uname                           # the host, for the log
	openat QUEUE
	fstat                           # its mode, for new files
	fstatfs                         # do other machines share it?
	geteuid                         # may others write to it?
	openat format                   # is it a queue of this version?
	fstat
	read
	close
	openat config                   # there is none here
	geteuid                         # By:, and whose queue it is
	geteuid                         # is it somebody else's?
	getpid
	geteuid
	openat keys/HH/H                # is the key there?
	fstat                           # a regular file? its size
	read                            # header and trail
	fstatat new/DUE.H.ID            # where the trail says?
	openat dups/HH/H.ID             # one more
	fstat                           # a regular file of whole stamps?
	write
	lseek                           # how many
	close
	close                           # the job
	ioctl                           # is standard error a terminal?
	close                           # the queue
	close                           # standard output: all written?
	exit_group
	END
}

@test "syscalls: claim" {
	pin idq claim <<-'END'
	umask                           # modes come from the queue
	rt_sigaction                    # past a limit on files: an error
	fcntl                           # are 0, 1 and 2 open?
	fcntl
	fcntl
	uname                           # the host, for the log
	openat QUEUE
	fstat                           # its mode, for new files
	fstatfs                         # do other machines share it?
	geteuid                         # may others write to it?
	openat format                   # is it a queue of this version?
	fstat
	read
	close
	openat config                   # there is none here
	geteuid                         # whose queue it is
	geteuid                         # is it somebody else's?
	fstat                           # is the queue still there?
	openat run/worker               # somebody looks for work
	fstat                           # a regular file?
	write
	close
	openat boot                     # was this boot's scan done?
	fstat
	read
	close
	openat /proc/sys/kernel/random/boot_id
	read
	close
	openat cur                      # reap: nothing runs here
	fstat                           # fdopendir(3)
	fcntl
	fcntl
	getdents64
	getdents64                      # the end
	close
	openat tmp                      # reap: unfinished adds
	fstat                           # fdopendir(3)
	fcntl
	fcntl
	getdents64
	getdents64                      # the end
	close
	openat wait                     # promote what is due
	fstat                           # fdopendir(3)
	fcntl
	fcntl
	getdents64
	getdents64                      # the end
	close
	openat turn                     # the turns of groups
	fstat                           # fdopendir(3)
	fcntl
	fcntl
	getdents64
	getdents64                      # the end
	close
	faccessat paused
	faccessat run/next              # names kept by a scan
	openat new                      # a scan, which is short
	fstat                           # fdopendir(3)
	fcntl
	fcntl
	getdents64
	getdents64                      # the end
	close
	openat new/DUE.H.ID
	fstat                           # a regular file?
	flock
	fstatat new/DUE.H.ID            # is it that inode still? its size
	read                            # header, and trail of a short one
	fstatat keys/HH/H               # does it own its key?
	openat asked/ID                 # is it to be cancelled?
	faccessat paused                # again, last of all
	renameat new/DUE.H.ID cur/H.ID
	fstatat new/DUE.H.ID            # is the old name gone?
	getpid
	write                           # claimed
	fsync                           # before the token is printed
	openat run/times                # the last start
	fstat                           # a regular file?
	write
	close
	openat log/DAY                  # the line of the log
	fstat                           # a regular file? its size
	read                            # does it end with a whole line?
	write
	close
	flock                           # a lease holds it from here on
	fstat                           # stdio on standard output
	write                           # the token
	close                           # the job
	close                           # the queue
	close                           # standard output: all written?
	exit_group
	END
}

@test "syscalls: claim opens no minute that is still to come" {
	for minutes in 90 92; do
		idq add -k "$minutes" --in "${minutes}m" -- x
	done
	strace -o trace -e trace=openat idq claim >out
	is "$(grep -c '"wait"' trace)" 1
	is "$(grep -c '"wait/' trace || :)" 0
	need faketime
	at +91m idq claim >out
	is "$(find "$IDQ_SPOOL/default/wait" -mindepth 1 -type d | wc -l)" 1
	at +93m idq claim >out
	is "$(find "$IDQ_SPOOL/default/wait" -mindepth 1 -type d | wc -l)" 0
}

@test "syscalls: ack" {
	token=$(idq claim)
	pin idq ack "$token" <<-'END'
	umask                           # modes come from the queue
	rt_sigaction                    # past a limit on files: an error
	fcntl                           # are 0, 1 and 2 open?
	fcntl
	fcntl
	uname                           # the host, for the log
	openat QUEUE
	fstat                           # its mode, for new files
	fstatfs                         # do other machines share it?
	geteuid                         # may others write to it?
	openat format                   # is it a queue of this version?
	fstat
	read
	close
	openat config                   # there is none here
	geteuid                         # whose queue it is
	geteuid                         # is it somebody else's?
	openat cur/H.ID
	fstat                           # a regular file?
	flock
	fstatat cur/H.ID                # is it that inode still? its size
	read                            # header, and trail of a short one
	read                            # the trail
	openat asked/ID                 # is it to be cancelled?
	write                           # done
	fsync
	openat log/DAY                  # the line of the log
	fstat                           # a regular file? its size
	read                            # does it end with a whole line?
	write
	close
	renameat cur/H.ID done/DAY/H.ID
	fstatat cur/H.ID                # is the old name gone?
	flock                           # also of copies
	close                           # the job
	close                           # the queue
	close                           # standard output: all written?
	exit_group
	END
}
