# SPDX-License-Identifier: ISC
"""Wrong clocks: an hour behind, an hour ahead, ten years ahead, and back.  What
was acknowledged runs, once; a verb ends as it should; and fsck lists what a
clock that was ahead has decided."""

import glob
import os
import re
import subprocess
import sys

import invariants
import rig

SHIFTS = ("-1h", "+1h", "+10y")
LISTED = "by a clock that was ahead"
# The trail of a job that two clocks wrote: of these only the clock is wrong.
CLOCK = ("before it was due", "after its deadline")


def faketime():
    """The library, or None if it does not work here."""
    for path in glob.glob("/usr/lib/*/faketime/libfaketime.so.1"):
        r = subprocess.run(["date", "-u", "+%Y"], env={
            **os.environ, "LD_PRELOAD": path, "FAKETIME": "@2001-01-01 00:00:00"
        }, stdout=subprocess.PIPE, check=False)
        if r.stdout.strip() == b"2001":
            return path
    return None


class Clock(rig.Spool):
    """A queue, and commands whose clock is shifted."""

    def __init__(self, path, library, shift, idq=rig.IDQ):
        super().__init__(path, idq)
        self.library = library
        self.shift = shift
        self.ahead = shift.startswith("+")
        self.acked = set()
        self.token = ""
        self.idq("init")

    def at(self, verb, *args, ok=(0,)):
        """Run a verb with the shifted clock."""
        return self.do(verb, *args, ok=ok, env={
            "LD_PRELOAD": self.library, "FAKETIME": self.shift,
            "FAKETIME_DONT_FAKE_MONOTONIC": "1"})

    def do(self, verb, *args, ok=(0,), env=None):
        r = self.idq(verb, *args, ok=ok, env=env)
        for line in r.err.split("\n")[:-1]:
            if not re.fullmatch(r"idq: .*\S", line):
                self.say(f"{self.shift}: {verb} says {line[:200]}")
        if verb == "add" and r.code == 0:
            self.acked.add(args[1])
        return r

    def work(self, at=False):
        return (self.at if at else self.do)(
            "work", "--drain", "--", f"{rig.HERE}/command")

    def ran(self, key):
        return sum(r[0] == "start" and r[1] == key
                   for r in invariants.parse_runs(self.runs_text()))

    def expect(self, what, found, *wanted):
        if found not in wanted:
            self.say(f"{self.shift}: {what} is {found}, not "
                     f"{' or '.join(map(str, wanted))}")

    def state(self, key):
        job = invariants.Queue(self.queue).job(key)
        return job.state if job else "lost"

    def listed(self, least):
        """What fsck says of the clock; nothing else may be wrong."""
        r = self.do("fsck", ok=(0, 1))
        lines = r.out.splitlines()
        for line in lines:
            if LISTED not in line and not line.startswith("fixed\t"):
                self.say(f"{self.shift}: fsck: {line}")
        n = sum(LISTED in line for line in lines)
        if n < least:
            self.say(f"{self.shift}: fsck lists {n} of {least} decisions")
        if n and r.code != 1:
            self.say(f"{self.shift}: fsck lists {n} decisions and exits 0")

    def end(self):
        """With the right clock all that was acknowledged ends."""
        self.do("retry", "-s", "waiting", "--yes")
        self.work()
        self.check(acked=self.acked, but=CLOCK)
        for key in self.acked:
            self.expect(key, self.state(key), "done", "expired")


#
# Scenarios.  Each leaves what was acknowledged to end().
#

def adds(c):
    """add with the wrong clock, and again with the right one"""
    c.at("add", "-k", "a")
    c.do("add", "-k", "a")
    c.at("add", "-k", "b", "--in", "10m")
    c.do("add", "-k", "b")
    c.work()
    c.expect("runs of a", c.ran("a"), 0 if c.ahead else 1)
    c.listed(2 if c.ahead else 0)
    c.end()
    c.expect("runs of a", c.ran("a"), 1)
    c.expect("runs of b", c.ran("b"), 1)


def works(c):
    """a worker with the wrong clock"""
    c.do("add", "-k", "a")
    c.do("add", "-k", "b", "--in", "10m")
    c.work(at=True)
    c.expect("runs of a", c.ran("a"), 1 if c.ahead else 0)
    c.expect("runs of b", c.ran("b"), 1 if c.ahead else 0)
    c.listed(2 if c.ahead else 0)
    c.do("add", "-k", "a")
    c.end()
    c.expect("runs of a", c.ran("a"), 1)
    c.expect("runs of b", c.ran("b"), 1)


def retries(c):
    """a try that fails with the wrong clock"""
    c.do("add", "-k", "a")
    c.at("work", "--drain", "--", "/bin/false")
    c.listed(1 if c.ahead else 0)
    c.end()
    c.expect("runs of a", c.ran("a"), 1)


def deadlines(c):
    """a deadline that only the wrong clock is past"""
    c.do("add", "-k", "a", "--ttl", "10m")
    c.work(at=True)
    c.expect("a", c.state("a"), "expired" if c.ahead else "pending")
    c.listed(1 if c.ahead else 0)
    c.do("add", "-k", "a", "--ttl", "10m")
    c.end()
    c.expect("a", c.state("a"), "done")
    c.expect("runs of a", c.ran("a"), 1)


def late_deadlines(c):
    """add with a deadline by the wrong clock"""
    c.at("add", "-k", "a", "--ttl", "10m")
    c.do("add", "-k", "a", "--ttl", "10m")
    c.work()
    c.listed(1 if c.ahead else 0)
    c.end()
    c.expect("runs of a", c.ran("a"), 1)


def leases(c):
    """a lease that only the wrong clock sees at its end"""
    c.do("add", "-k", "a")
    token = c.do("claim", "--lease", "10m").out.strip()
    c.work(at=True)
    c.expect("runs of a", c.ran("a"), 1 if c.ahead else 0)
    c.listed(1 if c.ahead else 0)
    r = c.do("ack", token, ok=(0, 69))
    c.expect("ack", r.code, 69 if c.ahead else 0)
    c.end()
    c.expect("runs of a", c.ran("a"), 1 if c.ahead else 0)


def late_leases(c):
    """a claim with the wrong clock"""
    c.do("add", "-k", "a")
    token = c.at("claim", "--lease", "10m", ok=(0, 1)).out.strip()
    c.expect("a token", bool(token), c.ahead)
    c.listed(1 if c.ahead else 0)
    if token:
        c.do("renew", "--lease", "10m", token)
        c.listed(0)
        c.do("ack", token)
        c.do("ack", token)
    c.end()
    c.expect("a", c.state("a"), "done")
    c.expect("runs of a", c.ran("a"), 0 if token else 1)


def purges(c):
    """purge with the wrong clock"""
    c.do("config", "keep", "7d")
    c.do("add", "-k", "a")
    c.work()
    r = c.at("purge")
    if c.shift == "+10y":
        c.expect("lines of purge", len(r.err.splitlines()), 1)
    c.do("add", "-k", "a")
    c.listed(0)
    c.end()
    c.expect("runs of a", c.ran("a"), 1)


def paces(c):
    """a start of the group by the wrong clock"""
    c.do("config", "group-gap", "1s")
    c.do("add", "-k", "a", "-g", "g")
    if not c.ahead:
        c.at("add", "-k", "c", "-g", "g")
    c.work(at=True)
    c.do("add", "-k", "b", "-g", "g")
    if not rig.wait_for(lambda: (c.work(), c.state("b") == "done")[1], 20):
        c.say(f"{c.shift}: a group waits for a start still to come")
    c.listed(1 if c.ahead else 0)
    # The gaps of the others, which no drain waits for.
    rig.wait_for(lambda: (c.work(), all(c.state(key) == "done"
                                        for key in c.acked))[1], 20)
    c.end()
    for key in c.acked:
        c.expect(f"runs of {key}", c.ran(key), 1)


def waits(c):
    """looking with the wrong clock"""
    c.do("add", "-k", "a")
    for argv in (("ls",), ("stats",), ("plan",), ("show", "a"), ("log",),
                 ("check",), ("wait", "--timeout", "0s", "a")):
        c.at(*argv, ok=(0, 1, 2, 75))
    c.end()
    c.at("wait", "--timeout", "0s", "a")
    c.expect("runs of a", c.ran("a"), 1)


SCENARIOS = (adds, works, retries, deadlines, late_deadlines, leases,
             late_leases, purges, paces, waits)
# A defect, and the scenario that finds it.
CONTROLS = (("purge-believes", purges), ("fsck-timeless", works))


def main(folder, _short):
    library = faketime()
    if not library:
        rig.figure("wrong clocks", "libfaketime is not installed",
                   "0 violations", None)
        return
    for shift in SHIFTS:
        bad = 0
        for scenario in SCENARIOS:
            c = Clock(f"{folder}/{scenario.__name__}{shift}", library, shift)
            scenario(c)
            if c.bad:
                rig.note(f"  {shift}: {scenario.__doc__}")
            bad += len(c.bad)
        rig.figure(f"wrong clocks, {shift} and back",
                   f"{len(SCENARIOS)} scenarios, {bad} violations",
                   "0 violations", not bad)
    caught = 0
    for name, scenario in CONTROLS:
        idq = rig.broken(name, folder)
        c = Clock(f"{folder}/control-{name}", library, "+10y", idq) if idq \
            else None
        if c:
            scenario(c)
        caught += bool(c and c.bad)
        rig.note(f"control {name}: {c.bad[0] if c and c.bad else 'NOT CAUGHT'}")
    rig.figure("wrong clocks, broken builds",
               f"{caught} of {len(CONTROLS)} caught", "all",
               caught == len(CONTROLS))


if __name__ == "__main__":
    sys.exit(rig.main("clock", main))
