"""What a program of this host sends goes for whom its recipients stand."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from clock import T0
from mail import address
from names import Names, aliased, users

from mether.envelope import Envelope, Recipient
from mether.programs import addressing, errors
from mether.queue.memory import MemoryStore
from mether.queue.store import Filter, NoSpace, StoreError
from mether.routing.router import Router
from mether.routing.rule import Rule
from mether.setup.locate import Basics

KNOWN = {"list": "ann, bob", "owner-list": "ann", "drop": "/dev/null", "prog": "|/bin/x"}
CONTENT = b"Subject: x\r\n\r\nhello\r\n"
BASICS = Basics("", "mx.example.com", "postmaster@example.com", "", 86400.0, ())


def router(known: Any = KNOWN) -> Router:
    return aliased(known, users=users("ann", "bob"))


def envelope(*paths: str, sender: str = "ann@example.com") -> Envelope:
    return Envelope(address(sender) if sender else None, [Recipient(address(path)) for path in paths])


def send(
    *paths: str,
    size: int = 0,
    store: Any = None,
    sender: str = "ann@example.com",
    known: Any = KNOWN,
    rules: Iterable[Rule] = (),
) -> list[Any]:
    store = store or MemoryStore(now=T0)
    mine = aliased(known, *rules, users=users("ann", "bob"))
    addressed = addressing.address(mine, envelope(*paths, sender=sender), T0)

    def read(spill: Any) -> Any:
        if not size:
            return CONTENT
        writer = spill()
        writer.write(CONTENT + b"x" * size)
        return writer

    addressing.submit(store, BASICS, mine, addressed, read, b"Subject: x\r\n\r\n")
    return list(store.entries(Filter()))


def shown(entries: list[Any]) -> list[tuple[str, list[str]]]:
    return [
        (
            str(entry.message.envelope.reverse_path),
            [str(one.recipient.forward_path) for one in entry.rows],
        )
        for entry in entries
    ]


@pytest.mark.parametrize("size", [0, 100_000])
def test_a_list_and_another_are_two_messages(size: int) -> None:
    """Nobody gets two copies: who is named himself is taken off the list."""
    assert sorted(shown(send("ann@example.com", "list@example.com", size=size))) == [
        ("ann@example.com", ["ann@example.com"]),
        ("owner-list@example.com", ["bob@example.com"]),
    ]


def test_one_of_several_who_is_not_here_is_reported() -> None:
    assert sorted(shown(send("bob@example.com", "nobody@example.com"))) == [
        ("None", ["ann@example.com"]),
        ("ann@example.com", ["bob@example.com"]),
    ]
    assert shown(send("bob@example.com", "nobody@example.com", sender="")) == [("None", ["bob@example.com"])]


def test_whoever_calls_is_told_of_him_too() -> None:
    addressed = addressing.address(router(), envelope("bob@example.com", "nobody@example.com", sender=""), T0)
    (line,) = addressed.refused
    assert line.startswith("<nobody@example.com>: 550 5.1.1 ")


@pytest.mark.parametrize(("path", "status"), [("nobody@example.com", 67), ("prog@example.com", 69)])
def test_where_nobody_is_left_the_program_says_so(path: str, status: int) -> None:
    with pytest.raises(errors.Failure, match=path) as caught:
        addressing.address(router(), envelope(path), T0)
    assert caught.value.status == status


def test_a_table_that_cannot_be_read_is_for_later() -> None:
    with pytest.raises(errors.Failure, match="names: no") as caught:
        addressing.address(router(Names({}, broken=True)), envelope("ann@example.com"), T0)
    assert caught.value.status == 75


def test_what_is_discarded_is_not_queued() -> None:
    mine, store = router(), MemoryStore(now=T0)
    addressed = addressing.address(mine, envelope("drop@example.com"), T0)
    assert addressing.submit(store, BASICS, mine, addressed, lambda spill: CONTENT, b"") == ""
    assert store.entries(Filter()) == []


def test_what_cannot_be_queued_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore(now=T0)

    def full(drafts: Any, *, now: float) -> Any:
        raise NoSpace("full")

    monkeypatch.setattr(store, "commit", full)
    with pytest.raises(StoreError, match="full"):
        send("ann@example.com", "list@example.com", size=100_000, store=store)


@pytest.mark.parametrize("path", ["postmaster@mx.example.com", "PostMaster@MX.example.com"])
def test_the_postmaster_at_our_own_name_is_the_services(path: str) -> None:
    """As with RCPT (RFC 5321 section 4.5.1): where nobody reads that name it would go to ourselves by MX."""
    entries = send(path, known={"postmaster": "bob"})
    assert shown(entries) == [("ann@example.com", ["bob@example.com"])]
    asked = Rule(["mx.example.com"], "maildir", "/own/{user}", "own")
    assert shown(send(path, known={}, rules=[asked])) == [("ann@example.com", [path])]
