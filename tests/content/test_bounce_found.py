"""The values that readers of bounces make."""

from __future__ import annotations

from mether.content.bounce_found import Bounce, Failed


def test_what_is_not_said_is_empty() -> None:
    one = Failed("bob@example.net")
    assert (one.action, one.status, one.diagnostic, one.original, one.remote) == ("", "", "", "", "")
    assert one.kind == "other"
    found = Bounce([one])
    assert (found.envid, found.message_id, found.reporting_mta, found.queue_id) == ("", "", "", "")
    assert "bob@example.net" in repr(found)
