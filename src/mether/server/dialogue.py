"""A server's session between its octets and the one who decides (RFC 5321).

`Dialogue` pulls events out of a `ServerProtocol`, asks a `Decider`, and gathers the replies, so that a
pipelined group is answered in one write.  It owns no socket: `server.stream` and `server.pipe` feed it
and write what it returns.

A Decider answers with a Reply at once, or with None when the answer is given to `resume`: later, or
even before it returned None.  While it is awaited the dialogue is `paused` and takes input without
acting on it.  `closing` is set when the connection is to end after what was returned has been written,
`securing` when TLS is to begin after it: the shell then takes no more plaintext, and calls `secured`.
"""

from __future__ import annotations

from mether.reply import Reply
from mether.smtp.command import Command
from mether.smtp.server_events import Broken, Content, EndOfChunk, EndOfContent, Invalid, NeedData

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol

    from mether.net.tls import Security
    from mether.smtp.server import ServerProtocol

    class Decider(Protocol):
        """Whoever answers: see `receive.session`."""

        def greeting(self) -> Reply:
            """The first reply: 220, or 554 or 421 to refuse."""

        def command(self, command: Command) -> Reply | None:
            """Answer a command; None: later, through `Dialogue.resume`."""

        def content(self, data: bytes) -> None:
            """Take the next octets of the content."""

        def end_of_chunk(self, event: EndOfChunk) -> Reply:
            """Answer a chunk of the content that is not its last."""

        def end_of_content(self, event: EndOfContent) -> Reply | None:
            """Answer the content; None: later, through `Dialogue.resume`."""

        def invalid(self, event: Invalid) -> Reply:
            """Answer what was no good command: the event's reply, or a 421 when there were too many."""

        def secured(self, security: Security) -> None:
            """TLS has begun: forget all that the client said before (RFC 3207 section 4.2)."""


TIMED_OUT: Final = Reply(421, "4.4.2", "you were silent for too long; closing")
SHUTTING_DOWN: Final = Reply(421, "4.3.2", "the system is shutting down; please try again later")


_LAST: Final = frozenset((220, 221, 421, 521))
"""Replies after which the connection ends, or is not what it was."""


class Dialogue:
    """One session.  `protocol` and `decider` are as given; `closing` and `paused` as said above."""

    __slots__ = ("_early", "closing", "decider", "paused", "protocol", "securing", "stopping")

    def __init__(self, protocol: ServerProtocol, decider: Decider) -> None:
        self.protocol = protocol
        self.decider = decider
        self.paused = False
        self.closing = False
        self.securing = False
        self.stopping = False
        self._early: Reply | None = None

    def open(self) -> bytes:
        """The greeting."""
        reply = self.decider.greeting()
        if reply.code in (421, 521):
            self.closing = True
        return self.protocol.reply(reply)

    def receive(self, data: bytes) -> bytes:
        """Take octets (b"" for their end); returns what to write."""
        if self.closing:
            return b""
        self.protocol.receive(data)
        return b"" if self.paused else self._pump([])

    def resume(self, reply: Reply) -> bytes:
        """Give the reply that was awaited; returns what to write."""
        if not self.paused:
            self._early = reply
            return b""
        self.paused = False
        if self.closing:
            return b""
        if reply.code in _LAST:
            self._ends(reply)
        return self._pump([self.protocol.reply(reply)])

    def secured(self, security: Security) -> None:
        """TLS has begun.  Raises ValueError when plaintext is left, and then the connection must end."""
        self.securing = False
        self.protocol.tls_started()
        self.decider.secured(security)

    def stop(self) -> bytes:
        """End the session as soon as it is not in the middle of content; returns what to write."""
        self.stopping = True
        if self.paused or self.closing or self.securing or self.protocol.in_content:
            return b""
        return self.end(SHUTTING_DOWN)

    def end(self, reply: Reply) -> bytes:
        """End the session with this reply, which answers no command; returns what to write."""
        self.closing = True
        return reply.encode()

    def _ends(self, reply: Reply) -> None:
        """Note what one of _LAST leads to, once it is sent."""
        if reply.code == 220:
            self.securing = self.protocol.waiting == "STARTTLS"
        else:
            self.closing = True

    def _pump(self, out: list[bytes]) -> bytes:
        """Go through the events there are."""
        protocol, decider = self.protocol, self.decider
        reply: Reply | None
        while not (self.closing or self.securing):
            event = protocol.next_event()
            kind = type(event)
            if kind is Command:
                reply = decider.command(event)  # type: ignore[arg-type]
            elif kind is NeedData:
                if self.stopping and not protocol.in_content:
                    out.append(self.end(SHUTTING_DOWN))
                break
            elif kind is Content:
                decider.content(event.data)  # type: ignore[union-attr]
                continue
            elif kind is EndOfContent:
                reply = decider.end_of_content(event)  # type: ignore[arg-type]
            elif kind is EndOfChunk:
                reply = decider.end_of_chunk(event)  # type: ignore[arg-type]
            elif kind is Invalid:
                reply = decider.invalid(event)  # type: ignore[arg-type]
            elif kind is Broken:
                out.append(self.end(event.reply))  # type: ignore[union-attr]
                break
            else:  # EndOfInput
                self.closing = True
                break
            if reply is None:
                reply, self._early = self._early, None
            if reply is None:
                self.paused = True
                break
            if reply.code in _LAST:
                self._ends(reply)
            out.append(protocol.reply(reply))
            if not (protocol.buffered or protocol.ended or self.stopping):
                break  # as nearly always: each command comes by itself
        return b"".join(out)
