"""What the one-shot programs must not import: each would cost as much as the rest of the program."""

import os
import subprocess
import sys

import pytest
from peer import Peer

HEAVY = {
    "argparse", "asyncio", "dataclasses", "dns", "email", "enum", "logging", "random", "re",
    "socket", "ssl", "subprocess", "tomllib", "typing",
}  # fmt: skip
# What the interpreter itself brings is not the program's doing: a sitecustomize may import anything.
SHOW = (
    "import sys; before = set(sys.modules)\n"
    "from {module} import main\n"
    "status = main(sys.argv[1:])\n"
    "print(*sorted(set(sys.modules) - before), file=sys.stderr)\n"
    "sys.exit(status)\n"
)


def imported(module, *argv):
    """The modules that a run of the program imported."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", SHOW.format(module=module), *argv],
        input=b"Subject: hi\n\nHello.\n",
        capture_output=True,
        env={**os.environ, "METHER_CONFIG": ""},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.decode().split())


@pytest.mark.parametrize("host", ["127.0.0.1", "[127.0.0.1]", "lmtp:127.0.0.1"])
def test_smtp_to_a_literal_host(host):
    with Peer(lmtp=host.startswith("lmtp:")) as peer:
        names = imported("mether.programs.smtp", f"{host}:{peer.port}", "me@example.org", "ann@example.net")
    assert len(peer.messages) == 1
    assert not names & HEAVY
    assert not names & {
        "collections",
        "encodings.idna",
        "json",
        "mether.dns.mx",
        "mether.queue.store",
        "apsw",
    }


@pytest.mark.parametrize("kind", ["sqlite", "directory"])
def test_smtpqer_that_runs_nothing(kind, tmp_path):
    spool = f"{kind}:{tmp_path / 'spool'}"
    argv = ("--spool", spool, "-n", "mx.example.net", "me@example.org", "ann@example.net")
    for _ in range(2):  # the first makes the queue, the second is what counts
        names = imported("mether.programs.smtpqer", *argv)
    allowed = {"json", "json.decoder", "json.encoder", "json.scanner", "re"} if kind == "directory" else set()
    assert not (names - allowed) & HEAVY
    assert not names & {"mether.programs.smtp", "mether.runner.run", "encodings.idna"}


def test_sendmail_with_a_smart_host(tmp_path):
    """Cron and every other program calls it: what a configuration does not ask for is not loaded."""
    file = tmp_path / "mether.toml"
    file.write_text(
        '[[route]]\nsmtp = "smtp.example.net:587"\nlogin = { user = "ann", password_env = "P" }\n'
    )
    argv = ("-C", str(file), "--spool", f"sqlite:{tmp_path / 'spool'}", "-odq", "ann@example.net")
    for _ in range(2):
        names = imported("mether.programs.sendmail", *argv)
    toml = {"enum", "re", "tomllib", "typing"}
    assert not (names - toml) & HEAVY
    assert not names & {
        "ipaddress",
        "selectors",
        "msgspec",
        "json",
        "mether.relay.pipe",
        "mether.relay.maildir",
    }
