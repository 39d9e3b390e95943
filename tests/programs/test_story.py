"""What is told of one message: all that is known of it, when it is tried next, and why not now."""

import pytest

from mether.address import Address
from mether.envelope import Envelope, Recipient
from mether.outcome import Attempt, Outcome, Route
from mether.programs import listing, story
from mether.queue.claim import Hop
from mether.queue.message import Arrival, Entry, Message, Row
from mether.reply import Reply

NOW = 1_800_000_000.0
ROUTE = Route("smtp", "b.test")
TO = Recipient(Address("a", "b.test"))
LATER = Outcome(0, "delayed", Reply(451, None, "later"), remote_mta="mx.b.test", at=NOW - 9)


def entry(*, hold=None, expires=NOW + 86400, release_at=0.0, asked=None, **row):
    message = Message(
        "0" * 13,
        Envelope(None, [TO], hold=asked),
        Arrival(NOW - 60),
        size=5000,
        expires=expires,
        hold=hold,
        release_at=release_at,
    )
    return Entry(message, [Row(0, TO, ROUTE, **row)])


def told(of, *attempts, hop=None):
    return "\n".join(story.story(of, attempts, {} if hop is None else {ROUTE: hop}, NOW))


DOWN = Hop(ROUTE, failures=2, not_before=NOW + 90, last="421 down")


@pytest.mark.parametrize(
    ("of", "hop", "at", "words"),
    [
        (entry(next_attempt=NOW), None, NOW, ["due"]),
        (entry(next_attempt=NOW + 60, attempts=1), None, NOW + 60, []),
        (entry(hold="on suspicion"), None, None, ["held", "on suspicion"]),
        (entry(owner=3), None, None, ["being tried"]),
        (entry(next_attempt=NOW + 60, attempts=1), DOWN, NOW + 90, ["next hop", "421 down"]),
        (entry(next_attempt=NOW + 100, attempts=1), DOWN, NOW + 100, []),
        (entry(), Hop(ROUTE, suspended="moving", suspended_until=NOW + 5), NOW + 5, ["suspended", "moving"]),
        (entry(), Hop(ROUTE, suspended="moving"), NOW + 86400, ["returned", "suspended", "moving"]),
        (entry(), Hop(ROUTE, suspended="moving", suspended_until=NOW), NOW, ["due"]),
        (entry(next_attempt=NOW + 60, attempts=9, expires=NOW + 30), None, NOW + 30, ["returned"]),
        (entry(next_attempt=NOW, attempts=1, suspect=True), None, NOW, ["tried alone", "crash"]),
        (entry(next_attempt=NOW + 7, release_at=NOW + 7, asked="for;7"), None, NOW + 7, ["later delivery"]),
        (entry(next_attempt=NOW + 7, release_at=NOW + 7), None, NOW + 7, ["too many reports", "its reader"]),
    ],
)
def test_when_it_is_tried_next_and_why_then(of, hop, at, words):
    """QUE-2"""
    when, why = story.next_try(of, of.rows[0], {} if hop is None else {ROUTE: hop}, NOW)
    assert when == at
    for word in words:
        assert word in why, why


def test_each_thing_that_it_waits_for_is_explained_in_turn():
    of = entry(next_attempt=NOW + 60, attempts=1)
    lines = [f"{when}: {why}" for when, why in story.explanation(of, of.rows[0], {ROUTE: DOWN}, NOW, str)]
    first, second, third = lines
    assert first.startswith("now: it waits: ") and first.endswith(f", until {listing.stamp(NOW + 60)}")
    assert second.startswith(f"{listing.stamp(NOW + 60)} (in 1m): it waits: ") and "421 down" in second
    assert third.startswith(f"{listing.stamp(NOW + 90)} (in 1m30s): it is tried")
    assert third.endswith("; one message at a time is, until its next hop answers")
    record = story.explanation_record(of, of.rows[0], {ROUTE: DOWN}, NOW)
    assert record["next_try"] == NOW + 90
    assert [step["do"] for step in record["steps"]] == ["wait", "wait", "try"]


def test_that_its_sender_is_told_of_the_delay_is_explained():
    """DSN-6"""
    of = entry(next_attempt=NOW + 60, attempts=1)
    of.message.envelope, of.message.warn_at = Envelope(TO.forward_path, [TO]), NOW + 30
    lines = [f"{when}: {why}" for when, why in story.explanation(of, of.rows[0], {}, NOW, str)]
    assert lines[1] == f"{listing.stamp(NOW + 30)} (in 30s): its sender is told of the delay"
    record = story.explanation_record(of, of.rows[0], {}, NOW)
    assert (record["next_try"], [step["do"] for step in record["steps"]]) == (
        NOW + 60,
        ["wait", "warn", "wait", "try"],
    )


@pytest.mark.parametrize(
    ("of", "hop", "words"),
    [
        (entry(hold="x"), None, "it stays: held: x; smtpq release lets it go on"),
        (entry(owner=3), None, "it is being tried now"),
        (entry(), Hop(ROUTE, suspended="moving"), "suspended: moving; smtpq resume lets it go on"),
        (entry(), None, "it is tried: it is due; no room at smtp:b.test"),
        (entry(expires=NOW - 2, next_attempt=NOW + 1), None, "it is returned: its time in the queue is over"),
    ],
)
def test_what_keeps_it_is_explained(of, hop, words):
    hops = {} if hop is None else {ROUTE: hop}
    when, why = next(iter(story.explanation(of, of.rows[0], hops, NOW, lambda route: f"no room at {route}")))
    assert when == "now"
    assert why.endswith(words)


def test_what_waits_for_a_person_is_returned_when_its_time_is_over():
    of = entry()
    *_, (when, why) = story.explanation(of, of.rows[0], {ROUTE: Hop(ROUTE, suspended="moving")}, NOW, str)
    assert when == f"{listing.stamp(NOW + 86400)} (in 1d)" and why.startswith("it is returned")
    assert (
        story.explanation_record(of, of.rows[0], {ROUTE: Hop(ROUTE, suspended="x")}, NOW)["next_try"] is None
    )


def test_a_message_whose_time_is_over():
    text = told(entry(next_attempt=NOW + 9, attempts=1, expires=NOW - 2, pinned=True))
    assert f"Expired    {listing.stamp(NOW - 2)} (2s ago)" in text
    assert "  next     now: its time in the queue is over, and it is returned" in text
    assert "smtp:b.test (pinned: as given on the command line)" in text


def test_an_uncertain_attempt_may_have_been_delivered():
    """The process need not have died: a connection lost after the content leaves the same doubt."""
    reply = Reply(451, "4.4.2", "the server closed the connection (waiting for the reply to the content)")
    outcome = Outcome(0, "delayed", reply, remote_mta="mx.b.test", uncertain=True)
    attempt = Attempt(ROUTE, [outcome], started=NOW - 9, seconds=1, remote_mta="mx.b.test", uncertain=True)
    text = told(entry(attempts=1, next_attempt=NOW + 9, last=outcome), attempt)
    assert "died" not in text
    assert text.count("  unknown  it may have been delivered all the same\n") == 2
    assert "the server closed the connection" in text


@pytest.mark.parametrize(("said", "text"), [(True, "451 later from mx.b"), (False, "451 later (of mx.b)")])
def test_whose_words_they_are(said, text):
    last = Outcome(0, "delayed", Reply(451, None, "later"), remote_mta="mx.b", said=said)
    assert f"\n  last     delayed: {text}\n" in told(entry(attempts=1, last=last, next_attempt=NOW + 1))


def test_until_when_it_waits_to_be_released():
    """EXT-2"""
    text = told(entry(next_attempt=NOW + 3600, release_at=NOW + 3600, asked="for;3660"))
    assert f"Release    {listing.stamp(NOW + 3600)} (in 1h)" in text
    assert f"  next     {listing.stamp(NOW + 3600)} (in 1h): its sender asked for a later delivery" in text


@pytest.mark.parametrize("mark", ["hold", "remove"])
def test_what_a_person_asked_for_meanwhile(mark):
    done = {"hold": "held", "remove": "removed"}[mark]
    assert f"  then     {done}, as soon as the attempt can end" in told(entry(owner=3, mark=mark))


def attempt(route=ROUTE, started=NOW - 9, transcript=""):
    return Attempt(route, [LATER], started=started, remote_mta="mx.b.test", transcript=transcript)


def test_the_last_dialogue_at_each_next_hop():
    other = Route("smtp", "c.test")
    attempts = [
        attempt(transcript="C: OLD"),
        attempt(other, NOW - 8, "S: 220 hi\nC: EHLO\x1b[31m me\n"),
        attempt(started=NOW - 7, transcript="C: NEW"),
        attempt(started=NOW - 6),
    ]
    text = "\n".join(story.transcripts(entry(), attempts))
    assert "OLD" not in text
    assert f"Transcript {listing.stamp(NOW - 7)} at smtp:b.test mx.b.test, 0.0 s\n  C: NEW\n" in text
    assert "at smtp:c.test mx.b.test, 0.0 s\n  S: 220 hi\n  C: EHLO?[31m me" in text
    record = story.attempt_record(attempts[1], entry(), transcript=True)
    assert record["transcript"] == ["S: 220 hi", "C: EHLO?[31m me"]
    assert "transcript" not in story.attempt_record(attempts[1], entry())


def test_where_no_dialogue_is_kept_that_is_said():
    (_, line) = story.transcripts(entry(), [])
    assert line.startswith("Transcript of smtp:b.test: none; ")


def test_a_reply_stays_on_its_line():
    last = Outcome(0, "delayed", Reply(451, None, "a\r\nb\x1b[31m"), remote_mta="x")
    of = entry(attempts=1, last=last, next_attempt=NOW + 1)
    assert all(line.isprintable() for line in told(of).splitlines())
