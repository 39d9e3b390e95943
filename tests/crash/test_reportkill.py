"""Killing, and failing, what returns mail at each step that it does to the queue: see reportkill.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EVERY = int(os.environ.get("METHER_STEPS", "29"))
"""Steps between two tries; `make torture` leaves out none."""

PROGRAM = Path(__file__).with_name("reportkill.py")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_whoever_is_removed_is_in_one_report_and_no_other(kind: str) -> None:
    """BNC-3, QUE-5: returned by a person, by the runner or warned of; killed, or with a disk that fails."""
    ended = subprocess.run([sys.executable, PROGRAM, kind, str(EVERY)], capture_output=True, text=True)
    tries, _, broken = ended.stdout.partition("\n")
    assert (broken, ended.stderr) == ("", "")
    assert int(tries.split()[0]) * EVERY > 300
