"""What the directory store knows of one message, and the one JSON line that says it in ``ID.sh``.

A `Record` is a queued message as the directory store keeps it: the message's facts, a `Row` for each
recipient not yet settled, and three counters that only the store uses.  `write_state` gives the JSON
object that holds whatever a command line cannot say; `read_state` takes it and the recipients that
the script's lines named, and gives the record back.  A value that is the usual one is left out.

The line is pure ASCII without a line end, so that it is one comment line of a shell script whatever a
peer sent.  Writing needs no import of the json module, which costs a one-shot program 15 ms; reading
imports it when first used.  `read_state` raises ValueError when the object is not one that
`write_state` wrote.
"""

from __future__ import annotations

from mether.envelope import By, Envelope, Recipient
from mether.outcome import OURS, UNCERTAIN, Attempt, Outcome, Route
from mether.queue import transcript as transcript_
from mether.queue.message import Arrival, Message, Row
from mether.queue.transcript import kept
from mether.reply import Reply

try:
    from _json import encode_basestring_ascii as _string
except ImportError:  # an interpreter without that accelerator
    from json.encoder import encode_basestring_ascii as _string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from mether.address import Address, ReversePath


class ReportOf:
    """What ties a report to the settlement that enqueues it.

    The settlement numbered `settlement` of message `ident`, which enqueues `count` reports, removes the
    recipients `gone`; of the delay of those in `warned` (None: of none) the sender is told by it, and
    `warn_at` is the time of the next warning.
    """

    __slots__ = ("count", "gone", "ident", "settlement", "warn_at", "warned")

    def __init__(
        self,
        ident: str,
        settlement: int,
        count: int,
        gone: list[int],
        *,
        warned: list[int] | None = None,
        warn_at: float | None = None,
    ) -> None:
        self.ident = ident
        self.settlement = settlement
        self.count = count
        self.gone = gone
        self.warned = warned
        self.warn_at = warn_at


class Record:
    """A queued message as the directory store keeps it.

    `rows` are the recipients not yet settled, and the message's envelope lists the same.  `octets` is
    the size of the content; `claims` the highest claim number known; `reported` the numbers of the
    settlements that enqueued a report; `strikes` how often a process died
    with this message alone in hand; `key` the hash of its submission key; `report` is set in a report.
    """

    __slots__ = ("claims", "key", "message", "octets", "report", "reported", "rows", "strikes")

    def __init__(
        self,
        message: Message,
        rows: list[Row],
        *,
        octets: int,
        claims: int = 0,
        reported: list[int] | None = None,
        strikes: int = 0,
        key: str | None = None,
        report: ReportOf | None = None,
    ) -> None:
        self.message = message
        self.rows = rows
        self.octets = octets
        self.claims = claims
        self.reported = reported or []
        self.strikes = strikes
        self.key = key
        self.report = report

    def hops(self) -> dict[Route, list[Row]]:
        """The rows by next hop, in order of each next hop's first recipient."""
        hops: dict[Route, list[Row]] = {}
        for row in self.rows:
            hops.setdefault(row.route, []).append(row)
        return hops

    def remove(self, numbers: set[int]) -> None:
        """Take recipients out, of the rows and of the envelope."""
        self.rows = [row for row in self.rows if row.number not in numbers]
        self.message.envelope.recipients = [row.recipient for row in self.rows]

    def warn(self, numbers: Collection[int], warn_at: float | None) -> None:
        """The sender is told of the delay of these; once of all, the next warning is at `warn_at`."""
        for row in self.rows:
            row.warned = row.warned or row.number in numbers
        if all(row.warned for row in self.rows):
            self.message.warn_at = warn_at
            for row in self.rows:
                row.warned = False


def dump(value: object) -> str:
    """The value as JSON in ASCII, without spaces.  Raises ValueError for what JSON cannot say."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        value.encode()  # a lone surrogate is refused: UnicodeEncodeError is a ValueError
        return _string(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if value - value != 0:
            raise ValueError("a time that is infinite or no number")
        return float.__repr__(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(dump, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_string(key)}:{dump(item)}" for key, item in value.items()) + "}"
    raise ValueError(f"a {type(value).__name__} where JSON has none")


def load(text: str) -> Any:
    """The value of a JSON text.  Raises ValueError."""
    import json

    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def _plain(text: str) -> str:
    """The text with what UTF-8 cannot say replaced: an outcome that happened must not be refused."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def outcome_value(outcome: Outcome) -> list[object]:
    """An outcome as a JSON array."""
    reply = outcome.reply
    return [
        outcome.recipient,
        outcome.action,
        outcome.scope,
        _plain(outcome.remote_mta),
        outcome.at,
        outcome.marks,
        reply.code,
        reply.status,
        *map(_plain, reply.lines),
    ]


def outcome_of(value: list[Any]) -> Outcome:
    """The outcome of a JSON array.  Raises ValueError, TypeError."""
    number, action, scope, remote_mta, at, marks, code, status, *lines = value
    return Outcome(
        number,
        action,
        Reply(code, status, *lines),
        scope=scope,
        remote_mta=remote_mta,
        said=not marks & OURS,
        at=at,
        uncertain=bool(marks & UNCERTAIN),
    )


def attempt_value(attempt: Attempt) -> list[object]:
    """An attempt as a JSON array; the transcript is its last value, if there is one."""
    route = attempt.route
    value: list[object] = [
        transcript_.transport(route),
        route.next_hop,
        route.helo,
        attempt.started,
        attempt.seconds,
        _plain(attempt.remote_mta),
        attempt.uncertain,
        [outcome_value(outcome) for outcome in attempt.outcomes],
    ]
    if attempt.transcript:
        value.append(kept(attempt.transcript))
    return value


def attempt_of(value: list[Any]) -> Attempt:
    """The attempt of a JSON array.  Raises ValueError, TypeError."""
    transport, next_hop, helo, started, seconds, remote_mta, uncertain, outcomes, *transcript = value
    return Attempt(
        transcript_.route(transport, next_hop, helo),
        [outcome_of(outcome) for outcome in outcomes],
        started=started,
        seconds=seconds,
        remote_mta=remote_mta,
        uncertain=uncertain,
        transcript=str(transcript[0]) if transcript else "",
    )


def write_state(record: Record) -> str:
    """The JSON object of a record: all that the script's lines do not say."""
    message = record.message
    arrival, envelope = message.arrival, message.envelope
    state: dict[str, object] = {"id": message.ident, "at": arrival.at, "with": arrival.protocol}
    for name in ("address", "host", "helo", "login", "listener"):
        _put(state, name, getattr(arrival, name), "")
    state["size"] = message.size
    state["octets"] = record.octets
    state["expires"] = message.expires
    _put(state, "warn", message.warn_at, None)
    _put(state, "hold", message.hold, None)
    _put(state, "priority", message.priority, 0)
    _put(state, "body", envelope.body, "7BIT")
    _put(state, "declared", envelope.size, None)
    _put(state, "smtputf8", envelope.smtputf8, False)
    _put(state, "requiretls", envelope.requiretls, False)
    _put(state, "ret", envelope.ret, None)
    _put(state, "envid", envelope.envid, None)
    _put(state, "auth", envelope.auth, None)
    if envelope.by is not None:
        state["by"] = str(envelope.by)
    _put(state, "future", envelope.hold, None)
    _put(state, "release", message.release_at, 0.0)
    _put(state, "claims", record.claims, 0)
    _put(state, "reported", record.reported, [])
    _put(state, "strikes", record.strikes, 0)
    _put(state, "key", record.key, None)
    if (report := record.report) is not None:
        value = [report.ident, report.settlement, report.count, report.gone]
        state["report"] = value if report.warned is None else [*value, report.warn_at, report.warned]
    state["rcpt"] = [_row(row) for rows in record.hops().values() for row in rows]
    return dump(state)


def _row(row: Row) -> dict[str, object]:
    value: dict[str, object] = {"n": row.number, "due": row.next_attempt}
    _put(value, "tried", row.attempts, 0)
    _put(value, "orcpt", row.recipient.orcpt, None)
    _put(value, "notify", row.recipient.notify, None)
    _put(value, "pinned", row.pinned, False)
    _put(value, "suspect", row.suspect, False)
    _put(value, "via", row.route.via, "")
    _put(value, "mark", row.mark, None)
    if (moved := row.moved) is not None:
        value["moved"] = [moved.transport, moved.next_hop, moved.helo, moved.via]
    _put(value, "warned", row.warned, False)
    if row.last is not None:
        value["last"] = outcome_value(row.last)
    return value


def _put(state: dict[str, object], name: str, value: object, usual: object) -> None:
    if value != usual:
        state[name] = value


def read_state(
    text: str, reverse_path: ReversePath, hops: list[tuple[Route, list[Address]]], trace: bytes
) -> Record:
    """The record of a JSON object and of what the script's lines said.  Raises ValueError."""
    state = load(text)
    try:
        return _read(state, reverse_path, hops, trace)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"the state line lacks what it should hold ({error})") from None


def _read(
    state: Any, reverse_path: ReversePath, hops: list[tuple[Route, list[Address]]], trace: bytes
) -> Record:
    places = [(route, path) for route, paths in hops for path in paths]
    if len(places) != len(state["rcpt"]):
        raise ValueError("the state line and the smtp lines differ in their recipients")
    rows = []
    for (route, path), value in zip(places, state["rcpt"], strict=True):
        last = value.get("last")
        if "via" in value:
            route = Route(route.transport, route.next_hop, route.helo, _text(value["via"]))
        moved = value.get("moved")
        rows.append(
            Row(
                _number(value["n"]),
                Recipient(path, orcpt=value.get("orcpt"), notify=value.get("notify")),
                route,
                attempts=_number(value.get("tried", 0)),
                next_attempt=_time(value["due"]),
                last=None if last is None else outcome_of(last),
                mark=value.get("mark"),
                moved=None if moved is None else Route(*map(_text, moved)),
                pinned=value.get("pinned", False),
                suspect=value.get("suspect", False),
                warned=value.get("warned", False),
            )
        )
    rows.sort(key=lambda row: row.number)
    envelope = Envelope(
        reverse_path,
        [row.recipient for row in rows],
        body=state.get("body", "7BIT"),
        size=state.get("declared"),
        smtputf8=state.get("smtputf8", False),
        requiretls=state.get("requiretls", False),
        ret=state.get("ret"),
        envid=state.get("envid"),
        auth=state.get("auth"),
        by=By.of(state["by"]) if "by" in state else None,
        hold=state.get("future"),
        priority=state.get("priority", 0),
    )
    arrival = Arrival(
        _time(state["at"]),
        state["with"],
        address=state.get("address", ""),
        host=state.get("host", ""),
        helo=state.get("helo", ""),
        login=state.get("login", ""),
        listener=_text(state.get("listener", "")),
    )
    warn_at = state.get("warn")
    message = Message(
        state["id"],
        envelope,
        arrival,
        trace=trace,
        size=_number(state["size"]),
        expires=_time(state["expires"]),
        warn_at=None if warn_at is None else _time(warn_at),
        hold=state.get("hold"),
        release_at=_time(state.get("release", 0.0)),
    )
    report = state.get("report")
    return Record(
        message,
        rows,
        octets=_number(state["octets"]),
        claims=_number(state.get("claims", 0)),
        reported=[_number(number) for number in state.get("reported", [])],
        strikes=_number(state.get("strikes", 0)),
        key=state.get("key"),
        report=None if report is None else _report(*report),
    )


def _report(ident: str, settlement: int, count: int, gone: list[int], *warning: Any) -> ReportOf:
    return ReportOf(
        ident,
        _number(settlement),
        _number(count),
        [_number(number) for number in gone],
        warned=[_number(number) for number in warning[1]] if warning else None,
        warn_at=warning[0] if warning else None,
    )


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"{value!r} where the state line must have a whole number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} where the state line must have a text")
    return value


def _time(value: Any) -> float:
    if not isinstance(value, int | float):
        raise ValueError(f"{value!r} where the state line must have a time")
    return value
