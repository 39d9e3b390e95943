"""Asking for a delivery as a Unix user: what is sent, what is taken, and what becomes of silence."""

from __future__ import annotations

import array
import os
import socket
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import parse
from mether.envelope import Recipient
from mether.queue.content import Content, in_memory
from mether.queue.message import Arrival
from mether.relay import asuser
from mether.relay.asuser import FIELDS, Helper, HelperGone, Request
from mether.relay.letter import Letter
from mether.relay.way import Way
from mether.reply import Reply

BOB = Recipient(parse("bob+x@example.com"), orcpt="rfc822;b@example.org")
EMPTY = in_memory(b"")


def letter(content: Content = EMPTY, sender: str | None = "ann@example.org") -> Letter:
    arrival = Arrival(0.0, "ESMTPS", address="192.0.2.1", host="a.example", helo="b.example", login="ann")
    return Letter(
        parse(sender) if sender else None,
        b"Received: x\r\n",
        content,
        utf8=True,
        ident="1A2B",
        arrival=arrival,
    )


@pytest.mark.parametrize("sender", ["ann@example.org", None])
def test_a_request_comes_as_it_was_sent(sender: str | None) -> None:
    packet = asuser.encode(Request("homes", BOB, letter(sender=sender)))
    found = asuser.decode(packet, EMPTY)
    assert found.rule == "homes"
    assert found.recipient == BOB
    assert str(found.letter.reverse_path or "") == (sender or "")
    assert (found.letter.prefix, found.letter.utf8, found.letter.ident) == (b"Received: x\r\n", True, "1A2B")
    arrival = found.letter.arrival
    assert (arrival.protocol, arrival.address, arrival.host) == ("ESMTPS", "192.0.2.1", "a.example")
    assert (arrival.helo, arrival.login) == ("b.example", "ann")


def test_there_is_no_field_for_a_user_a_path_or_a_program() -> None:
    assert set(FIELDS) == {
        "version", "rule", "recipient", "orcpt", "sender", "utf8", "ident",
        "protocol", "address", "host", "helo", "login", "prefix",
    }  # fmt: skip


def fields(**other: bytes) -> bytes:
    octets = dict(zip(FIELDS, asuser.encode(Request("homes", BOB, letter())).split(b"\0"), strict=True))
    return b"\0".join({**octets, **other}.values())


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\0" * 12,
        fields() + b"\0",
        fields(version=b"mether 2"),
        fields(rule=b""),
        fields(rule=b"a\nb"),
        fields(recipient=b"bob"),
        fields(recipient=b""),
        fields(recipient=b"\xff@example.com"),
        fields(sender=b"x"),
        fields(utf8=b"2"),
        fields(helo=b"\x1b[1m"),
        fields(prefix=b"x" * asuser.MAX_REQUEST),
    ],
)
def test_nothing_else_is_taken(packet: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        asuser.decode(packet, EMPTY)


@given(st.binary(max_size=300) | st.lists(st.binary(max_size=20), min_size=12, max_size=14).map(b"\0".join))
def test_no_octets_break_it(packet: bytes) -> None:
    try:
        asuser.decode(packet, EMPTY)
    except ValueError:
        pass


def test_what_has_no_room_is_not_sent() -> None:
    large = letter()
    large.prefix = b"x" * asuser.MAX_REQUEST
    with pytest.raises(ValueError, match="too large"):
        asuser.encode(Request("homes", BOB, large))
    large.prefix = b"a\0b"
    with pytest.raises(ValueError, match="NUL"):
        asuser.encode(Request("homes", BOB, large))


@pytest.mark.parametrize("reply", [Reply(250, "2.0.0", "ok"), Reply(550, "5.1.1", "no"), asuser.GONE])
def test_an_answer(reply: Reply) -> None:
    assert str(asuser.decode_answer(asuser.encode_answer(reply))) == str(reply)


@pytest.mark.parametrize("octets", [b"", b"x", b"350 x", b"250 2.0.0 a\r\n250 b", b"\xff\xfe", b"999 x"])
def test_an_answer_that_is_none_delays(octets: bytes) -> None:
    assert asuser.decode_answer(octets) is asuser.GONE


class Other:
    """The other end, in a thread: what came, and what it answers."""

    def __init__(self, answer: Callable[[int], None]) -> None:
        ours, self.sock = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.helper = Helper(ours, {"homes": Way("maildir", "{home}/Maildir")})
        self.content = b""
        self.packet = b""
        self._answer = answer
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.packet, rights, _, _ = self.sock.recvmsg(65536, socket.CMSG_SPACE(8))
        fds = array.array("i")
        for _, _, octets in rights:
            fds.frombytes(octets)
        if fds:
            content, answer = fds
            self.content = asuser.handed(content).read()
            self._answer(answer)
            os.close(content)
            os.close(answer)

    def deliver(self, content: Content = EMPTY) -> Reply:
        reply = self.helper.deliver("homes", BOB, letter(content), 5.0)
        self.helper.close()
        self._thread.join()
        self.sock.close()
        return reply


@pytest.mark.parametrize("size", [10, 3 * asuser.IN_MEMORY])
def test_the_content_goes_along(size: int) -> None:
    content = in_memory(b"x" * size)
    other = Other(lambda fd: os.write(fd, b"250 2.0.0 done") and None)
    assert str(other.deliver(content)) == "250 2.0.0 done"
    assert other.content == content.data
    assert asuser.decode(other.packet, EMPTY).recipient == BOB


def test_one_that_dies_without_an_answer_delays() -> None:
    assert Other(lambda fd: None).deliver() is asuser.GONE


def test_an_answer_without_end_is_cut() -> None:
    assert Other(lambda fd: os.write(fd, b"250 2.0.0 " + b"x" * 60000) and None).deliver().code in (250, 451)


def test_nobody_there() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.close()
    helper = Helper(ours, {})
    with pytest.raises(HelperGone):
        helper.deliver("homes", BOB, letter(), 5.0)
    helper.close()


def test_only_the_very_same_way_is_known() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    helper = Helper(ours, {"homes": Way("maildir", "{home}/Maildir")})
    assert helper.knows("homes", Way("maildir", "{home}/Maildir"))
    assert not helper.knows("homes", Way("maildir", "{home}/Mail"))
    assert not helper.knows("other", Way("maildir", "{home}/Maildir"))
    helper.close()
    theirs.close()


def test_content_that_cannot_be_read_delays() -> None:
    def gone() -> None:
        raise FileNotFoundError(2, "No such file or directory")

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    helper = Helper(ours, {})
    reply = helper.deliver("homes", BOB, letter(Content(None, 5, gone)), 5.0)  # type: ignore[arg-type]
    assert (reply.code, reply.status) == (451, "4.3.0")
    helper.close()
    theirs.close()
