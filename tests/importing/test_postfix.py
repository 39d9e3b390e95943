"""Postfix's queue files, made by hand; tests/system/test_import.py has real ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queues_of_others import AT, content, postfix, postfix_file, record, tree

from mether.importing.found import Found, Unreadable, Wrong
from mether.importing.postfix import read

US = "mx.test"


def one(base):
    (found,) = read(str(base), US)
    return found


def test_a_message_that_was_deferred(tmp_path):
    postfix(tmp_path)
    (tmp_path / "defer" / "1").mkdir(parents=True)
    (tmp_path / "defer" / "1" / "1A2B3C4D5E").write_text(
        "<bob@example.net>: x\nrecipient=bob@example.net\nreason=connect to mx: Connection refused\n\n"
    )
    before = tree(tmp_path)
    found = one(tmp_path)
    assert str(found.reverse_path) == "ann@example.org"
    assert [str(each.forward_path) for each in found.recipients] == ["bob@example.net"]
    assert (found.arrived, found.hold) == (AT, None)
    assert content(found) == b"Subject: hi\n\nHello.\n"
    assert content(found) == b"Subject: hi\n\nHello.\n", "it can be pulled again"
    assert found.tried == ["bob@example.net: connect to mx: Connection refused"]
    assert tree(tmp_path) == before


def test_recipients_that_are_done_are_left_out_and_parameters_are_kept(tmp_path):
    """RFC 3461: RET, ENVID, NOTIFY and ORCPT."""
    data = postfix_file(
        record("<", "2"),
        record("i", "QQ314159"),
        record("n", "6"),
        record("o", "rfc822;Bob@example.net"),
        record("O", "bob@example.net"),
        record("R", "bob@example.net"),
        record("D", "done@example.net"),
        record("A", "notify_flags=1"),
        record("A", "dsn_orig_rcpt=rfc822;x@example.net"),
        record("R", "carol"),
        sender="",
    )
    postfix(tmp_path, data=data)
    found = one(tmp_path)
    assert found.reverse_path is None
    assert (found.ret, found.envid) == ("HDRS", "QQ314159")
    assert [(str(each.forward_path), each.orcpt, each.notify) for each in found.recipients] == [
        ("bob@example.net", "rfc822;Bob@example.net", "SUCCESS,FAILURE"),
        ("carol@mx.test", "rfc822;x@example.net", "NEVER"),
    ]


def test_what_is_held_says_so_and_what_is_all_done_is_passed_over(tmp_path):
    postfix(tmp_path, queue="hold", name="H1")
    postfix(tmp_path, queue="active", name="A1", data=postfix_file(record("D", "bob@example.net")))
    assert one(tmp_path).hold == "held in Postfix's queue"


def test_long_lines_and_pointers(tmp_path):
    """A line longer than a record is several, and what a filter put in lies behind the end."""
    long = record("L", b"x" * 2000) + record("N", b"y")
    start = postfix_file(record("R", "bob@example.net"), content=b"")
    at = start.index(record("M")) + 2
    more = len(start) + len(long) + 17
    tail = record("N", b"from a filter") + record("p", f"{at + len(long) + 17:15d}")
    data = start[:at] + long + record("p", f"{more:15d}") + start[at:] + tail
    postfix(tmp_path, data=data)
    assert content(one(tmp_path)) == b"x" * 2000 + b"y\nfrom a filter\n"


def test_a_loop_of_pointers_ends(tmp_path):
    data = postfix_file(record("R", "bob@example.net"), content=b"")
    at = data.index(record("M")) + 2
    postfix(tmp_path, data=data[:at] + record("p", f"{at:15d}") + data[at:])
    found = one(tmp_path)
    assert isinstance(found, Unreadable)
    assert "loop" in found.why


@pytest.mark.parametrize("cut", [1, 30, 100, 150, 200])
def test_what_is_cut_short_is_named(tmp_path, cut):
    path = postfix(tmp_path, data=postfix_file(record("R", "bob@example.net"))[:cut])
    found = one(tmp_path)
    assert isinstance(found, Unreadable)
    assert found.place == str(path)


def test_what_is_still_being_written_is_left_alone(tmp_path):
    postfix(tmp_path).chmod(0o600)
    assert one(tmp_path).passing


def test_links_and_directories_of_that_name_are_not_read(tmp_path):
    path = postfix(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert isinstance(one(tmp_path), Unreadable)


def test_what_is_no_queue_is_said(tmp_path):
    with pytest.raises(Wrong, match="queue_directory"):
        list(read(str(tmp_path), US))


@given(data=st.binary(max_size=300), at=st.integers(0, 250), cut=st.integers(0, 300))
def test_whatever_is_in_the_file_is_found_or_named(tmp_path_factory, data, at, cut):
    base = tmp_path_factory.mktemp("postfix")
    good = postfix_file(record("n", "6"), record("R", "bob@example.net"))
    postfix(base, data=(good[:at] + data + good[at:])[: cut + 100])
    for found in read(str(base), US):
        assert isinstance(found, Found | Unreadable)
        if isinstance(found, Found):
            try:
                content(found)
            except (OSError, Wrong):
                pass
