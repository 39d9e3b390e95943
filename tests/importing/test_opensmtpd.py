"""OpenSMTPD's spool files, made by hand; tests/system/test_import.py has real ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queues_of_others import AT, OPENSMTPD, content, opensmtpd, tree

from mether.importing.found import Found, Unreadable, Wrong
from mether.importing.opensmtpd import read

US = "mx.test"


def test_a_message_to_several(tmp_path):
    other = OPENSMTPD.replace("dest: bob@", "dest: carol@") + (
        "dsn-notify: success,failure\ndsn-orcpt: rfc822;x@example.net\nflags: authenticated,suspend\n"
    )
    opensmtpd(tmp_path, OPENSMTPD.replace("errorline:", "errorline: 421 later"), other)
    before = tree(tmp_path)
    (found,) = read(str(tmp_path), US)
    assert str(found.reverse_path) == "ann@example.org"
    assert [(str(each.forward_path), each.orcpt, each.notify) for each in found.recipients] == [
        ("bob@example.net", None, None),
        ("carol@example.net", "rfc822;x@example.net", "SUCCESS,FAILURE"),
    ]
    assert found.arrived == AT
    assert found.hold == "suspended in OpenSMTPD's queue"
    assert found.tried == ["bob@example.net: 421 later"]
    assert content(found) == b"Subject: hi\n\nHello.\n"
    assert tree(tmp_path) == before


def test_the_null_reverse_path(tmp_path):
    opensmtpd(tmp_path, OPENSMTPD.replace("sender: ann@example.org", "sender: @"))
    (found,) = read(str(tmp_path), US)
    assert found.reverse_path is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (OPENSMTPD.replace("type: mta", "type: bounce"), "a report"),
        (OPENSMTPD.replace("version: 3", "version: 9"), "version '9'"),
        (OPENSMTPD.replace("ctime: 1790000000\n", ""), "no ctime"),
        (OPENSMTPD.rstrip(), "ends within a line"),
        ("", "ends within a line"),
        (OPENSMTPD.replace("ctime: 1790000000", "ctime: soon"), "time of arrival"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, text, why):
    path = opensmtpd(tmp_path, text)
    (found,) = read(str(tmp_path), US)
    assert isinstance(found, Unreadable)
    assert found.place == str(path)
    assert why in found.why


def test_compressed_queues_and_what_is_offline_are_told(tmp_path):
    opensmtpd(tmp_path, content=b"\x1f\x8bxx")
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "1790000000.abc").write_text("x")
    assert ["compressed" in each.why or "start it once" in each.why for each in read(str(tmp_path), US)] == [
        True
    ] * 2


def test_what_is_no_spool_is_said(tmp_path):
    with pytest.raises(Wrong, match="OpenSMTPD"):
        list(read(str(tmp_path), US))


@given(data=st.text(max_size=100), at=st.integers(0, 300))
def test_whatever_is_in_the_file_is_found_or_named(tmp_path_factory, data, at):
    base = tmp_path_factory.mktemp("opensmtpd")
    opensmtpd(base, OPENSMTPD[:at] + data.replace("\0", "") + OPENSMTPD[at:])
    assert all(isinstance(found, Found | Unreadable) for found in read(str(base), US))
