"""The runner's window: how much it may have in hand at once.

The window is bounded in messages and in octets of content, and a quarter of it is kept for deferred
mail, so that a flood of fresh messages never starves what already waits.  A fresh message that does
not fit is committed unclaimed and comes back when there is room.
"""

from __future__ import annotations

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

    def admit(self, octets: int) -> bool:
        """Take a fresh message of so many octets in memory, if it fits beside the quarter kept free."""
        if self.used >= self.messages * 3 // 4 or self.used_octets + octets > self.octets * 3 // 4:
            return False
        self.take(octets)
        return True

    def take(self, octets: int) -> None:
        """Count one more in hand."""
        self.used += 1
        self.used_octets += octets

    def give(self, octets: int) -> None:
        """Count one less."""
        self.used -= 1
        self.used_octets -= octets

    @property
    def room(self) -> int:
        """How many deferred messages may be claimed now."""
        return self.messages - self.used if self.used_octets < self.octets else 0
