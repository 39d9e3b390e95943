"""From the outcomes of an attempt to its settlement: what is removed, retried, returned.

`decide` is pure.  A recipient that was done or failed is removed; a delayed one is tried again by the
schedule, unless its message has expired: then it has failed, with the last real cause rather than a
bare "expired" (checklist QUE-8).  What the attempt says of the next hop goes along.
"""

from __future__ import annotations

from mether.outcome import DONE, Outcome
from mether.queue.store import Decision, Hop
from mether.reply import Reply
from mether.runner import schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from mether.address import Address
    from mether.outcome import Route
    from mether.queue.store import Claim, Pending
    from mether.runner.schedule import Retry

EXPIRED: Final = Reply(451, "4.4.7", "the message could not be delivered in time")


class Verdict:
    """`decisions` for the recipients, those that `failed` (each with its outcome), and the `hop` as it is
    now, None when nothing changed."""

    __slots__ = ("decisions", "failed", "hop")

    def __init__(
        self, decisions: list[Decision], failed: list[tuple[Pending, Outcome]], hop: Hop | None
    ) -> None:
        self.decisions = decisions
        self.failed = failed
        self.hop = hop


def decide(
    claim: Claim,
    outcomes: Sequence[Outcome],
    hop: Hop,
    retry: Retry,
    now: float,
    random: Callable[[], float],
) -> Verdict:
    """The verdict on a worked claim: one outcome for each pending recipient, in order."""
    decisions: list[Decision] = []
    failed: list[tuple[Pending, Outcome]] = []
    blame: Outcome | None = None
    answered = False
    expired = now >= claim.message.expires
    for one, outcome in zip(claim.pending, outcomes, strict=True):
        if outcome.scope == "host":
            blame = outcome
        else:
            answered = True
        if outcome.action == "delayed" and expired:
            outcome = give_up(one, outcome)
        if outcome.action == "delayed":
            at = schedule.retry_at(retry, one.attempts + 1, now, claim.message.expires, random())
            decisions.append(Decision(one.number, outcome, at))
            continue
        decisions.append(Decision(one.number, outcome, None))
        if outcome.action not in DONE:
            failed.append((one, outcome))
    if blame is not None and blame.action == "delayed":
        changed = schedule.failed_hop(retry, hop, str(blame.reply), now, random())
    else:
        changed = schedule.recovered_hop(hop) if answered else None
    return Verdict(decisions, failed, changed)


def put_off(verdict: Verdict, until: float) -> Verdict:
    """The verdict with nothing failed yet: what would be is tried again at `until`."""
    failed = {one.number for one, _ in verdict.failed}
    return Verdict(
        [
            Decision(one.number, one.outcome, until) if one.number in failed else one
            for one in verdict.decisions
        ],
        [],
        verdict.hop,
    )


def reroute(claim: Claim, route: Callable[[Address], Route], now: float) -> list[Decision]:
    """The decisions that give a claim's recipients the next hops of a newer configuration.

    Empty when the queue's next hop is still the right one for all that no person pinned; otherwise those
    for which it is not are due at their new one at once, and the others as before.
    """
    moves = [(one, None if one.pinned else route(one.recipient.forward_path)) for one in claim.pending]
    if all(new is None or new == claim.route for _, new in moves):
        return []
    return [
        Decision(one.number, None, one.next_attempt)
        if new is None or new == claim.route
        else Decision(one.number, None, now, new)
        for one, new in moves
    ]


def give_up(one: Pending, outcome: Outcome | None, cause: str = "") -> Outcome:
    """The failed outcome of a recipient that has waited too long, or that a person returns.

    Its reply is that of the last thing that happened: `cause`, the last reply of a next hop that is down
    (what answers has none, so it came after every other outcome), else `outcome`, else that time ran out.
    """
    reply = _known(cause)
    if outcome is None:
        return Outcome(one.number, "failed", reply or EXPIRED)
    if reply is not None and str(outcome.reply) != str(reply):
        # Whose words they are is not known any more.
        return Outcome(one.number, "failed", reply, scope="host", at=outcome.at, uncertain=outcome.uncertain)
    return Outcome(
        one.number,
        "failed",
        outcome.reply,
        scope=outcome.scope,
        remote_mta=outcome.remote_mta,
        said=outcome.said,
        at=outcome.at,
        uncertain=outcome.uncertain,
    )


def _known(text: str) -> Reply | None:
    from mether.reply import from_text

    return from_text(text)
