"""Lets every test import the helpers of tests/support, and Hypothesis take its time on a busy machine."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

SUPPORT = str(Path(__file__).parent / "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)

settings.register_profile("mether", deadline=None)
settings.load_profile("mether")
