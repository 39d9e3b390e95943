"""Whom a client names as recipients: whether it may, and what they come to (RFC 5321 section 3.3).

Relaying is for those who may; all others reach what is open to everybody, else `550 5.7.1` (checklist SEC-1).
Who is not here is refused (550 5.1.1), and a table that cannot be read is for the caller to answer.
"""

from __future__ import annotations

from mether.address import unquote
from mether.event import mail as event
from mether.receive import turns, words
from mether.receive.gathered import Gathered, notices
from mether.routing.expand import is_plain, resolve
from mether.routing.request import Request
from mether.routing.router import is_postmaster

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from mether.address import Address
    from mether.envelope import Envelope, Recipient
    from mether.outcome import Route
    from mether.receive.client import Client
    from mether.receive.gathered import Notice
    from mether.receive.reception import Reception
    from mether.receive.turns import Turn
    from mether.reply import Reply
    from mether.routing.resolution import Resolution

FREE_RECIPIENTS: Final = 100
"""Recipients that every transaction may have (RFC 5321 section 4.5.3.1.8); more take from the budget."""

RECIPIENT: Final = 1024
"""Octets that each of those takes: about what a long address with a long ORCPT does."""

SHOWN: Final = 10
"""Members of one address that the log names because they do not get its mail."""


class Named:
    """The recipients of one transaction after the other: who gets the message is in `gathered`, and what the
    addresses of those come to who are told of it at once in `ways`."""

    __slots__ = ("_client", "_held", "_reception", "gathered", "ways")

    def __init__(self, reception: Reception, client: Client) -> None:
        self._reception = reception
        self._client = client
        self._held = 0
        self.gathered = Gathered()
        self.ways: dict[Address, Resolution] = {}

    @property
    def dropped(self) -> tuple[Address, ...]:
        """Those whose copy is discarded."""
        return self.gathered.dropped

    def request(self, path: Address, envelope: Envelope | None) -> Request:
        """What is known of a recipient."""
        client = self._client
        return Request(
            path,
            sender=None if envelope is None else envelope.reverse_path,
            client=client.address,
            login=client.login,
            listener=self._reception.name,
        )

    def take(self, envelope: Envelope, recipient: Recipient) -> Reply:
        """Take a recipient, or say why not.  Raises TableError or Needs, and then nothing has happened."""
        reception = self._reception
        path, router = recipient.forward_path, reception.router
        may_relay = self._client.may_relay
        request = self.request(path, envelope)
        decision = router.decide(request)
        local = decision.open
        if is_postmaster(path, decision, reception.hostname):
            path = reception.postmaster
            request = request.to(path)
            decision = router.decide(request)
            local = True
        if not local and not may_relay:
            return words.NO_RELAY
        if local and not may_relay and any(char in path.local_part for char in "@%!"):
            # Somebody else's routing inside our local-part: nobody's mailbox (RFC 2505 section 2.1).
            return words.NO_SUCH_USER
        if reception.role == "submission" and not local and not qualified(path):
            return words.UNQUALIFIED_RECIPIENT
        if is_plain(decision):
            assert decision.route is not None
            return self._take_direct(recipient, path, decision.route)
        return turns.take(
            self._client,
            reception.turns,
            lambda turn: self._take_resolved(
                envelope, recipient, path, resolve(router, request, decision, turn=turn), turn
            ),
        )

    def _take_resolved(
        self, envelope: Envelope, recipient: Recipient, path: Address, found: Resolution, turn: Turn | None
    ) -> Reply:
        """Take one for what he comes to.  Raises TableError or Needs."""
        reception, gathered = self._reception, self.gathered
        for problem in found.problems[:SHOWN]:
            event.warning(problem)
        if found.reply is not None:
            return found.reply
        deliveries = found.deliveries
        plain = len(deliveries) == 1 and deliveries[0].how == "direct"
        refusal = self._unfit(path, deliveries[0].route) if plain else None
        if refusal is not None:
            return refusal
        owed: list[Notice] = []
        if not plain:
            owed = notices(recipient, found, reception.clock(), envelope.reverse_path)
            self._ask_ways(owed, envelope, turn)
        if (not plain or deliveries[0].hold is not None) and not gathered.within(found):
            return words.TOO_MANY_RECIPIENTS
        if not self._may_hold(len(deliveries)):
            return words.TOO_MANY_RECIPIENTS
        for one in found.refused[:SHOWN]:
            event.warning(f"<{one.address}> does not get the mail for <{path}>: {one.reply}")
        if len(found.refused) > SHOWN:
            event.warning(f"nor do {len(found.refused) - SHOWN} other members of <{path}>")
        recipient.forward_path = path
        gathered.add(recipient, found, owed)
        return words.RECIPIENT_OK

    def _take_direct(self, recipient: Recipient, path: Address, route: Route) -> Reply:
        """Take one with whom no table has to do, as most are.  Raises Needs."""
        gathered = self.gathered
        refusal = self._unfit(path, route)
        if refusal is not None:
            return refusal
        if gathered.has(path):
            return words.RECIPIENT_OK
        if len(gathered) >= FREE_RECIPIENTS and not self._may_hold(1):
            return words.TOO_MANY_RECIPIENTS
        recipient.forward_path = path
        gathered.add_direct(recipient, route)
        return words.RECIPIENT_OK

    def _unfit(self, path: Address, route: Route) -> Reply | None:
        """What is against sending mail for an address there: no Maildir can have its name, it is on the
        suppression list, or the DNS knows something of a domain to which no rule sends its mail.

        A program of this host may not read what is answered: its mail is taken, and returned with a report.
        Raises Needs.
        """
        if route.transport == "maildir":
            return None if mailbox_name(path.local_part) else words.NO_SUCH_USER
        reception = self._reception
        if reception.suppressed is not None and not self._client.trusted:
            refusal = reception.suppressed(path, route)
            if refusal is not None:
                return refusal
        if reception.domains is None or route.transport != "smtp" or reception.router.rule(route) is not None:
            return None
        return reception.domains.recipient(path.domain)

    def clear(self) -> None:
        """Forget them."""
        if self.gathered.named:
            self.gathered = Gathered()
        if self.ways:
            self.ways = {}
        if self._held:
            self._reception.budget.give(self._held)
            self._held = 0

    def _ask_ways(self, owed: Iterable[Notice], envelope: Envelope, turn: Turn | None) -> None:
        """Find out where reports will go.  Raises TableError or Needs."""
        for notice in owed:
            to = notice.to or envelope.reverse_path
            if to is not None and to not in self.ways:
                self.ways[to] = resolve(self._reception.router, Request(to), turn=turn)

    def _may_hold(self, count: int) -> bool:
        """Whether so many more may be held; the first FREE_RECIPIENTS may in any case."""
        octets = (len(self.gathered) + count - FREE_RECIPIENTS) * RECIPIENT - self._held
        if octets > 0:
            if not self._reception.budget.take(octets):
                return False
            self._held += octets
        return True


def mailbox_name(local_part: str) -> bool:
    """Whether a Maildir can have this name: `relay.maildir` would refuse it later, with a bounce."""
    name = unquote(local_part)
    return not name.startswith(".") and "/" not in name and name.isprintable()


def qualified(path: Address) -> bool:
    """Whether the domain is a full one, or an address literal (RFC 6409 section 4.2)."""
    return "." in path.domain or path.domain.startswith("[")
