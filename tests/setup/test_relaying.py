"""[relay], and the limits of routes: what contradicts itself, and what holds for each next hop."""

from __future__ import annotations

import pytest

from mether.outcome import Route
from mether.setup import relaying
from mether.setup.config import Config, loads
from mether.setup.locate import ConfigError

ROUTE = '[[route]]\ndomains = ["a.test"]\n'


def read(text: str) -> Config:
    return loads(text, "/etc/mether/mether.toml", environ={})


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (ROUTE + 'maildir = "m/{user}"\nrate = "1/s"', 4, "rate: is for smtp, lmtp and mx"),
        (ROUTE + 'pipe = ["x"]\nconnections = 3', 4, "connections: is for smtp, lmtp and mx"),
        (
            ROUTE + 'smtp = "h.test:9"\nconnections = 3\n' + ROUTE.replace("a.", "b.") + 'smtp = "h.test:9"',
            7,
            "the route on line 3 goes to the same next hop with other limits",
        ),
        (ROUTE + "mx = true\nconnections = 0", 4, "connections: expected"),
        ('[relay]\nrate = "fast"', 2, "rate: expected a rate such as"),
        ("[relay]\nrate = 10", 2, "rate: expected"),
        ('[relay]\nidle = "0s"', 2, "idle: expected a duration"),
        ("[relay]\nmax_connection = 3", 2, "did you mean max_connections"),
        ("[[relay]]\n", 1, "relay"),
    ],
)
def test_what_contradicts_itself(text: str, line: int, words: str):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"/etc/mether/mether.toml:{line}:")


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        (Route("smtp", "other.test"), (7, 1000, 0.5)),
        (Route("smtp", "a.test"), (3, 1000, 0.5)),
        (Route("smtp", "smart.test:2525"), (7, 1000, 10.0)),
        (Route("smtp", "smart.test:2525", "helo.test"), (7, 1000, 10.0)),
        (Route("lmtp", "unix:/run/lmtp"), (7, 50, 0.5)),
    ],
)
def test_the_limits_of_a_next_hop(route: Route, expected: tuple[int, int, float]):
    config = read(
        '[relay]\nconnections = 7\nrate = "30/m"\n'
        f"{ROUTE}mx = true\nconnections = 3\n"
        '[[route]]\ndomains = ["b.test"]\nsmtp = "smart.test:2525"\nrate = "10/s"\n'
        '[[route]]\ndomains = ["c.test"]\nlmtp = "unix:/run/lmtp"\nmessages_per_connection = 50\n'
    )
    limits = relaying.limits(config, config.router())(route)
    assert (limits.connections, limits.messages, limits.rate) == expected


def test_what_is_built_in():
    config = read("")
    limits = relaying.limits(config, config.router())(Route("smtp", "a.test"))
    assert (limits.connections, limits.messages, limits.rate) == (20, 1000, 0.0)
