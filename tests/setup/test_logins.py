"""[auth] becomes backends, mechanisms and the right to a sender."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mether.address import parse
from mether.auth.verifier import make
from mether.setup.config import loads
from mether.setup.locate import ConfigError
from mether.setup.logins import Logins, complaints
from mether.smtp.sasl import CheckPassword, CheckToken

LISTEN = '[[listen]]\naddress = ":0"\nauth = true\n[auth]\nclear_from = ["::1"]\n'


@pytest.fixture(autouse=True)
def passwords(tmp_path: Path) -> None:
    path = tmp_path / "passwords"
    path.write_text(f"ann:{make('scram-sha-256', 'secret', os.urandom)}\n")
    path.chmod(0o600)


def asked(tmp_path: Path, auth: str, use: Callable[[Logins], object]) -> object:
    """What `use` gives for the logins of this [auth]; a coroutine is awaited."""

    async def main() -> object:
        config = loads(LISTEN + auth, str(tmp_path / "m.toml"), environ={"HOME": "/h"})
        assert config.auth is not None
        logins = Logins(config, config.auth, asyncio.get_running_loop())
        try:
            found = use(logins)
            return await found if asyncio.iscoroutine(found) else found
        finally:
            await logins.close()

    return asyncio.run(main())


def mechanisms(logins: Logins) -> set[str]:
    return set(logins._authenticator.mechanisms(secure=True, certificate=True, binding=True))


@pytest.mark.parametrize(
    ("auth", "offered"),
    [
        ('passwords = "passwords"', {"PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"}),
        ('dovecot = "/nowhere"', {"PLAIN", "LOGIN"}),
        ('dovecot = "/nowhere"\nmechanisms = ["PLAIN", "XOAUTH2"]', {"PLAIN", "XOAUTH2"}),
        ('program = ["true"]', {"PLAIN", "LOGIN"}),
        ('checkpassword = ["true"]', {"PLAIN", "LOGIN"}),
        ('oauth = ["true"]', {"OAUTHBEARER", "XOAUTH2"}),
        ('passwords = "passwords"\nmechanisms = ["scram-sha-256"]', {"SCRAM-SHA-256"}),
        ('passwords = "passwords"\nmechanisms = ["PLAIN", "EXTERNAL"]', {"PLAIN", "EXTERNAL"}),
        ('program = ["true"]\noauth = ["true"]', {"PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"}),
    ],
)
def test_what_is_offered_is_what_can_be_checked(tmp_path: Path, auth: str, offered: set[str]) -> None:
    """AUT-1; a certificate is a login only where EXTERNAL is named."""
    assert asked(tmp_path, auth, mechanisms) == offered


@pytest.mark.parametrize(
    ("auth", "password", "verdict"),
    [
        ('passwords = "passwords"', "secret", "accepted"),
        ('passwords = "passwords"', "guess", "rejected"),
        (
            "program = [{python!r}, '-c', \"exit(open(0).read() != 'ann\\\\nsecret\\\\n')\"]",
            "secret",
            "accepted",
        ),
        (
            "program = [{python!r}, '-c', \"exit(open(0).read() != 'ann\\\\nsecret\\\\n')\"]",
            "guess",
            "rejected",
        ),
        (
            "checkpassword = [{python!r}, '-c', \"exit(open(3).read() != 'ann\\\\0secret\\\\0\\\\0')\"]",
            "secret",
            "accepted",
        ),
        ("program = ['false']\npasswords = 'passwords'", "secret", "accepted"),
        ("dovecot = '/nowhere'", "secret", "temporary"),
    ],
)
def test_each_backend_is_asked(tmp_path: Path, auth: str, password: str, verdict: str) -> None:
    """AUT-4: what cannot be told now is temporary."""

    async def ask(logins: Logins) -> str:
        return (await logins._authenticator.answer(CheckPassword("ann", password))).verdict

    assert asked(tmp_path, auth.format(python=sys.executable), ask) == verdict


def test_a_token_goes_to_its_program(tmp_path: Path) -> None:
    """AUT-9"""

    async def ask(logins: Logins) -> tuple[str, str]:
        return (
            (await logins._authenticator.answer(CheckToken("ann", "token", "XOAUTH2"))).verdict,
            (await logins._authenticator.answer(CheckToken("ann", "other", "XOAUTH2"))).verdict,
        )

    auth = f"oauth = [{sys.executable!r}, '-c', \"exit('token' not in open(0).read())\"]"
    assert asked(tmp_path, auth, ask) == ("accepted", "rejected")


def test_the_password_files_senders_go_before_the_table(tmp_path: Path) -> None:
    """SUB-4"""
    path = tmp_path / "passwords"
    verifier = make("scram-sha-256", "secret", os.urandom)
    path.write_text(f"ann:{verifier}:ann@x.test\nbob:{verifier}\n")
    (tmp_path / "senders").write_text("ann  other@x.test\nbob  bob@x.test\n")

    def use(logins: Logins) -> list[bool]:
        return [
            logins.may_use(login, parse(sender))
            for login, sender in (
                ("ann", "ann@x.test"),
                ("ann", "other@x.test"),
                ("bob", "bob@x.test"),
                ("bob", "ann@x.test"),
                ("eve", "eve@x.test"),
            )
        ]

    auth = 'passwords = "passwords"\nsenders = "senders"'
    assert asked(tmp_path, auth, use) == [True, False, True, False, True]


@pytest.mark.parametrize(
    ("auth", "line"),
    [
        ('passwords = "nowhere"', "m.toml:6: auth.passwords: "),
        ('program = ["true"]\nsenders = "nowhere"', "m.toml:7: auth.senders: "),
    ],
)
def test_a_file_that_cannot_be_read_names_its_line(tmp_path: Path, auth: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        asked(tmp_path, auth, mechanisms)
    assert str(caught.value).startswith(f"{tmp_path}/{line}")


def test_scram_that_is_named_and_not_offered_is_told(tmp_path: Path) -> None:
    """A client that was promised SCRAM finds none while one login has no keys."""
    auth = 'passwords = "passwords"\nmechanisms = ["PLAIN", "SCRAM-SHA-256"]'

    def told(auth: str) -> list[str]:
        return list(complaints(loads(LISTEN + auth, str(tmp_path / "m.toml"), environ={"HOME": "/h"})))

    assert told(auth) == []
    path = tmp_path / "passwords"
    path.write_text(
        path.read_text() + "bob:{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$" + "A" * 43 + "\n"
    )
    (line,) = told(auth)
    assert line.startswith(f"{tmp_path}/m.toml:7: auth.mechanisms: SCRAM-SHA-256 is not offered, as of ")
    assert "1 of 2 logins have no keys" in line
    assert told('passwords = "passwords"') == []
    assert told('program = ["true"]') == []
    path.write_text("")
    assert "it has no login" in told(auth)[0]
    path.unlink()
    with pytest.raises(ConfigError, match=r"m\.toml:6: auth\.passwords: "):
        told(auth)
