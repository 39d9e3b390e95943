"""Whether a client drips: sends so little, for so long, that it only holds a connection.

A command as a whole has its time-out, and so has each silence within content (RFC 5321 section 4.5.3.2);
neither ends a client that sends an octet of content a minute, for years.  So within one content the octets
of every WINDOW seconds are held against a minimum rate.  The first window is the grace that every client has,
and a rate is judged by the last window alone: a megabyte sent at once buys no week of dripping.  At 16 octets
a second a line of 998 octets has a whole minute, far below what the slowest modem does (9600 bit/s is 1200
octets a second).

The owner of a connection tells when content begins (`begin`), and asks now and then
(`slow`, from a timer: once in WINDOW seconds is enough).  Time in which we read nothing, since a
decision or the disk is awaited, is not the client's: begin again after it.  A client that is slow gets
SLOW and the connection ends.  Nothing here fails, reads the clock, or costs anything where the minimum is 0.
"""

from __future__ import annotations

from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

WINDOW: Final = 60.0
"""Seconds over which a rate is taken."""

SLOW: Final = Reply(421, "4.4.2", "you send too slowly; closing")


def too_slow(octets: int, seconds: float, minimum: float) -> bool:
    """Whether so many `octets` in so many `seconds` are below `minimum` octets a second (0: never).

    Below WINDOW seconds nothing can be said, and it is False.
    """
    return minimum > 0 and seconds >= WINDOW and octets < minimum * seconds


class Pace:
    """The pace of one client, `minimum` in octets a second; times are in seconds of any one clock."""

    __slots__ = ("_octets", "_since", "minimum")

    def __init__(self, minimum: float) -> None:
        self.minimum = minimum
        self._since = 0.0
        self._octets = 0

    def begin(self, now: float, received: int) -> None:
        """Content begins, or is read on after a pause; `received` counts all octets so far."""
        self._since = now
        self._octets = received

    def slow(self, now: float, received: int) -> bool:
        """Whether the client was too slow since the window began; if a window is over, the next begins."""
        seconds = now - self._since
        if seconds < WINDOW:
            return False
        slow = too_slow(received - self._octets, seconds, self.minimum)
        self.begin(now, received)
        return slow
