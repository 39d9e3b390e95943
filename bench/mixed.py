"""Ten next hops, one of them dead and one slow: what the other eight lose by that.

    .venv/bin/python bench/run.py mixed

Ten smtp-sources send at once, each over two sessions kept open and each to a domain with a next hop of its
own; the eight good ones are smtp-sinks.  Counted are the messages of those eight, over the time until the
last of them is there.  The dead next hop is a socket that never completes a connection, so that whoever
connects waits for as long as it likes; the slow one answers each message a second late, over as many
connections as it is given.

| case | is |
|---|---|
| ten well | all ten are good, and bring as many messages |
| eight alone | only the eight are there |
| dead and slow | one is dead, one is slow |

Postfix and mether run with what they have by default for a next hop: 20 connections each.
"""

from __future__ import annotations

import socket
import subprocess
import time

import mtas
import rounds
from measure import Meter
from rounds import Column
from services import Sink, SmtpSink, peers, smtp_source

from relay import CPU, SIZE, await_all, stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

COUNTS = {"mether": 800, "postfix": 300, "exim": 40, "opensmtpd": 40}
"""For each next hop."""

GOOD = 8
CASES = ("ten well", "eight alone", "dead and slow")
SPEED = Column("messages_per_second", "messages/s of eight")
NAMES = [f"hop{number}.example" for number in range(GOOD + 2)]


class Dead:
    """A port where connections are neither accepted nor refused."""

    def __init__(self) -> None:
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.waiting = []
        for _ in range(4):  # more than wait to be accepted; what comes behind them is dropped by the kernel
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", self.port))
            self.waiting.append(client)

    def stop(self) -> None:
        """Close it."""
        for client in (*self.waiting, self.listener):
            client.close()


def once(name: str, options: argparse.Namespace) -> dict[str, float]:
    """One run."""
    service, _, case = name.partition(", ")
    messages = max(10, round(COUNTS[service] * options.scale))
    good = [SmtpSink(options.under, count=messages) for _ in range(GOOD)]
    others: list[Dead | Sink | SmtpSink] = []
    if case == "ten well":
        others = [SmtpSink(options.under) for _ in range(2)]
    elif case == "dead and slow":
        others = [Dead(), Sink(options.under, delay=1.0)]
    running = meter = None
    sources: list[subprocess.Popen[bytes]] = []
    try:
        hops = dict(zip(NAMES, [each.port for each in (*good, *others)], strict=False))
        running = mtas.start(service, hops, options.under, source=options.source)
        meter = Meter(running.pid)
        began = time.monotonic()
        for domain in hops:
            argv = smtp_source(
                running.port, messages=messages, size=SIZE, sessions=2, kept=True, to=f"sink@{domain}"
            )
            sources.append(subprocess.Popen(argv, env=peers.environment(), stderr=subprocess.DEVNULL))
        for sink in good:
            await_all(sink, service)
        took = time.monotonic() - began
        cpu = meter.seconds()
    finally:
        for source in sources:
            source.kill()
            source.wait()
        if isinstance(running, mtas.Mether):
            # What is under way would be given time to end, and the dead next hop takes all of it.
            running.process.kill()
        stop(running, meter)
        for each in (*good, *others):
            each.stop()
    return {SPEED.name: GOOD * messages / took, CPU.name: cpu / messages / GOOD * 1000}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every service in every case.  Exim and OpenSMTPD only where they are asked for alone."""
    services = [name for name in options.services if name in ("mether", "postfix")] or options.services
    cases = [f"{service}, {case}" for service in services for case in CASES]
    found = rounds.interleaved(cases, options.runs, lambda case: once(case, options))
    notes = []
    for service in services:
        well, alone = (
            rounds.ratio(found, f"{service}, {CASES[2]}", f"{service}, {of}", SPEED.name) or 0
            for of in CASES[:2]
        )
        notes.append(
            f"{service}: beside a dead and a slow next hop the other eight keep {well:.0%} of what they have "
            f"when all ten are well, and {alone:.0%} of what they have alone."
        )
    if {"mether", "postfix"} <= set(services):
        ahead = [rounds.ratio(found, f"mether, {of}", f"postfix, {of}", SPEED.name) or 0 for of in CASES]
        shown = ", ".join(f"{of} {value:.1f}" for of, value in zip(CASES, ahead, strict=True))
        notes.append(f"mether's messages/s are times Postfix's: {shown}.")
    return rounds.result(
        "mixed", "Ten next hops, one dead and one slow", [SPEED, CPU], found, options, notes=notes
    )
