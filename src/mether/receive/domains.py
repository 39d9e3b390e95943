"""What the DNS says of the domains in MAIL and RCPT, asked while the client waits (RFC 7505).

=====================================  ===========  ==================================
domain                                 of a sender  of a recipient, sent by MX
=====================================  ===========  ==================================
does not exist                         550 5.1.8    550 5.1.2
has neither MX nor address             550 5.1.8    550 5.4.4
takes no mail (null MX)                550 5.7.27   556 5.1.10
any other for which mail would bounce               as the bounce would say (`dns.mx`)
the DNS gives no answer (in time)      451 4.1.8    taken: the queue will see
=====================================  ===========  ==================================

`of_sender` and `of_recipient` are the decisions: None means that nothing is wrong.  `Domains` answers from
what it has asked lately, and raises `routing.source.Needs` for what it has not, as a table does.  It asks,
with a time limit of SECONDS, the resolver that the relay asks too, which then knows already.
"""

from __future__ import annotations

from mether.address import AddressError, ascii_domain, is_literal
from mether.dns import mx, private
from mether.dns.answer import Answer, NoSuchName, Shortage, Unavailable
from mether.reply import Reply
from mether.routing.source import Needs

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Collection, Container
    from typing import Final

    from mether.dns.answer import Resolver
    from mether.dns.private import Level

SECONDS: Final = 5.0
"""How long a client waits for the DNS: less than any waits for a reply (RFC 5321 section 4.5.3.2)."""

KEPT: Final = 10.0
"""Seconds for which it is remembered what came of it: the resolver knows how long it may be."""

IN_FLIGHT: Final = 50
"""Questions of sessions at a time; one for which there is no place in SECONDS has no answer."""

REMEMBERED: Final = 4096
"""Domains that are remembered, of senders and of recipients."""


def of_sender(domain: str, said: Answer | Exception | None, has_address: bool = False) -> Reply | None:
    """What is wrong with a sender's domain.

    `said` is what the DNS said of its MX: an answer, an exception of `dns.answer`, None for nothing in time;
    `has_address` tells, where there is no MX, whether the domain itself has an address.
    """
    if isinstance(said, NoSuchName):
        return Reply(550, "5.1.8", f"the sender's domain {domain} does not exist")
    if isinstance(said, Shortage):
        return Reply(451, "4.3.2", "the sender's domain cannot be looked up now; please try again later")
    if not isinstance(said, Answer):
        return Reply(451, "4.1.8", f"the DNS has no answer about the sender's domain {domain} now")
    if not said.records:
        if has_address:
            return None
        return Reply(
            550, "5.1.8", f"the sender's domain {domain} has neither a mail exchanger nor an address"
        )
    if all(not host for _, host in said.records):
        return Reply(550, "5.7.27", f"the sender's domain {domain} takes no mail (null MX), not even replies")
    return None


def of_recipient(failure: mx.DnsFailure | None) -> Reply | None:
    """What is wrong with a recipient's domain, of which looking up its hosts failed, or did not."""
    return failure.reply if failure is not None and failure.permanent else None


class Domains:
    """What a listener asks about domains: of `senders`, of `recipients`.

    `resolver` gives the one of the running event loop; `random`, `ourselves`, `own_addresses` and `level` are
    those of `dns.mx.lookup`; `in_hosts` tells which names are in the hosts file, and need no MX.  `clock`
    gives seconds.
    """

    __slots__ = ("_from", "_in_hosts", "_to", "recipients", "senders")

    def __init__(
        self,
        resolver: Callable[[], Resolver],
        random: Callable[[], float],
        clock: Callable[[], float],
        *,
        senders: bool = False,
        recipients: bool = False,
        ourselves: Collection[str] = (),
        own_addresses: Container[str] = (),
        level: Level = private.USUAL,
        in_hosts: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self.senders = senders
        self.recipients = recipients
        self._in_hosts = in_hosts

        async def find(domain: str) -> None:
            await mx.lookup(
                domain,
                resolver(),
                random,
                ourselves=ourselves,
                own_addresses=own_addresses,
                level=level,
            )

        self._from = _Asked(lambda domain: _ask_sender(resolver(), domain), clock)
        self._to = _Asked(lambda domain: _ask_recipient(find, domain), clock)

    def sender(self, domain: str) -> Reply | None:
        """What is wrong with the domain of a reverse-path.  Raises Needs."""
        return self._from.known(domain) if self.senders else None

    def recipient(self, domain: str) -> Reply | None:
        """What is wrong with the domain of a forward-path whose mail goes there by MX.  Raises Needs."""
        return self._to.known(domain) if self.recipients and not self._in_hosts(domain) else None


class Places:
    """The questions that sessions may have out at a time, of all listeners together: not all that there may
    be (`dns.resolver`), so that no client's domains keep the relay from asking."""

    def __init__(self, count: int = IN_FLIGHT) -> None:
        self._count = count
        self._slots: asyncio.Semaphore | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def get(self) -> asyncio.Semaphore:
        """Those of the running event loop."""
        import asyncio

        loop = asyncio.get_running_loop()
        if self._slots is None or self._loop is not loop:
            self._slots, self._loop = asyncio.Semaphore(self._count), loop
        return self._slots


PLACES: Final = Places()


class _Asked:
    """A `routing.source.Source` whose answers are replies."""

    __slots__ = ("_ask", "_clock", "_known", "name")

    def __init__(self, ask: Callable[[str], Awaitable[Reply | None]], clock: Callable[[], float]) -> None:
        self.name = "the DNS"
        self._ask = ask
        self._clock = clock
        self._known: dict[str, tuple[float, Reply | None]] = {}

    def known(self, domain: str) -> Reply | None:
        if not domain or is_literal(domain):
            return None
        try:
            name = ascii_domain(domain)
        except AddressError:
            return None  # the grammar has let it pass
        found = self._known.get(name)
        if found is None or found[0] <= self._clock():
            raise Needs(self, name)
        return found[1]

    def get(self, key: str) -> None:
        """It is no table: see `known`."""

    async def learn(self, key: str) -> None:
        reply = await self._ask(key)
        self._known.pop(key, None)
        while len(self._known) >= REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[key] = (self._clock() + KEPT, reply)


async def _ask_sender(resolver: Resolver, domain: str) -> Reply | None:
    import asyncio

    said: Answer | Exception | None = None
    found = False
    try:
        async with asyncio.timeout(SECONDS), PLACES.get():
            answer = await resolver.mx(domain)
            if not answer.records:
                found = bool(await resolver.addresses(answer.name))
            said = answer
    except (NoSuchName, Unavailable, Shortage) as error:
        said = error
    except TimeoutError:
        pass
    return of_sender(domain, said, found)


async def _ask_recipient(find: Callable[[str], Awaitable[None]], domain: str) -> Reply | None:
    import asyncio

    try:
        async with asyncio.timeout(SECONDS), PLACES.get():
            await find(domain)
    except mx.DnsFailure as error:
        return of_recipient(error)
    except TimeoutError:
        pass
    return None
