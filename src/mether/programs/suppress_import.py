"""``mether suppress import``: what files say, put on the suppression list.

The forms are told apart by `importing.suppressions`.  BATCH addresses go into a transaction, and each is
durable before the line about it is printed: an import that is cut short has done what it said, and can be run
again.  What cannot be taken is told on standard error with its file and line, the first TOLD of it, and the
status is 65 then; all else is imported.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from mether.programs.errors import DATAERR, NOINPUT, Failure, complain
from mether.programs.suppress import changed, opened, until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, Final

    from mether.importing.suppression_fields import Usual
    from mether.programs.options import Parsed
    from mether.queue.suppressed import Suppressions
    from mether.queue.suppressed_row import Suppressed
    from mether.setup.config import Config

BATCH: Final = 5000
"""Addresses in a transaction, and in memory."""

TOLD: Final = 100
"""Records that cannot be taken of which each is told."""


def work(options: Parsed, operands: list[str], config: Config, now: float) -> int:
    """Import what the operands name, or standard input; returns the exit status."""
    from mether.importing.suppression_fields import Usual

    usual = Usual(
        now,
        reason=options.text("reason") or "",
        kind=options.text("kind") or "",
        until=until(options, now),
    )
    dry = options.flag("dry-run")
    run = _Import(None if dry else opened(config, create=True))
    try:
        for name in operands or ["-"]:
            with ExitStack() as stack:
                try:
                    file = sys.stdin.buffer if name == "-" else stack.enter_context(open(name, "rb"))
                except IsADirectoryError:
                    raise Failure(NOINPUT, f"{name}: expected a file, and this is a directory") from None
                run.take("standard input" if name == "-" else name, file, usual)
        return run.end()
    finally:
        run.close()


class _Import:
    """One import; without a list, nothing is written."""

    def __init__(self, known: Suppressions | None) -> None:
        self._known = known
        self._some: list[Suppressed] = []
        self._count = self._wrong = 0

    def take(self, name: str, file: BinaryIO, usual: Usual) -> None:
        """Take what a file says.  Raises Failure, StoreError, OSError."""
        from mether.importing.found import Wrong
        from mether.importing.suppressions import Unusable, read

        try:
            for item in read(file, usual):
                if isinstance(item, Unusable):
                    self._wrong += 1
                    if self._wrong <= TOLD:
                        complain("mether", f"{name}:{item.line}: {item.why}")
                    continue
                self._some.append(item[1])
                if len(self._some) >= BATCH:
                    self._write()
                    self._say()
        except Wrong as error:
            raise Failure(DATAERR, f"{name}: {error}") from None

    def end(self) -> int:
        """Write what is left, and say how many there were; the exit status."""
        self._write()
        if self._wrong > TOLD:
            complain("mether", f"{self._wrong - TOLD} more could not be taken")
        self._say()
        return DATAERR if self._wrong else 0

    def close(self) -> None:
        """Let go of the list."""
        if self._known is not None:
            changed(self._known)

    def _write(self) -> None:
        if self._some and self._known is not None:
            self._known.put(self._some, file=True)
        self._count += len(self._some)
        self._some = []

    def _say(self) -> None:
        what = "address" if self._count == 1 else "addresses"
        print(f"{self._count} {what} {'would be ' if self._known is None else ''}imported", flush=True)
