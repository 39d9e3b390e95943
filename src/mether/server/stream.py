"""The server's shell under asyncio: a connection that feeds a `Dialogue` and writes its replies.

One `Connection` per client, no task: octets come in, replies go out in one write, and an answer that
takes time (a commit) comes back through `decided`.  It stops reading while more than MAX_BUFFERED octets
wait behind a decision or while the client does not take its replies, and so a client can make
us hold no more than that.

Time-outs are those of RFC 5321 section 4.5.3.2.7: the client has `timeout` seconds for its next command as
a whole, and for the next octets of content; then it gets 421 and the connection ends.
"""

from __future__ import annotations

from mether.net.stream import Stream
from mether.server.dialogue import TIMED_OUT, Dialogue
from mether.smtp.state import CONTENT

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from mether.reply import Reply

    DialogueFactory = Callable[["Connection"], Dialogue]

MAX_BUFFERED = 64 * 1024


class Connection(Stream):
    """One client.  `make_dialogue` is called once it is connected; `closed` once it is gone.

    `about` is for whoever made it; `why` tells how the session ended when it was not by QUIT.
    """

    dialogue: Dialogue
    about: Any = None
    why = "lost connection"

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make_dialogue: DialogueFactory,
        closed: Callable[[Connection], None],
        *,
        timeout: float,
    ) -> None:
        super().__init__(loop)
        self._make_dialogue = make_dialogue
        self._closed = closed
        self._timeout = timeout

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client is there; greet it."""
        super().connection_made(transport)
        self.dialogue = self._make_dialogue(self)
        self._send(self.dialogue.open())

    def data_received(self, data: bytes) -> None:
        """asyncio: octets from the client."""
        dialogue = self.dialogue
        out = dialogue.receive(data)
        # A command has its time as a whole: one that drips in, octet by octet, gains none by it.
        self._send(out, renew=bool(out) or dialogue.protocol.state == CONTENT)

    def ended(self) -> None:
        """The client will send no more; what it sent is still answered."""
        self._send(self.dialogue.receive(b""))

    def decided(self, reply: Reply) -> None:
        """The reply that the decider owed has come."""
        self._send(self.dialogue.resume(reply))

    def stop(self) -> None:
        """End the session at the next safe point, with 421 4.3.2."""
        self.why = "shutdown"
        self._send(self.dialogue.stop())

    def timed_out(self) -> None:
        """The client was silent for too long, or takes no reply."""
        if self.dialogue.closing:
            self.abort()  # it does not even take our last words
            return
        if self.dialogue.paused:
            return
        self.why = "timeout"
        if self.writable:
            self._send(self.dialogue.end(TIMED_OUT))
        else:
            self.abort()

    def drained(self) -> None:
        """The client takes its replies again."""
        self.read(self._may_read())

    def lost(self) -> None:
        """The client is gone."""
        if hasattr(self, "dialogue"):
            self.dialogue.closing = True
            self._closed(self)

    def _send(self, out: bytes, *, renew: bool = True) -> None:
        self.write(out)
        dialogue = self.dialogue
        if dialogue.closing:
            if self.transport is not None:
                self.set_deadline(self._timeout)
                self.close()
            return
        if renew or dialogue.paused:
            self.set_deadline(None if dialogue.paused else self._timeout)
        if not self.reading or dialogue.protocol.buffered >= MAX_BUFFERED or not self.writable:
            self.read(self._may_read())

    def _may_read(self) -> bool:
        return self.writable and self.dialogue.protocol.buffered < MAX_BUFFERED
