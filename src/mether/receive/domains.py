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

`of_sender` and `of_recipient` are the decisions; `Domains` asks, with a time limit of SECONDS, the resolver
that the relay asks too, which then knows already.  None means that nothing is wrong.  Nothing here raises.
"""

from __future__ import annotations

from mether.address import AddressError, ascii_domain, is_literal
from mether.dns import mx
from mether.dns.answer import Answer, NoSuchName, Shortage, Unavailable
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Final

    from mether.dns.answer import Resolver
    from mether.dns.private import Level

SECONDS: Final = 5.0
"""How long a client waits for the DNS: less than any waits for a reply (RFC 5321 section 4.5.3.2)."""


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
    """Asks a resolver about domains.  `random`, `ourselves`, `own_addresses` and `level` are those of
    `dns.mx.lookup`; with `senders` and `recipients` the listener asks about those."""

    __slots__ = ("_level", "_ourselves", "_own_addresses", "_random", "_resolver", "recipients", "senders")

    def __init__(
        self,
        resolver: Resolver,
        random: Callable[[], float],
        *,
        senders: bool = False,
        recipients: bool = False,
        ourselves: Collection[str] = (),
        own_addresses: Collection[str] = (),
        level: Level = "site",
    ) -> None:
        self._resolver = resolver
        self._random = random
        self._ourselves = ourselves
        self._own_addresses = own_addresses
        self._level = level
        self.senders = senders
        self.recipients = recipients

    async def sender(self, domain: str) -> Reply | None:
        """What is wrong with the domain of a reverse-path."""
        import asyncio

        if not domain or is_literal(domain):
            return None
        said: Answer | Exception | None = None
        found = False
        try:
            name = ascii_domain(domain)
            async with asyncio.timeout(SECONDS):
                answer = await self._resolver.mx(name)
                if not answer.records:
                    found = bool(await self._resolver.addresses(answer.name))
                said = answer
        except AddressError:
            return None  # the grammar has let it pass
        except (NoSuchName, Unavailable, Shortage) as error:
            said = error
        except TimeoutError:
            pass
        return of_sender(name, said, found)

    async def recipient(self, domain: str) -> Reply | None:
        """What is wrong with the domain of a forward-path whose mail is to go there by MX."""
        import asyncio

        try:
            async with asyncio.timeout(SECONDS):
                await mx.lookup(
                    ascii_domain(domain),
                    self._resolver,
                    self._random,
                    ourselves=self._ourselves,
                    own_addresses=self._own_addresses,
                    level=self._level,
                )
        except mx.DnsFailure as error:
            return of_recipient(error)
        except (AddressError, TimeoutError):
            pass
        return None
