"""From a domain to the hosts to try: RFC 5321 section 5.1, RFC 7505.

`order` is the pure part: MX records in, host names in the order of trying out, ourselves and everything no
better than us dropped.  `lookup` asks a `Resolver` and turns its answers into `Candidate` values, hosts with
the addresses to connect to; `direct` does the same for a host that is given by name, without any MX.

Failure is one exception, `DnsFailure`, whose reply says it all:

=============================  =========  ==========================================
no such domain                 550 5.1.2  permanent
null MX                        556 5.1.10 permanent (RFC 7505)
no host with an address        550 5.4.4  permanent
we are the best host           554 5.4.6  permanent: it would come back to us
the DNS did not answer         451 4.4.3  temporary
=============================  =========  ==========================================

Where only some hosts have no address, or the DNS is silent for some, the others are used.  An MX target that
is an IP address is out of specification and ignored; one that is an alias is followed by the resolver
(RFC 5321 section 5.1, RFC 2181 section 10.3).
"""

from __future__ import annotations

from mether.address import AddressError, ascii_domain, is_literal, literal_ip
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from typing import Final, Protocol

    class Resolver(Protocol):
        """What is asked of the DNS.  Names are A-labels in lower case, without a last dot."""

        async def mx(self, domain: str) -> Answer:
            """The MX records of a domain.  Raises NoSuchName or Unavailable."""

        async def addresses(self, host: str, *, search: bool = False) -> Sequence[str]:
            """The IP addresses of a host in the order of trying, empty when it has none.

            With `search` the name may be completed from the system's search list.  Raises NoSuchName or
            Unavailable.
            """


MAX_HOSTS: Final = 10
"""Hosts of one domain that are tried (RFC 5321 section 5.1 asks for two at least)."""

MAX_ADDRESSES: Final = 10
"""Addresses of one host that are tried."""

_NOWHERE: Final = frozenset(("0.0.0.0", "::"))


class NoSuchName(Exception):
    """The DNS says that the name does not exist (NXDOMAIN)."""


class Unavailable(Exception):
    """The DNS gave no answer; str() says how, for the log."""


class DnsFailure(Exception):
    """There is nothing to connect to; `reply` says why, and whether for good."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply

    @property
    def permanent(self) -> bool:
        """Whether trying again is no use."""
        return self.reply.permanent


class Answer:
    """MX records: `records` are (preference, host) pairs, the null MX having the host ``""``; `name` is
    the domain they belong to once aliases are followed."""

    __slots__ = ("name", "records")

    def __init__(self, name: str, records: Iterable[tuple[int, str]] = ()) -> None:
        self.name = name
        self.records = list(records)


class Candidate:
    """A host to try: its `host` name (or the address itself), `addresses` in order, MX `preference`."""

    __slots__ = ("addresses", "host", "preference")

    def __init__(self, host: str, addresses: Iterable[str], preference: int = 0) -> None:
        self.host = host
        self.addresses = tuple(addresses)
        self.preference = preference

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
    own_addresses: Collection[str] = (),
    limit: int = MAX_HOSTS,
) -> list[Candidate]:
    """The hosts to try for mail to `domain` (a name or an address literal), best first.

    `own_addresses` are the IP addresses at which this service itself takes mail; a host that has one
    is ourselves, as one of the names in `ourselves` is.  Raises DnsFailure.
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
    except Unavailable as error:
        raise _silence(domain, error) from None
    hosts = order(domain, answer, random, ourselves)[:limit]
    candidates, trouble = await _resolve(hosts, resolver)
    if not candidates:
        if trouble is not None:
            raise _silence(domain, trouble)
        if answer.records:
            raise DnsFailure(Reply(550, "5.4.4", f"no mail exchanger of {domain} has an address"))
        raise DnsFailure(Reply(550, "5.4.4", f"{domain} has neither a mail exchanger nor an address"))
    return _usable(domain, candidates, own_addresses)


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
        except Unavailable as error:
            raise _silence(host, error) from None
    if not found:
        raise DnsFailure(Reply(550, "5.4.4", f"the host {host} has no address"))
    return Candidate(name, found[:MAX_ADDRESSES])


async def _resolve(
    hosts: list[tuple[int, str]], resolver: Resolver
) -> tuple[list[Candidate], Unavailable | None]:
    """The hosts that have addresses, and the last trouble there was in finding out."""
    import asyncio

    answers = await asyncio.gather(*(resolver.addresses(host) for _, host in hosts), return_exceptions=True)
    candidates, trouble = [], None
    for (preference, host), answer in zip(hosts, answers, strict=True):
        if isinstance(answer, Unavailable):
            trouble = answer
        elif isinstance(answer, NoSuchName):
            continue
        elif isinstance(answer, BaseException):
            raise answer
        elif addresses := [ip for ip in answer if ip not in _NOWHERE]:
            candidates.append(Candidate(host, addresses[:MAX_ADDRESSES], preference))
    return candidates, trouble


def _usable(domain: str, candidates: list[Candidate], own: Collection[str]) -> list[Candidate]:
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
    return DnsFailure(Reply(451, "4.4.3", f"the DNS has no answer about {name} now: {error}"))
