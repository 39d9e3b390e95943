"""One claim over one SMTP or LMTP session: the transaction, and what came of it.

`send` runs as many transactions as the recipients need, within what the server takes in each, and returns an
Outcome for every recipient that this session, which `relay.opening` opened, can serve.  What a failure
means is decided by `relay.failure`.
"""

from __future__ import annotations

from mether.client.session import Lost
from mether.queue.store import StoreError
from mether.relay import failure
from mether.relay.outgoing import Outgoing
from mether.smtp import command
from mether.smtp.fit import DEFAULT
from mether.smtp.limits import MAX_RECIPIENTS
from mether.smtp.transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mether.client.stream import StreamClient
    from mether.outcome import Outcome
    from mether.queue.claim import Claim, Pending
    from mether.queue.content import Content
    from mether.relay.rewriting import Changed
    from mether.smtp.fit import Policy


class Lacking(Exception):
    """The host lacks an extension that the message needs, and another may have it (RFC 5321 section 2.2.3);
    `outcomes` is what it comes to where none has."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        super().__init__()
        self.outcomes = outcomes


async def send(
    client: StreamClient,
    claim: Claim,
    content: Content,
    *,
    remote_mta: str,
    clock: Callable[[], float],
    pending: Sequence[Pending] | None = None,
    heed: bool = True,
    more: bool = False,
    fitting: Policy = DEFAULT,
    changed: Changed | None = None,
) -> tuple[list[Outcome], bool]:
    """Send the claim's message to `pending`, or all of its recipients, as far as this session takes them.

    Returns the outcomes, in order, and whether the session may be used again.  Where it may not, those
    without an outcome are to go in another one.  With `heed` unset the limits that the server
    announced (RFC 9422) are not kept to.  `more` tells that there are other hosts to try: then raises Lacking
    when this one can be sent nothing for want of an extension.  `fitting` is what may be done about that.
    `changed` is the message with other addresses (`relay.rewriting`), to be sent in place of it.
    """
    client.begin()
    if pending is None:
        pending = claim.pending
    message = claim.message
    outcomes: list[Outcome] = []
    recipients = [one.recipient for one in pending]
    if changed is None:
        outgoing = Outgoing(message.envelope, message.trace, content)
    else:
        recipients = [changed.recipient(one) for one in recipients]
        outgoing = Outgoing(changed.envelope, message.trace, changed.content)
    lmtp = claim.route.transport == "lmtp"
    offer = client.protocol.offer
    limited = "LIMITS" in offer.keywords
    lacking = True
    while len(outcomes) < len(pending):
        start = len(outcomes)
        count = offer.budget.room(recipients, start) if limited and heed else MAX_RECIPIENTS
        if not count:
            return outcomes, False
        if changed is not None and changed.verp:
            count = 1
            outgoing.under(changed.envelope_for(message.ident, pending[start].recipient))
        part, asked = pending[start : start + count], recipients[start : start + count]
        lost: Lost | None = None
        fault = ""
        transaction: Transaction | None = None
        try:
            terms = (
                asked,
                offer,
                fitting,
                clock() - message.arrival.at,
                client.account is not None,
                client.secure is not None,
                lmtp,
            )
            if outgoing.reads(offer):
                # A file that must be read and converted would hold up all others.
                made, trace, source = await client.loop.run_in_executor(None, outgoing.fit, *terms)
            else:
                made, trace, source = outgoing.fit(*terms)
            transaction = Transaction(made, offer, lmtp=lmtp)
            if limited:
                offer.budget.spend(asked)
            await client.transact(transaction, trace, source)
            if transaction.reset_needed and client.protocol.state != "CLOSED":
                reply = await client.ask("RSET", command.plain("RSET"))
                if reply.code >= 400 and reply.code != 421:
                    # The next MAIL would be refused as out of order, and its message returned for it.
                    raise Lost("protocol", "RSET", f"the server refused RSET: {reply}")
        except Lost as error:
            lost = error
        except (OSError, StoreError) as error:
            # Half of the content may be out: only closing the connection keeps the rest from being sent.
            client.abort()
            fault = f"the content of the message cannot be read: {error}"
        at = clock()
        for place, one in enumerate(part):
            outcomes.append(_outcome(one.number, transaction, place, lost, fault, remote_mta, at, lmtp))
        lacking = lacking and transaction is not None and transaction.fit.lacking
        if more and lacking and len(outcomes) == len(pending):
            raise Lacking(outcomes)
        if lost is not None or fault or client.protocol.state == "CLOSED":
            rest = (
                Lost("closed", "", "the session ended before this recipient's turn") if lost is None else lost
            )
            outcomes.extend(
                failure.of_lost(one.number, rest, remote_mta=remote_mta, at=at)
                for one in pending[start + count :]
            )
            return outcomes, False
    return outcomes, client.alive


def _outcome(
    number: int,
    transaction: Transaction | None,
    place: int,
    lost: Lost | None,
    fault: str,
    remote_mta: str,
    at: float,
    lmtp: bool,
) -> Outcome:
    result = transaction.results[place] if transaction is not None else None
    if transaction is not None and result is not None:
        return failure.of_result(
            number,
            result,
            remote_mta=remote_mta,
            at=at,
            done="delivered" if lmtp else "relayed",
            notifies=transaction.fit.notifies,
            traced=transaction.fit.relayed,
        )
    if lost is not None:
        sent = transaction is not None and transaction.content_sent
        return failure.of_lost(number, lost, remote_mta=remote_mta, at=at, content_sent=sent)
    return failure.of_fault(number, fault or "the transaction ended without a result", at=at)
