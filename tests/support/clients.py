"""Both clients at the same work: a session with a server, and the outcomes that `relay.failure` makes of it.

`attempt` connects to a port of loopback (or a Unix socket), says hello and sends one message, with the
blocking client or with the asynchronous one on either loop, as `kind` says; `kinds` runs a test with each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import loops
import pytest
from fitting import transaction as fitted

from mether.address import parse
from mether.client import connect
from mether.client.blocking import BlockingClient
from mether.client.session import Lost, Timeouts
from mether.envelope import Envelope, Recipient
from mether.net import blocking
from mether.outcome import Outcome
from mether.queue.content import Content, in_memory
from mether.relay import failure
from mether.reply import Reply
from mether.smtp.extension import Offer
from mether.smtp.transaction import Transaction

KINDS = ("blocking", *loops.LOOPS)
kinds = pytest.mark.parametrize("kind", KINDS)

CONTENT = b"Subject: hi\r\n\r\n.dot\r\nhello\r\n"
ME = "us.example.com"


def transaction(
    offer: Offer, recipients: Sequence[str], content: Content, *, lmtp: bool = False
) -> Transaction:
    """The transaction of a message from ann to these recipients."""
    paths = [Recipient(parse(one)) for one in recipients]
    envelope = Envelope(parse("ann@us.example.com"), paths)
    return fitted(envelope, paths, offer, size=content.size, eight_bit=False, lmtp=lmtp)


def outcomes(
    result: Lost | Reply | Transaction, recipients: Sequence[str], lost: Lost | None = None
) -> list[Outcome]:
    """What it means: the loss of the session before a transaction, a refused hello, or a transaction."""
    numbers = range(len(recipients))
    if isinstance(result, Lost):
        return [failure.of_lost(number, result) for number in numbers]
    if isinstance(result, Reply):
        return [failure.of_host(number, result) for number in numbers]
    made = []
    for number, one in enumerate(result.results):
        if one is not None:
            made.append(failure.of_result(number, one))
        else:
            assert lost is not None, "the transaction ended without a result"
            made.append(failure.of_lost(number, lost, content_sent=result.content_sent))
    return made


def attempt(
    kind: str,
    where: int | str,
    recipients: Sequence[str] = ("bob@example.com",),
    *,
    timeouts: Timeouts | None = None,
    content: Content | None = None,
    lmtp: bool = False,
) -> list[Outcome]:
    """One message over one session, QUIT included; an outcome for each recipient."""
    content = content or in_memory(CONTENT)
    timeouts = timeouts or Timeouts(connect=30, greeting=30, command=30, data=30, block=30, end=30, quit=30)
    if kind == "blocking":
        return _blocking(where, recipients, timeouts, content, lmtp)
    result: list[Outcome] = loops.run(kind, _stream(where, recipients, timeouts, content, lmtp))
    return result


def _blocking(
    where: int | str, recipients: Sequence[str], timeouts: Timeouts, content: Content, lmtp: bool
) -> list[Outcome]:
    try:
        if isinstance(where, str):
            connection = blocking.connect_unix(where, timeouts.connect)
        else:
            connection = blocking.connect(blocking.addresses("127.0.0.1", where), where, timeouts.connect)
    except OSError as error:
        return outcomes(Lost("connect", "", str(error)), recipients)
    client = BlockingClient(connection, timeouts)
    try:
        reply = client.hello(ME, lmtp=lmtp)
        if not reply.ok:
            return outcomes(reply, recipients)
        sending = transaction(client.protocol.offer, recipients, content, lmtp=lmtp)
        try:
            client.transact(sending, b"", content)
        except Lost as error:
            return outcomes(sending, recipients, error)
        return outcomes(sending, recipients)
    except Lost as error:
        return outcomes(error, recipients)
    finally:
        client.quit()


async def _stream(
    where: int | str, recipients: Sequence[str], timeouts: Timeouts, content: Content, lmtp: bool
) -> list[Outcome]:
    loop = asyncio.get_running_loop()
    address, port = (where, 0) if isinstance(where, str) else ("127.0.0.1", where)
    try:
        client = await connect.connect(loop, address, port, timeouts)
    except Lost as error:
        return outcomes(error, recipients)
    try:
        reply = await client.hello(ME, lmtp=lmtp)
        if not reply.ok:
            return outcomes(reply, recipients)
        sending = transaction(client.protocol.offer, recipients, content, lmtp=lmtp)
        try:
            await client.transact(sending, b"", content)
        except Lost as error:
            return outcomes(sending, recipients, error)
        return outcomes(sending, recipients)
    except Lost as error:
        return outcomes(error, recipients)
    finally:
        await client.quit()
