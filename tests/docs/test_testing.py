"""That docs/testing.md's examples work, and that it tells of every way in which a zone can fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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


def test_mail_goes_past_a_dead_mx_in_a_network_of_its_own(tmp_path: Path) -> None:
    """As the document says it, without privilege."""
    (command,) = re.findall(r"^(unshare -rn .*)$", TEXT, re.M)
    if subprocess.run(["sh", "-c", "unshare -rn ip link set lo up"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    example = next(one for one in re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S) if "MX 20" in one)
    (tmp_path / "mx.py").write_text(example)
    bin = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{bin}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "Mail queue is empty\n1 came\n", done.stderr
