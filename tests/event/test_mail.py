"""Events reach every sink, cost nothing without one, and a broken sink harms nobody."""

import pytest

from mether.address import Address
from mether.event import mail
from mether.outcome import Outcome, Route
from mether.reply import Reply


@pytest.fixture
def seen(monkeypatch):
    events = []
    monkeypatch.setattr(mail, "sinks", [lambda name, fields: events.append((name, dict(fields)))])
    return events


def test_nothing_is_attached_at_first():
    assert mail.sinks == []
    mail.connected("192.0.2.1")  # and an event then goes nowhere


def test_an_event_reaches_every_sink(monkeypatch):
    first, second = [], []
    monkeypatch.setattr(mail, "sinks", [lambda n, f: first.append(n), lambda n, f: second.append(n)])
    mail.removed("0ABC")
    assert first == second == ["removed"]


def test_a_sink_that_fails_harms_neither_mail_nor_the_other_sinks(monkeypatch):
    seen = []

    def broken(name, fields):
        raise OSError("disk full")

    monkeypatch.setattr(mail, "sinks", [broken, lambda n, f: seen.append(n)])
    before = mail.lost
    mail.removed("0ABC")
    assert seen == ["removed"]
    assert mail.lost == before + 1


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded", "delayed", "failed"])
def test_an_attempt_is_named_by_its_action(seen, action):
    outcome = Outcome(0, action, Reply(250, "2.0.0", "ok"), remote_mta="mx[192.0.2.1]:25", at=12.0)
    mail.tried("0ABC", Address("a", "b.test"), Route("smtp", "b.test"), outcome, arrival=10.0)
    ((name, fields),) = seen
    assert name == action
    assert fields["status"] == "2.0.0"
    assert fields["connected"] == fields["started"] == fields["ended"] == 12.0


def test_the_null_reverse_path_is_an_empty_sender(seen):
    mail.queued("0ABC", None, 1, 100)
    mail.rejected("192.0.2.1", "MAIL", Reply(550, "5.7.1", "no"))
    mail.rejected("192.0.2.1", "CONNECT", Reply(554, "5.7.1", "no"))
    assert [fields["sender"] for _, fields in seen] == ["", "", None]
