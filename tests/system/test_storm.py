"""Two services of ours and a Postfix, pointed at each other, with nobody where their mail goes: no storm.

a.example and b.example are ours, p.example is Postfix's.  Each relays to the other two, each has aliases that
lead round all three or to nobody, and senders are nobody as well.  Whatever is sent in, after a while all
three queues are empty and stay so; every report that was made is one of those that were foretold, none is
about a report but the notice to the postmaster, and every message ended as the logs say.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import peers
import pytest
from daemon import Client, unhurried
from daemon import Daemon as Local
from postfix import Postfix

from mether.queue.open import open_store
from mether.queue.store import Filter

BIN = Path(sys.executable).parent
HOPS = 20
"""Received fields with which Postfix takes a message for a loop."""

ROUNDS = -(-HOPS // 3)
"""How often what goes round all three, a field each, comes to the first until Postfix, the last, refuses."""

OURS = """\
[service]
hostname = "mx.{name}.example"
postmaster = "{postmaster}"
undeliverable_reports = "{undeliverable}"
workers = {workers}
[queue]
spool = "{kind}:spool"
[[listen]]
address = "127.0.0.1:{port}"
[dns]
enabled = false
[[route]]
domains = ["{name}.example"]
aliases = ["aliases"]
alias_programs = true
users = ["user", "postmaster"]
maildir = "mail/{{user}}"
{routes}
[retry]
intervals = ["1h"]
[log]
format = "json"
"""

ROUTE = """\
[[route]]
domains = ["{domain}"]
smtp = "127.0.0.1:{port}"
open = true
"""

ALIASES = {
    # Round all three, and back to where they began.
    "a": "ring: ring@b.example\nfan: fan@b.example, user\ngone: ghost@b.example\n"
    'away: "|{base}/vacation"\nchain: chain@b.example\n',
    "b": "ring: ring@p.example\nfan: fan@p.example\ngone: ghost@p.example\n"
    'away: "|{base}/vacation"\nchain: chain@p.example\n',
    "p": "ring@p.example=ring@a.example, fan@p.example=fan@a.example, gone@p.example=ghost@a.example, "
    "chain@p.example=ghost@a.example",
}

VACATION = """\
#!/bin/sh
# Answers whoever wrote, as vacation(1) does: from nobody, and never what came from nobody (RFC 3834).
subject=$(sed -n 's/^Subject: //p' | head -n 1)
[ -n "$SENDER" ] || exit 0
printf 'Subject: %s\\r\\nAuto-Submitted: auto-replied\\r\\n\\r\\nI am away.\\r\\n' "$subject" |
    {bin}/smtp 127.0.0.1:{port} '' "$SENDER"
"""

POSTFIX = """\
myhostname = mx.p.example
virtual_mailbox_domains = p.example
virtual_mailbox_base = {base}
virtual_mailbox_maps = inline:{{user@p.example=user/, postmaster@p.example=postmaster/}}
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
virtual_alias_maps = inline:{{{aliases}}}
relay_domains = late.p.example, round.example
transport_maps = inline:{{a.example=smtp:[127.0.0.1]:{a}, b.example=smtp:[127.0.0.1]:{b},
  late.a.example=smtp:[127.0.0.1]:{a}, late.p.example=smtp:[127.0.0.1]:{b},
  round.example=smtp:[127.0.0.1]:{a}}}
hopcount_limit = {hops}
disable_dns_lookups = yes
smtpd_recipient_restrictions = check_recipient_access
  inline:{{late.a.example=REJECT, late.b.example=REJECT}}, permit_mynetworks, reject
"""


class Ours:
    """One of our services, `name`.example; its log is a list of events."""

    def __init__(
        self, base: Path, name: str, kind: str, workers: int, ports: dict[str, int], **more: str
    ) -> None:
        self.base = base / name
        self.base.mkdir()
        self.name = name
        self.port = ports[name]
        self.spool = f"{kind}:{self.base / 'spool'}"
        other = "b" if name == "a" else "a"
        # The relays go round as the aliases do; what is "late" is taken here, and refused where it goes.
        towards = {
            f"{other}.example": ports[other],
            "p.example": ports["p"],
            f"late.{name}.example": ports["p"],
            f"late.{other}.example": ports[other],
            "round.example": ports["b" if name == "a" else "p"],
        }
        if name == "a":
            towards["late.p.example"] = ports["p"]
        routes = "".join(ROUTE.format(domain=domain, port=port) for domain, port in towards.items())
        if name == "b":
            routes += '[[route]]\ndomains = ["late.p.example"]\nrefuse = "550 5.1.1 nobody here"\n'
        settings = {"postmaster": f"postmaster@{name}.example", "undeliverable": "postmaster", **more}
        config = self.base / "mether.toml"
        config.write_text(
            OURS.format(name=name, kind=kind, workers=workers, port=self.port, routes=routes, **settings)
        )
        (self.base / "aliases").write_text(ALIASES[name].format(base=self.base))
        vacation = self.base / "vacation"
        vacation.write_text(VACATION.format(bin=BIN, port=self.port))
        vacation.chmod(0o755)
        with (self.base / "log").open("wb") as log:
            self.process = subprocess.Popen([BIN / "smtpd", "-C", config], stderr=log)
        peers.await_listener(self.port, self.process)

    def log(self) -> list[dict[str, Any]]:
        text = (self.base / "log").read_text()
        assert "Traceback" not in text, text
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def queued(self) -> int:
        store = open_store(self.spool, now=0.0, create=False)
        try:
            return len(store.entries(Filter()))
        finally:
            store.close()

    def mailbox(self, user: str) -> list[str]:
        new = self.base / "mail" / user / "new"
        return [path.read_text() for path in sorted(new.iterdir())] if new.is_dir() else []

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0


class Three:
    """All of them."""

    def __init__(self, base: Path, kind: str, workers: int, more: dict[str, dict[str, str]]) -> None:
        ports = {"a": peers.free_port(), "b": peers.free_port()}
        mail = Path(tempfile.mkdtemp(prefix="storm-"))
        mail.chmod(0o777)  # Postfix delivers there as nobody
        self.postfix = Postfix(
            POSTFIX.format(base=mail, aliases=ALIASES["p"], hops=HOPS, a=ports["a"], b=ports["b"])
        )
        self.mail = mail
        ports["p"] = self.postfix.port
        self.ports = ports
        self.ours: list[Ours] = []
        try:
            for name in ("a", "b"):
                self.ours.append(Ours(base, name, kind, workers, ports, **more.get(name, {})))
        except BaseException:
            self.stop()
            raise

    def send(
        self, at: str, sender: str, recipients: str, tag: str, header: str = "", notify: str = ""
    ) -> str:
        """Hand a message in, whose Subject is the tag; its queue id."""
        with smtplib.SMTP("127.0.0.1", self.ports[at], "client.example", timeout=60) as client:
            client.ehlo()
            client.mail(sender)
            for one in recipients.split():
                client.rcpt(one, [f"NOTIFY={notify}"] if notify else [])
            code, text = client.data(f"Subject: {tag}\r\n{header}\r\nhello\r\n")
            assert code == 250, (tag, code, text)
            return text.decode().rpartition(" ")[2]

    def quiet(self, held: int = 0) -> None:
        """Wait until nothing is queued anywhere but what is held, nor was on its way while that was asked."""

        def still() -> bool:
            before = self._handed()
            left = sum(one.queued() for one in self.ours) - held + self.postfix.queued()
            return not left and before == self._handed()

        peers.until(still)

    def _handed(self) -> tuple[int, ...]:
        counts = [len(one.log()) for one in self.ours]
        return *counts, self.postfix.log().count("\n")

    def mailbox(self, address: str) -> list[str]:
        user, _, host = address.partition("@")
        if host[0] == "p":
            new = self.mail / user / "new"
            return [path.read_text() for path in sorted(new.iterdir())] if new.is_dir() else []
        return self.ours["ab".index(host[0])].mailbox(user)

    def reports(self) -> Counter[tuple[str, str]]:
        """How many reports of each message lie in each mailbox."""
        found: Counter[tuple[str, str]] = Counter()
        for site in "abp":
            for user in ("user", "postmaster"):
                for text in self.mailbox(f"{user}@{site}.example"):
                    if "report-type=delivery-status" in text:
                        # Of a report on a report, the message that it was all about.
                        tag = re.findall(r"^Subject: (t-\S+)", text, re.M)[-1]
                        found[f"{user}@{site}.example", tag] += 1
        return found

    def told(self, what: str) -> int:
        """How many messages the logs say so of."""
        return sum(event["event"] == what for one in self.ours for event in one.log())

    def unaccounted(self, never: str = "-") -> list[str]:
        """Messages that were queued, and have no end in the log for each recipient, or none that somebody
        was told of; nobody is told of the one with the id `never`."""
        missing = []
        for one in self.ours:
            log = one.log()
            ended: dict[object, list[str]] = {}
            for event in log:
                ended.setdefault(event.get("queue_id"), []).append(str(event["event"]))
            queued = {event["queue_id"]: event for event in log if event["event"] == "queued"}
            reports = {event["report"] for event in log if event["event"] == "reported"}
            for ident in queued.keys() | reports:
                events = ended.get(ident, [])
                ends = sum(name in ("delivered", "relayed", "failed") for name in events)
                count = queued[ident]["recipients"] if ident in queued else 1
                if "held" in events:
                    continue
                if ends != count or events.count("removed") != 1:
                    missing.append(f"{one.name} {ident}: {events}")
                told = ident == never or {"reported", "dropped"} & set(events)
                if "failed" in events and not told:
                    missing.append(f"{one.name} {ident} failed, and nothing came of it: {events}")
        log = self.postfix.log()
        taken = set(re.findall(r" (\w+): from=<", log))
        gone = set(re.findall(r" (\w+): removed", log))
        missing += [f"p {ident}" for ident in taken - gone]
        return missing

    def stop(self) -> None:
        try:
            for one in self.ours:
                one.stop()
        finally:
            self.postfix.stop()
            shutil.rmtree(self.mail)


LISTS = (
    "Auto-Submitted: auto-generated\r\nPrecedence: bulk\r\n"
    "List-Id: <l.example>\r\nList-Unsubscribe: <mailto:x@l.example>\r\n"
)

# Where it is handed in, reverse-path, recipients, and who is told: a reader, or "A" and "B" for the notice to
# that service's postmaster; "-" for Postfix, which forgets what it cannot return.
MAIL: list[tuple[str, str, str, str]] = [
    # Nobody at the other side: the sender is told, once, and in one report of all at one next hop.
    ("a", "user@p.example", "ghost@b.example", "user@p.example"),
    ("a", "user@p.example", "ghost@b.example ghoul@b.example", "user@p.example"),
    ("a", "user@a.example", "ghost@b.example ghost@p.example", "user@a.example"),
    ("b", "user@a.example", "ghost@p.example", "user@a.example"),
    ("p", "user@a.example", "ghost@b.example", "user@a.example"),
    ("p", "user@b.example", "x@late.p.example", "user@b.example"),
    ("b", "user@b.example", "x@late.a.example", "user@b.example"),
    # Nor anybody to be told: the postmaster of who found out.
    ("a", "ghost@p.example", "ghost@b.example", "A"),
    ("b", "ghost@a.example", "ghost@p.example", "B"),
    ("p", "ghost@a.example", "ghost@b.example", "-"),
    ("a", "x@late.p.example", "ghost@b.example", "-"),  # Postfix takes the report, and cannot return it
    ("p", "x@late.a.example", "ghost@b.example", "A"),  # and so do we
    ("b", "x@late.a.example", "ghost@p.example", "A"),
    ("a", "", "ghost@b.example", "A"),
    ("a", "", "ghost@b.example ghost@p.example", "A"),
    ("b", "", "ghost@a.example", "B"),
    ("p", "", "ghost@a.example", "-"),
    # By way of an alias.
    ("a", "user@a.example", "gone@a.example", "user@a.example"),
    ("a", "user@a.example", "chain@a.example", "user@a.example"),
    ("b", "gone@a.example", "ghost@p.example", "A"),
    ("a", "chain@a.example", "ghost@b.example", "-"),
    # Round and round: by aliases, and by relays that each take it for the next one's.
    ("a", "user@p.example", "ring@a.example", "user@p.example"),
    ("a", "user@a.example", "fan@a.example", "user@a.example"),
    ("a", "ring@a.example", "ring@a.example", "B"),
    ("a", "ring@a.example", "ghost@b.example", "B"),
    ("a", "", "ring@a.example", "B"),
    ("a", "user@b.example", "x@round.example", "user@b.example"),
    ("a", "y@round.example", "x@round.example", "B"),
    # An answer of who is away, to nobody and to another who is.
    ("a", "ghost@p.example", "away@a.example", "A"),
    ("b", "away@a.example", "away@b.example", ""),
]


TWO = {f"t-{number}" for number, one in enumerate(MAIL) if one[2] == "ghost@b.example ghost@p.example"}
"""What goes to two next hops, each of which refuses it in its own time: one report tells of both, or two."""


def foretold(mode: str) -> Counter[tuple[str, str]]:
    """The reports that there should be, by reader and message."""
    wanted: Counter[tuple[str, str]] = Counter()
    for number, (_, _, _, told) in enumerate(MAIL):
        for reader in told.split():
            if reader in "AB" and mode == "postmaster":
                wanted[f"postmaster@{reader.lower()}.example", f"t-{number}"] += 1
            elif reader not in "AB-":
                wanted[reader, f"t-{number}"] += 1
    return wanted


@pytest.fixture
def three(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Three]:
    if peers.program("postfix") is None:
        pytest.skip("Postfix is missing: run make peers")
    if os.geteuid() != 0:
        pytest.skip("a private MTA can be started by root only")
    made = Three(tmp_path, *request.param)
    yield made
    made.stop()


@pytest.mark.parametrize(
    "three",
    [
        pytest.param(
            (kind, workers, {one: {"undeliverable": mode} for one in "ab"}), id=f"{kind}-{workers}-{mode}"
        )
        for kind, workers, mode in (
            ("sqlite", 1, "postmaster"),
            ("sqlite", 2, "drop"),
            ("directory", 1, "postmaster"),
            ("directory", 1, "hold"),
        )
    ],
    indirect=True,
)
def test_whatever_is_sent_in_comes_to_rest(three: Three, request: pytest.FixtureRequest) -> None:
    """BNC-2, BNC-3: each failure is told once, to whom it is to be told, whatever the header says."""
    mode = request.node.callspec.id.rpartition("-")[2]
    for number, (at, sender, recipients, _) in enumerate(MAIL):
        three.send(at, sender, recipients, f"t-{number}", LISTS if number % 2 else "")
    never = three.send("a", "user@a.example", "ghost@b.example", "t-never", notify="NEVER")
    ours = sum(told.count("A") + told.count("B") for *_, told in MAIL)
    three.quiet(held=ours if mode == "hold" else 0)
    reports = three.reports()
    for reader, tag in [key for key in reports if key[1] in TWO]:
        assert reports[reader, tag] <= 2
        reports[reader, tag] = 1
    assert reports == foretold(mode)
    # What nobody can be told of is one thing, as configured.
    for what, other in (("dropped", "drop"), ("held", "hold")):
        assert ours <= three.told(what) <= ours + 1 if mode == other else not three.told(what)
    fanned = [text for text in three.mailbox("user@a.example") if "delivery-status" not in text]
    assert len(fanned) == ROUNDS
    assert three.unaccounted(never) == []


NOTICES = pytest.mark.parametrize(
    "three",
    [
        pytest.param(
            ("sqlite", 1, {one: {"postmaster": f"{path}.example"} for one, path in paths.items()}), id=name
        )
        for name, paths in {
            "behind-anothers": {"a": "gone@b", "b": "gone@p"},
            "round": {"a": "ring@a", "b": "ring@a"},
            "each-others": {"a": "chain@b", "b": "gone@a"},
        }.items()
    ],
    indirect=True,
)


@NOTICES
def test_a_postmaster_who_is_nobody_is_told_of_no_notice(three: Three) -> None:
    """BNC-2: a notice that comes to nothing is dropped, wherever it did."""
    for number, (at, sender, recipients) in enumerate(
        (
            ("a", "", "nemo@b.example"),
            ("b", "", "nemo@a.example"),
            ("a", "nemo@p.example", "nemo@b.example"),
            ("b", "", "ring@b.example"),
        )
    ):
        three.send(at, sender, recipients, f"t-{number}")
    three.quiet()
    assert not three.reports()
    assert three.told("reported") == 5  # the third has a report, and that a notice; all others a notice
    assert three.unaccounted() == []


FAILS = '[[route]]\ndomains = ["gone.example"]\npipe = ["/bin/sh", "-c", "exit 67"]\n'
FEW = 5


def test_who_sends_much_to_nobody_hears_of_it_a_few_times_an_hour(tmp_path: Path) -> None:
    """BNC-3: above the limit reports wait, each of them in the queue, and none is lost."""
    user = unhurried()
    daemon = Local(tmp_path, routes=FAILS, retry=f"[reports]\nhourly = {FEW}\n")
    client = Client(daemon.port)
    client.say("EHLO client.example")
    for number in range(300):
        assert client.mail(f"{user}@example.com", f"n{number}@gone.example").startswith("250")
    client.close()
    store = open_store(f"sqlite:{tmp_path / 'spool'}", now=0.0, create=False)

    def waiting() -> list[bytes]:
        entries = store.entries(Filter())
        if any(entry.message.envelope.reverse_path is not None for entry in entries):
            return []
        return [store.content(entry.message.ident).read() for entry in entries]

    try:
        peers.until(lambda: len(waiting()) >= 300 - FEW and daemon.mailbox(user))
        daemon.wait_for('"delivered"', f"{user}@example.com")
        assert daemon.stop() == 0
        reports = waiting()
    finally:
        store.close()
        if daemon.process.poll() is None:
            daemon.stop(signal.SIGKILL)
    came = daemon.mailbox(user)
    assert 1 <= len(came) <= FEW
    named = re.findall(rb"^Final-Recipient: rfc822;\s*n(\d+)@", b"\n".join(came + reports), re.M)
    assert sorted(map(int, named)) == list(range(300))
