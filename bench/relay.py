"""Throughput: messages of 4 KiB through mether and its peers, side by side.

    .venv/bin/python bench/run.py relay-fresh relay-kept accept
    .venv/bin/python bench/relay.py --tls [--resume] [--runs 3] [--json FILE]

smtp-source sends, over 20 sessions at once; the service queues every message durably, as it is set by
default, and relays it; smtp-sink takes it.  Each service runs alone, on the same file system.  Three modes:

| mode | is |
|---|---|
| relay-fresh | one connection a message |
| relay-kept | connections kept open |
| accept | kept open, and the next hop refuses connections: what is accepted stays queued |

The slower services get fewer messages (`COUNTS`), so that each runs for seconds and none for minutes.

As a program of its own it relays with STARTTLS on both sides, a P-256 certificate and TLS 1.3, through mether
and Postfix: load.py sends in smtp-source's place and sink.py takes in smtp-sink's, neither of which speaks
TLS; the sink refuses MAIL in the clear.  They share the cores with the service, so of its figures only the
CPU time a message is its own.  Postfix is given smtp_tls_connection_reuse, so that neither service makes a
connection for each message it sends.  With `--resume` the source resumes TLS sessions; without, every
handshake of its is a full one.

| figure | is |
|---|---|
| messages/s | messages over the time from the first connection until the sink has the last one |
| accepted/s | messages over the time until the source has its last 250 |
| CPU s/1,000 | user and system time of all processes of the service until it rests, over messages |
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time

import mtas
import rounds
from measure import Meter
from rounds import Column
from services import BENCH, PYTHON, Sink, SmtpSink, Tls, peers, send, smtp_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

COUNTS = {"mether": 6000, "postfix": 3000, "exim": 400, "opensmtpd": 400}
FEWER = {("relay-fresh", "opensmtpd"): 60}
SESSIONS = 20
SIZE = 4096
PATIENCE = 300

SPEED = Column("messages_per_second", "messages/s")
ACCEPTED = Column("accepted_per_second", "accepted/s")
CPU = Column("cpu_seconds_per_thousand", "CPU s/1,000", 3)
TITLES = {
    "relay-fresh": "Relay, one connection a message",
    "relay-kept": "Relay, connections kept open",
    "accept": "Accepting alone, the next hop being down",
}


def count(service: str, options: argparse.Namespace) -> int:
    """How many messages the service gets in a run; all sessions have as many."""
    wanted = FEWER.get((options.mode, service), COUNTS[service])
    return max(1, round(wanted * options.scale / SESSIONS)) * SESSIONS


def load(
    port: int,
    messages: int,
    *,
    kept: bool,
    to: str = "sink@example.net",
    tls: Tls | None = None,
    resume: bool = False,
) -> list[str]:
    """The command line of the source."""
    if tls is None:
        return smtp_source(port, messages=messages, size=SIZE, sessions=SESSIONS, kept=kept, to=to)
    argv = [PYTHON, str(BENCH / "load.py"), str(port), "--tls", "--messages", str(messages)]
    argv += ["--sessions", str(SESSIONS), "--size", str(SIZE)]
    return [*argv, *(["--kept"] if kept else []), *(["--resume"] if resume else [])]


def once(
    service: str, options: argparse.Namespace, *, kept: bool, down: bool = False, tls: Tls | None = None
) -> dict[str, float]:
    """One run."""
    messages = count(service, options)
    sink: Sink | SmtpSink | None = None
    if tls is not None:
        sink = Sink(options.under, tls, count=messages)
    elif not down:
        sink = SmtpSink(options.under, count=messages)
    running = meter = None
    try:
        hop = peers.free_port() if sink is None else sink.port
        running = mtas.start(service, {"*": hop}, options.under, source=options.source, tls=tls)
        meter = Meter(running.pid)
        argv = load(running.port, messages, kept=kept, tls=tls, resume=getattr(options, "resume", False))
        began = time.monotonic()
        send(argv)
        figures = {ACCEPTED.name: messages / (time.monotonic() - began)}
        if sink is not None:
            await_all(sink, service)
            figures[SPEED.name] = messages / (time.monotonic() - began)
        figures[CPU.name] = meter.at_rest() / messages * 1000
    finally:
        stop(running, meter)
        if sink is not None:
            sink.stop()
    return figures


def await_all(sink: Sink | SmtpSink, service: str) -> None:
    """Return when a sink that ends with its last message has ended."""
    try:
        sink.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{service} has not brought all messages to the sink") from None


def stop(running: mtas.Mta | None, meter: Meter | None) -> None:
    """End a service, and what counted it."""
    if running is not None:
        running.stop()
    if meter is not None:
        meter.close()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """One of the three modes, as `options.mode` says."""
    mode = options.mode
    down = mode == "accept"
    found = rounds.interleaved(
        options.services,
        options.runs,
        lambda service: once(service, options, kept=mode != "relay-fresh", down=down),
    )
    columns = [ACCEPTED, CPU] if down else [SPEED, CPU]
    counts = ", ".join(f"{service} {count(service, options):,}" for service in options.services)
    notes = [f"Messages of {SIZE:,} octets over {SESSIONS} sessions; in each run: {counts}."]
    if mode == "relay-kept" and "exim" in options.services:
        notes.append("Exim delivers each message in a process and over a connection of its own all the same.")
    return rounds.result(mode, TITLES[mode], columns, found, options, base="postfix", notes=notes)


def main() -> int:
    """Relay with STARTTLS, and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description="relay with STARTTLS through smtpd and through Postfix")
    parser.add_argument("--tls", action="store_true", required=True, help="STARTTLS on both sides")
    parser.add_argument("--runs", type=int, default=3, help="of each service and way (default 3)")
    parser.add_argument("--scale", type=float, default=0.5, help="times the messages of COUNTS (default 0.5)")
    parser.add_argument("--services", default="mether,postfix", help="which, by commas")
    parser.add_argument("--under", default=tempfile.gettempdir(), help="where the queues lie")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--source", metavar="DIRECTORY", help="smtpd of another source tree")
    parser.add_argument("--resume", action="store_true", help="the source resumes its TLS sessions")
    options = parser.parse_args()
    options.mode = "relay-tls"

    cases = [f"{way}, {service}" for way in ("kept", "fresh") for service in options.services.split(",")]
    with tempfile.TemporaryDirectory(dir=options.under) as directory:
        tls = Tls(directory)

        def run(case: str) -> dict[str, float]:
            way, service = case.split(", ")
            return once(service, options, kept=way == "kept", tls=tls)

        found = rounds.interleaved(cases, options.runs, run)
    both = rounds.result("relay-tls", "Relay, STARTTLS on both sides", [SPEED, ACCEPTED, CPU], found, options)
    for way in ("kept", "fresh"):
        speed, cpu = (
            rounds.ratio(found, f"{way}, mether", f"{way}, postfix", name) for name in (SPEED.name, CPU.name)
        )
        if speed and cpu:
            both["notes"].append(f"{way}: mether to Postfix {speed:.2f}x the messages, {cpu:.3f}x the CPU")
    if options.json:
        rounds.keep(both, options.json)
    print(rounds.table(both))
    return 0


if __name__ == "__main__":
    sys.exit(main())
