"""Whatever comes as a bounce is read or is none, in bounded time, and what is read can be printed."""

from __future__ import annotations

from mether.content import bounce_merged
from mether.content.classify import KINDS


def check(data: bytes) -> None:
    """All of it is the message, the first octet whether bounces count that are attached."""
    for found in bounce_merged.read(data, attached=data[:1] > b"M"):
        assert all(text.isprintable() for text in (found.message_id, found.envid, found.reporting_mta))
        assert 0 < len(found.recipients) <= 1000
        for one in found.recipients:
            assert "@" in one.recipient and one.recipient.isprintable(), one
            assert one.action in ("failed", "delayed", "delivered", "relayed", "expanded")
            assert one.kind in KINDS
            assert one.status[:1] in ("2", "4", "5")
            assert one.diagnostic.isprintable(), one
