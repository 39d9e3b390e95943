"""What a person is told of a next hop."""

from __future__ import annotations

import pytest

from mether.address import parse
from mether.outcome import Route
from mether.setup.config import loads
from mether.setup.facts import look_up, of_next_hop

TEXT = """\
[dns]
enabled = false
[[route]]
name = "news"
sender = ["@news.test"]
smtp = ["127.0.0.2:587", "127.0.0.3"]
weights = [3, 1]
helo = "news.test"
[[route]]
domains = ["store.test"]
lmtp = "unix:/run/lmtp"
[[route]]
domains = ["slow.test"]
mx = true
tls = "encrypt"
[[login]]
next_hop = "127.0.0.3"
sender = "ann@news.test"
user = "ann"
password_env = "P"
"""
CONFIG = loads(TEXT, "/etc/m.toml", environ={"HOME": "/h"})
ROUTER = CONFIG.router()
NEWS = Route("smtp", "[127.0.0.2]:587*3,[127.0.0.3]*1", via="news")


def test_a_list_of_hosts() -> None:
    facts = of_next_hop(NEWS, CONFIG, ROUTER, parse("ann@news.test"))
    assert (facts["rule"], facts["where"], facts["via"]) == ("news", "/etc/m.toml:3", "news")
    assert (facts["helo"], facts["weights"]) == ("news.test", (3, 1))
    assert [(one["target"], one["tls"], one["login"]) for one in facts["targets"]] == [  # type: ignore[attr-defined]
        ("[127.0.0.2]:587", "may", None),
        ("[127.0.0.3]", "verify", "ann"),
    ]
    found = look_up(NEWS, CONFIG, ROUTER)
    assert [one["hosts"][0]["addresses"] for one in found] == [("127.0.0.2",), ("127.0.0.3",)]  # type: ignore[index]


def test_others_may_have_other_logins() -> None:
    assert of_next_hop(NEWS, CONFIG, ROUTER, anybody=True)["logins_by_sender"] is True
    assert of_next_hop(NEWS, CONFIG, ROUTER)["logins_by_sender"] is False
    assert of_next_hop(Route("smtp", "slow.test"), CONFIG, ROUTER, anybody=True)["logins_by_sender"] is False


@pytest.mark.parametrize(
    ("route", "rule", "level"),
    [
        (Route("smtp", "slow.test"), "slow.test", "encrypt"),
        (Route("smtp", "other.test"), None, "may"),
        (Route("lmtp", "unix:/run/lmtp"), "store.test", "none"),
    ],
)
def test_one_host(route: Route, rule: str | None, level: str) -> None:
    facts = of_next_hop(route, CONFIG, ROUTER)
    assert facts["rule"] == rule
    assert [one["tls"] for one in facts["targets"]] == [level]  # type: ignore[attr-defined]


def test_without_the_dns_it_is_said_that_nobody_was_asked() -> None:
    (found,) = look_up(Route("smtp", "slow.test"), CONFIG, ROUTER)
    assert found["hosts"] == []
    assert str(found["trouble"]).startswith("451 4.4.3")


def test_a_route_that_is_not_there_any_more() -> None:
    facts = of_next_hop(Route("smtp", "a.test", via="gone"), CONFIG, ROUTER)
    assert facts["targets"] == []
    assert "the route gone" in str(facts["trouble"])


def test_what_has_no_connection() -> None:
    facts = of_next_hop(Route("maildir", "gone.test"), CONFIG, ROUTER)
    assert "targets" not in facts
    assert (facts["route"], facts["rule"]) == ("maildir:gone.test", None)
