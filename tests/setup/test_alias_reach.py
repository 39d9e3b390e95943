"""Aliases by which mail comes to nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from mether.setup.alias_reach import complaints
from mether.setup.config import loads

USERS = 'users = ["ann", "bob@example.com"]\n'


def told(tmp_path: Path, aliases: str, more: str = USERS) -> list[str]:
    (tmp_path / "aliases").write_text(aliases)
    text = f'[[route]]\ndomains = ["example.com"]\nmaildir = "mail"\naliases = ["aliases"]\n{more}'
    config = loads(text, str(tmp_path / "m.toml"), environ={})
    where = f"{tmp_path}/m.toml:1: {tmp_path}/aliases: "
    return [line.removeprefix(where) for line in complaints(config.router())]


LOOP = "the alias is a loop: mail to it is refused"
NOBODY = "nobody whom it names is a user here: mail to it is refused"
NO_EVE = "there is no user eve@example.com here: mail to this member is refused"


@pytest.mark.parametrize(
    ("aliases", "lines"),
    [
        ("a: b\nb: a\n", [f"a: {LOOP}", f"b: {LOOP}"]),
        ("a: b, ann\nb: a\n", []),
        ("ann: \\ann, bob\n", []),
        ("root: ann, bob\nx: eve, ann\nz: ann, eve\ny: eve\n", [f"x: {NO_EVE}", f"y: {NOBODY}"]),
        ("x: eve@elsewhere.test, y\n@example.com: ann\n", []),
        ("x: ann+lists\n", [f"x: {NOBODY}"]),
        ("x: /dev/null\n", []),
    ],
)
def test_what_leads_to_nobody(tmp_path: Path, aliases: str, lines: list[str]) -> None:
    """A loop only where nothing else comes of it, and a member once."""
    found = told(tmp_path, aliases)
    assert found == lines


def test_where_anybody_is_a_user_and_where_another_host_knows_nothing_is_told(tmp_path: Path) -> None:
    assert told(tmp_path, "x: eve\n", "") == []
    assert told(tmp_path, "x: eve\n", 'users = ["table:p"]\n[[table]]\nname = "p"\nfile = "none"\n') == []
    assert told(tmp_path, "x: eve\n", 'users = ["ann"]\ndelimiter = "+"\n') != []
    assert told(tmp_path, "x: ann+lists\n", 'users = ["ann"]\ndelimiter = "+"\n') == []
