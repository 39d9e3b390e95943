"""The DNS as `dns.mx` asks it: a stub resolver with a cache, on asyncio and dnspython's messages.

A process has one.  What it promises:

- Answers are kept for their TTL (negative ones too), up to a number (`dns.cache`); a question that is
  being asked is not asked again beside it; questions in flight are bounded.
- Each server has a time limit, and all of them together.  The servers are asked in turn, twice; one that
  fails, refuses or points elsewhere is left for the next.
- Names are asked as A-labels and are absolute, so that nothing is guessed (RFC 5321 section 5.1), but for a
  host name given without a dot, where the system's search list may help.  Aliases are followed, a few.
- What a response says is believed by `dns.reading`; its AD bit when the server is on this host or trusted.

It fails with NoSuchName, Unavailable or Shortage of `dns.answer`, no other way.  dnspython, slow to import,
is loaded at the first question.  A `Resolver` belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import time

from mether.address import AddressError, ascii_domain
from mether.dns import cache, resolvconf
from mether.dns.answer import Addresses, Answer, NoSuchName, Shortage, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Final

    import dns.message

    from mether.dns.exchange import Server
    from mether.dns.reading import Reading

UDP_SIZE: Final = 1232
"""Octets of an answer by UDP that pass without fragments; larger ones come by TCP."""

ROUNDS: Final = 2
"""How often each server is asked that does not answer."""


class _Asking:
    """A question that is being asked, and how many wait for the answer."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[Reading | Shortage]) -> None:
        self.task = task
        self.waiting = 0


class Resolver:
    """A caching resolver.

    `servers` are (IP address, port) pairs, the system's (resolv.conf) when empty.  `timeout` is how long, in
    seconds, one server is waited for, and `lifetime` all of them together.  At most `in_flight` questions are
    out at a time, and `keep` answers are kept.  `ipv4` and `ipv6` say which addresses are asked for.  With
    `trust_ad` the AD bit of servers on other hosts is believed.  `clock` gives seconds that only go forward.
    """

    def __init__(
        self,
        servers: Sequence[Server] = (),
        *,
        timeout: float = 5.0,
        lifetime: float = 20.0,
        in_flight: int = 100,
        keep: int = 10_000,
        ipv4: bool = True,
        ipv6: bool = True,
        trust_ad: bool = False,
        system: resolvconf.Conf | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = tuple(servers)
        self._timeout = timeout
        self._lifetime = lifetime
        self._kinds = (["AAAA"] if ipv6 else []) + (["A"] if ipv4 else [])
        self._trust_ad = trust_ad
        self._system = system or resolvconf.Conf()
        self._cache = cache.Cache(keep, clock)
        self._slots = asyncio.Semaphore(in_flight)
        self._asking: dict[tuple[str, str], _Asking] = {}

    async def mx(self, domain: str) -> Answer:
        """The MX records of a domain.  Raises NoSuchName, Unavailable or Shortage."""
        found = await self._learn(_name(domain), "MX")
        return Answer(found.name, found.records, found.authenticated)

    async def addresses(self, host: str, *, search: bool = False) -> Addresses:
        """The IP addresses of a host, families taking turns, IPv6 first.

        The failure to ask for one family is none while the other has an answer (RFC 3974 section 3).  Raises
        NoSuchName, Unavailable or Shortage.
        """
        name = _name(host)
        trouble: NoSuchName | None = None
        for each in (*self._completions(name), name) if search else (name,):
            try:
                found = await self._of_host(each)
            except NoSuchName as error:
                trouble = error
            else:
                if found or each == name:
                    return found
        assert trouble is not None
        raise trouble

    async def _of_host(self, name: str) -> Addresses:
        answers = await asyncio.gather(
            *(self._learn(name, kind) for kind in self._kinds), return_exceptions=True
        )
        found: list[Reading] = []
        trouble: BaseException | None = None
        absent = False
        for answer in answers:
            if isinstance(answer, NoSuchName):
                absent = True
            elif isinstance(answer, BaseException):
                trouble = answer
            else:
                found.append(answer)
        families = [one.records for one in found]
        if trouble is not None and not any(families):
            raise trouble
        if absent and not found:
            raise NoSuchName(name)
        return Addresses.of(
            (
                family[turn]
                for turn in range(max(map(len, families), default=0))
                for family in families
                if turn < len(family)
            ),
            authenticated=all(one.authenticated for one in found) and len(found) == len(answers),
        )

    def _completions(self, name: str) -> Iterator[str]:
        """What a name without a dot may be short for."""
        if not self._servers:
            for domain in self._system.read().search:
                yield f"{name}.{domain}"

    async def _learn(self, name: str, kind: str) -> Reading:
        """The answer that is known, or comes.  Raises NoSuchName, Unavailable or Shortage."""
        question = (name, kind)
        found: Reading | Shortage | None = self._cache.get(question)
        if found is None:
            asking = self._asking.get(question)
            if asking is None:
                asking = self._asking[question] = _Asking(asyncio.ensure_future(self._ask(name, kind)))
            asking.waiting += 1
            try:
                # Whoever gives up waiting takes the answer from nobody else.
                found = await asyncio.shield(asking.task)
            finally:
                asking.waiting -= 1
                if not asking.waiting:
                    asking.task.cancel()  # nobody wants to know any more
                    del self._asking[question]
        if isinstance(found, Shortage):
            raise Shortage(str(found))
        if found.says == "failed":
            raise Unavailable(found.why)
        if found.says == "absent":
            raise NoSuchName(name)
        return found

    async def _ask(self, name: str, kind: str) -> Reading | Shortage:
        """Ask, and keep what was learnt."""
        from mether.dns import reading

        loop = asyncio.get_running_loop()
        async with self._slots:
            until = loop.time() + self._lifetime
            at, ttl, authenticated = name, float("inf"), True
            for _ in range(reading.MAX_ALIASES):
                try:
                    found = await self._of_servers(loop, at, kind, until)
                except Shortage as error:
                    return error
                ttl, authenticated = min(ttl, found.ttl), authenticated and found.authenticated
                if found.says != "alias":
                    break
                at = found.name
            else:
                found = reading.failed(f"the aliases of {name} lead nowhere")
        found.ttl, found.authenticated = ttl, authenticated
        seconds = (
            cache.FAILURE if found.says == "failed" else cache.lifetime(ttl, negative=found.says != "found")
        )
        self._cache.put((name, kind), found, seconds)
        return found

    async def _of_servers(
        self, loop: asyncio.AbstractEventLoop, name: str, kind: str, until: float
    ) -> Reading:
        """What the first server that knows says.  Raises Shortage."""
        from mether.dns import exchange, reading

        servers = list(self._servers or self._system.endpoints())
        trust_ad = self._trust_ad or (not self._servers and self._system.read().trust_ad)
        query = _query(name, kind)
        why: dict[Server, str] = {}
        for _ in range(ROUNDS):
            for server in list(servers):
                seconds = min(self._timeout, until - loop.time())
                if seconds <= 0:
                    break
                try:
                    async with asyncio.timeout(seconds):
                        response = await exchange.ask(loop, server, query)
                        if _knows_no_edns(response):
                            response = await exchange.ask(loop, server, _query(name, kind, edns=False))
                except TimeoutError:
                    why[server] = "no answer in time"
                    continue
                except exchange.Failed as error:
                    why[server] = str(error)
                else:
                    trusted = trust_ad or _is_local(server)
                    found = reading.read(response, name, kind, trusted=trusted)
                    if found.says != "failed":
                        return found
                    why[server] = found.why
                servers.remove(server)  # it has said what it has to say
        said = "; ".join(f"{ip}: {what}" for (ip, _), what in why.items())
        return reading.failed(said or "no name server answered in time")


def _name(name: str) -> str:
    """A name as it is asked for.  Raises NoSuchName for what cannot stand in the DNS."""
    import dns.exception
    import dns.name

    try:
        found = ascii_domain(name).removesuffix(".").lower()
        dns.name.from_text(found)
    except (AddressError, dns.exception.DNSException):
        raise NoSuchName(name) from None
    return found


def _query(name: str, kind: str, *, edns: bool = True) -> dns.message.Message:
    import dns.flags
    import dns.message

    # AD in a question asks for it in the answer (RFC 6840 section 5.7), without the signatures themselves.
    return dns.message.make_query(
        name + ".", kind, flags=dns.flags.RD | dns.flags.AD, use_edns=0 if edns else False, payload=UDP_SIZE
    )


def _knows_no_edns(response: dns.message.Message) -> bool:
    """Whether a server that is too old for EDNS says so (RFC 6891 section 7)."""
    import dns.rcode

    return response.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP) and response.edns < 0


def _is_local(server: Server) -> bool:
    return server[0] == "::1" or server[0].startswith("127.")
