"""A client and a server on a fake wire: they agree, whatever the cuts, and content arrives as it was sent."""

from __future__ import annotations

import pytest
from fitting import transaction as fitted
from hypothesis import given
from hypothesis import strategies as st
from wirepair import NO, Message, Pair, Taker, cuts, octet

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.reply import Reply
from mether.smtp import command, wire
from mether.smtp.transaction import Transaction

LATER = Reply(451, "4.3.0", "later")
CLOSING = Reply(421, "4.3.2", "closing")

sizes = st.lists(st.integers(1, 40), max_size=200)
contents = st.lists(
    st.one_of(
        st.sampled_from([b"\r\n", b"\r\n.", b".", b"..", b"\r\n.\r\n", b"\r\n..\r\n", b".\r\n", b"\r\n\r\n"]),
        st.binary(max_size=20).map(lambda octets: octets.translate(None, b"\r\n\0")),
    ),
    max_size=20,
).map(b"".join)
names = st.sampled_from(["alice", "bob", "carol", "nobody", "later"])


def transaction(pair: Pair, recipients: list[str], content: bytes, **more: bool) -> Transaction:
    to = [Recipient(parse(f"{name}@example.test")) for name in recipients]
    return fitted(
        Envelope(parse("sender@example.org"), to),
        to,
        pair.client.offer,
        size=len(content),
        eight_bit=not content.isascii(),
        **more,
    )


def whole(content: bytes) -> bytes:
    return content if content.endswith(b"\r\n") or not content else content + b"\r\n"


@given(contents, sizes, sizes)
def test_content_arrives_octet_for_octet(
    content: bytes, wire_cuts: list[int], content_cuts: list[int]
) -> None:
    """DAT-4, CLI-5: dots everywhere, pieces anywhere; only a last line without CRLF gets one."""
    pair = Pair(cut=cuts(wire_cuts))
    pair.hello()
    made = transaction(pair, ["bob"], content)
    pair.transact(made, content, cuts(content_cuts))
    pair.run()
    assert pair.taker.messages == [Message("sender@example.org", ["bob@example.test"], whole(content))]
    assert made.results[0] is not None and made.results[0].accepted
    assert pair.client.state == pair.server.protocol.state == "READY"


@given(
    st.lists(st.tuples(st.lists(names, min_size=1, max_size=6), contents), min_size=1, max_size=3),
    sizes,
    st.booleans(),
)
def test_groups_with_refused_recipients(
    messages: list[tuple[list[str], bytes]], wire_cuts: list[int], pipelining: bool
) -> None:
    """PIP-3, CLI-7: each recipient has its own reply, in order, pipelined or not, in any pieces."""
    taker = Taker({"nobody": NO, "later": LATER})
    if not pipelining:
        taker.keywords = ["8BITMIME"]
    pair = Pair(taker, cut=cuts(wire_cuts))
    pair.hello()
    expected = []
    for recipients, content in messages:
        made = transaction(pair, recipients, content)
        pair.transact(made, content)
        taken = [f"{name}@example.test" for name in recipients if name not in taker.refuse]
        for name, result in zip(recipients, made.results, strict=True):
            assert result is not None
            reply = taker.refuse.get(name)
            assert (result.stage, result.reply) == (
                ("RCPT", reply) if reply else (".", Reply(250, "2.0.0", "ok"))
            )
        if taken:
            expected.append(Message("sender@example.org", taken, whole(content)))
        if made.reset_needed:
            assert pair.ask("RSET", command.plain("RSET")).ok
    assert taker.messages == expected
    assert pair.ask("QUIT", command.plain("QUIT")).code == 221
    assert pair.server.closing and pair.client.state == pair.server.protocol.state == "CLOSED"


@pytest.mark.parametrize("stage", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", ".", "QUIT"])
@pytest.mark.parametrize("reply", [LATER, NO, CLOSING, Reply(252, None, "hm")])
@given(wire_cuts=sizes)
def test_both_are_in_the_same_state_after_any_reply(stage: str, reply: Reply, wire_cuts: list[int]) -> None:
    """CMD-9, CMD-11: one table, two roles."""
    pair = Pair(Taker({stage: reply}), cut=cuts(wire_cuts))
    pair.run()
    said = (
        ("EHLO", command.hello("EHLO", "client.example")),
        ("MAIL", command.mail(None)),
        ("RCPT", command.rcpt(parse("bob@x.test"))),
        ("DATA", command.plain("DATA")),
        (".", b""),
        ("NOOP", command.plain("NOOP")),
        ("QUIT", command.plain("QUIT")),
    )
    before = 1
    for verb, line in said:
        if pair.client.state == "CLOSED":
            break
        if verb == ".":
            if pair.client.state != "CONTENT":
                continue
            pair.content(b"Subject: x\r\n")
            pair.run()
        else:
            pair.ask(verb, line)
        before += 1
        assert pair.client.state == pair.server.protocol.state
    assert pair.agreed == before


@given(sizes)
def test_states_under_commands_in_any_order(wire_cuts: list[int]) -> None:
    """CMD-4, CMD-11: one reply each, whatever stands where."""
    pair = Pair(cut=cuts(wire_cuts))
    pair.run()
    said = (
        (b"NOOP", 250),
        (b"RCPT TO:<b@x.test>", 503),
        (b"DATA", 503),
        (b"MAIL FROM:<>", 503),
        (b"EHLO c", 250),
        (b"XYZZY", 500),
        (b"RCPT TO:<b@x.test>", 503),
        (b"MAIL FROM:<>", 250),
        (b"MAIL FROM:<>", 503),
        (b"DATA", 503),
        (b"VRFY b", 250),
        (b"RCPT TO:<nobody>", 501),
        (b"RCPT TO:<b@x.test>", 250),
        (b"EHLO", 501),
        (b"MAIL", 501),
        (b"RSET", 250),
        (b"RCPT TO:<b@x.test>", 503),
        (b"HELP", 250),
        (b"\xff", 500),
        (b"MAIL FROM:<>", 250),
        (b"HELO d", 250),
        (b"DATA now", 501),
        (b"QUIT now", 501),
    )
    for line, code in said:
        assert pair.ask(line.partition(b" ")[0].decode("latin-1"), line + b"\r\n").code == code, line
    assert pair.agreed == len(said) + 1


def test_octet_by_octet() -> None:
    """CMD-3: the slowest client there is."""
    pair = Pair(cut=octet)
    pair.hello()
    content = b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n"
    pair.transact(transaction(pair, ["bob", "carol"], content), content)
    assert [message.content for message in pair.taker.messages] == [content]


def test_the_octets_of_a_group() -> None:
    """PIP-1, PIP-5: the client's group goes in one write, and its replies come in one."""
    taker = Taker({"nobody": NO})
    pair = Pair(taker)
    pair.hello()
    made = transaction(pair, ["bob", "nobody"], b"x\r\n")
    group = b"".join([pair.client.send(verb, line) for verb, line in made.start()])
    answers = pair.server.receive(group)
    assert answers.splitlines() == [
        b"250 2.0.0 ok",
        b"250 2.0.0 ok",
        b"550 5.1.1 no such user here",
        b"354 go ahead",
    ]


def test_the_next_message_behind_the_content() -> None:
    """RFC 2920 section 3.1: content and the next MAIL, RCPT and DATA in one group."""
    pair = Pair()
    pair.hello()
    for verb, line in transaction(pair, ["bob"], b"").start():
        pair.send(verb, line)
    pair.run()
    pair.content(b"one\r\n")
    for verb, line in transaction(pair, ["carol"], b"").start():
        pair.send(verb, line)
    assert [verb for verb, _ in pair.run()] == [".", "MAIL", "RCPT", "DATA"]
    pair.content(b"two\r\n")
    pair.run()
    assert [message.content for message in pair.taker.messages] == [b"one\r\n", b"two\r\n"]


@given(st.tuples(contents, st.sampled_from([b"x" * 61, b"..\r\n" * 16]), contents).map(b"".join), sizes)
def test_too_large(content: bytes, wire_cuts: list[int]) -> None:
    """SIZ-4: read to its end, refused, and both go on."""
    pair = Pair(cut=cuts(wire_cuts), max_size=60)
    pair.hello()
    made = transaction(pair, ["bob"], content)
    pair.transact(made, content)
    assert made.results[0] is not None and made.results[0].reply.code == 552
    assert pair.taker.messages == []
    assert pair.ask("NOOP", command.plain("NOOP")).ok


def test_stuffing_is_undone_for_any_framing_of_dots() -> None:
    """DAT-4."""
    for content in (b".", b"..", b".\r\n", b"...\r\n.\r\n", b"\r\n.", b"\r\n\r\n.\r\n"):
        pair = Pair(cut=octet)
        pair.hello()
        pair.transact(transaction(pair, ["bob"], content), content)
        assert pair.taker.messages[0].content == whole(content)
        assert wire.stuff(content).count(b".") >= content.count(b".")
