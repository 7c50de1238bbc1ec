# SPDX-License-Identifier: ISC
"""What the rigs of long runs and of trouble share: a spool in a folder of its
own, commands on it, and the figures."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import invariants

HERE = os.path.dirname(os.path.abspath(__file__))
IDQ = os.path.abspath(os.environ["IDQ"])
FAILED = []


def note(words):
    print(words, file=sys.stderr, flush=True)


def figure(name, words, target, ok):
    """Print a figure; OK is None where it could not be taken."""
    verdict = "SKIP" if ok is None else "ok" if ok else "FAILED"
    if ok is not None and not ok:
        FAILED.append(name)
    print(f"{name}\t{words}\t{target}\t{verdict}", flush=True)


class Result:
    def __init__(self, code, out, err):
        self.code = code
        self.out = out
        self.err = err


class Spool:
    """A spool with one queue, `q', in PATH, and the log of what ran."""

    def __init__(self, path, idq=IDQ):
        self.path = path
        self.idq_path = idq
        self.spool = f"{path}/spool"
        self.queue = f"{self.spool}/q"
        self.runs = f"{path}/runs"
        self.bad = []
        os.makedirs(self.spool, 0o700, exist_ok=True)
        env = {k: v for k, v in os.environ.items()
               if not k.startswith(("IDQ", "NAP", "GATE", "STATUS", "FAKE"))}
        env.update(LC_ALL="C", TZ="UTC", IDQ_SPOOL=self.spool, RUNS=self.runs)
        self.env = env

    def say(self, words):
        if words not in self.bad:
            self.bad.append(words)
            note(f"  {words}")

    def argv(self, verb, *args):
        return [self.idq_path, verb, "-q", "q", *args]

    def run(self, verb, *args, stdin="", env=None, timeout=60, before=None):
        try:
            r = subprocess.run(self.argv(verb, *args), input=stdin.encode(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**self.env, **(env or {})}, check=False,
                               timeout=timeout, preexec_fn=before)
        except subprocess.TimeoutExpired:
            self.say(f"stuck: idq {verb} {' '.join(args)}")
            return Result(-1, "", "")
        return Result(r.returncode, r.stdout.decode("utf-8", "replace"),
                      r.stderr.decode("utf-8", "replace"))

    def idq(self, verb, *args, ok=(0,), **more):
        """Run a verb; any exit but those in OK is wrong."""
        r = self.run(verb, *args, **more)
        if r.code not in ok:
            self.say(f"idq {verb} {' '.join(args)}: exit {r.code}: "
                     f"{r.err.strip()[:300]}")
        return r

    def runs_text(self):
        try:
            with open(self.runs, encoding="utf-8") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def check(self, settled=True, acked=(), but=()):
        """Compare it with idq(5); BUT are words of what is let pass."""
        for line in invariants.check(self.queue, settled, acked,
                                     self.runs_text()):
            if not any(words in line for words in but):
                self.say(line)

    def left(self):
        """The unfinished jobs that will be run."""
        out = self.idq("ls", "-s", "waiting,pending,running").out
        return [line.split("\t")[-1] for line in out.splitlines()]


def wait_for(condition, seconds):
    """Whether CONDITION comes true in so many seconds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def broken(name, folder):
    """An idq with the defect NAME."""
    r = subprocess.run([f"{HERE}/break", name, f"{folder}/{name}"],
                       stdout=subprocess.PIPE, check=False)
    return r.stdout.decode().strip() if r.returncode == 0 else None


def main(rig, function):
    """Run FUNCTION(folder, short) in a folder that is removed afterwards, with
    whatever it told to be put back in CLEANUPS."""
    args = sys.argv[1:]
    if args not in ([], ["--short"]):
        print(f"usage: {rig} [--short]", file=sys.stderr)
        return 64
    os.umask(0o022)
    folder = tempfile.mkdtemp(prefix=f"idq-{rig}.")
    for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(s, lambda number, _: sys.exit(128 + number))
    try:
        function(folder, bool(args))
    finally:
        for undo in reversed(CLEANUPS):
            undo()
        if FAILED and os.environ.get("KEEP"):
            note(f"  left: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if FAILED else 0


CLEANUPS = []
