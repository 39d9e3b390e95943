"""The fuzz targets over their seeds, over all that was ever found with them, and over a few octets at random.

`make fuzz` is the long run.  A past finding lies in fuzz/regressions and must hold here for ever.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FUZZ = Path(__file__).resolve().parents[2] / "fuzz"
sys.path.insert(0, str(FUZZ))
import run  # noqa: E402

sys.path.remove(str(FUZZ))

load = cache(run.load)


def words() -> list[bytes]:
    """What the fuzzer is told of the protocol."""
    lines = (FUZZ / "words.dict").read_text(encoding="ascii").splitlines()
    return [line[1:-1].encode().decode("unicode_escape").encode("latin-1") for line in lines if line]


def target(name: str) -> ModuleType:
    return load(name)


def test_there_are_targets() -> None:
    assert run.TARGETS == ["bdat", "bounce", "client", "command", "proxy", "reply", "sasl", "server"]


@pytest.mark.parametrize("name", run.TARGETS)
def test_each_says_what_it_holds(name: str) -> None:
    """One sentence, and a few seeds to begin with."""
    first = (target(name).__doc__ or "").split("\n")[0]
    assert first.endswith(".") and first.count(". ") == 0
    assert list((FUZZ / "corpus" / name).iterdir())


@pytest.mark.parametrize(
    ("name", "path"),
    [pytest.param(name, path, id=f"{name}-{path.name}") for name in run.TARGETS for path in run.inputs(name)],
)
def test_seeds_and_findings(name: str, path: Path) -> None:
    target(name).check(path.read_bytes())


@pytest.mark.parametrize("name", run.TARGETS)
@given(
    start=st.binary(max_size=4),
    data=st.lists(st.sampled_from(words()) | st.binary(max_size=4), max_size=20).map(b"".join),
)
@settings(max_examples=60)
def test_octets_at_random(name: str, start: bytes, data: bytes) -> None:
    target(name).check(start + data)
