"""``[srs]``, and how a route's mail has its addresses written anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mether.address import parse
from mether.envelope import Envelope, Recipient
from mether.outcome import Route
from mether.queue.content import in_memory
from mether.routing.source import TableError
from mether.setup import rewriting
from mether.setup.config import Config, loads
from mether.setup.locate import ConfigError

HOST = '[service]\nhostname = "host.example.org"\n'
SRS = '[srs]\ndomain = "Fwd.example.org"\nsecret_file = "secret"\n'


def configured(text: str, tmp_path: Path) -> Config:
    return loads(HOST + text, str(tmp_path / "m.toml"), environ={"HOME": "/nowhere"})


def as_sent(config: Config, sender: str, to: str = "eve@e.example") -> tuple[str, str, str]:
    """The reverse-path, the forward-path and the From that a next hop sees."""
    router = config.router()
    route = router.rules[-1].route("")
    assert route is not None
    how = rewriting.rewritings(config, router)(route)
    assert how is not None
    recipient = Recipient(parse(to))
    envelope = Envelope(parse(sender), [recipient])
    content = in_memory(f"From: <{sender}>\r\n\r\n".encode())
    made = asyncio.run(how.changed(envelope, [recipient], content))
    if made is None:
        return sender, to, sender
    assert made.content.data is not None
    author = made.content.data.decode().partition("<")[2].partition(">")[0]
    return str(made.envelope.reverse_path), str(made.recipient(recipient).forward_path), author


def test_masquerading(tmp_path: Path) -> None:
    config = configured(
        '[[route]]\nsmtp = "[smtp.example.net]:587"\nmasquerade = ["!a.example.org", "example.org"]\n'
        'masquerade_exceptions = ["root"]\n',
        tmp_path,
    )
    assert as_sent(config, "ann@host.example.org") == ("ann@example.org", "eve@e.example", "ann@example.org")
    for stays in ("root@host.example.org", "ann@x.a.example.org"):
        assert as_sent(config, stays) == (stays, "eve@e.example", stays)


@pytest.mark.parametrize(
    "rewrite",
    ['{ "@Host.example.org" = "ann@example.net", root = "admin@example.net" }', '"table:out"', '"file:map"'],
)
def test_a_map_in_the_file_beside_it_or_in_a_table(tmp_path: Path, rewrite: str) -> None:
    (tmp_path / "map").write_text("@host.example.org ann@example.net\nroot admin@example.net\n")
    config = configured(
        '[[table]]\nname = "out"\nfile = "map"\n[[route]]\nsmtp = "smtp.example.net:587"\n'
        f"rewrite = {rewrite}\n",
        tmp_path,
    )
    assert as_sent(config, "joe@host.example.org", "root@host.example.org") == (
        "ann@example.net",
        "admin@example.net",
        "ann@example.net",
    )


def test_mail_of_others_is_forwarded_by_srs_and_reports_come_back(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("tops3cr3t\n")
    (tmp_path / "secret").chmod(0o600)
    config = configured(
        SRS + '[[route]]\ndomains = ["ours.example"]\nmaildir = "{user}"\n'
        '[[route]]\nsmtp = "[smtp.example.net]:587"\nsrs = true\n',
        tmp_path,
    )
    assert not list(rewriting.troubles(config))
    reverse_path, _, author = as_sent(config, "ann@example.net")
    assert reverse_path.startswith("SRS0=") and reverse_path.endswith("=example.net=ann@Fwd.example.org")
    assert author == "ann@example.net"
    assert as_sent(config, "joe@ours.example")[0] == "joe@ours.example"
    router = config.router()
    assert router.srs is not None
    assert router.srs.reverse(parse(reverse_path)) == parse("ann@example.net")


def test_secrets_that_cannot_be_read_are_told_before_mail_waits_for_them(tmp_path: Path) -> None:
    config = configured(SRS + '[[route]]\nsmtp = "[smtp.example.net]:587"\nsrs = true\n', tmp_path)
    place = tmp_path / "secret"
    assert list(rewriting.troubles(config)) == [
        f"{tmp_path / 'm.toml'}:5: srs.secret_file: {place}: No such file or directory"
    ]
    with pytest.raises(TableError, match="No such file"):
        as_sent(config, "ann@example.net")


def test_a_route_that_rewrites_nothing(tmp_path: Path) -> None:
    config = configured(
        '[[route]]\ndomains = ["a.example"]\nsmtp = "[a.example]"\n'
        '[[route]]\nname = "other"\nsmtp = "[b.example]"\nmasquerade = ["example.org"]\n',
        tmp_path,
    )
    found = rewriting.rewritings(config, config.router())
    assert found(Route("smtp", "[a.example]:25")) is None
    assert found(Route("smtp", "[b.example]:25", via="other")) is not None


def test_a_route_with_verp(tmp_path: Path) -> None:
    config = configured('[[route]]\nname = "told"\nsmtp = "[a.example]"\nverp = ["example.org"]\n', tmp_path)
    found = rewriting.rewritings(config, config.router())
    assert found(Route("smtp", "[a.example]:25", via="told")) is not None


ROUTE = '[[route]]\nsmtp = "a.example"\n'


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        (ROUTE + "srs = true\n", 5, "route.srs: needs an [srs] that names a domain and a secret_file"),
        (
            ROUTE + 'masquerade_exceptions = ["root"]\n',
            5,
            "masquerade_exceptions: does nothing without masquerade",
        ),
        (ROUTE + 'verp = ["!example.org"]\n', 5, "expected a domain such as example.org"),
        ('[[route]]\nmaildir = "m/{user}"\nverp = ["a.example"]\n', 5, "is for smtp and mx"),
        (ROUTE + 'masquerade = ["exa mple"]\n', 5, "expected a domain"),
        (ROUTE + 'rewrite = "map"\n', 5, 'expected "table:NAME", "file:PATH" or { "@host.example" = '),
        (ROUTE + "rewrite = 3\n", 5, 'expected "table:NAME", "file:PATH" or { "@host.example" = '),
        (ROUTE + "rewrite = {}\n", 5, "expected an address for another"),
        (ROUTE + "rewrite = { ann = 3 }\n", 5, "rewrite.ann: expected an address, @domain or local-part"),
        (ROUTE + 'rewrite = { ann = "@" }\n', 5, "rewrite.ann: expected an address, @domain"),
        (ROUTE + 'rewrite = { ann = "" }\n', 5, "rewrite.ann: expected an address, @domain or local-part"),
        (
            ROUTE + 'rewrite = { "@h.example" = "nobody at x" }\n',
            5,
            "expected an address, @domain or local-part, and 'nobody at x' is none",
        ),
        (ROUTE + 'rewrite = { "@x y" = "a@b.example" }\n', 5, "expected a domain"),
        ('[[route]]\nmaildir = "m/{user}"\nmasquerade = ["a.example"]\n', 5, "is for smtp, lmtp and mx"),
        ('[srs]\ndomain = "a.example"\n', 3, "srs.secret_file: missing; expected a file"),
        ('[srs]\nsecret_file = "a"\n', 3, "srs.domain: missing; expected a domain of ours"),
        (SRS + 'max_age = "1001d"\n', 6, "srs.max_age: expected 1000 days at most"),
        (SRS + "hash_length = 3\n", 6, "srs.hash_length: "),
        ('[srs]\ndomain = "[192.0.2.1]"\nsecret_file = "a"\n', 4, "srs.domain: expected a host name"),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, line: int, what: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(text, tmp_path)
    assert f":{line}: " in str(caught.value) and what in str(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ('[service]\nhostname = "h.example"\norigin = "o.example"\n', "o.example"),
        ('[service]\nhostname = "h.example"\n', "h.example"),
        ("", "mail.example"),
    ],
)
def test_the_domain_of_names_without_one(monkeypatch: pytest.MonkeyPatch, text: str, origin: str) -> None:
    """What Debian keeps in /etc/mailname, unless the file says who we are."""
    monkeypatch.setattr("mether.setup.locate.mailname", lambda: "mail.example")
    assert loads(text, environ={"HOME": "/nowhere"}).service.origin == origin
