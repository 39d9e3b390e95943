"""A message of 50 MiB: how fast it is relayed, and how much more memory the service needs meanwhile.

    .venv/bin/python bench/run.py large

smtp-source sends it and smtp-sink takes it; speed is its size over the time from the connection until the
sink has all of it, so it has been received, synced and sent on by then.  A small message goes before, so that
the processes are there.  Memory is the proportional set size (PSS) of all processes together, asked every 5
ms: its most, less what it was before.
"""

from __future__ import annotations

import time

import mtas
import rounds
from measure import Meter, Peak
from rounds import Column
from services import SmtpSink, send, smtp_source

from relay import await_all, stop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

SIZE = 50 << 20

COLUMNS = [
    Column("octets_per_second", "MB/s", 1, 1e6),
    Column("extra_octets", "extra memory MiB", 1, 1 << 20, relative=False),
    Column("cpu_seconds", "CPU s", 2),
]


def once(service: str, options: argparse.Namespace) -> dict[str, float]:
    """One run."""
    sink = SmtpSink(options.under, count=2)
    running = meter = None
    try:
        running = mtas.start(service, {"*": sink.port}, options.under, source=options.source)
        meter = Meter(running.pid)
        send(smtp_source(running.port, messages=1, size=4096, sessions=1, kept=False))
        meter.at_rest()
        # Asking for memory costs CPU time, so what is timed is not what is watched.
        before, began = meter.seconds(), time.monotonic()
        send(smtp_source(running.port, messages=1, size=SIZE, sessions=1, kept=False))
        await_all(sink, service)
        took = time.monotonic() - began
        cpu = meter.at_rest() - before
        sink.stop()
        port = sink.port
        sink = SmtpSink(options.under, count=1, port=port)
        with Peak(meter) as peak:
            send(smtp_source(running.port, messages=1, size=SIZE, sessions=1, kept=False))
            await_all(sink, service)
    finally:
        stop(running, meter)
        sink.stop()
    return {"octets_per_second": SIZE / took, "extra_octets": float(peak.extra), "cpu_seconds": cpu}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every service in turn."""
    found = rounds.interleaved(options.services, options.runs, lambda service: once(service, options))
    notes = [
        "One message of 52,428,800 octets, received, queued and sent on; memory is that of all processes."
    ]
    return rounds.result("large", "A message of 50 MiB", COLUMNS, found, options, base="postfix", notes=notes)
