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

from functools import partial

from mether.address import Address, AddressError
from mether.address import parse as parse_address
from mether.auth.throttle import network
from mether.content import submission
from mether.content.header import split
from mether.event import mail as event
from mether.queue.message import Arrival
from mether.receive import copies, hold, words
from mether.receive.coming import Coming
from mether.receive.intake import Intake
from mether.receive.learning import look_up
from mether.receive.named import Named, qualified
from mether.reply import Reply
from mether.routing.source import Needs, TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mether.envelope import Envelope, Recipient
    from mether.queue.message import Draft
    from mether.queue.store import Committed
    from mether.receive.client import Client
    from mether.receive.login import Login
    from mether.receive.rate import Bucket
    from mether.receive.reception import Reception
    from mether.smtp.server_events import EndOfContent


class Transaction:
    """The transactions of one session.

    `answered` is called with the reply to a content once its commit has returned, `decided` with that to a
    RCPT which had to wait.  `envelope` is that of the transaction which is open, or None.
    """

    __slots__ = (
        "_answered",
        "_arrival",
        "_client",
        "_coming",
        "_decided",
        "_ident",
        "_intake",
        "_named",
        "_opened",
        "_opening",
        "_reception",
        "envelope",
    )

    def __init__(
        self,
        reception: Reception,
        client: Client,
        answered: Callable[[Reply], None],
        decided: Callable[[Reply], None] = words.unheard,
        opened: Callable[[Reply], None] = words.unheard,
    ) -> None:
        self._reception = reception
        self._client = client
        self._answered = answered
        self._decided = decided
        self._opened = opened
        self._opening: Envelope | None = None
        self.envelope: Envelope | None = None
        self._named = Named(reception, client)
        self._coming: Coming | None = None
        self._ident = ""
        self._arrival: Arrival | None = None
        self._intake: Intake | None = None

    def mail(self, envelope: Envelope) -> Reply | None:
        """Open a transaction, or say why not; None: the DNS has to be asked, and `opened` gets the reply."""
        refusal = self._no_mail(envelope)
        if refusal is not None:
            self.envelope = None
            return refusal
        domains, sender = self._reception.domains, envelope.reverse_path
        if domains is None or sender is None or self._client.may_relay:
            return self._open(envelope, None)
        try:
            return self._open(envelope, domains.sender(sender.domain))
        except Needs as need:
            self._opening = envelope
            look_up(
                self._reception.learn,
                lambda: self._open(envelope, domains.sender(sender.domain)),
                lambda error: self._open(envelope, error.reply),
                self._opened,
                lambda: self._opening is envelope,
                need,
            )
            return None

    def _open(self, envelope: Envelope, refusal: Reply | None) -> Reply:
        """Open a transaction unless its sender's domain is refused."""
        self._opening = None
        if refusal is not None:
            self.envelope = None
            return self.refused("MAIL", refusal, envelope=envelope)
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
            if sender is not None and not qualified(sender):
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

    def rcpt(self, recipient: Recipient) -> Reply | None:
        """Take a recipient, or say why not; None: a table has to be asked, and `decided` gets the reply."""
        path, envelope = recipient.forward_path, self.envelope
        assert envelope is not None
        if self._named.gathered.named >= self._reception.limits.recipients:
            return self.refused("RCPT", words.TOO_MANY_RECIPIENTS, path)
        if self._reception.rates is not None and not self._may(self._reception.rates.recipients):
            return self.refused("RCPT", words.TOO_FAST, path)
        try:
            reply = self._named.take(envelope, recipient)
        except Needs as need:
            look_up(
                self._reception.learn,
                lambda: self._answer(path, self._named.take(envelope, recipient)),
                partial(self._unread, path),
                self._decided,
                lambda: self.envelope is envelope,  # whose session is over hears no more of it
                need,
            )
            return None
        except TableError as error:
            return self._unread(path, error)
        return reply if reply.code < 400 else self.refused("RCPT", reply, path)

    def _answer(self, path: Address, reply: Reply) -> Reply:
        return reply if reply.code < 400 else self.refused("RCPT", reply, path)

    def _unread(self, path: Address, error: TableError) -> Reply:
        """A table could not be read: what it would have said is not guessed."""
        event.error(str(error))
        return self.refused("RCPT", error.reply, path)

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
        self._coming = Coming(reception, self._ident, self.envelope, self._named)
        if self._intake is None:
            reception.budget.coming += 1
        self._intake = Intake(self._ident, reception.budget, self._coming.stage, mend)

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
        message = self._coming
        assert message is not None and self._arrival is not None
        drafts = message.drafts(self._arrival, intake)
        for path in self._named.dropped:
            event.noted(f"what came for <{path}> is discarded", ident=self._ident)
        if not drafts:
            reply = Reply(250, "2.0.0", f"taken as {self._ident}")
            self.abandon()
            return reply
        self._queue(message, drafts, intake)
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

    def _queue(self, message: Coming, drafts: list[Draft], intake: Intake) -> None:
        """Hand the messages over."""
        reception, envelope = self._reception, self.envelope
        assert envelope is not None
        held, writer = intake.hand_over()
        if not message.parts and writer is not None:
            writer.discard()
        self._clear()
        for draft in drafts:
            draft.claim = draft.message.hold is None and reception.admit(draft)

        def done(answers: list[Committed]) -> None:
            reception.budget.give(held)
            failure = message.ended(drafts, answers)
            if failure is not None:
                self._answered(self.refused("END-OF-MESSAGE", failure, envelope=envelope))
            else:
                self._answered(Reply(250, "2.0.0", f"queued as {message.ident}"))

        copies.commit(reception.commit, drafts, done)

    def abandon(self) -> None:
        """Forget the transaction."""
        if self._intake is not None:
            self._intake.discard()
        self._clear()

    def end(self) -> None:
        """Forget the transaction, and whom to answer."""
        self.abandon()
        self._answered = self._decided = self._opened = words.unheard

    def _clear(self) -> None:
        self.envelope = self._opening = None
        self._named.clear()
        self._coming = None
        self._ident = ""
        if self._intake is not None:
            self._intake = None
            self._reception.budget.coming -= 1
