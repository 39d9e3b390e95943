"""One connection and its attempts: how many messages it takes, how it is interrupted, what is told of it."""

from __future__ import annotations

import asyncio
import io
import socket
from typing import Any

import pytest
from clock import running, virtual
from mail import CONTENT, TRACE, claim
from relays import Relay, server
from script_server import CLOSE, FOR_EVER, SILENCE, ScriptServer

from mether.client.session import Lost
from mether.outcome import Outcome, Route
from mether.queue.claim import Claim
from mether.queue.content import Content
from mether.relay import opening, worker
from mether.relay.hosts import Host
from mether.relay.nexthop import WATCH
from mether.relay.slots import GROW
from mether.relay.window import ATTEMPT
from mether.reply import Reply
from mether.routing.target import Target

LMTP = Route("lmtp", "127.0.0.1:24")


def token(number: int, *paths: str, **more: Any) -> Claim:
    one = claim(*paths, **more)
    one.token = number
    return one


def in_file(size: int) -> Content:
    octets = b"x" * 70 + b"\r\n"
    return Content(None, size, lambda: io.BytesIO(octets * (size // len(octets))))


@virtual
async def test_a_connection_takes_so_many_messages_and_no_more() -> None:
    mx = await server()
    relay = Relay(mx, connections=1, messages=3)
    await relay.send(*(claim() for _ in range(7)))
    assert [mx.said(number).count("MAIL") for number in range(len(mx.sessions))] == [3, 3, 1]
    assert [mx.said(number)[-1] for number in range(2)] == ["QUIT"] * 2
    assert mx.open == 1


class Drip(asyncio.Protocol):
    """A server that answers as `replies` say, an octet a minute where they end in "...".

    A `slow` one takes a piece of the content in five seconds."""

    def __init__(self, replies: dict[bytes, bytes], *, slow: bool = False) -> None:
        self.replies = replies
        self.slow = slow
        self.content = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.say(b"greeting")

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None

    def say(self, verb: bytes) -> None:
        reply = self.replies.get(verb, b"250 ok")
        if reply.endswith(b"..."):
            self.drip(0)
        else:
            self.transport.write(reply + b"\r\n")

    def drip(self, count: int) -> None:
        if self.transport is not None:
            self.transport.write(b"250-and\r\n"[count % 9 :][:1])
            running().call_later(60, self.drip, count + 1)

    def data_received(self, data: bytes) -> None:
        if self.content:
            if data.endswith(b"\r\n.\r\n"):
                self.say(b".")
            elif self.slow:
                self.transport.pause_reading()
                running().call_later(5, self.go_on)
            return
        for line in data.split(b"\r\n")[:-1]:
            verb = line.split(b" ")[0]
            self.say(verb)
            self.content = verb == b"DATA"

    def go_on(self) -> None:
        if self.transport is not None:
            self.transport.resume_reading()


async def dripping(replies: dict[bytes, bytes], *, slow: bool = False) -> Any:
    loop = running()
    replies = {
        b"greeting": b"220 drip",
        b"EHLO": b"250-drip\r\n250 8BITMIME",
        b"DATA": b"354 go on",
        **replies,
    }
    made: list[Drip] = []

    def make() -> Drip:
        made.append(Drip(replies, slow=slow))
        return made[-1]

    listener = socket.socket()
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024
    )  # so that each piece makes room at once
    listener.bind(("127.0.0.1", 0))
    listening = await loop.create_server(make, sock=listener)

    async def close() -> None:
        listening.close()
        for one in made:
            if one.transport is not None:
                one.transport.abort()

    loop.at_end.append(close)
    return listening


def relay_to(listening: Any, **more: Any) -> Relay:
    relay = Relay(**more)
    relay.hosts = [Host("drip.example.net", "127.0.0.1", listening.sockets[0].getsockname()[1])]
    return relay


@pytest.mark.parametrize("verb", [b"greeting", b"EHLO", b"MAIL", b"RCPT", b"DATA", b"."])
@virtual
async def test_a_server_that_answers_an_octet_at_a_time_evades_no_time_out(verb: bytes) -> None:
    """TMO-1, QUE-6: a reply that does not end gives itself no more time."""
    began = running().time()
    relay = relay_to(await dripping({verb: b"..."}))
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.uncertain) == ("delayed", verb == b".")
    assert running().time() - began < ATTEMPT


@virtual
async def test_content_that_is_taken_too_slowly_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """QUE-6: each piece comes within its time, and all of them never would."""
    monkeypatch.setattr(worker, "patience", lambda octets, recipients: 100.0)
    size = 16 << 20
    relay = relay_to(await dripping({}, slow=True), content=in_file(size))
    began = running().time()
    one = claim(content=None)
    ((outcome,),) = await relay.send(one)
    took = running().time() - began
    assert (outcome.action, outcome.scope, outcome.status) == ("delayed", "host", "4.4.2")
    assert "took too long" in outcome.reply.text
    assert 100 <= took <= 100 + 2 * WATCH
    assert not outcome.uncertain
    assert "octets of content]" in relay.transcripts[one.message.ident]


@virtual
async def test_silent_hosts_one_after_another_end_too() -> None:
    """QUE-6: an attempt has its time for all hosts together, and then there is an outcome."""
    silent = await server(greeting=[SILENCE, FOR_EVER])
    relay = Relay(*[silent] * 20)
    one = claim()
    ((outcome,),) = await relay.send(one)
    assert (outcome.action, outcome.scope) == ("delayed", "host")
    assert ATTEMPT <= running().time() <= ATTEMPT + 3 * WATCH
    assert len(silent.sessions) < 20
    assert "given up" in relay.transcripts[one.message.ident]
    relay.hosts = [Host("mx", "127.0.0.1", (await server()).port)]
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed", "and what comes later goes its way"


@virtual
async def test_a_dns_that_never_answers_ends_too() -> None:
    relay = Relay(await server())

    async def find(route: Route, where: Target) -> list[Host]:
        await running().create_future()
        return []

    relay.hop.settings.find = find
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.scope) == ("delayed", "host")
    assert running().time() <= ATTEMPT + 2 * WATCH + 10


@virtual
async def test_content_that_never_comes_is_no_fault_of_the_host() -> None:
    relay = Relay(await server())

    async def content(claim: Claim) -> Content:
        await running().create_future()
        raise AssertionError

    relay.hop.settings.content = content
    ((outcome,),) = await relay.send(claim(content=None))
    assert (outcome.action, outcome.scope) == ("delayed", "transaction")


@pytest.mark.parametrize("where", ["greeting", "EHLO", "MAIL", "RCPT", "DATA"])
@virtual
async def test_a_withdrawn_message_is_given_back_before_the_end_of_its_content(where: str) -> None:
    mx = await server(**{where: [SILENCE]})
    relay = Relay(mx)
    one = token(7)
    relay.hop.offer(one)
    await asyncio.sleep(1)
    relay.hop.withdraw({7})
    await asyncio.sleep(1)
    assert relay.untried == [one]
    assert relay.worked.empty()
    assert not mx.messages
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed", "the next hop is as good as it was"


@virtual
async def test_content_that_is_being_sent_is_never_ended_when_withdrawn() -> None:
    relay = relay_to(await dripping({}, slow=True), content=in_file(64 << 20))
    one = token(7, content=None)
    relay.hop.offer(one)
    await asyncio.sleep(100)
    relay.hop.withdraw({7})
    await asyncio.sleep(1)
    assert relay.untried == [one]


@virtual
async def test_after_the_end_of_the_content_it_is_too_late() -> None:
    mx = await server(**{".": [SILENCE]})
    relay = Relay(mx)
    relay.hop.offer(token(7))
    await asyncio.sleep(1)
    relay.hop.withdraw({7})
    _, (outcome,) = await relay.worked.get()
    assert outcome.uncertain
    assert not relay.untried


@virtual
async def test_what_the_process_lacks_is_no_failure_of_the_next_hop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message is delayed for it; the others wait, and nothing is tried until some time has passed."""
    first, second = await server(), await server()
    relay = Relay(first, second)
    short = True

    async def connect(*arguments: Any, **more: Any) -> Any:
        if short:
            raise Lost("shortage", "", "connecting to mx: Too many open files")
        return await connecting(*arguments, **more)

    connecting = opening.connect_first
    monkeypatch.setattr(opening, "connect_first", connect)
    claims = [token(number) for number in range(4)]
    for one in claims:
        relay.hop.offer(one)
    one, (outcome,) = await relay.worked.get()
    assert (outcome.scope, outcome.status) == ("transaction", "4.3.2")
    await asyncio.sleep(GROW / 2)
    assert relay.worked.empty() and not relay.untried
    short = False
    for _ in range(3):
        _, (outcome,) = await relay.worked.get()
        assert outcome.action == "relayed"
    assert running().time() == pytest.approx(GROW, abs=0.5)
    await relay.hop.close()


@virtual
async def test_what_cannot_be_connected_waits_for_the_connections_that_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mx = await server(seconds=1)
    relay = Relay(mx)
    made = 0

    async def connect(*arguments: Any, **more: Any) -> Any:
        nonlocal made
        made += 1
        if made > 1:
            raise Lost("shortage", "", "connecting to mx: Too many open files")
        return await connecting(*arguments, **more)

    connecting = opening.connect_first
    monkeypatch.setattr(opening, "connect_first", connect)
    for number in range(4):
        relay.hop.offer(token(number))
    for _ in range(4):
        _, (outcome,) = await relay.worked.get()
        assert outcome.action == "relayed"
    await relay.hop.close()


@virtual
async def test_when_the_process_ends_nothing_is_waited_for() -> None:
    """As when a second signal came, or the time for attempts is over."""
    mx = await server(**{".": [SILENCE]})
    relay = Relay(mx)
    relay.hop.offer(token(7))
    await asyncio.sleep(1)
    (worker,) = relay.hop._workers
    worker.task.cancel()
    await asyncio.wait((worker.task,))
    assert running().time() < 2
    assert relay.hop.idle


@virtual
async def test_when_the_service_ends_the_reply_to_the_content_is_uncertain() -> None:
    """It is given up at once, and says so: the server may have taken the message."""
    mx = await server(**{".": [SILENCE]})
    relay = Relay(mx)
    relay.hop.offer(token(7))
    await asyncio.sleep(1)
    relay.hop.leave_off()
    assert not relay.hop.idle
    relay.hop.break_off()
    _, (outcome,) = await relay.worked.get()
    assert outcome.uncertain
    assert str(outcome.reply) == "451 4.3.0 the service ended (waiting for the reply to the content)"
    await relay.hop.close()
    assert running().time() < 2
    assert not relay.untried


@virtual
async def test_when_the_service_ends_content_that_is_half_sent_comes_back_untried() -> None:
    relay = relay_to(await dripping({}, slow=True), content=in_file(64 << 20))
    one = token(7, content=None)
    relay.hop.offer(one)
    await asyncio.sleep(100)
    relay.hop.leave_off()
    assert not relay.untried
    relay.hop.break_off()
    await relay.hop.close()
    assert relay.untried == [one]


@virtual
async def test_what_only_waits_is_withdrawn_at_once() -> None:
    mx = await server(MAIL=[SILENCE])
    relay = Relay(mx, connections=1)
    claims = [token(number) for number in range(4)]
    for one in claims:
        relay.hop.offer(one)
    await asyncio.sleep(1)
    relay.hop.withdraw({1, 3})
    assert relay.untried == [claims[1], claims[3]]


@virtual
async def test_what_was_delivered_before_it_was_withdrawn_stays_delivered() -> None:
    mx = await server(MAIL=["250 ok", SILENCE])
    relay = Relay(mx)
    relay.hop.offer(token(7, *(f"u{number}@example.net" for number in range(150))))
    await asyncio.sleep(1)
    relay.hop.withdraw({7})
    _, outcomes = await relay.worked.get()
    assert [one.action for one in outcomes] == ["relayed"] * 100 + ["delayed"] * 50
    assert {one.scope for one in outcomes[100:]} == {"transaction"}
    assert not relay.untried


@pytest.mark.parametrize("offer", [("PIPELINING",), ("PIPELINING", "CHUNKING")])
@pytest.mark.parametrize("end", [CLOSE, SILENCE])
@virtual
async def test_uncertain_by_data_and_by_bdat(offer: tuple[str, ...], end: str) -> None:
    """The session dies between the end of the content and its reply."""
    last = "BDAT" if "CHUNKING" in offer else "."
    mx = await ScriptServer(offer=offer, **{last: [end]}).start()
    ((outcome,),) = await Relay(mx).send(claim())
    assert (outcome.action, outcome.scope, outcome.uncertain) == ("delayed", "transaction", True)


@virtual
async def test_lmtp_is_uncertain_for_those_alone_that_were_not_answered() -> None:
    mx = await ScriptServer(lmtp=True, **{".": ["250 in", "550 no", SILENCE]}).start()
    paths = [f"u{number}@example.net" for number in range(4)]
    (outcomes,) = await Relay(mx, route=LMTP).send(claim(*paths, route=LMTP))
    assert [one.action for one in outcomes] == ["delivered", "failed", "delayed", "delayed"]
    assert [one.uncertain for one in outcomes] == [False, False, True, True]


async def told(relay: Relay, one: Claim | None = None) -> tuple[list[Outcome], str]:
    one = one or claim()
    (outcomes,) = await relay.send(one)
    return outcomes, relay.transcripts[one.message.ident]


@virtual
async def test_a_transcript_tells_what_was_said() -> None:
    mx = await server(**{".": ["250 ok", "554 5.6.0 not this"]})
    relay = Relay(mx)
    _, transcript = await told(relay)
    assert transcript == "", "nothing is made of what went well"
    (outcome,), transcript = await told(relay)
    assert outcome.action == "failed"
    size = len(TRACE) + len(CONTENT) + len(".\r\n")
    assert [line[12:] if line.startswith(" ") else line for line in transcript.split("\n")] == [
        f"mx0.example.net[127.0.0.1]:{mx.port}",
        "220 script ESMTP",
        "EHLO us.example.com",
        "250-script",
        "250-PIPELINING",
        "250-8BITMIME",
        "250-ENHANCEDSTATUSCODES",
        "250-SIZE 1000000",
        "250 HELP",
        "MAIL FROM:<sender@example.com> SIZE=54",
        "RCPT TO:<rcpt@example.net>",
        "DATA",
        "250 2.1.0 ok",
        "250 2.1.5 ok",
        "354 go on",
        f"[{size} octets of content]",
        "554 5.6.0 not this",
    ]
    assert "Subject" not in transcript


@virtual
async def test_a_transcript_tells_of_each_host_that_was_tried() -> None:
    down, busy, last = (
        await server(),
        await server(greeting=["421 busy", FOR_EVER]),
        await server(MAIL=[CLOSE]),
    )
    await down.close()
    _, transcript = await told(Relay(down, busy, last))
    names = [line.partition("[")[0] for line in transcript.split("\n") if line.startswith("mx")]
    assert names == ["mx0.example.net", "mx1.example.net", "mx2.example.net"]
    assert f"- connecting to mx0.example.net[127.0.0.1]:{down.port}: " in transcript
    assert "S: 421 busy" in transcript
    assert "C: MAIL FROM" in transcript
    assert transcript.endswith("- the server closed the connection")


@virtual
async def test_a_transcript_tells_what_the_dns_said() -> None:
    _, transcript = await told(Relay(no_hosts=Reply(451, "4.4.3", "the DNS is silent")))
    assert transcript.strip() == "- mx.example.net: 451 4.4.3 the DNS is silent"


@virtual
async def test_a_transcript_has_the_part_in_which_a_recipient_failed() -> None:
    """Though the message went on to others in another transaction of the session."""
    mx = await ScriptServer(**{"RCPT TO:<u7@example.net>": ["550 5.1.1 unknown here"]}).start()
    _, transcript = await told(Relay(mx), claim(*(f"u{number}@example.net" for number in range(150))))
    assert "550 5.1.1 unknown here" in transcript


@virtual
async def test_a_fault_of_ours_is_an_outcome_and_the_next_hop_works_on() -> None:
    relay = Relay(await server())

    async def broken(route: Route) -> list[Host]:
        raise RuntimeError("no")

    find = relay.hop.settings.find
    relay.hop.settings.find = broken
    ((outcome,),) = await relay.send(claim())
    assert (outcome.action, outcome.scope) == ("delayed", "transaction")
    assert "internal error" in outcome.reply.text
    relay.hop.settings.find = find
    ((outcome,),) = await relay.send(claim())
    assert outcome.action == "relayed"
