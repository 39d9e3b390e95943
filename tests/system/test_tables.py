"""Tables under a real service: a change is noticed, and one that cannot be read makes mail wait.

"A table that cannot be read defers (451 4.3.0), never bounces and never delivers elsewhere."
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from daemon import BIN, Client, Daemon
from peers import until

ROUTES = """
[[route]]
domains = ["file:domains"]
users = ["file:users"]
maildir = "other/{user}"
[[table]]
name = "people"
sqlite = "people.db"
query = "SELECT 1 FROM people WHERE name = ?"
[[route]]
domains = ["sql.example"]
users = ["table:people"]
maildir = "sql/{user}"
[[route]]
domains = ["far.example"]
lmtp = "unix:DIR/lmtp"
users = ["callahead"]
"""
Start = Callable[..., Daemon]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Daemon] = []
    (tmp_path / "domains").write_text("list.example\n")
    (tmp_path / "users").write_text("ann\n")
    database = apsw.Connection(str(tmp_path / "people.db"))
    database.execute("CREATE TABLE people (name TEXT PRIMARY KEY); INSERT INTO people VALUES ('bob')")
    database.close()

    def begin(*arguments: str) -> Daemon:
        running.append(Daemon(tmp_path, routes=ROUTES.replace("DIR", str(tmp_path)), arguments=arguments))
        return running[-1]

    yield begin
    for daemon in running:
        if daemon.process.poll() is None:
            daemon.stop(signal.SIGKILL)


def answer(smtpd: Daemon, recipient: str) -> str:
    """What a new client is told about a recipient."""
    with contextlib.closing(Client(smtpd.port)) as client:
        client.say("EHLO client.example")
        client.say("MAIL FROM:<a@client.example>")
        return client.say(f"RCPT TO:<{recipient}>")[0][:9]


def test_a_table_that_changes_or_cannot_be_read_decides_at_rcpt(start: Start, tmp_path: Path) -> None:
    smtpd = start("--no-runner")
    users = tmp_path / "users"
    assert answer(smtpd, "ann@list.example") == "250 2.1.5"
    assert answer(smtpd, "bob@list.example") == "550 5.1.1"
    (tmp_path / "new").write_text("ann\nbob\n")
    (tmp_path / "new").rename(users)
    until(lambda: answer(smtpd, "bob@list.example") == "250 2.1.5")
    users.write_bytes(b"ann\nbob\n\xff\n")
    until(lambda: answer(smtpd, "ann@list.example") == "451 4.3.0")
    assert answer(smtpd, "nobody@list.example") == "451 4.3.0"
    assert answer(smtpd, "ann@example.com") == "250 2.1.5"  # no business of that table
    users.unlink()
    assert answer(smtpd, "ann@list.example") == "451 4.3.0"
    (tmp_path / "new").write_text("eve\n")
    (tmp_path / "new").rename(users)
    until(lambda: answer(smtpd, "eve@list.example") == "250 2.1.5")
    assert answer(smtpd, "ann@list.example") == "550 5.1.1"
    assert smtpd.stop() == 0
    assert f"{users}:3: expected UTF-8, and an octet is not" in "".join(smtpd.lines)
    assert "Traceback" not in "".join(smtpd.lines)


def test_a_database_that_is_gone_decides_nothing_at_rcpt(start: Start, tmp_path: Path) -> None:
    smtpd = start("--no-runner")
    assert answer(smtpd, "bob@sql.example") == "250 2.1.5"
    assert answer(smtpd, "ann@sql.example") == "550 5.1.1"
    (tmp_path / "people.db").rename(tmp_path / "away.db")
    until(lambda: answer(smtpd, "joe@sql.example") == "451 4.3.0")
    (tmp_path / "away.db").rename(tmp_path / "people.db")
    until(lambda: answer(smtpd, "joe@sql.example") == "550 5.1.1")
    assert smtpd.stop() == 0
    assert f"{tmp_path}/people.db: No such file or directory" in "".join(smtpd.lines)


def test_a_call_ahead_decides_at_rcpt(start: Start, tmp_path: Path) -> None:
    """Another of ours has the mailboxes, by LMTP on a Unix socket."""
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "mether.toml").write_text(
        f'[queue]\nspool = "sqlite:spool"\n[[listen]]\naddress = "unix:{tmp_path}/lmtp"\nrole = "lmtp"\n'
        '[[route]]\ndomains = ["far.example"]\nusers = ["ann"]\nmaildir = "mail/{user}"\n'
    )
    command = [str(BIN / "smtpd"), "-C", str(inside / "mether.toml")]
    smtpd = start("--no-runner")
    assert answer(smtpd, "ann@far.example") == "451 4.3.0"  # nobody to be asked
    store = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answer(smtpd, "joe@far.example") == "550 5.1.1")
        until(lambda: answer(smtpd, "ann@far.example") == "250 2.1.5")
        assert answer(smtpd, "bob@far.example") == "550 5.1.1"
    finally:
        store.terminate()
        store.wait()
    assert answer(smtpd, "ann@far.example") == "250 2.1.5"  # known
    assert answer(smtpd, "eve@far.example") == "451 4.3.0"
    assert smtpd.stop() == 0
    assert "callahead: " in "".join(smtpd.lines)
    assert "Traceback" not in "".join(smtpd.lines)


def test_queued_mail_waits_until_its_table_can_be_read(start: Start, tmp_path: Path) -> None:
    smtpd = start("--no-runner")
    with contextlib.closing(Client(smtpd.port)) as client:
        client.say("EHLO client.example")
        assert client.mail("a@client.example", "ann@list.example").startswith("250")
    assert smtpd.stop() == 0
    (tmp_path / "domains").write_bytes(b"list.example\n\xff\n")
    run = [str(BIN / "runsmtpq"), "-C", str(tmp_path / "mether.toml")]
    listed = [str(BIN / "smtpq"), "-C", str(tmp_path / "mether.toml")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert f"{tmp_path}/domains:2: expected UTF-8" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "other").exists()
    assert "ann@list.example" in subprocess.run(listed, capture_output=True, text=True, check=True).stdout
    (tmp_path / "domains").write_text("list.example\n")
    assert subprocess.run([*run, "--all"], capture_output=True, check=False).returncode == 0
    assert len(list((tmp_path / "other" / "ann" / "new").iterdir())) == 1
