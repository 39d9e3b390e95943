"""nullmailer's queue files, as nullmailer-queue(8) has them; tests/system/test_import.py has a real one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queues_of_others import AT, content, nullmailer, tree

from mether.importing.found import Found, Unreadable, Wrong
from mether.importing.nullmailer import read

US = "mx.test"


def test_a_message(tmp_path):
    nullmailer(tmp_path, b"\nbob@example.net\nroot\n\nSubject: hi\n\nHello.\n")
    before = tree(tmp_path)
    (found,) = read(str(tmp_path), US)
    assert found.reverse_path is None
    assert [str(each.forward_path) for each in found.recipients] == ["bob@example.net", "root@mx.test"]
    assert found.arrived == AT
    assert content(found) == b"Subject: hi\n\nHello.\n"
    assert tree(tmp_path) == before
    assert [each.name for each in read(str(tmp_path / "queue"), US)] == [found.name]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends before the sender"),
        (b"ann@example.org\nbob@example.net", "ends before"),
        (b"ann@example.org\n\nSubject: hi\n", "no recipient"),
        (b"ann@example.org\n" + b"b" * 5000, "too long"),
        (b"ann@example.org\n<bob\n\n", "is no address"),
        (b"\xff\n", "UTF-8"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, data, why):
    path = nullmailer(tmp_path, data)
    (found,) = read(str(tmp_path), US)
    assert isinstance(found, Unreadable)
    assert found.place == str(path)
    assert why in found.why


def test_a_recipient_that_cannot_be_read_costs_the_others_nothing(tmp_path):
    nullmailer(tmp_path, b"ann@example.org\na b\nbob@example.net\n\nx\n")
    (found,) = read(str(tmp_path), US)
    assert len(found.recipients) == len(found.problems) == 1


def test_what_is_no_queue_is_said(tmp_path):
    with pytest.raises(Wrong, match="nullmailer"):
        list(read(str(tmp_path), US))


@given(data=st.binary(max_size=200))
def test_whatever_is_in_the_file_is_found_or_named(tmp_path_factory, data):
    base = tmp_path_factory.mktemp("nullmailer")
    nullmailer(base, data)
    assert all(isinstance(found, Found | Unreadable) for found in read(str(base), US))
