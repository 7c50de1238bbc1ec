#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""plant.py QUEUE OUTSIDE LIST: put things that are not idq's into each
directory of the queue, under names that could be idq's and under others, and
write down what they are.  Where idq takes each file of a right name for its
own, as in tmp, files have wrong names only.

plant.py --check QUEUE OUTSIDE LIST: say what has become of them since; exit 1
if anything has.
"""

import hashlib
import json
import os
import socket
import stat
import sys

DUE = "20260101T000000.000000Z"
MINUTE = DUE[:13]
LATER = "29991231T235900.000000Z"
DAY = "2026-01-01"
NASTY = "\033[31mred\nfixed\tx\r"
KINDS = ["link", "dirlink", "nolink", "loop", "fifo", "socket", "dir",
         "device", "hard", "sparse", "text"]
FILES = ["hard", "sparse", "text"]


def H(s):
    return hashlib.sha256(s.encode()).hexdigest()


def places(tag):
    """The folder, a right name in it, and whether files are idq's there."""
    h, i = H(tag), H(tag + "id")[:16]
    return [
        ("new", f"{DUE}.{h}.{i}", False),
        ("wait", MINUTE[:-2] + h[:2].translate(
            str.maketrans("abcdef6789", "0123450123")), False),
        (f"wait/{MINUTE}", f"{DUE}.{h}.{i}", False),
        (f"wait/{LATER[:13]}", f"{LATER}.{h}.{i}", False),
        ("paced", h, False),
        (f"paced/{H('group')}", f"{DUE}.{h}.{i}", False),
        ("cur", f"{h}.{i}", False),
        ("hold", f"{h}.{i}", False),
        ("failed", f"{h}.{i}", False),
        ("done", f"20{int(h[:4], 16) % 80 + 10}-02-03", False),
        (f"done/{DAY}", f"{h}.{i}", False),
        (f"cancelled/{DAY}", f"{h}.{i}", False),
        (f"expired/{DAY}", f"{h}.{i}", False),
        (f"keys/{h[:2]}", h, False),
        (f"dups/{h[:2]}", f"{h}.{i}", False),
        ("out", f"{h}.{i}.1", True),
        ("groups", h, True),
        ("turn", MINUTE[:-2] + h[2:4].translate(
            str.maketrans("abcdef6789", "0123450123")), False),
        (f"turn/{MINUTE}", f"{DUE}.{h}", True),
        ("log", f"2020-01-02.{h[:8]}", True),
        ("log", f"2999-01-02.{h[:8]}", False),
        ("asked", i, True),
        ("tmp", i, True),
        ("tmp", f"{i}.k", True),
        ("tmp", f"{i}.bad", True),
        ("boot", f"host{h[:4]}", False),
        ("run", f"pid.{i}", False),
        (".", f"strange{h[:4]}", False),
    ]


def make(kind, path, outside):
    if kind == "link":
        os.symlink(f"{outside}/file", path)
    elif kind == "dirlink":
        os.symlink(f"{outside}/dir", path)
    elif kind == "nolink":
        os.symlink(f"{outside}/new", path)
    elif kind == "loop":
        os.symlink(path, path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        # Its path may be long; a socket is bound where one stands.
        here = os.getcwd()
        os.chdir(os.path.dirname(path))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind("s")
        os.rename("s", os.path.basename(path))
        os.chdir(here)
    elif kind == "dir":
        os.mkdir(path)
        os.symlink(f"{outside}/file", f"{path}/x")
    elif kind == "device":
        # As /dev/zero: whoever reads it is not through soon.
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    elif kind == "hard":
        os.link(f"{outside}/file", path)
    elif kind == "sparse":
        with open(path, "w", encoding="ascii") as f:
            f.write("x")
            f.truncate(1 << 36)
    elif kind == "text":
        with open(path, "w", encoding="ascii") as f:
            f.write(f"{NASTY}\n\n")


def wrong(kind, n):
    return [f"{kind}{NASTY}", f"-rf {kind}", f"{kind}\xff"][n % 3]


def describe(path):
    st = os.lstat(path)
    d = [st.st_mode, st.st_ino, st.st_uid, st.st_size, st.st_mtime_ns]
    if stat.S_ISLNK(st.st_mode):
        d.append(os.readlink(path))
    if stat.S_ISDIR(st.st_mode):
        d[3:] = sorted(os.listdir(path))
    return d


def things(queue):
    for n, kind in enumerate(KINDS):
        for folder, name, ours in places(f"planted {kind}"):
            if not (ours and kind in FILES) and not (
                    kind == "dir" and folder in
                    ("wait", "paced", "done", "turn")):
                yield kind, f"{queue}/{folder}", name
            yield kind, f"{queue}/{folder}", wrong(kind, n)


def plant(queue, outside):
    os.makedirs(f"{outside}/dir")
    for name in ("file", "dir/file"):
        with open(f"{outside}/{name}", "w", encoding="ascii") as f:
            f.write("not yours\n")
    seen = {}
    for kind, folder, name in things(queue):
        path = f"{folder}/{name}"
        if os.path.lexists(path) or (kind == "device" and os.geteuid() != 0):
            continue
        os.makedirs(folder, exist_ok=True)
        make(kind, path, outside)
        seen[path] = None
    return seen


def outside_of(outside):
    out = {}
    for root, dirs, files in os.walk(outside):
        for name in dirs + files:
            path = f"{root}/{name}"
            out[path] = describe(path)
            if name in files:
                with open(path, encoding="ascii") as f:
                    out[path].append(f.read())
    return out


def main(args):
    check = args[0] == "--check"
    queue, outside, listing = args[-3:]
    queue, outside = os.path.abspath(queue), os.path.abspath(outside)
    if not check:
        seen = plant(queue, outside)
        now = {p: describe(p) for p in seen}
        now.update(outside_of(outside))
        with open(listing, "w", encoding="ascii") as f:
            json.dump(now, f)
        return 0
    with open(listing, encoding="ascii") as f:
        before = json.load(f)
    bad = 0
    for path, what in before.items():
        try:
            now = describe(path)
        except FileNotFoundError:
            now = None
        if path.startswith(outside) and now and not stat.S_ISDIR(now[0]):
            with open(path, encoding="ascii") as f:
                now.append(f.read())
        if now != what:
            print(f"{ascii(path)}: {what} is now {now}")
            bad = 1
    for path in outside_of(outside):
        if path not in before:
            print(f"{ascii(path)}: is new")
            bad = 1
    return bad


sys.exit(main(sys.argv[1:]))
