"""Who is owed a report: one, to the sender, and never an error about an error."""

from __future__ import annotations

from typing import Any

import pytest
from clock import T0
from mail import CONTENT, LATER, NEVER, OK, TRACE, address, claim, heard, router
from names import Names, aliased, users

from mether.content import words_texts
from mether.content.classify import parse as parse_rules
from mether.envelope import By
from mether.outcome import Outcome
from mether.queue.claim import Claim, Pending
from mether.queue.message import Draft
from mether.reply import Reply
from mether.routing.source import Needs, TableError
from mether.runner import settle
from mether.runner.notify import Reporter, kind, wants

POSTMASTER = "postmaster@example.com"


def reporter(*, tell: bool = True) -> Reporter:
    return Reporter(
        hostname="mx.example.com",
        postmaster=address(POSTMASTER),
        tell_postmaster=tell,
        router=router(),
        lifetime=86400.0,
        boundary=lambda: "b0undary",
    )


def reports(
    about: Claim, *, tell: bool = True, numbers: tuple[int, ...] | None = None, original: Any = None
) -> list[Draft]:
    """Of recipients that failed."""
    failed = [
        (one, Outcome(one.number, "failed", NEVER, at=T0))
        for one in about.pending
        if numbers is None or one.number in numbers
    ]
    return reporter(tell=tell).reports(about, failed, original or (lambda: (TRACE + CONTENT, True)), T0 + 9)


def claimed(draft: Draft) -> Claim:
    """A claim on a report that was queued."""
    pending = [Pending(number, one) for number, one in enumerate(draft.message.envelope.recipients)]
    return Claim(draft.message, draft.routes[0], pending, owner=1, token=2)


def text(draft: Draft) -> str:
    assert isinstance(draft.content, bytes)
    return draft.content.decode()


def test_one_report_tells_of_all_that_failed_at_once() -> None:
    """DAT-6, BNC-2"""
    about = claim("one@example.net", "two@example.net", "three@example.net")
    (draft,) = reports(about, numbers=(0, 2))
    assert "one@example.net" in text(draft) and "three@example.net" in text(draft)
    assert "two@example.net" not in text(draft)
    assert text(draft).count("Action: failed") == 2


def test_a_report_goes_to_the_sender_with_a_null_reverse_path() -> None:
    """DAT-6, BNC-3, RFC 5321 section 4.5.5"""
    (draft,) = reports(claim())
    envelope = draft.message.envelope
    assert envelope.reverse_path is None
    assert [str(one.forward_path) for one in envelope.recipients] == ["sender@example.com"]
    assert str(draft.routes[0]) == "maildir:here"
    assert draft.message.expires == T0 + 9 + 86400
    assert "no such user" in text(draft)
    assert "Subject: test" in text(draft)


@pytest.mark.parametrize("notify", ["NEVER", "never", "SUCCESS", "DELAY", "SUCCESS,DELAY"])
def test_who_asked_not_to_be_told_is_not(notify: str) -> None:
    """DSN-5"""
    asked: list[int] = []

    def original() -> tuple[bytes, bool]:
        asked.append(1)
        return CONTENT, True

    assert reports(claim(notify=notify), original=original) == []
    assert not asked, "nothing is read when nothing is written"


@pytest.mark.parametrize("notify", [None, "FAILURE", "failure", "SUCCESS,FAILURE,DELAY"])
def test_who_wants_to_be_told_is(notify: str | None) -> None:
    assert len(reports(claim(notify=notify))) == 1


def test_only_those_that_wanted_it_are_named() -> None:
    about = claim("quiet@example.net", "loud@example.net")
    about.message.envelope.recipients[0].notify = "NEVER"
    (draft,) = reports(about)
    assert "loud@example.net" in text(draft)
    assert "quiet@example.net" not in text(draft)


def test_a_message_without_a_sender_is_shown_to_the_postmaster() -> None:
    (draft,) = reports(claim(sender=""))
    assert [str(one.forward_path) for one in draft.message.envelope.recipients] == [POSTMASTER]
    assert draft.message.envelope.reverse_path is None
    assert "rcpt@example.net" in text(draft)


def test_or_dropped_as_configured() -> None:
    assert reports(claim(sender=""), tell=False) == []


def test_a_notice_about_a_notice_is_dropped() -> None:
    """No error about an error: the postmaster could not be reached."""
    assert reports(claim(POSTMASTER, sender="")) == []


def test_nor_is_there_one_about_another_hosts_notice() -> None:
    """BNC-2: the postmaster's mail may go on to others, and that of theirs come here."""
    (notice,) = reports(claim(sender=""))
    octets = b"Received: by others\r\n" + text(notice).encode()
    elsewhere = claim("chief@example.net", sender="")
    assert reports(elsewhere, original=lambda: (octets, True)) == []


def test_the_chain_of_reports_ends() -> None:
    """A report that fails becomes a notice, and a notice that fails becomes nothing."""
    (report,) = reports(claim())
    (notice,) = reports(claimed(report))
    assert reports(claimed(notice)) == []


def test_two_settlements_of_a_message_name_two_reports() -> None:
    about = claim("one@example.net", "two@example.net")
    (first,) = reports(about, numbers=(0,))
    (again,) = reports(about, numbers=(0,))
    about.settlement = 2
    (second,) = reports(about, numbers=(1,))
    assert first.message.ident == again.message.ident, "done over after a crash it is the same"
    assert len({first.message.ident, second.message.ident, about.message.ident}) == 3


def test_the_postmaster_as_sender_is_told() -> None:
    (draft,) = reports(claim(sender=POSTMASTER))
    assert [str(one.forward_path) for one in draft.message.envelope.recipients] == [POSTMASTER]


def test_a_large_message_is_quoted_by_its_header_alone() -> None:
    (draft,) = reports(claim(), original=lambda: (TRACE + CONTENT, False))
    assert "Subject: test" in text(draft)
    assert "Hello." not in text(draft)


def outcome(action: str, number: int = 0, **more: Any) -> Outcome:
    reply = {"failed": NEVER, "delayed": LATER}.get(action, OK)
    return Outcome(number, action, reply, at=T0, **more)  # type: ignore[arg-type]


def told(about: Claim, *outcomes: Outcome, now: float = T0 + 9) -> list[Draft]:
    """The report of these outcomes of the claim's recipients, in order."""
    pairs = list(zip(about.pending, outcomes, strict=True))
    return reporter().reports(about, pairs, lambda: (TRACE + CONTENT, True), now)


@pytest.mark.parametrize(
    ("notify", "accepted", "refused"),
    [
        (None, False, True),
        ("SUCCESS", True, False),
        ("success", True, False),
        ("SUCCESS,FAILURE", True, True),
        ("FAILURE", False, True),
        ("FAILURE,DELAY", False, True),
        ("DELAY", False, False),
        ("NEVER", False, False),
    ],
)
@pytest.mark.parametrize("action", ["relayed", "delivered", "expanded"])
def test_the_table(notify: str | None, accepted: bool, refused: bool, action: str) -> None:
    """DSN-4 (a next hop without DSN), DSN-5 (a mailbox, a program, LMTP)."""
    assert wants(notify, outcome(action)) is accepted
    assert wants(notify, outcome("failed")) is refused
    assert bool(told(claim(notify=notify), outcome(action))) is accepted


@pytest.mark.parametrize("notify", [None, "SUCCESS", "SUCCESS,FAILURE", "FAILURE", "NEVER"])
def test_a_next_hop_that_reports_does_so_itself(notify: str | None) -> None:
    """DSN-3: nobody is told twice of one success."""
    assert not wants(notify, outcome("relayed", notifies=True))
    assert not wants(notify, outcome("delivered", notifies=True))


@pytest.mark.parametrize(
    ("notify", "expected"),
    [(None, True), ("DELAY", True), ("FAILURE", False), ("SUCCESS", False), ("NEVER", False)],
)
def test_who_is_warned(notify: str | None, expected: bool) -> None:
    """DSN-6."""
    about = claim(notify=notify, last=outcome("delayed", remote_mta="mx.example.net"))
    drafts = reporter().delayed([about], T0 + 9, lambda: (TRACE + CONTENT, True))
    assert bool(drafts) is expected
    for draft in drafts:
        assert "Action: delayed" in text(draft)
        assert "Status: 4.3.0" in text(draft)
        assert "Will-Retry-Until: " in text(draft)
        assert "Hello." not in text(draft)


def test_only_those_still_waiting_are_in_a_warning() -> None:
    """DSN-6, BNC-3"""
    about = claim("one@example.net", "two@example.net")
    about.pending.pop(0)
    (draft,) = reporter().delayed([about], T0 + 9, lambda: (TRACE + CONTENT, True))
    assert "two@example.net" in text(draft)
    assert "one@example.net" not in text(draft)
    assert draft.tells == [1]


def test_one_report_for_all_whose_time_it_was() -> None:
    """BNC-3: RFC 3464 section 2, a block for each with an action of its own."""
    about = claim("one@example.net", "two@example.net", "three@example.net", notify="SUCCESS,FAILURE,DELAY")
    outcomes = (outcome("relayed", 0), outcome("failed", 1), outcome("delayed", 2))
    (draft,) = told(about, *outcomes)
    assert [line for line in text(draft).split("\r\n") if line.startswith("Action:")] == [
        "Action: relayed",
        "Action: failed",
        "Action: delayed",
    ]
    assert draft.tells == [0, 1, 2]
    assert kind(draft, zip(about.pending, outcomes, strict=True)) == "failed"


@pytest.mark.parametrize(
    "field",
    [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-generated",
        "Precedence: bulk",
        "List-Id: <list.example.com>",
        "X-Auto-Response-Suppress: All",
        "Return-Path: <>",
    ],
)
def test_no_header_field_decides_who_is_told(field: str) -> None:
    """BNC-2, BNC-3: only the null reverse-path does, and that whatever the header says."""
    octets = f"{field}\r\nFrom: sender@example.com\r\n\r\nx\r\n".encode()
    (draft,) = reports(claim(), original=lambda: (octets, True))
    assert rows(draft) == ["sender@example.com"]
    (notice,) = reports(claim(sender=""), original=lambda: (octets, True))
    assert rows(notice) == [POSTMASTER]
    assert reports(claim(sender=""), tell=False, original=lambda: (octets, True)) == []


def test_the_log_is_told_the_gravest_that_the_sender_was_told() -> None:
    about = claim("one@example.net", "two@example.net")
    about.pending[0].recipient.notify = "SUCCESS"
    outcomes = (outcome("delivered", 0), outcome("relayed", 1))
    (draft,) = told(about, *outcomes)
    assert draft.tells == [0]
    assert kind(draft, zip(about.pending, outcomes, strict=True)) == "delivered"


@pytest.mark.parametrize("action", ["relayed", "delivered", "delayed"])
def test_nobody_is_told_of_anything_but_failure_where_there_is_no_sender(action: str) -> None:
    """BNC-2"""
    assert told(claim(sender="", notify="SUCCESS,DELAY"), outcome(action)) == []


@pytest.mark.parametrize(
    ("notify", "expected"), [(None, True), ("FAILURE", True), ("SUCCESS", True), ("NEVER", False)]
)
def test_what_deliver_by_traces_is_reported_unasked(notify: str | None, expected: bool) -> None:
    """EXT-1: RFC 2852 section 4.1.4, whether or not the next hop reports too."""
    for notifies in (False, True):
        assert wants(notify, outcome("relayed", traced=True, notifies=notifies)) is expected
    assert wants(notify, outcome("delivered", traced=True)) is (notify == "SUCCESS")
    about = claim(notify=notify)
    about.message.envelope.by = By(60, "N")
    drafts = told(about, outcome("relayed", traced=True))
    assert bool(drafts) is expected
    assert all("Deliver-By-Date: " in text(draft) for draft in drafts)


def test_a_warning_after_the_time_to_deliver_by_says_so() -> None:
    """EXT-1: 4.4.7, with the last cause behind it."""
    about = claim(last=outcome("delayed"))
    about.message.envelope.by = By(60, "N")
    early, late = (
        text(reporter().delayed([about], T0 + seconds, lambda: (TRACE + CONTENT, True))[0])
        for seconds in (59, 60)
    )
    assert "Status: 4.3.0" in early
    assert "Status: 4.4.7" in late
    assert "delivery time expired; the last try ended with: 451" in " ".join(late.split())


def test_a_report_is_as_safe_and_as_urgent_as_its_message() -> None:
    """RFC 8689 section 5; EXT-3; and only the header is in it."""
    about = claim()
    about.message.envelope.requiretls = True
    about.message.envelope.priority = 3
    (draft,) = reports(about)
    assert draft.message.envelope.requiretls
    assert draft.message.priority == 3
    assert "Hello." not in text(draft)


def test_what_the_message_came_with_is_in_the_report() -> None:
    """BNC-7, EXT-2"""
    about = claim()
    about.message.envelope.hold = "for;3600"
    (draft,) = reports(about)
    assert "Received-From-MTA: dns; client.example ([192.0.2.1])\r\n" in text(draft)
    assert "Future-Release-Request: for;3600\r\n" in text(draft)
    about.message.arrival.protocol = "local"
    assert "Received-From-MTA" not in text(reports(about)[0])


# Reports go the way of all mail


def aliased_reporter(known: object, *, tell: bool = True) -> Reporter:
    made = reporter(tell=tell)
    made.router = aliased(known, users=users("ann", "bob"))  # type: ignore[arg-type]
    return made


def failed(about: Claim) -> list[tuple[Pending, Outcome]]:
    return [(one, Outcome(one.number, "failed", NEVER, at=T0)) for one in about.pending]


def rows(draft: Draft) -> list[str]:
    return [str(one.forward_path) for one in draft.message.envelope.recipients]


def test_a_report_to_an_alias_reaches_whom_that_stands_for() -> None:
    about = claim("x@example.net", sender="sales@example.com")
    mine = aliased_reporter({"sales": "ann, away@example.org"})
    (draft,) = mine.reports(about, failed(about), lambda: (TRACE + CONTENT, True), T0)
    assert rows(draft) == ["ann@example.com", "away@example.org"]
    assert {one.notify for one in draft.message.envelope.recipients} == {"NEVER"}
    assert "To: <sales@example.com>" in text(draft)


def test_a_notice_that_fails_for_whom_the_postmaster_stands_is_the_last() -> None:
    """BNC-2: never an error about an error, be the postmaster an alias."""
    mine = aliased_reporter({"postmaster": "ann, bob"})
    about = claim("x@example.net", sender="")
    (notice,) = mine.reports(about, failed(about), lambda: (TRACE + CONTENT, True), T0)
    assert rows(notice) == ["ann@example.com", "bob@example.com"]
    again = claimed(notice)
    assert mine.reports(again, failed(again), lambda: (TRACE + CONTENT, True), T0) == []


def test_what_cannot_be_told_to_its_sender_is_told_to_the_postmaster() -> None:
    mine = aliased_reporter({"postmaster": "ann"})
    about = claim("x@example.net", sender="gone@example.com")
    with heard() as events:
        (notice,) = mine.reports(about, failed(about), lambda: (TRACE + CONTENT, True), T0)
    assert rows(notice) == ["ann@example.com"] and "gone@example.com" in events[0][1]["why"]
    quiet = aliased_reporter({"postmaster": "ann"}, tell=False)
    assert quiet.reports(about, failed(about), lambda: (TRACE + CONTENT, True), T0) == []


def test_a_table_that_cannot_be_read_is_told_to_who_asked() -> None:
    about = claim("x@example.net", sender="ann@example.com")
    for names, error in ((Names({}, broken=True), TableError), (Names({}, slow=True), Needs)):
        with pytest.raises(error):
            aliased_reporter(names).reports(about, failed(about), lambda: (b"", True), T0)


def test_the_texts_and_the_rules_of_the_configuration_are_in_the_report() -> None:
    """ENH: the status too is what an administrator's rules say."""
    ours = reporter()
    ours.texts = words_texts.Texts(("nl",))
    ours.rules = parse_rules("[mailbox full x.2.2]\nwer bist du\n")
    about = claim()
    failed = Outcome(0, "failed", Reply(550, None, "wer bist du"), remote_mta="mx.example.net", at=T0)
    (draft,) = ours.reports(about, [(about.pending[0], failed)], lambda: (TRACE + CONTENT, True), T0 + 9)
    assert "\r\nContent-Language: nl\r\n" in text(draft)
    assert "Het postvak van de ontvanger is vol." in text(draft)
    assert "\r\nStatus: 5.2.2\r\n" in text(draft)
    assert "Subject: Niet bezorgd: uw bericht komt terug\r\n" in text(draft)


def test_how_often_it_was_tried_is_told() -> None:
    about = claim()
    (one,) = about.pending
    one.attempts, one.last = 4, Outcome(0, "delayed", LATER, at=T0 - 60)
    said = lambda: (TRACE + CONTENT, True)  # noqa: E731
    (tried,) = reporter().reports(about, [(one, Outcome(0, "failed", NEVER, at=T0))], said, T0)
    assert "Delivery attempts: 5, the last one at" in text(tried)
    (given_up,) = reporter().reports(about, [(one, settle.give_up(one, one.last))], said, T0)
    assert "Delivery attempts: 4, the last one at" in text(given_up)
    (by_hand,) = reporter().reports(
        about, [(one, Outcome(0, "failed", NEVER, at=T0))], said, T0, remark="moved"
    )
    assert "Delivery attempts: 4, the last one at" in text(by_hand)
    assert "    > moved\r\n" in text(by_hand)
