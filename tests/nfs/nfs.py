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

    def __init__(self, g, name, control=None):
        self.g = g
        self.control = control
        self.name = name
        self.queue = f"/mnt/{name}"
        self.disk = f"/srv/spool/{name}"
        self.idq = f"/{control}" if control else "/idq"
        self.bad = []
        self.acked = []
        self.words = ""

    def say(self, words):
        self.bad.append(words)
        # That a control is caught is no news.
        if not self.control:
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
        left = [line for line in out.split("\n") if line.strip() and
                not any(words in line for words in but)]
        self.expect(code in (0, 1) and not left,
                    f"fsck -n: exit {code}: {left[:5]}")
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


def workers(t):
    """And four workers on these jobs.  The client that is ahead would stay
    ahead, with each job that the other tries: the first ones wait for it."""
    n = len(t.acked)
    total = both(t, twice(t.cmd("work", "--drain", "--", "/job", env="MEET=60")
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


def mix(t):
    """An adder and a worker on each client at the same time."""
    n = 20 if SHORT else 60
    t.init()
    add = t.cmd("add", "-k", "mix/$CLIENT/$i")
    work = t.cmd("work", "--drain", "--", "/job")
    total = both(t, f"""
        (i=0; while [ $i -lt {n} ]; do
            i=$((i + 1)); {add}; echo "add $?"
        done; : >/tmp/mix.end) >/tmp/mix.add 2>&1 &
        (until [ -e /tmp/mix.end ]; do
            {work}; echo "work $?"
        done) >/tmp/mix.work 2>&1 &
        wait; cat /tmp/mix.add /tmp/mix.work | grep -v "^work 0" |
        grep -v "no job was ever added" |
        sort | uniq -c""", 900)
    t.expect(total == {"add 0": 2 * n}, f"{total}")
    t.g.a(work, 300)
    starts = t.starts()
    t.expect(len(starts) == 2 * n, f"{len(starts)} starts of {2 * n} jobs")
    t.expect(len({line[1] for line in starts}) == 2 * n, "not each job ran")
    t.acked = [f"mix/{shell.n}/{i + 1}" for shell in (t.g.a, t.g.b)
               for i in range(n)]
    t.words = f"{2 * n} jobs added and run at once, {len(starts)} starts"
    t.check()


def start_worker(t, shell, *args, env=""):
    """A worker in the background of a client."""
    shell.ok(t.cmd("work", *args, "--", "/job", env=env)
             + f" >/tmp/w.{t.name} 2>&1 & echo $! >/tmp/pid.{t.name}")


def end_worker(t, shell, seconds=60):
    """Tell it to stop, and wait until it has."""
    code, out = shell(f"p=$(cat /tmp/pid.{t.name}); kill $p 2>/dev/null; "
                      f"wait_for {seconds} '! kill -0 $p 2>/dev/null'; r=$?; "
                      f"cat /tmp/w.{t.name}; exit $r", seconds * 3 + 60)
    t.expect(code == 0, f"the worker does not end: {out[-300:]}")
    return out


def follow(t):
    """A worker that follows sees what the other client adds."""
    t.init()
    n = 2 if SHORT else 4
    t.g.a.ok(t.cmd("add", "-k", "follow/first"))
    start_worker(t, t.g.b)
    t.expect(t.wait_runs("end", 1, 130), "the worker does not start")
    times = []
    for i in range(n):
        t.g.a.ok(t.cmd("add", "-k", f"follow/{i}"))
        began = time.monotonic()
        if not t.expect(t.wait_runs("end", i + 2, 130), "never started"):
            break
        times.append(time.monotonic() - began)
    end_worker(t, t.g.b)
    worst = max(times, default=0)
    t.expect(worst < 30, f"started after {worst:.0f} s")
    t.words = f"{len(times)} jobs started within {worst:.1f} s"
    t.acked = [f"follow/{i}" for i in range(n)]
    t.check()


def moves(t):
    """A job that two clients move to and fro while they still know its name
    where it was."""
    t.init()
    t.g.a.ok(t.cmd("add", "-k", "moved"))
    steps = 0
    for first, second in ((t.g.a, t.g.b), (t.g.b, t.g.a), (t.g.a, t.g.b)):
        for ender in (second, first):
            code, token = first(t.cmd("claim", "--lease", "1h"))
            if not t.expect(code == 0, f"step {steps}: claim: exit {code}"):
                return
            code, out = ender(t.cmd("release", token.strip()))
            t.expect(code == 0, f"step {steps}: release: exit {code}: {out}")
            steps += 2
    t.acked = ["moved"]
    t.words = f"{steps} moves by turns"
    t.check()


def killed(t):
    """A client whose power fails while it runs four jobs."""
    t.init()
    t.acked = [f"killed/{i}" for i in range(4)]
    for key in t.acked:
        t.g.a.ok(t.cmd("add", "-k", key))
    start_worker(t, t.g.b, "-j4", env="NAP=900")
    t.expect(t.wait_runs("start", 4, 120), "beta did not start 4 jobs")
    # Those of a client that lives are not taken, nor killed, by another.
    code, out = t.g.a(t.cmd("work", "--drain", "--", "/job"))
    t.expect(code == 0 and len(t.starts()) == 4, f"{code}: {out}")
    code, out = t.g.a(t.cmd("ack", "$(printf %s killed/0 | sha256sum | "
                            "cut -c1-64).0000000000000000.1"))
    t.expect(code == 69, f"ack of no claim: exit {code}: {out}")
    t.g.server.ok(f"kill_client {t.g.b.n}; now=$(/opt/date +%s.%N); "
                  f"grep ^start /run/runs.{t.name} | while read -r _ k i a p "
                  f"_; do echo \"killed $k $i $a $p $now\" "
                  f">>/run/runs.{t.name}; done")
    began = time.monotonic()
    while len(t.starts()) < 8 and time.monotonic() - began < 180:
        t.g.a(t.cmd("work", "--drain", "--", "/job"), 300)
        time.sleep(1)
    took = time.monotonic() - began
    starts = t.starts()
    for key in t.acked:
        mine = [line[4][0] for line in starts if line[1] == key]
        t.expect(mine == [str(t.g.b.n), str(t.g.a.n)],
                 f"{key} was started by {mine}")
        trail = t.g.a(t.cmd("show", key))[1]
        t.expect("done" in trail, f"{key}: {trail}")
    t.words = f"4 jobs of a dead client run by the other after {took:.0f} s"
    t.check()
    t.g.client(t.g.b, "beta2", "ttyS3")


def lost(t):
    """No reply comes back for some seconds, again and again."""
    t.init()
    n = 8 if SHORT else 30
    rounds = 2 if SHORT else 6
    one = "; ".join((
        t.cmd("add", "-v", "-k", "lost/$i"),
        "echo \"add $?\"",
        f"k=$({t.cmd('claim', '--lease', '10m')})",
        "echo \"claim $?\"",
        t.cmd("ack", "$k"),
        "echo \"ack $?\""))
    t.g.a.send(f"i=0; while [ $i -lt {n} ]; do i=$((i + 1)); {one}; done 2>&1 "
               "| cut -f1 | sort | uniq -c")
    for _ in range(rounds):
        t.g.server.ok(f"lose {t.g.a.n}; sleep 2; keep {t.g.a.n}; sleep 4")
    got = count(t.g.a.wait(900)[1])
    want = {"added": n, "add 0": n, "claim 0": n, "ack 0": n}
    t.expect(got == want, f"{got}, not {want}")
    t.acked = [f"lost/{i}" for i in range(1, n + 1)]
    t.words = f"{3 * n} commands with replies lost"
    t.check()


def add_link(key):
    return ("add link", "linkat:1", ("add", "-v", "-k", key),
            f"[ -e %s/{key_path(key)} ]", 0, "added")


# A command that is stopped at a call, what of it the server has to have done
# before it is restarted, and the right answer.  %s is the queue's path there.
RESTARTS = [
    add_link("r/add1"),
    ("add rename", "renameat:1", ("add", "-v", "-k", "r/add2"),
     "ls %s/new/*{r/add2}* >/dev/null 2>&1", 0, "added"),
    ("claim", "renameat:1", ("claim", "--lease", "10m"),
     "ls %s/cur/{r/add1}* >/dev/null 2>&1", 0, r"\.1$"),
    ("ack", "renameat:1", ("ack", "{token}"),
     "ls %s/done/*/*{r/done}* >/dev/null 2>&1", 0, ""),
    ("reuse link", "linkat:1",
     ("add", "-v", "--reuse", "final", "-k", "r/reuse1"),
     "ls %s/tmp/*.k >/dev/null 2>&1", 0, "added"),
    ("reuse rename", "renameat:1",
     ("add", "-v", "--reuse", "final", "-k", "r/reuse2"),
     "! ls %s/tmp/*.k >/dev/null 2>&1", 0, "added"),
    ("retry", "renameat:1", ("retry", "r/failed"),
     "ls %s/new/*{r/failed}* >/dev/null 2>&1", 0, ""),
    ("cancel", "renameat:1", ("cancel", "r/cancel"),
     "ls %s/cancelled/*/*{r/cancel}* >/dev/null 2>&1", 0, ""),
    ("forget", "unlinkat:1", ("forget", "r/forget"),
     "! ls %s/done/*/*{r/forget}* >/dev/null 2>&1", 0, ""),
    ("pause", "renameat:1", ("pause", "-m", "x"), "[ -e %s/paused ]", 0, ""),
    ("config", "renameat:1", ("config", "keep", "8d"),
     "grep -q 8d %s/config 2>/dev/null", 0, ""),
]


def hashed(words):
    """{KEY} in WORDS as its hash."""
    return re.sub(r"\{(r/\w+)\}", lambda m: hashlib.sha256(
        m[1].encode()).hexdigest(), words)


def restart_setup(t):
    """Jobs in the states that RESTARTS need; the token of r/done."""
    add = t.cmd("add", "-k")
    for key in ("r/reuse1", "r/reuse2", "r/forget"):
        t.g.a.ok(f"{add} {key}")
    t.g.a.ok(t.cmd("work", "--drain", "--", "/job"))
    t.g.a.ok(f"{add} r/failed")
    t.g.a.ok(f"{t.cmd('fail', '--exit', '100')} $({t.cmd('claim')})")
    t.g.a.ok(f"{add} r/done")
    t.g.a.ok(f"{add} r/cancel --in 1h")
    return t.g.a.ok(t.cmd("claim", "--lease", "10m")).strip()


def restart_one(t, row, token):
    name, at, args, seen, want, words = row
    line = t.cmd(*args, env=f"STOP_AT={at} STOP_FILE=/run/stop "
                 "LD_PRELOAD=/opt/stop.so").replace("{token}", token)
    seen = hashed(seen.replace("%s", t.disk))
    t.g.a.ok(f"rm -f /run/stop.*; ({line}; echo \"= $?\") >/run/stop.out "
             "2>&1 & wait_for 60 '[ -e /run/stop.at ]'", 240)
    # Whatever the client asks first is answered, late; so would this be.
    n = t.g.a.n
    code, _ = t.g.server(f"slow {n}; : >/run/stop.go; wait_for 60 '{seen}'; "
                         f"r=$?; lose {n}; restart; keep {n}; exit $r", 400)
    t.expect(code == 0, f"{name}: did not reach the server")
    code, _ = t.g.a("wait_for 150 'grep -q ^= /run/stop.out'", 600)
    out = t.g.a("cat /run/stop.out")[1]
    m = re.search(r"^= (\d+)", out, re.M)
    if t.expect(code == 0 and m, f"{name}: no end: {out}"):
        said = out[:m.start()].strip()
        right = re.search(words, said) if words else not said
        # A server that restarts may not give the lock back: what comes after
        # the rename has failed then, and that is said.
        if name in ("claim", "retry") and m[1] == "74":
            want, right = 74, "sync: Input/output error" in said
        t.expect(int(m[1]) == want and right,
                 f"{name}: exit {m[1]}: {said[:300]}")


def restart(t):
    """The server's process ends with a reply under way, and comes back."""
    t.init()
    token = restart_setup(t)
    rows = RESTARTS[:4] if SHORT else RESTARTS
    for row in rows:
        restart_one(t, row, token)
    t.words = f"{len(rows)} calls done whose replies were lost in a restart"
    t.g.a.ok(t.cmd("resume"))
    t.g.a.ok(t.cmd("work", "--drain", "--", "/job"))
    t.acked = ["r/add1", "r/add2", "r/reuse1", "r/reuse2"]
    t.check()


def restart_link(t):
    """For the control; TCP can send a reply again that was to be lost."""
    t.init()
    for key in "r/add1", "r/add2", "r/add3":
        if not t.bad:
            restart_one(t, add_link(key), "")


def fake(seconds):
    """The environment of a client whose clock is wrong."""
    return ("LD_PRELOAD=/opt/faketime.so FAKETIME_DONT_FAKE_MONOTONIC=1 "
            f"NO_FAKE_STAT=1 FAKETIME={seconds:+d}")


def lease(t, key, ahead):
    """A lease of a client whose clock is wrong is kept, and ends."""
    own, other = (("", fake(ahead)) if ahead > 0 else (fake(ahead), ""))
    t.g.b.ok(t.cmd("add", "-k", key, env=own))
    token = t.g.b.ok(t.cmd("claim", "--lease", "30s", env=own)).strip()
    began = time.monotonic()
    t.g.a(t.cmd("work", "--drain", "--", "/job", env=other))
    if time.monotonic() - began < 25:
        t.expect(not [s for s in t.starts() if s[1] == key],
                 f"{key}: taken while its lease runs")
    code, out = t.g.b(t.cmd("renew", "--lease", "30s", token, env=own))
    t.expect(code == 0, f"{key}: renew: exit {code}: {out.strip()}")
    began = time.monotonic()
    while not [s for s in t.starts() if s[1] == key] and \
            time.monotonic() - began < 90:
        t.g.a(t.cmd("work", "--drain", "--", "/job", env=other))
        time.sleep(1)
    took = time.monotonic() - began
    t.expect(20 < took < 90, f"{key}: taken after {took:.0f} s, not 30 s")
    code, out = t.g.b(t.cmd("ack", token, env=own))
    t.expect(code == 69, f"{key}: ack of a lost claim: exit {code}: {out}"
             + t.g.server(f"cat {t.disk}/{key_path(key)}")[1]
             + t.g.b(f"cat {t.queue}/{key_path(key)}")[1])


def lease_ahead(t):
    """For the control: what a client that is ahead takes."""
    t.init()
    lease(t, "lease/ahead", 3600)


def clocks(t):
    """One client's clock is an hour ahead, or behind."""
    t.init()
    lease(t, "lease/ahead", 3600)
    lease(t, "lease/behind", -3600)
    n = 6 if SHORT else 20
    env = {t.g.a: "", t.g.b: fake(3600)}
    for shell, e in env.items():
        shell.send(f"i=0; while [ $i -lt {n} ]; do i=$((i + 1)); "
                   + t.cmd("add", "-k", "clock/$i", env=e)
                   + " 2>/dev/null || echo bad; "
                   + t.cmd("add", "-k", "later/$CLIENT.$i", "--in", "10m",
                           "--ttl", "2h", env=e)
                   # The alarm, by a clock that is ahead.
                   + " 2>/dev/null || echo bad; done")
    for shell in env:
        out = shell.wait(600)[1].strip()
        t.expect(not out, out)
    for shell, e in env.items():
        shell.send(t.cmd("work", "--drain", "--", "/job", env=e))
    for shell in env:
        shell.wait(600)
    t.g.a(t.cmd("work", "--drain", "--", "/job"), 300)
    starts = [s[1] for s in t.starts() if s[1].startswith("clock/")]
    t.expect(sorted(starts) == sorted({f"clock/{i + 1}" for i in range(n)}),
             f"{len(starts)} starts of {n} jobs")
    every = [s[1] for s in t.starts()]
    t.expect(len(every) == len(set(every)), "a job ran twice")
    early = [k for k in every if k.startswith("later/")]
    t.acked = [f"clock/{i + 1}" for i in range(n)]
    for shell in env:
        t.acked += [f"later/{shell.n}.{i + 1}" for i in range(n)]
    t.words = (f"2 leases, {n} jobs once, {len(early)} of {2 * n} early, "
               "clocks 1 h apart")
    t.check(but=("by a clock", "in new, and not yet due"))


def partition(t):
    """A worker is cut off, its job is run by another, and it comes back."""
    t.init()
    t.acked = ["cut/1"]
    t.g.a.ok(t.cmd("add", "-k", "cut/1"))
    start_worker(t, t.g.b, env="NAP=600")
    t.expect(t.wait_runs("start", 1, 60), "not started")
    link = f"/opt/ip link set s{t.g.b.n}"
    t.g.server.ok(f"{link} down")
    began = time.monotonic()
    while len(t.starts()) < 2 and time.monotonic() - began < 180:
        t.g.a(t.cmd("work", "--drain", "--", "/job"), 300)
        time.sleep(1)
    taken = time.monotonic() - began
    t.expect(len(t.starts()) == 2, "not run by the other client")
    t.g.server.ok(f"{link} up")
    began = time.monotonic()
    t.expect(t.wait_runs("killed", 1, 60 if t.control else 120),
             "its command was not ended")
    if t.control:
        t.g.b(f"kill -9 $(cat /tmp/pid.{t.name})")
        return
    ended = time.monotonic() - began
    # It goes on with other jobs.
    t.g.a.ok(t.cmd("add", "-k", "cut/2"))
    t.acked.append("cut/2")
    out = end_worker(t, t.g.b, 120)
    t.expect("lost" in out, f"the worker says nothing: {out[-300:]}")
    t.g.a(t.cmd("work", "--drain", "--", "/job"), 300)
    t.words = (f"taken by the other after {taken:.0f} s, its own command "
               f"ended {ended:.0f} s after the link came back")
    t.check(but=("runs twice at once", "ran after it was", "ended as pid"))


def power(t):
    """The server's power fails under adds of both clients."""
    t.init()
    rounds = 1 if SHORT else 2
    acked = set()
    for number in range(rounds):
        script = ("i=0; while :; do i=$((i + 1)); "
                  + t.cmd("add", "-v", "-k", f"p/{number}/$CLIENT/$i")
                  + " | cut -f1,6; done")
        for shell in (t.g.a, t.g.b):
            shell.send(script)
        end = time.monotonic() + (10 if SHORT else 20)
        while time.monotonic() < end:
            for shell in (t.g.a, t.g.b):
                shell.peek()
            time.sleep(0.05)
        for shell in (t.g.a, t.g.b):
            shell.peek()
            acked.update(re.findall(r"^added\t(\S+)$", shell.data.decode(),
                                    re.M))
        t.g.kill()
        t.g.boot()
    t.expect(len(acked) > 5, f"only {len(acked)} acknowledged")
    t.acked = sorted(acked)
    t.words = f"{len(acked)} adds acknowledged before {rounds} power failures"
    code, out = t.g.a(t.cmd("fsck"))
    t.expect(code == 0, f"fsck: exit {code}: {out[-300:]}")
    t.g.a(t.cmd("work", "--drain", "--", "/job"), 600)
    done = {s[1] for s in t.starts()}
    t.expect(acked <= done, f"{len(acked - done)} did not run")
    t.check()


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
    if t.control:
        return
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
    programs = {"idq": rig.IDQ, "opt/stop.so": stop}
    wanted = os.environ.get("SCENARIOS", "").split()
    chosen = [c for c in CONTROLS if not wanted or "controls" in wanted]
    chosen = chosen[:2] if short else chosen
    for name, *_ in chosen:
        path = rig.broken(name, folder)
        if path is None:
            rig.figure("NFS controls", f"{name}: not built", "caught", False)
            return
        programs[name] = path
    g = guest.Guest(folder, programs)
    rig.CLEANUPS.append(g.kill)
    g.boot()
    first = None
    for function, name, target in SCENARIOS:
        if wanted and function.__name__ not in wanted:
            continue
        t = Test(g, "keys" if function is workers else function.__name__)
        t.acked = first.acked if function is workers and first else []
        first = first or t
        run_one(g, name, function, target, t)
    if chosen:
        controls(g, chosen)


def controls(g, chosen):
    """Builds with a defect, each of which its scenario must find."""
    missed = []
    for name, function, words in chosen:
        t = Test(g, name, name)
        run_one(g, f"control {name}", function, "caught", t)
        if not any(words in bad for bad in t.bad):
            missed.append(f"{name}: {t.bad}")
        rig.note(f"  {t.bad}")
    for miss in missed:
        rig.note(f"  not caught: {miss}")
    rig.figure("NFS controls", f"{len(chosen) - len(missed)} of {len(chosen)} "
               "defects found", "all found", not missed)


# A defect, what finds it, and words of that.
CONTROLS = [
    ("nfs-link", restart_link, "add link: exit"),
    ("nfs-stale", moves, "step"),
    ("nfs-lease", lease_ahead, "taken while its lease runs"),
    ("nfs-lost", partition, "was not ended"),
]

SCENARIOS = [
    (keys, "keys over NFS", "each key once, each answer right"),
    (workers, "workers over NFS", "each job once"),
    (mix, "adds and workers over NFS", "each job once"),
    (follow, "following over NFS", "within 30 s"),
    (moves, "moves by turns over NFS", "none is stuck"),
    (lost, "replies lost over NFS", "each answer right"),
    (restart, "NFS server restarted", "each answer right"),
    (clocks, "clocks over NFS", "none taken early, none lost"),
    (partition, "worker cut off", "its command is ended"),
    (killed, "client killed", "its jobs are run again"),
    (power, "NFS server killed", "0 lost"),
]


def main(folder, short):
    try:
        whole(folder, short)
    except guest.Skip as e:
        rig.figure("NFS", str(e), "0 violations", None)


if __name__ == "__main__":
    raise SystemExit(rig.main("nfs", main))
