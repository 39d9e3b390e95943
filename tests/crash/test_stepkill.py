"""kill -9 between every two steps of commit and settle (QUE-5): see stepkill.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EVERY = int(os.environ.get("METHER_STEPS", "3"))
"""Steps between two kills; `make torture` leaves out none."""

PROGRAM = Path(__file__).with_name("stepkill.py")


@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_what_was_answered_survives_a_kill_between_any_two_steps(kind: str) -> None:
    """DAT-5, QUE-5: with a real process, really killed, at each write, sync, rename and removal."""
    ended = subprocess.run([sys.executable, PROGRAM, kind, str(EVERY)], capture_output=True, text=True)
    kills, _, broken = ended.stdout.partition("\n")
    assert (broken, ended.stderr) == ("", "")
    assert int(kills.split()[0]) * EVERY > 250
