# SPDX-License-Identifier: ISC
"""The kill storm: stormer starts commands by the thousand on one queue and
kills most of them.  After each part of it the queue comes to rest by ordinary
commands, and is compared with idq(5) and with what stormer was told."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import invariants
import rig

CONTROLS = ("take-unlocked", "free-any-key")
CONTROL_CYCLES = 4000
REST = 60                        # seconds in which a queue must come to rest


def job_program(folder):
    """stormer, or None without a compiler."""
    path = f"{folder}/stormer"
    r = subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", path,
                        f"{rig.HERE}/stormer.c", "-lm"], check=False)
    return path if r.returncode == 0 else None


class Storm(rig.Spool):
    def __init__(self, path, stormer, idq=rig.IDQ):
        super().__init__(path, idq)
        self.stormer = stormer
        self.cycles = self.kills = self.added = self.finished = 0
        self.lost = self.again = self.twice = self.stuck = 0
        self.env["SIDE"] = f"{path}/side"
        self.idq("init")
        for name, value in (("backoff", "1s"), ("attempts", "100"),
                            ("keep", "1s"), ("lease", "2s"),
                            ("output", "keep"),
                            ("group-max", "1")):
            self.idq("config", name, value)

    def lines(self, name):
        try:
            with open(f"{self.path}/{name}", encoding="utf-8",
                      errors="replace") as f:
                return f.read().splitlines()
        except FileNotFoundError:
            return []

    def storm(self, cycles, slots, seed):
        child = subprocess.Popen(
            [self.stormer, self.path, self.idq_path, str(cycles), str(slots),
             str(seed)], env=self.env, start_new_session=True)
        rig.CLEANUPS.append(lambda: child.poll() is None and
                            os.killpg(child.pid, signal.SIGKILL))
        if child.wait() != 0:
            self.say(f"stormer: exit {child.returncode}")

    # Coming to rest.
    def drain(self):
        calm = {"CALM": "1", "NR": "0"}
        return self.idq("work", "--drain", "-j2", "--", self.stormer, "--job",
                        env=calm)

    def rest(self, last=False):
        """Ordinary commands, until nothing is left that will be run."""
        self.idq("resume")
        end = time.monotonic() + REST
        self.drain()
        # Leases of 2 s; a job can be held when its lease ends.
        while os.listdir(f"{self.queue}/cur"):
            if time.monotonic() > end:
                self.say("cur is never empty")
                break
            time.sleep(0.1)
            self.drain()
        if last:
            # Those past their deadline stay held, and are for cancel.
            self.idq("unhold", "-s", "held", "--yes", ok=(0, 69))
            self.idq("cancel", "-s", "held", "--key-glob", "b*", "--yes")
            self.idq("retry", "-s", "waiting,failed", "--yes", ok=(0, 69))
            self.drain()
        while last and (left := self.left()):
            if time.monotonic() > end:
                self.stuck += len(left)
                self.say(f"{len(left)} jobs do not come to an end: "
                         + " ".join(left[:5]))
                break
            time.sleep(0.1)
            self.drain()

    def judge(self):
        # A purge cut off between its unlinks is for fsck alone, and so is a
        # cancel of a held job before its rename.
        self.check(but=("done, in no state directory",
                        "cancelled, in no state directory",
                        "expired, in no state directory",
                        "failed, in no state directory",
                        "its trail says cancelled",
                        "of no claim of a job"))
        self.idq("fsck")
        r = self.idq("fsck")
        if r.out:
            self.say(f"a second fsck finds {r.out.splitlines()[0]}")
        self.check()
        queue = invariants.Queue(self.queue)
        self.one_job(queue)
        self.account(queue)

    def one_job(self, queue):
        live = {}
        for f in queue.files.values():
            if f.job and not f.job.final:
                live[f.job.key] = live.get(f.job.key, 0) + 1
        more = [k for k, n in live.items() if n > 1]
        self.twice += len(more)
        for k in more:
            self.say(f"{k} has {live[k]} live jobs")

    def account(self, queue):
        """Nothing that was told may be gone, or come again."""
        runs = list(invariants.parse_runs(self.runs_text()))
        ids = {j.id for j in queue.jobs()}
        ended_runs = {r[2] for r in runs if r[0] == "end"}
        told = [line.split(" ", 2) for line in self.lines("told")]
        side = [line.split(" ") for line in self.lines("side")]
        by_nr = {}
        starts = {}              # id -> highest claim that was started
        for nr, key, token, attempt in side:
            ident, n = token.split(".")[1:]
            by_nr.setdefault((nr, key, attempt), {})[ident] = int(n)
            starts[ident] = max(starts.get(ident, 0), int(n))
        added, finished, tried, removed = {}, {}, set(), set()
        self.cycles = self.kills = self.stuck = 0
        for word, nr, rest in told:
            if word == "slot":
                self.cycles += int(nr)
                self.kills += int(rest)
            elif word == "stuck":
                self.stuck += 1
                self.say(f"stuck: {rest}")
            elif word == "exit":
                self.say(f"idq {rest}")
            elif word == "add":
                result, ident, key = add_line(rest)
                if result in ("added", "duplicate"):
                    added[ident] = key
                elif result is None:
                    self.say(f"add printed {rest}")
            elif word == "claim":
                ident, n = rest.split(".")[1:]
                starts[ident] = max(starts.get(ident, 0), int(n))
            elif word == "try":
                tried.add(rest.split(".")[1])
            elif word == "acked":
                ident, n = rest.split(".")[1:]
                finished[ident] = int(n)
            elif word == "ended":
                removed.add(rest)
            elif word in ("work", "ran"):
                found = self.worked(word, nr, rest, by_nr)
                finished.update(found)
        self.added, self.finished = len(added), len(finished)
        known = ids | ended_runs | tried | self.expired()
        lost = [i for i, key in added.items()
                if i not in known and key not in removed]
        for i in lost:
            self.say(f"{added[i]}, {i}: acknowledged and lost")
        again = [i for i, n in finished.items() if starts.get(i, 0) > n]
        for i in again:
            self.say(f"{i}: started as claim {starts[i]} after claim "
                     f"{finished[i]} was reported as done")
        self.lost, self.again = len(lost), len(again)
        self.twice += sum("runs twice at once" in line for line in self.bad)

    def expired(self):
        """The ids of jobs of which the log says that they expired."""
        return {line[2].split(".")[1]
                for line in invariants.Queue(self.queue).log_lines()
                if len(line) == 6 and line[1] == "expired"}

    @staticmethod
    def worked(word, nr, rest, by_nr):
        """Jobs that a worker, or a run, reported as done: id and claim."""
        if word == "ran":
            hits = [ids for (number, key, _), ids in by_nr.items()
                    if number == nr and key == rest]
            return hits[0] if len(hits) == 1 and len(hits[0]) == 1 else {}
        fields = rest.split("\t")
        if len(fields) != 4 or fields[0] != "done":
            return {}
        ids = by_nr.get((nr, fields[3], fields[2]), {})
        return ids if len(ids) == 1 else {}


def add_line(text):
    """(result, id, key) of a line of `add --json'."""
    try:
        o = json.loads(text)
        return o["result"], o.get("id"), o["key"]
    except (ValueError, KeyError):
        return None, None, None


def go(storm, cycles, part, slots, seed):
    done = 0
    while done < cycles:
        n = min(part, cycles - done)
        storm.storm(n, slots, seed + done)
        done += n
        storm.rest(last=done == cycles)
        storm.judge()
        rig.note(f"storm: {storm.cycles} cycles, {storm.kills} killed, "
                 f"{storm.added} jobs told, {len(storm.bad)} violations")
        if storm.bad and os.environ.get("STOP"):
            return
    # At the end every job has ended.
    queue = invariants.Queue(storm.queue)
    live = [j.key for j in queue.jobs() if not j.final]
    storm.stuck += len(live)
    for k in live:
        storm.say(f"{k}: never ended")


def control(name, folder, stormer, seed):
    """Whether the storm finds the defect."""
    idq = rig.broken(name, folder)
    if not idq:
        rig.note(f"{name}: cannot be built")
        return False
    path = f"{folder}/control-{name}"
    os.mkdir(path)
    storm = Storm(path, stormer, idq)
    quiet = rig.note
    rig.note = lambda words: None
    try:
        for turn in range(4):
            storm.storm(CONTROL_CYCLES // 2, 8, seed + turn)
            storm.rest()
            storm.judge()
            if storm.bad:
                break
    finally:
        rig.note = quiet
    rig.note(f"control {name}: "
             + (storm.bad[0] if storm.bad else "NOT CAUGHT"))
    return bool(storm.bad)


def main(folder, short):
    stormer = job_program(folder)
    if not stormer:
        rig.figure("kill storm", "no C compiler", "100,000 cycles", None)
        return
    seed = random.randrange(1 << 30)
    rig.note(f"storm: seed {seed}")
    os.mkdir(f"{folder}/storm")
    storm = Storm(f"{folder}/storm", stormer)
    cycles, part = (2000, 1000) if short else (100000, 5000)
    cycles = int(os.environ.get("CYCLES", cycles))
    go(storm, cycles, min(part, cycles), 4 * os.cpu_count(), seed)
    ok = not storm.bad
    rig.figure("kill storm", f"{storm.cycles:,} cycles, {storm.kills:,} killed,"
               f" {storm.added:,} jobs acknowledged, {storm.finished:,}"
               f" finishes reported, {len(storm.bad)} violations",
               "0 violations", ok)
    rig.figure("kill storm, what was acknowledged",
               f"{storm.lost} lost, {storm.again} run again after their end, "
               f"{storm.twice} twice at once, {storm.stuck} stuck",
               "0, 0, 0, 0", not (storm.lost or storm.again or storm.twice
                                  or storm.stuck))
    names = CONTROLS
    caught = sum(control(n, folder, stormer, seed) for n in names)
    rig.figure("kill storm, broken builds", f"{caught} of {len(names)} caught",
               "all", caught == len(names))


if __name__ == "__main__":
    sys.exit(rig.main("storm", main))
