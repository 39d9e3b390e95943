"""Replies: what is written, what is understood, and that every line fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether import reply
from mether.reply import Reply


def test_one_line_and_several() -> None:
    """RPL-1, RPL-2: the enhanced code is in front of every line."""
    assert Reply(250, "2.1.0", "sender ok").encode() == b"250 2.1.0 sender ok\r\n"
    assert Reply(214, "2.0.0", "one", "two").encode() == b"214-2.0.0 one\r\n214 2.0.0 two\r\n"
    assert Reply(354, None, "go ahead").encode() == b"354 go ahead\r\n"


def test_a_reply_without_text_keeps_its_space() -> None:
    """RPL-1."""
    assert Reply(250, None).encode() == b"250 \r\n"


def test_digits() -> None:
    """CLI-2: the first digit decides."""
    done, more, later, never = Reply(299, None), Reply(354, None), Reply(499, None), Reply(599, None)
    assert (done.ok, done.temporary, done.permanent) == (True, False, False)
    assert (more.ok, more.temporary, more.permanent) == (False, False, False)
    assert (later.ok, later.temporary, later.permanent) == (False, True, False)
    assert (never.ok, never.temporary, never.permanent) == (False, False, True)
    assert [r.digit for r in (done, more, later, never)] == [2, 3, 4, 5]


def test_long_text_is_split_at_a_space() -> None:
    """RPL-1: 512 octets with CRLF at most."""
    words = " ".join(["word"] * 300)
    lines = Reply(550, "5.7.1", words).encode().split(b"\r\n")[:-1]
    assert len(lines) == 3
    assert all(line[:10] in (b"550-5.7.1 ", b"550 5.7.1 ") for line in lines)
    assert all(line.endswith(b"word") for line in lines)


@given(
    st.integers(200, 599),
    st.sampled_from([None, "2.0.0", "5.123.456"]),
    st.lists(st.text(max_size=1500), min_size=1, max_size=4),
)
def test_every_line_fits_and_nothing_ends_one_early(code: int, status: str | None, lines: list[str]) -> None:
    """RPL-1: whatever the text, even one with CR and LF in it."""
    wire = Reply(code, status, *lines).encode()
    assert wire.endswith(b"\r\n")
    sent = wire[:-2].split(b"\r\n")
    assert all(len(line) + 2 <= reply.MAX_LINE for line in sent)
    assert all(line[3:4] == b"-" for line in sent[:-1]) and sent[-1][3:4] == b" "
    assert all(line[:3] == b"%d" % code for line in sent)
    assert wire.count(b"\n") == wire.count(b"\r") == len(sent)
    for line in sent:
        line.decode()  # no character is cut in two


def test_the_enhanced_code_is_taken_out_of_a_servers_lines() -> None:
    """RFC 2034 section 4: only where its class is the first digit's."""
    assert reply.from_lines(550, ["5.1.1 no such", "5.1.1 user"]) == Reply(550, "5.1.1", "no such", "user")
    assert reply.from_lines(550, ["5.1.1 no", "such"]) == Reply(550, "5.1.1", "no", "such")
    assert reply.from_lines(550, ["4.1.1 no"]) == Reply(550, None, "4.1.1 no")
    assert reply.from_lines(250, ["2.0.0"]) == Reply(250, "2.0.0", "")
    assert reply.from_lines(250, [""]) == Reply(250, None, "")
    assert reply.from_lines(250, ["2.0 ok"]).status is None
    assert reply.from_lines(250, ["2.0.0.0 ok"]).status is None
    assert reply.from_lines(250, ["2.0.1234 ok"]).status is None


def test_text_of_all_lines() -> None:
    given_reply = Reply(550, "5.1.1", "no", "", "such user")
    assert given_reply.text == "no such user"
    assert str(given_reply) == "550 5.1.1 no such user"
    assert str(Reply(250, None)) == "250"


@pytest.mark.parametrize("text", ["550 5.1.1 no such user", "250", "354 go ahead", "451 4.4.1 x"])
def test_what_str_wrote_can_be_read(text: str) -> None:
    found = reply.from_text(text)
    assert found is not None and str(found) == text


@pytest.mark.parametrize("text", ["", "ok", "25", "2500 ok", "25x ok", "²50 ok", "250-ok"])
def test_what_is_no_reply(text: str) -> None:
    assert reply.from_text(text) is None


def test_equality() -> None:
    assert Reply(250, "2.0.0", "ok") == Reply(250, "2.0.0", "ok")
    assert len({Reply(250, "2.0.0", "ok"), Reply(250, "2.0.0", "ok")}) == 1
    assert Reply(250, "2.0.0", "ok") != Reply(250, None, "2.0.0 ok")
    assert Reply(250, None) != "250"
