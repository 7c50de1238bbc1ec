# SPDX-License-Identifier: ISC
"""What a job takes on the disk, by file systems of their own in loop images."""

import os
import shutil
import subprocess

from measure import IDQ, output, say

KINDS = ("ext4", "xfs", "btrfs")
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"],
        "btrfs": ["mkfs.btrfs", "-q", "-f"]}
INODE = {"ext4": 256}           # in tables made beforehand


def used(path):
    output("sync", "-f", path)
    st = os.statvfs(path)
    return (st.f_blocks - st.f_bfree) * st.f_frsize


def fill(mount, n, size):
    queue = f"{mount}/queue"
    output(IDQ, "init", "-q", queue)
    output(IDQ, "config", "-q", queue, "sync", "off")
    before = used(mount)
    lines = f"{mount}.lines"
    with open(lines, "w") as f:
        f.writelines(f"k{i}\t{'x' * size}\n" for i in range(n))
    with open(lines) as f:
        output(IDQ, "add", "-q", queue, "--batch", stdin=f)
    os.unlink(lines)
    return (used(mount) - before) / n


def per_job(place, kind, n, size):
    """Bytes, with the names and the log; None where it cannot be had."""
    image, mount = f"{place.dir}/{kind}.img", f"{place.dir}/{kind}"
    if os.geteuid() != 0 or not shutil.which(MAKE[kind][0]):
        say(f"disk: no {MAKE[kind][0]}, or not root")
        return None
    with open(image, "w") as f:
        f.truncate(512 << 20)
    os.mkdir(mount)
    try:
        for words in [*MAKE[kind], image], ["mount", "-o", "loop", image,
                                            mount]:
            r = subprocess.run(words, capture_output=True, text=True,
                               check=False)
            if r.returncode != 0:
                say(f"disk: {words[0]}: {r.stderr.strip()}")
                return None
        place.undo.append(lambda: output("umount", mount))
        size = fill(mount, n, size) + INODE.get(kind, 0)
        place.undo.pop()
        output("umount", mount)
        return size
    finally:
        os.unlink(image)
