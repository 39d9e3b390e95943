"""The part of a report that people read: what happened, to whom, what was said, and what comes next.

One section for each thing that became of recipients, the worst first.  What other servers said is quoted
on one line without control characters, cut to a bounded length, and never mixed up with words of our own.
The text is ASCII where it can be, else UTF-8 in quoted-printable.  Nothing here fails.
"""

from __future__ import annotations

from mether.content import lines, trace
from mether.content.status import MAX_QUOTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.content.status import Item

NOTICE: Final = (
    "A message with the null reverse-path, most likely a report itself, could not be\n"
    "delivered to the recipients below.  No sender may be told of that, so it comes to\n"
    "the postmaster.  Nothing more will be tried."
)

_SECTIONS: Final = {
    "failed": (
        "Your message could not be delivered to one or more recipients, and nothing more\n"
        "will be tried for those.  The reason for each is below.  When what it names has been\n"
        "put right, you can send the message to them again."
    ),
    "delayed": (
        "THIS IS A WARNING ONLY.  YOU DO NOT NEED TO SEND YOUR MESSAGE AGAIN to the recipients\n"
        "below.  It has not reached them yet, and it will be tried again.  If that does not\n"
        "help in time, it will be returned to you."
    ),
    "delivered": "Your message was delivered to the recipients below.  You asked to be told.",
    "relayed": (
        "Your message was handed on to another mail system for the recipients below.  That\n"
        "system may not report it when the message is delivered, so you may hear nothing more."
    ),
    "expanded": (
        "Your message was delivered to an address below that stands for several.  No report\n"
        "of success will follow on those."
    ),
}
"""What is said of each action, in the order in which they come."""

_SAID: Final = {
    "failed": "Not delivered.",
    "delayed": "Not delivered yet.",
    "delivered": "Delivered.",
    "relayed": "Handed on.",
    "expanded": "Delivered to a list of addresses.",
}


def subject(items: Sequence[Item], *, notice: bool = False) -> str:
    """The subject of the report."""
    if notice:
        return "Postmaster notice: undeliverable report"
    actions = {item.outcome.action for item in items}
    if "failed" in actions:
        return "Undelivered mail returned to sender"
    return "Mail delivery is delayed" if "delayed" in actions else "Mail delivery report"


def part(
    reporting_mta: str,
    items: Sequence[Item],
    *,
    opening: str = "",
    ident: str = "",
    complete: bool = False,
    offset: int = 0,
) -> bytes:
    """The part with its header.

    `opening` replaces what is said of failures, `ident` is the original's queue id, `complete` tells whether
    it is attached in full, `offset` is local time's lead over UTC in seconds.
    """
    out = [f"This is the mail system at {reporting_mta}.", ""]
    for action, section in _SECTIONS.items():
        those = [item for item in items if item.outcome.action == action]
        if those:
            out += [*(opening or section).split("\n"), ""]
        for item in those:
            out += _about(item, offset)
    out.append("The message is attached in full." if complete else "The header of the message is attached.")
    if ident:
        out.append(f"Its queue id was {ident}.")
    text = "\r\n".join(out) + "\r\n"
    if text.isascii():
        return f"Content-Type: text/plain; charset=us-ascii\r\n\r\n{text}".encode()
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return head + lines.quoted_printable(text.encode("utf-8", "replace"))


def _about(item: Item, offset: int) -> list[str]:
    """The lines about one recipient, with an empty one at the end."""
    outcome = item.outcome
    out = [f"<{lines.clean(str(item.recipient.forward_path))}>:", f"    {_SAID[outcome.action]}"]
    if item.will_retry_until is not None and outcome.action == "delayed":
        out.append(f"    It will be tried until {trace.date(item.will_retry_until, offset)}.")
    said = lines.clean(str(outcome.reply))[:MAX_QUOTED]
    if outcome.said:
        who = f"{lines.clean(outcome.remote_mta)} said:"
    else:
        who = "Reason:" if outcome.action in ("failed", "delayed") else "Result:"
    return [*out, *lines.wrap(f"{who} {said}", "    ", "        "), ""]
