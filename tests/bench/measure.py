# SPDX-License-Identifier: ISC
"""What the rows share: the place, the programs, timing in turn, the table."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from statistics import mean, median

BUILD = os.path.realpath(os.environ["IDQ_BUILD"])
IDQ = os.environ.get("IDQ", f"{BUILD}/idq")
TOOLS = f"{BUILD}/bench/tools"
PATIENCE = 20


class Wrong(Exception):
    """Something did not work, or did not do its work."""


def tool(name):
    return f"{TOOLS}/{name}"


def must(condition, what):
    if not condition:
        raise Wrong(what)


def wait_for(condition, what, seconds=PATIENCE):
    """Until it is true; what it returned."""
    end = time.monotonic() + seconds
    while True:
        got = condition()
        if got:
            return got
        must(time.monotonic() < end, f"after {seconds} s not: {what}")
        time.sleep(0.01)


def output(*words, **more):
    """What a command prints; it has to succeed."""
    r = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, **more)
    must(r.returncode == 0,
         f"{' '.join(words)}: status {r.returncode}: {r.stderr.strip()}")
    return r.stdout


def entries(path):
    """How many names there are below it, without the folders."""
    return sum(len(files) for _, _, files in os.walk(path))


def unit(seconds):
    return (f"{seconds:.2f} s" if seconds >= 1 else
            f"{seconds * 1e3:.2f} ms" if seconds >= 1e-3 else
            f"{seconds * 1e6:.0f} us")


class Place:
    """Where queues and servers are, and what has to be ended and removed."""

    def __init__(self):
        given = os.environ.get("BENCH_DIR") or None
        if given:
            os.makedirs(given, exist_ok=True)
        self.dir = tempfile.mkdtemp(prefix="idq-bench.", dir=given)
        self.started = []
        self.undo = []
        os.environ.update(IDQ_SPOOL=f"{self.dir}/spool", LC_ALL="C", TZ="UTC",
                          HOME=self.dir, NQDIR=f"{self.dir}/nq")
        for name in "IDQ_KEY", "NO_COLOR", "IDQ_QUEUE":
            os.environ.pop(name, None)

    def start(self, *words):
        """A process that is ended with the place."""
        with open(f"{self.dir}/stderr", "a") as f:
            p = subprocess.Popen(words, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=f)
        self.started.append(p)
        return p

    def stop(self, p, how=signal.SIGTERM):
        if p.poll() is None:
            p.send_signal(how)
        status = p.wait(PATIENCE)
        self.started.remove(p)
        return status

    def close(self):
        for p in self.started:
            p.kill()
            p.wait()
        for undo in reversed(self.undo):
            undo()
        shutil.rmtree(self.dir, ignore_errors=True)

    def queue(self, name, *config):
        """An empty queue; its folder."""
        path = f"{self.dir}/spool/{name}"
        shutil.rmtree(path, ignore_errors=True)
        output(IDQ, "init", "-q", name)
        self.config(name, *config)
        return path

    def config(self, name, *config):
        for words in config:
            output(IDQ, "config", "-q", name, *words.split())

    def fill(self, name, first, last, *options, line=None):
        """Jobs of the keys kFIRST ... but kLAST, by one batch, which is on
        disk when this returns: nobody's time has that in it."""
        path = f"{self.dir}/lines"
        with open(path, "w") as f:
            for i in range(first, last):
                f.write(line(i) if line else
                        f'{{"key":"k{i}","args":["x"]}}\n')
        self.config(name, "sync off")
        with open(path) as f:
            output(IDQ, "add", "-q", name, "--batch", "--json-lines",
                   *options, stdin=f)
        output("sync", "-f", path)
        self.config(name, "sync full")
        os.unlink(path)

    def count(self, name, state):
        return entries(f"{self.dir}/spool/{name}/{state}")


def timer(rounds, *competitors, first=0, copies=0, parts=False, settle=True):
    """Each competitor is a list of commands; seconds of each round and KiB.
    FIRST is the number of the first round.  With SETTLE what others wrote is
    synced before a command is timed.
    With PARTS it is one competitor, and each command has times of its own."""
    words = [tool("timer"), "-f", str(first)]
    if settle:
        words += ["-s", os.path.dirname(os.environ["IDQ_SPOOL"])]
    if parts:
        words.append("-p")
    if copies:
        words += ["-j", str(copies)]
    words.append(str(rounds))
    for steps in competitors:
        for i, step in enumerate(steps):
            words += ["--and" if i else "--against", *step]
    got = json.loads(output(*words))
    return [[ns / 1e9 for ns in c] for c in got["ns"]], got["rss"]


class Table:
    """The rows, as they are measured."""

    HEAD = ("row", "against", "idq", "other", "ratio", "target", "")

    def __init__(self):
        self.rows = []
        self.raw = {}

    def _print(self, cells):
        w = (30, 26, 11, 11, 9, 10, 8)
        print(" ".join(f"{c:<{n}}" for c, n in zip(cells, w)).rstrip(),
              flush=True)

    def head(self):
        self._print(self.HEAD)

    def line(self, row, against, idq, other="", ratio=None, most=None,
             least=None, target="", met=None):
        """One comparison.  MOST or LEAST is the target of RATIO; otherwise
        TARGET says it and MET what came of it."""
        if most is not None:
            target, met = f"<= {most:g} x", ratio <= most
        if least is not None:
            target, met = f">= {least:g} x", ratio >= least
        verdict = "" if met is None else "met" if met else "missed"
        self.rows.append({"row": row, "against": against, "idq": idq,
                          "other": other, "ratio": ratio, "target": target,
                          "verdict": verdict})
        shown = "" if ratio is None else f"{ratio:.2f} x"
        self._print((row, against, idq, other, shown, target, verdict))

    def compare(self, row, names, times, targets=None, per=None,
                middle=median):
        """The first against each other: the median of the ratios of the same
        round; with MIDDLE mean, the ratio of the sums.  PER is the number of
        jobs in a round of each."""
        per = per or [1] * len(names)
        times = [[t / n for t in ts] for ts, n in zip(times, per)]
        self.raw.setdefault(row, {}).update(zip(names, times))
        for name, ts in list(zip(names, times))[1:]:
            ratio = (sum(times[0]) / sum(ts) if middle is mean else
                     median(a / b for a, b in zip(times[0], ts)))
            self.line(row, name, unit(middle(times[0])), unit(middle(ts)),
                      ratio, most=(targets or {}).get(name))

    def missed(self):
        return sum(r["verdict"] == "missed" for r in self.rows)


def say(*words):
    print("bench:", *words, file=sys.stderr, flush=True)
