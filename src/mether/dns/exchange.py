"""One question to one name server: by UDP, and by TCP when the answer does not fit (RFC 1035, 7766).

`ask` gives the response that belongs to the question: datagrams with another id or question are not for us
and are passed over, and the socket is connected, so that the kernel keeps out those of other hosts and tells
at once where nobody listens.  Each question has a port of its own.

It fails with `Failed`, which says what is wrong with that server, or with `dns.answer.Shortage`.  No time
limit is in here: the caller's `asyncio.timeout` ends it, and closes the socket.
"""

from __future__ import annotations

import asyncio
import errno
import os

import dns.exception
import dns.message

from mether.dns.answer import Shortage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    Server = tuple[str, int]

_SHORT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))


MAX_SIZE: Final = 16 * 1024
"""Octets of a response that are looked at; what a mail domain has to say takes a hundredth of it."""


class Failed(Exception):
    """The server gave no response that can be used; str() says why."""


class _Truncated(Exception):
    """The answer does not fit into a datagram."""


async def ask(
    loop: asyncio.AbstractEventLoop, server: Server, query: dns.message.Message
) -> dns.message.Message:
    """The response of a server, an (IP address, port) pair.  Raises Failed or Shortage."""
    try:
        try:
            return await _by_udp(loop, server, query)
        except _Truncated:
            return await _by_tcp(server, query)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno is not None else str(error)
        if error.errno in _SHORT:
            raise Shortage(f"asking the DNS: {why}") from None
        raise Failed(why) from None


class _Asked(asyncio.DatagramProtocol):
    """Waits for the datagram that answers the query."""

    def __init__(self, loop: asyncio.AbstractEventLoop, query: dns.message.Message) -> None:
        self.query = query
        self.response: asyncio.Future[dns.message.Message] = loop.create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self.response.done() or len(data) > MAX_SIZE:
            return
        try:
            found = _parse(self.query, data)
        except (Failed, _Truncated) as error:
            self.response.set_exception(error)
        else:
            if found is not None:
                self.response.set_result(found)

    def error_received(self, exc: Exception) -> None:
        if not self.response.done():
            self.response.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.response.done():
            self.response.set_exception(exc or Failed("the socket was closed"))
            self.response.exception()  # nobody may be waiting any more


async def _by_udp(
    loop: asyncio.AbstractEventLoop, server: Server, query: dns.message.Message
) -> dns.message.Message:
    transport, asked = await loop.create_datagram_endpoint(lambda: _Asked(loop, query), remote_addr=server)
    try:
        transport.sendto(query.to_wire())
        return await asked.response
    finally:
        transport.close()


async def _by_tcp(server: Server, query: dns.message.Message) -> dns.message.Message:
    reader, writer = await asyncio.open_connection(*server)
    try:
        writer.write(query.to_wire(prepend_length=True))
        size = int.from_bytes(await reader.readexactly(2), "big")
        if size > MAX_SIZE:
            raise Failed(f"its answer is too long: {size} octets")
        found = _parse(query, await reader.readexactly(size), last=True)
        if found is None:
            raise Failed("it answers another question")
        return found
    except (EOFError, _Truncated):
        raise Failed("its answer by TCP is cut off") from None
    finally:
        writer.transport.abort()


def _parse(query: dns.message.Message, data: bytes, *, last: bool = False) -> dns.message.Message | None:
    """The response in these octets, None when it is none to this query.  Raises Failed or _Truncated."""
    try:
        response = dns.message.from_wire(data, ignore_trailing=True, raise_on_truncation=True)
    except dns.message.Truncated as error:
        cut: dns.message.Message = error.kwargs["message"]
        if cut.id == query.id and (not cut.question or cut.question == query.question):
            raise _Truncated from None
        return None
    except (dns.exception.DNSException, ValueError, IndexError) as error:
        if last or data[:2] == query.id.to_bytes(2, "big"):
            raise Failed(f"its answer makes no sense: {type(error).__name__}") from None
        return None
    return response if query.is_response(response) else None
