"""Which configuration and spool are used, and that looking for them costs nothing."""

import os
import subprocess
import sys

import pytest

from mether.setup import locate
from mether.setup.locate import ConfigError, basics, find_config


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(locate, "SYSTEM", str(tmp_path / "etc.toml"))
    return tmp_path


def test_the_configuration_is_the_first_that_is_there(home, monkeypatch):
    named, environ = home / "named.toml", home / "environ.toml"
    user = home / ".config" / "mether" / "mether.toml"
    user.parent.mkdir(parents=True)
    env = {"HOME": str(home)}
    assert find_config(None, env) is None
    user.touch()
    assert find_config(None, env) == str(user)
    (home / "etc.toml").touch()
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert find_config(None, env) == str(user), "somebody's own comes first"
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert find_config(None, env) == str(home / "etc.toml"), "but for root, whose home may be another's"
    environ.touch()
    env["METHER_CONFIG"] = str(environ)
    assert find_config(None, env) == str(environ)
    named.touch()
    assert find_config(str(named), env) == str(named)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.org\n", "example.org"),
        ("example.org\nmore\n", "example.org"),
        ("", None),
        ("not a domain\n", None),
        ("[192.0.2.1]\n", None),
        ("é.example\n", None),
        ("x" * 5000, None),
    ],
)
def test_the_domain_of_names_that_have_none(tmp_path, text, name):
    (tmp_path / "mailname").write_text(text)
    assert locate.mailname(str(tmp_path / "mailname")) == name
    assert locate.mailname(str(tmp_path / "missing")) is None


def test_a_file_that_was_named_must_be_there(home):
    with pytest.raises(ConfigError, match=r"^/nowhere/x.toml: there is no such configuration file$"):
        find_config("/nowhere/x.toml", {})
    with pytest.raises(ConfigError, match="is not a file"):
        find_config(None, {"METHER_CONFIG": str(home)})


def test_the_xdg_directory_counts_only_when_absolute(home):
    file = home / "xdg" / "mether" / "mether.toml"
    file.parent.mkdir(parents=True)
    file.touch()
    assert find_config(None, {"XDG_CONFIG_HOME": str(home / "xdg")}) == str(file)
    assert find_config(None, {"XDG_CONFIG_HOME": "xdg", "HOME": "/nonexistent"}) is None


def test_the_spool_is_the_one_named_nearest(home):
    config = home / "m.toml"
    config.write_text('[queue]\nspool = "sqlite:/c"\n')
    env = {"HOME": str(home), "METHER_SPOOL": "sqlite:/e"}
    assert basics(str(config), "sqlite:/n", env).spool == "sqlite:/n"
    assert basics(str(config), None, env).spool == "sqlite:/e"
    del env["METHER_SPOOL"]
    assert basics(str(config), None, env).spool == "sqlite:/c"


def test_the_spool_without_a_configuration(home, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert basics(None, None, {}).spool == "sqlite:/var/spool/smtpq"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert basics(None, None, {"HOME": "/h"}).spool == "sqlite:/h/.local/state/mether/smtpq"
    assert basics(None, None, {"XDG_STATE_HOME": "/s"}).spool == "sqlite:/s/mether/smtpq"
    with pytest.raises(ConfigError, match="no home directory"):
        basics(None, None, {})


def test_the_hostname_is_qualified_from_the_hosts_file(tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n127.0.1.1 mx.example.test mx # mx.wrong\n")
    assert locate.hostname(str(hosts), "mx") == "mx.example.test"
    assert locate.hostname(str(hosts), "other") == "other"
    assert locate.hostname(str(hosts), "a.b.test.") == "a.b.test"
    assert locate.hostname(str(tmp_path / "none"), "mx") == "mx"
    assert locate.hostname(str(hosts), "web_1") == "localhost"


def test_without_a_configuration_nothing_heavy_is_imported(tmp_path):
    code = (
        "import sys\n"
        "from mether.setup import locate\n"
        f"locate.SYSTEM = {str(tmp_path / 'none')!r}\n"
        "locate.basics(None, None, {'HOME': '/nonexistent'})\n"
        "print([m for m in ('tomllib', 're', 'typing', 'enum') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_is_no_file_is_not_waited_for(tmp_path):
    """A configuration that names a FIFO is an error, and no service that hangs."""
    os.mkfifo(tmp_path / "fifo")
    for name, why in (("fifo", "expected a file"), (".", "Is a directory"), ("none", "No such file")):
        with pytest.raises(OSError, match=why):
            locate.octets(str(tmp_path / name), 10)
    (tmp_path / "file").write_bytes(b"0123456789abc")
    assert locate.octets(str(tmp_path / "file"), 10) == b"0123456789"
