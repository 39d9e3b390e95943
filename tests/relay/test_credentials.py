"""Which login a message goes by, and where its secret comes from."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import loops
import pytest
from loops import both

from mether.relay import credentials
from mether.relay.credentials import CredentialsError, Login, Logins
from mether.routing import target

SECRET = "pa ss\twörd"


def get(logins: Logins, login: Login) -> Any:
    return asyncio.run(logins.credentials(login))


def file(tmp_path: Path, text: str = SECRET + "\n", mode: int = 0o600) -> Path:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("where", "sender", "expected"),
    [
        ("[smart.example.net]", "ann@example.com", "first"),
        ("smart.example.net:587", "ANN@Example.com", "first"),
        ("smart.example.net:587", "", "port"),
        ("smart.example.net:587", "bob@example.org", "port"),
        ("192.0.2.1", "bob@example.org", "address"),
        ("other.example.net:25", "bob@example.org", "wild"),
        ("example.org", "bob@example.org", None),
    ],
)
def test_the_first_that_fits_is_taken(where: str, sender: str, expected: str | None):
    """By next hop and by sender."""
    logins = Logins(
        [
            Login("first", next_hop="smart.example.net", sender="*@example.com"),
            Login("port", next_hop="smart.example.net:587"),
            Login("address", next_hop="192.0.2.?"),
            Login("wild", next_hop="*.EXAMPLE.net"),
        ]
    )
    found = logins.choose(target.parse(where), sender)
    assert (found.user if found else None) == expected


def test_a_bracket_in_a_pattern_is_a_bracket():
    """Not a set of characters: an address literal is one sender."""
    logins = Logins([Login("ann", next_hop="[h.test]:587", sender="ann@[192.0.2.1]")])
    assert logins.choose(target.parse("h.test:587"), "ann@[192.0.2.1]") is not None
    assert logins.choose(target.parse("h.test:587"), "ann@1") is None


def test_a_file_is_read_again_when_it_changes(tmp_path: Path):
    path = file(tmp_path)
    login = Login("ann", "file", str(path))
    logins = Logins([login])
    found = get(logins, login)
    assert (found.user, found.password, found.token) == ("ann", SECRET, None)
    path.write_text("new")
    assert get(logins, login).password == "new"
    path.chmod(0o640)
    path.write_text("newer")
    with pytest.raises(CredentialsError, match=r"others may read it \(mode 0640\); expected mode 0600"):
        get(logins, login)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty; expected a secret"),
        ("\n", "empty"),
        ("x" * 20_000, "longer than 16 KiB"),
        ("a\0b", "NUL"),
    ],
)
def test_a_file_that_holds_no_secret(text: str, words: str, tmp_path: Path):
    login = Login("ann", "file", str(file(tmp_path, text)))
    with pytest.raises(CredentialsError, match=words) as caught:
        get(Logins([login]), login)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_utf8(tmp_path: Path):
    path = file(tmp_path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CredentialsError, match="not UTF-8"):
        credentials.read_file(str(path))


def test_a_file_that_is_not_there(tmp_path: Path):
    login = Login("ann", "file", str(tmp_path / "none"))
    with pytest.raises(CredentialsError, match="none: No such file"):
        get(Logins([login]), login)
    with pytest.raises(CredentialsError, match="none: No such file"):
        credentials.read_file(str(tmp_path / "none"))
    with pytest.raises(CredentialsError, match="directory"):
        credentials.read_file(str(tmp_path), private=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else(tmp_path: Path):
    path = file(tmp_path)
    os.chown(path, 12345, 12345)
    with pytest.raises(CredentialsError, match="belongs to neither us nor root"):
        credentials.read_file(str(path))


def test_from_the_environment_and_from_systemd(tmp_path: Path):
    """A credential's mode is systemd's affair: its access list shows as group access."""
    file(tmp_path, "from systemd", mode=0o440)
    environ = {"TOKEN": "abc", "CREDENTIALS_DIRECTORY": str(tmp_path)}
    logins = Logins([], environ=environ)
    found = get(logins, Login("ann", "env", "TOKEN", token=True))
    assert (found.password, found.token) == (None, "abc")
    assert get(logins, Login("ann", "credential", "secret")).password == "from systemd"
    for login, words in [
        (Login("ann", "env", "OTHER"), "OTHER is not set"),
        (Login("ann", "credential", "other"), "other: No such file"),
    ]:
        with pytest.raises(CredentialsError, match=words):
            get(logins, login)
    with pytest.raises(CredentialsError, match="systemd gave none"):
        get(Logins([], environ={}), Login("ann", "credential", "secret"))


def test_a_login_without_a_secret():
    """EXTERNAL has its certificate."""
    found = get(Logins([]), Login("", mechanisms=["EXTERNAL"]))
    assert (found.password, found.token) == (None, None)
    with pytest.raises(CredentialsError, match="empty user"):
        get(Logins([]), Login(""))


@both
def test_a_program_is_asked_once_a_minute(loop_name: str, tmp_path: Path):
    """And again at once when the server refused what it said."""
    count = tmp_path / "count"
    script = f"open({str(count)!r}, 'a').write('x'); print('secret', len(open({str(count)!r}).read()))"
    login = Login("ann", "command", (sys.executable, "-c", script))
    now = [0.0]
    logins = Logins([login], clock=lambda: now[0])

    async def main() -> list[str]:
        got = []
        for seconds in (0, 59, 2):
            now[0] += seconds
            got.append((await logins.credentials(login)).password)
        logins.refused(login)
        got.append((await logins.credentials(login)).password)
        return got

    assert loops.run(loop_name, main()) == ["secret 1", "secret 1", "secret 2", "secret 3"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("/nonexistent/program",), "program: No such file"),
        ((sys.executable, "-c", "raise SystemExit(3)"), "ended with status 3"),
        ((sys.executable, "-c", "print('x' * 100000, flush=True); input()"), "longer than 16 KiB"),
        ((sys.executable, "-c", ""), "empty"),
        ((sys.executable, "-c", "import time; time.sleep(100)"), "took longer than 0 seconds"),
    ],
)
def test_a_program_that_fails(argv: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch):
    """One line, and what it printed is not in it."""
    if "sleep" in argv[-1]:
        monkeypatch.setattr(credentials, "COMMAND_SECONDS", 0.1)
    login = Login("ann", "command", argv)
    with pytest.raises(CredentialsError, match=words) as caught:
        loops.run("uvloop", Logins([login]).credentials(login))
    assert "\n" not in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_the_secret_is_in_no_representation(tmp_path: Path):
    login = Login("ann", "file", str(file(tmp_path)))
    assert SECRET not in repr(login) + repr(get(Logins([login]), login))
