"""Aliases, lists, users and programs with the real programs, and a relay that stays closed."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest
from peers import until

from conftest import Daemon

CONFIG = """
[service]
hostname = "mx.example.test"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
role = "mx"
relay_from = []
vrfy = true
[[route]]
domains = ["example.test"]
maildir = "{mail}/{{{{user}}}}"
aliases = ["{aliases}"]
alias_programs = true
users = ["ann", "bob", "carol"]
delimiter = "+"
[retry]
intervals = ["1h"]
"""

ALIASES = """\
postmaster: ann
staff: ann, \\bob,
    carol
list: :include:{list}
owner-list: carol
prog: "|/bin/sh -c 'cat > {out}'"
loop: pool
pool: loop
"""

TRICKS = (
    "x@victim.example",
    "x%victim.example@example.test",
    '"x@victim.example"@example.test',
    "@example.test:x@victim.example",
    "victim.example!x@example.test",
    "x@victim.example.",
    "x@[127.0.0.1]",
    "ann+x@victim.example@example.test",
    "postmaster%victim.example@mx.example.test",
)


class Place:
    def __init__(self, path: Path) -> None:
        self.mail, self.aliases, self.list, self.out = (
            path / one for one in ("mail", "aliases", "list", "out")
        )
        self.mail.mkdir()
        self.aliases.write_text(ALIASES.format(list=self.list, out=self.out))
        self.list.write_text("# who reads it\nann\nbob\n")
        self.daemon = Daemon(path, CONFIG.format(mail=self.mail, aliases=self.aliases))

    def got(self, user: str) -> list[bytes]:
        return [path.read_bytes() for path in (self.mail / user / "new").glob("*")]

    def client(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.daemon.port, timeout=20)

    def send(self, *recipients: str, subject: str, options: tuple[str, ...] = ()) -> None:
        with self.client() as client:
            client.sendmail(
                "bob@example.test", recipients, f"Subject: {subject}\r\n\r\nhello\r\n", rcpt_options=options
            )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory):
    made = Place(tmp_path_factory.mktemp("aliases"))
    yield made
    made.daemon.stop()


def has(place: Place, user: str, subject: str) -> Callable[[], bool]:
    return lambda: any(f"Subject: {subject}".encode() in one for one in place.got(user))


def test_an_alias_reaches_all_whom_it_stands_for(place: Place) -> None:
    """DSN-7: and who asked for SUCCESS is told that it was expanded, by way of the sender's own mailbox."""
    place.send("staff@example.test", subject="staff", options=("NOTIFY=SUCCESS",))
    for user in ("ann", "bob", "carol"):
        until(has(place, user, "staff"))
    until(lambda: any(b"Action: expanded" in one for one in place.got("bob")))


def test_a_mailing_list_sends_in_its_owners_name(place: Place) -> None:
    place.send("list@example.test", subject="list")
    until(has(place, "ann", "list"))
    (one,) = [one for one in place.got("ann") if b"Subject: list" in one]
    assert one.startswith(b"Return-Path: <owner-list@example.test>\n")


def test_a_program_gets_the_message(place: Place) -> None:
    place.send("prog@example.test", subject="program")
    until(lambda: place.out.exists() and b"Subject: program" in place.out.read_bytes())


def test_users_and_loops_are_known_at_rcpt(place: Place) -> None:
    """550 5.1.1 and 550 5.4.6"""
    with place.client() as client:
        client.ehlo()
        client.mail("s@client.example")
        assert client.rcpt("nobody@example.test")[0] == 550
        assert b"5.4.6" in client.rcpt("loop@example.test")[1]
        assert client.rcpt("ann+x@example.test")[0] == 250
        assert client.verify("ann@example.test")[0] == 250
        assert client.verify("nobody@example.test")[0] == 550
        client.rset()


def test_aliases_are_read_again_and_trouble_with_them_defers(place: Place) -> None:
    before = place.aliases.read_text()

    def reply(path: str) -> tuple[int, bytes]:
        with place.client() as client:
            client.ehlo()
            client.mail("s@client.example")
            return client.rcpt(path)

    try:
        _replace(place.aliases, before + "new: ann\n")
        until(lambda: reply("new@example.test")[0] == 250)
        _replace(place.aliases, before + "broken: b o b\n")
        until(lambda: reply("ann@example.test")[0] == 451)
    finally:
        _replace(place.aliases, before)
        until(lambda: reply("ann@example.test")[0] == 250)


def _replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


def test_no_trick_relays(place: Place) -> None:
    """SEC-1: over a connection from this very host, which may not relay either."""
    for trick in TRICKS:
        with place.client() as client:
            client.ehlo()
            client.mail("ann@example.test")
            code, said = client.docmd("RCPT", f"TO:<{trick}>")
            assert 500 <= code < 560, (trick, said)


def test_newaliases_is_cheerful(place: Place, mether) -> None:
    done = mether("newaliases", "-C", str(place.daemon.config))
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert [line.rpartition("aliases: ")[2].partition(":")[0] for line in lines] == ["loop", "pool"]
    assert all(line.startswith("newaliases: warning: ") and "is a loop" in line for line in lines)
