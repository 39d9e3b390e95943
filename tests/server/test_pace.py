"""A client that drips is told from one that is merely slow."""

from __future__ import annotations

import asyncio

import pytest
from clock import virtual
from hypothesis import given
from hypothesis import strategies as st
from wirepair import Taker, dialogue

from mether.server.pace import SLOW, Pace, too_slow
from mether.server.stream import Connection


@pytest.mark.parametrize(
    ("octets", "seconds", "slow"),
    [
        (0, 0, False),
        (0, 59.9, False),
        (0, 60, True),
        (959, 60, True),
        (960, 60, False),
        (960, 61, True),
        (10**6, 3600, False),
    ],
)
def test_below_the_minimum_after_the_grace(octets: int, seconds: float, slow: bool) -> None:
    assert too_slow(octets, seconds, 16) is slow


def test_no_minimum_is_never_too_slow() -> None:
    assert not too_slow(0, 1e9, 0)
    assert not Pace(0).slow(1e9, 0)


def test_octets_sent_early_buy_no_dripping_later() -> None:
    pace = Pace(16)
    pace.begin(1000.0, 50)
    assert not pace.slow(1059.0, 50)
    assert not pace.slow(1060.0, 50 + 10_000_000)
    assert not pace.slow(1119.0, 50 + 10_000_000)
    assert pace.slow(1120.0, 60 + 10_000_000)


def test_a_pause_of_ours_is_not_the_clients() -> None:
    """The time in which we did not read does not count."""
    pace = Pace(16)
    pace.begin(0.0, 0)
    pace.begin(500.0, 0)
    assert not pace.slow(520.0, 0)


def test_what_it_is_told() -> None:
    """TMO: 421 4.4.2."""
    assert SLOW.encode().startswith(b"421 4.4.2 ")


@given(st.integers(17, 1000), st.lists(st.floats(0.1, 200), min_size=1, max_size=50))
def test_whoever_keeps_to_the_minimum_is_never_cut(rate: int, steps: list[float]) -> None:
    """TMO-1: a large message at a low but steady rate takes as long as it takes."""
    pace, now, sent = Pace(16), 0.0, 0
    pace.begin(now, sent)
    for step in steps:
        now += step
        sent = -int(-now * rate)  # rounded down, as octets are
        assert not pace.slow(now, sent + 1)


async def send(pieces: int, every: float, piece: bytes) -> tuple[bytes, float, list[str]]:
    """Send a message's content so; the answer, the seconds until it came, and how the session ended."""
    loop = asyncio.get_running_loop()
    why: list[str] = []
    server = await loop.create_server(
        lambda: Connection(
            loop,
            lambda connection: dialogue(Taker()),
            lambda connection: why.append(connection.why),
            timeout=300.0,
            min_rate=16,
        ),
        "127.0.0.1",
        0,
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    for line in (b"", b"HELO c", b"MAIL FROM:<a@b.test>", b"RCPT TO:<c@d.test>", b"DATA"):
        if line:
            writer.write(line + b"\r\n")
        await reader.readline()
    start = loop.time()
    answer = asyncio.ensure_future(reader.readline())
    for _ in range(pieces):
        if answer.done():
            break
        writer.write(piece)
        await asyncio.wait((answer,), timeout=every)
    if not answer.done():
        writer.write(b"\r\n.\r\n")
    found = await answer
    seconds = loop.time() - start
    writer.close()
    server.close()
    while not why:
        await asyncio.sleep(1)
    return found, seconds, why


@virtual
async def test_a_client_that_drips_content_is_cut() -> None:
    """TMO: an octet every ten seconds never times out, and yet it ends."""
    answer, seconds, why = await send(1000, 10.0, b"x")
    assert answer.startswith(b"421 4.4.2 ")
    assert 60 <= seconds <= 130
    assert why == ["too slow"]


@virtual
async def test_a_slow_but_steady_client_is_heard_out() -> None:
    """TMO-1: no limit on the whole."""
    answer, seconds, _ = await send(100, 10.0, b"x" * 198 + b"\r\n")
    assert answer.startswith(b"250 ")
    assert seconds >= 990
