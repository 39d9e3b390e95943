"""One run over what is selected: ``runsmtpq --all``, each message and next hop once.

What is taken regardless of time is passed in order of id, page by page, since what was just deferred or
given back untried could be claimed again at once and would crowd out what was not tried yet.  Reports that
came meanwhile, what moved to another next hop and what waited for a suspect's end lie behind that order:
rounds are made until one finds nothing new.

Such a run takes what comes next in that order whatever room its next hop has: to look past a long row of
messages for one next hop, each time that a few of them are done, would cost more than it gives.  A next hop
that cannot be reached gives back all that waits for it at once.
"""

from __future__ import annotations

from mether.queue.store import Select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from mether.outcome import Route
    from mether.queue.claim import Claim


class Once:
    """A run over what `select` takes that began at `now`, Unix seconds."""

    __slots__ = ("_after", "_began", "_new", "_select", "_tried")

    def __init__(self, select: Select, now: float) -> None:
        self._select = select
        self._began = now
        self._tried: set[tuple[str, Route]] = set()
        self._after = ""
        self._new = False

    @property
    def count(self) -> int:
        """How many claims were tried."""
        return len(self._tried)

    @property
    def select(self) -> Select:
        """What to claim next."""
        all_ = self._select
        if not all_.regardless:
            return all_
        return Select(
            idents=all_.idents,
            next_hop=all_.next_hop,
            regardless=True,
            held=all_.held,
            after=self._after,
            not_since=self._began,
        )

    def part(self, claims: Sequence[Claim]) -> tuple[list[Claim], list[Claim]]:
        """Those of messages that were not tried at their next hops yet, and the others."""
        fresh: list[Claim] = []
        again: list[Claim] = []
        for claim in claims:
            (again if (claim.message.ident, claim.route) in self._tried else fresh).append(claim)
        return fresh, again

    def tried(self, claim: Claim) -> None:
        """The claim is tried now."""
        self._tried.add((claim.message.ident, claim.route))

    def more(self, claims: Sequence[Claim], taken: int) -> bool:
        """Note what `select` gave, and how much of it was new; whether to claim again at once."""
        if not self._select.regardless:
            return taken > 0
        self._new = self._new or taken > 0
        if claims:
            self._after = max(claim.message.ident for claim in claims)
            return True
        again, self._new, self._after = self._new, False, ""
        return again
