"""Extensions: what an EHLO reply offers, and which parameters each extension lends MAIL and RCPT.

`KNOWN` is the one table of the extensions that mether speaks; a server offers those of them that its
listener has switched on, and `smtp.command` takes exactly the parameters of what is offered.  `parse`
reads another server's offer; what is oddly written there is passed over (RFC 5321 section 2.2.2).
"""

from __future__ import annotations

from mether.smtp.limits import Budget
from mether.smtp.limits import parse as parse_limits

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
        Extension("SMTPUTF8", mail=("SMTPUTF8",)),  # RFC 6531
        Extension("DSN", mail=("RET", "ENVID"), rcpt=("NOTIFY", "ORCPT")),  # RFC 3461
        Extension("CHUNKING"),  # RFC 3030
        Extension("BINARYMIME", mail=("BODY",)),  # RFC 3030
        Extension("STARTTLS"),  # RFC 3207
        Extension("AUTH", mail=("AUTH",)),  # RFC 4954
        Extension("REQUIRETLS", mail=("REQUIRETLS",)),  # RFC 8689
        Extension("LIMITS"),  # RFC 9422
        Extension("DELIVERBY", mail=("BY",)),  # RFC 2852
        Extension("FUTURERELEASE", mail=("HOLDFOR", "HOLDUNTIL")),  # RFC 4865
        Extension("MT-PRIORITY", mail=("MT-PRIORITY",)),  # RFC 6710
        Extension("ETRN"),  # RFC 1985
        Extension("VRFY"),
        Extension("EXPN"),
        Extension("HELP"),
        Extension("XCLIENT"),
    )
}


class Offer:
    """What a server offered in its latest EHLO reply; an empty one after HELO.

    `size_limit` is the largest message taken, in octets; None when none is stated (RFC 1870 section 4).
    """

    __slots__ = ("_budget", "keywords", "size_limit")

    def __init__(self, keywords: dict[str, str] | None = None) -> None:
        self.keywords = keywords or {}
        size = self.keywords.get("SIZE", "")
        self.size_limit = int(size) or None if size.isascii() and size.isdigit() and len(size) <= 20 else None
        self._budget: Budget | None = None

    def __contains__(self, keyword: str) -> bool:
        return keyword in self.keywords

    @property
    def budget(self) -> Budget:
        """What the session has used of the limits announced (RFC 9422); gone with the offer."""
        if self._budget is None:
            self._budget = Budget(parse_limits(self.keywords.get("LIMITS")))
        return self._budget

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The SASL mechanisms for AUTH, in upper case (RFC 4954 section 3)."""
        return tuple(self.keywords.get("AUTH", "").upper().split())


def parse(lines: Iterable[str]) -> Offer:
    """The offer in the lines of an EHLO reply after the first."""
    keywords: dict[str, str] = {}
    for line in lines:
        keyword, _, parameters = line.strip().partition(" ")
        if keyword.upper().startswith("AUTH="):  # an old way to write it, still sent beside the other
            continue
        if keyword:
            keywords[keyword.upper()] = parameters.strip()
    return Offer(keywords)
