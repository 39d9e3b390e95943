"""The queue's contract: the verbs that every store implements, what they are asked and what they answer.

A message is queued at one instant: when the transaction of its batch commits.  Before it nothing
exists; after it the message stays until every recipient is settled.  `Store.apply` is that
transaction: drafts that become messages, settlements that end or reschedule recipients, and what was
learned of next hops, in one sync.  `commit` and `settle` are `apply` with one kind of work.

**Owners and fencing.**  A `Store` object belongs to one owner, a working process.  `claim` (and a
draft with `claim` set) gives its owner a fenced right to try recipients: a `Claim` carries owner and
token, and a settlement is applied only where both still match.  What is refused is returned, and its
reports are not enqueued.  A settlement of several claims is applied whole or refused whole; those that
are still out then may be settled one by one.  An owner that stops renewing loses its claims to the
others; a claim taken over that way is written down as an attempt whose outcome is unknown, and its
message becomes a suspect; unless its owner tries nothing (`Store.runs`).

**How it fails.**  Every verb may raise `StoreError`: `NoSpace` (a full disk: 452 4.3.1), `Damaged`
(what is stored cannot be read), or the plain one (any other trouble: 451 4.3.0).  A verb that raised
changed nothing.  One bad draft of a batch fails alone, by an answer with `error` set.

The values that go in and out are in `queue.message`, `queue.claim`, `queue.selection` and `queue.figures`.

A store is used by one thread at a time, but for `stage`, `wait` and `fileno`, which another one (the event
loop's) may call meanwhile; `content` objects may be read in any.  Times are Unix seconds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from mether.queue.selection import Filter as Filter
from mether.queue.selection import Move as Move
from mether.queue.selection import Select as Select
from mether.queue.selection import names as names
from mether.reply import Reply

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from mether.outcome import Attempt, Route
    from mether.queue.claim import Claim, Hop, Settlement
    from mether.queue.content import Content, Writer
    from mether.queue.figures import Live, Shape, Summary, Totals
    from mether.queue.message import Draft, Entry
    from mether.queue.selection import Action


class StoreError(Exception):
    """The queue cannot do this now; str() says what and where, for a person and the log."""

    reply = Reply(451, "4.3.0", "the queue is not available now; please try again later")


class NoSpace(StoreError):
    """The disk (or a quota) is full."""

    reply = Reply(452, "4.3.1", "not enough storage for this message now; please try again later")


class NotAllowed(StoreError):
    """The queue is there, and this user may not use it."""

    sysexit = 77


class Busy(StoreError):
    """Another process takes the claims of this queue, and only one can."""


class Absent(StoreError):
    """There is no queue."""

    sysexit = 66


class NoUrl(StoreError):
    """What should name a queue names none."""

    sysexit = 64


class Damaged(StoreError):
    """Something stored cannot be read; nothing was deleted."""


class Committed:
    """The answer to one draft.

    `ident` is its queue id, or with `known` the id of the message its submission key already named.
    `claims` are the claims of a draft that asked for them, one per next hop.  `error` is set when
    this draft alone was not queued.
    """

    __slots__ = ("claims", "error", "ident", "known")

    def __init__(
        self,
        ident: str,
        claims: list[Claim] | None = None,
        *,
        known: bool = False,
        error: StoreError | None = None,
    ) -> None:
        self.ident = ident
        self.claims = claims or []
        self.known = known
        self.error = error


class Applied:
    """What `apply` did: one answer per draft in order, the settlements that were `refused`, and the ids of
    the messages that are `gone`, every recipient being settled."""

    __slots__ = ("answers", "gone", "refused")

    def __init__(
        self, answers: list[Committed], refused: list[Settlement], gone: Collection[str] = ()
    ) -> None:
        self.answers = answers
        self.refused = refused
        self.gone = gone


class Store(ABC):
    """The verbs.  Every store passes tests/store/contract.py, which says the same in examples."""

    owner: int
    """This process among the owners; never used twice."""

    single_runner = False
    """Whether only one process may take claims at a time (the directory store)."""

    runs = True
    """Whether this owner tries what it claims, and is counted among the runners; set before it is first used.

    One that tries nothing (who returns mail because a person says so) can have delivered nothing: what it has
    in hand when it dies is as it was before.
    """

    receives = False
    """Whether this owner accepts mail, and is counted among the receivers; set before it is first used."""

    @abstractmethod
    def stage(self, ident: str) -> Writer:
        """A writer for content too large for memory.  Raises StoreError."""

    def turn(self) -> None:
        """Wait until no other process writes, and let none before the next `apply`, which follows at once.

        What has come by then goes into one transaction.  Never raises: `apply` says what is wrong.
        """
        return

    @abstractmethod
    def apply(
        self,
        drafts: Sequence[Draft] = (),
        settlements: Sequence[Settlement] = (),
        hops: Sequence[Hop] = (),
        *,
        now: float,
    ) -> Applied:
        """Queue drafts, apply settlements, remember next hops: one transaction, one sync.

        All of it is durable when this returns.  Raises StoreError, and then nothing was done.
        """

    def commit(self, drafts: Sequence[Draft], *, now: float) -> list[Committed]:
        """Queue drafts; an answer for each.  Raises StoreError."""
        return self.apply(drafts, now=now).answers

    def settle(self, settlements: Sequence[Settlement], *, now: float) -> list[Settlement]:
        """Apply settlements; returns those refused because the claim was lost.  Raises StoreError."""
        return self.apply((), settlements, now=now).refused

    @abstractmethod
    def claim(self, limit: int, now: float, select: Select | None = None) -> list[Claim]:
        """Take up to `limit` claims, next hops in order of their earliest due, fair between them.

        Of what is due at one next hop the highest priority comes first, then what was due earliest.  A
        `select` narrows or widens that; None is a plain Select.

        A next hop with failures behind it gives one claim at a time (a probe); one message that is a
        suspect is claimed at a time, among all owners.  Raises StoreError.
        """

    @abstractmethod
    def renew(self, until: float, now: float) -> bool:
        """Stay an owner until then; False when this owner had been taken for dead.  Raises StoreError."""

    @abstractmethod
    def live(self, now: float) -> Live:
        """Who shares the work: the owners that are alive, this one counted as `runs` and `receives` say.

        Either figure may be 0.  Raises StoreError.
        """

    @abstractmethod
    def marked(self) -> dict[int, str]:
        """The claims of this owner on which a person left a mark meanwhile, as token and "hold",
        "remove" or "move".

        It need not try them any more: `release` obeys the mark, as `settle` does.  Raises StoreError.
        """

    @abstractmethod
    def release(self, claims: Sequence[Claim]) -> None:
        """Give claims back untried: no attempt is counted, they are due as before.  Raises StoreError."""

    @abstractmethod
    def content(self, ident: str) -> Content:
        """The content of a queued message.  Raises StoreError (Damaged, or plain when it is not there)."""

    @abstractmethod
    def entries(self, filter: Filter, after: str = "", limit: int = 1000) -> list[Entry]:
        """Up to `limit` entries in order of id, those after id `after`.  Raises StoreError."""

    def count(self, most: int) -> int:
        """How many messages are queued, counted up to `most`.  Raises StoreError."""
        return len(self.entries(Filter(), limit=most))

    @abstractmethod
    def attempts(self, ident: str) -> list[Attempt]:
        """What was tried for a queued message, oldest first.  Raises StoreError.

        Of the transcripts at each next hop the last is there, as `queue.transcript.kept` leaves it.
        """

    @abstractmethod
    def hops(self, like: str | None = None) -> list[Hop]:
        """What is known of the next hops that have failures behind them or are suspended; with `like` (see
        queue.glob) of all known ones that a person may mean by that.  Raises StoreError."""

    @abstractmethod
    def suspend(self, routes: Sequence[Route], *, reason: str, until: float | None) -> None:
        """Let nothing be tried at these next hops, known or not, until then (None: until `resume`).

        What is in hand goes on; expiry and warnings come all the same.  `apply` never changes this.
        Raises StoreError.
        """

    @abstractmethod
    def resume(self, routes: Sequence[Route], *, now: float) -> int:
        """Let these next hops be tried again, each at its own time; how many were suspended at `now`.

        One whose suspension is over by itself is not counted.  Raises StoreError.
        """

    def summary(self) -> Summary:
        """Messages by status.  Raises StoreError."""
        from mether.queue import figures

        return figures.summary(self._everything(Filter()))

    def shape(self, filter: Filter, edges: Sequence[float]) -> list[Shape]:
        """Recipients of what matches, by next hop and arrival: see queue.figures.  Raises StoreError."""
        from mether.queue import figures

        return figures.shape(self._everything(filter), edges)

    @abstractmethod
    def totals(self) -> Totals | None:
        """Running totals over all processes; None where the store keeps none.  Raises StoreError."""

    def _everything(self, filter: Filter) -> Iterator[Entry]:
        after = ""
        while page := self.entries(filter, after):
            yield from page
            after = page[-1].message.ident

    @abstractmethod
    def change(
        self,
        filter: Filter,
        action: Action,
        *,
        now: float,
        reason: str = "",
        move: Move | None = None,
    ) -> int:
        """Change what matches; returns how many messages that changed.  Raises StoreError.

        hold: not tried until released; what is held already keeps its reason.  release: no longer held, and
        what may have been delivered is tried all the same: no recipient's `last` is uncertain any more.
        retry: due at `now` (but never before `Message.release_at`), and its next hops too, but for those that
        are suspended; what is held is left alone.  remove: forgotten without a report.  move: the recipients
        that match go to the next hops that `move` says, due at `now` (or when released), but for those whose
        next hop is an alias's file or program.  On a claimed recipient hold, remove and move leave a mark,
        obeyed when it is settled.  See `selection.changes` and `selection.moves`.
        """

    @abstractmethod
    def advance(self, times: Mapping[str, tuple[float, float]]) -> int:
        """Have what waits for too long be due sooner; returns how many messages.  Raises StoreError.

        `times` gives (beyond, at) by id: the message's recipients whose next attempt is later than `beyond`
        are due at `at`.  What is claimed stays as it is, and so does what is known of next hops.
        """

    def start(self, domain: str, *, now: float, limit: int) -> int:
        """Make due what waits for the next hop `domain`, as "retry" does; how many messages wait there.

        With ``@`` in front it is that domain and all below it (RFC 1985 section 5.3); a port in a next hop's
        name does not count.  At most `limit` messages are counted and made due: what is beyond keeps its own
        time.  What is held, being tried or not to be released yet is left alone.  Raises StoreError.
        """
        idents: list[str] = []
        after = ""
        while len(idents) < limit and (page := self.entries(Filter(), after)):
            after = page[-1].message.ident
            idents += [
                entry.message.ident
                for entry in page
                if entry.message.hold is None
                and entry.message.release_at <= now
                and any(row.owner is None and names(domain, row.route.next_hop) for row in entry.rows)
            ]
        del idents[limit:]
        if idents:
            self.change(Filter(idents=frozenset(idents)), "retry", now=now)
        return len(idents)

    @abstractmethod
    def next_due(self, now: float) -> float | None:
        """When `claim` will next find something that is not claimed, or None when nothing waits."""

    @abstractmethod
    def wake(self) -> int:
        """Tell every other working process that there is work; returns how many were told."""

    @abstractmethod
    def wait(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a `wake` from another process; True when one came."""

    @abstractmethod
    def fileno(self) -> int:
        """A descriptor that is readable when `wait` would return True at once, for an event loop."""

    @abstractmethod
    def check(self) -> Iterator[str]:
        """Look over everything stored; yields a line for each thing that is wrong."""

    @abstractmethod
    def sweep(self, now: float) -> int:
        """Remove files that no row names and whose owner is dead; returns how many."""

    @abstractmethod
    def close(self, *, leave: Collection[int] = ()) -> None:
        """Release what is claimed and let go.  Never raises.

        The claims with the tokens `leave` are not released, as they may have been delivered: the next owner
        takes them over as those of a dead one.
        """
