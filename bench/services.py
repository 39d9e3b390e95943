"""The programs that are measured: started, awaited, and ended with all they wrote.

Each is an object with `pid`, whose family is what its CPU time is counted over, `port`, where it takes
SMTP on 127.0.0.1, and `stop`.  Each logs to a file, as services do.  What cannot be started ends the
benchmark with one line and the program's own words.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

BENCH = Path(__file__).resolve().parent
TOP = BENCH.parent
sys.path.insert(0, str(TOP / "tests" / "system"))

import peers  # noqa: E402
from postfix import Postfix as Postfix  # noqa: E402

PYTHON = str(TOP / ".venv/bin/python")


class Program:
    """A program with a directory `base` of its own under `under`, which `stop` removes."""

    def __init__(self, name: str, under: str, port: int = 0) -> None:
        self.name = name
        self.base = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=under))
        self.port = port or peers.free_port()

    def begin(self, argv: list[str], environment: dict[str, str]) -> None:
        """Start it for the first time."""
        self.argv, self.environment = argv, environment
        self.start()

    def start(self) -> None:
        """Start it, or start it again, and return once it takes connections."""
        with (self.base / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.environment
            )
        self.pid = self.process.pid
        try:
            peers.await_listener(self.port, self.process)
        except RuntimeError as error:
            text = (self.base / "log").read_text(errors="replace")
            self.stop()
            raise SystemExit(f"{self.name}: {error}\n{text}") from None

    def halt(self) -> None:
        """End it."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        """End it and remove what it wrote."""
        self.halt()
        shutil.rmtree(self.base)


class Smtpd(Program):
    """smtpd from a source tree, this checkout's by default.

    `sections` is the rest of its configuration, behind ``[service]``; in it ``{base}`` and ``{port}`` stand
    for what they are.  A `forgetful` one has no queue: see forgetful.py.
    """

    def __init__(
        self, sections: str, under: str, *arguments: str, source: str | None = None, forgetful: bool = False
    ) -> None:
        super().__init__("mether", under)
        self.config = self.base / "mether.toml"
        service = '[service]\nhostname = "bench.example.test"\n'
        self.config.write_text(service + sections.format(base=self.base, port=self.port))
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        code = "import sys; from mether.programs.smtpd import main; sys.exit(main())"
        argv = [PYTHON, str(BENCH / "forgetful.py")] if forgetful else [PYTHON, "-c", code]
        if source is not None:
            environment["PYTHONPATH"] = source
        self.begin([*argv, "-C", str(self.config), *arguments], environment)


class Aiosmtpd(Program):
    """aiosmtpd with its Sink handler, which forgets every message, under uvloop."""

    def __init__(self, under: str, *arguments: str) -> None:
        super().__init__("aiosmtpd", under)
        argv = [PYTHON, str(BENCH / "aiosmtpd_sink.py"), str(self.port), *arguments]
        self.begin(argv, dict(os.environ))


class SmtpSink(Program):
    """Postfix's smtp-sink, which takes every message and forgets it; with `count`, it then ends."""

    def __init__(self, under: str, *, count: int = 0, port: int = 0) -> None:
        super().__init__("smtp-sink", under, port)
        account = ["-u", "nobody"] if os.geteuid() == 0 else []
        until = ["-M", str(count)] if count else []
        argv = [need("smtp-sink"), *account, *until, f"127.0.0.1:{self.port}", "4096"]
        self.begin(argv, peers.environment())


class Sink(Program):
    """Our own sink (sink.py), with STARTTLS where `tls` is given; with `count` it ends after so many.

    With `stamps` it writes the time of each message into the named pipe `stamps`, to be opened at once.
    """

    def __init__(
        self, under: str, tls: Tls | None = None, *, count: int = 0, delay: float = 0, stamps: bool = False
    ) -> None:
        super().__init__("sink", under)
        argv = [PYTHON, str(BENCH / "sink.py"), str(self.port), "--count", str(count)]
        argv += ["--delay", str(delay)]
        if stamps:
            pipe = self.base / "stamps"
            os.mkfifo(pipe)
            # Open for writing too, so that neither side waits for the other to open it.
            self.stamps = os.fdopen(os.open(pipe, os.O_RDWR))
            argv += ["--stamps", str(pipe)]
        if tls is not None:
            argv += ["--certificate", tls.certificate, "--key", tls.key]
        self.begin(argv, dict(os.environ))


class Tls:
    """A certificate for 127.0.0.1 and localhost that signs itself, P-256, in `directory`."""

    def __init__(self, directory: str) -> None:
        self.certificate = f"{directory}/certificate.pem"
        self.key = f"{directory}/key.pem"
        if shutil.which("openssl") is None:
            raise SystemExit("a benchmark with TLS needs the program openssl, to make a certificate")
        kind = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
        argv = [
            "openssl",
            "req",
            *kind.split(),
            "-addext",
            names,
            "-keyout",
            self.key,
            "-out",
            self.certificate,
        ]
        subprocess.run(argv, check=True, capture_output=True)


def need(name: str) -> str:
    """The path of one of the peers; ends the benchmark when it is missing."""
    path = peers.program(name)
    if path is None:
        raise SystemExit(f"{name} is missing: run make peers")
    return path


def smtp_source(
    port: int, *, messages: int, size: int, sessions: int, kept: bool, to: str = "sink@example.net"
) -> list[str]:
    """The command line of smtp-source, to be run with `peers.environment()`."""
    load = [need("smtp-source"), "-s", str(sessions), "-m", str(messages), "-l", str(size)]
    load += ["-f", "source@example.test", "-t", to]
    return [*load, *(["-d"] if kept else []), f"127.0.0.1:{port}"]


def send(argv: list[str]) -> str:
    """Run a source until it has sent all; returns its output, and ends the benchmark when it fails."""
    done = subprocess.run(argv, env=peers.environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{Path(argv[0]).name}: {done.stderr.strip().rpartition(chr(10))[2]}")
    return done.stdout
