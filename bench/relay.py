"""10,000 messages of 4 KiB through smtpd, and through Postfix, side by side.

    make peers && make bench
    .venv/bin/python bench/relay.py [--runs 5] [--messages 10000] [--json FILE] ...

smtp-source sends, over 20 sessions at once; the service queues every message durably, as it is set by
default, and relays it; smtp-sink takes it.  Both services run alone, one after the other, in the
same minute, on the same file system, and the runs are interleaved so that a disk or a neighbour that
changes its pace meets both.  Two ways of sending: connections kept open, and one connection a message.
Postfix is private, from Debian's package (tests/system/postfix.py); it needs root.

Reported are medians: messages a second until the sink has the last one, CPU microseconds a message over
all processes of the service (not those of source and sink), and their ratios.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests" / "system"))

import peers  # noqa: E402
from measure import at_rest, cpu_seconds, file_system, sync_microseconds  # noqa: E402
from postfix import Postfix  # noqa: E402

CONFIG = """\
[service]
hostname = "bench.example.test"

[queue]
spool = "sqlite:{base}/spool"

[[listen]]
address = "127.0.0.1:{port}"

[[route]]
domains = ["*"]
smtp = "127.0.0.1:{sink}"
"""


class Smtpd:
    """smtpd from this checkout, with a fresh queue, relaying all to the sink."""

    def __init__(self, sink: int, under: str) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="mether-", dir=under))
        self.port = peers.free_port()
        config = self.base / "mether.toml"
        config.write_text(CONFIG.format(base=self.base, port=self.port, sink=sink))
        # Its log goes to a file, as Postfix's does.
        with (self.base / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [str(TOP / ".venv/bin/smtpd"), "-C", str(config)], stdin=subprocess.DEVNULL, stderr=log
            )
        try:
            peers.await_listener(self.port, self.process)
        except RuntimeError as error:
            raise SystemExit(f"relay.py: {error}\n{(self.base / 'log').read_text()}") from None
        self.pid = self.process.pid

    def stop(self) -> None:
        """End it and remove its queue."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        shutil.rmtree(self.base)


def start(service: str, sink: int, under: str) -> Smtpd | Postfix:
    """The service, running, relaying to the sink."""
    if service == "mether":
        return Smtpd(sink, under)
    return Postfix(f"relayhost = [127.0.0.1]:{sink}\n", under=under)


def run(service: str, kept: bool, options: argparse.Namespace) -> dict[str, float]:
    """One run; messages a second and CPU microseconds a message."""
    port, environment = peers.free_port(), peers.environment()
    account = ["-u", "nobody"] if os.geteuid() == 0 else []
    # -M: it ends when it has them all; the first connection, ours, brings none.
    count = str(options.messages)
    sink = subprocess.Popen(
        [_need("smtp-sink"), *account, "-M", count, f"127.0.0.1:{port}", "4096"], env=environment
    )
    running = None
    try:
        peers.await_listener(port, sink)
        running = start(service, port, options.under)
        load = [_need("smtp-source"), "-s", str(options.sessions), "-m", count, "-l", str(options.size)]
        load += ["-f", "source@example.test", "-t", "sink@example.net"]
        load += ["-d"] if kept else []
        before = cpu_seconds(running.pid)
        began = time.monotonic()
        subprocess.run([*load, f"127.0.0.1:{running.port}"], env=environment, check=True)
        accepted = time.monotonic() - began
        sink.wait(options.patience)
        arrived = time.monotonic() - began
        cpu = at_rest(running.pid) - before
    finally:
        if running is not None:
            running.stop()
        sink.kill()
        sink.wait()
    return {
        "messages_per_second": options.messages / arrived,
        "accepted_per_second": options.messages / accepted,
        "cpu_microseconds_per_message": cpu * 1e6 / options.messages,
    }


def _need(name: str) -> str:
    path = peers.program(name)
    if path is None:
        raise SystemExit(f"relay.py: {name} is missing: run make peers")
    return path


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
    parser.add_argument("--patience", type=float, default=600, help="seconds until a run is given up")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    options = parser.parse_args()

    services, ways = options.services.split(","), options.ways.split(",")
    runs: dict[str, dict[str, list[dict[str, float]]]] = {way: {s: [] for s in services} for way in ways}
    syncs = []
    for turn in range(options.runs):
        for way in ways:
            syncs.append(sync_microseconds(options.under))
            for service in services if turn % 2 == 0 else services[::-1]:
                figures = run(service, way == "kept", options)
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
