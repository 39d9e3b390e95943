"""From a target to the hosts to connect to, in order, when the attempt is made.

A direct target gives its own addresses, a domain its MX hosts' (`dns.mx`), a Unix socket its path.  IPv6
and IPv4 are both tried (`client.connect`).
Raises DnsFailure when there is nothing to connect to; what that means where the configuration names the host
is `relay.failure`'s to say.
"""

from __future__ import annotations

from mether.dns import mx, private
from mether.net.own import At
from mether.outcome import mta
from mether.relay import failure
from mether.reply import Reply
from mether.routing import target

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable

    from mether.dns.answer import Resolver
    from mether.dns.hosts import Hosts
    from mether.dns.private import Level
    from mether.relay.health import Key
    from mether.routing.target import Target


class Host:
    """A host to connect to: its `name` for reports, `address` (IP or path) and `port` (0: Unix).

    `others` are more addresses of it, in order; which of them all is connected to shows only then.
    `preference` is its MX record's: hosts of the same one may be tried in any order.  It is `authenticated`
    where DNSSEC proves all that led to it (`dns.answer`).
    """

    __slots__ = ("address", "authenticated", "name", "others", "port", "preference")

    def __init__(
        self,
        name: str,
        address: str,
        port: int,
        others: Iterable[str] = (),
        preference: int = 0,
        *,
        authenticated: bool = False,
    ) -> None:
        self.name = name
        self.address = address
        self.port = port
        self.others = tuple(others)
        self.preference = preference
        self.authenticated = authenticated

    @property
    def key(self) -> Key:
        """What `relay.health` knows it by."""
        return self.name.strip("[]"), self.port

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of its addresses."""
        return (self.address, *self.others)

    def at(self, address: str) -> Host:
        """The host at this one of its addresses."""
        return Host(self.name, address, self.port, (), self.preference, authenticated=self.authenticated)

    def without(self, gone: Container[str]) -> Host | None:
        """The host at its other addresses, None when it has no more."""
        left = [address for address in self.addresses if address not in gone]
        if not left:
            return None
        proven = self.authenticated
        return Host(self.name, left[0], self.port, left[1:], self.preference, authenticated=proven)

    @property
    def shown(self) -> str:
        """The host for a person and for reports."""
        return mta(self.name, self.address, self.port)


async def find(
    where: Target,
    *,
    resolver: Resolver,
    hosts: Hosts | None,
    random: Callable[[], float],
    ourselves: Collection[str] = (),
    own: Container[tuple[str, int]] = (),
    named: bool = False,
    level: Level = private.USUAL,
    warn: Callable[[str], None] = lambda line: None,
) -> list[Host]:
    """The hosts of a target.

    `hosts` is the hosts file, None when it is not to be asked; `ourselves` are our own names; `own` are the
    (IP address, port) pairs, for a Unix socket (path, 0), at which this service itself takes mail: what would
    be sent there loops.  `level` says which addresses of the DNS may be connected to, but for a target that
    the configuration names: then it is `named`, and `warn` is told a line when that can't be right.
    """
    try:
        return await _find(where, resolver, hosts, random, ourselves, own, "allow" if named else level)
    except mx.DnsFailure as error:
        reply = failure.of_named(error.reply) if named else error.reply
        if reply is error.reply:
            raise
        warn(f"next hop {where.next_hop}: {error.reply}; the configuration may be wrong, and the mail waits")
        raise mx.DnsFailure(reply) from None


async def _find(
    where: Target,
    resolver: Resolver,
    hosts: Hosts | None,
    random: Callable[[], float],
    ourselves: Collection[str],
    own: Container[tuple[str, int]],
    level: Level,
) -> list[Host]:
    if where.kind == "unix":
        return _not_ours([Host(where.host, where.host, 0)], own)
    if where.is_ip:
        return _not_ours([Host(f"[{where.host}]", where.host, where.port)], own)

    def in_hosts(name: str) -> tuple[str, ...]:
        return hosts.lookup(name) if hosts is not None else ()

    if target.needs_mx(where, lambda name: bool(in_hosts(name))):
        candidates = await mx.lookup(
            where.host,
            resolver,
            random,
            ourselves=ourselves,
            own_addresses=At(own, where.port),
            level=level,
        )
    else:
        candidates = [await mx.direct(where.host, resolver, in_hosts)]
    found = [
        Host(
            one.host,
            one.addresses[0],
            where.port,
            one.addresses[1:],
            one.preference,
            authenticated=one.authenticated,
        )
        for one in candidates
    ]
    return _not_ours(found, own)


def _not_ours(found: list[Host], own: Container[tuple[str, int]]) -> list[Host]:
    """The hosts that are not this service.  Raises DnsFailure when none is left."""
    left: list[Host] = []
    for host in found:
        part = host.without(At(own, host.port))
        left += [part] if part is not None else []
    if not left:
        raise mx.DnsFailure(Reply(554, "5.4.6", "the mail would come back to this service: a loop"))
    return left
