"""Reports that waited for another hour, in the installed service: as one, and none lost by a kill."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from daemon import BIN, Client, Daemon, unhurried

from mether.address import parse
from mether.content import dsn
from mether.envelope import Envelope, Recipient
from mether.outcome import Outcome
from mether.queue import ident as ident_
from mether.queue.message import Arrival, Draft
from mether.queue.open import open_store
from mether.queue.pace import Pace
from mether.receive import accept
from mether.reply import Reply
from mether.routing.request import Request
from mether.setup.config import load

ALICE = parse("alice@example.com")
ITEM = dsn.Item(
    Recipient(parse("bob@gone.example")), Outcome(0, "failed", Reply(550, "5.1.1", "no such user"))
)


def waiting(daemon: Daemon, count: int) -> set[str]:
    """Queue so many reports to alice whose hour has just come; their ids."""
    now = time.time()
    config = load(str(daemon.config))
    route = config.router().decide(Request(ALICE)).route
    assert route is not None
    store = open_store(config.queue.spool, now=now)
    pace = Pace(config.queue.spool.partition(":")[2], 1)
    drafts: list[Draft] = []
    for number in range(count):
        ident = ident_.new_id(now - 3600 + number * 1e-3, 0)
        about = dsn.About(Envelope(ALICE, []), ident, arrival=now - 3600, original=b"", complete=False)
        content = dsn.report(
            reporting_mta="mx.example.com",
            ident=ident,
            boundary="b0undary",
            to=ALICE,
            postmaster=parse("postmaster@example.com"),
            at=now - 3600,
            about=about,
            items=[ITEM],
        )
        one = accept.draft(
            ident,
            dsn.envelope(ALICE, about.envelope),
            Arrival(now - 3600),
            content,
            [route],
            hostname="mx.example.com",
            lifetime=86400.0,
        )
        one.message.release_at = one.due = now - 1
        pace.wait(str(ALICE), [ident], now - 1)
        drafts.append(one)
    assert not any(answer.error for answer in store.commit(drafts, now=now))
    store.wake()
    store.close()
    pace.close()
    return {draft.message.ident for draft in drafts}


def inside(mailbox: list[bytes]) -> set[str]:
    """The ids of the reports in these messages."""
    return set(re.findall(r"^Message-ID: <(\w+)@mx", "".join(map(bytes.decode, mailbox)), re.M))


def queued(daemon: Daemon) -> list[str]:
    argv = [str(BIN / "smtpq"), "-C", str(daemon.config), "list", "--json"]
    return subprocess.run(argv, capture_output=True, check=True, text=True).stdout.splitlines()


@pytest.mark.parametrize("spool", ["sqlite:spool", "directory:spool"])
def test_they_come_as_one(tmp_path: Path, spool: str) -> None:
    daemon = Daemon(tmp_path, spool)
    idents = waiting(daemon, 60)
    merged = daemon.wait_for('"merged"')
    assert all(ident in merged for ident in idents)
    for _ in idents:
        daemon.wait_for('"delivered"', "alice@example.com")
    assert daemon.stop() == 0
    [one] = daemon.mailbox("alice")
    assert inside([one]) == idents
    assert not queued(daemon)


@pytest.mark.parametrize("spool", ["sqlite:spool", "directory:spool"])
def test_a_kill_loses_none(tmp_path: Path, spool: str) -> None:
    """They were on their way, with the content given away or not: each comes, some maybe twice."""
    daemon = Daemon(tmp_path, spool)
    idents = waiting(daemon, 20)
    daemon.wait_for('"merged"')
    assert daemon.stop(signal.SIGKILL) == -signal.SIGKILL
    daemon.start()
    while inside(daemon.mailbox("alice")) != idents or queued(daemon):
        daemon.wait_for('"delivered"', "alice@example.com")
    assert daemon.stop() == 0
    assert inside(daemon.mailbox("alice")) == idents


def test_those_above_the_limit_wait_and_can_be_seen(tmp_path: Path) -> None:
    user = unhurried()
    daemon = Daemon(
        tmp_path,
        listen='relay_from = ["127.0.0.1"]',
        routes='[[route]]\ndomains = ["gone.example"]\nsmtp = "127.0.0.1:1"\n',
        retry="[reports]\nhourly = 2\n",
    )
    client = Client(daemon.port)
    client.say("EHLO client.example")
    for _ in range(6):
        assert client.mail(f"{user}@example.com", "bob@gone.example").startswith("250")
    client.close()
    argv = [str(BIN / "returnsmtpmail"), "-C", str(daemon.config), "--recipient", "*@gone.example"]
    subprocess.run(argv, capture_output=True, check=True)
    for _ in range(2):
        daemon.wait_for('"delivered"', f"{user}@example.com")
    left = queued(daemon)
    assert len(left) == 4
    assert all('"release_at"' in line for line in left)
    assert daemon.stop() == 0
    assert len(daemon.mailbox(user)) == 2
