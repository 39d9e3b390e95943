"""Framing: lines, content and its dots, as octets (RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2).

A line ends at CRLF and nowhere else; a bare CR or LF never ends anything.  Content ends at
``CRLF . CRLF`` (or at ``. CRLF`` as its very first line) and at no look-alike.  Octets are searched
by methods of `bytes`, in pieces as large as they come, never one by one.

Nothing here fails: what is wrong with content is noted in `ContentDecoder`'s flags, for the server to
answer after the true end.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

CRLF: Final = b"\r\n"
END: Final = b"\r\n.\r\n"

MAX_COMMAND_LINE: Final = 4096
"""Octets of a command line with its CRLF: 512 and what every extension adds (checklist LIM-1)."""

MAX_AUTH_LINE: Final = 12_290
"""Octets of a line of AUTH with its CRLF (RFC 4954 section 4)."""


class ContentDecoder:
    """Takes dot-stuffed content out of a stream; the same events whatever the cuts.

    `bare` is set once a CR or LF stood alone, `nul` once a NUL was seen, `eight_bit` once an octet
    above 127 was; `size` counts the octets given out, without the end and the removed dots.  With
    `normalize` a CR or LF that stands alone becomes a line end in what is given out; the end itself
    is still found in the octets as they came.
    """

    __slots__ = ("_at_start", "_normalize", "bare", "eight_bit", "nul", "size")

    def __init__(self, *, normalize: bool = False) -> None:
        self._at_start = True
        self._normalize = normalize
        self.bare = False
        self.nul = False
        self.eight_bit = False
        self.size = 0

    def decode(self, buffer: bytes, start: int) -> tuple[bytes, int, bool]:
        """Take content from `buffer` at `start`: (content, where the next call or command starts, end).

        What could be the beginning of the end is left in the buffer until more has come.
        """
        if self._at_start:
            head = buffer[start : start + 3]
            if head == b".\r\n":
                return b"", start + 3, True
            if head in (b"", b".", b".\r"):
                return b"", start, False
            self._at_start = False
            if head[0] == 0x2E:
                start += 1
        # One search finds the end where no line before it was stuffed, as is nearly always so.
        end = dot = buffer.find(b"\r\n.", start)
        if dot >= 0 and not buffer.startswith(END, dot):
            end = buffer.find(END, dot)
        if end >= 0:
            raw, following = buffer[start : end + 2], end + 5
        else:
            following = len(buffer) - _held(buffer, start)
            if following == start:
                return b"", start, False
            raw = buffer[start:following]
        if _has_bare(raw):
            self.bare = True
        if not raw.isascii():
            self.eight_bit = True
        if 0 in raw:
            self.nul = True
        data = raw if dot == end else raw.replace(b"\r\n.", CRLF)
        if self.bare and self._normalize:
            data = _normal(data)  # a CR at the end of `raw` cannot be: it may begin the end, and is held
        self.size += len(data)
        return data, following, end >= 0


class ChunkDecoder:
    """Looks at content that comes in chunks (BDAT), whose octets stand as they are (RFC 3030 section 2).

    The flags, `size` and `normalize` are those of `ContentDecoder`; line ends may be cut anywhere.  A
    `binary` message may hold any octets.
    """

    __slots__ = ("_binary", "_cr", "_normalize", "bare", "eight_bit", "nul", "size")

    def __init__(self, *, binary: bool, normalize: bool = False) -> None:
        self._binary = binary
        self._normalize = normalize and not binary
        self._cr = False
        self.bare = False
        self.nul = False
        self.eight_bit = False
        self.size = 0

    def decode(self, data: bytes, last: bool) -> bytes:
        """The next octets; `last` says that none follow.  A CR may wait for what comes after it."""
        if not data.isascii():
            self.eight_bit = True
        if self._binary:
            self.size += len(data)
            return data
        if self._cr:
            data = b"\r" + data
        self._cr = not last and data.endswith(b"\r")
        if self._cr:
            data = data[:-1]
        if _has_bare(data):
            self.bare = True
            if self._normalize:
                data = _normal(data)
        if 0 in data:
            self.nul = True
        self.size += len(data)
        return data


def _has_bare(data: bytes) -> bool:
    """Whether a CR or LF stands alone."""
    rest = data.replace(CRLF, b"")
    return 13 in rest or 10 in rest


def _normal(data: bytes) -> bytes:
    """The octets with every CR and LF that stands alone made a line end."""
    return data.replace(CRLF, b"\n").replace(b"\r", b"\n").replace(b"\n", CRLF)


def _held(buffer: bytes, start: int) -> int:
    """How many octets at the end of the buffer may begin ``CRLF . CRLF``."""
    tail = buffer[max(start, len(buffer) - 4) :]
    for length in range(len(tail), 0, -1):
        if tail.endswith(END[:length]):
            return length
    return 0


def stuff(data: bytes) -> bytes:
    """Content with the leading dot of each line doubled, without the end (RFC 5321 section 4.5.2)."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed[:1] == b"." else stuffed


class Stuffer:
    """Dot-stuffs content that comes in pieces and writes its end."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = CRLF

    def feed(self, data: bytes) -> bytes:
        """The next piece, stuffed."""
        if not data:
            return b""
        stuffed = data.replace(b"\r\n.", b"\r\n..")
        # The two octets before this piece decide whether a CRLF was cut in two.
        if (self._tail == CRLF and data[:1] == b".") or (self._tail[-1:] == b"\r" and data[:2] == b"\n."):
            cut = 0 if data[:1] == b"." else 1
            stuffed = stuffed[:cut] + b"." + stuffed[cut:]
        self._tail = (self._tail + data[-2:])[-2:]
        return stuffed

    def end(self) -> bytes:
        """The end of the content; a last line without CRLF gets one."""
        return b".\r\n" if self._tail == CRLF else END


class Normalizer:
    """Turns LF and CRLF line ends, mixed as a person's file may have them, into CRLF.

    For content that comes from a file or pipe, never from the wire.  A CR that is followed by no LF
    stays, and `bare_cr` is set: such content cannot be sent (RFC 5321 section 2.3.8).
    """

    __slots__ = ("_held", "bare_cr")

    def __init__(self) -> None:
        self._held = b""
        self.bare_cr = False

    def feed(self, data: bytes) -> bytes:
        """The next piece with CRLF line ends."""
        data = self._held + data
        self._held = b""
        if data.endswith(b"\r"):
            self._held, data = b"\r", data[:-1]
        data = data.replace(CRLF, b"\n")
        if b"\r" in data:
            self.bare_cr = True
        return data.replace(b"\n", CRLF)

    def end(self) -> bytes:
        """What was held back at the end of the input."""
        if self._held:
            self.bare_cr = True
        return self._held


def normalize(data: bytes) -> tuple[bytes, bool]:
    """All of a message with CRLF line ends and a last line that is ended, and whether a bare CR is left."""
    normalizer = Normalizer()
    out = normalizer.feed(data) + normalizer.end()
    if out and not out.endswith(CRLF):
        out += CRLF
    return out, normalizer.bare_cr
