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


class Line:
    """Claims that wait."""

    __slots__ = ("_claims",)

    def __init__(self) -> None:
        self._claims: deque[Claim] = deque()

    def __len__(self) -> int:
        return len(self._claims)

    def add(self, claim: Claim) -> None:
        """Let it wait behind those of its priority and above."""
        self._insert(claim, claim.message.envelope.priority)

    def back(self, claim: Claim) -> None:
        """Let one that was taken wait before those of its priority."""
        self._insert(claim, claim.message.envelope.priority + 1)

    def take(self) -> Claim:
        """The next one.  Raises IndexError when there is none."""
        return self._claims.popleft()

    def clear(self) -> list[Claim]:
        """Take all."""
        claims = list(self._claims)
        self._claims.clear()
        return claims

    def withdraw(self, tokens: Collection[int]) -> list[Claim]:
        """Take those with these tokens."""
        taken = [claim for claim in self._claims if claim.token in tokens]
        if taken:
            self._claims = deque(claim for claim in self._claims if claim.token not in tokens)
        return taken

    def _insert(self, claim: Claim, priority: int) -> None:
        claims = self._claims
        place = len(claims)
        while place and claims[place - 1].message.envelope.priority < priority:
            place -= 1
        claims.insert(place, claim)
