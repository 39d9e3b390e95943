"""What real servers send back to a reverse-path of VERP, and what `mether bounce` reads in it.

Our service relays to Postfix, Exim, OpenSMTPD or another of ours with VERP.  Each takes the messages, is
refused by the host behind it, and returns them to the reverse-path that they came with.  That is a
sub-address of ours, whose mail goes to the reader (docs/bounces.md).
"""

from __future__ import annotations

import json
import smtplib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peers
import pytest
from aiosmtpd_server import Controller
from exim import EximDaemon
from jail import Jail
from postfix import Postfix

from conftest import BIN, Daemon, _as_root, _peer

OURS = """\
[service]
hostname = "mx.list.example"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
[dns]
enabled = false
[[route]]
domains = ["list.example"]
delimiter = "+"
users = ["ann"]
pipe = ["{base}/reader", "--", "{{{{recipient}}}}"]
[[route]]
domains = ["peer.example"]
smtp = "127.0.0.1:{peer}"
verp = ["list.example"]
"""

READER = """\
#!/bin/sh
exec {bin}/mether bounce --recipient "$2" >> {out}
"""

ANOTHER = """\
[service]
hostname = "mx.peer.example"
[queue]
spool = "sqlite:spool"
[[listen]]
address = "127.0.0.1:{{port}}"
[dns]
enabled = false
[[route]]
domains = ["peer.example"]
smtp = "127.0.0.1:{behind}"
[[route]]
domains = ["list.example"]
smtp = "127.0.0.1:{back}"
[retry]
intervals = ["1s"]
expire = "2s"
warn = []
"""

POSTFIX = """\
transport_maps = inline:{{peer.example=smtp:[127.0.0.1]:{behind}, list.example=smtp:[127.0.0.1]:{back}}}
maximal_queue_lifetime = 0
smtpd_relay_restrictions = permit_mynetworks, reject
bounce_queue_lifetime = 0
disable_dns_lookups = yes
"""

EXIM = """\
daemon_smtp_ports = {port}
queue_only
acl_smtp_rcpt = acl_rcpt
begin acl
acl_rcpt:
  accept
begin routers
back:
  driver = manualroute
  domains = list.example
  route_data = 127.0.0.1::{back}
  self = send
  transport = smtp
behind:
  driver = manualroute
  route_data = 127.0.0.1::{behind}
  self = send
  transport = smtp
begin transports
smtp:
  driver = smtp
  hosts_try_fastopen =
begin retry
* *
"""

OPENSMTPD = """\
queue ttl 1s
listen on 127.0.0.1 port {port} hostname opensmtpd.example.test
action "back" relay host "smtp://127.0.0.1:{back}"
action "behind" relay host "smtp://127.0.0.1:{behind}"
match from any for domain "list.example" action "back"
match from any for any action "behind"
"""

REFUSALS = {
    "nobody": ("550 5.1.1 no such user here", "5.1.1", "no such user"),
    "full": ("552 5.2.2 mailbox is over quota", "5.2.2", "mailbox full"),
    "relayed": ("554 5.7.1 Relay access denied", "5.7.1", "policy"),
    "large": ("552 5.3.4 message size exceeds fixed limit", "5.3.4", "size"),
    "listed": ("554 5.7.1 client host [192.0.2.1] blocked using zen.spamhaus.org", "5.7.1", "reputation"),
}
"""What the host behind says of each recipient, and what is to be read of that."""

LATE = "451 4.2.1 mailbox is busy"
"""What it says of any other, whose message is then given up after a short time."""


EXPIRED = "Envelope expired"
"""What OpenSMTPD says instead; and that it only is delayed, in words as in fields."""


class Behind:
    """The host that refuses."""

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        return REFUSALS.get(address.partition("@")[0], (LATE,))[0]


class Peer:
    """A server that takes mail and returns it: `port`; `push` has it go on."""

    def __init__(self, port: int, push: Callable[[], object], stop: Callable[[], object]) -> None:
        self.port = port
        self.push = push
        self.stop = stop


def nothing() -> None:
    """Do nothing."""


def begin(kind: str, behind: int, back: int, base: Path) -> Peer:
    """Start one."""
    if kind == "mether":
        (base / "peer").mkdir()
        ours = Daemon(base / "peer", ANOTHER.format(behind=behind, back=back))
        return Peer(ours.port, nothing, ours.stop)
    _peer(kind)
    _as_root()
    if kind == "postfix":
        postfix = Postfix(POSTFIX.format(behind=behind, back=back))
        return Peer(postfix.port, nothing, postfix.stop)
    port = peers.free_port()
    if kind == "exim":
        exim = EximDaemon(port, EXIM.format(port=port, behind=behind, back=back))
        return Peer(port, lambda: exim.run("-qff"), exim.stop)
    jail = Jail("usr/sbin/smtpd", accounts={"opensmtpd": 65531, "opensmtpq": 65532})
    jail.write("etc/smtpd.conf", OPENSMTPD.format(port=port, behind=behind, back=back))
    jail.write("etc/mailname", "opensmtpd.example.test\n")
    for name in ("var/lib/opensmtpd/empty", "var/spool"):
        (jail.base / name).mkdir(parents=True)
    (jail.base / "var/spool/smtpd").mkdir(mode=0o711)
    jail.start(port, "/usr/sbin/smtpd", "-d", "-v")
    return Peer(port, nothing, jail.stop)


class Place:
    """Our service, with the peer that it relays to."""

    def __init__(self, kind: str, base: Path) -> None:
        self.out = base / "out"
        self.late = EXPIRED if kind == "opensmtpd" else LATE
        self.behind = Controller(Behind(), hostname="127.0.0.1", port=peers.free_port())
        self.behind.start()
        self.stops: list[Callable[[], object]] = [self.behind.stop]
        try:
            reader = base / "reader"
            reader.write_text(READER.format(bin=BIN, out=self.out))
            reader.chmod(0o755)
            back = peers.free_port()
            self.peer = begin(kind, self.behind.port, back, base)
            self.stops.append(self.peer.stop)
            self.daemon = Daemon(base, OURS.format(base=base, peer=self.peer.port), port=back)
            self.stops.append(self.daemon.stop)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        for one in reversed(self.stops):
            one()

    def send(self, name: str) -> str:
        """A message for that recipient; its queue id."""
        with smtplib.SMTP("127.0.0.1", self.daemon.port, "client.example", timeout=60) as client:
            client.ehlo()
            client.mail("ann@list.example")
            client.rcpt(f"{name}@peer.example")
            code, text = client.data(f"Subject: x\r\nMessage-ID: <{name}@list.example>\r\n\r\nhello\r\n")
            assert code == 250, text
            return text.decode().rpartition(" ")[2]

    def read(self) -> dict[str, dict[str, Any]]:
        """What the reader has said so far, by the recipient's name."""
        self.peer.push()
        text = self.out.read_text() if self.out.exists() else ""
        rows = [json.loads(line) for line in text.splitlines()]
        assert len({row["recipient"] for row in rows}) == len(rows), rows
        return {row["recipient"].partition("@")[0]: row for row in rows}


@pytest.fixture(scope="module", params=["postfix", "exim", "opensmtpd", "mether"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(request.param, tmp_path_factory.mktemp("verp"))
    yield made
    made.stop()


def test_what_comes_back_tells_the_message_its_recipient_and_why(place: Place) -> None:
    idents = {name: place.send(name) for name in (*REFUSALS, "busy")}
    peers.until(lambda: place.read().keys() >= idents.keys())
    read = place.read()
    assert read.keys() == idents.keys()
    for name, ident in idents.items():
        said, status, kind = REFUSALS.get(name, (place.late, None, None))
        row = read[name]
        assert row["recipient"] == f"{name}@peer.example"
        assert row["queue_id"] == ident
        assert row["message_id"] == f"{name}@list.example"
        assert row["action"] == ("delayed" if said == EXPIRED else "failed")
        assert said in row["diagnostic"], row
        if kind is not None:
            assert (row["status"], row["class"]) == (status, kind)
