"""Tables in files: their lines, how a change is noticed, and that a bad file is never taken for empty."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import pytest

from mether.routing import tables_file
from mether.routing.source import Needs, TableError, awaited
from mether.routing.tables_file import Table, normal_key, parse


class Time:
    """A clock that a test sets; the file's own times count as long past."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float = tables_file.CHECK) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Time:
    return Time()


def table(path: Path, clock: Time) -> Table:
    return Table(str(path), clock=clock, wall=lambda: 0.0)


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(path)


def test_a_line_is_a_key_and_what_the_table_says_of_it(tmp_path: Path, clock: Time) -> None:
    path = tmp_path / "users"
    path.write_text(
        "\ufeff# who is here\n"
        "Ann@Example.ORG\n"
        "sales@example.org \t ann@example.org, bob@example.org  # two\r\n"
        '"Odd # name"@example.org odd\n'
        '  "plain"@example.org\n'
        "\n"
        "c#@example.org sharp\n"
        "@bücher.example books\n"
        ".Bücher.example below\n"
        "JÖRG\n"
        "<>  null\n",
        encoding="utf-8",
    )
    assert dict(table(path, clock).load()) == {
        "ann@example.org": "",
        "sales@example.org": "ann@example.org, bob@example.org",
        "odd # name@example.org": "odd",
        "plain@example.org": "",
        "c#@example.org": "sharp",
        "@xn--bcher-kva.example": "books",
        ".xn--bcher-kva.example": "below",
        "jörg": "",
        "<>": "null",
    }
    assert table(path, clock).get("bob@example.org") is None


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"ann\n\xff\n", "f:2: expected UTF-8, and an octet is not"),
        (b"ann\nbob\0\n", "f:2: expected text, and there is a control character"),
        (b"\n" + b"x" * 10_001, "f:2: longer than 10000 characters"),
        (b"a 1\nb 2\nA 3\n", "f:3: a has a line already, which says something else"),
        (b'a 1\n"b 2\n', 'f:2: expected a second " behind the local-part'),
        (b"root: ann\n", "f:1: expected a key, and 'root:' has a colon: is it of format \"aliases\"?"),
        ("x@..ü\n".encode(), "f:1: 'x@..ü': "),
        (b"1\n2\n3\n4\n", "f: more than 3 entries: expected them in a database (sqlite = ...)"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(data: bytes, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if b"4" in data:
        monkeypatch.setattr(tables_file, "MAX_ENTRIES", 3)
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the whole text is compared
        parse(data, "f")
    assert str(error.value).startswith(said)


def test_a_line_twice_is_no_harm(tmp_path: Path) -> None:
    assert parse(b"ann x\nann x\n", "f") == {"ann": "x"}


@pytest.mark.parametrize("text", ["ann@example.org", "@example.org", ".example.org", "ann", "<>"])
def test_keys_that_are_normal_stay_as_they_are(text: str) -> None:
    assert normal_key(text) == text


def test_a_change_is_noticed_after_a_second(tmp_path: Path, clock: Time) -> None:
    path = tmp_path / "users"
    path.write_text("ann\n")
    users = table(path, clock)
    assert users.get("ann") == "" and users.get("bob") is None
    replace(path, "bob\n")
    clock.pass_by(0.9)
    assert users.get("bob") is None
    clock.pass_by(0.1)
    assert users.get("bob") == "" and users.get("ann") is None


def test_what_did_not_change_is_not_read_again(tmp_path: Path, clock: Time) -> None:
    path = tmp_path / "users"
    path.write_text("ann\n")
    seen = []
    users = tables_file.Reread(
        str(path), lambda data, path: seen.append(path) or {}, clock=clock, wall=lambda: 0.0
    )
    for _ in range(3):
        users.get("ann")
        clock.pass_by()
    assert seen == [str(path)]


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path, clock: Time) -> None:
    """Its time may be the same when it is written once more: the clock of a file system is coarse."""
    path = tmp_path / "users"
    path.write_text("ann\n")
    wall = os.stat(path).st_mtime + 0.001
    users = Table(str(path), clock=clock, wall=lambda: wall)
    assert users.get("ann") == ""
    before = os.stat(path)
    path.write_text("bob\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    clock.pass_by()
    assert users.get("bob") == ""


@pytest.mark.parametrize("how", ["gone", "a directory", "malformed", "too large"])
def test_a_file_that_became_bad_defers_until_it_is_good(
    tmp_path: Path, clock: Time, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the older one nor an empty one: nobody knows who is here now."""
    path = tmp_path / "users"
    path.write_text("ann\n")
    users = table(path, clock)
    assert users.get("ann") == ""
    path.unlink()
    if how == "a directory":
        path.mkdir()
    elif how == "malformed":
        path.write_bytes(b"ann\n\xff\n")
    elif how == "too large":
        monkeypatch.setattr(tables_file, "MAX_FILE", 3)
        path.write_text("ann\n")
    clock.pass_by()
    for _ in range(2):
        with pytest.raises(TableError, match="users") as error:
            users.get("ann")
    assert str(error.value).startswith(f"{path}:2: " if how == "malformed" else f"{path}: ")
    if path.is_dir():
        path.rmdir()
    replace(path, "bob\n") if how != "too large" else replace(path, "bob")
    clock.pass_by()
    assert users.get("bob") == "" and users.get("ann") is None


def test_a_file_that_was_just_emptied_is_not_believed_yet(tmp_path: Path, clock: Time) -> None:
    """A program that writes it anew in place has emptied it first."""
    path = tmp_path / "users"
    path.write_text("ann\n")
    long_after = 0.0
    users = Table(str(path), clock=clock, wall=lambda: os.stat(path).st_mtime + long_after)
    assert users.get("ann") == ""
    path.write_text("")
    clock.pass_by()
    with pytest.raises(TableError, match="is being written"):
        users.get("ann")
    long_after = 60.0
    clock.pass_by()
    assert users.get("ann") is None


def test_a_pipe_is_no_file(tmp_path: Path, clock: Time) -> None:
    os.mkfifo(tmp_path / "users")
    with pytest.raises(TableError, match="users: expected a file, and this is none"):
        table(tmp_path / "users", clock).load()


def test_a_file_of_the_kernel_that_would_have_us_wait_is_no_table(
    tmp_path: Path, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/proc/kmsg calls itself a file, and has nothing to read now."""
    (tmp_path / "users").write_text("ann\n")

    class Waits(io.BytesIO):
        def __init__(self, fd: int, mode: str) -> None:
            super().__init__()
            self.fileno = lambda: fd

        def read(self, size: int | None = -1) -> bytes:
            return None  # type: ignore[return-value]

    monkeypatch.setattr(tables_file, "open", Waits, raising=False)
    with pytest.raises(TableError, match="users: expected a file, and this is none"):
        table(tmp_path / "users", clock).get("ann")


def test_a_large_file_is_read_in_a_thread_where_others_would_wait(
    tmp_path: Path, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables_file, "AT_ONCE", 10)
    path = tmp_path / "users"
    path.write_text("ann\n" * 10)
    users = table(path, clock)

    async def ask() -> list[str | None]:
        with pytest.raises(Needs):
            users.get("ann")
        return await asyncio.gather(*(awaited(lambda who=who: users.get(who)) for who in ("ann", "bob")))

    assert asyncio.run(ask()) == ["", None]
    replace(path, "bob\n" * 10)
    clock.pass_by()
    assert asyncio.run(ask()) == [None, ""]
    replace(path, "eve\n" * 10)
    clock.pass_by()
    assert users.get("eve") == ""  # a program has nothing else to do


def test_a_hundred_thousand_entries_and_the_last_of_them(tmp_path: Path, clock: Time) -> None:
    path = tmp_path / "users"
    path.write_text("".join(f"user{n}@example{n % 1000}.org  box{n}\n" for n in range(100_000)))
    users = table(path, clock)
    assert len(users.load()) == 100_000
    assert users.get("user99999@example999.org") == "box99999"
