"""A source of messages with STARTTLS, for what smtp-source cannot do.

    python bench/load.py PORT [--messages N] [--sessions N] [--size N] [--kept] [--tls] [--resume]

As smtp-source does, it waits for the reply to each of MAIL, RCPT, DATA and the content.  Under uvloop, in
one process.  With `--resume` each session after the first begins with the TLS session of one before it;
asyncio and uvloop have no way to ask for that, so the context puts it in (`Resuming`).  Standard output
gets two numbers: the handshakes, and how many of them resumed a session.
"""

from __future__ import annotations

import argparse
import asyncio
import ssl

import uvloop


class Resuming(ssl.SSLContext):
    """A client's context that resumes the session it was last given.

    Event loops make their TLS objects by `wrap_bio`, without a session; this one adds it.
    """

    session: ssl.SSLSession | None = None

    def wrap_bio(self, *arguments, **named):  # type: ignore[no-untyped-def]
        """As SSLContext's."""
        return super().wrap_bio(*arguments, **{**named, "session": self.session})


class Client(asyncio.Protocol):
    """One connection; `reply` waits for one."""

    def __init__(self) -> None:
        self.got = b""
        self.waiter: asyncio.Future[bytes] | None = None
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport) -> None:  # type: ignore[no-untyped-def]
        """asyncio: connected, or under TLS."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """asyncio: octets of a reply."""
        self.got += data
        if self.got.endswith(b"\r\n") and self.got[:-2].rpartition(b"\n")[2][3:4] in (b" ", b""):
            answer, self.got = self.got, b""
            if self.waiter is not None:
                self.waiter.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """asyncio: gone."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_exception(error or ConnectionResetError("closed"))
        if not self.gone.done():
            self.gone.set_result(None)

    async def say(self, octets: bytes, code: bytes) -> bytes:
        """Send, and await the reply, which must begin with `code`."""
        self.waiter = asyncio.get_running_loop().create_future()
        if octets:
            self.transport.write(octets)
        answer = await self.waiter
        if not answer.startswith(code):
            raise SystemExit(f"load.py: {octets[:60]!r} got {answer!r}")
        return answer


class Load:
    """The messages that are still to be sent, and the sessions that send them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.left = options.messages
        self.handshakes = self.resumed = 0
        self.context = Resuming(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        line = b"X" * 78 + b"\r\n"
        head = b"From: <source@example.test>\r\nTo: <sink@example.net>\r\nSubject: load\r\n\r\n"
        self.content = head + line * ((options.size - len(head)) // 80) + b".\r\n"

    async def connect(self) -> Client:
        """A session after EHLO."""
        loop = asyncio.get_running_loop()
        client = Client()
        client.waiter = loop.create_future()
        await loop.create_connection(lambda: client, "127.0.0.1", self.options.port)
        await client.waiter
        offer = await client.say(b"EHLO source.example.test\r\n", b"250")
        if self.options.tls:
            if b"STARTTLS" not in offer:
                raise SystemExit("load.py: STARTTLS is not offered")
            await client.say(b"STARTTLS\r\n", b"220")
            client.transport = await loop.start_tls(
                client.transport, client, self.context, server_hostname="localhost"
            )
            self.handshakes += 1
            self.resumed += client.transport.get_extra_info("ssl_object").session_reused
            await client.say(b"EHLO source.example.test\r\n", b"250")
        return client

    async def close(self, client: Client) -> None:
        """QUIT, and what the server gave to resume."""
        secure = client.transport.get_extra_info("ssl_object")
        await client.say(b"QUIT\r\n", b"221")
        if secure is not None and self.options.resume:
            self.context.session = secure.session  # in TLS 1.3 it has come with the replies
        client.transport.close()
        await client.gone

    async def session(self) -> None:
        """Send while there are messages left."""
        client = None
        while self.left > 0:
            self.left -= 1
            client = client or await self.connect()
            await client.say(b"MAIL FROM:<source@example.test>\r\n", b"250")
            await client.say(b"RCPT TO:<sink@example.net>\r\n", b"250")
            await client.say(b"DATA\r\n", b"354")
            await client.say(self.content, b"250")
            if not self.options.kept:
                await self.close(client)
                client = None
        if client is not None:
            await self.close(client)


async def send(options: argparse.Namespace) -> None:
    load = Load(options)
    await asyncio.gather(*(load.session() for _ in range(options.sessions)))
    print(f"{load.handshakes} {load.resumed}")


def main() -> None:
    parser = argparse.ArgumentParser(description="a source of messages with STARTTLS")
    parser.add_argument("port", type=int)
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--kept", action="store_true")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--resume", action="store_true")
    uvloop.run(send(parser.parse_args()))


if __name__ == "__main__":
    main()
