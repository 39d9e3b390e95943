"""A worker, and what its parent and it have to say to each other."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mether.event import mail as event
from mether.setup import channel, places, service
from mether.setup import config as config_
from mether.setup.config import Config
from mether.setup.struct import replace
from mether.setup.worker import Child

TEXT = """\
[service]
hostname = "mx.example.com"
[queue]
spool = "sqlite:{}"
[[listen]]
address = "127.0.0.1:0"
"""


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """A worker ignores signals, and its sinks last as long as its process."""
    signals = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGHUP)}
    sinks = list(event.sinks)
    yield
    event.sinks[:] = sinks
    for number, handler in signals.items():
        signal.signal(number, handler)


class Led:
    """A worker in this process, and its parent's end of the line."""

    def __init__(self, config: Config, alive: float) -> None:
        self.config = config
        self.line, theirs = channel.pair()
        self.places = places.opened(config.listen, {}, 1)
        sockets = {key: [one.dup() for one in place.sockets[0]] for key, place in self.places.items()}
        child = Child(0, 1, config, sockets, theirs, first=True, alive=alive)
        self.task = asyncio.ensure_future(service.serve(config, child=child))
        self._messages: list[Any] = []

    async def hear(self) -> Any:
        """The worker's next word."""
        loop = asyncio.get_running_loop()
        while not self._messages:
            readable = loop.create_future()
            loop.add_reader(self.line.fileno(), readable.set_result, None)
            await asyncio.wait((readable, self.task), return_when=asyncio.FIRST_COMPLETED)
            loop.remove_reader(self.line.fileno())
            self._messages, there = self.line.receive()
            assert there or self._messages, self.task
        return self._messages.pop(0)

    async def greeting(self) -> str:
        """What it greets a client with."""
        (place,) = self.places.values()
        reader, writer = await asyncio.open_connection(*place.sockets[0][0].getsockname())
        line = await reader.readline()
        writer.close()
        await writer.wait_closed()
        return line.decode()

    def end(self) -> None:
        """Let go of what is the parent's."""
        self.line.close()
        for place in self.places.values():
            place.end()


@pytest_asyncio.fixture
async def led(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Led]:
    made = Led(config_.loads(TEXT.format(tmp_path / "spool"), environ={}), getattr(request, "param", 0.0))
    assert await made.hear() == ("ready", 0)
    yield made
    made.end()
    await made.task


def named(config: Config, hostname: str) -> Config:
    return replace(config, service=replace(config.service, hostname=hostname))


@pytest.mark.asyncio
async def test_it_works_with_what_it_is_given_until_it_is_told_to_stop(led: Led) -> None:
    assert (await led.greeting()).startswith("220 mx.example.com ")
    led.line.send(("stop",))
    assert await led.task == 0


@pytest.mark.asyncio
async def test_without_a_parent_it_ends(led: Led) -> None:
    led.line.close()
    assert await led.task == 0


@pytest.mark.asyncio
@pytest.mark.parametrize("led", [0.01], indirect=True)
async def test_signs_of_life(led: Led) -> None:
    """As often as they are wanted."""
    assert [await led.hear() for _ in range(3)] == [("alive",)] * 3


@pytest.mark.asyncio
async def test_it_prepares_and_only_when_told_adopts(led: Led) -> None:
    led.line.send(("prepare", 1, named(led.config, "new.example.com"), []))
    assert await led.hear() == ("prepared", 1, "")
    assert (await led.greeting()).startswith("220 mx.example.com ")
    led.line.send(("drop",))
    led.line.send(("adopt",))  # there is nothing any more
    led.line.send(("prepare", 2, named(led.config, "newer.example.com"), []))
    assert await led.hear() == ("prepared", 2, "")
    led.line.send(("adopt",))
    assert await led.hear() == ("adopted", 2, "")
    assert (await led.greeting()).startswith("220 newer.example.com ")


@pytest.mark.asyncio
async def test_what_it_cannot_prepare_it_says_in_one_line(led: Led, tmp_path: Path) -> None:
    """The sockets that came with it are closed again."""
    wrong = config_.loads(
        TEXT.format(tmp_path / "spool") + f'[tls]\ncertificate = ["{tmp_path}/none.pem"]\n', environ={}
    )
    extra = socket.create_server(("127.0.0.1", 0))
    address = extra.getsockname()
    with extra:
        led.line.send(("prepare", 3, wrong, [(("other", 0), 1)]), [extra])
    name, number, trouble = await led.hear()
    assert (name, number) == ("prepared", 3)
    assert trouble.startswith("the configuration stays as it was: ") and "none.pem" in trouble
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    assert (await led.greeting()).startswith("220 mx.example.com ")
