"""The server's shell under asyncio: a connection that feeds a `Dialogue` and writes its replies.

One `Connection` per client, no task: octets come in, replies go out in one write, and an answer that
takes time (a commit) comes back through `decided`.  It stops reading while more than MAX_BUFFERED octets
wait behind a decision or while the client does not take its replies, and so a client can make
us hold no more than that.

Time-outs are those of RFC 5321 section 4.5.3.2.7: the client has `timeout` seconds for its next command as
a whole, and for the next octets of content; then it gets 421 and the connection ends.  So it does when its
content drips in below a minimum rate (`server.pace`).

TLS begins after the 220 to STARTTLS, or with `implicit` before the greeting; a handshake that fails, or takes
longer than HANDSHAKE_SECONDS or `timeout`, ends the connection, and `why` says what was wrong.
"""

from __future__ import annotations

from mether.net.stream import Stream
from mether.server.dialogue import TIMED_OUT, Dialogue
from mether.server.pace import SLOW, WINDOW, Pace

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Any

    from mether.net.tls import Terms
    from mether.net.tlserror import TlsError
    from mether.reply import Reply

    DialogueFactory = Callable[["Connection"], Dialogue]

MAX_BUFFERED = 64 * 1024
HANDSHAKE_SECONDS = 30.0
"""How long a client has at most for its TLS handshake, which takes machines a moment and no person."""


class Connection(Stream):
    """One client.  `make_dialogue` is called once it is connected; `closed` once it is gone.

    `terms` gives what we bring to a TLS handshake, None where there is no TLS; with `implicit` it comes
    first, if `enter` lets the client in at all.  `min_rate` is in octets a second, 0 for none.  `about` is
    for whoever made it; `why` tells how the session ended when it was not by QUIT.
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
        terms: Callable[[], Terms] | None = None,
        implicit: bool = False,
        enter: Callable[[Connection], bool] = lambda connection: True,
        min_rate: float = 0.0,
    ) -> None:
        super().__init__(loop)
        self._make_dialogue = make_dialogue
        self._closed = closed
        self._timeout = timeout
        self._terms = terms
        self._implicit = implicit
        self._enter = enter
        self._received = 0
        self._in_content = False
        self._shaking = False
        self._pace = Pace(min_rate) if min_rate else None
        self._pacing: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: a client is there; greet it."""
        super().connection_made(transport)
        if not self._implicit or self._terms is None:
            self._open()
        elif self._enter(self):
            self.start_tls(self._terms(), min(self._timeout, HANDSHAKE_SECONDS))
        else:
            self.abort()  # nothing can be said before TLS

    def data_received(self, data: bytes) -> None:
        """asyncio: octets from the client."""
        dialogue = self.dialogue
        out = dialogue.receive(data)
        in_content = dialogue.protocol.in_content
        if in_content and self._pace is not None:
            self._keep_pace(self._pace, len(data))
        self._in_content = in_content
        # A command has its time as a whole: one that drips in, octet by octet, gains none by it.
        self._send(out, in_content or out != b"")

    def _keep_pace(self, pace: Pace, octets: int) -> None:
        """Count octets of content, and look at them in a while."""
        if not self._in_content:
            pace.begin(self.loop.time(), self._received)
        self._received += octets
        if self._pacing is None:
            self._pacing = self.loop.call_later(WINDOW, self._look_at_pace, pace)

    def secured(self) -> None:
        """The TLS handshake is done."""
        assert self.secure is not None
        self._shaking = False
        if self._implicit and not hasattr(self, "dialogue"):
            self._open()
            return
        try:
            self.dialogue.secured(self.secure)
        except ValueError as error:
            self.why = str(error)
            self.abort()
            return
        self._send(self.dialogue.stop() if self.dialogue.stopping else b"")

    def insecure(self, error: TlsError) -> None:
        """The TLS handshake has failed."""
        self.why = f"TLS handshake failed: {error}"
        if hasattr(self, "dialogue"):
            self.dialogue.closing = True
        self.set_deadline(self._timeout)  # for a client that does not take what was said before

    def ended(self) -> None:
        """The client will send no more; what it sent is still answered."""
        if hasattr(self, "dialogue"):
            self._send(self.dialogue.receive(b""))
        else:
            self.abort()

    def decided(self, reply: Reply) -> None:
        """The reply that the decider owed has come."""
        self._send(self.dialogue.resume(reply))

    def stop(self) -> None:
        """End the session at the next safe point, with 421 4.3.2."""
        self.why = "shutdown"
        if hasattr(self, "dialogue"):
            self._send(self.dialogue.stop())
        else:
            self.abort()  # in the middle of a handshake there is nobody to tell

    def timed_out(self) -> None:
        """The client was silent for too long, or takes no reply."""
        if not hasattr(self, "dialogue"):
            self.abort()
            return
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
        if self._pacing is not None:
            self._pacing.cancel()
        if hasattr(self, "dialogue"):
            self.dialogue.closing = True
        if hasattr(self, "dialogue") or self.about is not None:
            self._closed(self)

    def _open(self) -> None:
        self.dialogue = self._make_dialogue(self)
        if self.secure is not None:
            self.dialogue.secured(self.secure)
        self._send(self.dialogue.open())

    def _look_at_pace(self, pace: Pace) -> None:
        """Once in a WINDOW, while content comes: is the client dripping?"""
        self._pacing = None
        dialogue = self.dialogue
        if dialogue.closing or dialogue.paused or not dialogue.protocol.in_content:
            return
        if pace.slow(self.loop.time(), self._received):
            self.why = "too slow"
            self._send(dialogue.end(SLOW))
        else:
            self._pacing = self.loop.call_later(WINDOW, self._look_at_pace, pace)

    def _send(self, out: bytes, renew: bool = True) -> None:
        """Send what the dialogue says, and do what follows; with `renew` the client gets its time anew."""
        dialogue = self.dialogue
        if out and self.transport is not None:
            self.transport.write(out)
        if dialogue.closing or dialogue.securing:
            self._part(dialogue)
            return
        if dialogue.paused:
            self.set_deadline(None)
        elif renew:
            self.set_deadline(self._timeout)
        if not (self.reading and self.writable) or dialogue.protocol.buffered >= MAX_BUFFERED:
            self.read(self._may_read())

    def _part(self, dialogue: Dialogue) -> None:
        """Begin TLS, or end the connection."""
        if dialogue.securing:
            if self._shaking:
                return  # told to stop meanwhile: that is said when the handshake is done
            if self._terms is None or self.transport is None:
                self.abort()  # nobody promises TLS without having any
                return
            self._shaking = True
            self.set_deadline(None)
            self.start_tls(self._terms(), min(self._timeout, HANDSHAKE_SECONDS))
        elif self.transport is not None:
            self.set_deadline(self._timeout)
            self.close()

    def _may_read(self) -> bool:
        return self.writable and self.dialogue.protocol.buffered < MAX_BUFFERED
