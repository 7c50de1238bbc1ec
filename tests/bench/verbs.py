# SPDX-License-Identifier: ISC
"""Time and memory of every verb in queues of growing length, and a plot of
what a claim, an add and a show cost against it."""

import os
import subprocess
from statistics import median

from measure import IDQ, must, output, say, timer, unit

RUNS = 15
SLOW = ("ls", "ls -n 20", "log", "stats", "check", "plan", "fsck", "purge")
PLOTTED = ("claim", "add", "show")


def commands(q, depth):
    """By verb: what prepares it, what is measured, what puts things right.
    {} is the round.  A verb may use what those before it left."""
    def i(*words):
        return [IDQ, words[0], "-q", q, *words[1:]]

    fresh = i("add", "-k", f"{depth}/{{}}", "--", "x")
    bad = ["?", *i("run", "-k", f"{depth}.bad/{{}}", "--", "/bin/false")]
    taken = i("claim")
    return {
        "add": [[], i("add", "-k", f"{depth}.add/{{}}", "--", "x"), []],
        "add, duplicate": [[], i("add", "-k", "k{}", "--", "x"), []],
        "add --batch of 1": [[], [f"<{q}.line{{}}", *i("add", "--batch")],
                             []],
        # Before there are jobs that run, which come first.
        "ls -n 20": [[], i("ls", "-n", "20"), []],
        "claim": [[], taken, [i("ack", "{out}")]],
        "ack": [[taken], i("ack", "{out}"), []],
        "fail": [[taken], i("fail", "{out}"), []],
        "release": [[taken], i("release", "--in", "1h", "{out}"), []],
        "renew": [[taken], i("renew", "{out}"), []],
        "work --once": [[], i("work", "--once", "--", "/bin/true"), []],
        "run": [[], i("run", "-k", f"{depth}.run/{{}}", "--", "/bin/true"),
                []],
        "ls": [[], i("ls"), []],
        "show": [[], i("show", "k{}"), []],
        "cat": [[], i("cat", "k{}"), []],
        "log": [[], i("log"), []],
        "stats": [[], i("stats"), []],
        "check": [[], ["?", *i("check")], []],
        "plan": [[], i("plan"), []],
        "wait --timeout 1s": [[], i("wait", "--timeout", "1s",
                                    f"{depth}.done"), []],
        "key": [[], ["?", *i("key", "k{}")], []],
        "hold": [[fresh], i("hold", f"{depth}/{{}}"), []],
        "unhold": [[], i("unhold", f"{depth}/{{}}"), []],
        "cancel": [[], i("cancel", f"{depth}/{{}}"), []],
        "forget": [[], i("forget", f"{depth}/{{}}"), []],
        "retry": [[bad], i("retry", f"{depth}.bad/{{}}"), []],
        "pause": [[], i("pause"), [i("resume")]],
        "resume": [[i("pause")], i("resume"), []],
        "purge": [[], i("purge"), []],
        "doctor": [[], ["?", *i("doctor")], []],
        "config": [[], i("config", "keep"), []],
        "init": [[], i("init"), []],
        "fsck": [[], i("fsck"), []],
    }


def one(before, measured, after, runs):
    """Times and most memory of the one that is measured."""
    times, rss = timer(runs, before + [measured] + after, parts=True)
    return times[len(before)], rss[len(before)]


def depths(size):
    return [n for n in (1000, 10_000, 100_000) if n < size] + [size]


def plot(figures, where):
    """Beside the JSON; gnuplot draws it."""
    data = os.path.splitext(where)[0] + ".dat"
    svg = os.path.splitext(where)[0] + ".svg"
    with open(data, "w") as f:
        for n, by_verb in figures.items():
            f.write(" ".join([str(n)] + [f"{median(by_verb[v][0]) * 1e3:.4f}"
                                         for v in PLOTTED]) + "\n")
    lines = ", ".join(f"'{data}' using 1:{k + 2} with linespoints title '{v}'"
                      for k, v in enumerate(PLOTTED))
    script = (f"set terminal svg; set output '{svg}'; set logscale x; "
              "set xlabel 'jobs pending'; set ylabel 'ms'; "
              f"set yrange [0:*]; set key left top; plot {lines}")
    try:
        output("gnuplot", "-e", script)
    except FileNotFoundError:
        say("no gnuplot, no plot")
        return
    must(os.path.getsize(svg) > 1000, "gnuplot drew nothing")
    say(f"plot: {svg}")


def show(figures):
    """A line a verb: time and memory at each length."""
    print("\n" + f"{'verb':<18}" + "".join(f"{n:>22,}" for n in figures))
    for verb in next(iter(figures.values())):
        print(f"{verb:<18}" + "".join(
            f"{unit(median(f[verb][0])):>12}{f[verb][1] / 1024:>6.1f} MiB"
            for f in figures.values()))


def complete(table):
    """Whether it has every verb that the tool prints."""
    verbs = {line.split()[0] for line in output(IDQ, "--help").splitlines()
             if line.startswith("  ") and not line.startswith("  -")}
    left = verbs - {name.replace(",", "").split()[0] for name in table}
    must(not left, f"not measured: {' '.join(sorted(left))}")


def measure(b, where):
    q = b.place.queue("verbs")
    complete(commands(q, 0))
    figures = {}
    have = 0
    runs = min(RUNS, b.runs)
    for depth in depths(b.size):
        say(f"verbs at {depth:,}")
        b.place.fill("verbs", have, depth)
        have = depth
        for k in range(runs):
            with open(f"{q}.line{k}", "w") as f:
                f.write(f"{depth}.line/{k}\tx\n")
        output(IDQ, "run", "-q", "verbs", "-k", f"{depth}.done", "--",
               "/bin/true")
        slow = depth >= 100_000
        figures[depth] = {
            verb: one(*steps, 3 if slow and verb in SLOW else runs)
            for verb, steps in commands(q, depth).items()}
    show(figures)
    plot(figures, where)
    return {str(n): {v: {"s": t, "KiB": m} for v, (t, m) in f.items()}
            for n, f in figures.items()}
