"""``[suppress]``: its keys, for which next hops the list is, and a process that remembers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from denied import forbidden
from mail import address, claim

from mether.content import suppression
from mether.outcome import Outcome, Route
from mether.queue.store import StoreError
from mether.queue.suppressed import FILE, Suppressions
from mether.queue.suppressed_row import Suppressed
from mether.reply import Reply
from mether.setup import config as config_
from mether.setup import suppress
from mether.setup.config import Config
from mether.setup.locate import ConfigError

BOB = address("bob@example.net")
FAR = Route("smtp", "example.net")


def loaded(text: str = "", spool: str = "memory:") -> Config:
    return config_.loads(
        f'[service]\nhostname = "mx.example.com"\n[queue]\nspool = "{spool}"\n{text}', environ={}
    )


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("", ()),
        ("remember = false", ()),
        ("remember = true", ("no such user",)),
        ('remember = ["mailbox full", "other", "other"]', ("mailbox full", "other")),
    ],
)
def test_what_is_remembered(text: str, kinds: tuple[str, ...]) -> None:
    assert loaded(f"[suppress]\n{text}\n").suppress.kinds == kinds


def test_for_how_long() -> None:
    assert loaded().suppress.seconds == 91 * 86400.0
    assert loaded('[suppress]\nkeep = "1d"\n').suppress.seconds == 86400.0
    assert loaded('[suppress]\nkeep = "forever"\n').suppress.seconds is None


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            'remember = ["reputation"]',
            'suppress.remember: "reputation" tells of us, of the message or of the day, and is not '
            "remembered of an address: expected true, false, or a list of no such user, mailbox full, "
            "policy, other",
        ),
        ('remember = ["no such users"]', 'did you mean "no such user"?'),
        ("remember = []", "is an empty list"),
        ('remember = "no such user"', "expected true, false, or a list of no such user, mailbox full"),
        ('keep = "always"', "suppress.keep: expected a duration such as"),
        ("keep = 5", 'or "forever"'),
        ("after = 0", "expected a whole number from 1 to 1000"),
        ("refuse = 1", "expected true or false"),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(f"[suppress]\n{text}\n")
    assert str(caught.value).startswith("mether.toml:6: ") and what in str(caught.value)


def test_the_key_of_a_route_is_for_what_goes_by_smtp() -> None:
    with pytest.raises(ConfigError, match=r"route\.suppress: is for smtp and mx, and this route has maildir"):
        loaded('[[route]]\nmaildir = "m/{user}"\nsuppress = false\n')


ROUTES = """
[[route]]
domains = ["inner.example"]
smtp = "[192.0.2.1]"
open = true
[[route]]
domains = ["asked.example"]
smtp = "[192.0.2.2]"
open = true
suppress = true
[[route]]
domains = ["spared.example"]
mx = true
suppress = false
[[route]]
domains = ["here.example"]
lmtp = "unix:/run/lmtp"
[[route]]
domains = ["*"]
smtp = "[192.0.2.3]"
"""


@pytest.mark.parametrize(
    ("to", "concerned"),
    [
        ("inner.example", False),
        ("asked.example", True),
        ("spared.example", False),
        ("here.example", False),
        ("other.example", True),
    ],
)
def test_for_which_next_hops_the_list_is(to: str, concerned: bool) -> None:
    from mether.routing.request import Request

    config = loaded(ROUTES)
    router = config.router()
    route = router.decide(Request(address(f"bob@{to}"))).route
    assert route is not None
    assert suppress.applies(config, router)(route) is concerned


def test_what_goes_by_mx_without_a_rule_is_concerned() -> None:
    config = loaded()
    assert suppress.applies(config, config.router())(FAR)
    assert not suppress.applies(config, config.router())(Route("maildir", "here"))


def put(directory: Path) -> None:
    Suppressions(str(directory), create=True).put([Suppressed(BOB, source="person", since=1e9)])


def test_who_is_refused(tmp_path: Path) -> None:
    config = loaded(spool=f"directory:{tmp_path}")
    put(tmp_path)
    refusal = suppress.refusing(config, config.router(), suppress.watch(config))
    assert refusal is not None
    said = refusal(BOB, FAR)
    assert said is not None and suppression.ours(said)
    assert refusal(address("ann@example.net"), FAR) is None
    assert refusal(BOB, Route("maildir", "here")) is None


def test_nobody_is_refused_where_that_is_not_wanted(tmp_path: Path) -> None:
    config = loaded("[suppress]\nrefuse = false\n", spool=f"sqlite:{tmp_path}")
    assert suppress.refusing(config, config.router(), suppress.watch(config)) is None
    assert suppress.refusing(loaded(), loaded().router(), None) is None


def test_what_a_person_is_shown(tmp_path: Path) -> None:
    config = loaded(spool=f"sqlite:{tmp_path}")
    assert suppress.shown(config, config.router())(BOB, FAR) == {}
    put(tmp_path)
    told = suppress.shown(config, config.router())(BOB, FAR)["suppressed"]
    assert str(told).startswith("550 5.7.1 suppressed address: ")


@pytest.mark.parametrize("kind", ["sqlite", "directory", "memory"])
def test_a_process_remembers_and_forgets(tmp_path: Path, kind: str) -> None:
    spool = "memory:" if kind == "memory" else f"{kind}:{tmp_path}"
    config = loaded("[suppress]\nremember = true\n", spool=spool)

    async def work() -> None:
        kept = suppress.Kept(config, config.router(), asyncio.get_running_loop(), None)
        one = claim("bob@example.net", route=FAR)
        refused = Outcome(0, "failed", Reply(550, "5.1.1", "No such user"), remote_mta="mx.example.net")
        assert kept.suppressing.begin(one, 0.0) is None
        kept.suppressing.ended(one, [refused], 1.8e9)
        kept.close()
        if kind == "memory":
            return
        again = suppress.Kept(config, config.router(), asyncio.get_running_loop(), None)
        outcomes = again.suppressing.begin(one, 1.8e9)
        assert outcomes is not None and suppression.ours(outcomes[0].reply)
        found = Suppressions(str(tmp_path)).find(BOB)
        assert found is not None and found.until == 1.8e9 + 91 * 86400.0
        again.adopt(loaded("[suppress]\nkeep = 'forever'\n", spool=spool), config.router(), None)
        again.close()

    asyncio.run(work())


def test_where_nothing_is_remembered_no_file_is_made(tmp_path: Path) -> None:
    config = loaded(spool=f"sqlite:{tmp_path}")

    async def work() -> None:
        kept = suppress.Kept(config, config.router(), asyncio.get_running_loop(), None)
        one = claim("bob@example.net", route=FAR)
        refused = Outcome(0, "failed", Reply(550, "5.1.1", "No such user"), remote_mta="mx.example.net")
        kept.suppressing.ended(one, [refused], 1.8e9)
        kept.expire()
        kept.close()

    asyncio.run(work())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_list_keeps_a_service_from_starting(tmp_path: Path) -> None:
    config = loaded(spool=f"sqlite:{tmp_path}")
    (tmp_path / FILE).write_bytes(b"no database " * 999)

    async def work() -> None:
        suppress.Kept(config, config.router(), asyncio.get_running_loop(), None)

    with pytest.raises(StoreError, match="is damaged"):
        asyncio.run(work())


def test_a_damaged_list_is_found_by_the_check_of_a_configuration(tmp_path: Path) -> None:
    config = loaded(spool=f"sqlite:{tmp_path}")
    assert list(suppress.troubles(config)) == []
    put(tmp_path)
    assert list(suppress.troubles(config)) == []
    with forbidden(str(tmp_path)):
        assert list(suppress.troubles(config)) == []
    (tmp_path / FILE).write_bytes(b"no database " * 999)
    (line,) = suppress.troubles(config)
    assert line.startswith(f"the suppression list {tmp_path / FILE} is damaged")
