"""A queue of 20,000 deferred messages: listing it, and starting again with it.

    .venv/bin/python bench/run.py deferred

The messages of 4 KiB come by SMTP while the next hop refuses connections, so that each service has tried it
and waits.  The queues are made once; then, run after run, each service is started, its whole queue is listed,
and it is ended.  Exim, which takes ten milliseconds and more for a message, gets its own through `exim -bS`
with -odq, in batches: they are queued, and were not tried.

| figure | is |
|---|---|
| banner s | from starting the service to its 220 |
| list s | the listing command (smtpq, postqueue -p, exim -bp, smtpctl show queue), its output going nowhere |
| MiB | memory (PSS) of all processes, once they rest |
"""

from __future__ import annotations

import subprocess
import sys
import time

import mtas
import rounds
from measure import Meter
from rounds import Column
from services import peers, send, smtp_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

COUNT = 20_000
SESSIONS = 20
SIZE = 4096

COLUMNS = [
    Column("banner", "banner s", 3),
    Column("list", "list s", 3),
    Column("octets", "MiB", 0, 1 << 20, relative=False),
]


def fill(service: str, count: int, options: argparse.Namespace) -> mtas.Mta:
    """The service with its queue, ended."""
    running = mtas.start(service, {"*": peers.free_port()}, options.under, source=options.source)
    began = time.monotonic()
    try:
        if isinstance(running, mtas.EximMta):
            batches(running, count)
        else:
            send(smtp_source(running.port, messages=count, size=SIZE, sessions=SESSIONS, kept=True))
            meter = Meter(running.pid)
            meter.at_rest()
            meter.close()
        running.halt()
    except BaseException:
        running.stop()
        raise
    print(
        f"  {service} has {count:,} messages ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True
    )
    return running


def batches(running: mtas.EximMta, count: int, each: int = 500) -> None:
    """Queue messages without a connection, six batches at once."""
    one = "MAIL FROM:<source@example.test>\nRCPT TO:<sink@example.net>\nDATA\nSubject: waits\n\n"
    one += ("X" * 78 + "\n") * (SIZE // 80) + ".\n"
    assert running.program is not None
    argv = [running.program, "-C", str(running.config), "-odq", "-bS"]
    left = count
    while left > 0:
        under_way = []
        for _ in range(6):
            size = min(each, left)
            if size > 0:
                process = subprocess.Popen(
                    argv,
                    env=running.environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                under_way.append((process, size))
                left -= size
        for process, size in under_way:
            assert process.stdin is not None
            process.stdin.write(one.encode() * size)
            process.stdin.close()
        for process, _ in under_way:
            if process.wait():
                raise SystemExit(f"exim -bS ended with status {process.returncode}")


def listed(running: mtas.Mta, *arguments: str) -> float:
    """Seconds that the listing takes."""
    argv, environment = running.listing(*arguments)
    began = time.monotonic()
    with subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        octets = 0
        while data := process.stdout.read1(1 << 20):
            octets += len(data)
        took = time.monotonic() - began
        assert process.stderr is not None
        errors = process.stderr.read().decode(errors="replace")
    if process.returncode or not octets:
        raise SystemExit(f"{' '.join(argv)}: status {process.returncode}: {errors.strip()}")
    return took


def once(running: mtas.Mta) -> dict[str, float]:
    """One run: start, list, end."""
    banner = mtas.started(running)
    meter = Meter(running.pid)
    try:
        meter.at_rest()
        held = meter.memory()
        took = listed(running)
    finally:
        running.halt()
        meter.close()
    return {"banner": banner, "list": took, "octets": float(held)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every service in turn."""
    count = max(100, round(COUNT * options.scale))
    ready: dict[str, mtas.Mta] = {}
    try:
        for service in options.services:
            ready[service] = fill(service, count, options)
        found = rounds.interleaved(options.services, options.runs, lambda service: once(ready[service]))
    finally:
        for running in ready.values():
            running.stop()
    notes = []
    if "exim" in options.services:
        notes.append("Exim's were queued with -odq: one by one through SMTP they would take minutes.")
    title = f"A queue of {count:,} deferred messages"
    return rounds.result("deferred", title, COLUMNS, found, options, base="postfix", notes=notes)
