"""``smtpq check``: what a monitoring system is told, and with which status."""

import pytest
from queues import NOW, defer, put

from mether.programs.options import UsageError
from mether.programs.smtpq import main
from mether.programs.smtpq_check import Limit, judge, limit
from mether.queue.figures import Summary
from mether.queue.selection import Filter

NONE = {"deferred": Limit(), "held": Limit(), "oldest": Limit()}


@pytest.mark.parametrize(
    ("text", "value", "level"),
    [
        ("10", 10, 0),
        ("10", 11, 2),
        ("5,10", 5, 0),
        ("5,10", 6, 1),
        ("5,10", 10, 1),
        ("5,10", 11, 2),
        (None, 9e9, 0),
    ],
)
def test_what_is_more_than_a_limit_is_over_it(text, value, level):
    assert limit(text, "deferred", int).level(value) == level


@pytest.mark.parametrize("text", ["", "x", "1,2,3", "2,1", "1,"])
def test_what_is_no_limit(text):
    with pytest.raises(UsageError) as error:
        limit(text, "held", int)
    assert str(error.value).startswith("--held: ")


def test_the_line_of_a_plugin():
    found = Summary(fresh=1, deferred=12, active=2, held=3, oldest=NOW - 31)
    known = {**NONE, "deferred": Limit(None, 1000), "oldest": Limit(600, 1800)}
    assert judge(found, NOW, known) == (
        0,
        "SMTPQ OK - 12 deferred, 1 fresh, 2 being tried, 3 held, oldest 31s | "
        "deferred=12;;1000;0 held=3;;;0 oldest=31s;600;1800;0 queued=18;;;0",
    )


def test_the_worst_counts_and_what_is_over_is_said():
    found = Summary(deferred=12, held=3, oldest=NOW - 3600)
    level, line = judge(found, NOW, {**NONE, "held": Limit(2, 9), "oldest": Limit(None, 1800)})
    assert level == 2
    assert line.startswith("SMTPQ CRITICAL - 12 deferred, ")
    assert "3 held (over 2), oldest 1h (over 30m) | " in line
    assert judge(found, NOW, {**NONE, "held": Limit(2, 9)})[1].startswith("SMTPQ WARNING - ")


@pytest.mark.parametrize("where", [[], ["--next-hop", "*"]])
def test_reports_that_wait_for_their_hour_are_not_old(store, capsys, where):
    for _ in range(60):
        put(store, sender="", age=3000, release_at=NOW + 600)
    assert main(["check", "--oldest", "30m", *where]) == 0
    assert "oldest=0s;" in capsys.readouterr().out
    put(store, age=2000)
    put(store, age=5)
    assert main(["check", "--oldest", "30m", *where]) == 2
    assert "oldest 33m" in capsys.readouterr().out


def test_an_empty_queue_is_in_order():
    level, line = judge(Summary(), NOW, {**NONE, "oldest": Limit(None, 60)})
    assert level == 0 and "none waits" in line and "oldest=0s;;60;0" in line


@pytest.fixture
def queue(url, store):
    """Two deferred for example.net, an older one for else.test; one held."""
    put(store, age=60)
    put(store, age=50)
    put(store, "x@else.test", age=7200)
    defer(url)
    store.change(Filter(idents=frozenset([put(store, "y@else.test", age=9000)])), "hold", now=NOW)
    return store


@pytest.mark.parametrize(
    ("argv", "status", "text"),
    [
        (["--deferred", "3"], 0, "SMTPQ OK - 3 deferred, 0 fresh, 0 being tried, 1 held, oldest 2h"),
        (["--deferred", "2,5"], 1, "SMTPQ WARNING - 3 deferred (over 2), "),
        (["--oldest", "30m", "--held", "5"], 2, "(over 30m)"),
        (["--held", "0"], 2, "1 held (over 0)"),
        (["--next-hop", "example.*", "--deferred", "2", "--oldest", "30m"], 0, "SMTPQ OK - 2 deferred, "),
        (["--next-hop", "else.test", "--oldest", "30m"], 2, "SMTPQ CRITICAL - 1 deferred, "),
        (["--next-hop", "nowhere", "--oldest", "30m"], 0, "none waits at nowhere"),
    ],
)
def test_the_status_is_the_verdict(queue, capsys, argv, status, text):
    assert main(["check", *argv]) == status
    out, err = capsys.readouterr()
    assert text in out and out.count("\n") == 1 and err == ""


def test_the_statuses_of_a_plugin_are_its_own(queue, capsys, monkeypatch):
    """A wish for no sysexits does not make what is critical a warning."""
    monkeypatch.setenv("NOSYSEXITS", "1")
    assert main(["check", "--held", "0", "--no-sysexits"]) == 2


def test_a_queue_that_cannot_be_read_is_unknown(url, capsys):
    assert main(["check", "--deferred", "1"]) == 3
    out, err = capsys.readouterr()
    assert out.startswith("SMTPQ UNKNOWN - ") and out.count("\n") == 1 and err == ""
    assert main(["check", "--deferred", "1", "-C", "/nonexistent"]) == 3
    assert "SMTPQ UNKNOWN - /nonexistent" in capsys.readouterr().out
