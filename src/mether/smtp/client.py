"""The client's half of the protocol: commands out, replies in (RFC 5321).

    protocol.send(verb, line) -> bytes   a command, to be written; its reply is then outstanding
    protocol.content_sent()              the end of the content was written; its reply is outstanding
    protocol.receive(octets)             what the server sent; b"" at the end of its input
    protocol.next_event()                (verb, Reply) in order, or NEED_DATA, or END_OF_INPUT

The first reply outstanding is the greeting.  `send` is allowed while replies are outstanding, up to a
barrier command, after which it raises `LocalError`: that is a mistake of the caller.  A reply that is
no reply raises `ProtocolFault`: the connection is of no more use.  A 421 that answers nothing comes
with the verb "" (RFC 5321 section 3.8).  A refusal in mid-content counts as the reply to its end, and the
session is over then, as nothing but the rest of the content could follow: the state is CLOSED.

A chunk (BDAT) is a command whose octets follow its line at once.  After the 220 to STARTTLS whoever owns the
socket calls `tls_started`, and EHLO is said anew.

Limits, against a hostile server: MAX_LINE octets in a reply line, MAX_LINES lines in a reply.
"""

from __future__ import annotations

from mether import reply as replies
from mether.reply import Reply
from mether.smtp import extension, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

MAX_LINE: Final = 4096
"""Octets in a reply line, CRLF included; the standard allows 512 (RFC 5321 section 4.5.3.1.5)."""

MAX_LINES: Final = 256
"""Lines in one reply."""

REMEMBERED: Final = 64
"""Replies of one line that a session remembers."""

_ENDS: Final = frozenset((state.END_OF_CONTENT, state.LAST_CHUNK))
_SILENT: Final = frozenset((state.CONNECTED, state.CONTENT, state.CLOSED))
"""States in which no command may be sent."""
_OPENING: Final = frozenset((state.GREETING, "EHLO", "LHLO", "HELO"))

HIDDEN: Final = "[hidden]"
"""What is told of words that may show our credentials."""

NEED_DATA: Final = "need data"
END_OF_INPUT: Final = "end of input"


class ProtocolFault(Exception):
    """The server does not speak SMTP; str() says what it sent instead."""


class LocalError(Exception):
    """The caller sent what may not be sent now."""


class ClientProtocol:
    """One session, seen by the client; `state` as in smtp.state, `offer` the latest EHLO's.

    `greeting` is kept for whoever shows it.
    """

    __slots__ = (
        "_auth",
        "_buffer",
        "_ended",
        "_known",
        "_lines",
        "_outstanding",
        "_texts",
        "greeting",
        "offer",
        "state",
    )

    def __init__(self) -> None:
        self.state = state.CONNECTED
        self.offer = extension.Offer()
        self.greeting: Reply | None = None
        self._auth = False
        self._buffer = b""
        self._ended = False
        self._outstanding = [state.GREETING]
        self._texts: list[str] = []
        self._lines = 0
        self._known: dict[bytes, Reply] = {}

    @property
    def outstanding(self) -> int:
        """How many replies are awaited."""
        return len(self._outstanding)

    @property
    def discreet(self) -> bool:
        """Whether AUTH was said, so that what the server says unasked may show our credentials."""
        return self._auth

    @property
    def awaited(self) -> str:
        """The command whose reply comes next, "" when none is awaited."""
        return self._outstanding[0] if self._outstanding else ""

    def send(self, verb: str, line: bytes) -> bytes:
        """Send a command: `line` is as `smtp.command` wrote it.  Raises LocalError after a barrier."""
        outstanding, now = self._outstanding, self.state
        if outstanding and outstanding[-1] in state.BARRIERS:
            raise LocalError(f"{verb} before the reply to {outstanding[-1]}")
        if now in _SILENT and not (now == state.CONTENT and outstanding):
            raise LocalError(f"{verb} in state {now}")
        if (now == state.AUTH) != (verb == state.RESPONSE):
            raise LocalError(f"{verb} in state {now}")  # the server would take it for the other
        if verb == state.AUTH:
            self._auth = True
        outstanding.append(verb)
        return line

    def send_group(self, commands: Sequence[tuple[str, bytes]]) -> bytes:
        """Send commands together (RFC 2920); only the last may be a barrier.  Raises LocalError."""
        group = self.send(*commands[0])
        outstanding = self._outstanding
        for verb, line in commands[1:]:
            if outstanding[-1] in state.BARRIERS or verb == state.RESPONSE:
                raise LocalError(f"{verb} before the reply to {outstanding[-1]}")
            outstanding.append(verb)
            group += line
        return group

    def content_sent(self) -> None:
        """Note that the content and its end have been written."""
        if self.state != state.CONTENT or self._outstanding:
            raise LocalError("the end of a content that was not asked for")
        self._outstanding.append(state.END_OF_CONTENT)

    def expect_another(self) -> None:
        """Expect one more reply to the same content: LMTP gives one for each recipient (RFC 2033)."""
        self._outstanding.append(self._outstanding[-1])

    def tls_started(self) -> None:
        """TLS has begun: forget the offer (RFC 3207 section 4.2).

        Raises ProtocolFault when plaintext is left, which must never be read as if it had come protected.
        """
        if self._buffer or self._texts:
            raise ProtocolFault("the server sent more behind its reply to STARTTLS")
        self.offer = extension.Offer()
        self._known.clear()

    def receive(self, data: bytes) -> None:
        """Take octets from the server; b"" says that no more will come."""
        if not data:
            self._ended = True
        else:
            self._buffer = self._buffer + data if self._buffer else data

    def next_event(self) -> tuple[str, Reply] | str:
        """The next reply with the verb it answers, or NEED_DATA or END_OF_INPUT.  Raises ProtocolFault."""
        while buffer := self._buffer:
            end = buffer.find(b"\r\n")
            if end < 0 or end + 2 > MAX_LINE:
                if len(buffer) >= MAX_LINE:
                    raise ProtocolFault(f"a reply line longer than {MAX_LINE} octets")
                break
            line, self._buffer = buffer[:end], buffer[end + 2 :]
            # Servers say the same few things to every command: those are not read anew each time.
            reply = self._known.get(line) if not self._texts else None
            if reply is None:
                reply = self._line(line)
            if reply is not None:
                return self._replied(reply)
        return END_OF_INPUT if self._ended else NEED_DATA

    def _line(self, line: bytes) -> Reply | None:
        """Take one line; the reply, if this was its last line."""
        digits, separator = line[:3], line[3:4]
        if not (digits.isdigit() and len(digits) == 3 and separator in (b" ", b"-", b"")):
            raise ProtocolFault(f"not an SMTP reply: {self._quoted(line)}")
        code = int(digits)
        if not 200 <= code <= 599:
            raise ProtocolFault(f"a reply code outside 200 to 599: {self._quoted(line)}")
        if self._texts and code != self._lines:
            raise ProtocolFault(f"a reply that changes its code: {self._quoted(line)}")
        self._lines = code
        self._texts.append(_printable(line[4:]))
        if len(self._texts) > MAX_LINES:
            raise ProtocolFault(f"a reply of more than {MAX_LINES} lines")
        if separator == b"-":
            return None
        texts, self._texts = self._texts, []
        reply = replies.from_lines(code, texts)
        if len(texts) == 1:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[line] = reply
        return reply

    def _quoted(self, line: bytes) -> str:
        """A line for a person; since AUTH was said without its words, which may show the credentials."""
        return HIDDEN if self._auth else _printable(line)

    def _replied(self, reply: Reply) -> tuple[str, Reply]:
        outstanding = self._outstanding
        if not outstanding:
            if self.state == state.CONTENT and reply.code >= 400:
                # The server gives up in mid-content: what it says now, it will not say again at the end.
                self.state = state.CLOSED
                return state.END_OF_CONTENT, reply
            if reply.code != 421:
                raise ProtocolFault(f"a reply to nothing: {HIDDEN if self._auth else reply}")
            self.state = state.CLOSED
            return "", Reply(421, reply.status, HIDDEN) if self._auth else reply
        verb = outstanding.pop(0)
        if not (outstanding and verb in _ENDS and outstanding[0] == verb):
            self.state = state.after(self.state, verb, reply.code)
        if verb in _OPENING:
            if verb == state.GREETING:
                self.greeting = reply
            elif reply.ok:
                self.offer = extension.parse(reply.lines[1:] if verb != "HELO" else ())
        return verb, reply


def _printable(octets: bytes) -> str:
    """Text that is safe in a log, a report and a terminal."""
    text = octets[:1024].decode("utf-8", "replace")
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
