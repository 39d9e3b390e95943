"""What a service manager is told of a daemon, and how often it wants a sign of life (sd_notify(3)).

A `Notifier` sends datagrams to the socket in ``$NOTIFY_SOCKET``, a path or with ``@`` an abstract name:
READY=1, RELOADING=1, STOPPING=1, STATUS= and WATCHDOG=1.  Where there is no such variable it does nothing.
`taken` also takes the variables out of the environment, so that no program we start speaks for us.  Nothing
here fails: a manager that does not listen misses it.
"""

from __future__ import annotations

import os
import socket
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Notifier:
    """Tells the manager at `address` ("" for none); `watchdog` seconds may pass between two signs of life, 0
    when none are wanted."""

    def __init__(self, address: str = "", watchdog: float = 0.0) -> None:
        self.watchdog = watchdog if address else 0.0
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """It works, after the start or a reload."""
        self._send("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """It reads its configuration again; `ready` ends that."""
        at = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={at}")

    def stopping(self, status: str) -> None:
        """It ends."""
        self._send("STOPPING=1", f"STATUS={status}")

    def alive(self) -> None:
        """A sign of life."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        text = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(text.encode("utf-8", "replace"), self._address)
        except (OSError, ValueError):
            pass


def taken(environ: MutableMapping[str, str] = os.environ, *, pid: int | None = None) -> Notifier:
    """The notifier that the environment asks for, which then no longer does."""
    address = environ.pop("NOTIFY_SOCKET", "")
    wanted = environ.pop("WATCHDOG_USEC", "")
    whose = environ.pop("WATCHDOG_PID", "")
    ours = not whose or whose == str(os.getpid() if pid is None else pid)
    seconds = int(wanted) / 1e6 if ours and wanted.isascii() and wanted.isdigit() else 0.0
    return Notifier(address if address[:1] in ("/", "@") else "", seconds)
