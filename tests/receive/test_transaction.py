"""Mail as a client gives it: who may send what to whom, and what is then queued."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from clock import T0
from mail import address
from places import MIB, Client, Place

from mether.address import parse
from mether.envelope import Envelope
from mether.queue.content import SMALL
from mether.queue.memory import MemoryStore
from mether.queue.message import Draft
from mether.queue.store import Committed, NoSpace, StoreError
from mether.receive.budget import Budget
from mether.receive.client import Client as Who
from mether.receive.intake import MAX_RECEIVED
from mether.receive.login import Authentication
from mether.receive.named import RECIPIENT
from mether.receive.reception import Limits
from mether.receive.transaction import Transaction
from mether.routing.networks import Networks
from mether.routing.router import Router

FULL = NoSpace("no space left")
ENDINGS: dict[str, Callable[[Client], None]] = {
    "quit": lambda client: client.send(b"QUIT\r\n") and client.end(""),  # type: ignore[func-returns-value, return-value]
    "lost at MAIL": lambda client: client.say("EHLO c", "MAIL FROM:<a@b.example>") and client.end(),  # type: ignore[func-returns-value, return-value]
    "lost in content": lambda client: (client.begin(), client.send(b"x" * 300), client.end())[0],
    "lost in large content": lambda client: (
        client.begin(),
        client.send(b"x" * 900 + b"\r\n" + b"x" * 80_000),
        client.end(),
    )[0],
    "timeout": lambda client: (client.begin(), client.send(b"x\r\n"), client.end("timeout"))[0],
    "bare CR": lambda client: (client.mail(b"a\rb" * 100 + b"\r\n"), client.end())[0],
    "bare LF, large": lambda client: (client.mail(b"a" * 70_000 + b"\n\r\n"), client.end())[0],
    "loop": lambda client: (client.mail(b"Received: x\r\n" * 101), client.end())[0],
    "accepted": lambda client: (client.mail(), client.end())[0],
    "accepted, large": lambda client: (client.mail(b"abc\r\n" * 20_000, 9000), client.end())[0],
}


# Who may send where


def test_a_stranger_may_not_relay(place: Place) -> None:
    """DAT-11, SEC-1"""
    client = place.client()
    replies = client.say("EHLO c.example", "MAIL FROM:<a@client.example>", "RCPT TO:<x@elsewhere.example>")
    assert replies[-1].startswith("550 5.7.1 ")
    assert client.say("DATA")[0].startswith("503")


@pytest.mark.parametrize(
    "path",
    [
        "x%elsewhere.example@example.com",
        '"x@elsewhere.example"@example.com',
        "elsewhere.example!x@example.com",
        "@example.com:x@elsewhere.example",
    ],
)
def test_a_stranger_may_not_route_through_us(place: Place, path: str) -> None:
    """SEC-1, RFC 2505 section 2.1: nothing that looks like somebody else's route is taken."""
    client = place.client()
    reply = client.say("EHLO c.example", "MAIL FROM:<a@client.example>", f"RCPT TO:<{path}>")[-1]
    assert reply.startswith("550 ")


@pytest.mark.parametrize("sender", ["bob@example.com", "postmaster@example.com", ""])
def test_a_sender_address_opens_nothing(place: Place, sender: str) -> None:
    """SEC-1: what a client says of itself never counts."""
    client = place.client()
    replies = client.say("EHLO mx.example.com", f"MAIL FROM:<{sender}>", "RCPT TO:<x@elsewhere.example>")
    assert replies[-1].startswith("550 5.7.1 ")


def test_a_stranger_reaches_local_domains(place: Place) -> None:
    assert place.client().mail().startswith("250 2.0.0 queued as ")
    assert place.content() == b"Subject: hi\r\n\r\nhello\r\n"


@pytest.mark.parametrize("from_", ["127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1"])
def test_a_client_in_relay_from_may_relay(place: Place, from_: str) -> None:
    client = place.client(from_)
    replies = client.say("EHLO c.example", "MAIL FROM:<a@client.example>", "RCPT TO:<x@elsewhere.example>")
    assert replies[-1].startswith("250 ")


def test_a_trusted_client_may_relay(place: Place) -> None:
    """What a program of this host gives."""
    client = place.client("", trusted=True)
    replies = client.say("EHLO c.example", "MAIL FROM:<a@client.example>", "RCPT TO:<x@elsewhere.example>")
    assert replies[-1].startswith("250 ")


@pytest.mark.parametrize(
    "path", ["postmaster", "PostMaster", "postmaster@mx.example.com", "Postmaster@MX.example.com"]
)
def test_the_postmaster_is_always_there(place: Place, path: str) -> None:
    """RFC 5321 section 4.5.1"""
    client = place.client()
    client.begin(path)
    assert client.send(b"hi\r\n.\r\n").startswith("250 ")
    (entry,) = place.queued()
    assert str(entry.rows[0].recipient.forward_path) == "postmaster@example.com"


def test_the_bare_postmaster_is_there_for_strangers_though_read_elsewhere() -> None:
    """RFC 5321 section 4.5.1: that we relay it is our own affair."""
    place = Place(MemoryStore(now=T0), Router([], "mx.example.com", address("postmaster@example.com")))
    client = place.client()
    client.begin("postmaster")
    assert client.send(b"hi\r\n.\r\n").startswith("250 ")


# Limits


def test_recipients_beyond_the_limit_are_put_off_and_the_others_kept(place: Place) -> None:
    """LIM-1: 452 4.5.3, and the message goes to those who were taken."""
    client = place.client()
    replies = client.say(
        "EHLO c.example",
        "MAIL FROM:<a@client.example>",
        *(f"RCPT TO:<u{number}@example.com>" for number in range(5)),
        "DATA",
    )
    assert [reply[:9] for reply in replies[2:7]] == ["250 2.1.5"] * 3 + ["452 4.5.3"] * 2
    assert client.send(b"hi\r\n.\r\n").startswith("250 ")
    (entry,) = place.queued()
    assert [str(row.recipient.forward_path) for row in entry.rows] == [f"u{n}@example.com" for n in range(3)]


def test_the_same_recipient_twice_gets_one_copy(place: Place) -> None:
    client = place.client()
    client.begin("bob@example.com", "bob@EXAMPLE.com", "bob@example.com")
    client.send(b"hi\r\n.\r\n")
    (entry,) = place.queued()
    assert len(entry.rows) == 1


def test_a_declared_size_over_the_limit_is_refused_at_mail(place: Place) -> None:
    """SIZ-3: RFC 1870 section 6.1"""
    client = place.client()
    assert client.say("EHLO c.example", f"MAIL FROM:<a@b.example> SIZE={6 * MIB}")[1].startswith("552 5.3.4")
    assert client.say("MAIL FROM:<a@b.example>")[0].startswith("250 ")


def test_content_over_the_limit_is_refused_at_its_end(spooled: Place) -> None:
    """DAT-7, SIZ-4."""
    client = spooled.client()
    assert client.mail(b"x" * 998 + b"\r\n" + (b"y" * 998 + b"\r\n") * 5500, 100_000).startswith("552 5.3.4")
    assert not spooled.queued()
    assert client.say("NOOP")[0].startswith("250")
    assert spooled.budget.used == 0


def test_a_loop_is_refused(place: Place) -> None:
    """RFC 5321 section 6.3: more than a hundred trace fields."""
    fields = b"Received: from a by b; now\r\n"
    assert place.client().mail(fields * MAX_RECEIVED + b"\r\nbody\r\n").startswith("250 ")
    assert place.client().mail(fields * (MAX_RECEIVED + 1) + b"\r\nbody\r\n").startswith("554 5.4.6 ")
    body = b"Subject: x\r\n\r\n" + fields * (MAX_RECEIVED + 1)
    assert place.client().mail(body).startswith("250 "), "what a body quotes is no loop"


@pytest.mark.parametrize("piece", [17, 1000, 1 << 20])
@pytest.mark.parametrize("limit", [0, 500, MIB])
def test_a_loop_is_seen_however_the_content_comes(spooled: Place, piece: int, limit: int) -> None:
    """In memory or in a file, in large pieces or small."""
    spooled.budget.limit = limit
    header = b"Received: from a by b; now\r\n" * (MAX_RECEIVED + 1)
    assert spooled.client().mail(header + b"\r\n" + b"x" * 200 + b"\r\n", piece).startswith("554 5.4.6 ")
    body = b"line of text\r\n" * 10_000
    assert spooled.client().mail(header + b"\r\n" + body, max(piece, 1000)).startswith("554 5.4.6 ")
    assert not spooled.queued()
    assert spooled.budget.used == 0


# Where content lies


def test_small_content_stays_in_memory(place: Place) -> None:
    place.client().mail(b"x" * 900 + b"\r\n")
    assert not place.staged


@pytest.mark.parametrize("piece", [1000, 60_000, 1 << 20])
def test_large_content_goes_to_a_file_and_is_the_same(spooled: Place, piece: int) -> None:
    """DAT-10."""
    content = b"Subject: large\r\n\r\n" + b"".join(b"line %d\r\n" % n for n in range(20_000))
    assert len(content) > SMALL
    client = spooled.client()
    assert client.mail(content, piece).startswith("250 ")
    assert len(spooled.staged) == 1
    assert spooled.content() == content
    assert spooled.budget.used == 0


def test_content_goes_to_a_file_when_the_budget_is_used_up(spooled: Place) -> None:
    spooled.budget.limit = 1500
    content = b"Subject: x\r\n\r\n" + b"y" * 900 + b"\r\n" + b"z" * 900 + b"\r\n"
    first, second = spooled.client(), spooled.client()
    first.begin()
    first.send(content[:1000])
    assert not spooled.staged
    assert second.mail(content[:930] + b"\r\n").startswith("250 ")
    assert len(spooled.staged) == 1, "the first one holds what there is"
    first.send(content[1000:])
    assert first.send(b".\r\n").startswith("250 ")
    assert len(spooled.staged) == 2
    assert len(spooled.queued()) == 2
    assert spooled.budget.used == 0


def test_the_budget_is_held_until_the_commit_returns(place: Place) -> None:
    place.waiting = True
    client = place.client()
    assert client.mail(b"x" * 500 + b"\r\n") == ""
    assert place.budget.used == 502
    place.held.pop()()
    assert place.budget.used == 0


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("limit", [MIB, 100])
def test_the_budget_is_whole_again_after_every_session(spooled: Place, ending: str, limit: int) -> None:
    spooled.budget.limit = limit
    client = spooled.client()
    ENDINGS[ending](client)
    assert (spooled.budget.used, spooled.budget.coming) == (0, 0)
    assert len(spooled.queued()) == ("accepted" in ending)


def test_the_budget_is_whole_again_when_the_client_left_before_the_commit_returned(place: Place) -> None:
    place.waiting = True
    client = place.client()
    client.mail()
    client.end()
    place.held.pop()()
    assert place.budget.used == 0
    assert len(place.queued()) == 1, "it was asked for, and is delivered"


# Trouble with the queue


def test_a_full_disk_when_content_is_staged(spooled: Place) -> None:
    """SIZ-3."""
    spooled.stage_failure = FULL
    client = spooled.client()
    assert client.mail(b"x\r\n" * 40_000, 50_000).startswith("452 4.3.1 ")
    assert spooled.budget.used == 0
    spooled.stage_failure = None
    assert client.mail(b"x\r\n" * 40_000, 50_000).startswith("250 "), "the session goes on"
    assert len(spooled.queued()) == 1


def test_a_full_disk_while_content_is_written(spooled: Place) -> None:
    """SIZ-3."""
    spooled.write_failure = FULL
    client = spooled.client()
    assert client.mail(b"x\r\n" * 40_000, 50_000).startswith("452 4.3.1 ")
    assert spooled.budget.used == 0
    spooled.write_failure = None
    assert client.mail().startswith("250 ")
    assert len(spooled.queued()) == 1


@pytest.mark.parametrize("content", [b"small\r\n", b"large\r\n" * 20_000])
@pytest.mark.parametrize(("failure", "code"), [(FULL, "452 4.3.1 "), (StoreError("down"), "451 4.3.0 ")])
def test_trouble_with_the_commit(spooled: Place, content: bytes, failure: StoreError, code: str) -> None:
    """DAT-7, ENH-10, ENH-12."""
    spooled.commit_failure = failure
    client = spooled.client()
    assert client.mail(content, 50_000).startswith(code)
    assert spooled.budget.used == 0
    assert not spooled.queued()
    spooled.commit_failure = None
    assert client.mail(content, 50_000).startswith("250 ")


def test_a_commit_that_raises(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(draft: Draft, done: Callable[[Committed], None]) -> None:
        raise FULL

    with monkeypatch.context() as patch:
        patch.setattr(place, "commit", refuse)
        client = place.client()
        assert client.mail().startswith("452 4.3.1 ")
        assert client.say("NOOP")[0].startswith("250 ")
    assert place.budget.used == 0


# The answer


def test_the_250_comes_from_the_commit_alone(place: Place) -> None:
    """DAT-5, DAT-8: the commit is all that the client waits for. QUE-1."""
    place.waiting = True
    client = place.client()
    assert client.mail() == ""
    assert client.send(b"NOOP\r\n") == "", "what is pipelined behind waits too"
    before = len(client.said)
    place.held.pop()()
    said = client.said[before:].decode().splitlines()
    (entry,) = place.queued()
    assert said == [f"250 2.0.0 queued as {entry.message.ident}", "250 2.0.0 ok"]


@pytest.mark.parametrize("fault", [b"a\rb\r\n", b"a\nb\r\n", b"nul \0\r\n"])
def test_nothing_is_queued_after_a_fault_in_the_content(spooled: Place, fault: bytes) -> None:
    """DAT-3, DAT-7, DAT-12."""
    for content in (fault, b"x\r\n" * 30_000 + fault, fault + b"x\r\n" * 30_000):
        client = spooled.client()
        assert client.mail(content, 10_000)[:3] in ("550", "554")
        assert client.say("NOOP")[0].startswith("250 ")
    assert not spooled.queued()
    assert spooled.budget.used == 0


def test_each_message_of_a_session_stands_alone(place: Place) -> None:
    client = place.client()
    client.begin("one@example.com", "two@example.com")
    client.send(b"first\r\n.\r\n")
    client.say("MAIL FROM:<b@client.example>", "RCPT TO:<three@example.com>", "RSET")
    client.begin("four@example.com", sender="")
    client.send(b"second\r\n.\r\n")
    first, second = place.queued()
    assert [str(row.recipient.forward_path) for row in first.rows] == ["one@example.com", "two@example.com"]
    assert [str(row.recipient.forward_path) for row in second.rows] == ["four@example.com"]
    assert second.message.envelope.reverse_path is None
    assert place.store.content(second.message.ident).read() == b"second\r\n"


def test_the_trace_field_says_how_it_came(place: Place) -> None:
    """DAT-10, TRC-1, TRC-2: RFC 5321 section 4.4; the content itself is untouched."""
    place.client("2001:db8::1").mail()
    (entry,) = place.queued()
    trace = entry.message.trace.decode()
    for part in ("client.example", "2001:db8::1", "by mx.example.com", "ESMTP", entry.message.ident):
        assert part in trace
    assert "for <bob@example.com>" in trace
    assert trace.endswith("\r\n")


def test_several_recipients_are_not_told_of_each_other(place: Place) -> None:
    """TRC-7: RFC 5321 section 7.2: no for clause with more than one."""
    client = place.client()
    client.begin("one@example.com", "two@example.com")
    client.send(b"x\r\n.\r\n")
    assert b"example.com>" not in place.queued()[0].message.trace


def test_an_lmtp_client_hears_of_each_recipient(place: Place) -> None:
    """LMT-2: in RCPT order, one that was named twice twice; in the queue it is there once."""
    place.options = {"role": "lmtp"}
    client = place.client()
    client.say("LHLO c.example", "MAIL FROM:<a@b.example>")
    for name in ("bob", "eve", "bob"):
        client.say(f"RCPT TO:<{name}@example.com>")
    client.say("DATA")
    assert [line[:9] for line in client.send(b"hi\r\n.\r\n").splitlines()] == ["250 2.0.0"] * 3
    (entry,) = place.queued()
    assert [str(row.recipient.forward_path) for row in entry.rows] == ["bob@example.com", "eve@example.com"]
    assert entry.message.arrival.protocol == "LMTP"


def test_very_long_envelopes_take_from_the_budget(place: Place) -> None:
    """LIM-1: a hundred recipients are anyone's; more only while there is memory for them."""
    place.limits = Limits(size=5 * MIB, recipients=5000, commands=50_000, errors=4)
    place.budget = Budget(50 * RECIPIENT)

    def accepted(client: Client, count: int) -> int:
        client.say("EHLO client.example", "MAIL FROM:<a@client.example>")
        replies = client.say(*(f"RCPT TO:<u{n}@example.com>" for n in range(count)))
        assert {reply[:9] for reply in replies} <= {"250 2.1.5", "452 4.5.3"}
        return sum(reply.startswith("250") for reply in replies)

    greedy, other, third = place.client(), place.client(), place.client()
    assert accepted(greedy, 200) == 150
    assert accepted(other, 101) == 100
    greedy.say("RSET")
    assert place.budget.used == 0
    assert accepted(third, 110) == 110
    assert third.say("DATA")[0].startswith("354")
    assert third.send(b"Subject: x\r\n\r\n.\r\n").startswith("250")
    assert place.budget.used == 0
    assert accepted(greedy, 140) == 140
    greedy.end()
    assert place.budget.used == 0


def test_a_login_vouches_for_its_own_senders_alone(place: Place) -> None:
    """AUT-7: AUTH= is passed on of whom the client is believed; of nobody else than "<>"."""
    asked: Any = Networks([])
    place.options["authentication"] = Authentication(
        asked,
        asked,
        clear_from=asked,
        may_use=lambda login, sender: str(sender) == f"{login}@example.com",
        later=asked,
        clock=asked,
        max_failures=3,
    )
    reception = place.reception()

    def passed_on(login: str, auth: str, address: str = "192.0.2.1") -> str | None:
        who = Who(address, reception.relay_from)
        who.login, who.may_relay = login, bool(login) or who.may_relay
        envelope = Envelope(None if not login else parse(f"{login}@example.com"), auth=auth)
        assert Transaction(reception, who, lambda reply: None).mail(envelope).ok
        return envelope.auth

    assert passed_on("ann", "ann@example.com") == "ann@example.com"
    assert passed_on("ann", "boss@example.com") == "<>"
    assert passed_on("ann", "<>") == "<>"
    assert passed_on("", "boss@example.com", "127.0.0.1") == "boss@example.com"
    assert passed_on("", "boss@example.com") == "<>"
