"""Exim's spool files, made by hand; tests/system/test_import.py has real ones."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from queues_of_others import AT, IDENT, content, exim, exim_header, tree

from mether.importing.exim import read
from mether.importing.found import Found, Unreadable, Wrong

US = "mx.test"


def one(base):
    (found,) = read(str(base), US)
    return found


def test_a_message(tmp_path):
    exim(tmp_path)
    (tmp_path / "msglog").mkdir()
    (tmp_path / "msglog" / IDENT).write_text("2026-01-01 bob@example.net: Connection refused\n")
    before = tree(tmp_path)
    found = one(tmp_path)
    assert str(found.reverse_path) == "ann@example.org"
    assert [str(each.forward_path) for each in found.recipients] == ["bob@example.net"]
    assert (found.arrived, found.hold) == (AT, None)
    assert content(found) == b"Subject: hi\nFrom: ann@example.org\n\nHello.\n", (
        "without the field that was removed"
    )
    assert found.tried == ["2026-01-01 bob@example.net: Connection refused"]
    assert tree(tmp_path) == before


def test_who_has_it_already_is_left_out(tmp_path):
    """By the tree in the file, and by the journal of what came since."""
    done = "YY done@example.net\nNN a@example.net\nNY z@example.net\nNN zz@example.net"
    names = ["done@example.net", "bob@example.net", "Z@example.net", "since@example.net", "zz@example.net"]
    path = exim(tmp_path, exim_header(*names, done=done))
    path.with_name(f"{IDENT}-J").write_text("since@example.net\n")
    assert [str(each.forward_path) for each in one(tmp_path).recipients] == ["bob@example.net"]


def test_options_and_what_the_sender_asked_of_reports(tmp_path):
    """RFC 3461; a variable's value may look like anything."""
    options = "-helo_name c.test\n--acl _x 9\n-frozen\nX\n-frozen 1790000001\n-dsn_envid QQ314159\n"
    options += "-dsn_ret 2\n-smtputf8\n"
    exim(
        tmp_path,
        exim_header(
            "bob@example.net rfc822;Bob@example.net 22,12  0,-1#3",
            "carol@example.net  0,2 owner@example.net 17,0#3",
            "dan@example.net owner@example.net 17,0#1",
            options=options,
            sender="<>",
        ),
    )
    found = one(tmp_path)
    assert found.reverse_path is None
    assert (found.ret, found.envid, found.smtputf8) == ("HDRS", "QQ314159", True)
    assert found.hold == "frozen in Exim's queue"
    assert [(str(each.forward_path), each.orcpt, each.notify) for each in found.recipients] == [
        ("bob@example.net", "rfc822;Bob@example.net", "SUCCESS,FAILURE"),
        ("carol@example.net", None, "NEVER"),
        ("dan@example.net", None, None),
    ]


def test_a_spool_in_directories(tmp_path):
    path = exim(tmp_path)
    (tmp_path / "input" / "2").mkdir()
    for name in (f"{IDENT}-H", f"{IDENT}-D"):
        os.rename(path.with_name(name), tmp_path / "input" / "2" / name)
    assert isinstance(one(tmp_path), Found)
    assert isinstance(next(iter(read(str(tmp_path / "input"), US))), Found)


def test_a_message_that_is_being_delivered_is_left_alone(tmp_path):
    body = exim(tmp_path).with_name(f"{IDENT}-D")
    code = (
        "import fcntl,sys; f=open(sys.argv[1],'r+b'); fcntl.lockf(f, fcntl.LOCK_EX, 20); "
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(body)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        assert one(tmp_path).passing
        assert other.stdin is not None
        other.stdin.close()
    assert isinstance(one(tmp_path), Found)


def test_halves_of_a_message_are_named(tmp_path):
    path = exim(tmp_path)
    path.unlink()
    found = one(tmp_path)
    assert isinstance(found, Unreadable)
    assert "its envelope is lost" in found.why
    path = exim(tmp_path)
    path.with_name(f"{IDENT}-D").unlink()
    assert one(tmp_path).place.endswith("-D")


def test_a_body_of_another_message_is_not_taken(tmp_path):
    exim(tmp_path).with_name(f"{IDENT}-D").write_bytes(b"else-D\nHello\n")
    with pytest.raises(Wrong, match="no body of"):
        content(one(tmp_path))


def test_what_is_no_spool_is_said(tmp_path):
    with pytest.raises(Wrong, match="spool_directory"):
        list(read(str(tmp_path), US))


@given(data=st.binary(max_size=100), at=st.integers(0, 300), cut=st.integers(0, 400))
def test_whatever_is_in_the_file_is_found_or_named(tmp_path_factory, data, at, cut):
    base = tmp_path_factory.mktemp("exim")
    good = exim_header("bob@example.net rfc822;Bob@example.net 22,12  0,-1#3", options="-acl 1 3\nabc\n")
    exim(base, (good[:at] + data + good[at:])[:cut])
    for found in read(str(base), US):
        assert isinstance(found, Found | Unreadable)
        if isinstance(found, Found):
            content(found)
