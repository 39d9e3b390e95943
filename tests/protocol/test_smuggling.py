"""Nothing but CRLF . CRLF ends content: the look-alikes of SMTP smuggling, cut at every octet.

The ten byte sequences are those of December 2023 (CVE-2023-51764 to -51766, CVE-2024-27305).  A server that
takes one of them as the end of the content reads the rest of a message as commands, and with it a forged
message.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lookalikes import LOOKALIKES
from wirepair import Taker, dialogue, feed

from mether.server.dialogue import Dialogue

SMUGGLED = b"MAIL FROM:<admin@bank.example>\r\nRCPT TO:<victim@example.test>\r\nDATA\r\nForged\r\n"
END = b"\r\n.\r\n"


def at_content(taker: Taker) -> Dialogue:
    session = dialogue(taker)
    session.open()
    for line in (b"EHLO c\r\n", b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n"):
        session.receive(line)
    assert session.protocol.state == "CONTENT"
    return session


def check(taker: Taker, session: Dialogue, answers: bytes) -> None:
    """One reply to one content, refused; and the session is where it should be."""
    [reply] = answers.splitlines()
    assert reply.startswith((b"550 5.6.0 ", b"554 5.6.0 "))
    assert taker.messages == []
    assert [verb for verb, _ in taker.events].count("MAIL") == 1
    assert session.protocol.state == "READY" and not session.closing
    assert session.receive(b"NOOP\r\n") == b"250 2.0.0 ok\r\n"


@pytest.mark.parametrize("lookalike", LOOKALIKES, ids=lambda octets: octets.hex(" "))
@pytest.mark.parametrize(
    "before", [b"Subject: x\r\n\r\nbody", b"", b"Subject: x\r\n"], ids=["body", "start", "line"]
)
def test_cut_at_every_octet(lookalike: bytes, before: bytes) -> None:
    """DAT-1, DAT-2, DAT-3: content, refused after the true end; what follows is never a command."""
    data = before + lookalike + SMUGGLED + END
    assert (b"\r\n" + data).find(END) == len(data) + 2 - len(END), "the test's own content holds a true end"
    for cut in range(1, len(before + lookalike) + 8):
        taker = Taker()
        session = at_content(taker)
        answers = session.receive(data[:cut])
        assert answers == b"", "answered before the end"
        check(taker, session, session.receive(data[cut:]))
    taker = Taker()
    session = at_content(taker)
    check(taker, session, feed(session, data, lambda waiting: 1))


@pytest.mark.parametrize("lookalike", LOOKALIKES, ids=lambda octets: octets.hex(" "))
def test_alone_it_is_no_end(lookalike: bytes) -> None:
    """DAT-2: a server that took it for the end would answer here."""
    for before in (b"body", b""):
        taker = Taker()
        session = at_content(taker)
        assert feed(session, before + lookalike, lambda waiting: 1) == b""
        assert session.protocol.state == "CONTENT"
        assert "." not in [verb for verb, _ in taker.events]


@given(st.lists(st.sampled_from(LOOKALIKES), min_size=1, max_size=5), st.lists(st.integers(1, 9)))
def test_several_of_them_in_any_pieces(found: list[bytes], sizes: list[int]) -> None:
    """DAT-2."""
    data = b"x" + b"y".join(found) + b"z" + END
    given_sizes = iter(sizes)
    taker = Taker()
    session = at_content(taker)
    check(taker, session, feed(session, data, lambda waiting: next(given_sizes, waiting)))


@pytest.mark.parametrize(
    "line", [b"MAIL FROM:<a@x.test>\nRCPT TO:<b@x.test>\n", b"NOOP\rNOOP\r", b"NOOP\0\n"]
)
def test_commands_do_not_end_there_either(line: bytes) -> None:
    """CMD-3, CMD-20: LF and CR in a command are a bad character in it, in one reply."""
    session = dialogue()
    session.open()
    session.receive(b"EHLO c\r\n")
    assert session.receive(line) == b""
    assert session.receive(b"\r\n").startswith(b"501 5.5.2 ")
    assert session.protocol.state == "READY"


def test_a_true_end_and_commands_behind_it() -> None:
    """PIP-1: what comes after the true end is commands, as it should be."""
    taker = Taker()
    session = at_content(taker)
    answers = session.receive(b"one" + END + b"MAIL FROM:<>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n")
    assert [line[:3] for line in answers.splitlines()] == [b"250", b"250", b"250", b"354"]
    assert taker.messages[0].content == b"one\r\n"
