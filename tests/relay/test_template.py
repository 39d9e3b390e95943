"""Templates in local routes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.relay import template


@given(st.text(), st.text())
def test_a_value_is_never_read_as_a_template(user: str, domain: str) -> None:
    text = template.expand("/m/{domain}/{user}.d", {"user": user, "domain": domain})
    assert text == "/m/" + domain + "/" + user + ".d"


def test_names_that_are_used() -> None:
    assert template.names("{a}x{b}{a}", ("a", "b")) == ["a", "b", "a"]
    assert template.names("plain}", ("a",)) == []


@pytest.mark.parametrize("text", ["{", "{c}", "x{a", "{}", "{a.b}", "{{a}}", "{a!r}"])
def test_anything_else_in_braces_is_an_error_when_read(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not one of {a}, {b}"):
        template.names(text, ("a", "b"))
