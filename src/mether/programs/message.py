"""The message on standard input: line ends made CRLF, kept in memory while it is small.

`read` takes LF or CRLF line ends, ends the last line if it is not, and refuses with `Failure` (65) what
cannot be sent by SMTP: a bare CR, a NUL.  Beyond SMALL octets the message goes to a writer that the
caller gives: a file of the spool, or `Scratch`, a temporary file with no name.
"""

from __future__ import annotations

import os

from mether.programs.errors import DATAERR, Failure
from mether.queue.content import SMALL, Content, in_memory
from mether.smtp.wire import CRLF, Normalizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeVar

    from mether.queue.content import Writer

    W = TypeVar("W", bound=Writer)

CHUNK: Final = 256 * 1024


def octets(source: int) -> Callable[[], bytes]:
    """A function that reads the next octets of a descriptor, b"" at the end."""
    return lambda: os.read(source, CHUNK)


def read(pull: Callable[[], bytes], spill: Callable[[], W]) -> bytes | W:
    """The whole message.  Raises Failure, and whatever `pull` and the writer raise."""
    normalizer = Normalizer()
    chunks: list[bytes] = []
    size = 0
    last = b""
    writer: W | None = None

    def take(data: bytes) -> None:
        nonlocal size, last, writer
        if not data:
            return
        if b"\0" in data:
            raise Failure(DATAERR, "the message holds a NUL octet, which cannot be sent by SMTP")
        size += len(data)
        last = (last + data[-2:])[-2:]
        if writer is None and size > SMALL:
            writer = spill()
            writer.write(b"".join(chunks))
            chunks.clear()
        if writer is not None:
            writer.write(data)
        else:
            chunks.append(data)

    try:
        while data := pull():
            take(normalizer.feed(data))
        take(normalizer.end())
        if normalizer.bare_cr:
            raise Failure(DATAERR, "the message holds a CR that ends no line, which cannot be sent by SMTP")
        if size and last != CRLF:
            take(CRLF)
    except BaseException:
        if writer is not None:
            writer.discard()
        raise
    return b"".join(chunks) if writer is None else writer


def read_binary(pull: Callable[[], bytes], spill: Callable[[], W]) -> bytes | W:
    """The whole message, octets as they are.  Raises whatever `pull` and the writer raise."""
    chunks: list[bytes] = []
    size = 0
    writer: W | None = None
    try:
        while data := pull():
            size += len(data)
            chunks.append(data)
            if size > SMALL:
                writer = writer or spill()
                writer.write(b"".join(chunks))
                chunks.clear()
    except BaseException:
        if writer is not None:
            writer.discard()
        raise
    return b"".join(chunks) if writer is None else writer


class Scratch:
    """A writer into a temporary file that has no name, so that it goes when the program does."""

    __slots__ = ("_fd", "eight_bit", "size")

    def __init__(self) -> None:
        import tempfile

        self._fd, name = tempfile.mkstemp(prefix="mether-")
        os.unlink(name)
        self.size = 0
        self.eight_bit = False

    def write(self, data: bytes) -> None:
        """Append."""
        self.size += len(data)
        self.eight_bit = self.eight_bit or not data.isascii()
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        """Nothing to make durable: the file ends with the program."""

    def discard(self) -> None:
        """Forget it."""
        os.close(self._fd)

    def content(self) -> Content:
        """What was written."""

        def reopen():  # type: ignore[no-untyped-def]
            os.lseek(self._fd, 0, os.SEEK_SET)
            return open(self._fd, "rb", closefd=False)

        return Content(None, self.size, reopen)


def content(data: bytes | Scratch) -> tuple[Content, bool]:
    """What `read` gave as content, and whether it holds octets above 127."""
    if isinstance(data, bytes):
        return in_memory(data), not data.isascii()
    return data.content(), data.eight_bit
