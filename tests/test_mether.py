"""The package itself: its version, and that importing it costs nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import mether


def test_the_version_is_the_distribution_s() -> None:
    assert mether.__version__ == version("mether")


def test_importing_it_imports_nothing() -> None:
    """The one-shot programs pay for every module."""
    code = "import sys; before = {*sys.modules}; import mether; print(*{*sys.modules} - before - {'mether'})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
