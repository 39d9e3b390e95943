"""What both clients share: our name in EHLO, the time-outs, and content as it goes on the wire."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.client.session import Lost, Timeouts, own_name, pieces, small
from mether.queue.content import Content, in_memory
from mether.smtp import wire


@pytest.mark.parametrize(
    ("hostname", "local", "said"),
    [
        ("mx.example.com", "192.0.2.1", "mx.example.com"),
        ("localhost", "192.0.2.1", "[192.0.2.1]"),
        ("localhost", "2001:db8::1", "[IPv6:2001:db8::1]"),
        ("localhost", "", "localhost"),  # a Unix socket: there is no address to give
    ],
)
def test_own_name(hostname: str, local: str, said: str) -> None:
    """CLI-1: our full name, or else the address literal of our end."""
    assert own_name(hostname, local) == said


def test_timeouts() -> None:
    """TMO-1, RFC 5321 section 4.5.3.2: one for each command, none below what the standard asks for."""
    timeouts = Timeouts()
    floors = {"greeting": 300, "EHLO": 300, "MAIL": 300, "RCPT": 300, "DATA": 120, ".": 600}
    assert all(timeouts.reply_to(verb) >= floor for verb, floor in floors.items())
    assert timeouts.block >= 180
    own = Timeouts(greeting=1, command=2, data=3, end=4, quit=5)
    assert [own.reply_to(verb) for verb in ("greeting", "RCPT", "DATA", ".", "QUIT")] == [1, 2, 3, 4, 5]


def test_lost() -> None:
    lost = Lost("timeout", "MAIL", "the server did not answer in time")
    assert (lost.kind, lost.stage, str(lost)) == ("timeout", "MAIL", "the server did not answer in time")


def in_file(data: bytes) -> Content:
    return Content(None, len(data), lambda: io.BytesIO(data))


@pytest.mark.parametrize(
    ("trace", "content", "sent"),
    [
        (b"", b"", b".\r\n"),
        (b"", b".\r\n", b"..\r\n.\r\n"),
        (b"", b"a", b"a\r\n.\r\n"),
        (b"", b"a\r\n", b"a\r\n.\r\n"),
        (b"R: x\r\n", b".a\r\n", b"R: x\r\n..a\r\n.\r\n"),
        (b"R: x\r\n", b"", b"R: x\r\n.\r\n"),
    ],
)
def test_content_on_the_wire(trace: bytes, content: bytes, sent: bytes) -> None:
    """CLI-5: dots doubled, no empty line added, a last line without CRLF gets one."""
    assert small(trace, in_memory(content), chunked=False) == sent
    assert b"".join(pieces(trace, in_file(content), chunked=False)) == sent


def test_content_in_a_file_is_not_small() -> None:
    assert small(b"", in_file(b"x\r\n"), chunked=False) is None


@given(
    st.lists(st.sampled_from([b"Received: x\r\n", b".\r\n"])).map(b"".join),
    st.lists(st.sampled_from([b".", b"\r\n", b"a", b".."])).map(b"".join),
)
def test_both_ways_are_the_same_and_come_back(trace: bytes, content: bytes) -> None:
    """CLI-5, DAT-4: what a server decodes is what was there, and the connection is in step behind it."""
    sent = small(trace, in_memory(content), chunked=False)
    assert sent == b"".join(pieces(trace, in_file(content), chunked=False))
    whole = trace + content
    decoder = wire.ContentDecoder()
    data, position, ended = decoder.decode(sent + b"QUIT\r\n", 0)
    assert ended and (sent + b"QUIT\r\n")[position:] == b"QUIT\r\n"
    assert data == whole if whole.endswith(b"\r\n") or not whole else data == whole + b"\r\n"
    assert not decoder.bare


@given(
    st.lists(st.sampled_from([b"Received: x\r\n", b".\r\n"])).map(b"".join),
    st.lists(st.sampled_from([b".", b"\r\n", b"a", b"\r", b"\n", b"\0", b"\r\n.\r\n"])).map(b"".join),
)
def test_chunked_content_goes_as_it_is(trace: bytes, content: bytes) -> None:
    """BDT-1: no dot is doubled, no end is written, no line is ended."""
    assert small(trace, in_memory(content), chunked=True) == trace + content
    assert b"".join(pieces(trace, in_file(content), chunked=True)) == trace + content
