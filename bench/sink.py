"""A sink with STARTTLS under uvloop, and the least a Python server can do: it takes mail and forgets it.

    python bench/sink.py PORT [--count N] [--delay SECONDS] [--stamps FILE] [--certificate FILE --key FILE]

It knows no syntax: what a line begins with is enough.  With a certificate it refuses MAIL in the clear.  For
relay.py, whose services send to it, and for receive.py, as the floor under every receiver in Python: what the
event loop and the kernel take alone.  With `--count` it ends once it has so many messages, else by SIGTERM.
With `--stamps` it writes a line into that file, or pipe, for each message: the time of `time.monotonic` at
which its last octets came.  With `--delay` it is a slow one: the reply to the content comes so much later,
and a client has to wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import ssl
import time

import uvloop

EHLO = b"250-sink.example.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n%b250 SIZE 0\r\n"
REPLIES = {b"DATA": b"354 go ahead\r\n", b"QUIT": b"221 2.0.0 bye\r\n"}


class Session(asyncio.Protocol):
    """One client.  `taken` is called for every message."""

    def __init__(  # type: ignore[no-untyped-def]
        self, taken, context: ssl.SSLContext | None = None, delay: float = 0
    ) -> None:
        self.taken = taken
        self.delay = delay
        self.context = context
        self.rest = b""
        self.content = False
        self.secure = False

    def connection_made(self, transport) -> None:  # type: ignore[no-untyped-def]
        """asyncio: a client, or the same one under TLS."""
        self.transport = transport
        if not self.secure:
            transport.write(b"220 sink.example.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """asyncio: its octets."""
        if self.rest:
            data, self.rest = self.rest + data, b""
        out, at = [], 0
        while at < len(data):
            if self.content:
                end = data.find(b"\r\n.\r\n", max(at - 2, 0))
                if end < 0:
                    at = max(at, len(data) - 4)
                    break
                at, self.content = end + 5, False
                self.taken()
                if self.delay:
                    self.transport.pause_reading()
                    asyncio.get_running_loop().call_later(self.delay, self.late, data[at:])
                    data = data[:at]
                    break
                out.append(b"250 2.0.0 taken\r\n")
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                break
            verb = data[at : at + 4].upper()
            at = end + 2
            if verb == b"STAR" and self.context is not None:
                self.transport.pause_reading()
                self.transport.write(b"220 2.0.0 go ahead\r\n")
                self.task = asyncio.ensure_future(self.start_tls())
                return
            if verb == b"MAIL" and self.context is not None and not self.secure:
                out.append(b"530 5.7.0 say STARTTLS first\r\n")
                continue
            self.content = verb == b"DATA"
            if verb in (b"EHLO", b"HELO"):
                offer = b"250-STARTTLS\r\n" if self.context is not None and not self.secure else b""
                out.append(EHLO % offer)
            else:
                out.append(REPLIES.get(verb, b"250 2.0.0 ok\r\n"))
            if verb == b"QUIT":
                self.transport.write(b"".join(out))
                self.transport.close()
                return
        self.rest = data[at:]
        if out:
            self.transport.write(b"".join(out))

    def late(self, data: bytes) -> None:
        """The delayed reply, and whatever came behind the content."""
        if self.transport.is_closing():
            return
        self.transport.write(b"250 2.0.0 taken, late\r\n")
        self.transport.resume_reading()
        self.data_received(data)

    async def start_tls(self) -> None:
        """The handshake."""
        loop = asyncio.get_running_loop()
        self.secure = True
        try:
            transport = await loop.start_tls(self.transport, self, self.context, server_side=True)
        except OSError:
            return  # the client went away
        self.transport = transport


async def serve(options: argparse.Namespace) -> None:
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
    loop = asyncio.get_running_loop()
    stopped, count = asyncio.Event(), 0

    stamps = os.open(options.stamps, os.O_WRONLY) if options.stamps else -1

    def taken() -> None:
        nonlocal count
        count += 1
        if stamps >= 0:
            os.write(stamps, b"%r\n" % time.monotonic())
        if count == options.count:
            stopped.set()

    server = await loop.create_server(
        lambda: Session(taken, context, options.delay), "127.0.0.1", options.port, backlog=1024
    )
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.close()
    await asyncio.sleep(0.1)  # the last replies


def main() -> None:
    parser = argparse.ArgumentParser(description="a sink with STARTTLS")
    parser.add_argument("port", type=int)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0)
    parser.add_argument("--stamps")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
