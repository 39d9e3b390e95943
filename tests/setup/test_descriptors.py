"""File descriptors: what a daemon may have, and what its configuration may need."""

from __future__ import annotations

import resource
import subprocess
from pathlib import Path

import pytest
from daemon import BIN

from mether.setup import descriptors
from mether.setup.config import loads

Limits = dict[str, tuple[int, int]]


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> Limits:
    """The limits of a process, soft and hard, which can be changed."""
    now: Limits = {"files": (1024, 4096)}

    def change(which: int, both: tuple[int, int]) -> None:
        if both[0] > both[1] != resource.RLIM_INFINITY:
            raise ValueError("current limit exceeds maximum limit")
        now["files"] = both

    monkeypatch.setattr(resource, "getrlimit", lambda which: now["files"])
    monkeypatch.setattr(resource, "setrlimit", change)
    return now


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 4096), 4096),
        ((4096, 4096), 4096),
        ((1024, resource.RLIM_INFINITY), descriptors.MOST),
        ((1024, 1 << 30), descriptors.MOST),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), resource.RLIM_INFINITY),
    ],
)
def test_the_soft_limit_is_raised_to_the_hard_one(
    limits: Limits, before: tuple[int, int], after: int
) -> None:
    """But never lowered, and not without bounds: programs that are run inherit it."""
    limits["files"] = before
    descriptors.lift()
    assert limits["files"] == (after, before[1])
    assert descriptors.soft() == min(after, descriptors.MOST) if after > 0 else descriptors.MOST


def test_what_a_configuration_may_need_is_held_against_the_limit(limits: Limits) -> None:
    """Sessions are shared among the workers, connections to next hops are of each; and some are for the
    queue."""
    text = '[[listen]]\naddress = "127.0.0.1:25"\nmax_connections = 6000\n[relay]\nmax_connections = 100\n'
    assert descriptors.shortage(loads(text, environ={"HOME": "/h"})) == (
        "max_connections of [[listen]] and [relay] may need 6228 file descriptors, and a process may have "
        "4096 (ulimit -Hn)"
    )
    assert not descriptors.shortage(loads(f"{text}[service]\nworkers = 2\n", environ={"HOME": "/h"}))
    assert not descriptors.shortage(loads(text, environ={"HOME": "/h"}), receives=False)
    limits["files"] = (64, 64)
    assert descriptors.shortage(loads(text, environ={"HOME": "/h"}), receives=False).startswith(
        "relay.max_connections may need 228 file descriptors, and a process may have 64"
    )


def test_the_last_ones_are_not_for_clients() -> None:
    assert descriptors.ceiling(1024) == 896
    assert descriptors.ceiling(64) == 56
    assert descriptors.ceiling(1 << 20) == (1 << 20) - descriptors.KEPT


@pytest.mark.parametrize("program", [("smtpd",), ("smtpd", "--workers", "2"), ("runsmtpq", "--daemon")])
def test_with_too_few_a_daemon_does_not_begin(tmp_path: Path, program: tuple[str, ...]) -> None:
    """One line, and the status of a system that lacks something (sysexits(3))."""
    config = tmp_path / "mether.toml"
    config.write_text('[queue]\nspool = "sqlite:spool"\n[[listen]]\naddress = "127.0.0.1:0"\n')
    for few in (8, 12, 20):
        done = subprocess.run(
            ["sh", "-c", f'ulimit -n {few}; exec "$@"', "sh", BIN / program[0], *program[1:], "-C", config],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 71
        line = f"cannot begin with {few} file descriptors (ulimit -n): too few"
        assert done.stderr == f"{program[0]}: {line}\n"
