# SPDX-License-Identifier: ISC
"""What the rigs `errors' and `pairs' share: the preloaded injector, the log of
calls that it writes, and boxes whose commands run under it."""

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import killpoints

INJECT = None                    # path of the preloaded library


class Skip(Exception):
    """Why a rig cannot run here."""


def build(folder):
    """Compile the injector, and see that it is loaded and counts."""
    global INJECT
    path = f"{folder}/inject.so"
    source = os.path.join(killpoints.HERE, "inject.c")
    cc = os.environ.get("CC", "cc").split()
    try:
        r = subprocess.run(
            [*cc, "-std=c11", "-D_GNU_SOURCE", "-O1", "-fPIC", "-shared",
             "-o", path, source, "-ldl"], capture_output=True, check=False)
    except FileNotFoundError as e:
        raise Skip(f"{cc[0]} is not installed") from e
    if r.returncode:
        raise RuntimeError(r.stderr.decode())
    INJECT = path
    log = f"{folder}/log"
    subprocess.run([killpoints.IDQ, "ls", "-q", f"{folder}/none"],
                   env={**os.environ, "LD_PRELOAD": path, "INJECT_LOG": log},
                   capture_output=True, check=False)
    if not os.path.exists(log):
        raise Skip("idq cannot be preloaded here: is it static?")


class Call:
    """A line of the injector's log."""

    def __init__(self, line):
        f = line.split("\t", 8)
        self.pid, self.k = int(f[0]), int(f[1])
        self.name, self.fault = f[2], f[3]
        self.result, self.errno = int(f[4]), int(f[5])
        self.ident = f[6]
        self.creat = f[7] == "creat"
        self.path = f[8]
        self.ok = self.result != -1

    def place(self):
        """The directory of the queue that its path, or the second of two, is
        in: `new', `keys'."""
        m = re.search(r"(?:^|/spool/q/)([a-z]+)(/|$)",
                      self.path.split(" ")[-1])
        return m[1] if m else ""


def read_log(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return [Call(line) for line in f.read().split("\n") if line]
    except FileNotFoundError:
        return []


class Box(killpoints.Box):
    """A box whose idq runs under the injector, which logs what follows the
    command in question to another file."""

    def __init__(self, path, idq=None):
        self.fault = None
        self.program = idq or killpoints.IDQ
        self.log = f"{path}/log.main"
        self.later = f"{path}/log.later"
        self.aims = {}
        super().__init__(path)

    def restore(self, snap):
        super().restore(snap)
        for path in (self.log, self.later):
            if os.path.exists(path):
                os.unlink(path)

    def start(self, argv, stdin=b"", env=None):
        env = dict(env or {})
        if argv[0] == killpoints.IDQ:
            argv = [self.program, *argv[1:]]
            env["LD_PRELOAD"] = " ".join(
                filter(None, (INJECT, env.get("LD_PRELOAD"))))
            env["INJECT_LOG"] = self.log if self.fault else self.later
            if self.fault:
                env["INJECT_AT"], env["INJECT_FAULT"] = self.fault
        return super().start(argv, stdin, env)

    def start_at(self, k, fault, argv, stdin=b"", env=None):
        """Start ARGV with FAULT at its call K."""
        self.fault = (str(k), fault)
        try:
            return self.start(argv, stdin, env)
        finally:
            self.fault = None

    def run_at(self, k, fault, argv, stdin=b"", env=None):
        return self.finish(self.start_at(k, fault, argv, stdin, env),
                           " ".join(argv))

    def inodes(self):
        """Of every file of the queue that is more than begun."""
        found = set()
        for root, _, names in os.walk(self.queue):
            if root == f"{self.queue}/tmp":
                continue
            for name in names:
                found.add(str(os.lstat(os.path.join(root, name)).st_ino))
        return found


def broken(name, folder):
    """Build idq with the defect NAME; its path."""
    r = subprocess.run([f"{killpoints.HERE}/break", name,
                        f"{folder}/broken-{name}"],
                       capture_output=True, check=True)
    return r.stdout.decode().strip()


def put(name, figures, target, ok):
    """A figure of the rig; whether it is as it should be."""
    print(f"{name}\t{figures}\t{target}\t{'ok' if ok else 'FAILED'}",
          flush=True)
    return ok


@contextlib.contextmanager
def workdir(name):
    """A folder for the rig, which is gone when that ends, however it ends."""
    os.umask(0o022)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    killpoints.adopt_orphans()
    path = tempfile.mkdtemp(prefix=f"idq-{name}.")
    try:
        yield path
    finally:
        remove(path)


def remove(path):
    """Remove PATH, and end whatever still writes there."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end = time.monotonic() + killpoints.DEADLINE
    while os.path.exists(path) and time.monotonic() < end:
        for pid in killpoints.children():
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
        shutil.rmtree(path, ignore_errors=True)


def run_all(tasks, jobs, starts, work, show):
    """WORK on (case, point) in JOBS processes, and SHOW what came out of each
    case; yields the tallies."""
    left = {}
    for number, _ in tasks:
        left[number] = left.get(number, 0) + 1
    results = {}
    with multiprocessing.get_context("fork").Pool(jobs, starts) as pool:
        for number, point, t, bad in pool.imap_unordered(work, tasks, 4):
            results.setdefault(number, []).append((point, t, bad))
            left[number] -= 1
            if left[number] == 0:
                show(number, sorted(results.pop(number),
                                    key=lambda r: r[0]))
            yield t
