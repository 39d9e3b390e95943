"""Which replies have a recipient tried at the next host at once, instead of counting (`failover` of a route).

A pattern is the beginning of a reply code, of an enhanced status code, or both with a space between:

============  ==================================================================
``421``       that code; ``45`` every one that begins so, ``4`` every 4yz
``5.7.1``     that status (RFC 3463); ``4.7.`` every one of subject 7
``451 4.3.2``  both
============  ==================================================================

A reply without a status matches no pattern that has one.  `parse` raises ValueError for what can match no
refusal.

`elsewhere` says of an outcome whether its recipient may be tried at another host of the same next hop: always
where the session was lost or ended by 421 before anything was decided (RFC 5321 section 5.1), by a reply only
where a pattern has it, and never where the message may have been taken.  `Held` keeps what the hosts so far
came to, until one decides.

Pure.
"""

from __future__ import annotations

from mether.outcome import DONE
from mether.relay import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from mether.outcome import Outcome
    from mether.queue.claim import Claim, Pending
    from mether.reply import Reply

MOST: Final = 32
"""Patterns of a route."""

_EXPECTED: Final = (
    'expected a reply code and a status or the beginning of them, such as "421", "4.7." or "451 4.3.2"'
)


class Failover:
    """The `patterns` of a route, MOST of them; false when there are none.  Raises ValueError."""

    __slots__ = ("_parsed", "patterns")

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self.patterns = tuple(patterns)
        if len(self.patterns) > MOST:
            raise ValueError(f"expected at most {MOST} replies, not {len(self.patterns)}")
        self._parsed = tuple(map(parse, self.patterns))

    def __bool__(self) -> bool:
        return bool(self._parsed)

    def takes(self, reply: Reply) -> bool:
        """Whether the reply is one for which the next host is tried."""
        if not self._parsed:
            return False
        code, status = str(reply.code), reply.status.split(".") if reply.status else []
        return any(
            code.startswith(digits) and status[: len(parts)] == list(parts) for digits, parts in self._parsed
        )


def parse(pattern: str) -> tuple[str, Sequence[str]]:
    """The beginning of the code, and the parts of the status, that a pattern asks for.  Raises ValueError."""
    words = pattern.split(" ")
    digits, status = "", ""
    if len(words) == 2:
        digits, status = words
        if not digits or not status:
            raise ValueError(_EXPECTED)
    elif len(words) == 1:
        digits, status = ("", pattern) if "." in pattern else (pattern, "")
    else:
        raise ValueError(_EXPECTED)
    if digits and not (digits.isascii() and digits.isdigit() and len(digits) <= 3 and digits[0] in "45"):
        raise ValueError(f"{_EXPECTED}; no refusal has the code {digits[:20]!r}")
    parts = status.removesuffix(".").split(".") if status else []
    if status and not (
        len(parts) <= 3
        and parts[0] in ("4", "5")
        and all(part.isascii() and part.isdigit() and len(part) <= 3 for part in parts)
        and not (len(parts) == 3 and status.endswith("."))
    ):
        raise ValueError(f"{_EXPECTED}; {status[:20]!r} is no such status")
    if digits and parts and digits[0] != parts[0]:
        raise ValueError(f"{_EXPECTED}; no reply has a code {digits} and a status {status}")
    if not digits and not parts:
        raise ValueError(_EXPECTED)
    return digits, parts


def elsewhere(outcome: Outcome, failover: Failover | None) -> bool:
    """Whether the recipient may be tried at another host at once."""
    if outcome.uncertain or outcome.action in DONE:
        return False
    if outcome.scope == "host":
        return True
    return failover is not None and outcome.said and failover.takes(outcome.reply)


class Held:
    """What recipients of one attempt came to at hosts that do not count yet; true when there is any."""

    __slots__ = ("_outcomes",)

    def __init__(self) -> None:
        self._outcomes: dict[int, Outcome] = {}

    def __bool__(self) -> bool:
        return bool(self._outcomes)

    @property
    def answered(self) -> bool:
        """Whether a host had something to say of the message."""
        return any(one.scope != "host" for one in self._outcomes.values())

    def add(self, outcomes: Iterable[Outcome]) -> None:
        """Keep these, of recipients that are tried at the next host."""
        for one in outcomes:
            self._outcomes[one.recipient] = self.with_(one)

    def with_(self, outcome: Outcome) -> Outcome:
        """What it comes to that a later host, or the want of one, had this outcome."""
        before = self._outcomes.get(outcome.recipient)
        return outcome if before is None else failure.of_several(before, outcome)

    def alone(self, number: int) -> Outcome | None:
        """What the hosts so far came to for a recipient."""
        return self._outcomes.get(number)


def left(claim: Claim, outcomes: Sequence[Outcome]) -> list[Pending]:
    """The recipients of a claim that have no outcome yet."""
    if not outcomes:
        return claim.pending
    known = {one.recipient for one in outcomes}
    return [one for one in claim.pending if one.number not in known]


def arrange(claim: Claim, outcomes: list[Outcome]) -> None:
    """Put the outcomes of a claim in the order of its recipients."""
    known = {one.recipient: one for one in outcomes}
    outcomes[:] = [known[one.number] for one in claim.pending]
