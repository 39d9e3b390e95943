"""Extensions: reading an offer."""

from __future__ import annotations

import pytest

from mether.smtp import extension
from mether.smtp.extension import Offer


def test_an_offer() -> None:
    """CMD-2: keywords are compared without case."""
    offer = extension.parse(["pipelining", "SIZE 1000", "8BITMIME ", "X-ODD  a b", ""])
    assert "PIPELINING" in offer and "8BITMIME" in offer and "X-ODD" in offer
    assert "SMTPUTF8" not in offer and "" not in offer
    assert offer.keywords["X-ODD"] == "a b"


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("SIZE 1000", 1000),
        ("SIZE 0", None),
        ("SIZE", None),
        ("SIZE x", None),
        ("SIZE -1", None),
        ("SIZE " + "9" * 5000, None),
        ("SIZE ²", None),
        ("SIZE 1000 more", None),
        ("8BITMIME", None),
    ],
)
def test_the_size_limit(line: str, limit: int | None) -> None:
    """SIZ-1: 0 is no fixed maximum, a bare SIZE says nothing, nonsense neither."""
    assert extension.parse([line]).size_limit == limit


def test_nothing_after_helo() -> None:
    """CLI-3."""
    assert not Offer().keywords
    assert Offer().size_limit is None


def test_every_parameter_belongs_to_one_extension() -> None:
    for names in (
        [n for e in extension.KNOWN.values() for n in e.mail],
        [n for e in extension.KNOWN.values() for n in e.rcpt],
    ):
        assert len(names) == len(set(names)) + names.count("BODY") - (names.count("BODY") > 0)
    assert all(keyword == keyword.upper() == each.keyword for keyword, each in extension.KNOWN.items())
