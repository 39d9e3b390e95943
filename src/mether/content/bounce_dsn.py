"""Delivery status fields (RFC 3464 section 2), in a part of their own or somewhere in a text.

Many write them almost as the standard has it: a space before the colon, no empty line between two
recipients, no address type, a diagnostic that goes on in the first column, an action in words of their own.
`read` takes all of these.  Nothing here fails; at most `MAX_RECIPIENTS` recipients are read.
"""

from __future__ import annotations

import re

from mether import xtext
from mether.content import bounce_text
from mether.content.bounce_found import Failed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_RECIPIENTS: Final = 1000
"""Recipients of one report that are read."""

MAX_TEXT: Final = 1024 * 1024
"""Characters of such a part that are looked at, in as many lines as `MAX_RECIPIENTS` may need."""

_FIELD: Final = re.compile(r"^[ \t>]{0,3}([A-Za-z][A-Za-z0-9-]{2,40})[ \t]*:[ \t]*(.*)$")
_KNOWN: Final = frozenset(
    (
        "reporting-mta",
        "original-envelope-id",
        "arrival-date",
        "received-from-mta",
        "dsn-gateway",
        "final-recipient",
        "original-recipient",
        "action",
        "status",
        "diagnostic-code",
        "remote-mta",
        "last-attempt-date",
        "will-retry-until",
        "final-log-id",
    )
)
_START: Final = ("final-recipient", "original-recipient")
_MORE: Final = ("x-supplementary-info", "status", "x-powermta-bouncecategory")
"""Fields that tell why where the diagnostic does not."""


class Report:
    """The fields of a report: those of the message, by name, and its recipients."""

    __slots__ = ("message", "recipients")

    def __init__(self) -> None:
        self.message: dict[str, str] = {}
        self.recipients: list[Failed] = []

    def host(self, name: str) -> str:
        """The value of a field that names a host, without its type."""
        return mta(self.message.get(name, ""))


def present(text: str) -> bool:
    """Whether a text has recipient fields in it somewhere."""
    lower = text.lower()
    return "final-recipient" in lower or "original-recipient" in lower


def read(text: str) -> Report:
    """The fields in a text; what is none is passed over."""
    report = Report()
    group: dict[str, str] = {}
    last, margin = "", 0
    for line in [*bounce_text.lines(text, MAX_TEXT, 20 * MAX_RECIPIENTS), ""]:
        match = _FIELD.match(line)
        name = match[1].lower() if match else ""
        if match and last and line[0] in " \t" and match.start(1) > margin:
            name = ""  # a line that goes on, whatever a server had it begin with
        if match and (name in _KNOWN or name.startswith("x-")):
            if not group:
                margin = match.start(1)
            if name in group and (name in _START or name == "action"):
                _end(report, group)
                group = {}
            group.setdefault(name, match[2].strip())
            last = name
        elif not line.strip():
            if any(each in group for each in _START) or not _is_recipient(group):
                _end(report, group)
                group = {}
            last = ""
        elif last and (line[0] in " \t" or last == "diagnostic-code") and len(group[last]) < 8000:
            group[last] += " " + line.strip()
        else:
            last = ""
    _end(report, group)
    return report


def _is_recipient(group: dict[str, str]) -> bool:
    return any(name in group for name in ("action", "status", "diagnostic-code"))


def _end(report: Report, group: dict[str, str]) -> None:
    """Add a group of fields: a recipient's, or what is said of the message."""
    if not any(name in group for name in _START):
        for name, value in group.items():
            report.message.setdefault(name, value)
        return
    for name in ("reporting-mta", "original-envelope-id", "x-postfix-queue-id"):
        if name in group:
            report.message.setdefault(name, group[name])
    final = address(group.get("final-recipient", ""))
    original = address(group.get("original-recipient", ""))
    actual = address(group.get("x-actual-recipient", ""))
    recipient = (final if "." in final.rpartition("@")[2] else "") or original or actual or final
    if not recipient or len(report.recipients) >= MAX_RECIPIENTS:
        return
    diagnostic = typed(group.get("diagnostic-code", ""))
    status = bounce_text.status(group.get("status", ""))
    report.recipients.append(
        Failed(
            recipient,
            action=action(group.get("action", ""), status),
            status=status,
            diagnostic=diagnostic,
            original=original if original.lower() != recipient.lower() else "",
            remote=mta(group.get("remote-mta", "")),
            more=[group[name] for name in _MORE if len(group.get(name, "")) > 5],
        )
    )


def action(text: str, status: str = "") -> str:
    """One of the five actions of RFC 3464 section 2.3.3 for what stands in a report."""
    word = text.strip().lower().partition(";")[0].partition(" ")[0]
    for start, meaning in (
        ("fail", "failed"),
        ("delay", "delayed"),
        ("deliver", "delivered"),
        ("relay", "relayed"),
        ("expand", "expanded"),
        ("success", "delivered"),
    ):
        if word.startswith(start) and not word.startswith("deliverable"):
            return meaning
    if word:
        return "failed"  # expired, rejected, undeliverable, bounced ...
    return {"2": "delivered", "4": "delayed"}.get(status[:1], "failed")


def typed(value: str) -> str:
    """The value of a field without its type: ``smtp; 550 ...``."""
    kind, semicolon, rest = value.partition(";")
    if semicolon and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,30}", kind.strip()):
        return " ".join(rest.split())
    return " ".join(value.split())


def address(value: str) -> str:
    """The address of a recipient field, or "" where it has none that could be mailed to."""
    kind, semicolon, rest = value.partition(";")
    if not semicolon:
        kind, rest = "rfc822", value
    kind = kind.strip().lower()
    if kind == "utf-8":
        rest = xtext.decode_utf8_address(rest.strip())
    if kind in ("x400", "x-x400", "x.400"):
        return ""
    rest = rest.strip()
    found = bounce_text.clean(rest)
    if found:
        return found
    return next(iter(bounce_text.addresses(rest)), "")


def mta(value: str) -> str:
    """The name in a field such as ``dns; mx.example.net``: without type, port and what stands in brackets."""
    words = typed(value).split()
    return words[0].strip("<>()").rstrip(".")[:255] if words else ""
