"""One claim over one SMTP or LMTP session: the transaction, and what came of it.

`send` runs as many transactions as the recipients need (at most MAX_RECIPIENTS in each) and returns an
Outcome for every pending recipient.  `open` connects and says hello.  Neither decides what a failure
means: that is `relay.failure`.
"""

from __future__ import annotations

from mether.client.session import Lost, own_name
from mether.client.stream import StreamClient, connect
from mether.queue.store import StoreError
from mether.relay import failure
from mether.relay.facts import Facts
from mether.smtp import command
from mether.smtp.fit import NOT_CONVERTIBLE, fit
from mether.smtp.transaction import Result, Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from typing import Final

    from mether.client.session import Timeouts
    from mether.outcome import Outcome
    from mether.queue.content import Content
    from mether.queue.store import Claim
    from mether.relay.hosts import Host
    from mether.reply import Reply
    from mether.smtp.extension import Offer
    from mether.smtp.fit import Fit

MAX_RECIPIENTS: Final = 100
"""Recipients in one transaction, which every server must take (RFC 5321 section 4.5.3.1.8)."""


class Refused(Exception):
    """The host's greeting or its answer to EHLO was no 2yz."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


async def open(
    loop: asyncio.AbstractEventLoop, host: Host, name: str, timeouts: Timeouts, *, lmtp: bool
) -> StreamClient:
    """A session with the host, ready for MAIL.  Raises Lost or Refused."""
    client = await connect(loop, host.address, host.port, timeouts)
    try:
        reply = await client.hello(own_name(name, client.local), lmtp=lmtp)
    except BaseException:
        client.close()
        raise
    if not reply.ok:
        await client.quit()
        raise Refused(reply)
    return client


async def send(
    client: StreamClient,
    claim: Claim,
    content: Content,
    *,
    remote_mta: str,
    clock: Callable[[], float],
) -> tuple[list[Outcome], bool]:
    """Send the claim's message; the outcomes, and whether the session may be used again."""
    outcomes: list[Outcome] = []
    pending = claim.pending
    eight_bit = _eight_bit(claim, content, client.protocol.offer)
    lmtp = claim.route.transport == "lmtp"
    for start in range(0, len(pending), MAX_RECIPIENTS):
        part = pending[start : start + MAX_RECIPIENTS]
        made = fit(
            claim.message.envelope,
            [one.recipient for one in part],
            Facts(len(claim.message.trace) + content.size, eight_bit, claim.message.envelope),
            client.protocol.offer,
            waited=clock() - claim.message.arrival.at,
            lmtp=lmtp,
        )
        if made.convert is not None:
            made.refuse(NOT_CONVERTIBLE)
        transaction = Transaction(made, client.protocol.offer, lmtp=lmtp)
        lost: Lost | None = None
        fault = ""
        try:
            await client.transact(transaction, claim.message.trace, content)
            if transaction.reset_needed and client.protocol.state != "CLOSED":
                await client.ask("RSET", command.plain("RSET"))
        except Lost as error:
            lost = error
        except (OSError, StoreError) as error:
            # Half of the content is out: only closing the connection keeps the rest from being sent.
            client.abort()
            fault = f"the content of the message cannot be read: {error}"
        at = clock()
        for one, result in zip(part, transaction.results, strict=True):
            outcomes.append(
                _outcome(
                    one.number, result, lost, fault, transaction.content_sent, remote_mta, at, lmtp, made
                )
            )
        if lost is not None or fault or client.protocol.state == "CLOSED":
            at = clock()
            rest = (
                Lost("closed", "", "the session ended before this recipient's turn") if lost is None else lost
            )
            outcomes.extend(
                failure.of_lost(one.number, rest, remote_mta=remote_mta, at=at)
                for one in pending[start + MAX_RECIPIENTS :]
            )
            return outcomes, False
    return outcomes, client.alive


def _outcome(
    number: int,
    result: Result | None,
    lost: Lost | None,
    fault: str,
    content_sent: bool,
    remote_mta: str,
    at: float,
    lmtp: bool,
    made: Fit,
) -> Outcome:
    if result is not None:
        return failure.of_result(
            number,
            result,
            remote_mta=remote_mta,
            at=at,
            done="delivered" if lmtp else "relayed",
            notifies=made.notifies,
            traced=made.relayed,
        )
    if lost is not None:
        return failure.of_lost(number, lost, remote_mta=remote_mta, at=at, content_sent=content_sent)
    return failure.of_fault(number, fault or "the transaction ended without a result", at=at)


def _eight_bit(claim: Claim, content: Content, offer: Offer) -> bool:
    """Whether the content holds octets above 127.

    Of a file what the client declared is believed, unless the next hop would have to refuse it.
    """
    if content.data is not None:
        return not (content.data.isascii() and claim.message.trace.isascii())
    if claim.message.envelope.body == "7BIT" or "8BITMIME" in offer:
        return claim.message.envelope.body != "7BIT"
    try:
        return not all(chunk.isascii() for chunk in content.chunks())
    except (OSError, StoreError):
        return False  # sending it will meet the same, and say so
