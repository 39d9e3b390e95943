"""What was sent, answered, delivered and returned: numbers for names, and files of them.

Each recipient of each message that is sent has a number of its own, its *slot*, and is written as
``r<slot>@hop``; the messages' sender is ``s<slot>@sender.test`` with the first one's slot.  The generator and
the sink each append lines to a file:

    A slot               the message was answered 250 (one line for each of its recipients)
    D slot               delivered, and answered 250
    U slot               taken, but the connection was closed in place of the answer: delivery is uncertain
    B slot report        returned as failed by that report
    X slot               it came with a content that is not what was sent

`body` makes a content that tells by itself whether it came whole.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

SLOTS = 4
"""Slots of one message, the most recipients that it has."""

_SUM = re.compile(rb"^X-Sum: ([0-9a-f]{8})\r$", re.M)
_FILLER = b"".join(
    b"%sline %d of a body that says nothing\r\n" % (b"." if n % 7 == 0 else b"", n) for n in range(64)
)


def message(name: int, size: int) -> bytes:
    """A message of about so many octets, dots not yet doubled."""
    text = (
        b"message %d\r\n" % name + _FILLER * (size // len(_FILLER)) + _FILLER[: size % len(_FILLER)] + b"\r\n"
    )
    return b"Subject: torture %d\r\nX-Sum: %08x\r\n\r\n" % (name, zlib.crc32(text)) + text


def whole(content: bytes) -> bool:
    """Whether a content, dots no more doubled, is one that `message` made."""
    header, blank, text = content.partition(b"\r\n\r\n")
    found = _SUM.search(header + b"\r")
    return bool(blank and found and int(found[1], 16) == zlib.crc32(text))


def lines(path: Path) -> list[tuple[str, ...]]:
    """The lines of a ledger, in their parts."""
    return [tuple(line.split()) for line in path.read_text().splitlines()]
