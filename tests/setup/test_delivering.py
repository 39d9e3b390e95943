"""What routes say of delivery on this host, as the transports take it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mether.relay.way import Terms, Way
from mether.routing.router import Router
from mether.routing.rule import Rule
from mether.setup import config, delivering

TEXT = """
[[route]]
domains = ["a.example"]
pipe = ["cat"]
timeout = "5s"
[[route]]
domains = ["b.example"]
maildir = "/m/{user}"
[[route]]
domains = ["c.example"]
mx = true
"""


def test_the_terms_of_rules() -> None:
    made = config.loads(TEXT, environ={})
    terms = delivering.terms(made, made.router())
    assert {name: one.key for name, one in terms.items()} == {
        "a.example": Terms(5.0).key,
        "b.example": Terms(300.0).key,
    }
    assert delivering.ways(made, made.router()) == {}


def test_the_ways_of_routes_that_deliver_as_their_users() -> None:
    text = """
    [service]
    user = "nobody"
    [[route]]
    name = "homes"
    maildir = "{home}/Maildir"
    delimiter = "+"
    as_user = true
    [[route]]
    domains = ["a.example"]
    pipe = ["cat"]
    from_line = true
    delivered_to = false
    """
    made = config.loads(text, environ={})
    assert delivering.ways(made, made.router()) == {
        "homes": Way("maildir", "{home}/Maildir", delimiter="+", terms=Terms(as_user=True))
    }
    assert delivering.terms(made, made.router())["a.example"].key == (300.0, False, True, False)


def test_what_any_rule_lets_aliases_name_all_may() -> None:
    def members(**flags: bool) -> tuple[bool, bool]:
        rules = [Rule(["a.example"], "aliases"), Rule(["b.example"], "aliases", **flags)]
        found = delivering.members(Router(rules, "mx.example.net"))
        return found.programs, found.files

    assert members() == (False, False)
    assert members(alias_programs=True) == (True, False)
    assert members(alias_files=True) == (False, True)


def test_programs_find_the_configuration_and_the_queue_that_the_service_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paths that hold from any directory, and only what was said: the file names its own queue."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mether.toml").write_text('[queue]\nspool = "sqlite:mine"\n')
    named = str(tmp_path / "mether.toml")
    made = config.load("mether.toml", environ={})
    assert delivering.variables(made) == {"METHER_CONFIG": named}
    for made in (
        config.load("mether.toml", spool="sqlite:other", environ={}),
        config.load("mether.toml", environ={"METHER_SPOOL": "sqlite:other"}),
    ):
        assert delivering.variables(made) == {
            "METHER_CONFIG": named,
            "METHER_SPOOL": f"sqlite:{tmp_path}/other",
        }
    assert delivering.variables(config.load(None, environ={"HOME": str(tmp_path)})) == {}
    assert "METHER_SPOOL" not in delivering.variables(config.load("mether.toml", spool="memory:", environ={}))
