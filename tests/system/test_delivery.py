"""Delivery on this host: as Unix users by a service that gave root up, and by programs that people run."""

from __future__ import annotations

import contextlib
import mailbox
import os
import pwd
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import peers
import pytest
from dovecot import USERS as MAILBOXES
from peers import until

from conftest import BIN, Daemon, _as_root, _peer

USERS = ("games", "nobody")
USER = next(name for name in MAILBOXES if name != "full")
MESSAGE = b"From: <ann@example.org>\r\nReturn-Path: <old@example.org>\r\nSubject: hello\r\n\r\nbody\r\n"

CONFIG = """
[service]
hostname = "mx.example.test"
user = "daemon"
workers = WORKERS
[queue]
spool = "sqlite:BASE/spool"
[[listen]]
address = "127.0.0.1:{port}"
role = "local"
[[route]]
name = "homes"
domains = ["users.example"]
maildir = "BASE/{{user}}/Maildir"
delimiter = "+"
as_user = true
[retry]
intervals = ["1h"]
"""

# The interpreter may lie where only root gets to: in a namespace of our own it lies open.
NAMESPACE = """
set -e
top=/$(echo "$PREFIX" | cut -d/ -f2)
mount --make-rprivate /
mount --bind "$top" "$STAGE"
mount -t tmpfs -o mode=755 none "$top"
mkdir -p "$PREFIX"
mount --bind "$STAGE${PREFIX#$top}" "$PREFIX"
exec "$@"
"""


class AsRoot(Daemon):
    """A service that root starts, where everybody can get to what it needs."""

    def start(self) -> None:
        """Start it, or start it again."""
        self.process = self.launch("smtpd", *self.arguments)
        try:
            peers.await_listener(self.port, self.process)
        except RuntimeError as error:
            self.stop()
            raise RuntimeError(f"{error}\n{self.errors.read_text()}") from error

    def launch(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of our programs with its configuration."""
        stage = self.base / "stage"
        stage.mkdir(exist_ok=True)
        command = [*self.before(), str(BIN / program), "-C", str(self.config), *arguments]
        prefix = Path(sys.base_prefix)
        if any(not path.stat().st_mode & 0o001 for path in (prefix, *prefix.parents)):
            command = ["unshare", "--mount", "/bin/sh", "-c", NAMESPACE, "sh", *command]
        with self.errors.open("ab") as errors:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env={**os.environ, "PREFIX": str(prefix), "STAGE": str(stage)},
            )

    def before(self) -> list[str]:
        """The beginning of the command by which it is started."""
        return []

    def send(self, *recipients: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.port) as client:
            client.sendmail("ann@example.org", recipients, MESSAGE)

    def processes(self, pid: int | None = None) -> dict[int, set[int]]:
        """The processes of the service, or of what has that pid, each with the user ids it has."""
        found, left = {}, [self.process.pid if pid is None else pid]
        while left:
            pid = left.pop()
            try:
                status = Path(f"/proc/{pid}/status").read_text().splitlines()
                tasks = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
                children = [int(child) for task in tasks for child in task.read_text().split()]
            except OSError:
                continue  # a delivery that has ended
            [uids] = [line.split()[1:] for line in status if line.startswith("Uid:")]
            found[pid] = {int(uid) for uid in uids}
            left += children
        return found

    def helper(self) -> int:
        """The one process that is root."""
        [pid] = [pid for pid, uids in self.processes().items() if uids == {0}]
        return pid


@pytest.fixture
def base() -> Iterator[Path]:
    """A directory that everybody can get to, with one of its own for each user."""
    _as_root()
    made = Path(tempfile.mkdtemp(prefix="delivery-"))
    made.chmod(0o755)
    for name in USERS:
        (made / name).mkdir(mode=0o700)
        os.chown(made / name, pwd.getpwnam(name).pw_uid, pwd.getpwnam(name).pw_gid)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def running() -> Iterator[list[Daemon]]:
    daemons: list[Daemon] = []
    yield daemons
    for daemon in daemons:
        daemon.stop()


def new(home: Path) -> list[Path]:
    """What has come there."""
    place = home / "Maildir" / "new"
    return list(place.iterdir()) if place.is_dir() else []


@pytest.mark.parametrize("workers", [1, 2])
def test_each_user_gets_its_mail_and_only_the_helper_is_root(
    base: Path, running: list[Daemon], workers: int
) -> None:
    """TRC-6, TRC-8; into directories with mode 0700, by a service that runs as somebody else."""
    daemon = AsRoot(base, CONFIG.replace("WORKERS", str(workers)).replace("BASE", str(base)))
    running.append(daemon)
    daemon.send("games@users.example", "nobody+list@users.example", "root@users.example")
    until(lambda: all(new(base / name) for name in USERS))
    for name in USERS:
        [file] = new(base / name)
        owner = pwd.getpwnam(name)
        assert (file.stat().st_uid, file.stat().st_gid) == (owner.pw_uid, owner.pw_gid)
        [message] = mailbox.Maildir(base / name / "Maildir")
        assert message.get_all("Return-Path") == ["<ann@example.org>"]
        assert message["Delivered-To"].startswith(name)
    until(lambda: "refused to deliver as root" in daemon.log())
    daemon_uid = pwd.getpwnam("daemon").pw_uid
    until(lambda: len(daemon.processes()) == (2 if workers == 1 else workers + 2), 20)
    uids = list(daemon.processes().values())
    assert uids.count({0}) == 1
    assert uids.count({daemon_uid}) == len(uids) - 1

    changed = daemon.config.read_text().replace("Maildir", "Other")
    daemon.config.write_text(changed)
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: "was read anew" in daemon.log())
    daemon.send("games@users.example")
    until(lambda: "needs a new start" in daemon.log())
    assert not (base / "games" / "Other").exists()

    os.kill(daemon.helper(), signal.SIGKILL)
    daemon.config.write_text(changed.replace("Other", "Maildir"))
    daemon.process.send_signal(signal.SIGHUP)
    until(lambda: daemon.log().count("was read anew") == 2)
    daemon.send("games@users.example")
    until(lambda: "the process that delivers as users is gone" in daemon.log())
    daemon.stop()
    daemon.start()
    daemon.send("games@users.example")
    until(lambda: len(new(base / "games")) == 2)


class Bounded(AsRoot):
    """With the capabilities that packaging/systemd/as-users.conf leaves, and no more."""

    def before(self) -> list[str]:
        text = (peers.TOP / "packaging" / "systemd" / "as-users.conf").read_text()
        [names] = [line for line in text.splitlines() if line.startswith("CapabilityBoundingSet=")]
        left = [f"+{one.removeprefix('CAP_').lower()}" for one in names.partition("=")[2].split()]
        return ["setpriv", "--bounding-set", ",".join(["-all", *left])]


def test_a_few_capabilities_are_enough(base: Path, running: list[Daemon]) -> None:
    daemon = Bounded(base, CONFIG.replace("WORKERS", "1").replace("BASE", str(base)))
    running.append(daemon)
    daemon.send("games@users.example", "nobody@users.example")
    until(lambda: all(new(base / name) for name in USERS) or "status=deferred" in daemon.log())
    for name in USERS:
        [file] = new(base / name)
        assert file.stat().st_uid == pwd.getpwnam(name).pw_uid
    assert daemon.stop() == 0


def test_a_runner_of_its_own_gives_root_up_too(base: Path, running: list[Daemon]) -> None:
    """runsmtpq --daemon beside a smtpd that only receives: it, too, keeps one small process that is root."""
    settings = CONFIG.replace("WORKERS", "1").replace("BASE", str(base))
    daemon = AsRoot(base, settings, "--no-runner")
    running.append(daemon)
    daemon.send("games@users.example")
    runner = daemon.launch("runsmtpq", "--daemon")
    try:
        until(lambda: new(base / "games"))
        daemon.send("nobody@users.example", "root@users.example")
        until(lambda: new(base / "nobody"))
        until(lambda: "refused to deliver as root" in daemon.log())
        until(lambda: len(daemon.processes(runner.pid)) == 2, 20)
        daemon_uid = pwd.getpwnam("daemon").pw_uid
        assert daemon.processes(runner.pid)[runner.pid] == {daemon_uid}
        assert sorted(daemon.processes(runner.pid).values(), key=sorted) == [{0}, {daemon_uid}]
        [file] = new(base / "nobody")
        assert file.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    finally:
        runner.terminate()
        assert runner.wait(60) == 0


def test_a_spool_of_root_is_told_of_in_one_line(base: Path, running: list[Daemon]) -> None:
    (base / "spool").mkdir(mode=0o700)
    settings = CONFIG.replace("WORKERS", "1").replace("BASE", str(base))
    with contextlib.suppress(RuntimeError):  # it may have been heard of before it ended
        running.append(AsRoot(base, settings))
        assert running[0].process.wait(60) == 78
    log = (base / "smtpd.log").read_text()
    assert (
        f"{base}/spool belongs to root, and the service runs as daemon: chown -R daemon {base}/spool" in log
    )
    assert len(log.splitlines()) == 1


PIPE = """
[service]
hostname = "mx.example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
role = "local"
[[route]]
pipe = {command}
delimiter = "+"
[retry]
intervals = ["1h"]
"""


def settings(command: list[str]) -> str:
    """A service that pipes all mail into this."""
    text = str(command).replace("{", "{{").replace("}", "}}")
    return PIPE.format(command=text)


def wrapped(name: str, home: Path) -> list[str]:
    """A peer that finds its libraries, with the environment that mether gives it beside."""
    env = peers.environment()
    return ["env", f"LD_LIBRARY_PATH={env['LD_LIBRARY_PATH']}", f"HOME={home}", _peer(name)]


def test_procmail(smtpd, tmp_path: Path) -> None:
    """As docs/delivery.md has it; a rule looks at the detail, and an exit status returns the mail."""
    rules = tmp_path / "procmailrc"
    rules.write_text(f"MAILDIR={tmp_path}\nDEFAULT={tmp_path}/inbox/\nARG=$1\n:0\n* ARG ?? ^list$\nlists/\n")
    command = [*wrapped("procmail", tmp_path), "-t", "-f", "{sender}", "-m", str(rules), "{detail}"]
    daemon = smtpd(settings(command))
    with smtplib.SMTP("127.0.0.1", daemon.port) as client:
        client.sendmail("ann@example.org", ["bob@example.com", "bob+list@example.com"], MESSAGE)
    until(lambda: all((tmp_path / box / "new").is_dir() for box in ("inbox", "lists")))
    until(lambda: all(list((tmp_path / box / "new").iterdir()) for box in ("inbox", "lists")))
    [message] = mailbox.Maildir(tmp_path / "lists")
    assert message["Delivered-To"] == "bob+list@example.com"
    rules.write_text(f"MAILDIR={tmp_path}\nLOGFILE=/dev/stderr\nEXITCODE=67\nHOST=x\n")
    with smtplib.SMTP("127.0.0.1", daemon.port) as client:
        client.sendmail("ann@example.org", ["eve@example.com"], MESSAGE)
    until(lambda: "status=bounced" in daemon.log())
    assert "exited with status 67" in daemon.log()


def test_maildrop(smtpd, tmp_path: Path) -> None:
    rules = tmp_path / "mailfilter"
    rules.write_text(f'to "{tmp_path}/$EXTENSION/."\n'.replace("/.", ""))
    rules.chmod(0o600)
    for name in ("new", "cur", "tmp"):
        (tmp_path / "list" / name).mkdir(parents=True)
    variables = ["EXTENSION={detail}"]
    command = [*wrapped("maildrop", tmp_path)[:-1], *variables, _peer("maildrop"), str(rules)]
    daemon = smtpd(settings(command))
    with smtplib.SMTP("127.0.0.1", daemon.port) as client:
        client.sendmail("ann@example.org", ["bob+list@example.com"], MESSAGE)
    until(lambda: list((tmp_path / "list" / "new").iterdir()) or "deferred" in daemon.log())
    [message] = mailbox.Maildir(tmp_path / "list")
    assert message["Delivered-To"] == "bob+list@example.com"
    assert message["Return-Path"] == "<ann@example.org>"


def test_dovecot_lda(smtpd, dovecot) -> None:
    """In the root directory where its paths are those that were compiled in."""
    lda = "/usr/lib/dovecot/dovecot-lda"
    arguments = [lda, "-f", "{sender}", "-a", "{recipient}", "-d", "{user}"]
    daemon = smtpd(settings(dovecot.jail.command(*arguments)))
    with smtplib.SMTP("127.0.0.1", daemon.port) as client:
        client.sendmail("ann@example.org", [f"{USER}@example.com", "nosuchuser@example.com"], MESSAGE)
    until(lambda: dovecot.mailbox(USER) and "status=bounced" in daemon.log())
    assert any(b"Delivered-To: %s@example.com" % USER.encode() in one for one in dovecot.mailbox(USER))
    assert "exited with status 67" in daemon.log()
