"""The claims that wait for one next hop, in the order in which they are worked.

Those of a higher priority go first, as in the queue (RFC 6710 section 5), and those of one priority as they
came.
"""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from mether.queue.claim import Claim


class Line(deque["Claim"]):
    """Claims that wait; `popleft` takes the next one."""

    __slots__ = ()

    def add(self, claim: Claim) -> None:
        """Let it wait behind those of its priority and above."""
        priority = claim.message.envelope.priority
        if not self or self[-1].message.envelope.priority >= priority:
            self.append(claim)
        else:
            self._insert(claim, priority)

    def back(self, claim: Claim) -> None:
        """Let one that was taken wait before those of its priority."""
        self._insert(claim, claim.message.envelope.priority + 1)

    def take_all(self) -> list[Claim]:
        """Take all."""
        claims = list(self)
        self.clear()
        return claims

    def withdraw(self, tokens: Collection[int]) -> list[Claim]:
        """Take those with these tokens."""
        taken = [claim for claim in self if claim.token in tokens]
        if taken:
            left = [claim for claim in self if claim.token not in tokens]
            self.clear()
            self.extend(left)
        return taken

    def _insert(self, claim: Claim, priority: int) -> None:
        place = len(self)
        while place and self[place - 1].message.envelope.priority < priority:
            place -= 1
        self.insert(place, claim)
