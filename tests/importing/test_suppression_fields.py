"""What a record of a suppression list says, by whatever names."""

from __future__ import annotations

import pytest

from mether.importing.suppression_fields import Usual, moment, suppressed
from mether.queue.suppressed_row import Suppressed

NOW = 1_800_000_000.0


def taken(record: dict[str, object], **usual: object) -> Suppressed:
    found = suppressed(record, Usual(NOW, **usual))  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("record", "kind", "status", "since"),
    [
        pytest.param(
            {
                "status": "5.1.1",
                "reason": "550 No such user",
                "email": "a@x.example",
                "created": "1431648000",
            },
            "no such user",
            "5.1.1",
            1431648000.0,
            id="SendGrid",
        ),
        pytest.param(
            {
                "address": "a@x.example",
                "code": "550",
                "error": "Mailbox quota exceeded",
                "created_at": "Fri, 21 Oct 2011 11:02:55 UTC",
            },
            "mailbox full",
            "5.2.2",
            1319194975.0,
            id="Mailgun",
        ),
        pytest.param(
            {
                "EmailAddress": "a@x.example",
                "SuppressionReason": "HardBounce",
                "Origin": "Recipient",
                "CreatedAt": "2019-12-17T08:58:33-05:00",
            },
            "no such user",
            "5.1.1",
            1576591113.0,
            id="Postmark",
        ),
        pytest.param(
            {"EmailAddress": "a@x.example", "Reason": "COMPLAINT", "LastUpdateTime": 1586552585.077},
            "policy",
            "5.7.1",
            1586552585.077,
            id="SES",
        ),
        pytest.param(
            {"Email Address": "a@x.example", "First Name": "Ann", "CLEAN_TIME": "2020-01-02 03:04:05"},
            "no such user",
            "5.1.1",
            1577934245.0,
            id="Mailchimp",
        ),
        pytest.param(
            {
                "recipient": "a@x.example",
                "type": "non_transactional",
                "source": "Spam Complaint",
                "description": "MBL: complaint",
                "created": "2016-05-02T16:29:56+00:00",
            },
            "policy",
            "5.7.1",
            1462206596.0,
            id="SparkPost",
        ),
        pytest.param(
            {
                "recipient": "a@x.example",
                "type": "transactional",
                "source": "Bounce Rule",
                "description": "550: 550-5.1.1 Invalid recipient",
                "created": "2016-05-02T16:29:56+00:00",
            },
            "no such user",
            "5.1.1",
            1462206596.0,
            id="SparkPost bounce",
        ),
        pytest.param(
            {
                "email": "a@x.example",
                "senderEmail": "ann@example.org",
                "reason": {"code": "unsubscribedViaEmail", "message": "Via the link in a mail"},
                "blockedAt": "2017-05-01T12:30:00Z",
            },
            "policy",
            "5.7.1",
            1493641800.0,
            id="Brevo",
        ),
        pytest.param(
            {
                "email": "a@x.example",
                "reason": {"code": "hardBounce", "message": ""},
                "blockedAt": "2017-05-01T12:30:00Z",
            },
            "no such user",
            "5.1.1",
            1493641800.0,
            id="Brevo bounce",
        ),
        pytest.param(
            {
                "email": "a@x.example",
                "reason": {"code": "contactFlaggedAsSpam", "message": "x"},
                "blockedAt": "2017-05-01T12:30:00Z",
            },
            "policy",
            "5.7.1",
            1493641800.0,
            id="Brevo complaint",
        ),
        pytest.param(
            {
                "Email Address": "a@x.example",
                "Unsub Time": "2020-01-02 03:04:05",
                "Unsub Reason": "No longer interested",
            },
            "policy",
            "5.7.1",
            1577934245.0,
            id="Mailchimp unsubscribed",
        ),
        pytest.param(
            {
                "Email Address": "a@x.example",
                "CLEAN_TIME": "2020-01-02 03:04:05",
                "TAGS": '"news"',
                "UNSUB_TIME": "",
            },
            "no such user",
            "5.1.1",
            1577934245.0,
            id="Mailchimp cleaned, with tags",
        ),
        pytest.param(
            {
                "email_address": "a@x.example",
                "status": "unsubscribed",
                "unsubscribe_reason": "N/A",
                "last_changed": "2020-01-02T03:04:05+00:00",
            },
            "policy",
            "5.7.1",
            1577934245.0,
            id="Mailchimp's interface",
        ),
        pytest.param(
            {"address": "a@x.example", "tags": ["*"], "created_at": "Fri, 21 Oct 2011 11:02:55 UTC"},
            "policy",
            "5.7.1",
            1319194975.0,
            id="Mailgun unsubscribed",
        ),
        pytest.param(
            {"EmailAddress": "a@x.example", "SuppressionReason": "SpamComplaint", "Origin": "Recipient"},
            "policy",
            "5.7.1",
            NOW,
            id="Postmark complaint",
        ),
        pytest.param(
            {"EmailAddress": "a@x.example", "Reason": "BOUNCE", "LastUpdateTime": 1586552585.077},
            "no such user",
            "5.1.1",
            1586552585.077,
            id="SES bounce",
        ),
        pytest.param(
            {"created": 1443651141, "email": "a@x.example", "ip": "192.0.2.1"},
            "policy",
            "5.7.1",
            1443651141.0,
            id="SendGrid spam report",
        ),
    ],
)
def test_as_services_export_it(record: dict[str, object], kind: str, status: str, since: float) -> None:
    one = taken(record)
    assert (str(one.address), one.kind, one.status, one.since) == ("a@x.example", kind, status, since)
    assert (one.source, one.until) == ("import", None)


def test_what_holds_where_nothing_is_said() -> None:
    one = taken({"email": "a@x.example"}, reason="cleaned", kind="other", until=NOW + 5.0)
    assert (one.reason, one.kind, one.until, one.since) == ("cleaned", "other", NOW + 5.0, NOW)


def test_one_of_our_own_is_what_it_was() -> None:
    record: dict[str, object] = {
        "address": "a@x.example",
        "kind": "mailbox full",
        "status": "5.2.2",
        "reason": "552 full",
        "remote": "mx",
        "note": "n",
        "source": "delivery",
        "since": NOW - 50.0,
        "last": NOW - 5.0,
        "times": 3,
        "until": NOW + 9.0,
        "active": True,
    }
    one = taken(record)
    assert {name: getattr(one, name) for name in record if name != "address"} == {
        name: value for name, value in record.items() if name != "address"
    }
    usual = {"reason": "cleaned", "kind": "other", "until": NOW + 5.0}
    assert not taken({**record, "active": False}, **usual).active
    assert taken({**record, "until": NOW - 1.0}, **usual).until == NOW - 1.0
    assert taken({**record, "until": None}, **usual).until is None, "for ever"
    assert taken({**record, "reason": "", "kind": ""}, **usual).reason == ""


def test_a_whole_domain() -> None:
    assert [str(taken({"email": each}).address) for each in ("@x.example", "*@x.example")] == [
        "@x.example"
    ] * 2


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ({"reason": "x"}, "there is no address in it"),
        ({"email": "no address"}, "'no address' is not an address"),
        ({"email": "postmaster"}, "it has no domain"),
        ({"email": "<>"}, "it has no domain"),
        ({"email": "x.example"}, "is not an address"),
        ({"email": "b*@x.example"}, "a pattern, where an address or @domain is expected"),
        ({"email_address": "a@x.example", "status": "subscribed"}, "is a subscriber"),
        ({"email": ["a@x.example"]}, "there is no address in it"),
        ({"email": "caf\ufffd@x.example"}, "is not an address: it is not in UTF-8"),
    ],
)
def test_what_is_no_record(record: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        taken(record)


@pytest.mark.parametrize(
    ("written", "at"),
    [
        (1586552585, 1586552585.0),
        ("1586552585077", 1586552585.077),
        ("2020-01-02", 1577923200.0),
        ("2020-01-02T03:04:05Z", 1577934245.0),
        ("2020-01-02 03:04:05 UTC", 1577934245.0),
        ("Thu, 02 Jan 2020 03:04:05 +0000", 1577934245.0),
        ("yesterday", None),
        ("", None),
        (None, None),
        ("-5", None),
        ("9" * 400, None),
        ("31/01/2020", None),
    ],
)
def test_times(written: object, at: float | None) -> None:
    assert moment(written) == at


def test_a_time_to_come_is_the_present() -> None:
    assert taken({"email": "a@x.example", "date": "2999-01-01"}).since == NOW
