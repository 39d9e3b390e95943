"""Recipients on the suppression list: returned at once, without a connection; and what is learned for it.

A claim is looked at when it would go to its transport.  When mail is sent to none of its recipients, their
outcomes are there at once (`begin`).  When it is sent to some, the transport gets the claim with those alone,
and `ended` puts the others' outcomes with theirs: one settlement, one report, and nobody is tried for whom
nothing is to be done.

Who is looked up is whose mail goes out by SMTP: `applies` says so of a next hop.  What is on this host, or
behind one of our own, is for a person to put right, and never remembered.  A null reverse-path changes
nothing: a report to an address that is on the list would fail as well.

What counts against an address is what its server said of it: refused for good, at RCPT, for a reason that is
remembered (`Remember`).  A delivery that went well takes back what was learned.
"""

from __future__ import annotations

from mether.content.suppression import refusal
from mether.outcome import Outcome
from mether.queue.suppressed_row import Suppressed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Final

    from mether.address import Address
    from mether.content.classify import Rules
    from mether.outcome import Route
    from mether.queue.claim import Claim, Pending
    from mether.queue.suppressed_watch import Watch
    from mether.reply import Reply
    from mether.runner.remembering import Recorder


class Remember:
    """What is remembered: the classes of failure in `kinds`, as `rules` (None: the built-in ones) tell them,
    by the `recorder`."""

    __slots__ = ("kinds", "recorder", "rules")

    def __init__(self, kinds: Collection[str], recorder: Recorder, rules: Rules | None = None) -> None:
        self.kinds = frozenset(kinds)
        self.recorder = recorder
        self.rules = rules


class Suppressing:
    """What a runner does about the list that it has in `watch`.

    `applies` says for which next hops it holds; `remember` is None where nothing is learned, and the list
    where there can be none.
    """

    def __init__(
        self, watch: Watch | None, applies: Callable[[Route], bool], remember: Remember | None = None
    ) -> None:
        self._watch = watch
        self._applies = applies
        self._remember = remember
        self._aside: dict[int, tuple[list[Pending], dict[int, Outcome]]] = {}

    def adopt(self, applies: Callable[[Route], bool], remember: Remember | None) -> None:
        """Go by a newer configuration from now on."""
        self._applies = applies
        self._remember = remember

    def begin(self, claim: Claim, now: float) -> list[Outcome] | None:
        """The outcomes of a claim whose recipients are all on the list; None: it is to be tried, with those
        alone that are not."""
        watch = self._watch
        if watch is None or not watch.live or not self._applies(claim.route):
            return None
        found: dict[int, Outcome] = {}
        for one in claim.pending:
            known = watch.find(one.recipient.forward_path)
            if known is not None:
                found[one.number] = Outcome(one.number, "failed", told(known), at=now)
        if not found:
            return None
        if len(found) == len(claim.pending):
            return list(found.values())
        self._aside[claim.token] = (claim.pending, found)
        claim.pending = [one for one in claim.pending if one.number not in found]
        return None

    def returned(self, claims: list[Claim]) -> list[Claim]:
        """These claims come back untried, as they were."""
        for claim in claims if self._aside else ():
            aside = self._aside.pop(claim.token, None)
            if aside is not None:
                claim.pending = aside[0]
        return claims

    def ended(self, claim: Claim, outcomes: list[Outcome], now: float) -> list[Outcome]:
        """The outcomes of all recipients of a claim, given those that were tried; what they tell is
        remembered."""
        if self._remember is not None:
            self._learn(self._remember, claim, outcomes, now)
        aside = self._aside.pop(claim.token, None) if self._aside else None
        if aside is None:
            return outcomes
        claim.pending, found = aside
        tried = {one.recipient: one for one in outcomes}
        return [found.get(one.number) or tried[one.number] for one in claim.pending]

    def _learn(self, remember: Remember, claim: Claim, outcomes: list[Outcome], now: float) -> None:
        applies: bool | None = None
        watch = self._watch
        for one, outcome in zip(claim.pending, outcomes, strict=True):
            if outcome.action == "failed":
                if not outcome.said or outcome.scope != "recipient":
                    continue
            elif outcome.action != "relayed" or watch is None or not watch.live:
                continue
            if applies is None:
                applies = self._applies(claim.route)
            if not applies:
                return
            address = one.recipient.forward_path
            if outcome.action == "relayed":
                if watch is not None and watch.known(address):
                    remember.recorder.delivered(address)
                continue
            failure = learned(remember, address, outcome, now)
            if failure is not None:
                remember.recorder.failed(failure)


NOBODY: Final = Suppressing(None, lambda route: False)
"""Where no address is on a list, and none is remembered."""


def learned(remember: Remember, address: Address, outcome: Outcome, now: float) -> Suppressed | None:
    """What is remembered of an address for a refusal; None: nothing."""
    from mether.content.classify import judge

    verdict = judge(outcome, remember.rules)
    if verdict.kind not in remember.kinds or not address.domain:
        return None
    return Suppressed(
        address,
        source="delivery",
        since=now,
        kind=verdict.kind,
        status=verdict.status,
        reason=str(outcome.reply),
        remote=outcome.remote_mta,
    )


def told(known: Suppressed) -> Reply:
    """The reply for mail to an address on the list."""
    return refusal(
        known.since, known.reason or known.note or known.kind, known.status, came_back=known.came_back
    )
