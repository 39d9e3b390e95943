"""From the outcomes of an attempt to its settlement: what is removed, retried, returned.

`decide` is pure.  A recipient that was done or failed is removed; a delayed one is tried again by the
schedule, unless its message has expired: then it has failed, with the last real cause rather than a
bare "expired" (checklist QUE-8).  What the attempt says of the next hop goes along.

DELIVERBY (RFC 2852 section 4.1.3) sets a time of its own: with mode R what waits then has failed with 5.4.7,
with mode N it goes on waiting, and whoever is told of the delay reads 4.4.7.  The last real cause stands
behind either.
"""

from __future__ import annotations

from mether.outcome import DONE, Outcome, of_words
from mether.queue.claim import Decision, Hop
from mether.queue.selection import fixed
from mether.relay import failure
from mether.reply import Reply
from mether.runner import schedule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, Literal

    from mether.address import Address
    from mether.outcome import Action, Route
    from mether.queue.claim import Claim, Pending
    from mether.queue.message import Message
    from mether.runner.schedule import Retry

EXPIRED: Final = Reply(451, "4.4.7", "the message could not be delivered in time")
UNTRIED: Final = Reply(451, "4.4.0", "the message has not been tried yet")
OVER: Final = "delivery time expired"
"""What RFC 2852 section 4.1.3 calls it."""


class Verdict:
    """`decisions` for the recipients, those that `failed` (each with its outcome), those `done` of which a
    report may be owed, the `hop` as it is now, None when nothing changed, and why the message is to be held
    (`hold`), None when it is not."""

    __slots__ = ("decisions", "done", "failed", "hold", "hop")

    def __init__(
        self,
        decisions: list[Decision],
        failed: list[tuple[Pending, Outcome]],
        hop: Hop | None,
        done: Sequence[tuple[Pending, Outcome]] = (),
        hold: str | None = None,
    ) -> None:
        self.hold = hold
        self.decisions = decisions
        self.failed = failed
        self.hop = hop
        self.done = done


def decide(
    claim: Claim,
    outcomes: Sequence[Outcome],
    hop: Hop | None,
    retry: Retry,
    now: float,
    random: Callable[[], float],
) -> Verdict:
    """The verdict on a worked claim: one outcome for each pending recipient, in order.

    `hop` is what is known against its next hop.  Where uncertain deliveries are held, one is not given up
    either, though its time be over: a person decides.
    """
    decisions: list[Decision] = []
    failed: list[tuple[Pending, Outcome]] = []
    done: list[tuple[Pending, Outcome]] = []
    doubtful: list[tuple[Pending, Outcome]] = []
    blame: Outcome | None = None
    answered = False
    message = claim.message
    by = message.envelope.by
    expires = message.expires if by is None else ends(message)
    expired = now >= expires
    for one, outcome in zip(claim.pending, outcomes, strict=True):
        if outcome.scope == "host":
            blame = outcome
        elif outcome.remote_mta or outcome.action in DONE:
            answered = True  # a fault of ours says nothing of the next hop
        if outcome.action == "delayed" and outcome.uncertain and retry.hold_uncertain:
            doubtful.append((one, outcome))
        elif outcome.action == "delayed" and expired:
            outcome = give_up(one, _telling(one.last, outcome), late=too_late(message, now))
        if outcome.action == "delayed":
            kind = failure.kind(outcome, retry.rules)
            at = schedule.retry_at(retry, one.attempts + 1, now, expires, random(), kind)
            decisions.append(Decision(one.number, outcome, at))
            continue
        decisions.append(Decision(one.number, outcome, None))
        if outcome.action not in DONE:
            failed.append((one, outcome))
        elif by is not None or one.recipient.notify is not None:
            done.append((one, outcome))
    if blame is not None and blame.action == "delayed":
        changed = schedule.failed_hop(retry, hop or Hop(claim.route), blame.words, now, random())
    else:
        changed = schedule.recovered_hop(hop) if answered and hop is not None else None
    return Verdict(decisions, failed, changed, done, _doubt(doubtful) if doubtful else None)


def course(message: Message, now: float, *, due: bool) -> Literal["try", "warn", "return"]:
    """What becomes of recipients that are claimed now: `due` tells whether their own time has come, and their
    next hop may be tried.  If not, it is the message's expiry or the time of a warning."""
    if due and (message.envelope.by is None or not too_late(message, now)):
        return "try"
    return "warn" if now < ends(message) else "return"


def doubt(claim: Claim, retry: Retry) -> str | None:
    """Why a claim is to be held untried: its last owner died with it in hand, so it may have been delivered,
    and the configuration leaves such messages to a person.  None when it is not."""
    if not claim.suspect or not retry.hold_uncertain:
        return None
    doubtful = [(one, one.last) for one in claim.pending if one.last is not None and one.last.uncertain]
    return _doubt(doubtful) if doubtful else None


def stay(claim: Claim) -> list[Decision]:
    """The decisions that leave a claim's recipients as they were, and suspected no more."""
    return [Decision(one.number, None, one.next_attempt) for one in claim.pending]


def _doubt(doubtful: Sequence[tuple[Pending, Outcome]]) -> str:
    """The reason for holding a message with these uncertain outcomes."""
    one, outcome = doubtful[0]
    more = f" and {len(doubtful) - 1} more" if len(doubtful) > 1 else ""
    return f"may have been delivered to {one.recipient.forward_path}{more}: {outcome.reply}"


def expire(claim: Claim, now: float) -> Verdict:
    """The verdict on a claim that is not tried any more because its time is over."""
    cause = claim.hop.last if claim.hop is not None else ""
    late = too_late(claim.message, now)
    outcomes = [give_up(one, one.last, cause, late=late) for one in claim.pending]
    return Verdict(
        [Decision(outcome.recipient, outcome, None) for outcome in outcomes],
        list(zip(claim.pending, outcomes, strict=True)),
        None,
    )


def waiting(claim: Claim) -> list[tuple[Pending, Outcome]]:
    """What a warning says of the claim's recipients that had none: *delayed*, for the last that happened."""
    cause = claim.hop.last if claim.hop is not None else ""
    return [
        (one, _last(one.number, "delayed", one.last, cause, UNTRIED))
        for one in claim.pending
        if not one.warned
    ]


def deliver_by(message: Message) -> float | None:
    """When the message was to be delivered by, in Unix seconds (RFC 2852 section 4); None: whenever."""
    by = message.envelope.by
    return None if by is None else message.arrival.at + by.seconds


def overdue(message: Message, now: float) -> bool:
    """Whether the time that DELIVERBY set has passed."""
    at = deliver_by(message)
    return at is not None and now >= at


def too_late(message: Message, now: float) -> bool:
    """Whether DELIVERBY's mode R forbids any further try (RFC 2852 section 4.1.3)."""
    by = message.envelope.by
    return by is not None and by.mode == "R" and overdue(message, now)


def ends(message: Message) -> float:
    """When the message is returned if it still waits: by DELIVERBY's mode R maybe before it expires."""
    by = message.envelope.by
    if by is None or by.mode != "R":
        return message.expires
    return min(message.expires, message.arrival.at + by.seconds)


def over(outcome: Outcome) -> Outcome:
    """The same outcome, *failed* or *delayed*, of a message whose delivery time has expired."""
    code, status = (554, "5.4.7") if outcome.action == "failed" else (451, "4.4.7")
    last = outcome.reply
    text = OVER if last in (EXPIRED, UNTRIED) else f"{OVER}; the last try ended with: {outcome.words}"
    return Outcome(
        outcome.recipient,
        outcome.action,
        Reply(code, status, text),
        at=outcome.at,
        uncertain=outcome.uncertain,
    )


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
        verdict.done,
        verdict.hold,
    )


def keep(verdict: Verdict, now: float) -> Verdict:
    """The verdict that holds the message for a person, with those that failed still in it."""
    _, outcome = verdict.failed[0]
    kept = put_off(verdict, now)
    kept.hold = f"cannot be delivered, and nobody can be told: {outcome.reply}"
    return kept


def reroute(claim: Claim, route: Callable[[Address, Message], Route | None], now: float) -> list[Decision]:
    """The decisions that give a claim's recipients the next hops of a newer configuration.

    One that has none there, as it is no longer delivered but forwarded, keeps what it has; so does what a
    person pinned, and what an alias said.  Empty when the
    queue's next hop is still the right one for all of them; otherwise those for which it is not are due at
    their new one at once, and the others as before.  Raises what `route` raises.
    """
    if fixed(claim.route):
        return []
    moves = [
        (one, None if one.pinned else route(one.recipient.forward_path, claim.message))
        for one in claim.pending
    ]
    if all(new is None or new == claim.route for _, new in moves):
        return []
    return [
        Decision(one.number, None, one.next_attempt)
        if new is None or new == claim.route
        else Decision(one.number, None, now, new)
        for one, new in moves
    ]


def give_up(one: Pending, outcome: Outcome | None, cause: str = "", *, late: bool = False) -> Outcome:
    """The failed outcome of a recipient that has waited too long, or that a person returns.

    Its reply is that of the last thing that happened: `cause`, the last words of a next hop that is down
    (what answers has none, so it came after every other outcome), else `outcome`, else that time ran out.
    But what was said of the recipient itself is not lost to words that its host has for everybody, such as
    that it is busy: it stands between them whenever the host takes mail.  A host that does not speak at all
    is the reason for everybody there.  `late` tells that it is DELIVERBY's time that ran out.
    """
    last = _last(one.number, "failed", outcome, cause, EXPIRED)
    return over(last) if late else last


def _last(number: int, action: Action, outcome: Outcome | None, cause: str, unknown: Reply) -> Outcome:
    """The last thing that happened to a recipient, as an outcome of that action."""
    host, reply = of_words(cause)
    at, uncertain = (0.0, False) if outcome is None else (outcome.at, outcome.uncertain)
    if outcome is None and reply is None:
        return Outcome(number, action, unknown)
    if reply is not None:
        last = Outcome(number, action, reply, scope="host", remote_mta=host, at=at, uncertain=uncertain)
        if outcome is None or not (str(outcome.reply) == str(reply) or _about_itself(outcome, last)):
            return last
    assert outcome is not None
    return outcome.like(recipient=number, action=action)


def _telling(last: Outcome | None, outcome: Outcome) -> Outcome:
    """Of what a recipient was told before and at its last try, what tells its sender more."""
    if last is None or not _about_itself(last, outcome):
        return outcome
    return last.like(recipient=outcome.recipient, action=outcome.action, at=outcome.at)


def _about_itself(last: Outcome, later: Outcome) -> bool:
    """Whether a recipient's last outcome was about itself, and the later one is what its host says to all."""
    return last.action == "delayed" and last.scope == "recipient" and later.scope == "host" and later.said
