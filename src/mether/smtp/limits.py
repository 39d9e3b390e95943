"""LIMITS: what a server says it takes in one transaction and one session (RFC 9422).

`parse` reads what stands behind the keyword in the EHLO reply.  A syntax error in the whole of it counts as
no LIMITS at all, one in a single limit's value as that limit not being there (section 3.7).  Limits that
are not known are passed over.  A `Budget` counts what one session has used; it is made anew with every EHLO
reply (section 3.6).

What a server announces cannot make us slow without bound (section 6): one message is never cut into more
than MOST_TRANSACTIONS by RCPTMAX.  A server that then refuses the recipients past its limit has them
deferred, as any server has.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.envelope import Recipient

MAX_RECIPIENTS: Final = 100
"""Recipients in one transaction, which every server must take (RFC 5321 section 4.5.3.1.8)."""

MOST_TRANSACTIONS: Final = 100
"""Transactions into which RCPTMAX may cut one message."""

_NAME: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class Limits:
    """What a server announced; None for what it did not.

    `mail_max` counts MAIL commands of a session, `rcpt_max` RCPT commands of a transaction,
    `rcpt_domain_max` different domains in the RCPT commands of a session (RFC 9422 section 4).
    """

    __slots__ = ("mail_max", "rcpt_domain_max", "rcpt_max")

    def __init__(
        self,
        *,
        mail_max: int | None = None,
        rcpt_max: int | None = None,
        rcpt_domain_max: int | None = None,
    ) -> None:
        self.mail_max = mail_max
        self.rcpt_max = rcpt_max
        self.rcpt_domain_max = rcpt_domain_max

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Limits) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return (
            f"Limits(mail_max={self.mail_max}, rcpt_max={self.rcpt_max}, "
            f"rcpt_domain_max={self.rcpt_domain_max})"
        )


NONE: Final = Limits()
"""No limit announced."""


def parse(parameters: str | None) -> Limits:
    """The limits in the text behind ``LIMITS``; None where the keyword was not offered."""
    if not parameters:
        return NONE
    found: dict[str, int] = {}
    for word in parameters.split(" "):
        name, equals, value = word.partition("=")
        if not (name and _NAME.issuperset(name)) or (equals and not _is_value(value)):
            return NONE
        name = name.upper()
        if name in ("MAILMAX", "RCPTMAX", "RCPTDOMAINMAX") and _is_count(value):
            # Said twice, the smaller one keeps within both.
            found[name] = min(int(value), found.get(name, 999_999))
    return Limits(
        mail_max=found.get("MAILMAX"),
        rcpt_max=found.get("RCPTMAX"),
        rcpt_domain_max=found.get("RCPTDOMAINMAX"),
    )


def _is_value(text: str) -> bool:
    return bool(text) and all("!" <= char <= "~" and char != ";" for char in text)


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6 and text[0] != "0"


class Budget:
    """What is left of a session's limits; commands count whether they succeed or not (section 3.3)."""

    __slots__ = ("_domains", "_limits", "_mails")

    def __init__(self, limits: Limits = NONE) -> None:
        self._limits = limits
        self._mails = 0
        self._domains: set[str] = set()

    def room(self, recipients: Sequence[Recipient], start: int = 0) -> int:
        """How many of the recipients from `start` on can go in the session's next transaction.

        0 means that the session is used up for them, and that another one is to be opened: a fresh one has
        room for at least one.
        """
        limits = self._limits
        if limits.mail_max is not None and self._mails >= limits.mail_max:
            return 0
        left = len(recipients) - start
        most = MAX_RECIPIENTS
        if limits.rcpt_max is not None and limits.rcpt_max < most:
            most = max(limits.rcpt_max, -(-len(recipients) // MOST_TRANSACTIONS))
        count = min(left, most)
        if limits.rcpt_domain_max is None:
            return count
        domains = set(self._domains)
        for number in range(start, start + count):
            domains.add(_domain(recipients[number]))
            if len(domains) > limits.rcpt_domain_max:
                return number - start
        return count

    def spend(self, recipients: Sequence[Recipient]) -> None:
        """Note that a transaction with these recipients was begun."""
        self._mails += 1
        if self._limits.rcpt_domain_max is not None:
            self._domains.update(_domain(recipient) for recipient in recipients)


def _domain(recipient: Recipient) -> str:
    return recipient.forward_path.key[1]
