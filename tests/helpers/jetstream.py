#!/usr/bin/env python3
# SPDX-License-Identifier: ISC
"""jetstream.py PORT make STREAM SUBJECT SECONDS [NAME=JSON...]: make a stream
that knows ids for so long, with more in its config.
jetstream.py PORT list STREAM: id TAB payload in hexadecimal of each message.
jetstream.py PORT send SUBJECT ID PAYLOAD: publish it; print the stream's answer.
jetstream.py PORT talk SUBJECT TEXT: answer one message as no stream does.
"""

import base64
import json
import socket
import sys

port, what, name = sys.argv[1:4]
stream = socket.create_connection(("127.0.0.1", int(port)), 5).makefile("rwb")


def request(subject, payload, head=b""):
    stream.write(b"HPUB %s in %d %d\r\n%s%s\r\n" % (
        subject.encode(), len(head), len(head) + len(payload), head, payload)
        if head else b"PUB %s in %d\r\n%s\r\n" % (
            subject.encode(), len(payload), payload))
    stream.flush()
    while True:
        words = stream.readline().split()
        if words[0] == b"MSG":
            return json.loads(stream.read(int(words[-1]) + 2))
        if words[0] == b"-ERR":
            sys.exit(b" ".join(words).decode())


def api(subject, **options):
    got = request("$JS.API." + subject, json.dumps(options).encode())
    if "error" in got:
        sys.exit(json.dumps(got["error"]))
    return got


stream.readline()
stream.write(b'CONNECT {"verbose":false,"headers":true}\r\nSUB in 1\r\n')
if what == "make":
    more = dict(option.split("=", 1) for option in sys.argv[6:])
    api("STREAM.CREATE." + name, name=name, subjects=[sys.argv[4]],
        storage="file", retention="limits", num_replicas=1,
        duplicate_window=int(float(sys.argv[5]) * 1e9),
        **{key: json.loads(value) for key, value in more.items()})
elif what == "talk":
    stream.write(b"SUB %s 2\r\nPING\r\n" % name.encode())
    stream.flush()
    while (words := stream.readline().split())[0] != b"HMSG":
        print(words[0].decode(), flush=True)
    stream.write(b"PUB %s %d\r\n%s\r\n" % (
        words[3], len(sys.argv[4]), sys.argv[4].encode()))
    stream.flush()
elif what == "list":
    state = api("STREAM.INFO." + name)["state"]
    for seq in range(state["first_seq"], state["last_seq"] + 1):
        m = api("STREAM.MSG.GET." + name, seq=seq)["message"]
        head = base64.b64decode(m.get("hdrs", "")).decode()
        print(head.partition("Nats-Msg-Id: ")[2].strip(),
              base64.b64decode(m.get("data", "")).hex(), sep="\t")
else:
    head = f"NATS/1.0\r\nNats-Msg-Id: {sys.argv[4]}\r\n\r\n".encode()
    print(json.dumps(request(name, sys.argv[5].encode(), head)))
