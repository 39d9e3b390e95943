"""docs/rewriting.md and docs/null-client.md: their examples are taken, and do what is said of them."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from mether.address import parse
from mether.routing.rewrite import Masquerade, Rewrite
from mether.routing.srs import Srs
from mether.setup import config, rewriting

ROOT = Path(__file__).parents[2]
TEXTS = {name: (ROOT / "docs" / name).read_text() for name in ("rewriting.md", "null-client.md")}
UNITS = ROOT / "packaging" / "systemd" / "user"


@pytest.mark.parametrize("name", TEXTS)
def test_its_examples_are_taken(name: str) -> None:
    examples = re.findall(r"^```toml\n(.*?)^```$", TEXTS[name], re.M | re.S)
    assert len(examples) >= 2
    for example in examples:
        config.loads(example)


def test_the_addresses_leave_as_the_table_says() -> None:
    text = TEXTS["rewriting.md"]
    route = config.loads(re.findall(r"^```toml\n(.*?)^```$", text, re.M | re.S)[0]).route[0]
    assert route.masquerade is not None and isinstance(route.rewrite, dict)
    rewrite = Rewrite(
        Masquerade(route.masquerade, route.masquerade_exceptions or ()),
        rewriting.Pairs(route.rewrite, "rewrite"),
        "laptop.example.org",
    )
    rows = re.findall(r"^\| `(\S+@\S+)` \| `(\S+@\S+)` \|", text, re.M)
    assert len(rows) == 4
    for before, after in rows:
        assert str(rewrite.change(parse(before)) or before) == after


def test_the_address_of_srs_is_one() -> None:
    made = re.search(r"->    (SRS0=\S+)", TEXTS["rewriting.md"])
    assert made is not None
    assert Srs("fwd.example.org", [b"any"]).is_ours(parse(made[1]))


def test_the_units_are_those_that_are_told() -> None:
    """The timer begins the service, a run of the queue; one that is not there yet is no failure."""
    units = {}
    for path in UNITS.iterdir():
        units[path.suffix] = configparser.ConfigParser(interpolation=None)
        units[path.suffix].optionxform = str  # type: ignore[assignment]
        units[path.suffix].read_string(path.read_text())
    assert {path.stem for path in UNITS.iterdir()} == {"mether-runner"}
    assert units[".service"]["Service"]["ExecStart"] == "/opt/mether/bin/runsmtpq"
    assert units[".service"]["Service"]["Type"] == "oneshot"
    assert units[".service"]["Service"]["SuccessExitStatus"] == "66"
    assert units[".timer"]["Timer"]["OnUnitInactiveSec"] == "5min"
    assert units[".timer"]["Install"]["WantedBy"] == "timers.target"
    assert "mether-runner.timer" in TEXTS["null-client.md"]
