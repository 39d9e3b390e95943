"""The receiving half of an MTA: answers each event of one SMTP or LMTP session (RFC 5321 section 4).

A `Session` is the decider of one client's dialogue.  It says who may send what, builds the envelope, has the
content taken in (`receive.intake`), and hands the draft to the queue.  Its 250 is given only when the commit
has returned.  What all sessions of a listener share is in a `Reception`.

Relaying is for clients in `relay_from` and for those who logged in; all others reach local domains only, else
`550 5.7.1` (checklist SEC-1).  A submission listener takes mail from no one else, and mends what a submitted
message's header lacks (RFC 6409).  A session that has brought no message for long ends outside a transaction,
with 421; one that is busy, or slow within a message, is let be.

Nothing here raises to the shell: trouble with the queue is a 451 or 452, and the session goes on.
"""

from __future__ import annotations

from mether.address import Address, AddressError, unquote
from mether.address import parse as parse_address
from mether.auth.throttle import network
from mether.content import submission
from mether.content.header import split
from mether.envelope import Envelope, Recipient
from mether.event import mail as event
from mether.queue.message import Arrival
from mether.queue.store import Committed, StoreError
from mether.receive import accept, hold, words
from mether.receive.intake import Intake
from mether.receive.login import TLS_FIRST, TOO_MANY, Login
from mether.receive.offer import Who, etrn_domain
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.net.tls import Security
    from mether.outcome import Route
    from mether.receive.reception import Reception
    from mether.smtp.command import Command
    from mether.smtp.server import EndOfChunk, EndOfContent, Invalid

_BEFORE_TLS: Final = frozenset(("EHLO", "HELO", "LHLO", "NOOP", "STARTTLS", "QUIT", "RSET", "HELP"))
"""What a client may say where TLS must come first (RFC 3207 section 4)."""

SMALL_CHUNK: Final = 512
"""Octets below which a chunk counts as a command: chunks without end must not hold a session for ever."""

FREE_RECIPIENTS: Final = 100
"""Recipients that every transaction may have (RFC 5321 section 4.5.3.1.8); more take from the budget."""

RECIPIENT: Final = 1024
"""Octets that each of those takes: about what a long address with a long ORCPT does."""


class Session:
    """One client, at `address` (an IP address, or "" for a program of this host).

    `decided` is called with each reply that could not be given at once.  `refuse` is the reply to
    give instead of a greeting.  A `trusted` client may relay wherever it connects from.  `worst` is the
    highest code of 400 and more that was given, 0 for none; `last` the latest verb; `login` who logged in.
    """

    __slots__ = (
        "_arrival",
        "_commands",
        "_counts",
        "_decided",
        "_envelope",
        "_errors",
        "_esmtp",
        "_failures",
        "_held",
        "_hello",
        "_host",
        "_ident",
        "_intake",
        "_login",
        "_may_relay",
        "_peer",
        "_reception",
        "_refuse",
        "_routes",
        "_security",
        "_seen",
        "_since",
        "_started",
        "_trusted",
        "address",
        "last",
        "login",
        "worst",
    )

    def __init__(
        self,
        reception: Reception,
        address: str,
        decided: Callable[[Reply], None],
        *,
        refuse: Reply | None = None,
        trusted: bool = False,
    ) -> None:
        self._reception = reception
        self.address = self._peer = address
        self._decided = decided
        self._refuse = refuse
        self._trusted = trusted
        self._may_relay = trusted or address in reception.relay_from
        self._host = ""
        self._hello = ""
        self._esmtp = False
        self._security: Security | None = None
        self.login = ""
        self._login: Login | None = None
        self._failures = 0
        self._errors = 0
        self._commands = 0
        self._counts: dict[str, list[int]] = {}
        self._started = self._since = reception.clock()
        self.last = "CONNECT"
        self.worst = 0
        self._envelope: Envelope | None = None
        self._routes: list[Route] = []
        self._seen: set[Address] = set()
        self._held = 0
        self._ident = ""
        self._arrival: Arrival | None = None
        self._intake: Intake | None = None

    def greeting(self) -> Reply:
        """220 with our name, or the refusal."""
        if self._refuse is not None:
            event.rejected(self.address, "CONNECT", self._refuse)
            return self._refuse
        event.connected(self.address)
        return self._banner()

    def command(self, command: Command) -> Reply | None:
        """Answer a command."""
        verb = command.verb
        self.last = verb
        self._commands += 1
        reception = self._reception
        limit = reception.limits.commands
        reply: Reply | None
        if limit and self._commands > limit:
            event.cut(self.address, "too many commands", after=verb)
            reply = words.TOO_MANY_COMMANDS
        elif reception.require_tls and self._security is None and verb not in _BEFORE_TLS:
            reply = TLS_FIRST
        elif verb == "RCPT":
            assert isinstance(command.value, Recipient)
            reply = self._rcpt(command.value)
        elif verb == "MAIL":
            assert isinstance(command.value, Envelope)
            reply = self._mail(command.value)
        elif verb == "DATA":
            self._begin()
            reply = words.GO_AHEAD
        else:
            reply = self._other(verb, command.argument)
            if reply is None:
                return None
        return self._count(verb, reply)

    def content(self, data: bytes) -> None:
        """Take content."""
        if self._intake is None:
            self._begin()
        self._intake.add(data)  # type: ignore[union-attr]

    def end_of_chunk(self, chunk: EndOfChunk) -> Reply:
        """A chunk of the content is complete, and is not the last one."""
        self.last = "BDAT"
        self._commands += len(chunk.data) < SMALL_CHUNK
        limit = self._reception.limits.commands
        if limit and self._commands > limit:
            event.cut(self.address, "too many commands", after="BDAT")
            self._abandon()
            return self._count("BDAT", words.TOO_MANY_COMMANDS)
        self.content(chunk.data)
        if chunk.fault is not None:
            self._abandon()
            return self._count("BDAT", self._refused("END-OF-MESSAGE", chunk.fault))
        return self._count("BDAT", words.CHUNK_TAKEN)

    def end_of_content(self, end: EndOfContent) -> Reply | None:
        """The content is complete: refuse it, or queue it and answer when that is durable."""
        self.last = "END-OF-MESSAGE"
        self._commands = 0
        self._since = self._reception.clock()
        if self._intake is None:
            self._begin()
        intake = self._intake
        assert intake is not None
        reply = end.fault
        if reply is None:
            intake.add(end.data)
            reply = intake.finish()
        if reply is not None:
            reply = self._refused("END-OF-MESSAGE", reply)
            self._abandon()
            return self._count("DATA", reply)
        try:
            return self._queue(intake)
        except StoreError as error:
            event.error(str(error), ident=self._ident)
            self._abandon()
            return self._count("DATA", error.reply)

    def invalid(self, invalid: Invalid) -> Reply:
        """Answer what was no good command; 421 when there were too many."""
        if invalid.verb == "RESPONSE":
            self._login = None
        return self._count(invalid.verb or "unknown", invalid.reply)

    def secured(self, security: Security) -> None:
        """TLS has begun: what the client said before does not count (RFC 3207 section 4.2)."""
        self._abandon()
        event.secured(
            self.address, security.version, security.cipher, security.bits, verified=security.verified
        )
        self._security = security
        self._hello = ""
        self._esmtp = False
        self.login = ""
        self._may_relay = self._trusted or self.address in self._reception.relay_from

    def ended(self, why: str = "") -> None:
        """The session is over; `why` when it ended without QUIT."""
        self._abandon()
        if self._login is not None:
            self._login.over = True
        if self._refuse is None:
            if why and self.last != "QUIT":
                event.cut(self.address, why, after=self.last)
            seconds = self._reception.clock() - self._started
            counts = {verb.lower(): (done, given) for verb, (done, given) in self._counts.items()}
            event.disconnected(self.address, commands=counts, seconds=seconds)

    def _banner(self) -> Reply:
        protocol = "LMTP" if self._reception.role == "lmtp" else "ESMTP"
        return Reply(220, None, f"{self._reception.hostname} {protocol} mether")

    def _count(self, verb: str, reply: Reply) -> Reply:
        """Count a reply: DATA once, when its content was answered."""
        code = reply.code
        if 300 <= code < 400:
            return reply
        counts = self._counts.get(verb)
        if counts is None:
            counts = self._counts[verb] = [0, 0]
        counts[1] += 1
        if code < 400:
            counts[0] += 1
            return reply
        self.worst = max(self.worst, code)
        if code >= 500:
            self._errors += 1
            limit = self._reception.limits.errors
            if limit and self._errors >= limit and self._refuse is None:
                event.cut(self.address, "too many errors", after=self.last)
                return words.TOO_MANY_ERRORS
        return reply

    def _refused(self, stage: str, reply: Reply, recipient: Address | None = None) -> Reply:
        event.rejected(
            self.address,
            stage,
            reply,
            ident=self._ident,
            reverse_path=self._envelope.reverse_path if self._envelope else None,
            forward_path=recipient,
            protocol="ESMTP" if self._esmtp else "SMTP",
            helo=self._hello,
        )
        return reply

    # Commands.

    def _other(self, verb: str, argument: str) -> Reply | None:
        if self._refuse is not None and verb != "QUIT":
            return words.NO_SERVICE  # RFC 5321 section 3.1
        if verb != "QUIT" and self._envelope is None and self._too_long():
            return words.TOO_LONG_HERE
        if verb in ("EHLO", "HELO", "LHLO"):
            return self._greeted(verb, argument)
        if verb == "RSET":
            self._abandon()
            return words.RESET
        if verb == "NOOP":
            return words.NOTHING_DONE
        if verb == "QUIT":
            return Reply(221, "2.0.0", f"{self._reception.hostname} closing")
        if verb == "STARTTLS":
            return self._starttls()
        if verb == "AUTH":
            return self._auth(argument)
        if verb == "RESPONSE":
            assert self._login is not None
            return self._answered(self._login.respond(argument))
        if verb == "HELP":
            return words.help_about(argument, self._reception.role == "lmtp")
        if verb == "VRFY":
            return self._vrfy(argument)
        if verb == "EXPN":
            return words.NO_EXPANSION
        if verb == "ETRN":
            return self._etrn(argument)
        # Whoever connected may say it again, whomever it has spoken for before.
        if verb == "XCLIENT" and self._peer in self._reception.xclient_from:
            return self._xclient(argument)
        return Reply(502, "5.5.1", f"{verb} is not offered here")

    def _greeted(self, verb: str, argument: str) -> Reply:
        self._abandon()
        self._hello = argument
        self._esmtp = verb != "HELO"
        reception = self._reception
        if not self._esmtp:
            return Reply(250, None, reception.hostname)
        return Reply(250, None, reception.hostname, *reception.offers.lines(self._who(), reception.clock()))

    def _who(self) -> Who:
        """What we know of the client that bears on what it is offered."""
        reception = self._reception
        login = reception.authentication
        return Who(
            secure=self._security is not None,
            submitter=reception.role == "submission" or (reception.role == "local" and self._may_relay),
            mechanisms=login.mechanisms(self.address, self._security) if login is not None else (),
            etrn=reception.start is not None and self.address in reception.etrn_from,
            xclient=self._peer in reception.xclient_from,
            local=self._trusted,
        )

    def _starttls(self) -> Reply:
        if self._security is not None:
            return words.ALREADY_SECURE
        return words.GO_SECURE if self._reception.starttls else Reply(502, "5.5.1", "there is no TLS here")

    def _auth(self, argument: str) -> Reply | None:
        authentication = self._reception.authentication
        if authentication is None:
            return Reply(502, "5.5.1", "nobody can log in here")
        if self.login:
            return words.ALREADY_LOGGED_IN
        self._login = Login(
            authentication,
            self.address,
            decided=self._logged,
            logged_in=self._logged_in,
            failed=self._not_logged_in,
        )
        return self._answered(self._login.begin(argument, self._security))

    def _answered(self, reply: Reply | None) -> Reply | None:
        if reply is not None and reply.code != 334:
            self._login = None
        return reply

    def _logged(self, reply: Reply) -> None:
        """The answer to AUTH took its time, and is here."""
        self._decided(self._count("AUTH", self._answered(reply) or reply))

    def _logged_in(self, login: str) -> None:
        self.login = login
        self._may_relay = True

    def _not_logged_in(self, reply: Reply) -> Reply:
        self._failures += 1
        self._refused("AUTH", reply)
        authentication = self._reception.authentication
        assert authentication is not None
        return TOO_MANY if self._failures >= authentication.max_failures else reply

    def _xclient(self, argument: str) -> Reply:
        from mether.smtp import xclient
        from mether.smtp.command import BadCommand

        try:
            said = xclient.parse(argument)
        except BadCommand as error:
            return error.reply
        self._abandon()
        self.address = said.address or ("" if said.address == "" else self.address)
        self._host = said.name if said.name is not None else self._host
        self._hello = said.helo or ""
        self.login = said.login or ""
        self._may_relay = bool(self.login) or self.address in self._reception.relay_from
        return self._banner()

    def _vrfy(self, argument: str) -> Reply:
        """RFC 5321 section 3.5.3: no more than we know, and nothing where nothing shall be told."""
        reception = self._reception
        if not reception.vrfy:
            return words.CANNOT_VERIFY
        try:
            path = parse_address(argument.strip("<>"), utf8=True)
        except AddressError:
            return Reply(501, "5.1.3", "that is no address")
        if not path.domain:
            return Reply(250, "2.1.5", f"<{reception.postmaster}>")
        if not reception.table.is_local(path):
            return words.CANNOT_VERIFY if self._may_relay else words.NO_RELAY
        if not _mailbox_name(path.local_part):
            return words.NO_SUCH_USER
        return words.CANNOT_VERIFY

    def _etrn(self, argument: str) -> Reply | None:
        """RFC 1985: start the queue of a domain, for those who may."""
        reception = self._reception
        if reception.start is None or self.address not in reception.etrn_from:
            return words.NO_ETRN
        if argument.startswith("#"):
            return words.NO_SUCH_QUEUE
        domain = etrn_domain(argument)
        if domain is None:
            return words.BAD_NODE

        def started(count: int | StoreError) -> None:
            if isinstance(count, StoreError):
                event.error(str(count))
                reply = Reply(458, "4.3.0", f"unable to start the queue for {argument}")
            elif count:
                reply = Reply(253, "2.0.0", f"{count} messages for {argument} are started")
            else:
                reply = Reply(251, "2.0.0", f"no messages wait for {argument}")
            self._decided(self._count("ETRN", reply))

        reception.start(domain, started)
        return None

    # A transaction.

    def _mail(self, envelope: Envelope) -> Reply:
        refusal = self._no_mail(envelope)
        if refusal is not None:
            self._envelope = None
            return refusal
        if envelope.auth is not None and not self._may_relay:
            envelope.auth = "<>"  # RFC 4954 section 5: nobody vouches for it
        self._envelope = envelope
        return words.SENDER_OK

    def _no_mail(self, envelope: Envelope) -> Reply | None:
        """Why there is to be no transaction, or None."""
        if self._refuse is not None:
            return words.NO_SERVICE
        reception = self._reception
        limits = reception.limits
        sender = envelope.reverse_path
        if self._too_long():
            return words.TOO_LONG_HERE
        if limits.size and envelope.size is not None and envelope.size > limits.size:
            return self._refused("MAIL", words.TOO_BIG)
        if reception.role == "submission":
            if not self._may_relay:
                return words.LOGIN_FIRST
            if sender is not None and not _qualified(sender):
                return self._refused("MAIL", words.UNQUALIFIED_SENDER)
        if self.login and not self._may_use(sender):
            return self._refused("MAIL", words.NOT_YOURS)
        if envelope.hold is not None:
            refusal = hold.refusal(envelope, reception.clock(), local=self._trusted)
            if refusal is not None:
                return self._refused("MAIL", refusal)
        rates = reception.rates
        if rates is not None and not rates.messages.take(network(self.address), reception.clock()):
            return self._refused("MAIL", words.TOO_FAST)
        return None

    def _too_long(self) -> bool:
        """Whether the session went on for too long without a message."""
        seconds = self._reception.limits.seconds
        return bool(seconds) and self._reception.clock() - self._since > seconds

    def _may_use(self, sender: Address | None) -> bool:
        authentication = self._reception.authentication
        return authentication is None or authentication.may_use(self.login, sender)

    def _rcpt(self, recipient: Recipient) -> Reply:
        envelope, reception = self._envelope, self._reception
        assert envelope is not None
        if len(envelope.recipients) >= reception.limits.recipients:
            return self._refused("RCPT", words.TOO_MANY_RECIPIENTS, recipient.forward_path)
        rates = reception.rates
        if rates is not None and not rates.recipients.take(network(self.address), reception.clock()):
            return self._refused("RCPT", words.TOO_FAST, recipient.forward_path)
        path = recipient.forward_path
        local, route = reception.table.find(path)  # the bare postmaster's mail is local, wherever it is read
        if not path.domain:
            path = recipient.forward_path = reception.postmaster
            route = reception.table.route(path)
        if not local and not self._may_relay:
            return self._refused("RCPT", words.NO_RELAY, path)
        if local and not self._may_relay and any(char in path.local_part for char in "@%!"):
            # Somebody else's routing inside our local-part: nobody's mailbox (RFC 2505 section 2.1).
            return self._refused("RCPT", words.NO_SUCH_USER, path)
        if reception.role == "submission" and not local and not _qualified(path):
            return self._refused("RCPT", words.UNQUALIFIED_RECIPIENT, path)
        if route.transport == "maildir" and not _mailbox_name(path.local_part):
            return self._refused("RCPT", words.NO_SUCH_USER, path)
        if path in self._seen:
            return words.RECIPIENT_OK  # already there: one copy is enough
        if len(envelope.recipients) >= FREE_RECIPIENTS:
            if not reception.budget.take(RECIPIENT):
                return self._refused("RCPT", words.TOO_MANY_RECIPIENTS, path)
            self._held += RECIPIENT
        self._seen.add(path)
        envelope.recipients.append(recipient)
        self._routes.append(route)
        return words.RECIPIENT_OK

    def _begin(self) -> None:
        """The content begins: the message gets its queue id."""
        reception = self._reception
        now = reception.clock()
        self._ident = reception.ident(now)
        self._arrival = Arrival(
            now,
            self._protocol(),
            address=self.address,
            host=self._host,
            helo=self._hello,
            login=self.login,
            tls=self._security.cipher if self._security is not None else "",
        )
        mend = self._mend if reception.role == "submission" else None
        self._intake = Intake(self._ident, reception.budget, reception.stage, mend)

    def _protocol(self) -> str:
        """The ``with`` keyword (RFC 3848, RFC 6531 section 4.3)."""
        if not self._esmtp:
            return "SMTP"
        utf8 = self._envelope is not None and self._envelope.smtputf8
        if self._reception.role == "lmtp":
            name = "UTF8LMTP" if utf8 else "LMTP"
        else:
            name = "UTF8SMTP" if utf8 else "ESMTP"
        if self._security is None and not self.login:
            return name
        return f"{name}{'S' if self._security is not None else ''}{'A' if self.login else ''}"

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
        if not (self._reception.add_sender and self.login):
            return None
        login = self.login if "@" in self.login else f"{self.login}@{self._reception.hostname}"
        try:
            return parse_address(login)
        except AddressError:
            return None

    def _queue(self, intake: Intake) -> Reply | None:
        """Hand the message over; None: the reply comes when it is durable."""
        reception, envelope, arrival = self._reception, self._envelope, self._arrival
        assert envelope is not None and arrival is not None
        draft = accept.draft(
            self._ident,
            envelope,
            arrival,
            intake.content,
            self._routes,
            hostname=reception.hostname,
            lifetime=reception.lifetime,
            offset=reception.offset(),
        )
        held, writer = intake.hand_over()
        self._clear()
        draft.claim = reception.admit(draft)

        def done(answer: Committed) -> None:
            reception.budget.give(held)
            if answer.error is not None:
                event.error(str(answer.error), ident=answer.ident)
                if writer is not None:
                    writer.discard()
                self._decided(self._count("DATA", answer.error.reply))
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
            self._decided(self._count("DATA", Reply(250, "2.0.0", f"queued as {answer.ident}")))

        try:
            reception.commit(draft, done)
        except StoreError as error:
            done(Committed(draft.message.ident, error=error))
        return None

    def _abandon(self) -> None:
        """Forget the transaction."""
        if self._intake is not None:
            self._intake.discard()
        self._clear()

    def _clear(self) -> None:
        self._envelope = None
        self._routes = []
        self._seen = set()
        self._ident = ""
        self._intake = None
        if self._held:
            self._reception.budget.give(self._held)
            self._held = 0


def _mailbox_name(local_part: str) -> bool:
    """Whether a Maildir can have this name: `relay.maildir` would refuse it later, with a bounce."""
    name = unquote(local_part)
    return not name.startswith(".") and "/" not in name and name.isprintable()


def _qualified(path: Address) -> bool:
    """Whether the domain is a full one, or an address literal (RFC 6409 section 4.2)."""
    return "." in path.domain or path.domain.startswith("[")
