"""The listening sockets of a configuration, opened, kept over a reload, and closed.

A `Place` is one ``[[listen]]``: its sockets, one set for each worker, and what it is called.  `opened` opens
what a configuration names and is not open yet; what it names no more is closed by `Place.end`, which answers
whoever waits in its backlog with 421 4.3.2.  A Unix socket is one for all workers, and its file is removed by
whoever made it.

Fails with CannotListen, one line.
"""

from __future__ import annotations

import os

from mether.event import mail as event
from mether.net import backlog, unix
from mether.server.dialogue import SHUTTING_DOWN
from mether.setup import endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Mapping
    from typing import Final

    from mether.setup.listen import Listen

    Key = tuple[str, int]

BACKLOG: Final = 1024


class CannotListen(Exception):
    """A listening socket can't be had; str() says which and why."""

    sysexit = 69


class Place:
    """One listening address: the `sockets` of each worker, and the `addresses` they are bound to, as text."""

    def __init__(self, listen: Listen, workers: int) -> None:
        """Raises CannotListen."""
        self.listen = listen
        self.addresses: list[str] = []
        self._file: tuple[int, int] | None = None
        try:
            if listen.path:
                made = unix.listening(listen.path, listen.mode, BACKLOG)
                self._file = unix.identity(listen.path)
                self.sockets = [[made] for _ in range(workers)]
                self.addresses.append(listen.address)
                return
            self.sockets = backlog.listening(listen.host, listen.port, BACKLOG, workers)
        except OSError as error:
            raise CannotListen(f"cannot listen on {listen.address}: {backlog.why(error)}") from None
        for sock in self.sockets[0]:
            host, port = sock.getsockname()[:2]
            self.addresses.append(endpoint.written(host, port))

    def adopt(self, listen: Listen) -> None:
        """Go by another ``[[listen]]`` of the same address."""
        if listen.path and listen.mode != self.listen.mode and unix.identity(listen.path) == self._file:
            try:
                os.chmod(listen.path, listen.mode)
            except OSError as error:
                event.warning(f"{listen.path}: cannot change its mode: {backlog.why(error)}")
        self.listen = listen

    def end(self) -> None:
        """Answer those who wait, and close."""
        if self.listen.path:
            unix.remove(self.listen.path, self._file)
        for sock in self._each():
            dismiss(sock, self.listen)
        self.close()

    def close(self) -> None:
        """Close the sockets of this process; where others have them too they stay."""
        for sock in self._each():
            sock.close()
        self.sockets = []

    def forget(self, worker: int) -> list[socket.socket]:
        """Close what belongs to the other workers; the sockets of this one."""
        mine = self.sockets[worker]
        for sock in self._each():
            if sock not in mine:
                sock.close()
        self.sockets = []
        return mine

    def _each(self) -> list[socket.socket]:
        return list(dict.fromkeys(sock for mine in self.sockets for sock in mine))


def dismiss(sock: socket.socket, listen: Listen) -> None:
    """Answer those who wait in the backlog of a socket that is about to be closed, with 421 4.3.2."""
    for address in backlog.dismiss(sock, b"" if listen.tls == "implicit" else SHUTTING_DOWN.encode()):
        event.rejected(address, "CONNECT", SHUTTING_DOWN)


def keys(listen: Iterable[Listen]) -> dict[Key, Listen]:
    """The ``[[listen]]`` of a configuration, each under its address and how many of that came before: any
    free port may be asked for more than once."""
    found: dict[Key, Listen] = {}
    for one in listen:
        number = 0
        while (one.address, number) in found:
            number += 1
        found[one.address, number] = one
    return found


def opened(listen: Iterable[Listen], there: Mapping[Key, Place], workers: int) -> dict[Key, Place]:
    """The places that are not there yet.  Raises CannotListen, and then none was opened."""
    made: dict[Key, Place] = {}
    try:
        for key, one in keys(listen).items():
            if key not in there:
                made[key] = Place(one, workers)
    except CannotListen:
        for place in made.values():
            place.end()
        raise
    return made


def kept(
    there: Mapping[Key, Place], opened: Mapping[Key, Place], listen: Iterable[Listen]
) -> dict[Key, Place]:
    """The places of a configuration, of those that were there and those opened for it, each going by it."""
    found: dict[Key, Place] = {}
    for key, one in keys(listen).items():
        place = found[key] = opened.get(key) or there[key]
        place.adopt(one)
    return found


def addresses(there: dict[Key, Place]) -> list[str]:
    """What is listened on."""
    return [one for place in there.values() for one in place.addresses]


def tell(before: dict[Key, Place], after: dict[Key, Place]) -> None:
    """Say in the log what is listened on that was not, and what no more."""
    old, new = addresses(before), addresses(after)
    for one in new:
        if one not in old:
            event.noted(f"listens on {one} too")
    for one in old:
        if one not in new:
            event.noted(f"no longer listens on {one}")


def status(there: dict[Key, Place], workers: int = 1) -> str:
    """What a service manager shows of a service that works."""
    with_workers = f", {workers} workers" if workers > 1 else ""
    return f"listening on {', '.join(addresses(there))}{with_workers}"
