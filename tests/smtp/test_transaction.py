"""One transaction, decided for the client."""

from __future__ import annotations

import pytest
from fitting import transaction as fitted

from mether.address import Address, parse
from mether.envelope import Envelope, Recipient
from mether.reply import Reply
from mether.smtp import extension
from mether.smtp.transaction import LOCAL, Transaction

PIPELINING = ["PIPELINING", "SIZE 1000", "8BITMIME"]
OK = Reply(250, "2.0.0", "ok")
NO = Reply(550, "5.1.1", "no such user")
LATER = Reply(450, "4.2.0", "later")
GO = Reply(354, None, "go ahead")


def transaction(
    *names: str,
    offer: list[str] | None = None,
    size: int = 100,
    eight_bit: bool = False,
    lmtp: bool = False,
    sender: str | None = "alice@example.org",
    authenticated: bool = False,
) -> Transaction:
    recipients = [Recipient(parse(f"{name}@example.test", utf8=True)) for name in names]
    envelope = Envelope(parse(sender, utf8=True) if sender else None, recipients)
    offered = extension.parse(PIPELINING if offer is None else offer)
    return fitted(
        envelope, recipients, offered, size=size, eight_bit=eight_bit, lmtp=lmtp, authenticated=authenticated
    )


def verbs(commands: list[tuple[str, bytes]]) -> list[str]:
    return [verb for verb, _ in commands]


def results(made: Transaction) -> list[str]:
    return [f"{one.stage} {one.reply.code}" if one else "-" for one in made.results]


def test_one_group() -> None:
    """PIP-1, CLI-3: MAIL, every RCPT and DATA in one write, with the parameters that were offered."""
    made = transaction("bob", "carol", eight_bit=True)
    commands = made.start()
    assert [line for _, line in commands] == [
        b"MAIL FROM:<alice@example.org> SIZE=100 BODY=8BITMIME\r\n",
        b"RCPT TO:<bob@example.test>\r\n",
        b"RCPT TO:<carol@example.test>\r\n",
        b"DATA\r\n",
    ]
    for verb, reply in (("MAIL", OK), ("RCPT", OK), ("RCPT", OK)):
        assert made.reply(verb, reply) == [] and not made.wants_content
    assert made.reply("DATA", GO) == []
    assert made.wants_content and not made.dot_only
    assert made.sent() == 1
    assert made.content_sent and not made.wants_content
    assert made.reply(".", OK) == []
    assert made.finished and not made.reset_needed
    assert results(made) == [". 250", ". 250"]
    assert all(one is not None and one.accepted for one in made.results)


def test_one_by_one_where_nothing_was_offered() -> None:
    """PIP-1, CLI-3: no PIPELINING, no parameters."""
    made = transaction("bob", "carol", offer=[], eight_bit=False, sender=None)
    assert made.start() == [("MAIL", b"MAIL FROM:<>\r\n")]
    assert verbs(made.reply("MAIL", OK)) == ["RCPT"]
    assert verbs(made.reply("RCPT", NO)) == ["RCPT"]
    assert verbs(made.reply("RCPT", OK)) == ["DATA"]
    assert made.reply("DATA", GO) == [] and made.wants_content
    made.sent()
    made.reply(".", OK)
    assert results(made) == ["RCPT 550", ". 250"]


def test_refused_recipients_do_not_stop_the_others() -> None:
    """CLI-7: each has its own result."""
    made = transaction("a", "b", "c")
    made.start()
    made.reply("MAIL", OK)
    for reply in (NO, OK, LATER):
        made.reply("RCPT", reply)
    made.reply("DATA", GO)
    assert not made.dot_only
    made.sent()
    made.reply(".", LATER)
    assert results(made) == ["RCPT 550", ". 450", "RCPT 450"]
    assert not any(one is not None and one.accepted for one in made.results)


def test_all_refused_one_by_one() -> None:
    """CLI-7: no DATA then, and RSET before the next MAIL."""
    made = transaction("a", "b", offer=[])
    made.start()
    made.reply("MAIL", OK)
    made.reply("RCPT", NO)
    assert made.reply("RCPT", LATER) == []
    assert made.finished and made.reset_needed and not made.wants_content
    assert results(made) == ["RCPT 550", "RCPT 450"]


def test_all_refused_in_a_group() -> None:
    """PIP-6: DATA was sent already; its refusal changes no result."""
    made = transaction("a", "b")
    made.start()
    for verb, reply in (("MAIL", OK), ("RCPT", NO), ("RCPT", LATER)):
        made.reply(verb, reply)
    made.reply("DATA", Reply(503, "5.5.1", "no valid recipients"))
    assert made.finished and made.reset_needed
    assert results(made) == ["RCPT 550", "RCPT 450"]


def test_354_although_all_were_refused() -> None:
    """PIP-3: a lone dot, and whatever the server says to it, nobody got anything."""
    made = transaction("a")
    made.start()
    for verb, reply in (("MAIL", OK), ("RCPT", NO), ("DATA", GO)):
        made.reply(verb, reply)
    assert made.wants_content and made.dot_only
    assert made.sent() == 1 and not made.content_sent
    made.reply(".", OK)
    assert made.finished
    assert results(made) == ["RCPT 550"]


def test_mail_refused_in_a_group() -> None:
    """CLI-7: what the server says to RCPT and DATA then does not matter."""
    made = transaction("a", "b")
    made.start()
    assert made.reply("MAIL", Reply(451, None, "no")) == [] and not made.finished
    bad = Reply(503, None, "bad sequence")
    made.reply("RCPT", bad)
    made.reply("RCPT", OK)  # a server of that kind
    made.reply("DATA", GO)
    assert made.dot_only
    made.sent()
    made.reply(".", OK)
    assert results(made) == ["MAIL 451", "MAIL 451"]


def test_mail_refused_alone() -> None:
    made = transaction("a", offer=[])
    made.start()
    assert made.reply("MAIL", NO) == []
    assert made.finished and not made.reset_needed
    assert results(made) == ["MAIL 550"]


def test_data_refused() -> None:
    """CLI-4: no text without 354; RSET is needed."""
    for reply in (LATER, Reply(554, None, "no"), OK):
        made = transaction("a", "b")
        made.start()
        for verb, given in (("MAIL", OK), ("RCPT", OK), ("RCPT", NO)):
            made.reply(verb, given)
        made.reply("DATA", reply)
        assert made.finished and made.reset_needed and not made.wants_content
        assert results(made) == [f"DATA {reply.code}", "RCPT 550"]
        assert not any(one is not None and one.accepted for one in made.results)


@pytest.mark.parametrize("offer", [[], PIPELINING])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "."])
def test_421_ends_it_at_any_step(offer: list[str], stage: str) -> None:
    """CLI-9: everybody who has no result yet has this one, and nothing more is to be sent."""
    made = transaction("a", "b", "c", offer=offer)
    made.start()
    closing = Reply(421, "4.3.2", "shutting down")
    for verb, reply in (("MAIL", OK), ("RCPT", NO), ("RCPT", OK), ("RCPT", OK), ("DATA", GO), (".", OK)):
        if verb == stage and (verb != "RCPT" or reply is OK):
            assert made.reply(verb, closing) == []
            break
        made.reply(verb, reply)
        if made.wants_content:
            made.sent()
    assert made.finished and not made.wants_content and not made.reset_needed
    first = "MAIL 421" if stage == "MAIL" else "RCPT 550"
    assert results(made) == [first, f"{stage} 421", f"{stage} 421"]


def test_lmtp_answers_for_each_recipient() -> None:
    """LMT: in the order of the accepted ones."""
    made = transaction("a", "b", "c", lmtp=True)
    made.start()
    for verb, reply in (("MAIL", OK), ("RCPT", OK), ("RCPT", NO), ("RCPT", OK), ("DATA", GO)):
        made.reply(verb, reply)
    assert made.sent() == 2
    made.reply(".", OK)
    assert not made.finished
    made.reply(".", LATER)
    assert made.finished
    assert results(made) == [". 250", "RCPT 550", ". 450"]


def test_lmtp_with_nobody_left() -> None:
    made = transaction("a", lmtp=True)
    made.start()
    for verb, reply in (("MAIL", OK), ("RCPT", NO), ("DATA", GO)):
        made.reply(verb, reply)
    assert made.dot_only and made.sent() == 1
    made.reply(".", NO)
    assert made.finished and results(made) == ["RCPT 550"]


@pytest.mark.parametrize(
    ("make", "code", "status"),
    [
        (lambda: transaction("a", "b", size=1001), 552, "5.3.4"),
        (lambda: transaction("dörte"), 553, "5.6.7"),
        (lambda: transaction("a", sender="dörte@x.test"), 550, "5.6.7"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(make: object, code: int, status: str) -> None:
    """SIZ-5, EAI: before a word was said."""
    made = make()  # type: ignore[operator]
    assert made.finished and made.start() == []
    assert all(one.stage == LOCAL and not one.accepted for one in made.results)
    assert {(one.reply.code, one.reply.status) for one in made.results} == {(code, status)}


def test_an_address_that_would_end_the_line() -> None:
    """CLI-5: no CR or LF gets out of an address."""
    recipients = [Recipient(Address("a>\r\nRCPT TO:<b", "x.test"))]
    offer = extension.parse(PIPELINING)
    made = fitted(Envelope(None, recipients), recipients, offer, size=1, eight_bit=False)
    assert made.start() == [] and results(made) == ["local 553"]


def test_sizes_that_fit() -> None:
    """SIZ-1: SIZE 0 and a bare SIZE set no limit."""
    assert not transaction("a", size=1000).finished
    assert not transaction("a", size=10**9, offer=["SIZE 0"]).finished
    [(_, line)] = transaction("a", size=10**9, offer=["SIZE"]).start()
    assert line == b"MAIL FROM:<alice@example.org> SIZE=1000000000\r\n"


def test_internationalized_where_it_is_offered() -> None:
    """EAI: the parameter goes with it."""
    made = transaction("dörte", offer=["SMTPUTF8"])
    [(_, line)] = made.start()
    assert line == b"MAIL FROM:<alice@example.org> SMTPUTF8\r\n"
    [(_, line)] = made.reply("MAIL", OK)
    assert line == "RCPT TO:<dörte@example.test>\r\n".encode()


def test_a_session_that_is_lost() -> None:
    """CLI-9: who has a result keeps it."""
    made = transaction("a", "b")
    made.start()
    made.reply("MAIL", OK)
    made.reply("RCPT", NO)
    made.fail("RCPT", LATER)
    assert made.finished and results(made) == ["RCPT 550", "RCPT 450"]


@pytest.mark.parametrize(
    ("body", "eight_bit", "refused"),
    [("8BITMIME", True, True), ("8BITMIME", False, False), ("7BIT", True, True), ("7BIT", False, False)],
)
def test_8_bit_content_goes_to_no_7_bit_server(body: str, eight_bit: bool, refused: bool) -> None:
    """8BM-2, RFC 6152 section 3: declared or not; what cannot be converted is returned."""
    recipients = [Recipient(Address("bob", "example.net"))]
    made = fitted(
        Envelope(None, recipients, body=body),
        recipients,
        extension.parse(["SIZE"]),
        size=9,
        eight_bit=eight_bit,
    )
    assert made.finished is refused
    if refused:
        assert made.start() == []
        (result,) = made.results
        assert result is not None
        assert (result.stage, result.reply.code, result.reply.status) == (LOCAL, 554, "5.6.3")


@pytest.mark.parametrize("lmtp", [False, True])
@pytest.mark.parametrize("reply", [OK, NO, LATER])
def test_a_reply_before_the_end_of_a_chunk(reply: Reply, lmtp: bool) -> None:
    """BDT-2, CLI-9: a refusal is one; a yes to octets that the server has not had is worth nothing."""
    made = transaction("a", "b", offer=["PIPELINING", "CHUNKING"], lmtp=lmtp)
    assert verbs(made.start()) == ["MAIL", "RCPT", "RCPT"]
    for verb in ("MAIL", "RCPT", "RCPT"):
        assert made.reply(verb, OK) == []
    assert made.wants_content and made.chunk == ("BDAT LAST", b"BDAT 100 LAST\r\n")
    made.reply("BDAT LAST", reply)
    assert made.finished and not any(one.accepted for one in made.results)
    assert {one.reply.code for one in made.results} == {451 if reply is OK else reply.code}


def test_lmtp_by_bdat() -> None:
    """RFC 2033 section 4.3: a reply for each recipient, and the content goes out once."""
    made = transaction("a", "b", "c", offer=["CHUNKING"], lmtp=True)
    made.start()
    for verb, reply in (("MAIL", OK), ("RCPT", OK), ("RCPT", NO), ("RCPT", OK)):
        made.reply(verb, reply)
    assert made.wants_content and made.chunk is not None
    assert made.sent() == 2
    assert made.reply("BDAT LAST", OK) == []
    assert not made.wants_content and not made.finished
    assert made.reply("BDAT LAST", LATER) == []
    assert made.finished and not made.reset_needed
    assert results(made) == [". 250", "RCPT 550", ". 450"]


UNKNOWN = Reply(555, "5.5.4", "parameters not recognized")


def test_a_server_that_knows_no_auth_parameter_is_asked_without() -> None:
    """RFC 4954 section 5: it has to know it, but aiosmtpd does not; nothing is lost with AUTH=<>."""
    made = transaction("bob", offer=["AUTH PLAIN"], authenticated=True)
    assert made.start() == [("MAIL", b"MAIL FROM:<alice@example.org> AUTH=<>\r\n")]
    assert made.reply("MAIL", UNKNOWN) == [("MAIL", b"MAIL FROM:<alice@example.org>\r\n")]
    assert verbs(made.reply("MAIL", OK)) == ["RCPT"]


def test_it_is_asked_once_more_and_no_oftener() -> None:
    made = transaction("bob", offer=["AUTH PLAIN"], authenticated=True)
    made.start()
    made.reply("MAIL", UNKNOWN)
    assert made.reply("MAIL", UNKNOWN) == []
    assert made.finished and results(made) == ["MAIL 555"]


@pytest.mark.parametrize("offer", [["AUTH PLAIN", "PIPELINING"], ["SIZE 1000"]])
def test_nobody_else_is_asked_twice(offer: list[str]) -> None:
    """Not where other commands are on their way, nor where AUTH= was not said."""
    made = transaction("bob", offer=offer, authenticated="AUTH PLAIN" in offer)
    made.start()
    assert made.reply("MAIL", UNKNOWN) == []
    assert results(made) == ["MAIL 555"]
