"""When to try again, for a message and for a next hop: pure functions of times and counters.

RFC 5321 section 4.5.4.1 says that the retry interval SHOULD be at least 30 minutes.  The first tries
here come earlier on purpose: greylisting, a restarted server or a lost packet are over in minutes, and
a person waits.  From the fourth try on the intervals are the ones of the standard.  They and the life
time (section 4.5.4.1: at least 4-5 days) are configuration.

Two kinds of refusal (`content.classify`) have times of their own: greylisting, which is over when a known
time has passed, and a full mailbox, which takes a person to empty.

`random` is a number from 0 to 1; times are Unix seconds.
"""

from __future__ import annotations

from mether.queue.claim import Hop
from mether.queue.message import next_warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mether.content.classify import Kind, Rules
    from mether.queue.message import Message


class Retry:
    """`intervals` are the seconds before the second, third ... try, the last one repeated; `jitter` the
    part (0 to 1) by which each is stretched or shrunk at random; `lifetime` the seconds after which a message
    is returned, `warn` the rising ages in seconds at which its sender is told that it waits.  With
    `hold_uncertain` what may have been delivered is held for a person, not tried again.

    `greylisted` are the seconds before the second try at a server that greylists: never less, by chance, and
    no more than `jitter` of them more.  For a mailbox that is full no interval is shorter than
    `mailbox_full`.  Neither is longer than the longest interval.  `rules` tell which replies say so, None for
    the built-in ones."""

    __slots__ = (
        "greylisted",
        "hold_uncertain",
        "intervals",
        "jitter",
        "lifetime",
        "mailbox_full",
        "rules",
        "warn",
    )

    def __init__(
        self,
        intervals: Sequence[float] = (60, 300, 900, 1800, 3600, 7200, 14400),
        jitter: float = 0.2,
        lifetime: float = 5 * 86400.0,
        warn: Sequence[float] = (),
        *,
        hold_uncertain: bool = False,
        greylisted: float = 300.0,
        mailbox_full: float = 7200.0,
        rules: Rules | None = None,
    ) -> None:
        self.hold_uncertain = hold_uncertain
        self.intervals = tuple(intervals)
        self.jitter = jitter
        self.lifetime = lifetime
        self.warn = tuple(warn)
        self.greylisted = min(greylisted, max(self.intervals))
        self.mailbox_full = min(mailbox_full, max(self.intervals))
        self.rules = rules

    def interval(self, tries: int, random: float, kind: Kind | None = None) -> float:
        """Seconds to wait after so many tries (from 1), the last of which had a reply of this kind."""
        if tries == 1 and kind == "greylisted":
            return self.greylisted * (1 + self.jitter * random)
        base = self.intervals[min(tries, len(self.intervals)) - 1]
        if kind == "mailbox full":
            base = max(base, self.mailbox_full)
        return base * (1 + self.jitter * (2 * random - 1))


def longest(retry: Retry) -> float:
    """Seconds beyond which nothing is put off, but what its sender asked for."""
    return max(retry.intervals) * (1 + retry.jitter)


def retry_at(
    retry: Retry, tries: int, now: float, expires: float, random: float, kind: Kind | None = None
) -> float:
    """When to try a recipient again that was tried `tries` times, the last with a reply of this kind; never
    after it expires."""
    return min(now + retry.interval(tries, random, kind), max(expires, now))


def warn_at(retry: Retry, message: Message, now: float) -> float | None:
    """When the sender of a message is told again that it waits, having been told now; None: not any more."""
    arrived = message.arrival.at
    begins = max(arrived, message.release_at)
    return next_warning(message.envelope, arrived, begins, message.expires, retry.warn, now)


def failed_hop(retry: Retry, hop: Hop, reply: str, now: float, random: float) -> Hop | None:
    """The next hop after a host-scope failure; None when it is known to be down already.

    Several connections may fail at once: only the first counts, so that a burst is one failure.
    """
    if hop.blocked(now):
        return None
    failures = hop.failures + 1
    return Hop(
        hop.route,
        failures=failures,
        not_before=now + retry.interval(failures, random),
        last=reply,
        suspended=hop.suspended,
        suspended_until=hop.suspended_until,
    )


def recovered_hop(hop: Hop) -> Hop | None:
    """The next hop after it answered; None when nothing changes by that."""
    if not hop.failures and not hop.not_before:
        return None
    return Hop(hop.route, suspended=hop.suspended, suspended_until=hop.suspended_until)
