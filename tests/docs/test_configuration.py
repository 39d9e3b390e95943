"""docs/configuration.md says neither more nor less than the configuration takes."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mether.setup import config, shape
from mether.setup.struct import REQUIRED, fields

TEXT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
STRUCTS = {
    "service": config.Service,
    "queue": config.Queue,
    "listen": config.Listen,
    "auth": config.Auth,
    "tls": config.Tls,
    "srs": config.Srs,
    "table": config.Table,
    "route": config.Route,
    "login": config.Login,
    "relay": config.Relay,
    "retry": config.Retry,
    "reports": config.Reports,
    "suppress": config.Suppress,
    "dns": config.Dns,
    "log": config.Log,
}


def rows() -> dict[tuple[str, str], tuple[str, str]]:
    """(table, key) -> (default, example), as the document has them."""
    found = {}
    for part in re.split(r"^## `\[+(?=\w)", TEXT, flags=re.M)[1:]:
        name = part.partition("]")[0]
        for key, _, default, example in re.findall(r"^\| `(\w+)` \| (.*) \| (.*) \| (.*) \|$", part, re.M):
            found[name, key] = (default, example)
    return found


def test_every_key_is_told_and_no_other():
    assert set(rows()) == {(name, key) for name, keys in shape.SHAPES.items() for key in keys}


def test_its_examples_are_taken():
    for example in re.findall(r"^```toml\n(.*?)^```$", TEXT, re.M | re.S):
        config.loads(example)


@pytest.mark.parametrize("where", rows(), ids=".".join)
def test_its_default_and_example_are_right(where):
    name, key = where
    default, example = rows()[where]
    shape.SHAPES[name][key](tomllib.loads(f"value = {example.strip('`')}")["value"])
    built_in = fields(STRUCTS[name])[key]
    if built_in is not REQUIRED and built_in is not None:
        assert default == f"`{shape.written(key, built_in)}`"
    else:
        assert not default.startswith("`")
