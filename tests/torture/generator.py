"""The load of the torture: generator.py LEDGER PORT MESSAGES SEED

Sends until so many messages were answered 250, over CONNECTIONS connections that come back whenever they are
lost.  No message is sent twice: what got no 250 is nobody's promise.
"""

from __future__ import annotations

import asyncio
import random
import sys

import uvloop
from ledger import SLOTS, message
from sink import BEHAVIOURS, DOMAINS

CONNECTIONS = 16
AGAIN = 0.05
"""Seconds until a lost connection is made again."""

GOOD = [domain for address, domain in DOMAINS.items() if BEHAVIOURS[address] == "good"]
BAD = [domain for address, domain in DOMAINS.items() if BEHAVIOURS[address] != "good"]
SMALL = [600, 2000, 4000, 9000]


class Load:
    """What all connections share."""

    def __init__(self, path: str, port: int, messages: int, seed: int) -> None:
        self.ledger = open(path, "a")  # noqa: SIM115  # closed at the end of the process
        self.port = port
        self.left = messages
        self.name = 0
        self.chance = random.Random(seed)
        self.bodies = [message(0, size) for size in SMALL]
        self.ended = asyncio.Event()

    def envelope(self) -> tuple[int, list[str]]:
        """The next message's first slot, and its recipients."""
        self.name += 1
        first, chance = self.name * SLOTS, self.chance
        count = 1 if chance.random() < 0.8 else chance.randrange(2, SLOTS + 1)
        return first, [
            f"r{first + number}@{chance.choice(BAD if chance.random() < 0.08 else GOOD)}"
            for number in range(count)
        ]

    def content(self) -> bytes:
        """A message, with its final dot."""
        if self.chance.random() < 0.004:
            body = message(self.name, self.chance.choice([70_000, 150_000]))
        else:
            body = self.chance.choice(self.bodies)
        return body.replace(b"\r\n.", b"\r\n..") + b".\r\n"

    def answered(self, slots: list[int]) -> None:
        self.ledger.writelines(f"A {slot}\n" for slot in slots)
        self.left -= 1
        if self.left <= 0:
            self.ended.set()

    def again(self) -> None:
        if not self.ended.is_set():
            asyncio.get_running_loop().call_later(AGAIN, self.connect)

    def connect(self) -> None:
        task = asyncio.ensure_future(self._connect())
        task.add_done_callback(lambda done: done.exception() and self.again())

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: Client(self), "127.0.0.1", self.port)


class Client(asyncio.Protocol):
    """One connection: it knows of replies that 2yz is good, and that a transaction takes three groups."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = bytearray()
        self.codes: list[bytes] = []
        self.expected = 1
        self.step = self.hello

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, error: Exception | None) -> None:
        self.load.again()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        *replies, rest = bytes(self.buffer).split(b"\r\n")
        self.buffer[:] = rest
        self.codes += [line[:3] for line in replies if line[3:4] != b"-"]
        if len(self.codes) >= self.expected:
            codes, self.codes = self.codes, []
            self.step(codes)

    def send(self, octets: bytes, expected: int, step) -> None:  # type: ignore[no-untyped-def]
        self.expected, self.step = expected, step
        self.transport.write(octets)

    def hello(self, codes: list[bytes]) -> None:
        if codes != [b"220"]:
            self.transport.close()
        else:
            self.send(b"EHLO client.test\r\n", 1, self.begin)

    def begin(self, codes: list[bytes]) -> None:
        if self.load.ended.is_set():
            self.transport.close()
            return
        first, recipients = self.load.envelope()
        self.slots = [first + number for number in range(len(recipients))]
        lines = [f"MAIL FROM:<s{first}@sender.test>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA", ""]
        self.send("\r\n".join(lines).encode(), len(recipients) + 2, self.content)

    def content(self, codes: list[bytes]) -> None:
        self.slots = [slot for slot, code in zip(self.slots, codes[1:-1], strict=True) if code == b"250"]
        if codes[-1] == b"354":
            self.send(self.load.content(), 1, self.ended)
        else:
            self.send(b"RSET\r\n", 1, self.begin)

    def ended(self, codes: list[bytes]) -> None:
        if codes == [b"250"]:
            self.load.answered(self.slots)
        self.begin(codes)


async def main(path: str, port: str, messages: str, seed: str) -> None:
    load = Load(path, int(port), int(messages), int(seed))
    for _ in range(CONNECTIONS):
        load.connect()
    await load.ended.wait()
    load.ledger.flush()  # what comes until the loop has ended is told too


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
