"""A file of logins is read whole or refused with a line that says where."""

from __future__ import annotations

import io

import pytest

from mether.auth import textfile


def test_text_is_read_as_it_stands() -> None:
    assert textfile.read(io.BytesIO("grüß\r\ngott".encode()), "file", ValueError) == "grüß\r\ngott"


def test_what_is_not_utf_8_is_refused_with_its_line() -> None:
    with pytest.raises(ValueError, match=r"^file:2: not UTF-8$"):
        textfile.read(io.BytesIO(b"one\ntw\xff"), "file", ValueError)


def test_a_file_has_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textfile, "MAX_FILE", 1 << 20)
    assert len(textfile.read(io.BytesIO(b"x" * (1 << 20)), "file", ValueError)) == 1 << 20
    with pytest.raises(ValueError, match=r"^file: larger than 1 MiB$"):
        textfile.read(io.BytesIO(b"x" * ((1 << 20) + 1)), "file", ValueError)
