"""What a submitted message's header has to have, and how what is missing is added (RFC 6409 section 8).

For mail that its author's program hands in, by SMTP on a submission listener or through sendmail, and for
no other: what is relayed is not touched (checklist DAT-10).  `refusal` says what is wrong beyond mending;
`complete` adds Date and From where they are missing, replaces a Message-ID that is missing or invalid, and,
when told to, names the submitter in Sender.  Every other field stays as it is, in its place.

Sender is added only on request, for it tells every recipient the login, which many hold to be half a secret
and which often is nobody's mailbox, and mail programs then show "on behalf of".

Both work on the header section alone, so the body may lie in a file.  What is added goes on top: where
nothing is replaced it can be written with the trace fields, and the content stays as it lies.  The names
that are written are the caller's `hostname` and mailboxes; no name is looked up or completed.

Nothing here fails, but `mailboxes`.
"""

from __future__ import annotations

from mether.content import header, trace
from mether.content.lines import MAX_LINE
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from mether.address import Address

NO_FROM: Final = Reply(554, "5.6.0", "the message has no From field")
SEVERAL_FROM: Final = Reply(554, "5.6.0", "the message has more than one From field")
LONG_LINE: Final = Reply(554, "5.6.0", f"a line of the header is longer than {MAX_LINE} octets")

MAX_AUTHORS: Final = 4096
"""Octets of a From field that are read as addresses: the parser takes a second for sixteen times as many."""

_BARE: Final = "addr-spec local part with no domain"
"""What the parser finds wrong with ``To: root``, which is right here: it is this host's root."""


def refusal(section: bytes) -> Reply | None:
    """Why a submitted message cannot be taken: no From, several, or a header line beyond 998 octets.

    `section` is the header without the empty line that ends it.  None: it can (checklist DAT-13).
    """
    if len(section) > MAX_LINE and max(map(len, section.split(b"\r\n"))) > MAX_LINE:
        return LONG_LINE
    authors = sum(name.lower() == b"from" for name, _ in header.fields(section))
    if authors == 1:
        return None
    return SEVERAL_FROM if authors else NO_FROM


def complete(
    section: bytes,
    *,
    at: float,
    offset: int,
    ident: str,
    hostname: str,
    author: Callable[[], bytes] | None = None,
    sender: Address | None = None,
) -> tuple[bytes, bytes]:
    """The fields to put on top of a header section, and the section without those that they replace.

    The second is `section` itself when they replace none.  Date is the Unix time `at`, shown in local
    time, `offset` seconds ahead of UTC; Message-ID is made of the queue id `ident` and our `hostname`.
    `author` makes the From field for a message that has none.  `sender`, when given, is the submitter: it
    goes into Sender, in place of what is there, unless it is in From.
    """
    found: dict[bytes, list[bytes]] = {}
    for name, value in header.fields(section):
        found.setdefault(name.lower(), []).append(value)
    added = b""
    if b"date" not in found:
        added += f"Date: {trace.date(at, offset)}\r\n".encode()
    if author is not None and b"from" not in found:
        added += author()
    if sender is not None and not _is_author(sender, found.get(b"from", [])):
        section = header.remove(section, b"sender")
        added += f"Sender: <{sender}>\r\n".encode()
    ids = found.get(b"message-id", [])
    if len(ids) != 1 or not is_message_id(ids[0]):
        if ids:
            section = header.remove(section, b"message-id")
        added += f"Message-ID: <{ident}@{hostname}>\r\n".encode()
    return added, section


def is_message_id(value: bytes) -> bool:
    """Whether a Message-ID field's value names the message: ``<left@right>``, with no space in it.

    What stands in a comment is passed over.  The syntax of both sides is taken as widely as mail programs
    write it; to replace an id that works would break the thread that it begins.
    """
    before, opened, rest = value.partition(b"<")
    ident, closed, after = rest.partition(b">")
    left, at, right = ident.rpartition(b"@")
    return (
        bool(opened and closed and left and at and right)
        and _is_blank(before)
        and _is_blank(after)
        and b"<" not in ident
        and all(octet > 32 and octet != 127 for octet in ident)
    )


def mailboxes(field: str, text: str) -> list[str]:
    """The addresses in a field such as To, unfolded, in order; groups are dissolved.

    A name without a domain is taken as it stands.  Raises ValueError, naming the field, for what cannot
    be read as addresses.
    """
    from email.errors import InvalidHeaderDefect
    from email.headerregistry import HeaderRegistry

    try:
        parsed = HeaderRegistry()(field, text)
        wrong = [
            str(defect)
            for defect in parsed.defects
            if isinstance(defect, InvalidHeaderDefect) and str(defect) != _BARE
        ]
        found = [one.addr_spec for one in parsed.addresses]  # type: ignore[attr-defined]
    except Exception:  # the parser has faults of its own on what is no address at all
        wrong, found = ["it holds something that is no address"], []
    if wrong:
        raise ValueError(f"{field}: {text[:80]!r} cannot be read as addresses: {wrong[0]}")
    return found


def _is_author(sender: Address, values: list[bytes]) -> bool:
    """Whether this mailbox is among those of the From fields; of one that is very long nobody can tell."""
    from mether.address import AddressError, parse

    for value in values:
        if len(value) > MAX_AUTHORS:
            continue
        try:
            written = mailboxes("From", value.replace(b"\r\n", b"").decode("utf-8", "replace").strip())
        except ValueError:
            continue
        for each in written:
            try:
                if parse(each, utf8=True) == sender:
                    return True
            except AddressError:
                continue
    return False


def _is_blank(value: bytes) -> bool:
    """Whether there is only folding white space, or a comment that is no more than one."""
    value = value.strip(b" \t\r\n")
    return not value or (value[:1] == b"(" and value[-1:] == b")")
