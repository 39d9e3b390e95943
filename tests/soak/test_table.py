"""What holds the soak to account: the table's rules by examples, and that what ends elsewhere is seen."""

from __future__ import annotations

import expect
import judge
from exchangers import Ledger
from expect import KINDS, Message, expected


def test_the_table_has_destinations_of_many_kinds() -> None:
    assert len(KINDS) >= 50 and expect.domains() >= 50
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def sent(name: str, *, sender: str = "s1@senders.test", notify: str = "", door: str = "trusted") -> Message:
    """A message to the destination of that name, taken."""
    [kind] = [one for one in KINDS if one.name == name]
    message = Message(1, sender, [kind], [notify] * len(kind.ends), door=door)
    message.replies = [f"{want} ok" for want in expected(message).replies]
    message.reply = "250 2.0.0 queued"
    return message


def found(message: Message, ledger: Ledger, *held: str, killed: bool = False) -> list[str]:
    return [line.partition(": ")[2] for line in judge.problems([message], ledger, held, killed=killed)]


def delivered(times: int = 1, address: str = "r1@first1.test", place: str = "good1") -> Ledger:
    ledger = Ledger()
    for _ in range(times):
        ledger.take(place, "s1@senders.test", address, b"X-Soak: 1\r\n")
    return ledger


def reported(times: int = 1, action: str = "failed", status: str = "5.1.1") -> Ledger:
    ledger = Ledger()
    for number in range(times):
        ledger.report(
            "s1@senders.test",
            "",
            b"Message-ID: <%d@mx>\r\nContent-Type: multipart/report; boundary=b\r\n\r\n"
            b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\n"
            b"Final-Recipient: rfc822; r1@unknown1.test\r\nAction: %s\r\nStatus: %s\r\n\r\n"
            b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nX-Soak: 1\r\n\r\n--b--\r\n"
            % (number, action.encode(), status.encode()),
        )
    return ledger


def test_what_ends_elsewhere_is_seen() -> None:
    message = sent("first1")
    assert found(message, delivered()) == []
    assert found(message, Ledger()) == ["lost: r1@first1.test at good1"]
    assert "delivered 2 times" in found(message, delivered(2))[0]
    assert found(message, delivered(2), killed=True) == []
    assert "but to good2" in found(message, delivered(place="good2"))[0]
    assert "which was not expected" in found(message, delivered(address="r1@null1.test"))[-1]
    message.reply = None
    assert found(message, Ledger()) == [], "its answer was lost"


def test_a_report_that_is_wrong_is_seen() -> None:
    message = sent("unknown1")
    assert found(message, reported()) == []
    assert "no report" in found(message, Ledger())[0]
    assert "2 reports" in found(message, reported(2), killed=True)[0]
    assert "5.1.1 was expected" in found(message, reported(status="5.4.4"))[0]
    assert "was not expected" in found(message, reported(action="delayed"))[-1]
    assert "was not expected" in found(sent("unknown1", notify="NEVER"), reported())[0]


def test_what_is_not_held_and_what_is_not_refused_are_seen() -> None:
    message = sent("hold")
    at_last = delivered(address="r1@hold.test")
    assert found(message, at_last, "r1@hold.test") == []
    assert found(message, at_last) == ["it is not held"]
    refused = sent("null1", door="submission")
    refused.replies, refused.reply = ["250 ok"], "554 nobody"
    assert "556 5.1.10 was expected" in found(refused, Ledger())[0]


def test_who_is_told() -> None:
    """DSN-4 to DSN-6: the table's own rules, by examples."""
    told = {
        ("unknown1", "s1@senders.test", ""): [("s1@senders.test", "r1@unknown1.test", "failed")],
        ("unknown1", "s1@senders.test", "SUCCESS"): [],
        ("unknown1", "", "NEVER"): [("postmaster@local.test", "r1@unknown1.test", "failed")],
        ("unknown1", "s1@refusing.test", ""): [("postmaster@local.test", "s1@refusing.test", "failed")],
        ("healthy1", "s1@senders.test", "SUCCESS"): [("s1@senders.test", "r1@healthy1.test", "relayed")],
        ("healthy1", "", "SUCCESS"): [],
        ("tracing", "s1@senders.test", "SUCCESS"): [],
        ("list@local.test", "s1@senders.test", "NEVER"): [
            ("owner@senders.test", "list@unknown1.test", "failed")
        ],
    }
    for (name, sender, notify), reports in told.items():
        assert list(expected(sent(name, sender=sender, notify=notify)).reports) == reports


def test_a_line_in_the_log_needs_its_reason() -> None:
    held = '{"event": "held", "level": "warning", "why": "to be looked at"}\n'
    reclaimed = '{"event": "reclaimed", "level": "warning"}\n'
    everyday = '{"event": "queued", "level": "info"}\n'
    assert judge.complaints([held, everyday]) == []
    assert judge.complaints([reclaimed], judge.AFTER_KILL) == []
    assert judge.complaints(["Traceback (most recent call last):\n", reclaimed]) == [
        "Traceback (most recent call last):",
        reclaimed.rstrip(),
    ]
