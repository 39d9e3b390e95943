"""One question, one server."""

from __future__ import annotations

import asyncio

import dns.message
import pytest
from loops import both, run

from mether.dns.exchange import Failed, ask
from mether.testing.dns import Lie, Server, Zone

RECORDS = {"example.org": ["MX 10 a.example"]}


async def one(zone: Zone, seconds: float = 10) -> dns.message.Message:
    async with Server(zone) as server, asyncio.timeout(seconds):
        query = dns.message.make_query("example.org.", "MX")
        return await ask(asyncio.get_running_loop(), ("127.0.0.1", server.port), query)


@both
def test_an_answer(loop_name: str) -> None:
    assert len(run(loop_name, one(Zone(RECORDS))).answer) == 1


@both
def test_nobody_listens(loop_name: str) -> None:
    """That is told at once, not when the time is over."""

    async def main() -> None:
        query = dns.message.make_query("example.org.", "MX")
        with pytest.raises(Failed, match=r"^Connection refused$"):
            await ask(asyncio.get_running_loop(), ("127.0.0.1", 1), query)

    run(loop_name, main())


@both
def test_what_does_not_fit_comes_by_tcp(loop_name: str) -> None:
    zone = Zone({"example.org": [f"MX {n} m{n}.example" for n in range(200)]})
    zone.truncated.add("example.org")
    assert len(run(loop_name, one(zone)).answer[0]) == 200
    assert len(zone.asked) == 2


def test_an_answer_that_is_far_too_long() -> None:
    zone = Zone({"example.org": [f"MX {n} mail{n}.example" for n in range(1500)]})
    zone.truncated.add("example.org")
    with pytest.raises(Failed, match=r"^its answer is too long: \d+ octets$"):
        asyncio.run(one(zone))


def other_id(response: dns.message.Message) -> dns.message.Message:
    response.id ^= 1
    return response


def other_question(response: dns.message.Message) -> dns.message.Message:
    response.question = dns.message.make_query("evil.example.", "MX").question
    return response


@pytest.mark.parametrize(
    "lie", [other_id, other_question, lambda response: b"", lambda response: b"nonsense"]
)
def test_what_belongs_to_no_question_of_ours_is_passed_over(lie: Lie) -> None:
    zone = Zone(RECORDS)
    zone.lies["example.org"] = lie
    with pytest.raises(TimeoutError):
        asyncio.run(one(zone, 0.2))


def test_an_answer_that_makes_no_sense() -> None:
    zone = Zone(RECORDS)
    zone.lies["example.org"] = lambda response: response.to_wire()[:-4]
    with pytest.raises(Failed, match=r"^its answer makes no sense: "):
        asyncio.run(one(zone))


@pytest.mark.parametrize(
    ("lie", "why"),
    [
        (other_id, "another question"),
        (lambda response: response.to_wire()[:20], "makes no sense|is cut off"),
        (lambda response: b"", "makes no sense"),
    ],
)
def test_lies_by_tcp(lie: Lie, why: str) -> None:
    zone = Zone(RECORDS)
    zone.truncated.add("example.org")
    plain = lie

    def second(response: dns.message.Message) -> dns.message.Message | bytes:
        return response if len(zone.asked) == 1 else plain(response)

    zone.lies["example.org"] = second
    with pytest.raises(Failed, match=why):
        asyncio.run(one(zone))
