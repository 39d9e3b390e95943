"""docs/performance.md and its plot say what was measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parent.parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """bench/document.py with these arguments."""
    argv = [sys.executable, str(TOP / "bench/document.py"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_page_is_what_the_figures_say():
    """Nobody has edited it, and nobody has measured without writing it."""
    done = run("--check")
    assert done.returncode == 0, done.stderr


def test_a_page_from_figures_that_are_known(tmp_path):
    """A table with medians, spread and ratios; goals held against them; a plot that is XML."""
    from json import dumps
    from xml.etree import ElementTree

    case = {"medians": {"messages_per_second": 3000.0, "cpu_seconds_per_thousand": 0.25}}
    case |= {"spread": {"messages_per_second": 0.05, "cpu_seconds_per_thousand": 0.01}, "runs": [{}]}
    ours = {**case, "ratios": {"messages_per_second": 6.0, "cpu_seconds_per_thousand": 0.2}}
    column = {"name": "messages_per_second", "unit": "messages/s", "digits": 0, "by": 1, "relative": True}
    result = {
        "mode": "relay-kept",
        "title": "Relay, connections kept open",
        "at": "2030-01-01 00:00 UTC",
        "columns": [column],
        "base": "postfix",
        "cases": {"mether": ours, "postfix": {**case, "ratios": {"messages_per_second": 1.0}}},
        "notes": ["As told."],
        "options": {"runs": 5, "scale": 1.0},
        "python": "3.11.7",
        "kernel": "6.1",
        "processor": "Some processor",
        "cores": 2,
        "file_system": "ext4",
        "sync_microseconds": 300.0,
        "versions": {"mether": "0.1.0", "postfix": "3.7.11"},
        "seconds": 60.0,
    }
    (tmp_path / "relay-kept.json").write_text(dumps(result))
    done = run("--results", str(tmp_path), "--to", str(tmp_path))
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "performance.md").read_text()
    assert "| mether | 3,000 ±5% | 6x |" in page
    assert "| relay, kept open: at least 5 x Postfix's messages/s | 6.00 x | yes |" in page
    assert "| relay, kept open: at most 1/8 of its CPU time a message | 1/5.0 | **no** |" in page
    assert "| 50 MiB: under 16 MiB of extra memory | not measured |  |" in page
    ElementTree.fromstring((tmp_path / "performance.svg").read_text())
    assert run("--results", str(tmp_path), "--to", str(tmp_path), "--check").returncode == 0
    (tmp_path / "performance.md").write_text(page.replace("3,000", "4,000"))
    assert run("--results", str(tmp_path), "--to", str(tmp_path), "--check").returncode == 1
