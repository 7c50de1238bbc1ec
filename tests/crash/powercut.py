# SPDX-License-Identifier: ISC
"""Cuts the power under load; see powercut."""

import argparse
import fcntl
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from multiprocessing import get_context

import killpoints
import power

SHUTDOWN = 0x8004587d            # _IOR('X', 125, __u32), ext4 and xfs
NOLOGFLUSH = struct.pack("I", 2)
ROLES = ("add add twin twin care killed batch work work claim claim retry "
         "forget purge reuse hold cancel run").split()
CUTS = {"ext4": 500, "xfs": 300, "btrfs": 100}
SHORT = {"ext4": 16, "xfs": 10, "btrfs": 6}

# A defect, the load that shows it, and the word of what is found.  The short
# form does three of them, and blocklog the others.
CONTROLS = [
    ("add-unsynced", ("add", "add"), ("lost", "torn")),
    ("keys-unsynced", ("forget",), ("lost",)),
    ("finish-unsynced", ("claim",), ("lost", "rerun")),
    ("finish-unsynced", ("work",), ("lost", "rerun")),
    ("add-unsynced", ("batch",), ("lost", "torn")),
    ("complete-unsynced", ("killed",), ("lost", "torn")),
    ("keys-unsynced", ("purge",), ("lost",)),
    ("retry-unsynced", ("retry",), ("lost",)),
]

FOLDER = ""
BAD = ""
HERE = None                      # of a process of the pool


class Place:
    """The folder of a process, its boot, and its disks by file system."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(dir=FOLDER)
        self.boot = power.Boot(self.folder)
        killpoints.adopt_orphans()

    def template(self, fs, sync):
        """Two mounted copies of one btrfs would be taken for one."""
        first = f"{FOLDER}/{fs}.{sync}"
        if fs != "btrfs":
            return first
        own = f"{self.folder}/{fs}.{sync}"
        if not os.path.exists(own):
            power.sh("cp", "--sparse=always", first, own)
            power.sh("btrfstune", "-f", "-m", own)
        return own


def begin():
    global HERE                  # pylint: disable=global-statement
    # The rig's own process ends this one, and then what it has started.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    HERE = Place()


def wait_for_acks(acks, wanted):
    """Until the load has had WANTED answers, or there are no more."""
    end = time.monotonic() + 5
    last, since = -1, time.monotonic()
    while True:
        with open(acks, "rb") as f:
            n = sum(1 for line in f if b"?" not in line)
        if n != last:
            last, since = n, time.monotonic()
        if n >= wanted or time.monotonic() > end or \
                (n and time.monotonic() - since > 0.2):
            return
        time.sleep(0.001)


def shut_down(disk, acks):
    """Cut the power; returns the length of the acknowledgements before."""
    fd = os.open(disk.mnt, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # What is said after this may rest on a sync that did nothing.
        length = os.stat(acks).st_size
        fcntl.ioctl(fd, SHUTDOWN, NOLOGFLUSH)
    finally:
        os.close(fd)
    power.kill_all()
    disk.umount()
    return length


def copy_away(disk, acks):
    """The disk as it is, with the load stopped, becomes the disk."""
    power.freeze_all()
    length = os.stat(acks).st_size
    power.sh("cp", "--sparse=always", disk.path, f"{disk.path}.cut")
    power.kill_all()
    disk.umount()
    os.rename(f"{disk.path}.cut", disk.path)
    return length


def one_cut(fs, sync, number, idq=killpoints.IDQ, roles=None):
    """(acknowledged, (lost, rerun, torn, others))."""
    rng = random.Random(number)
    place = HERE
    place.boot.again()
    disk = power.Disk(f"{place.folder}/{fs}", fs)
    try:
        disk.copy(place.template(fs, sync))
        disk.mount()
        spool = power.Spool(place.folder, disk.mnt, idq)
        load = list(roles or ROLES)
        if roles is None and number % 2:
            load = ["work"] + rng.sample(ROLES, 4)
        for i, role in enumerate(load):
            start(spool, role, f"{role}-{i}")
        if roles and "claim" in roles or roles == ("work",):
            start(spool, "add", "add-x")
        wait_for_acks(spool.acks, rng.randint(1, 12 * len(load)))
        length = (copy_away if fs == "btrfs" else shut_down)(disk, spool.acks)
        starts = spool.text(spool.runs)
        acks = spool.text(spool.acks)
        said = power.Said(acks[:length], acks)
        keep = f"{disk.path}.kept"
        if idq == killpoints.IDQ:
            power.sh("cp", "--sparse=always", disk.path, keep)
        place.boot.again()
        disk.mount()
        found = power.after_cut(spool, said, number % 4 < 2, starts)
        disk.umount()
        if any(found) and os.path.exists(keep):
            save(keep, f"{fs}-{sync}-{number}", acks, length)
        return said.count(), found
    finally:
        power.kill_all()
        disk.drop()


def start(spool, role, name):
    with open(os.devnull, "r+b") as null:
        subprocess.Popen([power.LOAD, role, name], env=spool.env, stdin=null,
                         stdout=null, stderr=null, start_new_session=True)


def save(disk, name, acks, length):
    """For whoever wants to look: the disk after the cut, and what was said."""
    if len(os.listdir(BAD)) < 8:
        power.sh("cp", "--sparse=always", disk, f"{BAD}/{name}.img")
        with open(f"{BAD}/{name}.acks", "w", encoding="utf-8") as f:
            f.write(acks[:length])


def work(task):
    try:
        return task, *one_cut(*task)
    except Exception:            # pylint: disable=broad-except
        return task, 0, ([], [], [], [traceback.format_exc()])


def cut_many(pool, fs, count):
    tally = power.Tally()
    tasks = [(fs, "file" if i % 3 == 2 else "full", i) for i in range(count)]
    for task, acked, found in pool.imap_unordered(work, tasks):
        tally.take(f"{fs}, sync {task[1]}, cut {task[2]}", acked, found)
        if tally.cuts % 50 == 0:
            power.progress(f"{fs}: {tally.words('cuts')}")
    return tally


def control(pool, fs, defect, idq, roles, kinds):
    """The number of cuts until it was found, or None."""
    names = ("lost", "rerun", "torn", "others")
    for first in range(0, 40, 2):
        tasks = [(fs, "full", i, idq, roles) for i in (first, first + 1)]
        for task, _, found in pool.map(work, tasks):
            if any(lines and name in kinds
                   for name, lines in zip(names, found)):
                return task[2] + 1
            if found[3]:
                power.progress(f"  {defect}, {fs}: {found[3][:2]}")
    power.progress(f"  control not caught: {defect}, {fs}, {roles}")
    return None


def run_controls(pool, usable, short, figures):
    programs = {}
    caught = total = 0
    for number, (defect, roles, kinds) in enumerate(
            CONTROLS[:3] if short else CONTROLS):
        for i, fs in enumerate(usable):
            if short and number % len(usable) != i:
                continue
            if defect not in programs:
                programs[defect] = power.broken(FOLDER, defect)
            n = control(pool, fs, defect, programs[defect], roles, kinds)
            power.progress(f"control {defect} with {' '.join(roles)} on {fs}: "
                           + (f"caught by cut {n}" if n else "NOT caught"))
            total += 1
            caught += n is not None
    figures.judge("power cuts: defects",
                  f"{caught} of {total} caught", f"{total} of {total}",
                  caught == total > 0)


def main():
    global FOLDER, BAD           # pylint: disable=global-statement
    p = argparse.ArgumentParser(prog="powercut")
    p.add_argument("--short", action="store_true")
    p.add_argument("-n", type=int, help="cuts per file system")
    p.add_argument("-j", type=int, default=2, help="processes")
    p.add_argument("--no-controls", action="store_true")
    p.add_argument("--fs", default=",".join(power.FILE_SYSTEMS))
    args = p.parse_args()
    figures = power.Figures()
    # Then nothing that a process of the pool has started outlives this.
    killpoints.adopt_orphans()
    FOLDER = power.work_folder("powercut")
    BAD = tempfile.mkdtemp(prefix="idq-powercut-bad.")
    try:
        usable = []
        for fs in args.fs.split(","):
            why = power.missing(fs)
            if why:
                figures.line(f"power cuts, {fs}", f"not run: {why}",
                             power.Tally.TARGET, "SKIP")
                continue
            usable.append(fs)
            power.templates(FOLDER, fs)
        with get_context("fork").Pool(args.j, begin) as pool:
            if not args.no_controls:
                run_controls(pool, usable, args.short, figures)
            for fs in usable:
                count = args.n or (SHORT if args.short else CUTS)[fs]
                tally = cut_many(pool, fs, count)
                figures.judge(f"power cuts, {fs}", tally.words("cuts"),
                              f"{count} cuts, {tally.TARGET}",
                              tally.good() and tally.cuts >= count)
    finally:
        power.kill_all()
        power.drop_folder(FOLDER)
        if os.listdir(BAD):
            power.progress(f"disks of violations: {BAD}")
        else:
            os.rmdir(BAD)
    return 1 if figures.failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    sys.exit(main())
