# SPDX-License-Identifier: ISC
"""What a job takes on the disk, by file systems of their own in loop images."""

import contextlib
import errno
import os
import shutil
import subprocess

from measure import IDQ, entries, must, output, say

KINDS = ("ext4", "xfs", "btrfs")
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"],
        "btrfs": ["mkfs.btrfs", "-q", "-f"]}
INODE = {"ext4": 256}           # in tables made beforehand


# Jobs with less than 65,000 links each give names at little cost.
LINKS = 60_000


def used(path):
    output("sync", "-f", path)
    st = os.statvfs(path)
    return (st.f_blocks - st.f_bfree) * st.f_frsize


@contextlib.contextmanager
def mounted(place, kind, size, *options):
    """A file system of its own, as its folder; None where it cannot be had."""
    image, mount = f"{place.dir}/{kind}.img", f"{place.dir}/{kind}"
    if os.geteuid() != 0 or not shutil.which(MAKE[kind][0]):
        say(f"disk: no {MAKE[kind][0]}, or not root")
        yield None
        return
    with open(image, "w") as f:
        f.truncate(size)
    os.mkdir(mount)
    try:
        for words in ([*MAKE[kind], *options, image],
                      ["mount", "-o", "loop", image, mount]):
            r = subprocess.run(words, capture_output=True, text=True,
                               check=False)
            if r.returncode != 0:
                say(f"disk: {words[0]}: {r.stderr.strip()}")
                yield None
                return
        place.undo.append(lambda: output("umount", mount))
        try:
            yield mount
        finally:
            place.undo.pop()
            output("umount", mount)
    finally:
        os.rmdir(mount)
        os.unlink(image)


def per_job(place, kind, n, size):
    """Bytes for a pending job, for a done one, and in the log for it; None
    where they cannot be had."""
    with mounted(place, kind, 512 << 20) as mount:
        if mount is None:
            return None
        queue = f"{mount}/queue"
        output(IDQ, "init", "-q", queue)
        output(IDQ, "config", "-q", queue, "sync", "off")
        before = used(mount)
        lines = f"{place.dir}/lines"
        with open(lines, "w") as f:
            f.writelines(f"k{i}\t{'x' * size}\n" for i in range(n))
        with open(lines) as f:
            output(IDQ, "add", "-q", queue, "--batch", stdin=f)
        os.unlink(lines)
        pending = used(mount) - before
        output(IDQ, "work", "-q", queue, "--drain", "--batch", "1000", "--",
               "sed", "-nE", r's/^\{"id":"([0-9a-f]+)".*/\1\t0/p')
        must(entries(f"{queue}/done") == n, "not every job is done")
        done = used(mount) - before
        log = sum(os.path.getsize(f"{queue}/log/{name}")
                  for name in os.listdir(f"{queue}/log"))
        return [x / n + INODE.get(kind, 0) for x in (pending, done)] + [log / n]


def full_folder(place, kind, most, *options):
    """How many names of new/ a folder takes before it is full; None where it
    takes MOST."""
    with mounted(place, kind, 16 << 30, *options) as mount:
        if mount is None:
            return None
        os.mkdir(f"{mount}/new")
        for i in range(most):
            if i % LINKS == 0:
                source = f"{mount}/{i}"
                open(source, "w").close()
            h = os.urandom(40).hex()
            try:
                os.link(source, f"{mount}/new/20261127T120000."
                        f"{i % 1000000:06}Z.{h[:64]}.{h[64:]}")
            except OSError as e:
                must(e.errno == errno.ENOSPC, str(e))
                return i
    return None
