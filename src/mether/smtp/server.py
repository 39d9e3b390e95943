"""The server's half of the protocol: octets in, events out, replies back (RFC 5321).

    protocol.receive(octets)        what the client sent; b"" at the end of its input
    protocol.next_event()           an event, or NEED_DATA, or PAUSED
    protocol.reply(reply) -> bytes  the answer to the latest event, to be written

One event at a time: after an event that wants a reply, the protocol is PAUSED until `reply`. A malformed
command is an event, `Invalid`, that carries the reply it deserves, and the session goes on in step; only a
fault that loses framing is the end, `Broken`. Commands out of order become `Invalid` by the state table here.

Content comes as `Content` events, which want no reply, and `EndOfContent`, which does; its `fault`, when
set, is the reply that the octets themselves deserve (bare CR or LF, NUL, too large), and no `Content` is
given from the moment it is known.  By BDAT it comes in the same events, with an `EndOfChunk` that wants a
reply after each chunk but the last.  A chunk that stands out of order is skipped before its reply, so that
its octets are never read as commands (RFC 3030 section 2).

An EHLO reply that was given decides which parameters are taken from then on.  After the 220 to STARTTLS
whoever owns the socket calls `tls_started`: nothing that was said before counts any more.  A line that
answers a 334 is a Command of the verb RESPONSE.

With `lmtp` the hello is LHLO, and the end of the content gets as many replies as recipients were
accepted (RFC 2033 section 4.2); so has a last chunk that is skipped, even where they are none.

Input that is already there behind a barrier command is `Broken` on a socket (checklist DAT-14) and
simply next in batch mode (RFC 2442), where nobody waits for replies.

Limits: a command line of MAX_COMMAND_LINE octets, MAX_AUTH_LINE in AUTH; content of `max_size`, beyond
twice which the connection is given up.  A BDAT whose size cannot be read is `Broken` whatever is wrong with
its line, as nobody knows how many octets behind it are no commands (checklist BDT-5).
"""

from __future__ import annotations

from mether.envelope import Envelope
from mether.reply import Reply
from mether.smtp import state, wire
from mether.smtp.command import BAD_CHUNK, TOO_LONG, BadCommand, Command, Grammar, is_chunk
from mether.smtp.server_events import (
    END_OF_INPUT,
    NEED_DATA,
    PAUSED,
    Broken,
    Content,
    EndOfChunk,
    EndOfContent,
    Invalid,
    NeedData,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.smtp.server_events import Event

_UNANSWERED: Final = NeedData()
"""In place of an event: something was read that gets no reply, and what follows it is to be looked at."""

NOT_WAITED: Final = Reply(554, "5.5.0", "you must wait for the reply to that command before sending more")
BARE: Final = Reply(550, "5.6.0", "bare CR or LF received; lines must end in CRLF (RFC 5321 section 2.3.8)")
NUL: Final = Reply(554, "5.6.0", "the message holds a NUL octet")
TOO_BIG: Final = Reply(552, "5.3.4", "the message is larger than this system takes")
FAR_TOO_BIG: Final = Reply(552, "5.3.4", "the message is far larger than this system takes; closing")
NO_RECIPIENT: Final = Reply(503, "5.5.1", "no valid recipients: give MAIL and RCPT first")
NO_HELLO: Final = Reply(503, "5.5.1", "say EHLO or HELO first")
NESTED_MAIL: Final = Reply(503, "5.5.1", "a transaction is open already: finish it or say RSET")
NO_MAIL: Final = Reply(503, "5.5.1", "say MAIL first")
NO_RECIPIENT_YET: Final = Reply(503, "5.5.1", "no valid recipients: the chunk was skipped")
IN_CHUNKS: Final = Reply(503, "5.5.1", "the content is coming by BDAT: end it with LAST, or say RSET")
SPOILT: Final = Reply(503, "5.5.1", "the transaction has failed: say RSET")
NOT_NOW: Final = Reply(503, "5.5.1", "not inside a transaction: say RSET first")
NOT_OFFERED: Final = Reply(502, "5.5.1", "not offered here")
BINARY_BY_DATA: Final = Reply(503, "5.5.1", "BODY=BINARYMIME comes by BDAT, not by DATA")
SAY_LHLO: Final = Reply(500, "5.5.1", "this is an LMTP server: say LHLO")
SAY_EHLO: Final = Reply(500, "5.5.1", "this is an SMTP server: say EHLO")
RESPONSE_TOO_LONG: Final = Reply(500, "5.5.6", "that line of the AUTH exchange is too long")

_LONG: Final = wire.MAX_COMMAND_LINE - 2
_AUTH: Final = state.AUTH
_TABLE: Final = state.TABLE
_STEPS: Final = state.STEPS
_HELLOS: Final = frozenset(("EHLO", "HELO", "LHLO"))
_ENDS: Final = frozenset((state.END_OF_CONTENT, state.LAST_CHUNK))
_CHUNKS: Final = frozenset(("BDAT", state.LAST_CHUNK))


class ServerProtocol:
    """One session, seen by the server.

    `grammar` says which parameters are taken before EHLO was said; `max_size` is in octets of content, 0
    for no limit; `batch` is for input that is no conversation (a pipe); with `normalize` a bare CR or LF in
    content becomes a line end and no fault.  `state` is the session's (smtp.state), `esmtp` whether the
    latest hello was EHLO, `waiting` the verb whose reply is owed.  `buffered` counts the octets received and
    not yet turned into events; `in_content` tells whether those that come next are content, and `ended` that
    no more will be received.
    """

    __slots__ = (
        "_accepted",
        "_base",
        "_binary",
        "_buffer",
        "_chunk",
        "_chunks",
        "_decoder",
        "_discarding",
        "_fault",
        "_normalize",
        "_repeat",
        "_skipped",
        "_utf8",
        "batch",
        "buffered",
        "ended",
        "esmtp",
        "grammar",
        "in_content",
        "lmtp",
        "max_size",
        "state",
        "waiting",
    )

    def __init__(
        self,
        grammar: Grammar,
        *,
        max_size: int = 0,
        batch: bool = False,
        lmtp: bool = False,
        normalize: bool = False,
    ) -> None:
        self.grammar = self._base = grammar
        self.max_size = max_size
        self.batch = batch
        self.lmtp = lmtp
        self.state = state.CONNECTED
        self.esmtp = False
        self.waiting: str | None = state.GREETING
        self._normalize = normalize
        self.buffered = 0
        self.in_content = False
        self._buffer = b""
        self.ended = False
        self._discarding = False
        self._decoder: wire.ContentDecoder | None = None
        self._chunks: wire.ChunkDecoder | None = None
        self._chunk: tuple[str, int] | None = None
        self._skipped: Reply | None = None
        self._fault: Reply | None = None
        self._utf8 = False
        self._binary = False
        self._accepted = 0
        self._repeat = 1

    @property
    def chunk_left(self) -> int:
        """Octets of a chunk that are still to come."""
        return self._chunk[1] if self._chunk is not None else 0

    def receive(self, data: bytes) -> None:
        """Take octets from the client; b"" says that no more will come."""
        if not data:
            self.ended = True
        else:
            self._buffer = buffer = self._buffer[-self.buffered :] + data if self.buffered else data
            self.buffered = len(buffer)

    def next_event(self) -> Event:
        """The next event.  After Broken and EndOfInput there is none to ask for."""
        if self.waiting is not None:
            return PAUSED
        event: Event = _UNANSWERED
        while event is _UNANSWERED:
            if not self.buffered:
                return END_OF_INPUT if self.ended else NEED_DATA
            if not self.in_content:
                event = self._command()
            elif self._decoder is not None:
                event = self._content(self._decoder)
            elif self._chunk is not None:
                event = self._chunked(*self._chunk)
        return event

    def reply(self, reply: Reply) -> bytes:
        """Answer the latest event (at first: give the greeting); returns the octets to write."""
        assert self.waiting is not None, "a reply to nothing"
        verb, code = self.waiting, reply.code
        self.waiting = None
        self.state = _STEPS[self.state, verb, code]
        if verb == "RCPT":
            if code < 300:
                self._accepted += 1
        elif verb == "MAIL":
            pass
        elif verb == "DATA":
            if self.state == state.CONTENT:
                self._decoder, self._fault = wire.ContentDecoder(normalize=self._normalize), None
                self.in_content = True
        elif verb in _ENDS:
            if self.lmtp and code != 421:
                return reply.encode() * self._accepted
        elif verb in _HELLOS:
            if code < 300:
                self.esmtp = verb != "HELO"
                self.grammar = self._base.offering(reply.lines[1:]) if self.esmtp else self._base
        elif not verb and self._repeat != 1:
            times, self._repeat = self._repeat, 1
            return reply.encode() * (times if code != 421 else 1)
        return reply.encode()

    def tls_started(self) -> None:
        """TLS has begun: forget all that was said (RFC 3207 section 4.2).

        Raises ValueError when plaintext is left, which must never be read as if it had come protected.
        """
        if self.buffered:
            raise ValueError("plaintext behind STARTTLS")
        self.esmtp = False
        self.grammar = self._base

    def _command(self) -> Event:
        buffer = self._buffer
        size = len(buffer)
        start = size - self.buffered
        end = buffer.find(b"\r\n", start)
        if end < 0:
            return self._incomplete()
        line = buffer[start:end]
        self.buffered = left = size - end - 2
        now = self.state
        if now == _AUTH:
            return self._response(line)
        if self._discarding or (end - start > _LONG and len(line) + 2 > _limit(line)):
            if is_chunk(line) and not self._discarding:
                return Broken(BAD_CHUNK)
            self._discarding = False
            self.waiting = ""
            return Invalid(TOO_LONG)
        try:
            command = self.grammar.parse(line, utf8=self._utf8)
        except BadCommand as error:
            if error.fatal:
                return Broken(error.reply)
            self.waiting = ""
            return Invalid(error.reply, error.verb)
        verb = command.verb
        row = _TABLE[verb]
        if left and row.barrier and not self.batch:
            return Broken(NOT_WAITED)
        refusal = None
        if now not in row.allowed:
            refusal = self._out_of_order(verb)
        elif verb == "MAIL":
            self._begin(command)
        elif verb == "DATA":
            if self._binary:
                refusal = BINARY_BY_DATA
        elif verb in _HELLOS and (verb == "LHLO") != self.lmtp:
            refusal = SAY_LHLO if self.lmtp else SAY_EHLO
        if verb in _CHUNKS:
            assert isinstance(command.value, int)
            return self._begin_chunk(verb, command.value, refusal)
        if refusal is None:
            self.waiting = verb
            return command
        self.waiting = ""
        return Invalid(refusal, verb)

    def _begin(self, command: Command) -> None:
        envelope = command.value
        assert isinstance(envelope, Envelope)
        self._utf8 = envelope.smtputf8
        self._binary = envelope.body == "BINARYMIME"
        self._chunks = None
        self._accepted = 0

    def _response(self, line: bytes) -> Event:
        """A line of an AUTH exchange."""
        if self.buffered and not self.batch:
            return Broken(NOT_WAITED)
        self.waiting = state.RESPONSE
        if self._discarding or len(line) + 2 > wire.MAX_AUTH_LINE:
            self._discarding = False
            return Invalid(RESPONSE_TOO_LONG, state.RESPONSE)
        # What is no ASCII is no base64 either, and whoever decodes it says so.
        return Command(state.RESPONSE, line.decode("latin-1"))

    def _incomplete(self) -> Event:
        """No CRLF in the buffer: wait, forget an endless line, or see the end."""
        start = len(self._buffer) - self.buffered
        head = self._buffer[start : start + 5]
        limit = wire.MAX_AUTH_LINE if self.state == state.AUTH else _limit(head)
        if self.buffered >= limit:
            if is_chunk(head) and not self._discarding and self.state != state.AUTH:
                return Broken(BAD_CHUNK)
            self._discarding = True
            # A CR at the very end may be half of the CRLF that ends the line.
            self.buffered = 1 if self._buffer.endswith(b"\r") else 0
        return END_OF_INPUT if self.ended else NEED_DATA

    def _content(self, decoder: wire.ContentDecoder) -> Event:
        buffer = self._buffer
        size = len(buffer)
        data, following, ended = decoder.decode(buffer, size - self.buffered)
        self.buffered = size - following
        if self._judge(decoder):
            return Broken(FAR_TOO_BIG)
        if self._fault is not None:
            data = b""
        if ended:
            self._decoder = None
            self.in_content = False
            self.waiting = state.END_OF_CONTENT
            return EndOfContent(data, decoder.size, decoder.eight_bit, self._fault)
        if data:
            return Content(data)
        return END_OF_INPUT if self.ended else NEED_DATA

    def _judge(self, decoder: wire.ContentDecoder | wire.ChunkDecoder) -> bool:
        """Note what is wrong with the content; whether it is far too large."""
        # By rank and not by which came first, so that the reply does not depend on how the octets came.
        if decoder.bare and not self._normalize:
            self._fault = BARE
        elif decoder.nul:
            self._fault = NUL
        if self.max_size and decoder.size > self.max_size:
            self._fault = TOO_BIG
            return self._far_too_big(decoder.size)
        return False

    def _far_too_big(self, size: int) -> bool:
        return bool(self.max_size) and size > 2 * self.max_size + 1_048_576

    def _begin_chunk(self, verb: str, size: int, refusal: Reply | None) -> Event:
        if self._far_too_big(size):
            return Broken(FAR_TOO_BIG)
        if refusal is None and not self.grammar.chunking:
            refusal = NOT_OFFERED
        self._skipped = refusal
        if refusal is None and self._chunks is None:
            self._chunks = wire.ChunkDecoder(binary=self._binary, normalize=self._normalize)
            self._fault = None
        self._chunk = (verb, size)
        return self._chunked(verb, size)

    def _chunked(self, verb: str, left: int) -> Event:
        """Take octets of a chunk of which so many are left."""
        start = len(self._buffer) - self.buffered
        data = self._buffer[start : start + left]
        self.buffered -= len(data)
        left -= len(data)
        self._chunk = (verb, left) if left else None
        self.in_content = left > 0
        if self._skipped is not None:
            if left:
                return END_OF_INPUT if self.ended else NEED_DATA
            if self.lmtp and verb == state.LAST_CHUNK and self.state in (state.MAIL, state.SPOILT):
                # RFC 2033 section 4.3: a reply for each recipient that was accepted, and none where none was.
                if not self._accepted:
                    return _UNANSWERED
                self._repeat = self._accepted
            self.waiting = ""
            return Invalid(self._skipped, verb)
        decoder = self._chunks
        assert decoder is not None
        data = decoder.decode(data, last=not left and verb == state.LAST_CHUNK)
        if self._judge(decoder):
            return Broken(FAR_TOO_BIG)
        if self._fault is not None:
            data = b""
        if not left:
            self.waiting = verb
            if verb == "BDAT":
                return EndOfChunk(data, self._fault)
            self._chunks = None
            return EndOfContent(data, decoder.size, decoder.eight_bit, self._fault)
        if data:
            return Content(data)
        return END_OF_INPUT if self.ended else NEED_DATA

    def _out_of_order(self, verb: str) -> Reply:
        if self.state == state.GREETED:
            return NO_HELLO
        if self.state == state.SPOILT and verb != "MAIL":
            return SPOILT
        if self.state == state.CHUNKS and verb != "MAIL":
            return IN_CHUNKS
        if verb == "DATA":
            return NO_RECIPIENT
        if verb in ("BDAT", state.LAST_CHUNK):
            return NO_RECIPIENT_YET
        if verb == "MAIL":
            return NESTED_MAIL
        return NO_MAIL if verb == "RCPT" else NOT_NOW


def _limit(line: bytes) -> int:
    """How long a command line may be that begins so: AUTH may carry a response (RFC 4954 section 4)."""
    return wire.MAX_AUTH_LINE if line[:5].upper() == b"AUTH " else wire.MAX_COMMAND_LINE
