"""Delivery into Maildirs, and what it answers when the disk or the address will not have it."""

from __future__ import annotations

import errno
import mailbox
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mether.address import Address, AddressError, parse
from mether.envelope import Recipient
from mether.queue.content import Content, in_memory
from mether.queue.disk import Disk
from mether.relay import maildir
from mether.relay.letter import Letter, Person
from mether.reply import Reply

CONTENT = in_memory(b"Subject: x\r\n\r\nbody\r\n")


def deliver(
    path: str,
    address: str = "Bob@Example.test",
    disk: Disk | None = None,
    now: float = 1.5,
    content: Content = CONTENT,
    orcpt: str | None = None,
    **more: object,
) -> Reply:
    return maildir.deliver(
        path,
        Recipient(parse(address, utf8=True), orcpt=orcpt),
        Letter(parse("alice@example.org"), b"Received: us\r\n", content),
        now=now,
        hostname="mx.example.net",
        disk=disk or Disk(),
        **more,
    )


class Recorder(Disk):
    """Writes down each step and fails at one of them."""

    def __init__(self, fail: str = "", error: int = errno.ENOSPC) -> None:
        self.steps: list[str] = []
        self.fail = fail
        self.error = error

    def _step(self, name: str, detail: str = "") -> None:
        self.steps.append(f"{name} {detail}".strip())
        if name == self.fail:
            raise OSError(self.error, os.strerror(self.error), "/secret/path")

    def create(self, path: str, mode: int = 0o600) -> int:
        self._step("create", os.path.basename(os.path.dirname(path)))
        return super().create(path, mode)

    def write(self, fd: int, data: bytes) -> None:
        self._step("write")
        super().write(fd, data)

    def sync(self, fd: int) -> None:
        self._step("sync")
        super().sync(fd)

    def rename(self, source: str, target: str) -> None:
        self._step("rename", os.path.basename(os.path.dirname(target)))
        super().rename(source, target)

    def sync_directory(self, path: str) -> None:
        self._step("sync_directory", os.path.basename(path))
        super().sync_directory(path)


def test_the_message_lies_in_new(tmp_path: Path) -> None:
    """TRC-6, TRC-8."""
    reply = deliver(f"{tmp_path}/{{domain}}/{{user}}/Maildir")
    assert (reply.code, reply.status) == (250, "2.0.0")
    home = tmp_path / "example.test" / "bob" / "Maildir"
    [file] = (home / "new").iterdir()
    assert file.read_bytes() == (
        b"Return-Path: <alice@example.org>\nDelivered-To: Bob@Example.test\n"
        b"Received: us\nSubject: x\n\nbody\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list((home / "tmp").iterdir())
    assert (home / "cur").is_dir()
    assert home.stat().st_mode & 0o777 == 0o700


def test_names_are_unique_also_within_a_microsecond(tmp_path: Path) -> None:
    for _ in range(3):
        assert deliver(f"{tmp_path}/m").ok
    names = sorted(os.listdir(tmp_path / "m" / "new"))
    assert len(names) == 3
    assert all(name.startswith("1.M500000P") and name.endswith(".mx.example.net") for name in names)


def test_a_unique_name_holds_no_slash_or_colon() -> None:
    assert maildir.unique(12.25, 7, 8, "a/b:c") == "12.M250000P7Q8.a\\057b\\072c"


def test_everything_is_synced_before_success(tmp_path: Path) -> None:
    deliver(f"{tmp_path}/m")
    disk = Recorder()
    assert deliver(f"{tmp_path}/m", disk=disk).ok
    assert disk.steps == ["create tmp", "write", "sync", "rename new", "sync_directory new"]


def test_new_directories_are_synced_into_those_above(tmp_path: Path) -> None:
    disk = Recorder()
    assert deliver(f"{tmp_path}/a/m", disk=disk).ok
    above = [step for step in disk.steps if step.startswith("sync_directory")]
    assert above == [f"sync_directory {name}" for name in (tmp_path.name, "a", "m", "m", "m", "new")]


@pytest.mark.parametrize("step", ["create", "write", "sync", "rename", "sync_directory"])
@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (errno.ENOSPC, 452, "4.3.1"),
        (errno.EDQUOT, 452, "4.2.2"),
        (errno.EACCES, 451, "4.3.0"),
        (errno.EIO, 451, "4.3.0"),
        (errno.ENAMETOOLONG, 550, "5.1.1"),
    ],
)
def test_a_failing_disk(tmp_path: Path, step: str, error: int, code: int, status: str) -> None:
    """Temporary, nothing left behind, and no path of ours in what the sender may read; the log has it."""
    deliver(f"{tmp_path}/m")
    before = sorted(tmp_path.rglob("*"))
    told: list[str] = []
    reply = deliver(f"{tmp_path}/m", disk=Recorder(step, error), tell=told.append)
    assert (reply.code, reply.status) == (code, status)
    assert "secret" not in reply.text
    if code < 500:
        [line] = told
        assert line.startswith(f"cannot deliver to the Maildir {tmp_path}/m: /secret/path: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_where_a_directory_should_be_there_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "m").write_text("")
    assert deliver(f"{tmp_path}/m").code == 451


@pytest.mark.parametrize(
    "address",
    [
        '"../x"@example.test',
        '"a/b"@example.test',
        '".bob"@example.test',
        '".."@example.test',
        '"/etc"@example.test',
    ],
)
def test_an_address_that_would_leave_its_place(tmp_path: Path, address: str) -> None:
    reply = deliver(f"{tmp_path}/{{user}}", address)
    assert (reply.code, reply.status) == (550, "5.1.1")
    assert not list(tmp_path.iterdir())


def test_the_bare_postmaster_is_at_our_own_name(tmp_path: Path) -> None:
    assert deliver(f"{tmp_path}/{{domain}}/{{user}}", "Postmaster").ok
    assert (tmp_path / "mx.example.net" / "postmaster" / "new").is_dir()


def test_one_mailbox_under_two_spellings(tmp_path: Path) -> None:
    """Case, needless quoting, and two ways to compose an accent."""
    for address in ("Zoé@example.test", "zoe\u0301@EXAMPLE.test"):
        assert deliver(f"{tmp_path}/{{user}}", address).ok
    assert deliver(f"{tmp_path}/{{user}}", '"BOB"@example.test').ok
    assert deliver(f"{tmp_path}/{{user}}", "bob@example.test").ok
    assert sorted(os.listdir(tmp_path)) == ["bob", "zoé"]


def test_a_local_part_that_looks_like_a_template_is_none(tmp_path: Path) -> None:
    assert deliver(f"{tmp_path}/{{user}}", "{domain}@example.test").ok
    assert os.listdir(tmp_path) == ["{domain}"]


@given(
    st.text(max_size=80) | st.text("./\\\0\r\n-~{}useromain", max_size=12),
    st.sampled_from(["a.example", "[::1]"]),
)
def test_no_address_leaves_the_place_of_its_mailbox(local: str, domain: str) -> None:
    try:
        path = maildir.directory("/m/{domain}/{user}/Maildir", Address(local, domain), "h")
    except (maildir.NoMailbox, AddressError):
        return
    parts = path.split("/")
    assert len(parts) == 5
    assert parts[:3] == ["", "m", domain]
    assert parts[4] == "Maildir"
    assert not parts[3].startswith(".")
    assert "\0" not in path


@pytest.mark.parametrize(
    "path", ["", "/m/{users}", "/m/{", "a\0b", "~/Maildir", "~{user}/Maildir", "/m/{home}"]
)
def test_a_template_that_is_none_is_refused_when_read(path: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        maildir.check_template(path)
    maildir.check_template("/var/mail/{domain}/{user}")


def test_sub_addresses(tmp_path: Path) -> None:
    """The user gets the mail for all details; with {detail} each has its place."""
    for address in ("Bob@example.test", "bob+Lists@example.test", "bob+a+b@example.test", "+x@example.test"):
        assert deliver(f"{tmp_path}/{{user}}", address, delimiter="+").ok
    assert sorted(os.listdir(tmp_path)) == ["+x", "bob"]
    assert len(os.listdir(tmp_path / "bob" / "new")) == 3
    details = tmp_path / "details"
    for address in ("bob@example.test", "bob+Lists@example.test"):
        assert deliver(f"{details}/{{user}}/.{{detail}}", address, delimiter="+").ok
    assert (details / "bob" / ".lists" / "new").is_dir()
    assert (details / "bob" / "new").is_dir(), "bob/. is bob"
    assert deliver(f"{details}/{{user}}/{{detail}}", '"bob+../x"@example.test', delimiter="+").code == 550
    assert deliver(f"{tmp_path}/plain/{{user}}", "bob+x@example.test").ok
    assert os.listdir(tmp_path / "plain") == ["bob+x"]


def test_a_message_that_comes_back_is_not_delivered_again(tmp_path: Path) -> None:
    """TRC-8, QUE-7: Delivered-To with this very address."""
    [reply] = [
        deliver(f"{tmp_path}/m", content=in_memory(b"A: b\r\nDelivered-To:\r\n <bob@EXAMPLE.test>\r\n\r\nx"))
    ]
    assert (reply.code, reply.status) == (554, "5.4.6")
    assert not (tmp_path / "m").exists()
    for other in (b"Delivered-To: bob+x@example.test\r\n\r\n", b"\r\nDelivered-To: bob@example.test\r\n"):
        assert deliver(f"{tmp_path}/m", content=in_memory(other)).ok
    loop = in_memory(b"Delivered-To: bob@example.test\r\n\r\nx")
    assert deliver(f"{tmp_path}/m", content=loop, delivered_to=False).ok, "where the route says so"


def test_files_of_dead_deliveries_are_swept(tmp_path: Path) -> None:
    """Maildir's own rule: 36 hours untouched."""
    assert deliver(f"{tmp_path}/m").ok
    tmp = tmp_path / "m" / "tmp"
    old, new = tmp / maildir.unique(1.5, 2, 3, "mx"), tmp / maildir.unique(2.5, 2, 3, "mx")
    other = tmp / "not of ours"
    for path, age in ((old, 37), (new, 35), (other, 37)):
        path.touch()
        os.utime(path, (1e9 - age * 3600,) * 2)
    assert deliver(f"{tmp_path}/m", now=1e9).ok
    assert not old.exists()
    assert new.exists()
    assert other.exists()


def test_nothing_is_swept_behind_a_link(tmp_path: Path) -> None:
    """Root may deliver into directories of users, who could have files of others removed so."""
    victim = tmp_path / "victim"
    victim.mkdir()
    old = victim / maildir.unique(1.5, 2, 3, "mx")
    old.touch()
    os.utime(old, (0, 0))
    for name in ("new", "cur"):
        (tmp_path / "m" / name).mkdir(parents=True)
    (tmp_path / "m" / "tmp").symlink_to(victim)
    assert deliver(f"{tmp_path}/m", now=1e9).ok
    assert old.exists()


def test_the_home_of_a_unix_user(tmp_path: Path) -> None:
    bob = Person("bob", 1000, 1000, str(tmp_path / "bob"), "")
    assert deliver("{home}/Maildir", person=bob).ok
    assert (tmp_path / "bob" / "Maildir" / "new").is_dir()
    assert deliver("{home}/Maildir").code == 550
    maildir.check_template("{home}/Maildir", as_user=True)
    with pytest.raises(ValueError, match="as_user = true"):
        maildir.check_template("{home}/Maildir", as_user=False)


def test_python_reads_it(tmp_path: Path) -> None:
    """TRC-6, TRC-8: by another hand."""
    assert deliver(f"{tmp_path}/m", orcpt="rfc822;bob@example.org").ok
    [message] = mailbox.Maildir(tmp_path / "m")
    assert message.get_subdir() == "new"
    assert message.keys()[:4] == ["Return-Path", "Delivered-To", "Original-Recipient", "Received"]
    assert message["Return-Path"] == "<alice@example.org>"
    assert message["Original-Recipient"] == "rfc822;bob@example.org"
    assert message.get_payload() == "body\n"
