"""Which host is tried next, and whose answer counts when none is left."""

from __future__ import annotations

import pytest
from clock import virtual
from mail import claim
from relays import Relay, server
from script_server import CLOSE, FOR_EVER, SILENCE, ScriptServer

from mether.relay.hosts import Host
from mether.reply import Reply

REFUSAL = "554 5.3.2 no mail here"


@pytest.mark.parametrize(
    "trouble",
    [
        {"greeting": ["554 no service", FOR_EVER]},
        {"greeting": ["421 busy", FOR_EVER]},
        {"greeting": [CLOSE, FOR_EVER]},
        {"greeting": [SILENCE, FOR_EVER]},
        {"greeting": ["HTTP/1.1 400 Bad Request", FOR_EVER]},
        {"EHLO": ["421 no", FOR_EVER]},
        {"EHLO": ["550 no", FOR_EVER], "HELO": ["550 no", FOR_EVER]},
        {"MAIL": ["421 no", FOR_EVER]},
        {"MAIL": [CLOSE, FOR_EVER]},
        {"RCPT": [SILENCE, FOR_EVER]},
        {"DATA": [CLOSE, FOR_EVER]},
    ],
)
@virtual
async def test_the_second_host_is_tried_when_the_first_cannot_be_used(trouble: dict[str, list[str]]) -> None:
    """CLI-9, CLI-13: RFC 5321 section 5.1."""
    first, second = await ScriptServer(**trouble).start(), await server()
    ((outcome,),) = await Relay(first, second).send(claim())
    assert outcome.action == "relayed"
    assert outcome.remote_mta == f"mx1.example.net[127.0.0.1]:{second.port}"
    assert len(first.sessions) == 1
    assert len(second.messages) == 1


@virtual
async def test_the_second_host_is_tried_when_nothing_listens_on_the_first() -> None:
    first, second = await server(), await server()
    await first.close()
    ((outcome,),) = await Relay(first, second).send(claim())
    assert outcome.action == "relayed"


@pytest.mark.parametrize("down_first", [True, False])
@virtual
async def test_a_host_that_is_only_down_may_take_it_later(down_first: bool) -> None:
    """RFC 5321 section 5.1: one host's refusal is not the answer of those that are down."""
    down, refusing = await server(), await server(greeting=[REFUSAL, FOR_EVER])
    await down.close()
    hosts = (down, refusing) if down_first else (refusing, down)
    ((outcome,),) = await Relay(*hosts).send(claim())
    assert (outcome.action, outcome.scope, outcome.status) == ("delayed", "host", "4.4.1")


@virtual
async def test_a_message_fails_when_every_host_refuses() -> None:
    one, two = await server(greeting=[REFUSAL, FOR_EVER]), await server(greeting=[REFUSAL, FOR_EVER])
    ((outcome,),) = await Relay(one, two).send(claim())
    assert (outcome.action, outcome.scope, outcome.status) == ("failed", "host", "5.3.2")


@pytest.mark.parametrize(
    ("reply", "action"),
    [(Reply(550, "5.1.2", "no such domain"), "failed"), (Reply(451, "4.4.3", "silent"), "delayed")],
)
@virtual
async def test_the_dns_decides_too(reply: Reply, action: str) -> None:
    ((outcome,),) = await Relay(no_hosts=reply).send(claim())
    assert (outcome.action, outcome.scope, outcome.reply) == (action, "host", reply)


@pytest.mark.parametrize("greeting", ["554 5.3.2 no mail here", "421 4.3.2 busy"])
@virtual
async def test_a_greeting_that_refuses_decides_when_there_is_no_other_host(greeting: str) -> None:
    mx = await server(greeting=[greeting])
    ((outcome,),) = await Relay(mx).send(claim())
    assert (outcome.action, outcome.scope) == ("failed" if greeting[0] == "5" else "delayed", "host")
    assert outcome.reply.text in greeting


@virtual
async def test_the_other_addresses_of_a_host_are_tried_when_one_refuses() -> None:
    """MX-5, MX-9: one host, of which one address refuses, and one is down."""
    refusing, good = await server(greeting=["421 busy", FOR_EVER]), await server()
    relay = Relay(good)
    relay.hosts = [Host("mx.example.net", "127.0.0.2", good.port, ["127.0.0.1"])]
    ((outcome,),) = await relay.send(claim())
    assert outcome.remote_mta == f"mx.example.net[127.0.0.1]:{good.port}"
    await good.close()
    relay = Relay(refusing)
    relay.hosts = [Host("mx.example.net", "127.0.0.1", refusing.port, ["127.0.0.2", "127.0.0.3"])]
    ((outcome,),) = await relay.send(claim())
    assert str(outcome.reply) == (
        f"451 4.4.1 connecting to mx.example.net[127.0.0.2]:{refusing.port}: Connection refused; "
        f"connecting to mx.example.net[127.0.0.3]:{refusing.port}: Connection refused"
    )
    assert len(refusing.sessions) == 1
