"""Addresses from which routes connect, held against those that this host has: for ``mether config --check``.

A host may get one later, when a link comes up: `complaints` are warnings, and mail waits meanwhile (4.3.5).
"""

from __future__ import annotations

import errno
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mether.setup.config import Config


def has(address: str) -> bool:
    """Whether this host has the IP address; True where that cannot be told."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as bound:
            bound.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


def complaints(config: Config, *, has: Callable[[str], bool] = has) -> Iterator[str]:
    """A line for each source that this host lacks."""
    for number, route in enumerate(config.route):
        for index, address in enumerate(route.source or ()):
            if not has(address):
                key = f"route[{number}].source"
                where = config.origins.get(f"{key}[{index}]") or config.origins.get(key, config.path)
                yield f"{where}: route.source: this host does not have the address {address}: mail waits"
