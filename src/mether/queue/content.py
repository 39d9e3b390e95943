"""Content: the octets of a message, wherever they lie.

`Content` is what the queue hands out: small content in memory, large content to be read in pieces.
Its users never see a path.  `Writer` is what `Store.stage` hands out for content that is being
received and has grown too large for memory.

Content has CRLF line ends, is not dot-stuffed, holds no bare CR or LF, and does not include the trace
prefix, which is kept beside it so that it can be added without copying.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO, Final, Protocol

    class Writer(Protocol):
        """Content being received into the spool.  Not thread-safe; used by one draft."""

        size: int

        def write(self, data: bytes) -> None:
            """Append.  Raises StoreError (NoSpace on a full disk)."""

        def sync(self) -> None:
            """Make what was written durable; may be called in another thread, once, last.

            Raises StoreError; a sync that failed is never tried again on the same file.
            """

        def discard(self) -> None:
            """Forget and remove it, if no commit has taken it.  Never raises."""


SMALL: Final = 64 * 1024
"""Octets up to which content is held in memory and in a row; above it lies in a file."""

CHUNK: Final = 64 * 1024
"""Octets read from a file at a time."""


class Content:
    """The octets of a queued message, without the trace prefix.

    `data` holds them when they are in memory; otherwise `open` gives a fresh binary file.  `size` is
    in octets.
    """

    __slots__ = ("_open", "data", "size")

    def __init__(self, data: bytes | None, size: int, open: Callable[[], BinaryIO] | None = None) -> None:
        self.data = data
        self.size = size
        self._open = open

    def chunks(self, size: int = CHUNK) -> Iterator[bytes]:
        """The octets in pieces of at most `size`, from the start.  Raises OSError when it can't be read."""
        if self.data is not None:
            for start in range(0, len(self.data), size):
                yield self.data[start : start + size]
            return
        assert self._open is not None
        with self._open() as file:
            while piece := file.read(size):
                yield piece

    def read(self, limit: int | None = None) -> bytes:
        """All octets, or the first `limit` of them.  Raises OSError."""
        if self.data is not None:
            return self.data if limit is None else self.data[:limit]
        assert self._open is not None
        with self._open() as file:
            return file.read() if limit is None else file.read(limit)


def in_memory(data: bytes) -> Content:
    """Content that lies in memory."""
    return Content(data, len(data))
