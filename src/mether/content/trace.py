"""Trace fields and dates: Received, Return-Path, Original-Recipient (RFC 5321 section 4.4).

`received` writes the field that goes on top of every message taken in; `return_path` and
`original_recipient` are for final delivery.  Each ends in CRLF, keeps its lines below 998 octets, and is
ASCII unless `smtputf8` says that the message may hold UTF-8 (RFC 6531 section 3.7.3).

What the client said is never trusted: an octet of the EHLO argument or of a host name that could end
a token, open a comment or begin a new field is written as ``?``, and what is too long is cut.  Nothing
here fails and nothing asks the clock: the time, and how far local time is ahead of UTC, are arguments.
"""

from __future__ import annotations

from mether import xtext
from mether.address import AddressError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.address import Address, ReversePath

MAX_TOKEN: Final = 255
"""Characters of a name that go into a field; a domain is no longer (RFC 5321 section 4.5.3.1.2)."""

MAX_ORIGINAL: Final = 600
"""Characters of an original recipient; ORCPT has 500 (RFC 3461 section 5.4)."""

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_NAME: Final = frozenset(_LETTERS + "-._")
_LITERAL: Final = frozenset(_LETTERS + "-._:")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

REMEMBERED: Final = 1024
"""Sessions whose part of the field is kept, since a session brings more than one message."""

_fronts: dict[tuple[str, str, str, str, str, bool], str] = {}
_last_date: tuple[int, int, str] = (0, 0, "Thu, 01 Jan 1970 00:00:00 +0000")


def received(
    *,
    helo: str,
    address: str,
    host: str,
    by: str,
    protocol: str,
    ident: str,
    recipient: Address | None,
    at: float,
    offset: int = 0,
    smtputf8: bool = False,
    tls: str = "",
    priority: int = 0,
) -> bytes:
    """One Received field.

    `helo` is the EHLO argument, `address` the client's IP address and `host` its verified name, ``""``
    where unknown; `by` our name; `protocol` the ``with`` keyword of RFC 3848, or "local" for mail that
    came by no protocol, which has neither a ``from`` nor a ``with`` clause.  `recipient` is given only
    when it is the only one, so that no blind copy shows (section 7.2).  `tls` is the cipher the message came
    under (RFC 8314 section 4.3), `priority` that of RFC 6710 section 7.  `at` is Unix time and `offset`
    local time's lead over UTC, both in seconds.
    """
    session = (helo, address, host, by, protocol, smtputf8)
    front = _fronts.get(session)
    if front is None:
        if len(_fronts) >= REMEMBERED:
            _fronts.clear()
        front = _fronts[session] = _front(*session)
    text = front + ident
    if recipient is not None and recipient.domain:
        path = _plain(recipient)
        if path.isprintable() and (smtputf8 or path.isascii()):
            text += f"\r\n\tfor <{path}>"
    if tls or priority:
        clauses = ((f"tls {_token(tls, False)}",) if tls else ()) + (
            (f"PRIORITY {priority}",) if priority else ()
        )
        text += f"\r\n\t{' '.join(clauses)}"
    return f"{text};\r\n\t{date(at, offset)}\r\n".encode("utf-8", "replace")


def _plain(recipient: Address) -> str:
    """The address with A-labels where that makes it ASCII: a field of ours must not be what keeps a message
    from a server without SMTPUTF8, which could have it otherwise."""
    if not recipient.is_ascii and recipient.local_part.isascii():
        try:
            return f"{recipient.local_part}@{recipient.ascii_domain}"
        except AddressError:
            pass
    return str(recipient)


def _front(helo: str, address: str, host: str, by: str, protocol: str, smtputf8: bool) -> str:
    """What the fields of one session have in common: all up to the id."""
    if protocol == "local":
        return f"Received: by {by} (local) id "
    name = _token(helo, smtputf8) or "unknown"
    info = _token(host, smtputf8)
    literal = _literal(address)
    if literal:
        info = f"{info} {literal}" if info else literal
    client = f"{name} ({info})" if info else name
    return f"Received: from {client}\r\n\tby {by} with {protocol} id "


def client(helo: str, address: str) -> str:
    """A client as a report's Received-From-MTA names it (RFC 3464 section 2.2.4).

    What it said in EHLO, and its IP address in parentheses; "" when neither is known.
    """
    name = _token(helo, False)
    literal = _literal(address)
    return f"{name or 'unknown'} ({literal})" if literal else name


def return_path(reverse_path: ReversePath) -> bytes:
    """The Return-Path field of final delivery; ``<>`` for the null reverse-path."""
    path = "" if reverse_path is None else _line(str(reverse_path))
    return f"Return-Path: <{path}>\r\n".encode("utf-8", "replace")


def original_recipient(orcpt: str, *, utf8: bool = False) -> bytes:
    """The Original-Recipient field of final delivery (RFC 8098 section 2.3) for an ORCPT parameter.

    `utf8` tells that the message came with SMTPUTF8, so that its header may hold UTF-8: an address of that
    type is then written as it is (RFC 6533 section 5).  Empty when `orcpt` is not ``type;address``.
    """
    text = xtext.original(orcpt, utf8=utf8)
    if not text:
        return b""
    return f"Original-Recipient: {_line(text)[:MAX_ORIGINAL]}\r\n".encode("utf-8", "replace")


def date(at: float, offset: int = 0) -> str:
    """A date-time of RFC 5322 section 3.3, such as ``Tue, 03 Mar 2026 09:12:44 +0000``.

    `at` is Unix time in seconds; `offset`, in seconds, is used in whole minutes.
    """
    global _last_date
    second = int(at // 1)
    last = _last_date
    if last[0] == second and last[1] == offset:
        return last[2]
    minutes = abs(offset) // 60
    zone = f"{'-' if offset < 0 else '+'}{minutes // 60:02d}{minutes % 60:02d}"
    days, rest = divmod(second + (-minutes if offset < 0 else minutes) * 60, 86400)
    year, month, day = civil(days)
    text = (
        f"{_DAYS[(days + 3) % 7]}, {day:02d} {_MONTHS[month - 1]} {year:04d} "
        f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d} {zone}"
    )
    # One assignment of one tuple: another thread sees the old pair or the new one.
    _last_date = (second, offset, text)
    return text


def civil(days: int) -> tuple[int, int, int]:
    """Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar.

    Counts from 1 March of year 0 in eras of 400 years, so that the leap day ends the year.
    """
    era, day = divmod(days + 719468, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5
    month = month + 3 if month < 10 else month - 9
    return era * 400 + year + (month <= 2), month, day + 1


def _token(text: str, utf8: bool) -> str:
    """A domain or address literal out of what a client said: no octet in it can end the token."""
    text = text[:MAX_TOKEN]
    if _NAME.issuperset(text):
        return text
    if text[0] == "[" and text[-1] == "]" and _LITERAL.issuperset(text[1:-1]):
        return text
    return "".join(
        char if char in _NAME or (utf8 and not char.isascii() and char.isalnum()) else "?" for char in text
    )


def _literal(address: str) -> str:
    """The address as a literal, "" for what is none: a front end may not know it."""
    if "." not in address and ":" not in address:
        return ""
    # An IPv6 address with a zone (fe80::1%eth0) means nothing outside this host without it, nor with it.
    address = address.partition("%")[0]
    address = address[:MAX_TOKEN]
    if not _LITERAL.issuperset(address):
        address = "".join(char if char in _LITERAL else "?" for char in address)
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


def _line(text: str) -> str:
    """The text on one line: a control character would begin a field of its own."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
