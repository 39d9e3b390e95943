"""One memory budget for content, and very long envelopes, over all sessions.

Content that is being received or waits for its commit is held in memory while the budget has room; beyond
it new content goes to files from its first octet.  What rides straight through to the runner is given
back here at its commit and counted by `runner.window` from then on.  Not counted are one read of each
connection, and the first 64 KiB of content that a session keeps, of what is in a file for the loop check, of
a submitted message until its header can be mended.
"""

from __future__ import annotations


class Budget:
    """`limit` and `used` are in octets; `coming` counts the contents that are being received."""

    __slots__ = ("coming", "limit", "used")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.coming = 0

    def take(self, octets: int) -> bool:
        """Take so many octets if there is room for them."""
        if self.used + octets > self.limit:
            return False
        self.used += octets
        return True

    def give(self, octets: int) -> None:
        """Give back what was taken."""
        self.used -= octets
