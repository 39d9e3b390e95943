"""Claims of one message that are in hand at once: what failed at several next hops is told in one report.

A report is queued with the settlement that owes it, so what one report is to tell must be settled together.
A claim that ends with recipients of whose failure a report is owed waits for the other claims of its message
that this process has in hand, WAIT seconds at most; those that failed by then are settled as one.  What was
delivered or deferred without a failure waits for nothing.  Warnings wait only until it is known of each claim
of the same look whether it is tried.

Nothing waits at the end of a service, when the claim is another's by now, when a person has marked it, when
it shows that its next hop works again (others wait for that to be written), or when it is a suspect (others
wait for its end).  A process that dies meanwhile leaves a claim as if it were on its way: nothing is lost,
and what was delivered beside a failure may be delivered again, as ever.

Only messages with more than one claim are known here.  What waits takes no room at its next hop nor in the
window.  Limits: MOST claims wait; what ends beyond that is settled alone.
"""

from __future__ import annotations

from mether.event import mail as event

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Sequence
    from typing import Final

    from mether.queue.claim import Claim
    from mether.runner.settle import Verdict

WAIT: Final = 30.0
"""Seconds that a failure waits for its message's other next hops: most hosts have answered by then, and a
sender who is told half a minute later has lost nothing; a host that does not answer takes minutes."""
MOST: Final = 500
"""Claims that wait, of which each may have 64 KiB of content in memory."""


class End:
    """A claim that was worked: what was decided of it, when its attempt began and ended (Unix seconds), and
    what was said in it."""

    __slots__ = ("claim", "now", "started", "transcript", "verdict")

    def __init__(
        self, claim: Claim, verdict: Verdict, started: float, now: float, transcript: str = ""
    ) -> None:
        self.claim = claim
        self.verdict = verdict
        self.started = started
        self.now = now
        self.transcript = transcript


class _Group:
    """The claims of one message: those in hand, by token, that are `coming` to be tried or not, and those
    being `tried`; those that wait because they have `failed`, or to warn that they are `late`."""

    __slots__ = ("coming", "failed", "late", "timer", "tried")

    def __init__(self) -> None:
        self.coming: set[int] = set()
        self.tried: set[int] = set()
        self.failed: list[End] = []
        self.late: list[tuple[Claim, float]] = []
        self.timer: asyncio.TimerHandle | None = None

    def drop(self, token: int) -> bool:
        """A claim is coming or tried no more; whether it was."""
        known = token in self.coming or token in self.tried
        self.coming.discard(token)
        self.tried.discard(token)
        return known


class Together:
    """The messages of one runner that have several claims in hand.

    `end` and `warn` settle what has waited, all of one message; `aside` and `back` are told of each claim
    that begins to wait, and that waits no more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.groups: dict[str, _Group] = {}
        self.end: Callable[[list[End]], None] = _nobody
        self.warn: Callable[[list[Claim], float], None] = _nobody
        self.aside: Callable[[Claim], None] = _nobody
        self.back: Callable[[Claim], None] = _nobody
        self._loop = loop
        self._apart: set[int] = set()
        self._stopping = False

    def came(self, claims: Sequence[Claim]) -> None:
        """These claims are in hand from now on, or about to be; those of one message are known as such."""
        if self._stopping:
            return
        if not self.groups and len({claim.message.ident for claim in claims}) == len(claims):
            return
        messages: dict[str, set[int]] = {}
        for claim in claims:
            messages.setdefault(claim.message.ident, set()).add(claim.token)
        for ident, tokens in messages.items():
            if len(tokens) > 1 or ident in self.groups:
                self.groups.setdefault(ident, _Group()).coming |= tokens

    def tries(self, claim: Claim) -> None:
        """The claim goes to its transport."""
        group = self.groups.get(ident := claim.message.ident) if self.groups else None
        if group is not None and claim.token in group.coming:
            group.coming.remove(claim.token)
            group.tried.add(claim.token)
            self._next(ident, group)

    def over(self, claim: Claim) -> None:
        """The claim is in hand no more."""
        ident = claim.message.ident
        group = self.groups.get(ident)
        if group is not None and group.drop(claim.token):
            self._next(ident, group)

    def ends(self, one: End, *, owed: bool) -> bool:
        """Whether the end of a claim waits, or was settled with what waited for it; `owed`: it owes a report
        of a failure."""
        ident = one.claim.message.ident
        group = self.groups.get(ident)
        if group is None or not group.drop(one.claim.token):
            return False
        waits = bool(group.coming or group.tried)
        alone = (
            not owed
            or _answers(one)
            or one.claim.suspect
            or (waits and len(self._apart) >= MOST)
            or not (waits or group.failed)
        )
        if not alone:
            group.failed.append(one)
            if waits:
                self._apart.add(one.claim.token)
                self.aside(one.claim)
                self._begin(ident, group)
        self._next(ident, group)
        return not alone

    def warns(self, claim: Claim, now: float) -> bool:
        """Whether the warning of a claim waits, or was given with what waited for it."""
        ident = claim.message.ident
        group = self.groups.get(ident)
        if group is None or not group.drop(claim.token):
            return False
        waits = bool(group.coming)
        alone = claim.suspect or not (waits or group.late)
        if not alone:
            group.late.append((claim, now))
            if waits:
                self._begin(ident, group)
        self._next(ident, group)
        return not alone

    def waits(self, claim: Claim) -> bool:
        """Whether a claim that has failed waits for others."""
        return claim.token in self._apart

    def hasten(self, tokens: Collection[int] | None = None) -> None:
        """Settle what waits with any of these claims (None: all that waits)."""
        for ident, group in list(self.groups.items()):
            claims = [one.claim for one in group.failed] + [claim for claim, _ in group.late]
            if claims and (tokens is None or any(claim.token in tokens for claim in claims)):
                self._flush(group)
                self._next(ident, group)

    def stop(self) -> None:
        """Settle all that waits, and let nothing wait any more."""
        self._stopping = True
        self.hasten()
        for group in self.groups.values():
            if group.timer is not None:
                group.timer.cancel()
        self.groups.clear()

    def _begin(self, ident: str, group: _Group) -> None:
        if group.timer is None:
            group.timer = self._loop.call_later(WAIT, self._timeout, ident, group)

    def _timeout(self, ident: str, group: _Group) -> None:
        group.timer = None
        self._flush(group)
        self._next(ident, group)

    def _next(self, ident: str, group: _Group) -> None:
        """Settle what has nothing more to wait for, and forget the message once nothing of it is left."""
        if not group.coming:
            self._flush(group, failed=not group.tried)
            if not group.tried and self.groups.get(ident) is group:
                del self.groups[ident]
        if group.timer is not None and not (group.failed or group.late):
            group.timer.cancel()
            group.timer = None

    def _flush(self, group: _Group, *, failed: bool = True) -> None:
        late, group.late = group.late, []
        if late:
            self._safely(
                lambda: self.warn([claim for claim, _ in late], max(now for _, now in late)), late[0][0]
            )
        if not failed or not group.failed:
            return
        ends, group.failed = group.failed, []
        for one in ends:
            if one.claim.token in self._apart:
                self._apart.remove(one.claim.token)
                self.back(one.claim)
        self._safely(lambda: self.end(ends), ends[0].claim)

    def _safely(self, work: Callable[[], None], claim: Claim) -> None:
        """A fault in the end of some is none in that of another."""
        try:
            work()
        except Exception as error:
            event.error(f"internal error in the runner: {error!r}", ident=claim.message.ident)


def _answers(one: End) -> bool:
    """Whether its next hop was in trouble, and is not known to be still."""
    before, after = one.claim.hop, one.verdict.hop
    if after is not None:
        return not after.failures
    return before is not None and before.failures > 0 and one.claim.due


def _nobody(*what: object) -> None:
    """Before there is a runner."""
