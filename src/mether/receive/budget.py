"""One memory budget for content over all sessions.

Content that is being received, waits for its commit, or rides straight through to the runner is held in
memory while the budget has room; beyond it new content goes to files from its first octet.  What is
left in memory is then bounded by the budget and by one read per connection.
"""

from __future__ import annotations


class Budget:
    """`limit` and `used` are in octets."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def take(self, octets: int) -> bool:
        """Take so many octets if there is room for them."""
        if self.used + octets > self.limit:
            return False
        self.used += octets
        return True

    def give(self, octets: int) -> None:
        """Give back what was taken."""
        self.used -= octets
