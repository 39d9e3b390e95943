"""One message at a time: how long until its 250, and until the next hop has it.

    .venv/bin/python bench/run.py latency

A client with one connection sends a message of 4 KiB, waits for its 250 and until the sink (sink.py) has its
last octets, and only then sends the next.  Both times count from when the client has handed its final dot to
the kernel.  The client knows no PIPELINING, so what is measured is the service and not the round trips
before.
"""

from __future__ import annotations

import socket
import statistics
import time

import mtas
import rounds
from rounds import Column
from services import Sink

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

COUNTS = {"mether": 500, "postfix": 500, "exim": 200, "opensmtpd": 10}
WARM = 5
CONTENT = b"Subject: latency\r\n\r\n" + (b"X" * 78 + b"\r\n") * 51 + b".\r\n"

COLUMNS = [
    Column("answered_median", "250 median ms", 2, 1e-3),
    Column("answered_p99", "250 p99 ms", 2, 1e-3),
    Column("delivered_median", "delivered median ms", 2, 1e-3),
    Column("delivered_p99", "delivered p99 ms", 2, 1e-3),
]


class Client:
    """One connection after EHLO."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.replies = self.socket.makefile("rb")
        self.say(b"", b"220")
        self.say(b"EHLO latency.example.test\r\n", b"250")

    def say(self, octets: bytes, code: bytes) -> None:
        """Send, and await the reply, which must begin with `code`."""
        self.socket.sendall(octets)
        self.hear(code)

    def hear(self, code: bytes) -> None:
        """Await a reply."""
        while (line := self.replies.readline())[3:4] == b"-":
            pass
        if not line.startswith(code):
            raise SystemExit(f"latency.py: expected {code.decode()}, got {line!r}")

    def close(self) -> None:
        """QUIT."""
        self.say(b"QUIT\r\n", b"221")
        self.replies.close()
        self.socket.close()


def one(client: Client, sink: Sink) -> tuple[float, float]:
    """Send a message; seconds until its 250 and until the sink has it."""
    client.say(b"MAIL FROM:<source@example.test>\r\n", b"250")
    client.say(b"RCPT TO:<sink@example.net>\r\n", b"250")
    client.say(b"DATA\r\n", b"354")
    client.socket.sendall(CONTENT)
    began = time.monotonic()
    client.hear(b"250")
    answered = time.monotonic() - began
    delivered = float(sink.stamps.readline()) - began
    return answered, delivered


def percentile(values: list[float], share: float) -> float:
    """The least value that this share of them does not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def once(service: str, options: argparse.Namespace) -> dict[str, float]:
    """One run, in seconds."""
    sink = Sink(options.under, stamps=True)
    running = None
    try:
        running = mtas.start(service, {"*": sink.port}, options.under, source=options.source)
        client = Client(running.port)
        count = max(5, round(COUNTS[service] * options.scale))
        took = [one(client, sink) for _ in range(count + WARM)][WARM:]
        client.close()
    finally:
        if running is not None:
            running.stop()
        sink.stop()
    found = {}
    for name, values in (("answered", [each[0] for each in took]), ("delivered", [each[1] for each in took])):
        found[f"{name}_median"] = statistics.median(values)
        found[f"{name}_p99"] = percentile(values, 0.99)
    return found


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every service in turn."""
    found = rounds.interleaved(options.services, options.runs, lambda service: once(service, options))
    counts = ", ".join(f"{name} {COUNTS[name] * options.scale:.0f}" for name in options.services)
    notes = [
        f"Messages of 4 KiB over one connection, the next when the last one is delivered: {counts} a run.",
        "With fewer than a hundred, p99 is the most.",
    ]
    title = "One message at a time, from the client's final dot"
    return rounds.result("latency", title, COLUMNS, found, options, base="postfix", notes=notes)
