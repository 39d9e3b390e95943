"""Which text of a report tells what became of a recipient: the class of the reply, or a cause of our own.

What another server said has a class of `content.classify`, by the administrator's rules too.  What mether
says itself has a cause of its own where `_OURS` knows the words, and a class where it does not.  Pure, and
nothing here fails.
"""

from __future__ import annotations

from mether.content import suppression
from mether.content.classify import KINDS, judge

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.content.classify import Rules
    from mether.outcome import Outcome

OWN: Final = (
    "returned",
    "suppressed",
    "loop",
    "refused",
    "too large",
    "smtputf8",
    "8bit",
    "requiretls",
    "deliver-by",
    "program",
    "null mx",
    "no domain",
    "no answer",
    "uncertain",
    "trouble",
    "waiting",
)
"""The causes that are ours."""

ALL: Final = (*KINDS, *OWN)

_OURS: Final = (
    # A program may print anything, so what it said is looked for first.
    (" exited with status ", "program"),
    (" was ended by signal ", "program"),
    (" did not finish within ", "program"),
    ("cannot run ", "program"),
    ("the alias names a program", "program"),
    ("delivery time expired", "deliver-by"),
    ("time by which the message had to be delivered", "deliver-by"),
    ("keeps no time of delivery", "deliver-by"),
    ("requiretls", "requiretls"),
    ("in a loop", "loop"),
    (": a loop", "loop"),
    ("are a loop", "loop"),
    ("internationalized", "smtputf8"),
    ("does not take 8-bit or binary content", "8bit"),
    ("the next hop takes messages of up to", "too large"),
    ("does not accept mail (null mx)", "null mx"),
    ("message could not be delivered in time", "waiting"),
    ("message has not been tried yet", "waiting"),
    ("before it was tried", "waiting"),
    ("broken off; the message may have been delivered", "uncertain"),
    ("ended before it said what came of it", "uncertain"),
    ("the mailbox is locked", "trouble"),
)
"""Words of ours and the cause that they mean, the first that fits."""

_STATUSES: Final = {
    "1.2": "no domain",
    "1.3": "refused",
    "1.7": "refused",
    "1.10": "null mx",
    "3.0": "trouble",
    "3.1": "trouble",
    "3.2": "trouble",
    "3.5": "trouble",
    "4.0": "waiting",
    "4.1": "no answer",
    "4.2": "no answer",
    "4.3": "dns",
    "4.4": "no domain",
    "4.6": "loop",
    "4.7": "waiting",
    "5.0": "protocol",
    "7.0": "trouble",
    "7.4": "tls",
    "7.5": "tls",
    "7.8": "trouble",
    "7.10": "tls",
}
"""The cause that the detail of a status of ours means, where no words did."""

_REFUSALS: Final = ("", "2.4", "7.0", "7.1")
"""Details of statuses with which a rule here refuses an address."""


def kind(outcome: Outcome, rules: Rules | None = None, *, returned: bool = False) -> str:
    """One of ALL for an outcome that is *failed* or *delayed*; `returned` tells that a person returns it."""
    if returned and outcome.action == "failed":
        return "returned"
    if outcome.uncertain:
        return "uncertain"
    ours = "" if outcome.said else _own(outcome)
    return ours or judge(outcome, rules).kind


def _own(outcome: Outcome) -> str:
    """The cause of an outcome in our own words, "" where they tell none."""
    reply = outcome.reply
    if suppression.ours(reply):
        return "suppressed"
    text = reply.text.lower()
    for words, cause in _OURS:
        if words in text:
            return cause
    detail = (reply.status or "").partition(".")[2]
    if outcome.action == "failed" and reply.permanent and not outcome.remote_mta and detail in _REFUSALS:
        return "refused"
    cause = _STATUSES.get(detail, "")
    # The last words of a host that is down are kept without its name: a trouble of its own is not ours.
    return "" if cause == "trouble" and outcome.scope == "host" and detail != "3.5" else cause
