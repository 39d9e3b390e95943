"""docs/examples: each file is a whole configuration, and does what its first lines say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from certificates import pair

from mether.programs import mether

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FILES = {
    "password": "secret\n",
    "aliases": "info: ann, bob\nroot: ann@example.org\n",
    "users": "ann\nbob\n",
}
ROUTE = re.compile(r"^#   mether route (.+?) +-> (.+)$", re.M)


@pytest.fixture(params=sorted(path.name for path in EXAMPLES.iterdir()))
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An example, with the files beside it that it names."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    certificate, key = pair(tmp_path, "good", "mail.example.org")
    Path(certificate).rename(tmp_path / "mail.example.org.pem")
    Path(key).rename(tmp_path / "mail.example.org.key")
    made: Path = tmp_path / request.param
    made.write_text((EXAMPLES / request.param).read_text())
    return made


def test_it_is_taken(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without an error; a warning may be of this host, which is not the one that is meant."""
    assert mether.main(["config", "--check", "-C", str(file)]) == 0, capsys.readouterr().err
    assert "does nothing" not in capsys.readouterr().err


def test_it_does_what_it_says(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    promised = ROUTE.findall(file.read_text())
    assert promised
    for arguments, what in promised:
        mether.main(["route", "--no-dns", "-C", str(file), *shlex.split(arguments)])
        told = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert any(line.startswith(what) for line in told), (arguments, what, told)
