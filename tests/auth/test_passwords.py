"""The password file: what is in it, who may read it, and what a change of it does."""

import os

import pytest

from mether.auth.passwords import PasswordFile, PasswordFileError, parse_lines
from mether.auth.verifier import make
from mether.smtp.sasl import ACCEPTED, REJECTED, TEMPORARY, CheckPassword, CheckToken, FindKeys

SCRAM = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
        "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="  # fmt: skip
ARGON2 = make("argon2id", "geheim", os.urandom)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "passwords"
    path.write_text(f"# who\n\nuser:{SCRAM}\nann@x.test:{ARGON2}:ann@x.test,@ann.test\nbob:{SCRAM}:\n")
    path.chmod(0o640)
    return path


@pytest.fixture
def said():
    return []


@pytest.fixture
def file(path, said):
    return PasswordFile(str(path), said.append)


def test_passwords(file):
    """AUT-4: an unknown login and a wrong password are the same."""
    assert file.check(CheckPassword("user", "pencil")) is ACCEPTED
    assert file.check(CheckPassword("user", "pen")) is REJECTED
    assert file.check(CheckPassword("ann@x.test", "geheim")) is ACCEPTED
    assert file.check(CheckPassword("ann@x.test", "pencil")) is REJECTED
    assert file.check(CheckPassword("nobody", "pencil")) is REJECTED
    assert file.check(CheckToken("user", "pencil")) is REJECTED


def test_an_unknown_login_costs_what_a_known_one_does(file, monkeypatch):
    costs = []
    from mether.auth import verifier

    for kind in (verifier.Scram, verifier.Argon2id):
        monkeypatch.setattr(kind, "check", lambda self, password: costs.append(password) or True)
    assert file.check(CheckPassword("nobody", "x")) is REJECTED
    assert costs == ["x"]


def test_keys(file):
    answer = file.check(FindKeys("user"))
    assert answer.verdict == "accepted"
    assert answer.keys.iterations == 4096
    assert file.check(FindKeys("ann@x.test")) is REJECTED  # Argon2id has no keys
    assert file.check(FindKeys("nobody")) is REJECTED
    assert file.iterations == 4096


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        (f"ann:{ARGON2}\n", False),
        (f"ann:{ARGON2}\nbob:{SCRAM}\n", False),
        (f"bob:{SCRAM}\n", True),
        ("", False),
    ],
)
def test_scram_is_offered_only_where_every_login_has_keys(path, said, text, keys):
    """A client that prefers SCRAM would lock out the user of an Argon2id verifier."""
    path.write_text(text)
    assert PasswordFile(str(path), said.append).keys is keys


def test_senders(file):
    assert file.senders("ann@x.test") == ("ann@x.test", "@ann.test")
    assert file.senders("user") is None
    assert file.senders("bob") == ()
    assert file.senders("nobody") is None


def touch(path, text):
    path.write_text(text)
    os.utime(path, ns=(1, 1))


def test_a_change_is_seen(file, path, said):
    touch(path, f"new:{SCRAM}\n")
    assert file.check(CheckPassword("new", "pencil")) is ACCEPTED
    assert file.check(CheckPassword("user", "pencil")) is REJECTED
    assert said == []


def test_a_mistake_in_a_changed_file_leaves_the_last_good_one_in_force(file, path, said):
    touch(path, f"new:{SCRAM}\nbad line\n")
    assert file.check(CheckPassword("user", "pencil")) is ACCEPTED
    assert file.check(CheckPassword("new", "pencil")) is REJECTED
    assert said == [f"{path}:2: expected LOGIN:VERIFIER or LOGIN:VERIFIER:SENDERS; "
                    "what was read before stays in force"]  # fmt: skip


def test_without_a_file_that_may_be_read_every_answer_is_temporary(file, path, said):
    path.chmod(0o644)
    assert file.check(CheckPassword("user", "pencil")) is TEMPORARY
    assert file.check(FindKeys("user")) is TEMPORARY
    assert said == [f"{path}: everyone may read or write it (mode 0644): chmod o= {path}"]
    path.unlink()
    assert file.check(CheckPassword("user", "pencil")) is TEMPORARY
    touch(path, f"user:{SCRAM}\n")
    path.chmod(0o600)
    assert file.check(CheckPassword("user", "pencil")) is ACCEPTED


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o666])
def test_a_file_for_everyone_is_refused(path, said, mode):
    path.chmod(mode)
    with pytest.raises(PasswordFileError, match=f"mode 0{mode:o}"):
        PasswordFile(str(path), said.append)


def test_what_is_no_file(tmp_path, said):
    with pytest.raises(PasswordFileError, match="No such file"):
        PasswordFile(str(tmp_path / "none"), said.append)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    with pytest.raises(PasswordFileError, match="not a file"):
        PasswordFile(str(fifo), said.append)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ann\n", "expected LOGIN:VERIFIER"),
        (f":{SCRAM}\n", "a login has 1 to 255"),
        (f"a b:{SCRAM}\n", "no space"),
        ("ann:secret\n", "expected {ARGON2ID} or {SCRAM-SHA-256}"),
        (f"ann:{SCRAM}:nobody\n", "expected ADDRESS"),
        (f"a\x07:{SCRAM}\n", "control character"),
        ("x" * 5000 + "\n", "4096"),
    ],
)
def test_a_bad_line_is_one_clear_error(text, words):
    with pytest.raises(PasswordFileError) as caught:
        parse_lines("# first\n" + text, "f")
    assert str(caught.value).startswith("f:2: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_login_stands_once():
    with pytest.raises(PasswordFileError, match="f:2: ann is already in line 1"):
        parse_lines(f"ann:{SCRAM}\nann:{SCRAM}\n", "f")


def test_not_utf8(path, said):
    path.write_bytes(b"# fine\n\xff:x\n")
    with pytest.raises(PasswordFileError, match=":2: not UTF-8"):
        PasswordFile(str(path), said.append)


def test_without_cryptography_the_line_is_named(path, said, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.kdf.argon2", None)
    with pytest.raises(PasswordFileError, match=r":4: Argon2id needs the package cryptography"):
        PasswordFile(str(path), said.append)
