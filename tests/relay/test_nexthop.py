"""One next hop, against a server that does as it is told, in virtual time."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable
from typing import Any

import pytest
from clock import running, virtual
from mail import CONTENT, HOP, TRACE, claim
from relays import Relay, server
from script_server import CLOSE, FOR_EVER, SILENCE, ScriptServer

from mether.outcome import Outcome, Route
from mether.queue.claim import Claim, Hop
from mether.queue.content import Content
from mether.queue.store import StoreError
from mether.relay.nexthop import FAREWELL, FIRST_ROOM
from mether.relay.settings import IDLE
from mether.relay.slots import Slots
from mether.relay.window import FIRST, SLOW
from mether.relay.worker import MOST_SESSIONS
from mether.reply import Reply
from mether.routing.target import Target

LMTP = Route("lmtp", "127.0.0.1:24")


def actions(outcomes: Iterable[Outcome]) -> list[str]:
    return [one.action for one in outcomes]


def many(count: int) -> Claim:
    return claim(*(f"u{number}@example.net" for number in range(count)))


@virtual
async def test_a_message_is_relayed() -> None:
    """DAT-10, TRC-1."""
    mx = await server()
    relay = Relay(mx)
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.reply) == ("relayed", Reply(250, "2.0.0", "taken"))
    assert outcome.remote_mta == f"mx0.example.net[127.0.0.1]:{mx.port}"
    (message,) = mx.messages
    assert message.content == TRACE + CONTENT
    assert (message.sender, message.recipients) == ("sender@example.com", ["rcpt@example.net"])
    assert mx.sessions[0][0] == "EHLO us.example.com"
    await relay.hop.close()


@virtual
async def test_the_name_a_person_chose_is_said() -> None:
    mx = await server()
    route = Route("smtp", "mx.example.net", "chosen.example.org")
    await Relay(mx, route=route).send(claim(route=route))
    assert mx.sessions[0][0] == "EHLO chosen.example.org"


@virtual
async def test_a_connection_is_used_again() -> None:
    mx = await server()
    relay = Relay(mx)
    for _ in range(5):
        await relay.send(claim())
    assert len(mx.sessions) == 1
    assert len(mx.messages) == 5
    assert relay.looked_up == 1


@virtual
async def test_an_idle_connection_is_ended_with_quit() -> None:
    mx = await server()
    relay = Relay(mx)
    await relay.send(claim())
    await asyncio.sleep(IDLE - 1)
    assert not relay.hop.idle
    assert mx.open == 1
    await asyncio.sleep(2)
    assert relay.hop.idle
    assert mx.said()[-1] == "QUIT"
    assert mx.open == 0


@virtual
async def test_a_kept_connection_that_the_server_closed_costs_no_attempt() -> None:
    mx = await server()
    relay = Relay(mx)
    await relay.send(claim())
    mx.drop()
    await asyncio.sleep(1)
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"
    assert len(mx.sessions) == 2


@pytest.mark.parametrize("last", [CLOSE, "421 4.4.2 idle for too long"])
@virtual
async def test_a_kept_connection_that_ends_when_it_is_used_costs_no_attempt(last: str) -> None:
    """The server was about to close it: that is no failure."""
    mx = await server(MAIL=["250 ok", last])
    relay = Relay(mx)
    await relay.send(claim())
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"
    assert len(mx.sessions) == 2
    assert len(mx.messages) == 2


@virtual
async def test_several_recipients_share_a_transaction() -> None:
    mx = await server()
    (outcomes,) = await Relay(mx).send(many(7))
    assert actions(outcomes) == ["relayed"] * 7
    (message,) = mx.messages
    assert message.recipients == [f"u{number}@example.net" for number in range(7)]


@virtual
async def test_more_than_a_hundred_recipients_are_split() -> None:
    """RFC 5321 section 4.5.3.1.8"""
    mx = await server()
    (outcomes,) = await Relay(mx).send(many(250))
    assert actions(outcomes) == ["relayed"] * 250
    assert [len(message.recipients) for message in mx.messages] == [100, 100, 50]
    assert len(mx.sessions) == 1


@virtual
async def test_what_was_delivered_before_a_split_was_lost_stays_delivered() -> None:
    mx = await server(MAIL=["250 ok", CLOSE])
    (outcomes,) = await Relay(mx).send(many(150))
    assert actions(outcomes) == ["relayed"] * 100 + ["delayed"] * 50
    assert len(mx.messages) == 1


@pytest.mark.parametrize("offer", [("PIPELINING",), ()])
@virtual
async def test_a_refused_recipient_stops_no_other(offer: tuple[str, ...]) -> None:
    mx = await ScriptServer(
        offer=offer,
        **{"RCPT TO:<u1@example.net>": ["550 5.1.1 who?"], "RCPT TO:<u2@example.net>": ["450 4.2.1 full"]},
    ).start()
    (outcomes,) = await Relay(mx).send(many(4))
    assert actions(outcomes) == ["relayed", "failed", "delayed", "relayed"]
    assert mx.messages[0].recipients == ["u0@example.net", "u3@example.net"]


@pytest.mark.parametrize("offer", [("PIPELINING",), ()])
@virtual
async def test_a_transaction_with_nobody_left_is_reset_before_the_next(offer: tuple[str, ...]) -> None:
    mx = await ScriptServer(offer=offer, RCPT=["550 5.1.1 who?"]).start()
    relay = Relay(mx)
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "failed"
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"
    assert len(mx.sessions) == 1
    assert "RSET" in mx.said()
    assert mx.said().index("RSET") < len(mx.said()) - 1 - mx.said()[::-1].index("MAIL")


@virtual
async def test_a_server_that_refuses_rset_is_left() -> None:
    """CLI: it would refuse the next MAIL, which is no fault of the next message."""
    no = ["550 5.1.1 no such user", FOR_EVER]
    mx = await ScriptServer(**{"RSET": ["502 5.5.1 no", FOR_EVER], "RCPT TO:<no@example.net>": no}).start()
    relay = Relay(mx, connections=1)
    ((outcome,),) = await relay.send(claim("no@example.net"))
    assert (outcome.action, outcome.status) == ("failed", "5.1.1")
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"
    assert len(mx.sessions) == 2


@virtual
async def test_a_server_that_goes_on_with_nobody_gets_an_empty_content() -> None:
    """RFC 2920 section 3.1"""
    mx = await server(RCPT=["550 5.1.1 who?"], DATA=["354 go on anyway"], **{".": ["554 5.5.1 nobody"]})
    relay = Relay(mx)
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.reply.code) == ("failed", 550)
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"
    assert len(mx.messages) == 1


@pytest.mark.parametrize("reply", ["450 4.7.1 greylisted", "550 5.7.1 go away"])
@virtual
async def test_a_refused_transaction_goes_to_no_other_host(reply: str) -> None:
    """An answer is an answer: RFC 5321 section 5.1 does not let one shop around."""
    first, second = await server(MAIL=[reply]), await server()
    ((outcome,),) = await Relay(first, second).send(claim())
    assert outcome.action == ("delayed" if reply[0] == "4" else "failed")
    assert not second.sessions


@virtual
async def test_a_refused_sender_is_refused_for_that_message_alone() -> None:
    """CLI-11: the next message of the same sender is tried as if nothing had been said."""
    mx = await server(MAIL=["550 5.7.1 not you", "250 2.1.0 ok"])
    relay = Relay(mx)
    ((first,),) = await relay.send(claim())
    ((second,),) = await relay.send(claim())
    assert (first.action, second.action) == ("failed", "relayed")
    assert mx.messages[-1].content == TRACE + CONTENT


@virtual
async def test_when_no_host_answers_what_waits_is_given_back_untried() -> None:
    down = await server()
    await down.close()
    relay = Relay(down, connections=1)
    first, *others = (claim() for _ in range(5))
    for one in (first, *others):
        relay.hop.offer(one)
    worked, (outcome,) = await relay.worked.get()
    assert worked is first
    assert (outcome.action, outcome.scope, outcome.status) == ("delayed", "host", "4.4.1")
    assert outcome.remote_mta == f"mx0.example.net[127.0.0.1]:{down.port}"
    assert outcome.reply.text.startswith(f"connecting to {outcome.remote_mta}: ")
    assert relay.untried == others
    await asyncio.sleep(0)
    assert relay.hop.idle


@pytest.mark.parametrize("end", [CLOSE, SILENCE])
@virtual
async def test_a_session_lost_after_the_final_dot_is_uncertain(end: str) -> None:
    """It may have been delivered: it is not tried on another host at once."""
    first, second = await server(**{".": [end]}), await server()
    (outcomes,) = await Relay(first, second).send(many(2))
    assert all((one.action, one.scope, one.uncertain) == ("delayed", "transaction", True) for one in outcomes)
    assert not second.sessions


@virtual
async def test_each_timeout_is_that_of_its_command() -> None:
    """TMO-1: minutes for each reply, and none over the whole transaction."""
    mx = await server(MAIL=[SILENCE])
    began = running().time()
    ((outcome,),) = await Relay(mx).send(claim())
    assert (outcome.scope, outcome.status) == ("host", "4.4.2")
    assert 299 <= running().time() - began <= 302


@virtual
async def test_lmtp_answers_for_each_recipient() -> None:
    """RFC 2033 section 4.2"""
    mx = await ScriptServer(
        lmtp=True,
        **{
            "RCPT TO:<u1@example.net>": ["550 5.1.1 who?"],
            ".": ["250 2.0.0 in", "452 4.2.2 over quota", "554 5.6.0 no"],
        },
    ).start()
    relay = Relay(mx, route=LMTP)
    (outcomes,) = await relay.send(claim(*(f"u{n}@example.net" for n in range(5)), route=LMTP))
    assert actions(outcomes) == ["delivered", "failed", "delayed", "failed", "delivered"]
    assert [one.recipients for one in mx.messages] == [["u0@example.net"], ["u4@example.net"]]
    assert mx.said()[0] == "LHLO"
    ((outcome,),) = await relay.send(claim(route=LMTP))
    assert outcome.action == "delivered"
    assert len(mx.sessions) == 1


@virtual
async def test_lmtp_lost_between_its_replies() -> None:
    mx = await ScriptServer(lmtp=True, **{".": ["250 2.0.0 in", CLOSE]}).start()
    (outcomes,) = await Relay(mx, route=LMTP).send(claim("a@b.example", "c@d.example", route=LMTP))
    assert actions(outcomes) == ["delivered", "delayed"]
    assert [one.uncertain for one in outcomes] == [False, True]


@virtual
async def test_connections_are_few_at_first_and_more_with_success() -> None:
    mx = await server()
    relay = Relay(mx)
    await relay.send(*(claim() for _ in range(FIRST)))
    assert len(mx.sessions) == FIRST
    await relay.send(*(claim() for _ in range(200)))
    assert FIRST < len(mx.sessions) <= 20
    assert len(mx.messages) == FIRST + 200


@virtual
async def test_who_says_that_it_gets_too_much_is_given_less_for_a_while() -> None:
    """Fewer connections; what it refused is put off, and what else waits is not."""
    mx = await server(MAIL=["250 ok"] * 150 + ["451 4.7.1 too much mail from 192.0.2.1"] * 3 + ["250 ok"])
    relay = Relay(mx)
    await relay.send(*(claim() for _ in range(150)))
    assert mx.open == 20
    outcomes = await relay.send(*(claim() for _ in range(100)))
    assert sorted(one.action for (one,) in outcomes) == ["delayed"] * 3 + ["relayed"] * 97
    assert relay.hop.held == 10
    await asyncio.sleep(60)
    assert relay.hop.idle
    assert not relay.hop.rested
    await asyncio.sleep(SLOW)
    assert relay.hop.rested


@virtual
async def test_a_claim_that_comes_while_the_last_connection_ends_is_worked() -> None:
    """The one connection there may be is saying QUIT, and the server takes its time over it."""
    mx = await server(QUIT=[SILENCE])
    relay = Relay(mx, connections=1)
    await relay.send(claim())
    await asyncio.sleep(IDLE + 1)
    assert mx.said()[-1] == "QUIT"
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"


@virtual
async def test_close_finishes_what_is_in_hand_and_gives_back_the_rest() -> None:
    mx = await server()
    relay = Relay(mx, connections=1)
    first, *others = (claim() for _ in range(4))
    for one in (first, *others):
        relay.hop.offer(one)
    await asyncio.sleep(0)
    await relay.hop.close()
    worked, outcomes = relay.worked.get_nowait()
    assert worked is first
    assert actions(outcomes) == ["relayed"]
    assert relay.untried == others
    assert mx.said()[-1] == "QUIT"
    late = claim()
    relay.hop.offer(late)
    await asyncio.sleep(0)
    assert relay.untried == [*others, late], "what comes too late is given back too"


@pytest.mark.parametrize("where", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
@virtual
async def test_leaving_off_waits_for_nobody_who_has_no_content_yet(where: str) -> None:
    mx = await server(**{where: [SILENCE] * 9})
    relay = Relay(mx)
    claims = [claim() for _ in range(20)]
    for one in claims:
        relay.hop.offer(one)
    await asyncio.sleep(1)
    began = running().time()
    relay.hop.leave_off()
    await relay.hop.close()
    assert running().time() - began < 1
    assert {one.message.ident for one in relay.untried} == {one.message.ident for one in claims}
    assert relay.worked.empty()


@virtual
async def test_leaving_off_waits_for_no_dns_and_no_connection() -> None:
    relay = Relay(await server())

    async def never(route: Route, where: Target) -> Any:
        await running().create_future()

    relay.hop.settings.find = never
    one = claim()
    relay.hop.offer(one)
    await asyncio.sleep(1)
    relay.hop.leave_off()
    await relay.hop.close()
    assert relay.untried == [one]
    assert running().time() < 2


@virtual
async def test_leaving_off_lets_content_end() -> None:
    """What the server may have taken is waited for, as long as it may take; others are not begun."""
    mx = await server(**{".": [SILENCE]})
    relay = Relay(mx, connections=1)
    first, second = claim(), claim()
    relay.hop.offer(first)
    relay.hop.offer(second)
    await asyncio.sleep(1)
    began = running().time()
    relay.hop.leave_off()
    await relay.hop.close()
    assert running().time() - began > 500
    worked, (outcome,) = relay.worked.get_nowait()
    assert worked is first
    assert outcome.uncertain
    assert relay.untried == [second]


@virtual
async def test_leaving_off_waits_half_a_second_for_the_replies_to_quit() -> None:
    mx = await server(QUIT=[SILENCE])
    relay = Relay(mx)
    await relay.send(claim())
    began = running().time()
    relay.hop.leave_off()
    await relay.hop.close()
    assert running().time() - began == pytest.approx(FAREWELL)


@virtual
async def test_content_that_is_not_there_delays_its_message_alone() -> None:
    mx = await server()
    relay = Relay(mx, content=StoreError("the file is gone"))
    ((outcome,),) = await relay.send(claim(content=None))
    assert (outcome.action, outcome.scope) == ("delayed", "transaction")
    assert "gone" in outcome.reply.text
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"


@virtual
async def test_content_that_breaks_off_never_ends_with_a_dot() -> None:
    """Half a message must not be taken for a whole one."""

    class Torn(Content):
        def chunks(self, size: int = 0):  # type: ignore[no-untyped-def]
            yield b"x" * 1000 + b"\r\n"
            raise OSError(5, "Input/output error")

    mx = await server()
    relay = Relay(mx, content=Torn(None, 5000))
    ((outcome,),) = await relay.send(claim(content=None))
    assert (outcome.action, outcome.scope) == ("delayed", "transaction")
    assert not mx.messages
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"
    assert len(mx.messages) == 1


@virtual
async def test_a_message_too_large_for_the_host_is_refused_without_asking() -> None:
    mx = await ScriptServer(offer=("SIZE 50",)).start()
    ((outcome,),) = await Relay(mx).send(claim())
    assert (outcome.action, outcome.status) == ("failed", "5.3.4")
    assert "MAIL" not in mx.said()


@virtual
async def test_what_waits_goes_by_priority() -> None:
    """EXT-3: RFC 6710 section 5; of one priority in the order in which it came."""
    mx = await server()
    relay = Relay(mx, connections=1)
    claims = [claim(f"u{number}@example.net") for number in range(6)]
    for one, priority in zip(claims, (0, -4, 9, 0, 5, 9), strict=True):
        one.message.envelope.priority = priority
    await relay.send(*claims)
    assert [message.recipients[0][:2] for message in mx.messages] == ["u2", "u5", "u4", "u0", "u3", "u1"]
    await relay.hop.close()


@virtual
async def test_another_host_may_have_the_extension() -> None:
    """QUE-10, EAI-5: a host that lacks what the message needs is left for the next one."""
    old, new = await ScriptServer().start(), await ScriptServer(offer=("8BITMIME", "SMTPUTF8")).start()
    relay = Relay(old, new)
    ((outcome,),) = await relay.send(claim("ü@example.net"))
    assert outcome.action == "relayed"
    assert old.said() == ["EHLO", "QUIT"]
    assert [one.recipients for one in new.messages] == [["ü@example.net"]]


@pytest.mark.parametrize("other", ["554 5.3.2 no mail here", "421 4.3.2 busy"])
@virtual
async def test_no_host_has_the_extension(other: str) -> None:
    """EAI-5: then it is refused, and the next hop is as good for other messages as it was."""
    relay = Relay(await server(), await ScriptServer(greeting=[other, FOR_EVER]).start())
    ((outcome,),) = await relay.send(claim("ü@example.net"))
    assert (outcome.action, outcome.status, outcome.scope) == ("failed", "5.6.7", "transaction")
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"
    relay = Relay(await server(), await server())
    ((outcome,),) = await relay.send(claim("ü@example.net"))
    assert (outcome.action, outcome.status) == ("failed", "5.6.7")


@virtual
async def test_what_one_host_lacks_is_no_outcome_of_what_another_took() -> None:
    """EXT-4, QUE-10: one took half of the recipients, then nobody answers: each has one outcome."""
    busy = ["421 4.3.2 busy", FOR_EVER]
    old = await ScriptServer(greeting=["220 old", *busy]).start()
    limits = "LIMITS MAILMAX=1 RCPTMAX=1"
    new = await ScriptServer(offer=("8BITMIME", "SMTPUTF8", limits), greeting=["220 new", *busy]).start()
    (outcomes,) = await Relay(old, new).send(claim("ü@example.net", "ö@example.net"))
    assert [(one.recipient, one.action) for one in outcomes] == [(0, "relayed"), (1, "delayed")]


@virtual
async def test_the_other_recipients_go() -> None:
    """EAI-5: one address that this host cannot take stops no other."""
    mx = await server()
    ((first, second),) = await Relay(mx).send(claim("ü@example.net", "b@bücher.example"))
    assert (first.action, first.status) == ("failed", "5.6.7")
    assert second.action == "relayed"
    assert [one.recipients for one in mx.messages] == [["b@xn--bcher-kva.example"]]


@virtual
async def test_rcptmax_is_kept_to() -> None:
    """EXT-4: no more RCPTs in a transaction than the server announced."""
    mx = await ScriptServer(offer=("LIMITS RCPTMAX=2",)).start()
    (outcomes,) = await Relay(mx).send(claim(*(f"u{n}@example.net" for n in range(5))))
    assert {one.action for one in outcomes} == {"relayed"}
    assert [len(one.recipients) for one in mx.messages] == [2, 2, 1]
    assert len(mx.sessions) == 1


@virtual
async def test_mailmax_and_rcptdomainmax_take_new_sessions() -> None:
    """EXT-4: a session that is used up is ended with QUIT, and the rest goes in another."""
    mx = await ScriptServer(offer=("PIPELINING", "LIMITS MAILMAX=2 RCPTDOMAINMAX=1")).start()
    relay = Relay(mx, connections=1)
    (outcomes,) = await relay.send(claim("a@one.example", "b@one.example", "c@two.example", "d@one.example"))
    assert {one.action for one in outcomes} == {"relayed"}
    assert [one.recipients for one in mx.messages] == [
        ["a@one.example", "b@one.example"],
        ["c@two.example"],
        ["d@one.example"],
    ]
    for _ in range(3):
        ((outcome,),) = await relay.send(claim("e@one.example"))
        assert outcome.action == "relayed"
    assert [mx.said(number).count("MAIL") for number in range(len(mx.sessions))] == [1, 1, 2, 2]
    assert all(mx.said(number)[-1] == "QUIT" for number in range(3))


@virtual
async def test_limits_cost_only_so_many_sessions() -> None:
    """EXT-4: what a server announces costs one message only so much (RFC 9422 section 6)."""
    mx = await ScriptServer(offer=("LIMITS RCPTDOMAINMAX=1",)).start()
    (outcomes,) = await Relay(mx).send(claim(*(f"u@d{n}.example" for n in range(60))))
    assert {one.action for one in outcomes} == {"relayed"}
    assert len(mx.sessions) == MOST_SESSIONS


@virtual
async def test_content_is_converted_for_a_host_of_seven_bits() -> None:
    """8BM-2: from memory and from a file, and the session goes on."""
    octets = (
        b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n"
        + "Viele Grüße an alle dort\r\n".encode() * 30
    )
    mx = await ScriptServer(offer=("SIZE",)).start()
    relay = Relay(mx, content=Content(None, len(octets), lambda: io.BytesIO(octets)))
    await relay.send(claim(content=octets))
    await relay.send(claim(content=None, body="8BITMIME"))
    await relay.send(claim())
    first, second, third = (one.content for one in mx.messages)
    assert first == second and first.startswith(TRACE) and third == TRACE + CONTENT
    assert b"\r\nViele Gr=C3=BC=C3=9Fe an alle dort\r\n" in first and b"quoted-printable" in first
    assert mx.sessions[0][1] == f"MAIL FROM:<sender@example.com> SIZE={len(first)}"
    assert len(mx.sessions) == 1


def slow(seconds: float) -> ScriptServer:
    """A server that takes so long over every message."""

    return ScriptServer(seconds=seconds)


@virtual
async def test_a_slow_next_hop_has_little_room_and_a_fast_one_much() -> None:
    """QUE-6: claims that one cannot work soon are left to others."""
    lazy, quick = Relay(await slow(10.0).start()), Relay(await server())
    for relay in (lazy, quick):
        assert relay.hop.room == FIRST_ROOM
        for _ in range(FIRST_ROOM):
            relay.hop.offer(claim())
        assert relay.hop.room == 0
    for _ in range(FIRST_ROOM):
        await quick.worked.get()
    assert quick.hop.room > 2 * FIRST_ROOM
    await quick.send(*(claim() for _ in range(100)))
    assert quick.hop.room > 100
    assert lazy.hop.room == 0
    await asyncio.sleep(300)
    assert quick.hop.room == 40, "twice as many as its connections, when nothing was done lately"


@virtual
async def test_a_next_hop_that_was_down_is_probed_by_one_and_resumes_gradually() -> None:
    """QUE-4: with one connection, then two, then four, and not with all at once."""
    mx = await server(greeting=["421 down"] * FIRST)
    relay = Relay(mx)
    for _ in range(20):
        relay.hop.offer(claim())
    _, (outcome,) = await relay.worked.get()
    assert outcome.scope == "host"
    await asyncio.sleep(1)
    assert relay.worked.empty() and len(relay.untried) == 19, "one has failed, and the others were not tried"
    assert relay.hop.room == 1
    before = len(mx.sessions)
    most = 0
    for _ in range(6):
        relay.hop.offer(claim())
    while relay.worked.qsize() < 6:
        await asyncio.sleep(0)
        held = relay.hop.held
        assert held <= 1 + relay.worked.qsize()
        most = max(most, held)
    assert 1 < most <= 4
    assert len(mx.sessions) - before <= 4


@virtual
async def test_a_next_hop_that_the_queue_knows_to_be_down_is_probed_by_one() -> None:
    mx = await server(MAIL=[SILENCE, FOR_EVER])
    relay = Relay(mx)
    known = Hop(HOP, failures=2)
    for _ in range(5):
        relay.hop.offer(claim(hop=known))
    await asyncio.sleep(1)
    assert len(mx.sessions) == 1


class Crowded(ScriptServer):
    """A server that takes three connections at a time, and says 421 to others."""

    async def _session(self, reader: Any, writer: Any, lines: list[str]) -> None:
        self.replies["greeting"] = ["421 4.7.0 too many connections"] if self.open > 3 else []
        await super()._session(reader, writer, lines)


@virtual
async def test_a_connection_too_many_is_no_failure() -> None:
    """The others work: the message waits for one of them, and no more are tried for a while."""
    mx = Crowded()
    await mx.start()
    relay = Relay(mx)
    outcomes = await relay.send(*(claim() for _ in range(40)))
    assert {one.action for (one,) in outcomes} == {"relayed"}
    assert not relay.untried
    refused = sum(not lines for lines in mx.sessions)
    assert 0 < refused <= 2
    outcomes = await relay.send(*(claim() for _ in range(200)))
    assert {one.action for (one,) in outcomes} == {"relayed"}
    assert sum(not lines for lines in mx.sessions) == refused


@virtual
async def test_a_rate_is_kept_and_no_connection_idles_for_it() -> None:
    mx = await server()
    relay = Relay(mx, rate=1 / 6)
    began = running().time()
    claims = [claim() for _ in range(4)]
    for one in claims:
        relay.hop.offer(one)
    assert relay.hop.room == 0
    await relay.worked.get()
    await asyncio.sleep(IDLE + 1)
    assert mx.open == 0
    for _ in range(3):
        await relay.worked.get()
    assert 17.5 <= running().time() - began <= 19
    assert len(mx.sessions) == 4
    assert relay.hop.room == 1
    assert not relay.hop.rested, "the rate is remembered"


@virtual
async def test_a_high_rate_uses_several_connections() -> None:
    """Each message takes two seconds, and five are to go in one."""
    relay = Relay(await slow(2.0).start(), rate=5.0)
    began = running().time()
    await relay.send(*(claim() for _ in range(20)))
    assert 5.5 <= running().time() - began <= 7.5


@virtual
async def test_its_part_of_the_limits() -> None:
    """Two runners send there: each has half."""
    mx = await server()
    relay = Relay(mx, connections=4)
    relay.hop.share(2)
    await relay.send(*(claim() for _ in range(20)))
    assert len(mx.sessions) == 2
    relay.hop.share(1)
    await relay.send(*(claim() for _ in range(60)))
    assert len(mx.sessions) == 4


@virtual
async def test_dead_next_hops_do_not_starve_a_live_one() -> None:
    """QUE-6: they would use all the connections there are, and never let one go."""
    slots = Slots(12)
    dead = [Relay(await server(greeting=[SILENCE, FOR_EVER]), slots=slots) for _ in range(4)]
    for relay in dead:
        for _ in range(10):
            relay.hop.offer(claim())
    await asyncio.sleep(1)
    live = Relay(await server(), slots=slots)
    began = running().time()
    outcomes = await live.send(*(claim() for _ in range(50)))
    assert {one.action for (one,) in outcomes} == {"relayed"}
    assert running().time() - began < 30


@virtual
async def test_next_hops_take_turns_when_there_are_few_connections() -> None:
    slots = Slots(1)
    relays = [Relay(await slow(1.0).start(), slots=slots) for _ in range(3)]
    for relay in relays:
        for _ in range(20):
            relay.hop.offer(claim())
    await asyncio.sleep(40)
    assert all(5 <= relay.worked.qsize() <= 20 for relay in relays)
    assert slots.used == 1
    await asyncio.sleep(60)
    assert slots.used == 0 and all(relay.worked.qsize() == 20 for relay in relays)


@virtual
async def test_an_idle_connection_makes_room_for_another_next_hop() -> None:
    slots = Slots(1)
    first, second = Relay(await server(), slots=slots), Relay(await server(), slots=slots)
    await first.send(claim())
    began = running().time()
    await second.send(claim())
    assert running().time() - began < 1
    assert first.hop.idle


class OneEach(ScriptServer):
    """A server that takes one message in each session, and then ends it."""

    async def _session(self, reader: Any, writer: Any, lines: list[str]) -> None:
        class Reader:
            ended = False

            async def readuntil(self, end: bytes) -> Any:
                if self.ended:
                    raise ConnectionAbortedError
                line = await reader.readuntil(end)
                self.ended = line == b".\r\n"
                return line

        await super()._session(Reader(), writer, lines)  # type: ignore[arg-type]


@virtual
async def test_a_server_that_ends_each_session_after_its_message_loses_nothing() -> None:
    """It has as many connections at a time as any other."""
    mx = OneEach()
    await mx.start()
    relay = Relay(mx, connections=8)
    outcomes = await relay.send(*(claim() for _ in range(60)))
    assert {one.action for (one,) in outcomes} == {"relayed"}
    assert len(mx.sessions) == 60
    assert relay.hop.room == 16 + 60
