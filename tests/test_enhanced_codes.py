"""What mether says in which case, in the words of RFC 3463: the codes that programs and postmasters go by.

The server is that of a configuration, in memory.  What a next hop or a mailbox does is told by the module
that decides about it.
"""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from memory_server import MemoryServer

from mether.client.session import Lost
from mether.content.status import status
from mether.outcome import Outcome
from mether.queue.store import NoSpace, StoreError
from mether.relay import failure, maildir
from mether.reply import Reply
from mether.runner import settle
from mether.server import dialogue
from mether.setup import config
from mether.smtp import fit
from mether.smtp.transaction import Result

SOURCE = Path(__file__).parent.parent / "src" / "mether"

CONFIG = """\
[service]
hostname = "mx.example.com"
[[listen]]
address = "127.0.0.1:0"
relay_from = []
{listen}
[[route]]
domains = ["moved.example"]
refuse = "550 5.1.6 ann is at example.org now"
[[route]]
domains = ["closed.example"]
refuse = "550 5.2.1 the mailbox is closed"
[[route]]
domains = ["policy.example"]
refuse = "550 we take no newsletters"
[[route]]
domains = ["example.com"]
maildir = "mail/{{user}}"
users = ["ann"]
"""

Say = Callable[..., list[str]]


@pytest.fixture
def say(tmp_path: Path) -> Say:
    """What the server answers to each of these lines after EHLO and MAIL: code and status."""

    def said(*lines: str, listen: str = "", mail: str = "MAIL FROM:<s@client.example>") -> list[str]:
        where = tmp_path / "mether.toml"
        where.write_text(CONFIG.format(listen=listen))
        made = config.load(str(where), environ={"METHER_SPOOL": "memory:"})
        with contextlib.closing(MemoryServer(made)) as server:
            out = []
            for line in ("EHLO client.example", *([mail] if mail else []), *lines):
                server.said = b""
                server.send(f"{line}\r\n".encode("utf-8", "surrogateescape"))
                code = re.search(rb"^(\d{3}) (\d\.\d{1,3}\.\d{1,3})?", server.said, re.MULTILINE)
                out.append(" ".join(part.decode() for part in code.groups(b"")).strip() if code else "")
            return out[2 if mail else 1 :]

    return said


def short(reply: Reply | None) -> str:
    assert reply is not None
    return f"{reply.code} {reply.status}"


def test_all_is_well(say: Say) -> None:
    """ENH-2."""
    assert say(
        "MAIL FROM:<s@client.example>", "RCPT TO:<ann@example.com>", "DATA", "Subject: x\r\n.", mail=""
    ) == ["250 2.1.0", "250 2.1.5", "354", "250 2.0.0"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        # ENH-3, ENH-4, ENH-5, ENH-8, ENH-24: of a recipient
        ("RCPT TO:<bob@example.com>", "550 5.1.1"),
        ("RCPT TO:<bob@exa mple.com>", "501 5.1.3"),
        ("RCPT TO:<bob@-.example>", "501 5.1.3"),
        ("RCPT TO:<ann@moved.example>", "550 5.1.6"),
        ("RCPT TO:<ann@closed.example>", "550 5.2.1"),
        ("RCPT TO:<bob@elsewhere.example>", "550 5.7.1"),
        ("RCPT TO:<bob@policy.example>", "550 5.7.1"),
        # ENH-17, ENH-18, ENH-19: of a command
        ("XYZZY", "500 5.5.2"),
        ("RCPT TO:<ann@example.com>\x01", "501 5.5.2"),
        ("MAIL FROM:<s@client.example>", "503 5.5.1"),
        ("RCPT TO:ann@example.com", "501 5.5.4"),
        ("RCPT TO:<ann@example.com> NOTIFY=SOMETIMES", "501 5.5.4"),
        ("RCPT TO:<ann@example.com> COLOUR=RED", "555 5.5.4"),
        # ENH-23: RFC 6531 section 3.5
        ("RCPT TO:<ünn@example.com>", "553 5.6.7"),
    ],
)
def test_what_is_refused_inside_a_transaction(say: Say, line: str, expected: str) -> None:
    """ENH-3, ENH-4, ENH-5, ENH-8, ENH-17, ENH-18, ENH-19, ENH-23, ENH-24."""
    assert say(line) == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("MAIL FROM:<ann>", "501 5.1.7"),
        ("MAIL FROM:<ünn@client.example>", "550 5.6.7"),
        ("MAIL FROM:<s@client.example> SIZE=1001", "552 5.3.4"),
        ("RCPT TO:<ann@example.com>", "503 5.5.1"),
    ],
)
def test_what_is_refused_before_one(say: Say, line: str, expected: str) -> None:
    """ENH-7, ENH-9, ENH-18, ENH-23."""
    assert say(line, mail="", listen="max_size = 1000") == [expected]


def test_too_many_recipients(say: Say) -> None:
    """ENH-20."""
    two = ("RCPT TO:<ann@example.com>", "RCPT TO:<ann+x@example.com>")
    assert say(*two, listen="max_recipients = 1") == ["250 2.1.5", "452 4.5.3"]


def test_the_other_protocol(say: Say) -> None:
    """ENH-21."""
    assert say("HELO client.example", "EHLO client.example", mail="", listen='role = "lmtp"') == [
        "500 5.5.1",
        "500 5.5.1",
    ]
    assert say("LHLO client.example", mail="") == ["500 5.5.1"]


def test_a_loop(say: Say) -> None:
    """ENH-15."""
    content = "Received: from a by b\r\n" * 101
    assert say("RCPT TO:<ann@example.com>", "DATA", f"{content}\r\n.")[-1] == "554 5.4.6"


def test_a_service_that_ends() -> None:
    """ENH-11."""
    assert short(dialogue.SHUTTING_DOWN) == "421 4.3.2"


def test_storage() -> None:
    """ENH-8, ENH-10, ENH-12: the disk is for us to mend, a quota for its owner."""
    assert short(NoSpace("x").reply) == "452 4.3.1"
    assert short(StoreError("x").reply) == "451 4.3.0"
    assert short(maildir.trouble(OSError(errno.ENOSPC, "x"))) == "452 4.3.1"
    assert short(maildir.trouble(OSError(errno.EDQUOT, "x"))) == "452 4.2.2"
    assert short(maildir.trouble(OSError(errno.EIO, "x"))) == "451 4.3.0"
    assert short(failure.of_fault(0, "x").reply) == "451 4.3.0"


@pytest.mark.parametrize(
    ("kind", "expected"), [("connect", "4.4.1"), ("timeout", "4.4.2"), ("closed", "4.4.2")]
)
def test_a_silent_host(kind: str, expected: str) -> None:
    """ENH-13."""
    assert status(failure.of_lost(0, Lost(kind, "", "x"))) == expected
    assert short(dialogue.TIMED_OUT) == "421 4.4.2"


def test_time_is_over() -> None:
    """ENH-16: temporary is why it was not delivered, and for good that it is given up by DELIVERBY."""
    failed = Outcome(0, "failed", settle.EXPIRED)
    assert status(failed) == "4.4.7"
    assert status(settle.over(failed)) == "5.4.7"


def test_what_cannot_go_there() -> None:
    """ENH-22, ENH-23, ENH-25, ENH-30: RFC 3030, RFC 6531 section 3.5, RFC 8689 section 4.2.1."""
    assert short(fit.NOT_CONVERTED) == short(fit.NOT_CONVERTIBLE) == "554 5.6.3"
    assert short(fit.NO_SMTPUTF8_SENDER) == "550 5.6.7"
    assert short(fit.NO_SMTPUTF8_RECIPIENT) == "553 5.6.7"
    assert short(fit.NO_SMTPUTF8_HEADER) == "554 5.6.9"
    assert short(fit.NO_TLS) == "550 5.7.10"
    assert short(fit.NO_REQUIRETLS) == "550 5.7.30"


@pytest.mark.parametrize(
    ("stage", "code", "text", "expected"),
    [
        ("RCPT", 552, "5.2.3 too long for this mailbox", "5.2.3"),
        ("RCPT", 550, "Mailbox disabled", "5.2.1"),
        ("RCPT", 452, "Mailbox full", "4.2.2"),
        (".", 552, "message exceeds the size limit", "5.3.4"),
        ("RCPT", 550, "No such user", "5.1.1"),
    ],
)
def test_what_another_server_means(stage: str, code: int, text: str, expected: str) -> None:
    """ENH-3, ENH-8, ENH-9: by its own status, else by its words."""
    from mether.reply import from_lines

    outcome = failure.of_result(0, Result(stage, from_lines(code, [text])), remote_mta="mx")
    outcome.action = "delayed" if code < 500 else "failed"
    assert status(outcome) == expected


def test_numbers_with_two_meanings_are_never_sent() -> None:
    """ENH-1, ENH-31: RFC 4865 and RFC 6710 both took X.7.16 and X.7.17; and no priority is refused here."""
    sent = {
        found
        for module in SOURCE.rglob("*.py")
        if "content" not in module.relative_to(SOURCE).parts
        for found in re.findall(r'"([245]\.7\.1[5-7])"', module.read_text())
    }
    assert not sent
