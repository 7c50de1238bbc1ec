#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""service.py FOLDER: an HTTP service on 127.0.0.1 that knows Idempotency-Key,
as draft-ietf-httpapi-idempotency-key-header says.  In FOLDER:

port       its port, once it listens
stored     what it has: key TAB payload in hexadecimal, a line each
hold       while this is there, requests of /inbox stay in progress
busy       while this is there, the answer is 503
starts     the key of each request in progress, as it begins

/plain stores without a look at the key, and /status/NNN answers NNN.
"""

import http.server
import os
import re
import sys
import threading
import time

folder = sys.argv[1]
lock = threading.Lock()
stored = {}
running = set()


def path(name):
    return os.path.join(folder, name)


def append(name, line):
    fd = os.open(path(name), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(fd, line.encode() + b"\n")
    os.close(fd)


def load():
    try:
        with open(path("stored")) as f:
            for line in f:
                key, payload = line.rstrip("\n").split("\t")
                stored[key] = payload
    except FileNotFoundError:
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, text, **headers):
        body = text.encode() + b"\n"
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        payload = self.rfile.read(int(self.headers["Content-Length"])).hex()
        key = self.headers.get("Idempotency-Key", "")
        if os.path.exists(path("busy")):
            self.answer(503, "too busy", Retry_After="2")
        elif self.path.startswith("/status/"):
            self.answer(int(self.path[8:11]), "as asked")
        elif self.path == "/plain":
            append("stored", key.strip('"') + "\t" + payload)
            self.answer(201, "stored")
        # A string of RFC 8941.
        elif not re.fullmatch(r'"[ !#-\[\]-~]+"', key):
            self.answer(400, "no key, or no string")
        else:
            self.once(key.strip('"'), payload)

    def once(self, key, payload):
        with lock:
            if key in running:
                return self.answer(409, "in progress")
            if key in stored and stored[key] != payload:
                return self.answer(422, "the key had another payload")
            if key in stored:
                return self.answer(201, "stored")
            running.add(key)
        append("starts", key)
        while os.path.exists(path("hold")):
            time.sleep(0.02)
        with lock:
            append("stored", key + "\t" + payload)
            stored[key] = payload
            running.remove(key)
        self.answer(201, "stored")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


load()
port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
server = Server(("127.0.0.1", port), Handler)
with open(path("port.new"), "w") as f:
    print(server.server_port, file=f)
os.rename(path("port.new"), path("port"))
server.serve_forever()
