"""Patterns of domains, of addresses and of logins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.routing.match import Addresses, Domains, Logins, covers, found, keys, normalize, parents


class Table:
    """A source out of a dictionary."""

    name = "table"

    def __init__(self, *there: str) -> None:
        self.there = dict.fromkeys(there, "")
        self.asked: list[str] = []

    def get(self, key: str) -> str | None:
        self.asked.append(key)
        return self.there.get(key)

    async def learn(self, key: str) -> None:
        raise AssertionError


@pytest.mark.parametrize(
    ("pattern", "takes", "not_"),
    [
        ("*", ["a.test", "x"], []),
        ("Example.ORG", ["example.org"], ["a.example.org", "example.com"]),
        (".example.org", ["a.example.org", "a.b.example.org"], ["example.org", "badexample.org"]),
        ("*.example.org", ["a.example.org", "a.b.example.org"], ["example.org"]),
        ("mx?.*.test", ["mx1.a.test", "mx2.a.b.test"], ["mx10.a.test", "mx1.test"]),
        ("münchen.example", ["xn--mnchen-3ya.example"], ["munchen.example"]),
        ("[192.0.2.1]", ["[192.0.2.1]"], ["192.0.2.1"]),
    ],
)
def test_domains(pattern: str, takes: list[str], not_: list[str]) -> None:
    domains = Domains([pattern])
    assert all(map(domains.matches, takes))
    assert not any(map(domains.matches, not_))


@pytest.mark.parametrize(
    ("pattern", "takes", "not_"),
    [
        ("*", ["ann@a.test", "<>"], []),
        ("<>", ["<>"], ["ann@a.test"]),
        ("Ann@A.test", ["ann@a.test"], ["bob@a.test", "ann@b.test"]),
        ("a.test", ["ann@a.test"], ["ann@b.a.test", "<>"]),
        ("@a.test", ["ann@a.test"], ["ann@b.a.test"]),
        ("*@a.test", ["ann@a.test"], ["ann@b.a.test"]),
        (".a.test", ["ann@b.a.test"], ["ann@a.test"]),
        ("abuse@*", ["abuse@x.test"], ["ann@x.test", "<>"]),
        ("news-*@*.test", ["news-1@a.test"], ["news@a.test", "news-1@a.example"]),
        ("*@*", ["ann@a.test"], ["<>"]),
        ('"a b"@x.test', ["a b@x.test"], ["a@x.test"]),
    ],
)
def test_addresses(pattern: str, takes: list[str], not_: list[str]) -> None:
    addresses = Addresses([pattern])
    assert all(map(addresses.matches, takes))
    assert not any(map(addresses.matches, not_))


def test_tables_are_asked_for_the_most_particular_first() -> None:
    table = Table(".example.org")
    assert Domains(["a.test", table]).matches("b.example.org")
    assert table.asked == ["b.example.org", ".example.org"]
    people = Table("@example.org", "<>")
    assert Addresses([people]).matches("ann@example.org")
    assert Addresses([people]).matches("<>")
    assert people.asked == ["ann@example.org", "@example.org", "<>"]
    assert not Addresses([Table()]).matches("ann@example.org")


def test_what_is_in_the_list_itself_asks_no_table() -> None:
    table = Table()
    assert Domains(["a.test", table]).matches("a.test")
    assert Addresses(["ann@a.test", table]).matches("ann@a.test")
    assert Logins(["ann", table]).matches("ann")
    assert table.asked == []


def test_logins_are_no_addresses() -> None:
    logins = Logins(["Ann", "web_*", Table("*", "tom")])
    assert all(map(logins.matches, ("ann", "web_1", "tom")))
    assert not any(map(logins.matches, ("bob", "x@ann", "")))


def test_keys_of_an_address() -> None:
    assert keys("ann@a.b.test") == ("ann@a.b.test", "@a.b.test", "a.b.test", ".b.test", ".test")
    assert keys("postmaster") == ("postmaster",)
    assert parents("[192.0.2.1]") == ()


def test_a_source_may_answer_for_all_keys_at_once() -> None:
    class Fast(Table):
        def first(self, keys: tuple[str, ...]) -> str | None:
            return f"first of {len(keys)}"

    assert found(Fast(), ("a", "b")) == "first of 2"


@pytest.mark.parametrize("text", ["a b", "", "a..b", "-a.test", ".[192.0.2.1]", "a@*", "<*>"])
def test_what_can_match_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        normalize(text)


@pytest.mark.parametrize("text", ["ann@", "a b@x.test", "a b"])
def test_no_pattern_of_addresses(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        Addresses([text])


@pytest.mark.parametrize(
    ("pattern", "other"),
    [
        ("*", ".test"),
        (".test", "a.test"),
        (".test", ".a.test"),
        (".a.test", "mx*.a.test"),
        ("mx?.test", "mx1.test"),
        ("*a.test", "ba.test"),
    ],
)
def test_what_covers_what(pattern: str, other: str) -> None:
    assert covers(pattern, other)
    assert not covers(other, pattern)


LABEL = st.sampled_from(["a", "b", "mx1"])
NAME = st.lists(LABEL, min_size=1, max_size=3).map(".".join)
PATTERN = st.one_of(
    st.just("*"), NAME, NAME.map(lambda name: f".{name}"), st.sampled_from(["*a", "mx?.b", "?", "*.?"])
)


@given(PATTERN, PATTERN, NAME)
def test_what_is_covered_is_taken(pattern: str, other: str, domain: str) -> None:
    if covers(normalize(pattern), normalize(other)) and Domains([other]).static(domain):
        assert Domains([pattern]).static(domain)
