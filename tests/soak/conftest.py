"""Lets the tests of the soak import the harness beside them."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)  # behind the system tests, which import their conftest by that name
