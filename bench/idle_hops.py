"""10,000 next hops with 100,000 messages waiting, none of them due: what that costs mether.

    .venv/bin/python bench/run.py idle-hops

The queue is made by fill.py.  After a start, and once the service rests, its CPU time over some seconds in
which nothing happens is counted; then messages are relayed over connections kept open, as in relay-kept, and
their CPU time is counted.  Both stand beside the same with an empty queue.
"""

from __future__ import annotations

import time

import mtas
import rounds
from measure import Meter
from million import filled
from rounds import Column
from services import Sink, send

import relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

HOPS = 10_000
EACH = 10
SECONDS = 16.0
"""Longer than a renewal of the lease, which is all that happens then (runner.lease)."""

COLUMNS = [Column("idle", "CPU ms/s, nothing due", 2, 1e-3, relative=False), relay.CPU]


def once(running: mtas.Mether, sink: Sink, options: argparse.Namespace) -> dict[str, float]:
    """One run: start, rest, relay, end."""
    mtas.started(running)
    meter = Meter(running.pid)
    try:
        meter.at_rest()
        time.sleep(1)
        before, began = meter.seconds(), time.monotonic()
        time.sleep(SECONDS)
        idle = (meter.seconds() - before) / (time.monotonic() - began)
        messages = relay.count("mether", options)
        before = meter.seconds()
        send(relay.load(running.port, messages, kept=True, to="sink@sink.example.net"))
        for _ in range(messages):
            sink.stamps.readline()
        cpu = meter.at_rest() - before
    finally:
        running.halt()
        meter.close()
    return {"idle": idle, relay.CPU.name: cpu / messages * 1000}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """With what waits, and with an empty queue."""
    hops = max(100, round(HOPS * options.scale))
    sink = Sink(options.under, stamps=True)
    ready: dict[str, mtas.Mether] = {}
    try:
        ready["empty"] = filled(0, 0, sink, options)
        ready[f"{hops:,} next hops"] = filled(hops * EACH, hops, sink, options)
        found = rounds.interleaved(list(ready), options.runs, lambda case: once(ready[case], sink, options))
    finally:
        for running in ready.values():
            running.stop()
        sink.stop()
    title = f"{hops:,} next hops with {hops * EACH:,} messages, none of them due"
    return rounds.result("idle-hops", title, COLUMNS, found, options, base="empty", notes=["mether alone."])
