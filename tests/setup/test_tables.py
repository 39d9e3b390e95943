"""``[[table]]``, and what routes refer to: errors have their place, and what is shared is one."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import apsw
import pytest
from mail import heard

from mether.outcome import Route
from mether.routing.callahead import CallAhead
from mether.routing.source import TableError
from mether.setup.config import loads
from mether.setup.locate import ConfigError
from mether.setup.tables import Table, Tables, troubles


def wrong(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        loads(text, "f.toml", environ={})
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('file = "x"', 'f.toml:1: table.name: missing; expected one, for routes to say "table:NAME"'),
        ('name = "a b"\nfile = "x"', "f.toml:2: table.name: expected a name of letters, digits"),
        ('name = "a"', "f.toml:1: table: expected one of file, sqlite, postgres, passwd beside name"),
        (
            'name = "a"\nfile = "x"\npasswd = true',
            "f.toml:4: table.passwd: contradicts file: a table has one of file, sqlite, postgres, passwd",
        ),
        (
            'name = "a"\nsqlite = "x"',
            'f.toml:1: table.query: missing; expected one such as "SELECT mailbox FROM users WHERE address',
        ),
        ('name = "a"\nfile = "x"\nquery = "q"', "f.toml:4: table.query: is for sqlite and postgres only"),
        ('name = "a"\npasswd = true\nformat = "map"', "f.toml:4: table.format: is for file only"),
        ('name = "a"\nfile = "x"\ncache = "1s"', "f.toml:4: table.cache: is for sqlite and postgres only"),
        ('name = "a"\nfile = "x"\nformat = "alias"', 'expected "map" or "aliases" (did you mean "aliases"?)'),
        ('name = "a"\npostgres = "db"\nquery = "q"', "f.toml:3: table.postgres: expected a URL such as"),
        ('name = "a"\nfiel = "x"', "f.toml:3: table.fiel: unknown key (did you mean file?)"),
        (
            'name = "a"\nfile = "x"\n[[table]]\nname = "a"\nfile = "y"',
            "f.toml:5: table.name: there is a table a already, on line 1",
        ),
    ],
)
def test_a_table_that_is_wrong_is_an_error_with_its_place(text: str, said: str) -> None:
    assert said in wrong(f"[[table]]\n{text}\n")


def test_a_postgres_table_without_asyncpg_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = '[[table]]\nname = "a"\npostgres = "postgresql:///d"\nquery = "q"\n'
    assert wrong(text) == (
        "f.toml:3: table.postgres: needs asyncpg, which is not installed; "
        "expected: pip install 'mether[postgres]'"
    )


@pytest.mark.parametrize("key", ["users", "recipient", "sender", "domains"])
def test_a_table_that_is_not_there_is_an_error_with_the_nearest_name(key: str) -> None:
    text = f'[[table]]\nname = "people"\npasswd = true\n[[route]]\n{key} = ["table:poeple"]\nmaildir = "m"\n'
    assert wrong(text).startswith(f"f.toml:5: route.{key}: ")
    assert "did you mean table:people?" in wrong(text)


def test_a_reference_gives_its_table_and_anything_else_stays(tmp_path: Path) -> None:
    (tmp_path / "domains").write_text("example.org\n")
    tables = Tables([Table(name="people", passwd=True)], str(tmp_path / "mether.toml"))
    star, people, domains = tables.patterns(["*", "table:people", "file:domains"])
    assert star == "*" and not isinstance(people, str) and not isinstance(domains, str)
    assert people.get("root") == "root" and domains.get("example.org") == ""
    with pytest.raises(ValueError, match=r'there is no .* \(did you mean "table:people"\?\)'):
        tables.patterns(["table:peple"])
    with pytest.raises(ValueError, match='expected "file:" and a path'):
        tables.patterns(["file:"])


def test_what_several_routes_refer_to_is_read_once(tmp_path: Path) -> None:
    tables = Tables(
        [Table(name="people", file=str(tmp_path / "people")), Table(name="users", passwd=True)],
        str(tmp_path / "mether.toml"),
    )
    assert tables.source("table:people") is tables.source("table:people")
    assert tables.source("file:list") is tables.source(f"file:{tmp_path}/list")
    assert tables.users(["passwd"])[0] is tables.source("table:users")
    assert tables.aliases(["aliases"])[0] is tables.aliases([f"{tmp_path}/aliases"])[0]


def test_users_may_stand_in_the_configuration_itself() -> None:
    (users,) = Tables().users(["Ann", "bob@Bücher.example"])
    assert users.get("ann") == "" and users.get("bob@xn--bcher-kva.example") == ""
    assert users.get("bob") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tabel:people", r"'tabel:people' is no user \(did you mean \"table:people\"\?\); expected"),
        ("callahead", "asks the target of smtp, lmtp or mx, and this route has none"),
    ],
)
def test_a_user_that_can_be_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Tables().users([text])


def test_a_call_ahead_asks_the_target_of_its_own_route() -> None:
    config = loads(
        '[[route]]\ndomains = ["example.org"]\nlmtp = "unix:/run/lmtp"\nusers = ["callahead"]\n', environ={}
    )
    (rule,) = config.router().rules
    assert rule.users is not None
    (users,) = rule.users
    assert isinstance(users, CallAhead)
    assert users._route("example.org") == Route("lmtp", "unix:/run/lmtp")


def test_aliases_are_in_the_syntax_of_sendmail(tmp_path: Path) -> None:
    (tmp_path / "aliases").write_text("postmaster: root\n")
    tables = Tables(
        [Table(name="virtual", file=str(tmp_path / "aliases"), format="aliases")],
        str(tmp_path / "mether.toml"),
    )
    one, other = tables.aliases(["aliases", "table:virtual"])
    assert one is other and one.get("postmaster") == "root"


def test_a_configuration_gives_tables_that_work(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("ann@example.org\n")
    database = apsw.Connection(str(tmp_path / "db"))
    database.execute("CREATE TABLE u (a, b); INSERT INTO u VALUES ('bob@example.org', 'box')")
    config = loads(
        '[[table]]\nname = "l"\nfile = "list"\n'
        '[[table]]\nname = "d"\nsqlite = "db"\nquery = "SELECT b FROM u WHERE a = ?"\ncache = "1m"\n'
        '[[route]]\nrecipient = ["table:l", "table:d"]\ndiscard = true\n',
        str(tmp_path / "mether.toml"),
        environ={},
    )
    assert list(troubles(config)) == []
    rule = config.router().rules[0]
    assert rule.recipients is not None
    found = [
        rule.recipients.matches(key) for key in ("ann@example.org", "bob@example.org", "eve@example.org")
    ]
    assert found == [True, True, False]


def test_every_table_that_cannot_be_read_is_told_with_its_place(tmp_path: Path) -> None:
    """And those that no route refers to, too."""
    (tmp_path / "bad").write_text("ann 1\nann 2\n")
    (tmp_path / "aliases").write_text("no colon\n")
    apsw.Connection(str(tmp_path / "db")).execute("CREATE TABLE u (a, b)")
    path = str(tmp_path / "mether.toml")
    config = loads(
        '[[table]]\nname = "bad"\nfile = "bad"\n'
        '[[table]]\nname = "query"\nsqlite = "db"\nquery = "SELECT b FROM u"\n'
        '[[table]]\nname = "gone"\nsqlite = "gone"\nquery = "SELECT b FROM u WHERE a = ?"\n'
        '[[table]]\nname = "alias"\nfile = "aliases"\nformat = "aliases"\n'
        '[[route]]\nrecipient = ["file:missing"]\naliases = ["lost"]\nmaildir = "m"\n',
        path,
        environ={},
    )
    assert [line.replace(str(tmp_path), "DIR") for line in troubles(config)] == [
        "DIR/mether.toml:17: route.recipient: DIR/missing: No such file or directory",
        "DIR/mether.toml:18: route.aliases: DIR/lost: No such file or directory",
        "DIR/mether.toml:3: table.file: DIR/bad:2: ann has a line already, which says something else",
        "DIR/mether.toml:7: table.query: DIR/db: expected a statement with one parameter, written ?, "
        "for the key",
        "DIR/mether.toml:10: table.sqlite: DIR/gone: No such file or directory",
        "DIR/mether.toml:14: table.file: DIR/aliases:1: 'no colon' has no colon; expected name: members",
    ]


def test_a_table_that_cannot_be_read_is_a_table_error(tmp_path: Path) -> None:
    (users,) = Tables().users([f"file:{tmp_path}/users"])
    with pytest.raises(TableError, match="users: No such file or directory"):
        users.get("ann")


@pytest.mark.parametrize("query", ["SELEC b FROM u WHERE a = ?", "SELECT b FROM nowhere WHERE a = ?"])
def test_a_statement_that_is_wrong_is_told_at_its_line(tmp_path: Path, query: str) -> None:
    apsw.Connection(str(tmp_path / "db")).execute("CREATE TABLE u (a, b)")
    config = loads(
        f'[[table]]\nname = "d"\nsqlite = "db"\nquery = "{query}"\n', str(tmp_path / "m.toml"), environ={}
    )
    (line,) = troubles(config)
    assert line.startswith(f"{tmp_path}/m.toml:4: table.query: {tmp_path}/db: ")


@pytest.mark.parametrize(
    "table", ['file = "list"', 'sqlite = "list"\nquery = "SELECT 1 FROM u WHERE a = ?"\ncache = "1s"']
)
def test_the_log_names_a_table_in_trouble_and_says_once_that_it_is_over(tmp_path: Path, table: str) -> None:
    config = loads(
        f'[[table]]\nname = "l"\n{table}\n[[route]]\nrecipient = ["table:l"]\ndiscard = true\n',
        str(tmp_path / "m.toml"),
        environ={},
    )
    now = [0.0]
    origin = config.origins["table[0]"]
    source = Tables(config.table, config.path, clock=lambda: now[0], places={"l": origin}).source("table:l")
    assert source is not None
    for _ in range(2):
        with pytest.raises(TableError) as caught:
            source.get("ann")
        assert str(caught.value) == (
            f"table:l at {tmp_path}/m.toml:1: {tmp_path}/list: No such file or directory"
        )
    if table.startswith("file"):
        (tmp_path / "list").write_text("ann\n")
    else:
        apsw.Connection(str(tmp_path / "list")).execute("CREATE TABLE u (a)")
    with heard() as events:
        for at in (10.0, 20.0, 30.0):
            now[0] = at
            source.get("ann")
    assert [fields["what"] for _, fields in events] == [
        f"table:l at {tmp_path}/m.toml:1: {tmp_path}/list: can be read again"
    ]
