"""What the readers of other programs' queues give: messages that wait there, and what could not be read.

Each reader is a generator of `Found` and `Unreadable`, in the order of the files' names.  It only reads,
opens no file that is not a regular one, believes nothing that it reads, and raises nothing but OSError for a
directory that it cannot list: whatever is wrong with one message is said of that one.
"""

from __future__ import annotations

import os
import stat

from mether.address import Address, AddressError, parse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO, Final

    from mether.address import ReversePath
    from mether.envelope import Recipient

MAX_ENVELOPE: Final = 64 << 20
"""Octets of a file that holds an envelope."""
CHUNK: Final = 256 << 10
"""Octets of content that are read at a time."""


class Wrong(ValueError):
    """A file is not what it should be; str() says what was expected."""


class Unreadable:
    """A file at `place` that was not read, or a part of it, and `why`; what is `passing` is in use now."""

    __slots__ = ("passing", "place", "why")

    def __init__(self, place: str, why: str, *, passing: bool = False) -> None:
        self.place = place
        self.why = why
        self.passing = passing

    def __repr__(self) -> str:
        return f"Unreadable({self.place!r}, {self.why!r})"


class Found:
    """A message that waits in another program's queue, to the `recipients` that it is still owed to.

    `name` tells it from all others of its source, for ever; `place` is its file.  `arrived` is in Unix
    seconds. `pull` makes a function that gives the content's next octets, b"" at the end, with whatever line
    ends the source has.  `hold` is why it is held there, None when it is not; `tried` what is known of
    earlier attempts, a line each; `problems` what of it could not be read.  `envid` and the recipients'
    parameters are as RFC 3461 has them on the wire.
    """

    __slots__ = (
        "arrived",
        "body",
        "envid",
        "hold",
        "name",
        "place",
        "problems",
        "pull",
        "recipients",
        "ret",
        "reverse_path",
        "smtputf8",
        "tried",
    )

    def __init__(
        self,
        name: str,
        place: str,
        reverse_path: ReversePath,
        recipients: list[Recipient],
        arrived: float,
        pull: Callable[[], Callable[[], bytes]],
        *,
        hold: str | None = None,
        body: str | None = None,
        ret: str | None = None,
        envid: str | None = None,
        smtputf8: bool = False,
        tried: list[str] | None = None,
        problems: list[str] | None = None,
    ) -> None:
        self.name = name
        self.place = place
        self.reverse_path = reverse_path
        self.recipients = recipients
        self.arrived = arrived
        self.pull = pull
        self.hold = hold
        self.body = body
        self.ret = ret
        self.envid = envid
        self.smtputf8 = smtputf8
        self.tried = tried or []
        self.problems = problems or []


def path_of(text: str, hostname: str) -> Address:
    """An address as such queues have it; one without a domain is at `hostname`.  Raises Wrong."""
    text = text.strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    try:
        if "@" not in text and text:
            return parse(f"{text}@{hostname}", utf8=True)
        return parse(text, utf8=True)
    except AddressError as error:
        raise Wrong(f"{text[:80]!r} is no address: {error}") from None


def sender_of(text: str, hostname: str) -> ReversePath:
    """A reverse-path, which may be empty.  Raises Wrong."""
    return None if text.strip() in ("", "<>", "@") else path_of(text, hostname)


def text_of(data: bytes) -> str:
    """Octets of an envelope as text.  Raises Wrong."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Wrong(f"{data[:80]!r} is not UTF-8") from None


def seconds_of(text: str, what: str) -> float:
    """A time, or part of one, in digits.  Raises Wrong."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Wrong(f"{text[:40]!r} where {what} must be")
    return float(text)


def open_file(path: str) -> BinaryIO:
    """A regular file, opened.  Raises OSError, Wrong."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Wrong("it is no regular file")
        return open(fd, "rb")
    except BaseException:
        os.close(fd)
        raise


def read_file(path: str) -> bytes:
    """A file with an envelope, whole.  Raises OSError, Wrong."""
    with open_file(path) as file:
        data = file.read(MAX_ENVELOPE + 1)
    if len(data) > MAX_ENVELOPE:
        raise Wrong(f"it is longer than {MAX_ENVELOPE >> 20} MiB, which no envelope is")
    return data


def from_offset(path: str, offset: int) -> Callable[[], Callable[[], bytes]]:
    """The `pull` of content that is all of a file behind `offset`.  What it makes raises OSError, Wrong."""

    def pull() -> Callable[[], bytes]:
        return _chunks(_rest(path, offset))

    return pull


def pulled(make: Callable[[], Iterator[bytes]]) -> Callable[[], Callable[[], bytes]]:
    """The `pull` of content that `make` gives in pieces."""
    return lambda: _chunks(make())


def _rest(path: str, offset: int) -> Iterator[bytes]:
    with open_file(path) as file:
        file.seek(offset)
        while data := file.read(CHUNK):
            yield data


def _chunks(pieces: Iterator[bytes]) -> Callable[[], bytes]:
    return lambda: next((piece for piece in pieces if piece), b"")


def trouble(error: OSError | Wrong) -> str:
    """What an error says, in few words."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def shown(text: str) -> str:
    """A line of another program for a person: what cannot be printed is replaced, and its length bounded."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split()))[:400]
