"""What one record of a suppression list says, by the names that mail services give to its parts.

A record is a mapping from the names of columns, as they come, to values.  `suppressed` takes what it knows:
the address, why, of which class, and when; of a record of our own (``mether suppress list --json``) all of
it, as it stands.  The reason decides the class: what `content.classify` makes of it, "policy" for complaints
and people who unsubscribed (by what is said of the reason, the type or the source, or by columns that only
they have), else "no such user", which is what nearly all on such a list are.  A date that is none is as if it
were not there.

Pure.  Fails with ValueError, whose text says what is wrong with the record.
"""

from __future__ import annotations

from mether.address import AddressError
from mether.content.classify import KINDS, text
from mether.queue.suppressed_row import SOURCES, Suppressed, entry
from mether.reply import is_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from mether.address import Address

ADDRESS: Final = (
    "email",
    "emailaddress",
    "address",
    "recipient",
    "recipientemail",
    "mail",
    "contactemail",
    "destination",
)
_REASON: Final = (
    "reason",
    "error",
    "description",
    "detail",
    "details",
    "diagnostic",
    "diagnosticcode",
    "bouncereason",
    "suppressionreason",
    "unsubreason",
    "unsubscribereason",
    "message",
    "response",
)
_TYPE: Final = (
    "kind",
    "class",
    "source",
    "type",
    "bouncetype",
    "category",
    "event",
    "suppressiontype",
    "code",
    "status",
)
_STATUS: Final = ("status", "enhancedcode", "smtpstatus")
_WHEN: Final = (
    "since",
    "created",
    "createdat",
    "date",
    "time",
    "timestamp",
    "lastupdatetime",
    "updated",
    "updatedat",
    "added",
    "addedat",
    "bouncedat",
    "blockedat",
    "suppressedat",
    "cleantime",
    "unsubtime",
    "lasteventat",
    "lastchanged",
)
_ASKED: Final = (
    "complain",
    "complian",
    "spam",
    "abuse",
    "unsub",
    "manual",
    "adminblock",
    "opt-out",
    "opted out",
    "optout",
)
"""Words of what people have asked for."""
_UNSUBSCRIBED: Final = ("unsubtime", "unsubreason", "unsubscribereason", "unsubscribedat")
"""Columns that have something in them only where somebody unsubscribed: Mailchimp's."""
_ASKING: Final = (frozenset(("address", "tags", "createdat")), frozenset(("created", "email", "ip")))
"""The columns of lists that give no reason: Mailgun's of who unsubscribed, SendGrid's of who complained."""
_YEAR: Final = 365 * 86400.0


class Usual:
    """What holds for records that say nothing themselves: the `reason`, the `kind` or "", until when
    (`until`, None: for ever); `now` is the present, in Unix seconds."""

    __slots__ = ("kind", "now", "reason", "until")

    def __init__(self, now: float, *, reason: str = "", kind: str = "", until: float | None = None) -> None:
        self.now = now
        self.reason = reason
        self.kind = kind
        self.until = until


def name(column: str) -> str:
    """The name of a column as it is looked for: its letters and digits in lower case."""
    return "".join(filter(str.isalnum, column.lower()))


def suppressed(record: Mapping[str, object], usual: Usual) -> Suppressed | None:
    """The address of a record, or the domain; None: its time is over, and it is no copy of ours.

    Raises ValueError.
    """
    known = {name(key): value for key, value in record.items() if isinstance(key, str)}
    for value in [value for key, value in known.items() if key in _REASON and isinstance(value, dict)]:
        for key, inner in value.items():  # as Brevo gives a reason: its code, and its words
            known.setdefault(name(str(key)), inner)
    written = _first(known, ADDRESS)
    if not written:
        raise ValueError("there is no address in it")
    if "\ufffd" in written:
        raise ValueError(f"{written[:80]!r} is not an address: it is not in UTF-8")
    try:
        address = entry(written)
    except AddressError as error:
        raise ValueError(f"{written[:80]!r} is not an address: {error}") from None
    if known.get("source") in SOURCES and "times" in known:
        return _ours(address, known, usual.now)
    if _text(known.get("status")).lower() == "subscribed":
        raise ValueError(f"{written[:80]} is a subscriber, and has not failed")
    reason = _first(known, _REASON)
    types = dict.fromkeys(_text(known.get(each)) for each in _TYPE)
    said = " ".join(each for each in types if each and not is_status(each))
    status = _first(known, _STATUS)
    if not is_status(status):
        status = ""
    kind = next((word for each in _TYPE[:2] if (word := _text(known.get(each))) in KINDS), usual.kind)
    if not kind and (known.keys() in _ASKING or any(_text(known.get(each)) for each in _UNSUBSCRIBED)):
        kind, status = "policy", "5.7.1"
    if not kind:
        kind, status = _judged(reason, said, status)
    since = _moment(_raw(known, _WHEN), usual.now)
    until = moment(known.get("until")) if known.get("until") is not None else usual.until
    if until is not None and until <= usual.now:
        return None
    return Suppressed(
        address,
        source="import",
        since=since,
        kind=kind,
        status=status,
        reason=reason or usual.reason or ("" if said in KINDS else said),
        until=until,
    )


def _ours(address: Address, known: Mapping[str, object], now: float) -> Suppressed:
    """A record of a list of ours, as it stands."""
    since = _moment(known.get("since"), now)
    last = since if moment(known.get("last")) is None else _moment(known.get("last"), now)
    times = known.get("times")
    status = _text(known.get("status"))
    return Suppressed(
        address,
        source=_text(known["source"]),
        since=since,
        kind=_text(known.get("kind")) if _text(known.get("kind")) in KINDS else "",
        status=status if is_status(status) else "",
        reason=_text(known.get("reason")),
        remote=_text(known.get("remote")),
        note=_text(known.get("note")),
        last=max(since, last),
        times=min(max(int(times), 1), 1 << 31) if isinstance(times, int) else 1,
        until=moment(known.get("until")),
        active=known.get("active") is not False,
    )


def moment(value: object) -> float | None:
    """The time that a value means, in Unix seconds, in UTC where it does not say otherwise; None for none."""
    from datetime import UTC, datetime

    written = _text(value)
    at: float
    try:
        if isinstance(value, int | float) or written.replace(".", "", 1).isdecimal():
            at = float(written)
            if at > 1e11:
                at /= 1000.0  # milliseconds
        else:
            try:
                found = datetime.fromisoformat(written.removesuffix(" UTC").removesuffix(" GMT"))
            except ValueError:
                from email.utils import parsedate_to_datetime

                found = parsedate_to_datetime(written)
            at = (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return at if 0.0 < at < 1000 * _YEAR else None


def _judged(reason: str, said: str, status: str) -> tuple[str, str]:
    """The class and status of what was said."""
    words = f"{said} {reason}".lower()
    if any(word in words for word in _ASKED):
        return "policy", status or "5.7.1"
    verdict = text(reason or said, status)
    if verdict.kind == "other":
        return "no such user", status if status.startswith("5.1.") else "5.1.1"
    return verdict.kind, verdict.status if verdict.status[0] == "5" else ""


def _raw(known: Mapping[str, object], names: tuple[str, ...]) -> object:
    for each in names:
        value = known.get(each)
        if value not in (None, ""):
            return value
    return None


def _first(known: Mapping[str, object], names: tuple[str, ...]) -> str:
    return _text(_raw(known, names))


def _text(value: object) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def _moment(value: object, now: float) -> float:
    """A time that is over, or the present."""
    at = moment(value)
    return now if at is None else min(at, now)
