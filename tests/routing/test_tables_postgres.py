"""Tables in PostgreSQL, against what asyncpg promises; tests/system/test_postgres.py has the real ones."""

from __future__ import annotations

import asyncio
import importlib.util
from types import SimpleNamespace
from typing import Any

import pytest

from mether.routing import tables_postgres
from mether.routing.source import Needs, TableError, awaited, settled
from mether.routing.tables_postgres import Postgres, missing, without_password

URL = "postgresql://mether:secret@db.example.org/mail?sslmode=require&password=secret"


class Database:
    """A server, and what was asked of it; as a connection and a statement it is its own."""

    def __init__(self) -> None:
        self.rows: dict[str, object] = {"ann": "1"}
        self.connects = 0
        self.asked: list[str] = []
        self.closed = False
        self.trouble: Exception | None = None
        self.hold: asyncio.Event | None = None
        self.type = "text"

    async def connect(self, url: str, **options: Any) -> Database:
        assert url == URL
        self.connects += 1
        if self.trouble is not None:
            raise self.trouble
        self.closed = False
        return self

    async def prepare(self, query: str) -> Database:
        return self

    def get_parameters(self) -> list[Any]:
        return [SimpleNamespace(name=self.type)]

    def get_attributes(self) -> list[str]:
        return ["mailbox"]

    async def fetchrow(self, key: str) -> list[object] | None:
        self.asked.append(key)
        if self.hold is not None:
            await self.hold.wait()
        if self.closed:
            raise ConnectionError("connection was closed in the middle of operation")
        if self.trouble is not None:
            raise self.trouble
        return [self.rows[key]] if key in self.rows else None

    def is_closed(self) -> bool:
        return self.closed

    def terminate(self) -> None:
        self.closed = True

    async def close(self, *, timeout: float) -> None:
        self.closed = True


class Time:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def table(database: Database, clock: Time | None = None, keep: float = 5.0) -> Postgres:
    return Postgres(
        URL, "SELECT 1", "table:users", keep=keep, clock=clock or Time(), connect=database.connect
    )


async def look_up(users: Postgres, key: str) -> str | None:
    return await awaited(lambda: users.get(key))


def test_an_answer_has_to_be_waited_for_and_is_kept() -> None:
    database, clock = Database(), Time()
    users = table(database, clock)

    async def ask() -> None:
        with pytest.raises(Needs):
            users.get("ann")
        assert await look_up(users, "ann") == "1"
        assert await look_up(users, "bob") is None
        clock.now = 4.9
        assert users.get("ann") == "1" and users.get("bob") is None
        clock.now = 9.9
        with pytest.raises(Needs):
            users.get("ann")
        await users.close()

    asyncio.run(ask())
    assert database.connects == 1 and database.asked == ["ann", "bob"] and database.closed


def test_who_asks_for_the_same_waits_for_the_same_answer() -> None:
    database = Database()
    users = table(database)

    async def ask() -> list[str | None]:
        try:
            return await asyncio.gather(*(look_up(users, "ann") for _ in range(50)))
        finally:
            await users.close()

    assert asyncio.run(ask()) == ["1"] * 50
    assert database.asked == ["ann"]


def test_who_gives_up_waiting_takes_the_answer_from_nobody() -> None:
    database = Database()
    users = table(database)

    async def ask() -> str | None:
        database.hold = asyncio.Event()
        impatient = asyncio.create_task(look_up(users, "ann"))
        patient = asyncio.create_task(look_up(users, "ann"))
        while not database.asked:
            await asyncio.sleep(0)
        impatient.cancel()
        database.hold.set()
        found = await patient
        await users.close()
        return found

    assert asyncio.run(ask()) == "1"


def test_a_failure_is_the_answer_for_a_while_and_for_all_who_wait() -> None:
    """A dead database costs its time once, and the password in its URL is shown to nobody."""
    database, clock = Database(), Time()
    database.trouble = OSError(111, "Connection\nrefused")
    users = table(database, clock)

    async def ask() -> None:
        found = await asyncio.gather(*(look_up(users, f"u{n}") for n in range(20)), return_exceptions=True)
        assert {type(one) for one in found} == {TableError}
        assert str(found[0]) == "postgresql://mether@db.example.org/mail: [Errno 111] Connection refused"
        assert database.connects == 1
        database.trouble = None
        with pytest.raises(TableError):
            users.get("ann")
        clock.now = tables_postgres.AGAIN
        assert await look_up(users, "ann") == "1"
        await users.close()

    asyncio.run(ask())


def test_a_connection_that_the_server_has_ended_is_made_anew() -> None:
    database, clock = Database(), Time()
    users = table(database, clock)

    async def ask() -> None:
        assert await look_up(users, "ann") == "1"
        database.closed = True
        clock.now = 60.0
        assert await look_up(users, "ann") == "1"
        await users.close()

    asyncio.run(ask())
    assert database.connects == 2


def test_a_connection_with_nothing_to_do_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_postgres, "IDLE", 0.0)
    database = Database()
    users = table(database)

    async def ask() -> None:
        await look_up(users, "ann")
        while not database.closed:
            await asyncio.sleep(0)

    asyncio.run(ask())


def test_more_questions_than_can_wait_defer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_postgres, "WAITING", 1)
    database = Database()
    users = table(database)

    async def ask() -> None:
        database.hold = asyncio.Event()
        first = asyncio.create_task(look_up(users, "ann"))
        await asyncio.sleep(0)
        with pytest.raises(TableError, match="1 questions are in hand already"):
            await look_up(users, "bob")
        database.hold.set()
        await first
        await users.close()

    asyncio.run(ask())


def test_an_answer_outlives_the_decision_that_waits_for_it() -> None:
    """However short it is to be kept: or one decision would ask for ever."""
    assert settled(lambda: table_without_time.get("ann")) == "1"


table_without_time = table(Database(), keep=0.0)


def test_a_parameter_that_is_no_text_is_found_by_a_check() -> None:
    database = Database()
    database.type = "int4"
    with pytest.raises(TableError, match="is of type int4; expected text: write"):
        table(database).check()
    assert database.closed


def test_a_check_does_not_hold_up_an_event_loop() -> None:
    database = Database()

    async def check() -> None:
        table(database).check()

    asyncio.run(check())
    assert database.connects == 0


def test_a_missing_asyncpg_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert missing() == "needs asyncpg, which is not installed; expected: pip install 'mether[postgres]'"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "postgresql://mether@db.example.org/mail"),
        ("postgresql:///mail", "postgresql:///mail"),
        ("postgresql://u@h:5433/d", "postgresql://u@h:5433/d"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown
