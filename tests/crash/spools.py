# SPDX-License-Identifier: ISC
"""Spools built by hand, from idq(5) alone: a sound one, and broken ones that
the invariants program must not pass."""

import hashlib
import os
import time
from datetime import datetime, timezone

import invariants

NOW = time.time()
ID = "9c1f03b2a4d5e677"
DIRS = ("tmp", "new", "wait", "cur", "hold", "failed", "done", "cancelled",
        "expired", "dups", "out", "log", "asked", "boot", "run", "keys")


def stamp(t):
    return datetime.fromtimestamp(t, timezone.utc).strftime(
        "%Y-%m-%dT%H:%M:%S.%fZ")


def h(key):
    return hashlib.sha256(key.encode()).hexdigest()


def job(key="a", ident=ID, payload=b"hello", args=(b"x",), added=None,
        header=(), trail=(), fingerprint=None):
    """The bytes of a job file; HEADER is further lines, by field."""
    added = stamp(added or NOW - 60)
    f = hashlib.sha256(b"%d\n" % len(args)
                       + b"".join(a + b"\0" for a in args) + payload)
    head = {"Key": key, "Id": ident, "Added": added,
            "By": "uid=1000 host=web1 pid=4211", "Due": added,
            "Length": str(len(payload)),
            "Fingerprint": fingerprint or f.hexdigest()}
    head.update(dict(header))
    lines = [b"idq job 1"]
    for name in invariants.FIELDS:
        if name == "Arg":
            lines += [b"Arg: " + a for a in args]
        elif name in head:
            lines.append(f"{name}: {head[name]}".encode())
    return b"\n".join(lines) + b"\n\n" + payload + b"\n" + \
        b"".join(line.encode() + b"\n" for line in trail)


def make(queue):
    """An empty queue."""
    os.mkdir(queue, 0o700)
    for d in DIRS:
        os.mkdir(f"{queue}/{d}", 0o700)
    for i in range(256):
        os.mkdir(f"{queue}/keys/{i:02x}", 0o700)
    write(queue, "format", b"idq spool 1\n")


def write(queue, name, data):
    path = f"{queue}/{name}"
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, 0o600)


def place(queue, data, *names):
    """DATA under NAMES, hard links of one file; {key} is keys/HH/H."""
    names = [n.format(key=key_name(data)) for n in names]
    write(queue, names[0], data)
    for n in names[1:]:
        path = f"{queue}/{n}"
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        os.link(f"{queue}/{names[0]}", path)


def key_name(data):
    key = data.split(b"\nKey: ", 1)[1].split(b"\n", 1)[0].decode()
    return f"keys/{h(key)[:2]}/{h(key)}"


def state_name(data):
    """The name that DATA's trail leads to: in wait if it is not yet due."""
    found = invariants.Job(data)
    due = invariants.stamp_time(found.next_of(found.last))
    return found.places()[found.state == "pending" and due > NOW]


def sound(queue, data, *more):
    """DATA as a job in its place, and under the names MORE."""
    place(queue, data, "{key}", state_name(data), *more)


# Lines of a trail, oldest first, each a second after the one before.
def trail(*lines, start=None):
    t = start or NOW - 50
    return [f"{stamp(t + i)} {line}" for i, line in enumerate(lines)]


def claimed(n=1, more=""):
    return f"claimed {n} host=web1 boot=8f2c41d0 pid=4242{more}"


def done(n=1):
    return f"done {n} exit=0 release={stamp(NOW + 604800)}"


def failed(n=1):
    return f"failed {n} exit=1 to=failed release={stamp(NOW + 9999)}"


def lease(seconds):
    return f" lease={stamp(time.time() + seconds)}"


def back(n=1):
    return f"interrupted {n} to=new next={stamp(NOW - 60)}"


def all_sound(queue):
    """One job in every state, and history."""
    now = time.time()
    later = stamp(now + 3600)
    later_due = {"Due": later}.items()
    sound(queue, job("pending"))
    sound(queue, job("waiting", header=later_due))
    sound(queue, job("leased", trail=trail(claimed(1, lease(60)))))
    sound(queue, job("held", trail=trail(claimed(), "interrupted 1 to=hold")))
    sound(queue, job("failed", trail=trail(claimed(), failed())))
    sound(queue, job("done", trail=trail(
        claimed(), back(), claimed(2), done(2))))
    sound(queue, job("cancelled", trail=trail(
        f"cancelled 0 release={later} by=uid=1000")))
    data = job("expired", header={"Expires": stamp(now - 30)}.items(),
               trail=trail(f"expired 0 release={stamp(now - 30)}"))
    place(queue, data, state_name(data))
    sound(queue, job("expired", "00000000deadbeef"))
    sound(queue, job("torn", payload=b"", args=()) + b"2026-11-23T20:35:0")
    write(queue, f"dups/{h('done')[:2]}/{h('done')}.{ID}",
          stamp(now).encode() + b"\n")
    write(queue, f"out/{h('done')}.{ID}.2", b"any\0bytes")
    write(queue, "config", b"keep 3d\n")
    write(queue, "boot/web1", b"8f2c41d0-0000-4000-8000-000000000000\n")
    write(queue, f"log/{stamp(now)[:10]}.web1",
          f"{stamp(now)}\tadded\t{h('done')}.{ID}.0\t\t\tdone\n"
          f"{stamp(now)}\tpurged\t-\tjobs=1\t\t\n".encode())


def run_line(what, key, pid, ident=ID, when=None):
    return f"{what} {key} {ident} 1 {pid} {when or time.time():.6f}\n"


# Each is made by a function of the queue, and is found by words of a
# violation.  A function may return further arguments of check().
def c_lost_names(q):
    """acknowledged add whose names in tmp and new are gone"""
    place(q, job("a"), "{key}")
    return "pending, in no state directory", {"acked": ["a"]}


def c_lost_key(q):
    """acknowledged add of which nothing is left"""
    return "acknowledged and lost", {"acked": ["a"]}


def c_torn_key(q):
    """key whose file was cut off in its header"""
    write(q, key_name(job("a")), job("a")[:70])
    return "no header", {}


def c_zero_key(q):
    """key whose file has the right size and only zeros"""
    write(q, key_name(job("a")), bytes(len(job("a"))))
    return "no header", {}


def c_short_payload(q):
    """file shorter than its Length"""
    data = job("a", payload=b"hello, world")
    place(q, data[:-6], "{key}", state_name(data))
    return "shorter than its Length", {}


def c_fingerprint(q):
    """payload that is not the one added"""
    data = job("a").replace(b"\nhello\n", b"\n\0\0\0\0\0\n")
    place(q, data, "{key}", state_name(job("a")))
    return "Fingerprint", {}


def c_two_dirs(q):
    """job in two state directories"""
    data = job("a", trail=trail(claimed(), done()))
    sound(q, data, f"cur/{h('a')}.{ID}")
    return "in two state directories", {}


def c_wrong_dir(q):
    """trail that says done, and a name in new"""
    data = job("a", trail=trail(claimed(), done()))
    place(q, data, "{key}", state_name(job("a")))
    return "its trail says done/", {}


def c_tmp(q):
    """add that nobody finished"""
    place(q, job("a"), "{key}", f"tmp/{ID}")
    return "left in tmp", {}


def c_dead_worker(q):
    """job in cur with neither lock nor lease"""
    sound(q, job("a", trail=trail(claimed())))
    return "neither locked nor leased", {}


def c_lapsed(q):
    """lease that lapsed and was not reaped"""
    sound(q, job("a", trail=trail(claimed(1, lease(-5)))))
    return "neither locked nor leased", {}


def c_two_jobs(q):
    """two unfinished jobs of one key"""
    sound(q, job("a"))
    data = job("a", "00000000deadbeef")
    place(q, data, state_name(data))
    return "unfinished jobs of one key", {}


def c_not_owner(q):
    """unfinished job in new whose key is gone"""
    place(q, job("a"), state_name(job("a")))
    return "does not own its key", {}


def c_claim_open(q):
    """claim while another was open"""
    sound(q, job("a", trail=trail(claimed(), claimed(2), done(2))))
    return "run twice at once", {}


def c_reused_n(q):
    """claim that was given the number of an earlier one"""
    sound(q, job("a", trail=trail(claimed(), back(), claimed(1), done(1))))
    return "of claim 1, not 2", {}


def c_after_done(q):
    """line after done"""
    sound(q, job("a", trail=trail(claimed(), done(), claimed(2), done(2))))
    return "after done, which is the end", {}


def c_torn_middle(q):
    """torn line that was not cut off before the next"""
    data = job("a", trail=["2026-11-23T20:3" + trail(claimed())[0]]
               + trail(claimed(), done()))
    sound(q, data)
    return "and another follows it", {}


def c_output(q):
    """output of a claim that its job does not have"""
    sound(q, job("a", trail=trail(claimed(), done())))
    write(q, f"out/{h('a')}.{ID}.2", b"")
    return "of no claim of a job", {}


def c_long_output(q):
    """output of more than 1 MiB"""
    sound(q, job("a", trail=trail(claimed(), done())))
    write(q, f"out/{h('a')}.{ID}.1", bytes(invariants.OUTPUT_MAX + 1))
    return f"has {invariants.OUTPUT_MAX + 1} bytes", {}


def c_mode(q):
    """file that others may read"""
    sound(q, job("a"))
    os.chmod(f"{q}/{state_name(job('a'))}", 0o644)
    return "mode 0644", {}


def c_foreign(q):
    """file that is none of the queue's"""
    write(q, "new/notes.txt", b"hello\n")
    return "foreign file", {}


def c_symlink(q):
    """symbolic link in new"""
    os.symlink("/etc/passwd", f"{q}/{state_name(job('a'))}")
    return "not a regular file", {}


def c_folder(q):
    """missing folder of keys"""
    os.rmdir(f"{q}/keys/7f")
    return "1 of 256 folders missing", {}


def c_twice_at_once(q):
    """command that ran beside itself"""
    sound(q, job("a", trail=trail(claimed(), back(), claimed(2), done(2))))
    return "runs twice at once", {"runs": (
        run_line("start", "a", 1, when=NOW - 55)
        + run_line("start", "a", 2, when=NOW - 54)
        + run_line("end", "a", 1, when=NOW - 53)
        + run_line("end", "a", 2, when=NOW - 52))}


def c_run_after_done(q):
    """command that ran after its job was done"""
    sound(q, job("a", trail=trail(claimed(), done())))
    return "ran after it was done", {"runs": (
        run_line("start", "a", 1) + run_line("end", "a", 1))}


def c_run_unclaimed(q):
    """command that ran more often than its job was claimed"""
    sound(q, job("a", trail=trail(claimed(), done())))
    t = NOW - 55
    return "ran 2 times in 1 claims", {"runs": (
        run_line("start", "a", 1, when=t) + run_line("end", "a", 1, when=t)
        + run_line("start", "a", 2, when=t) + run_line("end", "a", 2, when=t))}


CONTROLS = [f for name, f in sorted(globals().items())
            if name.startswith("c_")]


def run_controls(folder):
    """(how many were caught, how many there are, words on those that were
    not); the sound spools, which must pass, are one of them."""
    missed = []
    q = f"{folder}/sound"
    make(q)
    all_sound(q)
    for settled in (False, True):
        missed += [f"sound spool: {line}" for line in
                   invariants.check(q, settled, ["done", "pending"])]
    total = 1
    caught = not missed
    for control in CONTROLS:
        q = f"{folder}/{control.__name__}"
        make(q)
        words, more = control(q)
        bad = invariants.check(q, True, **more)
        total += 1
        if any(words in line for line in bad):
            caught += 1
        else:
            missed.append(f"{control.__doc__}: not caught: {bad}")
    return int(caught), total, missed
