"""10,000 messages of 4 KiB through smtpd, and through Postfix, side by side.

    make peers && make bench
    .venv/bin/python bench/relay.py [--runs 5] [--messages 10000] [--json FILE] ...

smtp-source sends, over 20 sessions at once; the service queues every message durably, as it is set by
default, and relays it; smtp-sink takes it.  Both services run alone, one after the other, in the
same minute, on the same file system, and the runs are interleaved so that a disk or a neighbour that
changes its pace meets both.  Two ways of sending: connections kept open, and one connection a message.
Postfix is private, from Debian's package (tests/system/postfix.py); it needs root.

With `--tls` both sides use STARTTLS, a P-256 certificate and TLS 1.3: load.py sends in smtp-source's place
and sink.py takes in smtp-sink's, neither of which speaks TLS; the sink refuses MAIL in the clear.  They
share the cores with the service, so of its figures only the CPU time a message is its own.  Postfix is
given smtp_tls_connection_reuse, so that neither service makes a connection for each message it sends.
With `--resume` the source resumes TLS sessions; without, every handshake of its is a full one.

Reported are medians: messages a second until the sink has the last one, CPU microseconds a message over
all processes of the service (not those of source and sink), and their ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import at_rest, cpu_seconds, file_system, sync_microseconds
from services import BENCH, PYTHON, Postfix, Sink, Smtpd, SmtpSink, Tls, send, smtp_source

CONFIG = """\
[queue]
spool = "sqlite:{{base}}/spool"

[[listen]]
address = "127.0.0.1:{{port}}"

[[route]]
domains = ["*"]
smtp = "127.0.0.1:{sink}"
"""
TLS = """
[tls]
certificate = ["{certificate}"]
key = ["{key}"]
"""
POSTFIX = "relayhost = [127.0.0.1]:{sink}\n"
POSTFIX_TLS = """\
smtpd_tls_security_level = may
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = {key}
smtp_tls_security_level = encrypt
smtp_tls_connection_reuse = yes
"""
TLSPROXY = "tlsproxy unix - - n - 0 tlsproxy\n"


def start(service: str, sink: int, tls: Tls | None, options: argparse.Namespace) -> Smtpd | Postfix:
    """The service, running, relaying to the sink."""
    under = options.under
    files = {} if tls is None else {"certificate": tls.certificate, "key": tls.key}
    if service == "mether":
        return Smtpd(
            CONFIG.format(sink=sink) + (TLS.format(**files) if files else ""), under, source=options.source
        )
    main = POSTFIX.format(sink=sink)
    if files:
        return Postfix(main + POSTFIX_TLS.format(**files), TLSPROXY, under=under)
    return Postfix(main, under=under)


def load(port: int, kept: bool, options: argparse.Namespace) -> list[str]:
    """The command line of the source."""
    if not options.tls:
        return smtp_source(
            port, messages=options.messages, size=options.size, sessions=options.sessions, kept=kept
        )
    argv = [PYTHON, str(BENCH / "load.py"), str(port), "--tls", "--messages", str(options.messages)]
    argv += ["--sessions", str(options.sessions), "--size", str(options.size)]
    return [*argv, *(["--kept"] if kept else []), *(["--resume"] if options.resume else [])]


def run(service: str, kept: bool, tls: Tls | None, options: argparse.Namespace) -> dict[str, float]:
    """One run; messages a second and CPU microseconds a message."""
    sink = (
        Sink(options.under, tls, count=options.messages)
        if tls is not None
        else SmtpSink(options.under, count=options.messages)
    )
    running = None
    try:
        running = start(service, sink.port, tls, options)
        argv = load(running.port, kept, options)
        before = cpu_seconds(running.pid)
        began = time.monotonic()
        send(argv)
        accepted = time.monotonic() - began
        try:
            sink.process.wait(options.patience)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"relay.py: {service} has not brought all messages to the sink") from None
        arrived = time.monotonic() - began
        cpu = at_rest(running.pid) - before
    finally:
        if running is not None:
            running.stop()
        sink.stop()
    return {
        "messages_per_second": options.messages / arrived,
        "accepted_per_second": options.messages / accepted,
        "cpu_microseconds_per_message": cpu * 1e6 / options.messages,
    }


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def table(result: dict) -> str:  # type: ignore[type-arg]
    """The medians for a person."""
    lines = [f"{'':26}{'messages/s':>12}{'accepted/s':>12}{'CPU us/message':>16}"]
    for way, services in result["medians"].items():
        for service, figures in services.items():
            lines.append(
                f"{way + ', ' + service:26}{figures['messages_per_second']:12.0f}"
                f"{figures['accepted_per_second']:12.0f}{figures['cpu_microseconds_per_message']:16.0f}"
            )
        if way in result["ratios"]:
            speed, cpu = result["ratios"][way]["messages_per_second"], result["ratios"][way]["cpu"]
            lines.append(f"{'  mether to Postfix':26}{speed:11.2f}x{'':12}{cpu:15.3f}x")
    sync = result["sync_microseconds"]
    lines.append(
        f"{'STARTTLS on both sides; ' if result['tls'] else ''}"
        f"{result['messages']} messages of {result['size']} octets, {result['sessions']} sessions, "
        f"median of {result['runs']} runs; {result['file_system']}, a sync takes {sync:.0f} us; "
        f"{result['cores']} cores"
    )
    return "\n".join(lines)


def main() -> int:
    """Run, and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description="10,000 messages through smtpd and through Postfix")
    parser.add_argument("--runs", type=int, default=3, help="of each service and way (default 3)")
    parser.add_argument("--messages", type=int, default=10_000, help="in each run (default 10000)")
    parser.add_argument("--size", type=int, default=4096, help="octets of a message (default 4096)")
    parser.add_argument("--sessions", type=int, default=20, help="at once (default 20)")
    parser.add_argument("--services", default="mether,postfix", help="which, by commas")
    parser.add_argument("--ways", default="kept,fresh", help="kept open, or fresh: one a message")
    parser.add_argument("--under", default=tempfile.gettempdir(), help="where the queues lie")
    parser.add_argument("--patience", type=float, default=120, help="seconds until a run is given up")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    parser.add_argument("--source", metavar="DIRECTORY", help="smtpd of another source tree")
    parser.add_argument("--tls", action="store_true", help="STARTTLS on both sides")
    parser.add_argument("--resume", action="store_true", help="the source resumes its TLS sessions")
    options = parser.parse_args()
    if options.resume and not options.tls:
        parser.error("--resume goes with --tls")

    with tempfile.TemporaryDirectory(dir=options.under) as directory:
        return measure(options, Tls(directory) if options.tls else None)


def measure(options: argparse.Namespace, tls: Tls | None) -> int:
    """Run what the options say, and print the table; returns the exit status."""
    services, ways = options.services.split(","), options.ways.split(",")
    runs: dict[str, dict[str, list[dict[str, float]]]] = {way: {s: [] for s in services} for way in ways}
    syncs = []
    for turn in range(options.runs):
        for way in ways:
            syncs.append(sync_microseconds(options.under))
            for service in services if turn % 2 == 0 else services[::-1]:
                figures = run(service, way == "kept", tls, options)
                runs[way][service].append(figures)
                shown = ", ".join(f"{name} {value:.0f}" for name, value in figures.items())
                print(f"{way}, {service}, run {turn + 1}: {shown}", file=sys.stderr)
    middle = {way: {service: medians(runs[way][service]) for service in services} for way in ways}
    ratios = {
        way: {
            "messages_per_second": figures["mether"]["messages_per_second"]
            / figures["postfix"]["messages_per_second"],
            "cpu": figures["mether"]["cpu_microseconds_per_message"]
            / figures["postfix"]["cpu_microseconds_per_message"],
        }
        for way, figures in middle.items()
        if {"mether", "postfix"} <= figures.keys()
    }
    result = {
        "messages": options.messages,
        "size": options.size,
        "sessions": options.sessions,
        "tls": options.tls,
        "resume": options.resume,
        "runs": options.runs,
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "file_system": file_system(options.under),
        "sync_microseconds": statistics.median(syncs),
        "medians": middle,
        "ratios": ratios,
        "all": runs,
    }
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
