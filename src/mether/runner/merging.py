"""Reports that had to wait go as one message for each reader.

A report above the hourly limit waits in the queue until the next hour (`queue.pace`, `receive.report`).  When
the first of a reader's comes to be tried, all that wait for the same reader are claimed too and go as one
(`content.merged`), MOST of them or OCTETS of content at a time; each such message counts as one report of
its hour, and above the limit they wait on.  Nothing in the queue changes by that: what comes of the one
message is the outcome of each report in it, and whatever fails or dies on the way leaves them queued.

A next hop that refuses the one message for good may have refused it for being what it is: too large, or with
too much in it that it does not like.  Then nothing is said of the reports in it, which are tried again in
smaller messages, down to each alone.

Only those with the same recipients at the same next hop, and sent in the same way, are merged.  What is
suspected of having been delivered is tried alone, as ever.
"""

from __future__ import annotations

from mether.content import merged
from mether.event import mail as event
from mether.outcome import Outcome
from mether.queue.claim import Claim, Decision
from mether.queue.content import in_memory
from mether.queue.message import Message
from mether.queue.pace import address
from mether.queue.selection import Select
from mether.queue.store import StoreError
from mether.relay import failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence
    from typing import Final

    from mether.content.classify import Rules
    from mether.outcome import Route
    from mether.runner.asking import Ask
    from mether.runner.hand import Hand
    from mether.runner.notify import Reporter

    Key = tuple[Route, tuple[str, ...], str, bool, bool]

MOST: Final = 500
"""Reports in one message."""
OCTETS: Final = 1 << 20
"""Octets of their content in it."""
PART: Final = 8
"""How many times less the next message for a reader has when one was refused."""
READERS: Final = 1000
"""Readers of whom it is remembered how much was refused, those last that were."""


class Merging:
    """The reports of one runner that wait for others.

    `sent` has what is in the messages that are on their way, by the token of the claim that a transport has.
    `begin` sends a claim that was taken here on its way, which ends in `takes`; `offer` hands one to its
    transport, `put_off` settles one untried; `faulted` is told what went wrong between.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        ask: Ask,
        hand: Hand,
        reporter: Reporter,
        clock: Callable[[], float],
        begin: Callable[[Claim, float], None],
        offer: Callable[[Claim], None],
        put_off: Callable[[Claim, list[Decision]], None],
        faulted: Callable[[Claim, Exception], None],
    ) -> None:
        self._loop = loop
        self._ask = ask
        self._hand = hand
        self._reporter = reporter
        self._clock = clock
        self._begin = begin
        self._offer = offer
        self._put_off = put_off
        self._faulted = faulted
        self._come: dict[str, list[Claim]] = {}
        self._most: dict[str, int] = {}  # octets for a reader whose next hop refused more
        self.sent: dict[int, list[Claim]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt(self, reporter: Reporter) -> None:
        """Merge by this from now on."""
        self._reporter = reporter

    def takes(self, claim: Claim) -> bool:
        """Whether this is a report that waited; it is then in hand here until it goes with the others."""
        message, pace = claim.message, self._reporter.pace
        if (
            not message.release_at
            or pace is None
            or message.envelope.reverse_path is not None
            or message.envelope.hold is not None
            or claim.suspect
        ):
            return False
        reader = pace.reader(message.ident)
        if reader is None:
            return False
        if reader in self._come:
            self._come[reader].append(claim)
            return True
        self._come[reader] = [claim]
        task = self._loop.create_task(self._gather(reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def parts(self, claims: Sequence[Claim]) -> list[Claim]:
        """These claims, as they were taken: for a message of ours, those of the reports in it."""
        found: list[Claim] = []
        for claim in claims:
            found += self.sent.pop(claim.token, (claim,))
        return found

    def share(self, claim: Claim, outcomes: Sequence[Outcome]) -> list[tuple[Claim, list[Outcome]]]:
        """What came of a claim: for a message of ours, of each of the reports in it."""
        members = self.sent.pop(claim.token, None)
        if members is None:
            return [(claim, list(outcomes))]
        pace = self._reporter.pace
        rules = self._reporter.rules
        if len(members) > 1 and any(_for_itself(outcome, rules) for outcome in outcomes):
            outcomes = [
                outcome.like(action="delayed") if _for_itself(outcome, rules) else outcome
                for outcome in outcomes
            ]
            if pace is not None and (reader := pace.reader(claim.message.ident)) is not None:
                self._refused(reader, sum(member.message.size for member in members))
        if pace is not None and all(outcome.action != "delayed" for outcome in outcomes):
            pace.forget(member.message.ident for member in members)
        return [(member, _its(member, outcomes)) for member in members]

    def _refused(self, reader: str, octets: int) -> None:
        """The next hop did not take so much in one message for this reader."""
        self._most.pop(reader, None)
        self._most[reader] = octets // PART
        while len(self._most) > READERS:
            del self._most[next(iter(self._most))]

    async def _gather(self, reader: str) -> None:
        """Claim what else waits for the reader, and send all that has come by then."""
        try:
            await self._claim(reader)
            claims = self._come.pop(reader)
        except Exception as error:
            for claim in self._come.pop(reader):
                self._faulted(claim, error)
            return
        groups: dict[Key, list[Claim]] = {}
        for claim in claims:
            groups.setdefault(_key(claim), []).append(claim)
        for group in groups.values():
            for some in _cut(group, self._most.get(reader, OCTETS)):
                try:
                    self._send(reader, some)
                except Exception as error:
                    for claim in some:
                        self.sent.pop(claim.token, None)
                        self._faulted(claim, error)

    async def _claim(self, reader: str) -> None:
        pace, now = self._reporter.pace, self._clock()
        assert pace is not None
        have = {claim.message.ident for claim in self._come[reader]}
        idents = frozenset(pace.waiting(reader, now, MOST)) - have
        if not idents:
            return
        select = Select(idents=idents, regardless=True)
        limit = min(len(idents), self._hand.limit(select))
        if limit <= 0:
            return
        try:
            claims = await self._ask(lambda store: store.claim(limit, now, select))
        except StoreError as error:
            event.error(f"cannot claim the other reports that wait for {address(reader)}: {error}")
            return
        for claim in claims:
            self._hand.take([claim])
            try:
                self._begin(claim, now)
            except Exception as error:
                self._faulted(claim, error)

    def _send(self, reader: str, claims: list[Claim]) -> None:
        """Send these as one, or have them wait for the next hour."""
        pace, now = self._reporter.pace, self._clock()
        assert pace is not None
        later = pace.allow(reader, now)
        if later > now:
            pace.wait(reader, [claim.message.ident for claim in claims], later)
            for claim in claims:
                self._put_off(claim, [Decision(one.number, None, later) for one in claim.pending])
            return
        if len(claims) == 1:
            self.sent[claims[0].token] = claims
            self._offer(claims[0])
            return
        contents: list[bytes] = []
        whole: list[Claim] = []
        wrong: list[tuple[Claim, Exception]] = []
        for claim in claims:
            try:
                contents.append(_read(claim))
                whole.append(claim)
            except (OSError, StoreError) as error:
                wrong.append((claim, error))
        if len(whole) > 1:
            one = self._merged(whole, contents, now)
            self.sent[one.token] = whole
            event.merged([claim.message.ident for claim in whole], address(reader))
            self._offer(one)
        elif whole:
            self.sent[whole[0].token] = whole
            self._offer(whole[0])
        for claim, trouble in wrong:  # it keeps nobody else from being told
            self._faulted(claim, trouble)

    def _merged(self, claims: list[Claim], contents: list[bytes], now: float) -> Claim:
        """The claim to try for these."""
        reporter, lead = self._reporter, claims[0]
        data = merged.merge(
            contents,
            hostname=reporter.hostname,
            postmaster=str(reporter.postmaster),
            ident=lead.message.ident,
            boundary=reporter.boundary(),
            at=now,
            offset=reporter.offset(),
            texts=reporter.texts,
        )
        its = lead.message
        message = Message(
            its.ident,
            its.envelope,
            its.arrival,
            trace=its.trace,
            size=len(its.trace) + len(data),
            expires=its.expires,
            release_at=its.release_at,
        )
        return Claim(
            message,
            lead.route,
            lead.pending,
            owner=lead.owner,
            token=lead.token,
            settlement=lead.settlement,
            content=in_memory(data),
            hop=lead.hop,
            due=lead.due,
        )


def _read(claim: Claim) -> bytes:
    """The whole content.  Raises OSError, StoreError."""
    assert claim.content is not None, "it was fetched before the claim came here"
    return claim.content.read()


def _key(claim: Claim) -> Key:
    """What claims that go as one have in common."""
    its = claim.message.envelope
    readers = tuple(str(one.recipient.forward_path) for one in claim.pending)
    return claim.route, readers, its.body, its.smtputf8, its.requiretls


def _cut(claims: list[Claim], most: int) -> list[list[Claim]]:
    """The claims in groups of at most so many octets, for one message each."""
    groups: list[list[Claim]] = []
    octets = 0
    for claim in claims:
        octets += claim.message.size
        if not groups or len(groups[-1]) >= MOST or octets > most:
            groups.append([])
            octets = claim.message.size
        groups[-1].append(claim)
    return groups


def _for_itself(outcome: Outcome, rules: Rules | None) -> bool:
    """Whether a message was refused for what it is: not its reader, nor all mail of that host."""
    if outcome.action == "failed" and outcome.scope == "transaction":
        return True
    return failure.kind(outcome, rules) == "size"


def _its(claim: Claim, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The same outcomes, of the recipients of this claim."""
    return [outcome.like(recipient=one.number) for one, outcome in zip(claim.pending, outcomes, strict=True)]
