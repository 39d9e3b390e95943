"""The message/delivery-status part of a report: what programs read (RFC 3464 section 2).

One block about the message, one for each recipient.  All of it is ASCII: an address outside ASCII has
the type ``utf-8`` and the utf-8-addr-xtext form of RFC 6533 section 3, and other text loses what is not
ASCII.  What other servers said is quoted without control characters and cut to a bounded length.
Nothing here fails.
"""

from __future__ import annotations

from mether import xtext
from mether.content import lines, trace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.envelope import Envelope, Recipient
    from mether.outcome import Outcome

MAX_QUOTED: Final = 800
"""Characters of a server's reply that are quoted."""


class Item:
    """What a report says of one recipient; `will_retry_until` (Unix seconds) goes with action *delayed*."""

    __slots__ = ("outcome", "recipient", "will_retry_until")

    def __init__(
        self, recipient: Recipient, outcome: Outcome, *, will_retry_until: float | None = None
    ) -> None:
        self.recipient = recipient
        self.outcome = outcome
        self.will_retry_until = will_retry_until


def part(reporting_mta: str, arrival: float, about: Envelope, items: Sequence[Item], offset: int) -> bytes:
    """The message/delivery-status part (RFC 3464 section 2.1)."""
    out = [f"Reporting-MTA: dns; {reporting_mta}"]
    if about.envid is not None:
        out += _field("Original-Envelope-Id", lines.to_ascii(xtext.decode(about.envid)))
    out.append(f"Arrival-Date: {trace.date(arrival, offset)}")
    for item in items:
        outcome = item.outcome
        out.append("")
        if item.recipient.orcpt:
            out += _field("Original-Recipient", _original(item.recipient.orcpt))
        out += _field("Final-Recipient", _typed(str(item.recipient.forward_path)))
        out.append(f"Action: {outcome.action}")
        out.append(f"Status: {status(outcome)}")
        said = lines.to_ascii(lines.clean(str(outcome.reply)))[:MAX_QUOTED]
        if outcome.said:
            out += _field("Remote-MTA", f"dns; {lines.to_ascii(outcome.remote_mta)}")
            out += _field("Diagnostic-Code", f"smtp; {said}")
        else:
            # These are our own words, and a type of our own says so (section 2.3.6); nor did that
            # host report anything (section 2.3.5).
            out += _field("Diagnostic-Code", f"x-mether; {said}")
        if outcome.at:
            out.append(f"Last-Attempt-Date: {trace.date(outcome.at, offset)}")
        if item.will_retry_until is not None and outcome.action == "delayed":
            out.append(f"Will-Retry-Until: {trace.date(item.will_retry_until, offset)}")
    text = "\r\n".join(out) + "\r\n"
    return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii", "replace")


def status(outcome: Outcome) -> str:
    """The Status field's value: the outcome's, where its class fits the action (RFC 3464 section 2.3.4).

    A failure may carry class 4 (it was temporary until the message expired).
    """
    fitting = "45" if outcome.action == "failed" else "4" if outcome.action == "delayed" else "2"
    parts = outcome.status.split(".")
    if len(parts) == 3 and parts[0] in fitting and all(one.isascii() and one.isdigit() for one in parts):
        return ".".join(str(int(one)) for one in parts)
    return {"failed": "5.0.0", "delayed": "4.0.0"}.get(outcome.action, "2.0.0")


def _original(orcpt: str) -> str:
    """The value of Original-Recipient: ORCPT with its xtext undone (RFC 3461 section 6.3)."""
    kind, _, value = orcpt.partition(";")
    if kind.lower() == "utf-8":
        # That type escapes by \x{...} and not by xtext; only what stands there as raw UTF-8 needs it.
        raw = "".join(char if char.isascii() else xtext.encode_utf8_address(char) for char in value)
        return f"{lines.to_ascii(kind)};{lines.to_ascii(raw)}"
    return f"{lines.to_ascii(kind)};{lines.to_ascii(xtext.decode(value))}"


def _typed(text: str) -> str:
    return f"rfc822;{lines.to_ascii(text)}" if text.isascii() else f"utf-8;{xtext.encode_utf8_address(text)}"


def _field(name: str, value: str) -> list[str]:
    return lines.wrap(f"{name}: {value}", "", " ")
