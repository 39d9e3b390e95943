"""The server's half of the protocol: octets in, events out, replies back (RFC 5321).

    protocol.receive(octets)        what the client sent; b"" at the end of its input
    protocol.next_event()           an event, or NEED_DATA, or PAUSED
    protocol.reply(reply) -> bytes  the answer to the latest event, to be written

One event at a time: after an event that wants a reply, the protocol is PAUSED until `reply`.  A
malformed command is an event, `Invalid`, that carries the reply it deserves, and the session goes on
in step; only a fault that loses framing is the end, `Broken`.  Commands that stand out of order
become `Invalid` here, by the state table, so that whoever decides never sees them.

Content comes as `Content` events, which want no reply, and `EndOfContent`, which does; its `fault`, when
set, is the reply that the octets themselves deserve (bare CR or LF, NUL, too large), and no `Content` is
given from the moment it is known.

Input that is already there behind a barrier command is `Broken` on a socket (checklist DAT-14) and
simply next in batch mode (RFC 2442), where nobody waits for replies.

Limits: a command line of MAX_COMMAND_LINE octets; content of `max_size`, beyond twice which the
connection is given up.
"""

from __future__ import annotations

from mether.reply import Reply
from mether.smtp import state, wire
from mether.smtp.command import TOO_LONG, BadCommand, Command, Grammar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Invalid:
    """A command that is malformed or out of order; answer with `reply`."""

    __slots__ = ("reply", "verb")

    def __init__(self, reply: Reply, verb: str = "") -> None:
        self.reply = reply
        self.verb = verb


class Content:
    """The next octets of the content, dots removed.  Wants no reply."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class EndOfContent:
    """The content is complete; `data` are its last octets.

    `fault` is the reply that its octets deserve, or None; `size` counts all of them.
    """

    __slots__ = ("data", "eight_bit", "fault", "size")

    def __init__(self, data: bytes, size: int, eight_bit: bool, fault: Reply | None) -> None:
        self.data = data
        self.size = size
        self.eight_bit = eight_bit
        self.fault = fault


class Broken:
    """Framing is lost or the client is not to be trusted with it: send `reply` and close."""

    __slots__ = ("reply",)

    def __init__(self, reply: Reply) -> None:
        self.reply = reply


class EndOfInput:
    """The client will send no more."""

    __slots__ = ()


class NeedData:
    """No event before more octets come."""

    __slots__ = ()


class Paused:
    """No event before `reply`."""

    __slots__ = ()


Event = Command | Invalid | Content | EndOfContent | Broken | EndOfInput | NeedData | Paused

NEED_DATA: Final = NeedData()
PAUSED: Final = Paused()
END_OF_INPUT: Final = EndOfInput()

NOT_WAITED: Final = Reply(554, "5.5.0", "you must wait for the reply to that command before sending more")
BARE: Final = Reply(550, "5.6.0", "bare CR or LF received; lines must end in CRLF (RFC 5321 section 2.3.8)")
NUL: Final = Reply(554, "5.6.0", "the message holds a NUL octet")
TOO_BIG: Final = Reply(552, "5.3.4", "the message is larger than this system takes")
FAR_TOO_BIG: Final = Reply(552, "5.3.4", "the message is far larger than this system takes; closing")
NO_RECIPIENT: Final = Reply(503, "5.5.1", "no valid recipients: give MAIL and RCPT first")
NO_HELLO: Final = Reply(503, "5.5.1", "say EHLO or HELO first")
NESTED_MAIL: Final = Reply(503, "5.5.1", "a transaction is open already: finish it or say RSET")
NO_MAIL: Final = Reply(503, "5.5.1", "say MAIL first")


class ServerProtocol:
    """One session, seen by the server.

    `grammar` says which parameters are taken; `max_size` is in octets of content, 0 for no limit;
    `batch` is for input that is no conversation (a pipe).  `state` is the session's (smtp.state),
    `esmtp` whether the latest hello was EHLO.
    """

    __slots__ = (
        "_buffer",
        "_decoder",
        "_discarding",
        "_ended",
        "_fault",
        "_position",
        "_waiting",
        "batch",
        "esmtp",
        "grammar",
        "max_size",
        "state",
    )

    def __init__(self, grammar: Grammar, *, max_size: int = 0, batch: bool = False) -> None:
        self.grammar = grammar
        self.max_size = max_size
        self.batch = batch
        self.state = state.CONNECTED
        self.esmtp = False
        self._buffer = b""
        self._position = 0
        self._ended = False
        self._discarding = False
        self._waiting: str | None = state.GREETING
        self._decoder: wire.ContentDecoder | None = None
        self._fault: Reply | None = None

    @property
    def buffered(self) -> int:
        """Octets received and not yet turned into events."""
        return len(self._buffer) - self._position

    def receive(self, data: bytes) -> None:
        """Take octets from the client; b"" says that no more will come."""
        if not data:
            self._ended = True
        elif self._position == len(self._buffer):
            self._buffer, self._position = data, 0
        else:
            self._buffer, self._position = self._buffer[self._position :] + data, 0

    def next_event(self) -> Event:
        """The next event.  After Broken and EndOfInput there is none to ask for."""
        if self._waiting is not None:
            return PAUSED
        if self._position == len(self._buffer):
            return END_OF_INPUT if self._ended else NEED_DATA
        if self._decoder is not None:
            return self._content(self._decoder)
        return self._command()

    def reply(self, reply: Reply) -> bytes:
        """Answer the latest event (at first: give the greeting); returns the octets to write."""
        assert self._waiting is not None, "a reply to nothing"
        verb, self._waiting = self._waiting, None
        self.state = state.after(self.state, verb, reply.code)
        if self.state == state.CONTENT and verb == "DATA":
            self._decoder, self._fault = wire.ContentDecoder(), None
        elif reply.ok and verb in ("EHLO", "HELO", "LHLO"):
            self.esmtp = verb != "HELO"
        return reply.encode()

    def _command(self) -> Event:
        end = self._buffer.find(wire.CRLF, self._position)
        if end < 0:
            return self._incomplete()
        line = self._buffer[self._position : end]
        self._position = end + 2
        if self._discarding or len(line) + 2 > wire.MAX_COMMAND_LINE:
            self._discarding = False
            self._waiting = ""
            return Invalid(TOO_LONG)
        try:
            command = self.grammar.parse(line)
        except BadCommand as error:
            self._waiting = ""
            return Invalid(error.reply, error.verb)
        verb = command.verb
        if state.barrier(verb) and self._position < len(self._buffer) and not self.batch:
            return Broken(NOT_WAITED)
        if not state.allowed(self.state, verb):
            self._waiting = ""
            return Invalid(self._out_of_order(verb), verb)
        self._waiting = verb
        return command

    def _incomplete(self) -> Event:
        """No CRLF in the buffer: wait, forget an endless line, or see the end."""
        if self.buffered >= wire.MAX_COMMAND_LINE:
            self._discarding = True
            # A CR at the very end may be half of the CRLF that ends the line.
            keep = 1 if self._buffer.endswith(b"\r") else 0
            self._position = len(self._buffer) - keep
        return END_OF_INPUT if self._ended else NEED_DATA

    def _content(self, decoder: wire.ContentDecoder) -> Event:
        data, self._position, ended = decoder.decode(self._buffer, self._position)
        # By rank and not by which came first, so that the reply does not depend on how the octets came.
        if decoder.bare:
            self._fault = BARE
        elif decoder.nul:
            self._fault = NUL
        if self.max_size and decoder.size > self.max_size:
            self._fault = TOO_BIG
            if decoder.size > 2 * self.max_size + 1_048_576:
                return Broken(FAR_TOO_BIG)
        if self._fault is not None:
            data = b""
        if ended:
            self._decoder = None
            self._waiting = state.END_OF_CONTENT
            return EndOfContent(data, decoder.size, decoder.eight_bit, self._fault)
        if data:
            return Content(data)
        return END_OF_INPUT if self._ended else NEED_DATA

    def _out_of_order(self, verb: str) -> Reply:
        if self.state == state.GREETED:
            return NO_HELLO
        if verb == "DATA":
            return NO_RECIPIENT
        return NESTED_MAIL if verb == "MAIL" else NO_MAIL
