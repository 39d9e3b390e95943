"""The asynchronous client: one session under asyncio, with no task of its own.

    client = await connect.connect(loop, host, port, timeouts)
    await client.hello(name)
    await client.starttls(terms); await client.hello(name)
    await client.login(credentials)
    await client.transact(transaction, trace, content)     one message, one wait
    await client.quit()

Replies are taken where their octets arrive; whoever awaits is woken once per transaction.  Raises
`Lost` when the session is over before its time.  Small content goes out in one write with its end, so
that no delayed acknowledgement costs 40 ms.
"""

from __future__ import annotations

import asyncio

from mether.client import transcript
from mether.client.session import Lost, Timeouts, pieces, small
from mether.net.stream import Stream
from mether.reply import Reply
from mether.smtp import client, command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from mether.client.session import Source
    from mether.client.transcript import Log
    from mether.net.tls import Terms
    from mether.net.tlserror import TlsError
    from mether.smtp.sasl_client import Credentials
    from mether.smtp.transaction import Transaction


class StreamClient(Stream):
    """One session.  `address` is the IP address (or path) it is connected to; `alive` is False from the
    moment the session is lost, be it in use or kept; `account` is for whoever logs in; `passed` are the
    host's addresses that failed before this one.  With `terms` TLS begins with the connection.

    What is said is kept in `logs` (see `client.transcript`): the opening of the session, and what came
    since the latest `begin`.
    """

    account: object = None
    passed: tuple[str, ...] = ()

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        timeouts: Timeouts,
        address: str,
        terms: Terms | None = None,
    ) -> None:
        super().__init__(loop)
        self._terms = terms
        self.protocol = client.ClientProtocol()
        self.address = address
        self.alive = True
        self._timeouts = timeouts
        self._waiter: asyncio.Future[None] | None = None
        self._problem: Lost | None = None
        self._transaction: Transaction | None = None
        self._small: bytes | None = None
        self._last: Reply | None = None
        self._room: asyncio.Future[None] | None = None
        self._opening: Log = []
        self._log = self._opening

    @property
    def logs(self) -> list[Log]:
        """What was said: in the opening of the session, and since then."""
        return [self._opening] if self._log is self._opening else [self._opening, self._log]

    @property
    def problem(self) -> str:
        """What ended the session, "" as long as nothing did."""
        return "" if self._problem is None else str(self._problem)

    @property
    def sending(self) -> bool:
        """Whether content is on its way: it has begun, and its reply has not come."""
        transaction = self._transaction
        return transaction is not None and (transaction.wants_content or transaction.content_sent)

    def begin(self) -> None:
        """Forget what was said since the opening of the session."""
        self._log = []

    def give_up(self, kind: str, text: str, *, late: bool = True) -> bool:
        """End the session at once, for a Lost of this kind; whether it was.

        Without `late` it is not when the end of the content has been sent: the server may have taken it.
        """
        transaction = self._transaction
        if not late and transaction is not None and transaction.content_sent:
            return False
        self._fail(kind, text)
        self.abort()
        return True

    async def hello(self, name: str, *, lmtp: bool = False) -> Reply:
        """Take the greeting and say EHLO (LHLO); returns the last reply, which may be a refusal.

        HELO is said only where EHLO is not known (RFC 5321 section 3.2).
        """
        reply = self._last if self._last is not None else await self._wait()
        if not reply.ok:
            return reply
        verb = "LHLO" if lmtp else "EHLO"
        reply = await self.ask(verb, command.hello(verb, name))
        if not lmtp and reply.permanent:
            reply = await self.ask("HELO", command.hello("HELO", name))
        return reply

    async def starttls(self, terms: Terms) -> Reply:
        """Say STARTTLS and shake hands; returns the reply.

        After a 2yz the session is under TLS, `secure` says how, and what the server offered is forgotten: say
        hello again (RFC 3207 section 4.2).  After a refusal it goes on in clear.  Raises Lost: of kind "tls"
        when the handshake fails.
        """
        self._terms = terms
        try:
            return await self.ask("STARTTLS", command.plain("STARTTLS"))
        finally:
            self._terms = None

    async def login(self, credentials: Credentials, *, host: str = "", port: int = 0) -> tuple[Reply, bool]:
        """Log in; the last reply, a 2yz when we are, and whether it is in the server's words.

        `client.login` says what is sent to whom.
        """
        from mether.client import login

        steps = login.exchange(
            self.protocol.offer, credentials, self.secure, self.address, host=host, port=port
        )
        found = login.advance(steps, None)
        # Kept apart until it shows no credentials any more.
        open_, self._log = self._log, []
        try:
            while not isinstance(found[0], Reply):
                reply = await self.ask(*found)
                if reply.code == 334:
                    # SCRAM computes for as long as the server asks for, up to a second: the others go on.
                    found = await self.loop.run_in_executor(None, login.advance, steps, reply)
                else:
                    found = login.advance(steps, reply)
        finally:
            open_ += transcript.hidden(self._log)
            self._log = open_
        return found

    async def ask(self, verb: str, line: bytes) -> Reply:
        """Send a command and wait for its reply."""
        if self._problem is not None:
            raise self._problem
        octets = self.protocol.send(verb, line)
        self._log.append((self.loop.time(), "C", octets))
        self.write(octets)
        return await self._wait()

    async def transact(self, transaction: Transaction, trace: bytes, content: Source) -> None:
        """Run the transaction to its end.  Raises Lost, or OSError when the content can't be read."""
        commands = transaction.start()
        if not commands:
            return
        if self._problem is not None:
            raise self._problem
        self._transaction = transaction
        group = self.protocol.send_group(commands)
        self._log.append((self.loop.time(), "C", group))
        self.write(group)
        self._small = small(trace, content, chunked=transaction.fit.chunking)
        try:
            await self._wait()
            if transaction.wants_content:
                await self._stream(transaction, trace, content)
                if not transaction.finished:
                    await self._wait()
        finally:
            self._transaction = self._small = None

    async def quit(self) -> None:
        """Say QUIT, wait a little for the reply, and close; never raises."""
        try:
            if self.alive and self.protocol.state != "CLOSED":
                await self.ask("QUIT", command.plain("QUIT"))
        except (Lost, client.LocalError):
            pass
        self.close()

    def close(self) -> None:
        """End the connection: at once when the session is lost, else when what waits has been sent.

        A server that takes nothing more does not keep it open for longer than a block may take.
        """
        if not self.alive:
            self.abort()
            return
        super().close()
        if self.transport is not None:
            self.set_deadline(self._timeouts.block)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is there; TLS begins before anything can be read."""
        super().connection_made(transport)
        if self._terms is not None:
            self.start_tls(self._terms, self._timeouts.tls)

    def secured(self) -> None:
        """The handshake is done: the 220 that began it is the reply, or the greeting comes now."""
        if self.secure is not None:
            self._log.append((self.loop.time(), "-", f"{self.secure.version} {self.secure.cipher}"))
        if not self.protocol.outstanding:
            self._wake()
        elif self._waiter is not None:
            self.set_deadline(self._timeouts.reply_to(self.protocol.awaited))

    def insecure(self, error: TlsError) -> None:
        """The handshake has failed."""
        self._fail("tls", str(error), error.kind)

    def data_received(self, data: bytes) -> None:
        """asyncio: octets from the server."""
        log = self._log
        log.append((self.loop.time(), "S", data))
        if len(log) > transcript.ENTRIES:
            transcript.trim(log)
        self.protocol.receive(data)
        self._take()

    def ended(self) -> None:
        """The server will send no more."""
        self.protocol.receive(b"")
        self._take()

    def lost(self) -> None:
        """The connection is gone."""
        self._fail("closed", "the server closed the connection")

    def timed_out(self) -> None:
        """The server has not answered in time."""
        self._fail("timeout", "the server did not answer in time")
        self.abort()

    def drained(self) -> None:
        """The server takes octets again."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def _take(self) -> None:
        """Take the replies that have come, and then say what follows from them.

        Not before all were taken: what is there before we ask is no reply to what we are about to ask.
        """
        protocol, transaction = self.protocol, self._transaction
        taken = False
        commands: list[tuple[str, bytes]] = []
        while True:
            try:
                event = protocol.next_event()
            except client.ProtocolFault as error:
                self._unasked()
                self._fail("protocol", str(error))
                self.abort()
                return
            if isinstance(event, str):
                if event == client.END_OF_INPUT:
                    self._fail("closed", "the server closed the connection")
                    self.close()
                    return
                break
            verb, reply = event
            self._last = reply
            taken = True
            if transaction is None or not verb:
                if not verb:
                    self._unasked()
                    self._fail("closed", f"the server said {reply}")
                    self.close()
                    return
                if verb == "STARTTLS" and reply.ok and self._terms is not None:
                    self._shake(self._terms)
                    return
                if not protocol.outstanding:
                    self._wake()
                continue
            commands = transaction.reply(verb, reply)
            if transaction.finished:
                self._wake()
                if self._room is not None:
                    self.drained()  # nobody wants the rest of the content
        if not taken:
            return  # octets of a reply that does not end give it no more time
        for name, line in commands:
            octets = protocol.send(name, line)
            self._log.append((self.loop.time(), "C", octets))
            self.write(octets)
        if transaction is not None and transaction.wants_content:
            if transaction.dot_only or self._small is not None:
                content = b"" if transaction.dot_only else self._small or b""
                self.write(b".\r\n" if transaction.dot_only else self._chunk(transaction) + content)
                self._log.append((self.loop.time(), "C", len(content)))
                self._sent(transaction)
            else:
                self._wake()
        awaited = protocol.awaited
        if awaited:
            self.set_deadline(self._timeouts.reply_to(awaited))

    def _unasked(self) -> None:
        """What came last answers nothing: where it may show credentials its words are not kept."""
        if self.protocol.discreet and self._log and self._log[-1][1] == "S":
            self._log[-1:] = transcript.hidden(self._log[-1:])

    def _shake(self, terms: Terms) -> None:
        """Begin TLS behind the 220, before another octet can be read (checklist TLS-3)."""
        try:
            self.protocol.tls_started()
        except client.ProtocolFault as error:
            self._fail("protocol", str(error))
            self.abort()
            return
        self.set_deadline(None)
        self.start_tls(terms, self._timeouts.tls)

    def _chunk(self, transaction: Transaction) -> bytes:
        """The command that the content follows, b"" when DATA was answered."""
        if transaction.chunk is None:
            return b""
        octets = self.protocol.send(*transaction.chunk)
        self._log.append((self.loop.time(), "C", octets))
        return octets

    def _sent(self, transaction: Transaction) -> None:
        if transaction.chunk is None:
            self.protocol.content_sent()
        for _ in range(transaction.sent() - 1):
            self.protocol.expect_another()

    async def _stream(self, transaction: Transaction, trace: bytes, content: Source) -> None:
        """Send content from a file, no faster than the server takes it."""
        self.write(self._chunk(transaction))
        source = pieces(trace, content, chunked=transaction.chunk is not None)
        piece = next(source)
        size = 0
        try:
            for following in source:
                self.write(piece)
                size += len(piece)
                piece = following
                if not self.writable:
                    self.set_deadline(self._timeouts.block)
                    self._room = self.loop.create_future()
                    await self._room
                else:
                    # A server that takes all as fast as it is read must not keep the others waiting, nor us
                    # from hearing what it says meanwhile.
                    await asyncio.sleep(0)
                if transaction.finished:
                    # The server gave up.  Half of the content is out: only the end of the connection follows.
                    self.alive = False
                    self.abort()
                    return
                if self._problem is not None:
                    raise self._problem
            # With the last octets, and before anything else can run: their reply may come at once.
            self.write(piece)
            size += len(piece)
            self._sent(transaction)
        finally:
            self._log.append((self.loop.time(), "C", size))

    async def _wait(self) -> Reply:
        """Wait until the transaction or the outstanding reply is done."""
        if self._problem is not None:
            raise self._problem
        awaited = self.protocol.awaited
        if awaited:
            self.set_deadline(self._timeouts.reply_to(awaited))
        self._waiter = self.loop.create_future()
        await self._waiter
        self.set_deadline(None)
        assert self._last is not None
        return self._last

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, kind: str, text: str, tls: str = "") -> None:
        self.alive = False
        if self._problem is None:
            self._problem = Lost(kind, "" if tls else self.protocol.awaited, text, tls)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(self._problem)
        if self._room is not None and not self._room.done():
            self._room.set_exception(self._problem)
