"""What people name in the queue: globs, and a next hop in each of its spellings."""

from __future__ import annotations

import pytest

from mether.outcome import Route
from mether.queue.glob import glob, next_hop_like


@pytest.mark.parametrize(
    ("pattern", "text", "like"),
    [
        ("*@example.net", "Ann@EXAMPLE.net", True),
        ("a?b*", "axb", True),
        ("a?b", "ab", False),
        ("*a*b", "xaybz", False),
        ("[ab]", "a", False),
        ("", "", True),
    ],
)
def test_globs(pattern: str, text: str, like: bool) -> None:
    assert glob(pattern, text) is like


HERE = Route("smtp", "[127.0.0.1]:2525")
DOMAIN = Route("smtp", "example.net")
SIX = Route("lmtp", "[2001:db8::1]:2424")
LIST = Route("smtp", "[192.0.2.1]:587*3,mx.example.org:26*1")
LOCAL = Route("maildir", "/home/{user}/Maildir")


@pytest.mark.parametrize(
    "pattern",
    [str(HERE), "[127.0.0.1]:2525", "127.0.0.1:2525", "127.0.0.1", "[127.0.0.1]", "SMTP:127.0.0.1", "127.*"],
)
def test_a_next_hop_in_each_spelling(pattern: str) -> None:
    assert next_hop_like(pattern, HERE)
    assert not next_hop_like(pattern, DOMAIN)


@pytest.mark.parametrize(
    ("pattern", "route", "like"),
    [
        ("127.0.0.1:25", HERE, False),
        ("127.0.0.1:25", Route("smtp", "[127.0.0.1]"), True),
        ("lmtp:127.0.0.1", HERE, False),
        ("smtp:*", HERE, True),
        ("smtp:*", SIX, False),
        ("Example.NET", DOMAIN, True),
        ("net", DOMAIN, False),
        ("*.net", DOMAIN, True),
        ("2001:DB8::1", SIX, True),
        ("[IPv6:2001:db8::1]", SIX, True),
        (str(SIX), SIX, True),
        ("192.0.2.1", LIST, True),
        ("mx.example.org", LIST, True),
        ("mx.example.org:26", LIST, True),
        ("mx.example.org:25", LIST, False),
        ("example.org", LIST, False),
        (str(LIST), LIST, True),
        ("lmtp:unix:/run/lmtp", Route("lmtp", "unix:/run/lmtp"), True),
        ("unix:/run/*", Route("lmtp", "unix:/run/lmtp"), True),
        ("maildir:*", LOCAL, True),
        ("/home/*", LOCAL, True),
        ("home", LOCAL, False),
        ("night*", Route("smtp", "mx", via="nightly"), True),
        ("smtp:mx via NIGHTLY", Route("smtp", "mx", via="nightly"), True),
        ("nightly", Route("smtp", "mx"), False),
        ("*", Route("smtp", "mx", via="nightly"), True),
    ],
)
def test_which_next_hop_is_meant(pattern: str, route: Route, like: bool) -> None:
    assert next_hop_like(pattern, route) is like
