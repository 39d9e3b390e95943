"""Relay is closed unless a rule opens it: every trick that is known (RFC 2505 section 2.1, checklist SEC-1).

Each path is tried by a stranger against a service with every kind of local rule: a plain one, one with users,
sub-addresses and aliases, one of aliases alone with a catch-all, one that forwards, and a backup MX that was
opened.  A path may be taken only where all that becomes of it is delivered here, or goes to where the
administrator's own aliases and rules say.
"""

from __future__ import annotations

import pytest
from clock import T0
from mail import address
from names import Names, users
from places import Place

from mether.queue.memory import MemoryStore
from mether.routing.router import Router
from mether.routing.rule import Rule

ALLOWED = {"boss@partner.example", "sales@partner.example"}
"""Elsewhere, where our own aliases send mail."""

OURS = ("example.com", "users.example", "virtual.example", "backup.example", "[192.0.2.25]")

VICTIM = "victim.example"

TRICKS = [
    f"x@{VICTIM}",
    # The percent hack, nested and mixed
    "x%victim.example@example.com",
    "x%victim.example%else.example@example.com",
    "x%victim.example@virtual.example",
    "x%victim.example@users.example",
    "x%victim.example@backup.example",
    "x%victim.example@[192.0.2.25]",
    "x%victim.example@mx.example.com",
    "%victim.example@example.com",
    "x%40victim.example@example.com",
    # Quoted at-signs and quoted everything
    '"x@victim.example"@example.com',
    '"x@victim.example"@virtual.example',
    '"x@victim.example"@users.example',
    '"x@victim.example"@backup.example',
    '"x\\@victim.example"@example.com',
    '"x%victim.example"@example.com',
    '"x@victim.example@example.com"@virtual.example',
    '"<x@victim.example>"@example.com',
    '"@victim.example:x"@example.com',
    '"victim.example!x"@example.com',
    '"x@victim.example "@example.com',
    '"x"@victim.example@example.com',
    "x@victim.example@example.com",
    '"x@victim.example@example.com"',
    '"@victim.example"@virtual.example',
    '"*"@virtual.example',
    # Source routes
    "@example.com:x@victim.example",
    "@example.com,@else.example:x@victim.example",
    "@[192.0.2.25]:x@victim.example",
    "@victim.example:x@example.com",
    "@example.com:x%victim.example@example.com",
    '@example.com:"x@victim.example"@example.com',
    # Bang paths and UUCP
    "victim.example!x@example.com",
    "example.com!victim.example!x@example.com",
    "victim.example!x",
    "example.com!x@victim.example",
    "victim.example!x%else.example@example.com",
    "victim!x@virtual.example",
    # Domains that look like ours
    "x@example.com.victim.example",
    "x@victimexample.com",
    "x@sub.example.com",
    "x@example.com.",
    "x@victim.example.",
    "x@.example.com",
    "x@example..com",
    "x@exаmple.com",
    "x@xn--exmple-4nf.com",
    "x@ｅxample.victim",
    "x@example。com.victim.example",
    "x@EXAMPLE.COM.VICTIM.EXAMPLE",
    # Address literals
    "x@[127.0.0.1]",
    "x@[192.0.2.99]",
    "x@[IPv6:::1]",
    "x@[IPv6:::ffff:192.0.2.25]",
    "x@192.0.2.25",
    "x@localhost",
    "x@[example.com]",
    "x@[192.0.2.25]victim.example",
    # The postmaster of somebody else
    "postmaster@victim.example",
    "postmaster@[127.0.0.1]",
    "postmaster%victim.example@example.com",
    "postmaster%victim.example",
    "postmaster@example.com@victim.example",
    '"postmaster@victim.example"@mx.example.com',
    "postmaster@mx.example.com.victim.example",
    # Sub-addresses, aliases and catch-alls
    "ann+x@victim.example@users.example",
    "ann+x%victim.example@users.example",
    '"ann+x@victim.example"@users.example',
    "boss+x%victim.example@virtual.example",
    '"boss+@victim.example"@virtual.example',
    '"boss@victim.example"@virtual.example',
    '"owner-x@victim.example"@virtual.example',
    '"|/bin/sh"@users.example',
    "|/bin/sh@users.example",
    '":include:/etc/passwd"@users.example',
    "/etc/passwd@users.example",
    '"boss@virtual.example, x@victim.example"@virtual.example',
    '"boss,x@victim.example"@virtual.example',
    "x@forward.example%victim.example@example.com",
    # What is no address at all
    "x@victim.example\0@example.com",
    "x@victim.example>@example.com",
    "x@victim.example> <x@example.com",
    "x@victim.example\t@example.com",
    "x@example.com,x@victim.example",
    "x@example.com x@victim.example",
    "<x@victim.example>@example.com",
    "x(@victim.example)@example.com",
    "x@example.com(@victim.example)",
    "@victim.example",
    "x@",
    "",
]


def router() -> Router:
    known = Names(
        {"ann": "ann, boss", "boss": "boss@partner.example", "@virtual.example": "ann@users.example"}
    )
    return Router(
        [
            Rule(["virtual.example"], "aliases", aliases=[known], name="virtual", delimiter="+"),
            Rule(["forward.example"], "forward", ("sales@partner.example",), "forward"),
            Rule(
                ["users.example"],
                "maildir",
                "/nowhere/{user}",
                "users",
                aliases=[known],
                users=users("ann", "bob"),
                delimiter="+",
            ),
            Rule(["backup.example"], "smtp", None, "backup", opened=True),
            Rule(["example.com", "[192.0.2.25]"], "maildir", "/nowhere/{user}", "here"),
        ],
        "mx.example.com",
        address("postmaster@example.com"),
    )


def ends_here(path: str) -> bool:
    return path in ALLOWED or path.rpartition("@")[2].lower() in OURS


@pytest.mark.parametrize("sender", ["s@client.example", "ann@example.com", "postmaster@example.com", ""])
@pytest.mark.parametrize("trick", TRICKS)
def test_no_trick_relays(trick: str, sender: str) -> None:
    """SEC-1"""
    place = Place(MemoryStore(now=T0), router())
    client = place.client()
    client.say("EHLO mx.example.com")
    for utf8 in ("", " SMTPUTF8"):
        client.say(f"MAIL FROM:<{sender}>{utf8}")
        taken = client.send(f"RCPT TO:<{trick}>\r\n".encode()).startswith("2")
        if taken:
            client.say("DATA")
            client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
        client.say("RSET")
    for entry in place.queued():
        for row in entry.rows:
            path = str(row.recipient.forward_path)
            assert ends_here(path), f"{trick} went to {path}"
            local = row.recipient.forward_path.local_part
            assert path in ALLOWED or not any(char in local for char in "@%!"), f"{trick} went on as {path}"
            if row.route.transport == "smtp":
                assert row.route.next_hop in ("partner.example", "backup.example")


@pytest.mark.parametrize(
    "trick", [f"x@{VICTIM}", "x%victim.example@example.com", '"x@victim.example"@example.com']
)
def test_nor_does_a_name_in_the_hello_or_a_login_that_failed(trick: str) -> None:
    """SEC-1: never by the EHLO name or MAIL FROM alone."""
    place = Place(MemoryStore(now=T0), router())
    for hello in ("localhost", "mx.example.com", "[127.0.0.1]", "127.0.0.1"):
        client = place.client()
        replies = client.say(
            f"EHLO {hello}", "MAIL FROM:<ann@example.com> AUTH=ann@example.com", f"RCPT TO:<{trick}>"
        )
        assert replies[-1][0] == "5"
    assert not place.queued()


def test_a_catch_all_relays_no_more_than_its_members() -> None:
    place = Place(MemoryStore(now=T0), router())
    client = place.client()
    client.begin("whoever@virtual.example", "x+y@virtual.example", "boss@virtual.example")
    client.send(b"x\r\n.\r\n")
    paths = {str(row.recipient.forward_path) for entry in place.queued() for row in entry.rows}
    assert paths == {"ann@users.example", "boss@partner.example"}


def test_vrfy_and_expn_open_nothing() -> None:
    place = Place(MemoryStore(now=T0), router())
    place.options["vrfy"] = True
    client = place.client()
    client.say("EHLO c")
    for verb in ("VRFY", "EXPN"):
        assert not client.say(f"{verb} x@{VICTIM}")[0].startswith("250")
