"""Recipients: who may name whom, and who is here."""

from __future__ import annotations

from typing import Any

import pytest
from clock import T0
from mail import heard
from names import Names, aliased, users
from places import Client, Place

from mether.queue.memory import MemoryStore
from mether.receive.named import FREE_RECIPIENTS, RECIPIENT, mailbox_name
from mether.receive.reception import Limits
from mether.reply import Reply
from mether.routing.rule import Rule


def place(known: Any, *more: Rule, **options: Any) -> Place:
    return Place(MemoryStore(now=T0), aliased(known, *more, **options))


def rcpt(place: Place, path: str, from_: str = "192.0.2.1") -> str:
    return place.client(from_).say("EHLO c", "MAIL FROM:<s@client.example>", f"RCPT TO:<{path}>")[-1]


def test_who_is_not_here_is_refused() -> None:
    """550 5.1.1, be the client trusted or not"""
    here = place({"root": "ann"}, users=users("ann"), delimiter="+")
    assert rcpt(here, "ann+x@example.com").startswith("250 ")
    assert rcpt(here, "root@example.com").startswith("250 ")
    assert rcpt(here, "bob@example.com").startswith("550 5.1.1 ")
    assert rcpt(here, "bob@example.com", "127.0.0.1").startswith("550 5.1.1 ")


def test_users_are_asked_for_nobody_who_may_not_relay_there() -> None:
    asked = Names({}, broken=True)
    relays = Rule(["far.example"], "smtp", None, "far", users=[asked])
    here = place({}, relays)
    assert rcpt(here, "x@far.example").startswith("550 5.7.1 ")
    assert rcpt(here, "x@far.example", "127.0.0.1").startswith("451 4.3.0 ")


def test_a_table_that_cannot_be_read_defers_with_a_line_in_the_log() -> None:
    here = place(Names({}, broken=True))
    with heard() as events:
        assert rcpt(here, "ann@example.com").startswith("451 4.3.0 ")
    names = [name for name, _ in events]
    assert names.count("error") == 1 and names.count("rejected") == 1


def test_rules_that_refuse_and_discard() -> None:
    refuses = Rule(["closed.example"], "refuse", Reply(554, "5.7.1", "closed"))
    drops = Rule(["drop.example"], "discard")
    here = place({}, refuses, drops)
    assert rcpt(here, "x@closed.example") == "554 5.7.1 closed"
    client = here.client()
    with heard() as events:
        client.begin("x@drop.example")
        assert client.send(b"hi\r\n.\r\n").startswith("250 2.0.0 taken as ")
    assert here.queued() == []
    assert [fields["what"] for name, fields in events if name == "noted"] == [
        "what came for <x@drop.example> is discarded"
    ]


def test_the_limit_counts_what_the_client_names() -> None:
    """LIM-1: members of aliases have a limit of their own."""
    here = place({"all": ", ".join(f"u{n}" for n in range(50))})
    client = here.client()
    client.begin("all@example.com", "a@example.com", "b@example.com")
    assert client.send(b"hi\r\n.\r\n").startswith("250 ")
    (entry,) = here.queued()
    assert len(entry.rows) == 52


def test_members_beyond_the_free_ones_come_out_of_the_budget() -> None:
    count = FREE_RECIPIENTS + 20
    here = place({"all": ", ".join(f"u{n}" for n in range(count))})
    here.limits = Limits(size=1000, recipients=10, commands=50, errors=4)
    client = here.client()
    client.begin("all@example.com")
    assert here.budget.used == 20 * RECIPIENT
    client.send(b"hi\r\n.\r\n")
    assert here.budget.used == 0
    here.budget.limit = 10 * RECIPIENT
    assert rcpt(here, "all@example.com").startswith("452 4.5.3 ")


def test_every_postmaster_is_there() -> None:
    """RFC 5321 section 4.5.1"""
    here = place({"postmaster": "ann"}, users=users("ann"))
    for path in ("postmaster", "postmaster@mx.example.com", "POSTMASTER@example.com"):
        client = here.client()
        client.begin(path)
        client.send(b"hi\r\n.\r\n")
    assert {str(entry.rows[0].recipient.forward_path) for entry in here.queued()} == {"ann@example.com"}


def test_what_an_alias_may_not_do_is_told_in_the_log() -> None:
    here = place({"prog": "|/bin/x"})
    with heard() as events:
        assert rcpt(here, "prog@example.com").startswith("550 5.7.1 ")
    (what,) = [fields["what"] for name, fields in events if name == "warning"]
    assert "names the program '/bin/x'; expected alias_programs = true" in what


# Tables that have to be waited for


def waiting(known: Any, **options: Any) -> tuple[Place, Client, list[Any]]:
    """A client whose questions are answered when one of the list is called."""
    here, held = place(known, **options), []
    here.options["learn"] = lambda need, done: held.append((need, done))
    return here, here.client(), held


def answer(held: list[Any]) -> None:
    need, done = held.pop(0)
    need.source.learned.add(need.key)
    done()


def test_a_recipient_waits_and_those_behind_it_keep_their_order() -> None:
    here, client, held = waiting({}, users=users("ann", "bob", slow=True))
    client.say("EHLO c", "MAIL FROM:<s@client.example>")
    assert (
        client.send(b"RCPT TO:<ann>\r\nRCPT TO:<ann@example.com>\r\nRCPT TO:<x@example.com>\r\nDATA\r\n")
        != ""
    )
    before = len(client.said)
    while held:
        answer(held)
    codes = [line[:9] for line in client.said[before:].decode().splitlines()]
    assert codes == ["250 2.1.5", "550 5.1.1", "354 go ah"]
    client.send(b"hi\r\n.\r\n")
    assert len(here.queued()) == 1


def test_a_session_that_ends_meanwhile_is_no_trouble() -> None:
    _, client, held = waiting({}, users=users("ann", slow=True))
    client.say("EHLO c", "MAIL FROM:<s@client.example>")
    assert client.send(b"RCPT TO:<ann@example.com>\r\n") == ""
    client.end()
    before = client.said
    while held:
        answer(held)
    assert client.said == before


def test_in_place_there_is_nothing_to_see_of_it() -> None:
    here = place({}, users=users("ann", slow=True))
    assert rcpt(here, "ann@example.com").startswith("250 ")
    assert rcpt(here, "bob@example.com").startswith("550 5.1.1 ")


@pytest.mark.parametrize(
    ("local", "good"), [("ann", True), ('"a b"', True), (".ann", False), ("a/b", False), ('"a\\"b"', True)]
)
def test_names_of_maildirs(local: str, good: bool) -> None:
    assert mailbox_name(local) is good


def test_an_address_to_which_no_mail_is_sent_is_refused_when_it_is_named() -> None:
    """So that no report has to be sent; who may not relay hears nothing of the list."""
    here = place({})
    known = Reply(550, "5.1.1", "suppressed address: mail for it came back")
    here.options["suppressed"] = lambda path, route: known if str(path) == "gone@far.example" else None
    assert rcpt(here, "gone@far.example", "127.0.0.1") == str(known)
    assert rcpt(here, "ann@far.example", "127.0.0.1").startswith("250 ")
    assert rcpt(here, "gone@far.example").startswith("550 5.7.1 relaying denied")


def test_a_program_of_this_host_gets_a_report_in_its_stead() -> None:
    """It may not read the replies: an exported queue must lose nothing on its way in."""
    here = place({})
    here.options["suppressed"] = lambda path, route: Reply(550, "5.1.1", "suppressed")
    client = here.client("", trusted=True)
    replies = client.say("EHLO c", "MAIL FROM:<s@client.example>", "RCPT TO:<gone@far.example>")
    assert replies[-1].startswith("250 ")


def test_what_is_delivered_here_is_on_no_list() -> None:
    here = place({}, users=users("ann"))
    asked: list[str] = []
    here.options["suppressed"] = lambda path, route: asked.append(str(path))
    assert rcpt(here, "ann@example.com").startswith("250 ")
    assert asked == []
