"""Two workers beside one, of mether alone.

    .venv/bin/python bench/run.py workers

Relay over connections kept open, as relay-kept, gives the CPU time a message.  On two cores that source and
sink share nobody can see by the speed what a second worker brings.  So for the speed of accepting each
process of the service is held to a share of one core (a quota of its control group), which leaves the source
a core to itself: then the service is what limits, and two workers may do twice of what one does.  Where no
quota can be had, these rows are missing.
"""

from __future__ import annotations

import time

import mtas
import rounds
from measure import Meter, family, throttle
from services import SmtpSink, peers, send, smtp_source

import relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

SHARE = 0.35
SESSIONS = 100
WORKERS = (1, 2)


def relayed(workers: int, options: argparse.Namespace) -> dict[str, float]:
    """One run of relaying; twice the messages, as each worker loads its modules with its first ones."""
    messages = 2 * relay.count("mether", options)
    sink = SmtpSink(options.under, count=messages)
    running = meter = None
    try:
        running = mtas.Mether(
            {"*": sink.port}, options.under, "--workers", str(workers), source=options.source
        )
        meter = Meter(running.pid)
        began = time.monotonic()
        send(relay.load(running.port, messages, kept=True))
        relay.await_all(sink, "mether")
        took = time.monotonic() - began
        cpu = meter.at_rest()
    finally:
        relay.stop(running, meter)
        sink.stop()
    return {relay.SPEED.name: messages / took, relay.CPU.name: cpu / messages * 1000}


def accepted(workers: int, options: argparse.Namespace) -> dict[str, float] | None:
    """One run of accepting, each process held to its share; None where that cannot be had."""
    messages = relay.count("mether", options)
    running = mtas.Mether(
        {"*": peers.free_port()}, options.under, "--workers", str(workers), source=options.source
    )
    ends: list[Callable[[], None]] = []
    try:
        for process in family(running.pid):
            end = throttle(process, SHARE)
            if end is None:
                return None
            ends.append(end)
        began = time.monotonic()
        # The kernel deals connections out at random: of twenty too many might go to one worker.
        send(smtp_source(running.port, messages=messages, size=relay.SIZE, sessions=SESSIONS, kept=True))
        took = time.monotonic() - began
    finally:
        for end in ends:
            end()
        running.stop()
    return {relay.ACCEPTED.name: messages / took}


def once(case: str, options: argparse.Namespace) -> dict[str, float]:
    """One run."""
    workers, _, held = case.partition(" worker")
    if "of a core" in held:
        return accepted(int(workers), options) or {}
    return relayed(int(workers), options)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Relaying and accepting, with one worker and with two."""
    names = {workers: f"{workers} worker{'s'[: workers - 1]}" for workers in WORKERS}
    held = {workers: f"{name}, {SHARE:.0%} of a core each" for workers, name in names.items()}
    cases = list(names.values())
    if accepted(1, options) is not None:
        cases += held.values()
    found = rounds.interleaved(cases, options.runs, lambda case: once(case, options))
    notes = []
    cpu = rounds.ratio(found, names[2], names[1], relay.CPU.name)
    if cpu:
        notes.append(f"CPU time a message with two workers: {cpu:.2f} times that with one.")
    speed = rounds.ratio(found, held[2], held[1], relay.ACCEPTED.name)
    if speed:
        notes.append(
            f"Accepted with two workers, each held to {SHARE:.0%} of a core: {speed:.2f} times that with one."
        )
    columns = [relay.SPEED, relay.CPU, relay.ACCEPTED]
    return rounds.result("workers", "Two workers (mether alone)", columns, found, options, notes=notes)
