"""SASLprep: names and passwords in the one form in which they are compared (RFC 4013, RFC 3454).

`prepare` maps (odd spaces to a space, some characters to nothing), normalises with NFKC of Unicode 3.2, and
refuses what may not be in a name: control characters, private use, surrogates and the like, and text
that runs in both directions.  It raises `SaslprepError`, a ValueError whose text is for a person.  With
`stored` it refuses code points that Unicode 3.2 did not have; without, in a query, they are let through
(RFC 4013 section 2.5).

    >>> prepare("I\\u00adX")
    'IX'

Printable ASCII, which is nearly all there is, costs one look and imports nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class SaslprepError(ValueError):
    """The text may be no name and no password; str() says why."""


def prepare(text: str, *, stored: bool = False) -> str:
    """The prepared form of `text`, which may be empty.  Raises SaslprepError."""
    if text.isascii() and text.isprintable():
        return text
    return _prepare(text, stored)


def _prepare(text: str, stored: bool) -> str:
    import stringprep
    from unicodedata import ucd_3_2_0

    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    prohibited: tuple[tuple[Callable[[str], bool], str], ...] = (
        (stringprep.in_table_c12, "a space that is not ASCII"),
        (stringprep.in_table_c21_c22, "a control character"),
        (stringprep.in_table_c3, "a character of private use"),
        (stringprep.in_table_c4, "a non-character"),
        (stringprep.in_table_c5, "a surrogate"),
        (stringprep.in_table_c6, "a character that plain text cannot have"),
        (stringprep.in_table_c7, "a character that cannot be shown as it is"),
        (stringprep.in_table_c8, "a character that changes how text is shown"),
        (stringprep.in_table_c9, "a tagging character"),
    )
    for char in prepared:
        for within, what in prohibited:
            if within(char):
                raise SaslprepError(f"it holds {what} (U+{ord(char):04X})")
        if stored and stringprep.in_table_a1(char):
            raise SaslprepError(f"it holds a character that SASLprep does not know (U+{ord(char):04X})")
    if any(map(stringprep.in_table_d1, prepared)):
        # RFC 3454 section 6: right-to-left text begins and ends so, and holds nothing left-to-right.
        if any(map(stringprep.in_table_d2, prepared)):
            raise SaslprepError("it mixes text written from the right with text written from the left")
        if not (stringprep.in_table_d1(prepared[0]) and stringprep.in_table_d1(prepared[-1])):
            raise SaslprepError("text written from the right must begin and end with such a character")
    return prepared
