"""The default file says what is built in, and works."""

import re

import pytest

from mether.address import parse
from mether.routing.request import Request
from mether.setup import default
from mether.setup.config import load, loads
from mether.setup.shape import SHAPES

ENV = {"HOME": "/h"}


def test_the_file_is_the_service_that_make_run_promises(tmp_path):
    path = str(tmp_path / "mether.toml")
    default.write(path)
    config = load(path, environ=ENV)
    assert config.listen[0].address == "127.0.0.1:2525"
    assert config.queue.spool == f"sqlite:{tmp_path}/spool"
    assert config.route[0].maildir == f"{tmp_path}/mail/{{user}}"
    router = config.router()
    assert router.is_open(parse("friend@example.test"))
    assert str(router.route(Request(parse("a@example.org")))) == "smtp:example.org"


def test_every_value_behind_a_number_sign_is_the_built_in_one(tmp_path):
    lines = []
    for line in default.TEXT.splitlines():
        plain = line.removeprefix("#")
        is_key = line.startswith("#") and line[1:2].isalpha() and " = " in line
        lines.append(plain if is_key and not plain.startswith(("hostname", "servers")) else line)
    every = loads("\n".join(lines), environ=ENV)
    built_in = loads(default.TEXT, environ=ENV)
    assert len(every.origins) > len(built_in.origins) + 12
    for section in ("service", "queue", "listen", "relay", "retry", "dns", "log"):
        assert getattr(every, section) == getattr(built_in, section)


@pytest.mark.parametrize(("section", "key"), [(name, key) for name, keys in SHAPES.items() for key in keys])
def test_every_key_is_in_the_file(section, key):
    """As a line, or in what is said of its table."""
    assert re.search(rf"\b{key}\b( =|,| or | \(|\.|$)", default.TEXT, re.MULTILINE), f"{section}.{key}"


def test_it_is_never_written_over_another(tmp_path):
    path = tmp_path / "mether.toml"
    path.write_text("[log]\n")
    with pytest.raises(FileExistsError):
        default.write(str(path))
    assert path.read_text() == "[log]\n"


def test_only_a_standard_directory_is_made(tmp_path, monkeypatch):
    """Any other that is not there is more likely a slip of the pen."""
    monkeypatch.setattr("mether.setup.locate.SYSTEM", str(tmp_path / "etc" / "mether" / "mether.toml"))
    environ = {"HOME": str(tmp_path / "home")}
    for standard in ("etc/mether/mether.toml", "home/.config/mether/mether.toml"):
        default.write(str(tmp_path / standard), environ)
        assert (tmp_path / standard).read_text() == default.TEXT
    with pytest.raises(FileNotFoundError):
        default.write(str(tmp_path / "nonexist" / "mether.toml"), environ)
    assert not (tmp_path / "nonexist").exists()
