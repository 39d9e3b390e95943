"""The hosts file (hosts(5)): names that are connected to directly, without asking the DNS for an MX.

`parse` is pure; `Hosts` reads the file when first asked and again when it has changed.  A file that is
missing or cannot be read is an empty one, and lines that make no sense are passed over, as every
resolver does: the hosts file is not ours to complain about.
"""

from __future__ import annotations

import os

from mether.address import AddressError, ascii_domain, literal_ip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PATH: Final = "/etc/hosts"
MAX_SIZE: Final = 16 * 1024 * 1024
"""Octets read: lists of advertisers' hosts reach a few million."""


def parse(text: str) -> dict[str, tuple[str, ...]]:
    """The addresses of each name, in the file's order; names in lower case without a last dot."""
    names: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *hosts = line.partition("#")[0].split()[:64] or [""]
        ip = address.partition("%")[0]
        if not hosts or (literal_ip(f"[{ip}]") or literal_ip(f"[IPv6:{ip}]")) is None:
            continue
        for host in hosts:
            host = host.lower().removesuffix(".")
            known = names.get(host, ())
            if host and address not in known:
                names[host] = (*known, address)
    return names


class Hosts:
    """The hosts file at `path`."""

    __slots__ = ("_names", "_stamp", "path")

    def __init__(self, path: str = PATH) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._names: dict[str, tuple[str, ...]] = {}

    def lookup(self, name: str) -> tuple[str, ...]:
        """The addresses of a host name, empty when the file does not have it.  Never raises."""
        try:
            name = ascii_domain(name).removesuffix(".")
        except AddressError:
            return ()
        self._refresh()
        return self._names.get(name, ())

    def __contains__(self, name: str) -> bool:
        return bool(self.lookup(name))

    def _refresh(self) -> None:
        try:
            found = os.stat(self.path)
            stamp = (found.st_mtime_ns, found.st_ino, found.st_size)
            if stamp == self._stamp:
                return
            with open(self.path, encoding="utf-8", errors="replace") as file:
                self._names = parse(file.read(MAX_SIZE))
            self._stamp = stamp
        except OSError:
            self._names, self._stamp = {}, None
