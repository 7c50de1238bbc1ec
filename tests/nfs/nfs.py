# SPDX-License-Identifier: ISC
"""A queue that two clients share over NFS; see run."""

import hashlib
import os
import re
import subprocess
import time
import traceback

import guest
import invariants
import rig

SHORT = False
FOLDER = ""


class Test:
    """A scenario on a queue of its own: what was wrong, and the figures."""

    def __init__(self, g, name, idq="/idq"):
        self.g = g
        self.name = name
        self.queue = f"/mnt/{name}"
        self.disk = f"/srv/spool/{name}"
        self.idq = idq
        self.bad = []
        self.acked = []
        self.words = ""

    def say(self, words):
        self.bad.append(words)
        rig.note(f"  {self.name}: {words}")

    def expect(self, ok, words):
        if not ok:
            self.say(words)
        return ok

    def cmd(self, verb, *args, env=""):
        """The command line of a verb."""
        return " ".join(filter(None, (env, self.idq, verb, "-q", self.queue,
                                      *args)))

    def init(self, **config):
        self.g.a.ok(self.cmd("init"))
        for name, value in config.items():
            self.g.a.ok(self.cmd("config", name.replace("_", "-"), value))

    def runs(self):
        return self.g.server(f"cat /run/runs.{self.name} 2>/dev/null")[1]

    def starts(self):
        return [line.split() for line in self.runs().split("\n")
                if line.startswith("start ")]

    def wait_runs(self, what, count, seconds):
        """Whether so many lines WHAT of commands come."""
        script = (f"wait_for {seconds} '[ $(grep -c ^{what} "
                  f"/run/runs.{self.name}) -ge {count} ]'")
        return self.g.server(script, seconds * 3 + 60)[0] == 0

    def check(self, but=()):
        """All that idq(5) says, of the queue as it is on the server."""
        code, out = self.g.a(self.cmd("fsck", "-n"))
        self.expect(code == 0, f"fsck -n: exit {code}: {out.strip()[:300]}")
        path = self.g.unpack(self.name, f"{FOLDER}/out")
        for line in invariants.check(path, True, self.acked, self.runs()):
            if not any(words in line for words in but):
                self.say(line)


def key_path(key):
    h = hashlib.sha256(key.encode()).hexdigest()
    return f"keys/{h[:2]}/{h}"


def count(out):
    """The lines of `uniq -c': what -> how often."""
    return {m[2]: int(m[1]) for m in re.finditer(r"^ *(\d+) (.+)$", out, re.M)}


def both(t, script, seconds):
    """SCRIPT on both clients at once; the sum of their counts."""
    total = {}
    for shell in (t.g.a, t.g.b):
        shell.send(script)
    for shell in (t.g.a, t.g.b):
        for what, n in count(shell.wait(seconds)[1]).items():
            total[what] = total.get(what, 0) + n
    return total


def twice(command, name):
    """Two loops of COMMAND on a client; what they answered, counted."""
    return (f"for w in 1 2; do ({command}) >/tmp/{name}.$CLIENT.$w 2>&1 & "
            f"done; wait; cat /tmp/{name}.$CLIENT.* | cut -f1 | sort | "
            "uniq -c")


def keys(t):
    """Four adders of the same keys, two on each client."""
    n = 40 if SHORT else 200
    t.init()
    add = t.cmd("add", "-v", "-k", "key/$i", "a$i")
    total = both(t, twice(
        f"i=0; while [ $i -lt {n} ]; do i=$((i + 1)); {add}; "
        "echo \"= $?\"; done", t.name), 900)
    want = {"added": n, "duplicate": 3 * n, "= 0": 4 * n}
    t.expect(total == want, f"{total}, not {want}")
    t.acked = [f"key/{i}" for i in range(1, n + 1)]
    t.words = (f"{sum(v for k, v in total.items() if k[0] == '=')} adds, "
               f"{total.get('added', 0)} of {n} jobs")
    t.check()
    return n


def workers(t):
    """And four workers on these jobs."""
    n = len(t.acked)
    total = both(t, twice(t.cmd("work", "--drain", "--", "/job")
                          + "; echo \"= $?\"", t.name), 900)
    t.expect(total == {"= 4": 0} or total == {"= 0": 4}, f"workers: {total}")
    left = t.g.a(t.cmd("ls", "-s", "pending,running") + " | wc -l")[1].strip()
    if left != "0":
        t.g.a(t.cmd("work", "--drain", "--", "/job"), 300)
    starts = t.starts()
    clients = {line[4][0] for line in starts}
    t.expect(len(starts) == n, f"{len(starts)} starts of {n} jobs")
    t.expect(len({line[1] for line in starts}) == n, "not each job ran")
    t.expect(len(clients) == 2, "only one client worked")
    t.words = f"{len(starts)} starts of {n} jobs, {left} left by the drains"
    t.check()


def start_worker(t, shell, *args, env=""):
    """A worker in the background of a client."""
    shell.ok(t.cmd("work", *args, "--", "/job", env=env)
             + f" >/tmp/w.{t.name} 2>&1 & echo $! >/tmp/pid.{t.name}")


SCENARIOS = [
    ("keys over NFS", keys, "exactly the jobs, each answer right"),
]


def run_one(g, name, function, target, t):
    began = time.monotonic()
    rig.note(f"nfs: {name}")
    try:
        function(t)
    except guest.Broken as e:
        t.say(f"broken: {e}")
        rig.note(g.words())
    except Exception:                            # pylint: disable=broad-except
        t.say(traceback.format_exc())
    rig.note(f"  {t.words}: {time.monotonic() - began:.0f} s")
    rig.figure(name, f"{t.words}, {len(t.bad)} violations", target, not t.bad)


def whole(folder, short):
    global SHORT, FOLDER
    SHORT, FOLDER = short, folder
    os.makedirs(guest.CACHE, exist_ok=True)
    os.makedirs(f"{folder}/out")
    stop = f"{folder}/stop.so"
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC",
                    "-D_GNU_SOURCE", "-o", stop,
                    f"{guest.HERE}/stop.c", "-ldl"], check=True)
    g = guest.Guest(folder, {"idq": rig.IDQ, "opt/stop.so": stop})
    rig.CLEANUPS.append(g.kill)
    g.boot()
    t = Test(g, "keys")
    run_one(g, "keys over NFS", keys, "each key once, each answer right", t)
    u = Test(g, "keys")
    u.acked = t.acked
    run_one(g, "workers over NFS", workers, "each job once", u)


def main(folder, short):
    try:
        whole(folder, short)
    except guest.Skip as e:
        rig.figure("NFS", str(e), "0 violations", None)


if __name__ == "__main__":
    raise SystemExit(rig.main("nfs", main))
