"""Connecting to a server, for a session under asyncio.

`connect` takes one address, `connect_first` all of a host's: the attempts begin one after the other, a
quarter of a second apart, and the first that succeeds ends the others (`client.eyeballs`, RFC 8305).  So a
family of addresses that leads nowhere is no failure while the other answers (checklist MX-9).

Both give a `client.stream.StreamClient` whose greeting is still to come: a server that accepts and then says
nothing has won.  Raises `Lost`: of kind "connect" when the server cannot be reached, "shortage" when we have
no descriptor, memory or port left for a connection, and "source" when this host has not the address to
connect from; the last two say nothing of the server.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from mether.client.eyeballs import Race
from mether.client.session import Lost, Timeouts
from mether.client.stream import StreamClient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from mether.net.tls import Terms

_SHORT: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRINUSE))
"""The last where all ports of a source address are in use."""


async def connect(
    loop: asyncio.AbstractEventLoop,
    address: str,
    port: int,
    timeouts: Timeouts,
    terms: Terms | None = None,
    *,
    shown: str = "",
    source: str = "",
) -> StreamClient:
    """Connect to an IP address, or to a Unix socket when `port` is 0.  Raises Lost, naming it as `shown`.

    With `terms` TLS begins with the connection (RFC 8314 section 3); a handshake that fails shows at `hello`.
    `source` is the IP address to connect from, "" to leave that to the system.
    """

    def make() -> StreamClient:
        return StreamClient(loop, timeouts, address, terms)

    try:
        async with asyncio.timeout(timeouts.connect):
            if port:
                here = (source, 0) if source else None
                _, made = await loop.create_connection(make, address, port, local_addr=here)
            else:
                _, made = await loop.create_unix_connection(make, address)
    except TimeoutError:
        raise Lost("connect", "", f"connecting to {shown or address} took too long") from None
    except OSError as error:
        if source and not _has(source):
            why = os.strerror(errno.EADDRNOTAVAIL)
            raise Lost("source", "", f"cannot send from {source} to {shown or address}: {why}") from None
        kind = "shortage" if _ours(error, address, port) else "connect"
        # In the system's words: asyncio has its own, which name the address once more.
        why = os.strerror(error.errno) if error.errno is not None else str(error)
        raise Lost(kind, "", f"connecting to {shown or address}: {why}") from None
    return made


async def connect_first(
    loop: asyncio.AbstractEventLoop,
    addresses: Sequence[str],
    port: int,
    timeouts: Timeouts,
    terms: Terms | None = None,
    *,
    shown: Callable[[str], str] = str,
    source: Callable[[str], str] = lambda address: "",
) -> StreamClient:
    """Connect to the first address that answers; the client's `passed` are those that failed before.

    `shown` says how an address is named to a person, `source` from which of ours it is connected to.  Raises
    Lost, in the words of every attempt.
    """

    def attempt(address: str) -> asyncio.Task[StreamClient]:
        return loop.create_task(
            connect(loop, address, port, timeouts, terms, shown=shown(address), source=source(address))
        )

    race = Race(addresses, loop.time())
    running: dict[asyncio.Task[StreamClient], str] = {}
    failed: dict[str, Lost] = {}
    try:
        while not race.over:
            while (address := race.begin(loop.time())) is not None:
                running[attempt(address)] = address
            done, _ = await asyncio.wait(
                running, timeout=race.wait(loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
            for task in sorted(done, key=list(running).index):
                error = task.exception()
                if error is None:
                    running.pop(task)
                    made = task.result()
                    made.passed = tuple(failed)
                    return made
                address = running.pop(task)
                if not isinstance(error, Lost):
                    raise error
                race.failed(loop.time())
                failed[address] = error
                if error.kind == "shortage":
                    race.stop()  # no other address fares better
    finally:
        for task in running:
            task.add_done_callback(_drop)
            task.cancel()
    kinds = {one.kind for one in failed.values()}
    kind = "shortage" if "shortage" in kinds else "source" if kinds == {"source"} else "connect"
    raise Lost(kind, "", "; ".join(map(str, failed.values())))


def _drop(task: asyncio.Task[StreamClient]) -> None:
    """Close the connection of one that came too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()


def _has(source: str) -> bool:
    """Whether this host has the address."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind((source, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


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
