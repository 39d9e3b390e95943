"""How often one client may connect, send messages and name recipients (RFC 5321 section 7.8, RFC 2505 2.8).

A `Bucket` counts one kind of thing for many clients: so many a minute, in a burst or spread out, as they
come.  `Rates` holds the three of a listener.  A client is an IPv4 address or the /64 of an IPv6 address
(`network`), since whoever has one address of a /64 has them all.

Nothing here asks the clock: `now` is in seconds; a clock that is set back locks nobody out.  The table holds
the REMEMBERED clients that were counted last; forgetting one gives it its whole burst again, no more.
"""

from __future__ import annotations

from collections import OrderedDict

from mether.auth.throttle import network as network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MINUTE: Final = 60.0
REMEMBERED: Final = 16_384
"""Clients in a table."""
SLACK: Final = 0.01
"""Seconds by which a step may come too early: the sum of many of them is not exact."""


class Bucket:
    """Up to `limit` a minute for each client; 0 means no limit.

    For each client one number is kept: when its bucket will be full again (the generic cell rate
    algorithm).  A client that was not counted for a minute has a full one.
    """

    __slots__ = ("_full_at", "_remembered", "limit")

    def __init__(self, limit: int, *, remembered: int = REMEMBERED) -> None:
        self.limit = limit
        self._remembered = remembered
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._full_at)

    def take(self, who: str, now: float) -> bool:
        """Count one; False, and nothing counted, when that is more than the limit."""
        if not self.limit:
            return True
        table = self._full_at
        each = MINUTE / self.limit
        known = table.get(who, now)
        if known > now + MINUTE + SLACK:
            known = now  # no bucket is full as late as that: the clock was set back
        full_at = max(known, now) + each
        if full_at - now > MINUTE + min(each / 2, SLACK):
            return False
        table[who] = full_at
        table.move_to_end(who)
        if len(table) > self._remembered:
            table.popitem(last=False)
        return True

    def wait(self, who: str, now: float) -> float:
        """Seconds until `take` is true again; 0 when it is now."""
        if not self.limit:
            return 0.0
        each = MINUTE / self.limit
        return max(0.0, self._full_at.get(who, now) - now + each - MINUTE)


class Rates:
    """The rates of a listener: `connections`, `messages` and `recipients` a minute for each client."""

    __slots__ = ("connections", "messages", "recipients")

    def __init__(self, *, connections: int = 0, messages: int = 0, recipients: int = 0) -> None:
        self.connections = Bucket(connections)
        self.messages = Bucket(messages)
        self.recipients = Bucket(recipients)
