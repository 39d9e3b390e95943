"""A connection under asyncio: octets, flow control, and one deadline.

`Stream` is an `asyncio.Protocol` of our own rather than a StreamReader: half the cost, and nothing that
was read before a TLS handshake can hide in a buffer behind our back.  Subclasses say what to do with
octets (`data_received`), with their end (`ended`), with the loss of the connection (`lost`) and
when the deadline passes (`timed_out`).

The deadline is one number: setting it costs nothing, and a single timer looks at it now and then.
Nothing here raises; a lost connection shows as `lost`.

`start_tls` puts TLS between the stream and its transport, from that call on: nothing is read or written in
clear after it.  It comes to `secured` or to `insecure`; until then the stream gets no octets and sends none.
"""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mether.net.tls import Security, Terms
    from mether.net.tlserror import TlsError

WRITE_LIMIT = 256 * 1024
"""Octets of unsent output beyond which `writable` is false."""

_NEVER: Final = float("inf")


class Stream(asyncio.Protocol):
    """One connection; `transport` is None once it is lost, `secure` None while it is in clear.

    `presented` is the peer's address and port as a trusted proxy said them, in place of the connection's.
    """

    transport: asyncio.Transport | None = None
    writable = True
    secure: Security | None = None
    presented: tuple[str, int] | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = _NEVER
        self.reading = True

    def ended(self) -> None:
        """The peer will send no more; the connection stays open for writing."""

    def lost(self) -> None:
        """The connection is gone."""

    def drained(self) -> None:
        """Output may be written again after `writable` was false."""

    def timed_out(self) -> None:
        """The deadline has passed; the default ends the connection."""
        self.abort()

    def secured(self) -> None:
        """The TLS handshake is done; `secure` says what came of it."""

    def insecure(self, error: TlsError) -> None:
        """The TLS handshake has failed, and the connection is closing; `lost` will follow."""

    @property
    def peer(self) -> tuple[str, int]:
        """The peer's IP address and port; ("", 0) where there is none (a Unix socket)."""
        return self.presented or _name(self.transport, "peername")

    @property
    def local(self) -> str:
        """The IP address of our end; "" where there is none (a Unix socket)."""
        return _name(self.transport, "sockname")[0]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is there."""
        self.transport = transport  # type: ignore[assignment]  # uvloop's is no asyncio.Transport
        transport.set_write_buffer_limits(WRITE_LIMIT)  # type: ignore[attr-defined]

    def eof_received(self) -> bool:
        """asyncio: the peer has ended its side; ours stays open for the replies it still awaits."""
        self.ended()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: gone."""
        self.transport = None
        self.writable = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._looked_at = None, _NEVER
        self.lost()

    def pause_writing(self) -> None:
        """asyncio: too much output waits."""
        self.writable = False

    def resume_writing(self) -> None:
        """asyncio: there is room for output again."""
        self.writable = True
        self.drained()

    def write(self, data: bytes) -> None:
        """Send octets, if the connection is still there."""
        if self.transport is not None and data:
            self.transport.write(data)

    def close(self) -> None:
        """Send what waits, then end the connection."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def read(self, wanted: bool) -> None:
        """Read from the peer, or let what it sends wait in the kernel."""
        if wanted != self.reading and self.transport is not None:
            self.reading = wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def start_tls(self, terms: Terms, timeout: float) -> None:
        """Begin a TLS handshake, which has `timeout` seconds; in `terms` is which side we are.

        What was written before is sent in clear, what comes from now on is TLS.  The caller makes sure that
        no plaintext which was read before waits to be looked at (checklist TLS-3).
        """
        if self.transport is None:
            return
        from mether.net.tlsstream import Layer

        below = self.transport
        layer = Layer(self, below, terms, timeout)
        self.transport = layer  # type: ignore[assignment]  # as much of a transport as a stream uses
        below.set_protocol(layer)
        self.read(True)
        layer.start()

    def set_deadline(self, seconds: float | None) -> None:
        """Call `timed_out` in so many seconds, unless this is set again; None: never."""
        if seconds is None:
            self._deadline = 0.0
            return
        self._deadline = deadline = self.loop.time() + seconds
        if deadline < self._looked_at:
            if self._timer is not None:
                self._timer.cancel()
            self._look_again()

    def _look_again(self) -> None:
        self._looked_at = self._deadline
        self._timer = self.loop.call_at(self._deadline, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer, self._looked_at = None, _NEVER
        if not self._deadline or self.transport is None:
            return
        if self.loop.time() >= self._deadline:
            self._deadline = 0.0
            self.timed_out()
        else:
            self._look_again()


def _name(transport: asyncio.BaseTransport | None, which: str) -> tuple[str, int]:
    name: Any = transport.get_extra_info(which) if transport is not None else None
    if isinstance(name, tuple) and len(name) >= 2:
        return str(name[0]).partition("%")[0], int(name[1])
    return "", 0
