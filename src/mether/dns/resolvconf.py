"""The system's name servers: /etc/resolv.conf (resolv.conf(5)).

`parse` is pure; `Conf` reads the file when first asked and again when it has changed, as it does when a
machine moves to another network.  A file that is missing or names no server means the one on this host, as it
does to the C library.
"""

from __future__ import annotations

import ipaddress
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PATH: Final = "/etc/resolv.conf"
PORT: Final = 53
MAX_SIZE: Final = 64 * 1024
MAX_SERVERS: Final = 3
MAX_SEARCH: Final = 6
"""Octets, servers and search domains that are looked at (the C library's MAXNS, and its former MAXDNSRCH)."""


class System:
    """What the file says: `servers` (IP addresses), `search` domains, and whether the AD bit of those servers
    is to be believed (``options trust-ad``)."""

    __slots__ = ("search", "servers", "trust_ad")

    def __init__(
        self, servers: tuple[str, ...] = (), search: tuple[str, ...] = (), *, trust_ad: bool = False
    ) -> None:
        self.servers = servers or ("127.0.0.1",)
        self.search = search
        self.trust_ad = trust_ad


def parse(text: str) -> System:
    """What a resolv.conf says.  Lines that make no sense are passed over; the last search list counts."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    trust_ad = False
    for line in text.splitlines():
        word, *rest = line.partition("#")[0].partition(";")[0].split() or [""]
        if word == "nameserver" and rest and _is_address(rest[0]):
            servers.append(rest[0])
        elif word in ("search", "domain") and rest:
            names = [name.rstrip(".").lower() for name in rest if name.strip(".")]
            search = tuple(names[: 1 if word == "domain" else MAX_SEARCH])
        elif word == "options":
            trust_ad = trust_ad or "trust-ad" in rest
    return System(tuple(servers[:MAX_SERVERS]), search, trust_ad=trust_ad)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


class Conf:
    """The file at `path`."""

    __slots__ = ("_known", "_stamp", "path")

    def __init__(self, path: str = PATH) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._known = System()

    def read(self) -> System:
        """What it says now.  Never raises."""
        try:
            found = os.stat(self.path)
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp != self._stamp:
                with open(self.path, encoding="utf-8", errors="replace") as file:
                    self._known = parse(file.read(MAX_SIZE))
                self._stamp = stamp
        except OSError:
            self._known, self._stamp = System(), None
        return self._known

    def endpoints(self) -> tuple[tuple[str, int], ...]:
        """The servers as (IP address, port)."""
        return tuple((ip, PORT) for ip in self.read().servers)
