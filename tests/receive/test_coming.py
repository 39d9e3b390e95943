"""Messages that one becomes: lists, what is held, and reports, all or nothing for the client."""

from __future__ import annotations

from typing import Any

from clock import T0
from mail import heard
from names import aliased
from places import Client, Place

from mether.queue.memory import MemoryStore
from mether.queue.store import Committed, NoSpace
from mether.routing.rule import Rule

KNOWN = {
    "many": "ann, bob",
    "list": "ann, bob",
    "owner-list": "carol",
    "broken": "ann, |/bin/x",
    "s": "away@example.net",
}
HELD = Rule(["held.example"], "hold", "to be looked at")
HELD_ON = Rule(["held.example"], "maildir", "/nowhere/{user}", "held")


def place() -> Place:
    return Place(MemoryStore(now=T0), aliased(KNOWN, HELD, HELD_ON))


def send(
    client: Client,
    *rcpts: str,
    sender: str = "s@client.example",
    content: bytes = b"Subject: x\r\n\r\nhi\r\n",
) -> str:
    client.say(
        "EHLO c", f"MAIL FROM:<{sender}> RET=HDRS ENVID=e1", *(f"RCPT TO:{one}" for one in rcpts), "DATA"
    )
    return client.send(content + b".\r\n")


def entries(place: Place) -> dict[str, Any]:
    return {str(entry.message.envelope.reverse_path): entry for entry in place.queued()}


def text(place: Place, entry: Any) -> str:
    return place.store.content(entry.message.ident).read().decode()


def test_a_list_and_another_recipient_are_two_messages() -> None:
    here = place()
    assert send(here.client(), "<dave@example.com>", "<list@example.com>").startswith("250 2.0.0 queued as ")
    queued = entries(here)
    assert set(queued) == {"s@client.example", "owner-list@example.com"}
    assert queued["s@client.example"].message.ident != queued["owner-list@example.com"].message.ident
    assert {text(here, entry) for entry in queued.values()} == {"Subject: x\r\n\r\nhi\r\n"}


def test_large_content_lies_in_a_file_for_each(spooled: Place) -> None:
    spooled.router = aliased(KNOWN)
    content = b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" + b"line\r\n" * 40_000
    assert send(spooled.client(), "<dave@example.com>", "<list@example.com>", content=content).startswith(
        "250 "
    )
    assert [spooled.store.content(entry.message.ident).read() for entry in spooled.queued()] == [content] * 2
    assert len(spooled.staged) == 2
    client = spooled.client()
    client.begin("dave@example.com", "list@example.com")
    client.send(content)
    client.end()
    assert len(spooled.queued()) == 2, "what was given up leaves nothing"


def test_where_one_fails_the_client_comes_again() -> None:
    """A duplicate is allowed then, a loss is not."""
    here = place()
    answers = iter([None, NoSpace("full")])
    commit = here.commit

    def failing(draft: Any, done: Any) -> None:
        error = next(answers)
        if error is not None:
            done(Committed(draft.message.ident, error=error))
        else:
            commit(draft, done)

    here.commit = failing  # type: ignore[method-assign]
    assert send(here.client(), "<dave@example.com>", "<list@example.com>").startswith("452 4.3.1 ")
    assert len(here.queued()) == 1
    assert here.budget.used == 0


def test_the_reply_waits_for_all_of_them() -> None:
    here = place()
    here.waiting = True
    client = here.client()
    assert send(client, "<dave@example.com>", "<list@example.com>") == ""
    here.held.pop()()
    assert not client.said.decode().splitlines()[-1].startswith("250 2.0.0 queued")
    here.held.pop()()
    assert client.said.decode().splitlines()[-1].startswith("250 2.0.0 queued")


def test_success_of_an_alias_of_many_is_reported_as_expanded() -> None:
    """DSN-7"""
    here = place()
    with heard() as events:
        send(here.client(), "<many@example.com> NOTIFY=SUCCESS")
    queued = entries(here)
    assert [str(row.recipient.notify) for row in queued["s@client.example"].rows] == ["NEVER", "NEVER"]
    report = queued["None"]
    assert [str(row.recipient.forward_path) for row in report.rows] == ["s@client.example"]
    said = text(here, report)
    assert "Action: expanded\r\n" in said and "Final-Recipient: rfc822;many@example.com\r\n" in said
    assert "Original-Envelope-Id: e1\r\n" in said
    assert "ann@example.com" not in said, "members are not told of"
    assert "reported" in [name for name, _ in events]


def test_success_of_a_mailing_list_is_reported_as_delivered() -> None:
    """DSN-7"""
    here = place()
    send(here.client(), "<list@example.com> NOTIFY=SUCCESS,FAILURE")
    assert "Action: delivered\r\n" in text(here, entries(here)["None"])


def test_a_member_that_cannot_get_it_is_reported() -> None:
    here = place()
    send(here.client(), "<broken@example.com>")
    said = text(here, entries(here)["None"])
    assert "Action: failed\r\n" in said and "5.7.1" in said
    here = place()
    send(here.client(), "<broken@example.com> NOTIFY=NEVER")
    assert set(entries(here)) == {"s@client.example"}
    here = place()
    send(here.client(), "<broken@example.com>", sender="")
    assert len(here.queued()) == 1, "never an error about an error"


def test_a_report_for_an_alias_goes_where_that_says() -> None:
    here = place()
    send(here.client(), "<many@example.com> NOTIFY=SUCCESS", sender="s@example.com")
    (row,) = entries(here)["None"].rows
    assert str(row.recipient.forward_path) == "away@example.net" and row.recipient.notify == "NEVER"


def test_what_a_rule_holds_is_held_and_the_rest_goes() -> None:
    here = place()
    with heard() as events:
        send(here.client(), "<dave@example.com>", "<x@held.example>")
    assert sorted(str(entry.message.hold) for entry in here.queued()) == ["None", "to be looked at"]
    assert [fields["why"] for name, fields in events if name == "held"] == ["to be looked at"]


def test_the_trace_field_shows_the_alias_and_no_member() -> None:
    """TRC-2, TRC-7"""
    here = place()
    send(here.client(), "<s@example.com>")
    (entry,) = here.queued()
    assert b"for <s@example.com>" in entry.message.trace
    here = place()
    send(here.client(), "<dave@example.com>", "<many@example.com>")
    (entry,) = here.queued()
    assert b"for <" not in entry.message.trace
