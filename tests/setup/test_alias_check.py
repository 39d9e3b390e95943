"""What is said of aliases before any mail comes."""

from __future__ import annotations

from pathlib import Path

from mether.routing import aliases
from mether.routing.rule import Rule
from mether.routing.tables_file import Reread
from mether.setup.alias_check import complaints, troubles


def rule(path: Path, **options: bool) -> Rule:
    source = Reread(str(path), aliases.parse)
    return Rule(["example.com"], "aliases", name="here", aliases=[source], where="m.toml:7", **options)  # type: ignore[arg-type]


def test_members_that_are_not_allowed_are_told_with_the_place_of_the_rule(tmp_path: Path) -> None:
    path = tmp_path / "aliases"
    path.write_text("a: |/bin/sh\nb: /var/mail/b\nc: ann\n")
    assert [line.split(" is refused")[0] for line in complaints([rule(path)])] == [
        f"m.toml:7: {path}: a: mail to the program '/bin/sh'",
        f"m.toml:7: {path}: b: mail to the file '/var/mail/b'",
    ]
    assert list(complaints([rule(path, alias_programs=True, alias_files=True)])) == []


def test_whoever_runs_as_root_is_told_whose_rights_aliases_get(tmp_path: Path) -> None:
    path = tmp_path / "aliases"
    path.write_text("a: ann\n")
    for key in ("alias_programs", "alias_files"):
        [line] = complaints([rule(path, **{key: True})], root=True)
        assert line.startswith(f"m.toml:7: the {key[6:]} that aliases name get the rights of root")
    assert list(complaints([rule(path)], root=True)) == []


def test_programs_that_cannot_be_run_are_told(tmp_path: Path) -> None:
    """Mail to them would wait."""
    path = tmp_path / "aliases"
    path.write_text('a: "|/bin/sh -c $HOME", ann\nb: |/nowhere/x\nc: "|/bin/sh -c \'echo $HOME\'"\n')
    lines = [
        line.removeprefix(f"m.toml:7: {path}: ") for line in complaints([rule(path, alias_programs=True)])
    ]
    assert lines[0].startswith("a: '/bin/sh -c $HOME' needs a shell for its '$'")
    assert lines[1:] == ["b: /nowhere/x: expected a program that can be run"]


def test_lists_in_lists_are_looked_at_once(tmp_path: Path) -> None:
    path = tmp_path / "aliases"
    path.write_text(f"a: :include:{tmp_path}/one\nb: :include:{tmp_path}/one\n")
    (tmp_path / "one").write_text(f":include:{tmp_path}/one\n:include:{tmp_path}/two\n")
    assert [line.split(": ", 2)[2] for line in troubles([rule(path)])] == [
        f"{tmp_path}/two: No such file or directory"
    ]


def test_a_file_that_is_wrong_is_for_another_to_tell(tmp_path: Path) -> None:
    assert list(complaints([rule(tmp_path / "none")])) == []
    assert list(troubles([rule(tmp_path / "none")])) == []
