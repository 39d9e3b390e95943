"""Which messages are meant."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mether.outcome import Route
from mether.queue.selection import Select, changes, names

HERE = Route("smtp", "here.example")
THERE = Route("smtp", "there.example")


def test_a_next_hop_has_all_the_room_unless_it_is_said() -> None:
    assert Select().room_at(HERE, 10) == 10


def test_each_next_hop_has_its_room() -> None:
    select = Select(each=4, room={THERE: 0, HERE: 7})
    assert (select.room_at(HERE, 10), select.room_at(THERE, 10)) == (7, 0)
    assert select.room_at(Route("smtp", "elsewhere.example"), 10) == 4
    assert select.room_at(HERE, 3) == 3


@pytest.mark.parametrize(
    ("hold", "marks", "changed"),
    [
        (None, (None,), {"hold", "retry", "remove"}),
        ("wait", (None,), {"release", "remove"}),
        (None, ("remove", "remove"), {"hold", "retry"}),
        ("wait", ("hold", "remove"), {"release", "remove"}),
    ],
)
def test_what_a_change_does_anything_to(
    hold: str | None, marks: tuple[str | None, ...], changed: set[str]
) -> None:
    message = SimpleNamespace(hold=hold)
    rows = [SimpleNamespace(owner=1, mark=mark) for mark in marks]
    entry: Any = SimpleNamespace(message=message, rows=rows)
    assert {one for one in ("hold", "release", "retry", "remove") if changes(one, entry)} == changed


def test_what_is_not_being_tried_can_be_removed() -> None:
    entry: Any = SimpleNamespace(rows=[SimpleNamespace(owner=None, mark="remove")])
    assert changes("remove", entry)


def test_room_does_not_make_it_another_selection() -> None:
    assert Select(each=4, room={HERE: 1}).plain
    assert not Select(idents=frozenset()).plain


@pytest.mark.parametrize(
    ("domain", "next_hop", "meant"),
    [
        ("example.org", "Example.ORG:2525", True),
        ("example.org", "mx.example.org", False),
        ("@example.org", "mx.example.org", True),
        ("@", "example.org", False),
        ("192.0.2.1", "[192.0.2.1]:25", True),
    ],
)
def test_a_domain_names_a_next_hop(domain: str, next_hop: str, meant: bool) -> None:
    """(QUE-4) flush on contact from the host: the next hop that ETRN names (RFC 1985 section 5.3)."""
    assert names(domain, next_hop) is meant
