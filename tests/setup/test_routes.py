"""From [[route]] to rules: the smallest file, and every key that decides."""

from __future__ import annotations

import pytest

from mether.address import parse
from mether.outcome import Route
from mether.reply import Reply
from mether.routing.request import Request
from mether.routing.target import from_route
from mether.setup.config import loads
from mether.setup.locate import ConfigError

SMALLEST = """\
[[route]]
smtp = "smtp.example.net:587"
login = { user = "ann", password_file = "password" }
"""


def router(text: str):
    return loads(text, "/etc/m.toml", environ={"HOME": "/h"}).router()


def test_three_lines_send_everything_through_one_host():
    config = loads(SMALLEST, "/etc/m.toml", environ={"HOME": "/h"})
    login = config.route[0].login
    assert login is not None
    assert (login.user, login.password_file) == ("ann", "/etc/password")
    decision = config.router().decide(Request(parse("bob@anywhere.test")))
    assert decision.route == Route("smtp", "smtp.example.net:587")
    assert not decision.open


LOCAL = '[[listen]]\naddress = "127.0.0.1:25"\nname = "inner"\n'


@pytest.mark.parametrize(
    ("asks", "taken", "other"),
    [
        ("domains = ['a.test']", {}, {"recipient": "x@b.test"}),
        ("recipient = ['abuse@*', 'x@a.test']", {}, {"recipient": "y@a.test"}),
        ("sender = ['news-*@b.test']", {"sender": "news-1@b.test"}, {"sender": "ann@b.test"}),
        ("sender = ['<>']", {}, {"sender": "ann@b.test"}),
        ("client = ['192.0.2.0/24']", {"client": "192.0.2.7"}, {"client": "198.51.100.1"}),
        ("client = ['local']", {}, {"client": "192.0.2.7"}),
        ("authenticated = true", {"login": "ann"}, {}),
        ("authenticated = false", {}, {"login": "ann"}),
        ("authenticated = ['ann', 'web_*']", {"login": "Web_1"}, {"login": "bob"}),
        ("listener = ['inner']", {"listener": "inner"}, {"listener": ":25"}),
    ],
)
def test_a_route_takes_what_it_asks_for(asks: str, taken: dict[str, str], other: dict[str, str]):
    made = router(f"{LOCAL}[[route]]\n{asks}\nhold = 'seen'\n[[route]]\nmx = true\n")

    def request(facts: dict[str, str]) -> Request:
        given = dict(facts)
        sender = given.pop("sender", "")
        recipient = parse(given.pop("recipient", "x@a.test"))
        return Request(recipient, sender=parse(sender) if sender else None, **given)

    assert made.decide(request(taken)).hold == "seen"
    assert made.decide(request(other)).hold is None


@pytest.mark.parametrize(
    ("does", "action", "argument"),
    [
        ("maildir = '/m'", "maildir", "/m"),
        ("pipe = ['x', '{user}']", "pipe", ("x", "{user}")),
        ("forward = ['ann@b.test']", "forward", ("ann@b.test",)),
        ("refuse = '550 5.7.1 not here'", "refuse", Reply(550, "5.7.1", "not here")),
        ("discard = true", "discard", None),
        ("hold = 'why'", "hold", "why"),
        ("aliases = ['/etc/aliases']", "aliases", None),
        ("mx = true", "smtp", None),
    ],
)
def test_what_becomes_of_the_mail(does: str, action: str, argument: object):
    rule = router(f"[[route]]\n{does}\n").rules[0]
    assert (rule.action, rule.argument, rule.where) == (action, argument, "/etc/m.toml:1")


def test_a_list_of_hosts_is_one_next_hop():
    made = router("[[route]]\nsmtp = ['a:587', '[b.test]']\nweights = [3, 1]\n")
    assert made.route(Request(parse("x@y.test"))) == Route("smtp", "a:587*3,[b.test]*1")


def test_a_list_of_lmtp_hosts_is_one_next_hop():
    made = router("[[route]]\nlmtp = ['unix:/run/a', 'b.test', '[::1]:2424']\nweights = [3, 1, 1]\n")
    route = made.route(Request(parse("x@y.test")))
    assert route == Route("lmtp", "unix:/run/a*3,b.test*1,[::1]:2424*1")
    assert from_route(route) == made.rules[0].argument
    assert made.rule(route) is made.rules[0]


def test_a_route_with_a_name_has_connections_of_its_own():
    made = router(
        "[[route]]\nname = 'news'\nsender = ['news.test']\nmx = true\n[[route]]\nname = 'm'\nmaildir = 'm'"
    )
    assert made.route(Request(parse("x@y.test"), sender=parse("a@news.test"))) == Route(
        "smtp", "y.test", via="news"
    )
    assert made.route(Request(parse("x@y.test"))) == Route("maildir", "m")


def test_who_is_here():
    rule = router(
        "[[route]]\nmaildir = '/m'\nusers = ['ann', 'bob@b.test', 'passwd']\ndelimiter = '+'\n"
        "aliases = ['/a']\nalias_programs = true\n"
    ).rules[0]
    assert rule.users is not None
    assert [rule.users[0].get(key) for key in ("ann", "bob@b.test", "carl")] == ["", "", None]
    assert [source.name for source in rule.users[1:]] == ["passwd"]
    assert (rule.delimiter, rule.alias_programs, rule.alias_files) == ("+", True, False)
    assert len(rule.aliases) == 1


def test_listeners_have_names():
    with pytest.raises(ConfigError, match=r":5: listen.name: inner is already the listener on line 1"):
        router(f'{LOCAL}[[listen]]\nname = "inner"\naddress = ":2525"\n')
    listeners = loads(f'{LOCAL}[[listen]]\naddress = ":2525"\n').listen
    assert [one.label for one in listeners] == ["inner", ":2525"]
