"""dma's spool files, as its spool.c writes them."""

from __future__ import annotations

import fcntl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queues_of_others import AT, content, dma, tree

from mether.importing.dma import read
from mether.importing.found import Found, Unreadable

US = "mx.test"


def test_a_message(tmp_path):
    dma(tmp_path)
    before = tree(tmp_path)
    (found,) = read(str(tmp_path), US)
    assert str(found.reverse_path) == "ann@example.org"
    assert [str(each.forward_path) for each in found.recipients] == ["bob@example.net"]
    assert found.arrived == AT
    assert content(found) == b"Subject: hi\n\nHello.\n"
    assert tree(tmp_path) == before


def test_a_report_has_no_sender(tmp_path):
    dma(tmp_path, b"ID: 1\nSender: \nRecipient: root\n")
    (found,) = read(str(tmp_path), US)
    assert found.reverse_path is None
    assert str(found.recipients[0].forward_path) == "root@mx.test"


@pytest.mark.parametrize(
    "data", [b"", b"ID: 1\nSender: a@b.test\n", b"ID: 1\nSender: a@b.test\nRecipient: c@d.test", b"nothing\n"]
)
def test_what_cannot_be_read_is_named(tmp_path, data):
    path = dma(tmp_path, data)
    (found,) = read(str(tmp_path), US)
    assert isinstance(found, Unreadable)
    assert found.place == str(path)


def test_half_of_a_message_and_one_in_use(tmp_path):
    path = dma(tmp_path)
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (found,) = read(str(tmp_path), US)
        assert found.passing
    path.unlink()
    (found,) = read(str(tmp_path), US)
    assert "envelope is lost" in found.why
    path = dma(tmp_path)
    (tmp_path / "M1f2e3d.55d0").unlink()
    (found,) = read(str(tmp_path), US)
    assert found.place == str(tmp_path / "M1f2e3d.55d0")


@given(data=st.binary(max_size=200))
def test_whatever_is_in_the_file_is_found_or_named(tmp_path_factory, data):
    base = tmp_path_factory.mktemp("dma")
    dma(base, data)
    assert all(isinstance(found, Found | Unreadable) for found in read(str(base), US))
