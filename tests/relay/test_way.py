"""Ways of delivery on this host: what rules and members of aliases ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mether.address import parse
from mether.envelope import Recipient
from mether.outcome import Route
from mether.queue.content import in_memory
from mether.relay import way
from mether.relay.letter import Letter
from mether.relay.way import Terms, Way

BOB = Recipient(parse("bob+x@example.com"), orcpt="rfc822;b@example.org")


def deliver(one: Way) -> list[str]:
    letter = Letter(None, b"", in_memory(b"Return-Path: <x@y>\r\nSubject: x\r\n\r\nbody\r\n"))
    replies = way.deliver(one, [BOB], letter, now=0.0, hostname="mx.example.net", tell=print)
    return [reply.status or "" for reply in replies]


def every(tmp_path: Path) -> dict[str, Way]:
    cat = ("/bin/sh", "-c", f"cat > {tmp_path}/piped")
    return {
        "piped": Way("pipe", cat),
        "file": Way("file", f"{tmp_path}/file", literal=True),
        "dir": Way("maildir", f"{tmp_path}/dir/", literal=True),
        "{user}": Way("maildir", f"{tmp_path}/{{user}}", delimiter="+"),
    }


@pytest.mark.parametrize("name", ["piped", "file", "dir", "{user}"])
def test_each_transport_adds_the_same_fields(tmp_path: Path, name: str) -> None:
    """TRC-6, TRC-8: exactly one Return-Path; Delivered-To and Original-Recipient."""
    assert deliver(every(tmp_path)[name]) == ["2.0.0"]
    at = tmp_path / name.replace("{user}", "bob")
    if at.is_dir():
        [at] = (at / "new").iterdir()
    head = at.read_text().partition("\n\n")[0].splitlines()
    assert [line for line in head if not line.startswith("From ")] == [
        "Return-Path: <>",
        "Delivered-To: bob+x@example.com",
        "Original-Recipient: rfc822;b@example.org",
        "Subject: x",
    ]


def test_members_of_aliases() -> None:
    assert way.of_member(Route("pipe", "|/bin/x 'a b'")) == Way("pipe", ("/bin/x", "a b"), literal=True)
    assert way.of_member(Route("file", "/var/a b")) == Way("file", "/var/a b", literal=True)
    assert way.of_member(Route("file", "/var/{user}/")) == Way("maildir", "/var/{user}/", literal=True)
    for route in (Route("pipe", "|a|b"), Route("file", "a"), Route("file", "/a\0")):
        assert way.is_member(route)
        with pytest.raises(ValueError, match=r"."):
            way.of_member(route)
    assert not way.is_member(Route("pipe", "a rule"))
    assert not way.is_member(Route("maildir", "a rule"))


def test_braces_mean_nothing_in_an_alias(tmp_path: Path) -> None:
    assert deliver(Way("maildir", f"{tmp_path}/{{user}}/", literal=True)) == ["2.0.0"]
    assert (tmp_path / "{user}" / "new").is_dir()


def test_the_ways_of_rules() -> None:
    terms = {"a": Terms(5.0, as_user=True)}
    assert way.of_rule("maildir", "/m", "+", terms, "a") == Way(
        "maildir", "/m", delimiter="+", terms=Terms(5.0, as_user=True)
    )
    assert way.of_rule("pipe", ("x",), "", terms, "b") == Way("pipe", ("x",))
    assert way.of_rule("smtp", None, "", terms, "a") is None
    assert Way("pipe", ("x",)) != Way("pipe", ("x",), terms=Terms(from_line=True))
