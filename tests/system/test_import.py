"""Queues that real programs left, taken over; and ours, given to them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import certificates
import peers
import pytest
import queues
from exim import Exim
from jail import Jail
from opensmtpd import OpenSmtpd
from postfix import Postfix

from mether.queue.message import Entry
from mether.queue.open import open_store
from mether.queue.store import Filter, StoreError

CONTENT = b"From: ann@example.org\nSubject: hi\n\n.dot\nGr\xc3\xbc\xc3\x9fe\n" + b"x" * 990 + b"\n"
LARGE = b"Subject: large\n\n" + b"0123456789\n" * 40_000


class Ours:
    """Our queue, and the command on it."""

    def __init__(self, base: Path) -> None:
        self.url = f"sqlite:{base / 'ours'}"
        self.config = base / "mether.toml"
        self.config.write_text(
            '[service]\nhostname = "ours.example.test"\npostmaster = "p@ours.example.test"\n'
        )
        self.environment = {**os.environ, "METHER_CONFIG": str(self.config), "METHER_SPOOL": self.url}

    def run(self, name: str, *arguments: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        program = peers.TOP / ".venv" / "bin" / name
        return subprocess.run(
            [str(program), *arguments], env=self.environment, input=content, capture_output=True, check=False
        )

    def take(self, source: str, directory: Path, status: int = 0) -> str:
        """Import; what it printed."""
        done = self.run("mether", "import", "--from", source, str(directory))
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == status, said
        return said

    def count(self) -> int:
        """How many messages are queued; 0 where there is no queue yet."""
        try:
            store = open_store(self.url, now=time.time(), create=False)
        except StoreError:
            return 0
        try:
            return store.count(10_000)
        finally:
            store.close()

    def queued(self) -> list[tuple[Entry, bytes]]:
        """What is queued, with its content."""
        store = open_store(self.url, now=time.time(), create=False)
        try:
            return [
                (entry, b"".join(store.content(entry.message.ident).chunks()))
                for entry in store.entries(Filter())
            ]
        finally:
            store.close()


@pytest.fixture
def ours(tmp_path: Path) -> Ours:
    return Ours(tmp_path)


def paths(entry: Entry) -> list[str]:
    return sorted(str(row.recipient.forward_path) for row in entry.rows)


def body(content: bytes) -> bytes:
    """What follows the header, in which each program puts fields that are missing."""
    return content.partition(b"\r\n\r\n")[2]


def crlf(content: bytes) -> bytes:
    return content.replace(b"\n", b"\r\n")


def sent(content: bytes, *recipients: str, port: int, source: str = "ann@example.org", **mail: str) -> None:
    """A message by SMTP, with DSN parameters if wanted."""
    import smtplib

    with smtplib.SMTP("127.0.0.1", port, "client.test") as client:
        client.ehlo()
        options = [f"{name.upper()}={value}" for name, value in mail.items()]
        assert client.mail(source, ["BODY=8BITMIME", *options])[0] == 250
        for each in recipients:
            rcpt = ["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;{each}"] if mail else []
            assert client.rcpt(each, rcpt)[0] == 250
        assert client.data(crlf(content))[0] == 250


def test_a_queue_of_postfix(ours: Ours, postfix: Callable[..., Postfix]) -> None:
    """Deferred, held and fresh mail, with what was asked of reports; while it runs nothing is taken."""
    mta = postfix("relayhost = [127.0.0.1]:1\nsmtpd_end_of_data_restrictions =\n")
    sent(CONTENT, "bob@example.net", "carol@example.com", port=mta.port, ret="HDRS", envid="QQ1")
    sent(LARGE, "dan@example.net", port=mta.port)
    queue = mta.base / "queue"
    deadline = time.monotonic() + 30
    while len([one for one in (queue / "deferred").rglob("*") if one.is_file()]) < 2:
        assert time.monotonic() < deadline, mta.log()
        time.sleep(0.1)
    assert "seems to be running" in ours.take("postfix", queue, 75)
    mta.halt()
    said = ours.take("postfix", queue)
    assert "2 imported" in said
    assert "Connection refused" in said
    found = sorted(ours.queued(), key=lambda one: len(one[1]))
    (entry, content), (_, large) = found
    assert body(content) == body(crlf(CONTENT))
    assert b"\r\nSubject: hi\r\n" in content
    assert content.startswith(b"Received: from client.test")
    assert body(large) == body(crlf(LARGE))
    assert paths(entry) == ["bob@example.net", "carol@example.com"]
    envelope = entry.message.envelope
    assert (str(envelope.reverse_path), envelope.body) == ("ann@example.org", "8BITMIME")
    assert (envelope.ret, envelope.envid) == ("HDRS", "QQ1")
    assert entry.rows[0].recipient.notify == "SUCCESS,FAILURE"
    assert entry.rows[0].recipient.orcpt == "rfc822;bob@example.net"
    assert abs(entry.message.arrival.at - time.time()) < 120
    assert "2 were imported before" in ours.take("postfix", queue)


def test_a_queue_of_exim(ours: Ours, exim: Callable[..., Exim]) -> None:
    mta = exim("  command = /bin/false\n")
    mta.run("-odq", "-oi", "-f", "ann@example.org", "bob@example.net", "carol@example.com", content=CONTENT)
    mta.run("-odq", "-oi", "-f", "<>", "dan@example.net", content=LARGE)
    said = ours.take("exim", mta.base / "spool")
    assert "2 imported" in said
    (entry, content), (report, large) = sorted(ours.queued(), key=lambda one: len(one[1]))
    assert body(content) == body(crlf(CONTENT))
    assert b"Subject: hi\r\n" in content
    assert paths(entry) == ["bob@example.net", "carol@example.com"]
    assert report.message.envelope.reverse_path is None
    assert body(large) == body(crlf(LARGE))


def test_a_queue_of_opensmtpd(ours: Ours, tmp_path: Path) -> None:
    if peers.program("opensmtpd") is None or os.geteuid():
        pytest.skip("OpenSMTPD is missing, or this is not root")
    mta = OpenSmtpd(*certificates.pair(tmp_path, "localhost"))
    try:
        sent(CONTENT, "bob@example.net", "carol@example.com", port=mta.port)
        spool = mta.jail.base / "var/spool/smtpd"
        assert "seems to be running" in ours.take("opensmtpd", spool, 75)
        assert (
            "1 imported"
            in ours.run("mether", "import", "--force", "--from", "opensmtpd", str(spool)).stdout.decode()
        )
    finally:
        mta.stop()
    ((entry, content),) = ours.queued()
    assert body(content) == body(crlf(CONTENT))
    assert b"\r\nSubject: hi\r\n" in content
    assert paths(entry) == ["bob@example.net", "carol@example.com"]


def test_an_import_that_is_killed_brings_each_message_once(ours: Ours, tmp_path: Path) -> None:
    """By kill -9, at whatever it is doing."""
    queue, many = tmp_path / "other" / "queue", 200
    queue.mkdir(parents=True)
    for number in range(many):
        (queue / f"1790000000.{number}").write_bytes(b"ann@example.org\nbob@example.net\n\n" + CONTENT)
    command = [str(peers.TOP / ".venv/bin/mether"), "import", "--from", "nullmailer", str(queue.parent)]
    for killed_at in (1, 60):
        with subprocess.Popen(command, env=ours.environment, stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + 30
            while process.poll() is None and ours.count() < killed_at:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.kill()
    there = ours.count()
    said = ours.take("nullmailer", queue.parent)
    assert f"{many - there} imported" in said
    assert ours.count() == many
    assert ours.run("smtpq", "check").returncode == 0


@pytest.fixture
def jailed() -> Iterator[Callable[..., Jail]]:
    """A root directory for a peer that runs as ``mail``, with its spool."""
    made: list[Jail] = []

    def make(name: str, program: str, *directories: str) -> Jail:
        if peers.program(name) is None or os.geteuid():
            pytest.skip(f"{name} is missing, or this is not root")
        made.append(Jail(program, accounts={"mail": 8}))
        for each in directories:
            (made[-1].base / each).mkdir(parents=True)
            os.chown(made[-1].base / each, 8, 8)
        return made[-1]

    yield make
    for jail in made:
        jail.stop()


def submitted(jail: Jail, *command: str, content: bytes) -> None:
    subprocess.run(jail.command(*command), input=content, check=True, capture_output=True)


def test_a_queue_of_nullmailer(ours: Ours, jailed: Callable[..., Jail]) -> None:
    spool = "var/spool/nullmailer"
    jail = jailed("nullmailer", "usr/sbin/nullmailer-queue", spool, f"{spool}/queue", f"{spool}/tmp")
    os.mkfifo(jail.base / spool / "trigger")
    envelope = b"ann@example.org\nbob@example.net\ncarol@example.com\n\n"
    submitted(jail, "/usr/sbin/nullmailer-queue", content=envelope + CONTENT)
    assert "1 imported" in ours.take("nullmailer", jail.base / spool)
    ((entry, content),) = ours.queued()
    assert content.endswith(crlf(CONTENT))
    assert paths(entry) == ["bob@example.net", "carol@example.com"]
    assert abs(entry.message.arrival.at - time.time()) < 120


def test_a_queue_of_dma(ours: Ours, jailed: Callable[..., Jail]) -> None:
    """To two recipients it has two messages."""
    jail = jailed("dma", "usr/sbin/dma", "var/spool/dma")
    jail.write("etc/dma/dma.conf", "SMARTHOST 127.0.0.1\nPORT 1\nMAILNAME dma.test\nDEFER\n")
    jail.write("etc/dma/auth.conf", "")
    names = ("bob@example.net", "carol@example.com")
    submitted(jail, "/usr/sbin/dma", "-f", "ann@example.org", *names, content=CONTENT)
    assert "2 imported" in ours.take("dma", jail.base / "var/spool/dma")
    found = ours.queued()
    assert sorted(path for entry, _ in found for path in paths(entry)) == sorted(names)
    assert {str(entry.message.envelope.reverse_path) for entry, _ in found} == {"ann@example.org"}
    assert [body(content) for _, content in found] == [body(crlf(CONTENT))] * 2


def filled(ours: Ours) -> None:
    """Two messages, with what their senders asked of reports."""
    store = open_store(ours.url, now=time.time())
    both = ("bob@example.net", "carol@example.com")
    queues.put(store, *both, content=crlf(CONTENT), body="8BITMIME", notify="SUCCESS", ret="HDRS", envid="Q1")
    queues.put(store, "dan@example.net", content=crlf(LARGE), sender="")
    store.close()


def test_an_export_is_read_by_exim(ours: Ours, exim: Callable[..., Exim]) -> None:
    """Its -bS reads batch SMTP, and all of it arrives."""
    filled(ours)
    export = ours.run("smtpq", "export", "--plain", "--all")
    assert export.returncode == 0, export.stderr
    mta = exim("  command = /bin/false\n")
    mta.run("-odq", "-bS", content=export.stdout)
    assert mta.queued() == 2
    again = Ours(mta.base)
    again.take("exim", mta.base / "spool")
    mine, theirs = (sorted(each.queued(), key=lambda one: len(one[1])) for each in (ours, again))
    for (one, content), (other, back) in zip(mine, theirs, strict=True):
        assert paths(one) == paths(other)
        assert one.message.envelope.reverse_path == other.message.envelope.reverse_path
        assert back.endswith(content.partition(b"\r\n\r\n")[2])


def test_an_export_is_read_by_postfix(ours: Ours, postfix: Callable[..., Postfix]) -> None:
    """By its sendmail -bs."""
    filled(ours)
    export = ours.run("smtpq", "export", "--plain", "--all")
    mta = postfix(
        "relayhost = [127.0.0.1]:1\n"
        # For postdrop, which finds its libraries by it.
        "export_environment = LD_LIBRARY_PATH MAIL_CONFIG TZ LANG\n"
    )
    done = subprocess.run(
        [str(mta.places["commands"] / "sendmail"), "-bs"],
        env=peers.environment(MAIL_CONFIG=str(mta.base / "etc")),
        input=export.stdout,
        capture_output=True,
        check=False,
    )
    assert done.stdout.count(b"250 2.0.0 Ok: queued") == 2, (done.stdout, done.stderr, mta.log())


def test_an_export_is_the_same_queue_again(ours: Ours, tmp_path: Path) -> None:
    """Read by in.smtpd: envelopes, parameters and content are as they were."""
    filled(ours)
    export = ours.run("smtpq", "export", "--all")
    (tmp_path / "again").mkdir()
    again = Ours(tmp_path / "again")
    done = again.run("in.smtpd", content=export.stdout)
    assert done.returncode == 0, (done.stdout, done.stderr)
    mine, theirs = ours.queued(), again.queued()
    assert len(mine) == len(theirs) == 2
    for (one, content), (other, back) in zip(mine, theirs, strict=True):
        assert [row.recipient for row in one.rows] == [row.recipient for row in other.rows]
        for name in ("reverse_path", "ret", "envid", "body"):
            assert getattr(one.message.envelope, name) == getattr(other.message.envelope, name)
        assert back.endswith(content)
