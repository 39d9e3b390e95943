"""The mail transaction of one session: who may send what to whom, and the content (RFC 5321 section 3.3).

A `Transaction` serves one session, one message after the other.  It builds the envelope, has the content
taken in (`receive.intake`), and hands the draft to the queue; its 250 is given only when the commit has
returned.

Relaying is for clients in `relay_from` and for those who logged in; all others reach local domains only, else
`550 5.7.1` (checklist SEC-1).  A submission listener takes mail from no one else, and mends what a submitted
message's header lacks (RFC 6409).

Nothing here raises: trouble with the queue is a 451 or 452.
"""

from __future__ import annotations

from mether.address import Address, AddressError, unquote
from mether.address import parse as parse_address
from mether.auth.throttle import network
from mether.content import submission
from mether.content.header import split
from mether.event import mail as event
from mether.queue.message import Arrival
from mether.queue.store import Committed, StoreError
from mether.receive import accept, hold, words
from mether.receive.intake import Intake
from mether.reply import Reply
from mether.routing.request import Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.envelope import Envelope, Recipient
    from mether.outcome import Route
    from mether.receive.client import Client
    from mether.receive.login import Login
    from mether.receive.rate import Bucket
    from mether.receive.reception import Reception
    from mether.smtp.server_events import EndOfContent

FREE_RECIPIENTS: Final = 100
"""Recipients that every transaction may have (RFC 5321 section 4.5.3.1.8); more take from the budget."""

RECIPIENT: Final = 1024
"""Octets that each of those takes: about what a long address with a long ORCPT does."""


class Transaction:
    """The transactions of one session.

    `answered` is called with the reply to a content once its commit has returned.  `envelope` is that of the
    transaction which is open, or None.
    """

    __slots__ = (
        "_answered",
        "_arrival",
        "_client",
        "_held",
        "_ident",
        "_intake",
        "_reception",
        "_routes",
        "_seen",
        "envelope",
    )

    def __init__(self, reception: Reception, client: Client, answered: Callable[[Reply], None]) -> None:
        self._reception = reception
        self._client = client
        self._answered = answered
        self.envelope: Envelope | None = None
        self._routes: list[Route] = []
        self._seen: set[Address] = set()
        self._held = 0
        self._ident = ""
        self._arrival: Arrival | None = None
        self._intake: Intake | None = None

    def mail(self, envelope: Envelope) -> Reply:
        """Open a transaction, or say why not."""
        refusal = self._no_mail(envelope)
        if refusal is not None:
            self.envelope = None
            return refusal
        if envelope.auth is not None and not self._believed(envelope.auth):
            envelope.auth = "<>"  # RFC 4954 section 5: nobody vouches for it
        self.envelope = envelope
        return words.SENDER_OK

    def _no_mail(self, envelope: Envelope) -> Reply | None:
        """Why there is to be no transaction, or None."""
        reception = self._reception
        limits = reception.limits
        sender = envelope.reverse_path
        if limits.size and envelope.size is not None and envelope.size > limits.size:
            return self.refused("MAIL", words.TOO_BIG, envelope=envelope)
        if reception.role == "submission":
            if not self._client.may_relay:
                return self.refused("MAIL", words.LOGIN_FIRST, envelope=envelope)
            if sender is not None and not _qualified(sender):
                return self.refused("MAIL", words.UNQUALIFIED_SENDER, envelope=envelope)
        if self._client.login and not self._may_use(sender):
            return self.refused("MAIL", words.NOT_YOURS, envelope=envelope)
        if envelope.hold is not None:
            refusal = hold.refusal(envelope, reception.clock(), local=self._client.trusted)
            if refusal is not None:
                return self.refused("MAIL", refusal, envelope=envelope)
        if reception.rates is not None and not self._may(reception.rates.messages):
            return self.refused("MAIL", words.TOO_FAST, envelope=envelope)
        return None

    def _may(self, rate: Bucket) -> bool:
        """Whether the client may have one more of these in this minute."""
        return not rate.limit or rate.take(network(self._client.address), self._reception.clock())

    def _may_use(self, sender: Address | None) -> bool:
        authentication = self._reception.authentication
        return authentication is None or authentication.may_use(self._client.login, sender)

    def _believed(self, mailbox: str) -> bool:
        """Whether the client is believed who submitted the message first: a login, of its own senders."""
        if not self._client.may_relay:
            return False
        return not self._client.login or mailbox == "<>" or self._may_use(parse_address(mailbox, utf8=True))

    def rcpt(self, recipient: Recipient) -> Reply:
        """Take a recipient, or say why not."""
        envelope, reception = self.envelope, self._reception
        assert envelope is not None
        if len(envelope.recipients) >= reception.limits.recipients:
            return self.refused("RCPT", words.TOO_MANY_RECIPIENTS, recipient.forward_path)
        if reception.rates is not None and not self._may(reception.rates.recipients):
            return self.refused("RCPT", words.TOO_FAST, recipient.forward_path)
        path = recipient.forward_path
        may_relay = self._client.may_relay
        decision = reception.router.decide(self._request(path))
        local, route = decision.open, decision.route
        if not path.domain or (not local and _is_postmaster(path, reception.hostname)):
            path = recipient.forward_path = reception.postmaster
            route = reception.router.decide(self._request(path)).route
            local = True
        assert route is not None
        if not local and not may_relay:
            return self.refused("RCPT", words.NO_RELAY, path)
        if local and not may_relay and any(char in path.local_part for char in "@%!"):
            # Somebody else's routing inside our local-part: nobody's mailbox (RFC 2505 section 2.1).
            return self.refused("RCPT", words.NO_SUCH_USER, path)
        if reception.role == "submission" and not local and not _qualified(path):
            return self.refused("RCPT", words.UNQUALIFIED_RECIPIENT, path)
        if route.transport == "maildir" and not mailbox_name(path.local_part):
            return self.refused("RCPT", words.NO_SUCH_USER, path)
        if path in self._seen:
            return words.RECIPIENT_OK  # already there: one copy is enough
        if len(envelope.recipients) >= FREE_RECIPIENTS:
            if not reception.budget.take(RECIPIENT):
                return self.refused("RCPT", words.TOO_MANY_RECIPIENTS, path)
            self._held += RECIPIENT
        self._seen.add(path)
        envelope.recipients.append(recipient)
        self._routes.append(route)
        return words.RECIPIENT_OK

    def _request(self, recipient: Address) -> Request:
        client, envelope = self._client, self.envelope
        return Request(
            recipient,
            sender=None if envelope is None else envelope.reverse_path,
            client=client.address,
            login=client.login,
            listener=self._reception.name,
        )

    def begin(self) -> None:
        """The content begins: the message gets its queue id."""
        reception, client = self._reception, self._client
        now = reception.clock()
        self._ident = reception.ident(now)
        self._arrival = Arrival(
            now,
            client.protocol(
                utf8=self.envelope is not None and self.envelope.smtputf8, lmtp=reception.role == "lmtp"
            ),
            address=client.address,
            host=client.host,
            helo=client.hello,
            login=client.login,
            tls=client.security.cipher if client.security is not None else "",
            listener=reception.name,
        )
        mend = self._mend if reception.role == "submission" else None
        if self._intake is None:
            reception.budget.coming += 1
        self._intake = Intake(self._ident, reception.budget, reception.stage, mend)

    def add(self, data: bytes) -> None:
        """Take content."""
        if self._intake is None:
            self.begin()
        self._intake.add(data)  # type: ignore[union-attr]

    def finish(self, end: EndOfContent) -> Reply | None:
        """The content is complete: refuse it, or queue it, and None: the reply comes when that is durable."""
        if self._intake is None:
            self.begin()
        intake = self._intake
        assert intake is not None
        reply = end.fault
        if reply is None:
            intake.add(end.data)
            reply = intake.finish()
        if reply is not None:
            self.refused("END-OF-MESSAGE", reply)
            self.abandon()
            return reply
        try:
            self._queue(intake)
        except StoreError as error:
            event.error(str(error), ident=self._ident)
            self.refused("END-OF-MESSAGE", error.reply)
            self.abandon()
            return error.reply
        return None

    def refused(
        self,
        stage: str,
        reply: Reply,
        recipient: Address | None = None,
        *,
        envelope: Envelope | None = None,
        login: Login | None = None,
    ) -> Reply:
        """Tell the log of a refusal, and give it: of MAIL with its `envelope`, of AUTH with its `login`."""
        envelope = envelope or self.envelope
        event.rejected(
            self._client.address,
            stage,
            reply,
            ident=self._ident,
            reverse_path=envelope.reverse_path if envelope is not None else None,
            forward_path=recipient,
            protocol="ESMTP" if self._client.esmtp else "SMTP",
            helo=self._client.hello,
            login=self._client.login if login is None else login.name,
            mechanism="" if login is None else login.mechanism,
        )
        return reply

    def _mend(self, data: bytes) -> bytes | Reply:
        """A submitted message's header, completed (RFC 6409 section 8); `data` is the content's beginning."""
        reception, arrival = self._reception, self._arrival
        assert arrival is not None
        end = split(data)
        section = data[:end]
        refusal = submission.refusal(section)
        if refusal is not None:
            return refusal
        added, section = submission.complete(
            section,
            at=arrival.at,
            offset=reception.offset(),
            ident=self._ident,
            hostname=reception.hostname,
            sender=self._submitter(),
        )
        return added + section + data[end:]

    def _submitter(self) -> Address | None:
        if not (self._reception.add_sender and self._client.login):
            return None
        login = (
            self._client.login
            if "@" in self._client.login
            else f"{self._client.login}@{self._reception.hostname}"
        )
        try:
            return parse_address(login)
        except AddressError:
            return None

    def _queue(self, intake: Intake) -> None:
        """Hand the message over.  Raises StoreError."""
        reception, envelope, arrival = self._reception, self.envelope, self._arrival
        assert envelope is not None and arrival is not None
        draft = accept.draft(
            self._ident,
            envelope,
            arrival,
            intake.content,
            self._routes,
            hostname=reception.hostname,
            lifetime=reception.lifetime,
            warn=reception.warn,
            offset=reception.offset(),
        )
        held, writer = intake.hand_over()
        self._clear()
        draft.claim = reception.admit(draft)

        def done(answer: Committed) -> None:
            reception.budget.give(held)
            if answer.error is not None:
                event.error(str(answer.error), ident=answer.ident)
                self.refused("END-OF-MESSAGE", answer.error.reply, envelope=envelope)
                if writer is not None:
                    writer.discard()
                self._answered(answer.error.reply)
                return
            message = draft.message
            event.queued(
                answer.ident,
                envelope.reverse_path,
                len(envelope.recipients),
                message.size,
                address=arrival.address,
                host=arrival.host,
                protocol=arrival.protocol,
                helo=arrival.helo,
                login=arrival.login,
            )
            self._answered(Reply(250, "2.0.0", f"queued as {answer.ident}"))

        try:
            reception.commit(draft, done)
        except StoreError as error:
            done(Committed(draft.message.ident, error=error))

    def abandon(self) -> None:
        """Forget the transaction."""
        if self._intake is not None:
            self._intake.discard()
        self._clear()

    def end(self) -> None:
        """Forget the transaction, and whom to answer."""
        self.abandon()
        self._answered = words.unheard

    def _clear(self) -> None:
        self.envelope = None
        self._routes = []
        self._seen = set()
        self._ident = ""
        if self._intake is not None:
            self._intake = None
            self._reception.budget.coming -= 1
        if self._held:
            self._reception.budget.give(self._held)
            self._held = 0


def mailbox_name(local_part: str) -> bool:
    """Whether a Maildir can have this name: `relay.maildir` would refuse it later, with a bounce."""
    name = unquote(local_part)
    return not name.startswith(".") and "/" not in name and name.isprintable()


def _is_postmaster(path: Address, hostname: str) -> bool:
    """Whether it is the postmaster of this host by its full name (RFC 5321 section 4.5.1)."""
    return path.local_part.lower() == "postmaster" and path.domain.lower() == hostname.lower()


def _qualified(path: Address) -> bool:
    """Whether the domain is a full one, or an address literal (RFC 6409 section 4.2)."""
    return "." in path.domain or path.domain.startswith("[")
