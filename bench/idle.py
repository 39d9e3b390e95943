"""What idle clients cost: the memory of 2,000 connections after EHLO, beside aiosmtpd.

    .venv/bin/python bench/idle.py [--tls] [--connections 2000] [--runs 3] [--json FILE]

Connections are opened one after the other, say EHLO, and are left alone; with `--tls` also through STARTTLS
(EHLO is said again under it) and on a port of implicit TLS, each handshake a full one of TLS 1.3.
Shown is what the server's process has grown by between a few connections that came and went before and
the last of 2,000: resident (RSS) and proportional (PSS) octets, once its CPU time rests.  Both servers run
under uvloop; smtpd has its memory: queue and no runner, aiosmtpd its Sink handler.  What the kernel holds for
its sockets is in neither.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import socket
import ssl
import sys
import tempfile
from pathlib import Path

import rounds
from measure import at_rest, memory
from services import Aiosmtpd, Program, Smtpd, Tls

CONFIG = """\
[queue]
spool = "memory:"
{tls}
[[listen]]
address = "127.0.0.1:{{port}}"
max_connections = {limit}
max_connections_per_client = 0
{implicit}
"""


def start(service: str, way: str, tls: Tls | None, options: argparse.Namespace) -> Program:
    """The service, running."""
    if service == "aiosmtpd":
        more = ["--certificate", tls.certificate, "--key", tls.key] if tls else []
        return Aiosmtpd(options.under, *more, *(["--implicit"] if way == "implicit" else []))
    config = CONFIG.format(
        limit=options.connections + 100,
        tls=f'[tls]\ncertificate = ["{tls.certificate}"]\nkey = ["{tls.key}"]' if tls else "",
        implicit='tls = "implicit"' if way == "implicit" else "",
    )
    return Smtpd(config, options.under, "--no-runner", source=options.source)


def connect(port: int, way: str, context: ssl.SSLContext) -> socket.socket:
    """A client that has said EHLO and waits."""
    client = socket.create_connection(("127.0.0.1", port), timeout=60)
    if way == "implicit":
        client = context.wrap_socket(client, server_hostname="localhost")
    _answered(client, b"220")
    if way == "starttls":
        _say(client, b"EHLO idle.example.test\r\n", b"250")
        _say(client, b"STARTTLS\r\n", b"220")
        client = context.wrap_socket(client, server_hostname="localhost")
    _say(client, b"EHLO idle.example.test\r\n", b"250")
    return client


def _say(client: socket.socket, command: bytes, code: bytes) -> None:
    client.sendall(command)
    _answered(client, code)


def _answered(client: socket.socket, code: bytes) -> None:
    got = b""
    # The last line of a reply has a space behind its code.
    while not (got.endswith(b"\r\n") and got[:-2].rpartition(b"\n")[2][3:4] in (b" ", b"")):
        more = client.recv(4096)
        if not more:
            break
        got += more
    if not got.startswith(code):
        raise SystemExit(f"idle.py: expected {code.decode()}, got {got!r}")


def run(service: str, way: str, tls: Tls | None, options: argparse.Namespace) -> dict[str, float]:
    """One run: what the process has grown by, in octets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    program = start(service, way, tls, options)
    clients: list[socket.socket] = []
    try:
        for _ in range(10):  # what is loaded or allocated for the first one is no connection's cost
            connect(program.port, way, context).close()
        at_rest(program.pid)
        before = memory(program.pid)
        clients += [connect(program.port, way, context) for _ in range(options.connections)]
        at_rest(program.pid)
        after = memory(program.pid)
    finally:
        for client in clients:
            client.close()
        program.stop()
    return {name.lower(): float(after[name] - before[name]) for name in ("Rss", "Pss")}


def main() -> int:
    """Run, and print the table; returns the exit status."""
    parser = argparse.ArgumentParser(description="memory of idle connections")
    parser.add_argument("--connections", type=int, default=2000, help="default 2000")
    parser.add_argument("--runs", type=int, default=3, help="of each (default 3)")
    parser.add_argument("--tls", action="store_true", help="with STARTTLS and implicit TLS too")
    parser.add_argument("--services", default="mether,aiosmtpd", help="which, by commas")
    parser.add_argument("--source", metavar="DIRECTORY", help="smtpd of another source tree")
    parser.add_argument("--under", default=tempfile.gettempdir(), help="where files lie")
    parser.add_argument("--json", metavar="FILE", help="write every figure there")
    options = parser.parse_args()

    # Servers started from here inherit it.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = options.connections + 200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SystemExit(f"idle.py: the limit on open files is {hard}, {wanted} are needed")
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (max(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[0]), hard)
    )
    ways = ["plain", *(["starttls", "implicit"] if options.tls else [])]
    services = options.services.split(",")
    cases = [f"{way}, {service}" for way in ways for service in services]
    with tempfile.TemporaryDirectory(dir=options.under) as directory:
        tls = Tls(directory) if options.tls else None

        def case(name: str) -> dict[str, float]:
            way, service = name.split(", ")
            return run(service, way, None if way == "plain" else tls, options)

        runs = rounds.interleaved(cases, options.runs, case)
    print(f"{'':26}{'RSS MiB':>10}{'PSS MiB':>10}{'KiB each':>10}")
    middle = {}
    for name, of in runs.items():
        middle[name] = rounds.medians(of)
        rss, pss = middle[name]["rss"], middle[name]["pss"]
        print(f"{name:26}{rss / 2**20:10.1f}{pss / 2**20:10.1f}{rss / 1024 / options.connections:10.2f}")
    print(
        f"{options.connections} idle connections after EHLO, median of {options.runs} runs; "
        f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}"
    )
    if options.json:
        result = {"options": vars(options), "medians": middle, "all": runs}
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
