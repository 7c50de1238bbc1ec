# SPDX-License-Identifier: ISC
"""Exhaustion: a resource is taken away, each verb is run, and the resource is
given back.  Without it a verb says so in clean lines and by its exit status;
with it the same command does what it should have done, and nothing that was
acknowledged is gone."""

import fcntl
import hashlib
import json
import os
import re
import resource
import struct
import subprocess
import sys

import invariants
import rig

EXT4_IOC_SHUTDOWN = 0x8004587d
# What a verb may say without the resource, beside what is right with it.
TROUBLE = (73, 74, 75)
RUN = (125,)
BLOCK = 4096
BATCH = "".join(f"batch{i}\tx\n" for i in range(5))
PAYLOAD = "0123456789abcdef" * 512


def command(*argv, ok=(0,)):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       check=False)
    if ok and r.returncode not in ok:
        raise OSError(f"{' '.join(argv)}: {r.stdout.decode().strip()}")
    return r.stdout.decode()


class Disk:
    """A small file system in a file."""
    mkfs = ("mkfs.ext4", "-q", "-F", "-m", "0", "-b", "4096")
    size = 6 << 20
    options = "loop"

    def __init__(self, folder, name):
        self.name = name
        self.image = f"{folder}/{name}.image"
        self.path = f"{folder}/{name}"
        os.makedirs(self.path)
        with open(self.image, "wb") as f:
            f.truncate(self.size)
        command(*self.mkfs, self.image)
        self.mount()
        where = f"{folder}/{name}"
        rig.CLEANUPS.append(lambda: command("umount", "-l", where, ok=()))

    def mount(self):
        command("mount", "-o", self.options, self.image, self.path)

    def before(self):
        """What a command runs first."""

    def take(self):
        pass

    def give(self):
        pass


class Blocks(Disk):
    """every block of the disk"""

    def take(self):
        with open(f"{self.path}/ballast", "wb", buffering=0) as f:
            for size in (65536, 4096, 512):
                try:
                    while f.write(b"x" * size):
                        pass
                except OSError:
                    pass
            try:
                os.fsync(f)
            except OSError:
                pass

    def give(self):
        os.unlink(f"{self.path}/ballast")


class Inodes(Disk):
    """every inode"""
    mkfs = Disk.mkfs + ("-N", "512")

    def take(self):
        os.mkdir(f"{self.path}/many")
        try:
            for i in range(100000):
                with open(f"{self.path}/many/{i}", "wb"):
                    pass
        except OSError:
            pass

    def give(self):
        command("rm", "-r", f"{self.path}/many")


class Quota(Disk):
    """the quota"""
    mkfs = ("mkfs.btrfs", "-q", "-f", "-M")
    size = 128 << 20

    def mount(self):
        super().mount()
        # Else the command that gives it back has no quota either.
        self.top, self.path = self.path, f"{self.path}/limited"
        command("btrfs", "quota", "enable", self.top)
        command("btrfs", "subvolume", "create", self.path)
        command("btrfs", "quota", "rescan", "-w", self.top, ok=())
        shown = command("btrfs", "subvolume", "show", self.path)
        self.group = "0/" + re.search(r"Subvolume ID:\s*(\d+)", shown)[1]

    def take(self):
        command("sync", "-f", self.top)
        command("btrfs", "qgroup", "limit", "64K", self.group, self.top)

    def give(self):
        command("btrfs", "qgroup", "limit", "none", self.group, self.top)


class ReadOnly(Disk):
    """the right to write"""

    def take(self):
        command("mount", "-o", "remount,ro", self.path)

    def give(self):
        command("mount", "-o", "remount,rw", self.path)


class Device(Disk):
    """the device: each write is EIO"""

    def take(self):
        fd = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", 1))
        os.close(fd)

    def give(self):
        command("umount", "-l", self.path)
        self.mount()


class Descriptors(Disk):
    """descriptors, all but some"""
    n = 3

    def before(self):
        resource.setrlimit(resource.RLIMIT_NOFILE, (self.n, self.n))


class FileSize(Disk):
    """the right to write long files"""
    n = 0

    def before(self):
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.n, self.n))


class Trial(rig.Spool):
    """One verb without one resource."""

    def __init__(self, folder, disk, number, idq=rig.IDQ):
        super().__init__(f"{folder}/trial{number}", idq)
        os.rmdir(self.spool)
        os.mkdir(f"{disk.path}/spool{number}")
        os.symlink(f"{disk.path}/spool{number}", self.spool)
        self.env["IDQ_SPOOL"] = f"{disk.path}/spool{number}"
        self.queue = f"{disk.path}/spool{number}/q"
        self.disk = disk
        self.acked = []
        self.token = None
        self.tokens = []
        self.length = 0

    def ready(self):
        """A queue with a job in each state that matters."""
        self.idq("init")
        for n, v in (("keep", "0s"), ("lease", "1h"), ("backoff", "1s")):
            self.idq("config", n, v)
        self.idq("add", "-k", "old")
        self.idq("work", "--drain", "--", "/bin/true")
        self.idq("config", "keep", "1d")
        self.at_the_brink("failed", self.fail)
        self.at_the_brink("claimed", self.claim)
        self.at_the_brink("pending", lambda: None)
        self.acked = ["claimed", "pending", "failed"]

    def fail(self):
        self.idq("work", "--drain", "--", "/bin/sh", "-c", "exit 100")

    def claim(self):
        self.token = self.idq("claim").out.strip()
        self.tokens = [self.token]

    def at_the_brink(self, key, step):
        """Add KEY and do STEP, so that its next line needs a new block."""
        h = hashlib.sha256(key.encode()).hexdigest()
        length = 1000
        for _ in range(4):
            self.idq("cancel", key, ok=(0, 1, 69))
            self.idq("forget", key, ok=(0, 1))
            self.idq("add", "-k", key, "--payload", "-", stdin="x" * length)
            step()
            size = os.stat(f"{self.queue}/keys/{h[:2]}/{h}").st_size
            short = -(size + 5) % BLOCK
            self.length = length
            if short < 8:
                return
            length += short
        self.say(f"{key}: does not come near the end of a block")

    def verbs(self):
        """name, args, input, exits that are right with the resource."""
        return (
            ("add", ("-k", "new", "--json", "--payload", "-"), PAYLOAD, (0,)),
            ("add", ("-k", "pending", "--json", "--payload", "-"),
             "x" * self.length, (0,)),
            ("add", ("--batch", "--json"), BATCH, (0,)),
            ("claim", (), "", (0,)),
            ("ack", (self.token,), "", (0,)),
            ("work", ("--drain", "--", "/bin/true"), "", (0,)),
            ("run", ("-k", "run", "--", "/bin/true"), "", (0,)),
            ("retry", ("failed",), "", (0,)),
            ("purge", (), "", (0,)),
            ("fsck", (), "", (0, 1)),
        )

    def told(self, verb, r):
        """What was acknowledged."""
        if verb == "add":
            for line in r.out.splitlines():
                try:
                    o = json.loads(line)
                except ValueError:
                    self.say(f"add printed {line}")
                    continue
                if o["result"] in ("added", "duplicate"):
                    self.acked.append(o["key"])
        elif verb == "claim" and r.code == 0:
            self.tokens.append(r.out.strip())
            if not r.out.strip():
                self.say("claim: exit 0 and no token")

    def clean(self, what, verb, r, right):
        if r.code not in right + (RUN if verb == "run" else TROUBLE) + (
                (1,) if verb in ("fsck", "claim") else ()):
            self.say(f"{what}: exit {r.code}: {r.err.strip()[:200]}")
        lines = r.err.split("\n")[:-1]
        if r.code not in right and not lines and not (
                verb == "fsck" and r.out):
            self.say(f"{what}: exit {r.code} in silence")
        for line in lines:
            if not re.fullmatch(r"idq: .*\S", line):
                self.say(f"{what}: says {line[:200]}")
        if len(lines) > 12:
            self.say(f"{what}: says {len(lines)} lines")
        if r.err and not r.err.endswith("\n"):
            self.say(f"{what}: its last line has no end")

    def trial(self, number):
        self.ready()
        verb, args, stdin, right = self.verbs()[number]
        what = f"{self.disk.name}: {verb} {' '.join(args)[:40]}"
        self.disk.take()
        try:
            r = self.run(verb, *args, stdin=stdin, before=self.disk.before,
                         timeout=20)
            rig.note(f"  {what}: {r.code} {r.err.strip()[:150]!r}")
        finally:
            self.disk.give()
        self.clean(what, verb, r, right)
        self.told(verb, r)
        # Nobody synced that one.
        self.check(settled=False, acked=self.acked, but=("boot/",)
                   if isinstance(self.disk, Device) else ())
        again = self.run(verb, *args, stdin=stdin)
        # What it did without the resource it need not do twice.
        if again.code not in right + ((1, 69) if r.code == 0 else ()):
            self.say(f"{what}: with it back: exit {again.code}: "
                     f"{again.err.strip()[:200]}")
        self.told(verb, again)
        self.end(what)
        return r.code not in right

    def end(self, what):
        """All that was acknowledged comes to its end."""
        if isinstance(self.disk, Device):
            self.idq("fsck")
        for token in self.tokens:
            self.idq("ack", token, ok=(0, 69))
        self.idq("retry", "failed", ok=(0, 69))
        self.idq("work", "--drain", "--", "/bin/true")
        self.check(acked=self.acked)
        queue = invariants.Queue(self.queue)
        for key in self.acked:
            job = queue.job(key)
            if not job or job.state != "done":
                # Claimed by a claim whose token nobody was told.
                if job and job.state == "running" and key == "pending":
                    continue
                self.say(f"{what}: {key} is "
                         f"{job.state if job else 'lost'} in the end")


def trials(folder, disks):
    bad, refused, total = [], 0, 0
    for disk in disks:
        for number in range(len(Trial.verbs(
                type("", (), {"token": "", "length": 0})()))):
            t = Trial(folder, disk, f"{disk.name}{total}")
            total += 1
            refused += t.trial(number)
            bad += t.bad
            command("rm", "-rf", t.env["IDQ_SPOOL"])
    return total, refused, bad


def kinds(folder):
    """Each resource: its name, and its disks or why there are none."""
    for cls in (Blocks, Inodes, Quota, ReadOnly, Device):
        name = cls.__name__.lower()
        try:
            yield name, [cls(folder, name)], ""
        except OSError as e:
            yield name, [], str(e)
    for cls, numbers in ((Descriptors, (4, 5, 6, 8)),
                         (FileSize, (0, 700))):
        name = cls.__name__.lower()
        disks = []
        try:
            for n in numbers:
                disk = cls(folder, f"{name}-{n}")
                disk.n = n
                disks.append(disk)
        except OSError as e:
            yield name, [], str(e)
            continue
        yield name, disks, ""


def controls(folder):
    """How many of the broken builds are found out."""
    caught = 0
    for n, (name, cls) in enumerate((("file-size-fatal", FileSize),
                                     ("full-is-damaged", Blocks))):
        idq = rig.broken(name, folder)
        disk = cls(folder, f"control{n}")
        t = Trial(folder, disk, f"control{n}", idq or rig.IDQ)
        t.trial(0)
        caught += bool(t.bad) and idq is not None
        rig.note(f"control {name}: "
                 + (t.bad[0] if t.bad else "NOT CAUGHT"))
    return caught


def main(folder, _short):
    for name, disks, why in kinds(folder):
        target = "0 violations"
        if not disks:
            rig.figure(f"exhaustion, {name}", why, target, None)
            continue
        total, refused, bad = trials(folder, disks)
        rig.figure(f"exhaustion, {name}", f"{total} trials, {refused} refused,"
                   f" {len(bad)} violations", target, not bad)
    try:
        caught = controls(folder)
    except OSError as e:
        rig.figure("exhaustion, broken builds", str(e), "all", None)
        return
    rig.figure("exhaustion, broken builds", f"{caught} of 2 caught", "all",
               caught == 2)


if __name__ == "__main__":
    sys.exit(rig.main("exhaust", main))
