"""The process that delivers as Unix users: what it refuses, whose files it makes, and when it ends."""

from __future__ import annotations

import array
import errno
import os
import pwd
import select
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mether.address import parse
from mether.envelope import Recipient
from mether.queue.content import Content, in_memory
from mether.relay import asuser
from mether.relay.asuser import Helper, HelperGone, Request
from mether.relay.letter import Letter
from mether.relay.way import Terms, Way
from mether.reply import Reply
from mether.setup import deliverer

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become others")
CONTENT = in_memory(b"Subject: x\r\n\r\nbody\r\n")
USERS = ("games", "nobody")


def person(name: str, uid: int = 1000, gid: int = 1000, home: str = "/home/x") -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, gid, "", home, "/bin/sh"))


def test_who_is_looked_up() -> None:
    _, found = deliverer.look_up("Ann", lambda name: person(name))
    assert found is not None
    assert (found.name, found.uid, found.gid, found.home) == ("ann", 1000, 1000, "/home/x")


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\0b", "a:b", "zoé", "ann b\n", "../root"])
def test_who_cannot_be_a_user(name: str) -> None:
    def nobody(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    assert deliverer.look_up(name, nobody) == (deliverer.NO_USER, None)


def test_where_users_cannot_be_looked_up_nobody_is_unknown() -> None:
    """A directory service that is down must not have mail returned."""

    def down(name: str) -> pwd.struct_passwd:
        raise OSError(errno.EIO, "Input/output error")

    reply, found = deliverer.look_up("ann", down)
    assert found is None
    assert reply.temporary


@pytest.mark.parametrize("ids", [(0, 1000), (1000, 0), (0, 0)])
def test_nothing_is_delivered_as_root(ids: tuple[int, int]) -> None:
    assert deliverer.look_up("toor", lambda name: person(name, *ids)) == (deliverer.NOT_ROOT, None)


def test_without_ways_there_is_no_such_process() -> None:
    assert deliverer.start({}, "mx.example.net", 1) is None


@pytest.fixture
def homes() -> Iterator[Path]:
    """A Maildir's place for each of two users, closed to all others; where everybody can get to."""
    base = Path(tempfile.mkdtemp(prefix="homes-"))
    base.chmod(0o755)
    for name in USERS:
        (base / name).mkdir(mode=0o700)
        found = pwd.getpwnam(name)
        os.chown(base / name, found.pw_uid, found.pw_gid)
    yield base
    shutil.rmtree(base)


LATE = 0.1
GATE = "echo begins >>$1/told; head -c 1 $1/gate >/dev/null; echo ends >>$1/told"
"""A program that says when it begins, waits for an octet, and says when it ends."""


class Started:
    """The process, and who asks it."""

    def __init__(self, homes: Path) -> None:
        who = "echo $(id -u) $(id -g) $(id -G) $(umask) $USER $(pwd) $(ls /proc/self/fd); "
        who += f"kill -0 {os.getpid()}"
        self.ways = {
            "homes": Way("maildir", f"{homes}/{{user}}/Maildir", delimiter="+", terms=Terms(as_user=True)),
            "who": Way("pipe", ("/bin/sh", "-c", f"({who}) >&2; exit 69"), terms=Terms(as_user=True)),
            "hangs": Way("pipe", ("/bin/sleep", "20"), terms=Terms(600.0, as_user=True)),
            "late": Way("pipe", ("/bin/true",), terms=Terms(LATE, as_user=True)),
            "config": Way(
                "pipe", ("/bin/sh", "-c", "echo $METHER_CONFIG >&2; exit 69"), terms=Terms(as_user=True)
            ),
            "gate": Way("pipe", ("/bin/sh", "-c", GATE, "sh", str(homes)), terms=Terms(600.0, as_user=True)),
        }
        before = set(_children())
        self.log = tempfile.TemporaryFile()  # noqa: SIM115
        kept = os.dup(2)
        os.dup2(self.log.fileno(), 2)
        helper = deliverer.start(self.ways, "mx.example.net", 1, {"METHER_CONFIG": "/etc/other.toml"})
        os.dup2(kept, 2)
        os.close(kept)
        assert helper is not None
        self.helper = helper
        [self.pid] = set(_children()) - before

    def deliver(self, rule: str, address: str, content: Content = CONTENT) -> Reply:
        letter = Letter(parse("ann@example.org"), b"Received: us\r\n", content, ident="1A2B")
        return self.helper.deliver(rule, Recipient(parse(address)), letter, 20.0)

    def child(self) -> int:
        """The first that it forks."""
        path = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        while not (children := path.read_text().split()):
            pass
        return int(children[0])

    def told(self) -> str:
        """What it wrote on standard error so far."""
        return os.pread(self.log.fileno(), 65536, 0).decode()

    def raw(self, packet: bytes, fds: list[int]) -> bytes:
        """Send octets and descriptors of our own, with the end of a pipe last; what is answered."""
        reading, writing = os.pipe()
        rights = array.array("i", [*fds, writing])
        self.helper._sock.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        os.close(writing)
        answer = b""
        while piece := os.read(reading, 4096):
            answer += piece
        os.close(reading)
        return answer


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


@pytest.fixture
def started(homes: Path) -> Iterator[Started]:
    made = Started(homes)
    yield made
    made.helper.close()
    made.log.close()
    os.waitpid(made.pid, 0)


@ROOT
def test_each_user_gets_files_of_its_own(started: Started, homes: Path) -> None:
    """Into directories that nobody else may enter."""
    for name in USERS:
        assert str(started.deliver("homes", f"{name}+x@example.com")) == "250 2.0.0 delivered to the mailbox"
        [file] = (homes / name / "Maildir" / "new").iterdir()
        found, owner = file.stat(), pwd.getpwnam(name)
        assert (found.st_uid, found.st_gid) == (owner.pw_uid, owner.pw_gid)
        assert found.st_mode & 0o777 == 0o600
        assert f"Delivered-To: {name}+x@example.com\n" in file.read_text()


@ROOT
def test_a_program_is_run_as_the_user_with_nothing_of_ours(started: Started) -> None:
    reply = started.deliver("who", "nobody@example.com")
    owner = pwd.getpwnam("nobody")
    groups = " ".join(map(str, os.getgrouplist("nobody", owner.pw_gid)))
    assert f"{owner.pw_uid} {owner.pw_gid} {groups} 0077 nobody / 0 1 2 3" in reply.text
    assert "not permitted" in reply.text, "it may not even signal us"


@ROOT
def test_a_program_finds_the_configuration_of_the_service(started: Started) -> None:
    assert "/etc/other.toml" in started.deliver("config", "nobody@example.com").text


@ROOT
def test_what_is_refused(started: Started, homes: Path) -> None:
    """No root, no user that is none, no route that is none, no way out of the template."""
    assert started.deliver("homes", "root@example.com").status == "4.3.5"
    assert started.deliver("homes", "nosuchuser@example.com").status == "5.1.1"
    assert started.deliver("homes", '"../games"@example.com').status == "5.1.1"
    assert started.deliver("homes", '"games/../nobody"@example.com').status == "5.1.1"
    assert started.deliver("other", "nobody@example.com").status == "4.3.5"
    assert [path.name for path in homes.rglob("new")] == []
    told = started.told()
    assert "refused to deliver as root" in told
    assert "route 'other' does not deliver as its users" in told


@ROOT
def test_what_is_no_request_gets_no_answer(started: Started) -> None:
    good = asuser.encode(Request("homes", Recipient(parse("nobody@example.com")), Letter(None, b"", CONTENT)))
    with open(os.devnull) as null:
        fd = null.fileno()
        assert started.raw(b"x" * asuser.MAX_REQUEST * 2, [fd]) == b"", "too long"
        assert started.raw(b"nonsense", [fd]) == b""
        assert started.raw(good, []) == b"", "one descriptor"
        assert started.raw(good, [fd, fd]) == b"", "three"
        assert started.raw(good.replace(b"mether 1", b"mether 9"), [fd]) == b""
    assert started.told().count("refused a request") == 5
    assert started.deliver("homes", "nobody@example.com").ok, "and it goes on"


@ROOT
def test_signals_do_not_end_it_but_the_socket_does(started: Started) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(started.pid, number)
    assert started.deliver("homes", "nobody@example.com").ok


@ROOT
def test_killed_in_the_middle(homes: Path) -> None:
    """Its child has the answer to give, and whoever comes later has none."""
    made = Started(homes)
    os.kill(made.pid, signal.SIGKILL)
    os.waitpid(made.pid, 0)
    with pytest.raises(HelperGone):
        made.deliver("homes", "nobody@example.com")
    made.helper.close()
    made.log.close()


@ROOT
def test_it_dies_with_whoever_started_it(homes: Path) -> None:
    """By the kernel's hand, though others still hold the socket."""
    reading, writing = os.pipe()
    keeper = socket.socketpair()
    child = os.fork()
    if child == 0:
        try:
            made = Started(homes)
            os.write(writing, b"%d" % made.pid)
            signal.pause()
        finally:
            os._exit(1)
    pid = int(os.read(reading, 100))
    watched = os.pidfd_open(pid)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert select.select([watched], [], [], 30)[0], "it has ended"
    for fd in (reading, writing, watched):
        os.close(fd)
    for sock in keeper:
        sock.close()


@ROOT
def test_a_child_that_dies_delays(started: Started) -> None:
    """kill -9 of what delivers one message harms no other."""
    replies: list[Reply] = []
    thread = threading.Thread(target=lambda: replies.append(started.deliver("hangs", "nobody@example.com")))
    thread.start()
    os.kill(started.child(), signal.SIGKILL)
    thread.join()
    assert [str(reply) for reply in replies] == [str(asuser.GONE)]
    assert started.deliver("homes", "nobody@example.com").ok
    assert isinstance(started.helper, Helper)


@ROOT
def test_more_than_its_children_wait_in_the_socket(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time: each that ends lets the next begin, and all are delivered."""
    monkeypatch.setattr(deliverer, "CHILDREN", 2)
    os.mkfifo(homes / "gate")
    (homes / "told").touch()
    for name in ("gate", "told"):
        (homes / name).chmod(0o666)
    gate = os.open(homes / "gate", os.O_RDWR)
    made = Started(homes)
    replies: list[Reply] = []
    threads = [
        threading.Thread(target=lambda: replies.append(made.deliver("gate", "nobody@example.com")))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()

    def told() -> list[str]:
        return (homes / "told").read_text().split()

    for ended in range(5):
        while told().count("begins") < min(5, ended + 2):
            pass
        os.write(gate, b".")
    for thread in threads:
        thread.join()
    at_once = [told()[:end].count("begins") - told()[:end].count("ends") for end in range(11)]
    assert max(at_once) == 2
    assert [reply.ok for reply in replies] == [True] * 5
    made.helper.close()
    made.log.close()
    os.close(gate)
    os.waitpid(made.pid, 0)


@ROOT
def test_a_child_that_takes_too_long_is_killed(homes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot keep the time itself; a file server that is gone is like that."""
    deliver = deliverer.way.deliver

    def stuck(found: Way, *rest: Any, **more: Any) -> list[Reply]:
        if found.terms.limit == LATE:
            signal.pause()
        return deliver(found, *rest, **more)

    monkeypatch.setattr(asuser, "SLACK", 2.0)
    monkeypatch.setattr(deliverer.way, "deliver", stuck)
    made = Started(homes)
    assert made.deliver("late", "nobody@example.com") == asuser.GONE
    assert made.deliver("homes", "nobody@example.com").ok, "and it goes on"
    made.helper.close()
    made.log.close()
    os.waitpid(made.pid, 0)
