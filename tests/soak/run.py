"""The soak: mail for destinations of every kind, and each message ends where it should.  `make soak`, or
run.py --help

One smtpd, with a name server of our own (mether.testing.dns) and loopback addresses as hosts (exchangers.py),
is sent messages for destinations from the table in expect.py, by three listeners, from senders with reports
and without.  Some domains get well while it goes on, and the service reads its configuration again.  With
--kill it is killed in the middle and started anew.  What is held at the end is released.  When the queue is
empty each message is held against the table (judge.py).  Needs port 25 of loopback addresses, so on most
systems root.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import network  # noqa: E402

try:
    network.claim()
except OSError as error:
    raise SystemExit(f"the soak needs port 25 of loopback addresses: {error.strerror or error}") from None

import exchangers  # noqa: E402
import expect  # noqa: E402
import judge  # noqa: E402
from expect import HOSTS, KINDS, Message  # noqa: E402

from mether.queue.open import open_store  # noqa: E402
from mether.queue.store import Filter  # noqa: E402
from mether.testing.dns import Server, Zone  # noqa: E402

BIN = Path(sys.executable).parent
CLIENTS = 8
PATIENCE = 120.0
"""Seconds beyond the expiry of messages after which something hangs."""

NOTIFY = ("", "", "", "SUCCESS", "SUCCESS,FAILURE,DELAY", "SUCCESS,FAILURE", "FAILURE", "NEVER", "DELAY")

CONFIG = """\
[service]
hostname = "{us}"
postmaster = "{postmaster}"
workers = {workers}
[queue]
spool = "sqlite:spool"
[[listen]]
name = "trusted"
address = "127.0.0.1:{trusted}"
relay_from = ["127.0.0.0/8"]
[[listen]]
name = "submission"
role = "submission"
address = "127.0.0.1:{submission}"
relay_from = ["127.0.0.0/8"]
tls = "none"
auth = false
[[listen]]
address = "{ours}:25"
role = "mx"
[dns]
servers = ["{dns}"]
timeout = "1s"
private = "allow"
[tls]
send = "none"
[retry]
intervals = ["1s", "1s", "2s", "2s", "3s"]
expire = "{expire}s"
warn = ["{warn}s"]
[log]
format = "json"
[srs]
domain = "srs.test"
secret_file = "secret"

[[route]]
domains = ["senders.test"]
smtp = "{senders}:25"
[[route]]
domains = ["refusing.test"]
smtp = "{refusing}:25"
[[route]]
domains = ["local.test"]
aliases = ["aliases"]
alias_files = true
alias_programs = true
users = ["postmaster", "ann", "bob", "dan", "eve", "fay", "copied", "catcher"]
delimiter = "+"
maildir = "mail/{{user}}"
[[route]]
domains = ["catch.test", "virtual1.test", "virtual2.test"]
aliases = ["virtual"]
[[route]]
domains = ["forward1.test"]
forward = ["kept@abroad.test"]
[[route]]
domains = ["forward2.test"]
forward = ["lost@abroad2.test"]
[[route]]
name = "srs"
domains = ["abroad.test", "abroad2.test"]
mx = true
srs = true
[[route]]
domains = ["smart.test"]
smtp = ["{dead}", "{good1}"]
[[route]]
domains = ["smart2.test"]
smtp = ["{strict}", "{good2}"]
failover = ["4.7."]
[[route]]
domains = ["store.test"]
lmtp = "{lmtp}:24"
[[route]]
domains = ["asked.test"]
users = ["callahead"]
lmtp = "{lmtp}:24"
[[route]]
domains = ["unasked.test"]
users = ["callahead"]
lmtp = "{dead}:24"
[[route]]
domains = ["unread.test"]
users = ["file:unread"]
maildir = "mail/{{user}}"
[[route]]
domains = ["backup.test"]
mx = true
open = true
[[route]]
domains = ["pipe.test"]
pipe = ["sh", "{base}/program", "route"]
[[route]]
domains = ["pipe67.test"]
pipe = ["sh", "-c", "exit 67"]
[[route]]
domains = ["discard.test"]
discard = true
[[route]]
domains = ["refuse.test"]
refuse = "550 5.7.1 not by us"
[[route]]
domains = ["later.test"]
refuse = "450 4.7.1 not now"
[[route]]
domains = ["hold.test"]
hold = "to be looked at"
"""
ALIASES = """\
team: dan, team@healthy1.test, team@first1.test, team@unknown1.test, team@null1.test
list: eve, list@healthy2.test, list@unknown1.test
owner-list: owner@senders.test
copied: copied, fay
loop: loop2
loop2: loop
filed: {base}/mail/filed/
run: "|/bin/sh {base}/program run"
"""
VIRTUAL = """\
@catch.test: catcher@local.test
info@virtual1.test: info@virtual2.test
info@virtual2.test: chain@healthy3.test
"""
PROGRAM = """\
# Defers each message once, then takes it.
cd "$(dirname "$0")/piped" || exit 75
name="$1.$QUEUE_ID"
mkdir "tried.$name" 2>/dev/null && exit 75
cat > "tmp.$name.$$" && mv "tmp.$name.$$" "new.$name.$$"
"""


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def messages(count: int, chance: random.Random) -> Iterator[Message]:
    """So many messages: to each destination in turn, and some to several of them."""
    for number in range(1, count + 1):
        kinds = [KINDS[(number - 1) % len(KINDS)]]
        if not kinds[0].alone and chance.random() < 0.4:
            others = [kind for kind in KINDS if not kind.alone and kind is not kinds[0]]
            kinds += chance.sample(others, chance.randint(1, 3))
        sender = f"s{number}@senders.test"
        if chance.random() < 0.1:
            sender = ""
        elif len(kinds) == 1 and expect.simple(kinds[0]) and chance.random() < 0.2:
            sender = f"s{number}@refusing.test"
        door = chance.choices(expect.DOORS, (6, 2, 2))[0]
        if any(kind.patient for kind in kinds):
            door = "trusted"
        ends = [end for kind in kinds for end in kind.ends]
        yield Message(number, sender, kinds, [chance.choice(NOTIFY) for _ in ends], door=door)


class Soak:
    """One run; `problems` is what did not hold."""

    def __init__(self, options: argparse.Namespace, base: Path) -> None:
        self.options = options
        self.base = base
        self.chance = random.Random(options.seed)
        self.ledger = exchangers.Ledger()
        self.problems: list[str] = []
        self.sent: list[Message] = []
        trusted, submission = free_ports(2)
        self.doors = {
            "trusted": ("127.0.0.1", trusted),
            "submission": ("127.0.0.1", submission),
            "mx": (HOSTS["us"], 25),
        }
        self.zone = Zone(expect.RECORDS, ttl=5)
        self.zone.codes |= dict.fromkeys(expect.BROKEN + expect.BROKEN_AT_FIRST, "SERVFAIL")
        self.zone.silent |= {*expect.SILENT, *expect.SILENT_AT_FIRST}
        self.zone.truncated |= set(expect.TRUNCATED)
        for name in expect.HELD_AT_FIRST:
            self.zone.hold(name)
        self.held: list[str] = []
        self.kills = self.starts = 0

    async def run(self) -> None:
        """Do all of it."""
        hosts = await exchangers.start(self.ledger)
        async with Server(self.zone) as server:
            self._configure(server.address)
            self.process = await self._start()
            (self.base / "unread").unlink()
            try:
                await self._load()
                self.held = await self._drain()
                await self._release()
                if left := await self._drain():
                    self.problems.append(f"held again: {left}")
            finally:
                if self.process.returncode is None:
                    self.process.terminate()
                status = await self.process.wait()
        if status != 0:
            self.problems.append(f"smtpd ended with {status}")
        for one in hosts:
            one.close()
        self._local()

    def _configure(self, dns: str) -> None:
        expire = self.options.expire
        text = CONFIG.format(
            us=expect.US,
            ours=HOSTS["us"],
            postmaster=expect.POSTMASTER,
            workers=self.options.workers,
            trusted=self.doors["trusted"][1],
            submission=self.doors["submission"][1],
            dns=dns,
            base=self.base,
            expire=expire,
            warn=expire // 2,
            **{name: HOSTS[name] for name in HOSTS if name != "us"},
        )
        (self.base / "mether.toml").write_text(text)
        (self.base / "aliases").write_text(ALIASES.format(base=self.base))
        (self.base / "unread").write_text("ann\n")
        (self.base / "virtual").write_text(VIRTUAL)
        (self.base / "program").write_text(PROGRAM)
        (self.base / "piped").mkdir()
        secret = self.base / "secret"
        secret.write_text("a secret of the soak\n")
        secret.chmod(0o600)

    async def _start(self) -> asyncio.subprocess.Process:
        with (self.base / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(BIN / "smtpd", "-C", self.base / "mether.toml"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        until = time.monotonic() + 30
        while time.monotonic() < until and process.returncode is None:
            if (self.base / "log").read_text().count('"event": "started"') == self.starts:
                return process
            await asyncio.sleep(0.05)
        raise SystemExit(f"smtpd does not start: see {self.base}/log")

    async def _load(self) -> None:
        """Send all messages; in the meantime some domains get well."""
        waiting = list(messages(self.options.messages, self.chance))
        self.sent = waiting[:]
        waiting.reverse()
        half = len(waiting) // 2
        pace = self.options.minutes * 60 / len(waiting)
        started = time.monotonic()

        async def client() -> None:
            while waiting:
                message = waiting.pop()
                due = started + message.number * pace
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await self._send(message)

        async def heal() -> None:
            await asyncio.sleep(self.options.expire / 4)
            for name in expect.BROKEN_AT_FIRST:
                del self.zone.codes[name]
            self.zone.silent -= set(expect.SILENT_AT_FIRST)
            for name in expect.HELD_AT_FIRST:
                self.zone.release(name)

        async def middle() -> None:
            while len(waiting) > half:
                await asyncio.sleep(0.05)
            if self.options.kill:
                os.killpg(self.process.pid, signal.SIGKILL)
                await self.process.wait()
                self.kills += 1
                self.process = await self._start()
            self.process.send_signal(signal.SIGHUP)

        await asyncio.gather(heal(), middle(), *(client() for _ in range(CLIENTS)))
        self.seconds = time.monotonic() - started

    async def _send(self, message: Message) -> None:
        """One message; where the service is gone, it waits until it is there again."""
        door = self.doors[message.door]
        until = time.monotonic() + PATIENCE
        while True:
            try:
                reader, writer = await asyncio.open_connection(*door)
                break
            except OSError:
                if time.monotonic() > until:
                    raise
                await asyncio.sleep(0.05)
        try:
            await self._talk(message, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            if not self.options.kill:
                self.problems.append(f"message {message.number}: the connection was lost")
        finally:
            writer.close()

    async def _talk(
        self, message: Message, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async def reply() -> str:
            while True:
                line = (await reader.readuntil(b"\n")).decode()
                if line[3:4] != "-":
                    return line.rstrip()

        def say(*lines: str) -> None:
            writer.write("".join(f"{line}\r\n" for line in lines).encode())

        await reply()
        say("EHLO client.test")
        await reply()
        utf8 = " SMTPUTF8" if any(kind.utf8 for kind in message.kinds) else ""
        say(
            f"MAIL FROM:<{message.sender}> RET=HDRS{utf8}",
            *(
                f"RCPT TO:<{message.at(end.address)}>" + (f" NOTIFY={notify}" if notify else "")
                for (_, end), notify in zip(message.ends, message.notify, strict=True)
            ),
        )
        mail = await reply()
        if not mail.startswith("250"):
            self.problems.append(f"message {message.number}: MAIL: {mail}")
        for _ in message.ends:
            message.replies.append(await reply())
        if not any(one.startswith("250") for one in message.replies):
            message.reply = "554 nobody"
            say("QUIT")
            await reply()
            return
        say("DATA")
        await reply()
        say(
            f"From: <{message.sender or 'nobody@senders.test'}>",
            f"Message-ID: <{message.number}@soak.test>",
            f"X-Soak: {message.number}",
            f"Subject: to {', '.join(kind.name for kind in message.kinds)}",
            "",
            *["A line of text that says nothing."] * self.chance.choice([1, 20, 500]),
            ".",
        )
        message.reply = await reply()
        say("QUIT")
        await reply()

    async def _drain(self) -> list[str]:
        """Wait until the queue holds nothing but what is held; whose mail that is."""
        until = time.monotonic() + self.options.expire + PATIENCE
        while True:
            await asyncio.sleep(0.2)
            store = open_store(f"sqlite:{self.base}/spool", now=time.time(), create=False)
            try:
                held = store.entries(Filter(status="held"), limit=100_000)
                left = store.count(1_000_000) - len(held)
            finally:
                store.close()
            if not left or time.monotonic() > until:
                break
        if left:
            self.problems.append(f"{left} messages are still in the queue")
        return [str(one.forward_path) for entry in held for one in entry.message.envelope.recipients]

    async def _release(self) -> None:
        """Let go what is held, as a person does."""
        command = (BIN / "smtpq", "-C", self.base / "mether.toml", "release", "--all")
        process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
        if status := await process.wait():
            self.problems.append(f"smtpq release ended with {status}")

    def _local(self) -> None:
        """Read what was delivered here into the ledger."""
        piped = [("pipe", path) for path in (self.base / "piped").glob("new.*")]
        boxes = [("maildir", path) for path in (self.base / "mail").glob("*/new/*")]
        for place, path in piped + boxes:
            content = path.read_bytes()
            fields = dict(
                line.split(": ", 1)
                for line in content.decode(errors="replace").splitlines()[:4]
                if ": " in line
            )
            recipient, reverse = fields["Delivered-To"].strip("<>"), fields["Return-Path"].strip("<>")
            if recipient == expect.POSTMASTER:
                self.ledger.report(recipient, reverse, content)
            else:
                self.ledger.take(place, reverse, recipient, content)

    def judge(self) -> str:
        """Hold what happened against the table; a summary."""
        self.problems += judge.problems(self.sent, self.ledger, self.held, killed=self.kills > 0)
        with (self.base / "log").open() as log:
            explained = judge.AFTER_KILL if self.kills else judge.EXPLAINED
            self.problems += [f"log: {line}" for line in judge.complaints(log, explained)]
        told = expect.counts(self.sent)
        recipients = sum(len(message.ends) for message in self.sent)
        came = Counter(
            key[2] for reports in self.ledger.reports.values() for key, ids in reports.items() for _ in ids
        )
        twice = sum(len(times) > 1 for taken in self.ledger.taken.values() for times in taken.values())
        lines = [
            f"{len(self.sent)} messages to {recipients} recipients of {len(KINDS)} kinds at "
            f"{expect.domains()} domains, sent in {self.seconds:.0f} s "
            f"(workers {self.options.workers}, kills {self.kills}, seed {self.options.seed})",
            "expected: " + ", ".join(f"{name} {count}" for name, count in sorted(told.items())),
            f"delivered twice, being in flight when it was killed: {twice}",
            "reports came: " + ", ".join(f"{name} {count}" for name, count in sorted(came.items())),
            *(f"VIOLATED: {problem}" for problem in self.problems[: judge.SHOWN]),
        ]
        if len(self.problems) > judge.SHOWN:
            lines.append(f"VIOLATED: and {len(self.problems) - judge.SHOWN} more")
        return "\n".join(lines)


def main() -> int:
    """Run it; 1 when something ended where it should not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=3000, help="how many are sent")
    parser.add_argument("--minutes", type=float, default=0.5, help="over how long a time they are sent")
    parser.add_argument(
        "--expire", type=int, default=40, help="seconds after which mail that waits is returned"
    )
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kill", action="store_true", help="kill the service in the middle, with SIGKILL")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--keep", action="store_true", help="keep the queue, the mail and the log")
    parser.add_argument("--place", type=Path, help="where to make them (default: a temporary directory)")
    options = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="soak-", dir=options.place))
    soak = Soak(options, base)
    asyncio.run(soak.run())
    print(soak.judge(), flush=True)
    if soak.problems or options.keep:
        print(f"kept: {base}")
    else:
        shutil.rmtree(base)
    return 1 if soak.problems else 0


if __name__ == "__main__":
    sys.exit(main())
