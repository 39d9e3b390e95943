"""aiosmtpd to be measured: takes mail on 127.0.0.1 and forgets it, under uvloop.

    python bench/aiosmtpd_sink.py PORT [--certificate FILE --key FILE [--implicit]]

With a certificate it offers STARTTLS, or begins with the handshake when `--implicit`.  Ends by SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import ssl

import uvloop
from aiosmtpd.handlers import Sink
from aiosmtpd.smtp import SMTP


async def serve(options: argparse.Namespace) -> None:
    context = None
    if options.certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(options.certificate, options.key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(
            Sink(),
            hostname="bench.example.test",
            enable_SMTPUTF8=True,
            loop=loop,
            tls_context=None if options.implicit else context,
        ),
        "127.0.0.1",
        options.port,
        backlog=1024,
        ssl=context if options.implicit else None,
    )
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    await stopped.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="aiosmtpd that forgets every message")
    parser.add_argument("port", type=int)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--implicit", action="store_true")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
