"""What all readers share: addresses without a domain, files that are none, bounds."""

from __future__ import annotations

import os

import pytest

from mether.importing import found


def test_addresses_are_completed_and_reverse_paths_may_be_null():
    assert str(found.path_of("root", "mx.test")) == "root@mx.test"
    assert str(found.path_of(" <ann@example.org> ", "mx.test")) == "ann@example.org"
    assert [found.sender_of(text, "mx.test") for text in ("", "<>", "@")] == [None] * 3
    with pytest.raises(found.Wrong, match="is no address"):
        found.path_of("a b@example.org", "mx.test")


def test_a_pipe_or_a_link_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(found.Wrong, match="no regular file"):
        found.open_file(str(tmp_path / "pipe"))
    (tmp_path / "link").symlink_to("/etc/passwd")
    with pytest.raises(OSError, match="symbolic links"):
        found.open_file(str(tmp_path / "link"))


def test_an_envelope_has_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(found, "MAX_ENVELOPE", 10)
    (tmp_path / "x").write_bytes(b"x" * 11)
    with pytest.raises(found.Wrong, match="longer than"):
        found.read_file(str(tmp_path / "x"))


def test_words_of_others_are_harmless_in_a_line():
    assert found.shown("a\x1b[2Jb\nc" + "x" * 1000).startswith("a?[2Jb cxxx")
    assert len(found.shown("x" * 1000)) == 400
    assert found.seconds_of(" 12 ", "a time") == 12
