"""What one transaction does to the SQLite queue: drafts in, settlements out.

Everything here runs inside `Database.write`.  The common case takes few statements a batch, whatever
its size, because each step of SQLite releases the GIL and a busy loop beside it may keep it: drafts go in
by multi-row INSERTs, and claims whose recipients are all done with go out by one DELETE a table.
When a transaction raises one of BAD it is undone and done again with `careful` set: draft by draft, each
in a savepoint (which costs copies of pages), so that a bad one fails alone.  A settlement that cannot be
written down fails the transaction: only what lost its claim is refused.
"""

from __future__ import annotations

import apsw

from mether.address import path_text
from mether.queue import ident as ident_
from mether.queue.claim import Claim, Pending
from mether.queue.content import SMALL, in_memory
from mether.queue.spool import Staged
from mether.queue.sql import load
from mether.queue.sqlite_rows import more, text
from mether.queue.store import Committed, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, Final

    from mether.outcome import Attempt, Route
    from mether.queue.claim import Decision, Hop, Settlement
    from mether.queue.content import Content
    from mether.queue.database import Database
    from mether.queue.message import Draft
    from mether.queue.spool import Spool

SQL: Final = load("statements.sql")
ABOVE: Final = 10
"""Above every priority (RFC 6710 section 3: -9 to 9)."""
MAX_ATTEMPTS: Final = 100
"""Attempts kept for a message; older ones are forgotten."""

FEW: Final = 8
"""Claims up to which one DELETE each costs less than one for all, which builds tables for its lists."""

_SIZES = (32, 16, 8, 4, 2, 1)


def _sized(head: str, width: int) -> tuple[int, dict[int, str]]:
    """An INSERT's number of columns, and its text for each number of rows it is used with."""
    row = "(" + ",".join("?" * width) + ")"
    return width, {size: f"INSERT INTO {head} VALUES " + ",".join([row] * size) for size in _SIZES}


_MESSAGE = _sized(
    "message (id, sender, body, declared, smtputf8, requiretls, ret, envid, arrived, protocol, "
    "address, host, helo, login, trace, size, expires, warn_at, hold, priority, large, claims, more)",
    23,
)
_CONTENT = _sized("content (id, data)", 2)
_RECIPIENT = _sized(
    "recipient (message, number, path, orcpt, notify, hop, pinned, state, next_attempt, deadline, "
    "owner, token, priority)",
    13,
)
# What a bad draft can raise, as against what a bad disk does.
BAD = (
    apsw.ConstraintError,
    apsw.TooBigError,
    apsw.MismatchError,
    apsw.RangeError,
    UnicodeError,
    TypeError,
    ValueError,
    OverflowError,
)


def numbers(values: Iterable[int]) -> str:
    """A list parameter of a statement."""
    return "[" + ",".join(map(str, values)) + "]"


def hop_id(db: Database, route: Route) -> int:
    """The row of a next hop, made when it is new."""
    key = (route.transport, route.next_hop, route.helo)
    found = db.hops.get(key)
    if found is None:
        found = db.value(SQL["hop-find"], key)
        if found is None:
            db.execute(SQL["hop-insert"], key)
            found = db.connection.last_insert_rowid()
        if len(db.hops) >= 10_000:
            db.hops.clear()
        db.hops[key] = found
    return found


def learn(db: Database, hops: Sequence[Hop], touched: set[int]) -> None:
    """Remember what was found out about next hops."""
    for hop in hops:
        number = hop_id(db, hop.route)
        db.execute(SQL["hop-learn"], (number, hop.failures, hop.not_before, text(hop.last)))
        touched.add(number)


def refresh(db: Database, hops: Iterable[int]) -> None:
    """Bring `ready` of next hops up to date, after their waiting recipients or their state changed."""
    for number in hops:
        earliest = [db.value(SQL["first-at-hop"], (number, one)) for one in priorities(db, number)]
        db.execute(SQL["hop-refresh"], (number, min(earliest, default=None)))


def priorities(db: Database, hop: int) -> Iterator[int]:
    """The priorities of what waits at a next hop, the highest first: each is one seek of `recipient_due`.

    One recursive statement for all of it takes three times as long where there is but one priority.
    """
    priority = db.value(SQL["priority-below"], (hop, ABOVE))
    while priority is not None:
        yield priority
        priority = db.value(SQL["priority-below"], (hop, priority))


class Inserting:
    """Drafts of one transaction, being inserted."""

    def __init__(
        self, db: Database, spool: Spool, owner: int, token: int, now: float, *, careful: bool = False
    ) -> None:
        self.careful = careful
        self.db = db
        self.spool = spool
        self.owner = owner
        self.token = token
        self.now = now
        self.touched: set[int] = set()

    def insert(self, drafts: Sequence[Draft], answers: list[Committed]) -> None:
        """Queue the drafts that can be; an answer for each is appended, in order."""
        each: list[Committed | None] = []
        taken: set[int] = set()
        keys: dict[str, str] = {}
        numbered: list[tuple[int, Draft]] = []
        for draft in drafts:
            answer = None
            try:
                number = _number(draft)
                if number in taken:
                    raise StoreError(f"the id {draft.message.ident} is already queued")
                if draft.key is not None:
                    answer = self._known(draft, keys)
                    keys.setdefault(draft.key, draft.message.ident)
            except StoreError as error:
                answer = Committed(draft.message.ident, error=error)
            if answer is None:
                taken.add(number)
                numbered.append((number, draft))
            each.append(answer)
        queued = {row[0] for row in self.db.execute(SQL["queued-among"], (numbers(taken),))} if taken else ()
        fresh = [(number, draft) for number, draft in numbered if number not in queued]
        results = self._all(fresh)
        waiting = iter(numbered)
        for answer in each:
            if answer is not None and answer.known and answer.ident in keys.values():
                named = results.get(ident_.decode(answer.ident))
                if named is None or named.error is not None:
                    why = StoreError(f"the message {answer.ident} of the same submission key was not queued")
                    answer = Committed(answer.ident, error=why)
            if answer is None:
                number, draft = next(waiting)
                answer = results.get(number) or Committed(
                    draft.message.ident, error=StoreError(f"the id {draft.message.ident} is already queued")
                )
            answers.append(answer)

    def _known(self, draft: Draft, keys: dict[str, str]) -> Committed | None:
        assert draft.key is not None
        if draft.key in keys:
            return Committed(keys[draft.key], known=True)
        try:
            found = self.db.value(SQL["key-known"], (draft.key, self.now))
        except UnicodeError:
            raise StoreError("the submission key is no text") from None
        return None if found is None else Committed(ident_.encode(found), known=True)

    def _all(self, drafts: list[tuple[int, Draft]]) -> dict[int, Committed]:
        """An answer by number for drafts whose ids are free."""
        answers: dict[int, Committed] = {}
        files: dict[int, Staged] = {}
        for number, draft in drafts:
            try:
                file = self._file(draft)
            except StoreError as error:
                answers[number] = Committed(draft.message.ident, error=error)
                continue
            if file is not None:
                files[number] = file
        if files:
            try:
                self.spool.place(list(files.values()))
            except OSError:
                for number, draft in drafts:
                    if number in files and files[number] is not draft.content:
                        files[number].discard()
                raise
        good = [each for each in drafts if each[0] not in answers]
        if self.careful:
            done = [self._alone(number, draft, files) for number, draft in good]
        else:
            done = self._rows(good, files)
        answers.update((number, answer) for (number, _), answer in zip(good, done, strict=True))
        return answers

    def _alone(self, number: int, draft: Draft, files: dict[int, Staged]) -> Committed:
        self.db.execute("SAVEPOINT draft")
        try:
            return self._rows([(number, draft)], files)[0]
        except BAD as error:
            self.db.execute("ROLLBACK TO draft")
            self.db.hops.clear()
            why = StoreError(f"the message {draft.message.ident} cannot be stored: {error}")
            return Committed(draft.message.ident, error=why)
        finally:
            self.db.execute("RELEASE draft")

    def _file(self, draft: Draft) -> Staged | None:
        content = draft.content
        if isinstance(content, Staged):
            return content
        assert isinstance(content, bytes)
        if len(content) <= SMALL:
            return None
        file = self.spool.stage(draft.message.ident)
        try:
            file.write(content)
            file.sync()
        except StoreError:
            file.discard()
            raise
        return file

    def _rows(self, drafts: list[tuple[int, Draft]], files: dict[int, Staged]) -> list[Committed]:
        messages: list[Any] = []
        contents: list[Any] = []
        recipients: list[Any] = []
        answers = []
        for number, draft in drafts:
            message, claims = draft.message, []
            envelope, arrival = message.envelope, message.arrival
            release_at, priority = message.release_at, envelope.priority
            claim = draft.claim and message.hold is None and release_at <= self.now
            due = draft.due if draft.due >= release_at else release_at
            tokens: dict[int, Claim] = {}
            deadline, hold = message.deadline, message.hold
            content: Content | None = None
            if number not in files:
                data = draft.content
                assert isinstance(data, bytes)
                content = in_memory(data)
                contents += (number, data)
            state = 1 if claim else 0 if hold is None else 2
            for position, (recipient, route) in enumerate(
                zip(envelope.recipients, draft.routes, strict=True)
            ):
                hop = hop_id(self.db, route)
                owner = token = None
                if claim:
                    mine = tokens.get(hop)
                    if mine is None:
                        self.token += 1
                        mine = Claim(
                            message,
                            route,
                            [],
                            owner=self.owner,
                            token=self.token,
                            settlement=len(tokens) + 1,
                            content=content,
                        )
                        tokens[hop] = mine
                        claims.append(mine)
                    owner, token = mine.owner, mine.token
                    mine.pending.append(Pending(position, recipient, next_attempt=due, pinned=draft.pinned))
                else:
                    self.touched.add(hop)
                recipients += (
                    number,
                    position,
                    str(recipient.forward_path),
                    recipient.orcpt,
                    recipient.notify,
                    hop,
                    draft.pinned,
                    state,
                    due,
                    deadline,
                    owner,
                    token,
                    priority,
                )
            messages += (
                number,
                path_text(envelope.reverse_path),
                envelope.body,
                envelope.size,
                envelope.smtputf8,
                envelope.requiretls,
                envelope.ret,
                envelope.envid,
                arrival.at,
                arrival.protocol,
                arrival.address,
                arrival.host,
                arrival.helo,
                arrival.login,
                message.trace,
                message.size,
                message.expires,
                message.warn_at,
                hold,
                priority,
                number in files,
                len(claims),
                more(message),
            )
            answers.append(Committed(message.ident, claims))
        self._many(_MESSAGE, messages)
        self._many(_CONTENT, contents)
        self._many(_RECIPIENT, recipients)
        for number, draft in drafts:
            if draft.key is not None:
                self.db.execute(SQL["key-forget"], (self.now,))
                self.db.execute(SQL["key-remember"], (draft.key, number, draft.key_until))
        return answers

    def _many(self, insert: tuple[int, dict[int, str]], values: list[Any]) -> None:
        width, statements = insert
        at = 0
        for size, statement in statements.items():
            while len(values) - at >= size * width:
                self.db.execute(statement, values[at : at + size * width])
                at += size * width


def _number(draft: Draft) -> int:
    """The draft's number.  Raises StoreError when the draft cannot be queued at all."""
    message = draft.message
    recipients = message.envelope.recipients
    if not recipients or len(draft.routes) != len(recipients):
        raise StoreError(
            f"the message {message.ident} has {len(recipients)} recipients and {len(draft.routes)} routes"
        )
    content = draft.content
    if not isinstance(content, bytes):
        if not isinstance(content, Staged) or content.ident != message.ident:
            raise StoreError(f"the content of {message.ident} was not staged here under that id")
        if not content.synced:
            raise StoreError(f"the content of {message.ident} is not durable")
    try:
        return ident_.decode(message.ident)
    except ValueError as error:
        raise StoreError(str(error)) from None


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
        elif not self._whole(whole):
            refused.update(id(one) for one in whole if not self._one(one))
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
            self._done([one.claim for one in done])
        return lost

    def _whole(self, settlements: list[Settlement]) -> bool:
        """Remove all recipients of all these claims at once; False, nothing done, when one is lost.

        A token is never used twice by its owner, so a row that has one of these tokens belongs to the
        claim with that token: counting them tells whether every claim is intact.
        """
        claims = [one.claim for one in settlements]
        ids = numbers({ident_.decode(claim.message.ident) for claim in claims})
        which = (ids, claims[0].owner, numbers(claim.token for claim in claims))
        expected = sum(len(claim.pending) for claim in claims)
        if self.db.value(SQL["claimed-count"], which) != expected:
            return False
        self.db.execute(SQL["claimed-delete"], which)
        self._done(claims)
        return True

    def _done(self, claims: list[Claim]) -> None:
        """Finish the messages of claims all of whose recipients were removed."""
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

    def _one(self, one: Settlement) -> bool:
        db, claim = self.db, one.claim
        number = ident_.decode(claim.message.ident)
        rows = db.execute(SQL["claimed-of"], (number, claim.owner, claim.token)).fetchall()
        if not rows:
            return False
        if one.hold is not None:
            db.execute(SQL["message-hold"], (number, text(one.hold)))
            db.execute(SQL["recipients-held"], (number,))
        held = db.value(SQL["message-held"], (number,)) is not None
        decisions = {decision.number: decision for decision in one.decisions}
        one.forgo({row[0] for row in rows if row[2] == "remove"})
        for recipient, hop, mark, _, _ in rows:
            self._recipient(number, recipient, mark, held, decisions.get(recipient), claim.message.release_at)
            self.inserting.touched.add(hop)
        for hop in {row[1] for row in rows}:
            db.execute(SQL["hop-probe-over"], (hop, claim.owner, claim.token))
        if any(row[3] for row in rows):
            db.execute(SQL["message-acquit"], (number,))
        if one.warned:
            db.execute(SQL["recipients-warned"], (number, numbers(row[0] for row in rows)))
            if db.value(SQL["recipient-unwarned"], (number,)) is None:
                db.execute(SQL["message-warned"], (number, one.warn_at))
                db.execute(SQL["recipients-unwarned"], (number,))
            db.execute(SQL["recipient-deadlines"], (number,))
        if one.attempt is not None:
            record(db, number, one.attempt)
        self.finish([claim.message.ident])
        return True

    def _recipient(
        self,
        message: int,
        number: int,
        mark: str,
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
            self.inserting.touched.add(hop)
            self.db.execute(SQL["hop-probe-over"], (hop, claim.owner, claim.token))
        if any(row[2] == "remove" for row in rows):
            self.finish([claim.message.ident])


def record(db: Database, message: int, attempt: Attempt) -> None:
    """Write an attempt down, one row a recipient."""
    number = db.value(SQL["attempt-next"], (message,))
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
                route.transport,
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


def _simple(one: Settlement, owner: int) -> bool:
    """Whether the settlement removes all its claim's recipients and does nothing else."""
    claim = one.claim
    if (
        claim.owner != owner
        or one.hold is not None
        or one.reports
        or len(one.decisions) != len(claim.pending)
    ):
        return False
    if claim.suspect or (claim.hop is not None and claim.hop.failures):
        return False
    done = {decision.number for decision in one.decisions if decision.retry_at is None}
    return all(pending.number in done for pending in claim.pending)
