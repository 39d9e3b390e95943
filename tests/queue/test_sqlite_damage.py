"""A damaged row of the SQLite queue is held, told of, and stops nothing else.

The damage is done as by another program: SQLite takes any value in any column.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "store"))
from contract import HOP, OTHER, T0, claimed, commit, draft, settlement

from mether.event import mail as event
from mether.queue import ident as ident_
from mether.queue.claim import Hop
from mether.queue.database import FILE
from mether.queue.sqlite import SqliteStore
from mether.queue.store import Filter, Select

BAD = "x'ff00'"
TRIED = "last_action = 'delayed', last_scope = 'host', last_mta = '', last_uncertain = 0"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(str(tmp_path / "spool"), now=T0)
    yield store
    store.close()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The errors that are logged."""
    lines: list[str] = []
    monkeypatch.setattr(event, "error", lambda what, *, ident="": lines.append(f"{ident}: {what}"))
    return lines


def fill(store: SqliteStore, count: int = 6) -> list[str]:
    drafts = [
        draft(f"a{number}@example.net", f"b{number}@example.org", routes=[HOP, OTHER])
        for number in range(count)
    ]
    commit(store, *drafts)
    return [one.message.ident for one in drafts]


def damage(store: SqliteStore, statement: str, *values: object) -> None:
    db = apsw.Connection(f"{store.path}/{FILE}")
    db.execute(statement, values)
    db.close()


def everything(store: SqliteStore, now: float = T0) -> set[str]:
    """What can be claimed, claim after claim; it is delivered."""
    found: set[str] = set()
    for _ in range(50):
        claims = store.claim(4, now)
        found.update(claimed(claims))
        store.settle([settlement(claim) for claim in claims], now=now)
        if (not claims and (due := store.next_due(now)) is None) or (not claims and due > now):  # type: ignore[operator]
            return found
    raise AssertionError("it does not come to an end")


@pytest.mark.parametrize(
    "change",
    [
        f"message SET sender = {BAD}",
        "message SET sender = CAST(x'ff40ff' AS TEXT)",
        "message SET sender = 'a@b' || char(13, 10) || 'RCPT TO:<x@y>'",
        "message SET more = 5",
        "message SET more = '{'",
        f"message SET more = {BAD}",
        "message SET more = '[]'",
        """message SET more = '{"by": 7}'""",
        """message SET more = '{"release": "soon"}'""",
        "message SET arrived = 'yesterday'",
        "message SET arrived = 1e300",
        "message SET expires = 9e999",
        f"message SET warn_at = {BAD}",
        "message SET size = 'large'",
        "message SET size = -1",
        "message SET trace = 'text'",
        f"message SET body = {BAD}",
        f"message SET helo = {BAD}",
        "message SET priority = 99",
        "message SET claims = 9223372036854775807",
        "content SET data = 'text'",
    ],
)
def test_a_damaged_message_is_held_and_the_others_go_on(
    store: SqliteStore, told: list[str], change: str
) -> None:
    idents = fill(store)
    damage(store, f"UPDATE {change} WHERE id = ?", ident_.decode(idents[2]))
    assert everything(store) == {one for one in idents if one != idents[2]}
    assert len([line for line in told if line.startswith(idents[2])]) == 1
    assert "its row in the queue is damaged: " in told[0]
    (left,) = store.entries(Filter())
    assert left.message.ident == idents[2]
    assert left.status == "held"
    assert "damaged" in (left.message.hold or "")
    del told[:]
    assert everything(store, T0 + 10**7) == set()
    assert told == []


@pytest.mark.parametrize(
    "change",
    [
        f"path = {BAD}",
        "path = ''",
        "path = 'a@b' || char(10)",
        f"notify = {BAD}",
        "attempts = 'many'",
        "attempts = -1",
        "last_action = 'delayed'",
        f"{TRIED}, last_at = 1, last_reply = {BAD}",
        f"{TRIED}, last_at = 'x', last_reply = '451 4.0.0 no'",
        "next_attempt = 'soon'",
        f"next_attempt = {BAD}",
    ],
)
def test_so_it_is_with_a_damaged_recipient(store: SqliteStore, told: list[str], change: str) -> None:
    idents = fill(store)
    damage(store, f"UPDATE recipient SET {change} WHERE message = ? AND number = 0", ident_.decode(idents[2]))
    gone = everything(store)
    gone |= everything(store, T0 + 10**7)
    assert gone >= {one for one in idents if one != idents[2]}
    (left,) = store.entries(Filter())
    assert left.message.ident == idents[2]
    assert "damaged" in (left.message.hold or "")


def test_what_a_listing_shows_of_it(store: SqliteStore) -> None:
    idents = fill(store, 3)
    damage(store, f"UPDATE message SET sender = {BAD} WHERE id = ?", ident_.decode(idents[0]))
    damage(
        store, f"UPDATE recipient SET path = {BAD} WHERE message = ? AND number = 0", ident_.decode(idents[1])
    )
    first, second, third = store.entries(Filter())
    assert first.message.ident == idents[0]
    assert first.message.hold == "damaged: see mether fsck"
    assert [str(row.recipient.forward_path) for row in first.rows] == ["a0@example.net", "b0@example.org"]
    assert second.message.hold is not None
    assert [str(row.recipient.forward_path) for row in second.rows] == ["b1@example.org"]
    assert third.message.hold is None


def test_a_message_whose_row_is_gone(store: SqliteStore, told: list[str]) -> None:
    idents = fill(store)
    damage(store, "DELETE FROM message WHERE id = ?", ident_.decode(idents[0]))
    assert everything(store) == set(idents[1:])
    assert "the message has no row" in told[0]


@pytest.mark.parametrize(
    "change",
    [
        "failures = 'x'",
        "not_before = 'x'",
        f"last = {BAD}",
        "last = CAST(x'ff' AS TEXT)",
        f"suspended = {BAD}",
    ],
)
def test_the_troubles_of_a_next_hop_that_are_damaged_are_forgotten(
    store: SqliteStore, told: list[str], change: str
) -> None:
    idents = fill(store)
    store.apply(hops=[Hop(HOP, failures=1, not_before=T0 - 1, last="no")], now=T0)
    damage(store, f"UPDATE next_hop SET {change} WHERE next_hop = ?", HOP.next_hop)
    assert everything(store) == set(idents)
    assert "next hop" in told[0]
    assert store.hops() == []


def test_an_owner_whose_time_is_damaged(store: SqliteStore) -> None:
    idents = fill(store)
    store.claim(1, T0)
    damage(store, f"UPDATE owner SET until = {BAD}")
    other = SqliteStore(store.path, now=T0)
    assert everything(other) >= set(idents[1:])
    assert store.renew(T0 + 60, T0)
    other.close()


def test_what_was_tried_is_told_but_for_the_damaged_rows(store: SqliteStore) -> None:
    (ident,) = fill(store, 1)
    for claim in store.claim(2, T0):
        store.settle([settlement(claim, T0 + 60)], now=T0)
    assert len(store.attempts(ident)) == 2
    damage(store, f"UPDATE attempt SET reply = {BAD} WHERE number = 1")
    assert len(store.attempts(ident)) == 1


def test_a_warning_is_settled_whatever_else_is_known_of_the_message(store: SqliteStore) -> None:
    (ident,) = fill(store, 1)
    claims = store.claim(2, T0)
    damage(store, "UPDATE message SET more = '{' WHERE id = ?", ident_.decode(ident))
    warned = [settlement(claim, T0 + 60, warned=True, warn_at=T0 + 90) for claim in claims]
    assert store.settle(warned, now=T0) == []
    assert store.change(Filter(), "retry", now=T0) == 1
    assert store.start(HOP.next_hop, now=T0, limit=10) == 1
    assert store.claim(5, T0, Select(not_since=T0 + 9)) == []
    (left,) = store.entries(Filter())
    assert left.status == "held"
