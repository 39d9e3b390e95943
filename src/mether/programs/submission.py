"""What sendmail does to the header of a message that a local program submits (RFC 6409 section 8).

Recipients are read from To, Cc and Bcc for ``-t``; Bcc is removed then; Date, From and Message-ID are added
by the rules of `content.submission`.  Names without a domain, as cron writes them, get that of this host (RFC
5322 has no addresses without one, and elsewhere they would mean somebody else).  Nothing else is touched, and
a message that begins with no header gets one.
"""

from __future__ import annotations

from mether.content import header, submission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.address import ReversePath
    from mether.programs.message import Scratch
    from mether.queue.content import Writer

MAX_HEADER: Final = 256 * 1024
"""Octets at the beginning of a large message in which its header is looked for."""

_RECIPIENTS: Final = frozenset((b"to", b"cc", b"bcc"))


def recipients(section: bytes) -> list[str]:
    """The addresses in To, Cc and Bcc, in order.

    Raises ValueError, naming the field, when one of them cannot be read as addresses: to leave out what
    cannot be read would be to lose a recipient.
    """
    found = []
    for name, value in header.fields(section):
        if name.lower() in _RECIPIENTS:
            text = value.replace(b"\r\n", b"").decode("utf-8", "replace").strip()
            found += submission.mailboxes(name.decode("ascii"), text)
    return found


def complete(
    section: bytes,
    *,
    sender: ReversePath,
    full_name: str,
    user: tuple[str, str],
    hostname: str,
    ident: str,
    at: float,
    offset: int,
    drop_bcc: bool,
    origin: str = "",
) -> bytes:
    """The header section with what was missing, without the empty line that ends it.

    `sender` is the reverse-path, `full_name` what ``-F`` gave, `user` the login and full name of the caller;
    `at` is Unix time and `offset` local time's lead over UTC, in seconds; `origin` is the domain of names
    that have none, "": the `hostname`.
    """
    origin = origin or hostname
    if not _is_header(section):
        section = b""  # the first lines are no header: all of it is body
    if drop_bcc:
        section = header.remove(section, b"bcc")
    section = qualified(section, origin)

    def author() -> bytes:
        login, gecos = user
        return _from(full_name or gecos, str(sender) if sender is not None else f"{login}@{origin}")

    added, kept = submission.complete(
        section, at=at, offset=offset, ident=ident, hostname=hostname, author=author
    )
    return added + kept


def qualified(section: bytes, origin: str) -> bytes:
    """The section with the domain `origin` behind each name in it that has none."""
    from mether.content import rewrite

    names = rewrite.AUTHORS | rewrite.RECIPIENTS
    bare = [one for one in rewrite.addresses(section, names) if "@" not in one]
    return rewrite.replaced(section, names, {one: f"{one}@{origin}" for one in bare}) if bare else section


def replace_header(
    content: bytes | Scratch, length: int, fixed: bytes, spill: Callable[[], Writer]
) -> bytes | Writer:
    """The message with its first `length` octets replaced by `fixed`; a large one goes to `spill`.

    A message whose body follows no empty line gets one.  Raises StoreError.
    """
    from mether.programs import message
    from mether.queue.content import SMALL

    whole, _ = message.content(content)
    start = whole.read(length + 2)
    separated = start[length:] == b"\r\n"
    kept_header = length and _is_header(start[:length])
    if not kept_header:
        # There was no header: what looked like one is body, behind ours and an empty line.
        fixed += b"" if separated and not length else b"\r\n"
        length = 0
    elif not separated:
        fixed += b"\r\n"
    skip = length
    size = len(fixed) + whole.size - skip
    if size <= SMALL:
        return fixed + whole.read()[skip:]
    writer = spill()
    writer.write(fixed)
    for chunk in whole.chunks():
        if skip >= len(chunk):
            skip -= len(chunk)
            continue
        writer.write(chunk[skip:])
        skip = 0
    return writer


def _is_header(section: bytes) -> bool:
    return next(header.fields(section), None) is not None


def _from(name: str, mailbox: str) -> bytes:
    """A From field; the name is quoted, and encoded where it is not ASCII (RFC 2047)."""
    name = "".join(char for char in name if char.isprintable()).strip()
    if not name:
        return f"From: <{mailbox}>\r\n".encode()
    if name.isascii():
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'From: "{quoted}" <{mailbox}>\r\n'.encode()
    from email.header import Header

    return f"From: {Header(name, 'utf-8', maxlinelen=200).encode()} <{mailbox}>\r\n".encode()
