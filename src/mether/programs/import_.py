"""``mether import --from SOURCE DIR``: take the mail of another program's queue over into ours.

Each message is committed as it is read, under a submission key made of its source and its id there, which is
remembered for a month: an import that was cut short is run again, and takes what it had not come to.  The
other queue is only read; it is for a person to remove it.  Where mail goes is decided by the routes of our
configuration, aliases included, and an address that they would refuse goes where they send it all the same:
its sender was promised an answer, and gets it from there.

A line is printed for each message; what cannot be read is told on standard error, a line each.  The status is
65 then, and 75 where another try may do (the other program works on it, a table cannot be read, the disk is
full).
"""

from __future__ import annotations

import os
import time

from mether.programs.errors import DATAERR, TEMPFAIL, Failure, complain
from mether.programs.options import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from mether.importing.found import Found, Unreadable
    from mether.programs.options import Parsed
    from mether.queue.message import Draft
    from mether.queue.store import Store
    from mether.receive.gathered import Part
    from mether.routing.router import Router
    from mether.setup.config import Config

SOURCES: Final = ("postfix", "exim", "nullmailer", "dma", "opensmtpd")
IMPORTED: Final = "imported, on hold"
"""Why a message is held that is imported with --hold, and that nothing else holds."""
REMEMBERED: Final = 30 * 86400.0
"""Seconds for which an imported message is known."""


def work(options: Parsed, operands: list[str], load: Callable[[], Config]) -> int:
    """The command; its exit status.  Raises UsageError, Failure, ConfigError, StoreError."""
    source = options.text("from")
    if source is None:
        raise UsageError(f"import needs --from {', '.join(SOURCES[:-1])} or {SOURCES[-1]}")
    if len(operands) != 1:
        raise UsageError("import needs one DIR, the other program's queue")
    directory = operands[0]
    config = load()
    from mether.importing.found import Wrong
    from mether.importing.running import running

    if not os.path.isdir(directory):
        raise Failure(66, f"{directory}: no such directory")
    why = None if options.flag("force") else running(source, directory)
    if why is not None:
        raise Failure(
            TEMPFAIL, f"{source} seems to be running on {directory} ({why}): stop it first, or --force"
        )
    found = _reader(source)(directory, config.service.hostname)
    run = Import(config, source, dry=options.flag("dry-run"), hold=options.flag("hold"))
    try:
        return run.take(found)
    except Wrong as error:
        raise Failure(66, str(error)) from None
    except OSError as error:
        raise Failure(66, f"{error.filename or directory}: {error.strerror or error}") from None
    finally:
        run.close()


def _reader(source: str) -> Callable[[str, str], Iterator[Found | Unreadable]]:
    if source == "postfix":
        from mether.importing.postfix import read
    elif source == "exim":
        from mether.importing.exim import read
    elif source == "nullmailer":
        from mether.importing.nullmailer import read
    elif source == "dma":
        from mether.importing.dma import read
    else:
        from mether.importing.opensmtpd import read
    return read


class Import:
    """One import; with `dry` nothing is queued, with `hold` what is queued is held."""

    def __init__(self, config: Config, source: str, *, dry: bool = False, hold: bool = False) -> None:
        self._config = config
        self._source = source
        self._hold = hold
        self._router: Router = config.router()
        self._store: Store | None = None
        self._taken = self._known = self._unread = self._passing = 0
        if not dry:
            from mether.queue.open import open_store

            self._store = open_store(config.queue.spool, now=time.time())
            self._store.runs = self._store.receives = False

    def take(self, found: Iterator[Found | Unreadable]) -> int:
        """Take all of it; the exit status.  Raises StoreError, OSError, Wrong."""
        from mether.importing.found import Unreadable

        for one in found:
            if isinstance(one, Unreadable):
                self._complain(one.place, one.why, passing=one.passing)
            else:
                self._message(one)
        if self._store is not None and self._taken:
            self._store.wake()
        known = f", {self._known} were imported before" if self._known else ""
        would = "would be imported" if self._store is None else "imported"
        left = self._unread + self._passing
        print(f"{self._taken} {would}{known}{f', {left} could not be read' if left else ''}")
        return DATAERR if self._unread else TEMPFAIL if self._passing else 0

    def close(self) -> None:
        """Let go of the queue."""
        if self._store is not None:
            self._store.close()

    def _complain(self, place: str, why: str, *, passing: bool = False) -> None:
        from mether.importing.found import shown

        complain("mether", f"{shown(place)}: {shown(why)}")
        if passing:
            self._passing += 1
        else:
            self._unread += 1

    def _message(self, one: Found) -> None:
        from mether.importing.found import Wrong, trouble
        from mether.programs.listing import clean
        from mether.routing.source import TableError

        for problem in one.problems:
            self._complain(one.place, problem)
        try:
            answers = self._queue(one)
        except TableError as error:
            self._complain(one.place, f"cannot tell where it is to go: {error}", passing=True)
            return
        except Failure as error:
            self._complain(one.place, str(error))
            return
        except (OSError, Wrong) as error:
            self._complain(one.place, trouble(error))
            return
        if answers is None:
            self._known += 1
            return
        self._taken += 1
        sender = "<>" if one.reverse_path is None else one.reverse_path
        many = len(one.recipients)
        print(
            clean(f"{' '.join(answers) or 'would import'} {one.place}: {sender}, {many} recipient")
            + ("" if many == 1 else "s")
            + (f", {clean(one.hold)}" if one.hold else "")
        )
        for line in one.tried:
            print(clean(f"  tried before: {line}"))

    def _queue(self, one: Found) -> list[str] | None:
        """Queue a message: the ids it has here, or None when it was imported before."""
        drafts = []
        try:
            for number, part in enumerate(self._parts(one)):
                drafts.append(self._draft(one, number, part))
            if self._store is None or not drafts:
                return []
            answers = self._store.commit(drafts, now=time.time())
            for answer in answers:
                if answer.error is not None:
                    raise answer.error
        except BaseException:
            for draft in drafts:
                if not isinstance(draft.content, bytes):
                    draft.content.discard()
            raise
        for draft, answer in zip(drafts, answers, strict=True):
            if answer.known and not isinstance(draft.content, bytes):
                draft.content.discard()
        fresh = [answer.ident for answer in answers if not answer.known]
        return fresh or None

    def _parts(self, one: Found) -> list[Part]:
        """The messages that it becomes by our routes.  Raises TableError."""
        from mether.envelope import Envelope
        from mether.receive.gathered import Gathered
        from mether.routing.expand import resolve
        from mether.routing.request import Request
        from mether.routing.resolution import Delivery, Resolution
        from mether.routing.source import settled

        gathered = Gathered()
        for recipient in one.recipients:
            request = Request(recipient.forward_path, sender=one.reverse_path)
            resolution = settled(lambda request=request: resolve(self._router, request))  # type: ignore[misc]
            if resolution.reply is not None or not gathered.within(resolution):
                route = settled(lambda request=request: self._router.route(request))  # type: ignore[misc]
                resolution = Resolution(resolution.decision, [Delivery(recipient.forward_path, route)])
            for refused in resolution.refused:
                self._complain(
                    one.place, f"the alias {recipient.forward_path} names {refused.address}: {refused.reply}"
                )
            gathered.add(recipient, resolution)
        for dropped in gathered.dropped:
            print(f"{one.place}: what is for {dropped} is discarded, as a route says")
        envelope = Envelope(
            one.reverse_path, smtputf8=one.smtputf8 or _beyond(one), ret=one.ret, envid=one.envid
        )
        return gathered.parts(envelope)

    def _draft(self, one: Found, number: int, part: Part) -> Draft:
        """A message to be queued, its content read.  Raises Failure, OSError, StoreError, Wrong."""
        from mether.programs import message
        from mether.programs.queueing import new_id
        from mether.queue.message import Arrival
        from mether.receive import accept

        now = time.time()
        ident, pull = new_id(now), one.pull()
        store, config = self._store, self._config
        eight = False

        def octets() -> bytes:
            nonlocal eight
            data = pull()
            eight = eight or not data.isascii()
            return data

        content = message.read(octets, message.Scratch if store is None else lambda: store.stage(ident))
        try:
            if not isinstance(content, bytes):
                content.sync()
            part.envelope.body = "8BITMIME" if eight else "7BIT"
            key = f"import {self._source} {one.name}" + (f" {number}" if number else "")
            draft = accept.draft(
                ident,
                part.envelope,
                Arrival(min(one.arrived, now)),
                content,
                part.routes,
                hostname=config.service.hostname,
                lifetime=config.retry.expire,
                warn=config.retry.warn,
                offset=time.localtime(now).tm_gmtoff,
                key=_short(key),
            )
        except BaseException:
            if not isinstance(content, bytes):
                content.discard()
            raise
        draft.key_until = now + REMEMBERED
        # What was on hold there says so, and stays when all that was only imported so is released.
        draft.message.hold = one.hold or part.hold or (IMPORTED if self._hold else None)
        return draft


def _beyond(one: Found) -> bool:
    """Whether an address of it can go by SMTPUTF8 alone."""
    paths = [one.reverse_path, *(each.forward_path for each in one.recipients)]
    return any(path is not None and not path.local_part.isascii() for path in paths)


def _short(key: str) -> str:
    """The key, or where it is long its digest."""
    if len(key) <= 200:
        return key
    import hashlib

    return f"{key[:120]} {hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()}"
