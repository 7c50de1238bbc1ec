# SPDX-License-Identifier: ISC
"""Let every call of every writing verb fail in every way, one at a time; then
run the next ordinary commands, and compare the queue with idq(5).

The commands and what follows them are those of killpoints.py.  A command that
fails counts there as killed: whoever called it was told nothing.
"""

import argparse
import errno
import glob
import os
import re
import signal
import subprocess
import sys
import traceback

import faults
import invariants
import killpoints

E = errno
READS = [E.EIO, E.EINTR]
WRITES = [E.EIO, E.ENOSPC, E.EDQUOT, E.EINTR]
OPENS = [E.EIO, E.EINTR, E.EMFILE]


def fail(*numbers):
    return [f"fail:{n}" for n in numbers]


def done(*numbers):
    return [f"done:{n}" for n in numbers]


FAULTS = {
    "write": fail(*WRITES) + done(E.EIO) + ["short", "full"],
    "pwrite": fail(*WRITES) + ["short"],
    "linkat": fail(*WRITES, E.EMLINK) + done(E.EEXIST, E.EIO),
    "renameat": fail(*WRITES) + done(E.ENOENT, E.EIO),
    "unlinkat": fail(E.EIO, E.EINTR) + done(E.ENOENT, E.EIO),
    "mkdirat": fail(*WRITES) + done(E.EEXIST, E.EIO),
    "mkdir": fail(*WRITES) + done(E.EEXIST, E.EIO),
    "fsync": fail(*WRITES),
    "fdatasync": fail(*WRITES),
    "ftruncate": fail(*WRITES) + done(E.EIO),
    "fchmod": fail(*WRITES),
    "sync_file_range": fail(*WRITES),
    "flock": fail(E.EIO, E.EINTR, E.ENOLCK),
    "read": fail(*READS),
    "pread": fail(*READS),
    "lseek": fail(E.EIO),
    "fstat": fail(E.EIO),
    "fstatat": fail(E.EIO),
    "stat": fail(E.EIO),
    "faccessat": fail(E.EIO),
    "readdir": fail(E.EIO),
    "fdopendir": fail(E.ENOMEM),
    "fcntl": fail(E.EMFILE),
    "close": done(E.EIO, E.EINTR, E.ENOSPC),
    "getrandom": fail(E.EIO),
    "pipe2": fail(E.EMFILE),
    "socketpair": fail(E.EMFILE),
    "memfd_create": fail(E.EMFILE, E.ENOSPC),
    "inotify_init1": fail(E.EMFILE),
    "inotify_add_watch": fail(E.ENOSPC),
    "signalfd": fail(E.EMFILE),
    "poll": fail(E.EINTR),
    "waitpid": [],               # never waits, so that it cannot be broken off
    "fork": fail(E.EAGAIN),
    "posix_spawnp": fail(E.EAGAIN, E.ENOMEM),
    "fflush": fail(E.EIO, E.ENOSPC),
}


def faults_of(call):
    if call.name == "openat":
        return fail(*OPENS) + (fail(E.ENOSPC, E.EDQUOT) + done(E.EIO)
                               if call.creat else [])
    return FAULTS[call.name]


# Verbs after whose success nothing may be unsynced that they wrote into jobs.
SYNCED = {"add", "ack", "fail", "release", "renew", "cancel", "hold", "unhold",
          "retry", "claim", "config", "pause", "forget", "purge"}
# To these a job goes once its last line is on disk.
TOLD = {"hold", "failed", "done", "cancelled", "expired"}
JOBS = TOLD | {"tmp", "keys", "new", "wait", "paced", "cur"}
# Exit codes of failures, by sysexits(3).
CODES = {69, 70, 73, 74, 75}


def keys_folder(path):
    m = re.search(r"keys/([0-9a-f]{2})(/|$)", path.split(" ")[-1])
    return m[1] if m else None


TRIES = 20                       # to meet a call again


class Ledger:
    """What of the files written so far is on disk, by the log of one command;
    complaints are collected in BAD."""

    def __init__(self, calls, left):
        self.left = left         # inodes that still have a name
        self.dirty = {}          # identity -> path
        self.shards = {}         # folder of keys -> what changed in it
        self.failed = {}         # identity -> Call, of failed syncs
        self.again = []
        self.bad = []
        for c in calls:
            self.take(c)

    def take(self, c):
        if c.name in ("write", "pwrite") and c.result > 0 and \
                c.place() in JOBS:
            self.dirty[c.ident] = c.path
        elif c.name == "ftruncate" and c.ok:
            # Taken back: what was there before had been synced.
            self.dirty.pop(c.ident, None)
        elif c.name in ("fsync", "fdatasync"):
            self.sync(c)
        elif c.name in ("linkat", "renameat", "unlinkat") and \
                (c.ok or c.fault == "done"):
            self.name(c)

    def sync(self, c):
        if c.ident in self.failed:
            self.again.append(c.path)
        if not c.ok:
            self.failed[c.ident] = c
            return
        self.dirty.pop(c.ident, None)
        self.shards.pop(keys_folder(c.path), None)

    def name(self, c):
        shard = keys_folder(c.path)
        if shard:
            self.shards[shard] = c.path
        if c.name != "renameat":
            return
        place = c.place()
        if c.ident in self.dirty and (
                place in TOLD or (c.path.startswith("tmp/")
                                  and place in ("new", "wait"))):
            self.bad.append(f"renamed without a sync: {c.path}")
        if c.path.startswith("tmp/") and place in ("new", "wait"):
            for path in self.shards.values():
                if path.split(" ")[0] == c.path.split(" ")[0]:
                    self.bad.append(f"renamed before its key: {c.path}")

    def unsynced(self):
        return [p for i, p in self.dirty.items()
                if i.split(".")[0] in self.left] + list(self.shards.values())


def promised(box, verb, hit):
    """Complaints about a command that ended with 0: what it says is not so."""
    queue = invariants.Queue(box.queue)
    job = queue.job("a")
    states = {"ack": "done", "fail": "pending failed", "release": "pending",
              "hold": "held", "retry": "pending",
              "unhold": "pending", "renew": "running"}
    state = job.state if job else "unknown"
    if verb in states and state not in states[verb].split():
        yield f"a is {state}"
    elif verb == "cancel" and state != "cancelled" and not (
            job and os.path.exists(f"{box.queue}/asked/{job.id}")):
        yield f"a is {state}, and nobody is asked"
    elif verb == "claim":
        tokens = hit.out.split()
        if len(tokens) != 1 or not any(
                f"{j.hash}.{j.id}.{j.claims}" == tokens[0]
                and j.state == "running" for j in queue.jobs()):
            yield f"claimed {hit.out!r}"
    elif verb == "run" and box.state("r") != "done":
        yield f"r is {box.state('r')}"
    elif verb == "forget" and job:
        yield f"a is {state}"
    elif verb in ("pause", "resume") and \
            os.path.exists(f"{box.queue}/paused") != (verb == "pause"):
        yield "paused is not as it should be"
    elif verb == "init" and not os.path.exists(f"{box.queue}/format"):
        yield "there is no queue"
    elif verb == "config":
        with open(f"{box.queue}/config", encoding="utf-8") as f:
            if f.read() != "keep 3d\n":
                yield "the config is not as it should be"


def words(hit, verb, natural):
    """Complaints about the message of a command that failed."""
    lines = hit.err.split("\n")
    if lines.pop():
        yield f"its last line has no end: {hit.err!r}"
    if hit.code in (0, natural) or (verb == "run" and hit.code == 75):
        return
    if not lines and not (hit.code == 1 and hit.out):
        yield f"exit {hit.code} without a word"
    if len(lines) > 1 and len(set(lines)) < len(lines):
        yield f"says a thing twice: {hit.err!r}"
    for line in lines:
        if not line.startswith(("idq: ", "q: ")) or \
                re.search(r"Success|\(null\)|^idq: \w+: *$", line):
            yield f"message {line!r}"


def codes(verb, natural):
    if verb == "run":
        return {0, natural, 75, 125}
    if verb == "work":
        return CODES | {0, natural, 126, 127}
    if verb in ("claim", "fsck"):
        return CODES | {0, natural, 1}
    return CODES | {0, natural}


class Tally:
    """The figures of a rig."""

    def __init__(self):
        self.points = 0
        self.missed = 0
        self.false = 0
        self.lost = 0
        self.other = 0
        self.syncs = 0           # that failed
        self.again = 0
        self.caveat = 0          # of a last line, by a later command

    def add(self, r):
        for name, n in vars(r).items():
            setattr(self, name, getattr(self, name) + n)


def verdict(box, verb, natural, hit, calls):
    """Judge a command and its log, before anything follows it."""
    t = Tally()
    t.points = 1
    ledger = Ledger(calls, box.inodes())
    t.syncs = len(ledger.failed)
    t.again = len(ledger.again)
    for path in ledger.again:
        box.say(f"synced again: {path}")
    for line in ledger.bad:
        box.say(line)
    if hit.code not in codes(verb, natural):
        box.say(f"exit {hit.code}: {hit.err.strip()}")
    for line in words(hit, verb, natural):
        box.say(line)
    if hit.code != 0 and verb == "claim" and hit.out:
        box.say(f"exit {hit.code}, and prints {hit.out!r}")
    if hit.code == 0:
        lies = list(promised(box, verb, hit))
        if verb in SYNCED:
            lies += [f"not on disk: {p}" for p in ledger.unsynced()]
        for line in lies:
            box.say(f"exit 0, but {line}")
        t.false = int(bool(lies))
    return t, ledger


def later_syncs(box, ledger, t):
    """Syncs by later commands of files whose sync had failed."""
    for c in faults.read_log(box.later):
        if c.name != "fsync" or c.ident not in ledger.failed:
            continue
        # A folder is everybody's, and is synced for other names, too.
        if os.path.isdir(c.path):
            continue
        if ledger.failed[c.ident].place() != "tmp":
            t.caveat += 1
        else:
            t.again += 1
            box.say(f"synced again by another command: {c.path}")


def forgive(box):
    """A line of the log or of a file of duplicates that was cut off does no
    harm: readers of the log pass over it and the one that follows it, and the
    next duplicate mends the other."""
    for c in faults.read_log(box.log):
        if c.fault != "-" and c.place() in ("log", "dups"):
            rx = r"(killed|settled): log/" if c.place() == "log" else \
                r"killed: dups/"
            box.bad = [b for b in box.bad if not re.match(rx, b)]


def try_again(box):
    """What a person would do.  A command that could not be started was an
    attempt, and its job waits for the next one."""
    for job in invariants.Queue(box.queue).jobs():
        if job.last and job.last.event == "failed" and not job.final and \
                job.last.fields.get("exit") == "126":
            box.idq("retry", job.key)
    # Its sync failed: until the next boot a duplicate replaces it.  An init
    # that failed may have made no such folder.
    for path in glob.glob(f"{box.queue}/tmp/*.bad"):
        with open(path, "rb") as f:
            job = invariants.Job(f.read())
        with open(f"{box.path}/again", "wb") as f:
            f.write(job.payload)
        box.idq("add", "-k", job.key, "--payload", "again", "--",
                *map(os.fsdecode, job.args))


def count(box, c):
    """The calls of a case when none of them fails."""
    box.restore(c.snap)
    if c.before:
        c.before(box)
    r = box.run_at(0, "stop", c.argv, c.stdin, c.env)
    if c.before:
        box.open_gate()
        box.finish(box.background, "a worker")
    box.kill_orphans()
    c.natural = r.code
    return faults.read_log(box.log)


def which(box, calls):
    """Of each call what it is, whatever comes before it: {K: (name, path, the
    how manyth of these)}."""
    seen, found = {}, {}
    for c in calls:
        path = c.path.replace(box.path, "")
        shape = c.name, re.sub(r"[0-9a-f]{16,}|\d+", "N", path)
        seen[shape] = seen.get(shape, 0) + 1
        found[c.k] = *shape, seen[shape]
    return found


def aim(box, c, k):
    """Where call K is by the last count: it, or the last of its kind if there
    are fewer, such as looks at a folder of a minute that is over."""
    *kind, n = c.which[k]
    where = box.aims.get(c)
    while where and n > 1 and (*kind, n) not in where:
        n -= 1
    return where.get((*kind, n), k) if where else k


def hit_point(box, c, k, fault, name):
    """Run a case with FAULT at its call K, which is to be one of NAME.  If it
    is not, this time it waits for something, or does so no more: count anew."""
    for _ in range(TRIES):
        box.restore(c.snap)
        if c.before:
            c.before(box)
        hit = box.run_at(aim(box, c, k), fault, c.argv, c.stdin, c.env)
        calls = faults.read_log(box.log)
        if any(c.fault != "-" and c.name == name for c in calls):
            return hit, calls, 0
        box.stop_background()
        box.kill_orphans()
        box.aims[c] = {v: n for n, v in which(box, count(box, c)).items()}
    return hit, calls, 1


def try_point(box, c, k, fault, name):
    """Run a case with FAULT at its call K, and judge it."""
    hit, calls, missed = hit_point(box, c, k, fault, name)
    if missed:
        t = Tally()
        t.points = t.missed = 1
        return t
    # The one whose end nobody was told of.
    hit.killed = hit.code != 0
    acked = c.keys if hit.code == 0 else []
    t, ledger = verdict(box, c.argv[1], c.natural, hit, calls)
    if not c.broken:
        box.check(False, acked)
    t.lost = int(any("acknowledged and lost" in b for b in box.bad))
    try_again(box)
    c.after(box, hit)
    box.stop_background()
    box.kill_orphans()
    box.check(True, c.keys)
    later_syncs(box, ledger, t)
    if fault in ("short", "full"):
        forgive(box)
    t.lost |= int(any("acknowledged and lost" in b for b in box.bad))
    t.other = int(bool(box.bad) and not (t.false or t.lost or t.again))
    return t


def trace(box, c):
    """The points of a case: (K, fault) for each call and all that may befall
    it.  One that waited for something has more calls than the next one: it is
    counted until two in a row agree."""
    calls = []
    for _ in range(TRIES):
        last, calls = calls, count(box, c)
        if [call.name for call in last] == [call.name for call in calls]:
            break
    c.which = which(box, calls)
    points, looks = [], 0
    for call in calls:
        # Where it cannot complain, it does not.
        if call.path == f"{box.path}/err":
            continue
        look = call.name in ("readdir", "openat", "fdopendir", "fstat",
                             "close", "fcntl", "fstatat", "read", "pread") \
            and not call.creat
        looks = looks + 1 if look else 0
        if looks % c.looks:
            continue
        points += [(call.k, f, call.name) for f in faults_of(call)]
    return points


WORKDIR = None
READY = []                       # (name, Case)
BOX = None
# Of the short form.
SHORT_EVERY = 3
SHORT = ("add: then the same add", "add: duplicate",
         "work: and its command is killed", "claim: then workers", "ack")
# What a signal does is no matter of errors.
NOT = ("work: told to stop",)


def ready(box, names, wanted):
    """Make the templates of the cases; returns what went wrong."""
    bad = []
    box.restore(([(".", 0o700)], [], ""))
    box.idq("init")
    box.drain()
    empty = box.snapshot()
    for name, short, function in killpoints.CASES:
        if name in NOT or not wanted(name, short) or (
                names and not any(n in name for n in names)):
            continue
        box.restore(empty)
        try:
            c = function(box)
            c.snap = box.snapshot()
            c.points = trace(box, c)
        except Exception:
            box.say(traceback.format_exc())
        if box.bad:
            bad += [f"{name}: {line}" for line in box.bad]
        else:
            READY.append((name, c))
    return bad


def worker_starts():
    global BOX
    killpoints.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    BOX = faults.Box(f"{WORKDIR}/{os.getpid()}")


def work(task):
    number, point = task
    name, c = READY[number]
    try:
        t = try_point(BOX, c, *c.points[point])
    except Exception:
        BOX.say(traceback.format_exc())
        t = Tally()
        t.points = t.other = 1
    return number, point, t, BOX.bad


# A broken build, the case that has to see it, and the kind of call.
CONTROLS = (
    ("sync-ignored", "add: then the same add", "fsync", "not on disk"),
    ("link-believed", "add: then the same add", "linkat", ""),
    ("write-once", "add: then the same add", "write", ""),
    ("sync-again", "add: then the same add", "fsync", "synced again"),
)


def control(box, name, case, call, expected):
    """Whether a broken build is caught."""
    try:
        box.program = faults.broken(name, WORKDIR)
    except subprocess.CalledProcessError as e:
        print(f"  {name}: {e.stderr.decode()}", file=sys.stderr)
        return False
    function = next(f for n, _, f in killpoints.CASES if n == case)
    box.restore(([(".", 0o700)], [], ""))
    box.idq("init")
    box.drain()
    c = function(box)
    c.snap = box.snapshot()
    for k, fault, what in trace(box, c):
        if what != call:
            continue
        try_point(box, c, k, fault, what)
        if any(expected in line for line in box.bad):
            return True
    print(f"  {name}: not caught", file=sys.stderr)
    return False


def report(t, caught, of):
    lines = (
        ("error points", f"{t.points:,} points, {t.missed} missed, {t.other} "
         "violations", "0 missed, 0 violations",
         t.points and not t.missed and not t.other),
        ("false successes", f"{t.false} false successes, {t.lost} lost",
         "0 false successes, 0 lost", not t.false and not t.lost),
        ("failed syncs", f"{t.syncs:,} failed, {t.again} of them repeated, "
         f"{t.caveat} of a last line synced by the next command",
         "0 repeated", t.syncs and not t.again),
        ("error controls", f"{caught} of {of} caught", f"{of} of {of}",
         caught == of))
    return all([faults.put(*line) for line in lines])


def show(number, results):
    """Print the figures of a case."""
    name, c = READY[number]
    broken = [(point, bad) for point, _, bad in results if bad]
    missed = [point for point, t, _ in results if t.missed]
    print(f"{name:44} {len(results):5} points, {len(broken)} violations"
          + (f", {len(missed)} missed" if missed else ""), file=sys.stderr,
          flush=True)
    for point in missed[:40]:
        k, fault, call = c.points[point]
        print(f"  {call} {k} {fault}: missed: {' '.join(map(str, c.which[k]))}",
              file=sys.stderr)
    for point, bad in broken[:40]:
        k, fault, call = c.points[point]
        for line in bad[:6]:
            print(f"  {call} {k} {fault}: {line}", file=sys.stderr)


def main():
    global WORKDIR
    p = argparse.ArgumentParser(prog="errors")
    p.add_argument("--short", action="store_true",
                   help="each so many-th point of add, work, claim and ack")
    p.add_argument("--every", type=int, metavar="N",
                   help="only each so many-th point")
    p.add_argument("-j", type=int, default=2 * os.cpu_count(), metavar="N")
    p.add_argument("name", nargs="*", help="part of the name of a case")
    args = p.parse_args()
    every = args.every or (SHORT_EVERY if args.short else 1)
    with faults.workdir("errors") as WORKDIR:
        try:
            faults.build(WORKDIR)
        except faults.Skip as e:
            print(f"error points\t{e}\t0 violations\tSKIP")
            return 0
        controls = CONTROLS[:3] if args.short else CONTROLS
        box = faults.Box(f"{WORKDIR}/control")
        caught = sum(control(box, *one) for one in controls)
        bad = ready(faults.Box(f"{WORKDIR}/template"), args.name,
                    (lambda n, s: n in SHORT) if args.short
                    else lambda n, s: True)
        for line in bad:
            print(line, file=sys.stderr)
        for _, c in READY:
            c.points = c.points[::every]
        tasks = [(i, k) for i, (_, c) in enumerate(READY)
                 for k in range(len(c.points))]
        print(f"{len(tasks)} points", file=sys.stderr)
        total = Tally()
        for t in faults.run_all(tasks, args.j, worker_starts, work, show):
            total.add(t)
        total.other += len(bad)
        return 0 if report(total, caught, len(controls)) else 1


if __name__ == "__main__":
    sys.exit(main())
