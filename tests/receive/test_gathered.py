"""What becomes of DSN parameters, and which messages a transaction comes to."""

from __future__ import annotations

import pytest
from clock import T0
from mail import address
from names import aliased

from mether.envelope import By, Envelope, Recipient
from mether.outcome import Route
from mether.receive import gathered
from mether.receive.gathered import Gathered, Part, notices, original, without_success
from mether.routing.expand import resolve
from mether.routing.request import Request
from mether.routing.resolution import UNKNOWN, Delivery, Refused, Resolution
from mether.routing.router import Decision
from mether.routing.rule import Rule

SENDER = address("s@client.example")
KNOWN = {
    "one": "x@example.net",
    "many": "ann, x@example.net",
    "list": "ann, bob",
    "owner-list": "carol",
    "drop": "/dev/null",
}
HELD = Rule(["held.example"], "hold", "to be looked at")


def gather(
    *recipients: Recipient | str, sender: str | None = "s@client.example"
) -> tuple[list[Part], Gathered]:
    router, found = aliased(KNOWN, HELD), Gathered()
    reverse = address(sender) if sender else None
    for one in recipients:
        recipient = Recipient(address(one)) if isinstance(one, str) else one
        resolution = resolve(router, Request(recipient.forward_path, sender=reverse))
        found.add(recipient, resolution, notices(recipient, resolution, T0, reverse))
    envelope = Envelope(reverse, ret="HDRS", envid="e1", priority=3, by=By(60, "N"))
    return found.parts(envelope), found


def asks(path: str, notify: str | None = "SUCCESS,FAILURE", orcpt: str | None = None) -> Recipient:
    return Recipient(address(path), notify=notify, orcpt=orcpt)


def shown(part: Part) -> list[tuple[str, str | None, str | None]]:
    return [(str(one.forward_path), one.orcpt, one.notify) for one in part.envelope.recipients]


def test_who_is_named_himself_keeps_what_was_said_of_him() -> None:
    (part,), found = gather(asks("ann@example.com"), "bob@example.com")
    assert shown(part) == [("ann@example.com", None, "SUCCESS,FAILURE"), ("bob@example.com", None, None)]
    assert not found.notices and found.only is None


def test_an_alias_of_one_hands_all_parameters_on() -> None:
    """DSN-7: RFC 3461 section 5.2.7.2: and no report is made; ORCPT is added where there is none."""
    (part,), found = gather(asks("one@example.com"))
    assert shown(part) == [("x@example.net", "rfc822;one@example.com", "SUCCESS,FAILURE")]
    assert (part.envelope.ret, part.envelope.envid, part.envelope.reverse_path) == ("HDRS", "e1", SENDER)
    assert not found.notices and found.only == address("one@example.com")
    (part,), _ = gather(asks("one@example.com", orcpt="rfc822;first@else.example"))
    assert shown(part)[0][1] == "rfc822;first@else.example"


def test_an_alias_of_many_hands_on_all_but_success() -> None:
    """DSN-7: RFC 3461 section 5.2.7.3 (c): an "expanded" report is made where SUCCESS was asked for.

    BNC-8: and Original-Recipient will be in it only where ORCPT came.
    """
    (part,), found = gather(asks("many@example.com"))
    assert shown(part) == [
        ("ann@example.com", "rfc822;many@example.com", "FAILURE"),
        ("x@example.net", "rfc822;many@example.com", "FAILURE"),
    ]
    (notice,) = found.notices
    assert (notice.to, notice.outcome.action) == (None, "expanded")
    assert str(notice.recipient.forward_path) == "many@example.com"
    assert notice.recipient.orcpt is None
    _, found = gather(asks("many@example.com", orcpt="rfc822;First@else.example"))
    assert found.notices[0].recipient.orcpt == "rfc822;First@else.example"
    (part,), found = gather(asks("many@example.com", None))
    assert [one[2] for one in shown(part)] == [None, None] and not found.notices


def test_a_mailing_list_is_the_end_of_a_message() -> None:
    """DSN-7: RFC 3461 section 5.2.7.1: "delivered" is reported, and no parameter goes to the members."""
    (part,), found = gather(asks("list@example.com"))
    assert shown(part) == [("ann@example.com", None, None), ("bob@example.com", None, None)]
    envelope = part.envelope
    assert str(envelope.reverse_path) == "owner-list@example.com" and part.owned
    assert (envelope.ret, envelope.envid, envelope.by, envelope.priority) == (None, None, None, 3)
    (notice,) = found.notices
    assert notice.outcome.action == "delivered"


def test_nobody_is_told_of_a_message_without_a_sender() -> None:
    parts, found = gather(asks("many@example.com"), asks("list@example.com"), sender=None)
    assert not found.notices
    assert [part.envelope.reverse_path for part in parts] == [None]


def test_what_goes_to_a_list_is_a_message_of_its_own() -> None:
    parts, _ = gather("dave@example.com", "list@example.com", "x@held.example")
    assert [(str(part.envelope.reverse_path), part.hold, len(part.routes)) for part in parts] == [
        ("s@client.example", None, 1),
        ("owner-list@example.com", None, 2),
        ("s@client.example", "to be looked at", 1),
    ]


def test_who_is_named_himself_gets_one_copy_as_it_was_asked() -> None:
    (part,), found = gather("many@example.com", asks("ann@example.com"), "ann@example.com")
    assert shown(part) == [
        ("ann@example.com", None, "SUCCESS,FAILURE"),
        ("x@example.net", "rfc822;many@example.com", None),
    ]
    assert found.named == 2
    (part,), _ = gather(asks("ann@example.com"), "many@example.com")
    assert shown(part)[0] == ("ann@example.com", None, "SUCCESS,FAILURE")


def test_what_is_discarded_is_delivered_to_nobody() -> None:
    parts, found = gather(asks("drop@example.com"))
    assert parts == [] and [str(one) for one in found.dropped] == ["drop@example.com"]
    assert found.notices[0].outcome.action == "delivered"


def test_members_that_fail_are_reported_to_the_owner_or_the_sender() -> None:
    closed = {"many": "ann, |/bin/x", "list": "ann, bob, |/bin/x", "owner-list": "carol"}
    router = aliased(closed)
    for name, notify, told in (
        ("many", None, ["None"]),
        ("many", "NEVER", []),
        ("list", "NEVER", ["owner-list@example.com"]),
    ):
        recipient = asks(f"{name}@example.com", notify)
        found = notices(
            recipient, resolve(router, Request(recipient.forward_path, sender=SENDER)), T0, SENDER
        )
        assert [str(one.to) for one in found] == told
        assert all(one.outcome.action == "failed" for one in found)


def test_of_a_member_that_fails_is_told_once() -> None:
    """Whoever names a list again and again, by sub-addresses, gets no longer report, and fills no memory."""
    found = Gathered()
    for number in range(3):
        recipient = Recipient(address(f"list+{number}@example.com"), notify="SUCCESS,FAILURE")
        resolution = Resolution(
            Decision(None, None),
            [Delivery(address("ann@example.com"), Route("smtp", "example.com"), "list")],
            refused=[Refused(address("gone@example.com"), UNKNOWN)],
        )
        found.add(recipient, resolution, notices(recipient, resolution, T0, SENDER))
    assert [(str(one.recipient.forward_path), one.outcome.action) for one in found.notices] == [
        ("list+0@example.com", "expanded"),
        ("gone@example.com", "failed"),
        ("list+1@example.com", "expanded"),
        ("list+2@example.com", "expanded"),
    ]


def test_there_are_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    router, found = aliased(KNOWN, HELD), Gathered()
    monkeypatch.setattr(gathered, "MOST", 3)
    many = resolve(router, Request(address("many@example.com")))
    assert found.within(many)
    found.add(Recipient(address("a@example.com")), resolve(router, Request(address("a@example.com"))))
    found.add(Recipient(address("b@example.com")), resolve(router, Request(address("b@example.com"))))
    assert not found.within(many)
    monkeypatch.setattr(gathered, "PARTS", 1)
    assert not found.within(resolve(router, Request(address("x@held.example"))))


@pytest.mark.parametrize(
    ("notify", "rest"),
    [
        (None, None),
        ("NEVER", "NEVER"),
        ("SUCCESS", "NEVER"),
        ("success,FAILURE", "FAILURE"),
        ("FAILURE,DELAY", "FAILURE,DELAY"),
    ],
)
def test_notify_without_success(notify: str | None, rest: str | None) -> None:
    assert without_success(notify) == rest


def test_orcpt_is_made_in_xtext() -> None:
    """RFC 3461 section 4.2, RFC 6533 section 3"""
    assert original(address("ann+x@example.com")) == "rfc822;ann+2Bx@example.com"
    assert original(address("ü@example.com")) == "utf-8;\\x{FC}@example.com"
