"""Taking the content of one message: in memory while it is small and the budget has room, else in a file.

An `Intake` is made when content begins, is given its octets (`add`), and at the end says whether they can be
taken (`finish`) and what they are now (`content`, octets or a writer).  More than MAX_RECEIVED trace fields
are a loop, `554 5.4.6` (RFC 5321 section 6.3).

`mend` is asked once for the beginning of a submitted message, SMALL octets or all of it: it gives the octets
to keep in their place, or the reply that refuses the message (RFC 6409 section 8).  Until they are there they
are held, budget or no.

Trouble with the spool is a reply, 451 or 452, kept until `finish`.  `discard` gives back everything.
"""

from __future__ import annotations

from mether.content import header
from mether.event import mail as event
from mether.queue.content import SMALL
from mether.queue.store import StoreError
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.queue.content import Writer
    from mether.receive.budget import Budget

    Mend = Callable[[bytes], bytes | Reply]

MAX_RECEIVED: Final = 100
"""Trace fields in a message beyond which it is in a loop (RFC 5321 section 6.3)."""

CRUMB: Final = 512
PIECE: Final = 4096
"""Octets that come in less than CRUMB at a time are put together up to PIECE: an object for each octet would
take forty times what the budget counts."""

LOOP: Final = Reply(554, "5.4.6", f"more than {MAX_RECEIVED} Received fields: the message is in a loop")


class Intake:
    """The content of the message `ident`.  `held` counts the octets taken from the budget."""

    __slots__ = (
        "_budget",
        "_chunks",
        "_failed",
        "_head",
        "_ident",
        "_mend",
        "_spare",
        "_stage",
        "_writer",
        "held",
    )

    def __init__(
        self, ident: str, budget: Budget, stage: Callable[[str], Writer], mend: Mend | None = None
    ) -> None:
        self._ident = ident
        self._budget = budget
        self._stage = stage
        self._mend = mend
        self._chunks: list[bytes] = []
        self._head = self._spare = 0
        self._writer: Writer | None = None
        self._failed: Reply | None = None
        self.held = 0

    def add(self, data: bytes) -> None:
        """Take the next octets."""
        if self._failed is not None or not data:
            return
        if self._writer is None:
            if self.held + self._spare + len(data) <= SMALL and self._may_hold(len(data)):
                chunks = self._chunks
                if chunks and len(data) < CRUMB and len(chunks[-1]) < PIECE:
                    chunks[-1] += data
                else:
                    chunks.append(data)
                return
            data = self._spill(data)
        else:
            self._keep_head(data)
        self._write(data)

    def finish(self) -> Reply | None:
        """All octets are there: why they cannot be taken, or None."""
        if self._failed is not None:
            return self._failed
        head = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        if self._mend is not None and self._writer is None:
            mended = self._mend(head)
            if isinstance(mended, Reply):
                return mended
            head = mended
        self._chunks = [head]
        return LOOP if header.count_received(head[: header.split(head)]) > MAX_RECEIVED else None

    @property
    def content(self) -> bytes | Writer:
        """What was taken, after `finish`."""
        return self._chunks[0] if self._writer is None else self._writer

    @property
    def head(self) -> tuple[bytes, bool]:
        """The beginning of what was taken, its header at least, and whether that is all; after `finish`."""
        return self._chunks[0], self._writer is None

    def hand_over(self) -> tuple[int, Writer | None]:
        """Let go of everything: what is held of the budget and the writer are the caller's now."""
        held, writer = self.held, self._writer
        self.held, self._writer = 0, None
        return held, writer

    def discard(self) -> None:
        """Forget the content."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
        self._budget.give(self.held)
        self.held = 0
        self._chunks = []

    def _may_hold(self, octets: int) -> bool:
        """Whether so many may stay in memory: from the budget, or since they are to be mended."""
        if self._budget.take(octets):
            self.held += octets
            return True
        # By a part of its header a good message would be refused, and half of a bad one would pass.
        if self._mend is None:
            return False
        self._spare += octets
        return True

    def _spill(self, data: bytes) -> bytes:
        """Open a file; returns what has to be written to it: all so far."""
        try:
            self._writer = self._stage(self._ident)
        except StoreError as error:
            self._fail(error)
            return b""
        data = b"".join((*self._chunks, data))
        self._budget.give(self.held)
        self.held = self._head = self._spare = 0
        self._chunks = []
        if self._mend is not None:
            mended = self._mend(data[:SMALL])
            if isinstance(mended, Reply):
                self._failed = mended
                self._writer.discard()
                self._writer = None
                return b""
            data = mended + data[SMALL:]
        self._keep_head(data)
        return data

    def _keep_head(self, data: bytes) -> None:
        """Keep the header of content that lies in a file, or its first SMALL octets if it is longer."""
        if self._head >= SMALL:
            return
        head = b"".join((*self._chunks, data[: SMALL - self._head]))
        end = header.split(head)
        complete = end < len(head)
        self._chunks = [head[:end] if complete else head]
        self._head = SMALL if complete else len(head)

    def _write(self, data: bytes) -> None:
        if self._writer is None or self._failed is not None:
            return
        try:
            self._writer.write(data)
        except StoreError as error:
            self._fail(error)

    def _fail(self, error: StoreError) -> None:
        event.error(str(error), ident=self._ident)
        self._failed = error.reply
        if self._writer is not None:
            self._writer.discard()
            self._writer = None
