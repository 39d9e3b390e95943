"""The tags of languages (RFC 5646), such as ``en`` or ``pt-br``.  Pure, and nothing here fails."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_TAG: Final = 35
"""Characters of a tag (RFC 5646 section 4.4.1)."""


def is_language(tag: str) -> bool:
    """Whether this may be a language's tag: letters, and after hyphens letters and digits, eight at most."""
    first, *parts = tag.split("-")
    return (
        len(tag) <= MAX_TAG
        and tag.isascii()
        and 2 <= len(first) <= 8
        and first.isalpha()
        and all(1 <= len(part) <= 8 and part.isalnum() for part in parts)
    )


def broader(tag: str) -> list[str]:
    """The tag in lower case, and what is left without its last parts, one by one (RFC 4647 section 3.4)."""
    parts = tag.lower().split("-")
    return ["-".join(parts[:end]) for end in range(len(parts), 0, -1)]
