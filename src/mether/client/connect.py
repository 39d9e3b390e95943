"""Connecting to a server, for a session under asyncio.

`connect` gives a `client.stream.StreamClient` whose greeting is still to come.  Raises `Lost`: of kind
"connect" when the server cannot be reached, and "shortage" when we have no descriptor, memory or port left
for a connection, which says nothing of the server.
"""

from __future__ import annotations

import asyncio
import errno
import socket

from mether.client.session import Lost, Timeouts
from mether.client.stream import StreamClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.net.tls import Terms

_SHORT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))


async def connect(
    loop: asyncio.AbstractEventLoop,
    address: str,
    port: int,
    timeouts: Timeouts,
    terms: Terms | None = None,
    *,
    shown: str = "",
) -> StreamClient:
    """Connect to an IP address, or to a Unix socket when `port` is 0.  Raises Lost, naming it as `shown`.

    With `terms` TLS begins with the connection (RFC 8314 section 3); a handshake that fails shows at `hello`.
    """

    def make() -> StreamClient:
        return StreamClient(loop, timeouts, address, terms)

    try:
        async with asyncio.timeout(timeouts.connect):
            if port:
                _, made = await loop.create_connection(make, address, port)
            else:
                _, made = await loop.create_unix_connection(make, address)
    except TimeoutError:
        raise Lost("connect", "", f"connecting to {shown or address} took too long") from None
    except OSError as error:
        kind = "shortage" if _ours(error, address, port) else "connect"
        raise Lost(kind, "", f"connecting to {shown or address}: {error.strerror or error}") from None
    return made


def _ours(error: OSError, address: str, port: int) -> bool:
    """Whether we lack what any connection takes."""
    if error.errno != errno.EADDRNOTAVAIL or not port:
        return error.errno in _SHORT
    # No port is left, or none of our addresses reaches that one: then a datagram could not go there, either.
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, port))
    except OSError:
        return False
    return True
