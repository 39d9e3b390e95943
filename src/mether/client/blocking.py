"""The synchronous client: one session on a blocking socket, for `smtp`.

    client = BlockingClient(connection, timeouts, watch)
    client.hello(name)                    greeting and EHLO, HELO where that is refused
    client.starttls(terms)                then hello again
    client.shake_hands(terms)             for implicit TLS, before the first hello
    client.login(credentials)
    client.transact(transaction, ...)     one message
    client.quit()

Raises `Lost` when the session is over before its time.  A reply must be complete within its time-out, so
that a server that gives it octet by octet holds nobody for ever.  `watch(direction, text)` is told each
line, for `smtp -v`: ``->`` what we say, ``<-`` what the server says.
"""

from __future__ import annotations

import time

from mether.client.session import Lost, Timeouts, pieces
from mether.reply import Reply
from mether.smtp import client, command, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from mether.client.session import Source
    from mether.net.blocking import Blocking
    from mether.net.tls import Security, Terms
    from mether.smtp.sasl_client import Credentials
    from mether.smtp.transaction import Transaction


class BlockingClient:
    """One session on `connection`; `clock` gives seconds from anywhere."""

    def __init__(
        self,
        connection: Blocking,
        timeouts: Timeouts,
        watch: Callable[[str, str], None] = lambda direction, text: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.protocol = client.ClientProtocol()
        self._connection = connection
        self._timeouts = timeouts
        self._watch = watch
        self._clock = clock

    def hello(self, name: str, *, lmtp: bool = False) -> Reply:
        """Take the greeting and say EHLO (LHLO); returns the last reply, which may be a refusal.

        HELO is said only where EHLO is not known (RFC 5321 section 3.2).
        """
        if self.protocol.greeting is None:
            greeting = self._reply("greeting")
            if not greeting.ok:
                return greeting
        verb = "LHLO" if lmtp else "EHLO"
        reply = self.ask(verb, command.hello(verb, name))
        if not lmtp and reply.permanent:
            reply = self.ask("HELO", command.hello("HELO", name))
        return reply

    @property
    def secure(self) -> Security | None:
        """How the session is protected; None: in clear."""
        return self._connection.secure

    def shake_hands(self, terms: Terms) -> None:
        """Begin TLS with the connection (RFC 8314 section 3), before `hello`.  Raises Lost of kind "tls"."""
        from mether.net.tlserror import TlsError

        try:
            secure = self._connection.start_tls(terms, self._timeouts.tls, self._clock)
        except TlsError as error:
            raise Lost("tls", "", str(error), error.kind) from None
        trust = "verified" if secure.verified else "not verified"
        name = f" ({secure.name})" if secure.verified and secure.name else ""
        self._watch("--", f"TLS: {secure}; certificate {trust}{name}")

    def starttls(self, terms: Terms) -> Reply:
        """Say STARTTLS and shake hands; returns the reply.

        After a 2yz the session is under TLS and what the server offered is forgotten: say hello again (RFC
        3207 section 4.2).  After a refusal it goes on in clear.  Raises Lost: of kind "tls" when the
        handshake fails.
        """
        reply = self.ask("STARTTLS", command.plain("STARTTLS"))
        if reply.ok:
            try:
                self.protocol.tls_started()
            except client.ProtocolFault as error:
                self.close()
                raise Lost("protocol", "STARTTLS", str(error)) from None
            self.shake_hands(terms)
        return reply

    def login(self, credentials: Credentials, *, host: str = "", port: int = 0) -> tuple[Reply, bool]:
        """Log in; the last reply, a 2yz when we are, and whether it is in the server's words.

        `client.login` says what is sent to whom.
        """
        from mether.client import login

        connection = self._connection
        steps = login.exchange(
            self.protocol.offer, credentials, self.secure, connection.address, host=host, port=port
        )
        try:
            step = next(steps)
            while True:
                step = steps.send(self.ask(*step))
        except StopIteration as ended:
            result: tuple[Reply, bool] = ended.value
            return result

    def ask(self, verb: str, line: bytes) -> Reply:
        """Send a command and wait for its reply."""
        self._send([(verb, line)])
        return self._reply(verb)

    def transact(self, transaction: Transaction, trace: bytes, content: Source) -> None:
        """Run the transaction to its end.  Raises Lost, or OSError when the content can't be read."""
        self._send(transaction.start())
        while not transaction.finished:
            verb, reply = self._next()
            self._send(transaction.reply(verb, reply))
            if transaction.wants_content:
                self._content(transaction, trace, content)

    def quit(self) -> None:
        """Say QUIT, wait a little for the reply, and close; never raises."""
        try:
            # While a reply is still awaited the session is lost: QUIT would wait for that reply again.
            if self.protocol.state != "CLOSED" and not self.protocol.outstanding:
                self.ask("QUIT", command.plain("QUIT"))
        except (Lost, client.LocalError):
            pass
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _content(self, transaction: Transaction, trace: bytes, content: Source) -> None:
        if self._gave_up(transaction):
            return
        chunked = transaction.chunk is not None
        if transaction.chunk is not None:
            self._send([transaction.chunk])
        if transaction.dot_only:
            self._write(b".\r\n")
        else:
            begun = False
            for piece in pieces(trace, content, chunked=chunked):
                if begun and self._gave_up(transaction, 0.0):
                    return
                try:
                    self._connection.send(piece, self._timeouts.block)
                except OSError as error:
                    if self._gave_up(transaction, 1.0):
                        return
                    raise self._unsent(error) from None
                begun = begun or piece != b""
            self._watch("->", f"({len(trace) + content.size} octets of content)")
        if not chunked:
            self._watch("->", ".")
            self.protocol.content_sent()
        for _ in range(transaction.sent() - 1):
            self.protocol.expect_another()

    def _send(self, commands: list[tuple[str, bytes]]) -> None:
        if not commands:
            return
        if self.protocol.state == "CLOSED":
            raise Lost("closed", "", "the server ended the session")
        if not self.protocol.outstanding:
            self._unasked()
        for verb, line in commands:
            self._watch("->", _shown(verb, line))
        self._write(b"".join([self.protocol.send(verb, line) for verb, line in commands]))

    def _write(self, data: bytes) -> None:
        try:
            self._connection.send(data, self._timeouts.block)
        except OSError as error:
            # The server may have said why before it closed: its reply is worth more than our error.
            if not isinstance(error, TimeoutError):
                self._last_words()
            raise self._unsent(error) from None

    def _unsent(self, error: OSError) -> Lost:
        if isinstance(error, TimeoutError):
            return Lost("timeout", self._stage, "the server stopped taking what we sent")
        return Lost("closed", self._stage, f"connection lost: {error.strerror or error}")

    def _gave_up(self, transaction: Transaction, seconds: float | None = None) -> bool:
        """Whether the server has refused the content before its end; the transaction is then finished.

        What comes in so many seconds counts too.
        """
        while True:
            try:
                event = self.protocol.next_event()
            except client.ProtocolFault as error:
                raise Lost("protocol", "", str(error)) from None
            if isinstance(event, tuple):
                self._show(event[1])
                transaction.reply(*event)
                # Half of the content is out: the server would take whatever followed, QUIT too, for the rest.
                self.protocol.state = state.CLOSED
                return True
            if seconds is None or event == client.END_OF_INPUT:
                return False
            try:
                self.protocol.receive(self._connection.receive(seconds))
            except OSError:
                return False

    def _last_words(self) -> None:
        try:
            while data := self._connection.receive(1.0):
                self.protocol.receive(data)
                event = self.protocol.next_event()
                if isinstance(event, tuple):
                    self._show(event[1])
                    raise Lost("closed", event[0], f"the server said {event[1]} and closed")
        except (OSError, client.ProtocolFault):
            pass

    def _unasked(self) -> None:
        """What is there before we asked is no reply to what we are about to ask."""
        try:
            event = self.protocol.next_event()
        except client.ProtocolFault as error:
            raise Lost("protocol", "", str(error)) from None
        if isinstance(event, tuple):
            self._show(event[1])
            raise Lost("closed", "", f"the server said {event[1]}")

    @property
    def _stage(self) -> str:
        return self.protocol.awaited

    def _reply(self, verb: str) -> Reply:
        answered, reply = self._next()
        if answered != verb:
            raise Lost("protocol", verb, f"a reply that was not asked for: {reply}")
        return reply

    def _next(self) -> tuple[str, Reply]:
        stage = self._stage
        until = self._clock() + self._timeouts.reply_to(stage)
        while True:
            try:
                event = self.protocol.next_event()
            except client.ProtocolFault as error:
                raise Lost("protocol", stage, str(error)) from None
            if isinstance(event, tuple):
                self._show(event[1])
                if not event[0]:
                    raise Lost("closed", stage, f"the server said {event[1]}")
                return event
            if event == client.END_OF_INPUT:
                raise Lost("closed", stage, "the server closed the connection")
            try:
                left = until - self._clock()
                if left <= 0:
                    raise TimeoutError
                self.protocol.receive(self._connection.receive(left))
            except TimeoutError:
                raise Lost("timeout", stage, "the server did not answer in time") from None
            except OSError as error:
                raise Lost("closed", stage, f"connection lost: {error.strerror or error}") from None

    def _show(self, reply: Reply) -> None:
        for line in reply.encode().decode().splitlines():
            self._watch("<-", line)


def _shown(verb: str, line: bytes) -> str:
    """A command for a person; of AUTH the mechanism, for what follows are secrets."""
    text = line.decode().rstrip("\r\n")
    if verb == "AUTH":
        return " ".join(text.split(" ")[:2]) + (" (secret)" if text.count(" ") > 1 else "")
    return "(secret)" if verb == "RESPONSE" else text
