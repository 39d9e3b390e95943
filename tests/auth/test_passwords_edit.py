"""Changing the password file: whole, private, and nothing else in it touched."""

import os
import stat
import threading

import pytest

from mether.auth.passwords import PasswordFileError
from mether.auth.passwords_edit import put, remove


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "passwords"
    path.write_text("# who\nann:{X}old:ann@x.test,@y.test\n\n bob : odd\n#ann:{X}no\n")
    path.chmod(0o640)
    return path


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_private(tmp_path):
    old = os.umask(0)
    try:
        path = tmp_path / "new"
        assert not put(str(path), "ann", "{X}1")
        assert not put(str(path), "bob", "{X}2")
    finally:
        os.umask(old)
    assert path.read_text() == "ann:{X}1\nbob:{X}2\n"
    assert mode(path) == 0o600


def test_a_login_keeps_its_place_and_its_senders(path):
    assert put(str(path), "ann", "{X}new")
    assert path.read_text() == "# who\nann:{X}new:ann@x.test,@y.test\n\n bob : odd\n#ann:{X}no\n"
    assert mode(path) == 0o640


def test_what_it_gives_to_everyone_is_taken_away(path):
    path.chmod(0o664)
    put(str(path), "ann", "{X}new")
    assert mode(path) == 0o660


def test_a_line_without_an_end_is_ended(path):
    path.write_text("bob:{X}2")
    put(str(path), "ann", "{X}1")
    assert path.read_text() == "bob:{X}2\nann:{X}1\n"


def test_removing(path):
    before = path.stat()
    assert not remove(str(path), "nobody")
    assert path.stat().st_ino == before.st_ino  # left alone
    assert remove(str(path), "ann")
    assert path.read_text() == "# who\n\n bob : odd\n#ann:{X}no\n"
    assert not remove(str(path.parent / "none"), "ann")
    assert not (path.parent / "none").exists()


def test_a_link_stays_one(path, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(path)
    put(str(link), "ann", "{X}new")
    assert link.is_symlink()
    assert "{X}new" in path.read_text()


def test_nothing_is_left_behind_when_it_fails(path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(OSError, match="No space"):
        put(str(path), "ann", "{X}new")
    assert os.listdir(path.parent) == ["passwords"]
    assert "{X}old" in path.read_text()


def test_what_is_no_text(path):
    path.write_bytes(b"ann:x\n\xff\n")
    with pytest.raises(PasswordFileError, match=":2: not UTF-8"):
        put(str(path), "ann", "{X}new")


def test_two_who_write_at_once_take_turns(path):
    threads = [threading.Thread(target=put, args=(str(path), f"u{i}", "{X}1")) for i in range(2)]
    import fcntl

    lock = os.open(path.parent, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    threads[0].start()
    threads[0].join(0.05)
    assert threads[0].is_alive()  # it waits for its turn
    os.close(lock)
    threads[0].join()
    put(str(path), "u1", "{X}1")
    assert path.read_text().count("u0:") == path.read_text().count("u1:") == 1
