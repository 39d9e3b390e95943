"""A client and a server on a fake wire: BDAT, LMTP, AUTH and STARTTLS, whatever the cuts."""

from __future__ import annotations

import pytest
from fitting import transaction as fitted
from hypothesis import given
from hypothesis import strategies as st
from wirepair import NO, OK, Message, Pair, Taker, cuts, octet

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.reply import Reply
from mether.smtp import command
from mether.smtp.client import LocalError, ProtocolFault
from mether.smtp.transaction import Transaction

CHUNKS = ["SIZE 0", "8BITMIME", "CHUNKING", "BINARYMIME"]
LATER = Reply(451, "4.3.0", "later")

sizes = st.lists(st.integers(1, 40), max_size=200)
texts = st.lists(st.sampled_from([b"\r\n", b"\r\n.\r\n", b".", b"QUIT\r\n", b"a", b"\xe9"]), max_size=20).map(
    b"".join
)
names = st.sampled_from(["alice", "bob", "carol", "nobody", "later"])


def taker(*, pipelining: bool = True, keywords: list[str] = CHUNKS) -> Taker:
    made = Taker({"nobody": NO, "later": LATER})
    made.keywords = [*keywords, "PIPELINING"] if pipelining else keywords
    return made


def transaction(pair: Pair, to: list[str], content: bytes, *, binary: bool = False) -> Transaction:
    recipients = [Recipient(parse(f"{name}@example.test")) for name in to]
    return fitted(
        Envelope(parse("sender@example.org"), recipients),
        recipients,
        pair.client.offer,
        size=len(content),
        eight_bit=not content.isascii(),
        binary=binary,
        lmtp=pair.server.protocol.lmtp,
    )


@given(
    st.lists(st.tuples(st.lists(names, min_size=1, max_size=5), texts), min_size=1, max_size=3),
    sizes,
    st.booleans(),
    st.booleans(),
)
def test_chunks(
    messages: list[tuple[list[str], bytes]], wire_cuts: list[int], pipelining: bool, lmtp: bool
) -> None:
    """BDT-1 to BDT-3, PIP-2, CLI-7: octet for octet, in SMTP and LMTP, with a reply for each recipient."""
    pair = Pair(taker(pipelining=pipelining), cut=cuts(wire_cuts), lmtp=lmtp)
    pair.hello()
    expected = []
    for to, content in messages:
        made = transaction(pair, to, content)
        assert made.fit.chunking
        pair.transact(made, content)
        taken = [f"{name}@example.test" for name in to if name not in pair.taker.refuse]
        for name, result in zip(to, made.results, strict=True):
            assert result is not None
            refusal = pair.taker.refuse.get(name)
            assert (result.stage, result.reply) == (("RCPT", refusal) if refusal else (".", OK))
        if taken:
            expected.append(Message("sender@example.org", taken, content))
        if made.reset_needed:
            assert pair.ask("RSET", command.plain("RSET")).ok
        assert pair.client.state == pair.server.protocol.state == "READY"
    assert pair.taker.messages == expected
    assert pair.ask("QUIT", command.plain("QUIT")).code == 221


@given(st.lists(names, min_size=1, max_size=5), texts, sizes, st.booleans(), st.sampled_from([OK, NO, LATER]))
def test_lmtp_by_data(
    to: list[str], content: bytes, wire_cuts: list[int], pipelining: bool, end: Reply
) -> None:
    """RFC 2033 section 4.2: behind the final dot a reply for each recipient that was taken."""
    decider = taker(pipelining=pipelining, keywords=["8BITMIME"])
    if end is not OK:
        decider.refuse["."] = end
    pair = Pair(decider, cut=cuts(wire_cuts), lmtp=True)
    pair.hello()
    made = transaction(pair, to, content)
    pair.transact(made, content)
    assert [(one.stage, one.reply) for one in made.results if one] == [
        ("RCPT", decider.refuse[name]) if name in decider.refuse else (".", end) for name in to
    ]
    if made.reset_needed:
        pair.ask("RSET", command.plain("RSET"))
    assert pair.client.state == pair.server.protocol.state == "READY"
    assert pair.ask("NOOP", command.plain("NOOP")).ok


@given(st.binary(max_size=60), sizes, st.booleans())
def test_binary(content: bytes, wire_cuts: list[int], lmtp: bool) -> None:
    """8BM-4, DAT-12."""
    pair = Pair(taker(), cut=cuts(wire_cuts), lmtp=lmtp)
    pair.hello()
    made = transaction(pair, ["bob"], content, binary=True)
    pair.transact(made, content)
    assert [message.content for message in pair.taker.messages] == [content]


@given(sizes, st.lists(texts, min_size=1, max_size=5), st.integers(0, 5), st.booleans())
def test_several_chunks_of_which_one_is_refused(
    wire_cuts: list[int], pieces: list[bytes], refused: int, pipelined: bool
) -> None:
    """BDT-3: one reply each; both know the transaction is spoilt, until RSET."""
    decider = taker()
    pair = Pair(decider, cut=cuts(wire_cuts))
    pair.hello()
    for verb, line in (("MAIL", command.mail(None)), ("RCPT", command.rcpt(parse("bob@x.test")))):
        pair.ask(verb, line)
    codes = []
    for number, piece in enumerate(pieces):
        if number == refused:
            decider.refuse["BDAT"] = decider.refuse["."] = LATER
        last = number == len(pieces) - 1
        pair.send("BDAT LAST" if last else "BDAT", b"BDAT %d%b\r\n" % (len(piece), b" LAST" if last else b""))
        pair.write(piece)
        if not pipelined:
            codes += [reply.code for _, reply in pair.run()]
    if pipelined:
        codes = [reply.code for _, reply in pair.run()]
    assert len(codes) == len(pieces)
    assert pair.client.state == pair.server.protocol.state
    if not pipelined:
        assert codes == [
            250 if number < refused else 451 if number == refused else 503 for number in range(len(codes))
        ]
    assert pair.ask("RSET", command.plain("RSET")).ok
    assert pair.client.state == "READY"


@given(sizes, st.integers(0, 4), st.sampled_from([235, 535, 501, 454, 421, 250, 500]))
def test_auth(wire_cuts: list[int], steps: int, code: int) -> None:
    """AUT-3: each line of the exchange is a barrier, and both know when it is over."""
    decider = taker(keywords=["AUTH LOGIN"])
    decider.challenges = [Reply(334, None, "VXNlcm5hbWU6")] * steps + [Reply(code, None, "done")]
    pair = Pair(decider, cut=cuts(wire_cuts))
    pair.hello()
    reply = pair.ask("AUTH", command.auth("LOGIN", None))
    for number in range(steps):
        assert reply.code == 334
        assert pair.client.state == pair.server.protocol.state == "AUTH"
        with pytest.raises(LocalError):
            pair.client.send("QUIT", b"QUIT\r\n")
        # What looks like a command is a response here.
        reply = pair.ask("RESPONSE", command.response("QUIT" if number % 2 else ""))
    assert reply.code == code
    assert pair.client.state == pair.server.protocol.state == ("CLOSED" if code == 421 else "READY")
    assert [argument for verb, argument in decider.events if verb == "RESPONSE"] == ["", "QUIT", "", "QUIT"][
        :steps
    ]
    if code != 421:
        with pytest.raises(LocalError):
            pair.client.send("RESPONSE", b"x\r\n")


@given(sizes, st.sampled_from(["RESPONSE", "AUTH"]))
def test_a_response_that_is_too_long(wire_cuts: list[int], verb: str) -> None:
    """AUT-3: 500 5.5.6, the exchange is over, and the session goes on in step."""
    decider = taker(keywords=["AUTH LOGIN"])
    decider.challenges = [Reply(334, None, "")]
    pair = Pair(decider, cut=cuts(wire_cuts))
    pair.hello()
    if verb == "AUTH":
        assert pair.ask("AUTH", command.auth("LOGIN", "A" * 12_400)).code == 500
    else:
        pair.ask("AUTH", command.auth("LOGIN", "A" * 12_270))
        reply = pair.ask("RESPONSE", command.response("A" * 12_289))
        assert (reply.code, reply.status) == (500, "5.5.6")
    assert pair.client.state == pair.server.protocol.state == "READY"
    assert pair.ask("NOOP", command.plain("NOOP")).ok


@given(sizes)
def test_starttls(wire_cuts: list[int]) -> None:
    """TLS-2: both forget; EHLO comes next, and offers something else."""
    decider = taker(keywords=["STARTTLS", "DSN"])
    pair = Pair(decider, cut=cuts(wire_cuts))
    pair.hello()
    assert "DSN" in pair.client.offer
    pair.starttls()
    assert pair.client.state == pair.server.protocol.state == "GREETED"
    assert not pair.client.offer.keywords and not pair.server.protocol.esmtp
    decider.keywords = ["AUTH PLAIN"]
    assert pair.ask("MAIL", command.mail(None)).code == 503
    assert "AUTH" not in pair.client.offer
    assert pair.ask("EHLO", command.hello("EHLO", "c")).ok
    assert "AUTH" in pair.client.offer and "DSN" not in pair.client.offer
    assert pair.ask("MAIL", command.mail(None, ["RET=FULL"])).code == 555
    assert pair.ask("MAIL", command.mail(None, ["AUTH=<>"])).code == 250
    assert pair.ask("STARTTLS", command.plain("STARTTLS")).code == 503


@pytest.mark.parametrize(
    "reply", [Reply(454, "4.7.0", "no"), Reply(501, "5.5.4", "no"), Reply(503, "5.5.1", "no")]
)
def test_starttls_refused(reply: Reply) -> None:
    """TLS-1, TLS-6: nothing is forgotten."""
    decider = taker(keywords=["STARTTLS"])
    decider.refuse["STARTTLS"] = reply
    pair = Pair(decider, cut=octet)
    pair.hello()
    assert pair.starttls() == reply
    assert pair.client.state == pair.server.protocol.state == "READY"
    assert "STARTTLS" in pair.client.offer


@given(st.binary(min_size=1, max_size=30), sizes)
def test_what_is_sent_behind_starttls_is_never_read(injected: bytes, wire_cuts: list[int]) -> None:
    """TLS-3, DAT-14: at once it is the end; behind the 220 it stops the handshake."""
    decider = taker(keywords=["STARTTLS"])
    pair = Pair(decider)
    pair.hello()
    answer = pair.server.receive(b"STARTTLS\r\n" + injected)
    assert answer.startswith(b"554 5.5.0") and pair.server.closing
    assert "STARTTLS" not in [verb for verb, _ in decider.events]
    decider = taker(keywords=["STARTTLS"])
    pair = Pair(decider)
    pair.hello()
    assert pair.server.receive(b"STARTTLS\r\n").startswith(b"220")
    given_sizes = iter(wire_cuts)
    while injected:
        size = next(given_sizes, len(injected))
        assert pair.server.receive(injected[:size]) == b""
        injected = injected[size:]
    assert decider.events[-1][0] == "STARTTLS"
    from mether.net.tls import Security

    with pytest.raises(ValueError, match="plaintext"):
        pair.server.secured(Security("TLSv1.3", "none"))
    assert decider.events[-1][0] == "STARTTLS"


@given(st.binary(min_size=1, max_size=30), st.booleans())
def test_what_a_server_sends_behind_its_220_is_never_read(injected: bytes, at_once: bool) -> None:
    """TLS-3: response injection."""
    pair = Pair(taker(keywords=["STARTTLS"]))
    pair.hello()
    pair.client.send("STARTTLS", command.plain("STARTTLS"))
    pair.client.receive(b"220 go\r\n" + (injected if at_once else b""))
    event = pair.client.next_event()
    assert isinstance(event, tuple) and event[1].code == 220
    if not at_once:
        pair.client.receive(injected)
    with pytest.raises(ProtocolFault):
        pair.client.tls_started()
