"""Mail of this host should not be from a name that only this host knows."""

import pytest

from mether.setup import origin_check, sending
from mether.setup.config import loads

SMART = '[[route]]\nsmtp = "smtp.example.net:587"\n'


def said(text: str) -> list[str]:
    return list(origin_check.complaints(loads(text, "/m.toml", environ={"HOME": "/h"})))


@pytest.mark.parametrize("name", ["vm", "laptop.local", "VM.Localdomain", "box.home.arpa"])
def test_a_null_client_with_such_a_name_is_warned(name: str) -> None:
    (line,) = said(f'[service]\nhostname = "{name}"\n{SMART}')
    assert line.startswith(
        f"/m.toml:2: service.origin: mail of this host is from ...@{name.lower()}, which means"
    )


def test_the_three_lines_alone_are_named_by_their_route(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the name is the host's own."""
    monkeypatch.setattr("mether.setup.locate.mailname", lambda: "vm")
    (line,) = said(SMART)
    assert line.startswith("/m.toml:1: service.origin: mail of this host is from ...@vm, ")


@pytest.mark.parametrize(
    "text",
    [
        f'[service]\nhostname = "mx.example.org"\n{SMART}',
        f'[service]\nhostname = "vm"\norigin = "example.org"\n{SMART}',
        f'[service]\nhostname = "vm"\n{SMART}rewrite = {{ "@vm" = "ann@example.net" }}\n',
        f'[service]\nhostname = "vm.example.org"\n{SMART}masquerade = ["example.org"]\n',
        '[service]\nhostname = "vm"\n',
        '[service]\nhostname = "vm"\n[[route]]\ndomains = ["vm"]\nmaildir = "mail/{user}"\n',
    ],
)
def test_others_are_not(text: str) -> None:
    assert said(text) == []


def test_the_check_of_the_configuration_says_it() -> None:
    config = loads(f'[service]\nhostname = "vm"\n{SMART}', "/m.toml", environ={"HOME": "/h"})
    assert any("@vm, which means nothing outside" in line for line in sending.complaints(config))
