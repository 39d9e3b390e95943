"""SASLprep (RFC 4013): the examples of its section 3, and what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.smtp.saslprep import SaslprepError, prepare


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0628", "\u0627\u0628"),
        ("", ""),
    ],
)
def test_the_examples(text, prepared):
    assert prepare(text) == prepared


@pytest.mark.parametrize(
    "text",
    ["\x07", "a\0b", "\u0627\u0031", "\u0627a\u0627", "\ue000", "\ufdd0", "\ud800", "\u200e", "\U000e0001"],
)
def test_what_it_refuses(text):
    with pytest.raises(SaslprepError):
        prepare(text)


def test_what_unicode_3_2_did_not_know_is_for_queries_only():
    """RFC 4013 section 2.5."""
    assert prepare("\U0001f511x") == "\U0001f511x"
    with pytest.raises(SaslprepError, match="U\\+1F511"):
        prepare("\U0001f511x", stored=True)


@given(st.text())
def test_it_is_stable(text):
    """What was prepared once is its own prepared form."""
    try:
        once = prepare(text)
    except SaslprepError:
        return
    assert prepare(once) == once
