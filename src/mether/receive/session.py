"""The receiving half of an MTA: answers each event of one SMTP or LMTP session (RFC 5321 section 4).

A `Session` is the decider of one client's dialogue.  Mail is for its `receive.transaction` to answer; the
session answers what is about the client itself (hello, TLS, login, VRFY, ETRN, XCLIENT), and counts.  What
all sessions of a listener share is in a `Reception`.

A session that has brought no message for long ends outside a transaction, with 421; one that is busy, or slow
within a message, is let be.  One with too many errors, or commands without a message, ends too.

Nothing here raises to the shell: trouble with the queue is a 451 or 452, and the session goes on.
"""

from __future__ import annotations

from functools import lru_cache, partial

from mether.event import mail as event
from mether.queue.store import StoreError
from mether.receive import verify, words
from mether.receive.client import Client
from mether.receive.learning import look_up
from mether.receive.login import TLS_FIRST, TOO_MANY, Login
from mether.receive.offer import Who, etrn_domain
from mether.receive.transaction import Transaction
from mether.reply import Reply
from mether.routing.source import Needs, TableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Final

    from mether.net.tls import Security
    from mether.receive.reception import Reception
    from mether.smtp.command import Command
    from mether.smtp.server_events import EndOfChunk, EndOfContent, Invalid

_BEFORE_TLS: Final = frozenset(("EHLO", "HELO", "LHLO", "NOOP", "STARTTLS", "QUIT", "RSET", "HELP"))
"""What a client may say where TLS must come first (RFC 3207 section 4)."""

_LOGIN_REFUSED: Final = (454, 525, 530)
"""Refusals of AUTH that a person may look for; wrong credentials are told when they were found to be."""

SMALL_CHUNK: Final = 512
"""Octets below which a chunk counts as a command: chunks without end must not hold a session for ever."""


class Session:
    """One client, at `address` (an IP address, or "" for a program of this host).

    `decided` is called with each reply that could not be given at once.  `refuse` is the reply to
    give instead of a greeting.  A `trusted` client may relay wherever it connects from; one
    that is `announced` is in the log already.  `worst` is the
    highest code of 400 and more that was given, 0 for none; `last` the latest verb.
    """

    __slots__ = (
        "_announced",
        "_client",
        "_commands",
        "_decided",
        "_done",
        "_errors",
        "_failures",
        "_login",
        "_reception",
        "_refuse",
        "_refused",
        "_since",
        "_started",
        "_transaction",
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
        announced: bool = False,
    ) -> None:
        self._reception = reception
        self._client = client = Client(address, reception.relay_from, trusted=trusted)
        self._transaction = Transaction(
            reception, client, self._taken, partial(self._later, "RCPT"), partial(self._later, "MAIL")
        )
        self._decided = decided
        self._refuse = refuse
        self._announced = announced
        self._login: Login | None = None
        self._failures = 0
        self._errors = 0
        self._commands = 0
        self._done: dict[str, int] = {}
        self._refused: dict[str, int] = {}
        self._started = self._since = reception.clock()
        self.last = "CONNECT"
        self.worst = 0

    def greeting(self) -> Reply:
        """220 with our name, or the refusal."""
        if self._refuse is not None:
            event.rejected(self._client.address, "CONNECT", self._refuse)
            return self._refuse
        if not self._announced:
            event.connected(self._client.address)
        return self._reception.banner

    def command(self, command: Command) -> Reply | None:
        """Answer a command."""
        verb = command.verb
        self.last = verb
        self._commands += 1
        reception = self._reception
        reply: Reply | None
        if 0 < reception.limits.commands < self._commands:
            event.cut(self._client.address, "too many commands", after=verb)
            reply = words.TOO_MANY_COMMANDS
        elif reception.require_tls and self._client.security is None and verb not in _BEFORE_TLS:
            sent = command.value if verb == "MAIL" else None
            reply = self._transaction.refused(verb, TLS_FIRST, envelope=sent)  # type: ignore[arg-type]
        elif verb == "RCPT":
            reply = self._transaction.rcpt(command.value)  # type: ignore[arg-type]
        elif verb == "MAIL":
            if self._refuse is not None:
                reply = words.NO_SERVICE
            elif self._too_long():
                reply = words.TOO_LONG_HERE
            else:
                reply = self._transaction.mail(command.value)  # type: ignore[arg-type]
        elif verb == "DATA":
            self._transaction.begin()
            reply = words.GO_AHEAD
        else:
            reply = self._other(verb, command.argument)
        return None if reply is None else self._count(verb, reply)

    def content(self, data: bytes) -> None:
        """Take content."""
        self._transaction.add(data)

    def end_of_chunk(self, chunk: EndOfChunk) -> Reply:
        """A chunk of the content is complete, and is not the last one."""
        self.last = "BDAT"
        self._commands += len(chunk.data) < SMALL_CHUNK
        limit = self._reception.limits.commands
        if limit and self._commands > limit:
            event.cut(self._client.address, "too many commands", after="BDAT")
            self._transaction.abandon()
            return self._count("BDAT", words.TOO_MANY_COMMANDS)
        self._transaction.add(chunk.data)
        if chunk.fault is not None:
            self._transaction.abandon()
            return self._count("BDAT", self._transaction.refused("END-OF-MESSAGE", chunk.fault))
        return self._count("BDAT", words.CHUNK_TAKEN)

    def end_of_content(self, end: EndOfContent) -> Reply | None:
        """The content is complete: refuse it, or queue it and answer when that is durable."""
        self.last = "END-OF-MESSAGE"
        self._commands = 0
        self._since = self._reception.clock()
        reply = self._transaction.finish(end)
        return None if reply is None else self._count("DATA", reply)

    def _taken(self, reply: Reply) -> None:
        """The answer to a content, once it is durable."""
        self._decided(self._count("DATA", reply))

    def _later(self, verb: str, reply: Reply) -> None:
        """The answer to a command for which a table or the DNS had to be asked."""
        self._decided(self._count(verb, reply))

    def invalid(self, invalid: Invalid) -> Reply:
        """Answer what was no good command; 421 when there were too many."""
        if invalid.verb == "RESPONSE":
            self._login = None
        return self._count(invalid.verb or "unknown", invalid.reply)

    def secured(self, security: Security) -> None:
        """TLS has begun: what the client said before does not count (RFC 3207 section 4.2)."""
        self._transaction.abandon()
        event.secured(
            self._client.address, security.version, security.cipher, security.bits, verified=security.verified
        )
        self._client.secured(security)

    def ended(self, why: str = "") -> None:
        """The session is over; `why` when it ended without QUIT.

        A reply that is still awaited goes to nobody: without the way back to its connection a session ends by
        itself, and leaves nothing to a search for rings.
        """
        self._transaction.end()
        self._decided = words.unheard
        if self._login is not None:
            self._login.over = True
        if self._refuse is None:
            if why and self.last != "QUIT":
                event.cut(self._client.address, why, after=self.last)
            seconds = self._reception.clock() - self._started
            counts = _counts(tuple(self._done.items()), tuple(self._refused.items()))
            event.disconnected(self._client.address, commands=counts, seconds=seconds)

    def _count(self, verb: str, reply: Reply) -> Reply:
        """Count a reply: DATA once, when its content was answered."""
        code = reply.code
        if code < 400:
            if code < 300:
                self._done[verb] = self._done.get(verb, 0) + 1
            return reply
        self._refused[verb] = self._refused.get(verb, 0) + 1
        self.worst = max(self.worst, code)
        if code >= 500:
            self._errors += 1
            limit = self._reception.limits.errors
            if limit and self._errors >= limit and self._refuse is None:
                event.cut(self._client.address, "too many errors", after=self.last)
                return words.TOO_MANY_ERRORS
        return reply

    # Commands.

    def _other(self, verb: str, argument: str) -> Reply | None:
        if self._refuse is not None and verb != "QUIT":
            return words.NO_SERVICE  # RFC 5321 section 3.1
        if verb != "QUIT" and self._transaction.envelope is None and self._too_long():
            return words.TOO_LONG_HERE
        if verb in ("EHLO", "HELO", "LHLO"):
            return self._greeted(verb, argument)
        if verb == "RSET":
            self._transaction.abandon()
            return words.RESET
        if verb == "NOOP":
            return words.NOTHING_DONE
        if verb == "QUIT":
            return self._reception.farewell
        if verb == "STARTTLS":
            return self._starttls()
        if verb == "AUTH":
            return self._auth(argument)
        if verb == "RESPONSE":
            assert self._login is not None
            return self._answered(self._login.respond(argument))
        if verb == "HELP":
            return words.help_about(argument, self._reception.role == "lmtp")
        if verb in ("VRFY", "EXPN"):
            answer = verify.vrfy if verb == "VRFY" else verify.expn
            return self._look_up(verb, partial(answer, self._reception, self._client, argument))
        if verb == "ETRN":
            return self._etrn(argument)
        # Whoever connected may say it again, whomever it has spoken for before.
        if verb == "XCLIENT" and self._client.peer in self._reception.xclient_from:
            return self._xclient(argument)
        return Reply(502, "5.5.1", f"{verb} is not offered here")

    def _greeted(self, verb: str, argument: str) -> Reply:
        self._transaction.abandon()
        client, reception = self._client, self._reception
        client.hello = argument
        client.esmtp = verb != "HELO"
        if not client.esmtp:
            return reception.hello
        return reception.offers.reply(reception.hostname, self._who(), reception.clock())

    def _who(self) -> Who:
        """What we know of the client that bears on what it is offered."""
        reception = self._reception
        login = reception.authentication
        return Who(
            secure=self._client.security is not None,
            submitter=reception.role == "submission"
            or (reception.role == "local" and self._client.may_relay),
            mechanisms=login.mechanisms(self._client.address, self._client.security)
            if login is not None
            else (),
            etrn=reception.start is not None and self._client.address in reception.etrn_from,
            xclient=self._client.peer in reception.xclient_from,
            local=self._client.trusted,
        )

    def _starttls(self) -> Reply:
        if self._client.security is not None:
            return words.ALREADY_SECURE
        return words.GO_SECURE if self._reception.starttls else Reply(502, "5.5.1", "there is no TLS here")

    def _auth(self, argument: str) -> Reply | None:
        authentication = self._reception.authentication
        if authentication is None:
            return Reply(502, "5.5.1", "nobody can log in here")
        if self._client.login:
            return words.ALREADY_LOGGED_IN
        self._login = Login(
            authentication,
            self._client.address,
            decided=self._logged,
            logged_in=self._client.logged_in,
            failed=self._not_logged_in,
        )
        return self._answered(self._login.begin(argument, self._client.security))

    def _answered(self, reply: Reply | None) -> Reply | None:
        if reply is not None and reply.code != 334:
            if reply.code in _LOGIN_REFUSED:
                self._transaction.refused("AUTH", reply, login=self._login)
            self._login = None
        return reply

    def _logged(self, reply: Reply) -> None:
        """The answer to AUTH took its time, and is here."""
        self._decided(self._count("AUTH", self._answered(reply) or reply))

    def _not_logged_in(self, reply: Reply) -> Reply:
        self._failures += 1
        self._transaction.refused("AUTH", reply, login=self._login)
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
        self._transaction.abandon()
        self._client.speaks_for(said)
        return self._reception.banner

    def _look_up(self, verb: str, decide: Callable[[], Reply]) -> Reply | None:
        """Answer what tables are asked for; None: later."""
        try:
            return decide()
        except TableError as error:
            return self._unread(verb, error)
        except Needs as need:
            look_up(
                self._reception.learn,
                decide,
                partial(self._unread, verb),
                partial(self._later, verb),
                lambda: self._decided is not words.unheard,
                need,
            )
            return None

    def _unread(self, verb: str, error: TableError) -> Reply:
        event.error(str(error))
        return self._transaction.refused(verb, error.reply)

    def _etrn(self, argument: str) -> Reply | None:
        """RFC 1985: start the queue of a domain, for those who may."""
        reception = self._reception
        if reception.start is None or self._client.address not in reception.etrn_from:
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

    def _too_long(self) -> bool:
        """Whether the session went on for too long without a message."""
        seconds = self._reception.limits.seconds
        return bool(seconds) and self._reception.clock() - self._since > seconds


@lru_cache(256)
def _counts(
    done: tuple[tuple[str, int], ...], refused: tuple[tuple[str, int], ...]
) -> Mapping[str, tuple[int, int]]:
    """Counts of a session as its event has them, (accepted, given); most sessions have the same as others."""
    accepted = dict(done)
    counts = {verb.lower(): (count, count) for verb, count in done}
    for verb, count in refused:
        good = accepted.get(verb, 0)
        counts[verb.lower()] = (good, good + count)
    return counts
