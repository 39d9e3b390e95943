"""What is kept of a session, and how it reads."""

from __future__ import annotations

import asyncio
import base64
from typing import Any, ClassVar

import pytest
from clock import running, virtual
from hypothesis import given
from hypothesis import strategies as some
from script_server import CLOSE, FOR_EVER, ScriptServer

from mether.client import connect, transcript
from mether.client.session import Lost, Timeouts
from mether.client.transcript import ENTRIES, HIDDEN, OCTETS
from mether.smtp.sasl_client import Credentials

SECRET = "open-sesame"


def lines(*log: transcript.Entry, host: str = "mx", end: str = "") -> list[str]:
    return transcript.text([(host, [list(log)], end)]).split("\n")


def test_it_reads_as_it_was_said() -> None:
    assert lines(
        (10.0, "S", b"220 mx.example.net ESM"),
        (10.25, "S", b"TP\r\n"),
        (10.5, "C", b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n"),
        (10.75, "S", b"250 ok\r\n250 ok\r\n354 go on\r\n"),
        (11.0, "C", 4096),
        (12.0, "-", "TLSv1.3"),
        end="the server closed the connection",
    ) == [
        "mx",
        "   0.000 S: 220 mx.example.net ESMTP",
        "   0.500 C: MAIL FROM:<a@example.com>",
        "   0.500 C: RCPT TO:<b@example.net>",
        "   0.500 C: DATA",
        "   0.750 S: 250 ok",
        "   0.750 S: 250 ok",
        "   0.750 S: 354 go on",
        "   1.000 C: [4096 octets of content]",
        "   2.000 - TLSv1.3",
        "         - the server closed the connection",
    ]


def test_control_characters_are_made_visible() -> None:
    (_, line) = lines((0.0, "S", b"550 \x1b[2J\x00 \xff caf\xc3\xa9 \n\r x\r\n"))
    assert line == "   0.000 S: 550 \\x1b[2J\\x00 \\xff café \\n\\r x"


@given(some.lists(some.tuples(some.sampled_from("CS"), some.binary(max_size=30000)), max_size=12))
def test_it_is_bounded_and_can_be_shown(said: list[tuple[str, bytes]]) -> None:
    text = transcript.text([("mx", [[(0.0, who, octets) for who, octets in said]], "")])
    assert len(text.encode()) <= OCTETS
    assert all(line.isprintable() for line in text.split("\n"))


def test_of_a_long_one_the_first_and_the_last_are_kept() -> None:
    log: transcript.Log = [(0.0, "S", b"220 first\r\n")]
    log += [(1.0, "C" if number % 2 else "S", b"250 %d\r\n" % number * 40) for number in range(200)]
    log.append((2.0, "S", b"554 last\r\n"))
    shown = "\n".join(lines(*log))
    assert "220 first" in shown and shown.endswith("554 last") and "octets left out" in shown
    assert OCTETS - 200 < len(shown) <= OCTETS


def test_a_log_does_not_grow_for_ever() -> None:
    log: transcript.Log = []
    for number in range(5000):
        log.append((0.0, "S", b"%d" % number))
        transcript.trim(log)
    assert len(log) <= ENTRIES
    assert (log[0][2], log[-1][2]) == (b"0", b"4999")
    assert (0.0, "-", "[...]") in log


def test_several_hosts() -> None:
    text = transcript.text(
        [("one", [], "connecting to one: refused"), ("two", [[(0.0, "S", b"220 x\r\n")]], "")]
    )
    assert text.split("\n") == [
        "one",
        "         - connecting to one: refused",
        "two",
        "   0.000 S: 220 x",
    ]


@pytest.mark.parametrize(
    ("who", "said", "shown"),
    [
        ("C", b"AUTH PLAIN AGFubgBzZWNyZXQ=\r\n", f"AUTH PLAIN {HIDDEN}"),
        ("C", b"AUTH LOGIN\r\n", "AUTH LOGIN"),
        ("C", b"YW5u\r\n", HIDDEN),
        ("C", b"*\r\n", "*"),
        ("C", b"\r\n", HIDDEN),
        ("S", b"334 cj1hYmM=\r\n", f"334 {HIDDEN}"),
        ("S", b"235 2.7.0 v=abc\r\n", f"235 2.7.0 {HIDDEN}"),
        ("S", b"535-5.7.8 YW5u?\r\n", f"535-5.7.8 {HIDDEN}"),
        ("S", b"535 1.2.3456789012 x\r\n", f"535 {HIDDEN}"),
        ("S", b"YW5u\r\n", HIDDEN),
        ("S", b"53", HIDDEN),
    ],
)
def test_what_is_shown_of_an_exchange(who: str, said: bytes, shown: str) -> None:
    ((_, _, octets),) = transcript.hidden([(0.0, who, said)])
    assert octets == f"{shown}\r\n".encode()


@given(some.binary(max_size=200), some.integers(0, 6))
def test_no_octet_of_a_server_gets_out_of_an_exchange(said: bytes, cut: int) -> None:
    """However its octets are cut: but for digits of codes, hyphens and dots."""
    left = transcript.hidden([(0.0, "S", said[:cut]), (0.0, "S", said[cut:])])
    for _, _, octets in left:
        assert isinstance(octets, bytes)
        bare = octets.replace(HIDDEN.encode(), b"")
        assert set(bare) <= set(b"0123456789.- \r\n")


class Echo(asyncio.Protocol):
    """A server that takes an exchange to its end, and at each step says all that it was told."""

    told: ClassVar[list[bytes]] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(b"220 echo ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        for line in data.split(b"\r\n")[:-1]:
            self.transport.write(self.answer(line) + b"\r\n")

    def answer(self, line: bytes) -> bytes:
        if line.startswith(b"EHLO"):
            return b"250-echo\r\n250 AUTH PLAIN LOGIN SCRAM-SHA-256 OAUTHBEARER XOAUTH2"
        if line == b"QUIT":
            return b"221 bye"
        said = line.rpartition(b" ")[2]
        self.told.append(said)
        steps = {
            b"AUTH LOGIN": b"334 VXNlcm5hbWU6",
            b"YW5u": b"334 UGFzc3dvcmQ6",
        }
        if line in steps:
            return steps[line]
        if b"SCRAM" in line:
            nonce = base64.b64decode(said).rpartition(b"r=")[2]
            return b"334 " + base64.b64encode(b"r=" + nonce + b"more,s=c2FsdA==,i=4096")
        return b"535-5.7.8 what is " + line + b"\r\n535 5.7.8 or " + b" ".join(self.told) + b"?"


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "OAUTHBEARER", "XOAUTH2"])
@virtual
async def test_no_password_token_or_proof_is_ever_shown(mechanism: str) -> None:
    """Not even when the server says it."""
    loop = running()
    Echo.told = []
    listening = await loop.create_server(Echo, "127.0.0.1", 0)
    token = mechanism.endswith(("BEARER", "OAUTH2"))
    credentials = Credentials("ann", None if token else SECRET, SECRET if token else None, [mechanism])
    client = await connect.connect(loop, "127.0.0.1", listening.sockets[0].getsockname()[1], Timeouts())
    await client.hello("us.example.com")
    reply, _ = await client.login(credentials)
    assert reply.code == 535
    await client.quit()
    listening.close()
    text = transcript.text([("echo", client.logs, "")])
    assert f"C: AUTH {mechanism}" in text
    assert f"S: 535 5.7.8 {HIDDEN}" in text
    secrets = {SECRET.encode(), *Echo.told} - {b"LOGIN"}
    assert len(secrets) > 1
    for secret in secrets:
        assert secret.decode() not in text
    proofs = [base64.b64decode(said).rpartition(b"p=")[2] for said in Echo.told if b"=" in said]
    for proof in proofs:
        assert not proof or proof.decode("latin-1") not in text


@virtual
async def test_a_session_that_is_lost_in_an_exchange_shows_nothing_of_it() -> None:
    server = await ScriptServer(offer=("AUTH PLAIN",), AUTH=[CLOSE]).start()
    client = await connect.connect(running(), "127.0.0.1", server.port, Timeouts())
    await client.hello("us.example.com")
    with pytest.raises(Lost):
        await client.login(Credentials("ann", SECRET))
    text = transcript.text([("mx", client.logs, client.problem)])
    assert text.split("\n")[-2:] == [
        f"   0.000 C: AUTH PLAIN {HIDDEN}",
        "         - the server closed the connection",
    ]


@virtual
async def test_a_session_keeps_its_opening_and_what_came_since_it_was_begun() -> None:
    server = await ScriptServer(NOOP=["250 once", "250 twice", "250 thrice", FOR_EVER]).start()
    client = await connect.connect(running(), "127.0.0.1", server.port, Timeouts())
    await client.hello("us.example.com")
    await client.ask("NOOP", b"NOOP\r\n")
    for _ in range(2):
        client.begin()
        await client.ask("NOOP", b"NOOP\r\n")
    text = transcript.text([("mx", client.logs, "")])
    assert "220 script" in text and "once" in text and "thrice" in text
    assert "twice" not in text
    client.abort()
