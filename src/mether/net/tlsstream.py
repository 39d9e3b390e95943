"""TLS between a `Stream` and its transport, under asyncio and uvloop alike.

`Layer` is the protocol of the transport below and the transport of the stream above.  It takes the place of
`loop.start_tls` for four reasons: the change from plain to TLS happens within one call, so that no octet
can be read in between (CVE-2011-0411); a session can be resumed; asyncio's own sets 256 KiB aside for each
connection, and this what OpenSSL needs; and there is one behaviour where the loops have two.

`Stream.start_tls` makes it.  When the handshake is done it calls the stream's `secured`, when it fails
`insecure`, with the connection then already closing.  Octets that the stream writes before the handshake is
done are dropped, never sent in clear.  An end without TLS's own goodbye (close_notify) counts as the end:
SMTP says itself what is complete.
"""

from __future__ import annotations

import asyncio
import ssl

from mether.net.tlserror import TlsError, explain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from mether.net.stream import Stream
    from mether.net.tls import Terms

RECORD: Final = 16 * 1024
"""The octets in a TLS record at most (RFC 8446 section 5.1)."""


class Layer(asyncio.Protocol):
    """One session of TLS."""

    __slots__ = (
        "_ended",
        "_established",
        "_incoming",
        "_object",
        "_outgoing",
        "_stream",
        "_terms",
        "_timer",
        "_transport",
    )

    def __init__(self, stream: Stream, transport: asyncio.Transport, terms: Terms, timeout: float) -> None:
        self._stream = stream
        self._transport: asyncio.Transport | None = transport
        self._terms = terms
        self._established = False
        self._ended = False
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object: ssl.SSLObject | None = None
        self._timer: asyncio.TimerHandle | None = stream.loop.call_later(timeout, self._too_slow)

    def start(self) -> None:
        """Begin the handshake."""
        try:
            self._object = self._terms.object(self._incoming, self._outgoing)
        except (TlsError, ssl.SSLError, ValueError) as error:
            self._failed(error)
            return
        self._shake(self._object)

    # The protocol of the transport below.

    def data_received(self, data: bytes) -> None:
        """asyncio: octets from the peer."""
        made = self._object
        if made is None:
            return
        self._incoming.write(data)
        if not self._established:
            self._shake(made)
            if not self._established:
                return
        self._read(made)

    def eof_received(self) -> bool:
        """asyncio: the peer has ended its side."""
        if not self._established:
            self._failed(ConnectionResetError())
            return False
        if self._object is None:
            return False
        return True if self._ended else self._stream.eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: gone."""
        if not self._established:
            self._failed(ConnectionResetError())
        made, self._object = self._object, None
        self._transport = None
        if made is not None:
            self._terms.ending(made)
        self._stream.connection_lost(error)

    def pause_writing(self) -> None:
        """asyncio: too much output waits."""
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        """asyncio: there is room again."""
        self._stream.resume_writing()

    # The transport of the stream above.

    def write(self, data: bytes) -> None:
        """Send octets; before the handshake is done and after the end they are dropped."""
        made = self._object
        if made is None or not self._established:
            return
        try:
            sent = made.write(data)
            if sent < len(data):
                view = memoryview(data)
                while sent < len(data):
                    sent += made.write(view[sent:])
        except ssl.SSLError:
            self.abort()
            return
        self._flush()

    def close(self) -> None:
        """Say goodbye and close, once what waits has been sent."""
        if self._transport is None or self._transport.is_closing():
            return
        if self._object is None or not self._established:
            self.abort()
            return
        try:
            self._object.unwrap()
        except (ssl.SSLError, ValueError):
            pass  # what the peer still has to say does not matter any more
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._cancel()
        if self._transport is not None:
            self._transport.abort()

    def is_closing(self) -> bool:
        """Whether the connection is closing or closed."""
        return self._transport is None or self._transport.is_closing()

    def pause_reading(self) -> None:
        """Let what the peer sends wait in the kernel."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the transport below knows."""
        return self._transport.get_extra_info(name, default) if self._transport is not None else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set them on the transport below."""
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high, low)

    # Inside.

    def _shake(self, made: ssl.SSLObject) -> None:
        try:
            made.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except (ssl.SSLError, ValueError) as error:
            self._failed(error)
            return
        self._flush()
        try:
            security = self._terms.judge(made)
        except TlsError as error:
            self._failed(error)
            return
        self._cancel()
        self._established = True
        self._stream.secure = security
        self._stream.secured()

    def _read(self, made: ssl.SSLObject) -> None:
        """Decrypt what there is and hand it over in one piece."""
        pieces = []
        ended = False
        incoming = self._incoming
        try:
            while incoming.pending or made.pending():
                data = made.read(RECORD)
                if not data:
                    ended = True
                    break
                pieces.append(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            ended = True
        except ssl.SSLError:
            # What came before the damage is whole; what follows can't be.
            if pieces:
                self._stream.data_received(b"".join(pieces))
            self._flush()
            self.abort()
            return
        if self._outgoing.pending:
            self._flush()
        if pieces:
            self._stream.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if ended and not self._ended:
            self._ended = True  # the end of the connection, which follows, says nothing new
            if not self.is_closing():
                self._stream.eof_received()

    def _flush(self) -> None:
        if self._transport is not None and self._outgoing.pending:
            self._transport.write(self._outgoing.read())

    def _failed(self, error: Exception) -> None:
        """The handshake is over, and was in vain; tell the peer by an alert, and the stream."""
        if self._timer is None:
            return  # it was told already, or is no more wanted
        self._cancel()
        self._object = None
        if self._transport is not None:
            self._flush()
            self._transport.close()
        self._stream.insecure(explain(error))

    def _too_slow(self) -> None:
        self._failed(TimeoutError())
        self.abort()

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
