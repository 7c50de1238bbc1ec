#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# doctor: each of its lines, on file systems of the test's own where it takes
# one, and with calls that fail where it takes those.

# $output and $stderr come from bats, and some words are for another shell.
# shellcheck disable=SC2016,SC2030,SC2031,SC2154

load helpers/common

setup() {
	common_setup
	queue=$(queue_path)
	tab=$'\t'
}

teardown() {
	common_teardown
	[ -z "${mounted-}" ] || umount "$mounted"
	[ -z "${loop-}" ] || losetup -d "$loop"
}

# says STATUS COMMAND...: it exits so, and standard error is empty.
says() {
	run "-$1" --separate-stderr "${@:2}"
	is "$stderr" ''
}

# line LEVEL ABOUT BEGINNING: there is one such line in the last output.
line() {
	is "$(grep -c "^$1$tab$2$tab$3" <<<"$output")" 1 || {
		printf '%s\n' "$output"
		return 1
	}
}

# about LEVEL: what the lines of that level are about.
about() {
	sed -n "s/^$1$tab\([^$tab]*\)$tab.*/\1/p" <<<"$output" | tr '\n' ' '
}

# disk OPTIONS [MKFS-OPTION...]: a queue on an ext4 of its own.
disk() {
	need_root
	need mkfs.ext4
	truncate -s 64M image
	mkfs.ext4 -q -F -m 0 "${@:2}" image
	mkdir mnt
	mount -o "loop$1" image mnt 2>/dev/null ||
	    skip "no such image can be mounted here"
	mounted=$PWD/mnt
	export IDQ_SPOOL=$PWD/mnt
	queue=$(queue_path)
	idq init
}

# fakes: idq reads $PWD/mountinfo and $PWD/exports as those of the system.
fakes() {
	need "${CC:-cc}"
	cat >fakes.c <<-'EOC'
		#include <dlfcn.h>
		#include <stdio.h>
		#include <string.h>
		FILE *
		fopen(const char *path, const char *mode)
		{
			FILE *(*real)(const char *, const char *);
			*(void **)&real = dlsym(RTLD_NEXT, "fopen");
			if (strcmp(path, "/proc/self/mountinfo") == 0)
				path = "mountinfo";
			if (strcmp(path, "/etc/exports") == 0)
				path = "exports";
			return real(path, mode);
		}
	EOC
	# It may be a command with options.
	# shellcheck disable=SC2086
	${CC:-cc} -D_GNU_SOURCE -shared -fPIC -o fakes.so fakes.c -ldl
	cat /proc/self/mountinfo >mountinfo
	: >exports
	fake=$PWD/fakes.so
}

# broken WHAT COMMAND...: with a call of it that strace lets fail.
broken() {
	need strace
	# AddressSanitizer finds no leaks under it.
	ASAN_OPTIONS=${ASAN_OPTIONS-}:detect_leaks=0 strace -f -o /dev/null -e "trace=${1%%:*}" -e "inject=$1" "${@:2}"
}

# seen: all that is in the queue, but for the times of tmp.
seen() {
	(cd "$queue" && find . ! -path ./tmp -printf '%P %i %m %s %n %T@ %C@\n' |
	    sort)
}

@test "doctor: all is well on a disk of its own" {
	disk ''
	idq add -k a
	before=$(seen)
	says 0 idq doctor
	is "$(about ok)" 'queue type mount export blocks inodes openat2 inotify dirs flock link fsync clock tmp boot cur '
	is "$(wc -l <<<"$output")" 16
	line ok queue "$queue, format 1, private\$"
	line ok type 'ext4$'
	line ok mount 'rw,'
	line ok fsync 'took [0-9.]* ms$'
	line ok clock 'files are +0.0 s off$'
	is "$(seen)" "$before"
	is "$(ls -A "$queue/tmp")" ''
}

@test "doctor: JSON has the same" {
	idq init
	chmod 750 "$queue"
	says 1 idq doctor
	text=$(cut -f1,2 <<<"$output")
	says 1 idq doctor --json
	is "$(jq -r '.result + "\t" + .about' <<<"$output")" "$text"
	is "$(jq -r 'select(.text == "") | .about' <<<"$output")" ''
	is "$(jq -r 'select(.about == "dirs") | .text' <<<"$output" |
	    cut -d';' -f2)" ' see SECURITY in idq(5)'
}

@test "doctor: no queue is 3, and none is made" {
	says 3 idq doctor -q nosuch
	is "$output" "error${tab}queue$tab$IDQ_SPOOL/nosuch: no such queue; make it with: idq init -q nosuch"
	[ ! -e "$IDQ_SPOOL" ]
	# A folder that is none is one that could be.
	mkdir half
	says 3 idq doctor -q "$PWD/half"
	line error queue "$PWD/half: no such queue; make it with: idq init -q $PWD/half\$"
	is "$(grep -c "$tab\(type\|blocks\|inodes\|openat2\|inotify\)$tab" \
	    <<<"$output")" 5
	is "$(grep -c "$tab\(dirs\|flock\|tmp\|cur\)$tab" <<<"$output")" 0
	is "$(find half)" half
	touch file
	says 3 idq doctor -q "$PWD/file"
	line error queue "$PWD/file: Not a directory\$"
}

@test "doctor: wrong usage is 3" {
	for args in '--jsn' operand '-q .x' '-q a -q b' '--json=1' '-v'; do
		# They are words.
		# shellcheck disable=SC2086
		run -3 --separate-stderr idq doctor $args
		is "$output" ''
		is "$(grep -c '^idq: doctor: ' <<<"$stderr")" 1
	done
	IDQ_SPOOL=relative run -3 --separate-stderr idq doctor
	expect 3 '' 'idq: doctor: -q default: IDQ_SPOOL is not an absolute path'
}

@test "doctor: a queue that no command would take is an error" {
	idq init
	chmod 770 "$queue"
	says 2 idq doctor
	line error queue "$queue: is writable by its group"
	is "$(grep -c "$tab\(dirs\|flock\|tmp\|cur\)$tab" <<<"$output")" 0
	chmod 700 "$queue"
	echo 'idq spool 2' >"$queue/format"
	says 2 idq doctor
	line error queue "$queue: has the newer format 'idq spool 2'\$"
	printf 'idq spool 1\n' >"$queue/format"
	echo nonsense >"$queue/config"
	says 2 idq doctor
	line error queue "$queue/config: "
	is "$(ls -A "$queue/tmp")" ''
}

@test "doctor: the queue of another user" {
	need_root
	idq init
	says 3 as_user 65534 idq doctor
	line error queue "$queue: belongs to root; use: sudo -u root idq ...\$"
	chown -R 65534:65534 "$IDQ_SPOOL"
	run --separate-stderr as_user 65534 idq doctor
	line ok flock works
	# Root looks, and leaves no file of its own.
	says 1 idq doctor
	line warning write 'not tried '
	line ok dirs 'all there'
	is "$(grep -c "$tab\(flock\|link\|fsync\|clock\)$tab" <<<"$output")" 0
}

@test "doctor: a read-only file system is an error, and is left alone" {
	disk ''
	idq add -k a
	mount -o remount,ro mnt
	before=$(seen)
	says 2 idq doctor
	is "$(about error)" 'mount write '
	is "$(about warning)" ''
	line error mount 'ro: no job can be added or started; mount it rw$'
	line error write 'tmp: Read-only file system'
	is "$(seen)" "$before"
}

@test "doctor: options of a mount that a power cut minds" {
	disk ,data=writeback,nobarrier,sync
	says 1 idq doctor
	is "$(about warning)" 'mount mount mount '
	line warning mount 'data=writeback: '
	line warning mount 'nobarrier: '
	line warning mount 'sync: '
}

@test "doctor: a file system without hard links" {
	need_root
	idq init
	linkless
	mounted=$PWD/mnt
	cp -r "$queue" mnt/queue
	says 2 idq doctor -q "$PWD/mnt/queue"
	is "$(about error)" 'link '
	line error link 'does not work; use another file system$'
	line warning type '.*: not tested'
	line ok flock works
	is "$(ls -A mnt/queue/tmp)" ''
}

@test "doctor: in memory is a warning" {
	mount_at mnt size=10m
	idq init -q "$PWD/mnt/q"
	says 1 idq doctor -q "$PWD/mnt/q"
	is "$(about warning)" 'type '
	line warning type 'tmpfs: a reboot loses all jobs'
}

@test "doctor: few inodes are a warning, none an error" {
	disk '' -N 512
	i=0
	while { : >"mnt/$i"; } 2>/dev/null; do
		i=$((i + 1))
	done
	says 2 idq doctor
	is "$(about error)" 'inodes write '
	line error inodes '0% free; make room'
	line error write 'tmp: No space left on device'
	rm mnt/1 mnt/2 mnt/3 mnt/4 mnt/5 mnt/6
	says 1 idq doctor
	is "$(about warning)" 'inodes '
	line warning inodes '1% free; make room'
}

@test "doctor: few blocks are a warning, none an error" {
	disk ''
	dd if=/dev/zero of=mnt/big bs=1k 2>/dev/null || :
	says 2 idq doctor
	[[ $(about error) == 'blocks '* ]]
	line error blocks '0% free; make room'
	is "$(ls -A "$queue/tmp")" ''
	truncate -s -2M mnt/big
	says 1 idq doctor
	is "$(about warning)" 'blocks '
	line warning blocks '[34]% free; make room'
	truncate -s -2M mnt/big
	says 0 idq doctor
	line ok blocks '[67]% free$'
}

@test "doctor: a mount of NFS" {
	fakes
	idq init
	sed -i 's/ - .*/ - nfs4 srv:\/x rw,vers=4.2,hard,local_lock=none/' \
	    mountinfo
	says 1 env LD_PRELOAD="$fake" idq doctor
	line warning type 'nfs4: see SHARED SPOOLS in idq(5)$'
	line warning inotify 'does not tell what other hosts do'
	line ok mount '.*rw,vers=4.2,hard,local_lock=none$'
	sed -i 's/ - .*/ - nfs srv:\/x rw,vers=3,soft,nolock,local_lock=all/' \
	    mountinfo
	says 2 env LD_PRELOAD="$fake" idq doctor
	is "$(about error)" 'mount '
	line error mount 'nolock: hosts do not see'
	line warning mount 'vers=3: '
	line warning mount 'soft: '
	: >mountinfo
	says 1 env LD_PRELOAD="$fake" idq doctor
	line warning type 'not known'
}

@test "doctor: a spool that this host exports" {
	fakes
	idq init
	real=$(realpath "$IDQ_SPOOL")
	run env LD_PRELOAD="$fake" idq doctor
	line ok export 'none known$'
	for dir in "$real" "$real/" "$real/default" / "${real%/*}"; do
		printf '# a comment\n\n%s\t*(rw,sync)\n' "$dir" >exports
		says 1 env LD_PRELOAD="$fake" idq doctor
		line warning export 'in /etc/exports: NFS clients'
	done
	printf '%s *(rw)\n' "$real/def" "$real/default/new" /none "# $real" \
	    >exports
	run env LD_PRELOAD="$fake" idq doctor
	line ok export 'none known$'
}

@test "doctor: locks that keep nobody out" {
	idq init
	says 2 broken flock:retval=0 idq doctor
	is "$(about error)" 'flock '
	says 2 broken flock:error=ENOLCK idq doctor
	is "$(about error)" 'flock '
	is "$(ls -A "$queue/tmp")" ''
}

@test "doctor: a sync that fails, or is slow" {
	idq init
	for n in 1 2; do
		says 2 broken "fsync:error=EIO:when=$n" idq doctor
		is "$(about error)" 'fsync '
		line error fsync 'Input/output error$'
		is "$(grep -c "$tab\(fsync\|clock\)$tab" <<<"$output")" 1
		is "$(ls -A "$queue/tmp")" ''
	done
	says 1 broken fsync:delay_enter=1100000:when=1 idq doctor
	line warning fsync 'took [12][0-9]*\.[0-9] ms'
}

@test "doctor: a kernel without openat2, and no inotify" {
	idq init
	run --separate-stderr broken openat2:error=ENOSYS idq doctor
	line ok openat2 'not there; '
	line ok flock works
	says 1 broken inotify_init1:error=EMFILE idq doctor
	line ok openat2 'there$'
	line warning inotify 'not to be had, and workers look each second'
}

@test "doctor: what does not answer is an error, and not waited for" {
	need faketime
	idq init
	# Of its 30 seconds each takes a tenth.
	SECONDS=0
	says 2 broken fsync:signal=STOP:when=1 \
	    env FAKETIME='+0 x10' FAKETIME_DONT_FAKE_MONOTONIC=1 \
	    LD_PRELOAD="$(echo /usr/lib/*/faketime/libfaketime.so.1)" \
	    idq doctor
	[ "$SECONDS" -lt 25 ]
	line ok dirs 'all there'
	line error answer 'none in 30 seconds'
	is "$(tail -n 1 <<<"$output" | cut -f2)" answer
}

@test "doctor: the clock of the file system is another one" {
	need faketime
	idq init
	for off in +3 -3600; do
		NO_FAKE_STAT=1 says 1 at "$off" idq doctor
		line warning clock "files are $(printf %+d "$((-off))").0 s off; "
	done
	NO_FAKE_STAT=1 run at +1 idq doctor
	line ok clock 'files are -1.0 s off$'
}

@test "doctor: a directory that is missing, a link, or a mount" {
	idq init
	mkdir elsewhere
	for dir in new tmp keys/7f; do
		rmdir "$queue/$dir"
		says 2 idq doctor
		line error dirs "$dir: No such file or directory; "
		ln -s "$PWD/elsewhere" "$queue/$dir"
		touch -d @1 elsewhere
		says 2 idq doctor
		line error dirs "$dir: is a symbolic link; "
		is "$(stat -c %Y elsewhere)" 1
		rm "$queue/$dir"
		mkfifo "$queue/$dir"
		says 2 idq doctor
		line error dirs "$dir: is no directory; "
		rm "$queue/$dir"
		idq init
	done
	run idq doctor
	line ok dirs 'all there, with the right modes$'
	mount_at "$queue/new" size=1m,mode=700
	says 2 idq doctor
	line error dirs 'new: is on another file system; '
}

@test "doctor: modes and owners of a private queue" {
	idq init
	for case in '750 . warning' '755 . warning' '750 new warning' \
	    '500 cur warning' '770 tmp error' '777 keys/00 error' \
	    '2700 new ok' '1700 new warning'; do
		read -r mode dir level <<<"$case"
		chmod "$mode" "$queue/$dir"
		run --separate-stderr idq doctor
		if [ "$level" = ok ]; then
			line ok dirs 'all there'
		else
			line "$level" dirs "$dir: "
		fi
		chmod 700 "$queue/$dir"
		chmod g-s "$queue/$dir"
	done
	need_root
	chown 65534 "$queue/failed"
	says 2 idq doctor
	line error dirs "failed: 65534:0 0700, and not 0:0 0700; see SECURITY"
}

@test "doctor: modes of a shared queue" {
	need_root
	idq init --shared 42100
	idq add -k a
	run --separate-stderr idq doctor
	line ok queue "$queue, format 1, shared\$"
	line ok dirs 'all there'
	as_user 65534 true
	run --separate-stderr env PATH="$BATS_TEST_TMPDIR/bin:$PATH" setpriv \
	    --reuid=42101 --regid=42101 --groups=42100 -- idq doctor
	line ok dirs 'all there'
	line ok flock works
	line ok link works
	is "$(ls -A "$queue/tmp")" ''
	chmod 2750 "$queue/new"
	says 1 idq doctor
	line warning dirs 'new: 0:42100 2750, and not 0:42100 2770; '
	chmod 2777 "$queue/new"
	says 2 idq doctor
	line error dirs 'new: '
	chmod 2770 "$queue/new"
	chgrp 0 "$queue/new"
	chmod 2770 "$queue/new"
	says 2 idq doctor
	line error dirs 'new: 0:0 2770, and not 0:42100 2770; '
	chgrp 42100 "$queue/new"
	chmod 2770 "$queue/new"
	chmod 660 "$queue/config"
	says 2 idq doctor
	line error dirs 'config: a member can change it; '
	chmod 640 "$queue/config"
	chmod 2770 "$queue"
	says 2 idq doctor
	line error dirs 'config: a member can change it; '
	line warning dirs '\.: '
}

@test "doctor: files left in tmp" {
	need faketime
	idq init
	: >"$queue/tmp/0123456789abcdef"
	run idq doctor
	line ok tmp '0 left over, 0 not synced$'
	NO_FAKE_STAT=1 says 1 at +2m idq doctor
	line warning tmp '1 left over, 0 not synced; the next worker'
	: >"$queue/tmp/0123456789abcdee.bad"
	says 1 idq doctor
	line warning tmp '0 left over, 1 not synced; add '
}

@test "doctor: a boot since" {
	idq init
	run idq doctor
	line ok boot ''
	echo 00000000-0000-0000-0000-000000000000 >"$queue/boot/$(hostname)"
	says 1 idq doctor
	line warning boot 'the start-up scan after the last boot'
	idq work --drain -- true
	run idq doctor
	line ok boot ''
}

# claimed_on HOST: of a worker there, which is gone; the file's boot= is then
# that of another boot.
claimed_on() {
	local at file

	file=$(key_file a)
	rm -f started
	spawn unshare -u sh -c "hostname $1 && exec idq work -- sh -c \
	    'echo \$\$ >started; exec sleep 60'"
	wait_for '[ -s started ]'
	kill -KILL "$spawned_pid" "$(cat started)"
	wait_for 'gone "$spawned_pid" "$(cat started)"'
	run idq doctor
	line ok cur '0 cut off by a boot, 0 damaged$'
	at=$(grep -abo ' boot=' "$file" | tail -n 1 | cut -d: -f1)
	printf deadbeef | dd of="$file" bs=1 seek=$((at + 6)) conv=notrunc \
	    2>/dev/null
}

@test "doctor: claims of before a boot" {
	need_root
	unshare -u true 2>/dev/null || skip "no UTS namespaces here"
	idq init
	idq add -k a
	claimed_on "$(hostname)"
	says 1 idq doctor
	line warning cur '1 cut off by a boot, 0 damaged; see: idq fsck -n$'
	idq fsck >fixed
	idq retry a
	claimed_on elsewhere
	says 1 idq doctor
	line warning cur '1 cut off by a boot, 0 damaged; see: idq fsck -n$'
	# Of a host that never finished a start-up scan nothing is known.
	rm "$queue/boot/elsewhere"
	run idq doctor
	line ok cur '0 cut off by a boot, 0 damaged$'
	idq fsck >fixed
	# A lease does not end with its host.
	idq retry a
	idq claim >token
	printf deadbeef | dd of="$(key_file a)" bs=1 conv=notrunc 2>/dev/null \
	    seek=$(($(grep -abo ' boot=' "$(key_file a)" | tail -n 1 |
	    cut -d: -f1) + 6))
	run idq doctor
	line ok cur '0 cut off by a boot, 0 damaged$'
}

@test "doctor: damaged files in cur are counted, and hang nothing" {
	idq init
	h=$(hash_of x)
	mkfifo "$queue/cur/$h.0000000000000001"
	: >"$queue/cur/$h.0000000000000002"
	ln -s /dev/zero "$queue/cur/$h.0000000000000003"
	mkfifo "$queue/boot/elsewhere"
	says 1 timeout 20 idq doctor
	line warning cur '0 cut off by a boot, 3 damaged; see: idq fsck -n$'
	rm "$queue/boot/$(hostname)"
	mkfifo "$queue/boot/$(hostname)"
	says 1 timeout 20 idq doctor
	[ -p "$queue/boot/$(hostname)" ]
}

@test "doctor: a reader that ends early leaves nothing in tmp" {
	idq init
	for n in {1..16}; do
		idq doctor | head -n "$n" >lines
		is "$(ls -A "$queue/tmp")" ''
	done
	is "$(wc -l <lines)" 16
}

@test "doctor: what a killed one leaves is removed by the next worker" {
	idq init
	says 3 broken fsync:signal=KILL:when=1 idq doctor
	is "$(find "$queue/tmp" -type f | wc -l)" 2
	idq claim || [ $? -eq 1 ]
	is "$(ls -A "$queue/tmp")" ''
	says 0 idq fsck
}

@test "doctor: workers meanwhile take nothing away from it" {
	idq init
	spawn sh -c 'while [ ! -e stop ]; do idq claim; done'
	for _ in {1..20}; do
		run --separate-stderr idq doctor
		line ok flock works
		line ok link works
		is "$stderr" ''
	done
	# One comes between the file and its lock.
	run --separate-stderr broken flock:delay_enter=300000:when=1 idq doctor
	line ok flock works
	line ok link works
	touch stop
	wait_for 'gone "$spawned_pid"'
	is "$(cat spawn.err)" ''
	is "$(ls -A "$queue/tmp")" ''
}

@test "doctor: output that nobody gets is 74" {
	idq init
	run -74 --separate-stderr sh -c 'idq doctor >/dev/full'
	is "$(grep -c 'standard output: No space left' <<<"$stderr")" 1
}
