"""A guard against the hot path becoming dearer: CPU time of a message, in terms of a fixed Python loop.

    make guard                                       # a few seconds; part of .ci/run
    .venv/bin/python bench/guard.py --record         # after a change that is meant to cost, or to save

smtpd with its usual queue receives messages from load.py and relays them to sink.py, over 20 connections kept
open on each side; the rest is as by default.  Counted is its user time over messages, and beside it, in the
same minute, the time of a loop that does what such programs do: calls, attributes, dictionaries, octets.
Their ratio depends on the machine and on the release of Python far less than either.  The least of several
rounds is taken, because a busy neighbour only ever adds.

It fails when the ratio is beyond LIMIT times the one in bench/guard.json: noise stays below, and twice the
cost does not.  When it is far below, it says that the ratio should be recorded anew, so that what was gained
stays guarded. It needs no privilege and none of the peers.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time

import mtas
import rounds
from measure import at_rest, cpu_split
from services import BENCH, PYTHON, Sink, send

RECORD = BENCH / "guard.json"
LIMIT = 1.5
GAINED = 0.75
MESSAGES = 2000
WARM = 200
TURNS = 5_000


class Thing:
    """What the loop works on."""

    __slots__ = ("count", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0

    def step(self, line: bytes) -> int:
        """A call that looks at octets."""
        self.count += 1
        return line.find(b"\r\n", 4)


def loop() -> float:
    """The fixed loop: CPU microseconds of one turn."""
    line, table = b"MAIL FROM:<source@example.test>\r\n" * 4, {str(number): number for number in range(64)}
    began = time.process_time()
    for turn in range(TURNS):
        thing = Thing(f"{turn & 63}")
        total = 0
        for at in range(20):
            total += thing.step(line) + table[thing.name] + at
        parts = line[:31].decode().split(":")
        thing.name = "".join((parts[0].lower(), str(total)))
    return (time.process_time() - began) * 1e6 / TURNS


def message(options: argparse.Namespace) -> float:
    """User microseconds that smtpd takes for a message."""
    sink = Sink(options.under)
    running = None
    try:
        running = mtas.Mether({"*": sink.port}, options.under, source=options.source)
        for count in (WARM, options.messages):
            before = cpu_split(running.pid)[0]
            argv = [PYTHON, str(BENCH / "load.py"), str(running.port), "--kept", "--sessions", "20"]
            send([*argv, "--messages", str(count), "--size", "4096"])
            at_rest(running.pid)
        return (cpu_split(running.pid)[0] - before) * 1e6 / options.messages
    finally:
        if running is not None:
            running.stop()
        sink.stop()


def main() -> int:
    """Measure, compare, and tell; returns the exit status."""
    parser = argparse.ArgumentParser(description="CPU time of a message, in terms of a fixed Python loop")
    parser.add_argument("--record", action="store_true", help=f"write the ratio into {RECORD.name}")
    parser.add_argument("--rounds", type=int, default=3, help="the least of so many (default 3)")
    parser.add_argument("--messages", type=int, default=MESSAGES, help=f"in each (default {MESSAGES})")
    parser.add_argument("--under", default=tempfile.gettempdir(), help="where the queue lies")
    parser.add_argument("--source", metavar="DIRECTORY", help="smtpd of another source tree")
    options = parser.parse_args()

    loops, messages = [loop()], []
    for _ in range(options.rounds):
        messages.append(message(options))
        loops.append(loop())
    ratio = min(messages) / min(loops)
    print(f"guard: {min(messages):.0f} us a message, {min(loops):.1f} us a turn of the loop: {ratio:.2f}")
    if options.record:
        facts = {"python": platform.python_version(), "processor": rounds.processor()}
        RECORD.write_text(json.dumps({"ratio": round(ratio, 2), **facts}, indent=1) + "\n")
        return 0
    recorded = json.loads(RECORD.read_text())["ratio"]
    if ratio > recorded * LIMIT:
        print(
            f"guard: a message costs {ratio / recorded:.2f} times what was recorded ({recorded}); "
            f"at most {LIMIT} is allowed.  If that is meant: bench/guard.py --record",
            file=sys.stderr,
        )
        return 1
    if ratio < recorded * GAINED:
        print(f"guard: {recorded} was recorded; guard what was gained with: bench/guard.py --record")
    return 0


if __name__ == "__main__":
    sys.exit(main())
