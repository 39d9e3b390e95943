"""What root's programs make in a spool of another user's belongs to that user, who is to work it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from daemon import BIN

from mether.queue.disk import give
from mether.queue.open import open_store

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to make a spool another user's")


@pytest.mark.parametrize("kind", ["sqlite", "directory"])
@pytest.mark.parametrize("size", [10, 200_000])
def test_what_root_queues_can_be_read_by_the_service(tmp_path: Path, kind: str, size: int) -> None:
    """cron runs as root, and the service does not."""
    spool = tmp_path / "spool"
    url = f"{kind}:{spool}"
    open_store(url, now=1_800_000_000.0).close()
    for path in (spool, *spool.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    done = subprocess.run(
        [BIN / "smtpqer", "-n", "192.0.2.1", "a@a.test", "b@b.test"],
        input=b"Subject: x\n\n" + b"line\n" * (size // 5),
        env={**os.environ, "METHER_SPOOL": url, "METHER_CONFIG": ""},
        capture_output=True,
        check=True,
    )
    ident = done.stdout.decode().strip()
    made = [path for path in spool.rglob("*") if ident in path.name or path.parent.parent.name == "content"]
    assert made or (kind, size) == ("sqlite", 10)  # which is in the database
    assert {path.stat().st_uid for path in spool.rglob("*") if path.name != "lock"} == {NOBODY}


def test_in_a_spool_of_our_own_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    with open(path) as file:
        give(file.fileno(), str(tmp_path))
    assert path.stat().st_uid == 0
