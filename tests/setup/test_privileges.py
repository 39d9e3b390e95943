"""Giving root up: who the service becomes, whether the spool is theirs, and that there is no way back."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path

import pytest

from mether.relay.letter import Person
from mether.setup import config, privileges
from mether.setup.locate import ConfigError

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")
NOBODY = pwd.getpwnam("nobody")


def load(text: str, spool: str = "sqlite:/nonexistent/spool") -> config.Config:
    return config.loads(f'[queue]\nspool = "{spool}"\n[service]\n{text}\n', "/etc/m.toml", environ={})


def person() -> Person:
    return Person("nobody", NOBODY.pw_uid, NOBODY.pw_gid, "/", "/bin/sh")


def test_without_a_user_it_stays_who_it_is() -> None:
    assert privileges.wanted(load("")) is None
    assert privileges.leave(load("")) is None


def test_who_it_already_is_needs_no_root() -> None:
    if os.geteuid() == 0:
        pytest.skip("root is nobody to become")
    assert privileges.wanted(load(f'user = "{pwd.getpwuid(os.geteuid()).pw_name}"')) is None


@ROOT
def test_who_it_becomes() -> None:
    found = privileges.wanted(load('user = "nobody"'))
    assert found is not None
    assert (found.uid, found.gid) == (NOBODY.pw_uid, NOBODY.pw_gid)
    found = privileges.wanted(load('user = "nobody"\ngroup = "daemon"'))
    assert found is not None
    assert found.gid == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('user = "nosuchuser"', "/etc/m.toml:4: service.user: there is no user 'nosuchuser' on this host"),
        ('user = "root"', "/etc/m.toml:4: service.user: root is root; expected a user without privileges"),
        (
            'user = "nobody"\ngroup = "nosuchgroup"',
            "/etc/m.toml:5: service.group: there is no group 'nosuchgroup' on this host",
        ),
    ],
)
def test_who_it_cannot_become(text: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        privileges.leave(load(text))
    assert str(error.value) == line


def test_only_root_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    with pytest.raises(ConfigError, match="only root can become nobody, and this is user 4242"):
        privileges.wanted(load('user = "nobody"'))


@ROOT
def test_a_spool_that_is_missing_is_made_for_the_user(tmp_path: Path) -> None:
    privileges.ready(load("", f"sqlite:{tmp_path}/a/spool"), person())
    found = (tmp_path / "a" / "spool").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (NOBODY.pw_uid, NOBODY.pw_gid, 0o700)
    privileges.ready(load("", f"sqlite:{tmp_path}/a/spool"), person())
    privileges.ready(load("", "memory:"), person())


@ROOT
def test_a_spool_of_somebody_else_is_told_of(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    with pytest.raises(ConfigError) as error:
        privileges.ready(load("", f"sqlite:{spool}"), person())
    assert str(error.value) == (
        f"/etc/m.toml:2: queue.spool: {spool} belongs to root, and the service runs as nobody: "
        f"chown -R nobody {spool}"
    )
    os.chown(spool, NOBODY.pw_uid, NOBODY.pw_gid)
    (spool / "queue.db").touch()
    with pytest.raises(ConfigError, match=r"queue\.db belongs to root"):
        privileges.ready(load("", f"sqlite:{spool}"), person())


@ROOT
def test_there_is_no_way_back() -> None:
    """In a child: the user's ids and groups in all their kinds, and the kernel's word that it stays so."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            privileges.become(person())
            privileges.no_new()
            ids = {*os.getresuid(), *os.getresgid()}
            try:
                os.setuid(0)
            except OSError:
                ids.add(-1)
            none = "NoNewPrivs:\t1" in Path("/proc/self/status").read_text()
            os.write(writing, f"{sorted(ids)} {os.getgroups()} {none}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    said = os.read(reading, 1000).decode()
    os.close(reading)
    os.waitpid(pid, 0)
    expected = sorted({-1, NOBODY.pw_uid, NOBODY.pw_gid})
    assert said == f"{expected} {os.getgrouplist('nobody', NOBODY.pw_gid)} True"


def test_what_is_open() -> None:
    with socket.socket() as sock:
        assert privileges.descriptors() > sock.fileno()
