"""The queue run behind the back of whoever queued a message."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from peer import Peer

from mether.programs import behind

BIN = Path(sys.executable).parent
MESSAGE = b"Subject: hi\n\nHello.\n"


def send(env: dict[str, str], *argv: str, cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [BIN / "sendmail", "-i", *argv, "ann@example.net"],
        input=MESSAGE,
        capture_output=True,
        timeout=60,
        env=env,
        cwd=cwd,
        check=False,
    )


def configured(tmp_path: Path, target: str) -> dict[str, str]:
    config = tmp_path / "c.toml"
    config.write_text(f'[[route]]\ndomains = ["*"]\nsmtp = "{target}"\n')
    return {**os.environ, "METHER_CONFIG": str(config), "METHER_SPOOL": f"sqlite:{tmp_path / 'spool'}"}


def test_it_is_begun_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one is at it no other is begun: it looks once more before it ends."""
    begun: list[list[str]] = []
    monkeypatch.setattr(os, "fork", lambda: 0)
    monkeypatch.setattr(behind, "_become", lambda fd, arguments: begun.append(list(arguments)))
    url = f"sqlite:{tmp_path}"
    behind.start(url, "c.toml", None)
    assert begun == [["c.toml", ""]]
    assert stat.S_IMODE((tmp_path / behind.LOCK).stat().st_mode) == 0o600
    with (tmp_path / behind.LOCK).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        behind.start(url, "c.toml", None)
    assert len(begun) == 1
    behind.start(url, None, url)
    assert begun[1:] == [["", url]]


@pytest.mark.parametrize("url", ["memory:", "nonsense", "sqlite:/nowhere/at/all"])
def test_what_cannot_be_run_is_left_to_the_next_run(url: str) -> None:
    behind.start(url, None, None)


def test_what_lies_in_the_working_directory_is_not_run(tmp_path: Path) -> None:
    """Whoever calls sendmail may stand in a directory of somebody else."""
    trap = tmp_path / "trap"
    (trap / "mether").mkdir(parents=True)
    (trap / "mether" / "__init__.py").write_text("raise SystemExit('caught')\n")
    (trap / "json.py").write_text("raise SystemExit('caught')\n")
    with Peer() as peer:
        done = send(configured(tmp_path, peer.target), cwd=trap)
        assert (done.returncode, done.stderr) == (0, b"")
        assert peer.wait_for(1)


def test_in_the_foreground_it_is_tried_before_sendmail_returns(tmp_path: Path) -> None:
    with Peer() as peer:
        done = send(configured(tmp_path, peer.target), "-odi")
        assert (done.returncode, done.stderr) == (0, b"")
        assert len(peer.messages) == 1


def test_the_status_tells_of_queueing_alone(tmp_path: Path) -> None:
    """Nobody answers there: the message waits, and its caller need not keep it."""
    done = send(configured(tmp_path, "127.0.0.1:1"), "-odi")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_it_may_be_left_to_the_next_run(tmp_path: Path) -> None:
    with Peer() as peer:
        env = configured(tmp_path, peer.target)
        assert send(env, "-odq").returncode == 0
        assert not (tmp_path / "spool" / behind.LOCK).exists()
        subprocess.run([BIN / "runsmtpq"], env=env, check=True, timeout=60, capture_output=True)
        assert len(peer.messages) == 1
