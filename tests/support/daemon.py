"""A real smtpd in a process of its own, and a plain client: for tests of the service as a whole."""

from __future__ import annotations

import itertools
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

from mether.queue.pace import HOUR, hour

BIN = Path(sys.executable).parent

CONFIG = """\
[service]
hostname = "mx.example.com"
postmaster = "postmaster@example.com"
[queue]
spool = "{spool}"
[[listen]]
address = "127.0.0.1:0"
{listen}
[[route]]
domains = ["example.com"]
maildir = "mail/{{user}}"
{routes}
[retry]
intervals = ["1h"]
{retry}
[log]
format = "json"
"""


class Daemon:
    """smtpd in `base`, with a Maildir for each user of example.com; `lines` are its log so far.

    It is waited for through its log, a line for each event.
    """

    def __init__(
        self,
        base: Path,
        spool: str = "sqlite:spool",
        *,
        listen: str = "",
        routes: str = "",
        retry: str = "",
        arguments: tuple[str, ...] = (),
    ) -> None:
        self.base = base
        self.config = base / "mether.toml"
        self.config.write_text(CONFIG.format(spool=spool, listen=listen, routes=routes, retry=retry))
        self.lines: list[str] = []
        self.start(*arguments)

    def start(self, *arguments: str) -> None:
        """Start it, and wait until it listens."""
        self.process = subprocess.Popen(
            [str(BIN / "smtpd"), "-C", str(self.config), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self._news: SimpleQueue[str | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, args=(self.process, self._news))
        self._reader.start()
        found = re.search(r"127\.0\.0\.1:(\d+)", self.wait_for("started"))
        assert found
        self.port = int(found[1])

    @staticmethod
    def _read(process: subprocess.Popen[bytes], news: SimpleQueue[str | None]) -> None:
        assert process.stderr is not None
        with process.stderr as stream:
            for line in stream:
                news.put(line.decode())
        news.put(None)

    def wait_for(self, *words: str) -> str:
        """The next line of the log that has all these words."""
        while True:
            line = self._news.get()
            assert line is not None, f"smtpd ended with {self.process.wait()}:\n{''.join(self.lines[-20:])}"
            self.lines.append(line)
            if all(word in line for word in words):
                return line

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it with a signal; its exit status."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; its exit status."""
        status = self.process.wait()
        self._reader.join()
        while (line := self._news.get()) is not None:
            self.lines.append(line)
        return status

    def mailbox(self, user: str) -> list[bytes]:
        """The messages in a user's Maildir."""
        new = self.base / "mail" / user / "new"
        return [path.read_bytes() for path in sorted(new.iterdir())] if new.is_dir() else []


class Client:
    """A client on a blocking socket that says what it is told; `first` is sent before the greeting."""

    def __init__(self, port: int, *, first: bytes = b"") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        if first:
            self.socket.sendall(first)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def reply(self) -> str:
        """The next reply, its last line; "" at the end of the connection."""
        while True:
            line = self.file.readline().decode()
            if line[3:4] != "-":
                return line.rstrip("\r\n")

    def say(self, *lines: str) -> list[str]:
        """Send lines in one group; their replies."""
        self.socket.sendall("".join(line + "\r\n" for line in lines).encode())
        return [self.reply() for _ in lines]

    def mail(self, sender: str, *recipients: str, content: str = "Subject: hi\r\n\r\nhello") -> str:
        """A whole message; the reply to it."""
        group = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA"]
        replies = self.say(*group)
        assert replies[-1].startswith("354"), replies
        self.socket.sendall(content.encode() + b"\r\n.\r\n")
        return self.reply()

    def close(self) -> None:
        """Go away."""
        self.file.close()
        self.socket.close()


def unhurried() -> str:
    """A user whose hour of reports is not over soon."""
    now = time.time()
    return next(
        user
        for user in (f"alice{number}" for number in itertools.count())
        if hour(f"{user}@example.com", now) - now > HOUR / 2
    )
