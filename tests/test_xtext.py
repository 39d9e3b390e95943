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


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Zs", "Co", "Cn"])))
def test_an_address_comes_back_from_seven_bits(text: str) -> None:
    """RFC 6533 section 3."""
    assert xtext.decode_utf8_address(xtext.encode_utf8_address(text)) == text


@pytest.mark.parametrize(
    "bad", ["\\x{0A}", "\\x{D800}", "\\x{110000}", "\\x{}", "\\x{zz}", "\\x{41", "\\x{202E}"]
)
def test_what_names_no_character_of_an_address_stays(bad: str) -> None:
    """TRC-8: an address that a stranger escaped begins no line and hides nothing."""
    assert xtext.decode_utf8_address(f"a\\x{{FC}}{bad}b") == f"a\\x{{FC}}{bad}b"


@pytest.mark.parametrize(
    ("orcpt", "seven", "eight"),
    [
        ("rfc822;Bob+2Bx@a.example", "rfc822;Bob+x@a.example", "rfc822;Bob+x@a.example"),
        ("rfc822;a+C3+A9@b", "rfc822;a+C3+A9@b", "rfc822;a+C3+A9@b"),
        ("utf-8;j\\x{FC}@b", "utf-8;j\\x{FC}@b", "utf-8;jü@b"),
        ("UTF-8;jü@b", "UTF-8;j\\x{FC}@b", "UTF-8;jü@b"),
        ("utf-8;a+2Bb", "utf-8;a+2Bb", "utf-8;a+2Bb"),
        # RFC 6533 section 3: what is not of its form is left alone.
        ("utf-8;j\\x{FC@b", "utf-8;j\\x{FC@b", "utf-8;j\\x{FC@b"),
        ("utf-8;j\\x{D800}\\x{FC}@b", "utf-8;j\\x{D800}\\x{FC}@b", "utf-8;j\\x{D800}\\x{FC}@b"),
        ("utf-8;j\\x{0D}\\x{0A}@b", "utf-8;j\\x{0D}\\x{0A}@b", "utf-8;j\\x{0D}\\x{0A}@b"),
        ("nothing", "", ""),
        ("a b;c", "", ""),
        ("rfc822;", "", ""),
    ],
)
def test_the_original_recipient(orcpt: str, seven: str, eight: str) -> None:
    """TRC-8, BNC-8, EAI-7."""
    assert xtext.original(orcpt) == seven
    assert xtext.original(orcpt, utf8=True) == eight
