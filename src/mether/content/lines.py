"""Text made fit to stand in a message: one line, folded lines, seven bits (RFC 5322, RFC 2045).

For reports and other messages that mether itself writes; mail that passes through meets none of this.
Nothing here fails.
"""

from __future__ import annotations

import binascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_LINE: Final = 998
"""Octets of a line without its CRLF (RFC 5322 section 2.1.1)."""

_WORD: Final = 76 - len("=?utf-8?q?" + "?=")
"""Characters that an encoded word has on a line of its own (RFC 2047 section 2)."""

FOLD: Final = 78
"""Characters of a line that people like to read."""


def is_seven_bit(data: bytes) -> bool:
    """Whether this is "7bit" of RFC 2045 section 2.7: short lines of ASCII, no NUL, CR and LF in pairs."""
    return (
        data.isascii()
        and b"\0" not in data
        and data.count(b"\r") == data.count(b"\n") == data.count(b"\r\n")
        and max(map(len, data.split(b"\r\n"))) <= MAX_LINE
    )


def quoted_printable(data: bytes) -> bytes:
    """Quoted-printable (RFC 2045 section 6.7) of lines of text, ending in CRLF."""
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").removesuffix(b"\n") + b"\n"
    # b2a_qp breaks lines as the first line of its input ends, hence CRLF throughout.
    return binascii.b2a_qp(data.replace(b"\n", b"\r\n"), istext=True)


def encoded(text: str, taken: int) -> str:
    """The text for a header field: as it is where it is ASCII, else folded into encoded words (RFC 2047).

    `taken` are the characters of the field's first line before it.
    """
    if text.isascii():
        return text
    words, word, room = [], "", _WORD - taken
    for char in text:
        plain = char.isascii() and char.isalnum()
        octets = char.encode("utf-8", "replace")
        piece = char if plain else "_" if char == " " else "".join(f"={octet:02X}" for octet in octets)
        if len(word) + len(piece) > room:
            words.append(word)
            word, room = "", _WORD - 1
        word += piece
    return "\r\n ".join(f"=?utf-8?q?{one}?=" for one in [*words, word])


def wrap(text: str, first: str, then: str) -> list[str]:
    """Lines of about 78 characters, broken at spaces; a word too long for any line is cut."""
    out, line, empty = [], first, True
    for word in text.split(" "):
        if not word:
            continue
        if not empty and len(line) + 1 + len(word) > FOLD:
            out.append(line)
            line, empty = then, True
        line += word if empty else " " + word
        empty = False
        while len(line) > MAX_LINE // 4:  # four octets at most to a character
            out.append(line[: MAX_LINE // 4])
            line = then + line[MAX_LINE // 4 :]
    out.append(line)
    return out


def clean(text: str) -> str:
    """The text as one line without control characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def to_ascii(text: str) -> str:
    """The same in ASCII, a question mark for each other character."""
    return clean(text).encode("ascii", "replace").decode("ascii")
