"""A decider for tests, and a client and a server joined by a fake wire.

`Taker` accepts everything but what it was told to refuse, and keeps what it was given.  `Pair` joins a
`ClientProtocol` and a `Dialogue`; `cut` says how many octets pass at each step, so that a test, or
hypothesis, can cut the stream anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mether.address import path_text
from mether.envelope import Envelope, Recipient
from mether.net.tls import Security
from mether.reply import Reply
from mether.server.dialogue import Dialogue
from mether.smtp import client, server_events
from mether.smtp.command import Command, Grammar
from mether.smtp.server import ServerProtocol
from mether.smtp.server_events import EndOfChunk, EndOfContent, Invalid
from mether.smtp.transaction import Transaction
from mether.smtp.wire import Stuffer

KEYWORDS = ["PIPELINING", "SIZE 0", "8BITMIME", "ENHANCEDSTATUSCODES"]
OK = Reply(250, "2.0.0", "ok")
NO = Reply(550, "5.1.1", "no such user here")

Cut = Callable[[int], int]


class Message:
    """What was received: paths as text, and octets."""

    def __init__(self, sender: str, recipients: list[str], content: bytes) -> None:
        self.sender = sender
        self.recipients = recipients
        self.content = content

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Message({self.sender!r}, {self.recipients!r}, {self.content[:200]!r})"


class Taker:
    """Accepts everything, except what `refuse` has a reply for: a verb, or a local-part of RCPT.

    With `later`, the answer to content is owed: `owed` then counts them, and somebody calls `resume`.
    `challenges` are the replies to AUTH and to each response, one after the other.
    """

    def __init__(self, refuse: dict[str, Reply] | None = None, *, later: bool = False) -> None:
        self.refuse = refuse or {}
        self.later = later
        self.owed = 0
        self.events: list[tuple[str, str]] = []
        self.messages: list[Message] = []
        self.keywords = KEYWORDS
        self.challenges: list[Reply] = []
        self._sender = ""
        self._recipients: list[str] = []
        self._content = b""

    def greeting(self) -> Reply:
        return self.refuse.get("greeting") or Reply(220, None, "mx.example.test ESMTP")

    def command(self, command: Command) -> Reply | None:
        verb = command.verb
        self.events.append((verb, command.argument))
        refusal = self.refuse.get(verb)
        if refusal is not None:
            return refusal
        if verb in ("EHLO", "LHLO"):
            return Reply(250, None, "mx.example.test", *self.keywords)
        if verb == "MAIL":
            assert isinstance(command.value, Envelope)
            self._sender, self._recipients = path_text(command.value.reverse_path), []
            self._content = b""
        elif verb == "RCPT":
            assert isinstance(command.value, Recipient)
            path = command.value.forward_path
            if path.local_part in self.refuse:
                return self.refuse[path.local_part]
            self._recipients.append(str(path))
        elif verb == "DATA":
            self._content = b""
            return Reply(354, None, "go ahead")
        elif verb == "QUIT":
            return Reply(221, "2.0.0", "bye")
        elif verb == "STARTTLS":
            return Reply(220, "2.0.0", "go ahead")
        elif verb in ("AUTH", "RESPONSE"):
            return self.challenges.pop(0)
        elif verb == "RSET":
            self._content = b""
        return OK

    def content(self, data: bytes) -> None:
        assert data, "an empty piece of content"
        self._content += data

    def end_of_chunk(self, event: EndOfChunk) -> Reply:
        self._content += event.data
        self.events.append(("BDAT", str(event.fault)))
        return event.fault or self.refuse.get("BDAT") or OK

    def secured(self, security: Security) -> None:
        self.events.append(("secured", security.version))

    def end_of_content(self, event: EndOfContent) -> Reply | None:
        content = self._content + event.data
        self.events.append((".", str(event.fault or event.size)))
        if event.fault is not None:
            return event.fault
        assert event.size == len(content)
        refusal = self.refuse.get(".")
        if refusal is not None:
            return refusal
        self.messages.append(Message(self._sender, self._recipients, content))
        if self.later:
            self.owed += 1
            return None
        return OK

    def invalid(self, event: Invalid) -> Reply:
        self.events.append(("invalid", str(event.reply)))
        return event.reply


def dialogue(
    decider: Taker | None = None,
    *,
    max_size: int = 0,
    batch: bool = False,
    lmtp: bool = False,
    normalize: bool = False,
) -> Dialogue:
    """A server's session with its greeting not yet given."""
    decider = decider or Taker()
    return Dialogue(
        ServerProtocol(
            Grammar([k.partition(" ")[0] for k in decider.keywords]),
            max_size=max_size,
            batch=batch,
            lmtp=lmtp,
            normalize=normalize,
        ),
        decider,
    )


def whole(waiting: int) -> int:
    """Everything at once."""
    return waiting


def octet(waiting: int) -> int:
    """One octet at a time."""
    return 1


def cuts(sizes: Iterable[int]) -> Cut:
    """These sizes, and then everything at once."""
    given = iter(sizes)
    return lambda waiting: next(given, waiting)


def feed(session: Dialogue, data: bytes, cut: Cut = whole) -> bytes:
    """Give the server octets in pieces; what it answered."""
    out = b""
    while data and not session.closing:
        size = max(1, cut(len(data)))
        out += session.receive(data[:size])
        data = data[size:]
    return out


class Pair:
    """A client and a server with a fake wire between them.

    After every reply that the client takes while nothing else is under way, the two must be in the same
    state: that is checked here, whatever a test is about.
    """

    def __init__(
        self,
        decider: Taker | None = None,
        *,
        cut: Cut = whole,
        max_size: int = 0,
        lmtp: bool = False,
        normalize: bool = False,
    ) -> None:
        self.taker = decider or Taker()
        self.server = dialogue(self.taker, max_size=max_size, lmtp=lmtp, normalize=normalize)
        self.client = client.ClientProtocol()
        self.replies: list[tuple[str, Reply]] = []
        self.agreed = 0
        self._cut = cut
        self._to_client = self.server.open()
        self._to_server = b""

    def send(self, verb: str, line: bytes) -> None:
        self._to_server += self.client.send(verb, line)

    def write(self, data: bytes) -> None:
        self._to_server += data

    def content(self, data: bytes, cut: Cut = whole) -> None:
        """The content, stuffed in pieces, and its end."""
        stuffer = Stuffer()
        while data:
            size = max(1, cut(len(data)))
            self._to_server += stuffer.feed(data[:size])
            data = data[size:]
        self._to_server += stuffer.end()
        self.client.content_sent()

    def step(self) -> bool:
        """Move some octets each way; False when nothing moves any more."""
        moved = False
        if self._to_server and not self.server.closing:
            size = max(1, self._cut(len(self._to_server)))
            piece, self._to_server = self._to_server[:size], self._to_server[size:]
            self._to_client += self.server.receive(piece)
            moved = True
        if self._to_client:
            size = max(1, self._cut(len(self._to_client)))
            piece, self._to_client = self._to_client[:size], self._to_client[size:]
            self.client.receive(piece)
            moved = True
        while isinstance(event := self.client.next_event(), tuple):
            self.replies.append(event)
            if not self._to_server and not self._to_client and not self.client.outstanding:
                assert self.client.state == self.server.protocol.state, event
                self.agreed += 1
        return moved

    def run(self) -> list[tuple[str, Reply]]:
        """Let everything arrive; the replies since the last call."""
        while self.step():
            pass
        replies, self.replies = self.replies, []
        return replies

    def ask(self, verb: str, line: bytes) -> Reply:
        """A command alone, and its reply."""
        self.send(verb, line)
        [(answered, reply)] = self.run()
        assert answered == verb
        return reply

    def hello(self) -> Reply:
        """Greeting and EHLO."""
        [(verb, _)] = self.run()
        assert verb == "greeting"
        verb = "LHLO" if self.server.protocol.lmtp else "EHLO"
        return self.ask(verb, f"{verb} client.example\r\n".encode())

    def starttls(self) -> Reply:
        """STARTTLS, and after its 220 both sides begin anew as if TLS were there."""
        reply = self.ask("STARTTLS", b"STARTTLS\r\n")
        assert self.server.securing == reply.ok
        if reply.ok:
            assert not self._to_client and not self._to_server, "plaintext in the handshake"
            self.server.secured(Security("TLSv1.3", "none"))
            self.client.tls_started()
        return reply

    def transact(self, transaction: Transaction, content: bytes, cut: Cut = whole) -> None:
        """Run a transaction as the clients' shells do."""
        for verb, line in transaction.start():
            self.send(verb, line)
        while not transaction.finished:
            replies = self.run()
            assert replies, "the transaction waits for ever"
            for verb, reply in replies:
                for name, line in transaction.reply(verb, reply):
                    self.send(name, line)
            if transaction.wants_content and transaction.chunk is not None:
                self.send(*transaction.chunk)
                self.write(content)
                for _ in range(transaction.sent() - 1):
                    self.client.expect_another()
            elif transaction.wants_content:
                self.content(b"" if transaction.dot_only else content, cut)
                for _ in range(transaction.sent() - 1):
                    self.client.expect_another()


def events(
    protocol: ServerProtocol, data: bytes, cut: Cut, answer: Callable[[server_events.Event], Reply]
) -> list[tuple[str, str, bytes]]:
    """Every event that wants a reply, as text, with the content before it: the same whatever the cuts."""
    out: list[tuple[str, str, bytes]] = []
    content = b""
    while True:
        event = protocol.next_event()
        if isinstance(event, server_events.Content):
            content += event.data
        elif isinstance(event, server_events.EndOfInput):
            break
        elif isinstance(event, server_events.Broken):
            out.append(("broken", str(event.reply), b""))
            break
        elif isinstance(event, server_events.NeedData):
            size = max(1, cut(len(data))) if data else 0
            protocol.receive(data[:size])
            data = data[size:]
        else:
            if isinstance(event, server_events.EndOfChunk):
                content += event.data
                out.append(("chunk", str(event.fault), b""))
            elif isinstance(event, server_events.EndOfContent):
                whole_content = content + event.data if event.fault is None else b""
                out.append(("content", f"{event.size} {event.eight_bit} {event.fault}", whole_content))
                content = b""
            elif isinstance(event, server_events.Invalid):
                out.append(("invalid", f"{event.verb} {event.reply}", b""))
            else:
                assert isinstance(event, Command)
                out.append((event.verb, event.argument, b""))
                content = b"" if event.verb in ("RSET", "EHLO", "MAIL") else content
            protocol.reply(answer(event))
    return out
