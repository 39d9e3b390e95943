"""Delivery into Maildirs: one message, one recipient, one file.

`deliver` writes the message into ``tmp``, syncs it, renames it into ``new`` and syncs that directory, so
that what it answers with 2yz is durable.  It blocks, and is run in a thread.  It answers with a `Reply` of
our own making, and never raises: a full disk or quota is 452 4.3.1 and other trouble with the disk
451 4.3.0, both temporary; a recipient that can name no directory is 550 5.1.1.

The Maildir's path comes from a template, in which ``{user}`` is the local-part and ``{domain}`` the
domain, both in lower case (a host may treat local-parts so: RFC 5321 section 2.4) and the domain as
A-labels.  A value that could leave its place in the path is refused: one with a slash or a control
character, one that begins with a dot, one too long for a file name.  Missing directories are made,
for their owner alone.

Lines end in LF in the file, as in every Unix Maildir.  Names are unique as Maildir's own rules
ask: time, process, a counter, and the host's name.
"""

from __future__ import annotations

import errno
import itertools
import os

from mether.address import AddressError, unquote
from mether.queue.disk import REAL
from mether.relay import final, template
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

    from mether.address import Address, ReversePath
    from mether.queue.content import Content
    from mether.queue.disk import Disk

NAMES: Final = ("user", "domain")
MAX_NAME: Final = 255
"""Octets of one file name (NAME_MAX on every system that matters)."""

DELIVERED: Final = Reply(250, "2.0.0", "delivered to the mailbox")
FULL: Final = Reply(452, "4.3.1", "not enough storage for the mailbox now")
NO_MAILBOX: Final = Reply(550, "5.1.1", "this address can name no mailbox here")

_counter = itertools.count(1)


class NoMailbox(ValueError):
    """The address gives no safe path; str() says why."""


def check_template(path: str) -> None:
    """Raise ValueError, for a person, unless `path` can be a Maildir template."""
    if not path or "\0" in path:
        raise ValueError("the path of a Maildir is missing or holds a NUL")
    if path.startswith("~"):
        raise ValueError("~ is not expanded here, since no shell reads it: write the directory out")
    template.names(path, NAMES)


def directory(path: str, address: Address, hostname: str) -> str:
    """The Maildir of `address`; `hostname` is the domain of the bare postmaster.  Raises NoMailbox."""
    user = unquote(address.local_part)
    if not user.isascii():
        from unicodedata import normalize

        user = normalize("NFC", user)
    try:
        domain = address.ascii_domain or hostname.lower()
    except AddressError as error:
        raise NoMailbox(str(error)) from None
    return template.expand(path, {"user": _component(user.lower()), "domain": _component(domain)})


def deliver(
    path: str,
    address: Address,
    *,
    reverse_path: ReversePath,
    prefix: bytes,
    content: Content,
    now: float,
    hostname: str,
    orcpt: str | None = None,
    utf8: bool = False,
    disk: Disk = REAL,
) -> Reply:
    """Deliver to `address`.

    `path` is the template, `prefix` the trace prefix, `now` Unix time in seconds, `hostname` our name;
    `orcpt` the recipient's, and `utf8` whether the message came with SMTPUTF8.
    """
    try:
        maildir = directory(path, address, hostname)
        for name in ("tmp", "new", "cur"):
            _make(os.path.join(maildir, name), disk)
        _store(maildir, final.octets(reverse_path, prefix, content, orcpt, utf8=utf8), now, hostname, disk)
    except (NoMailbox, UnicodeEncodeError):
        return NO_MAILBOX
    except OSError as error:
        return _reply(error)
    return DELIVERED


def unique(now: float, pid: int, number: int, hostname: str) -> str:
    """A name that no other delivery uses (cr.yp.to/proto/maildir.html)."""
    host = hostname.replace("/", "\\057").replace(":", "\\072")[:100]
    micro = int(now * 1e6)
    return f"{micro // 1_000_000}.M{micro % 1_000_000:06d}P{pid}Q{number}.{host}"


def _store(maildir: str, pieces: Iterator[bytes], now: float, hostname: str, disk: Disk) -> None:
    while True:
        name = unique(now, os.getpid(), next(_counter), hostname)
        temporary = os.path.join(maildir, "tmp", name)
        try:
            fd = disk.create(temporary)
            break
        except FileExistsError:
            continue  # a file of a dead process that had our number: the counter has moved on
    new = os.path.join(maildir, "new")
    written = temporary
    try:
        try:
            for piece in pieces:
                disk.write(fd, piece)
            disk.sync(fd)
        finally:
            disk.close(fd)
        disk.rename(temporary, os.path.join(new, name))
        written = os.path.join(new, name)
        disk.sync_directory(new)
    except OSError:
        # Also out of `new`: what is answered with 4yz comes again, and should come once.
        try:
            disk.unlink(written)
        except OSError:
            pass
        raise


def _make(path: str, disk: Disk) -> None:
    """Make the directory and those above it that are missing, each synced into the one above."""
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path) or "."
    _make(parent, disk)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.path.isdir(path):
            raise
    disk.sync_directory(parent)


def _component(text: str) -> str:
    """The text, if it can only be a name inside a directory.  Raises NoMailbox."""
    if not text or text[0] == "." or "/" in text or not text.isprintable():
        raise NoMailbox("the address is empty, begins with a dot, or holds a slash or control character")
    if len(text.encode("utf-8", "replace")) > MAX_NAME:
        raise NoMailbox("the address is too long for a file name")
    return text


def _reply(error: OSError) -> Reply:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FULL
    if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ):
        return NO_MAILBOX
    # The path stays out of the text: it goes to the sender.
    return Reply(451, "4.3.0", f"cannot write to the mailbox now: {error.strerror or 'input/output error'}")
