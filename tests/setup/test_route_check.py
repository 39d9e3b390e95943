"""What the keys of [[route]] say together: contradictions, open relays, and two ways to one next hop."""

from __future__ import annotations

from typing import Any

import pytest

from mether.setup import route_check
from mether.setup.config import Config, loads
from mether.setup.locate import ConfigError

ROUTE = '[[route]]\ndomains = ["a.test"]\n'
OTHER = '[[route]]\ndomains = ["b.test"]\n'
ANY = "[[route]]\nopen = true\nmx = true\n"
LISTEN = '[[listen]]\naddress = "127.0.0.1:25"\nname = "inner"\n'


def read(text: str) -> Config:
    return loads(text, "/etc/m.toml", environ={"HOME": "/h"})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            ROUTE,
            "1: route: expected one of smtp, lmtp, mx, maildir, pipe, forward, refuse, discard, hold or "
            "aliases: what becomes of the mail",
        ),
        (
            ROUTE + "mx = true\nsmtp = 'h'\n",
            "3: route.mx: contradicts smtp: a route has one of smtp, lmtp, mx",
        ),
        (ROUTE + "mx = true\ntimeout = '1m'\n", "4: route.timeout: is for pipe, and this route has mx"),
        (ROUTE + "maildir = 'm'\nas_user = true\nhelo = 'x.test'", "5: route.helo: is for smtp, lmtp and mx"),
        (
            ROUTE + "refuse = '550 no'\naliases = ['a']",
            "4: route.aliases: is for maildir, pipe, lmtp, smtp and mx",
        ),
        (
            ROUTE + "aliases = ['a']\nusers = ['ann']",
            "4: route.users: is for maildir, pipe, lmtp, smtp and mx, and this route has aliases alone",
        ),
        (ROUTE + "maildir = 'm'\nalias_files = true", "4: route.alias_files: does nothing without aliases"),
        (ROUTE + "smtp = 'h'\nusers = ['ann']", "4: route.users: needs open = true"),
        (ROUTE + "maildir = 'm'\nusers = ['callahead']", "4: route.users: callahead asks the host in"),
        (ROUTE + "smtp = 'h'\nweights = [1]", "4: route.weights: does nothing: smtp names one host"),
        (
            ROUTE + "smtp = ['h', 'i']\nweights = [1]",
            "4: route.weights: expected as many weights as hosts: 2",
        ),
        (ROUTE + "lmtp = 'unix:/x'\nsource = ['::1']", "4: route.source: does nothing"),
        (ROUTE + "lmtp = ['unix:/x', 'unix:/y']\nsource = ['::1']", "4: route.source: does nothing"),
        (ROUTE + "lmtp = ['h', 'i', 'h']", "3: route.lmtp: h is there already"),
        (ROUTE + "lmtp = 'h'\nweights = [1]", "4: route.weights: does nothing: lmtp names one host"),
        (
            ROUTE + "mx = true\nlogin = { user = 'a', password_env = 'B' }",
            "4: route.login: is for smtp and lmtp",
        ),
        (
            ROUTE + "smtp = 'h'\nlogin = { user = 'a', pasword_env = 'B' }",
            "4: route.login.pasword_env: unknown key (did you mean password_env?)",
        ),
        (ROUTE + "smtp = 'h'\nlogin = { user = 'a' }", "4: route.login: expected one of password_file"),
        (
            ROUTE + "mx = true\nlistener = ['iner']\n" + LISTEN,
            "4: route.listener: no [[listen]] has the name or the address iner (did you mean inner?)",
        ),
        (
            '[[route]]\ndomains = ["table:hear"]\nmaildir = "m"\n[[table]]\nname = "here"\nfile = "f"\n',
            "2: route.domains: no [[table]] has the name hear (did you mean table:here?)",
        ),
        (ROUTE + "smpt = 'h'", "3: route.smpt: unknown key (did you mean smtp?)"),
    ],
)
def test_what_contradicts_itself_is_told_with_its_line(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith(f"/etc/m.toml:{line}")


@pytest.mark.parametrize(
    "narrow",
    [
        "",
        'sender = ["ann@example.org"]',
        'domains = ["*"]',
        'domains = ["a.test", "?*"]',
        'recipient = ["postmaster@*"]',
        "authenticated = false",
        'client = ["0.0.0.0/0"]',
        'client = ["192.0.2.1", "::/0"]',
        'listener = ["inner"]',
    ],
)
def test_an_open_relay_is_an_error(narrow: str) -> None:
    """SEC-1: no rule opens everything to everybody; a sender is the client's to choose."""
    with pytest.raises(ConfigError, match=r"m.toml:\d+: route.open: this would be an open relay"):
        read(f"{ANY}{narrow}\n{LISTEN}")


@pytest.mark.parametrize(
    "narrow",
    [
        'domains = [".a.test"]',
        'domains = ["file:backup"]',
        'recipient = ["*@a.test"]',
        "authenticated = true",
        'authenticated = ["ann"]',
        'client = ["192.0.2.0/24", "local"]',
        'client = ["local"]',
    ],
)
def test_what_is_narrowed_may_be_open(narrow: str) -> None:
    assert read(ANY + narrow).route[0].open


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            f"{ROUTE}smtp = 'h.test:25'\ntls = 'may'\n{OTHER}smtp = 'h.test:25'",
            "7: route.smtp: the route on line 3 goes to the same next hop with other TLS",
        ),
        (
            f"{ROUTE}smtp = ['a', 'b']\nhelo = 'x.test'\n{OTHER}smtp = ['a', 'b']",
            "7: route.smtp: the route on line 3 goes to the same next hop with other helo",
        ),
        (
            f"{ROUTE}maildir = 'm'\n{ROUTE}sender = ['x.test']\nmaildir = 'n'",
            "7: route.maildir: the route on line 3 delivers in another way, and is known as a.test too",
        ),
        (
            "[[route]]\ndomains = ['*.a.test']\nmaildir = 'm'\n"
            "[[route]]\ndomains = ['.a.test']\npipe = ['x']\n"
            "[[route]]\ndomains = ['.a.test']\nsender = ['b.test']\nmaildir = 'n'",
            "10: route.maildir: the route on line 3 delivers in another way, and is known as .a.test too",
        ),
        (
            f"{ROUTE}name = 'x'\nmx = true\n{OTHER}name = 'x'\nmx = true",
            "8: route.mx: the route on line 4 has the same name",
        ),
        (
            f"{ROUTE}sender = ['x.test']\nmx = true\nhelo = 'x.test'",
            "5: route.helo: expected a name = ... in a route that asks for more than domains",
        ),
        (
            f"{ROUTE}sender = ['x.test']\nmx = true\n{ROUTE}mx = true\nhelo = 'x.test'",
            "7: route.mx: the route on line 4 sends some of the same domains by MX without helo",
        ),
    ],
)
def test_what_the_queue_could_not_tell_apart_needs_a_name(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert str(caught.value).startswith(f"/etc/m.toml:{line}")


def test_with_names_they_are_apart() -> None:
    read(f"{ROUTE}smtp = 'h.test:25'\nhelo = 'x.test'\n{OTHER}name = 'other'\nsmtp = 'h.test:25'").router()
    read(f"{ROUTE}name = 'x'\nsender = ['x.test']\nmx = true\nhelo = 'x.test'\n{ROUTE}mx = true").router()
    read(f"{ROUTE}maildir = 'm'\n{ROUTE}name = 'n'\nsender = ['x.test']\nmaildir = 'n'").router()


def test_what_is_relative_is_beside_the_file() -> None:
    route = read(
        "[[route]]\ndomains = ['file:here']\nsender = ['file:/s', 'x.test']\nmaildir = 'm'\n"
        "users = ['file:people', 'ann']\naliases = ['aliases']\n"
    ).route[0]
    assert route.domains == ("file:/etc/here",)
    assert route.sender == ("file:/s", "x.test")
    assert route.users == ("file:/etc/people", "ann")
    assert (route.maildir, route.aliases) == ("/etc/m", ("/etc/aliases",))
    login = read("[[route]]\nsmtp = 'h'\nlogin = { user = 'a', password_file = 'p' }").route[0].login
    assert login is not None and login.password_file == "/etc/p"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            ROUTE + 'maildir = "/m/{user}"\nas_user = true\n',
            "4: route.as_user: expected a user = ... in [service]",
        ),
        (
            '[service]\nuser = "x"\n[[route]]\npipe = ["x", "{recipients}"]\nas_user = true\n',
            "4: route.pipe: each user has a run of its own with as_user: write {recipient}",
        ),
        (
            ROUTE + 'maildir = "{home}/Maildir"\n',
            "3: route.maildir: {home} is known only where mail is delivered",
        ),
        ('[service]\ngroup = "x"\n', "2: service.group: expected a user = ... beside it"),
        (ROUTE + 'maildir = "/m"\nfrom_line = true\n', "4: route.from_line: is for pipe, and this route has"),
    ],
)
def test_delivery_as_users(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(text)
    assert str(error.value).startswith(f"/etc/m.toml:{line}")


def test_a_home_stays_what_it_is() -> None:
    """It is no path relative to the file's directory."""
    text = '[service]\nuser = "x"\n[[route]]\nmaildir = "{home}/Maildir"\nas_user = true\n'
    assert read(text).route[0].maildir == "{home}/Maildir"


def test_many_routes_are_not_each_held_against_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with a thousand domains starts at once."""
    asked = 0
    real = route_check._confused

    def counted(*routes: Any) -> str:
        nonlocal asked
        asked += 1
        return real(*routes)

    monkeypatch.setattr(route_check, "_confused", counted)
    some = "".join(
        f'[[route]]\ndomains = ["d{number}.example"]\n{action}\n'
        for number in range(300)
        for action in ('maildir = "/mail/{user}"', 'smtp = "inner.example"', "mx = true")
    )
    loads(f'[service]\nhostname = "mx.example.com"\n{some}')
    assert asked <= 900
