"""The server's half of the protocol: its events, whatever the cuts."""

from __future__ import annotations

import pytest
import wirepair
from hypothesis import given
from hypothesis import strategies as st

from mether.reply import Reply
from mether.smtp import server_events, state, wire
from mether.smtp.command import Command, Grammar
from mether.smtp.server import ServerProtocol
from mether.smtp.server_events import Broken, Content, EndOfContent, Invalid

OK = Reply(250, "2.0.0", "ok")
GO_AHEAD = Reply(354, None, "go ahead")


def protocol(*, max_size: int = 0, batch: bool = False, greeting: int = 220) -> ServerProtocol:
    made = ServerProtocol(Grammar(["PIPELINING", "SIZE", "8BITMIME"]), max_size=max_size, batch=batch)
    made.reply(Reply(greeting, None, "mx.example.test"))
    return made


def answer(event: object) -> Reply:
    if isinstance(event, Command):
        return GO_AHEAD if event.verb == "DATA" else OK
    if isinstance(event, Invalid):
        return event.reply
    assert isinstance(event, EndOfContent)
    return event.fault or OK


def all_events(
    data: bytes, *, sizes: list[int] | None = None, max_size: int = 0
) -> list[tuple[str, str, bytes]]:
    """In batch mode, where a barrier means nothing, so that any cut may be tried."""
    made = protocol(max_size=max_size, batch=True)
    return wirepair.events(made, data, wirepair.cuts(sizes or []), answer)  # type: ignore[arg-type]


def in_content(made: ServerProtocol) -> ServerProtocol:
    for line in (b"EHLO c\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<b@x.test>\r\n", b"DATA\r\n"):
        made.receive(line)
        event = made.next_event()
        assert isinstance(event, Command)
        made.reply(answer(event))
    assert made.state == state.CONTENT
    return made


def test_paused_until_answered() -> None:
    """CMD-4: one event, one reply."""
    made = ServerProtocol(Grammar([]))
    assert made.next_event() is server_events.PAUSED  # the greeting is owed
    made.reply(Reply(220, None, "mx"))
    assert made.next_event() is server_events.NEED_DATA
    made.receive(b"NOOP\r\nNOOP two\r\n")
    first = made.next_event()
    assert isinstance(first, Command) and first.argument == ""
    assert made.next_event() is server_events.PAUSED
    assert made.reply(OK) == b"250 2.0.0 ok\r\n"
    second = made.next_event()
    assert isinstance(second, Command) and second.argument == "two"
    made.reply(OK)
    assert made.next_event() is server_events.NEED_DATA


def test_nothing_before_crlf() -> None:
    """CMD-3: neither LF nor CR ends a command; nothing is done before CRLF is there."""
    made = protocol()
    for octets in (b"NOOP", b"\n", b"NOOP\n", b"\r", b"x\r"):
        made.receive(octets)
        assert made.next_event() is server_events.NEED_DATA
    made.receive(b"\n")
    event = made.next_event()
    assert isinstance(event, Invalid) and event.reply.code == 501


@pytest.mark.parametrize(
    ("said", "line", "reply"),
    [
        ([], b"MAIL FROM:<>", "503 5.5.1 say EHLO or HELO first"),
        ([], b"RCPT TO:<b@x.test>", "503 5.5.1 say EHLO or HELO first"),
        ([], b"DATA", "503 5.5.1 say EHLO or HELO first"),
        ([b"EHLO c"], b"RCPT TO:<b@x.test>", "503 5.5.1 say MAIL first"),
        ([b"EHLO c"], b"DATA", "503 5.5.1 no valid recipients"),
        ([b"EHLO c", b"MAIL FROM:<>"], b"DATA", "503 5.5.1 no valid recipients"),
        ([b"EHLO c", b"MAIL FROM:<>"], b"MAIL FROM:<>", "503 5.5.1 a transaction is open"),
        ([b"EHLO c", b"MAIL FROM:<>", b"RCPT TO:<b@x.test>"], b"MAIL FROM:<>", "503 5.5.1 a transaction"),
        ([b"EHLO c", b"MAIL FROM:<>", b"RSET"], b"RCPT TO:<b@x.test>", "503 5.5.1 say MAIL first"),
        ([b"EHLO c", b"MAIL FROM:<>", b"EHLO d"], b"RCPT TO:<b@x.test>", "503 5.5.1 say MAIL first"),
        ([b"EHLO c", b"MAIL FROM:<>", b"HELO d"], b"RCPT TO:<b@x.test>", "503 5.5.1 say MAIL first"),
    ],
)
def test_out_of_order(said: list[bytes], line: bytes, reply: str) -> None:
    """PIP-6, CMD-9, CMD-11, CMD-12: 503, and the state is as it was."""
    made = protocol()
    for each in said:
        made.receive(each + b"\r\n")
        event = made.next_event()
        assert isinstance(event, Command)
        made.reply(OK)
    before = made.state
    made.receive(line + b"\r\n")
    event = made.next_event()
    assert isinstance(event, Invalid)
    assert str(event.reply).startswith(reply)
    made.reply(event.reply)
    assert made.state == before


@pytest.mark.parametrize("verb", [b"NOOP", b"HELP", b"VRFY bob", b"EXPN list", b"RSET", b"QUIT"])
def test_before_hello(verb: bytes) -> None:
    """CMD-13."""
    made = protocol()
    made.receive(verb + b"\r\n")
    assert isinstance(made.next_event(), Command)


def test_esmtp_is_what_was_said_last_and_accepted() -> None:
    """TRC-4, CMD-9."""
    made = protocol()
    for line, reply, esmtp in (
        (b"HELO c\r\n", OK, False),
        (b"EHLO c\r\n", OK, True),
        (b"HELO c\r\n", Reply(550, None, "no"), True),
        (b"HELO c\r\n", OK, False),
    ):
        made.receive(line)
        made.next_event()
        made.reply(reply)
        assert made.esmtp is esmtp


def line_of(octets: int) -> bytes:
    return b"NOOP " + b"x" * (octets - 7) + b"\r\n"


@pytest.mark.parametrize("size", [1, 7, 512, 4095, 4096, 4097, 10_000])
def test_the_longest_command_line(size: int) -> None:
    """LIM-1: 4096 octets with CRLF are a command; one more is 500, and the session goes on in step."""
    for octets, good in ((wire.MAX_COMMAND_LINE, True), (wire.MAX_COMMAND_LINE + 1, False), (100_000, False)):
        found = all_events(line_of(octets) + b"RSET\r\n", sizes=[size] * (octets // size + 9))
        assert [event[0] for event in found] == ["NOOP" if good else "invalid", "RSET"]
        assert good or "500 5.5.2" in found[0][1]


def test_an_endless_line_is_not_kept() -> None:
    """LIM-1: however long it is, no more than a line is held."""
    made = protocol()
    for _ in range(100):
        made.receive(b"x" * 4000)
        assert made.next_event() is server_events.NEED_DATA
        assert made.buffered <= wire.MAX_COMMAND_LINE


def test_input_behind_a_barrier() -> None:
    """DAT-14: EHLO and DATA must be the last of what was sent; on a pipe they need not."""
    for said, line in (
        ([], b"EHLO c\r\nMAIL FROM:<>\r\n"),
        ([], b"HELO c\r\nX"),
        ([b"EHLO c\r\n", b"MAIL FROM:<>\r\n", b"RCPT TO:<b@x.test>\r\n"], b"DATA\r\nSubject: x\r\n"),
    ):
        for batch in (False, True):
            made = protocol(batch=batch)
            for each in said:
                made.receive(each)
                made.next_event()
                made.reply(OK)
            made.receive(line)
            event = made.next_event()
            if batch:
                assert isinstance(event, Command)
            else:
                assert isinstance(event, Broken)
                assert (event.reply.code, event.reply.status) == (554, "5.5.0")


def test_no_barrier_behind_the_others() -> None:
    """PIP-5: a group of RSET, MAIL and RCPT with DATA at its end is one write."""
    made = protocol()
    made.receive(b"EHLO c\r\n")
    made.next_event()
    made.reply(OK)
    made.receive(b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<b@x.test>\r\nNOOP\r\nRCPT TO:<c@x.test>\r\nDATA\r\n")
    verbs = []
    while isinstance(event := made.next_event(), Command):
        verbs.append(event.verb)
        made.reply(answer(event))
    assert verbs == ["RSET", "MAIL", "RCPT", "NOOP", "RCPT", "DATA"]
    assert made.state == state.CONTENT


GROUP = b"EHLO c\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n"
wild = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b".", b"\r\n.\r\n", b"\0", b"a", b"\xff", b"QUIT", b"DATA\r\n", b"RSET\r\n"]
    ),
    max_size=30,
).map(b"".join)


@given(wild, st.lists(st.integers(1, 7), max_size=60), st.integers(0, 20))
def test_the_same_events_whatever_the_cuts(data: bytes, sizes: list[int], max_size: int) -> None:
    """DAT-2, DAT-3, DAT-4, SIZ-4: commands, content, faults; one reply for the same octets."""
    data = GROUP + data + b"\r\n.\r\nNOOP last\r\n"
    expected = all_events(data, max_size=max_size)
    assert all_events(data, sizes=sizes, max_size=max_size) == expected
    assert all_events(data, sizes=[1] * len(data), max_size=max_size) == expected
    assert [event[0] for event in expected[:5]] == ["EHLO", "MAIL", "RCPT", "DATA", "content"]


@pytest.mark.parametrize(
    ("content", "code", "status"),
    [
        (b"a\nb\r\n", 550, "5.6.0"),
        (b"a\rb\r\n", 550, "5.6.0"),
        (b"\n", 550, "5.6.0"),
        (b"a\0b\r\n", 554, "5.6.0"),
        (b"a\0b\nc\r\n", 550, "5.6.0"),
        (b"x" * 60 + b"\n", 552, "5.3.4"),
        (b"x" * 60, 552, "5.3.4"),
    ],
)
def test_faults_are_told_after_the_true_end(content: bytes, code: int, status: str) -> None:
    """DAT-3, DAT-12, SIZ-4: and what follows is a command again."""
    data = GROUP + content + b"\r\n.\r\nNOOP\r\n"
    for sizes in ([], [1] * len(data)):
        found = all_events(data, sizes=sizes, max_size=50)
        assert [event[0] for event in found] == ["EHLO", "MAIL", "RCPT", "DATA", "content", "NOOP"]
        assert f" {code} {status} " in found[4][1]
        assert found[4][2] == b""


def test_no_content_is_given_once_it_is_known_to_be_bad() -> None:
    """SIZ-4: what is too large is not even passed on."""
    made = in_content(protocol(max_size=10))
    made.receive(b"x" * 6 + b"\r\nab")
    event = made.next_event()
    assert isinstance(event, Content) and len(event.data) == 10
    made.receive(b"x" * 1000)
    assert made.next_event() is server_events.NEED_DATA


@pytest.mark.parametrize("octets", [0, 9, 10, 11])
def test_the_size_that_counts(octets: int) -> None:
    """SIZ-2: CRLF counts, doubled dots and the end do not."""
    content = (b"." * octets)[: max(0, octets - 2)] + b"\r\n" if octets else b""
    sent = wire.stuff(content) + b".\r\n"
    [*_, event] = all_events(GROUP + sent, max_size=10)
    assert event[1].endswith("None") == (octets <= 10)
    assert event[1].startswith(f"{octets} ")


def test_far_too_much_is_the_end() -> None:
    """SIZ-4: nobody has to take in for ever what was refused."""
    made = in_content(protocol(max_size=1000))
    seen = 0
    while True:
        made.receive(b"x" * 60_000)
        seen += 60_000
        event = made.next_event()
        if isinstance(event, Broken):
            break
        assert event is server_events.NEED_DATA
        assert seen < 3_000_000
    assert (event.reply.code, event.reply.status) == (552, "5.3.4")


def test_eight_bits_are_noted() -> None:
    """8BM-1: all bits arrive, and it is known that they are there."""
    [*_, event] = all_events(GROUP + b"\xe9\r\n.\r\n")
    assert (event[1], event[2]) == ("3 True None", b"\xe9\r\n")


def test_the_end_of_the_input() -> None:
    """DAT-9: what came before it is still answered; a half line or a half content is nothing."""
    made = protocol()
    made.receive(b"NOOP\r\nNO")
    made.receive(b"")
    assert isinstance(made.next_event(), Command)
    made.reply(OK)
    assert made.next_event() is server_events.END_OF_INPUT
    made = in_content(protocol())
    made.receive(b"Subject: x\r\n.\r")
    made.receive(b"")
    event = made.next_event()
    assert isinstance(event, Content)
    assert made.next_event() is server_events.END_OF_INPUT


def test_a_session_goes_on_after_a_message() -> None:
    """CMD-4: the next transaction begins where the last one ended."""
    message = b"MAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n%b\r\n.\r\n"
    data = b"EHLO c\r\n" + message % b"one" + message % b"two" + b"QUIT\r\n"
    found = [event for event in all_events(data, sizes=[3] * 100) if event[0] == "content"]
    assert [event[2] for event in found] == [b"one\r\n", b"two\r\n"]
