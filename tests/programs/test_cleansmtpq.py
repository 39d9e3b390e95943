"""What has been queued too long goes back to its sender."""

import pytest
from queues import NOW, defer, put

from mether.programs.cleansmtpq import main
from mether.queue.store import Filter

DAY = 86400.0


def waiting(store):
    return [entry.message.ident for entry in store.entries(Filter())]


def test_three_days_as_in_1986(url, store, capsys):
    old, young = put(store, age=3.1 * DAY), put(store, age=2.9 * DAY)
    defer(url)
    assert main([]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{old} returned to <ann@example.org> in ")
    left = waiting(store)
    assert young in left
    assert old not in left
    assert len(left) == 2


def test_as_many_days_as_told(store, capsys):
    put(store, age=2 * DAY)
    assert main(["-d", "2.5"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["-d1"]) == 0
    assert " returned to " in capsys.readouterr().out


def test_its_own_reports_are_not_cleaned(store, capsys):
    for _ in range(3):
        put(store, age=DAY)
    assert main(["-d", "0"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert len(waiting(store)) == 3


def test_held_messages_are_left_alone(store, capsys):
    ident = put(store, age=9 * DAY)
    store.change(Filter(), "hold", now=NOW)
    assert main([]) == 0
    assert capsys.readouterr().out == ""
    assert waiting(store) == [ident]


def test_what_was_to_go_later_counts_its_days_from_then(store, capsys):
    """FUTURERELEASE (RFC 4865): a message whose time came yesterday is a day old, not a month."""
    young = put(store, age=30 * DAY, release_at=NOW - DAY)
    waits = put(store, age=30 * DAY, release_at=NOW + DAY)
    old = put(store, age=30 * DAY, release_at=NOW - 4 * DAY)
    assert main(["-n"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [old]
    assert main([]) == 0
    assert {young, waits} < set(waiting(store))
    assert old not in waiting(store)


def test_dry_run_changes_nothing(store, capsys):
    ident, orphan = put(store, age=4 * DAY), put(store, age=4 * DAY, sender="")
    assert main(["-n"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{ident} of ")
    assert first.endswith(" would be returned to <ann@example.org>")
    assert second.endswith(" would be returned to nobody: it has no sender")
    assert waiting(store) == sorted([ident, orphan])


def test_what_is_being_tried_is_left_alone(store, capsys):
    ident = put(store, age=4 * DAY)
    store.claim(10, NOW + 1)
    assert store.renew(NOW + 600, NOW)
    assert main([]) == 75
    assert capsys.readouterr().err.startswith("cleansmtpq: ")
    assert waiting(store) == [ident]


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["-d", "x"], "--days: 'x' is not a number of at least 0"),
        (["-d", "-1"], "--days: '-1' is not a number of at least 0"),
        (["ID"], "unexpected operand 'ID'; returnsmtpmail returns single messages"),
    ],
)
def test_a_wrong_argument_is_one_line(argv, text, capsys):
    assert main(argv) == 64
    assert capsys.readouterr().err == f"cleansmtpq: {text}; try cleansmtpq --help\n"
