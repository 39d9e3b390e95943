"""Fixtures that start real mail programs and our own.

A peer that is missing skips the test, or fails it when METHER_PEERS=required, as it is in CI.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import peers
from certificates import authority, ca_file
from door import Door
from dovecot import Dovecot
from exim import Exim
from postfix import Postfix
from postgresql import Postgresql
from servers import Aiosmtpd, Exim4, OpenSmtpd6, PostfixServer

BIN = Path(sys.executable).parent


def _peer(name: str) -> str:
    path = peers.program(name)
    if path is None:
        _lacking(f"{name} is missing: run make peers")
    assert path is not None
    return path


def _lacking(what: str) -> None:
    if os.environ.get("METHER_PEERS") == "required":
        pytest.fail(what)
    pytest.skip(what)


def _as_root() -> None:
    if os.geteuid() != 0:
        _lacking("a private MTA can be started by root only")


class Client:
    """A client program; calling it runs it and gives the completed process, with text output."""

    def __init__(self, path: str, environment: dict[str, str] | None = None) -> None:
        self.path = path
        self.environment = environment

    def __call__(
        self, *arguments: str, content: bytes = b"", check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            [self.path, *arguments], input=content, capture_output=True, env=self.environment, check=False
        )
        if check:
            assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
        return done


@pytest.fixture(scope="session")
def smtp_source() -> Client:
    """Postfix's load generator."""
    return Client(_peer("smtp-source"), peers.environment())


@pytest.fixture(scope="session")
def swaks() -> Client:
    """The Swiss Army knife for SMTP."""
    return Client(_peer("swaks"), peers.environment())


@pytest.fixture(scope="session")
def msmtp() -> Client:
    """A client that stands in for sendmail."""
    return Client(_peer("msmtp"), peers.environment())


@pytest.fixture(scope="session")
def curl() -> Client:
    """The system's curl, which speaks SMTP too."""
    return Client(_peer("curl"))


@pytest.fixture(scope="session")
def strace() -> str:
    """The path of strace, where tracing is allowed."""
    path = _peer("strace")
    if subprocess.run([path, "-o", os.devnull, "true"], check=False, capture_output=True).returncode:
        _lacking("strace may not trace here")
    return path


class Sink:
    """A running smtp-sink: `port`, and what it took."""

    def __init__(self, path: str, *options: str) -> None:
        self.port = peers.free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="sink-"))
        self.directory.chmod(0o777)  # as root it insists on another account
        account = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            [path, *account, *options, "-d", "%s.", f"127.0.0.1:{self.port}", "1000"],
            cwd=self.directory,
            env=peers.environment(),
            stdout=subprocess.DEVNULL,
        )
        peers.await_listener(self.port, self.process)

    def messages(self) -> list[str]:
        """The transactions it has accepted: X-Mail-Args and X-Rcpt-Args lines, then the message."""
        texts = [path.read_text(errors="surrogateescape") for path in sorted(self.directory.iterdir())]
        return [text for text in texts if "\nReceived: " in text]

    def stop(self) -> None:
        """End it and remove what it wrote."""
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture
def smtp_sink() -> Iterator[Callable[..., Sink]]:
    """Starts smtp-sink on a free port, with more of its options if wanted."""
    path = _peer("smtp-sink")
    running: list[Sink] = []

    def start(*options: str) -> Sink:
        running.append(Sink(path, *options))
        return running[-1]

    yield start
    for sink in running:
        sink.stop()


@pytest.fixture(scope="session")
def postgresql() -> Callable[[], Postgresql]:
    """Starts a private PostgreSQL; whoever does removes it."""
    return lambda: Postgresql(_peer("postgres"))


@pytest.fixture
def postfix() -> Iterator[Callable[..., Postfix]]:
    """Starts a private Postfix: `postfix(main="...", master="...")`."""
    _peer("postfix")
    _as_root()
    running: list[Postfix] = []

    def start(main: str = "", master: str = "") -> Postfix:
        running.append(Postfix(main, master))
        return running[-1]

    yield start
    for instance in running:
        instance.stop()


@pytest.fixture
def exim() -> Iterator[Callable[..., Exim]]:
    """Makes a private Exim that delivers by the given transport."""
    _peer("exim")
    _as_root()
    made: list[Exim] = []

    def make(*settings: str) -> Exim:
        made.append(Exim(*settings))
        return made[-1]

    yield make
    for instance in made:
        instance.stop()


@pytest.fixture
def door() -> Iterator[Door]:
    """Lets MTAs run our programs."""
    opened = Door()
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def mether() -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs one of our programs by name: `mether("smtp", host, sender, rcpt, content=b"...")`."""

    def run(
        name: str, *arguments: str, content: bytes = b"", check: bool = False
    ) -> subprocess.CompletedProcess[bytes]:
        return Client(str(BIN / name))(*arguments, content=content, check=check)

    return run


class Files:
    """Certificates in `directory`: for servers on this host, for another host, and for a client."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ca = ca_file(directory, "good")
        self.other_ca = ca_file(directory, "other")
        self.server = self._pair("server", "127.0.0.1", "localhost", "mx.example.test")
        self.wrong = self._pair("wrong", "elsewhere.example")
        self.client = self._pair("client", "ann@example.test")

    def _pair(self, stem: str, *names: str) -> tuple[str, str]:
        made = authority("good").issue_cert(*names)
        chain, key = self.directory / f"{stem}.pem", self.directory / f"{stem}.key"
        chain.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        key.write_bytes(made.private_key_pem.bytes())
        key.chmod(0o644)  # Exim reads it without privilege
        return str(chain), str(key)


@pytest.fixture(scope="session")
def files() -> Iterator[Files]:
    """Certificates where every account can read them."""
    directory = Path(tempfile.mkdtemp(prefix="certificates-"))
    directory.chmod(0o755)
    yield Files(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    """A running Dovecot."""
    _peer("dovecot")
    _as_root()
    instance = Dovecot()
    yield instance
    instance.stop()


@pytest.fixture(scope="module", params=["postfix", "exim", "opensmtpd", "aiosmtpd"])
def server(
    request: pytest.FixtureRequest, files: Files
) -> Iterator[PostfixServer | Exim4 | OpenSmtpd6 | Aiosmtpd]:
    """Each real server in turn, as `servers` describes."""
    running: PostfixServer | Exim4 | OpenSmtpd6 | Aiosmtpd
    if request.param == "aiosmtpd":
        running = Aiosmtpd(*files.server)
    else:
        _peer(request.param)
        _as_root()
        if request.param == "postfix":
            running = PostfixServer(*files.server, request.getfixturevalue("dovecot"))
        else:
            running = {"exim": Exim4, "opensmtpd": OpenSmtpd6}[request.param](*files.server)
    yield running
    running.stop()


class Daemon:
    """A running smtpd: `port` takes SMTP; `config` is its configuration file; `base` holds all it wrote."""

    def __init__(self, base: Path, settings: str, *arguments: str, port: int = 0) -> None:
        self.base = base
        self.port = port or peers.free_port()
        self.config = base / "mether.toml"
        self.config.write_text(settings.format(port=self.port, base=base))
        self.errors = base / "smtpd.log"
        self.arguments = arguments
        self.start()

    def start(self) -> None:
        """Start it, or start it again on the same queue."""
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(
                [str(BIN / "smtpd"), "-C", str(self.config), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        try:
            peers.await_listener(self.port, self.process)
        except RuntimeError as error:
            self.stop()
            raise RuntimeError(f"{error}\n{self.errors.read_text()}") from error

    def kill(self) -> None:
        """End it as nothing may expect: kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; returns its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def log(self) -> str:
        """What it has written on stderr."""
        return self.errors.read_text(errors="replace")


@pytest.fixture
def smtpd(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts smtpd with these settings, in which {port} and {base} are filled in."""
    running: list[Daemon] = []

    def start(settings: str, *arguments: str) -> Daemon:
        base = tmp_path / f"smtpd{len(running)}"
        base.mkdir()
        running.append(Daemon(base, settings, *arguments))
        return running[-1]

    yield start
    for daemon in running:
        daemon.stop()
