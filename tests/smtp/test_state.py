"""The one table of states."""

from __future__ import annotations

import pytest

from mether.smtp import state
from mether.smtp.state import CLOSED, CONNECTED, CONTENT, GREETED, GREETING, MAIL, RCPT, READY

STATES = (CONNECTED, GREETED, READY, MAIL, RCPT, CONTENT, "CHUNKS", "SPOILT", "AUTH", CLOSED)


@pytest.mark.parametrize(
    ("before", "verb", "code", "then"),
    [
        (CONNECTED, GREETING, 220, GREETED),
        (READY, "STARTTLS", 220, GREETED),
        (READY, "STARTTLS", 454, READY),
        (READY, "AUTH", 334, "AUTH"),
        (READY, "AUTH", 235, READY),
        (READY, "AUTH", 504, READY),
        ("AUTH", "RESPONSE", 334, "AUTH"),
        ("AUTH", "RESPONSE", 235, READY),
        ("AUTH", "RESPONSE", 535, READY),
        ("AUTH", "RESPONSE", 421, CLOSED),
        (RCPT, "BDAT", 250, "CHUNKS"),
        ("CHUNKS", "BDAT", 250, "CHUNKS"),
        ("CHUNKS", "BDAT", 451, "SPOILT"),
        (RCPT, "BDAT", 552, "SPOILT"),
        (READY, "BDAT", 503, READY),
        (READY, "BDAT LAST", 503, READY),
        ("SPOILT", "BDAT", 503, "SPOILT"),
        ("SPOILT", "BDAT LAST", 503, "SPOILT"),
        ("SPOILT", "BDAT LAST", 250, "SPOILT"),
        ("SPOILT", "RSET", 250, READY),
        ("SPOILT", "EHLO", 250, READY),
        ("SPOILT", "EHLO", 501, "SPOILT"),
        (RCPT, "BDAT LAST", 250, READY),
        ("CHUNKS", "BDAT LAST", 554, READY),
        ("CHUNKS", "RSET", 250, READY),
        (READY, "XCLIENT", 220, GREETED),
        (READY, "XCLIENT", 550, READY),
        (READY, "ETRN", 250, READY),
        (CLOSED, "RCPT", 250, CLOSED),
        (CLOSED, "EHLO", 250, CLOSED),
        (CONNECTED, GREETING, 554, GREETED),
        (CONNECTED, GREETING, 421, CLOSED),
        (GREETED, "EHLO", 250, READY),
        (GREETED, "EHLO", 502, GREETED),
        (GREETED, "HELO", 250, READY),
        (READY, "MAIL", 250, MAIL),
        (READY, "MAIL", 550, READY),
        (MAIL, "RCPT", 250, RCPT),
        (MAIL, "RCPT", 251, RCPT),
        (MAIL, "RCPT", 550, MAIL),
        (RCPT, "RCPT", 452, RCPT),
        (RCPT, "DATA", 354, CONTENT),
        (RCPT, "DATA", 451, RCPT),
        (RCPT, "DATA", 250, RCPT),
        (CONTENT, ".", 250, READY),
        (CONTENT, ".", 451, READY),
        (CONTENT, ".", 554, READY),
        (RCPT, "RSET", 250, READY),
        (GREETED, "RSET", 250, GREETED),
        (RCPT, "RSET", 500, RCPT),
        (RCPT, "EHLO", 250, READY),
        (RCPT, "EHLO", 501, RCPT),
        (RCPT, "NOOP", 250, RCPT),
        (RCPT, "VRFY", 252, RCPT),
        (RCPT, "QUIT", 221, CLOSED),
        (RCPT, "X-WHATEVER", 250, RCPT),
        (RCPT, "", 500, RCPT),
    ],
)
def test_what_comes_after(before: str, verb: str, code: int, then: str) -> None:
    """CMD-9, CMD-11, CMD-24: a refused command changes nothing; the end of content ends the transaction."""
    assert state.after(before, verb, code) == then


def test_421_is_the_end_whatever_it_answers() -> None:
    """CMD-26, CLI-9."""
    for verb in (*state.TABLE, "", "XYZZY"):
        assert {state.after(each, verb, 421) for each in STATES} == {CLOSED}


def test_what_may_stand_where() -> None:
    """CMD-11, CMD-13."""
    for verb in ("NOOP", "HELP", "VRFY", "EXPN", "RSET", "EHLO", "HELO", "QUIT"):
        assert all(state.allowed(each, verb) for each in (GREETED, READY, MAIL, RCPT))
    assert [each for each in STATES if state.allowed(each, "MAIL")] == [READY]
    assert [each for each in STATES if state.allowed(each, "RCPT")] == [MAIL, RCPT]
    assert [each for each in STATES if state.allowed(each, "DATA")] == [RCPT]
    assert state.allowed(GREETED, "XYZZY")


def test_barriers() -> None:
    """PIP-2: nothing may follow these unanswered; anything may follow RSET, MAIL and RCPT."""
    assert all(map(state.barrier, (GREETING, "EHLO", "HELO", "LHLO", "DATA")))
    assert not any(map(state.barrier, ("MAIL", "RCPT", "RSET", "XYZZY", state.END_OF_CONTENT)))
