"""A host or a user with nothing but a smart host: no daemon, no root, three lines of configuration.

What nullmailer, dma and msmtp are for (docs/null-client.md).  Run by root the programs are nobody's.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import peers
import pytest
from certificates import ca_file, pair
from servers import Aiosmtpd

from conftest import _lacking

BIN = Path(sys.executable).parent
NOBODY = 65534
ROOT = os.geteuid() == 0
CRON = (
    b'From: "(Cron Daemon)" <root>\nTo: root\nSubject: Cron <root@laptop> backup\n'
    b"Content-Type: text/plain; charset=UTF-8\n\nbackup: failed\n"
)
SECONDS = 60.0


class User:
    """Somebody with a home directory and nothing else; calling it runs one of our programs."""

    def __init__(self, home: Path, ca: str) -> None:
        self.home = home
        path = os.pathsep.join(one for one in sys.path if one)
        self.environ = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONPATH": path, "SSL_CERT_FILE": ca}
        self.account = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if ROOT else {}
        self.python = self._interpreter()
        self.config = home / ".config" / "mether" / "mether.toml"
        self.spool = home / ".local" / "state" / "mether" / "smtpq"

    def _interpreter(self) -> str:
        """One that this user may run: root's own may lie in root's home."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        for one in (sys.executable, shutil.which(version, path="/usr/local/bin:/usr/bin")):
            try:
                done = subprocess.run(
                    [one or "", "-P", "-c", "import mether.queue.sqlite"],
                    env=self.environ,
                    capture_output=True,
                    check=False,
                    **self.account,  # type: ignore[arg-type]
                )
            except OSError:
                continue
            if not done.returncode:
                return str(one)
        _lacking(f"no {version} that everybody may run")
        raise AssertionError

    def argv(self, program: str, *arguments: str) -> list[str]:
        return [self.python, "-P", "-m", f"mether.programs.{program}", *arguments]

    def __call__(
        self, program: str, *arguments: str, message: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            self.argv(program, *arguments),
            input=message,
            env=self.environ,
            cwd="/",
            capture_output=True,
            timeout=SECONDS,
            check=False,
            **self.account,  # type: ignore[arg-type]
        )
        if check:
            assert (done.returncode, done.stderr) == (0, b""), (program, arguments, done)
        return done

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.argv(program, *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environ,
            cwd="/",
            **self.account,  # type: ignore[arg-type]
        )

    def configure(self, port: int, more: str = "") -> None:
        """The three lines, and `more`."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f'[[route]]\nsmtp = "localhost:{port}"\n'
            f'login = {{ user = "{Aiosmtpd.login}", password_file = "password" }}\n{more}'
        )
        password = self.config.parent / "password"
        password.write_text(f"{Aiosmtpd.password}\n")
        password.chmod(0o600)
        if ROOT:
            for one in (self.home, *self.home.rglob("*")):
                os.chown(one, NOBODY, NOBODY)

    def queued(self) -> int:
        return len(self("smtpq", "list", "--json").stdout.splitlines())


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that everybody may enter."""
    made = Path(tempfile.mkdtemp(prefix="mether-null-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def smart(place: Path) -> Iterator[Aiosmtpd]:
    """A smart host that wants TLS and a login."""
    server = Aiosmtpd(*pair(place, "localhost"))
    yield server
    server.stop()


@pytest.fixture
def user(place: Path, smart: Aiosmtpd) -> Iterator[User]:
    home = Path(tempfile.mkdtemp(dir=place))
    home.chmod(0o755)
    ca = Path(ca_file(place))
    ca.chmod(0o644)
    made = User(home, str(ca))
    made.configure(smart.port)
    yield made
    shutil.rmtree(home, ignore_errors=True)


def came(smart: Aiosmtpd, count: int) -> None:
    """Wait until so many messages have come."""
    end = time.monotonic() + SECONDS
    while len(smart.envelopes) < count:
        assert time.monotonic() < end, f"{len(smart.envelopes)} of {count} came"
        time.sleep(0.02)


def test_three_lines_are_enough_for_cron(user: User, smart: Aiosmtpd) -> None:
    """As cron calls it: queued, then delivered behind its back, under TLS and with the login."""
    user("sendmail", "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root", message=CRON)
    came(smart, 1)
    (envelope, login, secure) = smart.envelopes[0]
    assert (login, secure) == (smart.login, True)
    (recipient,) = envelope.rcpt_tos
    assert recipient.startswith("root@") and len(recipient) > 5
    assert f'From: "(Cron Daemon)" <{recipient}>\r\nTo: {recipient}\r\n'.encode() in envelope.content
    assert (user.spool / "queue.sqlite3").exists()
    assert user.spool.stat().st_mode & 0o077 == 0


def test_roots_mail_and_every_sender_can_be_somebodys(user: User, smart: Aiosmtpd) -> None:
    """nullmailer's adminaddr, msmtp's from."""
    user.configure(smart.port, 'rewrite = { "@laptop.local" = "ann@example.net" }\n')
    text = user.config.read_text()
    user.config.write_text(
        '[service]\nhostname = "laptop.local"\n[[route]]\ndomains = ["laptop.local"]\n'
        'forward = ["admin@example.net"]\n' + text
    )
    user("sendmail", "-i", "-odi", "root", message=CRON)
    (envelope, _, _) = smart.envelopes[0]
    assert envelope.mail_from == "ann@example.net"
    assert envelope.rcpt_tos == ["admin@example.net"]
    assert b'From: "(Cron Daemon)" <ann@example.net>\r\n' in envelope.content


def test_what_comes_back_reaches_its_author(user: User, smart: Aiosmtpd) -> None:
    """The report is for a name that nobody outside knows: by the map it is for an address of his."""
    user.configure(smart.port, 'rewrite = { "@laptop.local" = "ann@example.net" }\n')
    user.config.write_text('[service]\nhostname = "laptop.local"\n' + user.config.read_text())
    user("sendmail", "-i", "-f", "joe", "eve@refused.example", message=CRON)
    came(smart, 1)
    (envelope, _, _) = smart.envelopes[0]
    assert (envelope.mail_from, envelope.rcpt_tos) == ("<>", ["ann@example.net"])
    assert b"550 5.1.1 no such user here" in envelope.content


def test_what_comes_back_to_nobody_is_held_and_not_lost(user: User, smart: Aiosmtpd) -> None:
    """Where the smart host refuses the report too: its reader finds it, with the message, by mailq."""
    user.configure(smart.port)
    user.config.write_text('[service]\nhostname = "refused.example"\n' + user.config.read_text())
    user("sendmail", "-i", "-odi", "-f", "joe", "eve@refused.example", message=CRON)
    user("runsmtpq", check=False)
    assert user.queued() == 1 and not smart.envelopes
    listed = user("sendmail", "-bp").stdout
    assert b"(held: cannot be delivered, and nobody can be told: 550 5.1.1 no such user here)" in listed
    assert b"joe@refused.example" in listed
    (line,) = user("smtpq", "list", "--json").stdout.splitlines()
    shown = user("smtpq", "cat", json.loads(line)["queue_id"]).stdout
    assert b"eve@refused.example" in shown and CRON.splitlines()[-1] in shown


def test_what_is_written_offline_goes_with_the_next_run(user: User, smart: Aiosmtpd) -> None:
    """As from cron: runsmtpq."""
    user.configure(peers.free_port())
    user("sendmail", "-i", "-odi", "ann@example.net", message=CRON)
    assert user.queued() == 1
    user("runsmtpq", check=False)
    assert user.queued() == 1 and not smart.envelopes
    user.configure(smart.port)
    user("runsmtpq", "--all", check=False)
    assert len(smart.envelopes) == 1 and user.queued() == 0


def test_several_at_once(user: User, smart: Aiosmtpd) -> None:
    """None is lost, none comes twice, and no message is left behind by the process that ends."""
    running = [user.start("sendmail", "-i", f"a{number}@example.net") for number in range(12)]
    for one in running:
        assert one.stdin is not None
        one.stdin.write(CRON)
        one.stdin.close()
    for one in running:
        status = one.wait(SECONDS)
        assert one.stderr is not None
        assert (status, one.stderr.read()) == (0, b"")
        one.stderr.close()
    came(smart, 12)
    assert sorted(one[0].rcpt_tos[0] for one in smart.envelopes) == sorted(
        f"a{number}@example.net" for number in range(12)
    )


def test_a_server_that_nobody_vouches_for_gets_no_password(user: User, smart: Aiosmtpd) -> None:
    del user.environ["SSL_CERT_FILE"]
    user("sendmail", "-i", "-odi", "ann@example.net", message=CRON)
    assert not smart.envelopes
    assert user.queued() == 1


def test_killed_halfway_nothing_is_lost(user: User, smart: Aiosmtpd) -> None:
    """Whenever it is killed: what sendmail said 0 to comes, and what it did not say is not half there."""
    said = 0
    for number in range(8):
        one = user.start("sendmail", "-i", "-odq", f"k{number}@example.net")
        assert one.stdin is not None and one.stderr is not None
        with suppress(BrokenPipeError):
            one.stdin.write(CRON)
            one.stdin.flush()
            if number % 2:
                one.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            one.wait(0.05 * number)
        one.kill()
        said += one.wait(SECONDS) == 0
        with suppress(BrokenPipeError):
            one.stdin.close()
        one.stderr.close()
    user("sendmail", "-i", "-odq", "last@example.net", message=CRON)
    user("runsmtpq", check=False)
    assert user.queued() == 0
    assert len(smart.envelopes) >= said + 1
    assert all(one[0].content.endswith(b"backup: failed\r\n") for one in smart.envelopes)


def test_a_home_that_cannot_be_written_is_said(user: User) -> None:
    state = user.home / ".local"
    state.mkdir()
    state.chmod(0o555)
    if ROOT:
        os.chown(state, 0, 0)
    done = user("sendmail", "-i", "ann@example.net", message=CRON, check=False)
    state.chmod(0o755)
    assert done.returncode in (73, 75)
    assert done.stderr.count(b"\n") == 1 and done.stderr.startswith(b"sendmail: ")
    assert b"Permission denied" in done.stderr and str(state).encode() in done.stderr


def test_an_account_for_each_sender(user: User, smart: Aiosmtpd) -> None:
    """msmtp's accounts: by sender, each with a login of its own; here one that the server does not take."""
    user.config.write_text(
        f'[[route]]\nname = "work"\nsender = ["*@work.example"]\nsmtp = "localhost:{smart.port}"\n'
        f'login = {{ user = "{Aiosmtpd.login}", password_command = ["echo", "{Aiosmtpd.password}"] }}\n'
        f'[[route]]\nname = "home"\nsmtp = "localhost:{smart.port}"\n'
        'login = { user = "other", password_command = ["echo", "wrong"] }\n'
    )
    user("sendmail", "-i", "-odi", "-f", "ann@work.example", "eve@example.net", message=CRON)
    assert [one[0].mail_from for one in smart.envelopes] == ["ann@work.example"]
    user("sendmail", "-i", "-odi", "-f", "ann@home.example", "eve@example.net", message=CRON)
    assert len(smart.envelopes) == 1
    assert user.queued() == 1


def test_who_may_not_queue_hands_over_to_the_service(user: User, smart: Aiosmtpd, place: Path) -> None:
    """A service of another user's, with a socket for the programs of this host."""
    home = Path(tempfile.mkdtemp(dir=place))
    home.chmod(0o755)
    config = home / "service.toml"
    config.write_text(
        f'[service]\nhostname = "laptop.local"\n[queue]\nspool = "sqlite:{home / "spool"}"\n'
        f'[[listen]]\naddress = "unix:{home / "socket"}"\nrole = "local"\nsocket_mode = "0666"\n'
        f'[[route]]\ndomains = ["laptop.local"]\nmaildir = "{home}/mail/{{user}}"\n'
    )
    service = subprocess.Popen([BIN / "smtpd", "-C", config], stderr=subprocess.PIPE)
    assert service.stderr is not None
    try:
        for line in service.stderr:
            if b"listening" in line:
                break
        if not ROOT:
            (home / "spool").chmod(0)
        user("sendmail", "-C", str(config), "-i", "joe", message=CRON)
        new = home / "mail" / "joe" / "new"
        end = time.monotonic() + SECONDS
        while not (new.is_dir() and any(new.iterdir())):
            assert time.monotonic() < end
            time.sleep(0.02)
        (mail,) = new.iterdir()
        assert b'From: "(Cron Daemon)" <root@laptop.local>\n' in mail.read_bytes()
    finally:
        service.terminate()
        service.wait(SECONDS)
        service.stderr.close()
    (home / "spool").chmod(0o700 if ROOT else 0)
    done = user("sendmail", "-C", str(config), "-i", "joe", message=CRON, check=False)
    assert done.returncode == 75
    assert done.stderr.startswith(f"sendmail: 451 4.4.1 connecting to {home / 'socket'}".encode()), (
        done.stderr
    )
