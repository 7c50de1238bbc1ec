# SPDX-License-Identifier: ISC
"""Kill idq at the entry of each of its system calls, one run per call, then
run the next ordinary commands and compare the queue with idq(5).

strace counts `when=N' per name of a call, so the points are pairs of a name
and a number, taken from a trace of the whole command.  Only the process that
was started is traced: the command of a job lives on when its worker is killed,
until the rig kills it too, or waits for it.
"""

import argparse
import ctypes
import glob
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

import invariants
import spools

HERE = os.path.dirname(os.path.abspath(__file__))
IDQ = os.path.abspath(os.environ["IDQ"])
COMMAND = os.path.join(HERE, "command")
DEADLINE = 20                    # seconds after which a command is stuck
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Become the parent of whatever a killed worker leaves behind."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def children():
    """The pids of this process's children."""
    me = os.getpid()
    try:
        with open(f"/proc/{me}/task/{me}/children", encoding="ascii") as f:
            return [int(p) for p in f.read().split()]
    except FileNotFoundError:
        pass
    found = []
    for p in os.listdir("/proc"):
        if p.isdigit():
            try:
                with open(f"/proc/{p}/stat", "rb") as f:
                    if int(f.read().rsplit(b")", 1)[1].split()[1]) == me:
                        found.append(int(p))
            except (OSError, IndexError):
                continue
    return found


class Result:
    """How a command ended."""

    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err
        self.killed = code == -signal.SIGKILL


class Box:
    """A folder with a spool and the log of what ran, and the commands on it.
    What goes wrong is collected in self.bad."""

    def __init__(self, path):
        self.path = path
        self.spool = f"{path}/spool"
        self.queue = f"{self.spool}/q"
        self.runs = f"{path}/runs"
        self.gate = f"{path}/gate"
        self.bad = []
        self.background = None
        self.hits = None
        os.mkdir(path)
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("IDQ", "NAP", "GATE", "STATUS"))}
        env.update(LC_ALL="C", TZ="UTC", IDQ_SPOOL=self.spool, RUNS=self.runs)
        self.env = env
        with open(f"{path}/payload", "wb") as f:
            f.write(b"hello\n")
        with open(f"{path}/large", "wb") as f:
            f.write(b"0123456789abcdef" * 8192)
        self.clear()

    def say(self, words):
        self.bad.append(words)

    # Snapshots: folders with their modes, and files with all their names.
    def snapshot(self):
        folders, files = [], {}
        for root, dirs, names in os.walk(self.spool):
            rel = os.path.relpath(root, self.spool)
            folders.append((rel, os.stat(root).st_mode & 0o7777))
            dirs.sort()
            if rel.split("/")[-1] == "run":
                continue
            for name in sorted(names):
                path = os.path.join(root, name)
                st = os.lstat(path)
                if st.st_ino not in files:
                    with open(path, "rb") as f:
                        files[st.st_ino] = (f.read(), st.st_mode & 0o7777, [])
                files[st.st_ino][2].append(os.path.join(rel, name))
        return folders, list(files.values()), self.runs_text()

    def restore(self, snap):
        folders, files, runs = snap
        wanted = {rel for rel, _ in folders}
        for root, dirs, names in os.walk(self.spool):
            rel = os.path.relpath(root, self.spool)
            for name in names:
                os.unlink(os.path.join(root, name))
            for name in list(dirs):
                if os.path.normpath(os.path.join(rel, name)) not in wanted:
                    shutil.rmtree(os.path.join(root, name))
                    dirs.remove(name)
        for rel, mode in folders:
            path = os.path.join(self.spool, rel)
            os.makedirs(path, exist_ok=True)
            os.chmod(path, mode)
        for data, mode, names in files:
            first = os.path.join(self.spool, names[0])
            with open(first, "wb") as f:
                f.write(data)
            os.chmod(first, mode)
            for name in names[1:]:
                os.link(first, os.path.join(self.spool, name))
        with open(self.runs, "w", encoding="utf-8") as f:
            f.write(runs)
        if os.path.exists(self.gate):
            os.unlink(self.gate)
        self.bad = []
        self.background = None

    def clear(self):
        self.restore(([(".", 0o700)], [], ""))

    def runs_text(self):
        try:
            with open(self.runs, encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    # Commands.
    def start(self, argv, stdin=b"", env=None):
        """Start ARGV with its output in files, so that a command left behind
        holds no pipe of ours."""
        with open(f"{self.path}/in", "wb") as f:
            f.write(stdin)
        with open(f"{self.path}/in", "rb") as i, \
                open(f"{self.path}/out", "wb") as o, \
                open(f"{self.path}/err", "wb") as e:
            return subprocess.Popen(argv, stdin=i, stdout=o, stderr=e,
                                    cwd=self.path, env={**self.env,
                                                        **(env or {})})

    def finish(self, child, what):
        try:
            child.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.say(f"stuck: {what}")
            child.kill()
            child.wait()
        out, err = (self._text(n) for n in ("out", "err"))
        return Result(child.returncode, out, err)

    def _text(self, name):
        with open(f"{self.path}/{name}", encoding="utf-8",
                  errors="replace") as f:
            return f.read()

    def run(self, argv, stdin=b"", env=None):
        return self.finish(self.start(argv, stdin, env), " ".join(argv))

    def idq(self, *args, ok=(0,), stdin=b"", env=None):
        """Run a verb on the queue; any exit but those in OK is wrong."""
        r = self.run([IDQ, args[0], "-q", "q", *args[1:]], stdin, env)
        if r.code not in ok:
            self.say(f"idq {' '.join(args)}: exit {r.code}: "
                     f"{r.err.strip()[:300]}")
        return r

    def add(self, key, *options, ok=(0,)):
        return self.idq("add", "-k", key, *options, ok=ok)

    def drain(self, status=0, env=None):
        return self.idq("work", "--drain", "--", COMMAND,
                        env={"STATUS": str(status), **(env or {})})

    def claim(self, lease="1h"):
        """The token of a claim, or an empty string."""
        return self.idq("claim", "--lease", lease, ok=(0, 1)).out.strip()

    def work_in_background(self, status=0):
        """Start a worker whose command waits for open_gate()."""
        before = self.runs_text().count("start ")
        self.background = self.start(
            [IDQ, "work", "-q", "q", "--once", "--", COMMAND],
            env={"GATE": self.gate, "STATUS": str(status)})
        self.wait(lambda: self.runs_text().count("start ") > before,
                  "the command to start")

    def stop_background(self):
        if self.background and self.background.poll() is None:
            self.background.kill()
            self.background.wait()

    def open_gate(self):
        with open(self.gate, "wb"):
            pass

    def crash(self):
        """Kill a worker and its command in the middle of a job."""
        self.work_in_background()
        self.background.kill()
        self.background.wait()
        self.background = None
        self.kill_orphans()

    def wait(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not condition():
            if time.monotonic() > end:
                self.say(f"stuck: waited for {what}")
                return
            time.sleep(0.01)

    # What a killed worker leaves.
    def kill_orphans(self):
        end = time.monotonic() + DEADLINE
        while pids := children():
            for p in pids:
                try:
                    os.kill(p, signal.SIGKILL)
                    os.waitpid(p, 0)
                except (ProcessLookupError, ChildProcessError):
                    pass
            if time.monotonic() > end:
                self.say(f"stuck: processes {pids}")
                return
        with open(self.runs, "a", encoding="utf-8") as f:
            for key, ident, attempt, pid in self.open_runs():
                f.write(f"killed {key} {ident} {attempt} {pid} "
                        f"{time.time():.6f}\n")

    def wait_orphans(self):
        def gone():
            try:
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            except ChildProcessError:
                return True
            return False

        self.wait(gone, "the commands of a killed worker")

    def open_runs(self):
        found = {}
        for what, key, ident, attempt, pid, _ in \
                invariants.parse_runs(self.runs_text()):
            if what == "start":
                found[ident, pid] = (key, ident, attempt, pid)
            else:
                found.pop((ident, pid), None)
        return list(found.values())

    # Judging.
    def check(self, settled, acked=()):
        for line in invariants.check(self.queue, settled, acked,
                                     self.runs_text()):
            line = ("settled: " if settled else "killed: ") + line
            if line not in self.bad:
                self.say(line)

    def ran(self, key):
        return sum(r[0] == "start" and r[1] == key for r in
                   invariants.parse_runs(self.runs_text()))

    def state(self, key):
        job = invariants.Queue(self.queue).job(key)
        return job.state if job else "unknown"

    def expect(self, key, state, least, most=None):
        """KEY is in STATE (or one of several, by spaces), and ran LEAST to
        MOST times."""
        found, ran = self.state(key), self.ran(key)
        if found not in state.split():
            self.say(f"{key} is {found}, not {state}")
        if not least <= ran <= (least if most is None else most):
            self.say(f"{key} ran {ran} times, not "
                     f"{least}{f' to {most}' if most else ''}")


class Case:
    """A command to be killed.  BEFORE runs before it, AFTER(box, result) after
    it; KEEP: its orphans live until AFTER has waited for them.  KEYS are those
    that it adds: acknowledged if it ended with 0.  BROKEN: the queue is no
    sound one until AFTER.  LOOKS: of the points that only looking calls lie
    before, each so many-th is enough.  SIGNAL: what is sent there."""

    def __init__(self, argv, after, stdin=b"", env=None, keep=False, keys=(),
                 before=None, broken=False, looks=1, signal="KILL"):
        self.argv = argv
        self.after = after
        self.stdin = stdin
        self.env = env or {}
        self.keep = keep
        self.keys = keys
        self.before = before
        self.broken = broken
        self.looks = looks
        self.signal = signal
        self.snap = None
        self.points = []
        self.which = {}


CASES = []


def case(name, short=False):
    """Register a function that makes a queue in a box ready and returns the
    Case.  It finds an empty queue that a worker has seen since the boot."""
    def register(function):
        CASES.append((name, short, function))
        return function
    return register


def argv(verb, *args):
    return [IDQ, verb, "-q", "q", *args]


WORK = argv("work", "--drain", "-j1", "--", COMMAND)
ADD = ("-k", "a", "--payload", "payload", "--", "x", "y z")
PAST = "@1000000000"


#
# add: whatever was killed, the same add again is right, and the job runs once.
#

def again(key="a", runs=1, add=ADD, stdin=b""):
    def after(box, _):
        box.idq("add", *add, stdin=stdin)
        box.drain()
        box.expect(key, "done", runs)
    return after


@case("add: then the same add", short=True)
def _(_box):
    return Case(argv("add", *ADD), again(), keys=["a"])


@case("add: then a worker", short=True)
def _(_box):
    def after(box, hit):
        box.drain()
        box.check(True, [] if hit.killed else ["a"])
        again()(box, hit)
    return Case(argv("add", *ADD), after, keys=["a"])


@case("add: then a claim", short=True)
def _(_box):
    def after(box, hit):
        token = box.claim()
        if token:
            box.idq("ack", token)
        box.check(True, [] if hit.killed else ["a"])
        again(runs=0 if token else 1)(box, hit)
    return Case(argv("add", *ADD), after, keys=["a"])


@case("add: then fsck")
def _(_box):
    def after(box, hit):
        box.idq("fsck")
        box.check(True, [] if hit.killed else ["a"])
        again()(box, hit)
    return Case(argv("add", *ADD), after, keys=["a"])


@case("add: payload from a pipe")
def _(box):
    with open(f"{box.path}/large", "rb") as f:
        data = f.read()
    add = ("-k", "a", "--payload", "-")
    return Case(argv("add", *add), again(add=add, stdin=data), stdin=data,
                keys=["a"])


@case("add: due in an hour")
def _(_box):
    def after(box, _):
        box.add("a", "--in", "1h")
        box.drain()
        box.expect("a", "pending", 0)
        box.check(True)
        box.idq("retry", "a")
        box.drain()
        box.expect("a", "done", 1)
    return Case(argv("add", "-k", "a", "--in", "1h"), after, keys=["a"])


@case("add: duplicate", short=True)
def _(box):
    box.idq("add", *ADD)
    return Case(argv("add", *ADD), again(), keys=["a"])


@case("add: duplicate, from a pipe")
def _(box):
    with open(f"{box.path}/large", "rb") as f:
        data = f.read()
    add = ("-k", "a", "--payload", "-")
    box.idq("add", *add, stdin=data)
    return Case(argv("add", *add), again(add=add, stdin=data), stdin=data,
                keys=["a"])


@case("add: duplicate completes an add")
def _(box):
    box.idq("add", *ADD)
    unfinish(box, "a")
    return Case(argv("add", *ADD), again(), keys=["a"])


@case("add: mismatch")
def _(box):
    box.idq("add", *ADD)
    return Case(argv("add", "-k", "a"), again())


@case("add: replaces a released job", short=True)
def _(box):
    box.add("a", "--keep", "1s")
    box.drain()
    wait_for_release(box, "a")
    # What is added here is kept as usual.
    return Case(argv("add", *ADD), again(runs=2), keys=["a"])


@case("add: replaces an expired job")
def _(box):
    box.add("a", "--not-after", PAST)
    return Case(argv("add", *ADD), again(), keys=["a"])


@case("add: expires a job and replaces it", short=True)
def _(box):
    box.add("a", "--ttl", "1s")
    job = invariants.Queue(box.queue).job("a")
    end = invariants.stamp_time(job.head["Expires"])
    box.wait(lambda: time.time() > end, "a deadline")
    return Case(argv("add", *ADD), again(), keys=["a"])


@case("add: already past its deadline")
def _(_box):
    def after(box, _):
        box.add("a", "--not-after", PAST)
        box.drain()
        box.expect("a", "expired", 0)
        again()(box, None)
    return Case(argv("add", "-k", "a", "--not-after", PAST), after)


@case("add: --reuse final")
def _(box):
    def after(box, _):
        box.idq("add", "--reuse", "final", *ADD)
        box.drain()
        box.expect("a", "done", 2)
    box.idq("add", *ADD)
    box.drain()
    return Case(argv("add", "--reuse", "final", *ADD), after)


@case("add: replaces a torn file")
def _(box):
    box.idq("add", *ADD)
    with open(f"{box.queue}/{invariants_key('a')}", "rb") as f:
        data = f.read()
    remove(box, "a")
    spools.write(box.queue, invariants_key("a"), data[:60])
    return Case(argv("add", *ADD), again(), keys=["a"], broken=True)


BATCH = b"b1\tone\nb2\ttwo\nb1\tone\na\thello\nb3\t\nb4\tfour\n"


@case("add: --batch", short=True)
def _(box):
    def after(box, hit):
        acked = [f[5] for f in (line.split("\t") for line in
                                hit.out.split("\n")[:-1])
                 if len(f) == 6 and f[0] in ("added", "duplicate")]
        box.check(False, acked)
        box.idq("add", "--batch", stdin=BATCH)
        box.drain()
        for key in ("a", "b1", "b2", "b3", "b4"):
            box.expect(key, "done", 1)
    box.idq("add", "--batch", stdin=b"a\thello\n")
    return Case(argv("add", "--batch", "-v"), after, stdin=BATCH)


#
# work and run.  A job may run again after a kill, but not beside itself.
#

def worked(*keys, most=2):
    """The next worker finishes everything, at once if nothing is alive."""
    def after(box, _):
        box.drain()
        if children():
            box.wait_orphans()
            box.check(False)
            box.drain()
        for key in keys:
            box.expect(key, "done", 1, most)
    return after


@case("work: and its command is killed", short=True)
def _(box):
    box.idq("add", *ADD)
    box.add("b")
    return Case(WORK, worked("a", "b"), env={"NAP": "0.01"})


@case("work: and its command lives on", short=True)
def _(box):
    box.idq("add", *ADD)
    return Case(WORK, worked("a"), env={"NAP": "0.1"}, keep=True)


# With a minute more on the clock: a group's turn has come.
LATER = {"FAKETIME": "+61s", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
         "LD_PRELOAD": "".join(glob.glob(
             "/usr/lib/*/faketime/libfaketime.so.1"))}


def paced(*keys, most=2):
    """All of a group run, those that were parked within a minute."""
    def after(box, _):
        box.drain()
        if children():
            box.wait_orphans()
            box.check(False)
            box.drain()
        box.wait(lambda: box.drain(env=LATER) and
                 all(box.state(k) == "done" for k in keys), "a gap to end")
        for key in keys:
            box.expect(key, "done", 1, most)
    return after


@case("work: parks jobs of a group and lets them out", short=True)
def _(box):
    for key in ("a", "b", "c"):
        box.add(key, "-g", "x")
    return Case(WORK, paced("a", "b", "c"))


@case("work: with a gap between the jobs of a group")
def _(box):
    box.idq("config", "group-gap", "1s")
    for key in ("a", "b"):
        box.add(key, "-g", "x")
    return Case(WORK, paced("a", "b"))


@case("work: then a claim")
def _(box):
    def after(box, _):
        token = box.claim()
        if token:
            box.idq("ack", token)
        box.expect("a", "done", 0, 1)
        box.drain()
        box.expect("a", "done", 0, 1)
    box.idq("add", *ADD)
    return Case(WORK, after)


@case("work: first after a boot, on a broken index")
def _(box):
    break_index(box)
    shutil.rmtree(f"{box.queue}/boot")
    os.mkdir(f"{box.queue}/boot", 0o700)
    return Case(WORK, mended, looks=25)


@case("work: command fails")
def _(box):
    def after(box, _):
        box.drain()
        if box.state("a") != "done":
            box.expect("a", "pending", 1, 2)
            box.check(True)
            box.idq("retry", "a")
            box.drain()
        box.expect("a", "done", 1, 2)
    box.idq("add", *ADD)
    return Case(WORK, after, env={"STATUS": "1"})


@case("work: command fails for good")
def _(box):
    def after(box, _):
        box.drain(100)
        box.expect("a", "failed", 1, 2)
        box.check(True)
        box.idq("retry", "a")
        box.drain()
        box.expect("a", "done", 2, 3)
    box.idq("add", *ADD)
    return Case(WORK, after, env={"STATUS": "100"})


@case("work: command says later")
def _(box):
    def after(box, _):
        box.drain()
        if box.state("a") != "done":
            box.expect("a", "pending", 1, 2)
            box.idq("retry", "a")
            box.drain()
        box.expect("a", "done", 1, 2)
    box.idq("add", *ADD)
    return Case(WORK, after, env={"STATUS": "75"})


@case("work: on-crash hold")
def _(box):
    def after(box, _):
        box.drain()
        # Started once at most without a person.
        box.expect("a", "held done", 0, 1)
        if box.state("a") == "held":
            box.check(True)
            box.idq("retry", "a")
            box.drain()
        box.expect("a", "done", 1, 2)
    box.add("a", "--on-crash", "hold")
    return Case(WORK, after)


@case("work: attempts 1")
def _(box):
    def after(box, _):
        box.drain()
        box.expect("a", "failed done", 0, 1)
        if box.state("a") == "failed":
            box.check(True)
            box.idq("retry", "a")
            box.drain()
        box.expect("a", "done", 1, 2)
    box.add("a", "--attempts", "1")
    return Case(WORK, after)


@case("work: promotes a waiting job")
def _(box):
    box.add("a", "--in", "1s")
    wait_until_due(box, "a")
    return Case(WORK, worked("a"))


@case("work: expires a job")
def _(box):
    def after(box, _):
        box.drain()
        box.expect("a", "expired", 0)
        box.expect("b", "done", 1, 2)
    box.add("a", "--ttl", "1s")
    job = invariants.Queue(box.queue).job("a")
    end = invariants.stamp_time(job.head["Expires"])
    box.wait(lambda: time.time() > end, "a deadline")
    box.add("b")
    return Case(WORK, after)


@case("work: reaps a killed worker's job")
def _(box):
    box.add("a")
    box.crash()
    return Case(WORK, worked("a", most=3))


@case("work: told to stop")
def _(box):
    def after(box, hit):
        # Before it listens, SIGTERM kills it, and it has taken no job.
        if hit.code not in (0, -signal.SIGTERM):
            box.say(f"the worker ended with {hit.code}: {hit.err}")
        box.check(True)
        box.drain()
        for key in ("a", "b"):
            box.expect(key, "done", 1)
    box.idq("add", *ADD)
    box.add("b")
    return Case(WORK, after, env={"NAP": "0.01"}, keep=True, signal="TERM")


@case("work: reaps a job to be cancelled")
def _(box):
    def after(box, _):
        box.drain()
        box.idq("fsck")
        box.expect("a", "cancelled", 1)
    box.add("a")
    box.work_in_background()
    box.idq("cancel", "a")
    box.background.kill()
    box.background.wait()
    box.background = None
    box.kill_orphans()
    return Case(WORK, after)


RUN = argv("run", "-k", "r", "--", COMMAND)


def run_again(most=2):
    def after(box, _):
        if children():
            # Elsewhere; or it has just ended, and its try counts.
            box.idq("run", "-k", "r", "--", COMMAND, ok=(0, 75))
            box.wait_orphans()
            box.check(False)
        r = box.idq("run", "-k", "r", "--", COMMAND, ok=(0, 75))
        if r.code == 75:
            box.expect("r", "failed", 0, most)
            box.check(True)
            box.idq("retry", "r")
            box.idq("run", "-k", "r", "--", COMMAND)
        box.expect("r", "done", 1, most)
        box.drain()
        box.expect("r", "done", 1, most)
    return after


@case("run: and its command is killed", short=True)
def _(_box):
    return Case(RUN, run_again(), env={"NAP": "0.01"})


@case("run: and its command lives on", short=True)
def _(_box):
    return Case(RUN, run_again(), env={"NAP": "0.1"}, keep=True)


@case("run: then a worker")
def _(_box):
    def after(box, hit):
        box.drain()
        box.expect("r", "unknown failed done", 0, 1)
        box.check(True)
        run_again()(box, hit)
    return Case(RUN, after)


@case("run: command fails")
def _(_box):
    return Case(RUN, run_again(), env={"STATUS": "1"})


@case("run: a second try")
def _(box):
    box.idq("run", "-k", "r", "--", COMMAND, ok=(1,), env={"STATUS": "1"})
    box.idq("retry", "r")
    return Case(RUN, run_again(3))


#
# claim and what ends a claim.
#

def leased(box, *keys, runs=1):
    """Work until the lease of a lost token has lapsed and all is done."""
    box.drain()
    box.wait(lambda: box.drain() and
             all(box.state(k) == "done" for k in keys), "a lease to lapse")
    for key in keys:
        box.expect(key, "done", runs)


@case("claim: then workers", short=True)
def _(box):
    def after(box, hit):
        if hit.out.endswith("\n"):
            box.idq("ack", hit.out.strip())
            box.drain()
            # A job that cannot be read is passed over.
            first = hit.out.startswith(spools.h("a"))
            box.expect("a", "done", 0 if first else 1)
            box.expect("b", "done", 1 if first else 0)
            return
        leased(box, "a", "b")
        job = invariants.Queue(box.queue).job("a")
        if job.claims > 1:
            box.idq("ack", f"{job.hash}.{job.id}.1", ok=(69,))
    box.idq("add", *ADD)
    box.add("b")
    return Case(argv("claim", "--lease", "1s"), after)


@case("claim: parks a job of a busy group", short=True)
def _(box):
    box.add("a", "-g", "x")
    box.add("b", "-g", "x")
    box.add("c")
    token = box.claim()

    def after(box, hit):
        box.idq("ack", token)
        if hit.out.endswith("\n"):
            box.idq("ack", hit.out.strip())
        box.drain()
        box.drain(env=LATER)
        box.wait(lambda: box.drain() and box.state("c") == "done",
                 "a lease to lapse")
        box.expect("a", "done", 0)
        box.expect("b", "done", 1)
    return Case(argv("claim", "--lease", "1s"), after)


@case("ack: lets out the next of a group", short=True)
def _(box):
    box.add("a", "-g", "x")
    box.add("b", "-g", "x")
    token = box.claim()
    box.claim()

    def after(box, _):
        box.idq("ack", token, ok=(0, 69))
        box.drain()
        box.drain(env=LATER)
        box.expect("a", "done", 0)
        box.expect("b", "done", 1)
    return Case(argv("ack", token), after)


@case("claim: promotes a waiting job")
def _(box):
    box.add("a", "--in", "1s")
    wait_until_due(box, "a")
    return Case(argv("claim", "--lease", "1s"),
                lambda box, _: leased(box, "a"))


@case("claim: reaps a killed worker's job")
def _(box):
    box.add("a")
    box.crash()
    return Case(argv("claim", "--lease", "1s"),
                lambda box, _: leased(box, "a", runs=2))


def ended(verb, *options, runs=1):
    """Verb is killed; once more, it is done already or the claim is over."""
    def ready(box):
        box.idq("add", *ADD)
        token = box.claim()

        def after(box, hit):
            r = box.idq(verb, *options, token, ok=(0, 69))
            if not hit.killed and hit.code == 0 and verb == "ack":
                box.expect("a", "done", 0)
            if r.code == 69 and verb == "ack":
                box.say("a second ack is refused")
            box.drain()
            if box.state("a") != "done":
                box.check(True)
                box.idq("retry", "a")
                box.drain()
            box.expect("a", "done", runs)
        return Case(argv(verb, *options, token), after)
    return ready


case("ack")(ended("ack", runs=0))
case("fail")(ended("fail"))
case("fail: for good")(ended("fail", "--exit", "100"))
case("fail: later")(ended("fail", "--exit", "75"))
case("release")(ended("release"))
case("release: in an hour")(ended("release", "--in", "1h"))


@case("renew")
def _(box):
    box.idq("add", *ADD)
    token = box.claim()

    def after(box, _):
        box.drain()
        box.expect("a", "running", 0)
        box.idq("renew", "--lease", "2h", token)
        box.idq("ack", token)
        box.expect("a", "done", 0)
    return Case(argv("renew", "--lease", "2h", token), after)


#
# Operating.
#

@case("cancel: a pending job")
def _(box):
    def after(box, _):
        box.idq("cancel", "a")
        box.drain()
        box.expect("a", "cancelled", 0)
    box.idq("add", *ADD)
    return Case(argv("cancel", "a"), after)


@case("cancel: then a worker")
def _(box):
    def after(box, hit):
        box.drain()
        box.expect("a", "cancelled done", 0, 1)
        if hit.code == 0 or box.state("a") == "cancelled":
            box.expect("a", "cancelled", 0)
    box.idq("add", *ADD)
    return Case(argv("cancel", "a"), after)


@case("cancel: a leased job")
def _(box):
    box.idq("add", *ADD)
    token = box.claim()

    def after(box, _):
        box.idq("cancel", "a")
        box.idq("ack", token, ok=(69,))
        box.drain()
        box.expect("a", "cancelled", 0)
    return Case(argv("cancel", "a"), after)


@case("cancel: a running job")
def _(box):
    def after(box, _):
        box.idq("cancel", "a")
        box.open_gate()
        box.finish(box.background, "a worker")
        box.drain()
        box.idq("fsck")
        box.expect("a", "cancelled", 1)
    box.idq("add", *ADD)
    return Case(argv("cancel", "a"), after, keep=True,
                before=lambda box: box.work_in_background(1))


@case("cancel: then the worker's end")
def _(box):
    def after(box, _):
        box.open_gate()
        box.finish(box.background, "a worker")
        box.idq("fsck")
        if box.state("a") == "pending":
            box.idq("retry", "a")
            box.drain()
            box.expect("a", "done", 2)
        else:
            box.expect("a", "cancelled", 1)
    box.idq("add", *ADD)
    return Case(argv("cancel", "a"), after, keep=True,
                before=lambda box: box.work_in_background(1))


def retried(runs):
    def after(box, _):
        box.idq("retry", "a")
        box.drain()
        box.expect("a", "done", runs)
    return after


@case("retry: a failed job")
def _(box):
    box.idq("add", *ADD)
    box.drain(100)
    return Case(argv("retry", "a"), retried(2))


@case("retry: then a worker")
def _(box):
    def after(box, hit):
        box.drain()
        box.check(True)
        box.expect("a", "failed done", 1, 2)
        if hit.code == 0:
            box.expect("a", "done", 2)
        if box.state("a") == "failed":
            retried(2)(box, hit)
    box.idq("add", *ADD)
    box.drain(100)
    return Case(argv("retry", "a"), after)


@case("retry: a held job")
def _(box):
    box.add("a", "--on-crash", "hold")
    box.crash()
    box.drain()
    box.expect("a", "held", 1)
    return Case(argv("retry", "a"), retried(2))


@case("retry: a waiting job")
def _(box):
    box.add("a", "--in", "1h")
    return Case(argv("retry", "a"), retried(1))


def held(runs):
    """Hold it, see that it stays, let it go on."""
    def after(box, _):
        box.idq("hold", "a")
        box.drain()
        box.check(True)
        box.expect("a", "held", runs - 1)
        box.idq("unhold", "a")
        box.drain()
        box.idq("fsck")
        box.check(True)
        box.expect("a", "done", runs)
    return after


@case("hold: a pending job")
def _(box):
    box.idq("add", *ADD)
    return Case(argv("hold", "a"), held(1))


@case("hold: a waiting job, then fsck")
def _(box):
    def after(box, hit):
        box.idq("fsck")
        box.check(True)
        box.expect("a", "pending held", 0)
        if hit.code == 0:
            box.expect("a", "held", 0)
        box.idq("retry", "a")
        box.drain()
        box.expect("a", "done", 1)
    box.add("a", "--in", "1h")
    return Case(argv("hold", "a"), after)


@case("unhold: then a worker")
def _(box):
    def after(box, hit):
        box.drain()
        box.check(True)
        box.expect("a", "held done", 0, 1)
        if hit.code == 0:
            box.expect("a", "done", 1)
        box.idq("unhold", "a", ok=(0, 69))
        box.drain()
        box.expect("a", "done", 1)
    box.idq("add", *ADD)
    box.idq("hold", "a")
    return Case(argv("unhold", "a"), after)


@case("unhold: after a crash")
def _(box):
    box.add("a", "--on-crash", "hold")
    box.crash()
    box.drain()
    box.expect("a", "held", 1)
    return Case(argv("unhold", "a"), held(2))


@case("unhold: a waiting job")
def _(box):
    def after(box, _):
        box.idq("unhold", "a")
        box.idq("fsck")
        box.check(True)
        box.expect("a", "pending", 0)
    box.add("a", "--in", "1h")
    box.idq("hold", "a")
    return Case(argv("unhold", "a"), after)


@case("pause")
def _(box):
    def after(box, hit):
        if hit.code == 0:
            box.drain()
            box.expect("a", "pending", 0)
        box.idq("pause")
        box.drain()
        box.check(True)
        box.expect("a", "pending", 0)
        box.idq("resume")
        again()(box, hit)
    box.idq("add", *ADD)
    return Case(argv("pause", "-m", "why"), after)


@case("resume")
def _(box):
    def after(box, hit):
        if hit.code == 0:
            box.drain()
            box.expect("a", "done", 1)
        box.idq("resume")
        again()(box, hit)
    box.idq("add", *ADD)
    box.idq("pause", "-m", "why")
    return Case(argv("resume"), after)


@case("forget")
def _(box):
    def after(box, _):
        box.idq("forget", "a", ok=(0, 1))
        box.idq("fsck")
        box.expect("a", "unknown", 1)
        box.check(True)
        again(runs=2)(box, None)
    box.idq("add", *ADD)
    box.drain()
    return Case(argv("forget", "a"), after)


@case("forget: then the same add")
def _(box):
    def after(box, hit):
        box.idq("add", *ADD)
        box.drain()
        box.idq("fsck")
        box.expect("a", "done", 1, 2)
        if hit.code == 0:
            box.expect("a", "done", 2)
    box.idq("add", *ADD)
    box.drain()
    return Case(argv("forget", "a"), after)


@case("purge")
def _(box):
    def after(box, _):
        box.idq("purge")
        box.idq("fsck")
        box.check(True)
        box.expect("a", "unknown", 1)
        box.expect("b", "done", 1)
        box.expect("f", "failed", 1)
        box.expect("e", "done", 1)
        box.add("b")
        box.add("a")
        box.drain()
        box.expect("a", "done", 2)
        box.expect("b", "done", 1)
    box.add("f")
    box.drain(100)
    box.add("e", "--not-after", PAST)
    box.add("a", "--keep", "1s")
    box.add("a", "--keep", "1s")
    box.add("b")
    box.add("e")
    box.drain()
    wait_for_release(box, "a")
    return Case(argv("purge"), after)


def invariants_key(key):
    return f"keys/{spools.h(key)[:2]}/{spools.h(key)}"


def state_names(box, key):
    f = invariants.Queue(box.queue).keys[spools.h(key)]
    return [f"{box.queue}/{n}" for n in f.kinds("new", "wait", "plain", "day")]


def tmp_name(box, key):
    return f"{box.queue}/tmp/{invariants.Queue(box.queue).job(key).id}"


def cur_name(box, key, folder="cur"):
    job = invariants.Queue(box.queue).job(key)
    return f"{box.queue}/{folder}/{job.hash}.{job.id}"


def unfinish(box, key):
    """Back to an add that was not finished."""
    os.rename(state_names(box, key)[0], tmp_name(box, key))


def remove(box, key):
    for name in state_names(box, key):
        os.unlink(name)
    os.unlink(f"{box.queue}/{invariants_key(key)}")


def wait_for_release(box, key):
    job = invariants.Queue(box.queue).job(key)
    end = invariants.stamp_time(job.last.fields["release"])
    box.wait(lambda: time.time() > end, "a release")


def wait_until_due(box, key):
    job = invariants.Queue(box.queue).job(key)
    due = invariants.stamp_time(job.next_of(job.last))
    box.wait(lambda: time.time() > due, "a job to be due")


def break_index(box):
    """Every way in which names may disagree with the trails."""
    box.add("finished")
    box.drain()
    for key in ("unfinished", "keyonly", "wrongdir", "twodirs", "tmponly",
                "stranded"):
        box.add(key)
    due = invariants.Queue(box.queue).job("wrongdir").head["Due"]
    unfinish(box, "unfinished")
    os.unlink(state_names(box, "keyonly")[0])
    os.rename(state_names(box, "wrongdir")[0], cur_name(box, "wrongdir"))
    os.link(state_names(box, "twodirs")[0], cur_name(box, "twodirs"))
    os.rename(state_names(box, "tmponly")[0], tmp_name(box, "tmponly"))
    os.unlink(f"{box.queue}/{invariants_key('tmponly')}")
    os.rename(state_names(box, "stranded")[0],
              cur_name(box, "stranded", "failed"))
    job = invariants.Queue(box.queue).job("finished")
    os.rename(state_names(box, "finished")[0],
              f"{box.queue}/new/{invariants.due_of(due)}.{job.hash}.{job.id}")


def mended(box, _):
    box.drain()
    if children():
        box.wait_orphans()
        box.drain()
    for key in ("unfinished", "keyonly", "wrongdir", "twodirs", "stranded"):
        box.expect(key, "done", 1, 2)
    box.expect("finished", "done", 1)
    box.expect("tmponly", "unknown", 0)


@case("fsck: on a broken index")
def _(box):
    def after(box, _):
        box.idq("fsck")
        box.check(True, ["unfinished", "keyonly", "wrongdir", "twodirs",
                         "stranded", "finished"])
        mended(box, _)
    break_index(box)
    return Case(argv("fsck"), after, looks=25)


@case("config")
def _(_box):
    def after(box, _):
        if box.idq("config", "keep").out not in ("7d\n", "3d\n"):
            box.say("keep is neither the old value nor the new one")
        box.idq("config", "keep", "3d")
        if box.idq("config", "keep").out != "3d\n":
            box.say("keep is not the value that was set")
        again()(box, None)
    return Case(argv("config", "keep", "3d"), after)


@case("init")
def _(box):
    def after(box, _):
        box.idq("init")
        again()(box, None)
    box.clear()
    return Case(argv("init"), after, broken=True)


#
# The rig.
#

LOOKS = {"openat", "read", "pread64", "close", "fstat", "newfstatat", "statx",
         "getdents64", "lseek", "fcntl", "clock_gettime"}


def trace(box, c):
    """The points of a case: (name, N) of each call from the first that names
    the spool on."""
    box.restore(c.snap)
    if c.before:
        c.before(box)
    path = f"{box.path}/trace"
    r = box.run(["strace", "-o", path, "-s", "4096", *c.argv], c.stdin, c.env)
    if c.before:
        box.open_gate()
        box.finish(box.background, "a worker")
    box.kill_orphans()
    with open(path, encoding="utf-8", errors="replace") as f:
        calls = re.findall(r"^([a-z_0-9]+)(\(.*)$", f.read(), re.MULTILINE)
    seen, points, begun, looks = {}, [], False, 0
    for name, rest in calls:
        seen[name] = seen.get(name, 0) + 1
        begun = begun or (name != "execve" and box.spool in rest)
        if begun and looks % c.looks == 0:
            points.append((name, seen[name]))
        looks = looks + 1 if only_looks(name, rest) else 0
    return points, r


def only_looks(name, rest):
    """Whether nothing on disk can differ behind a call; unknown ones change
    something."""
    return name in LOOKS and not re.search(r"O_CREAT|O_TRUNC", rest)


def kill_at(box, c, name, number):
    """Run a case, killed at one point, and judge what it leaves."""
    box.restore(c.snap)
    if c.before:
        c.before(box)
    hit = box.run(["strace", "-qq", "-o", "/dev/null", "-e", f"trace={name}",
                   "-e", f"inject={name}:signal={c.signal}:when={number}",
                   *c.argv], c.stdin, c.env)
    judge(box, c, hit)
    return hit.killed or c.signal != "KILL"


def judge(box, c, hit):
    if not c.keep:
        box.kill_orphans()
    acked = c.keys if hit.code == 0 else []
    if not c.broken:
        box.check(False, acked)
    c.after(box, hit)
    box.stop_background()
    box.kill_orphans()
    box.check(True, c.keys)


WORKDIR = None
READY = []                       # (name, Case)
BOX = None


def ready(box, short, names):
    """Make the template of every case that is asked for.  Returns how many
    could not be made."""
    failed = 0
    box.idq("init")
    box.drain()
    empty = box.snapshot()
    for name, in_short, function in CASES:
        if (short and not in_short and not names) or \
                (names and not any(n in name for n in names)):
            continue
        box.restore(empty)
        try:
            c = function(box)
            c.snap = box.snapshot()
            if not c.broken:
                box.check(False)
            c.points, r = trace(box, c)
            if not c.points:
                box.say(f"no call names the spool; exit {r.code}: {r.err}")
        except Exception:
            box.say(traceback.format_exc())
        box.kill_orphans()
        if box.bad:
            failed += 1
            print(f"{name}: cannot be made ready")
            for line in box.bad:
                print(f"  {line}")
        else:
            READY.append((name, c))
    return failed


def worker_starts():
    global BOX
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    BOX = Box(f"{WORKDIR}/{os.getpid()}")


def work(task):
    """Try one point; returns its place, whether it was reached, and what was
    wrong."""
    number, point = task
    name, c = READY[number]
    try:
        killed = kill_at(BOX, c, *c.points[point])
    except Exception:
        killed = True
        BOX.say(traceback.format_exc())
    if BOX.bad:
        keep_copy(f"{number}-{point}")
    return number, point, killed, BOX.bad


def keep_copy(name):
    """Keep the box of a violation for whoever looks into it."""
    folder = f"{WORKDIR}/bad"
    os.makedirs(folder, exist_ok=True)
    if len(os.listdir(folder)) < 20:
        shutil.copytree(BOX.path, f"{folder}/{name}", symlinks=True)


def sabotage():
    """Controls of the rig itself: what it does to a queue that a broken idq
    would leave must be found.  (caught, all, words)"""
    name, _, function = CASES[1]
    caught, missed = 0, []

    def lose_the_job(box):
        c = function(box)
        c.snap = box.snapshot()
        hit = box.run(c.argv)
        remove(box, "a")
        judge(box, c, hit)
        return "acknowledged and lost"

    def lose_the_name(box):
        c = function(box)
        c.snap = box.snapshot()
        hit = box.run(c.argv)
        os.unlink(state_names(box, "a")[0])
        box.check(True, ["a"])
        judge(box, c, hit)
        return "in no state directory"

    def lose_the_lock(box):
        # A copy of the file has none of the locks.
        box.add("a")
        box.work_in_background()
        names = [f"{box.queue}/{invariants_key('a')}", *state_names(box, "a")]
        with open(names[0], "rb") as f:
            data = f.read()
        for n in names:
            os.unlink(n)
        spools.place(box.queue, data,
                     *(os.path.relpath(n, box.queue) for n in names))
        box.background.kill()
        box.background.wait()
        box.drain()
        box.open_gate()
        box.wait_orphans()
        box.check(True, ["a"])
        return "runs twice at once"

    controls = (lose_the_job, lose_the_name, lose_the_lock)
    box = Box(f"{WORKDIR}/sabotage")
    box.idq("init")
    box.drain()
    empty = box.snapshot()
    for control in controls:
        box.restore(empty)
        words = control(box)
        if any(words in line for line in box.bad):
            caught += 1
        else:
            missed.append(f"{control.__name__}: not caught: {box.bad}")
        box.kill_orphans()
    return caught, len(controls), missed


def main():
    global WORKDIR
    p = argparse.ArgumentParser(prog="run")
    p.add_argument("--short", action="store_true",
                   help="add, work, claim and run alone")
    p.add_argument("--list", action="store_true", help="print the names")
    p.add_argument("-j", type=int, default=2 * os.cpu_count(), metavar="N",
                   help="so many at once: they wait for the disk and clocks")
    p.add_argument("name", nargs="*", help="part of the name of a case")
    args = p.parse_args()
    if args.list:
        for name, short, _ in CASES:
            print(name + (" (short)" if short else ""))
        return 0

    os.umask(0o022)
    WORKDIR = tempfile.mkdtemp(prefix="idq-rigs.")
    adopt_orphans()
    total = violations = 0
    try:
        os.mkdir(f"{WORKDIR}/controls")
        caught, of, missed = spools.run_controls(f"{WORKDIR}/controls")
        more = sabotage()
        caught, of, missed = caught + more[0], of + more[1], missed + more[2]
        for line in missed:
            say(f"  {line}")
        say(f"controls: {caught} of {of} caught")
        violations += len(missed)

        violations += ready(Box(f"{WORKDIR}/template"), args.short, args.name)
        tasks = [(i, k) for i, (_, c) in enumerate(READY)
                 for k in range(len(c.points))]
        results = {}
        with multiprocessing.get_context("fork").Pool(
                args.j, worker_starts) as pool:
            shown = 0
            for number, point, killed, bad in pool.imap(work, tasks, 4):
                results.setdefault(number, []).append((point, killed, bad))
                while shown in results and len(results[shown]) == \
                        len(READY[shown][1].points):
                    violations += show(shown, results[shown])
                    total += len(results[shown])
                    shown += 1
    finally:
        if violations and os.path.isdir(f"{WORKDIR}/bad"):
            say(f"  spools of violations: {WORKDIR}/bad")
        else:
            shutil.rmtree(WORKDIR, ignore_errors=True)
    print(f"kill at each call\t{total:,} points, {violations} violations; "
          f"{caught} of {of} controls caught\t0 violations\t"
          + ("FAILED" if violations else "ok"))
    return 1 if violations else 0


def say(words):
    print(words, file=sys.stderr, flush=True)


def show(number, results):
    """Print the figures of a case; returns the number of points violated."""
    name, c = READY[number]
    missed = [" ".join(map(str, c.points[point]))
              for point, killed, _ in results if not killed]
    broken = [(point, bad) for point, _, bad in results if bad]
    say(f"{name:44} {len(results):5} points, {len(broken)} violations"
        + (f" (not reached: {', '.join(missed[:4])}"
           + (f" and {len(missed) - 4} more" if missed[4:] else "") + ")"
           if missed else ""))
    for point, bad in broken[:5]:
        call, n = c.points[point]
        for line in bad[:6]:
            say(f"  before {call} {n} ({number}-{point}): {line}")
    if len(broken) > 5:
        say(f"  and at {len(broken) - 5} points more")
    return len(broken)


if __name__ == "__main__":
    sys.exit(main())
