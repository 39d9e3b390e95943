"""Lets every test import the helpers of tests/support, and Hypothesis take its time on a busy machine.

Where METHER_EXAMPLES is "fixed" Hypothesis tries the same examples each time, so that a change is judged by
what it changes; otherwise it looks for new ones.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import settings

SUPPORT = str(Path(__file__).parent / "support")
if SUPPORT not in sys.path:
    sys.path.insert(0, SUPPORT)

settings.register_profile("mether", deadline=None, derandomize=os.environ.get("METHER_EXAMPLES") == "fixed")
settings.load_profile("mether")
