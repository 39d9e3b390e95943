"""Tables in a real PostgreSQL, by a real asyncpg."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from daemon import Client, Daemon
from postgresql import Postgresql

from mether.routing.source import Needs, TableError, awaited, settled
from mether.routing.tables_postgres import Postgres

asyncpg = pytest.importorskip("asyncpg")

QUERY = "SELECT mailbox FROM users WHERE address = $1"


@pytest.fixture(scope="module")
def server(postgresql: Callable[[], Postgresql]) -> Iterator[Postgresql]:
    """A server with a table of 100,000 users."""

    async def fill(url: str) -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(
            "CREATE TABLE users (address text PRIMARY KEY, mailbox text);"
            "INSERT INTO users SELECT 'user' || n || '@example.org', 'box' || n "
            "FROM generate_series(1, 100000) n;"
            "INSERT INTO users VALUES ('jörg@example.org', 'jörg'), ('list', E'two\\nlines'), ('none', NULL);"
            "CREATE TABLE numbers (n int); INSERT INTO numbers VALUES (7)"
        )
        await connection.close()

    running = postgresql()
    asyncio.run(fill(running.url))
    yield running
    running.remove()


@pytest.fixture
def run(server: Postgresql) -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs coroutines in one event loop."""
    with asyncio.Runner() as runner:
        yield runner.run


def test_rows_are_keys_and_answers_are_kept(server: Postgresql, run: Callable[..., Any]) -> None:
    users = Postgres(server.url, QUERY, "table:users")

    async def look_up(key: str) -> str | None:
        return await awaited(lambda: users.get(key))

    async def all_at_once() -> list[str | None]:
        keys = ["user1@example.org", "user100000@example.org", "nobody", "jörg@example.org", "none"]
        return await asyncio.gather(*map(look_up, keys))

    with pytest.raises(Needs):
        users.get("nobody")
    assert run(all_at_once()) == ["box1", "box100000", None, "jörg", None]
    assert users.get("user1@example.org") == "box1" and users.get("nobody") is None
    with pytest.raises(TableError, match="the statement gives no line of text for 'list'"):
        run(look_up("list"))
    assert run(look_up("user2@example.org")) == "box2"
    run(users.close())


def test_a_program_without_an_event_loop_waits(server: Postgresql) -> None:
    users = Postgres(server.url, QUERY)
    assert settled(lambda: users.get("user1@example.org")) == "box1"
    assert settled(lambda: users.get("user2@example.org")) == "box2"
    users.check()


def test_a_server_that_was_started_again_is_connected_to_anew(
    server: Postgresql, run: Callable[..., Any]
) -> None:
    """And one that is down defers: 451 4.3.0, and mail waits."""
    now = 0.0
    users = Postgres(server.url, QUERY, keep=1.0, clock=lambda: now)

    async def look_up() -> str | None:
        return await awaited(lambda: users.get("user1@example.org"))

    assert run(look_up()) == "box1"
    server.stop()
    server.start()
    now = 10.0
    assert run(look_up()) == "box1"
    server.stop()
    now = 20.0
    try:
        with pytest.raises(TableError, match="postgresql://mether@/postgres: "):
            run(look_up())
        with pytest.raises(TableError):
            users.get("user2@example.org")
    finally:
        server.start()
    now = 30.0
    assert run(look_up()) == "box1"
    run(users.close())


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (
            "SELECT mailbox FROM users",
            "the statement has 0 parameters; expected one, written $1, for the key",
        ),
        ("SELECT $1::text FROM users WHERE address = $2", "the statement has 2 parameters; expected one"),
        ("SELECT n FROM numbers WHERE n = $1", "$1 is of type int4; expected text: write $1::text"),
        ("SELECT mailbox FROM people WHERE address = $1", 'relation "people" does not exist'),
        ("SELEKT $1", 'syntax error at or near "SELEKT"'),
        ("DELETE FROM users WHERE address = $1", "the statement gives nothing; expected SELECT"),
        ("SELECT 1; SELECT 2", "cannot insert multiple commands into a prepared statement"),
    ],
)
def test_a_statement_that_is_wrong_is_found_by_a_check(server: Postgresql, query: str, said: str) -> None:
    with pytest.raises(TableError) as error:
        Postgres(server.url, query).check()
    assert str(error.value).startswith(f"postgresql://mether@/postgres: {said}")


def test_a_user_that_the_server_does_not_know_defers(server: Postgresql) -> None:
    url = server.url.replace("mether@", "stranger:secret@")
    with pytest.raises(TableError, match='postgresql://stranger@/postgres: role "stranger" does not exist'):
        Postgres(url, QUERY).check()


def test_a_statement_that_takes_too_long_defers(
    server: Postgresql, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mether.routing import tables_postgres

    monkeypatch.setattr(tables_postgres, "LIMIT", 0.2)
    users = Postgres(server.url, "SELECT pg_sleep(60)::text FROM users WHERE address = $1")

    async def look_up() -> str | None:
        return await awaited(lambda: users.get("user1@example.org"))

    with pytest.raises(TableError, match=r"no answer within 0\.2 s"):
        run(look_up())


def test_a_service_asks_at_rcpt_and_defers_while_the_server_is_down(
    server: Postgresql, tmp_path: Path
) -> None:
    routes = (
        f'[[table]]\nname = "users"\npostgres = "{server.url}"\nquery = "{QUERY}"\ncache = "1s"\n'
        '[[route]]\ndomains = ["example.org"]\nusers = ["table:users"]\nmaildir = "pg/{user}"\n'
    )
    smtpd = Daemon(tmp_path, routes=routes, arguments=("--no-runner",))
    try:
        with contextlib.closing(Client(smtpd.port)) as client:
            client.say("EHLO client.example")
            client.say("MAIL FROM:<a@client.example>")
            recipients = [f"RCPT TO:<user{n}@example.org>" for n in (1, 100_000, 100_001)]
            replies = [reply[:9] for reply in client.say(*recipients)]
            assert replies == ["250 2.1.5", "250 2.1.5", "550 5.1.1"]
            server.stop()
            try:
                assert client.say("RCPT TO:<user7@example.org>")[0][:9] == "451 4.3.0"
            finally:
                server.start()
    finally:
        assert smtpd.stop() == 0
    assert "Traceback" not in "".join(smtpd.lines)
