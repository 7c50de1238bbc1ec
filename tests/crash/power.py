# SPDX-License-Identifier: ISC
"""What the power-loss rigs share: small disks with a queue on them, the
commands that come after a power cut, and what must be true then.

The rigs run as root in a mount namespace of their own, so that whatever they
mount goes with them.  A new boot is a new content of the boot id.
"""

import ctypes
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

import invariants
import killpoints

HERE = killpoints.HERE
COMMAND = killpoints.COMMAND
LOAD = os.path.join(HERE, "powerload")
DEADLINE = 300                   # seconds; the machine may be busy
BOOT_ID = "/proc/sys/kernel/random/boot_id"
CLONE_NEWNS = 0x20000
SEEDS = 10

# A commit every 5 seconds would hide what is not synced.
FILE_SYSTEMS = {
    "ext4": (24, ["mkfs.ext4", "-q", "-F", "-N", "4096", "-E", "nodiscard"],
             "loop,commit=300"),
    # Its copies are mounted at the same time.
    "xfs": (300, ["mkfs.xfs", "-q", "-f", "-K"], "loop,nouuid"),
    "btrfs": (128, ["mkfs.btrfs", "-q", "-f", "-K", "-m", "single",
                    "-d", "single"], "loop,commit=300"),
}


def progress(words):
    print(words, file=sys.stderr, flush=True)


def missing(fs):
    """Why FS cannot be used here, or None."""
    with open("/proc/filesystems", encoding="ascii") as f:
        known = fs in f.read().split()
    if not known and not (shutil.which("modprobe") and subprocess.run(
            ["modprobe", "-q", fs], check=False).returncode == 0):
        return f"the kernel has no {fs}"
    if not shutil.which(f"mkfs.{fs}"):
        return f"mkfs.{fs} is not installed"
    return None


def sh(*argv, **more):
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, check=False,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, **more)
    if r.returncode != 0:
        raise OSError(f"{' '.join(argv)}: exit {r.returncode}: "
                      f"{r.stdout.strip()[:300]}")
    return r.stdout


def work_folder(name):
    """A folder in memory, with its content gone when the rig has ended."""
    path = tempfile.mkdtemp(prefix=f"idq-{name}.")
    sh("mount", "-t", "tmpfs", "-o", "size=3g,mode=0700", "idq", path)
    return path


def drop_folder(path):
    subprocess.run(["umount", "-l", path], check=False)
    os.rmdir(path)


def umount(path):
    """Until it is: a loop device lets go of its file a moment later."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            sh("umount", path)
            return
        except OSError:
            if time.monotonic() > end:
                raise
        time.sleep(0.01)


class Disk:
    """A disk image of FS with a mount point beside it."""

    def __init__(self, path, fs):
        self.path = path
        self.fs = fs
        self.size, self.mkfs, self.options = FILE_SYSTEMS[fs]
        self.mounted = False
        self.mnt = f"{path}.mnt"
        os.makedirs(self.mnt, exist_ok=True)

    def make(self):
        with open(self.path, "wb") as f:
            f.truncate(self.size << 20)
        sh(*self.mkfs, self.path)

    def copy(self, other):
        sh("cp", "--sparse=always", other, self.path)

    def mount(self):
        sh("mount", "-t", self.fs, "-o", self.options, self.path, self.mnt)
        self.mounted = True

    def umount(self):
        if self.mounted:
            umount(self.mnt)
            self.mounted = False

    def drop(self):
        self.umount()
        if os.path.exists(self.path):
            os.unlink(self.path)


class Spool:
    """The commands on the queue of a mounted disk; its logs are outside."""

    def __init__(self, folder, mnt, idq=killpoints.IDQ):
        self.idq = idq
        self.queue = f"{mnt}/q"
        self.runs = f"{folder}/runs"
        self.acks = f"{folder}/acks"
        self.bad = []
        self.env = {k: v for k, v in os.environ.items()
                    if not k.startswith(("IDQ", "NAP", "GATE", "STATUS"))}
        self.env.update(LC_ALL="C", TZ="UTC", IDQ=idq, QUEUE=self.queue,
                        RUNS=self.runs, ACKS=self.acks, COMMAND=COMMAND,
                        SEEDS=str(SEEDS), PAYLOAD=f"{folder}/payload",
                        LARGE=f"{folder}/large", IDQ_SPOOL=mnt)
        self.clear()
        with open(self.env["PAYLOAD"], "wb") as f:
            f.write(b"0123456789" * 20)
        with open(self.env["LARGE"], "wb") as f:
            f.write(b"0123456789abcdef" * 1280)

    def clear(self):
        for path in (self.runs, self.acks):
            with open(path, "wb"):
                pass

    def say(self, words):
        self.bad.append(words)

    def run(self, verb, *args, ok=(0,), stdin=None):
        """The output of a verb; any exit but those in OK is wrong."""
        argv = [self.idq, verb, "-q", self.queue, *args]
        try:
            r = subprocess.run(argv, input=stdin, env=self.env, check=False,
                               stdin=None if stdin else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.say(f"stuck: {verb} {' '.join(args)}")
            return ""
        if r.returncode not in ok:
            self.say(f"idq {verb} {' '.join(args)}: exit {r.returncode}: "
                     f"{(r.stderr + r.stdout).strip()[:300]}")
        return r.stdout

    def add(self, key):
        """As the load does it, see powerload."""
        role = key.split("-")[0]
        if role == "batch":
            self.run("add", "--batch", stdin=f"{key}\tpayload of {key}\n")
            return
        size = "LARGE" if role == "killed" else "PAYLOAD"
        options = {"care": ["--on-crash", "hold"],
                   "reuse": ["--reuse", "final"]}.get(role, [])
        self.run("add", "-k", key, "--payload", self.env[size], *options)

    def drain(self):
        self.run("work", "--drain", "-j", "4", "--", COMMAND)

    def text(self, path, length=None):
        with open(path, encoding="utf-8") as f:
            return f.read() if length is None else f.read()[:length]

    def seed(self):
        """Jobs in the states that the load needs."""
        self.run("config", "backoff", "1h")
        for roles, options in ((("forget", "reuse"), []),
                               (("purge",), ["--keep", "1s"]),
                               (("retry",), ["--attempts", "1"]),
                               (("hold", "cancel"), ["--in", "1h"])):
            self.run("add", "--batch", *options, stdin="".join(
                f"{role}-{i}\tseed\n" for i in range(1, SEEDS + 1)
                for role in roles))
            self.env["STATUS"] = "1" if roles == ("retry",) else "0"
            self.drain()
        del self.env["STATUS"]
        time.sleep(1.1)          # until the keys of `purge' are released


def templates(folder, fs):
    """Disks with a seeded queue, unmounted: FOLDER/FS.full and FS.file."""
    disks = [Disk(f"{folder}/{fs}.{sync}", fs) for sync in ("full", "file")]
    disks[0].make()
    for disk in disks:
        if disk is disks[1]:
            disk.copy(disks[0].path)
        disk.mount()
        spool = Spool(folder, disk.mnt)
        if disk is disks[0]:
            spool.run("init")
            spool.seed()
        spool.run("config", "sync", disk.path.rsplit(".", 1)[1])
        disk.umount()
        if spool.bad:
            raise OSError(f"seeding failed: {spool.bad}")


class Boot:
    """The boot id that the commands of this process see."""

    def __init__(self, folder):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        self.path = f"{folder}/boot_id"
        self.again()
        sh("mount", "--bind", self.path, BOOT_ID)

    def again(self):
        with open(self.path, "w", encoding="ascii") as f:
            f.write(f"{uuid.uuid4()}\n")


def descendants():
    """The pids of all below this process, with their state."""
    parent, state = {}, {}
    for p in os.listdir("/proc"):
        if not p.isdigit():
            continue
        try:
            with open(f"/proc/{p}/stat", "rb") as f:
                fields = f.read().rsplit(b")", 1)[1].split()
        except OSError:
            continue
        parent[int(p)] = int(fields[1])
        state[int(p)] = fields[0].decode()
    found, grown = {os.getpid()}, True
    while grown:
        more = {p for p, pp in parent.items() if pp in found} - found
        found |= more
        grown = bool(more)
    return {p: state[p] for p in found - {os.getpid()}}


def kill_all():
    """End all below this process, and wait for it."""
    end = time.monotonic() + DEADLINE
    while pids := descendants():
        for p in pids:
            try:
                os.kill(p, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        if time.monotonic() > end:
            raise OSError(f"processes that do not end: {pids}")
        time.sleep(0.002)


def freeze_all():
    """Stop all below this process; none is in the kernel afterwards."""
    end = time.monotonic() + DEADLINE
    while any(s not in "TtZX" for s in descendants().values()):
        for p, s in descendants().items():
            if s not in "TtZX":
                try:
                    os.kill(p, signal.SIGSTOP)
                except ProcessLookupError:
                    pass
        if time.monotonic() > end:
            raise OSError("processes that do not stop")
        time.sleep(0.002)


class Said:
    """What was acknowledged before the cut, and what was asked for."""

    def __init__(self, before, all_of_it):
        self.facts = {}          # word -> set of keys or hashes
        self.asked = {}
        for line in before.splitlines():
            word, key = line.split(" ", 1)
            if not word.endswith("?"):
                self.facts.setdefault(word, set()).add(key)
        for line in all_of_it.splitlines():
            word, key = line.split(" ", 1)
            if word.endswith("?"):
                self.asked.setdefault(word[:-1], set()).add(key)

    def keys(self, word):
        return self.facts.get(word, set())

    def count(self):
        return sum(len(k) for k in self.facts.values())


def key_hash(key):
    is_hash = len(key) == 64 and not set(key) - set("0123456789abcdef")
    return key if is_hash else hashlib.sha256(key.encode()).hexdigest()


def after_cut(spool, said, fsck_first, starts):
    """The ordinary next commands, and what must be true then.  STARTS is what
    ran before the cut.  Returns (lost, rerun, torn, others), lists."""
    with open(spool.runs, "wb"):
        pass
    if fsck_first:
        # What was never accepted it may leave to the next add of the key.
        spool.run("fsck", ok=(0, 1))
    torn = visible_torn(spool.queue)
    spool.drain()
    for key in sorted(said.asked.get("add", set()) - said.keys("added")):
        spool.add(key)
    # A try that was cut off has failed, and its delay is not over.
    for key in sorted(said.asked.get("run", set()) - said.keys("done")):
        spool.run("run", "-k", key, "--", COMMAND, ok=(0, 75))
    spool.drain()
    if fsck_first:
        spool.run("fsck")
    runs = spool.text(spool.runs)
    queue = invariants.Queue(spool.queue, True)
    invariants.check_runs(queue, runs)
    torn += [line for line in queue.bad if is_torn(line)]
    others = spool.bad + [line for line in queue.bad
                          if not is_torn(line) and not is_unsynced(line)]
    spool.bad = []
    lost = check_said(queue, said)
    rerun = check_rerun(said, starts, runs)
    return lost, rerun, torn, others


def is_torn(line):
    return any(words in line for words in (
        "no header", "empty", "begin as a job", "shorter than",
        "Fingerprint", "no newline after"))


def is_unsynced(line):
    """The log is not synced: its last lines may be cut off, or be NULs."""
    return line.startswith("log/")


def visible_torn(path):
    """Files in a state directory that are not whole jobs."""
    torn = []
    for state in invariants.STATE_DIRS:
        for root, _, names in os.walk(f"{path}/{state}"):
            for name in names:
                with open(f"{root}/{name}", "rb") as f:
                    data = f.read()
                try:
                    invariants.Job(data)
                except invariants.Bad as e:
                    torn.append(f"{state}/{name}: {e}")
    return torn


def check_said(queue, said):
    lost = []
    gone = said.asked.get("gone", set())
    for key in said.keys("added"):
        job = queue.job(key)
        if not job:
            lost.append(f"added {key}: acknowledged and lost")
        elif job.state == "pending" and invariants.stamp_time(
                job.next_of(job.last)) < queue.now:
            lost.append(f"added {key}: no worker finds it")
        elif key.startswith("reuse-") and job.payload == b"seed":
            lost.append(f"added {key}: the old job has its key again")
    for key in said.keys("done"):
        f = queue.keys.get(key_hash(key))
        if (not f or not f.job or f.job.state != "done") and \
                key not in gone:
            lost.append(f"done {key}: acknowledged, and is "
                        f"{f.job.state if f and f.job else 'gone'}")
    for word in ("retried", "held", "cancelled"):
        for key in said.keys(word):
            job = queue.job(key)
            if not job or all(t.event != word for t in job.trail):
                lost.append(f"{word} {key}: acknowledged and lost")
    for key in said.keys("gone"):
        if queue.job(key):
            lost.append(f"gone {key}: acknowledged, and is back")
    return lost


def check_rerun(said, starts, runs):
    rerun = []
    over = {key_hash(k) for k in said.keys("done") | said.keys("cancelled")}
    before = {}
    for what, key, *_ in invariants.parse_runs(starts):
        if what == "start":
            before[key] = before.get(key, 0) + 1
    for what, key, *_ in invariants.parse_runs(runs):
        if what != "start":
            continue
        if key_hash(key) in over:
            rerun.append(f"{key} ran again after its end was acknowledged")
        if key.startswith("care-") and before.get(key):
            rerun.append(f"{key} ran again, with on-crash hold")
    return rerun


class Figures:
    """What a rig prints at its end."""

    def __init__(self):
        self.failed = False

    def line(self, name, figures, target, verdict):
        self.failed |= verdict == "FAILED"
        print("\t".join((name, figures, target, verdict)), flush=True)

    def judge(self, name, figures, target, good):
        self.line(name, figures, target, "ok" if good else "FAILED")


class Tally:
    """The sums over many cuts."""

    def __init__(self):
        self.cuts = self.acked = 0
        self.lost = self.rerun = self.torn = self.others = 0

    def take(self, where, acked, found):
        self.cuts += 1
        self.acked += acked
        for name, lines in zip(("lost", "rerun", "torn", "others"), found):
            setattr(self, name, getattr(self, name) + len(lines))
            for line in lines[:4]:
                progress(f"  {where}: {name}: {line}")

    def good(self):
        return self.cuts > 0 and not (
            self.lost or self.rerun or self.torn or self.others)

    def words(self, what):
        return (f"{self.cuts:,} {what}, {self.acked:,} acknowledged, "
                f"{self.lost} lost, {self.rerun} run again, {self.torn} torn, "
                f"{self.others} other violations")

    TARGET = "0 lost, 0 run again, 0 torn, 0 other violations"


def broken(folder, name):
    """The program with the defect NAME."""
    return sh(os.path.join(HERE, "break"), name,
              f"{folder}/broken.{name}").split("\n")[-2]
