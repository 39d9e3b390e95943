"""That docs/testing.md's examples work, and that it tells of every way in which a zone can fail."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mether.testing.dns import Zone

TEXT = (Path(__file__).parents[2] / "docs" / "testing.md").read_text()


def test_its_example_works(capsys: pytest.CaptureFixture[str]) -> None:
    example = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)[0]
    exec(compile(example, "docs/testing.md", "exec"), {})
    assert re.fullmatch(r'servers = \["127\.0\.0\.1:\d+"\]\n', capsys.readouterr().out)


def test_what_can_go_wrong_is_all_there() -> None:
    zone = Zone()
    names = {name for name in vars(zone) if not name.startswith("_")} | {"hold", "release"}
    assert names == set(re.findall(r"`zone\.(\w+)", TEXT))
