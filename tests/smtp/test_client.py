"""The client's half of the protocol: replies in order, and a hostile server's limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.reply import Reply
from mether.smtp import client, state
from mether.smtp.client import ClientProtocol, LocalError, ProtocolFault

GREETING = b"220 mx.example.test ESMTP\r\n"
HELLO = b"250-mx.example.test\r\n250-PIPELINING\r\n250-size 1000\r\n250 8BITMIME\r\n"


def events(made: ClientProtocol) -> list[tuple[str, Reply]]:
    out = []
    while isinstance(event := made.next_event(), tuple):
        out.append(event)
    return out


def greeted() -> ClientProtocol:
    made = ClientProtocol()
    made.receive(GREETING)
    assert [verb for verb, _ in events(made)] == ["greeting"]
    return made


def ready() -> ClientProtocol:
    made = greeted()
    made.send("EHLO", b"EHLO c\r\n")
    made.receive(HELLO)
    events(made)
    return made


def test_the_first_reply_is_the_greeting() -> None:
    """CLI-1: nothing is said before it."""
    made = ClientProtocol()
    assert (made.outstanding, made.awaited) == (1, "greeting")
    with pytest.raises(LocalError):
        made.send("EHLO", b"EHLO c\r\n")
    made.receive(GREETING)
    assert made.next_event() == ("greeting", Reply(220, None, "mx.example.test ESMTP"))
    assert (made.state, made.outstanding, made.awaited) == (state.GREETED, 0, "")
    assert made.greeting is not None


def test_the_offer_is_the_latest_ones() -> None:
    """CLI-3: HELO offers nothing, a refused EHLO changes nothing."""
    made = ready()
    assert "PIPELINING" in made.offer and made.offer.size_limit == 1000
    made.send("EHLO", b"EHLO c\r\n")
    made.receive(b"502 no\r\n")
    events(made)
    assert "PIPELINING" in made.offer
    made.send("HELO", b"HELO c\r\n")
    made.receive(b"250-mx\r\n250 PIPELINING\r\n")
    events(made)
    assert "PIPELINING" not in made.offer


@given(st.lists(st.integers(1, 5)))
def test_replies_belong_to_commands_in_order(sizes: list[int]) -> None:
    """PIP-3, CLI-2: counted, whatever they say and however they are cut."""
    made = ready()
    for verb in ("RSET", "MAIL", "RCPT", "RCPT", "DATA"):
        made.send(verb, b"")
    data = b"250 ok\r\n299-2.1.0 odd\r\n299 2.1.0\r\n550-5.1.1 no\r\n550 user\r\n251\r\n354 go\r\n"
    out = []
    for size in [*sizes, len(data)]:
        if data[:size]:
            made.receive(data[:size])
        data = data[size:]
        out += events(made)
    assert [(verb, reply.code, reply.status) for verb, reply in out] == [
        ("RSET", 250, None),
        ("MAIL", 299, "2.1.0"),
        ("RCPT", 550, "5.1.1"),
        ("RCPT", 251, None),
        ("DATA", 354, None),
    ]
    assert out[2][1].lines == ("no", "user")
    assert made.state == state.CONTENT


def test_nothing_behind_a_barrier() -> None:
    """PIP-2: a mistake of the caller's, told at once."""
    made = greeted()
    made.send("EHLO", b"")
    for verb in ("MAIL", "NOOP", "QUIT"):
        with pytest.raises(LocalError):
            made.send(verb, b"")
    assert made.outstanding == 1


def test_no_content_before_354() -> None:
    """CLI-4."""
    made = ready()
    for verb in ("MAIL", "RCPT", "DATA"):
        made.send(verb, b"")
    with pytest.raises(LocalError):
        made.content_sent()
    made.receive(b"250 ok\r\n250 ok\r\n451 later\r\n")
    events(made)
    with pytest.raises(LocalError):
        made.content_sent()


def test_content_and_what_follows_it_in_one_group() -> None:
    """PIP-1: the message text may be the first of a group."""
    made = ready()
    for verb in ("MAIL", "RCPT", "DATA"):
        made.send(verb, b"")
    made.receive(b"250 ok\r\n250 ok\r\n354 go\r\n")
    events(made)
    with pytest.raises(LocalError):
        made.send("NOOP", b"")  # it would be content
    made.content_sent()
    for verb in ("MAIL", "RCPT", "DATA"):
        made.send(verb, b"")
    made.receive(b"250 taken\r\n250 ok\r\n550 no\r\n503 no\r\n")
    assert [verb for verb, _ in events(made)] == [".", "MAIL", "RCPT", "DATA"]
    assert made.state == state.MAIL


def test_a_reply_for_each_recipient() -> None:
    """LMT: the state changes with the last one."""
    made = ready()
    for verb in ("MAIL", "RCPT", "RCPT", "DATA"):
        made.send(verb, b"")
    made.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    events(made)
    made.content_sent()
    made.expect_another()
    made.receive(b"250 taken\r\n")
    assert len(events(made)) == 1 and made.state == state.CONTENT
    made.receive(b"451 full\r\n")
    assert len(events(made)) == 1 and made.state == state.READY


@pytest.mark.parametrize(
    ("octets", "code", "text"),
    [
        (b"250\r\n", 250, ""),
        (b"250 \r\n", 250, ""),
        (b"250-\r\n250\r\n", 250, ""),
        (b"299 odd\r\n", 299, "odd"),
        (b"250 gr\xc3\xbcn\r\n", 250, "grün"),
        (b"250 \xff\x1b[2J\r\n", 250, "\ufffd?[2J"),
        (b"250 a\rb\nc\r\n", 250, "a?b?c"),
    ],
)
def test_replies_that_are_odd_but_good(octets: bytes, code: int, text: str) -> None:
    """CLI-2: and what is shown to a person can do no harm there."""
    made = ready()
    made.send("NOOP", b"")
    made.receive(octets)
    [(verb, reply)] = events(made)
    assert (verb, reply.code, reply.text) == ("NOOP", code, text)


@pytest.mark.parametrize(
    "octets",
    [
        b"\r\n",
        b"25\r\n",
        b"ok\r\n",
        b"HTTP/1.1 400 Bad Request\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"2500 ok\r\n",
        b"250_ok\r\n",
        b"150 hm\r\n",
        b"000 hm\r\n",
        b"600 hm\r\n",
        b"999 hm\r\n",
        b"250-one\r\n251 two\r\n",
        b"250-one\r\nok\r\n",
        b"\xb2\xb5\xb0 x\r\n",
        b"250 " + b"x" * 5000 + b"\r\n",
        b"x" * 4096,
        b"250-x\r\n" * 300,
        b"250 ok\r\n250 for nothing\r\n",
        b"\x16\x03\x01\x02\x00\r\n",
    ],
)
def test_what_is_no_smtp(octets: bytes) -> None:
    """CLI-2: out of range, not a reply, endless: a fault, with words that can be shown."""
    made = ready()
    made.send("NOOP", b"")
    made.receive(octets)
    with pytest.raises(ProtocolFault) as caught:
        events(made)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1200


def test_how_much_a_server_can_make_us_hold() -> None:
    """A reply line of 4096 octets and 256 lines are taken."""
    made = ready()
    made.send("NOOP", b"")
    made.receive(b"250-x\r\n" * 255 + b"250 " + b"x" * 4090 + b"\r\n")
    assert len(events(made)) == 1


def test_421_at_any_time() -> None:
    """CLI-9: even as an answer to nothing."""
    made = ready()
    made.receive(b"421 4.3.2 shutting down\r\n")
    assert events(made) == [("", Reply(421, "4.3.2", "shutting down"))]
    assert made.state == state.CLOSED
    with pytest.raises(LocalError):
        made.send("QUIT", b"QUIT\r\n")


def test_the_end_of_the_input() -> None:
    """CLI-9: what came before it counts, half a line does not."""
    made = ClientProtocol()
    made.receive(b"554 go away\r\n25")
    made.receive(b"")
    assert len(events(made)) == 1
    assert made.next_event() == client.END_OF_INPUT


@pytest.mark.parametrize("code", [421, 452, 552])
def test_a_refusal_in_mid_content_is_the_reply_to_its_end(code: int) -> None:
    """The server says it once; the rest of the content cannot become a message any more."""
    made = ready()
    made.send("DATA", b"")
    made.receive(b"354 go\r\n%d no\r\n" % code)
    assert [(verb, reply.code) for verb, reply in events(made)] == [("DATA", 354), (".", code)]
    assert made.state == state.CLOSED
    with pytest.raises(client.LocalError):
        made.content_sent()


def test_an_acceptance_in_mid_content_is_a_fault() -> None:
    """PIP-3: nothing was there to be accepted yet."""
    made = ready()
    made.send("DATA", b"")
    made.receive(b"354 go\r\n250 taken\r\n")
    with pytest.raises(client.ProtocolFault, match="a reply to nothing"):
        events(made)


def test_an_auth_exchange() -> None:
    """AUT-3, PIP-2: one line at a time, and nothing but a response in between."""
    made = ready()
    made.send("AUTH", b"AUTH LOGIN\r\n")
    with pytest.raises(LocalError):
        made.send("RESPONSE", b"AAAA\r\n")
    for octets in (b"334 VXNlcm5hbWU6\r\n", b"334-\r\n334 \r\n", b"334\r\n"):
        made.receive(octets)
        assert [reply.code for _, reply in events(made)] == [334] and made.state == state.AUTH
        for verb in ("QUIT", "MAIL", "AUTH"):
            with pytest.raises(LocalError):
                made.send(verb, b"")
        made.send("RESPONSE", b"AAAA\r\n")
    made.receive(b"535 5.7.8 no\r\n")
    assert [verb for verb, _ in events(made)] == ["RESPONSE"] and made.state == state.READY
    with pytest.raises(LocalError):
        made.send("RESPONSE", b"AAAA\r\n")
    made.send("MAIL", b"")


def test_starttls_forgets() -> None:
    """TLS-2: the offer, and the next thing that is said is EHLO."""
    made = ready()
    made.send("STARTTLS", b"STARTTLS\r\n")
    with pytest.raises(LocalError):
        made.send("EHLO", b"EHLO c\r\n")
    made.receive(b"220 go\r\n")
    events(made)
    made.tls_started()
    assert made.state == state.GREETED and not made.offer.keywords
    made.send("EHLO", b"EHLO c\r\n")
    made.receive(b"250-mx\r\n250 AUTH PLAIN\r\n")
    events(made)
    assert made.offer.mechanisms == ("PLAIN",)


@pytest.mark.parametrize("injected", [b"2", b"250 ok\r\n", b"250-x\r\n", b"\r\n", b"\0"])
def test_plaintext_behind_the_220(injected: bytes) -> None:
    """TLS-3: with it or after it, whole or not."""
    for octets in ([b"220 go\r\n" + injected], [b"220 go\r\n", injected]):
        made = ready()
        made.send("STARTTLS", b"STARTTLS\r\n")
        made.receive(octets[0])
        assert isinstance(made.next_event(), tuple)
        made.receive(b"".join(octets[1:]) or b"")
        with pytest.raises(ProtocolFault):
            made.tls_started()


def test_chunks_one_after_the_other() -> None:
    """BDT-2, BDT-3, PIP-2: a reply each; a refused one spoils the transaction until RSET."""
    made = ready()
    for verb in ("MAIL", "RCPT", "BDAT", "BDAT", "BDAT LAST", "RSET"):
        made.send(verb, b"")
    made.receive(b"250 ok\r\n250 ok\r\n250 ok\r\n451 full\r\n503 skipped\r\n")
    assert [reply.code for _, reply in events(made)] == [250, 250, 250, 451, 503]
    assert made.state == state.SPOILT
    made.receive(b"250 ok\r\n")
    events(made)
    assert made.state == state.READY


@pytest.mark.parametrize("verb", [state.END_OF_CONTENT, state.LAST_CHUNK])
def test_replies_for_each_recipient_by_dot_and_by_chunk(verb: str) -> None:
    """RFC 2033 section 4.2: the transaction is over with the last of them."""
    made = ready()
    for each in ("MAIL", "RCPT", "RCPT", "RCPT"):
        made.send(each, b"")
    made.receive(b"250 ok\r\n" * 4)
    events(made)
    if verb == state.LAST_CHUNK:
        made.send(verb, b"")
    else:
        made.send("DATA", b"")
        made.receive(b"354 go\r\n")
        events(made)
        made.content_sent()
    made.expect_another()
    made.expect_another()
    for code, then in ((250, ""), (451, ""), (550, state.READY)):
        made.receive(b"%d x\r\n" % code)
        [(answered, reply)] = events(made)
        assert (answered, reply.code) == (verb, code)
        assert (made.state == state.READY) == bool(then)


def test_nothing_opens_a_session_again() -> None:
    """CLI-9: what comes behind a 421 changes nothing."""
    made = ready()
    for verb in ("MAIL", "RCPT", "DATA"):
        made.send(verb, b"")
    made.receive(b"421 closing\r\n250 ok\r\n354 go\r\n")
    events(made)
    assert made.state == state.CLOSED
    with pytest.raises(LocalError):
        made.send("EHLO", b"")


@pytest.mark.parametrize("octets", [b"what is %s?\r\n", b"999 %s\r\n", b"535-5.7.8 no\r\n534 %s\r\n"])
def test_a_fault_in_an_auth_exchange_quotes_nothing(octets: bytes) -> None:
    """AUT: the server may quote our credentials, and a fault is told to the log and the sender."""
    made = ready()
    made.send("AUTH", b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n")
    made.receive(octets.replace(b"%s", b"AGFubgBzZWNyZXQ="))
    with pytest.raises(client.ProtocolFault) as fault:
        events(made)
    assert str(fault.value).endswith(": [hidden]")


@pytest.mark.parametrize("code", [b"250", b"421 4.7.0", b"not code"])
@pytest.mark.parametrize("together", [True, False])
def test_a_reply_to_nothing_after_auth_quotes_nothing(code: bytes, together: bool) -> None:
    """AUT: nor does a server get its quotation through behind its reply."""
    made = ready()
    made.send("AUTH", b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n")
    unasked = code + b" what is AGFubgBzZWNyZXQ=?\r\n"
    made.receive(b"535 5.7.8 no\r\n" + (unasked if together else b""))
    told = []
    try:
        told += [str(reply) for _, reply in [made.next_event()] if reply]  # type: ignore[misc]
        if not together:
            made.receive(unasked)
        told += [str(reply) for _, reply in events(made)]
    except client.ProtocolFault as fault:
        told.append(str(fault))
    assert told[0] == "535 5.7.8 no"
    assert [one.endswith("[hidden]") for one in told[1:]] == [True]
