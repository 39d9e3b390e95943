"""How long a message may be held back, and how that stands with the time it must be delivered by."""

from __future__ import annotations

import pytest

from mether.content.trace import civil
from mether.envelope import By, Envelope
from mether.receive.hold import MAX_HOLD, latest, refusal

DAY = 86400
NOW = 20_000 * DAY + 43_200.0


def asked(hold: str | None, by: By | None = None) -> str:
    reply = refusal(Envelope(None, hold=hold, by=by), NOW)
    return "" if reply is None else f"{reply.code} {reply.status}"


def moment(at: float) -> str:
    year, month, day = civil(int(at // DAY))
    hour, rest = divmod(int(at % DAY), 3600)
    return f"until;{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{rest // 60:02d}:{rest % 60:02d}Z"


def test_as_long_as_was_announced_and_no_longer() -> None:
    """EXT-2: what is later than the announced interval or date is 501 5.5.4 (RFC 4865 section 4.2)."""
    assert asked(None) == ""
    assert asked(f"for;{MAX_HOLD}") == ""
    assert asked(f"for;{MAX_HOLD + 1}") == "501 5.5.4"
    assert latest(NOW) == 20_030 * DAY
    assert asked(moment(latest(NOW))) == ""
    assert asked(moment(latest(NOW) + 1)) == "501 5.5.4"


def test_a_program_of_this_host_may_hold_for_any_time() -> None:
    """What another queue of ours holds finds its way into this one; BY's time binds it all the same."""
    assert refusal(Envelope(None, hold=f"for;{MAX_HOLD * 9}"), NOW, local=True) is None
    assert refusal(Envelope(None, hold="until;2999-12-24T18:00:00Z"), NOW, local=True) is None
    assert refusal(Envelope(None, hold="for;60", by=By(59, "R")), NOW, local=True) is not None


def test_a_time_that_is_past_holds_nothing() -> None:
    """EXT-2: it is valid, and so it is taken (RFC 4865 section 4.2, 4)."""
    assert asked("until;2001-12-24T18:00:00Z") == ""
    assert asked("until;2001-12-24T18:00:00Z", By(-60, "N")) == ""


@pytest.mark.parametrize("mode", ["R", "N"])
def test_no_hold_beyond_the_time_of_delivery(mode: str) -> None:
    """ENH-1: RFC 4865 section 5.2.2: refused with 501 5.5.4, as one of the two could not be honoured."""
    assert asked("for;3600", By(3600, mode)) == ""
    assert asked("for;3601", By(3600, mode)) == "501 5.5.4"
    assert asked(moment(NOW + 7200), By(7201, mode)) == ""
    assert asked(moment(NOW + 7200), By(7199, mode)) == "501 5.5.4"


def test_what_should_be_there_already_is_not_held() -> None:
    assert asked("for;60", By(-60, "N")) == "501 5.5.4"
