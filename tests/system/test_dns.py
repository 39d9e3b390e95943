"""Domains of every kind, with a name server of our own and loopback addresses as hosts: each message ends
where it should, and its sender is told why it does not.  And what a listener says at once."""

from __future__ import annotations

import email
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd_server import Controller
from daemon import Client, Daemon
from peers import until

from mether.testing.dns import Server, Zone

HOST = "127.0.53.1"

RECORDS = {
    "good.test": ["MX 10 mx.good.test"],
    # The IPv6 address leads nowhere, fast or slowly: no failure while the other answers.
    "mx.good.test": ["AAAA 2001:db8::53", f"A {HOST}"],
    "dead.test": ["MX 10 mx.dead.test", "MX 20 mx.good.test"],
    "mx.dead.test": ["A 127.0.53.9"],
    "gone.test": ["MX 10 no-such-host.test", "MX 20 mx.good.test"],
    "alias.test": ["CNAME good.test"],
    "implicit.test": [f"A {HOST}"],
    "worse.test": ["MX 10 mx.good.test", "MX 20 mx.example.com"],
    "loop.test": ["MX 10 mx.example.com", "MX 20 mx.good.test"],
    "mx.example.com": ["A 127.0.53.2"],
    "null.test": ["MX 0 .", f"A {HOST}"],
    "empty.test": ["TXT nothing"],
    "hostless.test": ["MX 10 no-such-host.test", f"A {HOST}"],
    "circle.test": ["CNAME circle2.test"],
    "circle2.test": ["CNAME circle.test"],
    "zero.test": ["A 0.0.0.0"],
}
RELAYED = ("good", "dead", "gone", "alias", "implicit", "worse")
FAILED = {
    "loop": "5.4.6",
    "null": "5.1.10",
    "empty": "5.4.4",
    "hostless": "5.4.4",
    "zero": "5.4.4",
    "nowhere": "5.1.2",
}
WAITING = ("broken", "circle", "silent")


class Taking:
    """A mail exchanger that takes everything; `recipients` are whom it heard of."""

    def __init__(self) -> None:
        self.recipients: list[str] = []
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, 25))
            except OSError as error:
                pytest.skip(f"port 25 of {HOST}: {error.strerror}")
        self.controller = Controller(self, hostname=HOST, port=25)
        self.controller.start()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.recipients += envelope.rcpt_tos
        return "250 2.0.0 taken"


@pytest.fixture
def zone() -> Iterator[tuple[Zone, Server]]:
    made = Zone(RECORDS)
    made.codes["broken.test"] = "SERVFAIL"
    made.silent.add("silent.test")
    with Server(made) as server:
        yield made, server


def daemon(tmp_path: Path, server: Server, listen: str = "", private: str = "allow") -> Daemon:
    keys = f'[dns]\nservers = ["{server.address}"]\ntimeout = "1s"\nprivate = "{private}"\n'
    return Daemon(tmp_path, listen=listen, retry=keys)


def reports(mailbox: list[bytes]) -> dict[str, str]:
    """Final recipient's domain -> status, of all reports."""
    pattern = r"^Final-Recipient: rfc822; ?\w+@(\w+)\.test\n(?:.+\n)*?Status: (\S+)"
    texts = [email.message_from_bytes(message).as_string() for message in mailbox]
    return dict(pair for text in texts for pair in re.findall(pattern, text, re.M))


def test_each_ends_where_it_should(tmp_path: Path, zone: tuple[Zone, Server]) -> None:
    """MX-1, MX-2, MX-3, MX-4, MX-5, MX-6, MX-7, MX-9."""
    taking = Taking()
    service = daemon(tmp_path, zone[1], 'relay_from = ["127.0.0.1"]')
    try:
        client = Client(service.port)
        assert client.say("EHLO client.example")[0].startswith("250")
        domains = (*RELAYED, *FAILED, *WAITING)
        reply = client.mail("alice@example.com", *(f"bob@{domain}.test" for domain in domains))
        assert reply.startswith("250")
        client.close()
        until(lambda: sorted(taking.recipients) == sorted(f"bob@{one}.test" for one in RELAYED))
        until(lambda: len(reports(service.mailbox("alice"))) == len(FAILED))
        assert reports(service.mailbox("alice")) == FAILED
        for _ in WAITING:
            line = service.wait_for("4.4.3", "@")
            assert any(f"{one}.test" in line for one in WAITING)
    finally:
        service.stop()
        taking.controller.stop()


def test_an_mx_may_not_lead_to_this_host(tmp_path: Path, zone: tuple[Zone, Server]) -> None:
    """MX-7: as long as nobody has said that it may."""
    service = daemon(tmp_path, zone[1], 'relay_from = ["127.0.0.1"]', private="site")
    try:
        client = Client(service.port)
        client.say("EHLO client.example")
        client.mail("alice@example.com", "bob@implicit.test")
        client.close()
        until(lambda: reports(service.mailbox("alice")) == {"implicit": "5.4.4"})
        [report] = service.mailbox("alice")
        assert b"127.0.53.1 is a loopback address" in report.replace(b"\n ", b" ")
    finally:
        service.stop()


def test_what_is_said_at_once(tmp_path: Path, zone: tuple[Zone, Server]) -> None:
    """SEC-6, SEC-7, MX-4: and the commands behind a look-up keep their order."""
    keys = 'role = "submission"\nrelay_from = ["127.0.0.1"]\n'
    service = daemon(tmp_path, zone[1], keys)
    try:
        client = Client(service.port)
        client.say("EHLO client.example")
        names = ("good", "null", "nowhere", "broken")
        replies = client.say("MAIL FROM:<>", *(f"RCPT TO:<b@{one}.test>" for one in names), "RSET")
        assert [reply.split(" ", 2)[:2] for reply in replies] == [
            ["250", "2.1.0"],
            ["250", "2.1.5"],
            ["556", "5.1.10"],
            ["550", "5.1.2"],
            ["250", "2.1.5"],
            ["250", "2.0.0"],
        ]
        client.close()
    finally:
        service.stop()
    service = daemon(tmp_path, zone[1], 'role = "mx"\ncheck_sender_domain = true\n')
    try:
        client = Client(service.port)
        client.say("EHLO client.example")
        found = {}
        for one in ("good", "implicit", "null", "nowhere", "broken"):
            found[one] = " ".join(client.say(f"MAIL FROM:<a@{one}.test>", "RSET")[0].split(" ", 2)[:2])
        assert found == {
            "good": "250 2.1.0",
            "implicit": "250 2.1.0",
            "null": "550 5.7.27",
            "nowhere": "550 5.1.8",
            "broken": "451 4.1.8",
        }
        client.close()
    finally:
        service.stop()


def test_without_any_dns(tmp_path: Path) -> None:
    """The mail waits, and what is wrong is said."""
    service = Daemon(tmp_path, listen='relay_from = ["127.0.0.1"]', retry="[dns]\nenabled = false\n")
    try:
        assert any("mail that no route takes needs an MX" in line for line in service.lines)
        client = Client(service.port)
        client.say("EHLO client.example")
        assert client.mail("alice@example.com", "bob@good.test").startswith("250")
        client.close()
        assert "the DNS is switched off here" in service.wait_for("4.4.3")
    finally:
        service.stop()


def test_a_slip_of_the_pen_in_reroute_returns_no_mail(
    mether, tmp_path: Path, zone: tuple[Zone, Server]
) -> None:
    """A host that was named by hand and does not exist has mail wait; a recipient's domain does not."""
    config = tmp_path / "m.toml"
    config.write_text(
        '[service]\nhostname = "mx.example.com"\n[queue]\nspool = "directory:spool"\n'
        f'[dns]\nservers = ["{zone[1].address}"]\ntimeout = "1s"\nprivate = "allow"\n'
        '[[route]]\nname = "spare"\ndomains = ["x.test"]\nsmtp = "[192.0.2.9]"\n'
    )
    common = ("-C", str(config))
    mether("sendmail", *common, "-odq", "-f", "", "b@good.test", content=b"Subject: x\n\nx\n", check=True)
    done = mether("smtpq", *common, "reroute", "sparr", "--all")
    assert done.returncode == 64 and b"did you mean spare?" in done.stderr
    for name in ("smtp:sparr", "relay.exmaple.test", "[relay.exmaple.test]:587,sparr"):
        mether("smtpq", *common, "reroute", name, "--all", check=True)
        done = mether("runsmtpq", *common, "--all")
        assert b"dsn=4.4.4" in done.stderr and b"status=deferred" in done.stderr, done.stderr
    mether("smtpq", *common, "reroute", "nowhere.test", "--all", check=True)
    assert b"it was named by hand" in mether("runsmtpq", *common, "--all").stderr
