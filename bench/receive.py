"""What receiving costs: CPU microseconds a message, beside smtp-sink and aiosmtpd.

    make peers
    .venv/bin/python bench/receive.py [--runs 5] [--messages 5000] [--fresh] [--json FILE]

smtp-source sends messages of 4 KiB over plain TCP, 20 sessions at once, each kept open (with `--fresh` one
connection a message), with a round trip for each of MAIL, RCPT, DATA and the content, since it knows no
PIPELINING.  Counted is user and system time of the receiver alone, all its threads, over messages.

| receiver | does, for each message |
|---|---|
| smtp-sink | Postfix's sink in C: answers, and forgets the content |
| floor | sink.py under uvloop: looks at four octets of a line: what loop and kernel take in any case |
| aiosmtpd | aiosmtpd under uvloop with its Sink handler: answers, and forgets the content |
| receive alone | smtpd with a queue that forgets (forgetful.py), without log lines: session to draft |
| and log | the same with its log, a line a message, as it is by default |
| memory | smtpd with its log, spool = "memory:" and --no-runner: the writer's thread too |
| sqlite | the same with spool = "sqlite:": what a user gets, a sync before each 250, and still no runner |

"Session to draft" is envelope, routing, loop check, trace field, and the draft that the queue is given.
The receivers are interleaved, and the order turns from run to run, so that a neighbour that takes a part
of the machine meets all of them.  Shown are the median, the least, and the ratio of the medians.
`--tree NAME=DIRECTORY` adds smtpd of another source tree, for each of ours: before beside after.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import rounds
from measure import at_rest, cpu_split, file_system, sync_microseconds
from services import Aiosmtpd, Program, Sink, Smtpd, SmtpSink, send, smtp_source

CONFIG = """\
[queue]
spool = "{spool}"
[log]
level = "{level}"
[[listen]]
address = "127.0.0.1:{{port}}"
[[route]]
domains = ["*"]
smtp = "127.0.0.1:9"
"""

OURS = {
    "receive alone": ("memory:", "warning"),
    "and log": ("memory:", "info"),
    "memory": ("memory:", "info"),
    "sqlite": ("sqlite:{base}/spool", "info"),
}


def start(name: str, under: str, trees: dict[str, str]) -> Program:
    """The receiver, running."""
    if name == "smtp-sink":
        return SmtpSink(under)
    if name == "floor":
        return Sink(under, None)
    if name == "aiosmtpd":
        return Aiosmtpd(under)
    what, _, tree = name.partition(" of ")
    spool, level = OURS[what]
    return Smtpd(
        CONFIG.format(spool=spool, level=level),
        under,
        "--no-runner",
        source=trees.get(tree),
        forgetful=what in ("receive alone", "and log"),
    )


def run(name: str, options: argparse.Namespace, trees: dict[str, str]) -> dict[str, float]:
    """One run: microseconds a message."""
    receiver = start(name, options.under, trees)
    try:
        shape = {"size": options.size, "sessions": options.sessions, "kept": not options.fresh}
        warm = smtp_source(receiver.port, messages=options.sessions * 10, **shape)
        send(warm)
        at_rest(receiver.pid)
        before = cpu_split(receiver.pid)
        began = time.monotonic()
        load = smtp_source(receiver.port, messages=options.messages, **shape)
        send(load)
        took = time.monotonic() - began
        at_rest(receiver.pid)
        user, system = (now - then for now, then in zip(cpu_split(receiver.pid), before, strict=True))
    finally:
        receiver.stop()
    each = 1e6 / options.messages
    return {
        "cpu_microseconds": (user + system) * each,
        "user_microseconds": user * each,
        "system_microseconds": system * each,
        "messages_per_second": options.messages / took,
    }


def main() -> int:
    """Run, and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description="CPU time of receiving, beside smtp-sink and aiosmtpd")
    parser.add_argument("--runs", type=int, default=5, help="of each receiver (default 5)")
    parser.add_argument("--messages", type=int, default=5000, help="in each run (default 5000)")
    parser.add_argument("--size", type=int, default=4096, help="octets of a message (default 4096)")
    parser.add_argument("--sessions", type=int, default=20, help="at once (default 20)")
    parser.add_argument("--fresh", action="store_true", help="one connection a message")
    parser.add_argument(
        "--receivers", default="smtp-sink,floor,aiosmtpd," + ",".join(OURS), help="which, by commas"
    )
    parser.add_argument("--tree", action="append", default=[], metavar="NAME=DIRECTORY", help="another src")
    parser.add_argument("--under", default=tempfile.gettempdir(), help="where the queues lie")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    options = parser.parse_args()

    trees = dict(tree.split("=", 1) for tree in options.tree)
    names = options.receivers.split(",")
    names += [f"{name} of {tree}" for tree in trees for name in names if name in OURS]
    runs = rounds.interleaved(names, options.runs, lambda name: run(name, options, trees))
    middle = {name: rounds.medians(of) for name, of in runs.items()}
    sync, kind = sync_microseconds(options.under), file_system(options.under)
    first = names[0]
    print(f"{'CPU us a message':28}{'median':>8}{'least':>8}{'user':>8}{'system':>8}{'to ' + first:>16}")
    for name, figures in middle.items():
        cpu, least = figures["cpu_microseconds"], min(each["cpu_microseconds"] for each in runs[name])
        print(
            f"{name:28}{cpu:8.0f}{least:8.0f}{figures['user_microseconds']:8.0f}"
            f"{figures['system_microseconds']:8.0f}{cpu / middle[first]['cpu_microseconds']:15.2f}x"
        )
    print(
        f"{options.messages} messages of {options.size} octets, {options.sessions} sessions "
        f"{'of one message' if options.fresh else 'kept open'}, {options.runs} runs; "
        f"Python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores; {kind}, "
        f"a sync takes {sync:.0f} us"
    )
    if options.json:
        result = {"options": vars(options), "medians": middle, "all": runs, "sync_microseconds": sync}
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
