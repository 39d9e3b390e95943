"""What starting a one-shot program costs: `smtp`, `smtpqer -n` and `sendmail` beside a bare interpreter and
smtplib.

    .venv/bin/python bench/startup.py [RUNS]

Each run is a process of its own, from before its fork to its end; runs are interleaved, and what is shown
are medians of wall and CPU time and their ratio to ``python3 -I -c pass``.  Bytecode is compiled
first, as every installation has it.  Both senders talk to one tiny sink in another process; smtpqer
and sendmail write and sync a queue in SQLite on the file system of the current directory, and how long the
disk needs for one sync is shown beside it; sendmail reads a configuration with a smart host too.  The demand,
for all but sendmail: at most 2 times the bare interpreter, and less than smtplib.
"""

from __future__ import annotations

import compileall
import os
import shutil
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from measure import sync_microseconds

import mether

MESSAGE = b"From: <a@example.org>\nSubject: hi\n\nHello.\n"
SMTPLIB = (
    "import smtplib, sys\n"
    "with smtplib.SMTP({host!r}, {port}) as server:\n"
    "    server.sendmail('a@example.org', ['b@example.net'], sys.stdin.buffer.read())\n"
)


def sink(listener: socket.socket) -> None:
    """Take every message of every client, one client after the other, and forget it."""
    while True:
        client, _ = listener.accept()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with client, client.makefile("rb") as lines:
            client.sendall(b"220 sink ESMTP\r\n")
            content = False
            for line in lines:
                verb = line[:4].upper()
                if content:
                    if line != b".\r\n":
                        continue
                    content = False
                    client.sendall(b"250 2.0.0 ok\r\n")
                elif verb == b"EHLO":
                    client.sendall(b"250-sink\r\n250-PIPELINING\r\n250-SIZE 0\r\n250 8BITMIME\r\n")
                elif verb == b"DATA":
                    content = True
                    client.sendall(b"354 go ahead\r\n")
                else:
                    client.sendall(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


def once(argv: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Run a program with the message on standard input; wall and CPU milliseconds."""
    source, target = os.pipe()
    os.write(target, MESSAGE)
    os.close(target)
    null = os.open(os.devnull, os.O_WRONLY)
    began = time.perf_counter()
    pid = os.posix_spawn(
        argv[0],
        argv,
        environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, null, 1)],
    )
    _, status, used = os.wait4(pid, 0)
    wall = time.perf_counter() - began
    os.close(source)
    os.close(null)
    if status:
        sys.exit(f"startup.py: {' '.join(argv)}: status {os.waitstatus_to_exitcode(status)}")
    return wall * 1e3, (used.ru_utime + used.ru_stime) * 1e3


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    bin = Path(sys.executable).parent
    python = str(bin / "python3")
    compileall.compile_dir(os.path.dirname(mether.__file__), quiet=1)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "METHER"))}
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    port = listener.getsockname()[1]
    child = os.fork()
    if child == 0:
        sink(listener)
    spool = tempfile.mkdtemp(prefix="startup-", dir=".")
    envelope = ["a@example.org", "b@example.net"]
    config = os.path.join(spool, "mether.toml")
    Path(config).write_text('[[route]]\nsmtp = "smtp.example.net:587"\n')
    programs = {
        "python3 -I -c pass": [python, "-I", "-c", "pass"],
        "smtp": [str(bin / "smtp"), f"127.0.0.1:{port}", *envelope],
        "smtpqer -n": [str(bin / "smtpqer"), "--spool", f"sqlite:{spool}", "-n", "mx.example.net", *envelope],
        "sendmail": [
            str(bin / "sendmail"),
            "-C",
            config,
            "--spool",
            f"sqlite:{spool}/mail",
            "-odq",
            envelope[1],
        ],
        "smtplib": [python, "-c", SMTPLIB.format(host="127.0.0.1", port=port)],
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    try:
        for number in range(runs + 2):
            for name, argv in programs.items():
                result = once(argv, environ)
                if number > 1:  # the first ones fill the caches
                    took[name].append(result)
        sync = sync_microseconds(spool)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        shutil.rmtree(spool)
    wall = {name: statistics.median(each[0] for each in results) for name, results in took.items()}
    cpu = {name: statistics.median(each[1] for each in results) for name, results in took.items()}
    bare = next(iter(programs))
    print(f"{'':20} {'wall ms':>8} {'ratio':>6} {'CPU ms':>8} {'ratio':>6}")
    for name in programs:
        print(
            f"{name:20} {wall[name]:8.1f} {wall[name] / wall[bare]:6.2f}"
            f" {cpu[name]:8.1f} {cpu[name] / cpu[bare]:6.2f}"
        )
    print(f"medians of {runs} interleaved runs; one sync of this file system takes {sync / 1000:.1f} ms")


if __name__ == "__main__":
    main()
