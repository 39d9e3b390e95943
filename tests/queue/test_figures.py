"""The queue in figures, counted from its entries."""

from __future__ import annotations

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Route
from mether.queue import figures
from mether.queue.message import Arrival, Entry, Message, Row

FAST, SLOW = Route("smtp", "fast.example"), Route("smtp", "slow.example")


def entry(arrived: float, routes: list[Route], *, hold: str | None = None, attempts: int = 0) -> Entry:
    recipients = [Recipient(parse(f"r{number}@example.org")) for number in range(len(routes))]
    envelope = Envelope(parse("s@example.org"), recipients)
    message = Message("0" * 13, envelope, Arrival(arrived), expires=arrived + 1000, hold=hold)
    return Entry(
        message,
        [Row(number, recipients[number], route, attempts=attempts) for number, route in enumerate(routes)],
    )


def test_messages_are_counted_by_status_and_the_oldest_is_not_a_held_one() -> None:
    found = figures.summary(
        [entry(100, [FAST], hold=""), entry(300, [FAST]), entry(200, [SLOW], attempts=2), entry(400, [SLOW])]
    )
    assert (found.held, found.fresh, found.deferred, found.active) == (1, 2, 1, 0)
    assert (found.messages, found.oldest) == (4, 200)


def test_an_empty_queue_has_no_oldest() -> None:
    assert figures.summary([]).oldest is None


def test_recipients_are_counted_by_next_hop_and_age() -> None:
    table = figures.shape([entry(95, [FAST, SLOW]), entry(90, [SLOW]), entry(10, [SLOW])], [90, 50])
    assert [(str(one.route), one.counts) for one in table] == [
        (str(SLOW), [2, 0, 1]),
        (str(FAST), [1, 0, 0]),
    ]
    assert table[0].recipients == 3
