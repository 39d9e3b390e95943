"""Replies: the three digits, the enhanced status code and the text (RFC 5321 section 4.2, RFC 2034).

A `Reply` is what a server says to one command.  The first digit decides what it means; there is no
list of known codes.  `Reply.encode` writes it in lines of at most 512 octets, the enhanced code in
front of every line's text; `from_lines` makes one from what a server sent.  Nothing here fails: a
peer's odd text becomes printable text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

MAX_LINE: Final = 512
"""Octets of a reply line with its CRLF (RFC 5321 section 4.5.3.1.5)."""


class Reply:
    """One reply: `code` (200-599), `status` (``"5.1.1"`` or None), and the `lines` of its text."""

    __slots__ = ("_wire", "code", "lines", "status")

    def __init__(self, code: int, status: str | None, *lines: str) -> None:
        self.code = code
        self.status = status
        self.lines = lines or ("",)
        self._wire: bytes | None = None

    @property
    def digit(self) -> int:
        """The first digit: 2 done, 3 go on, 4 not now, 5 no."""
        return self.code // 100

    @property
    def ok(self) -> bool:
        """Whether the command was done (2yz)."""
        return 200 <= self.code < 300

    @property
    def temporary(self) -> bool:
        """Whether the same command may succeed later (4yz)."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """Whether the command must not be repeated as it is (5yz)."""
        return 500 <= self.code < 600

    @property
    def text(self) -> str:
        """The text of all lines, joined by spaces, without codes."""
        return " ".join(line for line in self.lines if line)

    def encode(self) -> bytes:
        """The octets to send.  UTF-8 where the text needs it: see RFC 6531 section 3.7.4."""
        if self._wire is None:
            prefix = f"{self.status} " if self.status else ""
            room = MAX_LINE - 6 - len(prefix)
            only = self.lines[0]
            if len(self.lines) == 1 and len(only) <= room and only.isascii() and only.isprintable():
                self._wire = f"{self.code} {prefix}{only}\r\n".encode()
                return self._wire
            lines = [piece for line in self.lines for piece in _split(line, room)]
            last = len(lines) - 1
            self._wire = b"".join(
                f"{self.code}{'-' if i < last else ' '}{prefix}{line}\r\n".encode()
                for i, line in enumerate(lines)
            )
        return self._wire

    def __str__(self) -> str:
        text = self.lines[0] if len(self.lines) == 1 else self.text
        codes = f"{self.code} {self.status}" if self.status else str(self.code)
        return f"{codes} {text}" if text else codes

    def __repr__(self) -> str:
        return f"Reply({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reply) and (self.code, self.status, self.lines) == (
            other.code,
            other.status,
            other.lines,
        )

    def __hash__(self) -> int:
        return hash((self.code, self.status, self.lines))


def from_lines(code: int, texts: Sequence[str]) -> Reply:
    """The reply that a server gave: `texts` are its lines after the code and separator.

    The enhanced code is taken from the first line when its class equals the first digit (RFC 2034
    section 4), and is then removed from every line that repeats it.
    """
    status = _leading_status(texts[0], code // 100) if texts else None
    if status is None:
        return Reply(code, None, *texts)
    lines = [
        text[len(status) :].lstrip(" ") if _leading_status(text, code // 100) == status else text
        for text in texts
    ]
    return Reply(code, status, *lines)


def from_text(text: str) -> Reply | None:
    """The reply that str() wrote, or None when the text begins with no reply code."""
    code = text[:3]
    if not (len(code) == 3 and code.isascii() and code.isdigit() and text[3:4] in ("", " ")):
        return None
    return from_lines(int(code), [text[4:]])


def is_status(text: str) -> bool:
    """Whether the text is an enhanced status code (RFC 3463 section 2): ``class.subject.detail``."""
    parts = text.split(".")
    return (
        len(parts) == 3
        and parts[0] in ("2", "4", "5")
        and all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts[1:])
    )


def _leading_status(text: str, digit: int) -> str | None:
    word = text.partition(" ")[0]
    return word if is_status(word) and word[0] == str(digit) else None


def _split(line: str, room: int) -> list[str]:
    """Pieces of at most `room` octets, cut at a space where there is one."""
    line = line.replace("\r", " ").replace("\n", " ")
    pieces = []
    while len(line.encode()) > room:
        cut = room
        while len(line[:cut].encode()) > room:
            cut -= 1
        space = line.rfind(" ", 1, cut)
        cut = space if space > 0 else cut
        pieces.append(line[:cut])
        line = line[cut:].lstrip(" ")
    pieces.append(line)
    return pieces
