"""Who a client is: by what it said, by its login, and by those who speak for it."""

from __future__ import annotations

import pytest
from places import Place

from mether.net.tls import Security
from mether.receive.client import Client as Who
from mether.routing.networks import Networks
from mether.routing.router import Router
from mether.routing.rule import Rule
from mether.routing.target import parse


def test_a_front_end_may_say_who_has_logged_in(place: Place) -> None:
    """SEC-1: XCLIENT's LOGIN counts, from a listed front end, until the next XCLIENT."""
    place.options = {"xclient_from": Networks(["192.0.2.1"])}
    relay = ("EHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>")
    client = place.client("192.0.2.1")
    assert client.say("XCLIENT ADDR=192.0.2.2 LOGIN=ann")[0].startswith("220 ")
    assert client.say(*relay)[-1].startswith("250 ")
    client.say("RSET")
    assert client.say("XCLIENT ADDR=192.0.2.99 LOGIN=[UNAVAILABLE]")[0].startswith("220 ")
    assert client.say(*relay)[-1].startswith("550 5.7.1 ")


def test_who_names_no_address_is_nobody(place: Place) -> None:
    """SEC-1: a front end that does not know its client does not lend it its own rights."""
    place.options = {"xclient_from": Networks(["127.0.0.1"])}
    client = place.client("127.0.0.1")
    client.say("XCLIENT ADDR=[UNAVAILABLE]")
    replies = client.say("EHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>")
    assert replies[-1].startswith("550 5.7.1 ")


def test_who_names_no_address_is_no_program_of_this_host(place: Place) -> None:
    """SEC-1: a route that is open to this host's own programs is not open to whom a front end cannot name."""
    inner = Rule(["*"], "smtp", parse("smart.example"), programs=True, opened=True)
    place.router = Router([inner], "mx.example.com")
    place.options = {"xclient_from": Networks(["127.0.0.1"])}
    client = place.client("127.0.0.1")
    client.say("XCLIENT ADDR=[UNAVAILABLE]")
    replies = client.say("EHLO c.example", "MAIL FROM:<a@b.example>", "RCPT TO:<x@elsewhere.example>")
    assert replies[-1].startswith("550 5.7.1 ")
    socket = place.client("")
    assert socket.say("EHLO c", "MAIL FROM:<a@b.example>", "RCPT TO:<x@a.example>")[-1].startswith("250 ")


@pytest.mark.parametrize(
    ("utf8", "lmtp", "name"),
    [(False, False, "ESMTP"), (True, False, "UTF8SMTP"), (False, True, "LMTP"), (True, True, "UTF8LMTP")],
)
def test_the_protocol_is_named_as_registered(utf8: bool, lmtp: bool, name: str) -> None:
    """RFC 3848, RFC 6531 section 4.3: S under TLS, A for who has logged in."""
    client = Who("192.0.2.1", Networks([]))
    assert client.protocol(utf8=utf8, lmtp=lmtp) == "SMTP"
    client.esmtp = True
    assert client.protocol(utf8=utf8, lmtp=lmtp) == name
    client.secured(Security("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
    client.esmtp = True
    assert client.protocol(utf8=utf8, lmtp=lmtp) == f"{name}S"
    client.logged_in("ann")
    assert client.protocol(utf8=utf8, lmtp=lmtp) == f"{name}SA"


def test_tls_makes_forget_what_was_said_in_clear() -> None:
    """TLS-2: RFC 3207 section 4.2: neither the name nor the login counts, nor what the login opened."""
    client = Who("192.0.2.1", Networks([]))
    client.hello, client.esmtp = "c.example", True
    client.logged_in("ann")
    client.secured(Security("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
    assert (client.hello, client.esmtp, client.login, client.may_relay) == ("", False, "", False)
