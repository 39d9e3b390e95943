"""From content to a draft: the trace field, sizes and times."""

from __future__ import annotations

from collections.abc import Sequence

from clock import T0
from mail import CONTENT, HOP, address, new_ident

from mether.envelope import By, Envelope, Recipient
from mether.queue.memory import Staged
from mether.queue.message import Arrival, Draft
from mether.receive import accept


def _envelope(*paths: str) -> Envelope:
    return Envelope(address("a@client.example"), [Recipient(address(path)) for path in paths])


def test_a_draft_of_content_in_memory() -> None:
    ident = new_ident()
    draft = accept.draft(
        ident,
        _envelope("bob@example.com"),
        Arrival(T0, "ESMTP", address="192.0.2.1", helo="client.example"),
        CONTENT,
        [HOP],
        hostname="mx.example.com",
        lifetime=3600.0,
    )
    message = draft.message
    assert message.ident == ident
    assert message.size == len(message.trace) + len(CONTENT)
    assert message.expires == T0 + 3600
    assert draft.due == T0
    assert draft.key is None
    assert not draft.claim and not draft.pinned
    assert message.trace.startswith(b"Received: from client.example")
    assert ident.encode() in message.trace
    assert b"for <bob@example.com>" in message.trace


def test_a_draft_of_content_in_a_file() -> None:
    writer = Staged()
    writer.write(b"x" * 100_000)
    draft = accept.draft(
        new_ident(), _envelope("b@example.com"), Arrival(T0), writer, [HOP], hostname="mx", lifetime=1.0
    )
    assert draft.content is writer
    assert draft.message.size == len(draft.message.trace) + 100_000


def test_a_submission_key_is_remembered_for_its_time() -> None:
    draft = accept.draft(
        new_ident(),
        _envelope("b@example.com", "c@example.com"),
        Arrival(T0),
        CONTENT,
        [HOP, HOP],
        hostname="mx",
        lifetime=1.0,
        pinned=True,
        key="job 7",
        key_lifetime=60.0,
    )
    assert (draft.key, draft.key_until, draft.pinned) == ("job 7", T0 + 60, True)
    assert b"example.com" not in draft.message.trace, "no for clause with two recipients"


def test_deliver_by_may_return_a_message_before_it_expires() -> None:
    """EXT-1: RFC 2852 section 4.1.3, mode R; section 4.1: no time to deliver by makes mail live longer."""
    envelope = _envelope("b@example.com")
    for by, expires in ((By(60, "R"), 60), (By(60, "N"), 3600), (By(9999, "R"), 3600)):
        envelope.by = by
        draft = accept.draft(
            new_ident(), envelope, Arrival(T0), CONTENT, [HOP], hostname="mx", lifetime=3600.0
        )
        assert draft.message.expires == T0 + expires


def _draft(envelope: Envelope, lifetime: float = 3600.0, warn: Sequence[float] = ()) -> Draft:
    return accept.draft(
        new_ident(), envelope, Arrival(T0), CONTENT, [HOP], hostname="mx", lifetime=lifetime, warn=warn
    )


def test_a_hold_sets_the_release_and_the_lifetime_begins_then() -> None:
    """EXT-2: RFC 4865 section 4.2."""
    envelope = _envelope("b@example.com")
    for hold, release in (("for;600", T0 + 600), ("until;2027-01-15T09:00:00Z", 1_800_003_600.0)):
        envelope.hold = hold
        draft = _draft(envelope)
        message = draft.message
        assert (message.release_at, draft.due, message.expires) == (release, release, release + 3600)
        assert message.deadline == release + 3600


def test_a_hold_until_a_time_that_has_passed_is_none() -> None:
    envelope = _envelope("b@example.com")
    envelope.hold = "until;2020-01-01T00:00:00Z"
    draft = _draft(envelope)
    assert (draft.message.release_at, draft.due, draft.message.expires) == (0, T0, T0 + 3600)


def test_the_time_of_delivery_counts_from_the_arrival_though_the_release_is_later() -> None:
    """EXT-1: RFC 2852 section 4; nothing is returned before its release all the same."""
    envelope = _envelope("b@example.com")
    envelope.hold, envelope.by = "for;600", By(700, "R")
    message = _draft(envelope).message
    assert (message.expires, message.deadline) == (T0 + 700, T0 + 700)
    envelope.by = By(500, "R")
    message = _draft(envelope).message
    assert (message.expires, message.deadline) == (T0 + 500, T0 + 600)


def test_the_sender_is_warned_at_the_time_of_delivery() -> None:
    """EXT-1: mode N; a time that had passed before was for whoever sent it here."""
    envelope = _envelope("b@example.com")
    assert _draft(envelope).message.warn_at is None
    for seconds, warn_at in ((60, T0 + 60), (0, None), (-60, None)):
        envelope.by = By(seconds, "N")
        message = _draft(envelope).message
        assert (message.warn_at, message.expires) == (warn_at, T0 + 3600)


def test_the_sender_is_warned_at_the_first_age_that_comes_before_the_expiry() -> None:
    """DSN-6, EXT-2: of what is held until later it counts from the release."""
    envelope = _envelope("b@example.com")
    for hold, begins in ((None, T0), ("for;600", T0 + 600)):
        envelope.hold = hold
        assert _draft(envelope, warn=(60.0, 90.0)).message.warn_at == begins + 60
        assert _draft(envelope, warn=(3600.0,)).message.warn_at is None
    envelope.reverse_path = None
    assert _draft(envelope, warn=(60.0, 90.0)).message.warn_at is None
