"""The draft of a report: who gets it, and that nothing ever comes of it."""

from __future__ import annotations

import pytest
from clock import T0
from mail import NEVER, address
from names import aliased

from mether.content.dsn import Item
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.queue.message import Arrival, Draft
from mether.queue.pace import Pace
from mether.receive import report
from mether.routing.expand import resolve
from mether.routing.request import Request
from mether.routing.router import Router
from mether.routing.rule import Rule

TERMS = report.Terms("mx.example.com", address("postmaster@example.com"), lambda: "b0undary", 86400.0, 0)


def made(router: Router, to: str, original: bytes = b"Subject: x\r\n\r\n") -> Draft | None:
    return report.draft(
        "0RQD9T0XK3ANZ",
        TERMS,
        to=address(to),
        way=resolve(router, Request(address(to))),
        envelope=Envelope(address(to)),
        about="0RQD9T0XK3ANY",
        arrival=Arrival(T0),
        items=[Item(Recipient(address("x@example.net")), Outcome(0, "failed", NEVER))],
        original=original,
        complete=True,
        now=T0,
    )


def test_a_report_to_an_alias_reaches_all_whom_it_stands_for() -> None:
    """BNC-1: with a null reverse-path and NOTIFY=NEVER, to its sender."""
    draft = made(aliased({"ann": "bob, carol@example.net"}), "ann@example.com")
    assert draft is not None
    envelope = draft.message.envelope
    assert envelope.reverse_path is None
    assert [(str(one.forward_path), one.notify) for one in envelope.recipients] == [
        ("bob@example.com", "NEVER"),
        ("carol@example.net", "NEVER"),
    ]
    assert isinstance(draft.content, bytes) and b"To: <ann@example.com>\r\n" in draft.content


@pytest.mark.parametrize(
    ("original", "body"), [(b"A: b\r\n\r\nc\r\n", "7BIT"), (b"A: b\r\n\r\n\xe9\r\n", "8BITMIME")]
)
def test_the_envelope_says_what_is_in_it(original: bytes, body: str) -> None:
    """BNC-6, 8BM-1: 8-bit text is returned as such."""
    draft = made(aliased({}), "ann@example.net", original)
    assert draft is not None and draft.message.envelope.body == body
    assert isinstance(draft.content, bytes) and draft.content.isascii() is (body == "7BIT")


def test_a_report_that_is_held_is_held() -> None:
    held = Rule(["example.net"], "hold", "why")
    draft = made(aliased({}, held), "ann@example.net")
    assert draft is not None and draft.message.hold == "why"


def test_there_is_no_report_to_nobody() -> None:
    assert made(aliased({"ann": "/dev/null"}), "ann@example.com") is None


@pytest.mark.parametrize("first", ["delayed", "relayed"])
def test_a_failure_does_not_wait_behind_what_tells_of_none(first: str) -> None:
    pace = Pace(None, 1)
    terms = report.Terms("mx.example.com", TERMS.postmaster, lambda: "b", 86400.0, 0, pace=pace)

    def waits(ident: str, *actions: str) -> bool:
        to = address("ann@example.com")
        one = report.draft(
            ident,
            terms,
            to=to,
            way=resolve(aliased({}), Request(to)),
            envelope=Envelope(to),
            about="ABC",
            arrival=Arrival(T0),
            items=[
                Item(Recipient(address("x@example.net")), Outcome(0, action, NEVER))  # type: ignore[arg-type]
                for action in actions
            ],
            original=b"",
            complete=True,
            now=T0,
        )
        assert one is not None
        return one.message.release_at > T0

    assert [waits("R1", first), waits("R2", first)] == [False, True]
    assert [waits("R3", first, "failed"), waits("R4", "failed")] == [False, True]
    pace.close()
