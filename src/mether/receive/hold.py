"""What a client may ask of the time of delivery: FUTURERELEASE, and how it stands with DELIVERBY (RFC 4865).

A message may be held for MAX_HOLD seconds or until `latest`, which is what EHLO announces, and not beyond the
time by which DELIVERBY wants it delivered (RFC 4865 section 5.2.2): one of the two could not be honoured.  A
time that is past holds nothing: the message is released at once.
"""

from __future__ import annotations

from mether.receive import words
from mether.smtp.moment import release_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from mether.envelope import Envelope
    from mether.reply import Reply

MAX_HOLD: Final = 30 * 86400
"""Seconds for which a message may be held for the future (RFC 4865 section 3)."""


def latest(now: float) -> float:
    """The latest time that a message may be held until, a whole day: so an announcement lasts for one."""
    return (now + MAX_HOLD) // 86400 * 86400


def refusal(envelope: Envelope, now: float, *, local: bool = False) -> Reply | None:
    """The reply to a MAIL whose hold cannot be had; `now` is Unix time in seconds.

    A `local` client, a trusted program of this host, may have a message held for any time: what another queue
    of ours holds must find its way into this one.
    """
    hold = envelope.hold
    if hold is None:
        return None
    until = release_at(hold, now)
    if not local and until > (latest(now) if hold.startswith("until") else now + MAX_HOLD):
        return words.HELD_TOO_LONG
    by = envelope.by
    if by is not None and until > now + by.seconds and until > now:
        return words.HELD_BEYOND_BY
    return None
