"""Text made fit to stand in a message."""

from __future__ import annotations

import quopri
from email.header import decode_header, make_header

from hypothesis import given
from hypothesis import strategies as st

from mether.content import lines


@given(st.text(max_size=600), st.sampled_from(["", "    "]), st.sampled_from([" ", "        "]))
def test_wrapped_lines_are_short_and_lose_nothing(text: str, first: str, then: str) -> None:
    out = lines.wrap(text, first, then)
    assert all(len(line.encode("utf-8", "replace")) <= lines.MAX_LINE for line in out)
    assert all(line.startswith(then) for line in out[1:])
    assert "".join(line.strip(" ") for line in out).replace(" ", "") == text.replace(" ", "")


@given(st.binary(max_size=400).map(lambda data: data.replace(b"\r", b"").replace(b"\n", b"\r\n")))
def test_quoted_printable_is_seven_bit_and_is_undone(data: bytes) -> None:
    encoded = lines.quoted_printable(data)
    assert lines.is_seven_bit(encoded)
    assert max(map(len, encoded.split(b"\r\n"))) <= 76
    assert encoded.endswith(b"\r\n")
    assert quopri.decodestring(encoded) == data.removesuffix(b"\r\n") + b"\r\n"


def test_seven_bit() -> None:
    """RFC 2045 section 2.7."""
    assert lines.is_seven_bit(b"")
    assert lines.is_seven_bit(b"x" * 998 + b"\r\n")
    for data in (b"x" * 999, b"\0", b"\xe9", b"a\nb", b"a\rb"):
        assert not lines.is_seven_bit(data)


@given(st.text(max_size=100))
def test_what_is_quoted_makes_no_line_of_its_own(text: str) -> None:
    """BNC-10."""
    assert len(lines.clean(text).splitlines()) <= 1
    assert lines.clean(text).isprintable()
    assert lines.to_ascii(text).isascii()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=200), st.integers(0, 30))
def test_words_for_a_header_field_are_read_as_they_were(text: str, taken: int) -> None:
    """RFC 2047 section 2."""
    encoded = lines.encoded(text, taken)
    assert encoded.isascii()
    if text.isascii():
        assert encoded == text
        return
    first, *rest = encoded.split("\r\n")
    assert len(first) + taken <= 76
    assert all(line[0] == " " and len(line) <= 76 for line in rest)
    assert str(make_header(decode_header(encoded))) == text
