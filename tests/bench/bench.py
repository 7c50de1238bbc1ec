# SPDX-License-Identifier: ISC
"""The rows of `run': what each measures is said where it is."""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timezone
from statistics import mean, median

import images
import peers
import verbs
from measure import (BUILD, IDQ, Place, Table, Wrong, entries, must, output,
                     say, timer, tool, unit, wait_for)

ROWS = {}
MIB = 1 << 20
MINUTE = 60


def row(f):
    ROWS[f.__name__] = f
    return f


class Bench:
    def __init__(self, args):
        self.quick = args.quick
        self.place = Place()
        self.table = Table()
        self.size = args.size or (3000 if args.quick else 1_000_000)
        self.small = min(1000, self.size)
        self.runs = args.runs or (3 if args.quick else 15)
        self.have = set()

    def rounds(self, full):
        """Of single processes, of which a round is short."""
        return 15 if self.quick else max(full, self.runs)

    def pending(self, name, n, *config, **more):
        """A queue of N pending jobs, made when it is first wanted."""
        if name in self.have:
            return name
        say(f"filling {name}: {n:,} jobs")
        self.place.queue(name, *config)
        self.place.fill(name, 0, n, **more)
        must(self.place.count(name, "keys") == n, f"{name} is not full")
        self.have.add(name)
        return name

    def big(self):
        return self.pending("big", self.size, "keep 1s")

    def little(self):
        return self.pending("little", self.small)

    def drained(self):
        """The big queue, all done, as measured by the row worker."""
        if "drained" not in self.have:
            worker(self)
        return "big"

    def drop(self, *names):
        for name in names:
            shutil.rmtree(f"{self.place.dir}/spool/{name}")
            self.have.discard(name)


def in_turn(k, *names):
    """Each of them is the first sometimes."""
    k %= len(names)
    return names[k:] + names[:k]


def claim_and_ack(name):
    return [[IDQ, "claim", "-q", name], [IDQ, "ack", "-q", name, "{out}"]]


def kib_private(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return sum(int(line.split()[1]) for line in f
                   if line.startswith("Private_"))


def status_of(pid, field):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise Wrong(f"no {field}")


@row
def add(b):
    """One durable add, a process each."""
    n = b.rounds(200)
    q = b.place.queue("add")
    db, redis = peers.Sqlite(b.place, "add"), peers.Redis(b.place)
    nq = peers.Nq(b.place)
    times, _ = timer(n,
                     [[IDQ, "add", "-q", "add", "-k", "k{}", "--", "x"]],
                     [[tool("floor_add"), q, "floor{}", "x"]],
                     [db.add("k{}")], [redis.add("k{}")],
                     [["nq", "/bin/true"]])
    must(entries(f"{q}/new") == 2 * n and entries(f"{q}/keys") == 2 * n,
         "not all jobs are there")
    output(IDQ, "fsck", "-q", "add")
    must(db.count("pending") == n, "sqlite3 has not all jobs")
    must(redis.count() == n, "redis has not all jobs")
    nq.clear(n)
    redis.stop()
    b.table.compare("add", ["idq", "floor", "sqlite3 FULL", "redis always",
                            "nq (syncs nothing)"], times,
                    {"floor": 1.25, "sqlite3 FULL": 0.4,
                     "redis always": 0.4, "nq (syncs nothing)": 1})


@row
def duplicate(b):
    """A key that is there; the first for each of them makes its dups/ file."""
    n = min(b.rounds(300), b.small)
    again = [[[IDQ, "add", "-q", q, "-k", "k{}", "--", "x"]]
             for q in (b.little(), b.big())]
    timer(n, *again)
    floor = f"{b.place.dir}/spool/little"
    times, _ = timer(n, *again, [["/bin/true"]],
                     [[tool("floor_duplicate"), floor, "k{}", "x"]])
    for q, want in ("little", b.small), ("big", b.size):
        must(b.place.count(q, "keys") == want, f"{q} took a duplicate")
        must(b.place.count(q, "dups") == n, f"{q} did not note all")
    noted = json.loads(output(IDQ, "show", "-q", "little", "--json", "k0"))
    must(noted["dups"] == 3, "the floor did not note its own")
    b.table.compare("duplicate", ["idq", "/bin/true", "floor"],
                    [times[0], times[2], times[3]], {"/bin/true": 1.25})
    b.table.compare(f"duplicate at {b.size:,}", ["idq", f"at {b.small:,}"],
                    times[1::-1], {f"at {b.small:,}": 1.1})


@row
def sync(b):
    """What each of the modes of sync costs, a process for each command."""
    n = b.rounds(200)
    modes = "full", "file", "off"
    b.place.queue("sync")
    steps = []
    for mode in modes:
        steps += [[IDQ, "config", "-q", "sync", "sync", mode],
                  [IDQ, "add", "-q", "sync", "-k", mode + "{}", "--", "x"],
                  *claim_and_ack("sync")]
    times, _ = timer(n, steps, parts=True)
    must(b.place.count("sync", "done") == 3 * n, "not all is done")
    names = ["idq", *[f"sync {mode}" for mode in modes[1:]]]
    b.table.compare("add, sync full", names, times[1::4])
    b.table.compare("claim + ack, sync full", names,
                    [[c + a for c, a in zip(*times[k:k + 2])]
                     for k in range(2, len(times), 4)])


@row
def batch(b):
    """Many by one process, from the start of it to its end."""
    n = 200 if b.quick else 100_000
    path = f"{b.place.dir}/batch"
    with open(f"{path}.tsv", "w") as f:
        f.writelines(f"k{i}\tx\n" for i in range(n))
    with open(f"{path}.keys", "w") as f:
        f.writelines(f"k{i}\n" for i in range(n))
    with open(f"{path}.sql", "w") as f:
        f.write(peers.Sqlite.FULL + "BEGIN;\n")
        f.writelines(peers.Sqlite.ADD.replace("{key}", f"k{i}") + "\n"
                     for i in range(n))
        f.write("COMMIT;\n")
    times = [[], [], []]
    for k in range(b.runs):
        # Where on the disk a queue is can cost more than what is compared.
        path_of = {name: b.place.queue(name)
                   for name in in_turn(k, "batch", "batch-floor")}
        db = peers.Sqlite(b.place, "batch")
        got, _ = timer(1, [[f"<{path}.tsv", IDQ, "add", "-q", "batch",
                            "--batch"]],
                       [[f"<{path}.keys", tool("floor_batch"),
                         path_of["batch-floor"], "x"]],
                       [[f"<{path}.sql", "sqlite3", db.path]], first=k)
        for q in "batch", "batch-floor":
            must(b.place.count(q, "new") == n, f"{q} has not all jobs")
            must(b.place.count(q, "keys") == n, f"{q} has not all keys")
        must(db.count("pending") == n, "sqlite3 has not all jobs")
        db.remove()
        for all_of_it, one in zip(times, got):
            all_of_it += one
    output(IDQ, "fsck", "-q", "batch")
    output(IDQ, "fsck", "-q", "batch-floor")
    b.drop("batch", "batch-floor")
    b.table.compare(f"batch of {n:,}, per job",
                    ["idq", "floor", "sqlite3, one transaction"], times,
                    {"floor": 1.3}, [n] * 3)


def depth(b, what, name, n):
    """Pairs of claim and ack there, against a queue of the small size."""
    b.pending("thousand", b.small + n)
    # What is learned or parked by the first one is not measured.
    timer(1, claim_and_ack(name), claim_and_ack("thousand"))
    times, _ = timer(n - 1, claim_and_ack(name), claim_and_ack("thousand"))
    for q in name, "thousand":
        must(b.place.count(q, "done") >= n, f"{q} has not all done")
        must(b.place.count(q, "cur") == 0, f"{q} has some running")
    b.table.compare(what, ["idq", f"at {b.small:,}"], times,
                    {f"at {b.small:,}": 1.5}, middle=mean)
    b.drop("thousand")


@row
def claim(b):
    """Claim and ack, a process each, from a short and a long queue."""
    n = b.rounds(200)
    q = b.pending("claim", b.small + 2 * n)
    db = peers.Sqlite(b.place, "claim")
    db.fill(b.small + n)
    path = f"{b.place.dir}/spool/{q}"
    times, _ = timer(n, claim_and_ack(q),
                     [[tool("floor_claim"), path],
                      [tool("floor_claim"), path, "{out}"]],
                     [db.claim(), db.ack()])
    must(b.place.count(q, "done") == 2 * n, "not all is done")
    output(IDQ, "fsck", "-q", q)
    must(db.count("done") == n, "sqlite3 has not all done")
    b.table.compare("claim + ack", ["idq", "floor", "sqlite3 FULL"], times,
                    {"sqlite3 FULL": 0.4})
    b.drop(q)
    depth(b, f"claim + ack at {b.size:,}", b.big(), b.rounds(1000))


@row
def waiting(b):
    """The same with a long queue of jobs that are not due, over a day."""
    n = b.rounds(1000)
    start = int(time.time()) + 86400
    b.pending("waiting", b.size, line=lambda i: (
        f'{{"key":"w{i}","args":["x"],"at":"@{start + i % 1440 * MINUTE}"}}'
        "\n"))
    b.place.fill("waiting", 0, b.small + n)
    depth(b, f"claim + ack, {b.size:,} waiting", "waiting", n)
    must(b.place.count("waiting", "wait") == b.size, "not all wait")
    b.drop("waiting")


@row
def paced(b):
    """The same behind a long queue of one group, which has to wait."""
    n = b.rounds(1000)
    b.pending("paced", b.size, "group-gap 1d", line=lambda i: (
        f'{{"key":"p{i}","args":["x"],"group":"g"}}\n'))
    b.place.fill("paced", 0, b.small + n)
    depth(b, f"claim + ack, {b.size:,} paced", "paced", n)
    must(b.place.count("paced", "paced") == b.size - 1, "not all are parked")
    b.drop("paced")


@row
def drain(b):
    """A worker with two commands at a time; each run on jobs of its own."""
    n = 100 if b.quick else 10_000
    few = 10 if b.quick else 500
    nqs = 10 if b.quick else 300
    lines = f"{b.place.dir}/drain.lines"
    with open(lines, "w") as f:
        f.writelines(f"{i}\n" for i in range(n))
    with open(lines + ".few", "w") as f:
        f.writelines(f"{i}\n" for i in range(few))
    beans, nq = peers.Beanstalkd(b.place), peers.Nq(b.place)
    tsp = peers.Spooler(b.place, few)
    times = [[] for _ in range(7)]
    for k in range(b.runs):
        path_of = {name: b.place.queue(name)
                   for name in in_turn(k, "drain", "drain-floor")}
        for name in path_of:
            b.place.fill(name, 0, n)
        beans.put(n)
        tsp.fill(few)
        nq.fill(nqs)
        got, _ = timer(
            1,
            [[IDQ, "work", "-q", "drain", "-j2", "--drain", "--",
              "/bin/true"]],
            [["<" + lines, "xargs", "-P2", "-n1", "/bin/true"]],
            [[tool("floor_drain"), path_of["drain-floor"], "2",
              "/bin/true"]],
            [beans.drain()],
            [[f"<{lines}.few", "parallel", "-j2", "/bin/true"]],
            tsp.drain(), nq.drain(), first=k)
        for path in path_of.values():
            must(entries(f"{path}/done") == n, f"{path} has not all done")
        must(beans.count() == 0, "beanstalkd has some left")
        tsp.clear(few)
        nq.clear(nqs + 1)
        for all_of_it, one in zip(times, got):
            all_of_it += one
    output(IDQ, "fsck", "-q", "drain")
    output(IDQ, "fsck", "-q", "drain-floor")
    beans.stop()
    tsp.stop()
    b.drop("drain", "drain-floor")
    names = ["idq", "xargs -P2 (nothing kept)", "durable floor",
             "beanstalkd -f0", "parallel -j2", "task-spooler", "nq"]
    b.table.compare(f"drain of {n:,}, -j2, per job", names, times,
                    {**dict.fromkeys(names[3:], 1), names[1]: 1.25,
                     names[2]: 1.1}, [n, n, n, n, few, few, nqs])


@row
def relay(b):
    """Jobs handed over to PostgreSQL by the thousand, one connection at a time;
    against the same script that is given the same lines by split(1)."""
    n = 2000 if b.quick else 20_000
    text = "x" * 200
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                          "../../man/examples/idq-to-postgres-batch")
    lines = f"{b.place.dir}/relay.lines"
    with open(lines, "w") as f:
        f.writelines(f'{{"id":"{i:016x}","key":"s{i}","args":[],'
                     f'"payload":"{text}"}}\n' for i in range(n))
    pg = peers.Postgres(b.place)
    times = [[], []]
    for _ in range(b.runs):
        q = b.place.queue("relay")
        b.place.fill("relay", 0, n, line=lambda i:
                     f'{{"key":"k{i}","payload":"{text}"}}\n')
        pg.ask("TRUNCATE inbox")
        got, _ = timer(
            1, [[IDQ, "work", "-q", "relay", "--drain", "--batch", "1000",
                 "--", script]],
            [["<" + lines, "split", "-l", "1000", "--filter",
              f"{script} >{b.place.dir}/answers"]])
        must(entries(f"{q}/done") == n, "not all is done")
        must(int(pg.ask("SELECT count(*) FROM inbox")) == 2 * n,
             "PostgreSQL has not all of them")
        for all_of_it, one in zip(times, got):
            all_of_it += one
    pg.stop()
    b.drop("relay")
    b.table.compare("relay to PostgreSQL, per job",
                    ["idq", "the script alone"], times, per=[n, n])
    rate = n / median(times[0])
    b.table.line("relay to PostgreSQL", "jobs per second", f"{rate:,.0f}",
                 target=">= 5,000", met=rate >= 5000)


@row
def adders(b):
    """Adds per second by eight at once, against one after the other."""
    n = 5 if b.quick else 25
    q = b.place.queue("adders")
    commands = ([[IDQ, "add", "-q", "adders", "-k", "k{}", "--", "x"]],
                [[tool("floor_add"), q, "floor{}", "x"]])
    one, eight = [[], []], [[], []]
    for k in range(b.runs):
        for into, copies, rounds in (one, 1, 8 * n), (eight, 8, n):
            got, _ = timer(rounds, *commands, copies=copies,
                           first=(2 * k + copies // 8) * 8 * n)
            for i in range(2):
                into[i].append(8 * n / got[i][0])
    must(entries(f"{q}/new") == 2 * b.runs * 16 * n, "not all jobs are there")
    gains = [median(e / o for e, o in zip(eight[i], one[i]))
             for i in range(2)]
    b.table.raw["8 adders"] = {"one": one, "eight": eight}
    b.table.line("8 adders", "one adder", f"{median(eight[0]):.0f}/s",
                 f"{median(one[0]):.0f}/s", gains[0], least=3)
    b.table.line("the floor with 8", "one", f"{median(eight[1]):.0f}/s",
                 f"{median(one[1]):.0f}/s", gains[1])


@row
def latency(b):
    """From an add's return to the start of the command, the worker waiting."""
    n = b.rounds(300)
    q = b.place.queue("latency")
    fifo = f"{b.place.dir}/started"
    os.mkfifo(fifo)
    w = b.place.start(IDQ, "work", "-q", "latency", "--", tool("latency"),
                      fifo)
    wait_for(lambda: entries(f"{q}/boot"), "the worker's first scan")
    got = output(tool("latency"), str(n), str(w.pid), fifo, f"{q}/cur", IDQ,
                 "add", "-q", "latency", "-k", "{}").split()
    must(b.place.stop(w) == 0, "the worker failed")
    must(b.place.count("latency", "done") == n, "not all done")
    late = sorted(int(ns) / 1e9 for ns in got)
    b.table.raw["latency"] = late
    for what, value, most in (("median", median(late), 3e-3),
                              ("99th", late[(99 * n - 1) // 100], 10e-3)):
        b.table.line("add to start", what, unit(value),
                     target=f"<= {unit(most)}", met=value <= most)


@row
def idle(b):
    """A worker with nothing to do: only the rescan of each minute."""
    seconds = 5 if b.quick else 65
    q = b.place.queue("idle")
    w = b.place.start(IDQ, "work", "-q", "idle", "--", "/bin/true")

    def switches():
        return status_of(w.pid, "voluntary_ctxt_switches")

    def at_rest():
        before = switches()
        time.sleep(0.5)
        return entries(f"{q}/boot") and switches() == before

    wait_for(at_rest, "the worker rests")
    before = switches()
    time.sleep(seconds)
    woken = switches() - before
    private = kib_private(w.pid) * 1024
    must(b.place.stop(w) == 0, "the worker failed")
    # The rescan itself may wait for the disk.
    most = 0 if b.quick else 4
    if b.quick:
        must(woken == 0, f"an idle worker woke {woken} times in {seconds} s")
    b.table.line("idle worker", f"waits ended in {seconds} s", str(woken),
                 target=f"<= {most}", met=woken <= most)
    b.table.line("idle worker", "private memory",
                 f"{private / MIB:.2f} MiB", target="<= 4 MiB",
                 met=private <= 4 * MIB)


@row
def look(b):
    """What looks at all jobs."""
    b.big()
    queries = [["ls", "-n", "20"], ["stats"], ["check"], ["plan"]]
    times, rss = timer(max(b.runs // 3, 3), *[
        [["?", IDQ, q[0], "-q", "big", *q[1:]]] for q in queries])
    for words, ts, kib in zip(queries, times, rss):
        b.table.raw[f"{words[0]} at {b.size:,}"] = {"s": ts, "KiB": kib}
        b.table.line(f"{words[0]} at {b.size:,}", "time", unit(median(ts)),
                     target="<= 1.2 s", met=median(ts) <= 1.2)
        b.table.line(f"{words[0]} at {b.size:,}", "memory",
                     f"{kib / 1024:.1f} MiB", target="<= 16 MiB",
                     met=kib <= 16 * 1024)
    must(len(output(IDQ, "ls", "-q", "big", "-n", "20").splitlines()) >= 20,
         "ls shows no 20 jobs")
    counted = json.loads(output(IDQ, "stats", "-q", "big", "--json"))
    must(counted["jobs"]["pending"] == b.place.count("big", "new"),
         "stats does not count all")
    n = b.rounds(300)
    times, _ = timer(n, *[[[IDQ, "show", "-q", q, "k{}"]]
                          for q in (b.big(), b.little())], first=500)
    b.table.compare(f"show at {b.size:,}", ["idq", f"at {b.small:,}"], times,
                    {f"at {b.small:,}": 1.1})


@row
def worker(b):
    """Its memory, through the whole of the long queue, which is not synced
    meanwhile: what is measured here is no time."""
    b.big()
    q = f"{b.place.dir}/spool/big"
    b.place.config("big", "sync off")
    w = b.place.start(IDQ, "work", "-q", "big", "-j2", "--", "/bin/true")
    pause = b.size / 200_000

    def left(most):
        def look_again():
            must(w.poll() is None, "the worker ended")
            time.sleep(pause)
            return len(os.listdir(f"{q}/new")) <= most
        return look_again

    wait_for(left(b.size * 9 // 10), "a tenth is done", 60 + b.size / 100)
    early, peak = kib_private(w.pid), status_of(w.pid, "VmHWM")
    b.table.line(f"worker at {b.size:,}", "memory, at most",
                 f"{peak / 1024:.1f} MiB", target="<= 16 MiB",
                 met=peak <= 16 * 1024)
    wait_for(lambda: left(0)() and not os.listdir(f"{q}/cur"), "all is done",
             60 + b.size / 100)
    late = kib_private(w.pid)
    must(b.place.stop(w) == 0, "the worker failed")
    must(b.place.count("big", "done") == b.size, "not all done")
    b.table.line(f"worker after {b.size:,}", "private, after a tenth",
                 f"{late / 1024:.2f} MiB", f"{early / 1024:.2f} MiB",
                 late / early, target="<= 4 MiB, no growth",
                 met=late <= 4096 and late <= early + 64)
    b.place.config("big", "sync full")
    b.have.add("drained")


def stop_purge(b, path, n):
    """Interrupted in the middle, it leaves a sound queue and the rest."""
    p = b.place.start(IDQ, "purge", "-q", path)
    wait_for(lambda: entries(f"{path}/done") < n or p.poll() is not None,
             "the purge begins")
    # SIGINT would be ignored if this was started in the background.
    must(b.place.stop(p) in (0, -signal.SIGTERM), "the purge failed")
    left = entries(f"{path}/done")
    # A few hundred can be through before anybody looks.
    must(left > 0 or b.quick, "the purge was not interrupted")
    output(IDQ, "fsck", "-q", path)
    output(IDQ, "purge", "-q", path)
    must(entries(f"{path}/done") == 0 and entries(f"{path}/keys") == 0,
         "the purge after it does not remove the rest")
    return left


def adds_during(b, p, first):
    """Adds to the big queue as long as P runs, one at least; their times."""
    times = []
    while True:
        over = p is None or p.poll() is not None
        got, _ = timer(20, [[IDQ, "add", "-q", "big", "-k", "during{}"]],
                       first=first + len(times), settle=False)
        times += got[0]
        if over:
            return times


@row
def purge(b):
    """Of what is past its time: in copies of a queue of the same jobs, and
    once in the long one, with adds beside it."""
    n = min(b.size, 300 if b.quick else 10_000)
    b.pending("done", n, "keep 1s")
    b.place.config("done", "sync off")
    output(IDQ, "work", "-q", "done", "-j2", "--drain", "--", "/bin/true")
    b.place.config("done", "sync full")
    b.drained()
    time.sleep(1.1)             # keep
    spool = f"{b.place.dir}/spool"
    copies = [f"{side}{k}" for k in range(b.runs)
              for side in in_turn(k, "a", "b")]
    for name in [*copies, "c"]:
        output("cp", "-a", f"{spool}/done", f"{spool}/{name}")
    output("sync", "-f", spool)
    times, rss = timer(b.runs, [[IDQ, "purge", "-q", spool + "/a{}"]],
                       [[tool("floor_purge"), spool + "/b{}"]])
    for name in copies:
        must(b.place.count(name, "done") == 0, f"{name} is not purged")
        must(b.place.count(name, "keys") == 0, f"{name} keeps keys")
        b.drop(name)
    b.table.compare(f"purge of {n:,}, per job", ["idq", "raw unlinks"], times,
                    {"raw unlinks": 1.6}, [n, n])
    b.table.raw["purge"] = {"KiB": rss[0]}
    left = stop_purge(b, f"{spool}/c", n)
    b.table.line("purge, interrupted", "left, then purged", f"{left:,}")
    b.drop("c", "done")

    output("cp", "-a", f"{spool}/big", f"{spool}/floor")
    output("sync", "-f", spool)
    raw, _ = timer(1, [[tool("floor_purge"), f"{spool}/floor"]])
    must(b.place.count("floor", "done") == 0, "the floor did not purge")
    b.drop("floor")
    alone = adds_during(b, None, 0)
    begin = time.monotonic()
    p = b.place.start(IDQ, "purge", "-q", "big")
    beside = adds_during(b, p, len(alone))
    took = time.monotonic() - begin
    must(b.place.stop(p) == 0, "the purge failed")
    must(b.place.count("big", "done") == 0, "big is not purged")
    must(b.place.count("big", "keys") == len(alone) + len(beside),
         "adds beside the purge are lost")
    b.table.raw["purge of all"] = {"raw": raw[0], "idq, adds beside": took,
                                   "adds alone": alone, "beside": beside}
    b.table.line(f"purge of {b.size:,} (1 run)", "raw unlinks, no adds",
                 unit(took), unit(raw[0][0]), took / raw[0][0])
    b.table.line("add during the purge", "longest; without it",
                 unit(max(beside)), unit(max(alone)), target="<= 50 ms",
                 met=max(beside) <= 0.05)
    b.drop("big")
    b.have.discard("drained")


@row
def disk(b):
    """Bytes of disk for a job with a payload of 200 bytes."""
    n = 1000 if b.quick else 20_000
    for kind in images.KINDS:
        sizes = images.per_job(b.place, kind, n, 200)
        b.table.raw[f"disk, {kind}"] = sizes
        for what, size in zip(("pending", "done", "log"), sizes or ()):
            b.table.line(f"disk per job, 200 bytes, {what}", kind,
                         f"{size:,.0f} B")


@row
def folder(b):
    """How many names a folder of ext4 can have, which a backlog may meet."""
    if b.quick:
        return
    for size in 1024, 4096:
        n = images.full_folder(b.place, "ext4", 16_000_000, "-b", str(size))
        b.table.raw[f"folder, {size}"] = n
        b.table.line(f"names in new/, blocks of {size}", "ext4",
                     f"{n:,}" if n else "-")


def facts(b):
    """What the figures depend on."""
    return {"date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "file system": output("df", "--output=fstype",
                                  b.place.dir).split()[1],
            "sync": "full", "cores": os.cpu_count(),
            "kernel": os.uname().release, "load": os.getloadavg()[0],
            "runs": b.runs, "size": b.size}


def main():
    p = argparse.ArgumentParser(prog="run")
    p.add_argument("--quick", action="store_true",
                   help="small sizes: does it work at all?")
    p.add_argument("--verbs", action="store_true",
                   help="time and memory of each verb too, and a plot")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--size", type=int, help="of the long queue")
    p.add_argument("--runs", type=int, help="of each competitor")
    p.add_argument("row", nargs="*", help=", ".join(ROWS))
    args = p.parse_args()
    for name in args.row:
        if name not in ROWS:
            p.error(f"no row {name}; there are {', '.join(ROWS)}")
    if (args.runs or 15) < 15:
        say("fewer than 15 runs: no more than a hint")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    where = args.json or f"{BUILD}/bench/bench.json"
    os.makedirs(os.path.dirname(os.path.abspath(where)), exist_ok=True)
    b = Bench(args)
    bad = 0
    try:
        known = facts(b)
        print("; ".join(f"{k} {v}" for k, v in known.items()))
        b.table.head()
        for name in args.row or ROWS:
            try:
                ROWS[name](b)
            except (Wrong, OSError, subprocess.SubprocessError) as e:
                bad += 1
                b.table.line(name, f"WRONG: {e}", "")
        table = []
        try:
            if args.verbs:
                table = verbs.measure(b, where)
        except (Wrong, OSError, subprocess.SubprocessError) as e:
            bad += 1
            b.table.line("verbs", f"WRONG: {e}", "")
        with open(where, "w") as f:
            json.dump({"facts": known, "rows": b.table.rows, "verbs": table,
                       "raw": b.table.raw}, f, indent=1)
    finally:
        b.place.close()
    print(f"{b.table.missed()} targets missed, {bad} rows did not work; "
          f"all of it in {where}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
