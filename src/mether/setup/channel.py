"""Messages between the parent process and a worker, with listening sockets in them (SCM_RIGHTS).

A `Channel` is one end of a pair of connected sockets.  A message is a tuple whose first item names it; both
ends are the same program, the one forked from the other, so pickle writes it.  When the process at the other
end is gone, `receive` says so, however it ended.

`send` waits up to SECONDS for room: a process that takes nothing for so long is as good as dead.  What has
failed may have been sent by half, after which nothing could be understood: `send` fails from then on.
"""

from __future__ import annotations

import array
import errno
import pickle
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    Message = tuple[Any, ...]

SECONDS: Final = 5.0
_FDS: Final = 200
"""Descriptors in one message of the kernel's, which takes 253."""
_CHUNK: Final = 65536


class Channel:
    """One end."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._broken = False
        self._data = bytearray()
        self._fds: list[int] = []

    def fileno(self) -> int:
        """The descriptor, readable when `receive` has something to do."""
        return self._sock.fileno()

    def send(self, message: Message, sockets: Sequence[socket.socket] = ()) -> None:
        """Send a message and, as its last item on the other side, these sockets.  Raises OSError."""
        if self._broken:
            raise BrokenPipeError(errno.EPIPE, "half a message was sent")
        body = pickle.dumps((message, len(sockets)))
        frame = len(body).to_bytes(4, "big") + body
        fds = [sock.fileno() for sock in sockets]
        self._sock.settimeout(SECONDS)
        try:
            while fds:
                some, fds = fds[:_FDS], fds[_FDS:]
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", some))]
                self._sock.sendmsg([frame[:1]], rights)
                frame = frame[1:]
            self._sock.sendall(frame)
        except OSError:
            self._broken = True
            raise
        finally:
            self._sock.setblocking(False)

    def receive(self) -> tuple[list[Message], bool]:
        """The messages that have come, each with its list of sockets at the end where there are some; and
        whether the other end is still there.  Never waits, never raises."""
        space = socket.CMSG_SPACE(_FDS * 4)
        there = True
        while True:
            try:
                data, rights, _, _ = self._sock.recvmsg(_CHUNK, space, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                break
            except OSError:
                there = False
                break
            for level, kind, octets in rights:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds = array.array("i")
                    fds.frombytes(octets[: len(octets) - len(octets) % fds.itemsize])
                    self._fds.extend(fds)
            if not data:
                there = False
                break
            self._data += data
        return self._whole(), there

    def close(self) -> None:
        """Let go of it, and of sockets that no message claimed."""
        for fd in self._fds:
            socket.close(fd)
        self._fds = []
        self._sock.close()

    def _whole(self) -> list[Message]:
        messages: list[Message] = []
        while len(self._data) >= 4:
            end = 4 + int.from_bytes(self._data[:4], "big")
            if len(self._data) < end:
                break
            message, count = pickle.loads(self._data[4:end])
            del self._data[:end]
            if count:
                fds, self._fds = self._fds[:count], self._fds[count:]
                message = (*message, [socket.socket(fileno=fd) for fd in fds])
            messages.append(message)
        return messages


def pair() -> tuple[Channel, Channel]:
    """Two ends."""
    ours, theirs = socket.socketpair()
    return Channel(ours), Channel(theirs)
