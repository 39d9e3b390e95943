"""The secrets of SRS in their file."""

from __future__ import annotations

from pathlib import Path

import pytest

from mether.address import parse
from mether.routing.source import TableError
from mether.routing.srs import SrsError
from mether.routing.srs_file import MAX_FILE, SrsFile

THEN = 1577836860.0
ANN = parse("ann@example.net")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets"
    write(path, "one\n")
    return path


def write(path: Path, text: str, mode: int = 0o600) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(path)


def made(path: Path) -> SrsFile:
    return SrsFile("fwd.example.org", str(path), lambda: THEN)


def test_there_and_back(file: Path) -> None:
    srs = made(file)
    there = srs.forward(ANN)
    assert there.domain == "fwd.example.org"
    assert srs.reverse(there) == ANN
    assert srs.reverse(ANN) is None


def test_a_secret_is_changed_without_a_restart(file: Path) -> None:
    srs = made(file)
    old = srs.forward(ANN)
    write(file, "# the new one\ntwo\n\none\n")
    new = srs.forward(ANN)
    assert new != old
    assert srs.reverse(new) == srs.reverse(old) == ANN
    write(file, "two\n")
    with pytest.raises(SrsError):
        srs.reverse(old)


@pytest.mark.parametrize(
    ("text", "mode", "what"),
    [
        ("one\n", 0o644, "everybody may read it (mode 0644); expected mode 0600 or 0640"),
        ("# nothing\n\n", 0o600, "no secret in it; expected a line of random characters"),
        ("x" * (MAX_FILE + 1), 0o600, "longer than 16 KiB; are these secrets?"),
    ],
)
def test_a_file_that_cannot_be_used_makes_mail_wait(file: Path, text: str, mode: int, what: str) -> None:
    write(file, text, mode)
    with pytest.raises(TableError) as caught:
        made(file).forward(ANN)
    assert str(caught.value) == f"{file}: {what}"


def test_no_secret_is_needed_for_addresses_of_others(tmp_path: Path) -> None:
    srs = made(tmp_path / "missing")
    assert srs.reverse(ANN) is None
    with pytest.raises(TableError, match="missing: No such file or directory"):
        srs.reverse(parse("SRS0=vmyz=2W=otherdomain.com=test@fwd.example.org"))
