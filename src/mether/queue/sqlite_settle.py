"""Settlements out of the SQLite queue, in one transaction.

Everything here runs inside `Database.write`.  Claims all of whose recipients are done with go out by one
DELETE a table, however many they are.  A settlement that cannot be written down fails the transaction: only
what lost its claim is refused.
"""

from __future__ import annotations

import math

from mether.outcome import DONE
from mether.queue import ident as ident_
from mether.queue.sqlite_hops import SQL, hop_id, numbers
from mether.queue.sqlite_rows import UNREADABLE, marked, text
from mether.queue.transcript import kept, transport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from mether.outcome import Attempt
    from mether.queue.claim import Claim, Decision, Settlement
    from mether.queue.database import Database
    from mether.queue.message import Draft
    from mether.queue.sqlite_apply import Inserting
    from mether.queue.store import Committed

MAX_ATTEMPTS: Final = 100
"""Attempts kept for a message; older ones are forgotten."""

FEW: Final = 2
"""Claims up to which one DELETE each costs less than one for all, which builds tables for its lists.  Where
nobody else wants the interpreter that is so up to eight; beside a busy loop each statement waits for it."""


class Lost(ValueError):
    """A claim among many is no longer ours: the transaction is to be done again, one by one."""


class Settling:
    """Settlements of one transaction, being applied."""

    def __init__(self, db: Database, inserting: Inserting) -> None:
        self.db = db
        self.inserting = inserting
        self.refused: list[Settlement] = []
        self.gone: list[str] = []
        """The ids of messages of which nothing is left."""
        self.files: list[str] = []
        """Those whose content file, if any, is to be removed once all is committed."""

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Apply what still owns its claim; the rest is `refused`."""
        whole, owner = [], self.inserting.owner
        refused = set()
        for one in settlements:
            if _simple(one, owner):
                whole.append(one)
            elif not self._one(one):
                refused.add(id(one))
        if len(whole) <= FEW:
            refused.update(id(one) for one in self._each(whole))
        elif self.inserting.careful:
            refused.update(id(one) for one in whole if not self._one(one))
        else:
            self._whole(whole)
        self.refused = [one for one in settlements if id(one) in refused]
        for one in settlements:
            if one.reports and id(one) not in refused:
                self._report(one.reports)

    def _each(self, settlements: list[Settlement]) -> list[Settlement]:
        """Remove all recipients of each of these claims; returns those whose claim is lost."""
        lost: list[Settlement] = []
        done: list[Settlement] = []
        for one in settlements:
            claim = one.claim
            number = ident_.decode(claim.message.ident)
            self.db.execute(SQL["claim-delete"], (number, claim.owner, claim.token))
            (done if self.db.changes() else lost).append(one)
        if done:
            self._done(done)
        return lost

    def _whole(self, settlements: list[Settlement]) -> None:
        """Remove all recipients of all these claims at once.  Raises Lost when they are not all there.

        A token is never used twice by its owner, so a row that has one of these tokens belongs to the
        claim with that token: counting them tells whether every claim is intact.
        """
        claims = [one.claim for one in settlements]
        ids = numbers({ident_.decode(claim.message.ident) for claim in claims})
        which = (ids, claims[0].owner, numbers(claim.token for claim in claims))
        expected = sum(len(claim.pending) for claim in claims)
        self.db.execute(SQL["claimed-delete"], which)
        if self.db.changes() != expected:
            raise Lost
        self._done(settlements)

    def _done(self, settlements: list[Settlement]) -> None:
        """Finish the messages of claims all of whose recipients were removed."""
        claims = [one.claim for one in settlements]
        for one in settlements:
            for decision in one.decisions:
                self._count(decision)
        # A fresh claim (which has no hop) on all recipients is the only one its message ever had.
        straight = all(
            claim.hop is None
            and claim.settlement == 1
            and len(claim.pending) == len(claim.message.envelope.recipients)
            for claim in claims
        )
        self.finish({claim.message.ident for claim in claims}, tried=not straight)

    def finish(self, idents: Iterable[str], *, tried: bool = True) -> None:
        """Remove the messages that have no recipient left; not `tried`, they have no attempts."""
        by_number = {ident_.decode(ident): ident for ident in idents}
        ids = numbers(by_number)
        self.db.execute(SQL["messages-finished"], (ids,))
        if self.db.changes() != len(by_number):
            for (number,) in self.db.execute(SQL["queued-among"], (ids,)):
                del by_number[number]
            if not by_number:
                return
            ids = numbers(by_number)
        self.gone += by_number.values()
        self.db.execute(SQL["contents-delete"], (ids,))
        if self.db.changes() != len(by_number):
            self.files += by_number.values()
        if tried:
            self.db.execute(SQL["attempts-delete"], (ids,))
            self.db.execute(SQL["transcripts-delete"], (ids,))

    def _count(self, decision: Decision) -> None:
        """Count what came of a recipient in the running totals."""
        if decision.outcome is not None:
            action = decision.outcome.action
            self.inserting.counts[1 if action in DONE else 2 if action == "failed" else 3] += 1

    def _one(self, one: Settlement) -> bool:
        db, message = self.db, one.claim.message
        number = ident_.decode(message.ident)
        parts, rows = [], []
        for part in one.parts:
            its = db.execute(SQL["claimed-of"], (number, part.claim.owner, part.claim.token)).fetchall()
            if not its:
                return False  # and nothing of it was done
            parts.append((part, its))
            rows += its
        if one.hold is not None:
            db.execute(SQL["message-hold"], (number, text(one.hold)))
            db.execute(SQL["recipients-held"], (number,))
        held = db.value(SQL["message-held"], (number,)) is not None
        one.forgo({row[0] for row in rows if row[2] == "remove"})
        for part, its in parts:
            decisions = {decision.number: decision for decision in part.decisions}
            for recipient, hop, mark, _, _ in its:
                decision = decisions.get(recipient)
                if decision is not None:
                    self._count(decision)
                self._recipient(number, recipient, mark, held, decision, message.release_at)
                self.obey(number, recipient, mark, max(self.inserting.now, message.release_at))
                self.inserting.touched.add(hop)
            for hop in {row[1] for row in its}:
                db.execute(SQL["hop-probe-over"], (hop, part.claim.owner, part.claim.token))
        if any(row[3] for row in rows):
            db.execute(SQL["message-acquit"], (number,))
        if one.warned:
            db.execute(SQL["recipients-warned"], (number, numbers(row[0] for row in rows)))
            if db.value(SQL["recipient-unwarned"], (number,)) is None:
                db.execute(SQL["message-warned"], (number, one.warn_at))
                db.execute(SQL["recipients-unwarned"], (number,))
            db.execute(SQL["recipient-deadlines"], (number,))
        for part, _ in parts:
            if part.attempt is not None:
                keep_transcript(db, number, record(db, number, part.attempt), part.attempt)
        self.finish([message.ident])
        return True

    def _recipient(
        self,
        message: int,
        number: int,
        mark: str | None,
        held: bool,
        decision: Decision | None,
        release_at: float = 0.0,
    ) -> None:
        which = (message, number)
        if decision is None and mark != "remove":
            self.db.execute(SQL["recipient-return"], (*which, held))
            return
        if mark == "remove" or decision is None or decision.retry_at is None:
            self.db.execute(SQL["recipient-delete"], which)
            return
        retry_at = max(decision.retry_at, release_at)
        if decision.outcome is None:
            self.db.execute(SQL["recipient-postpone"], (*which, held, retry_at))
            if decision.route is not None:
                hop = hop_id(self.db, decision.route)
                self.db.execute(SQL["recipient-move"], (*which, hop))
                self.inserting.touched.add(hop)
        else:
            last = decision.outcome
            values = (
                last.action,
                last.scope,
                text(str(last.reply)),
                text(last.remote_mta),
                last.at,
                last.marks,
            )
            self.db.execute(SQL["recipient-defer"], (*which, held, retry_at, *values))

    def obey(self, message: int, number: int, mark: str | None, at: float) -> None:
        """Send a recipient, if it is still there, where a person's mark says."""
        try:
            route = marked(mark)[1]
        except UNREADABLE:  # damaged: then it says nothing
            return
        if route is not None:
            hop = hop_id(self.db, route)
            self.db.execute(SQL["recipient-obey"], (message, number, hop, at))
            self.inserting.touched.add(hop)

    def _report(self, reports: Iterable[Draft]) -> None:
        """Queue reports.  An id that is taken by chance is replaced: a report is never lost."""
        for report in reports:
            for again in range(1, 9):
                answers: list[Committed] = []
                report.claim = False
                self.inserting.insert([report], answers)
                error = answers[0].error
                if error is None:
                    break
                number = ident_.decode(report.message.ident)
                if self.db.value(SQL["queued-among"], (numbers([number]),)) is None or again == 8:
                    raise error
                report.message.ident = ident_.report_id(report.message.ident, again)

    def give_back(self, claim: Claim) -> None:
        """Return a claim untried; a lost one is passed over."""
        number = ident_.decode(claim.message.ident)
        rows = self.db.execute(SQL["claimed-of"], (number, claim.owner, claim.token)).fetchall()
        if not rows:
            return
        held = self.db.value(SQL["message-held"], (number,)) is not None
        for recipient, hop, mark, _, _ in rows:
            self._recipient(number, recipient, mark, held, None)
            self.obey(number, recipient, mark, math.inf)  # due when it was
            self.inserting.touched.add(hop)
            self.db.execute(SQL["hop-probe-over"], (hop, claim.owner, claim.token))
        if any(row[2] == "remove" for row in rows):
            self.finish([claim.message.ident])


def record(db: Database, message: int, attempt: Attempt) -> int:
    """Write an attempt down, one row a recipient; its number."""
    number: int = db.value(SQL["attempt-next"], (message,))
    route = attempt.route
    head = (
        message,
        number,
        attempt.started,
        attempt.seconds,
        text(attempt.remote_mta),
        attempt.uncertain,
    )
    for outcome in attempt.outcomes:
        db.execute(
            SQL["attempt-insert"],
            (
                head[0],
                head[1],
                outcome.recipient,
                transport(route),
                route.next_hop,
                route.helo,
                *head[2:],
                outcome.action,
                outcome.scope,
                text(str(outcome.reply)),
                text(outcome.remote_mta),
                outcome.at,
                outcome.marks,
            ),
        )
    if number > MAX_ATTEMPTS:
        db.execute(SQL["attempts-old"], (message, number - MAX_ATTEMPTS))
        db.execute(SQL["transcripts-old"], (message, number - MAX_ATTEMPTS))
    return number


def keep_transcript(db: Database, message: int, number: int, attempt: Attempt) -> None:
    """Keep what was said in attempt `number`, instead of what was at that next hop before."""
    hop = hop_id(db, attempt.route)
    db.execute(SQL["transcript-forget"], (message, hop))
    if attempt.transcript:
        db.execute(SQL["transcript-keep"], (message, hop, number, kept(attempt.transcript)))


def _simple(one: Settlement, owner: int) -> bool:
    """Whether the settlement removes all its claim's recipients and does nothing else."""
    claim = one.claim
    if (
        claim.owner != owner
        or one.hold is not None
        or one.reports
        or one.also
        or len(one.decisions) != len(claim.pending)
    ):
        return False
    if claim.suspect or (claim.hop is not None and claim.hop.failures):
        return False
    done = {decision.number for decision in one.decisions if decision.retry_at is None}
    return all(pending.number in done for pending in claim.pending)
