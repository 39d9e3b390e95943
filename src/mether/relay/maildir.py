"""Delivery into Maildirs: one message, one recipient, one file.

`deliver` writes the message into ``tmp``, syncs it, renames it into ``new`` and syncs that directory, so
that what it answers with 2yz is durable.  It blocks, and is run in a thread.  It answers with a `Reply` of
our own making, and never raises: a full disk or quota is 452 4.3.1 and other trouble with the disk
451 4.3.0, both temporary; a recipient that can name no directory is 550 5.1.1; a message that comes back to
where it was delivered is 554 5.4.6 (`relay.final`).  Paths stay out of the replies, which go to the sender:
`tell` gets them, for the log.

The Maildir's path comes from a template, in which ``{user}`` is the local-part before the delimiter of
sub-addresses, ``{detail}`` what follows that (nothing for an address without), and ``{domain}`` the domain,
all in lower case (a host may treat local-parts so: RFC 5321 section 2.4) and the domain as A-labels.
``{home}`` is the home directory, where a delivery is made as a Unix user.  A value that could leave its place
in the path is refused: one with a slash or a control character, one that begins with a dot, one too long for
a file name.  Missing directories are made, for their owner alone.

Lines end in LF in the file, as in every Unix Maildir.  Names are unique as Maildir's own rules
ask: time, process, a counter, and the host's name.  By these rules too, what a delivery of ours wrote to
``tmp`` and nobody has touched for 36 hours was left by a process that died, and is removed with the next one.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import stat

from mether.address import AddressError
from mether.queue.disk import REAL
from mether.relay import final, letter, template
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from mether.address import Address
    from mether.envelope import Recipient
    from mether.queue.disk import Disk
    from mether.relay.letter import Letter, Person

NAMES: Final = ("user", "detail", "domain", "home")
MAX_NAME: Final = 255
"""Octets of one file name (NAME_MAX on every system that matters)."""

STALE: Final = 36 * 3600.0
"""Seconds after which a file in ``tmp`` that nobody touches is nobody's (cr.yp.to/proto/maildir.html)."""

SWEPT: Final = 100
"""Files in ``tmp`` that are looked at with each delivery."""

DELIVERED: Final = Reply(250, "2.0.0", "delivered to the mailbox")
FULL: Final = Reply(452, "4.3.1", "not enough storage for the mailbox now")
OVER_QUOTA: Final = Reply(452, "4.2.2", "the mailbox is full")
NO_MAILBOX: Final = Reply(550, "5.1.1", "this address can name no mailbox here")

_OURS: Final = re.compile(r"[0-9]+\.M[0-9]{6}P[0-9]+Q[0-9]+\.")
_counter = itertools.count(1)


class NoMailbox(ValueError):
    """The address gives no safe path; str() says why."""


def quiet(what: str) -> None:
    """Tell nobody."""


def check_template(path: str, *, as_user: bool | None = None) -> None:
    """Raise ValueError, for a person, unless `path` can be a Maildir template.

    `as_user` tells whether deliveries are made as Unix users, who have a home; None: that is looked at later.
    """
    if not path or "\0" in path:
        raise ValueError("the path of a Maildir is missing or holds a NUL")
    if path.startswith("~"):
        raise ValueError("~ is not expanded here, since no shell reads it: write the directory out")
    names = template.names(path, NAMES)
    if "home" in names:
        if not path.startswith("{home}") or names.count("home") > 1:
            raise ValueError("{home} can only stand at the beginning")
        if as_user is False:
            raise ValueError("{home} is known only where mail is delivered as its user: set as_user = true")


def directory(
    path: str, address: Address, hostname: str, delimiter: str = "", person: Person | None = None
) -> str:
    """The Maildir of `address`; `hostname` is the domain of the bare postmaster.  Raises NoMailbox."""
    user, detail = letter.split(address, delimiter)
    try:
        domain = address.ascii_domain or hostname.lower()
    except AddressError as error:
        raise NoMailbox(str(error)) from None
    used = set(template.names(path, NAMES))
    values = {"user": _component(_folded(user)) if "user" in used else "", "domain": _component(domain)}
    if "detail" in used:
        values["detail"] = _component(_folded(detail)) if detail else ""
    if "home" in used:
        if person is None or not person.home.startswith("/"):
            raise NoMailbox("there is no home directory")
        values["home"] = person.home
    return template.expand(path, values)


def deliver(
    path: str,
    recipient: Recipient,
    letter: Letter,
    *,
    now: float,
    hostname: str,
    delimiter: str = "",
    delivered_to: bool = True,
    person: Person | None = None,
    tell: Callable[[str], None] = quiet,
    disk: Disk = REAL,
) -> Reply:
    """Deliver to the Maildir of `recipient`, by the template `path`.

    `now` is Unix time in seconds, `hostname` our name, `delimiter` what stands before the detail in a
    local-part; without `delivered_to` neither is that field written, nor are loops looked for.
    """
    try:
        maildir = directory(path, recipient.forward_path, hostname, delimiter, person)
    except NoMailbox:
        return NO_MAILBOX
    return into(
        maildir,
        recipient,
        letter,
        now=now,
        hostname=hostname,
        delivered_to=delivered_to,
        tell=tell,
        disk=disk,
    )


def into(
    maildir: str,
    recipient: Recipient,
    letter: Letter,
    *,
    now: float,
    hostname: str,
    delivered_to: bool = True,
    tell: Callable[[str], None] = quiet,
    disk: Disk = REAL,
) -> Reply:
    """Deliver into this very Maildir."""
    address = recipient.forward_path if delivered_to else None
    try:
        if address is not None and final.loops(letter.content, address):
            return final.LOOP
        for name in ("tmp", "new", "cur"):
            _make(os.path.join(maildir, name), disk)
        pieces = final.octets(
            letter.reverse_path,
            letter.prefix,
            letter.content,
            recipient.orcpt,
            utf8=letter.utf8,
            delivered_to=address,
        )
        _store(maildir, pieces, now, hostname, disk)
    except UnicodeEncodeError:
        return NO_MAILBOX
    except OSError as error:
        reply = trouble(error)
        if reply.temporary:
            tell(f"cannot deliver to the Maildir {maildir}: {why(error)}")
        return reply
    _sweep(os.path.join(maildir, "tmp"), now)
    return DELIVERED


def unique(now: float, pid: int, number: int, hostname: str) -> str:
    """A name that no other delivery uses (cr.yp.to/proto/maildir.html)."""
    host = hostname.replace("/", "\\057").replace(":", "\\072")[:100]
    micro = int(now * 1e6)
    return f"{micro // 1_000_000}.M{micro % 1_000_000:06d}P{pid}Q{number}.{host}"


def trouble(error: OSError) -> Reply:
    """The reply where a mailbox cannot be written."""
    if error.errno == errno.ENOSPC:
        return FULL
    if error.errno == errno.EDQUOT:
        return OVER_QUOTA  # its owner's quota, and not the disk: it is for him to mend
    if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ):
        return NO_MAILBOX
    # The path stays out of the text: it goes to the sender.
    return Reply(451, "4.3.0", f"cannot write to the mailbox now: {error.strerror or 'input/output error'}")


def why(error: OSError) -> str:
    """What went wrong, and with which file, for the log."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if isinstance(error.filename, str) else reason


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


def _sweep(tmp: str, now: float) -> None:
    """Remove what dead deliveries of ours left; the next one looks again, so trouble is none.

    Where mail is delivered by root or for all users by one, a user may have put a link in this place: only
    files of our own, with such names as `unique` gives, in the directory itself.
    """
    try:
        directory = os.open(tmp, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        with os.scandir(directory) as entries:
            for entry in itertools.islice(entries, SWEPT):
                found = entry.stat(follow_symlinks=False)
                if (
                    max(found.st_mtime, found.st_atime) < now - STALE
                    and stat.S_ISREG(found.st_mode)
                    and found.st_uid == os.geteuid()
                    and _OURS.match(entry.name)
                ):
                    os.unlink(entry.name, dir_fd=directory)
    except OSError:
        pass
    finally:
        os.close(directory)


def _folded(text: str) -> str:
    if not text.isascii():
        from unicodedata import normalize

        text = normalize("NFC", text)
    return text.lower()


def _component(text: str) -> str:
    """The text, if it can only be a name inside a directory.  Raises NoMailbox."""
    if not text or text[0] == "." or "/" in text or not text.isprintable():
        raise NoMailbox("the address is empty, begins with a dot, or holds a slash or control character")
    if len(text.encode("utf-8", "replace")) > MAX_NAME:
        raise NoMailbox("the address is too long for a file name")
    return text
