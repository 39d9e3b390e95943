"""`apply` of the directory store: what drafts and settlements mean for the files of a `Batch`.

A draft is checked and becomes a new record, a settlement changes or ends the record it finds, under the
spool's write lock, and its reports become records that wait for it.  In which order they then reach the
disk is the batch's affair (`directory_commit`).
"""

from __future__ import annotations

import os

from mether.queue import directory_errs, directory_keys, directory_recover
from mether.queue import ident as ident_
from mether.queue.claim import Hop
from mether.queue.content import SMALL, in_memory
from mether.queue.directory_commit import Batch
from mether.queue.directory_files import is_ident
from mether.queue.directory_run import DirectoryRunner
from mether.queue.directory_state import Record, ReportOf
from mether.queue.message import Row
from mether.queue.spool import Staged, trouble
from mether.queue.store import Applied, Committed, Damaged, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from mether.queue.claim import Claim, Decision, Settlement
    from mether.queue.message import Draft

MAX_IDS: Final = 100
"""Ids that are looked at for one report."""


class DirectoryWriter(DirectoryRunner):
    """All of `DirectoryStore` that has to do with queueing and settling."""

    def apply(
        self,
        drafts: Sequence[Draft] = (),
        settlements: Sequence[Settlement] = (),
        hops: Sequence[Hop] = (),
        *,
        now: float,
    ) -> Applied:
        batch = Batch(self._files)
        self._settling.clear()
        self._reports.clear()
        try:
            if self._runner < 0 and any(draft.claim for draft in drafts):
                self._become_runner()
            if settlements or hops or any(draft.key is not None for draft in drafts):
                with self._lock:
                    self._recover()
                    return self._apply(batch, drafts, settlements, hops, now)
            return self._apply(batch, drafts, settlements, hops, now)
        except OSError as error:
            raise trouble("cannot write to the queue", error) from None
        finally:
            self._stuck = self._stuck or batch.stuck
            batch.close()

    def _apply(
        self,
        batch: Batch,
        drafts: Sequence[Draft],
        settlements: Sequence[Settlement],
        hops: Sequence[Hop],
        now: float,
    ) -> Applied:
        answers, records = self._drafts(batch, drafts, now)
        originals: dict[str, Record] = {}
        refused: list[Settlement] = []
        done: list[Settlement] = []
        for settlement in settlements:
            (done if self._settle(batch, settlement, originals, now) else refused).append(settlement)
        for original in originals.values():
            batch.put(original)
        if hops:
            self._load_hops()
            self._put_hops(batch, self._index.hops | {hop.route: self._learned(hop) for hop in hops})
        try:
            batch.run()
        finally:
            for settlement in done:
                ident = settlement.claim.message.ident
                if ident not in batch.switched:
                    continue
                for part in settlement.parts:
                    # Before the message's lock is let go: a script run by hand appends to the same file.
                    if part.attempt is not None and originals[ident].rows:
                        directory_errs.append(self._files, ident, part.attempt)
                    self._end(part.claim)
            for ident in batch.switched:
                self._put(ident, originals[ident])
        for report in self._reports:
            self._put(report.message.ident, report)
        for answer, record in zip(answers, records, strict=True):
            if record is not None:
                self._put(answer.ident, record)
        for answer, record, draft in zip(answers, records, drafts, strict=True):
            if record is not None and draft.claim:
                small = isinstance(draft.content, bytes) and len(draft.content) <= SMALL
                content = in_memory(draft.content) if small else None  # type: ignore[arg-type]
                answer.claims = self._claim_fresh(batch, record, content, now)
        gone = [ident for ident, original in originals.items() if not original.rows]
        return Applied(answers, refused, gone)

    def _learned(self, hop: Hop) -> Hop:
        """What was found out about a next hop, with what people decided about it as it stands."""
        known = self._index.hops.get(hop.route)
        return Hop(
            hop.route,
            failures=hop.failures,
            not_before=hop.not_before,
            last=hop.last,
            suspended=None if known is None else known.suspended,
            suspended_until=None if known is None else known.suspended_until,
        )

    def _drafts(
        self, batch: Batch, drafts: Sequence[Draft], now: float
    ) -> tuple[list[Committed], list[Record | None]]:
        answers: list[Committed] = []
        records: list[Record | None] = []
        keys: dict[str, str] = {}
        idents: set[str] = set()
        for draft in drafts:
            ident = draft.message.ident
            record = None
            try:
                key = None if draft.key is None else directory_keys.hashed(draft.key)
                known = None if key is None else keys.get(key) or directory_keys.find(self._files, key, now)
                if known is not None:
                    answers.append(Committed(known, known=True))
                    records.append(None)
                    continue
                if not is_ident(ident):
                    raise StoreError(ident_.trouble(ident))
                if ident in idents or self._files.exists(ident):
                    raise StoreError(f"the queue id {ident[:80]!r} is taken")
                record = self._record(draft)
                record.key = key
                self._add(batch, record, draft)
            except StoreError as error:
                answers.append(Committed(ident, error=error))
                records.append(None)
                continue
            idents.add(ident)
            if key is not None:
                keys[key] = ident
                name = os.path.join(self._files.keys, key + ".new")
                batch.intent(f"{ident}.key", name, directory_keys.text(ident, draft.key_until))
            answers.append(Committed(ident))
            records.append(record)
        return answers, records

    def _record(self, draft: Draft, report: ReportOf | None = None) -> Record:
        envelope = draft.message.envelope
        if not envelope.recipients or len(envelope.recipients) != len(draft.routes):
            raise StoreError(
                f"{draft.message.ident}: {len(envelope.recipients)} recipients and {len(draft.routes)} routes"
            )
        due = max(draft.due, draft.message.release_at)
        rows = [
            Row(number, recipient, route, next_attempt=due, pinned=draft.pinned)
            for number, (recipient, route) in enumerate(zip(envelope.recipients, draft.routes, strict=True))
        ]
        content = draft.content
        size = len(content) if isinstance(content, bytes) else content.size
        return Record(draft.message, rows, octets=size, report=report)

    def _add(self, batch: Batch, record: Record, draft: Draft, report_of: str | None = None) -> None:
        content = draft.content
        if not isinstance(content, bytes | Staged):
            raise StoreError(f"{draft.message.ident}: its content was staged in another store")
        if isinstance(content, Staged) and not content.synced:
            raise StoreError(f"{draft.message.ident}: its content was not synced")
        try:
            batch.add(record, content, report_of)
        except ValueError as error:
            raise StoreError(f"{draft.message.ident}: {error}") from None

    def _settle(self, batch: Batch, settlement: Settlement, originals: dict[str, Record], now: float) -> bool:
        """Put the settlement into the batch; False when one of its claims is not out."""
        ident = settlement.claim.message.ident
        outs = [self._mine(part.claim, ident) for part in settlement.parts]
        if None in outs:
            return False
        try:
            record = originals.get(ident) or self._files.read(ident)
        except Damaged:
            # Changed by hand while it was tried; `check` says how.  It is due again when it is mended.
            record = None
        # Nothing is changed before all claims were looked at: the record may be another settlement's too.
        its = [_rows(record, out) for out in outs if out is not None]
        # A recovery may have completed it, after an error that could not be undone.
        happened = record is not None and settlement.claim.settlement in record.reported
        if record is None or happened or not all(its):
            for out, some in zip(outs, its, strict=True):
                if out is not None and (happened or not some):
                    self._end(out)
            return False
        rows: dict[int, Row] = {}
        gone: set[int] = set()
        for part, some in zip(settlement.parts, its, strict=True):
            rows |= some
            gone |= _decide(part.decisions, some, record.message.release_at, now)
        settlement.forgo({row.number for row in rows.values() if row.mark == "remove"})
        for row in rows.values():
            row.obey()
        if settlement.hold is not None:
            record.message.hold = settlement.hold
        if not any(row.suspect for row in record.rows if row.number not in gone):
            record.strikes = 0
        reports = list(settlement.reports)
        for place, draft in enumerate(reports):
            self._report(batch, settlement, draft, place, sorted(gone), sorted(rows))
        directory_recover.settled(record, settlement.claim.settlement, len(reports), gone)
        record.claims = max(record.claims, *(part.claim.settlement for part in settlement.parts))
        if settlement.warned:
            record.warn(rows, settlement.warn_at)
        originals[ident] = record
        self._settling.update(part.claim.token for part in settlement.parts)
        return True

    def _mine(self, claim: Claim, ident: str) -> Claim | None:
        """The claim as it is out on that message; None where it is not, or is in the batch already."""
        out = self._claims.get(claim.token)
        if claim.owner != self.owner or out is None or out.message.ident != ident:
            return None
        return None if claim.token in self._settling else out

    def _report(
        self,
        batch: Batch,
        settlement: Settlement,
        draft: Draft,
        place: int,
        gone: list[int],
        claimed: list[int],
    ) -> None:
        claim = settlement.claim
        # Done over after a crash, the settlement names the same report.
        first = ident_.report_id(claim.message.ident, claim.settlement) if place == 0 else draft.message.ident
        draft.message.ident = self._free(batch, first, claim)
        report = ReportOf(
            claim.message.ident,
            claim.settlement,
            len(settlement.reports),
            gone,
            warned=claimed if settlement.warned else None,
            warn_at=settlement.warn_at,
        )
        record = self._record(draft, report)
        self._add(batch, record, draft, claim.message.ident)
        self._reports.append(record)

    def _free(self, batch: Batch, ident: str, claim: Claim) -> str:
        """The first of the ids from this one on that no other message has.  Raises StoreError."""
        for again in range(1, MAX_IDS):
            if not (
                batch.adds(ident)
                or directory_recover.taken(self._files, ident, claim.message.ident, claim.settlement)
            ):
                return ident
            ident = ident_.report_id(ident, again)
        raise StoreError(f"{claim.message.ident}: no queue id is free for its report")


def _rows(record: Record | None, out: Claim) -> dict[int, Row]:
    """What is left of a claim's recipients, by number."""
    if record is None:
        return {}
    numbers = {pending.number for pending in out.pending}
    return {row.number: row for row in record.rows if row.number in numbers}


def _decide(
    decisions: Sequence[Decision], rows: Mapping[int, Row], release_at: float, now: float
) -> set[int]:
    """Change the rows of a claim by what was decided of them; the numbers of those that go."""
    gone = set()
    for decision in decisions:
        row = rows.get(decision.number)
        if row is None:
            continue
        if decision.retry_at is None or row.mark == "remove":
            gone.add(row.number)
            continue
        retry_at = decision.retry_at if row.moved is None else min(now, decision.retry_at)
        row.next_attempt = max(retry_at, release_at)
        row.suspect = False
        if decision.route is not None:
            row.route = decision.route
        if decision.outcome is not None:
            row.attempts += 1
            row.last = decision.outcome
    return gone
