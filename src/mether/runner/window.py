"""The runner's window: how much it may have in hand at once.

The window is bounded in messages (one for each next hop of a message) and in octets of content, and a quarter
of it is kept for deferred mail, so that a flood of fresh messages never starves what already waits.  A fresh
message that does not fit is committed unclaimed and comes back when there is room.

Content above LARGE lies in a file and is read in pieces: it counts for no more than LARGE.  What is claimed
is counted only once it is here, so no more is claimed at a time than fits if each were that large.
"""

from __future__ import annotations

from mether.queue.content import SMALL as LARGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MESSAGES: Final = 1000
OCTETS: Final = 64 * 1024 * 1024


class Window:
    """Counts of what is in hand; `messages` and `octets` are the limits."""

    __slots__ = ("messages", "octets", "used", "used_octets")

    def __init__(self, messages: int = MESSAGES, octets: int = OCTETS) -> None:
        self.messages = messages
        self.octets = octets
        self.used = 0
        self.used_octets = 0

    def admit(self, octets: int, claims: int = 1) -> bool:
        """Take a fresh message of so many octets in memory for so many next hops, if it fits beside the
        quarter kept free."""
        if octets > LARGE:
            octets = LARGE
        octets *= claims
        if (
            self.used + claims > self.messages - (self.messages + 3) // 4
            or self.used_octets + octets > self.octets * 3 // 4
        ):
            return False
        self.used += claims
        self.used_octets += octets
        return True

    def take(self, octets: int) -> None:
        """Count one more in hand."""
        self.used += 1
        self.used_octets += octets if octets < LARGE else LARGE

    def give(self, octets: int) -> None:
        """Count one less."""
        self.used -= 1
        self.used_octets -= octets if octets < LARGE else LARGE

    @property
    def kept(self) -> int:
        """A quarter of it, in messages of any size."""
        return min(self.messages, self.octets // LARGE) // 4

    @property
    def room(self) -> int:
        """How many deferred messages may be claimed now, whatever their size."""
        left = (self.octets - self.used_octets) // LARGE
        room = self.messages - self.used
        if left < room:
            # What is larger than all of the window goes alone.
            room = left if left or self.used else 1
        return room if room > 0 else 0
