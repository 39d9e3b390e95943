"""The suppression list in the installed service: who is on it costs no connection, and hears at once.

Each says what it needs of a next hop that is there all the time, and counts what came to it.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import peers
import pytest
from aiosmtpd_server import Controller
from daemon import BIN, Client, Daemon

NO_USER = "550 5.1.1 No such user here"


class Handler:
    """Knows ann alone; `asked` are the recipients that it was named, `connected` how often it was called."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.taken: list[list[str]] = []
        self.refuses = NO_USER

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        self.asked.append(address)
        if not address.startswith("ann@"):
            return self.refuses
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.taken.append(list(envelope.rcpt_tos))
        return "250 taken"


@pytest.fixture
def hop() -> Iterator[Controller]:
    made = Controller(Handler(), hostname="127.0.0.1", port=peers.free_port())
    made.start()
    yield made
    made.stop()


def port(hop: Controller) -> int:
    return int(hop.port)


@pytest.fixture(params=["sqlite:spool", "directory:spool"])
def service(request: pytest.FixtureRequest, tmp_path: Path, hop: Controller) -> Iterator[Daemon]:
    routes = (
        f'[[route]]\ndomains = ["far.example"]\nsmtp = "127.0.0.1:{port(hop)}"\n[suppress]\nremember = true\n'
    )
    daemon = Daemon(tmp_path, request.param, routes=routes)
    yield daemon
    assert daemon.stop() == 0


def mether(service: Daemon, *arguments: str, status: int = 0) -> str:
    done = subprocess.run(
        [str(BIN / "mether"), *arguments, "-C", str(service.config)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NOSYSEXITS": ""},
    )
    assert done.returncode == status, done.stderr
    return done.stdout


def report(service: Daemon) -> dict[str, str]:
    """What programs read in the last report to alice."""
    blocks = message_from_bytes(service.mailbox("alice")[-1]).get_payload(1).get_payload()  # type: ignore[union-attr]
    return {name: value for block in blocks for name, value in block.items()}  # type: ignore[union-attr]


def test_an_address_that_was_refused_costs_no_second_connection(service: Daemon, hop: Controller) -> None:
    """BNC-8: no Remote-MTA where no hop was asked.  The first message comes back as ever; from then on its
    sender is told at once."""
    client = Client(service.port)
    client.say("EHLO client.example")
    assert client.mail("alice@example.com", "gone@far.example").startswith("250 ")
    service.wait_for('"noted"', "no more mail is sent to <gone@far.example>")
    assert hop.handler.asked == ["gone@far.example"]
    came = len(hop.sessions)
    replies = client.say("MAIL FROM:<alice@example.com>", "RCPT TO:<GONE@far.example>", "RSET")
    assert replies[1].startswith("550 5.1.1 suppressed address: mail for it came back on ")
    assert replies[1].endswith(NO_USER)
    # What a program of this host sends is taken, and comes back with a report.
    sent = subprocess.run(
        [str(BIN / "sendmail"), "-C", str(service.config), "-f", "alice@example.com", "gone@far.example"],
        input=b"Subject: again\n\nhello\n",
        check=False,
        capture_output=True,
    )
    assert sent.returncode == 0, sent.stderr
    line = json.loads(service.wait_for('"failed"', "gone@far.example", "suppressed address"))
    assert line["class"] == "no such user" and not line.get("remote_mta")
    service.wait_for('"delivered"', "alice@example.com")
    fields = report(service)
    assert fields["Final-Recipient"] == "rfc822;gone@far.example"
    assert (fields["Action"], fields["Status"]) == ("failed", "5.1.1")
    assert "Remote-MTA" not in fields
    assert len(hop.sessions) == came and hop.handler.asked == ["gone@far.example"]
    assert "no such user: 550 5.1.1 No such user here" in mether(service, "suppress", "list")
    client.close()


def test_the_other_recipients_of_a_message_get_theirs(service: Daemon, hop: Controller) -> None:
    """BNC-3: the report is about who did not."""
    mether(service, "suppress", "add", "gone@far.example")
    sent = subprocess.run(
        [
            str(BIN / "sendmail"),
            "-C",
            str(service.config),
            "-f",
            "alice@example.com",
            "ann@far.example",
            "gone@far.example",
        ],
        input=b"Subject: hi\n\nhello\n",
        check=False,
        capture_output=True,
    )
    assert sent.returncode == 0, sent.stderr
    service.wait_for('"delivered"', "alice@example.com")
    assert hop.handler.taken == [["ann@far.example"]]
    assert hop.handler.asked == ["ann@far.example"]
    assert report(service)["Final-Recipient"] == "rfc822;gone@far.example"


def test_what_a_person_takes_off_is_tried_again(service: Daemon, hop: Controller) -> None:
    mether(service, "suppress", "add", "--reason", "asked for it", "ann@far.example", "bob@far.example")
    assert "not sent      550 5.7.1 suppressed address: " in mether(
        service, "route", "--no-dns", "ann@far.example", status=67
    )
    mether(service, "suppress", "remove", "ann@far.example")
    client = Client(service.port)
    client.say("EHLO client.example")
    assert client.mail("alice@example.com", "ann@far.example").startswith("250 ")
    service.wait_for('"relayed"', "ann@far.example")
    replies = client.say("MAIL FROM:<alice@example.com>", "RCPT TO:<bob@far.example>", "QUIT")
    assert replies[1].startswith("550 5.7.1 suppressed address: it is on the list here since")
    client.close()
    assert hop.handler.asked == ["ann@far.example"]


def test_a_damaged_list_is_one_clear_line_at_start(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    (spool / "suppressed.sqlite3").write_bytes(b"no database " * 999)
    config = tmp_path / "mether.toml"
    config.write_text('[queue]\nspool = "sqlite:spool"\n[[listen]]\naddress = "127.0.0.1:0"\n')
    done = subprocess.run(
        [str(BIN / "smtpd"), "-C", str(config)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 75
    last = done.stderr.splitlines()[-1]
    assert f"the suppression list {spool}/suppressed.sqlite3 is damaged" in last
    assert "Traceback" not in done.stderr
