# SPDX-License-Identifier: ISC
"""Stop one idq before each of its calls, let another run to its end meanwhile,
and let the first go on; then compare what both said, and the queue with idq(5).

One that waits for the lock of the stopped one is waited for a little; then the
first goes on beside it.  At each so many-th point it is left to lose patience.
"""

import argparse
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import faults
import invariants
import killpoints
from killpoints import (ADD, COMMAND, LATER, RUN, WORK, argv,
                        wait_for_release)
from spools import h

PATIENCE = 0.4                   # above the 0.2 s for the lock of a group
LOCK_WAIT = 40                   # above the 5 s for a job's, which are naps
LEAVE = 25                       # of the points at which one waits
TRIES = 10                       # to come to a call again


class Pair:
    """X and Y are the arguments of two commands; TRUTH(box, x, y) judges how
    they ended, and brings the queue to rest.  KEYS are those they add."""

    def __init__(self, x, y, truth, keys=()):
        self.x = x
        self.y = y
        self.truth = truth
        self.keys = keys
        self.snap = None


PAIRS = []


def pair(name, short=False):
    """Register a function that makes a queue in a box ready and returns the
    Pair."""
    def register(function):
        PAIRS.append((name, short, function))
        return function
    return register


def one_of(box, what, r, *codes):
    """R ended with one of CODES, or with 75 and a word; whether with 0."""
    if r.code == 75 and r.err.strip():
        r.put_off = True
    elif r.code not in codes:
        box.say(f"{what}: exit {r.code}: {r.err.strip()}")
    return r.code == 0


def outcome(box, what, r):
    """`added', `duplicate', or nothing if it was put off."""
    one_of(box, what, r, 0)
    found = r.out.split("\t")[0] if r.code == 0 else ""
    if r.code == 0 and found not in ("added", "duplicate"):
        box.say(f"{what}: says {r.out!r}")
    return found


def token_of(box, r):
    """The token of a claim, or an empty string."""
    one_of(box, "claim", r, 0, 1)
    token = r.out.strip()
    if (r.code == 0) != bool(re.fullmatch(r"[0-9a-f.]+", token)):
        box.say(f"claim: exit {r.code}, says {r.out!r}")
    return token


def rest(box, key, ran, state="done"):
    """Everything due runs; then KEY is in STATE and ran RAN times in all."""
    box.drain()
    box.idq("fsck")
    box.check(True)
    box.expect(key, state, ran)


def acked(box, token):
    """The holder of TOKEN ends its job."""
    box.idq("ack", token)


CLAIM = argv("claim", "--lease", "1h")
ADD_V = argv("add", "-v", *ADD)


@pair("add and add", short=True)
def _(_box):
    def truth(box, x, y):
        said = [outcome(box, "add", r) for r in (x, y)]
        if said.count("added") != 1:
            box.say(f"adds of one key: {said}")
        rest(box, "a", 1)
    return Pair(ADD_V, ADD_V, truth, ["a"])


@pair("add and purge", short=True)
def _(box):
    def truth(box, x, y):
        if outcome(box, "add", x) == "duplicate":
            box.say("a duplicate of a key that is released")
        one_of(box, "purge", y, 0)
        if x.code == 0:
            box.check(False, ["a"])
            rest(box, "a", 2)
        else:
            rest(box, "a", 1, "unknown")
    box.add("a", "--keep", "1s")
    box.drain()
    wait_for_release(box, "a")
    return Pair(ADD_V, argv("purge"), truth)


@pair("add and claim", short=True)
def _(_box):
    def truth(box, x, y):
        outcome(box, "add", x)
        token = token_of(box, y)
        if token:
            acked(box, token)
        rest(box, "a", 0 if token else 1)
    return Pair(ADD_V, CLAIM, truth, ["a"])


@pair("claim and claim, one job", short=True)
def _(box):
    def truth(box, x, y):
        tokens = [t for t in (token_of(box, x), token_of(box, y)) if t]
        if len(tokens) != 1:
            box.say(f"{len(tokens)} claims of one job")
        for token in tokens[:1]:
            acked(box, token)
        rest(box, "a", 0)
    box.add("a")
    return Pair(CLAIM, CLAIM, truth, ["a"])


@pair("claim and claim, two jobs")
def _(box):
    def truth(box, x, y):
        tokens = {t for t in (token_of(box, x), token_of(box, y)) if t}
        if len(tokens) != 2:
            box.say(f"{len(tokens)} claims of two jobs")
        for token in tokens:
            acked(box, token)
        rest(box, "a", 0)
        box.expect("b", "done", 0)
    box.add("a")
    box.add("b")
    return Pair(CLAIM, CLAIM, truth, ["a", "b"])


@pair("claim and claim, of a group")
def _(box):
    def truth(box, x, y):
        tokens = [t for t in (token_of(box, x), token_of(box, y)) if t]
        if len(tokens) != 1:
            box.say(f"{len(tokens)} of a group that is to run one")
        for token in tokens:
            acked(box, token)
        box.drain()
        box.drain(env=LATER)
        rest(box, "a", 0)
        box.expect("b", "done", 1)
    box.add("a", "-g", "x")
    box.add("b", "-g", "x")
    return Pair(CLAIM, CLAIM, truth, ["a", "b"])


@pair("claim and claim, of a dead worker's job")
def _(box):
    def truth(box, x, y):
        tokens = [t for t in (token_of(box, x), token_of(box, y)) if t]
        if len(tokens) != 1 or not tokens[0].endswith(".2"):
            box.say(f"claims of a dead worker's job: {tokens}")
        for token in tokens[:1]:
            acked(box, token)
        rest(box, "a", 1)
    box.add("a")
    box.crash()
    return Pair(CLAIM, CLAIM, truth, ["a"])


@pair("ack and claim, the lease is over")
def _(box):
    def truth(box, x, y):
        ended = one_of(box, "ack", x, 0, 69)
        token = token_of(box, y)
        if ended and token:
            box.say("acked, and claimed once more")
        if ended:
            box.expect("a", "done", 0)
        if token:
            acked(box, token)
        rest(box, "a", 0 if ended or token else 1)
    box.add("a")
    token = box.claim("1s")
    job = invariants.Queue(box.queue).job("a")
    end = invariants.stamp_time(job.last.fields["lease"])
    box.wait(lambda: time.time() > end, "a lease to lapse")
    return Pair(argv("ack", token), CLAIM, truth, ["a"])


@pair("ack and ack")
def _(box):
    def truth(box, x, y):
        for r in (x, y):
            one_of(box, "ack", r, 0)
        rest(box, "a", 0)
    box.add("a")
    token = box.claim()
    return Pair(argv("ack", token), argv("ack", token), truth, ["a"])


@pair("cancel and claim")
def _(box):
    def truth(box, x, y):
        over = one_of(box, "cancel", x, 0, 69)
        token = token_of(box, y)
        if not over and not token:
            box.say("neither cancelled nor claimed")
        # Noted, while the claim had the lock: what is done stays done.
        job = invariants.Queue(box.queue).job("a")
        if token and os.path.exists(f"{box.queue}/asked/{job.id}"):
            over = False
        if token:
            box.idq("ack", token, ok=(69,) if over else (0,))
        rest(box, "a", 0, "cancelled" if over else "done")
    box.add("a")
    return Pair(argv("cancel", "a"), CLAIM, truth, ["a"])


@pair("hold and claim")
def _(box):
    def truth(box, x, y):
        over = one_of(box, "hold", x, 0, 69)
        token = token_of(box, y)
        if over == bool(token):
            box.say(f"held: {over}, claimed: {bool(token)}")
        if token:
            acked(box, token)
        rest(box, "a", 0, "held" if over else "done")
        if over:
            box.idq("unhold", "a")
            rest(box, "a", 1)
    box.add("a")
    return Pair(argv("hold", "a"), CLAIM, truth, ["a"])


@pair("retry and add")
def _(box):
    def truth(box, x, y):
        one_of(box, "retry", x, 0)
        if outcome(box, "add", y) == "added":
            box.say("added, while the key was held")
        rest(box, "a", 2 if x.code == 0 else 1,
             "done" if x.code == 0 else "failed")
    box.idq("add", *ADD)
    box.drain(100)
    return Pair(argv("retry", "a"), ADD_V, truth, ["a"])


@pair("retry and add --reuse failed")
def _(box):
    def truth(box, x, y):
        one_of(box, "retry", x, 0, 69)
        outcome(box, "add", y)
        if x.code and y.code:
            box.say("neither of them")
        rest(box, "a", 2)
    box.idq("add", *ADD)
    box.drain(100)
    return Pair(argv("retry", "a"),
                argv("add", "-v", "--reuse", "failed", *ADD), truth, ["a"])


@pair("forget and add")
def _(box):
    def truth(box, x, y):
        forgotten = one_of(box, "forget", x, 0)
        new = outcome(box, "add", y) == "added"
        if new:
            rest(box, "a", 2)
        else:
            rest(box, "a", 1, "unknown" if forgotten else "done")
    box.idq("add", *ADD)
    box.drain()
    return Pair(argv("forget", "a"), ADD_V, truth)


@pair("work and pause")
def _(box):
    def truth(box, x, y):
        one_of(box, "work", x, 0)
        one_of(box, "pause", y, 0)
        late = [r for r in invariants.parse_runs(box.runs_text())
                if r[0] == "start" and r[5] > y.ended]
        if len(late) > 1:
            box.say(f"{len(late)} started after the pause")
        before = box.runs_text()
        box.drain()
        if box.runs_text() != before:
            box.say("started while paused")
        box.idq("resume")
        rest(box, "a", 1)
        box.expect("b", "done", 1)
    box.add("a")
    box.add("b")
    return Pair(WORK, argv("pause"), truth, ["a", "b"])


@pair("run and run")
def _(_box):
    def truth(box, x, y):
        for r in x, y:
            if r.code not in (0, 75):
                box.say(f"run: exit {r.code}: {r.err.strip()}")
        box.idq("run", "-k", "r", "--", COMMAND)
        rest(box, "r", 1)
    return Pair(RUN, RUN, truth)


@pair("run and pause")
def _(_box):
    def truth(box, x, y):
        # To a run that finds it a pause is no reason to say a word.
        if x.code not in (0, 75):
            box.say(f"run: exit {x.code}: {x.err.strip()}")
        one_of(box, "pause", y, 0)
        before = box.runs_text()
        box.idq("run", "-k", "r", "--", COMMAND, ok=(0, 75))
        if box.runs_text() != before:
            box.say("started while paused")
        if (x.code == 0) != (before != ""):
            box.say(f"run: exit {x.code}, but ran: {before!r}")
        box.idq("resume")
        box.idq("run", "-k", "r", "--", COMMAND)
        rest(box, "r", 1)
    return Pair(RUN, argv("pause"), truth)


@pair("fsck and add")
def _(_box):
    def truth(box, x, y):
        one_of(box, "fsck", x, 0)
        if outcome(box, "add", y) != "added":
            box.say("not added")
        rest(box, "a", 1)
    return Pair(argv("fsck"), ADD_V, truth, ["a"])


@pair("fsck and claim")
def _(box):
    def truth(box, x, y):
        one_of(box, "fsck", x, 0)
        token = token_of(box, y)
        if token:
            acked(box, token)
        rest(box, "a", 0 if token else 1)
    box.add("a")
    return Pair(argv("fsck"), CLAIM, truth, ["a"])


@pair("fsck and ack")
def _(box):
    def truth(box, x, y):
        one_of(box, "fsck", x, 0)
        # That it was put off it says, and it is done again.
        if not one_of(box, "ack", y, 0):
            acked(box, token)
        rest(box, "a", 0)
    box.add("a")
    token = box.claim()
    return Pair(argv("fsck"), argv("ack", token), truth, ["a"])


@pair("fsck and purge")
def _(box):
    def truth(box, x, y):
        one_of(box, "fsck", x, 0)
        one_of(box, "purge", y, 0)
        box.idq("purge")
        rest(box, "a", 1, "unknown")
    box.add("a", "--keep", "1s")
    box.drain()
    wait_for_release(box, "a")
    return Pair(argv("fsck"), argv("purge"), truth)


@pair("fsck and retry")
def _(box):
    def truth(box, x, y):
        one_of(box, "fsck", x, 0)
        one_of(box, "retry", y, 0)
        rest(box, "a", 2 if y.code == 0 else 1,
             "done" if y.code == 0 else "failed")
    box.add("a")
    box.drain(100)
    return Pair(argv("fsck"), argv("retry", "a"), truth, ["a"])


#
# The rig.
#

class Other(faults.Box):
    """A second set of standard files for the queue of BOX."""

    def __init__(self, box):
        self.of = box
        super().__init__(f"{box.path}/other", box.program)
        for name in ("spool", "queue", "runs", "gate"):
            setattr(self, name, getattr(box, name))
        self.env = {**self.env, "IDQ_SPOOL": self.spool, "RUNS": self.runs}
        shutil.copy(f"{box.path}/payload", f"{self.path}/payload")

    def say(self, words):
        self.of.say(words)


def stopped(child):
    """Whether CHILD stops, rather than ends."""
    end = time.monotonic() + killpoints.DEADLINE
    while time.monotonic() < end:
        r = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WSTOPPED
                      | os.WNOHANG | os.WNOWAIT)
        if r is not None:
            return r.si_code == os.CLD_STOPPED
        time.sleep(0.0005)
    return False


def ended_within(child, seconds):
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


class Tally:
    def __init__(self):
        self.points = self.missed = self.waited = self.left = self.bad = 0

    def add(self, t):
        for name, n in vars(t).items():
            setattr(self, name, getattr(self, name) + n)


def try_point(box, other, p, k, swap):
    """Stop X, or with SWAP Y, at its call K."""
    t = Tally()
    t.points = 1
    box.restore(p.snap)
    first, second = (p.y, p.x) if swap else (p.x, p.y)
    a = box.start_at(k, "stop", first)
    t.missed = int(not stopped(a))
    b = other.start(second)
    if not ended_within(b, PATIENCE):
        t.waited = 1
        if k % LEAVE == 0:
            t.left = 1
            if not ended_within(b, LOCK_WAIT):
                box.say(f"waits for ever: {' '.join(second)}")
    now = time.time()
    if not t.missed:
        os.kill(a.pid, signal.SIGCONT)
    ra = box.finish(a, " ".join(first))
    rb = other.finish(b, " ".join(second))
    rb.ended = now if not t.waited else time.time()
    ra.ended = time.time()
    x, y = (rb, ra) if swap else (ra, rb)
    acked_keys = p.keys if not (x.code and y.code) else []
    box.check(False, acked_keys if "add" not in (p.x[1], p.y[1]) else [
        k for r, args in ((x, p.x), (y, p.y))
        if args[1] == "add" and r.code == 0 for k in p.keys])
    p.truth(box, x, y)
    box.kill_orphans()
    box.check(True, p.keys)
    if t.missed:
        box.say("not reached")
    t.bad = int(bool(box.bad))
    return t


def is_empty_folder(call, shards):
    """A call on a folder of keys that has none."""
    m = re.search(r"(?:^|/)keys/([0-9a-f]{2})$", call.path)
    return m and m[1] not in shards


def points_of(box, p, swap):
    """The calls of X, or Y, alone.  Of the folders of keys that hold none each
    30th is enough."""
    box.restore(p.snap)
    box.run_at(0, "stop", p.y if swap else p.x)
    box.kill_orphans()
    shards = {h("a")[:2], h("b")[:2]}
    points, empty = [], 0
    for c in faults.read_log(box.log):
        if is_empty_folder(c, shards) or (not c.path and empty):
            empty += 1
            if empty % 30:
                continue
        else:
            empty = 0
        points.append((c.k, swap, c.name))
    return points


def make(box, function):
    """The Pair of FUNCTION, with its queue and points."""
    box.restore(([(".", 0o700)], [], ""))
    box.idq("init")
    box.drain()
    p = function(box)
    box.kill_orphans()
    p.snap = box.snapshot()
    p.points = points_of(box, p, False)
    if p.x != p.y:
        p.points += points_of(box, p, True)
    return p


SHORT_EVERY = 3
WORKDIR = None
READY = []                       # (name, Pair)
BOX = OTHER = None


def worker_starts():
    global BOX, OTHER
    killpoints.adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    BOX = faults.Box(f"{WORKDIR}/{os.getpid()}")
    OTHER = Other(BOX)


def work(task):
    number, point = task
    p = READY[number][1]
    try:
        # One that waits for its command has a call more or less.
        for _ in range(TRIES):
            t = try_point(BOX, OTHER, p, *p.points[point][:2])
            if not t.missed:
                break
    except Exception:
        BOX.say(traceback.format_exc())
        t = Tally()
        t.points = t.bad = 1
        BOX.kill_orphans()
    return number, point, t, BOX.bad


# A broken build, and the pair that has to see it.
CONTROLS = (
    ("claim-unlocked", "claim and claim, one job"),
    ("purge-by-name", "add and purge"),
    ("add-looks-first", "add and add"),
    ("ack-any-claim", "ack and claim, the lease is over"),
)


def control(name, wanted):
    """Whether a broken build is caught."""
    try:
        program = faults.broken(name, WORKDIR)
    except subprocess.CalledProcessError as e:
        print(f"  {name}: {e.stderr.decode()}", file=sys.stderr)
        return False
    box = faults.Box(f"{WORKDIR}/{name}", program)
    other = Other(box)
    p = make(box, next(f for n, _, f in PAIRS if n == wanted))
    for k, swap, _ in p.points:
        if try_point(box, other, p, k, swap).bad:
            return True
    print(f"  {name}: not caught", file=sys.stderr)
    return False


def show(number, results):
    name, p = READY[number]
    broken = [(point, bad) for point, _, bad in results if bad]
    print(f"{name:44} {len(results):5} points, {len(broken)} violations, "
          f"{sum(t.waited for _, t, _ in results)} waited",
          file=sys.stderr, flush=True)
    for point, bad in broken[:20]:
        k, swap, call = p.points[point]
        who = (p.y if swap else p.x)[1]
        for line in bad[:6]:
            print(f"  {who} before {call} {k}: {line}", file=sys.stderr)


def report(t, caught, of):
    ok = faults.put(
        "pair points", f"{t.points:,} points, {t.missed} missed, {t.bad} "
        f"violations, {t.waited} waited, {t.left} until they gave up",
        "0 missed, 0 violations", t.points and not t.missed and not t.bad)
    ok &= faults.put("pair controls", f"{caught} of {of} caught",
                     f"{of} of {of}", caught == of)
    return ok


def main():
    global WORKDIR
    p = argparse.ArgumentParser(prog="pairs")
    p.add_argument("--short", action="store_true",
                   help="add, claim and purge alone, each so many-th point")
    p.add_argument("--every", type=int, metavar="N",
                   help="only each so many-th point")
    p.add_argument("-j", type=int, default=2 * os.cpu_count(), metavar="N")
    p.add_argument("name", nargs="*", help="part of the name of a pair")
    args = p.parse_args()
    every = args.every or (SHORT_EVERY if args.short else 1)
    with faults.workdir("pairs") as WORKDIR:
        try:
            faults.build(WORKDIR)
        except faults.Skip as e:
            print(f"pair points\t{e}\t0 violations\tSKIP")
            return 0
        controls = CONTROLS[:3] if args.short else CONTROLS
        caught = sum(control(*c) for c in controls)
        box = faults.Box(f"{WORKDIR}/template")
        total = Tally()
        for name, short, function in PAIRS:
            if (args.short and not short) or (
                    args.name and not any(n in name for n in args.name)):
                continue
            one = make(box, function)
            one.points = one.points[::every]
            total.bad += len(box.bad)
            for line in box.bad:
                print(f"{name}: {line}", file=sys.stderr)
            READY.append((name, one))
        tasks = [(i, k) for i, (_, one) in enumerate(READY)
                 for k in range(len(one.points))]
        for t in faults.run_all(tasks, args.j, worker_starts, work, show):
            total.add(t)
        return 0 if report(total, caught, len(controls)) else 1


if __name__ == "__main__":
    sys.exit(main())
