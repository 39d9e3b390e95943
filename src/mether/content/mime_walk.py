"""A message walked part by part as it streams by (RFC 2046 section 5.1).

`walk` yields `(event, number, data)`, and all the data together are the message, octet for octet:

HEADER   the header section of entity `number`, its empty line included (where it has one)
BODY     octets of the body of entity `number`, which is no multipart and no message/rfc822
END      that body is over; the CRLF in front of a delimiter is none of it (section 5.1.1).  `data` is empty
OTHER    delimiters, and what stands before the first and after the last one of multipart `number`

Entities are numbered as their headers come; `Walker.parts` has what is known of each.  Nothing but a header
is held back, and no more than MAX_HEADER of one.  BODY never ends between a CR and its LF.

A message that closes no multipart, or closes one from further out, is walked all the same.  Too deep nesting,
too many parts and too long headers raise TooComplex.
"""

from __future__ import annotations

from mether.content import mime_fields
from mether.content.mime_fields import Entity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

HEADER: Final = 0
BODY: Final = 1
END: Final = 2
OTHER: Final = 3

MAX_HEADER: Final = 512 * 1024
MAX_DEPTH: Final = 64
MAX_PARTS: Final = 20_000
_DELIMITER: Final = mime_fields.MAX_BOUNDARY + 64
"""Octets of a delimiter line, padding included."""

Event = tuple[int, int, bytes]


class TooComplex(Exception):
    """The message goes past a limit; str() says which."""


class Part:
    """An entity in its message: `entity`, whether it is a whole message (`message`), and whether it lies in a
    signed or odd one and must stay as it is (`frozen`)."""

    __slots__ = ("entity", "frozen", "message")

    def __init__(self, entity: Entity, *, message: bool, frozen: bool) -> None:
        self.entity = entity
        self.message = message
        self.frozen = frozen


class _Frame:
    """A multipart that is open."""

    __slots__ = ("close", "delimiter", "digest", "frozen", "number")

    def __init__(self, number: int, part: Part, boundary: bytes) -> None:
        self.number = number
        self.delimiter = b"--" + boundary
        self.close = self.delimiter + b"--"
        self.digest = part.entity.subtype == b"digest"
        self.frozen = part.frozen or part.entity.subtype == b"signed"


class Walker:
    """One walk; `parts` grows as it goes."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self._frames: list[_Frame] = []
        self._depth = 0
        self._mode = HEADER
        self._message = True
        self._frozen = False
        self._digest = False
        self._number = 0
        self._fresh = False

    def walk(self, chunks: Iterable[bytes]) -> Iterator[Event]:
        """The events of the message in `chunks`."""
        buffer = b""
        for chunk in chunks:
            buffer += chunk
            while True:
                events, buffer = self._step(buffer, False)
                yield from events
                if not events:
                    break
        while True:
            events, buffer = self._step(buffer, True)
            yield from events
            if not events:
                break
        if self._mode == HEADER and not self.parts:
            yield self._header(b"")
        if self._mode == BODY:
            yield END, self._number, b""

    def _step(self, buffer: bytes, last: bool) -> tuple[list[Event], bytes]:
        """The next events and what is left; no event when more is needed (or, with `last`, none is left)."""
        if self._mode == HEADER:
            return self._in_header(buffer, last)
        return self._in_body(buffer, last)

    def _in_header(self, buffer: bytes, last: bool) -> tuple[list[Event], bytes]:
        if buffer.startswith(b"\r\n"):
            end = 2
        else:
            found = buffer.find(b"\r\n\r\n")
            end = found + 4 if found >= 0 else len(buffer)
            if found < 0 and not last:
                if end > MAX_HEADER:
                    raise TooComplex(f"a header section over {MAX_HEADER} octets")
                return [], buffer
        if end > MAX_HEADER:
            raise TooComplex(f"a header section over {MAX_HEADER} octets")
        if not end:
            return [], buffer
        if self._frames:
            # A delimiter before the empty line: a part that has no body.
            cut = self._cut(buffer[:end])
            end = cut if cut >= 0 else end
        return [self._header(buffer[:end])], buffer[end:]

    def _cut(self, header: bytes) -> int:
        """Where in a header a delimiter of a multipart around it stands, or -1."""
        at = 0 if header.startswith(b"--") else header.find(b"\r\n--") + 2
        while at != 1:
            end = header.find(b"\r\n", at)
            if self._frame_of(header[at : end if end >= 0 else len(header)]) is not None:
                return at
            at = header.find(b"\r\n--", at) + 2
        return -1

    def _header(self, header: bytes) -> Event:
        number = len(self.parts)
        if number >= MAX_PARTS:
            raise TooComplex(f"over {MAX_PARTS} parts")
        entity = mime_fields.read(header, digest=self._digest)
        part = Part(entity, message=self._message, frozen=self._frozen or entity.odd)
        self.parts.append(part)
        self._number = number
        self._mode, self._fresh = BODY, True
        if entity.kind == b"multipart" and entity.boundary is not None and entity.identity:
            self._deeper()
            self._frames.append(_Frame(number, part, entity.boundary))
            self._mode = OTHER
        elif entity.kind == b"message" and entity.subtype == b"rfc822" and entity.identity:
            self._deeper()
            self._mode, self._message, self._digest = HEADER, True, False
            self._frozen = part.frozen
        return HEADER, number, header

    def _deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise TooComplex(f"parts nested more than {MAX_DEPTH} deep")

    def _in_body(self, buffer: bytes, last: bool) -> tuple[list[Event], bytes]:
        """BODY or OTHER up to and with the next delimiter of a multipart around it."""
        if not self._frames:
            return self._emit(buffer, last)
        at = line = 0
        if self._fresh and len(buffer) < 2 and not last:
            return [], buffer
        if not (self._fresh and buffer.startswith(b"--")):
            at = buffer.find(b"\r\n--")
            line = at + 2
            if at < 0:
                return self._emit(buffer, last)
        end = buffer.find(b"\r\n", line)
        if end < 0:
            if not last and len(buffer) - line <= _DELIMITER:
                # The line may become a delimiter.
                return self._emit(buffer[:at], True, buffer[at:])
            end = len(buffer)
        frame = self._frame_of(buffer[line:end]) if end - line <= _DELIMITER else None
        if frame is None:
            if end == len(buffer):
                return self._emit(buffer, last)
            return self._emit(buffer[:end], True, buffer[end:])
        after = min(end + 2, len(buffer))
        events: list[Event] = []
        if at:
            events.append((self._mode, self._number, buffer[:at]))
        if self._mode == BODY:
            events.append((END, self._number, b""))
        events.append((OTHER, frame.number, buffer[at:after]))
        self._leave(frame, closed=buffer[line:end].rstrip(b" \t") == frame.close)
        return events, buffer[after:]

    def _emit(self, data: bytes, whole: bool, rest: bytes = b"") -> tuple[list[Event], bytes]:
        """`data` as it is, but unless it is `whole` for its end that may begin a delimiter."""
        if not whole:
            keep = next((len(tail) for tail in (b"\r\n-", b"\r\n", b"\r") if data.endswith(tail)), 0)
            data, rest = data[: len(data) - keep], data[len(data) - keep :]
        if not data:
            return [], rest
        self._fresh = False
        return [(self._mode, self._number, data)], rest

    def _frame_of(self, line: bytes) -> _Frame | None:
        """The innermost multipart that this line delimits."""
        line = line.rstrip(b" \t")
        for frame in reversed(self._frames):
            if line == frame.delimiter or line == frame.close:
                return frame
        return None

    def _leave(self, frame: _Frame, *, closed: bool) -> None:
        """Go on after a delimiter of `frame`: with the next part of it, or with what follows its end."""
        while self._frames[-1] is not frame:
            self._frames.pop()
        self._depth = len(self._frames)
        if closed:
            self._frames.pop()
            self._depth -= 1
            self._mode, self._number, self._fresh = OTHER, frame.number, True
            return
        self._mode, self._message, self._digest, self._frozen = HEADER, False, frame.digest, frame.frozen


def eight_bits(chunks: Iterable[bytes]) -> tuple[bool, bool]:
    """Whether an octet is above 127, and whether one is so in a header, that of a part or of a message within
    included (RFC 6531 section 3.5).  A message too deep to be walked counts as both."""
    anywhere = False
    try:
        for event, _, data in Walker().walk(chunks):
            if not data.isascii():
                if event == HEADER:
                    return True, True
                anywhere = True
    except TooComplex:
        return True, True
    return anywhere, False
