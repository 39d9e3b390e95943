"""Drafts into the SQLite queue, in one transaction.  (Settlements out of it are `sqlite_settle`.)

Everything here runs inside `Database.write`.  The common case takes few statements a batch, whatever
its size, because each step of SQLite releases the GIL and a busy loop beside it may keep it: drafts go in
by multi-row INSERTs.  When a transaction raises one of BAD it is undone and done again with `careful` set:
draft by draft, each in a savepoint (which costs copies of pages), so that a bad one fails alone.

A draft that asks to be claimed comes back unclaimed for a next hop that is suspended or has failures behind
it: the schedule decides there, and the process that asked may know less than the queue.
"""

from __future__ import annotations

import apsw

from mether.address import path_text
from mether.queue import ident as ident_
from mether.queue.claim import Claim, Pending
from mether.queue.content import SMALL, in_memory
from mether.queue.spool import Staged
from mether.queue.sqlite_hops import SQL, hop_id, numbers, refresh
from mether.queue.sqlite_rows import more
from mether.queue.store import Committed, StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

    from mether.queue.content import Content
    from mether.queue.database import Database
    from mether.queue.message import Draft
    from mether.queue.spool import Spool

MOST_ROWS: Final = 32
"""Rows of one INSERT."""


def _sized(head: str, width: int) -> tuple[int, list[str]]:
    """An INSERT's number of columns, and its text for each number of rows."""
    row = "(" + ",".join("?" * width) + ")"
    sizes = range(MOST_ROWS + 1)
    return width, [f"INSERT INTO {head} VALUES " + ",".join([row] * size) for size in sizes]


_MESSAGE = _sized(
    "message (id, sender, body, declared, smtputf8, requiretls, ret, envid, arrived, protocol, "
    "address, host, helo, login, trace, size, expires, warn_at, hold, priority, large, claims, more, "
    "listener)",
    24,
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


class Inserting:
    """Drafts of one transaction, being inserted.

    `touched` are the next hops whose waiting recipients change, `counts` what the running totals grow by.
    """

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
        self.counts = [0, 0, 0, 0]

    def end(self) -> None:
        """Bring up to date what the transaction's changes have a bearing on, before it is committed."""
        refresh(self.db, self.touched)
        if any(self.counts):
            self.db.execute(SQL["total-add"], self.counts)

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
        queued: set[int] = set()
        # An id that is taken shows when its row is inserted, but a file would by then have taken its place.
        if taken and (self.careful or not all(_in_row(draft) for draft in drafts)):
            queued = {row[0] for row in self.db.execute(SQL["queued-among"], (numbers(taken),))}
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
            self.db.forget_hops()
            why = StoreError(f"the message {draft.message.ident} cannot be stored: {error}")
            return Committed(draft.message.ident, error=why)
        finally:
            self.db.execute("RELEASE draft")

    def _file(self, draft: Draft) -> Staged | None:
        content = draft.content
        if isinstance(content, Staged):
            return content
        if _in_row(draft):
            return None
        assert isinstance(content, bytes)
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
            waiting = 0 if hold is None else 2
            for position, (recipient, route) in enumerate(
                zip(envelope.recipients, draft.routes, strict=True)
            ):
                hop = hop_id(self.db, route)
                owner = token = None
                state = waiting
                if claim and not (hop in self.db.troubled and self._blocked(hop)):
                    state = 1
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
                arrival.listener,
            )
            answers.append(Committed(message.ident, claims))
        self._many(_MESSAGE, messages)
        self._many(_CONTENT, contents)
        self._many(_RECIPIENT, recipients)
        self.counts[0] += len(drafts)
        for number, draft in drafts:
            if draft.key is not None:
                self.db.execute(SQL["key-forget"], (self.now,))
                self.db.execute(SQL["key-remember"], (draft.key, number, draft.key_until))
        return answers

    def _blocked(self, hop: int) -> bool:
        """Whether nothing is to go straight through to a next hop in trouble."""
        failures, suspended, until = self.db.execute(SQL["hop-trouble"], (hop,)).fetchone()
        try:
            return failures > 0 or (suspended is not None and (until is None or self.now < until))
        except TypeError:  # damaged: the next claim there looks closer
            return True

    def _many(self, insert: tuple[int, list[str]], values: list[Any]) -> None:
        width, statements = insert
        most = MOST_ROWS * width
        for at in range(0, len(values), most):
            part = values[at : at + most]
            self.db.execute(statements[len(part) // width], part)


def _in_row(draft: Draft) -> bool:
    """Whether the content goes into the database, not into a file."""
    content = draft.content
    return isinstance(content, bytes) and len(content) <= SMALL


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
