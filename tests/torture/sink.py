"""The next hops of the torture, good and bad, in one process: sink.py LEDGER

Prints the port it listens on, at every address of loopback; the address a client connects to chooses how it
is treated (`BEHAVIOURS`).  Ends at SIGTERM, the ledger written.  It knows of SMTP what it needs.
"""

from __future__ import annotations

import asyncio
import random
import re
import signal
import sys

import uvloop
from ledger import whole

BEHAVIOURS = {
    **{f"127.0.1.{number}": "good" for number in range(1, 9)},
    "127.0.2.1": "drops",  # closes at the final dot, having taken the message or not
    "127.0.2.2": "defers",  # answers 4yz to one in three
    "127.0.2.3": "refuses",  # answers 550 to one recipient in two
    "127.0.2.4": "stalls",  # falls silent now and then, and closes a while later
    "127.0.2.5": "garbles",  # answers what is no SMTP now and then
    "127.0.2.6": "drips",  # answers an octet at a time
    "127.0.2.7": "closes",  # closes right after accepting, now and then
    "127.0.2.8": "few",  # takes two recipients a transaction
}
DOMAINS = {address: f"{kind}{address.rpartition('.')[2]}.test" for address, kind in BEHAVIOURS.items()}
SENDERS = "127.0.1.9"
"""Where the mail for the senders' domain, which is reports, goes to."""

SLOT = re.compile(rb"<r(\d+)@", re.I)
FAILED = re.compile(rb"^Final-Recipient: rfc822; ?r(\d+)@.*\r\n(?:.*\r\n)*?Action: failed", re.M | re.I)
_REPORT = re.compile(rb"^Message-ID: <([^>]+)>", re.M | re.I)


class Sink(asyncio.Protocol):
    """One connection."""

    def __init__(self, out: list[str], chance: random.Random) -> None:
        self.out = out
        self.chance = chance
        self.buffer = bytearray()
        self.in_content = False
        self.slots: list[int] = []
        self.dripping = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        address = transport.get_extra_info("sockname")[0]
        self.reports = address == SENDERS
        self.kind = BEHAVIOURS.get(address, "good")
        if self.kind == "closes" and self.chance.random() < 0.4:
            transport.close()
            return
        self.say(b"220 sink.test ESMTP")

    def say(self, line: bytes) -> None:
        if self.kind == "garbles" and self.chance.random() < 0.02:
            line = b"\x00\xff garbage without a code"
        elif self.kind == "stalls" and self.chance.random() < 0.02:
            asyncio.get_running_loop().call_later(3, self.transport.close)
            return
        if self.kind == "drips":
            if not self.dripping:
                asyncio.get_running_loop().call_soon(self.drip)
            self.dripping += line + b"\r\n"
            return
        self.transport.write(line + b"\r\n")

    def drip(self) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(bytes(self.dripping[:1]))
        del self.dripping[:1]
        if self.dripping:
            asyncio.get_running_loop().call_soon(self.drip)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self.buffer and not self.transport.is_closing():
            if self.in_content:
                end = self.buffer.find(b"\r\n.\r\n")
                if end < 0:
                    return
                content = bytes(self.buffer[: end + 2])
                del self.buffer[: end + 5]
                self.in_content = False
                self.taken(content.replace(b"\r\n..", b"\r\n."))
                continue
            end = self.buffer.find(b"\r\n")
            if end < 0:
                return
            line = bytes(self.buffer[:end])
            del self.buffer[: end + 2]
            self.command(line)

    def command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"EHLO":
            self.say(b"250-sink.test\r\n250-PIPELINING\r\n250 8BITMIME")
        elif verb in (b"MAIL", b"RSET"):
            self.slots = []
            self.say(b"250 ok")
        elif verb == b"RCPT":
            self.recipient(line)
        elif verb == b"DATA":
            if self.slots or self.reports:
                self.in_content = True
                self.say(b"354 go on")
            else:
                self.say(b"554 no valid recipients")
        elif verb == b"QUIT":
            self.say(b"221 bye")
            self.transport.close()
        else:
            self.say(b"500 what?")

    def recipient(self, line: bytes) -> None:
        slot = SLOT.search(line)
        if slot is None:
            self.say(b"250 ok" if self.reports else b"550 5.1.1 no such user")
        elif self.kind == "defers" and self.chance.random() < 0.2:
            self.say(b"450 4.2.1 not now")
        elif self.kind == "refuses" and int(slot[1]) % 2:
            self.say(b"550 5.1.1 no such user")
        elif self.kind == "few" and len(self.slots) >= 2:
            self.say(b"452 4.5.3 too many recipients")
        else:
            self.slots.append(int(slot[1]))
            self.say(b"250 ok")

    def taken(self, content: bytes) -> None:
        if self.reports:
            report = _REPORT.search(content)
            name = report[1].decode() if report else "nameless"
            self.out += [f"B {slot.decode()} {name}" for slot in FAILED.findall(content)]
            self.say(b"250 ok")
            return
        if self.kind == "defers" and self.chance.random() < 0.15:
            self.say(b"451 4.3.0 not now")
            return
        sure = True
        if self.kind == "drops" and self.chance.random() < 0.3:
            self.transport.close()
            if self.chance.random() < 0.5:
                return
            sure = False
        if not whole(content):
            self.out += [f"X {slot}" for slot in self.slots]
        self.out += [f"{'D' if sure else 'U'} {slot}" for slot in self.slots]
        self.slots = []
        if sure:
            self.say(b"250 ok")


async def main(path: str) -> None:
    loop = asyncio.get_running_loop()
    out: list[str] = []
    chance = random.Random(1)
    server = await loop.create_server(lambda: Sink(out, chance), "0.0.0.0", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    with open(path, "a") as ledger:
        while not ended.is_set():
            try:
                async with asyncio.timeout(1):
                    await ended.wait()
            except TimeoutError:
                pass
            ledger.writelines(line + "\n" for line in out)
            out.clear()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
