"""The power-cut test: a store is worked, the power fails at every step, and the promises must hold.

`record` runs a workload (powercut_work) on a store above a recording disk (powercut_journal), and
remembers what the store showed before and after each verb.  `failures` plays the journal; at every step,
for every image that a disk may then hold (powercut_image), the ordinary store opens the image, as after a
restart, and must show

- all that was answered before the cut, with its whole content: what a verb had returned is durable;
- of a verb cut in two, each unit (a message queued; a settlement with the reports that follow from
  it; a message changed) wholly or not at all, and with `atomic` all units or none;
- nothing else; the same after the sweeper has been, and then nothing wrong by its own `check` (before, files
  of what was never answered may lie about); and all of it can be claimed.

`needless` leaves out each sync in turn, which must then be missed: it proves that the sync is needed and
that this test would notice if it were gone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator

from powercut_image import Image, State
from powercut_journal import Journal, RecordingVFS
from powercut_shown import AFTER, T0, Shown, differences, examine
from powercut_work import Open, Operation, Worker, workload

from mether.queue.disk import REAL

__all__ = ["Recording", "record", "workload"]


class Recording:
    """A worked store: its journal, and the operations that the marks in it number."""

    def __init__(
        self, journal: Journal, operations: list[Operation], opener: Open, atomic: bool, history: bool
    ) -> None:
        self.journal = journal
        self.operations = operations
        self.open = opener
        self.atomic = atomic
        self.history = history
        self._seen: dict[bytes, tuple[Shown, list[str]]] = {}

    def syncs(self) -> dict[int, str]:
        """The steps that made something durable which was not so before, each with who asked for it."""
        state = State(self.journal)
        return {
            number: step.site
            for number, step in enumerate(self.journal.steps)
            if state.play(step) and step.site
        }

    def failures(self, without: Collection[int] = ()) -> Iterator[str]:
        """Cut the power at every step; a line for each image that breaks a promise.

        The syncs that are the steps numbered `without` do not happen.
        """
        state = State(self.journal)
        begun = ended = 0
        for number, step in enumerate(self.journal.steps):
            if number in without:
                continue
            if step.kind == "mark":
                begun += step.args == ("begin",)
                ended += step.args == ("end",)
            state.play(step)
            if not without or number > min(without):  # before the missing sync nothing differs
                for image in state.images(number):
                    for fault in self._judge(image, begun, ended):
                        yield f"cut after step {number}, {step}; {image.how}: {fault}"

    def needless(self, excused: Collection[str]) -> list[str]:
        """The syncs that can be left out, one at a time, without any promise being seen to break.

        `excused` are beginnings of call sites whose syncs are not asked about.
        """
        idle = []
        for number, site in self.syncs().items():
            asked = not site.startswith(tuple(excused))
            if asked and next(self.failures(self._repeated(number)), None) is None:
                idle.append(f"step {number}: {site}")
        return idle

    def _repeated(self, number: int) -> list[int]:
        """The sync, and those of the same file right behind it: said twice in one breath, it is one."""
        first, numbers = self.journal.steps[number], [number]
        for step in self.journal.steps[number + 1 :]:
            if (step.kind, step.args) != (first.kind, first.args):
                break
            numbers.append(numbers[-1] + 1)
        return numbers

    def _judge(self, image: Image, begun: int, ended: int) -> Iterator[str]:
        if image.digest not in self._seen:
            self._seen[image.digest] = self._restart(image)
        shown, faults = self._seen[image.digest]
        yield from faults
        if begun == ended:
            last = self.operations[ended - 1].after if ended else self.operations[0].before
            yield from differences(shown, last, "answered before")
            return
        operation = self.operations[begun - 1]
        units = [set().union(*operation.units)] if self.atomic and operation.units else operation.units
        for unit in units:
            found, old, new = (
                {ident: facts for ident, facts in each.items() if ident in unit}
                for each in (shown, operation.before, operation.after)
            )
            older = None if self.atomic else old
            if any(differences(found, old, "")) and any(differences(found, new, "", older)):
                yield f"{operation.name} was cut and left a half: {found} is neither {old} nor {new}"
        rest = set().union(*operation.units)
        yield from differences(
            {ident: facts for ident, facts in shown.items() if ident not in rest},
            {ident: facts for ident, facts in operation.before.items() if ident not in rest},
            f"{operation.name} should have left alone",
        )

    def _restart(self, image: Image) -> tuple[Shown, list[str]]:
        """What the ordinary store makes of the image, and what is wrong with it."""
        directory = tempfile.mkdtemp(prefix="cut-", dir=_memory())
        try:
            image.write(directory)
            try:
                store = self.open(directory, AFTER, REAL, None)
            except Exception as error:
                return {}, [f"it does not open: {error!r}"]
            try:
                return examine(store, self.history)
            except Exception as error:
                return {}, [f"it cannot be read: {error!r}"]
            finally:
                store.close()
        finally:
            shutil.rmtree(directory)


def record(
    opener: Open,
    *,
    work: Callable[[Worker], None],
    atomic: bool = True,
    sqlite: bool = False,
    history: bool = True,
    aside: Collection[str] = (),
) -> Recording:
    """Run the workload on a new store; returns what is to be judged.

    `atomic`: a verb is one transaction, whatever it is given; else each unit is for itself, and a
    recipient that a cut settlement puts off may still be due as before: it is then tried sooner.
    `sqlite`: SQLite's files are to be recorded too.  `history`: what was tried for a message is promised
    to last as the message does.  `aside`: files that mean nothing after a restart.
    """
    directory = tempfile.mkdtemp(prefix="powercut-", dir=_memory())
    vfs = None
    try:
        opener(directory, T0, REAL, None).close()
        journal = Journal(directory)
        if sqlite:
            vfs = RecordingVFS(journal, f"powercut-{os.getpid()}")
        worker = Worker(opener, directory, journal, vfs.vfs_name if vfs else None, history)
        work(worker)
        state = State(journal)
        for step in journal.steps:
            state.play(step)
        unseen = journal.unseen(state.everything(), aside)
        assert unseen == [], f"something was done that the journal does not know: {unseen}"
        worker.store.close()
        return Recording(journal, worker.operations, opener, atomic, history)
    finally:
        if vfs is not None:
            vfs.unregister()
        shutil.rmtree(directory)


def _memory() -> str | None:
    """Where syncs cost nothing, if there is such a place: nothing here survives a power cut by them."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
