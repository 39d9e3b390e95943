"""The receiving half of an MTA: answers each event of one SMTP session (RFC 5321 section 4).

A `Session` is the decider of one client's dialogue.  It says who may send what, builds the envelope,
takes the content (in memory up to SMALL octets and while the budget has room, then in a file of the
spool), and hands the draft to the queue.  Its 250 is given only when the commit has returned.

Everything it needs is in a `Reception`, shared by all sessions of a listener; a session keeps the one it
began with.  Relaying is for clients in `relay_from`; all others reach local domains only, else
`550 5.7.1` (checklist SEC-1).  More than MAX_RECEIVED trace fields is a loop, `554 5.4.6`.

Nothing here raises to the shell: trouble with the queue is a 451 or 452, and the session goes on.
"""

from __future__ import annotations

from mether.address import Address, unquote
from mether.content import header
from mether.envelope import Envelope, Recipient
from mether.event import mail as event
from mether.queue.content import SMALL
from mether.queue.store import Arrival, Committed, StoreError
from mether.receive import accept
from mether.reply import Reply
from mether.smtp.command import Grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Protocol

    from mether.outcome import Route
    from mether.queue.content import Writer
    from mether.queue.store import Draft
    from mether.receive.access import Networks
    from mether.receive.budget import Budget
    from mether.smtp.command import Command
    from mether.net.tls import Security
    from mether.smtp.server import EndOfChunk, EndOfContent, Invalid

    class Table(Protocol):
        """Where mail goes: see routing.table."""

        def route(self, address: Address) -> Route:
            """The next hop of an address."""

        def is_local(self, address: Address) -> bool:
            """Whether we are where mail for this address ends."""

    Commit = Callable[[Draft, Callable[[Committed], None]], None]


MAX_RECEIVED: Final = 100
"""Trace fields in a message beyond which it is in a loop (RFC 5321 section 6.3)."""

SENDER_OK: Final = Reply(250, "2.1.0", "sender ok")
RECIPIENT_OK: Final = Reply(250, "2.1.5", "recipient ok")
GO_AHEAD: Final = Reply(354, None, "go ahead; end with <CRLF>.<CRLF>")
CHUNK_TAKEN: Final = Reply(250, "2.0.0", "chunk taken")
RESET: Final = Reply(250, "2.0.0", "reset")
NOTHING_DONE: Final = Reply(250, "2.0.0", "ok")
NO_RELAY: Final = Reply(
    550, "5.7.1", "relaying denied: neither is your address trusted here nor is that domain ours"
)
NO_SUCH_USER: Final = Reply(550, "5.1.1", "no such user here")
TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "too many recipients; send the rest in another transaction")
TOO_MANY_ERRORS: Final = Reply(421, "4.7.0", "too many errors; closing")
TOO_MANY_COMMANDS: Final = Reply(421, "4.7.0", "too many commands; closing")
TOO_BIG: Final = Reply(552, "5.3.4", "the message is larger than this system takes")
LOOP: Final = Reply(554, "5.4.6", f"more than {MAX_RECEIVED} Received fields: the message is in a loop")
CANNOT_VERIFY: Final = Reply(252, "2.5.0", "cannot verify; send the message and see")
NO_EXPANSION: Final = Reply(252, "2.5.0", "lists are not shown")
HELP: Final = Reply(
    214,
    "2.0.0",
    "EHLO host            begin; the reply lists the extensions",
    "MAIL FROM:<address>  begin a transaction; <> for the null reverse-path",
    "RCPT TO:<address>    add a recipient",
    "DATA                 send the message, ended by a dot on a line of its own",
    "RSET                 forget the transaction",
    "NOOP, HELP, VRFY     do nothing, show this, ask about an address",
    "QUIT                 end the session",
)


class Limits:
    """What one session may do: octets of content, recipients in a transaction, commands between
    transactions, errors in all.  0 means no limit for `size`."""

    __slots__ = ("commands", "errors", "recipients", "size")

    def __init__(self, *, size: int, recipients: int, commands: int, errors: int) -> None:
        self.size = size
        self.recipients = recipients
        self.commands = commands
        self.errors = errors


class Reception:
    """What the sessions of a listener share.

    `ident` makes a queue id from Unix seconds; `clock` gives those; `offset` local time's lead over
    UTC in seconds; `lifetime` is how long a message may be queued, in seconds; `stage` opens a writer in
    the spool; `commit` queues a draft; `admit` says whether the runner has room to take a draft
    straight through, and then counts it as taken.
    """

    __slots__ = (
        "admit",
        "budget",
        "clock",
        "commit",
        "grammar",
        "hello_lines",
        "hostname",
        "ident",
        "lifetime",
        "limits",
        "offset",
        "postmaster",
        "relay_from",
        "stage",
        "table",
    )

    def __init__(
        self,
        *,
        hostname: str,
        postmaster: Address,
        limits: Limits,
        relay_from: Networks,
        table: Table,
        budget: Budget,
        clock: Callable[[], float],
        ident: Callable[[float], str],
        lifetime: float,
        stage: Callable[[str], Writer],
        commit: Commit,
        admit: Callable[[Draft], bool] = lambda draft: False,
        offset: Callable[[], int] = lambda: 0,
    ) -> None:
        self.hostname = hostname
        self.postmaster = postmaster
        self.limits = limits
        self.relay_from = relay_from
        self.table = table
        self.budget = budget
        self.clock = clock
        self.ident = ident
        self.lifetime = lifetime
        self.stage = stage
        self.commit = commit
        self.admit = admit
        self.offset = offset
        keywords = ["PIPELINING", f"SIZE {limits.size}", "8BITMIME", "ENHANCEDSTATUSCODES", "HELP"]
        self.hello_lines = keywords
        self.grammar = Grammar([line.partition(" ")[0] for line in keywords])


class Session:
    """One client, at `address` (an IP address, or "" for a program of this host).

    `decided` is called with each reply that could not be given at once.  `refuse` is the reply to
    give instead of a greeting.  A `trusted` client may relay wherever it connects from.  `worst` is the
    highest code of 400 and more that was given, 0 for none.
    """

    __slots__ = (
        "_arrival",
        "_chunks",
        "_commands",
        "_counts",
        "_decided",
        "_envelope",
        "_errors",
        "_esmtp",
        "_failed",
        "_head",
        "_held",
        "_hello",
        "_ident",
        "_may_relay",
        "_reception",
        "_refuse",
        "_routes",
        "_seen",
        "_started",
        "_writer",
        "address",
        "last",
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
        self.address = address
        self._decided = decided
        self._refuse = refuse
        self._may_relay = trusted or address in reception.relay_from
        self._hello = ""
        self._esmtp = False
        self._errors = 0
        self._commands = 0
        self._counts: dict[str, tuple[int, int]] = {}
        self._started = reception.clock()
        self.last = "CONNECT"
        self.worst = 0
        self._envelope: Envelope | None = None
        self._routes: list[Route] = []
        self._seen: set[Address] = set()
        self._ident = ""
        self._arrival: Arrival | None = None
        self._chunks: list[bytes] = []
        self._head = 0
        self._held = 0
        self._writer: Writer | None = None
        self._failed: Reply | None = None

    def greeting(self) -> Reply:
        """220 with our name, or the refusal."""
        if self._refuse is not None:
            event.rejected(self.address, "CONNECT", self._refuse)
            return self._refuse
        event.connected(self.address)
        return Reply(220, None, f"{self._reception.hostname} ESMTP mether")

    def command(self, command: Command) -> Reply | None:
        """Answer a command."""
        verb = command.verb
        self.last = verb
        self._commands += 1
        limit = self._reception.limits.commands
        if limit and self._commands > limit:
            event.cut(self.address, "too many commands", after=verb)
            reply = TOO_MANY_COMMANDS
        elif verb == "RCPT":
            assert isinstance(command.value, Recipient)
            reply = self._rcpt(command.value)
        elif verb == "MAIL":
            assert isinstance(command.value, Envelope)
            reply = self._mail(command.value)
        elif verb == "DATA":
            reply = self._data()
        else:
            reply = self._other(verb, command.argument)
        return self._count(verb, reply)

    def content(self, data: bytes) -> None:
        """Take content: in memory while it is small and the budget has room, else in a file."""
        if self._failed is not None:
            return
        if self._writer is None:
            if self._held + len(data) <= SMALL and self._reception.budget.take(len(data)):
                self._held += len(data)
                self._chunks.append(data)
                return
            self._spill()
        self._keep_head(data)
        self._write(data)

    def end_of_content(self, end: EndOfContent) -> Reply | None:
        """The content is complete: refuse it, or queue it and answer when that is durable."""
        self.last = "END-OF-MESSAGE"
        self._commands = 0
        if end.fault is None and end.data:
            self.content(end.data)
        reply = end.fault or self._failed
        if reply is None:
            reply = self._loop()
        if reply is not None:
            self._discard()
            return self._count("DATA", self._refused("END-OF-MESSAGE", reply))
        try:
            return self._queue()
        except StoreError as error:
            event.error(str(error), ident=self._ident)
            self._discard()
            return self._count("DATA", error.reply)

    def end_of_chunk(self, chunk: EndOfChunk) -> Reply:
        """A chunk of the content is complete."""
        self.content(chunk.data)
        return self._count("BDAT", chunk.fault or CHUNK_TAKEN)

    def secured(self, security: Security) -> None:
        """TLS has begun: what the client said before does not count."""
        self._abandon()
        self._hello = ""

    def invalid(self, invalid: Invalid) -> Reply:
        """Answer what was no good command; 421 when there were too many."""
        return self._count(invalid.verb or "unknown", invalid.reply)

    def ended(self, why: str = "") -> None:
        """The session is over; `why` when it ended without QUIT."""
        self._discard()
        if self._refuse is None:
            if why and self.last != "QUIT":
                event.cut(self.address, why, after=self.last)
            seconds = self._reception.clock() - self._started
            event.disconnected(self.address, commands=self._counts, seconds=seconds)

    def _count(self, verb: str, reply: Reply) -> Reply:
        """Count a reply: DATA once, when its content was answered."""
        if reply.code == 354:
            return reply
        if reply.code >= 400:
            self.worst = max(self.worst, reply.code)
        verb = verb.lower()
        done, given = self._counts.get(verb, (0, 0))
        self._counts[verb] = (done + (reply.code < 400), given + 1)
        if reply.code >= 500:
            self._errors += 1
            limit = self._reception.limits.errors
            if limit and self._errors >= limit and self._refuse is None:
                event.cut(self.address, "too many errors", after=self.last)
                return TOO_MANY_ERRORS
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

    def _other(self, verb: str, argument: str) -> Reply:
        if self._refuse is not None and verb != "QUIT":
            return Reply(503, "5.5.1", "no service here; say QUIT")  # RFC 5321 section 3.1
        if verb in ("EHLO", "HELO"):
            self._abandon()
            self._hello = argument
            self._esmtp = verb == "EHLO"
            name = self._reception.hostname
            return (
                Reply(250, None, name, *self._reception.hello_lines)
                if self._esmtp
                else Reply(250, None, name)
            )
        if verb == "RSET":
            self._abandon()
            return RESET
        if verb == "NOOP":
            return NOTHING_DONE
        if verb == "QUIT":
            return Reply(221, "2.0.0", f"{self._reception.hostname} closing")
        if verb == "HELP":
            return HELP
        if verb == "VRFY":
            return CANNOT_VERIFY
        if verb == "EXPN":
            return NO_EXPANSION
        return Reply(502, "5.5.1", f"{verb} is not offered here")

    def _mail(self, envelope: Envelope) -> Reply:
        if self._refuse is not None:
            return Reply(503, "5.5.1", "no service here; say QUIT")
        limit = self._reception.limits.size
        if limit and envelope.size is not None and envelope.size > limit:
            self._envelope = None
            return self._refused("MAIL", TOO_BIG)
        self._envelope = envelope
        return SENDER_OK

    def _rcpt(self, recipient: Recipient) -> Reply:
        envelope, reception = self._envelope, self._reception
        assert envelope is not None
        if len(envelope.recipients) >= reception.limits.recipients:
            return self._refused("RCPT", TOO_MANY_RECIPIENTS, recipient.forward_path)
        path = recipient.forward_path
        local = reception.table.is_local(path)  # the bare postmaster's mail is, wherever it is read
        if not path.domain:
            path = recipient.forward_path = reception.postmaster
        if not local and not self._may_relay:
            return self._refused("RCPT", NO_RELAY, path)
        if local and not self._may_relay and any(char in path.local_part for char in "@%!"):
            # Somebody else's routing inside our local-part: nobody's mailbox (RFC 2505 section 2.1).
            return self._refused("RCPT", NO_SUCH_USER, path)
        route = reception.table.route(path)
        if route.transport == "maildir" and not _mailbox_name(path.local_part):
            return self._refused("RCPT", NO_SUCH_USER, path)
        if path in self._seen:
            return RECIPIENT_OK  # already there: one copy is enough
        self._seen.add(path)
        envelope.recipients.append(recipient)
        self._routes.append(route)
        return RECIPIENT_OK

    def _data(self) -> Reply:
        now = self._reception.clock()
        self._ident = self._reception.ident(now)
        self._arrival = Arrival(
            now, "ESMTP" if self._esmtp else "SMTP", address=self.address, helo=self._hello
        )
        return GO_AHEAD

    def _loop(self) -> Reply | None:
        head = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = [head]
        return LOOP if header.count_received(head[: header.split(head)]) > MAX_RECEIVED else None

    def _queue(self) -> Reply | None:
        """Hand the message over; None: the reply comes when it is durable."""
        reception, envelope, arrival = self._reception, self._envelope, self._arrival
        assert envelope is not None and arrival is not None
        draft = accept.draft(
            self._ident,
            envelope,
            arrival,
            self._chunks[0] if self._writer is None else self._writer,
            self._routes,
            hostname=reception.hostname,
            lifetime=reception.lifetime,
            offset=reception.offset(),
        )
        held, writer = self._held, self._writer
        self._held, self._writer = 0, None  # they are the draft's now
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
                protocol=arrival.protocol,
                helo=arrival.helo,
            )
            self._decided(self._count("DATA", Reply(250, "2.0.0", f"queued as {answer.ident}")))

        try:
            reception.commit(draft, done)
        except StoreError as error:
            done(Committed(draft.message.ident, error=error))
        return None

    def _spill(self) -> None:
        """Move what is in memory to a file; its header stays for the loop check too."""
        try:
            self._writer = self._reception.stage(self._ident)
        except StoreError as error:
            self._fail(error)
            return
        data = b"".join(self._chunks)
        self._reception.budget.give(self._held)
        self._held = self._head = 0
        self._chunks = []
        self._keep_head(data)
        self._write(data)

    def _keep_head(self, data: bytes) -> None:
        """Keep the header of content that lies in a file, or its first SMALL octets if it is longer."""
        if self._head >= SMALL:
            return
        head = b"".join((*self._chunks, data[: SMALL - self._head]))
        end = header.split(head)
        complete = end < len(head)
        self._chunks = [head[:end] if complete else head]
        self._head = SMALL if complete else len(head)

    def _write(self, data: bytes) -> None:
        if self._writer is None or self._failed is not None:
            return
        try:
            self._writer.write(data)
        except StoreError as error:
            self._fail(error)

    def _fail(self, error: StoreError) -> None:
        event.error(str(error), ident=self._ident)
        self._failed = error.reply
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def _abandon(self) -> None:
        self._discard()
        self._envelope = None

    def _discard(self) -> None:
        """Forget the content and what came with it."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        self._reception.budget.give(self._held)
        self._held = 0
        self._clear()

    def _clear(self) -> None:
        self._envelope = None
        self._routes = []
        self._seen = set()
        self._ident = ""
        self._chunks = []
        self._head = 0
        self._failed = None


def _mailbox_name(local_part: str) -> bool:
    """Whether a Maildir can have this name: `relay.maildir` would refuse it later, with a bounce."""
    name = unquote(local_part)
    return not name.startswith(".") and "/" not in name and name.isprintable()
