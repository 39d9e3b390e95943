"""What is said of mail that is not sent, since its address is on the suppression list. Pure.

`refusal` makes the reply: a client gets it at RCPT, and where the mail was taken before that was known, its
report and the log quote it.  It begins with START, by which `ours` knows it again; what follows is what is
remembered, so that `content.classify` finds the same class in it as in the reply that was remembered.

`KINDS` are the classes of failure (`content.classify`) that are an address's own, and may be remembered of
it.  All others tell of us, of the message or of the day: an address that was refused for our reputation, or
for a link in a message, takes the next one.  Nothing here fails.
"""

from __future__ import annotations

from mether.content.trace import civil
from mether.reply import Reply, is_status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

START: Final = "suppressed address: "
"""What the text of each such reply begins with."""

KINDS: Final = ("no such user", "mailbox full", "policy", "other")
"""The classes of failure that may be remembered of an address."""

USUAL: Final = KINDS[:1]
"""Those that are, where nobody says which."""

MAX_QUOTED: Final = 200
"""Characters of what is remembered that are told."""


def refusal(since: float, reason: str, status: str = "", *, came_back: bool = True) -> Reply:
    """The reply for mail to an address that is on the list since then (Unix seconds).

    `reason` is what is remembered, `status` its enhanced status code, "" or another than 5.y.z where there is
    none.  `came_back` tells that mail did; else a person put it there.
    """
    words = "".join(char if " " <= char <= "~" else "?" for char in " ".join(reason.split()))
    if len(words) > MAX_QUOTED:
        words = words[: MAX_QUOTED - 3] + "..."
    what = "mail for it came back on" if came_back else "it is on the list here since"
    said = f": {words}" if words else ""
    known = status if is_status(status) and status[0] == "5" else "5.1.1" if came_back else "5.7.1"
    return Reply(550, known, f"{START}{what} {day(since)}{said}")


def ours(reply: Reply) -> bool:
    """Whether it is one of these."""
    return reply.code == 550 and reply.text.startswith(START)


def day(at: float) -> str:
    """The day of a time in Unix seconds, in UTC: ``2026-01-31``."""
    year, month, day = civil(int(at // 86400))
    return f"{year:04d}-{month:02d}-{day:02d}"
