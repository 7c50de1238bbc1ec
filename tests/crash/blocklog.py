# SPDX-License-Identifier: ISC
"""Replays a disk's log of writes up to any point; see blocklog."""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from multiprocessing import get_context

import killpoints
import power

BLOCK = 4096
OPS = ("add", "duplicate", "ack", "retry", "purge", "replace")
SYNCS = ("full", "file")
POINTS = 84                      # of each combination
SHORT_POINTS = 6
CONTROL_POINTS = 12
MODES = ("flushed", "prefix", "half", "half")

# A defect, and the commands that show it.  The short form does three of them.
CONTROLS = [
    ("add-unsynced", "add"),
    ("complete-unsynced", "duplicate"),
    ("retry-unsynced", "retry"),
    ("finish-unsynced", "ack"),
    ("keys-unsynced", "purge"),
]

FOLDER = ""
HERE = None                      # of a process of the pool


def begin():
    global HERE                  # pylint: disable=global-statement
    # The rig's own process ends this one, and then what it has started.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    HERE = tempfile.mkdtemp(dir=FOLDER)
    boot = power.Boot(HERE)
    killpoints.adopt_orphans()
    begin.boot = boot


class Marks:
    """The lines that a scenario says, each in its place among the blocks."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_WRONLY)

    def say(self, words):
        os.write(self.fd, f"{words}\n".encode())


class Scenario:
    """Commands on the queue; what they said is marked."""

    def __init__(self, spool, marks):
        self.spool = spool
        self.mark = marks.say

    def one(self, verb, word, key, *args):
        """A verb about KEY, and that it was done."""
        if word in ("added", "gone"):
            self.mark({"added": "add?", "gone": "gone?"}[word] + f" {key}")
        self.spool.run(verb, *args)
        self.mark(f"{word} {key}")

    def adds(self, key, size="PAYLOAD", *options):
        self.one("add", "added", key, "-k", key, "--payload",
                 self.spool.env[size], *options)

    def killed(self, key):
        """An add that ends before its first sync."""
        self.mark(f"add? {key}")
        subprocess.run(
            ["strace", "-qq", "-o", "/dev/null", "-e",
             "inject=fsync:signal=KILL:when=1", self.spool.idq, "add", "-q",
             self.spool.queue, "-k", key, "--payload",
             self.spool.env["LARGE"]],
            env=self.spool.env, check=False, stderr=subprocess.DEVNULL)

    def add(self):
        for i in range(3):
            self.adds(f"add-{i}")
        self.adds("killed-large", "LARGE")
        keys = [f"batch-{i}" for i in range(6)]
        for key in keys:
            self.mark(f"add? {key}")
        self.spool.run("add", "--batch", stdin="".join(
            f"{key}\tpayload of {key}\n" for key in keys))
        for key in keys:
            self.mark(f"added {key}")

    def duplicate(self):
        """A producer dies before its sync, and the next has the answer."""
        for i in range(4):
            self.killed(f"killed-{i}")
            self.adds(f"killed-{i}", "LARGE")
        self.adds("killed-0", "LARGE")

    def ack(self):
        for i in range(5):
            self.adds(f"add-{i}")
        for _ in range(3):
            token = self.spool.run("claim", "--lease", "1h").strip()
            self.one("ack", "done", token.split(".")[0], token)
        for _ in range(2):
            out = self.spool.run("work", "--once", "-v", "--",
                                 power.COMMAND)
            self.mark(f"done {out.split()[1]}")

    def retry(self):
        for i in range(1, 4):
            self.one("retry", "retried", f"retry-{i}", f"retry-{i}")
        for i in range(1, 3):
            self.one("hold", "held", f"hold-{i}", f"hold-{i}")
            self.one("cancel", "cancelled", f"cancel-{i}", f"cancel-{i}")

    def purge(self):
        for i in range(1, 4):
            self.one("forget", "gone", f"forget-{i}", f"forget-{i}")
            self.one("purge", "gone", f"purge-{i}", f"purge-{i}")
        rest = [f"purge-{i}" for i in range(4, power.SEEDS + 1)]
        for key in rest:
            self.mark(f"gone? {key}")
        self.spool.run("purge")
        for key in rest:
            self.mark(f"gone {key}")

    def replace(self):
        for i in range(1, power.SEEDS + 1):
            self.adds(f"reuse-{i}", "PAYLOAD", "--reuse", "final")


def wait_for(path):
    end = time.monotonic() + power.DEADLINE
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise OSError(f"waited for {path}")
        time.sleep(0.002)


def record(fs, base, op, idq):
    """Run OP on a disk like BASE; returns the records of its log."""
    log = f"{base}.log"
    fuse = f"{base}.fuse"
    disk = power.Disk(base, fs)
    os.makedirs(fuse, exist_ok=True)
    if os.path.exists(log):
        os.unlink(log)
    daemon = subprocess.Popen([f"{FOLDER}/blockfile", base, log, fuse])
    loop = None
    try:
        wait_for(f"{fuse}/disk")
        loop = power.sh("losetup", "--show", "-f", f"{fuse}/disk").strip()
        options = disk.options.replace("loop", "").strip(",") or "rw"
        power.sh("mount", "-t", fs, "-o", options, loop, disk.mnt)
        disk.mounted = True
        spool = power.Spool(HERE, disk.mnt, idq)
        marks = Marks(f"{fuse}/mark")
        getattr(Scenario(spool, marks), op)()
        os.close(marks.fd)
        # What the unmount writes is not of the log.
        length = os.stat(log).st_size
        if spool.bad:
            raise OSError(f"{op}: {spool.bad}")
        return list(parse(log, length))
    finally:
        disk.umount()
        if loop:
            power.sh("losetup", "-d", loop)
        if os.path.ismount(fuse):
            power.umount(fuse)
        daemon.wait(power.DEADLINE)


def parse(log, length):
    """(kind, offset, data) of each record."""
    with open(log, "rb") as f:
        data = f.read(length)
    at = 0
    while at < len(data):
        end = data.index(b"\n", at)
        kind, *numbers = data[at:end].decode().split()
        at = end + 1
        n = int(numbers[-1]) if numbers else 0
        yield kind, int(numbers[0]) if kind == "W" else 0, data[at:at + n]
        at += n


def choose(records, count, rng):
    """COUNT points: after how many records, and which mode.  First those right
    after an answer, with only what was flushed by then."""
    first = [(i + 1, "flushed") for i, r in enumerate(records)
             if r[0] == "M" and b"? " not in r[2]]
    rng.shuffle(first)
    others = [(i, mode) for i in range(1, len(records) + 1)
              for mode in MODES]
    rng.shuffle(others)
    first = first[:count // 4]
    return first + others[:count - len(first)]


def build(disk, base, records, point, rng):
    """The disk as a cut at the point would have left it."""
    n, mode = point
    disk.copy(base)
    flushed = max((i for i in range(n) if records[i][0] == "F"), default=-1)
    with open(disk.path, "r+b") as f:
        for i in range(n):
            kind, offset, data = records[i]
            if kind != "W":
                continue
            if i < flushed or mode == "prefix":
                f.seek(offset)
                f.write(data)
            elif mode == "half":
                for at in range(0, len(data), BLOCK):
                    if rng.random() < 0.5:
                        f.seek(offset + at)
                        f.write(data[at:at + BLOCK])


def try_point(disk, base, records, point, rng, number):
    """(acknowledged, found) at a point."""
    build(disk, base, records, point, rng)
    marks = b"".join(r[2] for r in records[:point[0]]
                     if r[0] == "M").decode()
    said = power.Said(marks, marks)
    begin.boot.again()
    disk.mount()
    try:
        spool = power.Spool(HERE, disk.mnt)
        return said.count(), power.after_cut(spool, said, number % 2, "")
    finally:
        power.kill_all()
        disk.umount()


def combination(task):
    """All points of one; returns the task, and (where, acked, found) each."""
    fs, sync, op, count, idq = task
    results = []
    base = f"{HERE}/{fs}.base"
    disk = power.Disk(f"{HERE}/{fs}", fs)
    try:
        rng = random.Random(f"{fs} {sync} {op}")
        power.sh("cp", "--sparse=always", f"{FOLDER}/{fs}.{sync}", base)
        if fs == "btrfs":
            power.sh("btrfstune", "-f", "-m", base)
        begin.boot.again()
        records = record(fs, base, op, idq or killpoints.IDQ)
        for number, point in enumerate(choose(records, count, rng)):
            where = f"{fs}, sync {sync}, {op}, record {point[0]} of " \
                f"{len(records)}, {point[1]}"
            results.append((where, *try_point(disk, base, records, point, rng,
                                              number)))
    except Exception:            # pylint: disable=broad-except
        results.append((f"{fs}, sync {sync}, {op}", 0,
                        ([], [], [], [traceback.format_exc()])))
    finally:
        disk.drop()
    return task, results


def run_controls(pool, usable, short, figures):
    tasks = []
    for i, (defect, op) in enumerate(CONTROLS[:3] if short else CONTROLS):
        idq = power.broken(FOLDER, defect)
        for k, fs in enumerate(usable):
            if not short or i % len(usable) == k:
                tasks.append((fs, "full", op, CONTROL_POINTS, idq))
    caught = 0
    for task, results in pool.imap_unordered(combination, tasks):
        names = sum(bool(f[0] or f[1] or f[2]) for _, _, f in results)
        caught += names > 0
        power.progress(f"control {task[4].split('/')[-3]}, {task[2]} on "
                       f"{task[0]}: {names} of {len(results)} points")
        for _, _, f in results:
            if not names and f[3]:
                power.progress(f"  {f[3][:2]}")
    figures.judge("block log: defects", f"{caught} of {len(tasks)} caught",
                  f"{len(tasks)} of {len(tasks)}",
                  caught == len(tasks) > 0)


def run_points(pool, usable, args, figures):
    count = args.n or (SHORT_POINTS if args.short else POINTS)
    tasks = [(fs, sync, op, count, None)
             for f, fs in enumerate(usable) for s, sync in enumerate(SYNCS)
             for o, op in enumerate(OPS)
             if not args.short or (o + f + 2 * s) % 4 == 0]
    tallies = {fs: power.Tally() for fs in usable}
    wanted = {fs: count * sum(t[0] == fs for t in tasks) for fs in usable}
    for task, results in pool.imap_unordered(combination, tasks):
        tally = tallies[task[0]]
        for where, acked, found in results:
            tally.take(where, acked, found)
        power.progress(f"{', '.join(task[:3])}: {len(results)} points")
    for fs, tally in tallies.items():
        figures.judge(f"block log, {fs}", tally.words("points"),
                      f"{wanted[fs]:,} points, {tally.TARGET}",
                      tally.good() and tally.cuts >= wanted[fs])


def compile_blockfile():
    """Whether it could be compiled."""
    r = subprocess.run(
        ["cc", "-O2", "-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", "-o",
         f"{FOLDER}/blockfile", f"{power.HERE}/blockfile.c", "-lfuse3"],
        check=False, stderr=subprocess.PIPE, text=True)
    return r.returncode == 0


def main():
    global FOLDER                # pylint: disable=global-statement
    p = argparse.ArgumentParser(prog="blocklog")
    p.add_argument("--short", action="store_true")
    p.add_argument("-n", type=int, help="points per combination")
    p.add_argument("-j", type=int, default=2, help="processes")
    p.add_argument("--fs", default=",".join(power.FILE_SYSTEMS))
    args = p.parse_args()
    power.SEEDS = 5
    figures = power.Figures()
    # Then nothing that a process of the pool has started outlives this.
    killpoints.adopt_orphans()
    FOLDER = power.work_folder("blocklog")
    try:
        if not compile_blockfile():
            figures.line("block log", "not run: libfuse3-dev is missing",
                         power.Tally.TARGET, "SKIP")
            return 0
        usable = []
        for fs in args.fs.split(","):
            why = power.missing(fs)
            if why:
                figures.line(f"block log, {fs}", f"not run: {why}",
                             power.Tally.TARGET, "SKIP")
                continue
            usable.append(fs)
            power.templates(FOLDER, fs)
        with get_context("fork").Pool(args.j, begin) as pool:
            run_controls(pool, usable, args.short, figures)
            run_points(pool, usable, args, figures)
    finally:
        power.kill_all()
        power.drop_folder(FOLDER)
    return 1 if figures.failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    sys.exit(main())
