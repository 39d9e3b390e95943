"""How many may connect: counted in all and by client address (RFC 5321 section 7.9).

Which clients may relay is `routing.networks` and the listener's to say.  `part` is what one of several
processes has of a limit.
"""

from __future__ import annotations


def part(limit: int, processes: int) -> int:
    """What each of so many processes has of a limit: at least 1, for 0 stays what it is, no limit."""
    return max(1, limit // max(1, processes)) if limit else 0


class Counter:
    """Connections that are open: in all at most `limit`, from one address `per_client` (0: no limit)."""

    __slots__ = ("_by_address", "limit", "per_client", "total")

    def __init__(self, limit: int, per_client: int) -> None:
        self.limit = limit
        self.per_client = per_client
        self.total = 0
        self._by_address: dict[str, int] = {}

    def enter(self, address: str) -> bool:
        """Count one more; False, and nothing counted, when that is one too many."""
        count = self._by_address.get(address, 0)
        if self.total >= self.limit or (self.per_client and count >= self.per_client):
            return False
        self.total += 1
        self._by_address[address] = count + 1
        return True

    def leave(self, address: str) -> None:
        """Count one less."""
        self.total -= 1
        count = self._by_address[address] - 1
        if count:
            self._by_address[address] = count
        else:
            del self._by_address[address]
