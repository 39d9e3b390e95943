"""What has been queued too long goes back to its sender."""

import pytest
from queues import NOW, defer, put

from mether.programs.cleansmtpq import main
from mether.queue.store import Filter
from mether.runner.returning import UNTRIED

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
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if "would be returned to" in line] == [old]
    assert main([]) == 0
    assert {young, waits} < set(waiting(store))
    assert old not in waiting(store)


@pytest.mark.parametrize("argv", [["-d", "0"], ["--older", "1s"]])
def test_reports_that_wait_for_their_hour_are_left_alone_and_told(argv, store, capsys):
    kept = put(store, age=60, sender="", release_at=NOW + 1800)
    assert main([*argv, "-n"]) == 0
    out, err = capsys.readouterr()
    assert kept not in out
    assert "cleansmtpq: 1 report waits for another hour, and would be left alone; " in err
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "cleansmtpq: 1 report waits for another hour, and was left alone; " in err
    assert waiting(store) == [kept]


def test_dry_run_changes_nothing(store, capsys):
    ident, orphan = put(store, age=4 * DAY), put(store, age=4 * DAY, sender="")
    assert main(["-n"]) == 0
    first, why, second, _, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{ident} of ")
    assert first.endswith(" would be returned to <ann@example.org>")
    assert why.strip() == f"bob@example.net (smtp:example.net): {UNTRIED}"
    assert second.startswith(f"{orphan} of ")
    assert second.endswith(" would be held: nobody can be told")
    assert last == "-- 2 messages, 2 recipients would be returned: 1 to the sender, 1 held for a person"
    assert waiting(store) == sorted([ident, orphan])


def test_only_what_waits_at_a_next_hop_goes_and_the_others_of_the_message_stay(store, capsys):
    ident = put(store, "bob@example.net", "dan@else.test", age=4 * DAY)
    young = put(store, "eve@else.test")
    assert main(["--next-hop", "ELSE.*"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{ident} returned to <ann@example.org> in ")
    assert out.endswith("; 1 other recipient stays\n")
    assert out.count("\n") == 1
    left = {entry.message.ident: entry for entry in store.entries(Filter())}
    assert [str(row.recipient.forward_path) for row in left[ident].rows] == ["bob@example.net"]
    assert young in left


def test_held_messages_are_returned_when_asked_for(store, capsys):
    held, other = put(store, age=9 * DAY), put(store, age=9 * DAY)
    store.change(Filter(idents=frozenset([held])), "hold", now=NOW)
    assert main(["--status", "held"]) == 0
    assert capsys.readouterr().out.startswith(f"{held} returned to ")
    assert held not in waiting(store)
    assert other in waiting(store)


def test_older_is_days_in_other_units(store, capsys):
    old, young = put(store, age=7300), put(store, age=7100)
    assert main(["--older", "2h"]) == 0
    assert capsys.readouterr().out.startswith(f"{old} ")
    assert young in waiting(store)


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
        (["-d", "1", "--older", "1d"], "--days and --older exclude each other"),
        (["--next-hop", ""], "--next-hop is empty"),
        (["ID"], "unexpected operand 'ID'; returnsmtpmail returns single messages"),
    ],
)
def test_a_wrong_argument_is_one_line(argv, text, capsys):
    assert main(argv) == 64
    assert capsys.readouterr().err == f"cleansmtpq: {text}; try cleansmtpq --help\n"
