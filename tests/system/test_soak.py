"""A short soak: mail for destinations of every kind, and each message ends where it should, with the right
report.  The whole of it is tests/soak/run.py (`make soak`)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from conftest import _as_root

RUN = Path(__file__).parent.parent / "soak" / "run.py"


@pytest.mark.timeout(200)
@pytest.mark.parametrize("options", [("--kill",), ("--workers", "2")], ids=["killed", "workers"])
def test_each_message_ends_where_it_should(options: tuple[str, ...], tmp_path: Path) -> None:
    """MX-1, MX-2, MX-3, MX-4, MX-5, MX-6, MX-9, DSN-4, DSN-5, DSN-6, QUE-5: nothing lost, nothing twice, each
    report once."""
    _as_root()
    ended = subprocess.run(
        [
            *(sys.executable, RUN, "--messages", "200", "--minutes", "0.05", "--expire", "12"),
            *("--seed", "1986", "--place", tmp_path, *options),
        ],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-4000:]
    assert "200 messages to" in ended.stdout
