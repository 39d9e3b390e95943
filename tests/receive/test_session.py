"""The receiving half, spoken to as a client does: octets in, replies out."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
from clock import T0
from hypothesis import given
from hypothesis import strategies as st
from mail import heard
from places import MIB, Place

from mether.queue.memory import MemoryStore
from mether.queue.store import StoreError
from mether.receive.reception import Limits
from mether.reply import Reply
from mether.routing.networks import Networks

LINES = st.sampled_from(
    [
        "EHLO c.example",
        "HELO c.example",
        "MAIL FROM:<a@b.example>",
        "MAIL FROM:<>",
        "MAIL FROM:broken",
        "RCPT TO:<bob@example.com>",
        "RCPT TO:<x@elsewhere.example>",
        "RSET",
        "NOOP",
        "VRFY bob",
        "NONSENSE",
        "",
        "QUIT extra",
        "DATA",
    ]
)


def test_a_refused_client_gets_nothing_but_quit(place: Place) -> None:
    client = place.client(refuse=Reply(554, "5.3.2", "no service"))
    assert client.greeting.startswith("554 ")
    replies = client.say("EHLO c.example", "MAIL FROM:<a@b.example>", "QUIT")
    assert [reply[:3] for reply in replies] == ["503", "503", "221"]
    assert client.dialogue.closing


def test_too_many_errors_end_the_session(place: Place) -> None:
    client = place.client()
    with heard() as events:
        replies = client.say("EHLO c.example", "NONSENSE", "RCPT TO:<x@y.example>", "MAIL FROM:bad", "DATA")
    assert [reply[:3] for reply in replies] == ["250", "500", "503", "501", "421"]
    assert client.dialogue.closing
    assert client.send(b"NOOP\r\n") == ""
    assert [fields["why"] for name, fields in events if name == "cut"] == ["too many errors"]


def test_too_many_commands_end_the_session(place: Place) -> None:
    client = place.client()
    replies = client.say(*["NOOP"] * 51)
    assert replies[49].startswith("250 ")
    assert replies[50].startswith("421 4.7.0 ")
    assert client.dialogue.closing


def test_a_message_allows_more_commands(place: Place) -> None:
    client = place.client()
    for _ in range(20):
        assert client.mail().startswith("250 ")
    assert len(place.queued()) == 20


def test_helo_is_answered_without_extensions(place: Place) -> None:
    """CMD-7: EHLO lists what `receive.offer` says, which has its own tests."""
    client = place.client()
    assert client.send(b"HELO c.example\r\n") == "250 mx.example.com\r\n"
    said = [line[4:] for line in client.send(b"EHLO c.example\r\n").splitlines()]
    assert said[0] == "mx.example.com"
    assert {"PIPELINING", f"SIZE {5 * MIB}", "8BITMIME", "DSN", "HELP"} <= set(said)


@pytest.mark.parametrize(
    ("line", "code"),
    [("VRFY bob", "252"), ("EXPN list", "252"), ("HELP", "214"), ("NOOP x", "250"), ("LHLO c", "500")],
)
def test_the_other_commands(place: Place, line: str, code: str) -> None:
    assert place.client().say("EHLO c.example", line)[1].startswith(code)


def test_a_session_is_logged_with_its_counts(place: Place) -> None:
    client = place.client()
    with heard() as events:
        client.mail()
        client.say("RCPT TO:<x@y.example>", "QUIT")
        client.end("")
    named = dict(events)
    assert named["queued"]["recipients"] == 1
    assert named["disconnected"]["commands"] == {
        "ehlo": (1, 1),
        "mail": (1, 1),
        "rcpt": (1, 2),
        "data": (1, 1),
        "quit": (1, 1),
    }
    assert "cut" not in named


@pytest.mark.parametrize(
    ("count", "reply"),
    [
        (0, "251 2.0.0 no messages wait for example.net"),
        (3, "253 2.0.0 3 messages for example.net are started"),
        (StoreError("the queue is locked"), "458 4.3.0 unable to start the queue for example.net"),
    ],
)
@pytest.mark.parametrize("later", [False, True])
def test_etrn_says_what_was_started(place: Place, count: int | StoreError, reply: str, later: bool) -> None:
    """RFC 1985 section 5.2; the answer may take its time."""
    asked: list[tuple[str, Callable[..., None]]] = []

    def start(domain: str, done: Callable[[int | StoreError], None]) -> None:
        asked.append((domain, done))
        if not later:
            done(count)

    place.options = {"start": start, "etrn_from": Networks(["192.0.2.0/24"])}
    client = place.client()
    client.say("EHLO c.example")
    said = client.send(b"ETRN Example.NET\r\nNOOP\r\n")
    if later:
        assert said == ""
        before = len(client.said)
        asked[0][1](count)
        said = client.said[before:].decode()
    assert [domain for domain, _ in asked] == ["example.net"]
    first, second = said.splitlines()
    assert first.lower() == reply
    assert second.startswith("250 ")


def test_etrn_is_for_listed_hosts(place: Place) -> None:
    """RFC 1985 section 5.2: 459 for all others."""
    place.options = {"start": lambda domain, done: done(1), "etrn_from": Networks(["10.0.0.0/8"])}
    assert place.client().say("EHLO c.example", "ETRN example.net")[1].startswith("459 ")


def test_a_session_without_a_message_ends_and_a_busy_one_does_not(place: Place) -> None:
    """TMO-1: 421 for half an hour without mail; whoever brings some may stay for days."""
    place.limits = Limits(size=MIB, recipients=3, commands=0, errors=4, seconds=1800.0)
    client = place.client()
    for _ in range(100):
        assert client.mail().startswith("250 ")
        place.clock.now += 1799.0
    assert client.say("NOOP")[0].startswith("250 ")
    place.clock.now += 2.0
    assert client.say("NOOP")[0].startswith("421 4.3.2 ")
    assert client.dialogue.closing


def test_a_slow_message_is_heard_out(place: Place) -> None:
    """TMO-1: no limit within a transaction."""
    place.limits = Limits(size=MIB, recipients=3, commands=0, errors=4, seconds=1800.0)
    client = place.client()
    client.say("EHLO c.example", "MAIL FROM:<a@b.example>")
    for lines in (["NOOP"], ["RCPT TO:<bob@example.com>"], ["DATA"]):
        place.clock.now += 3600.0
        assert client.say(*lines)[0][:3] in ("250", "354")
    place.clock.now += 86400.0
    assert client.send(b"hi\r\n.\r\n").startswith("250 ")
    assert client.mail().startswith("250 ")


def test_quit_is_always_heard(place: Place) -> None:
    """CMD-25"""
    place.limits = Limits(size=MIB, recipients=3, commands=0, errors=4, seconds=1800.0)
    client = place.client()
    place.clock.now += 3600.0
    assert client.say("QUIT")[0].startswith("221 ")


def test_small_chunks_are_counted_and_large_ones_are_not(place: Place) -> None:
    """RFC 5321 section 7.8: a chunk of no octets is no way to stay for ever."""
    place.limits = Limits(size=MIB, recipients=3, commands=20, errors=4)
    client = place.client()
    client.say("EHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<bob@example.com>")
    for _ in range(100):
        assert client.send(b"BDAT 1000\r\n" + b"x" * 998 + b"\r\n").startswith("250 ")
    for _ in range(17):
        assert client.send(b"BDAT 0\r\n").startswith("250 ")
    assert client.send(b"BDAT 0\r\n").startswith("421 4.7.0 ")
    assert client.dialogue.closing
    client.end()
    assert place.budget.used == 0


@pytest.mark.parametrize("waits", [False, True])
def test_a_session_that_is_over_ends_by_itself(place: Place, waits: bool) -> None:
    """It leaves nothing to a search for rings, which comes late; what is answered then is for nobody."""
    place.waiting = waits
    client = place.client()
    client.mail()
    client.end()
    gone = weakref.ref(client)
    said = client.said
    gc.disable()
    try:
        del client
        assert gone() is None
    finally:
        gc.enable()
    assert (b"queued as" in said) is not waits
    for answer in place.held:
        answer()
    assert len(place.queued()) == 1


@given(st.lists(LINES, max_size=30), st.lists(st.sampled_from([b"hi\r\n", b"a\rb\r\n", b""]), max_size=30))
def test_every_command_gets_exactly_one_reply(lines: list[str], contents: list[bytes]) -> None:
    """CMD-4, DAT-6: the client and we never get out of step, whatever is refused."""
    place = Place(MemoryStore(now=T0))
    place.limits = Limits(size=0, recipients=3, commands=0, errors=0)
    client = place.client()
    assert _finals(client.greeting) == 1
    for line in lines:
        said = client.send(line.encode() + b"\r\n")
        assert _finals(said) == 1, line
        if said.startswith("354"):
            content = contents.pop() if contents else b"x\r\n"
            assert _finals(client.send(content + b".\r\n")) == 1
    client.end()
    assert place.budget.used == 0


def _finals(said: str) -> int:
    return sum(line[3:4] == " " for line in said.splitlines())
