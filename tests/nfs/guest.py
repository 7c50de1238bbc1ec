# SPDX-License-Identifier: ISC
"""A virtual machine with an NFS server and two clients; see run."""

import base64
import ctypes
import glob
import lzma
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CACHE = os.path.abspath(f"{HERE}/../../build/nfs")
KERNEL = "linux-image-cloud-amd64"
WANTED = ["busybox-static", "nfs-kernel-server", "nfs-common", "iproute2",
          "libfaketime"]
PROGRAMS = ["ip", "tc", "exportfs", "rpc.mountd", "rpc.nfsd", "mount.nfs"]
MODULES = ["virtio_pci", "virtio_blk", "ext4", "nfsd", "nfsv4", "veth",
           "sch_netem"]
DISK = 512 << 20
TAR = 256 << 20
BOOT = 300                       # seconds, on a machine with much to do


def die_with_parent():
    """A killed rig leaves no machine behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)   # PR_SET_PDEATHSIG


class Skip(Exception):
    """Why it cannot be run here."""


class Broken(Exception):
    """What went wrong with the machine, not with idq."""


def command(*argv):
    r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       stdin=subprocess.DEVNULL, check=False, cwd=CACHE,
                       timeout=300)
    return r.returncode, r.stdout.decode("utf-8", "replace")


def depends():
    """What is needed by what: package -> packages, of all that may be."""
    code, out = command("apt-cache", "depends", "--important", "--recurse",
                        KERNEL, *WANTED)
    if code != 0:
        raise Skip(f"apt-cache depends: {out.strip()[-200:]}")
    needs = {}
    package = None
    for line in out.split("\n"):
        if line and not line.startswith(" "):
            package = line
        m = re.fullmatch(r" +(?:Pre)?Depends: ([^<\s]+)", line)
        if m:
            needs.setdefault(package, []).append(m[1])
    return needs


def closure():
    """The kernel, what is wanted, and its libraries but for libc."""
    needs = depends()
    kernels = [p for p in needs.get(KERNEL, ())
               if p.startswith("linux-image-")]
    if not kernels:
        raise Skip(f"no package of {KERNEL} is to be had")
    found = kernels[:1] + WANTED
    for package in found[1:]:
        add_libraries(needs, package, found)
    return found


def add_libraries(needs, package, found):
    for other in needs.get(package, ()):
        if re.match(r"lib|zlib", other) and other not in found and \
                not re.match(r"libc6|libgcc|libperl|libpython", other):
            found.append(other)
            add_libraries(needs, other, found)


def fetch():
    """The packages, unpacked, in CACHE/root; kept for the next run."""
    root = f"{CACHE}/root"
    if os.path.exists(f"{CACHE}/complete"):
        return root
    if not shutil.which("apt-get"):
        raise Skip("apt-get is not installed")
    os.makedirs(f"{CACHE}/debs", exist_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    packages = closure()
    r = subprocess.run(["apt-get", "-q", "download", *packages],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       cwd=f"{CACHE}/debs", check=False, timeout=600)
    if r.returncode != 0:
        raise Skip("apt-get download: "
                   + r.stdout.decode("utf-8", "replace").strip()[-200:])
    for deb in sorted(os.listdir(f"{CACHE}/debs")):
        if deb.rsplit("/", 1)[-1].split("_")[0] in packages:
            code, out = command("dpkg-deb", "-x", f"debs/{deb}", "root")
            if code != 0:
                raise Broken(f"dpkg-deb: {deb}: {out}")
    with open(f"{CACHE}/complete", "w", encoding="utf-8") as f:
        f.write("\n".join(packages) + "\n")
    return root


class Archive:
    """An initramfs (cpio, newc)."""

    def __init__(self, path):
        self.f = open(path, "wb")
        self.seen = set()
        self.ino = 0

    def _entry(self, name, mode, data):
        self.ino += 1
        head = [self.ino, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0,
                len(name) + 1, 0]
        self.f.write(b"070701" + b"".join(b"%08x" % n for n in head))
        self.f.write(self._pad(name.encode() + b"\0", 110))
        self.f.write(self._pad(data, 0))

    @staticmethod
    def _pad(data, before):
        return data + bytes(-(before + len(data)) % 4)

    def folder(self, name):
        if name and name not in self.seen:
            self.folder(os.path.dirname(name))
            self.seen.add(name)
            self._entry(name, 0o040755, b"")

    def file(self, name, data, mode=0o755):
        name = name.lstrip("/")
        if name in self.seen:
            return
        self.folder(os.path.dirname(name))
        self.seen.add(name)
        self._entry(name, 0o100000 | mode, data)

    def copy(self, name, path):
        with open(path, "rb") as f:
            self.file(name, f.read())

    def program(self, name, path, libs):
        """The file with all that the loader needs for it."""
        self.copy(name, path)
        out = subprocess.run(["ldd", path], stdout=subprocess.PIPE,
                             check=True,
                             env={**os.environ, "LD_LIBRARY_PATH": libs}
                             ).stdout.decode()
        for word in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", out, re.M):
            base = os.path.basename(word)
            self.copy(f"lib64/{base}" if base.startswith("ld-")
                      else f"lib/{base}", word)
        if "not found" in out:
            raise Broken(f"{path}: {out}")

    def close(self):
        self._entry("TRAILER!!!", 0, b"")
        self.f.close()


def module_files(root):
    """Name -> path of all modules of the kernel."""
    files = {}
    for folder, _, names in os.walk(f"{root}/lib/modules"):
        for name in names:
            m = re.fullmatch(r"(.+)\.ko(\.xz)?", name)
            if m:
                files[m[1].replace("-", "_")] = f"{folder}/{name}"
    return files


def read_module(path):
    with open(path, "rb") as f:
        data = f.read()
    return lzma.decompress(data) if path.endswith(".xz") else data


def add_modules(archive, root):
    """MODULES with what they depend on, each after what it needs; one that is
    not there is built in."""
    files = module_files(root)
    order = []

    def add(name):
        if name not in files or name in order:
            return
        data = read_module(files[name])
        m = re.search(rb"\0depends=([^\0]*)\0", data)
        for other in m[1].decode().replace("-", "_").split(",") if m else []:
            add(other)
        order.append(name)
        archive.file(f"modules/{name}.ko", data)

    for name in MODULES:
        add(name)
    archive.file("modules/list", "".join(f"{n}.ko\n" for n in order).encode())


def find(root, pattern):
    found = sorted(glob.glob(f"{root}/{pattern}", recursive=True))
    if not found:
        raise Broken(f"no {pattern} in the packages")
    return found[0]


def build(path, programs):
    """An initramfs with PROGRAMS, guest path -> host path; the kernel."""
    root = fetch()
    libs = ":".join(f"{root}/{d}" for d in
                    ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"))
    a = Archive(path)
    a.copy("bin/busybox", find(root, "**/bin/busybox"))
    for name in PROGRAMS:
        a.program(f"opt/{name}", find(root, f"**/*bin/{name}"), libs)
    a.program("opt/date", shutil.which("date"), "")
    a.copy("opt/faketime.so", find(root, "**/libfaketime.so.1"))
    for name in ("init", "server", "client", "job"):
        a.copy(name, f"{HERE}/{name}")
    for name, program in programs.items():
        a.program(name, program, "")
    a.file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)
    a.file("etc/group", b"root:x:0:\n", 0o644)
    a.file("etc/services", b"nfs 2049/tcp\nsunrpc 111/tcp\n", 0o644)
    a.file("etc/netconfig", b"tcp tpi_cots_ord v inet tcp - -\n"
           b"tcp6 tpi_cots_ord v inet6 tcp - -\n", 0o644)
    for name in ("proc", "root"):
        a.folder(name)
    add_modules(a, root)
    a.close()
    return find(root, "boot/vmlinuz-*")


class Shell:
    """A shell in the machine, at a serial port."""

    def __init__(self, guest, path):
        self.guest = guest
        self.path = path
        self.number = 0
        self.data = b""
        self.sock = None

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def send(self, script):
        """Start SCRIPT; wait() gives its output."""
        self.number += 1
        code = base64.b64encode(script.encode()).decode()
        self.sock.sendall(f"(. /server; eval \"$(echo {code} | base64 -d)"
                          "\") </dev/null; "
                          f"r=$?; echo; echo @@{self.number} $r@@\n".encode())

    def wait(self, seconds=120):
        """(exit status, output) of what was sent last."""
        end = time.monotonic() + seconds
        mark = re.compile(rb"\n?@@%d (\d+)@@\n" % self.number)
        while not (m := mark.search(self.data)):
            left = end - time.monotonic()
            if left <= 0:
                raise Broken(f"no answer in {seconds} s: {self.data[-300:]}")
            self.sock.settimeout(left)
            try:
                more = self.sock.recv(65536)
            except TimeoutError:
                continue
            if not more:
                raise Broken("the machine is gone")
            self.data += more.replace(b"\r", b"")
        out = self.data[:m.start()].decode("utf-8", "replace")
        self.data = self.data[m.end():]
        return int(m[1]), out

    def peek(self):
        """Take what has come so far."""
        self.sock.setblocking(False)
        try:
            while more := self.sock.recv(65536):
                self.data += more.replace(b"\r", b"")
        except BlockingIOError:
            pass
        self.sock.setblocking(True)

    def __call__(self, script, seconds=120):
        self.send(script)
        return self.wait(seconds)

    def ok(self, script, seconds=120):
        code, out = self(script, seconds)
        if code != 0:
            raise Broken(f"exit {code}: {script[:200]}: {out[-500:]}")
        return out

    def ready(self):
        """Wait until the shell has begun.  What was typed while another one
        that has the port ends may be lost."""
        self.wait(BOOT)
        for _ in range(5):
            try:
                self("true", 10)
                return
            except Broken:
                self.data = b""
        self("true", 60)

    def close(self):
        if self.sock:
            self.sock.close()


class Guest:
    """The machine: server, a and b are shells in it."""

    def __init__(self, folder, programs):
        self.folder = folder
        self.qemu = None
        self.links = 0
        self.kernel = build(f"{folder}/initrd", programs)
        self.disk = f"{folder}/disk"
        self.tar = f"{folder}/tar"
        for path, size in ((self.disk, DISK), (self.tar, TAR)):
            with open(path, "wb") as f:
                f.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.disk], check=True)

    def alive(self):
        return self.qemu is not None and self.qemu.poll() is None

    def boot(self, clients=True):
        argv = ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp",
                "2", "-cpu", "max", "-m", "768", "-nodefaults",
                "-no-user-config", "-display", "none", "-nic", "none",
                "-no-reboot", "-kernel", self.kernel, "-initrd",
                f"{self.folder}/initrd", "-append",
                "console=ttyS0 quiet panic=-1 mitigations=off",
                "-serial", f"file:{self.folder}/console"]
        for n in (1, 2, 3):
            path = f"{self.folder}/port{n}"
            if os.path.exists(path):
                os.unlink(path)
            argv += ["-serial", f"unix:{path},server=on,wait=off"]
        for path in (self.disk, self.tar):
            argv += ["-drive", f"file={path},if=virtio,format=raw"]
        self.qemu = subprocess.Popen(argv, stdin=subprocess.DEVNULL,
                                     start_new_session=True,
                                     preexec_fn=die_with_parent)
        self.server, self.a, self.b = (
            Shell(self, f"{self.folder}/port{n}") for n in (1, 2, 3))
        for shell in (self.server, self.a, self.b):
            end = time.monotonic() + BOOT
            while not os.path.exists(shell.path):
                if time.monotonic() > end or not self.alive():
                    raise Broken("the machine does not start")
                time.sleep(0.05)
            shell.connect()
        self.server.ready()
        if clients:
            self.client(self.a, "alpha", "ttyS2")
            self.client(self.b, "beta", "ttyS3")

    def client(self, shell, name, tty):
        """A client at SHELL; its number, also that of its link."""
        self.links += 1
        shell.number = 0
        shell.data = b""
        shell.n = self.links
        self.server.ok(f". /server; client {name} {shell.n} {tty}")
        shell.ready()

    def words(self):
        """What the kernel and the first processes said last."""
        try:
            with open(f"{self.folder}/console", "rb") as f:
                return f.read().decode("utf-8", "replace")[-2000:]
        except OSError:
            return ""

    def unpack(self, name, folder):
        """The queue NAME as it is on the server's disk, in FOLDER."""
        self.server.ok(f"tar -cf /dev/vdb -C /srv/spool {name} && sync && "
                       "blockdev --flushbufs /dev/vdb")
        shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
        with tarfile.open(self.tar) as t:
            if hasattr(tarfile, "fully_trusted_filter"):
                t.extraction_filter = staticmethod(
                    tarfile.fully_trusted_filter)
            t.extractall(folder)
        return f"{folder}/{name}"

    def kill(self):
        """As if its power failed."""
        if self.qemu is not None:
            if self.alive():
                self.qemu.send_signal(signal.SIGKILL)
            self.qemu.wait()
            for shell in (self.server, self.a, self.b):
                shell.close()
        self.qemu = None
