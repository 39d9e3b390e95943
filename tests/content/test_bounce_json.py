"""Notifications of Amazon SES."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.content import bounce
from mether.content.bounce_json import read

MAIL = {"messageId": "0001", "commonHeaders": {"messageId": "<1@example.org>"}}
BOUNCE = {
    "notificationType": "Bounce",
    "bounce": {
        "bounceType": "Permanent",
        "bounceSubType": "General",
        "reportingMTA": "dns; mail.example.org",
        "bouncedRecipients": [
            {
                "emailAddress": "bob@example.net",
                "action": "failed",
                "status": "5.1.1",
                "diagnosticCode": "smtp; 550 5.1.1 user unknown",
            }
        ],
    },
    "mail": MAIL,
}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(BOUNCE) + "\n\n--\nIf you wish to stop receiving notifications ...",
        json.dumps({"Type": "Notification", "Message": json.dumps(BOUNCE)}),
        json.dumps(BOUNCE).replace('"action"', '"ac!\n tion"'),
    ],
)
def test_a_bounce(text: str) -> None:
    found = read(text)
    assert found is not None
    (one,) = found.recipients
    assert (one.recipient, one.action, one.status) == ("bob@example.net", "failed", "5.1.1")
    assert one.diagnostic == "550 5.1.1 user unknown"
    assert (found.message_id, found.reporting_mta) == ("1@example.org", "mail.example.org")


def test_a_delivery_and_a_delay() -> None:
    delivery = {"recipients": ["bob@example.net"], "smtpResponse": "250 2.6.0 taken"}
    found = read(json.dumps({"notificationType": "Delivery", "delivery": delivery, "mail": MAIL}))
    assert found is not None
    assert [(one.action, one.status) for one in found.recipients] == [("delivered", "2.6.0")]
    delay = {
        "delayedRecipients": [{"emailAddress": "bob@example.net", "diagnosticCode": "smtp; 421 4.4.1 later"}]
    }
    found = read(json.dumps({"eventType": "DeliveryDelay", "deliveryDelay": delay}))
    assert found is not None
    assert [(one.action, one.diagnostic) for one in found.recipients] == [("delayed", "421 4.4.1 later")]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "notificationType {",
        json.dumps({"notificationType": "Complaint", "complaint": {}}),
        json.dumps({"notificationType": "Bounce", "bounce": []}),
        json.dumps({"notificationType": "Bounce", "bounce": {"bouncedRecipients": [1, {"emailAddress": 2}]}}),
        '"notificationType"' + '{"a":' * 50_000,
        '{"notificationType":' + "[" * 50_000,
    ],
)
def test_what_is_none(text: str) -> None:
    assert read(text) is None


_json = st.recursive(
    st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@given(st.dictionaries(st.sampled_from(["bounce", "delivery", "mail", "Message"]), _json))
def test_nothing_is_too_odd(values: dict[str, object]) -> None:
    for kind in ("Bounce", "Delivery"):
        read(json.dumps({"notificationType": kind, **values}))


def test_a_notification_that_no_mail_brought() -> None:
    """As a program gets it that SNS or SQS gives them to: the object alone."""
    mail = {**MAIL, "commonHeaders": {"messageId": "<1@example.org>", "subject": "{news}"}}
    told = {**BOUNCE, "mail": mail, "bounce": {**BOUNCE["bounce"], "timestamp": "2016-01-27T14:59:38.237Z"}}  # type: ignore[dict-item]
    for text in (
        json.dumps(told),
        "\n" + json.dumps({"Type": "Notification", "Message": json.dumps(told)}, indent=1),
    ):
        found = bounce.read(text.encode())
        assert found is not None
        assert [one.recipient for one in found.recipients] == ["bob@example.net"]
        assert (found.date, found.subject) == ("2016-01-27T14:59:38Z", "{news}")
    for text in (
        '{"subject": "Undelivered Mail Returned to Sender: <bob@example.net>: user unknown"}',
        "{",
        "{}",
    ):
        assert bounce.read(text.encode()) is None
