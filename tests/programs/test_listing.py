"""When a message is tried next and why then; and that nothing a peer said escapes its line."""

import pytest

from mether.address import Address
from mether.envelope import By, Envelope, Recipient
from mether.outcome import Attempt, Outcome, Route
from mether.programs import listing
from mether.queue.claim import Hop
from mether.queue.message import Arrival, Entry, Message, Row
from mether.reply import Reply

NOW = 1_800_000_000.0
ROUTE = Route("smtp", "b.test")
TO = Recipient(Address("a", "b.test"))


def entry(*, hold=None, expires=NOW + 86400, **row):
    message = Message(
        "0" * 13, Envelope(None, [TO]), Arrival(NOW - 60), size=5000, expires=expires, hold=hold
    )
    return Entry(message, [Row(0, TO, ROUTE, **row)])


@pytest.mark.parametrize(
    ("of", "hop", "at", "why"),
    [
        (entry(next_attempt=NOW), None, NOW, "the first attempt"),
        (entry(next_attempt=NOW + 60, attempts=1), None, NOW + 60, "its own retry time"),
        (entry(hold="x"), None, None, "not before it is released"),
        (entry(hold="x", owner=3), None, None, "it is being tried"),
        (
            entry(next_attempt=NOW + 60, attempts=1),
            Hop(ROUTE, failures=1, not_before=NOW + 90, last="421 down"),
            NOW + 90,
            "the next hop failed 1 time in a row: 421 down",
        ),
        (
            entry(next_attempt=NOW + 60, attempts=1),
            Hop(ROUTE, failures=2, not_before=NOW + 30),
            NOW + 60,
            "its own retry time",
        ),
        (
            entry(),
            Hop(ROUTE, suspended="moving", suspended_until=NOW + 5),
            NOW + 5,
            "the next hop is suspended until then: moving",
        ),
        (
            entry(),
            Hop(ROUTE, suspended="moving"),
            NOW + 86400,
            "it expires; the next hop is suspended: moving",
        ),
        (
            entry(next_attempt=NOW + 60, attempts=9, expires=NOW + 30),
            None,
            NOW + 30,
            "it expires, and is returned",
        ),
        (
            entry(next_attempt=NOW, attempts=1, suspect=True),
            None,
            NOW,
            "its own retry time; tried alone, as its last attempt ended in a crash",
        ),
    ],
)
def test_when_and_why(of, hop, at, why):
    assert listing.next_try(of, of.rows[0], hop, NOW) == (at, why)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (59, "in 59s"),
        (3600, "in 1h"),
        (5400, "in 1h30m"),
        (90061, "in 1d1h"),
        (86405, "in 1d"),
        (-200000, "2d7h ago"),
    ],
)
def test_a_distance_in_time(seconds, text):
    assert listing.span(seconds) == text


def test_a_reply_stays_on_its_line():
    last = Outcome(0, "delayed", Reply(451, None, "a\r\nb\x1b[31m"), remote_mta="x")
    of = entry(attempts=1, last=last, next_attempt=NOW + 1)
    assert all(line.isprintable() for line in listing.lines(of, {}, NOW))
    assert all(line.isprintable() for line in listing.story(of, [], {}, NOW))
    assert listing.record(of, {}, NOW)["recipients"][0]["delay_reason"] == "451 a  b?[31m"


@pytest.mark.parametrize(
    ("hop", "reason"),
    [
        (Hop(ROUTE, failures=2, not_before=NOW + 9, last="451 refused"), "next hop down: 451 refused"),
        (Hop(ROUTE, suspended="moving\n"), "next hop suspended: moving "),
        (Hop(ROUTE, suspended="moving", suspended_until=NOW - 1), ""),
        (None, ""),
    ],
)
def test_what_was_not_tried_itself_shows_why_its_next_hop_is_not(hop, reason):
    hops = {} if hop is None else {ROUTE: hop}
    of = entry(next_attempt=NOW)
    assert (f"({reason})" in " ".join(listing.lines(of, hops, NOW))) == (reason != "")
    assert listing.record(of, hops, NOW)["recipients"][0].get("delay_reason", "") == reason
    tried = entry(attempts=1, last=Outcome(0, "delayed", Reply(451, None, "full")), next_attempt=NOW + 1)
    assert "(451 full)" in " ".join(listing.lines(tried, hops, NOW))


def test_a_message_whose_time_is_over():
    of = entry(next_attempt=NOW - 9, attempts=1, expires=NOW - 2, pinned=True)
    text = "\n".join(listing.story(of, [], {}, NOW))
    assert f"Expired    {listing.stamp(NOW - 2)} (2s ago)" in text
    assert "  next     now: it has expired, and is returned" in text
    assert "smtp:b.test (pinned: as given on the command line)" in text


def test_an_uncertain_attempt_says_why_in_its_own_words():
    """The process need not have died: a connection lost after the content leaves the same doubt."""
    reply = Reply(451, "4.4.2", "the server closed the connection (waiting for the reply to the content)")
    outcome = Outcome(0, "delayed", reply, remote_mta="mx.b.test", uncertain=True)
    attempt = Attempt(ROUTE, [outcome], started=NOW - 9, seconds=1, remote_mta="mx.b.test", uncertain=True)
    text = "\n".join(listing.story(entry(attempts=1, next_attempt=NOW + 9), [attempt], {}, NOW))
    assert "died" not in text
    assert "  unknown  it may have been delivered all the same\n" in text
    assert "the server closed the connection" in text


@pytest.mark.parametrize(("said", "text"), [(True, "451 later from mx.b"), (False, "451 later (of mx.b)")])
def test_whose_words_they_are(said, text):
    last = Outcome(0, "delayed", Reply(451, None, "later"), remote_mta="mx.b", said=said)
    of = entry(attempts=1, last=last, next_attempt=NOW + 1)
    assert f"  last     delayed: {text}" in list(listing.story(of, [], {}, NOW))


def test_until_when_it_waits_to_be_released():
    """EXT-2"""
    of = entry(next_attempt=NOW + 3600)
    of.message.release_at = NOW + 3600
    of.message.envelope.hold = "for;3600"
    at, why = listing.next_try(of, of.rows[0], None, NOW)
    assert (at, why) == (NOW + 3600, "the first attempt; its sender asked for a later delivery")
    assert f"(not before {listing.stamp(NOW + 3600)})" in " ".join(listing.lines(of, {}, NOW))
    assert "not before" not in " ".join(listing.lines(of, {}, NOW + 3600))
    assert f"Release    {listing.stamp(NOW + 3600)} (in 1h)" in list(listing.story(of, [], {}, NOW))
    assert listing.record(of, {}, NOW)["release_at"] == NOW + 3600


def test_the_parameters_as_a_client_would_write_them():
    of = entry()
    envelope = of.message.envelope
    assert listing.mail_parameters(of) == []
    envelope.auth, envelope.by, envelope.hold, envelope.priority = (
        "a+b@c.test",
        By(-5, "N", True),
        "for;60",
        -3,
    )
    assert listing.mail_parameters(of) == ["AUTH=a+2Bb@c.test", "BY=-5;NT", "HOLDFOR=60", "MT-PRIORITY=-3"]
    envelope.auth, envelope.hold = "<>", "until;2030-01-01T00:00:00Z"
    assert listing.mail_parameters(of)[:3:2] == ["AUTH=<>", "HOLDUNTIL=2030-01-01T00:00:00Z"]
    assert listing.record(of, {}, NOW)["priority"] == -3
