"""The DNS as `dns.mx` asks it, by dnspython on asyncio.

Answers are kept for their TTL (negative ones too), up to a number; queries in flight are bounded; every
question has a time limit.  Names are asked in A-labels and are absolute, so that nothing is guessed
(RFC 5321 section 5.1), but for a host name given without a dot, where the system's search list may help.
Aliases are followed, as far as the name server followed them.

It fails with `NoSuchName` or `Unavailable` of `dns.mx`, no other way.  dnspython, which costs some 90 ms to
import, is loaded at the first question.  A `Resolver` belongs to one event loop.
"""

from __future__ import annotations

from mether.address import AddressError, ascii_domain
from mether.dns.mx import Answer, NoSuchName, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence
    from typing import Final

    import dns.asyncresolver
    import dns.resolver

UDP_SIZE: Final = 1232
"""Octets of an answer by UDP that pass without fragments; larger ones come by TCP."""


class Resolver:
    """A caching resolver.

    `servers` are (IP address, port) pairs, the system's (resolv.conf) when empty.  `timeout` is how
    long, in seconds, one server is waited for, and `lifetime` all of them together.  At most `in_flight`
    questions are out at a time, and `cache` answers are kept.  `ipv4` and `ipv6` say which addresses are
    asked for.
    """

    def __init__(
        self,
        servers: Sequence[tuple[str, int]] = (),
        *,
        timeout: float = 5.0,
        lifetime: float = 20.0,
        in_flight: int = 100,
        cache: int = 10_000,
        ipv4: bool = True,
        ipv6: bool = True,
    ) -> None:
        self._servers = tuple(servers)
        self._timeout = timeout
        self._lifetime = lifetime
        self._in_flight = in_flight
        self._cache = cache
        self._kinds = (["AAAA"] if ipv6 else []) + (["A"] if ipv4 else [])
        self._backend: dns.asyncresolver.Resolver | None = None
        self._slots: asyncio.Semaphore | None = None

    async def mx(self, domain: str) -> Answer:
        """The MX records of a domain.  Raises NoSuchName or Unavailable."""
        answer = await self._ask(domain, "MX")
        name = answer.canonical_name.to_text(omit_final_dot=True).lower()
        if answer.rrset is None:
            return Answer(name)
        return Answer(
            name,
            [
                (rdata.preference, rdata.exchange.to_text(omit_final_dot=True).lower().removesuffix("."))
                for rdata in answer.rrset
            ],
        )

    async def addresses(self, host: str, *, search: bool = False) -> list[str]:
        """The IP addresses of a host, families taking turns, IPv6 first.  Raises NoSuchName or Unavailable.

        The failure to ask for one family is none while the other has an answer (RFC 3974 section 3).
        """
        import asyncio

        answers = await asyncio.gather(
            *(self._ask(host, kind, search) for kind in self._kinds), return_exceptions=True
        )
        families: list[list[str]] = []
        trouble: BaseException | None = None
        absent = False
        for answer in answers:
            if isinstance(answer, NoSuchName):
                absent = True
            elif isinstance(answer, BaseException):
                trouble = answer
            else:
                families.append([rdata.address for rdata in answer.rrset or ()])
        if trouble is not None and not any(families):
            raise trouble
        if absent and not families:
            raise NoSuchName(host)
        return [
            family[turn]
            for turn in range(max(map(len, families), default=0))
            for family in families
            if turn < len(family)
        ]

    async def _ask(self, name: str, kind: str, search: bool = False) -> dns.resolver.Answer:
        import dns.exception
        import dns.name
        import dns.resolver

        backend = self._backend or self._start()
        try:
            text = ascii_domain(name).removesuffix(".")
            qname = dns.name.from_text(text, None if search else dns.name.root)
        except (AddressError, dns.exception.DNSException):
            raise NoSuchName(name) from None  # it cannot stand in the DNS
        assert self._slots is not None
        try:
            async with self._slots:
                return await backend.resolve(
                    qname, kind, raise_on_no_answer=False, lifetime=self._lifetime, search=search
                )
        except dns.resolver.NXDOMAIN:
            raise NoSuchName(name) from None
        except dns.resolver.LifetimeTimeout:
            raise Unavailable("no name server answered in time") from None
        except dns.resolver.NoNameservers:
            raise Unavailable("every name server failed to answer") from None
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise Unavailable(str(error) or type(error).__name__) from None

    def _start(self) -> dns.asyncresolver.Resolver:
        import asyncio

        import dns.asyncresolver
        import dns.exception
        import dns.flags
        import dns.nameserver
        import dns.resolver

        try:
            backend = dns.asyncresolver.Resolver(configure=not self._servers)
        except (dns.exception.DNSException, OSError) as error:
            raise Unavailable(f"no name server is configured: {error}") from None
        if self._servers:
            backend.nameservers = [dns.nameserver.Do53Nameserver(ip, port) for ip, port in self._servers]
        backend.timeout = self._timeout
        backend.lifetime = self._lifetime
        backend.cache = dns.resolver.LRUCache(self._cache)
        backend.use_edns(0, 0, UDP_SIZE)
        self._slots = asyncio.Semaphore(self._in_flight)
        self._backend = backend
        return backend
