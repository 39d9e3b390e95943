"""Returning what a person chose, a batch at a time; `returns` says what holds between two of them."""

from __future__ import annotations

import sys

from mether.programs.errors import complain, nobody_reads
from mether.programs.returns_told import in_json, line

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

    from mether.programs.interrupt import Interrupt
    from mether.programs.returns import Wish
    from mether.queue.claim import Claim
    from mether.queue.message import Entry, Row
    from mether.queue.store import Select, Store
    from mether.runner.notify import Reporter
    from mether.runner.returning import Returned

TOGETHER: Final = 100
"""Claims settled in one transaction."""

LEASE: Final = 600.0
"""Seconds that a batch may take before its claims are another's."""


class Returning:
    """The work, a batch at a time."""

    def __init__(self, wish: Wish, store: Store, reporter: Reporter, start: float) -> None:
        self.wish = wish
        self.store = store
        self.reporter = reporter
        self.start = start
        self.done = 0

    def go(self, pages: Iterator[list[Entry]], ending: Interrupt) -> bool:
        """Return all of it, unless the end comes before; whether something could not be.  Raises StoreError,
        OSError."""
        left = False
        for page in pages:
            if ending.number is not None:
                break
            if nobody_reads():
                raise BrokenPipeError
            left |= self._batch(page)
        if ending.number is not None:
            complain(self.wish.program, f"interrupted; {self.done} returned, and the rest is as it was")
        return left

    def _batch(self, page: list[Entry]) -> bool:
        entries = {entry.message.ident: entry for entry in page}
        wanted = {ident: {row.number for row in self.wish.rows(entry)} for ident, entry in entries.items()}
        wanted = {ident: numbers for ident, numbers in wanted.items() if numbers}
        if not wanted:
            return False
        answers: dict[str, list[Returned]] = {}
        try:
            self._claim(frozenset(wanted), answers)
        finally:
            # Even where the next step failed, these are done.
            for ident in sorted(answers):
                self._print(entries[ident], len(wanted[ident]), answers[ident])
            sys.stdout.flush()
            if any(answer.reports for those in answers.values() for answer in those):
                self.store.wake()
        return self._left(wanted, answers)

    def _claim(self, idents: frozenset[str], answers: dict[str, list[Returned]]) -> None:
        """Claim and return these, as far as they can be had."""
        seen: set[tuple[str, Any]] = set()
        while idents:
            parked: list[Claim] = []
            cut: list[Claim] = []
            try:
                while (claims := self.store.claim(TOGETHER, self._now(), self._select(idents))) or cut:
                    fresh = [one for one in claims if (one.message.ident, one.route) not in seen]
                    parked += [one for one in claims if (one.message.ident, one.route) in seen]
                    seen.update((one.message.ident, one.route) for one in fresh)
                    fresh, cut = _whole(cut + fresh, more=len(claims) >= TOGETHER)
                    for claim, answer in zip(fresh, self._settle(fresh), strict=True):
                        if answer.open:
                            claim.content = None
                            parked.append(claim)
                        if answer.recipients or answer.trouble:
                            answers.setdefault(answer.message.ident, []).append(answer)
            finally:
                self.store.release(parked + cut)
            # One suspect is out at a time: where one had to be parked the others come after it.
            stuck = {one.message.ident for one in parked if one.suspect}
            idents = idents - stuck if stuck else frozenset()

    def _select(self, idents: frozenset[str]) -> Select:
        from mether.queue.selection import Select

        now = self._now()
        self.store.renew(now + LEASE, now)
        return Select(
            idents=idents,
            next_hop=self.wish.filter.next_hop,
            regardless=True,
            held=self.wish.held,
            unreleased=True,
        )

    def _settle(self, claims: list[Claim]) -> list[Returned]:
        """Return them together, or where the store refuses that each message by itself."""
        from mether.queue.store import NoSpace, StoreError
        from mether.runner import returning

        def back(some: list[Claim]) -> list[Returned]:
            return returning.give_back(
                self.store,
                some,
                self.reporter,
                self._now(),
                remark=self.wish.remark,
                recipient=self.wish.filter.recipient,
            )

        if not claims:
            return []
        try:
            return back(claims)
        except NoSpace:
            raise
        except StoreError:
            if len(claims) == 1:
                raise
        messages: dict[str, list[Claim]] = {}
        for claim in claims:
            messages.setdefault(claim.message.ident, []).append(claim)
        found: dict[int, Returned] = {}
        for those in messages.values():
            try:
                some = back(those)
            except NoSpace:
                raise
            except StoreError as error:
                some = [returning.Returned(claim.message, claim.route, []) for claim in those]
                for answer in some:
                    answer.trouble = str(error)
            found.update((claim.token, answer) for claim, answer in zip(those, some, strict=True))
        answers = [found[claim.token] for claim in claims]
        if all(answer.trouble for answer in answers):
            raise StoreError(answers[0].trouble)
        return answers

    def _now(self) -> float:
        """The time, never before the beginning: by theirs the reports are known not to be meant."""
        import time

        return max(self.start, time.time())

    def _print(self, entry: Entry, wanted: int, answers: list[Returned]) -> None:
        answers = [one for one in answers if one.given_up or one.kept is not None]
        if answers:
            self.done += any(one.given_up for one in answers)
            others = len(entry.rows) - wanted
            print(in_json(entry, answers, others) if self.wish.json else line(answers, others))

    def _left(self, wanted: dict[str, set[int]], answers: dict[str, list[Returned]]) -> bool:
        """Say of what was not returned why; whether it is to be tried again."""
        from mether.queue.selection import Filter

        rest: dict[str, set[int]] = {}
        for ident, numbers in wanted.items():
            those = answers.get(ident, [])
            done = set().union(*(one.given_up for one in those))
            if numbers - done and not any(one.kept is not None for one in those):
                rest[ident] = numbers - done
        if not rest:
            return False
        again = False
        still = {one.message.ident: one for one in self.store.entries(Filter(idents=frozenset(rest)))}
        for ident, numbers in rest.items():
            entry = still.get(ident)
            rows = [] if entry is None else [row for row in entry.rows if row.number in numbers]
            trouble = next((one.trouble for one in answers.get(ident, []) if one.trouble), "")
            if entry is None or not rows:
                what = "it left the queue meanwhile, and was not returned"
            elif trouble:
                what, again = trouble, True
            elif entry.message.hold is not None and not self.wish.held:
                what = "it was held meanwhile, and was not returned"
            else:
                what, again = _busy(entry, rows), True
            complain(self.wish.program, f"{ident}: {what}")
        return again


def _whole(claims: list[Claim], *, more: bool) -> tuple[list[Claim], list[Claim]]:
    """The claims of whole messages, and those of the last one where there may be `more` of it: what is
    returned together has one report.  Of a suspect there is no more before this one is settled."""
    if not more or not claims or claims[-1].suspect:
        return claims, []
    last = claims[-1].message.ident
    return (
        [one for one in claims if one.message.ident != last],
        [one for one in claims if one.message.ident == last],
    )


def _busy(entry: Entry, rows: list[Row]) -> str:
    if len(rows) == len(entry.rows):
        return "it is being tried at this moment, and was not returned"
    first = f"<{rows[0].recipient.forward_path}>"
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return f"{first}{more} being tried at this moment, and not returned"
