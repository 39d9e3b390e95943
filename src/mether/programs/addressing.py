"""Queueing what a program of this host sends, for whom its recipients stand: aliases, users, mailing lists.

The same is found as for a client of smtpd (`receive.gathered`), and all that becomes of it, the reports that
are owed at once among it, is queued in one transaction.  A recipient who is not here fails: the sender gets a
report, and there is a line for whoever runs the program.  Where nobody is left, errors.Failure is raised: 67
where no recipient is here, 69 where they are refused for another reason; and 75 where a table cannot be read.
Nothing is queued then.  Raises StoreError, too.
"""

from __future__ import annotations

import os
import time

from mether.address import parse
from mether.envelope import Recipient
from mether.programs import errors, queueing
from mether.queue.message import Arrival
from mether.receive import accept, gathered
from mether.receive.coming import APART
from mether.routing.expand import resolve
from mether.routing.request import Request
from mether.routing.resolution import Refused, Resolution
from mether.routing.router import is_postmaster
from mether.routing.source import TableError, settled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    from mether.address import Address, ReversePath
    from mether.envelope import Envelope
    from mether.queue.content import Writer
    from mether.queue.message import Draft
    from mether.queue.store import Store
    from mether.receive.gathered import Gathered
    from mether.routing.router import Router
    from mether.setup.locate import Basics


NOUSER: Final = 67


class Addressed:
    """An envelope with what its recipients come to, what the addresses of those come to who are told of
    it at once (`ways`), and a line for each recipient who is `refused`."""

    __slots__ = ("envelope", "gathered", "refused", "ways")

    def __init__(
        self,
        envelope: Envelope,
        gathered: Gathered,
        ways: dict[Address, Resolution],
        refused: Sequence[str] = (),
    ) -> None:
        self.envelope = envelope
        self.gathered = gathered
        self.ways = ways
        self.refused = refused


def address(router: Router, envelope: Envelope, now: float) -> Addressed:
    """Find out what the recipients come to.  Raises errors.Failure."""
    try:
        return settled(lambda: _address(router, envelope, now))
    except TableError as error:
        raise errors.Failure(errors.TEMPFAIL, str(error)) from None


def _address(router: Router, envelope: Envelope, now: float) -> Addressed:
    found = gathered.Gathered()
    ways: dict[Address, Resolution] = {}
    sender = envelope.reverse_path
    refused: list[tuple[Address, Resolution]] = []
    owed = []
    for recipient in envelope.recipients:
        recipient, resolution = _meant(router, recipient, sender)
        path = recipient.forward_path
        if resolution.reply is not None:
            refused.append((path, resolution))
            failed = Resolution(resolution.decision, refused=[Refused(path, resolution.reply)])
            owed += gathered.notices(recipient, failed, now, sender)
            continue
        found.add(recipient, resolution, gathered.notices(recipient, resolution, now, sender))
    if refused and len(refused) == len(envelope.recipients):
        path, resolution = refused[0]
        assert resolution.reply is not None
        status = NOUSER if resolution.reply.status == "5.1.1" else errors.UNAVAILABLE
        raise errors.Failure(status, _refusal(path, resolution))
    found.owe(owed)
    for notice in found.notices:
        to = notice.to or sender
        if to is not None and to not in ways:
            ways[to] = resolve(router, Request(to))
    return Addressed(envelope, found, ways, [_refusal(path, one) for path, one in refused])


def _refusal(path: Address, resolution: Resolution) -> str:
    why = f" ({resolution.problems[0]})" if resolution.problems else ""
    return f"<{path}>: {resolution.reply}{why}"


def _meant(router: Router, recipient: Recipient, sender: ReversePath) -> tuple[Recipient, Resolution]:
    """Who gets a recipient's mail, and what he comes to: as with RCPT, the service's postmaster where a
    postmaster is nobody else.  Raises TableError or Needs."""
    request = Request(recipient.forward_path, sender=sender)
    decision = router.decide(request)
    other = router.postmaster
    if other is not None and is_postmaster(recipient.forward_path, decision, router.hostname):
        recipient = Recipient(other, notify=recipient.notify, orcpt=recipient.orcpt)
        request = request.to(other)
        decision = router.decide(request)
    return recipient, resolve(router, request, decision)


def submit(
    store: Store,
    basics: Basics,
    router: Router,
    addressed: Addressed,
    read: Callable[[Callable[[], Writer]], bytes | Writer],
    header: bytes,
) -> str:
    """Queue the message that `read` gives (its argument opens a file for a large one) for all of them.

    `header` is what a report shows of it.  Gives its queue id, "" where all of it is discarded.  Raises
    StoreError.
    """
    now = time.time()
    offset = time.localtime(now).tm_gmtoff
    drafts: list[Draft] = []
    contents: list[bytes | Writer] = []
    ident = queueing.new_id(now)
    parts = addressed.gathered.parts(addressed.envelope)
    try:
        for part in parts:
            name = queueing.new_id(now + len(drafts) * APART) if drafts else ident
            content = read(lambda name=name: store.stage(name))  # type: ignore[misc]
            contents.append(content)
            if not isinstance(content, bytes):
                content.sync()
            draft = accept.draft(
                name,
                part.envelope,
                Arrival(now),
                content,
                part.routes,
                hostname=basics.hostname,
                lifetime=basics.expire,
                warn=basics.warn,
                offset=offset,
                named=addressed.gathered.only,
            )
            draft.message.hold = part.hold
            drafts.append(draft)
        if addressed.gathered.notices:
            trace = drafts[0].message.trace if drafts else b""
            drafts += _reports(basics, router, addressed, ident, now, offset, trace + header)
        if drafts:
            for answer in store.commit(drafts, now=now):
                if answer.error is not None:
                    raise answer.error
    except BaseException:
        for content in contents:
            if not isinstance(content, bytes):
                content.discard()
        raise
    return ident if parts else ""


def _reports(
    basics: Basics, router: Router, addressed: Addressed, ident: str, now: float, offset: int, head: bytes
) -> list[Draft]:
    from mether.receive import report

    texts = rules = None
    if basics.loaded is not None:
        from mether.setup import reports

        texts, rules = reports.at_once(basics.loaded, lambda what: errors.complain("sendmail", what))
    terms = report.Terms(
        basics.hostname,
        router.postmaster or parse(basics.postmaster, utf8=True),
        lambda: os.urandom(12).hex(),
        basics.expire,
        offset,
        texts=texts,
        rules=rules,
    )
    made = report.drafts(
        terms,
        addressed.gathered.notices,
        addressed.ways,
        envelope=addressed.envelope,
        about=ident,
        arrival=Arrival(now),
        original=head,
        complete=False,
        ident=queueing.new_id,
    )
    return [draft for draft, _ in made]
