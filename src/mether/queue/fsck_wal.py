"""A write-ahead log as it lies there: which pages it holds, and whether it lost any.  Pure.

SQLite reads a log up to the first frame whose checksum is wrong and passes over the rest without a word,
because a power cut leaves such frames at its end.  But a transaction is synced before the next one is begun:
where frames of a later transaction follow a wrong one, what was answered is passed over.  `read` tells that,
and gives what can still be read behind it: a frame's checksum goes on from the one that the frame before it
states, so each can be verified by itself.

The layout is that of https://sqlite.org/fileformat2.html#walformat.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

HEADER: Final = 32
FRAME: Final = 24
_MAGIC: Final = 0x377F0682
_HEAD = Struct(">8I")
_FRAME = Struct(">6I")


class Wal:
    """What a log holds.

    `pages` are the offsets of the last good image of each page, and `stale` the pages of which a later image
    is damaged; `size` is how many pages the database has after the last transaction (0: as its file has),
    `frames` how many frames were read, `page` the octets in a page.  `trouble` says what is wrong.
    """

    __slots__ = ("frames", "page", "pages", "salts", "size", "stale", "trouble")

    def __init__(self) -> None:
        self.pages: dict[int, int] = {}
        self.stale: set[int] = set()
        self.size = 0
        self.page = 0
        self.frames = 0
        self.salts = b""
        self.trouble = ""


def read(data: bytes) -> Wal:
    """What the log's octets hold."""
    wal = Wal()
    if len(data) < HEADER:
        return wal
    head = _HEAD.unpack_from(data)
    page = head[2]
    little = not head[0] & 1
    good = head[0] & ~1 == _MAGIC and 512 <= page <= 65536 and not page & (page - 1)
    if not good or _checksum(data[:24], (0, 0), little) != head[6:8]:
        wal.trouble = "its header cannot be read, and so none of it"
        return wal
    wal.page, wal.salts = page, data[16:24]
    _frames(wal, data, head[6:8], little)
    return wal


def _frames(wal: Wal, data: bytes, stated: tuple[int, int], little: bool) -> None:
    """Go through the frames; `stated` is the checksum that the header states."""
    pending: dict[int, int] = {}
    wrong: set[int] = set()  # pages of the transaction's frames that are not whole
    broken, synced = 0, False
    length = FRAME + wal.page
    count = (len(data) - HEADER) // length
    for number in range(1, count + 1):
        at = HEADER + (number - 1) * length
        page, size, _, _, *sums = _FRAME.unpack_from(data, at)
        if data[at + 8 : at + 16] != wal.salts:
            break
        if synced and broken:
            wal.trouble = (
                f"its frame {broken} of {count} is damaged, and SQLite passes over what is behind it"
            )
        body = data[at : at + 8] + data[at + FRAME : at + length]
        if _checksum(body, stated, little) == tuple(sums):
            pending[page] = at + FRAME
        else:
            broken = broken or number
            wrong.add(page)
        stated = (sums[0], sums[1])
        if not size:
            continue
        # A transaction is complete, hence synced, before the next is begun.
        later = data[at + length + 8 : at + length + 16] == wal.salts
        if later or not wrong:
            wal.pages |= pending
            wal.stale = (wal.stale - pending.keys()) | wrong
            wal.size, wal.frames = size, number
        pending, wrong, synced = {}, set(), True


def missing(shm: bytes, data: bytes, wal: Wal) -> str:
    """What the log has lost at its end, by the index that SQLite left beside it; "" for nothing.

    The index is written after the log's sync, so it never knows of a frame that was not there.
    """
    from sys import byteorder

    if len(shm) < 100 or shm[:48] != shm[48:96] or not shm[12]:
        return ""
    if not wal.salts or shm[32:40] != wal.salts:
        return ""
    number = Struct("<I" if byteorder == "little" else ">I")
    known, copied = number.unpack_from(shm, 16)[0], number.unpack_from(shm, 96)[0]
    have = (len(data) - HEADER) // (FRAME + wal.page)
    return f"it has {have} frames where {known} were written" if have < known > copied else ""


def _checksum(data: bytes, seed: tuple[int, int], little: bool) -> tuple[int, int]:
    words = Struct(f"{'<' if little else '>'}{len(data) // 4}I").unpack(data)
    one, two = seed
    for first, second in zip(words[::2], words[1::2], strict=True):
        one = (one + first + two) & 0xFFFFFFFF
        two = (two + second + one) & 0xFFFFFFFF
    return one, two
