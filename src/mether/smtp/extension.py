"""Extensions: what an EHLO reply offers, and which parameters each extension lends MAIL and RCPT.

`KNOWN` is the one table of the extensions that mether speaks; a server offers those of them that its
listener has switched on, and `smtp.command` takes exactly the parameters of what is offered.  `parse`
reads another server's offer; what is oddly written there is passed over (RFC 5321 section 2.2.2).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final


class Extension:
    """One extension: its EHLO `keyword`, and the parameters it adds to MAIL and to RCPT."""

    __slots__ = ("keyword", "mail", "rcpt")

    def __init__(self, keyword: str, mail: tuple[str, ...] = (), rcpt: tuple[str, ...] = ()) -> None:
        self.keyword = keyword
        self.mail = mail
        self.rcpt = rcpt


KNOWN: Final = {
    extension.keyword: extension
    for extension in (
        Extension("PIPELINING"),  # RFC 2920
        Extension("SIZE", mail=("SIZE",)),  # RFC 1870
        Extension("8BITMIME", mail=("BODY",)),  # RFC 6152
        Extension("ENHANCEDSTATUSCODES"),  # RFC 2034
    )
}


class Offer:
    """What a server offered in its latest EHLO reply; an empty one after HELO."""

    __slots__ = ("keywords",)

    def __init__(self, keywords: dict[str, str] | None = None) -> None:
        self.keywords = keywords or {}

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def size_limit(self) -> int | None:
        """The largest message taken, in octets; None when none is stated (RFC 1870 section 4)."""
        value = self.keywords.get("SIZE", "")
        limit = int(value) if value.isascii() and value.isdigit() and len(value) <= 20 else 0
        return limit or None


def parse(lines: Iterable[str]) -> Offer:
    """The offer in the lines of an EHLO reply after the first."""
    keywords = {}
    for line in lines:
        keyword, _, parameters = line.strip().partition(" ")
        if keyword:
            keywords[keyword.upper()] = parameters.strip()
    return Offer(keywords)
