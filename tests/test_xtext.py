"""xtext as parameters carry it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether import xtext


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_encoded_is_decoded(text: str) -> None:
    encoded = "".join(
        chr(octet) if 33 <= octet <= 126 and octet not in b"+=" else f"+{octet:02X}"
        for octet in text.encode()
    )
    assert xtext.decode(encoded) == text


@pytest.mark.parametrize("text", ["a+b", "+", "a+2", "a+zz", "+2b"])
def test_what_is_not_well_formed_stays(text: str) -> None:
    assert xtext.decode(text) == text


def test_an_address_outside_ascii_in_seven_bits() -> None:
    """RFC 6533 section 3."""
    assert xtext.encode_utf8_address("jürgen+x@例.jp") == r"j\x{FC}rgen\x{2B}x@\x{4F8B}.jp"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_encode_writes_is_xtext(text: str) -> None:
    encoded = xtext.encode(text)
    assert xtext.is_xtext(encoded) and xtext.decode(encoded) == text


@pytest.mark.parametrize("text", ["a=b", "a b", "+", "+2", "+2b", "a+ZZ", "ü", "a\r\n"])
def test_what_is_no_xtext(text: str) -> None:
    """DSN-2: ``!`` to ``~`` but ``+`` and ``=``, the others as ``+`` and upper-case hexadecimal."""
    assert not xtext.is_xtext(text)
