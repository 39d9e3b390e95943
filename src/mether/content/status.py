"""The message/delivery-status part of a report: what programs read (RFC 3464 section 2).

One block about the message, one for each recipient.  It is written in one of three ways (RFC 6533 section 4):

- In ASCII as message/delivery-status: an address outside ASCII has the type ``utf-8`` and the
  utf-8-addr-xtext form of RFC 6533 section 3, and other text loses what is not ASCII.
- Where that would lose a server's words about an SMTPUTF8 message, in UTF-8 as message/global-delivery-status
  in quoted-printable: which of the two the way back can take is not known (section 4.5).
- In a report that goes with SMTPUTF8 itself, in UTF-8 as it is, where there is anything outside ASCII.

What other servers said is quoted without control characters and cut to a bounded length.  Where none spoke,
this is the last host that the message came to, and its queue id here stands as the Final-Log-ID (RFC 3464
section 2.3.8).  Nothing here fails.
"""

from __future__ import annotations

from mether import xtext
from mether.content import lines, trace
from mether.content.classify import judge
from mether.outcome import mta_name
from mether.reply import is_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.content.classify import Rules
    from mether.envelope import Envelope, Recipient
    from mether.outcome import Outcome

MAX_QUOTED: Final = 800
"""Characters of a server's reply that are quoted."""

_GLOBAL: Final = b"Content-Type: message/global-delivery-status\r\n"


class Item:
    """What a report says of one recipient; `will_retry_until` (Unix seconds) goes with action *delayed*, and
    `attempts` is how often it was tried, 0 where that is not known."""

    __slots__ = ("attempts", "outcome", "recipient", "will_retry_until")

    def __init__(
        self,
        recipient: Recipient,
        outcome: Outcome,
        *,
        will_retry_until: float | None = None,
        attempts: int = 0,
    ) -> None:
        self.attempts = attempts
        self.recipient = recipient
        self.outcome = outcome
        self.will_retry_until = will_retry_until


class About:
    """The message that a report is about.

    Of its `envelope` only the parameters are read.  `ident` is its queue id, `arrival` when it came (Unix
    seconds), `received_from` who gave it to us (`trace.client`) or "".  `original` is trace and content from
    the start; `complete` tells whether that is all of it.
    """

    __slots__ = ("arrival", "complete", "envelope", "ident", "original", "received_from")

    def __init__(
        self,
        envelope: Envelope,
        ident: str,
        *,
        arrival: float,
        original: bytes,
        complete: bool,
        received_from: str = "",
    ) -> None:
        self.envelope = envelope
        self.ident = ident
        self.arrival = arrival
        self.original = original
        self.complete = complete
        self.received_from = received_from


def part(
    reporting_mta: str,
    about: About,
    items: Sequence[Item],
    offset: int,
    *,
    utf8: bool = False,
    rules: Rules | None = None,
) -> bytes:
    """The part with its header (RFC 3464 section 2.1); `utf8` tells that the report goes with SMTPUTF8, and
    `rules` tell the status of replies that have none (None: the built-in ones)."""
    if utf8:
        text = _text(reporting_mta, about, items, offset, True, rules)
        if not text.isascii():
            return _GLOBAL + b"Content-Transfer-Encoding: 8bit\r\n\r\n" + text.encode("utf-8", "replace")
    elif about.envelope.smtputf8 and not all(quoted(item.outcome).isascii() for item in items):
        text = _text(reporting_mta, about, items, offset, True, rules)
        encoded = lines.quoted_printable(text.encode("utf-8", "replace"))
        return _GLOBAL + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded
    else:
        text = _text(reporting_mta, about, items, offset, False, rules)
    return b"Content-Type: message/delivery-status\r\n\r\n" + text.encode("ascii", "replace")


def _text(
    reporting_mta: str, about: About, items: Sequence[Item], offset: int, utf8: bool, rules: Rules | None
) -> str:
    fit = lines.clean if utf8 else lines.to_ascii
    envelope = about.envelope
    out = [f"Reporting-MTA: {_named(reporting_mta)}; {reporting_mta}"]
    if envelope.envid is not None:
        out += _exact("Original-Envelope-Id", lines.to_ascii(xtext.decode(envelope.envid)))
    if about.received_from:
        out += _field("Received-From-MTA", f"dns; {lines.to_ascii(about.received_from)}")
    out.append(f"Arrival-Date: {trace.date(about.arrival, offset)}")
    if envelope.by is not None:
        # RFC 2852 section 5
        out.append(f"Deliver-By-Date: {trace.date(about.arrival + envelope.by.seconds, offset)}")
    if envelope.hold is not None:
        # RFC 4865 section 5.1
        out += _exact("Future-Release-Request", lines.to_ascii(envelope.hold))
    for item in items:
        outcome = item.outcome
        out.append("")
        original = xtext.original(item.recipient.orcpt or "", utf8=utf8)
        if original:
            out += _exact("Original-Recipient", fit(original))
        out += _exact("Final-Recipient", _typed(str(item.recipient.forward_path), utf8))
        out.append(f"Action: {outcome.action}")
        out.append(f"Status: {status(outcome, rules)}")
        said = fit(quoted(outcome))
        if outcome.said:
            out += _field("Remote-MTA", f"dns; {lines.to_ascii(mta_name(outcome.remote_mta))}")
            out += _field("Diagnostic-Code", f"smtp; {said}")
        else:
            # These are our own words, and a type of our own says so (section 2.3.6); nor did that
            # host report anything (section 2.3.5).
            out += _field("Diagnostic-Code", f"x-mether; {said}")
        if outcome.at:
            out.append(f"Last-Attempt-Date: {trace.date(outcome.at, offset)}")
        if about.ident and not outcome.said:
            out.append(f"Final-Log-ID: {about.ident}")
        if item.will_retry_until is not None and outcome.action == "delayed":
            out.append(f"Will-Retry-Until: {trace.date(item.will_retry_until, offset)}")
    return "\r\n".join(out) + "\r\n"


def quoted(outcome: Outcome) -> str:
    """What is quoted of a reply: on one line, without control characters, cut."""
    return lines.clean(str(outcome.reply)[:MAX_QUOTED])


def status(outcome: Outcome, rules: Rules | None = None) -> str:
    """The Status field's value: the outcome's, where its class fits the action (RFC 3464 section 2.3.4).

    A failure may carry class 4 (it was temporary until the message expired).  Of a reply without an enhanced
    code it is what its words and its basic code mean (`classify`), and 5.0.0 or 4.0.0 where nobody knows.
    """
    fitting = "45" if outcome.action == "failed" else "4" if outcome.action == "delayed" else "2"
    own = outcome.reply.status or ""
    if is_status(own) and own[0] in fitting:
        return ".".join(str(int(one)) for one in own.split("."))
    if str(outcome.reply.digit) in fitting and not outcome.reply.ok:
        return judge(outcome, rules).status
    return {"failed": "5.0.0", "delayed": "4.0.0"}.get(outcome.action, "2.0.0")


def _named(host: str) -> str:
    """The type of our own name: what is not fully qualified is no name of the DNS (RFC 3461 section 6.3)."""
    return "dns" if "." in host.rstrip(".") else "x-local-hostname"


def _typed(text: str, utf8: bool) -> str:
    if text.isascii():
        return f"rfc822;{lines.to_ascii(text)}"
    return f"utf-8;{lines.clean(text) if utf8 else xtext.encode_utf8_address(text)}"


def _field(name: str, value: str) -> list[str]:
    return lines.wrap(f"{name}: {value}", "", " ")


def _exact(name: str, value: str) -> list[str]:
    """A field that programs compare: not folded, and no space of it lost, unless no line can hold it."""
    line = f"{name}: {value}"
    return [line] if len(line.encode("utf-8", "replace")) <= lines.MAX_LINE else _field(name, value)
