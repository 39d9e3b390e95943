"""A batch as a file of this host holds it: its lines may end in LF, and the chunks of BDAT are as they are.

`Batch` feeds a `Dialogue` whose decider answers at once.  Line ends are made CRLF outside chunks only: the
octets that a BDAT announces are counted in the file, and binary content would not survive it (RFC 3030
section 3).  So what is fed ends with each line that may be a BDAT, and the dialogue is then asked how many
octets follow it as they are.  Holds back no more than one line's beginning.
"""

from __future__ import annotations

from mether.smtp.wire import MAX_COMMAND_LINE, Normalizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.server.dialogue import Dialogue

_WORD: Final = b"BDAT"


class Batch:
    """What has been read of a batch and not yet been fed to its dialogue."""

    __slots__ = ("_at_start", "_dialogue", "_held", "_lines")

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._lines = Normalizer()
        self._held = b""
        self._at_start = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take octets, b"" at their end; gives the replies."""
        dialogue = self._dialogue
        rest, self._held = self._held + data, b""
        while rest and not dialogue.closing:
            left = dialogue.protocol.chunk_left
            if left:
                piece, rest = rest[:left], rest[left:]
                self._at_start = True
                yield dialogue.receive(piece)
                continue
            size = self._lines_in(rest, ended=not data)
            if not size:
                self._held = rest
                return
            piece, rest = rest[:size], rest[size:]
            self._at_start = piece.endswith(b"\n")
            if lines := self._lines.feed(piece):
                yield dialogue.receive(lines)
        if not data and not dialogue.closing:
            if lines := self._lines.end():
                yield dialogue.receive(lines)
            yield dialogue.receive(b"")

    def _lines_in(self, data: bytes, *, ended: bool) -> int:
        """How many octets may be fed before the dialogue must be asked; 0 when more are needed to know."""
        upper = data.upper()
        at = 0 if self._at_start and _WORD.startswith(upper[:4]) else -1
        if at < 0:
            at = upper.find(b"\n" + _WORD) + 1 or _tail(upper)
        if at:
            return at
        end = data.find(b"\n") + 1
        return end or (len(data) if ended or len(data) > MAX_COMMAND_LINE else 0)


def _tail(data: bytes) -> int:
    """Where a last line begins of which too little has come to tell, else the end."""
    start = data.rfind(b"\n", max(0, len(data) - len(_WORD))) + 1
    return start if start and _WORD.startswith(data[start:]) and start < len(data) else len(data)
