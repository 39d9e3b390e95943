"""A message on its way into the queue: the drafts that become of it, and what is told of them.

One transaction may come to several messages (`receive.gathered`): what goes to a mailing list, or is held, is
one of its own, with content and a queue id of its own.  The first has the id that the client is told.
"""

from __future__ import annotations

from mether.event import mail as event
from mether.receive import accept, copies

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from mether.envelope import Envelope
    from mether.outcome import Action
    from mether.queue.content import Writer
    from mether.queue.message import Arrival, Draft
    from mether.queue.store import Committed
    from mether.receive.gathered import Part
    from mether.receive.intake import Intake
    from mether.receive.named import Named
    from mether.receive.reception import Reception
    from mether.reply import Reply


APART: Final = 1e-5
"""Seconds between the ids of parts: an id is the time, with few random bits (`queue.ident`)."""


class Coming:
    """A message whose content begins: its `ident`, and the `parts` it goes in; none when it is discarded."""

    __slots__ = ("_envelope", "_idents", "_kinds", "_named", "_only", "_reception", "ident", "parts")

    def __init__(self, reception: Reception, ident: str, envelope: Envelope | None, named: Named) -> None:
        self._reception = reception
        self._envelope = envelope
        self._named = named
        self._only = named.gathered.only
        self.ident = ident
        self.parts: list[Part] = [] if envelope is None else named.gathered.parts(envelope)
        self._kinds: list[Action] = []
        self._idents = [ident]
        if len(self.parts) > 1:
            now = reception.clock()
            self._idents += [reception.ident(now + number * APART) for number in range(1, len(self.parts))]

    def stage(self, ident: str) -> Writer:
        """A writer in the spool for the content, or one for each part.  Raises StoreError."""
        stage = self._reception.stage
        return stage(ident) if len(self._idents) == 1 else copies.Copies(stage, self._idents)

    def drafts(self, arrival: Arrival, intake: Intake) -> list[Draft]:
        """The messages to be queued, and behind them the reports that are owed at once."""
        reception = self._reception
        drafts: list[Draft] = []
        for ident, part, content in zip(
            self._idents, self.parts, copies.of(intake.content, len(self.parts)), strict=False
        ):
            draft = accept.draft(
                ident,
                part.envelope,
                arrival,
                content,
                part.routes,
                hostname=reception.hostname,
                lifetime=reception.lifetime,
                warn=reception.warn,
                offset=reception.offset(),
                named=self._only,
            )
            draft.message.hold = part.hold
            drafts.append(draft)
        if self._named.gathered.notices:
            for report, kind in self._reports(arrival, intake, drafts[0].message.trace if drafts else b""):
                drafts.append(report)
                self._kinds.append(kind)
        return drafts

    def _reports(self, arrival: Arrival, intake: Intake, trace: bytes) -> list[tuple[Draft, Action]]:
        """What a list's owner, or the sender, is told now."""
        from mether.receive import report

        reception = self._reception
        assert self._envelope is not None
        head, complete = intake.head
        terms = report.Terms(
            reception.hostname,
            reception.postmaster,
            reception.boundary,
            reception.lifetime,
            reception.offset(),
            pace=reception.pace,
            texts=reception.texts,
            rules=reception.rules,
        )
        return report.drafts(
            terms,
            self._named.gathered.notices,
            self._named.ways,
            envelope=self._envelope,
            about=self.ident,
            arrival=arrival,
            original=trace + head,
            complete=complete,
            ident=reception.ident,
        )

    def ended(self, drafts: Sequence[Draft], answers: Sequence[Committed]) -> Reply | None:
        """The drafts were answered: tell the log, and give why not all of them are queued, or None."""
        failure: Reply | None = None
        for number, (draft, answer) in enumerate(zip(drafts, answers, strict=True)):
            message = draft.message
            arrival, envelope = message.arrival, message.envelope
            if answer.error is not None:
                event.error(str(answer.error), ident=answer.ident)
                if not isinstance(draft.content, bytes):
                    draft.content.discard()
                failure = failure or answer.error.reply
            elif number >= len(self.parts):
                event.reported(self.ident, answer.ident, self._kinds[number - len(self.parts)])
            else:
                event.queued(
                    answer.ident,
                    envelope.reverse_path,
                    len(envelope.recipients),
                    message.size,
                    address=arrival.address,
                    host=arrival.host,
                    protocol=arrival.protocol,
                    helo=arrival.helo,
                    login=arrival.login,
                )
                if message.hold is not None:
                    event.held(answer.ident, message.hold)
        return failure
