"""Waking: a datagram to a socket in the spool tells another process that there is work.

A process that waits binds ``wake/OWNER.sock``; `wake` sends one empty datagram to every such socket but
its own.  A datagram says no more than "look": it may be lost, and many are as good as one, so a
full socket buffer is a success.  A socket that nobody listens on any more is removed.

A spool's path may be longer than a socket's name can be (107 octets): then the socket is named through
``/proc/self/fd``.  Where there is no such thing `Wake.fileno` raises OSError.
"""

from __future__ import annotations

import _socket
import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_NAME: Final = 104
"""Octets of a socket's name that every system takes (sun_path holds 104 to 108)."""

_SUFFIX = ".sock"


class Wake:
    """The sockets in `directory`, seen by the one named `name`.

    `wake` may be called in another thread than `wait` and `fileno`.
    """

    def __init__(self, directory: str, name: str) -> None:
        self._directory = directory
        self._name = name + _SUFFIX
        self._sock: _socket.socket | None = None

    def fileno(self) -> int:
        """A descriptor that is readable when a wake has come.  Raises OSError."""
        return self._listen().fileno()

    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds; True when woken.  All wakes so far are taken.  Raises OSError."""
        sock = self._listen()
        ready = select.poll()
        ready.register(sock.fileno(), select.POLLIN)
        if not ready.poll(max(0.0, timeout) * 1000):
            return False
        try:
            while True:
                sock.recv(16)
        except BlockingIOError:
            return True

    def wake(self) -> int:
        """Wake all the others; returns how many there were.  Raises OSError when it cannot list them."""
        others = [
            entry for entry in os.listdir(self._directory) if entry.endswith(_SUFFIX) and entry != self._name
        ]
        if not others:
            return 0
        woken = 0
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            for entry in others:
                woken += self._send(sock, entry)
        finally:
            sock.close()
        return woken

    def close(self) -> None:
        """Stop listening.  Never raises."""
        sock, self._sock = self._sock, None
        if sock is not None:
            try:
                os.unlink(os.path.join(self._directory, self._name))
            except OSError:
                pass
            sock.close()

    def _send(self, sock: _socket.socket, entry: str) -> bool:
        try:
            with _Named(self._directory, entry) as address:
                sock.sendto(b"", address)
        except BlockingIOError:
            return True
        except ConnectionRefusedError:
            try:
                os.unlink(os.path.join(self._directory, entry))
            except OSError:
                pass
            return False
        except OSError:
            return False
        return True

    def _listen(self) -> _socket.socket:
        if self._sock is None:
            sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
            try:
                sock.setblocking(False)
                with _Named(self._directory, self._name) as address:
                    sock.bind(address)
                os.chmod(os.path.join(self._directory, self._name), 0o600)
            except OSError:
                sock.close()
                raise
            self._sock = sock
        return self._sock


class _Named:
    """A socket's address that is short enough."""

    def __init__(self, directory: str, entry: str) -> None:
        self._directory = directory
        self._entry = entry
        self._fd: int | None = None

    def __enter__(self) -> str:
        path = os.path.join(self._directory, self._entry)
        if len(os.fsencode(path)) < MAX_NAME:
            return path
        self._fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}/{self._entry}"

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)
