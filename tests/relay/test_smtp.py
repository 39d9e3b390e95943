"""One claim over one session: opening it, and whether it may be used again."""

from __future__ import annotations

import io

import pytest
from clock import running, virtual
from mail import CONTENT, claim
from script_server import CLOSE, ScriptServer

from mether.client.session import Lost, Timeouts
from mether.client.stream import StreamClient
from mether.envelope import By
from mether.queue.content import Content, in_memory
from mether.relay import opening, smtp
from mether.relay.hosts import Host


async def session(server: ScriptServer, *, name: str = "us.example.com") -> StreamClient:
    await server.start()
    host = Host("mx.example.net", "127.0.0.1", server.port)
    return await opening.open(running(), host, name, Timeouts(), lmtp=server.lmtp)


@virtual
async def test_a_host_that_does_not_know_ehlo_gets_helo() -> None:
    """RFC 5321 section 3.2"""
    server = ScriptServer(EHLO=["502 5.5.1 what?"])
    await session(server)
    assert server.sessions[0] == ["EHLO us.example.com", "HELO us.example.com"]


@virtual
async def test_a_short_host_name_is_not_said() -> None:
    """CLI-1: an address literal where there is no full name."""
    server = ScriptServer()
    await session(server, name="localhost")
    assert server.sessions[0] == ["EHLO [127.0.0.1]"]


@pytest.mark.parametrize("reply", ["554 5.3.2 no", "421 4.3.2 busy"])
@virtual
async def test_a_refusal_carries_the_reply(reply: str) -> None:
    with pytest.raises(opening.Refused) as caught:
        await session(ScriptServer(greeting=[reply]))
    assert str(caught.value.reply) == reply


@pytest.mark.parametrize("kind", ["greeting", "EHLO"])
@virtual
async def test_a_host_that_hangs_up_is_lost(kind: str) -> None:
    with pytest.raises(Lost):
        await session(ScriptServer(**{kind: [CLOSE]}))


@pytest.mark.parametrize(
    ("replies", "usable"),
    [
        ({}, True),
        ({"RCPT": ["550 5.1.1 no"]}, True),
        ({"MAIL": ["450 4.7.1 no"]}, True),
        ({".": ["554 5.6.0 no"]}, True),
        ({"MAIL": ["421 4.3.2 no"]}, False),
        ({".": ["421 4.3.2 no"]}, False),
        ({".": [CLOSE]}, False),
        ({"RCPT": ["550 5.1.1 no"], "RSET": [CLOSE]}, False),
    ],
)
@virtual
async def test_whether_the_session_may_be_used_again(replies: dict[str, list[str]], usable: bool) -> None:
    client = await session(ScriptServer(**replies))
    one = claim()
    outcomes, again = await smtp.send(client, one, in_memory(CONTENT), remote_mta="mx", clock=running().clock)
    assert len(outcomes) == 1
    assert again is usable


@pytest.mark.parametrize(
    ("content", "offer", "parameters"),
    [
        (CONTENT, ("8BITMIME", "SIZE"), "SIZE=54"),
        ("ü\r\n".encode(), ("8BITMIME",), "BODY=8BITMIME"),
        ("\r\nü\r\n".encode(), (), ""),
        (CONTENT, (), ""),
    ],
)
@virtual
async def test_only_what_was_offered_is_said(content: bytes, offer: tuple[str, ...], parameters: str) -> None:
    """CLI-3"""
    server = ScriptServer(offer=offer)
    client = await session(server)
    await smtp.send(client, claim(), in_memory(content), remote_mta="mx", clock=running().clock)
    assert server.sessions[0][1] == f"MAIL FROM:<sender@example.com> {parameters}".rstrip()


@pytest.mark.parametrize(
    ("octets", "status"), [("ü\r\n".encode() * 9, "5.6.3"), (b"only declared\r\n", "2.0.0")]
)
@pytest.mark.parametrize("in_file", [True, False])
@virtual
async def test_content_declared_as_8_bit_for_a_server_without_8bitmime(
    octets: bytes, status: str, in_file: bool
) -> None:
    """8BM-2: what is so only by declaration can be sent, and a file is read to find out."""
    server = ScriptServer(offer=())
    client = await session(server)
    content = Content(None, len(octets), lambda: io.BytesIO(octets)) if in_file else in_memory(octets)
    one = claim(body="8BITMIME")
    ((outcome,), again) = await smtp.send(client, one, content, remote_mta="mx", clock=running().clock)
    assert outcome.status == status
    assert not outcome.said or status == "2.0.0"
    assert again
    assert len(server.messages) == (status == "2.0.0")


@pytest.mark.parametrize(
    ("offer", "by", "notifies", "traced"),
    [
        ((), None, False, False),
        (("DSN",), None, True, False),
        ((), By(3600, "N"), False, True),
        (("DSN",), By(3600, "N"), True, True),
        (("DSN", "DELIVERBY"), By(3600, "N"), True, False),
        (("DELIVERBY",), By(3600, "R"), False, False),
        (("DSN", "DELIVERBY"), By(3600, "R", trace=True), True, True),
    ],
)
@virtual
async def test_who_reports_from_here_on(
    offer: tuple[str, ...], by: By | None, notifies: bool, traced: bool
) -> None:
    """DSN-3, DSN-4, EXT-1: a next hop with DSN does, but for what DELIVERBY has each hop tell."""
    client = await session(ScriptServer(offer=offer))
    one = claim(notify="SUCCESS")
    one.message.arrival.at = running().clock()
    one.message.envelope.by = by
    ((outcome,), _) = await smtp.send(client, one, in_memory(CONTENT), remote_mta="mx", clock=running().clock)
    assert outcome.action == "relayed"
    assert (outcome.notifies, outcome.traced) == (notifies, traced)
