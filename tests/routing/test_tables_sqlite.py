"""A table in an SQLite database: real files, statements good and bad, and others that work on it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import apsw
import pytest

from mether.routing import tables_sqlite
from mether.routing.source import TableError
from mether.routing.tables_sqlite import Sqlite

QUERY = "SELECT mailbox FROM users WHERE address = ?"


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Time:
    return Time()


def database(path: Path, *rows: tuple[str, object]) -> apsw.Connection:
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE users (address TEXT PRIMARY KEY, mailbox)")
    connection.executemany("INSERT INTO users VALUES (?, ?)", rows)
    return connection


def test_a_row_is_a_key_that_is_there(tmp_path: Path, clock: Time) -> None:
    database(tmp_path / "db", ("ann@example.org", "ann"), ("bob", 7), ("eve", None), ("joe", ""))
    users = Sqlite(str(tmp_path / "db"), QUERY, "table:users", clock=clock)
    assert users.name == "table:users"
    assert users.get("ann@example.org") == "ann" and users.get("bob") == "7" and users.get("joe") == ""
    assert users.get("eve") is None and users.get("nobody") is None
    users.check()
    asyncio.run(users.learn("ann"))


def test_answers_are_kept_for_some_seconds(tmp_path: Path, clock: Time) -> None:
    """What is not there too: a client that tries names asks the database once for each."""
    connection = database(tmp_path / "db", ("ann", "1"))
    users = Sqlite(str(tmp_path / "db"), QUERY, keep=5.0, clock=clock)
    assert users.get("ann") == "1" and users.get("bob") is None
    connection.execute("DELETE FROM users; INSERT INTO users VALUES ('bob', '2')")
    clock.now = 4.9
    assert users.get("ann") == "1" and users.get("bob") is None
    clock.now = 5.0
    assert users.get("ann") is None and users.get("bob") == "2"


def test_a_database_that_another_was_renamed_over_is_opened_anew(tmp_path: Path, clock: Time) -> None:
    database(tmp_path / "db", ("ann", "1"))
    users = Sqlite(str(tmp_path / "db"), QUERY, keep=0.0, clock=clock)
    assert users.get("ann") == "1"
    database(tmp_path / "new", ("ann", "2")).close()
    (tmp_path / "new").rename(tmp_path / "db")
    clock.now = tables_sqlite.CHECK
    assert users.get("ann") == "2"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT mailbox FROM users", "expected a statement with one parameter, written ?, for the key"),
        ("SELECT ? FROM users WHERE address = ?", "expected a statement with one parameter"),
        ("SELECT mailbox FROM people WHERE address = ?", "no such table: people"),
        ("SELEKT ?", 'near "SELEKT": syntax error'),
        ("DELETE FROM users WHERE address = ?", "the statement may not do this: expected SELECT"),
        ("ATTACH ? AS other", "the statement may not do this: expected SELECT"),
        (QUERY + "; SELECT 2", "expected one statement, and there is something behind it"),
    ],
)
def test_a_statement_that_is_wrong_is_found_by_a_check(
    tmp_path: Path, clock: Time, query: str, said: str
) -> None:
    database(tmp_path / "db", ("ann", "1"))
    users = Sqlite(str(tmp_path / "db"), query, clock=clock)
    with pytest.raises(TableError) as error:
        users.check()
    assert str(error.value).startswith(f"{tmp_path}/db: {said}")
    assert list(apsw.Connection(str(tmp_path / "db")).execute("SELECT * FROM users")) == [("ann", "1")]


def test_a_database_that_is_gone_defers_and_is_tried_again(tmp_path: Path, clock: Time) -> None:
    users = Sqlite(str(tmp_path / "db"), QUERY, clock=clock)
    with pytest.raises(TableError, match="db: No such file or directory"):
        users.get("ann")
    database(tmp_path / "db", ("ann", "1"))
    with pytest.raises(TableError):
        users.get("ann")  # a dead database costs no time at every recipient
    clock.now = tables_sqlite.AGAIN
    assert users.get("ann") == "1"
    (tmp_path / "db").unlink()
    clock.now += 60
    with pytest.raises(TableError):
        users.get("ann")


def test_a_file_that_is_no_database_defers(tmp_path: Path, clock: Time) -> None:
    (tmp_path / "db").write_text("this is no database " * 100)
    with pytest.raises(TableError, match="db: file is not a database"):
        Sqlite(str(tmp_path / "db"), QUERY, clock=clock).get("ann")


def test_a_pipe_is_no_database(tmp_path: Path, clock: Time) -> None:
    """SQLite would wait until somebody writes to it, and everybody with it."""
    os.mkfifo(tmp_path / "db")
    users = Sqlite(str(tmp_path / "db"), QUERY, clock=clock)
    for look in (users.check, lambda: users.get("ann")):
        with pytest.raises(TableError, match="db: expected a file, and this is none"):
            look()


def test_a_locked_database_defers(tmp_path: Path, clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_sqlite, "BUSY", 0.0)
    writer = database(tmp_path / "db", ("ann", "1"))
    writer.execute("BEGIN EXCLUSIVE")
    users = Sqlite(str(tmp_path / "db"), QUERY, clock=clock)
    with pytest.raises(TableError, match="db: the database is locked by whoever writes to it"):
        users.get("ann")
    writer.execute("COMMIT")
    clock.now = tables_sqlite.AGAIN
    assert users.get("ann") == "1"


def test_a_statement_that_runs_away_is_ended(tmp_path: Path) -> None:
    database(tmp_path / "db", ("ann", "1"))

    class Running(Time):
        def __call__(self) -> float:
            self.now += 0.01
            return self.now

    forever = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i = ?"
    with pytest.raises(
        TableError, match="db: the statement took longer than 1 s: expected one with an index"
    ):
        Sqlite(str(tmp_path / "db"), forever, clock=Running()).get("no number")


@pytest.mark.parametrize("value", [b"\x00\x01", "two\nlines", "x" * 10_001])
def test_a_value_that_is_no_line_of_text_defers_for_its_key_alone(
    tmp_path: Path, clock: Time, value: object
) -> None:
    database(tmp_path / "db", ("ann", value), ("bob", "1"))
    users = Sqlite(str(tmp_path / "db"), QUERY, clock=clock)
    with pytest.raises(TableError, match="db: the statement gives no line of text for 'ann'"):
        users.get("ann")
    assert users.get("bob") == "1"


def test_a_hundred_thousand_entries_and_the_last_of_them(tmp_path: Path, clock: Time) -> None:
    connection = database(tmp_path / "db")
    with connection:
        connection.executemany(
            "INSERT INTO users VALUES (?, ?)", ((f"user{n}@example.org", f"box{n}") for n in range(100_000))
        )
    users = Sqlite(str(tmp_path / "db"), QUERY, clock=clock)
    assert users.get("user99999@example.org") == "box99999"
