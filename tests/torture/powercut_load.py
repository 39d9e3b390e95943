"""The power fails under the load of several processes: powercut_load.py --help

smtpd and runsmtpq work one SQLite queue above a library that writes down every write, name and sync of them
all in one order (recorder.c); what the client got a 250 for and what the next hops took is noted in the same
journal.  Then the power is cut at random steps: for every image that a disk may then hold (powercut_image),
the ordinary store opens it, as after a restart, and

- each recipient that was answered 250 before the cut, and had not come to its next hop, is queued with its
  whole content, or a report that tells of it is queued or has come;
- nobody is queued beside a report that tells of him;
- the store finds nothing wrong with itself, once the sweeper has been.

With --without-sync the syncs are left out of the images, and promises must be seen to break.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "crash")]

import faults  # noqa: E402
import uvloop  # noqa: E402
from generator import CONNECTIONS, Load  # noqa: E402
from ledger import SLOTS, whole  # noqa: E402
from powercut_image import Image, State  # noqa: E402
from powercut_journal import DIRECTORY, Journal, Step  # noqa: E402
from run import BIN, CONFIG, ROUTE, TOPOLOGIES, free_port  # noqa: E402
from sink import DOMAINS, FAILED, SENDERS, SLOT, Sink  # noqa: E402

from mether.queue.open import open_store  # noqa: E402
from mether.queue.store import Filter, StoreError  # noqa: E402

_RECORD = struct.Struct("<cQQI")
_LENGTH = struct.Struct("<I")


class Marks(list[str]):
    """A ledger whose lines go into the journal."""

    def __init__(self, journal: Path) -> None:
        super().__init__()
        self._fd = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __iadd__(self, lines: Iterable[str]) -> Marks:  # type: ignore[misc,override]
        for line in lines:
            data = line.encode()
            record = _RECORD.pack(b"X", 0, 0, 0) + data
            os.write(self._fd, _LENGTH.pack(len(record)) + record)
        return self


class Client(Load):
    """The load, its 250s noted in the journal."""

    def __init__(self, marks: Marks, port: int, messages: int, seed: int) -> None:
        super().__init__(os.devnull, port, messages, seed)
        self.marks = marks

    def answered(self, slots: list[int]) -> None:
        self.marks += [f"A {slot}" for slot in slots]
        super().answered(slots)


async def load(options: argparse.Namespace, place: Path, library: Path, journal: Path) -> None:
    """Work the queue under load until so many messages were answered, then kill everything."""
    loop = asyncio.get_running_loop()
    marks, chance = Marks(journal), random.Random(options.seed)
    server = await loop.create_server(lambda: Sink(marks, chance), "0.0.0.0", 0, backlog=1024)
    sink_port, port = server.sockets[0].getsockname()[1], free_port()
    config = place / "mether.toml"
    config.write_text(
        CONFIG.format(kind="sqlite", port=port)
        + "".join(
            ROUTE.format(domain=domain, address=address, port=sink_port)
            for address, domain in {**DOMAINS, SENDERS: "sender.test"}.items()
        )
    )
    environment = os.environ | {
        "LD_PRELOAD": str(library),
        "METHER_JOURNAL": str(journal),
        "METHER_JOURNAL_ROOT": str(place / "spool"),
    }
    processes, readers = [], []
    try:
        for command in TOPOLOGIES[options.topology]:
            processes.append(
                await asyncio.create_subprocess_exec(
                    *(BIN / command[0], *command[1:], "-C", config),
                    env=environment,
                    cwd=place,
                    stderr=asyncio.subprocess.PIPE,
                    start_new_session=True,
                )
            )
            stderr = processes[-1].stderr
            assert stderr is not None
            await stderr.readline()  # it has started
            readers.append(asyncio.create_task(_discard(stderr)))
        client = Client(marks, port, options.messages, options.seed)
        for _ in range(CONNECTIONS):
            client.connect()
        async with asyncio.timeout(options.seconds):
            await client.ended.wait()
    finally:
        for process in processes:
            try:
                os.killpg(process.pid, 9)
            except ProcessLookupError:
                continue
            await process.wait()
        server.close()


async def _discard(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


def steps(path: Path, journal: Journal) -> Iterator[Step]:
    """The steps that the recorder wrote down; marks are steps of that kind."""
    paths = dict(journal.base_names)
    data = path.read_bytes()
    at = 0
    while at < len(data):
        (length,) = _LENGTH.unpack_from(data, at)
        kind, inode, offset, named = _RECORD.unpack_from(data, at + 4)
        start, at = at + 4 + _RECORD.size, at + 4 + length
        name, rest = os.path.normpath(data[start : start + named].decode()), data[start + named : at]
        if kind == b"X":
            yield Step("mark", *rest.decode().split())
        elif kind == b"W":
            yield Step("write", journal._number(inode), offset, rest)
        elif kind == b"T":
            yield Step("truncate", journal._number(inode), offset)
        elif kind == b"S":
            yield Step("sync", journal._number(inode))
        elif kind == b"D":
            yield Step("syncdir", name)
        elif kind == b"M":
            yield Step("names", {name: DIRECTORY})
        elif kind == b"N":
            journal._numbers.pop(inode, None)  # the system may give a removed file's inode again
            paths[name] = journal._number(inode)
            yield Step("names", {name: paths[name]})
        elif kind == b"U":
            paths.pop(name, None)
            yield Step("names", {name: None})
        else:
            new = os.path.normpath(rest.decode())
            paths[new] = paths.pop(name)
            yield Step("names", {name: None, new: paths[new]})


class Promises:
    """What has been promised and kept so far."""

    def __init__(self) -> None:
        self.answered: set[int] = set()
        self.kept: set[int] = set()

    def note(self, kind: str, slot: str, *more: str) -> None:
        """Take a mark."""
        (self.answered if kind == "A" else self.kept).add(int(slot))

    @property
    def owed(self) -> set[int]:
        """The slots that must be in the queue."""
        return self.answered - self.kept


def judge(image: Image, owed: set[int]) -> Iterator[str]:
    """What is wrong with the image."""
    directory = tempfile.mkdtemp(prefix="cut-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    try:
        image.write(directory)
        now = time.time()
        try:
            store = open_store(f"sqlite:{directory}", now=now, create=False)
        except StoreError as error:
            yield f"it does not open: {error}"
            return
        try:
            queued, reported = _queued(store)
            missing = owed - queued - reported
            if missing:
                yield f"{len(missing)} of {len(owed)} that were answered 250 are lost: {sorted(missing)[:5]}"
            if queued & reported:
                yield f"reported on and still queued: {sorted(queued & reported)[:5]}"
            store.sweep(now)
            yield from (f"check says: {line}" for line in store.check())
        except (StoreError, ValueError) as error:
            yield str(error)
        finally:
            store.close()
    finally:
        shutil.rmtree(directory)


def _queued(store: Any) -> tuple[set[int], set[int]]:
    """The slots that wait, and those that queued reports tell of."""
    queued: set[int] = set()
    reported: set[int] = set()
    for entry in store.entries(Filter(), limit=1_000_000):
        content = store.content(entry.message.ident).read()
        if entry.message.envelope.reverse_path is None:
            reported.update(map(int, FAILED.findall(content)))
            continue
        if not whole(content):
            raise ValueError(f"the content of {entry.message.ident} is not what was sent")
        found = [SLOT.search(f"<{row.recipient.forward_path}>".encode()) for row in entry.rows]
        queued.update(int(slot[1]) for slot in found if slot)
    return queued, reported


def cut(options: argparse.Namespace, place: Path) -> tuple[int, list[str]]:
    """Record a load, cut the power at random steps; how many images there were, and what was wrong."""
    library = faults.build(place, HERE / "recorder.c")
    if library is None:
        return 0, ["there is no C compiler"]
    spool, path = place / "spool", place / "journal"
    open_store(f"sqlite:{spool}", now=time.time()).close()
    journal = Journal(str(spool))
    uvloop.run(load(options, place, library, path))
    told = list(steps(path, journal))
    state = State(journal)
    for step in told:
        state.play(step)
    unseen = journal.unseen(state.everything())
    if unseen:
        return 0, [f"something was done that the recorder does not know: {unseen[:5]}"]
    chance = random.Random(options.seed)
    cuts = set(chance.sample(range(len(told)), min(options.cuts, len(told))))
    state, promises, images, wrong = State(journal), Promises(), 0, []
    for number, step in enumerate(told):
        if step.kind == "mark":
            promises.note(*step.args)
        elif not (options.without_sync and step.kind in ("sync", "syncdir")):
            state.play(step)
        if number in cuts:
            for image in state.images(number):
                images += 1
                wrong += [
                    f"cut after step {number} of {len(told)}; {image.how}: {fault}"
                    for fault in judge(image, promises.owed)
                ]
    slots = len(promises.answered)
    print(f"{slots} recipients (of at most {SLOTS} each) answered 250; {len(told)} steps, {len(cuts)} cuts")
    return images, wrong


def main() -> int:
    """Run it; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=3000, help="how many must be answered 250")
    parser.add_argument("--seconds", type=float, default=600, help="how long that may take")
    parser.add_argument("--cuts", type=int, default=200, help="how often the power is cut")
    parser.add_argument("--topology", choices=TOPOLOGIES, default="all")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--without-sync", action="store_true", help="show that a missing sync is seen")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="powercut-"))
    try:
        images, wrong = cut(options, place)
    finally:
        shutil.rmtree(place)
    print(f"{images} images, seed {options.seed}", *wrong[:20], sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
