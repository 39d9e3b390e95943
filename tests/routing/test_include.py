"""Lists in files: read, and read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from mether.routing import include
from mether.routing.source import TableError


def test_a_list_is_read_anew_when_it_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mether.routing.tables_file.CHECK", 0.0)
    path = tmp_path / "list"
    path.write_text("ann\n")
    assert [one.text for one in include.in_file(str(path))] == ["ann"]
    path.write_text("ann\nbob\n")
    assert [one.text for one in include.in_file(str(path))] == ["ann", "bob"]


def test_a_list_that_cannot_be_read_is_an_error_and_not_empty(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="No such file"):
        include.in_file(str(tmp_path / "none"))
    (tmp_path / "wrong").write_text("ann\nb o b\n")
    with pytest.raises(TableError, match="wrong:2: "):
        include.in_file(str(tmp_path / "wrong"))


def test_so_many_lists_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(include, "FILES", 2)
    for number in range(5):
        path = tmp_path / f"list{number}"
        path.write_text(f"u{number}\n")
        assert [one.text for one in include.in_file(str(path))] == [f"u{number}"]
        assert len(include._files) <= 2
