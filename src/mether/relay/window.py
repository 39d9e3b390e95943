"""What a next hop is given: how many connections, how many claims, how soon the next message.  Pure.

`Window` is how many connections a next hop may have now.  It begins with FIRST and grows by one with each
success, which doubles it a round, up to its threshold; beyond that by one a round.  When connections are
refused or lost while others work it shrinks to what works, and is left alone for PATIENCE seconds.  When the
next hop says that it gets too much it is halved, once in SLOW seconds, and does not grow for so long.  When
nothing works it falls to one: a probe.

`Rate` says when the next message may go: evenly spaced, but for what may go together within BURST seconds.
`Meter` counts what was finished lately, and `room` says from all three how many claims a next hop can use
soon. `patience` is how long an attempt may take.

Times are seconds of any one clock that does not go back.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

FIRST: Final = 5
"""Connections to a next hop that nothing is known of."""

PATIENCE: Final = 30.0
"""Seconds for which no connection is tried beyond what the next hop was seen to take."""

SLOW: Final = 300.0
"""Seconds for which a next hop is given less that said it gets too much."""

BURST: Final = 0.1
"""Seconds whose messages may go at once under a rate: a timer is no finer under load."""

SOON: Final = 2.0
"""Seconds that `room` looks ahead."""

ATTEMPT: Final = 1800.0
PER_RECIPIENT: Final = 10.0
OCTETS_A_SECOND: Final = 4096


class Limits:
    """The limits of one next hop: `connections` at a time, `messages` in each, and `rate` in messages a
    second, 0 for none."""

    __slots__ = ("connections", "messages", "rate")

    def __init__(self, connections: int = 20, messages: int = 1000, rate: float = 0.0) -> None:
        self.connections = connections
        self.messages = messages
        self.rate = rate

    def share(self, runners: int) -> Limits:
        """The part of one of so many runners that all send there."""
        if runners <= 1:
            return self
        return Limits(max(1, self.connections // runners), self.messages, self.rate / runners)


class Window:
    """How many connections there may be: `size`, at most `most`.  `probing` from a failure to a success."""

    __slots__ = ("_part", "_quiet", "_slow", "_threshold", "most", "probing", "size")

    def __init__(self, most: int) -> None:
        self.most = most
        self.size = min(FIRST, most)
        self.probing = False
        self._threshold = most
        self._quiet = 0.0
        self._slow = 0.0
        self._part = 0

    @property
    def slow_until(self) -> float:
        """Until when there is less to be given, as was asked for; a time that has passed: not now."""
        return self._slow

    def limit(self, most: int) -> None:
        """Set another maximum."""
        if self._threshold == self.most:
            self._threshold = most
        self.most = most
        self.size = min(self.size, most)

    def probe(self) -> None:
        """Begin with one connection: this next hop is known to have failed."""
        self.probing = True
        self.size = 1

    def succeeded(self, now: float) -> bool:
        """Note a message that the next hop answered; whether there may now be one connection more."""
        self.probing = False
        if self.size >= self.most or now < self._slow:
            return False
        if self.size >= self._threshold:
            if now < self._quiet:
                return False
            self._part += 1
            if self._part < self.size:
                return False
            self._part = 0
        self.size += 1
        return True

    def shrink(self, working: int, now: float) -> None:
        """Note that a connection was refused or lost while so many others work."""
        self.size = self._threshold = max(1, min(self.size, working))
        self._quiet = now + PATIENCE
        self._part = 0

    def slow(self, now: float) -> None:
        """Note that the next hop says that it gets too much at a time.

        Several messages may be told so at once: only the first counts for the next SLOW seconds.
        """
        if now < self._slow:
            return
        self.size = self._threshold = max(1, self.size // 2)
        self._slow = now + SLOW
        self._part = 0

    def fail(self) -> None:
        """Note that nothing works there."""
        least = min(FIRST, self.most)
        self._threshold = max(least, self.size // 2 if self.size > 1 else self._threshold)
        self._quiet = 0.0
        self._part = 0
        self.probe()


class Rate:
    """When a message may go, at `rate` messages a second."""

    __slots__ = ("_interval", "_next", "rate")

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._interval = 1.0 / rate
        self._next = 0.0

    def change(self, rate: float) -> None:
        """Go on with another rate."""
        self.rate = rate
        self._interval = 1.0 / rate

    def wait(self, now: float) -> float:
        """Seconds until the next one may go."""
        return max(0.0, self._next - BURST - now)

    def take(self, now: float) -> None:
        """Count one that goes now."""
        self._next = max(self._next, now) + self._interval

    def soon(self, now: float) -> int:
        """How many may go within SOON seconds, at least one."""
        return max(1, int((now + SOON + BURST - max(self._next, now)) / self._interval) + 1)

    def rested(self, now: float) -> bool:
        """Whether nothing would be lost by forgetting it."""
        return self._next <= now


class Meter:
    """Counts what was finished in the last one to two seconds."""

    __slots__ = ("_before", "_present", "_until")

    def __init__(self) -> None:
        self._until = 0.0
        self._present = 0
        self._before = 0

    def count(self, now: float) -> None:
        """Count one."""
        if now >= self._until:
            self._turn(now)
        self._present += 1

    def recent(self, now: float) -> int:
        """How many there were."""
        if now >= self._until:
            self._turn(now)
        return self._before + self._present

    def _turn(self, now: float) -> None:
        self._before = self._present if now < self._until + 1.0 else 0
        self._present = 0
        self._until = now + 1.0


def room(window: Window, recent: int, rate: Rate | None, in_hand: int, now: float) -> int:
    """How many claims more than those `in_hand` a next hop can use soon: never less than 0.

    Two for each connection, so that none waits for the next claim, and as many as it finished lately; one
    while it is probed; no more than its rate lets go.
    """
    wanted = 1 if window.probing else 2 * window.size + recent
    if rate is not None:
        wanted = min(wanted, rate.soon(now))
    return max(0, wanted - in_hand)


def patience(octets: int, recipients: int) -> float:
    """Seconds after which an attempt is ended, whatever it is doing.

    Each command has its own time (RFC 5321 section 4.5.3.2), and together they make some 28 minutes:
    connection and TLS, greeting, EHLO, MAIL, RCPT, DATA and the end of the content.  ATTEMPT is a little
    more, and holds for all that comes before MAIL too, however many hosts there are; recipients and content
    have theirs in addition.  So what this ends keeps us busy without getting on: content that is taken octet
    by octet, hosts that are silent one after another.
    """
    return ATTEMPT + PER_RECIPIENT * recipients + octets / OCTETS_A_SECOND
