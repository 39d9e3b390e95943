"""VRFY and EXPN."""

from __future__ import annotations

from typing import Any

import pytest
from clock import T0
from names import Names, aliased, users
from places import Place

from mether.queue.memory import MemoryStore
from mether.receive import verify

KNOWN = {"staff": "ann, bob@example.net", "drop": "/dev/null", "closed": "|/bin/x"}


def place(known: Any = KNOWN, *, vrfy: bool = True, **options: Any) -> Place:
    here = Place(MemoryStore(now=T0), aliased(known, **options))
    here.options["vrfy"] = vrfy
    return here


def ask(here: Place, line: str, from_: str = "192.0.2.1") -> str:
    client = here.client(from_)
    client.say("EHLO c")
    return client.send(line.encode() + b"\r\n")


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("VRFY ann@example.com", "250 2.1.5 <ann@example.com>"),
        ("VRFY <ann@example.com>", "250 2.1.5 <ann@example.com>"),
        ("VRFY staff@example.com", "250 2.1.5 <staff@example.com>"),
        ("VRFY bob@example.com", "550 5.1.1 "),
        ("VRFY x@else.example", "550 5.7.1 "),
        ("VRFY postmaster", "250 2.1.5 <postmaster@example.com>"),
        ("VRFY ann", "501 5.1.3 "),
        ("EXPN staff@example.com", "252 2.5.0 "),
    ],
)
def test_a_stranger_is_told_who_is_here(line: str, reply: str) -> None:
    """SEC-2: 250 only for one who is known for sure; SEC-3: lists are not shown to strangers."""
    assert ask(place(users=users("ann")), line).startswith(reply)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("EXPN staff@example.com", "250-2.1.5 <ann@example.com>\r\n250 2.1.5 <bob@example.net>\r\n"),
        ("EXPN ann@example.com", "250 2.1.5 <ann@example.com>\r\n"),
        ("EXPN bob@example.com", "550 5.1.1 "),
        ("EXPN drop@example.com", "252 2.5.0 "),
        ("EXPN closed@example.com", "550 5.7.1 "),
        ("EXPN x@else.example", "252 2.5.0 "),
    ],
)
def test_who_may_relay_is_shown_lists(line: str, reply: str) -> None:
    """SEC-3: RFC 5321 section 3.5.2"""
    assert ask(place(users=users("ann")), line, "127.0.0.1").startswith(reply)


def test_without_users_nobody_is_known() -> None:
    """SEC-2: 252 for what is plausible and cannot be verified."""
    assert ask(place(), "VRFY ann@example.com").startswith("252 2.5.0 ")
    assert ask(place(), "VRFY .x@example.com").startswith("501 ")


@pytest.mark.parametrize("verb", ["VRFY", "EXPN"])
@pytest.mark.parametrize("path", ["staff@example.com", "nobody@example.com", "x@else.example"])
def test_where_it_is_off_nothing_is_told(verb: str, path: str) -> None:
    """SEC-2, SEC-3: 252, whoever asks for whom."""
    assert ask(place(vrfy=False, users=users("ann")), f"{verb} {path}", "127.0.0.1").startswith("252 2.5.0 ")


def test_a_long_list_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "SHOWN", 1)
    assert ask(place(), "EXPN staff@example.com", "127.0.0.1").startswith("252 ")


def test_a_table_may_have_to_be_waited_for() -> None:
    assert ask(place(users=users("ann", slow=True)), "VRFY ann@example.com").startswith("250 ")
    assert ask(place(Names({}, broken=True)), "VRFY ann@example.com").startswith("451 4.3.0 ")
