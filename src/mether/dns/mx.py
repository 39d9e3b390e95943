"""From a domain to the hosts to try: RFC 5321 section 5.1, RFC 7505.

`order` is the pure part: MX records in, host names in the order of trying out, ourselves and everything no
better than us dropped.  `lookup` asks a `Resolver` and turns its answers into `Candidate` values, hosts with
the addresses to connect to; `direct` does the same for a host that is given by name, without any MX.

Failure is one exception, `DnsFailure`, whose reply says it all:

=============================  =========  ==========================================
no such domain                 550 5.1.2  permanent
null MX                        556 5.1.10 permanent (RFC 7505)
no host with an address        550 5.4.4  permanent; also where none may be connected to (`dns.private`)
we are the best host           554 5.4.6  permanent: it would come back to us
the DNS did not answer         451 4.4.3  temporary
we lack a descriptor to ask    451 4.3.2  temporary, and says nothing of the domain
=============================  =========  ==========================================

Where only some hosts have no address, or the DNS is silent for some, the others are used.  An MX target that
is an IP address is out of specification and ignored; one that is an alias is followed by the resolver
(RFC 5321 section 5.1, RFC 2181 section 10.3).
"""

from __future__ import annotations

from mether.address import AddressError, ascii_domain, is_literal, literal_ip
from mether.dns import private
from mether.dns.answer import Answer, NoSuchName, Shortage, Unavailable
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Iterable, Sequence
    from typing import Final

    from mether.dns.answer import Resolver
    from mether.dns.private import Level

MAX_HOSTS: Final = 10
"""Hosts of one domain that are tried (RFC 5321 section 5.1 asks for two at least)."""

MAX_ADDRESSES: Final = 10
"""Addresses of one host that are tried."""


class DnsFailure(Exception):
    """There is nothing to connect to; `reply` says why, and whether for good.  `short` tells that we lack
    what asking takes."""

    def __init__(self, reply: Reply, *, short: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.short = short

    @property
    def permanent(self) -> bool:
        """Whether trying again is no use."""
        return self.reply.permanent


class Candidate:
    """A host to try: its `host` name (or the address itself), `addresses` in order, MX `preference`.

    It is `authenticated` when every answer that led to it is (`dns.answer`).
    """

    __slots__ = ("addresses", "authenticated", "host", "preference")

    def __init__(
        self, host: str, addresses: Iterable[str], preference: int = 0, *, authenticated: bool = False
    ) -> None:
        self.host = host
        self.addresses = tuple(addresses)
        self.preference = preference
        self.authenticated = authenticated

    def __repr__(self) -> str:
        return f"Candidate({self.host!r}, {self.addresses!r}, {self.preference})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Candidate) and (self.host, self.addresses, self.preference) == (
            other.host,
            other.addresses,
            other.preference,
        )

    def __hash__(self) -> int:
        return hash((self.host, self.addresses, self.preference))


def order(
    domain: str,
    answer: Answer,
    random: Callable[[], float],
    ourselves: Collection[str] = (),
) -> list[tuple[int, str]]:
    """The (preference, host) pairs to try, best first, equals shuffled by `random` (0 to 1).

    `ourselves` are our own names, in lower case: at the first of them the list ends, with all of its
    preference.  No MX at all means the domain itself at preference 0.  Raises DnsFailure.
    """
    records = answer.records or [(0, answer.name)]
    hosts: dict[str, int] = {}
    for preference, host in records:
        host = host.lower().removesuffix(".")
        if host not in hosts or preference < hosts[host]:
            hosts[host] = preference
    if list(hosts) == [""]:
        raise DnsFailure(Reply(556, "5.1.10", f"{domain} does not accept mail (null MX)"))
    # A null MX beside others says nothing (RFC 7505 section 3), an IP address is no host name.
    usable = [
        (preference, random(), host)
        for host, preference in hosts.items()
        if host and literal_ip(f"[{host}]") is None
    ]
    if not usable:
        raise DnsFailure(Reply(550, "5.4.4", f"no mail exchanger of {domain} is a host name"))
    mine = [preference for preference, _, host in usable if host in ourselves]
    if mine:
        usable = [one for one in usable if one[0] < min(mine)]
    if not usable:
        raise _loop(domain)
    return [(preference, host) for preference, _, host in sorted(usable)]


async def lookup(
    domain: str,
    resolver: Resolver,
    random: Callable[[], float],
    *,
    ourselves: Collection[str] = (),
    own_addresses: Container[str] = (),
    limit: int = MAX_HOSTS,
    level: Level = private.USUAL,
) -> list[Candidate]:
    """The hosts to try for mail to `domain` (a name or an address literal), best first.

    `own_addresses` are the IP addresses at which this service itself takes mail; a host that has one
    is ourselves, as one of the names in `ourselves` is.  `level` says which of the others that the DNS gives
    are believed.  Raises DnsFailure.
    """
    if is_literal(domain):
        ip = literal_ip(domain)
        if ip is None:
            raise DnsFailure(Reply(550, "5.1.2", f"{domain} is no address to which mail can be sent"))
        return _usable(domain, [Candidate(ip, [ip])], own_addresses)
    name = _ascii(domain)
    try:
        answer = await resolver.mx(name)
    except NoSuchName:
        raise DnsFailure(Reply(550, "5.1.2", f"the domain {domain} does not exist")) from None
    except (Unavailable, Shortage) as error:
        raise _silence(domain, error) from None
    hosts = order(domain, answer, random, ourselves)[:limit]
    found, trouble = await _resolve(hosts, resolver, answer.authenticated)
    candidates, refused = _believed(_usable(domain, found, own_addresses) if found else [], level)
    if not candidates:
        if trouble is not None:
            raise _silence(domain, trouble)
        who = f"no mail exchanger of {domain} has an address" if answer.records else ""
        if refused:
            raise DnsFailure(Reply(550, "5.4.4", f"{who or f'{domain} has none'} to connect to: {refused}"))
        raise DnsFailure(Reply(550, "5.4.4", who or f"{domain} has neither a mail exchanger nor an address"))
    return candidates


async def direct(host: str, resolver: Resolver, in_hosts: Callable[[str], Sequence[str]]) -> Candidate:
    """The addresses of one host that is connected to whatever its MX.

    `in_hosts` looks a name up in the hosts file, which goes before the DNS.  Raises DnsFailure.
    """
    ip = literal_ip(f"[{host}]") or literal_ip(f"[IPv6:{host}]")
    if ip is not None:
        return Candidate(ip, [ip])
    name = _ascii(host)
    found: Sequence[str] = in_hosts(name)
    if not found:
        try:
            found = await resolver.addresses(name, search="." not in name)
        except NoSuchName:
            raise DnsFailure(Reply(550, "5.1.2", f"the host {host} does not exist")) from None
        except (Unavailable, Shortage) as error:
            raise _silence(host, error) from None
    if not found:
        raise DnsFailure(Reply(550, "5.4.4", f"the host {host} has no address"))
    return Candidate(name, found[:MAX_ADDRESSES])


async def _resolve(
    hosts: list[tuple[int, str]], resolver: Resolver, authenticated: bool
) -> tuple[list[Candidate], Unavailable | Shortage | None]:
    """The hosts that have addresses, and the last trouble there was in finding out."""
    import asyncio

    answers = await asyncio.gather(*(resolver.addresses(host) for _, host in hosts), return_exceptions=True)
    candidates: list[Candidate] = []
    trouble: Unavailable | Shortage | None = None
    for (preference, host), answer in zip(hosts, answers, strict=True):
        if isinstance(answer, Unavailable | Shortage):
            trouble = answer
        elif isinstance(answer, NoSuchName):
            continue
        elif isinstance(answer, BaseException):
            raise answer
        elif answer:
            both = authenticated and answer.authenticated
            candidates.append(Candidate(host, answer, preference, authenticated=both))
    return candidates, trouble


def _believed(candidates: list[Candidate], level: Level) -> tuple[list[Candidate], str]:
    """The candidates with the addresses that may be connected to, and why the last of the others may not."""
    found, refused = [], ""
    for one in candidates:
        good = []
        for address in one.addresses:
            if why := private.why_not(address, level):
                refused = why
            else:
                good.append(address)
        if good:
            found.append(
                Candidate(one.host, good[:MAX_ADDRESSES], one.preference, authenticated=one.authenticated)
            )
    return found, refused


def _usable(domain: str, candidates: list[Candidate], own: Container[str]) -> list[Candidate]:
    """The candidates that are better than ourselves.  Raises DnsFailure when none is."""
    mine = [one.preference for one in candidates if any(ip in own for ip in one.addresses)]
    if mine:
        candidates = [one for one in candidates if one.preference < min(mine)]
    if not candidates:
        raise _loop(domain)
    return candidates


def _ascii(name: str) -> str:
    try:
        return ascii_domain(name).removesuffix(".")
    except AddressError as error:
        raise DnsFailure(Reply(550, "5.1.2", str(error))) from None


def _loop(domain: str) -> DnsFailure:
    return DnsFailure(
        Reply(
            554,
            "5.4.6",
            f"mail for {domain} loops: this host is its best mail exchanger, yet does not take it",
        )
    )


def _silence(name: str, error: Exception) -> DnsFailure:
    if isinstance(error, Shortage):
        return DnsFailure(Reply(451, "4.3.2", str(error)), short=True)
    return DnsFailure(Reply(451, "4.4.3", f"the DNS has no answer about {name} now: {error}"))
