"""``mether passwd``: logins of the password file."""

import io
import os
import stat
import sys

import pytest

from mether.auth.passwords import read
from mether.programs.mether import main


@pytest.fixture(autouse=True)
def plain(monkeypatch, tmp_path):
    for name in ("METHER_CONFIG", "METHER_SPOOL", "NOSYSEXITS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("mether.setup.locate.SYSTEM", str(tmp_path / "mether.toml"))
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "logins"


@pytest.fixture
def passwd(path, monkeypatch):
    def run(*arguments, said=b"pass word\n", file=True):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(said)))
        return main(["passwd", *(["--file", str(path)] if file else []), *arguments])

    return run


@pytest.mark.parametrize("scheme", [(), ("--scheme", "argon2id"), ("--scheme=scram-sha-256",)])
def test_a_password_is_set_and_checked(passwd, path, capsys, scheme):
    assert passwd(*scheme, "ann@x.test") == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read(str(path))["ann@x.test"].verifier.check("pass word")
    assert "pass word" not in path.read_text()
    assert passwd("--check", "ann@x.test") == 0
    assert capsys.readouterr() == ("", "")
    assert passwd("--check", "ann@x.test", said=b"other\n") == 77
    assert capsys.readouterr().err == "mether: this is not the password of ann@x.test\n"


def test_the_first_line_counts_and_its_end_does_not(passwd, path):
    assert passwd("ann", said=b" two  spaces \r\nmore\n") == 0
    assert passwd("--check", "ann", said=b" two  spaces ") == 0


def test_a_second_time_changes_it(passwd, path):
    passwd("ann")
    passwd("bob")
    passwd("ann", said=b"new\n")
    assert list(read(str(path))) == ["ann", "bob"]
    assert passwd("--check", "ann", said=b"new\n") == 0
    assert passwd("--check", "bob") == 0


def test_deleting(passwd, path, capsys):
    passwd("ann")
    assert passwd("--delete", "ann") == 0
    assert read(str(path)) == {}
    assert passwd("--delete", "ann") == 67
    assert passwd("--check", "ann") == 67
    assert capsys.readouterr().err == f"mether: {path}: there is no login ann\n" * 2


def test_the_file_is_beside_the_configuration(passwd, tmp_path):
    assert passwd("ann", file=False) == 0
    assert (tmp_path / "passwords").exists()
    other = tmp_path / "etc"
    other.mkdir()
    (other / "m.toml").write_text("")
    assert passwd("ann", "-C", str(other / "m.toml"), file=False) == 0
    assert (other / "passwords").exists()


def test_on_a_terminal_it_is_asked_for_twice(passwd, path, monkeypatch, capsys):
    asked = []

    def getpass(prompt):
        asked.append(prompt)
        if not typed:
            raise EOFError
        return typed.pop(0)

    monkeypatch.setattr("getpass.getpass", getpass)

    class Terminal(io.TextIOWrapper):
        def isatty(self):
            return True

    def run(*arguments):
        monkeypatch.setattr(sys, "stdin", Terminal(io.BytesIO()))
        return main(["passwd", "--file", str(path), *arguments])

    typed = ["geheim", "geheim"]
    assert run("ann") == 0
    assert asked == ["Password: ", "Again: "]
    typed = ["geheim"]
    assert run("--check", "ann") == 0
    typed = ["one", "another"]
    assert run("ann") == 65
    assert run("ann") == 65
    assert capsys.readouterr().err == "mether: the two passwords differ\nmether: no password was given\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", "standard input is empty"),
        (b"\n", "the password is empty"),
        (b"\xff\n", "not UTF-8"),
        (b"a\x07\n", "control character"),
        (b"x" * 1025, "longer than 1024"),
        (b"x" * 100000, "longer than 1024"),
    ],
)
def test_passwords_that_cannot_be_used(passwd, path, capsys, said, words):
    assert passwd("ann", said=said) == 65
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not path.exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "LOGIN is missing"),
        (("ann", "bob"), "one LOGIN"),
        (("a b",), "no space"),
        (("a:b",), "no colon"),
        (("--delete", "--check", "ann"), "--delete goes with"),
        (("--check", "--scheme", "argon2id", "ann"), "--check does not go"),
        (("--scheme", "md5", "ann"), "not one of argon2id"),
    ],
)
def test_wrong_arguments(passwd, capsys, arguments, words):
    assert passwd(*arguments) == 64
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_broken_file_is_named(passwd, path, capsys):
    path.write_text("nonsense\n")
    path.chmod(0o600)
    assert passwd("--check", "ann") == 78
    assert capsys.readouterr().err.startswith(f"mether: {path}:1: expected LOGIN:VERIFIER")


def test_no_directory_for_it(passwd, path, capsys, monkeypatch):
    assert main(["passwd", "--file", str(path / "a" / "b"), "--delete", "ann"]) in (66, 73)
    assert capsys.readouterr().err.count("\n") == 1


def test_without_cryptography_it_says_what_to_do(passwd, path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.kdf.argon2", None)
    assert passwd("ann") == 69
    assert "pip install 'mether[auth]'; --scheme scram-sha-256" in capsys.readouterr().err
    assert passwd("--scheme", "scram-sha-256", "ann") == 0


def test_the_password_is_in_no_list_of_processes(passwd, path):
    """It is read from standard input alone: there is no argument for it."""
    assert passwd("ann", "secret") == 64
    assert not os.path.exists(path)
