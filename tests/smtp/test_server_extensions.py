"""AUTH, STARTTLS, LMTP and the offer, seen by the server's half of the protocol."""

from __future__ import annotations

import pytest
import wirepair
from hypothesis import given
from hypothesis import strategies as st

from mether.reply import Reply
from mether.smtp import server_events, state, wire
from mether.smtp.command import Command, Grammar
from mether.smtp.server import ServerProtocol
from mether.smtp.server_events import Broken, EndOfContent, Invalid

OK = Reply(250, "2.0.0", "ok")
GO = Reply(354, None, "go ahead")
CHALLENGE = Reply(334, None, "")
DONE = Reply(235, "2.7.0", "welcome")


def protocol(*keywords: str, batch: bool = False, lmtp: bool = False) -> ServerProtocol:
    made = ServerProtocol(Grammar(keywords), batch=batch, lmtp=lmtp)
    made.reply(Reply(220, None, "mx.example.test"))
    return made


def say(made: ServerProtocol, line: bytes, reply: Reply | None = OK) -> server_events.Event:
    """Send a line and answer it; what it was."""
    made.receive(line + b"\r\n")
    event = made.next_event()
    if isinstance(event, Invalid):
        made.reply(event.reply)
    elif reply is not None and not isinstance(event, Broken):
        made.reply(reply)
    return event


def offering(made: ServerProtocol, *keywords: str, verb: bytes = b"EHLO") -> None:
    event = say(made, verb + b" c", Reply(250, None, "mx", *keywords))
    assert isinstance(event, Command)


def test_auth() -> None:
    """AUT-3: the line of AUTH as it came, then each response, until the exchange is over."""
    made = protocol()
    offering(made, "AUTH PLAIN LOGIN")
    event = say(made, b"AUTH PLAIN AGEAYg==", CHALLENGE)
    assert isinstance(event, Command)
    assert (event.verb, event.argument, made.state) == ("AUTH", "PLAIN AGEAYg==", state.AUTH)
    for line in (b"", b"*", b"QUIT", b"RSET", b"AAAA", b"\xff", b" x "):
        event = say(made, line, CHALLENGE)
        assert isinstance(event, Command)
        assert (event.verb, event.argument) == ("RESPONSE", line.decode("latin-1"))
    say(made, b"AAAA", DONE)
    assert made.state == state.READY
    event = say(made, b"QUIT", Reply(221, "2.0.0", "bye"))
    assert isinstance(event, Command) and event.verb == "QUIT"


@pytest.mark.parametrize(
    ("before", "reply"),
    [([], "say EHLO or HELO first"), ([b"EHLO c", b"MAIL FROM:<>"], "not inside a transaction")],
)
def test_auth_out_of_order(before: list[bytes], reply: str) -> None:
    """AUT-2: 503."""
    made = protocol()
    for line in before:
        say(made, line)
    event = say(made, b"AUTH PLAIN AGEAYg==")
    assert isinstance(event, Invalid)
    assert event.reply.code == 503 and reply in event.reply.text


@pytest.mark.parametrize("line", [b"AUTH PLAIN\r\nAGEAYg==", b"AUTH LOGIN\r\n"])
def test_nothing_may_follow_auth(line: bytes) -> None:
    """PIP-2, DAT-14: a response before its challenge is no conversation."""
    made = protocol()
    offering(made, "AUTH PLAIN LOGIN")
    assert isinstance(say(made, line), Broken)
    made = protocol()
    offering(made, "AUTH LOGIN")
    say(made, b"AUTH LOGIN", CHALLENGE)
    assert isinstance(say(made, b"AAAA\r\nAAAA"), Broken)


@pytest.mark.parametrize("size", [1, 100, 4096, 12_290, 30_000])
@pytest.mark.parametrize("octets", [wire.MAX_AUTH_LINE, wire.MAX_AUTH_LINE + 1, 50_000])
def test_the_longest_response(octets: int, size: int) -> None:
    """LIM: 12288 octets of base64 and CRLF; one more is 500 5.5.6, and the exchange is over."""
    if size == 1 and octets == 50_000:
        size = 9
    made = protocol()
    offering(made, "AUTH LOGIN")
    say(made, b"AUTH LOGIN", CHALLENGE)
    line = b"A" * (octets - 2) + b"\r\n"
    event: server_events.Event = server_events.NEED_DATA
    while event is server_events.NEED_DATA:
        assert line
        made.receive(line[:size])
        line = line[size:]
        event = made.next_event()
        assert made.buffered <= wire.MAX_AUTH_LINE + size
    if octets <= wire.MAX_AUTH_LINE:
        assert isinstance(event, Command)
        made.reply(DONE)
    else:
        assert isinstance(event, Invalid) and (event.reply.code, event.reply.status) == (500, "5.5.6")
        made.reply(event.reply)
    assert made.state == state.READY
    assert isinstance(say(made, b"NOOP"), Command)


@pytest.mark.parametrize(("octets", "good"), [(12_290, True), (12_291, False)])
@pytest.mark.parametrize("size", [3, 4096, 20_000])
def test_the_longest_auth_command(octets: int, good: bool, size: int) -> None:
    """LIM: a response may stand in AUTH, which is longer than any other command then."""
    data = b"EHLO c\r\nauth PLAIN " + b"A" * (octets - 13) + b"\r\nNOOP\r\n"
    made = ServerProtocol(Grammar([]), batch=True)
    made.reply(Reply(220, None, "mx"))
    found = wirepair.events(
        made,
        data,
        wirepair.cuts([size] * len(data)),
        lambda event: event.reply if isinstance(event, Invalid) else OK,
    )
    assert [name for name, _, _ in found] == ["EHLO", "AUTH" if good else "invalid", "NOOP"]
    assert good or "500 5.5.2" in found[1][1]


def test_starttls_forgets() -> None:
    """TLS-2: the hello, the offer, what a transaction had said of UTF-8."""
    made = protocol("SMTPUTF8", "8BITMIME")
    offering(made, "SMTPUTF8", "DSN", "STARTTLS")
    assert isinstance(say(made, "MAIL FROM:<é@x.test> SMTPUTF8".encode()), Command)
    event = say(made, b"STARTTLS")
    assert isinstance(event, Invalid) and event.reply.code == 503  # not inside a transaction
    say(made, b"RSET")
    assert isinstance(say(made, b"STARTTLS", Reply(220, "2.0.0", "go")), Command)
    made.tls_started()
    assert (made.state, made.esmtp) == (state.GREETED, False)
    for line in (b"MAIL FROM:<>", b"RCPT TO:<b@x.test>", b"STARTTLS", b"AUTH PLAIN", b"DATA", b"BDAT 0 LAST"):
        event = say(made, line)
        assert isinstance(event, Invalid) and str(event.reply).startswith("503 5.5.1 say EHLO")
    offering(made, "SIZE")
    event = say(made, b"MAIL FROM:<> RET=FULL")
    assert isinstance(event, Invalid) and event.reply.code == 555


def test_starttls_refused_changes_nothing() -> None:
    """TLS-1."""
    made = protocol()
    offering(made, "STARTTLS", "DSN")
    say(made, b"STARTTLS", Reply(454, "4.7.0", "not now"))
    assert (made.state, made.esmtp) == (state.READY, True)
    assert isinstance(say(made, b"MAIL FROM:<> RET=FULL"), Command)


@given(st.binary(min_size=1, max_size=40))
def test_plaintext_behind_starttls(injected: bytes) -> None:
    """TLS-3, DAT-14: with the command it is the end; after the 220 it is the end too."""
    made = protocol()
    offering(made, "STARTTLS")
    made.receive(b"STARTTLS\r\n" + injected)
    assert isinstance(made.next_event(), Broken)
    made = protocol()
    offering(made, "STARTTLS")
    say(made, b"STARTTLS", Reply(220, "2.0.0", "go"))
    made.receive(injected)
    with pytest.raises(ValueError, match="plaintext"):
        made.tls_started()


def test_the_grammar_is_the_offer() -> None:
    """CMD-8, CMD-18: a parameter is taken exactly where the latest EHLO reply had its extension."""
    made = protocol("SIZE")
    offering(made, "SIZE", "DSN")
    assert isinstance(say(made, b"MAIL FROM:<> RET=FULL"), Command)
    offering(made, "SIZE")
    event = say(made, b"MAIL FROM:<> RET=FULL")
    assert isinstance(event, Invalid) and event.reply.code == 555
    say(made, b"EHLO d", Reply(550, "5.7.1", "no"))
    assert isinstance(say(made, b"MAIL FROM:<> SIZE=1"), Command)


def test_helo_forgets_what_ehlo_offered() -> None:
    """CMD-7: what is taken then is what everybody may say."""
    made = protocol("SIZE")
    offering(made, "SIZE", "DSN")
    say(made, b"HELO c", Reply(250, None, "mx"))
    event = say(made, b"MAIL FROM:<> RET=FULL")
    assert isinstance(event, Invalid) and event.reply.code == 555


@pytest.mark.parametrize(("lmtp", "verb"), [(True, b"EHLO"), (True, b"HELO"), (False, b"LHLO")])
def test_the_wrong_hello(lmtp: bool, verb: bytes) -> None:
    """RFC 2033 section 4.1: 500, and the right one still works."""
    made = protocol(lmtp=lmtp)
    event = say(made, verb + b" c")
    assert isinstance(event, Invalid) and (event.reply.code, event.reply.status) == (500, "5.5.1")
    assert made.state == state.GREETED
    offering(made, "SIZE", verb=b"LHLO" if lmtp else b"EHLO")
    assert made.state == state.READY and made.esmtp


@pytest.mark.parametrize("reply", [OK, Reply(451, "4.3.0", "later"), Reply(554, "5.6.0", "one", "two")])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("accepted", [1, 2, 7])
def test_a_reply_for_each_recipient(reply: Reply, chunked: bool, accepted: int) -> None:
    """RFC 2033 sections 4.2 and 4.3: behind the content, for those that were accepted, and for no other."""
    made = protocol(lmtp=True)
    offering(made, "CHUNKING", "PIPELINING", verb=b"LHLO")
    for _ in range(2):
        say(made, b"MAIL FROM:<>")
        for number in range(accepted):
            say(made, b"RCPT TO:<b%d@x.test>" % number)
            say(made, b"RCPT TO:<no@x.test>", Reply(550, "5.1.1", "no"))
        if chunked:
            made.receive(b"BDAT 3\r\na\r\nBDAT 0 LAST\r\n")
            assert isinstance(made.next_event(), server_events.EndOfChunk)
            assert made.reply(OK) == OK.encode()
        else:
            say(made, b"DATA", GO)
            made.receive(b"a\r\n.\r\n")
        assert isinstance(made.next_event(), EndOfContent)
        assert made.reply(reply) == reply.encode() * accepted
        assert made.state == state.READY


def test_421_is_said_once() -> None:
    """RFC 5321 section 3.8: it is about the session and not about a recipient."""
    made = protocol(lmtp=True)
    offering(made, verb=b"LHLO")
    for line in (b"MAIL FROM:<>", b"RCPT TO:<b@x.test>", b"RCPT TO:<c@x.test>"):
        say(made, line)
    say(made, b"DATA", GO)
    made.receive(b".\r\n")
    assert isinstance(made.next_event(), EndOfContent)
    closing = Reply(421, "4.3.2", "closing")
    assert made.reply(closing) == closing.encode()
    assert made.state == state.CLOSED


def test_xclient_begins_anew() -> None:
    """After 220 EHLO comes next; a refused one changes nothing."""
    made = protocol()
    offering(made, "XCLIENT ADDR")
    say(made, b"XCLIENT ADDR=192.0.2.1", Reply(550, "5.7.1", "no"))
    assert made.state == state.READY
    say(made, b"XCLIENT ADDR=192.0.2.1", Reply(220, None, "mx"))
    assert made.state == state.GREETED
