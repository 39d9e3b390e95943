"""A connection that may come through a proxy: its PROXY header is read before anything else happens.

`Proxied` is the protocol of a new connection on a listener that has proxies.  From an address that is none
of them it makes the real connection at once, and no header is understood.  From a proxy it waits for the
header (`net.proxy`), at most HEADER_SECONDS; then the real connection begins, as if the client itself were at
the other end, with the octets behind the header: TLS and the greeting come after.

A proxy that sends no good header is cut without a word, and `refused` is told why.  While it waits a
connection is in no count of sessions; only listed proxies can make such ones.
"""

from __future__ import annotations

from mether.net.proxy import Header, ProxyError
from mether.net.stream import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Final

HEADER_SECONDS: Final = 10.0
"""How long a proxy may take for its header, which it sends before all else."""


class Proxied(Stream):
    """A connection whose client is not known yet.

    `is_proxy` says which addresses speak for others; `make` makes the real connection; `refused` gets the
    proxy's address and what was wrong.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        is_proxy: Callable[[str], bool],
        make: Callable[[], Stream],
        refused: Callable[[str, str], None],
    ) -> None:
        super().__init__(loop)
        self._is_proxy = is_proxy
        self._make = make
        self._refused = refused
        self._header = Header()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: somebody is there."""
        super().connection_made(transport)
        if self._is_proxy(self.peer[0]):
            self.set_deadline(HEADER_SECONDS)
        else:
            self._hand_over(None, b"")

    def data_received(self, data: bytes) -> None:
        """asyncio: octets of the header."""
        try:
            source = self._header.feed(data)
        except ProxyError as error:
            self._cut(str(error))
            return
        if source is not None:
            presented = None if source.local else (source.address, source.port)
            self._hand_over(presented, source.rest)

    def ended(self) -> None:
        """The proxy will send no more."""
        self._cut("the connection ended before it")

    def timed_out(self) -> None:
        """The proxy was silent for too long."""
        self._cut(f"none within {HEADER_SECONDS:g} seconds")

    def _cut(self, why: str) -> None:
        self._refused(self.peer[0], f"PROXY header: {why}")
        self.abort()

    def _hand_over(self, presented: tuple[str, int] | None, rest: bytes) -> None:
        """Let the real connection begin, with what came behind the header."""
        transport = self.transport
        assert transport is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.transport = None
        stream = self._make()
        stream.presented = presented
        transport.set_protocol(stream)
        stream.connection_made(transport)
        if rest and not transport.is_closing():  # a client that is not let in is cut at once
            # Whoever is the transport's protocol by now: TLS may have begun.
            transport.get_protocol().data_received(rest)  # type: ignore[attr-defined]
