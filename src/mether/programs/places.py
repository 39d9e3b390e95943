"""The addresses behind a targethost, one after the other, for a program that connects to them itself.

`find` gives a `Place` for each address: those of the host itself, of a domain's MX hosts in their order (RFC
5321 section 5.1), or a Unix socket.  It raises NoHost, with the reply that says why, when there is none.
Only a domain imports the DNS library.
"""

from __future__ import annotations

from mether.address import literal_ip
from mether.net import blocking
from mether.outcome import mta
from mether.reply import Reply
from mether.routing import target as targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mether.routing.target import Target


class NoHost(Exception):
    """There is no host to connect to; `reply` says why."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Place:
    """One address of `target` to connect to: `shown` to a person, `address` (IP or path), `port` (0: a Unix
    socket)."""

    __slots__ = ("address", "connect", "host", "port", "shown", "target")

    def __init__(
        self,
        target: Target,
        host: str,
        address: str,
        port: int,
        connect: Callable[[], blocking.Blocking],
    ) -> None:
        self.target = target
        self.host = host
        self.address = address
        self.port = port
        self.connect = connect
        self.shown = mta(host, address, port)


def sources(text: str) -> dict[int, str]:
    """The addresses to connect from in an argument, by their family: an IP address, or one of each family
    with a comma between.  Raises ValueError, for a person, unless this host has them."""
    import _socket

    found: dict[int, str] = {}
    for one in text.split(","):
        bare = literal_ip(f"[{one}]") or literal_ip(f"[IPv6:{one}]")
        if bare is None:
            raise ValueError(f"{one[:80]!r} is no IP address")
        family = _socket.AF_INET6 if ":" in bare else _socket.AF_INET
        if family in found:
            raise ValueError(
                f"{found[family]} and {bare} are of the same family; expected one of each at most"
            )
        try:
            probe = _socket.socket(family, _socket.SOCK_DGRAM)
            try:
                probe.bind((bare, 0))
            finally:
                probe.close()
        except OSError as error:
            raise ValueError(f"cannot send from {bare}: {error.strerror or error}") from None
        found[family] = bare
    return found


def find(target: Target, timeout: float, sources: Mapping[int, str] | None = None) -> Iterator[Place]:
    """The places of a target; to connect to one may take `timeout` seconds.

    With `sources`, addresses of ours by their family, places of another family are left out.  Raises NoHost.
    """
    if target.kind == "unix":
        yield Place(target, target.host, target.host, 0, lambda: blocking.connect_unix(target.host, timeout))
        return
    if targets.needs_mx(target, _in_hosts_file):
        found = _by_mx(target, timeout, sources)
    else:
        found = _direct(target, timeout, sources)
    none = True
    for place in found:
        none = False
        yield place
    if none:
        ours = " and ".join((sources or {}).values())
        what = f"{target.host} has no address that can be connected to from {ours}"
        raise NoHost(Reply(451, "4.3.5", what))


def _direct(target: Target, timeout: float, sources: Mapping[int, str] | None) -> Iterator[Place]:
    try:
        found = blocking.addresses(target.host, target.port)
    except OSError as error:
        import _socket

        # Only "no such name" is for good; the rest is the name service's trouble.
        gone = isinstance(error, _socket.gaierror) and error.errno == _socket.EAI_NONAME
        code, status = (550, "5.1.2") if gone else (451, "4.4.3")
        raise NoHost(Reply(code, status, f"the host {target.host}: {error.strerror or error}")) from None
    for one in found:
        if not sources or one[0] in sources:
            connect = _connector(one, target.port, timeout, sources)
            yield Place(target, target.host, one[1], target.port, connect)


def _by_mx(target: Target, timeout: float, sources: Mapping[int, str] | None) -> Iterator[Place]:
    """The hosts of a domain; only here is the DNS library imported."""
    import _socket
    import asyncio
    import random

    from mether.dns import mx
    from mether.dns.resolver import Resolver

    try:
        candidates = asyncio.run(mx.lookup(target.host, Resolver(), random.random))
    except mx.DnsFailure as error:
        raise NoHost(error.reply) from None
    for candidate in candidates:
        for address in candidate.addresses:
            family = _socket.AF_INET6 if ":" in address else _socket.AF_INET
            if not sources or family in sources:
                connect = _connector((family, address), target.port, timeout, sources)
                yield Place(target, candidate.host, address, target.port, connect)


def _connector(
    one: tuple[int, str], port: int, timeout: float, sources: Mapping[int, str] | None
) -> Callable[[], blocking.Blocking]:
    return lambda: blocking.connect([one], port, timeout, sources)


def _in_hosts_file(name: str) -> bool:
    from mether.dns.hosts import Hosts

    return "." not in name or name in Hosts()
