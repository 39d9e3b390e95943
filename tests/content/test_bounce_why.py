"""Why a recipient failed, from a diagnostic, from words, or from a status alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content.bounce_found import Failed
from mether.content.bounce_why import explain
from mether.content.classify import KINDS


def why(
    diagnostic: str, status: str = "", action: str = "failed", notice: tuple[str, ...] = (), subject: str = ""
) -> tuple[str, str]:
    one = Failed("bob@example.net", action=action, status=status, diagnostic=diagnostic)
    explain(one, notice, subject)
    return one.status, str(one.kind)


@pytest.mark.parametrize(
    ("diagnostic", "status", "want"),
    [
        ("550 5.1.1 User unknown", "", ("5.1.1", "no such user")),
        ("host mx.example.net[192.0.2.1] said: 552 5.2.2 Over quota", "", ("5.2.2", "mailbox full")),
        ("550 User unknown", "5.0.0", ("5.1.1", "no such user")),
        (
            "The e-mail could not be delivered because the user's mailfolder is full.",
            "",
            ("5.2.2", "mailbox full"),
        ),
        ("ディレクトリのリストにありません", "", ("5.1.1", "no such user")),
        ("User bob (bob@example.net) not listed in Domino Directory", "", ("5.1.1", "no such user")),
        ("Envelope expired", "", ("5.4.7", "connection")),
        ("", "5.1.1", ("5.1.1", "no such user")),
        ("", "5.0.0", ("5.0.0", "other")),
        ("", "5.5.0", ("5.5.0", "other")),
        ("something else", "", ("5.0.0", "other")),
    ],
)
def test_from_what_was_said(diagnostic: str, status: str, want: tuple[str, str]) -> None:
    """BNC-10: the report's own status stays where it says something."""
    assert why(diagnostic, status) == want


def test_from_the_notice() -> None:
    notice = ("<bob@example.net>:", "550 5.7.1 relaying denied")
    assert why("", notice=notice) == ("5.7.1", "policy")
    assert why("", "5.0.0", notice=("The mailbox is full.",)) == ("5.2.2", "mailbox full")
    assert why("", subject="Returned mail: User unknown") == ("5.1.1", "no such user")


def test_the_notice_is_not_asked_where_a_server_spoke() -> None:
    """Else the words around a refusal would be taken for it."""
    notice = ("250-STARTTLS", "<<< 250 certificate", "mailbox full")
    assert why("451 4.3.0 something is the matter", notice=notice)[1] == "other"


def test_a_delay_is_of_class_4() -> None:
    assert why("", action="delayed") == ("4.0.0", "other")
    assert why("Connection refused", action="delayed")[0].startswith("4.4.")


def test_a_success_has_no_cause() -> None:
    assert why("250 taken", action="relayed") == ("2.0.0", "other")


@given(st.text(max_size=80), st.sampled_from(["", "5.1.1", "4.0.0", "2.0.0"]), st.text(max_size=20))
def test_nothing_is_too_odd(diagnostic: str, status: str, subject: str) -> None:
    got, kind = why(diagnostic, status, notice=(diagnostic,), subject=subject)
    assert kind in KINDS
    assert got[:1] in ("4", "5")
