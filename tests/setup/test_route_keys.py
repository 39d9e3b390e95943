"""What each key of [[route]] takes, how it is kept, and what a person is told of anything else."""

from __future__ import annotations

import pytest

from mether.setup.decode import Value
from mether.setup.route_keys import ROUTE

TAKEN = [
    ("name", "by-hub", "by-hub"),
    ("domains", ["*", ".Example.ORG", "mx?.a.test", "table:ours", "file:d"], None),
    ("recipient", ["ann@example.org", "abuse@*", "file:people", "*", "localhost", "@inner"], None),
    ("sender", ["<>", "example.org", "@example.org", "news-*@example.org"], None),
    ("client", ["192.0.2.0/24", "::1", "local"], ("192.0.2.0/24", "::1/128", "local")),
    ("authenticated", True, True),
    ("authenticated", ["ann", "*@example.org", "web_1"], ("ann", "*@example.org", "web_1")),
    ("listener", ["inner"], None),
    ("smtp", "SMTP.example.net:587", "smtp.example.net:587"),
    ("smtp", ["a.test:587"], "a.test:587"),
    ("smtp", ["a.test:587", "[b.test]"], ("a.test:587", "[b.test]")),
    ("lmtp", "lmtp:store:24", "store"),
    ("forward", ["ann@example.org"], None),
    ("refuse", "550 5.7.1 not wanted here", "550 5.7.1 not wanted here"),
    ("refuse", "550 not wanted here", "550 5.7.1 not wanted here"),
    ("refuse", "450 later", "450 4.7.1 later"),
    ("hold", "to be looked at", "to be looked at"),
    ("aliases", ["/etc/aliases", "file:b", "table:people"], ("/etc/aliases", "b", "table:people")),
    (
        "users",
        ["passwd", "callahead", "Ann", "bob@Example.org", "table:t"],
        ("passwd", "callahead", "ann", "bob@example.org", "table:t"),
    ),
    ("delimiter", "+", "+"),
    ("failover", ["421", "4.7.", "4.7.1", "451 4.3.2", "550 5."], None),
    ("source", ["192.0.2.7", "2001:DB8::7"], ("192.0.2.7", "2001:db8::7")),
    ("helo", "[192.0.2.7]", "[192.0.2.7]"),
    ("masquerade", ["Example.ORG"], ("example.org",)),
    ("verp", ["Example.ORG", "b\u00fccher.example"], ("example.org", "xn--bcher-kva.example")),
    ("rewrite", "table:names", "table:names"),
    ("login", {"user": "ann", "password_file": "p"}, {"user": "ann", "password_file": "p"}),
]


@pytest.mark.parametrize(("key", "value", "kept"), TAKEN)
def test_what_is_taken_is_kept_in_one_form(key: str, value: object, kept: object) -> None:
    assert ROUTE[key](value) == (tuple(value) if kept is None and isinstance(value, list) else kept)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("name", "two words", "a name without spaces"),
        ("domains", ["a b"], "is no domain"),
        ("domains", ["table:"], 'a name behind table:, such as "table:people"'),
        ("domains", ["tabel:ours"], 'did you mean "table:ours"?'),
        ("users", ["flie:people"], 'did you mean "file:people"?'),
        ("smtp", 25, "a targethost in quotes, or a list"),
        ("recipient", ["ann@@x"], "no"),
        ("recipient", ["ann"], "'ann' would be a domain: write \"ann@*\" for whoever is called so, or"),
        ("sender", ["news-*"], 'expected "ann@example.org", "example.org", ".example.org"'),
        ("client", ["10.0.0.1/8"], "bits are set after the prefix"),
        ("client", ["inner"], '"local" for the programs of this host'),
        ("authenticated", "ann", "a list of logins"),
        ("smtp", ["a.test", "a.test"], "a.test is there already"),
        ("smtp", "unix:/run/x", "write lmtp = ... for it"),
        ("mx", False, "expected true, or no such key"),
        ("discard", "yes", "expected true, or no such key"),
        ("forward", ["ann"], "expected an address"),
        ("forward", ["postmaster"], "an address with a domain"),
        ("refuse", "no", "a reply that refuses"),
        ("refuse", "250 2.0.0 fine", "a reply that refuses"),
        ("refuse", "421 4.3.0 bye", "a reply that refuses"),
        ("refuse", "550", "a reply that refuses"),
        ("refuse", "550 4.7.1 mixed", "4.7.1 contradicts 550"),
        ("refuse", "550 5.7.1 näh", "in ASCII"),
        ("users", ["a b"], '"passwd", "callahead"'),
        ("delimiter", "++", "one character"),
        ("delimiter", "@", "one character"),
        ("failover", ["221"], "expected a reply"),
        ("failover", ["451 5.7."], "expected a reply"),
        ("failover", ["4.7.1.2"], "expected a reply"),
        ("failover", ["421"] * 33, "at most 32"),
        ("source", ["mail.example.org"], "an IP address of this host"),
        ("source", ["192.0.2.7", "192.0.2.8"], "one IPv4 and one IPv6"),
        ("helo", "a b", "a host name"),
        ("masquerade", [".example.org"], "expected a domain"),
        ("rewrite", "names", 'expected "table:NAME", "file:PATH"'),
        ("login", "ann", "a table in braces"),
        ("login", {"usr": "ann"}, "did you mean user"),
        ("login", {"next_hop": "h"}, "the next hop is the route's"),
    ],
)
def test_what_is_not_taken_is_told_with_what_was_expected(key: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        ROUTE[key](value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_element_that_is_wrong_is_known() -> None:
    with pytest.raises(Value) as caught:
        ROUTE["login"]({"user": "ann", "mechanisms": ["GSSAPI"]})
    assert caught.value.index == "mechanisms"
    with pytest.raises(Value) as caught:
        ROUTE["client"](["::1", "x"])
    assert caught.value.index == 1
