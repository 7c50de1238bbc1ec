# SPDX-License-Identifier: ISC
"""The soak: eight processes on one queue, on a small file system that is filled
and freed again and again, and three of them workers that live all the time."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time

import invariants
import rig
import storm

SIZE = 400 << 20
WORKERS = 3
KEYS = 400
GROWTH = 512                     # KiB of memory that are no leak
# Also what a full disk may lead to: the same command is right later.
ADD = (0, 73, 74, 75)
OTHER = (0, 1, 69, 73, 74, 75)


def mount(folder):
    """A small file system of its own: its name, or None."""
    where = f"{folder}/small"
    os.mkdir(where)
    image = f"{folder}/image"
    with open(image, "wb") as f:
        f.truncate(SIZE)
    for name, commands in (
            ("ext4", (["mkfs.ext4", "-q", "-F", "-N", "65536", image],
                      ["mount", "-o", "loop", image, where])),
            ("tmpfs", (["mount", "-t", "tmpfs", "-o", f"size={SIZE}",
                        "tmpfs", where],))):
        try:
            if all(subprocess.run(c, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL,
                                  check=False).returncode == 0
                   for c in commands):
                rig.CLEANUPS.append(
                    lambda: subprocess.run(["umount", "-l", where],
                                           check=False))
                return name
        except FileNotFoundError:
            continue
    return None


class Soak(storm.Storm):
    """PATH is outside of the small file system, and SMALL on it."""

    def __init__(self, path, small, stormer, idq=rig.IDQ):
        self.small = small
        os.mkdir(f"{small}/spool")
        os.symlink(f"{small}/spool", f"{path}/spool")
        super().__init__(path, stormer, idq)
        self.env["IDQ_SPOOL"] = f"{small}/spool"
        self.workers = []
        self.restarts = 0
        self.idq("config", "keep", "2s")

    def tell(self, *words):
        with open(f"{self.path}/told", "a", encoding="utf-8") as f:
            f.write(" ".join(map(str, words)) + "\n")
            f.flush()

    def do(self, verb, *args, ok=OTHER, stdin=""):
        r = self.run(verb, *args, stdin=stdin)
        if r.code not in ok:
            self.tell("exit", 0, verb, *args, f"{r.code}:",
                      r.err.split("\n")[0])
        return r

    # The eight, of which three are workers.
    def adder(self, stop, seed):
        rnd = random.Random(seed)
        while not stop.is_set():
            keys = [f"{rnd.choice('aaab')}{rnd.randrange(KEYS)}"
                    for _ in range(rnd.randrange(1, 12))]
            if rnd.random() < .6:
                r = self.do("add", "--batch", "--json", ok=ADD,
                            stdin="".join(f"{k}\t\n" for k in keys
                                          if k[-1] not in "01"))
            else:
                k = keys[0]
                group = ("-g", f"g{k[-1]}") if k[-1] in "01" else ()
                r = self.do("add", "--json", "-k", k, *group, ok=ADD)
            for line in r.out.splitlines():
                if '"result": "error"' not in line and \
                        '"result":"error"' not in line:
                    self.tell("add", 0, line)
            time.sleep(.05 * rnd.random())

    def claimer(self, stop, seed):
        rnd = random.Random(seed)
        while not stop.is_set():
            token = self.do("claim").out.strip()
            if not token:
                time.sleep(.02)
                continue
            self.tell("claim", 0, token)
            self.tell("try", 0, token)
            verb = rnd.choice(("ack", "ack", "ack", "fail", "release"))
            # A script says it again until it is heard.
            while (r := self.do(verb, token)).code in (73, 74, 75):
                if stop.is_set():
                    return
                time.sleep(.05)
            if verb == "ack" and r.code == 0:
                self.tell("acked", 0, token)

    def operator(self, stop, seed):
        rnd = random.Random(seed)
        while not stop.is_set():
            key = f"b{rnd.randrange(KEYS)}"
            any_key = f"{rnd.choice('ab')}{rnd.randrange(KEYS)}"
            op = rnd.choice((
                ("hold", any_key), ("unhold", any_key), ("retry", any_key),
                ("cancel", key), ("cancel", "--kill", key), ("forget", key),
                ("unhold", "-s", "held", "--yes"),
                ("retry", "-s", "failed", "--yes"), ("purge",), ("purge",),
                ("fsck",), ("pause",), ("ls", "-s", "all"), ("stats",),
                ("log", "--since", "2s", "--count-by", "event")))
            if op[0] in ("cancel", "forget"):
                self.tell("ended", 0, key)
            self.do(*op)
            if op[0] == "pause":
                time.sleep(.1)
                while self.do("resume").code != 0 and not stop.is_set():
                    time.sleep(.1)
            time.sleep(.05)

    def filler(self, stop, every):
        """Full for half of the time."""
        path = f"{self.small}/ballast"
        while not stop.wait(every / 2):
            with open(path, "wb") as f:
                size, step = 0, SIZE
                while step >= 4096:
                    try:
                        os.posix_fallocate(f.fileno(), size, step)
                        size += step
                    except OSError:
                        step //= 2
            self.tell("full", 0, "-")
            stop.wait(every / 2)
            os.unlink(path)

    def start_worker(self, i):
        env = {**self.env, "NR": str(1000 + len(self.workers) + i)}
        with open(f"{self.path}/worker{i}", "ab") as out:
            child = subprocess.Popen(
                self.argv("work", "-v", "-j2", "--", self.stormer, "--job"),
                env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        rig.CLEANUPS.append(lambda: child.poll() is None and child.kill())
        return child

    def sample(self):
        """Memory and descriptors of each worker, and names in the queue."""
        memory, files = [], []
        for i, w in enumerate(self.workers):
            if w.poll() is not None:
                # A failed sync is never repeated: the worker says so and ends.
                if w.returncode not in (74, 75):
                    self.say(f"a worker ended with {w.returncode}")
                self.restarts += 1
                self.workers[i] = self.start_worker(i)
                continue
            with open(f"/proc/{w.pid}/status", encoding="ascii") as f:
                for line in f:
                    if line.startswith("VmRSS:"):
                        memory.append(int(line.split()[1]))
            files.append(len(os.listdir(f"/proc/{w.pid}/fd")))
        names = {}
        for d in ("tmp", "cur", "new", "run", "asked", "out", "groups"):
            try:
                names[d] = len(os.listdir(f"{self.queue}/{d}"))
            except FileNotFoundError:
                names[d] = 0
        folders = sum(len(os.listdir(f"{self.queue}/{d}"))
                      for d in ("wait", "turn", "paced")
                      if os.path.isdir(f"{self.queue}/{d}"))
        return max(memory, default=0), max(files, default=0), \
            sum(names.values()) + folders

    def sample_idle(self):
        """What must be empty when nothing is left to do."""
        return sum(len(os.listdir(f"{self.queue}/{d}"))
                   for d in ("tmp", "cur", "new", "asked", "paced"))


def median(values):
    return sorted(values)[len(values) // 2] if values else 0


def steady(samples, i, slack):
    """First and last tenth of a column, after a tenth for warming up."""
    tenth = max(len(samples) // 10, 3)
    first = median([s[i] for s in samples[tenth:2 * tenth]])
    last = median([s[i] for s in samples[-tenth:]])
    return first, last, last <= first + slack


def soak(s, seconds, every):
    stop = multiprocessing.Event()
    for i in range(WORKERS):
        s.workers.append(s.start_worker(i))
    jobs = [(s.adder, 1), (s.adder, 2), (s.claimer, 3), (s.operator, 4),
            (s.filler, every)]
    children = [multiprocessing.Process(target=f, args=(stop, a), daemon=True)
                for f, a in jobs]
    for c in children:
        c.start()
    samples = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(1 if seconds > 60 else .2)
        samples.append(s.sample())
        if len(samples) % 60 == 0:
            rig.note(f"soak: {int(end - time.monotonic())} s to go, "
                     f"{samples[-1]}, {s.restarts} restarts")
    stop.set()
    for c in children:
        c.join(60)
        if c.is_alive():
            s.say("stuck: a process of the soak")
            c.kill()
    if os.path.exists(f"{s.small}/ballast"):
        os.unlink(f"{s.small}/ballast")
    for w in s.workers:
        w.send_signal(signal.SIGTERM)
    for w in s.workers:
        try:
            if w.wait(30) != 0:
                s.say(f"a worker ended with {w.returncode} at SIGTERM")
        except subprocess.TimeoutExpired:
            s.say("stuck: a worker does not end")
    return samples


def main(folder, short):
    target = "0 violations, all ended"
    stormer = storm.job_program(folder)
    kind = mount(folder) if stormer else None
    if not kind:
        rig.figure("soak", "no small file system can be mounted here" if
                   stormer else "no C compiler", target, None)
        return
    os.mkdir(f"{folder}/out")
    s = Soak(f"{folder}/out", f"{folder}/small", stormer)
    seconds, every = (15, 4) if short else (1800, 30)
    seconds = int(os.environ.get("SECONDS_OF_SOAK", seconds))
    samples = soak(s, seconds, every)
    s.rest(last=True)
    s.judge()
    queue = invariants.Queue(s.queue)
    live = [j.key for j in queue.jobs() if not j.final]
    full = sum(line.startswith("full") for line in s.lines("told"))
    for k in live:
        s.say(f"{k}: never ended")
    if not full:
        s.say("the disk was never full")
    starts = s.runs_text().count("start ")
    rig.figure("soak", f"{seconds} s on {kind}, {full} times full, "
               f"{s.added:,} jobs acknowledged, {starts:,} commands, "
               f"{s.restarts} workers ended at a failed sync, {len(live)} not "
               f"ended, {len(s.bad)} violations", target, not s.bad)
    a, b, ok = steady(samples, 0, GROWTH)
    rig.figure("soak, memory of a worker", f"{a} KiB at first, {b} at the end",
               f"{GROWTH} KiB more at most", ok)
    a, b, ok = steady(samples, 1, 4)
    rig.figure("soak, descriptors of a worker", f"{a} at first, {b} at the "
               "end", "4 more at most", ok)
    a, b, ok = steady(samples, 2, 400)
    idle = s.sample_idle()
    rig.figure("soak, names in the queue's directories",
               f"{a} at first, {b} at the end, {idle} at rest",
               "400 more at most, 0 at rest", ok and idle == 0)
    rig.figure("soak, a worker that leaks", f"{leak(folder, stormer)} of 1 "
               "caught", "all", "leak" in CAUGHT)


CAUGHT = []


def leak(folder, stormer):
    """Whether a worker that keeps a descriptor a line is found out."""
    idq = rig.broken("log-unclosed", folder)
    if not idq:
        return 0
    os.mkdir(f"{folder}/leak")
    os.mkdir(f"{folder}/small/leak")
    s = Soak(f"{folder}/leak", f"{folder}/small/leak", stormer, idq)
    samples = soak(s, 6, 60)
    a, b, ok = steady(samples, 1, 4)
    rig.note(f"control log-unclosed: {a} descriptors at first, {b} at the end")
    if not ok:
        CAUGHT.append("leak")
    return len(CAUGHT)

if __name__ == "__main__":
    sys.exit(rig.main("soak", main))
