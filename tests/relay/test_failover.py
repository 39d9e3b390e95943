"""For which replies the next host of a list is tried."""

from __future__ import annotations

import pytest

from mether.outcome import Outcome
from mether.relay.failover import Failover, elsewhere
from mether.reply import Reply

HOST = "mx.example.net[192.0.2.1]:25"


@pytest.mark.parametrize(
    ("pattern", "code", "status", "taken"),
    [
        ("421", 421, "4.3.2", True),
        ("421", 421, "", True),
        ("421", 451, "4.2.1", False),
        ("4", 451, "4.3.2", True),
        ("45", 451, "", True),
        ("45", 421, "", False),
        ("4.7.", 451, "4.7.1", True),
        ("4.7", 451, "4.7.26", True),
        ("4.7.", 451, "4.71.1", False),
        ("4.7.", 451, "", False),
        ("4.", 450, "4.2.0", True),
        ("5.7.1", 550, "5.7.1", True),
        ("5.7.1", 550, "5.7.10", False),
        ("451 4.3.2", 451, "4.3.2", True),
        ("451 4.3.2", 452, "4.3.2", False),
        ("451 4.3.2", 451, "4.3.0", False),
        ("55 5.7.", 554, "5.7.26", True),
    ],
)
def test_a_pattern_is_the_beginning_of_code_and_status(
    pattern: str, code: int, status: str, taken: bool
) -> None:
    assert Failover([pattern]).takes(Reply(code, status, "text")) is taken


def test_any_pattern_will_do() -> None:
    known = Failover(["421", "4.7."])
    assert known.takes(Reply(451, "4.7.1", "x")) and known.takes(Reply(421, "", "x"))
    assert not known.takes(Reply(550, "5.1.1", "x"))
    assert known and not Failover() and not Failover().takes(Reply(421, "4.3.2", "x"))


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        " ",
        "250",
        "2.",
        "4.7.1.",
        "4.7.1.2",
        "4..1",
        "4.7.x",
        "4511",
        "421 5.3.2",
        "421 ",
        " 4.3.2",
        "a",
        "x.y",
        "3",
    ],
)
def test_what_no_refusal_is_like(pattern: str) -> None:
    with pytest.raises(ValueError, match="expected a reply code"):
        Failover([pattern])


PATTERNS = Failover(["4.7.", "5.7.1"])


@pytest.mark.parametrize(
    ("outcome", "again"),
    [
        (Outcome(0, "delayed", Reply(451, "4.7.1", "x"), remote_mta=HOST), True),
        (Outcome(0, "failed", Reply(550, "5.7.1", "x"), remote_mta=HOST, scope="transaction"), True),
        (Outcome(0, "failed", Reply(550, "5.1.1", "x"), remote_mta=HOST), False),
        (Outcome(0, "relayed", Reply(250, "2.0.0", "x"), remote_mta=HOST), False),
        (Outcome(0, "delayed", Reply(421, "4.3.2", "x"), remote_mta=HOST, scope="host"), True),
        (Outcome(0, "delayed", Reply(451, "4.4.2", "x"), remote_mta=HOST, scope="host", said=False), True),
    ],
)
def test_what_is_tried_at_the_next_host(outcome: Outcome, again: bool) -> None:
    assert elsewhere(outcome, PATTERNS) is again


def test_nothing_that_may_have_been_taken_is_tried_again() -> None:
    lost = Outcome(
        0, "delayed", Reply(451, "4.7.1", "x"), scope="transaction", remote_mta=HOST, uncertain=True
    )
    assert not elsewhere(lost, PATTERNS)


def test_only_what_a_host_said_counts() -> None:
    """A fault or refusal of our own is the same at every host."""
    ours = Outcome(0, "delayed", Reply(451, "4.7.1", "x"), remote_mta="")
    assert not elsewhere(ours, PATTERNS)
    assert not elsewhere(Outcome(0, "delayed", Reply(451, "4.7.1", "x"), remote_mta=HOST), None)
