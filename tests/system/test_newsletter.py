"""The newsletter of docs/suppression.md, word for word but for addresses and paths of this host."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peers
import pytest
from aiosmtpd_server import Controller
from daemon import BIN, Client, Daemon

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLE = (
    (DOCS / "suppression.md")
    .read_text("utf-8")
    .partition("<!-- newsletter -->\n```toml\n")[2]
    .partition("```")[0]
)

BOUNCE = """\
From: MAILER-DAEMON@mx.example.net
To: {to}
Subject: failure notice

Hi. This is the qmail-send program at mx.example.net.
I'm afraid I wasn't able to deliver your message to the following addresses.

<bob@example.net>:
550 5.1.1 User unknown
"""
AWAY = "From: ann@example.com\nTo: {to}\nSubject: Out of office\nAuto-Submitted: auto-replied\n\nIn May.\n"
ALIASES = """\
[[route]]
domains = ["news.example.org"]
aliases = ["aliases"]
alias_programs = true
alias_files = true
delimiter = "+"
"""


class Handler:
    """Takes all; `senders` are the reverse-paths by recipient."""

    def __init__(self) -> None:
        self.senders: dict[str, str] = {}

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.senders |= dict.fromkeys(envelope.rcpt_tos, envelope.mail_from)
        return "250 taken"


class Letters(Daemon):
    """The service of a configuration, with a host `far` that gets all that goes out."""

    def __init__(self, base: Path, text: str) -> None:
        self.far = Controller(Handler(), hostname="127.0.0.1", port=peers.free_port())
        self.far.start()
        for here, there in (
            ('address = ":25"', 'address = "127.0.0.1:0"'),
            ('["mether",', f'["{BIN}/mether",'),
            ('"/var/mail/', '"mail/'),
            ("mx = true", f'smtp = "127.0.0.1:{self.far.port}"'),
        ):
            text = text.replace(here, there)
        self.base, self.lines = base, []
        self.config = base / "mether.toml"
        self.config.write_text(
            f'{text}[queue]\nspool = "sqlite:spool"\n[dns]\nenabled = false\n[log]\nformat = "json"\n'
        )
        self.start()

    def send(self, *recipients: str) -> None:
        """A letter, as the example sends it."""
        command = [str(BIN / "sendmail"), "-C", str(self.config), "-f", "letter@news.example.org", "--"]
        done = subprocess.run([*command, *recipients], input=b"Subject: news\n\nhello\n", check=False)
        assert done.returncode == 0

    def sent(self, *recipients: str) -> dict[str, str]:
        """Send it, and wait until it is there: the reverse-paths."""
        self.send(*recipients)
        for one in recipients:
            self.wait_for('"relayed"', one)
        senders: dict[str, str] = self.far.handler.senders
        return senders

    def take(self, sender: str, to: str, text: str) -> None:
        """Somebody's mail."""
        client = Client(self.port)
        client.say("EHLO client.example")
        reply = client.mail(sender, to, content=text.replace("\n", "\r\n"))
        assert reply.startswith("250 "), reply
        client.close()
        self.wait_for('"delivered"', to)

    def listed(self) -> list[str]:
        """The addresses on the list."""
        done = subprocess.run(
            [str(BIN / "mether"), "-C", str(self.config), "suppress", "list"],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.split()[0] for line in done.stdout.splitlines()]


@pytest.fixture
def letters(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Letters]:
    made = Letters(tmp_path, getattr(request, "param", EXAMPLE))
    yield made
    assert made.stop() == 0
    made.far.stop()


def test_who_is_gone_gets_no_further_letter(letters: Letters) -> None:
    """The program that the route runs finds the list of a service that was started with -C."""
    sent = letters.sent("bob@example.net", "ann@example.com")
    letters.take("", sent["bob@example.net"], BOUNCE.format(to="letter@news.example.org"))
    assert letters.listed() == ["bob@example.net"]
    letters.send("bob@example.net")
    assert "suppressed address" in letters.wait_for('"failed"', "bob@example.net")


def test_nothing_is_returned_to_who_is_away_and_answers_are_kept(letters: Letters) -> None:
    sent = letters.sent("ann@example.com")
    to = sent["ann@example.com"]
    letters.take("", to, AWAY.format(to=to))
    letters.take("ann@example.com", to, AWAY.format(to=to))
    letters.take("ann@example.com", "letter@news.example.org", "Subject: thanks\n\n")
    assert [b"Out of office" in one for one in letters.mailbox("letter")].count(True) == 1
    assert len(letters.mailbox("letter")) == 2
    assert letters.listed() == []
    assert not any('"failed"' in line or "postmaster" in line for line in letters.lines[1:])


@pytest.mark.parametrize(
    "letters", [ALIASES + "[[route]]" + EXAMPLE.rpartition("[[route]]")[2]], indirect=True
)
def test_by_an_alias_the_reports_are_kept_too(letters: Letters) -> None:
    (letters.base / "aliases").write_text(
        f'letter: "|{BIN}/mether bounce --suppress", {letters.base}/mail/came-back/\n'
    )
    to = letters.sent("bob@example.net")["bob@example.net"]
    letters.take("", to, BOUNCE.format(to=to))
    letters.wait_for('"delivered"', to)
    assert letters.listed() == ["bob@example.net"]
    assert len(letters.mailbox("came-back")) == 1
