"""Content by BDAT, seen by the server's half of the protocol (RFC 3030)."""

from __future__ import annotations

import pytest
import wirepair
from hypothesis import given
from hypothesis import strategies as st

from mether.reply import Reply
from mether.smtp import server_events, state
from mether.smtp.command import Command, Grammar
from mether.smtp.server import ServerProtocol
from mether.smtp.server_events import Broken, Content, EndOfChunk, EndOfContent, Invalid

OK = Reply(250, "2.0.0", "ok")
LATER = Reply(451, "4.3.0", "later")
KEYWORDS = ["PIPELINING", "SIZE", "8BITMIME", "CHUNKING", "BINARYMIME"]
BEGIN = b"EHLO c\r\nMAIL FROM:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n"
BINARY = b"EHLO c\r\nMAIL FROM:<a@x.test> BODY=BINARYMIME\r\nRCPT TO:<b@x.test>\r\n"


def bdat(data: bytes, *, last: bool = False) -> bytes:
    return b"BDAT %d%b\r\n" % (len(data), b" LAST" if last else b"") + data


def protocol(
    keywords: list[str] = KEYWORDS, *, max_size: int = 0, lmtp: bool = False, normalize: bool = False
) -> ServerProtocol:
    """In batch mode, where a barrier means nothing, so that any cut may be tried."""
    made = ServerProtocol(Grammar(keywords), max_size=max_size, batch=True, lmtp=lmtp, normalize=normalize)
    made.reply(Reply(220, None, "mx.example.test"))
    return made


class Answers:
    """Good answers, but for the numbers of chunks in `refused`."""

    def __init__(self, keywords: list[str] = KEYWORDS, refused: tuple[int, ...] = ()) -> None:
        self.keywords = keywords
        self.refused = refused
        self.chunks = 0

    def __call__(self, event: server_events.Event) -> Reply:
        if isinstance(event, Command):
            if event.verb in ("EHLO", "LHLO"):
                return Reply(250, None, "mx", *self.keywords)
            return Reply(354, None, "go ahead") if event.verb == "DATA" else OK
        if isinstance(event, Invalid):
            return event.reply
        assert isinstance(event, EndOfChunk | EndOfContent)
        number, self.chunks = self.chunks, self.chunks + 1
        return event.fault or (LATER if number in self.refused else OK)


def events(
    data: bytes,
    sizes: list[int] | None = None,
    *,
    keywords: list[str] = KEYWORDS,
    refused: tuple[int, ...] = (),
    max_size: int = 0,
    normalize: bool = False,
) -> list[tuple[str, str, bytes]]:
    made = protocol(keywords, max_size=max_size, normalize=normalize)
    return wirepair.events(made, data, wirepair.cuts(sizes or []), Answers(keywords, refused))


def both(data: bytes, **named: object) -> list[tuple[str, str, bytes]]:
    """The events, which are the same when every octet comes alone and for every cut in two."""
    found = events(data, **named)  # type: ignore[arg-type]
    assert events(data, [1] * len(data), **named) == found  # type: ignore[arg-type]
    for cut in range(1, len(data)):
        assert events(data, [cut], **named) == found, cut  # type: ignore[arg-type]
    return found


def names(found: list[tuple[str, str, bytes]]) -> list[str]:
    return [name for name, _, _ in found]


def content(found: list[tuple[str, str, bytes]]) -> bytes:
    [(_, _, data)] = [event for event in found if event[0] == "content"]
    return data


def test_chunks() -> None:
    """BDT-1, BDT-2: octets as they are, dots and all; a reply to each chunk."""
    data = (
        BEGIN + bdat(b"Subject: x\r\n") + bdat(b"\r\n.\r\n..") + bdat(b"a\r\n.\r\n", last=True) + b"NOOP\r\n"
    )
    found = both(data)
    assert names(found) == ["EHLO", "MAIL", "RCPT", "chunk", "chunk", "content", "NOOP"]
    assert content(found) == b"Subject: x\r\n\r\n.\r\n..a\r\n.\r\n"


@pytest.mark.parametrize("pieces", [[b""], [b"a\r\n", b""], [b"", b"a\r\n", b"", b""]])
def test_empty_chunks(pieces: list[bytes]) -> None:
    """BDT-1: BDAT 0 LAST is fine, and so is BDAT 0."""
    data = BEGIN + b"".join(bdat(piece) for piece in pieces[:-1]) + bdat(pieces[-1], last=True) + b"NOOP\r\n"
    found = both(data)
    assert names(found) == ["EHLO", "MAIL", "RCPT", *["chunk"] * (len(pieces) - 1), "content", "NOOP"]
    assert content(found) == b"".join(pieces)


def test_octets_that_look_like_commands() -> None:
    """BDT-1: what is in a chunk is never a command."""
    inside = b"RSET\r\nQUIT\r\nBDAT 3\r\n.\r\nDATA\r\n\r\n.\r\n"
    assert content(both(BEGIN + bdat(inside, last=True) + b"NOOP\r\n")) == inside


def test_data_still_works() -> None:
    """BDT-1."""
    found = events(BEGIN + b"DATA\r\na\r\n.\r\n" + BEGIN[8:] + bdat(b"b\r\n", last=True))
    assert [data for name, _, data in found if name == "content"] == [b"a\r\n", b"b\r\n"]


@pytest.mark.parametrize("at", [1, 2])
def test_a_line_end_cut_between_chunks(at: int) -> None:
    """DAT-3: a CRLF in two chunks is one; and the same holds for octets that come alone."""
    text = b"a\r\n"
    found = both(BEGIN + bdat(text[:at]) + bdat(text[at:], last=True))
    assert content(found) == text
    found = both(BEGIN + bdat(b"a\r") + bdat(b"") + bdat(b"\n", last=True))
    assert content(found) == text


@pytest.mark.parametrize(
    "pieces",
    [[b"a\r", b"b"], [b"a\r"], [b"a\r", b""], [b"\n"], [b"a", b"\n"], [b"\r\n", b"\n"], [b"\r", b"\r\n"]],
)
def test_a_bare_cr_or_lf(pieces: list[bytes]) -> None:
    """DAT-3, BDT-3: refused once it is certain, and RSET has to follow where it was not the last chunk."""
    data = BEGIN + b"".join(bdat(piece) for piece in pieces[:-1]) + bdat(pieces[-1], last=True)
    found = both(data)
    assert [name for name in names(found) if name in ("chunk", "content", "invalid")]
    assert any("550 5.6.0" in text for _, text, _ in found)
    assert all(data == b"" for name, _, data in found if name == "content")


@pytest.mark.parametrize("pieces", [[b"a\r", b"b\n"], [b"\r\r\n\n\r"], [b"\r", b"\n", b"\n\r"]])
def test_normalized(pieces: list[bytes]) -> None:
    """DAT-3: by configuration a CR or LF that stands alone becomes a line end."""
    data = BEGIN + b"".join(bdat(piece) for piece in pieces[:-1]) + bdat(pieces[-1], last=True)
    whole = b"".join(pieces)
    expected = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
    assert content(both(data, normalize=True)) == expected


def test_binary() -> None:
    """8BM-4, DAT-12: any octets, NUL and bare CR and LF too, and nothing is made of them."""
    octets = bytes(range(256)) + b"\r\n\n\r.\r\n"
    for normalize in (False, True):
        data = BINARY + bdat(octets[:14]) + bdat(octets[14:], last=True)
        found = events(data, [1] * len(data), normalize=normalize)
        assert content(found) == octets
        assert content(events(data, normalize=normalize)) == octets


def test_binary_by_data() -> None:
    """8BM-4: 503, and BDAT may still follow."""
    found = events(BINARY + b"DATA\r\n" + bdat(b"\0", last=True))
    assert found[3][:2] == ("invalid", "DATA 503 5.5.1 BODY=BINARYMIME comes by BDAT, not by DATA")
    assert content(found) == b"\0"


def test_a_nul_in_text() -> None:
    """DAT-12."""
    found = both(BEGIN + bdat(b"a\0") + bdat(b"b", last=True))
    assert "554 5.6.0" in found[3][1]
    assert found[4][:2] == ("invalid", "BDAT LAST 503 5.5.1 the transaction has failed: say RSET")


@pytest.mark.parametrize(
    ("before", "reply"),
    [
        (b"", "503 5.5.1 say EHLO or HELO first"),
        (b"EHLO c\r\n", "503 5.5.1 no valid recipients"),
        (b"EHLO c\r\nMAIL FROM:<>\r\n", "503 5.5.1 no valid recipients"),
        (BEGIN + b"RSET\r\n", "503 5.5.1 no valid recipients"),
        (BEGIN + bdat(b"a", last=True), "503 5.5.1 no valid recipients"),
        (BEGIN + b"DATA\r\na\r\n.\r\n", "503 5.5.1 no valid recipients"),
    ],
)
def test_out_of_order_it_is_skipped(before: bytes, reply: str) -> None:
    """BDT-3, BDT-4: its octets are read and dropped, and then it is refused; what follows is a command."""
    for last in (False, True):
        found = both(before + bdat(b"QUIT\r\nRSET\r\nNO", last=last) + b"NOOP\r\n")
        assert found[-1][0] == "NOOP"
        assert found[-2][0] == "invalid" and reply in found[-2][1]


def test_not_offered() -> None:
    """BDT-3: BDAT where CHUNKING is not offered is skipped all the same."""
    keywords = ["PIPELINING", "SIZE"]
    found = both(BEGIN + bdat(b"QUIT\r\n", last=True) + b"DATA\r\na\r\n.\r\n", keywords=keywords)
    assert found[3][:2] == ("invalid", "BDAT LAST 502 5.5.1 not offered here")
    assert content(found) == b"a\r\n"


@pytest.mark.parametrize(
    "line", [b"DATA", b"RCPT TO:<c@x.test>", b"MAIL FROM:<>", b"STARTTLS", b"AUTH PLAIN"]
)
def test_between_chunks(line: bytes) -> None:
    """BDT-4: 503 to what does not belong there, and the chunks go on."""
    found = both(BEGIN + bdat(b"a") + line + b"\r\n" + b"NOOP\r\n" + bdat(b"b", last=True))
    assert names(found) == ["EHLO", "MAIL", "RCPT", "chunk", "invalid", "NOOP", "content"]
    assert "503 5.5.1" in found[4][1]
    assert content(found) == b"ab"


@pytest.mark.parametrize("line", [b"RSET\r\n", b"EHLO d\r\n"])
def test_reset_between_chunks(line: bytes) -> None:
    """BDT-3, CMD-24: what came before it is forgotten."""
    rest = BEGIN.partition(b"\r\n")[2]
    found = both(BEGIN + bdat(b"a\r") + line + rest + bdat(b"b", last=True))
    last = found[-1]
    assert (last[0], last[1].split()[0]) == ("content", "1")
    assert "None" in last[1]


@pytest.mark.parametrize("refused", [0, 1])
def test_a_refused_chunk_spoils_the_transaction(refused: int) -> None:
    """BDT-3: the chunks behind it are dropped, whatever is said there is 503, and RSET clears it."""
    rest = BEGIN.partition(b"\r\n")[2]
    data = (
        BEGIN + bdat(b"one") + bdat(b"two") + bdat(b"three") + bdat(b"four", last=True)
        + b"RCPT TO:<c@x.test>\r\nDATA\r\nMAIL FROM:<>\r\nNOOP\r\nRSET\r\n"
        + rest + bdat(b"good", last=True)
    )  # fmt: skip
    found = both(data, refused=(refused,))
    assert names(found) == (
        ["EHLO", "MAIL", "RCPT"]
        + ["chunk"] * (refused + 1)
        + ["invalid"] * (3 - refused)
        + ["invalid"] * 3
        + ["NOOP", "RSET", "MAIL", "RCPT", "content"]
    )
    assert all("503 5.5.1" in text for name, text, _ in found if name == "invalid")
    assert found[-1][2][-4:] == b"good"


def test_the_state_says_so() -> None:
    """BDT-3."""
    made = protocol()
    answers = Answers(refused=(0,))
    made.receive(BEGIN + bdat(b"a") + b"RSET\r\n")
    seen = []
    while not isinstance(event := made.next_event(), server_events.NeedData):
        made.reply(answers(event))
        seen.append(made.state)
    assert seen == [state.READY, state.MAIL, state.RCPT, state.SPOILT, state.READY]


@pytest.mark.parametrize(
    "line",
    [b"BDAT", b"BDAT x", b"BDAT -1 LAST", b"BDAT " + b"9" * 21, b"BDAT 4\n", b"BDAT " + b"0" * 5000 + b"4"],
)
@pytest.mark.parametrize("before", [b"", b"EHLO c\r\n", BEGIN])
def test_a_size_that_cannot_be_read_is_the_end(line: bytes, before: bytes) -> None:
    """BDT-5: nothing behind it is ever read as a command."""
    data = before + line + b"\r\nQUIT\r\nRSET\r\n"
    expected = events(data)
    assert expected[-1][0] == "broken" and expected[-1][1].startswith("501 5.5.4")
    for size in (1, 7, 1000):
        assert events(data, [size] * len(data)) == expected


def test_an_enormous_chunk() -> None:
    """BDT-5: nobody has to read that."""
    for line in (b"BDAT 99999999999999999999\r\n", b"BDAT 1050000 LAST\r\n"):
        for before in (b"", b"EHLO c\r\n", BEGIN):
            found = events(before + line + b"x" * 100, max_size=100)
            assert found[-1][0] == "broken" and found[-1][1].startswith("552 5.3.4")


def test_too_large() -> None:
    """BDT-5, SIZ-4: read to its end, then 552; over all the chunks together."""
    found = both(BEGIN + bdat(b"x" * 11, last=True) + b"NOOP\r\n", max_size=10)
    assert "552 5.3.4" in found[3][1] and found[4][0] == "NOOP"
    found = both(BEGIN + bdat(b"x" * 6) + bdat(b"x" * 5, last=True) + b"NOOP\r\n", max_size=10)
    assert names(found)[3:] == ["chunk", "content", "NOOP"] and "552 5.3.4" in found[4][1]
    found = both(BEGIN + bdat(b"x" * 6) + bdat(b"x" * 5) + bdat(b"x", last=True) + b"NOOP\r\n", max_size=10)
    assert names(found)[3:] == ["chunk", "chunk", "invalid", "NOOP"] and "552 5.3.4" in found[4][1]
    assert content(both(BEGIN + bdat(b"x" * 6) + bdat(b"x" * 4, last=True), max_size=10)) == b"x" * 10


def test_many_chunks_are_too_large_in_all() -> None:
    """BDT-5: a client that goes on although it was refused is cut off, or its chunks skipped."""
    made = protocol(max_size=100)
    answers = Answers()
    made.receive(BEGIN)
    while not isinstance(event := made.next_event(), server_events.NeedData):
        made.reply(answers(event))
    for _ in range(5):
        made.receive(bdat(b"x" * 90))
        event = made.next_event()
        assert isinstance(event, EndOfChunk | Invalid)
        made.reply(answers(event))
    assert made.state == state.SPOILT


def test_the_input_ends_in_a_chunk() -> None:
    """DAT-9: no content was ever complete."""
    made = protocol()
    answers = Answers()
    made.receive(BEGIN + b"BDAT 10 LAST\r\nabc")
    made.receive(b"")
    while isinstance(event := made.next_event(), Command):
        made.reply(answers(event))
    assert isinstance(event, Content) and event.data == b"abc"
    assert made.in_content
    assert made.next_event() is server_events.END_OF_INPUT


def test_pipelined_behind_a_chunk() -> None:
    """PIP-2: chunks may follow each other unanswered; BDAT is no barrier on a socket either."""
    made = ServerProtocol(Grammar(KEYWORDS))
    made.reply(Reply(220, None, "mx"))
    answers = Answers()
    made.receive(b"EHLO c\r\n")
    seen = []
    for octets in (
        b"",
        BEGIN.partition(b"\r\n")[2] + bdat(b"a") + bdat(b"b", last=True) + b"RSET\r\nQUIT\r\n",
    ):
        if octets:
            made.receive(octets)
        while not isinstance(event := made.next_event(), server_events.NeedData):
            assert not isinstance(event, Broken)
            seen.append(type(event).__name__)
            made.reply(answers(event))
    assert seen == ["Command"] * 3 + ["EndOfChunk", "EndOfContent"] + ["Command"] * 2


texts = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"\r\n.\r\n", b"\0", b"a", b"\xff", b"QUIT\r\n"]),
    max_size=9,
).map(b"".join)


@given(
    st.lists(texts, min_size=1, max_size=4), st.lists(st.integers(1, 9)), st.booleans(), st.integers(0, 12)
)
def test_the_same_events_whatever_the_cuts(
    pieces: list[bytes], sizes: list[int], normalize: bool, max_size: int
) -> None:
    """BDT-1 to BDT-5."""
    for begin in (BEGIN, BINARY, b"EHLO c\r\n"):
        data = (
            begin + b"".join(bdat(piece) for piece in pieces[:-1]) + bdat(pieces[-1], last=True) + b"NOOP\r\n"
        )
        expected = events(data, max_size=max_size, normalize=normalize)
        assert events(data, sizes, max_size=max_size, normalize=normalize) == expected
        assert events(data, [1] * len(data), max_size=max_size, normalize=normalize) == expected
        assert expected[-1][0] == "NOOP"
        assert len(expected) == begin.count(b"\r\n") + len(pieces) + 1


def test_an_lmtp_client_is_answered_for_each_recipient() -> None:
    """LMT-2: of a last chunk that is skipped too; where nobody was accepted, with nothing."""
    made = protocol(lmtp=True)
    hello, mail, rcpt = b"LHLO c\r\n", b"MAIL FROM:<a@x.test>\r\n", b"RCPT TO:<b@x.test>\r\n"
    refused = Reply(550, "5.1.1", "nobody")

    def said(octets: bytes, *replies: Reply) -> list[bytes]:
        """What each reply puts on the wire; none is awaited behind them."""
        made.receive(octets)
        written = []
        for reply in replies:
            event = made.next_event()
            written.append(made.reply(event.reply if isinstance(event, Invalid) else reply))
        assert made.next_event() is server_events.NEED_DATA
        return written

    said(hello + mail + rcpt, Reply(250, None, "mx", *KEYWORDS), OK, refused)
    assert said(bdat(b"x" * 9, last=True)) == []
    assert said(bdat(b"x" * 9)[:12]) == []
    (skipped,) = said(b"x" * 5 + bdat(b"", last=True) * 3000 + b"BDAT 0\r\n", *[OK] * 2)[1:]
    assert skipped.startswith(b"503 ")
    said(b"RSET\r\n" + mail + rcpt * 3 + bdat(b"x"), *[OK] * 4, refused, LATER)
    (last,) = said(bdat(b"y", last=True), OK)
    assert last.count(b"503 5.5.1") == 2
