# SPDX-License-Identifier: ISC
"""The other queues, each on its own files below the place, with a check that
it did its work."""

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from measure import must, output, tool, wait_for


class Sqlite:
    """A table, the key its primary key, an index for the claim.  One process
    a statement; a journal that persists was the quickest mode for that."""

    SCHEMA = """
        PRAGMA journal_mode = PERSIST;
        CREATE TABLE jobs (id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL,
            payload TEXT, state TEXT NOT NULL, due REAL NOT NULL);
        CREATE INDEX pending ON jobs (state, due, id);"""
    FULL = "PRAGMA journal_mode = PERSIST; PRAGMA synchronous = FULL; "
    ADD = ("INSERT OR IGNORE INTO jobs (key, payload, state, due)"
           " VALUES ('{key}', 'x', 'pending', julianday());")

    def __init__(self, place, name):
        self.path = f"{place.dir}/{name}.sqlite"
        self.ask(self.SCHEMA)

    def remove(self):
        for name in self.path, self.path + "-journal":
            if os.path.exists(name):
                os.unlink(name)

    def ask(self, sql):
        return output("sqlite3", self.path, sql)

    def add(self, key):
        return ["sqlite3", self.path,
                self.FULL + self.ADD.replace("{key}", key)]

    def claim(self):
        # The pragma prints; the first line that is printed has to be the id.
        return ["sqlite3", "-cmd", ".output /dev/null", "-cmd", self.FULL,
                "-cmd", ".output stdout", self.path,
                "UPDATE jobs SET state = 'running' WHERE id = (SELECT id FROM "
                "jobs WHERE state = 'pending' AND due <= julianday() "
                "ORDER BY due, id LIMIT 1) RETURNING id;"]

    def ack(self):
        return ["sqlite3", self.path, self.FULL + "UPDATE jobs SET "
                "state = 'done' WHERE id = {out} AND state = 'running';"]

    def fill(self, n):
        self.ask("INSERT INTO jobs (key, payload, state, due) "
                 "WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 "
                 f"FROM c LIMIT {n}) SELECT 'k' || i, 'x', 'pending', "
                 "julianday() - 1 FROM c;")

    def count(self, state):
        return int(self.ask("SELECT count(*) FROM jobs WHERE "
                            f"state = '{state}';"))


class Redis:
    """A server on a socket, each write synced; a script adds once per key."""

    SCRIPT = ("if redis.call('SET', KEYS[1], ARGV[1], 'NX') then "
              "return redis.call('RPUSH', 'queue', KEYS[1]) end return 0")

    def __init__(self, place):
        self.place = place
        d = f"{place.dir}/redis"
        os.mkdir(d)
        self.cli = ["redis-cli", "-s", f"{d}/socket"]
        self.server = place.start(
            "redis-server", "--port", "0", "--unixsocket", f"{d}/socket",
            "--dir", d, "--save", "", "--appendonly", "yes", "--appendfsync",
            "always", "--daemonize", "no")
        wait_for(self.answers, "redis-server answers")

    def answers(self):
        r = subprocess.run([*self.cli, "PING"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True, check=False)
        return r.stdout.strip() == "PONG"

    def add(self, key):
        return [*self.cli, "EVAL", self.SCRIPT, "1", key, "x"]

    def count(self):
        return int(output(*self.cli, "LLEN", "queue"))

    def stop(self):
        self.place.stop(self.server)


def open_gate(path):
    """Let go what waits there, and whoever comes later, until it is closed."""
    fd = os.open(path, os.O_RDWR)
    os.write(fd, b"\n\n")
    return fd


class Nq:
    """Syncs nothing, knows no keys, runs one after the other."""

    def __init__(self, place):
        self.dir = f"{place.dir}/nq"
        self.gate = f"{place.dir}/nq.gate"
        os.makedirs(self.dir, exist_ok=True)
        place.undo.append(self.end)

    def end(self):
        if os.path.exists(self.gate):
            fd = open_gate(self.gate)
            output("nq", "-w")
            os.close(fd)

    def fill(self, n):
        """N jobs behind one that waits for the gate."""
        os.mkfifo(self.gate)
        output("nq", "/bin/sh", "-c", f"read x <{self.gate}")
        for _ in range(n):
            output("nq", "/bin/true")

    def drain(self):
        return [["/bin/sh", "-c", f"echo >{self.gate}"], ["nq", "-w"]]

    def clear(self, n):
        """There have been N jobs."""
        output("nq", "-w")
        names = [e for e in os.listdir(self.dir) if e[0] in ",."]
        must(len(names) == n, f"nq has {len(names)} jobs, not {n}")
        for name in names:
            os.unlink(f"{self.dir}/{name}")
        if os.path.exists(self.gate):
            os.unlink(self.gate)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


class Beanstalkd:
    """With a log of its own, each write synced."""

    def __init__(self, place):
        self.place = place
        self.dir = f"{place.dir}/beanstalkd"
        os.mkdir(self.dir)
        self.port = free_port()
        self.server = place.start("beanstalkd", "-b", self.dir, "-f0", "-l",
                                  "127.0.0.1", "-p", self.port)
        wait_for(self.answers, "beanstalkd answers")

    def answers(self):
        r = subprocess.run([tool("bean"), self.port, "count"],
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                           check=False)
        return r.returncode == 0

    def put(self, n):
        output(tool("bean"), self.port, "put", str(n))
        must(self.count() == n, "beanstalkd has not all jobs")

    def drain(self):
        return [tool("bean"), self.port, "drain", "2", "/bin/true"]

    def count(self):
        return int(output(tool("bean"), self.port, "count"))

    def stop(self):
        self.place.stop(self.server)


class Spooler:
    """task-spooler: a server in memory, two slots; syncs nothing.  From 1,000
    jobs that wait on it keeps the next one waiting for ever."""

    def __init__(self, place, n):
        os.environ.update(TS_SOCKET=f"{place.dir}/tsp", TS_SLOTS="2",
                          TS_MAXFINISHED=str(n + 10))
        self.gate = f"{place.dir}/tsp.gate"
        place.undo.append(self.stop)

    def fill(self, n):
        """N jobs behind two that wait for the gate."""
        os.mkfifo(self.gate)
        for _ in range(2):
            output("tsp", "-n", "/bin/sh", "-c", f"read x <{self.gate}")
        for _ in range(n):
            output("tsp", "-n", "/bin/true")

    def drain(self):
        """Opened, and then the last one awaited."""
        return [["/bin/sh", "-c", f"exec 3>{self.gate}; echo >&3; echo >&3"],
                ["tsp", "-w"]]

    def clear(self, n):
        def all_finished():
            return sum(line.split()[1:2] == ["finished"]
                       for line in output("tsp").splitlines()) == n + 2
        wait_for(all_finished, f"tsp has finished {n} jobs")
        output("tsp", "-C")
        os.unlink(self.gate)

    def stop(self):
        if os.path.exists(self.gate):
            os.close(open_gate(self.gate))
        if os.path.exists(os.environ["TS_SOCKET"]):
            output("tsp", "-K")


class Postgres:
    """A server on a socket, with the settings it comes with, and the table of
    idq-handover(7).  Its folder is where a name of a socket is short."""

    SCHEMA = """CREATE TABLE inbox (key text PRIMARY KEY, payload bytea NOT NULL,
        arrived timestamptz NOT NULL DEFAULT now())"""

    def __init__(self, place):
        self.place = place
        self.dir = tempfile.mkdtemp(prefix="idq-bench-pg.")
        place.undo.append(lambda: shutil.rmtree(self.dir, ignore_errors=True))
        bins = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        must(bins, "PostgreSQL's server is not installed")
        become = []
        if os.geteuid() == 0:
            shutil.chown(self.dir, "nobody", "nogroup")
            become = ["setpriv", "--reuid=nobody", "--regid=nogroup",
                      "--clear-groups", "--"]
        output(*become, f"{bins[-1]}/initdb", "-D", f"{self.dir}/data", "-A",
               "trust", "-U", "idq", "-E", "UTF8", cwd="/")
        os.environ.update(PGHOST=self.dir, PGUSER="idq", PGDATABASE="postgres")
        self.server = place.start(
            *become, f"{bins[-1]}/postgres", "-D", f"{self.dir}/data", "-k",
            self.dir, "-c", "listen_addresses=")
        wait_for(self.answers, "PostgreSQL answers")
        self.ask(self.SCHEMA)

    def answers(self):
        r = subprocess.run(["psql", "-XqAtc", "SELECT 1"], check=False,
                           stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        return r.returncode == 0

    def ask(self, sql):
        return output("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", sql)

    def stop(self):
        self.place.stop(self.server, signal.SIGINT)
