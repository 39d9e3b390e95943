"""Drive an outside conformance suite against `smtpd` and `smtp`.

    python tools/conformance.py [--required] [--only GLOBS] [--failures]

The suite is not a part of this repository: $CONFORMANCE names its directory (../shared/conformance), with a
run_conformance.py.  Where it is absent this says so and ends with 0, or with 1 given --required.

An smtpd is started in a directory of its own, on loopback, with three listeners for mail from anywhere:
STARTTLS and AUTH; TLS from the first octet; and little, for the cases that need an extension absent.  It
delivers test.example to Maildirs and knows one login.  The last server case asks it to stop.
$CONFORMANCE_SLOW=1 runs the cases that wait for minutes too.

A case passes when some run passed it and none failed it.  The exit status is 1 when a MUST or SEC case fails,
when less than 99% of all that ran pass, or when more than eight are skipped.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
LEAST = 0.99
MOST_SKIPPED = 8
BINDING = ("MUST", "SEC")

USER, PASSWORD = "user@test.example", "correct horse"

CONFIG = """\
[service]
hostname = "mx.test.example"
postmaster = "user@test.example"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:0"
role = "mx"
tls = "starttls"
{usual}
[[listen]]
address = "127.0.0.1:0"
role = "mx"
tls = "implicit"
{usual}
[[listen]]
address = "127.0.0.1:0"
role = "mx"
extensions_off = ["CHUNKING", "DSN", "SMTPUTF8"]
[auth]
passwords = "passwords"
max_failures = 0
[tls]
certificate = ["mx.pem"]
[[route]]
domains = ["test.example"]
maildir = "mail/{{user}}"
"""

USUAL = """\
auth = true
max_size = "20MiB"
"""

CLIENT_HAS = "multi-rcpt,tls"
"""What the runner may take `smtp` to know: several recipients in a transaction, and STARTTLS."""


def certificate(directory: Path) -> None:
    """A self-made certificate and its key, in one file.  Raises CalledProcessError."""
    if shutil.which("openssl") is None:
        raise SystemExit("conformance: openssl is missing, with which certificates are made")
    names = "subjectAltName=DNS:mx.test.example,IP:127.0.0.1"
    key, chain = directory / "key.pem", directory / "chain.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-addext", names]
    command += ["-subj", "/CN=mx.test.example", "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    both = directory / "mx.pem"
    both.touch(0o600)
    both.write_bytes(chain.read_bytes() + key.read_bytes())


def start(directory: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """smtpd in this directory, and the ports of its listeners in the order of the configuration."""
    config = directory / "mether.toml"
    config.write_text(CONFIG.format(usual=USUAL))
    certificate(directory)
    scheme = ["passwd", "--file", str(directory / "passwords"), "--scheme", "scram-sha-256", USER]
    subprocess.run([str(BIN / "mether"), *scheme], input=PASSWORD + "\n", text=True, check=True)
    log = (directory / "log").open("w")
    command = [str(BIN / "smtpd"), "-C", str(config)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        log.write(line)
        if ports := [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", line)]:
            # A pipe that nobody reads would stop it.
            threading.Thread(target=log.writelines, args=(process.stderr,), daemon=True).start()
            return process, ports
    log.close()
    raise SystemExit(f"conformance: smtpd did not start:\n{(directory / 'log').read_text()}")


class Suite:
    """The runs of the suite; `results` has the last word on each case that was run."""

    def __init__(self, runner: Path, directory: Path, options: argparse.Namespace) -> None:
        self.runner = runner
        self.directory = directory
        self.options = options
        self.results: dict[str, dict[str, Any]] = {}

    def run(self, *arguments: str) -> None:
        """One run; what failed is printed, and the results are merged."""
        out = self.directory / "results.json"
        out.unlink(missing_ok=True)
        command = [sys.executable, str(self.runner), "--json", str(out), *arguments]
        if os.environ.get("CONFORMANCE_SLOW") == "1":
            command.append("--slow")
        if self.options.failures:
            command.append("--failures")
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if not out.exists():
            sys.stdout.write(done.stdout)
            raise SystemExit(f"conformance: {self.runner} ended with {done.returncode} and told no result")
        for line in done.stdout.splitlines():
            if line.startswith(("FAIL", "       ")):
                print(line)
        for case in json.loads(out.read_text())["cases"]:
            before = self.results.get(case["id"])
            if before is None or before["result"] == "SKIP" or case["result"] == "FAIL":
                self.results[case["id"]] = case


def summary(name: str, cases: list[dict[str, Any]]) -> str:
    """A table of a side's cases, and those skipped with why."""
    lines = [f"{name}:"]
    for level in sorted({case["level"] for case in cases}):
        of = [case["result"] for case in cases if case["level"] == level]
        counts = (of.count("PASS"), of.count("FAIL"), of.count("SKIP"))
        lines.append("  {:6} {:3} passed, {:3} failed, {:3} skipped".format(level, *counts))
    lines += [f"  skipped: {case['id']}: {case['why']}" for case in cases if case["result"] == "SKIP"]
    return "\n".join(lines)


def verdict(cases: list[dict[str, Any]]) -> list[str]:
    """Why the suite as a whole fails; nothing when it passes."""
    why = []
    ran = [case for case in cases if case["result"] != "SKIP"]
    failed = [case for case in ran if case["result"] == "FAIL"]
    if binding := [case["id"] for case in failed if case["level"] in BINDING]:
        why.append(f"{len(binding)} MUST or SEC cases fail: {' '.join(binding)}")
    if len(ran) - len(failed) < LEAST * len(ran):
        why.append(f"{len(failed)} of {len(ran)} fail, more than {1 - LEAST:.0%}")
    if len(cases) - len(ran) > MOST_SKIPPED:
        why.append(f"{len(cases) - len(ran)} are skipped, more than {MOST_SKIPPED}")
    return why


def server(suite: Suite) -> None:
    """The server cases, in a run for each kind of listener."""
    process, (port, tls_port, bare_port) = start(suite.directory)
    mail = suite.directory / "mail"
    mail.mkdir()
    globs = (suite.options.only or "*").split(",")
    absent = [name for name in absences(suite.runner) if any(fnmatch.fnmatch(name, glob) for glob in globs)]
    common = ["--rcpt2", "second@test.example", "--deliveries", str(mail)]
    try:
        if absent:
            suite.run("--port", str(bare_port), *common, "--only", ",".join(absent))
        suite.run(
            *("--port", str(port), "--tls-port", str(tls_port), "--user", USER, "--password", PASSWORD),
            *("--shutdown-cmd", f"kill -TERM {process.pid}", *common, "--only", ",".join(globs)),
        )
    finally:
        process.terminate()
        process.wait()


def absences(runner: Path) -> list[str]:
    """The cases that need an extension not to be offered."""
    text = runner.with_name("conformance.yaml").read_text()
    cases = re.split(r"(?m)^\s*- id: *", text)[1:]
    return [case.split(None, 1)[0].strip("\"'") for case in cases if re.search(r"needs: \[[\"']!", case)]


def client(suite: Suite) -> None:
    """The client cases; the message comes on standard input."""
    command = f"{BIN / 'smtp'} -h {{helo}} 127.0.0.1:{{port}} {{sender}} {{rcpts}}"
    suite.run("--client", command, "--client-has", CLIENT_HAS, "--only", suite.options.only or "*")


def main() -> int:
    """Run both sides; the exit status."""
    options = argparse.ArgumentParser(
        description="Drive an outside conformance suite against smtpd and smtp."
    )
    options.add_argument("--required", action="store_true", help="fail where the suite is absent")
    options.add_argument("--only", metavar="GLOBS", help="only these cases")
    options.add_argument("--failures", action="store_true", help="show the dialogues of cases that fail")
    chosen = options.parse_args()
    place = Path(os.environ.get("CONFORMANCE") or ROOT.parent / "shared" / "conformance")
    runner = place / "run_conformance.py"
    if not runner.exists():
        print(f"conformance: skipped: there is no {runner}; $CONFORMANCE says where it is")
        return 1 if chosen.required else 0
    every = []
    with tempfile.TemporaryDirectory(prefix="mether-conformance-") as name:
        for title, side in (("server", server), ("client", client)):
            suite = Suite(runner, Path(name), chosen)
            side(suite)
            cases = list(suite.results.values())
            print(summary(title, cases), flush=True)
            every += cases
    passed = sum(case["result"] == "PASS" for case in every)
    ran = sum(case["result"] != "SKIP" for case in every)
    print(f"conformance: {passed} of {ran} passed, {len(every) - ran} skipped")
    for line in (complaints := verdict(every)):
        print(f"conformance: {line}")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
