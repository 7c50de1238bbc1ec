#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""Compare a queue's directory with its specification, idq(5).

    invariants.py [--settled] [--acked FILE] [--runs FILE] QUEUE

prints a line `path: what is wrong' per violation and exits 1 if there is one.

Without --settled, what the table LEGAL STATES allows is no violation: files in
tmp/, a key without a state name, a job in the wrong directory or in two.  With
it nothing may be left to do but to run jobs that are due and to wait: the
state after a worker, or fsck, has been over a quiet queue.

--acked names a file of keys, one a line, whose add was reported: each must
still have its whole job, or be known to the log as ended.

--runs names a file that the commands wrote with one append each:

    start KEY ID ATTEMPT PID TIME       TIME in seconds since the epoch
    end KEY ID ATTEMPT PID TIME
    killed KEY ID ATTEMPT PID TIME      written for a command that was killed

No key may run twice at once, no job more often than it was claimed, and none
after its trail says that it ended.

This was written from the manual page alone, and shares no code with idq.  A
lock is only tried, never waited for.
"""

import argparse
import fcntl
import hashlib
import os
import re
import stat
import sys
import time
import unicodedata
from datetime import datetime, timezone

HEADER_MAX = 1 << 20
OUTPUT_MAX = 1 << 20
FIELDS = ["Key", "Id", "Added", "By", "Due", "Expires", "Group", "Run", "Keep",
          "Attempts", "On-crash", "Arg", "Length", "Fingerprint"]
REQUIRED = ["Key", "Id", "Added", "By", "Due", "Length", "Fingerprint"]

# A claim is open between `claimed' and the line that ends it.
OPEN = {"claimed", "renewed"}
FINAL_STATES = {"done", "failed", "cancelled", "expired"}
# The fields of each event: those it must have, and those it may have.
EVENTS = {
    "claimed": ({"host", "boot", "pid"}, {"lease"}),
    "renewed": ({"lease"}, set()),
    "done": ({"exit", "release"}, set()),
    "failed": ({"to"}, {"exit", "signal", "reason", "stderr", "next",
                        "release"}),
    "later": ({"to", "exit", "next"}, {"stderr", "release"}),
    "released": ({"to", "next"}, {"release"}),
    "interrupted": ({"to"}, {"next", "release"}),
    "held": ({"reason"}, {"by"}),
    "unheld": ({"to", "next", "by"}, {"release"}),
    "retried": ({"to", "next", "by"}, {"release"}),
    "cancelled": ({"release", "by"}, set()),
    "expired": ({"release"}, set()),
}
KNOWN = set().union(*(must | may for must, may in EVENTS.values()))
DAY_DIRS = ("done", "cancelled", "expired")
PLAIN_DIRS = ("cur", "hold", "failed")
STATE_DIRS = ("new", "wait", "paced") + PLAIN_DIRS + DAY_DIRS

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
DUE = r"\d{8}T\d{6}\.\d{6}Z"
DAY = r"\d{4}-\d\d-\d\d"
HASH = r"[0-9a-f]{64}"
ID = r"[0-9a-f]{16}"
HOST = r"[^/\x00-\x20\x7f]+"

# Every regular file that may be in a queue, by its path.
NAMES = {
    "format": r"format",
    "config": r"config",
    "tmp": rf"tmp/(?P<id>{ID})(?P<suffix>\.k|\.bad)?",
    "keys": rf"keys/(?P<hh>[0-9a-f]{{2}})/(?P<hash>{HASH})",
    "new": rf"new/(?P<due>{DUE})\.(?P<hash>{HASH})\.(?P<id>{ID})",
    "wait": rf"wait/(?P<minute>\d{{8}}T\d{{4}})/(?P<due>{DUE})"
            rf"\.(?P<hash>{HASH})\.(?P<id>{ID})",
    "paced": rf"paced/(?P<group>{HASH})/(?P<due>{DUE})"
             rf"\.(?P<hash>{HASH})\.(?P<id>{ID})",
    "turn": rf"turn/(?P<minute>\d{{8}}T\d{{4}})/(?P<due>{DUE})"
            rf"\.(?P<group>{HASH})",
    "groups": rf"groups/(?P<group>{HASH}|rate)",
    "paused": r"paused",
    "plain": rf"(?P<dir>cur|hold|failed)/(?P<hash>{HASH})\.(?P<id>{ID})",
    "day": rf"(?P<dir>done|cancelled|expired)/(?P<day>{DAY})"
           rf"/(?P<hash>{HASH})\.(?P<id>{ID})",
    "dups": rf"dups/(?P<hh>[0-9a-f]{{2}})/(?P<hash>{HASH})\.(?P<id>{ID})",
    "out": rf"out/(?P<hash>{HASH})\.(?P<id>{ID})\.(?P<n>[1-9]\d*)",
    "log": rf"log/{DAY}\.{HOST}",
    "asked": rf"asked/(?P<id>{ID})",
    "boot": rf"boot/{HOST}",
    "run": r"run/.*",
}
NAMES = {kind: re.compile(rx, re.DOTALL) for kind, rx in NAMES.items()}
FOLDERS = re.compile(
    r"tmp|new|cur|hold|failed|out|asked|boot|log|groups|run(/.*)?"
    rf"|paced(/{HASH})?|turn(/\d{{8}}T\d{{4}})?"
    r"|(keys|dups)(/[0-9a-f]{2})?"
    rf"|wait(/\d{{8}}T\d{{4}})?|(done|cancelled|expired)(/{DAY})?", re.DOTALL)


class Bad(Exception):
    """What is wrong with a file."""


def stamp_time(s):
    """Seconds since the epoch of a stamp or DUE, exact to the microsecond."""
    if re.fullmatch(STAMP, s):
        form = "%Y-%m-%dT%H:%M:%S.%fZ"
    elif re.fullmatch(DUE, s):
        form = "%Y%m%dT%H%M%S.%fZ"
    else:
        raise Bad(f"no stamp: {s}")
    try:
        t = datetime.strptime(s, form).replace(tzinfo=timezone.utc)
    except ValueError as e:
        raise Bad(f"no stamp: {s}") from e
    return t.timestamp()


def due_of(stamp):
    """The DUE of a stamp."""
    return re.sub(r"[-:]", "", stamp)


def text(data, what):
    """DATA as a string; it must be UTF-8 without control characters."""
    try:
        s = data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise Bad(f"{what} is not UTF-8") from e
    if any(unicodedata.category(c) == "Cc" for c in s):
        raise Bad(f"{what} has a control character")
    return s


def unescape(data):
    """An Arg as the bytes it stands for."""
    if re.search(rb"[\x00-\x1f\x7f]", data):
        raise Bad("Arg has an unescaped control character")
    if re.search(rb"\\(?![0-3][0-7][0-7])", data):
        raise Bad("Arg has a bad escape")
    return re.sub(rb"\\([0-3][0-7][0-7])",
                  lambda m: bytes([int(m[1], 8)]), data)


class Line:
    """A line of a trail."""

    def __init__(self, data):
        s = text(data, "line")
        m = re.fullmatch(rf"({STAMP}) ([a-z]+) (\d+)((?: [a-z]+=[^ ]*)*)", s)
        if not m or m[2] not in EVENTS:
            raise Bad("line does not parse")
        self.text = s
        self.stamp = m[1]
        self.time = stamp_time(m[1])
        self.event = m[2]
        self.n = int(m[3])
        pairs = [f.split("=", 1) for f in m[4].split()]
        self.fields = dict(pairs)
        if len(self.fields) != len(pairs):
            raise Bad("line has a field twice")

    def complaints(self):
        """What its fields lack, by the table of events."""
        must, may = EVENTS[self.event]
        for name in sorted(must - self.fields.keys()):
            yield f"without {name}="
        # Names that no event has are for a later version.
        for name in sorted((self.fields.keys() & KNOWN) - must - may):
            yield f"with {name}="
        to = self.fields.get("to")
        if to is not None and to not in ("new", "wait", "hold", "failed"):
            yield f"with to={to}"
        if to in ("new", "wait") and "next" not in self.fields:
            yield "to be run again, without next="
        if to == "failed" and self.event != "retried" and \
                "release" not in self.fields:
            yield "to=failed without release="
        if self.event == "failed" and not (
                {"exit", "signal", "reason"} & self.fields.keys()):
            yield "without exit=, signal= or reason="
        for name in ("next", "lease", "release"):
            value = self.fields.get(name)
            if value is None or (name == "release" and value == "never"):
                continue
            try:
                if not re.fullmatch(STAMP, value):
                    raise Bad
                stamp_time(value)
            except Bad:
                yield f"with {name}={value}"


class Job:
    """A job file, parsed; Bad if it is not whole."""

    def __init__(self, data):
        end = data.find(b"\n\n", 0, HEADER_MAX + 2)
        if end < 0:
            raise Bad("no header" if data else "empty")
        lines = data[:end].split(b"\n")
        if lines[0] != b"idq job 1":
            raise Bad("does not begin as a job file")
        self.args = []
        self.head = {}
        self.notes = []
        place = 0
        for line in lines[1:]:
            m = re.fullmatch(rb"([A-Za-z-]+): (.*)", line, re.DOTALL)
            name = m[1].decode() if m else ""
            if name not in FIELDS:
                raise Bad(f"header line {line[:40]!r}")
            at = FIELDS.index(name)
            if at < place:
                raise Bad(f"{name} out of order")
            place = at
            if name == "Arg":
                self.args.append(unescape(m[2]))
            elif name in self.head:
                raise Bad(f"{name} twice")
            else:
                self.head[name] = text(m[2], name)
        for name in REQUIRED:
            if name not in self.head:
                raise Bad(f"no {name}")
        self._check_header()
        self.key = self.head["Key"]
        self.hash = hashlib.sha256(self.key.encode()).hexdigest()
        self.id = self.head["Id"]
        self.run = "Run" in self.head

        start = end + 2
        length = int(self.head["Length"])
        self.payload = data[start:start + length]
        if len(data) < start + length + 1:
            raise Bad("shorter than its Length")
        if data[start + length:start + length + 1] != b"\n":
            raise Bad("no newline after the payload")
        h = hashlib.sha256(b"%d\n" % len(self.args))
        for a in self.args:
            h.update(a + b"\0")
        h.update(self.payload)
        if h.hexdigest() != self.head["Fingerprint"]:
            raise Bad("Fingerprint is not that of args and payload")
        self._parse_trail(data[start + length + 1:])

    def _check_header(self):
        head = self.head
        for name in ("Key", "Group"):
            if name in head and not 1 <= len(head[name].encode()) <= 512:
                raise Bad(f"{name} of {len(head[name].encode())} bytes")
        for name, rx in (("Id", ID), ("Added", STAMP), ("Due", STAMP),
                         ("Expires", STAMP), ("Run", "1"),
                         ("By", r"[a-z]+=[^ ]*( [a-z]+=[^ ]*)*"),
                         ("Keep", r"\d+|forever"), ("Attempts", r"[1-9]\d*"),
                         ("On-crash", "retry|hold"), ("Length", r"\d+"),
                         ("Fingerprint", HASH)):
            if name in head and not re.fullmatch(rx, head[name]):
                raise Bad(f"{name}: {head[name]}")
        for name in ("Added", "Due", "Expires"):
            if name in head:
                stamp_time(head[name])

    def _parse_trail(self, data):
        """The lines that count; a torn tail does not."""
        self.trail = []
        torn = None
        parts = data.split(b"\n")
        if parts.pop():
            parts.append(b"\0")
        for number, part in enumerate(parts, 1):
            try:
                line = Line(part)
            except Bad as e:
                torn = torn or f"trail line {number}: {e}"
                continue
            if torn:
                self.notes.append(torn + ", and another follows it")
                torn = None
            self.trail.append(line)
        self.torn = torn
        self._judge_trail()

    def _judge_trail(self):
        claims = 0
        last = None
        for number, line in enumerate(self.trail, 1):
            def note(words, number=number, line=line):
                self.notes.append(f"trail line {number}: {line.event} {words}")

            for words in line.complaints():
                note(words)
            if line.event == "claimed":
                if last and last.event in OPEN:
                    note("while another claim is open: run twice at once")
                elif last and not self.may_start_after(last):
                    note(f"after {last.event}")
                elif line.time < stamp_time(self.next_of(last)):
                    note("before it was due")
                if "Expires" in self.head and \
                        line.time > stamp_time(self.head["Expires"]) + 1:
                    note("after its deadline")
                claims += 1
            elif line.event in ("renewed", "done", "failed", "later",
                                "released", "interrupted") and \
                    not (last and last.event in OPEN) and \
                    not (line.event == "failed" and "reason" in line.fields):
                note("without an open claim")
            if last and self.state_of(last) in ("done", "cancelled", "expired"):
                note(f"after {last.event}, which is the end")
            if line.n != claims:
                note(f"of claim {line.n}, not {claims}")
            if self.run and self.place_of(line) in ("new", "wait"):
                note("sends a Run job to new or wait")
            last = line
        self.claims = claims
        self.last = last
        self.state = self.state_of(last)
        self.final = self.state in FINAL_STATES

    def may_start_after(self, last):
        place = self.place_of(last)
        return place in ("new", "wait") or (self.run and place == "failed")

    def next_of(self, last):
        return last.fields.get("next", self.head["Due"]) if last \
            else self.head["Due"]

    @staticmethod
    def place_of(line):
        """The state directory that a line leads to; None for no line."""
        if line is None:
            return None
        if line.event in OPEN:
            return "cur"
        if line.event == "held":
            return "hold"
        return line.fields.get("to", line.event)

    def state_of(self, line):
        return {None: "pending", "new": "pending", "wait": "pending",
                "cur": "running", "hold": "held"}.get(
                    self.place_of(line), self.place_of(line))

    def places(self):
        """The paths that the state name may have, the folder's name aside."""
        name = f"{self.hash}.{self.id}"
        place = self.place_of(self.last)
        if place in (None, "new", "wait"):
            if self.run:
                return []
            due = due_of(self.next_of(self.last))
            places = [f"new/{due}.{name}", f"wait/{due[:13]}/{due}.{name}"]
            if "Group" in self.head:
                group = hashlib.sha256(self.head["Group"].encode())
                places.append(f"paced/{group.hexdigest()}/{due}.{name}")
            return places
        if place in DAY_DIRS:
            return [f"{place}/{self.last.stamp[:10]}/{name}"]
        return [f"{place}/{name}"]

    def leased(self, now):
        """Whether its lease, if it has one, still runs."""
        for line in reversed(self.trail):
            if line.event in OPEN and "lease" in line.fields:
                return stamp_time(line.fields["lease"]) > now
            if line.event == "claimed":
                break
        return False

    def ended(self):
        """When it was done, cancelled or expired; else None."""
        if self.state in ("done", "cancelled", "expired"):
            return self.last.time
        return None


class File:
    """A regular file of the queue, with all its names."""

    def __init__(self, path, st):
        self.path = path
        self.ino = st.st_ino
        self.names = {}          # name -> (kind, match)
        self.job = None
        self.bad = None
        self.locked = False

    def load(self, first):
        try:
            fd = os.open(first, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as e:
            self.bad = e.strerror
            return
        with os.fdopen(fd, "rb") as f:
            try:
                fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
                fcntl.flock(f, fcntl.LOCK_UN)
            except OSError:
                self.locked = True
            data = f.read()
        try:
            self.job = Job(data)
        except Bad as e:
            self.bad = str(e)

    def kinds(self, *wanted):
        return [n for n, (kind, _) in self.names.items() if kind in wanted]


class Queue:
    """A queue's directory as found; self.bad collects the violations."""

    def __init__(self, path, settled=False):
        self.path = path
        self.settled = settled
        self.now = time.time()
        self.bad = []
        self.files = {}          # inode -> File, of jobs
        self.keys = {}           # H -> File
        self.folders = set()
        self.others = []         # (kind, path, match)
        try:
            self.mode = stat.S_IMODE(os.stat(path).st_mode)
            self._walk("")
        except OSError as e:
            self.say("", e.strerror)
            return
        for f in self.files.values():
            f.load(os.path.join(path, next(iter(f.names))))
        self._shape()
        for f in self.files.values():
            self._judge(f)
        self._one_per_key()
        self._turns()
        for kind, name, m in self.others:
            self._other(kind, name, m)

    def say(self, path, words):
        self.bad.append(f"{path or '.'}: {words}")

    def jobs(self):
        """The whole jobs, those that own their key first."""
        files = [f for f in self.files.values() if f.job]
        return [f.job for f in sorted(
            files, key=lambda f: self.keys.get(f.job.hash) is not f)]

    def job(self, key):
        """The job that holds KEY, or None."""
        f = self.keys.get(hashlib.sha256(key.encode()).hexdigest())
        return f.job if f else None

    def _walk(self, folder):
        for entry in sorted(os.scandir(os.path.join(self.path, folder)),
                            key=lambda e: e.name):
            name = f"{folder}/{entry.name}" if folder else entry.name
            try:
                st = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(st.st_mode):
                if not FOLDERS.fullmatch(name):
                    self.say(name, "foreign directory")
                    continue
                self._mode(name, st, self.mode & 0o777)
                self.folders.add(name)
                self._walk(name)
                continue
            if name.startswith("run/") and not stat.S_ISREG(st.st_mode):
                continue
            if not stat.S_ISREG(st.st_mode):
                self.say(name, "not a regular file")
                continue
            for kind, rx in NAMES.items():
                m = rx.fullmatch(name)
                if m:
                    break
            else:
                self.say(name, "foreign file")
                continue
            self._mode(name, st, 0o660 if self.mode & 0o070 else 0o600)
            if kind in ("tmp", "keys", "new", "wait", "paced", "plain",
                        "day"):
                f = self.files.setdefault(st.st_ino, File(name, st))
                f.names[name] = (kind, m)
                if kind == "keys":
                    self.keys[m["hash"]] = f
            else:
                self.others.append((kind, name, m))

    def _mode(self, name, st, want):
        if stat.S_IMODE(st.st_mode) & 0o777 != want:
            self.say(name, f"mode {stat.S_IMODE(st.st_mode):04o}, "
                           f"not {want:04o}")

    def _shape(self):
        try:
            with open(os.path.join(self.path, "format"), "rb") as f:
                if f.read() != b"idq spool 1\n":
                    self.say("format", "not `idq spool 1'")
        except FileNotFoundError:
            self.say("format", "missing")
        missing = [f"{i:02x}" for i in range(256)
                   if f"keys/{i:02x}" not in self.folders]
        if missing:
            self.say("keys", f"{len(missing)} of 256 folders missing, "
                             f"first {missing[0]}")

    # One file, with all the names that it has.
    def _judge(self, f):
        key_names = f.kinds("keys")
        tmp_names = f.kinds("tmp")
        states = f.kinds("new", "wait", "paced", "plain", "day")
        shown = (key_names + states + tmp_names)[0]

        if f.bad:
            if key_names or states:
                self.say(shown, f.bad)
            elif self.settled:
                self.say(shown, "left in tmp")
            return
        job = f.job
        for name, (_, m) in f.names.items():
            groups = m.groupdict()
            if groups.get("hash", job.hash) != job.hash:
                self.say(name, "the hash of another key")
            if groups.get("id", job.id) != job.id:
                self.say(name, f"Id is {job.id}")
            if groups.get("hh", job.hash[:2]) != job.hash[:2]:
                self.say(name, "in the wrong folder")
            if "minute" in groups and groups["minute"] != groups["due"][:13]:
                self.say(name, "in the wrong minute")
        for words in job.notes:
            self.say(shown, words)
        if len(key_names) > 1:
            self.say(shown, "has two keys")
        if job.run:
            for name in f.kinds("new", "wait", "paced"):
                self.say(name, "a Run job")

        owner = self.keys.get(job.hash) is f
        if not owner:
            self._without_key(f, states, tmp_names)
            return
        if f.locked:
            if self.settled and job.state != "running":
                self.say(shown, "locked")
            return
        if self.settled:
            for name in tmp_names:
                self.say(name, "left in tmp")
            self._settled(f, states, shown)

    def _without_key(self, f, states, tmp_names):
        for name in tmp_names:
            if self.settled and not f.locked:
                self.say(name, "left in tmp")
        for name in states:
            if f.locked:
                continue
            place = name.split("/", 1)[0]
            if not f.job.final:
                self.say(name, "unfinished, and does not own its key")
            elif place not in FINAL_STATES:
                self.say(name, "ended, does not own its key, and is no history")
            elif self.settled and name not in f.job.places():
                self.say(name, f"its trail says {f.job.places()[0]}")

    def _settled(self, f, states, shown):
        job = f.job
        want = job.places()
        if not want:
            self.say(shown, "a Run job without a trail")
            return
        if not states:
            self.say(shown, f"{job.state}, in no state directory")
            return
        if len(states) > 1:
            self.say(shown, "in two state directories: " + " ".join(states))
        for name in states:
            if name not in want:
                self.say(name, f"its trail says {want[0]}")
        if states[0].startswith("new/") and job.state == "pending" and \
                stamp_time(job.next_of(job.last)) > self.now + 1:
            self.say(states[0], "in new, and not yet due")
        if job.state == "running" and not job.leased(self.now):
            self.say(states[0], "neither locked nor leased")

    def _turns(self):
        """A group with parked jobs has a turn ahead."""
        turns = {m["group"] for kind, _, m in self.others if kind == "turn"}
        for f in self.files.values():
            for name, (kind, m) in f.names.items():
                if kind == "paced" and m["group"] not in turns:
                    self.say(name, "parked, and its group has no turn")

    def _one_per_key(self):
        unfinished = {}
        for f in self.files.values():
            # What is only in tmp is not accepted.
            if f.job and not f.job.final and set(f.names) - set(f.kinds("tmp")):
                unfinished.setdefault(f.job.hash, []).append(f.path)
        for paths in unfinished.values():
            if len(paths) > 1:
                self.say(paths[0], "unfinished jobs of one key: "
                         + " ".join(paths))

    # Files that are no jobs.
    def _other(self, kind, name, m):
        if kind in ("format", "run"):
            return
        try:
            with open(os.path.join(self.path, name), "rb") as f:
                data = f.read()
        except FileNotFoundError:
            return
        except OSError as e:
            self.say(name, e.strerror)
            return
        if kind == "dups":
            if m["hh"] != m["hash"][:2]:
                self.say(name, "in the wrong folder")
            if not re.fullmatch(rf"({STAMP}\n)*".encode(), data):
                self.say(name, "not a stamp a line")
        elif kind == "config":
            for line in data.split(b"\n")[:-1]:
                if not re.fullmatch(rb"[a-z-]+ \S.*", line):
                    self.say(name, f"line {line!r}")
            if data and not data.endswith(b"\n"):
                self.say(name, "its last line has no end")
        elif kind == "boot":
            if not re.fullmatch(rb"[0-9a-f-]+( again)?\n?", data):
                self.say(name, "no boot id")
        elif kind == "asked":
            self._asked(name, m["id"], data)
        elif kind == "out":
            self._out(name, m, data)
        elif kind == "log":
            self._log(name, data)

    def _asked(self, name, ident, data):
        if not re.fullmatch(rf"(cancel|kill)[ \n]{STAMP}[ \n].*".encode(),
                            data, re.DOTALL) and (data or self.settled):
            self.say(name, "not a wish, a stamp and who")
        if self.settled and not any(
                f.job and f.job.id == ident and f.job.state == "running"
                for f in self.files.values()):
            self.say(name, "of no running job")

    def _out(self, name, m, data):
        if len(data) > OUTPUT_MAX:
            self.say(name, f"has {len(data)} bytes")
        if self.settled and not any(
                f.job and f.job.id == m["id"] and f.job.claims >= int(m["n"])
                for f in self.files.values()):
            self.say(name, "of no claim of a job")

    def _log(self, name, data):
        events = set(EVENTS) | {"added", "mismatch", "forgotten", "lost",
                                "purged"}
        for number, line in enumerate(data.split(b"\n"), 1):
            if not line:
                continue
            fields = line.decode("utf-8", "replace").split("\t")
            # One that a kill has cut off; glued to the next it has more.
            if len(fields) < 6 and (len(fields) == 1 or
                                    re.fullmatch(STAMP, fields[0])):
                continue
            known = len(fields) == 6 and fields[1] in events and \
                re.fullmatch(rf"{HASH}\.{ID}\.\d+", fields[2])
            whole = len(fields) >= 3 and fields[2] == "-" and \
                fields[1] in ("purged", "paused", "resumed")
            if not re.fullmatch(STAMP, fields[0]) or not (known or whole):
                self.say(name, f"line {number}: {line[:80]!r}")
        if data and not data.endswith(b"\n"):
            self.say(name, "its last line has no end")

    def log_lines(self):
        for kind, name, _ in self.others:
            if kind == "log":
                with open(os.path.join(self.path, name), "rb") as f:
                    for line in f.read().decode("utf-8", "replace").split("\n"):
                        if line:
                            yield line.split("\t")


def check_acked(queue, keys):
    """Each key that was reported has a whole job, or its job has ended."""
    ended = None
    for key in keys:
        h = hashlib.sha256(key.encode()).hexdigest()
        f = queue.keys.get(h)
        if f and f.job:
            continue
        if any(j.hash == h and j.final for j in queue.jobs()):
            continue
        if ended is None:
            ended = {line[2][:64] for line in queue.log_lines()
                     if len(line) > 2 and line[1] in
                     FINAL_STATES | {"forgotten", "purged"}}
        if h not in ended:
            queue.say(f"keys/{h[:2]}/{h}",
                      f"acknowledged and lost: {key}")


def parse_runs(data):
    """The records of a runs log, in order."""
    for number, line in enumerate(data.split("\n"), 1):
        if not line:
            continue
        m = re.fullmatch(rf"(start|end|killed) (.+) ({ID}) (\d+) (\d+) "
                         r"(\d+(?:\.\d+)?)", line)
        if not m:
            raise Bad(f"line {number} of the runs log: {line}")
        yield m[1], m[2], m[3], int(m[4]), int(m[5]), float(m[6])


def check_runs(queue, data):
    """No key runs twice at once, and no job after its end."""
    by_id = {j.id: j for j in queue.jobs()}
    running = {}                 # key -> {(id, pid)}
    starts = {}                  # id -> count
    try:
        records = list(parse_runs(data))
    except Bad as e:
        queue.say("", str(e))
        return
    for what, key, ident, _, pid, when in records:
        now = running.setdefault(key, set())
        job = by_id.get(ident)
        end = job.ended() if job else None
        if what == "start":
            if now:
                queue.say("", f"{key} runs twice at once: pid {pid} beside "
                          + " ".join(str(p) for _, p in sorted(now)))
            now.add((ident, pid))
            starts[ident] = starts.get(ident, 0) + 1
            if end is not None and when > end:
                queue.say("", f"{key} ran after it was {job.state}")
        elif (ident, pid) not in now:
            queue.say("", f"{key} ended as pid {pid} without a start")
        else:
            now.remove((ident, pid))
            if what == "end" and end is not None and when > end:
                queue.say("", f"{key} was {job.state} while it ran")
    for ident, count in starts.items():
        if ident in by_id and count > by_id[ident].claims:
            queue.say("", f"{by_id[ident].key} ran {count} times in "
                      f"{by_id[ident].claims} claims")


def check(path, settled=False, acked=(), runs=""):
    """The violations of the queue at PATH, a list of lines."""
    queue = Queue(path, settled)
    check_acked(queue, acked)
    check_runs(queue, runs)
    return queue.bad


def main():
    p = argparse.ArgumentParser(description="compare a queue with idq(5)")
    p.add_argument("--settled", action="store_true",
                   help="nothing may be left to finish")
    p.add_argument("--acked", metavar="FILE",
                   help="keys whose add was reported, one a line")
    p.add_argument("--runs", metavar="FILE",
                   help="what the commands wrote at their start and end")
    p.add_argument("queue")
    args = p.parse_args()
    acked, runs = [], ""
    if args.acked:
        with open(args.acked, encoding="utf-8") as f:
            acked = [line for line in f.read().split("\n") if line]
    if args.runs:
        with open(args.runs, encoding="utf-8") as f:
            runs = f.read()
    bad = check(args.queue, args.settled, acked, runs)
    for line in bad:
        print(line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
