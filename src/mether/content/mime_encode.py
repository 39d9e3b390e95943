"""Quoted-printable and base64, octet for octet and piece by piece (RFC 2045 sections 6.7 and 6.8).

`feed` takes the next octets of a body and returns what can be written of it, `end` the rest.  Decoding the
output gives back every octet: in quoted-printable a CRLF is a line break, and a CR or LF alone, which no text
should hold, is written in hexadecimal.  No line of the output is over 76 octets or begins with ``--``,
so that none can be mistaken for a delimiter.
"""

from __future__ import annotations

import binascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

LINE: Final = 76
_PIECE: Final = 8 * 1024
"""Octets of a line that are held until its end."""


class QuotedPrintable:
    """An encoder; `held` is the line whose end has not come."""

    __slots__ = ("_continued", "_held")

    def __init__(self) -> None:
        self._held = b""
        self._continued = False

    def feed(self, data: bytes) -> bytes:
        """The next octets; they may end anywhere."""
        *lines, held = (self._held + data).split(b"\r\n")
        out = []
        for line in lines:
            out.append(self._line(line))
            out.append(b"\r\n")
            self._continued = False
        while len(held) > _PIECE:
            out.append(self._line(held[:_PIECE], soft=True))
            held = held[_PIECE:]
            self._continued = True
        self._held = held
        return b"".join(out)

    def end(self, *, last: bool) -> bytes:
        """The rest.  `last`: nothing of the message follows, so that the output ends a line."""
        if not self._held and not self._continued:
            return b""
        return self._line(self._held, soft=last)

    def _line(self, line: bytes, *, soft: bool = False) -> bytes:
        """One line; with `soft` it ends in a soft line break, for which there must be room."""
        end = b"=\r\n" if soft else b""
        # Without line breaks in it, since b2a_qp is told that CR and LF are data; it breaks long ones itself.
        text = binascii.b2a_qp(line, istext=False).replace(b"=\n", b"")
        if text.startswith(b"-" if self._continued else b"--"):
            text = b"=2D" + text[1:]
        if len(text) <= LINE - soft:
            return text + end
        out, at, size = [], 0, len(text)
        mark = b""
        while size - at + len(mark) > LINE - 1:
            cut = at + LINE - 1 - len(mark)
            if text[cut - 1] == 61:
                cut -= 1
            elif text[cut - 2] == 61:
                cut -= 2
            out.append(mark + text[at:cut])
            at = cut
            mark = b""
            if text[at : at + 1] == b"-":
                mark, at = b"=2D", at + 1
        out.append(mark + text[at:])
        return b"=\r\n".join(out) + end


class Base64:
    """An encoder in lines of 76 octets."""

    __slots__ = ("_begun", "_held")

    def __init__(self) -> None:
        self._held = b""
        self._begun = False

    def feed(self, data: bytes) -> bytes:
        """The next octets; they may end anywhere."""
        data = self._held + data
        size = len(data) - len(data) % 57
        self._held = data[size:]
        return self._lines(data[:size])

    def end(self, *, last: bool) -> bytes:
        """The rest.  `last`: nothing of the message follows, so that the output ends a line."""
        out = self._lines(self._held)
        self._held = b""
        return out + b"\r\n" if last and self._begun else out

    def _lines(self, data: bytes) -> bytes:
        if not data:
            return b""
        text = binascii.b2a_base64(data, newline=False)
        out = b"\r\n".join([text[at : at + LINE] for at in range(0, len(text), LINE)])
        out = b"\r\n" + out if self._begun else out
        self._begun = True
        return out
