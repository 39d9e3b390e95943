"""A queue of 1,000,000 deferred messages, of mether alone: what it costs to have.

    .venv/bin/python bench/run.py million

The messages of 4 KiB wait for a thousand next hops.  They are put there by fill.py, since by SMTP a million
take long, for any service; then the same things are measured run after run with that queue and with an empty
one.

| figure | is |
|---|---|
| banner s | from starting smtpd to its 220 |
| delivering s | from starting it until the first of a few messages that are due has reached its next hop |
| accepted/s | 250s a second while smtp-source sends over 20 sessions kept open, and the next hop refuses |
| MiB | the most that smtpd ever had resident, from its start to the end of that |
| first page s | `smtpq` from its start to its 25th line |
| shape s | `smtpq shape`, the whole of it |

It needs about 6 GB on the disk.
"""

from __future__ import annotations

import subprocess
import sys
import time

import mtas
import rounds
from measure import Meter
from rounds import Column
from services import BENCH, PYTHON, Sink, peers, send

import relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

COUNT = 1_000_000
HOPS = 1000
LINES = 25

COLUMNS = [
    Column("banner", "banner s", 3),
    Column("delivering", "delivering s", 3),
    Column("accepted_per_second", "accepted/s"),
    Column("octets", "MiB", 0, 1 << 20, relative=False),
    Column("page", "first page s", 3),
    Column("shape", "shape s", 3),
]


def fill(running: mtas.Mether, *arguments: str) -> None:
    """Put messages that wait into the queue of a service that does not run."""
    argv = [PYTHON, str(BENCH / "fill.py"), str(running.base / "spool"), *arguments]
    done = subprocess.run(argv, env=running.environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"fill.py: {done.stderr.strip().rpartition(chr(10))[2]}")


def filled(count: int, hops: int, sink: Sink, options: argparse.Namespace) -> mtas.Mether:
    """A service that does not run, whose queue has `count` messages which wait for `hops` next hops."""
    routes = {"sink.example.net": sink.port, "*": peers.free_port()}
    running = mtas.Mether(routes, options.under, source=options.source)
    running.halt()
    began = time.monotonic()
    if count:
        fill(running, "--messages", str(count), "--hops", str(hops), "--due", "3600")
    took = time.monotonic() - began
    print(f"  a queue of {count:,} messages ({took:.0f} s)", file=sys.stderr, flush=True)
    return running


def shown(running: mtas.Mether, *arguments: str, lines: int | None = None) -> float | None:
    """Seconds until smtpq has printed that many lines, or ended; None when it fails."""
    argv, environment = running.listing(*arguments)
    began = time.monotonic()
    with subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout, 1):
            if number == lines:
                took = time.monotonic() - began
                process.kill()
                return took
        took = time.monotonic() - began
    return took if process.returncode == 0 else None


def once(running: mtas.Mether, sink: Sink, options: argparse.Namespace) -> dict[str, float]:
    """One run: start, deliver, accept, list, end."""
    fill(running, "--messages", "5", "--fresh", "--next-hop", f"127.0.0.1:{sink.port}")
    began = time.monotonic()
    figures = {"banner": mtas.started(running)}
    figures["delivering"] = float(sink.stamps.readline()) - began
    for _ in range(4):
        sink.stamps.readline()
    meter = Meter(running.pid)
    try:
        messages = relay.count("mether", options)
        began = time.monotonic()
        send(relay.load(running.port, messages, kept=True))
        figures["accepted_per_second"] = messages / (time.monotonic() - began)
        meter.at_rest()
        figures["octets"] = float(meter.high_water())
        page, shape = shown(running, lines=LINES), shown(running, "shape")
        if page is not None:
            figures["page"] = page
        if shape is not None:
            figures["shape"] = shape
    finally:
        running.halt()
        meter.close()
    return figures


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """With the queue, and with an empty one."""
    count = max(1000, round(COUNT * options.scale))
    sink = Sink(options.under, stamps=True)
    ready: dict[str, mtas.Mether] = {}
    many = f"{count:,} queued"
    try:
        ready["empty"] = filled(0, 0, sink, options)
        ready[many] = filled(count, HOPS, sink, options)
        found = rounds.interleaved(list(ready), options.runs, lambda case: once(ready[case], sink, options))
    finally:
        for running in ready.values():
            running.stop()
        sink.stop()
    notes = [f"mether alone, {HOPS:,} next hops. What a run accepts stays: the empty queue has as many more."]
    if not all("shape" in each for each in found[many]):
        notes.append("smtpq shape failed.")
    title = f"A queue of {count:,} deferred messages"
    return rounds.result("million", title, COLUMNS, found, options, base="empty", notes=notes)
