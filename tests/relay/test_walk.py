"""Which host is tried next, and whose answer counts when none is left."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from clock import virtual
from mail import claim
from relays import Relay, listing, server
from script_server import CLOSE, FOR_EVER, SILENCE, ScriptServer

from mether.address import parse
from mether.client.session import Lost
from mether.event import mail as event
from mether.outcome import Route
from mether.relay import opening
from mether.relay.credentials import Login, Logins
from mether.relay.health import FIRST
from mether.relay.hosts import Host
from mether.relay.manner import Manner
from mether.relay.tlspolicy import Need, Policy
from mether.reply import Reply
from mether.routing import target
from mether.routing.target import Target

REFUSAL = "554 5.3.2 no mail here"


@contextmanager
def lines() -> Iterator[list[str]]:
    """The warnings in the meantime."""
    told: list[str] = []

    def sink(name: str, fields: object) -> None:
        told.append(f"{name}: {fields}")

    event.sinks.append(sink)
    try:
        yield told
    finally:
        event.sinks.remove(sink)


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


@pytest.mark.parametrize("next_hop", ["sparr", "relay.exmaple.invalid", "[one.invalid],[two.invalid]:26"])
@virtual
async def test_mail_for_a_host_that_was_named_by_hand_waits(next_hop: str) -> None:
    """A slip of the pen must not return the whole queue; what nobody pinned there is the sender's mistake."""
    route = Route("smtp", next_hop)
    mine = claim("a@one.test", "b@two.test", route=route)
    mine.pending[0].pinned = True
    ((pinned, other),) = await Relay(no_hosts=Reply(550, "5.1.2", "it does not exist"), route=route).send(
        mine
    )
    assert (pinned.action, pinned.status) == ("delayed", "4.4.4")
    assert str(pinned.reply).endswith("does not exist; it was named by hand, and may be wrong")
    assert (other.action, other.status) == ("failed", "5.1.2")


@pytest.mark.parametrize("down_first", [True, False])
@virtual
async def test_what_a_person_has_to_mend_is_told_before_a_host_that_is_down(down_first: bool) -> None:
    """A smart host that is down comes back by itself, a login that is refused does not."""
    down, refusing = (
        await server(),
        await server(EHLO=["250-x\r\n250 AUTH PLAIN", FOR_EVER], AUTH=["535 5.7.8 no", FOR_EVER]),
    )
    await down.close()
    hosts = (down, refusing) if down_first else (refusing, down)
    relay = Relay(*hosts, route=listing(*hosts))
    relay.hop.settings.policy = lambda route: Policy("none", given=True)
    relay.hop.settings.logins = Logins([Login("ann", "env", "P")], environ={"P": "x"})
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.scope, outcome.status) == ("delayed", "host", "4.7.8")
    assert outcome.reply.text == ("the server refused our login as ann: 535 5.7.8 no (2 hosts were tried)")


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


@pytest.mark.parametrize(
    "trouble",
    [
        {"greeting": ["554 no service", FOR_EVER]},
        {"greeting": ["421 busy", FOR_EVER]},
        {"greeting": [SILENCE, FOR_EVER]},
        {"MAIL": ["421 no", FOR_EVER]},
        {"RCPT": [CLOSE, FOR_EVER]},
    ],
)
@virtual
async def test_a_list_is_gone_through_in_its_order(trouble: dict[str, list[str]]) -> None:
    """CLI-9: RFC 5321 section 5.1, for the hosts that a person listed."""
    first, second = await server(**trouble), await server()
    relay = Relay(first, second, route=listing(first, second), connections=1)
    ((outcome,),) = await relay.send(claim())
    assert outcome.remote_mta == f"mx1.example.net[127.0.0.1]:{second.port}"
    await relay.hop.close()


@virtual
async def test_a_host_that_could_not_be_used_comes_last_for_a_while() -> None:
    """QUE-4: nobody waits for a dead smart host with every connection; and none is left out."""
    first, second = (
        await ScriptServer(greeting=["421 no", "421 no", "220 back", FOR_EVER]).start(),
        await server(),
    )
    relay = Relay(first, second, route=listing(first, second), connections=1, messages=1)
    for _ in range(3):
        ((outcome,),) = await relay.send(claim())
        assert outcome.remote_mta.startswith("mx1")
    assert len(first.sessions) == 1
    await asyncio.sleep(FIRST)
    await relay.send(claim())
    assert len(first.sessions) == 2, "it has its turn again, in vain"
    await asyncio.sleep(FIRST)
    await relay.send(claim())
    assert len(first.sessions) == 2, "and waits twice as long then"
    await asyncio.sleep(FIRST)
    ((outcome,),) = await relay.send(claim())
    assert outcome.remote_mta.startswith("mx0")
    assert not relay.hop.settings.health


@virtual
async def test_the_last_one_is_tried_however_it_did() -> None:
    first, second = await server(), await server(greeting=["421 no", FOR_EVER])
    relay = Relay(first, second, route=listing(first, second), connections=1, messages=1)
    await first.close()
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "delayed"
    await first.start()
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed" and outcome.remote_mta.startswith("mx0")


@virtual
async def test_equal_mx_hosts_change_places_and_others_do_not() -> None:
    """MX-5: never against the order of preference."""
    first, better, worse = await server(greeting=["421 no", FOR_EVER]), await server(), await server()
    relay = Relay(first, better, worse, connections=1, messages=1)
    for host, preference in zip(relay.hosts, (10, 10, 20), strict=True):
        host.preference = preference
    for _ in range(3):
        await relay.send(claim())
    assert (len(first.sessions), len(better.messages), len(worse.messages)) == (1, 3, 0)
    await better.close()
    await relay.send(claim())
    assert (len(first.sessions), len(worse.messages)) == (2, 1), "the better one first, whatever it did"


@virtual
async def test_a_name_in_a_list_that_is_not_known_is_passed_over() -> None:
    mx = await server()
    route = Route("smtp", f"gone.example.net:25,mx1.example.net:{mx.port}")
    relay = Relay(mx, route=route)
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"


@virtual
async def test_weights_decide_who_is_first() -> None:
    first, second = await server(), await server()
    route = Route("smtp", f"a.test:{first.port}*1,b.test:{second.port}*3")
    relay = Relay(first, second, route=route, connections=1, messages=1)
    points = iter((0.9, 0.0, 0.1, 0.0, 0.5, 0.0, 0.3, 0.0))
    relay.hop.settings.random = lambda: next(points)
    for _ in range(4):
        await relay.send(claim())
    assert (len(first.messages), len(second.messages)) == (1, 3)


@pytest.mark.parametrize("next_hop", ["..", "bad domain", "a,,b"])
@virtual
async def test_what_is_no_target_fails_for_good(next_hop: str) -> None:
    ((outcome,),) = await Relay(route=Route("smtp", next_hop)).send(claim())
    assert (outcome.action, outcome.status) == ("failed", "5.1.2")


@virtual
async def test_a_rule_that_is_gone_has_its_mail_wait() -> None:
    """And every line says for what."""
    mx = await server()
    trouble = Reply(451, "4.3.5", "the configuration has no route with the name 'sales' now")
    relay = Relay(mx, manner=Manner(trouble=trouble))
    one = claim()
    ((outcome,),) = await relay.send(one)
    assert (outcome.action, outcome.scope, outcome.reply) == ("delayed", "host", trouble)
    assert not mx.sessions
    assert "'sales'" in relay.transcripts[one.message.ident]


@virtual
async def test_the_name_and_the_address_that_a_rule_gives() -> None:
    mx = await server()
    relay = Relay(mx, manner=Manner(helo="rule.example.org", sources=["127.0.0.9"]))
    await relay.send(claim())
    assert mx.sessions[0][0] == "EHLO rule.example.org"
    assert mx.clients == ["127.0.0.9"]
    route = Route("smtp", "mx.example.net", "person.example.org")
    relay = Relay(mx, route=route, manner=Manner(helo="rule.example.org"))
    await relay.send(claim(route=route))
    assert mx.sessions[1][0] == "EHLO person.example.org", "what a person said goes before"


@virtual
async def test_a_source_that_this_host_has_not() -> None:
    """That is no fault of the host's: the reply and the log say what to mend."""
    mx = await server()
    relay = Relay(mx, manner=Manner(sources=["192.0.2.7"]))
    with lines() as told:
        ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.status, outcome.remote_mta) == ("delayed", "4.3.5", "")
    assert outcome.reply.text.startswith("cannot send from 192.0.2.7 to mx0.example.net[127.0.0.1]:")
    assert not relay.hop.settings.health
    assert any("cannot send from 192.0.2.7" in line for line in told)


@virtual
async def test_no_address_goes_out_from_a_family_that_nobody_chose() -> None:
    mx = await server()
    relay = Relay(mx, manner=Manner(sources=["2001:db8::7"]))
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.status) == ("delayed", "4.3.5")
    assert "cannot send from 2001:db8::7 to" in outcome.reply.text
    assert not mx.sessions
    relay = Relay(mx, manner=Manner(sources=["127.0.0.9"]))
    (host,) = relay.hosts
    relay.hosts = [Host(host.name, "::1", host.port, ["127.0.0.1"])]
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"


@virtual
async def test_the_login_is_for_the_host_that_is_connected_to() -> None:
    """Each target of a list has its own, and a kept session is used only for the login it has."""
    chosen: list[str] = []

    class Asked(Logins):
        def choose(self, where: Target, sender: str) -> Login | None:
            chosen.append(where.host)
            return None

    first, second = await server(greeting=["421 no", FOR_EVER]), await server()
    relay = Relay(first, second, route=listing(first, second), connections=1)
    relay.hop.settings.logins = Asked([Login("ann", next_hop="elsewhere.test")])
    await relay.send(claim())
    await relay.send(claim())
    assert chosen == ["mx0.example.net", "mx1.example.net", "mx1.example.net"]


@virtual
async def test_a_look_up_for_which_we_have_no_descriptor_delays_no_next_hop() -> None:
    """It is our shortage: the message waits, and says nothing of the next hop."""
    relay = Relay(no_hosts=Reply(451, "4.3.2", "asking the DNS: Too many open files"))
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.scope, outcome.status) == ("delayed", "transaction", "4.3.2")
    assert "Too many open files" in str(outcome.reply)


@virtual
async def test_tls_names_and_logins_are_those_of_each_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS-5: the certificate must be for the host that is connected to, and not for the first of the list."""
    first, second = await server(), await server()
    relay = Relay(first, second, route=listing(first, second))
    relay.hop.settings.policy = lambda route: Policy("verify", given=True)
    relay.hop.settings.logins = Logins(
        [Login("one", "env", "P", next_hop="mx0.example.net"), Login("two", "env", "P")], environ={"P": "x"}
    )
    asked: list[tuple[tuple[str, ...], str, str]] = []

    async def refuse(*given: object, need: Need, account: opening.Account, **more: object) -> None:
        asked.append((need.names, account.host, account.login.user))
        raise Lost("connect", "", "refused")

    monkeypatch.setattr(opening, "open", refuse)
    await relay.send(claim())
    assert asked == [
        (("mx0.example.net",), "mx0.example.net", "one"),
        (("mx1.example.net",), "mx1.example.net", "two"),
    ]


@virtual
async def test_the_login_of_a_rule_goes_before_all_others() -> None:
    logins = Logins([Login("other", "env", "P")], environ={"P": "x"})
    own = Manner(login=Login("own", "env", "P", sender="*@a.test"))
    chosen = [own.chooses(logins, parse(sender))(target.parse("h:25")) for sender in ("x@a.test", "x@b.test")]
    assert [one.user for one in chosen if one is not None] == ["own", "other"]
    nobody = Manner().chooses(Logins(()), None)
    assert nobody(target.parse("h:25")) is None
