"""Transactions for tests: what `smtp.fit` makes of an envelope and a few facts."""

from __future__ import annotations

from collections.abc import Sequence

from mether.envelope import Envelope, Recipient
from mether.smtp.extension import Offer
from mether.smtp.fit import NOT_CONVERTIBLE, fit
from mether.smtp.transaction import Transaction


class Facts:
    """The facts of some content."""

    def __init__(self, size: int, *, eight_bit: bool = False, binary: bool = False, header: bool = False):
        self.size = size
        self.eight_bit = eight_bit
        self.binary = binary
        self.header_eight_bit = header


def transaction(
    envelope: Envelope,
    recipients: Sequence[Recipient],
    offer: Offer,
    *,
    size: int,
    eight_bit: bool = False,
    binary: bool = False,
    lmtp: bool = False,
    authenticated: bool = False,
) -> Transaction:
    """The transaction; content that would have to be converted is refused."""
    facts = Facts(size, eight_bit=eight_bit, binary=binary)
    made = fit(envelope, recipients, facts, offer, lmtp=lmtp, authenticated=authenticated)
    if made.convert is not None:
        made.refuse(NOT_CONVERTIBLE)
    return Transaction(made, offer, lmtp=lmtp)
