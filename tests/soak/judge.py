"""Every message of the soak held against where it had to end; pure.

Nothing lost, nothing twice (but for deliveries that a kill may have interrupted), nothing unexpected, each
report once, and no line in the log that has no reason here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from exchangers import Ledger
from expect import Message, expected

SHOWN = 40
"""Problems that are shown."""

EXPLAINED = (
    ('"event": "held"', "to be looked at"),
    ("unread: ", "No such file"),
    ("callahead: ", "Connection refused"),
    ("aliases: loop", "the alias is a loop"),
    ("the programs that aliases name get the rights of root",),
)
"""Warnings and errors in the log that have their reason, by words of theirs."""
AFTER_KILL = (*EXPLAINED, ('"event": "reclaimed"',))
"""Those after a process was killed with mail in hand."""


def problems(
    messages: Sequence[Message], ledger: Ledger, held: Iterable[str], *, killed: bool = False
) -> list[str]:
    """A line for each thing that is not as it should be; `held` are the recipients held at the end."""
    found: list[str] = [f"stray: {one}" for one in ledger.stray]
    waiting = set(held)
    known = {message.number for message in messages}
    for message in messages:
        found += [f"message {message.number}: {line}" for line in _one(message, ledger, waiting, killed)]
    found += [f"held: {one}" for one in sorted(waiting)]
    for number in (ledger.taken.keys() | ledger.reports.keys()) - known:
        found.append(f"message {number}: nobody sent it")
    return found


def _one(message: Message, ledger: Ledger, waiting: set[str], killed: bool) -> Iterable[str]:
    wanted = expected(message)
    for (_, end), reply, want in zip(message.ends, message.replies, wanted.replies, strict=False):
        if not reply.startswith(want):
            yield f"RCPT {message.at(end.address)}: {want} was expected, and {reply} came"
    taken = message.reply is not None and message.reply.startswith("250")
    nobody = all(not want.startswith("250") for want in wanted.replies)
    if message.reply is not None and not taken and not nobody:
        yield f"not taken: {message.reply}"
    # Where the answer was lost with the service, it may or may not have been taken.
    sure, may = taken, taken or message.reply is None
    held = {message.at(end.address) for _, end in message.ends if end.held}
    if wanted.held and sure and not held <= waiting:
        yield "it is not held"
    if may and wanted.held:
        waiting -= held
    came = ledger.taken.get(message.number, {})
    for address, (place, reverse) in wanted.deliveries.items():
        times = came.get(address, [])
        if not times and sure:
            yield f"lost: {address} at {place}"
        if len(times) > 1 and not killed:
            yield f"delivered {len(times)} times: {address}: {times}"
        for where, sender in times:
            if not (fnmatchcase(where, place) and fnmatchcase(sender, reverse)):
                yield f"{address}: not to {place} from <{reverse}>, but to {where} from <{sender}>"
    for address, times in came.items():
        if address not in wanted.deliveries or not may:
            yield f"delivered to {address}, which was not expected: {times}"
    yield from _reports(message, ledger, sure, may)


def _reports(message: Message, ledger: Ledger, sure: bool, may: bool) -> Iterable[str]:
    wanted = expected(message)
    came = ledger.reports.get(message.number, {})
    for key, status in wanted.reports.items():
        reader, address, action = key
        if key not in came:
            if sure:
                yield f"no report to {reader}: {address} {action} {status}"
            continue
        for got in came[key].values():
            if got != status and not got.startswith(f"{status}."):
                yield f"{address} {action}: status {status} was expected, and {got} came"
    for key, reports in came.items():
        if not may or (key not in wanted.reports and key not in wanted.maybe):
            yield f"a report that was not expected: {' '.join(key)} {list(reports.values())}"
        elif len(reports) > 1:
            yield f"{len(reports)} reports: {' '.join(key)}"


def complaints(log: Iterable[str], explained: Sequence[Sequence[str]] = EXPLAINED) -> list[str]:
    """The lines of a log in JSON that are no event of everyday life."""
    found = []
    for line in log:
        try:
            record = json.loads(line)
        except ValueError:
            found.append(line.rstrip())
            continue
        if record.get("level") == "info" or any(all(word in line for word in words) for words in explained):
            continue
        found.append(line.rstrip())
    return found
