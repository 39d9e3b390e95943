"""An entry as `mailq` prints it and in JSON; and that nothing a peer said escapes its line."""

import pytest

from mether.address import Address
from mether.envelope import By, Envelope, Recipient
from mether.outcome import Outcome, Route
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
    assert all(line.isprintable() for line in listing.text(of, {}, NOW).splitlines())
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
    assert (f"({reason})" in listing.text(of, hops, NOW)) == (reason != "")
    assert listing.record(of, hops, NOW)["recipients"][0].get("delay_reason", "") == reason
    tried = entry(attempts=1, last=Outcome(0, "delayed", Reply(451, None, "full")), next_attempt=NOW + 1)
    assert "(451 full)" in listing.text(tried, hops, NOW)


def test_why_a_report_waits_for_its_hour_or_for_another():
    of = entry(next_attempt=NOW + 3600)
    of.message.release_at = NOW + 3600
    of.message.envelope.reverse_path = None
    until = listing.stamp(NOW + 3600)
    assert f"(not before {until}: too many reports to one address in an hour)" in listing.text(of, {}, NOW)
    assert listing.record(of, {}, NOW)["paced_until"] == NOW + 3600
    assert "too many" not in listing.text(of, {}, NOW + 3600)
    assert "paced_until" not in listing.record(of, {}, NOW + 3600)
    of.rows[0].next_attempt = NOW + 7200
    assert listing.stamp(NOW + 7200) in listing.text(of, {}, NOW + 3600)
    assert listing.record(of, {}, NOW + 3600)["paced_until"] == NOW + 7200


def test_until_when_it_waits_to_be_released():
    """EXT-2"""
    of = entry(next_attempt=NOW + 3600)
    of.message.release_at = NOW + 3600
    of.message.envelope.hold = "for;3600"
    assert f"(not before {listing.stamp(NOW + 3600)})" in listing.text(of, {}, NOW)
    assert "not before" not in listing.text(of, {}, NOW + 3600)
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


def test_why_it_is_held_is_told_once():
    last = Outcome(0, "delayed", Reply(451, None, "connection lost"), uncertain=True)
    of = entry(hold="may have been delivered to a@b.test: 451 connection lost", attempts=1, last=last)
    assert listing.text(of, {}, NOW).count("connection lost") == 1
