"""The JSON log: one object a line, whatever a peer said."""

import io
import json

from mether.address import Address
from mether.event import json as event_json
from mether.event import mail
from mether.outcome import Outcome, Route
from mether.reply import Reply


def written(monkeypatch, say, **options):
    stream = io.StringIO()
    monkeypatch.setattr(mail, "sinks", [event_json.sink(stream, clock=lambda: 1_700_000_000.25, **options)])
    say()
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_attempt_is_an_object(monkeypatch):
    outcome = Outcome(0, "delayed", Reply(451, "4.2.0", "bu\nsy"), remote_mta="mx[192.0.2.9]:25", at=3.0)
    (record,) = written(
        monkeypatch,
        lambda: mail.tried(
            "0ABC", Address("b", "c.test"), Route("smtp", "c.test"), outcome, arrival=1.0, kind="mailbox full"
        ),
        host="mx",
        pid=7,
    )
    assert record == {
        "time": "2023-11-14T22:13:20.250000Z",
        "event": "delayed",
        "level": "info",
        "host": "mx",
        "pid": 7,
        "queue_id": "0ABC",
        "recipient": "b@c.test",
        "route": "smtp:c.test",
        "remote_mta": "mx[192.0.2.9]:25",
        "reply": {"code": 451, "status": "4.2.0", "text": "bu\nsy"},
        "status": "4.2.0",
        "class": "mailbox full",
        "scope": "recipient",
        "arrival": 1.0,
        "started": 3.0,
        "connected": 3.0,
        "ended": 3.0,
        "attempts": 1,
    }


def test_the_null_reverse_path_is_written_and_the_unknown_is_not(monkeypatch):
    (record,) = written(monkeypatch, lambda: mail.queued("0ABC", None, 1, 10))
    assert record["sender"] == ""
    assert "login" not in record
    assert "uid" not in record


def test_what_is_below_the_level_is_not_written(monkeypatch):
    def say():
        mail.removed("0ABC")
        mail.error("spool is read-only")

    (record,) = written(monkeypatch, say, level=mail.WARNING)
    assert (record["event"], record["level"]) == ("error", "error")
